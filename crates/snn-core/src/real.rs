//! The arithmetic a neuron's equation is written in: one `step`, run on floats, on dual numbers, on fixed point.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// A number a neuron model computes with.
///
/// `f32` runs, `f64` judges, [`Dual`] differentiates, [`Fix`](crate::Fix) does what a chip without floating point does.
pub trait Real:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + PartialOrd
    + Send
    + Sync
    + 'static
{
    /// The constant `x`.
    fn of(x: f64) -> Self;
    /// The value, without derivatives.
    fn value(self) -> f64;
    /// The magnitude.
    fn abs(self) -> Self;
    /// The same value whose derivative is scaled by `k`: `k = 0` is the field's "detach" (stop gradient), `k = 1` changes nothing.
    fn damp(self, k: Self) -> Self;
    /// `e` to the power of this.
    fn exp(self) -> Self;
    /// The smallest whole number that is not below it, with the derivative of the number itself: a staircase seen from afar. (Its own derivative is 0
    /// almost everywhere.)
    fn ceil(self) -> Self;
    /// The logistic function `1/(1 + e⁻ˣ)`.
    #[inline(always)]
    fn sigmoid(self) -> Self {
        let one = Self::of(1.0);
        one / (one + (-self).exp())
    }
    /// The hyperbolic tangent, as `2·σ(2x) − 1`: near 0 exact to rounding of 1, not of itself.
    #[inline(always)]
    fn tanh(self) -> Self {
        let two = Self::of(2.0);
        two * (two * self).sigmoid() - Self::of(1.0)
    }
    /// The larger of two.
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        if self > other { self } else { other }
    }
    /// `self` to the power `n`, by squaring.
    fn pow(self, mut n: u32) -> Self {
        let (mut power, mut square) = (Self::of(1.0), self);
        while n > 0 {
            if n & 1 == 1 {
                power = power * square;
            }
            square = square * square;
            n >>= 1;
        }
        power
    }
}

/// `eˣ` in single precision, by additions and multiplications alone: it vectorises, and gives the same bits on every instruction set. Relative error below
/// 2·10⁻⁷; below −87 and above 88 what it is there.
///
/// `eˣ = 2ⁿ·eʳ` with `n = round(x/ln 2)`, `|r| ≤ ½·ln 2`, and the Taylor series of `eʳ` up to `r⁷`, whose remainder is below 10⁻⁸.
#[inline(always)]
fn exp_f32(x: f32) -> f32 {
    // Added to a small number it leaves the nearest whole number in the last bits.
    const SHIFT: f32 = 12_582_912.0; // 1.5·2²³
    // ln 2 in two parts, the first with few bits, so that n·HIGH is exact.
    const HIGH: f32 = 0.693_359_4;
    const LOW: f32 = -2.121_944_4e-4;
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + SHIFT;
    let n = shifted - SHIFT;
    let r = x - n * HIGH - n * LOW;
    let series = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23)); // 2ⁿ
    series.iter().fold(0.0, |sum: f32, c| sum * r + c) * power
}

macro_rules! float {
    ($t:ty, $exp:path) => {
        impl Real for $t {
            #[inline(always)]
            fn of(x: f64) -> Self {
                x as $t
            }
            #[inline(always)]
            fn value(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                <$t>::abs(self)
            }
            #[inline(always)]
            fn damp(self, _: Self) -> Self {
                self
            }
            #[inline(always)]
            fn exp(self) -> Self {
                $exp(self)
            }
            #[inline(always)]
            fn ceil(self) -> Self {
                <$t>::ceil(self)
            }
        }
    };
}
float!(f32, exp_f32);
float!(f64, f64::exp);

/// A dual number: a value and its derivatives along `N` directions (forward-mode differentiation, exact to rounding).
///
/// ```
/// use snn_core::{Dual, Real};
/// let x = Dual::<1>::variable(3.0, 0);
/// let y = x * x - Dual::of(2.0) * x;
/// assert_eq!((y.v, y.d[0]), (3.0, 4.0));           // y = x² − 2x,  dy/dx = 2x − 2
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Dual<const N: usize, R = f64> {
    /// Value.
    pub v: R,
    /// Derivatives.
    pub d: [R; N],
}

impl<const N: usize, R: Real> Dual<N, R> {
    /// The variable that defines direction `k`.
    #[inline(always)]
    pub fn variable(v: R, k: usize) -> Self {
        debug_assert!(k < N, "direction {k} of {N}");
        let mut x = Dual::constant(v);
        // No index out of bounds that would have to be left by: loops over neurons have this in them, and shall vectorise.
        x.d.iter_mut().skip(k).take(1).for_each(|d| *d = R::of(1.0));
        x
    }

    /// The constant `v`.
    #[inline(always)]
    pub fn constant(v: R) -> Self {
        Dual { v, d: [R::of(0.0); N] }
    }

    // Loops, not `array::map` and `array::from_fn`: those are only unrolled late, and a loop over neurons around them would not vectorise.
    #[inline(always)]
    fn zip(mut self, other: Self, v: R, f: impl Fn(R, R) -> R) -> Self {
        for k in 0..N {
            self.d[k] = f(self.d[k], other.d[k]);
        }
        Dual { v, d: self.d }
    }

    #[inline(always)]
    fn map(mut self, v: R, f: impl Fn(R) -> R) -> Self {
        for d in &mut self.d {
            *d = f(*d);
        }
        Dual { v, d: self.d }
    }
}

