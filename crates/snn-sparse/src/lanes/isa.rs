//! Instruction sets: what kernels ask of one, and the choice at run time.

#[cfg(target_arch = "x86_64")]
use super::x86;
use super::{Block, Entries, LANES, Scalar, add_at, add_spread, bits, dot, dot_at, mask};

/// An instruction set that kernels are compiled for.
pub trait Isa: Copy {
    /// Lanes where `x > 0`.
    fn positive(x: &Block<f32>) -> u64;
    /// Lanes where `|x| < reach`.
    fn within(x: &Block<f32>, reach: f32) -> u64;
    /// See [`Block::dot`].
    fn dot(a: &Block<f32>, b: &Block<f32>) -> f32;
    /// See [`Scalar::dots`].
    #[inline(always)]
    fn dots(a: [&Block<f32>; 4], b: [&Block<f32>; 4]) -> [f32; 4] {
        std::array::from_fn(|k| Self::dot(a[k], b[k]))
    }
    /// Asks for a block that will be read soon: rows that follow each other by events are nowhere near each other.
    #[inline(always)]
    fn fetch<F>(_block: &Block<F>) {}
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
