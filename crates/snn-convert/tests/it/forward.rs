//! The dense run against a plain sum over links, on random networks with every kind of node.

use proptest::prelude::*;
use rand::RngExt;
use snn_convert::Forward;
use snn_core::ann::{Activation, Ann, Graph, Node, Op};
use snn_core::net::{Conv2d, Links, SumPool2d};
use snn_core::{Seed, Value};

/// A random network: nodes of every kind, each from nodes before it.
struct Draft {
    nodes: Vec<Node>,
    /// Channels, height and width of each.
    shapes: Vec<[usize; 3]>,
    seed: Seed,
    draws: u64,
}

impl Draft {
    fn below(&mut self, n: usize) -> usize {
        self.draws += 1;
        self.seed.nth(self.draws).rng().random_range(0..n)
    }

    /// One number, or one each, in −1 … 1.
    fn numbers(&mut self, count: usize) -> Value<f32> {
        self.draws += 1;
        let mut rng = self.seed.nth(self.draws).rng();
        match rng.random_range(0..4) {
            0 => rng.random_range(-1.0..1.0f32).into(),
            _ => (0..count).map(|_| rng.random_range(-1.0..1.0f32)).collect::<Vec<_>>().into(),
        }
    }

    fn push(&mut self, shape: [usize; 3], from: Vec<usize>, op: Op) {
        self.nodes.push(Node::new("node", shape.iter().product(), from, op));
        self.shapes.push(shape);
    }

    fn linear(&mut self, from: usize, shape: [usize; 3], links: Links) {
        let size = shape.iter().product();
        let (weights, bias) = (self.numbers(links.weights(self.nodes[from].size, size)), self.numbers(size));
        self.push(shape, vec![from], Op::Linear { links, weights, bias });
    }

    fn add(&mut self) {
        let from = self.below(self.nodes.len());
        let ([c, h, w], size) = (self.shapes[from], self.nodes[from].size);
        match self.below(11) {
            0 => {
                let shape = [1 + self.below(3), 1 + self.below(3), 1 + self.below(5)];
                self.linear(from, shape, Links::All);
            }
            1 => {
                let targets = 1 + self.below(7);
                let (mut ends, mut list) = (vec![0], Vec::new());
                for _ in 0..size {
                    list.extend((0..targets as u32).filter(|_| self.below(3) == 0));
                    ends.push(list.len() as u32);
                }
                self.linear(from, [1, 1, targets], Links::Csr { ends, targets: list });
            }
            2 | 3 => {
                let groups = if self.below(2) == 0 { c } else { 1 };
                let (fan, kernel) = (1 + self.below(2), (1 + self.below(4), 1 + self.below(4)));
                let conv = Conv2d::new(c, h, w, groups * fan, kernel).groups(groups).stride((1 + self.below(3), 1 + self.below(3)));
                let conv = conv.padding((self.below(3), self.below(3))).dilation((1 + self.below(2), 1 + self.below(2)));
                if let (height @ 1.., width @ 1..) = conv.output() {
                    self.linear(from, [conv.channels_out, height, width], Links::Conv2d(conv));
                }
            }
            4 => {
                let kernel = (1 + self.below(3), 1 + self.below(3));
                let pool = SumPool2d { padding: (self.below(2), self.below(2)), ..SumPool2d::new(c, h, w, kernel) };
                let pool = pool.stride((1 + self.below(2), 1 + self.below(2)));
                if let (height @ 1.., width @ 1..) = pool.output() {
                    self.linear(from, [c, height, width], Links::SumPool2d(pool));
                }
            }
            5 => {
                let (factor, offset) = (self.numbers(size), self.numbers(size));
                self.push([c, h, w], vec![from], Op::Scale { factor, offset });
            }
            6 => {
                let f = Activation::ALL[self.below(Activation::ALL.len())];
                self.push([c, h, w], vec![from], Op::Activation(f));
            }
            7 => {
                let targets = 1 + self.below(5);
                let (mut ends, mut sources) = (vec![0], Vec::new());
                for _ in 0..targets {
                    (0..=self.below(4)).for_each(|_| sources.push(self.below(size) as u32));
                    ends.push(sources.len() as u32);
                }
                self.push([1, targets, 1], vec![from], Op::Max { ends, sources });
            }
            8 => {
                let shape = [1 + self.below(2), 1 + self.below(4), 1 + self.below(4)];
                let sources = (0..shape.iter().product()).map(|_| Some(self.below(size) as u32).filter(|_| self.below(4) > 0)).collect();
                self.push(shape, vec![from], Op::Gather { sources });
            }
            9 => {
                let same: Vec<usize> = (0..self.nodes.len()).filter(|&k| self.nodes[k].size == size).collect();
                let others = (0..self.below(3)).map(|_| same[self.below(same.len())]).collect::<Vec<_>>();
                self.push([c, h, w], [&[from][..], &others].concat(), Op::Add);
            }
            _ => {
                let other = self.below(self.nodes.len());
                let both = size + self.nodes[other].size;
                if both < 200 {
                    self.push([1, 1, both], vec![from, other], Op::Concat);
                }
            }
        }
    }
}

