//! A device with a network on it: the network as built on the software engine, with weights of integers.

use super::pattern::Pattern;
use super::place::{self, Layout, Row, Synapse};
use super::sensor::Sensors;
use super::{ACCELERATION, Dls, OPERATION, Ppu, Program, ROUND_TRIP, ROW_WRITE};
use snn_core::net::{Drive, Links};
use snn_core::neuron::{Model, Reset};
use snn_core::{Network, NetworkError, Raster, Seed, Value};
use snn_sparse::{Costs, Device, DeviceError, Ideal};

/// One HICANN-DLS with a network on it. It is built by [`Dls::device`].
///
/// Weights live as integers in the synapses. The engine runs the network as built: with the device's thresholds, time constants and gains in the place of the described
/// ones. A trial begins with cleared sensors.
///
/// ```
/// # use snn_core::{Net, Raster, Seed, ms, net::{Connect, Init}, neuron::{Lif, Reset}};
/// # use snn_hw::dls::{Dls, Ppu};
/// # use snn_sparse::Device;
/// let net = Net::new(ms(1.0)).input("in", 1).population("a", 1, Lif { reset: Reset::To(0.0), ..Lif::default() })
///     .project("in", "a", Connect::All, Init::Constant(1.5)).output("a").build(Seed::new(0))?;
/// let mut device = Dls::default().device(&net, Seed::new(3))?;
/// let mut input = Raster::new(1, 5);
/// input.fill([(2, 0)]);
/// device.run(&[&input], Seed::new(7))?;
/// device.plasticity(&mut |ppu: &mut Ppu| {
///     let seen = ppu.causal(0, 0);                            // one pair without delay: about 36
///     ppu.write(0, 0, i16::from(seen > 10) * 21);
/// });
/// assert_eq!(device.read(0)?, [0.5]);                         // 21 of 63
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct DlsDevice {
    network: Network,
    layout: Layout,
    pattern: Pattern,
    ppu: Ppu,
    sensors: Sensors,
    inner: Inner,
    trial: Seed,
    programs: u64,
    seen: usize,
    own: Costs,
    costs: Costs,
}

/// The engine; a clone is the same at rest.
struct Inner(Ideal);

impl Clone for Inner {
    fn clone(&self) -> Self {
        Inner(Ideal::new(self.0.network()))
    }
}

impl DlsDevice {
    pub(super) fn new(of: Dls, network: &Network, layout: Layout, device: Seed) -> Result<Self, NetworkError> {
        let pattern = Pattern::new(&of.mismatch, device);
        let mut ppu = Ppu::new(1);
        for (p, synapses) in network.draft().projections.iter().zip(&layout.synapses) {
            synapses
                .iter()
                .for_each(|s| ppu.weights[s.row][s.neuron] = whole(&layout, network, p.to.as_str(), s, p.weights.at(s.weight)).0);
        }
        let inner = Inner(Ideal::new(&as_built(&of, network, &layout, &pattern)?));
        let mut new = DlsDevice {
            network: network.clone(),
            layout,
            pattern,
            ppu,
            sensors: Sensors::new(of.sensor),
            inner,
            trial: Seed::new(0),
            programs: 0,
            seen: 0,
            own: Costs::default(),
            costs: Costs::default(),
        };
        new.load();
        Ok(new)
    }

    /// Runs a program on the plasticity processor: it sees the sensors as they are now, and its weights hold from the next step on. No host takes part.
    pub fn plasticity(&mut self, program: &mut (impl Program + ?Sized)) {
        let seed = self.trial.child("plasticity").nth(self.programs);
        self.programs += 1;
        let Ppu { operations, written, .. } = self.ppu;
        self.sensors.read(&mut self.ppu.causal, &mut self.ppu.counts, seed.child("reading"));
        self.ppu.seed(seed.value() as u32);
        program.run(&mut self.ppu);
        if std::mem::take(&mut self.ppu.cleared) {
            self.sensors.clear();
        }
        let (operations, written) = (self.ppu.operations - operations, self.ppu.written - written);
        self.own.count("processor operations", operations);
        self.own.count("weight writes", written);
        self.own.seconds += operations as f64 * OPERATION;
        if written > 0 {
            self.load();
        }
        self.settle();
    }

