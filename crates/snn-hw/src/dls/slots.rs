//! Agents on the chip: a state is shown for a moment, the most active action neuron is the choice, a program learns from it.

use super::pattern::Pattern;
use super::{ACCELERATION, Dls, DlsDevice, MAX_WEIGHT, NEURONS, OPERATION, Ppu, Program, ROWS};
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;
use snn_core::net::{Connect, Init};
use snn_core::neuron::{Lif, Reset};
use snn_core::{Net, Raster, Seed, ms};
use snn_sparse::{Costs, Device, DeviceError};

/// What an agent on the chip works with: row `s` stands for state `s`, neuron `a` for action `a`, and between them are plastic synapses.
pub trait Slots: Send {
    /// Begins a life: all weights from states to actions are `weight`, sensors are clear. The device stays the same.
    ///
    /// # Errors
    /// If the device cannot be written.
    fn begin(&mut self, weight: u8, life: Seed) -> Result<(), DeviceError>;
    /// Shows `state` for one slot. The most active action neuron is the choice; noise decides between equals.
    ///
    /// # Errors
    /// If there is no such state.
    fn decide(&mut self, state: usize) -> Result<usize, DeviceError>;
    /// Lets a program learn from the slot; the sensors are cleared at the next.
    fn learn(&mut self, program: &mut dyn Program);
    /// The weight from a state to an action.
    fn weight(&self, state: usize, action: usize) -> u8;
    /// What it has cost the chip.
    fn costs(&self) -> &Costs;
}

/// The shape of an agent.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SlotSettings {
    /// States: rows, at least 1; with the actions at most 32.
    pub states: usize,
    /// Actions: neurons, at least 2.
    pub actions: usize,
    /// Length of a slot in steps of 1 ms of the network.
    pub steps: usize,
    /// Exploration: the standard deviation of the noise in what a neuron hears, in units of a weight.
    pub noise: f64,
}

impl SlotSettings {
    fn check(&self) -> Result<(), DeviceError> {
        let good = self.states >= 1 && self.actions >= 2 && self.states + self.actions <= ROWS && self.actions <= NEURONS;
        if good && self.steps >= 1 && self.noise >= 0.0 && self.noise.is_finite() {
            return Ok(());
        }
        refused(format!("{self:?}; give 1 state and 2 actions or more, together at most {ROWS}, 1 step or more, and finite noise"))
    }

    fn known(&self, state: usize) -> Result<(), DeviceError> {
        if state < self.states { Ok(()) } else { refused(format!("state {state} of {}; states are counted from 0", self.states)) }
    }
}

fn refused<T>(why: String) -> Result<T, DeviceError> {
    Err(DeviceError::Refused { machine: super::place::NAME, why })
}

/// The largest of `keys`; `rng` decides between equals.
fn winner<K: PartialOrd>(keys: impl Iterator<Item = K>, rng: &mut impl Rng) -> usize {
    let mut best: Option<(K, u32, usize)> = None;
    for (action, key) in keys.enumerate() {
        let lot: u32 = rng.random();
        if best.as_ref().is_none_or(|(top, drawn, _)| key > *top || (key == *top && lot > *drawn)) {
            best = Some((key, lot, action));
        }
    }
    best.map_or(0, |(_, _, action)| action)
}

/// The chip without time: an action neuron is as active as its weight, gain, threshold and noise make it, and a slot is one comparison. Less than a microsecond.
///
/// ```text
/// drive_a = w_sa·g_a·g_sa/θ_a + noise·ξ_a,   choice = the largest,   spikes of the choice = round(SPIKES·drive/63), at least 1
/// ```
/// Gains and thresholds are those of the emulated chip of the same seed. The sensor of the winning synapse has seen its spikes; the losers are inhibited. The environment
/// is taken to run on the plasticity processor, so that no time of the host is counted.
///
/// ```
/// use snn_core::Seed;
/// use snn_hw::dls::{Dls, FastSlots, Ppu, SlotSettings, Slots};
/// let settings = SlotSettings { states: 1, actions: 2, steps: 200, noise: 2.0 };
/// let mut slots = FastSlots::new(&Dls::default(), settings, Seed::new(1))?;
/// slots.begin(30, Seed::new(2))?;
/// for _ in 0..50 {
///     let action = slots.decide(0)?;
///     slots.learn(&mut |ppu: &mut Ppu| ppu.add(0, action, if action == 1 { 1 } else { -1 }));
/// }
/// assert!(slots.weight(0, 1) > slots.weight(0, 0));
/// # Ok::<(), snn_sparse::DeviceError>(())
/// ```
#[derive(Clone, Debug)]
pub struct FastSlots {
    of: Dls,
    settings: SlotSettings,
    pattern: Pattern,
    ppu: Ppu,
    life: Seed,
    slot: u64,
    costs: Costs,
    counters: [u64; 3],
}

