use super::{Neuron, Output, Param, Range, Value, decay};
use crate::Real;
use serde::{Deserialize, Serialize};

/// The leaky integrate-and-fire neuron with conductances: synapses that pull the membrane to a reversal potential, one for excitation and one for inhibition.
///
/// ```text
/// C·dv/dt = g_leak·(E_leak − v) + g_exc·(E_exc − v) + g_inh·(E_inh − v)
/// τ_exc·dg_exc/dt = −g_exc,  g_exc += w by an event of weight w > 0        (g_inh, τ_inh: weights w < 0, by |w|)
/// a spike where v > v_th; then v = v_reset for t_ref                       conductances go on
/// ```
/// A weight is a conductance (S); potentials are in V. The sign of a weight chooses the synapse ([`Neuron::APART`]). Within a step the conductances count
/// with their mean over the step, so that the charge of an event does not depend on the step, and the membrane goes its exponential way for constant
/// conductances (exponential Euler), `exp(x)` being its series to `x⁴/24`: to 3e-7 where a step is an eighth of the effective time constant. Thresholds are
/// looked at once a step: a step should be well below `C/Σg`.
///
/// **Renewing synapses** (`tau_rec > 0`): what an event of this neuron is worth falls to 0 with the event and recovers, `1 − exp(−T/tau_rec)` after a
/// pause of `T`. Where `tau_rec` is the time constant of those who hear it, a conductance is so reset to `w` instead of raised by `w`: depressing synapses with
/// utilisation 1. The same trace of the last spike, `r`, measures the refractory period: it has not ended while `r > exp(−(t_ref + dt/2)/tau_rec)`.
///
/// The state is `v − E_leak`, `g_exc`, `g_inh` and `r`. There is no closed form over silence, so the event-driven engine refuses the model, and rules refuse it.
///
/// | parameter | meaning | default |
/// |---|---|---|
/// | `c_m` | capacitance (F) | 0.2e-9 |
/// | `g_leak` | leak conductance (S) | 0.2e-6 |
/// | `e_leak` | leak potential (V) | −0.055 |
/// | `e_exc`, `e_inh` | reversal potentials (V) | 0, −0.1 |
/// | `tau_exc`, `tau_inh` | synaptic time constants (s) | 0.01 |
/// | `v_th` | threshold (V) | −0.05 |
/// | `v_reset` | potential after a spike (V), below `v_th` | −0.050001 |
/// | `t_ref` | refractory period (s), rounded to steps | 0.01 |
/// | `tau_rec` | recovery of what it sends (s), not below `t_ref/20`; 0: events add up | 0 |
///
/// The defaults are those of sampling with spikes but for the leak potential, which is calibrated there. Source: Petrovici et al. 2016
/// (arXiv 1311.3211), eqs. 1–3; Tsodyks & Markram 1997 for the depression.
///
/// ```
/// use snn_core::neuron::{LifCond, Neuron};
/// let cell = LifCond::default();
/// let c = cell.consts::<f64>(0, 1e-4);
/// let (s, _) = LifCond::step(c, [0.0; 4], 0.0, [1e-8, 0.0]);  // an excitatory event of 10 nS
/// let (i, _) = LifCond::step(c, [0.0; 4], 0.0, [0.0, -1e-8]); // an inhibitory one
/// assert!(s[0] > 2e-4 && i[0] < -1.5e-4);                     // 55 mV to the one reversal potential, 45 mV to the other
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LifCond {
    /// Capacitance (F).
    pub c_m: Value,
    /// Leak conductance (S).
    pub g_leak: Value,
    /// Leak potential (V).
    pub e_leak: Value,
    /// Reversal potential of excitation (V).
    pub e_exc: Value,
    /// Reversal potential of inhibition (V).
    pub e_inh: Value,
    /// Time constant of excitation (s).
    pub tau_exc: Value,
    /// Time constant of inhibition (s).
    pub tau_inh: Value,
    /// Threshold (V).
    pub v_th: Value,
    /// Potential after a spike (V).
    pub v_reset: Value,
    /// Refractory period (s).
    pub t_ref: Value,
    /// Recovery of what it sends (s).
    pub tau_rec: Value,
}

impl Default for LifCond {
    fn default() -> Self {
        let shared = Value::Shared;
        LifCond {
            c_m: shared(0.2e-9),
            g_leak: shared(0.2e-6),
            e_leak: shared(-0.055),
            e_exc: shared(0.0),
            e_inh: shared(-0.1),
            tau_exc: shared(0.01),
            tau_inh: shared(0.01),
            v_th: shared(-0.05),
            v_reset: shared(-0.050_001),
            t_ref: shared(0.01),
            tau_rec: shared(0.0),
        }
    }
}

