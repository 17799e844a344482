//! Blocks of 64 lanes, and the choice of instruction set at run time.
//!
//! Kernels are plain Rust over [`Block`]s, compiled once per instruction set; only turning lanes into a bit mask needs intrinsics.
//! No path contracts a multiplication and an addition into one rounding, so all instruction sets give the same bits.

use crate::bank::{self, Cells};
use snn_core::net::Population;
use snn_core::{Fix, Real};
use std::mem::MaybeUninit;
use std::ops::{AddAssign, Index, IndexMut};

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

/// An instruction set that kernels are compiled for.
pub trait Isa: Copy {
    /// Lanes where `x > 0`.
    fn positive(x: &Block<f32>) -> u64;
    /// Lanes where `|x| < reach`.
    fn within(x: &Block<f32>, reach: f32) -> u64;
    /// See [`Block::dot`].
    fn dot(a: &Block<f32>, b: &Block<f32>) -> f32;
    /// See [`Scalar::dot_at`].
    #[inline(always)]
    fn dot_at(w: &[f32], index: &[u32], x: &[f32]) -> f32 {
        dot_at(w, index, x)
    }
    /// See [`Scalar::add_at`].
    #[inline(always)]
    fn add_at(y: &mut [f32], a: f32, index: &[u32], x: &[f32]) {
        add_at(y, a, index, x);
    }
    /// See [`Scalar::add_spread`].
    #[inline(always)]
    fn add_spread(into: &mut Block<f32>, mask: u64, w: &[f32]) {
        add_spread(into, mask, w);
    }
    /// See [`Entries::push`].
    fn push(entries: &mut Entries<f32>, mask: u64, step: u32, first: u32, x: &Block<f32>);
    /// For each bit of each of `counts.len()` words from `first` on: in how many of the rows `events` it is set. Row `i` is
    /// `mask[i·width..][..width]`. At most 255 events.
    #[inline(always)]
    fn tally(mask: &[u64], width: usize, first: usize, events: &[u32], counts: &mut [[u8; LANES]]) {
        for &i in events {
            let row = &mask[i as usize * width + first..][..counts.len()];
            for (word, counts) in row.iter().zip(&mut *counts) {
                bits(*word).for_each(|l| counts[l] += 1);
            }
        }
    }
    /// Of 64 consecutive counters from `first` on, how many entries of `below` the random bits of each reach.
    #[inline(always)]
    fn poisson(below: &[u32], key: u64, first: u64) -> [u32; LANES] {
        crate::noise::poisson(below, key, first)
    }
    /// Runs `kernel` with the same instruction set, but as a function of its own: for rare work that would only lengthen the loop that
    /// calls it.
    fn apart<K: Kernel>(kernel: K) -> K::Out;
    /// Appends `first + l` for every bit `l` of `mask`.
    #[inline(always)]
    fn push_units(units: &mut Vec<u32>, mask: u64, first: u32) {
        units.extend(bits(mask).map(|l| first + l as u32));
    }
}

/// A kernel body, generic in the instruction set. Mark `run` `#[inline(always)]`.
pub trait Kernel {
    /// What it computes with; `f32` where that is no number of the engine's.
    type Number: Scalar;
    /// Result.
    type Out;
    /// The body.
    fn run<I: Isa>(self) -> Self::Out;
}

/// Which instruction set to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Simd {
    /// AVX-512 F, BW, VL, DQ.
    Avx512,
    /// AVX2.
    Avx2,
    /// Whatever the compiler's baseline is.
    Portable,
}

impl Simd {
    /// The widest set this processor has.
    pub fn detect() -> Simd {
        *Self::available().first().unwrap_or(&Simd::Portable)
    }

