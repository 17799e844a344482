//! Weights of 16 bits with a scale per projection, as ring buffers add them up.

use super::cells::Number;
use super::cost::RING_SLOTS;
use snn_core::Fix;

/// A ring buffer holds a sum of so many of the largest weights before it saturates `[ours]`.
const HEADROOM: f64 = 8.0;

/// Bits after the point of the neurons' number.
const POINT: u32 = 15;

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
    /// The finest scale on which the weights themselves fit: for packets with values, whose products are added up with more bits.
    pub(crate) fn fine(largest: Option<f64>, weights: &[f32]) -> Self {
        let largest = largest.unwrap_or_else(|| f64::from(weights.iter().fold(0.0f32, |m, w| m.max(w.abs()))));
        Self::new(Some(largest / HEADROOM), &[])
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
    /// A weight times the value of an event, in multiples of `2^−point`, rounded.
    #[inline(always)]
    fn product(self, raw: i16, value: Number, point: u32) -> i64 {
        let (exact, down) = (i64::from(raw) * i64::from(value.raw()), self.shift + POINT - point);
        (exact + (1 << down >> 1)) >> down
    }
}

/// What the targets of a projection will hear in the steps to come: sums that saturate.
#[derive(Clone, Debug)]
pub(crate) struct Ring {
    sums: Vec<i32>, // [slot][target]
    targets: usize,
    scale: Scale,
    /// Bits after the point, and the largest sum.
    point: u32,
    most: i32,
}

impl Ring {
    /// Sums of weights, of 16 bits.
    pub(crate) fn narrow(targets: usize, scale: Scale) -> Self {
        Ring { sums: vec![0; RING_SLOTS * targets], targets, scale, point: scale.shift, most: i16::MAX.into() }
    }
    /// Sums of products with values, of 32 bits, as the neurons' numbers.
    pub(crate) fn wide(targets: usize, scale: Scale) -> Self {
        Ring { sums: vec![0; RING_SLOTS * targets], targets, scale, point: POINT, most: i32::MAX }
    }
    pub(crate) fn clear(&mut self) {
        self.sums.fill(0);
    }
    /// Adds to what `target` hears at step `t`; returns whether the sum saturated.
    #[inline(always)]
    pub(crate) fn add(&mut self, t: usize, target: u32, weight: i16) -> bool {
        self.put(t, target, i64::from(weight))
    }
    /// Adds a weight times the value of an event.
    #[inline(always)]
    pub(crate) fn add_value(&mut self, t: usize, target: u32, weight: i16, value: Number) -> bool {
        let product = self.scale.product(weight, value, self.point);
        self.put(t, target, product)
    }
    #[inline(always)]
    fn put(&mut self, t: usize, target: u32, x: i64) -> bool {
        let sum = &mut self.sums[t % RING_SLOTS * self.targets + target as usize];
        let exact = i64::from(*sum) + x;
        *sum = exact.clamp(-i64::from(self.most) - 1, self.most.into()) as i32;
        i64::from(*sum) != exact
    }
    /// Adds what is heard at step `t` to the inputs, and makes room for a later step.
    pub(crate) fn hear(&mut self, t: usize, into: &mut [Number]) {
        let sums = &mut self.sums[t % RING_SLOTS * self.targets..][..self.targets];
        for (sum, into) in sums.iter_mut().zip(into) {
            *into += Fix::from_raw(std::mem::take(sum) << (POINT - self.point));
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
        let mut ring = Ring::narrow(2, Scale { shift: 11 });
        assert!(!ring.add(3, 1, 20_000) && ring.add(3, 1, 20_000) && !ring.add(18, 0, -2048));
        let mut heard = |t: usize| {
            let mut input = [Fix::<15>::of(0.0); 2];
            ring.hear(t, &mut input);
            input.map(Real::value)
        };
        assert_eq!((heard(3), heard(4)), ([0.0, 32767.0 / 2048.0], [0.0, 0.0]));
        assert_eq!((heard(18), heard(34)), ([-1.0, 0.0], [0.0, 0.0]), "heard once");
    }

    #[test]
    fn values_are_multiplied_and_rounded() {
        let scale = Scale::fine(None, &[0.75, -1.5]);
        assert_eq!((scale.shift, scale.raw(-1.5)), (14, -24576), "no room for sums is needed");
        let heard = |mut ring: Ring, weight: f32, value: f64| {
            let mut input = [Fix::<15>::of(0.0)];
            let over = ring.add_value(0, 0, scale.raw(weight), Number::of(value));
            ring.hear(0, &mut input);
            (input[0].value(), over)
        };
        assert_eq!(heard(Ring::wide(1, scale), -1.5, 2.25), (-3.375, false));
        assert_eq!(heard(Ring::wide(1, scale), 0.75, 2f64.powi(-15)), (2f64.powi(-15), false), "three quarters of the last bit");
        assert_eq!(heard(Ring::wide(1, scale), -1.5, 60_000.0), (-65_536.0, true));
        // 16 bits with 14 after the point end at 2.
        assert_eq!(heard(Ring::narrow(1, scale), 0.75, 2.0), (1.5, false));
        assert_eq!(heard(Ring::narrow(1, scale), 1.5, 2.0), (2.0 - 2f64.powi(-14), true));
    }
}
