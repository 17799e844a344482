//! A trained dense network as data: what conversion starts from.

use crate::Value;
use crate::net::Links;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

mod activation;

pub use activation::{Activation, sigmoid};

/// A validated graph of dense layers: the network that an ONNX file holds, or one written by hand.
///
/// Every node is a vector of numbers, made from those of earlier nodes. Tensors are flattened row by row, so an image is numbered channel
/// by channel, row by row, as in [`Conv2d`](crate::net::Conv2d), and a reshape is nothing. Data only: `snn-convert` runs it and converts it.
///
/// ```
/// use snn_core::ann::{Activation, Ann, Graph, Node, Op};
/// use snn_core::net::Links;
/// let linear = |weights: Vec<f32>, bias: f32| Op::Linear { links: Links::All, weights: weights.into(), bias: bias.into() };
/// let graph = Graph { nodes: vec![
///     Node::new("pixels", 2, [], Op::Input),
///     Node::new("hidden", 3, [0], linear(vec![1.0, 0.0, -1.0, 0.5, 0.5, 0.5], 0.1)),     // source by source
///     Node::new("relu", 3, [1], Op::Activation(Activation::Relu)),
///     Node::new("logits", 1, [2], linear(vec![1.0; 3], 0.0)),
/// ]};
/// let ann = Ann::try_from(graph)?;
/// assert_eq!((ann.inputs(), ann.outputs()), (2, 1));
/// # Ok::<(), snn_core::ann::AnnError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Graph", into = "Graph")]
pub struct Ann(Arc<Graph>);

/// A graph that has not been checked. `Ann::try_from(graph)` checks it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graph {
    /// The first is the input, the last the output; a node hears only nodes before it.
    pub nodes: Vec<Node>,
}

/// One vector of numbers and where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Name: in an imported network that of the tensor.
    pub name: String,
    /// How many numbers.
    pub size: usize,
    /// The nodes it is made from, by index.
    pub from: Vec<usize>,
    /// How.
    pub op: Op,
}

/// How a node is made from others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Op {
    /// The data.
    Input,
    /// `y = Wᵀx + b`.
    Linear {
        /// Which weights exist.
        links: Links,
        /// The weight of all links, or of each, source by source; of windows those of the kernel: see [`Projection`](crate::net::Projection).
        weights: Value<f32>,
        /// b, of all targets, or of each.
        bias: Value<f32>,
    },
    /// `yⱼ = aⱼ·xⱼ + bⱼ`: normalisation of a trained network.
    Scale {
        /// a.
        factor: Value<f32>,
        /// b.
        offset: Value<f32>,
    },
    /// `yⱼ = f(xⱼ)`.
    Activation(Activation),
    /// `yⱼ` is the largest of `x[sources[ends[j]..ends[j + 1]]]`: max pooling.
    Max {
        /// Where the list of each target ends, from 0.
        ends: Vec<u32>,
        /// Source indices.
        sources: Vec<u32>,
    },
    /// `yⱼ = x[sources[j]]`, or 0: transposition, padding with zeros, choice.
    Gather {
        /// The source of each target.
        sources: Vec<Option<u32>>,
    },
    /// The sum of vectors.
    Add,
    /// Vectors one after the other.
    Concat,
    /// `yⱼ = exp(xⱼ)/Σ exp(x)` or its logarithm; of the output only. It changes no order.
    Softmax {
        /// Whether the logarithm is taken.
        log: bool,
    },
}

/// What is wrong with a graph, and where.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AnnError {
    /// The first node is not the only input.
    #[error("the first node must be the input, and no other may be one")]
    Input,
    /// A node that cannot be.
    #[error("node `{name}` ({index}): {why}")]
    Node {
        /// Its name.
        name: String,
        /// Its index.
        index: usize,
        /// Reason.
        why: String,
    },
}

impl Node {
    /// A node.
    pub fn new(name: &str, size: usize, from: impl Into<Vec<usize>>, op: Op) -> Self {
        Node { name: name.into(), size, from: from.into(), op }
    }

