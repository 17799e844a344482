//! E-prop 3: within a window errors go back through the network, and at its end a predictor says what is still to come.

use super::online::{self, Online};
use crate::rule::adjoint::{Adjoint, Carry, with_states};
use crate::rule::trial::Trial;
use crate::rule::{Gradients, Rule, RuleError, Stats, Worker, check_common, check_plain};
use serde::{Deserialize, Serialize};
use snn_core::{Network, Surrogate, Trains};
use snn_sparse::lanes::{Isa, Kernel, bits, blocks};
use snn_sparse::{Block, Clocked, LANES, Scalar, Source, Store, Synapses, Trace};
use std::ops::Range;

const NAME: &str = "synthetic_gradients";

/// E-prop 3 (Bellec et al. 2019): eligibility traces, with learning signals from synthetic gradients.
///
/// ```text
/// ∇W_ij = Σ_t L_j[t]·e_ij[t],   L_j[t] = dE/dz_j[t] through other neurons than j's own state
/// ```
/// with the eligibility traces of [`Eprop`](super::Eprop), carried forwards over the whole trial. With the true `L` this is BPTT (eq. 1 of the paper). Here the
/// errors of a window of steps go back through the network to the window's start; what the steps after it would bring enters at its end as a prediction:
/// ```text
/// SG(t_m) ≈ ∂E_{>t_m}/∂(s, z)[t_m],   y = li(W_SG·z),   SG = gain·y
/// W_SG learns from   weight·½·Σ_m |y[t_m] − target[t_m]/gain|²,   target[t_m] = what the errors of window m + 1, its own SG included, leave at its start
/// ```
/// **The predictor is a population of the network**: graded (`li`), not the output, hearing whatever it is to predict from (the recurrent population).
/// So its weights are weights as all others: the optimiser moves them and a checkpoint has them. Its loss is counted as [`Stats::penalty`]; nothing of it
/// reaches the neurons it hears. Its units are, in the order of the description, for each population but itself: every state variable of all units; if the neuron feels
/// its own spike, the own part of `∂E/∂z` of all units; and the part of `∂E/∂z` through synapses of one step's delay of all units, if it has any. A LIF
/// population of n units with recurrent links needs 2n, an ALIF population 4n, a `li` readout of k units k.
///
/// Unlike BPTT nothing waits for the end of the trial, and with a loss that is [stepwise](crate::Loss::stepwise) nothing grows with it. A window as long as the
/// trial, or a perfect predictor, gives the gradient of BPTT.
///
/// | option | meaning |
/// |---|---|
/// | `surrogate` | ψ |
/// | `window` | steps of a window |
/// | `predictor` | name of the population that predicts |
/// | `gain` | from its output to a derivative: about the size of the derivatives of one trial |
/// | `weight` | of its loss; matters to an optimiser that does not normalise |
///
/// Hidden links may have a delay of one step at most, those of the input any; the readout is a `li` with one time constant. Cost: that of the online form, plus
/// `active entries × fan-out` for the way back. Memory: that of the online form, and a dense window of errors per neuron.
///
/// Source: Bellec, Scherr, Hajek, Salaj, Legenstein and Maass 2019 (arXiv:1901.09049), e-prop 3; synthetic gradients Jaderberg et al. 2017
/// (arXiv:1608.05343). The papers' predictors are artificial networks of their own; this one is linear in the filtered spikes.
///
/// ```
/// use snn_core::{Net, Seed, Surrogate, ms, net::{Connect, Init}, neuron::{Li, Lif}};
/// use snn_learn::{Loss, Optimiser, Options, SyntheticGradients, Trainer};
/// // 20 LIF neurons feel only membrane and synapses, 2 · 20; the readout adds 2.
/// let net = Net::new(ms(1.0)).input("in", 5).population("a", 20, Lif::default()).population("out", 2, Li::default())
///     .population("rest", 42, Li { tau: ms(10.0).into() })
///     .project("in", "a", Connect::All, Init::normal(0.5))
///     .project("a", "a", Connect::All, Init::normal(0.2)).delay(ms(1.0))
///     .project("a", "out", Connect::All, Init::normal(0.3))
///     .project("a", "rest", Connect::All, Init::Constant(0.0))
///     .output("out").build(Seed::new(1))?;
/// let rule = SyntheticGradients { surrogate: Surrogate::triangle(0.3, 1.0), window: 20, predictor: "rest".into(), gain: 0.1, weight: 1.0 };
/// let trainer = Trainer::new(&net, rule, Optimiser::adam(1e-3), Options::new(Loss::SumSquared, Seed::new(1)))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SyntheticGradients {
    /// The surrogate derivative ψ.
    pub surrogate: Surrogate,
    /// Steps of a window, at least 1.
    pub window: usize,
    /// The population that predicts.
    pub predictor: String,
    /// Derivative that an output of 1 stands for, above 0.
    pub gain: f64,
    /// Weight of the predictor's loss, 0 or more; 0 leaves it as it is.
    pub weight: f64,
}

