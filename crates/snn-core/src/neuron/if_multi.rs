use super::{Neuron, Output, Param, Range, Value};
use crate::Real;
use serde::{Deserialize, Serialize};

/// The integrate-and-fire neuron that fires as often as it must within a step: none of its input waits for a later one.
///
/// ```text
/// v[t] = v[t−1] + x[t]
/// n[t] = max(⌈v[t]/v_th⌉ − 1, 0),   v[t] ← v[t] − n[t]·v_th       it fires while v > v_th, reset by subtraction
/// ```
/// The output is one event of value `n` in each step with `n > 0`. Order within a step: input, threshold (strict), reset. With at most one spike a step it is
/// [`If`](super::If) with reset by subtraction. Derivatives: `∂n/∂v = 1/v_th` where there are spikes, the slope of the stairs; the reset has none.
///
/// | parameter | meaning | default |
/// |---|---|---|
/// | `v_th` | threshold | 1 |
///
/// Source: the neuron of sinabs (`IAF` with `MultiSpike` and `MembraneSubtract`), whose threshold is not strict; NIR's `IF` as networks of that library mean it.
///
/// ```
/// use snn_core::neuron::{IfMulti, Neuron};
/// let c = IfMulti::default().consts::<f64>(0, 1e-3);
/// assert_eq!(IfMulti::step(c, [0.5], 0.0, [2.75]), ([0.25], 3.0));      // three spikes, and the surplus is kept
/// assert_eq!(IfMulti::step(c, [0.25], 0.0, [0.75]), ([1.0], 0.0));      // at threshold is not above it
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IfMulti {
    /// Threshold.
    pub v_th: Value,
}

impl Default for IfMulti {
    fn default() -> Self {
        IfMulti { v_th: Value::Shared(1.0) }
    }
}

impl Neuron for IfMulti {
    const NAME: &'static str = "if_multi";
    const OUTPUT: Output = Output::Rectified;
    const AFFINE: bool = false;
    type State<R: Real> = [R; 1];
    type Inputs<R: Real> = [R; 1];
    type Params<R: Real> = [R; 1];
    type Consts<R: Real> = [R; 1];

    fn params(&self) -> Vec<Param<'_>> {
        vec![Param::new("v_th", &self.v_th, Range::Positive).fixed()] // stairs have no slope by the threshold
    }

    fn derive<R: Real>(&self, p: [R; 1], _: f64) -> [R; 1] {
        p
    }

    #[inline(always)]
    fn step<R: Real>([v_th]: [R; 1], [v]: [R; 1], _: R, [x]: [R; 1]) -> ([R; 1], R) {
        let v = v + x;
        let n = (v / v_th - R::of(1.0)).max(R::of(0.0)).ceil();
        ([v - v_th * n.damp(R::of(0.0))], n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neuron::If;

    #[test]
    fn nothing_waits_and_nothing_is_lost() {
        // In steps of a sixteenth, exact in binary: all that came in is in the spikes and what is left of it.
        let c = IfMulti { v_th: 0.75.into() }.consts::<f64>(0, 1e-3);
        let (mut v, mut sum, mut count, mut most) = ([0.0], 0.0, 0.0, 0.0f64);
        for t in 0..200 {
            let x = f64::from(t * 7 % 37) / 16.0 - 0.5;
            let n;
            (v, n) = IfMulti::step(c, v, 0.0, [x]);
            (sum, count, most) = (sum + x, count + n, most.max(n));
            assert!(v[0] <= 0.75 && n >= 0.0 && n.fract() == 0.0, "{v:?} after {n} spikes");
            assert_eq!(sum, v[0] + 0.75 * count);
        }
        assert!(count > 150.0 && most > 1.0);
    }

    #[test]
    fn with_a_spike_a_step_at_most_it_is_the_simple_neuron() {
        let (c, d) = (IfMulti::default().consts::<f64>(0, 1e-3), If::default().consts::<f64>(0, 1e-3));
        let (mut v, mut w, mut z) = ([0.0], [0.0], 0.0);
        for t in 0..100 {
            let x = [f64::from(t * 5 % 16) / 16.0];
            let (n, u);
            (v, n) = IfMulti::step(c, v, 0.0, x);
            (w, u) = If::step(d, w, z, x);
            z = f64::from(u > 0.0);
            assert_eq!((n, v[0]), (z, w[0] - z));
        }
    }
}
