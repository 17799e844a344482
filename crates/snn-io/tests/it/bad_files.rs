//! Every reader against every kind of bad file: an error that begins with the path and says what was expected.
//!
//! Files that were broken by chance, and the memory and time that readers take for them, are the business of the package `snn-fuzz`; headers that lie are in the
//! readers' own tests.

use crate::onnx_file;
use flate2::{Compression, write::GzEncoder};
use snn_io::{Event, IoError, aer, codec, csv, hdf5, idx, json, nir, npy, onnx, wav};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::LazyLock,
};
use tempfile::TempDir;

struct Reader {
    name: &'static str,
    /// What was read, as text.
    read: fn(&Path) -> Result<String, IoError>,
    good: Vec<u8>,
    /// Whether the format itself shows where a file ends: not so for a list of events, or for the last line of a text.
    ends: bool,
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures").join(name)).unwrap()
}

/// The bytes that `write` leaves.
fn written(write: impl FnOnce(&Path) -> Result<(), IoError>) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("good");
    write(&path).unwrap();
    fs::read(path).unwrap()
}

fn text<T: std::fmt::Debug>(result: Result<T, IoError>) -> Result<String, IoError> {
    result.map(|value| format!("{value:?}"))
}

/// A table, one row after the other.
fn by_rows(path: &Path) -> Result<Vec<f64>, IoError> {
    let (mut rows, mut all) = (csv::Rows::open(path)?, Vec::new());
    while rows.next()? {
        for k in 0..rows.columns().len() {
            all.push(rows.number(k, &[])?);
        }
    }
    Ok(all)
}

static READERS: LazyLock<Vec<Reader>> = LazyLock::new(|| {
    const IDX: &[u8] = &[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 10, 20, 30, 40, 50, 60];
    const TABLE: &[u8] = b"a,b\n1,2\n3,4\n";
    let wav = [b"RIFF\x2c\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\x08\0\0\0", &[7; 8][..]].concat();
    let events: Vec<Event> = (0..9).map(|i| Event { x: 3 * i, y: 33 - i, on: i % 2 == 0, t_us: 1000 * u32::from(i) }).collect();
    let csv = |path: &Path| text(csv::read(path, &csv::Options::default()));
    let rows = |path: &Path| text(by_rows(path));
    let spikes = |path: &Path| text(hdf5::read_spikes(path));
    let model = onnx_file::Model::new(13, &[1, 1, 4, 4]).weights("w", &[2, 1, 3, 3], &[0.5; 18]).weights("b", &[2], &[1.0, 2.0]);
    let model = model.node("Conv", &["x", "w", "b"], "c", &[("pads", onnx_file::Attribute::Ints(vec![1, 1, 0, 0]))]);
    let model = model.list("s", &[1, -1]).node("Relu", &["c"], "r", &[]).node("Reshape", &["r", "s"], "y", &[]).file("y");
    vec![
        Reader { name: "idx", read: |path| text(idx::read(path)), good: IDX.into(), ends: true },
        Reader { name: "idx in gzip", read: |path| text(idx::read(path)), good: gzip(IDX), ends: true },
        Reader { name: "aer", read: |path| text(aer::read(path)), good: written(|path| aer::write(path, &events)), ends: false },
        Reader { name: "wav", read: |path| text(wav::read(path)), good: wav, ends: true },
        Reader { name: "hdf5", read: spikes, good: fixture("spikes_old.h5"), ends: true },
        Reader { name: "hdf5, latest", read: spikes, good: fixture("spikes_latest.h5"), ends: true },
        Reader { name: "hdf5 in gzip", read: spikes, good: gzip(&fixture("spikes_latest.h5")), ends: true },
        Reader { name: "hdf5 array", read: |path| text(hdf5::read_array::<f32>(path, "gzip")), good: fixture("arrays.h5"), ends: true },
        Reader { name: "hdf5, a NIR graph", read: |path| text(nir::read(path)), good: fixture("zoo.nir"), ends: true },
        Reader { name: "npy", read: |path| text(npy::read::<f64>(path)), good: fixture("fortran_f8.npy"), ends: true },
        Reader { name: "npz", read: |path| text(npy::read_npz::<f64>(path, "weights")), good: fixture("stored.npz"), ends: true },
        Reader {
            name: "npz, compressed",
            read: |path| text(npy::read_npz::<f64>(path, "f4")),
            good: fixture("compressed.npz"),
            ends: true,
        },
        Reader { name: "onnx", read: |path| text(onnx::read(path)), good: model, ends: true },
        Reader { name: "csv", read: csv, good: TABLE.into(), ends: false },
        Reader { name: "csv by rows", read: rows, good: TABLE.into(), ends: false },
        Reader { name: "csv in gzip", read: csv, good: gzip(TABLE), ends: true },
        Reader { name: "json", read: |path| text(json::load_json::<Vec<u8>>(path)), good: b"[1, 2]\n".into(), ends: true },
        Reader {
            name: "checkpoint",
            read: |path| text(codec::load::<Vec<f32>>(path)),
            good: written(|path| codec::save(path, &vec![1.0f32; 4])),
            ends: true,
        },
    ]
});

