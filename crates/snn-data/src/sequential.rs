//! Pictures as time: one pixel after the other, then a cue to answer.

use crate::{
    crossing::PixelCrossings,
    error::{DataError, check, count},
    images::{Encoded, ImageSet, Pooled},
    mnist::Images,
};
use snn_core::Seed;
use std::ops::Range;

const OF: &str = "SequentialParams";

/// Images scanned pixel by pixel, in the threshold-crossing code of [`PixelCrossings`].
pub type Sequential<I = Images> = Encoded<PixelCrossings, Pooled<I>>;

/// How pictures become sequences. The default is sequential MNIST as the LSNN has it: 840 steps of 1 ms, 80 channels.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `levels` | 40 | grey levels whose crossing is a spike; twice as many channels |
/// | `repeat` | 1 | steps per pixel: 1 or 2 in the publication |
/// | `cue` | 56 | length of the cue in pixels: two rows |
/// | `pool` | 1 | every square of so many pixels each way is averaged to one |
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SequentialParams {
    /// Grey levels, at least 2.
    pub levels: usize,
    /// Steps per pixel, at least 1.
    pub repeat: usize,
    /// Pixels that the cue lasts, at least 2.
    pub cue: usize,
    /// Pixels each way that are averaged, at least 1.
    pub pool: usize,
}

impl Default for SequentialParams {
    fn default() -> Self {
        SequentialParams { levels: 40, repeat: 1, cue: 56, pool: 1 }
    }
}

impl SequentialParams {
    /// `images` as sequences: the code and its units are described at [`PixelCrossings`]. No randomness.
    ///
    /// Source: Bellec, Salaj, Subramoney, Legenstein and Maass 2018 (arXiv:1803.09574) and its program LSNN-official.
    ///
    /// ```
    /// use snn_core::{Dataset, Seed};
    /// use snn_data::{SequentialParams, StrokeParams};
    /// let digits = StrokeParams::default().images(Seed::new(1), 0..100)?;
    /// let sequences = SequentialParams::default().of(digits)?;
    /// assert_eq!((sequences.len(), sequences.inputs(), sequences.steps()), (100, 80, 840));
    /// let smaller = SequentialParams { pool: 2, cue: 28, ..Default::default() };
    /// assert_eq!(smaller.of(StrokeParams::default().images(Seed::new(1), 0..100)?)?.steps(), 224);
    /// # Ok::<(), snn_data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn of<I: ImageSet>(&self, images: I) -> Result<Sequential<I>, DataError> {
        count(OF, "repeat", self.repeat)?;
        check(self.cue >= 2, OF, "cue", self.cue, "at least 2")?;
        let cue = self.cue.saturating_mul(self.repeat);
        count(OF, "cue · repeat", cue)?;
        let images = Pooled::new(images, self.pool)?;
        let encoder = PixelCrossings::new(self.levels, images.pixels_each(), self.repeat, cue)?;
        Ok(Encoded::new(images, encoder, Seed::new(0))) // the code has no use for the seed
    }

    /// The steps over which the output is averaged, in a trial of `steps` steps: the second half of the cue, 28 steps by default.
    pub fn answer_window(&self, steps: usize) -> Range<usize> {
        steps.saturating_sub(self.cue * self.repeat / 2)..steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Encoder, StrokeParams};
    use snn_core::{Dataset, Raster, Target};

    #[test]
    fn a_sequence_is_the_code_of_the_pooled_image() {
        let digits = StrokeParams::default().images(Seed::new(1), 0..20).unwrap();
        let params = SequentialParams { pool: 2, repeat: 2, cue: 28, ..Default::default() };
        let sequences = params.of(digits.clone()).unwrap();
        let pooled = Pooled::new(digits, 2).unwrap();
        let encoder = PixelCrossings::new(40, 196, 2, 56).unwrap();
        let (mut image, mut a, mut b) = (vec![0.0; 196], Raster::default(), Raster::default());
        for i in 0..20 {
            sequences.load(i, &mut a);
            pooled.intensities(i, &mut image);
            encoder.encode(&image, Seed::new(9), &mut b);
            assert!(a == b && a.len() > 56);
            assert_eq!(sequences.target(i), Target::Class(i % 10));
            // The cue is on in its steps, and only then.
            assert!((0..448).all(|t| a.at(t).contains(&79) == (t >= 392)));
        }
        assert_eq!((sequences.steps(), params.answer_window(448)), (448, 420..448));
        assert_eq!(SequentialParams::default().answer_window(840), 812..840);
    }

    #[test]
    fn parameters_are_checked() {
        let bad =
            |params: SequentialParams| params.of(StrokeParams::default().images(Seed::new(1), 0..2).unwrap()).err().unwrap().to_string();
        assert!(bad(SequentialParams { levels: 1, ..Default::default() }).contains("levels = 1"));
        assert!(bad(SequentialParams { repeat: 0, ..Default::default() }).contains("repeat = 0"));
        assert!(bad(SequentialParams { cue: 1, ..Default::default() }).contains("cue = 1"));
        assert!(bad(SequentialParams { pool: 3, ..Default::default() }).contains("factor = 3"));
        assert!(bad(SequentialParams { cue: usize::MAX, repeat: 2, ..Default::default() }).contains("cue · repeat"));
    }
}
