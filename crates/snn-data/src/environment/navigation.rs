//! Navigation: find a hidden goal in a disc, and find it again.

use super::{Action, Actions, Clock, Environment, Feedback, numbers};
use crate::{
    error::{DataError, check, count, positive},
    fire::{Population, fire, rate},
};
use rand::{Rng, RngExt};
use snn_core::{Raster, Seed};
use std::f64::consts::TAU;

const OF: &str = "Navigation";

/// What navigation is like: 400 actions of 5 ms in a disc of radius 1 m by default.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `goal_radius` | 0.3 m | of the goal, a disc that lies wholly inside |
/// | `speed` | 8 m/s | the most the agent can do: 4 cm per action |
/// | `wall` | 0.02 | what touching the wall costs |
/// | `horizon` | 400 | actions of an episode |
/// | `window` | 5 | steps before each action |
/// | `cells` | 12 | place cells along each axis |
/// | `width` | 0.2 m | standard deviation of a place field |
/// | `rate` | 500 Hz | rate of a place cell at its centre, and of the groups that tell of goal and wall |
/// | `group` | 10 | channels of each of these two groups |
/// | `dt` | 1 ms | length of a step |
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct NavigationParams {
    /// Radius of the goal in metres, above 0 and at most 0.5.
    pub goal_radius: f64,
    /// Largest speed in metres per second, above 0.
    pub speed: f64,
    /// Cost of touching the wall, at least 0.
    pub wall: f64,
    /// Actions of an episode, at least 1.
    pub horizon: usize,
    /// Steps before each action, at least 1.
    pub window: usize,
    /// Place cells along each axis, at least 2.
    pub cells: usize,
    /// Width of a place field in metres, above 0.
    pub width: f64,
    /// Rate (Hz) of a cell at its centre, above 0 and at most `1/dt`.
    pub rate: f64,
    /// Channels of the goal group and of the wall group, at least 1.
    pub group: usize,
    /// Length of a step in seconds, above 0.
    pub dt: f64,
}

impl Default for NavigationParams {
    fn default() -> Self {
        NavigationParams {
            goal_radius: 0.3,
            speed: 8.0,
            wall: 0.02,
            horizon: 400,
            window: 5,
            cells: 12,
            width: 0.2,
            rate: 500.0,
            group: 10,
            dt: 1e-3,
        }
    }
}

impl NavigationParams {
    /// The environment.
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn build(&self) -> Result<Navigation, DataError> {
        check(self.goal_radius > 0.0 && self.goal_radius <= 0.5, OF, "goal_radius", self.goal_radius, "above 0 and at most 0.5")?;
        positive(OF, "speed", self.speed)?;
        check(self.wall >= 0.0 && self.wall.is_finite(), OF, "wall", self.wall, "finite and at least 0")?;
        count(OF, "horizon", self.horizon)?;
        count(OF, "window", self.window)?;
        count(OF, "horizon · window", self.horizon.saturating_mul(self.window))?;
        check((2..=1024).contains(&self.cells), OF, "cells", self.cells, "from 2 to 1024")?;
        check((1..=1 << 20).contains(&self.group), OF, "group", self.group, "from 1 to 2²⁰")?;
        positive(OF, "width", self.width)?;
        rate(OF, "rate", self.rate, self.dt)?;
        Ok(Navigation {
            axis: Population::new(self.cells, -1.0, 1.0, self.width, self.rate * self.dt),
            position: [0.0; 2],
            goal: [0.0; 2],
            goals: 0,
            told: [false; 2],
            clock: Clock::new(OF),
            params: self.clone(),
        })
    }
}

/// Navigation: an agent moves in a disc of radius 1; where the goal is, the same for a whole episode, only reaching it tells.
///
/// An action is a velocity in m/s, shortened to `speed` if it is longer, and kept for `window · dt` seconds. Who comes within `goal_radius` of the
/// goal's centre gets a reward of 1 and is put at a random place outside it; who would leave the disc stays at its rim and pays `wall`. The goal's
/// centre is uniform over the places at which the whole goal is inside.
///
/// What is seen: the position, by place cells on a square grid from −1 to 1 with Gaussian fields (channel `row · cells + column`), and for one
/// window whether the last action reached the goal, or touched the wall. An agent that remembers goes straight to where the reward was.
///
/// Source: Bellec, Salaj, Subramoney, Legenstein and Maass 2018 (arXiv:1803.09574), meta-reinforcement learning; no program has been released.
/// Departure: speed, cost of the wall, place cells and rates are chosen.
#[derive(Clone, Debug)]
pub struct Navigation {
    params: NavigationParams,
    axis: Population,
    position: [f64; 2],
    goal: [f64; 2],
    goals: u64,
    told: [bool; 2], // goal, wall
    clock: Clock,
}

