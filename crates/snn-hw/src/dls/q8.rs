//! Fixed-point numbers of the plasticity processor.

use std::ops::{Add, Mul, Neg, Sub};

/// A fixed-point number of 16 bits, 8 of them after the point, as the vector unit has it: −128 to 127.996. Everything saturates.
///
/// ```
/// use snn_hw::dls::Q8;
/// assert_eq!(Q8::int(3) * Q8::raw(128), Q8::raw(384));        // 3 · ½
/// assert_eq!(Q8::int(100) + Q8::int(100), Q8::raw(i16::MAX));
/// assert_eq!(Q8::int(1).tanh(), Q8::raw(195));                // 0.7617
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Q8(i16);

impl Q8 {
    /// 0.
    pub const ZERO: Q8 = Q8(0);
    /// 1.
    pub const ONE: Q8 = Q8(256);

    /// The number `bits / 256`.
    pub const fn raw(bits: i16) -> Self {
        Q8(bits)
    }
    /// An integer, −128 to 127.
    pub const fn int(n: i8) -> Self {
        Q8((n as i16) << 8)
    }
    /// The bits: 256 times the number.
    pub const fn bits(self) -> i16 {
        self.0
    }
    /// The larger one.
    pub fn max(self, other: Self) -> Self {
        if other > self { other } else { self }
    }
    /// The hyperbolic tangent, from a table of 65 entries with straight lines between them; right to two units of the last place.
    pub fn tanh(self) -> Self {
        let size = i32::from(self.0).unsigned_abs() as usize;
        let (k, part) = (size >> 4, (size & 15) as i32);
        let value = match TANH.get(k..k + 2) {
            Some(&[low, high]) => i32::from(low) + (((i32::from(high) - i32::from(low)) * part + 8) >> 4),
            _ => 256,
        };
        Q8(if self.0 < 0 { -value } else { value } as i16)
    }
}

/// `round(256·tanh(k/16))`.
const TANH: [i16; 65] = [
    0, 16, 32, 47, 63, 77, 92, 105, 118, 131, 142, 153, 163, 172, 180, 188, 195, 201, 207, 212, 217, 221, 225, 229, 232, 234, 237, 239,
    241, 243, 244, 246, 247, 248, 249, 250, 250, 251, 252, 252, 253, 253, 253, 254, 254, 254, 254, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 256, 256, 256, 256, 256, 256, 256, 256, 256,
];

impl Add for Q8 {
    type Output = Self;
    fn add(self, o: Self) -> Self {
        Q8(self.0.saturating_add(o.0))
    }
}
impl Sub for Q8 {
    type Output = Self;
    fn sub(self, o: Self) -> Self {
        Q8(self.0.saturating_sub(o.0))
    }
}
impl Mul for Q8 {
    type Output = Self;
    fn mul(self, o: Self) -> Self {
        let product = (i32::from(self.0) * i32::from(o.0) + 128) >> 8;
        Q8(product.clamp(i16::MIN.into(), i16::MAX.into()) as i16)
    }
}
impl Neg for Q8 {
    type Output = Self;
    fn neg(self) -> Self {
        Q8(self.0.saturating_neg())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn arithmetic_is_right_to_half_a_step_or_saturates(a in any::<i16>(), b in any::<i16>()) {
            let (x, y, value) = (Q8::raw(a), Q8::raw(b), |q: Q8| f64::from(q.bits()) / 256.0);
            let near = |found: Q8, wanted: f64| (value(found) - wanted.clamp(-128.0, 32767.0 / 256.0)).abs() <= 0.5 / 256.0;
            prop_assert!(near(x + y, value(x) + value(y)) && near(x - y, value(x) - value(y)) && near(x * y, value(x) * value(y)));
            prop_assert!((value(x.tanh()) - value(x).tanh()).abs() <= 2.0 / 256.0, "{a}");
            prop_assert_eq!((-x).tanh(), -x.tanh());
        }
    }
}
