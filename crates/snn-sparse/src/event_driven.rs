//! The event-driven engine: a neuron is looked at when something reaches it, never in between.

use crate::bank::Source;
use crate::store::Rows;
use crate::topology::{Topology, by_delay};
use snn_core::net::Population;
use snn_core::neuron::{Neuron, Output, Visit};
use snn_core::{Network, Raster, Real, Vars};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A network run from event to event.
///
/// Spikes wait in a priority queue until their delay has passed. A neuron they reach is carried over the silence before in closed form
/// ([`Neuron::jump`]), hears them, and may fire. Times are multiples of the network's time step, so spikes are those of
/// [`Clocked`](crate::Clocked), and potentials agree to rounding. A neuron that may still fire by itself (a rising current) is looked at
/// every step until it can no more ([`Neuron::ceiling`]).
///
/// Cost: proportional to spikes × links and to the logarithm of the queue, not to neurons × steps. It pays where activity is low;
/// populations with graded output are sampled at every step.
///
/// ```
/// use snn_core::{Net, Raster, Seed, ms, net::{Connect, Init}, neuron::Lif};
/// use snn_sparse::EventDriven;
/// let net = Net::new(ms(1.0))
///     .input("in", 2)
///     .population("a", 3, Lif::default())
///     .project("in", "a", Connect::All, Init::Constant(0.6)).delay(ms(2.0))
///     .output("a")
///     .build(Seed::new(0))?;
/// let mut engine = EventDriven::<f64>::compile(&net)?;
/// let mut spikes = Raster::new(2, 5000);
/// spikes.fill([(1, 0), (1, 1)]);
/// engine.run(&[&spikes]);
/// assert_eq!(engine.spikes(0).at(3), &[0, 1, 2]);             // 1.2 > threshold, two steps later
/// assert_eq!(engine.work().updates, 3);                       // three neurons, once each, in 5,000 steps
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: Mattia & Del Giudice 2000 (event-driven simulation with delays); Brette 2006 (exact integration between events).
pub struct EventDriven<F: Real = f64> {
    cells: Vec<Box<dyn Units<F>>>, // by population
    order: Vec<usize>,             // populations in the order in which they run within a step
    rank: Vec<u32>,                // the place of each population in it
    links: Vec<Fan<F>>,
    leaving: [Vec<Vec<u32>>; 2], // links of each input, and of each population
    inputs: Vec<(String, usize)>,
    queue: BinaryHeap<Reverse<Due>>,
    spikes: Vec<Raster>,
    work: Work,
}

/// Why a network cannot be run from event to event.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// No closed form over silence.
    #[error(
        "population `{population}`: the model {model} has no closed form over silence (`jump`); run this network on the clocked engine"
    )]
    NoJump {
        /// Population.
        population: String,
        /// Its model.
        model: &'static str,
    },
    /// Events with values.
    #[error(
        "population `{population}`: the model {model} sends events with values of their own, the queue carries spikes; run this network on the clocked engine"
    )]
    Values {
        /// Population.
        population: String,
        /// Its model.
        model: &'static str,
    },
    /// Several kinds of input.
    #[error("population `{population}`: the model {model} hears several inputs apart; run this network on the clocked engine")]
    Apart {
        /// Population.
        population: String,
        /// Its model.
        model: &'static str,
    },
    /// Input at every step.
    #[error("population `{population}` has a constant current, which leaves no silence; run this network on the clocked engine")]
    Current {
        /// Population.
        population: String,
    },
    /// Spikes by chance at every step.
    #[error("population `{population}` has escape noise, drawn at every step; run this network on the clocked engine")]
    Escape {
        /// Population.
        population: String,
    },
    /// Noise at every step.
    #[error("population `{population}` is driven by Poisson noise, drawn at every step; run this network on the clocked engine")]
    Drive {
        /// Population.
        population: String,
    },
}

/// What a run cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Times a neuron was looked at.
    pub updates: u64,
    /// Weights added: spikes times the links they went over.
    pub synaptic_events: u64,
    /// Entries the queue has held.
    pub queued: u64,
}

