//! Poisson and escape noise, drawn where they are needed: every number is a function of seed, step and neuron, so no order of work changes
//! it.

use crate::lanes::{Block, Isa, Kernel, LANES, Scalar};
use snn_core::Seed;
use snn_core::net::{Escape, Transfer};

/// Independent Poisson counts of one mean, one for each step and neuron.
#[derive(Clone, Debug)]
pub struct Poisson {
    /// `P(count ≤ k)·2³²`, rounded up, for k = 0, 1, … until it is 2³².
    below: Vec<u32>,
    /// A large mean is drawn as the sum of so many smaller ones.
    parts: u64,
}

/// A mean up to this is drawn at once.
const AT_ONCE: f64 = 16.0;

impl Poisson {
    /// Counts of mean `mean` (≥ 0, finite). Probabilities are exact to 2⁻³², and counts rarer than that do not occur.
    pub fn new(mean: f64) -> Self {
        let parts = (mean / AT_ONCE).ceil().max(1.0);
        let mean = mean / parts;
        let (mut p, mut total, mut below) = ((-mean).exp(), 0.0, Vec::new());
        for k in 1.. {
            total += p;
            let scaled = (total * 2f64.powi(32)).round();
            if scaled >= 2f64.powi(32) || (p == 0.0 && f64::from(k) > mean) {
                break;
            }
            below.push(scaled as u32);
            p *= mean / f64::from(k);
        }
        Poisson { below, parts: parts as u64 }
    }

    /// 1 with probability `p`, else 0.
    pub(crate) fn once(p: f64) -> Self {
        let below = ((1.0 - p) * 2f64.powi(32)).round();
        // Where it is certain no number is below.
        Poisson { below: vec![below.min(f64::from(u32::MAX)) as u32], parts: 1 }
    }

    /// A count made of the bits of another generator.
    pub fn draw(&self, mut bits: impl FnMut() -> u32) -> u32 {
        let mut part = || {
            let bits = bits();
            self.below.iter().filter(|&&below| bits >= below).count() as u32
        };
        (0..self.parts).map(|_| part()).sum()
    }

    /// Adds `weight` times the counts of step `step` to the 64 neurons of a block.
    #[inline(always)]
    pub(crate) fn add<F: Scalar, I: Isa>(&self, key: u64, step: usize, block: usize, weight: F, into: &mut Block<F>) {
        for part in 0..self.parts {
            let counts = I::poisson(
                &self.below,
                key.wrapping_add(part.wrapping_mul(0x9e37_79b9_7f4a_7c15) << 1),
                (step as u64) << 32 | (block * LANES) as u64,
            );
            for l in 0..LANES {
                into.0[l] += weight * F::count(counts[l]);
            }
        }
    }
}

/// Escape noise, lowered: a number for each step and neuron is added to the distance to threshold so that the probability to be above it is
/// that of [`Escape`]. With `E` exponential of mean 1, a neuron fires where its hazard over the step exceeds `E`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shake {
    /// `width·(ln(rate·dt) − ln E)` is added.
    Exponential { offset: f64, width: f64 },
    /// `slope·E` is taken away, `slope = width/(rate·dt)`.
    Linear { slope: f64 },
}

impl Shake {
    /// The noise of steps of `dt` seconds. `E` has 2³² values, so probabilities are exact to 2⁻³².
    pub(crate) fn new(escape: &Escape, dt: f64) -> Self {
        match escape.transfer {
            Transfer::Exponential => Shake::Exponential { offset: escape.offset(dt), width: escape.width },
            Transfer::Linear => Shake::Linear { slope: escape.width / (escape.rate * dt) },
        }
    }

    /// Adds the noise of step `step` to the 64 neurons of a block. A function of its own, not to lengthen the sweep of every model.
    #[inline(always)]
    pub(crate) fn add<F: Scalar, I: Isa>(&self, key: u64, step: usize, block: usize, into: &mut Block<F>) {
        I::apart(Shaken { noise: self, key, first: (step as u64) << 32 | (block * LANES) as u64, into });
    }
}

struct Shaken<'a, F> {
    noise: &'a Shake,
    key: u64,
    first: u64,
    into: &'a mut Block<F>,
}

impl<F: Scalar> Kernel for Shaken<'_, F> {
    type Number = F;
    type Out = ();
    #[inline(always)]
    fn run<I: Isa>(self) {
        let Shaken { noise, key, first, into } = self;
        for (k, into) in into.0.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let bits: [u32; 8] = std::array::from_fn(|l| squares(first + (8 * k + l) as u64, key));
            let drawn = bits.map(|bits| -ln((f64::from(bits) + 0.5) * 2f64.powi(-32)));
            let added = match *noise {
                Shake::Exponential { offset, width } => drawn.map(|e| width * (offset - ln(e))),
                Shake::Linear { slope } => drawn.map(|e| -slope * e),
            };
            for l in 0..8 {
                into[l] += F::of(added[l]);
            }
        }
    }
}

