//! Mutations that are kept or dropped, gradient descent, and runs side by side.

use std::f64::consts::PI;

use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use snn_core::Seed;
use snn_core::stats::{erfcx, mean};

use super::{Landscape, Slope};
use crate::ArchError;
use crate::error::check;

const NAME: &str = "neuroevolution";

/// Mutate everything at once, keep by Metropolis' rule.
///
/// ```text
/// x' = x + σ·ξ,  ξ ~ N(0, 1) for every parameter;   accepted with probability min(1, exp(−β·(U(x') − U(x))))
/// ```
/// With `β = ∞` a mutant is kept if the loss does not rise. For `σ → 0`, in the time `t` of gradient descent, the mean of independent runs follows
/// `dx/dt = −∇U` at finite β, one mutation taking `βσ²/2`, and `dx/dt = −∇U/|∇U|` at `β = ∞`, one mutation taking `σ/√(2π)`.
///
/// Source: Whitelam et al. 2021, text; the law for one step ([`drift`](Mutation::drift), [`acceptance`](Mutation::acceptance)) is `[derived]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mutation {
    sigma: f64,
    beta: f64,
}

impl Mutation {
    /// Mutations of standard deviation `sigma`, kept at the inverse temperature `beta`, which may be infinite.
    ///
    /// # Errors
    /// [`ArchError::Option`] if one of them is not above 0.
    pub fn new(sigma: f64, beta: f64) -> Result<Self, ArchError> {
        check(sigma > 0.0 && sigma.is_finite(), NAME, "sigma", sigma, "a finite number above 0")?;
        check(beta > 0.0, NAME, "beta", beta, "a number above 0, or infinity")?;
        Ok(Mutation { sigma, beta })
    }

    /// Mutations of which each is worth `dt` of the time of gradient descent: `σ = √(2·dt/β)`, or `dt·√(2π)` at `β = ∞`.
    ///
    /// # Errors
    /// As [`new`](Mutation::new).
    pub fn of(dt: f64, beta: f64) -> Result<Self, ArchError> {
        check(dt > 0.0 && dt.is_finite(), NAME, "dt", dt, "a finite number above 0")?;
        Mutation::new(if beta == f64::INFINITY { dt * (2.0 * PI).sqrt() } else { (2.0 * dt / beta).sqrt() }, beta)
    }

    /// Standard deviation of a mutation, per parameter.
    pub fn sigma(&self) -> f64 {
        self.sigma
    }

    /// What one mutation is worth in the time of gradient descent: plain at finite β, normalised at `β = ∞`.
    pub fn dt(&self) -> f64 {
        if self.beta == f64::INFINITY { self.sigma / (2.0 * PI).sqrt() } else { 0.5 * self.beta * self.sigma * self.sigma }
    }

    /// Mean of what one step moves down a slope of `|∇U| = slope` that is the same everywhere: `σ·s·exp(s²/2)·Φ(−s)` with `s = βσ|∇U|`, for any σ and any
    /// number of parameters.
    pub fn drift(&self, slope: f64) -> f64 {
        if self.beta == f64::INFINITY {
            return self.sigma / (2.0 * PI).sqrt();
        }
        let s = self.beta * self.sigma * slope;
        self.sigma * s * tail(s)
    }

    /// How often a mutation is kept there: `½ + exp(s²/2)·Φ(−s)`.
    pub fn acceptance(&self, slope: f64) -> f64 {
        0.5 + if self.beta == f64::INFINITY { 0.0 } else { tail(self.beta * self.sigma * slope) }
    }

    /// Variance over runs, per parameter, after the time `t`, where the drift of all is the same: `π·dt·t` at `β = ∞`, else `2·t/β`.
    pub fn spread(&self, t: f64) -> f64 {
        if self.beta == f64::INFINITY { PI * self.dt() * t } else { 2.0 * t / self.beta }
    }
}

/// `exp(s²/2)·Φ(−s)`.
fn tail(s: f64) -> f64 {
    0.5 * erfcx(s / 2f64.sqrt())
}

/// One network on its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Parameters.
    pub x: Vec<f64>,
    /// Loss there.
    pub loss: f64,
    /// Mutations kept so far.
    pub kept: u64,
}

/// Independent runs from one start: the same bits for any number of threads. All of it is data, and can be saved between two calls of
/// [`advance`](Runs::advance).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Runs {
    each: Vec<Run>,
    steps: u64,
    /// Calls of `advance` so far: each draws from streams of its own.
    pieces: u64,
    seed: Seed,
}

