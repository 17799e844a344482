//! What a conversion scheme sees of a trained network: layers of gates, and linear maps between them.

use crate::map::Map;
use snn_core::Ann;
use snn_core::ann::{Activation, Op};

/// A trained network as layers of gates: every layer hears linear maps of earlier ones, adds a bias, and takes one scalar function.
///
/// ```text
/// x_l = b_l + Σ W_lkᵀ·y_k,    y_l = f_l(x_l)
/// ```
/// Everything linear between two gates is one map: convolutions, full matrices, normalisation, average pooling, sums of branches,
/// transpositions. Numbers of the input are gates as well: they get a code.
///
/// **Maxima** are made of rectifiers: `max(a, b) = b + max(a − b, 0)`, in a tree, and the result is written anew by a gate of its own, so that
/// what comes after hears one code. In a code with levels (few spikes, AMOS) that is exact: differences of levels are levels. Costs n gates for a window of n,
/// and ⌈log₂ n⌉ + 1 layers of depth. Where a maximum stands before a function that never falls, the two are exchanged.
///
/// A softmax at the end changes no order and is left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Gates {
    /// Numbers of the input.
    pub inputs: usize,
    /// The layers, the code of the input first; a layer hears only layers before it.
    pub layers: Vec<Layer>,
    /// What is read out: a linear map of layers.
    pub readout: Sum,
}

/// One layer of gates.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Name: that of the tensor, with a suffix where there is none.
    pub name: String,
    /// Scalar function.
    pub function: Function,
    /// What it hears; nothing but the input itself in the first layer.
    pub hears: Sum,
    /// How many layers a signal has passed when it leaves this one; 1 for the code of the input.
    pub depth: usize,
    /// Where its numbers stand in the trained network.
    pub origin: Origin,
}

/// The function of a gate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// None: `y = x`.
    Identity,
    /// That of the trained network.
    Activation(Activation),
}

/// Where the numbers of a layer stand in the trained network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Origin {
    /// `x` is this node.
    Node(usize),
    /// Nowhere; `y` lies in the range of this layer's.
    Within(usize),
}

/// `b + Σ Wᵀ·y`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sum {
    /// Layers and maps.
    pub terms: Vec<(usize, Map)>,
    /// b.
    pub bias: Vec<f64>,
}

/// Why a trained network cannot be written as layers of gates.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// A product of maps would be too large.
    #[error(
        "`{name}`: {links} links after {after} would be more than {most}; put an activation between two linear layers, or use smaller ones"
    )]
    Links {
        /// The node.
        name: String,
        /// What comes before it.
        after: String,
        /// How many links there would be.
        links: usize,
        /// How many may be.
        most: usize,
    },
}

impl Function {
    /// `f(x)`.
    pub fn at(self, x: f64) -> f64 {
        match self {
            Function::Identity => x,
            Function::Activation(f) => f.at(x),
        }
    }
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Function::Identity => "identity",
            Function::Activation(f) => f.name(),
        }
    }
}

impl Sum {
    fn of(layer: usize, size: usize) -> Self {
        Sum { terms: vec![(layer, Map::identity(size))], bias: vec![0.0; size] }
    }

    /// How many numbers.
    pub fn size(&self) -> usize {
        self.bias.len()
    }

    /// This, taken through a map.
    fn through(&self, map: &Map) -> Self {
        Sum { terms: self.terms.iter().map(|(layer, first)| (*layer, first.then(map))).collect(), bias: map.apply(&self.bias) }
    }

    fn plus(mut self, other: Sum) -> Self {
        self.terms.extend(other.terms);
        self.bias.iter_mut().zip(other.bias).for_each(|(b, c)| *b += c);
        self
    }

    /// The layer whose numbers these are, unchanged.
    fn plain(&self) -> Option<usize> {
        match &self.terms[..] {
            [(layer, map)] if *map == Map::identity(map.from) && self.bias.iter().all(|&b| b == 0.0) => Some(*layer),
            _ => None,
        }
    }
}

