//! The idx format of the MNIST family: unsigned bytes in an array of known shape.
//!
//! Two zero bytes, the element type (8: unsigned byte, the only one read here), the number of dimensions, each dimension as a big-endian
//! `u32`, then the elements, last dimension fastest. Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database", file formats.

use crate::{IoError, error::describe};
use flate2::bufread::MultiGzDecoder;
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

const EXPECTED: &str = "an idx file of unsigned bytes (it begins with 00 00 08), plain or gzip";
/// Chosen: some thirty times the largest file of the family (EMNIST by class).
const MAX_BYTES: u64 = 1 << 34;

/// An array of bytes and its shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idx {
    /// Length of each dimension, outermost first: `[60000, 28, 28]`. Their product is the length of `data`.
    pub dims: Vec<usize>,
    /// The elements, last dimension fastest.
    pub data: Vec<u8>,
}

/// Reads an idx file, gzip or not: its contents decide, not its name.
///
/// Memory: at most twice what the file really holds; a header that promises more costs nothing, and what follows the promised bytes is
/// not expanded.
///
/// # Errors
/// [`IoError::NotFound`], [`IoError::Format`] (another kind of file; git-lfs and git-annex pointers and web pages are recognised),
/// [`IoError::Truncated`], [`IoError::Trailing`], [`IoError::TooLarge`] (the dimensions' product), [`IoError::Gzip`], [`IoError::Os`].
pub fn read(path: impl AsRef<Path>) -> Result<Idx, IoError> {
    let path = path.as_ref();
    let file = File::open(path).map_err(|e| IoError::reading(path, EXPECTED, e))?;
    decode(path, BufReader::new(file))
}

/// Reads `dir/stem.gz`, or else `dir/stem`, and says which; if there is neither, the first is the one reported missing.
///
/// # Errors
/// As [`read`].
pub fn read_either(dir: impl AsRef<Path>, stem: &str) -> Result<(PathBuf, Idx), IoError> {
    let (compressed, plain) = (dir.as_ref().join(format!("{stem}.gz")), dir.as_ref().join(stem));
    match read(&compressed) {
        Err(missing @ IoError::NotFound { .. }) => match read(&plain) {
            Err(IoError::NotFound { .. }) => Err(missing),
            other => other.map(|idx| (plain, idx)),
        },
        other => other.map(|idx| (compressed, idx)),
    }
}

/// Writes an idx file, plain.
///
/// ```
/// use snn_io::idx::{self, Idx};
/// let dir = tempfile::tempdir()?;
/// let labels = Idx { dims: vec![3], data: vec![0, 2, 1] };
/// idx::write(dir.path().join("train-labels-idx1-ubyte"), &labels)?;
/// assert_eq!(idx::read(dir.path().join("train-labels-idx1-ubyte"))?, labels);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`IoError::Os`].
///
/// # Panics
/// If the dimensions are not those of the data, or do not fit into the format (255 of them, each below 2³²).
#[track_caller]
pub fn write(path: impl AsRef<Path>, idx: &Idx) -> Result<(), IoError> {
    assert_eq!(idx.dims.iter().product::<usize>(), idx.data.len(), "an array of shape {:?}", idx.dims);
    let mut bytes = vec![0, 0, 8, u8::try_from(idx.dims.len()).expect("at most 255 dimensions")];
    idx.dims.iter().for_each(|&n| bytes.extend(u32::try_from(n).expect("a dimension below 2³²").to_be_bytes()));
    bytes.extend(&idx.data);
    crate::atomic::write(path, &bytes)
}

fn decode(path: &Path, mut raw: impl BufRead) -> Result<Idx, IoError> {
    let os = |e| IoError::os(path, "read it", e);
    if raw.fill_buf().map_err(os)?.starts_with(&[0x1f, 0x8b]) {
        parse(path, BufReader::new(MultiGzDecoder::new(raw)), |source| IoError::Gzip { path: path.into(), source })
    } else {
        parse(path, raw, os)
    }
}

