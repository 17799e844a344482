//! Smooth random manifolds: a classification task in spike times, of tunable difficulty.

use crate::{
    error::{DataError, check, count},
    packed::{Generated, Packed},
};
use rand::RngExt;
use snn_core::Seed;
use std::f64::consts::TAU;

const OF: &str = "RandmanParams";
/// As in the released code.
const MAX_CUTOFF: f64 = 1000.0;

/// What the manifolds are like. The default is that of the released generator.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `classes` | 10 | manifolds |
/// | `inputs` | 100 | embedding dimension D: input channels, one spike each |
/// | `steps` | 100 | time steps of a trial |
/// | `manifold_dim` | 2 | intrinsic dimension d |
/// | `alpha` | 2 | smoothness α: larger is smoother, easier |
/// | `precision` | 10⁻³ | amplitude below which Fourier terms are cut off |
/// | `per_class` | 1000 | trials of each class |
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct RandmanParams {
    /// Number of classes, at least 1.
    pub classes: usize,
    /// Embedding dimension: number of input channels, at least 1; `inputs · steps` at most 2³².
    pub inputs: usize,
    /// Time steps of a trial, at least 1.
    pub steps: usize,
    /// Intrinsic dimension of each manifold, at least 1.
    pub manifold_dim: usize,
    /// Exponent of the fall-off of the Fourier amplitudes, above 0.
    pub alpha: f64,
    /// Amplitude `k^−α` at which the Fourier series is cut off, above 0 and at most 1.
    pub precision: f64,
    /// Number of trials of each class, at least 1.
    pub per_class: usize,
}

impl Default for RandmanParams {
    fn default() -> Self {
        RandmanParams { classes: 10, inputs: 100, steps: 100, manifold_dim: 2, alpha: 2.0, precision: 1e-3, per_class: 1000 }
    }
}

impl RandmanParams {
    /// Number of Fourier terms, `K = min(⌈precision^(−1/α)⌉, 1000)`.
    pub fn cutoff(&self) -> usize {
        // A hair less, so that the rounding of the power cannot add a term: 10⁻³ to the power −1/3 is 10, not 11.
        (self.precision.powf(-1.0 / self.alpha) * (1.0 - 1e-12)).ceil().clamp(1.0, MAX_CUTOFF) as usize
    }

    fn check(&self) -> Result<(), DataError> {
        count(OF, "classes", self.classes)?;
        count(OF, "inputs", self.inputs)?;
        count(OF, "steps", self.steps)?;
        check(Packed::fits(self.inputs, self.steps), OF, "inputs", self.inputs, "at most 2³² / steps")?;
        count(OF, "manifold_dim", self.manifold_dim)?;
        count(OF, "per_class", self.per_class)?;
        check(self.alpha > 0.0 && self.alpha.is_finite(), OF, "alpha", self.alpha, "finite and above 0")?;
        check(self.precision > 0.0 && self.precision <= 1.0, OF, "precision", self.precision, "above 0 and at most 1")
    }
}

