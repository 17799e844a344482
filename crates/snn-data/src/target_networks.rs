//! A family of functions to learn within a trial: small random networks, seen one example after the other.

use crate::{
    drawn::{Answer, Drawn, Task, steps},
    error::{DataError, check, count, positive},
    fire::{Population, rate},
};
use rand::{Rng, RngExt};
use snn_core::{Seed, ann::sigmoid};
use std::ops::Range;

const OF: &str = "TargetNetworkParams";

/// What an episode of function learning is like: 8 s by default.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `hidden` | 10 | hidden units of a target network |
/// | `weight` | 1 | its weights and biases are uniform from `−weight` to `weight` |
/// | `examples` | 400 | examples of an episode |
/// | `example` | 20 | steps of an example |
/// | `cells` | 100 | input channels for each of the three numbers |
/// | `width` | 0.1 | standard deviation of a cell's tuning, as a part of the number's range |
/// | `rate` | 200 Hz | rate of a cell at its centre |
/// | `dt` | 1 ms | length of a step |
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct TargetNetworkParams {
    /// Hidden units, at least 1.
    pub hidden: usize,
    /// Largest weight and bias, above 0.
    pub weight: f64,
    /// Examples of an episode, at least 1.
    pub examples: usize,
    /// Steps of an example, at least 1.
    pub example: usize,
    /// Channels per number, at least 2.
    pub cells: usize,
    /// Width of the tuning, above 0.
    pub width: f64,
    /// Rate (Hz) of a cell at its centre, above 0 and at most `1/dt`.
    pub rate: f64,
    /// Length of a step in seconds, above 0.
    pub dt: f64,
}

impl Default for TargetNetworkParams {
    fn default() -> Self {
        TargetNetworkParams { hidden: 10, weight: 1.0, examples: 400, example: 20, cells: 100, width: 0.1, rate: 200.0, dt: 1e-3 }
    }
}

/// A feed-forward network from two numbers to one: `C(x) = σ(b + Σ_h v_h · σ(b_h + w_h · x))`, `σ(a) = 1/(1 + e^−a)`.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetNetwork {
    /// For each hidden unit: two weights, the bias, and the weight to the output.
    pub hidden: Vec<[f64; 4]>,
    /// Bias of the output.
    pub bias: f64,
}

impl TargetNetwork {
    /// A network of `hidden` hidden units with weights and biases uniform from `−weight` to `weight`.
    pub fn random(hidden: usize, weight: f64, rng: &mut impl Rng) -> Self {
        let mut uniform = || weight * (2.0 * rng.random::<f64>() - 1.0);
        TargetNetwork { hidden: (0..hidden).map(|_| [uniform(), uniform(), uniform(), uniform()]).collect(), bias: uniform() }
    }

    /// `C(x)`, above 0 and below 1.
    pub fn value(&self, [x1, x2]: [f64; 2]) -> f64 {
        sigmoid(self.bias + self.hidden.iter().map(|&[w1, w2, b, v]| v * sigmoid(b + w1 * x1 + w2 * x2)).sum::<f64>())
    }
}

/// What happens in one episode.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// The function to be learnt.
    pub network: TargetNetwork,
    /// The examples' inputs, uniform from −1 to 1.
    pub inputs: Vec<[f64; 2]>,
    /// The examples' targets, `C(x)`.
    pub targets: Vec<f64>,
}

impl TargetNetworkParams {
    /// The steps of example `k`; the answer is the mean output over them.
    pub fn example_window(&self, k: usize) -> Range<usize> {
        k * self.example..(k + 1) * self.example
    }

    /// The episode of a seed; [`Drawn::seed`] tells that of a trial.
    pub fn episode(&self, seed: Seed) -> Episode {
        let network = TargetNetwork::random(self.hidden, self.weight, &mut seed.child("network").rng());
        let mut rng = seed.child("inputs").rng();
        let mut uniform = || 2.0 * rng.random::<f64>() - 1.0;
        let inputs: Vec<[f64; 2]> = (0..self.examples).map(|_| [uniform(), uniform()]).collect();
        let targets = inputs.iter().map(|&x| network.value(x)).collect();
        Episode { network, inputs, targets }
    }