impl Gates {
    /// The gates of a trained network.
    ///
    /// Cost: a pass over all links where maps follow each other without a gate between them.
    ///
    /// # Errors
    /// [`GateError`], naming the node, if two linear layers that follow each other would have too many links.
    pub fn new(ann: &Ann) -> Result<Self, GateError> {
        let mut made = Gates { inputs: ann.inputs(), layers: Vec::new(), readout: Sum { terms: Vec::new(), bias: Vec::new() } };
        let nodes = ann.nodes();
        let consumers =
            |k: usize| nodes.iter().enumerate().filter(move |(_, node)| node.from.contains(&k)).map(|(n, _)| n).collect::<Vec<_>>();
        let mut sums: Vec<Sum> = Vec::with_capacity(nodes.len());
        // Activations that were taken before a maximum.
        let mut taken = vec![false; nodes.len()];
        for (k, node) in nodes.iter().enumerate() {
            let from = |n: usize| &sums[node.from[n]];
            let linear = |map: Map, bias: &dyn Fn(usize) -> f64| {
                let links: usize = from(0).terms.iter().filter(|(_, first)| first.links() > map.from).map(|_| map.links()).sum();
                if links > MOST_LINKS {
                    let after = nodes[node.from[0]].name.clone();
                    return Err(GateError::Links { name: node.name.clone(), after, links, most: MOST_LINKS });
                }
                let mut sum = from(0).through(&map);
                sum.bias.iter_mut().enumerate().for_each(|(j, b)| *b += bias(j));
                Ok(sum)
            };
            let sum = match &node.op {
                Op::Input => Sum::of(made.add(&node.name, Function::Identity, None, Origin::Node(0), node.size), node.size),
                Op::Linear { links, weights, bias } => {
                    let map = Map { from: nodes[node.from[0]].size, to: node.size, links: links.clone(), weights: weights.clone() };
                    linear(map, &|j| f64::from(bias.at(j)))?
                }
                Op::Scale { factor, offset } => linear(Map::diagonal(node.size, factor.clone()), &|j| f64::from(offset.at(j)))?,
                Op::Gather { sources } => linear(Map::gather(nodes[node.from[0]].size, sources), &|_| 0.0)?,
                Op::Add => (1..node.from.len()).fold(from(0).clone(), |sum, n| sum.plus(from(n).clone())),
                Op::Concat => {
                    let empty = Sum { terms: Vec::new(), bias: vec![0.0; node.size] };
                    let mut at = 0;
                    (0..node.from.len()).fold(empty, |sum, n| {
                        let size = from(n).size();
                        at += size;
                        sum.plus(from(n).through(&Map::embed(size, at - size, node.size)))
                    })
                }
                Op::Activation(_) if taken[k] => from(0).clone(),
                Op::Activation(f) => {
                    let (name, hears) = (&node.name, from(0).clone());
                    Sum::of(made.add(name, Function::Activation(*f), Some(hears), Origin::Node(node.from[0]), node.size), node.size)
                }
                Op::Max { ends, sources } => {
                    let next = match consumers(k)[..] {
                        [n] => Some((n, &nodes[n].op)),
                        _ => None,
                    };
                    let before = match (from(0).plain(), next) {
                        (Some(layer), _) => layer,
                        (None, Some((n, Op::Activation(f)))) if f.is_monotone() => {
                            taken[n] = true;
                            let name = format!("{}.before", nodes[n].name);
                            let size = from(0).size();
                            made.add(&name, Function::Activation(*f), Some(from(0).clone()), Origin::Node(node.from[0]), size)
                        }
                        _ => {
                            let (name, size) = (format!("{}.before", node.name), from(0).size());
                            made.add(&name, Function::Identity, Some(from(0).clone()), Origin::Node(node.from[0]), size)
                        }
                    };
                    made.maximum(&node.name, before, ends, sources)
                }
                Op::Softmax { .. } => from(0).clone(),
            };
            sums.push(sum);
        }
        made.readout = sums.pop().unwrap_or(made.readout);
        Ok(made)
    }

    /// Adds a layer; without `hears` it is the code of the input.
    fn add(&mut self, name: &str, function: Function, hears: Option<Sum>, origin: Origin, size: usize) -> usize {
        let hears = hears.unwrap_or(Sum { terms: Vec::new(), bias: vec![0.0; size] });
        let depth = 1 + hears.terms.iter().map(|(layer, _)| self.layers[*layer].depth).max().unwrap_or(0);
        self.layers.push(Layer { name: name.into(), function, hears, depth, origin });
        self.layers.len() - 1
    }

