//! Subramoney, Khan Nazeer, Schöne, Mayr & Kappel 2023, "Efficient recurrent architectures through activity sparsity and sparse back-propagation through time",
//! arXiv:2206.06178, ICLR 2023.
//!
//! Reproduced: an event-based gated recurrent network beside a dense one of the same size, initial weights, optimiser and readout, both of the project's own
//! neurons, `egru` and `gru`. Without data: that the sparse backward pass is the dense one, that the products counted are those of the cost model, and that a penalty
//! moves the event rate. With data: sequential MNIST, and language models of characters and of words.
//!
//! The unit is that of the released code, which made the paper's tables: an event takes the threshold from the state, the gate says what is kept, and the reset
//! gate comes after the matrix product. The paper's own form is tested beside it (`snn-learn/tests/egru.rs`).
//!
//! Marks of the paper's figures: `[sub]` its submission to NeurIPS 2022; `[2nd]` a third party's note on the published version; `[code]` the released code;
//! `[derived]` from the formulas.
//!
//! Departure: sequential MNIST at `short` scale has 14×14 pixels, means of four, 196 steps, and 96 units; 784 steps and 590 units are `paper` scale.
//! Departure: the pictures are judged by the mean of the readout over all steps, as the paper judges its gestures `[code]`, not by its last step: errors then reach
//! every step. Chosen.
//! Departure: the pictures have the thresholds of the released language models (0.01, frozen) and a narrow surrogate (height 1, half-width 0.1), and weights at the start that are 20 times (from the pixel) and
//! 2.5 times (between the units) those of Glorot's rule, in both networks. With the thresholds and surrogate of its sequential MNIST (0.3; 0.7 and 1), or with Glorot's weights, 96 units did not get beyond 80 %
//! of held-out pictures in the epochs in which the dense network got to 97 %: an event takes the threshold from the state, and a high one empties what is to be remembered; and what is silent teaches
//! nothing. More than 28 % of events cost a little. Chosen, by held-out pictures. The released code shows its networks 200 times 48,000 pictures; here it is 8 times 30,000.
//! Departure: the gate that keeps the state starts with a bias of 2, in both networks: it then forgets in eight steps, not in one. Chosen.
//! Departure: the first language model reads characters of Shakespeare, not the Penn Treebank, which is not free. One layer, no embedding. State is carried from passage to passage of 64
//! characters, in both networks; gradients end there.
//! Departure: the second reads words of WikiText-2, but learns from what is called its validation text, a tenth of the training text, which is not at hand; it is judged on the test text. It knows
//! the 2000 most frequent words of what it learns from (17 % are none of them), has one layer of 384 units in the place of three of up to 1350, and passages of 35 words, each passage begun in the
//! state in which the one before it ended. The output layer is the embedding, as in the paper; values of the embedding are scaled by √size, so that both ends have the size they want
//! (Vaswani et al. 2017). DropConnect leaves out a fifth of the recurrent weights; no word dropout.

mod language;

use anyhow::Result;
use rand_distr::{Beta, Distribution};
use snn_core::net::{Connect, Init};
use snn_core::neuron::{Egru, Gru, Li, Linear, Model};
use snn_core::{Dataset, Net, Network, Raster, Seed, Subset, Surrogate};
use snn_data::{Encoded, ImageSet, Images, Pooled, Scan, Split, StrokeImages, StrokeParams, tiny_shakespeare, wikitext_2};
use snn_learn::{Bptt, Gradients, Job, Loss, Optimiser, Options, Over, RateOver, Regulariser, Rule, Schedule, SparseBptt, Stats, Trainer};
use snn_sparse::{Clocked, Wants};

use crate::train::{Epoch, accuracy};
use crate::{Axes, Bound, Claim, Cost, Lab, Paper};

const SAME: &str = "sparse against dense gradient, largest difference relative to the largest entry";
const PRODUCTS: &str = "multiply-accumulates of a trial, counted − cost model";
const RATE: &str = "distance of the event rate from the 5 % asked for, after training / before";
const M_ACCURACY: &str = "sequential MNIST: test accuracy of the dense network";
const M_PARITY: &str = "sequential MNIST: test accuracy of the event-based network − dense";
const M_SILENT: &str = "sequential MNIST: neuron-steps without event";
const M_PRODUCTS: &str = "sequential MNIST: multiply-accumulates of a step, event-based / dense";
const C_PARITY: &str = "characters: perplexity above that of the dense network";
const C_SILENT: &str = "characters: neuron-steps without event";
const W_PARITY: &str = "words: perplexity above that of the dense network, learned from the validation text";
const W_SILENT: &str = "words: neuron-steps without event";
const W_PRODUCTS: &str = "words: multiply-accumulates of a step, event-based / dense";

