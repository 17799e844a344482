use super::{Neuron, Output, Param, Range, Value};
use crate::Real;
use serde::{Deserialize, Serialize};

/// The few-spikes neuron: one gate of a dense network, its output written into when it spikes.
///
/// ```text
/// v(1) = b + Σ x,  the input of the window before          window of K steps, τ = 1…K
/// z(τ) = H(s(τ)·v(τ) − T(τ))
/// v(τ+1) = v(τ) − s(τ)·h(τ)·z(τ)
/// f̂ = Σ s(τ)·d(τ)·z(τ)                                    an event at step τ counts s(τ)·d(τ)
/// ```
/// It fires in one window what it heard in the one before, and hears the next meanwhile: layers take one window each, and a new input may
/// follow every K steps. With a pause a window has silent steps at its end, for engines where spikes need a step to arrive. Windows begin at the steps 0, K, 2K … for all neurons, so that no layer needs a clock of its own. Nothing leaks and
/// nothing is carried from window to window. With `T = h = d = α·2^−τ` the spikes are the binary digits of a rectified input, cut
/// to multiples of `α·2^−K`. The threshold is strict.
///
/// | parameter | meaning | default |
/// |---|---|---|
/// | `threshold` | T, K numbers | α·2^−τ, K = 4, α = 1 |
/// | `reset` | h, K numbers; the last one changes nothing | the same |
/// | `weight` | d, K numbers | the same |
/// | `signed` | s: every other step (τ = 2, 4 …) answers to negative potentials with −1; else s = 1 | `false` |
/// | `bias` | b | 0 |
/// | `pause` | silent steps at the end of a window | 0 |
///
/// Source: Stöckl & Maass 2021 (arXiv 2002.00860), eqs. 1-4; signed steps: ml_genn's `FewSpikeReluInput`.
///
/// ```
/// use snn_core::neuron::{FewSpikes, Neuron};
/// let cell = FewSpikes::relu(4, 16.0);                        // multiples of 1 up to 15
/// let (mut s, mut z, mut sum) = ([0.0, 11.5], 0.0, 0.0);      // 11.5 was heard in the window before
/// for phase in 0..4 {
///     let c = cell.consts_at::<f64>(0, 1e-3, phase);
///     let u;
///     (s, u) = FewSpikes::step(c, s, z, [0.0]);
///     z = f64::from(u > 0.0);
///     sum += z * FewSpikes::worth(c, s);
/// }
/// assert_eq!(sum, 11.0);                                      // 8 + 2 + 1
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FewSpikes {
    /// T.
    pub threshold: Vec<f64>,
    /// h.
    pub reset: Vec<f64>,
    /// d.
    pub weight: Vec<f64>,
    /// Whether every other step answers to negative potentials.
    pub signed: bool,
    /// b.
    pub bias: Value,
    /// Silent steps at the end of a window.
    pub pause: usize,
}

impl FewSpikes {
    /// The rectifier in closed form: `lsb·min(⌈x/lsb⌉ − 1, 2^K − 1)` for `x > 0`, with `lsb = alpha·2^−K`; between levels that is the floor.
    pub fn relu(steps: usize, alpha: f64) -> Self {
        let ladder: Vec<f64> = (1..=steps as i32).map(|t| alpha * 0.5f64.powi(t)).collect();
        FewSpikes { threshold: ladder.clone(), reset: ladder.clone(), weight: ladder, signed: false, bias: Value::Shared(0.0), pause: 0 }
    }
}

impl Default for FewSpikes {
    fn default() -> Self {
        FewSpikes::relu(4, 1.0)
    }
}

/// What is wrong with a period, if anything is.
pub(super) fn check_period(period: usize) -> Result<(), String> {
    match period {
        1..=MOST_STEPS => Ok(()),
        _ => Err(format!("a period of {period} steps: must be 1 to {MOST_STEPS}")),
    }
}

/// Longest period.
const MOST_STEPS: usize = 1 << 20;

impl Neuron for FewSpikes {
    const NAME: &'static str = "few_spikes";
    const OUTPUT: Output = Output::Weighted;
    const GATHERS: bool = true;
    type State<R: Real> = [R; 2];
    type Inputs<R: Real> = [R; 1];
    type Params<R: Real> = [R; 1];
    type Consts<R: Real> = [R; 11];

