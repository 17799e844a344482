//! Intensities to spikes, or to graded events.
//!
//! An intensity is a number from 0 (dark) to 1 (bright), one per input channel; a byte `p` stands for `p/255`. Steps are `dt` seconds long
//! and step `k` covers the times `k·dt ≤ t < (k+1)·dt`. No encoder panics on any intensity: NaN is silent.

use crate::error::{DataError, check, count, positive};
use rand::RngExt;
use snn_core::{Raster, Seed};

/// A rule that turns intensities into the events of one trial.
pub trait Encoder: Sync {
    /// Time steps of every trial.
    fn steps(&self) -> usize;

    /// Input channels of a trial made of `intensities` numbers: one for each, unless the encoder says otherwise.
    fn units(&self, intensities: usize) -> usize {
        intensities
    }

    /// Writes the events of `intensities` (one per input) into `into`, resized as needed. An encoder without randomness ignores `seed`.
    fn encode(&self, intensities: &[f32], seed: Seed, into: &mut Raster);

    /// The same for bytes, `p` standing for `p/255`.
    fn encode_bytes(&self, pixels: &[u8], seed: Seed, into: &mut Raster) {
        let intensities: Vec<f32> = pixels.iter().map(|&p| intensity(p)).collect();
        self.encode(&intensities, seed, into);
    }
}

/// A rule that turns signals over time into the spikes of one trial: [`Delta`](crate::Delta), [`Crossings`](crate::Crossings),
/// [`Drive`](crate::Drive).
///
/// A signal is `[steps × channels]`, time-major. No encoder panics on any value: NaN is silent. One unit fires at most once in a step.
pub trait SignalEncoder: Sync {
    /// Units that stand for `channels` channels.
    fn units(&self, channels: usize) -> usize;

    /// Writes the spikes of `signal` into `into`, resized to [`units`](Self::units) and the signal's steps.
    ///
    /// # Panics
    /// If `channels` is 0 or does not divide the length of the signal.
    fn encode_signal(&self, signal: &[f32], channels: usize, into: &mut Raster);
}

/// Shapes `into` for a signal: the head of every signal encoder.
#[track_caller]
pub(crate) fn shape(signal: &[f32], channels: usize, units: usize, into: &mut Raster) {
    assert!(channels > 0 && signal.len().is_multiple_of(channels), "a signal of {} values for {channels} channels", signal.len());
    into.reset(units, signal.len() / channels);
}

fn intensity(pixel: u8) -> f32 {
    f32::from(pixel) / 255.0
}

/// Time-to-first-spike code: one spike per input, the brighter the earlier.
///
/// The spike comes when a leaky membrane (time constant τ) driven by the constant current `x` reaches the threshold `θ`:
///
/// `t = τ · ln(x / (x − θ))` for `x > θ`, silent otherwise; step `⌊t/dt⌋`, silent from step `steps` on.
///
/// The step is truncated, not rounded to the nearest, as in the code of SSGD and of the SpyTorch tutorials it follows (times become
/// integers there by a cast). `x = θ` would fire after infinite time and is silent.
///
/// Cost: a table holds the step of each byte, so that 784 pixels take about 2 µs and no allocation once the raster is warm.
///
/// Source: Zenke and Vogels 2021 (Fashion-MNIST); Perez-Nieves and Goodman 2021 (arXiv:2105.08810), SSGD: τ = 20 ms, θ = 0.2, dt = 1 ms, 100 steps.
///
/// ```
/// use snn_data::Latency;
/// let latency = Latency::new(20e-3, 0.2, 1e-3, 100)?;
/// assert_eq!(latency.step(1.0), Some(4));      // 20·ln(1/0.8) = 4.46
/// assert_eq!(latency.step(0.2), None);
/// # Ok::<(), snn_data::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Latency {
    tau_steps: f64, // τ/dt
    threshold: f64,
    steps: usize,
    of_byte: [u32; 256],
}

const SILENT: u32 = u32::MAX;

