//! Learning rules. A rule turns trials into weight gradients; it sees a neuron's local derivatives, never the neuron.
//!
//! To add a rule: one file beside this one, one line in `rules!`.

mod adjoint;
mod backward;
mod fan;
mod population;
mod trial;

macro_rules! rules {
    ($($file:ident :: { $($Item:ident),+ }: $($name:literal = $rule:expr),+;)+) => {
        $(mod $file; pub use $file::{$($Item),+};)+

        /// Every rule with its usual options, by a name of its own: for tests and tables over the registry. Those that work with populations of their own name them `learner`,
        /// `signals` and `predictor`.
        pub fn all<F: Field>() -> Vec<(&'static str, Box<dyn Rule<F>>)> {
            vec![$($(($name, Box::new($rule))),+),+]
        }
    };
}

rules! {
    sparse_bptt::{SparseBptt}: "sparse_bptt" = SparseBptt::default();
    tssl_bp::{TsslBp}: "tssl_bp" = TsslBp::default();
    st_rsbp::{StRsbp}: "st_rsbp" = StRsbp::default();
    bptt::{Bptt}: "bptt" = Bptt::new(SparseBptt::default().surrogate);
    eprop::{Eprop, Feedback, Form, LearnedSignals, SyntheticGradients}:
        "eprop" = Eprop::default(),
        "eprop, online" = Eprop { form: Form::Online { window: 8 }, ..Eprop::default() },
        "synthetic_gradients" = SyntheticGradients::new("predictor"),
        "learned_signals" = LearnedSignals::new("learner", "signals");
}

use crate::gemm::Field;
use crate::in_the_loop::Station;
use crate::loss::{Loss, Outcome, RateOver, Regulariser};
use crate::structure::Turnover;
use snn_core::neuron::Output;
use snn_core::{Dataset, Raster, Surrogate};
use snn_sparse::lanes::{flat, flat_mut};
use snn_sparse::{Block, Clocked, Link, Past, Record, Scalar, Store};
use std::ops::Range;

/// A way to get weight gradients from trials.
pub trait Rule<F: Scalar>: Send + Sync {
    /// Name, for tables and errors.
    fn name(&self) -> &'static str;
    /// Whether the rule can train this network.
    ///
    /// # Errors
    /// [`RuleError`], naming what it cannot take.
    fn check(&self, engine: &Clocked<F>) -> Result<(), RuleError>;
    /// Working memory for one thread.
    fn worker(&self, engine: &Clocked<F>) -> Box<dyn Worker<F>>;
    /// Whether its workers run whole trials where they are told to ([`Worker::play_on`]), so that a device can be in the loop.
    fn takes_device(&self) -> bool {
        false
    }
    /// Whether its workers can let trials go on where others ended ([`Worker::go_on_from`]).
    fn carries(&self) -> bool {
        false
    }
    /// Trials of this network that a worker had better get at once: more than one where products over all of them cost less than one after the other.
    fn together(&self, _engine: &Clocked<F>) -> usize {
        1
    }
    /// Links whose weights the rule lets decay, and the share of them that it leaves after every update.
    fn decay(&self, _engine: &Clocked<F>) -> Vec<(usize, f64)> {
        Vec::new()
    }
}

impl<F: Scalar> Rule<F> for Box<dyn Rule<F>> {
    fn name(&self) -> &'static str {
        (**self).name()
    }
    fn check(&self, engine: &Clocked<F>) -> Result<(), RuleError> {
        (**self).check(engine)
    }
    fn worker(&self, engine: &Clocked<F>) -> Box<dyn Worker<F>> {
        (**self).worker(engine)
    }
    fn takes_device(&self) -> bool {
        (**self).takes_device()
    }
    fn carries(&self) -> bool {
        (**self).carries()
    }
    fn together(&self, engine: &Clocked<F>) -> usize {
        (**self).together(engine)
    }
    fn decay(&self, engine: &Clocked<F>) -> Vec<(usize, f64)> {
        (**self).decay(engine)
    }
}

