//! Synapse stores: where the weights of a projection live, and the three things done with them.
//!
//! Two of the three have a form for graded events, each of which counts as often as its value says. Spikes do not pay for it.

mod bits;
mod conv2d;
mod csr;
mod dense;
mod pool;
mod rows;
mod window;

pub use bits::Bits;
pub use conv2d::Conv2d;
pub use csr::{Csr, RewireError, Rewiring};
pub use dense::Dense;
pub use pool::SumPool2d;
pub use rows::{Row, Rows};

use crate::lanes::{Block, Isa, Kernel, Scalar, blocks, flat, flat_mut};
use snn_core::net::{Links, Projection};
use snn_core::{Raster, Value};
use std::ops::Range;

/// What an engine and a rule do with the weights `W` of a projection. Targets are taken a block of 64 at a time.
///
/// A store must give the same numbers as the dense matrix with its missing links zero; the law tests of this module hold every
/// store to it.
pub trait Synapses<F: Scalar> {
    /// Forward: `acc + Σ_{i ∈ events} W[i][block]`. Cost: events × links per row and block.
    fn deliver<I: Isa>(&self, block: usize, events: &[u32], acc: Block<F>) -> Block<F>;
    /// Forward, for graded events: `acc + Σ_k values[k]·W[events[k]][block]`. With all values 1 the same numbers as [`deliver`](Self::deliver).
    fn deliver_values<I: Isa>(&self, block: usize, events: &[u32], values: &[f64], acc: Block<F>) -> Block<F>;
    /// Backward: `Σ_l W[unit][l]·delta[l]` over the links of `unit` into the block.
    fn pull_back<I: Isa>(&self, block: usize, unit: u32, delta: &Block<F>) -> F;
    /// The same for many units, at the same or other steps: `errors[n] += factor·Σ_l W[units[n]][l]·delta[at[n]][l]`.
    #[inline(always)]
    fn pull_back_each<I: Isa>(&self, block: usize, units: &[u32], at: &[u32], delta: &[Block<F>], factor: F, errors: &mut [F]) {
        for ((error, &unit), &at) in errors.iter_mut().zip(units).zip(at) {
            *error += factor * self.pull_back::<I>(block, unit, &delta[at as usize]);
        }
    }
    /// Weight gradient on the existing links of source `i`: `grad[i][l] += Σ_t delta[t][l]` over the steps `t` in `times`. `grad` is laid
    /// out like [`Synapses::weights`]. Taking source by source reads and writes each gradient once. This and the rest does nothing in a store
    /// whose weights cannot be learned.
    fn correlate(&self, _block: usize, _i: usize, _times: &[u32], _delta: &[Block<F>], _grad: &mut [Block<F>]) {}
    /// The same for graded events: `grad[i][l] += Σ_k values[k]·delta[times[k]][l]`.
    fn correlate_values(&self, _block: usize, _i: usize, _times: &[u32], _values: &[f64], _delta: &[Block<F>], _grad: &mut [Block<F>]) {}
    /// The weights, in the store's own layout.
    fn weights(&self) -> &[Block<F>] {
        &[]
    }
    /// The weights, to change them.
    fn weights_mut(&mut self) -> &mut [Block<F>] {
        &mut []
    }
    /// Position of every weight of the description, in its order, within the flat weights. Links may share a weight.
    fn slots(&self) -> Vec<usize> {
        Vec::new()
    }
}

/// Any synapse store.
#[derive(Clone, Debug)]
pub enum Store<F> {
    /// Every source to every target.
    Dense(Dense<F>),
    /// Listed links only.
    Csr(Csr<F>),
    /// Windows over an image, with shared weights.
    Conv2d(Conv2d<F>),
    /// Sums over windows of an image.
    SumPool2d(SumPool2d<F>),
    /// Frozen: many links of one weight.
    Bits(Bits<F>),
    /// Frozen: whole rows, for huge populations.
    Rows(Rows<F>),
}

