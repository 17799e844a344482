use super::{Neuron, Output, Param, Range, Value, decay};
use crate::Real;
use serde::{Deserialize, Serialize};

/// The leaky integrate-and-fire neuron with delta synapses.
///
/// ```text
/// v[t] = α·v[t−1] + x[t] − v_th·z[t−1]             reset by subtraction
/// v[t] = α·v[t−1]·(1 − z[t−1]) + α·r·z[t−1] + x[t]     reset to the value r
/// z[t] = H(v[t] − v_th),   α = exp(−dt/τ)
/// ```
/// Order within a step: leak and reset, input, threshold (strict). Potentials are dimensionless, rest is 0.
///
/// | parameter | meaning | default |
/// |---|---|---|
/// | `tau` | membrane time constant τ (s) | 0.02 |
/// | `v_th` | threshold | 1 |
/// | `reset` | by subtraction of `v_th`, or to a value | subtract |
/// | `reset_grad` | share of the derivative that passes through the reset; 0 is "detached" | 0 |
///
/// Source: Perez-Nieves & Goodman 2021, section 2 (reset by subtraction, detached); Bellec et al. 2018.
///
/// ```
/// use snn_core::neuron::{Lif, Neuron};
/// let c = Lif::default().consts::<f64>(0, 1e-3);
/// let ([v], u) = Lif::step(c, [0.9], 0.0, [0.3]);
/// assert!(u > 0.0 && v > 1.0);                                // fires
/// let ([v], _) = Lif::step(c, [v], 1.0, [0.0]);
/// assert!(v < 0.2);                                           // and is reset in the next step
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lif {
    /// Membrane time constant (s).
    pub tau: Value,
    /// Threshold.
    pub v_th: Value,
    /// What a spike does to the membrane.
    pub reset: Reset,
    /// Share (0…1) of the derivative that passes through the reset. Must be 0 for a reset to a value.
    pub reset_grad: Value,
}

/// What a spike does to the membrane, in the step after it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reset {
    /// The threshold is subtracted; the surplus is kept.
    Subtract,
    /// The membrane is set to this value.
    To(f64),
}

impl Default for Lif {
    fn default() -> Self {
        Lif { tau: Value::Shared(0.02), v_th: Value::Shared(1.0), reset: Reset::Subtract, reset_grad: Value::Shared(0.0) }
    }
}

impl Neuron for Lif {
    const NAME: &'static str = "lif";
    const OUTPUT: Output = Output::Spike;
    type State<R: Real> = [R; 1];
    type Inputs<R: Real> = [R; 1];
    type Params<R: Real> = [R; 3];
    type Consts<R: Real> = [R; 5];

    fn params(&self) -> Vec<Param<'_>> {
        vec![
            Param::new("tau", &self.tau, Range::Positive),
            Param::new("v_th", &self.v_th, Range::Positive),
            Param::new("reset_grad", &self.reset_grad, Range::Unit).fixed(),
        ]
    }

    fn derive<R: Real>(&self, [tau, v_th, grad]: [R; 3], dt: f64) -> [R; 5] {
        let (alpha, zero, one) = (decay(dt, tau), R::of(0.0), R::of(1.0));
        match self.reset {
            Reset::Subtract => [alpha, v_th, v_th, zero, grad],
            Reset::To(r) => [alpha, v_th, -alpha * R::of(r), one, zero],
        }
    }

    #[inline(always)]
    fn step<R: Real>([alpha, v_th, drop, hard, grad]: [R; 5], [v]: [R; 1], z: R, [x]: [R; 1]) -> ([R; 1], R) {
        let z = z.damp(grad);
        let v = alpha * (v - hard * v * z) + x - drop * z; // leak, input, reset
        ([v], v - v_th)
    }

    fn jump<R: Real>([alpha, ..]: [R; 5], [v]: [R; 1], n: u32) -> Option<[R; 1]> {
        Some([v * alpha.pow(n)])
    }

    fn ceiling<R: Real>([_, v_th, ..]: [R; 5], [v]: [R; 1]) -> R {
        v.max(R::of(0.0)) - v_th
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs one neuron on `input` and returns its membrane and spikes.
    fn run(model: &Lif, input: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let c = model.consts::<f64>(0, 1e-3);
        let (mut s, mut z) = ([0.0], 0.0);
        input
            .iter()
            .map(|&x| {
                let u;
                (s, u) = Lif::step(c, s, z, [x]);
                z = f64::from(u > 0.0);
                (s[0], z)
            })
            .unzip()
    }

    #[test]
    fn five_steps_by_hand() {
        // α = ½ exactly: τ = 1 ms / ln 2.
        let half = Lif { tau: (1e-3 / std::f64::consts::LN_2).into(), ..Lif::default() };
        let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(x, y)| (x - y).abs() < 1e-12);
        let (v, z) = run(&half, &[0.75, 1.0, 0.25, 2.0, 0.0]);
        assert!(near(&v, &[0.75, 1.375, -0.0625, 1.96875, -0.015625]), "{v:?}");
        assert_eq!(z, [0.0, 1.0, 0.0, 1.0, 0.0]);
        let (v, z) = run(&Lif { reset: Reset::To(0.5), ..half }, &[0.75, 1.0, 0.25, 2.0, 0.0]);
        assert!(near(&v, &[0.75, 1.375, 0.5, 2.25, 0.25]), "{v:?}");
        assert_eq!(z, [0.0, 1.0, 0.0, 1.0, 0.0]);
    }
}
