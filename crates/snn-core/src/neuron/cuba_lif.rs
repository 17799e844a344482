use super::{Neuron, Output, Param, Range, Reset, Value, decay, filtered};
use crate::Real;
use serde::{Deserialize, Serialize};

/// The current-based leaky integrate-and-fire neuron (CUBA): its synaptic current decays exponentially.
///
/// ```text
/// i[t] = α_s·i[t−1] + x[t],                            α_s = exp(−dt/τ_syn)
/// v[t] = α·v[t−1] + i[t] − v_th·z[t−1]                 reset by subtraction
/// v[t] = α·v[t−1]·(1 − z[t−1]) + α·r·z[t−1] + i[t]     reset to the value r
/// z[t] = H(v[t] − v_th),                               α = exp(−dt/τ)
/// ```
/// Order within a step: current, leak and reset, threshold (strict). The membrane sees the current of this step.
///
/// | parameter | meaning | default |
/// |---|---|---|
/// | `tau` | membrane time constant (s) | 0.02 |
/// | `tau_syn` | synaptic time constant (s) | 0.005 |
/// | `v_th` | threshold | 1 |
/// | `reset` | by subtraction of `v_th`, or to a value | subtract |
/// | `reset_grad` | share of the derivative that passes through the reset; 0 for a reset to a value | 0 |
///
/// Source: Zenke & Vogels 2021 (Neural Computation 33:899), eqs. 1–3.
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
    /// What a spike does to the membrane.
    pub reset: Reset,
    /// Share (0…1) of the derivative that passes through the reset. Must be 0 for a reset to a value.
    pub reset_grad: Value,
}

impl Default for CubaLif {
    fn default() -> Self {
        let shared = Value::Shared;
        CubaLif { tau: shared(0.02), tau_syn: shared(0.005), v_th: shared(1.0), reset: Reset::Subtract, reset_grad: shared(0.0) }
    }
}

impl Neuron for CubaLif {
    const NAME: &'static str = "cuba_lif";
    const OUTPUT: Output = Output::Spike;
    type State<R: Real> = [R; 2];
    type Inputs<R: Real> = [R; 1];
    type Params<R: Real> = [R; 4];
    type Consts<R: Real> = [R; 6];

    fn params(&self) -> Vec<Param<'_>> {
        vec![
            Param::new("tau", &self.tau, Range::Positive),
            Param::new("tau_syn", &self.tau_syn, Range::Positive),
            Param::new("v_th", &self.v_th, Range::Positive),
            Param::new("reset_grad", &self.reset_grad, Range::Unit).fixed(),
        ]
    }

    fn derive<R: Real>(&self, [tau, tau_syn, v_th, grad]: [R; 4], dt: f64) -> [R; 6] {
        let (alpha, alpha_syn) = (decay(dt, tau), decay(dt, tau_syn));
        match self.reset {
            Reset::Subtract => [alpha, alpha_syn, v_th, v_th, R::of(0.0), grad],
            Reset::To(r) => [alpha, alpha_syn, v_th, -alpha * R::of(r), R::of(1.0), R::of(0.0)],
        }
    }

    #[inline(always)]
    fn step<R: Real>([alpha, alpha_syn, v_th, drop, hard, grad]: [R; 6], [i, v]: [R; 2], z: R, [x]: [R; 1]) -> ([R; 2], R) {
        let z = z.damp(grad);
        let i = alpha_syn * i + x;
        let v = alpha * (v - hard * v * z) + i - drop * z;
        ([i, v], v - v_th)
    }

    fn jump<R: Real>([alpha, alpha_syn, ..]: [R; 6], [i, v]: [R; 2], n: u32) -> Option<[R; 2]> {
        // v[n] = αⁿ·v + Σₖ α^(n−k)·α_s^k·i,  k = 1…n
        Some([i * alpha_syn.pow(n), v * alpha.pow(n) + i * alpha_syn * filtered(alpha_syn, alpha, n)])
    }

    fn ceiling<R: Real>([_, alpha_syn, v_th, ..]: [R; 6], [i, v]: [R; 2]) -> R {
        // All that is still to come of the current, as if it did not leak.
        let zero = R::of(0.0);
        v.max(zero) + i.max(zero) * alpha_syn / (R::of(1.0) - alpha_syn) - v_th
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_resets_by_hand() {
        // α = α_s = ½ exactly: τ = 1 ms / ln 2.
        let tau: Value = (1e-3 / std::f64::consts::LN_2).into();
        let half = CubaLif { tau: tau.clone(), tau_syn: tau, ..CubaLif::default() };
        let run = |model: CubaLif| {
            let (c, mut s, mut z) = (model.consts::<f64>(0, 1e-3), [0.0; 2], 0.0);
            let step = |x: f64| {
                let u;
                (s, u) = CubaLif::step(c, s, z, [x]);
                z = f64::from(u > 0.0);
                s[1]
            };
            [1.0, 1.0, 0.0].map(step)
        };
        let near =
            |found: [f64; 3], expected: [f64; 3]| assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
        near(run(half.clone()), [1.0, 2.0, 0.75]); // ½·2 + ¾ − 1
        near(run(CubaLif { reset: Reset::To(0.5), ..half }), [1.0, 2.0, 1.0]); // ½·½ + ¾
    }
}
