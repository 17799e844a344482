use super::Synapses;
use crate::lanes::{Block, Isa, LANES, Scalar, blocks, flat, flat_mut};
use snn_core::net::Links;
use std::ops::Range;

/// Listed links only, as compressed sparse rows: source by source, targets ascending. The links of source `i` into block `b` of targets are
/// `ends[i·blocks + b] .. ends[i·blocks + b + 1]`, so those into all blocks lie together.
///
/// An event is pushed to all its targets at once ([`push`](Self::push)), and finds its gradient at all of them ([`scatter`](Self::scatter)): a
/// short row is walked once and not looked up block by block, which would cost more than its links. Weights stand in the order of the
/// description.
///
/// Where a source has four links or more per block, a word of bits says which targets a block has, and an event is pushed block by block, sixteen
/// targets at once.
///
/// Memory: 8 bytes per link (`f32`), and 4 per source and block, or 12.
#[derive(Clone, Debug)]
pub struct Csr<F> {
    sources: usize,
    targets: usize,
    ends: Vec<u32>,
    target: Vec<u32>,
    mask: Vec<u64>,   // [source][block]: which lanes have a link; empty where links are few
    w: Vec<Block<F>>, // one weight per link, in the order of `target`, padded to whole blocks
}

impl<F: Scalar> Csr<F> {
    /// Weights zero on the links `row_ends`, `list`: source `i` reaches `list[row_ends[i]..row_ends[i + 1]]`.
    pub fn new(row_ends: &[u32], list: &[u32], targets: usize) -> Self {
        let sources = row_ends.len() - 1;
        let mut ends = vec![0];
        for row in row_ends.windows(2) {
            let links = &list[row[0] as usize..row[1] as usize];
            ends.extend((1..=blocks(targets)).map(|b| row[0] + links.partition_point(|&j| (j as usize) < b * LANES) as u32));
        }
        let mut csr = Csr { sources, targets, ends, target: list.to_vec(), mask: Vec::new(), w: vec![Block::zero(); blocks(list.len())] };
        csr.mask();
        csr
    }

    /// Finds which targets each block has, if that pays.
    fn mask(&mut self) {
        self.mask.clear();
        if self.links() >= 4 * self.sources * self.planes() && self.links() > 0 {
            let row =
                |ends: &[u32]| self.target[ends[0] as usize..ends[1] as usize].iter().fold(0, |mask, &j| mask | 1 << (j as usize % LANES));
            self.mask.extend(self.ends.windows(2).map(row));
        }
    }

    /// Number of links.
    pub fn links(&self) -> usize {
        self.target.len()
    }

    /// Number of sources.
    pub fn sources(&self) -> usize {
        self.sources
    }

    /// Number of targets.
    pub fn targets(&self) -> usize {
        self.targets
    }

    /// Number of blocks of targets.
    pub fn planes(&self) -> usize {
        blocks(self.targets)
    }

    /// Number of links of source `i`.
    pub fn fan_out(&self, i: u32) -> usize {
        self.whole(i).len()
    }

    /// Every link as `(source, target, index among the slots)`.
    pub fn triplets(&self) -> Vec<(usize, usize, usize)> {
        self.cells().enumerate().map(|(k, (i, j))| (i as usize, j as usize, k)).collect()
    }

    /// The links as a description lists them.
    pub fn description(&self) -> Links {
        let ends = self.ends.iter().step_by(blocks(self.targets)).copied().collect();
        Links::Csr { ends, targets: self.target.clone() }
    }

    /// Every link as `(source, target)`, in the order of the flat weights.
    ///
    /// ```
    /// let csr = snn_sparse::store::Csr::<f32>::new(&[0, 2, 3], &[0, 70, 1], 80);
    /// assert!(csr.cells().eq([(0, 0), (0, 70), (1, 1)]));
    /// ```
    pub fn cells(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        (0..self.sources as u32).flat_map(|i| self.target[self.whole(i)].iter().map(move |&j| (i, j)))
    }

    /// The slot of the link from source `i` to target `j`, if there is one. Cost: O(log links in the row).
    pub fn find(&self, i: u32, j: u32) -> Option<u32> {
        let row = self.row(j as usize / LANES, i);
        self.target[row.clone()].binary_search(&j).ok().map(|k| (row.start + k) as u32)
    }

