//! `.npy` and `.npz` against the reference: the files in `fixtures/` were made by `fixtures/make_npy.py` with numpy 2.4.6.

use ndarray::{Array2, ArrayD, arr0, arr1, arr2};
use proptest::prelude::*;
use snn_io::{
    IoError,
    npy::{npz_names, read, read_npz, write, write_npz},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures").join(name)
}

/// An array file with this header and these elements, version 1.
fn npy(header: &str, elements: &[u8]) -> Vec<u8> {
    [b"\x93NUMPY\x01\0", &(header.len() as u16 + 1).to_le_bytes()[..], header.as_bytes(), b"\n", elements].concat()
}

fn refused(bytes: &[u8]) -> IoError {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npy");
    fs::write(&path, bytes).unwrap();
    let error = read::<f32>(&path).expect_err("damage not noticed");
    assert!(error.to_string().starts_with(path.to_str().unwrap()), "{error}");
    error
}

#[test]
fn files_of_numpy_are_read() {
    let expected = arr2(&[[0.0, 0.25, 0.5], [0.75, 1.0, 1.25]]).into_dyn();
    assert_eq!(read::<f64>(fixture("fortran_f8.npy")).unwrap(), expected);
    assert_eq!(read::<f32>(fixture("big_i2.npy")).unwrap(), arr1(&[-300.0, 0.0, 300.0]).into_dyn());
    assert_eq!(read::<f32>(fixture("scalar_u1.npy")).unwrap(), arr0(200.0).into_dyn());
    assert_eq!(read::<f32>(fixture("version2.npy")).unwrap(), arr1(&[1.5]).into_dyn());

    let stored = fixture("stored.npz");
    assert_eq!(npz_names(&stored).unwrap(), ["weights", "empty"]);
    assert_eq!(read_npz::<f32>(&stored, "weights").unwrap(), arr2(&[[0.5, -1.0]]).into_dyn());
    assert_eq!(read_npz::<f32>(&stored, "empty").unwrap().shape(), [0, 4]);
    let compressed = fixture("compressed.npz");
    for name in ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"] {
        let expected = arr2(&[[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]).into_dyn();
        assert_eq!(read_npz::<f32>(&compressed, name).unwrap(), expected, "{name}");
    }
    assert_eq!(read_npz::<f32>(&compressed, "b1").unwrap(), arr2(&[[0.0, 1.0], [1.0, 1.0], [1.0, 1.0]]).into_dyn());
    assert_eq!(read_npz::<f64>(&compressed, "zeros").unwrap(), ArrayD::<f64>::zeros(vec![2000]));
}

#[test]
fn what_is_wrong_is_named() {
    let says = |error: IoError, what: &str| assert!(error.to_string().contains(what), "{error}");
    says(read::<f32>(fixture("text.npy")).unwrap_err(), "text.npy: header: elements of type '<U1'; expected");
    let huge = read_npz::<f64>(fixture("compressed.npz"), "huge").unwrap_err();
    says(huge, "compressed.npz/huge.npy: element 0 in the file's order: 9223372036854775809 does not fit into f64");
    says(read_npz::<f64>(fixture("stored.npz"), "none").unwrap_err(), "no array `none.npy`, expected one of [\"weights.npy\"");
    says(read_npz::<f64>(fixture("big_i2.npy"), "x").unwrap_err(), "expected a NumPy archive");
    says(read::<f64>(fixture("stored.npz")).unwrap_err(), "a zip archive");

    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
    let good = npy(header, &[0; 8]);
    for n in 6..good.len() {
        assert!(matches!(refused(&good[..n]), IoError::Truncated { .. }), "{n} bytes");
    }
    assert!(matches!(refused(&[&good[..], b"\0"].concat()), IoError::Trailing { expected: 8, .. }));
    let shape = |shape: &str, elements: &[u8]| refused(&npy(&header.replace("(2,)", shape), elements));
    assert!(matches!(shape("(4611686018427387904, 4)", &[]), IoError::TooLarge { .. }));
    assert!(matches!(shape("(1000000000000,)", &[0; 8]), IoError::Truncated { expected: 4_000_000_000_000, found: 8, .. }));
    says(shape("(0, 4611686018427387904, 4611686018427387904)", &[]), "header: shape");
    says(shape("(-2,)", &[]), "header: error parsing header");
    says(shape(&"(".repeat(5_000), &[]), "header: nested");
    says(refused(&npy(&" ".repeat(20_000), &[])), "header: 20001 bytes long");
    for descriptor in ["<c8", "|O", "<f3", "<M8[ns]", "=f4", "", "é4", "<", "|f4"] {
        refused(&npy(&header.replace("<f4", descriptor), &[0; 8]));
    }
}

