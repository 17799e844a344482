//! What a network runs on: the contract between machines and everyone who uses them.

use snn_core::{Network, Raster, Seed};
use std::collections::BTreeMap;

/// A machine with a network on it, ready to run: an engine that may have limits, noise and costs of its own.
///
/// It is used as a real chip is: weights go in by [`write`](Device::write), spikes come out. What it made of the weights, who lost a link, how its neurons differ: whoever
/// uses it has to find out from what it records. Its own irregularities are fixed when it is built, by the seed of the device; what changes from trial to trial
/// comes from the seed of the trial. The same seeds give the same bits.
///
/// ```
/// use snn_core::{Net, Raster, Seed, ms, net::{Connect, Init}, neuron::Lif};
/// use snn_sparse::{Device, Ideal};
/// let net = Net::new(ms(1.0)).input("in", 1).population("a", 3, Lif::default())
///     .project("in", "a", Connect::All, Init::Constant(1.5)).output("a").build(Seed::new(0))?;
/// let mut device = Ideal::new(&net);
/// let mut input = Raster::new(1, 4);
/// input.fill([(2, 0)]);
/// device.run(&[&input], Seed::new(7))?;
/// assert_eq!(device.spikes(0).at(2), &[0, 1, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Device: Send {
    /// What it was built for, with the weights it was built with.
    fn network(&self) -> &Network;
    /// The same device at rest, with the same irregularities and weights and no costs yet: for another thread.
    fn again(&self) -> Box<dyn Device>;
    /// Begins a trial of `steps` steps at rest.
    fn begin(&mut self, steps: usize, trial: Seed);
    /// Runs the trial on to `until`. `inputs` hold all steps up to there, one raster per input of the network.
    ///
    /// # Errors
    /// If the inputs are not those of the network, or the trial ends before.
    fn advance(&mut self, until: usize, inputs: &[&Raster]) -> Result<(), DeviceError>;
    /// A whole trial, as long as its inputs are. May be faster than the same in pieces, and gives the same.
    ///
    /// # Errors
    /// As [`advance`](Device::advance).
    fn run(&mut self, inputs: &[&Raster], trial: Seed) -> Result<(), DeviceError> {
        let steps = inputs.first().map_or(0, |raster| raster.steps());
        self.begin(steps, trial);
        self.advance(steps, inputs)
    }
    /// What was recorded of population `p` since the trial began.
    fn spikes(&self, p: usize) -> &Raster;
    /// The graded output of unit `j` of readout `p` at step `t`; `None` where the machine does not record it.
    fn output(&self, p: usize, t: usize, j: usize) -> Option<f64>;
    /// The probability with which each neuron of population `p` fired at the last step taken, given all before it: 0 while it was
    /// refractory. Written to `into`; `false` where spikes do not come by escape noise, or the machine does not tell. For rules that learn
    /// while the network runs.
    fn chances(&self, _p: usize, _into: &mut Vec<f64>) -> bool {
        false
    }
    /// Writes the weights of projection `k`, in the order of the description. The machine keeps what it can of them. In the middle of a
    /// trial they count from the next step on.
    ///
    /// # Errors
    /// If their number is another, one is not finite, or the projection cannot be written.
    fn write(&mut self, k: usize, weights: &[f32]) -> Result<(), DeviceError>;
    /// The same where only the links `moved`, by index, have other weights than were last written: for devices on which that is cheaper.
    ///
    /// # Errors
    /// As [`write`](Device::write).
    fn write_some(&mut self, k: usize, weights: &[f32], _moved: &[u32]) -> Result<(), DeviceError> {
        self.write(k, weights)
    }
    /// The weights of projection `k` as the machine reads them back, in units of the description; reading may be noisy.
    ///
    /// # Errors
    /// If there is no such projection, or the machine cannot read it.
    fn read(&mut self, k: usize) -> Result<Vec<f32>, DeviceError>;
    /// What all trials and writes so far have cost.
    fn costs(&self) -> &Costs;
}

/// A machine, always the same one, that is configured with a description: its devices have the same irregularities.
pub type Chip<'a> = dyn Fn(&Network) -> Result<Box<dyn Device>, Box<dyn std::error::Error + Send + Sync>> + Send + Sync + 'a;

/// What a machine has spent. Everything here is modelled, not measured.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Costs {
    /// Time the machine itself would have needed (s).
    pub seconds: f64,
    /// Energy (J) by part of the machine; empty where there is no model of it.
    pub joules: BTreeMap<&'static str, f64>,
    /// Whatever is counted: spikes, synaptic events, events lost, additions that saturated, pulses.
    pub counts: BTreeMap<&'static str, u64>,
}

