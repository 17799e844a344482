//! Whitelam, Selin, Park & Tamblyn 2021, "Correspondence between neuroevolution and gradient descent", Nature Communications 12:6317; arXiv:2008.06643.
//!
//! Reproduced: mutations of all parameters of a network that are kept or dropped, at infinite and at finite inverse temperature, averaged over independent runs and
//! compared with gradient descent, normalised or plain, at equal times; a shallow network, a deeper one, and a spiking one. No data are needed.
//!
//! Marks of figures: `[text]` the article; `[run]` our own run of another program, before this one; `[derived]` our own calculation; `[ours]` a criterion of ours.
//! The article shows curves and prints no figures.
//!
//! Departure: ten hidden units instead of thirty, started from N(0, 1) instead of N(0, 0.01²), 64 runs and steps of 1e-2 to 1e-4 instead of 1e-6: the paper's own
//! settings take 1e10 evaluations. At `paper` scale its network and its start are taken, with steps of 1e-4; the deep network has two hidden layers of 16, not eight
//! of 32. Bounds are those of `[run]`, rounded up, chosen before this program ran.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use snn_arch::neuroevolution::{Descent, Landscape, Mutation, Perceptron, Runs, SpikingLandscape, distance};
use snn_core::net::{Connect, Init};
use snn_core::neuron::{Li, Lif};
use snn_core::{Net, Network, Seed, ms};
use snn_data::{Split, TemplateParams};
use snn_learn::{Loss, Over};
use std::f64::consts::{PI, TAU};

use crate::{Axes, Bound, Claim, Cost, Lab, Paper, Scale};

const LAW: &str = "one step on a plane: drift and acceptance, largest relative difference from the exact law";
const FALLS: &str = "shallow, β = ∞: fall of the squared distance from gradient descent per decade of the step, the smaller of two";
const NEAR: &str = "shallow, β = ∞, step 1e-4: distance of the average from gradient descent over the way gone";
const SPREAD: &str = "shallow, β = ∞, step 1e-4: variance over runs as a multiple of π·dt·t";
const COUNT: &str = "shallow, β = ∞, step 1e-4: squared distance of one run over that of the average of all";
const LOSSES: &str = "shallow, β = ∞, step 1e-4: loss of the average over the average of the losses";
const FINITE: &str = "shallow, β = 1000, step 1e-4: distance of the average from gradient descent over the way gone";
const WARM: &str = "shallow, β = 1000: fall of that distance from step 1e-3 to 1e-4";
const DEEP: &str = "two hidden layers, β = ∞: fall of the squared distance from step 1e-3 to 1e-4";
const FIRST: &str = "the paper's network and start, β = ∞, step 1e-4: distance over the way gone, 1,000 runs";
const LEARNS: &str = "spiking network, mutations only: accuracy on new trials, mean of eight runs";
const RISES: &str = "spiking network: largest rise of any run's loss between two looks";

/// The paper.
pub const PAPER: Paper = Paper {
    id: "neuroevolution",
    title: "Correspondence between neuroevolution and gradient descent",
    cite: "Whitelam, Selin, Park & Tamblyn 2021, Nature Communications 12:6317",
    about: "small random mutations, kept or dropped, are gradient descent with noise",
    cost: Cost { smoke: "a few seconds", short: "20 s, 2 cores", paper: "some hours, 2 cores" },
    claims: &[
        Claim::new(LAW, "0.002 [derived]", Bound::AtMost(0.01), "", 4, "exact law for linear losses"),
        Claim::new(FALLS, "falls [text]; 10.7, 14.1 [run]", Bound::AtLeast(3.0), "times", 1, "Fig. 2b").headline(),
        Claim::new(NEAR, "0 in the limit [text]; 0.013 [run]", Bound::AtMost(0.03), "", 4, "Fig. 1").headline(),
        Claim::new(SPREAD, "1 [derived]; 1.0 [run]", Bound::Between(0.9, 1.1), "", 3, "noise of the mutations"),
        Claim::new(COUNT, "falls with the number of runs [text]", Bound::AtLeast(10.0), "times", 1, "Fig. 6c"),
        Claim::new(LOSSES, "1 in the limit [text]", Bound::Between(0.9, 1.1), "", 3, "Fig. 6b"),
        Claim::new(FINITE, "0 in the limit [text]; 0.091 [run]", Bound::AtMost(0.12), "", 4, "Fig. 6"),
        Claim::new(WARM, "falls [text]; 5.5 [run]", Bound::AtLeast(3.0), "times", 1, "Fig. 6"),
        Claim::new(DEEP, "architecture does not enter [text]", Bound::AtLeast(3.0), "times", 1, "Figs. 3 to 5"),
        Claim::new(FIRST, "0 in the limit [text]; 0.35 at 5e-4, 64 runs [run]", Bound::AtMost(0.35), "", 4, "Fig. 1"),
        Claim::new(LEARNS, "any deterministic loss [text]; 90 % [ours]", Bound::AtLeast(90.0), "%", 1, "spiking variant"),
        Claim::new(RISES, "never rises [derived]", Bound::AtMost(0.0), "", 4, "spiking variant"),
    ],
    run,
};

