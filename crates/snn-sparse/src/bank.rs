//! One population as arrays: the only place where a neuron's equation meets memory.

use crate::lanes::{Block, Isa, Kernel, LANES, Room, Scalar, Simd, bits, blocks, valid_lanes};
use crate::local::Local;
use crate::noise::{Poisson, Shake};
use crate::plan::Image;
use crate::reads::Reads;
use crate::store::Store;
use crate::trace::{Sink, Wants};
use snn_core::net::Population;
use snn_core::neuron::{MAX_PORTS, MAX_STATE, Neuron, Output, Visit, consts_by};
use snn_core::{Dual, Raster, Vars};
use std::ops::Range;
use std::sync::Arc;

/// One population, ready to run. `Bank<N, F>` is its only implementation.
pub trait Cells<F: Scalar>: Send + Sync {
    /// Number of neurons.
    fn size(&self) -> usize;
    /// State variables per neuron.
    fn states(&self) -> usize;
    /// Inputs, which are summed apart.
    fn ports(&self) -> usize;
    /// What the output is.
    fn output(&self) -> Output;
    /// Whether the output is spikes: events of value 1.
    fn spikes(&self) -> bool {
        self.output() == Output::Spike
    }
    /// Steps after a spike without spike and derivative.
    fn refractory(&self) -> usize;
    /// Whether spikes come by escape noise.
    fn escapes(&self) -> bool;
    /// The constant current, a plane per block; empty if there is none.
    fn current(&self) -> &[Block<F>];
    /// The local derivatives: all a learning rule sees of the neurons.
    fn local(&self) -> &Local<F>;
    /// The local derivatives of one block at a point: `before` are the state variables before the step and then its inputs, as in
    /// [`Trace::before`](crate::Trace::before), `z` the output of the step before. `into` is overwritten, in the order of [`Entry`](crate::Entry), and then for each
    /// further input and each parameter that is learned, `p`, `∂s'ᵢ/∂p` and `∂u/∂p`. For models that are not affine; by dual numbers. Of a population with zoneout while it is drawn.
    fn derivatives(&self, simd: Simd, block: usize, before: &[Block<F>], z: &Block<F>, into: &mut [Block<F>]);
    /// Advances the neurons of the sink over `steps`, a block of 64 at a time, each block over all steps before the next: its weights stay
    /// in cache. Leaves events, active entries and graded output in the sink. Only a whole sink takes events with values.
    fn sweep(&self, simd: Simd, feed: &Feed<'_, F>, steps: Range<usize>, wants: Wants, sink: Sink<'_, F>);
    /// Steps after which the constants repeat, of a model whose inputs may be given a period at once ([`Neuron::GATHERS`]); `None` of others.
    fn window(&self) -> Option<usize>;
    /// Advances all neurons by whole periods from rest, the inputs of each at once: `planes[window][block]` are their sums, and become what the events of the
    /// window were worth, or the graded output at its end. `counts` (the same layout) become the numbers of events, `any` who had one.
    fn windows(&self, simd: Simd, planes: &mut [Block<F>], counts: &mut [Block<F>], any: &mut [u64]);
    /// One step on dense planes, for dense methods that learn: zoneout is what the inputs say.
    fn step_dense(&self, simd: Simd, row: DenseRow<'_, F>);
}

/// One step of a population on dense planes, a block of 64 neurons after the other.
pub struct DenseRow<'a, F> {
    /// In: the first input, the constant current in it. Out: the distances to threshold `u`, or the graded output.
    pub u: &'a mut [Block<F>],
    /// The further inputs.
    pub more: &'a [&'a [Block<F>]],
    /// The output of the step before.
    pub z: &'a [Block<F>],
    /// `[block][state variable]`.
    pub state: &'a mut [Block<F>],
    /// Out: what events are worth, of a population whose events are weighted; empty of others.
    pub worth: &'a mut [Block<F>],
}

/// Everything a population hears while it is swept: links, and the spikes at their sources.
pub struct Feed<'a, F> {
    pub(crate) links: &'a [Link<F>],
    pub(crate) incoming: &'a [usize],
    /// Those of the others that are walked as whole rows.
    pub(crate) imaged: &'a [usize],
    pub(crate) images: &'a [Option<Image<F>>],
    pub(crate) inputs: &'a [&'a Raster],
    pub(crate) spikes: &'a [Raster],
    /// What was pushed to these blocks, `[step][block]` from step `since` on; empty if nothing is.
    pub(crate) heard: &'a [Block<F>],
    pub(crate) since: usize,
    /// The blocks that are swept.
    pub(crate) blocks: Range<usize>,
    pub(crate) noise: &'a [Noise<F>],
    /// Chooses the numbers of escape noise; of the trial, not of the network.
    pub(crate) escape: u64,
    /// The step of noise and schedules at step 0.
    pub(crate) clock: usize,
    /// Whether zoneout is drawn: it is in the noise then.
    pub(crate) drawn: bool,
    /// The population's own events, where they are given and not found: they stand in the sink already.
    pub(crate) given: Option<&'a Raster>,
}