/// Links of one source into one block of targets, by their slots, targets ascending.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch<'a> {
    /// Positions within the flat weights.
    pub slots: Range<usize>,
    /// The target of each slot; `None`: the source has a whole row of 64, and slot `k` is lane `k % 64`.
    pub targets: Option<&'a [u32]>,
}

macro_rules! each {
    ($self:expr, $s:ident => $body:expr) => {
        match $self {
            Store::Dense($s) => $body,
            Store::Csr($s) => $body,
            Store::Conv2d($s) => $body,
            Store::SumPool2d($s) => $body,
            Store::Bits($s) => $body,
            Store::Rows($s) => $body,
        }
    };
}

impl<F: Scalar> Store<F> {
    /// Lowers the links and weights of a projection between groups of these sizes.
    pub fn new(projection: &Projection, sources: usize, targets: usize) -> Self {
        let mut store = match &projection.links {
            Links::All => Store::Dense(Dense::new(sources, targets)),
            Links::Csr { ends, targets: list } => Store::Csr(Csr::new(ends, list, targets)),
            Links::Conv2d(conv) => Store::Conv2d(Conv2d::new(conv)),
            Links::SumPool2d(pool) => Store::SumPool2d(SumPool2d::new(pool)),
        };
        let count = projection.links.weights(sources, targets);
        store.set(projection.weights.iter(count).map(|w| F::of(f64::from(w))));
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

    /// The weights in the order of the description: one per slot, or one per link of a store without slots.
    pub fn values(&self) -> Vec<F> {
        match self {
            Store::Bits(s) => vec![s.weight(); s.links()],
            Store::Rows(s) => s.values(),
            _ => self.in_order(self.weights()),
        }
    }

    /// The store that runs a projection fastest if its weights never change.
    ///
    /// One weight and two links or more per source and block: bits. Fewer links than that, of any weights: rows. Else as [`Store::new`].
    pub fn freeze(projection: &Projection, sources: usize, targets: usize) -> Self {
        let links = match &projection.links {
            Links::All => sources * targets,
            Links::Csr { targets, .. } => targets.len(),
            Links::Conv2d(_) | Links::SumPool2d(_) => return Store::new(projection, sources, targets),
        };
        match &projection.weights {
            _ if links < 2 * sources * blocks(targets) => Store::Rows(Rows::new(projection, sources, targets)),
            Value::Shared(w) => Store::Bits(Bits::new(projection, F::of(f64::from(*w)), sources, targets)),
            Value::Each(_) => Store::new(projection, sources, targets),
        }
    }

    /// Forward, from whatever happened at step `t` of `events`: `acc + Σ_i S_i[t]·W[i][block]`.
    #[inline(always)]
    pub fn hear<I: Isa>(&self, block: usize, events: &Raster, t: usize, acc: Block<F>) -> Block<F> {
        match events.values_at(t) {
            [] => self.deliver::<I>(block, events.at(t), acc),
            values => I::apart(Values { store: self, block, events: events.at(t), values, acc }),
        }
    }

    /// Weight gradient of source `i` from its events at `times`, with their `values` if they are graded (else none).
    #[inline(always)]
    pub fn learn(&self, block: usize, i: usize, times: &[u32], values: &[f64], delta: &[Block<F>], grad: &mut [Block<F>]) {
        match values {
            [] => self.correlate(block, i, times, delta, grad),
            values => self.correlate_values(block, i, times, values, delta, grad),
        }
    }

    /// Number of links.
    pub fn links(&self) -> usize {
        each!(self, s => s.links())
    }

    /// Number of links of these sources, each counted as often as it is named.
    pub fn fan_out(&self, sources: &[u32]) -> usize {
        each!(self, s => sources.iter().map(|&i| s.fan_out(i)).sum())
    }

    /// Every link as `(source, target, index among the weights of [`values`](Self::values))`: source by source, targets ascending.
    pub fn triplets(&self) -> Vec<(usize, usize, usize)> {
        each!(self, s => s.triplets())
    }

    /// The slots of the links of source `i` into `block`: what a rule walks that keeps numbers of its own for every link. `None` where links
    /// share their weights.
    #[inline(always)]
    pub fn stretch(&self, block: usize, i: u32) -> Option<Stretch<'_>> {
        match self {
            Store::Dense(s) => Some(Stretch { slots: s.row(block, i), targets: None }),
            Store::Csr(s) => {
                let slots = s.row(block, i);
                Some(Stretch { targets: Some(s.targets_of(slots.clone())), slots })
            }
            _ => None,
        }
    }

