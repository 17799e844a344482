//! A device without limits, noise or cost: the software engine behind the contract of machines.

use crate::device::{Costs, Device, DeviceError};
use crate::{Clocked, Record, Sign, Source, Wants};
use snn_core::{Network, Raster, Seed};

/// The clocked engine as a [`Device`]: spikes are exactly those of [`Clocked::run`], and all is recorded. It counts spikes and synaptic events.
pub struct Ideal {
    engine: Clocked<f32>,
    record: Record<f32>,
    steps: usize,
    costs: Costs,
}

impl Ideal {
    /// The device with this network.
    pub fn new(network: &Network) -> Self {
        let engine = Clocked::compile(network);
        let record = Record::new(&engine);
        Ideal { engine, record, steps: 0, costs: Costs::default() }
    }

    /// The engine.
    pub fn engine(&self) -> &Clocked<f32> {
        &self.engine
    }

    /// What it recorded since the trial began.
    pub fn record(&self) -> &Record<f32> {
        &self.record
    }

    /// The engine, for devices that are this one but for their synapses.
    pub fn engine_mut(&mut self) -> &mut Clocked<f32> {
        &mut self.engine
    }

    /// Adds up what happened in `steps`.
    fn account(&mut self, from: usize, to: usize, inputs: &[&Raster]) {
        let steps = || from..to;
        let spikes: usize = self.record.spikes.iter().map(|raster| steps().map(|t| raster.at(t).len()).sum::<usize>()).sum();
        let heard = |(source, store): (Source, &crate::Store<f32>)| {
            let raster = source.spikes(inputs, &self.record.spikes);
            steps().map(|t| store.fan_out(raster.at(t))).sum::<usize>()
        };
        let links = self.engine.links().iter().filter(|link| link.sign != Some(Sign::Negative)); // the same links again
        let events: usize = links.map(|link| heard((link.from, &link.store))).sum();
        self.costs.count("spikes", spikes as u64);
        self.costs.count("synaptic events", events as u64);
        self.costs.seconds += (to - from) as f64 * self.engine.network().dt();
    }
}

impl Device for Ideal {
    fn network(&self) -> &Network {
        self.engine.network()
    }
    fn again(&self) -> Box<dyn Device> {
        let mut other = Self::new(self.engine.network());
        self.engine.weights().iter().enumerate().for_each(|(k, weights)| other.engine.set_weights(k, weights));
        Box::new(other)
    }
    fn begin(&mut self, steps: usize, trial: Seed) {
        self.steps = steps;
        self.record.noise = trial;
        self.engine.begin(steps, Wants::Spikes, &mut self.record);
    }
    fn advance(&mut self, until: usize, inputs: &[&Raster]) -> Result<(), DeviceError> {
        DeviceError::check_inputs(self.engine.network(), self.steps, until, inputs)?;
        let from = self.record.reached();
        self.engine.advance(until, inputs, &mut self.record);
        self.account(from, until.max(from), inputs);
        Ok(())
    }
    fn run(&mut self, inputs: &[&Raster], trial: Seed) -> Result<(), DeviceError> {
        self.steps = inputs.iter().map(|raster| raster.steps()).min().unwrap_or(0);
        DeviceError::check_inputs(self.engine.network(), self.steps, self.steps, inputs)?;
        self.record.noise = trial;
        self.engine.run(inputs, Wants::Spikes, &mut self.record);
        self.account(0, self.steps, inputs);
        Ok(())
    }
    fn spikes(&self, p: usize) -> &Raster {
        &self.record.spikes[p]
    }
    fn output(&self, p: usize, t: usize, j: usize) -> Option<f64> {
        let trace = &self.record.traces[p];
        (!trace.output.is_empty()).then(|| f64::from(trace.output_at(t, j)))
    }
    fn chances(&self, p: usize, into: &mut Vec<f64>) -> bool {
        let (network, trace) = (self.engine.network(), &self.record.traces[p]);
        let population = &network.draft().populations[p];
        let Some(escape) = &population.escape else { return false };
        let levels = (0..population.size).map_while(|j| trace.level(j));
        into.clear();
        into.extend(levels.map(|u| escape.chance(u.into(), network.dt())));
        into.len() == population.size
    }
    fn write(&mut self, k: usize, weights: &[f32]) -> Result<(), DeviceError> {
        DeviceError::check_weights(self.engine.network(), k, weights)?;
        self.engine.set_weights(k, weights);
        Ok(())
    }
    fn write_some(&mut self, k: usize, weights: &[f32], moved: &[u32]) -> Result<(), DeviceError> {
        DeviceError::check_some(self.engine.network(), k, weights, moved)?;
        self.engine.set_some(k, weights, moved, &mut self.record);
        Ok(())
    }
    fn read(&mut self, k: usize) -> Result<Vec<f32>, DeviceError> {
        let mut weights = self.engine.weights();
        if k >= weights.len() {
            return Err(DeviceError::Weights { projection: k, expected: 0, found: 0 });
        }
        Ok(weights.swap_remove(k))
    }
    fn costs(&self) -> &Costs {
        &self.costs
    }
}