    fn params(&self) -> Vec<Param<'_>> {
        vec![Param::new("bias", &self.bias, Range::Finite)]
    }

    fn check(&self) -> Result<(), String> {
        let steps = self.threshold.len();
        check_period(steps)?;
        check_period(self.period())?;
        for (name, list) in [("threshold", &self.threshold), ("reset", &self.reset), ("weight", &self.weight)] {
            if list.len() != steps {
                return Err(format!("`{name}` has {} values, `threshold` has {steps}; give one per step", list.len()));
            }
            if let Some(t) = list.iter().position(|x| !x.is_finite()) {
                return Err(format!("`{name}` = {} (step {t}): must be a finite number", list[t]));
            }
        }
        Ok(())
    }

    fn derive<R: Real>(&self, p: [R; 1], dt: f64) -> [R; 11] {
        self.derive_at(p, dt, 0)
    }

    fn period(&self) -> usize {
        self.threshold.len().saturating_add(self.pause)
    }

    fn silent(&self) -> usize {
        self.pause
    }

    fn derive_at<R: Real>(&self, [bias]: [R; 1], _: f64, phase: usize) -> [R; 11] {
        let steps = self.period();
        let side = |t: usize| if self.signed && t % 2 == 1 { -1.0 } else { 1.0 };
        let begins = f64::from(phase == 0);
        let drop = phase.checked_sub(1).and_then(|t| Some(side(t) * self.reset.get(t)?)).unwrap_or(0.0);
        let least = self.threshold.iter().copied().fold(f64::INFINITY, f64::min);
        let wait = (steps - phase) % steps;
        // In a pause `u = 0·v − 1`.
        let (side, threshold, worth) = match (self.threshold.get(phase), self.weight.get(phase)) {
            (Some(&threshold), Some(&weight)) => (side(phase), threshold, side(phase) * weight),
            _ => (0.0, 1.0, 0.0),
        };
        let mirror = f64::from(self.signed);
        let [goes_on, begins, drop, side, threshold, worth] = [1.0 - begins, begins, drop, side, threshold, worth].map(R::of);
        let [wait, steps, least, mirror] = [wait as f64, steps as f64, least, mirror].map(R::of);
        [goes_on, begins, bias, drop, side, threshold, worth, wait, steps, least, mirror]
    }

    #[inline(always)]
    fn step<R: Real>([goes_on, begins, bias, drop, side, threshold, ..]: [R; 11], [v, heard]: [R; 2], z: R, [x]: [R; 1]) -> ([R; 2], R) {
        let v = goes_on * (v - drop * z) + begins * (heard + bias);
        let heard = goes_on * heard + x;
        ([v, heard], side * v - threshold)
    }

    fn worth<R: Real>([_, _, _, _, _, _, worth, ..]: [R; 11], _: Self::State<R>) -> R {
        worth
    }

    fn jump<R: Real>([_, _, bias, _, _, _, _, wait, steps, ..]: [R; 11], [v, heard]: [R; 2], n: u32) -> Option<[R; 2]> {
        let (n, zero) = (R::of(f64::from(n)), R::of(0.0));
        Some(match () {
            () if n > wait + steps => [bias, zero], // a window of silence and more
            () if n > wait => [heard + bias, zero],
            () => [v, heard],
        })
    }

    fn ceiling<R: Real>([_, _, bias, _, _, _, _, _, _, least, mirror]: [R; 11], [v, heard]: [R; 2]) -> R {
        let larger = |a: R, b: R| if a > b { a } else { b };
        let both = |x: R| larger(x, -(mirror * x));
        larger(both(v), larger(both(heard + bias), both(bias))) - least
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Spikes and decoded output for an input, in f32 as an engine runs it.
    fn run(cell: &FewSpikes, x: f32) -> (Vec<u8>, f32) {
        let (mut s, mut z, mut sum, mut spikes) = ([0.0f32, x], 0.0f32, 0.0f32, Vec::new());
        for phase in 0..cell.period() {
            let c = cell.consts_at::<f32>(0, 1e-3, phase);
            let u;
            (s, u) = FewSpikes::step(c, s, z, [0.0]);
            z = f32::from(u8::from(u > 0.0));
            sum += z * FewSpikes::worth(c, s);
            spikes.push(z as u8);
        }
        (spikes, sum)
    }

    /// `lsb·clamp(⌈x/lsb⌉ − 1, 0, 2^K − 1)`: the floor, but one less on a level, since thresholds are strict.
    fn levels(x: f32, steps: usize, alpha: f64) -> (u32, f32) {
        let lsb = alpha * 0.5f64.powi(steps as i32);
        let level = ((f64::from(x) / lsb).ceil() - 1.0).clamp(0.0, 2f64.powi(steps as i32) - 1.0);
        (level as u32, (level * lsb) as f32)
    }

    #[test]
    fn relu_is_the_clamped_floor_bit_by_bit_on_a_million_inputs() {
        let cell = FewSpikes::relu(10, 25.0);
        let mut rng = crate::Seed::new(1).rng();
        for _ in 0..1_000_000 {
            let x: f32 = rand::RngExt::random_range(&mut rng, -2.0f32..27.0);
            let (spikes, y) = run(&cell, x);
            let (level, expected) = levels(x, 10, 25.0);
            assert_eq!(y, expected, "{x}");
            assert_eq!(spikes.iter().map(|&z| u32::from(z)).sum::<u32>(), level.count_ones(), "{x}");
        }
        assert_eq!(run(&cell, 12.5).0.iter().filter(|&&z| z == 1).count(), 9, "on a level: one less");
    }

    proptest! {
        #[test]
        fn every_level_negatives_and_saturation(steps in 1usize..=12, exponent in -4i32..8) {
            let alpha = 2f64.powi(exponent);
            let (cell, lsb) = (FewSpikes::relu(steps, alpha), alpha * 0.5f64.powi(steps as i32));
            for level in -3..(1i32 << steps) + 5 {
                for x in [f64::from(level) * lsb, (f64::from(level) + 0.5) * lsb] {
                    prop_assert_eq!(run(&cell, x as f32).1, levels(x as f32, steps, alpha).1, "{} at K = {}", x, steps);
                }
            }
        }

        /// Every other step takes what is above its threshold on one side: the rest stays below the last thresholds.
        #[test]
        fn signed_steps_approach_both_sides(x in -0.99f32..0.99, half in 1usize..6) {
            let ladder: Vec<f64> = (1..=half as i32).flat_map(|t| [0.5f64.powi(t); 2]).collect();
            let cell = FewSpikes { threshold: ladder.clone(), reset: ladder.clone(), weight: ladder, signed: true, bias: 0.0.into(), pause: 0 };
            let (spikes, y) = run(&cell, x);
            prop_assert!((y - x).abs() <= 0.5f32.powi(half as i32), "{} for {}: {:?}", y, x, spikes);
            prop_assert!(spikes.iter().enumerate().all(|(t, &z)| z == 0 || (t % 2 == 0) == (x > 0.0)), "{} {:?}", x, spikes);
        }
    }

    #[test]
    fn a_pause_is_silent_and_changes_nothing_else() {
        let paused = FewSpikes { pause: 2, ..FewSpikes::relu(4, 16.0) };
        for x in [-1.0, 0.5, 3.2, 11.5, 40.0] {
            let (without, with) = (run(&FewSpikes::relu(4, 16.0), x), run(&paused, x));
            assert_eq!((without.1, &without.0[..], [0u8; 2]), (with.1, &with.0[..4], [with.0[4], with.0[5]]), "{x}");
        }
        assert_eq!((paused.period(), paused.silent()), (6, 2));
        let endless = crate::neuron::Model::from(FewSpikes { pause: usize::MAX, ..FewSpikes::default() });
        assert!(endless.check(1).unwrap_err().contains("a period of"));
    }

    #[test]
    fn impossible_coefficients_are_named() {
        let refused = |cell: FewSpikes| crate::neuron::Model::from(cell).check(1).unwrap_err();
        assert!(refused(FewSpikes { reset: vec![1.0; 3], ..FewSpikes::default() }).contains("`reset` has 3 values, `threshold` has 4"));
        assert!(refused(FewSpikes { weight: vec![f64::NAN; 4], ..FewSpikes::default() }).contains("`weight` = NaN (step 0)"));
        assert!(refused(FewSpikes::relu(0, 1.0)).contains("a period of 0 steps"));
    }
}