    /// What is impossible about it among `nodes`, of which it is number `index`.
    fn check(&self, index: usize, nodes: &[Node]) -> Result<(), String> {
        if self.size == 0 || self.size > u32::MAX as usize {
            return Err(format!("{} numbers: must be 1 or more (below 2³²)", self.size));
        }
        if let Some(k) = self.from.iter().find(|&&k| k >= index) {
            return Err(format!("it hears node {k}; only nodes before it can be heard"));
        }
        let sizes: Vec<usize> = self.from.iter().map(|&k| nodes[k].size).collect();
        let one = || match sizes[..] {
            [size] => Ok(size),
            _ => Err(format!("it hears {} nodes, not one", sizes.len())),
        };
        let same =
            |size: usize, why: &str| if size == self.size { Ok(()) } else { Err(format!("{} numbers from {size}: {why}", self.size)) };
        let fits = |what: &str, value: &Value<f32>, count: usize| match value.given().iter().find(|x| !x.is_finite()) {
            Some(x) => Err(format!("{what} {x}: must be finite")),
            None if !value.fits(count) => Err(format!("{} numbers as {what}, for {count}; give one, or one for each", value.given().len())),
            None => Ok(()),
        };
        let listed = |largest: Option<u32>, size: usize| match largest.filter(|&i| i as usize >= size) {
            Some(i) => Err(format!("it names number {i} of {size}; they are counted from 0")),
            None => Ok(()),
        };
        match &self.op {
            Op::Input if self.from.is_empty() => Ok(()),
            Op::Input => Err("the input hears nothing".into()),
            Op::Linear { links, weights, bias } => {
                let sources = one()?;
                links.check(sources, self.size)?;
                fits("weights", weights, links.weights(sources, self.size))?;
                fits("bias", bias, self.size)
            }
            Op::Scale { factor, offset } => {
                same(one()?, "a scale changes no size")?;
                fits("factor", factor, self.size)?;
                fits("offset", offset, self.size)
            }
            Op::Activation(f) => f.check().and(same(one()?, "an activation changes no size")),
            Op::Softmax { .. } if index + 1 < nodes.len() => Err("a softmax can only be the output".into()),
            Op::Softmax { .. } => same(one()?, "a softmax changes no size"),
            Op::Max { ends, sources } => {
                let size = one()?;
                let rising = ends.first() == Some(&0) && ends.windows(2).all(|w| w[0] < w[1]);
                if ends.len() != self.size + 1 || !rising || ends.last().map(|&e| e as usize) != Some(sources.len()) {
                    return Err(format!("`ends` must rise from 0 to {} in {} entries", sources.len(), self.size + 1));
                }
                listed(sources.iter().copied().max(), size)
            }
            Op::Gather { sources } => {
                let size = one()?;
                same(sources.len(), "a source for each")?;
                listed(sources.iter().copied().flatten().max(), size)
            }
            Op::Add if sizes.is_empty() => Err("a sum of nothing".into()),
            Op::Add => sizes.iter().try_for_each(|&size| same(size, "all terms of a sum have its size")),
            Op::Concat => same(sizes.iter().sum(), "the parts must add up"),
        }
    }

    /// What it gives where the nodes before it gave `values`.
    fn value(&self, values: &[Vec<f64>]) -> Vec<f64> {
        let x = self.from.first().map_or(&[][..], |&k| &values[k]);
        match &self.op {
            Op::Input => Vec::new(),
            Op::Linear { links, weights, bias } => {
                let mut y: Vec<f64> = bias.iter(self.size).map(f64::from).collect();
                links.triplets(x.len(), self.size).for_each(|(i, j, k)| y[j] += f64::from(weights.at(k)) * x[i]);
                y
            }
            Op::Scale { factor, offset } => (0..self.size).map(|j| f64::from(factor.at(j)) * x[j] + f64::from(offset.at(j))).collect(),
            Op::Activation(f) => x.iter().map(|&x| f.at(x)).collect(),
            Op::Max { ends, sources } => {
                let windows = ends.windows(2).map(|w| &sources[w[0] as usize..w[1] as usize]);
                windows.map(|list| list.iter().map(|&i| x[i as usize]).fold(f64::NEG_INFINITY, f64::max)).collect()
            }
            Op::Gather { sources } => sources.iter().map(|i| i.map_or(0.0, |i| x[i as usize])).collect(),
            Op::Add => (0..self.size).map(|j| self.from.iter().map(|&k| values[k][j]).sum()).collect(),
            Op::Concat => self.from.iter().flat_map(|&k| values[k].clone()).collect(),
            Op::Softmax { log } => {
                let sum: f64 = x.iter().map(|x| x.exp()).sum();
                x.iter().map(|x| if *log { x - sum.ln() } else { x.exp() / sum }).collect()
            }
        }
    }
}