impl<const N: usize, R: Real> Add for Dual<N, R> {
    type Output = Self;
    #[inline(always)]
    fn add(self, o: Self) -> Self {
        self.zip(o, self.v + o.v, |a, b| a + b)
    }
}
impl<const N: usize, R: Real> Sub for Dual<N, R> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, o: Self) -> Self {
        self.zip(o, self.v - o.v, |a, b| a - b)
    }
}
impl<const N: usize, R: Real> Mul for Dual<N, R> {
    type Output = Self;
    #[inline(always)]
    #[expect(clippy::suspicious_arithmetic_impl)] // the product rule has a sum in it
    fn mul(self, o: Self) -> Self {
        self.zip(o, self.v * o.v, |a, b| a * o.v + self.v * b)
    }
}
impl<const N: usize, R: Real> Div for Dual<N, R> {
    type Output = Self;
    #[inline(always)]
    fn div(self, o: Self) -> Self {
        let (v, inverse) = (self.v / o.v, R::of(1.0) / o.v); // one division for all directions
        self.zip(o, v, |a, b| (a - v * b) * inverse)
    }
}
impl<const N: usize, R: Real> Neg for Dual<N, R> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        self.map(-self.v, |d| -d)
    }
}
impl<const N: usize, R: Real> PartialEq for Dual<N, R> {
    #[inline(always)]
    fn eq(&self, o: &Self) -> bool {
        self.v == o.v
    }
}
impl<const N: usize, R: Real> PartialOrd for Dual<N, R> {
    #[inline(always)]
    fn partial_cmp(&self, o: &Self) -> Option<std::cmp::Ordering> {
        self.v.partial_cmp(&o.v)
    }
}
impl<const N: usize, R: Real> Real for Dual<N, R> {
    #[inline(always)]
    fn of(x: f64) -> Self {
        Dual::constant(R::of(x))
    }
    #[inline(always)]
    fn value(self) -> f64 {
        self.v.value()
    }
    #[inline(always)]
    fn abs(self) -> Self {
        if self.v < R::of(0.0) { -self } else { self }
    }
    #[inline(always)]
    fn damp(self, k: Self) -> Self {
        self.map(self.v, |d| d * k.v)
    }
    #[inline(always)]
    fn exp(self) -> Self {
        let v = self.v.exp();
        self.map(v, |d| d * v)
    }
    #[inline(always)]
    fn ceil(self) -> Self {
        Dual { v: self.v.ceil(), d: self.d }
    }
    #[inline(always)]
    fn sigmoid(self) -> Self {
        let v = self.v.sigmoid();
        let slope = v * (R::of(1.0) - v);
        self.map(v, |d| d * slope)
    }
}

/// A fixed-length list of numbers: a neuron's state or its constants.
pub trait Vars<R>: Copy + Send + Sync + 'static {
    /// How many.
    const LEN: usize;
    /// Builds the list from its entries.
    fn from_fn(f: impl FnMut(usize) -> R) -> Self;
    /// Entry `k`.
    fn get(&self, k: usize) -> R;
}

impl<R: Copy + Send + Sync + 'static, const N: usize> Vars<R> for [R; N] {
    const LEN: usize = N;
    #[inline(always)]
    fn from_fn(mut f: impl FnMut(usize) -> R) -> Self {
        if N == 0 {
            return std::array::from_fn(f);
        }
        // A loop, as in the arithmetic of `Dual`: it is unrolled early, so that loops around it vectorise.
        let mut list = [f(0); N];
        for k in 1..N {
            list[k] = f(k);
        }
        list
    }
    #[inline(always)]
    fn get(&self, k: usize) -> R {
        self[k]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn exp_in_single_precision_is_that_of_double_precision() {
        for k in -8_600..8_700 {
            let x = k as f32 / 100.0 + 0.001_3;
            let (found, expected) = (f64::from(Real::exp(x)), f64::from(x).exp());
            assert!((found / expected - 1.0).abs() < 2e-7, "e^{x} = {expected}, not {found}");
        }
        assert!(Real::exp(-1e30f32) < 1e-37 && Real::exp(1e30f32) > 1e38 && Real::exp(0.0f32) == 1.0);
        assert!(Real::sigmoid(-1e30f32) >= 0.0 && Real::sigmoid(1e30f32) == 1.0 && Real::tanh(-1e30f32) == -1.0);
        assert!((Real::tanh(0.3f64) - 0.3f64.tanh()).abs() < 1e-15);
    }

    proptest! {
        #[test]
        fn duals_differentiate(x in 0.1f64..3.0, y in 0.1f64..3.0) {
            fn f<R: Real>(x: R, y: R) -> R {
                (x * y - x) / (x + y * y) - (-x).abs() + (x - y).exp() + (x * y).sigmoid() * (x - y).tanh()
            }
            let dual = f(Dual::<2>::variable(x, 0), Dual::variable(y, 1));
            let h = 1e-6;
            let numeric = [(f(x + h, y) - f(x - h, y)) / (2.0 * h), (f(x, y + h) - f(x, y - h)) / (2.0 * h)];
            prop_assert!(dual.v == f(x, y) && dual.d.iter().zip(numeric).all(|(a, b)| (a - b).abs() < 1e-7));
        }
    }
}
