//! Descriptions and results as JSON that people read.

use crate::{IoError, atomic, error::shortened};
use serde::{Serialize, de::DeserializeOwned};
use std::{any::type_name, fs, path::Path};

/// Saves `value` as indented JSON with a final newline, atomically; folders are created.
///
/// JSON has no NaN or infinity: serde writes them as `null`, which does not load as a number again.
///
/// # Errors
/// [`IoError::Json`] if the value has no JSON form (a map whose keys are not texts, for one), [`IoError::Os`] from the system.
pub fn save_json<T: Serialize + ?Sized>(path: impl AsRef<Path>, value: &T) -> Result<(), IoError> {
    let path = path.as_ref();
    let mut text = serde_json::to_vec_pretty(value).map_err(|e| at::<T>(path, e))?;
    text.push(b'\n');
    atomic::write(path, &text)
}

/// Loads a value from JSON.
///
/// # Errors
/// [`IoError::NotFound`], [`IoError::Json`] with line and column, [`IoError::Os`].
///
/// ```
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("result.json");
/// std::fs::write(&path, "[\n  0.5,\n  \"x\"\n]")?;
/// let error = snn_io::json::load_json::<Vec<f64>>(&path).unwrap_err();
/// assert!(error.to_string().contains("result.json:3:"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn load_json<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<T, IoError> {
    let path = path.as_ref();
    let bytes = fs::read(path).map_err(|e| IoError::reading(path, "a JSON file", e))?;
    serde_json::from_slice(&bytes).map_err(|e| at::<T>(path, e))
}

fn at<T: ?Sized>(path: &Path, error: serde_json::Error) -> IoError {
    let (line, column, mut reason) = (error.line(), error.column(), error.to_string());
    // The place stands in front already.
    reason.truncate(reason.find(&format!(" at line {line} column {column}")).unwrap_or(reason.len()));
    IoError::Json { path: path.into(), line, column, reason: shortened(reason), expected: type_name::<T>() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn values_survive_and_errors_name_the_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/result.json");
        let value = BTreeMap::from([("accuracy".to_string(), vec![0.1f64, 0.25, 1e-300])]);
        save_json(&path, &value).unwrap();
        assert_eq!(load_json::<BTreeMap<String, Vec<f64>>>(&path).unwrap(), value);
        assert!(fs::read_to_string(&path).unwrap().ends_with("}\n"));

        let message = |text: &[u8]| {
            fs::write(&path, text).unwrap();
            load_json::<Vec<u8>>(&path).unwrap_err().to_string()
        };
        assert!(
            message(b"[1,\n 300]").contains("result.json:2:4: invalid value: integer `300`, expected u8; expected a alloc::vec::Vec<u8>")
        );
        assert!(message(b"[1").contains("result.json:1:2: EOF"));
        assert!(message(b"[1] tail").contains("trailing characters"));
        assert!(message(b"[\xff]").contains("result.json:1:"));
        assert!(matches!(load_json::<u8>(dir.path().join("none.json")), Err(IoError::NotFound { .. })));
        assert!(matches!(save_json(&path, &BTreeMap::from([((1, 2), 3)])), Err(IoError::Json { .. })));
    }
}
