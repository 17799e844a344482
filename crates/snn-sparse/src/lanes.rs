//! Blocks of 64 lanes: what kernels compute on.
//!
//! Kernels are plain Rust over [`Block`]s, compiled once per instruction set; only turning lanes into a bit mask needs intrinsics.
//! No path contracts a multiplication and an addition into one rounding, so all instruction sets give the same bits.

use crate::bank::{self, Cells};
use snn_core::net::Population;
use snn_core::{Fix, Real};
use std::mem::MaybeUninit;
use std::ops::{AddAssign, Index, IndexMut};

mod isa;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use isa::{Isa, Kernel, Portable, Simd};

/// Neurons per block: four AVX-512 registers of `f32`.
pub const LANES: usize = 64;

/// A number the engine computes with: `f32` in motion, `f64` in judgement.
pub trait Scalar: Real + AddAssign + Default + Send + Sync + std::fmt::Debug + std::iter::Sum + 'static {
    /// Lanes where `x > 0`, as bits.
    fn positive<I: Isa>(x: &Block<Self>) -> u64;
    /// Lanes where `|x| < reach`, as bits.
    fn within<I: Isa>(x: &Block<Self>, reach: Self) -> u64;
    /// See [`Block::dot`].
    fn dot<I: Isa>(a: &Block<Self>, b: &Block<Self>) -> Self;
    /// Four of them: the same bits.
    #[inline(always)]
    fn dots<I: Isa>(a: [&Block<Self>; 4], b: [&Block<Self>; 4]) -> [Self; 4] {
        std::array::from_fn(|k| Self::dot::<I>(a[k], b[k]))
    }
    /// `Σ_k w[k]·x[index[k]]`. Every sixteenth product goes to a sum of its own; these are added up as a tree of halves.
    ///
    /// # Panics
    /// If `w` is shorter than `index`, or an index lies outside `x`.
    fn dot_at<I: Isa>(w: &[Self], index: &[u32], x: &[Self]) -> Self;
    /// `y[k] += a·x[index[k]]` for every `k` below the shorter of `y` and `index`, product and sum rounded one after the other.
    ///
    /// # Panics
    /// If an index lies outside `x`.
    fn add_at<I: Isa>(y: &mut [Self], a: Self, index: &[u32], x: &[Self]);
    /// Adds `w`, one number for each set bit of `mask`, to these lanes, ascending.
    ///
    /// # Panics
    /// If there are fewer numbers than bits.
    fn add_spread<I: Isa>(into: &mut Block<Self>, mask: u64, w: &[Self]);
    /// See [`Entries::push`].
    fn push<I: Isa>(entries: &mut Entries<Self>, mask: u64, step: u32, first: u32, x: &Block<Self>);
    /// A count as a number.
    fn count(n: u32) -> Self;
    /// Runs `kernel` as it is compiled for `simd`. Only `f32` is in motion, so only its kernels are compiled for each instruction set: those of other
    /// numbers for the compiler's baseline, with the same bits.
    fn compiled<K: Kernel<Number = Self>>(simd: Simd, kernel: K) -> K::Out;
    /// Lowers a population for a time step of `dt` seconds. A method of the number so that the kernels of all models are compiled in this crate, not again
    /// in every crate that runs a network.
    fn lower(population: &Population, dt: f64) -> Box<dyn Cells<Self>>;
}

/// 64 numbers, aligned to a cache line.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub struct Block<F>(pub [F; LANES]);

impl<F: Scalar> Block<F> {
    /// All lanes `x`.
    #[inline(always)]
    pub fn splat(x: F) -> Self {
        Block([x; LANES])
    }

    /// All lanes zero.
    #[inline(always)]
    pub fn zero() -> Self {
        Self::splat(F::default())
    }

    /// Lane by lane `self + other`.
    #[inline(always)]
    pub fn plus(mut self, other: &Self) -> Self {
        for l in 0..LANES {
            self.0[l] += other.0[l];
        }
        self
    }

    /// Lane by lane `self + k·other`, product and sum rounded one after the other.
    #[inline(always)]
    pub fn plus_scaled(mut self, k: F, other: &Self) -> Self {
        for l in 0..LANES {
            self.0[l] += k * other.0[l];
        }
        self
    }

