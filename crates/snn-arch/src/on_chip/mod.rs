//! Agents that learn on a chip: a state is shown, an action neuron wins, a program of the plasticity processor changes the weights.
//!
//! ```text
//! world ── state ─▶ Slots (emulated or fast chip) ── action ─▶ world ── reward ─▶ Rule (integers only) ── weights ─▶ Slots
//! ```
//! [`live`] is one life: a new world, weights at their start, the same device. What differs between agents are [`Kind`]s of rule with a handful of numbers each; a
//! [`Setting`] tells how well such numbers do on a family of worlds, which is what a [`Search`](crate::search::Search) asks for. [`baseline`] plays the same bandits
//! with the best known methods.
//!
//! Source: Bohnstingl, Scherr, Pehle, Meier and Maass 2019 (Front. Neurosci. 13:483), in outline; the rules and all sizes are chosen here.

mod baseline;
mod rules;
mod setting;

pub use baseline::{Player, baseline};
pub use rules::{Event, HandMade, Kind, Meta, Rule, Td, fixed};
pub use setting::Setting;

use crate::error::ArchError;
use snn_core::{Seed, stats::mean};
use snn_data::{Action, Bandit, Environment, Mdp};
use snn_hw::dls::{Ppu, Q8, Slots};

/// A world with states that can be shown one at a time.
pub trait World: Environment {
    /// Number of states.
    fn states(&self) -> usize;
    /// The present one.
    fn state(&self) -> usize;
    /// Mean reward of each decision of this episode, for someone who acts at random, and for someone who knows the world.
    fn bounds(&self) -> (Vec<f64>, Vec<f64>);
}

impl World for Bandit {
    fn states(&self) -> usize {
        1
    }
    fn state(&self) -> usize {
        0
    }
    fn bounds(&self) -> (Vec<f64>, Vec<f64>) {
        let arms = self.arms();
        let best = arms.iter().copied().fold(0.0, f64::max);
        (vec![mean(arms); self.horizon()], vec![best; self.horizon()])
    }
}

/// Discount of the policy that counts as the best of a Markov decision process.
const FAR: f64 = 0.95;

impl World for Mdp {
    fn states(&self) -> usize {
        Mdp::states(self)
    }
    fn state(&self) -> usize {
        Mdp::state(self)
    }
    fn bounds(&self) -> (Vec<f64>, Vec<f64>) {
        let tables = self.tables();
        let expected = |policy: &[Vec<f64>]| tables.expected(policy, 0, self.horizon());
        (expected(&tables.at_random()), expected(&tables.choosing(&tables.optimal(FAR).1)))
    }
}

/// What happened in a life, by decision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Life {
    /// States met.
    pub states: Vec<usize>,
    /// Actions taken.
    pub actions: Vec<usize>,
    /// Their rewards.
    pub rewards: Vec<f64>,
}

/// One life of a rule: a world of this seed, weights at the rule's start, until the episode ends. The device keeps its irregularities.
///
/// ```
/// use snn_arch::on_chip::{HandMade, live};
/// use snn_core::Seed;
/// use snn_data::{Arms, BanditParams};
/// use snn_hw::dls::{Dls, FastSlots, Q8, SlotSettings};
/// let mut world = BanditParams { arms: Arms::Dependent, ..Default::default() }.build()?;
/// let shape = SlotSettings { states: 1, actions: 2, steps: 200, noise: 2.0 };
/// let mut chip = FastSlots::new(&Dls::default(), shape, Seed::new(1))?;
/// let mut rule = HandMade { rate: Q8::raw(64), start: 50 };
/// let life = live(&mut chip, &mut world, &mut rule, Seed::new(2))?;
/// assert_eq!(life.rewards.len(), 100);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If the chip has no row or neuron for a state or action of the world.
pub fn live(slots: &mut dyn Slots, world: &mut dyn World, rule: &mut dyn Rule, seed: Seed) -> Result<Life, ArchError> {
    let mut life = Life::default();
    world.reset(seed.child("world"));
    rule.begin();
    slots.begin(rule.start(), seed.child("chip"))?;
    let horizon = world.horizon();
    loop {
        let state = world.state();
        let action = slots.decide(state)?;
        let feedback = world.act(Action::Discrete(action))?;
        let time = Q8::raw((256 * life.rewards.len() / horizon) as i16);
        let event = Event { state, action, next: world.state(), reward: fixed(feedback.reward), time };
        slots.learn(&mut |ppu: &mut Ppu| rule.learn(&event, ppu));
        life.states.push(state);
        life.actions.push(action);
        life.rewards.push(feedback.reward);
        if feedback.done {
            return Ok(life);
        }
    }
}