impl Ann {
    /// The nodes: the input first, the output last.
    pub fn nodes(&self) -> &[Node] {
        &self.0.nodes
    }
    /// How many numbers go in.
    pub fn inputs(&self) -> usize {
        self.0.nodes[0].size
    }
    /// How many numbers come out.
    pub fn outputs(&self) -> usize {
        self.0.nodes[self.0.nodes.len() - 1].size
    }
    /// Number of trained numbers: weights, biases, scales.
    pub fn parameters(&self) -> usize {
        let each = |node: &Node| match &node.op {
            Op::Linear { weights: a, bias: b, .. } | Op::Scale { factor: a, offset: b } => a.given().len() + b.given().len(),
            _ => 0,
        };
        self.0.nodes.iter().map(each).sum()
    }
    /// The numbers of all nodes for one input, link by link: what the graph means, in `f64`, and slow. `snn_convert::Forward` is for use.
    ///
    /// # Panics
    /// If `input` has another length than the network's input.
    #[track_caller]
    pub fn run(&self, input: &[f64]) -> Vec<Vec<f64>> {
        assert_eq!(input.len(), self.inputs(), "numbers of an input");
        let mut values = vec![input.to_vec()];
        for node in &self.0.nodes[1..] {
            let y = node.value(&values);
            values.push(y);
        }
        values
    }
    /// The network that takes `x` where this one takes `factor·x + offset`.
    ///
    /// # Errors
    /// [`AnnError`] if one of them is not finite.
    pub fn scaled(self, factor: f32, offset: f32) -> Result<Ann, AnnError> {
        let mut graph = Graph::from(self);
        graph.nodes.iter_mut().flat_map(|node| &mut node.from).for_each(|k| *k += 1);
        let (size, scale) = (graph.nodes[0].size, Op::Scale { factor: factor.into(), offset: offset.into() });
        graph.nodes.insert(1, Node::new("scaled", size, [0], scale));
        Ann::try_from(graph)
    }
    /// Multiplications with a weight for one input.
    pub fn macs(&self) -> usize {
        let each = |node: &Node| match &node.op {
            Op::Linear { links, .. } => links.count(self.0.nodes[node.from[0]].size, node.size),
            _ => 0,
        };
        self.0.nodes.iter().map(each).sum()
    }
}

impl From<Ann> for Graph {
    fn from(ann: Ann) -> Graph {
        Arc::unwrap_or_clone(ann.0)
    }
}

impl TryFrom<Graph> for Ann {
    type Error = AnnError;

