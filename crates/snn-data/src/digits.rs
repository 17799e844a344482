//! Handwritten digits of 8×8 pixels in one table: the small set for quick studies.

use crate::error::DataError;
use crate::images::ImageSet;
use snn_io::{IoError, csv};
use std::path::Path;

const SIDE: usize = 8;
const PIXELS: usize = SIDE * SIDE;
const CLASSES: usize = 10;
/// Brightest pixel.
const WHITE: f32 = 16.0;
const FROM: &str = "scikit-learn (sklearn/datasets/data/digits.csv.gz), from the UCI optical recognition of handwritten digits";

/// The digits of scikit-learn: 1,797 pictures of 8×8 pixels from 0 to 16, which become 0 to 1. There is no split: make one with [`split()`](crate::split()).
///
/// Memory: 260 bytes per image.
///
/// Source: Alpaydin and Kaynak 1998, UCI Machine Learning Repository.
#[derive(Clone, Debug)]
pub struct Digits {
    /// Image by image, and then its class.
    rows: Vec<f32>,
}

impl Digits {
    /// Reads `digits-8x8/digits.csv.gz` in `dir`: a row for each image, 64 pixels and the class, without a header.
    ///
    /// # Errors
    /// [`DataError::Missing`] with where to get the file, [`DataError::Contents`] if it holds anything else, [`DataError::Io`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = dir.as_ref().join("digits-8x8").join("digits.csv.gz");
        let table = match csv::read(&path, &csv::Options { header: false, ..csv::Options::default() }) {
            Err(source @ IoError::NotFound { .. }) => return Err(DataError::Missing { set: "digits-8x8", from: FROM, source }),
            other => other?,
        };
        let wrong =
            |found: String, expected: &str| Err(DataError::Contents { path: path.clone(), found, expected: expected.into(), from: FROM });
        if table.columns.len() != PIXELS + 1 {
            return wrong(format!("{} columns", table.columns.len()), "64 pixels and a class");
        }
        for i in 0..table.rows {
            let (pixels, class) = table.row(i).split_at(PIXELS);
            if let Some(x) = pixels.iter().find(|x| !(0.0..=WHITE).contains(*x)) {
                return wrong(format!("pixel {x} in row {}", i + 1), "pixels from 0 to 16");
            }
            if !(0..CLASSES).any(|c| class[0] == c as f32) {
                return wrong(format!("class {} in row {}", class[0], i + 1), "classes from 0 to 9");
            }
        }
        Ok(Digits { rows: table.values })
    }
}

impl ImageSet for Digits {
    fn name(&self) -> &str {
        "digits-8x8"
    }
    fn len(&self) -> usize {
        self.rows.len() / (PIXELS + 1)
    }
    fn shape(&self) -> (usize, usize) {
        (SIDE, SIDE)
    }
    fn classes(&self) -> usize {
        CLASSES
    }
    fn label(&self, index: usize) -> usize {
        self.rows[index * (PIXELS + 1) + PIXELS] as usize
    }
    fn intensities(&self, index: usize, into: &mut [f32]) {
        into.iter_mut().zip(&self.rows[index * (PIXELS + 1)..]).for_each(|(x, pixel)| *x = pixel / WHITE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn open(text: &str) -> Result<Digits, DataError> {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("digits-8x8")).unwrap();
        fs::write(dir.path().join("digits-8x8/digits.csv.gz"), text).unwrap();
        Digits::open(dir.path())
    }

    fn row(pixel: &str, class: &str) -> String {
        format!("{}{class}\n", format!("{pixel},").repeat(64))
    }

    #[test]
    fn a_small_table_is_read() {
        let digits = open(&(row("4", "7") + &row("16", "0"))).unwrap();
        let mut pixels = vec![0.0; 64];
        digits.intensities(0, &mut pixels);
        assert_eq!((digits.len(), digits.label(0), digits.label(1), digits.shape()), (2, 7, 0, (8, 8)));
        assert!(pixels.iter().all(|&x| x == 0.25));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refused = |text: &str| open(text).unwrap_err().to_string();
        assert!(refused("1,2,3\n").contains("3 columns"));
        assert!(refused(&row("17", "1")).contains("pixel 17 in row 1"));
        assert!(refused(&row("1", "10")).contains("class 10"));
        assert!(refused(&row("1", "x")).contains("\"x\""));
        let missing = Digits::open(tempfile::tempdir().unwrap().path()).unwrap_err().to_string();
        assert!(missing.contains("digits.csv.gz: not found") && missing.contains("scikit-learn"), "{missing}");
    }

    #[test]
    fn the_real_ones() {
        let Some(dir) = std::env::var_os("SNN_DATA") else {
            println!("skipped: set SNN_DATA to the folder that holds digits-8x8/");
            return;
        };
        let digits = Digits::open(dir).unwrap();
        assert_eq!(digits.len(), 1797);
        assert_eq!(std::array::from_fn(|i| digits.label(i)), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
}
