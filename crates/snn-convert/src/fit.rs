//! Finding the code of a scalar function.

use crate::unit::{Quality, Unit};
use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use snn_core::Seed;

/// The search for the code of any scalar function: of a few-spikes neuron, or of an AMOS circuit.
///
/// ```text
/// loss = Σ w(x)·(f(x) − f̂(x))²/Σ w + c·Σ_i mean(max(|u_i| − 1, 0))²,   u = (v − T)/(|v| + 1),   v_i = x − Σ_{j<i} h_j·z_j
/// ∂z/∂u := max(0, 1 − |u|)
/// ```
/// From a noisy ladder of thresholds Adam moves T and h; the weights c are the best there are for the spikes at hand, in closed form (least squares).
/// Then single numbers are changed at random, and what is better is kept; of a circuit in the second half of that every h_ij by itself. All of that
/// from many starts; the best of all counts. Better is a smaller mean squared error, with `spike_cost` times the mean number of spikes added to it.
///
/// With `bits`, every number is rounded to `2^bits` levels between ±8 before a code is judged, and the last phase moves on these levels.
///
/// Cost: `restarts · (updates + polish) · points · steps²` operations, a second or so; on all cores. The result does not depend on their number.
///
/// Source: Stöckl & Maass 2021 (arXiv 2002.00860), their published fitting script; least squares and the last phase are ours.
///
/// ```
/// use snn_convert::Fit;
/// use snn_core::{Seed, ann::Activation};
/// let fit = Fit { restarts: 2, updates: 200, polish: 200, ..Fit::few_spikes(6, (-6.0, 6.0)) };
/// let found = fit.run(|x| Activation::Sigmoid.at(x), |_| 1.0, Seed::new(1))?;
/// assert!(found.quality.mse < 2e-3 && found.unit.reset().is_some());
/// # Ok::<(), snn_convert::FitError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fit {
    /// K.
    pub steps: usize,
    /// The interval of inputs.
    pub range: (f64, f64),
    /// Whether every decision may have inhibition of its own: an AMOS circuit.
    pub free: bool,
    /// Points on the interval.
    pub points: usize,
    /// Starts.
    pub restarts: usize,
    /// Updates of Adam in each.
    pub updates: usize,
    /// Random changes tried after them.
    pub polish: usize,
    /// Width of the numbers, if they are rounded.
    pub bits: Option<u32>,
    /// What a spike costs, in units of squared error.
    pub spike_cost: f64,
}

/// A code that was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fitted {
    /// The code.
    pub unit: Unit,
    /// How good it is on the points.
    pub quality: Quality,
    /// What every start reached: mean squared error and cost of spikes.
    pub starts: Vec<f64>,
    /// The best so far, over updates and changes of the start that won.
    pub history: Vec<f64>,
}

/// Why there is no fit.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FitError {
    /// Impossible setting.
    #[error("fit: {name} = {value}: must be {wanted}")]
    Setting {
        /// Name.
        name: &'static str,
        /// Value.
        value: f64,
        /// What it must be.
        wanted: &'static str,
    },
    /// The function has no number there.
    #[error("fit: the function, or its weight, is {y} at {x}; choose an interval on which both are finite")]
    Function {
        /// Where.
        x: f64,
        /// What it gives.
        y: f64,
    },
}

/// Numbers are rounded between plus and minus this.
const QUANTISED: f64 = 8.0;

impl Fit {
    /// The code of a few-spikes neuron of `steps` steps.
    pub fn few_spikes(steps: usize, range: (f64, f64)) -> Self {
        Fit { steps, range, free: false, points: 1000, restarts: 8, updates: 500, polish: 6000, bits: None, spike_cost: 0.0 }
    }

    /// The code of an AMOS circuit of `steps` neurons.
    pub fn amos(steps: usize, range: (f64, f64)) -> Self {
        Fit { free: true, ..Fit::few_spikes(steps, range) }
    }

