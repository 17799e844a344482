//! The plasticity processor: what a program on the chip can see and do. There are no floating-point numbers here.

use super::{MAX_WEIGHT, NEURONS, ROWS};
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

/// A program of the plasticity processor. It sees integers only: a rule with floating-point numbers has no way in.
///
/// A closure that takes a [`Ppu`] is one.
pub trait Program {
    /// Runs once.
    fn run(&mut self, ppu: &mut Ppu);
}

impl<F: FnMut(&mut Ppu) + ?Sized> Program for F {
    fn run(&mut self, ppu: &mut Ppu) {
        self(ppu);
    }
}

/// The processor with its memory: the weights, the sensors as they were read last, and the spike counters. Every access is an operation; arithmetic is told by
/// [`spend`](Ppu::spend).
///
/// ```
/// use snn_hw::dls::{Ppu, Q8};
/// let mut ppu = Ppu::new(7);
/// ppu.write(3, 5, 80);
/// assert_eq!(ppu.weight(3, 5), 63);                           // weights stay in 0…63
/// let up: i32 = (0..1000).map(|_| i32::from(ppu.round(Q8::raw(64)))).sum();
/// assert!((200..300).contains(&up));                          // ¼, rounded up once in four times
/// ```
#[derive(Clone, Debug)]
pub struct Ppu {
    pub(super) weights: [[u8; NEURONS]; ROWS],
    pub(super) causal: [[u8; NEURONS]; ROWS],
    pub(super) counts: [u8; NEURONS],
    pub(super) operations: u64,
    pub(super) written: u64,
    pub(super) cleared: bool,
    random: u32,
}

impl Ppu {
    /// With weights of 0 and this state of the generator.
    pub fn new(random: u32) -> Self {
        let array = || [[0; NEURONS]; ROWS];
        let (weights, causal) = (array(), array());
        Ppu { weights, causal, counts: [0; NEURONS], operations: 0, written: 0, cleared: false, random: random | 1 }
    }

    /// Restarts the generator.
    pub(super) fn seed(&mut self, random: u32) {
        self.random = random | 1;
    }

    /// The weight of a synapse; 0 outside of the array, like every reading.
    pub fn weight(&mut self, row: usize, neuron: usize) -> u8 {
        self.operations += 1;
        self.peek(row, neuron)
    }

    /// The weight, for someone outside.
    pub(super) fn peek(&self, row: usize, neuron: usize) -> u8 {
        self.weights.get(row).and_then(|r| r.get(neuron)).copied().unwrap_or(0)
    }

    /// Writes a weight, cut off to 0…63. Outside of the array nothing happens.
    pub fn write(&mut self, row: usize, neuron: usize, weight: i16) {
        self.operations += 1;
        if let Some(w) = self.weights.get_mut(row).and_then(|r| r.get_mut(neuron)) {
            self.written += 1;
            *w = weight.clamp(0, i16::from(MAX_WEIGHT)) as u8;
        }
    }

    /// Adds to a weight, cut off to 0…63.
    pub fn add(&mut self, row: usize, neuron: usize, by: i16) {
        let weight = i16::from(self.weight(row, neuron));
        self.write(row, neuron, weight.saturating_add(by));
    }

    /// The causal correlation of a synapse, 8 bits.
    pub fn causal(&mut self, row: usize, neuron: usize) -> u8 {
        self.operations += 1;
        self.causal.get(row).and_then(|r| r.get(neuron)).copied().unwrap_or(0)
    }

    /// Spikes of a neuron since the trial began, 8 bits.
    pub fn count(&mut self, neuron: usize) -> u8 {
        self.operations += 1;
        self.counts.get(neuron).copied().unwrap_or(0)
    }

    /// Clears all sensors of correlation when the program has ended.
    pub fn clear_sensors(&mut self) {
        self.operations += 1;
        self.cleared = true;
    }

    /// 16 random bits (xorshift, Marsaglia 2003).
    pub fn random(&mut self) -> u16 {
        self.operations += 3;
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        (self.random >> 16) as u16
    }

    /// The integer below or above, so that the mean is `x`: without it, steps of less than half a weight would vanish.
    pub fn round(&mut self, x: Q8) -> i16 {
        let up = (self.random() & 255) as i32;
        ((i32::from(x.bits()) + up) >> 8) as i16
    }

    /// Tells of `operations` of arithmetic.
    pub fn spend(&mut self, operations: u64) {
        self.operations += operations;
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

        #[test]
        fn weights_are_always_integers_of_six_bits(moves in prop::collection::vec((0usize..34, 0usize..34, any::<i16>()), 0..60)) {
            let mut ppu = Ppu::new(1);
            for (row, neuron, by) in moves {
                ppu.add(row, neuron, by);
                prop_assert!(ppu.weight(row, neuron) <= MAX_WEIGHT);
            }
        }
    }
}
