//! Pattern generation: a frozen input, and a curve to follow.

use crate::{
    drawn::steps,
    error::{DataError, check, count, positive},
    fire::{Events, fire, rate},
};
use rand::RngExt;
use snn_core::{Raster, Seed, Trials};
use std::f64::consts::TAU;

const OF: &str = "PatternParams";

/// A sinusoid of a trial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sine {
    /// Whole cycles in a trial.
    pub cycles: usize,
    /// Amplitude.
    pub amplitude: f64,
    /// Phase at the first step, in radians.
    pub phase: f64,
}

/// A sum of sinusoids over `steps` steps that starts at zero and reaches one.
///
/// `s[t] = Σ A·sin(φ + 2π·n·t/(steps − 1))`, then `y[t] = (s[t] − s[0]) / max|s − s[0]|`: first and last step are the same point of the cycle. A sum
/// that does not move stays zero.
///
/// Source: the program of Bellec et al. 2020 (Nature Communications 11:3625), `sum_of_sines_target`.
pub fn superposed_sines(steps: usize, sines: &[Sine]) -> Vec<f64> {
    let mut y = sum(steps, sines);
    let first = y.first().copied().unwrap_or(0.0);
    y.iter_mut().for_each(|v| *v -= first);
    to_peak(y)
}

/// The same sum as it is, divided by its largest magnitude: `y[t] = s[t] / max|s|`.
///
/// Source: the program of Demirag et al. 2021 (arXiv 2108.01804).
pub fn superposed_sines_unmoved(steps: usize, sines: &[Sine]) -> Vec<f64> {
    to_peak(sum(steps, sines))
}

fn sum(steps: usize, sines: &[Sine]) -> Vec<f64> {
    let last = steps.saturating_sub(1).max(1) as f64;
    let value = |t: usize| sines.iter().map(|s| s.amplitude * (s.phase + TAU * s.cycles as f64 * t as f64 / last).sin()).sum::<f64>();
    (0..steps).map(value).collect()
}

fn to_peak(mut y: Vec<f64>) -> Vec<f64> {
    let peak = y.iter().fold(0.0, |peak: f64, v| peak.max(v.abs()));
    if peak > 0.0 {
        y.iter_mut().for_each(|v| *v /= peak);
    }
    y
}

/// What a pattern to be generated is like. The default is the task of the e-prop paper.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `inputs`, `outputs` | 100, 1 | input channels; curves |
/// | `steps`, `dt` | 1000, 1 ms | the trial |
/// | `rate` | 50 Hz | rate of every input channel |
/// | `periods` | 1, 0.5, 0.333, 0.2 s | of the sinusoids; a trial holds `⌊duration/period⌋` cycles |
/// | `amplitude_min`, `amplitude_max` | 0.5, 2 | of the sinusoids, uniform |
/// | `from_zero` | yes | whether curves are moved to start at zero |
/// | `trials` | 1 | patterns, each with its own input |
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct PatternParams {
    /// Input channels, at least 1.
    pub inputs: usize,
    /// Curves to follow, at least 1.
    pub outputs: usize,
    /// Time steps of a trial, at least 1.
    pub steps: usize,
    /// Length of a step in seconds, above 0.
    pub dt: f64,
    /// Rate (Hz) of an input channel, above 0 and at most `1/dt`.
    pub rate: f64,
    /// Periods of the sinusoids in seconds, at least one, each at least `dt` and no longer than the trial.
    pub periods: Vec<f64>,
    /// Smallest amplitude, at least 0.
    pub amplitude_min: f64,
    /// Largest amplitude, at least the smallest.
    pub amplitude_max: f64,
    /// Whether curves start at zero ([`superposed_sines`]) or where their phases say ([`superposed_sines_unmoved`]).
    #[serde(default = "yes")]
    pub from_zero: bool,
    /// Number of patterns, at least 1.
    pub trials: usize,
}

fn yes() -> bool {
    true
}

impl Default for PatternParams {
    fn default() -> Self {
        PatternParams {
            inputs: 100,
            outputs: 1,
            steps: 1000,
            dt: 1e-3,
            rate: 50.0,
            periods: vec![1.0, 0.5, 0.333, 0.2],
            amplitude_min: 0.5,
            amplitude_max: 2.0,
            from_zero: true,
            trials: 1,
        }
    }
}

