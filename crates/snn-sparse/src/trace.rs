//! What a population did in one trial: who fired, who was near threshold, its graded output. Nothing dense is kept of populations whose
//! output comes as events.

use crate::bank::Cells;
use crate::lanes::{Block, Entries, Isa, Kernel, LANES, Scalar, Simd, bits, blocks};
use snn_core::Surrogate;
use std::ops::Range;

/// What a run must record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wants {
    /// Spikes and graded outputs.
    Spikes,
    /// Also the active set: who is near threshold, with the slope of this surrogate there. This is what a backward pass needs.
    Active(Surrogate),
}

/// What a population did in one trial, besides its events, which stand in [`Record::spikes`](crate::Record::spikes).
///
/// The active set are the entries `(step, unit)` with a derivative, in the order in which they were met: stride by stride of steps taken
/// together, in each block by block and then by step. [`stretches`](Self::stretches) knows. Where output is rectified they are its events, whatever a run wants; where it is linear, all units; where events are weighted, the events and those near
/// threshold.
#[derive(Clone, Debug)]
pub struct Trace<F> {
    /// The active set, with the derivative of the output at every entry: the slope of the surrogate, or 1 where the output is rectified or linear.
    pub active: Entries<F>,
    /// Graded output `[step][block]` of a population without events; empty otherwise.
    pub output: Vec<Block<F>>,
    size: usize,
    ports: usize,
    steps: usize,
    stride: usize,
    pub(crate) fired: Vec<u64>,      // [block][step]
    pub(crate) near: Vec<u64>,       // [block][step]: the active set as bits
    pub(crate) start: Vec<u32>,      // [block][step]: where its entries begin
    pub(crate) values: Vec<F>,       // of events that carry one: entry by entry of the active set
    pub(crate) state: Vec<Block<F>>, // [block][state variable], at the step reached
    level: Vec<Block<F>>,            // [block]: u at the last step, before escape noise; empty if there is none
    before: Vec<Block<F>>,           // [block][step][state variables, inputs], of models that are not affine
}

impl<F: Scalar> Trace<F> {
    /// An empty trace of `size` units.
    pub fn new(size: usize) -> Self {
        let active = Entries { value: Vec::new(), step: Vec::new(), unit: Vec::new() };
        let (output, state, before, level) = Default::default();
        let (fired, near, start, values) = Default::default();
        Trace { active, output, size, ports: 1, steps: 0, stride: 1, fired, near, start, values, state, level, before }
    }

    /// Number of units.
    pub fn units(&self) -> usize {
        self.size
    }

    /// Blocks of 64 units.
    pub fn blocks(&self) -> usize {
        blocks(self.size)
    }

    /// Lanes of `block` that fired at step `t`, as bits.
    #[inline(always)]
    pub fn fired(&self, t: usize, block: usize) -> u64 {
        self.fired[block * self.steps + t]
    }

    /// Entries of the active set at step `t` in one block, ascending by unit.
    #[inline(always)]
    pub fn active_at(&self, t: usize, block: usize) -> Range<usize> {
        let k = block * self.steps + t;
        let start = self.start[k] as usize;
        start..start + self.near[k].count_ones() as usize
    }