/// A drive, lowered.
#[derive(Clone, Debug)]
pub(crate) struct Noise<F> {
    pub(crate) counts: Poisson,
    /// The input it is heard at, of several.
    pub(crate) port: Option<usize>,
    pub(crate) weight: F,
    /// Chooses its numbers; of the trial, not of the network.
    pub(crate) key: u64,
}

/// A projection, or those of its links that have one delay, lowered.
#[derive(Clone, Debug)]
pub struct Link<F> {
    /// Index of the projection.
    pub projection: usize,
    /// The input of the target it goes to, of several; `None`: there is one.
    pub port: Option<usize>,
    /// Whether it holds only the positive or the negative part of the weights, the other part being 0: of projections into populations that hear excitation
    /// and inhibition apart, which have two such lists of the same links. `None`: the weights.
    pub sign: Option<Sign>,
    /// Which links of the projection these are, ascending; `None`: all of them.
    pub subset: Option<Vec<u32>>,
    /// Source.
    pub from: Source,
    /// Target population.
    pub to: usize,
    /// Delay in time steps.
    pub delay: usize,
    /// Whether learning changes the weights: not those of a projection that is `fixed`, nor where the store has none to change.
    pub learns: bool,
    /// The link whose weights, transposed, are its own, by index: see [`Clocked::tie`](crate::Clocked::tie).
    pub tied: Option<usize>,
    /// Weights.
    pub store: Store<F>,
    /// What events find in the place of the weights; `None`: the weights.
    pub(crate) reads: Option<Arc<dyn Reads<F>>>,
}

/// One of the two parts of which a weight is the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// What is above 0.
    Positive,
    /// What is below 0.
    Negative,
}

impl Sign {
    /// This part of `w`.
    #[inline(always)]
    pub fn of<F: Scalar>(self, w: F) -> F {
        let zero = F::default();
        if (w > zero) == (self == Sign::Positive) { w } else { zero }
    }

    /// This part of every lane.
    #[inline(always)]
    fn of_block<F: Scalar>(self, mut x: Block<F>) -> Block<F> {
        x.0.iter_mut().for_each(|x| *x = self.of(*x));
        x
    }
}

impl<F: Scalar> Link<F> {
    /// Listed links as `(source, target)`, in any order; none of any other store.
    pub(crate) fn cells(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let csr = if let Store::Csr(csr) = &self.store { Some(csr) } else { None };
        csr.into_iter().flat_map(|csr| csr.cells())
    }

    /// Whether events are pushed to all targets at once; else a block of targets asks for its part of their rows. Where there are several inputs they are not: what is
    /// pushed is one sum.
    pub(crate) fn is_pushed(&self) -> bool {
        self.reads.is_some() || self.port.is_none() && matches!(self.store, Store::Csr(_) | Store::Rows(_) | Store::Bits(_))
    }

    /// Whether there is a listed link from `i` to `j`.
    pub(crate) fn find(&self, i: u32, j: u32) -> bool {
        matches!(&self.store, Store::Csr(csr) if csr.find(i, j).is_some())
    }
}

/// Where a projection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Input of this index.
    Input(usize),
    /// Population of this index.
    Population(usize),
}

impl Source {
    /// The events of this source.
    #[inline(always)]
    pub fn spikes<'a>(self, inputs: &[&'a Raster], populations: &'a [Raster]) -> &'a Raster {
        match self {
            Source::Input(i) => inputs[i],
            Source::Population(p) => &populations[p],
        }
    }
}

impl<F: Scalar> Feed<'_, F> {
    /// `Σ` over incoming projections of the rows of the sources that fired `delay` steps before `t`, times their values if they have any; all of it, or
    /// what goes to this port.
    #[inline(always)]
    fn input<I: Isa>(&self, block: usize, t: usize, current: Block<F>, port: Option<usize>) -> Block<F> {
        let pushed = || current.plus(&self.heard[(t - self.since) * self.blocks.len() + block - self.blocks.start]);
        let mut acc = if self.heard.is_empty() { current } else { pushed() };
        for noise in self.noise.iter().filter(|noise| noise.port == port) {
            noise.counts.add::<F, I>(noise.key, self.clock.wrapping_add(t), block, noise.weight, &mut acc);
        }
        let images = self.imaged.iter().filter_map(|&k| Some((&self.links[k], self.images[k].as_ref()?.store())));
        for (link, store) in self.incoming.iter().map(|&k| (&self.links[k], &self.links[k].store)).chain(images) {
            if t >= link.delay && link.port == port {
                let events = link.from.spikes(self.inputs, self.spikes);
                acc = store.hear::<I>(block, events, t - link.delay, acc);
            }
        }
        acc
    }

    /// The values of given events in the place of `u`.
    fn given_values(&self, block: usize, t: usize, u: &Block<F>) -> Block<F> {
        let mut values = *u;
        for (&unit, &x) in self.given.iter().flat_map(|given| given.at(t).iter().zip(given.values_at(t))) {
            if unit as usize / LANES == block {
                values.0[unit as usize % LANES] = F::of(x);
            }
        }
        values
    }
}

