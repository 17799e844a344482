//! What can be wrong with data or with the parameters of an encoder or task.

use snn_io::IoError;
use std::{fmt::Display, path::PathBuf};

/// Why a data set could not be had: what was found, what was expected, what to change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A parameter lies outside its range.
    #[error("{of}: {name} = {value}, but it must be {expected}")]
    Parameter {
        /// The encoder or task.
        of: &'static str,
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: String,
        /// Its range.
        expected: &'static str,
    },
    /// An environment cannot do what it was asked.
    #[error("{of}: {found}; {remedy}")]
    Environment {
        /// The environment.
        of: &'static str,
        /// What it was asked.
        found: String,
        /// What to do instead.
        remedy: String,
    },
    /// A file of a data set is not there.
    #[error("{set}: {source}. Put the official files there; they come from {from}")]
    Missing {
        /// The data set.
        set: &'static str,
        /// Where the official files can be had.
        from: &'static str,
        /// The file looked for.
        source: IoError,
    },
    /// A file is sound in itself but is not the one it should be.
    #[error("{path}: found {found}, expected {expected}; the official file comes from {from}")]
    Contents {
        /// The file read.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// What it should hold.
        expected: String,
        /// Where the official files can be had.
        from: &'static str,
    },
    /// A file could not be read.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// `Ok` if a parameter lies in its range.
pub(crate) fn check(ok: bool, of: &'static str, name: &'static str, value: impl Display, expected: &'static str) -> Result<(), DataError> {
    if ok { Ok(()) } else { Err(DataError::Parameter { of, name, value: value.to_string(), expected }) }
}

/// `Ok` if `value` is finite and above zero.
pub(crate) fn positive(of: &'static str, name: &'static str, value: f64) -> Result<(), DataError> {
    check(value.is_finite() && value > 0.0, of, name, value, "finite and above 0")
}

/// `Ok` if a number of things is at least one and a spike's step or unit can be counted in 32 bits.
pub(crate) fn count(of: &'static str, name: &'static str, value: usize) -> Result<(), DataError> {
    check((1..u32::MAX as usize).contains(&value), of, name, value, "at least 1 and below 2³² − 1")
}
