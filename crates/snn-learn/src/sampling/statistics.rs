//! What is counted of sampled states: how often each was met, and averages.

use super::{Boltzmann, MOST_ENUMERATED};

/// How often each state of at most [`MOST_ENUMERATED`] units was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram(Vec<u64>);

impl Histogram {
    /// Of `units` units; of the first [`MOST_ENUMERATED`] if there are more.
    pub fn new(units: usize) -> Self {
        Histogram(vec![0; 1 << units.min(MOST_ENUMERATED)])
    }

    /// Counts a state.
    pub fn add(&mut self, z: &[bool]) {
        let state = z.iter().take(MOST_ENUMERATED).enumerate().fold(0, |s, (k, &on)| s | usize::from(on) << k);
        self.0[state] += 1;
    }

    /// The share of each state, every one counted `floor` times more than it was met.
    pub fn shares(&self, floor: f64) -> Vec<f64> {
        let sum = self.0.iter().map(|&n| n as f64 + floor).sum::<f64>();
        self.0.iter().map(|&n| (n as f64 + floor) / sum).collect()
    }

    /// `D_KL(p ‖ q) = Σ p·ln(p/q)` from the target `p` to the sampled `q`, each state counted once more than it was met: a state that was never met would
    /// make it infinite, and left out it would make it too small.
    pub fn divergence_from(&self, target: &[f64]) -> f64 {
        let met = self.shares(1.0);
        target.iter().zip(met).filter(|(p, _)| **p > 0.0).map(|(p, q)| p * (p / q).ln()).sum()
    }
}

/// Averages over states: how often each unit is on, and both of each pair.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// `⟨z_i⟩`.
    pub units: Vec<f64>,
    /// `⟨z_i·z_j⟩` of each of [`Boltzmann::pairs`].
    pub pairs: Vec<f64>,
    count: f64,
}

impl Moments {
    /// Of nothing yet.
    pub fn new(of: &Boltzmann) -> Self {
        Moments { units: vec![0.0; of.size()], pairs: vec![0.0; of.pairs().len()], count: 0.0 }
    }

    /// Of a distribution that is known: the probability of every state, as [`Boltzmann::exact`] gives it.
    pub fn exact(of: &Boltzmann, p: &[f64]) -> Self {
        let mut moments = Self::new(of);
        for (s, &p) in p.iter().enumerate() {
            let z: Vec<bool> = (0..of.size()).map(|k| s >> k & 1 == 1).collect();
            moments.add(of, &z, p);
        }
        moments
    }

    /// Counts a state with this weight.
    pub fn add(&mut self, of: &Boltzmann, z: &[bool], weight: f64) {
        let count = self.count + weight;
        let rate = if count > 0.0 { weight / count } else { 0.0 };
        let towards = |mean: &mut f64, on: bool| *mean += rate * (f64::from(u8::from(on)) - *mean);
        self.units.iter_mut().zip(z).for_each(|(mean, &on)| towards(mean, on));
        self.pairs.iter_mut().zip(of.pairs()).for_each(|(mean, &(i, j))| towards(mean, z[i as usize] && z[j as usize]));
        self.count = count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use snn_core::Seed;

    #[test]
    fn moments_of_states_are_those_of_their_distribution() {
        let target = Boltzmann::random(4, 1.0, 1.0, Seed::new(5));
        let (p, mut sampled, mut rng, mut z) = (target.exact().unwrap(), Moments::new(&target), Seed::new(6).rng(), vec![false; 4]);
        for _ in 0..40_000 {
            target.sweep(&mut z, &[None; 4], &mut rng);
            sampled.add(&target, &z, 1.0);
        }
        let exact = Moments::exact(&target, &p);
        let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 0.02);
        assert!(close(&sampled.units, &exact.units) && close(&sampled.pairs, &exact.pairs));
    }

    #[test]
    fn divergence_counts_what_was_never_met() {
        let mut met = Histogram::new(1);
        (0..8).for_each(|_| met.add(&[true]));
        let expected = 0.5 * (0.5f64 / 0.1).ln() + 0.5 * (0.5f64 / 0.9).ln();
        assert!((met.divergence_from(&[0.5, 0.5]) - expected).abs() < 1e-12);
        assert!(met.divergence_from(&[0.1, 0.9]).abs() < 1e-12);
    }
}
