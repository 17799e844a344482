//! Outer loops of learning to learn: the weights are learnt slowly, over many tasks, so that the activity of a network with fixed weights learns fast,
//! within one task.
//!
//! * [`l2l`]: supervised. The error of a trained network against the number of examples it has seen, and what simple learners reach.
//! * [`liquid`]: supervised, through a readout that is fitted in closed form within each task.
//! * [`meta_rl`]: by reward. An agent in a closed loop with an [`Environment`](snn_data::Environment), trained by policy gradients through whole episodes.
//! * [`motif`]: recurrent layers of motifs, whose topology is searched by gradient.
//! * [`navigation`]: the agent that finds a goal and finds it again, with and without adaptation.
//! * [`ClosedLoop`]: a machine, a world and rules that learn while the network runs.
//! * [`Softmax`]: a population whose rates always sum to the same, to compare circuits with.
//! * [`Agent`]: the usual network for both, in a few numbers.
//! * [`objective`]: what a search can be asked to make better, and candidates as jobs for other processes.
//! * [`on_chip`]: agents that learn on an emulated chip, by rules that an outer loop tunes or learns.
//! * [`ranks`]: processes that evaluate a generation together, under MPI (feature `mpi`).
//! * [`search`]: outer loops without gradients: cross-entropy, evolution strategies, annealing, with one contract.
//! * [`neuroevolution`]: mutations that are kept or dropped, and the gradient descent they come to.
//! * [`pathnet`]: modules that tasks share, and the paths they take through them.
//! * [`policy`]: how a readout becomes an action and a value, and what the objective says of them. Pure functions in `f64`.
//!
//! The inner machinery is that of the other crates: engines run the network, rules give the gradient, the [`Trainer`](snn_learn::Trainer) moves the weights.
//! Not here: e-prop 2, whose outer loop is the trainer alone ([`LearnedSignals`](snn_learn::LearnedSignals)); constants of publications (the crate
//! `snn-repro`), environments and tasks (`snn-data`), files.
//!
//! The smallest whole example stands at [`meta_rl::MetaRl`].
#![forbid(unsafe_code)]

mod agent;
mod closed_loop;
mod error;
pub mod l2l;
pub mod liquid;
pub mod meta_rl;
pub mod motif;
pub mod navigation;
pub mod neuroevolution;
pub mod objective;
pub mod on_chip;
pub mod pathnet;
pub mod policy;
pub mod ranks;
pub mod search;
mod softmax;

pub use agent::Agent;
pub use closed_loop::ClosedLoop;
pub use error::ArchError;
pub use softmax::Softmax;

/// The code of the README is compiled and run with the documentation tests.
#[doc = include_str!("../README.md")]
#[cfg(doctest)]
pub struct ReadmeCode;
