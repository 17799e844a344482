//! A linear readout of a network's state, fitted in closed form, and the way back through the fit.

use faer::linalg::solvers::{Llt, Solve};
use faer::{Mat, MatRef, Side};

/// Why a readout cannot be fitted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ReadoutError {
    /// Impossible penalty.
    #[error("lambda = {0}: give a finite number above 0")]
    Lambda(f64),
    /// States and targets do not belong together.
    #[error("{states} numbers are not {steps} states of {units} units: give as many states as targets, at least two")]
    Shape {
        /// Numbers of all states.
        states: usize,
        /// Targets.
        steps: usize,
        /// Units.
        units: usize,
    },
    /// A state or a target is no number.
    #[error("state or target of step {0} is not finite")]
    NotFinite(usize),
}

/// Ridge regression of a target on states: `min Σ_t (w·h(t) + b − y(t))² + λ·|w|²`.
///
/// ```text
/// w = (H̃ᵀH̃ + λ·1)⁻¹·H̃ᵀỹ,   b = ȳ − w·h̄;   H̃, ỹ: less their means
/// ```
/// The bias is not penalised, so scaling all states by `c` and `λ` by `c²` changes no answer. Cost of a fit: `T·N² + N³/3`.
///
/// ```
/// use snn_learn::readout::Ridge;
/// let states = [0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0];             // four steps, two units
/// let fit = Ridge::new(1e-9)?.fit(&states, 2, &[3.0, 2.0, 4.0, 1.0])?; // 1 + h₀ + 2·h₁
/// assert!((fit.weights()[0] - 1.0).abs() < 1e-6 && (fit.bias() - 1.0).abs() < 1e-6);
/// assert!((fit.answer(&[2.0, -1.0]) - 1.0).abs() < 1e-6);
/// # Ok::<(), snn_learn::readout::ReadoutError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ridge {
    lambda: f64,
}

/// A fitted readout.
pub struct Readout {
    weights: Vec<f64>,
    bias: f64,
    /// States less their means, and the means.
    states: Mat<f64>,
    means: Vec<f64>,
    /// What the fit leaves of the targets.
    rest: Mat<f64>,
    factor: Llt<f64>,
}

impl Ridge {
    /// With a penalty of `lambda`, above 0.
    ///
    /// # Errors
    /// [`ReadoutError::Lambda`].
    pub fn new(lambda: f64) -> Result<Self, ReadoutError> {
        if lambda > 0.0 && lambda.is_finite() { Ok(Ridge { lambda }) } else { Err(ReadoutError::Lambda(lambda)) }
    }

    /// Fits `targets[t]` to the states `[t][unit]` of `units` units.
    ///
    /// # Errors
    /// If the lengths do not fit, there are fewer than two steps, or something is not finite.
    pub fn fit(&self, states: &[f64], units: usize, targets: &[f64]) -> Result<Readout, ReadoutError> {
        let steps = targets.len();
        if steps < 2 || units == 0 || states.len() != steps * units {
            return Err(ReadoutError::Shape { states: states.len(), steps, units });
        }
        let good = |t: usize| targets[t].is_finite() && states[t * units..][..units].iter().all(|h| h.is_finite());
        if let Some(t) = (0..steps).find(|&t| !good(t)) {
            return Err(ReadoutError::NotFinite(t));
        }
        let mean = |k: usize| (0..steps).map(|t| states[t * units + k]).sum::<f64>() / steps as f64;
        let (means, middle): (Vec<f64>, f64) = ((0..units).map(mean).collect(), targets.iter().sum::<f64>() / steps as f64);
        let centred = Mat::from_fn(steps, units, |t, k| states[t * units + k] - means[k]);
        let wanted = Mat::from_fn(steps, 1, |t, _| targets[t] - middle);
        let mut square = centred.transpose() * &centred;
        (0..units).for_each(|k| square[(k, k)] += self.lambda);
        // Positive definite by construction; rounding could only break it where λ is nothing beside the states.
        let factor = square.llt(Side::Lower).map_err(|_| ReadoutError::Lambda(self.lambda))?;
        let w = factor.solve(centred.transpose() * &wanted);
        let rest = &wanted - &centred * &w;
        let weights: Vec<f64> = (0..units).map(|k| w[(k, 0)]).collect();
        let bias = middle - weights.iter().zip(&means).map(|(w, h)| w * h).sum::<f64>();
        Ok(Readout { weights, bias, states: centred, means, rest, factor })
    }
}

impl Readout {
    /// `w`.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// `b`.
    pub fn bias(&self) -> f64 {
        self.bias
    }

