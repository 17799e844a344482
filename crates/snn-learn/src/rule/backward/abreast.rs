//! A step of the way back of several trials at once: a row of weights that was fetched serves every trial that wants it.

use super::{Sparse, Through, Way, lanes_of};
use snn_sparse::lanes::{Isa, Kernel, blocks};
use snn_sparse::{Block, Clocked, Image, Scalar, Store, Synapses};

/// The active entries of a population at one step of several trials: unit by unit, and trial by trial within a unit.
#[derive(Default)]
pub(super) struct Abreast<F> {
    unit: Vec<u32>,
    trial: Vec<u32>,
    entry: Vec<u32>,
    /// The error of each, as it grows.
    error: Vec<F>,
    /// By trial: how many there are.
    entries: Vec<u64>,
    /// By unit: where the next one goes.
    next: Vec<u32>,
    /// By trial: `∂L/∂x` of one block of those who heard them.
    delta: Vec<Block<F>>,
}

impl<F: Scalar> Abreast<F> {
    /// Takes the entries of population `q` at step `t`, and the errors they have so far. Cost: entries + units.
    fn take(&mut self, each: &[Sparse<F>], q: usize, t: usize) {
        let Abreast { unit, trial, entry, error, entries, next, .. } = self;
        next.clear();
        next.resize(each[0].trial.record.traces[q].units() + 1, 0);
        entries.clear();
        for one in each {
            let trace = &one.trial.record.traces[q];
            let units = || trace.stretches(t..t + 1).flat_map(|stretch| &trace.active.unit[stretch]);
            units().for_each(|&j| next[j as usize + 1] += 1);
            entries.push(units().count() as u64);
        }
        (1..next.len()).for_each(|j| next[j] += next[j - 1]);
        let all = next[next.len() - 1] as usize;
        [&mut *unit, trial, entry].into_iter().for_each(|list| list.resize(all, 0));
        error.resize(all, F::default());
        for (k, one) in each.iter().enumerate() {
            let trace = &one.trial.record.traces[q];
            for e in trace.stretches(t..t + 1).flatten() {
                let j = trace.active.unit[e];
                let place = &mut next[j as usize];
                let n = *place as usize;
                (unit[n], trial[n], entry[n], error[n]) = (j, k as u32, e as u32, one.errors[q][e]);
                *place += 1;
            }
        }
    }

    /// Gives the errors back.
    fn put_back(&self, each: &mut [Sparse<F>], q: usize) {
        for ((&k, &e), &error) in self.trial.iter().zip(&self.entry).zip(&self.error) {
            each[k as usize].errors[q][e as usize] = error;
        }
    }

    /// Adds what block `b` of a population sends back from a step by its `n`-th way. Returns the multiply-accumulates.
    fn pull_back(&mut self, each: &[Sparse<F>], engine: &Clocked<F>, &Step { p, first, t }: &Step, b: usize, n: usize) -> u64 {
        let way: &Way<F> = &each[0].ways[p][n];
        let (port, image) = match way.through {
            Through::Link(k) => (engine.links()[k].port.unwrap_or(0), each[0].trial.record.image(k)),
            Through::Own(_) => (0, None),
        };
        let store = image.map_or(way.store(engine), Image::store);
        let list = first + b * engine.cells()[p].ports() + port;
        let Abreast { unit, trial, error, entries, delta, .. } = self;
        delta.clear();
        let mut heard = 0;
        for (one, entries) in each.iter().zip(entries) {
            let reached = one.backward[p].reached(b) > t;
            heard += if reached { *entries } else { 0 };
            delta.push(if reached { one.delta[list * one.trial.input.steps() + t] } else { Block::zero() });
        }
        if heard > 0 {
            engine.simd().run(PullBack { store, block: b, factor: way.factor, unit, trial, delta, error });
        }
        heard * lanes_of(engine, p, b)
    }
}

/// A step of a population on its way back.
struct Step {
    p: usize,
    /// The list at which its `∂L/∂x` begins.
    first: usize,
    t: usize,
}

impl<F: Scalar> Sparse<F> {
    /// The errors that population `p`, whose `∂L/∂x` begins at the `first`-th list, has sent back from step `t` by the ways that are walked block by block, in every
    /// trial: the sums of [`errors_back`](Sparse::errors_back), in the same order. Returns the multiply-accumulates.
    pub(super) fn errors_back_abreast(each: &mut [Self], engine: &Clocked<F>, p: usize, first: usize, t: usize) -> u64 {
        let mut macs = 0;
        let (mut room, ways) = (std::mem::take(&mut each[0].abreast), std::mem::take(&mut each[0].by_block[p]));
        let source = |each: &[Self], n: usize| (each[0].ways[p][n].from, each[0].ways[p][n].delay);
        for (k, &n) in ways.iter().enumerate() {
            let (from, delay) = source(each, n);
            if ways[..k].iter().any(|&m| source(each, m) == (from, delay)) {
                continue;
            }
            // All ways that reach the same entries, block by block.
            let Some(then) = t.checked_sub(delay) else { continue };
            room.take(each, from, then);
            for b in 0..blocks(engine.cells()[p].size()) {
                for &n in ways[k..].iter().filter(|&&m| source(each, m) == (from, delay)) {
                    macs += room.pull_back(each, engine, &Step { p, first, t }, b, n);
                }
            }
            room.put_back(each, from);
        }
        (each[0].abreast, each[0].by_block[p]) = (room, ways);
        macs
    }
}

/// `error[n] += factor·Σ_l W[unit[n]][l]·delta[trial[n]][l]`.
struct PullBack<'a, F> {
    store: &'a Store<F>,
    block: usize,
    factor: F,
    unit: &'a [u32],
    trial: &'a [u32],
    delta: &'a [Block<F>],
    error: &'a mut [F],
}

impl<F: Scalar> Kernel for PullBack<'_, F> {
    type Number = F;
    type Out = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let PullBack { store, block, factor, unit, trial, delta, error } = self;
        store.pull_back_each::<I>(block, unit, trial, delta, factor, error);
    }
}
