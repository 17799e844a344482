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
use snn_convert::{Amos, Calibration, Codes, Fit, Forward, Gates, Runner, Scheme};
use snn_core::Seed;
use snn_core::ann::{Activation, Ann, Graph, Node, Op};
use snn_core::net::Links;

use crate::conversion::{RECTIFIERS, SIGMOIDS, SILU, Subject, on_threads};
use crate::{Axes, Bound, Claim, Cost, Lab, Paper, Scale};

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
    cost: Cost { smoke: "5 s", short: "8 min with data, 2 cores", paper: "40 min with data, 2 cores" },
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
    on_threads(lab, |lab| {
        circuits(lab)?;
        depth(lab)?;
        networks(lab)?;
        Ok(lab.not_run(IMAGENET, "the images and the network are not at hand; quoted")?)
    })
}

/// SiLU and sigmoid, found anew.
fn circuits(lab: &mut Lab) -> Result<()> {
    let (restarts, polish) = lab.scale().pick((4, 4_000), (8, 16_000), (100, 60_000));
    let fit = |steps, range| Fit { restarts, polish, ..Fit::amos(steps, range) };
    let silu = fit(12, (-8.0, 12.0)).run(|x| Activation::Silu.at(x), |_| 1.0, lab.seed().child("silu"))?;
    lab.report(SILU_FIT, silu.quality.mse)?;
    let sigmoid = fit(8, (-10.0, 10.0)).run(|x| Activation::Sigmoid.at(x), |_| 1.0, lab.seed().child("sigmoid"))?;
    lab.report(SIGMOID_FIT, sigmoid.quality.mse)?;
    // The same number of updates and changes for both.
    let both = |free| Fit { free, ..fit(8, (-8.0, 12.0)) }.run(|x| Activation::Silu.at(x), |_| 1.0, lab.seed().child("both"));
    let (circuit, neuron) = (both(true)?, both(false)?);
    lab.note(format!("SiLU, K = 8: {:.5} as a circuit, {:.5} as a few-spikes neuron", circuit.quality.mse, neuron.quality.mse));
    lab.report(FREE, circuit.quality.mse / neuron.quality.mse)?;
    let line = |f: &dyn Fn(f64) -> f64| (0..=2000).map(|k| -8.0 + 0.01 * f64::from(k)).map(|x| (x, f(x))).collect::<Vec<_>>();
    let lines = [("SiLU", line(&|x| Activation::Silu.at(x))), ("12 neurons", line(&|x| silu.unit.at(x)))];
    Ok(lab.curve("silu", "SiLU as a circuit", "input", "output", &lines, Axes::default())?)
}

/// Numbers in a layer of the test of depth.
const WIDTH: usize = 32;

/// A product of random reflections, so that nothing grows or shrinks.
fn rotation(seed: Seed) -> Vec<f32> {
    let mut rng = seed.rng();
    let mut q: Vec<f64> = (0..WIDTH * WIDTH).map(|k| f64::from(u8::from(k / WIDTH == k % WIDTH))).collect();
    for _ in 0..WIDTH {
        let v: Vec<f64> = (0..WIDTH).map(|_| rng.random_range(-1.0..1.0)).collect();
        let square: f64 = v.iter().map(|x| x * x).sum();
        for row in q.chunks_mut(WIDTH) {
            let along: f64 = row.iter().zip(&v).map(|(a, b)| a * b).sum();
            row.iter_mut().zip(&v).for_each(|(a, b)| *a -= 2.0 * along * b / square);
        }
    }
    q.into_iter().map(|x| x as f32).collect()
}

/// One circuit after the other, through random rotations.
fn depth(lab: &mut Lab) -> Result<()> {
    let seed = lab.seed().child("depth");
    let layers = [1, 2, 5, 10, 20, 50];
    let mut points = Vec::new();
    for depth in layers {
        lab.go_on()?;
        let mut nodes = vec![Node::new("in", WIDTH, [], Op::Input)];
        for d in 0..depth {
            // A shift keeps numbers positive, so that nothing is lost but by rounding.
            let last = nodes.len() - 1;
            let weights = rotation(seed.nth(d as u64)).into();
            nodes.push(Node::new(&format!("w{d}"), WIDTH, [last], Op::Linear { links: Links::All, weights, bias: 4.0.into() }));
            nodes.push(Node::new(&format!("f{d}"), WIDTH, [last + 1], Op::Activation(Activation::Relu)));
            nodes.push(Node::new(&format!("s{d}"), WIDTH, [last + 2], Op::Scale { factor: 1.0.into(), offset: (-4.0).into() }));
        }
        let ann = Ann::try_from(Graph { nodes })?;
        let (gates, dense) = (Gates::new(&ann)?, Forward::<f32>::new(&ann));
        let mut rng = seed.child("inputs").rng();
        let inputs: Vec<f32> = (0..WIDTH * 64).map(|_| rng.random_range(0.0..1.0)).collect();
        let calibration = Calibration::new(&gates, &dense, &inputs, 0.0)?;
        let converted = Amos { codes: Codes::new(8) }.convert(&gates, &calibration, seed)?;
        let (spiking, exact) = (Runner::new(&converted).run(&inputs).answers, dense.outputs(&inputs)?);
        let square = |list: &mut dyn Iterator<Item = f32>| list.map(|x| f64::from(x).powi(2)).sum::<f64>();
        let error = (square(&mut spiking.iter().zip(&exact).map(|(a, b)| a - b)) / square(&mut exact.iter().copied())).sqrt();
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
    let all = [FOUR, SIX, SILU_LOST, SIGMOID_LOST];
    if lab.scale() == Scale::Smoke || lab.data().is_none() {
        let why = if lab.scale() == Scale::Smoke {
            "short and paper scale only"
        } else {
            "needs --data DIR with onnx/, mnist/ and fashion-mnist/ in it"
        };
        return all.iter().try_for_each(|what| Ok(lab.not_run(what, why)?));
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
