//! The training loop: run, rule, optimiser; the same bits for any number of threads.

use crate::drop_connect::DropConnect;
use crate::in_the_loop::{Loop, Station};
use crate::loss::{Loss, LossError, Regulariser};
use crate::optim::{Moments, Optimiser, Schedule};
use crate::rule::{Gradients, Job, Rule, RuleError, Stats, Worker};
use crate::structure::{State, Structure, StructureError, Update, Wiring};
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use snn_core::net::{Links, Population, Projection};
use snn_core::neuron::Output;
use snn_core::{Dataset, Network, NetworkError, Raster, Seed};
use snn_sparse::lanes::{blocks, flat, flat_mut};
use snn_sparse::store::Csr;
use snn_sparse::{
    Block, Clocked, Costs, Device, DeviceError, LANES, Past, Record, Store, Substrate, SubstrateError, SubstrateState, Synapses, Wants,
};
use std::ops::ControlFlow;
use std::sync::Mutex;

/// What a device does with its neurons is its own.
const NEURONS_STAY: &str = "a device in the loop keeps the parameters of its neurons: take the names out of `train`";
/// Only one thing can take the place of the optimiser's update.
const ONE_PLACE: &str = "a substrate moves the weights by itself: it goes with no structural rule, no device in the loop, and no weights that decay (adaptive feedback)";
/// Links are replaced on chips only.
const LINKS_STAY: &str = "a device in the loop keeps the links it was built with; for a structural rule, use with_chip";
/// What leaves out weights writes them.
const DROPS_ALONE: &str =
    "DropConnect changes the weights for every gradient: it goes with no structural rule, no substrate, and no device in the loop";
/// What runs on a device begins at rest.
const BEGINS_AT_REST: &str = "a device in the loop begins every trial at rest: take out `carry`";
/// A batch is cut into so many pieces at most; pieces are added in order.
const CHUNKS: usize = 8;
/// A piece has at least so many steps of trials, counted over the trials: less work than this costs less than clearing and adding another gradient.
const CHUNK_STEPS: usize = 8;

/// The pieces of a batch: a function of its size, of the length of a trial and of how many trials the rule takes together, whatever the number of threads. Two cores have work even
/// where pieces get smaller than the rule asks for.
fn pieces(batch: usize, steps: usize, together: usize) -> usize {
    let wanted = (batch / together).max(2);
    (batch * steps).div_ceil(CHUNK_STEPS).clamp(1, CHUNKS).min(wanted).min(batch.max(1))
}

/// How to train.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Loss of a trial.
    pub loss: Loss,
    /// Penalty on hidden activity.
    pub regulariser: Regulariser,
    /// Trials per update.
    pub batch: usize,
    /// Learning rate over time.
    pub schedule: Schedule,
    /// Largest norm of a batch gradient; larger ones are scaled down to it.
    pub clip: Option<f64>,
    /// A population with events but without any derivative (no entry near threshold, no rectified unit above 0) for this many batches in a
    /// row is dead: training stops and says so.
    pub dead_after: usize,
    /// Whether a trial begins in the state in which the one before it in its [lane](Dataset::lanes) ended, instead of at rest: truncated backpropagation through time, as gradients end
    /// where a trial begins. An epoch then reads every lane from its beginning, a batch being the next trial of each, in order.
    #[serde(default)]
    pub carry: bool,
    /// Seed of the order of trials.
    pub seed: Seed,
}

impl Options {
    /// Plain training with this loss: batches of 256, constant learning rate, no regulariser, no clipping, no state carried.
    pub fn new(loss: Loss, seed: Seed) -> Self {
        Options {
            loss,
            regulariser: Regulariser::NONE,
            batch: 256,
            schedule: Schedule::Constant,
            clip: None,
            dead_after: 50,
            carry: false,
            seed,
        }
    }
}

/// Why training cannot start or go on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The rule cannot take the network.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// The structural rule cannot take the network.
    #[error(transparent)]
    Structure(#[from] StructureError),
    /// The substrate cannot hold the weights.
    #[error(transparent)]
    Substrate(#[from] SubstrateError),
    /// The loss cannot be taken.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// Impossible option.
    #[error("{0}")]
    Options(String),
    /// Data of another shape.
    #[error("data set `{data}` has {found} channels, input `{input}` has {expected}; make the input as large")]
    Channels {
        /// Data set.
        data: String,
        /// Its channels.
        found: usize,
        /// The network's input.
        input: String,
        /// Its size.
        expected: usize,
    },
    /// No trials.
    #[error("data set `{0}` has no trials; give at least one")]
    Empty(String),
    /// Once no unit is near threshold nothing has a gradient, not even a lower bound on the rate.
    #[error(
        "population `{population}` is dead since epoch {epoch}: no neuron came within the surrogate's window (or, rectified, above 0) in {batches} batches, so nothing \
         reaches it or the populations before it. Start from larger weights, widen the window, lower the learning rate or the upper bound on spikes"
    )]
    Dead {
        /// Population.
        population: String,
        /// Epoch, from 0.
        epoch: usize,
        /// Batches in a row.
        batches: usize,
    },
    /// The loss is not a number any more.
    #[error("the loss became {loss} in epoch {epoch}; lower the learning rate or clip the gradient")]
    Diverged {
        /// Loss.
        loss: f64,
        /// Epoch, from 0.
        epoch: usize,
    },
    /// A checkpoint of something else.
    #[error("the checkpoint does not fit: {0}")]
    Checkpoint(String),
    /// Weights that are not a network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The device in the loop cannot do it.
    #[error(transparent)]
    Device(DeviceError),
    /// The chip in the loop does not take the network, or not with the links it has come to have.
    #[error("the chip in the loop does not take the network: {0}")]
    Chip(String),
}

