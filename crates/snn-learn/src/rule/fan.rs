//! Listed links on the way back: all links of a source in one row, whatever their delays, and the errors of the last steps in one window.

use super::sparse_bptt::Way;
use snn_sparse::lanes::flat;
use snn_sparse::{Block, Clocked, LANES, Scalar, Store, Synapses};

/// Whether the links of a store are walked source by source, over all blocks of targets: then the error of a whole step is needed at once.
pub(super) fn by_row<F>(store: &Store<F>) -> bool {
    matches!(store, Store::Csr(_))
}

/// Ways from a population to another that are walked by row, taken together: all links of a source in one row, whatever their delays.
pub(super) struct Fan<F> {
    pub from: usize,
    /// The shortest delay, and how much longer the longest is.
    pub delay: usize,
    pub reach: usize,
    /// The links of source `i` are `ends[i]..ends[i + 1]`.
    pub ends: Vec<u32>,
    /// Where each finds its error in [`Recent`].
    pub at: Vec<u32>,
    pub w: Vec<F>,
    /// Whose weight it is: the way, and the slot in its store.
    of: Vec<(u32, u32)>,
}

impl<F: Scalar> Fan<F> {
    pub fn all(engine: &Clocked<F>, ways: &[Way<F>]) -> Vec<Self> {
        let listed = |way: &Way<F>| by_row(way.store(engine));
        let mut sources: Vec<usize> = ways.iter().filter(|way| listed(way)).map(|way| way.from).collect();
        sources.sort_unstable();
        sources.dedup();
        let fan = |from: usize| {
            let here = || ways.iter().enumerate().filter(move |(_, way)| way.from == from && listed(way));
            let delay = here().map(|(_, way)| way.delay).min().unwrap_or(0);
            let mut links = Vec::new();
            for (n, way) in here() {
                let Store::Csr(csr) = way.store(engine) else { continue };
                let plane = csr.planes() * LANES;
                let place = |j: u32| ((way.delay - delay) * plane) as u32 + j;
                links.extend(csr.cells().enumerate().map(|(slot, (i, j))| (i, place(j), n as u32, slot as u32)));
            }
            links.sort_unstable();
            let mut ends = vec![0; engine.cells()[from].size() + 1];
            links.iter().for_each(|link| ends[link.0 as usize + 1] += 1);
            (1..ends.len()).for_each(|i| ends[i] += ends[i - 1]);
            Fan {
                from,
                delay,
                reach: here().map(|(_, way)| way.delay - delay).max().unwrap_or(0),
                ends,
                at: links.iter().map(|link| link.1).collect(),
                w: Vec::new(),
                of: links.iter().map(|link| (link.2, link.3)).collect(),
            }
        };
        sources.into_iter().map(fan).collect()
    }

    /// Takes the weights as they are.
    pub fn weigh(&mut self, engine: &Clocked<F>, ways: &[Way<F>]) {
        let weights: Vec<(&[F], F)> = ways.iter().map(|way| (flat(way.store(engine).weights()), way.factor)).collect();
        self.w.clear();
        self.w.extend(self.of.iter().map(|&(way, slot)| weights[way as usize].1 * weights[way as usize].0[slot as usize]));
    }

    pub fn bytes(&self) -> usize {
        4 * (self.ends.capacity() + self.at.capacity()) + size_of::<F>() * self.w.capacity() + 8 * self.of.capacity()
    }
}

/// `∂L/∂x` of a population at the present step and those after it, `[step][block]`, zero beyond the trial.
pub(super) struct Recent<F> {
    pub width: usize,
    pub reach: usize,
    planes: Vec<Block<F>>,
    /// The plane of the present step.
    now: usize,
}

/// Steps taken before what is still needed is moved.
const SLACK: usize = 8;

impl<F: Scalar> Recent<F> {
    pub fn new(width: usize, reach: usize) -> Self {
        Recent { width, reach, planes: vec![Block::zero(); (reach + SLACK) * width], now: SLACK }
    }

    pub fn begin(&mut self) {
        self.now = SLACK;
        self.planes[SLACK * self.width..].fill(Block::zero());
    }

    /// Goes one step back.
    #[inline(always)]
    pub fn push(&mut self, row: impl Iterator<Item = Block<F>>) {
        if self.now == 0 {
            self.now = SLACK;
            self.planes.copy_within(..self.reach * self.width, SLACK * self.width);
        }
        self.now -= 1;
        self.planes[self.now * self.width..].iter_mut().zip(row).for_each(|(to, from)| *to = from);
    }

    pub fn all(&self) -> &[F] {
        flat(&self.planes[self.now * self.width..])
    }

    pub fn bytes(&self) -> usize {
        size_of::<Block<F>>() * self.planes.capacity()
    }
}
