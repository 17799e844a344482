//! A delayed cue: what was shown at the start decides which action is right at the end.

use super::{Action, Actions, Clock, Environment, Feedback, choice};
use crate::{
    error::{DataError, check, count},
    fire::{background, fire, rate},
};
use rand::RngExt;
use snn_core::{Raster, Seed};

const OF: &str = "DelayedCue";

/// What a delayed cue is like. All values are chosen.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `cues` | 2 | different cues, and as many actions |
/// | `cue` | 5 | windows in which the cue is on |
/// | `delay_min`, `delay_max` | 5, 15 | windows from the cue to the decision |
/// | `window` | 20 | steps before each action |
/// | `wrong` | 0 | reward of a wrong decision; that of the right one is 1 |
/// | `group` | 5 | input channels of each group: one per cue, one for "decide" |
/// | `rate` | 100 Hz | rate of a group that is on |
/// | `background` | 0 Hz | rate of every channel at other times |
/// | `dt` | 1 ms | length of a step |
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct DelayedCueParams {
    /// Number of cues, at least 2.
    pub cues: usize,
    /// Windows of the cue, at least 1.
    pub cue: usize,
    /// Shortest delay in windows.
    pub delay_min: usize,
    /// Longest delay in windows, at least the shortest.
    pub delay_max: usize,
    /// Steps before each action, at least 1.
    pub window: usize,
    /// Reward of a wrong decision, finite and below 1.
    pub wrong: f64,
    /// Channels per group, at least 1.
    pub group: usize,
    /// Rate (Hz) of a group that is on, above 0 and at most `1/dt`.
    pub rate: f64,
    /// Rate (Hz) of a group that is off, from 0 to `1/dt`.
    pub background: f64,
    /// Length of a step in seconds, above 0.
    pub dt: f64,
}

impl Default for DelayedCueParams {
    fn default() -> Self {
        DelayedCueParams {
            cues: 2,
            cue: 5,
            delay_min: 5,
            delay_max: 15,
            window: 20,
            wrong: 0.0,
            group: 5,
            rate: 100.0,
            background: 0.0,
            dt: 1e-3,
        }
    }
}

impl DelayedCueParams {
    /// The environment.
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn build(&self) -> Result<DelayedCue, DataError> {
        check((2..=1 << 20).contains(&self.cues), OF, "cues", self.cues, "from 2 to 2²⁰")?;
        count(OF, "cue", self.cue)?;
        count(OF, "window", self.window)?;
        check(self.delay_min <= self.delay_max, OF, "delay_min", self.delay_min, "at most delay_max")?;
        let windows = self.cue.saturating_add(self.delay_max).saturating_add(1);
        count(OF, "(cue + delay_max + 1) · window", windows.saturating_mul(self.window))?;
        check(self.wrong.is_finite() && self.wrong < 1.0, OF, "wrong", self.wrong, "finite and below 1")?;
        count(OF, "group", self.group)?;
        count(OF, "group · (cues + 1)", self.group.saturating_mul(self.cues + 1))?;
        rate(OF, "rate", self.rate, self.dt)?;
        background(OF, "background", self.background, self.dt)?;
        Ok(DelayedCue { params: self.clone(), shown: 0, clock: Clock::new(OF) })
    }
}

/// A delayed cue: one of several groups is on for a while, then nothing, then the "decide" group for one window. The action after that one pays 1
/// if it names the cue, [`wrong`](DelayedCueParams::wrong) otherwise, and ends the episode; earlier actions do nothing.
///
/// Cue and delay are uniform.
#[derive(Clone, Debug)]
pub struct DelayedCue {
    params: DelayedCueParams,
    shown: usize,
    clock: Clock,
}

