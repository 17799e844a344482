use super::{Neuron, Output, Param, Range, Value};
use crate::Real;
use serde::{Deserialize, Serialize};

/// The threshold gate: a neuron without memory.
///
/// ```text
/// z[t] = H(x[t] − v_th)
/// ```
/// What a McCulloch-Pitts neuron is; of its past nothing is left, so inputs must meet in one step. The threshold may be negative: then it
/// fires without input.
///
/// | parameter | meaning | default |
/// |---|---|---|
/// | `v_th` | threshold (strict) | 1 |
///
/// Source: McCulloch & Pitts 1943; Stöckl & Maass 2019 (arXiv 2001.01682) build their circuits of it.
///
/// ```
/// use snn_core::neuron::{Neuron, Threshold};
/// let c = Threshold::default().consts::<f64>(0, 1e-3);
/// assert!(Threshold::step(c, [], 1.0, [1.5]).1 > 0.0);          // whatever it did before
/// assert!(Threshold::step(c, [], 1.0, [1.0]).1 <= 0.0);         // strict
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Threshold {
    /// Threshold.
    pub v_th: Value,
}

impl Default for Threshold {
    fn default() -> Self {
        Threshold { v_th: Value::Shared(1.0) }
    }
}

impl Neuron for Threshold {
    const NAME: &'static str = "threshold";
    const OUTPUT: Output = Output::Spike;
    type State<R: Real> = [R; 0];
    type Inputs<R: Real> = [R; 1];
    type Params<R: Real> = [R; 1];
    type Consts<R: Real> = [R; 1];

    fn params(&self) -> Vec<Param<'_>> {
        vec![Param::new("v_th", &self.v_th, Range::Finite)]
    }

    fn derive<R: Real>(&self, p: [R; 1], _: f64) -> [R; 1] {
        p
    }

    #[inline(always)]
    fn step<R: Real>([v_th]: [R; 1], _: [R; 0], _: R, [x]: [R; 1]) -> ([R; 0], R) {
        ([], x - v_th)
    }

    fn jump<R: Real>(_: [R; 1], _: [R; 0], _: u32) -> Option<[R; 0]> {
        Some([]) // nothing is kept
    }

    fn ceiling<R: Real>([v_th]: [R; 1], _: [R; 0]) -> R {
        -v_th
    }
}
