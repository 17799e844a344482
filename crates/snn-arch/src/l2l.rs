//! Supervised learning to learn: a network with fixed weights meets a new function in each episode, and its error falls with every example it is shown.
//!
//! The outer loop is plain training ([`snn_learn::Trainer`]) on episodes of the family. Here is what is asked of its result: the error against the number of
//! examples on new episodes ([`curve`]), and what simpler learners reach on the same ([`mean_predictor`], [`running_mean`], [`online_backprop`]).
//! All errors are mean squared errors in `f64`.
//!
//! Source: Bellec, Salaj, Subramoney, Legenstein and Maass 2018 (arXiv:1803.09574), learning to learn from a teacher; the idea of an outer loop around a
//! recurrent network Hochreiter, Younger and Conwell 2001.

use crate::error::{ArchError, check, shape};
use rand::{Rng, RngExt};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use snn_core::{Dataset, Raster, Seed, ann::sigmoid};
use snn_data::{Drawn, TargetNetworkParams, Task};
use snn_sparse::{Clocked, LANES, Record, Wants};
use std::ops::Range;

/// A family of functions, one in each episode, shown by examples one after the other.
///
/// A trial of the task is an episode. To add a family: implement this for its parameters.
pub trait Family: Task + Send {
    /// Examples of an episode.
    fn examples(&self) -> usize;
    /// The steps of example `k`; the network's answer is the mean of its readout over them.
    fn window(&self, k: usize) -> Range<usize>;
    /// The examples of the episode of this seed, as numbers.
    fn lesson(&self, seed: Seed) -> Lesson;
}

/// The examples of an episode: `inputs[k]` numbers to `targets[k]` numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Lesson {
    /// What is given, each of the same length.
    pub inputs: Vec<Vec<f64>>,
    /// What is asked for, each of the same length.
    pub targets: Vec<Vec<f64>>,
}

impl Family for TargetNetworkParams {
    fn examples(&self) -> usize {
        self.examples
    }
    fn window(&self, k: usize) -> Range<usize> {
        self.example_window(k)
    }
    fn lesson(&self, seed: Seed) -> Lesson {
        let episode = self.episode(seed);
        Lesson { inputs: episode.inputs.iter().map(|x| x.to_vec()).collect(), targets: episode.targets.iter().map(|&y| vec![y]).collect() }
    }
}

fn lessons<T: Family>(task: &Drawn<T>) -> Vec<Lesson> {
    (0..task.len()).map(|i| task.task().lesson(task.seed(i))).collect()
}

/// Mean over episodes of the error at each example. Episodes are added in order.
fn mean(curves: &[Vec<f64>]) -> Vec<f64> {
    let mut sum = vec![0.0; curves[0].len()];
    curves.iter().for_each(|curve| sum.iter_mut().zip(curve).for_each(|(s, e)| *s += e / curves.len() as f64));
    sum
}

/// Mean over the outputs of the squared difference.
fn squared(y: impl IntoIterator<Item = f64>, target: &[f64]) -> f64 {
    y.into_iter().zip(target).map(|(y, c)| (y - c) * (y - c)).sum::<f64>() / target.len() as f64
}

/// Squared error of the network at each example, mean over the episodes of `task`. Runs them on all threads; the result does not depend on their number.
///
/// # Errors
/// If the network does not fit the task, or there are no episodes.
pub fn curve<T: Family>(engine: &Clocked<f32>, task: &Drawn<T>) -> Result<Vec<f64>, ArchError> {
    if task.is_empty() {
        return Err(ArchError::Empty("an error curve"));
    }
    let family = task.task();
    let outputs = family.lesson(task.seed(0)).targets.first().map_or(0, Vec::len);
    let output = shape(engine, family.name(), family.inputs(), outputs, "one per number asked for")?;
    let one = |(raster, record): &mut (Raster, Record<f32>), i| {
        task.load(i, raster);
        engine.run(&[raster], Wants::Spikes, record);
        let trace = &record.traces[output];
        let at = |t: usize, k: usize| f64::from(trace.output[t * trace.blocks() + k / LANES][k % LANES]);
        let answer = |window: Range<usize>, k: usize| window.clone().map(|t| at(t, k)).sum::<f64>() / window.len() as f64;
        let targets = family.lesson(task.seed(i)).targets;
        targets.iter().enumerate().map(|(e, target)| squared((0..outputs).map(|k| answer(family.window(e), k)), target)).collect()
    };
    let curves: Vec<Vec<f64>> = (0..task.len()).into_par_iter().map_init(|| (Raster::default(), Record::new(engine)), one).collect();
    Ok(mean(&curves))
}

