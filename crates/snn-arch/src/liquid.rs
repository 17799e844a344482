//! Liquid state machines that learn to learn: the recurrent weights are learnt over a family of series, only a readout for one of them.
//!
//! The inner loop is ridge regression of one series on the liquid's state, in closed form; the outer loop's gradient goes through that solution into the
//! states it was fitted on and from there, by any rule, into the liquid.
//!
//! Sources: Subramoney, Scherr & Maass 2019 (arXiv:1909.07486) for both loops; Maass, Natschläger & Markram 2002 for liquids. The closed form in the place
//! of the delta rule is ours.

use crate::error::{ArchError, check, shape};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use snn_core::net::{Connect, Init};
use snn_core::neuron::{Li, Lif};
use snn_core::stats::variance;
use snn_core::{Dataset, Net, Network, NetworkError, Raster, Seed, Target};
use snn_data::{Drawn, NarmaParams, Task, VolterraParams};
use snn_learn::readout::{Readout, Ridge};
use snn_learn::{Checkpoint, Loss, Optimiser, Regulariser, Rule, Schedule, Trainer};
use snn_sparse::{Clocked, LANES, Record, Wants};
use std::ops::Range;

/// A family of series to be computed from an input, one in each trial: the trial's target has one number per step.
pub trait Series: Task + Clone + Send {
    /// Steps that a readout is fitted on.
    fn training(&self) -> Range<usize>;
    /// Steps that it is judged on.
    fn testing(&self) -> Range<usize>;
}

impl Series for VolterraParams {
    fn training(&self) -> Range<usize> {
        VolterraParams::training(self)
    }
    fn testing(&self) -> Range<usize> {
        VolterraParams::testing(self)
    }
}

impl Series for NarmaParams {
    fn training(&self) -> Range<usize> {
        self.shown.training()
    }
    fn testing(&self) -> Range<usize> {
        self.shown.testing()
    }
}

/// A network of LIF neurons whose filtered spikes are its state:
///
/// ```text
/// in ─▶ liquid ⟲ ─▶ state        h_j[t] = κ·h_j[t−1] + (1 − κ)·z_j[t],   κ = exp(−dt/tau_state)
/// ```
/// All links exist but those from a neuron to itself; each recurrent one has a delay of its own, uniform from one step to `delay`. Weights are normal with a
/// standard deviation of `gain/√(sources)`. The links into `state` are fixed.
///
/// ```
/// # use snn_arch::liquid::Liquid;
/// # use snn_core::Seed;
/// let liquid = Liquid { size: 50, ..Liquid::default() };
/// let net = liquid.network(20, Seed::new(1))?;
/// assert_eq!(net.links(), 20 * 50 + 50 * 49 + 50);
/// # Ok::<(), snn_core::NetworkError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Liquid {
    /// Time step (s).
    pub dt: f64,
    /// Neurons.
    pub size: usize,
    /// Membrane time constant (s).
    pub tau: f64,
    /// Threshold.
    pub v_th: f64,
    /// Refractory period (s).
    pub refractory: f64,
    /// Longest recurrent delay (s), at least one step.
    pub delay: f64,
    /// Time constant of the state (s).
    pub tau_state: f64,
    /// Spread of the input's weights, times the root of the number of channels.
    pub gain_in: f64,
    /// Spread of the recurrent weights, times the root of the number of neurons.
    pub gain: f64,
}

impl Default for Liquid {
    fn default() -> Self {
        Liquid { dt: 1e-3, size: 200, tau: 0.02, v_th: 0.6, refractory: 5e-3, delay: 10e-3, tau_state: 0.02, gain_in: 1.0, gain: 1.0 }
    }
}

impl Liquid {
    /// The network for `inputs` channels; its output is the state.
    ///
    /// # Errors
    /// As [`Net::build`].
    pub fn network(&self, inputs: usize, seed: Seed) -> Result<Network, NetworkError> {
        let spread = |gain: f64, sources: usize| Init::normal(gain / (sources as f64).sqrt());
        Net::new(self.dt)
            .input("in", inputs)
            .population("liquid", self.size, Lif { tau: self.tau.into(), v_th: self.v_th.into(), ..Lif::default() })
            .refractory(self.refractory)
            .population("state", self.size, Li { tau: self.tau_state.into() })
            .project("in", "liquid", Connect::All, spread(self.gain_in, inputs))
            .project("liquid", "liquid", Connect::All, spread(self.gain, self.size))
            .without_autapses()
            .delays(self.dt, self.delay)
            .project("liquid", "state", Connect::OneToOne, Init::Constant(1.0))
            .fixed()
            .output("state")
            .build(seed)
    }
}

