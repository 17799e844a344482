//! Spike-train level backpropagation: errors are derivatives by spike counts, and nothing is unrolled in time.

mod response;

use super::backward::{self, Heard, lanes_of};
use super::trial::Trial;
use super::{Gradients, Job, Rule, RuleError, Stats, Worker, check_common, check_no_reads, check_plain};
use crate::gemm::solve;
use crate::in_the_loop::Station;
use response::{Filter, Table};
use serde::{Deserialize, Serialize};
use snn_core::net::Population;
use snn_core::neuron::{LifPsc, Model};
use snn_core::{Surrogate, Target, Trains, Value};
use snn_sparse::lanes::{Isa, Kernel, blocks, flat};
use snn_sparse::{Block, Clocked, LANES, Link, Scalar, Source, Store, Synapses};

/// Spike-train level recurrent backpropagation (ST-RSBP; Zhang & Li 2019, arXiv:1908.06378), for networks of [`LifPsc`](snn_core::neuron::LifPsc).
///
/// Neuron `i` with threshold ν and `o_i` spikes; the S-PSP `e_ij` is the sum, over the spikes of `i`, of the potential that the spikes of `j` alone, with weight 1, have built up in `i` since its
/// spike before. Then `a_i = Σ_j w_ij·e_ij` is the sum of the potentials at its spikes, `o_i ≈ a_i/ν`, and with `δ_i = (∂L/∂o_i)/ν`
/// ```text
/// Ω_i  = 1 − (1/ν_i)·Σ_j w_ij·∂e_ij/∂o_i                        at least `clamp` from 0
/// Θ_lp = w_lp·(∂e_lp/∂o_p)/ν_p                                  links of the population to itself, l ≠ p
/// (Ω − Θ)ᵀ·y = δ                                                y = δ/Ω without such links, or without `coupled`
/// ∂L/∂o_j += Σ_i y_i·w_ij·∂e_ij/∂o_j                            in the populations before
/// ∂L/∂w_ij = δ_i/Ω_i·e_ij                                       or y_i·e_ij, if `full`
/// ```
/// `∂e_ij/∂o_j` is `e_ij/o_j`, or ½ where either is silent, so that silent neurons are not lost. `∂e_ij/∂o_i` is the slope of a polynomial of degree 4 through means over random trains, made
/// for the steps of the trial and the neurons' constants. Where the solution is no number, `δ/Ω` takes its place. The error by a count is the mean over the steps of that by the
/// output. An output neuron of the class wanted that is silent is given `wake` spikes at regular intervals before errors go back.
///
/// `e_ij` is linear in the spikes of `j`, so it is the sum over them of one number per step and neuron `i`, which runs backwards in time (`Filter::respond`): the weight gradient is
/// the same sum over events as that of the other rules, on every store.
///
/// Cost: `(events + sources) × fan-out` multiply-accumulates, and `n³/3` for a recurrent population of `n`. Memory: the spikes, 128 numbers per step whatever the number of neurons,
/// and `2n²` for a recurrent population: no state and no potential of any step is kept.
///
/// Source: the released code and reading notes. Departure: for `Ω` the count of a source is as it is, not clamped to the table. Departure: the table takes the mean over the
/// source's trains exactly. Left out: the lateral factor of the output layer, and the weight regulariser and the boosting of trials, which belong to a trainer.
///
/// ```
/// use snn_core::{Net, Raster, Seed, Trials, ms, net::{Connect, Init}, neuron::LifPsc};
/// use snn_learn::{Loss, Optimiser, Options, StRsbp, Trainer};
/// // Two classes: which of two input channels fires.
/// let mut data = Trials::new("which", 2, 60, 2);
/// for class in 0..2 {
///     let mut raster = Raster::new(2, 60);
///     raster.fill((0..60).map(|t| (t, class)));
///     data.push(raster, class as usize);
/// }
/// let neuron = || LifPsc { tau: ms(32.0).into(), tau_syn: ms(8.0).into(), resistance: 32.0.into(), v_th: 3.0.into(), t_ref: ms(2.0).into() };
/// let net = Net::new(ms(1.0)).input("in", 2).population("hidden", 10, neuron()).population("out", 2, neuron())
///     .project("in", "hidden", Connect::All, Init::uniform(1.0)).delay(ms(1.0))
///     .project("hidden", "hidden", Connect::Random { p: 0.3 }, Init::uniform(1.0)).delay(ms(1.0))
///     .project("hidden", "out", Connect::All, Init::uniform(1.0)).delay(ms(1.0)).output("out").build(Seed::new(1))?;
/// let options = Options { batch: 1, ..Options::new(Loss::Count { correct: 10.0, wrong: 2.0, margin: 1.0 }, Seed::new(1)) };
/// let mut trainer = Trainer::new(&net, StRsbp::default(), Optimiser::adam(0.02), options)?;
/// for _ in 0..30 {
///     trainer.epoch(&data, &|_| ())?;
/// }
/// assert_eq!(trainer.evaluate(&data)?.accuracy(), 1.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StRsbp {
    /// Whether the counts of a recurrent population are solved for together.
    pub coupled: bool,
    /// Whether weight gradients see what goes round in the population; the released code's do not.
    pub full: bool,
    /// Counts up to which the table goes.
    pub counts: usize,
    /// Least magnitude of Ω.
    pub clamp: f64,
    /// Spikes given to a silent output neuron of the class wanted; 0: none.
    pub wake: usize,
}