/// Looks at a set of runs on its way.
const LOOKS: u64 = 20;

fn run(lab: &mut Lab) -> Result<()> {
    law(lab)?;
    shallow(lab)?;
    warm(lab)?;
    deep(lab)?;
    first(lab)?;
    spiking(lab)
}

/// Reports a figure that a smoke run is too short for.
fn report(lab: &mut Lab, what: &str, ours: f64) -> Result<()> {
    match lab.scale() {
        Scale::Smoke => Ok(lab.too_short(&[what], "a few runs of a few steps")?),
        _ => Ok(lab.report(what, ours)?),
    }
}

/// One step on a loss that falls the same everywhere, against the exact law.
fn law(lab: &mut Lab) -> Result<()> {
    struct Plane;
    impl Landscape for Plane {
        type Memory = ();
        fn parameters(&self) -> usize {
            2
        }
        fn memory(&self) {}
        fn loss(&self, x: &[f64], _: &mut ()) -> f64 {
            x[0]
        }
    }
    let (mut apart, steps) = (0.0f64, lab.scale().pick(1000, 1_000_000, 1_000_000));
    for (k, s) in (0..).zip([0.5, 2.0, f64::INFINITY]) {
        let mutation = Mutation::new(1.0, s)?;
        let mut runs = Runs::new(&Plane, &[0.0; 2], 64, lab.seed().child("law").nth(k))?;
        runs.advance(&Plane, &mutation, steps / 64);
        let drift = -runs.average()[0] / runs.steps() as f64;
        apart = apart.max((drift / mutation.drift(1.0) - 1.0).abs()).max((runs.acceptance() / mutation.acceptance(1.0) - 1.0).abs());
        lab.note(format!("s = {s}: drift {drift:.4} σ, acceptance {:.4}", runs.acceptance()));
    }
    report(lab, LAW, apart)
}

/// Where runs and gradient descent stood at one time.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Look {
    t: f64,
    /// Squared distance of the average from gradient descent, per parameter.
    apart: f64,
    /// Loss of gradient descent.
    descent: f64,
    /// Loss of the average, average loss, loss of the first run.
    losses: [f64; 3],
}

/// Runs that have gone their way, and what they were compared with.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Way {
    start: Vec<f64>,
    x: Vec<f64>,
    runs: Runs,
    looks: Vec<Look>,
}

impl Way {
    /// Squared distance per parameter, of the average of the first `count` runs.
    fn apart(&self, count: usize) -> f64 {
        distance(&self.runs.average_of(count), &self.x).powi(2) / self.x.len() as f64
    }

    /// Distance over the way that gradient descent has gone.
    fn relative(&self) -> f64 {
        distance(&self.runs.average(), &self.x) / distance(&self.start, &self.x)
    }

    fn last(&self) -> &Look {
        &self.looks[self.looks.len() - 1]
    }
}

