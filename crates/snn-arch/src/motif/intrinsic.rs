//! Intrinsic plasticity of rates.

use crate::error::{ArchError, check};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use snn_core::{Dataset, Raster};
use snn_learn::Trainer;
use snn_sparse::{Record, Wants};

/// Intrinsic plasticity that brings a neuron's rate towards an exponential distribution, by its resistance `R` and time constant `τ` (in steps), without labels:
///
/// ```text
/// y: spikes per step;   X = 1/(exp((1/y − t_ref)/τ) − 1),  β = 1/μ
/// R ← R + η_R·(2·y·τ − X − 1 − β·τ·y²)/(R·X),   τ ← τ + η_τ·(2·t_ref·y − 1 − β·(t_ref·y² − y))/τ        y > 0.01
/// R ← R + 0.1·η_R,                               τ ← τ − 0.1·η_τ                                          otherwise
/// ```
/// in units of the threshold; both stay within `range` times where the constants put them.
///
/// Source: Zhang & Li 2019, "Information-theoretic intrinsic plasticity for online unsupervised learning in spiking neural networks" (SpiKL-IP), released code.
/// Departures: the rate is the mean over a window of trials, not a calcium trace, and there is one step a window; the rates `η` are those of the code (5, where R and τ are 64)
/// for other sizes of R and τ: `5·(R/64)²`, `5·(τ/64)²`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpikL {
    /// Where R begins, above 0.
    pub resistance: f64,
    /// Where τ begins, in steps, above 0.
    pub tau: f64,
    /// `1/μ`: the inverse of the wanted mean rate, 5 in the code.
    pub beta: f64,
    /// Steps after a spike without another.
    pub t_ref: f64,
    /// Factor on both rates; 1 is the code's.
    pub speed: f64,
    /// Least and largest share of where they begin; ½ and 8 in the code.
    pub range: (f64, f64),
}

impl SpikL {
    /// The code's constants for neurons that begin with `R = resistance`, `τ = tau` steps.
    pub fn new(resistance: f64, tau: f64) -> Self {
        SpikL { resistance, tau, beta: 5.0, t_ref: 0.0, speed: 1.0, range: (0.5, 8.0) }
    }

    /// `(R, τ)` after a step at a rate of `y` spikes per step.
    pub fn step(&self, [r, tau]: [f64; 2], y: f64) -> [f64; 2] {
        let rate = |x: f64| 5.0 * self.speed * (x / 64.0).powi(2);
        let (eta_r, eta_tau) = (rate(self.resistance), rate(self.tau));
        let [dr, dtau] = if y > 0.01 {
            let x = 1.0 / (((1.0 / y - self.t_ref) / tau).exp() - 1.0);
            [
                eta_r * (2.0 * y * tau - x - 1.0 - self.beta * tau * y * y) / (r * x),
                eta_tau * (2.0 * self.t_ref * y - 1.0 - self.beta * (self.t_ref * y * y - y)) / tau,
            ]
        } else {
            [0.1 * eta_r, -0.1 * eta_tau]
        };
        let within = |x: f64, start: f64| x.clamp(self.range.0 * start, self.range.1 * start);
        [within(r + dr, self.resistance), within(tau + dtau, self.tau)]
    }

    /// One step of every neuron of `population` at its mean rate over some trials, which the trainer's network runs as it is. The population learns `tau` and `resistance`
    /// (give the trainer a rate of 0 for them, if the gradient shall not move them).
    ///
    /// # Errors
    /// If the population does not learn them.
    pub fn apply(&self, trainer: &mut Trainer, population: &str, data: &dyn Dataset, trials: &[usize]) -> Result<(), ArchError> {
        let engine = trainer.engine();
        let draft = engine.network().draft();
        let place = |name: &str| {
            let fits = |p: &snn_sparse::Parameter<f32>| draft.populations[p.population].name == population && p.name == name;
            engine.parameters().iter().position(fits)
        };
        let (Some(resistance), Some(tau)) = (place("resistance"), place("tau")) else {
            return Err(check(false, "SpikL", "population", population, "one that learns `tau` and `resistance`").unwrap_err());
        };
        let p = engine.parameters()[tau].population;
        let (dt, links, size) = (engine.network().dt(), engine.links().len(), engine.cells()[p].size());
        let one = |(raster, record): &mut (Raster, Record<f32>), &i: &usize| {
            data.load(i, raster);
            engine.run(&[raster], Wants::Spikes, record);
            let mut counts = vec![0u64; size];
            (0..record.spikes[p].steps()).flat_map(|t| record.spikes[p].at(t)).for_each(|&j| counts[j as usize] += 1);
            counts
        };
        let sum = |mut a: Vec<u64>, b: Vec<u64>| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
            a
        };
        // Sums of whole numbers: the order does not matter.
        let counts = trials.par_iter().map_init(|| (Raster::default(), Record::new(engine)), one).reduce(|| vec![0; size], sum);
        let all = (trials.len() * data.steps()).max(1) as f64;
        let mut state = trainer.checkpoint();
        for (j, count) in counts.iter().enumerate() {
            let before = [f64::from(state.weights[links + resistance][j]), f64::from(state.weights[links + tau][j]) / dt];
            let [r, t] = self.step(before, *count as f64 / all);
            state.weights[links + resistance][j] = r as f32;
            state.weights[links + tau][j] = (t * dt) as f32;
        }
        Ok(trainer.restore(&state)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A silent neuron's R rises and its τ falls linearly to the ends of the range; one at rest is where both numerators are 0.
    #[test]
    fn silence_and_rest() {
        let rule = SpikL::new(5.0, 5.0);
        let mut at = [5.0, 5.0];
        let first = rule.step(at, 0.0);
        assert!((first[0] - 5.0 - 0.5 * (5.0f64 / 64.0).powi(2)).abs() < 1e-12 && (5.0 - first[1] - (first[0] - 5.0)).abs() < 1e-12);
        (0..20_000).for_each(|_| at = rule.step(at, 0.0));
        assert_eq!(at, [40.0, 2.5]);
        // 2·t_ref·y − 1 + β·(y − t_ref·y²) = 0 at y = 0.2 for t_ref = 0, β = 5; the time constant stays there, for any R.
        assert_eq!(rule.step([5.0, 5.0], 0.2)[1], 5.0);
        assert!(rule.step([5.0, 5.0], 0.3)[1] > 5.0 && rule.step([5.0, 5.0], 0.1)[1] < 5.0);
        // And R where 2·y·τ − X − 1 − β·τ·y² = 0.
        let (y, beta) = (0.1, 5.0);
        let of = |tau: f64| 2.0 * y * tau - 1.0 / ((1.0f64 / y / tau).exp() - 1.0) - 1.0 - beta * tau * y * y;
        let (mut low, mut high) = (1.0, 60.0);
        assert!(of(low) * of(high) < 0.0, "{} {}", of(low), of(high));
        for _ in 0..80 {
            let middle = 0.5 * (low + high);
            if of(low) * of(middle) <= 0.0 { high = middle } else { low = middle }
        }
        let still = SpikL { range: (1e-3, 1e3), ..rule }.step([5.0, low], y);
        assert!((still[0] - 5.0).abs() < 1e-9);
    }
}
