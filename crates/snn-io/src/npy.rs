//! Arrays of NumPy: `.npy` files and `.npz` archives.
//!
//! Source: NumPy reference, "numpy.lib.format". Read are booleans, whole numbers of 8 to 64 bits and floats of 16 to 64 bits, either byte
//! order, C and Fortran order; not read are text, complex numbers, structures and objects. In errors about an array of an archive the path
//! is the archive's with the array's name after it.

use crate::{
    IoError, Real, atomic,
    bytes::MAX_EXPANDED,
    error::shortened,
    number::{Kind, Stored},
};
use ndarray::{ArrayD, ArrayRef, Dimension, IxDyn, ShapeBuilder};
use ndarray_npy::{NpzWriter, WritableElement, WriteNpyExt, npy::header::Header};
use std::{
    fs,
    io::{Cursor, Read},
    path::{Path, PathBuf},
};
use zip::{ZipArchive, result::ZipError};

const EXPECTED: &str = "a NumPy array (.npy; it begins with 93 'NUMPY')";
const EXPECTED_NPZ: &str = "a NumPy archive (.npz, a zip file)";
const MAGIC: &[u8] = b"\x93NUMPY";
/// NumPy's own limit.
const MAX_HEADER: usize = 10_000;

/// Reads an array of any number type as `f32` or `f64`.
///
/// Memory: the file and the array; a header that promises more costs nothing.
///
/// # Errors
/// [`IoError::NotFound`], [`IoError::Format`] (another kind of file), [`IoError::Truncated`], [`IoError::Trailing`],
/// [`IoError::TooLarge`] (a shape whose product overflows), [`IoError::Content`] (a header that makes no sense, elements that are no numbers,
/// or one that does not fit into `T`), [`IoError::Os`].
///
/// ```
/// use ndarray::arr2;
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("weights.npy");
/// snn_io::npy::write(&path, &arr2(&[[1i64, -2], [3, 4]]))?;
/// assert_eq!(snn_io::npy::read::<f32>(&path)?, arr2(&[[1.0, -2.0], [3.0, 4.0]]).into_dyn());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read<T: Real>(path: impl AsRef<Path>) -> Result<ArrayD<T>, IoError> {
    let path = path.as_ref();
    let bytes = fs::read(path).map_err(|e| IoError::reading(path, EXPECTED, e))?;
    decode(path, &bytes)
}

/// Writes an array of `f32`, `f64`, whole numbers or truth values in its own type, atomically; folders are created.
///
/// # Errors
/// [`IoError::Content`] if the format cannot hold it, [`IoError::Os`] from the system.
pub fn write<A: WritableElement, D: Dimension>(path: impl AsRef<Path>, array: &ArrayRef<A, D>) -> Result<(), IoError> {
    let path = path.as_ref();
    let mut bytes = Vec::new();
    array.write_npy(&mut bytes).map_err(|e| IoError::content(path, "array", e.to_string()))?;
    atomic::write(path, &bytes)
}

/// The names of the arrays in an archive (without `.npy`), in its order.
///
/// # Errors
/// As [`read_npz`].
pub fn npz_names(path: impl AsRef<Path>) -> Result<Vec<String>, IoError> {
    let path = path.as_ref();
    let bytes = fs::read(path).map_err(|e| IoError::reading(path, EXPECTED_NPZ, e))?;
    let archive = open(path, &bytes)?;
    Ok(archive.file_names().map(|name| name.strip_suffix(".npy").unwrap_or(name).to_owned()).collect())
}

/// Reads the array `name` of an archive, stored or compressed, as [`read`] does.
///
/// Memory: the archive, the array's bytes (at most 4 GiB, and never more than is there or was announced), and the array.
///
/// # Errors
/// As [`read`]; [`IoError::Content`] also for a damaged archive, a checksum that disagrees or a name that is not there, and
/// [`IoError::TooLarge`] for an array of more than 4 GiB.
pub fn read_npz<T: Real>(path: impl AsRef<Path>, name: &str) -> Result<ArrayD<T>, IoError> {
    let (path, plain) = member(path.as_ref(), name)?;
    decode(&path, &plain)
}

