use super::{Strategy, anywhere, ranked};
use crate::error::{ArchError, check};
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

/// Evolution strategies: a step along the gradient of the fitness, smoothed by a Gaussian, as mirrored samples see it.
///
/// ```text
/// candidates: θ itself, and θ ± ε_i,  ε_i ~ N(0, sigma²),  i = 1…pairs;   n = 2·pairs
/// θ ← θ + rate·Σ_k u_k·ε_k / sigma²
/// u_k = F_k/n,   or with `ranks`   max(0, ln(n/2 + 1) − ln rank_k)/Σ… − 1/n
/// ```
/// `θ` is a candidate of its own, so that the fitness known of it is its own and not that of a perturbation. Where a candidate was bounded, ε is what is left of it.
///
/// Sources: Salimans et al. 2017 (mirrored samples); Wierstra et al. 2014 (utilities).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evolution {
    /// Mirrored pairs of a generation, at least 1.
    pub pairs: usize,
    /// Spread of the samples (share of a parameter's range), above 0.
    pub sigma: f64,
    /// Step length, above 0.
    pub rate: f64,
    /// Whether only the order of the fitness counts.
    pub ranks: bool,
}

impl Default for Evolution {
    fn default() -> Self {
        Evolution { pairs: 20, sigma: 0.1, rate: 0.01, ranks: true }
    }
}

/// What evolution strategies remember.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    theta: Vec<f64>,
    before: Option<f64>, // fitness of the point of the last generation
}

impl Strategy for Evolution {
    const NAME: &'static str = "evolution";
    type Memory = Memory;

    fn check(&self) -> Result<(), ArchError> {
        const OF: &str = "Evolution";
        check(self.pairs >= 1, OF, "pairs", self.pairs, "1 or more")?;
        for (name, x) in [("sigma", self.sigma), ("rate", self.rate)] {
            check(x > 0.0 && x.is_finite(), OF, name, x, "a finite number above 0")?;
        }
        Ok(())
    }

    fn ask(&self, memory: &Memory, dims: usize, rng: &mut impl Rng) -> Vec<Vec<f64>> {
        let theta = if memory.theta.is_empty() { anywhere(1, dims, rng).swap_remove(0) } else { memory.theta.clone() };
        let mut points = vec![theta];
        for _ in 0..self.pairs {
            let epsilon: Vec<f64> = (0..dims).map(|_| self.sigma * rng.sample::<f64, _>(StandardNormal)).collect();
            let off = |sign: f64| points[0].iter().zip(&epsilon).map(|(t, e)| t + sign * e).collect();
            let pair = [off(1.0), off(-1.0)];
            points.extend(pair);
        }
        points
    }

    fn tell(&self, memory: &mut Memory, points: &[Vec<f64>], fitness: &[f64], _: &mut impl Rng) {
        let (theta, samples) = (&points[0], &points[1..]);
        let weights = self.utilities(&fitness[1..]);
        let along = |d: usize| samples.iter().zip(&weights).map(|(x, u)| u * (x[d] - theta[d])).sum::<f64>() / (self.sigma * self.sigma);
        memory.theta = theta.iter().enumerate().map(|(d, t)| (t + self.rate * along(d)).clamp(0.0, 1.0)).collect();
        memory.before = Some(fitness[0]);
    }

    fn stands<'a>(&self, memory: &'a Memory) -> Option<&'a [f64]> {
        (!memory.theta.is_empty()).then_some(&memory.theta)
    }
}

impl Evolution {
    /// What each sample counts.
    fn utilities(&self, fitness: &[f64]) -> Vec<f64> {
        let n = fitness.len() as f64;
        if !self.ranks {
            return fitness.iter().map(|f| f / n).collect();
        }
        let mut utilities = vec![0.0; fitness.len()];
        let raw = |rank: usize| ((n / 2.0 + 1.0).ln() - ((rank + 1) as f64).ln()).max(0.0);
        let total: f64 = (0..fitness.len()).map(raw).sum();
        ranked(fitness).into_iter().enumerate().for_each(|(rank, k)| utilities[k] = raw(rank) / total - 1.0 / n);
        utilities
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use snn_core::Seed;

    /// On a linear function the step is the gradient: its direction, and for plain fitness its length, `rate·g`.
    #[test]
    fn on_a_linear_function_the_step_is_the_gradient() {
        let g = [0.5, -1.0, 2.0, 0.0];
        let f = |x: &Vec<f64>| x.iter().zip(g).map(|(x, g)| x * g).sum::<f64>();
        for ranks in [false, true] {
            let es = Evolution { pairs: 4000, sigma: 0.01, rate: 1e-3, ranks };
            let (mut memory, mut rng) = (Memory { theta: vec![0.5; 4], before: None }, Seed::new(3).rng());
            let points = es.ask(&memory, 4, &mut rng);
            let fitness: Vec<f64> = points.iter().map(f).collect();
            es.tell(&mut memory, &points, &fitness, &mut rng);
            let step: Vec<f64> = memory.theta.iter().map(|t| t - 0.5).collect();
            let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
            let cosine = step.iter().zip(g).map(|(s, g)| s * g).sum::<f64>() / (norm(&step) * norm(&g));
            assert!(cosine > 0.998, "ranks {ranks}: {cosine}");
            assert!(ranks || (norm(&step) / (es.rate * norm(&g)) - 1.0).abs() < 0.05);
            assert_eq!(memory.before, Some(f(&vec![0.5; 4])), "the fitness of the point itself");
        }
    }

    #[test]
    fn utilities_are_those_of_the_formula() {
        let u = Evolution::default().utilities(&[0.1, 0.4, 0.3, 0.2]);
        let raw = [3f64.ln(), 3f64.ln() - 2f64.ln(), 0.0, 0.0]; // n/2 + 1 = 3
        let expected = [raw[3], raw[0], raw[1], raw[2]].map(|r| r / (raw[0] + raw[1]) - 0.25);
        assert!(u.iter().zip(expected).all(|(u, e)| (u - e).abs() < 1e-12) && u.iter().sum::<f64>().abs() < 1e-12, "{u:?}");
    }
}