impl PatternParams {
    fn check(&self) -> Result<(), DataError> {
        count(OF, "inputs", self.inputs)?;
        count(OF, "trials", self.trials)?;
        count(OF, "outputs", self.outputs)?;
        steps(OF, "steps · outputs", [(self.steps, self.outputs)])?;
        positive(OF, "dt", self.dt)?;
        rate(OF, "rate", self.rate, self.dt)?;
        check(!self.periods.is_empty(), OF, "periods", "none", "at least one")?;
        for &period in &self.periods {
            let fits = period.is_finite() && self.cycles(period) >= 1 && period >= self.dt;
            check(fits, OF, "periods", period, "at least dt and no longer than the trial")?;
        }
        let ordered = 0.0 <= self.amplitude_min && self.amplitude_min <= self.amplitude_max && self.amplitude_max.is_finite();
        check(ordered, OF, "amplitude_min", self.amplitude_min, "at least 0 and at most amplitude_max")
    }

    /// Whole cycles of a period in a trial, counted in steps.
    fn cycles(&self, period: f64) -> usize {
        self.steps / ((period / self.dt).round() as usize).max(1)
    }

    /// Frozen random spikes in, [sums of sinusoids](superposed_sines) out: `trials` patterns, the same ones whenever they are loaded.
    ///
    /// In every step an input channel fires with probability `rate · dt`. Amplitudes are uniform from `amplitude_min` to `amplitude_max`, phases
    /// from 0 to 2π. Pattern `i` draws from `seed.nth(i)`. Memory: 4 bytes per event and per step and output.
    ///
    /// Source: Bellec et al. 2020 (Nature Communications 11:3625) and its program: 100 inputs at 50 Hz, 1000 steps, periods of 1000, 500, 333 and
    /// 200 ms.
    ///
    /// ```
    /// use snn_core::{Dataset, Seed, Target};
    /// let task = snn_data::PatternParams::default().generate(Seed::new(1))?;
    /// let Target::Series(curve) = task.target(0) else { unreachable!() };
    /// assert_eq!((task.len(), task.inputs(), curve.len(), curve[0]), (1, 100, 1000, 0.0));
    /// # Ok::<(), snn_data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn generate(&self, seed: Seed) -> Result<Trials, DataError> {
        self.check()?;
        let mut trials = Trials::new("pattern", self.inputs, self.steps, 0);
        for i in 0..self.trials as u64 {
            let mut events = Events::new();
            fire(&mut seed.nth(i).child("spikes").rng(), self.rate * self.dt, 0..self.steps, 0..self.inputs, &mut events);
            let mut raster = Raster::new(self.inputs, self.steps);
            raster.fill(events);

            let mut rng = seed.nth(i).child("curves").rng();
            let mut uniform = |low: f64, high: f64| low + (high - low) * rng.random::<f64>();
            let mut target = vec![0.0; self.steps * self.outputs];
            for k in 0..self.outputs {
                let sines: Vec<Sine> = (self.periods.iter())
                    .map(|&period| Sine {
                        cycles: self.cycles(period),
                        amplitude: uniform(self.amplitude_min, self.amplitude_max),
                        phase: uniform(0.0, TAU),
                    })
                    .collect();
                let curve =
                    if self.from_zero { superposed_sines(self.steps, &sines) } else { superposed_sines_unmoved(self.steps, &sines) };
                for (t, y) in curve.into_iter().enumerate() {
                    target[t * self.outputs + k] = y as f32;
                }
            }
            trials.push_series(raster, target);
        }
        Ok(trials)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use snn_core::{Dataset, Target};

    fn series(task: &Trials, index: usize) -> Vec<f32> {
        let Target::Series(series) = task.target(index) else { panic!("{:?}", task.target(index)) };
        series.to_vec()
    }

