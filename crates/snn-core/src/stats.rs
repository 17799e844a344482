//! What is said of a list of numbers: means, spreads, quantiles, how far apart two lists are. In `f64`, added in the order given.
//!
//! ```
//! use snn_core::stats::{kolmogorov_smirnov, largest, mean, quantile, standard_error, variance};
//! let seen = [3.0, 1.0, 2.0, 2.0];
//! assert_eq!((mean(seen), variance(&seen), largest(&seen)), (2.0, 0.5, 0));
//! assert_eq!(mean(seen.iter().filter(|x| **x > 1.5)), 7.0 / 3.0);         // of any iterator
//! assert!((standard_error(&seen) - (2.0f64 / 3.0 / 4.0).sqrt()).abs() < 1e-15);
//! assert_eq!(quantile(&seen, 0.9), 3.0);
//! assert_eq!(kolmogorov_smirnov(&seen, &[2.0, 2.5]), 0.25);                // up to 2 there are three of four, and one of two
//! ```

use std::borrow::Borrow;

/// The sum over the number of them; not a number if there is none.
pub fn mean<X: Borrow<f64>>(numbers: impl IntoIterator<Item = X>) -> f64 {
    let mut n = 0usize;
    let sum: f64 = numbers.into_iter().inspect(|_| n += 1).map(|x| *x.borrow()).sum();
    sum / n as f64
}

/// The mean squared distance from the mean, `Σ(x − x̄)²/n`.
pub fn variance(numbers: &[f64]) -> f64 {
    squares(numbers) / numbers.len() as f64
}

/// The variance of what the numbers were drawn from, without bias: `Σ(x − x̄)²/(n − 1)`; 0 of one number.
pub fn sample_variance(numbers: &[f64]) -> f64 {
    squares(numbers) / (numbers.len() as f64 - 1.0).max(1.0)
}

/// The standard error of the mean, `√(Σ(x − x̄)²/(n − 1)/n)`; 0 of one number.
pub fn standard_error(numbers: &[f64]) -> f64 {
    (sample_variance(numbers) / numbers.len() as f64).sqrt()
}

fn squares(numbers: &[f64]) -> f64 {
    let mean = mean(numbers);
    numbers.iter().map(|x| (x - mean).powi(2)).sum()
}

/// The number with a share of the others below it, 0 to 1: 0.5 is the median. Not a number if there is none. Cost: a sort.
pub fn quantile(numbers: &[f64], share: f64) -> f64 {
    let place = (share * numbers.len() as f64) as usize;
    sorted(numbers).get(place.min(numbers.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// The largest difference of two distributions, `sup |F_a(x) − F_b(x)|` (Kolmogorov and Smirnov), from 0 to 1. Cost: two sorts.
pub fn kolmogorov_smirnov(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (sorted(a), sorted(b));
    let below = |list: &[f64], x: f64| list.partition_point(|&y| y <= x) as f64 / list.len().max(1) as f64;
    a.iter().chain(&b).map(|&x| (below(&a, x) - below(&b, x)).abs()).fold(0.0, f64::max)
}

/// `exp(x²)·erfc(x)` for `x ≥ 0`: the tail of a Gaussian, scaled so that it does not vanish. To 1e-12.
///
/// ```
/// use snn_core::stats::erfcx;
/// assert!((erfcx(1.0) - 0.427583576155807).abs() < 1e-14 && (erfcx(10.0) / 0.0561409927438226 - 1.0).abs() < 1e-12);
/// ```
pub fn erfcx(x: f64) -> f64 {
    if x < 20.0 {
        return (x * x).exp() * libm::erfc(x);
    }
    // Its asymptotic series, to the sixth term.
    let y = 0.5 / (x * x);
    (1.0 - y * (1.0 - y * (3.0 - y * (15.0 - y * (105.0 - y * 945.0))))) / (x * std::f64::consts::PI.sqrt())
}

fn sorted(numbers: &[f64]) -> Vec<f64> {
    let mut list = numbers.to_vec();
    list.sort_by(f64::total_cmp);
    list
}

/// The place of the largest, the first of several; 0 if there is none. Of scores it is the class that they name.
pub fn largest<X: PartialOrd>(scores: impl IntoIterator<Item = X>) -> usize {
    let mut best: Option<(usize, X)> = None;
    for (k, score) in scores.into_iter().enumerate() {
        if best.as_ref().is_none_or(|(_, most)| score > *most) {
            best = Some((k, score));
        }
    }
    best.map_or(0, |(k, _)| k)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_forms_of_the_scaled_tail_meet() {
        let (below, above) = (erfcx(20.0 - 1e-13), erfcx(20.0));
        assert!((below / above - 1.0).abs() < 1e-12 && erfcx(0.0) == 1.0);
        assert!((1e200 * erfcx(1e200) * std::f64::consts::PI.sqrt() - 1.0).abs() < 1e-12);
        // Its equation: y' = 2·x·y − 2/√π.
        for x in [0.3, 2.0, 7.0, 30.0] {
            let slope = (erfcx(x + 1e-5) - erfcx(x - 1e-5)) / 2e-5;
            let exact = 2.0 * x * erfcx(x) - 2.0 / std::f64::consts::PI.sqrt();
            assert!((slope - exact).abs() < 1e-7, "{x}: {slope} {exact}");
        }
    }

    #[test]
    fn few_numbers_and_none() {
        assert!(mean::<f64>([]).is_nan() && quantile(&[], 0.5).is_nan());
        assert_eq!((variance(&[7.0]), sample_variance(&[7.0]), standard_error(&[7.0]), quantile(&[7.0], 1.0)), (0.0, 0.0, 0.0, 7.0));
        assert_eq!((kolmogorov_smirnov(&[], &[]), kolmogorov_smirnov(&[1.0], &[2.0])), (0.0, 1.0));
        assert_eq!((largest::<f64>([]), largest([0.5, 2.0, 2.0])), (0, 1));
    }

    proptest! {
        /// Moved and scaled numbers have a moved and scaled mean, and spreads that do not see the move.
        #[test]
        fn moves_and_scales(numbers in prop::collection::vec(-10.0f64..10.0, 2..40), by in -5.0f64..5.0, times in 0.1f64..4.0) {
            let other: Vec<f64> = numbers.iter().map(|x| times * x + by).collect();
            let close = |a: f64, b: f64| (a - b).abs() < 1e-9 * (1.0 + b.abs());
            prop_assert!(close(mean(&other), times * mean(&numbers) + by));
            prop_assert!(close(variance(&other), times * times * variance(&numbers)));
            prop_assert!(close(standard_error(&other), times * standard_error(&numbers)));
            prop_assert!(close(quantile(&other, 0.3), times * quantile(&numbers, 0.3) + by));
            let n = numbers.len() as f64;
            prop_assert!(close(sample_variance(&numbers) * (n - 1.0), variance(&numbers) * n));
        }

        /// A distance: 0 to itself, the same both ways, no way round is shorter.
        #[test]
        fn distributions_have_a_distance(a in list(), b in list(), c in list()) {
            let d = kolmogorov_smirnov;
            prop_assert_eq!((d(&a, &a), d(&a, &b)), (0.0, d(&b, &a)));
            prop_assert!(d(&a, &c) <= d(&a, &b) + d(&b, &c) + 1e-12 && d(&a, &b) <= 1.0);
        }
    }

    fn list() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec((0u8..9).prop_map(f64::from), 1..20)
    }
}
