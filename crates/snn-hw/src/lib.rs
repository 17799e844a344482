//! Emulated neuromorphic machines: faithful in what a network can feel. Number formats, noise, limits, time and energy; not transistors.
//!
//! A [`Machine`] takes any [`Network`](snn_core::Network). [`Machine::map`] says what would become of it: what fits, what is rounded, lost or refused, by name.
//! [`Machine::build`] gives a [`Device`](snn_sparse::Device) that runs it. Learning rules know devices, never machines.
//!
//! * [`Ideal`]: no limits: the software engine, to compare with.
//! * [`BrainScales`]: analogue neurons at 10,000 times biological speed, no two alike.
//! * [`dls`]: HICANN-DLS: a small analogue chip with plasticity programs of its own.
//! * [`Pcm`]: crossbars of phase-change memory; [`pcm`] also has the devices themselves, and learning on them.
//! * [`Spinnaker2`]: many small processors, fixed point, real time.
//!
//! To add a machine: one file beside this one, and one line in [`all`]. The conformance suite then runs on it (`tests/conformance.rs`).
//!
//! Not here: learning (`snn-learn`), papers' constants (`snn-repro`). Every time and energy is modelled from named constants, never measured.
#![forbid(unsafe_code)]

mod brainscales;
mod calibrate;
pub mod dls;
mod ideal;
mod machine;
mod params;
pub mod pcm;
mod report;
pub mod spinnaker2;

pub use brainscales::BrainScales;
pub use calibrate::{Curves, calibrate};
pub use ideal::Ideal;
pub use machine::{Machine, all, by_name};
pub use params::with_params;
pub use pcm::Pcm;
pub use report::{Finding, Kind, MapError, Place, Report, Resource};
pub use spinnaker2::Spinnaker2;