impl SyntheticGradients {
    /// With this predictor: windows of 20 steps, outputs in tenths, both losses alike.
    pub fn new(predictor: &str) -> Self {
        SyntheticGradients { surrogate: Surrogate::triangle(0.3, 1.0), window: 20, predictor: predictor.into(), gain: 0.1, weight: 1.0 }
    }

    /// How many units the predictor must have in this network; it may have any number now. `None` if there is no such population.
    pub fn units(&self, network: &Network) -> Option<usize> {
        let engine = Clocked::<f32>::compile(network);
        Some(Places::new(&engine, self.predictor(&engine)?).end)
    }

    fn predictor<F: Scalar>(&self, engine: &Clocked<F>) -> Option<usize> {
        engine.network().draft().populations.iter().position(|p| p.name == self.predictor)
    }
}

impl<F: Scalar> Rule<F> for SyntheticGradients {
    fn name(&self) -> &'static str {
        NAME
    }
    fn check(&self, engine: &Clocked<F>) -> Result<(), RuleError> {
        check_common(NAME, &self.surrogate, engine)?;
        check_plain(NAME, engine)?;
        let options = |why: String| Err(RuleError::Options { rule: NAME, why });
        if self.window == 0 {
            return options("window = 0: give at least one step".into());
        }
        if !(self.gain.is_finite() && self.gain > 0.0) {
            return options(format!("gain = {}: must be finite and above 0", self.gain));
        }
        if !(self.weight.is_finite() && self.weight >= 0.0) {
            return options(format!("weight = {}: must be finite and zero or more", self.weight));
        }
        let draft = engine.network().draft();
        let Some(predictor) = self.predictor(engine) else {
            return options(format!(
                "the network has no population `{}`: add the predictor, a li readout that is no output",
                self.predictor
            ));
        };
        let refuse = |why: String| Err(RuleError::Population { rule: NAME, population: self.predictor.clone(), why });
        if engine.outputs().contains(&predictor) {
            return refuse("is the predictor and the output; give the predictor a population of its own".into());
        }
        if !online::leaky(engine, predictor) {
            return refuse("is the predictor; it must be a leaky integrator (li) with one time constant for all units".into());
        }
        let (found, needed) = (draft.populations[predictor].size, Places::new(engine, predictor).end);
        if found != needed {
            return refuse(format!("is the predictor of {found} units; this network needs {needed}"));
        }
        let hidden = |from: Source| matches!(from, Source::Population(_));
        if let Some(link) = engine.links().iter().find(|link| hidden(link.from) && link.to != predictor && link.delay > 1) {
            let projection = &draft.projections[link.projection];
            let why = format!("has a delay of {} steps; what is predicted is a state of one step: give at most one", link.delay);
            return Err(RuleError::Projection { rule: NAME, from: projection.from.clone(), to: projection.to.clone(), why });
        }
        engine.outputs().iter().try_for_each(|&output| online::check(engine, output, NAME, ""))
    }
    fn worker(&self, engine: &Clocked<F>) -> Box<dyn Worker<F>> {
        // `check` has found it.
        let teacher = self.predictor(engine).map(|predictor| Teacher::new(engine, self, predictor));
        Box::new(Online::new(engine, self.surrogate, Vec::new(), self.window, teacher))
    }
    fn takes_device(&self) -> bool {
        true
    }
}

