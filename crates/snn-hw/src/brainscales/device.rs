//! The wafer at work.

use super::BrainScales;
use super::plan::{Plan, normal};
use super::transport::{Road, Travel};
use snn_core::{Network, Raster, Seed};
use snn_sparse::{Clocked, Costs, Device, DeviceError, Link, Record, Sign, Wants};
use std::sync::Arc;

/// Chips with a network on them.
pub(super) struct Chips {
    machine: BrainScales,
    network: Network,
    plan: Arc<Plan>,
    engine: Clocked<f32>,
    record: Record<f32>,
    /// What each projection holds, in the order of the description, and how often it was written.
    held: Vec<Vec<f32>>,
    writes: Vec<u64>,
    steps: usize,
    /// By input: events on their way to the chip. By population: on their way back.
    there: Vec<Travel>,
    back: Vec<Travel>,
    costs: Costs,
}

impl Chips {
    pub fn new(machine: BrainScales, network: Network, plan: Plan) -> Self {
        let draft = network.draft();
        let weights = draft.projections.iter().map(|q| {
            let count = q.links.weights(network.size(&q.from), network.size(&q.to));
            q.weights.iter(count).collect::<Vec<f32>>()
        });
        let held: Vec<Vec<f32>> = weights.collect();
        let mut chips = Self::start(machine, network, Arc::new(plan));
        held.iter().enumerate().for_each(|(k, weights)| chips.set(k, weights));
        chips.begin_trial(0, Seed::new(0));
        chips
    }

    fn start(machine: BrainScales, network: Network, plan: Arc<Plan>) -> Self {
        let engine = Clocked::compile(&plan.network);
        let record = Record::new(&engine);
        let count = network.draft().projections.len();
        let (held, writes) = (vec![Vec::new(); count], vec![0; count]);
        let (there, back, costs) = (Vec::new(), Vec::new(), Costs::default());
        Chips { machine, network, plan, engine, record, held, writes, steps: 0, there, back, costs }
    }

    /// Holds what it can of these weights.
    fn set(&mut self, k: usize, weights: &[f32]) {
        let placed = &self.plan.placed[k];
        self.held[k] = if placed.host { weights.to_vec() } else { weights.iter().map(|&w| placed.scale.hold(w).0).collect() };
        self.writes[k] += 1;
        self.conduct(k);
    }

    /// Gives the engine what the held weights are worth after the last write.
    fn conduct(&mut self, k: usize) {
        let (placed, held) = (&self.plan.placed[k], &self.held[k]);
        let draft = self.network.draft();
        let rows = match self.machine.rewrite {
            0.0 => Vec::new(),
            std => {
                let mut rng = self.plan.writes.nth(k as u64).nth(self.writes[k]).rng();
                (0..self.network.size(&draft.projections[k].from)).map(|_| (1.0 + std * normal(&mut rng)).max(0.0)).collect()
            }
        };
        let worth = |w: f32, source: usize| placed.scale.worth(w, rows.get(source).copied().unwrap_or(1.0));
        let weights: Vec<f32> = match &placed.synapses[..] {
            [] if placed.host => held.clone(),
            [] => held.iter().map(|&w| worth(w, usize::MAX) as f32).collect(),
            synapses => synapses
                .iter()
                .map(|synapse| {
                    let w = held[synapse.weight as usize];
                    (worth(w, synapse.source as usize) * f64::from(synapse.factors[usize::from(w < 0.0)])) as f32
                })
                .collect(),
        };
        self.engine.set_weights(k, &weights);
    }

    fn begin_trial(&mut self, steps: usize, trial: Seed) {
        let (machine, draft) = (&self.machine, self.network.draft());
        let dt = self.network.dt();
        let there = Road {
            rate: machine.link_rate.map(|rate| rate * dt),
            buffer: machine.link_buffer,
            channels: machine.link_channels,
            jitter: machine.jitter / dt,
            values: machine.value_noise,
        };
        let back = Road { jitter: 0.0, ..there };
        let seed = |way: &str, k: usize| trial.child(way).nth(k as u64);
        let inputs = draft.inputs.iter().enumerate();
        self.there = inputs.map(|(k, input)| Travel::begin(there, input.size, steps, seed("to the chip", k))).collect();
        let populations = draft.populations.iter().enumerate();
        self.back = populations.map(|(p, q)| Travel::begin(back, q.size, steps, seed("from the chip", p))).collect();
        (self.steps, self.record.noise) = (steps, trial);
    }

    /// Lets steps `from..to` of the inputs set out.
    fn inject(&mut self, from: usize, to: usize, inputs: &[&Raster]) {
        for (travel, raster) in self.there.iter_mut().zip(inputs) {
            (from..to).for_each(|t| travel.take(t, raster));
        }
    }