    /// The row and the neuron of link `l` of projection `k`, in the order of its links: where a program finds it.
    pub fn synapse(&self, k: usize, l: usize) -> Option<(usize, usize)> {
        self.layout.synapses.get(k)?.get(l).map(|s| (s.row, s.neuron))
    }

    /// The integers of projection `k`, by link.
    pub fn integers(&self, k: usize) -> Vec<u8> {
        self.layout.synapses.get(k).map_or(Vec::new(), |list| list.iter().map(|s| self.ppu.peek(s.row, s.neuron)).collect())
    }

    /// Hands the weights of the synapses to the engine.
    fn load(&mut self) {
        for (k, p) in self.network.draft().projections.iter().enumerate() {
            let lsb = lsb(&self.layout, &self.network, &p.to);
            let weight = |s: &Synapse| {
                let sign = if self.layout.rows[s.row].negative { -1.0 } else { 1.0 };
                let factor = self.pattern.gain[s.neuron] * self.pattern.synapse[s.row][s.neuron];
                (sign * f64::from(self.ppu.weights[s.row][s.neuron]) * lsb * factor) as f32
            };
            let weights: Vec<f32> = self.layout.synapses[k].iter().map(weight).collect();
            let written = self.inner.0.write(k, &weights);
            debug_assert!(written.is_ok(), "the network as built has these links");
        }
    }

    /// All costs: those of the engine in the chip's time, and our own.
    fn settle(&mut self) {
        let run = self.inner.0.costs();
        self.costs = self.own.clone();
        self.costs.seconds += run.seconds / ACCELERATION;
        run.counts.iter().for_each(|(what, n)| self.costs.count(what, *n));
    }

    /// Shows the sensors what has happened up to `until`.
    fn sense(&mut self, until: usize, inputs: &[&Raster]) {
        let populations = 0..self.network.draft().populations.len();
        let sources: Vec<&Raster> = inputs.iter().copied().chain(populations.map(|p| self.inner.0.spikes(p))).collect();
        for t in self.seen..until {
            self.sensors.step(t, self.network.dt(), &self.layout, &self.pattern, &sources, inputs.len());
        }
        self.seen = self.seen.max(until);
    }

    fn rest(&mut self, trial: Seed) {
        (self.trial, self.programs, self.seen) = (trial, 0, 0);
        self.sensors.begin();
        self.own.seconds += ROUND_TRIP;
    }
}

/// The rows carry spikes, no values.
fn spikes_only(inputs: &[&Raster]) -> Result<(), DeviceError> {
    match inputs.iter().position(|raster| raster.is_graded()) {
        Some(k) => Err(DeviceError::Refused { machine: place::NAME, why: format!("input {k} has events with values; give spikes") }),
        None => Ok(()),
    }
}

/// The weight of 1 into a population.
fn lsb(layout: &Layout, network: &Network, to: &str) -> f64 {
    network.draft().populations.iter().position(|p| p.name == to).map_or(1.0, |p| layout.lsb[p])
}

/// The integer of a weight, and whether it was cut off.
fn whole(layout: &Layout, network: &Network, to: &str, synapse: &Synapse, weight: f32) -> (u8, bool) {
    let Row { negative, .. } = layout.rows[synapse.row];
    place::integer(weight, negative, lsb(layout, network, to))
}