    /// The points.
    pub fn grid(&self) -> impl Iterator<Item = f64> + use<> {
        let ((low, high), last) = (self.range, (self.points.max(2) - 1) as f64);
        (0..self.points).map(move |k| low + (high - low) * k as f64 / last)
    }

    /// Looks for a code of `f`; `importance` weighs the points.
    ///
    /// # Errors
    /// [`FitError`]: an impossible setting, or a function or weight that is no number somewhere.
    pub fn run(&self, f: impl Fn(f64) -> f64, importance: impl Fn(f64) -> f64, seed: Seed) -> Result<Fitted, FitError> {
        let setting = |name, value: usize, fits: bool, wanted| {
            if fits { Ok(()) } else { Err(FitError::Setting { name, value: value as f64, wanted }) }
        };
        setting("steps", self.steps, (1..=64).contains(&self.steps), "1 to 64")?;
        setting("points", self.points, (2..=1 << 20).contains(&self.points), "2 to a million")?;
        let cost = self.spike_cost;
        if !(cost.is_finite() && cost >= 0.0) {
            return Err(FitError::Setting { name: "spike_cost", value: cost, wanted: "zero or more" });
        }
        setting("restarts", self.restarts, self.restarts > 0, "1 or more")?;
        setting("bits", self.bits.unwrap_or(8) as usize, self.bits.is_none_or(|b| (2..=24).contains(&b)), "2 to 24")?;
        let (low, high) = self.range;
        if !(low.is_finite() && high.is_finite() && low < high) {
            return Err(FitError::Setting { name: "range", value: low, wanted: "two finite numbers, the smaller one first" });
        }
        let weights: Vec<f64> = self.grid().map(&importance).collect();
        let total: f64 = weights.iter().sum();
        let points: Vec<Point> = self.grid().zip(&weights).map(|(x, w)| Point { x, y: f(x), w: w / total }).collect();
        if let Some(p) = points.iter().find(|p| !p.y.is_finite() || !p.w.is_finite()) {
            return Err(FitError::Function { x: p.x, y: if p.y.is_finite() { p.w } else { p.y } });
        }
        let runs: Vec<(Code, f64, Vec<f64>)> =
            (0..self.restarts).into_par_iter().map(|k| Search::new(self, &points, seed.child("start").nth(k as u64)).run()).collect();
        let best = (0..runs.len()).min_by(|&a, &b| runs[a].1.total_cmp(&runs[b].1)).unwrap_or(0);
        let unit = runs[best].0.unit();
        let weighted: Vec<(f64, f64)> = points.iter().map(|p| (p.x, p.w)).collect();
        let quality = unit.error(&weighted, &f);
        Ok(Fitted { unit, quality, starts: runs.iter().map(|run| run.1).collect(), history: runs[best].2.clone() })
    }
}

/// An input, what should come out, and how much it counts; the counts add up to 1.
#[derive(Clone, Copy)]
struct Point {
    x: f64,
    y: f64,
    w: f64,
}

/// The numbers of a code.
#[derive(Clone, Debug)]
struct Code {
    threshold: Vec<f64>,
    /// `[i][j]` for `j < i`; as long as it is the same for all `i`, one row of `[0][j]`.
    lateral: Vec<Vec<f64>>,
    weight: Vec<f64>,
    base: f64,
}

impl Code {
    fn unit(&self) -> Unit {
        if self.lateral.len() == 1 {
            return Unit { base: self.base, ..Unit::few_spikes(self.threshold.clone(), &self.lateral[0], self.weight.clone(), false) };
        }
        let Code { threshold, lateral, weight, base } = self.clone();
        Unit { threshold, lateral, weight, base, signed: false }
    }

    /// Thresholds and laterals, to be changed.
    fn numbers(&mut self) -> impl Iterator<Item = &mut f64> {
        self.threshold.iter_mut().chain(self.lateral.iter_mut().flatten())
    }
}

/// One start.
struct Search<'a> {
    fit: &'a Fit,
    points: &'a [Point],
    seed: Seed,
    code: Code,
    /// Spikes `[i][point]`, u, and `|v| + 1` with the sign of v.
    z: Vec<Vec<f64>>,
    u: Vec<Vec<f64>>,
    v: Vec<Vec<f64>>,
}

