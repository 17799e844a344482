//! Synapse stores, and the engines that run spiking networks on event lists: by the clock, or from event to event.
//!
//! A [`Clocked`] engine lowers a [`Network`](snn_core::Network) to arrays once and runs trials into a [`Record`]: spikes, the entries near
//! threshold with their surrogate slopes, the graded output of readouts. Potentials are never stored. Kernels are compiled for AVX-512,
//! AVX2 and the baseline, chosen at run time, and give the same bits on all. [`Clocked::frozen`] is for networks too large to train. An
//! [`EventDriven`] engine runs the same description in time that grows with the spikes, not with neurons and steps. A [`Windowed`] engine takes whole
//! windows of networks that hear in windows: converted ones.
//!
//! A trial may go on where another ended: its [`Past`]. A [`Device`] is what machines and engines have in common; [`Ideal`] is the clocked engine as one. A [`Substrate`] holds the weights while a network learns;
//! [`Reads`] stand between weights and who hears them.
//!
//! Not here: learning (`snn-learn`), files (`snn-io`). See [`Clocked`] for the smallest example.

mod bank;
mod clocked;
mod device;
mod event_driven;
mod fan;
mod ideal;
pub mod lanes;
mod local;
pub mod noise;
mod parameter;
mod past;
mod plan;
mod reads;
pub mod store;
mod substrate;
mod team;
mod topology;
mod trace;
mod view;
mod windowed;

pub use bank::{Bank, Cells, DenseRow, Feed, Link, Sign, Source};
pub use clocked::{Clocked, Record};
pub use device::{Chip, Costs, Device, DeviceError};
pub use event_driven::{EventDriven, EventError, Work};
pub use fan::{Family, Fan};
pub use ideal::Ideal;
pub use lanes::{Block, Entries, LANES, Scalar, Simd};
pub use local::{Entry, Local};
pub use parameter::Parameter;
pub use past::Past;
pub use plan::Image;
pub use reads::{Access, Reads};
pub use store::{Store, Stretch, Synapses};
pub use substrate::{Substrate, SubstrateError, SubstrateState};
pub use topology::{Component, Group, by_delay};
pub use trace::{Sink, Trace, Wants};
pub use windowed::{WindowError, Windowed, Windows};

/// The code of the README is compiled and run with the documentation tests.
#[doc = include_str!("../README.md")]
#[cfg(doctest)]
pub struct ReadmeCode;
