use rand::{Rng, RngExt};
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

/// A normal distribution with a diagonal covariance: what the cross-entropy methods fit. Empty before the first fit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gaussian {
    /// Mean by coordinate.
    pub mean: Vec<f64>,
    /// Standard deviation by coordinate.
    pub std: Vec<f64>,
}

impl Gaussian {
    /// `n` samples, with an additional spread of `noise` in each coordinate; uniform in the unit cube before the first fit.
    pub(super) fn sample(&self, n: usize, dims: usize, noise: f64, rng: &mut impl Rng) -> Vec<Vec<f64>> {
        if self.mean.is_empty() {
            return super::anywhere(n, dims, rng);
        }
        let mut one = || {
            let coordinate = |(m, s): (&f64, &f64)| m + s.hypot(noise) * rng.sample::<f64, _>(StandardNormal);
            self.mean.iter().zip(&self.std).map(coordinate).collect()
        };
        (0..n).map(|_| one()).collect()
    }

    /// `new = smoothing·old + (1 − smoothing)·fit` of mean and standard deviation. Two points or more.
    pub(super) fn fit(&mut self, points: &[&Vec<f64>], smoothing: f64) {
        let n = points.len() as f64;
        let dims = points.first().map_or(0, |p| p.len());
        let mean: Vec<f64> = (0..dims).map(|d| points.iter().map(|p| p[d]).sum::<f64>() / n).collect();
        let std = |d: usize| (points.iter().map(|p| (p[d] - mean[d]).powi(2)).sum::<f64>() / n).sqrt();
        let std: Vec<f64> = (0..dims).map(std).collect();
        if self.mean.is_empty() {
            (self.mean, self.std) = (mean, std);
            return;
        }
        let blend =
            |old: &mut Vec<f64>, new: &[f64]| old.iter_mut().zip(new).for_each(|(o, n)| *o = smoothing * *o + (1.0 - smoothing) * n);
        blend(&mut self.mean, &mean);
        blend(&mut self.std, &std);
    }
}
