use super::{Build, Scheme, value};
use crate::calibrate::Calibration;
use crate::codes::{CodeError, Codes};
use crate::converted::{Coded, ConvertError, Converted, Place, Timing};
use crate::gates::{Function, Gates};
use crate::map::Map;
use snn_core::ann::Activation;
use snn_core::neuron::{If, Sum};
use snn_core::{Network, Seed};

/// Rate coding: every gate is an integrate-and-fire neuron, its output the share of steps in which it fires, times the layer's largest
/// number `λ`. What few spikes are compared with.
///
/// ```text
/// W → W·λ_source/λ,    b → b/λ at every step,    y ≈ λ·(spikes so far)/(steps so far)
/// ```
/// An input is given as a constant current for all steps; one input at a time, from rest. The answer may be read at any step, and gets better.
/// With `λ` from a percentile of the calibration this is data-based normalisation. Rectifiers and layers without function and without negative numbers only.
///
/// Source: Diehl et al. 2015; Rueckauer et al. 2017, eqs. 5-7 (reset by subtraction, percentiles).
#[derive(Clone, Debug, PartialEq)]
pub struct Rate {
    /// Steps of a run.
    pub steps: usize,
}

const NAME: &str = "rate";

impl From<Codes> for Rate {
    fn from(codes: Codes) -> Self {
        Rate { steps: codes.steps }
    }
}

impl Scheme for Rate {
    fn name(&self) -> &'static str {
        NAME
    }
    fn about(&self) -> &'static str {
        "integrate-and-fire neurons for K steps, rectifiers only"
    }

    fn convert(&self, gates: &Gates, calibration: &Calibration, _: Seed) -> Result<Converted, ConvertError> {
        if self.steps == 0 || self.steps >= 1 << 20 {
            return Err(CodeError::Steps { steps: self.steps }.into());
        }
        if gates.layers.len() != calibration.layers.len() {
            return Err(CodeError::Calibration { expected: gates.layers.len(), found: calibration.layers.len() }.into());
        }
        let largest: Vec<f64> = calibration.layers.iter().map(|range| if range.sent.1 > 0.0 { range.sent.1 } else { 1.0 }).collect();
        let (mut build, mut layers, mut places) = (Build::new(gates), Vec::new(), Vec::new());
        for (l, layer) in gates.layers.iter().enumerate() {
            let refuse = |why: &str| ConvertError::Layer {
                scheme: NAME,
                layer: layer.name.clone(),
                function: layer.function.name(),
                why: why.into(),
            };
            match layer.function {
                Function::Activation(Activation::Relu) => {}
                Function::Identity if calibration.layers[l].sent.0 >= 0.0 => {}
                Function::Identity => {
                    return Err(refuse("has negative numbers, and rates have no sign; use `few_spikes` or `amos`, or give data from 0 on"));
                }
                Function::Activation(_) => {
                    return Err(refuse("is no rectifier, and rates of integrate-and-fire neurons are; use `few_spikes` or `amos`"));
                }
            }
            let size = layer.hears.size();
            let population = build.population(&layer.name, size, If::default());
            build.draft.populations[population].current = value(layer.hears.bias.iter().map(|b| b / largest[l]).collect());
            if l == 0 {
                build.join(None, population, Map::identity(size).scaled(1.0 / largest[0]), 0);
            }
            for (from, map) in &layer.hears.terms {
                build.join(Some(*from), population, map.scaled(largest[*from] / largest[l]), 0);
            }
            places.push(Place { population, layer: l, start: 0, span: self.steps, worth: largest[l] / self.steps as f64 });
            let (name, function) = (layer.name.clone(), layer.function.name().into());
            layers.push(Coded { name, function, gates: size, neurons: size, depth: layer.depth, base: 0.0, range: (0.0, largest[l]) });
        }
        let answer = build.answer(gates.readout.size(), Sum { period: self.steps, bias: 0.0.into() });
        build.draft.populations[answer].current = value(gates.readout.bias.clone());
        for (from, map) in &gates.readout.terms {
            build.join(Some(*from), answer, map.scaled(largest[*from]), 0);
        }
        let timing = Timing { present: self.steps, interval: None, latency: self.steps };
        Ok(Converted { scheme: NAME.into(), timing, layers, places, network: Network::try_from(build.draft)? })
    }
}