/// A rule at work on one thread, with memory that is reused from trial to trial.
pub trait Worker<F: Scalar>: Send {
    /// Runs `trials` and adds `scale · ∂loss/∂w`, summed over them, to `gradients`.
    fn learn(&mut self, job: &Job<'_, F>, trials: &[usize], gradients: &mut Gradients<F>) -> Stats;
    /// Puts a device in the place of the engine's forward pass, or takes it away; returns the one before. For rules that
    /// [take devices](Rule::takes_device); the others return what they are given.
    fn play_on(&mut self, station: Option<Station>) -> Option<Station> {
        station
    }
    /// From now on the trials it learns from begin at these, one for each, and move them to where they end: no gradient goes back over a beginning. None at all: they begin
    /// at rest. Returns what it had. For rules that [carry](Rule::carries); the others return what they are given.
    fn go_on_from(&mut self, pasts: Vec<Past<F>>) -> Vec<Past<F>> {
        pasts
    }
    /// Bytes of working memory held (training state), without the gradients.
    fn bytes(&self) -> usize;
}

/// What is to be learned from.
pub struct Job<'a, F: Scalar> {
    /// The network.
    pub engine: &'a Clocked<F>,
    /// The trials.
    pub data: &'a dyn Dataset,
    /// The loss of a trial.
    pub loss: Loss,
    /// Penalty on hidden activity.
    pub regulariser: Regulariser,
    /// Factor on every trial's gradient: 1 / batch size for a mean.
    pub scale: f64,
    /// Updates of the weights so far.
    pub updates: u64,
    /// Spikes per step of every unit of every population over the batch before: for [`RateOver::Batch`](crate::RateOver). Empty if there was none.
    pub rates: &'a [Vec<f64>],
}

/// Why a rule cannot train a network.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// Impossible surrogate.
    #[error("rule `{rule}`: {why}")]
    Surrogate {
        /// Rule.
        rule: &'static str,
        /// Reason.
        why: String,
    },
    /// Trials have one raster.
    #[error("rule `{rule}`: the network has {found} inputs; training data come as one raster, so give it exactly one")]
    Inputs {
        /// Rule.
        rule: &'static str,
        /// Inputs.
        found: usize,
    },
    /// Noise has no part in a gradient.
    #[error(
        "rule `{rule}`: population `{population}` is driven by Poisson noise, which the rule does not draw; give the noise as input spikes"
    )]
    Drive {
        /// Rule.
        rule: &'static str,
        /// Population.
        population: String,
    },
    /// Impossible option.
    #[error("rule `{rule}`: {why}")]
    Options {
        /// Rule.
        rule: &'static str,
        /// What must change.
        why: String,
    },
    /// A population the rule cannot take where it stands.
    #[error("rule `{rule}`: population `{population}` {why}")]
    Population {
        /// Rule.
        rule: &'static str,
        /// Population.
        population: String,
        /// What is wrong with it, and what to change.
        why: String,
    },
    /// Links the rule cannot take.
    #[error("rule `{rule}`: projection `{from}` -> `{to}` {why}")]
    Projection {
        /// Rule.
        rule: &'static str,
        /// Source.
        from: String,
        /// Target.
        to: String,
        /// What is wrong with it, and what to change.
        why: String,
    },
    /// The smoothed network has no reset to a value and no refractory period.
    #[error(
        "rule `{rule}`: population `{population}` is reset to a value, or refractory; the smoothed network exists for reset by subtraction and without refractory period only"
    )]
    Smooth {
        /// Rule.
        rule: &'static str,
        /// Population.
        population: String,
    },
}

/// The checks every gradient rule shares.
fn check_common<F: Scalar>(rule: &'static str, surrogate: &Surrogate, engine: &Clocked<F>) -> Result<(), RuleError> {
    surrogate.check().map_err(|why| RuleError::Surrogate { rule, why })?;
    let draft = engine.network().draft();
    if let Some(drive) = draft.drives.first() {
        return Err(RuleError::Drive { rule, population: drive.to.clone() });
    }
    if let Some(p) = draft.populations.iter().find(|p| p.escape.is_some()) {
        let why = "has escape noise, and a spike by chance has no surrogate derivative; take the noise out, or a rule that learns while the network runs".into();
        return Err(RuleError::Population { rule, population: p.name.clone(), why });
    }
    if let Some(p) = draft.populations.iter().find(|p| p.model.apart()) {
        let why = format!(
            "({}) hears excitation and inhibition apart, by the sign of a weight, and a weight that learns may change its sign",
            p.model.name()
        );
        return Err(RuleError::Population { rule, population: p.name.clone(), why });
    }
    // What changes from step to step has no place in the local derivatives.
    if let Some(p) = draft.populations.iter().find(|p| p.model.period() > 1) {
        let why = format!(
            "({}) follows a schedule of its own, and rules take models that are the same at every step; convert a trained network instead",
            p.model.name()
        );
        return Err(RuleError::Population { rule, population: p.name.clone(), why });
    }
    match draft.inputs.len() {
        1 => Ok(()),
        found => Err(RuleError::Inputs { rule, found }),
    }
}

