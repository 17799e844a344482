//! NIR files: those of other tools, our own, and what is refused.

use proptest::prelude::*;
use snn_core::net::{Connect, Conv2d, Init, Projection, SumPool2d};
use snn_core::neuron::{Alif, CubaLif, Egru, FewSpikes, If, IfMulti, Li, Lif, Linear, Lsnn, Model, Relu, Sum};
use snn_core::{Net, Network, Seed, ms};
use snn_io::hdf5::{Array, Tree, Values};
use snn_io::nir::{self, AfterSpike, Convention, Current, Decay, Export, Graph, Integrate, Kind, Node, Primitive, Spikes};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

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
    says(
        graph(group(&[("a", group(&[("type", leaf("Izhikevich"))]))]), none()),
        &["`node/nodes/a`", "`Izhikevich` is not read", "CubaLIF"],
    );
    says(graph(group(&[("a", leaf("b"))]), none()), &["`node/nodes/a`", "a text `type`"]);
    says(graph(leaf("x"), none()), &["without a group `nodes`"]);
    says(graph(group(&[("a", leaf("b"))]), leaf("x")), &["`node/nodes/a`"]);
}

fn floats(kind: Kind, names: &[&str], count: usize, x: f32) -> Primitive {
    names.iter().fold(Primitive::new(kind), |p, name| p.floats(name, [count], vec![x; count]))
}

fn io(kind: Kind, size: i64) -> Primitive {
    Primitive::new(kind).whole("shape", &[size])
}

fn matrix(out: usize, inputs: usize) -> Primitive {
    Primitive::new(Kind::Linear).floats("weight", [out, inputs], (0..out * inputs).map(|k| k as f32).collect())
}

/// Projections as `from -> to`, with the delay in steps.
fn projections(net: &Network) -> Vec<String> {
    let delay = |p: &Projection| (p.delay.at(0) / net.dt()).round();
    net.draft().projections.iter().map(|p| format!("{} -> {} {}", p.from, p.to, delay(p))).collect()
}

