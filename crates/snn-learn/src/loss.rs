//! Losses on what the output population did, with their derivative with respect to every output value.

use serde::{Deserialize, Serialize};
use snn_core::{Cue, Target, stats::largest};
use snn_sparse::{Block, Clocked, LANES, Scalar, lanes::blocks};
use std::ops::Range;

/// How a trial is scored.
///
/// `y[t][k]` is the output population's value: its graded output, or the value of its event (of a spike 1), 0 without. A class is judged by
/// all steps of the trial, or, where the data set asks for answers by [`Cue`](snn_core::Cue)s, each by the steps of its cue; the loss is then
/// the mean over the cues of the trial.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Class scores from the outputs, then `−log softmax(score)[class]`.
    CrossEntropy(Over),
    /// `½·Σ_t Σ_k (y − y*)² / T` against a target series.
    MeanSquared,
    /// `½·Σ_t Σ_k (y − y*)²` against a target series.
    SumSquared,
    /// `Σ_t Σ_k y·y*`: the target series is the derivative by the outputs. For objectives that are judged elsewhere, as those of reinforcement learning:
    /// whoever knows `∂L/∂y` of recorded trials gets `∂L/∂w` from any rule. The value of the loss means nothing then.
    Linear,
    /// `½·Σ_k (r_k − r*_k)²` with `r_k` the mean output per step, and `r* = correct` for the class, `wrong` for the others.
    Rate {
        /// Wanted mean output of the class's unit.
        correct: f64,
        /// Wanted mean output of all others.
        wrong: f64,
    },
    /// `½·Σ_k (n_k − n*_k)²` with `n_k` the sum of the outputs over the steps (of spikes: their number), and `n* = correct` for the class, `wrong` for the others. A unit
    /// within `margin` of its wanted number counts as right.
    ///
    /// Source: Zhang & Li 2019, arXiv:1908.06378, released code (35, 5, 5).
    Count {
        /// Wanted sum of the class's unit.
        correct: f64,
        /// Wanted sum of all others.
        wrong: f64,
        /// What a sum may be off.
        margin: f64,
    },
    /// `½·Σ_t Σ_k (a_k[t] − a*_k[t])²` with `a[t] = (1 − 1/tau)·a[t−1] + y[t]/tau`: the distance of the filtered outputs from those of a wanted train, which for the
    /// class's unit has a spike at step 1 and every `every` steps after it, for the others none. The answer is the class with the largest `Σ_t a_k[t]`.
    ///
    /// Source: Zhang & Li 2020, arXiv:2002.10085, released code (`every` = 1 for 5 steps, 2 for 10 and more).
    Kernel {
        /// Time constant of the filter, in steps, at least 1.
        tau: f64,
        /// Steps from one wanted spike to the next, at least 1.
        every: usize,
    },
}

/// How a class score is taken from an output over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// The largest value; its derivative goes to the first step that reaches it. Graded outputs only.
    Max,
    /// The sum (for spikes: the count).
    Sum,
    /// The mean.
    Mean,
    /// The value at the last step. Graded outputs only.
    Last,
    /// No score: the mean over the steps of the cross-entropy at each step. The answer is the class with the best mean value. Graded outputs only.
    Each,
}

/// How one trial went.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Loss, without regularisers.
    pub loss: f64,
    /// Answers asked for: one for a class, one per cue, none for a series.
    pub decisions: usize,
    /// Right ones among them: the class with the best score.
    pub correct: usize,
}