impl Default for StRsbp {
    /// That of the released code: coupled errors, weight gradients that are not, counts up to 50, Ω at least 1e-4, 35 spikes.
    fn default() -> Self {
        StRsbp { coupled: true, full: false, counts: 50, clamp: 1e-4, wake: 35 }
    }
}

const NAME: &str = "st_rsbp";
/// `∂e_ij/∂o_j` where either is silent.
const SILENT: f64 = 0.5;

/// Whoever runs a network for a rule asks for one; the rule uses none of its slopes.
fn surrogate() -> Surrogate {
    Surrogate::logistic(1.0)
}

impl<F: Scalar> Rule<F> for StRsbp {
    fn name(&self) -> &'static str {
        NAME
    }
    fn check(&self, engine: &Clocked<F>) -> Result<(), RuleError> {
        check_common(NAME, &surrogate(), engine)?;
        check_plain(NAME, engine)?;
        check_no_reads(NAME, engine)?;
        if self.counts == 0 || !(self.clamp > 0.0 && self.clamp < 1.0) {
            let why = format!("counts = {}, clamp = {}: at least 1, and between 0 and 1", self.counts, self.clamp);
            return Err(RuleError::Options { rule: NAME, why });
        }
        let draft = engine.network().draft();
        draft.populations.iter().try_for_each(|p| self::model(p, draft.dt).map(drop))?;
        if let Some(component) = engine.components().iter().find(|c| c.populations.len() > 1) {
            let population = draft.populations[component.populations[0]].name.clone();
            let why = "is in a loop with another population, and the rule solves for the counts of one; join them to one population".into();
            return Err(RuleError::Population { rule: NAME, population, why });
        }
        for link in engine.links().iter().filter(|link| link.from == Source::Population(link.to)) {
            if !matches!(link.store, Store::Dense(_) | Store::Csr(_)) {
                let name = draft.populations[link.to].name.clone();
                let why = "shares its weights, and the rule takes recurrent links with weights of their own; list them".into();
                return Err(RuleError::Projection { rule: NAME, from: name.clone(), to: name, why });
            }
        }
        Ok(())
    }
    fn worker(&self, engine: &Clocked<F>) -> Box<dyn Worker<F>> {
        let draft = engine.network().draft();
        let layers = draft.populations.iter().filter_map(|p| Some(Layer::new(model(p, draft.dt).ok()?, p.size, draft.dt)));
        Box::new(Counting {
            rule: *self,
            trial: Trial::new(engine, surrogate()).spikes_only(),
            layers: layers.collect(),
            steps: 0,
            trains: vec![Trains::default(); 1 + engine.cells().len()],
            counts: vec![Vec::new(); 1 + engine.cells().len()],
            errors: vec![Vec::new(); engine.cells().len()],
            woken: None,
            fired: Vec::new(),
            response: Vec::new(),
            delta: Vec::new(),
            own: Vec::new(),
            system: Vec::new(),
        })
    }
    fn takes_device(&self) -> bool {
        true
    }
}

/// The model of a population that the rule can take.
fn model(population: &Population, dt: f64) -> Result<&LifPsc, RuleError> {
    let refuse = |why: String| Err(RuleError::Population { rule: NAME, population: population.name.clone(), why });
    let Model::LifPsc(model) = &population.model else {
        return refuse(format!(
            "({}) is another neuron than the rule is made for; take lif_psc, also for the output",
            population.model.name()
        ));
    };
    if population.refractory_steps(dt) > 0 {
        return refuse("is refractory with a membrane that goes on; take t_ref of the model instead".into());
    }
    let each = [&model.tau, &model.tau_syn, &model.resistance, &model.t_ref].into_iter().any(|value| matches!(value, Value::Each(_)));
    if each {
        return refuse("has time constants or resistances of each neuron, and the rule has one table for all; give one number".into());
    }
    Ok(model)
}

/// What the rule knows of a population.
struct Layer {
    filter: Filter,
    v_th: Vec<f64>,
    /// Made for the steps of the trial.
    table: Option<Table>,
}

impl Layer {
    fn new(model: &LifPsc, size: usize, dt: f64) -> Self {
        Layer { filter: Filter::new(model, dt), v_th: model.v_th.iter(size).collect(), table: None }
    }
}

/// The worker.
struct Counting<F: Scalar> {
    rule: StRsbp,
    trial: Trial<F>,
    layers: Vec<Layer>,
    /// Steps that the tables are made for.
    steps: usize,
    /// The spikes of the input and of every population, by unit, and their numbers.
    trains: Vec<Trains>,
    counts: Vec<Vec<f64>>,
    /// By population: `∂L/∂o`.
    errors: Vec<Vec<f64>>,
    /// The unit of the output that was given spikes, and the steps between them.
    woken: Option<(usize, usize)>,
    /// `[step]` of one block: who fired; the response to an input; and that times a number of each neuron.
    fired: Vec<u64>,
    response: Vec<Block<F>>,
    delta: Vec<Block<F>>,
    /// `e` of the links of a population to itself, laid out like one list of weights after the other.
    own: Vec<Vec<Block<F>>>,
    /// The linear system of the largest of these.
    system: Vec<f64>,
}

