//! Synapse stores: where the weights of a projection live, and the three things done with them.

mod bits;
mod csr;
mod dense;
mod rows;

pub use bits::Bits;
pub use csr::Csr;
pub use dense::Dense;
pub use rows::{Row, Rows};

use crate::lanes::{Block, Isa, Scalar, blocks, flat, flat_mut};
use snn_core::Value;
use snn_core::net::{Links, Projection};

/// What an engine and a rule do with the weights `W` of a projection. Targets are taken a block of 64 at a time.
///
/// A store must give the same numbers as the dense matrix with its missing links zero; the law tests of this module hold every
/// store to it.
pub trait Synapses<F: Scalar> {
    /// Forward: `acc + Σ_{i ∈ events} W[i][block]`. Cost: events × links per row and block.
    fn deliver<I: Isa>(&self, block: usize, events: &[u32], acc: Block<F>) -> Block<F>;
    /// Backward: `Σ_l W[unit][l]·delta[l]` over the links of `unit` into the block.
    fn pull_back<I: Isa>(&self, block: usize, unit: u32, delta: &Block<F>) -> F;
    /// Weight gradient on the existing links of source `i`: `grad[i][l] += Σ_t delta[t][l]` over the steps `t` in `times`. `grad` is laid
    /// out like [`Synapses::weights`]. Taking source by source reads and writes each gradient once.
    fn correlate(&self, block: usize, i: usize, times: &[u32], delta: &[Block<F>], grad: &mut [Block<F>]);
    /// The weights, in the store's own layout.
    fn weights(&self) -> &[Block<F>];
    /// The weights, to change them.
    fn weights_mut(&mut self) -> &mut [Block<F>];
    /// Position of every link of the description, in its order, within the flat weights.
    fn slots(&self) -> Vec<usize>;
}

/// Any synapse store.
#[derive(Clone, Debug)]
pub enum Store<F> {
    /// Every source to every target.
    Dense(Dense<F>),
    /// Listed links only.
    Csr(Csr<F>),
    /// Frozen: many links of one weight.
    Bits(Bits<F>),
    /// Frozen: whole rows, for huge populations.
    Rows(Rows<F>, usize),
}

macro_rules! each {
    ($self:expr, $s:ident => $body:expr) => {
        match $self {
            Store::Dense($s) => $body,
            Store::Csr($s) => $body,
            Store::Bits($s) => $body,
            Store::Rows($s, _) => $body,
        }
    };
}

impl<F: Scalar> Store<F> {
    /// Lowers the links and weights of a projection between groups of these sizes.
    pub fn new(projection: &Projection, sources: usize, targets: usize) -> Self {
        let mut store = match &projection.links {
            Links::All => Store::Dense(Dense::new(sources, targets)),
            Links::Csr { ends, targets: list } => Store::Csr(Csr::new(ends, list, targets)),
        };
        let links = store.links();
        store.set(projection.weights.iter(links).map(|w| F::of(f64::from(w))));
        store
    }

    /// Sets the weights, given in the order of the description.
    pub fn set(&mut self, weights: impl IntoIterator<Item = F>) {
        let slots = self.slots();
        let to = flat_mut(self.weights_mut());
        slots.into_iter().zip(weights).for_each(|(slot, w)| to[slot] = w);
    }

    /// Anything laid out like the weights, in the order of the description.
    pub fn in_order(&self, like_weights: &[Block<F>]) -> Vec<F> {
        let from = flat(like_weights);
        self.slots().into_iter().map(|slot| from[slot]).collect()
    }

    /// The store that runs a projection fastest if its weights never change.
    ///
    /// One weight and two links or more per source and block: bits. Fewer links than that, of any weights: rows. Else as [`Store::new`].
    pub fn frozen(projection: &Projection, sources: usize, targets: usize) -> Self {
        let links = match &projection.links {
            Links::All => sources * targets,
            Links::Csr { targets, .. } => targets.len(),
        };
        match &projection.weights {
            _ if links < 2 * sources * blocks(targets) => Store::Rows(Rows::new(projection, targets), sources),
            Value::Shared(w) => Store::Bits(Bits::new(projection, F::of(f64::from(*w)), sources, targets)),
            Value::Each(_) => Store::new(projection, sources, targets),
        }
    }

