//! Files of spiking-network work: data sets read with clear errors, checkpoints and results written atomically.
//!
//! For: [`idx`] (the MNIST family), [`codec`] (our own binary checkpoints), [`json`] (descriptions and results), [`atomic`] (what both
//! write through). Whatever the bytes are, a reader answers with a value or an [`IoError`] that names the file and what to change; it
//! does not panic, and memory is bounded by the data that are really there, not by what a header claims.
//!
//! Not for: exchange with other tools (checkpoints are private to this workspace and its format version), downloads, or knowledge of any
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
pub mod npy;
mod number;
pub mod wav;

pub use aer::Event;
pub use error::IoError;
pub use hdf5::SpikeTrains;
pub use idx::Idx;
pub use number::Real;
pub use wav::Wav;