    /// `Σ self·other`, summed as a tree of halves, `x[l] + x[l + 32]` first: the same bits on every instruction set.
    #[inline(always)]
    pub fn dot<I: Isa>(&self, other: &Self) -> F {
        F::dot::<I>(self, other)
    }
}

/// Room for `N` blocks that are written before they are read: clearing it first would cost more than a step of a small population.
pub(crate) struct Room<F, const N: usize>([MaybeUninit<Block<F>>; N]);

impl<F: Scalar, const N: usize> Room<F, N> {
    pub(crate) const fn new() -> Self {
        Room([const { MaybeUninit::uninit() }; N])
    }

    /// Writes the first `count` blocks and gives them.
    ///
    /// # Panics
    /// If there is room for fewer.
    #[inline(always)]
    pub(crate) fn fill(&mut self, count: usize, mut block: impl FnMut(usize) -> Block<F>) -> &mut [Block<F>] {
        let room = &mut self.0[..count];
        for (k, place) in room.iter_mut().enumerate() {
            place.write(block(k));
        }
        // SAFETY: all of them have just been written, and `MaybeUninit` has the layout of what it holds.
        unsafe { std::slice::from_raw_parts_mut(room.as_mut_ptr().cast(), room.len()) }
    }
}

/// Adds the upper half to the lower.
#[inline(always)]
fn halve<F: Real, const N: usize, const M: usize>(x: &[F; N]) -> [F; M] {
    std::array::from_fn(|l| x[l] + x[l + M])
}

/// The dot product every instruction set must give.
#[inline(always)]
fn dot<F: Real>(a: &Block<F>, b: &Block<F>) -> F {
    let x: [F; LANES] = std::array::from_fn(|l| a.0[l] * b.0[l]);
    let x: [F; 8] = halve(&halve::<F, 32, 16>(&halve::<F, 64, 32>(&x)));
    let x: [F; 2] = halve(&halve::<F, 8, 4>(&x));
    x[0] + x[1]
}

/// [`Scalar::dot_at`], as every instruction set must give it.
#[inline(always)]
fn dot_at<F: Scalar>(w: &[F], index: &[u32], x: &[F]) -> F {
    let (mut sums, w) = ([F::default(); 16], &w[..index.len()]);
    let (w, index) = (w.as_chunks::<16>(), index.as_chunks::<16>());
    for (w, index) in w.0.iter().zip(index.0) {
        for n in 0..16 {
            sums[n] += w[n] * x[index[n] as usize];
        }
    }
    for (n, (&w, &j)) in w.1.iter().zip(index.1).enumerate() {
        sums[n] += w * x[j as usize];
    }
    let sums: [F; 4] = halve(&halve::<F, 16, 8>(&sums));
    (sums[0] + sums[2]) + (sums[1] + sums[3])
}

/// [`Scalar::add_at`], likewise.
#[inline(always)]
fn add_at<F: Scalar>(y: &mut [F], a: F, index: &[u32], x: &[F]) {
    y.iter_mut().zip(index).for_each(|(y, &j)| *y += a * x[j as usize]);
}

/// [`Scalar::add_spread`], likewise.
#[inline(always)]
fn add_spread<F: Scalar>(into: &mut Block<F>, mask: u64, w: &[F]) {
    bits(mask).zip(&w[..mask.count_ones() as usize]).for_each(|(l, &w)| into[l] += w);
}

impl<F> Index<usize> for Block<F> {
    type Output = F;
    #[inline(always)]
    fn index(&self, l: usize) -> &F {
        &self.0[l]
    }
}
impl<F> IndexMut<usize> for Block<F> {
    #[inline(always)]
    fn index_mut(&mut self, l: usize) -> &mut F {
        &mut self.0[l]
    }
}

/// Blocks needed for `n` units.
pub const fn blocks(n: usize) -> usize {
    n.div_ceil(LANES)
}