impl Runs {
    /// `count` runs that start at `x`.
    ///
    /// # Errors
    /// [`ArchError::Option`] if there are none, or `x` has another number of parameters than the landscape, or a loss that is not a number.
    pub fn new<L: Landscape>(landscape: &L, x: &[f64], count: usize, seed: Seed) -> Result<Self, ArchError> {
        check(count > 0, NAME, "runs", count, "at least one")?;
        check(x.len() == landscape.parameters(), NAME, "parameters of the start", x.len(), "as many as the landscape has")?;
        let loss = landscape.loss(x, &mut landscape.memory());
        check(loss.is_finite(), NAME, "loss at the start", loss, "a start with a finite loss")?;
        Ok(Runs { each: vec![Run { x: x.into(), loss, kept: 0 }; count], steps: 0, pieces: 0, seed })
    }

    /// Takes `steps` steps with every run. A mutant whose loss is not a number is dropped. Cost: runs × steps evaluations.
    pub fn advance<L: Landscape>(&mut self, landscape: &L, mutation: &Mutation, steps: u64) {
        let seed = self.seed.nth(self.pieces);
        self.each.par_iter_mut().enumerate().for_each_init(
            || (landscape.memory(), vec![0.0; landscape.parameters()]),
            |(memory, mutant), (r, run)| {
                let mut rng = seed.nth(r as u64).rng();
                for _ in 0..steps {
                    for (to, &x) in mutant.iter_mut().zip(&run.x) {
                        let normal: f64 = StandardNormal.sample(&mut rng);
                        *to = x + mutation.sigma * normal;
                    }
                    let loss = landscape.loss(mutant, memory);
                    // Drawn whatever comes of it, so that a run's numbers do not depend on its past.
                    let chance: f64 = rng.random();
                    let rise = loss - run.loss;
                    if rise <= 0.0 || chance < (-mutation.beta * rise).exp() {
                        std::mem::swap(&mut run.x, mutant);
                        run.loss = loss;
                        run.kept += 1;
                    }
                }
            },
        );
        self.steps += steps;
        self.pieces += 1;
    }

    /// The runs.
    pub fn each(&self) -> &[Run] {
        &self.each
    }

    /// Steps taken by each.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Share of all mutations that were kept.
    pub fn acceptance(&self) -> f64 {
        mean(self.each.iter().map(|run| run.kept as f64)) / self.steps as f64
    }

    /// Mean of the losses.
    pub fn loss(&self) -> f64 {
        mean(self.each.iter().map(|run| run.loss))
    }

    /// Mean of the parameters, of all runs.
    pub fn average(&self) -> Vec<f64> {
        self.average_of(self.each.len())
    }

    /// Mean of the parameters of the first `count` runs.
    pub fn average_of(&self, count: usize) -> Vec<f64> {
        let runs = &self.each[..count.clamp(1, self.each.len())];
        (0..runs[0].x.len()).map(|i| mean(runs.iter().map(|run| run.x[i]))).collect()
    }

    /// Variance over runs, mean over parameters.
    pub fn spread(&self) -> f64 {
        let average = self.average();
        let far = self.each.iter().map(|run| distance(&run.x, &average).powi(2)).sum::<f64>();
        far / (average.len() * (self.each.len() - 1).max(1)) as f64
    }
}

/// Gradient descent: `x ← x − α·∇U`, or normalised, `x ← x − α·∇U/|∇U|`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Descent {
    alpha: f64,
    normalised: bool,
}

impl Descent {
    /// Plain steps.
    pub fn plain(alpha: f64) -> Self {
        Descent { alpha, normalised: false }
    }

    /// Steps of length `alpha`.
    pub fn normalised(alpha: f64) -> Self {
        Descent { alpha, normalised: true }
    }

    /// What small mutations at this temperature follow.
    pub fn for_mutations(alpha: f64, beta: f64) -> Self {
        Descent { alpha, normalised: beta == f64::INFINITY }
    }

