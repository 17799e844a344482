//! Whole files, compressed or not.

use crate::IoError;
use flate2::bufread::MultiGzDecoder;
use std::{fs, io::Read, path::Path};

/// Chosen: the most that is made of a compressed file; the larger speech data sets expand to 3 GiB.
pub(crate) const MAX_EXPANDED: u64 = 1 << 32;
/// Deflate cannot do better than this, whatever the data.
pub(crate) const MAX_RATIO: u64 = 1032;

/// How gzip data begin.
pub(crate) fn is_gzip(head: &[u8]) -> bool {
    head.starts_with(&[0x1f, 0x8b])
}

/// The contents of a file, expanded if they are gzip (whatever its name): at most 4 GiB of them.
pub(crate) fn expanded(path: &Path, expected: &'static str) -> Result<Vec<u8>, IoError> {
    let bytes = fs::read(path).map_err(|e| IoError::reading(path, expected, e))?;
    if is_gzip(&bytes) { gunzip(path, &bytes) } else { Ok(bytes) }
}

fn gunzip(path: &Path, bytes: &[u8]) -> Result<Vec<u8>, IoError> {
    let mut plain = Vec::new();
    let size = MultiGzDecoder::new(bytes).take(MAX_EXPANDED + 1).read_to_end(&mut plain);
    match size.map_err(|source| IoError::Gzip { path: path.into(), source })? as u64 {
        0..=MAX_EXPANDED => Ok(plain),
        _ => Err(IoError::TooLarge { path: path.into(), what: "what is compressed in it".into(), limit: MAX_EXPANDED }),
    }
}