/// The natural logarithm of a positive normal number, to 1e-13 of itself or of 1, whichever is less: plain arithmetic, so that it
/// vectorises and gives the same bits on every instruction set.
#[inline(always)]
fn ln(x: f64) -> f64 {
    const HALF_ROOT: u64 = 0x3FE6_A09E_667F_3BCD; // √½
    let bits = x.to_bits();
    let exponent = (bits.wrapping_sub(HALF_ROOT) as i64) >> 52;
    let m = f64::from_bits(bits.wrapping_sub((exponent as u64) << 52)); // √½ … √2
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let series =
        [1.0 / 15.0, 1.0 / 13.0, 1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0].iter().fold(1.0 / 17.0, |sum, c| sum * z + c);
    2.0 * s * (1.0 + z * series) + f64::from(exponent as i32) * std::f64::consts::LN_2
}

/// The key of a stream of numbers; odd, as the generator wants. Take a seed that was mixed (a child): small keys draw too many small
/// numbers.
pub(crate) fn key(seed: Seed) -> u64 {
    seed.value() | 1
}

/// Standard normal numbers, two for every counter.
///
/// Source: Box & Muller 1958, on two draws of 32 bits; no number lies further out than 6.8.
///
/// ```
/// use snn_core::Seed;
/// use snn_sparse::noise::Normals;
/// let normals = Normals::new(Seed::new(1));
/// assert_eq!(normals.pair(7), normals.pair(7));
/// assert_ne!(normals.pair(7), normals.pair(8));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Normals(u64);

impl Normals {
    /// The numbers of a seed.
    pub fn new(seed: Seed) -> Self {
        Normals(key(seed.child("normals"))) // the generator wants keys without pattern
    }

    /// Two independent numbers, a function of seed and counter.
    #[inline]
    pub fn pair(self, counter: u64) -> [f32; 2] {
        let unit = |x: u32| (x as f32 + 0.5) * 2f32.powi(-32); // above 0, at most 1
        let first = squares(counter << 1, self.0);
        let second = squares(counter << 1 | 1, self.0);
        let radius = (-2.0 * unit(first).ln()).sqrt();
        let (sin, cos) = (std::f32::consts::TAU * unit(second)).sin_cos();
        [radius * cos, radius * sin]
    }
}

/// 32 random bits, a function of a counter and a key: four rounds of middle squares.
///
/// Source: Widynski 2020, "Squares: a fast counter-based RNG", arXiv:2004.06278, section 3.
#[inline(always)]
pub(crate) fn squares(counter: u64, key: u64) -> u32 {
    let y = counter.wrapping_mul(key);
    let z = y.wrapping_add(key);
    let round = |x: u64, add: u64| x.wrapping_mul(x).wrapping_add(add);
    let x = round(y, y).rotate_left(32);
    let x = round(x, z).rotate_left(32);
    let x = round(x, y).rotate_left(32);
    (round(x, z) >> 32) as u32
}

