//! Trained dense networks turned into spiking ones.
//!
//! | item | |
//! |---|---|
//! | [`Forward`] | the dense run of an [`Ann`](snn_core::ann::Ann): calibration, oracle |
//! | [`report`] | what a converted network does, against the one it was made from |
//! | `reference` (feature of the same name) | the dense run of an ONNX file by another library |
#![forbid(unsafe_code)]

mod calibrate;
mod codes;
mod converted;
mod fit;
pub mod fits;
mod forward;
pub mod gates;
mod map;
#[cfg(feature = "reference")]
pub mod reference;
pub mod report;
mod run;
pub mod scheme;
mod unit;

pub use calibrate::{Calibration, Range};
pub use codes::{CodeError, Codes, Negative, Rounding};
pub use converted::{ANSWER, Coded, ConvertError, Converted, DATA, Place, Timing};
pub use fit::{Fit, FitError, Fitted};
pub use forward::{Forward, InputError, Values};
pub use gates::{GateError, Gates};
pub use map::Map;
pub use run::{Outcome, Reading, Runner, Tally};
pub use scheme::{Amos, FewSpikes, Rate, Scheme};
pub use unit::{Quality, Unit};
