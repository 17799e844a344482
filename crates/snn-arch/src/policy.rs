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

/// Proximal policy optimisation with a clipped ratio, and generalised advantage estimation. To be minimised, the mean over all actions of
///
/// ```text
/// −min(r·A, clip(r, 1 − clip, 1 + clip)·A) + value·½(V − R)² − entropy·H,      r = π(a)/π_old(a)
/// ```
/// One epoch of one minibatch is the plain advantage actor-critic, see [`Ppo::actor_critic`]: `r` is 1 then, and the first term has the derivative
/// `−A·∇log π(a)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ppo {
    /// How far the ratio may go from 1 before it has no derivative, above 0.
    pub clip: f64,
    /// Weight of the value's error, at least 0.
    pub value: f64,
    /// Weight of the entropy, at least 0.
    pub entropy: f64,
    /// Discount γ per action, from 0 to 1.
    pub gamma: f64,
    /// Decay λ of the advantage estimate, from 0 (one step) to 1 (the whole return).
    pub lambda: f64,
    /// Whether the advantages of a batch of episodes are shifted and scaled to mean 0 and standard deviation 1.
    pub normalise: bool,
    /// Times each batch of episodes is gone through, at least 1.
    pub epochs: usize,
    /// Updates in each of them, at least 1: episodes are dealt out whole.
    pub minibatches: usize,
}

impl Ppo {
    /// The plain advantage actor-critic: one update on each batch of episodes, advantages as they are.
    ///
    /// ```text
    /// −A·log π(a) + value·½(V − R)² − entropy·H,      A = Σ_{n ≥ 0} (γλ)ⁿ·δ[t + n],   δ[t] = r[t] + γ·V[t+1] − V[t],   R = A + V
    /// ```
    /// Its gradient over an episode is `Σ_t δ[t]·tag[t]`, `tag[t] = γλ·tag[t−1] + ∇(−log π − value·V)[t]`: what a rule that learns while it acts adds up with one
    /// tag for each weight. With [`Eprop`](snn_learn::Eprop) as the rule this is reward-based e-prop (Bellec et al. 2020, eq. 5), λ = 1 there.
    ///
    /// ```
    /// let ppo = snn_arch::policy::Ppo::actor_critic(0.99, 1.0, 0.5, 0.01);
    /// assert_eq!((ppo.epochs, ppo.minibatches, ppo.normalise), (1, 1, false));
    /// ```
    pub const fn actor_critic(gamma: f64, lambda: f64, value: f64, entropy: f64) -> Self {
        // The ratio is 1 throughout, so that where it would be clipped does not matter.
        Ppo { clip: 1.0, value, entropy, gamma, lambda, normalise: false, epochs: 1, minibatches: 1 }
    }

    /// Checks the parameters.
    ///
    /// # Errors
    /// [`ArchError::Option`].
    pub fn check(&self) -> Result<(), ArchError> {
        const OF: &str = "Ppo";
        check(self.clip > 0.0 && self.clip.is_finite(), OF, "clip", self.clip, "a finite number above 0")?;
        for (name, x) in [("value", self.value), ("entropy", self.entropy)] {
            check(x >= 0.0 && x.is_finite(), OF, name, x, "a finite number, 0 or more")?;
        }
        for (name, x) in [("gamma", self.gamma), ("lambda", self.lambda)] {
            check((0.0..=1.0).contains(&x), OF, name, x, "a number from 0 to 1")?;
        }
        for (name, n) in [("epochs", self.epochs), ("minibatches", self.minibatches)] {
            check(n > 0, OF, name, n, "1 or more")?;
        }
        Ok(())
    }

    /// The objective of one action, its terms, and its derivative by `y`, times `by`, written to `derivative`.
    pub fn objective(&self, head: &Head, actions: Actions, y: &[f64], past: &Past<'_>, by: f64, derivative: &mut [f64]) -> Terms {
        derivative.fill(0.0);
        let log = head.log_prob(actions, y, past.action, 1.0, derivative);
        let ratio = (log - past.log_prob).exp();
        let gain = (ratio * past.advantage).min(ratio.clamp(1.0 - self.clip, 1.0 + self.clip) * past.advantage);
        let clipped = gain < ratio * past.advantage;
        let slope = if clipped { 0.0 } else { -by * ratio * past.advantage };
        derivative.iter_mut().for_each(|d| *d *= slope);
        let entropy = head.entropy(actions, y, -by * self.entropy, derivative);
        let off = head.value(y) - past.wanted;
        derivative[y.len() - 1] += by * self.value * off * head.value_gain;
        let value = 0.5 * off * off;
        let total = -gain + self.value * value - self.entropy * entropy;
        Terms {
            total,
            policy: -gain,
            value,
            entropy,
            divergence: ratio - 1.0 - (log - past.log_prob),
            clipped: f64::from(u8::from(clipped)),
        }
    }
}

