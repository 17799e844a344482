use super::{Strategy, anywhere, ranked};
use crate::error::{ArchError, check};
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

/// Simulated annealing with parallel chains.
///
/// ```text
/// candidate of a chain at x: x + T·step·ξ,  ξ standard normal        the first candidate is x itself
/// taken if f > f(x), and else with probability exp((f − f(x))/(T·heat))
/// T by the schedule: 1 at first
/// ```
///
/// Source: Kirkpatrick, Gelatt and Vecchi 1983; parallel chains and steps that cool as in the L2L framework.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Annealing {
    /// Chains, at least 1: the candidates of a generation.
    pub chains: usize,
    /// Spread of a step at T = 1 (share of a parameter's range), above 0.
    pub step: f64,
    /// Fitness a step may lose at T = 1, above 0.
    pub heat: f64,
    /// How T falls.
    pub cooling: Cooling,
}

/// How the temperature falls with the generation g.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Cooling {
    /// `factorᵍ`; above 0 and below 1.
    Geometric(f64),
    /// `1/(1 + ln(1 + g))`.
    Logarithmic,
    /// `1 − g/end`, 0 afterwards.
    Linear(u64),
    /// `(1 − g/end)²`, 0 afterwards.
    Quadratic(u64),
}

impl Cooling {
    /// The temperature of generation `g`.
    ///
    /// ```
    /// use snn_arch::search::Cooling;
    /// assert_eq!([0, 5, 10, 11].map(|g| Cooling::Quadratic(10).temperature(g)), [1.0, 0.25, 0.0, 0.0]);
    /// ```
    pub fn temperature(self, g: u64) -> f64 {
        let left = |end: u64| 1.0 - g.min(end) as f64 / end as f64;
        match self {
            Cooling::Geometric(factor) => factor.powf(g as f64),
            Cooling::Logarithmic => 1.0 / (1.0 + (g as f64).ln_1p()),
            Cooling::Linear(end) => left(end),
            Cooling::Quadratic(end) => left(end).powi(2),
        }
    }
}

impl Default for Annealing {
    fn default() -> Self {
        Annealing { chains: 40, step: 0.1, heat: 0.05, cooling: Cooling::Geometric(0.97) }
    }
}

/// What annealing remembers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    points: Vec<Vec<f64>>,
    fitness: Vec<f64>,
    generation: u64, // steps taken
    best: usize,     // chain
}

impl Strategy for Annealing {
    const NAME: &'static str = "annealing";
    type Memory = Memory;

    fn check(&self) -> Result<(), ArchError> {
        const OF: &str = "Annealing";
        check(self.chains >= 1, OF, "chains", self.chains, "1 or more")?;
        for (name, x) in [("step", self.step), ("heat", self.heat)] {
            check(x > 0.0 && x.is_finite(), OF, name, x, "a finite number above 0")?;
        }
        let falls = match self.cooling {
            Cooling::Geometric(factor) => factor > 0.0 && factor < 1.0,
            Cooling::Linear(end) | Cooling::Quadratic(end) => end > 0,
            Cooling::Logarithmic => true,
        };
        check(falls, OF, "cooling", format!("{:?}", self.cooling), "a factor above 0 and below 1, or an end above 0")
    }

    fn ask(&self, memory: &Memory, dims: usize, rng: &mut impl Rng) -> Vec<Vec<f64>> {
        if memory.points.is_empty() {
            return anywhere(self.chains, dims, rng);
        }
        let spread = self.step * self.cooling.temperature(memory.generation);
        memory.points.iter().map(|x| x.iter().map(|x| x + spread * rng.sample::<f64, _>(StandardNormal)).collect()).collect()
    }

    fn tell(&self, memory: &mut Memory, points: &[Vec<f64>], fitness: &[f64], rng: &mut impl Rng) {
        if memory.points.is_empty() {
            (memory.points, memory.fitness) = (points.to_vec(), fitness.to_vec());
        } else {
            let heat = self.heat * self.cooling.temperature(memory.generation);
            for k in 0..points.len() {
                let gain = fitness[k] - memory.fitness[k];
                let chance = rng.random::<f64>();
                if gain > 0.0 || (heat > 0.0 && chance < (gain / heat).exp()) {
                    memory.points[k].clone_from(&points[k]);
                    memory.fitness[k] = fitness[k];
                }
            }
            memory.generation += 1;
        }
        memory.best = ranked(&memory.fitness)[0];
    }

    fn stands<'a>(&self, memory: &'a Memory) -> Option<&'a [f64]> {
        memory.points.get(memory.best).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use snn_core::Seed;

    #[test]
    fn a_cold_chain_never_goes_down_and_a_step_has_the_size_it_should() {
        let sa = Annealing { chains: 2000, step: 0.02, heat: 1e-9, cooling: Cooling::Geometric(0.5) };
        let (mut memory, mut rng) = (Memory::default(), Seed::new(1).rng());
        for g in 0..4 {
            let points = sa.ask(&memory, 1, &mut rng);
            if g > 0 {
                let square: f64 = points.iter().zip(&memory.points).map(|(a, b)| (a[0] - b[0]).powi(2)).sum::<f64>() / 2000.0;
                let expected = 0.02 * 0.5f64.powi(g - 1); // the first step is a whole one, once
                assert!((square.sqrt() / expected - 1.0).abs() < 0.07, "{g}: {} {expected}", square.sqrt());
            }
            let before = memory.fitness.clone();
            let fitness: Vec<f64> = points.iter().map(|x| x[0]).collect();
            sa.tell(&mut memory, &points, &fitness, &mut rng);
            assert!(before.iter().zip(&memory.fitness).all(|(b, a)| a >= b));
        }
    }
}