#[test]
fn a_matrix_is_a_projection_where_it_can_be() {
    let fires = || floats(Kind::IF, &["r", "v_threshold"], 2, 1.0);
    // in -> w -> a -> v -> b -> out, where `v` is also heard by `u`, and `u` hears `a` too.
    let graph = Graph::default()
        .node("in", io(Kind::Input, 3))
        .node("w", matrix(2, 3))
        .node("a", fires())
        .node("v", matrix(2, 2))
        .node("b", fires())
        .node("u", matrix(2, 2))
        .node("c", fires())
        .node("out", io(Kind::Output, 2))
        .chain(&["in", "w", "a", "v", "b", "out"])
        .chain(&["v", "u", "c"])
        .chain(&["a", "u"]);
    let net = nir::network(&graph, &Convention::default()).unwrap();
    let all = ["in -> a 0", "v -> b 0", "u.sum -> c 0", "b -> out 0", "a -> u.sum 0", "v -> u.sum 0", "a -> v 0"];
    let mut found = projections(&net);
    found.sort_unstable();
    let mut expected = all.map(String::from);
    expected.sort_unstable();
    assert_eq!(found, expected);
    // Target by target in the file, source by source here.
    let w = net.draft().projections.iter().find(|p| p.from == "in").unwrap();
    assert_eq!(w.weights.given(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
}

#[test]
fn graphs_in_graphs_are_taken_apart_and_loops_take_a_step() {
    let Node::Graph(inner) = nir::read(fixture("zoo.nir")).unwrap().nodes["inner"].clone() else { panic!("no graph in the graph") };
    let graph = Graph::default().node("in", io(Kind::Input, 6)).node("block", inner).node("out", io(Kind::Output, 6));
    let graph = graph.chain(&["in", "block", "out"]);
    let convention = Convention { reset: AfterSpike::Value, ..Convention::default() };
    let net = nir::network(&graph, &convention).unwrap();
    assert_eq!(projections(&net), ["in -> block.lif 0", "block.lif -> block.lif 1", "block.lif -> out 0"]);

    // A loop over two populations: the way back takes the step. With a delay in it, none is added.
    let fires = || floats(Kind::IF, &["r", "v_threshold"], 6, 1.0);
    let two = Graph::default().node("in", io(Kind::Input, 6)).node("z", fires()).node("a", fires()).node("out", io(Kind::Output, 6));
    let looped = two.clone().chain(&["in", "z", "a", "z"]).chain(&["a", "out"]);
    let net = nir::network(&looped, &Convention::default()).unwrap();
    let mut found = projections(&net);
    found.sort_unstable();
    assert_eq!(found, ["a -> out 0", "a -> z 1", "in -> z 0", "z -> a 0"]);
    let delayed = two.node("d", floats(Kind::Delay, &["delay"], 6, 0.002)).chain(&["in", "z", "d", "a", "z"]).chain(&["a", "out"]);
    let net = nir::network(&delayed, &Convention::default()).unwrap();
    assert!(projections(&net).contains(&"z -> a 2".into()) && projections(&net).contains(&"a -> z 0".into()));
    // The current of the last step is heard in addition to it.
    let cuba = floats(Kind::CubaLIF, &["tau_syn", "tau_mem", "r", "v_threshold"], 6, 1.0).floats("v_leak", [6], vec![0.0; 6]);
    let old = Graph::default().node("in", io(Kind::Input, 6)).node("c", cuba).node("out", io(Kind::Output, 6)).chain(&["in", "c", "c"]);
    let net = nir::network(&old.chain(&["c", "out"]), &Convention { current: Current::Old, ..Convention::default() }).unwrap();
    assert_eq!(projections(&net), ["in -> c 1", "c -> c 2", "c -> out 0"]);
}

#[test]
fn every_primitive_becomes_a_network() {
    let zoo = nir::read(fixture("zoo.nir")).unwrap();
    let convention = Convention { reset: AfterSpike::Value, ..Convention::default() };
    let net = nir::network(&zoo, &convention).unwrap();
    assert_eq!((net.size("if"), net.size("affine"), net.size("cubali.current"), net.size("output")), (112, 0, 6, 12));
    // Of the convolution `0.75 = −(−3)/4` …: the bias of channel c at each of its 28 places.
    let current = &net.draft().populations.iter().find(|p| p.name == "if").unwrap().current;
    assert_eq!([current.at(0), current.at(27), current.at(28), current.at(111)], [-0.75, -0.75, -0.5, 0.0]);
}

#[test]
fn what_cannot_become_a_network_is_named() {
    let says = |graph: &Graph, convention: &Convention, words: &[&str]| {
        let error = nir::network(graph, convention).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error} lacks one of {words:?}");
    };
    let default = Convention::default();
    let with = |node: Primitive| {
        let graph = Graph::default().node("in", Primitive::new(Kind::Input).whole("shape", &[1, 4, 4])).node("n", node);
        graph.node("out", io(Kind::Output, 4)).chain(&["in", "n", "out"])
    };
    let conv = |padding: Array, stride: i64| {
        let p = Primitive::new(Kind::Conv2d).floats("weight", [1, 1, 2, 2], vec![1.0; 4]).floats("bias", [1], vec![0.0]);
        p.param("padding", padding).whole("stride", &[stride]).whole("dilation", &[1]).whole("groups", &[1])
    };
    says(&with(conv(Array::text("same"), 1)), &default, &["`n (Conv2d)`", "padding `same`"]);
    says(&with(conv(Array::text("full"), 1)), &default, &["padding `full`"]);
    says(&with(conv(Array::text("valid"), 0)), &default, &["`in` -> `out`", "stride (0, 0)"]);
    says(&with(conv(Array::new([1], Values::I64(vec![-1])), 1)), &default, &["`padding` = -1"]);
    says(&with(conv(Array::text("valid"), 1)), &default, &["`in` -> `out`", "9 units, not 4"]);
    says(&with(matrix(4, 3)), &default, &["`in` -> `out`", "12 weights for 64 links"]);
    says(&with(Primitive::new(Kind::Linear).floats("weight", [1, 4, 16], vec![0.0; 64])), &default, &["`n (Linear)`", "[1, 4, 16]"]);
    says(
        &with(floats(Kind::Threshold, &["threshold"], 4, 1.0)),
        &default,
        &["`n (Threshold)`", "hears the 16 values of `in`, but takes 4"],
    );
    let huge = Graph::default().node("in", Primitive::new(Kind::Input).whole("shape", &[1 << 40, 1 << 40]));
    says(&huge, &default, &["`in (Input)`", "units in all"]);
    says(&with(matrix(4, 16)), &Convention { dt: 0.0, ..default }, &["dt = 0"]);
    let lif = floats(Kind::LIF, &["tau", "r", "v_leak", "v_threshold"], 4, 1.0);
    says(&with(lif.clone().floats("r", [4], vec![1.0, 1.0, -1.0, 1.0])), &default, &["`n (LIF)`", "`r` = -1 (neuron 2)"]);
    says(&with(lif.floats("tau", [3], vec![1.0; 3])), &default, &["`n (LIF)`", "`tau` has 3 values for 4 neurons"]);
    says(&with(floats(Kind::Delay, &["delay"], 16, 0.0015)), &default, &["delay 0.0015", "multiple"]);
    let apart = Graph::default().node("in", io(Kind::Input, 4)).node("g", Graph::default().node("x", io(Kind::Input, 4)));
    says(&apart, &default, &["`g (NIRGraph)`", "one input and one output"]);
    let pool = || ["kernel_size", "stride", "padding"].iter().fold(Primitive::new(Kind::SumPool2d), |p, name| p.whole(name, &[1]));
    let round = Graph::default().node("a", pool()).node("b", pool()).chain(&["a", "b", "a"]);
    says(&round, &default, &["`a (SumPool2d)`", "nothing says its shape"]);
    says(&Graph::default().node("w", matrix(2, 2)), &default, &["`w (Linear)`", "nothing leads to it"]);
    says(&with(matrix(16, 16)).chain(&["n", "in"]), &default, &["`in (Input)`", "hears nobody"]);
    says(&Graph::default().node("in", io(Kind::Input, 2)), &default, &["no output"]);
    let mut told = Convention::default().tell(with(matrix(4, 16)));
    told.metadata.insert("snn".into(), Tree::Group([("reset".into(), Tree::Array(Array::text("soft")))].into()));
    let error = Convention::of(&told).unwrap_err().to_string();
    assert!(error.contains("metadata/snn/reset") && error.contains("subtract, value"), "{error}");
}

/// A network of windows and matrices, whose graph the Python package reads with its own checks of shapes.
#[test]
fn networks_go_out() {
    // A square kernel, and no groups: the package's check of shapes knows no others.
    let (conv, pool) = (Conv2d::new(2, 9, 9, 4, (3, 3)).stride((2, 2)), SumPool2d::new(4, 4, 4, (2, 2)));
    let lif = Lif { tau: vec![0.004; 12].into(), ..Lif::default() };
    let net = Net::new(ms(1.0))
        .input("image", conv.sources())
        .population("edges", conv.targets(), IfMulti::default())
        .population("places", pool.targets(), Linear::default())
        .population("hidden", 12, lif)
        .current(0.25)
        .population("cuba", 5, CubaLif::default())
        .population("out", 3, Li::default())
        .project("image", "edges", Connect::Conv2d(conv), Init::normal(0.5))
        .project("edges", "places", Connect::SumPool2d(pool), Init::Constant(0.25))
        .project("places", "hidden", Connect::All, Init::normal(0.5))
        .project("hidden", "hidden", Connect::Random { p: 0.3 }, Init::normal(0.5))
        .delay(ms(1.0))
        .project("hidden", "cuba", Connect::All, Init::normal(0.5))
        .delay(ms(3.0))
        .project("cuba", "out", Connect::All, Init::normal(0.5))
        .output("out")
        .build(Seed::new(1))
        .unwrap();
    let graph = nir::export(&net, &Export::default()).unwrap();
    let kind = |name: &str| primitive(&graph, name).kind;
    assert_eq!((kind("places"), kind("hidden"), kind("out"), kind("out_output")), (Kind::AvgPool2d, Kind::LIF, Kind::LI, Kind::Output));
    assert_eq!((kind("places_hidden"), kind("places_hidden_2"), kind("hidden_hidden")), (Kind::Flatten, Kind::Affine, Kind::Linear));
    // τ of Euler: dt/(1 − exp(−dt/τ)), and R the inverse of the gain.
    let gain = 1.0 - (-0.25f64).exp();
    assert!((primitive(&graph, "hidden").params["tau"].numbers().unwrap()[3] - 1e-3 / gain).abs() < 1e-15);
    let again = nir::network(&graph, &Convention::of(&graph).unwrap()).unwrap();
    for name in ["image", "edges", "places", "hidden", "cuba"] {
        assert_eq!(again.size(name), net.size(name), "{name}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.nir");
    nir::write(&path, &graph).unwrap();
    survives(&path);
    if let Some(python) = std::env::var_os("NIR_PYTHON") {
        let script = "import nir, sys; nir.read(sys.argv[1])";
        let out = Command::new(python).args(["-c", script]).arg(&path).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }
}

#[test]
fn what_cannot_go_out_is_named() {
    let net = |model: Model| {
        Net::new(ms(1.0))
            .input("in", 2)
            .population("a", 2, model)
            .population("out", 2, Sum::default())
            .project("in", "a", Connect::All, Init::Constant(1.0))
            .project("a", "out", Connect::OneToOne, Init::Constant(1.0))
            .output("out")
    };
    let says = |net: Net, approximate: bool, words: &[&str]| {
        let net = net.build(Seed::new(1)).unwrap();
        let error = nir::export(&net, &Export { approximate, ..Export::default() }).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error} lacks one of {words:?}");
    };
    for model in [Model::from(Alif::default()), FewSpikes::default().into(), Lsnn::default().into()] {
        let name = model.name();
        says(net(model.clone()), false, &[&format!("`a ({name})`"), "on request"]);
        let net = net(model).build(Seed::new(1)).unwrap();
        let graph = nir::export(&net, &Export { approximate: true, ..Export::default() }).unwrap();
        assert!(primitive(&graph, "a").metadata["approximation"] != Tree::Array(Array::text("")), "{name}");
    }
    // The gates of a unit are left out; what goes through the reset gate is halved, as σ(0) is.
    let ports = |net: Net| net.project("in", "a", Connect::All, Init::Constant(1.0)).port("g");
    let unit = Net::new(ms(1.0)).input("in", 2).population("a", 2, Egru::default());
    let unit = ports(unit).project("in", "a", Connect::All, Init::Constant(1.0)).port("z").output("a");
    let unit = unit.project("a", "a", Connect::All, Init::Constant(1.0)).port("h").delay(ms(1.0));
    says(unit.clone(), false, &["`a (egru)`", "on request"]);
    let graph = nir::export(&unit.build(Seed::new(1)).unwrap(), &Export { approximate: true, ..Export::default() }).unwrap();
    assert_eq!(primitive(&graph, "a_a_2").params["scale"].numbers().unwrap(), [0.5, 0.5]);
    assert_eq!(primitive(&graph, "a_worth").params["scale"].numbers().unwrap(), [0.3, 0.3]);
    assert!(graph.nodes.contains_key("in_a") && !graph.nodes.contains_key("in_a_2"));
    says(net(Relu::default().into()), true, &["`a (relu)`", "none that comes near"]);
    let tired = Net::new(ms(1.0)).population("a", 2, Lif::default()).refractory(ms(1.0)).output("a");
    says(tired, false, &["`a (lif)`", "refractory"]);
    let mixed = net(If::default().into()).population("b", 2, IfMulti::default());
    says(mixed, false, &["`b (if_multi)`", "repeats its spikes otherwise"]);
    says(net(If::default().into()).drive("a", 1.0, 1.0), false, &["`a`", "Poisson"]);
    let delays = net(If::default().into()).project("in", "a", Connect::All, Init::Constant(1.0)).delays(0.0, ms(3.0));
    says(delays, false, &["`in -> a`", "a delay of each link"]);
    let tied = Net::new(ms(1.0)).input("in", 2).population("a", 3, If::default()).population("b", 2, If::default());
    let tied = tied.project("in", "a", Connect::All, Init::Constant(1.0)).project("a", "b", Connect::All, Init::Constant(0.0));
    says(tied.tied("in", "a").output("b"), false, &["`a -> b`", "tied to those of in -> a"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// Graphs that somebody has broken: an answer, and soon.
    #[test]
    fn broken_graphs_do_no_harm(
        edges in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..6),
        dropped in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        numbers in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), prop_oneof![-2i64..9, any::<i64>()]), 0..4),
        dt in prop_oneof![Just(1e-3), Just(1e-9), Just(5e-3), any::<f64>()],
        choices in 0usize..32,
    ) {
        let mut graph = nir::read(fixture("zoo.nir")).unwrap();
        let names: Vec<String> = graph.nodes.keys().cloned().collect();
        for at in dropped {
            graph.edges.remove(at.index(graph.edges.len()));
        }
        for (from, to) in edges {
            let edge = [names[from.index(names.len())].clone(), names[to.index(names.len())].clone()];
            if !graph.edges.contains(&edge) {
                graph.edges.push(edge);
            }
        }
        for (node, param, number) in numbers {
            let Some(Node::Primitive(p)) = graph.nodes.get_mut(&names[node.index(names.len())]) else { continue };
            let params: Vec<String> = p.params.keys().cloned().collect();
            let name = &params[param.index(params.len())];
            let (shape, whole) = (p.params[name].shape().to_vec(), p.params[name].whole().map(<[i64]>::to_vec));
            let count = shape.iter().product();
            let values = match whole {
                Some(mut list) if !list.is_empty() => { list[0] = number; Values::I64(list) }
                _ => Values::F64(vec![number as f64; count]),
            };
            p.params.insert(name.clone(), Array::new(shape, values));
        }
        let pick = |bit: usize| choices >> bit & 1 == 1;
        let convention = Convention {
            dt,
            reset: if pick(0) { AfterSpike::Value } else { AfterSpike::Subtract },
            spikes: if pick(1) { Spikes::One } else { Spikes::Several },
            decay: if pick(2) { Decay::Exact } else { Decay::Euler },
            integrate: if pick(3) { Integrate::Seconds } else { Integrate::Steps },
            current: if pick(4) { Current::Old } else { Current::New },
        };
        let start = Instant::now();
        if let Ok(net) = nir::network(&graph, &convention) {
            let _ = nir::export(&net, &Export::default());
        }
        prop_assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    }
}

/// More with `PROPTEST_CASES`.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(500)
}
