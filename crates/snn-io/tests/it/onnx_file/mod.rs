//! Writes small ONNX files, field by field, so that tests need no files of others. One input `x`, one output.

#![allow(dead_code)] // Every test uses a part of it.

/// An attribute's value.
pub enum Attribute {
    Int(i64),
    Float(f32),
    Ints(Vec<i64>),
    Text(&'static str),
    Floats(Vec<f32>),
    Tensor(Vec<u8>),
}

/// A model being written.
#[derive(Clone)]
pub struct Model {
    opset: i64,
    inputs: Vec<Vec<u8>>,
    nodes: Vec<Vec<u8>>,
    constants: Vec<Vec<u8>>,
}

pub fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// Field `number` holding a whole number.
pub fn whole(number: u64, value: i64) -> Vec<u8> {
    [varint(number << 3), varint(value as u64)].concat()
}

/// Field `number` holding bytes, a text or a message.
pub fn bytes(number: u64, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    [varint(number << 3 | 2), varint(bytes.as_ref().len() as u64), bytes.as_ref().to_vec()].concat()
}

fn float(number: u64, value: f32) -> Vec<u8> {
    [varint(number << 3 | 5), value.to_le_bytes().to_vec()].concat()
}

/// A tensor: dimensions, type (1 f32, 7 i64, 11 f64), name, bytes.
pub fn tensor(name: &str, dims: &[i64], kind: i64, raw: &[u8]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|&d| whole(1, d)).collect();
    [dims, whole(2, kind), bytes(8, name), bytes(9, raw)].concat()
}

pub fn floats(name: &str, dims: &[i64], data: &[f32]) -> Vec<u8> {
    tensor(name, dims, 1, &data.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>())
}

pub fn wholes(name: &str, data: &[i64]) -> Vec<u8> {
    tensor(name, &[data.len() as i64], 7, &data.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>())
}

/// A value's name and shape; a negative length is symbolic.
pub fn info(name: &str, dims: &[i64]) -> Vec<u8> {
    let dim = |&d: &i64| bytes(1, if d < 0 { bytes(2, "N") } else { whole(1, d) });
    let shape: Vec<u8> = dims.iter().flat_map(dim).collect();
    let kind = [whole(1, 1), bytes(2, shape)].concat();
    [bytes(1, name), bytes(2, bytes(1, kind))].concat()
}

impl Model {
    /// A model whose input `x` has this shape.
    pub fn new(opset: i64, input: &[i64]) -> Self {
        Model { opset, inputs: vec![info("x", input)], nodes: vec![], constants: vec![] }
    }

    /// Another input.
    pub fn input(mut self, name: &str, dims: &[i64]) -> Self {
        self.inputs.push(info(name, dims));
        self
    }

    /// An initialiser, as a message.
    pub fn constant(mut self, tensor: Vec<u8>) -> Self {
        self.constants.push(tensor);
        self
    }

    /// Weights.
    pub fn weights(self, name: &str, dims: &[i64], data: &[f32]) -> Self {
        self.constant(floats(name, dims, data))
    }

    /// A list of whole numbers.
    pub fn list(self, name: &str, data: &[i64]) -> Self {
        self.constant(wholes(name, data))
    }

    /// A node named after its output.
    pub fn node(mut self, op: &str, inputs: &[&str], output: &str, attributes: &[(&str, Attribute)]) -> Self {
        let mut node: Vec<u8> = inputs.iter().flat_map(|name| bytes(1, name)).collect();
        node.extend([bytes(2, output), bytes(3, format!("the {output}")), bytes(4, op)].concat());
        for (name, value) in attributes {
            let (kind, value) = match value {
                Attribute::Float(x) => (1, float(2, *x)),
                Attribute::Int(x) => (2, whole(3, *x)),
                Attribute::Text(x) => (3, bytes(4, x)),
                Attribute::Tensor(x) => (4, bytes(5, x)),
                Attribute::Floats(xs) => (6, xs.iter().flat_map(|&x| float(7, x)).collect()),
                Attribute::Ints(xs) => (7, xs.iter().flat_map(|&x| whole(8, x)).collect()),
            };
            node.extend(bytes(5, [bytes(1, name), value, whole(20, kind)].concat()));
        }
        self.nodes.push(node);
        self
    }

