//! A converted network: a description any engine runs, and how to talk to it.

use crate::codes::CodeError;
use crate::gates::{GateError, Layer};
use crate::unit::Unit;
use serde::{Deserialize, Serialize};
use snn_core::neuron::Model;
use snn_core::{Network, NetworkError, Raster, Seed};
use snn_sparse::{Device, DeviceError};

/// A spiking network made of a trained one, and when it hears and answers.
///
/// The network has one input, `data`, and one output, `answer`; it is a description like any other. An input is a list of numbers, given as graded events.
/// What is read from a file is checked: a value that parsed can be run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Converted {
    /// The scheme that made it.
    pub scheme: String,
    /// When it hears and answers.
    pub timing: Timing,
    /// The layers of gates it stands for.
    pub layers: Vec<Coded>,
    /// Where they are in the network.
    pub places: Vec<Place>,
    /// The network.
    pub network: Network,
}

/// When a converted network hears and answers, in time steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// For how many steps an input is given.
    pub present: usize,
    /// Steps from one input to the next, while those before are still on their way; `None`: one input at a time, each from rest.
    pub interval: Option<usize>,
    /// Steps from the first of an input to the last before its answer stands.
    pub latency: usize,
}

/// A layer of gates that was converted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coded {
    /// Its name.
    pub name: String,
    /// Its scalar function.
    pub function: String,
    /// How many gates.
    pub gates: usize,
    /// How many neurons they are.
    pub neurons: usize,
    /// How many layers a signal has passed when it leaves it.
    pub depth: usize,
    /// What a silent gate is worth.
    pub base: f64,
    /// Smallest and largest number it can say.
    pub range: (f64, f64),
}

/// A population and the layer it is part of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Index of the population.
    pub population: usize,
    /// Index of the layer.
    pub layer: usize,
    /// The first step in which it speaks of an input given from step 0 on.
    pub start: usize,
    /// For how many steps.
    pub span: usize,
    /// What an event of value 1 is worth.
    pub worth: f64,
}

/// Why a trained network cannot be converted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// It is no network of gates.
    #[error(transparent)]
    Gates(#[from] GateError),
    /// A layer has no code.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// The scheme cannot do it.
    #[error("scheme `{scheme}`: layer `{layer}` ({function}) {why}")]
    Layer {
        /// Scheme.
        scheme: &'static str,
        /// Layer.
        layer: String,
        /// Its function.
        function: &'static str,
        /// Reason, and what to do.
        why: String,
    },
    /// What was made is no network.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

impl Coded {
    /// A layer of `neurons` neurons with this code.
    pub(crate) fn new(layer: &Layer, unit: &Unit, neurons: usize) -> Self {
        let mut range = (unit.base, unit.base);
        for i in 0..unit.steps() {
            let worth = unit.side(i) * unit.weight[i];
            range = (range.0 + worth.min(0.0), range.1 + worth.max(0.0));
        }
        let (name, function) = (layer.name.clone(), layer.function.name().into());
        Coded { name, function, gates: layer.hears.size(), neurons, depth: layer.depth, base: unit.base, range }
    }
}

impl Converted {
    /// How many numbers an input has.
    pub fn inputs(&self) -> usize {
        self.network.draft().inputs[0].size
    }

    /// How many numbers an answer has.
    pub fn outputs(&self) -> usize {
        self.network.size(ANSWER)
    }

    /// Neurons, without those that are read out.
    pub fn neurons(&self) -> usize {
        self.layers.iter().map(|layer| layer.neurons).sum()
    }

    /// What the network answers on a device that was built for it: inputs one after the other in `numbers`, thirty-two to a trial where they may follow each other. Answers one after the other.
    ///
    /// # Errors
    /// If the device cannot run it, or does not record the answer.
    ///
    /// # Panics
    /// If `numbers` is no whole number of inputs.
    #[track_caller]
    pub fn answers_on(&self, device: &mut dyn Device, numbers: &[f32], trials: Seed) -> Result<Vec<f32>, DeviceError> {
        let (size, outputs) = (self.inputs(), self.outputs());
        let answer = self.network.draft().populations.iter().position(|p| p.name == ANSWER).unwrap_or(0);
        let (together, mut raster, mut answers) = (if self.timing.interval.is_some() { 32 } else { 1 }, Raster::new(size, 0), Vec::new());
        for (k, part) in numbers.chunks(together * size).enumerate() {
            self.present(part, &mut raster);
            device.run(&[&raster], trials.nth(k as u64))?;
            for n in 0..part.len() / size {
                for j in 0..outputs {
                    let y = device.output(answer, self.answered(n), j).ok_or_else(|| {
                        let why =
                            format!("does not record the numbers of population `{ANSWER}`, which are the answer of a converted network");
                        DeviceError::Refused { machine: "this device", why }
                    })?;
                    answers.push(y as f32);
                }
            }
        }
        Ok(answers)
    }

    /// Steps of a run over `count` inputs.
    pub fn steps(&self, count: usize) -> usize {
        count.saturating_sub(1) * self.timing.interval.unwrap_or(0) + self.timing.latency
    }

    /// The step at which answer `n` of a run stands.
    pub fn answered(&self, n: usize) -> usize {
        n * self.timing.interval.unwrap_or(0) + self.timing.latency - 1
    }

    /// Writes a run over inputs, one after the other in `numbers`, into `raster`.
    ///
    /// # Panics
    /// If it takes one input at a time and more are given, or `numbers` is no whole number of inputs.
    #[track_caller]
    pub fn present(&self, numbers: &[f32], raster: &mut Raster) {
        let (size, timing) = (self.inputs(), self.timing);
        assert!(numbers.len().is_multiple_of(size), "{} numbers for inputs of {size}", numbers.len());
        let count = numbers.len() / size;
        assert!(count <= 1 || timing.interval.is_some(), "{count} inputs for a network that takes one at a time");
        raster.reset(size, self.steps(count));
        for t in 0..raster.steps() {
            let (n, phase) = timing.interval.map_or((0, t), |interval| (t / interval, t % interval));
            let input = if phase < timing.present { numbers.chunks(size).nth(n).unwrap_or(&[]) } else { &[] };
            raster.push_values(t, |units, values| {
                for (&x, unit) in input.iter().zip(0..).filter(|(x, _)| **x != 0.0) {
                    units.push(unit);
                    values.push(f64::from(x));
                }
            });
        }
    }
}

/// Name of the input.
pub const DATA: &str = "data";
/// Name of the output.
pub const ANSWER: &str = "answer";

/// As it stands in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    scheme: String,
    timing: Timing,
    layers: Vec<Coded>,
    places: Vec<Place>,
    network: Network,
}

