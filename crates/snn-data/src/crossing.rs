//! Crossed thresholds to spikes.

use crate::{
    encode::{Encoder, SignalEncoder, shape},
    error::{DataError, check, count},
};
use snn_core::{Raster, Seed};

const OF: &str = "PixelCrossings";

/// +1 if the signal rises through `level` between two samples, −1 if it falls, 0 otherwise. At the level counts as above; NaN is nowhere.
fn crossing(before: f32, after: f32, level: f32) -> i32 {
    i32::from(before < level && after >= level) - i32::from(before >= level && after < level)
}

/// Threshold crossing: for each of `k` levels `θ`, one unit fires when the signal rises through it and another when it falls.
///
/// Up in step `t`: `x[t−1] < θ ≤ x[t]`; down: `x[t−1] ≥ θ > x[t]`. The first step is silent. With equal spacing this is the code of
/// level-crossing converters; unlike [`Delta`](crate::Delta) a jump over several levels loses nothing, and equal values give equal spikes.
///
/// Level `j` of channel `c` has the units `2(c·k + j)` (up) and `2(c·k + j) + 1` (down). No randomness. Cost: O(steps · channels · k).
///
/// ```
/// use snn_core::Raster;
/// use snn_data::{Crossings, SignalEncoder};
/// let mut spikes = Raster::default();
/// Crossings::new(vec![0.5, 1.0])?.encode_signal(&[0.0, 0.7, 1.0, 0.2], 1, &mut spikes);
/// assert_eq!(spikes.iter().collect::<Vec<_>>(), [(1, 0), (2, 2), (3, 1), (3, 3)]);
/// # Ok::<(), snn_data::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Crossings {
    levels: Vec<f32>,
}

impl Crossings {
    /// An encoder with these levels, at least one, finite and ascending.
    ///
    /// # Errors
    /// [`DataError::Parameter`] for other levels.
    pub fn new(levels: Vec<f32>) -> Result<Self, DataError> {
        let ascending = !levels.is_empty() && levels.iter().all(|l| l.is_finite()) && levels.is_sorted_by(|a, b| a < b);
        check(ascending, "Crossings", "levels", format!("{levels:?}"), "at least one number, each above the one before")?;
        Ok(Crossings { levels })
    }

    /// `k` levels (at least 2) evenly from `low` to `high`, both included.
    ///
    /// # Errors
    /// [`DataError::Parameter`] unless `low < high` and both are finite.
    pub fn even(low: f32, high: f32, k: usize) -> Result<Self, DataError> {
        check(k >= 2, "Crossings", "k", k, "at least 2")?;
        let (from, to) = (f64::from(low), f64::from(high));
        Self::new((0..k).map(|j| (from + (to - from) * j as f64 / (k - 1) as f64) as f32).collect())
    }
}

impl SignalEncoder for Crossings {
    fn units(&self, channels: usize) -> usize {
        2 * self.levels.len() * channels
    }

    fn encode_signal(&self, signal: &[f32], channels: usize, into: &mut Raster) {
        shape(signal, channels, self.units(channels), into);
        into.write(|t, units| {
            if t == 0 {
                return;
            }
            for c in 0..channels {
                let (before, after) = (signal[(t - 1) * channels + c], signal[t * channels + c]);
                for (j, &level) in self.levels.iter().enumerate() {
                    let up = 2 * (c * self.levels.len() + j) as u32;
                    match crossing(before, after, level) {
                        1 => units.push(up),
                        -1 => units.push(up + 1),
                        _ => {}
                    }
                }
            }
        });
    }
}

/// An image scanned pixel by pixel in the threshold-crossing code: what sequential MNIST is to the LSNN.
///
/// The `n` intensities are read one after the other, each for `repeat` steps; then a cue unit fires for `cue` steps, in which the network
/// answers. There are `k` levels evenly from 0 to 1. For each level `j` but the last, unit `2j` fires in the step before the intensity
/// rises to `j/(k−1)` or above, unit `2j + 1` in the step before it falls below; unit `2k − 2` fires wherever the intensity is 1; unit
/// `2k − 1` is the cue. `2k` units and `n · repeat + cue` steps. Cost: O(k · n).
///
/// The code is that of the released program: the spike stands at the earlier of the two pixels. Level 0 is never crossed, so that units 0
/// and 1 are silent for intensities from 0 to 1.
///
/// Source: Bellec, Salaj, Subramoney, Legenstein and Maass 2018 (arXiv:1803.09574) and its program LSNN-official: 40 levels, a cue of two
/// rows (56 steps), 80 units, 840 steps.
///
/// ```
/// use snn_data::{Encoder, PixelCrossings};
/// let lsnn = PixelCrossings::lsnn(784, 1)?;
/// assert_eq!((lsnn.units(784), lsnn.steps()), (80, 840));
/// # Ok::<(), snn_data::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PixelCrossings {
    levels: Vec<f32>,
    pixels: usize,
    repeat: usize,
    cue: usize,
}

