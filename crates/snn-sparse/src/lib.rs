//! Synapse stores, and the clocked engine that runs spiking networks on event lists.
//!
//! A [`Clocked`] engine lowers a [`Network`](snn_core::Network) to arrays once and runs trials into a [`Record`]: spikes, the entries near
//! threshold with their surrogate slopes, the graded output of readouts. Potentials are never stored. Kernels are compiled for AVX-512,
//! AVX2 and the baseline, chosen at run time, and give the same bits on all.
//!
//! Not here: learning (`snn-learn`), files (`snn-io`). See [`Clocked`] for the smallest example.

mod bank;
mod clocked;
mod event_driven;
pub mod lanes;
mod local;
pub mod noise;
pub mod store;
mod team;
mod topology;
mod trace;
mod view;

pub use bank::{Bank, Cells, Feed, Link, Source};
pub use clocked::{Clocked, Record};
pub use event_driven::{EventDriven, EventError, Work};
pub use lanes::{Block, Entries, LANES, Scalar, Simd};
pub use local::{Derivatives, Local};
pub use store::{Store, Synapses};
pub use topology::Component;
pub use trace::{Sink, Trace, Wants};
