//! Noisy copies of blobs in a disc: pictures that need no files.

use crate::{
    error::{DataError, check},
    images::ImageSet,
};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use snn_core::Seed;
use std::ops::Range;

const OF: &str = "PrototypeParams";

/// What generated pictures of blobs are like.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `side` | 28 | rows and columns |
/// | `classes` | 10 | prototypes |
/// | `radius` | 9.5 | pixels from the centre beyond which a prototype is dark |
/// | `blur` | 1.5 | standard deviation, in pixels, of the Gaussian that smooths the random field |
/// | `reach` | 4 | pixels to either side that the Gaussian reaches: nine taps |
/// | `threshold` | 0.08 | value of the smoothed field above which a pixel is bright |
/// | `shift` | 2 | most pixels by which a copy is shifted along each axis |
/// | `noise` | 0.5 | scale of the amplitude of the pixel noise |
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct PrototypeParams {
    /// Rows and columns, from 1 to 1024.
    pub side: usize,
    /// Number of prototypes, at least 1.
    pub classes: usize,
    /// Radius of the disc in pixels, above 0.
    pub radius: f64,
    /// Standard deviation of the blur in pixels, above 0.
    pub blur: f64,
    /// Reach of the blur in pixels, at most 64.
    pub reach: usize,
    /// Threshold on the smoothed field, finite.
    pub threshold: f64,
    /// Largest shift in pixels, less than `side`.
    pub shift: usize,
    /// Scale of the noise, at least 0.
    pub noise: f64,
}

impl Default for PrototypeParams {
    fn default() -> Self {
        PrototypeParams { side: 28, classes: 10, radius: 9.5, blur: 1.5, reach: 4, threshold: 0.08, shift: 2, noise: 0.5 }
    }
}

impl PrototypeParams {
    /// Whether each pixel lies in the disc: the others never tell anything but through shifts.
    pub fn disc(&self) -> Vec<bool> {
        let centre = (self.side as f64 - 1.0) / 2.0;
        let inside = |i: usize| (i as f64 - centre) * (i as f64 - centre);
        (0..self.side * self.side).map(|i| inside(i / self.side) + inside(i % self.side) <= self.radius * self.radius).collect()
    }

    /// The prototype of a class, `[side × side]`, of zeros and ones.
    fn prototype(&self, seed: Seed) -> Vec<f32> {
        let mut rng = seed.rng();
        let (side, reach) = (self.side as isize, self.reach as isize);
        let mut field: Vec<f64> = (0..side * side).map(|_| StandardNormal.sample(&mut rng)).collect();
        let tap = |d: isize| (-((d * d) as f64) / (2.0 * self.blur * self.blur)).exp();
        let total: f64 = (-reach..=reach).map(tap).sum();
        for (stride, across) in [(1, side), (side, 1)] {
            // Beyond the border the field is zero; with the default sizes no pixel of the disc looks there.
            let blurred = (0..side * side).map(|i| {
                let (along, line) = (i / stride % side, i / across % side * across);
                let within = |d: &isize| (0..side).contains(&(along + d));
                (-reach..=reach).filter(within).map(|d| tap(d) * field[(line + (along + d) * stride) as usize]).sum::<f64>() / total
            });
            field = blurred.collect();
        }
        field.iter().zip(self.disc()).map(|(&x, inside)| f32::from(u8::from(inside && x > self.threshold))).collect()
    }

    /// The images `range` of a set without end.
    ///
    /// The prototype of a class is a field of independent standard normal numbers, smoothed along both axes with a normalised Gaussian, and 1 where
    /// it exceeds `threshold` inside the disc, 0 elsewhere. Image `n` is the prototype of class `n mod classes`, shifted by a uniform number of
    /// pixels from `−shift` to `shift` along each axis, plus `noise · |N₀| · N(0, 1)` at each pixel with one `N₀ ~ N(0, 1)` per image. Intensities are
    /// therefore not confined to 0..1.
    ///
    /// Prototypes draw from `seed.child("prototypes").nth(class)`, image `n` from `seed.child("images").nth(n)`: a training and a test set are two
    /// ranges of one seed. An image is drawn each time it is asked for, a random number per pixel; memory is that of the
    /// prototypes.
    ///
    /// The task is chosen, not published; it stands in for MNIST where there are no files. Its border is pure noise.
    ///
    /// ```
    /// use snn_core::Seed;
    /// use snn_data::{ImageSet, PrototypeParams};
    /// let train = PrototypeParams::default().images(Seed::new(0), 0..20_000)?;
    /// let mut image = vec![0.0; train.pixels_each()];
    /// train.intensities(7, &mut image);
    /// assert_eq!((train.len(), train.shape(), train.label(7)), (20_000, (28, 28), 7));
    /// # Ok::<(), snn_data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn images(&self, seed: Seed, range: Range<u64>) -> Result<PrototypeImages, DataError> {
        check((1..=1024).contains(&self.side), OF, "side", self.side, "from 1 to 1024")?;
        check((1..=1 << 16).contains(&self.classes), OF, "classes", self.classes, "from 1 to 2¹⁶")?;
        crate::error::positive(OF, "radius", self.radius)?;
        crate::error::positive(OF, "blur", self.blur)?;
        check(self.reach <= 64, OF, "reach", self.reach, "at most 64")?;
        check(self.threshold.is_finite(), OF, "threshold", self.threshold, "finite")?;
        check(self.shift < self.side, OF, "shift", self.shift, "less than side")?;
        check(self.noise >= 0.0 && self.noise.is_finite(), OF, "noise", self.noise, "finite and at least 0")?;
        let prototypes = (0..self.classes as u64).flat_map(|c| self.prototype(seed.child("prototypes").nth(c))).collect();
        Ok(PrototypeImages { params: self.clone(), seed: seed.child("images"), range, prototypes })
    }
}