    /// The largest of each window of a layer, as a layer of its own.
    fn maximum(&mut self, name: &str, layer: usize, ends: &[u32], sources: &[u32]) -> Sum {
        let windows: Vec<&[u32]> = ends.windows(2).map(|w| &sources[w[0] as usize..w[1] as usize]).collect();
        let (size, all) = (windows.len(), self.layers[layer].hears.size());
        let longest = windows.iter().map(|w| w.len()).max().unwrap_or(1);
        // A window that is shorter names its first number again.
        let element = |n: usize| Map::gather(all, &windows.iter().map(|w| Some(*w.get(n).unwrap_or(&w[0]))).collect::<Vec<_>>());
        let mut left: Vec<Sum> = (0..longest).map(|n| Sum { terms: vec![(layer, element(n))], bias: vec![0.0; size] }).collect();
        let relu = Function::Activation(Activation::Relu);
        for round in 1.. {
            if left.len() == 1 {
                break;
            }
            let pairs = std::mem::take(&mut left);
            for (n, pair) in pairs.chunks(2).enumerate() {
                let [a, b] = pair else {
                    left.extend_from_slice(pair);
                    continue;
                };
                let minus_b = b.terms.iter().map(|(layer, map)| (*layer, map.scaled(-1.0))).collect();
                let difference = a.clone().plus(Sum { terms: minus_b, bias: vec![0.0; size] });
                let gate = self.add(&format!("{name}.{round}.{n}"), relu, Some(difference), Origin::Within(layer), size);
                left.push(b.clone().plus(Sum::of(gate, size)));
            }
        }
        let all = left.swap_remove(0);
        // A window of one is a choice of numbers, and needs no code of its own.
        if longest == 1 {
            return all;
        }
        Sum::of(self.add(name, Function::Identity, Some(all), Origin::Within(layer), size), size)
    }

    /// Number of gates, those of the input among them.
    pub fn count(&self) -> usize {
        self.layers.iter().map(|layer| layer.hears.size()).sum()
    }

    /// How many layers a signal passes on its longest way.
    pub fn depth(&self) -> usize {
        self.readout.terms.iter().map(|(layer, _)| self.layers[*layer].depth).max().unwrap_or(0)
    }

    /// Runs the gates, with a function of one's own in the place of each layer's: `f(layer, x)`. Gives the numbers `x` of each layer and what is read
    /// out. In double precision and link by link: for checks, not for speed.
    pub fn run(&self, input: &[f64], f: impl Fn(usize, f64) -> f64) -> (Vec<Vec<f64>>, Vec<f64>) {
        let mut heard: Vec<Vec<f64>> = Vec::with_capacity(self.layers.len());
        let mut sent: Vec<Vec<f64>> = Vec::with_capacity(self.layers.len());
        let add = |sum: &Sum, sent: &[Vec<f64>]| {
            let mut x = sum.bias.clone();
            sum.terms.iter().for_each(|(k, map)| x.iter_mut().zip(map.apply(&sent[*k])).for_each(|(x, y)| *x += y));
            x
        };
        for (l, layer) in self.layers.iter().enumerate() {
            let x = if l == 0 { input.to_vec() } else { add(&layer.hears, &sent) };
            sent.push(x.iter().map(|&x| f(l, x)).collect());
            heard.push(x);
        }
        let y = add(&self.readout, &sent);
        (heard, y)
    }

    /// Links into the layers and the readout.
    pub fn links(&self) -> usize {
        let sums = self.layers.iter().map(|layer| &layer.hears).chain([&self.readout]);
        sums.flat_map(|sum| &sum.terms).map(|(_, map)| map.links()).sum()
    }
}

/// Most links of one map.
const MOST_LINKS: usize = 1 << 28;

#[cfg(test)]
mod tests {
    use super::*;
    use snn_core::Seed;
    use snn_core::ann::{Graph, Node};
    use snn_core::net::{Conv2d, Links, SumPool2d};

    fn weights(seed: &str, count: usize) -> Vec<f32> {
        let mut rng = Seed::new(5).child(seed).rng();
        (0..count).map(|_| rand::RngExt::random_range(&mut rng, -8i32..9) as f32 / 8.0).collect()
    }

    /// Convolution, maximum before and after functions, pooling, a branch that is added, one that is put beside, a softmax.
    fn ann() -> Ann {
        let (conv, pool) = (Conv2d::new(1, 4, 4, 2, (3, 3)).padding((1, 1)), SumPool2d::new(2, 4, 4, (2, 2)));
        let linear = |name: &str, links: Links, count: usize, bias: f32| Op::Linear {
            links,
            weights: weights(name, count).into(),
            bias: bias.into(),
        };
        let windows = |lists: [&[u32]; 4]| {
            let ends = (0..=4).map(|n| lists[..n].iter().map(|l| l.len() as u32).sum()).collect();
            Op::Max { ends, sources: lists.concat() }
        };
        let act = Op::Activation;
        let nodes = vec![
            Node::new("in", 16, [], Op::Input),
            Node::new("conv", 32, [0], linear("conv", Links::Conv2d(conv), 18, 0.25)),
            Node::new("pooled", 4, [1], windows([&[0, 1, 4, 5], &[2, 3], &[8], &[9, 12, 31]])),
            Node::new("relu", 4, [2], act(Activation::Relu)),
            Node::new("silu", 32, [1], act(Activation::Silu)),
            Node::new("mean", 8, [4], Op::Linear { links: Links::SumPool2d(pool), weights: 0.25.into(), bias: 0.0.into() }),
            Node::new("norm", 8, [5], Op::Scale { factor: weights("norm", 8).into(), offset: weights("offset", 8).into() }),
            Node::new("fc", 4, [6], linear("fc", Links::All, 32, 0.0)),
            Node::new("sum", 4, [7, 3], Op::Add),
            Node::new("all", 8, [8, 3], Op::Concat),
            Node::new("turn", 8, [9], Op::Gather { sources: vec![Some(7), None, Some(0), Some(1), Some(2), Some(3), Some(4), Some(4)] }),
            Node::new("max", 4, [10], windows([&[0, 1], &[2, 3, 4], &[5], &[6, 7]])),
            Node::new("out", 3, [11], linear("out", Links::All, 12, 0.5)),
            Node::new("p", 3, [12], Op::Softmax { log: false }),
        ];
        Ann::try_from(Graph { nodes }).unwrap()
    }

