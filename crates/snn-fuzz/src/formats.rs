//! The formats, one file each.

use flate2::{Compression, bufread::MultiGzDecoder, write::GzEncoder};
use std::io::{Read as _, Write};
use std::path::Path;

/// A format: good files of it, how to break them, how to read them, what must hold.
pub struct Format {
    /// Name on the command line.
    pub name: &'static str,
    /// Good files, not packed.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// How a file is packed after it has been broken: [`PLAIN`], [`gzip`], with a new checksum.
    pub forms: &'static [Form],
    /// Words that mean something in it.
    pub words: &'static [&'static str],
    /// The most memory that reading a file may take, by its bytes once it is expanded.
    pub memory: fn(usize) -> usize,
    /// Reads a file.
    pub read: Read,
}

/// Packs a file.
pub type Form = fn(&[u8]) -> Vec<u8>;

/// An error's text, or what is to be checked of the value that was read: by panicking where it does not hold.
pub type Read = fn(&Path) -> Result<Box<dyn FnOnce()>, String>;

/// Declares the module of each format and lists them in the given order.
macro_rules! formats {
    ($($name:ident),+ $(,)?) => {
        $(mod $name;)+

        /// Every format.
        pub const ALL: &[Format] = &[$($name::FORMAT),+];
    };
}

formats! { idx, aer, wav, hdf5, nir, npy, npz, csv, onnx, network, recipe, checkpoint }

/// The format of that name.
pub fn find(name: &str) -> Option<&'static Format> {
    ALL.iter().find(|format| format.name == name)
}

/// As it is.
pub const PLAIN: Form = <[u8]>::to_vec;

/// Compressed.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory does not refuse")
}

/// How many bytes a file has once it is expanded.
pub fn expanded(bytes: &[u8]) -> usize {
    let (mut decoder, mut room, mut count) = (MultiGzDecoder::new(bytes), [0; 1 << 13], 0);
    while let Ok(n @ 1..) = decoder.read(&mut room) {
        count += n;
    }
    count.max(bytes.len())
}

/// What every reader may take whatever the file: buffers, tables of decompressors.
const LEAST: usize = 1 << 20;
/// The most that deflate makes of a byte inside a file.
const DEFLATE: usize = 1032;

/// A file of the fixtures that reference libraries made.
fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../snn-io/tests/it/fixtures").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The inputs of `corpus/FORMAT` that once failed, in the order of their names.
pub fn failed_before(format: &Format) -> Vec<Vec<u8>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    assert!(corpus.is_dir(), "{}: not there, and with it all that once failed", corpus.display());
    let Ok(entries) = std::fs::read_dir(corpus.join(format.name)) else { return Vec::new() };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths.iter().filter_map(|path| std::fs::read(path).ok()).collect()
}

/// Beside the file that was read: where it is written again.
fn beside(path: &Path) -> std::path::PathBuf {
    path.with_extension("again")
}
