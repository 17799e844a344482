use super::Synapses;
use crate::lanes::{Block, Isa, LANES, Scalar, blocks};
use std::ops::Range;

/// Every source to every target, block-major: `w[block][source][64 targets]`, so that the rows of one block of targets lie together
/// and stay in cache while all time steps pass.
#[derive(Clone, Debug)]
pub struct Dense<F> {
    sources: usize,
    targets: usize,
    w: Vec<Block<F>>,
}

impl<F: Scalar> Dense<F> {
    /// All weights zero.
    pub fn new(sources: usize, targets: usize) -> Self {
        Dense { sources, targets, w: vec![Block::zero(); blocks(targets) * sources] }
    }

    /// Number of links.
    pub fn links(&self) -> usize {
        self.sources * self.targets
    }

    /// Number of links of any source.
    pub fn fan_out(&self, _: u32) -> usize {
        self.targets
    }

    /// Every link as `(source, target, index among the slots)`.
    pub fn triplets(&self) -> Vec<(usize, usize, usize)> {
        (0..self.links()).map(|k| (k / self.targets, k % self.targets, k)).collect()
    }

    /// Slots of the links of source `i` into `block`, a whole row.
    #[inline(always)]
    pub(super) fn row(&self, block: usize, i: u32) -> Range<usize> {
        let row = block * self.sources + i as usize;
        row * LANES..(row + 1) * LANES
    }

    /// Where every weight stands here, and where its copy stands in the store of the transposed matrix: positions within the flat weights.
    pub fn transposed(&self) -> impl Iterator<Item = (usize, usize)> + use<F> {
        let (n, m) = (self.sources, self.targets);
        let tiles = (0..blocks(m)).flat_map(move |to| (0..blocks(n)).map(move |from| (from * LANES..((from + 1) * LANES).min(n), to)));
        tiles.flat_map(move |(sources, to)| {
            let pair = move |i: usize, j: usize| ((to * n + i) * LANES + j % LANES, (i / LANES * m + j) * LANES + i % LANES);
            sources.flat_map(move |i| (to * LANES..((to + 1) * LANES).min(m)).map(move |j| pair(i, j)))
        })
    }

    #[inline(always)]
    fn rows(&self, block: usize) -> &[Block<F>] {
        &self.w[block * self.sources..(block + 1) * self.sources]
    }
}

/// Rows that are asked for before they are read. Chosen.
const AHEAD: usize = 6;

impl<F: Scalar> Synapses<F> for Dense<F> {
    #[inline(always)]
    fn deliver<I: Isa>(&self, block: usize, events: &[u32], mut acc: Block<F>) -> Block<F> {
        let rows = self.rows(block);
        for &i in events {
            acc = acc.plus(&rows[i as usize]);
        }
        acc
    }

    #[inline(always)]
    fn deliver_values<I: Isa>(&self, block: usize, events: &[u32], values: &[f64], mut acc: Block<F>) -> Block<F> {
        let rows = self.rows(block);
        for (n, (&i, &x)) in events.iter().zip(values).enumerate() {
            if let Some(&i) = events.get(n + AHEAD) {
                I::fetch(&rows[i as usize]);
            }
            acc = acc.plus_scaled(F::of(x), &rows[i as usize]);
        }
        acc
    }

    #[inline(always)]
    fn pull_back<I: Isa>(&self, block: usize, unit: u32, delta: &Block<F>) -> F {
        self.rows(block)[unit as usize].dot::<I>(delta)
    }

    #[inline(always)]
    fn pull_back_each<I: Isa>(&self, block: usize, units: &[u32], at: &[u32], delta: &[Block<F>], factor: F, errors: &mut [F]) {
        let rows = self.rows(block);
        let ((units, last_units), (at, last_at), (errors, last_errors)) =
            (units.as_chunks::<4>(), at.as_chunks(), errors.as_chunks_mut::<4>());
        let all = units;
        for (n, ((errors, units), at)) in errors.iter_mut().zip(units).zip(at).enumerate() {
            if let Some(&[.., unit]) = all.get(n + AHEAD / 2) {
                I::fetch(&rows[unit as usize]);
            }
            let [i, j, k, l] = units.map(|unit| &rows[unit as usize]);
            let [s, t, u, v] = at.map(|at| &delta[at as usize]);
            let dots = F::dots::<I>([i, j, k, l], [s, t, u, v]);
            errors.iter_mut().zip(dots).for_each(|(error, dot)| *error += factor * dot);
        }
        for ((error, &unit), &at) in last_errors.iter_mut().zip(last_units).zip(last_at) {
            *error += factor * rows[unit as usize].dot::<I>(&delta[at as usize]);
        }
    }

    #[inline(always)]
    fn correlate(&self, block: usize, i: usize, times: &[u32], delta: &[Block<F>], grad: &mut [Block<F>]) {
        let row = &mut grad[block * self.sources + i];
        *row = times.iter().fold(*row, |sum, &t| sum.plus(&delta[t as usize]));
    }

    #[inline(always)]
    fn correlate_values(&self, block: usize, i: usize, times: &[u32], values: &[f64], delta: &[Block<F>], grad: &mut [Block<F>]) {
        let row = &mut grad[block * self.sources + i];
        *row = times.iter().zip(values).fold(*row, |sum, (&t, &x)| sum.plus_scaled(F::of(x), &delta[t as usize]));
    }

    fn weights(&self) -> &[Block<F>] {
        &self.w
    }
    fn weights_mut(&mut self) -> &mut [Block<F>] {
        &mut self.w
    }

    fn slots(&self) -> Vec<usize> {
        let slot = |i, j| ((j / LANES) * self.sources + i) * LANES + j % LANES;
        (0..self.sources).flat_map(|i| (0..self.targets).map(move |j| slot(i, j))).collect()
    }
}
