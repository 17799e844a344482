//! HDF5 against the reference library.
//!
//! The files in `fixtures/` were made by `fixtures/make_hdf5.py` with h5py 3.16.0 (HDF5 2.0.0), in the layout of SHD and SSC. The data sets
//! themselves could not be had: what is tested is their format, not their contents.

use flate2::{Compression, write::GzEncoder};
use ndarray::{ArrayD, arr0, arr1, arr2};
use proptest::prelude::*;
use snn_io::{
    IoError, SpikeTrains,
    hdf5::{Array, Tree, Values, read_array, read_spikes, write_spikes},
};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures").join(name)
}

/// What the script put into every file of spikes.
fn expected() -> SpikeTrains {
    let mut trains = SpikeTrains::default();
    trains.push(&[0.0, 0.25, 0.5], &[3, 699, 0], 7);
    trains.push(&[], &[], 0);
    trains.push(&[0.000_976_562_5, 1.5], &[12, 350], 19);
    trains
}

#[test]
fn files_of_the_reference_library_are_read() {
    for name in ["spikes_old.h5", "spikes_latest.h5", "spikes_big_endian.h5"] {
        let trains = read_spikes(fixture(name)).unwrap();
        assert_eq!(trains, expected(), "{name}");
        assert_eq!((trains.len(), trains.events()), (3, 5));
        assert_eq!(trains.trial(2), (&[0.000_976_562_5, 1.5][..], &[12, 350][..]));
        assert_eq!(read_array::<f32>(fixture(name), "extra/speaker").unwrap(), arr1(&[4.0, 5.0, 6.0]).into_dyn());
    }
}

#[test]
fn gzip_is_expanded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shd_train.h5.gz");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&fs::read(fixture("spikes_old.h5")).unwrap()).unwrap();
    let bytes = encoder.finish().unwrap();
    fs::write(&path, &bytes).unwrap();
    assert_eq!(read_spikes(&path).unwrap(), expected());
    fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    assert!(matches!(read_spikes(&path), Err(IoError::Gzip { .. })));
}

#[test]
fn arrays_of_every_type() {
    let path = fixture("arrays.h5");
    assert_eq!(read_array::<f64>(&path, "scalar").unwrap(), arr0(0.5).into_dyn());
    assert_eq!(read_array::<f32>(&path, "nested/i64").unwrap(), arr2(&[[-3.0, -2.0, -1.0], [0.0, 1.0, 2.0]]).into_dyn());
    assert_eq!(read_array::<f32>(&path, "big").unwrap(), arr1(&[1.5, -2.5]).into_dyn());
    assert_eq!(read_array::<f32>(&path, "half").unwrap(), arr1(&[0.5, 65504.0]).into_dyn());
    assert_eq!(read_array::<f32>(&path, "gzip").unwrap(), ArrayD::from_elem(vec![100, 50], 0.25));

    let says = |dataset: &str, what: &str| {
        let message = read_array::<f64>(&path, dataset).unwrap_err().to_string();
        assert!(message.starts_with(path.to_str().unwrap()) && message.contains(what), "{message}");
    };
    says("huge", "`huge`, entry 1: 9223372036854775809 does not fit into f64");
    says("promise", "data set `promise` would take more than");
    says("text", "`text`: expected an array of numbers");
    says("nested", "`nested`:");
    says("nested/none", "`nested/none`: there is no such data set");
    says("none/at/all", "`none/at/all`: there is no such data set");
    let message = read_spikes(&path).unwrap_err().to_string();
    assert!(message.contains("`labels`: there is no such data set"), "{message}");
}

