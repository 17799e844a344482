//! The nodes at work.

use super::node::Node;
use super::{Graph, SodesnError};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use snn_core::Seed;
use std::sync::Arc;
use std::sync::mpsc::channel;

/// What a node is like, and the links between nodes. Defaults of the reservoir are Obst's field as far as it is known; all are `[ours]`.
///
/// ```text
/// x_i(t) = tanh(W_ii·x_i(t−1) + Σ_{j∈N(i)} W_ij·x_j(t−1) + w_i·u_i(t) + b_i)
/// ```
/// `x_j` is what was last heard of `j`. Each row of `[W_i1 … W_in]` is scaled by its own node so that its absolute values add up to `ρ < 1`: states then forget how they
/// began, whichever links are up.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `units` | 5 | `K`, units of the reservoir at each node; 0 leaves the readings alone |
/// | `density` | 0.5 | share of weights that are not 0 |
/// | `rho` | 0.8 | sum of the absolute values of a row |
/// | `input` | 0.3 | bound of the weights of the reading |
/// | `bias` | 0.1 | bound of the biases |
/// | `lambda` | 1e-3 | penalty on the weights of a readout, for each step it learns from |
/// | `forgetting` | 1 | factor by which older samples count less at each step |
/// | `quality` | 1 | probability that a message arrives |
/// | `patience` | 6 | steps for which the last message stands for one that did not |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reservoir {
    /// Units at each node.
    pub units: usize,
    /// Share of weights that are not 0, from 0 to 1.
    pub density: f64,
    /// Sum of the absolute values of a row, at least 0 and below 1.
    pub rho: f64,
    /// Bound of the weights of the reading, at least 0.
    pub input: f64,
    /// Bound of the biases, at least 0.
    pub bias: f64,
    /// Penalty on the weights of a readout, for each step it learns from, above 0.
    pub lambda: f64,
    /// Forgetting factor, above 0, at most 1.
    pub forgetting: f64,
    /// Probability that a message arrives, from 0 to 1.
    pub quality: f64,
    /// Steps for which the last message stands for one that did not arrive.
    pub patience: usize,
}

impl Default for Reservoir {
    fn default() -> Self {
        Reservoir { units: 5, density: 0.5, rho: 0.8, input: 0.3, bias: 0.1, lambda: 1e-3, forgetting: 1.0, quality: 1.0, patience: 6 }
    }
}

impl Reservoir {
    fn check(&self) -> Result<(), SodesnError> {
        let unit = |x: f64| (0.0..=1.0).contains(&x);
        let rows = [
            ("density", self.density, unit(self.density), "a number from 0 to 1"),
            ("rho", self.rho, (0.0..1.0).contains(&self.rho), "a number from 0 to below 1"),
            ("input", self.input, self.input >= 0.0 && self.input.is_finite(), "a number from 0 on"),
            ("bias", self.bias, self.bias >= 0.0 && self.bias.is_finite(), "a number from 0 on"),
            ("lambda", self.lambda, self.lambda > 0.0 && self.lambda.is_finite(), "a number above 0"),
            ("forgetting", self.forgetting, self.forgetting > 0.0 && unit(self.forgetting), "a number above 0, at most 1"),
            ("quality", self.quality, unit(self.quality), "a number from 0 to 1"),
        ];
        match rows.into_iter().find(|(.., good, _)| !good) {
            Some((name, value, _, expected)) => Err(SodesnError::Setting { name, value, expected }),
            None => Ok(()),
        }
    }
}

/// What a node knows at a step, before it looks at its own reading.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// `[x_j, u_j for each neighbour j that is not out, 1]`, in ascending order: what a readout predicts the node's own reading from.
    pub features: &'a [f64],
    /// Whether each of these neighbours was heard within [`Reservoir::patience`] steps.
    pub fresh: bool,
}

/// A network of nodes, one actor each: its state, its weights and its mailbox are its own, and messages are all that passes between them.
///
/// A step has two halves, and all nodes go through each at once, on the threads of the pool: they speak, then they listen. A node reads what the others
/// sent in the same step, so its features are of now and its state of one step before. The result does not depend on the number of threads.
///
/// ```
/// use snn_core::Seed;
/// use snn_learn::sodesn::{Graph, Reservoir, SensorNet};
/// let chain = Graph::of_links(3, [(0, 1), (1, 2)])?;
/// let mut net = SensorNet::new(&chain, Reservoir::default(), Seed::new(1))?;
/// net.step(&[0.5, -0.5, f64::NAN]);                       // node 2 has no reading, and says nothing
/// assert_eq!(net.heard(0).features.len(), 5 + 1 + 1);     // state and reading of node 1, and a constant
/// assert_eq!(net.heard(0).features[5], -0.5);
/// assert_eq!(net.sent(), 3);
/// # Ok::<(), snn_learn::sodesn::SodesnError>(())
/// ```
///
/// Cost of a step: `K²` for each link and direction; at most `Σ|N(i)|` messages of `K + 1` numbers.
pub struct SensorNet {
    nodes: Vec<Node>,
    how: Reservoir,
}