/// How a network goes its way.
#[derive(Clone, Copy)]
struct Setting {
    /// Standard deviation of the start.
    start: f64,
    beta: f64,
    dt: f64,
    t: f64,
    runs: usize,
}

/// Mutations and gradient descent from the same start to the same time.
fn follow(lab: &mut Lab, name: &str, net: &Perceptron, setting: Setting) -> Result<Way> {
    let Setting { start, beta, dt, t, runs } = setting;
    let mutation = Mutation::of(dt, beta)?;
    let start = net.start(start, lab.seed().child(name_of_start(net)).child("start"));
    let piece = ((t / dt / LOOKS as f64).round() as u64).max(1);
    // At least ten steps of descent for one mutation, none longer than 1e-5.
    let finer = ((dt / 1e-5).ceil() as u64).max(10);
    let descent = Descent::for_mutations(dt / finer as f64, beta);
    let mut checkpoint = lab.checkpoint_of("runs", name, piece * LOOKS, "mutations")?;
    let mut way = match checkpoint.load::<Way>()? {
        Some(way) => way,
        None => Way { x: start.clone(), runs: Runs::new(net, &start, runs, lab.seed().child(name))?, looks: Vec::new(), start },
    };
    let progress = lab.progress(name, piece * LOOKS);
    progress.resume_at(way.runs.steps());
    let mut memory = net.memory();
    while way.looks.len() < LOOKS as usize {
        lab.on_threads(|_| {
            way.runs.advance(net, &mutation, piece);
            Ok(())
        })?;
        descent.advance(net, &mut way.x, piece * finer);
        let losses = [net.loss(&way.runs.average(), &mut memory), way.runs.loss(), way.runs.each()[0].loss];
        let (t, apart, descent) = (way.runs.steps() as f64 * dt, way.apart(runs), net.loss(&way.x, &mut memory));
        way.looks.push(Look { t, apart, descent, losses });
        progress.inc(piece);
        progress.message(format!("loss {descent:.4} by descent, {:.4} of the average", losses[0]));
        if checkpoint.due() || way.looks.len() == LOOKS as usize {
            checkpoint.save(&way)?;
        }
    }
    lab.note(format!(
        "{name}: acceptance {:.3}, squared distance {:.2e} (of which noise {:.2e}), over the way gone {:.4}, variance of a run {:.2e} (theory {:.2e}), loss {:.4} \
         by descent, {:.4} of the average",
        way.runs.acceptance(),
        way.apart(runs),
        way.runs.spread() / runs as f64,
        way.relative(),
        way.runs.spread(),
        mutation.spread(t),
        way.last().descent,
        way.last().losses[0],
    ));
    Ok(way)
}

/// Networks of the same size start alike, whatever the step.
fn name_of_start(net: &Perceptron) -> &'static str {
    if net.parameters() > 100 { "deep" } else { "shallow" }
}

/// `y` at `count` places from `low` to `low + width`, the end left out.
fn points(count: usize, low: f64, width: f64, y: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
    (0..count).map(|k| low + width * k as f64 / count as f64).map(|theta| (theta, y(theta))).collect()
}

fn sine(count: usize) -> Vec<(f64, f64)> {
    points(count, 0.0, 1.0, |theta| (TAU * theta).sin())
}

/// Squared distances over time, one line for each step.
fn distances(lab: &mut Lab, name: &str, title: &str, ways: &[(f64, Way)]) -> Result<()> {
    let line = |(dt, way): &(f64, Way)| (format!("step {dt:.0e}"), way.looks.iter().map(|look| (look.t, look.apart)).collect());
    let lines: Vec<(String, Vec<(f64, f64)>)> = ways.iter().map(line).collect();
    Ok(lab.curve(name, title, "time", "squared distance per parameter", &lines, Axes { log_y: true, ..Axes::default() })?)
}