/// The neurons of one model, as planes of 64 lanes.
pub struct Bank<N: Neuron, F: Scalar> {
    size: usize,
    consts: Consts<F>,
    current: Vec<Block<F>>, // [block], or empty
    refractory: usize,
    escape: Option<Shake>,
    local: Local<F>,
    /// `[block][learned parameter][constant]`: its derivative.
    slopes: Vec<Block<F>>,
    model: std::marker::PhantomData<fn() -> N>,
}

/// The constants of all neurons, a plane of 64 each; equal planes are kept once.
struct Consts<F> {
    planes: Vec<Block<F>>,
    /// `[phase][constant]`: the plane of block 0, and how many planes further that of the next block is.
    places: Vec<(usize, usize)>,
    each: usize,
    period: usize,
}

/// Most constants a model may have.
const MAX_CONSTS: usize = 16;

impl<F: Scalar> Consts<F> {
    fn new<N: Neuron>(model: &N, size: usize, dt: f64) -> Self {
        let (each, period) = (<N::Consts<F> as Vars<F>>::LEN, model.period());
        let (mut planes, mut places) = (vec![Block::zero()], Vec::with_capacity(period * each));
        for phase in 0..period {
            // Lanes beyond the last neuron copy it; their spikes are masked away.
            let all: Vec<_> = (0..blocks(size) * LANES).map(|j| model.consts_at::<F>(j.min(size - 1), dt, phase)).collect();
            for k in 0..each {
                let plane = |b: usize| Block(std::array::from_fn(|l| all[b * LANES + l].get(k)));
                let shared = (1..all.len()).all(|j| all[j].get(k) == all[0].get(k));
                let new: Vec<Block<F>> = (0..if shared { 1 } else { blocks(size) }).map(plane).collect();
                let known = places
                    .iter()
                    .find(|&&(at, stride): &&(usize, usize)| (stride == 0) == shared && planes[at..].starts_with(&new))
                    .copied();
                places.push(known.unwrap_or((planes.len(), usize::from(!shared))));
                if known.is_none() {
                    planes.extend(new);
                }
            }
        }
        Consts { planes, places, each, period }
    }

    /// The constants of a block at a step of this phase; those the model does not have are the first plane.
    #[inline(always)]
    fn at(&self, block: usize, phase: usize) -> [&Block<F>; MAX_CONSTS] {
        let places = &self.places[phase * self.each..(phase + 1) * self.each];
        std::array::from_fn(|k| places.get(k).map_or(&self.planes[0], |&(at, stride)| &self.planes[at + block * stride]))
    }

    /// Whether all neurons have the same constants.
    fn shared(&self) -> bool {
        self.places.iter().all(|&(_, stride)| stride == 0)
    }
}

/// See [`Scalar::lower`].
pub fn lower<F: Scalar>(population: &Population, dt: f64) -> Box<dyn Cells<F>> {
    struct Lower<'a, F>(&'a Population, f64, std::marker::PhantomData<F>);
    impl<F: Scalar> Visit for Lower<'_, F> {
        type Out = Box<dyn Cells<F>>;
        fn visit<N: Neuron>(self, model: &N) -> Self::Out {
            let Lower(population, dt, _) = self;
            let current = |b: usize| Block(std::array::from_fn(|l| F::of(population.current.at((b * LANES + l).min(population.size - 1)))));
            let count = if population.has_current() { blocks(population.size) } else { 0 };
            let bank = Bank::<N, F>::new(model, population.size, &population.train, dt);
            let escape = population.escape.map(|escape| Shake::new(&escape, dt));
            Box::new(Bank { refractory: population.refractory_steps(dt), current: (0..count).map(current).collect(), escape, ..bank })
        }
    }
    population.model.visit(Lower(population, dt, std::marker::PhantomData))
}

