//! Listed links of several delays: all those of a source in one row.

use crate::bank::{Link, Source};
use crate::lanes::{Block, LANES, Scalar, flat, flat_mut};
use crate::store::{Csr, Store, Synapses};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Lists of links from one source to one population: one for each delay, of one projection or of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Source.
    pub from: Source,
    /// Indices of the lists among the links of the engine.
    pub links: Vec<usize>,
}

impl Family {
    /// The families of two lists or more among `incoming`, and the links of no family.
    pub(crate) fn all<F>(links: &[Link<F>], incoming: &[usize]) -> (Vec<Family>, Vec<usize>) {
        let listed = |&&k: &&usize| matches!(links[k].store, Store::Csr(_));
        let mut families: Vec<Family> = Vec::new();
        for &k in incoming.iter().filter(listed) {
            match families.iter_mut().find(|family| family.from == links[k].from) {
                Some(family) => family.links.push(k),
                None => families.push(Family { from: links[k].from, links: vec![k] }),
            }
        }
        families.retain(|family| family.links.len() > 1);
        let single = |k: &usize| families.iter().all(|family| !family.links.contains(k));
        let singles = incoming.iter().copied().filter(single).collect();
        (families, singles)
    }

    /// How much longer their longest delay is than their shortest.
    pub fn reach<F: Scalar>(&self, links: &[Link<F>]) -> usize {
        let delays = || self.links.iter().map(|&k| links[k].delay);
        delays().max().unwrap_or(0) - delays().min().unwrap_or(0)
    }

    /// Their links, source by source.
    pub(crate) fn fan<F: Scalar>(&self, links: &[Link<F>]) -> Fan<F> {
        let csr = |&k: &usize| if let Store::Csr(csr) = &links[k].store { Some((links[k].delay, csr)) } else { None };
        Fan::new(&self.links.iter().filter_map(csr).collect::<Vec<_>>())
    }

    /// Their weights, for [`Fan::weigh`].
    pub(crate) fn weights<'a, F: Scalar>(&self, links: &'a [Link<F>]) -> Vec<(&'a [F], F)> {
        self.links.iter().map(|&k| (flat(links[k].store.weights()), F::of(1.0))).collect()
    }
}

/// Lists of links that differ in delay, taken together: all links of a source lie in one row, whatever their delays. A row is walked once
/// for an event; list by list the walk from one to the next costs more than their few links.
///
/// Memory: 16 bytes per link (`f32`).
#[derive(Clone, Debug)]
pub struct Fan<F> {
    /// The shortest delay.
    pub delay: usize,
    /// How much longer the longest is.
    pub reach: usize,
    ends: Vec<u32>,
    places: Vec<u32>,
    weights: Vec<F>,
    of: Vec<(u32, u32)>, // the list, and the slot in it
}

impl<F: Scalar> Fan<F> {
    /// Lists with their delays, all between the same two groups; weights zero.
    pub fn new(lists: &[(usize, &Csr<F>)]) -> Self {
        let delay = lists.iter().map(|list| list.0).min().unwrap_or(0);
        let reach = lists.iter().map(|list| list.0 - delay).max().unwrap_or(0);
        let sources = lists.iter().map(|(_, csr)| csr.sources()).max().unwrap_or(0);
        let mut links = Vec::new();
        for (n, &(at, csr)) in lists.iter().enumerate() {
            let first = ((at - delay) * csr.planes() * LANES) as u32;
            links.extend(csr.cells().enumerate().map(|(slot, (i, j))| (i, first + j, n as u32, slot as u32)));
        }
        links.sort_unstable();
        let mut ends = vec![0; sources + 1];
        links.iter().for_each(|link| ends[link.0 as usize + 1] += 1);
        (1..ends.len()).for_each(|i| ends[i] += ends[i - 1]);
        let places = links.iter().map(|link| link.1).collect();
        Fan {
            delay,
            reach,
            ends,
            places,
            weights: vec![F::default(); links.len()],
            of: links.iter().map(|link| (link.2, link.3)).collect(),
        }
    }

    /// Takes the weights of every list, times a factor.
    pub fn weigh(&mut self, lists: &[(&[F], F)]) {
        let weight = |&(list, slot): &(u32, u32)| lists[list as usize].1 * lists[list as usize].0[slot as usize];
        self.weights.iter_mut().zip(&self.of).for_each(|(w, of)| *w = weight(of));
    }

    /// Sets the weight at `place` among [`weights`](Self::weights).
    pub(crate) fn set(&mut self, place: usize, w: F) {
        self.weights[place] = w;
    }

    /// The links of source `i`.
    #[inline(always)]
    pub fn row(&self, i: u32) -> Range<usize> {
        self.ends[i as usize] as usize..self.ends[i as usize + 1] as usize
    }

    /// By link: where its target stands in the planes of the steps from `delay` after an event on, `[step][block][lane]`.
    #[inline(always)]
    pub fn places(&self) -> &[u32] {
        &self.places
    }

    /// By link: its weight.
    #[inline(always)]
    pub fn weights(&self) -> &[F] {
        &self.weights
    }

    /// By link: the list it is in, and its slot there.
    pub fn of(&self) -> &[(u32, u32)] {
        &self.of
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        4 * (self.ends.capacity() + self.places.capacity()) + size_of::<F>() * self.weights.capacity() + 8 * self.of.capacity()
    }
}

/// What was pushed ahead of the present step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ahead<F> {
    planes: Vec<Block<F>>, // [step][block]
    now: usize,
}

/// Steps taken before what was pushed ahead is moved.
const SLACK: usize = 16;

impl<F: Scalar> Ahead<F> {
    pub(crate) fn clear(&mut self) {
        self.now = 0;
        self.planes.fill(Block::zero());
    }

    /// The planes of the next `steps` steps, and of the `reach` after them, each of `width` blocks.
    pub(crate) fn take(&mut self, steps: usize, reach: usize, width: usize) -> &mut [Block<F>] {
        let all = steps + reach;
        if self.planes.len() < (all + SLACK) * width {
            self.planes.resize((all + SLACK) * width, Block::zero());
        }
        if (self.now + all) * width > self.planes.len() {
            self.planes.copy_within(self.now * width..(self.now + reach) * width, 0);
            self.planes[reach * width..].fill(Block::zero());
            self.now = 0;
        }
        let first = self.now * width;
        self.now += steps;
        &mut self.planes[first..first + all * width]
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of::<Block<F>>() * self.planes.capacity()
    }
}

/// An event at source `i` of value `x`, pushed to all its targets: `planes` begin with the step `delay` after it.
#[inline(always)]
pub(crate) fn push<F: Scalar>(fan: &Fan<F>, i: u32, x: Option<F>, planes: &mut [Block<F>]) {
    let (row, into) = (fan.row(i), flat_mut(planes));
    let links = fan.places[row.clone()].iter().zip(&fan.weights[row]);
    match x {
        None => links.for_each(|(&j, &w)| into[j as usize] += w),
        Some(x) => links.for_each(|(&j, &w)| into[j as usize] += x * w),
    }
}

/// A number no other state of links and weights has.
pub(crate) fn fresh() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}
