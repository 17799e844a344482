//! Trials of three classes: which third of 30 channels is the busier, over 40 steps.

use rand::RngExt;
use snn_core::{Raster, Seed, Trials};

pub fn stripes(count: u64) -> Trials {
    let mut trials = Trials::new("stripes", 30, 40, 3);
    for k in 0..count {
        let mut rng = Seed::new(5).nth(k).rng();
        let class = k as usize % 3;
        let mut raster = Raster::new(30, 40);
        raster.write(|_, list| list.extend((0..30u32).filter(|&i| rng.random_bool(if i as usize / 10 == class { 0.12 } else { 0.03 }))));
        trials.push(raster, class);
    }
    trials
}