/// Why this loss cannot be taken on this network and data.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LossError {
    /// A rule learns from one output population.
    #[error("the network has {0} outputs; a loss needs exactly one")]
    Outputs(usize),
    /// Max and last have no derivative worth the name on spikes.
    #[error("loss over `{over:?}` needs a graded output; population `{population}` spikes: use Sum, Mean or Rate, or a `li` readout")]
    Graded {
        /// How the score is taken.
        over: Over,
        /// Output population.
        population: String,
    },
    /// Fewer units than classes.
    #[error("output `{population}` has {units} units for {classes} classes; give it one for each class")]
    Classes {
        /// Output population.
        population: String,
        /// Its size.
        units: usize,
        /// Classes in the data.
        classes: usize,
    },
    /// Impossible option.
    #[error("loss `{loss}`: {why}")]
    Options {
        /// Loss.
        loss: &'static str,
        /// What must change.
        why: String,
    },
    /// A class loss on series, or the other way round.
    #[error("this loss needs {wanted}; data set `{data}` has {found}")]
    Target {
        /// Data set.
        data: String,
        /// What the loss needs.
        wanted: &'static str,
        /// What there is.
        found: &'static str,
    },
}

impl Loss {
    /// Checks that the loss can be taken on `engine`'s output and a data set of `classes` classes (0: series).
    ///
    /// # Errors
    /// [`LossError`], naming the population.
    pub fn check<F: Scalar>(&self, engine: &Clocked<F>, data: &str, classes: usize) -> Result<(), LossError> {
        let outputs = engine.outputs();
        let &[output] = outputs else { return Err(LossError::Outputs(outputs.len())) };
        let population = &engine.network().draft().populations[output];
        let name = || population.name.clone();
        let target = |wanted, found| Err(LossError::Target { data: data.into(), wanted, found });
        match self {
            Loss::MeanSquared | Loss::SumSquared | Loss::Linear if classes > 0 => return target("a target series", "classes"),
            Loss::CrossEntropy(_) | Loss::Rate { .. } | Loss::Count { .. } | Loss::Kernel { .. } if classes == 0 => {
                return target("classes", "a target series");
            }
            Loss::Kernel { tau, every } if !(*tau >= 1.0 && tau.is_finite() && *every >= 1) => {
                let why = format!("tau = {tau}, every = {every}: both are steps, at least 1");
                return Err(LossError::Options { loss: "kernel", why });
            }
            Loss::Count { correct, wrong, margin } if !(correct.is_finite() && wrong.is_finite() && *margin >= 0.0) => {
                let why = format!("correct = {correct}, wrong = {wrong}, margin = {margin}: must be finite, the margin zero or more");
                return Err(LossError::Options { loss: "count", why });
            }
            Loss::CrossEntropy(over @ (Over::Max | Over::Last | Over::Each)) if population.model.spikes() => {
                return Err(LossError::Graded { over: *over, population: name() });
            }
            _ => {}
        }
        if population.size < classes {
            return Err(LossError::Classes { population: name(), units: population.size, classes });
        }
        Ok(())
    }

