use super::pattern::Pattern;
use super::place::Layout;
use super::{NEURONS, ROWS};
use rand::RngExt;
use rand_distr::StandardNormal;
use snn_core::{Raster, Seed};

/// The sensors of correlation, one in each synapse.
///
/// ```text
/// c ← min(c + A·g·exp(−(t_post − t_pre)/τ), saturation)       at each spike of the neuron, t_pre the last of the row, t_pre ≤ t_post
/// read: round(c + noise·ξ), 0…255                             g the gain of this synapse's sensor
/// ```
/// Source: Wunderlich et al. 2019 (amplitude, time constant, saturation; times are those of the network, a thousand times those of the chip).
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Sensor {
    /// A: what a pair without delay adds.
    pub amplitude: f64,
    /// τ (s), in the network's time.
    pub tau: f64,
    /// The largest value.
    pub saturation: f64,
    /// Standard deviation of a reading.
    pub noise: f64,
}

impl Default for Sensor {
    fn default() -> Self {
        Sensor { amplitude: 36.0, tau: 64e-3, saturation: 128.0, noise: 2.0 }
    }
}

impl Sensor {
    /// A reading of `value`.
    pub(super) fn read(&self, value: f64, rng: &mut impl rand::Rng) -> u8 {
        let noise: f64 = if self.noise > 0.0 { self.noise * rng.sample::<f64, _>(StandardNormal) } else { 0.0 };
        (value + noise).round().clamp(0.0, 255.0) as u8
    }
}

/// The sensors of a device during a trial.
#[derive(Clone, Debug)]
pub(super) struct Sensors {
    of: Sensor,
    value: [[f32; NEURONS]; ROWS],
    last: [Option<usize>; ROWS],
    counts: [u32; NEURONS],
}

impl Sensors {
    pub(super) fn new(of: Sensor) -> Self {
        Sensors { of, value: [[0.0; NEURONS]; ROWS], last: [None; ROWS], counts: [0; NEURONS] }
    }

    /// Begins a trial: nothing has been seen.
    pub(super) fn begin(&mut self) {
        *self = Sensors::new(self.of);
    }

    /// Clears the accumulators; the last spikes are remembered.
    pub(super) fn clear(&mut self) {
        self.value = [[0.0; NEURONS]; ROWS];
    }

    /// Takes in step `t`. `sources` are the rasters of the inputs, then of the populations.
    pub(super) fn step(&mut self, t: usize, dt: f64, layout: &Layout, pattern: &Pattern, sources: &[&Raster], inputs: usize) {
        for (row, last) in layout.rows.iter().zip(&mut self.last) {
            let sent = t.checked_sub(row.delay);
            if sent.is_some_and(|sent| sources[row.source].at(sent).binary_search(&(row.unit as u32)).is_ok()) {
                *last = Some(t);
            }
        }
        for (first, raster) in layout.first.iter().zip(&sources[inputs..]) {
            for neuron in raster.at(t).iter().map(|j| first + *j as usize) {
                self.counts[neuron] += 1;
                self.pair(t, dt, neuron, layout, pattern);
            }
        }
    }

    /// A spike of `neuron` at step `t`, with the last one of every row it hears.
    fn pair(&mut self, t: usize, dt: f64, neuron: usize, layout: &Layout, pattern: &Pattern) {
        let heard = layout.rows.iter().enumerate().filter(|(_, row)| row.taken[neuron]);
        for (r, last) in heard.filter_map(|(r, _)| Some((r, self.last[r]?))) {
            let add = self.of.amplitude * (-((t - last) as f64) * dt / self.of.tau).exp();
            let value = &mut self.value[r][neuron];
            *value = (*value + add as f32 * pattern.sensor[r][neuron]).min(self.of.saturation as f32);
        }
    }

    /// Reads everything into 8 bits.
    pub(super) fn read(&self, causal: &mut [[u8; NEURONS]; ROWS], counts: &mut [u8; NEURONS], seed: Seed) {
        let mut rng = seed.rng();
        let pairs = causal.iter_mut().flatten().zip(self.value.iter().flatten());
        pairs.for_each(|(out, value)| *out = self.of.read(f64::from(*value), &mut rng));
        counts.iter_mut().zip(self.counts).for_each(|(out, n)| *out = n.min(255) as u8);
    }
}
