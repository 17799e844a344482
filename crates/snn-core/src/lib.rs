//! Spiking neuron models, events and one network description: the vocabulary every other crate of the workspace speaks.
//!
//! * [`neuron`]: models, each one equation written once and generic in its arithmetic ([`Real`]).
//! * [`net`]: a network as data, built by [`Net`], validated once, kept as JSON.
//! * [`ann`]: a trained dense network as data, for conversion.
//! * [`Raster`]: spikes as lists of indices; [`Dataset`]: trials to learn from.
//! * [`Surrogate`]: what stands for the derivative of a spike.
//! * [`Value`]: one number for all, or one each.
//! * [`Seed`]: random numbers split by name.
//! * [`stats`]: means, spreads and distances of lists of numbers.
//!
//! Not here: files, threads, matrices, engines. To run a network take `snn-sparse`, to train it `snn-learn`. See [`Network`] for the
//! smallest example; read next: [`neuron`], then [`net`].
#![forbid(unsafe_code)]

pub mod ann;
mod dataset;
mod event;
mod fix;
pub mod net;
pub mod neuron;
mod real;
mod seed;
pub mod stats;
mod surrogate;
mod value;

pub use ann::Ann;
pub use dataset::{Answered, Cue, Dataset, Subset, Target, Trials};
pub use event::{Raster, Trains};
pub use fix::Fix;
pub use net::{Net, Network, NetworkError, ms};
pub use real::{Dual, Real, Vars};
pub use seed::Seed;
pub use surrogate::{Shape, Surrogate};
pub use value::Value;

/// The code of the README is compiled and run with the documentation tests.
#[doc = include_str!("../README.md")]
#[cfg(doctest)]
pub struct ReadmeCode;