/// Of 64 consecutive counters, how many entries of `below` their random bits reach.
#[inline(always)]
pub(crate) fn poisson(below: &[u32], key: u64, first: u64) -> [u32; LANES] {
    let mut counts = [0; LANES];
    for (k, counts) in counts.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let bits: [u32; 16] = std::array::from_fn(|l| squares(first + (16 * k + l) as u64, key));
        let mut reached = [0u32; 16];
        for &bound in below {
            for l in 0..16 {
                reached[l] += u32::from(bits[l] >= bound);
            }
        }
        *counts = reached;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::{Kernel, Simd};
    use snn_core::stats;

    struct Draw<'a>(&'a Poisson, u64, usize);
    impl Kernel for Draw<'_> {
        type Number = f32;
        type Out = Block<f64>;
        #[inline(always)]
        fn run<I: Isa>(self) -> Block<f64> {
            let mut x = Block::zero();
            self.0.add::<f64, I>(self.1, self.2, self.2 % 7, 1.0, &mut x);
            x
        }
    }

    #[test]
    fn counts_have_the_distribution() {
        for mean in [0.0, 0.01, 0.64, 1.6, 12.0, 100.0] {
            let (poisson, key) = (Poisson::new(mean), key(Seed::new(3).child("noise")));
            let draws: Vec<f64> = (0..4000).flat_map(|t| Simd::detect().run(Draw(&poisson, key, t)).0).collect();
            let n = draws.len() as f64;
            let (first, second) = (stats::mean(&draws), stats::variance(&draws));
            // Standard errors of mean and variance of a Poisson count: √(λ/n) and √((λ + 2λ²)/n).
            assert!((first - mean).abs() <= 4.0 * (mean / n).sqrt(), "mean {first} of {mean}");
            assert!((second - mean).abs() <= 4.0 * ((mean + 2.0 * mean * mean) / n).sqrt(), "variance {second} of {mean}");
            // χ² over the counts below 8 that are expected at least 50 times.
            let mut p = (-mean).exp();
            for k in 0..8 {
                let seen = draws.iter().filter(|&&x| x == f64::from(k)).count() as f64;
                assert!((seen - n * p).abs() <= 4.5 * (n * p).sqrt() + 1.0, "count {k} of mean {mean}: {seen}, expected {}", n * p);
                p *= mean / f64::from(k + 1);
            }
        }
    }

    #[test]
    fn normals_have_their_moments_and_tails() {
        let normals = Normals::new(Seed::new(4));
        let draws: Vec<f64> = (0..200_000).flat_map(|k| normals.pair(k)).map(f64::from).collect();
        let n = draws.len() as f64;
        let moment = |k: i32| stats::mean(draws.iter().map(|x| x.powi(k)));
        // Standard errors of the raw moments: √(E x²ᵏ − (E xᵏ)²) / √n.
        for (k, mean, spread) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
            assert!((moment(k) - mean).abs() < 4.0 * f64::sqrt(spread / n), "moment {k}: {}", moment(k));
        }
        let beyond = draws.iter().filter(|x| x.abs() > 3.0).count() as f64;
        assert!((beyond - 0.0027 * n).abs() < 4.0 * (0.0027 * n).sqrt(), "{beyond} beyond 3");
        let product = (0..200_000).map(|k| normals.pair(k)).map(|[a, b]| f64::from(a * b)).sum::<f64>() / 2e5;
        assert!(product.abs() < 4.0 / 2e5f64.sqrt(), "correlation {product}");
    }

    #[test]
    fn neighbours_in_time_and_space_are_uncorrelated() {
        let (poisson, key) = (Poisson::new(1.6), key(Seed::new(5)));
        let rows: Vec<[f64; LANES]> = (0..2000).map(|t| Simd::detect().run(Draw(&poisson, key, 7 * t)).0).collect();
        let centred = |t: usize, l: usize| rows[t][l] - 1.6;
        let covariance = |dt: usize, dl: usize| {
            let pairs = (0..2000 - dt).flat_map(|t| (0..LANES - dl).map(move |l| centred(t, l) * centred(t + dt, l + dl)));
            let n = pairs.clone().count() as f64;
            (pairs.sum::<f64>() / n) / (1.6 / n.sqrt())
        };
        for (dt, dl) in [(0, 1), (1, 0), (1, 1), (2, 0), (0, 2)] {
            assert!(covariance(dt, dl).abs() < 4.5, "{dt} steps, {dl} neurons: {} standard errors", covariance(dt, dl));
        }
    }

    struct Draws<'a>(&'a Shake, u64, usize, Block<f32>);
    impl Kernel for Draws<'_> {
        type Number = f32;
        type Out = Block<f32>;
        #[inline(always)]
        fn run<I: Isa>(mut self) -> Block<f32> {
            self.0.add::<f32, I>(self.1, self.2, self.2 % 5, &mut self.3);
            self.3
        }
    }

    #[test]
    fn the_logarithm_is_one() {
        let points = (1..2000).map(|k| f64::from(k) / 1000.0).chain([1e-10, 1e-300, 1.0 - 1e-10, 22.8, 1e300]);
        for x in points {
            assert!((ln(x) - x.ln()).abs() <= 1e-13 * x.ln().abs().max(1e-3), "ln {x} = {}, not {}", ln(x), x.ln());
        }
    }

    #[test]
    fn neurons_escape_as_often_as_they_should() {
        let (dt, key) = (1e-3, key(Seed::new(8).child("escape")));
        for transfer in [Transfer::Exponential, Transfer::Linear] {
            let escape = Escape { rate: 50.0, width: 0.3, transfer };
            let noise = Shake::new(&escape, dt);
            for u in [-2.0f32, -0.5, 0.0, 0.4, 0.9, 1.5, f32::NEG_INFINITY] {
                let draws = 3000.0 * LANES as f64;
                let above = |t: usize| Simd::detect().run(Draws(&noise, key, t, Block::splat(u))).0.iter().filter(|&&x| x > 0.0).count();
                let (fired, p) = ((0..3000).map(above).sum::<usize>() as f64, escape.chance(f64::from(u), dt));
                let apart = (fired - draws * p).abs();
                assert!(apart <= 4.0 * (draws * p * (1.0 - p)).sqrt() + 1e-6, "{transfer:?}, u = {u}: {fired} of {}", draws * p);
            }
            for t in 0..50 {
                let shaken = |simd: Simd| simd.run(Draws(&noise, key, t, Block::splat(0.1))).0.map(f32::to_bits);
                assert!(Simd::available().into_iter().all(|simd| shaken(simd) == shaken(Simd::Portable)), "instruction sets differ");
            }
        }
    }

    #[test]
    fn every_instruction_set_draws_the_same() {
        let poisson = Poisson::new(0.9);
        for t in 0..50 {
            let expected = Simd::Portable.run(Draw(&poisson, 0x1234_5678_9abc_def1, t));
            assert!(Simd::available().into_iter().all(|simd| simd.run(Draw(&poisson, 0x1234_5678_9abc_def1, t)) == expected));
        }
    }
}
