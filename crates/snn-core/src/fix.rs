//! Fixed-point arithmetic: the same equations on the numbers of a chip without floating point.

use crate::Real;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// A signed fixed-point number of 32 bits, `FRAC` of them after the point: `raw / 2^FRAC`.
///
/// `Fix<15>` is the `s16.15` ("accum") of SpiNNaker's neuron models. Sums and products that do not fit stay at the largest or smallest number
/// (saturation); products and constants are rounded to the nearest number, halves up; division by zero saturates.
///
/// ```
/// use snn_core::{Fix, Real, neuron::{Lif, Neuron}};
/// type S1615 = Fix<15>;
/// assert_eq!((S1615::of(0.1) * S1615::of(0.1)).value(), 328.0 / 32768.0);       // 0.01, to 1.5e-5
/// let c = Lif::default().consts::<S1615>(0, 1e-3);
/// let ([v], u) = Lif::step(c, [S1615::of(0.9)], S1615::of(0.0), S1615::of(0.3));
/// assert!(u > S1615::of(0.0) && (v.value() - 1.156).abs() < 1e-3);              // the same equation, the chip's numbers
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fix<const FRAC: u32>(i32);

impl<const FRAC: u32> Fix<FRAC> {
    /// The number `raw / 2^FRAC`.
    pub const fn from_raw(raw: i32) -> Self {
        const { assert!(FRAC > 0 && FRAC < 32) };
        Fix(raw)
    }

    /// The bits: the number times `2^FRAC`.
    pub const fn raw(self) -> i32 {
        self.0
    }

    /// The nearest number to `raw / 2^shift`, halves up.
    fn shifted(raw: i64, shift: u32) -> Self {
        let rounded = (raw + (1 << shift >> 1)) >> shift;
        Fix(rounded.clamp(i32::MIN.into(), i32::MAX.into()) as i32)
    }
}

impl<const FRAC: u32> Add for Fix<FRAC> {
    type Output = Self;
    #[inline(always)]
    fn add(self, o: Self) -> Self {
        Fix(self.0.saturating_add(o.0))
    }
}
impl<const FRAC: u32> AddAssign for Fix<FRAC> {
    #[inline(always)]
    fn add_assign(&mut self, o: Self) {
        *self = *self + o;
    }
}
impl<const FRAC: u32> std::iter::Sum for Fix<FRAC> {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Fix(0), Add::add)
    }
}
impl<const FRAC: u32> Sub for Fix<FRAC> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, o: Self) -> Self {
        Fix(self.0.saturating_sub(o.0))
    }
}
impl<const FRAC: u32> Mul for Fix<FRAC> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, o: Self) -> Self {
        Self::shifted(i64::from(self.0) * i64::from(o.0), FRAC)
    }
}
impl<const FRAC: u32> Div for Fix<FRAC> {
    type Output = Self;
    fn div(self, o: Self) -> Self {
        match o.0 {
            0 => Fix(if self.0 < 0 { i32::MIN } else { i32::MAX }),
            divisor => Self::shifted((i64::from(self.0) << (FRAC + 1)) / i64::from(divisor), 1),
        }
    }
}
impl<const FRAC: u32> Neg for Fix<FRAC> {
    type Output = Self;
    fn neg(self) -> Self {
        Fix(self.0.saturating_neg())
    }
}

impl<const FRAC: u32> Real for Fix<FRAC> {
    fn of(x: f64) -> Self {
        // A conversion from a float saturates, and takes NaN to 0.
        Self::from_raw((x * f64::from(1u32 << FRAC) + 0.5).floor() as i32)
    }
    fn value(self) -> f64 {
        f64::from(self.0) / f64::from(1u32 << FRAC)
    }
    #[inline(always)]
    fn abs(self) -> Self {
        Fix(self.0.saturating_abs())
    }
    #[inline(always)]
    fn damp(self, _: Self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type S1615 = Fix<15>;
    const STEP: f64 = 1.0 / 32768.0;

    proptest! {
        #[test]
        fn arithmetic_is_exact_to_half_a_step(x in -200.0f64..200.0, y in -200.0f64..200.0) {
            let (a, b) = (S1615::of(x), S1615::of(y));
            let near = |found: S1615, expected: f64| (found.value() - expected).abs() <= 0.5 * STEP + 1e-12;
            prop_assert!(near(a, x) && near(b, y));
            let (x, y) = (a.value(), b.value());
            prop_assert_eq!(((a + b).value(), (a - b).value(), (-a).value(), a.abs().value()), (x + y, x - y, -x, x.abs()));
            prop_assert!(near(a * b, x * y));
            prop_assert!((x / y).abs() > 65000.0 || (( a / b).value() - x / y).abs() <= STEP, "{} / {}", x, y);
            prop_assert_eq!(a < b, x < y);
        }
    }

    #[test]
    fn what_does_not_fit_saturates() {
        let (most, least) = (S1615::from_raw(i32::MAX), S1615::from_raw(i32::MIN));
        assert_eq!((S1615::of(1e9), S1615::of(f64::NEG_INFINITY), S1615::of(f64::NAN)), (most, least, S1615::of(0.0)));
        assert_eq!((most + most, least - most, most * most, most * least, -least), (most, least, most, least, most));
        assert_eq!((S1615::of(1.0) / S1615::of(0.0), S1615::of(-1.0) / S1615::of(0.0)), (most, least));
        assert_eq!((S1615::from_raw(1) * S1615::of(0.5)).raw(), 1, "halves go up");
        assert_eq!((S1615::from_raw(-1) * S1615::of(0.5)).raw(), 0);
    }
}
