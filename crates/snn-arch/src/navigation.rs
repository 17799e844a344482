//! Navigation to a goal that only its reward tells of: the same agent with and without adaptation.
//!
//! Source: Bellec, Salaj, Subramoney, Legenstein and Maass 2018 (arXiv:1803.09574), meta-reinforcement learning. Every number is the caller's.

use crate::meta_rl::{Episode, MetaRl, Options, Waits};
use crate::policy::{Acting, units};
use crate::{Agent, ArchError};
use serde::{Deserialize, Serialize};
use snn_core::{Seed, Surrogate};
use snn_data::{Environment, Navigation, NavigationParams};
use snn_learn::{Optimiser, SparseBptt};

/// A whole study: the world, the agent and how it learns.
///
/// A paper makes one, calls [`begin`](Study::begin) for each agent, then [`MetaRl::iteration`] as often as it likes (keeping [`MetaRl::save`] for a resume), and
/// asks [`test`](Study::test) what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Study {
    /// The world. Its `dt` must be the agent's.
    pub world: NavigationParams,
    /// The agent.
    pub agent: Agent,
    /// The outer loop.
    pub options: Options,
    /// How weights move.
    pub optimiser: Optimiser,
    /// The surrogate derivative.
    pub surrogate: Surrogate,
}

/// What new episodes say of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Skill {
    /// Goals reached per episode, and the actions to the first and from one to the next.
    pub goals: Waits,
    /// Mean sum of rewards of an episode, walls included.
    pub reward: f64,
}

impl Study {
    /// The outer loop for the agent as it is, or as the control that cannot adapt: the same network with `beta = 0`.
    ///
    /// # Errors
    /// If a parameter is impossible, or world and agent have different time steps.
    pub fn begin(&self, adaptive: bool, seed: Seed) -> Result<MetaRl<Navigation>, ArchError> {
        let world = self.world.build()?;
        crate::error::check(self.world.dt == self.agent.dt, "Study", "agent.dt", self.agent.dt, "the time step of the world")?;
        let agent = if adaptive { self.agent } else { Agent { beta: 0.0, ..self.agent } };
        let net = agent.network(world.inputs(), units(world.actions()), seed)?;
        MetaRl::new(&net, world, SparseBptt { surrogate: self.surrogate }, self.optimiser, self.options)
    }

    /// What the agent does in `episodes` new episodes of this seed. The same seed means the same goals for every agent.
    ///
    /// # Errors
    /// As [`MetaRl::evaluate`].
    pub fn test(&self, agent: &MetaRl<Navigation>, episodes: usize, seed: Seed, acting: Acting) -> Result<Skill, ArchError> {
        let tests = agent.evaluate(episodes, seed, acting)?;
        Ok(Skill::of(&tests))
    }
}

impl Skill {
    /// That of recorded episodes.
    pub fn of(episodes: &[Episode]) -> Self {
        // A goal pays 1, and no action meets a wall and the goal, which lies inside, without paying at least half of it.
        let goals = Waits::of(episodes.iter().map(|e| &e.rewards[..]), 0.5);
        let reward = episodes.iter().flat_map(|e| &e.rewards).sum::<f64>() / episodes.len() as f64;
        Skill { goals, reward }
    }
}