/// Where in the predictor's units the derivatives of each population stand.
struct Places {
    /// By population: the first unit; whether the own part is there, whether the synapses' part is.
    of: Vec<(usize, bool, bool)>,
    /// Units needed.
    end: usize,
}

impl Places {
    fn new<F: Scalar>(engine: &Clocked<F>, predictor: usize) -> Self {
        let mut end = 0;
        let one = |p: usize| {
            let (local, first) = (engine.cells()[p].local(), end);
            let late = |k: &snn_sparse::Link<F>| k.from == Source::Population(p) && k.to != predictor && k.delay > 0;
            let (own, synapses) = (local.feels_own_spike, engine.links().iter().any(late));
            if p != predictor {
                end += engine.cells()[p].size() * (local.states() + usize::from(own) + usize::from(synapses));
            }
            (first, own, synapses)
        };
        let of = (0..engine.cells().len()).map(one).collect();
        Places { of, end }
    }
}

/// Gives every hidden neuron its learning signal, window by window, and the predictor its gradient.
pub(super) struct Teacher<F: Scalar> {
    predictor: usize,
    gain: f64,
    weight: f64,
    places: Places,
    /// All populations but the predictor, those that hear before those that are heard.
    order: Vec<usize>,
    backward: Vec<Box<dyn Backward<F>>>,
    /// By population: `∂E/∂z` through synapses within the window, `[step][block]`.
    errors: Vec<Vec<Block<F>>>,
    /// The same at the step before the window: `[block]`.
    before: Vec<Vec<Block<F>>>,
    /// `∂E/∂x[step]` of a block, at the step at hand: `[block]`.
    delta: Vec<Block<F>>,
    /// The predictor's filter: what a step leaves of it, and what an event adds.
    filter: [F; 2],
    /// By link into the predictor: the filtered events of every source at the last window's end.
    heard: Vec<(usize, Vec<F>)>,
    trains: Trains,
    /// What the predictor said there, by unit.
    said: Vec<F>,
}

/// The way back through one population; one implementation per number of state variables.
trait Backward<F: Scalar>: Send {
    fn rest(&mut self);
    /// `∂E/∂s_k` of unit `j` by what comes later, or for `k` = number of state variables the own part of `∂E/∂z`.
    fn entry(&mut self, k: usize, j: usize) -> &mut F;
    /// Takes a block one step back: `∂E/∂x`.
    fn step(&mut self, now: &Now<'_, F>, b: usize) -> Block<F>;
}

/// What a population did at a step, and what reaches its outputs.
struct Now<'a, F: Scalar> {
    engine: &'a Clocked<F>,
    p: usize,
    trace: &'a Trace<F>,
    t: usize,
    /// `[block]`.
    errors: &'a [Block<F>],
    constant: &'a [Block<F>],
    output: Option<&'a [Block<F>]>,
}

struct Population<F, const K: usize> {
    adjoint: Adjoint<F, K>,
    carry: Vec<Carry<F, K>>,
}

impl<F: Scalar, const K: usize> Backward<F> for Population<F, K> {
    fn rest(&mut self) {
        self.carry.fill(Carry::zero());
    }
    fn entry(&mut self, k: usize, j: usize) -> &mut F {
        let carry = &mut self.carry[j / LANES];
        let plane = if k < K { &mut carry.lambda[k] } else { &mut carry.mu };
        &mut plane[j % LANES]
    }
    fn step(&mut self, now: &Now<'_, F>, b: usize) -> Block<F> {
        now.engine.simd().run(Step { population: self, now, b })
    }
}

