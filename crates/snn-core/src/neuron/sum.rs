use super::{Neuron, Output, Param, Range, Value};
use crate::Real;
use serde::{Deserialize, Serialize};

/// The readout of converted networks: the sum of what came in within a window of `period` steps, without leak.
///
/// ```text
/// y[t] = b + Σ x[s],   from the first step of the window up to t
/// ```
/// Windows begin at the steps 0, `period`, 2·`period` …; with a period of 1 it hands on what it hears. Read it at the last step of a window.
///
/// | parameter | meaning | default |
/// |---|---|---|
/// | `period` | steps of a window | 1 |
/// | `bias` | b, what every window begins with | 0 |
///
/// Source: Stöckl & Maass 2021 (arXiv 2002.00860), where the last layer is decoded so.
///
/// ```
/// use snn_core::neuron::{Neuron, Sum};
/// let readout = Sum { period: 2, bias: 0.5.into() };
/// let mut y = [0.0];
/// let mut outputs = Vec::new();
/// for (t, x) in [1.0, 2.0, 4.0, 8.0].into_iter().enumerate() {
///     y = Sum::step(readout.consts_at::<f64>(0, 1e-3, t % 2), y, 0.0, [x]).0;
///     outputs.push(y[0]);
/// }
/// assert_eq!(outputs, [1.5, 3.5, 4.5, 12.5]);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sum {
    /// Steps of a window.
    pub period: usize,
    /// b.
    pub bias: Value,
}

impl Default for Sum {
    fn default() -> Self {
        Sum { period: 1, bias: Value::Shared(0.0) }
    }
}

impl Neuron for Sum {
    const NAME: &'static str = "sum";
    const OUTPUT: Output = Output::Graded;
    const GATHERS: bool = true;
    type State<R: Real> = [R; 1];
    type Inputs<R: Real> = [R; 1];
    type Params<R: Real> = [R; 1];
    type Consts<R: Real> = [R; 5];

    fn params(&self) -> Vec<Param<'_>> {
        vec![Param::new("bias", &self.bias, Range::Finite)]
    }

    fn check(&self) -> Result<(), String> {
        super::few_spikes::check_period(self.period)
    }

    fn derive<R: Real>(&self, p: [R; 1], dt: f64) -> [R; 5] {
        self.derive_at(p, dt, 0)
    }

    fn period(&self) -> usize {
        self.period
    }

    fn derive_at<R: Real>(&self, [bias]: [R; 1], _: f64, phase: usize) -> [R; 5] {
        let begins = f64::from(phase == 0);
        let wait = (self.period - phase) % self.period;
        let [goes_on, begins, wait, period] = [1.0 - begins, begins, wait as f64, self.period as f64].map(R::of);
        [goes_on, begins, bias, wait, period]
    }

    #[inline(always)]
    fn step<R: Real>([goes_on, begins, bias, ..]: [R; 5], [y]: [R; 1], _: R, [x]: [R; 1]) -> ([R; 1], R) {
        let y = goes_on * y + begins * bias + x;
        ([y], y)
    }

    fn jump<R: Real>([_, _, bias, wait, _]: [R; 5], [y]: [R; 1], n: u32) -> Option<[R; 1]> {
        Some([if R::of(f64::from(n)) > wait { bias } else { y }])
    }
}