impl SensorNet {
    /// A network at rest, with everybody in. Every node draws its weights from its own stream.
    ///
    /// # Errors
    /// [`SodesnError::Setting`].
    pub fn new(graph: &Graph, how: Reservoir, seed: Seed) -> Result<Self, SodesnError> {
        how.check()?;
        let (mailboxes, inboxes): (Vec<_>, Vec<_>) = (0..graph.nodes()).map(|_| channel()).unzip();
        let node = |(id, inbox)| {
            let neighbours = graph.neighbours(id).iter().map(|&j| (j, mailboxes[j].clone())).collect();
            Node::new(id, how, inbox, neighbours, seed)
        };
        let nodes = inboxes.into_iter().enumerate().map(node).collect();
        let mut net = SensorNet { nodes, how };
        net.reset(&vec![false; graph.nodes()]);
        Ok(net)
    }

    /// What its nodes are like.
    pub fn how(&self) -> &Reservoir {
        &self.how
    }

    /// How many nodes.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Back to rest. Nobody hears those that are `out`, one of each node; they hear the others. Links lose what they lost before.
    ///
    /// # Panics
    /// If there are not as many.
    #[track_caller]
    pub fn reset(&mut self, out: &[bool]) {
        assert_eq!(out.len(), self.nodes.len(), "one of each node");
        let out: Arc<[bool]> = out.into();
        self.nodes.iter_mut().for_each(|node| node.reset(&out));
    }

    /// One step with these readings, NaN where there is none.
    ///
    /// # Panics
    /// If there are not as many as nodes.
    #[track_caller]
    pub fn step(&mut self, readings: &[f64]) {
        self.step_with(readings, &mut vec![(); self.nodes.len()], |_, _, _| ());
    }

    /// The same; then every node does something with what it has heard, in a memory of its own.
    ///
    /// # Panics
    /// If readings or memories are not as many as nodes.
    #[track_caller]
    pub fn step_with<M: Send>(&mut self, readings: &[f64], memories: &mut [M], act: impl Fn(usize, Heard<'_>, &mut M) + Sync) {
        let n = self.nodes.len();
        assert!(readings.len() == n && memories.len() == n, "{} readings, {} memories, {n} nodes", readings.len(), memories.len());
        self.nodes.par_iter_mut().zip(readings).with_min_len(CHUNK).for_each(|(node, &reading)| node.speak(reading));
        self.nodes.par_iter_mut().zip(memories).enumerate().with_min_len(CHUNK).for_each(|(i, (node, memory))| {
            node.listen();
            act(i, Heard { features: &node.features, fresh: node.fresh }, memory);
        });
    }

    /// What a node has heard at the last step.
    ///
    /// # Panics
    /// If there is no such node.
    #[track_caller]
    pub fn heard(&self, node: usize) -> Heard<'_> {
        Heard { features: &self.nodes[node].features, fresh: self.nodes[node].fresh }
    }

    /// The state of a node, `K` numbers.
    ///
    /// # Panics
    /// If there is no such node.
    #[track_caller]
    pub fn state(&self, node: usize) -> &[f64] {
        self.nodes[node].state()
    }

    /// Features that a node has while these are out.
    pub(super) fn features(&self, node: usize, out: &[bool]) -> usize {
        self.nodes[node].count(out)
    }

    /// Messages sent so far, lost ones too.
    pub fn sent(&self) -> u64 {
        self.nodes.iter().map(|node| node.sent).sum()
    }
}

