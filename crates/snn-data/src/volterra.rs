//! A family of filters to learn: second-order Volterra series of sums of sines.

use crate::{
    drawn::{Answer, Drawn, Task, steps},
    error::{DataError, check, count, positive},
    fire::{Events, Population, rate},
};
use rand::{Rng, RngExt};
use snn_core::Seed;
use snn_core::stats::{mean, variance};
use std::f64::consts::TAU;
use std::ops::Range;

const OF: &str = "VolterraParams";

/// What the filters and their inputs are like: 13 s by default.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `memory` | 100 ms | how far back a filter looks |
/// | `bumps` | 3 | Gaussian bumps of each kernel |
/// | `centre` | 60 ms | their centres are uniform from 0 to this |
/// | `spread` | 5 … 20 ms | their standard deviations |
/// | `sines` | 2 | sines of an input |
/// | `period` | 100 … 1,000 ms | their periods |
/// | `cells` | 20 | input channels |
/// | `width` | 0.1 | standard deviation of a cell's tuning; the input lies from −1 to 1 |
/// | `rate` | 200 Hz | rate of a cell at its centre |
/// | `train`, `test` | 10 s, 3 s | parts of a trial |
/// | `warm_up` | 200 ms | at the beginning of each part, not scored |
/// | `dt` | 1 ms | length of a step |
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct VolterraParams {
    /// Length of the kernels (s), at least one step.
    pub memory: f64,
    /// Bumps of each kernel, at least 1.
    pub bumps: usize,
    /// Latest centre of a bump (s), at least 0.
    pub centre: f64,
    /// Smallest and largest standard deviation of a bump (s), above 0.
    pub spread: (f64, f64),
    /// Sines of an input, at least 1.
    pub sines: usize,
    /// Shortest and longest period of a sine (s), above 0.
    pub period: (f64, f64),
    /// Input channels, at least 2.
    pub cells: usize,
    /// Width of the tuning, above 0.
    pub width: f64,
    /// Rate (Hz) of a cell at its centre, above 0 and at most `1/dt`.
    pub rate: f64,
    /// Length of the part that a readout is fitted on (s).
    pub train: f64,
    /// Length of the part it is judged on (s).
    pub test: f64,
    /// What is left out at the beginning of each (s), shorter than both.
    pub warm_up: f64,
    /// Length of a step (s), above 0.
    pub dt: f64,
}

impl Default for VolterraParams {
    fn default() -> Self {
        VolterraParams {
            memory: 0.1,
            bumps: 3,
            centre: 0.06,
            spread: (5e-3, 20e-3),
            sines: 2,
            period: (0.1, 1.0),
            cells: 20,
            width: 0.1,
            rate: 200.0,
            train: 10.0,
            test: 3.0,
            warm_up: 0.2,
            dt: 1e-3,
        }
    }
}

/// A causal filter of second order with `M` lags:
///
/// ```text
/// y(t) = Σ_{s<M} k₁(s)·x(t−s) + Σ_{s,u<M} k₂(s, u)·x(t−s)·x(t−u),    k₂(s, u) = Σ_i c_i·(a_i(s)·b_i(u) + b_i(s)·a_i(u))/2
/// ```
/// `x` before the beginning is 0. The second kernel is kept as products of kernels of one lag, so a value costs `M` times their number, not `M²`.
#[derive(Clone, Debug, PartialEq)]
pub struct Volterra {
    /// `k₁`.
    pub first: Vec<f64>,
    /// `(c_i, a_i, b_i)` of `k₂`.
    pub second: Vec<(f64, Vec<f64>, Vec<f64>)>,
}

impl Volterra {
    /// `k₂(s, u)`.
    pub fn kernel(&self, s: usize, u: usize) -> f64 {
        self.second.iter().map(|(c, a, b)| 0.5 * c * (a[s] * b[u] + b[s] * a[u])).sum()
    }

    /// `y` for the input `x`. Cost: steps × lags × kernels.
    pub fn response(&self, x: &[f64]) -> Vec<f64> {
        let filtered = |kernel: &[f64], t: usize| -> f64 { kernel.iter().zip(x[..=t].iter().rev()).map(|(k, x)| k * x).sum() };
        let second = |t: usize| -> f64 { self.second.iter().map(|(c, a, b)| c * filtered(a, t) * filtered(b, t)).sum() };
        (0..x.len()).map(|t| filtered(&self.first, t) + second(t)).collect()
    }
}

