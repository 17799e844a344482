use super::{Build, Scheme, bias, value};
use crate::calibrate::Calibration;
use crate::codes::Codes;
use crate::converted::{Coded, ConvertError, Converted, Place, Timing};
use crate::gates::Gates;
use snn_core::neuron::{self, Sum};
use snn_core::{Network, Seed};

/// FS conversion: every gate is one few-spikes neuron.
///
/// All layers work in windows of K steps. A layer fires in the window after the one in which it heard, so an input follows every K steps
/// (throughput 1/K), and the answer stands after `K·(depth + 1)` steps. With a pause of P steps all this holds for windows of `K + P`, and spikes may be up to P steps on their way: for machines
/// that hear a spike in the next step at the earliest, such as SpiNNaker 2. Where a signal passes fewer layers than another, its events wait as many windows.
///
/// Source: Stöckl & Maass 2021 (arXiv 2002.00860). There a new image enters every 2K steps; here a layer hears while it fires.
#[derive(Clone, Debug, PartialEq)]
pub struct FewSpikes {
    /// The codes of the layers.
    pub codes: Codes,
    /// Silent steps at the end of every window.
    pub pause: usize,
}

impl FewSpikes {
    /// With these codes, and no pause.
    pub const fn new(codes: Codes) -> Self {
        FewSpikes { codes, pause: 0 }
    }
}

const NAME: &str = "few_spikes";

impl From<Codes> for FewSpikes {
    fn from(codes: Codes) -> Self {
        FewSpikes::new(codes)
    }
}

impl Scheme for FewSpikes {
    fn name(&self) -> &'static str {
        NAME
    }
    fn short(&self) -> Option<&'static str> {
        Some("fs")
    }
    fn about(&self) -> &'static str {
        "K time steps for each layer, one neuron a gate; a new input every K steps"
    }

    fn convert(&self, gates: &Gates, calibration: &Calibration, seed: Seed) -> Result<Converted, ConvertError> {
        let units = self.codes.of(gates, calibration, false, seed)?;
        let (steps, window, bases) =
            (self.codes.steps, self.codes.steps + self.pause, units.iter().map(|unit| unit.base).collect::<Vec<_>>());
        let (mut build, mut layers, mut places) = (Build::new(gates), Vec::new(), Vec::new());
        for (l, (layer, unit)) in gates.layers.iter().zip(&units).enumerate() {
            let refuse = |why: &str| ConvertError::Layer {
                scheme: NAME,
                layer: layer.name.clone(),
                function: layer.function.name(),
                why: why.into(),
            };
            let reset = unit.reset().ok_or_else(|| refuse("has a code that takes a circuit; use the scheme `amos`"))?;
            let (size, bias) = (layer.hears.size(), value(bias(&layer.hears, &bases)));
            let (threshold, weight) = (unit.threshold.clone(), unit.weight.clone());
            let (signed, pause) = (unit.signed, self.pause);
            let population = build.population(&layer.name, size, neuron::FewSpikes { threshold, reset, weight, signed, bias, pause });
            if l == 0 {
                build.join(None, population, crate::Map::identity(size), 0);
            }
            for (from, map) in &layer.hears.terms {
                build.join(Some(*from), population, map.clone(), (layer.depth - 1 - gates.layers[*from].depth) * window);
            }
            places.push(Place { population, layer: l, start: layer.depth * window, span: steps, worth: 1.0 });
            layers.push(Coded::new(layer, unit, size));
        }
        let answer = Sum { period: window, bias: value(bias(&gates.readout, &bases)) };
        let answer = build.answer(gates.readout.size(), answer);
        for (from, map) in &gates.readout.terms {
            build.join(Some(*from), answer, map.clone(), (gates.depth() - gates.layers[*from].depth) * window);
        }
        let timing = Timing { present: 1, interval: Some(window), latency: (gates.depth() + 1) * window };
        Ok(Converted { scheme: NAME.into(), timing, layers, places, network: Network::try_from(build.draft)? })
    }
}
