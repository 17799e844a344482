//! Files of spiking-network work: data sets read with clear errors, checkpoints and results written atomically.
//!
//! | module | files | |
//! |---|---|---|
//! | [`idx`] | the MNIST family, plain or gzip | read, write |
//! | [`aer`] | address events: N-MNIST, N-Caltech101 | read, write |
//! | [`wav`] | sound: PCM and 32-bit float | read |
//! | [`hdf5`] | event data sets in the layout of SHD and SSC, arrays; plain or gzip | read, write |
//! | [`npy`] | arrays of NumPy, `.npy` and `.npz` | read, write |
//! | [`onnx`] | trained dense networks | read |
//! | [`nir`] | spiking networks of other tools | read, write |
//! | [`csv`] | tables of numbers with a header, plain or gzip | read |
//! | [`codec`] | our own binary checkpoints | read, write |
//! | [`json`] | descriptions and results | read, write |
//! | [`tensorboard`] | event files of TensorBoard | write |
//! | [`kind`](fn@kind) | what a file is, by its contents | |
//! | [`atomic`] | what all of them write through | |
//!
//! Whatever the bytes are, a reader answers with a value or an [`IoError`] that names the file, the place and what to change; it does not
//! panic, and memory is bounded by the data that are really there (of compressed data at most 4 GiB), not by what a header claims.
//! Numbers are never changed silently: what does not fit into the type asked for is refused.
//!
//! Not for: checkpoints of other tools (ours are private to this workspace and its format version), downloads, or knowledge of any
//! particular data set; the crate `snn-data` has that.
//!
//! ```
//! use snn_io::{IoError, codec};
//! let dir = tempfile::tempdir()?;
//! let path = dir.path().join("run/weights.ckpt");                 // folders are created
//! codec::save(&path, &vec![0.5f32, -1.0])?;
//! assert_eq!(codec::load::<Vec<f32>>(&path)?, [0.5, -1.0]);
//!
//! std::fs::write(&path, b"something else")?;
//! assert!(matches!(codec::load::<Vec<f32>>(&path), Err(IoError::Format { .. })));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod aer;
pub mod atomic;
mod bytes;
pub mod codec;
pub mod csv;
mod error;
pub mod hdf5;
pub mod idx;
pub mod json;
mod kind;
pub mod nir;
pub mod npy;
mod number;
pub mod onnx;
pub mod tensorboard;
pub mod wav;

pub use aer::Event;
pub use error::{IoError, shortened};
pub use hdf5::SpikeTrains;
pub use idx::Idx;
pub use kind::{Kind, kind};
pub use number::Real;
pub use wav::Wav;

/// The code of the README is compiled and run with the documentation tests.
#[doc = include_str!("../README.md")]
#[cfg(doctest)]
pub struct ReadmeCode;
