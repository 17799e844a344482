//! The chip at work: cores step by step, packets into ring buffers, and what it all takes.

use super::cells::{Cells, Fired, Number, cells};
use super::cost::{Arithmetic, DRAM_BYTE, DRAM_POWER, EVENT_CYCLES, PACKET_CYCLES, PAYLOAD_CYCLES};
use super::mapping::Slice;
use super::random::Kiss;
use super::weights::{Ring, Scale};
use super::{Dram, Spinnaker2};
use snn_core::net::Projection;
use snn_core::{Network, Raster, Real, Seed};
use snn_sparse::noise::Poisson;
use snn_sparse::{Costs, Device, DeviceError, Source};

/// A network on SpiNNaker 2.
pub(crate) struct Chip {
    machine: Spinnaker2,
    network: Network,
    seed: Seed,
    slices: Vec<Slice>,
    populations: Vec<Group>,
    projections: Vec<Fan>,
    random: Vec<Kiss>, // by core
    steps: usize,
    reached: usize,
    costs: Costs,
    tally: Tally,
}

/// A population: its neurons, what they hear, what they did.
struct Group {
    cells: Box<dyn Cells>,
    input: Vec<Number>,
    spikes: Raster,
    output: Vec<Number>, // [step][unit] of a readout
    drives: Vec<(Poisson, Number)>,
    fired: Fired,
    valued: bool, // whether packets carry values
}

/// A projection: links by source, and the ring buffer they write to.
struct Fan {
    from: Source,
    to: usize,
    ends: Vec<u32>,
    links: Vec<Link>,
    weights: Vec<i16>,
    scale: Scale,
    ring: Ring,
    slices: usize,
    fan_out: Vec<u32>, // [source][slice of the target]
}

#[derive(Clone, Copy)]
struct Link {
    target: u32,
    weight: u32,
    delay: u32,
}

/// What some steps took, before it is booked.
#[derive(Default)]
struct Tally {
    events: Vec<u64>,   // by core, of one step
    payloads: Vec<u64>, // those of them with values
    spikes: u64,
    synaptic: u64,
    saturated: u64,
    late: u64,
    cycles: f64,
    bytes: f64,
    seconds: f64,
}

impl Fan {
    fn new(machine: &Spinnaker2, network: &Network, p: &Projection, from: Source, to: usize, slices: &[Slice]) -> Self {
        let (sources, targets) = (network.size(&p.from), network.size(&p.to));
        let least = u32::from(matches!(from, Source::Population(_)));
        let valued = |q: usize| network.draft().populations[q].model.output().has_values();
        let wide = matches!(from, Source::Population(q) if valued(q));
        let largest = machine.largest_weight;
        let scale = if wide { Scale::fine(largest, p.weights.given()) } else { Scale::new(largest, p.weights.given()) };
        let mut fan = Fan {
            from,
            to,
            ends: vec![0; sources + 1],
            links: Vec::with_capacity(p.links.count(sources, targets)),
            weights: Vec::new(),
            scale,
            ring: if wide { Ring::wide(targets, scale) } else { Ring::narrow(targets, scale) },
            slices: slices.len(),
            fan_out: vec![0; sources * slices.len()],
        };
        fan.weights = p.weights.iter(p.links.weights(sources, targets)).map(|w| fan.scale.raw(w)).collect();
        for (n, (i, j, weight)) in p.links.triplets(sources, targets).enumerate() {
            let delay = p.delay_steps(if p.delay.given().len() > 1 { n } else { 0 }, network.dt()) as u32;
            fan.links.push(Link { target: j as u32, weight: weight as u32, delay: delay.max(least) });
            fan.ends[i + 1] = fan.links.len() as u32;
            let slice = slices.iter().position(|s| s.population == to && s.neurons.contains(&j));
            fan.fan_out[i * slices.len() + slice.unwrap_or(0)] += 1;
        }
        (0..sources).for_each(|i| fan.ends[i + 1] = fan.ends[i + 1].max(fan.ends[i]));
        fan
    }

    /// Sends the packets of step `t`; with values, if there are any.
    fn send(&mut self, t: usize, fired: &[u32], values: &[Number], tally: &mut Tally) {
        for (n, &i) in fired.iter().enumerate() {
            let (i, value) = (i as usize, values.get(n));
            for link in &self.links[self.ends[i] as usize..self.ends[i + 1] as usize] {
                let (at, weight) = (t + link.delay as usize, self.weights[link.weight as usize]);
                let over = match value {
                    None => self.ring.add(at, link.target, weight),
                    Some(&value) => self.ring.add_value(at, link.target, weight, value),
                };
                tally.saturated += u64::from(over);
            }
            let fan_out = &self.fan_out[i * self.slices..][..self.slices];
            tally.events.iter_mut().zip(fan_out).for_each(|(events, &n)| *events += u64::from(n));
            if value.is_some() {
                tally.payloads.iter_mut().zip(fan_out).for_each(|(payloads, &n)| *payloads += u64::from(n));
            }
        }
    }
}