    /// Takes `steps` steps; returns the loss before the last of them. Where there is no slope, normalised steps stay.
    pub fn advance<L: Slope>(&self, landscape: &L, x: &mut [f64], steps: u64) -> f64 {
        let (mut memory, mut gradient, mut loss) = (landscape.memory(), vec![0.0; x.len()], f64::NAN);
        for _ in 0..steps {
            loss = landscape.slope(x, &mut gradient, &mut memory);
            let length = if self.normalised { gradient.iter().map(|g| g * g).sum::<f64>().sqrt() } else { 1.0 };
            if length > 0.0 {
                x.iter_mut().zip(&gradient).for_each(|(x, g)| *x -= self.alpha / length * g);
            }
        }
        loss
    }
}

/// Euclidean distance.
pub fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use snn_core::stats::variance;

    /// `U = g·x`.
    struct Linear(Vec<f64>);
    impl Landscape for Linear {
        type Memory = ();
        fn parameters(&self) -> usize {
            self.0.len()
        }
        fn memory(&self) {}
        fn loss(&self, x: &[f64], _: &mut ()) -> f64 {
            x.iter().zip(&self.0).map(|(x, g)| x * g).sum()
        }
    }

    /// `U = k·|x|²/2`.
    struct Bowl(f64, usize);
    impl Landscape for Bowl {
        type Memory = ();
        fn parameters(&self) -> usize {
            self.1
        }
        fn memory(&self) {}
        fn loss(&self, x: &[f64], _: &mut ()) -> f64 {
            0.5 * self.0 * x.iter().map(|x| x * x).sum::<f64>()
        }
    }
    impl Slope for Bowl {
        fn slope(&self, x: &[f64], gradient: &mut [f64], memory: &mut ()) -> f64 {
            gradient.iter_mut().zip(x).for_each(|(g, x)| *g = self.0 * x);
            self.loss(x, memory)
        }
    }

    #[test]
    fn one_step_on_a_plane_is_what_theory_says() {
        let plane = Linear(vec![3.0, 0.0, -4.0]);
        let count = 400_000;
        for s in [0.5, 2.0, 10.0, f64::INFINITY] {
            let sigma = 0.1;
            let beta = s / (sigma * 5.0);
            let mutation = Mutation::new(sigma, beta).unwrap();
            let mut runs = Runs::new(&plane, &[0.0; 3], count, Seed::new(1)).unwrap();
            runs.advance(&plane, &mutation, 1);
            let down: Vec<f64> = runs.each().iter().map(|run| -(0.6 * run.x[0] - 0.8 * run.x[2])).collect();
            let across: Vec<f64> = runs.each().iter().map(|run| run.x[1]).collect();
            // Four standard errors.
            let error = |numbers: &[f64]| 4.0 * (variance(numbers) / count as f64).sqrt();
            assert!((mean(&down) - mutation.drift(5.0)).abs() < error(&down), "s = {s}: drift {}", mean(&down));
            assert!(mean(&across).abs() < error(&across), "s = {s}: across");
            let kept: Vec<f64> = runs.each().iter().map(|run| run.kept as f64).collect();
            assert!((mean(&kept) - mutation.acceptance(5.0)).abs() < error(&kept), "s = {s}: acceptance");
            if s == f64::INFINITY {
                let second: Vec<f64> = across.iter().map(|x| x * x / (sigma * sigma)).collect();
                assert!((mean(&second) - 0.5).abs() < error(&second));
            }
        }
        // The figures of the derivation, and both limits.
        let of = |s: f64| Mutation::new(1.0, s).unwrap();
        assert!((of(2.0).drift(1.0) - 0.3362).abs() < 5e-5 && (of(2.0).acceptance(1.0) - 0.6681).abs() < 5e-5);
        assert!((of(1e-4).drift(1.0) / of(1e-4).dt() - 1.0).abs() < 1e-4);
        assert!((of(1e6).drift(1.0) / of(f64::INFINITY).drift(1.0) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn long_runs_at_finite_temperature_have_boltzmanns_variance() {
        let (bowl, beta) = (Bowl(2.0, 1), 0.7);
        for sigma in [0.3, 2.0] {
            let mut runs = Runs::new(&bowl, &[0.0], 64, Seed::new(2)).unwrap();
            let mutation = Mutation::new(sigma, beta).unwrap();
            runs.advance(&bowl, &mutation, 500);
            let mut squares = Vec::new();
            for _ in 0..400 {
                runs.advance(&bowl, &mutation, 20);
                squares.push(mean(runs.each().iter().map(|run| run.x[0] * run.x[0])));
            }
            // Pieces of 50 in a row are as good as independent.
            let pieces: Vec<f64> = squares.chunks(50).map(mean).collect();
            let error = 4.0 * (variance(&pieces) / (pieces.len() - 1) as f64).sqrt();
            assert!((mean(&pieces) - 1.0 / (beta * 2.0)).abs() < error, "σ = {sigma}: {} ± {error}", mean(&pieces));
        }
    }

    #[test]
    fn at_infinite_beta_no_loss_rises() {
        let bowl = Bowl(1.0, 5);
        let mut runs = Runs::new(&bowl, &[1.0; 5], 8, Seed::new(3)).unwrap();
        let mutation = Mutation::of(0.01, f64::INFINITY).unwrap();
        for _ in 0..300 {
            let before: Vec<f64> = runs.each().iter().map(|run| run.loss).collect();
            runs.advance(&bowl, &mutation, 1);
            assert!(runs.each().iter().zip(&before).all(|(run, &before)| run.loss <= before));
        }
        assert!(runs.loss() < 0.1 * 2.5);
    }

    #[test]
    fn runs_are_the_same_on_any_number_of_threads_and_go_on_from_a_file() {
        let bowl = Bowl(1.0, 4);
        let mutation = Mutation::of(0.01, 30.0).unwrap();
        let on = |threads: usize, saved: bool| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut runs = Runs::new(&bowl, &[1.0; 4], 9, Seed::new(4)).unwrap();
                runs.advance(&bowl, &mutation, 40);
                if saved {
                    runs = serde_json::from_str(&serde_json::to_string(&runs).unwrap()).unwrap();
                }
                runs.advance(&bowl, &mutation, 60);
                runs
            })
        };
        let one = on(1, false);
        assert_eq!((on(3, false), on(2, true)), (one.clone(), one));
    }

    #[test]
    fn the_average_follows_gradient_descent_in_half_steps_as_in_whole_ones() {
        let (bowl, start) = (Bowl(1.0, 6), [0.5, -1.0, 0.2, 0.8, -0.3, 1.1]);
        let (t, slope) = (0.5, distance(&start, &[0.0; 6]));
        for (beta, dts) in [(f64::INFINITY, [1e-3, 5e-4]), (50.0, [1e-4, 5e-5])] {
            let mut exact = start.to_vec();
            Descent::for_mutations(1e-5, beta).advance(&bowl, &mut exact, (t / 1e-5) as u64);
            for dt in dts {
                let mutation = Mutation::of(dt, beta).unwrap();
                let mut runs = Runs::new(&bowl, &start, 200, Seed::new(5)).unwrap();
                runs.advance(&bowl, &mutation, (t / dt).round() as u64);
                // Four standard errors of the mean of 200, and the next order of theory: drift is less by s·√(2/π) at finite β, by σ·Tr(∇∇U)/(2·|∇U|) else.
                let noise = 4.0 * (mutation.spread(t) * 6.0 / 200.0).sqrt();
                let next = match beta.is_finite() {
                    true => beta * mutation.sigma() * slope * (2.0 / PI).sqrt(),
                    false => mutation.sigma() * 6.0 / (2.0 * distance(&exact, &[0.0; 6])),
                };
                let (found, way) = (distance(&runs.average(), &exact), distance(&start, &exact));
                assert!(
                    found < noise + next * way && next < 0.2,
                    "β = {beta}, dt = {dt}: {found} of {way}, noise {noise}, next order {next}"
                );
            }
        }
    }

    #[test]
    fn impossible_settings_are_named() {
        let named = |found: Result<Mutation, ArchError>, name: &str| assert!(found.unwrap_err().to_string().contains(name));
        named(Mutation::new(0.0, 1.0), "sigma = 0");
        named(Mutation::new(1.0, f64::NAN), "beta = NaN");
        named(Mutation::of(f64::NAN, 1.0), "dt = NaN");
        let bowl = Bowl(1.0, 2);
        assert!(Runs::new(&bowl, &[0.0], 1, Seed::new(1)).unwrap_err().to_string().contains("parameters of the start = 1"));
        assert!(Runs::new(&bowl, &[f64::NAN, 0.0], 1, Seed::new(1)).unwrap_err().to_string().contains("loss at the start = NaN"));
        assert!(Runs::new(&bowl, &[0.0; 2], 0, Seed::new(1)).unwrap_err().to_string().contains("runs = 0"));
    }
}
