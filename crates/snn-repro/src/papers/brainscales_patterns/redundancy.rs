//! Second strategy: a structure in which errors average out. The same classifier with few and with many hidden units, mapped to devices and not trained again.

use super::in_the_loop::{FEW, Pictures, options, rectified};
use super::spread;
use crate::{Axes, Lab, Scale};
use anyhow::Result;
use snn_core::stats::mean;
use snn_hw::{BrainScales, Machine};
use snn_learn::{Optimiser, SparseBptt, Trainer};

pub const GAP: &str = "redundancy: accuracy lost when mapped with 50 % weight noise, 10 − 100 hidden units, mean of five devices";

/// Hidden units.
const WIDTHS: [usize; 3] = [10, 30, 100];

pub fn run(lab: &mut Lab, pictures: &Pictures) -> Result<()> {
    let (seed, all) = (lab.seed().child("redundancy"), pictures.rates());
    let (train, test) = pictures.parts(&all);
    let (devices, epochs) = lab.scale().pick((1, 2), (5, 60), (5, 60));
    let machine = BrainScales { bits: Some(4), weight: 0.5, ..BrainScales::ideal() };
    let (mut lost, mut lines) = (Vec::new(), vec![("in software", Vec::new()), ("mapped", Vec::new())]);
    for width in WIDTHS {
        let net = rectified(&[64, width, 10], seed.child("network"))?;
        let options = options(32, seed.child("training"));
        let mut trainer = Trainer::new(&net, SparseBptt::default(), Optimiser::momentum(0.02, 0.9), options)?;
        lab.train(&format!("redundancy {width}"), &mut trainer, epochs, &train, Some(&test))?;
        let ideal = 100.0 * trainer.evaluate(&test)?.accuracy();
        let net = trainer.network()?;
        let on_device = |d: u64| -> Result<f64> {
            let trainer = Trainer::new(&net, SparseBptt::default(), Optimiser::sgd(0.0), options)?;
            let trainer = trainer.with_device(machine.build(&net, seed.child("device").nth(d))?, None)?;
            Ok(100.0 * trainer.evaluate(&test)?.accuracy())
        };
        let mapped = (0..devices).map(on_device).collect::<Result<Vec<f64>>>()?;
        lab.note(format!(
            "redundancy, {width} hidden units: {ideal:.1} % in software, {} % on {devices} devices with 50 % weight noise",
            spread(&mapped)
        ));
        lines[0].1.push((width as f64, ideal));
        lines[1].1.push((width as f64, mean(&mapped)));
        lost.push(ideal - mean(&mapped));
    }
    lab.curve("redundancy", "what structure absorbs", "hidden units", "test accuracy (%)", &lines, Axes::default())?;
    match lab.scale() {
        Scale::Smoke => lab.too_short(&[GAP], FEW)?,
        _ => lab.report(GAP, lost[0] - lost[2])?,
    }
    Ok(())
}
