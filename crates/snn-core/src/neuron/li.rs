use super::{Neuron, Output, Param, Range, Value, decay};
use crate::Real;
use serde::{Deserialize, Serialize};

/// The leaky integrator without spikes: the usual readout.
///
/// ```text
/// y[t] = κ·y[t−1] + (1 − κ)·x[t],   κ = exp(−dt/τ)
/// ```
///
/// | parameter | meaning | default |
/// |---|---|---|
/// | `tau` | time constant (s) | 0.02 |
///
/// Source: Perez-Nieves & Goodman 2021, section 2; Bellec et al. 2020, eq. 11 without bias.
///
/// ```
/// use snn_core::neuron::{Li, Neuron};
/// let c = Li::default().consts::<f64>(0, 1e-3);
/// let ([y], out) = Li::step(c, [1.0], 0.0, [1.0]);
/// assert_eq!((y, out), (1.0, 1.0));                           // a constant input is its own average
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Li {
    /// Time constant (s).
    pub tau: Value,
}

impl Default for Li {
    fn default() -> Self {
        Li { tau: Value::Shared(0.02) }
    }
}

impl Neuron for Li {
    const NAME: &'static str = "li";
    const OUTPUT: Output = Output::Graded;
    type State<R: Real> = [R; 1];
    type Inputs<R: Real> = [R; 1];
    type Params<R: Real> = [R; 1];
    type Consts<R: Real> = [R; 2];

    fn params(&self) -> Vec<Param<'_>> {
        vec![Param::new("tau", &self.tau, Range::Positive)]
    }

    fn derive<R: Real>(&self, [tau]: [R; 1], dt: f64) -> [R; 2] {
        let kappa = decay(dt, tau);
        [kappa, R::of(1.0) - kappa]
    }

    #[inline(always)]
    fn step<R: Real>([kappa, gain]: [R; 2], [y]: [R; 1], _: R, [x]: [R; 1]) -> ([R; 1], R) {
        let y = kappa * y + gain * x;
        ([y], y)
    }

    fn jump<R: Real>([kappa, _]: [R; 2], [y]: [R; 1], n: u32) -> Option<[R; 1]> {
        Some([y * kappa.pow(n)])
    }
}
