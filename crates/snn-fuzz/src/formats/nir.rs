//! Spiking networks of other tools.

use super::{DEFLATE, Format, LEAST, PLAIN, beside, fixture};
use snn_io::nir::{self, Convention, Export, Graph, Kind, Primitive};
use std::path::Path;

pub const FORMAT: Format = Format {
    name: "nir",
    seeds,
    forms: &[PLAIN],
    words: &[
        "NIRGraph",
        "Input",
        "Output",
        "LIF",
        "CubaLIF",
        "Affine",
        "Linear",
        "Conv2d",
        "type",
        "nodes",
        "edges",
        "weight",
        "tau",
        "v_threshold",
    ],
    memory: |n| LEAST + 64 * DEFLATE * n,
    read,
};

fn seeds() -> Vec<Vec<u8>> {
    let cell = Primitive::new(Kind::LIF);
    let cell = ["tau", "r", "v_leak", "v_threshold", "v_reset"].iter().fold(cell, |cell, name| cell.floats(name, [2], vec![0.5, 1.0]));
    let small = Graph::default()
        .node("in", Primitive::new(Kind::Input).whole("shape", &[2]))
        .node("w", Primitive::new(Kind::Affine).floats("weight", [2, 2], vec![0.5, -1.0, 2.0, 0.0]).floats("bias", [2], vec![0.0, 0.25]))
        .node("cells", cell)
        .node("out", Primitive::new(Kind::Output).whole("shape", &[2]))
        .chain(&["in", "w", "cells", "out"]);
    let sum = Graph::default()
        .node("in", Primitive::new(Kind::Input).whole("shape", &[2]))
        .node("w", Primitive::new(Kind::Linear).floats("weight", [1, 2], vec![0.5, -1.0]))
        .chain(&["in", "w"]);
    let written = |graph: &Graph| {
        let path = std::env::temp_dir().join(format!("snn-fuzz-seed-{}.nir", std::process::id()));
        nir::write(&path, graph).expect("a good graph");
        let bytes = std::fs::read(&path).expect("just written");
        let _ = std::fs::remove_file(path);
        bytes
    };
    // Small files are broken where it matters more often than the large one.
    vec![written(&small), written(&sum), written(&small), fixture("zoo.nir")]
}

fn read(path: &Path) -> Result<Box<dyn FnOnce()>, String> {
    let graph = nir::read(path).map_err(|e| e.to_string())?;
    let copy = beside(path);
    Ok(Box::new(move || {
        match nir::write(&copy, &graph) {
            Ok(()) => assert_eq!(format!("{:?}", nir::read(&copy).unwrap()), format!("{graph:?}")),
            // HDF5 files of others may hold what ours cannot: empty groups, names.
            Err(error) => assert!(error.to_string().starts_with(&*copy.to_string_lossy()), "{error}"),
        }
        let _ = std::fs::remove_file(copy);
        if let Ok(net) = Convention::of(&graph).map_err(|e| e.to_string()).and_then(|c| nir::network(&graph, &c).map_err(|e| e.to_string()))
        {
            let _ = nir::export(&net, &Export::default());
            super::network::run(&net);
        }
    }))
}