/// The mean target of all examples of some episodes.
fn mean_target(lessons: &[Lesson]) -> Vec<f64> {
    let outputs = lessons[0].targets[0].len();
    let n = lessons.iter().map(|l| l.targets.len()).sum::<usize>() as f64;
    (0..outputs).map(|k| lessons.iter().flat_map(|l| &l.targets).map(|c| c[k]).sum::<f64>() / n).collect()
}

/// Squared error at each example of who always answers the mean target of the family, taken from `training` episodes: nothing is learnt in an episode.
///
/// # Errors
/// If there are no episodes.
pub fn mean_predictor<T: Family>(training: &Drawn<T>, test: &Drawn<T>) -> Result<Vec<f64>, ArchError> {
    some(training, test)?;
    let mean_of_all = mean_target(&lessons(training));
    let curves: Vec<Vec<f64>> =
        lessons(test).iter().map(|l| l.targets.iter().map(|c| squared(mean_of_all.iter().copied(), c)).collect()).collect();
    Ok(mean(&curves))
}

/// Squared error at each example of who answers the mean of the targets seen so far in the episode, and at first that of the family, taken from `training`
/// episodes: the level of a function is learnt, not its shape.
///
/// # Errors
/// If there are no episodes.
pub fn running_mean<T: Family>(training: &Drawn<T>, test: &Drawn<T>) -> Result<Vec<f64>, ArchError> {
    some(training, test)?;
    let first = mean_target(&lessons(training));
    let one = |lesson: &Lesson| {
        let mut sum = vec![0.0; first.len()];
        let mut curve = Vec::with_capacity(lesson.targets.len());
        for (n, target) in lesson.targets.iter().enumerate() {
            let answer = |k: usize| if n == 0 { first[k] } else { sum[k] / n as f64 };
            curve.push(squared((0..first.len()).map(answer), target));
            sum.iter_mut().zip(target).for_each(|(s, c)| *s += c);
        }
        curve
    };
    Ok(mean(&lessons(test).iter().map(one).collect::<Vec<_>>()))
}

fn some<T: Family>(training: &Drawn<T>, test: &Drawn<T>) -> Result<(), ArchError> {
    if training.is_empty() || test.is_empty() || test.task().examples() == 0 {
        return Err(ArchError::Empty("a baseline"));
    }
    Ok(())
}

/// The learner of [`online_backprop`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Backprop {
    /// Sigmoid hidden units, at least 1.
    pub hidden: usize,
    /// Initial weights and biases are uniform from `−weight` to `weight`.
    pub weight: f64,
    /// Learning rates to choose from, at least one, each above 0.
    pub rates: Vec<f64>,
}

/// What [`online_backprop`] gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// The learning rate with the least error over all examples of the training episodes.
    pub rate: f64,
    /// Squared error at each example of the test episodes.
    pub curve: Vec<f64>,
}

/// Squared error at each example of a feed-forward network with one hidden layer and sigmoid units, which starts each episode at random weights
/// and takes one step of gradient descent on `½·Σ(y − c)²` after each example; the error is that before the step. The learning rate is chosen on `training`
/// episodes, so that the test episodes say nothing of it.
///
/// # Errors
/// If there are no episodes, or a parameter is impossible.
pub fn online_backprop<T: Family>(learner: &Backprop, training: &Drawn<T>, test: &Drawn<T>, seed: Seed) -> Result<Baseline, ArchError> {
    const OF: &str = "Backprop";
    some(training, test)?;
    check(learner.hidden > 0, OF, "hidden", learner.hidden, "1 or more")?;
    check(learner.weight > 0.0 && learner.weight.is_finite(), OF, "weight", learner.weight, "a finite number above 0")?;
    let good = !learner.rates.is_empty() && learner.rates.iter().all(|r| r.is_finite() && *r > 0.0);
    check(good, OF, "rates", format!("{:?}", learner.rates), "at least one, each a finite number above 0")?;
    let run = |lessons: &[Lesson], rate: f64, seed: Seed| -> Vec<f64> {
        let one = |(k, lesson): (usize, &Lesson)| {
            let mut net = Perceptron::random(learner, lesson, &mut seed.nth(k as u64).rng());
            lesson.inputs.iter().zip(&lesson.targets).map(|(x, c)| net.learn(x, c, rate)).collect()
        };
        mean(&lessons.par_iter().enumerate().map(one).collect::<Vec<_>>())
    };
    let lessons_before = lessons(training);
    let total = |rate: &f64| run(&lessons_before, *rate, seed.child("training")).iter().sum::<f64>();
    let scored: Vec<(f64, f64)> = learner.rates.iter().map(|rate| (total(rate), *rate)).collect();
    let (_, rate) = scored.into_iter().fold((f64::INFINITY, learner.rates[0]), |best, now| if now.0 < best.0 { now } else { best });
    Ok(Baseline { rate, curve: run(&lessons(test), rate, seed.child("test")) })
}

