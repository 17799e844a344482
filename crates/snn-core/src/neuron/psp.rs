use super::{Neuron, Output, Param, Range, Value, decay};
use crate::Real;
use serde::{Deserialize, Serialize};

/// A spike-response neuron without after-potential: its potential is the sum of its postsynaptic potentials, there is no reset, and a threshold steers it to
/// a target rate.
///
/// ```text
/// r[t] = ρ·r[t−1] + x[t],   f[t] = φ·f[t−1] + x[t],   ρ = exp(−dt/τ_r),  φ = exp(−dt/τ_f)
/// b[t] = b[t−1] + η·z[t−1] − η·target·dt                          the threshold of homeostasis
/// u[t] = gain·τ_f/(τ_f − τ_r)·(f[t] − r[t]) − v_th − b[t]
/// ```
/// A spike of weight `w` is a potential that rises over τ_r and falls over τ_f, of area `gain·τ_f·w` (with [`Psp::of_height_one`] of height
/// `w`); it begins at 0 in the step in which it arrives. Meant for
/// populations with escape noise ([`Escape`](crate::net::Escape)), of which it makes exponential Poisson neurons: at threshold, `rate`.
/// Where `target` is 0 the threshold only ever rises.
///
/// | parameter | meaning | default |
/// |---|---|---|
/// | `tau_rise` | time constant of the rise τ_r (s), below `tau_fall` | 0.002 |
/// | `tau_fall` | time constant of the fall τ_f (s) | 0.02 |
/// | `v_th` | threshold | 3 |
/// | `target` | rate that the threshold steers to (spikes per second) | 0 |
/// | `speed` | rise η of the threshold per spike; 0: the threshold stays | 0.1 |
/// | `gain` | factor on all potentials | 1 |
///
/// Source: Kappel et al. 2018, methods; the neuron of the code released with it (SPORE, `poisson_dbl_exp_neuron`), of which the defaults
/// are, but for a target of 5 Hz.
///
/// ```
/// use snn_core::neuron::{Neuron, Psp};
/// let c = Psp { v_th: 0.5.into(), ..Psp::default() }.consts::<f64>(0, 1e-3);
/// let (s, u) = Psp::step(c, [0.0; 3], 0.0, [1.0]);
/// assert_eq!(u, -0.5);                                        // it begins at 0
/// let (_, u) = (0..5).fold((s, u), |(s, _), _| Psp::step(c, s, 0.0, [0.0]));
/// assert!((u - 0.274).abs() < 1e-3);                          // 0.774 at its height
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Psp {
    /// Time constant of the rise (s).
    pub tau_rise: Value,
    /// Time constant of the fall (s).
    pub tau_fall: Value,
    /// Threshold.
    pub v_th: Value,
    /// Rate that the threshold steers to (spikes per second).
    pub target: Value,
    /// Rise of the threshold per spike.
    pub speed: Value,
    /// Factor on all potentials.
    pub gain: Value,
}

impl Psp {
    /// A neuron with potentials of height 1, and a threshold of 0 that stays: `gain = 1/max(ε)` with
    /// `ε(t) = τ_f/(τ_f − τ_r)·(exp(−t/τ_f) − exp(−t/τ_r))`, which is largest at `ln(τ_f/τ_r)·τ_f·τ_r/(τ_f − τ_r)`.
    ///
    /// ```
    /// use snn_core::neuron::{Neuron, Psp};
    /// let psp = Psp::of_height_one(1e-3, 10e-3);
    /// let gain = psp.values(0)[5];
    /// assert!((gain / 0.9 - 1.435).abs() < 1e-3 && (gain * 10e-3 - 12.9e-3).abs() < 0.05e-3); // ε's factor; its area
    /// ```
    pub fn of_height_one(tau_rise: f64, tau_fall: f64) -> Self {
        let apart = tau_fall - tau_rise;
        let top = (tau_fall / tau_rise).ln() * tau_fall * tau_rise / apart;
        let height = tau_fall / apart * ((-top / tau_fall).exp() - (-top / tau_rise).exp());
        let fixed = Psp { v_th: 0.0.into(), speed: 0.0.into(), ..Psp::default() };
        Psp { tau_rise: tau_rise.into(), tau_fall: tau_fall.into(), gain: (1.0 / height).into(), ..fixed }
    }
}

