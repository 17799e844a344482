//! Stöckl & Maass 2019, "Recognizing images with at most one spike per neuron", arXiv:2001.01682.
//!
//! Reproduced: circuits for SiLU and sigmoid, found anew; trained networks converted gate by gate into circuits of threshold neurons that fire once at most,
//! their accuracy, what circuits buy over the few-spikes neuron of the successor paper, and how errors add up over fifty layers.
//! With data: trained networks in ONNX files on MNIST and Fashion-MNIST. Without: random layers.
//!
//! Marks of the paper's figures: `[abs]` its abstract; `[calc]` computed for this project before this code was written, by another fit of the same
//! circuits; `[rec]` remembered, not verified. No code of the authors is published.
//!
//! Ranges and steps as in `fs_conversion`: 1,000 training images give the layers' ranges, the test set is run once for each claim.
//!
//! Departure: levels are rounded to the nearest and begin at a layer's smallest number; circuits that are not rectifiers are fitted to each layer's inputs.
//! Departure: at `short` scale the two largest networks run on 5,000 and 1,000 test images: K² projections are what a pair of layers costs.
//!
//! Left out: ImageNet and CIFAR-10, whose networks and images are not at hand; the ImageNet figure is quoted.

use anyhow::Result;
use rand::RngExt;
use snn_convert::{Amos, Calibration, Codes, Fit, Forward, Gates, Runner, Scheme, relative_error, rotations};
use snn_core::ann::Activation;

use crate::conversion::{FOLDERS, QUOTED, RECTIFIERS, SIGMOIDS, SILU, Subject, silu_and_sigmoid};
use crate::{Axes, Bound, Claim, Cost, Lab, Paper};

const SILU_FIT: &str = "SiLU, K = 12, −8 … 12: mean squared error of the circuit";
const SIGMOID_FIT: &str = "sigmoid, K = 8, −10 … 10: mean squared error of the circuit";
const FREE: &str = "SiLU, K = 8: error of the circuit over that of the few-spikes neuron";
const DEPTH: &str = "relative error after 50 layers over that after 2";
const FOUR: &str = "MNIST, four networks of rectifiers, K = 4: test accuracy lost, largest";
const SIX: &str = "MNIST, four networks of rectifiers, K = 6: test accuracy lost, largest";
const SILU_LOST: &str = "Fashion-MNIST, a network of SiLUs, K = 12: test accuracy lost";
const SIGMOID_LOST: &str = "MNIST, two networks of sigmoids, K = 8: test accuracy lost, larger";
const IMAGENET: &str = "ImageNet, EfficientNet-B7: top-1 accuracy";

/// The paper.
pub const PAPER: Paper = Paper {
    id: "amos",
    title: "Recognizing images with at most one spike per neuron",
    cite: "Stöckl & Maass 2019, arXiv:2001.01682",
    about: "trained networks converted into circuits of threshold neurons that fire once at most",
    cost: Cost { smoke: "5 s", short: "4 min with data, 2 cores", paper: "40 min with data, 2 cores" },
    claims: &[
        Claim::new(SILU_FIT, "0.00199 [calc]", Bound::AtMost(0.0025), "", 5, "section 2").headline(),
        Claim::new(SIGMOID_FIT, "0.00107 [calc]", Bound::AtMost(0.0015), "", 6, "section 2"),
        Claim::new(FREE, "0.48 [calc]", Bound::AtMost(1.0), "", 3, "section 2"),
        Claim::new(DEPTH, "4 points lost on ImageNet, 200 layers [abs]", Bound::AtMost(10.0), "times", 2, "ours"),
        Claim::new(FOUR, "not in the paper", Bound::AtMost(0.5), "points", 2, "ours"),
        Claim::new(SIX, "not in the paper", Bound::AtMost(0.3), "points", 2, "ours").headline(),
        Claim::new(SILU_LOST, "4.0 on EfficientNet-B7 [abs]", Bound::AtMost(1.0), "points", 2, "abstract").headline(),
        Claim::new(SIGMOID_LOST, "not in the paper", Bound::AtMost(1.0), "points", 2, "ours"),
        Claim::new(IMAGENET, "80.97 % of 85.0 % [abs]", Bound::AtLeast(80.0), "%", 2, "abstract"),
    ],
    run,
};

fn run(lab: &mut Lab) -> Result<()> {
    lab.on_threads(|lab| {
        circuits(lab)?;
        depth(lab)?;
        networks(lab)?;
        Ok(lab.not_run(&[IMAGENET], QUOTED)?)
    })
}

