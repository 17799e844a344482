//! Archives of arrays of NumPy.

use super::{DEFLATE, Form, Format, LEAST, PLAIN, beside, fixture, npy::WORDS};
use ndarray::ArrayD;
use snn_io::npy;
use std::io::{Cursor, Write};
use std::path::Path;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// An archive may claim 65,535 arrays, for which the library makes room at once.
const CLAIMED: usize = 20 << 20;

pub const FORMAT: Format =
    Format { name: "npz", seeds, forms: &[PLAIN, STORED, DEFLATED], words: WORDS, memory: |n| LEAST + CLAIMED + 16 * DEFLATE * n, read };

/// An array in a good archive of its own; an archive in an archive is no array, and refused.
const STORED: Form = |array| archive(array, CompressionMethod::Stored);
const DEFLATED: Form = |array| archive(array, CompressionMethod::Deflated);

fn archive(array: &[u8], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    writer.start_file("a.npy", options).expect("a new name");
    writer.write_all(array).expect("memory does not refuse");
    writer.finish().expect("memory does not refuse").into_inner()
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = super::npy::seeds();
    seeds.extend(["stored.npz", "compressed.npz"].map(fixture));
    seeds
}

fn read(path: &Path) -> Result<Box<dyn FnOnce()>, String> {
    let names = npy::npz_names(path).map_err(|e| e.to_string())?;
    // Names of a damaged archive may be many.
    let array = |name: &String| npy::read_npz::<f64>(path, name).map_err(|e| e.to_string()).map(|array| (name.clone(), array));
    let arrays: Vec<(String, ArrayD<f64>)> = names.iter().take(4).map(array).collect::<Result<_, _>>()?;
    let copy = beside(path);
    Ok(Box::new(move || {
        let views: Vec<_> = arrays.iter().map(|(name, array)| (name.as_str(), &**array)).collect();
        npy::write_npz(&copy, &views).unwrap();
        for (name, array) in &arrays {
            assert_eq!(format!("{:?}", npy::read_npz::<f64>(&copy, name).unwrap()), format!("{array:?}"));
        }
        std::fs::remove_file(copy).unwrap();
    }))
}