    /// The loss of one trial, and `∂loss/∂y·scale` written to `error`.
    ///
    /// `y` and `error` are `[step][block]` over `units` outputs; `error` is overwritten. Cost: steps × units.
    pub fn evaluate<F: Scalar>(&self, y: &[Block<F>], units: usize, target: Target<'_>, scale: f64, error: &mut [Block<F>]) -> Outcome {
        let width = blocks(units);
        let steps = y.len() / width;
        if self.stepwise() {
            return self.evaluate_piece(y, units, target, 0..steps, steps, scale, error, &mut Vec::new());
        }
        let at = |t: usize, k: usize| y[t * width + k / LANES][k % LANES].value();
        error.fill(Block::zero());
        let mut set = |t: usize, k: usize, d: f64| error[t * width + k / LANES][k % LANES] = F::of(d * scale);
        let whole;
        let cues = match target {
            Target::Cues(cues) => cues,
            Target::Class(c) => {
                whole = [Cue { start: 0, end: steps as u32, class: c as u32 }];
                &whole
            }
            Target::Series(_) => &[],
        };
        let part = 1.0 / cues.len().max(1) as f64;
        let mut outcome = Outcome { decisions: cues.len(), ..Outcome::default() };
        for cue in cues {
            let (class, span, n) = (cue.class as usize, cue.start as usize..cue.end as usize, f64::from(cue.end - cue.start));
            let mean = |k: usize| span.clone().map(|t| at(t, k)).sum::<f64>() / n.max(1.0);
            let (loss, best) = match *self {
                Loss::CrossEntropy(over) => {
                    let peak = |k: usize| span.clone().fold(span.start, |best, t| if at(t, k) > at(best, k) { t } else { best });
                    let score: Vec<f64> = (0..units)
                        .map(|k| match over {
                            Over::Max => at(peak(k), k),
                            Over::Sum => mean(k) * n,
                            Over::Mean | Over::Each => mean(k),
                            Over::Last => at(span.end - 1, k),
                        })
                        .collect();
                    let loss = cross_entropy(&score, class, |k, d| match over {
                        Over::Max => set(peak(k), k, part * d),
                        Over::Sum => span.clone().for_each(|t| set(t, k, part * d)),
                        Over::Mean | Over::Each => span.clone().for_each(|t| set(t, k, part * d / n)),
                        Over::Last => set(span.end - 1, k, part * d),
                    });
                    (loss, largest(score))
                }
                Loss::Rate { correct, wrong } => {
                    let mut loss = 0.0;
                    for k in 0..units {
                        let e = mean(k) - if k == class { correct } else { wrong };
                        loss += 0.5 * e * e;
                        span.clone().for_each(|t| set(t, k, part * e / n));
                    }
                    (loss, largest((0..units).map(mean)))
                }
                Loss::Count { correct, wrong, margin } => {
                    let mut loss = 0.0;
                    for k in 0..units {
                        let e = mean(k) * n - if k == class { correct } else { wrong };
                        if e.abs() > margin {
                            loss += 0.5 * e * e;
                            span.clone().for_each(|t| set(t, k, part * e));
                        }
                    }
                    (loss, largest((0..units).map(mean)))
                }
                Loss::Kernel { tau, every } => {
                    let (mut loss, mut off, mut sums) = (0.0, vec![0.0; span.len()], vec![0.0; units]);
                    for (k, sum) in sums.iter_mut().enumerate() {
                        let (mut a, mut wanted) = (0.0, 0.0);
                        for (t, off) in span.clone().zip(&mut off) {
                            let due = k == class && t > span.start && (t - span.start - 1).is_multiple_of(every);
                            a += (at(t, k) - a) / tau;
                            wanted += (f64::from(u8::from(due)) - wanted) / tau;
                            (*off, *sum) = (a - wanted, *sum + a);
                            loss += 0.5 * *off * *off;
                        }
                        // ∂a[t']/∂y[t] = (1 − 1/tau)^(t' − t)/tau.
                        let mut later = 0.0;
                        for (t, off) in span.clone().zip(&off).rev() {
                            later = (1.0 - 1.0 / tau) * later + off;
                            set(t, k, part * later / tau);
                        }
                    }
                    (loss, largest(sums))
                }
                Loss::MeanSquared | Loss::SumSquared | Loss::Linear => (f64::NAN, units), // a sum over steps, taken above
            };
            outcome.loss += part * loss;
            outcome.correct += usize::from(best == class);
        }
        outcome
    }

    /// Whether the loss is a sum over steps, so that its derivative by the output of a step is known at that step: what learning while a trial runs
    /// needs.
    pub fn stepwise(&self) -> bool {
        matches!(self, Loss::MeanSquared | Loss::SumSquared | Loss::Linear | Loss::CrossEntropy(Over::Each))
    }

