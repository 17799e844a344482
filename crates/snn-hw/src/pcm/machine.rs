use super::array::{Array, Wires, refused};
use super::physics::{G_MIN, T0};
use super::{PcmError, Physics};
use crate::machine::Machine;
use crate::report::{Finding, Kind, MapError, Place, Report};
use snn_core::net::Projection;
use snn_core::{Network, Raster, Seed};
use snn_sparse::{Costs, Device, DeviceError, Ideal};

/// Rows, and columns, of a tile `[ours]`.
pub const TILE: usize = 256;

/// Crossbars of phase-change devices: any network, its weights written by pulses and read by spikes. The neurons are digital.
///
/// Every projection has crossbars of its own, and its largest weight takes `full` µS. What remains after writing of a weight's error, and every read's noise, is on
/// the network; the neurons and delays are those of the description.
///
/// | field | meaning | default |
/// |---|---|---|
/// | `physics` | the devices | noise and drift, Gmax = 12 µS |
/// | `pairs` | devices on each side of a synapse | 1 |
/// | `full` | conductance of the largest weight (µS) | 8 `[ours]` |
/// | `limit` | largest weight that is kept; `None`: the largest of the projection | none |
/// | `tolerance` | error of a weight above which it is written anew (µS) | 0.5 `[ours]` |
/// | `attempts` | how often, at most | 8 `[ours]` |
/// | `age` | time from the end of writing to the first trial (s) | 38.6 |
///
/// Source: Demirag et al. 2021 (arXiv 2108.01804) for the devices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pcm {
    /// The devices.
    pub physics: Physics,
    /// Devices on each side of a synapse.
    pub pairs: usize,
    /// Conductance of the largest weight (µS).
    pub full: f64,
    /// Largest weight that is kept.
    pub limit: Option<f64>,
    /// Error above which a weight is written anew (µS).
    pub tolerance: f64,
    /// How often a weight is written at most.
    pub attempts: usize,
    /// Seconds from the end of writing to the first trial.
    pub age: f64,
}

impl Default for Pcm {
    fn default() -> Self {
        Pcm { physics: Physics::default(), pairs: 1, full: 8.0, limit: None, tolerance: 0.5, attempts: 8, age: T0 }
    }
}

impl Pcm {
    /// The network on the device of this seed, as itself: with a clock to set forward.
    ///
    /// ```
    /// use snn_core::{Net, Seed, ms, net::{Connect, Init}, neuron::Lif};
    /// use snn_hw::Pcm;
    /// use snn_sparse::Device;
    /// let net = Net::new(ms(1.0)).input("in", 4).population("a", 3, Lif::default())
    ///     .project("in", "a", Connect::All, Init::normal(1.0)).output("a").build(Seed::new(0))?;
    /// let mut device = Pcm::default().device(&net, Seed::new(1))?;
    /// assert!(device.costs().counts["SET pulses"] > 0 && device.costs().energy() > 0.0);
    /// device.wait(1e4);                                              // almost three hours later every weight has lost a fifth
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If the network cannot be there, or a setting is impossible.
    pub fn device(&self, network: &Network, seed: Seed) -> Result<PcmDevice, PcmError> {
        for (name, value) in [("full", self.full), ("tolerance", self.tolerance), ("age", self.age), ("limit", self.limit.unwrap_or(1.0))] {
            super::positive(name, value)?;
        }
        if self.full > f64::from(self.physics.g_max - G_MIN) {
            return Err(PcmError::Parameter { name: "full", value: self.full, wanted: "at most Gmax - 0.1 µS" });
        }
        let units = network.draft().projections.iter().map(|p| self.unit(p)).collect();
        let wires = Wires { physics: self.physics, pairs: self.pairs, scale: self.full };
        let array = Array::new(network, wires, units, seed)?;
        let mut device =
            PcmDevice { machine: *self, ideal: Ideal::new(network), array, written: Costs::default(), costs: Costs::default() };
        for (k, p) in network.draft().projections.iter().enumerate() {
            let count = device.array.bars[k].synapses();
            device.program(k, &p.weights.iter(count).collect::<Vec<_>>());
        }
        device.array.now = T0 + self.age;
        device.array.publish(device.ideal.engine_mut());
        device.account();
        Ok(device)
    }

    /// The weight that takes `full` µS.
    fn unit(&self, p: &Projection) -> f64 {
        let largest = p.weights.given().iter().fold(0.0f64, |most, w| most.max(f64::from(w.abs())));
        let kept = self.limit.unwrap_or(largest);
        if kept > 0.0 { kept } else { 1.0 }
    }
}