impl PixelCrossings {
    /// An encoder with `levels` levels (at least 2) for images of `pixels` pixels, each shown for `repeat` steps (both at least 1), and a cue of
    /// `cue` steps.
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn new(levels: usize, pixels: usize, repeat: usize, cue: usize) -> Result<Self, DataError> {
        check((2..=1 << 20).contains(&levels), OF, "levels", levels, "from 2 to 2²⁰")?;
        count(OF, "pixels", pixels)?;
        count(OF, "repeat", repeat)?;
        let steps = pixels.checked_mul(repeat).and_then(|steps| steps.checked_add(cue)).unwrap_or(usize::MAX);
        count(OF, "pixels · repeat + cue", steps)?;
        let levels = Crossings::even(0.0, 1.0, levels)?.levels;
        Ok(PixelCrossings { levels, pixels, repeat, cue })
    }

    /// The published setting: 40 levels and a cue of `56 · repeat` steps, for images of `pixels` pixels (784), each shown for `repeat` steps (1
    /// or 2).
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn lsnn(pixels: usize, repeat: usize) -> Result<Self, DataError> {
        count(OF, "repeat", repeat)?;
        Self::new(40, pixels, repeat, repeat.saturating_mul(56))
    }

    /// The steps in which the cue is on, at the end of the trial.
    pub fn cue(&self) -> std::ops::Range<usize> {
        self.steps() - self.cue..self.steps()
    }
}

impl Encoder for PixelCrossings {
    fn steps(&self) -> usize {
        self.pixels * self.repeat + self.cue
    }

    fn units(&self, _: usize) -> usize {
        2 * self.levels.len()
    }

