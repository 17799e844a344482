//! A population whose rates always sum to the same: winner-take-all without a circuit.

use crate::ArchError;
use snn_core::net::{Escape, Population, Transfer};
use snn_core::neuron::{Neuron, Visit};
use snn_core::{Network, Raster, Seed, Vars};
use snn_sparse::{Block, Costs, Device, DeviceError, Ideal, Record};

/// The software engine with one population whose neurons share a rate: of `total` spikes per second each has its part by softmax.
///
/// ```text
/// ρ_k = total·exp(u_k/width) / Σ_j exp(u_j/width)             over the neurons that are not refractory
/// ```
/// It is done by moving the threshold of all of them by as much before every step. The sum is taken over what the potentials will be but for
/// the spikes that arrive in the step: exact for models in which those act a step later only, as [`Psp`](snn_core::neuron::Psp). The ideal of
/// a winner-take-all circuit, to compare inhibition by neurons with.
///
/// The population needs exponential escape noise and a threshold `v_th` that is [trained](snn_core::net::Population::train), which is what
/// makes it movable. Cost: the constants of the population are derived anew, and a step of its neurons taken, at every step.
///
/// ```
/// use snn_arch::Softmax;
/// use snn_core::{Net, Seed, ms, neuron::Psp};
/// use snn_sparse::Device;
/// let rest = Psp::of_height_one(1e-3, 10e-3);
/// let net = Net::new(ms(1.0)).population("out", 50, rest).escape(1.0, 1.0).train(&["v_th"]).output("out").build(Seed::new(0))?;
/// let mut device = Softmax::new(&net, "out", 500.0)?;
/// device.begin(2000, Seed::new(1));
/// device.advance(2000, &[])?;
/// let spikes = device.spikes(0).len();                        // 1000 ± 32 in two seconds
/// assert!((850..1150).contains(&spikes), "{spikes}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Softmax {
    device: Ideal,
    population: usize,
    parameter: usize,
    escape: Escape,
    total: f64,
    start: Vec<Block<f32>>, // thresholds as described
    fired: Vec<usize>,      // by neuron: the step after its last spike
    reached: usize,
}

impl Softmax {
    /// The device whose population `name` fires `total` times per second.
    ///
    /// # Errors
    /// [`ArchError::Option`] if there is no such population with exponential escape noise and a trained `v_th`, or the total is not positive.
    pub fn new(network: &Network, name: &str, total: f64) -> Result<Self, ArchError> {
        let of = "Softmax";
        crate::error::check(total.is_finite() && total > 0.0, of, "total", total, "a positive rate")?;
        let populations = &network.draft().populations;
        let population = populations.iter().position(|p| p.name == name);
        let escape = population.and_then(|p| populations[p].escape).filter(|escape| escape.transfer == Transfer::Exponential);
        let device = Ideal::new(network);
        let thresholds = device.engine().parameters().iter();
        let parameter = thresholds.enumerate().find(|(_, p)| Some(p.population) == population && p.name == "v_th");
        let (Some(population), Some(escape), Some((parameter, thresholds))) = (population, escape, parameter) else {
            let wanted = "one with exponential escape noise and a trained `v_th`";
            return Err(ArchError::Option { of, name: "population", found: format!("`{name}`"), wanted });
        };
        let (start, fired) = (thresholds.values.clone(), vec![0; populations[population].size]);
        Ok(Softmax { device, population, parameter, escape, total, start, fired, reached: 0 })
    }

    /// Moves the thresholds so that the hazards of the next step sum to the total.
    fn divide(&mut self) -> Result<(), DeviceError> {
        let (network, p) = (self.device.network(), self.population);
        let (population, dt) = (&network.draft().populations[p], network.dt());
        let next = Next { population, p, dt, record: self.device.record(), fired: &self.fired, now: self.reached, escape: self.escape };
        let sum = population.model.visit(next);
        // Where all are refractory nobody fires wherever the threshold is.
        let shift = if sum > 0.0 { self.escape.width * (sum / self.total).ln() } else { 0.0 };
        let start = &self.start;
        let moved = |values: &mut [Block<f32>]| {
            values.iter_mut().zip(start).for_each(|(value, start)| (0..value.0.len()).for_each(|l| value.0[l] = start.0[l] + shift as f32));
        };
        let refuse = |e: snn_core::NetworkError| DeviceError::Refused { machine: "softmax", why: e.to_string() };
        self.device.engine_mut().set_parameter(self.parameter, moved).map_err(refuse)
    }
}

/// The sum of the hazards of a population in the step to come, with its thresholds as described and nothing arriving.
struct Next<'a> {
    population: &'a Population,
    p: usize,
    dt: f64,
    record: &'a Record<f32>,
    fired: &'a [usize],
    now: usize,
    escape: Escape,
}

impl Visit for Next<'_> {
    type Out = f64;
    fn visit<N: Neuron>(self, model: &N) -> f64 {
        let Next { population, p, dt, record, fired, now, escape } = self;
        let quiet = population.refractory_steps(dt);
        let free = (0..population.size).filter(|&j| fired[j] == 0 || now >= fired[j] + quiet);
        let hazard = |j: usize| {
            let state = record.traces[p].state(j);
            let last = f64::from(u8::from(fired[j] > 0 && fired[j] == now));
            let state = N::State::<f64>::from_fn(|k| f64::from(state[k]));
            escape.hazard(N::step(model.consts(j, dt), state, last, N::Inputs::from_fn(|_| population.current.at(j))).1)
        };
        free.map(hazard).sum()
    }
}

impl Device for Softmax {
    fn network(&self) -> &Network {
        self.device.network()
    }
    fn again(&self) -> Box<dyn Device> {
        let mut device = Ideal::new(self.network());
        let weights = self.device.engine().weights().into_iter().enumerate();
        weights.for_each(|(k, weights)| device.engine_mut().set_weights(k, &weights));
        Box::new(Softmax { device, start: self.start.clone(), fired: vec![0; self.fired.len()], reached: 0, ..*self })
    }
    fn begin(&mut self, steps: usize, trial: Seed) {
        self.fired.fill(0);
        self.reached = 0;
        self.device.begin(steps, trial);
    }
    fn advance(&mut self, until: usize, inputs: &[&Raster]) -> Result<(), DeviceError> {
        for t in self.reached..until {
            self.divide()?;
            self.device.advance(t + 1, inputs)?;
            self.reached = t + 1;
            self.device.spikes(self.population).at(t).iter().for_each(|&k| self.fired[k as usize] = t + 1);
        }
        Ok(())
    }
    fn spikes(&self, p: usize) -> &Raster {
        self.device.spikes(p)
    }
    fn output(&self, p: usize, t: usize, j: usize) -> Option<f64> {
        self.device.output(p, t, j)
    }
    fn chances(&self, p: usize, into: &mut Vec<f64>) -> bool {
        self.device.chances(p, into)
    }
    fn write(&mut self, k: usize, weights: &[f32]) -> Result<(), DeviceError> {
        self.device.write(k, weights)
    }
    fn write_some(&mut self, k: usize, weights: &[f32], moved: &[u32]) -> Result<(), DeviceError> {
        self.device.write_some(k, weights, moved)
    }
    fn read(&mut self, k: usize) -> Result<Vec<f32>, DeviceError> {
        self.device.read(k)
    }
    fn costs(&self) -> &Costs {
        self.device.costs()
    }
}
