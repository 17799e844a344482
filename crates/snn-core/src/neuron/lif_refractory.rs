use super::{Neuron, Output, Param, Range, Value, decay};
use crate::Real;
use serde::{Deserialize, Serialize};

/// The leaky integrate-and-fire neuron with delta synapses and an absolute refractory period, during which the membrane is clamped.
///
/// ```text
/// n[t] = n_ref where z[t−1] = 1,  max(n[t−1] − 1, 0) elsewhere           steps still refractory
/// v[t] = v_reset where n[t] > 0,  α·v[t−1] + x[t] elsewhere           input is lost while refractory
/// z[t] = H(v[t] − v_th),   α = exp(−dt/τ),   n_ref = round(t_ref/dt)
/// ```
/// Potentials are relative to rest, in any unit the weights have too (millivolts, usually). The threshold is strict. What `step` does depends on
/// the state, not only on the last spike, so rules that want a gradient refuse this model.
///
/// | parameter | meaning | default |
/// |---|---|---|
/// | `tau` | membrane time constant (s) | 0.02 |
/// | `v_th` | threshold | 20 |
/// | `v_reset` | potential after a spike, below `v_th` | 10 |
/// | `t_ref` | refractory period (s), rounded to steps | 0.002 |
///
/// The defaults are those of Brunel 2000, table 1 (mV). Source: Brunel 2000, section 2.1; NEST's `iaf_psc_delta`.
///
/// ```
/// use snn_core::neuron::{LifRefractory, Neuron};
/// let c = LifRefractory::default().consts::<f64>(0, 1e-3);
/// let (s, _) = LifRefractory::step(c, [21.0, 0.0], 1.0, [100.0]);
/// assert_eq!(s, [10.0, 2.0]);                                 // clamped for two steps of 1 ms; the input is lost
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LifRefractory {
    /// Membrane time constant (s).
    pub tau: Value,
    /// Threshold.
    pub v_th: Value,
    /// Potential after a spike.
    pub v_reset: Value,
    /// Refractory period (s).
    pub t_ref: Value,
}

impl Default for LifRefractory {
    fn default() -> Self {
        let shared = Value::Shared;
        LifRefractory { tau: shared(0.02), v_th: shared(20.0), v_reset: shared(10.0), t_ref: shared(0.002) }
    }
}

impl Neuron for LifRefractory {
    const NAME: &'static str = "lif_refractory";
    const OUTPUT: Output = Output::Spike;
    const AFFINE: bool = false;
    type State<R: Real> = [R; 2];
    type Inputs<R: Real> = [R; 1];
    type Params<R: Real> = [R; 4];
    type Consts<R: Real> = [R; 4];

    fn params(&self) -> Vec<Param<'_>> {
        vec![
            Param::new("tau", &self.tau, Range::Positive),
            Param::new("v_th", &self.v_th, Range::Positive),
            Param::new("v_reset", &self.v_reset, Range::Finite),
            Param::new("t_ref", &self.t_ref, Range::NonNegative).fixed(),
        ]
    }

    fn derive<R: Real>(&self, [tau, v_th, v_reset, t_ref]: [R; 4], dt: f64) -> [R; 4] {
        [decay(dt, tau), v_th, v_reset, R::of((t_ref.value() / dt).round())]
    }

    #[inline(always)]
    fn step<R: Real>([alpha, v_th, v_reset, n_ref]: [R; 4], [v, n]: [R; 2], z: R, [x]: [R; 1]) -> ([R; 2], R) {
        let zero = R::of(0.0);
        let n = if z > zero { n_ref } else { (n - R::of(1.0)).max(zero) };
        let v = if z > zero { v_reset } else { v };
        let v = if n > zero { v } else { alpha * v + x };
        ([v, n], v - v_th)
    }

    fn jump<R: Real>([alpha, ..]: [R; 4], [v, n]: [R; 2], steps: u32) -> Option<[R; 2]> {
        // Clamped while n > 0, that is for n − 1 more steps; then the leak.
        let clamped = ((n.value().ceil() - 1.0).max(0.0) as u32).min(steps);
        Some([v * alpha.pow(steps - clamped), (n - R::of(f64::from(steps))).max(R::of(0.0))])
    }

    fn ceiling<R: Real>([_, v_th, ..]: [R; 4], [v, _]: [R; 2]) -> R {
        v.max(R::of(0.0)) - v_th
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strong_drive_fires_once_per_refractory_period() {
        // dt 0.1 ms, t_ref 2 ms: a spike, 20 clamped steps, and the first free step fires again.
        let c = LifRefractory::default().consts::<f64>(0, 1e-4);
        let (mut s, mut z) = ([0.0, 0.0], 0.0);
        let spikes: Vec<usize> = (0..64)
            .filter(|_| {
                let u;
                (s, u) = LifRefractory::step(c, s, z, [50.0]);
                z = f64::from(u > 0.0);
                u > 0.0
            })
            .collect();
        assert_eq!(spikes, [0, 21, 42, 63]);
    }
}
