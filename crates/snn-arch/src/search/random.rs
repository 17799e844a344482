use super::{Strategy, anywhere, ranked};
use crate::error::{ArchError, check};
use rand::Rng;
use serde::{Deserialize, Serialize};

/// Random search: uniform candidates, the best is kept. What every other method has to beat.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Random {
    /// Candidates of a generation, at least 1.
    pub population: usize,
}

impl Default for Random {
    fn default() -> Self {
        Random { population: 40 }
    }
}

/// What random search remembers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    best: Option<(Vec<f64>, f64)>,
}

impl Strategy for Random {
    const NAME: &'static str = "random";
    type Memory = Memory;

    fn check(&self) -> Result<(), ArchError> {
        check(self.population >= 1, "Random", "population", self.population, "1 or more")
    }
    fn ask(&self, _: &Memory, dims: usize, rng: &mut impl Rng) -> Vec<Vec<f64>> {
        anywhere(self.population, dims, rng)
    }
    fn tell(&self, memory: &mut Memory, points: &[Vec<f64>], fitness: &[f64], _: &mut impl Rng) {
        let k = ranked(fitness)[0];
        if memory.best.as_ref().is_none_or(|best| fitness[k] > best.1) {
            memory.best = Some((points[k].clone(), fitness[k]));
        }
    }
    fn stands<'a>(&self, memory: &'a Memory) -> Option<&'a [f64]> {
        memory.best.as_ref().map(|(point, _)| point.as_slice())
    }
}
