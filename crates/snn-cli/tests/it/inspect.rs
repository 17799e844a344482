//! `snn inspect`: every kind of file by its contents, and what is none of them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::onnx_file::Model;
use crate::program::{idx, json, refused, snn, stderr, stdout, text};
use ndarray::{arr1, arr2};
use serde_json::Value;
use snn_core::net::{Connect, Init};
use snn_core::neuron::{Li, Lif};
use snn_core::{Net, Seed, ms};
use snn_io::aer::{self, Event};
use snn_io::hdf5::{self, SpikeTrains};
use snn_io::{codec, npy};

/// What the program says of a file under a name that tells nothing.
#[track_caller]
fn inspected(path: &Path) -> Value {
    let output = snn(&["inspect", text(path), "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let plain = snn(&["inspect", text(path), "--histogram"]);
    assert_eq!(plain.status.code(), Some(0), "{}", stderr(&plain));
    json(&output)
}

fn file(dir: &Path, bytes: &[u8]) -> PathBuf {
    let path = dir.join("file");
    fs::write(&path, bytes).expect("a file");
    path
}

#[test]
fn arrays_tables_and_sounds() {
    let dir = tempfile::tempdir().expect("a folder");
    let found = inspected(&file(dir.path(), &idx(&[2, 2, 2], &[0, 0, 10, 20, 30, 40, 50, 255])));
    assert_eq!((&found["kind"], &found["facts"]["items"]), (&"idx".into(), &"2 of 2 × 2".into()));
    let values = &found["numbers"][0];
    assert_eq!(
        (&values["min"], &values["max"], &values["zero"], &values["shape"]),
        (&0.0.into(), &255.0.into(), &2.into(), &serde_json::json!([2, 2, 2]))
    );
    let bars = values["histogram"].as_array().expect("bars");
    assert_eq!(bars.iter().map(|bar| bar["count"].as_u64().expect("a count")).sum::<u64>(), 8);

    let path = dir.path().join("array");
    npy::write(&path, &arr2(&[[1.0f32, f32::NAN], [f32::INFINITY, -3.0]])).expect("a file");
    let values = &inspected(&path)["numbers"][0];
    assert_eq!(
        (&values["type"], &values["nan"], &values["infinite"], &values["mean"]),
        (&"<f4".into(), &1.into(), &1.into(), &(-1.0).into())
    );
    npy::write_npz(&path, &[("x", &arr1(&[1i64, 2])), ("y", &arr1(&[3i64]))]).expect("a file");
    let found = inspected(&path);
    assert_eq!(
        (&found["facts"]["arrays"], &found["numbers"][1]["name"], &found["numbers"][0]["type"]),
        (&"2".into(), &"y".into(), &"<i8".into())
    );

    let found = inspected(&file(dir.path(), b"time,place,value\n1,here,0.5\n2,there,NA\n"));
    assert_eq!((&found["kind"], &found["facts"]["place"]), (&"table (CSV)".into(), &"text in 2 rows".into()));
    assert_eq!((&found["numbers"][1]["name"], &found["numbers"][1]["type"]), (&"value".into(), &"number, or text in 1 rows".into()));

    let samples: Vec<u8> = (0..80i16).flat_map(|n| (100 * (n % 7)).to_le_bytes()).collect();
    let head = |n: u32| n.to_le_bytes();
    let wav = [
        &b"RIFF"[..],
        &head(36 + 160),
        b"WAVEfmt ",
        &head(16),
        &[1, 0, 1, 0],
        &head(8000),
        &head(16000),
        &[2, 0, 16, 0],
        b"data",
        &head(160),
        &samples,
    ]
    .concat();
    let found = inspected(&file(dir.path(), &wav));
    assert_eq!(
        (&found["kind"], &found["facts"]["rate"], &found["facts"]["duration"]),
        (&"WAV sound".into(), &"8000 Hz".into(), &"0.01000 s".into())
    );

    let found = inspected(&file(dir.path(), b"{\"epoch\": 1, \"active\": {\"h\": 0.5}}\n{\"epoch\": 2, \"active\": {\"h\": 0.25}}\n"));
    assert_eq!(
        (&found["kind"], &found["numbers"][0]["name"], &found["numbers"][0]["mean"]),
        (&"JSON lines".into(), &"active.h".into(), &0.375.into())
    );
    assert_eq!(inspected(&file(dir.path(), b"{\"a\": [1, 2]}"))["facts"]["a"], "a list of 2");
}

#[test]
fn events_are_drawn() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("recording");
    aer::write(&path, &[Event { x: 3, y: 9, on: true, t_us: 120 }, Event { x: 4, y: 9, on: false, t_us: 500_000 }]).expect("a file");
    let found = inspected(&path);
    assert_eq!((&found["kind"], &found["facts"]["pixels"]), (&"address events".into(), &"5 × 10, as far as there are events".into()));
    let svg = dir.path().join("events.svg");
    assert_eq!(snn(&["inspect", text(&path), "--plot", text(&svg)]).status.code(), Some(0));
    assert!(fs::read_to_string(&svg).expect("a picture").contains("<svg"));

    let mut trains = SpikeTrains::default();
    trains.push(&[0.0, 0.125], &[3, 699], 7);
    trains.push(&[], &[], 0);
    let path = dir.path().join("trials");
    hdf5::write_spikes(&path, &trains).expect("a file");
    let found = inspected(&path);
    assert_eq!(
        (&found["facts"]["trials"], &found["facts"]["units"], &found["facts"]["classes"]),
        (&"2".into(), &"700".into(), &"8".into())
    );
    let png = dir.path().join("trial.png");
    assert_eq!(snn(&["inspect", text(&path), "--plot", text(&png)]).status.code(), Some(0));
    assert!(fs::read(&png).expect("a picture").starts_with(b"\x89PNG"));
    refused("no such trial", &snn(&["inspect", text(&path), "--trial", "2"]), &["no trial 2", "there are 2"]);
    refused("a picture of no kind", &snn(&["inspect", text(&path), "--plot", "x.bmp"]), &["x.bmp", ".svg or .png"]);
    let labels = file(dir.path(), &idx(&[3], &[1, 2, 3]));
    refused("nothing to draw", &snn(&["inspect", text(&labels), "--plot", text(&svg)]), &["no raster"]);
}

#[test]
fn networks_and_what_they_left() {
    let dir = tempfile::tempdir().expect("a folder");
    let net = Net::new(ms(1.0))
        .input("in", 4)
        .population("hidden", 5, Lif::default())
        .population("out", 2, Li::default())
        .project("in", "hidden", Connect::Random { p: 0.5 }, Init::Constant(0.5))
        .project("hidden", "out", Connect::All, Init::normal(1.0))
        .output("out")
        .build(Seed::new(1))
        .expect("a network");
    let found = inspected(&file(dir.path(), &serde_json::to_vec(&net).expect("JSON")));
    assert_eq!((&found["kind"], &found["facts"]["population out"]), (&"network description".into(), &"2 li, read out".into()));
    assert_eq!(found["facts"]["projection in -> hidden"], "10 links, 50 % of all");
    let network = dir.path().join("net.json");
    snn_io::json::save_json(&network, &net).expect("a file");
    let nir = dir.path().join("graph");
    assert_eq!(snn(&["export", text(&network), text(&nir.with_extension("nir"))]).status.code(), Some(0));
    fs::rename(nir.with_extension("nir"), &nir).expect("a file");
    let found = inspected(&nir);
    // NIR writes listed links as a whole matrix.
    assert!(found["kind"] == "NIR graph" && found["facts"]["runs"] == "yes: 32 links", "{found}");

    let model = Model::new(13, &[-1, 4]).weights("w", &[4, 2], &[0.5; 8]).node("Gemm", &["x", "w"], "y", &[]).file("y");
    let found = inspected(&file(dir.path(), &model));
    assert_eq!((&found["kind"], &found["facts"]["inputs, outputs"]), (&"ONNX network".into(), &"4, 2".into()));

    let path = dir.path().join("some.ckpt");
    codec::save(&path, &vec![1.0f32; 9]).expect("a file");
    assert_eq!(inspected(&path)["facts"]["of"], "no training of this version");
    let mut bytes = fs::read(&path).expect("a file");
    bytes[30] ^= 1;
    refused("a damaged checkpoint", &snn(&["inspect", text(&file(dir.path(), &bytes))]), &["damaged"]);
}

#[test]
fn what_is_no_known_file_is_told_what_is_read() {
    let dir = tempfile::tempdir().expect("a folder");
    for bytes in [&b""[..], &[0xff; 9], b"<html><body>404</body></html>", b"version https://git-lfs.github.com/spec/v1\n"] {
        refused("no known file", &snn(&["inspect", text(&file(dir.path(), bytes))]), &["idx, npy, npz, HDF5", "checkpoint", "found"]);
    }
    refused("no file", &snn(&["inspect", text(&dir.path().join("none"))]), &["none", "not found"]);
    let output = snn(&["inspect", text(&file(dir.path(), &idx(&[3], &[1, 1, 2])))]);
    assert!(stdout(&output).contains("##"), "{}", stdout(&output));
}