impl<F: Scalar> Worker<F> for Counting<F> {
    fn learn(&mut self, job: &Job<'_, F>, trials: &[usize], gradients: &mut Gradients<F>) -> Stats {
        let engine = job.engine;
        let mut stats = Stats::of(engine.cells().len());
        for &trial in trials {
            let middle = self.trial.run(job, trial, &mut stats);
            self.look_at(engine, job.data.target(trial));
            for component in engine.components().iter().rev() {
                component.populations.iter().for_each(|&p| stats.macs_backward += self.back(engine, p, gradients));
            }
            stats.backward_s += middle.elapsed().as_secs_f64();
            stats.tally(engine, &self.trial.input, &self.trial.record, 0);
            // Every neuron has the derivative of its count.
            stats.active.iter_mut().zip(engine.cells()).for_each(|(active, cells)| *active += cells.size() as u64);
        }
        stats
    }

    fn play_on(&mut self, station: Option<Station>) -> Option<Station> {
        std::mem::replace(&mut self.trial.station, station)
    }

    fn bytes(&self) -> usize {
        let planes = self.response.capacity() + self.delta.capacity() + self.own.iter().map(Vec::capacity).sum::<usize>();
        // Solving takes a copy of the system.
        let lists =
            self.counts.iter().chain(&self.errors).map(Vec::capacity).sum::<usize>() + self.fired.capacity() + 2 * self.system.capacity();
        self.trial.bytes() + self.trains.iter().map(Trains::bytes).sum::<usize>() + size_of::<Block<F>>() * planes + 8 * lists
    }
}

impl<F: Scalar> Counting<F> {
    /// Takes in the trial that was run: who fired how often, and the errors by the counts of the output and by the regulariser.
    fn look_at(&mut self, engine: &Clocked<F>, target: Target<'_>) {
        let Trial { input, record, output, constant, .. } = &self.trial;
        let (steps, out) = (input.steps(), engine.outputs()[0]);
        if self.steps != steps {
            self.steps = steps;
            let rule = &self.rule;
            self.layers.iter_mut().for_each(|l| l.table = Some(Table::new(&l.filter, steps, rule.counts, engine.simd())));
        }
        for (k, raster) in std::iter::once(input).chain(&record.spikes).enumerate() {
            let trains = &mut self.trains[k];
            trains.of(raster);
            let count = |i: usize| if raster.is_graded() { trains.values_at(i).iter().sum() } else { trains.at(i).len() as f64 };
            self.counts[k].clear();
            self.counts[k].extend((0..raster.units()).map(count));
        }
        for (p, (errors, constant)) in self.errors.iter_mut().zip(constant).enumerate() {
            errors.clear();
            errors.extend(flat(constant)[..engine.cells()[p].size()].iter().map(|x| x.value()));
        }
        let width = blocks(engine.cells()[out].size());
        for (j, error) in self.errors[out].iter_mut().enumerate() {
            let sum: f64 = output.iter().skip(j / LANES).step_by(width).map(|block| block[j % LANES].value()).sum();
            *error += sum / steps.max(1) as f64;
        }
        self.woken = None;
        if let (Target::Class(class), true) = (target, self.rule.wake > 0)
            && self.counts[1 + out].get(class) == Some(&0.0)
        {
            let period = (steps / self.rule.wake).max(self.layers[out].filter.hold() + 1);
            self.counts[1 + out][class] = (steps / period) as f64;
            self.woken = Some((class, period));
        }
    }

    /// Who fired in block `b` of population `p`, and how they respond.
    fn respond(&mut self, engine: &Clocked<F>, p: usize, b: usize) {
        let trace = &self.trial.record.traces[p];
        self.fired.clear();
        self.fired.extend((0..self.steps).map(|t| trace.fired(t, b)));
        if let Some((unit, period)) = self.woken.filter(|(unit, _)| p == engine.outputs()[0] && unit / LANES == b) {
            self.fired.iter_mut().skip(period - 1).step_by(period).for_each(|fired| *fired |= 1 << (unit % LANES));
        }
        self.response.resize(self.steps, Block::zero());
        self.layers[p].filter.respond(engine.simd(), &self.fired, &mut self.response);
    }