/// One task: a filter, an input, and what the filter makes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Filtering {
    /// The filter to be learnt.
    pub filter: Volterra,
    /// The input, from −1 to 1; a new one begins with the second part.
    pub input: Vec<f64>,
    /// The filter's response less its mean over the scored steps of the first part, over its standard deviation there.
    pub target: Vec<f64>,
}

impl VolterraParams {
    fn count(&self, seconds: f64) -> usize {
        (seconds / self.dt).round() as usize
    }

    /// Steps of the first part that are scored: what a readout is fitted on.
    pub fn training(&self) -> Range<usize> {
        self.count(self.warm_up)..self.count(self.train)
    }

    /// Steps of the second part that are scored.
    pub fn testing(&self) -> Range<usize> {
        let from = self.count(self.train);
        from + self.count(self.warm_up)..from + self.count(self.test)
    }

    /// A filter of the family. Both kernels are scaled so that the sum of their absolute values is 1.
    pub fn filter(&self, rng: &mut impl Rng) -> Volterra {
        let lags = self.count(self.memory);
        let mut bump = |scaled: bool| {
            let c = if scaled { uniform(rng, (-1.0, 1.0)) } else { 1.0 };
            let (mu, sd) = (uniform(rng, (0.0, self.centre)), uniform(rng, self.spread));
            let at = |s: usize| c * (-0.5 * ((s as f64 * self.dt - mu) / sd).powi(2)).exp();
            (0..lags).map(at).collect::<Vec<f64>>()
        };
        let first = (0..self.bumps).map(|_| bump(true)).reduce(|mut sum, b| {
            sum.iter_mut().zip(b).for_each(|(s, b)| *s += b);
            sum
        });
        let second = (0..self.bumps).map(|_| (1.0, bump(true), bump(false))).collect();
        let mut filter = Volterra { first: first.unwrap_or_default(), second };
        let size: f64 = filter.first.iter().map(|k| k.abs()).sum();
        filter.first.iter_mut().for_each(|k| *k /= size);
        let size: f64 = (0..lags).flat_map(|s| (0..lags).map(move |u| (s, u))).map(|(s, u)| filter.kernel(s, u).abs()).sum();
        filter.second.iter_mut().for_each(|(c, ..)| *c /= size);
        filter
    }

    /// A sum of sines, from −1 to 1.
    pub fn signal(&self, count: usize, rng: &mut impl Rng) -> Vec<f64> {
        let sines: Vec<[f64; 3]> =
            (0..self.sines).map(|_| [uniform(rng, self.period), uniform(rng, (0.0, TAU)), uniform(rng, (0.5, 1.0))]).collect();
        let all: f64 = sines.iter().map(|s| s[2]).sum();
        let at = |t: usize| sines.iter().map(|[period, phase, a]| a / all * (TAU * t as f64 * self.dt / period + phase).sin()).sum();
        (0..count).map(at).collect()
    }

    /// What is shown in the trial of a seed: one signal, and another from the beginning of the second part on.
    pub fn input(&self, seed: Seed) -> Vec<f64> {
        let mut rng = seed.child("signal").rng();
        [self.train, self.test].map(|part| self.signal(self.count(part), &mut rng)).concat()
    }

    /// The task of a seed; [`Drawn::seed`] tells that of a trial.
    pub fn task(&self, seed: Seed) -> Filtering {
        let filter = self.filter(&mut seed.child("filter").rng());
        let input = self.input(seed);
        let mut target = filter.response(&input);
        let scored = &target[self.training()];
        let (middle, size) = (mean(scored), variance(scored).sqrt());
        target.iter_mut().for_each(|y| *y = (*y - middle) / size);
        Filtering { filter, input, target }
    }

