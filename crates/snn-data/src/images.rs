//! Labelled pictures: what every set of them has, and how an encoder makes them trials of spikes.

use crate::{
    encode::{Encoder, Latency},
    error::{DataError, check},
    mnist::Images,
};
use snn_core::{Dataset, Raster, Seed, Target};
use std::ops::Range;

/// Labelled pictures of one shape: files ([`Images`]) or generated ([`PrototypeImages`](crate::PrototypeImages),
/// [`StrokeImages`](crate::StrokeImages)). With an [`Encoder`] they are a data set of spikes, [`Encoded`].
pub trait ImageSet: Sync {
    /// Name for tables and logs.
    fn name(&self) -> &str;
    /// Number of images.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Rows and columns.
    fn shape(&self) -> (usize, usize);
    /// Number of pixels.
    fn pixels_each(&self) -> usize {
        let (rows, columns) = self.shape();
        rows * columns
    }
    /// Number of classes.
    fn classes(&self) -> usize;
    /// The class of image `index`.
    fn label(&self, index: usize) -> usize;
    /// Writes the intensities of image `index`, row by row, into `into`, which holds as many as there are pixels. From 0 (dark) to 1 (bright), unless
    /// the set says otherwise.
    fn intensities(&self, index: usize, into: &mut [f32]);
    /// The intensities of some images, one after the other.
    fn numbers(&self, range: Range<usize>) -> Vec<f32> {
        let each = self.pixels_each();
        let mut all = vec![0.0; range.len() * each];
        all.chunks_mut(each.max(1)).zip(range).for_each(|(into, index)| self.intensities(index, into));
        all
    }
    /// The spikes that `encoder` makes of image `index`.
    fn encode(&self, index: usize, encoder: &dyn Encoder, seed: Seed, into: &mut Raster) {
        let mut intensities = vec![0.0; self.pixels_each()];
        self.intensities(index, &mut intensities);
        encoder.encode(&intensities, seed, into);
    }
}

impl<I: ImageSet + ?Sized> ImageSet for &I {
    fn name(&self) -> &str {
        (**self).name()
    }
    fn len(&self) -> usize {
        (**self).len()
    }
    fn shape(&self) -> (usize, usize) {
        (**self).shape()
    }
    fn classes(&self) -> usize {
        (**self).classes()
    }
    fn label(&self, index: usize) -> usize {
        (**self).label(index)
    }
    fn intensities(&self, index: usize, into: &mut [f32]) {
        (**self).intensities(index, into);
    }
    fn encode(&self, index: usize, encoder: &dyn Encoder, seed: Seed, into: &mut Raster) {
        (**self).encode(index, encoder, seed, into);
    }
}

/// Images with every square of `factor × factor` pixels averaged to one.
#[derive(Clone, Debug)]
pub struct Pooled<I> {
    images: I,
    factor: usize,
}

impl<I: ImageSet> Pooled<I> {
    /// `images`, smaller by `factor` each way: at least 1, and a divisor of rows and columns.
    ///
    /// # Errors
    /// [`DataError::Parameter`] for another factor.
    pub fn new(images: I, factor: usize) -> Result<Self, DataError> {
        let (rows, columns) = images.shape();
        let divides = factor > 0 && rows.is_multiple_of(factor) && columns.is_multiple_of(factor);
        check(divides, "Pooled", "factor", factor, "at least 1 and a divisor of the rows and columns of the images")?;
        Ok(Pooled { images, factor })
    }
}

impl<I: ImageSet> ImageSet for Pooled<I> {
    fn name(&self) -> &str {
        self.images.name()
    }
    fn len(&self) -> usize {
        self.images.len()
    }
    fn shape(&self) -> (usize, usize) {
        let (rows, columns) = self.images.shape();
        (rows / self.factor, columns / self.factor)
    }
    fn classes(&self) -> usize {
        self.images.classes()
    }
    fn label(&self, index: usize) -> usize {
        self.images.label(index)
    }
    fn intensities(&self, index: usize, into: &mut [f32]) {
        let (factor, (rows, columns)) = (self.factor, self.images.shape());
        let mut whole = vec![0.0; rows * columns];
        self.images.intensities(index, &mut whole);
        into.fill(0.0);
        for (i, x) in whole.iter().enumerate() {
            into[i / columns / factor * (columns / factor) + i % columns / factor] += x;
        }
        into.iter_mut().for_each(|x| *x /= (factor * factor) as f32);
    }
    fn encode(&self, index: usize, encoder: &dyn Encoder, seed: Seed, into: &mut Raster) {
        if self.factor == 1 {
            return self.images.encode(index, encoder, seed, into);
        }
        let mut intensities = vec![0.0; self.pixels_each()];
        self.intensities(index, &mut intensities);
        encoder.encode(&intensities, seed, into);
    }
}

/// Images seen through an encoder, which works when a trial is loaded: memory is that of the images.
///
/// Image `index` always gets the seed `seed.nth(index)`: an encoder that draws random numbers gives it the same spikes each time.
pub struct Encoded<E, I = Images> {
    images: I,
    encoder: E,
    seed: Seed,
}

/// Images in the time-to-first-spike code.
pub type LatencyImages = Encoded<Latency>;

impl<E: Encoder, I: ImageSet> Encoded<E, I> {
    /// `images` as `encoder` gives them.
    pub fn new(images: I, encoder: E, seed: Seed) -> Self {
        Encoded { images, encoder, seed }
    }
}

impl<E: Encoder, I: ImageSet> Dataset for Encoded<E, I> {
    fn name(&self) -> &str {
        self.images.name()
    }
    fn len(&self) -> usize {
        self.images.len()
    }
    fn inputs(&self) -> usize {
        self.encoder.units(self.images.pixels_each())
    }
    fn steps(&self) -> usize {
        self.encoder.steps()
    }
    fn classes(&self) -> usize {
        self.images.classes()
    }
    fn load(&self, index: usize, into: &mut Raster) {
        self.images.encode(index, &self.encoder, self.seed.nth(index as u64), into);
    }
    fn target(&self, index: usize) -> Target<'_> {
        Target::Class(self.images.label(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StrokeParams;

    #[test]
    fn pooled_images_are_means_of_squares() {
        let images = StrokeParams::default().images(Seed::new(1), 0..2).unwrap();
        let mut whole = vec![0.0; 784];
        images.intensities(1, &mut whole);
        let pooled = Pooled::new(&images, 4).unwrap();
        assert_eq!((pooled.shape(), pooled.len(), pooled.label(1), pooled.classes()), ((7, 7), 2, 1, 10));
        let mut small = vec![9.0; 49];
        pooled.intensities(1, &mut small);
        let square = |r: usize, c: usize| (0..16).map(|k| whole[(4 * r + k / 4) * 28 + 4 * c + k % 4]).sum::<f32>() / 16.0;
        for (i, x) in small.iter().enumerate() {
            assert!((x - square(i / 7, i % 7)).abs() < 1e-6, "{i}");
        }
        assert!(Pooled::new(&images, 3).unwrap_err().to_string().contains("factor = 3"));
        assert!(Pooled::new(&images, 0).is_err());
    }
}
