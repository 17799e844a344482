//! What a file is, by its contents: a name may say anything.

use crate::{IoError, bytes::is_gzip};
use flate2::bufread::MultiGzDecoder;
use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

/// A kind of file that is read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// [`idx`](crate::idx).
    Idx,
    /// [`npy`](crate::npy), one array.
    Npy,
    /// [`npy`](crate::npy), an archive.
    Npz,
    /// [`hdf5`](crate::hdf5) or [`nir`](crate::nir).
    Hdf5,
    /// [`wav`](crate::wav).
    Wav,
    /// [`codec`](crate::codec).
    Checkpoint,
    /// [`onnx`](crate::onnx).
    Onnx,
    /// [`aer`](crate::aer).
    Aer,
    /// [`json`](crate::json): one value, or one in each line.
    Json,
    /// Any other text: [`csv`](crate::csv), or settings.
    Text,
}

const EXPECTED: &str = "idx, npy, npz, HDF5 (events, arrays, NIR), WAV, ONNX, address events (N-MNIST .bin), CSV, JSON (networks, results, metrics), a recipe (TOML) or a checkpoint";
/// Bytes that are looked at.
const HEAD: u64 = 4096;

/// What a file is, plain or gzip.
///
/// ```
/// use snn_io::{Kind, kind};
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("picture.txt");
/// snn_io::idx::write(&path, &snn_io::Idx { dims: vec![2], data: vec![0, 1] })?;
/// assert_eq!(kind(&path)?, Kind::Idx);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`IoError::Format`], which lists what is read, for anything else; [`IoError::NotFound`], [`IoError::Gzip`], [`IoError::Os`].
pub fn kind(path: impl AsRef<Path>) -> Result<Kind, IoError> {
    let path = path.as_ref();
    let reading = |e| IoError::reading(path, EXPECTED, e);
    let mut file = BufReader::new(File::open(path).map_err(reading)?);
    let mut head = Vec::new();
    (&mut file).take(HEAD).read_to_end(&mut head).map_err(reading)?;
    if is_gzip(&head) {
        let file = BufReader::new(File::open(path).map_err(reading)?);
        head.clear();
        MultiGzDecoder::new(file).take(HEAD).read_to_end(&mut head).map_err(|source| IoError::Gzip { path: path.into(), source })?;
    }
    of(&head).ok_or_else(|| IoError::format(path, EXPECTED, &head))
}

fn of(head: &[u8]) -> Option<Kind> {
    let marks: [(&[u8], Kind); 5] = [
        (b"\x93NUMPY", Kind::Npy),
        (b"PK\x03\x04", Kind::Npz),
        (b"\x89HDF\r\n\x1a\n", Kind::Hdf5),
        (b"SNNCKPT\0", Kind::Checkpoint),
        (b"\0\0\x08", Kind::Idx),
    ];
    if let Some((_, kind)) = marks.iter().find(|(mark, _)| head.starts_with(mark)) {
        return Some(*kind);
    }
    if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WAVE") {
        return Some(Kind::Wav);
    }
    // A ModelProto: its version, and then a field with a length.
    if let &[8, version, field, ..] = head
        && version < 0x40
        && field & 7 == 2
    {
        return Some(Kind::Onnx);
    }
    text(head).or_else(|| events(head).then_some(Kind::Aer))
}

fn text(head: &[u8]) -> Option<Kind> {
    // The last character may be cut.
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&head[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    if text.trim().is_empty() || text.chars().any(|c| c.is_control() && !"\n\r\t".contains(c)) || crate::error::known(head).is_some() {
        return None;
    }
    Some(if text.trim_start().starts_with(['{', '[']) && !toml_header(text) { Kind::Json } else { Kind::Text })
}

/// `[data]` at the beginning of settings is no list of JSON.
fn toml_header(text: &str) -> bool {
    let first = text.trim_start().lines().next().unwrap_or("").trim();
    let inner = first.trim_start_matches('[').split(']').next().unwrap_or("");
    first.starts_with('[')
        && !inner.is_empty()
        && inner.chars().all(|c| c.is_ascii_alphabetic() || "_.".contains(c))
        && !["true", "false", "null"].contains(&inner)
}

/// Whether these are address events of five bytes, whose times never decrease.
fn events(head: &[u8]) -> bool {
    let time = |event: &[u8]| u32::from_be_bytes([0, event[2] & 0x7f, event[3], event[4]]);
    let times: Vec<u32> = head.chunks_exact(5).map(time).collect();
    !times.is_empty() && times.is_sorted() && (head.len() as u64 == HEAD || head.len().is_multiple_of(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_decide() {
        for (head, kind) in [
            (&b"\0\0\x08\x01\0\0\0\x01\x07"[..], Some(Kind::Idx)),
            (b"RIFF\x24\0\0\0WAVEfmt ", Some(Kind::Wav)),
            (b"\x08\x07\x12\x07pytorch", Some(Kind::Onnx)),
            (b"{\"dt\": 0.001}", Some(Kind::Json)),
            (b" [1, 2]", Some(Kind::Json)),
            (b"[true]", Some(Kind::Json)),
            (b"[data]\nname = \"idx\"", Some(Kind::Text)),
            (b"[[network.populations]]", Some(Kind::Text)),
            (b"a,b\n1,2\n", Some(Kind::Text)),
            ("größe,ä\n".as_bytes(), Some(Kind::Text)),
            (&"größe".as_bytes()[..4], Some(Kind::Text)),
            (&[3, 9, 0x80, 0, 120, 4, 9, 4, 0, 0][..], Some(Kind::Aer)),
            (&[3, 9, 0x80, 0, 120, 4, 9, 0, 0, 0], None),
            (b"", None),
            (b"  \n", None),
            (b"version https://git-lfs.github.com/spec/v1", None),
        ] {
            assert_eq!(of(head), kind, "{head:?}");
        }
    }

    #[test]
    fn what_is_read_is_listed_for_anything_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, [0xff; 7]).unwrap();
        let message = kind(&path).unwrap_err().to_string();
        assert!(["idx", "npy", "NIR", "WAV", "ONNX", "CSV", "checkpoint"].iter().all(|kind| message.contains(kind)), "{message}");
        assert!(matches!(kind(dir.path().join("none")), Err(IoError::NotFound { .. })));
    }
}
