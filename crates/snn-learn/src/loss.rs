//! Losses on what the output population did, with their derivative with respect to every output value.

use serde::{Deserialize, Serialize};
use snn_core::Target;
use snn_sparse::{Block, Clocked, LANES, Scalar, lanes::blocks};

/// How a trial is scored.
///
/// `y[t][k]` is the output population's value: its graded output, or the value of its event (of a spike 1), 0 without.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Class scores from the outputs, then `−log softmax(score)[class]`.
    CrossEntropy(Over),
    /// `½·Σ_t Σ_k (y − y*)² / T` against a target series.
    MeanSquared,
    /// `½·Σ_k (r_k − r*_k)²` with `r_k` the mean output per step, and `r* = correct` for the class, `wrong` for the others.
    Rate {
        /// Wanted mean output of the class's unit.
        correct: f64,
        /// Wanted mean output of all others.
        wrong: f64,
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
}

/// How one trial went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Loss, without regularisers.
    pub loss: f64,
    /// The class with the best score; the class itself for series.
    pub predicted: usize,
    /// Whether that is the right class (`false` for series).
    pub correct: bool,
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
    #[error("output `{population}` has {units} units for {classes} classes")]
    Classes {
        /// Output population.
        population: String,
        /// Its size.
        units: usize,
        /// Classes in the data.
        classes: usize,
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
            Loss::MeanSquared if classes > 0 => return target("a target series", "classes"),
            Loss::CrossEntropy(_) | Loss::Rate { .. } if classes == 0 => return target("classes", "a target series"),
            Loss::CrossEntropy(over @ (Over::Max | Over::Last)) if population.model.spikes() => {
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
        let at = |t: usize, k: usize| y[t * width + k / LANES][k % LANES].value();
        error.fill(Block::zero());
        let mut set = |t: usize, k: usize, d: f64| error[t * width + k / LANES][k % LANES] = F::of(d * scale);
        let class = if let Target::Class(c) = target { c } else { 0 };
        let finish = |loss: f64, score: &[f64]| {
            let predicted = (0..score.len()).fold(0, |best, k| if score[k] > score[best] { k } else { best });
            Outcome { loss, predicted, correct: matches!(target, Target::Class(c) if c == predicted) }
        };
        let mean = |k: usize| (0..steps).map(|t| at(t, k)).sum::<f64>() / steps.max(1) as f64;
        match *self {
            Loss::CrossEntropy(over) => {
                let peak = |k: usize| (0..steps).fold(0, |best, t| if at(t, k) > at(best, k) { t } else { best });
                let score: Vec<f64> = (0..units)
                    .map(|k| match over {
                        Over::Max => at(peak(k), k),
                        Over::Sum => mean(k) * steps as f64,
                        Over::Mean => mean(k),
                        Over::Last => at(steps - 1, k),
                    })
                    .collect();
                let top = score.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let total: f64 = score.iter().map(|s| (s - top).exp()).sum();
                for k in 0..units {
                    let d = (score[k] - top).exp() / total - f64::from(k == class);
                    match over {
                        Over::Max => set(peak(k), k, d),
                        Over::Sum => (0..steps).for_each(|t| set(t, k, d)),
                        Over::Mean => (0..steps).for_each(|t| set(t, k, d / steps as f64)),
                        Over::Last => set(steps - 1, k, d),
                    }
                }
                finish(total.ln() + top - score[class], &score)
            }
            Loss::MeanSquared => {
                let Target::Series(wanted) = target else { return finish(f64::NAN, &[]) };
                let mut loss = 0.0;
                for t in 0..steps {
                    for k in 0..units {
                        let e = at(t, k) - f64::from(wanted[t * units + k]);
                        loss += 0.5 * e * e / steps as f64;
                        set(t, k, e / steps as f64);
                    }
                }
                finish(loss, &[])
            }
            Loss::Rate { correct, wrong } => {
                let rate: Vec<f64> = (0..units).map(mean).collect();
                let mut loss = 0.0;
                for k in 0..units {
                    let e = rate[k] - if k == class { correct } else { wrong };
                    loss += 0.5 * e * e;
                    (0..steps).for_each(|t| set(t, k, e / steps as f64));
                }
                finish(loss, &rate)
            }
        }
    }
}

/// Pressure on how much a spiking population fires, per trial; the mean over the batch is added to the loss.
///
/// ```text
/// upper·max(0, mean_j n_j − upper_count)  +  (lower/H)·Σ_j max(0, lower_count − n_j)²
/// ```
/// with `n_j` the spikes of unit `j` in the trial and `H` units. Source: Perez-Nieves & Goodman 2021, released code.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, Default)]
pub struct Regulariser {
    /// Strength of the upper bound.
    pub upper: f64,
    /// Spikes per unit and trial allowed on average.
    pub upper_count: f64,
    /// Strength of the lower bound.
    pub lower: f64,
    /// Spikes every unit should reach.
    pub lower_count: f64,
}

impl Regulariser {
    /// None.
    pub const NONE: Regulariser = Regulariser { upper: 0.0, upper_count: 0.0, lower: 0.0, lower_count: 0.0 };

    /// The penalty for spike counts `n`, and its derivative by every spike of unit `j`, times `scale`, added to `error[j]`.
    /// Counts are real numbers so that the smoothed network can be judged by the same formula.
    pub fn evaluate<F: Scalar>(&self, n: &[f64], scale: f64, error: &mut [Block<F>]) -> f64 {
        let units = n.len() as f64;
        let excess = n.iter().sum::<f64>() / units - self.upper_count;
        let mut penalty = self.upper * excess.max(0.0);
        let push = if excess > 0.0 { self.upper / units } else { 0.0 };
        for (j, &count) in n.iter().enumerate() {
            let missing = (self.lower_count - count).max(0.0);
            penalty += self.lower / units * missing * missing;
            error[j / LANES][j % LANES] += F::of(scale * (push - 2.0 * self.lower / units * missing));
        }
        penalty
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The derivative of every loss is its finite difference.
        #[test]
        fn derivatives_are_right(y in prop::collection::vec(-1.0f64..1.0, 12), class in 0usize..3, kind in 0usize..6) {
            let series: Vec<f32> = y.iter().map(|v| (v * 7.3).sin() as f32).collect();
            let (loss, target) = match kind {
                0 => (Loss::CrossEntropy(Over::Max), Target::Class(class)),
                1 => (Loss::CrossEntropy(Over::Sum), Target::Class(class)),
                2 => (Loss::CrossEntropy(Over::Mean), Target::Class(class)),
                3 => (Loss::CrossEntropy(Over::Last), Target::Class(class)),
                4 => (Loss::MeanSquared, Target::Series(&series)),
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

        #[test]
        fn regulariser_derivative_is_right(n in prop::collection::vec(0.0f64..4.0, 5)) {
            let r = Regulariser { upper: 0.3, upper_count: 1.5, lower: 2.0, lower_count: 1.0 };
            let mut error = vec![Block::<f64>::zero(); 1];
            r.evaluate(&n, 1.0, &mut error);
            for j in 0..5 {
                let value = |h: f64| { let mut n = n.clone(); n[j] += h; r.evaluate::<f64>(&n, 0.0, &mut [Block::zero()]) };
                prop_assert!(((value(1e-6) - value(-1e-6)) / 2e-6 - error[0][j]).abs() < 1e-6);
            }
        }
    }
}