/// Why a file holds no converted network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {why}")]
pub struct NotConverted {
    /// Where in it.
    pub place: String,
    /// What is wrong, and what was expected.
    pub why: String,
}

/// Steps of a run that are believed: a hundred thousand layers of ten steps.
const MOST_STEPS: usize = 1 << 21;

impl TryFrom<Unchecked> for Converted {
    type Error = NotConverted;

    /// Refuses what a file may claim and no conversion makes: everything that would not be found out by reading it.
    fn try_from(file: Unchecked) -> Result<Self, NotConverted> {
        let Unchecked { scheme, timing, layers, places, network } = file;
        let refuse = |place: &str, why: String| Err(NotConverted { place: place.into(), why });
        let draft = network.draft();
        if draft.inputs.len() != 1 || draft.inputs[0].name != DATA {
            return refuse("network.inputs", format!("expected one, named `{DATA}`"));
        }
        let answer = draft.populations.iter().find(|population| population.name == ANSWER);
        if draft.outputs != [ANSWER] || !answer.is_some_and(|population| matches!(population.model, Model::Sum(_))) {
            return refuse("network.outputs", format!("expected one, a population `{ANSWER}` of the model `sum`"));
        }
        let interval = timing.interval.unwrap_or(timing.latency);
        let long = timing.latency.saturating_add(interval.saturating_mul(32)) > MOST_STEPS;
        if timing.present == 0 || timing.present > interval || interval > timing.latency || long {
            let expected = "expected 1 <= present <= interval <= latency";
            return refuse("timing", format!("{timing:?}: {expected}, and {MOST_STEPS} steps at most for 32 inputs"));
        }
        for (k, place) in places.iter().enumerate() {
            let at = format!("places[{k}]");
            let (Some(layer), Some(population)) = (layers.get(place.layer), draft.populations.get(place.population)) else {
                return refuse(&at, format!("there is no layer {} or no population {}", place.layer, place.population));
            };
            let (name, size) = (&population.name, population.size);
            if size != layer.gates {
                return refuse(&at, format!("`{name}` has {size} neurons, layer `{}` has {} gates", layer.name, layer.gates));
            }
            if place.start.checked_add(place.span).is_none_or(|end| end > timing.latency) || !place.worth.is_finite() {
                let expected = format!("expected a finite worth, and steps within the latency of {}", timing.latency);
                return refuse(&at, format!("{place:?}: {expected}"));
            }
        }
        Ok(Converted { scheme, timing, layers, places, network })
    }
}
