//! Trained dense networks turned into spiking ones.
//!
//! | item | |
//! |---|---|
//! | [`Forward`] | the dense run of an [`Ann`](snn_core::ann::Ann): calibration, oracle |
//! | `reference` (feature of the same name) | the dense run of an ONNX file by another library |
#![forbid(unsafe_code)]

mod calibrate;
mod fit;
mod forward;
pub mod gates;
mod map;
#[cfg(feature = "reference")]
pub mod reference;
mod unit;

pub use calibrate::{Calibration, Range};
pub use fit::{Fit, FitError, Fitted};
pub use forward::{Forward, InputError, Values};
pub use gates::{GateError, Gates};
pub use map::Map;
pub use unit::{Quality, Unit};
