//! The plasticity processor: what a program on the chip can see and do. There are no floating-point numbers here.

use super::{MAX_WEIGHT, NEURONS, Q8, ROWS};

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
        fn weights_are_always_integers_of_six_bits(moves in prop::collection::vec((0usize..34, 0usize..34, any::<i16>()), 0..60)) {
            let mut ppu = Ppu::new(1);
            for (row, neuron, by) in moves {
                ppu.add(row, neuron, by);
                prop_assert!(ppu.weight(row, neuron) <= MAX_WEIGHT);
            }
        }
    }
}
