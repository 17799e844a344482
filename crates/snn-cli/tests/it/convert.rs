//! `snn convert`, `snn run` and `snn fit`, end to end on networks and data that the tests write, and on real ones where `SNN_DATA` is set.

use crate::onnx_file;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::program::{self, idx, snn, stderr, text};
use ndarray::{Array1, Array2, ArrayD};
use rand::RngExt;
use serde_json::Value;
use snn_convert::Forward;
use snn_core::Seed;
use snn_core::stats::largest;
use snn_io::{npy, onnx};
use tempfile::TempDir;

const IMAGES: usize = 90;

/// A run that succeeds.
#[track_caller]
fn succeeds(args: &[&str]) -> Output {
    let output = snn(args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
    output
}

/// Its standard output.
#[track_caller]
fn stdout(args: &[&str]) -> String {
    program::stdout(&succeeds(args)).into()
}

#[track_caller]
fn object(args: &[&str]) -> Value {
    program::json(&succeeds(args))
}

#[track_caller]
fn refused(args: &[&str], says: &[&str]) {
    program::refused(&format!("{args:?}"), &snn(args), says);
}

/// A folder with a network of 16 inputs, a hidden layer with this function and 3 outputs, and data of which it is right.
struct Case {
    dir: TempDir,
    model: PathBuf,
    data: PathBuf,
    pixels: Vec<u8>,
}

/// What the network answers to numbers.
fn classes(model: &Path, numbers: &[f32]) -> Vec<usize> {
    let ann = onnx::read(model).expect("a network");
    Forward::<f32>::new(&ann).outputs(numbers).expect("answers").chunks(3).map(largest).collect()
}

impl Case {
    fn new(function: &str) -> Case {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut rng = Seed::new(7).rng();
        let mut weights = |count: usize| (0..count).map(|_| rng.random_range(-1.0..1.0)).collect::<Vec<f32>>();
        let model = onnx_file::Model::new(13, &[-1, 16])
            .weights("w", &[16, 8], &weights(128))
            .weights("b", &[8], &weights(8))
            .weights("v", &[8, 3], &weights(24))
            .node("Gemm", &["x", "w", "b"], "h", &[])
            .node(function, &["h"], "f", &[])
            .node("MatMul", &["f", "v"], "y", &[]);
        let path = dir.path().join("net.onnx");
        std::fs::write(&path, model.file("y")).expect("a file");
        let pixels = (0..16 * IMAGES).map(|_| if rng.random_bool(0.3) { 0 } else { rng.random_range(0..=255) }).collect();
        let case = Case { data: dir.path().join("data.npz"), model: path, dir, pixels };
        case.write(&case.numbers(|x| x), &classes(&case.model, &case.numbers(|x| x)));
        case
    }

    fn numbers(&self, f: impl Fn(f32) -> f32) -> Vec<f32> {
        self.pixels.iter().map(|&p| f(f32::from(p) / 255.0)).collect()
    }

    /// Writes the archive.
    fn write(&self, numbers: &[f32], labels: &[usize]) {
        let x = Array2::from_shape_vec((numbers.len() / 16, 16), numbers.to_vec()).expect("a shape").into_dyn();
        let y = Array1::from_iter(labels.iter().map(|&y| y as f32)).into_dyn();
        npy::write_npz(&self.data, &[("x", &*x), ("y", &*y)]).expect("an archive");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `snn convert` with this scheme, calibrated and evaluated on the data.
    fn args<'a>(&'a self, scheme: &'a str, steps: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let data = text(&self.data);
        let all = ["convert", text(&self.model), "--scheme", scheme, "--steps", steps, "--calibrate", data, "--evaluate", data];
        [&all[..], more].concat()
    }
}

fn share(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn a_network_is_converted_compared_saved_and_run() {
    let case = Case::new("Relu");
    let (out, report) = (case.path("net.json"), case.path("report"));
    let found = object(&case.args("fs", "10", &["--json", "--curve", "--out", text(&out), "--report", text(&report)]));
    assert_eq!((share(&found["reference_accuracy"]), share(&found["dense"]["accuracy"])), (1.0, 1.0));
    assert!(share(&found["accuracy"]) > 0.95 && found["dense"]["macs"] == 128 + 24, "{found:#}");
    assert_eq!(
        (&found["scheme"], &found["timing"]["latency"], &found["timing"]["interval"]),
        (&"few_spikes".into(), &30.into(), &10.into())
    );
    let layers = found["layers"].as_array().expect("layers");
    assert_eq!(layers.len(), 2);
    assert!(layers.iter().all(|layer| (1e-5..0.02).contains(&share(&layer["error"]["relative"]))), "{found:#}");
    let spikes: f64 = layers.iter().map(|layer| share(&layer["spikes_per_gate"]) * share(&layer["gates"])).sum();
    assert!((spikes - share(&found["work"]["spikes"])).abs() < 1e-9);
    let curve = found["accuracy_by_code"].as_array().expect("a curve");
    assert_eq!((curve.len(), &curve[8]), (9, &serde_json::json!([10, found["accuracy"]])));

    let filed: Value = serde_json::from_slice(&std::fs::read(report.join("report.json")).expect("a report")).expect("JSON");
    assert_eq!(filed, found);
    for name in ["errors", "spikes", "accuracy"] {
        assert!(std::fs::read_to_string(report.join(name).with_extension("svg")).expect("a plot").contains("net.onnx, few_spikes"));
        assert!(std::fs::read(report.join(name).with_extension("png")).expect("a plot").starts_with(b"\x89PNG"));
    }

    let answers = case.path("answers.npy");
    let run = object(&["run", text(&out), "--data", text(&case.data), "--json", "--answers", text(&answers)]);
    for field in ["accuracy", "work", "timing"] {
        assert_eq!(run[field], found[field], "{field}");
    }
    let answers: ArrayD<f32> = npy::read(&answers).expect("answers");
    assert_eq!(answers.shape(), [IMAGES, 3]);
    let exact = Forward::<f32>::new(&onnx::read(&case.model).expect("a network")).outputs(&case.numbers(|x| x)).expect("answers");
    assert!(answers.iter().zip(&exact).all(|(y, exact)| (y - exact).abs() < 0.05));
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let case = Case::new("Relu");
    for (scheme, steps) in [("few_spikes", "5"), ("amos", "4"), ("rate", "60")] {
        let with = |threads: &str| stdout(&case.args(scheme, steps, &["--json", "--threads", threads]));
        assert_eq!(with("1"), with("3"), "{scheme}");
    }
}

#[test]
fn tables_of_every_scheme() {
    let case = Case::new("Relu");
    for (scheme, steps, latency, neurons) in [("few_spikes", "6", 18, 24), ("amos", "6", 12, 24 * 6), ("rate", "300", 300, 24)] {
        let table = stdout(&case.args(scheme, steps, &["--images", "50"]));
        let value = |what: &str| table.lines().find(|line| line.starts_with(what)).and_then(|line| line.split_whitespace().last());
        assert_eq!(value("latency"), Some(&latency.to_string()[..]), "{table}");
        assert_eq!((value("neurons"), value("images")), (Some(&neurons.to_string()[..]), Some("50")), "{table}");
        let accuracy: f64 = value("accuracy, spiking").and_then(|x| x.parse().ok()).expect("an accuracy");
        assert!(accuracy >= 90.0, "{table}");
        assert!(table.contains("Horowitz 2014") && table.contains("relative error"), "{table}");
    }
    let report = case.path("rates");
    let found = object(&case.args("rate", "200", &["--json", "--report", text(&report)]));
    let by_step = found["accuracy_by_step"].as_array().expect("a list");
    assert_eq!((by_step.len(), &by_step[199]), (200, &found["accuracy"]));
    assert!(share(&by_step[199]) > share(&by_step[0]) && report.join("accuracy.svg").is_file());
    let data = text(&case.data);
    let table = stdout(&["convert", text(&case.model), "--scheme", "fs", "--steps", "6", "--calibrate", data]);
    assert!(table.contains("latency") && !table.contains("spikes"), "{table}");
}

/// A network that wants its pixels normalised is right about them only with the mean and deviation that it wants.
#[test]
fn inputs_are_normalised_inside_the_network() {
    let case = Case::new("Relu");
    let normal = |x: f32| (x - 0.4) / 0.25;
    case.write(&case.pixels.iter().map(|&p| f32::from(p)).collect::<Vec<_>>(), &classes(&case.model, &case.numbers(normal)));
    let out = case.path("net.json");
    let right = object(&case.args("fs", "12", &["--json", "--scale", "255", "--mean", "0.4", "--std", "0.25", "--out", text(&out)]));
    assert_eq!((share(&right["reference_accuracy"]), share(&right["dense"]["accuracy"])), (1.0, 1.0));
    assert!(share(&right["accuracy"]) > 0.95);
    assert!(share(&right["layers"][0]["range"][0]) == 0.0, "the input is coded as it comes: {right:#}");
    let wrong = object(&case.args("fs", "12", &["--json", "--scale", "255"]));
    assert!(share(&wrong["dense"]["accuracy"]) < 0.95 && wrong["dense"]["accuracy"] == wrong["reference_accuracy"]);
    let run = object(&["run", text(&out), "--data", text(&case.data), "--json", "--scale", "255"]);
    assert_eq!(run["accuracy"], right["accuracy"]);
}

#[test]
fn folders_in_the_layout_of_mnist() {
    let case = Case::new("Relu");
    let folder = case.path("digits");
    std::fs::create_dir(&folder).expect("a folder");
    let labels: Vec<u8> = classes(&case.model, &case.numbers(|x| x)).into_iter().map(|y| y as u8).collect();
    let file = |name: &str, bytes: Vec<u8>| std::fs::write(folder.join(name), bytes).expect("a file");
    let n = IMAGES as u32;
    file("train-images-idx3-ubyte", idx(&[30, 4, 4], &case.pixels[..480]));
    file("t10k-images-idx3-ubyte", idx(&[n, 4, 4], &case.pixels));
    file("t10k-labels-idx1-ubyte", idx(&[n], &labels));
    let (model, folder_text) = (text(&case.model), text(&folder));
    let args = ["convert", model, "--scheme", "fs", "--steps", "8", "--calibrate", folder_text, "--evaluate", folder_text, "--json"];
    let found = object(&args);
    assert_eq!((share(&found["dense"]["accuracy"]), &found["calibration_images"], &found["scale"]), (1.0, &30.into(), &255.0.into()));

    file("t10k-labels-idx1-ubyte", idx(&[2], &[0, 1]));
    refused(&args, &["t10k-labels-idx1-ubyte: labels of shape [2]", "90 images"]);
    file("t10k-labels-idx1-ubyte", idx(&[n], &[3; IMAGES]));
    refused(&args, &["image 0 has the label 3", "classes 0 to 2"]);
    file("t10k-images-idx3-ubyte", idx(&[n, 2, 2], &case.pixels[..4 * IMAGES]));
    refused(&args, &["--evaluate", "images of 4 numbers, but the network takes 16"]);
    std::fs::remove_file(folder.join("train-images-idx3-ubyte")).expect("a file");
    refused(&args, &["train-images-idx3-ubyte.gz: not found"]);
}

#[test]
fn codes_of_other_functions() {
    let case = Case::new("Sigmoid");
    let found = object(&case.args("fs", "12", &["--json"]));
    assert!(share(&found["accuracy"]) > 0.8 && found["layers"][1]["function"] == "sigmoid", "{found:#}");
    refused(&case.args("rate", "100", &[]), &["scheme `rate`", "`f` (sigmoid)", "no rectifier"]);
}

#[test]
fn bad_input_to_convert() {
    let case = Case::new("Relu");
    let (model, data) = (text(&case.model), text(&case.data));
    refused(&["convert", model, "--scheme", "fs", "--steps", "8"], &["--calibrate is missing", "range", ".npz"]);
    refused(&["convert", "no/net.onnx", "--scheme", "fs", "--steps", "8", "--calibrate", data], &["no/net.onnx: not found"]);
    refused(&["convert", data, "--scheme", "fs", "--steps", "8", "--calibrate", data], &["data.npz"]);
    refused(&["convert", model, "--scheme", "fs", "--steps", "8", "--calibrate", "no/data"], &["no/data: not found", "idx"]);
    refused(&case.args("few_spike", "8", &[]), &["'few_spike'", "--scheme", "few_spikes", "amos", "rate"]);
    refused(&case.args("fs", "0", &[]), &["0 steps: give 1 to 48"]);
    refused(&case.args("rate", "0", &[]), &["0 steps"]);
    for (more, says) in [
        (&["--tail", "0.5"][..], "below 0.5"),
        (&["--std", "0"], "above 0"),
        (&["--mean", "nan"], "finite"),
        (&["--images", "0"], "1 or more"),
        (&["--negative", "both"], "turns"),
    ] {
        refused(&case.args("fs", "8", more), &[more[0], says]);
    }
    refused(&["convert", model, "--scheme", "fs", "--steps", "8", "--calibrate", data, "--curve"], &["--evaluate"]);

    // Negative inputs: no rates, and turns come in pairs.
    case.write(&case.numbers(|x| x - 0.5), &[0; IMAGES]);
    refused(&case.args("rate", "100", &[]), &["`x` (identity) has negative numbers"]);
    refused(&case.args("fs", "7", &["--negative", "turns"]), &["layer `x`", "even number of steps, not 7"]);
    stdout(&case.args("fs", "8", &["--negative", "turns"]));

    case.write(&case.numbers(|x| if x == 0.0 { f32::NAN } else { x }), &[0; IMAGES]);
    refused(&case.args("fs", "8", &[]), &["data.npz: x: number", "of image 0 is NaN"]);
    case.write(&case.numbers(|x| x), &[0; IMAGES - 1]);
    refused(&case.args("fs", "8", &[]), &["data.npz: y has the shape [89]; expected [90]"]);
    case.write(&case.numbers(|x| x), &[3; IMAGES]);
    refused(&case.args("fs", "8", &[]), &["--evaluate", "label 3", "classes 0 to 2"]);
    let x = Array2::<f32>::zeros((4, 9)).into_dyn();
    npy::write_npz(&case.data, &[("x", &*x)]).expect("an archive");
    refused(&case.args("fs", "8", &[]), &["--calibrate", "images of 9 numbers, but the network takes 16"]);
    npy::write_npz(&case.data, &[("images", &*x)]).expect("an archive");
    refused(&case.args("fs", "8", &[]), &["no array `x.npy`", "images"]);
}

#[test]
fn bad_input_to_run() {
    let case = Case::new("Relu");
    let (out, data) = (case.path("net.json"), text(&case.data));
    stdout(&case.args("fs", "4", &["--out", text(&out)]));
    let good: Value = serde_json::from_slice(&std::fs::read(&out).expect("a file")).expect("JSON");
    let args = ["run", text(&out), "--data", data];
    stdout(&args);
    type Change = fn(&mut Value);
    // A network of another kind.
    fn empty() -> Value {
        let net = snn_core::Net::new(1e-3).input("in", 16).population("answer", 3, snn_core::neuron::Li::default()).output("answer");
        serde_json::to_value(net.build(Seed::new(1)).expect("a network")).expect("JSON")
    }
    let cases: [(Change, &str); 12] = [
        (|net| *net = Value::Null, "net.json:1:"),
        (|net| net["scheme"] = 3.into(), "invalid type"),
        (|net| net["network"]["populations"][0]["size"] = 17.into(), "net.json"),
        (|net| net["network"]["outputs"] = Value::Array(Vec::new()), "no output"),
        (|net| net["network"] = empty(), "expected one, named `data`"),
        (|net| net["network"]["outputs"][0] = "x".into(), "net.json"),
        (|net| net["timing"]["latency"] = 0.into(), "timing"),
        (|net| net["timing"]["latency"] = (1u64 << 60).into(), "timing"),
        (|net| net["timing"]["interval"] = 0.into(), "timing"),
        (|net| net["places"][1]["population"] = 9.into(), "places[1]: there is no layer 1 or no population 9"),
        (|net| net["places"][0]["layer"] = 1.into(), "places[0]: `x` has 16 neurons"),
        (|net| net["places"][0]["start"] = u64::MAX.into(), "within the latency"),
    ];
    for (change, says) in cases {
        let mut net = good.clone();
        change(&mut net);
        std::fs::write(&out, net.to_string()).expect("a file");
        refused(&args, &["net.json", says]);
    }
    std::fs::write(&out, good.to_string()).expect("a file");
    stdout(&args);
    refused(&["run", "no/net.json", "--data", data], &["no/net.json: not found"]);
    refused(&["run", text(&out), "--data", "no/data"], &["no/data: not found"]);
    let x = Array2::<f32>::zeros((4, 9)).into_dyn();
    npy::write_npz(&case.data, &[("x", &*x)]).expect("an archive");
    refused(&args, &["--data", "images of 9 numbers, but the network takes 16"]);
    let x = Array2::<f32>::ones((4, 16)).into_dyn();
    npy::write_npz(&case.data, &[("x", &*x)]).expect("an archive");
    assert!(object(&[&args[..], &["--json"]].concat())["accuracy"].is_null(), "no labels, no accuracy");
}

#[test]
fn codes_are_fitted_and_drawn() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (out, plot) = (dir.path().join("code.json"), dir.path().join("code.svg"));
    let args = ["fit", "--activation", "sigmoid", "--steps", "6", "--range", "-6", "6", "--restarts", "1"];
    let fit = |more: &[&str]| object(&[&args[..], more, &["--json"]].concat());
    let found = fit(&["--out", text(&out), "--plot", text(&plot)]);
    assert!(share(&found["quality"]["mse"]) < 5e-3 && found["unit"]["threshold"].as_array().is_some_and(|t| t.len() == 6), "{found:#}");
    let filed: snn_convert::fits::Shipped = snn_io::json::load_json(&out).expect("a code");
    assert_eq!(serde_json::to_value(filed.quality).expect("JSON"), found["quality"]);
    assert!(std::fs::read_to_string(&plot).expect("a plot").contains("sigmoid as a few-spikes neuron of 6 steps"));
    assert!(share(&fit(&["--spike-cost", "0.01"])["quality"]["spikes"]) < share(&found["quality"]["spikes"]));
    assert_eq!(fit(&["--circuit", "--threads", "2"]), fit(&["--circuit", "--threads", "1"]));
    assert!(stdout(&args).contains("mean squared error"));

    refused(&["fit", "--activation", "sigmoit", "--steps", "6", "--range", "-6", "6"], &["\"sigmoit\"", "Did you mean sigmoid?"]);
    refused(&["fit", "--activation", "silu", "--steps", "0", "--range", "-6", "6"], &["steps = 0"]);
    refused(&["fit", "--activation", "silu", "--steps", "6", "--range", "6", "-6"], &["range", "smaller one first"]);
    refused(&["fit", "--activation", "silu", "--steps", "6", "--range", "6", "inf"], &["--range", "finite"]);
    refused(&[&args[..], &["--plot", "code.pdf"]].concat(), &[".svg or .png"]);
}

#[test]
fn help_teaches_by_example() {
    for command in ["convert", "run", "fit"] {
        assert!(stdout(&[command, "--help"]).contains(&format!("Examples:\n  snn {command} ")), "{command}");
    }
}

/// The first trained network of the collection: 98.91 % on all test images, by its README.
#[test]
fn mnist_by_few_spikes() {
    let Some(data) = std::env::var_os("SNN_DATA") else { return eprintln!("skipped: SNN_DATA not set") };
    let data = Path::new(&data);
    let (model, mnist) = (data.join("onnx/mnist-8.onnx"), data.join("mnist"));
    let (model, mnist) = (text(&model), text(&mnist));
    let args = ["convert", model, "--scheme", "fs", "--steps", "8", "--scale", "1", "--calibrate", mnist, "--calibrate-images", "200"];
    let found = object(&[&args[..], &["--evaluate", mnist, "--images", "200", "--json"]].concat());
    assert_eq!(found["reference_accuracy"], found["dense"]["accuracy"]);
    assert!(share(&found["dense"]["accuracy"]) >= 0.97 && share(&found["dense"]["agreement"]) >= 0.97, "{found:#}");
    println!("{found:#}");
}