    /// All sets this processor has, widest first.
    pub fn available() -> Vec<Simd> {
        let mut sets = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if x86::has_avx512() {
                sets.push(Simd::Avx512);
            }
            if is_x86_feature_detected!("avx2") {
                sets.push(Simd::Avx2);
            }
        }
        sets.push(Simd::Portable);
        sets
    }

    /// Runs `kernel` compiled for this instruction set: see [`Scalar::compiled`].
    ///
    /// # Panics
    /// If the processor lacks it: take one from [`Simd::available`].
    pub fn run<K: Kernel>(self, kernel: K) -> K::Out {
        K::Number::compiled(self, kernel)
    }
}

/// The compiler's baseline.
#[derive(Clone, Copy)]
pub struct Portable;

impl Isa for Portable {
    #[inline(never)]
    fn apart<K: Kernel>(kernel: K) -> K::Out {
        kernel.run::<Portable>()
    }
    #[inline(always)]
    fn positive(x: &Block<f32>) -> u64 {
        mask(|l| x.0[l] > 0.0)
    }
    #[inline(always)]
    fn within(x: &Block<f32>, reach: f32) -> u64 {
        mask(|l| x.0[l].abs() < reach)
    }
    #[inline(always)]
    fn dot(a: &Block<f32>, b: &Block<f32>) -> f32 {
        dot(a, b)
    }
    #[inline(always)]
    fn push(entries: &mut Entries<f32>, mask: u64, step: u32, first: u32, x: &Block<f32>) {
        entries.push_each(mask, step, first, x);
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

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Block, Entries, Isa, Kernel, LANES};
    use std::arch::x86_64::*;

    #[derive(Clone, Copy)]
    struct Avx512;
    #[derive(Clone, Copy)]
    struct Avx2;

