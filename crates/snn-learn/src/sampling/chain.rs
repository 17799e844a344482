//! Chains of states under clamps, from whatever samples them, and what is done with states.

use super::{Boltzmann, Calibration, LifSampling, Moments, SamplingError, read_states};
use rayon::prelude::*;
use snn_core::{Raster, Seed};
use snn_sparse::{Chip, Device};
use std::collections::BTreeMap;

/// What each unit is held at; `None`: it is free.
pub type Clamp = Vec<Option<bool>>;

/// Something that gives states of a distribution.
pub trait Chain {
    /// Samples from `target` under each clamp, one chain each, and calls `visit` with the index of the clamp and a state: chain after chain, each in time order.
    /// The same seed gives the same states.
    ///
    /// # Errors
    /// [`SamplingError`]: a clamp of another size, and whatever a machine refuses.
    fn sample(
        &mut self,
        target: &Boltzmann,
        clamps: &[Clamp],
        seed: Seed,
        visit: &mut dyn FnMut(usize, &[bool]),
    ) -> Result<(), SamplingError>;
}

/// Averages over all chains.
///
/// # Errors
/// As [`Chain::sample`].
pub fn moments(chain: &mut dyn Chain, target: &Boltzmann, clamps: &[Clamp], seed: Seed) -> Result<Moments, SamplingError> {
    let mut moments = Moments::new(target);
    chain.sample(target, clamps, seed, &mut |_, z| moments.add(target, z, 1.0))?;
    Ok(moments)
}

/// The mean of each unit, chain by chain.
///
/// # Errors
/// As [`Chain::sample`].
pub fn averages(chain: &mut dyn Chain, target: &Boltzmann, clamps: &[Clamp], seed: Seed) -> Result<Vec<Vec<f64>>, SamplingError> {
    let (mut sums, mut counts) = (vec![vec![0.0; target.size()]; clamps.len()], vec![0.0f64; clamps.len()]);
    chain.sample(target, clamps, seed, &mut |k, z| {
        counts[k] += 1.0;
        sums[k].iter_mut().zip(z).for_each(|(sum, &on)| *sum += f64::from(u8::from(on)));
    })?;
    sums.iter_mut().zip(counts).for_each(|(sum, n)| sum.iter_mut().for_each(|x| *x /= n.max(1.0)));
    Ok(sums)
}

/// A step of contrastive learning: `ΔW = η(⟨z_i z_j⟩_data − ⟨z_i z_j⟩_model)`, `Δb = η(⟨z⟩_data − ⟨z⟩_model)`.
///
/// ```
/// use snn_core::Seed;
/// use snn_learn::sampling::{Boltzmann, Gibbs, Moments, learn, moments};
/// let (wanted, mut model) = (Boltzmann::random(3, 1.0, 1.0, Seed::new(1)), Boltzmann::random(3, 0.0, 0.0, Seed::new(0)));
/// let data = Moments::exact(&wanted, &wanted.exact()?);
/// let mut chain = Gibbs { burn_in: 5, samples: 500, persistent: true, ..Gibbs::default() };
/// for n in 0..300 {
///     let free = moments(&mut chain, &model, &[vec![None; 3]], Seed::new(2).nth(n))?;
///     learn(&mut model, &data, &free, 1.0);
/// }
/// assert!(wanted.weights.iter().zip(&model.weights).all(|(a, b)| (a - b).abs() < 0.5));
/// # Ok::<(), snn_learn::sampling::SamplingError>(())
/// ```
pub fn learn(target: &mut Boltzmann, data: &Moments, model: &Moments, rate: f64) {
    let step = |to: &mut [f64], data: &[f64], model: &[f64]| {
        to.iter_mut().zip(data.iter().zip(model)).for_each(|(x, (d, m))| *x += rate * (d - m));
    };
    step(&mut target.weights, &data.pairs, &model.pairs);
    step(&mut target.biases, &data.units, &model.units);
}

/// Gibbs sampling: the reference in software.
#[derive(Clone, Debug, Default)]
pub struct Gibbs {
    /// Sweeps before the first state.
    pub burn_in: usize,
    /// States of each chain, a sweep each.
    pub samples: usize,
    /// Whether the chain of a clamp goes on where the chain of that index ended the last time.
    pub persistent: bool,
    /// Where the chains ended.
    pub last: Vec<Vec<bool>>,
}

impl Chain for Gibbs {
    fn sample(
        &mut self,
        target: &Boltzmann,
        clamps: &[Clamp],
        seed: Seed,
        visit: &mut dyn FnMut(usize, &[bool]),
    ) -> Result<(), SamplingError> {
        check(target, clamps)?;
        self.last.resize(clamps.len(), vec![false; target.size()]);
        for (k, clamp) in clamps.iter().enumerate() {
            let (mut rng, z) = (seed.nth(k as u64).rng(), &mut self.last[k]);
            if !self.persistent || z.len() != target.size() {
                *z = vec![false; target.size()];
            }
            for sweep in 0..self.burn_in + self.samples {
                target.sweep(z, clamp, &mut rng);
                if sweep >= self.burn_in {
                    visit(k, z);
                }
            }
        }
        Ok(())
    }
}

/// States read from the spikes of a network on a machine. Some chains are one trial, one after the other; trials run on several threads.
pub struct LifChain<'a> {
    chip: &'a Chip<'a>,
    how: &'a LifSampling,
    calibrations: &'a [Calibration],
    burn_in: f64,
    every: f64,
    samples: usize,
    persistent: bool,
    last: Vec<Vec<bool>>,
    /// What the machine counted over all trials: spikes, synaptic events.
    pub counts: BTreeMap<&'static str, u64>,
    /// Biological time of all trials (s).
    pub seconds: f64,
}