    /// The part of [`evaluate`](Self::evaluate) that `steps` of a trial of `all` steps make up, for a loss that is [`stepwise`](Self::stepwise): `y` and
    /// `error` are of these steps, the target is the whole trial's. Pieces follow one another from step 0 on, with the same `sums`.
    pub fn evaluate_piece<F: Scalar>(
        &self,
        y: &[Block<F>],
        units: usize,
        target: Target<'_>,
        steps: Range<usize>,
        all: usize,
        scale: f64,
        error: &mut [Block<F>],
        sums: &mut Vec<f64>,
    ) -> Outcome {
        let width = blocks(units);
        let at = |t: usize, k: usize| y[(t - steps.start) * width + k / LANES][k % LANES].value();
        error.fill(Block::zero());
        let mut set = |t: usize, k: usize, d: f64| error[(t - steps.start) * width + k / LANES][k % LANES] = F::of(d * scale);
        let mut outcome = Outcome::default();
        let whole;
        let cues = match target {
            Target::Series(_) if !matches!(self, Loss::MeanSquared | Loss::SumSquared | Loss::Linear) => {
                return Outcome { loss: f64::NAN, ..outcome };
            }
            Target::Series(wanted) => {
                let part = if *self == Loss::MeanSquared { 1.0 / all as f64 } else { 1.0 };
                for t in steps.clone() {
                    for k in 0..units {
                        let (y, wanted) = (at(t, k), f64::from(wanted[t * units + k]));
                        let (value, derivative) = match self {
                            Loss::Linear => (y * wanted, wanted),
                            _ => (0.5 * (y - wanted) * (y - wanted) * part, (y - wanted) * part),
                        };
                        outcome.loss += value;
                        set(t, k, derivative);
                    }
                }
                return outcome;
            }
            _ if *self != Loss::CrossEntropy(Over::Each) => return Outcome { loss: f64::NAN, ..outcome }, // refused by `check`
            Target::Cues(cues) => cues,
            Target::Class(c) => {
                whole = [Cue { start: 0, end: all as u32, class: c as u32 }];
                &whole
            }
        };
        if steps.start == 0 {
            sums.clear();
            sums.resize(cues.len() * units, 0.0);
        }
        let mut here = vec![0.0; units];
        for (cue, sums) in cues.iter().zip(sums.chunks_mut(units)) {
            let part = 1.0 / cues.len() as f64 / f64::from(cue.end - cue.start);
            for t in steps.start.max(cue.start as usize)..steps.end.min(cue.end as usize) {
                (0..units).for_each(|k| here[k] = at(t, k));
                outcome.loss += part * cross_entropy(&here, cue.class as usize, |k, d| set(t, k, part * d));
                sums.iter_mut().zip(&here).for_each(|(sum, y)| *sum += y);
            }
            if steps.contains(&(cue.end as usize - 1)) {
                outcome.decisions += 1;
                outcome.correct += usize::from(largest(&*sums) == cue.class as usize);
            }
        }
        outcome
    }
}

/// A probability this far from its target is right: its error would become a subnormal number on the way back, with which processors are slow.
const RIGHT: f64 = 1e-20;

/// `−log softmax(score)[class]`; `set` is told its derivative by every score, zero where it is below [`RIGHT`].
fn cross_entropy(score: &[f64], class: usize, mut set: impl FnMut(usize, f64)) -> f64 {
    let top = score.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = score.iter().map(|s| (s - top).exp()).sum();
    for k in 0..score.len() {
        let error = (score[k] - top).exp() / total - f64::from(k == class);
        set(k, if error.abs() < RIGHT { 0.0 } else { error });
    }
    total.ln() + top - score[class]
}

/// Pressure on how much a spiking population fires, per trial; the mean over the batch is added to the loss.
///
/// ```text
/// upper·max(0, mean_j n_j − upper_count)  +  (lower/H)·Σ_j max(0, lower_count − n_j)²  +  rate·Σ_j (f_j − f₀)²
/// ```
/// with `n_j` the spikes of unit `j` in the trial, `H` units, and `f_j` the spikes per step of unit `j`: in the trial, or over the batch before.
///
/// Source: the bounds on counts Perez-Nieves & Goodman 2021, released code; the rate Bellec et al. 2018 and 2020, released code, which take the average over
/// the present batch. Over a batch it needs no second pass here because it is one batch late; in the first batch it is of the trial.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Regulariser {
    /// Strength of the upper bound.
    pub upper: f64,
    /// Spikes per unit and trial allowed on average.
    pub upper_count: f64,
    /// Strength of the lower bound.
    pub lower: f64,
    /// Spikes every unit should reach.
    pub lower_count: f64,
    /// Strength of the wanted rate.
    pub rate: f64,
    /// Wanted spikes per step, f₀.
    pub rate_target: f64,
    /// What the rate is an average over.
    pub rate_over: RateOver,
}