    /// Number of links.
    pub fn links(&self) -> usize {
        match self {
            Store::Dense(s) => s.links(),
            Store::Csr(s) => s.links(),
            Store::Bits(s) => s.links(),
            Store::Rows(s, sources) => s.links(*sources),
        }
    }

    /// Number of links of source `i`.
    pub fn fan_out(&self, i: u32) -> usize {
        match self {
            Store::Dense(s) => s.fan_out(i),
            Store::Csr(s) => s.fan_out(i),
            Store::Bits(s) => s.fan_out(i),
            Store::Rows(s, _) => s.row(i as usize).len(),
        }
    }
}

impl<F: Scalar> Synapses<F> for Store<F> {
    #[inline(always)]
    fn deliver<I: Isa>(&self, block: usize, events: &[u32], acc: Block<F>) -> Block<F> {
        each!(self, s => s.deliver::<I>(block, events, acc))
    }
    #[inline(always)]
    fn pull_back<I: Isa>(&self, block: usize, unit: u32, delta: &Block<F>) -> F {
        each!(self, s => s.pull_back::<I>(block, unit, delta))
    }
    #[inline(always)]
    fn correlate(&self, block: usize, i: usize, times: &[u32], delta: &[Block<F>], grad: &mut [Block<F>]) {
        each!(self, s => s.correlate(block, i, times, delta, grad))
    }
    fn weights(&self) -> &[Block<F>] {
        each!(self, s => s.weights())
    }
    fn weights_mut(&mut self) -> &mut [Block<F>] {
        each!(self, s => s.weights_mut())
    }
    fn slots(&self) -> Vec<usize> {
        each!(self, s => s.slots())
    }
}

#[cfg(test)]
mod laws {
    use super::*;
    use crate::lanes::{LANES, Portable, blocks};
    use proptest::prelude::*;

    /// A projection with random links, its dense matrix, some events and errors.
    fn cases() -> impl Strategy<Value = (Projection, Vec<f64>, usize, usize, Vec<u32>, Vec<f64>)> {
        (1usize..9, 1usize..150, 0u32..3).prop_flat_map(|(n, m, kind)| {
            let weights = prop::collection::vec(-1.0f32..1.0, n * m);
            let mask = prop::collection::vec(prop::bool::weighted(0.3), n * m);
            let events = prop::sample::subsequence((0..n as u32).collect::<Vec<_>>(), 0..=n);
            (weights, mask, events, prop::collection::vec(-1.0f64..1.0, m)).prop_map(move |(weights, mask, events, delta)| {
                let keep: Vec<bool> = mask.into_iter().map(|k| kind == 0 || k).collect();
                let matrix = (0..n * m).map(|k| if keep[k] { f64::from(weights[k]) } else { 0.0 }).collect();
                let links = if kind == 0 {
                    Links::All
                } else {
                    let row = |i: usize| (0..m as u32).filter(|&j| keep[i * m + j as usize]).collect::<Vec<_>>();
                    let mut ends = vec![0];
                    ends.extend((0..n).scan(0, |e, i| {
                        *e += row(i).len() as u32;
                        Some(*e)
                    }));
                    Links::Csr { ends, targets: (0..n).flat_map(row).collect() }
                };
                let weights = (0..n * m).filter(|&k| keep[k]).map(|k| weights[k]).collect::<Vec<_>>().into();
                let projection = Projection { from: "a".into(), to: "b".into(), delay: 0.0.into(), links, weights };
                (projection, matrix, n, m, events, delta)
            })
        })
    }