    fn try_from(graph: Graph) -> Result<Self, AnnError> {
        let inputs = graph.nodes.iter().filter(|node| node.op == Op::Input).count();
        if inputs != 1 || graph.nodes[0].op != Op::Input {
            return Err(AnnError::Input);
        }
        for (index, node) in graph.nodes.iter().enumerate() {
            node.check(index, &graph.nodes).map_err(|why| AnnError::Node { name: node.name.clone(), index, why })?;
        }
        Ok(Ann(Arc::new(graph)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph() -> Graph {
        let linear = |weights: Vec<f32>| Op::Linear { links: Links::All, weights: weights.into(), bias: 0.5.into() };
        let nodes = vec![
            Node::new("in", 2, [], Op::Input),
            Node::new("a", 3, [0], linear(vec![1.0; 6])),
            Node::new("f", 3, [1], Op::Activation(Activation::Silu)),
            Node::new("max", 2, [2], Op::Max { ends: vec![0, 2, 3], sources: vec![0, 1, 2] }),
            Node::new("pad", 3, [3], Op::Gather { sources: vec![None, Some(1), Some(0)] }),
            Node::new("sum", 3, [4, 2], Op::Add),
            Node::new("all", 5, [5, 0], Op::Concat),
            Node::new("norm", 5, [6], Op::Scale { factor: vec![1.0; 5].into(), offset: 0.0.into() }),
            Node::new("p", 5, [7], Op::Softmax { log: true }),
        ];
        Graph { nodes }
    }

    #[test]
    fn a_scale_comes_first() {
        let ann = Ann::try_from(graph()).unwrap();
        let scaled = ann.clone().scaled(2.0, -0.5).unwrap();
        assert_eq!(scaled.run(&[1.0, 0.25]).last(), ann.run(&[1.5, 0.0]).last());
        // 1.5 + 0.5 = 2 comes three times; twice its silu, 2σ(2), where the maximum is added.
        let silu = 2.0 * sigmoid(2.0);
        let all = [silu, 2.0 * silu, 2.0 * silu, 1.5, 0.0];
        let total: f64 = all.iter().map(|x: &f64| x.exp()).sum();
        assert!(ann.run(&[1.5, 0.0])[8].iter().zip(all).all(|(y, x)| (y - (x - total.ln())).abs() < 1e-12));
        assert!(ann.scaled(f32::NAN, 0.0).is_err());
    }

    #[test]
    fn survives_json() {
        let ann = Ann::try_from(graph()).unwrap();
        assert_eq!((ann.inputs(), ann.outputs(), ann.parameters(), ann.macs()), (2, 5, 13, 6));
        let text = serde_json::to_string(&ann).unwrap();
        assert_eq!(serde_json::from_str::<Ann>(&text).unwrap(), ann);
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |change: &dyn Fn(&mut Vec<Node>), words: &[&str]| {
            let mut graph = graph();
            change(&mut graph.nodes);
            let text = Ann::try_from(graph).unwrap_err().to_string();
            assert!(words.iter().all(|w| text.contains(w)), "{text} lacks one of {words:?}");
        };
        refused(&|n| n.clear(), &["must be the input"]);
        refused(&|n| n[1].op = Op::Input, &["must be the input"]);
        refused(&|n| n[1].from = vec![1], &["`a` (1)", "hears node 1"]);
        refused(&|n| n[1].from = vec![], &["`a`", "0 nodes, not one"]);
        refused(&|n| n[1].size = 4, &["`a`", "6 numbers as weights, for 8"]);
        refused(&|n| n[0].size = 0, &["`in`", "must be 1 or more"]);
        refused(&|n| n[2].op = Op::Activation(Activation::LeakyRelu { slope: f64::NAN }), &["`f`", "leaky_relu", "NaN"]);
        refused(&|n| n[3].op = Op::Max { ends: vec![0, 3, 3], sources: vec![0, 1, 2] }, &["`max`", "must rise from 0 to 3"]);
        refused(&|n| n[3].op = Op::Max { ends: vec![0, 2, 3], sources: vec![0, 1, 3] }, &["`max`", "number 3 of 3"]);
        refused(&|n| n[4].op = Op::Gather { sources: vec![None] }, &["`pad`", "a source for each"]);
        refused(&|n| n[5].from = vec![4, 3], &["`sum`", "3 numbers from 2"]);
        refused(&|n| n[6].from = vec![5], &["`all`", "must add up"]);
        refused(&|n| n[7].op = Op::Scale { factor: f32::INFINITY.into(), offset: 0.0.into() }, &["`norm`", "factor inf"]);
        refused(&|n| n[7].op = Op::Softmax { log: true }, &["`norm`", "only be the output"]);
        let shared = Op::Linear { links: Links::All, weights: f32::NAN.into(), bias: 0.0.into() };
        refused(&|n| n[1].op = shared.clone(), &["`a`", "weights NaN"]);
    }
}