/// For rules that learn weights only, of units with one input whose events count what they are.
fn check_plain<F: Scalar>(rule: &'static str, engine: &Clocked<F>) -> Result<(), RuleError> {
    if let Some((p, other)) = engine.network().draft().tied() {
        let why = format!(
            "has the weights of `{}` -> `{}`, whose gradients must be exact to be added; take bptt or sparse_bptt",
            other.from, other.to
        );
        return Err(RuleError::Projection { rule, from: p.from.clone(), to: p.to.clone(), why });
    }
    for p in &engine.network().draft().populations {
        let refuse = |what: String| {
            let why = format!("({}) {what}; take bptt or sparse_bptt", p.model.name());
            Err(RuleError::Population { rule, population: p.name.clone(), why })
        };
        if !p.train.is_empty() {
            return refuse(format!("learns {} of its neurons, and the rule learns weights only", p.train.join(", ")));
        }
        if p.model.ports().len() > 1 {
            return refuse(format!("hears {} apart, and the rule takes models with one input", p.model.ports().join(", ")));
        }
        if matches!(p.model.output(), Output::Weighted | Output::Linear) {
            return refuse("sends values without a surrogate of their own, and the rule takes spikes and rectified events".into());
        }
    }
    Ok(())
}

/// For rules that run a network by the numbers of its weights.
fn check_no_reads<F: Scalar>(rule: &'static str, engine: &Clocked<F>) -> Result<(), RuleError> {
    let why = "runs the network by its weights, but events find something else in some link (reads of its own); take sparse_bptt or eprop";
    if engine.has_reads() { Err(RuleError::Options { rule, why: why.into() }) } else { Ok(()) }
}

/// Gradients of weights, one list per projection, laid out like the weights of its store; and of parameters of neurons.
#[derive(Clone, Debug)]
pub struct Gradients<F> {
    /// Per projection.
    pub links: Vec<Vec<Block<F>>>,
    /// By parameters of neurons that are learned, as [`Clocked::parameters`] has them.
    pub parameters: Vec<Vec<Block<F>>>,
}

impl<F: Scalar> Gradients<F> {
    /// All zero.
    pub fn zero(engine: &Clocked<F>) -> Self {
        use snn_sparse::Synapses;
        Gradients {
            links: engine.links().iter().map(|l| vec![Block::zero(); l.store.weights().len()]).collect(),
            parameters: engine.parameters().iter().map(|p| vec![Block::zero(); p.values.len()]).collect(),
        }
    }

    /// Takes the lengths of the weights as they are, after links were replaced.
    pub fn fit(&mut self, engine: &Clocked<F>) {
        use snn_sparse::Synapses;
        let links = self.links.iter_mut().zip(engine.links());
        links.for_each(|(g, link)| g.resize(link.store.weights().len(), Block::zero()));
    }

    /// Sets all to zero.
    pub fn clear(&mut self) {
        self.lists_mut().for_each(|g| g.fill(Block::zero()));
    }

    /// All lists: of weights, then of parameters.
    pub fn lists_mut(&mut self) -> impl Iterator<Item = &mut Vec<Block<F>>> {
        self.links.iter_mut().chain(&mut self.parameters)
    }

    /// Adds the gradients of weights that are tied to others to those of the others, and sets them to zero.
    pub fn tie(&mut self, engine: &Clocked<F>) {
        for (k, link) in engine.links().iter().enumerate() {
            let (Some(of), Store::Dense(store)) = (link.tied, &link.store) else { continue };
            let Ok([from, into]) = self.links.get_disjoint_mut([k, of]) else { continue };
            let (from, into) = (flat_mut(from), flat_mut(into));
            store.transposed().for_each(|(here, there)| into[there] += std::mem::take(&mut from[here]));
        }
    }