/// What is known of an action that was taken.
#[derive(Clone, Copy, Debug)]
pub struct Past<'a> {
    /// The action, as [`Head::choose`] gave it.
    pub action: &'a [f32],
    /// `log π_old(a)`.
    pub log_prob: f64,
    /// Advantage A.
    pub advantage: f64,
    /// What the value should have been, R.
    pub wanted: f64,
}

/// The terms of the objective of an action, or their means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// All of it.
    pub total: f64,
    /// `−min(…)`.
    pub policy: f64,
    /// `½(V − R)²`.
    pub value: f64,
    /// Entropy.
    pub entropy: f64,
    /// Estimate of the divergence from the old policy, `r − 1 − log r`, never negative.
    pub divergence: f64,
    /// Whether (or how often) the ratio was clipped.
    pub clipped: f64,
}

impl Terms {
    /// Adds `by · other`.
    pub fn add(&mut self, other: &Terms, by: f64) {
        self.total += by * other.total;
        self.policy += by * other.policy;
        self.value += by * other.value;
        self.entropy += by * other.entropy;
        self.divergence += by * other.divergence;
        self.clipped += by * other.clipped;
    }
}

/// Generalised advantage estimates of an episode that ends after its last action, and what the values should have been.
///
/// ```text
/// δ[t] = r[t] + γ·V[t+1] − V[t],   A[t] = δ[t] + γλ·A[t+1],   R[t] = A[t] + V[t],   V = A = 0 after the end
/// ```
///
/// ```
/// let (advantage, wanted) = snn_arch::policy::advantages(&[0.0, 1.0], &[0.5, 0.25], 0.5, 0.5);
/// assert_eq!(advantage, [-0.375 + 0.25 * 0.75, 0.75]);
/// assert_eq!(wanted, [advantage[0] + 0.5, 1.0]);
/// ```
///
/// # Panics
/// If the lists have different lengths.
#[track_caller]
pub fn advantages(rewards: &[f64], values: &[f64], gamma: f64, lambda: f64) -> (Vec<f64>, Vec<f64>) {
    assert_eq!(rewards.len(), values.len(), "a value for every reward");
    let (mut advantage, mut wanted) = (vec![0.0; rewards.len()], vec![0.0; rewards.len()]);
    let (mut next, mut sum) = (0.0, 0.0);
    for t in (0..rewards.len()).rev() {
        sum = rewards[t] + gamma * next - values[t] + gamma * lambda * sum;
        next = values[t];
        (advantage[t], wanted[t]) = (sum, sum + values[t]);
    }
    (advantage, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use snn_core::Seed;

    const HEAD: Head = Head { gain: 1.7, value_gain: 2.5, sigma: 0.6, scale: 3.0 };
    const PPO: Ppo = Ppo { clip: 0.2, value: 0.5, entropy: 0.3, gamma: 0.9, lambda: 0.8, normalise: false, epochs: 1, minibatches: 1 };

    fn numeric(y: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
        let at = |k: usize, h: f64| {
            let mut y = y.to_vec();
            y[k] += h;
            f(&y)
        };
        (0..y.len()).map(|k| (at(k, 1e-6) - at(k, -1e-6)) / 2e-6).collect()
    }

    fn close(a: &[f64], b: &[f64]) -> bool {
        a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-7 * (1.0 + a.abs()))
    }

    fn any_actions() -> impl Strategy<Value = Actions> {
        prop_oneof![Just(Actions::Discrete(3)), Just(Actions::Continuous(3))]
    }

    proptest! {
        /// At ratio 1 the objective's derivative is that of the policy gradient: finite differences of `−A·log π`, of the value and of the entropy.
        #[test]
        fn at_ratio_one_it_is_the_policy_gradient(
            y in prop::collection::vec(-1.0f64..1.0, 4), advantage in -2.0f64..2.0, wanted in -1.0f64..1.0, actions in any_actions(), seed in any::<u64>()
        ) {
            let mut action = Vec::new();
            HEAD.choose(actions, &y, Acting::Sample, &mut Seed::new(seed).rng(), &mut action);
            let log = |y: &[f64]| HEAD.log_prob(actions, y, &action, 0.0, &mut [0.0; 4]);
            let past = Past { action: &action, log_prob: log(&y), advantage, wanted };
            let mut d = [0.0; 4];
            let terms = PPO.objective(&HEAD, actions, &y, &past, 1.0, &mut d);
            prop_assert!(terms.clipped == 0.0 && terms.divergence.abs() < 1e-12 && (terms.policy + advantage).abs() < 1e-12);
            let plain = |y: &[f64]| {
                let off = HEAD.value(y) - wanted;
                -advantage * log(y) + PPO.value * 0.5 * off * off - PPO.entropy * HEAD.entropy(actions, y, 0.0, &mut [0.0; 4])
            };
            prop_assert!(close(&numeric(&y, plain), &d), "{:?} {d:?}", numeric(&y, plain));
        }

        /// Away from ratio 1 it is the derivative of the clipped objective.
        #[test]
        fn the_derivative_is_that_of_the_clipped_objective(
            y in prop::collection::vec(-1.0f64..1.0, 4), shift in -0.6f64..0.6, advantage in -2.0f64..2.0, actions in any_actions(), seed in any::<u64>()
        ) {
            let mut action = Vec::new();
            HEAD.choose(actions, &y, Acting::Sample, &mut Seed::new(seed).rng(), &mut action);
            let log_prob = HEAD.log_prob(actions, &y, &action, 0.0, &mut [0.0; 4]) + shift;
            let past = Past { action: &action, log_prob, advantage, wanted: 0.3 };
            let ratio = (-shift).exp();
            prop_assume!((ratio - 0.8).abs() > 1e-4 && (ratio - 1.2).abs() > 1e-4);
            let mut d = [0.0; 4];
            let terms = PPO.objective(&HEAD, actions, &y, &past, 1.0, &mut d);
            let beyond = if advantage > 0.0 { ratio > 1.2 } else { ratio < 0.8 };
            prop_assert_eq!(terms.clipped == 1.0, beyond && advantage != 0.0);
            let slopes = numeric(&y, |y| PPO.objective(&HEAD, actions, y, &past, 1.0, &mut [0.0; 4]).total);
            prop_assert!(close(&slopes, &d), "{slopes:?} {d:?}");
            // `by` is a factor, and what was in the list before does not matter.
            let mut again = [7.0; 4];
            PPO.objective(&HEAD, actions, &y, &past, 0.25, &mut again);
            prop_assert!(again.iter().zip(d).all(|(a, d)| (4.0 * a - d).abs() < 1e-12));
        }
    }

    #[test]
    fn advantages_by_hand() {
        // γ = 0.9, λ = 0.5. δ₂ = 2 − 1 = 1, δ₁ = 0 + 0.9·1 − 0.5 = 0.4, δ₀ = 1 + 0.9·0.5 − 0.2 = 1.25.
        let (a, r) = advantages(&[1.0, 0.0, 2.0], &[0.2, 0.5, 1.0], 0.9, 0.5);
        let wanted = [1.25 + 0.45 * (0.4 + 0.45), 0.4 + 0.45, 1.0];
        assert!(close(&a, &wanted) && close(&r, &[wanted[0] + 0.2, wanted[1] + 0.5, 2.0]), "{a:?} {r:?}");
        // λ = 1: the discounted return, whatever the values.
        let (_, r) = advantages(&[1.0, 0.0, 2.0], &[0.7, -3.0, 11.0], 0.9, 1.0);
        assert!(close(&r, &[1.0 + 0.81 * 2.0, 1.8, 2.0]), "{r:?}");
        // λ = 0: one step.
        assert!(close(&advantages(&[1.0, 0.0, 2.0], &[0.2, 0.5, 1.0], 0.9, 0.0).0, &[1.25, 0.4, 1.0]));
    }

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
        assert!(Ppo { gamma: 1.5, ..PPO }.check().unwrap_err().to_string().contains("Ppo: gamma = 1.5"));
    }
}
