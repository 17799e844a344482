use super::{Strategy, anywhere};
use crate::error::{ArchError, check};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// Tournaments of two among whole numbers: the loser becomes a mutated copy of the winner.
///
/// ```text
/// a, b: two of the population;   loser ← winner;   each of its D numbers with probability 1/D: k ← (k + step) mod choices, step uniform in −reach … reach
/// ```
/// A generation is one tournament: two candidates. Each coordinate takes one of `choices` values, `(k + ½)/choices`: give a search the space
/// [`Space::whole`](super::Space::whole). Equal fitness: the first wins. It stands at the last winner.
///
/// Source: Harvey 2011, "The microbial genetic algorithm", without recombination, as in Fernando et al. 2017 (arXiv:1701.08734).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tournament {
    /// Candidates that live at once, at least 2.
    pub population: usize,
    /// Values of each number, at least 2.
    pub choices: usize,
    /// Longest step of a mutation, at least 1.
    pub reach: usize,
}

impl Default for Tournament {
    fn default() -> Self {
        Tournament { population: 20, choices: 100, reach: 5 }
    }
}

/// What tournaments remember: all that live, and which two meet next.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    living: Vec<Vec<f64>>,
    next: (usize, usize),
    winner: Option<Vec<f64>>,
}

impl Tournament {
    /// The nearest value that a coordinate can take.
    fn round(&self, x: f64) -> f64 {
        self.at(((x * self.choices as f64) as usize).min(self.choices - 1))
    }

    fn at(&self, k: usize) -> f64 {
        (k as f64 + 0.5) / self.choices as f64
    }

    fn mutate(&self, point: &mut [f64], rng: &mut impl Rng) {
        let (dims, n, reach) = (point.len() as f64, self.choices as i64, self.reach as i64);
        for x in point {
            if rng.random::<f64>() * dims < 1.0 {
                let k = (*x * n as f64) as i64 + rng.random_range(-reach..=reach);
                *x = self.at(k.rem_euclid(n) as usize);
            }
        }
    }
}

impl Strategy for Tournament {
    const NAME: &'static str = "tournament";
    type Memory = Memory;

    fn check(&self) -> Result<(), ArchError> {
        const OF: &str = "Tournament";
        check(self.population >= 2, OF, "population", self.population, "2 or more")?;
        check(self.choices >= 2, OF, "choices", self.choices, "2 or more")?;
        check(self.reach >= 1, OF, "reach", self.reach, "1 or more")
    }

    fn ask(&self, memory: &Memory, dims: usize, rng: &mut impl Rng) -> Vec<Vec<f64>> {
        match memory.living.is_empty() {
            true => anywhere(2, dims, rng).into_iter().map(|point| point.into_iter().map(|x| self.round(x)).collect()).collect(),
            false => vec![memory.living[memory.next.0].clone(), memory.living[memory.next.1].clone()],
        }
    }

    fn tell(&self, memory: &mut Memory, points: &[Vec<f64>], fitness: &[f64], rng: &mut impl Rng) {
        if memory.living.is_empty() {
            let others = anywhere(self.population - 2, points[0].len(), rng);
            memory.living = points.iter().cloned().chain(others).map(|p| p.into_iter().map(|x| self.round(x)).collect()).collect();
            memory.next = (0, 1);
        }
        let (a, b) = memory.next;
        let (winner, loser) = if fitness[1] > fitness[0] { (b, a) } else { (a, b) };
        let mut copy = memory.living[winner].clone();
        memory.winner = Some(copy.clone());
        self.mutate(&mut copy, rng);
        memory.living[loser] = copy;
        let first = rng.random_range(0..self.population);
        let second = rng.random_range(0..self.population - 1);
        memory.next = (first, second + usize::from(second >= first));
    }

    fn stands<'a>(&self, memory: &'a Memory) -> Option<&'a [f64]> {
        memory.winner.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use snn_core::Seed;

    /// One changes per tournament; mutations are D draws at 1/D, uniform over the reach, wrapped.
    #[test]
    fn mutations_have_their_law() {
        let rule = Tournament { population: 8, choices: 10, reach: 2 };
        let (mut memory, mut rng) = (Memory::default(), Seed::new(1).rng());
        let (dims, rounds) = (9, 20_000);
        let mut steps = [0u32; 5];
        let mut changed = 0;
        for round in 0..rounds {
            let points = rule.ask(&memory, dims, &mut rng);
            let before = memory.living.clone();
            rule.tell(&mut memory, &points, &[0.0, f64::from(round % 2)], &mut rng);
            let winner = memory.winner.clone().unwrap();
            assert_eq!(winner, points[(round % 2) as usize]);
            if round == 0 {
                continue; // it was born
            }
            let other: Vec<usize> = (0..8).filter(|&k| before[k] != memory.living[k]).collect();
            assert!(other.len() <= 1, "{other:?}");
            let Some(&k) = other.first() else { continue };
            for (new, old) in memory.living[k].iter().zip(&winner) {
                let by = ((new - old) * 10.0).round() as i64;
                let by = (by + 5).rem_euclid(10) - 5; // the short way round
                assert!(by.abs() <= 2);
                steps[(by + 2) as usize] += 1;
                changed += u32::from(by != 0);
            }
        }
        // One entry a mutation, a fifth of which stay: four fifths of a change, and not every mutation shows.
        let mean = f64::from(changed) / f64::from(rounds);
        assert!((mean - 0.8).abs() < 0.03, "{mean}");
        let [a, b, _, c, d] = steps.map(f64::from);
        for n in [a, b, c, d] {
            assert!((n / f64::from(rounds) - 0.2).abs() < 0.015, "{steps:?}");
        }
    }

    /// Without learning, fitness being the number of good choices, it finds them all.
    #[test]
    fn good_choices_are_found() {
        let rule = Tournament { population: 16, choices: 10, reach: 2 };
        let (mut memory, mut rng) = (Memory::default(), Seed::new(2).rng());
        for _ in 0..3000 {
            let points = rule.ask(&memory, 9, &mut rng);
            let fitness: Vec<f64> = points.iter().map(|p| p.iter().filter(|x| ((**x * 10.0) as usize) < 3).count() as f64).collect();
            rule.tell(&mut memory, &points, &fitness, &mut rng);
        }
        assert!(rule.stands(&memory).unwrap().iter().all(|x| *x < 0.3));
    }
}