    /// The graph without its outputs.
    fn graph(&self) -> Vec<u8> {
        let list = |number: u64, messages: &[Vec<u8>]| messages.iter().flat_map(|m| bytes(number, m)).collect::<Vec<u8>>();
        [list(1, &self.nodes), bytes(2, "graph"), list(5, &self.constants), list(11, &self.inputs)].concat()
    }

    /// The file whose output is the value of this name.
    pub fn file(&self, output: &str) -> Vec<u8> {
        self.with_outputs(&[output])
    }

    /// The file with these outputs.
    pub fn with_outputs(&self, outputs: &[&str]) -> Vec<u8> {
        let mut graph = self.graph();
        outputs.iter().for_each(|name| graph.extend(bytes(12, info_without_shape(name))));
        file(self.opset, &graph)
    }
}

/// An output of any shape.
fn info_without_shape(name: &str) -> Vec<u8> {
    [bytes(1, name), bytes(2, bytes(1, whole(1, 1)))].concat()
}

/// A file around a graph.
pub fn file(opset: i64, graph: &[u8]) -> Vec<u8> {
    [whole(1, 8), bytes(2, "tests"), bytes(7, graph), bytes(8, whole(2, opset))].concat()
}

/// A file with something of everything.
pub fn everything() -> Vec<u8> {
    use Attribute::{Float, Int, Ints, Tensor, Text};
    let ints = |list: &[i64]| Ints(list.to_vec());
    let pool = || [("kernel_shape", ints(&[2, 2])), ("strides", ints(&[2, 2])), ("pads", ints(&[0, 1, 1, 0])), ("ceil_mode", Int(1))];
    let stats = ["s", "b", "m", "v"].into_iter().fold(Model::new(13, &[-1, 6, 6, 2]), |m, name| m.weights(name, &[3], &[0.5, 2.0, 1.0]));
    stats
        .weights("w", &[3, 1, 3, 2], &[0.5; 18])
        .weights("d", &[63, 4], &[0.25; 252])
        .list("pads", &[0, 0, 0, 1, 0, 1, 0, 0])
        .list("flat", &[0, -1])
        .node("Constant", &[], "k", &[("value", Tensor(floats("", &[1, 1, 1], &[2.0])))])
        .node("Transpose", &["x"], "t", &[("perm", ints(&[0, 3, 1, 2]))])
        .node("Pad", &["t", "pads"], "p", &[])
        .node("Concat", &["p", "p"], "both", &[("axis", Int(3))])
        .node("MaxPool", &["p"], "q", &pool())
        .node("AveragePool", &["q"], "a", &pool())
        .node("Conv", &["both", "w"], "c", &[("group", Int(3)), ("strides", ints(&[3, 5])), ("auto_pad", Text("SAME_LOWER"))])
        .node("Conv", &["t", "w1", "b"], "c1", &[("pads", ints(&[1, 1, 0, 1])), ("dilations", ints(&[1, 2])), ("strides", ints(&[2, 2]))])
        .weights("w1", &[3, 2, 3, 2], &[0.5; 36])
        .node("BatchNormalization", &["c1", "s", "b", "m", "v"], "n", &[("epsilon", Float(0.1))])
        .node("Sigmoid", &["n"], "g", &[])
        .node("Mul", &["n", "g"], "silu", &[])
        .node("Add", &["silu", "n"], "sum", &[])
        .node("Sub", &["k", "sum"], "minus", &[])
        .node("Reshape", &["minus", "flat"], "f", &[])
        .node("Flatten", &["a"], "fa", &[])
        .node("Flatten", &["c"], "fc", &[])
        .node("Concat", &["f", "fa", "fc"], "all", &[("axis", Int(1))])
        .node("Gemm", &["all", "d"], "y", &[("alpha", Float(0.5))])
        .node("Softmax", &["y"], "z", &[])
        .file("z")
}
