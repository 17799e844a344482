//! Where a data set of files comes from, and what is in its folder.

use crate::error::DataError;
use snn_io::IoError;
use std::{fs, io, path::Path};

/// A data set that is a folder of files: its name, and where it comes from.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    pub(crate) set: &'static str,
    pub(crate) from: &'static str,
}

impl Source {
    /// The names of the files in a folder that end in `.extension`, without it.
    pub(crate) fn stems(self, dir: &Path, extension: &str) -> Result<Vec<String>, DataError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => {
                let source = IoError::NotFound { path: dir.into(), expected: "a folder of recordings" };
                DataError::Missing { set: self.set, from: self.from, source }
            }
            _ => IoError::Os { path: dir.into(), doing: "list it", source }.into(),
        };
        let mut stems = Vec::new();
        for entry in fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|e| e == extension)
                && let Some(stem) = path.file_stem()
            {
                stems.push(stem.to_string_lossy().into_owned());
            }
        }
        Ok(stems)
    }

    /// The error of a file that is not what it should be.
    pub(crate) fn wrong<T>(self, path: &Path, found: String, expected: impl Into<String>) -> Result<T, DataError> {
        Err(DataError::Contents { path: path.into(), found, expected: expected.into(), from: self.from })
    }
}
