//! The objective of proximal policy optimisation, and estimates of advantages.

use super::Head;
use crate::error::{ArchError, check};
use serde::{Deserialize, Serialize};
use snn_data::Actions;

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
    use super::super::Acting;
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
    fn impossible_parameters_are_named() {
        assert!(Ppo { gamma: 1.5, ..PPO }.check().unwrap_err().to_string().contains("Ppo: gamma = 1.5"));
    }
}
