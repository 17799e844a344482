//! Arrays of NumPy.

use super::{Format, LEAST, PLAIN, beside, fixture};
use snn_io::npy;
use std::path::Path;

pub const FORMAT: Format = Format { name: "npy", seeds, forms: &[PLAIN], words: WORDS, memory: |n| LEAST + 32 * n, read };

pub const WORDS: &[&str] = &[
    "'descr'",
    "'fortran_order'",
    "'shape'",
    "<f4",
    "<f8",
    ">i2",
    "|u1",
    "|b1",
    "<f2",
    ">u8",
    "True",
    "False",
    "(",
    ")",
    ", ",
    "()",
    "(2,)",
    "(3, 2)",
];

pub fn seeds() -> Vec<Vec<u8>> {
    ["fortran_f8.npy", "big_i2.npy", "scalar_u1.npy", "version2.npy"].map(fixture).into()
}

fn read(path: &Path) -> Result<Box<dyn FnOnce()>, String> {
    // What does not fit into f32 may fit into f64.
    let narrow = npy::read::<f32>(path).map_err(|e| e.to_string());
    let wide = npy::read::<f64>(path).map_err(|e| e.to_string())?;
    let copy = beside(path);
    Ok(Box::new(move || {
        assert!(narrow.is_ok_and(|narrow| narrow.shape() == wide.shape()) || wide.iter().any(|x| f64::from(*x as f32) != *x));
        npy::write(&copy, &wide).unwrap();
        let again = npy::read::<f64>(&copy).unwrap();
        assert!(
            again.shape() == wide.shape() && again.iter().zip(&wide).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan())
        );
        std::fs::remove_file(copy).unwrap();
    }))
}
