use super::{Neuron, Output, Param, Range, Value, decay};
use crate::Real;
use serde::{Deserialize, Serialize};

/// The adaptive leaky integrate-and-fire neuron: every spike raises the threshold for a while.
///
/// ```text
/// a[t] = ρ·a[t−1] + z[t−1]
/// v[t] = α·v[t−1] + x[t] − v_th·z[t−1]
/// z[t] = H(v[t] − v_th − β·a[t]),   α = exp(−dt/τ),  ρ = exp(−dt/τ_a)
/// ```
/// The reset subtracts the base threshold. The own spike is differentiated through the adaptation, not through the reset
/// unless `reset_grad` says so. `beta = 0` is a LIF neuron.
///
/// | parameter | meaning | default |
/// |---|---|---|
/// | `tau` | membrane time constant (s) | 0.02 |
/// | `tau_a` | adaptation time constant (s) | 0.2 |
/// | `v_th` | base threshold | 1 |
/// | `beta` | threshold rise per spike | 0.1 |
/// | `reset_grad` | share of the derivative that passes through the reset | 0 |
///
/// Source: Bellec et al. 2020, eqs. 6–8 (the 2020 cell).
///
/// ```
/// use snn_core::neuron::{Alif, Neuron};
/// let c = Alif::default().consts::<f64>(0, 1e-3);
/// let ([_, a], _) = Alif::step(c, [1.2, 0.0], 1.0, [0.0]);
/// assert_eq!(a, 1.0);                                         // one spike: the threshold is now 1 + β
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alif {
    /// Membrane time constant (s).
    pub tau: Value,
    /// Adaptation time constant (s).
    pub tau_a: Value,
    /// Base threshold.
    pub v_th: Value,
    /// Threshold rise per spike.
    pub beta: Value,
    /// Share (0…1) of the derivative that passes through the reset.
    pub reset_grad: Value,
}

impl Default for Alif {
    fn default() -> Self {
        let shared = Value::Shared;
        Alif { tau: shared(0.02), tau_a: shared(0.2), v_th: shared(1.0), beta: shared(0.1), reset_grad: shared(0.0) }
    }
}

impl Neuron for Alif {
    const NAME: &'static str = "alif";
    const OUTPUT: Output = Output::Spike;
    type State<R: Real> = [R; 2];
    type Inputs<R: Real> = [R; 1];
    type Params<R: Real> = [R; 5];
    type Consts<R: Real> = [R; 5];

    fn params(&self) -> Vec<Param<'_>> {
        vec![
            Param::new("tau", &self.tau, Range::Positive),
            Param::new("tau_a", &self.tau_a, Range::Positive),
            Param::new("v_th", &self.v_th, Range::Positive),
            Param::new("beta", &self.beta, Range::NonNegative),
            Param::new("reset_grad", &self.reset_grad, Range::Unit).fixed(),
        ]
    }

    fn derive<R: Real>(&self, [tau, tau_a, v_th, beta, grad]: [R; 5], dt: f64) -> [R; 5] {
        [decay(dt, tau), decay(dt, tau_a), v_th, beta, grad]
    }

    #[inline(always)]
    fn step<R: Real>([alpha, rho, v_th, beta, grad]: [R; 5], [v, a]: [R; 2], z: R, [x]: [R; 1]) -> ([R; 2], R) {
        let a = rho * a + z;
        let v = alpha * v + x - v_th * z.damp(grad);
        ([v, a], v - v_th - beta * a)
    }

    fn jump<R: Real>([alpha, rho, ..]: [R; 5], [v, a]: [R; 2], n: u32) -> Option<[R; 2]> {
        Some([v * alpha.pow(n), a * rho.pow(n)])
    }

    fn ceiling<R: Real>([_, _, v_th, ..]: [R; 5], [v, _]: [R; 2]) -> R {
        v.max(R::of(0.0)) - v_th // the adaptation is never negative
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neuron::{Lif, jacobian};

    #[test]
    fn without_adaptation_it_is_lif() {
        let (alif, lif) = (Alif { beta: 0.0.into(), ..Alif::default() }, Lif::default());
        let (ca, cl) = (alif.consts::<f64>(0, 1e-3), lif.consts::<f64>(0, 1e-3));
        let (mut sa, mut sl, mut z) = ([0.0; 2], [0.0; 1], 0.0);
        for t in 0..200 {
            let x = f64::from(t % 7) * 0.03;
            let (ua, ul);
            (sa, ua) = Alif::step(ca, sa, z, [x]);
            (sl, ul) = Lif::step(cl, sl, z, [x]);
            assert_eq!(ua, ul);
            z = f64::from(ul > 0.0);
        }
    }

    #[test]
    fn the_reset_is_detached_and_the_adaptation_is_not() {
        let jac = jacobian::<Alif>(Alif::default().consts(0, 1e-3), &[0.3, 0.2], 1.0, [0.0]);
        assert_eq!((jac.s_z[0], jac.s_z[1], jac.u_z), (0.0, 1.0, -0.1));
    }
}
