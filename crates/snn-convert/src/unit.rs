//! A gate written as spikes: the coefficients that few-spikes neurons and AMOS circuits share.

use serde::{Deserialize, Serialize};

/// The code of one gate `f`: K binary decisions, one after the other, and what each is worth.
///
/// ```text
/// z_i = H(s_i·x − Σ_{j<i} h_ij·z_j − T_i),   i = 1…K
/// f̂(x) = c_0 + Σ_i s_i·c_i·z_i
/// ```
/// In space it is an AMOS circuit: neuron `i` of K decides `z_i` (Stöckl & Maass 2019). Where no `h_ij` depends on `i`, it is as well
/// a few-spikes neuron, which decides one after the other in time (Stöckl & Maass 2021); with signs the reset `h_j` then acts on the potential, so `h_ij = s_i·s_j·h_j`.
///
/// ```
/// use snn_convert::Unit;
/// let unit = Unit::relu(4, 16.0);                             // multiples of 1 up to 15
/// assert_eq!(unit.at(11.5), 11.0);
/// assert_eq!(unit.spikes(11.5), [true, false, true, true]);   // 8 + 2 + 1
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// T.
    pub threshold: Vec<f64>,
    /// h, one row for each decision: those of the decisions before it.
    pub lateral: Vec<Vec<f64>>,
    /// c.
    pub weight: Vec<f64>,
    /// c_0: what is worth nothing is worth this. Whoever hears the gate has it in its bias.
    #[serde(default)]
    pub base: f64,
    /// Whether every other decision (`i` = 2, 4 …) is about −x: s = −1 there.
    pub signed: bool,
}

impl Unit {
    /// The code of a few-spikes neuron with thresholds T, resets h and weights d.
    pub fn few_spikes(threshold: Vec<f64>, reset: &[f64], weight: Vec<f64>, signed: bool) -> Self {
        let side = |i: usize| if signed && i % 2 == 1 { -1.0 } else { 1.0 };
        let lateral = (0..threshold.len()).map(|i| (0..i).map(|j| side(i) * side(j) * reset[j]).collect()).collect();
        Unit { threshold, lateral, weight, base: 0.0, signed }
    }

    /// The rectifier in closed form, cut to multiples of `alpha·2^−steps`: `T_i = h_i = c_i = alpha·2^−i`.
    pub fn relu(steps: usize, alpha: f64) -> Self {
        let ladder: Vec<f64> = (1..=steps as i32).map(|i| alpha * 0.5f64.powi(i)).collect();
        Unit::few_spikes(ladder.clone(), &ladder.clone(), ladder, false)
    }

    /// The nearest of `2^steps` levels from `low` to `high`: `T_i = low + α·2^−i − lsb/2`, `h_i = c_i = α·2^−i`, `c_0 = low` with
    /// `α = (high − low)/(1 − 2^−steps)` and `lsb = α·2^−steps`. What lies at `low` or below costs no spike. With `low` = 0 it is the rectifier, rounded
    /// instead of cut; a level is exactly itself.
    pub fn levels(steps: usize, low: f64, high: f64) -> Self {
        let alpha = (high - low) / (1.0 - 0.5f64.powi(steps as i32));
        let ladder: Vec<f64> = (1..=steps as i32).map(|i| alpha * 0.5f64.powi(i)).collect();
        let half = 0.5 * ladder.last().copied().unwrap_or(0.0);
        Unit { base: low, ..Unit::few_spikes(ladder.iter().map(|rung| low + rung - half).collect(), &ladder.clone(), ladder, false) }
    }

    /// The identity between ±alpha: two rectifiers of half as many decisions, taken in turns. `steps` must be even.
    pub fn in_turns(steps: usize, alpha: f64) -> Self {
        let ladder: Vec<f64> = (1..=steps as i32 / 2).flat_map(|i| [alpha * 0.5f64.powi(i); 2]).collect();
        Unit::few_spikes(ladder.clone(), &ladder.clone(), ladder, true)
    }

    /// K.
    pub fn steps(&self) -> usize {
        self.threshold.len()
    }

    /// s.
    pub fn side(&self, i: usize) -> f64 {
        if self.signed && i % 2 == 1 { -1.0 } else { 1.0 }
    }

    /// The resets of a few-spikes neuron with this code; `None` if it needs a circuit.
    pub fn reset(&self) -> Option<Vec<f64>> {
        let of = |i: usize, j: usize| self.side(i) * self.side(j) * self.lateral[i][j];
        let steps = self.steps();
        // The last one changes nothing.
        let reset: Vec<f64> = (0..steps).map(|j| if j + 1 < steps { of(j + 1, j) } else { 0.0 }).collect();
        (0..steps).all(|i| (0..i).all(|j| of(i, j) == reset[j])).then_some(reset)
    }

    /// Calls `spike(i)` for every decision that is a spike.
    fn decide(&self, x: f64, mut spike: impl FnMut(usize)) {
        let mut fired = Vec::with_capacity(self.steps());
        for i in 0..self.steps() {
            let inhibition: f64 = fired.iter().map(|&j: &usize| self.lateral[i][j]).sum();
            if self.side(i) * x - inhibition > self.threshold[i] {
                fired.push(i);
                spike(i);
            }
        }
    }

