use super::{Neuron, Output, Param, Range, Value, filtered};
use crate::Real;
use serde::{Deserialize, Serialize};

/// The leaky integrate-and-fire neuron driven by exponential postsynaptic currents of unit charge, with a resistance, reset to 0 and an optional clamp after a spike.
///
/// ```text
/// i[t] = (1 − θ_s)·i[t−1] + θ_s·x[t],   θ_s = dt/τ_syn            a spike of weight w brings the current w·θ_s, then w·θ_s·(1 − θ_s), …
/// v[t] = (1 − θ)·v[t−1]·(1 − z[t−1]) + R·θ·i[t],   θ = dt/τ       reset to 0, then leak and current; 0 while clamped
/// z[t] = H(v[t] − v_th)
/// ```
/// The membrane is clamped to 0 in the `t_ref/dt` steps after a spike; the current goes on. Leaks are Euler's, as in the published programs; a time constant
/// below `dt` counts as `dt`. The filter stands at the receiver: where all that a population hears has one τ_syn, this is the sender's filtered train (its postsynaptic
/// current) times the weight. Potentials are dimensionless, the threshold is strict. The derivative passes through the reset.
///
/// | parameter | meaning | default |
/// |---|---|---|
/// | `tau` | membrane time constant τ (s) | 0.005 |
/// | `tau_syn` | synaptic time constant τ_syn (s) | 0.003 |
/// | `resistance` | R; `τ/dt` makes the factor of the current 1 | 5 |
/// | `v_th` | threshold | 1 |
/// | `t_ref` | time for which the membrane is clamped after a spike (s), rounded to steps | 0 |
///
/// Source: Zhang & Li 2020, arXiv:2002.10085, released code (`R·θ = 1`; the defaults); Zhang & Li 2019, arXiv:1908.06378, released code (`t_ref` = 2 steps); with R and τ
/// of each neuron Zhang & Li 2020, arXiv:2010.12691.
///
/// ```
/// use snn_core::neuron::{LifPsc, Neuron};
/// let c = LifPsc::default().consts::<f64>(0, 1e-3);
/// let ([i, v, _], u) = LifPsc::step(c, [0.0; 3], 0.0, [3.0]);
/// assert!((i - 1.0).abs() < 1e-12 && (v - 1.0).abs() < 1e-12 && u.abs() < 1e-12); // a third of 3; R·θ = 1
/// let ([_, v, _], _) = LifPsc::step(c, [0.0, 2.0, 0.0], 1.0, [0.0]);
/// assert_eq!(v, 0.0);                                         // reset
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LifPsc {
    /// Membrane time constant (s).
    pub tau: Value,
    /// Synaptic time constant (s).
    pub tau_syn: Value,
    /// Resistance.
    pub resistance: Value,
    /// Threshold.
    pub v_th: Value,
    /// Time for which the membrane is clamped after a spike (s).
    pub t_ref: Value,
}

impl Default for LifPsc {
    fn default() -> Self {
        let shared = Value::Shared;
        LifPsc { tau: shared(0.005), tau_syn: shared(0.003), resistance: shared(5.0), v_th: shared(1.0), t_ref: shared(0.0) }
    }
}

impl Neuron for LifPsc {
    const NAME: &'static str = "lif_psc";
    const OUTPUT: Output = Output::Spike;
    const AFFINE: bool = false;
    /// Current, potential, steps still clamped.
    type State<R: Real> = [R; 3];
    type Inputs<R: Real> = [R; 1];
    type Params<R: Real> = [R; 5];
    type Consts<R: Real> = [R; 6];

    fn params(&self) -> Vec<Param<'_>> {
        vec![
            Param::new("tau", &self.tau, Range::Positive),
            Param::new("tau_syn", &self.tau_syn, Range::Positive),
            Param::new("resistance", &self.resistance, Range::Positive),
            Param::new("v_th", &self.v_th, Range::Positive),
            Param::new("t_ref", &self.t_ref, Range::NonNegative).fixed(),
        ]
    }

    fn derive<R: Real>(&self, [tau, tau_syn, resistance, v_th, t_ref]: [R; 5], dt: f64) -> [R; 6] {
        let one = R::of(1.0);
        let keep = |tau: R| (one - R::of(dt) / tau).max(R::of(0.0));
        let (alpha, keep) = (keep(tau), keep(tau_syn));
        [one - keep, keep, alpha, resistance * (one - alpha), v_th, R::of((t_ref.value() / dt).round())]
    }

    #[inline(always)]
    fn step<R: Real>([syn, keep, alpha, gain, v_th, n_ref]: [R; 6], [i, v, n]: [R; 3], z: R, [x]: [R; 1]) -> ([R; 3], R) {
        let (zero, one) = (R::of(0.0), R::of(1.0));
        let i = keep * i + syn * x;
        let n = if z > zero { n_ref } else { (n - one).max(zero) };
        let v = if n > zero { zero } else { alpha * v * (one - z) + gain * i };
        ([i, v, n], v - v_th)
    }

    fn jump<R: Real>([_, keep, alpha, gain, ..]: [R; 6], [i, v, n]: [R; 3], steps: u32) -> Option<[R; 3]> {
        // Clamped while n > 1, then v = αᵏ·v + gain·Σⱼ αᵏ⁻ʲ·keepʲ·i over the k steps left.
        let clamped = ((n.value().ceil() - 1.0).max(0.0) as u32).min(steps);
        let (free, v) = (steps - clamped, if clamped > 0 { R::of(0.0) } else { v });
        let v = v * alpha.pow(free) + gain * keep * filtered(keep, alpha, free) * i * keep.pow(clamped);
        Some([i * keep.pow(steps), v, (n - R::of(f64::from(steps))).max(R::of(0.0))])
    }

    fn ceiling<R: Real>([syn, keep, _, gain, v_th, _]: [R; 6], [i, v, _]: [R; 3]) -> R {
        // All that is still to come of the current, as if the membrane did not leak.
        let zero = R::of(0.0);
        v.max(zero) + gain * i.max(zero) * keep / syn - v_th
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs one neuron on `input` and returns its potentials and spikes.
    fn run(model: &LifPsc, input: &[f64]) -> (Vec<f64>, Vec<u8>) {
        let c = model.consts::<f64>(0, 1e-3);
        let (mut s, mut z) = ([0.0; 3], 0.0);
        let step = |&x: &f64| {
            let u;
            (s, u) = LifPsc::step(c, s, z, [x]);
            z = f64::from(u > 0.0);
            (s[1], z as u8)
        };
        input.iter().map(step).unzip()
    }

    #[test]
    fn six_steps_by_hand() {
        // θ = ½, θ_s = ½, R·θ = 1. i = 1, ½, ¼ + ½, …; v = 1, then ½ + ½, not above threshold; then ½ + ¾ fires, and 0 + ⅜.
        let half = LifPsc { tau: 0.002.into(), tau_syn: 0.002.into(), resistance: 2.0.into(), ..LifPsc::default() };
        let (v, z) = run(&half, &[2.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
        assert_eq!((v, z), (vec![1.0, 1.0, 1.25, 0.375, 0.375, 0.28125], vec![0, 0, 1, 0, 0, 0]));
        // Clamped for two steps, while the current goes on: 3/32 is what is left of it.
        let (v, z) = run(&LifPsc { t_ref: 0.002.into(), ..half }, &[2.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
        assert_eq!((v, z), (vec![1.0, 1.0, 1.25, 0.0, 0.0, 0.09375], vec![0, 0, 1, 0, 0, 0]));
    }
}
