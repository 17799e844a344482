//! Imported networks, run densely, against another library's run of the same file: every value that has a name in both.

use crate::onnx_file::Attribute::{Float, Int, Ints, Text};
use crate::onnx_file::{Attribute, Model};
use snn_convert::Forward;
use snn_convert::reference::{Reference, ReferenceError};
use snn_convert::report::right;
use snn_io::{idx, onnx};
use std::path::{Path, PathBuf};

/// Numbers in −1 … 1 without a pattern.
fn some(count: usize, salt: u32) -> Vec<f32> {
    (0..count as u32).map(|i| ((i + 1).wrapping_mul(2_654_435_769).wrapping_add(salt) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
}

/// The largest difference of all values, relative to the largest number of each; and how many were compared.
#[track_caller]
fn compare(path: &Path, inputs: &[Vec<f32>]) -> (f64, usize) {
    let (ann, reference) = (onnx::read(path).unwrap(), Reference::open(path).unwrap());
    let forward = Forward::<f32>::new(&ann);
    let mut values = forward.values();
    let named = |k: &usize| !ann.nodes()[*k].name.ends_with("/padded") && !ann.nodes()[*k].name.ends_with("/joined");
    let nodes: Vec<usize> = (0..ann.nodes().len()).filter(named).collect();
    let names: Vec<&str> = nodes.iter().map(|&k| &ann.nodes()[k].name[..]).collect();
    let mut worst = 0.0f64;
    for input in inputs {
        forward.run(input, &mut values).unwrap();
        let theirs = reference.values(input, &names).unwrap();
        assert_eq!(reference.run(input, 1).unwrap().len(), ann.outputs());
        for (&k, theirs) in nodes.iter().zip(&theirs) {
            let ours = values.of(k);
            assert_eq!(ours.len(), theirs.len(), "{path:?}: {}", ann.nodes()[k].name);
            let size = theirs.iter().fold(1e-30f64, |most, x| most.max(f64::from(x.abs())));
            let off = ours.iter().zip(theirs).map(|(a, b)| f64::from((a - b).abs()) / size).fold(0.0, f64::max);
            assert!(off < 1e-4, "{path:?}: {} is off by {off:e}", ann.nodes()[k].name);
            worst = worst.max(off);
        }
    }
    (worst, nodes.len())
}

/// A file that the test writes, to 1e-5.
#[track_caller]
fn same(model: &Model, output: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    std::fs::write(&path, model.file(output)).unwrap();
    let size = onnx::read(&path).unwrap().inputs();
    let (off, _) = compare(&path, &[some(size, 1), some(size, 77)]);
    assert!(off < 1e-5, "off by {off:e}");
}

fn ints(list: &[i64]) -> Attribute {
    Ints(list.to_vec())
}

#[test]
fn products_and_arithmetic() {
    let base =
        Model::new(13, &[-1, 5]).weights("w", &[5, 3], &some(15, 2)).weights("v", &[3, 5], &some(15, 3)).weights("b", &[3], &some(3, 4));
    let base = base.weights("c", &[1, 5], &[0.5, -2.0, 3.0, 1.0, 0.25]);
    same(&base.clone().node("MatMul", &["x", "w"], "y", &[]).node("Add", &["b", "y"], "z", &[]), "z");
    same(&base.clone().node("Gemm", &["x", "v", "b"], "y", &[("transB", Int(1)), ("alpha", Float(0.5)), ("beta", Float(-2.0))]), "y");
    for op in ["Add", "Sub", "Mul", "Div"] {
        same(&base.clone().node(op, &["x", "c"], "y", &[]), "y");
        if op != "Div" {
            same(&base.clone().node(op, &["c", "x"], "y", &[]), "y");
        }
    }
    same(&base.clone().node("Relu", &["x"], "r", &[]).node("Add", &["x", "r"], "y", &[]), "y");
    let rows = Model::new(13, &[1, 4, 5]).weights("w", &[5, 3], &some(15, 2)).weights("b", &[4, 1], &some(4, 3));
    same(&rows.node("MatMul", &["x", "w"], "m", &[]).node("Mul", &["m", "b"], "y", &[]), "y");
}

#[test]
fn activations() {
    let base = Model::new(20, &[-1, 40]).weights("four", &[], &[4.0]).node("Mul", &["x", "four"], "wide", &[]);
    let (alpha, tanh) = (|| ("alpha", Float(0.3)), ("approximate", Text("tanh")));
    for (op, attributes) in [
        ("Relu", vec![]),
        ("LeakyRelu", vec![alpha()]),
        ("Elu", vec![alpha()]),
        ("Sigmoid", vec![]),
        ("Tanh", vec![]),
        ("HardSwish", vec![]),
        ("Gelu", vec![]),
        ("Gelu", vec![tanh]),
        ("Softmax", vec![]),
        ("LogSoftmax", vec![("axis", Int(1))]),
    ] {
        same(&base.clone().node(op, &["wide"], "y", &attributes), "y");
    }
    same(&base.node("Sigmoid", &["wide"], "s", &[]).node("Mul", &["s", "wide"], "y", &[]), "y");
}

/// The other library takes the number of axes from the kernel's shape, which may be left out elsewhere.
#[test]
fn convolutions() {
    let kernel = |height, width| ("kernel_shape", ints(&[height, width]));
    let base = Model::new(11, &[1, 4, 9, 8]).weights("w", &[6, 4, 3, 2], &some(144, 2)).weights("b", &[6], &some(6, 3));
    let base = base.weights("g", &[6, 2, 3, 3], &some(108, 5)).weights("d", &[4, 1, 3, 3], &some(36, 6));
    for attributes in [
        vec![],
        vec![("pads", ints(&[1, 0, 1, 0])), ("strides", ints(&[2, 1]))],
        vec![("pads", ints(&[1, 2, 0, 1])), ("strides", ints(&[1, 3]))],
        vec![("dilations", ints(&[2, 3])), ("pads", ints(&[2, 1, 2, 1]))],
        vec![("auto_pad", Text("SAME_UPPER")), ("strides", ints(&[2, 2]))],
        vec![("auto_pad", Text("VALID"))],
    ] {
        let attributes: Vec<_> = attributes.into_iter().chain([kernel(3, 2)]).collect();
        same(&base.clone().node("Conv", &["x", "w", "b"], "y", &attributes), "y");
    }
    same(&base.clone().node("Conv", &["x", "g"], "y", &[kernel(3, 3), ("group", Int(2)), ("pads", ints(&[1, 1, 1, 1]))]), "y");
    same(&base.clone().node("Conv", &["x", "d"], "y", &[kernel(3, 3), ("group", Int(4)), ("strides", ints(&[2, 2]))]), "y");
    let normal = base.weights("s", &[6], &some(6, 7)).weights("v", &[6], &[0.5, 1.0, 2.0, 3.0, 0.1, 0.2]);
    let normal = normal.node("Conv", &["x", "w", "b"], "c", &[kernel(3, 2), ("pads", ints(&[1, 0, 1, 1]))]);
    let normal = normal.node("BatchNormalization", &["c", "s", "b", "s", "v"], "n", &[("epsilon", Float(1e-3))]);
    same(&normal, "n");
    same(&normal.node("Relu", &["c"], "r", &[]).node("Add", &["r", "n"], "y", &[]), "y");
}

#[test]
fn pools() {
    let base = Model::new(19, &[-1, 3, 7, 8]);
    let kernel = || ("kernel_shape", ints(&[3, 2]));
    for op in ["MaxPool", "AveragePool"] {
        for attributes in [
            vec![kernel(), ("strides", ints(&[1, 1]))],
            vec![kernel(), ("strides", ints(&[2, 2]))],
            vec![kernel(), ("strides", ints(&[2, 3])), ("ceil_mode", Int(1))],
            vec![kernel(), ("pads", ints(&[1, 1, 1, 1])), ("strides", ints(&[2, 1]))],
            vec![kernel(), ("pads", ints(&[1, 0, 0, 1])), ("strides", ints(&[3, 2]))],
            vec![kernel(), ("auto_pad", Text("SAME_UPPER")), ("strides", ints(&[2, 3]))],
        ] {
            same(&base.clone().node(op, &["x"], "y", &attributes), "y");
        }
    }
    let counted = [kernel(), ("pads", ints(&[1, 1, 1, 1])), ("count_include_pad", Int(1)), ("strides", ints(&[2, 2]))];
    same(&base.clone().node("AveragePool", &["x"], "y", &counted), "y");
    same(&base.node("GlobalAveragePool", &["x"], "y", &[]), "y");
}

#[test]
fn numbers_that_move() {
    let base = Model::new(13, &[1, 4, 5, 3]).weights("w", &[2, 3, 3, 3], &some(54, 2));
    let base = base.list("pads", &[0, 1, 0, 2, 0, 0, 3, 1]).list("shape", &[0, 5, -1]).list("axes", &[0]);
    let first = base.node("Transpose", &["x"], "t", &[("perm", ints(&[0, 3, 1, 2]))]).node(
        "Conv",
        &["t", "w"],
        "c",
        &[("kernel_shape", ints(&[3, 3]))],
    );
    same(&first.clone().node("Transpose", &["c"], "l", &[("perm", ints(&[0, 2, 3, 1]))]).node("Flatten", &["l"], "f", &[]), "f");
    same(&first.clone().node("Pad", &["x", "pads"], "p", &[]).node("Sigmoid", &["p"], "y", &[]), "y");
    same(&first.clone().node("Reshape", &["x", "shape"], "r", &[]).node("Tanh", &["r"], "y", &[]), "y");
    let squeezed = first.clone().node("Squeeze", &["x", "axes"], "s", &[]).node("Tanh", &["s"], "h", &[]);
    same(&squeezed.node("Unsqueeze", &["h", "axes"], "y", &[]), "h");
    for axis in [1, 2, -1] {
        same(&first.clone().node("Tanh", &["x"], "h", &[]).node("Concat", &["h", "x"], "y", &[("axis", Int(axis))]), "y");
    }
}

#[test]
fn mistakes_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    assert!(matches!(Reference::open(&path), Err(ReferenceError::Io(_))));
    std::fs::write(&path, Model::new(13, &[-1, 3]).node("Relu", &["x"], "y", &[]).file("y")).unwrap();
    let reference = Reference::open(&path).unwrap();
    assert_eq!(reference.inputs(), 3);
    assert_eq!(reference.run(&[1.0, -1.0, 2.0, 0.5, 0.0, -3.0], 2).unwrap(), [1.0, 0.0, 2.0, 0.5, 0.0, 0.0]);
    let refused = |error: Result<_, ReferenceError>, words: &str| {
        let text = error.map(|_: Vec<f32>| ()).unwrap_err().to_string();
        assert!(text.contains(words) && text.starts_with(path.to_str().unwrap()), "{text}");
    };
    refused(reference.run(&[0.0; 4], 2), "4 numbers given for 2 inputs of 3 each");
    refused(reference.run(&[0.0; 4], usize::MAX), "4 numbers given");
    refused(reference.values(&[0.0; 3], &["z"]).map(|values| values.concat()), "no value is named `z`");
    std::fs::write(&path, b"version https://git-lfs.github.com/spec/v1\n").unwrap();
    assert!(Reference::open(&path).is_err_and(|e| e.to_string().contains("git lfs pull")));
}

fn data(folder: &str) -> Option<PathBuf> {
    let data = std::env::var_os("SNN_DATA");
    if data.is_none() {
        eprintln!("skipped: SNN_DATA not set (it names the folder that holds {folder}/)");
    }
    data.map(|data| Path::new(&data).join(folder))
}

#[test]
fn layers_of_others() {
    let Some(folder) = data("onnx/layer-zoo") else { return };
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let size = onnx::read(&path).unwrap().inputs();
        let (off, _) = compare(&path, &[some(size, 1), some(size, 2)]);
        assert!(off < 1e-5, "{path:?}: off by {off:e}");
        files += 1;
    }
    assert_eq!(files, 8);
}