struct Step<'a, 'b, F: Scalar, const K: usize> {
    population: &'a mut Population<F, K>,
    now: &'a Now<'b, F>,
    b: usize,
}

impl<F: Scalar, const K: usize> Kernel for Step<'_, '_, F, K> {
    type Number = F;
    type Out = Block<F>;

    #[inline(always)]
    fn run<I: Isa>(self) -> Block<F> {
        let Step { population: Population { adjoint, carry }, now, b } = self;
        let &Now { engine, p, trace, t, errors, constant, output } = now;
        let (cells, events, carry) = (&*engine.cells()[p], trace.output.is_empty(), &mut carry[b]);
        let mut d = output.map_or(Block::zero(), |output| output[b]);
        if events {
            let from_output = std::mem::replace(&mut d, Block::zero());
            for e in trace.active_at(t, b) {
                let l = trace.active.unit[e] as usize % LANES;
                d[l] = trace.active.value[e] * (errors[b][l] + constant[b][l] + from_output[l] + carry.mu[l]);
            }
        }
        let fired = if t > 0 && events { trace.fired(t - 1, b) } else { 0 };
        if cells.local().affine {
            return adjoint.step(b, carry, &d, fired);
        }
        let mut z = Block::zero();
        bits(fired).for_each(|l| z[l] = F::of(1.0));
        adjoint.step_at(cells, engine.simd(), b, trace.before(t, b), &z, carry, &d, &mut [], &mut [])
    }
}

/// `∂E/∂z += W·δ` for the sources of a link: those with a slope at their step, or all.
struct Push<'a, F: Scalar> {
    store: &'a Store<F>,
    block: usize,
    delta: &'a Block<F>,
    source: &'a Trace<F>,
    /// The source's step; `None` for all units.
    at: Option<usize>,
    errors: &'a mut [Block<F>],
}

impl<F: Scalar> Kernel for Push<'_, F> {
    type Number = F;
    type Out = u64;

    #[inline(always)]
    fn run<I: Isa>(self) -> u64 {
        let mut count = 0;
        let mut push = |unit: u32| {
            let j = unit as usize;
            self.errors[j / LANES][j % LANES] += self.store.pull_back::<I>(self.block, unit, self.delta);
            count += 1;
        };
        match self.at {
            Some(t) => {
                let entries = (0..self.source.blocks()).flat_map(|b| self.source.active_at(t, b));
                entries.for_each(|e| push(self.source.active.unit[e]));
            }
            None => (0..self.source.units() as u32).for_each(push),
        }
        count
    }
}

impl<F: Scalar> Teacher<F> {
    fn new(engine: &Clocked<F>, rule: &SyntheticGradients, predictor: usize) -> Self {
        let count = engine.cells().len();
        let backward = |p: usize| -> Box<dyn Backward<F>> {
            let (local, width) = (engine.cells()[p].local(), blocks(engine.cells()[p].size()));
            with_states!(local.states(), K => Box::new(Population::<F, K> { adjoint: Adjoint::new(local), carry: vec![Carry::zero(); width] }))
        };
        let blocks_of = |times: usize| (0..count).map(|p| vec![Block::zero(); times * blocks(engine.cells()[p].size())]).collect();
        let runs = engine.components().iter().rev().flat_map(|c| c.populations.iter().rev().copied());
        let li = engine.cells()[predictor].local().of(0, 0);
        let heard = engine.incoming(predictor).iter().map(|&k| (k, vec![F::default(); engine.size(engine.links()[k].from)]));
        Teacher {
            predictor,
            gain: rule.gain,
            weight: rule.weight,
            places: Places::new(engine, predictor),
            order: runs.filter(|&p| p != predictor).collect(),
            backward: (0..count).map(backward).collect(),
            errors: blocks_of(rule.window),
            before: blocks_of(1),
            delta: Vec::new(),
            filter: [li.s_s[0][0], li.s_x[0]].map(F::of),
            heard: heard.collect(),
            trains: Trains::default(),
            said: vec![F::default(); engine.cells()[predictor].size()],
        }
    }