    /// Whether learning leaves the weights as they are: their gradient is always zero.
    pub fn frozen(&self) -> bool {
        matches!(self, Store::SumPool2d(_) | Store::Bits(_) | Store::Rows(_))
    }
}

/// [`Synapses::deliver_values`], away from the loop over spikes.
struct Values<'a, F> {
    store: &'a Store<F>,
    block: usize,
    events: &'a [u32],
    values: &'a [f64],
    acc: Block<F>,
}

impl<F: Scalar> Kernel for Values<'_, F> {
    type Number = F;
    type Out = Block<F>;

    #[inline(always)]
    fn run<I: Isa>(self) -> Block<F> {
        self.store.deliver_values::<I>(self.block, self.events, self.values, self.acc)
    }
}

impl<F: Scalar> Synapses<F> for Store<F> {
    #[inline(always)]
    fn deliver<I: Isa>(&self, block: usize, events: &[u32], acc: Block<F>) -> Block<F> {
        each!(self, s => s.deliver::<I>(block, events, acc))
    }
    #[inline(always)]
    fn deliver_values<I: Isa>(&self, block: usize, events: &[u32], values: &[f64], acc: Block<F>) -> Block<F> {
        each!(self, s => s.deliver_values::<I>(block, events, values, acc))
    }
    #[inline(always)]
    fn pull_back<I: Isa>(&self, block: usize, unit: u32, delta: &Block<F>) -> F {
        each!(self, s => s.pull_back::<I>(block, unit, delta))
    }
    #[inline(always)]
    fn pull_back_each<I: Isa>(&self, block: usize, units: &[u32], at: &[u32], delta: &[Block<F>], factor: F, errors: &mut [F]) {
        each!(self, s => s.pull_back_each::<I>(block, units, at, delta, factor, errors));
    }
    #[inline(always)]
    fn correlate(&self, block: usize, i: usize, times: &[u32], delta: &[Block<F>], grad: &mut [Block<F>]) {
        each!(self, s => s.correlate(block, i, times, delta, grad))
    }
    #[inline(always)]
    fn correlate_values(&self, block: usize, i: usize, times: &[u32], values: &[f64], delta: &[Block<F>], grad: &mut [Block<F>]) {
        each!(self, s => s.correlate_values(block, i, times, values, delta, grad))
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
    use snn_core::net;

    /// Every link as `(source, target, weight)`, source by source, targets ascending, from the definition.
    type Triplets = Vec<(usize, usize, usize)>;

    /// Every source to every target, or some of them.
    fn listed() -> impl Strategy<Value = (Links, Triplets, usize, usize)> {
        (1usize..9, 1usize..150).prop_flat_map(|(n, m)| {
            let mask = prop::collection::vec(prop::bool::weighted(0.3), n * m);
            (any::<bool>(), mask).prop_map(move |(all, mask)| {
                let pairs: Vec<_> = (0..n * m).filter(|&k| all || mask[k]).map(|k| (k / m, k % m)).collect();
                let ends = (0..=n).map(|i| pairs.iter().filter(|pair| pair.0 < i).count() as u32).collect();
                let targets = pairs.iter().map(|pair| pair.1 as u32).collect();
                let links = if all { Links::All } else { Links::Csr { ends, targets } };
                (links, pairs.into_iter().enumerate().map(|(k, (i, j))| (i, j, k)).collect(), n, m)
            })
        })
    }

    /// The definition of a convolution, one loop for each of its indices.
    fn convolution(conv: &net::Conv2d) -> Triplets {
        let ((oh, ow), (kh, kw)) = (conv.output(), conv.kernel);
        let (per_in, per_out) = (conv.channels_in / conv.groups, conv.channels_out / conv.groups);
        let mut links = Vec::new();
        for o in 0..conv.channels_out {
            for y in 0..oh {
                for x in 0..ow {
                    for c in 0..per_in {
                        for i in 0..kh {
                            for j in 0..kw {
                                let channel = o / per_out * per_in + c;
                                let row = (conv.stride.0 * y + conv.dilation.0 * i).checked_sub(conv.padding.0);
                                let column = (conv.stride.1 * x + conv.dilation.1 * j).checked_sub(conv.padding.1);
                                let (Some(row), Some(column)) = (row, column) else { continue };
                                if row < conv.height && column < conv.width {
                                    let source = (channel * conv.height + row) * conv.width + column;
                                    links.push((source, (o * oh + y) * ow + x, ((o * per_in + c) * kh + i) * kw + j));
                                }
                            }
                        }
                    }
                }
            }
        }
        links.sort_unstable();
        links
    }

    fn windows() -> impl Strategy<Value = (Links, Triplets, usize, usize)> {
        let channels = (1usize..4, 1usize..4, 1usize..3);
        let pair = |least: usize, end: usize| (least..end, least..end);
        let window = (pair(1, 5), pair(1, 4), pair(0, 3), pair(1, 3));
        let fits = |conv: &net::Conv2d| conv.targets() > 0;
        let conv = (channels, pair(1, 12), window).prop_map(|((c, o, groups), (height, width), (kernel, stride, padding, dilation))| {
            net::Conv2d::new(groups * c, height, width, groups * o, kernel)
                .stride(stride)
                .padding(padding)
                .dilation(dilation)
                .groups(groups)
        });
        (any::<bool>(), conv.prop_filter("no window fits", fits)).prop_filter_map("no window fits", move |(pool, conv)| {
            let (links, window) = if pool {
                let pool =
                    net::SumPool2d::new(conv.channels_in, conv.height, conv.width, conv.kernel).stride(conv.stride).padding(conv.padding);
                (Links::SumPool2d(pool), pool.depthwise())
            } else {
                (Links::Conv2d(conv), conv)
            };
            let triplets = convolution(&window).into_iter().map(|(i, j, k)| (i, j, if pool { 0 } else { k })).collect();
            fits(&window).then_some((links, triplets, window.sources(), window.targets()))
        })
    }

    /// A projection of any kind, its links from the definition, some events and errors.
    fn cases() -> impl Strategy<Value = (Projection, Triplets, usize, usize, Vec<u32>, Vec<f64>)> {
        prop_oneof![listed(), windows()].prop_flat_map(|(links, triplets, n, m)| {
            let weights = prop::collection::vec(-1.0f32..1.0, links.weights(n, m));
            let events = prop::sample::subsequence((0..n as u32).collect::<Vec<_>>(), 0..=n);
            (weights, events, prop::collection::vec(-1.0f64..1.0, m)).prop_map(move |(weights, events, delta)| {
                let (links, weights) = (links.clone(), weights.into());
                let projection = Projection {
                    from: "a".into(),
                    to: "b".into(),
                    port: None,
                    delay: 0.0.into(),
                    fixed: false,
                    tied: None,
                    links,
                    weights,
                };
                (projection, triplets.clone(), n, m, events, delta)
            })
        })
    }

    proptest! {
        #[test]
        fn every_store_is_its_dense_matrix((p, links, n, m, events, delta) in cases()) {
            let store = Store::<f64>::new(&p, n, m);
            let values: Vec<f64> = events.iter().map(|&i| (f64::from(i) * 7.3 + 1.0).sin()).collect();
            prop_assert_eq!(store.links(), links.len());
            prop_assert_eq!(&store.triplets(), &links);
            prop_assert_eq!(&p.links.triplets(n, m).collect::<Vec<_>>(), &links);
            for i in 0..n {
                prop_assert_eq!(store.fan_out(&[i as u32]), links.iter().filter(|link| link.0 == i).count());
            }
            // As rows, and with one weight for all as bits.
            let shared = Projection { weights: Value::Shared(0.5), ..p.clone() };
            let frozen = [(Store::Rows(Rows::new(&p, n, m)), &p), (Store::freeze(&p, n, m), &p), (Store::freeze(&shared, n, m), &shared)];
            let listed = matches!(p.links, Links::All | Links::Csr { .. });
            let bits = listed.then(|| (Store::Bits(Bits::new(&shared, 0.5, n, m)), &shared));
            for (frozen, p) in frozen.into_iter().chain(bits) {
                prop_assert_eq!(frozen.links(), links.len());
                let (triplets, values) = (frozen.triplets(), frozen.values());
                for (&(i, j, v), &(a, b, k)) in triplets.iter().zip(&links) {
                    prop_assert_eq!((i, j, values[v]), (a, b, f64::from(p.weights.at(k))));
                }
                let (plain, delta) = (Store::<f64>::new(p, n, m), Block::splat(0.25));
                for i in 0..n as u32 {
                    prop_assert_eq!(frozen.fan_out(&[i]), plain.fan_out(&[i]));
                }
                for b in 0..blocks(m) {
                    let near = |x: f64, y: f64| (x - y).abs() < 1e-12;
                    let (found, expected) = (frozen.deliver::<Portable>(b, &events, delta), plain.deliver::<Portable>(b, &events, delta));
                    prop_assert!((0..LANES).all(|l| b * LANES + l >= m || near(found[l], expected[l])));
                    let graded = |store: &Store<f64>| store.deliver_values::<Portable>(b, &events, &values, delta);
                    let (found, expected) = (graded(&frozen), graded(&plain));
                    prop_assert!((0..LANES).all(|l| b * LANES + l >= m || near(found[l], expected[l])));
                    let back = |store: &Store<f64>, i: u32| store.pull_back::<Portable>(b, i, &delta);
                    prop_assert!((0..n as u32).all(|i| near(back(&frozen, i), back(&plain, i))));
                }
            }
            // Block by block the stretches of a source list every link's slot and lane.
            let slots = store.slots();
            for (b, i) in (0..blocks(m)).flat_map(|b| (0..n).map(move |i| (b, i))) {
                let Some(Stretch { slots: range, targets }) = store.stretch(b, i as u32) else { continue };
                let expected = links.iter().filter(|link| link.0 == i && link.1 / LANES == b).map(|&(_, j, k)| (slots[k], j % LANES));
                let lane = |k: usize| targets.map_or(k, |targets| targets[k - range.start] as usize) % LANES;
                let found = range.clone().map(|k| (k, lane(k))).filter(|&(_, l)| b * LANES + l < m);
                prop_assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
            }
            let back: Vec<f32> = store.in_order(store.weights()).into_iter().map(|w| w as f32).collect();
            prop_assert_eq!(&back, p.weights.given());
            let mut w = vec![0.0; n * m];
            links.iter().for_each(|&(i, j, k)| w[i * m + j] = f64::from(p.weights.at(k)));
            if let Store::Csr(csr) = &store {
                // Row by row: the same numbers, to all blocks at once.
                let width = blocks(m);
                let (mut pushed, mut part) = (vec![Block::zero(); width], vec![Block::zero(); 1]);
                csr.push::<Portable>(&events, 0..width, &mut pushed);
                csr.push::<Portable>(&events, width - 1..width, &mut part);
                prop_assert_eq!(&pushed[width - 1], &part[0]);
                let mut graded = vec![Block::zero(); width];
                csr.push_values(&events, &values, 0..width, flat_mut(&mut graded));
                let mut grad = vec![Block::zero(); store.weights().len()];
                events.iter().zip(&values).for_each(|(&i, &x)| csr.scatter::<Portable>(i, x, &delta, &mut grad));
                let mut expected = vec![0.0; links.len()];
                for j in 0..m {
                    let heard = |value: &dyn Fn(usize) -> f64| -> f64 { (0..events.len()).map(|k| value(k) * w[events[k] as usize * m + j]).sum() };
                    prop_assert!((pushed[j / LANES][j % LANES] - heard(&|_| 1.0)).abs() < 1e-12);
                    prop_assert!((graded[j / LANES][j % LANES] - heard(&|k| values[k])).abs() < 1e-12);
                }
                for &(i, j, k) in &links {
                    expected[k] = events.iter().position(|&e| e as usize == i).map_or(0.0, |place| values[place] * delta[j]);
                }
                prop_assert_eq!(store.in_order(&grad), expected);
            }
            let mut grad = vec![Block::zero(); store.weights().len()];
            let mut of_values = grad.clone();
            for b in 0..blocks(m) {
                let lanes = |l: usize| (b * LANES + l < m).then_some(b * LANES + l);
                let d = Block(std::array::from_fn(|l| lanes(l).map_or(0.0, |j| delta[j])));
                let out = store.deliver::<Portable>(b, &events, Block::zero());
                for l in 0..LANES {
                    let expected: f64 = lanes(l).map_or(0.0, |j| events.iter().map(|&i| w[i as usize * m + j]).sum());
                    prop_assert!((out[l] - expected).abs() < 1e-12);
                }
                // Graded events count as their values say; all of value 1 are spikes, to the bit.
                let graded = store.deliver_values::<Portable>(b, &events, &values, Block::zero());
                for l in 0..LANES {
                    let sum = |j: usize| events.iter().zip(&values).map(|(&i, &x)| x * w[i as usize * m + j]).sum();
                    prop_assert!((graded[l] - lanes(l).map_or(0.0, sum)).abs() < 1e-12);
                }
                let ones = vec![1.0; events.len()];
                prop_assert_eq!(store.deliver_values::<Portable>(b, &events, &ones, Block::zero()).0.map(f64::to_bits), out.0.map(f64::to_bits));
                for i in 0..n {
                    let expected: f64 = (0..LANES).filter_map(lanes).map(|j| w[i * m + j] * delta[j]).sum();
                    prop_assert!((store.pull_back::<Portable>(b, i as u32, &d) - expected).abs() < 1e-12);
                }
                // Two steps, the error of the first twice that of the second: a source with an event hears both.
                let double = Block(d.0.map(|x| 2.0 * x));
                events.iter().for_each(|&i| store.correlate(b, i as usize, &[0, 1], &[double, d], &mut grad));
                for (&i, &x) in events.iter().zip(&values) {
                    store.correlate_values(b, i as usize, &[0, 1], &[x, -0.5], &[double, d], &mut of_values);
                }
            }
            // The gradient in description order: delta of the targets of the weight's links whose source had an event.
            let mut expected = vec![0.0; p.weights.given().len()];
            for &(_, j, k) in links.iter().filter(|link| !store.frozen() && events.contains(&(link.0 as u32))) {
                expected[k] += 2.0 * delta[j] + delta[j];
            }
            for (found, expected) in store.in_order(&grad).into_iter().zip(expected) {
                prop_assert!((found - expected).abs() < 1e-12, "{found} for {expected}");
            }
            let mut expected = vec![0.0; p.weights.given().len()];
            for &(i, j, k) in links.iter().filter(|_| !store.frozen()) {
                let x = events.iter().position(|&e| e as usize == i).map_or(0.25, |place| values[place]); // 2·0.25 − 0.5: nothing
                expected[k] += (2.0 * x - 0.5) * delta[j];
            }
            for (found, expected) in store.in_order(&of_values).into_iter().zip(expected) {
                prop_assert!((found - expected).abs() < 1e-12, "{found} for {expected}, graded");
            }
        }
    }
}