/// The exact state of a training run between two batches: with it, training goes on to the same bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Whole epochs done.
    pub epochs: usize,
    /// What the trials of the epoch after them have given so far.
    pub begun: Stats,
    /// Optimiser updates done.
    pub updates: u64,
    /// Batches in a row in which each population had no active entry.
    pub quiet: Vec<usize>,
    /// Spikes per step of every unit in the last batch, if the regulariser asks for them.
    pub rates: Vec<Vec<f64>>,
    /// Weights, in the store's order; then parameters of neurons that are learned.
    pub weights: Vec<Vec<f32>>,
    /// Optimiser's first moments, likewise.
    pub first: Vec<Vec<f32>>,
    /// Optimiser's second moments.
    pub second: Vec<Vec<f32>>,
    /// Listed links that a structural rule may have replaced, in the engine's order; `None` where links stay as described.
    pub links: Vec<Option<Links>>,
    /// Name of the structural rule, and what it keeps beside the weights.
    pub structure: Option<(String, State)>,
    /// Name of the substrate, and its state.
    pub substrate: Option<(String, SubstrateState)>,
    /// Where the last trial of every lane ended; empty if no state is carried, and where an epoch begins.
    pub carried: Vec<Past<f32>>,
}

/// Trains a network with a rule and an optimiser, on all threads of the current rayon pool.
///
/// ```
/// use snn_core::{Net, Raster, Seed, Trials, ms, net::{Connect, Init}, neuron::{Li, Lif}};
/// use snn_learn::{Loss, Optimiser, Options, Over, SparseBptt, Trainer};
/// // Two classes: which of two input channels fires.
/// let mut data = Trials::new("which", 2, 20, 2);
/// for class in 0..2 {
///     let mut raster = Raster::new(2, 20);
///     raster.fill((0..20).map(|t| (t, class)));
///     data.push(raster, class as usize);
/// }
/// let net = Net::new(ms(1.0)).input("in", 2).population("hidden", 20, Lif::default()).population("out", 2, Li::default())
///     .project("in", "hidden", Connect::All, Init::normal(0.5))
///     .project("hidden", "out", Connect::All, Init::normal(0.5))
///     .output("out").build(Seed::new(1))?;
/// let options = Options::new(Loss::CrossEntropy(Over::Max), Seed::new(1));
/// let mut trainer = Trainer::new(&net, SparseBptt::default(), Optimiser::adam(1e-2), options)?;
/// for _ in 0..30 {
///     trainer.epoch(&data, &|_| ())?;
/// }
/// assert_eq!(trainer.evaluate(&data)?.accuracy(), 1.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Trainer {
    engine: Clocked<f32>,
    rule: Box<dyn Rule<f32>>,
    decay: Vec<(usize, f64)>,
    /// Factors on the learning rate of the engine's parameters.
    rates_of: Vec<f64>,
    optimiser: Optimiser,
    options: Options,
    moments: Moments,
    structure: Option<(&'static str, Box<dyn Wiring>)>,
    substrate: Option<Box<dyn Substrate>>,
    device: Option<Loop>,
    failed: Option<TrainError>,
    epochs: usize,
    begun: Stats,
    quiet: Vec<usize>,
    rates: Vec<Vec<f64>>,
    /// By lane: where its last trial ended. Empty: all at rest.
    carried: Vec<Past<f32>>,
    drop_connect: DropConnect<f32>,
    /// The gradient of the last batch; then those of the other pieces of a batch, which are zero outside of [`Trainer::gradient`].
    chunks: Vec<Gradients<f32>>,
    workers: Mutex<Vec<Box<dyn Worker<f32>>>>,
}

impl Trainer {
    /// A trainer of `network` from its present weights.
    ///
    /// # Errors
    /// If the rule cannot take the network, or an option is impossible.
    pub fn new(network: &Network, rule: impl Rule<f32> + 'static, optimiser: Optimiser, options: Options) -> Result<Self, TrainError> {
        let engine = Clocked::compile(network);
        rule.check(&engine)?;
        optimiser.check().map_err(TrainError::Options)?;
        if options.batch == 0 {
            return Err(TrainError::Options("batch = 0: give at least one trial per update".into()));
        }
        if options.clip.is_some_and(|c| c.is_nan() || c <= 0.0) {
            return Err(TrainError::Options(format!("clip = {:?}: must be positive", options.clip)));
        }
        if options.carry && !rule.carries() {
            let why = format!("rule `{}` begins every trial at rest; to carry the state on, take bptt or sparse_bptt", rule.name());
            return Err(TrainError::Options(why));
        }
        let parameters = engine.parameters().iter().map(|p| p.values.len());
        let lengths: Vec<usize> = engine.links().iter().map(|l| l.store.weights().len()).chain(parameters).collect();
        let moments = Moments::new(&optimiser, &lengths);
        let chunks = vec![Gradients::zero(&engine)];
        let quiet = vec![0; engine.cells().len()];
        let decay = rule.decay(&engine);
        Ok(Trainer {
            rates_of: vec![1.0; engine.parameters().len()],
            engine,
            rule: Box::new(rule),
            decay,
            optimiser,
            options,
            moments,
            structure: None,
            substrate: None,
            device: None,
            failed: None,
            epochs: 0,
            begun: Stats::default(),
            quiet,
            rates: Vec::new(),
            carried: Vec::new(),
            drop_connect: DropConnect::default(),
            chunks,
            workers: Mutex::default(),
        })
    }