    /// Takes population `p` back: gradients of the links into it, errors by the counts of the populations before. Returns the multiply-accumulates.
    fn back(&mut self, engine: &Clocked<F>, p: usize, gradients: &mut Gradients<F>) -> u64 {
        let omega = self.omega(engine, p);
        let layer = &self.layers[p];
        let delta: Vec<f64> = self.errors[p].iter().zip(&layer.v_th).map(|(e, v_th)| e / v_th).collect();
        let alone: Vec<f64> = delta.iter().zip(&omega).map(|(d, o)| d / o).collect();
        let own: Vec<usize> = engine.incoming(p).iter().copied().filter(|&k| engine.links()[k].from == Source::Population(p)).collect();
        let y = if self.rule.coupled && !own.is_empty() { self.coupled(engine, p, &own, &omega, &delta) } else { None };
        let y = y.unwrap_or_else(|| alone.clone());
        let own_weights = if self.rule.full { &y } else { &alone };
        let mut macs = 0;
        for b in 0..blocks(delta.len()) {
            self.respond(engine, p, b);
            self.times(b, own_weights);
            for &k in engine.incoming(p).iter().filter(|&&k| engine.links()[k].learns) {
                macs += self.correlate(engine, k, b, &mut gradients.links[k]);
            }
            self.times(b, &y);
            for &k in engine.incoming(p) {
                if let Source::Population(q) = engine.links()[k].from
                    && q != p
                {
                    macs += self.pull_back(engine, k, q, b, &y);
                }
            }
        }
        macs
    }

    /// Ω of population `p`.
    fn omega(&self, engine: &Clocked<F>, p: usize) -> Vec<f64> {
        let Layer { v_th, table, .. } = &self.layers[p];
        let mut heard = vec![Block::<F>::zero(); blocks(v_th.len())];
        for &k in engine.incoming(p) {
            let link = &engine.links()[k];
            let counts = &self.counts[train_of(link.from)];
            let loud = (0..counts.len()).filter(|&i| counts[i] != 0.0);
            let (units, values): (Vec<u32>, Vec<f64>) = loud.map(|i| (i as u32, counts[i])).unzip();
            engine.simd().run(Weigh { link, units: &units, values: &values, into: &mut heard });
        }
        let slope = |o: f64| table.as_ref().map_or(0.0, |table| table.slope(o));
        let heard = flat(&heard).iter().map(|x| x.value());
        v_th.iter().zip(heard).zip(&self.counts[1 + p]).map(|((v_th, heard), &o)| omega(slope(o), heard, *v_th, self.rule.clamp)).collect()
    }

    /// The solution of `(Ω − Θ)ᵀ·y = δ`; `None` if it is no number.
    fn coupled(&mut self, engine: &Clocked<F>, p: usize, own: &[usize], omega: &[f64], delta: &[f64]) -> Option<Vec<f64>> {
        let lengths = own.iter().map(|&k| engine.links()[k].store.weights().len());
        let mut e: Vec<Vec<Block<F>>> = std::mem::take(&mut self.own);
        e.resize(own.len(), Vec::new());
        for (e, length) in e.iter_mut().zip(lengths) {
            e.clear();
            e.resize(length, Block::zero());
        }
        for b in 0..blocks(delta.len()) {
            self.respond(engine, p, b);
            self.delta.clone_from(&self.response);
            for (&k, e) in own.iter().zip(&mut e) {
                self.correlate(engine, k, b, e);
            }
        }
        let Counting { counts, layers, system, .. } = self;
        let (n, counts, v_th) = (delta.len(), &counts[1 + p], &layers[p].v_th);
        // The transpose: a row for each source.
        system.clear();
        system.resize(n * n, 0.0);
        for (&k, e) in own.iter().zip(&e) {
            let store = &engine.links()[k].store;
            let (slots, weights, e) = (store.slots(), flat(store.weights()), flat(e));
            for (from, to, k) in store.triplets().into_iter().filter(|(from, to, _)| from != to) {
                let (w, e) = (weights[slots[k]].value(), e[slots[k]].value());
                system[from * n + to] -= w * by_source(e, counts[from], counts[to]) / v_th[from];
            }
        }
        (0..n).for_each(|i| system[i * n + i] = omega[i]);
        self.own = e;
        let mut y = delta.to_vec();
        solve(system, &mut y);
        y.iter().all(|y| y.is_finite()).then_some(y)
    }

    /// The response of block `b` times a number of each neuron.
    fn times(&mut self, b: usize, by: &[f64]) {
        let by = lanes(b, by);
        self.delta.clear();
        self.delta.extend(self.response.iter().map(|response| Block(std::array::from_fn(|l| response.0[l] * by.0[l]))));
    }

    /// Adds `Σ_s delta[s + delay]` over the spikes `s` of every source of `links()[k]`, for the targets in block `b`.
    fn correlate(&self, engine: &Clocked<F>, k: usize, b: usize, gradient: &mut [Block<F>]) -> u64 {
        let link = &engine.links()[k];
        let Some(delta) = self.delta.get(link.delay..) else { return 0 };
        let heard = Heard { trains: &self.trains[train_of(link.from)], since: 0, delta };
        backward::correlate(engine, &link.store, b, &[heard], gradient) * lanes_of(engine, link.to, b)
    }

