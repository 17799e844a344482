//! Checkpoints: a serde value in a small file of our own that notices any change.
//!
//! | offset | bytes | contents |
//! |---|---|---|
//! | 0 | 8 | magic `SNNCKPT\0` |
//! | 8 | 4 | format version, little-endian like all numbers here |
//! | 12 | 8 | payload length in bytes |
//! | 20 | 4 | CRC-32 of bytes 0..20 and of the payload |
//! | 24 | | payload: the value as bincode 2 |
//!
//! A CRC-32 notices every change of up to 32 neighbouring bits, and others with probability 1 − 2⁻³². It is no protection against intent.

use crate::{IoError, atomic, error::describe};
use serde::{Serialize, de::DeserializeOwned};
use std::{any::type_name, fs, path::Path};

const MAGIC: &[u8; 8] = b"SNNCKPT\0";
const VERSION: u32 = 1;
const HEADER: usize = 24;
const EXPECTED: &str = "a checkpoint of this program (SNNCKPT)";
/// Chosen.
const MAX_PAYLOAD: usize = 1 << 30;
/// The decoder counts the widest form of each number: at most so many bytes for one of the payload.
const WIDEST: usize = 16;

/// Saves `value` as a checkpoint, atomically; folders are created.
///
/// The format is not self-describing: types with `#[serde(untagged)]`, `flatten` or `skip_serializing_if` do not survive it.
///
/// # Errors
/// [`IoError::Value`] if serde cannot write the value, [`IoError::TooLarge`] above 1 GiB, [`IoError::Os`] from the system.
pub fn save<T: Serialize + ?Sized>(path: impl AsRef<Path>, value: &T) -> Result<(), IoError> {
    let path = path.as_ref();
    let payload = bincode::serde::encode_to_vec(value, bincode::config::standard()).map_err(|e| not_a::<T>(path, e))?;
    if payload.len() > MAX_PAYLOAD {
        return Err(IoError::TooLarge { path: path.into(), what: format!("a {}", type_name::<T>()), limit: MAX_PAYLOAD as u64 });
    }
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend((payload.len() as u64).to_le_bytes());
    bytes.extend(checksum(&bytes, &payload).to_le_bytes());
    bytes.extend(payload);
    atomic::write(path, &bytes)
}

/// Whether a checkpoint is whole, whatever it is of: the bytes of its payload.
///
/// # Errors
/// As [`load`], but for [`IoError::Value`].
pub fn verify(path: impl AsRef<Path>) -> Result<u64, IoError> {
    let path = path.as_ref();
    let bytes = fs::read(path).map_err(|e| IoError::reading(path, EXPECTED, e))?;
    Ok(payload(path, &bytes)?.len() as u64)
}

/// Loads what [`save`] has written.
///
/// # Errors
/// [`IoError::NotFound`], [`IoError::Format`] (another kind of file), [`IoError::Version`], [`IoError::Truncated`],
/// [`IoError::Trailing`], [`IoError::Checksum`] (a byte has changed), [`IoError::Value`] (intact, but no `T`), [`IoError::Os`].
pub fn load<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<T, IoError> {
    let path = path.as_ref();
    let bytes = fs::read(path).map_err(|e| IoError::reading(path, EXPECTED, e))?;
    decode(path, &bytes)
}

/// What stands behind a header that tells the truth.
fn payload<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a [u8], IoError> {
    if !bytes.starts_with(MAGIC) {
        return Err(IoError::Format { path: path.into(), expected: EXPECTED, found: describe(&bytes[..bytes.len().min(256)]) });
    }
    let truncated = |what, expected, found: usize| IoError::Truncated { path: path.into(), what, expected, found: found as u64 };
    let Some((header, payload)) = bytes.split_first_chunk::<HEADER>() else {
        return Err(truncated("header", HEADER as u64, bytes.len()));
    };
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (version, length, crc) = (word(8), u64::from(word(12)) | u64::from(word(16)) << 32, word(20));
    if version != VERSION {
        return Err(IoError::Version { path: path.into(), expected: VERSION, found: version });
    }
    if (payload.len() as u64) < length {
        return Err(truncated("payload", length, payload.len()));
    }
    if payload.len() as u64 > length {
        return Err(IoError::Trailing { path: path.into(), what: "payload", expected: length });
    }
    let found = checksum(&header[..20], payload);
    if found != crc {
        return Err(IoError::Checksum { path: path.into(), expected: crc, found });
    }
    Ok(payload)
}