    /// The episodes `range` of a task without end: in each a new function, shown by its examples only.
    ///
    /// An example lasts `example` steps. Its input `x = (x₁, x₂)` is uniform in `[−1, 1]²`; the target is `C(x)` of the episode's
    /// [`TargetNetwork`], the same in all steps of the example, and not shown. What is shown: `x₁`, `x₂`, and the *previous* example's target (in the
    /// first example nothing), each by `cells` cells whose tuning is Gaussian with centres evenly over the number's range (−1 to 1, −1 to 1, 0 to 1).
    /// Whoever keeps what it saw can lower its error within the episode.
    ///
    /// Episode `n` draws from `seed.nth(n)`. Memory: 4 bytes per step.
    ///
    /// Source: Bellec, Salaj, Subramoney, Legenstein and Maass 2018 (arXiv:1803.09574), learning to learn from a teacher; no program has been
    /// released. Departure: number of examples, tuning width and rate are chosen.
    ///
    /// ```
    /// use snn_core::{Dataset, Seed, Target};
    /// use snn_data::TargetNetworkParams;
    /// let task = TargetNetworkParams { examples: 50, ..Default::default() }.trials(Seed::new(1), 0..8)?;
    /// let Target::Series(wanted) = task.target(3) else { unreachable!() };
    /// let episode = task.task().episode(task.seed(3));
    /// assert_eq!((task.inputs(), task.steps(), wanted[20]), (300, 1000, episode.targets[1] as f32));
    /// # Ok::<(), snn_data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn trials(&self, seed: Seed, range: Range<u64>) -> Result<Drawn<Self>, DataError> {
        count(OF, "hidden", self.hidden)?;
        count(OF, "examples", self.examples)?;
        count(OF, "example", self.example)?;
        steps(OF, "examples · example", [(self.examples, self.example)])?;
        check((2..=1 << 20).contains(&self.cells), OF, "cells", self.cells, "from 2 to 2²⁰")?;
        positive(OF, "weight", self.weight)?;
        positive(OF, "width", self.width)?;
        rate(OF, "rate", self.rate, self.dt)?;
        Ok(Drawn::new(self.clone(), seed, range))
    }
}