    /// The tasks `range` of a family without end: in each a new filter and new inputs.
    ///
    /// The target is the filter's response. What is shown: the input, by `cells` cells whose tuning is Gaussian with centres evenly from −1 to 1. A readout is fitted
    /// on the steps [`training`](Self::training) and judged on [`testing`](Self::testing), where the input is a new one.
    ///
    /// Task `n` draws from `seed.nth(n)`. Memory: 4 bytes per step.
    ///
    /// Source: after Subramoney, Scherr and Maass 2019 (arXiv:1909.07486), readout learning; the generator's numbers are ours, as the text could not be read and
    /// no program has been released.
    ///
    /// ```
    /// use snn_core::{Dataset, Seed, Target};
    /// use snn_data::VolterraParams;
    /// let family = VolterraParams { train: 1.0, test: 0.5, ..Default::default() }.trials(Seed::new(1), 0..8)?;
    /// let Target::Series(wanted) = family.target(3) else { unreachable!() };
    /// let task = family.task().task(family.seed(3));
    /// assert_eq!((family.inputs(), family.steps(), wanted[700]), (20, 1500, task.target[700] as f32));
    /// # Ok::<(), snn_data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn trials(&self, seed: Seed, range: Range<u64>) -> Result<Drawn<Self>, DataError> {
        rate(OF, "rate", self.rate, self.dt)?;
        check(self.memory >= self.dt && self.memory.is_finite(), OF, "memory", self.memory, "at least one step")?;
        count(OF, "bumps", self.bumps)?;
        count(OF, "sines", self.sines)?;
        check(self.centre >= 0.0 && self.centre.is_finite(), OF, "centre", self.centre, "a finite number from 0 on")?;
        for (name, (low, high)) in [("spread", self.spread), ("period", self.period)] {
            check(low > 0.0 && high >= low && high.is_finite(), OF, name, low, "two finite numbers above 0, the smaller first")?;
        }
        check((2..=1 << 20).contains(&self.cells), OF, "cells", self.cells, "from 2 to 2²⁰")?;
        positive(OF, "width", self.width)?;
        let shortest = self.train.min(self.test);
        check(self.warm_up >= 0.0, OF, "warm_up", self.warm_up, "0 or more")?;
        check(shortest >= self.warm_up + 2.0 * self.dt, OF, "train, test", shortest, "at least two steps more than `warm_up`")?;
        steps(OF, "train + test", [(self.count(self.train), 1), (self.count(self.test), 1)])?;
        Ok(Drawn::new(self.clone(), seed, range))
    }
}

fn uniform(rng: &mut impl Rng, (low, high): (f64, f64)) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

