use super::Devices;
use snn_core::stats::{mean, variance};
use snn_sparse::noise::Normals;

/// What pulses, time and reads do to the conductance of a phase-change device.
///
/// Conductances are in µS, as the fits are; times in s. `P` is the device's memory of its pulses, 1 after a RESET; `N(0,1)` is a normal number.
/// ```text
/// SET pulse   P ← P·exp(−1/2.6)
///             G ← clip(G + μ + σ·N(0,1), 0.1, Gmax),   μ = −0.084 G + 0.880 + 1.40 P,   σ = 0.091 G + 0.260 + 2.15 P
/// RESET       P ← 1,  G ← max(0.1 + 0.01·N(0,1), 0.01)
/// drift       G(t) = G·((t − t_p)/T0)^−0.04,   t_p the time of the last write, T0 = 38.6 s
/// read        clip(G(t) + (0.03 G(t) + 0.13)·N(0,1), 0.1, Gmax)
/// ```
/// A pulse only ever raises the mean conductance; the way down is a RESET to the bottom. In performance mode (`bits`) a pulse adds `Gmax/2^bits` exactly.
///
/// Source: the fits of Nandakumar et al. 2018, as used by Demirag et al. 2021 (arXiv 2108.01804) and its program `[repo]`. A device is not read sooner than 1 ms after a write `[ours]`.
///
/// ```
/// use snn_hw::pcm::Physics;
/// let physics = Physics::default();
/// let (g, _) = physics.set(0.1, 1.0, 0.0);                       // the first pulse after a RESET, without noise
/// assert!((g - 1.925).abs() < 1e-3);
/// assert!((physics.drift(1e-3) - 1.526).abs() < 1e-3 && physics.drift(38.6) == 1.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Physics {
    /// Largest conductance (µS).
    pub g_max: f32,
    /// Whether writes are noisy.
    pub write_noise: bool,
    /// Whether reads are noisy.
    pub read_noise: bool,
    /// Whether conductances drift.
    pub drift: bool,
    /// Performance mode: a pulse is a step of `Gmax/2^bits`.
    pub bits: Option<u32>,
}

/// Smallest conductance that is written or read (µS) `[repo]`.
pub const G_MIN: f32 = 0.1;
/// Time after a write at which the conductance is what was written (s) `[repo]`.
pub const T0: f64 = 38.6;
/// Drift exponent ν `[repo]`.
const NU: f64 = 0.04;
/// The soonest read after a write (s) `[ours]`.
const SOONEST: f64 = 1e-3;
/// Share of `P` that a pulse leaves: `exp(−1/2.6)` `[repo]`.
const KEEP: f32 = 0.680_712_2;
/// Conductance that schemes take a pulse to be worth (µS) `[repo]`.
const STEP: f32 = 0.75;

impl Default for Physics {
    /// Gmax = 12 µS, with noise and drift.
    fn default() -> Self {
        Physics { g_max: 12.0, write_noise: true, read_noise: true, drift: true, bits: None }
    }
}

impl Physics {
    /// Performance mode: pulses of `12 µS/2^bits`, neither noise nor drift.
    pub fn ideal(bits: u32) -> Self {
        Physics { write_noise: false, read_noise: false, drift: false, bits: Some(bits), ..Physics::default() }
    }

    /// What a SET pulse makes of conductance and memory.
    #[inline]
    pub fn set(&self, g: f32, p: f32, normal: f32) -> (f32, f32) {
        if self.bits.is_some() {
            return ((g + self.step()).clamp(G_MIN, self.g_max), p);
        }
        let p = p * KEEP;
        let mean = -0.084 * g + 0.880 + 1.40 * p;
        let spread = 0.091 * g + 0.260 + 2.15 * p;
        let noise = if self.write_noise { spread * normal } else { 0.0 };
        ((g + mean + noise).clamp(G_MIN, self.g_max), p)
    }

    /// The conductance after a RESET.
    #[inline]
    pub fn reset(&self, normal: f32) -> f32 {
        if self.write_noise { (G_MIN + 0.01 * normal).max(0.01) } else { G_MIN }
    }

    /// The factor on the conductance so many seconds after a write.
    #[inline]
    pub fn drift(&self, elapsed: f64) -> f64 {
        if self.drift { (elapsed.max(SOONEST) / T0).powf(-NU) } else { 1.0 }
    }

    /// What a read finds of a conductance that has drifted.
    #[inline]
    pub fn read(&self, g: f32, normal: f32) -> f32 {
        let noise = if self.read_noise { (0.03 * g + 0.13) * normal } else { 0.0 };
        (g + noise).clamp(G_MIN, self.g_max)
    }

    /// Conductance that a pulse is taken to be worth (µS).
    pub fn step(&self) -> f32 {
        self.bits.map_or(STEP, |bits| self.g_max / 2f32.powi(bits.min(24) as i32))
    }

    /// Mean and standard deviation of `devices` conductances (µS) after each of 1 to `pulses` pulses from RESET.
    pub fn staircase(&self, devices: usize, pulses: usize, seed: snn_core::Seed) -> Vec<(f64, f64)> {
        let noise = Normals::new(seed);
        let mut cells = Devices::new(devices, self, noise);
        let statistics = |_| {
            (0..devices).for_each(|d| cells.set(d, 0.0, self, noise));
            let all: Vec<f64> = cells.conductances().iter().map(|&g| f64::from(g)).collect();
            (mean(&all), variance(&all).sqrt())
        };
        (0..pulses).map(statistics).collect()
    }
}
