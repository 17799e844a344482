//! A family unlike any series of filters: nonlinear autoregressive moving averages.

use crate::{
    drawn::{Answer, Drawn, Task},
    error::{DataError, check, count},
    fire::Events,
    volterra::VolterraParams,
};
use rand::RngExt;
use snn_core::Seed;
use snn_core::stats::{mean, variance};
use std::ops::Range;

/// What the series and their inputs are like.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct NarmaParams {
    /// The input, how it is shown, and the parts of a trial.
    pub shown: VolterraParams,
    /// Least and highest order of a trial's recursion, from 1; 3 and 10 by default.
    pub order: (usize, usize),
    /// Steps of the network in one of the recursion, at least 1; 10 by default.
    pub stride: usize,
}

impl Default for NarmaParams {
    fn default() -> Self {
        NarmaParams { shown: VolterraParams::default(), order: (3, 10), stride: 10 }
    }
}

impl NarmaParams {
    /// The series of a seed: what should be computed from the input, in standard units of the first part's scored steps.
    ///
    /// ```text
    /// u = (x + 1)/4,   y(k+1) = tanh(0.3·y(k) + (0.5/n)·y(k)·Σ_{i<n} y(k−i) + 1.5·u(k−n+1)·u(k) + 0.1)
    /// ```
    /// The recursion takes a step every `stride` steps of the network; its order `n` is the task. Values between are held.
    ///
    /// Source: Atiya & Parlos 2000 (NARMA of order 10, whose second coefficient is 0.05); the hyperbolic tangent, without which slow inputs make it run away, is that
    /// of order 20 (Rodan & Tiňo 2011). A random order and the time scale are ours.
    pub fn series(&self, seed: Seed) -> Vec<f64> {
        let stride = self.stride;
        let n = seed.child("order").rng().random_range(self.order.0..=self.order.1);
        let x = self.shown.input(seed);
        let u: Vec<f64> = x.iter().step_by(stride).map(|x| 0.25 * (x + 1.0)).collect();
        let mut y = vec![0.0; u.len()];
        for k in 0..u.len().saturating_sub(1) {
            let before = |i: usize| k.checked_sub(i).map_or(0.0, |k| y[k]);
            let sum: f64 = (0..n).map(before).sum();
            let late = k.checked_sub(n - 1).map_or(0.0, |k| u[k]);
            y[k + 1] = (0.3 * y[k] + 0.5 / n as f64 * y[k] * sum + 1.5 * late * u[k] + 0.1).tanh();
        }
        let mut held: Vec<f64> = (0..x.len()).map(|t| y[t / stride]).collect();
        let scored = &held[self.shown.training()];
        let (middle, size) = (mean(scored), variance(scored).sqrt());
        held.iter_mut().for_each(|y| *y = (*y - middle) / size);
        held
    }

    /// The tasks `range` of a family without end.
    ///
    /// ```
    /// use snn_core::{Dataset, Seed};
    /// use snn_data::{NarmaParams, VolterraParams};
    /// let shown = VolterraParams { train: 1.0, test: 0.5, ..Default::default() };
    /// let family = NarmaParams { shown, ..Default::default() }.trials(Seed::new(1), 0..4)?;
    /// assert_eq!((family.inputs(), family.steps(), family.len()), (20, 1500, 4));
    /// # Ok::<(), snn_data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn trials(&self, seed: Seed, range: Range<u64>) -> Result<Drawn<Self>, DataError> {
        self.shown.trials(seed, 0..0)?;
        count("NarmaParams", "order", self.order.0)?;
        check(self.order.1 >= self.order.0, "NarmaParams", "order", self.order.1, "the larger order second")?;
        count("NarmaParams", "stride", self.stride)?;
        Ok(Drawn::new(self.clone(), seed, range))
    }
}

impl Task for NarmaParams {
    fn name(&self) -> &'static str {
        "narma"
    }
    fn inputs(&self) -> usize {
        self.shown.inputs()
    }
    fn steps(&self) -> usize {
        self.shown.steps()
    }
    fn classes(&self) -> usize {
        0
    }
    fn answer(&self, seed: Seed) -> Answer {
        Answer::Series(self.series(seed).iter().map(|&y| y as f32).collect())
    }
    fn draw(&self, seed: Seed, into: &mut Events) {
        self.shown.draw(seed, into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first values worked by hand, and never out of bounds.
    #[test]
    fn recursion_and_bounds() {
        let shown = VolterraParams { train: 2.0, test: 1.0, warm_up: 0.0, ..VolterraParams::default() };
        let params = NarmaParams { shown: shown.clone(), order: (2, 2), stride: 10 };
        for seed in (0..20).map(|k| Seed::new(4).nth(k)) {
            let (x, y) = (shown.input(seed), params.series(seed));
            let u = |k: usize| 0.25 * (x[10 * k] + 1.0);
            let first = 0.1f64.tanh(); // nothing but the constant: the order-1-steps earlier input is 0
            let second = (0.3 * first + 0.25 * first * first + 1.5 * u(0) * u(1) + 0.1).tanh();
            let third = (0.3 * second + 0.25 * second * (second + first) + 1.5 * u(1) * u(2) + 0.1).tanh();
            // Standard units keep ratios of differences.
            let ratio = (y[30] - y[20]) / (y[20] - y[10]);
            assert!((ratio - (third - second) / (second - first)).abs() < 1e-9 * ratio.abs().max(1.0), "{ratio}");
            assert!(y.iter().all(|y| y.is_finite() && y.abs() < 20.0));
            assert_eq!(y[20], y[29]);
        }
        assert!(NarmaParams { order: (5, 2), ..params.clone() }.trials(Seed::new(1), 0..1).is_err());
        assert!(NarmaParams { order: (0, 2), ..params }.trials(Seed::new(1), 0..1).is_err());
    }
}