/// The paper.
pub const PAPER: Paper = Paper {
    id: "egru",
    title: "Efficient recurrent architectures through activity sparsity and sparse back-propagation through time",
    cite: "Subramoney, Khan Nazeer, Schöne, Mayr & Kappel 2023, arXiv:2206.06178",
    about: "gated recurrent units that keep silent below a threshold: sparse activity forward, sparse gradients backward, the accuracy of a dense network",
    cost: Cost { smoke: "a few seconds", short: "25 min with data, 2 cores", paper: "days with data, 2 cores" },
    claims: &[
        Claim::new(SAME, "exact [derived]", Bound::AtMost(1e-12), "", 16, "section 3"),
        Claim::new(PRODUCTS, "3·H per input and event [derived]", Bound::Between(0.0, 0.0), "", 0, "section 3"),
        Claim::new(RATE, "regularised to 5 % [sub]", Bound::AtMost(0.5), "", 3, "appendix"),
        Claim::new(M_ACCURACY, "98.8 %, 784 steps [sub]", Bound::AtLeast(95.0), "%", 2, "Table 2"),
        Claim::new(M_PARITY, "98.3 − 98.8, 784 steps [sub]", Bound::AtLeast(-1.0), "points", 2, "Table 2").headline(),
        Claim::new(M_SILENT, "72.1 %, 784 steps [sub]", Bound::AtLeast(70.0), "%", 1, "Table 2").headline(),
        Claim::new(M_PRODUCTS, "226 K / 1 M [sub]", Bound::AtMost(0.3), "", 3, "Table 2"),
        Claim::new(C_PARITY, "57.2 / 66.3 on PTB [2nd]", Bound::AtMost(3.0), "%", 2, "Table 3").headline(),
        Claim::new(C_SILENT, "79.7 % on PTB [2nd]", Bound::AtLeast(80.0), "%", 1, "Table 3"),
        Claim::new(W_PARITY, "57.2 / 66.3 on PTB [2nd]", Bound::AtMost(3.0), "%", 2, "Table 3").headline(),
        Claim::new(W_SILENT, "79.7 % on PTB [2nd]", Bound::AtLeast(80.0), "%", 1, "Table 3"),
        Claim::new(W_PRODUCTS, "4.7 M / 24 M on PTB [sub]", Bound::AtMost(0.4), "", 3, "Table 3"),
    ],
    run,
};

/// Mean initial threshold, of the language models [code].
const THRESHOLD: f64 = 0.01;
/// Height and inverse half-width of the surrogate of the language models [code].
const SURROGATE: (f64, f64) = (3.6, 3.6);
/// Those of the pictures. Chosen: narrow, as the output `c·H(c − ϑ)` of a unit just below a low threshold falls with its state, and the surrogate there says so.
const NARROW: (f64, f64) = (1.0, 10.0);
/// Initial bias of the gate that keeps the state. Chosen.
const KEEP: f64 = 2.0;
/// Weights of the pictures at the start, in units of Glorot's rule, in both networks. Chosen: a pixel is one number, and half the units hear nothing of those that are silent.
const GAIN: (f64, f64) = (20.0, 2.5);
/// Strength of the bound on the events of the pictures, and events per unit and step that it allows. Chosen.
const ALLOWED: (f64, f64) = (0.004, 0.28);
/// What the output trace keeps of a step [code].
const TRACE: f64 = 0.9;
/// Largest norm of a gradient [code].
const CLIP: f64 = 0.25;
/// A step is a second: the network knows no other time.
const DT: f64 = 1.0;

fn run(lab: &mut Lab) -> Result<()> {
    // Read before the first training: what is wrong with a file should not wait for it.
    let (mut images, mut text, mut words) = (None, None, None);
    if let Some(dir) = lab.real_data() {
        images = Some((Images::mnist(&dir, Split::Train)?, Images::mnist(&dir, Split::Test)?));
        text = Some(tiny_shakespeare(&dir)?);
        words = Some((wikitext_2(&dir, "valid")?, wikitext_2(&dir, "test")?));
    }
    exact(lab)?;
    regularised(lab)?;
    let (no_images, no_text, no_words) = (lab.without("mnist/"), lab.without("tinyshakespeare/"), lab.without("wikitext-2/"));
    match images {
        Some((train, test)) => pictures(lab, train, test)?,
        None => lab.not_run(&[M_ACCURACY, M_PARITY, M_SILENT, M_PRODUCTS], no_images)?,
    }
    match text {
        Some(text) => language::characters(lab, &text)?,
        None => lab.not_run(&[C_PARITY, C_SILENT], no_text)?,
    }
    match words {
        Some((valid, test)) => language::words(lab, &valid, &test),
        None => Ok(lab.not_run(&[W_PARITY, W_SILENT, W_PRODUCTS], no_words)?),
    }
}