impl Environment for DelayedCue {
    fn name(&self) -> &'static str {
        "delayed-cue"
    }
    fn inputs(&self) -> usize {
        self.params.group * (self.params.cues + 1)
    }
    fn actions(&self) -> Actions {
        Actions::Discrete(self.params.cues)
    }
    fn window(&self) -> usize {
        self.params.window
    }
    fn horizon(&self) -> usize {
        self.params.cue + self.params.delay_max + 1
    }
    fn reset(&mut self, seed: Seed) {
        let mut rng = seed.child("cue").rng();
        self.shown = rng.random_range(0..self.params.cues);
        let delay = rng.random_range(self.params.delay_min..=self.params.delay_max);
        self.clock.reset(seed, self.params.cue + delay + 1);
    }
    fn observe(&self, from: usize, into: &mut Raster) -> Result<(), DataError> {
        let params = &self.params;
        let on = match self.clock.now {
            now if now < params.cue => Some(self.shown),
            now if now + 1 == self.clock.end => Some(params.cues),
            _ => None,
        };
        self.clock.observe(from, params.window, self.inputs(), into, |mut rng, steps, events| {
            for k in 0..=params.cues {
                let rate = if on == Some(k) { params.rate } else { params.background };
                fire(&mut rng, rate * params.dt, steps.clone(), k * params.group..(k + 1) * params.group, events);
            }
        })
    }
    fn act(&mut self, action: Action<'_>) -> Result<Feedback, DataError> {
        self.clock.check()?;
        let named = choice(OF, action, self.params.cues)?;
        self.clock.now += 1;
        let done = self.clock.now == self.clock.end;
        let reward = match (done, named == self.shown) {
            (false, _) => 0.0,
            (true, true) => 1.0,
            (true, false) => self.params.wrong,
        };
        Ok(Feedback { reward, done })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cue_comes_first_then_silence_then_the_question() {
        let params = DelayedCueParams {
            cues: 3,
            cue: 2,
            delay_min: 1,
            delay_max: 3,
            window: 4,
            group: 1,
            rate: 1000.0,
            wrong: -0.5,
            ..Default::default()
        };
        let mut world = params.build().unwrap();
        let mut lengths = [0; 4];
        let mut cues = [0; 3];
        for i in 0..300 {
            world.reset(Seed::new(1).nth(i));
            cues[world.shown] += 1;
            let mut raster = Raster::new(4, 4 * world.horizon());
            let answer = (world.shown + usize::from(i % 2 == 0)) % 3;
            for k in 0.. {
                world.observe(4 * k, &mut raster).unwrap();
                let feedback = world.act(Action::Discrete(answer)).unwrap();
                let seen = |t: usize| raster.at(4 * k + t);
                let expected: &[u32] = if k < 2 {
                    &[world.shown as u32]
                } else if feedback.done {
                    &[3]
                } else {
                    &[]
                };
                assert!((0..4).all(|t| seen(t) == expected));
                assert_eq!(
                    feedback.reward,
                    if !feedback.done {
                        0.0
                    } else if i % 2 == 0 {
                        -0.5
                    } else {
                        1.0
                    }
                );
                if feedback.done {
                    lengths[k - 2] += 1;
                    break;
                }
            }
        }
        // Delays 1, 2, 3 and cues are uniform: 100 ± 8.2 each.
        assert!(lengths[0] == 0 && lengths[1..].iter().chain(&cues).all(|n| (66..134).contains(n)), "{lengths:?} {cues:?}");
    }

    #[test]
    fn parameters_are_checked() {
        let bad = |params: DelayedCueParams| params.build().unwrap_err().to_string();
        let all = DelayedCueParams::default;
        assert!(bad(DelayedCueParams { cues: 1, ..all() }).contains("cues = 1"));
        assert!(bad(DelayedCueParams { delay_min: 16, ..all() }).contains("delay_min = 16"));
        assert!(bad(DelayedCueParams { delay_max: usize::MAX, ..all() }).contains("delay_max"));
        assert!(bad(DelayedCueParams { wrong: 1.0, ..all() }).contains("wrong = 1"));
        assert!(bad(DelayedCueParams { background: -1.0, ..all() }).contains("background = -1"));
    }
}
