//! E-prop 2: a network that learns to teach another one, in one update.

use crate::in_the_loop::Station;
use crate::rule::adjoint::{Adjoint, Along, with_states};
use crate::rule::backward::Sparse;
use crate::rule::{Gradients, Job, Rule, RuleError, Stats, Worker, check_common, check_no_reads, check_plain};
use serde::{Deserialize, Serialize};
use snn_core::neuron::decay;
use snn_core::{Dataset, Raster, Surrogate, ms};
use snn_sparse::lanes::{Isa, Kernel, bits, flat, flat_mut};
use snn_sparse::{Block, Clocked, LANES, Record, Scalar, Store, Synapses};
use std::time::Instant;

const NAME: &str = "learned_signals";

/// E-prop 2 (Bellec et al. 2019): one part of a network learns which learning signals teach another part a task in a single update.
///
/// A trial is a task, and is run twice. In the first run the *generator* hears what is wanted, and its readout gives a learning signal `L_j` to every neuron
/// `j` of the *learner*. The weights into the learner are updated once by e-prop. The second run, with the new weights, is judged by the loss `E`:
/// ```text
/// W'_ij = W_ij − η·Σ_t L_j[t]·ē_ij[t]              i: input or learner;   ē_ij[t] = κ·ē_ij[t−1] + (1 − κ)·e_ij[t]
/// ```
/// with the eligibility traces `e` of [`Eprop`](super::Eprop). The gradient of `E` is what the rule gives. So a trainer with this rule is the outer loop: over
/// many tasks it learns the generator, the weights `W` that every task starts from, and the readout. The next trial starts from `W` again.
///
/// **Gradient.** `G = ∂E/∂W'` and that of the other weights is [`SparseBptt`](crate::SparseBptt) in the second run. The update is linear in `L`, so
/// ```text
/// ∂E/∂L_j[t] = −η·Σ_i G_ij·ē_ij[t]
/// ```
/// which is the derivative of the filtered spikes of `j` along the direction `G` of its weights, as e-prop sees it. Carried forwards it is one number per neuron: no
/// trace of a synapse is kept over time. From the generator's readout it goes back through the first run by `SparseBptt`, into the generator and
/// everything that it hears.
///
/// Departure: first order in `W`. `∂E/∂W = G`, and the change of the traces `ē` with the weights, which needs a derivative of ψ, is left out. What reaches
/// `W` through spikes that the generator hears is not.
///
/// **Learner and generator are populations of one network.** So all weights are trained, saved and counted alike. The learner has events, one population of
/// any model, with any links and delays. The generator is whatever leads to the readout `signals`, which is graded (`li`), not the output, and has one unit for
/// each neuron of the learner. Channels that say what is wanted must not lead to the learner: give it the others with [`Connect::Sources`](snn_core::net::Connect).
/// In the second run the generator runs again, unheard. With a device in the loop both runs are on it, with the same trial's noise, and the weights are written in between.
///
/// Loss and penalty are those of the second run, spikes and multiply-accumulates are counted in both. `Trainer::evaluate` runs the network before the update;
/// `Trainer::gradient` gives the loss after it, without moving a weight; [`adapted`](Self::adapted) gives the network after it.
///
/// | option | meaning |
/// |---|---|
/// | `surrogate` | ψ, in traces and both runs |
/// | `learner` | the population that is taught |
/// | `signals` | the readout that gives `L` |
/// | `rate` | η, above 0 |
/// | `filter` | time constant of κ (s); 0: `ē = e` |
///
/// Cost: two runs; going back, the learner alone and the whole network in both runs; and `events × fan-out + neurons × steps` for `∂E/∂L`. Memory: that of two
/// `SparseBptt`, one copy of the network and three of its weights per thread.
///
/// Source: Bellec, Scherr, Hajek, Salaj, Legenstein and Maass 2019 (arXiv:1901.09049), e-prop 2. The released program of its successor (Scherr, Stöckl and Maass
/// 2020) has no trace filter.
///
/// ```
/// use snn_core::{Net, Seed, Surrogate, ms, net::{Connect, Init}, neuron::{Li, Lif}};
/// use snn_learn::{LearnedSignals, Loss, Optimiser, Options, Trainer};
/// // Inputs 0..5 are a clock, heard by both; 5..20 say what is wanted, and only the generator hears them.
/// let net = Net::new(ms(1.0)).input("in", 20)
///     .population("learner", 30, Lif::default()).population("out", 1, Li::default())
///     .population("generator", 40, Lif::default()).population("signals", 30, Li::default())
///     .project("in", "learner", Connect::Sources { start: 0, end: 5 }, Init::normal(0.5))
///     .project("learner", "learner", Connect::All, Init::normal(0.2)).delay(ms(1.0))
///     .project("learner", "out", Connect::All, Init::normal(0.3))
///     .project("in", "generator", Connect::All, Init::normal(0.5))
///     .project("learner", "generator", Connect::All, Init::normal(0.2)).delay(ms(1.0))
///     .project("generator", "signals", Connect::All, Init::normal(0.1))
///     .output("out").build(Seed::new(1))?;
/// let rule = LearnedSignals {
///     surrogate: Surrogate::triangle(0.3, 1.0), learner: "learner".into(), signals: "signals".into(), rate: 0.01, filter: ms(20.0),
/// };
/// let trainer = Trainer::new(&net, rule, Optimiser::adam(1e-3), Options::new(Loss::MeanSquared, Seed::new(1)))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LearnedSignals {
    /// The surrogate derivative ψ.
    pub surrogate: Surrogate,
    /// The population whose incoming weights are updated in the first run.
    pub learner: String,
    /// The readout whose unit `j` gives the learning signal of neuron `j`.
    pub signals: String,
    /// Learning rate η of the update.
    pub rate: f64,
    /// Time constant of the traces' filter (s); 0: none.
    pub filter: f64,
}

