//! NIR files: those of other tools, our own, and what is refused.

use snn_io::hdf5::{Array, Tree, Values};
use snn_io::nir::{self, Graph, Kind, Node, Primitive};
use std::path::{Path, PathBuf};
use std::process::Command;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures").join(name)
}

fn primitive<'a>(graph: &'a Graph, name: &str) -> &'a Primitive {
    match &graph.nodes[name] {
        Node::Primitive(primitive) => primitive,
        Node::Graph(_) => panic!("`{name}` is a graph"),
    }
}

/// Reads, writes, reads; and lets the Python package compare both files, where there is one (its interpreter in `NIR_PYTHON`).
fn survives(path: &Path) -> Graph {
    let dir = tempfile::tempdir().unwrap();
    let ours = dir.path().join("again.nir");
    let graph = nir::read(path).unwrap();
    nir::write(&ours, &graph).unwrap();
    assert_eq!(nir::read(&ours).unwrap(), graph, "{}", path.display());
    match std::env::var_os("NIR_PYTHON") {
        Some(python) => {
            let out = Command::new(python).arg(fixture("make_nir.py")).arg("--check").arg(path).arg(&ours).output().unwrap();
            assert!(out.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()));
        }
        None => eprintln!("not compared by the Python package: NIR_PYTHON not set (an interpreter with `nir`)"),
    }
    graph
}

#[test]
fn every_primitive_of_the_python_package() {
    let graph = survives(&fixture("zoo.nir"));
    let found: Vec<Kind> = graph.nodes.values().filter_map(|n| if let Node::Primitive(p) = n { Some(p.kind) } else { None }).collect();
    let Node::Graph(inner) = &graph.nodes["inner"] else { panic!("no graph in the graph") };
    for &kind in Kind::ALL.iter().filter(|kind| !matches!(kind, Kind::LIF | Kind::Linear)) {
        assert!(found.contains(&kind), "{kind:?}");
    }
    // Worked from the script: (k mod 7 − 3)/4.
    let weight = &primitive(&graph, "conv").params["weight"];
    assert_eq!((weight.shape(), &weight.numbers().unwrap()[..4]), (&[4, 1, 3, 2][..], &[-0.75, -0.5, -0.25, 0.0][..]));
    assert!(matches!(weight.values(), Values::F32(_)));
    assert_eq!(primitive(&graph, "line").params["padding"], Array::text("same"));
    assert_eq!(primitive(&graph, "if").params["v_reset"].shape(), [4, 7, 4]);
    assert!(matches!(primitive(inner, "lif").params["v_reset"].values(), Values::F64(list) if list == &[0.25; 6]));
    assert_eq!(inner.edges[1], ["lif", "w"]);
    assert_eq!(inner.metadata["about"], Tree::Array(Array::text("recurrent")));
    assert_eq!(graph.metadata["dt"], Tree::Array(Array::scalar(0.001)));
}

#[test]
fn real_files_survive() {
    let Some(data) = std::env::var_os("SNN_DATA") else { return eprintln!("skipped: SNN_DATA not set") };
    let nodes = |name: &str| survives(&Path::new(&data).join("nir").join(name)).nodes.len();
    assert_eq!(nodes("lif_norse.nir"), 4);
    assert_eq!(nodes("two_lif_neurons.nir"), 6);
    assert_eq!(nodes("cnn_sinabs.nir"), 15);
    assert_eq!(nodes("braille_noDelay_bias_zero.nir"), 7);
}

fn small() -> Graph {
    let w = Primitive::new(Kind::Affine).floats("weight", [1, 2], vec![1.0, 2.0]).floats("bias", [1], vec![0.0]);
    Graph::default().node("in", Primitive::new(Kind::Input).whole("shape", &[2])).node("w", w).chain(&["in", "w"])
}

/// What is said of a graph that cannot be written.
#[track_caller]
fn refused(graph: &Graph, says: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.nir");
    let error = nir::write(&path, graph).unwrap_err().to_string();
    assert!(error.starts_with(path.to_str().unwrap()) && says.iter().all(|word| error.contains(word)), "{error} lacks one of {says:?}");
    assert!(!path.exists());
}

#[test]
fn what_is_wrong_is_named() {
    let with = |change: fn(&mut Primitive)| {
        let mut graph = small();
        if let Some(Node::Primitive(w)) = graph.nodes.get_mut("w") {
            change(w);
        }
        graph
    };
    refused(&with(|w| drop(w.params.remove("bias"))), &["`node/nodes/w (Affine)`", "`bias` is missing"]);
    refused(&with(|w| drop(w.params.insert("r".into(), Array::scalar(1.0)))), &["w/r (Affine)", "Affine has: weight, bias"]);
    refused(&with(|w| drop(w.params.insert("bias".into(), Array::text("none")))), &["w/bias (Affine)", "expected numbers"]);
    refused(&small().node("in", Primitive::new(Kind::Input).floats("shape", [1], vec![2.0])), &["in/shape (Input)", "whole numbers"]);
    refused(&small().chain(&["w", "out"]), &["`node/edges, entry 1`", "`out`", "no such node"]);
    refused(&small().chain(&["in", "w"]), &["entry 1", "a second edge from `in` to `w`"]);
    refused(&Graph::default().node("inner", small().chain(&["w", "x"])), &["`node/nodes/inner/edges, entry 1`"]);
    refused(&small().node("a/b", small()), &["a/b", "no `/`"]);
    let inner = (0..40).fold(small(), |inner, _| Graph::default().node("g", inner));
    let dir = tempfile::tempdir().unwrap();
    nir::write(dir.path().join("deep.nir"), &inner).unwrap();
    assert!(nir::read(dir.path().join("deep.nir")).unwrap_err().to_string().contains("groups in one another"));
}

#[test]
fn files_that_are_something_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("other.nir");
    let leaf = |text: &str| Tree::Array(Array::text(text));
    let group = |members: &[(&str, Tree)]| Tree::Group(members.iter().map(|(name, tree)| (name.to_string(), tree.clone())).collect());
    let says = |tree: Tree, words: &[&str]| {
        tree.write(&path).unwrap();
        let error = nir::read(&path).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error} lacks one of {words:?}");
    };
    let graph = |nodes: Tree, edges: Tree| group(&[("node", group(&[("type", leaf("NIRGraph")), ("nodes", nodes), ("edges", edges)]))]);
    let none = || Tree::Array(Array::new([0, 2], Values::F32(vec![])));
    says(group(&[("x", leaf("y"))]), &["expected a NIR graph", "`node`"]);
    says(group(&[("node", group(&[("type", leaf("LIF"))]))]), &["expected a NIRGraph, found `LIF`"]);
    says(graph(group(&[("a", group(&[("type", leaf("Izhikevich"))]))]), none()), &["`node/nodes/a`", "`Izhikevich` is not read", "CubaLIF"]);
    says(graph(group(&[("a", leaf("b"))]), none()), &["`node/nodes/a`", "a text `type`"]);
    says(graph(leaf("x"), none()), &["without a group `nodes`"]);
    says(graph(group(&[("a", leaf("b"))]), leaf("x")), &["`node/nodes/a`"]);
}
