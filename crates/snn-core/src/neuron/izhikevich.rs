use super::{Neuron, Output, Param, Range, Value};
use crate::Real;
use serde::{Deserialize, Serialize};

/// Izhikevich's simple model: a quadratic membrane and a slow recovery. Four numbers decide whether it adapts, bursts, fires fast or resonates.
///
/// ```text
/// dv/dt = 0.04·v² + 5·v + 140 − r + x,   dr/dt = a·(b·v − r)              in mV and ms, as published
/// a spike where v > 30 mV; then v = c, r += d
/// ```
/// Here all is in SI: `v` in V, the recovery `r` (published as u) and the input `x` in V/s, which is the same number as in mV/ms; `a` and `b` in 1/s, a
/// thousand times the published ones. An input lasts for its step. A step of any `dt` is the published script's for 1 ms: reset, then `v` by two Euler steps of
/// `dt/2` with the old `r`, then `r` by one of `dt` with the new `v`. A shorter step is so a more accurate one, not the same one.
///
/// The state is the distance of `v` and `r` from rest, where `v` is the lower root of `0.04·v² + (5 − b)·v + 140` and `r = b·v`. A spike that is held back (a
/// refractory period) leaves the membrane at 30 mV. In derivatives the jump of `v` at a spike counts nothing. No closed form over silence: the
/// event-driven engine refuses the model.
///
/// | parameter | meaning | default |
/// |---|---|---|
/// | `a` | rate of the recovery (1/s) | 20 |
/// | `b` | what the recovery follows of `v` (1/s), at most 267: above it nothing is at rest | 200 |
/// | `c` | potential after a spike (V), below 0.03 | −0.065 |
/// | `d` | recovery added by a spike (V/s) | 8 |
///
/// The default is [`RS`](Self::RS). Source: Izhikevich 2003, IEEE Transactions on Neural Networks 14(6), eqs. 1–3 and figure 2.
///
/// ```
/// use snn_core::neuron::{Izhikevich, Neuron};
/// let c = Izhikevich::FS.consts::<f64>(0, 1e-3);
/// let (mut s, mut z, mut spikes) = ([0.0; 2], 0.0, 0);
/// for _ in 0..1000 {
///     let u;
///     (s, u) = Izhikevich::step(c, s, z, [10.0]);
///     z = f64::from(u > 0.0);
///     spikes += usize::from(u > 0.0);
/// }
/// assert!(spikes > 60, "{spikes}");                           // fast spiking: more than 60 a second
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Izhikevich {
    /// Rate of the recovery (1/s).
    pub a: Value,
    /// What the recovery follows of the potential (1/s).
    pub b: Value,
    /// Potential after a spike (V).
    pub c: Value,
    /// Recovery added by a spike (V/s).
    pub d: Value,
}

/// 0.04 /(mV·ms), 5 /ms and 140 mV/ms of the membrane, and the 30 mV of its peak.
const SQUARE: f64 = 4e4;
const LINEAR: f64 = 5e3;
const CONSTANT: f64 = 140.0;
const PEAK: f64 = 0.03;

impl Izhikevich {
    /// Regular spiking: excitatory, fires at once and then adapts.
    pub const RS: Self = Self::published(0.02, 0.2, -65.0, 8.0);
    /// Intrinsically bursting: a burst first, single spikes after it.
    pub const IB: Self = Self::published(0.02, 0.2, -55.0, 4.0);
    /// Chattering: bursts again and again.
    pub const CH: Self = Self::published(0.02, 0.2, -50.0, 2.0);
    /// Fast spiking: inhibitory, without adaptation.
    pub const FS: Self = Self::published(0.1, 0.2, -65.0, 2.0);
    /// Low-threshold spiking: inhibitory, adapts.
    pub const LTS: Self = Self::published(0.02, 0.25, -65.0, 2.0);
    /// Resonator: its rest is a damped oscillation.
    pub const RZ: Self = Self::published(0.1, 0.26, -65.0, 2.0);

    /// From the published units: per ms, mV, mV/ms.
    const fn published(a: f64, b: f64, c: f64, d: f64) -> Self {
        let shared = Value::Shared;
        Izhikevich { a: shared(1e3 * a), b: shared(1e3 * b), c: shared(1e-3 * c), d: shared(d) }
    }

