//! Learning rules for sparse spiking networks, and the loop that trains with them.
//!
//! * [`SparseBptt`]: the gradient computed only where it is not zero; [`Bptt`]: the dense baseline and oracle.
//! * [`TsslBp`]: errors over the times of spikes; [`StRsbp`]: errors by spike counts, nothing unrolled in time.
//! * [`Eprop`]: eligibility propagation, as a reverse sweep or online; [`LearnedSignals`]: e-prop 2; [`SyntheticGradients`]: e-prop 3.
//! * [`Loss`], [`Regulariser`], [`Optimiser`], [`Schedule`].
//! * [`DropConnect`]: weights left out of a gradient. (Zoneout is a model's own: [`Zoneout`](snn_core::neuron::Zoneout).)
//! * [`structure`]: rules that remove and grow links while weights learn ([`DeepR`], [`SoftDeepR`], [`GradR`]).
//! * [`online`]: rules that learn while the network runs: reward-based synaptic sampling.
//! * [`readout`]: a linear readout in closed form, and the way back through the fit.
//! * [`sampling`]: Boltzmann distributions sampled by spiking neurons on any device, calibrated and learned in the loop.
//! * [`assemblies`]: which neurons assemblies share, from the sizes of their intersections.
//! * [`sodesn`]: sensors that predict each other, and who is at fault.
//! * [`Trainer`]: batches over all threads, the same bits for any number of them; checkpoints; a device in the loop.
//!
//! Not here: data sets (`snn-data`), devices (`snn-hw`), files (`snn-io`). See [`Trainer`] for the smallest whole example.

pub mod assemblies;
mod drop_connect;
pub mod gemm;
mod in_the_loop;
mod loss;
pub mod online;
mod optim;
pub mod readout;
pub mod rule;
pub mod sampling;
pub mod sodesn;
pub mod structure;
mod trainer;

pub use drop_connect::DropConnect;
pub use in_the_loop::Station;
pub use loss::{Loss, LossError, Outcome, Over, RateOver, Regulariser};
pub use optim::{Moments, Optimiser, Schedule};
pub use rule::{
    Bptt, Eprop, Feedback, Form, Gradients, Job, LearnedSignals, Rule, RuleError, SparseBptt, StRsbp, Stats, SyntheticGradients, TsslBp,
    Worker,
};
pub use structure::{DeepR, GradR, GradRByRows, SoftDeepR, Structure, StructureError, Turnover};
pub use trainer::{Checkpoint, Options, TrainError, Trainer};

/// The code of the README is compiled and run with the documentation tests.
#[doc = include_str!("../README.md")]
#[cfg(doctest)]
pub struct ReadmeCode;