/// A network of one layer of gated units and a leaky readout.
#[derive(Clone, Copy)]
struct Shape {
    inputs: usize,
    units: usize,
    outputs: usize,
    /// Whether the inputs are words: then linear units, as many as gated ones, stand for them, and the readout has their weights, transposed.
    embedded: bool,
    /// Mean initial threshold, and whether it is learned.
    threshold: (f64, bool),
    /// Initial bias of the gate that keeps the state.
    keep: f64,
    /// By what the deviations of Glorot's rule are multiplied: of weights from the input, and of weights between the units.
    gain: (f64, f64),
    /// What the readout keeps of a step: it is a linear map of the output trace `m[t] = keep·m[t−1] + (1 − keep)·y[t]`.
    trace: f64,
}

impl Shape {
    /// The event-based network, with thresholds from a beta distribution [code]: Beta(3m/(1 − m), 3).
    fn egru(&self, seed: Seed) -> Result<Network> {
        let (mean, learned) = self.threshold;
        let beta = Beta::new(3.0 * mean / (1.0 - mean), 3.0)?;
        let threshold: Vec<f64> = beta.sample_iter(seed.child("thresholds").rng()).take(self.units).collect();
        let cell = Egru { threshold: threshold.into(), bias_z: self.keep.into(), ..Egru::default() };
        self.network(cell.into(), &["threshold", "bias_z", "bias_r", "bias_g", "bias_h"][usize::from(!learned)..], seed)
    }

    /// The dense network, with the same weights.
    fn gru(&self, seed: Seed) -> Result<Network> {
        self.network(Gru { bias_z: self.keep.into(), ..Gru::default() }.into(), &["bias_z", "bias_r", "bias_g", "bias_h"], seed)
    }

    /// Weights by Glorot's rule, normal [code], each gate by itself; all biases are learned.
    fn network(&self, cell: Model, train: &[&str], seed: Seed) -> Result<Network> {
        let init = |sources: usize, targets: usize, gain: f64| Init::normal(gain * (2.0 / (sources + targets) as f64).sqrt());
        let mut net = Net::new(DT).input("in", self.inputs);
        let (from, size) = if self.embedded { ("embedding", self.units) } else { ("in", self.inputs) };
        if self.embedded {
            let root = (self.units as f64).sqrt();
            net = net.population("embedding", self.units, Linear { gain: root.into(), ..Linear::default() });
            net = net.project("in", "embedding", Connect::All, Init::normal(1.0 / root));
        }
        net = net.population("hidden", self.units, cell).train(train);
        for port in ["z", "r", "g"] {
            net = net.project(from, "hidden", Connect::All, init(size, self.units, self.gain.0)).port(port);
        }
        for port in ["z", "r", "h"] {
            net = net.project("hidden", "hidden", Connect::All, init(self.units, self.units, self.gain.1)).port(port).delay(DT);
        }
        let tau = if self.trace > 0.0 { -DT / self.trace.ln() } else { 1e-9 };
        let net = net.population("out", self.outputs, Li { tau: tau.into() }).train(&["current"]);
        let net = net.project("hidden", "out", Connect::All, init(self.units, self.outputs, 1.0));
        let net = if self.embedded { net.tied("in", "embedding") } else { net };
        Ok(net.output("out").build(seed.child("network"))?)
    }

    /// Products of a step of the dense network, by the cost model: gates, candidate and readout, and one row of the embedding.
    fn dense_products(&self) -> f64 {
        let (row, heard) = if self.embedded { (self.units, self.units) } else { (0, self.inputs) };
        (row + 3 * self.units * (heard + self.units) + self.units * self.outputs) as f64
    }

    /// Which population the gated units are.
    fn hidden(&self) -> usize {
        usize::from(self.embedded)
    }
}

/// The released code's surrogate: height and inverse half-width.
fn surrogate((gamma, kappa): (f64, f64)) -> Surrogate {
    Surrogate::triangle(gamma, 1.0 / kappa)
}

