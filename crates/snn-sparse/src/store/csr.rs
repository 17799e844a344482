use super::Synapses;
use crate::lanes::{Block, Isa, LANES, Scalar, blocks, flat, flat_mut};
use std::ops::Range;

/// Listed links only, in compressed rows per block of targets: the links of source `i` into `block` are
/// `ends[block·sources + i] .. ends[block·sources + i + 1]`, lanes ascending.
///
/// Memory: 5 bytes per link (`f32`), and 4 per source and block.
#[derive(Clone, Debug)]
pub struct Csr<F> {
    sources: usize,
    targets: usize,
    ends: Vec<u32>,
    lane: Vec<u8>,
    w: Vec<Block<F>>, // one weight per link, in the order of `lane`, padded to whole blocks
}

impl<F: Scalar> Csr<F> {
    /// Weights zero on the links `row_ends`, `list`: source `i` reaches `list[row_ends[i]..row_ends[i + 1]]`.
    pub fn new(row_ends: &[u32], list: &[u32], targets: usize) -> Self {
        let sources = row_ends.len() - 1;
        let (mut ends, mut lane) = (vec![0], Vec::with_capacity(list.len()));
        let mut next = row_ends[..sources].to_vec();
        for b in 0..blocks(targets) {
            for i in 0..sources {
                let rest = &list[next[i] as usize..row_ends[i + 1] as usize];
                let here = rest.iter().take_while(|&&j| j as usize / LANES == b);
                lane.extend(here.map(|&j| (j as usize % LANES) as u8));
                next[i] += lane.len() as u32 - ends[b * sources + i];
                ends.push(lane.len() as u32);
            }
        }
        let w = vec![Block::zero(); blocks(lane.len())];
        Csr { sources, targets, ends, lane, w }
    }

    /// Number of links.
    pub fn links(&self) -> usize {
        self.lane.len()
    }

    /// Number of links of source `i`.
    pub fn fan_out(&self, i: u32) -> usize {
        (0..blocks(self.targets)).map(|b| self.row(b, i).len()).sum()
    }

    /// Every link as `(source, target, index among the slots)`.
    pub fn triplets(&self) -> Vec<(usize, usize, usize)> {
        self.ordered().enumerate().map(|(k, (i, j, _))| (i, j, k)).collect()
    }

    /// Every link as `(source, target, slot)`: source by source, targets ascending.
    fn ordered(&self) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        let rows = (0..self.sources).flat_map(|i| (0..blocks(self.targets)).map(move |b| (i, b)));
        rows.flat_map(move |(i, b)| self.row(b, i as u32).map(move |k| (i, b * LANES + self.lane[k] as usize, k)))
    }

    #[inline(always)]
    fn row(&self, block: usize, i: u32) -> Range<usize> {
        let k = block * self.sources + i as usize;
        self.ends[k] as usize..self.ends[k + 1] as usize
    }
}

impl<F: Scalar> Synapses<F> for Csr<F> {
    #[inline(always)]
    fn deliver<I: Isa>(&self, block: usize, events: &[u32], mut acc: Block<F>) -> Block<F> {
        let w = flat(&self.w);
        for &i in events {
            for k in self.row(block, i) {
                acc[self.lane[k] as usize % LANES] += w[k];
            }
        }
        acc
    }

    #[inline(always)]
    fn pull_back<I: Isa>(&self, block: usize, unit: u32, delta: &Block<F>) -> F {
        let w = flat(&self.w);
        self.row(block, unit).map(|k| w[k] * delta[self.lane[k] as usize % LANES]).sum()
    }

    #[inline(always)]
    fn correlate(&self, block: usize, i: usize, times: &[u32], delta: &[Block<F>], grad: &mut [Block<F>]) {
        let grad = flat_mut(grad);
        for k in self.row(block, i as u32) {
            let lane = self.lane[k] as usize % LANES;
            grad[k] = times.iter().fold(grad[k], |sum, &t| sum + delta[t as usize][lane]);
        }
    }

    fn weights(&self) -> &[Block<F>] {
        &self.w
    }
    fn weights_mut(&mut self) -> &mut [Block<F>] {
        &mut self.w
    }
    fn slots(&self) -> Vec<usize> {
        self.ordered().map(|(.., slot)| slot).collect()
    }
}