    /// Adds all others to the first, in order, whatever the number of threads, and sets them to zero: each is read and written once.
    pub fn sum(parts: &mut [Gradients<F>]) {
        use rayon::prelude::*;
        const SPAN: usize = 256; // 64 KiB of f32: stays in cache while the parts pass
        let Some((first, others)) = parts.split_first_mut().filter(|(_, others)| !others.is_empty()) else { return };
        let mut spans: Vec<Vec<&mut [Block<F>]>> = first.lists_mut().flat_map(|g| g.chunks_mut(SPAN)).map(|span| vec![span]).collect();
        for part in others {
            let of_part = part.lists_mut().flat_map(|g| g.chunks_mut(SPAN));
            spans.iter_mut().zip(of_part).for_each(|(span, part)| span.push(part));
        }
        spans.into_par_iter().for_each(|mut span| {
            let Some((into, others)) = span.split_first_mut() else { return };
            for part in others {
                into.iter_mut().zip(part.iter()).for_each(|(a, b)| *a = a.plus(b));
                part.fill(Block::zero());
            }
        });
    }

    /// Euclidean norm over all weights and parameters.
    pub fn norm(&self) -> f64 {
        let square = |g: &F| g.value() * g.value();
        self.links.iter().chain(&self.parameters).flat_map(|g| flat(g)).map(square).sum::<f64>().sqrt()
    }

    /// The gradients of parameters, one list per parameter of [`Clocked::parameters`], by neuron.
    pub fn of_parameters(&self, engine: &Clocked<F>) -> Vec<Vec<F>> {
        let of = |(g, p): (&Vec<Block<F>>, &snn_sparse::Parameter<F>)| flat(g)[..engine.cells()[p.population].size()].to_vec();
        self.parameters.iter().zip(engine.parameters()).map(of).collect()
    }

    /// The gradients of weights in the order of the description, one list per projection.
    pub fn in_order(&self, engine: &Clocked<F>) -> Vec<Vec<F>> {
        engine.in_order(self.links.iter().map(|g| &g[..]))
    }
}

/// What was counted while learning.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Stats {
    /// Trials.
    pub trials: usize,
    /// Sum of losses.
    pub loss: f64,
    /// Sum of regularisation penalties.
    pub penalty: f64,
    /// Answers asked for.
    #[serde(default)]
    pub decisions: usize,
    /// Right answers.
    pub correct: usize,
    /// Events, per population: spikes, or outputs above 0.
    pub spikes: Vec<u64>,
    /// Spikes of every unit, per population; counted only where the regulariser is [`RateOver::Batch`](crate::RateOver).
    #[serde(default, skip)]
    pub counts: Vec<Vec<f64>>,
    /// Entries with a derivative, per population.
    pub active: Vec<u64>,
    /// Neuron-steps simulated, per population: the denominator of both.
    pub entries: Vec<u64>,
    /// Multiply-accumulates of weights, forward.
    pub macs_forward: u64,
    /// Multiply-accumulates of weights, backward.
    pub macs_backward: u64,
    /// Seconds in the forward pass, summed over threads.
    pub forward_s: f64,
    /// Seconds in the backward pass, summed over threads.
    pub backward_s: f64,
    /// What a structural rule did, per projection; empty without one.
    pub turnover: Vec<Turnover>,
}

impl Stats {
    /// No trial yet, of `populations` populations.
    pub(crate) fn of(populations: usize) -> Self {
        let zeros = vec![0; populations];
        Stats { spikes: zeros.clone(), active: zeros.clone(), entries: zeros, ..Stats::default() }
    }