/// The lanes of `block` that are units of a group of `n`, as bits.
#[inline(always)]
pub fn valid_lanes(n: usize, block: usize) -> u64 {
    match n.saturating_sub(block * LANES) {
        rest if rest >= LANES => u64::MAX,
        rest => (1 << rest) - 1,
    }
}

/// The blocks as one flat list of numbers.
pub fn flat<F: Scalar>(blocks: &[Block<F>]) -> &[F] {
    // SAFETY: `Block<F>` is `repr(C)` around `[F; 64]`; its size is a multiple of its alignment for f32 and f64, so there is no padding.
    const { assert!(size_of::<Block<F>>() == LANES * size_of::<F>()) };
    unsafe { std::slice::from_raw_parts(blocks.as_ptr().cast(), blocks.len() * LANES) }
}

/// The blocks as one flat list of numbers, to write.
pub fn flat_mut<F: Scalar>(blocks: &mut [Block<F>]) -> &mut [F] {
    const { assert!(size_of::<Block<F>>() == LANES * size_of::<F>()) };
    // SAFETY: as in `flat`; the borrow is exclusive.
    unsafe { std::slice::from_raw_parts_mut(blocks.as_mut_ptr().cast(), blocks.len() * LANES) }
}

/// The set bits of `mask`, ascending.
#[inline(always)]
pub fn bits(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (mask != 0).then(|| {
            let l = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            l
        })
    })
}

/// Single lanes picked out of blocks, in the order in which they were met.
#[derive(Clone, Debug, Default)]
pub struct Entries<F> {
    /// Value of each.
    pub value: Vec<F>,
    /// Step of each.
    pub step: Vec<u32>,
    /// Unit of each.
    pub unit: Vec<u32>,
}

impl<F: Scalar> Entries<F> {
    /// Appends the lanes of `x` whose bit is set in `mask`, as units `first`, `first + 1`, … at `step`.
    #[inline(always)]
    pub fn push<I: Isa>(&mut self, mask: u64, step: u32, first: u32, x: &Block<F>) {
        F::push::<I>(self, mask, step, first, x);
    }