impl Latency {
    /// An encoder with time constant `tau` (s, above 0), `threshold` (0 to 1, both excluded), time step `dt` (s, above 0) and `steps`
    /// (at least 1).
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn new(tau: f64, threshold: f64, dt: f64, steps: usize) -> Result<Self, DataError> {
        positive("Latency", "tau", tau)?;
        positive("Latency", "dt", dt)?;
        check(threshold > 0.0 && threshold < 1.0, "Latency", "threshold", threshold, "above 0 and below 1")?;
        count("Latency", "steps", steps)?;
        let mut latency = Latency { tau_steps: tau / dt, threshold, steps, of_byte: [SILENT; 256] };
        latency.of_byte = std::array::from_fn(|p| latency.latency(intensity(p as u8)));
        Ok(latency)
    }

    /// The step at which an input of intensity `x` fires, if it does.
    pub fn step(&self, x: f32) -> Option<usize> {
        Some(self.latency(x)).filter(|&step| step != SILENT).map(|step| step as usize)
    }

    fn latency(&self, x: f32) -> u32 {
        // In the precision of the intensity, so that a pixel on the threshold is on it.
        if x.is_nan() || x <= self.threshold as f32 {
            return SILENT;
        }
        // ln(x/(x − θ)) = −ln(1 − θ/x), which also holds for x = ∞.
        let step = -self.tau_steps * (-self.threshold / f64::from(x)).ln_1p();
        if step < self.steps as f64 { step as u32 } else { SILENT }
    }
}

impl Encoder for Latency {
    fn steps(&self) -> usize {
        self.steps
    }

    fn encode(&self, intensities: &[f32], _: Seed, into: &mut Raster) {
        into.reset(intensities.len(), self.steps);
        into.fill_latencies(intensities.iter().map(|&x| self.latency(x)));
    }

    fn encode_bytes(&self, pixels: &[u8], _: Seed, into: &mut Raster) {
        into.reset(pixels.len(), self.steps);
        into.fill_latencies(pixels.iter().map(|&p| self.of_byte[usize::from(p)]));
    }
}

/// Poisson rate code, a draw for each step: an input of intensity `x` fires with probability `p = rate_max · dt · x`, independently.
///
/// Intensities beyond 0 and 1 are taken as the nearer end. The spike count of a trial is binomial, with mean `steps · p` and variance
/// `steps · p · (1 − p)`. The seed fixes the spikes. Cost: one random number per step and lit input.
#[derive(Clone, Debug, PartialEq)]
pub struct Poisson {
    p_max: f32,
    steps: usize,
}

impl Poisson {
    /// An encoder whose brightest inputs fire at `rate_max` (Hz, above 0) in steps of `dt` (s, above 0; `rate_max · dt ≤ 1`).
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn new(rate_max: f64, dt: f64, steps: usize) -> Result<Self, DataError> {
        Ok(Poisson { p_max: spikes_per_step("Poisson", rate_max, dt, steps)? as f32, steps })
    }
}

impl Encoder for Poisson {
    fn steps(&self) -> usize {
        self.steps
    }

    fn encode(&self, intensities: &[f32], seed: Seed, into: &mut Raster) {
        let mut rng = seed.rng();
        into.reset(intensities.len(), self.steps);
        into.write(|_, units| {
            for (unit, &x) in intensities.iter().enumerate() {
                if x > 0.0 && rng.random::<f32>() < self.p_max * x.min(1.0) {
                    units.push(unit as u32);
                }
            }
        });
    }
}

/// Regular rate code: an input of intensity `x` fires every `1/(rate_max · x)` seconds, the first time after one such interval.
///
/// With `p = rate_max · dt · x` spikes per step it fires in step `k` if `⌊(k+1)·p⌋ > ⌊k·p⌋`: `⌊steps · p⌋` spikes, as evenly spaced as
/// steps allow. Intensities beyond 0 and 1 are taken as the nearer end. No randomness. Cost: O(inputs · steps).
#[derive(Clone, Debug, PartialEq)]
pub struct Rate {
    p_max: f64,
    steps: usize,
}

impl Rate {
    /// An encoder whose brightest inputs fire at `rate_max` (Hz, above 0) in steps of `dt` (s, above 0; `rate_max · dt ≤ 1`).
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn new(rate_max: f64, dt: f64, steps: usize) -> Result<Self, DataError> {
        Ok(Rate { p_max: spikes_per_step("Rate", rate_max, dt, steps)?, steps })
    }
}

impl Encoder for Rate {
    fn steps(&self) -> usize {
        self.steps
    }