fn shallow(lab: &mut Lab) -> Result<()> {
    let net = Perceptron::new(&[1, 10, 1], false, &sine(32))?;
    let (t, runs) = lab.scale().pick((0.05, 4), (1.0, 64), (1.0, 1000));
    let mut ways = Vec::new();
    for dt in lab.scale().pick(&[1e-2, 1e-3][..], &[1e-2, 1e-3, 1e-4], &[1e-2, 1e-3, 1e-4]) {
        let setting = Setting { start: 1.0, beta: f64::INFINITY, dt: *dt, t, runs };
        ways.push((*dt, follow(lab, &format!("shallow, β = ∞, step {dt:.0e}"), &net, setting)?));
    }
    distances(lab, "distance", "1-10-1, β = ∞: average of the runs and gradient descent", &ways)?;
    let fall = ways.windows(2).map(|pair| pair[0].1.apart(runs) / pair[1].1.apart(runs)).fold(f64::INFINITY, f64::min);
    report(lab, FALLS, fall)?;
    let (dt, way) = &ways[ways.len() - 1];
    report(lab, NEAR, way.relative())?;
    report(lab, SPREAD, way.runs.spread() / Mutation::of(*dt, f64::INFINITY)?.spread(t))?;
    report(lab, COUNT, way.apart(1) / way.apart(runs))?;
    let [of_average, average, _] = way.last().losses;
    report(lab, LOSSES, of_average / average)?;

    let over = |y: fn(&Look) -> f64| way.looks.iter().map(|look| (look.t, y(look))).collect::<Vec<_>>();
    let lines = [
        ("gradient descent", over(|look| look.descent)),
        ("average of the runs", over(|look| look.losses[0])),
        ("one run", over(|look| look.losses[2])),
    ];
    lab.curve("loss", &format!("1-10-1, β = ∞, step {dt:.0e}"), "time", "loss", &lines, Axes { log_y: true, ..Axes::default() })?;
    let grid = |x: &[f64]| (0..=100).map(|k| f64::from(k) / 100.0).map(|theta| (theta, net.output(x, theta))).collect::<Vec<_>>();
    let lines = [("sin 2πθ", sine(100)), ("gradient descent", grid(&way.x)), ("average of the runs", grid(&way.runs.average()))];
    lab.curve("function", "1-10-1: what was learned", "θ", "f", &lines, Axes::default())?;
    let counts = (0..).map(|k| 1usize << k).take_while(|&n| n <= runs);
    let lines = [("average of n runs", counts.map(|n| (n as f64, way.apart(n))).collect::<Vec<_>>())];
    let axes = Axes { log_x: true, log_y: true, ..Axes::default() };
    lab.curve("runs", "1-10-1, β = ∞: more runs, less noise", "runs", "squared distance per parameter", &lines, axes)?;
    Ok(())
}

fn warm(lab: &mut Lab) -> Result<()> {
    let net = Perceptron::new(&[1, 10, 1], false, &sine(32))?;
    let (t, runs) = lab.scale().pick((0.05, 4), (1.0, 64), (1.0, 1000));
    let mut ways = Vec::new();
    for dt in [1e-3, 3e-4, 1e-4] {
        let setting = Setting { start: 0.5, beta: 1e3, dt, t, runs };
        ways.push((dt, follow(lab, &format!("shallow, β = 1000, step {dt:.0e}"), &net, setting)?));
    }
    distances(lab, "distance-warm", "1-10-1, β = 1000: average of the runs and gradient descent", &ways)?;
    let [first, _, last] = [0, 1, 2].map(|k| ways[k].1.relative());
    report(lab, FINITE, last)?;
    report(lab, WARM, first / last)
}

fn deep(lab: &mut Lab) -> Result<()> {
    let net = Perceptron::new(&[1, 16, 16, 1], true, &points(32, -1.0, 2.0, |theta| (PI * theta).sin()))?;
    let (t, runs) = lab.scale().pick((0.02, 2), (0.5, 32), (0.5, 100));
    let mut ways = Vec::new();
    for dt in [1e-3, 1e-4] {
        let setting = Setting { start: 0.5, beta: f64::INFINITY, dt, t, runs };
        ways.push((dt, follow(lab, &format!("deep, β = ∞, step {dt:.0e}"), &net, setting)?));
    }
    distances(lab, "distance-deep", "1-16-16-1, β = ∞: average of the runs and gradient descent", &ways)?;
    report(lab, DEEP, ways[0].1.apart(runs) / ways[1].1.apart(runs))
}