    /// Adds to the errors by the counts of population `q` what comes back over `links()[k]` from block `b`.
    fn pull_back(&mut self, engine: &Clocked<F>, k: usize, q: usize, b: usize, y: &[f64]) -> u64 {
        let link = &engine.links()[k];
        let silent = |j: usize| self.counts[1 + link.to][j] == 0.0;
        let halves: Vec<f64> = y.iter().map(|y| SILENT * y).collect();
        let halves_of_silent: Vec<f64> = (0..y.len()).map(|j| if silent(j) { halves[j] } else { 0.0 }).collect();
        let (all, silent) = (lanes(b, &halves), lanes(b, &halves_of_silent));
        let delta = self.delta.get(link.delay..).unwrap_or_default();
        let back = CountsBack { link, block: b, trains: &self.trains[1 + q], delta, all, silent, errors: &mut self.errors[q] };
        engine.simd().run(back)
    }
}

/// Place of a source among the trains.
fn train_of(from: Source) -> usize {
    match from {
        Source::Input(_) => 0,
        Source::Population(q) => 1 + q,
    }
}

/// The numbers of block `b`.
fn lanes<F: Scalar>(b: usize, all: &[f64]) -> Block<F> {
    Block(std::array::from_fn(|l| all.get(b * LANES + l).map_or(F::default(), |&x| F::of(x))))
}

/// Ω of a neuron that hears `heard = Σ_j w_j·o_j`, where the mean S-PSP per spike has this slope in the own count.
fn omega(slope: f64, heard: f64, v_th: f64, clamp: f64) -> f64 {
    let omega = 1.0 - slope * heard / v_th;
    if omega.abs() < clamp { clamp.copysign(omega) } else { omega }
}

/// `∂e_ij/∂o_j`.
fn by_source(e: f64, source: f64, target: f64) -> f64 {
    if source == 0.0 || target == 0.0 { SILENT } else { e / source }
}

/// Adds `Σ_k values[k]·W[units[k]]`.
struct Weigh<'a, F: Scalar> {
    link: &'a Link<F>,
    units: &'a [u32],
    values: &'a [f64],
    into: &'a mut [Block<F>],
}

impl<F: Scalar> Kernel for Weigh<'_, F> {
    type Number = F;
    type Out = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        for (b, acc) in self.into.iter_mut().enumerate() {
            *acc = self.link.store.deliver_values::<I>(b, self.units, self.values, *acc);
        }
    }
}

/// Errors by counts at the sources of a link, from one block of targets.
struct CountsBack<'a, F: Scalar> {
    link: &'a Link<F>,
    block: usize,
    trains: &'a Trains,
    /// `y_i` times the response of `i` to an input at a step.
    delta: &'a [Block<F>],
    /// Half of every `y`, and of those of silent targets.
    all: Block<F>,
    silent: Block<F>,
    errors: &'a mut [f64],
}