impl RandmanParams {
    /// Points on smooth random manifolds, one manifold per class, as spike times: every input fires once, and only when matters.
    ///
    /// Input `i` of a class has the coordinate, over intrinsic coordinates `x` uniform in `[0, 1)^d`,
    ///
    /// `f_i(x) = Π_j Σ_{k=1..K} θᴬ_ijk · k^−α · sin(2π (k · x_j · θᴮ_ijk + θᶜ_ijk))`, with all `θ` uniform in `[0, 1)`.
    ///
    /// Each coordinate is brought to `[0, 1)` over the points of its class, `y = (f − min)/(max − min + 10⁻⁷)`, and the spike comes in step
    /// `⌊y · steps⌋`. Trial `n` is of class `n mod classes`; take training and test trials from one data set with [`split()`](crate::split()).
    ///
    /// Cost: `classes · per_class · inputs · d · K` sines when made (64 million, about a second, by default); 4 bytes per event afterwards.
    ///
    /// Source: Zenke and Vogels 2021, "The remarkable robustness of surrogate gradient learning", Neural Computation 33, and its generator
    /// (github.com/fzenke/randman).
    /// Departure: the released code lets the frequency factor run from 0 to K − 1, with the amplitude of its constant term set to zero; here
    /// frequency and amplitude both count from 1, as in the equation.
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    ///
    /// ```
    /// use snn_core::{Dataset, Raster, Seed};
    /// use snn_data::RandmanParams;
    /// let task = RandmanParams { inputs: 20, per_class: 5, ..Default::default() }.generate(Seed::new(1))?;
    /// let mut trial = Raster::default();
    /// task.load(0, &mut trial);
    /// assert_eq!((task.len(), trial.len()), (50, 20));       // one spike per input
    /// # Ok::<(), snn_data::DataError>(())
    /// ```
    pub fn generate(&self, seed: Seed) -> Result<Generated, DataError> {
        let params = self;
        params.check()?;
        let classes: Vec<Vec<f64>> = (0..params.classes as u64)
            .map(|class| {
                let manifold = Manifold::new(params, seed.child("manifolds").nth(class));
                coordinates(params, &manifold, seed.child("points").nth(class))
            })
            .collect();
        let mut trials = Generated::new("randman".into(), params.classes, params.inputs, params.steps);
        for point in 0..params.per_class {
            for coordinates in &classes {
                let row = &coordinates[point * params.inputs..][..params.inputs];
                trials.push(row.iter().enumerate().map(|(input, y)| (((y * params.steps as f64) as usize).min(params.steps - 1), input)));
            }
        }
        Ok(trials)
    }
}

/// The points of a class in its embedding space, `[per_class × inputs]`, each column brought to `[0, 1)`.
fn coordinates(params: &RandmanParams, manifold: &Manifold, seed: Seed) -> Vec<f64> {
    let inputs = params.inputs;
    let mut points = vec![0.0; params.per_class * inputs];
    for (n, point) in points.chunks_exact_mut(inputs).enumerate() {
        let mut rng = seed.nth(n as u64).rng();
        let x: Vec<f64> = (0..params.manifold_dim).map(|_| rng.random()).collect();
        manifold.at(&x, point);
    }
    for input in 0..inputs {
        let column = || points.iter().skip(input).step_by(inputs);
        let (min, max) = (column().copied().fold(f64::INFINITY, f64::min), column().copied().fold(f64::NEG_INFINITY, f64::max));
        points.iter_mut().skip(input).step_by(inputs).for_each(|y| *y = (*y - min) / (max - min + 1e-7));
    }
    points
}

/// `a · sin(w · x + p)`.
struct Term {
    amplitude: f64,
    frequency: f64,
    phase: f64,
}

/// The functions `f_i`: terms `[inputs × manifold_dim × cutoff]`.
struct Manifold {
    dim: usize,
    cutoff: usize,
    terms: Vec<Term>,
}

impl Manifold {
    fn new(params: &RandmanParams, seed: Seed) -> Self {
        let (dim, cutoff) = (params.manifold_dim, params.cutoff());
        let mut rng = seed.rng();
        let mut term = |k: f64| {
            let [a, b, c]: [f64; 3] = rng.random();
            Term { amplitude: a * k.powf(-params.alpha), frequency: TAU * k * b, phase: TAU * c }
        };
        let terms = (0..params.inputs * dim).flat_map(|_| 1..=cutoff).map(|k| term(k as f64)).collect();
        Manifold { dim, cutoff, terms }
    }