    /// Detection is cached by the standard library: this is a few loads.
    pub fn has_avx512() -> bool {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    pub fn avx512<K: Kernel>(kernel: K) -> K::Out {
        kernel.run::<Avx512>()
    }

    #[target_feature(enable = "avx2")]
    pub fn avx2<K: Kernel>(kernel: K) -> K::Out {
        kernel.run::<Avx2>()
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    #[inline(never)]
    fn avx512_apart<K: Kernel>(kernel: K) -> K::Out {
        kernel.run::<Avx512>()
    }

    #[target_feature(enable = "avx2")]
    #[inline(never)]
    fn avx2_apart<K: Kernel>(kernel: K) -> K::Out {
        kernel.run::<Avx2>()
    }

    /// Joins `LANES / W` masks of `W` lanes.
    #[inline(always)]
    fn join<const W: usize>(x: &Block<f32>, lanes: impl Fn(*const f32) -> u64) -> u64 {
        // `lanes` reads W floats from a pointer into the block.
        (0..LANES / W).fold(0, |m, k| m | lanes(x.0[k * W..].as_ptr()) << (k * W))
    }

    /// The sum of eight lanes, halves first.
    ///
    /// # Safety
    /// The processor must have AVX.
    #[inline(always)]
    unsafe fn sum8(x: __m256) -> f32 {
        // SAFETY: by the caller.
        unsafe {
            let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
        }
    }

    /// The `n`-th sixteen of the numbers `index` and `x[index[k]]` for each that is there, and which are there.
    ///
    /// # Panics
    /// If an index lies outside `x`.
    ///
    /// # Safety
    /// The processor must have AVX-512 F and BW.
    #[inline(always)]
    unsafe fn gather16(index: &[u32], n: usize, x: &[f32]) -> (__mmask16, __m512) {
        let left = index.len() - 16 * n;
        let there: __mmask16 = if left >= 16 { u16::MAX } else { (1 << left) - 1 };
        // SAFETY: by the caller. Lanes that are not there are neither read from `index` nor from `x`; the others lie in `x`, which is asserted.
        unsafe {
            let at = _mm512_maskz_loadu_epi32(there, index.as_ptr().add(16 * n).cast());
            let inside = _mm512_mask_cmplt_epu32_mask(there, at, _mm512_set1_epi32(x.len().min(i32::MAX as usize) as i32));
            assert!(inside == there, "an index outside of {} numbers", x.len());
            (there, _mm512_mask_i32gather_ps::<4>(_mm512_setzero_ps(), there, at, x.as_ptr()))
        }
    }

    /// [`crate::noise::squares`] of sixteen consecutive counters.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    #[inline]
    fn squares16(first: u64, key: u64) -> __m512i {
        let upper = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
        _mm512_permutex2var_epi32(squares8(first, key), upper, squares8(first + 8, key))
    }

    /// Eight of them, each in the upper half of 64 bits.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    #[inline]
    fn squares8(first: u64, key: u64) -> __m512i {
        let (key, ramp) = (_mm512_set1_epi64(key as i64), _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0));
        let y = _mm512_mullo_epi64(_mm512_add_epi64(_mm512_set1_epi64(first as i64), ramp), key);
        let z = _mm512_add_epi64(y, key);
        let mut x = y;
        for add in [y, z, y] {
            x = _mm512_rol_epi64::<32>(_mm512_add_epi64(_mm512_mullo_epi64(x, x), add));
        }
        _mm512_add_epi64(_mm512_mullo_epi64(x, x), z)
    }

    impl Isa for Avx512 {
        #[inline(always)]
        fn apart<K: Kernel>(kernel: K) -> K::Out {
            // SAFETY: only reached from `avx512`.
            unsafe { avx512_apart(kernel) }
        }
        /// One byte per target in one register: a masked addition per event, four rows at a time.
        #[inline(always)]
        fn tally(mask: &[u64], width: usize, first: usize, events: &[u32], counts: &mut [[u8; LANES]]) {
            let row = |i: u32, n: usize| &mask[i as usize * width + first..][..n];
            let (fours, rest) = events.as_chunks::<4>();
            // SAFETY: only reached from `avx512`; loads and stores go to 64 bytes of `counts`.
            unsafe {
                let one = _mm512_set1_epi8(1);
                for four in fours {
                    let [a, b, c, d] = four.map(|i| row(i, counts.len()));
                    for (k, counts) in counts.iter_mut().enumerate() {
                        let mut sum = _mm512_loadu_si512(counts.as_ptr().cast());
                        for word in [a[k], b[k], c[k], d[k]] {
                            sum = _mm512_mask_add_epi8(sum, word, sum, one);
                        }
                        _mm512_storeu_si512(counts.as_mut_ptr().cast(), sum);
                    }
                }
                for &i in rest {
                    for (word, counts) in row(i, counts.len()).iter().zip(&mut *counts) {
                        let sum = _mm512_loadu_si512(counts.as_ptr().cast());
                        _mm512_storeu_si512(counts.as_mut_ptr().cast(), _mm512_mask_add_epi8(sum, *word, sum, one));
                    }
                }
            }
        }
        /// As the portable form, sixteen counters and comparisons at a time.
        #[inline(always)]
        fn poisson(below: &[u32], key: u64, first: u64) -> [u32; LANES] {
            // SAFETY: only reached from `avx512`.
            unsafe {
                let bits = [squares16(first, key), squares16(first + 16, key), squares16(first + 32, key), squares16(first + 48, key)];
                let mut counts = [_mm512_setzero_si512(); 4];
                for &bound in below {
                    let (bound, one) = (_mm512_set1_epi32(bound as i32), _mm512_set1_epi32(1));
                    for k in 0..4 {
                        counts[k] = _mm512_mask_add_epi32(counts[k], _mm512_cmpge_epu32_mask(bits[k], bound), counts[k], one);
                    }
                }
                std::mem::transmute::<[__m512i; 4], [u32; LANES]>(counts)
            }
        }
        /// Sixteen links at a time.
        #[inline(always)]
        fn dot_at(w: &[f32], index: &[u32], x: &[f32]) -> f32 {
            let w = &w[..index.len()];
            // SAFETY: only reached from `avx512`; weights are read where there is an index.
            unsafe {
                let mut sums = _mm512_setzero_ps();
                for n in 0..index.len().div_ceil(16) {
                    let (there, x) = gather16(index, n, x);
                    let w = _mm512_maskz_loadu_ps(there, w.as_ptr().add(16 * n));
                    sums = _mm512_mask_add_ps(sums, there, sums, _mm512_mul_ps(w, x));
                }
                sum8(_mm256_add_ps(_mm512_castps512_ps256(sums), _mm512_extractf32x8_ps::<1>(sums)))
            }
        }
        /// Likewise.
        #[inline(always)]
        fn add_at(y: &mut [f32], a: f32, index: &[u32], x: &[f32]) {
            let index = &index[..index.len().min(y.len())];
            // SAFETY: only reached from `avx512`; `y` is read and written where there is an index.
            unsafe {
                let a = _mm512_set1_ps(a);
                for n in 0..index.len().div_ceil(16) {
                    let (there, x) = gather16(index, n, x);
                    let place = y.as_mut_ptr().add(16 * n);
                    let sum = _mm512_add_ps(_mm512_maskz_loadu_ps(there, place), _mm512_mul_ps(a, x));
                    _mm512_mask_storeu_ps(place, there, sum);
                }
            }
        }
        /// Expands sixteen lanes at a time, without a branch that depends on the data.
        #[inline(always)]
        fn add_spread(into: &mut Block<f32>, mask: u64, w: &[f32]) {
            let (mut w, into) = (w[..mask.count_ones() as usize].as_ptr(), into.0.as_mut_ptr());
            // SAFETY: only reached from `avx512`; as many numbers are read as there are bits.
            unsafe {
                for n in 0..4 {
                    let (here, place) = ((mask >> (16 * n)) as __mmask16, into.add(16 * n));
                    _mm512_storeu_ps(place, _mm512_add_ps(_mm512_loadu_ps(place), _mm512_maskz_expandloadu_ps(here, w)));
                    w = w.add(here.count_ones() as usize);
                }
            }
        }
        /// Compresses sixteen lanes at a time, without a branch that depends on the data.
        #[inline(always)]
        fn push(entries: &mut Entries<f32>, mask: u64, step: u32, first: u32, x: &Block<f32>) {
            let mut len = entries.value.len();
            entries.value.reserve(LANES + 16);
            entries.step.reserve(LANES + 16);
            // SAFETY: only reached from `avx512`. Every store writes 16 numbers from `len` on, and `len` grows by at most 64 in all, so all
            // writes lie within what was just reserved; the first `len` numbers of each list have been written when the length is set.
            unsafe {
                let (value, steps) = (entries.value.as_mut_ptr(), entries.step.as_mut_ptr());
                for k in 0..LANES / 16 {
                    let few = (mask >> (16 * k)) as u16;
                    _mm512_storeu_ps(value.add(len), _mm512_maskz_compress_ps(few, _mm512_load_ps(x.0.as_ptr().add(16 * k))));
                    _mm512_storeu_si512(steps.add(len).cast(), _mm512_set1_epi32(step as i32));
                    len += few.count_ones() as usize;
                }
                entries.value.set_len(len);
                entries.step.set_len(len);
            }
            Self::push_units(&mut entries.unit, mask, first);
        }
        /// Likewise.
        #[inline(always)]
        fn push_units(units: &mut Vec<u32>, mask: u64, first: u32) {
            let mut len = units.len();
            units.reserve(LANES + 16);
            // SAFETY: as in `push`.
            unsafe {
                for k in 0..LANES / 16 {
                    let few = (mask >> (16 * k)) as u16;
                    let ramp = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
                    let lanes = _mm512_add_epi32(_mm512_set1_epi32((first as usize + 16 * k) as i32), ramp);
                    _mm512_storeu_si512(units.as_mut_ptr().add(len).cast(), _mm512_maskz_compress_epi32(few, lanes));
                    len += few.count_ones() as usize;
                }
                units.set_len(len);
            }
        }
        #[inline(always)]
        fn dot(a: &Block<f32>, b: &Block<f32>) -> f32 {
            // SAFETY: only reached from `avx512`; both blocks have 64 floats and are aligned to a cache line.
            unsafe {
                let product = |k: usize| _mm512_mul_ps(_mm512_load_ps(a.0.as_ptr().add(16 * k)), _mm512_load_ps(b.0.as_ptr().add(16 * k)));
                let x = _mm512_add_ps(_mm512_add_ps(product(0), product(2)), _mm512_add_ps(product(1), product(3)));
                sum8(_mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps::<1>(x)))
            }
        }
        #[inline(always)]
        fn positive(x: &Block<f32>) -> u64 {
            // SAFETY: only reached from `avx512`; the pointer has 16 floats, aligned like the block.
            join::<16>(x, |p| unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(_mm512_load_ps(p), _mm512_setzero_ps()).into() })
        }
        #[inline(always)]
        fn within(x: &Block<f32>, reach: f32) -> u64 {
            // SAFETY: as above.
            join::<16>(x, |p| unsafe { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(_mm512_abs_ps(_mm512_load_ps(p)), _mm512_set1_ps(reach)).into() })
        }
    }

    impl Isa for Avx2 {
        #[inline(always)]
        fn apart<K: Kernel>(kernel: K) -> K::Out {
            // SAFETY: only reached from `avx2`.
            unsafe { avx2_apart(kernel) }
        }
        /// Bits are spread to bytes: each byte picks its bit of the 32 broadcast.
        #[inline(always)]
        fn tally(mask: &[u64], width: usize, first: usize, events: &[u32], counts: &mut [[u8; LANES]]) {
            // SAFETY: only reached from `avx2`; loads and stores go to 32 bytes of `counts`.
            unsafe {
                let place =
                    _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
                let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
                for &i in events {
                    let row = &mask[i as usize * width + first..][..counts.len()];
                    for (word, counts) in row.iter().zip(&mut *counts) {
                        for (half, counts) in counts.as_chunks_mut::<32>().0.iter_mut().enumerate() {
                            let bytes = _mm256_shuffle_epi8(_mm256_set1_epi32((word >> (32 * half)) as i32), place);
                            let set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
                            let sum = _mm256_sub_epi8(_mm256_loadu_si256(counts.as_ptr().cast()), set);
                            _mm256_storeu_si256(counts.as_mut_ptr().cast(), sum);
                        }
                    }
                }
            }
        }
        #[inline(always)]
        fn push(entries: &mut Entries<f32>, mask: u64, step: u32, first: u32, x: &Block<f32>) {
            entries.push_each(mask, step, first, x);
        }
        #[inline(always)]
        fn dot(a: &Block<f32>, b: &Block<f32>) -> f32 {
            // SAFETY: only reached from `avx2`; both blocks have 64 floats and are aligned to a cache line.
            unsafe {
                let product = |k: usize| _mm256_mul_ps(_mm256_load_ps(a.0.as_ptr().add(8 * k)), _mm256_load_ps(b.0.as_ptr().add(8 * k)));
                let half = |k: usize| _mm256_add_ps(product(k), product(k + 4));
                sum8(_mm256_add_ps(_mm256_add_ps(half(0), half(2)), _mm256_add_ps(half(1), half(3))))
            }
        }
        #[inline(always)]
        fn positive(x: &Block<f32>) -> u64 {
            // SAFETY: only reached from `avx2`; the pointer has 8 floats, aligned like the block.
            join::<8>(x, |p| unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(_mm256_load_ps(p), _mm256_setzero_ps())) as u64 })
        }
        #[inline(always)]
        fn within(x: &Block<f32>, reach: f32) -> u64 {
            // SAFETY: as above. Clearing the sign bit is the absolute value.
            join::<8>(x, |p| unsafe {
                let magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0), _mm256_load_ps(p));
                _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(magnitude, _mm256_set1_ps(reach))) as u64
            })
        }
    }
}

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
