//! Codes that come with this crate.

use crate::unit::{Quality, Unit};
use serde::{Deserialize, Serialize};
use snn_core::ann::Activation;
use std::sync::LazyLock;

/// A code of a function, found by [`Fit`](crate::Fit), with what it was found for.
///
/// They are made by `cargo run --release -p snn-convert --example fits`, from fixed seeds; a test computes their errors anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shipped {
    /// The function.
    pub function: Activation,
    /// The interval of inputs, points on it weighing the same.
    pub range: (f64, f64),
    /// Whether it takes a circuit.
    pub free: bool,
    /// How good it is there.
    pub quality: Quality,
    /// The code.
    pub unit: Unit,
}

impl Shipped {
    /// Whether inputs of this range are inside the interval it was found for.
    pub fn holds(&self, (low, high): (f64, f64)) -> bool {
        self.range.0 <= low && high <= self.range.1
    }
}

static ALL: LazyLock<Vec<Shipped>> = LazyLock::new(|| serde_json::from_str(include_str!("fits.json")).unwrap_or_default());

/// All codes that come with this crate.
pub fn all() -> &'static [Shipped] {
    &ALL
}

/// The best code of a function for so many steps: of a few-spikes neuron, or with `free` of a circuit as well.
pub fn shipped(function: Activation, steps: usize, free: bool) -> Option<&'static Shipped> {
    let fits = |s: &&Shipped| s.function == function && s.unit.steps() == steps && (free || !s.free);
    all().iter().filter(fits).min_by(|a, b| a.quality.mse.total_cmp(&b.quality.mse))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::Fit;

    #[test]
    fn errors_are_those_written_down_and_within_the_bounds() {
        assert!(all().len() >= 12, "the file does not parse");
        for s in all() {
            let points: Vec<(f64, f64)> = Fit::few_spikes(s.unit.steps(), s.range).grid().map(|x| (x, 1.0)).collect();
            let found = s.unit.error(&points, |x| s.function.at(x));
            assert!((found.mse / s.quality.mse - 1.0).abs() < 1e-9 && (found.spikes - s.quality.spikes).abs() < 1e-9, "{s:?} {found:?}");
            assert_eq!(s.unit.reset().is_none(), s.free);
        }
        // What was reached before this crate was written, by another fit of the same codes.
        for (function, steps, free, bound) in [
            (Activation::Silu, 16, false, 0.00163),
            (Activation::Silu, 8, false, 0.0101),
            (Activation::Sigmoid, 12, false, 0.00024),
            (Activation::Silu, 12, true, 0.0025),
            (Activation::Sigmoid, 8, true, 0.0015),
        ] {
            let s = shipped(function, steps, free).unwrap();
            assert!(s.quality.mse <= bound, "{} K = {steps}: {}", function.name(), s.quality.mse);
        }
    }
}