    fn encode(&self, intensities: &[f32], _: Seed, into: &mut Raster) {
        into.reset(intensities.len(), self.steps);
        into.write(|step, units| {
            for (unit, &x) in intensities.iter().enumerate() {
                let p = self.p_max * f64::from(x).clamp(0.0, 1.0);
                if ((step + 1) as f64 * p).floor() > (step as f64 * p).floor() {
                    units.push(unit as u32);
                }
            }
        });
    }
}

/// Graded code: every input has one event at the only step, of value `(x − mean)/std`; none where that is 0.
///
/// What a dense network takes in. As it is (mean 0, std 1) the dark pixels of an image cost nothing; normalised, every pixel has a value.
/// NaN and infinite intensities are silent. No randomness. Cost: one pass, and a table for bytes.
///
/// ```
/// use snn_core::{Raster, Seed};
/// use snn_data::{Analog, Encoder};
/// let mut raster = Raster::default();
/// Analog::default().encode_bytes(&[0, 51, 255], Seed::new(0), &mut raster);
/// assert_eq!((raster.steps(), raster.at(0)), (1, &[1, 2][..]));
/// assert_eq!(raster.value(0, 2), 1.0);
/// Analog::normalised(0.5, 0.25)?.encode(&[0.0, 0.5, 1.0], Seed::new(0), &mut raster);
/// assert_eq!(raster.iter_values().collect::<Vec<_>>(), [(0, 0, -2.0), (0, 2, 2.0)]);
/// # Ok::<(), snn_data::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Analog {
    mean: f64,
    std: f64,
    of_byte: [f64; 256],
}

impl Default for Analog {
    /// The intensities as they are.
    fn default() -> Self {
        Analog::of(0.0, 1.0)
    }
}

impl Analog {
    /// Intensities minus `mean` (finite), divided by `std` (above 0): numbers of the training set, given by whoever computed them there.
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn normalised(mean: f64, std: f64) -> Result<Self, DataError> {
        check(mean.is_finite(), "Analog", "mean", mean, "finite")?;
        positive("Analog", "std", std)?;
        Ok(Analog::of(mean, std))
    }

    fn of(mean: f64, std: f64) -> Self {
        let mut analog = Analog { mean, std, of_byte: [0.0; 256] };
        analog.of_byte = std::array::from_fn(|p| analog.value(intensity(p as u8)));
        analog
    }

    fn value(&self, x: f32) -> f64 {
        let value = (f64::from(x) - self.mean) / self.std;
        if value.is_finite() { value } else { 0.0 }
    }
}

impl Encoder for Analog {
    fn steps(&self) -> usize {
        1
    }

    fn encode(&self, intensities: &[f32], _: Seed, into: &mut Raster) {
        into.reset(intensities.len(), 1);
        into.fill_dense(intensities.iter().map(|&x| self.value(x)));
    }

    fn encode_bytes(&self, pixels: &[u8], _: Seed, into: &mut Raster) {
        into.reset(pixels.len(), 1);
        into.fill_dense(pixels.iter().map(|&p| self.of_byte[usize::from(p)]));
    }
}

/// Pixel by pixel: one input, at step `t` an event with the value of intensity `t`; none where that is 0. For networks that hear a picture as a sequence.
///
/// ```
/// use snn_core::{Raster, Seed};
/// use snn_data::{Encoder, Scan};
/// let mut raster = Raster::default();
/// Scan::new(3)?.encode(&[0.5, 0.0, 1.0], Seed::new(0), &mut raster);
/// assert_eq!(raster.iter_values().collect::<Vec<_>>(), [(0, 0, 0.5), (2, 0, 1.0)]);
/// # Ok::<(), snn_data::DataError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    steps: usize,
}

impl Scan {
    /// An encoder of pictures of so many pixels. Of larger ones the rest is not seen, smaller ones end in silence.
    ///
    /// # Errors
    /// [`DataError::Parameter`] if there are none.
    pub fn new(pixels: usize) -> Result<Self, DataError> {
        count("Scan", "pixels", pixels)?;
        Ok(Scan { steps: pixels })
    }
}

impl Encoder for Scan {
    fn steps(&self) -> usize {
        self.steps
    }

    fn units(&self, _: usize) -> usize {
        1
    }

    fn encode(&self, intensities: &[f32], _: Seed, into: &mut Raster) {
        into.reset(1, self.steps);
        let value = |t: usize| intensities.get(t).map_or(0.0, |&x| if x.is_finite() { f64::from(x) } else { 0.0 });
        into.fill_dense((0..self.steps).map(value));
    }
}