    /// A store of listed links that have not been checked, all weights zero.
    ///
    /// # Errors
    /// [`RewireError::List`] if the lists are not rows of ascending targets between groups of these sizes.
    pub fn checked(row_ends: &[u32], list: &[u32], sources: usize, targets: usize) -> Result<Self, RewireError> {
        let bad = |why: &str| Err(RewireError::List { why: why.into(), sources, targets });
        if row_ends.len() != sources + 1 || row_ends[0] != 0 || row_ends.windows(2).any(|w| w[0] > w[1]) {
            return bad("`ends` must rise from 0, with one entry more than there are sources");
        }
        if row_ends[sources] as usize != list.len() {
            return bad("`ends` must end with the number of links");
        }
        for row in row_ends.windows(2).map(|w| &list[w[0] as usize..w[1] as usize]) {
            if row.windows(2).any(|w| w[0] >= w[1]) || row.last().is_some_and(|&j| j as usize >= targets) {
                return bad("the targets of a source must ascend without repeats and exist");
            }
        }
        Ok(Csr::new(row_ends, list, targets))
    }

    /// The links of source `i` into `block`, as slots.
    #[inline(always)]
    pub(super) fn row(&self, block: usize, i: u32) -> Range<usize> {
        self.part(i, block..block + 1)
    }

    /// The target of each of these slots.
    #[inline(always)]
    pub(super) fn targets_of(&self, slots: Range<usize>) -> &[u32] {
        &self.target[slots]
    }

    /// The links of source `i` into some blocks.
    #[inline(always)]
    fn part(&self, i: u32, part: Range<usize>) -> Range<usize> {
        let first = i as usize * blocks(self.targets);
        self.ends[first + part.start] as usize..self.ends[first + part.end] as usize
    }

    /// The links of source `i`.
    #[inline(always)]
    fn whole(&self, i: u32) -> Range<usize> {
        self.part(i, 0..blocks(self.targets))
    }

    /// Forward: `into_j += Σ_{i ∈ events} W_ij` for the targets in `part`, a range of blocks; `into` begins with the first of them.
    #[inline(always)]
    pub fn push<I: Isa>(&self, events: &[u32], part: Range<usize>, into: &mut [Block<F>]) {
        let w = flat(&self.w);
        if !self.mask.is_empty() {
            let into = &mut into[..part.len()];
            for &i in events {
                let first = i as usize * self.planes() + part.start;
                let rows = self.mask[first..].iter().zip(&self.ends[first..]);
                into.iter_mut().zip(rows).for_each(|(into, (&mask, &start))| F::add_spread::<I>(into, mask, &w[start as usize..]));
            }
            return;
        }
        let (first, into) = ((part.start * LANES) as u32, flat_mut(into));
        for &i in events {
            let row = self.part(i, part.clone());
            self.target[row.clone()].iter().zip(&w[row]).for_each(|(&j, &w)| into[(j - first) as usize] += w);
        }
    }

    /// The same for graded events: `into_j += Σ_k values[k]·W_ij` with `i = events[k]`.
    #[inline(always)]
    pub fn push_values(&self, events: &[u32], values: &[f64], part: Range<usize>, into: &mut [F]) {
        let (first, w) = ((part.start * LANES) as u32, flat(&self.w));
        for (&i, &x) in events.iter().zip(values) {
            let (x, row) = (F::of(x), self.part(i, part.clone()));
            self.target[row.clone()].iter().zip(&w[row]).for_each(|(&j, &w)| into[(j - first) as usize] += x * w);
        }
    }

    /// Weight gradient of an event of value `x` at source `i`: `grad_ij += x·delta_j` on its links. `grad` is laid out like the weights.
    #[inline(always)]
    pub fn scatter<I: Isa>(&self, i: u32, x: F, delta: &[F], grad: &mut [Block<F>]) {
        let row = self.whole(i);
        F::add_at::<I>(&mut flat_mut(grad)[row.clone()], x, &self.target[row], delta);
    }

