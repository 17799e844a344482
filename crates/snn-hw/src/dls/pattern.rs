use super::{NEURONS, ROWS};
use rand::RngExt;
use rand_distr::StandardNormal;
use snn_core::Seed;

/// How much the analogue parts of a device differ: standard deviations, as shares of what they should be. Sizes are chosen here, after calibration.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Mismatch {
    /// Gain of a neuron's synaptic input.
    pub gain: f64,
    /// Threshold.
    pub threshold: f64,
    /// Time constants.
    pub tau: f64,
    /// Strength of a synapse.
    pub synapse: f64,
    /// Gain of a synapse's sensor.
    pub sensor: f64,
}

impl Default for Mismatch {
    fn default() -> Self {
        Mismatch { gain: 0.05, threshold: 0.03, tau: 0.1, synapse: 0.05, sensor: 0.2 }
    }
}

impl Mismatch {
    /// All alike.
    pub const NONE: Mismatch = Mismatch { gain: 0.0, threshold: 0.0, tau: 0.0, synapse: 0.0, sensor: 0.0 };
}

/// The irregularities of one device: factors, drawn once from its seed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pattern {
    pub(super) gain: [f64; NEURONS],
    pub(super) threshold: [f64; NEURONS],
    pub(super) tau: [f64; NEURONS],
    pub(super) synapse: [[f64; NEURONS]; ROWS],
    pub(super) sensor: [[f32; NEURONS]; ROWS],
}

impl Pattern {
    pub(super) fn new(of: &Mismatch, device: Seed) -> Self {
        let mut gain = factors(of.gain, device.child("gain"));
        let mut threshold = factors(of.threshold, device.child("threshold"));
        let mut tau = factors(of.tau, device.child("tau"));
        let mut synapse = factors(of.synapse, device.child("synapse"));
        let mut sensor = factors(of.sensor, device.child("sensor"));
        Pattern {
            gain: std::array::from_fn(|_| gain()),
            threshold: std::array::from_fn(|_| threshold()),
            tau: std::array::from_fn(|_| tau()),
            synapse: std::array::from_fn(|_| std::array::from_fn(|_| synapse())),
            sensor: std::array::from_fn(|_| std::array::from_fn(|_| sensor() as f32)),
        }
    }
}

/// `1 + spread·ξ`, never below a tenth; exactly 1 without spread.
fn factors(spread: f64, seed: Seed) -> impl FnMut() -> f64 {
    let mut rng = seed.rng();
    move || (1.0 + spread * rng.sample::<f64, _>(StandardNormal)).max(0.1)
}