impl<'a> Search<'a> {
    fn new(fit: &'a Fit, points: &'a [Point], seed: Seed) -> Self {
        let mut rng = seed.rng();
        let (low, high) = fit.range;
        // A binary search from a random lower end on.
        let from = rng.random_range(low..=high.min(0.0).max(low + 0.25 * (high - low)));
        let mut noisy = |x: f64| x * (1.0 + rng.random_range(-0.2..0.2));
        let rung = |i: usize| (high - from) * 0.5f64.powi(i as i32 + 1);
        let threshold = (0..fit.steps).map(|i| from + noisy(rung(i))).collect();
        let lateral = vec![(0..fit.steps).map(|j| noisy(rung(j))).collect()];
        let planes = || vec![vec![0.0; points.len()]; fit.steps];
        Search {
            fit,
            points,
            seed,
            code: Code { threshold, lateral, weight: vec![0.0; fit.steps], base: 0.0 },
            z: planes(),
            u: planes(),
            v: planes(),
        }
    }

    fn run(mut self) -> (Code, f64, Vec<f64>) {
        let mut history = Vec::with_capacity(self.fit.updates);
        let (mut best, mut least) = (self.code.clone(), f64::INFINITY);
        let count = self.code.numbers().count();
        let (mut first, mut second) = (vec![0.0; count], vec![0.0; count]);
        for update in 0..self.fit.updates {
            let error = self.judge();
            if error < least {
                (best, least) = (self.code.clone(), error);
            }
            history.push(least);
            let lr = 0.05 * (1.0 - update as f64 / self.fit.updates as f64);
            let gradient = self.gradient();
            let (a, b) = (1.0 - 0.9f64.powi(update as i32 + 1), 1.0 - 0.999f64.powi(update as i32 + 1));
            for (k, x) in self.code.numbers().enumerate() {
                first[k] = 0.9 * first[k] + 0.1 * gradient[k];
                second[k] = 0.999 * second[k] + 0.001 * gradient[k] * gradient[k];
                *x -= lr * (first[k] / a) / ((second[k] / b).sqrt() + 1e-8);
            }
        }
        if self.fit.free {
            self.polish(self.fit.polish / 2, &mut best, &mut least, &mut history);
            let row = best.lateral.swap_remove(0);
            best.lateral = (0..self.fit.steps).map(|i| row[..i].to_vec()).collect();
        }
        let left = self.fit.polish - if self.fit.free { self.fit.polish / 2 } else { 0 };
        self.polish(left, &mut best, &mut least, &mut history);
        (best, least, history)
    }

    /// Changes one or two numbers of the best code at a time, and keeps what is better.
    fn polish(&mut self, tries: usize, best: &mut Code, least: &mut f64, history: &mut Vec<f64>) {
        let mut rng = self.seed.child("polish").nth(best.lateral.len() as u64).rng();
        let count = best.numbers().count();
        let span = self.fit.range.1 - self.fit.range.0;
        for _ in 0..tries {
            self.code = best.clone();
            for _ in 0..rng.random_range(1..=2) {
                let chosen = rng.random_range(0..count);
                let size = span * 0.5f64.powf(rng.random_range(3.0..14.0));
                let change = size * rng.random_range(-1.0..1.0);
                if let Some(x) = self.code.numbers().nth(chosen) {
                    *x += change;
                }
            }
            let error = self.judge();
            if error < *least {
                (*best, *least) = (self.code.clone(), error);
            }
            history.push(*least);
        }
    }