/// The type of the elements of an array as NumPy writes it, `<f4` or `|u1`: of a `.npy`, or of the array `name` of an archive.
///
/// # Errors
/// As [`read`] and [`read_npz`].
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("whole.npy");
/// snn_io::npy::write(&path, &ndarray::arr1(&[1i64, -2]))?;
/// assert_eq!(snn_io::npy::element_type(&path, None)?, "<i8");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn element_type(path: impl AsRef<Path>, name: Option<&str>) -> Result<String, IoError> {
    let path = path.as_ref();
    let (path, bytes) = match name {
        Some(name) => member(path, name)?,
        None => (path.into(), fs::read(path).map_err(|e| IoError::reading(path, EXPECTED, e))?),
    };
    let (header, _) = header(&path, &bytes)?;
    let descriptor = header.type_descriptor;
    Ok(descriptor.as_string().map_or_else(|| descriptor.to_string(), Clone::clone))
}

/// Writes named arrays of one type as an archive (stored, not compressed), atomically; folders are created.
///
/// # Errors
/// [`IoError::Content`] for a name that occurs twice or what the format cannot hold, [`IoError::Os`] from the system.
pub fn write_npz<A: WritableElement, D: Dimension>(path: impl AsRef<Path>, arrays: &[(&str, &ArrayRef<A, D>)]) -> Result<(), IoError> {
    let path = path.as_ref();
    let mut archive = NpzWriter::new(Cursor::new(Vec::new()));
    for &(name, array) in arrays {
        archive.add_array(name, array).map_err(|e| IoError::content(path, format!("array `{name}`"), e.to_string()))?;
    }
    let bytes = archive.finish().map_err(|e| IoError::content(path, "archive", e.to_string()))?;
    atomic::write(path, bytes.get_ref())
}

/// The bytes of an array of an archive, and what errors call it.
fn member(path: &Path, name: &str) -> Result<(PathBuf, Vec<u8>), IoError> {
    let bytes = fs::read(path).map_err(|e| IoError::reading(path, EXPECTED_NPZ, e))?;
    let inside = format!("{name}.npy");
    let mut archive = open(path, &bytes)?;
    let names: Vec<String> = archive.file_names().map(Into::into).collect();
    let mut file = archive.by_name(&inside).map_err(|e| match e {
        ZipError::FileNotFound => IoError::content(path, "archive", format!("no array `{inside}`, expected one of {names:?}")),
        e => damaged(&within(path, &inside), e),
    })?;
    let path = within(path, &inside);
    let size = file.size();
    if size > MAX_EXPANDED {
        return Err(IoError::TooLarge { path, what: "the array".into(), limit: MAX_EXPANDED });
    }
    let mut plain = Vec::new();
    // One byte more than announced: reaching the end makes the archive check its checksum.
    (&mut file).take(size + 1).read_to_end(&mut plain).map_err(|e| damaged(&path, e))?;
    if plain.len() as u64 > size {
        return Err(IoError::Trailing { path, what: "the array", expected: size });
    }
    Ok((path, plain))
}

/// The path that errors name: also where an archive calls an array `/a.npy` or `../a.npy`.
fn within(path: &Path, name: &str) -> PathBuf {
    let mut whole = path.as_os_str().to_owned();
    whole.push("/");
    whole.push(shortened(name.into()));
    whole.into()
}

fn open<'a>(path: &Path, bytes: &'a [u8]) -> Result<ZipArchive<Cursor<&'a [u8]>>, IoError> {
    if !bytes.starts_with(b"PK") {
        return Err(IoError::format(path, EXPECTED_NPZ, bytes));
    }
    ZipArchive::new(Cursor::new(bytes)).map_err(|e| damaged(path, e))
}

