//! Worlds that answer: what a network sees depends on what it did.

use crate::{
    error::DataError,
    fire::{Events, append},
};
use snn_core::{Raster, Seed};
use std::ops::Range;

/// Declares the module of each environment and lists them in the given order, by their parameters.
macro_rules! environments {
    ($($file:ident :: $Params:ident),+ $(,)?) => {
        $(mod $file; pub use $file::*;)+

        /// Every environment with its default parameters.
        ///
        /// # Errors
        /// What an environment says of its parameters.
        pub fn environments() -> Result<Vec<Box<dyn Environment>>, DataError> {
            Ok(vec![$(Box::new($Params::default().build()?),)+])
        }
    };
}

environments! { bandit::BanditParams, delayed_cue::DelayedCueParams, mdp::MdpParams, navigation::NavigationParams }

/// What an environment lets an agent do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actions {
    /// One of so many choices.
    Discrete(usize),
    /// So many numbers.
    Continuous(usize),
}

/// What an agent does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action<'a> {
    /// A choice, counted from 0.
    Discrete(usize),
    /// Numbers, finite.
    Continuous(&'a [f32]),
}

/// What an action led to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Feedback {
    /// Reward of the action.
    pub reward: f64,
    /// Whether the episode is over.
    pub done: bool,
}

/// A world in a loop with an agent: it shows spikes for a number of steps, takes an action, gives a reward.
///
/// An episode goes `reset`, then `observe` and `act` in turn until an action is the last. All chance comes from the seed of `reset` and the number
/// of the action: the same seed and the same actions give the same episode, and observing twice changes nothing.
///
/// ```
/// use snn_core::{Raster, Seed};
/// use snn_data::{Action, BanditParams, Environment};
/// let mut world = BanditParams { pulls: 5, ..Default::default() }.build()?;
/// let mut spikes = Raster::new(world.inputs(), world.horizon() * world.window());
/// world.reset(Seed::new(1));
/// let mut total = 0.0;
/// for k in 0.. {
///     world.observe(k * world.window(), &mut spikes)?;       // the network runs over these steps …
///     let feedback = world.act(Action::Discrete(1))?;        // … and chooses
///     total += feedback.reward;
///     if feedback.done {
///         break;
///     }
/// }
/// assert!((0.0..=5.0).contains(&total));
/// # Ok::<(), snn_data::DataError>(())
/// ```
pub trait Environment: Send {
    /// Name for tables and logs.
    fn name(&self) -> &'static str;
    /// Input channels.
    fn inputs(&self) -> usize;
    /// What an agent may do.
    fn actions(&self) -> Actions;
    /// Time steps from one action to the next.
    fn window(&self) -> usize;
    /// The most actions in an episode.
    fn horizon(&self) -> usize;
    /// Begins an episode.
    fn reset(&mut self, seed: Seed);
    /// Writes what is seen before the next action into the steps `from..from + window` of `into`, whose steps before `from` have been written.
    ///
    /// # Errors
    /// [`DataError::Environment`] if the raster has other channels or too few steps.
    fn observe(&self, from: usize, into: &mut Raster) -> Result<(), DataError>;
    /// Does `action`.
    ///
    /// # Errors
    /// [`DataError::Environment`] for an action that is not one of [`actions`](Self::actions), or after the end of the episode.
    fn act(&mut self, action: Action<'_>) -> Result<Feedback, DataError>;
}

fn refused<T>(of: &'static str, found: String, remedy: String) -> Result<T, DataError> {
    Err(DataError::Environment { of, found, remedy })
}

/// The choice of an agent that has `n` of them.
fn choice(of: &'static str, action: Action<'_>, n: usize) -> Result<usize, DataError> {
    match action {
        Action::Discrete(choice) if choice < n => Ok(choice),
        other => refused(of, format!("the action {other:?}"), format!("it takes Discrete(k) with k from 0 to {}", n - 1)),
    }
}

/// The numbers of an agent that gives `N` of them.
fn numbers<const N: usize>(of: &'static str, action: Action<'_>) -> Result<[f64; N], DataError> {
    if let Action::Continuous(values) = action
        && let Ok(values) = <[f32; N]>::try_from(values)
        && values.iter().all(|v| v.is_finite())
    {
        return Ok(values.map(f64::from));
    }
    refused(of, format!("the action {action:?}"), format!("it takes Continuous with {N} finite numbers"))
}

/// Where an episode stands: its seed, and how many actions there have been of how many.
#[derive(Clone, Debug)]
struct Clock {
    of: &'static str,
    seed: Seed,
    now: usize,
    end: usize,
}

impl Clock {
    /// An episode that has not begun: nothing can be done in it.
    fn new(of: &'static str) -> Self {
        Clock { of, seed: Seed::new(0), now: 0, end: 0 }
    }

