//! Which code every layer gets.

use crate::calibrate::{Calibration, Range};
use crate::fit::{Fit, FitError};
use crate::fits;
use crate::gates::{Function, Gates, Layer, Origin};
use crate::unit::Unit;
use serde::{Deserialize, Serialize};
use snn_core::Seed;
use snn_core::ann::Activation;

/// How layers get their codes: what few-spikes neurons and AMOS circuits have in common.
///
/// Rectifiers and layers without function get equal levels from the smallest to the largest number of the calibration, in closed form. Every other function gets a
/// code that was [shipped](fits::shipped) if there is one for as many steps on an interval that holds the layer's range; else, or with `fit`, one is fitted to what the
/// layer's inputs are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Codes {
    /// K, of all layers.
    pub steps: usize,
    /// Where numbers between two levels go.
    pub rounding: Rounding,
    /// How layers without function code negative numbers.
    pub negative: Negative,
    /// Fits every function that has no closed form to the inputs of its layer, with these settings (their steps, interval and kind do not matter).
    pub fit: Option<Fit>,
}

/// Where numbers between two levels go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// To the nearest.
    Nearest,
    /// To the lower one, as published; a level itself goes to the one below. All decoded numbers are then half a level low on average.
    Down,
}

/// How layers without function code negative numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Negative {
    /// From the smallest number on, which costs no spike; the constant goes into the biases of those who hear them.
    Base,
    /// Positive and negative levels in turns: 0 costs no spike, but there are half as many steps for each side. The steps must be even.
    Turns,
}

impl Codes {
    /// Levels to the nearest, functions as shipped.
    pub const fn new(steps: usize) -> Self {
        Codes { steps, rounding: Rounding::Nearest, negative: Negative::Base, fit: None }
    }

    /// The code of every layer; with `free` circuits may be used where there is no closed form.
    ///
    /// # Errors
    /// [`CodeError`], naming the layer.
    pub fn of(&self, gates: &Gates, calibration: &Calibration, free: bool, seed: Seed) -> Result<Vec<Unit>, CodeError> {
        if !(1..=MOST_STEPS).contains(&self.steps) {
            return Err(CodeError::Steps { steps: self.steps });
        }
        if gates.layers.len() != calibration.layers.len() {
            return Err(CodeError::Calibration { expected: gates.layers.len(), found: calibration.layers.len() });
        }
        let pairs = gates.layers.iter().zip(&calibration.layers);
        pairs.map(|(layer, range)| self.code(layer, range, free, seed.child("fit").child(&layer.name))).collect()
    }

    fn code(&self, layer: &Layer, range: &Range, free: bool, seed: Seed) -> Result<Unit, CodeError> {
        let (low, high) = range.sent;
        // A layer that never says anything still has levels.
        let high = if high > low { high } else { low + 1.0 };
        // What a layer of the network does not have are sums of levels, which stay what they are.
        let rounding = if let Origin::Node(_) = layer.origin { self.rounding } else { Rounding::Nearest };
        let levels = |low: f64, high: f64| match rounding {
            Rounding::Nearest => Unit::levels(self.steps, low, high),
            Rounding::Down if low == 0.0 => Unit::relu(self.steps, high / (1.0 - 0.5f64.powi(self.steps as i32))),
            Rounding::Down => {
                let lsb = (high - low) / (2f64.powi(self.steps as i32) - 1.0);
                let unit = Unit::levels(self.steps, low, high);
                Unit { threshold: unit.threshold.iter().map(|t| t + 0.5 * lsb).collect(), ..unit }
            }
        };
        match layer.function {
            Function::Activation(Activation::Relu) => Ok(levels(0.0, high)),
            Function::Identity if low >= 0.0 => Ok(levels(0.0, high)),
            Function::Identity if self.negative == Negative::Base => Ok(levels(low, high)),
            Function::Identity if self.steps % 2 == 1 => Err(CodeError::Odd { layer: layer.name.clone(), steps: self.steps }),
            Function::Identity => {
                let largest = high.max(-low);
                Ok(Unit::in_turns(self.steps, largest / (1.0 - 0.5f64.powi(self.steps as i32 / 2))))
            }
            Function::Activation(f) => {
                if let Some(shipped) = fits::shipped(f, self.steps, free).filter(|s| self.fit.is_none() && s.holds(range.heard)) {
                    return Ok(shipped.unit.clone());
                }
                let settings = self.fit.clone().unwrap_or(Fit::few_spikes(self.steps, (0.0, 1.0)));
                let fit = Fit { steps: self.steps, range: range.heard, free, ..settings };
                // One point in five of everywhere, four as often as numbers come.
                let found = fit.run(|x| f.at(x), |x| 0.2 + 0.8 * range.weight(x), seed);
                found.map(|found| found.unit).map_err(|source| CodeError::Fit { layer: layer.name.clone(), function: f.name(), source })
            }
        }
    }
}

/// Most steps of a code: doubles have no more binary digits.
const MOST_STEPS: usize = 48;

/// Why a layer has no code.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// Impossible number of steps.
    #[error("{steps} steps: give 1 to {MOST_STEPS}")]
    Steps {
        /// The number.
        steps: usize,
    },
    /// The calibration is of another network.
    #[error("a calibration of {found} layers for a network of {expected}; calibrate the gates that are converted")]
    Calibration {
        /// Layers there are.
        expected: usize,
        /// Layers of the calibration.
        found: usize,
    },
    /// Turns need pairs of steps.
    #[error(
        "layer `{layer}` has negative numbers, coded in turns, which takes an even number of steps, not {steps}; add one, or code them from a base"
    )]
    Odd {
        /// Layer.
        layer: String,
        /// Steps.
        steps: usize,
    },
    /// The fit failed.
    #[error("layer `{layer}`: no code for {function}: {source}")]
    Fit {
        /// Layer.
        layer: String,
        /// Its function.
        function: &'static str,
        /// Why.
        source: FitError,
    },
}