impl LearnedSignals {
    /// With this learner and this readout of learning signals: the usual surrogate, η = 0.01, traces filtered with 20 ms.
    pub fn new(learner: &str, signals: &str) -> Self {
        let surrogate = Surrogate::triangle(0.3, 1.0);
        LearnedSignals { surrogate, learner: learner.into(), signals: signals.into(), rate: 0.01, filter: ms(20.0) }
    }

    /// The network as it is after the update on trial `index` of `data`. Where links were replaced since it was built, it runs with the links as they are, but
    /// cannot be [described](Clocked::describe).
    ///
    /// Cost: one run, and going back through the learner.
    ///
    /// # Errors
    /// If the rule cannot take the network.
    pub fn adapted<F: Scalar>(&self, engine: &Clocked<F>, data: &dyn Dataset, index: usize) -> Result<Clocked<F>, RuleError> {
        let (learner, signals) = self.populations(engine)?;
        let mut learned = Learned::new(self, engine, learner, signals);
        learned.begin(engine, 0);
        learned.update(engine, data, index, &mut Stats::of(engine.cells().len()));
        Ok(learned.after)
    }

    /// The places of learner and signals.
    fn populations<F: Scalar>(&self, engine: &Clocked<F>) -> Result<(usize, usize), RuleError> {
        check_common(NAME, &self.surrogate, engine)?;
        check_plain(NAME, engine)?;
        check_no_reads(NAME, engine)?;
        let options = |why: String| RuleError::Options { rule: NAME, why };
        if !(self.rate.is_finite() && self.rate > 0.0) {
            return Err(options(format!("rate = {}: must be finite and above 0", self.rate)));
        }
        if !(self.filter.is_finite() && self.filter >= 0.0) {
            return Err(options(format!("filter = {} s: must be finite and zero or more", self.filter)));
        }
        let populations = &engine.network().draft().populations;
        let find = |name: &str, what: &str| {
            let place = populations.iter().position(|p| p.name == name);
            place.ok_or_else(|| options(format!("the network has no population `{name}`: add {what}")))
        };
        let learner = find(&self.learner, "the learner, a population with events")?;
        let signals = find(&self.signals, "the generator's readout, a li that is no output")?;
        let refuse = |p: usize, why: String| Err(RuleError::Population { rule: NAME, population: populations[p].name.clone(), why });
        if !engine.cells()[learner].output().is_events() {
            return refuse(learner, "is the learner and has no events; take a population of spiking or rectified units".into());
        }
        if engine.cells()[signals].output().is_events() {
            return refuse(signals, "gives the learning signals as events; read them out through a leaky integrator (li)".into());
        }
        if engine.outputs().contains(&signals) {
            return refuse(signals, "gives the learning signals and is the output; give them a population of their own".into());
        }
        let (found, needed) = (populations[signals].size, populations[learner].size);
        if found != needed {
            return refuse(signals, format!("gives {found} learning signals; `{}` needs {needed}, one per neuron", self.learner));
        }
        if taught(engine, learner).next().is_none() {
            return refuse(learner, "is the learner and hears no link whose weight can change; project something to it".into());
        }
        Ok((learner, signals))
    }
}