/// A point uniform in the disc of this radius.
fn in_disc(radius: f64, rng: &mut impl Rng) -> [f64; 2] {
    let r = radius * rng.random::<f64>().sqrt();
    let (sin, cos) = (TAU * rng.random::<f64>()).sin_cos();
    [r * cos, r * sin]
}

fn length([x, y]: [f64; 2]) -> f64 {
    x.hypot(y)
}

impl Navigation {
    /// Where the agent is.
    pub fn position(&self) -> [f64; 2] {
        self.position
    }

    /// Centre of the goal.
    pub fn goal(&self) -> [f64; 2] {
        self.goal
    }

    /// How often it has been reached in this episode.
    pub fn goals(&self) -> u64 {
        self.goals
    }

    fn at_goal(&self, [x, y]: [f64; 2]) -> bool {
        length([x - self.goal[0], y - self.goal[1]]) < self.params.goal_radius
    }

    /// Puts the agent at a random place outside the goal, which covers at most a quarter of the disc.
    fn place(&mut self) {
        let mut rng = self.clock.seed.child("start").nth(self.goals).rng();
        loop {
            self.position = in_disc(1.0, &mut rng);
            if !self.at_goal(self.position) {
                return;
            }
        }
    }
}

impl Environment for Navigation {
    fn name(&self) -> &'static str {
        "navigation"
    }
    fn inputs(&self) -> usize {
        self.params.cells * self.params.cells + 2 * self.params.group
    }
    fn actions(&self) -> Actions {
        Actions::Continuous(2)
    }
    fn window(&self) -> usize {
        self.params.window
    }
    fn horizon(&self) -> usize {
        self.params.horizon
    }
    fn reset(&mut self, seed: Seed) {
        self.clock.reset(seed, self.params.horizon);
        (self.goals, self.told) = (0, [false; 2]);
        self.goal = in_disc(1.0 - self.params.goal_radius, &mut seed.child("goal").rng());
        self.place();
    }
    fn observe(&self, from: usize, into: &mut Raster) -> Result<(), DataError> {
        let (cells, group) = (self.params.cells, self.params.group);
        let [x, y] = self.position;
        self.clock.observe(from, self.params.window, self.inputs(), into, |mut rng, steps, events| {
            for (row, cy) in self.axis.centres.iter().enumerate() {
                for (column, cx) in self.axis.centres.iter().enumerate() {
                    let p = self.axis.probability((x - cx) * (x - cx) + (y - cy) * (y - cy));
                    let unit = row * cells + column;
                    fire(&mut rng, p, steps.clone(), unit..unit + 1, events);
                }
            }
            for (k, _) in self.told.into_iter().enumerate().filter(|t| t.1) {
                let first = cells * cells + k * group;
                fire(&mut rng, self.axis.peak, steps.clone(), first..first + group, events);
            }
        })
    }
    fn act(&mut self, action: Action<'_>) -> Result<Feedback, DataError> {
        self.clock.check()?;
        let velocity: [f64; 2] = numbers(OF, action)?;
        let time = self.params.window as f64 * self.params.dt;
        let step = time * (self.params.speed / length(velocity)).min(1.0); // without velocity: 1
        let mut to = [self.position[0] + step * velocity[0], self.position[1] + step * velocity[1]];
        let wall = length(to) > 1.0;
        if wall {
            to = to.map(|x| x / length(to));
        }
        self.position = to;
        let goal = self.at_goal(to);
        self.told = [goal, wall];
        self.clock.now += 1;
        if goal {
            self.goals += 1;
            self.place();
        }
        let reward = f64::from(u8::from(goal)) - if wall { self.params.wall } else { 0.0 };
        Ok(Feedback { reward, done: self.clock.now == self.clock.end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> Navigation {
        NavigationParams::default().build().unwrap()
    }

    fn towards(from: [f64; 2], to: [f64; 2]) -> [f32; 2] {
        [0, 1].map(|k| (100.0 * (to[k] - from[k])) as f32)
    }

    #[test]
    fn who_knows_the_goal_reaches_it_over_and_over() {
        let (mut world, mut total, mut wandering) = (world(), 0.0, 0.0);
        for i in 0..20 {
            world.reset(Seed::new(1).nth(i));
            let goal = world.goal();
            assert!(length(goal) <= 0.7);
            for k in 0..400 {
                let before = world.position();
                assert!(!world.at_goal(before) && length(before) <= 1.0 + 1e-12);
                let feedback = world.act(Action::Continuous(&towards(before, goal))).unwrap();
                let reached = feedback.reward == 1.0;
                if !reached {
                    // At full speed: 4 cm per action.
                    let moved = [0, 1].map(|d| world.position()[d] - before[d]);
                    assert!((length(moved) - 0.04).abs() < 1e-9, "{moved:?}");
                }
                assert_eq!((world.goal(), feedback.done), (goal, k == 399));
            }
            total += world.goals() as f64;
            let mut rng = Seed::new(9).nth(i).rng();
            world.reset(Seed::new(1).nth(i));
            for _ in 0..400 {
                let v = [(); 2].map(|()| 16.0 * rng.random::<f32>() - 8.0);
                world.act(Action::Continuous(&v)).unwrap();
            }
            wandering += world.goals() as f64;
        }
        // The mean way from a place to the goal's rim is about half a radius: a dozen actions.
        assert!((20.0..60.0).contains(&(total / 20.0)), "{}", total / 20.0);
        assert!(wandering < total / 5.0, "{wandering} of {total}");
    }

    #[test]
    fn the_wall_holds_and_costs() {
        let mut world = world();
        world.reset(Seed::new(2));
        let goal = world.goal();
        // Away from the goal, until the rim.
        let away = [-goal[0], -goal[1]].map(|x| (100.0 * x / length(goal)) as f32);
        let rewards: Vec<f64> = (0..100).map(|_| world.act(Action::Continuous(&away)).unwrap().reward).collect();
        assert!((length(world.position()) - 1.0).abs() < 1e-12);
        assert_eq!(rewards[99], -0.02);
        let mut raster = Raster::new(world.inputs(), 5);
        world.observe(0, &mut raster).unwrap();
        assert!(raster.iter().any(|(_, u)| u >= 154) && raster.iter().all(|(_, u)| !(144..154).contains(&u)));
        // To stand still is allowed.
        let before = world.position();
        assert_eq!(world.act(Action::Continuous(&[0.0, 0.0])).unwrap().reward, 0.0);
        assert_eq!(world.position(), before);
    }

    #[test]
    fn place_cells_tell_the_position_and_the_goal_is_told_once() {
        let mut world = NavigationParams { window: 200, ..Default::default() }.build().unwrap();
        for i in 0..10 {
            world.reset(Seed::new(3).nth(i));
            let [x, y] = world.position().map(|p| p * 0.6); // away from the rim, where the grid ends
            world.position = [x, y];
            let mut raster = Raster::new(world.inputs(), 200);
            world.observe(0, &mut raster).unwrap();
            let n = raster.len() as f64;
            let mean = |of: fn(u32) -> u32| raster.iter().map(|(_, u)| f64::from(of(u)) / 11.0 * 2.0 - 1.0).sum::<f64>() / n;
            assert!((mean(|u| u % 12) - x).abs() < 0.05 && (mean(|u| u / 12) - y).abs() < 0.05, "{x} {y}");
        }
        let mut world = self::world();
        world.reset(Seed::new(4));
        let goal_group = |world: &Navigation| {
            let mut raster = Raster::new(world.inputs(), 5);
            world.observe(0, &mut raster).unwrap();
            raster.iter().filter(|&(_, u)| (144..154).contains(&u)).count()
        };
        while world.goals() == 0 {
            assert_eq!(goal_group(&world), 0);
            world.act(Action::Continuous(&towards(world.position(), world.goal()))).unwrap();
        }
        assert!(goal_group(&world) > 5); // 50 draws of ½
        world.act(Action::Continuous(&[0.0, 0.0])).unwrap();
        assert_eq!(goal_group(&world), 0);
    }

    #[test]
    fn goals_and_starts_are_uniform() {
        let mut world = world();
        // Within a disc, half of the places lie within 1/√2 of the radius: 500 ± 15.8 of 1000.
        let inner = (0..1000)
            .filter(|&i| {
                world.reset(Seed::new(5).nth(i));
                length(world.goal()) < 0.7 / 2f64.sqrt()
            })
            .count();
        assert!((437..563).contains(&inner), "{inner}");
    }

    #[test]
    fn parameters_and_actions_are_checked() {
        let bad = |params: NavigationParams| params.build().unwrap_err().to_string();
        let all = NavigationParams::default;
        assert!(bad(NavigationParams { goal_radius: 0.6, ..all() }).contains("goal_radius = 0.6"));
        assert!(bad(NavigationParams { speed: 0.0, ..all() }).contains("speed = 0"));
        assert!(bad(NavigationParams { wall: f64::NAN, ..all() }).contains("wall = NaN"));
        assert!(bad(NavigationParams { cells: 1, ..all() }).contains("cells = 1"));
        assert!(bad(NavigationParams { horizon: usize::MAX, ..all() }).contains("horizon"));
        let mut world = world();
        world.reset(Seed::new(1));
        let error = world.act(Action::Continuous(&[f32::NAN, 0.0])).unwrap_err().to_string();
        assert!(error.contains("Continuous([NaN, 0.0])") && error.contains("2 finite numbers"), "{error}");
    }
}