/// Nodes that a thread takes at once, at least.
const CHUNK: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::RngExt;

    fn grid(side: usize) -> Graph {
        let places: Vec<(f64, f64)> = (0..side * side).map(|k| ((k % side) as f64, (k / side) as f64)).collect();
        Graph::within(&places, 1.5).unwrap()
    }

    fn noise(nodes: usize, seed: Seed) -> Vec<f64> {
        let mut rng = seed.rng();
        (0..nodes).map(|_| rng.random_range(-2.0..2.0)).collect()
    }

    /// The same network as one masked matrix: for this test only.
    struct Dense {
        w: Vec<Vec<f64>>,
        x: Vec<f64>,
    }

    impl Dense {
        fn of(net: &SensorNet) -> Self {
            let (k, n) = (net.how.units, net.nodes());
            let mut w = vec![vec![0.0; n * k]; n * k];
            for node in &net.nodes {
                for (of, weights) in node.matrix() {
                    (0..k).for_each(|unit| w[node.id() * k + unit][of * k..][..k].copy_from_slice(&weights[unit * k..][..k]));
                }
            }
            Dense { w, x: vec![0.0; n * k] }
        }

        fn step(&mut self, net: &SensorNet, readings: &[f64]) {
            let k = net.how.units;
            let x = |row: usize| {
                let mut sum = 0.0;
                self.w[row].iter().zip(&self.x).for_each(|(w, y)| sum += w * y);
                let (input, bias) = net.nodes[row / k].drive(row % k);
                (sum + input * readings[row / k] + bias).tanh()
            };
            self.x = (0..self.x.len()).map(x).collect();
        }
    }

    #[test]
    fn messages_are_the_masked_matrix_bit_for_bit_on_any_number_of_threads() {
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut net = SensorNet::new(&grid(4), Reservoir::default(), Seed::new(3)).unwrap();
            let mut dense = Dense::of(&net);
            for t in 0..50 {
                let readings = noise(16, Seed::new(4).nth(t));
                pool.install(|| net.step(&readings));
                dense.step(&net, &readings);
                assert_eq!((0..16).flat_map(|i| net.state(i).to_vec()).collect::<Vec<_>>(), dense.x, "step {t}");
            }
            // Messages: one to each neighbour and step, none elsewhere.
            assert_eq!(net.sent(), 50 * 2 * (3 * 4 * 2 + 3 * 3 * 2));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        /// What changes at one node is felt after as many steps as there are links between, and not before.
        #[test]
        fn nothing_travels_faster_than_a_link_a_step(at in 0usize..16, seed: u64) {
            let graph = grid(4);
            let net = || SensorNet::new(&graph, Reservoir { density: 1.0, ..Reservoir::default() }, Seed::new(seed)).unwrap();
            let (mut a, mut b) = (net(), net());
            let away = graph.distances(at);
            for t in 0..6 {
                let readings = noise(16, Seed::new(seed).nth(t));
                let mut other = readings.clone();
                other[at] += if t == 0 { 0.5 } else { 0.0 };
                a.step(&readings);
                b.step(&other);
                for i in 0..16 {
                    prop_assert_eq!(a.state(i) != b.state(i), away[i].unwrap() as u64 <= t, "node {}, step {}", i, t);
                }
            }
        }

        /// How it began is forgotten, with links that fail too.
        #[test]
        fn states_forget(seed: u64, quality in 0.3f64..1.0) {
            let net = || SensorNet::new(&grid(3), Reservoir { quality, ..Reservoir::default() }, Seed::new(seed)).unwrap();
            let (mut a, mut b) = (net(), net());
            let distance = |a: &SensorNet, b: &SensorNet| (0..9).flat_map(|i| a.state(i).iter().zip(b.state(i))).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
            a.step(&noise(9, Seed::new(1)));
            b.step(&noise(9, Seed::new(2)));
            let first = distance(&a, &b);
            for t in 0..200 {
                let readings = noise(9, Seed::new(seed).nth(t));
                a.step(&readings);
                b.step(&readings);
            }
            prop_assert!(first > 0.0 && distance(&a, &b) < 1e-6 * first);
        }
    }

    #[test]
    fn those_who_are_out_are_not_heard_and_lost_messages_are_held() {
        let graph = grid(3);
        let mut net = SensorNet::new(&graph, Reservoir::default(), Seed::new(1)).unwrap();
        let mut out = vec![false; 9];
        out[4] = true;
        net.reset(&out);
        let (mut a, readings) = (Vec::new(), noise(9, Seed::new(5)));
        for other in [0.0, 9.0] {
            net.reset(&out);
            let mut readings = readings.clone();
            readings[4] = other;
            (0..3).for_each(|_| net.step(&readings));
            a.push((0..9).filter(|&i| i != 4).flat_map(|i| net.heard(i).features.to_vec()).collect::<Vec<_>>());
            assert_eq!(net.heard(0).features.len(), net.features(0, &out));
        }
        assert_eq!(a[0], a[1]);
        // All links down: the constant counts, and nothing is fresh once patience has gone.
        let mut deaf = SensorNet::new(&graph, Reservoir { quality: 0.0, patience: 2, ..Reservoir::default() }, Seed::new(1)).unwrap();
        (0..3).for_each(|_| deaf.step(&readings));
        let heard = deaf.heard(0);
        assert!(!heard.fresh && heard.features[..heard.features.len() - 1].iter().all(|&x| x == 0.0));
        // A reading that is missing is not sent, and the last one stands.
        let mut net = SensorNet::new(&graph, Reservoir::default(), Seed::new(1)).unwrap();
        net.step(&readings);
        let mut missing = readings.clone();
        missing[1] = f64::NAN;
        net.step(&missing);
        assert_eq!(net.heard(0).features[5], readings[1]);
    }

    #[test]
    fn impossible_settings_are_named() {
        let refused = |how| SensorNet::new(&grid(2), how, Seed::new(1)).err().unwrap().to_string();
        assert!(refused(Reservoir { rho: 1.0, ..Reservoir::default() }).contains("rho = 1: give"));
        assert!(refused(Reservoir { quality: 1.5, ..Reservoir::default() }).contains("quality = 1.5"));
        assert!(refused(Reservoir { lambda: f64::NAN, ..Reservoir::default() }).contains("lambda = NaN"));
    }
}
