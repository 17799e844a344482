//! From the graph of a file to nodes: which are needed, in which order, and the values they hear.

use super::tensor::Constant;
use super::{Reason, attributes::Attributes, fold, operators, tensor};
use crate::IoError;
use rten_onnx::onnx::{DataType, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use snn_core::ann::{Ann, AnnError, Graph, Node, Op};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// Chosen: numbers that are made, of eight bytes at most. Few small nodes can ask for many: weights may be shared, images large.
const MAX_ENTRIES: usize = 1 << 28;

/// What a name of the file stands for.
#[derive(Clone)]
pub(super) enum Value {
    /// Numbers.
    Constant(Constant),
    /// A node, by index, and its shape.
    Node { index: usize, dims: Vec<usize> },
}

/// A node of the file with everything needed to understand it.
pub(super) struct Call<'a> {
    pub op: &'a str,
    pub opset: i64,
    pub attributes: Attributes<'a>,
    /// What it hears; `None` where an optional input is left out.
    pub inputs: Vec<Option<Value>>,
    /// The name of its first output.
    pub output: &'a str,
}

impl Call<'_> {
    /// Input `k`.
    pub fn input(&self, k: usize) -> Result<&Value, Reason> {
        self.optional(k).ok_or_else(|| format!("input {k} is missing"))
    }
    /// Input `k`, if it is given.
    pub fn optional(&self, k: usize) -> Option<&Value> {
        self.inputs.get(k)?.as_ref()
    }
    /// The constant at input `k`.
    pub fn constant(&self, k: usize) -> Result<&Constant, Reason> {
        match self.input(k)? {
            Value::Constant(constant) => Ok(constant),
            Value::Node { .. } => Err(format!("input {k} depends on the network's input; only constants are read there")),
        }
    }
    /// The constant at input `k`, if the input is given.
    pub fn optional_constant(&self, k: usize) -> Result<Option<&Constant>, Reason> {
        self.optional(k).map(|_| self.constant(k)).transpose()
    }
    /// Index and shape of the node at input `k`.
    pub fn node(&self, k: usize) -> Result<(usize, &[usize]), Reason> {
        match self.input(k)? {
            Value::Node { index, dims } => Ok((*index, dims)),
            Value::Constant(_) => Err(format!("input {k} is a constant; the operator is read for values that depend on the input")),
        }
    }
    /// Refuses more inputs than are understood.
    pub fn at_most(&self, count: usize) -> Result<(), Reason> {
        match self.inputs.iter().skip(count).flatten().count() {
            0 => Ok(()),
            _ => Err(format!("{} inputs; at most {count} are read", self.inputs.len())),
        }
    }
}

/// The nodes made so far.
pub(super) struct Build<'a> {
    pub nodes: Vec<Node>,
    source: Source<'a>,
    left: usize,
}

impl Build<'_> {
    /// Counts numbers that are about to be made.
    pub fn reserve(&mut self, entries: usize) -> Result<(), Reason> {
        let left = self.left.checked_sub(entries);
        self.left = left.ok_or_else(|| format!("with it the network takes more than {MAX_ENTRIES} numbers: too large to be read"))?;
        Ok(())
    }

    /// A name for a node that the file has no value for.
    pub fn name(&self, serves: &str, what: &str) -> String {
        let mut name = format!("{serves}/{what}");
        while self.source.makers.contains_key(name.as_str()) || self.nodes[0].name == name {
            name.push('\'');
        }
        name
    }

    /// Adds a node of this shape.
    pub fn push(&mut self, name: &str, dims: Vec<usize>, from: Vec<usize>, op: Op) -> Result<Value, Reason> {
        match tensor::size(&dims)? {
            0 => return Err(format!("a value of shape {dims:?} holds nothing")),
            size => self.nodes.push(Node::new(name, size, from, op)),
        }
        Ok(Value::Node { index: self.nodes.len() - 1, dims })
    }
}

