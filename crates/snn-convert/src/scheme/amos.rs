use super::{Build, Scheme, bias, value};
use crate::calibrate::Calibration;
use crate::codes::Codes;
use crate::converted::{Coded, ConvertError, Converted, Place, Timing};
use crate::gates::Gates;
use crate::map::Map;
use snn_core::neuron::{Sum, Threshold};
use snn_core::{Network, Seed};

/// AMOS conversion: every gate is a circuit of K threshold gates, each of which fires at most once for an input.
///
/// Neuron `i` of a circuit decides at step `i`: what the gate hears reaches it `i − 1` steps late, and the decision of neuron `j` comes `i − j`
/// steps after it was taken. To neuron `m` of a gate of the next layer the spike of `i` takes `K + m − i` steps with weight `w·c_i`. No neuron has memory, so
/// a new input may follow at every step; the answer stands after `K·depth` steps. Of a layer pair there are K² projections: that is
/// what a circuit costs where a neuron would have been one.
///
/// Source: Stöckl & Maass 2019 (arXiv 2001.01682).
#[derive(Clone, Debug, PartialEq)]
pub struct Amos {
    /// The codes of the layers.
    pub codes: Codes,
}

const NAME: &str = "amos";

impl From<Codes> for Amos {
    fn from(codes: Codes) -> Self {
        Amos { codes }
    }
}

impl Scheme for Amos {
    fn name(&self) -> &'static str {
        NAME
    }
    fn about(&self) -> &'static str {
        "K neurons for each gate, each fires once at most; a new input at every step"
    }

    fn convert(&self, gates: &Gates, calibration: &Calibration, seed: Seed) -> Result<Converted, ConvertError> {
        let units = self.codes.of(gates, calibration, true, seed)?;
        let (steps, bases) = (self.codes.steps, units.iter().map(|unit| unit.base).collect::<Vec<_>>());
        let (mut build, mut layers, mut places) = (Build::new(gates), Vec::new(), Vec::new());
        // By layer: the populations of its neurons.
        let mut circuits: Vec<Vec<usize>> = Vec::new();
        // What decision `i` of a layer adds to who hears it.
        let worth = |l: usize, i: usize| units[l].side(i) * units[l].weight[i];
        let decided = |l: usize, i: usize| (gates.layers[l].depth - 1) * steps + i;
        for (l, (layer, unit)) in gates.layers.iter().zip(&units).enumerate() {
            let (size, bias) = (layer.hears.size(), bias(&layer.hears, &bases));
            let mut circuit = Vec::with_capacity(steps);
            for i in 0..steps {
                let side = unit.side(i);
                let v_th = value(bias.iter().map(|b| unit.threshold[i] - side * b).collect());
                let population = build.population(&format!("{}/{}", layer.name, i + 1), size, Threshold { v_th });
                if l == 0 {
                    build.join(None, population, Map::identity(size).scaled(side), i);
                }
                for (from, map) in &layer.hears.terms {
                    for (k, &source) in circuits[*from].iter().enumerate().filter(|&(k, _)| worth(*from, k) != 0.0) {
                        let late = decided(l, i) - decided(*from, k);
                        build.join(Some(source), population, map.scaled(side * worth(*from, k)), late);
                    }
                }
                for (j, &other) in circuit.iter().enumerate().filter(|&(j, _)| unit.lateral[i][j] != 0.0) {
                    build.join(Some(other), population, Map::diagonal(size, (-unit.lateral[i][j] as f32).into()), i - j);
                }
                places.push(Place { population, layer: l, start: decided(l, i), span: 1, worth: worth(l, i) });
                circuit.push(population);
            }
            circuits.push(circuit);
            layers.push(Coded::new(layer, unit, size * steps));
        }
        let answer = build.answer(gates.readout.size(), Sum { period: 1, bias: value(bias(&gates.readout, &bases)) });
        let latency = gates.depth() * steps;
        for (from, map) in &gates.readout.terms {
            for (k, &source) in circuits[*from].iter().enumerate().filter(|&(k, _)| worth(*from, k) != 0.0) {
                build.join(Some(source), answer, map.scaled(worth(*from, k)), latency - 1 - decided(*from, k));
            }
        }
        let timing = Timing { present: 1, interval: Some(1), latency };
        Ok(Converted { scheme: NAME.into(), timing, layers, places, network: Network::try_from(build.draft)? })
    }
}