#[test]
fn times_that_cannot_be_are_named_and_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.h5");
    for time in [-0.5, f32::NAN, f32::INFINITY] {
        let mut trains = expected();
        trains.push(&[0.0, time], &[1, 2], 0);
        let message = write_spikes(&path, &trains).unwrap_err().to_string();
        assert!(message.contains("`spikes/times`, trial 3, event 1: a time of") && !path.exists(), "{message}");
    }
    // In the file: 1.5 in half precision is 3e00; ff ff is a NaN.
    let bytes = fs::read(fixture("spikes_old.h5")).unwrap();
    let at = bytes.windows(4).position(|w| w == [0x00, 0x14, 0x00, 0x3e]).expect("trial 2 as it is stored");
    for (new, what) in [([0xff, 0xff], "a time of NaN s"), ([0x00, 0xbe], "a time of -1.5 s")] {
        let mut bytes = bytes.clone();
        bytes[at + 2..at + 4].copy_from_slice(&new);
        fs::write(&path, &bytes).unwrap();
        let message = read_spikes(&path).unwrap_err().to_string();
        assert!(message.contains(&format!("`spikes/times`, trial 2, event 1: {what}")), "{message}");
    }
}

#[test]
fn lengths_that_disagree_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.h5");
    // References in the file: a count (u32), the heap's address, an index. The first sequence of either data set has 3 events.
    let bytes = fs::read(fixture("spikes_old.h5")).unwrap();
    let heap = bytes.windows(4).position(|w| w == b"GCOL").expect("a heap") as u64;
    let reference = [&3u32.to_le_bytes()[..], &heap.to_le_bytes()].concat();
    let at = bytes.windows(12).position(|w| w == reference).expect("the reference of trial 0");
    for (count, what) in [(2u32, "`spikes`, trial 0: 2 times but 3 units"), (1 << 31, "trial 0`: more events than the file holds")] {
        let mut bytes = bytes.clone();
        bytes[at..at + 4].copy_from_slice(&count.to_le_bytes());
        fs::write(&path, &bytes).unwrap();
        let message = read_spikes(&path).unwrap_err().to_string();
        assert!(message.contains(what), "{message}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn trains_survive(trials in prop::collection::vec((prop::collection::vec((0f32..10.0, any::<u32>()), 0..30), any::<u32>()), 1..20)) {
        let mut trains = SpikeTrains::default();
        for (events, label) in trials {
            let (times, units): (Vec<f32>, Vec<u32>) = events.into_iter().unzip();
            trains.push(&times, &units, label);
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/x.h5");
        write_spikes(&path, &trains).unwrap();
        prop_assert_eq!(read_spikes(&path).unwrap(), trains);
    }
}

#[test]
fn whole_files_are_trees() {
    let words = Values::Text(vec!["eins".into(), "zwei".into()]);
    let leaf = |array| Tree::Array(array);
    let expected = [("words".into(), leaf(Array::new([1, 2], words))), ("yes".into(), leaf(Array::new([2], Values::I64(vec![1, 0]))))];
    assert_eq!(Tree::read(fixture("words.h5")).unwrap(), Tree::Group(expected.into()));
    let refused = |name: &str| Tree::read(fixture(name)).unwrap_err();
    let says = |name: &str, words: &str| assert!(refused(name).to_string().contains(words), "{}", refused(name));
    says("arrays.h5", "`huge`, entry 1: 9223372036854775809 does not fit into i64");
    says("spikes_old.h5", "`spikes/times`: expected numbers or texts");
    says("circle.h5", "groups in one another");
    assert!(matches!(refused("links.h5"), IoError::TooLarge { .. }), "{}", refused("links.h5"));
}

#[test]
fn trees_that_cannot_be_written_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let says = |members: &[(&str, Tree)], words: &str| {
        let tree = Tree::Group(members.iter().map(|(name, tree)| (name.to_string(), tree.clone())).collect());
        let error = tree.write(dir.path().join("bad.h5")).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    says(&[("a", Tree::Group([].into()))], "`a`: an empty group");
    says(&[("a/b", Tree::Array(Array::scalar(1.0)))], "`a/b`: a name must");
    says(&[("a", Tree::Array(Array::text("x\0y")))], "cannot be written as HDF5");
}