    /// Removes the links in the slots `gone` and adds links `(source, target)`, as many as are given. New links have weight 0, kept links keep
    /// their weight to the bit. Slots move: carry whatever else is laid out like the weights over with [`Rewiring::carry`].
    /// [`Rewiring::placed`] goes by the order of `new`.
    ///
    /// Cost: O(links + sources · blocks + changes · log links), a few passes over 8 bytes per link: for once in a batch, not once in a
    /// step. Nothing is allocated once `work` has met a store of this size and as many changes.
    ///
    /// ```
    /// use snn_core::net::Links;
    /// use snn_sparse::store::{Csr, Rewiring};
    /// let mut csr = Csr::<f32>::new(&[0, 2, 3], &[0, 2, 1], 3);           // 0 -> 0, 0 -> 2, 1 -> 1
    /// let mut work = Rewiring::default();
    /// csr.relink([0], [(1, 2)], &mut work)?;                              // 0 -> 0 becomes 1 -> 2
    /// assert_eq!(csr.description(), Links::Csr { ends: vec![0, 1, 3], targets: vec![2, 1, 2] });
    /// assert_eq!((work.before(), work.placed()), (&[1, 2, u32::MAX][..], &[2][..]));
    /// # Ok::<(), snn_sparse::store::RewireError>(())
    /// ```
    ///
    /// # Errors
    /// If a slot, source or target is not there, a slot is named twice, or a link would then exist twice. Then nothing is changed.
    pub fn relink(
        &mut self,
        gone: impl IntoIterator<Item = u32>,
        new: impl IntoIterator<Item = (u32, u32)>,
        work: &mut Rewiring<F>,
    ) -> Result<(), RewireError> {
        work.gone.clear();
        work.gone.extend(gone);
        work.gone.sort_unstable();
        if let Some(pair) = work.gone.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(RewireError::Twice(pair[0]));
        }
        if let Some(&slot) = work.gone.last().filter(|&&slot| slot as usize >= self.links()) {
            return Err(RewireError::Slot { slot, links: self.links() });
        }
        work.new.clear();
        for (n, (from, to)) in new.into_iter().enumerate() {
            if from as usize >= self.sources || to as usize >= self.targets {
                return Err(RewireError::Outside { from, to, sources: self.sources, targets: self.targets });
            }
            work.new.push((from as usize * blocks(self.targets) + to as usize / LANES, to, n as u32));
        }
        work.new.sort_unstable();
        let double = |&(row, to, _): &(usize, u32, u32)| RewireError::Exists { from: (row / blocks(self.targets)) as u32, to };
        if let Some(pair) = work.new.windows(2).find(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1)) {
            return Err(double(&pair[1]));
        }
        for new in &work.new {
            let row = self.ends[new.0] as usize..self.ends[new.0 + 1] as usize;
            let found = self.target[row.clone()].binary_search(&new.1).map(|k| (row.start + k) as u32);
            if found.is_ok_and(|slot| work.gone.binary_search(&slot).is_err()) {
                return Err(double(new));
            }
        }
        self.merge(work);
        self.mask();
        work.carry(&mut self.w);
        Ok(())
    }

    /// Merges the links that stay with the new ones, both in order; leaves in `work` where each went.
    fn merge(&mut self, work: &mut Rewiring<F>) {
        let Rewiring { gone, new, before, placed, target, .. } = work;
        placed.clear();
        placed.resize(new.len(), 0);
        before.clear();
        target.clear();
        let (mut reached, mut cut) = (0, 0); // old links taken, of them gone
        let mut keep = |end: usize, before: &mut Vec<u32>, target: &mut Vec<u32>| {
            while reached < end {
                let stop = gone.get(cut).map_or(end, |&slot| end.min(slot as usize));
                before.extend(reached as u32..stop as u32);
                target.extend_from_slice(&self.target[reached..stop]);
                reached = stop;
                if reached < end {
                    (reached, cut) = (reached + 1, cut + 1);
                }
            }
        };
        for &(row, j, n) in new.iter() {
            let row = self.ends[row] as usize..self.ends[row + 1] as usize;
            keep(row.start + self.target[row].partition_point(|&other| other < j), before, target);
            placed[n as usize] = before.len() as u32;
            before.push(u32::MAX);
            target.push(j);
        }
        keep(self.target.len(), before, target);
        let (mut left, mut come) = (0, 0);
        for row in 0..self.ends.len() - 1 {
            let end = &mut self.ends[row + 1];
            left += gone[left..].iter().take_while(|&&slot| slot < *end).count();
            come += new[come..].iter().take_while(|link| link.0 == row).count();
            *end = *end - left as u32 + come as u32;
        }
        std::mem::swap(&mut self.target, target);
    }
}

