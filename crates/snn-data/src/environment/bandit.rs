//! A bandit: arms that pay with unknown probabilities.

use super::{Action, Actions, Clock, Environment, Feedback, choice};
use crate::{
    error::{DataError, check, count},
    fire::{fire, rate},
};
use rand::{RngExt, seq::SliceRandom};
use snn_core::{Raster, Seed};

const OF: &str = "Bandit";

/// What a bandit is like.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `probabilities` | 0.2, 0.8 | with which each arm pays a reward of 1 |
/// | `arms` | given | what an episode makes of them: as given, shuffled, or drawn anew |
/// | `pulls` | 100 | actions of an episode |
/// | `window` | 20 | steps before each action |
/// | `group` | 5 | input channels of each group: a steady one, one per arm, and reward |
/// | `rate` | 100 Hz | rate of a group that is on |
/// | `dt` | 1 ms | length of a step |
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct BanditParams {
    /// Probability of a reward for each arm, at least two, each from 0 to 1.
    pub probabilities: Vec<f64>,
    /// What an episode makes of them.
    pub arms: Arms,
    /// Actions of an episode, at least 1.
    pub pulls: usize,
    /// Steps before each action, at least 1.
    pub window: usize,
    /// Channels per group, at least 1.
    pub group: usize,
    /// Rate (Hz) of a group that is on, above 0 and at most `1/dt`.
    pub rate: f64,
    /// Length of a step in seconds, above 0.
    pub dt: f64,
}

/// The arms of an episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arms {
    /// With the probabilities given, in their order.
    Given,
    /// With the probabilities given, in random order: then only what happens in an episode tells which is best.
    Shuffled,
    /// As many, each with a probability drawn uniformly.
    Independent,
    /// Two: `p` drawn uniformly, and `1 − p`. Each tells of the other.
    Dependent,
}

impl Default for BanditParams {
    fn default() -> Self {
        BanditParams { probabilities: vec![0.2, 0.8], arms: Arms::Given, pulls: 100, window: 20, group: 5, rate: 100.0, dt: 1e-3 }
    }
}

impl BanditParams {
    /// The environment.
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn build(&self) -> Result<Bandit, DataError> {
        check(self.probabilities.len() >= 2, OF, "probabilities", format!("{:?}", self.probabilities), "at least two numbers")?;
        for &p in &self.probabilities {
            check((0.0..=1.0).contains(&p), OF, "probabilities", p, "from 0 to 1")?;
        }
        let two = self.arms != Arms::Dependent || self.probabilities.len() == 2;
        check(two, OF, "probabilities", format!("{:?}", self.probabilities), "two numbers for dependent arms")?;
        count(OF, "pulls", self.pulls)?;
        count(OF, "window", self.window)?;
        count(OF, "pulls · window", self.pulls.saturating_mul(self.window))?;
        count(OF, "group", self.group)?;
        count(OF, "group · (arms + 2)", self.group.saturating_mul(self.probabilities.len() + 2))?;
        rate(OF, "rate", self.rate, self.dt)?;
        Ok(Bandit { arms: self.probabilities.clone(), last: None, clock: Clock::new(OF), params: self.clone() })
    }
}

/// A bandit: each action pulls one of the arms, which pays 1 with its probability and 0 otherwise.
///
/// What is seen: a steady group, that of the arm pulled last, and the reward group if it paid. With
/// [`Arms`] that change from episode to episode a good agent explores first and keeps to the best arm afterwards.
#[derive(Clone, Debug)]
pub struct Bandit {
    params: BanditParams,
    arms: Vec<f64>,
    last: Option<(usize, bool)>,
    clock: Clock,
}

impl Bandit {
    /// The probability of each arm in this episode.
    pub fn arms(&self) -> &[f64] {
        &self.arms
    }
}

