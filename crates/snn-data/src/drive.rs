//! Strengths over time to spikes: one leaky neuron per channel.

use crate::{
    encode::{SignalEncoder, shape},
    error::{DataError, check, positive},
};
use snn_core::Raster;

/// Each channel drives a leaky integrate-and-fire neuron of its own: the stronger the channel, the more often it fires.
///
/// Order: decay, input, threshold, reset by subtraction.
///
/// `v[t] = α · v[t−1] + gain · x[t]`, `α = e^(−dt/τ)`; spike if `v[t] ≥ 1`, then `v[t] ← v[t] − 1`.
///
/// A constant channel `x` fires if `gain · x ≥ 1 − α`, about `gain · x` times per step when the leak is small, and at most once: of what is
/// left above the threshold after a spike at most one threshold is kept. Negative values hold a neuron back, down to `v = −1`. Unit `c` is
/// channel `c`. No randomness. Cost: O(steps · channels).
///
/// ```
/// use snn_core::Raster;
/// use snn_data::{Drive, SignalEncoder};
/// let mut spikes = Raster::default();
/// Drive::new(f64::INFINITY, 0.5, 1e-3)?.encode_signal(&[1.0, 0.5, 1.0, 0.5, 1.0, 0.5, 1.0, 0.5], 2, &mut spikes);
/// assert_eq!(spikes.iter().collect::<Vec<_>>(), [(1, 0), (3, 0), (3, 1)]);
/// # Ok::<(), snn_data::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Drive {
    alpha: f64,
    gain: f64,
}

impl Drive {
    /// Neurons of the time constant `tau` (s, above 0; ∞ is no leak) in steps of `dt` (s), which a channel of 1 raises by `gain` (above 0)
    /// thresholds per step.
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn new(tau: f64, gain: f64, dt: f64) -> Result<Self, DataError> {
        check(tau > 0.0, "Drive", "tau", tau, "above 0")?;
        positive("Drive", "gain", gain)?;
        positive("Drive", "dt", dt)?;
        Ok(Drive { alpha: (-dt / tau).exp(), gain })
    }
}

impl SignalEncoder for Drive {
    fn units(&self, channels: usize) -> usize {
        channels
    }

    fn encode_signal(&self, signal: &[f32], channels: usize, into: &mut Raster) {
        shape(signal, channels, channels, into);
        let mut potential = vec![0f64; channels];
        into.write(|t, units| {
            for (c, v) in potential.iter_mut().enumerate() {
                let x = f64::from(signal[t * channels + c]);
                *v = (self.alpha * *v + if x.is_nan() { 0.0 } else { self.gain * x }).max(-1.0);
                if *v >= 1.0 {
                    *v = (*v - 1.0).min(1.0);
                    units.push(c as u32);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spikes(drive: &Drive, signal: &[f32], channels: usize) -> Vec<(usize, u32)> {
        let mut raster = Raster::default();
        drive.encode_signal(signal, channels, &mut raster);
        assert_eq!((raster.units(), raster.steps()), (channels, signal.len() / channels));
        raster.iter().collect()
    }

    #[test]
    fn the_leak_worked_by_hand() {
        // α = e^(−ln 2) = 1/2. x = 0.75: v = 0.75, 1.125 → 0.125, 0.8125, 1.15625 → 0.15625.
        let drive = Drive::new(1e-3 / f64::ln(2.0), 1.0, 1e-3).unwrap();
        assert_eq!(spikes(&drive, &[0.75; 4], 1), [(1, 0), (3, 0)]);
        // The rheobase is 1 − α: 0.49 never fires.
        assert_eq!(spikes(&drive, &[0.49; 100], 1), []);
        assert!(!spikes(&drive, &[0.51; 100], 1).is_empty());
    }

    #[test]
    fn parameters_are_checked() {
        assert!(Drive::new(0.0, 1.0, 1e-3).unwrap_err().to_string().contains("tau = 0"));
        assert!(Drive::new(f64::NAN, 1.0, 1e-3).is_err() && Drive::new(1.0, -1.0, 1e-3).is_err() && Drive::new(1.0, 1.0, 0.0).is_err());
    }

    proptest! {
        /// Without a leak no charge is lost: the spikes are the whole thresholds that came in.
        #[test]
        fn spikes_count_the_charge(signal in prop::collection::vec(0f32..=1.0, 1..200)) {
            let charge: f64 = signal.iter().map(|&x| 0.25 * f64::from(x)).sum();
            prop_assert_eq!(spikes(&Drive::new(f64::INFINITY, 0.25, 1e-3).unwrap(), &signal, 1).len(), charge.floor() as usize);
        }

        #[test]
        fn any_signal_is_encoded(signal in prop::collection::vec(prop::num::f32::ANY, 0..30)) {
            spikes(&Drive::new(0.02, 0.5, 5e-3).unwrap(), &signal[..signal.len() / 3 * 3], 3);
        }

        #[test]
        fn stronger_is_never_rarer(a in 0f32..2.0, b in 0f32..2.0) {
            let n = |x| spikes(&Drive::new(0.02, 0.5, 5e-3).unwrap(), &[x; 50], 1).len();
            prop_assert!(n(a.max(b)) >= n(a.min(b)));
        }
    }
}