/// A trained network: its file, the data set it classifies, what it expects of a pixel 0 … 255, its accuracy in per cent (data/README.md).
type Trained = (&'static str, &'static str, fn(f32) -> f32, f64);

const TRAINED: [Trained; 7] = [
    ("mnist-8", "mnist", |p| p, 98.91),
    ("burn_mnist_cnn_bn", "mnist", |p| (p / 255.0 - 0.1307) / 0.3081, 99.16),
    ("marabou_mnist2x10", "mnist", |p| p / 255.0, 92.26),
    ("marabou_cnn_max_mninst2", "mnist", |p| p / 255.0, 98.23),
    ("marabou_robust_model_sigmoid_linear", "mnist", |p| p / 255.0, 95.41),
    ("marabou_mnist2x5_sigmoid", "mnist", |p| p / 255.0, 85.16),
    ("fashion_mlp_silu", "fashion-mnist", |p| p / 255.0, 88.43),
];

fn test_set(data: &Path, set: &str) -> (Vec<u8>, Vec<u8>) {
    let read = |name: &str| idx::read(data.join(set).join(name)).unwrap().data;
    (read("t10k-images-idx3-ubyte.gz"), read("t10k-labels-idx1-ubyte.gz"))
}

#[test]
fn trained_networks_value_by_value() {
    let Some(data) = data(".") else { return };
    for (name, set, scale, _) in TRAINED {
        let (images, _) = test_set(&data, set);
        let inputs: Vec<Vec<f32>> = images.chunks(784).step_by(500).map(|image| image.iter().map(|&p| scale(p.into())).collect()).collect();
        assert_eq!(inputs.len(), 20);
        let (off, values) = compare(&data.join(format!("onnx/{name}.onnx")), &inputs);
        println!("{name}: {values} values, off by {off:.1e}");
    }
    for name in ["cifar_base_kw", "cifar_deep_kw", "cifar_wide_kw"] {
        let inputs: Vec<Vec<f32>> = (0..20).map(|k| some(3 * 32 * 32, k).into_iter().map(|x| 2.0 * x).collect()).collect();
        let (off, values) = compare(&data.join(format!("onnx/{name}.onnx")), &inputs);
        println!("{name}: {values} values, off by {off:.1e}");
    }
}

#[test]
fn trained_networks_are_as_good_as_their_figures() {
    let Some(data) = data(".") else { return };
    for (name, set, scale, figure) in TRAINED {
        let path = data.join(format!("onnx/{name}.onnx"));
        let (images, labels) = test_set(&data, set);
        let inputs: Vec<f32> = images.iter().map(|&p| scale(p.into())).collect();
        let labels: Vec<usize> = labels.iter().map(|&label| label.into()).collect();
        let share = |outputs: &[f32]| right(outputs, &labels) as f64 * 100.0 / labels.len() as f64;
        let start = std::time::Instant::now();
        let ours = share(&Forward::<f32>::new(&onnx::read(&path).unwrap()).outputs(&inputs).unwrap());
        let (ours_took, start) = (start.elapsed(), std::time::Instant::now());
        let theirs = share(&Reference::open(&path).unwrap().run(&inputs, labels.len()).unwrap());
        println!("{name}: {ours:.2} % in {ours_took:.1?}, reference {theirs:.2} % in {:.1?}, figure {figure} %", start.elapsed());
        assert!((ours - figure).abs() < 0.05 && (theirs - figure).abs() < 0.05, "{name}: {ours}, {theirs}, not {figure}");
    }
}
