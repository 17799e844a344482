//! Surrogate derivatives: what stands for the derivative of the Heaviside step at threshold.

use crate::Real;
use serde::{Deserialize, Serialize};

/// The shape of a surrogate derivative `g(u)`, with `u` the distance to threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "snake_case")]
pub enum Shape {
    /// `g = 1/(1 + β|u|)²`, the derivative of the fast sigmoid `u/(1 + β|u|)`; known as SuperSpike (Zenke & Ganguli 2018, arXiv 1705.11146, eq. 5).
    #[serde(alias = "super_spike")]
    FastSigmoid {
        /// Steepness β (1 / potential).
        beta: f64,
    },
    /// `g = γ·max(0, 1 − |u|/w)` (Esser et al. 2016, arXiv 1603.08270; Bellec et al. 2018, arXiv 1803.09574,
    /// with γ = 0.3/v_th, w = v_th).
    Triangle {
        /// Height γ.
        gamma: f64,
        /// Half-width w (potential).
        width: f64,
    },
    /// `g = (α/2)/(1 + (π α u/2)²)`, the derivative of `atan(π α u/2)/π` (Fang et al. 2021, arXiv 2007.05785).
    Arctan {
        /// Steepness α (1 / potential).
        alpha: f64,
    },
    /// `g = s·(1 − s)/w` with `s = 1/(1 + e^(−u/w))`, the derivative of the logistic function (Zhang & Li 2020, released code, with w = 0.2).
    Logistic {
        /// Width w (potential).
        width: f64,
    },
}

/// A surrogate derivative, optionally cut off outside a window around threshold.
///
/// With a window `B` only units with `|u| < B` have a derivative: this is what makes the backward pass sparse
/// (Perez-Nieves & Goodman 2021, arXiv 2105.08810: `β = 100`, `B = 0.2`).
///
/// ```
/// use snn_core::Surrogate;
/// let g = Surrogate::fast_sigmoid(100.0).window(0.2);
/// assert_eq!(g.slope(0.0), 1.0);
/// assert_eq!(g.slope(-0.01), 0.25);
/// assert_eq!(g.slope(0.2), 0.0);                       // the window is open
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Surrogate {
    /// The shape inside the window.
    #[serde(flatten)]
    pub shape: Shape,
    /// Half-width of the window; `None`: untruncated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<f64>,
}

impl Surrogate {
    /// Derivative of the fast sigmoid, untruncated: SuperSpike (Zenke & Ganguli 2018).
    pub const fn fast_sigmoid(beta: f64) -> Self {
        Surrogate { shape: Shape::FastSigmoid { beta }, window: None }
    }
    /// A triangle of height `gamma` and half-width `width`.
    pub const fn triangle(gamma: f64, width: f64) -> Self {
        Surrogate { shape: Shape::Triangle { gamma, width }, window: None }
    }
    /// The arctangent surrogate.
    pub const fn arctan(alpha: f64) -> Self {
        Surrogate { shape: Shape::Arctan { alpha }, window: None }
    }
    /// The derivative of the logistic function of width `width`.
    pub const fn logistic(width: f64) -> Self {
        Surrogate { shape: Shape::Logistic { width }, window: None }
    }
    /// The same shape, zero where `|u| ≥ half_width`.
    pub const fn window(self, half_width: f64) -> Self {
        Surrogate { window: Some(half_width), ..self }
    }

    /// Half-width of the support: `g(u) = 0` exactly where `|u| ≥ reach`. Infinite if untruncated.
    pub fn reach(&self) -> f64 {
        let natural = match self.shape {
            Shape::Triangle { width, .. } => width,
            _ => f64::INFINITY,
        };
        self.window.map_or(natural, |b| b.min(natural))
    }

    /// The derivative `g(u)`.
    pub fn slope(&self, u: f64) -> f64 {
        if u.abs() >= self.reach() { 0.0 } else { self.slope_within(u) }
    }