    /// Which decisions are spikes.
    pub fn spikes(&self, x: f64) -> Vec<bool> {
        let mut spikes = vec![false; self.steps()];
        self.decide(x, |i| spikes[i] = true);
        spikes
    }

    /// f̂(x).
    pub fn at(&self, x: f64) -> f64 {
        let mut sum = self.base;
        self.decide(x, |i| sum += self.side(i) * self.weight[i]);
        sum
    }

    /// Mean squared error against `f` on points, and the mean number of spikes, each point as often as its weight says.
    pub fn error(&self, points: &[(f64, f64)], f: impl Fn(f64) -> f64) -> Quality {
        let (mut square, mut spikes, mut worst, mut total) = (0.0, 0.0, 0.0f64, 0.0);
        for &(x, weight) in points {
            let (mut sum, mut count) = (self.base, 0.0);
            self.decide(x, |i| (sum, count) = (sum + self.side(i) * self.weight[i], count + 1.0));
            let error = sum - f(x);
            (square, spikes, total) = (square + weight * error * error, spikes + weight * count, total + weight);
            worst = worst.max(error.abs());
        }
        Quality { mse: square / total, worst, spikes: spikes / total }
    }
}

/// How good a code is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Mean squared error.
    pub mse: f64,
    /// Largest error.
    pub worst: f64,
    /// Spikes per input.
    pub spikes: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use snn_core::neuron::{FewSpikes, Neuron};

    /// The same code as the neuron of the registry runs it.
    fn neuron(unit: &Unit, x: f64) -> (Vec<bool>, f64) {
        let cell = FewSpikes {
            threshold: unit.threshold.clone(),
            reset: unit.reset().unwrap(),
            weight: unit.weight.clone(),
            signed: unit.signed,
            bias: 0.0.into(),
            pause: 0,
        };
        let (mut s, mut z, mut sum, mut spikes) = ([0.0, x], 0.0, 0.0, Vec::new());
        for phase in 0..unit.steps() {
            let c = cell.consts_at::<f64>(0, 1e-3, phase);
            let u;
            (s, u) = FewSpikes::step(c, s, z, [0.0]);
            z = f64::from(u > 0.0);
            sum += z * FewSpikes::worth(c, s);
            spikes.push(u > 0.0);
        }
        (spikes, sum)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        /// h_ij = h_j: the circuit is the neuron, on 10⁵ inputs and more in all.
        #[test]
        fn a_circuit_with_equal_laterals_is_a_few_spikes_neuron(
            coefficients in prop::collection::vec((-8i32..9, -8i32..9, -8i32..9), 1..9), signed in any::<bool>(), xs in prop::collection::vec(-3000i32..3000, 500)
        ) {
            // Eighths and 1024ths: sums are exact.
            let list = |k: usize| coefficients.iter().map(|c| f64::from([c.0, c.1, c.2][k]) / 8.0).collect::<Vec<_>>();
            let unit = Unit::few_spikes(list(0), &list(1), list(2), signed);
            for x in xs {
                let x = f64::from(x) / 1024.0;
                prop_assert_eq!(neuron(&unit, x), (unit.spikes(x), unit.at(x)));
            }
        }

        #[test]
        fn relu_is_the_clamped_floor(x in -1.0f64..20.0, steps in 1usize..12) {
            let lsb = 16.0 * 0.5f64.powi(steps as i32);
            let level = ((x / lsb).ceil() - 1.0).clamp(0.0, 2f64.powi(steps as i32) - 1.0);
            prop_assert_eq!(Unit::relu(steps, 16.0).at(x), level * lsb);
            let spikes = Unit::relu(steps, 16.0).spikes(x).into_iter().filter(|&z| z).count() as u32;
            prop_assert_eq!(spikes, (level as u64).count_ones());
        }

        #[test]
        fn levels_are_themselves_and_all_else_goes_to_the_nearest(steps in 1usize..11, low in -3i32..2, x in -0.2f64..1.2) {
            let (low, high) = (f64::from(low), f64::from(low) + 4.0 - 4.0 * 0.5f64.powi(steps as i32));
            let (unit, lsb) = (Unit::levels(steps, low, high), 4.0 * 0.5f64.powi(steps as i32));
            for level in 0..1u32 << steps {
                let x = low + f64::from(level) * lsb;
                prop_assert_eq!(unit.at(x), x);
                prop_assert_eq!(unit.spikes(x).into_iter().filter(|&z| z).count() as u32, level.count_ones());
            }
            let x = low + x * (high - low);
            prop_assert!((unit.at(x) - x.clamp(low, high)).abs() <= 0.5 * lsb + 1e-12);
        }

        #[test]
        fn turns_are_odd_and_near(x in -0.99f64..0.99, half in 1usize..8) {
            let unit = Unit::in_turns(2 * half, 1.0);
            prop_assert!((unit.at(x) - x).abs() <= 0.5f64.powi(half as i32) && unit.at(-x) == -unit.at(x));
        }
    }

    #[test]
    fn a_circuit_that_is_no_neuron_says_so() {
        let mut unit = Unit::relu(3, 1.0);
        assert_eq!(unit.reset().unwrap(), [0.5, 0.25, 0.0]);
        unit.lateral[2][0] = 0.4;
        assert_eq!(unit.reset(), None);
    }
}