impl<N: Neuron, F: Scalar> Bank<N, F> {
    const STATES: usize = <N::State<F> as Vars<F>>::LEN;
    const PORTS: usize = <N::Inputs<F> as Vars<F>>::LEN;
    /// By which a step is differentiated: a constant, so that only one number of them is compiled.
    const DIRECTIONS: usize = Self::STATES + Self::PORTS + 1;

    /// The bank of `size` neurons that learn these parameters, never refractory, without constant current and escape noise.
    pub fn new(model: &N, size: usize, train: &[String], dt: f64) -> Self {
        let params = model.params();
        let learned: Vec<usize> = train.iter().filter_map(|name| params.iter().position(|p| p.name == *name)).collect();
        let (consts, local) = (Consts::new(model, size, dt), Local::new(model, size, learned.len(), dt));
        let each = <N::Consts<F> as Vars<F>>::LEN;
        let mut slopes = vec![Block::zero(); blocks(size) * learned.len() * each];
        for (j, (n, &q)) in (0..size).flat_map(|j| learned.iter().enumerate().map(move |learned| (j, learned))) {
            let by = consts_by(model, model.values(j), q, dt);
            (0..each).for_each(|k| slopes[(j / LANES * learned.len() + n) * each + k][j % LANES] = F::of(by.get(k)));
        }
        Bank { size, consts, current: Vec::new(), refractory: 0, escape: None, local, slopes, model: std::marker::PhantomData }
    }

    /// The constants of a block while zoneout is drawn: of its own it then keeps nothing.
    #[inline(always)]
    fn drawn(&self, block: usize) -> [&Block<F>; MAX_CONSTS] {
        let mut consts = self.consts.at(block, 0);
        if let Some(zoneout) = N::ZONEOUT {
            consts[zoneout.constant] = &self.consts.planes[0];
        }
        consts
    }

    /// Inputs beyond the first: as many as the model has, then nothing.
    #[inline(always)]
    fn further<'a>(more: impl Fn(usize) -> &'a Block<F>, nothing: &'a Block<F>) -> [&'a Block<F>; MAX_PORTS - 1] {
        std::array::from_fn(|n| if n + 1 < Self::PORTS { more(n) } else { nothing })
    }

    /// One step of one block: `x`, the first input, becomes `u`.
    #[inline(always)]
    fn step_block(
        consts: &[&Block<F>; MAX_CONSTS],
        state: &mut [Block<F>],
        z: &Block<F>,
        x: &mut Block<F>,
        more: [&Block<F>; MAX_PORTS - 1],
    ) {
        Self::step_lanes(|l| N::Consts::<F>::from_fn(|k| consts[k].0[l]), state, z, x, more);
    }

    /// The same for constants from wherever they are.
    #[inline(always)]
    fn step_lanes(
        consts: impl Fn(usize) -> N::Consts<F>,
        state: &mut [Block<F>],
        z: &Block<F>,
        x: &mut Block<F>,
        more: [&Block<F>; MAX_PORTS - 1],
    ) {
        let state = &mut state[..Self::STATES];
        for l in 0..LANES {
            let s = N::State::<F>::from_fn(|k| state[k].0[l]);
            let inputs = N::Inputs::<F>::from_fn(|p| if p == 0 { x.0[l] } else { more[p - 1].0[l] });
            let (next, u) = N::step(consts(l), s, z.0[l], inputs);
            for k in 0..Self::STATES {
                state[k].0[l] = next.get(k);
            }
            x.0[l] = u;
        }
    }

    /// What events sent after a step are worth.
    #[inline(always)]
    fn worth_block(consts: &[&Block<F>; MAX_CONSTS], state: &[Block<F>], into: &mut Block<F>) {
        for l in 0..LANES {
            let c = N::Consts::<F>::from_fn(|k| consts[k].0[l]);
            into.0[l] = N::worth(c, N::State::<F>::from_fn(|k| state[k].0[l]));
        }
    }
}

/// Steps that are taken together in a sweep; their inputs fit the first-level cache.
const TILE: usize = 32;

struct SweepKernel<'a, N: Neuron, F: Scalar> {
    bank: &'a Bank<N, F>,
    feed: &'a Feed<'a, F>,
    steps: Range<usize>,
    wants: Wants,
    sink: Sink<'a, F>,
}

