//! Digits drawn as strokes: clean pictures of any size that need no files.

use crate::{
    error::{DataError, check},
    images::ImageSet,
};
use rand_distr::{Distribution, StandardNormal};
use snn_core::Seed;
use std::ops::Range;

const OF: &str = "StrokeParams";

/// The digits as polygonal lines in a unit square, `(right, down)`. Chosen.
const DIGITS: [&[(f64, f64)]; 10] = [
    &[(0.5, 0.1), (0.3, 0.2), (0.22, 0.5), (0.3, 0.8), (0.5, 0.9), (0.7, 0.8), (0.78, 0.5), (0.7, 0.2), (0.5, 0.1)],
    &[(0.35, 0.27), (0.53, 0.1), (0.53, 0.9)],
    &[(0.25, 0.3), (0.36, 0.12), (0.62, 0.1), (0.75, 0.28), (0.64, 0.5), (0.25, 0.9), (0.78, 0.9)],
    &[(0.25, 0.14), (0.6, 0.1), (0.74, 0.28), (0.48, 0.46), (0.77, 0.66), (0.62, 0.88), (0.24, 0.85)],
    &[(0.62, 0.9), (0.62, 0.1), (0.22, 0.62), (0.8, 0.62)],
    &[(0.74, 0.1), (0.32, 0.1), (0.28, 0.46), (0.6, 0.42), (0.76, 0.62), (0.62, 0.88), (0.25, 0.85)],
    &[(0.68, 0.12), (0.4, 0.3), (0.26, 0.62), (0.4, 0.88), (0.66, 0.86), (0.74, 0.66), (0.55, 0.5), (0.29, 0.64)],
    &[(0.22, 0.1), (0.78, 0.1), (0.42, 0.9)],
    &[(0.5, 0.48), (0.28, 0.3), (0.5, 0.1), (0.72, 0.3), (0.5, 0.48), (0.25, 0.7), (0.5, 0.9), (0.75, 0.7), (0.5, 0.48)],
    &[(0.72, 0.34), (0.5, 0.5), (0.3, 0.34), (0.46, 0.11), (0.7, 0.15), (0.72, 0.34), (0.66, 0.9)],
];

/// What drawn digits are like. All values are chosen.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `side` | 28 | rows and columns |
/// | `width` | 0.09 | width of the line, as a part of the side |
/// | `wobble` | 0.025 | standard deviation of every corner, as a part of the side |
/// | `shift` | 0.03 | standard deviation of the shift along each axis, as a part of the side |
/// | `tilt` | 0.12 | standard deviation of the rotation, in radians |
/// | `stretch` | 0.08 | standard deviation of the size along each axis, relative |
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct StrokeParams {
    /// Rows and columns, from 4 to 1024.
    pub side: usize,
    /// Width of the line, above 0.
    pub width: f64,
    /// Spread of corners, at least 0.
    pub wobble: f64,
    /// Spread of shifts, at least 0.
    pub shift: f64,
    /// Spread of rotations in radians, at least 0.
    pub tilt: f64,
    /// Spread of sizes, at least 0.
    pub stretch: f64,
}

impl Default for StrokeParams {
    fn default() -> Self {
        StrokeParams { side: 28, width: 0.09, wobble: 0.025, shift: 0.03, tilt: 0.12, stretch: 0.08 }
    }
}

impl StrokeParams {
    /// The images `range` of a set without end: digits in one stroke, no two alike.
    ///
    /// Image `n` is of class `n mod 10`. The corners of the digit's line are moved, and the whole is stretched, rotated about the centre and
    /// shifted, by normal numbers of the given spreads. A pixel at distance `d` from the line has the intensity
    /// `min(1, max(0, ½ + (width/2 − d) · side))`: 1 inside, falling to 0 over one pixel at the edge.
    ///
    /// Image `n` draws from `seed.nth(n)`: a training and a test set are two ranges of one seed. Drawn each time it is asked for, at the cost of
    /// pixels × corners; no memory.
    ///
    /// ```
    /// use snn_core::Seed;
    /// use snn_data::{ImageSet, StrokeParams};
    /// let digits = StrokeParams { side: 14, ..Default::default() }.images(Seed::new(1), 0..1000)?;
    /// let mut seven = vec![0.0; 196];
    /// digits.intensities(7, &mut seven);
    /// assert_eq!((digits.len(), digits.label(7)), (1000, 7));
    /// assert!(seven.iter().all(|x| (0.0..=1.0).contains(x)) && seven.iter().any(|&x| x == 1.0));
    /// # Ok::<(), snn_data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn images(&self, seed: Seed, range: Range<u64>) -> Result<StrokeImages, DataError> {
        check((4..=1024).contains(&self.side), OF, "side", self.side, "from 4 to 1024")?;
        crate::error::positive(OF, "width", self.width)?;
        let spreads = [("wobble", self.wobble), ("shift", self.shift), ("tilt", self.tilt), ("stretch", self.stretch)];
        for (name, spread) in spreads {
            check(spread >= 0.0 && spread.is_finite(), OF, name, spread, "finite and at least 0")?;
        }
        Ok(StrokeImages { params: self.clone(), seed, range })
    }
}

/// Digits drawn as strokes, made by [`StrokeParams::images`].
#[derive(Clone, Debug)]
pub struct StrokeImages {
    params: StrokeParams,
    seed: Seed,
    range: Range<u64>,
}