    #[inline(always)]
    fn push_each(&mut self, mask: u64, step: u32, first: u32, x: &Block<F>) {
        for l in bits(mask) {
            self.value.push(x[l]);
            self.step.push(step);
            self.unit.push(first + l as u32);
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.value.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.value.is_empty()
    }

    /// Forgets all, keeps the memory.
    pub fn clear(&mut self) {
        self.value.clear();
        self.step.clear();
        self.unit.clear();
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        size_of::<F>() * self.value.capacity() + 4 * (self.step.capacity() + self.unit.capacity())
    }
}

#[inline(always)]
fn mask(lane: impl Fn(usize) -> bool) -> u64 {
    (0..LANES).fold(0, |m, l| m | u64::from(lane(l)) << l)
}

impl Scalar for f32 {
    fn lower(population: &Population, dt: f64) -> Box<dyn Cells<f32>> {
        bank::lower(population, dt)
    }
    #[inline(always)]
    fn count(n: u32) -> f32 {
        n as i32 as f32 // signed: older instruction sets convert no others
    }
    #[inline(always)]
    fn positive<I: Isa>(x: &Block<f32>) -> u64 {
        I::positive(x)
    }
    #[inline(always)]
    fn within<I: Isa>(x: &Block<f32>, reach: f32) -> u64 {
        I::within(x, reach)
    }
    #[inline(always)]
    fn dot<I: Isa>(a: &Block<f32>, b: &Block<f32>) -> f32 {
        I::dot(a, b)
    }
    #[inline(always)]
    fn dots<I: Isa>(a: [&Block<f32>; 4], b: [&Block<f32>; 4]) -> [f32; 4] {
        I::dots(a, b)
    }
    #[inline(always)]
    fn dot_at<I: Isa>(w: &[f32], index: &[u32], x: &[f32]) -> f32 {
        I::dot_at(w, index, x)
    }
    #[inline(always)]
    fn add_at<I: Isa>(y: &mut [f32], a: f32, index: &[u32], x: &[f32]) {
        I::add_at(y, a, index, x);
    }
    #[inline(always)]
    fn add_spread<I: Isa>(into: &mut Block<f32>, mask: u64, w: &[f32]) {
        I::add_spread(into, mask, w);
    }
    #[inline(always)]
    fn push<I: Isa>(entries: &mut Entries<f32>, mask: u64, step: u32, first: u32, x: &Block<f32>) {
        I::push(entries, mask, step, first, x);
    }
    fn compiled<K: Kernel<Number = Self>>(simd: Simd, kernel: K) -> K::Out {
        match simd {
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512 => {
                assert!(x86::has_avx512(), "this processor has no AVX-512");
                // SAFETY: the features were just checked.
                unsafe { x86::avx512(kernel) }
            }
            #[cfg(target_arch = "x86_64")]
            Simd::Avx2 => {
                assert!(is_x86_feature_detected!("avx2"), "this processor has no AVX2");
                // SAFETY: the feature was just checked.
                unsafe { x86::avx2(kernel) }
            }
            _ => kernel.run::<Portable>(),
        }
    }
}

/// The plain form of every kernel, for numbers that have no vector registers of their own.
macro_rules! plain_scalar {
    (impl $([$($generic:tt)*])? for $F:ty, count $count:expr) => {
        impl $(<$($generic)*>)? Scalar for $F {
            fn lower(population: &Population, dt: f64) -> Box<dyn Cells<Self>> {
                bank::lower(population, dt)
            }
            #[inline(always)]
            fn positive<I: Isa>(x: &Block<Self>) -> u64 {
                mask(|l| x.0[l] > Self::default())
            }
            #[inline(always)]
            fn within<I: Isa>(x: &Block<Self>, reach: Self) -> u64 {
                mask(|l| x.0[l].abs() < reach)
            }
            #[inline(always)]
            fn dot<I: Isa>(a: &Block<Self>, b: &Block<Self>) -> Self {
                dot(a, b)
            }
            #[inline(always)]
            fn dot_at<I: Isa>(w: &[Self], index: &[u32], x: &[Self]) -> Self {
                dot_at(w, index, x)
            }
            #[inline(always)]
            fn add_at<I: Isa>(y: &mut [Self], a: Self, index: &[u32], x: &[Self]) {
                add_at(y, a, index, x);
            }
            #[inline(always)]
            fn add_spread<I: Isa>(into: &mut Block<Self>, mask: u64, w: &[Self]) {
                add_spread(into, mask, w);
            }
            #[inline(always)]
            fn push<I: Isa>(entries: &mut Entries<Self>, mask: u64, step: u32, first: u32, x: &Block<Self>) {
                entries.push_each(mask, step, first, x);
            }
            #[inline(always)]
            fn count(n: u32) -> Self {
                $count(n)
            }
            fn compiled<K: Kernel<Number = Self>>(_: Simd, kernel: K) -> K::Out {
                kernel.run::<Portable>()
            }
        }
    };
}
plain_scalar!(impl for f64, count f64::from);
plain_scalar!(impl [const FRAC: u32] for Fix<FRAC>, count |n: u32| Fix::from_raw(i32::try_from(u64::from(n) << FRAC).unwrap_or(i32::MAX)));

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Masks<'a>(&'a Block<f32>, f32);
    impl Kernel for Masks<'_> {
        type Number = f32;
        type Out = (u64, u64, u32, Vec<(u32, u32, u32)>);
        #[inline(always)]
        fn run<I: Isa>(self) -> Self::Out {
            let (positive, within) = (f32::positive::<I>(self.0), f32::within::<I>(self.0, self.1));
            let mut entries = Entries::default();
            entries.push::<I>(positive, 3, 64, self.0);
            entries.push::<I>(within, 4, 0, self.0);
            let listed = (0..entries.len()).map(|k| (entries.step[k], entries.unit[k], entries.value[k].to_bits())).collect();
            let four = [0, 7, 21, 40].map(|by| Block(std::array::from_fn(|l| self.0[(l + by) % LANES])));
            let dots = f32::dots::<I>(four.each_ref(), [self.0; 4]);
            assert_eq!(dots.map(f32::to_bits), four.map(|x| x.dot::<I>(self.0).to_bits()));
            (positive, within, self.0.dot::<I>(self.0).to_bits(), listed)
        }
    }

    proptest! {
        #[test]
        fn every_instruction_set_gives_the_same_bits(x in prop::collection::vec(prop_oneof![Just(0.0f32), Just(f32::NAN), -1.0f32..1.0], LANES), reach in 0.0f32..1.0) {
            let block = Block(x.try_into().unwrap());
            let expected = Simd::Portable.run(Masks(&block, reach));
            for simd in Simd::available() {
                prop_assert_eq!(simd.run(Masks(&block, reach)), expected.clone(), "{:?}", simd);
            }
        }
    }

    struct At<'a>(&'a [u32], &'a [f32]);
    impl Kernel for At<'_> {
        type Number = f32;
        type Out = (u32, Vec<u32>);
        #[inline(always)]
        fn run<I: Isa>(self) -> Self::Out {
            let w: Vec<f32> = self.0.iter().zip(0u8..).map(|(&j, k)| (f32::from(k) + j as f32).sin()).collect();
            let mut y = w.clone();
            f32::add_at::<I>(&mut y, 0.7, self.0, self.1);
            (f32::dot_at::<I>(&w, self.0, self.1).to_bits(), y.into_iter().map(f32::to_bits).collect())
        }
    }

    proptest! {
        #[test]
        fn gathered_numbers_have_the_same_bits(x in prop::collection::vec(-1.0f32..1.0, 150), index in prop::collection::vec(0u32..150, 0..70)) {
            let expected = Simd::Portable.run(At(&index, &x));
            for simd in Simd::available() {
                prop_assert_eq!(simd.run(At(&index, &x)), expected.clone(), "{:?}", simd);
            }
        }
    }

    struct Spread(u64, Vec<f32>);
    impl Kernel for Spread {
        type Number = f32;
        type Out = Vec<u32>;
        #[inline(always)]
        fn run<I: Isa>(self) -> Self::Out {
            let mut into = Block(std::array::from_fn(|l| (l as f32).cos()));
            f32::add_spread::<I>(&mut into, self.0, &self.1);
            into.0.map(f32::to_bits).to_vec()
        }
    }

    proptest! {
        #[test]
        fn spread_numbers_have_the_same_bits(mask in any::<u64>(), w in prop::collection::vec(-1.0f32..1.0, LANES)) {
            let w = w[..mask.count_ones() as usize].to_vec();
            let expected = Simd::Portable.run(Spread(mask, w.clone()));
            for simd in Simd::available() {
                prop_assert_eq!(simd.run(Spread(mask, w.clone())), expected.clone(), "{:?}", simd);
            }
        }
    }

    #[test]
    fn an_index_outside_is_refused_on_every_instruction_set() {
        for simd in Simd::available() {
            let refused = std::panic::catch_unwind(|| simd.run(At(&[0, 4, 3], &[1.0; 4])));
            assert!(refused.is_err(), "{simd:?}");
        }
    }

    struct Tally<'a>(&'a [u64], &'a [u32]);
    impl Kernel for Tally<'_> {
        type Number = f32;
        type Out = [[u8; LANES]; 2];
        #[inline(always)]
        fn run<I: Isa>(self) -> Self::Out {
            let mut counts = [[0; LANES]; 2];
            I::tally(self.0, 3, 1, self.1, &mut counts);
            counts
        }
    }

    proptest! {
        #[test]
        fn tallies_count_bits(mask in prop::collection::vec(any::<u64>(), 15), events in prop::collection::vec(0u32..5, 0..256)) {
            for simd in Simd::available() {
                let counts = simd.run(Tally(&mask, &events));
                for (k, l) in (0..2).flat_map(|k| (0..LANES).map(move |l| (k, l))) {
                    let set = |&&i: &&u32| mask[3 * i as usize + 1 + k] >> l & 1 == 1;
                    prop_assert_eq!(usize::from(counts[k][l]), events.iter().filter(set).count(), "{:?}", simd);
                }
            }
        }
    }

    #[test]
    fn bits_are_ascending() {
        assert_eq!(bits(1 | 1 << 5 | 1 << 63).collect::<Vec<_>>(), [0, 5, 63]);
    }
}