/// Spikes of an action neuron at the largest weight in 200 ms.
const SPIKES: f64 = 21.0;

impl FastSlots {
    /// The fast model of the device of this seed.
    ///
    /// # Errors
    /// [`DeviceError::Refused`] for settings that do not fit the chip.
    pub fn new(of: &Dls, settings: SlotSettings, device: Seed) -> Result<Self, DeviceError> {
        settings.check()?;
        let pattern = Pattern::new(&of.mismatch, device);
        let life = Seed::new(0);
        Ok(FastSlots { of: *of, settings, pattern, ppu: Ppu::new(1), life, slot: 0, costs: Costs::default(), counters: [0; 3] })
    }

    /// What the action neuron would do without noise, in units of a weight.
    pub fn drive(&self, state: usize, action: usize) -> f64 {
        let Pattern { gain, threshold, synapse, .. } = &self.pattern;
        f64::from(self.ppu.peek(state, action)) * gain[action] * synapse[state][action] / threshold[action]
    }

    fn settle(&mut self) {
        let [decisions, operations, written] = self.counters;
        self.costs = Costs::default();
        self.costs.count("decisions", decisions);
        self.costs.count("processor operations", operations);
        self.costs.count("weight writes", written);
        self.costs.seconds = decisions as f64 * self.settings.steps as f64 * DT / ACCELERATION + operations as f64 * OPERATION;
    }
}

/// Time step of the network (s).
const DT: f64 = ms(1.0);

impl Slots for FastSlots {
    fn begin(&mut self, weight: u8, life: Seed) -> Result<(), DeviceError> {
        self.settle();
        (self.life, self.slot) = (life, 0);
        self.ppu.seed(life.child("plasticity").value() as u32);
        let SlotSettings { states, actions, .. } = self.settings;
        self.ppu.weights[..states].iter_mut().for_each(|row| row[..actions].fill(weight.min(MAX_WEIGHT)));
        self.ppu.causal = [[0; NEURONS]; ROWS];
        Ok(())
    }

    fn decide(&mut self, state: usize) -> Result<usize, DeviceError> {
        self.settings.known(state)?;
        let SlotSettings { actions, steps, noise, .. } = self.settings;
        let mut rng = self.life.nth(self.slot).rng();
        self.slot += 1;
        self.counters[0] += 1;
        let mut drives = [0.0; NEURONS];
        for (action, drive) in drives[..actions].iter_mut().enumerate() {
            *drive = self.drive(state, action) + noise * rng.sample::<f64, _>(StandardNormal);
        }
        let choice = winner(drives[..actions].iter(), &mut rng);
        let most = SPIKES * steps as f64 / 200.0;
        let spikes = (most * drives[choice] / f64::from(MAX_WEIGHT)).round().clamp(1.0, 255.0);
        let sensor = &self.of.sensor;
        let seen = spikes * sensor.amplitude * f64::from(self.pattern.sensor[state][choice]);
        self.ppu.causal[..self.settings.states].iter_mut().for_each(|row| row[..actions].fill(0));
        self.ppu.causal[state][choice] = sensor.read(seen.min(sensor.saturation), &mut rng);
        self.ppu.counts[..actions].fill(0);
        self.ppu.counts[choice] = spikes as u8;
        Ok(choice)
    }