impl Task for TargetNetworkParams {
    fn name(&self) -> &'static str {
        "target-networks"
    }
    fn inputs(&self) -> usize {
        3 * self.cells
    }
    fn steps(&self) -> usize {
        self.examples * self.example
    }
    fn classes(&self) -> usize {
        0
    }
    fn answer(&self, seed: Seed) -> Answer {
        Answer::Series(self.episode(seed).targets.iter().flat_map(|&c| std::iter::repeat_n(c as f32, self.example)).collect())
    }
    fn draw(&self, seed: Seed, into: &mut Vec<(u32, u32)>) {
        let mut rng = seed.child("spikes").rng();
        let peak = self.rate * self.dt;
        let input = Population::new(self.cells, -1.0, 1.0, 2.0 * self.width, peak);
        let output = Population::new(self.cells, 0.0, 1.0, self.width, peak);
        let episode = self.episode(seed);
        for (k, [x1, x2]) in episode.inputs.into_iter().enumerate() {
            input.fire(&mut rng, x1, self.example_window(k), 0, into);
            input.fire(&mut rng, x2, self.example_window(k), self.cells, into);
            if k > 0 {
                output.fire(&mut rng, episode.targets[k - 1], self.example_window(k), 2 * self.cells, into);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use snn_core::{Dataset, Raster, Target};

    #[test]
    fn a_network_worked_by_hand() {
        // σ(0) = ½; one hidden unit with w = (1, −1), b = 0, v = 2, output bias −1: C(x, x) = σ(−1 + 2·½) = ½.
        let network = TargetNetwork { hidden: vec![[1.0, -1.0, 0.0, 2.0]], bias: -1.0 };
        assert_eq!(network.value([0.3, 0.3]), 0.5);
        let a = 1.0 / (1.0 + (-1.5f64).exp());
        assert!((network.value([1.0, -0.5]) - 1.0 / (1.0 + (1.0 - 2.0 * a).exp())).abs() < 1e-15);
        let random = TargetNetwork::random(2000, 0.5, &mut Seed::new(1).rng());
        let all: Vec<f64> = random.hidden.iter().flatten().copied().collect();
        let (mean, square) = (all.iter().sum::<f64>() / 8000.0, all.iter().map(|w| w * w).sum::<f64>() / 8000.0);
        // Uniform over ±0.5: mean 0 ± 0.0032, mean square 1/12 ± 0.00083.
        assert!(mean.abs() < 0.013 && (square - 1.0 / 12.0).abs() < 0.0034 && all.iter().all(|w| w.abs() <= 0.5), "{mean} {square}");
    }

    /// What was shown can be read off the cells: the mean of the centres of those that fired.
    #[test]
    fn each_example_shows_its_input_and_the_target_before() {
        let params = TargetNetworkParams { examples: 40, width: 0.03, ..Default::default() };
        let task = params.trials(Seed::new(2), 0..6).unwrap();
        let mut raster = Raster::default();
        for i in 0..6 {
            task.load(i, &mut raster);
            let episode = params.episode(task.seed(i));
            let Target::Series(series) = task.target(i) else { panic!() };
            assert_eq!(series.len(), raster.steps());
            for k in 0..40 {
                let window = params.example_window(k);
                assert!(series[window.clone()].iter().all(|&y| y == episode.targets[k] as f32));
                assert_eq!(episode.targets[k], episode.network.value(episode.inputs[k]));
                let shown = |group: u32| {
                    let cells: Vec<f64> = window
                        .clone()
                        .flat_map(|t| raster.at(t))
                        .filter(|&&u| u / 100 == group)
                        .map(|u| f64::from(u % 100) / 99.0)
                        .collect();
                    (cells.iter().sum::<f64>() / cells.len() as f64, cells.len())
                };
                // About 30 spikes of a spread of 0.03: ± 0.006; at the ends half of the cells are missing, which moves the mean by up to 0.024.
                for (group, x) in [(0, episode.inputs[k][0]), (1, episode.inputs[k][1])] {
                    let (mean, n) = shown(group);
                    assert!((mean - (x + 1.0) / 2.0).abs() < 0.05 && n > 2, "trial {i}, example {k}: {mean}, {x}");
                }
                match k {
                    0 => assert_eq!(shown(2).1, 0),
                    _ => assert!((shown(2).0 - episode.targets[k - 1]).abs() < 0.05),
                }
            }
        }
    }

    #[test]
    fn rates_and_the_spread_of_targets() {
        let task = TargetNetworkParams::default().trials(Seed::new(5), 0..4).unwrap();
        let mut raster = Raster::default();
        task.load(0, &mut raster);
        let middle = raster.iter().filter(|&(_, u)| u < 100).count() as f64;
        // Σ over cells of 0.2·exp(…) per step: 0.2·99·0.1·√(2π) = 4.963 less what lies beyond the ends: the mean over x of the part inside is
        // 1 − 2·0.1/√(2π) = 0.920 (to the end's width): 4.567 per step, 36 540 in 8000 steps; most of its error is from x: 5 %·/√400.
        assert!((middle / 36_540.0 - 1.0).abs() < 0.03, "{middle}");
        // Functions differ between episodes: the means of their targets do.
        let means: Vec<f64> = (0..4).map(|i| task.task().episode(task.seed(i)).targets.iter().sum::<f64>() / 400.0).collect();
        assert!(means.iter().all(|m| (0.05..0.95).contains(m)) && means[0] != means[1], "{means:?}");
    }

    #[test]
    fn an_episode_is_its_number() {
        let at = |seed, range: Range<u64>, i| {
            let task = TargetNetworkParams { examples: 5, ..Default::default() }.trials(Seed::new(seed), range).unwrap();
            let mut raster = Raster::default();
            task.load(i, &mut raster);
            let Target::Series(series) = task.target(i) else { panic!() };
            (raster, series.to_vec())
        };
        assert_eq!(at(1, 0..9, 5), at(1, 5..6, 0));
        assert_ne!(at(1, 0..9, 5).1, at(1, 0..9, 6).1);
        assert_ne!(at(1, 0..9, 5).0, at(2, 0..9, 5).0);
    }

    #[test]
    fn parameters_are_checked() {
        let bad = |params: TargetNetworkParams| params.trials(Seed::new(0), 0..1).err().unwrap().to_string();
        let all = TargetNetworkParams::default;
        assert!(bad(TargetNetworkParams { hidden: 0, ..all() }).contains("hidden = 0"));
        assert!(bad(TargetNetworkParams { cells: 1, ..all() }).contains("cells = 1"));
        assert!(bad(TargetNetworkParams { examples: usize::MAX, ..all() }).contains("examples"));
        assert!(bad(TargetNetworkParams { weight: 0.0, ..all() }).contains("weight = 0"));
        assert!(bad(TargetNetworkParams { width: f64::NAN, ..all() }).contains("width = NaN"));
        assert!(bad(TargetNetworkParams { rate: 2000.0, ..all() }).contains("rate = 2000"));
    }
}
