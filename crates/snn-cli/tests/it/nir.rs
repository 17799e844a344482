//! NIR graphs run: the networks of other tools against what those tools recorded, and `snn run FILE.nir` end to end.

use crate::program::{self, snn, stderr};
use ndarray::{Array1, Array3};
use rand::RngExt;
use serde_json::Value;
use snn_core::net::{Connect, Init};
use snn_core::neuron::{Alif, CubaLif, If, IfMulti, Li, Lif, Linear, Model, Reset};
use snn_core::{Net, Network, Raster, Seed, ms};
use snn_io::hdf5::{Array, Values};
use snn_io::nir::{self, AfterSpike, Convention, Decay, Graph, Kind, Node, Primitive};
use snn_io::{csv, npy};
use snn_sparse::{Clocked, Record, Wants};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn real(name: &str) -> Option<PathBuf> {
    let data = std::env::var_os("SNN_DATA").map(|data| Path::new(&data).join("nir").join(name));
    if data.is_none() {
        eprintln!("skipped: SNN_DATA not set");
    }
    data
}

fn population(network: &Network, name: &str) -> usize {
    network.draft().populations.iter().position(|p| p.name == name).expect("a population")
}

/// The state of the first neuron of a population and whether it fired, step by step.
fn states(network: &Network, name: &str, input: &Raster, variable: usize) -> Vec<(f64, bool)> {
    let (engine, p) = (Clocked::<f64>::compile(network), population(network, name));
    let mut record = Record::new(&engine);
    engine.begin(input.steps(), Wants::Spikes, &mut record);
    let mut step = |t: usize| {
        engine.advance(t + 1, &[input], &mut record);
        (record.traces[p].state(0)[variable], !record.spikes[p].at(t).is_empty())
    };
    (0..input.steps()).map(&mut step).collect()
}

/// Input, potential and spike of a recorded neuron, step by step.
fn recorded(path: &Path) -> [Vec<f64>; 3] {
    let table = csv::read(path, &csv::Options { header: false, ..csv::Options::default() }).unwrap();
    ["0", "1", "2"].map(|name| table.column(name).unwrap().map(f64::from).collect())
}

fn raster(signal: &[f64], units: usize) -> Raster {
    let mut raster = Raster::new(units, signal.len() / units);
    raster.fill_dense(signal.iter().copied());
    raster
}

/// Potentials are in units of the input: the file's are those times dt/τ = 0.04 for norse, and the same for snnTorch.
#[test]
fn one_neuron_is_that_of_norse_and_snntorch() {
    let Some(path) = real("lif_norse.nir") else { return };
    let convention = Convention { dt: 1e-4, reset: AfterSpike::Value, ..Convention::default() };
    let network = nir::network(&nir::read(&path).unwrap(), &convention).unwrap();
    let gains = [("lif_norse.csv", 0.04, 1e-7), ("lif_snntorch.csv", 1.0, 2e-6)];
    for (name, gain, tolerance) in gains {
        let columns = recorded(&path.with_file_name(name));
        let found = states(&network, "1", &raster(&columns[0], 1), 0);
        let spikes = found.iter().filter(|(_, fired)| *fired).count();
        assert_eq!((found.len(), spikes), (1000, 4));
        for (t, &(v, fired)) in found.iter().enumerate() {
            // What is recorded there is the potential after the reset.
            let v = if fired { 0.0 } else { gain * v };
            assert!(fired == (columns[2][t] == 1.0) && (v - columns[1][t]).abs() < tolerance, "{name}, step {t}: {v}, {}", columns[1][t]);
        }
    }
}