/// Makes the network.
pub(super) fn import(path: &Path, model: &ModelProto) -> Result<Ann, IoError> {
    let refuse = |place: &str, reason: String| IoError::content(path, place, reason);
    let graph = model.graph.as_ref().ok_or_else(|| refuse("model", "there is no graph in it; copy or download it again".into()))?;
    let opset = opset(model).map_err(|reason| refuse("model", reason))?;
    let source = Source::new(graph).map_err(|reason| refuse("graph", reason))?;
    let input = source.input().map_err(|reason| refuse("graph inputs", reason))?;
    let output = only("output", graph.output.iter().map(name).collect()).map_err(|reason| refuse("graph outputs", reason))?;
    let (input_name, dims) = (name(input), shape(input).map_err(|reason| refuse(&format!("input `{}`", name(input)), reason))?);

    let order = source.order(output).map_err(|(k, reason)| refuse(&place(&graph.node[k], opset), reason))?;
    let mut build = Build { nodes: Vec::new(), source, left: MAX_ENTRIES };
    let mut values = HashMap::new();
    let first = build.push(input_name, dims, Vec::new(), Op::Input).map_err(|reason| refuse("graph inputs", reason))?;
    values.insert(input_name, first);
    for k in order {
        let node = &graph.node[k];
        let value = apply(&mut build, &mut values, node, opset).map_err(|reason| refuse(&place(node, opset), reason))?;
        values.insert(&node.output[0], value);
    }
    let Some(Value::Node { index, .. }) = values.get(output) else {
        return Err(refuse("graph outputs", format!("`{output}` does not depend on the input")));
    };
    build.nodes.truncate(index + 1);
    let nodes = fold::run(build.nodes);
    Ann::try_from(Graph { nodes }).map_err(|error| match error {
        AnnError::Node { name, why, .. } => refuse(&format!("value `{name}`"), why),
        error => refuse("graph", error.to_string()),
    })
}

/// Understands a node whose inputs are there.
fn apply<'a>(build: &mut Build<'a>, values: &mut HashMap<&'a str, Value>, node: &'a NodeProto, opset: i64) -> Result<Value, Reason> {
    if let Some(domain) = node.domain.as_deref().filter(|d| !matches!(*d, "" | "ai.onnx")) {
        return Err(format!("an operator of the domain `{domain}`; only those of ONNX itself are read"));
    }
    let mut inputs = Vec::with_capacity(node.input.len());
    for name in &node.input {
        if name.is_empty() {
            inputs.push(None);
            continue;
        }
        if !values.contains_key(name.as_str())
            && let Some(tensor) = build.source.constants.get(name.as_str())
        {
            let constant = Constant::new(tensor).map_err(|reason| format!("`{name}`: {reason}"))?;
            values.insert(name, Value::Constant(constant));
        }
        inputs.push(values.get(name.as_str()).cloned());
    }
    let attributes = Attributes::new(&node.attribute);
    let call = Call { op: node.op_type.as_deref().unwrap_or_default(), opset, attributes, inputs, output: &node.output[0] };
    let value = operators::apply(build, &call)?;
    call.attributes.done()?;
    Ok(value)
}

/// A node's name as errors give it.
fn place(node: &NodeProto, opset: i64) -> String {
    let name = node.name.as_deref().filter(|n| !n.is_empty()).or(node.output.first().map(String::as_str));
    format!("node `{}` ({}, opset {opset})", name.unwrap_or_default(), node.op_type.as_deref().unwrap_or_default())
}

fn name(info: &ValueInfoProto) -> &str {
    info.name.as_deref().unwrap_or_default()
}

/// The version of ONNX's own operators.
fn opset(model: &ModelProto) -> Result<i64, Reason> {
    let own = model.opset_import.iter().find(|set| matches!(set.domain.as_deref(), None | Some("" | "ai.onnx")));
    match own.map(|set| set.version.unwrap_or(0)) {
        Some(version @ 7..) => Ok(version),
        Some(version) => Err(format!("operator set {version}; expected 7 or later: convert the model with `onnx.version_converter`")),
        None => Err("it does not say which operator set it uses; copy or download it again".into()),
    }
}

/// The one name in a list.
fn only<'a>(what: &str, names: Vec<&'a str>) -> Result<&'a str, Reason> {
    match names[..] {
        [name] if !name.is_empty() => Ok(name),
        _ => Err(format!("expected one {what}, found {}: {}", names.len(), names.join(", "))),
    }
}

