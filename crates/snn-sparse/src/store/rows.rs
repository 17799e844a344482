use super::Synapses;
use crate::lanes::{Block, Isa, LANES, Scalar};
use snn_core::net::{Links, Projection};
use snn_core::{Real, Value};
use std::ops::Range;

/// The links of each source as one row of targets, in the order of the description: what an engine walks that pushes a spike to all its
/// targets at once. The weights cannot be trained here; one weight for all links is kept as one number.
///
/// Memory: 4 bytes per link and 4 per source, and a weight per link unless it is shared; links from all to all cost nothing.
#[derive(Clone, Debug)]
pub struct Rows<F> {
    sources: usize,
    all: usize,        // targets of every source, if there are no rows
    ends: Vec<u32>,    // row boundaries
    targets: Vec<u32>, // ascending in each row
    weights: Value<F>,
}

/// The links of one source, or a stretch of them.
pub enum Row<'a, F> {
    /// Targets from `.0` on, with a weight each.
    All(u32, &'a [F]),
    /// The targets of a range, with the same weight.
    AllShared(Range<u32>, F),
    /// Listed targets, with a weight each.
    Listed(&'a [u32], &'a [F]),
    /// Listed targets, with the same weight.
    Shared(&'a [u32], F),
}

impl<F: Real> Rows<F> {
    /// The rows of a projection between groups of these sizes. Links that share weights are listed one by one.
    pub fn new(projection: &Projection, sources: usize, targets: usize) -> Self {
        let weights = &projection.weights;
        let number = |w: f32| F::of(f64::from(w));
        let same = || match weights {
            Value::Shared(w) => Value::Shared(number(*w)),
            Value::Each(list) => Value::Each(list.iter().map(|&w| number(w)).collect()),
        };
        match &projection.links {
            Links::All => Rows { sources, all: targets, ends: Vec::new(), targets: Vec::new(), weights: same() },
            Links::Csr { ends, targets: list } => Rows { sources, all: 0, ends: ends.clone(), targets: list.clone(), weights: same() },
            windows => {
                let (mut ends, mut list, mut each) = (vec![0; sources + 1], Vec::new(), Vec::new());
                for (i, j, k) in windows.triplets(sources, targets) {
                    ends[i + 1] += 1;
                    list.push(j as u32);
                    each.push(number(weights.at(k)));
                }
                (0..sources).for_each(|i| ends[i + 1] += ends[i]);
                Rows { sources, all: 0, ends, targets: list, weights: Value::Each(each) }
            }
        }
    }

    /// Number of links.
    pub fn links(&self) -> usize {
        self.all * self.sources + self.targets.len()
    }

    /// Number of links of source `i`.
    pub fn fan_out(&self, i: u32) -> usize {
        self.row(i as usize).len()
    }

    /// The weight of every link.
    pub fn values(&self) -> Vec<F> {
        self.weights.iter(self.links()).collect()
    }

    /// Every link as `(source, target, its number)`.
    pub fn triplets(&self) -> Vec<(usize, usize, usize)> {
        let mut list = Vec::with_capacity(self.links());
        (0..self.sources).for_each(|i| self.row(i).each(|j, _| list.push((i, j as usize, list.len()))));
        list
    }

    /// The links of source `i`.
    #[inline(always)]
    pub fn row(&self, i: usize) -> Row<'_, F> {
        let range = if self.ends.is_empty() { i * self.all..(i + 1) * self.all } else { self.ends[i] as usize..self.ends[i + 1] as usize };
        match (&self.weights, self.ends.is_empty()) {
            (Value::Shared(w), true) => Row::AllShared(0..self.all as u32, *w),
            (Value::Shared(w), false) => Row::Shared(&self.targets[range], *w),
            (Value::Each(list), true) => Row::All(0, &list[range]),
            (Value::Each(list), false) => Row::Listed(&self.targets[range.clone()], &list[range]),
        }
    }
}