/// A network with one hidden layer, all units sigmoid. Rows are `weights…, bias`.
struct Perceptron {
    hidden: Vec<Vec<f64>>,
    output: Vec<Vec<f64>>,
}

/// The units of a layer at `x`.
fn layer(rows: &[Vec<f64>], x: &[f64]) -> Vec<f64> {
    rows.iter().map(|row| sigmoid(row[x.len()] + row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>())).collect()
}

/// `row ← row − rate·d·(x, 1)`.
fn descend(row: &mut [f64], x: &[f64], step: f64) {
    row.iter_mut().zip(x.iter().chain([&1.0])).for_each(|(w, x)| *w -= step * x);
}

impl Perceptron {
    fn random(of: &Backprop, lesson: &Lesson, rng: &mut impl Rng) -> Self {
        let mut rows = |n: usize, inputs: usize| {
            let row = |_| (0..=inputs).map(|_| of.weight * (2.0 * rng.random::<f64>() - 1.0)).collect();
            (0..n).map(row).collect::<Vec<Vec<f64>>>()
        };
        let (inputs, outputs) = (lesson.inputs[0].len(), lesson.targets[0].len());
        Perceptron { hidden: rows(of.hidden, inputs), output: rows(outputs, of.hidden) }
    }

    /// The squared error at an example, before the step that follows it.
    fn learn(&mut self, x: &[f64], target: &[f64], rate: f64) -> f64 {
        let h = layer(&self.hidden, x);
        let y = layer(&self.output, &h);
        let mut back = vec![0.0; h.len()];
        for ((row, &y), &c) in self.output.iter_mut().zip(&y).zip(target) {
            let d = (y - c) * y * (1.0 - y);
            back.iter_mut().zip(&*row).for_each(|(b, w)| *b += d * w);
            descend(row, &h, rate * d);
        }
        for ((row, h), back) in self.hidden.iter_mut().zip(&h).zip(back) {
            descend(row, x, rate * back * h * (1.0 - h));
        }
        squared(y, target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The step is `−rate` times the gradient of `½·Σ(y − c)²`.
    #[test]
    fn the_step_is_the_gradient() {
        let lesson = Lesson { inputs: vec![vec![0.4, -0.7]], targets: vec![vec![0.3, 0.9]] };
        let of = Backprop { hidden: 3, weight: 1.0, rates: vec![1.0] };
        let new = || Perceptron::random(&of, &lesson, &mut Seed::new(5).rng());
        let loss = |net: &Perceptron| squared(layer(&net.output, &layer(&net.hidden, &lesson.inputs[0])), &lesson.targets[0]);
        let mut moved = new();
        assert!((moved.learn(&lesson.inputs[0], &lesson.targets[0], 0.5) - loss(&new())).abs() < 1e-15);
        for (which, rows, width) in [(0, 3, 3), (1, 2, 4)] {
            for (j, i) in (0..rows).flat_map(|j| (0..width).map(move |i| (j, i))) {
                let at = |h: f64| {
                    let mut net = new();
                    [&mut net.hidden, &mut net.output][which][j][i] += h;
                    loss(&net)
                };
                let row = |net: &Perceptron| [&net.hidden, &net.output][which][j][i];
                let step = row(&moved) - row(&new());
                let slope = (at(1e-6) - at(-1e-6)) / 2e-6; // of the mean over two outputs: ½·Σ has the same derivative
                assert!((step + 0.5 * slope).abs() < 1e-9, "{step} {slope}");
            }
        }
    }
}