    /// The same trainer with a factor on the learning rate of a parameter of neurons: one is 20 ms, another 0.3. 0 freezes it. Without this the factor is 1.
    /// Weights alone decay.
    ///
    /// ```
    /// use snn_core::{Net, Seed, ms, net::{Connect, Init}, neuron::{Li, Lif}};
    /// use snn_learn::{Loss, Optimiser, Options, Over, SparseBptt, Trainer};
    /// let net = Net::new(ms(1.0)).input("in", 5).population("hidden", 20, Lif::default()).train(&["tau", "current"]).population("out", 2, Li::default())
    ///     .project("in", "hidden", Connect::All, Init::normal(0.5)).project("hidden", "out", Connect::All, Init::normal(0.5))
    ///     .output("out").build(Seed::new(1))?;
    /// let options = Options::new(Loss::CrossEntropy(Over::Max), Seed::new(1));
    /// let trainer = Trainer::new(&net, SparseBptt::default(), Optimiser::adam(1e-2), options)?.with_rate("hidden", "tau", 0.02)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If the population does not learn this parameter, or the factor is negative or no number.
    pub fn with_rate(mut self, population: &str, parameter: &str, factor: f64) -> Result<Self, TrainError> {
        let draft = self.engine.network().draft();
        let fits = |p: &snn_sparse::Parameter<f32>| draft.populations[p.population].name == population && p.name == parameter;
        match self.engine.parameters().iter().position(fits) {
            Some(k) if factor.is_finite() && factor >= 0.0 => self.rates_of[k] = factor,
            Some(_) => return Err(TrainError::Options(format!("rate of `{population}`, `{parameter}` = {factor}: must be zero or more"))),
            None => {
                let why = format!("population `{population}` does not learn `{parameter}`; name it in `train` of the population");
                return Err(TrainError::Options(why));
            }
        }
        Ok(self)
    }

    /// The same trainer with [`DropConnect`] on the weights from one group to another, at all its inputs: every update leaves out other weights, each with probability
    /// `p`, the same ones in all trials and steps of its batch. Evaluation leaves none out.
    ///
    /// ```
    /// use snn_core::{Net, Seed, Surrogate, net::{Connect, Init}, neuron::{Gru, Li}};
    /// use snn_learn::{Bptt, Loss, Optimiser, Options, Over, Trainer};
    /// let net = Net::new(1.0).input("in", 5).population("hidden", 20, Gru::default()).population("out", 2, Li::default())
    ///     .project("in", "hidden", Connect::All, Init::normal(0.5)).port("g")
    ///     .project("hidden", "hidden", Connect::All, Init::normal(0.5)).port("h").delay(1.0)
    ///     .project("hidden", "out", Connect::All, Init::normal(0.5)).output("out").build(Seed::new(1))?;
    /// let options = Options::new(Loss::CrossEntropy(Over::Max), Seed::new(1));
    /// let rule = Bptt::new(Surrogate::triangle(0.3, 1.0));
    /// let trainer = Trainer::new(&net, rule, Optimiser::adam(1e-2), options)?.with_drop_connect("hidden", "hidden", 0.5)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If there is no such projection that learns, `p` is no probability below 1, the weights are tied to others, or something else holds the weights.
    pub fn with_drop_connect(mut self, from: &str, to: &str, p: f64) -> Result<Self, TrainError> {
        if self.structure.is_some() || self.substrate.is_some() || self.device.is_some() {
            return Err(TrainError::Options(DROPS_ALONE.into()));
        }
        let refuse = |why: String| Err(TrainError::Options(format!("DropConnect on `{from}` -> `{to}`: {why}")));
        if !(0.0..1.0).contains(&p) {
            return refuse(format!("p = {p}: must be 0 or more and below 1"));
        }
        let all = &self.engine.network().draft().projections;
        let named = |k: usize| (&*all[k].from, &*all[k].to) == (from, to);
        if (0..all.len()).any(|k| all[k].tied.is_some_and(|of| named(k) || named(of))) {
            return refuse("its weights are tied to others, which would be left out too; leave out `tied`".into());
        }
        let links: Vec<usize> =
            (0..self.engine.links().len()).filter(|&k| named(self.engine.links()[k].projection) && self.engine.links()[k].learns).collect();
        if links.is_empty() {
            return refuse("there is no such projection that learns".into());
        }
        links.into_iter().filter(|_| p > 0.0).for_each(|k| self.drop_connect.link(k, p));
        Ok(self)
    }