    #[test]
    fn sines_worked_by_hand() {
        // One cycle over five steps, phase π/2: cos(0, π/2, π, 3π/2, 2π) = 1, 0, −1, 0, 1; less the first: 0, −1, −2, −1, 0; peak 2.
        let y = superposed_sines(5, &[Sine { cycles: 1, amplitude: 3.0, phase: TAU / 4.0 }]);
        for (got, want) in y.iter().zip([0.0, -0.5, -1.0, -0.5, 0.0]) {
            assert!((got - want).abs() < 1e-12, "{y:?}");
        }
        // sin(0, π/2, π, 3π/2, 2π) + ½ sin(0, π, 2π, 3π, 4π) = 0, 1, 0, −1, 0.
        let y = superposed_sines(5, &[1, 2].map(|n| Sine { cycles: n, amplitude: 1.0 / n as f64, phase: 0.0 }));
        for (got, want) in y.iter().zip([0.0, 1.0, 0.0, -1.0, 0.0]) {
            assert!((got - want).abs() < 1e-12, "{y:?}");
        }
        // Left where it is, a cosine starts at its peak.
        let y = superposed_sines_unmoved(5, &[Sine { cycles: 1, amplitude: 3.0, phase: TAU / 4.0 }]);
        assert!(y.iter().zip([1.0, 0.0, -1.0, 0.0, 1.0]).all(|(got, want)| (got - want).abs() < 1e-12), "{y:?}");
        assert_eq!(superposed_sines(1, &[Sine { cycles: 1, amplitude: 1.0, phase: 1.0 }]), [0.0]);
        assert!(superposed_sines(0, &[]).is_empty());
    }

    #[test]
    fn the_published_periods_have_their_cycles() {
        let params = PatternParams::default();
        assert_eq!(params.periods.iter().map(|&p| params.cycles(p)).collect::<Vec<_>>(), [1, 2, 3, 5]);
    }

    #[test]
    fn curves_start_at_zero_end_there_and_peak_at_one() {
        let task = PatternParams { outputs: 3, trials: 4, ..Default::default() }.generate(Seed::new(1)).unwrap();
        for i in 0..4 {
            let series = series(&task, i);
            for k in 0..3 {
                let curve: Vec<f32> = series.iter().copied().skip(k).step_by(3).collect();
                let peak = curve.iter().fold(0f32, |p, y| p.max(y.abs()));
                assert!(curve[0] == 0.0 && curve[999].abs() < 1e-6 && peak == 1.0, "{} {} {peak}", curve[0], curve[999]);
            }
        }
        assert_ne!(series(&task, 0), series(&task, 1));
    }

    #[test]
    fn input_is_frozen_has_its_rate_and_follows_the_seed() {
        let load = |seed, trials, i| {
            let mut raster = Raster::default();
            PatternParams { trials, ..Default::default() }.generate(Seed::new(seed)).unwrap().load(i, &mut raster);
            raster
        };
        // 100 000 draws of 0.05: 5000 ± 69.
        assert!((load(1, 1, 0).len() as f64 - 5000.0).abs() < 276.0, "{}", load(1, 1, 0).len());
        assert_eq!(load(1, 1, 0), load(1, 3, 0));
        assert_ne!(load(1, 3, 0), load(1, 3, 1));
        assert_ne!(load(1, 1, 0), load(2, 1, 0));
    }

    #[test]
    fn parameters_are_checked() {
        let bad = |params: PatternParams| params.generate(Seed::new(0)).err().unwrap().to_string();
        assert!(bad(PatternParams { rate: 1001.0, ..Default::default() }).contains("rate = 1001"));
        assert!(bad(PatternParams { periods: vec![], ..Default::default() }).contains("periods = none"));
        assert!(bad(PatternParams { periods: vec![1.5], ..Default::default() }).contains("periods = 1.5"));
        assert!(bad(PatternParams { periods: vec![f64::NAN], ..Default::default() }).contains("periods = NaN"));
        assert!(bad(PatternParams { amplitude_min: 3.0, ..Default::default() }).contains("amplitude_min = 3"));
        assert!(bad(PatternParams { outputs: usize::MAX, ..Default::default() }).contains("outputs"));
        assert!(bad(PatternParams { trials: 0, ..Default::default() }).contains("trials = 0"));
    }
}
