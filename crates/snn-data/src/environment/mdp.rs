//! Markov decision processes, drawn at random: every episode is another world of the same size.

use super::{Action, Actions, Clock, Environment, Feedback, choice};
use crate::{
    error::{DataError, check, count},
    fire::{fire, rate},
};
use rand::RngExt;
use snn_core::{Raster, Seed};

const OF: &str = "Mdp";

/// What the worlds are like.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `states`, `actions` | 2, 2 | size of a world |
/// | `decisions` | 200 | actions of an episode |
/// | `window` | 20 | steps before each action |
/// | `group` | 5 | input channels per state |
/// | `rate` | 100 Hz | rate of the group of the present state |
/// | `dt` | 1 ms | length of a step |
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct MdpParams {
    /// States, at least 1.
    pub states: usize,
    /// Actions, at least 2.
    pub actions: usize,
    /// Actions of an episode, at least 1.
    pub decisions: usize,
    /// Steps before each action, at least 1.
    pub window: usize,
    /// Channels per state, at least 1.
    pub group: usize,
    /// Rate (Hz) of the present state's group, above 0 and at most `1/dt`.
    pub rate: f64,
    /// Length of a step in seconds, above 0.
    pub dt: f64,
}

impl Default for MdpParams {
    fn default() -> Self {
        MdpParams { states: 2, actions: 2, decisions: 200, window: 20, group: 5, rate: 100.0, dt: 1e-3 }
    }
}

impl MdpParams {
    /// The environment.
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn build(&self) -> Result<Mdp, DataError> {
        const MOST: usize = 1000;
        check((1..=MOST).contains(&self.states), OF, "states", self.states, "from 1 to 1000")?;
        check((2..=MOST).contains(&self.actions), OF, "actions", self.actions, "from 2 to 1000")?;
        let entries = self.states * self.states * self.actions;
        check(entries <= 10_000_000, OF, "states² · actions", entries, "at most ten million")?;
        for (name, n) in [("decisions", self.decisions), ("window", self.window), ("group", self.group)] {
            count(OF, name, n)?;
        }
        count(OF, "decisions · window", self.decisions.saturating_mul(self.window))?;
        count(OF, "group · states", self.group.saturating_mul(self.states))?;
        rate(OF, "rate", self.rate, self.dt)?;
        Ok(Mdp { params: *self, tables: MdpTables::draw(self.states, self.actions, Seed::new(0)), state: 0, clock: Clock::new(OF) })
    }
}

/// The probabilities and rewards of one world.
///
/// ```
/// use snn_core::Seed;
/// use snn_data::MdpTables;
/// let world = MdpTables::draw(2, 2, Seed::new(1));
/// let (best, policy) = world.optimal(0.9);
/// assert_eq!(world.values(&world.choosing(&policy), 0.9).len(), 2);
/// assert!(best.iter().zip(world.values(&world.at_random(), 0.9)).all(|(best, random)| *best >= random));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MdpTables {
    states: usize,
    actions: usize,
    /// `[state][action][next]`.
    next: Vec<f64>,
    /// `[state][action]`.
    reward: Vec<f64>,
}

impl MdpTables {
    /// Draws a world: entries of transition rows uniform in 0…1 and the rows normalised, rewards `r(s, a)` uniform in 0…1.
    pub fn draw(states: usize, actions: usize, seed: Seed) -> Self {
        let mut rng = seed.rng();
        let mut uniform = |n: usize| (0..n).map(|_| rng.random::<f64>()).collect::<Vec<f64>>();
        let mut next = uniform(states * actions * states);
        for row in next.chunks_mut(states) {
            let total: f64 = row.iter().sum();
            // All entries are 0 with a probability that is none.
            row.iter_mut().for_each(|p| *p = if total > 0.0 { *p / total } else { 1.0 / states as f64 });
        }
        MdpTables { states, actions, next, reward: uniform(states * actions) }
    }

    /// Probabilities of the states after an action.
    pub fn next(&self, state: usize, action: usize) -> &[f64] {
        let row = state * self.actions + action;
        &self.next[row * self.states..(row + 1) * self.states]
    }
    /// Reward of an action.
    pub fn reward(&self, state: usize, action: usize) -> f64 {
        self.reward[state * self.actions + action]
    }

    /// `r(s, a) + γ·Σ P(s'|s, a)·V(s')`.
    fn backup(&self, state: usize, action: usize, gamma: f64, values: &[f64]) -> f64 {
        let after: f64 = self.next(state, action).iter().zip(values).map(|(p, v)| p * v).sum();
        self.reward(state, action) + gamma * after
    }

