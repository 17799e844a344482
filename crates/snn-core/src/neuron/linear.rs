use super::{Neuron, Output, Param, Range, Value};
use crate::Real;
use serde::{Deserialize, Serialize};

/// A linear unit: sends what it hears, at once or through a leaky memory.
///
/// ```text
/// y[t] = k·y[t−1] + g·x[t]                                 an event of value y where y ≠ 0
/// ```
/// With `keep` 0 a sum that others hear, with 1 an integrator, with `exp(−dt/τ)` a low-pass filter. A filter that has been excited sends at every step from
/// then on.
///
/// | parameter | meaning | default |
/// |---|---|---|
/// | `keep` | share k of the output that is left a step later | 0 |
/// | `gain` | g | 1 |
///
/// Source: NIR's `I`, `LI` and `Scale` (Pedersen et al. 2024, Nature Communications 15:8122), in discrete time.
///
/// ```
/// use snn_core::neuron::{Linear, Neuron};
/// let c = Linear { keep: 0.5.into(), gain: 2.0.into() }.consts::<f64>(0, 1e-3);
/// assert_eq!(Linear::step(c, [-3.0], 0.0, [1.0]), ([0.5], 0.5));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Linear {
    /// Share of the output that is left a step later.
    pub keep: Value,
    /// Factor on the input.
    pub gain: Value,
}

impl Default for Linear {
    fn default() -> Self {
        Linear { keep: Value::Shared(0.0), gain: Value::Shared(1.0) }
    }
}

impl Neuron for Linear {
    const NAME: &'static str = "linear";
    const OUTPUT: Output = Output::Linear;
    type State<R: Real> = [R; 1];
    type Inputs<R: Real> = [R; 1];
    type Params<R: Real> = [R; 2];
    type Consts<R: Real> = [R; 2];

    fn params(&self) -> Vec<Param<'_>> {
        vec![Param::new("keep", &self.keep, Range::Unit), Param::new("gain", &self.gain, Range::Finite)]
    }

    fn derive<R: Real>(&self, p: [R; 2], _: f64) -> [R; 2] {
        p
    }

    #[inline(always)]
    fn step<R: Real>([keep, gain]: [R; 2], [y]: [R; 1], _: R, [x]: [R; 1]) -> ([R; 1], R) {
        let y = keep * y + gain * x;
        ([y], y)
    }
}