impl Neuron for LifCond {
    const NAME: &'static str = "lif_cond";
    const OUTPUT: Output = Output::Weighted;
    const AFFINE: bool = false;
    const APART: bool = true;
    const PORTS: &'static [&'static str] = &["excitation", "inhibition"];
    type State<R: Real> = [R; 4];
    type Inputs<R: Real> = [R; 2];
    type Params<R: Real> = [R; 11];
    type Consts<R: Real> = [R; 12];

    fn params(&self) -> Vec<Param<'_>> {
        vec![
            Param::new("c_m", &self.c_m, Range::Positive),
            Param::new("g_leak", &self.g_leak, Range::Positive),
            Param::new("e_leak", &self.e_leak, Range::Finite),
            Param::new("e_exc", &self.e_exc, Range::Finite),
            Param::new("e_inh", &self.e_inh, Range::Finite),
            Param::new("tau_exc", &self.tau_exc, Range::Positive),
            Param::new("tau_inh", &self.tau_inh, Range::Positive),
            Param::new("v_th", &self.v_th, Range::Finite).fixed(),
            Param::new("v_reset", &self.v_reset, Range::Finite).fixed(),
            Param::new("t_ref", &self.t_ref, Range::NonNegative).fixed(),
            Param::new("tau_rec", &self.tau_rec, Range::NonNegative).fixed(),
        ]
    }

    fn check(&self) -> Result<(), String> {
        let count = |values: &[&Value]| values.iter().map(|v| v.given().len()).max().unwrap_or(1);
        for j in 0..count(&[&self.v_reset, &self.v_th]) {
            if self.v_reset.at(j) >= self.v_th.at(j) {
                return Err(format!("`v_reset` = {} (neuron {j}): must be below `v_th` = {}", self.v_reset.at(j), self.v_th.at(j)));
            }
        }
        for j in 0..count(&[&self.tau_rec, &self.t_ref]) {
            let (tau, period) = (self.tau_rec.at(j), self.t_ref.at(j));
            if tau > 0.0 && tau < period / 20.0 {
                return Err(format!("`tau_rec` = {tau} (neuron {j}): must be 0, or at least a twentieth of `t_ref` = {period}"));
            }
        }
        Ok(())
    }

    fn derive<R: Real>(&self, p: [R; 11], dt: f64) -> [R; 12] {
        let [c_m, g_leak, e_leak, e_exc, e_inh, tau_exc, tau_inh, v_th, v_reset, t_ref, tau_rec] = p;
        // The mean of exp(−t/τ) over a step, times dt/C.
        let mean = |tau: R| (R::of(1.0) - decay(dt, tau)) * tau / c_m;
        let (renews, period) = (tau_rec.value() > 0.0, (t_ref.value() / dt).round() * dt);
        let tau = if renews { tau_rec } else { R::of(period.max(dt)) };
        [
            decay(dt, tau_exc),
            decay(dt, tau_inh),
            mean(tau_exc),
            mean(tau_inh),
            g_leak * R::of(dt) / c_m,
            e_exc - e_leak,
            e_inh - e_leak,
            v_th - e_leak,
            v_reset - e_leak,
            decay(dt, tau),
            decay(period + 0.5 * dt, tau),
            R::of(f64::from(renews)),
        ]
    }

    #[inline(always)]
    fn step<R: Real>(c: [R; 12], [v, g_exc, g_inh, r]: [R; 4], z: R, [exc, inh]: [R; 2]) -> ([R; 4], R) {
        let [d_exc, d_inh, mean_exc, mean_inh, leak, e_exc, e_inh, v_th, v_reset, d_r, held, _] = c;
        let (g_exc, g_inh, one) = (g_exc + exc, g_inh - inh, R::of(1.0));
        let r = d_r * if z > R::of(0.0) { one } else { r };
        let (exc, inh) = (mean_exc * g_exc, mean_inh * g_inh);
        let total = leak + exc + inh; // dt·Σg/C
        let towards = (exc * e_exc + inh * e_inh) / total;
        let [half, sixth, last] = [1.0 / 2.0, 1.0 / 6.0, 1.0 / 24.0].map(R::of);
        let left = one / (one + total * (one + total * (half + total * (sixth + total * last))));
        let v = if r > held { v_reset } else { towards + (v - towards) * left };
        ([v, d_exc * g_exc, d_inh * g_inh, r], v - v_th)
    }

    #[inline(always)]
    fn worth<R: Real>([.., renews]: [R; 12], [.., r]: [R; 4]) -> R {
        R::of(1.0) - renews * r
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Potential and spikes of one neuron over `steps`, with these conductances to begin with.
    fn run(cell: &LifCond, dt: f64, steps: usize, g_exc: f64, g_inh: f64) -> (Vec<f64>, Vec<usize>) {
        let c = cell.consts::<f64>(0, dt);
        let (mut s, mut z, mut spikes) = ([0.0, g_exc, g_inh, 0.0], 0.0, Vec::new());
        let trace = (0..steps).map(|t| {
            let u;
            (s, u) = LifCond::step(c, s, z, [0.0; 2]);
            z = f64::from(u > 0.0);
            spikes.extend((u > 0.0).then_some(t));
            s[0]
        });
        (trace.collect(), spikes)
    }

    #[test]
    fn follows_the_differential_equation() {
        // Runge-Kutta, fourth order, at a hundredth of the step.
        let (e_leak, dt) = (-0.055, 1e-4);
        let cell = LifCond { v_th: 1.0.into(), v_reset: 0.9.into(), ..LifCond::default() };
        for (g_exc, g_inh) in [(1e-7, 0.0), (0.0, 1e-7), (5e-8, 8e-8)] {
            let (trace, _) = run(&cell, dt, 300, g_exc, g_inh);
            let slope = |t: f64, v: f64| {
                let left = (-t / 0.01f64).exp();
                (0.2e-6 * (e_leak - v) + g_exc * left * (0.0 - v) + g_inh * left * (-0.1 - v)) / 0.2e-9
            };
            let (mut v, h) = (e_leak, dt / 100.0);
            for (k, ours) in trace.iter().enumerate() {
                for i in 0..100 {
                    let t = k as f64 * dt + f64::from(i) * h;
                    let a = slope(t, v);
                    let b = slope(t + h / 2.0, v + h / 2.0 * a);
                    let c = slope(t + h / 2.0, v + h / 2.0 * b);
                    let d = slope(t + h, v + h * c);
                    v += h / 6.0 * (a + 2.0 * b + 2.0 * c + d);
                }
                assert!((ours - (v - e_leak)).abs() < 1e-5, "step {k}: {ours} {}", v - e_leak);
            }
        }
    }

    #[test]
    fn a_strong_drive_fires_once_per_refractory_period_whatever_measures_it() {
        for (dt, tau_rec) in [(1e-4f64, 0.0), (1e-4, 0.01), (1e-4, 0.03), (1e-5, 0.01), (1e-4, 5e-4)] {
            let cell = LifCond { e_leak: 0.0.into(), tau_rec: tau_rec.into(), ..LifCond::default() };
            let period = (0.01 / dt).round() as usize;
            let single = {
                let c = cell.consts::<f32>(0, dt);
                let (mut s, mut z, mut spikes) = ([0.0f32; 4], 0.0f32, Vec::new());
                for t in 0..4 * period {
                    let u;
                    (s, u) = LifCond::step(c, s, z, [0.0; 2]);
                    z = f32::from(u8::from(u > 0.0));
                    spikes.extend((u > 0.0).then_some(t));
                }
                spikes
            };
            assert_eq!(single, [0, 1, 2, 3].map(|k| k * (period + 1)), "dt {dt}, tau_rec {tau_rec}");
            assert_eq!(run(&cell, dt, 4 * period, 0.0, 0.0).1, single);
        }
    }

    #[test]
    fn events_renew_what_is_left_of_the_last() {
        let (tau, dt) = (0.01, 1e-4);
        let cell = LifCond { tau_rec: tau.into(), ..LifCond::default() };
        let c = cell.consts::<f64>(0, dt);
        // The sum of what a listener has left of the first event and what it gets of the second is one event.
        for pause in [101u32, 150, 400] {
            let (mut s, mut z) = ([0.0; 4], 1.0);
            for _ in 0..pause {
                s = LifCond::step(c, s, z, [0.0; 2]).0;
                z = 0.0;
            }
            let left = (-f64::from(pause) * dt / tau).exp();
            assert!((LifCond::worth(c, s) + left - 1.0).abs() < 1e-12);
        }
        assert_eq!(LifCond::worth(c, [0.0; 4]), 1.0);
        assert_eq!(LifCond::worth(LifCond::default().consts::<f64>(0, dt), [0.0, 0.0, 0.0, 0.5]), 1.0);
    }

    #[test]
    fn impossible_neurons_are_named() {
        let odd = |cell: LifCond| crate::neuron::Model::from(cell).check(2).unwrap_err();
        assert!(odd(LifCond { v_reset: (-0.05).into(), ..LifCond::default() }).contains("`v_reset`"));
        assert!(odd(LifCond { tau_rec: 1e-4.into(), ..LifCond::default() }).contains("`tau_rec` = 0.0001 (neuron 0)"));
        assert!(odd(LifCond { v_th: vec![-0.05, -0.06].into(), ..LifCond::default() }).contains("neuron 1"));
        assert!(
            odd(LifCond { v_th: vec![-0.05, -0.06].into(), v_reset: vec![-0.06].into(), ..LifCond::default() }).contains("values for 2")
        );
    }
}