    /// Those of them that are events.
    fn events_at(&self, t: usize, block: usize) -> impl Iterator<Item = usize> + '_ {
        let fired = self.fired(t, block);
        self.active_at(t, block).filter(move |&e| fired >> (self.active.unit[e] as usize % LANES) & 1 == 1)
    }

    /// What entry `e` of the active set counts for others where it is an event; of a population whose events carry values.
    #[inline(always)]
    pub fn value(&self, e: usize) -> F {
        self.values[e]
    }

    /// Entries of the active set in `steps`, as few stretches: one for each block and stride of steps that the engine took together, or one
    /// for each step if it took single ones.
    #[inline(always)]
    pub fn stretches(&self, steps: Range<usize>) -> impl Iterator<Item = Range<usize>> + '_ {
        let stride = self.stride;
        let (strides, count) = match steps.end.checked_sub(1) {
            Some(last) if !steps.is_empty() && !self.near.is_empty() => (steps.start / stride, last / stride + 1 - steps.start / stride),
            _ => (0, 0),
        };
        let joined = if stride == 1 { self.blocks() } else { 1 };
        let pieces = self.blocks() / joined;
        (0..count * pieces).map(move |k| {
            let (n, b) = (strides + k / pieces, k % pieces);
            let (first, last) = ((n * stride).max(steps.start), ((n + 1) * stride).min(steps.end) - 1);
            self.active_at(first, b).start..self.active_at(last, b + joined - 1).end
        })
    }

    /// The state variables of `block` before step `t`, and then the inputs of the step: where the derivatives of a model that is not affine are to be
    /// taken. Kept if the active set is, and of such models only.
    #[inline(always)]
    pub fn before(&self, t: usize, block: usize) -> &[Block<F>] {
        let width = self.state.len() / self.blocks() + self.ports;
        &self.before[(block * self.steps + t) * width..][..width]
    }

    /// The state variables of `block` after step `t`, where [`before`](Self::before) is kept.
    #[inline(always)]
    pub fn after(&self, t: usize, block: usize) -> &[Block<F>] {
        let states = self.state.len() / self.blocks();
        if t + 1 < self.steps { &self.before(t + 1, block)[..states] } else { &self.state[block * states..][..states] }
    }

    /// The state variables of unit `j` at the end of the trial.
    pub fn state(&self, j: usize) -> Vec<F> {
        let states = self.state.len() / self.blocks();
        self.state[j / LANES * states..][..states].iter().map(|plane| plane[j % LANES]).collect()
    }

    /// The distance to threshold of unit `j` at the last step taken, before escape noise, −∞ while it is refractory; `None` where there is
    /// no such noise. ([`Escape::chance`](snn_core::net::Escape::chance) makes it the probability of the spike that was drawn.)
    #[inline(always)]
    pub fn level(&self, j: usize) -> Option<F> {
        Some(self.level.get(j / LANES)?[j % LANES])
    }

    /// Graded output of unit `j` at step `t`.
    pub fn output_at(&self, t: usize, j: usize) -> F {
        self.output[t * self.blocks() + j / LANES][j % LANES]
    }

    /// Graded outputs of unit `j` over time.
    pub fn series(&self, j: usize) -> impl Iterator<Item = F> + '_ {
        self.output.iter().skip(j / LANES).step_by(self.blocks()).map(move |block| block[j % LANES])
    }

    /// Writes the output values `[step][block]`: the graded output, or the events, 0 between them.
    pub fn values(&self, into: &mut Vec<Block<F>>) {
        into.clear();
        if !self.output.is_empty() {
            return into.extend_from_slice(&self.output);
        }
        into.resize(self.steps * self.blocks(), Block::zero());
        for t in 0..self.steps {
            for b in 0..self.blocks() {
                let block = &mut into[t * blocks(self.size) + b];
                if self.values.is_empty() {
                    bits(self.fired(t, b)).for_each(|l| block[l] = F::of(1.0));
                } else {
                    self.events_at(t, b).for_each(|e| block[self.active.unit[e] as usize % LANES] = self.values[e]);
                }
            }
        }
    }

    /// Takes these as the events of the trial, before it is swept: of a population that has events.
    pub(crate) fn tell(&mut self, events: impl Iterator<Item = (usize, u32)>) {
        for (t, unit) in events {
            self.fired[unit as usize / LANES * self.steps + t] |= 1 << (unit as usize % LANES);
        }
    }

    /// Appends the events of step `t` that carry values, units ascending.
    pub(crate) fn list_values(&self, t: usize, units: &mut Vec<u32>, values: &mut Vec<f64>) {
        for b in 0..self.blocks() {
            units.extend(self.events_at(t, b).map(|e| self.active.unit[e]));
            values.extend(self.events_at(t, b).map(|e| self.values[e].value()));
        }
    }

    pub(crate) fn begin(&mut self, steps: usize, cells: &dyn Cells<F>, stride: usize, wants: Wants) {
        fn fill<T: Clone>(v: &mut Vec<T>, n: usize, x: T) {
            v.clear();
            v.resize(n, x);
        }
        let (width, places, states, output) = (self.blocks(), self.blocks() * steps, cells.states(), cells.output());
        let events = output.is_events();
        let active = if output.has_values() || events && wants != Wants::Spikes { places } else { 0 };
        let before = if !cells.local().affine && wants != Wants::Spikes { places * (states + cells.ports()) } else { 0 };
        (self.steps, self.stride, self.ports) = (steps, stride, cells.ports());
        self.active.clear();
        self.values.clear();
        fill(&mut self.state, width * states, Block::zero());
        fill(&mut self.output, if events { 0 } else { places }, Block::zero());
        fill(&mut self.fired, if events { places } else { 0 }, 0);
        fill(&mut self.near, active, 0);
        fill(&mut self.start, active, 0);
        fill(&mut self.level, if cells.escapes() { width } else { 0 }, Block::zero());
        // Every place is written before it is read.
        self.before.resize(before, Block::zero());
    }

    /// Forgets the first `by` steps: the others move to the front, and the state stays. The active set is forgotten, but for events with
    /// values.
    pub(crate) fn shift(&mut self, by: usize) {
        let (steps, width) = (self.steps, self.blocks());
        for row in self.fired.chunks_mut(steps.max(1)) {
            row.copy_within(by.., 0);
            row[steps - by..].fill(0);
        }
        if !self.output.is_empty() {
            self.output.copy_within(by * width.., 0);
            self.output[(steps - by) * width..].fill(Block::zero());
        }
        if self.values.is_empty() {
            self.near.fill(0);
            return self.active.clear();
        }
        // Taken step by step, so the entries are in the order of time.
        let gone = self.active.step.partition_point(|&t| (t as usize) < by);
        self.active.value.drain(..gone);
        self.active.unit.drain(..gone);
        self.active.step.drain(..gone);
        self.active.step.iter_mut().for_each(|t| *t -= by as u32);
        self.values.drain(..gone);
        for (near, start) in self.near.chunks_mut(steps.max(1)).zip(self.start.chunks_mut(steps.max(1))) {
            near.copy_within(by.., 0);
            near[steps - by..].fill(0);
            start.copy_within(by.., 0);
            start.iter_mut().for_each(|start| *start = start.saturating_sub(gone as u32));
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let planes = self.output.capacity() + self.state.capacity() + self.before.capacity() + self.level.capacity();
        self.active.bytes()
            + 8 * (self.fired.capacity() + self.near.capacity())
            + 4 * self.start.capacity()
            + size_of::<F>() * self.values.capacity()
            + size_of::<Block<F>>() * planes
    }
}