/// Generated pictures of blobs, made by [`PrototypeParams::images`].
#[derive(Clone, Debug)]
pub struct PrototypeImages {
    params: PrototypeParams,
    seed: Seed,
    range: Range<u64>,
    prototypes: Vec<f32>, // [classes × side × side]
}

impl PrototypeImages {
    /// The pixels of a class's prototype, row by row, 0 or 1.
    pub fn prototype(&self, class: usize) -> &[f32] {
        let pixels = self.pixels_each();
        &self.prototypes[class * pixels..][..pixels]
    }
}

impl ImageSet for PrototypeImages {
    fn name(&self) -> &str {
        "prototypes"
    }
    fn len(&self) -> usize {
        self.range.end.saturating_sub(self.range.start) as usize
    }
    fn shape(&self) -> (usize, usize) {
        (self.params.side, self.params.side)
    }
    fn classes(&self) -> usize {
        self.params.classes
    }
    fn label(&self, index: usize) -> usize {
        ((self.range.start + index as u64) % self.params.classes as u64) as usize
    }
    fn intensities(&self, index: usize, into: &mut [f32]) {
        let (side, shift) = (self.params.side as isize, self.params.shift as isize);
        let mut rng = self.seed.nth(self.range.start + index as u64).rng();
        let [down, right] = [(); 2].map(|()| rng.random_range(-(shift as i64)..=shift as i64) as isize);
        let normal: f64 = StandardNormal.sample(&mut rng);
        let noise = (self.params.noise * normal.abs()) as f32;
        let prototype = self.prototype(self.label(index));
        for (i, x) in (0..).zip(into) {
            let (row, column) = (i / side - down, i % side - right);
            let inside = (0..side).contains(&row) && (0..side).contains(&column);
            let pixel: f32 = StandardNormal.sample(&mut rng);
            *x = if inside { prototype[(row * side + column) as usize] } else { 0.0 } + noise * pixel;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Encoded, Poisson};
    use snn_core::{Dataset, Raster};

    fn image(set: &PrototypeImages, i: usize) -> Vec<f32> {
        let mut image = vec![f32::NAN; set.pixels_each()];
        set.intensities(i, &mut image);
        image
    }

    #[test]
    fn the_blur_is_a_normalised_gaussian_along_both_axes() {
        // The smoothed field is normal with variance (Σ g²)², g the normalised taps: a pixel of the disc is bright with probability
        // 1 − Φ(0.08/Σg²) = 1 − Φ(0.4251) = 0.3354.
        let tap = |d: i32| (-f64::from(d * d) / 4.5).exp();
        let (sum, squares) = ((-4..=4).map(tap).sum::<f64>(), (-4..=4).map(|d| tap(d) * tap(d)).sum::<f64>());
        assert!((0.08 / (squares / (sum * sum)) - 0.4251).abs() < 2e-3, "{}", 0.08 / (squares / (sum * sum)));
        let params = PrototypeParams { classes: 400, ..Default::default() };
        let set = params.images(Seed::new(1), 0..1).unwrap();
        let disc = params.disc();
        let inside = disc.iter().filter(|&&d| d).count();
        assert_eq!(inside, (0..784).filter(|i| ((i / 28) as f64 - 13.5).powi(2) + ((i % 28) as f64 - 13.5).powi(2) <= 90.25).count());
        let bright = set.prototypes.iter().sum::<f32>() as f64 / (400 * inside) as f64;
        // A blob is about (2·1.5·√π)² = 28 pixels: 400·284/28 = 4000 independent ones, ± 0.0075.
        assert!((bright - 0.3354).abs() < 0.03, "{bright}");
        // Outside the disc all is dark.
        assert!((0..400).all(|c| set.prototype(c).iter().zip(&disc).all(|(&x, &d)| d || x == 0.0)));
        // Correlation of direct neighbours within the disc along either axis: exp(−1/(4·1.5²)) = 0.895 before the threshold; after it
        // (2/π·asin-like) well above that of pixels eight apart, which share no tap.
        let together = |step: usize| {
            let pairs = || (0..400).flat_map(|c| (0..784 - step).map(move |i| (c, i))).filter(|&(_, i)| disc[i] && disc[i + step]);
            pairs().map(|(c, i)| f64::from(set.prototype(c)[i] * set.prototype(c)[i + step])).sum::<f64>() / pairs().count() as f64
        };
        for (near, far) in [(1, 10), (28, 280)] {
            assert!(together(near) > 0.24 && (together(far) - 0.3354 * 0.3354).abs() < 0.02, "{} {}", together(near), together(far));
        }
    }

    #[test]
    fn a_copy_is_its_prototype_shifted_and_noisy() {
        let quiet = PrototypeParams { noise: 0.0, ..Default::default() }.images(Seed::new(0), 0..500).unwrap();
        let mut shifts = [[0; 5]; 5];
        for i in 0..500 {
            let image = image(&quiet, i);
            let prototype = quiet.prototype(i % 10);
            assert_eq!((quiet.label(i), quiet.classes()), (i % 10, 10));
            let at = |r: isize, c: isize| if (0..28).contains(&r) && (0..28).contains(&c) { prototype[(r * 28 + c) as usize] } else { 0.0 };
            let found: Vec<(isize, isize)> = (-2..=2)
                .flat_map(|d| (-2..=2).map(move |r| (d, r)))
                .filter(|&(d, r)| (0..784).all(|k| image[k as usize] == at(k / 28 - d, k % 28 - r)))
                .collect();
            let &[(d, r)] = &found[..] else { panic!("image {i}: {found:?}") };
            shifts[(d + 2) as usize][(r + 2) as usize] += 1;
        }
        assert!(shifts.iter().flatten().all(|n| (4..40).contains(n)), "{shifts:?}"); // 20 ± 4.4 each

        let set = PrototypeParams::default().images(Seed::new(0), 0..400).unwrap();
        let deviations: Vec<f64> = (0..400)
            .map(|i| {
                // The corner is noise alone.
                let corner: Vec<f64> = image(&set, i).iter().take(28).map(|&x| f64::from(x)).collect();
                (corner.iter().map(|x| x * x).sum::<f64>() / 28.0).sqrt()
            })
            .collect();
        let mean_square = deviations.iter().map(|d| d * d).sum::<f64>() / 400.0;
        assert!((mean_square / 0.25 - 1.0).abs() < 0.35, "{mean_square}"); // (0.5)²·E N² = 0.25; its relative error √(2/400) = 7 %
        // One amplitude per image: half of the images below 0.5·0.6745.
        let below = deviations.iter().filter(|&&d| d < 0.5 * 0.6745).count();
        assert!((160..240).contains(&below), "{below}");
    }

    #[test]
    fn an_image_is_its_number_and_encoders_take_it() {
        let set = |seed, range| PrototypeParams::default().images(Seed::new(seed), range).unwrap();
        assert_eq!(image(&set(1, 0..30), 25), image(&set(1, 20..30), 5));
        assert_eq!(set(1, 0..30).label(25), set(1, 20..30).label(5));
        assert_ne!(image(&set(1, 0..30), 25), image(&set(1, 0..30), 15));
        assert_ne!(image(&set(1, 0..30), 25), image(&set(2, 0..30), 25));
        let spikes = Encoded::new(set(1, 0..30), Poisson::new(200.0, 1e-3, 20).unwrap(), Seed::new(3));
        let mut raster = Raster::default();
        spikes.load(3, &mut raster);
        assert_eq!((spikes.len(), spikes.inputs(), spikes.steps(), spikes.classes(), raster.units()), (30, 784, 20, 10, 784));
        assert!(!raster.is_empty());
    }

    #[test]
    fn parameters_are_checked() {
        let bad = |params: PrototypeParams| params.images(Seed::new(0), 0..1).unwrap_err().to_string();
        let all = PrototypeParams::default;
        assert!(bad(PrototypeParams { side: 0, ..all() }).contains("side = 0"));
        assert!(bad(PrototypeParams { classes: 0, ..all() }).contains("classes = 0"));
        assert!(bad(PrototypeParams { blur: 0.0, ..all() }).contains("blur = 0"));
        assert!(bad(PrototypeParams { reach: 65, ..all() }).contains("reach = 65"));
        assert!(bad(PrototypeParams { threshold: f64::NAN, ..all() }).contains("threshold = NaN"));
        assert!(bad(PrototypeParams { shift: 28, ..all() }).contains("shift = 28"));
        assert!(bad(PrototypeParams { noise: -1.0, ..all() }).contains("noise = -1"));
    }
}
