//! Trained dense networks turned into spiking ones.
//!
//! | item | |
//! |---|---|
//! | [`dense`], `snn_io::onnx` | where an [`Ann`](snn_core::ann::Ann) comes from: our own training, a file |
//! | [`Gates`] | the network as layers of gates, all that is linear between them in one map |
//! | [`Calibration`] | the ranges of the layers over data |
//! | [`Unit`], [`Fit`], [`fits`] | a gate as a few binary decisions: in closed form, found for any function, found already |
//! | [`Codes`] | which layer gets which |
//! | [`scheme`] | [`FewSpikes`], [`Amos`], [`Rate`]: gates into a [`Network`](snn_core::Network) that any engine runs |
//! | [`Runner`] | a [`Converted`] network over many inputs: answers, spikes, additions |
//! | [`Forward`] | the dense run of an [`Ann`](snn_core::ann::Ann): calibration, oracle |
//! | [`rotations()`] | a deep network in which nothing grows or shrinks: how errors add up |
//! | [`report`] | what a converted network does, against the one it was made from |
//! | `reference` (feature of the same name) | the dense run of an ONNX file by another library |
//!
//! Not here: training (`snn-learn`), files (`snn-io`), command line (`snn convert`). See [`Runner`] for the smallest example.
#![forbid(unsafe_code)]

mod calibrate;
mod codes;
mod converted;
mod dense;
mod fit;
pub mod fits;
mod forward;
pub mod gates;
mod map;
#[cfg(feature = "reference")]
pub mod reference;
pub mod report;
mod rotations;
mod run;
pub mod scheme;
mod unit;

pub use calibrate::{Calibration, Range};
pub use codes::{CodeError, Codes, Negative, Rounding};
pub use converted::{ANSWER, Coded, ConvertError, Converted, DATA, NotConverted, Place, Timing};
pub use dense::{DenseError, dense};
pub use fit::{Fit, FitError, Fitted};
pub use forward::{Forward, InputError, Values};
pub use gates::{GateError, Gates};
pub use map::Map;
pub use rotations::{relative_error, rotations};
pub use run::{Outcome, Reading, Runner, Tally};
pub use scheme::{Amos, FewSpikes, Rate, Scheme};
pub use unit::{Quality, Unit};

/// The code of the README is compiled and run with the documentation tests.
#[doc = include_str!("../README.md")]
#[cfg(doctest)]
pub struct ReadmeCode;