/// The paper's own network, from its own start.
fn first(lab: &mut Lab) -> Result<()> {
    if lab.scale() != Scale::Paper {
        return Ok(lab.not_run(&[FIRST], "paper scale only")?);
    }
    let net = Perceptron::new(&[1, 30, 1], false, &sine(100))?;
    let way = follow(lab, "the paper's network", &net, Setting { start: 0.01, beta: f64::INFINITY, dt: 1e-4, t: 10.0, runs: 1000 })?;
    Ok(lab.report(FIRST, way.relative())?)
}

/// Three layers with hard thresholds; nothing is differentiated.
fn network(task: &TemplateParams, hidden: usize, seed: Seed) -> Result<Network> {
    let net = Net::new(ms(1.0)).input("in", task.inputs).population("hidden", hidden, Lif::default());
    let net = net.population("out", task.classes, Li::default()).project("in", "hidden", Connect::All, Init::normal(1.0));
    Ok(net.project("hidden", "out", Connect::All, Init::normal(1.0)).output("out").build(seed)?)
}

fn spiking(lab: &mut Lab) -> Result<()> {
    let seed = lab.seed().child("spiking");
    let (steps, count) = lab.scale().pick((20, 2), (4000, 8), (20_000, 8));
    let task =
        TemplateParams { classes: 3, inputs: 20, steps: 50, train: lab.scale().pick(6, 60, 60), test: 300, ..TemplateParams::default() };
    let (train, test) = (task.generate(seed.child("data"), Split::Train)?, task.generate(seed.child("data"), Split::Test)?);
    let network = network(&task, 20, seed.child("weights"))?;
    let landscape = SpikingLandscape::new(&network, Loss::CrossEntropy(Over::Max), &train)?;
    let mutation = Mutation::new(0.02, f64::INFINITY)?;
    let mut checkpoint = lab.checkpoint_of("runs", "spiking", steps, "mutations")?;
    let begun = || {
        Ok::<_, anyhow::Error>((Runs::new(&landscape, &landscape.start(), count, seed.child("runs"))?, Vec::<(f64, f64)>::new(), 0.0f64))
    };
    let (mut runs, mut curve, mut rise) = match checkpoint.load()? {
        Some(state) => state,
        None => begun()?,
    };
    let progress = lab.progress("spiking network", steps);
    progress.resume_at(runs.steps());
    while runs.steps() < steps {
        let before: Vec<f64> = runs.each().iter().map(|run| run.loss).collect();
        lab.on_threads(|_| {
            runs.advance(&landscape, &mutation, steps / LOOKS);
            Ok(())
        })?;
        rise = runs.each().iter().zip(&before).map(|(run, before)| run.loss - before).fold(rise, f64::max);
        curve.push((runs.steps() as f64, runs.loss()));
        progress.inc(steps / LOOKS);
        progress.message(format!("loss {:.4}, acceptance {:.3}", runs.loss(), runs.acceptance()));
        if checkpoint.due() || runs.steps() >= steps {
            checkpoint.save(&(&runs, &curve, rise))?;
        }
    }
    let unseen = SpikingLandscape::new(&network, Loss::CrossEntropy(Over::Max), &test)?;
    let accuracy = snn_core::stats::mean(runs.each().iter().map(|run| unseen.accuracy(&run.x)));
    lab.note(format!(
        "spiking network, {} weights: loss {:.4} after {steps} mutations, acceptance {:.3}, {:.1} % right on the trials of training",
        landscape.parameters(),
        runs.loss(),
        runs.acceptance(),
        100.0 * snn_core::stats::mean(runs.each().iter().map(|run| landscape.accuracy(&run.x)))
    ));
    report(lab, LEARNS, 100.0 * accuracy)?;
    lab.report(RISES, rise)?;
    Ok(lab.curve("spiking", "spiking network: mean loss of the runs", "mutations", "loss", &[("β = ∞", curve)], Axes::default())?)
}
