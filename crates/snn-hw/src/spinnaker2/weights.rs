//! Weights of 16 bits with a scale per projection, as ring buffers add them up.

use super::cost::RING_SLOTS;
use snn_core::Fix;

/// A ring buffer holds a sum of so many of the largest weights before it saturates `[ours]`.
const HEADROOM: f64 = 8.0;

/// Where the point of a projection's weights is: `weight = raw / 2^shift`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    shift: u32,
}

impl Scale {
    /// The finest scale on which the largest weight, by magnitude, leaves room for sums. `largest`: of weights to come; else that of those
    /// given.
    pub(crate) fn new(largest: Option<f64>, weights: &[f32]) -> Self {
        let largest = largest.unwrap_or_else(|| f64::from(weights.iter().fold(0.0f32, |m, w| m.max(w.abs()))));
        let fits = |shift: &u32| largest * HEADROOM * f64::from(1u32 << shift) <= f64::from(i16::MAX);
        Scale { shift: (0..=15).rev().find(fits).unwrap_or(0) }
    }
    /// The distance between two weights.
    pub(crate) fn step(self) -> f64 {
        1.0 / f64::from(1u32 << self.shift)
    }
    /// The largest weight.
    pub(crate) fn most(self) -> f64 {
        f64::from(i16::MAX) * self.step()
    }
    /// Whether a weight is larger than that.
    pub(crate) fn clips(self, w: f32) -> bool {
        f64::from(w).abs() > self.most()
    }
    /// The bits of the nearest weight.
    pub(crate) fn raw(self, w: f32) -> i16 {
        (f64::from(w) / self.step()).round() as i16 // saturates
    }
    /// The weight of these bits.
    pub(crate) fn weight(self, raw: i16) -> f32 {
        (f64::from(raw) * self.step()) as f32
    }
    /// A sum of a ring buffer as the neurons' number.
    pub(crate) fn input(self, sum: i16) -> Fix<15> {
        Fix::from_raw(i32::from(sum) << (15 - self.shift))
    }
}

/// What the targets of a projection will hear in the steps to come: sums of 16 bits that saturate.
#[derive(Clone, Debug)]
pub(crate) struct Ring {
    sums: Vec<i16>, // [slot][target]
    targets: usize,
}

impl Ring {
    pub(crate) fn new(targets: usize) -> Self {
        Ring { sums: vec![0; RING_SLOTS * targets], targets }
    }
    pub(crate) fn clear(&mut self) {
        self.sums.fill(0);
    }
    /// Adds to what `target` hears at step `t`; returns whether the sum saturated.
    #[inline(always)]
    pub(crate) fn add(&mut self, t: usize, target: u32, weight: i16) -> bool {
        let sum = &mut self.sums[t % RING_SLOTS * self.targets + target as usize];
        let (exact, over) = sum.overflowing_add(weight);
        *sum = if over { sum.saturating_add(weight) } else { exact };
        over
    }
    /// Adds what is heard at step `t` to the inputs, and makes room for a later step.
    pub(crate) fn hear(&mut self, t: usize, scale: Scale, into: &mut [Fix<15>]) {
        let sums = &mut self.sums[t % RING_SLOTS * self.targets..][..self.targets];
        for (sum, into) in sums.iter_mut().zip(into) {
            *into += scale.input(std::mem::take(sum));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use snn_core::Real;

    #[test]
    fn scales_are_as_fine_as_the_largest_weight_lets_them_be() {
        for (largest, shift) in [(0.0, 15), (0.1, 15), (0.2, 14), (1.0, 11), (7.4, 9), (4096.0, 0), (1e9, 0)] {
            assert_eq!(Scale::new(Some(largest), &[]), Scale { shift }, "{largest}");
        }
        let scale = Scale::new(None, &[0.25, -1.0]);
        assert_eq!((scale.step(), scale.raw(0.25), scale.weight(512), scale.raw(1e9)), (1.0 / 2048.0, 512, 0.25, i16::MAX));
        assert!(scale.clips(16.0) && !scale.clips(-15.9));
    }

    #[test]
    fn rings_turn_and_saturate() {
        let (scale, mut ring) = (Scale { shift: 11 }, Ring::new(2));
        assert!(!ring.add(3, 1, 20_000) && ring.add(3, 1, 20_000) && !ring.add(18, 0, -2048));
        let mut heard = |t: usize| {
            let mut input = [Fix::<15>::of(0.0); 2];
            ring.hear(t, scale, &mut input);
            input.map(Real::value)
        };
        assert_eq!((heard(3), heard(4)), ([0.0, 32767.0 / 2048.0], [0.0, 0.0]));
        assert_eq!((heard(18), heard(34)), ([-1.0, 0.0], [0.0, 0.0]), "heard once");
    }
}