impl<N: Neuron, F: Scalar> Kernel for SweepKernel<'_, N, F> {
    type Number = F;
    type Out = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let SweepKernel { bank, feed, steps, wants, mut sink } = self;
        let (width, states, all) = (blocks(bank.size), Bank::<N, F>::STATES, sink.all);
        let reach = if let Wants::Active(s) = wants { F::of(s.reach()) } else { F::default() };
        let first = sink.rest.as_ref().map_or(0, |rest| rest.active.len());
        let keep = !bank.local.affine && wants != Wants::Spikes;
        let (refractory, period) = (bank.refractory, bank.consts.period);
        let phase = |t: usize| if period == 1 { 0 } else { feed.clock.wrapping_add(t) % period };
        let ports = Bank::<N, F>::PORTS;
        let mut rooms = [const { Room::<F, TILE>::new() }; MAX_PORTS - 1];
        let (mut tile, mut worths, nothing) = (Room::<F, TILE>::new(), Room::<F, TILE>::new(), Block::zero());
        for (k, b) in sink.blocks.clone().enumerate() {
            let valid = valid_lanes(bank.size, b);
            let fired = if N::OUTPUT.is_events() { &mut sink.fired[k * all..(k + 1) * all] } else { &mut [] };
            let state = &mut sink.state[k * states..(k + 1) * states];
            let current = bank.current.get(b).copied().unwrap_or(Block::zero());
            // The constant current, at the first port or at that of its sign.
            let inhibiting = if N::APART { Sign::Negative.of_block(current) } else { nothing };
            let current = if N::APART { Sign::Positive.of_block(current) } else { current };
            let mut consts = if feed.drawn { bank.drawn(b) } else { bank.consts.at(b, phase(steps.start)) };
            let mut z = Block::zero();
            if N::OUTPUT.is_binary() && steps.start > 0 {
                bits(fired[steps.start - 1]).for_each(|l| z[l] = F::of(1.0));
            }
            // Steps for which each neuron is still refractory.
            let mut quiet = Block::zero();
            for ago in 1..=refractory.min(steps.start) {
                bits(fired[steps.start - ago]).for_each(|l| quiet[l] = F::count((refractory - ago + 1) as u32));
            }
            // In tiles of steps, one thing at a time: input, equation, then who fired. The loops over events, whose lengths no branch
            // predictor knows, then do not wait for the membrane, nor the membrane for them.
            for start in steps.clone().step_by(TILE) {
                let count = TILE.min(steps.end - start);
                let tile = tile.fill(count, |k| feed.input::<I>(b, start + k, current, (ports > 1).then_some(0)));
                let mut port = 0;
                let more = rooms.each_mut().map(|room| {
                    port += 1;
                    let current = if port == 1 { inhibiting } else { nothing };
                    &*room.fill(if port < ports { count } else { 0 }, |k| feed.input::<I>(b, start + k, current, Some(port)))
                });
                let worths = worths.fill(if N::OUTPUT == Output::Weighted { count } else { 0 }, |_| nothing);
                for (k, u) in tile.iter_mut().enumerate() {
                    if period > 1 {
                        consts = bank.consts.at(b, phase(start + k));
                    }
                    if let Some(rest) = sink.rest.as_mut().filter(|_| keep) {
                        let before = &mut rest.before[(b * all + start + k) * (states + ports)..][..states + ports];
                        before[..states].copy_from_slice(state);
                        before[states] = *u;
                        (1..ports).for_each(|port| before[states + port] = more[port - 1][k]);
                    }
                    Bank::<N, F>::step_block(&consts, state, &z, u, Bank::<N, F>::further(|n| &more[n][k], &nothing));
                    if N::OUTPUT == Output::Weighted {
                        Bank::<N, F>::worth_block(&consts, state, &mut worths[k]);
                    }
                    if N::OUTPUT.is_binary() && feed.given.is_some() {
                        z = Block::zero();
                        bits(fired[start + k]).for_each(|l| z[l] = F::of(1.0));
                        for l in 0..LANES {
                            u.0[l] = if quiet.0[l] <= F::default() { u.0[l] } else { F::of(f64::NEG_INFINITY) };
                            quiet.0[l] = if z.0[l] > F::default() { F::count(refractory as u32) } else { quiet.0[l] - F::of(1.0) };
                        }
                        continue;
                    }
                    if let Some(noise) = &bank.escape {
                        for l in 0..LANES {
                            u.0[l] = if quiet.0[l] > F::default() { F::of(f64::NEG_INFINITY) } else { u.0[l] };
                        }
                        if let Some(rest) = &mut sink.rest {
                            rest.level[b] = *u;
                        }
                        noise.add::<F, I>(feed.escape, feed.clock.wrapping_add(start + k), b, u);
                    }
                    if N::OUTPUT.is_binary() && refractory > 0 {
                        for l in 0..LANES {
                            let (free, left) = (quiet.0[l] <= F::default(), quiet.0[l] - F::of(1.0));
                            u.0[l] = if free { u.0[l] } else { F::of(f64::NEG_INFINITY) };
                            let fires = u.0[l] > F::default();
                            quiet.0[l] = if fires { F::count(refractory as u32) } else { left };
                        }
                    }
                    if N::OUTPUT.is_binary() {
                        for l in 0..LANES {
                            z.0[l] = if u.0[l] > F::default() { F::of(1.0) } else { F::default() };
                        }
                    }
                }
                for (k, u) in tile.iter().enumerate() {
                    let t = start + k;
                    if N::OUTPUT.is_events() && feed.given.is_none() {
                        fired[t] = if N::OUTPUT == Output::Linear { nonzero::<F, I>(u) } else { F::positive::<I>(u) } & valid;
                    }
                    let Some(rest) = &mut sink.rest else { continue };
                    let near = match N::OUTPUT {
                        Output::Graded => {
                            rest.output[t * width + b] = *u;
                            continue;
                        }
                        Output::Spike if wants == Wants::Spikes => continue,
                        Output::Spike => F::within::<I>(u, reach) & valid,
                        Output::Weighted => fired[t] | F::within::<I>(u, reach) & valid,
                        Output::Linear if wants != Wants::Spikes => valid,
                        Output::Rectified | Output::Linear => fired[t],
                    };
                    rest.near[b * all + t] = near;
                    rest.start[b * all + t] = rest.active.len() as u32;
                    if near == 0 {
                        continue;
                    }
                    let told = |values: &Block<F>| feed.given.map(|_| feed.given_values(b, t, values));
                    if N::OUTPUT == Output::Weighted {
                        let worth = told(&worths[k]).unwrap_or(worths[k]);
                        rest.values.extend(bits(near).map(|l| worth[l]));
                    }
                    let told = if matches!(N::OUTPUT, Output::Rectified | Output::Linear) { told(u) } else { None };
                    rest.active.push::<I>(near, t as u32, (b * LANES) as u32, told.as_ref().unwrap_or(u));
                }
            }
        }
        // What was pushed is u, or the value of the event; it becomes the derivative of the output by u.
        let Some(rest) = sink.rest else { return };
        let entries = &mut rest.active.value[first..];
        match (N::OUTPUT, wants) {
            (Output::Rectified | Output::Linear, _) => {
                rest.values.extend_from_slice(entries);
                entries.fill(F::of(1.0));
            }
            // Events count also where the surrogate has no slope.
            (Output::Weighted, Wants::Active(surrogate)) => {
                let slope = |u: F| if u.abs() < reach { surrogate.slope_within(u) } else { F::default() };
                entries.iter_mut().for_each(|u| *u = slope(*u));
            }
            (Output::Weighted, Wants::Spikes) => entries.fill(F::default()),
            (_, Wants::Active(surrogate)) => entries.iter_mut().for_each(|u| *u = surrogate.slope_within(*u)),
            _ => {}
        }
    }
}