/// Working memory of [`Csr::relink`], and where its last call moved the links. Memory: 12 bytes per link (`f32`), 28 per change.
#[derive(Clone, Debug, Default)]
pub struct Rewiring<F> {
    gone: Vec<u32>,
    new: Vec<(usize, u32, u32)>, // row, target, change
    before: Vec<u32>,
    placed: Vec<u32>,
    target: Vec<u32>,
    spare: Vec<Block<F>>,
}

impl<F: Scalar> Rewiring<F> {
    /// By slot: the slot the link had before; `u32::MAX` for a new link.
    pub fn before(&self) -> &[u32] {
        &self.before
    }
    /// By change: the slot of the new link.
    pub fn placed(&self) -> &[u32] {
        &self.placed
    }
    /// Moves anything laid out like the weights (an optimiser's moments, signs) as the links moved; new links get zero. Where the number
    /// of links has changed, the length changes with it.
    pub fn carry(&mut self, like_weights: &mut Vec<Block<F>>) {
        self.spare.clear();
        self.spare.resize(blocks(self.before.len()), Block::zero());
        let from = flat(like_weights);
        for (to, &slot) in flat_mut(&mut self.spare).iter_mut().zip(&self.before) {
            *to = from.get(slot as usize).copied().unwrap_or_default();
        }
        like_weights.clear();
        like_weights.extend_from_slice(&self.spare);
    }
}

/// Why links cannot be replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RewireError {
    /// No such link.
    #[error("slot {slot}: there are {links} links; name slots below {links}")]
    Slot {
        /// The slot.
        slot: u32,
        /// Links in the store.
        links: usize,
    },
    /// A link replaced twice.
    #[error("slot {0} is replaced twice; name it once")]
    Twice(u32),
    /// No such unit.
    #[error("link {from} -> {to}: there are {sources} sources and {targets} targets, counted from 0")]
    Outside {
        /// Source.
        from: u32,
        /// Target.
        to: u32,
        /// Sources of the store.
        sources: usize,
        /// Targets of the store.
        targets: usize,
    },
    /// A link twice.
    #[error("link {from} -> {to} exists already, or is made twice; choose a pair that has no link")]
    Exists {
        /// Source.
        from: u32,
        /// Target.
        to: u32,
    },
    /// Lists that are no links.
    #[error("{why} (listed links between {sources} sources and {targets} targets)")]
    List {
        /// What is wrong.
        why: String,
        /// Sources of the store.
        sources: usize,
        /// Targets of the store.
        targets: usize,
    },
    /// Not a list of links.
    #[error("projection `{from}` -> `{to}`: only listed links (csr) can be replaced")]
    Links {
        /// Source.
        from: String,
        /// Target.
        to: String,
    },
}

impl<F: Scalar> Synapses<F> for Csr<F> {
    #[inline(always)]
    fn deliver<I: Isa>(&self, block: usize, events: &[u32], mut acc: Block<F>) -> Block<F> {
        let w = flat(&self.w);
        for &i in events {
            for k in self.row(block, i) {
                acc[self.target[k] as usize % LANES] += w[k];
            }
        }
        acc
    }

    #[inline(always)]
    fn deliver_values<I: Isa>(&self, block: usize, events: &[u32], values: &[f64], mut acc: Block<F>) -> Block<F> {
        let w = flat(&self.w);
        for (&i, &x) in events.iter().zip(values) {
            let x = F::of(x);
            for k in self.row(block, i) {
                acc[self.target[k] as usize % LANES] += x * w[k];
            }
        }
        acc
    }

    #[inline(always)]
    fn pull_back<I: Isa>(&self, block: usize, unit: u32, delta: &Block<F>) -> F {
        let w = flat(&self.w);
        self.row(block, unit).map(|k| w[k] * delta[self.target[k] as usize % LANES]).sum()
    }

    #[inline(always)]
    fn correlate(&self, block: usize, i: usize, times: &[u32], delta: &[Block<F>], grad: &mut [Block<F>]) {
        let grad = flat_mut(grad);
        for k in self.row(block, i as u32) {
            let lane = self.target[k] as usize % LANES;
            grad[k] = times.iter().fold(grad[k], |sum, &t| sum + delta[t as usize][lane]);
        }
    }

