//! Imported networks: forward passes, schemes, and the reference library.

mod forward;
#[cfg(feature = "reference")]
#[path = "../../../snn-io/tests/it/onnx_file/mod.rs"]
mod onnx_file;
#[cfg(feature = "reference")]
mod reference;
mod schemes;
