use super::{Kind, Life, Slots, World, live};
use crate::error::ArchError;
use rayon::prelude::*;
use snn_core::Seed;
use snn_data::Actions;
use snn_hw::dls::{Dls, FastSlots, SlotSettings, SpikingSlots};
use std::ops::Range;

/// A family of worlds and a chip to live in it on: what the fitness of a candidate means.
#[derive(Clone, Debug)]
pub struct Setting<W> {
    /// A world of the family.
    pub world: W,
    /// The rule whose numbers are looked for.
    pub kind: Kind,
    /// The machine.
    pub machine: Dls,
    /// Which of its devices.
    pub device: Seed,
    /// Length of a decision's slot (steps of 1 ms of the network).
    pub steps: usize,
}

impl<W: World + Clone + Sync> Setting<W> {
    fn shape(&self, noise: f64) -> SlotSettings {
        let actions = match self.world.actions() {
            Actions::Discrete(n) | Actions::Continuous(n) => n,
        };
        SlotSettings { states: self.world.states(), actions, steps: self.steps, noise }
    }

    /// Lives of the rule with these values in the worlds `tasks` of a seed, on the fast chip.
    ///
    /// # Errors
    /// As [`live`].
    pub fn lives(&self, values: &[f64], tasks: Range<u64>, seed: Seed) -> Result<Vec<Life>, ArchError> {
        let shape = self.shape(self.kind.rule(values, 1, 1).0);
        self.on(&mut FastSlots::new(&self.machine, shape, self.device)?, values, tasks, seed)
    }

    /// The same on the emulated chip, step by step; returns the seconds the chip would have taken as well.
    ///
    /// # Errors
    /// As [`live`].
    pub fn lives_on_chip(&self, values: &[f64], tasks: Range<u64>, seed: Seed) -> Result<(Vec<Life>, f64), ArchError> {
        let shape = self.shape(self.kind.rule(values, 1, 1).0);
        let mut slots = SpikingSlots::new(&self.machine, shape, self.device)?;
        let lives = self.on(&mut slots, values, tasks, seed)?;
        Ok((lives, slots.costs().seconds))
    }

    fn on(&self, slots: &mut dyn Slots, values: &[f64], tasks: Range<u64>, seed: Seed) -> Result<Vec<Life>, ArchError> {
        let SlotSettings { states, actions, .. } = self.shape(0.0);
        let (_, mut rule) = self.kind.rule(values, states, actions);
        let mut world = self.world.clone();
        tasks.map(|k| live(slots, &mut world, &mut *rule, seed.nth(k))).collect()
    }

    /// What can be had in the decisions `of` of these worlds: the sums of random and of best reward.
    pub fn bounds(&self, of: Range<usize>, tasks: Range<u64>, seed: Seed) -> (f64, f64) {
        let mut world = self.world.clone();
        let mut sums = (0.0, 0.0);
        for k in tasks {
            world.reset(seed.nth(k).child("world"));
            let (random, best) = world.bounds();
            let part = |list: &[f64]| list[of.clone()].iter().sum::<f64>();
            sums = (sums.0 + part(&random), sums.1 + part(&best));
        }
        sums
    }

    /// Fitness of each candidate: the reward of its lives between that of acting at random (0) and of knowing the world (1), over the sums of all tasks. All candidates meet the
    /// same tasks. On all threads; the result does not depend on their number.
    ///
    /// # Errors
    /// As [`live`].
    pub fn fitness(&self, candidates: &[Vec<f64>], tasks: Range<u64>, seed: Seed) -> Result<Vec<f64>, ArchError> {
        let (random, best) = self.bounds(0..self.world.horizon(), tasks.clone(), seed);
        let one = |values: &Vec<f64>| {
            let lives = self.lives(values, tasks.clone(), seed)?;
            let reward: f64 = lives.iter().flat_map(|life| &life.rewards).sum();
            Ok((reward - random) / (best - random).max(f64::MIN_POSITIVE))
        };
        candidates.par_iter().map(one).collect()
    }
}