    /// Begins an episode of `end` actions.
    fn reset(&mut self, seed: Seed, end: usize) {
        (self.seed, self.now, self.end) = (seed, 0, end);
    }

    /// The seed of a named part of this moment.
    fn moment(&self, part: &str) -> Seed {
        self.seed.child(part).nth(self.now as u64)
    }

    fn check(&self) -> Result<(), DataError> {
        if self.now < self.end {
            return Ok(());
        }
        refused(self.of, format!("action {} of an episode of {}", self.now + 1, self.end), "begin an episode with reset".into())
    }

    /// Writes the events of `draw(rng, steps, events)` into the steps of a window.
    fn observe(
        &self,
        from: usize,
        window: usize,
        inputs: usize,
        into: &mut Raster,
        draw: impl FnOnce(&mut dyn rand::Rng, Range<usize>, &mut Events),
    ) -> Result<(), DataError> {
        let fits = from.checked_add(window).is_some_and(|end| end <= into.steps());
        if into.units() != inputs || !fits {
            let found = format!("steps {from}.. of a raster of {} units × {} steps", into.units(), into.steps());
            return refused(self.of, found, format!("give one of {inputs} units, with {window} steps from there"));
        }
        let mut events = Events::new();
        draw(&mut self.moment("observation").rng(), from..from + window, &mut events);
        append(events, from, window, into);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An action that the environment takes, and one of each kind that it does not.
    fn actions(world: &dyn Environment) -> (Action<'static>, [Action<'static>; 2]) {
        const NUMBERS: &[f32] = &[8.0, -3.0, 1.0, 0.5];
        match world.actions() {
            Actions::Discrete(n) => (Action::Discrete(n - 1), [Action::Discrete(n), Action::Continuous(&NUMBERS[..1])]),
            Actions::Continuous(n) => (Action::Continuous(&NUMBERS[..n]), [Action::Continuous(&NUMBERS[..n - 1]), Action::Discrete(0)]),
        }
    }

    fn episode(world: &mut dyn Environment, action: Action<'_>, seed: u64) -> (Raster, Vec<f64>) {
        let mut raster = Raster::new(world.inputs(), world.horizon() * world.window());
        let mut rewards = Vec::new();
        world.reset(Seed::new(seed));
        loop {
            world.observe(rewards.len() * world.window(), &mut raster).unwrap();
            let feedback = world.act(action).unwrap();
            rewards.push(feedback.reward);
            if feedback.done {
                break;
            }
        }
        assert!(rewards.len() <= world.horizon());
        let written = rewards.len() * world.window();
        (written..raster.steps()).for_each(|t| raster.push_step(t, |_| ()));
        (raster, rewards)
    }

    #[test]
    fn laws() {
        for mut world in environments().unwrap() {
            let world = world.as_mut();
            let (name, (good, bad)) = (world.name(), actions(world));
            // Nothing before reset.
            assert!(world.act(good).unwrap_err().to_string().contains("begin an episode with reset"), "{name}");
            // The seed decides, whatever came before; chance differs between seeds.
            let first = episode(world, good, 1);
            assert_ne!(first, episode(world, good, 2), "{name}");
            assert!(first == episode(world, good, 1) && !first.0.is_empty(), "{name}");
            // Nothing after the end.
            assert!(world.act(good).unwrap_err().to_string().contains(&format!("of an episode of {}", first.1.len())), "{name}");
            // Other actions are refused and change nothing; so does looking twice, anywhere.
            world.reset(Seed::new(1));
            let mut raster = Raster::new(world.inputs(), 2 * world.window());
            for from in [0, world.window()] {
                world.observe(from, &mut raster).unwrap();
                for action in bad {
                    assert!(world.act(action).unwrap_err().to_string().contains("it takes"), "{name}: {action:?}");
                }
                for t in 0..world.window() {
                    assert_eq!(raster.at(from + t), first.0.at(t), "{name}");
                }
            }
            for wrong in [Raster::new(world.inputs() + 1, world.window()), Raster::new(world.inputs(), world.window() - 1)] {
                let error = world.observe(0, &mut wrong.clone()).unwrap_err().to_string();
                assert!(error.contains(&format!("give one of {} units", world.inputs())), "{name}: {error}");
            }
            assert!(world.observe(usize::MAX, &mut raster).is_err());
        }
    }
}