/// The links whose weights the update changes.
fn taught<F: Scalar>(engine: &Clocked<F>, learner: usize) -> impl Iterator<Item = usize> {
    engine.incoming(learner).iter().copied().filter(|&k| engine.links()[k].learns)
}

impl<F: Scalar> Rule<F> for LearnedSignals {
    fn name(&self) -> &'static str {
        NAME
    }
    fn check(&self, engine: &Clocked<F>) -> Result<(), RuleError> {
        self.populations(engine).map(|_| ())
    }
    fn worker(&self, engine: &Clocked<F>) -> Box<dyn Worker<F>> {
        // `check` has found both.
        let (learner, signals) = self.populations(engine).unwrap_or_default();
        Box::new(Learned::new(self, engine, learner, signals))
    }
    fn takes_device(&self) -> bool {
        true
    }
}

struct Learned<F: Scalar> {
    rule: LearnedSignals,
    learner: usize,
    signals: usize,
    /// What the traces' filter leaves of a step.
    kappa: F,
    /// The first run: forwards, back through the learner alone, and back from the learning signals.
    first: Sparse<F>,
    /// The network after the update.
    after: Clocked<F>,
    /// The second run.
    second: Sparse<F>,
    /// `Σ_t L·ē`.
    update: Gradients<F>,
    /// `∂E/∂w` in the second run.
    error: Gradients<F>,
    /// The links into the learner that are updated, with `G` for weights.
    direction: Vec<(usize, Store<F>)>,
    traces: Box<dyn Traces<F>>,
    /// `Σ_{s ≥ t} κ^{s−t}·(1 − κ)·L[s]`, `[step][block]`.
    signal: Vec<Block<F>>,
    /// The state of the engine's links that all this is of.
    relinked: u64,
}

impl<F: Scalar> Learned<F> {
    fn new(rule: &LearnedSignals, engine: &Clocked<F>, learner: usize, signals: usize) -> Self {
        let mut after = Clocked::compile_for(engine.network(), engine.simd());
        // Where links have been replaced, their places in the description have changed as well.
        for (to, from) in after.links_mut().iter_mut().zip(engine.links()) {
            (to.store, to.subset) = (from.store.clone(), from.subset.clone());
        }
        let mut first = Sparse::through_all(engine, rule.surrogate);
        first.taught = signals;
        let local = engine.cells()[learner].local();
        Learned {
            rule: rule.clone(),
            learner,
            signals,
            kappa: F::of(decay(engine.network().dt(), rule.filter)),
            first,
            second: Sparse::through_all(&after, rule.surrogate),
            after,
            update: Gradients::zero(engine),
            error: Gradients::zero(engine),
            direction: taught(engine, learner).map(|k| (k, engine.links()[k].store.clone())).collect(),
            traces: with_states!(local.states(), K => Box::new(Adjoint::<F, K>::new(local))),
            signal: Vec::new(),
            relinked: engine.relinked(),
        }
    }