/// How the outer loop goes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Penalty of the readout, above 0, for each step it is fitted on: `λ` of [`Ridge`] is this times their number.
    pub lambda: f64,
    /// Tasks of one iteration, at least 1.
    pub tasks: usize,
    /// Largest norm of a gradient; larger ones are scaled down to it.
    pub clip: Option<f64>,
    /// Penalty on the liquid's activity.
    pub regulariser: Regulariser,
    /// Learning rate over iterations.
    pub schedule: Schedule,
    /// Seed of the tasks.
    pub seed: Seed,
}

/// How an iteration went.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Iteration {
    /// Median over its tasks of the error, before the update.
    pub error: f64,
    /// Spikes per neuron and step.
    pub spikes: f64,
}

/// The exact state between two iterations: with it the loop goes on to the same bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// Iterations done.
    pub iterations: u64,
    /// Weights and moments.
    pub trainer: Checkpoint,
}

/// The outer loop: each iteration draws new tasks, fits a readout for each on its training part and moves the liquid down the gradient of the errors on their
/// test parts. On all threads of the current rayon pool.
///
/// ```text
/// L = Σ_task Σ_{t ∈ test} (w·h(t) + b − y(t))² / (T·var y),    (w, b) = ridge(h, y on training)
/// ```
/// Cost of an iteration: for each task two runs of the liquid, a fit, a backward pass of the rule. Memory: the states of the tasks in `f64`.
/// The result does not depend on the number of threads, nor on where the loop was stopped and went on from [`Optimised::save`].
///
/// ```
/// use snn_arch::liquid::{Liquid, Optimised, Options, errors};
/// use snn_core::{Seed, Surrogate};
/// use snn_data::VolterraParams;
/// use snn_learn::{Optimiser, Regulariser, Schedule, SparseBptt};
/// let family = VolterraParams { train: 0.6, test: 0.4, ..Default::default() };
/// let net = Liquid { size: 20, ..Default::default() }.network(family.cells, Seed::new(1))?;
/// let options = Options {
///     lambda: 1e-4, tasks: 4, clip: Some(1.0), regulariser: Regulariser::NONE, schedule: Schedule::Constant, seed: Seed::new(2),
/// };
/// let rule = SparseBptt { surrogate: Surrogate::triangle(0.3, 1.0) };
/// let mut outer = Optimised::new(&net, family.clone(), rule, Optimiser::adam(1e-3), options)?;
/// let iteration = outer.iteration()?;
/// let unseen = family.trials(Seed::new(3), 0..4)?;
/// let all = errors(outer.trainer().engine(), &unseen, options.lambda, usize::MAX)?;
/// assert!(iteration.error > 0.0 && all.len() == 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Optimised<F> {
    family: F,
    options: Options,
    trainer: Trainer,
    iterations: u64,
}

impl<F: Series> Optimised<F> {
    /// The outer loop for `network`, whose output is its state, on tasks of `family`.
    ///
    /// # Errors
    /// If an option is impossible, the network does not fit the family, or the rule cannot take the network.
    pub fn new(
        network: &Network,
        family: F,
        rule: impl Rule<f32> + 'static,
        optimiser: Optimiser,
        options: Options,
    ) -> Result<Self, ArchError> {
        const OF: &str = "liquid::Options";
        check(options.tasks > 0, OF, "tasks", options.tasks, "1 or more")?;
        ridge(options.lambda, 1)?;
        let Options { clip, regulariser, schedule, seed, .. } = options;
        let inner = snn_learn::Options {
            regulariser,
            clip,
            schedule,
            batch: options.tasks,
            ..snn_learn::Options::new(Loss::Linear, seed.child("trainer"))
        };
        let trainer = Trainer::new(network, rule, optimiser, inner)?;
        state(trainer.engine(), &family)?;
        Ok(Optimised { family, options, trainer, iterations: 0 })
    }