/// Drawn digits of 8×8 pixels, pixel by pixel.
fn strokes(lab: &Lab, range: std::ops::Range<u64>) -> Result<Encoded<Scan, StrokeImages>> {
    let images = StrokeParams { side: 8, ..StrokeParams::default() }.images(lab.seed().child("strokes"), range)?;
    Ok(Encoded::new(images, Scan::new(64)?, Seed::new(0)))
}

/// A small network with many events from the beginning: low thresholds.
const LIVELY: Shape =
    Shape { inputs: 1, units: 48, outputs: 10, embedded: false, threshold: (0.02, true), keep: 0.0, gain: (1.0, 1.0), trace: TRACE };

/// Sparse = dense, and the products are counted to the unit, in double precision.
fn exact(lab: &mut Lab) -> Result<()> {
    let (data, surrogate) = (strokes(lab, 0..4)?, surrogate((0.7, 4.0)));
    let engine = Clocked::<f64>::compile(&LIVELY.egru(lab.seed().child("exact"))?);
    let learn = |rule: &dyn Rule<f64>| -> Result<(Vec<f64>, Stats)> {
        rule.check(&engine)?;
        let loss = Loss::CrossEntropy(Over::Each);
        let job = Job { engine: &engine, data: &data, loss, regulariser: Regulariser::NONE, scale: 0.25, updates: 0, rates: &[] };
        let mut gradients = Gradients::zero(&engine);
        let stats = rule.worker(&engine).learn(&job, &[0, 1, 2, 3], &mut gradients);
        Ok((gradients.in_order(&engine).into_iter().chain(gradients.of_parameters(&engine)).flatten().collect(), stats))
    };
    let ((sparse, stats), (dense, _)) = (learn(&SparseBptt { surrogate })?, learn(&Bptt::new(surrogate))?);
    let top = dense.iter().fold(0.0f64, |top, g| top.max(g.abs()));
    lab.report(SAME, sparse.iter().zip(&dense).fold(0.0f64, |worst, (a, b)| worst.max((a - b).abs())) / top)?;
    let (mut inputs, mut events, mut heard, mut near, mut near_heard) = (0, 0, 0, 0, 0);
    for index in 0..data.len() {
        let (input, record) = engine.trial(&data, index, Wants::Active(surrogate));
        let (trace, last) = (&record.traces[0], input.steps() - 1);
        inputs += input.len();
        events += record.spikes[0].len();
        heard += record.spikes[0].len() - record.spikes[0].at(last).len();
        near += trace.active.len();
        near_heard += trace.active.step.iter().filter(|&&t| (t as usize) < last).count();
    }
    let (gates, out) = (3 * LIVELY.units, LIVELY.outputs);
    let expected = gates * (inputs + heard) + out * events + gates * (inputs + heard + near_heard) + out * (events + near);
    lab.note(format!(
        "{} inputs, {} events, {} units in an event or in the window: {} products forward, {} backward",
        inputs, events, near, stats.macs_forward, stats.macs_backward
    ));
    Ok(lab.report(PRODUCTS, (stats.macs_forward + stats.macs_backward) as f64 - expected as f64)?)
}

/// A penalty on the rate moves it.
fn regularised(lab: &mut Lab) -> Result<()> {
    let target = 0.05;
    let train = strokes(lab, 0..lab.scale().pick(120, 600, 600))?;
    let options = Options {
        batch: 20,
        clip: Some(CLIP),
        regulariser: Regulariser::rate(5.0, target, RateOver::Trial),
        ..Options::new(Loss::CrossEntropy(Over::Last), lab.seed().child("regularised"))
    };
    let net = LIVELY.egru(lab.seed().child("regularised"))?;
    let mut trainer = Trainer::new(&net, SparseBptt { surrogate: surrogate((0.7, 1.0)) }, Optimiser::adam(1e-2), options)?;
    let before = trainer.evaluate(&train)?.spike_fraction(0);
    let history = lab.train("regularised", &mut trainer, lab.scale().pick(5, 20, 20), &train, None)?;
    let after = trainer.evaluate(&train)?.spike_fraction(0);
    lab.note(format!("drawn digits, a penalty towards {target} events per unit and step: {before:.3} before, {after:.3} after"));
    let points = std::iter::once(before).chain(history.iter().map(|e| e.spikes[0]));
    let line = points.enumerate().map(|(epoch, rate)| (epoch as f64, 100.0 * rate)).collect();
    lab.curve(
        "rate",
        "A penalty moves the event rate to 5 %",
        "epoch",
        "events per unit and step (%)",
        &[("events", line)],
        Axes::default(),
    )?;
    Ok(lab.report(RATE, (after - target).abs() / (before - target).abs())?)
}

