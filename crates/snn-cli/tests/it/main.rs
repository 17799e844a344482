//! The program as its users run it.

#[cfg(target_os = "linux")]
mod bad_input;
mod contract;
mod convert;
#[cfg(target_os = "linux")]
mod crash;
mod inspect;
mod machines;
mod nir;
#[path = "../../../snn-io/tests/it/onnx_file/mod.rs"]
mod onnx_file;
mod program;
mod search;
mod train;
mod tutorial;
mod watch;
