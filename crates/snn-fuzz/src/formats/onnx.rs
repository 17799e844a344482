//! Trained dense networks.

use super::{Format, LEAST, PLAIN};
use onnx_file::Attribute::Ints;
use onnx_file::{Model, everything};
use snn_io::onnx;

#[path = "../../../snn-io/tests/it/onnx_file/mod.rs"]
mod onnx_file;

pub const FORMAT: Format = Format {
    name: "onnx",
    seeds,
    forms: &[PLAIN],
    words: &[
        "Conv",
        "Gemm",
        "MatMul",
        "Relu",
        "Reshape",
        "Flatten",
        "Transpose",
        "Pad",
        "MaxPool",
        "AveragePool",
        "GlobalAveragePool",
        "Concat",
        "Add",
        "Mul",
        "Sub",
        "Squeeze",
        "Unsqueeze",
        "Constant",
        "Identity",
        "Softmax",
        "Sigmoid",
        "BatchNormalization",
        "Dropout",
        "axis",
        "perm",
        "pads",
        "strides",
        "group",
    ],
    // Biases, windows and transpositions that a network needs and a file does not hold: up to 2 GiB, as the reader says.
    memory: |n| LEAST + 16 * n + (2 << 30),
    read,
};

fn seeds() -> Vec<Vec<u8>> {
    let conv = Model::new(13, &[1, 1, 4, 4]).weights("w", &[2, 1, 3, 3], &[0.5; 18]).weights("b", &[2], &[1.0, 2.0]);
    let conv = conv.node("Conv", &["x", "w", "b"], "c", &[("pads", Ints(vec![1, 1, 0, 0]))]);
    let conv = conv.list("s", &[1, -1]).node("Relu", &["c"], "r", &[]).node("Reshape", &["r", "s"], "y", &[]).file("y");
    let dense = Model::new(13, &[1, 3]).weights("w", &[3, 2], &[1.0; 6]).weights("b", &[2], &[0.5; 2]);
    let dense = dense.node("Gemm", &["x", "w", "b"], "y", &[]).file("y");
    vec![conv, dense, Model::new(13, &[1, 3]).node("Relu", &["x"], "y", &[]).file("y"), everything()]
}

fn read(path: &std::path::Path) -> Result<Box<dyn FnOnce()>, String> {
    let ann = onnx::read(path).map_err(|e| e.to_string())?;
    Ok(Box::new(move || {
        let small = ann.nodes().iter().map(|node| node.size).sum::<usize>() < 20_000 && ann.macs() < 1_000_000;
        if small {
            assert_eq!(ann.run(&vec![0.5; ann.inputs()]).last().unwrap().len(), ann.outputs());
        }
    }))
}
