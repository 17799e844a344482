//! How a readout becomes an action and a value, and the objective of proximal policy optimisation.
//!
//! Everything here is a pure function of a few numbers in `f64`; nothing knows of networks. The readout of one moment is `y`: one number per part of the
//! action, or per choice, and the value last.
//!
//! Sources: Schulman, Wolski, Dhariwal, Radford and Klimov 2017 (arXiv:1707.06347), eqs. 7 and 9; Schulman, Moritz, Levine, Jordan and Abbeel 2016
//! (arXiv:1506.02438), eq. 16.

use crate::error::{ArchError, check};
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};
use snn_data::{Action, Actions};

mod ppo;

pub use ppo::{Past, Ppo, Terms, advantages};

const OF: &str = "Head";

/// What the readout means.
///
/// ```text
/// choices:   π(a) = softmax(gain·y₀ … gain·y_{n−1})[a]
/// numbers:   a = m + sigma·ξ,   m = gain·(y₀ … y_{n−1}),   ξ standard normal;   the environment gets scale·a
/// value:     V = value_gain·y_n
/// ```
/// A gain changes what a network can say, and how fast it learns to: with an optimiser that normalises gradients the output moves `gain` times as far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// From the readout to logits or means, above 0.
    pub gain: f64,
    /// From the readout to the value (in units of reward), above 0.
    pub value_gain: f64,
    /// Standard deviation of the exploration of numbers, above 0.
    pub sigma: f64,
    /// From numbers to the environment's units, above 0.
    pub scale: f64,
}

/// How an agent chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Acting {
    /// It draws from its policy.
    Sample,
    /// It takes the most probable choice, or the mean.
    Greedy,
}

/// Numbers of a readout for these actions: the policy's and the value.
pub fn units(actions: Actions) -> usize {
    policy_units(actions) + 1
}

/// Numbers of the readout that make the policy.
fn policy_units(actions: Actions) -> usize {
    match actions {
        Actions::Discrete(n) | Actions::Continuous(n) => n,
    }
}

/// Numbers that hold one action: the index of a choice, or each part.
pub fn width(actions: Actions) -> usize {
    match actions {
        Actions::Discrete(_) => 1,
        Actions::Continuous(n) => n,
    }
}

impl Head {
    /// Checks the parameters.
    ///
    /// # Errors
    /// [`ArchError::Option`].
    pub fn check(&self) -> Result<(), ArchError> {
        let Head { gain, value_gain, sigma, scale } = *self;
        for (name, x) in [("gain", gain), ("value_gain", value_gain), ("sigma", sigma), ("scale", scale)] {
            check(x.is_finite() && x > 0.0, OF, name, x, "a finite number above 0")?;
        }
        Ok(())
    }

    /// `V`.
    pub fn value(&self, y: &[f64]) -> f64 {
        self.value_gain * y[y.len() - 1]
    }

    /// Chooses an action and appends it to `into`: [`width`] numbers, those of a choice being its index.
    pub fn choose(&self, actions: Actions, y: &[f64], acting: Acting, rng: &mut impl Rng, into: &mut Vec<f32>) {
        match (actions, acting) {
            (Actions::Discrete(n), Acting::Sample) => {
                let p = self.probabilities(&y[..n]);
                let mut left: f64 = rng.random();
                let choice = p.iter().position(|p| {
                    left -= p;
                    left < 0.0
                });
                into.push(choice.unwrap_or(n - 1) as f32);
            }
            (Actions::Discrete(n), Acting::Greedy) => {
                let best = (0..n).fold(0, |best, k| if y[k] > y[best] { k } else { best });
                into.push(best as f32);
            }
            (Actions::Continuous(n), acting) => into.extend(y[..n].iter().map(|y| {
                let noise: f64 = if acting == Acting::Sample { rng.sample(StandardNormal) } else { 0.0 };
                (self.gain * y + self.sigma * noise) as f32
            })),
        }
    }