    /// The values of the best policy, and that policy, by value iteration (Bellman 1957) until nothing moves by more than 1e-10. `gamma` is below 1.
    pub fn optimal(&self, gamma: f64) -> (Vec<f64>, Vec<usize>) {
        let greedy = |s: usize, values: &[f64]| {
            let q = |a: usize| self.backup(s, a, gamma, values);
            (1..self.actions).fold((q(0), 0), |best, a| if q(a) > best.0 { (q(a), a) } else { best })
        };
        let mut values = vec![0.0; self.states];
        loop {
            let new: Vec<f64> = (0..self.states).map(|s| greedy(s, &values).0).collect();
            let moved = new.iter().zip(&values).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
            values = new;
            if moved < 1e-10 || gamma >= 1.0 {
                break;
            }
        }
        let policy = (0..self.states).map(|s| greedy(s, &values).1).collect();
        (values, policy)
    }

    /// The values of a policy `[state][action]` of probabilities, `gamma` below 1, to 1e-10.
    pub fn values(&self, policy: &[Vec<f64>], gamma: f64) -> Vec<f64> {
        let mut values = vec![0.0; self.states];
        loop {
            let one = |s: usize| (0..self.actions).map(|a| policy[s][a] * self.backup(s, a, gamma, &values)).sum();
            let new: Vec<f64> = (0..self.states).map(one).collect();
            let moved = new.iter().zip(&values).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
            values = new;
            if moved < 1e-10 || gamma >= 1.0 {
                return values;
            }
        }
    }

    /// The expected reward of each of so many decisions under a policy, from `start`.
    pub fn expected(&self, policy: &[Vec<f64>], start: usize, decisions: usize) -> Vec<f64> {
        let mut at = vec![0.0; self.states];
        at[start] = 1.0;
        let mut one = || {
            let (mut reward, mut after) = (0.0, vec![0.0; self.states]);
            for (s, a) in (0..self.states).flat_map(|s| (0..self.actions).map(move |a| (s, a))) {
                let p = at[s] * policy[s][a];
                reward += p * self.reward(s, a);
                after.iter_mut().zip(self.next(s, a)).for_each(|(n, q)| *n += p * q);
            }
            at = after;
            reward
        };
        (0..decisions).map(|_| one()).collect()
    }

    /// The policy that takes every action equally often.
    pub fn at_random(&self) -> Vec<Vec<f64>> {
        vec![vec![1.0 / self.actions as f64; self.actions]; self.states]
    }

    /// The policy that always takes these actions, one for each state.
    pub fn choosing(&self, actions: &[usize]) -> Vec<Vec<f64>> {
        actions.iter().map(|best| (0..self.actions).map(|a| f64::from(u8::from(a == *best))).collect()).collect()
    }
}

/// A Markov decision process: an action in a state pays, and leads to another state. Every episode draws a new world, and begins in state 0.
///
/// What is seen: the group of the present state.
#[derive(Clone, Debug)]
pub struct Mdp {
    params: MdpParams,
    tables: MdpTables,
    state: usize,
    clock: Clock,
}

impl Mdp {
    /// The present state.
    pub fn state(&self) -> usize {
        self.state
    }
    /// Number of states.
    pub fn states(&self) -> usize {
        self.params.states
    }
    /// The world of this episode.
    pub fn tables(&self) -> &MdpTables {
        &self.tables
    }
}