fn spikes_per_step(of: &'static str, rate_max: f64, dt: f64, steps: usize) -> Result<f64, DataError> {
    positive(of, "rate_max", rate_max)?;
    positive(of, "dt", dt)?;
    count(of, "steps", steps)?;
    check(rate_max * dt <= 1.0, of, "rate_max · dt", rate_max * dt, "at most 1 (one spike per step): shorten dt or lower rate_max")?;
    Ok(rate_max * dt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use snn_core::stats::{mean, sample_variance};

    const SEED: Seed = Seed::new(5);

    fn ssgd() -> Latency {
        Latency::new(20e-3, 0.2, 1e-3, 100).unwrap()
    }

    fn spikes(encoder: &dyn Encoder, intensities: &[f32], seed: Seed) -> Vec<(usize, u32)> {
        let mut raster = Raster::default();
        encoder.encode(intensities, seed, &mut raster);
        assert_eq!((raster.units(), raster.steps()), (intensities.len(), encoder.steps()));
        raster.iter().collect()
    }

    #[test]
    fn latencies_worked_by_hand() {
        // 20·ln(x/(x−0.2)): x = 1: 20·ln 1.25 = 4.463; 0.5: 20·ln(5/3) = 10.217; 0.4: 20·ln 2 = 13.863; 0.25: 20·ln 5 = 32.189;
        // 0.21: 20·ln 21 = 60.890; 0.201: 20·ln 201 = 106.07, too late; 0.2: never.
        let hand =
            [(1.0, Some(4)), (0.5, Some(10)), (0.4, Some(13)), (0.25, Some(32)), (0.21, Some(60)), (0.201, None), (0.2, None), (0.0, None)];
        for (x, step) in hand {
            assert_eq!(ssgd().step(x), step, "x = {x}");
        }
        let later = Latency::new(20e-3, 0.2, 1e-3, 10_000).unwrap();
        assert_eq!((later.step(0.201), later.step(0.2)), (Some(106), None));
    }

    #[test]
    fn bytes_agree_with_the_equation_in_double_precision() {
        let mut raster = Raster::default();
        let bytes: Vec<u8> = (0..=255).collect();
        ssgd().encode_bytes(&bytes, SEED, &mut raster);
        let mut expected: Vec<(usize, u32)> = (52..256u32)
            .map(|p| (20.0 * (f64::from(p) / 255.0 / (f64::from(p) / 255.0 - 0.2)).ln(), p))
            .filter(|&(t, _)| t < 100.0)
            .map(|(t, p)| (t as usize, p))
            .collect();
        expected.sort_unstable();
        assert_eq!(raster.iter().collect::<Vec<_>>(), expected);
        let intensities: Vec<f32> = bytes.iter().map(|&p| intensity(p)).collect();
        assert_eq!(spikes(&ssgd(), &intensities, SEED), expected);
    }

    #[test]
    fn poisson_counts_are_binomial() {
        // p = 100 Hz · 1 ms · 0.5 = 0.05; 200 trials of 100 inputs and 100 steps.
        let encoder = Poisson::new(100.0, 1e-3, 100).unwrap();
        let mut counts = vec![0.0; 200 * 100];
        for trial in 0..200 {
            for (_, unit) in spikes(&encoder, &[0.5; 100], SEED.nth(trial as u64)) {
                counts[trial * 100 + unit as usize] += 1.0;
            }
        }
        let (mean, variance) = (mean(&counts), sample_variance(&counts));
        // Standard errors: of the mean √(4.75/n) = 0.0154, of the variance about 4.75·√(2/n) = 0.0475; bounds are four of them.
        assert!((mean - 5.0).abs() < 0.062, "mean {mean}");
        assert!((variance - 4.75).abs() < 0.19, "variance {variance}");
    }

    #[test]
    fn poisson_depends_on_the_seed_alone_and_keeps_the_ends() {
        let encoder = Poisson::new(1000.0, 1e-3, 50).unwrap(); // p = x
        let mixed = [0.3, 0.0, 1.0, -1.0, f32::NAN, 7.0];
        let first = spikes(&encoder, &mixed, SEED);
        assert_eq!(first, spikes(&encoder, &mixed, SEED));
        assert_ne!(first, spikes(&encoder, &mixed, SEED.nth(1)));
        let count = |unit| first.iter().filter(|e| e.1 == unit).count();
        assert_eq!([1, 2, 3, 4, 5].map(count), [0, 50, 0, 0, 50]);
    }

    #[test]
    fn rate_is_regular() {
        // p = 0.25 per step for x = 0.5, 0.5 for x = 1 (and above), silence otherwise.
        let events = spikes(&Rate::new(500.0, 1e-3, 12).unwrap(), &[0.5, 1.0, 0.0, -3.0, f32::NAN, 9.0], SEED);
        let of = |unit| events.iter().filter(|e| e.1 == unit).map(|e| e.0).collect::<Vec<_>>();
        assert_eq!(of(0), [3, 7, 11]);
        assert_eq!(of(1), [1, 3, 5, 7, 9, 11]);
        assert_eq!((of(2), of(3), of(4)), (vec![], vec![], vec![]));
        assert_eq!(of(5), of(1));
    }

    #[test]
    fn graded_events_are_the_intensities() {
        let (mut bytes, mut numbers) = (Raster::default(), Raster::default());
        let (mean, std) = (0.1307, 0.3081);
        for analog in [Analog::default(), Analog::normalised(mean, std).unwrap()] {
            let pixels: Vec<u8> = (0..=255).collect();
            analog.encode_bytes(&pixels, SEED, &mut bytes);
            analog.encode(&pixels.iter().map(|&p| intensity(p)).collect::<Vec<_>>(), SEED, &mut numbers);
            assert_eq!(bytes, numbers);
        }
        assert_eq!((bytes.len(), bytes.steps(), bytes.units()), (256, 1, 256));
        assert!((0..256u32).all(|p| (bytes.value(0, p) - (f64::from(p) / 255.0 - mean) / std).abs() < 1e-6));
    }

    #[test]
    fn parameters_are_checked_and_named() {
        let message = |result: Result<Latency, DataError>| result.unwrap_err().to_string();
        assert_eq!(message(Latency::new(-1.0, 0.2, 1e-3, 10)), "Latency: tau = -1, but it must be finite and above 0");
        assert!(message(Latency::new(0.02, 1.0, 1e-3, 10)).contains("threshold = 1"));
        assert!(message(Latency::new(0.02, f64::NAN, 1e-3, 10)).contains("threshold = NaN"));
        assert!(message(Latency::new(0.02, 0.2, 0.0, 10)).contains("dt = 0"));
        assert!(message(Latency::new(0.02, 0.2, 1e-3, 0)).contains("steps = 0"));
        assert!(Poisson::new(2000.0, 1e-3, 10).unwrap_err().to_string().contains("rate_max · dt = 2"));
        assert_eq!(Analog::normalised(0.1, 0.0).unwrap_err().to_string(), "Analog: std = 0, but it must be finite and above 0");
        assert!(Analog::normalised(f64::NAN, 1.0).unwrap_err().to_string().contains("mean = NaN"));
        assert!(Rate::new(f64::INFINITY, 1e-3, 10).is_err() && Rate::new(10.0, 1e-3, usize::MAX).is_err());
    }

    proptest! {
        #[test]
        fn any_intensity_is_encoded_by_any_encoder(intensities in prop::collection::vec(prop::num::f32::ANY, 0..30), seed: u64) {
            let (poisson, rate) = (Poisson::new(300.0, 1e-3, 20).unwrap(), Rate::new(300.0, 1e-3, 20).unwrap());
            let analog = Analog::normalised(0.3, 1e-9).unwrap();
            let encoders: [&dyn Encoder; 4] = [&ssgd(), &poisson, &rate, &analog];
            for encoder in encoders {
                spikes(encoder, &intensities, Seed::new(seed));
            }
        }

        #[test]
        fn rate_counts_are_the_equations(x in 0f32..=1.0, steps in 1usize..300) {
            let p = 0.7 * f64::from(x);
            prop_assert_eq!(spikes(&Rate::new(0.7, 1.0, steps).unwrap(), &[x], SEED).len(), (steps as f64 * p).floor() as usize);
        }

        #[test]
        fn brighter_is_never_later(a in 0f32..2.0, b in 0f32..2.0) {
            let step = |x| ssgd().step(x).unwrap_or(usize::MAX);
            prop_assert!(step(a.max(b)) <= step(a.min(b)));
        }
    }
}
