use super::{Neuron, Output, Param, Range, Value};
use crate::Real;
use serde::{Deserialize, Serialize};

/// A gate: sends what it hears, scaled by the logistic function of something else it hears.
///
/// ```text
/// y[t] = σ(x_gate + b)·x_value
/// ```
/// The reset gate of a gated recurrent network, where it comes before the matrix product: see [`Egru`](super::Egru).
///
/// | parameter | meaning | default |
/// |---|---|---|
/// | `bias` | b | 0 |
///
/// ```
/// use snn_core::neuron::{Gate, Neuron};
/// let c = Gate::default().consts::<f64>(0, 1.0);
/// assert_eq!(Gate::step(c, [], 0.0, [0.0, -3.0]).1, -1.5);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gate {
    /// Bias b of the gate.
    pub bias: Value,
}

impl Default for Gate {
    fn default() -> Self {
        Gate { bias: Value::Shared(0.0) }
    }
}

impl Neuron for Gate {
    const NAME: &'static str = "gate";
    const OUTPUT: Output = Output::Linear;
    const AFFINE: bool = false;
    const PORTS: &'static [&'static str] = &["gate", "value"];
    type State<R: Real> = [R; 0];
    type Inputs<R: Real> = [R; 2];
    type Params<R: Real> = [R; 1];
    type Consts<R: Real> = [R; 1];

    fn params(&self) -> Vec<Param<'_>> {
        vec![Param::new("bias", &self.bias, Range::Finite)]
    }

    fn derive<R: Real>(&self, p: [R; 1], _: f64) -> [R; 1] {
        p
    }

    #[inline(always)]
    fn step<R: Real>([bias]: [R; 1], _: [R; 0], _: R, [gate, value]: [R; 2]) -> ([R; 0], R) {
        ([], (gate + bias).sigmoid() * value)
    }
}