    /// Takes the weights as they are after so many updates of the outer loop.
    fn begin(&mut self, engine: &Clocked<F>, updates: u64) {
        if self.relinked != engine.relinked() {
            let station = self.first.play_on(None);
            *self = Learned::new(&self.rule.clone(), engine, self.learner, self.signals);
            self.first.play_on(station);
        }
        for (to, from) in self.after.links_mut().iter_mut().zip(engine.links()) {
            to.store.weights_mut().copy_from_slice(from.store.weights());
        }
        self.first.begin(engine, updates);
    }

    /// The first run, and the update: leaves `W'` in the network after it.
    fn update(&mut self, engine: &Clocked<F>, data: &dyn Dataset, index: usize, stats: &mut Stats) {
        let middle = self.first.trial.play(engine, data, index, stats);
        self.first.look_at();
        self.listen();
        for &(k, _) in &self.direction {
            self.update.links[k].fill(Block::zero());
        }
        stats.macs_backward += self.first.back_alone(engine, self.learner, &mut self.update);
        let rate = F::of(self.rule.rate);
        for &(k, _) in &self.direction {
            let (to, from) = (self.after.links_mut()[k].store.weights_mut(), engine.links()[k].store.weights());
            for ((to, from), update) in flat_mut(to).iter_mut().zip(flat(from)).zip(flat(&self.update.links[k])) {
                *to = *from - rate * *update;
            }
        }
        stats.backward_s += middle.elapsed().as_secs_f64();
    }

    /// Hands the learning signals to the learner: at step `t` an event counts by all signals from then on, as the traces' filter carries it there.
    fn listen(&mut self) {
        let record = &self.first.trial.record;
        let (said, active) = (&record.traces[self.signals], &record.traces[self.learner].active);
        let (width, kappa, new) = (said.blocks(), self.kappa, F::of(1.0) - self.kappa);
        self.signal.clear();
        self.signal.extend_from_slice(&said.output);
        let lanes = flat_mut(&mut self.signal);
        lanes.iter_mut().for_each(|signal| *signal = new * *signal);
        for place in (0..lanes.len().saturating_sub(width * LANES)).rev() {
            let later = lanes[place + width * LANES];
            lanes[place] += kappa * later;
        }
        for ((error, &t), &unit) in self.first.errors[self.learner].iter_mut().zip(&active.step).zip(&active.unit) {
            *error = self.signal[t as usize * width + unit as usize / LANES][unit as usize % LANES];
        }
    }

    /// Adds what the learning signals of the first run have to do with the error of the second.
    fn teach(&mut self, engine: &Clocked<F>, gradients: &mut Gradients<F>) -> u64 {
        for (k, store) in &mut self.direction {
            store.weights_mut().copy_from_slice(&self.error.links[*k]);
        }
        let Learned { first, direction, traces, kappa, learner, rule, .. } = self;
        first.errors[*learner].fill(F::default());
        let trial = &mut first.trial;
        trial.output.resize(trial.record.traces[*learner].blocks() * trial.input.steps(), Block::zero());
        let (input, record, into) = (&trial.input, &trial.record, &mut trial.output[..]);
        let all = All { engine, p: *learner, input, record, direction, kappa: *kappa, factor: F::of(-rule.rate) };
        let macs = traces.along(&all, into);
        macs + first.back(engine, gradients)
    }
}

impl<F: Scalar> Worker<F> for Learned<F> {
    fn learn(&mut self, job: &Job<'_, F>, trials: &[usize], gradients: &mut Gradients<F>) -> Stats {
        let engine = job.engine;
        let mut stats = Stats::of(engine.cells().len());
        self.begin(engine, job.updates);
        for &trial in trials {
            self.update(engine, job.data, trial, &mut stats);
            stats.tally(engine, &self.first.trial.input, &self.first.trial.record, 0);
            self.error.clear();
            let second = Job { engine: &self.after, ..*job };
            let station = self.first.play_on(None).map(|station| station.with_weights(&self.after));
            self.second.play_on(station);
            stats.add(&self.second.learn(&second, &[trial], &mut self.error));
            let station = self.second.play_on(None).map(|station| station.with_weights(engine));
            self.first.play_on(station);
            let middle = Instant::now();
            for (sum, error) in gradients.links.iter_mut().zip(&self.error.links) {
                sum.iter_mut().zip(error).for_each(|(sum, error)| *sum = sum.plus(error));
            }
            stats.macs_backward += self.teach(engine, gradients);
            stats.backward_s += middle.elapsed().as_secs_f64();
        }
        stats
    }