    /// One iteration, on tasks that no other has.
    ///
    /// # Errors
    /// If a population is dead, or a state, the network or its gradient is not finite any more.
    pub fn iteration(&mut self) -> Result<Iteration, ArchError> {
        let (n, now) = (self.options.tasks as u64, self.iterations);
        let tasks = Drawn::new(self.family.clone(), self.options.seed.child("tasks"), now * n..(now + 1) * n);
        let engine = self.trainer.engine();
        let one = |(raster, record): &mut (Raster, Record<f32>), i| {
            let states = run(engine, &tasks, i, raster, record)?;
            let (wanted, all) = (target(&tasks, i), self.family.training());
            let fit = Fit::new(&states, &wanted, all, self.family.testing(), self.options.lambda)?;
            Ok((fit.error(), fit.back(tasks.steps())))
        };
        let found = (0..tasks.len()).into_par_iter().map_init(|| (Raster::default(), Record::new(engine)), one);
        let (mut each, slopes): (Vec<f64>, Vec<Vec<f32>>) = found.collect::<Result<Vec<_>, ArchError>>()?.into_iter().unzip();
        let stats = self.trainer.epoch(&Slopes { tasks: &tasks, slopes }, &|_| ())?;
        let liquid = self.trainer.engine().cells().iter().zip(stats.spikes.iter().zip(&stats.entries)).filter(|(cells, _)| cells.spikes());
        let (fired, entries) = liquid.fold((0, 0), |(a, b), (_, (fired, entries))| (a + fired, b + entries));
        self.iterations += 1;
        Ok(Iteration { error: median(&mut each), spikes: fired as f64 / entries.max(1) as f64 })
    }

    /// Iterations done.
    pub fn iterations(&self) -> u64 {
        self.iterations
    }
    /// The inner trainer: its engine and network.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// The exact state between iterations.
    pub fn save(&self) -> Saved {
        Saved { iterations: self.iterations, trainer: self.trainer.checkpoint() }
    }

    /// Goes back to a state saved by a loop with the same network, optimiser and options.
    ///
    /// # Errors
    /// If it is of another network; then nothing is changed.
    pub fn restore(&mut self, saved: &Saved) -> Result<(), ArchError> {
        if saved.trainer.updates != saved.iterations {
            let (found, n) = (saved.trainer.updates, saved.iterations);
            return Err(ArchError::Checkpoint(format!("{found} updates in {n} iterations: it is of another loop")));
        }
        self.trainer.restore(&saved.trainer)?;
        self.iterations = saved.iterations;
        Ok(())
    }
}

/// The error on each task of a readout that was fitted on its first `steps` scored training steps: mean squared error on the test part over the target's
/// variance there. Runs on all threads; the result does not depend on their number.
///
/// # Errors
/// If the network does not fit the tasks, the penalty is impossible, fewer than two steps are left to fit on, or a state is not finite.
pub fn errors<F: Series>(engine: &Clocked<f32>, tasks: &Drawn<F>, lambda: f64, steps: usize) -> Result<Vec<f64>, ArchError> {
    state(engine, tasks.task())?;
    let all = tasks.task().training();
    let training = all.start..all.end.min(all.start.saturating_add(steps));
    let one = |(raster, record): &mut (Raster, Record<f32>), i| {
        let states = run(engine, tasks, i, raster, record)?;
        let fit = Fit::new(&states, &target(tasks, i), training.clone(), tasks.task().testing(), lambda)?;
        Ok(fit.error())
    };
    (0..tasks.len()).into_par_iter().map_init(|| (Raster::default(), Record::new(engine)), one).collect()
}

/// The middle of some numbers, or the mean of the two in the middle.
fn median(x: &mut [f64]) -> f64 {
    x.sort_by(f64::total_cmp);
    let n = x.len();
    0.5 * (x[(n - 1) / 2] + x[n / 2])
}

fn ridge(lambda: f64, steps: usize) -> Result<Ridge, ArchError> {
    Ok(Ridge::new(lambda * steps as f64)?)
}

