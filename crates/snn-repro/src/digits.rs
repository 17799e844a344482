//! Digits of 8×8 pixels: those of the data folder, or drawn ones of the same size.

use anyhow::Result;
use snn_core::Seed;
use snn_data::{Digits, ImageSet, StrokeParams};

use crate::Lab;

/// Pixels of a row, and of a column.
pub(crate) const SIDE: usize = 8;

/// The digits of scikit-learn where real data are used, or `count` drawn ones.
pub(crate) fn open(lab: &Lab, count: u64, seed: Seed) -> Result<Box<dyn ImageSet>> {
    Ok(match lab.real_data() {
        Some(dir) => Box::new(Digits::open(&dir)?),
        None => Box::new(StrokeParams { side: SIDE, width: 0.14, ..StrokeParams::default() }.images(seed, 0..count)?),
    })
}