impl Costs {
    /// Adds to a counter.
    pub fn count(&mut self, what: &'static str, by: u64) {
        *self.counts.entry(what).or_default() += by;
    }
    /// A counter: 0 where nothing was counted.
    pub fn counted(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }
    /// Energy (J) of a part: 0 where there is no model of it.
    pub fn spent(&self, part: &str) -> f64 {
        self.joules.get(part).copied().unwrap_or(0.0)
    }
    /// Adds energy (J) to a part.
    pub fn spend(&mut self, part: &'static str, joules: f64) {
        *self.joules.entry(part).or_default() += joules;
    }
    /// Adds everything that another has spent.
    pub fn add(&mut self, other: &Costs) {
        self.seconds += other.seconds;
        other.joules.iter().for_each(|(part, joules)| self.spend(part, *joules));
        other.counts.iter().for_each(|(what, by)| self.count(what, *by));
    }
    /// All energy (J).
    pub fn energy(&self) -> f64 {
        self.joules.values().sum()
    }
}

/// Why a device cannot do what it is asked to.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// Rasters of another shape.
    #[error("the network has inputs of {expected:?} channels, rasters of {found:?} were given; give one raster per input")]
    Inputs {
        /// Channels of each input.
        expected: Vec<usize>,
        /// Channels of each raster.
        found: Vec<usize>,
    },
    /// Too few steps.
    #[error(
        "a trial of {trial} steps was asked to go on to step {until}, with inputs of {inputs} steps; begin a longer one, or give more input"
    )]
    Steps {
        /// Of the trial.
        trial: usize,
        /// Asked for.
        until: usize,
        /// Steps of the shortest raster.
        inputs: usize,
    },
    /// Weights of another number.
    #[error("projection {projection} has {expected} weights, {found} were given; give one for each, in the order of the description")]
    Weights {
        /// Index.
        projection: usize,
        /// In the network.
        expected: usize,
        /// Given.
        found: usize,
    },
    /// A weight that is no number.
    #[error("projection {projection}: weight {index} is {value}; weights must be finite")]
    NotFinite {
        /// Index.
        projection: usize,
        /// Of the weight.
        index: usize,
        /// Its value.
        value: f32,
    },
    /// Something the machine cannot do.
    #[error("{machine}: {why}")]
    Refused {
        /// Machine.
        machine: &'static str,
        /// What, and what to do.
        why: String,
    },
}

impl DeviceError {
    /// Whether a trial of `trial` steps of `network` can go on to `until` with these inputs: for devices.
    ///
    /// # Errors
    /// [`DeviceError::Inputs`] or [`DeviceError::Steps`].
    pub fn check_inputs(network: &Network, trial: usize, until: usize, inputs: &[&Raster]) -> Result<(), DeviceError> {
        let expected: Vec<usize> = network.draft().inputs.iter().map(|i| i.size).collect();
        let found: Vec<usize> = inputs.iter().map(|raster| raster.units()).collect();
        if expected != found {
            return Err(DeviceError::Inputs { expected, found });
        }
        let steps = inputs.iter().map(|raster| raster.steps()).min().unwrap_or(trial);
        if until > trial || until > steps {
            return Err(DeviceError::Steps { trial, until, inputs: steps });
        }
        Ok(())
    }

    /// Whether these can be the weights of projection `k`: for devices.
    ///
    /// # Errors
    /// [`DeviceError::Weights`], [`DeviceError::NotFinite`], or that there is no such projection.
    pub fn check_weights(network: &Network, k: usize, weights: &[f32]) -> Result<(), DeviceError> {
        Self::check_count(network, k, weights.len())?;
        match weights.iter().position(|w| !w.is_finite()) {
            Some(index) => Err(DeviceError::NotFinite { projection: k, index, value: weights[index] }),
            None => Ok(()),
        }
    }

    /// The same where only these weights are to be written.
    ///
    /// # Errors
    /// As [`check_weights`](Self::check_weights), or if there is no such weight.
    pub fn check_some(network: &Network, k: usize, weights: &[f32], moved: &[u32]) -> Result<(), DeviceError> {
        Self::check_count(network, k, weights.len())?;
        let value = |index: u32| weights.get(index as usize).copied().unwrap_or(f32::NAN);
        match moved.iter().find(|&&index| !value(index).is_finite()) {
            Some(&index) => Err(DeviceError::NotFinite { projection: k, index: index as usize, value: value(index) }),
            None => Ok(()),
        }
    }

    fn check_count(network: &Network, k: usize, found: usize) -> Result<(), DeviceError> {
        let draft = network.draft();
        let expected = draft.projections.get(k).map_or(0, |p| p.links.weights(network.size(&p.from), network.size(&p.to)));
        match found == expected && k < draft.projections.len() {
            true => Ok(()),
            false => Err(DeviceError::Weights { projection: k, expected, found }),
        }
    }
}