fn decode<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, IoError> {
    let payload = payload(path, bytes)?;
    // A text takes the memory that its length asks for before it is read, so the limit has to be near what a payload of this length can hold.
    let decoded = match payload.len() {
        0..=0xffff => decode_within::<T, { WIDEST << 16 }>(payload),
        0x1_0000..=0xff_ffff => decode_within::<T, { WIDEST << 24 }>(payload),
        _ => decode_within::<T, { WIDEST * MAX_PAYLOAD }>(payload),
    };
    let (value, used) = decoded.map_err(|e| not_a::<T>(path, e))?;
    if used != payload.len() {
        return Err(not_a::<T>(path, format!("only {used} of {} bytes belong to it", payload.len())));
    }
    Ok(value)
}

fn decode_within<T: DeserializeOwned, const LIMIT: usize>(payload: &[u8]) -> Result<(T, usize), bincode::error::DecodeError> {
    bincode::serde::decode_from_slice(payload, bincode::config::standard().with_limit::<LIMIT>())
}

fn checksum(header: &[u8], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(header);
    crc.update(payload);
    crc.finalize()
}

fn not_a<T: ?Sized>(path: &Path, reason: impl ToString) -> IoError {
    IoError::Value { path: path.into(), expected: type_name::<T>(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Net {
        name: String,
        weights: Vec<f32>,
        step: Option<u64>,
    }

    fn saved(value: &impl Serialize) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("net.ckpt");
        save(&path, value).unwrap();
        fs::read(&path).unwrap()
    }

    fn small() -> Net {
        Net { name: "lif".into(), weights: vec![0.0, -0.0, f32::MIN_POSITIVE, 1.5], step: Some(7) }
    }

    fn refused(bytes: &[u8]) -> IoError {
        let error = decode::<Net>(Path::new("here/net.ckpt"), bytes).expect_err("damage not noticed");
        assert!(error.to_string().starts_with("here/net.ckpt: "), "{error}");
        error
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let bytes = saved(&7u8);
        assert_eq!(bytes[..20], *b"SNNCKPT\0\x01\0\0\0\x01\0\0\0\0\0\0\0");
        assert_eq!(bytes[24..], [7]);
        assert_eq!(bytes[20..24], crc32fast::hash(b"SNNCKPT\0\x01\0\0\0\x01\0\0\0\0\0\0\0\x07").to_le_bytes());
    }

    #[test]
    fn every_single_changed_byte_is_refused() {
        let good = saved(&small());
        assert_eq!(decode::<Net>(Path::new("x"), &good).unwrap(), small());
        for at in 0..good.len() {
            for other in (0..=255).filter(|&b| b != good[at]) {
                let mut bytes = good.clone();
                bytes[at] = other;
                refused(&bytes);
            }
        }
    }

    #[test]
    fn every_truncation_and_any_tail_are_refused() {
        let mut bytes = saved(&small());
        for length in 0..bytes.len() {
            assert!(matches!(refused(&bytes[..length]), IoError::Truncated { .. } | IoError::Format { .. }));
        }
        bytes.push(0);
        assert!(matches!(refused(&bytes), IoError::Trailing { .. }));
    }

    #[test]
    fn other_files_are_named() {
        assert!(matches!(load::<Net>("no/such.ckpt"), Err(IoError::NotFound { .. })));
        assert!(refused(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n").to_string().contains("git lfs pull"));
        assert!(refused(b"").to_string().contains("an empty file"));
        let mut newer = saved(&small());
        newer[8] = 2;
        assert!(refused(&newer).to_string().contains("format 2"));
        // Intact, but of another type: shorter or longer than what is asked for.
        assert!(matches!(refused(&saved(&1u8)), IoError::Value { .. }));
        assert!(matches!(refused(&saved(&(small(), 0u8))), IoError::Value { .. }));
    }

    #[test]
    fn many_small_numbers_stay_inside_the_decoder_limit() {
        let counts = vec![1u64; 100_000]; // one byte each on disk, counted as eight by the decoder
        assert_eq!(decode::<Vec<u64>>(Path::new("x"), &saved(&counts)).unwrap(), counts);
    }

    proptest! {
        #[test]
        fn values_survive(name in ".*", weights in prop::collection::vec(prop::num::f32::NORMAL, 0..50), step: Option<u64>) {
            let net = Net { name, weights, step };
            prop_assert_eq!(decode::<Net>(Path::new("x"), &saved(&net)).unwrap(), net);
        }
    }
}