/// Something due, ordered by step, then population, then projection and source: the order in which the clocked engine adds inputs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    step: u32,
    rank: u32,
    /// A link, or [`WAKE`].
    link: u32,
    /// The source unit of the link, or the unit to look at.
    unit: u32,
}

/// Stands for no link: a neuron looks at itself.
const WAKE: u32 = u32::MAX;

/// A projection, or those of its links that have one delay.
struct Fan<F> {
    from: Source,
    to: usize,
    delay: u32,
    rows: Rows<F>,
}

/// One population, unit by unit.
trait Units<F: Real>: Send {
    fn reset(&mut self);
    /// Adds a row of weights, times the event's value if it has one, to the inputs of this step; returns how many.
    fn hear(&mut self, rows: &Rows<F>, source: usize, value: Option<F>) -> usize;
    /// Looks at a unit though nothing reached it.
    fn touch(&mut self, unit: u32);
    /// What an event of a unit at step `t` counts, if not 1.
    fn worth(&self, unit: u32, t: u32) -> Option<F>;
    /// The units that may fire though nothing ever reached them.
    fn restless(&self) -> Vec<u32>;
    /// Advances what was touched to the end of step `t`: appends who fired, and who must be looked at in the next step. Returns how many
    /// units were looked at.
    fn settle(&mut self, t: u32, fired: &mut Vec<u32>, awake: &mut Vec<u32>) -> usize;
    /// State of a unit at the end of step `t`, which nothing has touched since.
    fn state(&self, unit: usize, t: u32) -> Vec<F>;
    /// Graded output, `[step][unit]`, up to the end.
    fn output(&self, steps: usize) -> Vec<F>;
}

/// The input of a model that has one: others are refused.
#[inline(always)]
fn heard<F: Real, X: Vars<F>>(x: F) -> X {
    X::from_fn(|_| x)
}

struct Typed<N: Neuron, F: Real> {
    consts: Vec<N::Consts<F>>, // [phase][unit]
    period: usize,
    state: Vec<N::State<F>>,
    next: Vec<u32>, // the step after the one the state is of
    fired: Vec<bool>,
    input: Vec<F>,
    touched: Vec<u32>,
    is_touched: Vec<bool>,
    /// The step from which on each may fire again, where they are refractory.
    free: Vec<u32>,
    refractory: u32,
    /// Graded output: unit, step, and state before and after it with the output there, at every input.
    knots: Vec<(u32, u32, N::State<F>, F)>,
}

impl<N: Neuron, F: Real> Typed<N, F> {
    fn new(model: &N, size: usize, refractory: usize, dt: f64) -> Self {
        let zero = F::of(0.0);
        Typed {
            consts: (0..model.period() * size).map(|k| model.consts_at(k % size, dt, k / size)).collect(),
            period: model.period(),
            state: vec![N::State::from_fn(|_| zero); size],
            next: vec![0; size],
            fired: vec![false; size],
            input: vec![zero; size],
            touched: Vec::new(),
            is_touched: vec![false; size],
            free: vec![0; if refractory > 0 { size } else { 0 }],
            refractory: refractory as u32,
            knots: Vec::new(),
        }
    }

    /// The state and last output of unit `j` at the end of step `t − 1`.
    fn carried(&self, j: usize, t: u32) -> (N::State<F>, F) {
        let (s, next, silent) = (self.state[j], self.next[j], t - self.next[j]);
        let one = if self.fired[j] { F::of(1.0) } else { F::of(0.0) };
        let jump = |s, n| N::jump(self.consts(j, t - n), s, n).expect("compile refuses models without a closed form");
        match silent {
            0 => (s, one),
            // The first silent step after a spike feels it.
            n if self.fired[j] => (jump(N::step(self.consts(j, next), s, one, heard(F::of(0.0))).0, n - 1), F::of(0.0)),
            n => (jump(s, n), F::of(0.0)),
        }
    }

    /// The constants of unit `j` at step `t`.
    fn consts(&self, j: usize, t: u32) -> N::Consts<F> {
        match self.period {
            1 => self.consts[j],
            period => self.consts[t as usize % period * self.state.len() + j],
        }
    }
}