    /// `w·h + b`.
    pub fn answer(&self, state: &[f64]) -> f64 {
        self.bias + self.weights.iter().zip(state).map(|(w, h)| w * h).sum::<f64>()
    }

    /// The way back through the fit: what a loss of the answers elsewhere has to do with the states it was fitted on. `states` are those other states `[t][unit]`, `errors[t]` the loss's
    /// derivatives by the answers to them. Returns `∂L/∂h` of the fitted states, `[t][unit]`; that of the others is `errors[t]·w`.
    ///
    /// ```text
    /// g = Σ_t e(t)·(h(t) − h̄),  q = (H̃ᵀH̃ + λ·1)⁻¹·g;   ∂L/∂H̃ = (ỹ − H̃w)·qᵀ − H̃q·wᵀ;   ∂L/∂h̄ = −Σ_t e(t)·w
    /// ```
    pub fn back(&self, states: &[f64], errors: &[f64]) -> Vec<f64> {
        let units = self.weights.len();
        let other = MatRef::from_row_major_slice(states, errors.len(), units);
        let e = MatRef::from_column_major_slice(errors, errors.len(), 1);
        let sum: f64 = errors.iter().sum();
        let mut g = other.transpose() * e;
        (0..units).for_each(|k| g[(k, 0)] -= sum * self.means[k]);
        let q = self.factor.solve(&g);
        let along = &self.states * &q;
        let steps = self.states.nrows();
        let at = |t: usize, k: usize| self.rest[(t, 0)] * q[(k, 0)] - along[(t, 0)] * self.weights[k];
        // Each state is also a part of the means.
        let through_means: Vec<f64> =
            (0..units).map(|k| ((0..steps).map(|t| at(t, k)).sum::<f64>() + sum * self.weights[k]) / steps as f64).collect();
        (0..steps).flat_map(|t| (0..units).map(move |k| (t, k))).map(|(t, k)| at(t, k) - through_means[k]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Half the squared error of the answers to other states.
    fn loss(fit: &Readout, states: &[f64], wanted: &[f64]) -> (f64, Vec<f64>) {
        let errors: Vec<f64> = states.chunks(fit.weights().len()).zip(wanted).map(|(h, y)| fit.answer(h) - y).collect();
        (errors.iter().map(|e| 0.5 * e * e).sum(), errors)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        /// The way back is central differences; scaling states and penalty changes no answer.
        #[test]
        fn gradients_and_scales(h in prop::collection::vec(-1.0f64..1.0, 24), y in prop::collection::vec(-1.0f64..1.0, 8), lambda in 0.01f64..2.0, c in 0.1f64..9.0) {
            let (units, other, wanted) = (3, [0.3, -0.2, 0.9, 1.0, 0.1, -0.7], [0.5, -1.0]);
            let ridge = Ridge::new(lambda).unwrap();
            let fit = ridge.fit(&h, units, &y).unwrap();
            let back = fit.back(&other, &loss(&fit, &other, &wanted).1);
            let size = back.iter().map(|d| d.abs()).fold(0.0, f64::max);
            for k in 0..h.len() {
                let at = |d: f64| {
                    let mut h = h.clone();
                    h[k] += d;
                    loss(&ridge.fit(&h, units, &y).unwrap(), &other, &wanted).0
                };
                let numeric = (at(1e-6) - at(-1e-6)) / 2e-6;
                prop_assert!((back[k] - numeric).abs() <= 1e-6 * (size + 1.0), "{k}: {} {numeric}", back[k]);
            }
            let scaled: Vec<f64> = h.iter().map(|h| c * h).collect();
            let same = Ridge::new(c * c * lambda).unwrap().fit(&scaled, units, &y).unwrap();
            let state: Vec<f64> = other[..3].iter().map(|h| c * h).collect();
            prop_assert!((same.answer(&state) - fit.answer(&other[..3])).abs() < 1e-9);
        }
    }

    #[test]
    fn what_cannot_be_fitted_is_named() {
        assert!(Ridge::new(0.0).is_err() && Ridge::new(f64::NAN).is_err());
        let text = |states: &[f64], y: &[f64]| Ridge::new(1.0).unwrap().fit(states, 1, y).err().unwrap().to_string();
        assert!(text(&[1.0], &[1.0]).contains("at least two"));
        assert!(text(&[1.0; 3], &[1.0; 2]).contains("3 numbers are not 2 states"));
        assert!(text(&[1.0, f64::NAN], &[1.0; 2]).contains("step 1"));
    }
}
