use super::{Gaussian, Strategy, ranked};
use crate::error::{ArchError, check};
use rand::Rng;
use serde::{Deserialize, Serialize};

/// Fully automated cross-entropy: a generation samples until it has found something better than the one before, or has sampled enough.
///
/// ```text
/// sample `least` candidates; while neither the best nor the worst elite is better than in the last fit, and fewer than `most` were sampled: `more` of them
/// m, s ← smoothing·(m, s) + (1 − smoothing)·(mean, standard deviation of the `elite` best of all of them)
/// ```
/// Each of these portions is a generation of the search. With fitness on new tasks in every portion, better may mean luckier.
///
/// Source: Rubinstein and Kroese 2004, section 5 (FACE); as in the L2L framework.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Face {
    /// First portion of a fit, at least 2.
    pub least: usize,
    /// Further portions, at least 1.
    pub more: usize,
    /// From so many samples on it fits whatever it has.
    pub most: usize,
    /// Candidates fitted, at least 2 and at most `least`.
    pub elite: usize,
    /// How much of the old distribution is kept, from 0 to below 1.
    pub smoothing: f64,
}

impl Default for Face {
    fn default() -> Self {
        Face { least: 20, more: 20, most: 80, elite: 8, smoothing: 0.2 }
    }
}

/// What FACE remembers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    distribution: Gaussian,
    points: Vec<Vec<f64>>,
    fitness: Vec<f64>,
    last: Option<(f64, f64)>, // the best and the worst elite of the last fit
}

impl Strategy for Face {
    const NAME: &'static str = "face";
    type Memory = Memory;

    fn check(&self) -> Result<(), ArchError> {
        const OF: &str = "Face";
        check(self.elite >= 2 && self.elite <= self.least, OF, "elite", self.elite, "2 or more, and at most `least`")?;
        check(self.more >= 1, OF, "more", self.more, "1 or more")?;
        check(self.most >= self.least, OF, "most", self.most, "at least `least`")?;
        check((0.0..1.0).contains(&self.smoothing), OF, "smoothing", self.smoothing, "a number from 0 to below 1")
    }

    fn ask(&self, memory: &Memory, dims: usize, rng: &mut impl Rng) -> Vec<Vec<f64>> {
        let portion = if memory.points.is_empty() { self.least } else { self.more };
        memory.distribution.sample(portion, dims, 0.0, rng)
    }

    fn tell(&self, memory: &mut Memory, points: &[Vec<f64>], fitness: &[f64], _: &mut impl Rng) {
        memory.points.extend_from_slice(points);
        memory.fitness.extend_from_slice(fitness);
        let order = ranked(&memory.fitness);
        let elite = &order[..self.elite.min(order.len())];
        let now = (memory.fitness[elite[0]], memory.fitness[elite[elite.len() - 1]]);
        let better = memory.last.is_none_or(|last| now.0 > last.0 || now.1 > last.1);
        if better || memory.points.len() >= self.most {
            memory.distribution.fit(&elite.iter().map(|&k| &memory.points[k]).collect::<Vec<_>>(), self.smoothing);
            memory.last = Some(now);
            memory.points.clear();
            memory.fitness.clear();
        }
    }

    fn stands<'a>(&self, memory: &'a Memory) -> Option<&'a [f64]> {
        (!memory.distribution.mean.is_empty()).then_some(&memory.distribution.mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use snn_core::Seed;

    #[test]
    fn it_samples_more_until_something_is_better() {
        let (face, mut memory, mut rng) =
            (Face { least: 4, more: 3, most: 9, elite: 2, smoothing: 0.0 }, Memory::default(), Seed::new(1).rng());
        let mut tell = |fitness: f64| {
            let points = face.ask(&memory, 2, &mut rng);
            face.tell(&mut memory, &points, &vec![fitness; points.len()], &mut rng);
            points.len()
        };
        assert_eq!([1.0, 0.5, 0.5, 2.0, 0.0].map(&mut tell), [4, 4, 3, 3, 4]); // first; no better; no better, and better; new
        assert_eq!([0.0, 0.0, 0.0].map(&mut tell), [3, 3, 4]); // 4 + 3 + 3 ≥ 9: enough
    }
}