    fn learn(&mut self, program: &mut dyn Program) {
        let Ppu { operations, written, .. } = self.ppu;
        program.run(&mut self.ppu);
        self.counters[1] += self.ppu.operations - operations;
        self.counters[2] += self.ppu.written - written;
    }

    fn weight(&self, state: usize, action: usize) -> u8 {
        self.ppu.peek(state, action)
    }

    fn costs(&self) -> &Costs {
        &self.costs
    }
}

/// The emulated chip: states drive leaky neurons that inhibit each other, step by step.
///
/// A state's row fires at every step of the slot. The choice is the action neuron with most spikes, between equals the one that fired first.
#[derive(Clone)]
pub struct SpikingSlots {
    settings: SlotSettings,
    device: DlsDevice,
    shown: Vec<Raster>,
    life: Seed,
    slot: u64,
}

/// What 63 stands for, in units of the threshold: at one spike a step, a neuron then fires every ten steps.
const FULL_SCALE: f64 = 0.2;
/// Membrane noise (share of the threshold) that counts as one unit of a weight in a slot of 200 steps, up to about eight: found by trial, held by a test.
const NOISE_OF_LSB: f64 = 0.045;

impl SpikingSlots {
    /// The emulated device of this seed.
    ///
    /// # Errors
    /// [`DeviceError::Refused`] for settings that do not fit the chip.
    pub fn new(of: &Dls, settings: SlotSettings, device: Seed) -> Result<Self, DeviceError> {
        settings.check()?;
        let SlotSettings { states, actions, steps, noise } = settings;
        // Membrane and refractory period of Wunderlich et al. 2019, in the network's time.
        let neuron = Lif { tau: ms(28.5).into(), reset: Reset::To(0.0), ..Lif::default() };
        let network = Net::new(DT)
            .input("states", states)
            .population("actions", actions, neuron)
            .refractory(ms(4.0))
            .project("states", "actions", Connect::All, Init::Constant(0.5 * FULL_SCALE as f32))
            .project("actions", "actions", Connect::All, Init::Constant(-FULL_SCALE as f32))
            .without_autapses()
            .delay(DT)
            .output("actions")
            .build(Seed::new(0));
        let network = network.or_else(|error| refused(error.to_string()))?;
        let of = Dls { noise: noise * NOISE_OF_LSB, full_scale: Some(FULL_SCALE), ..*of };
        let device = of.device(&network, device).or_else(|error| refused(error.to_string()))?;
        let show = |state: usize| {
            let mut raster = Raster::new(states, steps);
            raster.fill((0..steps as u32).map(|t| (t, state as u32)));
            raster
        };
        Ok(SpikingSlots { settings, device, shown: (0..states).map(show).collect(), life: Seed::new(0), slot: 0 })
    }

    /// The device.
    pub fn device(&self) -> &DlsDevice {
        &self.device
    }
}

impl Slots for SpikingSlots {
    fn begin(&mut self, weight: u8, life: Seed) -> Result<(), DeviceError> {
        (self.life, self.slot) = (life, 0);
        let weight = f64::from(weight.min(MAX_WEIGHT)) * FULL_SCALE / f64::from(MAX_WEIGHT);
        self.device.write(0, &vec![weight as f32; self.settings.states * self.settings.actions])
    }

    fn decide(&mut self, state: usize) -> Result<usize, DeviceError> {
        self.settings.known(state)?;
        let trial = self.life.nth(self.slot);
        self.slot += 1;
        self.device.run(&[&self.shown[state]], trial)?;
        let mut activity = vec![(0, std::cmp::Reverse(usize::MAX)); self.settings.actions];
        for (t, action) in self.device.spikes(0).iter() {
            let (count, first) = &mut activity[action as usize];
            *count += 1;
            first.0 = first.0.min(t);
        }
        Ok(winner(activity.into_iter(), &mut trial.child("ties").rng()))
    }

    fn learn(&mut self, program: &mut dyn Program) {
        self.device.plasticity(program);
    }

    fn weight(&self, state: usize, action: usize) -> u8 {
        self.device.integers(0).get(state * self.settings.actions + action).copied().unwrap_or(0)
    }

    fn costs(&self) -> &Costs {
        self.device.costs()
    }
}