    /// Runs the code, gives it the best weights for its spikes, and returns the mean squared error and the cost of spikes. Where numbers are rounded, so
    /// is the code.
    fn judge(&mut self) -> f64 {
        if let Some(bits) = self.fit.bits {
            self.code.numbers().for_each(|x| *x = rounded(*x, bits));
        }
        self.decide();
        (self.code.weight, self.code.base) = self.weigh();
        if let Some(bits) = self.fit.bits {
            self.code.weight.iter_mut().chain([&mut self.code.base]).for_each(|x| *x = rounded(*x, bits));
        }
        let output = self.output();
        let error: f64 = self.points.iter().zip(output).map(|(p, y)| p.w * (y - p.y) * (y - p.y)).sum();
        if self.fit.spike_cost == 0.0 {
            return error;
        }
        let spikes: f64 = self.z.iter().map(|z| z.iter().zip(self.points).map(|(z, p)| z * p.w).sum::<f64>()).sum();
        error + self.fit.spike_cost * spikes
    }

    /// The inhibition of decision `i` by `j`.
    fn lateral(&self, i: usize, j: usize) -> f64 {
        if self.code.lateral.len() > 1 { self.code.lateral[i][j] } else { self.code.lateral[0][j] }
    }

    fn decide(&mut self) {
        let mut potential: Vec<f64> = self.points.iter().map(|p| p.x).collect();
        for i in 0..self.fit.steps {
            if self.code.lateral.len() > 1 {
                potential.iter_mut().zip(self.points).for_each(|(v, p)| *v = p.x);
                for j in 0..i {
                    let h = self.lateral(i, j);
                    potential.iter_mut().zip(&self.z[j]).for_each(|(v, z)| *v -= h * z);
                }
            } else if i > 0 {
                let h = self.lateral(i, i - 1);
                potential.iter_mut().zip(&self.z[i - 1]).for_each(|(v, z)| *v -= h * z);
            }
            let threshold = self.code.threshold[i];
            let (z, u, scale) = (&mut self.z[i], &mut self.u[i], &mut self.v[i]);
            for (k, &v) in potential.iter().enumerate() {
                z[k] = if v > threshold { 1.0 } else { 0.0 };
                scale[k] = (v.abs() + 1.0).copysign(v);
                u[k] = (v - threshold) / scale[k].abs();
            }
        }
    }

    /// The weights with the least squared error, and the base: `(Z·W·Zᵀ + ε)·c = Z·W·y`, the last row of `Z` being 1.
    fn weigh(&self) -> (Vec<f64>, f64) {
        let steps = self.fit.steps;
        let mut weighted = vec![0.0; self.points.len()];
        let (mut matrix, mut right) = (vec![vec![0.0; steps + 1]; steps + 1], vec![0.0; steps + 1]);
        for i in 0..steps {
            weighted.iter_mut().zip(&self.z[i]).zip(self.points).for_each(|((x, z), p)| *x = z * p.w);
            right[i] = weighted.iter().zip(self.points).map(|(x, p)| x * p.y).sum();
            for j in 0..=i {
                matrix[i][j] = dot(&weighted, &self.z[j]);
            }
            matrix[steps][i] = weighted.iter().sum();
            matrix[i][i] += 1e-9;
        }
        // The counts of the points add up to 1.
        matrix[steps][steps] = 1.0;
        right[steps] = self.points.iter().map(|p| p.w * p.y).sum();
        let mut all = solve(matrix, right);
        let base = all.pop().unwrap_or(0.0);
        (all, base)
    }

    fn output(&self) -> Vec<f64> {
        let mut y = vec![self.code.base; self.points.len()];
        for (z, &c) in self.z.iter().zip(&self.code.weight) {
            y.iter_mut().zip(z).for_each(|(y, z)| *y += c * z);
        }
        y
    }