impl Environment for Mdp {
    fn name(&self) -> &'static str {
        "mdp"
    }
    fn inputs(&self) -> usize {
        self.params.group * self.params.states
    }
    fn actions(&self) -> Actions {
        Actions::Discrete(self.params.actions)
    }
    fn window(&self) -> usize {
        self.params.window
    }
    fn horizon(&self) -> usize {
        self.params.decisions
    }
    fn reset(&mut self, seed: Seed) {
        self.clock.reset(seed, self.params.decisions);
        self.tables = MdpTables::draw(self.params.states, self.params.actions, seed.child("world"));
        self.state = 0;
    }
    fn observe(&self, from: usize, into: &mut Raster) -> Result<(), DataError> {
        let (p, group) = (self.params.rate * self.params.dt, self.params.group);
        self.clock.observe(from, self.window(), self.inputs(), into, |mut rng, steps, events| {
            fire(&mut rng, p, steps, self.state * group..(self.state + 1) * group, events);
        })
    }
    fn act(&mut self, action: Action<'_>) -> Result<Feedback, DataError> {
        self.clock.check()?;
        let action = choice(OF, action, self.params.actions)?;
        let reward = self.tables.reward(self.state, action);
        let mut left: f64 = self.clock.moment("next").rng().random();
        let row = self.tables.next(self.state, action);
        let next = row.iter().position(|p| {
            left -= p;
            left < 0.0
        });
        self.state = next.unwrap_or(self.params.states - 1);
        self.clock.now += 1;
        Ok(Feedback { reward, done: self.clock.now == self.clock.end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_by_hand() {
        // State 0: stay for 0.1, or go to state 1 for nothing. State 1: stay for 1, or go back for 0.5.
        let world =
            MdpTables { states: 2, actions: 2, next: vec![1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0], reward: vec![0.1, 0.0, 1.0, 0.5] };
        let (values, policy) = world.optimal(0.5);
        assert_eq!(policy, [1, 0]);
        assert!((values[0] - 1.0).abs() < 1e-9 && (values[1] - 2.0).abs() < 1e-9, "{values:?}");
        assert_eq!(world.expected(&world.choosing(&policy), 0, 4), [0.0, 1.0, 1.0, 1.0]);
        let agree = world.values(&world.choosing(&policy), 0.5);
        assert!(agree.iter().zip(&values).all(|(a, b)| (a - b).abs() < 1e-9));
        // At random: V0 = 0.05 + 0.25·(V0 + V1), V1 = 0.75 + 0.25·(V0 + V1).
        let random = world.values(&world.at_random(), 0.5);
        assert!((random[0] - 0.45).abs() < 1e-9 && (random[1] - 1.15).abs() < 1e-9, "{random:?}");
    }

    /// The published means of random worlds, γ = 0.9: the best policy and the one at random.
    #[test]
    fn families_have_the_values_they_should() {
        for (states, actions, best, random) in [(2, 2, 6.73, 4.98), (2, 4, 8.11, 5.02), (4, 4, 8.06, 5.04), (6, 2, 6.69, 5.02)] {
            let n = 1500;
            let (mut sums, mut squares) = ([0.0; 2], [0.0; 2]);
            for k in 0..n {
                let world = MdpTables::draw(states, actions, Seed::new(11).nth(k));
                let mean = |v: &[f64]| v.iter().sum::<f64>() / states as f64;
                for (i, v) in [mean(&world.optimal(0.9).0), mean(&world.values(&world.at_random(), 0.9))].into_iter().enumerate() {
                    sums[i] += v / n as f64;
                    squares[i] += v * v / n as f64;
                }
            }
            for (i, wanted) in [best, random].into_iter().enumerate() {
                let error = ((squares[i] - sums[i] * sums[i]) / n as f64).sqrt();
                // The figures are means of a sample too.
                assert!((sums[i] - wanted).abs() < 4.0 * error + 0.05, "{states} × {actions}: {} instead of {wanted} ± {error}", sums[i]);
            }
        }
    }

    #[test]
    fn transitions_follow_the_tables() {
        let mut world = MdpParams { states: 3, decisions: 30_000, ..Default::default() }.build().unwrap();
        world.reset(Seed::new(4));
        let (mut counts, mut rewards) = (vec![0.0; 9], 0.0);
        for _ in 0..30_000 {
            let before = world.state();
            rewards += world.act(Action::Discrete(1)).unwrap().reward / 30_000.0;
            counts[before * 3 + world.state()] += 1.0;
        }
        for s in 0..3 {
            let total: f64 = counts[s * 3..s * 3 + 3].iter().sum();
            for (n, p) in counts[s * 3..s * 3 + 3].iter().zip(world.tables().next(s, 1)) {
                assert!((n / total - p).abs() < 4.0 * (0.25 / total).sqrt(), "{s}: {} {p}", n / total);
            }
        }
        let policy = world.tables().choosing(&[1, 1, 1]);
        let expected = world.tables().expected(&policy, 0, 2000).iter().sum::<f64>() / 2000.0;
        assert!((rewards - expected).abs() < 0.02, "{rewards} {expected}");
    }

    #[test]
    fn parameters_are_checked() {
        let bad = |params: MdpParams| params.build().unwrap_err().to_string();
        assert!(bad(MdpParams { states: 0, ..Default::default() }).contains("states = 0"));
        assert!(bad(MdpParams { actions: 1, ..Default::default() }).contains("actions = 1"));
        assert!(bad(MdpParams { states: 1000, actions: 1000, ..Default::default() }).contains("ten million"));
        assert!(bad(MdpParams { window: usize::MAX, ..Default::default() }).contains("window"));
    }
}