/// What a rate is an average over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum RateOver {
    /// The trial.
    #[default]
    Trial,
    /// All trials of the batch before.
    Batch,
}

impl Regulariser {
    /// None.
    pub const NONE: Regulariser =
        Regulariser { upper: 0.0, upper_count: 0.0, lower: 0.0, lower_count: 0.0, rate: 0.0, rate_target: 0.0, rate_over: RateOver::Trial };

    /// A rate of `target` spikes per step, with strength `rate`.
    pub const fn rate(rate: f64, target: f64, over: RateOver) -> Self {
        Regulariser { rate, rate_target: target, rate_over: over, ..Regulariser::NONE }
    }

    /// The penalty for spike counts `n` of a trial of `steps` steps, and its derivative by every spike of unit `j`, times `scale`, added to `error[j]`.
    /// `before` are the spikes per step over the batch before, if there was one. Counts are real numbers so that the smoothed network can be judged by the
    /// same formula.
    pub fn evaluate<F: Scalar>(&self, n: &[f64], steps: usize, before: Option<&[f64]>, scale: f64, error: &mut [Block<F>]) -> f64 {
        let (units, steps) = (n.len() as f64, steps as f64);
        let excess = n.iter().sum::<f64>() / units - self.upper_count;
        let mut penalty = self.upper * excess.max(0.0);
        let push = if excess > 0.0 { self.upper / units } else { 0.0 };
        let before = before.filter(|_| self.rate_over == RateOver::Batch);
        for (j, &count) in n.iter().enumerate() {
            let missing = (self.lower_count - count).max(0.0);
            penalty += self.lower / units * missing * missing;
            let off = before.map_or(count / steps, |rates| rates[j]) - self.rate_target;
            penalty += self.rate * off * off;
            error[j / LANES][j % LANES] += F::of(scale * (push - 2.0 * self.lower / units * missing + 2.0 * self.rate * off / steps));
        }
        penalty
    }