    fn play_on(&mut self, station: Option<Station>) -> Option<Station> {
        self.first.play_on(station)
    }

    fn bytes(&self) -> usize {
        let links = |g: &Gradients<F>| g.links.iter().map(Vec::capacity).sum::<usize>();
        let direction = self.direction.iter().map(|(_, store)| store.weights().len()).sum::<usize>();
        let weights = self.after.links().iter().map(|link| link.store.weights().len()).sum::<usize>();
        let blocks = links(&self.update) + links(&self.error) + direction + weights + self.signal.capacity();
        self.first.bytes() + self.second.bytes() + blocks * size_of::<Block<F>>()
    }
}

/// The eligibility traces of all links into a population, along one direction; one implementation per number of state variables.
trait Traces<F: Scalar>: Send {
    /// Writes `factor·Σ_i G_ij·ē_ij[t]` to `into`, `[step][block]`. Returns the multiply-accumulates spent on weights.
    fn along(&mut self, all: &All<'_, F>, into: &mut [Block<F>]) -> u64;
}

/// What one population heard and did in a trial, and a direction of its weights.
struct All<'a, F: Scalar> {
    engine: &'a Clocked<F>,
    p: usize,
    input: &'a Raster,
    record: &'a Record<F>,
    direction: &'a [(usize, Store<F>)],
    kappa: F,
    factor: F,
}

impl<F: Scalar, const K: usize> Traces<F> for Adjoint<F, K> {
    fn along(&mut self, all: &All<'_, F>, into: &mut [Block<F>]) -> u64 {
        all.engine.simd().run(Forwards { derivatives: self, all, into })
    }
}

struct Forwards<'a, 'b, F: Scalar, const K: usize> {
    derivatives: &'a mut Adjoint<F, K>,
    all: &'a All<'b, F>,
    into: &'a mut [Block<F>],
}

impl<F: Scalar, const K: usize> Kernel for Forwards<'_, '_, F, K> {
    type Number = F;
    type Out = u64;

    #[inline(always)]
    fn run<I: Isa>(self) -> u64 {
        let Forwards { derivatives, all: &All { engine, p, input, record, direction, kappa, factor }, into } = self;
        let (cells, trace) = (&*engine.cells()[p], &record.traces[p]);
        let (affine, new) = (cells.local().affine, factor * (F::of(1.0) - kappa));
        let mut macs = 0;
        for b in 0..trace.blocks() {
            let lanes = (trace.units() - b * LANES).min(LANES);
            let (mut along, mut filtered) = (Along::<F, K>::zero(), Block::zero());
            for t in 0..input.steps() {
                let mut x = Block::zero();
                for (k, store) in direction {
                    let link = &engine.links()[*k];
                    if let Some(t) = t.checked_sub(link.delay) {
                        let heard = link.from.spikes(&[input], &record.spikes);
                        x = store.hear::<I>(b, heard, t, x);
                        macs += (heard.at(t).len() * lanes) as u64;
                    }
                }
                let mut slope = Block::zero();
                for e in trace.active_at(t, b) {
                    slope[trace.active.unit[e] as usize % LANES] = trace.active.value[e];
                }
                let fired = if t > 0 { trace.fired(t - 1, b) } else { 0 };
                if affine {
                    derivatives.forwards(b, &mut along, &x, &slope, fired);
                } else {
                    let mut z = Block::zero();
                    bits(fired).for_each(|l| z[l] = F::of(1.0));
                    derivatives.look_at(cells, engine.simd(), b, trace.before(t, b), &z);
                    derivatives.forwards_there(&mut along, &x, &slope);
                }
                for l in 0..LANES {
                    filtered[l] = kappa * filtered[l] + new * along.output[l];
                }
                into[t * trace.blocks() + b] = filtered;
            }
        }
        macs
    }
}