impl Machine for Pcm {
    fn name(&self) -> &'static str {
        "pcm"
    }
    fn about(&self) -> &'static str {
        "crossbars of phase-change devices: weights written by pulses, noisy and drifting reads"
    }
    fn map(&self, network: &Network, _: Seed) -> Report {
        let mut report = refused(Report::new(self.name(), network), network);
        let mut tiles = 0;
        for p in &network.draft().projections {
            let (n, m) = (network.size(&p.from), network.size(&p.to));
            tiles += n.div_ceil(TILE) * (2 * self.pairs * m).div_ceil(TILE);
            let (unit, place) = (self.unit(p), || Place::projection(p));
            let count = p.links.weights(n, m);
            let beyond = p.weights.iter(count).filter(|w| f64::from(w.abs()) > unit).count();
            if beyond > 0 {
                report.find(Kind::Clipped, place(), beyond as f64 / count as f64, format!("weights beyond {unit} are cut off there"));
            }
            let per = unit / self.full;
            let found = match self.physics.bits {
                Some(_) => format!("a weight of {unit} is {} µS; steps of {:.2e}", self.full, f64::from(self.physics.step()) * per),
                None => format!(
                    "a weight of {unit} is {} µS; written to within {:.2e} where pulses allow it, read with a noise of {:.2e} or more, drifting with time",
                    self.full,
                    self.tolerance * per,
                    0.13 * per * f64::sqrt(2.0 / self.pairs.max(1) as f64),
                ),
            };
            report.find(Kind::Quantised, place(), 1.0, found);
        }
        report.resource("tiles", tiles as f64, None, "");
        report.resource("devices", (2 * self.pairs * network.links()) as f64, None, "");
        report.seconds_per_second = Some(1.0);
        report
    }
    fn build(&self, network: &Network, device: Seed) -> Result<Box<dyn Device>, MapError> {
        match self.device(network, device) {
            Ok(device) => Ok(Box::new(device)),
            Err(PcmError::Map(error)) => Err(error),
            Err(other) => {
                let finding = Finding { place: Place::Network, kind: Kind::Refused, what: other.to_string(), share: 1.0 };
                Err(MapError { machine: self.name(), refused: vec![finding] })
            }
        }
    }
}

/// A network on crossbars of phase-change devices. The clock of the devices stands still but for [`wait`](PcmDevice::wait).
pub struct PcmDevice {
    machine: Pcm,
    ideal: Ideal,
    array: Array,
    written: Costs, // what the devices had cost when this was made of another
    costs: Costs,
}

impl PcmDevice {
    /// Lets so many seconds pass for the devices.
    pub fn wait(&mut self, seconds: f64) {
        self.array.now += seconds.max(0.0);
        self.array.publish(self.ideal.engine_mut());
    }

    /// Writes the weights of projection `k`.
    fn program(&mut self, k: usize, weights: &[f32]) {
        let (bar, unit, now) = (&mut self.array.bars[k], self.array.units[k] as f32, self.array.now);
        for (synapse, w) in weights.iter().enumerate() {
            let weight = (w / unit).clamp(-1.0, 1.0);
            bar.program(synapse, weight, self.machine.tolerance as f32, self.machine.attempts, now);
        }
    }

    /// Adds up what the neurons and the devices have cost.
    fn account(&mut self) {
        self.costs = self.ideal.costs().clone();
        for (what, count) in self.array.costs().counts {
            self.costs.count(what, count - self.written.counted(what));
        }
        for (part, joules) in self.array.costs().joules {
            self.costs.spend(part, joules - self.written.spent(part));
        }
    }
}

impl Device for PcmDevice {
    fn network(&self) -> &Network {
        self.ideal.network()
    }
    fn again(&self) -> Box<dyn Device> {
        let (mut array, mut ideal) = (self.array.copy(), Ideal::new(self.ideal.network()));
        array.publish(ideal.engine_mut());
        let written = array.costs();
        let mut again = PcmDevice { machine: self.machine, ideal, array, written, costs: Costs::default() };
        again.account();
        Box::new(again)
    }
    fn begin(&mut self, steps: usize, trial: Seed) {
        self.ideal.begin(steps, trial);
    }
    fn advance(&mut self, until: usize, inputs: &[&Raster]) -> Result<(), DeviceError> {
        self.ideal.advance(until, inputs)?;
        self.account();
        Ok(())
    }
    fn run(&mut self, inputs: &[&Raster], trial: Seed) -> Result<(), DeviceError> {
        self.ideal.run(inputs, trial)?;
        self.account();
        Ok(())
    }
    fn spikes(&self, p: usize) -> &Raster {
        self.ideal.spikes(p)
    }
    fn output(&self, p: usize, t: usize, j: usize) -> Option<f64> {
        self.ideal.output(p, t, j)
    }
    fn write(&mut self, k: usize, weights: &[f32]) -> Result<(), DeviceError> {
        DeviceError::check_weights(self.ideal.network(), k, weights)?;
        self.program(k, weights);
        self.array.now += T0; // the last pulse is read back
        self.array.publish(self.ideal.engine_mut());
        self.account();
        Ok(())
    }
    fn read(&mut self, k: usize) -> Result<Vec<f32>, DeviceError> {
        let (now, units) = (self.array.now, &self.array.units);
        let Some(bar) = self.array.bars.get_mut(k) else {
            return Err(DeviceError::Weights { projection: k, expected: 0, found: 0 });
        };
        let scale = units[k] as f32 / bar.scale();
        let weights = (0..bar.synapses()).map(|synapse| bar.look(synapse, now)).map(|[plus, minus]| scale * (plus - minus)).collect();
        self.account();
        Ok(weights)
    }
    fn costs(&self) -> &Costs {
        &self.costs
    }
}