    /// The same trainer with a structural rule, before any training: it removes and grows links at every update. A rule that fixes the signs
    /// of links may turn the sign of initial weights.
    ///
    /// ```
    /// use snn_core::{Net, Seed, ms, net::{Connect, Init}, neuron::{Li, Lif}};
    /// use snn_learn::{DeepR, Loss, Optimiser, Options, Over, SparseBptt, Trainer};
    /// let net = Net::new(ms(1.0)).input("in", 50).population("hidden", 20, Lif::default()).population("out", 2, Li::default())
    ///     .project("in", "hidden", Connect::Random { p: 0.05 }, Init::normal(0.5))
    ///     .project("hidden", "out", Connect::Random { p: 0.5 }, Init::normal(0.5))
    ///     .output("out").build(Seed::new(1))?;
    /// let options = Options::new(Loss::CrossEntropy(Over::Max), Seed::new(1));
    /// let trainer = Trainer::new(&net, SparseBptt::default(), Optimiser::sgd(0.1), options)?.with_structure(DeepR::new(1e-4))?;
    /// assert_eq!(trainer.network()?.links(), 50 + 20); // now and after any number of updates
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StructureError`], naming what the rule cannot take.
    pub fn with_structure(mut self, rule: impl Structure) -> Result<Self, TrainError> {
        if self.substrate.is_some() {
            return Err(TrainError::Options(ONE_PLACE.into()));
        }
        self.check_whole()?;
        if self.device.as_ref().is_some_and(|device| !device.takes_other_links()) {
            return Err(TrainError::Options(LINKS_STAY.into()));
        }
        if let Some((p, other)) = self.engine.network().draft().tied() {
            let why =
                format!("has the weights of `{}` -> `{}`, and links of its own cannot come and go; leave out `tied`", other.from, other.to);
            return Err(StructureError::Projection { rule: rule.name(), from: p.from.clone(), to: p.to.clone(), why }.into());
        }
        rule.check(&self.engine)?;
        self.structure = Some((rule.name(), rule.begin(&mut self.engine, self.options.seed.child("structure"))));
        Ok(self)
    }

    /// The same trainer with its weights on a substrate, before any training: the optimiser says where they should go, the substrate moves them as it can.
    ///
    /// # Errors
    /// If the substrate was made for another network, the rule cannot take what it reads, or something else wants to change the weights too.
    pub fn with_substrate(mut self, mut substrate: impl Substrate + 'static) -> Result<Self, TrainError> {
        if self.structure.is_some() || self.device.is_some() || !self.decay.is_empty() {
            return Err(TrainError::Options(ONE_PLACE.into()));
        }
        self.check_untied(substrate.name())?;
        self.check_whole()?;
        substrate.install(&mut self.engine)?;
        self.rule.check(&self.engine)?;
        self.substrate = Some(Box::new(substrate));
        Ok(self)
    }

    /// What holds the weights, if it is not the program's own memory.
    pub fn substrate(&self) -> Option<&dyn Substrate> {
        self.substrate.as_deref()
    }

    /// The same trainer with a device in the loop, built for this network: the device runs all trials, of training and of [`evaluate`](Self::evaluate), and the rule learns from the
    /// events it recorded ([`Clocked::replay`]). The weights that are trained stay as they are, without the device's rounding; after every update they are cut at `clip` times the largest that each
    /// projection has now, and written to the device, which keeps what it can of them (Schmitt et al. 2017).
    ///
    /// A readout that the device does not record is computed from its recorded events. Trials are noisy in the same way whatever the number of threads. A checkpoint does not hold the state of a device: such a
    /// training is not restored.
    ///
    /// ```
    /// use snn_core::{Net, Seed, ms, net::{Connect, Init}, neuron::{Li, Lif}};
    /// use snn_learn::{Loss, Optimiser, Options, Over, SparseBptt, Trainer};
    /// let net = Net::new(ms(1.0)).input("in", 5).population("hidden", 20, Lif::default()).population("out", 2, Li::default())
    ///     .project("in", "hidden", Connect::All, Init::normal(0.5)).project("hidden", "out", Connect::All, Init::normal(0.5))
    ///     .output("out").build(Seed::new(1))?;
    /// let options = Options::new(Loss::CrossEntropy(Over::Max), Seed::new(1));
    /// let device = Box::new(snn_sparse::Ideal::new(&net));
    /// let trainer = Trainer::new(&net, SparseBptt::default(), Optimiser::sgd(0.1), options)?.with_device(device, Some(1.5))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If the device was built for another network, the rule takes no device, or a structural rule replaces links: see [`with_chip`](Self::with_chip).
    pub fn with_device(mut self, device: Box<dyn Device>, clip: Option<f64>) -> Result<Self, TrainError> {
        self.check_loop()?;
        if self.structure.is_some() {
            return Err(TrainError::Options(LINKS_STAY.into()));
        }
        self.device = Some(Loop::new(device, &self.engine, clip, self.options.seed.child("device"))?);
        Ok(self)
    }

    /// As [`with_device`](Self::with_device), with a chip: a function from networks to devices that have the same irregularities. The trainer puts its network on the chip, and does so again
    /// whenever a structural rule has replaced links.
    ///
    /// ```
    /// use snn_core::{Net, Seed, ms, net::{Connect, Init}, neuron::{Li, Lif}};
    /// use snn_learn::{DeepR, Loss, Optimiser, Options, Over, SparseBptt, Trainer};
    /// let net = Net::new(ms(1.0)).input("in", 50).population("hidden", 20, Lif::default()).population("out", 2, Li::default())
    ///     .project("in", "hidden", Connect::Random { p: 0.1 }, Init::normal(0.5)).project("hidden", "out", Connect::All, Init::normal(0.5))
    ///     .output("out").build(Seed::new(1))?;
    /// let options = Options::new(Loss::CrossEntropy(Over::Max), Seed::new(1));
    /// let trainer = Trainer::new(&net, SparseBptt::default(), Optimiser::sgd(0.1), options)?
    ///     .with_structure(DeepR::new(1e-4))?
    ///     .with_chip(|network| Ok(Box::new(snn_sparse::Ideal::new(network))), None)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If the chip does not take the network, or the rule takes no device.
    pub fn with_chip(
        mut self,
        chip: impl Fn(&Network) -> Result<Box<dyn Device>, Box<dyn std::error::Error + Send + Sync>> + Send + Sync + 'static,
        clip: Option<f64>,
    ) -> Result<Self, TrainError> {
        self.check_loop()?;
        self.device = Some(Loop::of_chip(Box::new(chip), &self.engine, clip, self.options.seed.child("device"))?);
        Ok(self)
    }

    /// Whether no weights are left out.
    fn check_whole(&self) -> Result<(), TrainError> {
        if self.drop_connect.is_empty() { Ok(()) } else { Err(TrainError::Options(DROPS_ALONE.into())) }
    }

    /// Whether something can hold the weights that keeps every projection's for itself.
    fn check_untied(&self, holder: &str) -> Result<(), TrainError> {
        let tied = |(p, other): (&Projection, &Projection)| {
            let (p, other) = (format!("`{}` -> `{}`", p.from, p.to), format!("`{}` -> `{}`", other.from, other.to));
            TrainError::Options(format!(
                "projection {p} has the weights of {other}, and {holder} holds those of each projection apart; leave out `tied`"
            ))
        };
        self.engine.network().draft().tied().map_or(Ok(()), |pair| Err(tied(pair)))
    }

