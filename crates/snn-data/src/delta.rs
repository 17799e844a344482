//! Changes to spikes: send on delta.

use crate::{
    encode::{SignalEncoder, shape},
    error::{DataError, positive},
};
use snn_core::Raster;

/// Delta modulation: a spike whenever the signal has moved by the threshold `θ` since the last spike of its channel.
///
/// Each channel has a reference `r`, at first its first sample. In each step
///
/// `x − r ≥ θ`: spike "up", `r ← r + θ`; `r − x ≥ θ`: spike "down", `r ← r − θ`; silence otherwise.
///
/// The reference is what a receiver gets by adding the spikes up ([`Delta::reconstruct`]). One spike per step and unit carries at most `θ`:
/// as long as the signal never moves by more than `θ` in a step, `|x − r| < θ` after every step; a faster one runs ahead of its reference
/// (slope overload), which then follows at `θ` per step. Shorten the step or raise the threshold if that is not wanted.
///
/// Channel `c` has the units `2c` (up) and `2c + 1` (down). A channel that begins with NaN is silent. No randomness.
/// Cost: O(steps · channels).
///
/// Source: delta modulation as in telephony (de Jager 1952); for event sensors, send-on-delta sampling (Miskowicz 2006, Sensors 6:49).
///
/// ```
/// use snn_core::Raster;
/// use snn_data::{Delta, SignalEncoder};
/// let mut spikes = Raster::default();
/// Delta::new(1.0)?.encode_signal(&[0.0, 0.9, 1.2, 2.0, 0.5, 0.9], 1, &mut spikes);
/// assert_eq!(spikes.iter().collect::<Vec<_>>(), [(2, 0), (3, 0), (4, 1)]); // references 0, 0, 1, 2, 1, 1
/// # Ok::<(), snn_data::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Delta {
    threshold: f64,
}

impl Delta {
    /// An encoder with the threshold `θ`, above 0, in the unit of the signal.
    ///
    /// # Errors
    /// [`DataError::Parameter`] for any other threshold.
    pub fn new(threshold: f64) -> Result<Self, DataError> {
        positive("Delta", "threshold", threshold)?;
        Ok(Delta { threshold })
    }

    /// The references behind `spikes`, `[steps × channels]`: the signal as a receiver knows it that was told the `first` sample of each
    /// channel.
    ///
    /// # Panics
    /// If the raster does not have two units for each of the `first` samples.
    #[track_caller]
    pub fn reconstruct(&self, spikes: &Raster, first: &[f32]) -> Vec<f32> {
        assert!(spikes.units() == 2 * first.len(), "{} units for {} channels", spikes.units(), first.len());
        let mut moves = vec![0i64; first.len()];
        let mut signal = Vec::with_capacity(spikes.steps() * first.len());
        for t in 0..spikes.steps() {
            spikes.at(t).iter().for_each(|&unit| moves[unit as usize / 2] += if unit % 2 == 0 { 1 } else { -1 });
            signal.extend(moves.iter().zip(first).map(|(&n, &x)| self.reference(x, n) as f32));
        }
        signal
    }

    /// The reference after `n` more spikes up than down: multiplied, not added up, so that rounding does not grow.
    fn reference(&self, first: f32, n: i64) -> f64 {
        f64::from(first) + n as f64 * self.threshold
    }
}

impl SignalEncoder for Delta {
    fn units(&self, channels: usize) -> usize {
        2 * channels
    }

    fn encode_signal(&self, signal: &[f32], channels: usize, into: &mut Raster) {
        shape(signal, channels, self.units(channels), into);
        let mut moves = vec![0i64; channels];
        into.write(|t, units| {
            for c in 0..channels {
                let ahead = f64::from(signal[t * channels + c]) - self.reference(signal[c], moves[c]);
                if ahead >= self.threshold {
                    moves[c] += 1;
                    units.push(2 * c as u32);
                } else if ahead <= -self.threshold {
                    moves[c] -= 1;
                    units.push(2 * c as u32 + 1);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spikes(threshold: f64, signal: &[f32], channels: usize) -> Raster {
        let mut raster = Raster::default();
        Delta::new(threshold).unwrap().encode_signal(signal, channels, &mut raster);
        raster
    }

    #[test]
    fn two_channels_worked_by_hand() {
        // Channel 0: 1, 1.5, 2.5, 2.5 with θ = 0.5: up at 1, up at 2 (r = 2), up at 3 (r = 2.5): overload, one spike a step.
        // Channel 1: 0, −0.4, −0.5, 0: down at 2 (r = −0.5), up at 3 (r = 0).
        let raster = spikes(0.5, &[1.0, 0.0, 1.5, -0.4, 2.5, -0.5, 2.5, 0.0], 2);
        assert_eq!(raster.iter().collect::<Vec<_>>(), [(1, 0), (2, 0), (2, 3), (3, 0), (3, 2)]);
        assert_eq!(Delta::new(0.5).unwrap().reconstruct(&raster, &[1.0, 0.0]), [1.0, 0.0, 1.5, 0.0, 2.0, -0.5, 2.5, 0.0]);
    }

    #[test]
    fn what_is_no_number_is_silent() {
        assert!(spikes(1.0, &[f32::NAN, 5.0, 9.0], 1).is_empty());
        assert!(spikes(1.0, &[f32::INFINITY, 5.0, f32::INFINITY], 1).len() <= 3); // whatever it is, it is no panic
        assert_eq!(spikes(1.0, &[0.0, f32::NAN, 1.0], 1).iter().collect::<Vec<_>>(), [(2, 0)]);
        assert_eq!(Delta::new(0.0).unwrap_err().to_string(), "Delta: threshold = 0, but it must be finite and above 0");
    }

    #[test]
    #[should_panic(expected = "a signal of 5 values for 2 channels")]
    fn another_shape_is_refused() {
        spikes(1.0, &[0.0; 5], 2);
    }

    proptest! {
        /// Send on delta's promise: the reconstruction stays within θ of a signal that moves by at most θ in a step.
        #[test]
        fn the_reconstruction_error_stays_below_the_threshold(moves in prop::collection::vec(-1f64..1.0, 1..200), first in -50f32..50.0, threshold in 0.01f64..3.0) {
            let mut signal = vec![first];
            for m in moves {
                signal.push((f64::from(signal[signal.len() - 1]) + m * threshold * 0.999) as f32);
            }
            let raster = spikes(threshold, &signal, 1);
            for (x, r) in signal.iter().zip(Delta::new(threshold).unwrap().reconstruct(&raster, &[first])) {
                prop_assert!(f64::from((x - r).abs()) < threshold + 1e-5, "{x} as {r}, θ = {threshold}");
            }
        }

        #[test]
        fn any_signal_is_encoded(signal in prop::collection::vec(prop::num::f32::ANY, 0..30), threshold in 1e-3f64..1e3) {
            let raster = spikes(threshold, &signal[..signal.len() / 3 * 3], 3);
            prop_assert_eq!((raster.units(), raster.steps()), (6, signal.len() / 3));
        }
    }
}