/// The solution of the equation agrees up to the first spike; there a crossing within the step is found.
#[test]
fn exact_decay_is_the_solution_of_the_equation() {
    let Some(path) = real("lif_norse.nir") else { return };
    let convention = Convention { dt: 1e-4, decay: Decay::Exact, reset: AfterSpike::Value, ..Convention::default() };
    let network = nir::network(&nir::read(&path).unwrap(), &convention).unwrap();
    let [input, v, z] = recorded(&path.with_file_name("lif_exact.csv"));
    let (found, gain) = (states(&network, "1", &raster(&input, 1), 0), 1.0 - (-0.04f64).exp());
    let first = found.iter().position(|(_, fired)| *fired).unwrap();
    assert_eq!(first, 460);
    assert!((0..first).all(|t| (gain * found[t].0 - v[t]).abs() < 1e-7));
    assert!((0..1000).all(|t| found[t].1 == (z[t] == 1.0)));
}

/// The recurrent network of the Braille data, against a loop written from the equations of its file.
#[test]
fn a_recurrent_edge_takes_a_step() {
    let Some(path) = real("braille_noDelay_bias_zero.nir") else { return };
    let graph = nir::read(&path).unwrap();
    let convention = Convention { dt: 1e-4, ..Convention::default() };
    let network = nir::network(&graph, &convention).unwrap();
    let loops: Vec<_> = network.draft().projections.iter().filter(|p| p.from == "lif1.lif" && p.to == "lif1.lif").collect();
    assert!(matches!(loops[..], [p] if p.delay == 1e-4.into()));
    let param = |node: &str, name: &str| match &graph.nodes[node] {
        Node::Primitive(p) => p.params[name].numbers().unwrap(),
        Node::Graph(_) => panic!("a graph"),
    };

    const STEPS: usize = 1000;
    let mut rng = Seed::new(3).rng();
    let signal: Vec<f64> = (0..12 * STEPS).map(|_| f64::from(u8::from(rng.random_bool(0.3)))).collect();
    let record = Clocked::<f64>::compile(&network).record(&[&raster(&signal, 12)], Wants::Spikes);

    let (w, b, r, rb) = (param("fc1", "weight"), param("fc1", "bias"), param("lif1.w_rec", "weight"), param("lif1.w_rec", "bias"));
    let (tau_syn, tau) = (param("lif1.lif", "tau_syn")[0], param("lif1.lif", "tau_mem")[0]);
    let (w_in, gain) = (param("lif1.lif", "w_in")[0], param("lif1.lif", "r")[0]);
    let (mut i, mut v, mut z) = ([0.0; 38], [0.0; 38], [0.0; 38]);
    let mut count = 0;
    for t in 0..STEPS {
        let before = z;
        for j in 0..38 {
            let heard = (0..12).map(|k| w[j * 12 + k] * signal[t * 12 + k]).sum::<f64>() + b[j];
            let back = (0..38).map(|k| r[j * 38 + k] * before[k]).sum::<f64>() + rb[j];
            i[j] += 1e-4 / tau_syn * (w_in * (heard + back) - i[j]);
            v[j] += 1e-4 / tau * (gain * i[j] - v[j]) - before[j];
            z[j] = f64::from(v[j] > 1.0);
        }
        let expected: Vec<u32> = (0..38).filter(|&j| z[j as usize] == 1.0).collect();
        assert_eq!(record.spikes[population(&network, "lif1.lif")].at(t), expected, "step {t}");
        count += expected.len();
    }
    assert!(count > 100, "{count} spikes");
}

/// A leak above the threshold fires without input: `v ← v + dt/τ·(1.2 − v)` first exceeds 1 at the 18th step.
#[test]
fn a_leak_is_a_current() {
    let Some(path) = real("two_lif_neurons.nir") else { return };
    let network = nir::network(&nir::read(&path).unwrap(), &Convention::default()).unwrap();
    let found = states(&network, "lif1", &Raster::new(1, 40), 0);
    let steps = (1..).find(|&n| 1.2 * (1.0 - 0.9f64.powi(n)) > 1.0).unwrap();
    assert_eq!(found.iter().position(|(_, fired)| *fired), Some(steps as usize - 1));
}

