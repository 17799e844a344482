//! Learning rules for sparse spiking networks, and the loop that trains with them.
//!
//! * [`SparseBptt`]: the gradient computed only where it is not zero; [`Bptt`]: the dense baseline and oracle.
//! * [`Eprop`]: eligibility propagation, as a reverse sweep or online.
//! * [`Loss`], [`Regulariser`], [`Optimiser`], [`Schedule`].
//! * [`Trainer`]: batches over all threads, the same bits for any number of them; checkpoints.
//!
//! Not here: data sets (`snn-data`), devices (`snn-hw`), files (`snn-io`). See [`Trainer`] for the smallest whole example.

pub mod gemm;
mod loss;
mod optim;
pub mod rule;
mod trainer;

pub use loss::{Loss, LossError, Outcome, Over, RateOver, Regulariser};
pub use optim::{Moments, Optimiser, Schedule};
pub use rule::{Bptt, Eprop, Feedback, Form, Gradients, Job, Rule, RuleError, SparseBptt, Stats, Worker};
pub use trainer::{Checkpoint, Options, TrainError, Trainer};