/// Distance of `p` from the line from `a` to `b`.
fn distance(p: (f64, f64), a: (f64, f64), b: (f64, f64)) -> f64 {
    let (abx, aby, apx, apy) = (b.0 - a.0, b.1 - a.1, p.0 - a.0, p.1 - a.1);
    let length2 = abx * abx + aby * aby;
    let along = if length2 > 0.0 { ((apx * abx + apy * aby) / length2).clamp(0.0, 1.0) } else { 0.0 };
    (apx - along * abx).hypot(apy - along * aby)
}

impl ImageSet for StrokeImages {
    fn name(&self) -> &str {
        "strokes"
    }
    fn len(&self) -> usize {
        self.range.end.saturating_sub(self.range.start) as usize
    }
    fn shape(&self) -> (usize, usize) {
        (self.params.side, self.params.side)
    }
    fn classes(&self) -> usize {
        DIGITS.len()
    }
    fn label(&self, index: usize) -> usize {
        ((self.range.start + index as u64) % DIGITS.len() as u64) as usize
    }
    fn intensities(&self, index: usize, into: &mut [f32]) {
        let StrokeParams { side, width, wobble, shift, tilt, stretch } = self.params;
        let mut rng = self.seed.nth(self.range.start + index as u64).rng();
        let mut normal = |spread: f64| spread * <StandardNormal as Distribution<f64>>::sample(&StandardNormal, &mut rng);
        let (right, down) = (0.5 + normal(shift), 0.5 + normal(shift));
        let (wide, high) = (1.0 + normal(stretch), 1.0 + normal(stretch));
        let (sin, cos) = normal(tilt).sin_cos();
        let line: Vec<(f64, f64)> = DIGITS[self.label(index)]
            .iter()
            .map(|&(x, y)| {
                let (x, y) = ((x - 0.5 + normal(wobble)) * wide, (y - 0.5 + normal(wobble)) * high);
                (right + cos * x - sin * y, down + sin * x + cos * y)
            })
            .collect();
        for (i, x) in into.iter_mut().enumerate() {
            let p = (((i % side) as f64 + 0.5) / side as f64, ((i / side) as f64 + 0.5) / side as f64);
            let d = line.windows(2).map(|ab| distance(p, ab[0], ab[1])).fold(f64::INFINITY, f64::min);
            *x = (0.5 + (width / 2.0 - d) * side as f64).clamp(0.0, 1.0) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(set: &StrokeImages, i: usize) -> Vec<f32> {
        let mut image = vec![f32::NAN; set.pixels_each()];
        set.intensities(i, &mut image);
        image
    }

    #[test]
    fn distances_worked_by_hand() {
        let d = |p| distance(p, (0.0, 0.0), (3.0, 4.0));
        assert!((d((4.0, 3.0)) - 1.4).abs() < 1e-12); // |3·3 − 4·4|/5, the foot inside
        assert_eq!((d((3.0, 5.0)), d((-3.0, -4.0))), (1.0, 5.0));
        assert_eq!(distance((1.0, 1.0), (1.0, 0.0), (1.0, 0.0)), 1.0);
    }

    #[test]
    fn without_spread_a_one_is_its_line() {
        let still = StrokeParams { wobble: 0.0, shift: 0.0, tilt: 0.0, stretch: 0.0, width: 0.1, side: 20 };
        let set = still.images(Seed::new(1), 0..20).unwrap();
        let one = image(&set, 1);
        assert_eq!(one, image(&set, 11));
        // Row 14 (y = 0.725): the upright at x = 0.53, half a width of 0.05, pixels of 0.05: d = |x − 0.53|.
        for (column, x) in one[14 * 20..15 * 20].iter().enumerate() {
            let d = ((column as f64 + 0.5) / 20.0 - 0.53).abs();
            assert!((f64::from(*x) - (0.5 + (0.05 - d) * 20.0).clamp(0.0, 1.0)).abs() < 1e-6, "column {column}: {x}");
        }
    }

    /// The classes can be told apart, and not by everything: nearest mean image on new images, far above chance, at any size.
    #[test]
    fn classes_are_told_apart_by_their_means() {
        for side in [10, 28] {
            let params = StrokeParams { side, ..Default::default() };
            let (train, test) = (params.images(Seed::new(1), 0..400).unwrap(), params.images(Seed::new(1), 400..600).unwrap());
            let mut means = vec![vec![0.0; side * side]; 10];
            for i in 0..400 {
                means[train.label(i)].iter_mut().zip(image(&train, i)).for_each(|(m, x)| *m += x / 40.0);
            }
            let right = (0..200)
                .filter(|&i| {
                    let image = image(&test, i);
                    let off = |c: &usize| means[*c].iter().zip(&image).map(|(m, x)| (m - x) * (m - x)).sum::<f32>();
                    (0..10).min_by(|a, b| off(a).total_cmp(&off(b))) == Some(test.label(i))
                })
                .count();
            assert!((150..=199).contains(&right), "side {side}: {right} of 200");
        }
    }

    #[test]
    fn an_image_is_its_number_and_parameters_are_checked() {
        let set = |seed, range| StrokeParams::default().images(Seed::new(seed), range).unwrap();
        assert_eq!(image(&set(1, 0..30), 25), image(&set(1, 20..30), 5));
        assert_ne!(image(&set(1, 0..30), 25), image(&set(1, 0..30), 15));
        assert_ne!(image(&set(1, 0..30), 25), image(&set(2, 0..30), 25));
        let bad = |params: StrokeParams| params.images(Seed::new(0), 0..1).unwrap_err().to_string();
        assert!(bad(StrokeParams { side: 3, ..Default::default() }).contains("side = 3"));
        assert!(bad(StrokeParams { width: 0.0, ..Default::default() }).contains("width = 0"));
        assert!(bad(StrokeParams { tilt: f64::NAN, ..Default::default() }).contains("tilt = NaN"));
    }
}