    /// `g(u)` for a `u` already known to lie within [`Surrogate::reach`].
    #[inline(always)]
    pub fn slope_within<R: Real>(&self, u: R) -> R {
        let one = R::of(1.0);
        match self.shape {
            Shape::FastSigmoid { beta } => {
                let d = one + R::of(beta) * u.abs();
                one / (d * d)
            }
            Shape::Triangle { gamma, width } => R::of(gamma) * (one - u.abs() / R::of(width)),
            Shape::Arctan { alpha } => {
                let x = R::of(std::f64::consts::FRAC_PI_2 * alpha) * u;
                R::of(0.5 * alpha) / (one + x * x)
            }
            Shape::Logistic { width } => {
                let e = (-(u.abs() / R::of(width))).exp();
                e / (R::of(width) * (one + e) * (one + e))
            }
        }
    }

    /// The smooth step `G(u) = ∫₋∞ᵘ g`, up to a constant: `½ + ∫₀ᵘ g`. Put in the place of the Heaviside step it gives the network
    /// whose exact gradient the surrogate gradient is; finite differences can be taken on it.
    pub fn smooth_step(&self, u: f64) -> f64 {
        let reach = self.reach();
        let u = u.clamp(-reach, reach);
        0.5 + match self.shape {
            Shape::FastSigmoid { beta } => u / (1.0 + beta * u.abs()),
            Shape::Triangle { gamma, width } => gamma * (u - 0.5 * u * u.abs() / width),
            Shape::Arctan { alpha } => (std::f64::consts::FRAC_PI_2 * alpha * u).atan() / std::f64::consts::PI,
            Shape::Logistic { width } => 1.0 / (1.0 + (-u / width).exp()) - 0.5,
        }
    }

    /// The reason why the parameters are impossible, if they are.
    pub fn check(&self) -> Result<(), String> {
        let positive = |name: &str, x: f64| {
            if x.is_finite() && x > 0.0 { Ok(()) } else { Err(format!("surrogate {name} = {x}: must be positive and finite")) }
        };
        match self.shape {
            Shape::FastSigmoid { beta } => positive("beta", beta)?,
            Shape::Triangle { gamma, width } => positive("gamma", gamma).and(positive("width", width))?,
            Shape::Arctan { alpha } => positive("alpha", alpha)?,
            Shape::Logistic { width } => positive("width", width)?,
        }
        match self.window {
            Some(b) if b.is_nan() || b < 0.0 => Err(format!("surrogate window = {b}: must be zero or more")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_surrogate() -> impl Strategy<Value = Surrogate> {
        let shape = prop_oneof![
            (0.5f64..100.0).prop_map(Surrogate::fast_sigmoid),
            (0.1f64..1.0, 0.2f64..2.0).prop_map(|(g, w)| Surrogate::triangle(g, w)),
            (0.5f64..10.0).prop_map(Surrogate::arctan),
            (0.1f64..2.0).prop_map(Surrogate::logistic),
        ];
        (shape, prop::option::of(0.05f64..1.0)).prop_map(|(s, window)| Surrogate { window, ..s })
    }

    proptest! {
        #[test]
        fn slope_is_the_derivative_of_the_smooth_step(s in any_surrogate(), u in -2.0f64..2.0) {
            let h = 1e-6;
            prop_assume!((u.abs() - s.reach()).abs() > 2.0 * h && u.abs() > 2.0 * h);
            let numeric = (s.smooth_step(u + h) - s.smooth_step(u - h)) / (2.0 * h);
            prop_assert!((numeric - s.slope(u)).abs() < 1e-4 * (1.0 + s.slope(u)), "{numeric} {}", s.slope(u));
        }

        #[test]
        fn survives_json(s in any_surrogate()) {
            let text = serde_json::to_string(&s).unwrap();
            prop_assert_eq!(serde_json::from_str::<Surrogate>(&text).unwrap(), s);
        }
    }

    #[test]
    fn impossible_parameters_are_refused() {
        for bad in
            [Surrogate::fast_sigmoid(0.0), Surrogate::arctan(f64::NAN), Surrogate::triangle(1.0, -1.0), Surrogate::arctan(1.0).window(-0.1)]
        {
            assert!(bad.check().is_err(), "{bad:?}");
        }
        assert!(Surrogate::fast_sigmoid(100.0).window(0.0).check().is_ok());
    }
}