    /// Derivatives of the loss by thresholds and resets, in the order of [`Code::numbers`].
    fn gradient(&self) -> Vec<f64> {
        const OUTSIDE: f64 = 0.1;
        let (steps, count) = (self.fit.steps, self.points.len());
        let error: Vec<f64> = self.points.iter().zip(self.output()).map(|(p, y)| 2.0 * p.w * (y - p.y)).collect();
        let (mut by_threshold, mut by_reset, mut by_z) = (vec![0.0; steps], vec![0.0; steps], vec![0.0; count]);
        // Σ of ∂loss/∂v over the later decisions.
        let mut later = vec![0.0; count];
        for i in (0..steps).rev() {
            let (c, u, scale) = (self.code.weight[i], &self.u[i], &self.v[i]);
            let h = self.code.lateral[0][i];
            by_z.iter_mut().zip(&error).zip(&later).for_each(|((g, e), l)| *g = c * e - h * l);
            let beyond = u.iter().map(|u| (u.abs() - 1.0).max(0.0)).sum::<f64>() / count as f64;
            let push = 2.0 * OUTSIDE * beyond / count as f64;
            let (mut sum, h) = (0.0, &mut by_reset[i]);
            *h = -dot(&later, &self.z[i]);
            for k in 0..count {
                let outside = if u[k].abs() > 1.0 { push.copysign(u[k]) } else { 0.0 };
                let by_u = by_z[k] * (1.0 - u[k].abs()).max(0.0) + outside;
                let size = scale[k].abs();
                sum -= by_u / size;
                later[k] += by_u * (1.0 - u[k] * scale[k].signum()) / size;
            }
            by_threshold[i] = sum;
        }
        by_threshold.extend(by_reset);
        by_threshold
    }
}

fn rounded(x: f64, bits: u32) -> f64 {
    let step = 2.0 * QUANTISED / 2f64.powi(bits as i32);
    ((x / step).round() * step).clamp(-QUANTISED, QUANTISED - step)
}

/// Summed in eight parts: the same on every machine, and no part waits for the one before.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut parts = [0.0; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a8.remainder().iter().zip(b8.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a8.zip(b8) {
        (0..8).for_each(|k| parts[k] += x[k] * y[k]);
    }
    parts.iter().sum::<f64>() + rest
}

/// Solves a symmetric system by Cholesky's decomposition; only the lower half is read. A direction without weight gets 0.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for i in 0..n {
        for j in 0..=i {
            let sum = (0..j).fold(a[i][j], |sum, k| sum - a[i][k] * a[j][k]);
            a[i][j] = match i == j {
                true => sum.max(1e-12).sqrt(),
                false => sum / a[j][j],
            };
        }
        b[i] = (0..i).fold(b[i], |sum, k| sum - a[i][k] * b[k]) / a[i][i];
    }
    for i in (0..n).rev() {
        b[i] = (i + 1..n).fold(b[i], |sum, k| sum - a[k][i] * b[k]) / a[i][i];
    }
    b
}

#[cfg(test)]
mod tests {
    use super::*;
    use snn_core::ann::Activation;

    #[test]
    fn equations_are_solved() {
        let (a, x) = ([[4.0, 0.0, 0.0], [2.0, 5.0, 0.0], [-1.0, 0.5, 3.0]], [1.0, -2.0, 0.5]);
        let full = |i: usize, j: usize| if j <= i { a[i][j] } else { a[j][i] };
        let b = (0..3).map(|i| (0..3).map(|j| full(i, j) * x[j]).sum()).collect();
        let found = solve(a.iter().map(|row| row.to_vec()).collect(), b);
        assert!(found.iter().zip(x).all(|(y, x)| (y - x).abs() < 1e-12), "{found:?}");
    }

