//! Training with a device in the loop: it runs the trials, the rule learns from what it recorded.

use crate::trainer::TrainError;
use snn_core::{Raster, Seed};
use snn_sparse::{Chip, Clocked, Costs, Device, DeviceError, Record, Scalar, Wants};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The trainer's device. What it records does not depend on threads: every piece of a batch has a device of its own, and the seed of a trial follows from updates
/// and index.
pub(crate) struct Loop {
    device: Mutex<Box<dyn Device>>,
    /// What puts the network on it anew when links have changed, and the links it has: [`Clocked::relinked`].
    chip: Option<Box<Chip<'static>>>,
    relinked: u64,
    /// By projection: the largest weight that may be written.
    largest: Vec<f32>,
    seed: Seed,
    spent: Mutex<Costs>,
}

/// A device at work for one thread: what plays the trials of a worker.
pub struct Station {
    device: Box<dyn Device>,
    seed: Seed,
    failed: Option<DeviceError>,
    /// What a failed device did.
    silence: Vec<Raster>,
}

impl Loop {
    /// The chip with this network.
    pub fn of_chip(chip: Box<Chip<'static>>, engine: &Clocked<f32>, clip: Option<f64>, seed: Seed) -> Result<Self, TrainError> {
        let device = chip(&engine.describe()?).map_err(refused)?;
        Ok(Loop { chip: Some(chip), ..Self::new(device, engine, clip, seed)? })
    }

    /// A device for this engine, with the weights it was built with. The weights that are trained stay within `clip` times the largest that each projection has now.
    pub fn new(device: Box<dyn Device>, engine: &Clocked<f32>, clip: Option<f64>, seed: Seed) -> Result<Self, TrainError> {
        let (ours, theirs) = (engine.network().draft(), device.network().draft());
        let shape = |draft: &snn_core::net::Draft| {
            let sizes: Vec<_> = draft.inputs.iter().map(|i| i.size).chain(draft.populations.iter().map(|p| p.size)).collect();
            let ends: Vec<_> = draft.projections.iter().map(|p| (p.from.clone(), p.to.clone(), p.links.clone())).collect();
            (sizes, ends)
        };
        if shape(ours) != shape(theirs) {
            return Err(TrainError::Options("the device was built for another network; build it for the one that is trained".into()));
        }
        if let Some(clip) = clip.filter(|clip| !(clip.is_finite() && *clip > 0.0)) {
            return Err(TrainError::Options(format!("the largest weight in the loop is {clip} times the largest now: must be positive")));
        }
        let largest = |weights: &Vec<f32>| match clip {
            Some(clip) => (clip * f64::from(weights.iter().fold(0.0f32, |m, w| m.max(w.abs())))) as f32,
            None => f32::INFINITY,
        };
        let largest = engine.weights().iter().map(largest).collect();
        Ok(Loop { device: Mutex::new(device), chip: None, relinked: engine.relinked(), largest, seed, spent: Mutex::default() })
    }

    /// Whether links may change while it is in the loop.
    pub fn takes_other_links(&self) -> bool {
        self.chip.is_some()
    }

    /// As many devices as there are pieces of work, as the device is now.
    pub fn stations(&self, count: usize, part: &str, number: u64) -> Vec<Station> {
        let device = unpoisoned(&self.device);
        let seed = self.seed.child(part).nth(number);
        (0..count).map(|_| Station { device: device.again(), seed, failed: None, silence: Vec::new() }).collect()
    }

    /// Takes the costs of stations, in order.
    pub fn close(&self, stations: impl IntoIterator<Item = Station>) -> Result<(), TrainError> {
        let mut spent = unpoisoned(&self.spent);
        for station in stations {
            spent.add(station.device.costs());
            if let Some(error) = station.failed {
                return Err(TrainError::Device(error));
            }
        }
        Ok(())
    }

    /// Keeps the weights of the engine within their range, and writes them to the device. Other links are a new network for the same chip.
    pub fn follow(&mut self, engine: &mut Clocked<f32>) -> Result<(), TrainError> {
        let mut device = unpoisoned(&self.device);
        let relinked = self.relinked != engine.relinked();
        for (k, mut weights) in engine.weights().into_iter().enumerate() {
            let largest = self.largest[k];
            if weights.iter().any(|w| w.abs() > largest) {
                weights.iter_mut().for_each(|w| *w = w.clamp(-largest, largest));
                engine.set_weights(k, &weights);
            }
            if !relinked {
                device.write(k, &weights).map_err(TrainError::Device)?;
            }
        }
        if let Some(chip) = self.chip.as_ref().filter(|_| relinked) {
            unpoisoned(&self.spent).add(device.costs());
            *device = chip(&engine.describe()?).map_err(refused)?;
            self.relinked = engine.relinked();
        }
        Ok(())
    }

    /// What trials and writes have cost.
    pub fn costs(&self) -> Costs {
        let mut costs = unpoisoned(&self.spent).clone();
        costs.add(unpoisoned(&self.device).costs());
        costs
    }
}

impl Station {
    /// The events of every population in trial `index` with this input, as the device recorded them. A failed device is silent from then on.
    pub fn run<F: Scalar>(&mut self, engine: &Clocked<F>, input: &Raster, index: usize) -> Vec<&Raster> {
        let ran = if self.failed.is_none() { self.device.run(&[input], self.seed.nth(index as u64)) } else { Ok(()) };
        self.failed = self.failed.take().or(ran.err());
        if self.failed.is_some() {
            self.silence = engine.cells().iter().map(|cells| Raster::new(cells.size(), input.steps())).collect();
            return self.silence.iter().collect();
        }
        (0..engine.cells().len()).map(|p| self.device.spikes(p)).collect()
    }

    /// The same, with the weights of `engine` written to the device.
    pub fn with_weights<F: Scalar>(mut self, engine: &Clocked<F>) -> Self {
        let mut weights = engine.weights().into_iter().enumerate();
        let wrote = if self.failed.is_none() { weights.try_for_each(|(k, weights)| self.device.write(k, &weights)) } else { Ok(()) };
        self.failed = self.failed.take().or(wrote.err());
        self
    }

    /// Trial `index` with this input: the device runs it, and `record` is what `engine` makes of its events.
    pub fn play<F: Scalar>(&mut self, engine: &Clocked<F>, input: &Raster, index: usize, wants: Wants, record: &mut Record<F>) {
        engine.replay(&[input], &self.run(engine, input, index), wants, record);
    }
}

/// What a chip says to a network it does not take.
fn refused(why: Box<dyn std::error::Error + Send + Sync>) -> TrainError {
    TrainError::Chip(why.to_string())
}

/// What a lock guards. A thread that panicked while it held one ends the run.
fn unpoisoned<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
