//! Least squares, one sample at a time.

/// Recursive least squares: the weights that minimise `Σ_t μ^{T−t}·(w·φ(t) − y(t))² + μ^T·λ·|w|²` after every sample.
///
/// ```text
/// k = P·φ/(μ + φᵀ·P·φ),   w += k·(y − w·φ),   P = (P − k·φᵀ·P)/μ;   P(0) = 1/λ
/// ```
/// With `μ = 1` that is ridge regression on all samples so far, exactly (Haykin 2002, chapter 9). Cost of a sample and memory: `N²`.
///
/// ```
/// use snn_learn::sodesn::Rls;
/// let mut line = Rls::new(2, 1e-9, 1.0);
/// for x in [0.0, 1.0, 2.0, 5.0] {
///     line.learn(&[x, 1.0], 3.0 * x + 1.0);
/// }
/// assert!((line.answer(&[10.0, 1.0]) - 31.0).abs() < 1e-6);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Rls {
    weights: Vec<f64>,
    /// Row by row, symmetric.
    p: Vec<f64>,
    forgetting: f64,
    /// `P·φ`.
    gain: Vec<f64>,
}

impl Rls {
    /// For `units` features, with penalty `lambda` (above 0) and forgetting factor `μ` (above 0, at most 1: nothing is forgotten).
    pub fn new(units: usize, lambda: f64, forgetting: f64) -> Self {
        let p = (0..units * units).map(|k| if k % (units + 1) == 0 { 1.0 / lambda } else { 0.0 }).collect();
        Rls { weights: vec![0.0; units], p, forgetting, gain: vec![0.0; units] }
    }

    /// `w`.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// `w·φ`.
    pub fn answer(&self, features: &[f64]) -> f64 {
        dot(&self.weights, features)
    }

    /// Learns one sample, and returns by how much the answer before was off: `y − w·φ`.
    ///
    /// # Panics
    /// If the features are another number.
    #[track_caller]
    pub fn learn(&mut self, features: &[f64], target: f64) -> f64 {
        let n = self.weights.len();
        assert_eq!(features.len(), n, "{} features for {n} weights", features.len());
        // P is symmetric: its rows are added up, which is done several numbers at a time.
        self.gain.fill(0.0);
        for (row, x) in self.p.chunks_exact(n.max(1)).zip(features) {
            self.gain.iter_mut().zip(row).for_each(|(gain, p)| *gain += x * p);
        }
        let scale = 1.0 / (self.forgetting + dot(&self.gain, features));
        let error = target - self.answer(features);
        for (i, row) in self.p.chunks_exact_mut(n.max(1)).enumerate() {
            let k = scale * self.gain[i];
            self.weights[i] += k * error;
            row.iter_mut().zip(&self.gain).for_each(|(p, g)| *p = (*p - k * g) / self.forgetting);
        }
        error
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use faer::linalg::solvers::Solve;
    use faer::{Mat, Side};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Without forgetting it is the solution of `(ΦᵀΦ + λ·1)·w = Φᵀy`; with it, that of weighted samples.
        #[test]
        fn recursion_is_the_batch_solution(samples in prop::collection::vec((prop::array::uniform4(-1.0f64..1.0), -2.0f64..2.0), 1..60), lambda in 0.01f64..1.0, mu in 0.9f64..=1.0) {
            let mut rls = Rls::new(4, lambda, mu);
            samples.iter().for_each(|(phi, y)| { rls.learn(phi, *y); });
            let n = samples.len() as i32;
            let weight = |t: usize| mu.powi(n - 1 - t as i32);
            let sum = |f: &dyn Fn(usize) -> f64| (0..samples.len()).map(|t| weight(t) * f(t)).sum::<f64>();
            let square = Mat::from_fn(4, 4, |a, b| sum(&|t| samples[t].0[a] * samples[t].0[b]) + if a == b { lambda * mu.powi(n) } else { 0.0 });
            let right = Mat::from_fn(4, 1, |a, _| sum(&|t| samples[t].0[a] * samples[t].1));
            let batch = square.llt(Side::Lower).unwrap().solve(&right);
            for (a, w) in rls.weights().iter().enumerate() {
                prop_assert!((w - batch[(a, 0)]).abs() <= 1e-8 * (1.0 + w.abs()), "{w} {}", batch[(a, 0)]);
            }
        }
    }
}