/// Chains that are one trial.
const CHAINS: usize = 8;
/// Trials whose spikes are held at once.
const TRIALS: usize = 8;
/// Time for which the state of a persistent chain is held, in refractory periods.
const HELD: f64 = 2.0;

impl<'a> LifChain<'a> {
    /// `samples` states of each chain, a refractory period apart, after ten of them.
    pub fn new(chip: &'a Chip<'a>, how: &'a LifSampling, calibrations: &'a [Calibration], samples: usize) -> Self {
        let period = how.period();
        LifChain {
            chip,
            how,
            calibrations,
            burn_in: 10.0 * period,
            every: period,
            samples,
            persistent: false,
            last: Vec::new(),
            counts: BTreeMap::new(),
            seconds: 0.0,
        }
    }

    /// Time between two states (s).
    pub fn every(self, every: f64) -> Self {
        LifChain { every, ..self }
    }

    /// Time before the first state (s): what a clamp, or the chain before, has left behind must be gone.
    pub fn burn_in(self, burn_in: f64) -> Self {
        LifChain { burn_in, ..self }
    }

    /// Lets the chain of a clamp go on where the chain of that index ended the last time: its units are held at their states for a moment first.
    pub fn persistent(self) -> Self {
        LifChain { persistent: true, ..self }
    }

    /// Steps in which a chain is held, burns in, and is read.
    fn steps(&self, k: usize) -> [usize; 3] {
        let steps = |seconds: f64| (seconds / self.how.dt).round() as usize;
        let known = self.persistent && self.last.get(k).is_some_and(|z| !z.is_empty());
        [if known { steps(HELD * self.how.period()) } else { 0 }, steps(self.burn_in), self.samples * steps(self.every).max(1)]
    }

    /// One trial: the chains of these clamps, the first of which is chain `first`.
    fn trial(&self, device: &mut dyn Device, first: usize, clamps: &[Clamp], seed: Seed) -> Result<Vec<Vec<Vec<bool>>>, SamplingError> {
        let every = ((self.every / self.how.dt).round() as usize).max(1);
        let total = (0..clamps.len()).map(|k| self.steps(first + k).iter().sum::<usize>()).sum();
        let (mut input, mut start, mut at) = (Raster::new(2 * clamps.first().map_or(0, Vec::len), total), 0, Vec::new());
        for (k, clamp) in clamps.iter().enumerate() {
            let [held, burn_in, read] = self.steps(first + k);
            if held > 0 {
                let state: Clamp = self.last[first + k].iter().zip(clamp).map(|(&z, clamp)| Some(clamp.unwrap_or(z))).collect();
                self.how.hold(&state, start..start + held, &mut input);
            }
            self.how.hold(clamp, start + held..start + held + burn_in + read, &mut input);
            start += held + burn_in + read;
            at.extend((0..self.samples).map(|n| start - read + (n + 1) * every - 1));
        }
        device.run(&[&input], seed)?;
        let mut states = Vec::with_capacity(at.len());
        read_states(device.spikes(0), self.how.window(), at, |z| states.push(z.to_vec()));
        Ok(states.chunks(self.samples.max(1)).map(<[_]>::to_vec).collect())
    }
}

impl Chain for LifChain<'_> {
    fn sample(
        &mut self,
        target: &Boltzmann,
        clamps: &[Clamp],
        seed: Seed,
        visit: &mut dyn FnMut(usize, &[bool]),
    ) -> Result<(), SamplingError> {
        check(target, clamps)?;
        let device = (self.chip)(&self.how.translate(target, self.calibrations)?).map_err(SamplingError::Chip)?;
        let trials: Vec<(usize, &[Clamp])> = clamps.chunks(CHAINS).enumerate().map(|(n, part)| (n * CHAINS, part)).collect();
        let mut last = vec![Vec::new(); clamps.len()];
        for wave in trials.chunks(TRIALS) {
            let work: Vec<_> = wave.iter().map(|&(first, part)| (first, part, device.again())).collect();
            let run = |(first, part, mut device): (usize, &[Clamp], Box<dyn Device>)| {
                let states = self.trial(&mut *device, first, part, seed.nth((first / CHAINS) as u64))?;
                Ok((first, states, device.costs().counts.clone()))
            };
            let done = work.into_par_iter().map(run).collect::<Result<Vec<_>, SamplingError>>()?;
            for (first, chains, counts) in done {
                counts.into_iter().for_each(|(what, n)| *self.counts.entry(what).or_default() += n);
                for (k, states) in chains.into_iter().enumerate() {
                    self.seconds += self.steps(first + k).iter().sum::<usize>() as f64 * self.how.dt;
                    states.iter().for_each(|z| visit(first + k, z));
                    last[first + k] = states.into_iter().next_back().unwrap_or_default();
                }
            }
        }
        self.last = last;
        Ok(())
    }
}

fn check(target: &Boltzmann, clamps: &[Clamp]) -> Result<(), SamplingError> {
    match clamps.iter().position(|clamp| clamp.len() != target.size()) {
        Some(k) => {
            Err(SamplingError::Setting(format!("clamp {k} is of {} units, the distribution has {}", clamps[k].len(), target.size())))
        }
        None => Ok(()),
    }
}