impl<F: Real> Row<'_, F> {
    /// Number of links.
    pub fn len(&self) -> usize {
        match self {
            Row::All(_, weights) => weights.len(),
            Row::AllShared(targets, _) => targets.len(),
            Row::Listed(targets, _) | Row::Shared(targets, _) => targets.len(),
        }
    }

    /// Whether there are no links.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The links to targets in some blocks of 64.
    #[inline(always)]
    pub fn within(&self, blocks: Range<usize>) -> Row<'_, F> {
        let (first, end) = ((blocks.start * LANES) as u32, (blocks.end * LANES) as u32);
        // A search through a row that is in no cache costs more than a short row: none for what begins at the first block or ends the row.
        let listed = |targets: &[u32]| {
            let from = if first == 0 { 0 } else { targets.partition_point(|&j| j < first) };
            let whole = targets.last().is_none_or(|&j| j < end);
            from..if whole { targets.len() } else { targets.partition_point(|&j| j < end) }
        };
        match self {
            Row::All(_, weights) => Row::All(first, &weights[first as usize..weights.len().min(end as usize)]),
            Row::AllShared(all, w) => Row::AllShared(first..all.end.min(end), *w),
            Row::Listed(targets, weights) => Row::Listed(&targets[listed(targets)], &weights[listed(targets)]),
            Row::Shared(targets, w) => Row::Shared(&targets[listed(targets)], *w),
        }
    }

    /// Calls `link(target, weight)` for every link, targets ascending.
    #[inline(always)]
    pub fn each(&self, mut link: impl FnMut(u32, F)) {
        match self {
            Row::All(first, weights) => (*first..).zip(*weights).for_each(|(j, &w)| link(j, w)),
            Row::AllShared(targets, w) => targets.clone().for_each(|j| link(j, *w)),
            Row::Listed(targets, weights) => targets.iter().zip(*weights).for_each(|(&j, &w)| link(j, w)),
            Row::Shared(targets, w) => targets.iter().for_each(|&j| link(j, *w)),
        }
    }
}

impl<F: Scalar> Rows<F> {
    /// Delivers `events` to some blocks of targets.
    #[inline(always)]
    pub(crate) fn push(&self, events: &[u32], blocks: Range<usize>, into: &mut [F]) {
        let first = blocks.start * LANES;
        for &i in events {
            self.row(i as usize).within(blocks.clone()).each(|j, w| into[j as usize - first] += w);
        }
    }
}

impl<F: Scalar> Rows<F> {
    /// As [`push`](Self::push), for graded events.
    #[inline(always)]
    pub(crate) fn push_values(&self, events: &[u32], values: &[f64], blocks: Range<usize>, into: &mut [F]) {
        let first = blocks.start * LANES;
        for (&i, &x) in events.iter().zip(values) {
            let x = F::of(x);
            self.row(i as usize).within(blocks.clone()).each(|j, w| into[j as usize - first] += x * w);
        }
    }
}

/// For the law that every store is its matrix, and for rules that look through frozen links; engines walk whole rows.
impl<F: Scalar> Synapses<F> for Rows<F> {
    #[inline(always)]
    fn deliver<I: Isa>(&self, block: usize, events: &[u32], mut acc: Block<F>) -> Block<F> {
        for &i in events {
            self.row(i as usize).within(block..block + 1).each(|j, w| acc[j as usize % LANES] += w);
        }
        acc
    }

    #[inline(always)]
    fn deliver_values<I: Isa>(&self, block: usize, events: &[u32], values: &[f64], mut acc: Block<F>) -> Block<F> {
        self.push_values(events, values, block..block + 1, &mut acc.0);
        acc
    }

    #[inline(always)]
    fn pull_back<I: Isa>(&self, block: usize, unit: u32, delta: &Block<F>) -> F {
        let mut sum = F::default();
        self.row(unit as usize).within(block..block + 1).each(|j, w| sum += w * delta[j as usize % LANES]);
        sum
    }
}