fn damaged(path: &Path, error: impl ToString) -> IoError {
    IoError::content(path, "archive", format!("{}; expected {EXPECTED_NPZ}: copy or download it again", error.to_string()))
}

/// The header of an array, and the bytes of its elements.
fn header<'a>(path: &Path, bytes: &'a [u8]) -> Result<(Header, &'a [u8]), IoError> {
    if !bytes.starts_with(MAGIC) {
        return Err(IoError::format(path, EXPECTED, bytes));
    }
    let truncated = |what, expected: usize, found: usize| {
        let (expected, found) = (expected as u64, found as u64);
        IoError::Truncated { path: path.into(), what, expected, found }
    };
    let nonsense = |reason: String| IoError::content(path, "header", format!("{reason}; expected {EXPECTED} of plain numbers"));
    let start = if bytes.get(6) == Some(&1) { 10 } else { 12 };
    let Some(length) = bytes.get(8..start) else { return Err(truncated("header", start, bytes.len())) };
    let length = length.iter().rev().fold(0, |n, &byte| n << 8 | usize::from(byte));
    if length > MAX_HEADER {
        return Err(nonsense(format!("{length} bytes long")));
    }
    let Some((head, elements)) = bytes.split_at_checked(start + length) else {
        return Err(truncated("header", start + length, bytes.len()));
    };
    // One dictionary with one tuple in it. The parser recurses into whatever is nested more deeply.
    if head.iter().filter(|byte| b"([{".contains(byte)).count() > 2 {
        return Err(nonsense("nested".into()));
    }
    let header = Header::from_reader(&mut &head[..]).map_err(|e| nonsense(e.to_string()))?;
    Ok((header, elements))
}

fn decode<T: Real>(path: &Path, bytes: &[u8]) -> Result<ArrayD<T>, IoError> {
    let (header, elements) = header(path, bytes)?;
    let truncated = |what, expected: usize, found: usize| {
        let (expected, found) = (expected as u64, found as u64);
        IoError::Truncated { path: path.into(), what, expected, found }
    };
    let nonsense = |reason: String| IoError::content(path, "header", format!("{reason}; expected {EXPECTED} of plain numbers"));
    let stored = header.type_descriptor.as_string().and_then(|descriptor| stored(descriptor));
    let Some(stored) = stored else { return Err(nonsense(format!("elements of type {}", header.type_descriptor))) };
    let Some(size) = header.shape.iter().try_fold(stored.size, |product, &n| product.checked_mul(n)) else {
        let what = format!("an array of shape {:?}", header.shape);
        return Err(IoError::TooLarge { path: path.into(), what, limit: isize::MAX as u64 });
    };
    if elements.len() < size {
        return Err(truncated("elements", size, elements.len()));
    }
    if elements.len() > size {
        return Err(IoError::Trailing { path: path.into(), what: "elements", expected: size as u64 });
    }
    let mut values = Vec::new();
    stored.read(path, elements, &mut values, |i| format!("element {i} in the file's order"))?;
    let shape = IxDyn(&header.shape).set_f(header.layout.is_fortran());
    ArrayD::from_shape_vec(shape, values).map_err(|e| nonsense(format!("shape {:?}: {e}", header.shape)))
}

/// `<f4`: byte order, kind, bytes.
fn stored(descriptor: &str) -> Option<Stored> {
    let (order, rest) = descriptor.split_at_checked(1)?;
    let (kind, size) = rest.split_at_checked(1)?;
    let kind = match kind {
        "f" => Kind::Float,
        "i" => Kind::Signed,
        "u" => Kind::Unsigned,
        "b" if size == "1" => Kind::Unsigned,
        _ => return None,
    };
    let big_endian = match order {
        ">" => true,
        "<" => false,
        "|" if size == "1" => false,
        _ => return None,
    };
    Stored::new(kind, size.parse().ok()?, big_endian)
}