impl Default for Psp {
    fn default() -> Self {
        let shared = Value::Shared;
        let (tau_rise, tau_fall, v_th) = (shared(0.002), shared(0.02), shared(3.0));
        Psp { tau_rise, tau_fall, v_th, target: shared(0.0), speed: shared(0.1), gain: shared(1.0) }
    }
}

impl Neuron for Psp {
    const NAME: &'static str = "psp";
    const OUTPUT: Output = Output::Spike;
    type State<R: Real> = [R; 3];
    type Inputs<R: Real> = [R; 1];
    type Params<R: Real> = [R; 6];
    type Consts<R: Real> = [R; 6];

    fn params(&self) -> Vec<Param<'_>> {
        vec![
            Param::new("tau_rise", &self.tau_rise, Range::Positive).fixed(),
            Param::new("tau_fall", &self.tau_fall, Range::Positive).fixed(),
            Param::new("v_th", &self.v_th, Range::Finite),
            Param::new("target", &self.target, Range::NonNegative),
            Param::new("speed", &self.speed, Range::NonNegative),
            Param::new("gain", &self.gain, Range::Positive),
        ]
    }

    fn check(&self) -> Result<(), String> {
        let n = self.tau_rise.given().len().max(self.tau_fall.given().len());
        match (0..n).find(|&j| self.tau_rise.at(j) >= self.tau_fall.at(j)) {
            Some(j) => Err(format!("`tau_rise` = {} (neuron {j}): must be below `tau_fall`", self.tau_rise.at(j))),
            None => Ok(()),
        }
    }

    fn derive<R: Real>(&self, [rise, fall, v_th, target, speed, gain]: [R; 6], dt: f64) -> [R; 6] {
        [decay(dt, rise), decay(dt, fall), gain * fall / (fall - rise), v_th, speed, speed * target * R::of(dt)]
    }

    #[inline(always)]
    fn step<R: Real>([rho, phi, gain, v_th, speed, drift]: [R; 6], [r, f, b]: [R; 3], z: R, [x]: [R; 1]) -> ([R; 3], R) {
        let (r, f, b) = (rho * r + x, phi * f + x, b + speed * z - drift);
        ([r, f, b], gain * (f - r) - v_th - b)
    }

    fn jump<R: Real>([rho, phi, _, _, _, drift]: [R; 6], [r, f, b]: [R; 3], n: u32) -> Option<[R; 3]> {
        Some([r * rho.pow(n), f * phi.pow(n), b - R::of(f64::from(n)) * drift])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_steers_to_the_target() {
        // A constant input that would fire every step: the threshold rises until 20 spikes per second are left.
        let c = Psp { target: 20.0.into(), ..Psp::default() }.consts::<f64>(0, 1e-3);
        let (mut s, mut z, mut spikes) = ([0.0; 3], 0.0, 0);
        for t in 0..20_000 {
            let u;
            (s, u) = Psp::step(c, s, z, [1.0]);
            z = f64::from(u > 0.0);
            spikes += i32::from(t >= 10_000 && u > 0.0);
        }
        assert!((spikes - 200).abs() <= 1, "{spikes} spikes in 10 s");
    }

    #[test]
    fn a_potential_of_height_one_is_so_high_and_so_large() {
        let dt = 1e-6;
        let c = Psp::of_height_one(1e-3, 10e-3).consts::<f64>(0, dt);
        let (mut s, mut top, mut area) = ([0.0; 3], (0.0, 0i32), 0.0);
        for t in 0..200_000 {
            let u;
            (s, u) = Psp::step(c, s, 0.0, [f64::from(t == 0)]);
            top = if u > top.0 { (u, t) } else { top };
            area += u * dt;
        }
        // ε(t) = 1.435·(exp(−t/10) − exp(−t/1)), t in ms: largest at 2.56 ms, area 12.9 ms (Legenstein et al. 2017, released code).
        assert!((top.0 - 1.0).abs() < 1e-6 && (top.1 - 2558).abs() <= 1, "{top:?}");
        assert!((area - 12.915e-3).abs() < 2e-6, "{area}");
    }

    #[test]
    fn a_rise_slower_than_the_fall_is_refused() {
        let slow = Psp { tau_rise: vec![0.001, 0.02].into(), ..Psp::default() };
        assert_eq!(crate::neuron::Model::from(slow).check(2).unwrap_err(), "`tau_rise` = 0.02 (neuron 1): must be below `tau_fall`");
    }
}