/// Lanes that are not 0.
#[inline(always)]
fn nonzero<F: Scalar, I: Isa>(x: &Block<F>) -> u64 {
    let mut minus = *x;
    minus.0.iter_mut().for_each(|x| *x = -*x);
    F::positive::<I>(x) | F::positive::<I>(&minus)
}

/// Learned parameters that are taken together.
const SOME: usize = 5;

struct DerivativesKernel<'a, N: Neuron, F: Scalar> {
    consts: [&'a Block<F>; MAX_CONSTS],
    /// `[learned parameter][constant]`.
    slopes: &'a [Block<F>],
    before: &'a [Block<F>],
    z: &'a Block<F>,
    into: &'a mut [Block<F>],
    model: std::marker::PhantomData<fn() -> N>,
}

impl<N: Neuron, F: Scalar> Kernel for DerivativesKernel<'_, N, F> {
    type Number = F;
    type Out = ();

    #[inline(always)]
    fn run<I: Isa>(mut self) {
        if !self.slopes.is_empty() {
            self.along_parameters::<SOME>();
        }
        // As many directions as state variables and inputs, and one more.
        match Bank::<N, F>::DIRECTIONS {
            2 => self.along::<2>(),
            3 => self.along::<3>(),
            4 => self.along::<4>(),
            5 => self.along::<5>(),
            6 => self.along::<6>(),
            _ => self.along::<{ MAX_STATE + MAX_PORTS + 1 }>(),
        }
    }
}

