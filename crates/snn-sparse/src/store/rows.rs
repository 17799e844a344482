use snn_core::net::{Links, Projection};
use snn_core::{Real, Value};

/// The links of each source as one row of targets, in the order of the description: what an engine walks that pushes a spike to all its
/// targets at once. The weights cannot be trained here; one weight for all links is kept as one number.
///
/// Memory: 4 bytes per link and 4 per source, and a weight per link unless it is shared; links from all to all cost nothing.
#[derive(Clone, Debug)]
pub struct Rows<F> {
    all: usize,             // targets of every source, if there are no rows
    ends: Vec<u32>,         // row boundaries
    targets: Vec<u32>,      // ascending in each row
    weights: Value<F>,
}

/// One row: targets and their weights.
pub enum Row<'a, F> {
    /// Every target from 0 on, with a weight each.
    All(&'a [F]),
    /// Every one of this many targets, with the same weight.
    AllShared(usize, F),
    /// Listed targets, with a weight each.
    Listed(&'a [u32], &'a [F]),
    /// Listed targets, with the same weight.
    Shared(&'a [u32], F),
}

impl<F: Real> Rows<F> {
    /// The rows of a projection to `targets` units.
    pub fn new(projection: &Projection, targets: usize) -> Self {
        let weights = match &projection.weights {
            Value::Shared(w) => Value::Shared(F::of(f64::from(*w))),
            Value::Each(list) => Value::Each(list.iter().map(|&w| F::of(f64::from(w))).collect()),
        };
        match &projection.links {
            Links::All => Rows { all: targets, ends: Vec::new(), targets: Vec::new(), weights },
            Links::Csr { ends, targets: list } => Rows { all: 0, ends: ends.clone(), targets: list.clone(), weights },
        }
    }

    /// The links of source `i`.
    #[inline(always)]
    pub fn row(&self, i: usize) -> Row<'_, F> {
        let range = if self.ends.is_empty() { i * self.all..(i + 1) * self.all } else { self.ends[i] as usize..self.ends[i + 1] as usize };
        match (&self.weights, self.ends.is_empty()) {
            (Value::Shared(w), true) => Row::AllShared(self.all, *w),
            (Value::Shared(w), false) => Row::Shared(&self.targets[range], *w),
            (Value::Each(list), true) => Row::All(&list[range]),
            (Value::Each(list), false) => Row::Listed(&self.targets[range.clone()], &list[range]),
        }
    }
}

impl<F: Real> Row<'_, F> {
    /// Number of links.
    pub fn len(&self) -> usize {
        match self {
            Row::All(weights) => weights.len(),
            Row::AllShared(n, _) => *n,
            Row::Listed(targets, _) | Row::Shared(targets, _) => targets.len(),
        }
    }

    /// Whether there are no links.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `link(target, weight)` for every link, targets ascending.
    #[inline(always)]
    pub fn each(&self, mut link: impl FnMut(u32, F)) {
        match self {
            Row::All(weights) => (0..).zip(*weights).for_each(|(j, &w)| link(j, w)),
            Row::AllShared(n, w) => (0..*n as u32).for_each(|j| link(j, *w)),
            Row::Listed(targets, weights) => targets.iter().zip(*weights).for_each(|(&j, &w)| link(j, w)),
            Row::Shared(targets, w) => targets.iter().for_each(|&j| link(j, *w)),
        }
    }
}