    /// The penalty on hidden population `p` for the spike counts `n` of a trial, see [`Regulariser::evaluate`]; counts what the next batch needs.
    pub(crate) fn penalise<F: Scalar>(&mut self, job: &Job<'_, F>, p: usize, n: &[f64], error: &mut [Block<F>]) {
        let before = job.rates.get(p).map(Vec::as_slice).filter(|rates| rates.len() == n.len());
        self.penalty += job.regulariser.evaluate(n, job.data.steps(), before, job.scale, error);
        if job.regulariser.rate_over == RateOver::Batch {
            self.counts.resize_with(self.spikes.len(), Vec::new);
            self.counts[p].resize(n.len(), 0.0);
            self.counts[p].iter_mut().zip(n).for_each(|(sum, n)| *sum += n);
        }
    }

    /// Counts what the populations did from step `begin` on in a trial with this input: what lies before it was counted, but for what was still on its way.
    pub(crate) fn tally<F: Scalar>(&mut self, engine: &Clocked<F>, input: &Raster, record: &Record<F>, begin: usize) {
        let steps = input.steps();
        for (p, (spikes, trace)) in record.spikes.iter().zip(&record.traces).enumerate() {
            self.spikes[p] += (begin..steps).map(|t| spikes.at(t).len() as u64).sum::<u64>();
            self.active[p] += trace.active.len() as u64;
            self.entries[p] += ((steps - begin) * spikes.units()) as u64;
        }
        let from = |link: &Link<F>, whole: Range<usize>| {
            let spikes = link.from.spikes(&[input], &record.spikes);
            let heard = begin.saturating_sub(link.delay)..steps.saturating_sub(link.delay);
            heard.filter(|t| !whole.contains(t)).map(|t| link.store.fan_out(spikes.at(t)) as u64).sum::<u64>()
        };
        let mut counted = vec![begin..begin; engine.links().len()];
        for p in 0..engine.cells().len() {
            for (family, fan) in engine.families(p).iter().zip(record.fans(p)) {
                // Whole rows, as long as the trial goes on for the longest delay.
                let spikes = family.from.spikes(&[input], &record.spikes);
                let whole = begin..steps.saturating_sub(fan.delay + fan.reach).max(begin);
                self.macs_forward += whole.clone().flat_map(|t| spikes.at(t)).map(|&i| fan.row(i).len() as u64).sum::<u64>();
                family.links.iter().for_each(|&k| counted[k] = whole.clone());
            }
        }
        self.macs_forward += engine.links().iter().zip(counted).map(|(link, whole)| from(link, whole)).sum::<u64>();
    }

    pub(crate) fn count(&mut self, outcome: Outcome) {
        self.trials += 1;
        self.loss += outcome.loss;
        self.decisions += outcome.decisions;
        self.correct += outcome.correct;
    }

    /// Adds another count.
    pub fn add(&mut self, other: &Stats) {
        self.trials += other.trials;
        self.loss += other.loss;
        self.penalty += other.penalty;
        self.decisions += other.decisions;
        self.correct += other.correct;
        for (mine, theirs) in [(&mut self.spikes, &other.spikes), (&mut self.active, &other.active), (&mut self.entries, &other.entries)] {
            mine.resize(theirs.len().max(mine.len()), 0);
            mine.iter_mut().zip(theirs).for_each(|(a, b)| *a += b);
        }
        self.counts.resize_with(other.counts.len().max(self.counts.len()), Vec::new);
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            mine.resize(theirs.len().max(mine.len()), 0.0);
            mine.iter_mut().zip(theirs).for_each(|(a, b)| *a += b);
        }
        self.macs_forward += other.macs_forward;
        self.macs_backward += other.macs_backward;
        self.forward_s += other.forward_s;
        self.backward_s += other.backward_s;
        self.turnover.resize(other.turnover.len().max(self.turnover.len()), Turnover::default());
        self.turnover.iter_mut().zip(&other.turnover).for_each(|(a, b)| a.add(b));
    }

    /// Mean loss per trial.
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.trials.max(1) as f64
    }
    /// Share of right answers, 0…1.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.decisions.max(1) as f64
    }
    /// Share of neuron-steps of population `p` that have a derivative.
    pub fn active_fraction(&self, p: usize) -> f64 {
        self.active[p] as f64 / self.entries[p].max(1) as f64
    }
    /// Share of neuron-steps of population `p` that spike.
    pub fn spike_fraction(&self, p: usize) -> f64 {
        self.spikes[p] as f64 / self.entries[p].max(1) as f64
    }
}