fn parse(path: &Path, mut reader: impl BufRead, broken: impl Fn(io::Error) -> IoError) -> Result<Idx, IoError> {
    // A gzip stream that ends early is reported as such an error, a plain file simply ends.
    let mut take = |what: &'static str, bytes: u64, extra: u64| -> Result<Vec<u8>, IoError> {
        let mut taken = Vec::new();
        match (&mut reader).take(bytes + extra).read_to_end(&mut taken) {
            Err(e) if e.kind() != io::ErrorKind::UnexpectedEof => Err(broken(e)),
            Err(_) => Err(IoError::Truncated { path: path.into(), what, expected: bytes, found: taken.len() as u64 }),
            Ok(_) => Ok(taken),
        }
    };
    let complete = |what, bytes: u64, taken: Vec<u8>| match taken.len() as u64 {
        found if found < bytes => Err(IoError::Truncated { path: path.into(), what, expected: bytes, found }),
        found if found > bytes => Err(IoError::Trailing { path: path.into(), what, expected: bytes }),
        _ => Ok(taken),
    };
    let head = take("header", 4, 0)?;
    let &[0, 0, 8, rank @ 1..=255] = &head[..] else {
        let mut head = head;
        head.extend(take("header", 256, 0).unwrap_or_default());
        return Err(IoError::Format { path: path.into(), expected: EXPECTED, found: describe(&head) });
    };
    let bytes = 4 * u64::from(rank);
    let lengths = complete("dimensions", bytes, take("dimensions", bytes, 0)?)?;
    let dims: Vec<u32> = lengths.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]])).collect();
    let size = dims.iter().try_fold(1u64, |product, &n| product.checked_mul(n.into())).filter(|&size| size <= MAX_BYTES);
    let Some(size) = size else {
        return Err(IoError::TooLarge { path: path.into(), what: format!("an array of shape {dims:?}"), limit: MAX_BYTES });
    };
    // One byte more than announced: enough to see that there are more, and to make a complete gzip stream check its checksum.
    let mut data = complete("elements", size, take("elements", size, 1)?)?;
    data.shrink_to_fit();
    Ok(Idx { dims: dims.into_iter().map(|n| n as usize).collect(), data })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;
    use std::io::Write;

    // Worked by hand from the format's description: two images of one row and three columns.
    const GOLDEN: &[u8] = &[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 10, 20, 30, 40, 50, 60];

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn check(bytes: &[u8]) -> Result<Idx, IoError> {
        let result = decode(Path::new("dir/images"), bytes);
        if let Err(error) = &result {
            assert!(error.to_string().starts_with("dir/images: "), "{error}");
        }
        result
    }

    #[test]
    fn golden_bytes_plain_and_gzip() {
        let expected = Idx { dims: vec![2, 1, 3], data: vec![10, 20, 30, 40, 50, 60] };
        assert_eq!(check(GOLDEN).unwrap(), expected);
        assert_eq!(check(&gzip(GOLDEN)).unwrap(), expected);
        assert_eq!(check(&[gzip(&GOLDEN[..9]), gzip(&GOLDEN[9..])].concat()).unwrap(), expected); // two gzip members
        assert_eq!(check(&[0, 0, 8, 1, 0, 0, 0, 0]).unwrap(), Idx { dims: vec![0], data: vec![] });
    }

    #[test]
    fn truncation_and_tails_are_refused() {
        let compressed = gzip(GOLDEN);
        for n in 4..GOLDEN.len() {
            assert!(matches!(check(&GOLDEN[..n]), Err(IoError::Truncated { .. })), "{n} bytes");
            assert!(matches!(check(&gzip(&GOLDEN[..n])), Err(IoError::Truncated { .. })), "{n} bytes in gzip");
        }
        for n in 2..compressed.len() {
            assert!(check(&compressed[..n]).is_err(), "{n} bytes of gzip");
        }
        let longer = [GOLDEN, b"\0"].concat();
        assert!(matches!(check(&longer), Err(IoError::Trailing { expected: 6, .. })));
        assert!(matches!(check(&gzip(&longer)), Err(IoError::Trailing { .. })));
        assert!(check(&[&compressed[..], b"tail"].concat()).is_err());
    }

    #[test]
    fn dimensions_that_overflow_or_promise_too_much_cost_nothing() {
        let huge = [&[0, 0, 8, 3][..], &[0xff; 12]].concat();
        assert!(matches!(check(&huge), Err(IoError::TooLarge { .. })));
        let promise = [0, 0, 8, 2, 0, 1, 0, 0, 0, 1, 0, 0, 1, 2, 3]; // 4 GiB announced, three bytes there
        assert!(matches!(check(&promise), Err(IoError::Truncated { expected: 0x1_0000_0000, found: 3, .. })));
        let bomb = gzip(&[GOLDEN, &vec![0; 1 << 20]].concat());
        assert!(matches!(check(&bomb), Err(IoError::Trailing { expected: 6, .. })));
    }

    #[test]
    fn other_files_are_named() {
        let says = |bytes: &[u8], what: &str| {
            let message = check(bytes).unwrap_err().to_string();
            assert!(message.contains(what) && message.contains("00 00 08"), "{message}");
        };
        says(b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n", "git lfs pull");
        says(b"/annex/objects/SHA256E-s29515--8d4.gz\n", "git annex get");
        says(b"\n<!DOCTYPE html><html><head>", "a web page");
        says(&gzip(b"<html>not found"), "a web page");
        says(b"", "an empty file");
        says(&[0, 0, 0x0d, 1, 0, 0, 0, 0], "[00, 00, 0d, 01"); // floats
        let missing = read("no/such/file").unwrap_err().to_string();
        assert!(missing.contains("no/such/file: not found; expected an idx file"), "{missing}");
    }

    proptest! {
        #[test]
        fn mutations_never_panic_and_gzip_notices_them(at: prop::sample::Index, by in 1u8..) {
            let mut plain = GOLDEN.to_vec();
            plain[at.index(GOLDEN.len())] ^= by;
            if let Ok(idx) = check(&plain) {
                prop_assert_eq!(idx.dims.iter().product::<usize>(), idx.data.len());
            }
            let mut compressed = gzip(GOLDEN);
            let index = 10 + at.index(compressed.len() - 10); // after gzip's own header, which has no checksum
            compressed[index] ^= by;
            // The padding bits before the checksum may change without changing anything.
            prop_assert!(check(&compressed).map_or(true, |idx| idx == check(GOLDEN).unwrap()));
        }

        #[test]
        fn arrays_survive(dims in prop::collection::vec(0u32..6, 1..5), zip: bool) {
            let data: Vec<u8> = (0..dims.iter().product::<u32>()).map(|i| i as u8).collect();
            let mut bytes = vec![0, 0, 8, dims.len() as u8];
            dims.iter().for_each(|n| bytes.extend(n.to_be_bytes()));
            bytes.extend(&data);
            let idx = check(&if zip { gzip(&bytes) } else { bytes }).unwrap();
            prop_assert_eq!(idx, Idx { dims: dims.iter().map(|&n| n as usize).collect(), data });
        }
    }
}
