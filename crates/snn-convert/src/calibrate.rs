//! What the numbers of each layer are over data.

use crate::forward::{Forward, InputError, Values};
use crate::gates::{Gates, Origin};
use serde::{Deserialize, Serialize};

/// The ranges of all layers of a network over inputs: what codes are chosen by. Take them from training data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Layer by layer.
    pub layers: Vec<Range>,
}

/// What the numbers of a layer are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// Smallest and largest `x`.
    pub heard: (f64, f64),
    /// Smallest and largest `y = f(x)` of these.
    pub sent: (f64, f64),
    /// How often `x` lies in each of equal parts of `heard`; adds up to 1. Empty where the trained network does not have the layer.
    pub density: Vec<f64>,
}

/// Parts of a range that are counted.
const PARTS: usize = 1024;

impl Calibration {
    /// The ranges over `inputs`, one after the other. Of `tail` < 1 of the numbers the largest and as many of the smallest are left out: 0 for
    /// the very largest, 0.001 for the 99.9th percentile. Numbers left out are clipped by the code.
    ///
    /// Cost: two dense runs of every input. The result does not depend on the number of threads.
    ///
    /// # Errors
    /// [`InputError`] if `inputs` is no whole number of inputs.
    pub fn new(gates: &Gates, network: &Forward<f32>, inputs: &[f32], tail: f64) -> Result<Self, InputError> {
        let origins: Vec<Origin> = gates.layers.iter().map(|layer| layer.origin).collect();
        let node = |l: usize| if let Origin::Node(k) = origins[l] { Some(k) } else { None };
        let none = || vec![(f64::INFINITY, f64::NEG_INFINITY); origins.len()];
        let widen = |all: &mut Vec<(f64, f64)>, values: &Values<f32>| {
            for (l, range) in all.iter_mut().enumerate() {
                let numbers = node(l).map_or(&[][..], |k| values.of(k));
                *range = numbers.iter().fold(*range, |(low, high), &x| (low.min(f64::from(x)), high.max(f64::from(x))));
            }
        };
        let parts = network.fold(inputs, none, widen)?;
        let join = |mut all: Vec<(f64, f64)>, part: Vec<(f64, f64)>| {
            all.iter_mut().zip(part).for_each(|(a, b)| *a = (a.0.min(b.0), a.1.max(b.1)));
            all
        };
        let extremes = parts.into_iter().fold(none(), join);
        let place = |l: usize, x: f64| {
            let (low, high) = extremes[l];
            (((x - low) / (high - low).max(f64::MIN_POSITIVE) * PARTS as f64) as usize).min(PARTS - 1)
        };
        let empty = || vec![vec![0u64; PARTS]; origins.len()];
        let count = |all: &mut Vec<Vec<u64>>, values: &Values<f32>| {
            for (l, counts) in all.iter_mut().enumerate() {
                node(l).map_or(&[][..], |k| values.of(k)).iter().for_each(|&x| counts[place(l, f64::from(x))] += 1);
            }
        };
        let parts = network.fold(inputs, empty, count)?;
        let counts = parts.into_iter().fold(empty(), |mut all, part| {
            all.iter_mut().flatten().zip(part.iter().flatten()).for_each(|(a, b)| *a += b);
            all
        });
        let mut layers: Vec<Range> = Vec::with_capacity(origins.len());
        for (l, layer) in gates.layers.iter().enumerate() {
            let range = match origins[l] {
                Origin::Node(_) => Range::counted(extremes[l], &counts[l], tail, |x| layer.function.at(x)),
                Origin::Within(k) => {
                    let (low, high) = layers[k].sent;
                    // A rectifier there takes differences.
                    let range = if layer.function == crate::gates::Function::Identity { (low, high) } else { (0.0, high - low) };
                    Range { heard: range, sent: range, density: Vec::new() }
                }
            };
            layers.push(range);
        }
        Ok(Calibration { layers })
    }
}

impl Range {
    fn counted((low, high): (f64, f64), counts: &[u64], tail: f64, f: impl Fn(f64) -> f64) -> Self {
        let (total, width) = (counts.iter().sum::<u64>() as f64, (high - low) / counts.len() as f64);
        if total == 0.0 {
            return Range { heard: (0.0, 0.0), sent: (0.0, 0.0), density: Vec::new() };
        }
        // The first part before which, or after which, more than the tail lies.
        let within = |part: &mut dyn FnMut(usize) -> u64| {
            let mut passed = 0.0;
            let beyond = |k: &usize| {
                passed += part(*k) as f64;
                passed > tail * total
            };
            (0..counts.len()).find(beyond).unwrap_or(0)
        };
        let first = within(&mut |k| counts[k]);
        let last = counts.len() - 1 - within(&mut |k| counts[counts.len() - 1 - k]);
        let kept = &counts[first..=last.max(first)];
        let heard = (low + width * first as f64, if last + 1 == counts.len() { high } else { low + width * (last + 1) as f64 });
        let at = |k: usize| f(heard.0 + (heard.1 - heard.0) * k as f64 / kept.len() as f64);
        let sent = (0..=kept.len()).map(at).fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), y| (a.min(y), b.max(y)));
        let all = kept.iter().sum::<u64>() as f64;
        Range { heard, sent, density: kept.iter().map(|&n| n as f64 / all).collect() }
    }

    /// How often numbers near `x` come, relative to a uniform distribution over the range.
    pub fn weight(&self, x: f64) -> f64 {
        let (low, high) = self.heard;
        let part = ((x - low) / (high - low) * self.density.len() as f64) as usize;
        self.density.get(part.min(self.density.len().saturating_sub(1))).map_or(1.0, |n| n * self.density.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use snn_core::ann::{Activation, Ann, Graph, Node, Op};

    #[test]
    fn ranges_and_tails() {
        let nodes = vec![
            Node::new("x", 2, [], Op::Input),
            Node::new("twice", 2, [0], Op::Scale { factor: 2.0.into(), offset: (-1.0).into() }),
            Node::new("relu", 2, [1], Op::Activation(Activation::Relu)),
            Node::new("max", 1, [2], Op::Max { ends: vec![0, 2], sources: vec![0, 1] }),
        ];
        let ann = Ann::try_from(Graph { nodes }).unwrap();
        let (gates, network) = (Gates::new(&ann).unwrap(), Forward::new(&ann));
        let inputs: Vec<f32> = (0..2000).map(|k| k as f32 / 1999.0).collect();
        let all = Calibration::new(&gates, &network, &inputs, 0.0).unwrap();
        assert_eq!(all.layers.iter().map(|r| r.heard).collect::<Vec<_>>(), [(0.0, 1.0), (-1.0, 1.0), (0.0, 1.0), (0.0, 1.0)]);
        assert_eq!(all.layers[1].sent, (0.0, 1.0));
        assert!((all.layers[1].density.iter().sum::<f64>() - 1.0).abs() < 1e-12 && (all.layers[1].weight(0.3) - 1.0).abs() < 0.6);
        let most = Calibration::new(&gates, &network, &inputs, 0.1).unwrap();
        assert!((most.layers[1].heard.0 + 0.8).abs() < 0.01 && (most.layers[1].heard.1 - 0.8).abs() < 0.01, "{:?}", most.layers[1].heard);
        assert!((most.layers[1].sent.1 - 0.8).abs() < 0.01);
        assert!(Calibration::new(&gates, &network, &inputs[..3], 0.0).is_err());
    }
}
