//! Petrovici et al. 2017, "Pattern representation and recognition with accelerated analog neuromorphic systems", arXiv:1703.06043, ISCAS 2017; with Schmitt et al. 2017, "Neuromorphic hardware in the loop", arXiv:1703.01909, IJCNN 2017.
//!
//! Reproduced: three ways to live with analogue neurons of which no two are alike, on an emulated device (`snn_hw::BrainScales`). Something beside the network that keeps its activity where it was: an
//! attractor memory of three patterns, with weights that are rescaled until the recorded rates are right. A structure that averages errors out: the same classifier, narrow and wide. Training in the loop:
//! digits of 8×8 pixels, in a model of rates and with spikes; the device runs forward, the gradient is taken from what it recorded.
//! With data: the digits of scikit-learn. Without: generated ones of the same size.
//!
//! Marks of figures: `[calc]` the equations run independently, before this program was written; `[rec]` remembered of the papers, not verified; `[abs]` an abstract; `[ours]` chosen here.
//!
//! Departure: the papers' memory has hundreds of neurons with conductances on a wafer; ours has 160 with currents. The papers' second strategy is a network that samples; ours is a study of redundancy.
//! Departure: the papers classify five classes of MNIST at 10×10 pixels with 100-15-15-5 units. The rate model is 64-30-30-10 `[calc]`. Its noise is on the way to the chip and back; inside a trial nothing changes.
//! Departure: learning in the loop is a number of updates that is fixed beforehand; the figures are of the last one, on test images that the device has seen.
//!
//! Sizes and rates of the memory were chosen on an undistorted network. Test figures of a first version had been seen before today's settings: its last layer had no constant current and lost units in
//! software (88.9 %), spikes were Poisson trains (85.0 %). The settings of today were chosen on a held-out part of the training images. Compensation did not rescale the memory's own weights then, and
//! the claim on strong distortion was on median dwell times; with few patterns left these say nothing.

mod in_the_loop;
mod memory;
mod redundancy;

use crate::{Bound, Claim, Cost, Lab, Paper};
use anyhow::Result;
use snn_core::stats;

/// The paper.
pub const PAPER: Paper = Paper {
    id: "brainscales_patterns",
    title: "Pattern representation and recognition with accelerated analog neuromorphic systems",
    cite: "Petrovici et al. 2017, arXiv:1703.06043; Schmitt et al. 2017, arXiv:1703.01909",
    about: "three ways to compute with neurons of which no two are alike; training with the device in the loop",
    cost: Cost { smoke: "a few seconds", short: "half a minute, 2 cores", paper: "a minute, 2 cores" },
    claims: &[
        Claim::new(memory::DWELL, "intact up to 20 % [rec]", Bound::Between(0.8, 1.25), "", 2, "PLoS ONE 2014").headline(),
        Claim::new(memory::APART, "intact up to 20 % [rec]", Bound::AtMost(0.1), "", 3, "PLoS ONE 2014"),
        Claim::new(memory::VALID, "most of the time [ours]", Bound::AtLeast(85.0), "%", 1, "ours"),
        Claim::new(memory::HELPS, "above 0 [ours]", Bound::AtLeast(0.0), "points", 1, "ours"),
        Claim::new(memory::COMPLETES, "patterns are completed [ours]", Bound::AtLeast(80.0), "%", 1, "ours"),
        Claim::new(redundancy::GAP, "structure absorbs noise [abs]", Bound::AtLeast(5.0), "points", 1, "ours"),
        Claim::new(in_the_loop::SAME, "0 [ours]", Bound::Between(0.0, 0.0), "points", 2, "ours"),
        Claim::new(in_the_loop::IDEAL, "97.0 [calc]; 97 [rec]", Bound::AtLeast(95.0), "%", 1, "Schmitt et al."),
        Claim::new(in_the_loop::DROP, "19.1 [calc]; 25 [rec]", Bound::AtLeast(10.0), "points", 1, "Schmitt et al."),
        Claim::new(in_the_loop::LEFT, "0.6 [calc]; 2 [rec]", Bound::AtMost(2.0), "points", 1, "Schmitt et al.").headline(),
        Claim::new(in_the_loop::STRONG_DROP, "53.3 [calc]", Bound::AtLeast(30.0), "points", 1, "ours"),
        Claim::new(in_the_loop::STRONG_LEFT, "2.5 [calc]", Bound::AtMost(4.0), "points", 1, "ours"),
        Claim::new(in_the_loop::SPIKES_DROP, "25 [rec]", Bound::AtLeast(5.0), "points", 1, "Schmitt et al."),
        Claim::new(in_the_loop::SPIKES_LEFT, "2 [rec]", Bound::AtMost(2.0), "points", 1, "Schmitt et al.").headline(),
    ],
    run,
};

fn run(lab: &mut Lab) -> Result<()> {
    let images = in_the_loop::images(lab)?;
    memory::run(lab)?;
    redundancy::run(lab, &images)?;
    in_the_loop::run(lab, &images)
}

/// Mean and standard deviation, for a remark.
fn spread(devices: &[f64]) -> String {
    format!("{:.1} ± {:.1}", stats::mean(devices), stats::sample_variance(devices).sqrt())
}