/// SiLU and sigmoid, found anew.
fn circuits(lab: &mut Lab) -> Result<()> {
    let (restarts, polish) = lab.scale().pick((4, 4_000), (8, 16_000), (100, 60_000));
    let fit = |steps, range| Fit { restarts, polish, ..Fit::amos(steps, range) };
    silu_and_sigmoid(lab, fit, [12, 8], [SILU_FIT, SIGMOID_FIT], ["SiLU as a circuit", "12 neurons"])?;
    // The same number of updates and changes for both.
    let both = |free| Fit { free, ..fit(8, (-8.0, 12.0)) }.run(|x| Activation::Silu.at(x), |_| 1.0, lab.seed().child("both"));
    let (circuit, neuron) = (both(true)?, both(false)?);
    lab.note(format!("SiLU, K = 8: {:.5} as a circuit, {:.5} as a few-spikes neuron", circuit.quality.mse, neuron.quality.mse));
    Ok(lab.report(FREE, circuit.quality.mse / neuron.quality.mse)?)
}

/// Numbers in a layer of the test of depth.
const WIDTH: usize = 32;

/// One circuit after the other, through random rotations.
fn depth(lab: &mut Lab) -> Result<()> {
    let seed = lab.seed().child("depth");
    let layers = [1, 2, 5, 10, 20, 50];
    let mut points = Vec::new();
    for depth in layers {
        lab.go_on()?;
        let ann = rotations(depth, WIDTH, seed)?;
        let (gates, dense) = (Gates::new(&ann)?, Forward::<f32>::new(&ann));
        let mut rng = seed.child("inputs").rng();
        let inputs: Vec<f32> = (0..WIDTH * 64).map(|_| rng.random_range(0.0..1.0)).collect();
        let calibration = Calibration::new(&gates, &dense, &inputs, 0.0)?;
        let converted = Amos { codes: Codes::new(8) }.convert(&gates, &calibration, seed)?;
        let error = relative_error(&Runner::new(&converted).run(&inputs).answers, &dense.outputs(&inputs)?);
        points.push((depth as f64, error));
    }
    lab.report(DEPTH, points[points.len() - 1].1 / points[1].1)?;
    let root = points.iter().map(|&(d, _)| (d, points[0].1 * d.sqrt())).collect();
    let axes = Axes { log_x: true, log_y: true, dots: true, ..Axes::default() };
    let lines = [("circuits of 8", points), ("√depth", root)];
    Ok(lab.curve("depth", "Errors add up", "layers", "relative error", &lines, axes)?)
}

/// Trained networks in files.
fn networks(lab: &mut Lab) -> Result<()> {
    if lab.real_data().is_none() {
        return Ok(lab.not_run(&[FOUR, SIX, SILU_LOST, SIGMOID_LOST], lab.without(FOLDERS))?);
    }
    // Complete test sets where the network is small.
    let tests = lab.scale().pick([0; 4], [10_000, 10_000, 5_000, 1_000], [10_000; 4]);
    let (mut four, mut six) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
    for (file, tests) in RECTIFIERS.iter().zip(tests) {
        let Some(subject) = file.open(lab, tests)? else { continue };
        four = four.max(lost(lab, &subject, 4)?);
        six = six.max(lost(lab, &subject, 6)?);
    }
    lab.report(FOUR, four)?;
    lab.report(SIX, six)?;
    if let Some(subject) = SILU.open(lab, usize::MAX)? {
        let loss = lost(lab, &subject, 12)?;
        lab.report(SILU_LOST, loss)?;
    }
    let mut larger = f64::NEG_INFINITY;
    for file in &SIGMOIDS {
        let Some(subject) = file.open(lab, usize::MAX)? else { continue };
        larger = larger.max(lost(lab, &subject, 8)?);
    }
    Ok(lab.report(SIGMOID_LOST, larger)?)
}

/// Test accuracy lost by the circuits of `steps` neurons.
fn lost(lab: &mut Lab, subject: &Subject, steps: usize) -> Result<f64> {
    let codes = Codes { fit: Some(Fit { restarts: 4, ..Fit::amos(steps, (0.0, 1.0)) }), ..Codes::new(steps) };
    let converted = Amos { codes }.convert(&subject.gates, &subject.calibration, lab.seed().child(subject.name))?;
    let (exact, (accuracy, outcome)) = (subject.exact(&subject.test)?, subject.spiking(lab, &converted, &subject.test)?);
    lab.note(format!(
        "{}, K = {steps}: {accuracy:.2} % of {exact:.2} % on {} test images; {} neurons, answers after {} steps, an image every step; {}",
        subject.name,
        subject.test.labels.len(),
        converted.neurons(),
        converted.timing.latency,
        subject.cost(&outcome)
    ));
    Ok(exact - accuracy)
}
