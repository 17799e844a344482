//! HDF5: trees of arrays, and spikes in the layout of SHD.

use super::{DEFLATE, Format, LEAST, PLAIN, beside, fixture, gzip};
use snn_core::{Dataset, Raster};
use snn_data::{Shd, ShdParams, Split};
use snn_io::hdf5::{Tree, read_spikes, write_spikes};
use std::path::Path;

pub const FORMAT: Format = Format {
    name: "hdf5",
    seeds,
    forms: &[PLAIN, gzip],
    words: &["spikes", "times", "units", "labels", "TREE", "HEAP", "SNOD", "GCOL", "OHDR", "OCHK", "FRHP", "FHDB", "BTHD", "FADB"],
    // Chunks may be compressed; whole numbers of one byte become eight.
    memory: |n| LEAST + 32 * DEFLATE * n,
    read,
};

fn seeds() -> Vec<Vec<u8>> {
    ["spikes_old.h5", "spikes_latest.h5", "spikes_big_endian.h5", "arrays.h5", "words.h5", "circle.h5"].map(fixture).into()
}

/// Three readers of one file: what any of them refuses it must name; the first error is the answer.
fn read(path: &Path) -> Result<Box<dyn FnOnce()>, String> {
    let tree = Tree::read(path).map_err(|e| e.to_string());
    let spikes = read_spikes(path).map_err(|e| e.to_string());
    if let Err(error) = &spikes {
        assert!(error.starts_with(&*path.to_string_lossy()), "{error}");
    }
    let path = path.to_path_buf();
    let checks = move |tree: Option<Tree>| {
        let copy = beside(&path);
        if let Some(tree) = tree.filter(|tree| tree.write(&copy).is_ok()) {
            // As text, so that a NaN equals itself.
            assert_eq!(format!("{:?}", Tree::read(&copy).unwrap()), format!("{tree:?}"));
        }
        if let Ok(spikes) = spikes {
            write_spikes(&copy, &spikes).unwrap();
            assert_eq!(read_spikes(&copy).unwrap(), spikes);
            match Shd::open(&path, Split::Train, ShdParams::default()) {
                Err(error) => assert!(error.to_string().starts_with(&*path.to_string_lossy()), "{error}"),
                Ok(set) => (0..set.len()).for_each(|i| set.load(i, &mut Raster::default())),
            }
        }
        let _ = std::fs::remove_file(copy);
    };
    // A file that only holds spikes is good as well.
    match tree {
        Ok(tree) => Ok(Box::new(move || checks(Some(tree)))),
        Err(error) => {
            checks(None);
            Err(error)
        }
    }
}