    /// The potential at rest (V) for this `b`; no number where there is none.
    fn rest(b: f64) -> f64 {
        let slope = LINEAR - b;
        (-slope - (slope * slope - 4.0 * SQUARE * CONSTANT).sqrt()) / (2.0 * SQUARE)
    }
}

impl Default for Izhikevich {
    fn default() -> Self {
        Self::RS
    }
}

impl Neuron for Izhikevich {
    const NAME: &'static str = "izhikevich";
    const OUTPUT: Output = Output::Spike;
    const AFFINE: bool = false;
    type State<R: Real> = [R; 2];
    type Inputs<R: Real> = [R; 1];
    type Params<R: Real> = [R; 4];
    type Consts<R: Real> = [R; 8];

    fn params(&self) -> Vec<Param<'_>> {
        vec![
            Param::new("a", &self.a, Range::Positive),
            Param::new("b", &self.b, Range::NonNegative).fixed(),
            Param::new("c", &self.c, Range::Finite).fixed(),
            Param::new("d", &self.d, Range::Finite),
        ]
    }

    fn check(&self) -> Result<(), String> {
        let limit = LINEAR - (4.0 * SQUARE * CONSTANT).sqrt();
        if let Some((j, b)) = self.b.given().iter().enumerate().find(|(_, b)| **b > limit) {
            return Err(format!("`b` = {b} (neuron {j}): must be at most {limit:.1}, above it there is no resting potential"));
        }
        match self.c.given().iter().enumerate().find(|(_, c)| **c >= PEAK) {
            Some((j, c)) => Err(format!("`c` = {c} (neuron {j}): must be below the peak of {PEAK} V")),
            None => Ok(()),
        }
    }

    fn derive<R: Real>(&self, [a, b, c, d]: [R; 4], dt: f64) -> [R; 8] {
        let (rest, h) = (Self::rest(b.value()), dt / 2.0);
        let slope = LINEAR + 2.0 * SQUARE * rest;
        [R::of(SQUARE * h), R::of(slope * h), R::of(h), a * R::of(dt), b, c - R::of(rest), d, R::of(PEAK - rest)]
    }

    #[inline(always)]
    fn step<R: Real>([square, slope, h, rate, b, reset, d, peak]: [R; 8], [v, r]: [R; 2], z: R, [x]: [R; 1]) -> ([R; 2], R) {
        let v = if v > peak { peak } else { v };
        let (v, r) = (if z > R::of(0.0) { reset } else { v }, r + d * z);
        let half = |v: R| v + (square * v + slope) * v + h * (x - r);
        let v = half(half(v));
        ([v, r + rate * (b * v - r)], v - peak)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Izhikevich; 6] = [Izhikevich::RS, Izhikevich::IB, Izhikevich::CH, Izhikevich::FS, Izhikevich::LTS, Izhikevich::RZ];

    /// The times of the spikes (ms), and `v` and `r` (mV, mV/ms) after each of `steps` steps of `dt` seconds under this input.
    fn run(model: &Izhikevich, dt: f64, steps: usize, input: impl Fn(usize) -> f64) -> (Vec<f64>, Vec<[f64; 2]>) {
        let (c, rest) = (model.consts::<f64>(0, dt), Izhikevich::rest(model.b.at(0)));
        let (mut s, mut z, mut spikes, mut states) = ([0.0; 2], 0.0, Vec::new(), Vec::new());
        for t in 0..steps {
            let u;
            (s, u) = Izhikevich::step(c, s, z, [input(t)]);
            z = f64::from(u > 0.0);
            spikes.extend((u > 0.0).then_some(1e3 * dt * t as f64));
            states.push([1e3 * (s[0] + rest), s[1] + model.b.at(0) * rest]);
        }
        (spikes, states)
    }

    /// The published script, in mV and ms: every step from where the model stood, as spikes magnify what rounding leaves.
    #[test]
    fn steps_of_a_millisecond_are_those_of_the_script() {
        let input = |t: usize| 8.0 + 6.0 * (t as f64 / 7.0).sin();
        for model in ALL {
            let [a, b, c, d] = [1e-3 * model.a.at(0), 1e-3 * model.b.at(0), 1e3 * model.c.at(0), model.d.at(0)];
            let (spikes, states) = run(&model, 1e-3, 500, input);
            for (t, pair) in states.windows(2).enumerate() {
                let ([mut v, mut u], i) = (pair[0], input(t + 1));
                if v >= 30.0 {
                    (v, u) = (c, u + d);
                }
                v += 0.5 * (0.04 * v * v + 5.0 * v + 140.0 - u + i);
                v += 0.5 * (0.04 * v * v + 5.0 * v + 140.0 - u + i);
                u += a * (b * v - u);
                let near = |x: f64, y: f64| (x - y).abs() < 1e-9 * (1.0 + y.abs());
                assert!(near(pair[1][0], v) && near(pair[1][1], u), "{model:?} at {t}: {:?}, {v} {u}", pair[1]);
            }
            assert!(spikes.len() > 5, "{model:?}: {spikes:?}");
        }
    }

    #[test]
    fn rest_is_a_fixed_point_that_draws() {
        for model in ALL {
            let (b, rest) = (1e-3 * model.b.at(0), 1e3 * Izhikevich::rest(model.b.at(0)));
            assert!((0.04 * rest * rest + (5.0 - b) * rest + 140.0).abs() < 1e-9 && (-75.0..-60.0).contains(&rest), "{model:?}: {rest} mV");
            let (spikes, states) = run(&model, 1e-3, 2000, |t| if t == 0 { 2.0 } else { 0.0 });
            assert!(spikes.is_empty() && states[0][0] - rest > 1.5, "{model:?}: {:?}", states[0]);
            assert!((states[1999][0] - rest).abs() < 1e-6, "{model:?}: {:?}", states[1999]);
        }
    }

    /// In steps of 0.1 ms: those of 1 ms make intervals uneven, as in the published script.
    #[test]
    fn firing_patterns_are_those_of_the_figure() {
        let intervals = |model| run(&model, 1e-4, 10_000, |_| 10.0).0.windows(2).map(|w| w[1] - w[0]).collect::<Vec<f64>>();
        let [rs, ib, ch, fs, lts, _] = ALL.map(intervals);
        let late = |list: &[f64], fits: &dyn Fn(f64) -> bool| list[list.len() / 2..].iter().all(|gap| fits(*gap));
        // Regular and low-threshold spiking adapt: their intervals lengthen, and then stay. Fast spiking is faster.
        assert!(late(&rs, &|gap| gap > 2.0 * rs[0] && (gap - rs[rs.len() - 1]).abs() < 1.0), "{rs:?}");
        assert!(late(&lts, &|gap| gap > 3.0 * lts[0] && (gap - lts[lts.len() - 1]).abs() < 1.0), "{lts:?}");
        assert!(fs.len() > 4 * rs.len() && late(&fs, &|gap| gap < 10.0), "{fs:?}");
        // A burst, then single spikes; or bursts to the end.
        assert!(ib[0] < 5.0 && late(&ib, &|gap| gap > 25.0), "{ib:?}");
        let short = ch.iter().filter(|gap| **gap < 8.0).count();
        assert!(
            late(&ch, &|gap| !(8.0..30.0).contains(&gap)) && (ch.len() / 2..ch.len()).contains(&short) && short + 10 < ch.len(),
            "{ch:?}"
        );
    }

    #[test]
    fn a_spike_held_back_waits_at_the_peak() {
        let c = Izhikevich::RS.consts::<f32>(0, 1e-3);
        let mut s = [0.0f32; 2];
        for _ in 0..200 {
            s = Izhikevich::step(c, s, 0.0, [50.0]).0;
            assert!(s[0] < 2.0 && s[1].is_finite(), "{s:?}");
        }
    }

    #[test]
    fn parameters_without_rest_are_named() {
        let odd = Izhikevich { b: vec![200.0, 268.0].into(), ..Izhikevich::RS };
        assert!(odd.check().unwrap_err().contains("`b` = 268 (neuron 1)"));
        let odd = Izhikevich { c: 0.04.into(), ..Izhikevich::RS };
        assert!(odd.check().unwrap_err().contains("`c` = 0.04"));
    }
}
