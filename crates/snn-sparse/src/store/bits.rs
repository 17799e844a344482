use super::Synapses;
use crate::lanes::{Block, Isa, LANES, Scalar, bits, blocks};
use snn_core::net::{Links, Projection};

/// Links of one common weight as bits: `mask[block][source]`, one bit per target. Many events are counted per target before the weight comes in:
/// `w·count`, so 64 targets cost one addition per event. The weight cannot be trained.
///
/// Memory: 8 bytes per source and block of 64 targets, whatever the number of links.
#[derive(Clone, Debug)]
pub struct Bits<F> {
    sources: usize,
    mask: Vec<u64>,
    weight: F,
    links: usize,
}

impl<F: Scalar> Bits<F> {
    /// The links of `projection`, all of weight `weight`.
    pub fn new(projection: &Projection, weight: F, sources: usize, targets: usize) -> Self {
        let mut mask = vec![0u64; blocks(targets) * sources];
        let mut set = |i: usize, j: usize| mask[j / LANES * sources + i] |= 1 << (j % LANES);
        match &projection.links {
            Links::All => (0..sources).for_each(|i| (0..targets).for_each(|j| set(i, j))),
            links => links.pairs(sources, targets).for_each(|(i, j)| set(i, j)),
        }
        let links = mask.iter().map(|m| m.count_ones() as usize).sum();
        Bits { sources, mask, weight, links }
    }

    /// Number of links.
    pub fn links(&self) -> usize {
        self.links
    }

    /// Number of links of source `i`.
    pub fn fan_out(&self, i: u32) -> usize {
        self.mask.iter().skip(i as usize).step_by(self.sources).map(|m| m.count_ones() as usize).sum()
    }
}

impl<F: Scalar> Synapses<F> for Bits<F> {
    #[inline(always)]
    fn deliver<I: Isa>(&self, block: usize, events: &[u32], mut acc: Block<F>) -> Block<F> {
        let mask = &self.mask[block * self.sources..(block + 1) * self.sources];
        for events in events.chunks(255) {
            let counts = I::tally(mask, events);
            for l in 0..LANES {
                acc.0[l] += self.weight * F::count(u32::from(counts[l]));
            }
        }
        acc
    }

    #[inline(always)]
    fn pull_back<I: Isa>(&self, block: usize, unit: u32, delta: &Block<F>) -> F {
        bits(self.mask[block * self.sources + unit as usize]).map(|l| self.weight * delta[l]).sum()
    }

    fn correlate(&self, _: usize, _: usize, _: &[u32], _: &[Block<F>], _: &mut [Block<F>]) {}
    fn weights(&self) -> &[Block<F>] {
        &[]
    }
    fn weights_mut(&mut self) -> &mut [Block<F>] {
        &mut []
    }
    fn slots(&self) -> Vec<usize> {
        Vec::new()
    }
}