    /// Whether a device can be in the loop at all.
    fn check_loop(&self) -> Result<(), TrainError> {
        if self.substrate.is_some() {
            return Err(TrainError::Options(ONE_PLACE.into()));
        }
        if self.options.carry {
            return Err(TrainError::Options(BEGINS_AT_REST.into()));
        }
        self.check_untied("a device in the loop")?;
        self.check_whole()?;
        let valued = |p: &Population| matches!(p.model.output(), Output::Weighted | Output::Linear);
        if let Some(p) = self.engine.network().draft().populations.iter().find(|p| valued(p)) {
            let why = format!(
                "population `{}` ({}) sends values of its state; a device in the loop records spikes and rectified events",
                p.name,
                p.model.name()
            );
            return Err(TrainError::Options(why));
        }
        if !self.engine.parameters().is_empty() {
            return Err(TrainError::Options(NEURONS_STAY.into()));
        }
        match self.rule.takes_device() {
            true => Ok(()),
            false => Err(TrainError::Options(format!(
                "rule `{}` runs the network by itself and takes no device in the loop; take sparse_bptt, bptt or eprop",
                self.rule.name()
            ))),
        }
    }

    /// What the device in the loop has spent so far; `None` without one.
    pub fn device_costs(&self) -> Option<Costs> {
        self.device.as_ref().map(Loop::costs)
    }

    /// One pass over `data` in a new random order. `progress` is told the number of trials done after every batch.
    ///
    /// # Errors
    /// If the data do not fit, a population is dead, or the loss is not a number.
    pub fn epoch(&mut self, data: &dyn Dataset, progress: &dyn Fn(usize)) -> Result<Stats, TrainError> {
        let stats = self.epoch_or_pause(data, &mut |done| {
            progress(done);
            ControlFlow::Continue(())
        })?;
        Ok(stats.expect("without a break an epoch ends"))
    }

    /// One update on these trials of `data`, with the learning rate of the present epoch: for loops that choose every batch themselves.
    ///
    /// # Errors
    /// As [`Trainer::epoch`], and if there is no trial, or one that `data` do not have.
    pub fn step(&mut self, data: &dyn Dataset, trials: &[usize]) -> Result<Stats, TrainError> {
        self.check(data)?;
        if self.options.carry {
            return Err(TrainError::Options(
                "state is carried from batch to batch of an epoch: train by epochs, or take out `carry`".into(),
            ));
        }
        if let Some(trial) = trials.iter().find(|&&i| i >= data.len()) {
            return Err(TrainError::Options(format!("trial {trial}: data set `{}` has {}", data.name(), data.len())));
        }
        if trials.is_empty() {
            return Err(TrainError::Options("an update on no trials: give at least one".into()));
        }
        let stats = self.batch(data, trials, self.options.schedule.factor(self.epochs as f64))?;
        if !stats.loss.is_finite() {
            return Err(TrainError::Diverged { loss: stats.loss, epoch: self.epochs });
        }
        self.look_for_dead(&stats)?;
        Ok(stats)
    }