impl<N: Neuron, F: Real> Units<F> for Typed<N, F> {
    fn reset(&mut self) {
        let zero = F::of(0.0);
        self.state.fill(N::State::from_fn(|_| zero));
        self.next.fill(0);
        self.fired.fill(false);
        self.input.fill(zero);
        self.is_touched.fill(false);
        self.touched.clear();
        self.free.fill(0);
        self.knots.clear();
    }

    fn hear(&mut self, rows: &Rows<F>, source: usize, value: Option<F>) -> usize {
        let row = rows.row(source);
        row.each(|j, w| {
            self.input[j as usize] = self.input[j as usize] + value.map_or(w, |x| x * w);
            self.touch(j);
        });
        row.len()
    }

    #[inline]
    fn touch(&mut self, unit: u32) {
        if !std::mem::replace(&mut self.is_touched[unit as usize], true) {
            self.touched.push(unit);
        }
    }

    fn worth(&self, unit: u32, t: u32) -> Option<F> {
        // Of a model with a jump the state does not count.
        let rest = || N::State::from_fn(|_| F::of(0.0));
        (N::OUTPUT == Output::Weighted).then(|| N::worth(self.consts(unit as usize, t), rest()))
    }

    fn restless(&self) -> Vec<u32> {
        let rest = N::State::from_fn(|_| F::of(0.0));
        let may = |unit: &u32| N::OUTPUT.is_events() && N::ceiling(self.consts[*unit as usize], rest) > F::of(0.0);
        (0..self.state.len() as u32).filter(may).collect()
    }

    fn settle(&mut self, t: u32, fired: &mut Vec<u32>, awake: &mut Vec<u32>) -> usize {
        let touched = std::mem::take(&mut self.touched);
        let zero = F::of(0.0);
        for &unit in &touched {
            let j = unit as usize;
            let (c, (s, z)) = (self.consts(j, t), self.carried(j, t));
            let (s, u) = N::step(c, s, z, heard(std::mem::replace(&mut self.input[j], zero)));
            (self.state[j], self.next[j], self.is_touched[j]) = (s, t + 1, false);
            self.fired[j] = N::OUTPUT.is_events() && u > zero && self.free.get(j).is_none_or(|&free| t >= free);
            if !N::OUTPUT.is_events() {
                self.knots.push((unit, t, s, u));
                continue;
            }
            if self.fired[j] {
                fired.push(unit);
                self.free.get_mut(j).into_iter().for_each(|free| *free = t + 1 + self.refractory);
            }
            // Whether it may fire again before it hears anything.
            let restless = if self.fired[j] {
                let (s, u) = N::step(self.consts(j, t + 1), s, F::of(1.0), heard(zero));
                u > zero || N::ceiling(c, s) > zero
            } else {
                N::ceiling(c, s) > zero
            };
            if restless {
                awake.push(unit);
            }
        }
        let count = touched.len();
        self.touched = touched;
        self.touched.clear();
        count
    }

    fn state(&self, unit: usize, t: u32) -> Vec<F> {
        let s = self.carried(unit, t + 1).0;
        (0..<N::State<F> as Vars<F>>::LEN).map(|k| s.get(k)).collect()
    }

    fn output(&self, steps: usize) -> Vec<F> {
        let (size, zero) = (self.state.len(), F::of(0.0));
        let mut all = vec![zero; steps * size];
        let mut at: Vec<(u32, N::State<F>)> = vec![(0, N::State::from_fn(|_| zero)); size];
        let coast = |all: &mut [F], j: usize, (from, mut s): (u32, N::State<F>), to: u32| {
            for t in from..to {
                let u;
                (s, u) = N::step(self.consts(j, t), s, zero, heard(zero));
                all[t as usize * size + j] = u;
            }
        };
        for &(unit, t, s, u) in &self.knots {
            let j = unit as usize;
            coast(&mut all, j, at[j], t);
            all[t as usize * size + j] = u;
            at[j] = (t + 1, s);
        }
        (0..size).for_each(|j| coast(&mut all, j, at[j], steps as u32));
        all
    }
}