/// The error's text; it begins with the path and names what should have been there, or what the system refused.
fn refused(reader: &Reader, path: &Path, what: &str) -> String {
    let error = match (reader.read)(path) {
        Ok(value) => panic!("{}: {what} was read as {value}", reader.name),
        Err(error) => error.to_string(),
    };
    assert!(error.starts_with(path.to_str().unwrap()), "{}: {what}: {error}", reader.name);
    let says = ["expected", "could not read it", "damaged gzip", "copy or download it again"].iter().any(|says| error.contains(says));
    assert!(says, "{}: {what}: {error}", reader.name);
    error
}

fn in_file(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn good_files_are_read() {
    let dir = tempfile::tempdir().unwrap();
    for reader in READERS.iter() {
        (reader.read)(&in_file(&dir, "good", &reader.good)).unwrap_or_else(|e| panic!("{}: {e}", reader.name));
    }
}

#[test]
fn files_of_another_kind() {
    let dir = tempfile::tempdir().unwrap();
    let page = b"\n<!DOCTYPE html><html><head><title>404</title></head></html>\n";
    let garbage: Vec<u8> = (0..1000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for reader in READERS.iter() {
        let says = |name: &str, bytes: &[u8], what: &str| {
            let error = refused(reader, &in_file(&dir, name, bytes), what);
            assert!(error.contains("expected"), "{}: {what}: {error}", reader.name);
            error
        };
        let named = |error: String, what: &str| assert!(reader.name == "json" || error.contains(what), "{}: {error}", reader.name);
        named(says("empty", b"", "an empty file"), "an empty file");
        named(says("lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n", "an lfs pointer"), "git lfs pull");
        named(says("annex", b"/annex/objects/SHA256E-s29515--8d4.gz\n", "an annex pointer"), "git annex get");
        named(says("page.html", page, "a web page"), "a web page");
        named(says("page.gz", page, "a web page named .gz"), "a web page");
        says("garbage", &garbage, "garbage");
        says("zeros", &[0; 1001], "zeros");
        says("page.gz", &gzip(page), "a compressed web page");
        says("page.gz", &gzip(b""), "nothing, compressed");
        says("page.gz", &gzip(&garbage), "compressed garbage");
        let kind = reader.name.split([' ', ',']).next().unwrap();
        for other in READERS.iter().filter(|other| !other.name.starts_with(kind)) {
            says("other", &other.good, other.name);
        }
    }
}

#[test]
fn paths_that_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let file = in_file(&dir, "file", b"x");
    for reader in READERS.iter() {
        let error = refused(reader, &dir.path().join("none/such"), "a missing file");
        assert!(error.contains("not found; expected"), "{error}");
        refused(reader, &folder, "a folder");
        refused(reader, &file.join("below"), "a path through a file");
        // Instead of permissions, which do not bind every user.
        #[cfg(unix)]
        {
            let circle = dir.path().join("circle");
            let _ = std::os::unix::fs::symlink(&circle, &circle);
            refused(reader, &circle, "a link to itself");
        }
    }
}

#[test]
fn truncations() {
    let dir = tempfile::tempdir().unwrap();
    for reader in READERS.iter() {
        let good = (reader.read)(&in_file(&dir, "good", &reader.good)).unwrap();
        let step = 1 + reader.good.len() / 500;
        let mut errors = 0;
        for n in (0..reader.good.len()).step_by(step) {
            let path = in_file(&dir, "cut", &reader.good[..n]);
            match (reader.read)(&path) {
                // What is cut off may be padding, or a final newline.
                Ok(value) => assert!(!reader.ends || value == good, "{}: {n} bytes read as {value}", reader.name),
                Err(_) => {
                    refused(reader, &path, "a cut file");
                    errors += 1;
                }
            }
        }
        // One array of a file may lie before most of the others.
        assert!(errors * step * 10 > reader.good.len(), "{}: only {errors} truncations noticed", reader.name);
    }
}