    /// Node by node, from the definitions.
    fn dense(ann: &Ann, input: &[f64]) -> Vec<Vec<f64>> {
        let mut all: Vec<Vec<f64>> = Vec::new();
        for node in ann.nodes() {
            let from = |n: usize| &all[node.from[n]];
            let map = |links: &Links, weights: &snn_core::Value<f32>| {
                Map { from: from(0).len(), to: node.size, links: links.clone(), weights: weights.clone() }.apply(from(0))
            };
            all.push(match &node.op {
                Op::Input => input.to_vec(),
                Op::Linear { links, weights, bias } => {
                    map(links, weights).iter().enumerate().map(|(j, y)| y + f64::from(bias.at(j))).collect()
                }
                Op::Scale { factor, offset } => {
                    from(0).iter().enumerate().map(|(j, x)| f64::from(factor.at(j)) * x + f64::from(offset.at(j))).collect()
                }
                Op::Activation(f) => from(0).iter().map(|&x| f.at(x)).collect(),
                Op::Max { ends, sources } => {
                    let window =
                        |w: &[u32]| sources[w[0] as usize..w[1] as usize].iter().map(|&i| from(0)[i as usize]).fold(f64::MIN, f64::max);
                    ends.windows(2).map(window).collect()
                }
                Op::Gather { sources } => sources.iter().map(|i| i.map_or(0.0, |i| from(0)[i as usize])).collect(),
                Op::Add => (0..node.size).map(|j| (0..node.from.len()).map(|n| from(n)[j]).sum()).collect(),
                Op::Concat => (0..node.from.len()).flat_map(|n| from(n).clone()).collect(),
                Op::Softmax { .. } => from(0).clone(),
            });
        }
        all
    }

    #[test]
    fn gates_are_the_network() {
        let ann = ann();
        let gates = Gates::new(&ann).unwrap();
        for image in 0..20 {
            let mut rng = Seed::new(image).rng();
            let input: Vec<f64> = (0..16).map(|_| rand::RngExt::random_range(&mut rng, -1.0..1.0)).collect();
            let values = dense(&ann, &input);
            let (heard, y) = gates.run(&input, |l, x| gates.layers[l].function.at(x));
            let near = |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
            assert!(near(&y, values.last().unwrap()), "{y:?} {:?}", values.last());
            for (layer, x) in gates.layers.iter().zip(&heard) {
                if let Origin::Node(k) = layer.origin {
                    assert!(near(x, &values[k]), "{}", layer.name);
                }
            }
        }
    }

    #[test]
    fn layers_are_those_expected() {
        let gates = Gates::new(&ann()).unwrap();
        let layers: Vec<_> = gates.layers.iter().map(|l| (&l.name[..], l.function.name(), l.depth)).collect();
        let expected = [
            ("in", "identity", 1),
            // The maximum of a rectifier is the rectifier of the maximum.
            ("relu.before", "relu", 2),
            ("pooled.1.0", "relu", 3),
            ("pooled.1.1", "relu", 3),
            ("pooled.2.0", "relu", 4),
            ("pooled", "identity", 5),
            ("silu", "silu", 2),
            ("max.before", "identity", 6),
            ("max.1.0", "relu", 7),
            ("max.2.0", "relu", 8),
            ("max", "identity", 9),
        ];
        assert_eq!(layers, expected);
        let convolved = |l: usize| gates.layers[l].hears.terms.iter().any(|(_, map)| matches!(map.links, Links::Conv2d(_)));
        assert_eq!((gates.depth(), convolved(1), convolved(2)), (9, true, false));
        assert_eq!(gates.layers[2].origin, Origin::Within(1));
    }
}