impl<F: Scalar> Kernel for CountsBack<'_, F> {
    type Number = F;
    /// The multiply-accumulates spent on weights.
    type Out = u64;

    #[inline(always)]
    fn run<I: Isa>(self) -> u64 {
        for (j, error) in self.errors.iter_mut().enumerate() {
            let times = self.trains.at(j);
            let mut sum = Block::<F>::zero();
            times.iter().filter_map(|&t| self.delta.get(t as usize)).for_each(|delta| sum = sum.plus(delta));
            let count = F::count(times.len().max(1) as u32);
            for l in 0..LANES {
                sum.0[l] = if times.is_empty() { self.all.0[l] } else { sum.0[l] / count + self.silent.0[l] };
            }
            *error += self.link.store.pull_back::<I>(self.block, j as u32, &sum).value();
        }
        (self.errors.len() * LANES) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::{Loss, Regulariser};
    use proptest::prelude::*;
    use rand::RngExt;
    use snn_core::net::{Connect, Init};
    use snn_core::{Dataset, Net, Network, Raster, Seed, Trials, ms};
    use snn_sparse::Wants;

    const LOSS: Loss = Loss::Count { correct: 9.0, wrong: 2.0, margin: 0.0 };

    fn neuron(v_th: f64) -> LifPsc {
        LifPsc { tau: ms(30.0).into(), tau_syn: ms(6.0).into(), resistance: 30.0.into(), v_th: v_th.into(), t_ref: ms(2.0).into() }
    }

    /// in -> a -> out, and `a` to itself.
    fn network(recurrent: Option<f64>, seed: u64) -> Network {
        let net = Net::new(ms(1.0)).input("in", 6).population("a", 70, neuron(1.5)).population("out", 3, neuron(2.0));
        let net = net.project("in", "a", Connect::All, Init::normal(0.8)).delay(ms(1.0));
        let net = net.project("a", "out", Connect::All, Init::normal(0.6)).delay(ms(1.0));
        let net = match recurrent {
            Some(std) => net.project("a", "a", Connect::Random { p: 0.2 }, Init::normal(std)).delay(ms(1.0)),
            None => net,
        };
        net.output("out").build(Seed::new(seed)).unwrap()
    }

    fn trials(steps: usize, seed: u64) -> Trials {
        let mut data = Trials::new("random", 6, steps, 3);
        for class in 0..3 {
            let mut rng = Seed::new(seed).nth(class as u64).rng();
            let mut raster = Raster::new(6, steps);
            raster.write(|_, list| list.extend((0..6u32).filter(|_| rng.random_bool(0.15))));
            data.push(raster, class);
        }
        data
    }

    fn gradient(engine: &Clocked<f64>, rule: StRsbp, data: &Trials, loss: Loss) -> Vec<Vec<f64>> {
        Rule::<f64>::check(&rule, engine).unwrap();
        let job = Job { engine, data, loss, regulariser: Regulariser::NONE, scale: 1.0, updates: 0, rates: &[] };
        let mut gradients = Gradients::zero(engine);
        rule.worker(engine).learn(&job, &(0..data.len()).collect::<Vec<_>>(), &mut gradients);
        gradients.in_order(engine)
    }

    fn counting(engine: &Clocked<f64>) -> Counting<f64> {
        let rule = StRsbp::default();
        Counting {
            rule,
            trial: Trial::new(engine, surrogate()).spikes_only(),
            layers: engine.network().draft().populations.iter().map(|p| Layer::new(model(p, 1e-3).unwrap(), p.size, 1e-3)).collect(),
            steps: 0,
            trains: vec![Trains::default(); 3],
            counts: vec![Vec::new(); 3],
            errors: vec![Vec::new(); 2],
            woken: None,
            fired: Vec::new(),
            response: Vec::new(),
            delta: Vec::new(),
            own: Vec::new(),
            system: Vec::new(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Superposition: the weighted S-PSPs of a neuron are the sum of its potentials at its spikes, recurrent input and all.
        #[test]
        fn weighted_s_psps_are_the_potentials(seed in any::<u64>(), steps in 1usize..120) {
            let (engine, data) = (Clocked::<f64>::compile(&network(Some(0.4), seed)), trials(steps, seed));
            let mut worker = counting(&engine);
            let job = Job { engine: &engine, data: &data, loss: LOSS, regulariser: Regulariser::NONE, scale: 1.0, updates: 0, rates: &[] };
            worker.trial.run(&job, 0, &mut Stats::of(2));
            worker.look_at(&engine, data.target(1));
            worker.woken = None;
            let mut input = Raster::default();
            data.load(0, &mut input);
            let record = engine.record(&[&input], Wants::Active(Surrogate::logistic(1.0)));
            for p in 0..2 {
                let n = engine.cells()[p].size();
                let mut sums = vec![0.0; n];
                for b in 0..blocks(n) {
                    worker.respond(&engine, p, b);
                    worker.delta.clone_from(&worker.response);
                    for &k in engine.incoming(p) {
                        let store = &engine.links()[k].store;
                        let mut e = vec![Block::zero(); store.weights().len()];
                        worker.correlate(&engine, k, b, &mut e);
                        let (w, e) = (store.values(), store.in_order(&e));
                        store.triplets().into_iter().filter(|l| l.1 / LANES == b).for_each(|(_, j, k)| sums[j] += w[k] * e[k]);
                    }
                }
                for (j, sum) in sums.into_iter().enumerate() {
                    let trace = &record.traces[p];
                    let spikes = (0..steps).filter(|&t| trace.fired(t, j / LANES) >> (j % LANES) & 1 == 1);
                    let potentials: f64 = spikes.map(|t| trace.after(t, j / LANES)[1][j % LANES]).sum();
                    prop_assert!((sum - potentials).abs() < 1e-10 * (1.0 + potentials.abs()), "{sum} {potentials}");
                }
            }
        }

        /// Recurrent links of weight 0 change nothing, whatever the options: then Θ is 0.
        #[test]
        fn without_recurrent_weights_the_layer_is_feed_forward(seed in any::<u64>(), full: bool) {
            let data = trials(80, seed);
            let plain = gradient(&Clocked::compile(&network(None, seed)), StRsbp::default(), &data, LOSS);
            for coupled in [false, true] {
                let rule = StRsbp { coupled, full, ..StRsbp::default() };
                let with = gradient(&Clocked::compile(&network(Some(0.0), seed)), rule, &data, LOSS);
                let top = plain.concat().iter().fold(0.0f64, |m, g| m.max(g.abs()));
                for (a, b) in plain.concat().iter().zip(with[..2].concat()) {
                    prop_assert!((a - b).abs() <= 1e-12 * top);
                }
            }
        }

        /// One transposed solve gives the errors below that the full system gives.
        #[test]
        fn a_transposed_solve_is_the_full_solve(a in prop::collection::vec(-0.2f64..0.2, 25), phi in prop::collection::vec(-1.0f64..1.0, 15), delta in prop::array::uniform5(-1.0f64..1.0)) {
            let system: Vec<f64> = (0..25).map(|k| if k / 5 == k % 5 { 1.0 + a[k] } else { a[k] }).collect();
            let transposed: Vec<f64> = (0..25).map(|k| system[k % 5 * 5 + k / 5]).collect();
            let mut y = delta.to_vec();
            solve(&transposed, &mut y);
            for j in 0..3 {
                let mut column: Vec<f64> = (0..5).map(|l| phi[l * 3 + j]).collect();
                let ours: f64 = column.iter().zip(&y).map(|(phi, y)| phi * y).sum();
                solve(&system, &mut column);
                let theirs: f64 = column.iter().zip(&delta).map(|(p, d)| p * d).sum();
                prop_assert!((ours - theirs).abs() < 1e-12);
            }
        }

        /// Counts that obey `o = a/ν`, `a_i = Σ w_ij·e(o_j, o_i)` exactly, with a smooth e: the linear system gives the derivative of a loss of them by every weight.
        #[test]
        fn the_system_is_the_implicit_derivative(w in prop::collection::vec(-0.4f64..0.6, 32), x in prop::array::uniform3(2.0f64..9.0)) {
            const N: usize = 4;
            const V_TH: f64 = 3.0;
            // S-PSP per spike of the source, falling with the own count, and its slope.
            let mean = |o: f64| 1.5 - 0.04 * o + 0.0004 * o * o;
            let slope = |o: f64| -0.04 + 0.0008 * o;
            // Weights: 12 from the input, 16 from the layer itself, and 4 to the output, whose count is taken alike.
            let (inputs, own, out) = (0..12, 12..28, 28..32);
            let settle = |w: &[f64]| -> ([f64; N], f64) {
                let mut o = [3.0; N];
                for _ in 0..500 {
                    o = std::array::from_fn(|i| {
                        let heard: f64 = (0..3).map(|j| w[inputs.start + i * 3 + j] * x[j]).sum::<f64>()
                            + (0..N).filter(|&j| j != i).map(|j| 0.3 * w[own.start + i * N + j] * o[j]).sum::<f64>();
                        0.5 * o[i] + 0.5 * heard.max(-30.0) * mean(o[i]) / V_TH
                    });
                }
                let mut top = 1.0;
                for _ in 0..500 {
                    top = 0.5 * top + 0.5 * (0..N).map(|j| w[out.start + j] * o[j]).sum::<f64>() * mean(top) / V_TH;
                }
                (o, top)
            };
            let (o, top) = settle(&w);
            prop_assume!(o.iter().chain([&top]).all(|o| o.is_finite() && o.abs() > 0.05 && *o < 18.0 && *o > -18.0));
            let loss = |w: &[f64]| 0.5 * (settle(w).1 - 2.0).powi(2);
            // Back: the output neuron, then the layer.
            let heard_top: f64 = (0..N).map(|j| w[out.start + j] * o[j]).sum();
            let y_top = (top - 2.0) / V_TH / omega(slope(top), heard_top, V_TH, 1e-9);
            let delta: Vec<f64> = (0..N).map(|j| y_top * w[out.start + j] * by_source(o[j] * mean(top), o[j], top) / V_TH).collect();
            let mut system = vec![0.0; N * N];
            for i in 0..N {
                let heard: f64 = (0..3).map(|j| w[inputs.start + i * 3 + j] * x[j]).sum::<f64>()
                    + (0..N).filter(|&j| j != i).map(|j| 0.3 * w[own.start + i * N + j] * o[j]).sum::<f64>();
                prop_assume!(heard > -29.0);
                system[i * N + i] = omega(slope(o[i]), heard, V_TH, 1e-9);
                for j in (0..N).filter(|&j| j != i) {
                    system[j * N + i] = -0.3 * w[own.start + i * N + j] * by_source(o[j] * mean(o[i]), o[j], o[i]) / V_TH;
                }
            }
            let mut y = delta;
            solve(&system, &mut y);
            prop_assume!(y.iter().all(|y| y.abs() < 1e3));
            let gradient = |k: usize| match k {
                k if k < 12 => y[k / 3] * x[k % 3] * mean(o[k / 3]),
                k if k < 28 => if (k - 12) / N == (k - 12) % N { 0.0 } else { 0.3 * y[(k - 12) / N] * o[(k - 12) % N] * mean(o[(k - 12) / N]) },
                k => y_top * o[k - 28] * mean(top),
            };
            for k in 0..32 {
                let value = |h: f64| { let mut w = w.clone(); w[k] += h; loss(&w) };
                let numeric = (value(1e-5) - value(-1e-5)) / 2e-5;
                prop_assert!((numeric - gradient(k)).abs() < 1e-6 * (1.0 + numeric.abs()), "{k}: {numeric} {}", gradient(k));
            }
        }

        /// Without a margin every weight of a single layer moves so that the count goes towards the wanted one.
        #[test]
        fn a_single_layer_moves_counts_towards_the_wanted(seed in any::<u64>()) {
            let net = Net::new(ms(1.0)).input("in", 6).population("out", 3, neuron(2.0)).project("in", "out", Connect::All, Init::uniform(1.5)).delay(ms(1.0));
            let engine = Clocked::<f64>::compile(&net.output("out").build(Seed::new(seed)).unwrap());
            let data = trials(120, seed);
            let mut input = Raster::default();
            data.load(1, &mut input);
            let record = engine.record(&[&input], Wants::Spikes);
            let mut gradients = Gradients::zero(&engine);
            let job = Job { engine: &engine, data: &data, loss: LOSS, regulariser: Regulariser::NONE, scale: 1.0, updates: 0, rates: &[] };
            // The slope of the table is negative, so where Σ w·o is above 0, Ω is above 1.
            StRsbp::default().worker(&engine).learn(&job, &[1], &mut gradients);
            let g = gradients.in_order(&engine);
            for j in 0..3 {
                let count = (0..120).filter(|&t| record.spikes[0].at(t).contains(&(j as u32))).count() as f64;
                let wanted = if j == 1 { 9.0 } else { 2.0 };
                // e is above 0, or 0 where the neuron is silent and not woken.
                for i in 0..6 {
                    let g = g[0][i * 3 + j];
                    prop_assert!(g == 0.0 || count == 0.0 || g.signum() == (count - wanted).signum(), "{g}: {count} of {wanted}");
                    prop_assert!(count > 0.0 || j == 1 || g == 0.0);
                }
            }
        }
    }

    #[test]
    fn a_silent_neuron_of_the_class_is_woken() {
        let net = |v_th: f64| {
            let net = Net::new(ms(1.0))
                .input("in", 6)
                .population("out", 3, neuron(v_th))
                .project("in", "out", Connect::All, Init::Constant(0.5))
                .delay(ms(1.0));
            Clocked::<f64>::compile(&net.output("out").build(Seed::new(0)).unwrap())
        };
        let data = trials(100, 5);
        // Far below threshold nobody fires, and only neurons of the class wanted have a gradient: that of the spikes that are missing.
        let engine = net(1e3);
        let g = gradient(&engine, StRsbp::default(), &data, LOSS);
        assert!(g[0].iter().all(|g| *g < 0.0), "{g:?}");
        let asleep = gradient(&engine, StRsbp { wake: 0, ..StRsbp::default() }, &data, LOSS);
        assert!(asleep[0].iter().all(|g| *g == 0.0));
    }

    #[test]
    fn what_it_cannot_take_it_names() {
        let refused = |net: Net| {
            let engine = Clocked::<f64>::compile(&net.output("out").build(Seed::new(0)).unwrap());
            Rule::<f64>::check(&StRsbp::default(), &engine).unwrap_err().to_string()
        };
        let base = || Net::new(ms(1.0)).input("in", 6);
        let li = base().population("out", 3, snn_core::neuron::Li::default()).project("in", "out", Connect::All, Init::normal(1.0));
        assert!(refused(li).contains("`out` (li)"));
        let each = LifPsc { tau: vec![0.01, 0.02].into(), ..LifPsc::default() };
        assert!(refused(base().population("out", 2, each)).contains("one table for all"));
        let two =
            base().population("a", 2, neuron(1.0)).population("out", 2, neuron(1.0)).project("a", "out", Connect::All, Init::normal(1.0));
        assert!(
            refused(two.project("out", "a", Connect::All, Init::normal(1.0)).delay(ms(1.0))).contains("in a loop with another population")
        );
        let learned = base().population("out", 2, neuron(1.0)).train(&["tau"]);
        assert!(refused(learned).contains("learns tau"));
        let none = StRsbp { counts: 0, ..StRsbp::default() };
        assert!(Rule::<f64>::check(&none, &Clocked::compile(&network(None, 0))).unwrap_err().to_string().contains("counts = 0"));
    }

    /// With the same spikes, a trial ten times as long takes a few numbers per step more, however many neurons there are.
    #[test]
    fn memory_does_not_grow_with_neurons_times_steps() {
        let bytes = |hidden: usize, steps: usize, rule: &dyn Rule<f64>| {
            let net = Net::new(ms(1.0)).input("in", 6).population("a", hidden, neuron(1.5)).population("out", 3, neuron(2.0));
            let net = net
                .project("in", "a", Connect::All, Init::normal(0.8))
                .delay(ms(1.0))
                .project("a", "out", Connect::All, Init::normal(0.2))
                .delay(ms(1.0));
            let engine = Clocked::<f64>::compile(&net.output("out").build(Seed::new(1)).unwrap());
            let mut raster = Raster::new(6, steps);
            raster.fill((0..60u32).map(|k| (k, k % 6)));
            let mut data = Trials::new("once", 6, steps, 3);
            data.push(raster, 1);
            let job = Job { engine: &engine, data: &data, loss: LOSS, regulariser: Regulariser::NONE, scale: 1.0, updates: 0, rates: &[] };
            let mut worker = rule.worker(&engine);
            worker.learn(&job, &[0], &mut Gradients::zero(&engine));
            worker.bytes() as f64
        };
        let growth = |hidden: usize, rule: &dyn Rule<f64>| (bytes(hidden, 2000, rule) - bytes(hidden, 200, rule)) / 1800.0;
        let (few, many) = (growth(64, &StRsbp::default()), growth(1024, &StRsbp::default()));
        assert!(many - few < 1024.0, "{few} and {many} bytes per step"); // less than a byte per neuron; a potential has eight
        let unrolled = growth(1024, &crate::Bptt::new(Surrogate::logistic(0.2)));
        assert!(many < unrolled / 8.0, "{many} and {unrolled} bytes per step");
    }
}