    #[inline(always)]
    fn correlate_values(&self, block: usize, i: usize, times: &[u32], values: &[f64], delta: &[Block<F>], grad: &mut [Block<F>]) {
        let grad = flat_mut(grad);
        for k in self.row(block, i as u32) {
            let lane = self.target[k] as usize % LANES;
            grad[k] = times.iter().zip(values).fold(grad[k], |sum, (&t, &x)| sum + F::of(x) * delta[t as usize][lane]);
        }
    }

    fn weights(&self) -> &[Block<F>] {
        &self.w
    }
    fn weights_mut(&mut self) -> &mut [Block<F>] {
        &mut self.w
    }
    fn slots(&self) -> Vec<usize> {
        (0..self.links()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sprs::{CsMat, TriMat};
    use std::collections::BTreeMap;

    /// By slot: source, target, weight.
    type Model = BTreeMap<(u32, u32), f64>;

    fn sources_and_targets() -> impl Strategy<Value = (usize, usize)> {
        (1usize..7, 1usize..200)
    }

    /// A store of these links built anew.
    fn anew(model: &Model, n: usize, m: usize) -> Csr<f64> {
        let mut ends = vec![0u32; n + 1];
        model.keys().for_each(|&(i, _)| ends[i as usize + 1] += 1);
        (0..n).for_each(|i| ends[i + 1] += ends[i]);
        let list: Vec<u32> = model.keys().map(|&(_, j)| j).collect();
        let mut csr = Csr::new(&ends, &list, m);
        let slots = csr.slots();
        slots.into_iter().zip(model.values()).for_each(|(slot, &w)| flat_mut(&mut csr.w)[slot] = w);
        csr
    }

    fn matrix(entries: impl Iterator<Item = (usize, usize, f64)>, n: usize, m: usize) -> CsMat<f64> {
        let mut matrix = TriMat::new((n, m));
        entries.for_each(|(i, j, w)| matrix.add_triplet(i, j, w));
        matrix.to_csr()
    }

    proptest! {
        /// Links added and removed in any number: the store built anew, every cell is found where it is, and by sprs it is their matrix and its transpose.
        #[test]
        fn a_relinked_store_is_one_built_anew((n, m) in sources_and_targets(), seed in any::<u64>(), rounds in 1usize..6) {
            use rand::{RngExt, seq::SliceRandom};
            let mut rng = snn_core::Seed::new(seed).rng();
            let mut all: Vec<(u32, u32)> = (0..n as u32).flat_map(|i| (0..m as u32).map(move |j| (i, j))).collect();
            let (mut model, mut work) = (Model::new(), Rewiring::default());
            let mut csr = anew(&model, n, m);
            let mut moments = csr.w.clone();
            for round in 0..rounds {
                let p = rng.random::<f64>();
                let cells: Vec<_> = csr.cells().collect();
                let gone: Vec<u32> = (0..cells.len() as u32).filter(|_| rng.random_bool(p)).collect();
                model.retain(|pair, _| !gone.iter().any(|&slot| cells[slot as usize] == *pair));
                all.shuffle(&mut rng);
                let most = rng.random_range(0..=all.len());
                let new: Vec<_> = all.iter().filter(|pair| !model.contains_key(pair)).take(most).copied().collect();
                csr.relink(gone, new.clone(), &mut work).unwrap();
                work.carry(&mut moments);
                prop_assert_eq!(flat(&csr.w), flat(&moments));
                for (&pair, &slot) in new.iter().zip(work.placed()) {
                    let w = f64::from(slot) + 1000.0 * (1 + round) as f64;
                    flat_mut(&mut csr.w)[slot as usize] = w;
                    flat_mut(&mut moments)[slot as usize] = w;
                    model.insert(pair, w);
                }
                let fresh = anew(&model, n, m);
                prop_assert_eq!((&csr.ends, &csr.target, &csr.mask, &csr.w), (&fresh.ends, &fresh.target, &fresh.mask, &fresh.w));
                for (slot, (i, j)) in csr.cells().enumerate() {
                    prop_assert_eq!((csr.find(i, j), flat(&csr.w)[slot]), (Some(slot as u32), model[&(i, j)]));
                }
                prop_assert!(all.iter().all(|pair| csr.find(pair.0, pair.1).is_some() == model.contains_key(pair)));
                let Links::Csr { ends, targets } = csr.description() else { unreachable!() };
                let again = Csr::<f64>::checked(&ends, &targets, n, m).unwrap();
                prop_assert_eq!((&csr.ends, &csr.target), (&again.ends, &again.target));
                // `try_new` checks order, bounds and lengths.
                let index = |list: Vec<u32>| list.into_iter().map(|x| x as usize).collect::<Vec<_>>();
                let weights = csr.slots().into_iter().map(|slot| flat(&csr.w)[slot]).collect();
                let by_store = CsMat::try_new((n, m), index(ends), index(targets), weights).unwrap();
                let by_model = matrix(model.iter().map(|(&(i, j), &w)| (i as usize, j as usize, w)), n, m);
                prop_assert_eq!(&by_store, &by_model);
                let turned = matrix(csr.triplets().into_iter().map(|(i, j, slot)| (j, i, flat(&csr.w)[slot])), m, n);
                prop_assert_eq!(turned, by_model.transpose_into().to_csr());
            }
        }
    }

    #[test]
    fn lists_that_are_no_links_are_refused() {
        for (ends, list) in [
            (&[0, 1][..], &[0][..]),
            (&[1, 1, 1], &[0]),
            (&[0, 2, 1], &[0]),
            (&[0, 1, 1], &[0, 1]),
            (&[0, 2, 2], &[1, 1]),
            (&[0, 1, 1], &[3]),
        ] {
            assert!(matches!(Csr::<f32>::checked(ends, list, 2, 3), Err(RewireError::List { .. })), "{ends:?} {list:?}");
        }
    }

    #[test]
    fn mistakes_are_named_and_change_nothing() {
        let mut csr = Csr::<f32>::new(&[0, 2, 3], &[0, 70, 1], 80); // slots: 0 -> 0, 0 -> 70, 1 -> 1
        csr.w[0] = Block(std::array::from_fn(|l| if l < 3 { 1.0 + l as f32 } else { 0.0 }));
        let (before, mut work) = (csr.clone(), Rewiring::default());
        for (gone, new, expected) in [
            (vec![3], vec![(0, 5)], "slot 3: there are 3 links"),
            (vec![1, 1], vec![(0, 5), (0, 6)], "slot 1 is replaced twice"),
            (vec![1], vec![(2, 5)], "2 -> 5: there are 2 sources and 80 targets"),
            (vec![1], vec![(0, 80)], "0 -> 80: there are 2 sources and 80 targets"),
            (vec![2], vec![(0, 70)], "0 -> 70 exists already"),
            (vec![1, 2], vec![(1, 5), (1, 5)], "1 -> 5 exists already, or is made twice"),
        ] {
            let error = csr.relink(gone, new, &mut work).unwrap_err().to_string();
            assert!(error.contains(expected), "{error} lacks {expected}");
            assert_eq!((&csr.ends, &csr.target, &csr.w), (&before.ends, &before.target, &before.w));
        }
        // A pair that another change frees may be taken; a link may be replaced by itself, and then forgets its weight.
        csr.relink([0, 1, 2], [(1, 1), (0, 0), (0, 70)], &mut work).unwrap();
        assert_eq!((&csr.ends, &csr.target, csr.w[0]), (&before.ends, &before.target, Block::zero()));
    }

    #[test]
    fn memory_is_taken_once() {
        let mut csr = Csr::<f32>::new(&[0, 100, 200], &(0..100).chain(0..100).collect::<Vec<_>>(), 300);
        let mut work = Rewiring::default();
        let mut held = None;
        for round in 0..20u32 {
            csr.relink((0..10).map(|n| n * 20), (0..10).map(|n| (n % 2, 100 + 10 * round + n)), &mut work).unwrap();
            // The two lists of targets change places.
            let lists_of_targets = csr.target.capacity() + work.target.capacity();
            let lists = [work.gone.capacity(), work.new.capacity(), work.before.capacity(), work.placed.capacity(), work.spare.capacity()];
            assert_eq!(*held.get_or_insert((lists_of_targets, lists)), (lists_of_targets, lists), "round {round}");
        }
    }
}