    /// Whether its derivative is known before a trial is run, given whether there was a batch before.
    pub fn known_before(&self, batch_before: bool) -> bool {
        self.upper == 0.0 && self.lower == 0.0 && (self.rate == 0.0 || (self.rate_over == RateOver::Batch && batch_before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The derivative of every loss is its finite difference.
        #[test]
        fn derivatives_are_right(y in prop::collection::vec(-1.0f64..1.0, 12), class in 0usize..3, kind in 0usize..16) {
            let series: Vec<f32> = y.iter().map(|v| (v * 7.3).sin() as f32).collect();
            let cues = [Cue { start: 0, end: 1, class: 2 }, Cue { start: 2, end: 4, class: class as u32 }];
            let (loss, target) = match kind {
                0 => (Loss::CrossEntropy(Over::Max), Target::Class(class)),
                1 => (Loss::CrossEntropy(Over::Sum), Target::Class(class)),
                2 => (Loss::CrossEntropy(Over::Mean), Target::Class(class)),
                3 => (Loss::CrossEntropy(Over::Last), Target::Class(class)),
                4 => (Loss::MeanSquared, Target::Series(&series)),
                5 => (Loss::SumSquared, Target::Series(&series)),
                6 => (Loss::CrossEntropy(Over::Each), Target::Class(class)),
                12 => (Loss::Linear, Target::Series(&series)),
                7 => (Loss::CrossEntropy(Over::Each), Target::Cues(&cues)),
                8 => (Loss::CrossEntropy(Over::Mean), Target::Cues(&cues)),
                9 => (Loss::CrossEntropy(Over::Max), Target::Cues(&cues)),
                13 => (Loss::Count { correct: 2.0, wrong: 0.3, margin: 0.2 }, Target::Class(class)),
                14 => (Loss::Kernel { tau: 3.0, every: 2 }, Target::Class(class)),
                15 => (Loss::Kernel { tau: 1.5, every: 1 }, Target::Cues(&cues)),
                10 => (Loss::Rate { correct: 0.8, wrong: 0.1 }, Target::Cues(&cues)),
                _ => (Loss::Rate { correct: 0.8, wrong: 0.1 }, Target::Class(class)),
            };
            let pack = |y: &[f64]| (0..4).map(|t| { let mut b = Block::zero(); b.0[..3].copy_from_slice(&y[t * 3..t * 3 + 3]); b }).collect::<Vec<_>>();
            let mut error = vec![Block::zero(); 4];
            let mut scratch = error.clone();
            loss.evaluate(&pack(&y), 3, target, 1.0, &mut error);
            for i in 0..12 {
                let mut value = |h: f64| { let mut y = y.clone(); y[i] += h; loss.evaluate(&pack(&y), 3, target, 1.0, &mut scratch).loss };
                let numeric = (value(1e-6) - value(-1e-6)) / 2e-6;
                prop_assert!((numeric - error[i / 3][i % 3]).abs() < 1e-6, "{loss:?} {numeric} {}", error[i / 3][i % 3]);
            }
        }

        /// The wanted train has no loss, and its class is the answer.
        #[test]
        fn the_wanted_train_is_right(class in 0usize..3, tau in 1.0f64..9.0, every in 1usize..4) {
            let mut y = vec![Block::<f64>::zero(); 12];
            (1..12).step_by(every).for_each(|t| y[t][class] = 1.0);
            let outcome = Loss::Kernel { tau, every }.evaluate(&y, 3, Target::Class(class), 1.0, &mut y.clone());
            prop_assert!(outcome.loss < 1e-24 && outcome.correct == 1, "{outcome:?}");
            let count = Loss::Count { correct: (1..12).step_by(every).len() as f64 + 0.5, wrong: 0.5, margin: 0.5 };
            prop_assert_eq!(count.evaluate(&y, 3, Target::Class(class), 1.0, &mut y.clone()), Outcome { loss: 0.0, decisions: 1, correct: 1 });
        }

        #[test]
        fn regulariser_derivative_is_right(n in prop::collection::vec(0.0f64..4.0, 5)) {
            let r = Regulariser { upper: 0.3, upper_count: 1.5, lower: 2.0, lower_count: 1.0, ..Regulariser::rate(3.0, 0.2, RateOver::Batch) };
            let mut error = vec![Block::<f64>::zero(); 1];
            r.evaluate(&n, 7, None, 1.0, &mut error);
            for j in 0..5 {
                let value = |h: f64| { let mut n = n.clone(); n[j] += h; r.evaluate::<f64>(&n, 7, None, 0.0, &mut [Block::zero()]) };
                prop_assert!(((value(1e-6) - value(-1e-6)) / 2e-6 - error[0][j]).abs() < 1e-6);
            }
            // Over the batch before, the counts of this trial do not matter.
            let rate = Regulariser::rate(3.0, 0.2, RateOver::Batch);
            let mut error = vec![Block::<f64>::zero(); 1];
            let penalty = rate.evaluate(&n, 7, Some(&[0.3; 5]), 0.5, &mut error);
            prop_assert!((penalty - 5.0 * 3.0 * 0.01).abs() < 1e-12 && (error[0][4] - 0.5 * 2.0 * 3.0 * 0.1 / 7.0).abs() < 1e-12);
        }
    }
}
