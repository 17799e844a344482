use super::{Gaussian, Strategy, ranked, share};
use crate::error::{ArchError, check};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// The cross-entropy method: a diagonal Gaussian is fitted to the best candidates it has sampled.
///
/// ```text
/// x ~ N(m, s² + (noise·decayᵍ)²)           generation g; the first is uniform
/// elite: the max(2, ⌊elite·population⌋) best; another joins with probability exp((f − f_worst elite)/(temperature·decayᵍ))
/// m, s ← smoothing·(m, s) + (1 − smoothing)·(mean, standard deviation of the elite)
/// ```
/// The additional noise keeps it from settling on a lucky point. A full covariance would need more elites than dimensions; the diagonal needs two.
///
/// Sources: Rubinstein and Kroese 2004; the noise Szita and Lőrincz 2006; the acceptance of others as in the L2L framework (Subramoney et al. 2019).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrossEntropy {
    /// Candidates of a generation, at least 2.
    pub population: usize,
    /// Share of them that is fitted, above 0 and at most 1; never fewer than two candidates.
    pub elite: f64,
    /// How much of the old distribution is kept, from 0 to below 1.
    pub smoothing: f64,
    /// Additional spread (share of a parameter's range) of the first fitted generation; 0 is the plain method.
    pub noise: f64,
    /// Fitness by which candidates outside the elite may be worse than it and still be accepted now and then; 0: none is.
    pub temperature: f64,
    /// What noise and temperature are multiplied by from generation to generation, above 0 and at most 1.
    pub decay: f64,
}

impl Default for CrossEntropy {
    fn default() -> Self {
        CrossEntropy { population: 40, elite: 0.2, smoothing: 0.2, noise: 0.05, temperature: 0.0, decay: 0.95 }
    }
}

/// What cross-entropy remembers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    distribution: Gaussian,
    generation: i32,
}

impl Strategy for CrossEntropy {
    const NAME: &'static str = "cross-entropy";
    type Memory = Memory;

    fn check(&self) -> Result<(), ArchError> {
        const OF: &str = "CrossEntropy";
        check(self.population >= 2, OF, "population", self.population, "2 or more")?;
        share(OF, "elite", self.elite)?;
        share(OF, "decay", self.decay)?;
        check((0.0..1.0).contains(&self.smoothing), OF, "smoothing", self.smoothing, "a number from 0 to below 1")?;
        for (name, x) in [("noise", self.noise), ("temperature", self.temperature)] {
            check(x >= 0.0 && x.is_finite(), OF, name, x, "a finite number, 0 or more")?;
        }
        Ok(())
    }

    fn ask(&self, memory: &Memory, dims: usize, rng: &mut impl Rng) -> Vec<Vec<f64>> {
        memory.distribution.sample(self.population, dims, self.noise * self.decay.powi(memory.generation), rng)
    }

    fn tell(&self, memory: &mut Memory, points: &[Vec<f64>], fitness: &[f64], rng: &mut impl Rng) {
        let temperature = self.temperature * self.decay.powi(memory.generation);
        let chosen = self.chosen(fitness, temperature, rng);
        memory.distribution.fit(&chosen.iter().map(|&k| &points[k]).collect::<Vec<_>>(), self.smoothing);
        memory.generation += 1;
    }

    fn stands<'a>(&self, memory: &'a Memory) -> Option<&'a [f64]> {
        (!memory.distribution.mean.is_empty()).then_some(&memory.distribution.mean)
    }
}

impl CrossEntropy {
    /// The candidates to fit, the best first: the elite, and at a temperature above 0 some of the others.
    fn chosen(&self, fitness: &[f64], temperature: f64, rng: &mut impl Rng) -> Vec<usize> {
        let order = ranked(fitness);
        let elite = ((self.elite * self.population as f64) as usize).clamp(2, order.len().max(2)).min(order.len());
        let worst = fitness[order[elite - 1]];
        let mut accepted = |k: &usize| temperature > 0.0 && rng.random::<f64>() < ((fitness[*k] - worst) / temperature).exp();
        let others: Vec<usize> = order[elite..].iter().copied().filter(|k| accepted(k)).collect();
        order[..elite].iter().copied().chain(others).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use snn_core::Seed;

    #[test]
    fn the_elite_is_sorted_and_never_empty_or_alone() {
        let fitness = [0.3, 0.9, -1.0, 0.5, 0.7];
        let of = |elite| CrossEntropy { population: 5, elite, ..CrossEntropy::default() };
        let mut rng = Seed::new(1).rng();
        assert_eq!(of(0.6).chosen(&fitness, 0.0, &mut rng), [1, 4, 3]);
        assert_eq!(of(0.01).chosen(&fitness, 0.0, &mut rng), [1, 4], "int(0.01 · 5) = 0 elites would fit nothing");
        assert_eq!(of(1.0).chosen(&fitness, 0.0, &mut rng).len(), 5);
    }

    /// Who is accepted beside the elite is judged by its own fitness, wherever it stood in the list.
    #[test]
    fn others_are_accepted_by_their_own_fitness() {
        let fitness = [-9.0, 1.0, 0.9999, -9.0, 2.0, -9.0];
        let of = CrossEntropy { population: 6, elite: 0.34, ..CrossEntropy::default() };
        let mut rng = Seed::new(2).rng();
        let mut near = 0;
        for _ in 0..200 {
            let chosen = of.chosen(&fitness, 0.01, &mut rng);
            assert!(chosen.starts_with(&[4, 1]) && chosen[2..].iter().all(|&k| k == 2), "{chosen:?}");
            near += chosen.len() - 2;
        }
        assert!(near > 190, "{near}"); // exp(−0.01) = 0.99
    }
}