#[test]
fn archives_that_lie_or_are_damaged_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npz");
    let bytes = fs::read(fixture("compressed.npz")).unwrap();
    // The size announced for the 2000 zeros (16 128 bytes with the header), wherever it stands.
    for size in [100, u32::MAX - 1] {
        let mut bytes = bytes.clone();
        for at in 0..bytes.len() - 4 {
            if bytes[at..at + 4] == 16_128u32.to_le_bytes() {
                bytes[at..at + 4].copy_from_slice(&size.to_le_bytes());
            }
        }
        fs::write(&path, &bytes).unwrap();
        match read_npz::<f64>(&path, "zeros") {
            Err(error) => {
                assert!(error.to_string().starts_with(path.to_str().unwrap()) && error.to_string().contains("zeros.npy"), "{error}")
            }
            Ok(array) => assert_eq!(array, ArrayD::<f64>::zeros(vec![2000])), // the announcement is not what the checksum guards
        }
    }
    // A name that is a path of its own must not take the place of the archive's.
    let mut renamed = bytes.clone();
    for at in 0..renamed.len() - 8 {
        if renamed[at..].starts_with(b"huge.npy") {
            renamed[at] = b'/';
        }
    }
    fs::write(&path, renamed).unwrap();
    let message = read_npz::<f64>(&path, "/uge").unwrap_err().to_string();
    assert!(message.starts_with(path.to_str().unwrap()) && message.contains("a.npz//uge.npy: element 0"), "{message}");
    // One bit of stored elements: the checksum notices.
    let mut bytes = fs::read(fixture("stored.npz")).unwrap();
    let at = bytes.windows(4).position(|w| w == [0, 0, 0x80, 0xbf]).expect("-1.0");
    bytes[at + 1] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let message = read_npz::<f64>(&path, "weights").unwrap_err().to_string();
    assert!(message.contains("a.npz/weights.npy: archive:"), "{message}");
}

proptest! {
    #[test]
    fn arrays_survive((rows, columns) in (0usize..5, 0usize..5), fortran: bool, seed: u16) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/a.npy");
        let floats = Array2::from_shape_fn((rows, columns), |(i, j)| f64::from(seed) / (i + 7 * j + 1) as f64);
        let ints = floats.mapv(|x| x as i32);
        let (floats, ints) = if fortran { (floats.reversed_axes(), ints.reversed_axes()) } else { (floats, ints) };
        write(&path, &floats).unwrap();
        prop_assert_eq!(&read::<f64>(&path).unwrap(), &floats.clone().into_dyn());
        prop_assert_eq!(read::<f32>(&path).unwrap(), floats.mapv(|x| x as f32).into_dyn());
        write(&path, &ints).unwrap();
        prop_assert_eq!(&read::<f64>(&path).unwrap(), &ints.mapv(f64::from).into_dyn());
        let archive = dir.path().join("a.npz");
        write_npz(&archive, &[("a", &*floats), ("b", &*floats)]).unwrap();
        prop_assert_eq!(npz_names(&archive).unwrap(), ["a", "b"]);
        prop_assert_eq!(read_npz::<f64>(&archive, "b").unwrap(), floats.into_dyn());
        prop_assert!(write_npz(&archive, &[("a", &*ints), ("a", &*ints)]).is_err());
    }
}
