//! Fixed-point arithmetic: the same equations on the numbers of a chip without floating point.

use crate::Real;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};
use std::sync::LazyLock;

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
/// let ([v], u) = Lif::step(c, [S1615::of(0.9)], S1615::of(0.0), [S1615::of(0.3)]);
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

    /// `exp(self)` with `OUT` bits after the point, as hardware without a multiplier table does it: shifts and additions, one digit per
    /// iteration.
    ///
    /// ```text
    /// x = n·ln 2 + Σ_k d_k·ln(1 + 2⁻ᵏ) + r,  d_k = 0 or 1         exp(x) = 2ⁿ·Π_k (1 + d_k·2⁻ᵏ)·(1 + r)
    /// ```
    /// The rest `r` is below `2^−iterations` and enters once, so the relative error is below `2^−(2·iterations + 1)`, and then the result
    /// is rounded. [`EXP_DIGITS`](Self::EXP_DIGITS) iterations give every number of 32 bits to 1 in the last place; more than 32 are 32.
    /// Saturates.
    ///
    /// Source: the multiplicative normalisation of Briggs 1624; Mikaitis et al. 2018 build such a unit with a number of iterations that
    /// can be set.
    ///
    /// ```
    /// use snn_core::{Fix, Real};
    /// let x = Fix::<15>::of(-4.25);
    /// assert!((x.exp_to::<31>(16).value() - x.value().exp()).abs() < 1.0 / f64::from(1u32 << 31));
    /// ```
    pub fn exp_to<const OUT: u32>(self, iterations: u32) -> Fix<OUT> {
        const LN_2: i64 = 0x2C5C_85FD_F473_DE6A; // ln 2, with 62 bits after the point
        const PER_LN_2: i64 = 1_549_082_005; // 1/ln 2, with 30
        static LOGS: LazyLock<[u64; 32]> =
            LazyLock::new(|| std::array::from_fn(|k| ((0.5f64.powi(k as i32 + 1)).ln_1p() * 2f64.powi(62)) as u64));
        // The whole part may come out one too small or too large; the rest is below 2 either way, so it may wrap on the way.
        let mut n = (i64::from(self.0) * PER_LN_2) >> (30 + FRAC);
        let mut rest = (i64::from(self.0) << (62 - FRAC)).wrapping_sub(n.wrapping_mul(LN_2));
        while rest < 0 {
            (n, rest) = (n - 1, rest + LN_2);
        }
        while rest >= LN_2 {
            (n, rest) = (n + 1, rest - LN_2);
        }
        let mut rest = rest as u64;
        let mut y = 1u64 << 60;
        for (k, &log) in (1..).zip(LOGS.iter().take(iterations as usize)) {
            let taken = u64::from(rest >= log);
            rest -= taken * log;
            y += taken * (y >> k);
        }
        y += ((u128::from(y) * u128::from(rest)) >> 62) as u64;
        // y·2ⁿ with 60 bits after the point, to be rounded to OUT bits.
        match 60 - i64::from(OUT) - n {
            shift if shift > 62 => Fix(0),
            shift if shift < 29 => Fix(i32::MAX),
            shift => Fix::<OUT>::shifted(y as i64, shift as u32),
        }
    }

    /// Iterations of [`exp_to`](Self::exp_to) that are exact to 1 in the last place.
    pub const EXP_DIGITS: u32 = 16;

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
    fn exp(self) -> Self {
        self.exp_to::<FRAC>(Self::EXP_DIGITS)
    }
    fn ceil(self) -> Self {
        let below = (1 << FRAC) - 1;
        Fix(self.0.saturating_add(below) & !below)
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

    proptest! {
        /// Every iteration adds two bits to the exponential, down to 1 in the last place.
        #[test]
        fn exponentials_are_exact_to_one_in_the_last_place(x in -12.0f64..12.0, iterations in 1u32..16) {
            fn off<const OUT: u32>(x: S1615, iterations: u32) -> f64 {
                let most = f64::from(i32::MAX) / f64::from(1u32 << OUT);
                (x.exp_to::<OUT>(iterations).value() - x.value().exp().min(most)).abs() * f64::from(1u32 << OUT)
            }
            let x = S1615::of(x);
            prop_assert!(off::<15>(x, 16) <= 1.0 && off::<31>(x, 16) <= 1.0 && off::<24>(x, 32) <= 1.0, "{}", x.value());
            let relative = 0.5f64.powi(2 * iterations as i32 + 1);
            prop_assert!(off::<15>(x, iterations) <= 1.0 + x.value().exp() * relative * 32768.0, "{} in {iterations}", x.value());
            let far = Fix::<24>::of(x.value());
            prop_assert!((far.exp().value() - far.value().exp().min(128.0)).abs() <= 1.01 / f64::from(1u32 << 24));
        }
    }

    #[test]
    fn exponentials_saturate_and_vanish() {
        assert_eq!((S1615::of(0.0).exp(), S1615::of(11.1).exp(), S1615::of(6e4).exp()), (S1615::of(1.0), S1615::of(1e9), S1615::of(1e9)));
        assert_eq!((S1615::of(-11.1).exp().raw(), S1615::from_raw(i32::MIN).exp().raw()), (0, 0));
        assert_eq!(S1615::of(0.5).exp_to::<31>(16).raw(), i32::MAX);
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