impl Environment for Bandit {
    fn name(&self) -> &'static str {
        "bandit"
    }
    fn inputs(&self) -> usize {
        self.params.group * (self.arms.len() + 2)
    }
    fn actions(&self) -> Actions {
        Actions::Discrete(self.arms.len())
    }
    fn window(&self) -> usize {
        self.params.window
    }
    fn horizon(&self) -> usize {
        self.params.pulls
    }
    fn reset(&mut self, seed: Seed) {
        self.clock.reset(seed, self.params.pulls);
        self.last = None;
        self.arms.clone_from(&self.params.probabilities);
        let mut rng = seed.child("arms").rng();
        match self.params.arms {
            Arms::Given => {}
            Arms::Shuffled => self.arms.shuffle(&mut rng),
            Arms::Independent => self.arms.iter_mut().for_each(|p| *p = rng.random()),
            Arms::Dependent => {
                let p: f64 = rng.random();
                self.arms = vec![p, 1.0 - p];
            }
        }
    }
    fn observe(&self, from: usize, into: &mut Raster) -> Result<(), DataError> {
        let (p, group) = (self.params.rate * self.params.dt, self.params.group);
        self.clock.observe(from, self.window(), self.inputs(), into, |mut rng, steps, events| {
            let mut on = |k: usize| fire(&mut rng, p, steps.clone(), k * group..(k + 1) * group, events);
            on(0);
            if let Some((arm, paid)) = self.last {
                on(1 + arm);
                if paid {
                    on(1 + self.arms.len());
                }
            }
        })
    }
    fn act(&mut self, action: Action<'_>) -> Result<Feedback, DataError> {
        self.clock.check()?;
        let arm = choice(OF, action, self.arms.len())?;
        let paid = self.clock.moment("reward").rng().random::<f64>() < self.arms[arm];
        self.last = Some((arm, paid));
        self.clock.now += 1;
        Ok(Feedback { reward: f64::from(u8::from(paid)), done: self.clock.now == self.clock.end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_pay_with_their_probability() {
        let mut bandit = BanditParams { pulls: 20_000, ..Default::default() }.build().unwrap();
        for (arm, p) in [(0, 0.2), (1, 0.8)] {
            bandit.reset(Seed::new(3));
            let total: f64 = (0..20_000).map(|_| bandit.act(Action::Discrete(arm)).unwrap().reward).sum();
            assert!((total / 20_000.0 - p).abs() < 4.0 * 0.4 / 20_000f64.sqrt(), "arm {arm}: {total}");
        }
    }

    #[test]
    fn what_is_seen_is_the_last_pull() {
        let params = BanditParams { probabilities: vec![0.0, 1.0, 0.5], group: 2, rate: 1000.0, window: 3, pulls: 3, ..Default::default() };
        let mut bandit = params.build().unwrap();
        bandit.reset(Seed::new(1));
        let mut raster = Raster::new(10, 9);
        bandit.observe(0, &mut raster).unwrap();
        assert_eq!(bandit.act(Action::Discrete(1)).unwrap(), Feedback { reward: 1.0, done: false });
        bandit.observe(3, &mut raster).unwrap();
        assert_eq!(bandit.act(Action::Discrete(0)).unwrap(), Feedback { reward: 0.0, done: false });
        bandit.observe(6, &mut raster).unwrap();
        assert!(bandit.act(Action::Discrete(2)).unwrap().done);
        for t in 0..9 {
            let expected: &[u32] = [&[0, 1][..], &[0, 1, 4, 5, 8, 9], &[0, 1, 2, 3]][t / 3];
            assert_eq!(raster.at(t), expected, "step {t}");
        }
    }

    #[test]
    fn shuffled_arms_change_places_fairly() {
        let mut bandit = BanditParams { arms: Arms::Shuffled, ..Default::default() }.build().unwrap();
        let best_is_first = (0..1000)
            .filter(|&i| {
                bandit.reset(Seed::new(2).nth(i));
                bandit.arms() == [0.8, 0.2]
            })
            .count();
        assert!((437..563).contains(&best_is_first), "{best_is_first}"); // 500 ± 15.8
    }

    #[test]
    fn drawn_arms_are_uniform_and_dependent_ones_add_to_one() {
        for arms in [Arms::Independent, Arms::Dependent] {
            let mut bandit = BanditParams { arms, ..Default::default() }.build().unwrap();
            let (mut mean, mut together) = ([0.0; 2], 0.0);
            for i in 0..4000 {
                bandit.reset(Seed::new(6).nth(i));
                let p = [bandit.arms()[0], bandit.arms()[1]];
                assert!(arms == Arms::Independent || p[0] + p[1] == 1.0);
                mean = [mean[0] + p[0] / 4000.0, mean[1] + p[1] / 4000.0];
                together += p[0].max(p[1]) / 4000.0;
            }
            let best = if arms == Arms::Independent { 2.0 / 3.0 } else { 0.75 };
            assert!(mean.iter().all(|m| (m - 0.5).abs() < 0.02) && (together - best).abs() < 0.015, "{mean:?} {together}");
        }
    }

    #[test]
    fn parameters_are_checked() {
        let bad = |params: BanditParams| params.build().unwrap_err().to_string();
        assert!(bad(BanditParams { probabilities: vec![0.5], ..Default::default() }).contains("[0.5]"));
        assert!(bad(BanditParams { probabilities: vec![0.5, 1.5], ..Default::default() }).contains("probabilities = 1.5"));
        assert!(bad(BanditParams { probabilities: vec![0.5; 3], arms: Arms::Dependent, ..Default::default() }).contains("dependent"));
        assert!(bad(BanditParams { pulls: 0, ..Default::default() }).contains("pulls = 0"));
        assert!(bad(BanditParams { window: usize::MAX, ..Default::default() }).contains("window"));
        assert!(bad(BanditParams { rate: f64::NAN, ..Default::default() }).contains("rate = NaN"));
    }
}