impl Chip {
    pub(crate) fn new(machine: &Spinnaker2, network: &Network, slices: Vec<Slice>, seed: Seed) -> Self {
        let draft = network.draft();
        let group = |p: &snn_core::net::Population| Group {
            cells: cells(p, network.dt(), machine.exp_iterations),
            input: vec![Number::of(0.0); p.size],
            spikes: Raster::new(p.size, 0),
            output: Vec::new(),
            drives: (draft.drives.iter())
                .filter(|d| d.to == p.name)
                .map(|d| (Poisson::new(d.rate * network.dt()), Number::of(d.weight.into())))
                .collect(),
            fired: Fired::default(),
            valued: p.model.output().has_values(),
        };
        let place = |name: &str| draft.populations.iter().position(|p| p.name == name);
        let fans = draft.projections.iter().filter_map(|p| {
            let input = || draft.inputs.iter().position(|i| i.name == p.from).map(Source::Input);
            let from = place(&p.from).map(Source::Population).or_else(input)?;
            Some(Fan::new(machine, network, p, from, place(&p.to)?, &slices))
        });
        Chip {
            populations: draft.populations.iter().map(group).collect(),
            projections: fans.collect(),
            machine: machine.clone(),
            network: network.clone(),
            seed,
            random: Vec::new(),
            steps: 0,
            reached: 0,
            costs: Costs::default(),
            tally: Tally { events: vec![0; slices.len()], payloads: vec![0; slices.len()], ..Tally::default() },
            slices,
        }
    }

    /// One step: what the inputs send is heard in it, what the neurons send in the next at the earliest.
    fn step(&mut self, t: usize, inputs: &[&Raster]) {
        self.tally.events.fill(0);
        self.tally.payloads.fill(0);
        for fan in &mut self.projections {
            if let Source::Input(i) = fan.from {
                let values: Vec<Number> = inputs[i].values_at(t).iter().map(|&x| Number::of(x)).collect();
                fan.send(t, inputs[i].at(t), &values, &mut self.tally);
            }
        }
        for fan in &mut self.projections {
            fan.ring.hear(t, &mut self.populations[fan.to].input);
        }
        for (core, slice) in self.slices.iter().enumerate() {
            let Group { cells, input, drives, fired, .. } = &mut self.populations[slice.population];
            let random = &mut self.random[core];
            for (counts, weight) in drives {
                for j in slice.neurons.clone() {
                    let events = counts.draw(|| random.bits());
                    (0..events).for_each(|_| input[j] += *weight);
                }
            }
            cells.step(t, slice.neurons.clone(), input, random, fired);
        }
        for group in &mut self.populations {
            group.input.fill(Number::of(0.0));
            if !group.valued {
                group.spikes.push_step(t, |units| units.extend_from_slice(&group.fired.units));
            } else {
                group.spikes.push_values(t, |units, values| {
                    units.extend_from_slice(&group.fired.units);
                    values.extend(group.fired.values.iter().map(|x| x.value()));
                });
            }
            group.output.extend_from_slice(group.cells.output());
        }
        for fan in &mut self.projections {
            if let Source::Population(p) = fan.from {
                let Fired { units, values } = &self.populations[p].fired;
                fan.send(t, units, values, &mut self.tally);
            }
        }
        self.account();
        for group in &mut self.populations {
            group.fired.units.clear();
            group.fired.values.clear();
        }
    }

    /// Adds up what the step took.
    fn account(&mut self) {
        let Chip { machine, slices, populations, tally, network, .. } = self;
        let (mut busiest, clock, each) = (0.0f64, machine.level.clock(), machine.link_bytes() as f64);
        for (slice, (&events, &payloads)) in slices.iter().zip(tally.events.iter().zip(&tally.payloads)) {
            let spikes =
                populations[slice.population].fired.units.iter().filter(|&&j| slice.neurons.contains(&(j as usize))).count() as u64;
            let cycles = slice.cycles + (events * EVENT_CYCLES + payloads * PAYLOAD_CYCLES + spikes * PACKET_CYCLES) as f64;
            busiest = busiest.max(cycles);
            tally.cycles += cycles;
            tally.synaptic += events;
            tally.spikes += spikes;
            if slice.spilled {
                // Rows are read for events; plastic links are read and written back at every update.
                tally.bytes += events as f64 * each + 2.0 * slice.links as f64 * each * machine.updates(network.dt());
            }
        }
        let (seconds, dt) = (busiest / clock, network.dt());
        tally.late += u64::from(seconds > dt);
        tally.seconds += seconds.max(dt);
    }