impl Task for VolterraParams {
    fn name(&self) -> &'static str {
        "volterra"
    }
    fn inputs(&self) -> usize {
        self.cells
    }
    fn steps(&self) -> usize {
        self.count(self.train) + self.count(self.test)
    }
    fn classes(&self) -> usize {
        0
    }
    fn answer(&self, seed: Seed) -> Answer {
        Answer::Series(self.task(seed).target.iter().map(|&y| y as f32).collect())
    }
    fn draw(&self, seed: Seed, into: &mut Events) {
        let mut rng = seed.child("spikes").rng();
        let cells = Population::new(self.cells, -1.0, 1.0, self.width, self.rate * self.dt);
        self.input(seed).into_iter().enumerate().for_each(|(t, x)| cells.fire(&mut rng, x, t..t + 1, 0, into));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use snn_core::{Dataset, Raster};

    fn params() -> VolterraParams {
        VolterraParams { train: 0.6, test: 0.4, ..VolterraParams::default() }
    }

    fn delta(lag: usize) -> Vec<f64> {
        (0..5).map(|s| f64::from(s == lag)).collect()
    }

    #[test]
    fn filters_worked_by_hand() {
        let x = [1.0, -2.0, 3.0, 0.5];
        let identity = Volterra { first: delta(0), second: Vec::new() };
        assert_eq!(identity.response(&x), x);
        let late = Volterra { first: delta(2), second: Vec::new() };
        assert_eq!(late.response(&x), [0.0, 0.0, 1.0, -2.0]); // zeros before the beginning
        let product = Volterra { first: vec![0.0; 5], second: vec![(2.0, delta(0), delta(1))] };
        assert_eq!(product.response(&x), [0.0, -4.0, -12.0, 3.0]);
        assert_eq!((product.kernel(0, 1), product.kernel(1, 0), product.kernel(0, 0)), (1.0, 1.0, 0.0));
    }

    #[test]
    fn each_order_scales_as_it_should_and_is_the_double_sum() {
        let params = params();
        for k in 0..5 {
            let mut rng = Seed::new(1).nth(k).rng();
            let (filter, x) = (params.filter(&mut rng), params.signal(300, &mut rng));
            let doubled: Vec<f64> = x.iter().map(|x| 2.0 * x).collect();
            let linear = Volterra { second: Vec::new(), ..filter.clone() };
            let square = Volterra { first: vec![0.0; filter.first.len()], ..filter.clone() };
            for ((a, b), times) in [(&linear, 2.0), (&square, 4.0)].map(|(f, times)| ((f.response(&x), f.response(&doubled)), times)) {
                assert!(a.iter().zip(&b).all(|(a, b)| (times * a - b).abs() < 1e-12));
            }
            let y = filter.response(&x);
            for t in [0, 50, 99, 100, 299] {
                let lags = 0..100.min(t + 1);
                let one: f64 = lags.clone().map(|s| filter.first[s] * x[t - s]).sum();
                let two: f64 = lags
                    .clone()
                    .flat_map(|s| lags.clone().map(move |u| (s, u)))
                    .map(|(s, u)| filter.kernel(s, u) * x[t - s] * x[t - u])
                    .sum();
                assert!((one + two - y[t]).abs() < 1e-12);
            }
            let size: f64 = (0..100).flat_map(|s| (0..100).map(move |u| (s, u))).map(|(s, u)| filter.kernel(s, u).abs()).sum();
            assert!((size - 1.0).abs() < 1e-12 && (filter.first.iter().map(|k| k.abs()).sum::<f64>() - 1.0).abs() < 1e-12);
            assert!(x.iter().all(|x| x.abs() <= 1.0 + 1e-12));
        }
    }

    #[test]
    fn targets_are_standardised_on_what_a_readout_is_fitted_on() {
        let family = params().trials(Seed::new(2), 0..5).unwrap();
        for i in 0..5 {
            let target = family.task().task(family.seed(i)).target;
            let scored = &target[family.task().training()];
            assert!(mean(scored).abs() < 1e-12 && (variance(scored) - 1.0).abs() < 1e-12);
        }
        assert_eq!((family.task().training(), family.task().testing()), (200..600, 800..1000));
    }

    /// What was shown can be read off the cells: the mean of the centres of those that fired near a time.
    #[test]
    fn cells_show_the_input() {
        let params = VolterraParams { cells: 200, period: (0.5, 1.0), ..params() };
        let family = params.trials(Seed::new(3), 0..3).unwrap();
        let mut raster = Raster::default();
        for i in 0..3 {
            family.load(i, &mut raster);
            let input = params.task(family.seed(i)).input;
            for t in (100..900).step_by(100).filter(|t| !(590..610).contains(t)) {
                let shown: Vec<f64> = (t - 5..t + 5).flat_map(|s| raster.at(s)).map(|&c| 2.0 * f64::from(c) / 199.0 - 1.0).collect();
                // The slope is below 2π/0.5 a second; four standard errors of the mean, and what the ends of the range cut off.
                let error = 4.0 * 0.1 / (shown.len() as f64).sqrt() + 0.13;
                assert!(shown.len() > 20 && (mean(&shown) - input[t]).abs() < error, "{} {}", mean(&shown), input[t]);
            }
        }
    }

    #[test]
    fn impossible_parameters_are_named() {
        let refused = |params: VolterraParams| params.trials(Seed::new(1), 0..1).unwrap_err().to_string();
        assert!(refused(VolterraParams { warm_up: 5.0, ..VolterraParams::default() }).contains("train, test"));
        assert!(refused(VolterraParams { spread: (0.02, 0.01), ..VolterraParams::default() }).contains("spread"));
        assert!(refused(VolterraParams { period: (0.0, 1.0), ..VolterraParams::default() }).contains("period"));
        assert!(refused(VolterraParams { memory: 1e-4, ..VolterraParams::default() }).contains("memory"));
        assert!(refused(VolterraParams { rate: 2000.0, ..VolterraParams::default() }).contains("rate"));
        assert!(refused(VolterraParams { bumps: 0, ..VolterraParams::default() }).contains("bumps"));
        assert!(refused(VolterraParams { dt: 0.0, ..VolterraParams::default() }).contains("dt"));
    }
}