/// Where a sweep leaves what some blocks of a population do: the whole trace, or a part of it that one thread owns.
pub struct Sink<'a, F> {
    pub(crate) blocks: Range<usize>,
    pub(crate) all: usize,                // steps of the trial
    pub(crate) fired: &'a mut [u64],      // [block][step]
    pub(crate) state: &'a mut [Block<F>], // [block][state variable]
    pub(crate) rest: Option<Rest<'a, F>>, // what only a whole trace records
}

pub(crate) struct Rest<'a, F> {
    pub(crate) output: &'a mut [Block<F>],
    pub(crate) near: &'a mut [u64],
    pub(crate) start: &'a mut [u32],
    pub(crate) active: &'a mut Entries<F>,
    pub(crate) values: &'a mut Vec<F>,
    pub(crate) before: &'a mut [Block<F>],
    pub(crate) level: &'a mut [Block<F>],
}

impl<F: Scalar> Trace<F> {
    /// All blocks.
    pub(crate) fn whole(&mut self) -> Sink<'_, F> {
        let Trace { output, near, start, active, before, values, level, .. } = self;
        let rest = Rest { output, near, start, active, before, values, level };
        Sink { blocks: 0..blocks(self.size), all: self.steps, fired: &mut self.fired, state: &mut self.state, rest: Some(rest) }
    }

    /// The blocks cut into as many parts as there are iterators in `into`; spikes only. Each part gets one more sink.
    pub(crate) fn split<'a>(&'a mut self, into: &mut [Vec<(usize, Sink<'a, F>)>], population: usize) {
        let (width, all, parts) = (blocks(self.size), self.steps, into.len());
        let states = self.state.len() / width;
        let (mut fired, mut state) = (&mut self.fired[..], &mut self.state[..]);
        for (k, sinks) in into.iter_mut().enumerate() {
            let blocks = width * k / parts..width * (k + 1) / parts;
            let (here, left) = std::mem::take(&mut fired).split_at_mut(blocks.len() * all);
            let (mine, others) = std::mem::take(&mut state).split_at_mut(blocks.len() * states);
            (fired, state) = (left, others);
            sinks.push((population, Sink { blocks, all, fired: here, state: mine, rest: None }));
        }
    }
}

impl<F: Scalar> Sink<'_, F> {
    /// The same sink, for a shorter time.
    pub(crate) fn again(&mut self) -> Sink<'_, F> {
        let Sink { blocks, all, fired, state, .. } = self;
        Sink { blocks: blocks.clone(), all: *all, fired, state, rest: None }
    }

    /// Lists the spikes of `steps`.
    pub(crate) fn list(&self, simd: Simd, steps: Range<usize>, into: &mut Listed) {
        simd.run(List { fired: self.fired, all: self.all, first: self.blocks.start, steps, into });
    }
}

/// Spikes of a few steps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listed {
    units: Vec<u32>,
    ends: Vec<u32>,
}

impl Listed {
    /// The units that fired at the `k`-th of the steps, ascending.
    pub(crate) fn at(&self, k: usize) -> &[u32] {
        &self.units[self.ends[k] as usize..self.ends[k + 1] as usize]
    }
    pub(crate) fn bytes(&self) -> usize {
        4 * (self.units.capacity() + self.ends.capacity())
    }
}

struct List<'a> {
    fired: &'a [u64],
    all: usize,
    first: usize,
    steps: Range<usize>,
    into: &'a mut Listed,
}

impl Kernel for List<'_> {
    type Number = f32;
    type Out = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Listed { units, ends } = self.into;
        units.clear();
        ends.clear();
        ends.push(0);
        for t in self.steps {
            for (b, &fired) in self.fired.iter().skip(t).step_by(self.all).enumerate() {
                if fired != 0 {
                    I::push_units(units, fired, ((self.first + b) * LANES) as u32);
                }
            }
            ends.push(units.len() as u32);
        }
    }
}
