//! Trained dense networks turned into spiking ones.
//!
//! | item | |
//! |---|---|
//! | [`Forward`] | the dense run of an [`Ann`](snn_core::ann::Ann): calibration, oracle |
//! | `reference` (feature of the same name) | the dense run of an ONNX file by another library |
#![forbid(unsafe_code)]

mod forward;
#[cfg(feature = "reference")]
pub mod reference;

pub use forward::{Forward, InputError, Values};