    /// With the smooth step whose slope is the surrogate in the place of the spike, the gradient is that of the loss.
    #[test]
    fn the_gradient_is_that_of_the_smoothed_code() {
        let fit = Fit { points: 40, ..Fit::few_spikes(4, (-3.0, 4.0)) };
        let points: Vec<Point> = fit.grid().map(|x| Point { x, y: Activation::Silu.at(x), w: 1.0 / 40.0 }).collect();
        let mut search = Search::new(&fit, &points, Seed::new(3));
        search.code.weight = vec![0.7, -0.4, 0.5, 0.3];
        let smooth = |u: f64| if u < 0.0 { 0.5 * (1.0 + u).max(0.0).powi(2) } else { 1.0 - 0.5 * (1.0 - u).max(0.0).powi(2) };
        // Runs the code with smooth spikes and leaves them in the planes.
        let run = |search: &mut Search<'_>| {
            for k in 0..40 {
                for i in 0..4 {
                    let v = points[k].x - (0..i).map(|j| search.lateral(i, j) * search.z[j][k]).sum::<f64>();
                    search.v[i][k] = (v.abs() + 1.0).copysign(v);
                    search.u[i][k] = (v - search.code.threshold[i]) / (v.abs() + 1.0);
                    search.z[i][k] = smooth(search.u[i][k]);
                }
            }
            let outside = |i: usize| search.u[i].iter().map(|u| (u.abs() - 1.0).max(0.0)).sum::<f64>() / 40.0;
            let fit: f64 = search.points.iter().zip(search.output()).map(|(p, y)| p.w * (y - p.y).powi(2)).sum();
            fit + 0.1 * (0..4).map(|i| outside(i).powi(2)).sum::<f64>()
        };
        run(&mut search);
        let gradient = search.gradient();
        for k in 0..gradient.len() {
            let mut at = |h: f64| {
                *search.code.numbers().nth(k).unwrap() += h;
                let loss = run(&mut search);
                *search.code.numbers().nth(k).unwrap() -= h;
                loss
            };
            let numeric = (at(1e-6) - at(-1e-6)) / 2e-6;
            assert!((numeric - gradient[k]).abs() < 1e-6 * (1.0 + numeric.abs()), "{k}: {numeric} and {}", gradient[k]);
        }
    }

    #[test]
    fn the_best_so_far_never_gets_worse_and_the_threads_do_not_matter() {
        let fit = Fit { restarts: 3, updates: 60, polish: 60, points: 200, ..Fit::few_spikes(5, (-4.0, 4.0)) };
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| fit.run(f64::tanh, |_| 1.0, Seed::new(2)).unwrap())
        };
        let found = run(1);
        assert_eq!(found, run(2));
        assert!(found.history.windows(2).all(|w| w[1] <= w[0]) && found.history[0] > found.quality.mse);
        assert!((found.quality.mse / found.starts.iter().copied().fold(f64::MAX, f64::min) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn rounded_numbers_lie_on_the_levels() {
        let fit = Fit { restarts: 2, updates: 100, polish: 300, points: 200, bits: Some(6), ..Fit::few_spikes(5, (-4.0, 4.0)) };
        let found = fit.run(|x| Activation::Sigmoid.at(x), |_| 1.0, Seed::new(2)).unwrap();
        let numbers = found.unit.threshold.iter().chain(&found.unit.weight).chain(found.unit.lateral.iter().flatten());
        assert!(numbers.into_iter().all(|x| (x * 4.0).fract() == 0.0 && x.abs() <= 8.0));
        assert!(found.quality.mse < 0.02, "{:?}", found.quality);
    }

    #[test]
    fn a_function_that_never_reaches_zero_needs_no_spike_for_it() {
        let fit = Fit { restarts: 4, points: 300, ..Fit::few_spikes(6, (-4.0, 4.0)) };
        let found = fit.run(|x| 5.0 + x.tanh(), |_| 1.0, Seed::new(2)).unwrap();
        assert!(found.quality.mse < 1e-3 && found.unit.base > 3.0, "{:?} {}", found.quality, found.unit.base);
    }

    #[test]
    fn impossible_settings_are_named() {
        let refused = |fit: Fit| fit.run(|x| x, |_| 1.0, Seed::new(1)).unwrap_err().to_string();
        assert!(refused(Fit::few_spikes(0, (0.0, 1.0))).contains("steps = 0"));
        assert!(refused(Fit::few_spikes(4, (1.0, 1.0))).contains("range = 1"));
        assert!(refused(Fit { bits: Some(1), ..Fit::few_spikes(4, (0.0, 1.0)) }).contains("bits = 1"));
        let error = Fit::few_spikes(4, (0.0, 1.0)).run(|x| 1.0 / x, |_| 1.0, Seed::new(1)).unwrap_err();
        assert_eq!(error, FitError::Function { x: 0.0, y: f64::INFINITY });
    }
}
