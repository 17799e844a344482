use super::{Neuron, Output, Param, Range, Value, decay};
use crate::Real;
use serde::{Deserialize, Serialize};

/// The adaptive neuron of the first LSNN: threshold and voltage are low-pass filters with unit gain, the spike is decided by the voltage of the step
/// before, and the reset subtracts the adapted threshold.
///
/// ```text
/// b[t] = ρ·b[t−1] + (1 − ρ)·z[t−1]
/// B[t] = b₀ + β·b[t]                                        the adapted threshold
/// z[t] = H(u[t]),   u[t] = v[t−1]/B[t] − 1                     the distance to threshold, in units of it
/// v[t] = α·v[t−1] + (1 − α)·x[t] − B[t]·z[t−1],   α = exp(−dt/τ),  ρ = exp(−dt/τ_a)
/// ```
/// Because `u` is normalised, a surrogate of width 1 is as wide as the threshold is high, and the derivative by the voltage is divided by `B`, as in the
/// released code. Everything is differentiated: the reset by `z` and by `B`, and `B` by `b`. `beta = 0` is a LIF neuron with the same conventions;
/// its parameters mean something else than those of [`Alif`](super::Alif), the cell of 2020, because of the gains `1 − α` and `1 − ρ`.
///
/// | parameter | meaning | default |
/// |---|---|---|
/// | `tau` | membrane time constant (s) | 0.02 |
/// | `tau_a` | adaptation time constant (s) | 0.7 |
/// | `v_th` | base threshold b₀ | 0.01 |
/// | `beta` | threshold rise per unit of the filtered own spike train | 1.8 |
///
/// Source: Bellec et al. 2018, section 2, as in the code released with it. The defaults are those of sequential MNIST.
///
/// ```
/// use snn_core::neuron::{Lsnn, Neuron};
/// let c = Lsnn::default().consts::<f64>(0, 1e-3);
/// let ([v, _], u) = Lsnn::step(c, [0.0, 0.0], 0.0, [1.0]);
/// assert!(v > 0.01 && u < 0.0);                               // above threshold, but that counts in the next step
/// assert!(Lsnn::step(c, [v, 0.0], 0.0, [0.0]).1 > 0.0);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lsnn {
    /// Membrane time constant (s).
    pub tau: Value,
    /// Adaptation time constant (s).
    pub tau_a: Value,
    /// Base threshold.
    pub v_th: Value,
    /// Threshold rise per unit of the filtered own spike train.
    pub beta: Value,
}

impl Default for Lsnn {
    fn default() -> Self {
        let shared = Value::Shared;
        Lsnn { tau: shared(0.02), tau_a: shared(0.7), v_th: shared(0.01), beta: shared(1.8) }
    }
}

impl Neuron for Lsnn {
    const NAME: &'static str = "lsnn";
    const OUTPUT: Output = Output::Spike;
    const AFFINE: bool = false;
    type State<R: Real> = [R; 2];
    type Inputs<R: Real> = [R; 1];
    type Params<R: Real> = [R; 4];
    type Consts<R: Real> = [R; 6];

    fn params(&self) -> Vec<Param<'_>> {
        vec![
            Param::new("tau", &self.tau, Range::Positive),
            Param::new("tau_a", &self.tau_a, Range::Positive),
            Param::new("v_th", &self.v_th, Range::Positive),
            Param::new("beta", &self.beta, Range::NonNegative),
        ]
    }

    fn derive<R: Real>(&self, [tau, tau_a, v_th, beta]: [R; 4], dt: f64) -> [R; 6] {
        let (alpha, rho, one) = (decay(dt, tau), decay(dt, tau_a), R::of(1.0));
        [alpha, one - alpha, rho, one - rho, v_th, beta]
    }

    #[inline(always)]
    fn step<R: Real>([alpha, gain, rho, gain_a, v_th, beta]: [R; 6], [v, b]: [R; 2], z: R, [x]: [R; 1]) -> ([R; 2], R) {
        let b = rho * b + gain_a * z;
        let threshold = v_th + beta * b;
        let u = v / threshold - R::of(1.0);
        ([alpha * v + gain * x - threshold * z, b], u)
    }

    fn jump<R: Real>([alpha, _, rho, ..]: [R; 6], [v, b]: [R; 2], n: u32) -> Option<[R; 2]> {
        Some([v * alpha.pow(n), b * rho.pow(n)])
    }

    fn ceiling<R: Real>([_, _, _, _, v_th, _]: [R; 6], [v, _]: [R; 2]) -> R {
        v.max(R::of(0.0)) / v_th - R::of(1.0) // the adaptation is never negative
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps at which a neuron under constant current, refractory for 5 steps, fires, and its adaptation over time.
    fn fires(model: &Lsnn, current: f64, steps: usize) -> (Vec<usize>, Vec<f64>) {
        let c = model.consts::<f64>(0, 1e-3);
        let (mut s, mut z, mut spikes, mut trace) = ([0.0; 2], 0.0, Vec::new(), Vec::new());
        for t in 0..steps {
            let u;
            (s, u) = Lsnn::step(c, s, z, [current]);
            let free = spikes.last().is_none_or(|last| t > last + 5);
            z = f64::from(u > 0.0 && free);
            trace.push(s[1]);
            if z > 0.0 {
                spikes.push(t);
            }
        }
        (spikes, trace)
    }

    #[test]
    fn intervals_lengthen_and_the_adaptation_settles_at_the_rate() {
        let (spikes, b) = fires(&Lsnn::default(), 0.05, 20_000);
        let first: Vec<usize> = spikes.windows(2).map(|w| w[1] - w[0]).take(8).collect();
        assert!(first.windows(2).all(|w| w[0] <= w[1]) && first[7] > 2 * first[0], "{first:?}");
        let late = 10_000..20_000usize;
        let rate = spikes.iter().filter(|t| late.contains(*t)).count() as f64 / 10_000.0;
        let mean = b[late].iter().sum::<f64>() / 10_000.0;
        assert!((mean - rate).abs() < 0.02 * rate, "mean b {mean}, spikes per step {rate}");
    }

    #[test]
    fn without_beta_the_adaptation_changes_nothing() {
        let plain = Lsnn { beta: 0.0.into(), ..Lsnn::default() };
        let slow = Lsnn { tau_a: 5.0.into(), ..plain.clone() };
        assert_eq!(fires(&plain, 0.03, 500).0, fires(&slow, 0.03, 500).0);
    }
}
