//! Scalar functions of trained networks.

use serde::{Deserialize, Serialize};

/// A scalar function of trained networks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `x` above 0, `slope·x` below.
    LeakyRelu {
        /// Slope below 0.
        slope: f64,
    },
    /// `x` above 0, `alpha·(eˣ − 1)` below.
    Elu {
        /// Depth below 0.
        alpha: f64,
    },
    /// `1/(1 + e⁻ˣ)`.
    Sigmoid,
    /// `tanh x`.
    Tanh,
    /// `x/(1 + e⁻ˣ)`, also called swish.
    Silu,
    /// `x·min(max(x + 3, 0), 6)/6`.
    HardSwish,
    /// `x·Φ(x)` with the normal distribution function Φ.
    Gelu,
    /// `x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))/2`.
    GeluTanh,
}

/// The logistic function, `1/(1 + e^−x)`.
pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl Activation {
    /// One of every kind, for tests and tables.
    pub const ALL: [Activation; 9] = [
        Activation::Relu,
        Activation::LeakyRelu { slope: 0.01 },
        Activation::Elu { alpha: 1.0 },
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Silu,
        Activation::HardSwish,
        Activation::Gelu,
        Activation::GeluTanh,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Activation::Relu => "relu",
            Activation::LeakyRelu { .. } => "leaky_relu",
            Activation::Elu { .. } => "elu",
            Activation::Sigmoid => "sigmoid",
            Activation::Tanh => "tanh",
            Activation::Silu => "silu",
            Activation::HardSwish => "hard_swish",
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelu_tanh",
        }
    }

    /// `f(x)`.
    pub fn at(self, x: f64) -> f64 {
        match self {
            Activation::Relu => x.max(0.0),
            Activation::LeakyRelu { slope } => x.max(0.0) + slope * x.min(0.0),
            Activation::Elu { alpha } => x.max(0.0) + alpha * x.min(0.0).exp_m1(),
            Activation::Sigmoid => sigmoid(x),
            Activation::Tanh => x.tanh(),
            Activation::Silu => x * sigmoid(x),
            Activation::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Activation::Gelu => 0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2),
            Activation::GeluTanh => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
                0.5 * x * (1.0 + inner.tanh())
            }
        }
    }

    /// Whether it never falls: a maximum may then be taken before or after it.
    pub const fn is_monotone(self) -> bool {
        match self {
            Activation::Relu | Activation::Sigmoid | Activation::Tanh => true,
            Activation::LeakyRelu { slope } => slope >= 0.0,
            Activation::Elu { alpha } => alpha >= 0.0,
            Activation::Silu | Activation::HardSwish | Activation::Gelu | Activation::GeluTanh => false,
        }
    }

    /// What is impossible about its parameter, if anything is.
    pub(super) fn check(self) -> Result<(), String> {
        match self {
            Activation::LeakyRelu { slope: p } | Activation::Elu { alpha: p } if !p.is_finite() => {
                Err(format!("{}: its parameter is {p}; it must be finite", self.name()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_have_their_values() {
        for (f, x, y) in [
            (Activation::Relu, -1.5, 0.0),
            (Activation::LeakyRelu { slope: 0.1 }, -1.5, -0.15),
            (Activation::Elu { alpha: 2.0 }, -1.0, -1.264_241_117_657_115_3),
            (Activation::Sigmoid, -1.5, 0.182_425_523_806_356_34),
            (Activation::Tanh, 0.5, 0.462_117_157_260_009_8),
            (Activation::Silu, -1.5, -0.273_638_285_709_534_5),
            (Activation::HardSwish, -1.5, -0.375),
            (Activation::Gelu, -1.5, -0.100_210_801_903_287_1),
            (Activation::GeluTanh, 1.0, 0.841_191_990_608_276_8),
        ] {
            assert!((f.at(x) - y).abs() < 1e-15, "{}({x}) = {:.17}", f.name(), f.at(x));
        }
        for f in Activation::ALL {
            let falls = (-400..400).any(|k| f.at(f64::from(k) * 0.02) > f.at(f64::from(k + 1) * 0.02));
            assert_eq!(falls, !f.is_monotone(), "{}", f.name());
        }
    }
}
