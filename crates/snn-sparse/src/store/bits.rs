use super::Synapses;
use crate::lanes::{Block, Isa, LANES, Scalar, bits, blocks};
use snn_core::net::{Links, Projection};

/// Links of one common weight as bits: one row per source, one bit per target. Events are counted per target before the weight comes in, so 64
/// targets cost one addition of bytes per event: `x_j += w·Σ_{i ∈ events} bit_ij`. The weight cannot be trained.
///
/// Memory: 8 bytes per source and block of 64 targets, whatever the number of links.
#[derive(Clone, Debug)]
pub struct Bits<F> {
    width: usize,
    mask: Vec<u64>, // [source][block]
    weight: F,
    links: usize,
}

impl<F: Scalar> Bits<F> {
    /// The links of `projection`, all of weight `weight`.
    pub fn new(projection: &Projection, weight: F, sources: usize, targets: usize) -> Self {
        let width = blocks(targets);
        let mut mask = vec![0u64; width * sources];
        let mut set = |i: usize, j: usize| mask[i * width + j / LANES] |= 1 << (j % LANES);
        match &projection.links {
            Links::All => (0..sources).for_each(|i| (0..targets).for_each(|j| set(i, j))),
            links => links.triplets(sources, targets).for_each(|(i, j, _)| set(i, j)),
        }
        let links = mask.iter().map(|m| m.count_ones() as usize).sum();
        Bits { width, mask, weight, links }
    }

    /// Number of links.
    pub fn links(&self) -> usize {
        self.links
    }

    /// The weight.
    pub fn weight(&self) -> F {
        self.weight
    }

    /// Every link as `(source, target, its number)`.
    pub fn triplets(&self) -> Vec<(usize, usize, usize)> {
        let words = self.mask.iter().enumerate();
        let pairs = words.flat_map(|(k, &word)| bits(word).map(move |l| (k / self.width, k % self.width * LANES + l)));
        pairs.enumerate().map(|(number, (i, j))| (i, j, number)).collect()
    }

    /// Number of links of source `i`.
    pub fn fan_out(&self, i: u32) -> usize {
        self.mask[i as usize * self.width..][..self.width].iter().map(|m| m.count_ones() as usize).sum()
    }
}

/// Blocks whose counts stay in the first-level cache while all events pass.
const PANEL: usize = 64;

impl<F: Scalar> Bits<F> {
    /// Delivers `events` to the blocks `into`, the first of which is block `first`.
    #[inline(always)]
    pub(crate) fn push<I: Isa>(&self, events: &[u32], first: usize, into: &mut [Block<F>]) {
        let mut counts = [[0u8; LANES]; PANEL];
        for (panel, into) in into.chunks_mut(PANEL).enumerate() {
            let counts = &mut counts[..into.len()];
            for events in events.chunks(255) {
                counts.fill([0; LANES]);
                I::tally(&self.mask, self.width, first + panel * PANEL, events, counts);
                for (into, counts) in into.iter_mut().zip(&*counts) {
                    for l in 0..LANES {
                        into.0[l] += self.weight * F::count(u32::from(counts[l]));
                    }
                }
            }
        }
    }
}

impl<F: Scalar> Bits<F> {
    /// As [`push`](Self::push), for graded events: their values are added bit by bit.
    #[inline(always)]
    pub(crate) fn push_values(&self, events: &[u32], values: &[f64], first: usize, into: &mut [Block<F>]) {
        for (&i, &x) in events.iter().zip(values) {
            let x = F::of(x) * self.weight;
            let row = &self.mask[i as usize * self.width + first..][..into.len()];
            row.iter().zip(&mut *into).for_each(|(&word, into)| bits(word).for_each(|l| into[l] += x));
        }
    }
}

impl<F: Scalar> Synapses<F> for Bits<F> {
    #[inline(always)]
    fn deliver<I: Isa>(&self, block: usize, events: &[u32], mut acc: Block<F>) -> Block<F> {
        self.push::<I>(events, block, std::slice::from_mut(&mut acc));
        acc
    }

    #[inline(always)]
    fn deliver_values<I: Isa>(&self, block: usize, events: &[u32], values: &[f64], mut acc: Block<F>) -> Block<F> {
        self.push_values(events, values, block, std::slice::from_mut(&mut acc));
        acc
    }

    #[inline(always)]
    fn pull_back<I: Isa>(&self, block: usize, unit: u32, delta: &Block<F>) -> F {
        bits(self.mask[unit as usize * self.width + block]).map(|l| self.weight * delta[l]).sum()
    }
}