/// The population that is the state.
fn state<F: Series>(engine: &Clocked<f32>, family: &F) -> Result<usize, ArchError> {
    let units = engine.outputs().first().map_or(0, |&p| engine.cells()[p].size());
    shape(engine, family.name(), family.inputs(), units, "the state, one per neuron")
}

/// The state in task `i`, `[t][unit]`.
fn run<F: Series>(
    engine: &Clocked<f32>,
    tasks: &Drawn<F>,
    i: usize,
    raster: &mut Raster,
    record: &mut Record<f32>,
) -> Result<States, ArchError> {
    tasks.load(i, raster);
    engine.run(&[raster], Wants::Spikes, record);
    let trace = &record.traces[engine.outputs()[0]];
    let units = trace.units();
    let at = |t: usize| (0..units).map(move |k| f64::from(trace.output[t * trace.blocks() + k / LANES][k % LANES]));
    Ok(States { units, all: (0..tasks.steps()).flat_map(at).collect() })
}

fn target<F: Series>(tasks: &Drawn<F>, i: usize) -> Vec<f64> {
    match tasks.target(i) {
        Target::Series(series) => series.iter().map(|&y| f64::from(y)).collect(),
        _ => Vec::new(),
    }
}

struct States {
    units: usize,
    all: Vec<f64>,
}

impl States {
    fn of(&self, steps: &Range<usize>) -> &[f64] {
        &self.all[steps.start * self.units..steps.end * self.units]
    }
}

/// A readout of one task and what it answers where it is judged.
struct Fit<'a> {
    readout: Readout,
    states: &'a States,
    training: Range<usize>,
    testing: Range<usize>,
    /// `ŷ − y`.
    apart: Vec<f64>,
    variance: f64,
}

impl<'a> Fit<'a> {
    fn new(states: &'a States, wanted: &[f64], training: Range<usize>, testing: Range<usize>, lambda: f64) -> Result<Self, ArchError> {
        let readout = ridge(lambda, training.len())?.fit(states.of(&training), states.units, &wanted[training.clone()])?;
        let answers = states.of(&testing).chunks(states.units).map(|h| readout.answer(h));
        let apart = answers.zip(&wanted[testing.clone()]).map(|(answer, y)| answer - y).collect();
        let variance = variance(&wanted[testing.clone()]);
        Ok(Fit { readout, states, training, testing, apart, variance })
    }

    /// Mean squared error over the variance of the target.
    fn error(&self) -> f64 {
        self.apart.iter().map(|e| e * e).sum::<f64>() / (self.apart.len() as f64 * self.variance)
    }

    /// The error's derivative by the state at each of `steps` steps, `[t][unit]`.
    fn back(&self, steps: usize) -> Vec<f32> {
        let (units, scale) = (self.states.units, 2.0 / (self.apart.len() as f64 * self.variance));
        let slopes: Vec<f64> = self.apart.iter().map(|e| scale * e).collect();
        let mut all = vec![0.0; steps * units];
        let through = self.readout.back(self.states.of(&self.testing), &slopes);
        all[self.training.start * units..].iter_mut().zip(through).for_each(|(a, d)| *a += d as f32);
        let direct = slopes.iter().flat_map(|e| self.readout.weights().iter().map(move |w| e * w));
        all[self.testing.start * units..].iter_mut().zip(direct).for_each(|(a, d)| *a += d as f32);
        all
    }
}

/// Tasks with the derivative of an error by the state in the place of their targets.
struct Slopes<'a, F> {
    tasks: &'a Drawn<F>,
    slopes: Vec<Vec<f32>>,
}

impl<F: Series> Dataset for Slopes<'_, F> {
    fn name(&self) -> &str {
        self.tasks.name()
    }
    fn len(&self) -> usize {
        self.tasks.len()
    }
    fn inputs(&self) -> usize {
        self.tasks.inputs()
    }
    fn steps(&self) -> usize {
        self.tasks.steps()
    }
    fn classes(&self) -> usize {
        0
    }
    fn load(&self, index: usize, into: &mut Raster) {
        self.tasks.load(index, into);
    }
    fn target(&self, index: usize) -> Target<'_> {
        Target::Series(&self.slopes[index])
    }
}
