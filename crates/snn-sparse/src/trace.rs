//! What a population did in one trial: its spikes, its active set, its graded output. Nothing dense is kept of spiking populations.

use crate::lanes::{Block, LANES, Scalar, bits};
use snn_core::{Raster, Surrogate};
use std::ops::Range;

/// What a run must record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wants {
    /// Spikes and graded outputs.
    Spikes,
    /// Also the active set: who is near threshold, with the slope of this surrogate there. This is what a backward pass needs.
    Active(Surrogate),
}

/// What a population did in one trial.
#[derive(Clone, Debug)]
pub struct Trace<F> {
    /// Spikes; silent for populations with graded output.
    pub spikes: Raster,
    /// Who was near threshold.
    pub active: Active<F>,
    /// Graded output `[step][block]` of a population that does not spike; empty otherwise.
    pub output: Vec<Block<F>>,
    blocks: usize,
    fired: Vec<u64>, // [block][step]: spikes as bits
}

/// The active set: entries `(step, unit)` with a derivative, sorted by step and unit.
#[derive(Clone, Debug)]
pub struct Active<F> {
    ends: Vec<u32>, // entries of step t and block b: ends[t·blocks + b] .. ends[t·blocks + b + 1]
    blocks: usize,
    /// Unit of each entry.
    pub unit: Vec<u32>,
    /// Slope of the surrogate at each entry.
    pub slope: Vec<F>,
}

impl<F> Active<F> {
    /// Entries of step `t`, all blocks.
    #[inline(always)]
    pub fn at(&self, t: usize) -> Range<usize> {
        self.ends[t * self.blocks] as usize..self.ends[(t + 1) * self.blocks] as usize
    }
    /// Entries of step `t` in one block of units.
    #[inline(always)]
    pub fn at_block(&self, t: usize, block: usize) -> Range<usize> {
        let k = t * self.blocks + block;
        self.ends[k] as usize..self.ends[k + 1] as usize
    }
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.unit.len()
    }
    /// Whether nobody was near threshold.
    pub fn is_empty(&self) -> bool {
        self.unit.is_empty()
    }
}

impl<F: Scalar> Trace<F> {
    /// An empty trace of `size` units.
    pub fn new(size: usize) -> Self {
        let blocks = size.div_ceil(LANES);
        let active = Active { ends: vec![0], blocks, unit: Vec::new(), slope: Vec::new() };
        Trace { spikes: Raster::new(size, 0), active, output: Vec::new(), blocks, fired: Vec::new() }
    }

    /// Blocks of 64 units.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// Lanes of `block` that fired at step `t`.
    #[inline(always)]
    pub fn fired(&self, t: usize, block: usize) -> u64 {
        self.fired[block * self.spikes.steps() + t]
    }

    /// Graded outputs of unit `j` over time.
    pub fn series(&self, j: usize) -> impl Iterator<Item = F> + '_ {
        self.output.iter().skip(j / LANES).step_by(self.blocks).map(move |block| block[j % LANES])
    }

    /// Writes the output values `[step][block]`: the graded output, or the spikes as 0 and 1.
    pub fn values(&self, into: &mut Vec<Block<F>>) {
        into.clear();
        if !self.output.is_empty() {
            return into.extend_from_slice(&self.output);
        }
        into.resize(self.spikes.steps() * self.blocks, Block::zero());
        self.spikes.iter().for_each(|(t, j)| into[t * self.blocks + j as usize / LANES][j as usize % LANES] = F::of(1.0));
    }

    pub(crate) fn begin(&mut self, steps: usize, graded: bool, wants: Wants) {
        self.spikes.reset(self.spikes.units(), steps);
        self.fired.clear();
        self.fired.resize(self.blocks * steps, 0);
        self.active.unit.clear();
        self.active.slope.clear();
        self.active.ends.clear();
        self.active.ends.resize(if wants == Wants::Spikes { 1 } else { steps * self.blocks + 1 }, 0);
        self.output.clear();
        self.output.resize(if graded { steps * self.blocks } else { 0 }, Block::zero());
    }

    /// Takes over the steps a sweep has just written.
    pub(crate) fn absorb(&mut self, steps: Range<usize>, sweep: &mut Sweep<F>, wants: Wants) {
        let (blocks, all) = (self.blocks, self.spikes.steps());
        for t in steps.clone() {
            for b in 0..blocks {
                self.fired[b * all + t] = sweep.fired[b * all + t];
            }
            let fired = &self.fired;
            self.spikes.push_step(t, (0..blocks).flat_map(|b| bits(fired[b * all + t]).map(move |l| (b * LANES + l) as u32)));
        }
        let Wants::Active(surrogate) = wants else { return };
        for t in steps {
            for b in 0..blocks {
                for l in bits(sweep.near[b * all + t]) {
                    let lane = &mut sweep.distance[b];
                    let u = lane.list[lane.read];
                    lane.read += 1;
                    self.active.unit.push((b * LANES + l) as u32);
                    self.active.slope.push(surrogate.slope_within(u));
                }
                self.active.ends[t * blocks + b + 1] = self.active.unit.len() as u32;
            }
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.spikes.bytes()
            + 8 * self.fired.capacity()
            + 4 * (self.active.ends.capacity() + self.active.unit.capacity())
            + size_of::<F>() * self.active.slope.capacity()
            + size_of::<Block<F>>() * self.output.capacity()
    }
}

/// Where a population's sweep keeps its state and leaves what it found, until the trace takes it over.
#[derive(Clone, Debug, Default)]
pub struct Sweep<F> {
    pub(crate) state: Vec<Block<F>>,   // [block][state variable]
    pub(crate) last: Vec<u64>,         // [block]: who fired in the step before
    pub(crate) fired: Vec<u64>,        // [block][step]
    pub(crate) near: Vec<u64>,         // [block][step]: within reach of the surrogate
    pub(crate) distance: Vec<Lane<F>>, // [block]: distances to threshold of `near`, in time order
}

/// A list with a reading position.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lane<F> {
    pub(crate) list: Vec<F>,
    pub(crate) read: usize,
}

impl<F: Scalar> Sweep<F> {
    pub(crate) fn begin(&mut self, blocks: usize, states: usize, steps: usize) {
        let fill = |v: &mut Vec<u64>, n: usize| {
            v.clear();
            v.resize(n, 0);
        };
        self.state.clear();
        self.state.resize(blocks * states, Block::zero());
        fill(&mut self.last, blocks);
        fill(&mut self.fired, blocks * steps);
        fill(&mut self.near, blocks * steps);
        self.distance.resize_with(blocks, || Lane { list: Vec::new(), read: 0 });
        for lane in &mut self.distance {
            lane.list.clear();
            lane.read = 0;
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let lists: usize = self.distance.iter().map(|l| l.list.capacity() * size_of::<F>()).sum();
        size_of::<Block<F>>() * self.state.capacity() + 8 * (self.last.capacity() + self.fired.capacity() + self.near.capacity()) + lists
    }
}