    proptest! {
        #[test]
        fn every_store_is_its_dense_matrix((p, w, n, m, events, delta) in cases()) {
            let store = Store::<f64>::new(&p, n, m);
            prop_assert_eq!(store.links(), p.weights.given().len());
            let pairs: Vec<_> = p.links.pairs(n, m).collect();
            let shared = Projection { weights: Value::Shared(0.5), ..p.clone() };
            let shared_w: Vec<f64> = (0..n * m).map(|k| if pairs.contains(&(k / m, k % m)) { 0.5 } else { 0.0 }).collect();
            let frozen = [
                (Store::Rows(Rows::new(&p, m), n), &w),
                (Store::Rows(Rows::new(&shared, m), n), &shared_w),
                (Store::Bits(Bits::new(&shared, 0.5, n, m)), &shared_w),
                (Store::frozen(&p, n, m), &w),
                (Store::frozen(&shared, n, m), &shared_w),
            ];
            for (frozen, w) in &frozen {
                prop_assert_eq!(frozen.links(), pairs.len());
                for i in 0..n {
                    prop_assert_eq!(frozen.fan_out(i as u32), pairs.iter().filter(|p| p.0 == i).count());
                }
                for b in 0..blocks(m) {
                    let lanes = |l: usize| (b * LANES + l < m).then_some(b * LANES + l);
                    let d = Block(std::array::from_fn(|l| lanes(l).map_or(0.0, |j| delta[j])));
                    let out = frozen.deliver::<Portable>(b, &events, Block::zero());
                    for l in 0..LANES {
                        let expected: f64 = lanes(l).map_or(0.0, |j| events.iter().map(|&i| w[i as usize * m + j]).sum());
                        prop_assert!((out[l] - expected).abs() < 1e-12);
                    }
                    for i in 0..n {
                        let expected: f64 = (0..LANES).filter_map(lanes).map(|j| w[i * m + j] * delta[j]).sum();
                        prop_assert!((frozen.pull_back::<Portable>(b, i as u32, &d) - expected).abs() < 1e-12);
                    }
                }
            }
            let back: Vec<f32> = store.in_order(store.weights()).into_iter().map(|w| w as f32).collect();
            prop_assert_eq!(&back, p.weights.given());
            let mut grad = vec![Block::zero(); store.weights().len()];
            for b in 0..blocks(m) {
                let lanes = |l: usize| (b * LANES + l < m).then_some(b * LANES + l);
                let d = Block(std::array::from_fn(|l| lanes(l).map_or(0.0, |j| delta[j])));
                let out = store.deliver::<Portable>(b, &events, Block::zero());
                for l in 0..LANES {
                    let expected: f64 = lanes(l).map_or(0.0, |j| events.iter().map(|&i| w[i as usize * m + j]).sum());
                    prop_assert!((out[l] - expected).abs() < 1e-12);
                }
                for i in 0..n {
                    let expected: f64 = (0..LANES).filter_map(lanes).map(|j| w[i * m + j] * delta[j]).sum();
                    prop_assert!((store.pull_back::<Portable>(b, i as u32, &d) - expected).abs() < 1e-12);
                }
                // Two steps, the error of the first twice that of the second: a source with an event hears both.
                let double = Block(d.0.map(|x| 2.0 * x));
                events.iter().for_each(|&i| store.correlate(b, i as usize, &[0, 1], &[double, d], &mut grad));
            }
            // The gradient in description order: delta of the target where the source had an event.
            let mut expected = Vec::new();
            for i in 0..n as u32 {
                let row: Vec<usize> = match &p.links {
                    Links::All => (0..m).collect(),
                    Links::Csr { ends, targets } => targets[ends[i as usize] as usize..ends[i as usize + 1] as usize].iter().map(|&j| j as usize).collect(),
                };
                expected.extend(row.into_iter().map(|j| if events.contains(&i) { 2.0 * delta[j] + delta[j] } else { 0.0 }));
            }
            prop_assert_eq!(store.in_order(&grad), expected);
        }
    }
}