impl<N: Neuron, F: Scalar> DerivativesKernel<'_, N, F> {
    /// By learned parameters, some at a time, through the constants.
    #[inline(always)]
    fn along_parameters<const D: usize>(&mut self) {
        let (k, ports, each) = (Bank::<N, F>::STATES, Bank::<N, F>::PORTS, <N::Consts<F> as Vars<F>>::LEN);
        let into = &mut self.into[k * k + 3 * k + 2 + (ports - 1) * (k + 1)..];
        for (slopes, into) in self.slopes.chunks(each * D).zip(into.chunks_mut((k + 1) * D)) {
            for l in 0..LANES {
                let by = |i: usize| std::array::from_fn(|q| slopes.get(q * each + i).map_or(F::default(), |plane| plane.0[l]));
                let c = N::Consts::<Dual<D, F>>::from_fn(|i| Dual { v: self.consts[i].0[l], d: by(i) });
                let s = N::State::<Dual<D, F>>::from_fn(|i| Dual::constant(self.before[i].0[l]));
                let x = N::Inputs::<Dual<D, F>>::from_fn(|p| Dual::constant(self.before[k + p].0[l]));
                let (next, u) = N::step(c, s, Dual::constant(self.z.0[l]), x);
                for (q, into) in into.chunks_mut(k + 1).enumerate() {
                    (0..k).for_each(|i| into[i].0[l] = next.get(i).d[q]);
                    into[k].0[l] = u.d[q];
                }
            }
        }
    }

    /// All other directions at once: by the state variables, by the own output, by the inputs.
    #[inline(always)]
    fn along<const D: usize>(self) {
        let DerivativesKernel { consts, before, z, into, .. } = self;
        let (k, ports) = (Bank::<N, F>::STATES, Bank::<N, F>::PORTS);
        let first = k * k + 3 * k + 2;
        let (before, into) = (before[..k + ports].split_at(k), into[..first + (ports - 1) * (k + 1)].split_at_mut(first));
        let ((states, inputs), (of_first, of_ports)) = (before, into);
        // Nothing in this loop can be out of bounds as far as the compiler sees: else the small loops stay loops, and lanes go one after the other.
        for l in 0..LANES {
            let c = N::Consts::<Dual<D, F>>::from_fn(|i| Dual::constant(consts[i].0[l]));
            let s = N::State::<Dual<D, F>>::from_fn(|i| Dual::variable(states[i].0[l], i));
            let x = N::Inputs::<Dual<D, F>>::from_fn(|p| Dual::variable(inputs[p].0[l], k + 1 + p));
            let (next, u) = N::step(c, s, Dual::variable(z.0[l], k), x);
            for i in 0..k {
                let d = next.get(i).d;
                of_first[i * k..(i + 1) * k].iter_mut().zip(&d).for_each(|(into, d)| into.0[l] = *d);
                of_first[k * k + i].0[l] = d[k];
                of_first[k * (k + 1) + i].0[l] = d[k + 1];
                of_ports.chunks_exact_mut(k + 1).zip(&d[k + 2..]).for_each(|(into, d)| into[i].0[l] = *d);
            }
            of_first[k * k + 2 * k..].iter_mut().zip(&u.d).for_each(|(into, d)| into.0[l] = *d);
            of_ports.chunks_exact_mut(k + 1).zip(&u.d[k + 2..]).for_each(|(into, d)| into[k].0[l] = *d);
        }
    }
}

struct WindowKernel<'a, N: Neuron, F: Scalar> {
    bank: &'a Bank<N, F>,
    planes: &'a mut [Block<F>],
    counts: &'a mut [Block<F>],
    any: &'a mut [u64],
}

impl<N: Neuron, F: Scalar> Kernel for WindowKernel<'_, N, F> {
    type Number = F;
    type Out = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let bank = self.bank;
        if bank.consts.shared() {
            // Constants in registers.
            let first = |phase: usize| N::Consts::<F>::from_fn(|k| bank.consts.at(0, phase)[k].0[0]);
            let phases: [N::Consts<F>; MOST_PHASES] = std::array::from_fn(|phase| first(phase.min(bank.consts.period - 1)));
            let at = |_: usize, phase: usize| {
                let c = if phase < MOST_PHASES { phases[phase] } else { first(phase) };
                move |_: usize| c
            };
            self.along::<I, _>(at);
        } else {
            let at = |block: usize, phase: usize| {
                let consts = bank.consts.at(block, phase);
                move |l: usize| N::Consts::<F>::from_fn(|k| consts[k].0[l])
            };
            self.along::<I, _>(at);
        }
    }
}

/// Phases whose constants are looked up once for a run.
const MOST_PHASES: usize = 16;