    /// Books what the last steps took.
    fn book(&mut self) {
        let tally = std::mem::take(&mut self.tally);
        let (level, cores, costs) = (self.machine.level, self.slices.len() as f64, &mut self.costs);
        costs.seconds += tally.seconds;
        costs.spend("processing", tally.cycles * level.cycle());
        costs.spend("leakage", tally.seconds * level.leakage() * cores);
        if self.machine.dram != Dram::None {
            costs.spend("external memory", tally.bytes * DRAM_BYTE + tally.seconds * DRAM_POWER);
        }
        costs.count("spikes", tally.spikes);
        costs.count("synaptic events", tally.synaptic);
        costs.count("additions that saturated", tally.saturated);
        costs.count("steps not in real time", tally.late);
        costs.count("cycles", tally.cycles as u64);
        (self.tally.events, self.tally.payloads) = (tally.events, tally.payloads);
    }
}

impl Device for Chip {
    fn network(&self) -> &Network {
        &self.network
    }
    fn again(&self) -> Box<dyn Device> {
        let mut other = Chip::new(&self.machine, &self.network, self.slices.clone(), self.seed);
        other.projections.iter_mut().zip(&self.projections).for_each(|(to, from)| to.weights.clone_from(&from.weights));
        Box::new(other)
    }
    fn begin(&mut self, steps: usize, trial: Seed) {
        (self.steps, self.reached) = (steps, 0);
        let seed = self.seed.nth(trial.value());
        self.random = (0..self.slices.len()).map(|core| Kiss::new(seed.nth(core as u64))).collect();
        for group in &mut self.populations {
            group.cells.rest();
            group.input.fill(Number::of(0.0));
            group.spikes.reset(group.input.len(), steps);
            group.output.clear();
        }
        self.projections.iter_mut().for_each(|fan| fan.ring.clear());
    }
    fn advance(&mut self, until: usize, inputs: &[&Raster]) -> Result<(), DeviceError> {
        DeviceError::check_inputs(&self.network, self.steps, until, inputs)?;
        for t in self.reached..until {
            self.step(t, inputs);
        }
        self.reached = self.reached.max(until);
        self.book();
        Ok(())
    }
    fn spikes(&self, p: usize) -> &Raster {
        &self.populations[p].spikes
    }
    fn output(&self, p: usize, t: usize, j: usize) -> Option<f64> {
        let Group { output, input, .. } = &self.populations[p];
        output.get(t * input.len() + j).map(|y| y.value())
    }
    fn chances(&self, p: usize, into: &mut Vec<f64>) -> bool {
        into.clear();
        into.extend(self.populations[p].cells.chances().iter().map(|p| p.value()));
        !into.is_empty()
    }
    fn write(&mut self, k: usize, weights: &[f32]) -> Result<(), DeviceError> {
        DeviceError::check_weights(&self.network, k, weights)?;
        let fan = &mut self.projections[k];
        self.costs.count("weights clipped", weights.iter().filter(|&&w| fan.scale.clips(w)).count() as u64);
        fan.weights.iter_mut().zip(weights).for_each(|(to, &w)| *to = fan.scale.raw(w));
        Ok(())
    }
    fn write_some(&mut self, k: usize, weights: &[f32], moved: &[u32]) -> Result<(), DeviceError> {
        DeviceError::check_some(&self.network, k, weights, moved)?;
        let fan = &mut self.projections[k];
        let moved = || moved.iter().map(|&index| index as usize);
        self.costs.count("weights clipped", moved().filter(|&index| fan.scale.clips(weights[index])).count() as u64);
        moved().for_each(|index| fan.weights[index] = fan.scale.raw(weights[index]));
        Ok(())
    }
    fn read(&mut self, k: usize) -> Result<Vec<f32>, DeviceError> {
        let fan = self.projections.get(k).ok_or(DeviceError::Weights { projection: k, expected: 0, found: 0 })?;
        Ok(fan.weights.iter().map(|&raw| fan.scale.weight(raw)).collect())
    }
    fn costs(&self) -> &Costs {
        &self.costs
    }
}

/// What plastic links would take with these settings, without running anything.
impl Spinnaker2 {
    /// Updates of a plastic link per step; 0 if links are not plastic.
    pub(crate) fn updates(&self, dt: f64) -> f64 {
        self.plastic.map_or(0.0, |plastic| dt / plastic.interval)
    }
    /// Cycles of a plastic link per step.
    pub(crate) fn plastic_cycles(&self, dt: f64) -> f64 {
        let copies = self.plastic.map_or(0, |plastic| plastic.copies) as f64;
        self.updates(dt) * copies * Arithmetic::new(self.accelerators).plastic() as f64
    }
}