    /// As [`Trainer::epoch`], but `after_batch` may break. Then there are no statistics yet; [`Trainer::checkpoint`] holds the place, and
    /// the next call goes on with the batch that follows, to the same bits as without the pause.
    ///
    /// # Errors
    /// As [`Trainer::epoch`], and if `data` are fewer than the trials the epoch has had already.
    pub fn epoch_or_pause(
        &mut self,
        data: &dyn Dataset,
        after_batch: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Option<Stats>, TrainError> {
        self.check(data)?;
        let mut order: Vec<usize> = (0..data.len()).collect();
        match self.options.carry {
            true => self.check_lanes(data)?,
            false => order.shuffle(&mut self.options.seed.child("order").nth(self.epochs as u64).rng()),
        }
        if self.begun.trials == 0 {
            self.carried.clear();
        }
        let Some(rest) = order.get(self.begun.trials..) else {
            let (name, len, done) = (data.name(), data.len(), self.begun.trials);
            return Err(TrainError::Checkpoint(format!("it is {done} trials into an epoch, data set `{name}` has only {len}")));
        };
        for batch in rest.chunks(self.options.batch) {
            let at = self.epochs as f64 + self.begun.trials as f64 / data.len() as f64;
            let stats = self.batch(data, batch, self.options.schedule.factor(at))?;
            self.begun.add(&stats);
            if !stats.loss.is_finite() {
                return Err(TrainError::Diverged { loss: stats.loss, epoch: self.epochs });
            }
            self.look_for_dead(&stats)?;
            if after_batch(self.begun.trials).is_break() && self.begun.trials < data.len() {
                return Ok(None);
            }
        }
        self.epochs += 1;
        Ok(Some(std::mem::take(&mut self.begun)))
    }

    /// One update on the trials `batch`, with the learning rate times `factor`.
    fn batch(&mut self, data: &dyn Dataset, batch: &[usize], factor: f64) -> Result<Stats, TrainError> {
        let mut pasts = std::mem::take(&mut self.carried);
        pasts.resize_with(if self.options.carry { batch.len() } else { 0 }, Past::default);
        if !self.drop_connect.is_empty() {
            self.drop_connect.leave_out(&mut self.engine, self.options.seed.child("drop connect").nth(self.moments.updates));
        }
        let mut stats = self.learn(data, batch, &mut pasts);
        self.drop_connect.put_back(&mut self.engine, &mut self.chunks[0]);
        self.carried = pasts;
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.rates = std::mem::take(&mut stats.counts);
        let all = (batch.len() * data.steps()) as f64;
        self.rates.iter_mut().flatten().for_each(|n| *n /= all);
        let (gradients, rest) = self.chunks.split_first_mut().expect("there are chunks");
        let scale = self.options.clip.map_or(1.0, |clip| (clip / gradients.norm()).min(1.0));
        if scale < 1.0 {
            gradients.lists_mut().flatten().flat_map(|b| &mut b.0).for_each(|g| *g *= scale as f32);
        }
        self.moments.tick();
        let (engine, optimiser, moments) = (&mut self.engine, self.optimiser, &mut self.moments);
        let mut update = Update { engine, optimiser, factor, moments, gradients };
        let before = update.engine.relinked();
        match (&mut self.structure, &mut self.substrate) {
            (Some((_, wiring)), _) => stats.turnover = wiring.update(&mut update),
            (None, Some(substrate)) => {
                let steps = update.steps();
                substrate.update(update.engine, &steps);
            }
            (None, None) => (0..update.engine.links().len()).for_each(|k| update.optimise(k)),
        }
        for (k, rate) in self.rates_of.iter().enumerate() {
            let (place, gradient) = (self.engine.links().len() + k, &gradients.parameters[k]);
            let (optimiser, moments) = (self.optimiser.without_decay(), &mut self.moments);
            self.engine.set_parameter(k, |values| moments.update(&optimiser, factor * rate, place, values, gradient))?;
        }
        if self.engine.relinked() != before {
            rest.iter_mut().for_each(|chunk| chunk.fit(&self.engine));
        }
        for &(k, keep) in &self.decay {
            self.engine.links_mut()[k].store.weights_mut().iter_mut().flat_map(|b| &mut b.0).for_each(|w| *w *= keep as f32);
        }
        self.engine.tie();
        if let Some(device) = &mut self.device {
            device.follow(&mut self.engine)?;
        }
        Ok(stats)
    }

    /// A device for each of `count` pieces of work; without one in the loop, none for each.
    fn stations(&self, count: usize, part: &str) -> Vec<Option<Station>> {
        match &self.device {
            Some(device) => device.stations(count, part, self.moments.updates).into_iter().map(Some).collect(),
            None => (0..count).map(|_| None).collect(),
        }
    }

    /// Takes what stations spent.
    fn close(&self, stations: impl IntoIterator<Item = Option<Station>>) -> Result<(), TrainError> {
        self.device.as_ref().map_or(Ok(()), |device| device.close(stations.into_iter().flatten()))
    }

    /// The mean gradient over the trials `batch`, each beginning at rest, without an update: read it with [`Trainer::last_gradient`].
    pub fn gradient(&mut self, data: &dyn Dataset, batch: &[usize]) -> Stats {
        self.learn(data, batch, &mut Vec::new())
    }

    /// The same; where there are pasts, one for each trial, these go on there.
    fn learn(&mut self, data: &dyn Dataset, batch: &[usize], pasts: &mut Vec<Past<f32>>) -> Stats {
        let (engine, rule, workers) = (&self.engine, &self.rule, &self.workers);
        let (loss, regulariser, scale) = (self.options.loss, self.options.regulariser, 1.0 / batch.len() as f64);
        let job = Job { engine, data, loss, regulariser, scale, updates: self.moments.updates, rates: &self.rates };
        let count = pieces(batch.len(), data.steps(), rule.together(engine));
        while self.chunks.len() < count {
            self.chunks.push(Gradients::zero(engine));
        }
        let stations = self.stations(count, "training");
        let chunks = &mut self.chunks[..count];
        chunks[0].clear();
        let cut = |c: usize| c * batch.len() / count;
        let mut rest = std::mem::take(pasts).into_iter();
        let begin: Vec<Vec<Past<f32>>> = (0..count).map(|c| rest.by_ref().take(cut(c + 1) - cut(c)).collect()).collect();
        let pieces: Vec<(Stats, Option<Station>, Vec<Past<f32>>)> = (chunks.par_iter_mut().zip(stations).zip(begin).enumerate())
            .map(|(c, ((gradients, station), begin))| {
                let spare = workers.lock().map_or(None, |mut w| w.pop());
                let mut worker = spare.unwrap_or_else(|| rule.worker(engine));
                worker.play_on(station);
                worker.go_on_from(begin);
                let stats = worker.learn(&job, &batch[cut(c)..cut(c + 1)], gradients);
                let (station, end) = (worker.play_on(None), worker.go_on_from(Vec::new()));
                if let Ok(mut pool) = workers.lock() {
                    pool.push(worker);
                }
                (stats, station, end)
            })
            .collect();
        Gradients::sum(chunks);
        chunks[0].tie(engine);
        let (mut total, mut stations) = (Stats::default(), Vec::new());
        for (stats, station, end) in pieces {
            total.add(&stats);
            stations.push(station);
            pasts.extend(end);
        }
        self.failed = self.close(stations).err();
        total
    }

    fn look_for_dead(&mut self, stats: &Stats) -> Result<(), TrainError> {
        for (p, cells) in self.engine.cells().iter().enumerate() {
            let quiet = cells.output().is_events() && stats.active[p] == 0;
            self.quiet[p] = if quiet { self.quiet[p] + 1 } else { 0 };
            if self.quiet[p] >= self.options.dead_after {
                let population = self.engine.network().draft().populations[p].name.clone();
                return Err(TrainError::Dead { population, epoch: self.epochs, batches: self.quiet[p] });
            }
        }
        Ok(())
    }

    fn check(&self, data: &dyn Dataset) -> Result<(), TrainError> {
        let input = &self.engine.network().draft().inputs[0];
        if data.inputs() != input.size {
            return Err(TrainError::Channels {
                data: data.name().into(),
                found: data.inputs(),
                input: input.name.clone(),
                expected: input.size,
            });
        }
        if data.is_empty() {
            return Err(TrainError::Empty(data.name().into()));
        }
        Ok(self.options.loss.check(&self.engine, data.name(), data.classes())?)
    }

    /// The lanes of the data, whose trials go on where others ended.
    fn lanes(data: &dyn Dataset) -> Result<usize, TrainError> {
        match data.lanes() {
            Some(lanes) if lanes > 0 && data.len().is_multiple_of(lanes) => Ok(lanes),
            Some(lanes) => {
                let why =
                    format!("`carry`: data set `{}` has {} trials in {lanes} lanes; each lane must have as many", data.name(), data.len());
                Err(TrainError::Options(why))
            }
            None => {
                let why = format!(
                    "`carry`: the trials of data set `{}` stand each by itself; cut sequences into lanes, or take out `carry`",
                    data.name()
                );
                Err(TrainError::Options(why))
            }
        }
    }

    fn check_lanes(&self, data: &dyn Dataset) -> Result<(), TrainError> {
        let (lanes, batch) = (Self::lanes(data)?, self.options.batch);
        if lanes == batch {
            return Ok(());
        }
        let why = format!(
            "`carry`: data set `{}` has {lanes} lanes, a batch is {batch} trials; a batch takes one trial of each lane",
            data.name()
        );
        Err(TrainError::Options(why))
    }

    /// Runs all trials without learning; with [`Options::carry`] each lane from its beginning to its end. The statistics have no active entries but those of rectified populations.
    ///
    /// # Errors
    /// If the data do not fit.
    pub fn evaluate(&self, data: &dyn Dataset) -> Result<Stats, TrainError> {
        const PIECE: usize = 64;
        self.check(data)?;
        if self.options.carry {
            return self.evaluate_lanes(data);
        }
        let output = self.engine.outputs()[0];
        let count = self.engine.cells().len();
        let stations = self.stations(data.len().div_ceil(PIECE), "evaluation");
        let (pieces, stations): (Vec<Stats>, Vec<Option<Station>>) = (stations.into_par_iter().enumerate())
            .map_init(
                || (Raster::default(), Record::new(&self.engine), Vec::new(), Vec::new()),
                |(input, record, y, error), (piece, mut station)| {
                    let mut stats = Stats { spikes: vec![0; count], active: vec![0; count], entries: vec![0; count], ..Stats::default() };
                    for trial in piece * PIECE..((piece + 1) * PIECE).min(data.len()) {
                        data.load(trial, input);
                        record.noise = Seed::new(self.moments.updates).child("evaluate").nth(trial as u64);
                        match &mut station {
                            None => self.engine.run(&[input], Wants::Spikes, record),
                            Some(station) => station.play(&self.engine, input, trial, Wants::Spikes, record),
                        }
                        record.traces[output].values(y);
                        error.resize(y.len(), Block::zero());
                        stats.count(self.options.loss.evaluate(y, self.engine.cells()[output].size(), data.target(trial), 0.0, error));
                        stats.tally(&self.engine, input, record, 0);
                    }
                    (stats, station)
                },
            )
            .unzip();
        self.close(stations)?;
        let mut total = Stats::default();
        pieces.iter().for_each(|s| total.add(s));
        Ok(total)
    }

    fn evaluate_lanes(&self, data: &dyn Dataset) -> Result<Stats, TrainError> {
        let (engine, lanes, output) = (&self.engine, Self::lanes(data)?, self.engine.outputs()[0]);
        let (units, first) = (engine.cells()[output].size(), engine.history());
        let before = first * blocks(units);
        let lane = |lane: usize| {
            let (mut next, mut input, mut record) = (Raster::default(), Raster::default(), Record::new(engine));
            let (mut y, mut error, mut past, mut stats) = (Vec::new(), Vec::new(), Past::default(), Stats::of(engine.cells().len()));
            for trial in (lane..data.len()).step_by(lanes) {
                data.load(trial, &mut next);
                past.lead(engine, 0, &next, &mut input);
                record.noise = Seed::new(self.moments.updates).child("evaluate").nth(trial as u64);
                engine.go_on(&past, &[&input], Wants::Spikes, &mut record);
                past = past.after(engine, &[&input], &record);
                record.traces[output].values(&mut y);
                error.resize(y.len() - before, Block::zero());
                stats.count(self.options.loss.evaluate(&y[before..], units, data.target(trial), 0.0, &mut error));
                stats.tally(engine, &input, &record, first);
            }
            stats
        };
        let all: Vec<Stats> = (0..lanes).into_par_iter().map(lane).collect();
        let mut total = Stats::default();
        all.iter().for_each(|stats| total.add(stats));
        Ok(total)
    }

    /// The network as it is.
    pub fn engine(&self) -> &Clocked<f32> {
        &self.engine
    }
    /// The network description with the weights as they are.
    ///
    /// # Errors
    /// If a weight is not finite any more.
    pub fn network(&self) -> Result<Network, TrainError> {
        Ok(self.engine.describe()?)
    }
    /// The gradient of the last batch, one list per projection in the order of the description.
    pub fn last_gradient(&self) -> Vec<Vec<f32>> {
        self.chunks[0].in_order(&self.engine)
    }
    /// Whole epochs done.
    pub fn epochs(&self) -> usize {
        self.epochs
    }
    /// Trials done in the epoch after them: 0, but in a pause.
    pub fn trials(&self) -> usize {
        self.begun.trials
    }
    /// Bytes of working memory of all workers: the training state, without weights and gradients.
    pub fn state_bytes(&self) -> usize {
        self.workers.lock().map_or(0, |w| w.iter().map(|w| w.bytes()).sum())
    }

    /// The exact state between batches.
    pub fn checkpoint(&self) -> Checkpoint {
        let plain = |moments: &[Vec<Block<f32>>]| moments.iter().map(|m| flat(m).to_vec()).collect();
        let links = |store: &Store<f32>| match store {
            Store::Csr(csr) if self.structure.is_some() => Some(csr.description()),
            _ => None,
        };
        Checkpoint {
            epochs: self.epochs,
            begun: self.begun.clone(),
            updates: self.moments.updates,
            quiet: self.quiet.clone(),
            rates: self.rates.clone(),
            weights: (self.engine.links().iter().map(|l| l.store.weights()))
                .chain(self.engine.parameters().iter().map(|p| &p.values[..]))
                .map(|list| flat(list).to_vec())
                .collect(),
            first: plain(&self.moments.first),
            second: plain(&self.moments.second),
            links: self.engine.links().iter().map(|link| links(&link.store)).collect(),
            structure: self.structure.as_ref().map(|(name, wiring)| ((*name).into(), wiring.save())),
            substrate: self.substrate.as_ref().map(|substrate| (substrate.name().into(), substrate.save())),
            carried: self.carried.clone(),
        }
    }

    /// Goes back to a state saved by a trainer of the same network, optimiser and structural rule.
    ///
    /// # Errors
    /// If the shapes differ; then nothing is changed.
    pub fn restore(&mut self, saved: &Checkpoint) -> Result<(), TrainError> {
        if self.device.is_some() {
            let why = "it does not hold the state of the device in the loop; start again without resuming";
            return Err(TrainError::Checkpoint(why.into()));
        }
        let other = || TrainError::Checkpoint("it holds another network or another optimiser; start again without resuming".into());
        let of = |v: &[Vec<f32>]| v.iter().map(Vec::len).collect::<Vec<_>>();
        if saved.links.len() != self.engine.links().len() {
            return Err(other());
        }
        let mut here = Vec::new();
        for (link, saved) in self.engine.links().iter().zip(&saved.links) {
            here.push(match (&link.store, saved) {
                (Store::Csr(_), Some(Links::Csr { ends, targets })) if self.structure.is_some() => {
                    let (from, to) = (self.engine.size(link.from), self.engine.cells()[link.to].size());
                    let csr = Csr::<f32>::checked(ends, targets, from, to).map_err(|e| TrainError::Checkpoint(e.to_string()))?;
                    blocks(csr.links()) * LANES
                }
                (store, None) if self.structure.is_none() || !matches!(store, Store::Csr(_)) => store.weights().len() * LANES,
                _ => return Err(TrainError::Checkpoint("it was made with another structural rule; start again without resuming".into())),
            });
        }
        here.extend(self.engine.parameters().iter().map(|p| p.values.len() * LANES));
        let second = if self.moments.second.is_empty() { &[][..] } else { &here };
        if of(&saved.weights) != here || of(&saved.first) != here || of(&saved.second) != second || saved.quiet.len() != self.quiet.len() {
            return Err(other());
        }
        let carried = saved.carried.is_empty() || self.options.carry && saved.carried.len() == self.options.batch;
        if !carried || saved.carried.iter().any(|past| !past.fits(&self.engine)) {
            return Err(TrainError::Checkpoint("it holds the states of other lanes; start again without resuming".into()));
        }
        let same_rule = match (&mut self.structure, &saved.structure) {
            (None, None) => true,
            (Some((name, wiring)), Some((theirs, state))) => name == theirs && wiring.restore(state),
            _ => false,
        };
        if !same_rule {
            return Err(TrainError::Checkpoint("it was made with another structural rule; start again without resuming".into()));
        }
        let same_substrate = match (&mut self.substrate, &saved.substrate) {
            (None, None) => true,
            (Some(substrate), Some((name, state))) => substrate.name() == name && substrate.restore(&mut self.engine, state),
            _ => false,
        };
        if !same_substrate {
            return Err(TrainError::Checkpoint("it was made with another substrate; start again without resuming".into()));
        }
        for (k, links) in saved.links.iter().enumerate() {
            if let Some(links) = links {
                self.engine.set_links(k, links).map_err(|e| TrainError::Checkpoint(e.to_string()))?;
            }
        }
        let copy = |to: &mut [Block<f32>], from: &[f32]| flat_mut(to).copy_from_slice(from);
        for (link, w) in self.engine.links_mut().iter_mut().zip(&saved.weights) {
            copy(link.store.weights_mut(), w);
        }
        for (k, values) in saved.weights[saved.links.len()..].iter().enumerate() {
            self.engine.set_parameter(k, |here| copy(here, values))?;
        }
        let moments = self.moments.first.iter_mut().zip(&saved.first).chain(self.moments.second.iter_mut().zip(&saved.second));
        for (m, s) in moments {
            m.resize(s.len() / LANES, Block::zero());
            copy(m, s);
        }
        self.chunks.iter_mut().for_each(|chunk| chunk.fit(&self.engine));
        (self.moments.updates, self.epochs, self.quiet) = (saved.updates, saved.epochs, saved.quiet.clone());
        (self.begun, self.rates, self.carried) = (saved.begun.clone(), saved.rates.clone(), saved.carried.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::pieces;

    #[test]
    fn a_piece_is_worth_its_gradient() {
        for (batch, steps, expected) in
            [(0, 1, 1), (1, 1, 1), (8, 1, 1), (10, 1, 2), (32, 1, 4), (57, 1, 8), (1000, 1, 8), (1, 100, 1), (5, 100, 5), (20, 40, 8)]
        {
            assert_eq!(pieces(batch, steps, 1), expected, "{batch} trials of {steps} steps");
        }
        for (batch, expected) in [(1, 1), (8, 2), (32, 2), (64, 2), (100, 3), (256, 8), (1000, 8)] {
            assert_eq!(pieces(batch, 100, 32), expected, "{batch} trials, 32 together");
        }
    }
}