    /// Lets what happened in steps `from..to` come back, and counts it.
    fn fetch(&mut self, from: usize, to: usize, before: (u64, u64)) {
        let mut events = 0;
        let arrived: Vec<&Raster> = self.there.iter().map(|travel| &travel.arrived).collect();
        // Of links that are held in two parts, one for each sign, one counts.
        let counts = |link: &&Link<f32>| !self.plan.placed[link.projection].host && link.sign != Some(Sign::Negative);
        for link in self.engine.links().iter().filter(counts) {
            let raster = link.from.spikes(&arrived, &self.record.spikes);
            events += (from..to).map(|t| link.store.fan_out(raster.at(t)) as u64).sum::<u64>();
        }
        let (mut spikes, mut lost) = (0, 0);
        for (travel, raster) in self.back.iter_mut().zip(&self.record.spikes) {
            let (sent, gone) = (travel.sent, travel.lost);
            (from..to).for_each(|t| travel.take(t, raster));
            (spikes, lost) = (spikes + travel.sent - sent, lost + travel.lost - gone);
        }
        let (sent, gone) = self.injected();
        let seconds = (to - from) as f64 * self.network.dt() / self.machine.speed_up;
        self.spend(seconds, "emulation ns");
        self.costs.spend("synaptic events", self.machine.event_joules * events as f64);
        let counts =
            [("injected", sent - before.0), ("lost at injection", gone - before.1), ("spikes", spikes), ("lost at recording", lost)];
        counts.into_iter().for_each(|(what, n)| self.costs.count(what, n));
        self.costs.count("recorded", spikes - lost);
        self.costs.count("synaptic events", events);
    }

    /// Events that have set out for the chip, and those that were lost on the way.
    fn injected(&self) -> (u64, u64) {
        self.there.iter().fold((0, 0), |(sent, lost), travel| (sent + travel.sent, lost + travel.lost))
    }

    /// Time passes, and the chips draw their power.
    fn spend(&mut self, seconds: f64, what: &'static str) {
        self.costs.seconds += seconds;
        self.costs.count(what, (seconds * 1e9).round() as u64);
        self.costs.spend("static", seconds * self.machine.chip_watts * self.plan.chips as f64);
    }
}

impl Device for Chips {
    fn network(&self) -> &Network {
        &self.network
    }
    fn again(&self) -> Box<dyn Device> {
        let mut other = Self::start(self.machine.clone(), self.network.clone(), Arc::clone(&self.plan));
        (other.held, other.writes) = (self.held.clone(), self.writes.clone());
        (0..other.held.len()).for_each(|k| other.conduct(k));
        other.begin_trial(0, Seed::new(0));
        Box::new(other)
    }
    fn begin(&mut self, steps: usize, trial: Seed) {
        self.begin_trial(steps, trial);
        self.engine.begin(steps, Wants::Spikes, &mut self.record);
        self.spend(self.machine.trial_overhead, "overhead ns");
    }
    fn advance(&mut self, until: usize, inputs: &[&Raster]) -> Result<(), DeviceError> {
        DeviceError::check_inputs(&self.network, self.steps, until, inputs)?;
        let (from, before) = (self.record.reached(), self.injected());
        if until > from {
            self.inject(from, until, inputs);
            let arrived: Vec<&Raster> = self.there.iter().map(|travel| &travel.arrived).collect();
            self.engine.advance(until, &arrived, &mut self.record);
            self.fetch(from, until, before);
        }
        Ok(())
    }
    fn run(&mut self, inputs: &[&Raster], trial: Seed) -> Result<(), DeviceError> {
        let steps = inputs.iter().map(|raster| raster.steps()).min().unwrap_or(0);
        DeviceError::check_inputs(&self.network, steps, steps, inputs)?;
        self.begin_trial(steps, trial);
        self.spend(self.machine.trial_overhead, "overhead ns");
        self.inject(0, steps, inputs);
        let arrived: Vec<&Raster> = self.there.iter().map(|travel| &travel.arrived).collect();
        self.engine.run_for(steps, &arrived, Wants::Spikes, &mut self.record);
        self.fetch(0, steps, (0, 0));
        Ok(())
    }
    fn spikes(&self, p: usize) -> &Raster {
        &self.back[p].arrived
    }
    fn output(&self, _: usize, _: usize, _: usize) -> Option<f64> {
        None
    }
    fn write(&mut self, k: usize, weights: &[f32]) -> Result<(), DeviceError> {
        DeviceError::check_weights(&self.network, k, weights)?;
        self.set(k, weights);
        self.spend(self.machine.write_overhead, "overhead ns");
        Ok(())
    }
    fn read(&mut self, k: usize) -> Result<Vec<f32>, DeviceError> {
        self.held.get(k).cloned().ok_or(DeviceError::Weights { projection: k, expected: 0, found: 0 })
    }
    fn costs(&self) -> &Costs {
        &self.costs
    }
}
