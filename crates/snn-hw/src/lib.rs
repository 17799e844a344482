//! Emulated neuromorphic machines: faithful in what a network can feel. Number formats, noise, limits, time and energy; not transistors.
//!
//! A [`Machine`] takes any [`Network`](snn_core::Network). [`Machine::map`] says what would become of it: what fits, what is rounded, lost or refused, by name.
//! [`Machine::build`] gives a [`Device`](snn_sparse::Device) that runs it. Learning rules know devices, never machines.
//!
//! [`all`] lists them: [`Ideal`], without limits, is what the others are compared with.
//!
//! To add a machine: one file beside this one with a settings type that is `Default` and `impl Machine`, and its place in `machines!`. The conformance suite
//! (`tests/conformance.rs`), `snn machines` and `snn map` then know it.
//!
//! Not here: learning (`snn-learn`), papers' constants (`snn-repro`). Every time and energy is modelled from named constants, never measured.
#![forbid(unsafe_code)]

mod calibrate;
mod machine;
mod report;

pub use calibrate::{Curves, calibrate};
pub use machine::Machine;
pub use report::{Finding, Kind, MapError, Place, Report, Resource};

/// Declares the module of each machine and lists them in the given order.
macro_rules! machines {
    ($($public:vis $file:ident :: $Machine:ident),+ $(,)?) => {
        $($public mod $file; pub use $file::$Machine;)+

        /// Every machine with its usual settings.
        pub fn all() -> Vec<Box<dyn Machine>> {
            vec![$(Box::<$Machine>::default(),)+]
        }
    };
}

machines! { ideal::Ideal, pub spinnaker2::Spinnaker2, brainscales::BrainScales, pub dls::Dls, pub pcm::Pcm, int8::Int8 }

/// The machine of this name with its usual settings.
pub fn by_name(name: &str) -> Option<Box<dyn Machine>> {
    all().into_iter().find(|machine| machine.name() == name)
}

/// The code of the README is compiled and run with the documentation tests.
#[doc = include_str!("../README.md")]
#[cfg(doctest)]
pub struct ReadmeCode;