fn network(seed: u64, nodes: usize, softmax: Option<bool>) -> Ann {
    let (mut draft, shape) = (Draft { nodes: vec![], shapes: vec![], seed: Seed::new(seed), draws: 0 }, [2, 5, 6]);
    draft.push(shape, vec![], Op::Input);
    (0..nodes).for_each(|_| draft.add());
    if let Some(log) = softmax {
        let last = draft.nodes.len() - 1;
        draft.push(draft.shapes[last], vec![last], Op::Softmax { log });
    }
    Ann::try_from(Graph { nodes: draft.nodes }).unwrap()
}

fn inputs(ann: &Ann, count: usize) -> Vec<f64> {
    // Zeros occur: they are left out.
    (0..ann.inputs() * count).map(|i| [0.0, 0.75, -0.5, 1.25, -1.0][i * i % 7 % 5] + (i % 3) as f64 * 0.125).collect()
}

proptest! {
    #[test]
    fn every_node_is_the_sum_over_its_links(seed: u64, nodes in 1usize..12, softmax: Option<bool>) {
        let ann = network(seed, nodes, softmax);
        let x = inputs(&ann, 1);
        let (forward, single) = (Forward::<f64>::new(&ann), Forward::<f32>::new(&ann));
        let (mut values, mut singles) = (forward.values(), single.values());
        // The second run must not see the first.
        forward.run(&vec![9.0; x.len()], &mut values).unwrap();
        forward.run(&x, &mut values).unwrap();
        single.run(&x.iter().map(|&x| x as f32).collect::<Vec<_>>(), &mut singles).unwrap();
        let expected = ann.run(&x);
        for (k, node) in ann.nodes().iter().enumerate() {
            let size = 1.0 + expected[k].iter().fold(0.0f64, |most, y| most.max(y.abs()));
            let off = |y: &[f64]| y.iter().zip(&expected[k]).map(|(a, b)| (a - b).abs() / size).fold(0.0f64, f64::max);
            prop_assert!(off(values.of(k)) < 1e-12, "node {k}: {:?}: off by {}", node, off(values.of(k)));
            let wide: Vec<f64> = singles.of(k).iter().map(|&y| y.into()).collect();
            prop_assert!(values.of(k).len() == node.size && off(&wide) < 1e-3, "node {k} in f32: off by {}", off(&wide));
        }
    }

    #[test]
    fn many_inputs_are_those_runs_in_order(seed: u64, count in 0usize..70) {
        let ann = network(seed, 6, None);
        let (forward, x) = (Forward::<f64>::new(&ann), inputs(&ann, count));
        let mut values = forward.values();
        let one_by_one: Vec<f64> = x.chunks(ann.inputs()).flat_map(|x| forward.run(x, &mut values).unwrap().to_vec()).collect();
        prop_assert_eq!(forward.outputs(&x).unwrap(), one_by_one);
        let counts = forward.fold(&x, || 0, |n, _| *n += 1).unwrap();
        prop_assert_eq!((counts.len(), counts.iter().sum::<usize>()), (count.div_ceil(16), count));
    }
}

#[test]
fn inputs_of_another_length_are_refused() {
    let ann = network(1, 3, None);
    let forward = Forward::<f32>::new(&ann);
    let error = forward.run(&[0.0; 7], &mut forward.values()).unwrap_err().to_string();
    assert_eq!(error, "7 numbers given; the network takes 60 for each input");
    assert_eq!(forward.outputs(&[0.0; 61]).unwrap_err().found, 61);
}