/// Sequential MNIST.
fn pictures(lab: &mut Lab, train: Images, test: Images) -> Result<()> {
    let seed = lab.seed().child("pictures");
    let (pool, units, count, epochs, lr) = lab.scale().pick((4, 16, 100, 1, 1e-3), (2, 96, 30_000, 8, 1e-2), (1, 590, 60_000, 200, 1e-3));
    let (train, test) = (Pooled::new(train, pool)?, Pooled::new(test, pool)?);
    let scan = Scan::new(train.pixels_each())?;
    let (train, test) = (Encoded::new(train, scan, seed), Encoded::new(test, scan, seed));
    let held = lab.scale().pick(20, 2_000, 12_000);
    let validation = Subset::new(&train, (train.len() - held..train.len()).collect());
    let learned = Subset::new(&train, (0..count.min(train.len() - held)).collect());
    let shape =
        Shape { inputs: 1, units, outputs: 10, embedded: false, threshold: (THRESHOLD, false), keep: KEEP, gain: GAIN, trace: TRACE };
    let options = Options {
        batch: lab.scale().pick(20, 50, 500),
        clip: Some(CLIP),
        schedule: Schedule::Cosine { epochs: epochs as f64 },
        ..Options::new(Loss::CrossEntropy(Over::Mean), seed.child("training"))
    };
    let surrogate = surrogate(NARROW);
    let mut dense = Trainer::new(&shape.gru(seed)?, Bptt::new(surrogate).events_in(), Optimiser::adam(lr), options)?;
    let of_dense = lab.train("pictures, dense", &mut dense, epochs, &learned, Some(&validation))?;
    let regulariser = Regulariser { upper: ALLOWED.0, upper_count: ALLOWED.1 * train.steps() as f64, ..Regulariser::NONE };
    let mut events = Trainer::new(&shape.egru(seed)?, SparseBptt { surrogate }, Optimiser::adam(lr), Options { regulariser, ..options })?;
    let of_events = lab.train("pictures, events", &mut events, epochs, &learned, Some(&validation))?;
    let (gru, egru) = (dense.evaluate(&test)?, events.evaluate(&test)?);
    let products = egru.macs_forward as f64 / (egru.trials * test.steps()) as f64;
    lab.note(format!(
        "sequential MNIST, {} steps, {units} units: test accuracy {:.2} % dense, {:.2} % with events; validation {:.2} and {:.2} %; {products:.0} products a step \
         forward, {:.0} dense (paper, 784 steps and 590 units: 226 K and 1 M [sub]); on the way back {:.1} % of the units ignored errors",
        test.steps(),
        100.0 * gru.accuracy(),
        100.0 * egru.accuracy(),
        accuracy(&of_dense),
        accuracy(&of_events),
        shape.dense_products(),
        100.0 * (1.0 - of_events.last().map_or(f64::NAN, |e| e.active[0]))
    ));
    let line = |history: &[Epoch]| -> Vec<(f64, f64)> {
        history.iter().enumerate().filter_map(|(k, e)| Some((k as f64 + 1.0, 100.0 * e.held_out?))).collect()
    };
    let lines = [("dense", line(&of_dense)), ("events", line(&of_events))];
    lab.curve("pictures", "Sequential MNIST", "epoch", "validation accuracy (%)", &lines, Axes::default())?;
    let (_, record) = events.engine().trial(&test, 0, Wants::Spikes);
    lab.raster("events", "A test picture, row by row", DT, &spikes_of(&record.spikes[0]))?;
    lab.report(M_ACCURACY, 100.0 * gru.accuracy())?;
    lab.report(M_PARITY, 100.0 * (egru.accuracy() - gru.accuracy()))?;
    lab.report(M_SILENT, 100.0 * (1.0 - egru.spike_fraction(0)))?;
    Ok(lab.report(M_PRODUCTS, products / shape.dense_products())?)
}

/// The events without their values.
fn spikes_of(events: &Raster) -> Raster {
    let mut spikes = Raster::new(events.units(), events.steps());
    spikes.write(|t, units| units.extend_from_slice(events.at(t)));
    spikes
}

/// Strength of the penalty on the event rate of the language models. Chosen.
const RATE_PENALTY: f64 = 0.02;
