//! A population whose rates always sum to the same: winner-take-all without a circuit.

use crate::ArchError;
use snn_core::net::Transfer;
use snn_core::{Network, Raster, Seed};
use snn_sparse::{Block, Costs, Device, DeviceError, Ideal};

/// The software engine with one population whose neurons share a rate: of `total` spikes per second each has its part by softmax.
///
/// ```text
/// ρ_k = total·exp(u_k/width) / Σ_j exp(u_j/width)             over the neurons that are not refractory
/// ```
/// It is done by moving the threshold of all of them by as much after every step, so the sum is that of the step before: right while
/// potentials move little within a step. The ideal of a winner-take-all circuit, to compare inhibition by neurons with.
///
/// The population needs exponential escape noise and a threshold `v_th` that is [trained](snn_core::net::Population::train), which is what
/// makes it movable. Cost: the constants of the population are derived anew at every step.
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
    width: f64,
    total: f64,
    start: Vec<Block<f32>>, // thresholds as described
    shift: f64,
    reached: usize,
    chances: Vec<f64>,
}

/// The largest hazard of a step that is told apart: its probability is 1 less than rounding.
const CERTAIN: f64 = 30.0;

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
        let mut device = Ideal::new(network);
        let thresholds = device.engine_mut().parameters().iter();
        let parameter = thresholds.enumerate().find(|(_, p)| Some(p.population) == population && p.name == "v_th");
        let (Some(population), Some(escape), Some((parameter, thresholds))) = (population, escape, parameter) else {
            let wanted = "one with exponential escape noise and a trained `v_th`";
            return Err(ArchError::Option { of, name: "population", found: format!("`{name}`"), wanted });
        };
        let (start, width) = (thresholds.values.clone(), escape.width);
        Ok(Softmax { device, population, parameter, width, total, start, shift: 0.0, reached: 0, chances: Vec::new() })
    }

    /// Moves the thresholds so that the hazards of the last step would have summed to the total.
    fn divide(&mut self) -> Result<(), DeviceError> {
        let wanted = self.total * self.device.network().dt();
        self.device.chances(self.population, &mut self.chances);
        let sum: f64 = self.chances.iter().map(|p| (-(-p).ln_1p()).min(CERTAIN)).sum();
        if sum > 0.0 {
            self.shift += self.width * (sum / wanted).ln();
        }
        self.set()
    }

    fn set(&mut self) -> Result<(), DeviceError> {
        let (start, shift) = (&self.start, self.shift as f32);
        let moved = |values: &mut [Block<f32>]| {
            values.iter_mut().zip(start).for_each(|(value, start)| (0..value.0.len()).for_each(|l| value.0[l] = start.0[l] + shift));
        };
        let refuse = |e: snn_core::NetworkError| DeviceError::Refused { machine: "softmax", why: e.to_string() };
        self.device.engine_mut().set_parameter(self.parameter, moved).map_err(refuse)
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
        Box::new(Softmax { device, start: self.start.clone(), chances: Vec::new(), shift: 0.0, reached: 0, ..*self })
    }
    fn begin(&mut self, steps: usize, trial: Seed) {
        (self.shift, self.reached) = (0.0, 0);
        self.device.begin(steps, trial);
    }
    fn advance(&mut self, until: usize, inputs: &[&Raster]) -> Result<(), DeviceError> {
        if self.reached == 0 {
            self.set()?;
        }
        for t in self.reached..until {
            self.device.advance(t + 1, inputs)?;
            self.divide()?;
            self.reached = t + 1;
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
