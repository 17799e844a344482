//! When an error is a fault.

use super::SodesnError;
use serde::{Deserialize, Serialize};
use snn_core::stats::{mean, variance};
use std::collections::VecDeque;

/// When errors of a prediction are called a fault, whoever predicted. All defaults are `[ours]`, window and threshold those of our own run of another program.
///
/// ```text
/// z(t) = |e(t) − ē|/σ,   score(t) = mean of z over the window;   a fault: score > limit for `hold` steps
/// limit = max(threshold, margin × largest score when all was well)
/// ```
/// For Gaussian errors the threshold alone gives a false alarm at one step of a window of 1 with probability `2·Φ(−threshold)`; `margin` is for errors with tails.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `window` | 8 | steps a score is the mean of |
/// | `threshold` | 5 | standard deviations |
/// | `margin` | 1.25 | above the largest score of the time when all was well |
/// | `hold` | 4 | steps above the limit before there is an alarm |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detector {
    /// Steps a score is the mean of, at least 1.
    pub window: usize,
    /// Standard deviations, above 0.
    pub threshold: f64,
    /// Factor on the largest score of the time when all was well, at least 0.
    pub margin: f64,
    /// Steps above the limit before there is an alarm, at least 1.
    pub hold: usize,
}

impl Default for Detector {
    fn default() -> Self {
        Detector { window: 8, threshold: 5.0, margin: 1.25, hold: 4 }
    }
}

/// What the errors of a node are like when all is well.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    /// Mean.
    pub mean: f64,
    /// Standard deviation, at least 1e-6.
    pub std: f64,
    /// Largest score that is no fault.
    pub limit: f64,
}

impl Detector {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`SodesnError::Setting`].
    pub fn check(&self) -> Result<(), SodesnError> {
        let rows = [
            ("window", self.window as f64, self.window >= 1, "1 or more"),
            ("threshold", self.threshold, self.threshold > 0.0 && self.threshold.is_finite(), "a number above 0"),
            ("margin", self.margin, self.margin >= 0.0 && self.margin.is_finite(), "a number from 0 on"),
            ("hold", self.hold as f64, self.hold >= 1, "1 or more"),
        ];
        match rows.into_iter().find(|(.., good, _)| !good) {
            Some((name, value, _, expected)) => Err(SodesnError::Setting { name, value, expected }),
            None => Ok(()),
        }
    }

    /// What errors are like that were made when all was well and not in fitting; NaN where none was made. Of fewer than two windows of them nothing can be said: the limit is
    /// infinite.
    pub fn moments(&self, errors: &[f64]) -> Moments {
        let known: Vec<f64> = errors.iter().copied().filter(|e| e.is_finite()).collect();
        if known.len() < 2 * self.window {
            return Moments { mean: 0.0, std: 1.0, limit: f64::INFINITY };
        }
        let mut moments = Moments { mean: mean(&known), std: variance(&known).sqrt().max(1e-6), limit: self.threshold };
        let mut score = Score::default();
        let largest = errors.iter().filter_map(|&e| score.push(self, &moments, e)).fold(0.0, f64::max);
        moments.limit = moments.limit.max(self.margin * largest);
        moments
    }
}

/// The score of a node, error by error.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Score {
    /// `z` of the last window.
    recent: VecDeque<f64>,
    /// Now; `None` while less than half of the window is known.
    now: Option<f64>,
    /// Steps in a row above the limit, and not above it.
    above: usize,
    below: usize,
}

impl Score {
    /// Takes the next error, NaN if there is none. Returns the score; `None` while less than half of the window is known.
    pub fn push(&mut self, detector: &Detector, moments: &Moments, error: f64) -> Option<f64> {
        self.recent.push_back((error - moments.mean).abs() / moments.std);
        if self.recent.len() > detector.window {
            self.recent.pop_front();
        }
        let known = self.recent.iter().filter(|z| z.is_finite());
        let count = known.clone().count();
        self.now = (2 * count >= detector.window && count > 0).then(|| mean(known));
        (self.above, self.below) = match self.now {
            Some(score) if score > moments.limit => (self.above + 1, 0),
            Some(_) => (0, self.below + 1),
            None => (0, 0),
        };
        self.now
    }

    /// Now; `None` while less than half of the window is known.
    pub fn now(&self) -> Option<f64> {
        self.now
    }

    /// Whether this is a fault.
    pub fn is_fault(&self, detector: &Detector) -> bool {
        self.above >= detector.hold
    }

    /// Whether all has been well for a whole window.
    pub fn is_well(&self, detector: &Detector) -> bool {
        self.below >= detector.window
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_distr::{Distribution, StandardNormal};
    use snn_core::Seed;

    fn normal(n: usize, seed: u64) -> Vec<f64> {
        StandardNormal.sample_iter(Seed::new(seed).rng()).take(n).collect()
    }

    /// Errors of one step that are Gaussian are above k with probability 2·Φ(−k).
    #[test]
    fn false_alarms_of_gaussian_errors() {
        let n = 200_000;
        let one = |threshold| Detector { window: 1, threshold, margin: 0.0, hold: 1 };
        for (k, chance) in [(1.0, 0.317311), (2.0, 0.045500), (3.0, 0.002700)] {
            let (detector, mut score, mut alarms) = (one(k), Score::default(), 0);
            let moments = detector.moments(&normal(n, 1));
            for e in normal(n, 2) {
                score.push(&detector, &moments, e);
                alarms += usize::from(score.is_fault(&detector));
            }
            // Four standard errors of the count, and those of the moments.
            let bound = 4.0 * (chance / n as f64).sqrt() + 0.01 * chance;
            assert!((alarms as f64 / n as f64 - chance).abs() < bound, "{k}: {alarms}");
        }
    }

    #[test]
    fn faults_are_held_and_gaps_are_no_faults() {
        let detector = Detector { window: 4, threshold: 3.0, margin: 1.25, hold: 2 };
        let moments = detector.moments(&[1.0, -1.0].repeat(20));
        assert_eq!((moments.mean, moments.std, moments.limit), (0.0, 1.0, 3.0));
        let mut score = Score::default();
        let mut push = |e| (score.push(&detector, &moments, e), score.is_fault(&detector), score.is_well(&detector));
        assert_eq!(push(0.0), (None, false, false));
        assert_eq!(push(0.0), (Some(0.0), false, false));
        push(20.0);
        assert_eq!(push(0.0), (Some(5.0), true, false));
        assert_eq!(push(f64::NAN), (Some(20.0 / 3.0), true, false));
        assert_eq!(push(f64::NAN), (Some(10.0), true, false));
        assert_eq!(push(f64::NAN), (None, false, false));
        for _ in 0..4 {
            push(0.0);
        }
        assert!(!push(f64::NAN).1 && push(0.0).2);
    }

    #[test]
    fn tails_raise_the_limit_and_too_little_says_nothing() {
        let detector = Detector { window: 1, threshold: 2.0, margin: 1.5, hold: 1 };
        let mut errors = [1.0, -1.0].repeat(50);
        errors[7] = 10.0;
        let moments = detector.moments(&errors);
        assert!((moments.limit - 1.5 * (10.0 - moments.mean) / moments.std).abs() < 1e-12);
        assert_eq!(detector.moments(&[1.0]).limit, f64::INFINITY);
        assert_eq!(Detector { hold: 0, ..detector }.check().unwrap_err().to_string(), "hold = 0: give 1 or more");
    }
}