    /// # Panics
    /// If there is another number of intensities than the encoder was made for.
    fn encode(&self, intensities: &[f32], _: Seed, into: &mut Raster) {
        assert!(intensities.len() == self.pixels, "{} intensities for an encoder of {} pixels", intensities.len(), self.pixels);
        let last = self.levels.len() - 1;
        into.reset(2 * self.levels.len(), self.steps());
        into.write(|t, units| {
            let Some(&x) = intensities.get(t / self.repeat) else {
                return units.push(2 * last as u32 + 1);
            };
            if (t + 1).is_multiple_of(self.repeat)
                && let Some(&next) = intensities.get(t / self.repeat + 1)
            {
                for (j, &level) in self.levels[..last].iter().enumerate() {
                    match crossing(x, next, level) {
                        1 => units.push(2 * j as u32),
                        -1 => units.push(2 * j as u32 + 1),
                        _ => {}
                    }
                }
            }
            if x == 1.0 {
                units.push(2 * last as u32);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn crossings(levels: Vec<f32>, signal: &[f32], channels: usize) -> Raster {
        let mut raster = Raster::default();
        Crossings::new(levels).unwrap().encode_signal(signal, channels, &mut raster);
        raster
    }

    fn pixels(encoder: &PixelCrossings, intensities: &[f32]) -> Vec<(usize, u32)> {
        let mut raster = Raster::default();
        encoder.encode(intensities, Seed::new(0), &mut raster);
        assert_eq!((raster.units(), raster.steps()), (encoder.units(intensities.len()), encoder.steps()));
        raster.iter().collect()
    }

    #[test]
    fn a_triangle_crosses_every_level_once_each_way() {
        // 0, 1, …, 10, …, 1, 0 with levels 0.5, 1.5, …, 9.5: level j + 0.5 up in step j + 1, down in step 20 − j.
        let triangle: Vec<f32> = (0..=10).chain((0..10).rev()).map(|x| x as f32).collect();
        let levels: Vec<f32> = (0..10).map(|j| j as f32 + 0.5).collect();
        let mut expected: Vec<(usize, u32)> = (0..10).flat_map(|j| [(j + 1, 2 * j as u32), (20 - j, 2 * j as u32 + 1)]).collect();
        expected.sort_unstable();
        assert_eq!(crossings(levels, &triangle, 1).iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_lsnn_code_worked_by_hand() {
        // Three levels 0, 0.5, 1: units 0, 1 (level 0, silent), 2 up, 3 down, 4 touch, 5 cue. Pixels 0, 0.5, 1, 0.2.
        let encoder = PixelCrossings::new(3, 4, 1, 2).unwrap();
        assert_eq!(pixels(&encoder, &[0.0, 0.5, 1.0, 0.2]), [(0, 2), (2, 3), (2, 4), (4, 5), (5, 5)]);
        assert_eq!(encoder.cue(), 4..6);
        // Shown twice as long, the crossings stand at the second showing, and the touch at both.
        let slow = PixelCrossings::new(3, 4, 2, 2).unwrap();
        assert_eq!(pixels(&slow, &[0.0, 0.5, 1.0, 0.2]), [(1, 2), (4, 4), (5, 3), (5, 4), (8, 5), (9, 5)]);
    }

    #[test]
    fn the_lsnn_code_has_its_published_size() {
        let encoder = PixelCrossings::lsnn(784, 1).unwrap();
        assert_eq!((encoder.units(784), encoder.steps(), encoder.cue()), (80, 840, 784..840));
        assert_eq!(PixelCrossings::lsnn(784, 2).unwrap().steps(), 1680);
        // A pixel of 85 is on level 13 of 39 (a third of the way): it counts as above.
        let mut raster = Raster::default();
        let mut image = [0u8; 784];
        image[1] = 85;
        encoder.encode_bytes(&image, Seed::new(0), &mut raster);
        assert_eq!(raster.at(0), (1..=13).map(|j| 2 * j).collect::<Vec<u32>>());
        assert_eq!(raster.at(1), (1..=13).map(|j| 2 * j + 1).collect::<Vec<u32>>());
        assert_eq!(raster.len(), 26 + 56);
    }

    #[test]
    fn parameters_are_checked() {
        assert!(Crossings::new(vec![]).is_err() && Crossings::new(vec![1.0, 1.0]).is_err() && Crossings::new(vec![f32::NAN]).is_err());
        assert!(Crossings::even(1.0, 0.0, 3).unwrap_err().to_string().contains("levels = [1.0, 0.5, 0.0]"));
        assert!(Crossings::even(0.0, 1.0, 1).unwrap_err().to_string().contains("k = 1"));
        assert!(PixelCrossings::new(1, 4, 1, 0).unwrap_err().to_string().contains("levels = 1"));
        assert!(PixelCrossings::lsnn(784, 0).unwrap_err().to_string().contains("repeat = 0"));
        assert!(PixelCrossings::new(3, usize::MAX, 2, 0).is_err() && PixelCrossings::new(3, 1 << 31, 2, 0).is_err());
    }

    proptest! {
        /// Ups less downs of a level say on which side the signal ended: crossings lose nothing but the place between levels.
        #[test]
        fn counts_tell_where_the_signal_is(signal in prop::collection::vec(-2f32..2.0, 1..100)) {
            let levels = vec![-1.0, 0.0, 0.5, 1.5];
            let raster = crossings(levels.clone(), &signal, 1);
            for (j, &level) in levels.iter().enumerate() {
                let count = |unit| raster.iter().filter(|e| e.1 as usize == unit).count() as i32;
                let above = |x: f32| i32::from(x >= level);
                prop_assert_eq!(count(2 * j) - count(2 * j + 1), above(signal[signal.len() - 1]) - above(signal[0]));
            }
        }

        #[test]
        fn any_signal_is_encoded(signal in prop::collection::vec(prop::num::f32::ANY, 0..30)) {
            let raster = crossings(vec![-1.0, 0.0, 1.0], &signal[..signal.len() / 3 * 3], 3);
            prop_assert_eq!((raster.units(), raster.steps()), (18, signal.len() / 3));
            if !signal.is_empty() {
                pixels(&PixelCrossings::new(5, signal.len(), 2, 1).unwrap(), &signal);
            }
        }

        /// The scanned code is the signal code of the repeated pixels, one step earlier, with touch and cue.
        #[test]
        fn pixels_are_crossings_one_step_earlier(image in prop::collection::vec(0f32..=1.0, 1..20), repeat in 1usize..4) {
            let encoder = PixelCrossings::new(6, image.len(), repeat, 3).unwrap();
            let signal: Vec<f32> = image.iter().flat_map(|&x| std::iter::repeat_n(x, repeat)).collect();
            let levels = Crossings::even(0.0, 1.0, 6).unwrap().levels[..5].to_vec();
            let expected: Vec<_> = crossings(levels, &signal, 1).iter().map(|(t, u)| (t - 1, u)).collect();
            let got: Vec<_> = pixels(&encoder, &image).into_iter().filter(|e| e.1 < 10).collect();
            prop_assert_eq!(got, expected);
        }
    }
}
