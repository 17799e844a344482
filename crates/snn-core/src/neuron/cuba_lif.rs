use super::{Neuron, Output, Param, Range, Value, decay, filtered};
use crate::Real;
use serde::{Deserialize, Serialize};

/// The leaky integrate-and-fire neuron with exponentially decaying synaptic current.
///
/// ```text
/// i[t] = α_s·i[t−1] + x[t]
/// v[t] = α·v[t−1] + i[t] − v_th·z[t−1],   z[t] = H(v[t] − v_th),   α = exp(−dt/τ),  α_s = exp(−dt/τ_syn)
/// ```
/// Order within a step: current, leak and reset, threshold (strict). The membrane sees the current of this step.
///
/// | parameter | meaning | default |
/// |---|---|---|
/// | `tau` | membrane time constant (s) | 0.02 |
/// | `tau_syn` | synaptic time constant (s) | 0.005 |
/// | `v_th` | threshold, and what the reset subtracts | 1 |
/// | `reset_grad` | share of the derivative that passes through the reset | 0 |
///
/// Source: Zenke & Vogels 2021, eqs. 1–3.
///
/// ```
/// use snn_core::neuron::{CubaLif, Neuron};
/// let c = CubaLif::default().consts::<f64>(0, 1e-3);
/// let ([i, v], u) = CubaLif::step(c, [0.0, 0.0], 0.0, [0.5]);
/// assert_eq!((i, v, u), (0.5, 0.5, -0.5));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CubaLif {
    /// Membrane time constant (s).
    pub tau: Value,
    /// Synaptic time constant (s).
    pub tau_syn: Value,
    /// Threshold.
    pub v_th: Value,
    /// Share (0…1) of the derivative that passes through the reset.
    pub reset_grad: Value,
}

impl Default for CubaLif {
    fn default() -> Self {
        CubaLif { tau: Value::Shared(0.02), tau_syn: Value::Shared(0.005), v_th: Value::Shared(1.0), reset_grad: Value::Shared(0.0) }
    }
}

impl Neuron for CubaLif {
    const NAME: &'static str = "cuba_lif";
    const OUTPUT: Output = Output::Spike;
    type State<R: Real> = [R; 2];
    type Inputs<R: Real> = [R; 1];
    type Params<R: Real> = [R; 4];
    type Consts<R: Real> = [R; 4];

    fn params(&self) -> Vec<Param<'_>> {
        vec![
            Param::new("tau", &self.tau, Range::Positive),
            Param::new("tau_syn", &self.tau_syn, Range::Positive),
            Param::new("v_th", &self.v_th, Range::Positive),
            Param::new("reset_grad", &self.reset_grad, Range::Unit).fixed(),
        ]
    }

    fn derive<R: Real>(&self, [tau, tau_syn, v_th, grad]: [R; 4], dt: f64) -> [R; 4] {
        [decay(dt, tau), decay(dt, tau_syn), v_th, grad]
    }

    #[inline(always)]
    fn step<R: Real>([alpha, alpha_syn, v_th, grad]: [R; 4], [i, v]: [R; 2], z: R, [x]: [R; 1]) -> ([R; 2], R) {
        let i = alpha_syn * i + x;
        let v = alpha * v + i - v_th * z.damp(grad);
        ([i, v], v - v_th)
    }

    fn jump<R: Real>([alpha, alpha_syn, ..]: [R; 4], [i, v]: [R; 2], n: u32) -> Option<[R; 2]> {
        // v[n] = αⁿ·v + Σₖ α^(n−k)·α_s^k·i,  k = 1…n
        Some([i * alpha_syn.pow(n), v * alpha.pow(n) + i * alpha_syn * filtered(alpha_syn, alpha, n)])
    }

    fn ceiling<R: Real>([_, alpha_syn, v_th, _]: [R; 4], [i, v]: [R; 2]) -> R {
        // All that is still to come of the current, as if it did not leak.
        let zero = R::of(0.0);
        v.max(zero) + i.max(zero) * alpha_syn / (R::of(1.0) - alpha_syn) - v_th
    }
}
