//! Listed links on the way back: all links of a source in one row, whatever their delays, and the errors of the last steps in one window.

use super::backward::{Through, Way};
use snn_sparse::lanes::flat;
use snn_sparse::{Block, Clocked, Fan, Scalar, Store, Synapses};

/// Whether `links()[k]` are walked source by source, over all blocks of targets: then the error of a whole step is needed at once.
pub(super) fn by_row<F: Scalar>(engine: &Clocked<F>, k: usize) -> bool {
    matches!(engine.links()[k].store, Store::Csr(_)) && engine.links()[k].port.is_none() && !engine.has_image(k)
}

/// The same for the weights of a way.
pub(super) fn way_by_row<F: Scalar>(engine: &Clocked<F>, way: &Way<F>) -> bool {
    match &way.through {
        Through::Link(k) => by_row(engine, *k),
        Through::Own(store) => matches!(**store, Store::Csr(_)),
    }
}

/// Ways from a population to another that are walked by row, taken together.
pub(super) struct FanBack<F> {
    pub from: usize,
    pub fan: Fan<F>,
    /// The ways.
    ways: Vec<usize>,
}

impl<F: Scalar> FanBack<F> {
    pub fn all(engine: &Clocked<F>, ways: &[Way<F>]) -> Vec<Self> {
        let listed = |way: &Way<F>| way_by_row(engine, way);
        let mut sources: Vec<usize> = ways.iter().filter(|way| listed(way)).map(|way| way.from).collect();
        sources.sort_unstable();
        sources.dedup();
        let fan = |from: usize| {
            let here: Vec<usize> = (0..ways.len()).filter(|&n| ways[n].from == from && listed(&ways[n])).collect();
            let list = |&n: &usize| if let Store::Csr(csr) = ways[n].store(engine) { Some((ways[n].delay, csr)) } else { None };
            FanBack { from, fan: Fan::new(&here.iter().filter_map(list).collect::<Vec<_>>()), ways: here }
        };
        sources.into_iter().map(fan).collect()
    }

    /// Takes the weights as they are.
    pub fn weigh(&mut self, engine: &Clocked<F>, ways: &[Way<F>]) {
        let weights = |&n: &usize| (flat(ways[n].store(engine).weights()), ways[n].factor);
        self.fan.weigh(&self.ways.iter().map(weights).collect::<Vec<_>>());
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