    /// Before the first window of a trial.
    pub fn begin(&mut self) {
        self.heard.iter_mut().for_each(|(_, x)| x.fill(F::default()));
    }

    /// The learning signals of population `p` in the window: `[step][block]`.
    pub fn signals(&self, p: usize) -> &[Block<F>] {
        &self.errors[p]
    }

    /// Takes the errors of `steps` back through the network; `first` and `last` say whether the trial begins and ends with them. `scale` is on every derivative of the
    /// trial. Returns the multiply-accumulates.
    pub fn teach(
        &mut self,
        engine: &Clocked<F>,
        trial: &Trial<F>,
        steps: &Range<usize>,
        [first, last]: [bool; 2],
        scale: f64,
        gradients: &mut Gradients<F>,
        stats: &mut Stats,
    ) -> u64 {
        let unit = F::of(self.gain * scale);
        let rest = &trial.record.traces[self.predictor];
        for &p in &self.order {
            self.backward[p].rest();
            self.errors[p].fill(Block::zero());
            self.before[p].fill(Block::zero());
            if last {
                continue;
            }
            let row = &rest.output[(steps.end - 1) * rest.blocks()..steps.end * rest.blocks()];
            let width = blocks(engine.cells()[p].size());
            let late = (steps.len() - 1) * width;
            let (errors, backward) = (&mut self.errors[p][late..late + width], &mut self.backward[p]);
            each(&self.places, engine, p, |k, j, place| {
                let predicted = unit * row[place / LANES][place % LANES];
                match k {
                    Some(k) => *backward.entry(k, j) = predicted,
                    None => errors[j / LANES][j % LANES] = predicted,
                }
            });
        }
        let mut macs = 0;
        for t in steps.clone().rev() {
            for n in 0..self.order.len() {
                macs += self.step(engine, trial, self.order[n], t, steps.start, first);
            }
        }
        for &p in &self.order {
            // The whole learning signal, for the traces.
            let constant = &trial.constant[p];
            let width = constant.len();
            self.errors[p][..steps.len() * width].iter_mut().enumerate().for_each(|(k, e)| *e = e.plus(&constant[k % width]));
        }
        if !first && self.weight > 0.0 {
            self.correct(engine, unit, scale, gradients, stats);
        }
        if !last {
            self.listen(engine, trial, steps);
            let row = &rest.output[(steps.end - 1) * rest.blocks()..];
            self.said.iter_mut().enumerate().for_each(|(place, said)| *said = row[place / LANES][place % LANES]);
        }
        macs
    }

    /// Takes population `p` back over step `t` of a window that begins at `start`.
    fn step(&mut self, engine: &Clocked<F>, trial: &Trial<F>, p: usize, t: usize, start: usize, first: bool) -> u64 {
        let trace = &trial.record.traces[p];
        let width = trace.blocks();
        let output = (p == engine.outputs()[0]).then(|| &trial.output[t * width..(t + 1) * width]);
        let row = (t - start) * width;
        let now = Now { engine, p, trace, t, errors: &self.errors[p][row..row + width], constant: &trial.constant[p], output };
        let backward = &mut self.backward[p];
        self.delta.clear();
        self.delta.extend((0..width).map(|b| backward.step(&now, b)));
        let mut macs = 0;
        for link in engine.incoming(p).iter().map(|&k| &engine.links()[k]) {
            let Source::Population(from) = link.from else { continue };
            let source = &trial.record.traces[from];
            let blocks = source.blocks();
            let (at, errors) = match t.checked_sub(link.delay).filter(|&t| t >= start) {
                Some(at) => (Some(at), &mut self.errors[from][(at - start) * blocks..(at - start + 1) * blocks]),
                None if first => continue,
                None => (None, &mut self.before[from][..]),
            };
            for (block, delta) in self.delta.iter().enumerate() {
                let count = engine.simd().run(Push { store: &link.store, block, delta, source, at, errors: &mut *errors });
                macs += count * (engine.cells()[p].size() - block * LANES).min(LANES) as u64;
            }
        }
        macs
    }