    /// Hands the action `a` to `act` as the environment takes it. `scaled` is working memory.
    pub fn hand<T>(&self, actions: Actions, a: &[f32], scaled: &mut Vec<f32>, act: impl FnOnce(Action<'_>) -> T) -> T {
        match actions {
            Actions::Discrete(_) => act(Action::Discrete(a[0] as usize)),
            Actions::Continuous(_) => {
                scaled.clear();
                scaled.extend(a.iter().map(|a| (self.scale * f64::from(*a)) as f32));
                act(Action::Continuous(scaled))
            }
        }
    }

    /// `log π(a)`, for numbers of the density of `a` before it is scaled; its derivative by `y`, times `by`, is added to `derivative`.
    pub fn log_prob(&self, actions: Actions, y: &[f64], a: &[f32], by: f64, derivative: &mut [f64]) -> f64 {
        match actions {
            Actions::Discrete(n) => {
                let (p, choice) = (self.probabilities(&y[..n]), a[0] as usize);
                (0..n).for_each(|k| derivative[k] += by * self.gain * (f64::from(u8::from(k == choice)) - p[k]));
                p[choice].ln()
            }
            Actions::Continuous(n) => {
                let normal = -(self.sigma * std::f64::consts::TAU.sqrt()).ln();
                let mut log = 0.0;
                for k in 0..n {
                    let off = (f64::from(a[k]) - self.gain * y[k]) / self.sigma;
                    log += normal - 0.5 * off * off;
                    derivative[k] += by * self.gain * off / self.sigma;
                }
                log
            }
        }
    }

    /// Entropy of the policy; its derivative by `y`, times `by`, is added to `derivative`. That of numbers is a constant.
    pub fn entropy(&self, actions: Actions, y: &[f64], by: f64, derivative: &mut [f64]) -> f64 {
        match actions {
            Actions::Discrete(n) => {
                let p = self.probabilities(&y[..n]);
                let log = |p: f64| if p > 0.0 { p.ln() } else { 0.0 };
                let entropy = -p.iter().map(|&p| p * log(p)).sum::<f64>();
                (0..n).for_each(|k| derivative[k] -= by * self.gain * p[k] * (log(p[k]) + entropy));
                entropy
            }
            Actions::Continuous(n) => n as f64 * (0.5 + (self.sigma * std::f64::consts::TAU.sqrt()).ln()),
        }
    }

    /// `softmax(gain·y)`.
    fn probabilities(&self, y: &[f64]) -> Vec<f64> {
        let top = y.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let p: Vec<f64> = y.iter().map(|y| (self.gain * (y - top)).exp()).collect();
        let total: f64 = p.iter().sum();
        p.into_iter().map(|p| p / total).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use snn_core::Seed;

    const HEAD: Head = Head { gain: 1.7, value_gain: 2.5, sigma: 0.6, scale: 3.0 };

    #[test]
    fn samples_follow_the_policy() {
        let mut rng = Seed::new(3).rng();
        let y = [0.2, -0.5, 0.7, 9.0];
        let (mut counts, mut action) = ([0.0; 3], Vec::new());
        for _ in 0..20_000 {
            action.clear();
            HEAD.choose(Actions::Discrete(3), &y, Acting::Sample, &mut rng, &mut action);
            counts[action[0] as usize] += 1.0 / 20_000.0;
        }
        for (k, count) in counts.into_iter().enumerate() {
            let p = HEAD.log_prob(Actions::Discrete(3), &y, &[k as f32], 0.0, &mut [0.0; 4]).exp();
            assert!((p - count).abs() < 4.0 * (p / 20_000.0).sqrt(), "{p} {count}");
        }
        action.clear();
        (0..20_000).for_each(|_| HEAD.choose(Actions::Continuous(3), &y, Acting::Sample, &mut rng, &mut action));
        for k in 0..3 {
            let each = || action.iter().skip(k).step_by(3).map(|a| f64::from(*a) - 1.7 * y[k]);
            let (mean, square) = (each().sum::<f64>() / 20_000.0, each().map(|x| x * x).sum::<f64>() / 20_000.0);
            // ± 0.0042 and ± 0.0036.
            assert!(mean.abs() < 0.017 && (square - 0.36).abs() < 0.0145, "{mean} {square}");
        }
        action.clear();
        HEAD.choose(Actions::Discrete(3), &y, Acting::Greedy, &mut rng, &mut action);
        HEAD.choose(Actions::Continuous(3), &y, Acting::Greedy, &mut rng, &mut action);
        assert_eq!(action, [2.0, 1.7 * 0.2, 1.7 * -0.5, 1.7 * 0.7].map(|x: f64| x as f32));
        HEAD.hand(Actions::Continuous(2), &[1.0, -2.0], &mut Vec::new(), |a| assert_eq!(a, Action::Continuous(&[3.0, -6.0])));
        assert!(Head { sigma: 0.0, ..HEAD }.check().unwrap_err().to_string().contains("Head: sigma = 0"));
    }
}