#[test]
fn a_convolutional_network_of_sinabs_knows_its_digits() {
    let Some(path) = real("cnn_sinabs.nir") else { return };
    let data = format!("nmnist:{}", path.with_file_name("../nmnist-1100/Test").display());
    let args = ["run", path.to_str().unwrap(), "--data", &data, "--dt", "1ms", "--json"];
    let output = snn(&args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let object: Value = program::json(&output);
    assert_eq!((&object["samples"], &object["accuracy"], &object["steps"]), (&100.into(), &1.0.into(), &340.into()));
}

/// Two channels, a neuron for each class that hears its own, in steps of a value each.
struct Case {
    dir: TempDir,
    net: PathBuf,
    data: PathBuf,
}

impl Case {
    fn new() -> Case {
        let dir = tempfile::tempdir().unwrap();
        let case = Case { net: dir.path().join("net.nir"), data: dir.path().join("data.npz"), dir };
        nir::write(&case.net, &graph(Primitive::new(Kind::IF).floats("r", [2], vec![1.0; 2]).floats("v_threshold", [2], vec![1.0; 2])))
            .unwrap();
        let x = Array3::from_shape_fn((3, 4, 2), |(n, t, c)| if c == n % 2 { 1.25 + t as f32 } else { 0.0 });
        let y = Array1::from_iter((0..3).map(|n| (n % 2) as f32));
        npy::write_npz(&case.data, &[("x", &x.into_dyn()), ("y", &y.into_dyn())]).unwrap();
        case
    }

    fn run(&self, more: &[&str]) -> std::process::Output {
        snn(&[&["run", self.net.to_str().unwrap(), "--data", self.data.to_str().unwrap(), "--json"], more].concat())
    }
}

fn graph(neurons: Primitive) -> Graph {
    Graph::default()
        .node("in", Primitive::new(Kind::Input).whole("shape", &[2]))
        .node("w", Primitive::new(Kind::Linear).floats("weight", [2, 2], vec![1.0, 0.0, 0.0, 1.0]))
        .node("n", neurons)
        .node("out", Primitive::new(Kind::Output).whole("shape", &[2]))
        .chain(&["in", "w", "n", "out"])
}

#[test]
fn runs_on_archives_and_says_what_it_assumed() {
    let case = Case::new();
    let trace = case.dir.path().join("trace.npy");
    let args = ["--trace", trace.to_str().unwrap()];
    let object: Value = program::json(&case.run(&args));
    assert_eq!((&object["samples"], &object["accuracy"], &object["convention"]["spikes"]), (&3.into(), &1.0.into(), &"several".into()));
    // 1.25, 2.25, 3.25, 4.25 in: 1, 2, 3 and 4 spikes, and the surplus adds up to 1 only, which is not above the threshold.
    let outputs = npy::read::<f32>(&trace).unwrap();
    let own: Vec<f32> = (0..4).map(|t| outputs[[1, t, 1]]).collect();
    assert_eq!((outputs.shape(), own), (&[3, 4, 2][..], vec![1.0, 2.0, 3.0, 4.0]));
    assert_eq!(object["spikes_per_sample"], 10.0);
    let once: Value = program::json(&case.run(&["--spikes", "one", "--images", "2"]));
    assert_eq!((&once["samples"], &once["spikes_per_sample"]), (&2.into(), &4.0.into()));
    let zero: Value = program::json(&case.run(&["--reset", "zero", "--dt", "100us"]));
    assert_eq!(
        (&zero["convention"]["reset"], &zero["convention"]["dt"], &zero["spikes_per_sample"]),
        (&"value".into(), &1e-4.into(), &4.0.into())
    );
}

#[test]
fn a_file_says_its_convention_and_the_command_line_has_the_last_word() {
    let case = Case::new();
    let told = Convention { dt: 2e-3, reset: AfterSpike::Value, decay: Decay::Exact, ..Convention::default() };
    nir::write(&case.net, &told.tell(nir::read(&case.net).unwrap())).unwrap();
    let object: Value = program::json(&case.run(&["--decay", "euler"]));
    let said = &object["convention"];
    assert_eq!((&said["dt"], &said["reset"], &said["decay"]), (&2e-3.into(), &"value".into(), &"euler".into()));
}

#[test]
fn what_cannot_be_run_is_named() {
    let case = Case::new();
    let refused = |more: &[&str], says: &[&str]| program::refused(&format!("{more:?}"), &case.run(more), says);
    refused(&["--dt", "1"], &["--dt", "with its unit"]);
    refused(&["--dt", "0ms"], &["above 0"]);
    refused(&["--reset", "soft"], &["--reset", "subtract, value"]);
    refused(&["--on", "dls"], &["--on", "software engine"]);
    let lif = |tau: f32, v_reset: Vec<f32>| {
        let p =
            Primitive::new(Kind::LIF).floats("tau", [2], vec![tau; 2]).floats("v_leak", [2], vec![0.0; 2]).floats("v_reset", [2], v_reset);
        nir::write(&case.net, &graph(p.floats("r", [2], vec![1.0; 2]).floats("v_threshold", [2], vec![1.0; 2]))).unwrap();
    };
    lif(0.001, vec![0.0; 2]);
    refused(&["--dt", "2ms"], &["`n (LIF)`", "`tau`", "not above the time step"]);
    lif(0.01, vec![-0.5; 2]);
    refused(&[], &["`n (LIF)`", "`v_reset` is not 0"]);
    assert_eq!(case.run(&["--reset", "value"]).status.code(), Some(0));
    lif(0.01, vec![-0.5, 0.0]);
    refused(&["--reset", "value"], &["`n (LIF)`", "differs between its neurons"]);
    let mut wide = graph(Primitive::new(Kind::Threshold).floats("threshold", [2], vec![0.5; 2]));
    wide.nodes.insert("in".into(), Primitive::new(Kind::Input).whole("shape", &[1, 2]).into());
    nir::write(&case.net, &wide).unwrap();
    assert_eq!(case.run(&[]).status.code(), Some(0));
    wide.nodes.insert("in".into(), Primitive::new(Kind::Input).whole("shape", &[3]).into());
    nir::write(&case.net, &wide).unwrap();
    refused(&[], &["projection `in` -> `n`"]);
    // Options of NIR on another file, and a value that a graph cannot hold.
    let other = case.dir.path().join("net.json");
    std::fs::write(&other, "{}").unwrap();
    program::refused("json", &snn(&["run", other.to_str().unwrap(), "--data", "x.npz", "--dt", "1ms"]), &["net.json", ".nir"]);
}

/// What a reset to a value of several neurons is in units of the input.
#[test]
fn potentials_are_in_units_of_the_input() {
    let p = Primitive::new(Kind::LIF).floats("tau", [2], vec![0.004; 2]).floats("v_leak", [2], vec![0.0; 2]).floats(
        "v_reset",
        [2],
        vec![-0.5; 2],
    );
    let r = Array::new([2], Values::F64(vec![2.0; 2]));
    let convention = Convention { reset: AfterSpike::Value, ..Convention::default() };
    let network = nir::network(&graph(p.param("r", r).floats("v_threshold", [2], vec![1.0; 2])), &convention).unwrap();
    let Model::Lif(lif) = &network.draft().populations[population(&network, "n")].model else { panic!("no LIF") };
    // The gain of a step is dt/τ·R = ½.
    let (tau, reset) = (lif.tau.at(0), lif.reset);
    assert!((lif.v_th.at(1) - 2.0).abs() < 1e-6 && matches!(reset, Reset::To(r) if (r + 1.0).abs() < 1e-6));
    assert!(((-1e-3 / tau).exp() - 0.75).abs() < 1e-7);
}

/// Two layers of a model, the first recurrent if it spikes; else of other neurons.
fn layers(model: &Model) -> Network {
    let first = if matches!(model, Model::Linear(_) | Model::Li(_)) { If::default().into() } else { model.clone() };
    let net = Net::new(ms(1.0)).input("in", 5).population("a", 4, first).population("b", 4, model.clone()).current(0.125);
    net.project("in", "a", Connect::All, Init::uniform(2.0))
        .project("a", "a", Connect::All, Init::uniform(0.3))
        .delay(ms(1.0))
        .project("a", "b", Connect::All, Init::uniform(2.0))
        .delay(ms(2.0))
        .output("b")
        .build(Seed::new(5))
        .unwrap()
}

/// What goes out and comes back does the same: whatever the neurons, however the leak is written.
#[test]
fn exported_networks_run_alike() {
    let spiking: [Model; 5] = [
        If::default().into(),
        If { reset: Reset::To(-0.25), ..If::default() }.into(),
        IfMulti::default().into(),
        Lif { tau: vec![0.003, 0.005, 0.01, 0.02].into(), ..Lif::default() }.into(),
        CubaLif { tau: 0.004.into(), tau_syn: 0.003.into(), reset: Reset::To(0.25), ..CubaLif::default() }.into(),
    ];
    let graded: [Model; 3] = [
        Linear { keep: 0.75.into(), gain: 0.5.into() }.into(),
        Linear { keep: 0.0.into(), gain: (-0.5).into() }.into(),
        Li { tau: 0.005.into() }.into(),
    ];
    let mut rng = Seed::new(9).rng();
    let signal: Vec<f64> = (0..5 * 200).map(|_| f64::from(u8::from(rng.random_bool(0.4)))).collect();
    let input = raster(&signal, 5);
    for (model, decay) in spiking.iter().chain(&graded).flat_map(|model| [(model, Decay::Euler), (model, Decay::Exact)]) {
        let net = layers(model);
        let graph = nir::export(&net, &nir::Export { decay, ..nir::Export::default() }).unwrap_or_else(|e| panic!("{}: {e}", model.name()));
        let again = nir::network(&graph, &Convention::of(&graph).unwrap()).unwrap();
        assert_eq!(again.draft().projections.len(), net.draft().projections.len() + 1, "{}: but for the output", model.name());
        let run = |net: &Network| Clocked::<f64>::compile(net).record(&[&input], Wants::Spikes);
        let (ours, theirs) = (run(&net), run(&again));
        let output = population(&again, "b_output");
        let b = population(&net, "b");
        let mut active = 0.0;
        for t in 0..input.steps() {
            for j in 0..4 {
                let expected = match model.output().is_events() {
                    true => ours.spikes[b].value(t, j),
                    false => ours.traces[b].output_at(t, j as usize),
                };
                let found = theirs.traces[output].output_at(t, j as usize);
                assert!((found - expected).abs() < 1e-9, "{} {decay:?}, step {t}, neuron {j}: {found}, not {expected}", model.name());
                active += expected.abs();
            }
        }
        assert!(active > 10.0, "{}: {active}", model.name());
    }
}

#[test]
fn networks_are_exported() {
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (dir.path().join("net.json"), dir.path().join("net.nir"));
    let net = |model: Model| {
        let net =
            Net::new(ms(2.0)).input("in", 2).population("a", 2, model).project("in", "a", Connect::All, Init::normal(1.0)).output("a");
        snn_io::json::save_json(&file, &net.build(Seed::new(1)).unwrap()).unwrap();
    };
    let args = |more: &[&str]| snn(&[&["export", file.to_str().unwrap(), out.to_str().unwrap(), "--json"], more].concat());
    net(Alif::default().into());
    program::refused("alif", &args(&[]), &["net.json", "`a (alif)`", "on request"]);
    assert!(!out.exists());
    let object: Value = program::json(&args(&["--approximate", "--decay", "exact"]));
    assert_eq!((&object["approximated"][0], &object["nodes"], &object["convention"]["decay"]), (&"a".into(), &4.into(), &"exact".into()));
    net(If::default().into());
    let object: Value = program::json(&args(&[]));
    assert_eq!((&object["approximated"], &object["edges"]), (&Value::Array(vec![]), &3.into()));
    assert_eq!(Convention::of(&nir::read(&out).unwrap()).unwrap().dt, 2e-3);
}