impl<N: Neuron, F: Scalar> WindowKernel<'_, N, F> {
    /// All blocks; `at` gives the constants of a block at a phase, lane by lane.
    #[inline(always)]
    fn along<I: Isa, C: Fn(usize) -> N::Consts<F>>(self, at: impl Fn(usize, usize) -> C) {
        let WindowKernel { bank, planes, counts, any } = self;
        let (width, period, one) = (blocks(bank.size), bank.consts.period, F::of(1.0));
        let (mut room, nothing) = ([Block::zero(); MAX_STATE], Block::zero());
        for b in 0..width {
            let (valid, state) = (valid_lanes(bank.size, b), &mut room[..Bank::<N, F>::STATES]);
            state.fill(Block::zero());
            let mut z = Block::zero();
            for place in (b..planes.len()).step_by(width) {
                let first = at(b, 0);
                // Where nobody can reach the threshold before the inputs of this window act, the first step is all there is to do.
                let mut top = Block::zero();
                for l in 0..LANES {
                    top.0[l] = N::ceiling(first(l), N::State::<F>::from_fn(|k| state[k].0[l]));
                }
                let quiet = N::OUTPUT.is_events() && F::positive::<I>(&top) & valid == 0;
                let (mut u, mut sum, mut count, mut fired) = (planes[place], Block::zero(), Block::zero(), 0);
                Bank::<N, F>::step_lanes(first, state, &z, &mut u, [&nothing; MAX_PORTS - 1]);
                for phase in 0..if quiet { 0 } else { period } {
                    let consts = at(b, phase);
                    if phase > 0 {
                        u = Block::zero();
                        Bank::<N, F>::step_lanes(&consts, state, &z, &mut u, [&nothing; MAX_PORTS - 1]);
                    }
                    if N::OUTPUT.is_events() {
                        for l in 0..LANES {
                            z.0[l] = if u.0[l] > F::default() { one } else { F::default() };
                            sum.0[l] += N::worth(consts(l), N::State::<F>::from_fn(|k| state[k].0[l])) * z.0[l];
                            count.0[l] += z.0[l];
                        }
                        fired |= F::positive::<I>(&u);
                    }
                }
                if quiet {
                    z = Block::zero();
                }
                // Lanes beyond the last neuron copy it.
                bits(!valid).for_each(|l| count.0[l] = F::default());
                planes[place] = if N::OUTPUT.is_events() { sum } else { u };
                counts[place] = count;
                any[place] = fired & valid;
            }
        }
    }
}

struct DenseKernel<'a, N: Neuron, F: Scalar> {
    bank: &'a Bank<N, F>,
    row: DenseRow<'a, F>,
}

impl<N: Neuron, F: Scalar> Kernel for DenseKernel<'_, N, F> {
    type Number = F;
    type Out = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let DenseRow { u, more, z, state, worth } = self.row;
        let nothing = Block::zero();
        for b in 0..u.len() {
            let (state, consts) = (&mut state[b * Bank::<N, F>::STATES..(b + 1) * Bank::<N, F>::STATES], self.bank.drawn(b));
            Bank::<N, F>::step_block(&consts, state, &z[b], &mut u[b], Bank::<N, F>::further(|n| &more[n][b], &nothing));
            if N::OUTPUT == Output::Weighted {
                Bank::<N, F>::worth_block(&consts, state, &mut worth[b]);
            }
        }
    }
}

impl<N: Neuron, F: Scalar> Cells<F> for Bank<N, F> {
    fn size(&self) -> usize {
        self.size
    }
    fn states(&self) -> usize {
        Self::STATES
    }
    fn ports(&self) -> usize {
        Self::PORTS
    }
    fn output(&self) -> Output {
        N::OUTPUT
    }
    fn refractory(&self) -> usize {
        self.refractory
    }
    fn escapes(&self) -> bool {
        self.escape.is_some()
    }
    fn current(&self) -> &[Block<F>] {
        &self.current
    }
    fn local(&self) -> &Local<F> {
        &self.local
    }
    fn derivatives(&self, simd: Simd, block: usize, before: &[Block<F>], z: &Block<F>, into: &mut [Block<F>]) {
        let (consts, each) = (self.drawn(block), self.local.learned * <N::Consts<F> as Vars<F>>::LEN);
        let slopes = &self.slopes[block * each..(block + 1) * each];
        simd.run(DerivativesKernel::<N, F> { consts, slopes, before, z, into, model: std::marker::PhantomData });
    }
    fn sweep(&self, simd: Simd, feed: &Feed<'_, F>, steps: Range<usize>, wants: Wants, sink: Sink<'_, F>) {
        simd.run(SweepKernel { bank: self, feed, steps, wants, sink });
    }
    fn window(&self) -> Option<usize> {
        N::GATHERS.then_some(self.consts.period)
    }
    fn windows(&self, simd: Simd, planes: &mut [Block<F>], counts: &mut [Block<F>], any: &mut [u64]) {
        simd.run(WindowKernel { bank: self, planes, counts, any });
    }
    fn step_dense(&self, simd: Simd, row: DenseRow<'_, F>) {
        simd.run(DenseKernel { bank: self, row });
    }
}