    /// The point at the intrinsic coordinates `x`.
    fn at(&self, x: &[f64], point: &mut [f64]) {
        for (y, functions) in point.iter_mut().zip(self.terms.chunks_exact(self.dim * self.cutoff)) {
            let sum = |(terms, x): (&[Term], &f64)| terms.iter().map(|t| t.amplitude * (t.frequency * x + t.phase).sin()).sum::<f64>();
            *y = functions.chunks_exact(self.cutoff).zip(x).map(sum).product();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use snn_core::{Dataset, Raster, Target};

    fn small() -> RandmanParams {
        RandmanParams { classes: 3, inputs: 12, manifold_dim: 1, per_class: 200, ..Default::default() }
    }

    #[test]
    fn cutoffs_are_the_released_ones() {
        // ⌈10^(3/α)⌉, at most 1000.
        for (alpha, k) in [(0.5, 1000), (1.0, 1000), (1.5, 100), (2.0, 32), (3.0, 10)] {
            assert_eq!(RandmanParams { alpha, ..small() }.cutoff(), k, "alpha {alpha}");
        }
    }

    #[test]
    fn a_manifold_worked_by_hand() {
        // One input, two intrinsic dimensions, two terms with α = 1 and θᴬ = θᴮ = 1, θᶜ = 0: g(x) = sin 2πx + ½ sin 4πx, f = g(x₁)·g(x₂).
        let terms = [1.0, 2.0, 1.0, 2.0].map(|k| Term { amplitude: 1.0 / k, frequency: TAU * k, phase: 0.0 }).into();
        let manifold = Manifold { dim: 2, cutoff: 2, terms };
        let mut point = [0.0];
        for (x, f) in [([0.25, 0.25], 1.0), ([0.25, 0.125], 0.5f64.sqrt() + 0.5), ([0.5, 0.3], 0.0)] {
            manifold.at(&x, &mut point);
            assert!((point[0] - f).abs() < 1e-12, "f({x:?}) = {}, not {f}", point[0]);
        }
    }

    #[test]
    fn functions_are_as_smooth_as_alpha_says() {
        let roughness = |alpha: f64| {
            let params = RandmanParams { alpha, ..small() };
            let manifold = Manifold::new(&params, Seed::new(4));
            let (mut here, mut there) = (vec![0.0; 12], vec![0.0; 12]);
            let h = 1e-4;
            let mut sum = 0.0;
            for n in 0..500 {
                let x = n as f64 / 500.0;
                manifold.at(&[x], &mut here);
                manifold.at(&[x + h], &mut there);
                for i in 0..12 {
                    // |f′| ≤ Σ amplitude · frequency.
                    let bound: f64 =
                        manifold.terms[i * manifold.cutoff..][..manifold.cutoff].iter().map(|t| t.amplitude * t.frequency).sum();
                    assert!((there[i] - here[i]).abs() <= bound * h * (1.0 + 1e-9));
                    sum += ((there[i] - here[i]) / h).powi(2);
                }
            }
            sum
        };
        let rough = [1.0, 1.5, 2.0, 3.0].map(roughness);
        assert!(rough.is_sorted_by(|a, b| a > b), "{rough:?}");
    }

    #[test]
    fn coordinates_fill_the_unit_interval() {
        let params = small();
        let y = coordinates(&params, &Manifold::new(&params, Seed::new(1)), Seed::new(2));
        for input in 0..12 {
            let column: Vec<f64> = y.iter().copied().skip(input).step_by(12).collect();
            assert_eq!(column.len(), 200);
            assert_eq!(column.iter().copied().fold(1.0, f64::min), 0.0);
            let max = column.iter().copied().fold(0.0, f64::max);
            assert!(max < 1.0 && max > 1.0 - 1e-4, "{max}");
        }
    }

    #[test]
    fn every_input_fires_once_and_the_seed_decides() {
        let load = |seed, per_class, i| {
            let task = RandmanParams { per_class, ..small() }.generate(Seed::new(seed)).unwrap();
            let mut raster = Raster::default();
            task.load(i, &mut raster);
            assert_eq!((task.len(), task.steps(), task.target(i)), (3 * per_class, 100, Target::Class(i % 3)));
            raster
        };
        let trial = load(1, 40, 7);
        let mut inputs: Vec<u32> = trial.iter().map(|(_, input)| input).collect();
        inputs.sort_unstable();
        assert_eq!(inputs, (0..12).collect::<Vec<_>>());
        assert_eq!(trial, load(1, 40, 7));
        assert_ne!(trial, load(2, 40, 7));
        assert_eq!(load(1, 1, 0).at(0).len(), 12); // a single point has no range: all inputs at once, and no NaN
    }

    #[test]
    fn parameters_are_checked() {
        let bad = |params: RandmanParams| params.generate(Seed::new(0)).err().unwrap().to_string();
        assert!(bad(RandmanParams { alpha: 0.0, ..small() }).contains("alpha = 0"));
        assert!(bad(RandmanParams { precision: 2.0, ..small() }).contains("precision = 2"));
        assert!(bad(RandmanParams { manifold_dim: 0, ..small() }).contains("manifold_dim = 0"));
        assert!(bad(RandmanParams { steps: usize::MAX, ..small() }).contains("steps"));
    }
}