impl<F: Real> EventDriven<F> {
    /// Lowers a network.
    ///
    /// # Errors
    /// [`EventError`]: a model without a closed form over silence, events that carry values, or noise at every step.
    pub fn compile(network: &Network) -> Result<Self, EventError> {
        struct Lower<'a, F>(&'a Population, f64, std::marker::PhantomData<F>);
        impl<F: Real> Visit for Lower<'_, F> {
            type Out = Option<Box<dyn Units<F>>>;
            fn visit<N: Neuron>(self, model: &N) -> Self::Out {
                let Lower(population, dt, _) = self;
                let cells = Typed::<N, F>::new(model, population.size, population.refractory_steps(dt), dt);
                N::jump(*cells.consts.first()?, *cells.state.first()?, 1)?;
                Some(Box::new(cells))
            }
        }
        let draft = network.draft();
        if let Some(drive) = draft.drives.first() {
            return Err(EventError::Drive { population: drive.to.clone() });
        }
        if let Some(p) = draft.populations.iter().find(|p| p.escape.is_some()) {
            return Err(EventError::Escape { population: p.name.clone() });
        }
        if let Some(p) = draft.populations.iter().find(|p| p.has_current()) {
            return Err(EventError::Current { population: p.name.clone() });
        }
        if let Some(p) = draft.populations.iter().find(|p| matches!(p.model.output(), Output::Rectified | Output::Linear)) {
            return Err(EventError::Values { population: p.name.clone(), model: p.model.name() });
        }
        if let Some(p) = draft.populations.iter().find(|p| p.model.ports().len() > 1) {
            return Err(EventError::Apart { population: p.name.clone(), model: p.model.name() });
        }
        let lower = |p: &Population| {
            let refuse = || EventError::NoJump { population: p.name.clone(), model: p.model.name() };
            p.model.visit(Lower(p, draft.dt, std::marker::PhantomData)).ok_or_else(refuse)
        };
        let cells = draft.populations.iter().map(lower).collect::<Result<Vec<_>, _>>()?;
        let topology = Topology::new(draft);
        let order: Vec<usize> = topology.components.iter().flat_map(|c| c.populations.iter().copied()).collect();
        let mut rank = vec![0; order.len()];
        order.iter().zip(0..).for_each(|(&p, r)| rank[p] = r);
        let mut links = Vec::new();
        let mut leaving = [vec![Vec::new(); draft.inputs.len()], vec![Vec::new(); cells.len()]];
        for (p, &(from, to)) in draft.projections.iter().zip(&topology.ends) {
            for (delay, _, part) in by_delay(p, network.size(&p.from), network.size(&p.to), draft.dt) {
                match from {
                    Source::Input(i) => leaving[0][i].push(links.len() as u32),
                    Source::Population(i) => leaving[1][i].push(links.len() as u32),
                }
                links.push(Fan { from, to, delay: delay as u32, rows: Rows::new(&part, network.size(&p.from), network.size(&p.to)) });
            }
        }
        let inputs = draft.inputs.iter().map(|i| (i.name.clone(), i.size)).collect();
        let spikes = draft.populations.iter().map(|p| Raster::new(p.size, 0)).collect();
        Ok(EventDriven { cells, order, rank, links, leaving, inputs, queue: BinaryHeap::new(), spikes, work: Work::default() })
    }

    /// Runs one trial from rest: one raster per input, graded or not, all of the same number of steps.
    ///
    /// # Panics
    /// If the rasters do not fit the network's inputs.
    #[track_caller]
    pub fn run(&mut self, inputs: &[&Raster]) {
        let fits = inputs.len() == self.inputs.len() && inputs.iter().zip(&self.inputs).all(|(r, (_, size))| r.units() == *size);
        let alike = inputs.windows(2).all(|w| w[0].steps() == w[1].steps());
        assert!(fits && alike, "the rasters do not fit the network's inputs {:?}", self.inputs);
        let steps = inputs.first().map_or(0, |r| r.steps()) as u32;
        self.cells.iter_mut().for_each(|cells| cells.reset());
        self.queue.clear();
        self.work = Work::default();
        let mut trains: Vec<Vec<(u32, u32)>> = vec![Vec::new(); self.cells.len()];
        let (mut fired, mut awake) = (Vec::new(), Vec::new());
        for (p, cells) in self.cells.iter().enumerate().filter(|_| steps > 0) {
            let rank = self.rank[p];
            self.queue.extend(cells.restless().into_iter().map(|unit| Reverse(Due { step: 0, rank, link: WAKE, unit })));
        }
        let mut next_input = (0..steps).filter(|&t| inputs.iter().any(|r| !r.at(t as usize).is_empty())).peekable();
        loop {
            let due = self.queue.peek().map(|Reverse(due)| due.step);
            let Some(t) = due.into_iter().chain(next_input.peek().copied()).min().filter(|&t| t < steps) else { break };
            if next_input.next_if_eq(&t).is_some() {
                for (i, raster) in inputs.iter().enumerate() {
                    self.send(t, 0, i, raster.at(t as usize));
                }
            }
            // Everything of this step, population by population.
            while let Some(&Reverse(Due { step, rank, .. })) = self.queue.peek()
                && step == t
            {
                let p = self.order[rank as usize];
                while let Some(&Reverse(due)) = self.queue.peek()
                    && (due.step, due.rank) == (t, rank)
                {
                    self.queue.pop();
                    match self.links.get(due.link as usize) {
                        Some(link) => {
                            let value = match link.from {
                                Source::Input(i) if inputs[i].is_graded() => {
                                    Some(F::of(inputs[i].value((t - link.delay) as usize, due.unit)))
                                }
                                Source::Input(_) => None,
                                Source::Population(q) => self.cells[q].worth(due.unit, t - link.delay),
                            };
                            self.work.synaptic_events += self.cells[p].hear(&link.rows, due.unit as usize, value) as u64;
                        }
                        None => self.cells[p].touch(due.unit),
                    }
                }
                fired.clear();
                awake.clear();
                self.work.updates += self.cells[p].settle(t, &mut fired, &mut awake) as u64;
                fired.sort_unstable();
                trains[p].extend(fired.iter().map(|&unit| (t, unit)));
                self.send(t, 1, p, &fired);
                self.work.queued += awake.len() as u64;
                self.queue.extend(awake.iter().map(|&unit| Reverse(Due { step: t + 1, rank, link: WAKE, unit })));
            }
        }
        for ((raster, train), cells) in self.spikes.iter_mut().zip(trains).zip(&self.cells) {
            raster.reset(raster.units(), steps as usize);
            match train.first().and_then(|&(t, unit)| cells.worth(unit, t)) {
                Some(_) => raster.fill_values(train.into_iter().filter_map(|(t, unit)| Some((t, unit, cells.worth(unit, t)?.value())))),
                None => raster.fill(train),
            }
        }
    }

    /// Puts the spikes of `units` at step `t` into the queue, for every link that leaves input (`kind` 0) or population (1) `from`.
    fn send(&mut self, t: u32, kind: usize, from: usize, units: &[u32]) {
        for &link in &self.leaving[kind][from] {
            let fan = &self.links[link as usize];
            let (step, rank) = (t + fan.delay, self.rank[fan.to]);
            self.queue.extend(units.iter().map(|&unit| Reverse(Due { step, rank, link, unit })));
            self.work.queued += units.len() as u64;
        }
    }

    /// The spikes of population `p` in the last trial; silent if its output is graded.
    pub fn spikes(&self, p: usize) -> &Raster {
        &self.spikes[p]
    }

    /// The state variables of a unit of population `p` at the end of the last trial.
    pub fn state(&self, p: usize, unit: usize) -> Vec<F> {
        match self.spikes[p].steps() {
            0 => self.cells[p].state(unit, 0).iter().map(|_| F::of(0.0)).collect(),
            steps => self.cells[p].state(unit, steps as u32 - 1),
        }
    }

    /// The graded output of population `p` in the last trial, `[step][unit]`.
    pub fn output(&self, p: usize) -> Vec<F> {
        self.cells[p].output(self.spikes[p].steps())
    }

    /// What the last trial cost.
    pub fn work(&self) -> Work {
        self.work
    }
}
