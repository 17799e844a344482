//! Signals to spikes that a filter turns back into the signal.

use crate::{
    encode::{SignalEncoder, shape},
    error::{DataError, check, positive},
};
use snn_core::Raster;

const OF: &str = "Bsa";

/// Ben's spiker algorithm: a channel fires where taking the filter's response out of what is still to be told of the signal makes that smaller, by `threshold` at least.
///
/// With `r` the signal at first, at every step `t` in turn, over the taps `k` that lie within the signal:
/// ```text
/// spike at t  where  Σ_k |r[t+k] − h[k]| ≤ Σ_k |r[t+k]| − threshold;  then r[t+k] ← r[t+k] − h[k]
/// ```
/// So the spikes, filtered with `h`, are the signal less what remains. What is not a number counts as 0. Unit `c` is channel `c`. No randomness. Cost: O(steps · channels · taps).
///
/// Source: Schrauwen & Van Campenhout 2003, "BSA, a fast and accurate spike train encoding scheme".
///
/// ```
/// use snn_core::Raster;
/// use snn_data::{Bsa, SignalEncoder};
/// let mut spikes = Raster::default();
/// Bsa::new(vec![0.5, 0.5], 0.2)?.encode_signal(&[0.0, 0.5, 1.0, 0.5, 0.0, 0.1], 1, &mut spikes);
/// assert_eq!(spikes.iter().collect::<Vec<_>>(), [(1, 0), (2, 0)]); // ½ ½ from step 1 and from step 2
/// # Ok::<(), snn_data::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Bsa {
    filter: Vec<f32>,
    threshold: f32,
}

impl Bsa {
    /// An encoder with this filter (1 to 2¹⁶ finite taps, not all 0) and threshold (0 or more).
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn new(filter: Vec<f32>, threshold: f64) -> Result<Self, DataError> {
        check((1..=1 << 16).contains(&filter.len()), OF, "taps", filter.len(), "from 1 to 2¹⁶")?;
        let possible = filter.iter().all(|h| h.is_finite()) && filter.iter().any(|&h| h != 0.0);
        check(possible, OF, "filter", format!("{filter:?}"), "finite numbers, not all 0")?;
        check(threshold >= 0.0 && threshold.is_finite(), OF, "threshold", threshold, "0 or more")?;
        Ok(Bsa { filter, threshold: threshold as f32 })
    }

    /// The filter of a raised cosine over `taps` steps, of which `gain` spikes per step make a signal of 1.
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn smooth(taps: usize, gain: f64, threshold: f64) -> Result<Self, DataError> {
        check((1..=1 << 16).contains(&taps), OF, "taps", taps, "from 1 to 2¹⁶")?;
        positive(OF, "gain", gain)?;
        let tap = |k: usize| (std::f64::consts::PI * (k as f64 + 1.0) / (taps as f64 + 1.0)).sin().powi(2);
        let sum: f64 = (0..taps).map(tap).sum();
        Self::new((0..taps).map(|k| (tap(k) / (gain * sum)) as f32).collect(), threshold)
    }

    /// The spikes of one channel; `rest` is the signal, and becomes what they do not tell of it.
    fn spikes(&self, rest: &mut [f32]) -> Vec<u32> {
        let mut spikes = Vec::new();
        for t in 0..rest.len() {
            let ahead = &mut rest[t..];
            let gain: f32 = ahead.iter().zip(&self.filter).map(|(r, h)| r.abs() - (r - h).abs()).sum();
            if gain >= self.threshold && gain > 0.0 {
                ahead.iter_mut().zip(&self.filter).for_each(|(r, h)| *r -= h);
                spikes.push(t as u32);
            }
        }
        spikes
    }
}

impl SignalEncoder for Bsa {
    fn units(&self, channels: usize) -> usize {
        channels
    }

    fn encode_signal(&self, signal: &[f32], channels: usize, into: &mut Raster) {
        shape(signal, channels, channels, into);
        let finite = |x: &f32| if x.is_finite() { *x } else { 0.0 };
        let one = |c: usize| {
            let mut rest: Vec<f32> = signal.iter().skip(c).step_by(channels).map(finite).collect();
            self.spikes(&mut rest).into_iter().map(move |t| (t, c as u32))
        };
        into.fill((0..channels).flat_map(one));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parameters_are_checked() {
        assert!(Bsa::new(vec![], 0.1).unwrap_err().to_string().contains("taps = 0"));
        assert!(Bsa::new(vec![0.0, 0.0], 0.1).is_err() && Bsa::new(vec![f32::NAN], 0.1).is_err() && Bsa::new(vec![1.0], -0.1).is_err());
        assert!(Bsa::smooth(0, 1.0, 0.1).is_err() && Bsa::smooth(5, 0.0, 0.1).is_err() && Bsa::smooth(5, 0.5, 0.1).is_ok());
    }

    /// With one tap of 1 a spike tells `1 − |x − 1|` of a value x above 0, or less.
    #[test]
    fn one_tap_is_a_comparison() {
        let bsa = Bsa::new(vec![1.0], 0.5).unwrap();
        let mut rest = [0.7, 0.75, 1.0, 2.0, -1.0];
        assert_eq!((bsa.spikes(&mut rest), rest), (vec![1, 2, 3], [0.7, -0.25, 0.0, 1.0, -1.0]));
    }

    proptest! {
        /// Every spike takes the threshold at least from what remains; filtered, the spikes and what remains are the signal.
        #[test]
        fn spikes_and_the_rest_are_the_signal(signal in prop::collection::vec(-0.2f32..1.5, 1..120), taps in 1usize..12, threshold in 0.01f64..0.5) {
            let bsa = Bsa::smooth(taps, 0.7, threshold).unwrap();
            let mut rest = signal.clone();
            let spikes = bsa.spikes(&mut rest);
            let size = |x: &[f32]| x.iter().map(|x| f64::from(x.abs())).sum::<f64>();
            prop_assert!(size(&rest) <= size(&signal) - spikes.len() as f64 * threshold + 1e-4);
            for &t in &spikes {
                rest[t as usize..].iter_mut().zip(&bsa.filter).for_each(|(r, h)| *r += h);
            }
            prop_assert!(rest.iter().zip(&signal).all(|(a, b)| (a - b).abs() < 1e-4));
        }

        #[test]
        fn any_signal_is_encoded(signal in prop::collection::vec(prop::num::f32::ANY, 0..30)) {
            let mut raster = Raster::default();
            Bsa::smooth(4, 0.7, 0.1).unwrap().encode_signal(&signal[..signal.len() / 3 * 3], 3, &mut raster);
            prop_assert_eq!((raster.units(), raster.steps()), (3, signal.len() / 3));
        }
    }
}
