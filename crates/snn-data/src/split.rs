//! Parts of a data set.

use rand::seq::SliceRandom;
use snn_core::Seed;

/// Which of the two official parts of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// To learn from.
    Train,
    /// To judge by, once.
    Test,
}

impl Split {
    /// `"train"` or `"test"`.
    pub const fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Test => "test",
        }
    }
}

/// Splits the trials `0..len` at random into `(training, validation)`, both shuffled.
///
/// `fraction` (0 to 1; values beyond are taken as the nearer end) of them, rounded to the nearest count, go to the validation set.
/// The same three arguments always give the same split. Time and memory O(len).
///
/// ```
/// let (train, validation) = snn_data::split(10, 0.3, snn_core::Seed::new(1));
/// assert_eq!((train.len(), validation.len()), (7, 3));
/// ```
pub fn split(len: usize, fraction: f64, seed: Seed) -> (Vec<usize>, Vec<usize>) {
    let mut train: Vec<usize> = (0..len).collect();
    train.shuffle(&mut seed.rng());
    let validation = train.split_off(len - ((len as f64 * fraction.clamp(0.0, 1.0)).round() as usize).min(len));
    (train, validation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_trial_is_in_exactly_one_part(len in 0usize..200, fraction in -0.5f64..1.5, seed: u64) {
            let (train, validation) = split(len, fraction, Seed::new(seed));
            prop_assert_eq!(validation.len(), (len as f64 * fraction.clamp(0.0, 1.0)).round() as usize);
            let mut all = [&train[..], &validation].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..len).collect::<Vec<_>>());
            prop_assert_eq!(split(len, fraction, Seed::new(seed)), (train, validation));
        }
    }

    #[test]
    fn seeds_differ_and_nonsense_leaves_no_validation_set() {
        assert_ne!(split(100, 0.5, Seed::new(1)), split(100, 0.5, Seed::new(2)));
        assert_eq!(split(9, f64::NAN, Seed::new(1)).1.len(), 0);
    }
}