    /// Tells the predictor what it should have said at the end of the window before.
    fn correct(&mut self, engine: &Clocked<F>, unit: F, scale: f64, gradients: &mut Gradients<F>, stats: &mut Stats) {
        let mut error = vec![Block::zero(); blocks(self.said.len())];
        let mut loss = 0.0;
        for &p in &self.order {
            let (before, backward, said) = (&self.before[p], &mut self.backward[p], &self.said);
            each(&self.places, engine, p, |k, j, place| {
                let found = k.map_or(before[j / LANES][j % LANES], |k| *backward.entry(k, j));
                let off = said[place] - found / unit;
                loss += 0.5 * off.value() * off.value();
                error[place / LANES][place % LANES] = F::of(self.weight * scale) * off;
            });
        }
        stats.penalty += self.weight * loss;
        for (k, heard) in &self.heard {
            let store = &engine.links()[*k].store;
            let gradient = &mut gradients.links[*k][..];
            for (i, x) in heard.iter().enumerate().filter(|(_, x)| **x != F::default()) {
                (error.iter().enumerate())
                    .for_each(|(b, error)| store.learn(b, i, &[0], &[x.value()], std::slice::from_ref(error), gradient));
            }
        }
    }

    /// Takes the predictor's filters over the window.
    fn listen(&mut self, engine: &Clocked<F>, trial: &Trial<F>, steps: &Range<usize>) {
        let [keep, add] = self.filter;
        for (k, heard) in &mut self.heard {
            let link = &engine.links()[*k];
            let start = steps.start.max(link.delay);
            let events = link.from.spikes(&[&trial.input], &trial.record.spikes);
            self.trains.of_steps(events, start - link.delay..steps.end.max(start) - link.delay, start - steps.start);
            for (i, x) in heard.iter_mut().enumerate() {
                let (times, values) = (self.trains.at(i), self.trains.values_at(i));
                let (mut now, mut n) = (*x, 0);
                for t in 0..steps.len() {
                    now = keep * now;
                    if times.get(n).is_some_and(|&time| time as usize == t) {
                        now += add * values.get(n).map_or(F::of(1.0), |&value| F::of(value));
                        n += 1;
                    }
                }
                *x = now;
            }
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let planes = self.errors.iter().chain(&self.before).map(Vec::capacity).sum::<usize>() + self.delta.capacity();
        let numbers = self.heard.iter().map(|(_, x)| x.capacity()).sum::<usize>() + self.said.capacity();
        planes * size_of::<Block<F>>() + numbers * size_of::<F>() + self.trains.bytes()
    }
}

/// Calls `f(k, unit, place)` for all that is predicted of population `p`: its state variables `k`, then the own part of `∂E/∂z`, last, with no `k`, that through synapses.
fn each<F: Scalar>(places: &Places, engine: &Clocked<F>, p: usize, mut f: impl FnMut(Option<usize>, usize, usize)) {
    let (mut place, own, synapses) = places.of[p];
    let (size, states) = (engine.cells()[p].size(), engine.cells()[p].states());
    let kinds = (0..states + usize::from(own)).map(Some).chain(synapses.then_some(None));
    for k in kinds {
        (0..size).for_each(|j| f(k, j, place + j));
        place += size;
    }
}
