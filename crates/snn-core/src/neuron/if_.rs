use super::{Neuron, Output, Param, Range, Reset, Value};
use crate::Real;
use serde::{Deserialize, Serialize};

/// The integrate-and-fire neuron without leak: the counterpart of a ReLU in converted networks.
///
/// ```text
/// v[t] = v[t−1] + x[t] − v_th·z[t−1]                   reset by subtraction
/// v[t] = v[t−1]·(1 − z[t−1]) + r·z[t−1] + x[t]         reset to the value r
/// z[t] = H(v[t] − v_th)
/// ```
/// Order within a step: reset, input, threshold (strict).
///
/// | parameter | meaning | default |
/// |---|---|---|
/// | `v_th` | threshold | 1 |
/// | `reset` | by subtraction of `v_th`, or to a value | subtract |
/// | `reset_grad` | share of the derivative that passes through the reset; 0 is "detached" | 0 |
///
/// Source: Rueckauer et al. 2017, eqs. 1, 3 and 4; NIR's `IF` without resistance.
///
/// ```
/// use snn_core::neuron::{If, Neuron};
/// let c = If::default().consts::<f64>(0, 1e-3);
/// let ([v], u) = If::step(c, [0.75], 0.0, [0.5]);
/// assert!(u > 0.0 && v == 1.25);                              // fires
/// assert_eq!(If::step(c, [v], 1.0, [0.0]).0, [0.25]);           // and keeps the surplus
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct If {
    /// Threshold.
    pub v_th: Value,
    /// What a spike does to the membrane.
    pub reset: Reset,
    /// Share (0…1) of the derivative that passes through the reset. Must be 0 for a reset to a value.
    pub reset_grad: Value,
}

impl Default for If {
    fn default() -> Self {
        If { v_th: Value::Shared(1.0), reset: Reset::Subtract, reset_grad: Value::Shared(0.0) }
    }
}

impl Neuron for If {
    const NAME: &'static str = "if";
    const OUTPUT: Output = Output::Spike;
    type State<R: Real> = [R; 1];
    type Inputs<R: Real> = [R; 1];
    type Params<R: Real> = [R; 2];
    type Consts<R: Real> = [R; 4];

    fn params(&self) -> Vec<Param<'_>> {
        vec![Param::new("v_th", &self.v_th, Range::Positive), Param::new("reset_grad", &self.reset_grad, Range::Unit).fixed()]
    }

    fn derive<R: Real>(&self, [v_th, grad]: [R; 2], _: f64) -> [R; 4] {
        let (zero, one) = (R::of(0.0), R::of(1.0));
        match self.reset {
            Reset::Subtract => [v_th, v_th, zero, grad],
            Reset::To(r) => [v_th, R::of(-r), one, zero],
        }
    }

    #[inline(always)]
    fn step<R: Real>([v_th, drop, hard, grad]: [R; 4], [v]: [R; 1], z: R, [x]: [R; 1]) -> ([R; 1], R) {
        let z = z.damp(grad);
        let v = v - hard * v * z + x - drop * z; // reset, input
        ([v], v - v_th)
    }

    fn jump<R: Real>(_: [R; 4], s: [R; 1], _: u32) -> Option<[R; 1]> {
        Some(s) // nothing leaks
    }

    fn ceiling<R: Real>([v_th, ..]: [R; 4], [v]: [R; 1]) -> R {
        v - v_th
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_the_floor_of_the_sum() {
        // A constant drive of 0.3 over 100 steps; subtraction loses nothing, so ⌈30⌉ − 1 spikes (strict threshold) or 30 up to rounding.
        let c = If::default().consts::<f64>(0, 1e-3);
        let (mut s, mut z, mut count) = ([0.0], 0.0, 0);
        for _ in 0..100 {
            let u;
            (s, u) = If::step(c, s, z, [0.3125]); // exact in binary
            z = f64::from(u > 0.0);
            count += usize::from(u > 0.0);
        }
        assert_eq!((count, s[0] - z), (31, 0.25)); // 31.25 in all
    }
}