/// The shape of a sample: a batch without a number is 1.
fn shape(info: &ValueInfoProto) -> Result<Vec<usize>, Reason> {
    let tensor = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()).ok_or("no tensor; expected one of numbers")?;
    if !matches!(tensor.elem_type, Some(DataType::FLOAT | DataType::DOUBLE)) {
        return Err(format!("numbers of type {}; expected FLOAT", tensor.elem_type.map_or_else(String::new, |t| t.to_string())));
    }
    let dims = &tensor.shape.as_ref().ok_or("it has no shape; give it one when the model is exported")?.dim;
    let dim = |(k, dim): (usize, &rten_onnx::onnx::Dimension)| match dim.dim_value {
        Some(d @ 1..) if d <= i64::from(u32::MAX) => Ok(d as usize),
        Some(d @ 1..) => Err(format!("dimension {k} is {d}; expected less than 2³²")),
        _ if k == 0 => Ok(1),
        _ => Err(format!("dimension {k} has no number; only the batch may be left open")),
    };
    dims.iter().enumerate().map(dim).collect()
}

/// Who makes which value in a file.
struct Source<'a> {
    graph: &'a GraphProto,
    /// Node and number of the output that has a name.
    makers: HashMap<&'a str, (usize, usize)>,
    constants: HashMap<&'a str, &'a TensorProto>,
}

impl<'a> Source<'a> {
    fn new(graph: &'a GraphProto) -> Result<Self, Reason> {
        let (mut makers, mut constants) = (HashMap::new(), HashMap::new());
        for tensor in &graph.initializer {
            let name = tensor.name.as_deref().unwrap_or_default();
            if constants.insert(name, tensor).is_some() {
                return Err(format!("two initialisers are named `{name}`"));
            }
        }
        for (k, node) in graph.node.iter().enumerate() {
            for (nth, name) in node.output.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
                if makers.insert(name.as_str(), (k, nth)).is_some() || constants.contains_key(name.as_str()) {
                    return Err(format!("two values are named `{name}`"));
                }
            }
        }
        for input in graph.input.iter().map(name) {
            if makers.contains_key(input) {
                return Err(format!("the value `{input}` is an input and computed too"));
            }
        }
        Ok(Source { graph, makers, constants })
    }

    /// The input that is no initialiser.
    fn input(&self) -> Result<&'a ValueInfoProto, Reason> {
        let free: Vec<_> = self.graph.input.iter().filter(|info| !self.constants.contains_key(name(info))).collect();
        only("input", free.iter().map(|info| name(info)).collect()).map(|_| free[0])
    }

    /// The nodes that `output` needs, each after those it hears; else those in the order of the file.
    fn order(&self, output: &'a str) -> Result<Vec<usize>, (usize, Reason)> {
        let nodes = &self.graph.node;
        let inputs: BTreeSet<&str> = self.graph.input.iter().map(name).collect();
        let mut hears: HashMap<usize, BTreeSet<usize>> = HashMap::new();
        let mut heard_by: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut todo: Vec<usize> = self.makers.get(output).map(|&(k, _)| k).into_iter().collect();
        while let Some(k) = todo.pop() {
            if hears.contains_key(&k) {
                continue;
            }
            if nodes[k].output.first().is_none_or(String::is_empty) {
                return Err((k, "its first output has no name".into()));
            }
            let mut makers = BTreeSet::new();
            for name in nodes[k].input.iter().filter(|name| !name.is_empty()) {
                match self.makers.get(name.as_str()) {
                    Some(&(maker, 0)) => _ = makers.insert(maker),
                    Some(&(maker, nth)) => {
                        return Err((maker, format!("its output {nth} (`{name}`) is used; only the first output is read")));
                    }
                    None if inputs.contains(name.as_str()) || self.constants.contains_key(name.as_str()) => {}
                    None => return Err((k, format!("it hears `{name}`, which nothing makes"))),
                }
            }
            makers.iter().for_each(|&maker| heard_by.entry(maker).or_default().push(k));
            todo.extend(&makers);
            hears.insert(k, makers);
        }
        let mut ready: BTreeSet<usize> = hears.iter().filter(|(_, makers)| makers.is_empty()).map(|(&k, _)| k).collect();
        let mut order = Vec::new();
        while let Some(k) = ready.pop_first() {
            order.push(k);
            for next in heard_by.remove(&k).unwrap_or_default() {
                if let Some(makers) = hears.get_mut(&next) {
                    makers.remove(&k);
                    if makers.is_empty() {
                        ready.insert(next);
                    }
                }
            }
        }
        match hears.iter().filter(|(_, makers)| !makers.is_empty()).map(|(&k, _)| k).min() {
            Some(k) => Err((k, "it hears itself through other nodes; loops are not read".into())),
            None => Ok(order),
        }
    }
}