/// The network with the device's numbers in the place of the described ones. All links are listed, weights come later.
fn as_built(of: &Dls, network: &Network, layout: &Layout, pattern: &Pattern) -> Result<Network, NetworkError> {
    let mut draft = network.draft().clone();
    for (p, first) in draft.populations.iter_mut().zip(&layout.first) {
        let each = |value: &Value, factor: &[f64]| match factor.iter().all(|f| *f == 1.0) {
            true => value.clone(),
            false => Value::Each((0..p.size).map(|j| value.at(j) * factor[first + j]).collect()),
        };
        let mut noise = 0.0;
        match &mut p.model {
            Model::Lif(lif) => {
                (lif.tau, lif.v_th) = (each(&lif.tau, &pattern.tau), each(&lif.v_th, &pattern.threshold));
                if lif.reset == Reset::Subtract {
                    (lif.reset, lif.reset_grad) = (Reset::To(0.0), 0.0.into());
                }
                noise = of.noise * lif.v_th.iter(p.size).sum::<f64>() / p.size as f64;
            }
            Model::Li(li) => li.tau = each(&li.tau, &pattern.tau),
            _ => {}
        }
        if noise > 0.0 {
            // Half an event a step of each sign: a variance of noise².
            let drive = |weight: f64| Drive { to: p.name.clone(), rate: 0.5 / draft.dt, weight: weight as f32 };
            draft.drives.extend([drive(noise), drive(-noise)]);
        }
    }
    for p in &mut draft.projections {
        let (sources, targets) = (network.size(&p.from), network.size(&p.to));
        if p.links != Links::All {
            let mut ends = vec![0; sources + 1];
            let triplets: Vec<(usize, usize, usize)> = p.links.triplets(sources, targets).collect();
            triplets.iter().for_each(|(i, ..)| ends[i + 1] += 1);
            (0..sources).for_each(|i| ends[i + 1] += ends[i]);
            p.links = Links::Csr { ends, targets: triplets.iter().map(|(_, j, _)| *j as u32).collect() };
        }
        p.weights = Value::Each(vec![0.0; p.links.weights(sources, targets)]);
    }
    draft.try_into()
}

impl Device for DlsDevice {
    fn network(&self) -> &Network {
        &self.network
    }
    fn again(&self) -> Box<dyn Device> {
        let mut other = self.clone();
        (other.own, other.costs) = (Costs::default(), Costs::default());
        other.sensors.begin();
        other.load();
        Box::new(other)
    }
    fn begin(&mut self, steps: usize, trial: Seed) {
        self.rest(trial);
        self.inner.0.begin(steps, trial);
        self.settle();
    }
    fn advance(&mut self, until: usize, inputs: &[&Raster]) -> Result<(), DeviceError> {
        spikes_only(inputs)?;
        self.inner.0.advance(until, inputs)?;
        self.sense(until, inputs);
        self.settle();
        Ok(())
    }
    fn run(&mut self, inputs: &[&Raster], trial: Seed) -> Result<(), DeviceError> {
        spikes_only(inputs)?;
        self.inner.0.run(inputs, trial)?;
        self.rest(trial);
        self.sense(inputs.iter().map(|raster| raster.steps()).min().unwrap_or(0), inputs);
        self.settle();
        Ok(())
    }
    fn spikes(&self, p: usize) -> &Raster {
        self.inner.0.spikes(p)
    }
    fn output(&self, p: usize, t: usize, j: usize) -> Option<f64> {
        self.inner.0.output(p, t, j)
    }
    fn write(&mut self, k: usize, weights: &[f32]) -> Result<(), DeviceError> {
        DeviceError::check_weights(&self.network, k, weights)?;
        let to = &self.network.draft().projections[k].to;
        let mut rows = [false; super::ROWS];
        let mut clipped = 0;
        for s in &self.layout.synapses[k] {
            let (int, cut) = whole(&self.layout, &self.network, to, s, weights[s.weight]);
            self.ppu.weights[s.row][s.neuron] = int;
            rows[s.row] = true;
            clipped += u64::from(cut);
        }
        self.own.count("weight writes", self.layout.synapses[k].len() as u64);
        self.own.count("clipped weights", clipped);
        self.own.seconds += rows.iter().filter(|used| **used).count() as f64 * ROW_WRITE;
        self.load();
        self.settle();
        Ok(())
    }
    fn read(&mut self, k: usize) -> Result<Vec<f32>, DeviceError> {
        let Some(p) = self.network.draft().projections.get(k) else {
            return Err(DeviceError::Weights { projection: k, expected: 0, found: 0 });
        };
        let mut weights = vec![0.0; p.links.weights(self.network.size(&p.from), self.network.size(&p.to))];
        for s in &self.layout.synapses[k] {
            let sign = if self.layout.rows[s.row].negative { -1.0 } else { 1.0 };
            weights[s.weight] = (sign * f64::from(self.ppu.peek(s.row, s.neuron)) * lsb(&self.layout, &self.network, &p.to)) as f32;
        }
        Ok(weights)
    }
    fn costs(&self) -> &Costs {
        &self.costs
    }
}
