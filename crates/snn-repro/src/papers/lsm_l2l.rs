//! Subramoney, Scherr & Maass 2019, "Reservoirs learn to learn", arXiv:1909.07486 (in: Reservoir Computing, Springer 2021).
//!
//! Reproduced: a liquid whose weights were optimised for a family of filters, so that a linear readout learns a new filter from less data than with a random liquid
//! (mode A); and a network that learns a new function without any change of weights, by what its activity keeps (mode B).
//!
//! Marks of figures: `[abs]` the abstract and the introduction's first page; `[recalled]` memory of the text, not verified; `[design]` our choice, as the text could
//! not be read and no program has been released; `[run]` our own run of another program before this one. The article's numbers are not known to us.
//!
//! Departures: ridge regression in the place of the delta rule; 100 neurons instead of 800 `[recalled]`; the outer loop sees 2 s and 1 s of each task. The random
//! liquid's gains, and the readout's penalty for each liquid, are chosen on tasks of their own.

use anyhow::Result;
use rayon::prelude::*;
use snn_arch::l2l::{self, Family, Lesson};
use snn_arch::liquid::{Iteration, Liquid, Optimised, Options, Saved, Series, errors};
use snn_core::net::{Connect, Init};
use snn_core::neuron::{Li, Lif};
use snn_core::stats::{mean, quantile};
use snn_core::{Dataset, Net, Network, Raster, Seed, Surrogate, ms};
use snn_data::{Answer, Drawn, NarmaParams, TargetNetworkParams, Task, VolterraParams};
use snn_learn::readout::Ridge;
use snn_learn::{Loss, Optimiser, RateOver, Regulariser, Schedule, SparseBptt, Trainer};
use snn_sparse::{Clocked, LANES, Record, Wants};
use std::ops::Range;

use crate::{Axes, Bound, Claim, Cost, Lab, Paper, Scale};

const HALF: &str = "held-out filters: median error of the optimised liquid over that of the tuned random one";
const EVERY: &str = "the same, largest ratio over all amounts of training data";
const GAP: &str = "that ratio with the least data over that with the most";
const LESS: &str = "training data with which the optimised liquid is as good as the random one with all";
const OTHERS: &str = "another family (NARMA): median error of the optimised liquid over that of the random one";
const START: &str = "no outer iterations: largest difference from the random liquid";
const B_FALLS: &str = "no weight changes: error from example 20 on over that of the first two";
const B_BLIND: &str = "the same with the targets of another function shown";
const B_READOUT: &str = "no weight changes: error of examples 5 to 20 over that of a readout fitted to the examples before";

/// The paper.
pub const PAPER: Paper = Paper {
    id: "lsm_l2l",
    title: "Reservoirs learn to learn",
    cite: "Subramoney, Scherr & Maass 2019, arXiv:1909.07486",
    about: "liquids optimised for a family of tasks learn one of them from less, or without changing a weight",
    cost: Cost { smoke: "seconds", short: "20 min, 2 cores", paper: "some hours, 2 cores" },
    claims: &[
        Claim::new(HALF, "better [abs]; half [design]", Bound::AtMost(0.5), "", 2, "mode A").headline(),
        Claim::new(EVERY, "better [abs]", Bound::AtMost(1.0), "", 2, "mode A"),
        Claim::new(GAP, "faster [abs]; below 1 [design]", Bound::AtMost(1.0), "", 2, "mode A"),
        Claim::new(LESS, "faster [abs]; 30 % [design]", Bound::AtMost(30.0), "%", 0, "mode A").headline(),
        Claim::new(OTHERS, "no better [design]", Bound::AtLeast(1.0), "", 2, "family specificity"),
        Claim::new(START, "0 [design]", Bound::AtMost(0.0), "", 6, "zero outer iterations"),
        Claim::new(B_FALLS, "falls within 10 to 20 examples [abs]; 0.5 [design]", Bound::AtMost(0.5), "", 2, "mode B").headline(),
        Claim::new(B_BLIND, "flat [design]", Bound::AtLeast(0.9), "", 2, "mode B, shuffled"),
        Claim::new(B_READOUT, "faster still [abs]", Bound::AtMost(1.0), "", 2, "mode B against mode A"),
    ],
    run,
};

/// Penalties of the readout that each liquid chooses from, for each step it is fitted on.
const LAMBDAS: [f64; 4] = [1e-6, 1e-5, 1e-4, 1e-3];

fn run(lab: &mut Lab) -> Result<()> {
    filters(lab)?;
    functions(lab)
}

fn rule() -> SparseBptt {
    SparseBptt { surrogate: Surrogate::triangle(0.3, 0.6) }
}

fn median(x: &[f64]) -> f64 {
    quantile(x, 0.5)
}

/// Mode A.
fn filters(lab: &mut Lab) -> Result<()> {
    let seed = lab.seed().child("filters");
    let smoke = lab.scale() == Scale::Smoke;
    let (size, iterations, held) = lab.scale().pick((12, 2, 3), (100, 1500, 50), (800, 2000, 200));
    let (train, test) = lab.scale().pick((0.5, 0.4), (10.0, 3.0), (10.0, 3.0));
    let family = VolterraParams { train, test, ..VolterraParams::default() };
    let brief = VolterraParams { train: train.min(2.0), test: test.min(1.0), ..family.clone() };
    let steps = Series::training(&family).len();
    let tuning = family.trials(seed.child("tuning"), 0..lab.scale().pick(2, 16, 16))?;
    let unseen = family.trials(seed.child("held out"), 0..held)?;

    // The fairest random liquid: gains by its median error on tuning tasks.
    let gains = lab.scale().pick(&[1.0][..], &[0.0, 0.5, 1.0, 1.5, 2.0], &[0.0, 0.5, 1.0, 1.5, 2.0]);
    let inputs = lab.scale().pick(&[2.0][..], &[0.5, 1.0, 2.0, 4.0], &[0.5, 1.0, 2.0, 4.0]);
    let progress = lab.progress("random liquids", (gains.len() * inputs.len()) as u64);
    let mut tried: Vec<(f64, Liquid)> = Vec::new();
    for (&gain, &gain_in) in gains.iter().flat_map(|gain| inputs.iter().map(move |gain_in| (gain, gain_in))) {
        let liquid = Liquid { size, gain, gain_in, ..Liquid::default() };
        let engine = Clocked::compile(&liquid.network(family.cells, seed.child("weights"))?);
        tried.push((lab.on_threads(|_| Ok(median(&errors(&engine, &tuning, 1e-5, usize::MAX)?)))?, liquid));
        progress.inc(1);
        lab.go_on()?;
    }
    drop(progress);
    let least =
        |list: &mut dyn Iterator<Item = (f64, Liquid)>| list.reduce(|best, now| if now.0 < best.0 { now } else { best }).map(|best| best.1);
    let random = least(&mut tried.iter().copied()).unwrap_or_default();
    let alone = least(&mut tried.iter().copied().filter(|(_, liquid)| liquid.gain == gains[0])).unwrap_or(random);
    lab.note(format!(
        "random liquid: recurrent gain {}, input gain {}; median error on tuning tasks by (recurrent, input) gain: {}",
        random.gain,
        random.gain_in,
        tried.iter().map(|(e, l)| format!("({}, {}) {e:.3}", l.gain, l.gain_in)).collect::<Vec<_>>().join(", ")
    ));

    let start = random.network(family.cells, seed.child("weights"))?;
    let options = Options {
        lambda: 1e-5,
        tasks: 8,
        clip: Some(1.0),
        regulariser: Regulariser::rate(0.02, lab.scale().pick(0.1, 0.1, 0.1), RateOver::Trial),
        schedule: Schedule::Cosine { epochs: iterations as f64 },
        seed: seed.child("outer loop"),
    };
    let mut outer = Optimised::new(&start, brief, rule(), Optimiser::adam(lab.scale().pick(1e-3, 3e-3, 1e-3)), options)?;
    let first = Clocked::compile(&outer.trainer().network()?);
    let same = lab.on_threads(|_| {
        let of = |engine: &Clocked<f32>| errors(engine, &tuning, 1e-5, usize::MAX);
        Ok(of(&first)?.iter().zip(of(&Clocked::compile(&start))?).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max))
    })?;
    lab.report(START, same)?;

    let mut checkpoint = lab.checkpoint_of("liquids", "optimised", iterations, "iterations")?;
    let mut history: Vec<Iteration> = Vec::new();
    if let Some((done, saved)) = checkpoint.load::<(Vec<Iteration>, Saved)>()? {
        outer.restore(&saved)?;
        history = done;
    }
    let progress = lab.progress("optimising the liquid", iterations);
    progress.resume_at(outer.iterations());
    while outer.iterations() < iterations {
        let iteration = lab.on_threads(|_| Ok(outer.iteration()?))?;
        progress.inc(1);
        progress.message(format!("median error {:.3}, {:.1} Hz", iteration.error, iteration.spikes / 1e-3));
        history.push(iteration);
        if checkpoint.due() || outer.iterations() == iterations {
            checkpoint.save(&(&history, outer.save()))?;
        }
    }
    drop(progress);
    let line = history.iter().enumerate().map(|(k, i)| (k as f64 + 1.0, i.error)).collect::<Vec<_>>();
    let axes = Axes { log_y: true, ..Axes::default() };
    lab.curve("outer", "outer loop: new tasks in every iteration", "iteration", "median error", &[("before the update", line)], axes)?;

    // Each liquid with the penalty that suits it on tuning tasks.
    let arms = [
        ("optimised", Clocked::compile(&outer.trainer().network()?)),
        ("random", Clocked::compile(&start)),
        ("random, no recurrence", Clocked::compile(&alone.network(family.cells, seed.child("weights"))?)),
    ];
    let shares = [0.1, 0.2, 0.3, 0.5, 1.0];
    let other = NarmaParams { shown: family.clone(), ..NarmaParams::default() }.trials(seed.child("other family"), 0..held)?;
    let mut all: Vec<(f64, Vec<Vec<f64>>, f64)> = Vec::new();
    let progress = lab.progress("held-out tasks", arms.len() as u64);
    for (_, engine) in &arms {
        all.push(lab.on_threads(|_| {
            let scores = LAMBDAS.map(|lambda| errors(engine, &tuning, lambda, usize::MAX).map(|e| (median(&e), lambda)));
            let scores = scores.into_iter().collect::<Result<Vec<_>, _>>()?;
            let lambda = scores.iter().copied().reduce(|a, b| if b.0 < a.0 { b } else { a }).map_or(1e-5, |best| best.1);
            let by_share = shares.iter().map(|share| errors(engine, &unseen, lambda, ((share * steps as f64) as usize).max(2)));
            let elsewhere = median(&errors(engine, &other, lambda, usize::MAX)?);
            Ok((lambda, by_share.collect::<Result<Vec<_>, _>>()?, elsewhere))
        })?);
        progress.inc(1);
        lab.go_on()?;
    }
    drop(progress);
    let seconds = |k: usize| shares[k] * steps as f64 * 1e-3;
    for ((name, _), (lambda, errors, elsewhere)) in arms.iter().zip(&all) {
        let text = errors
            .iter()
            .enumerate()
            .map(|(k, e)| format!("{:.1} s {:.3} ({:.3} to {:.3})", seconds(k), median(e), quantile(e, 0.25), quantile(e, 0.75)));
        let text = text.collect::<Vec<_>>().join(", ");
        lab.note(format!("{name}: penalty {lambda:.0e}; median error (quartiles) by training data: {text}; on NARMA {elsewhere:.3}"));
    }
    let lines: Vec<(&str, Vec<(f64, f64)>)> = (arms.iter().zip(&all))
        .map(|((name, _), (_, errors, _))| (*name, errors.iter().enumerate().map(|(k, e)| (seconds(k), median(e))).collect()))
        .collect();
    lab.curve("data", "held-out filters", "training data (s)", "median error", &lines, Axes { log_y: true, ..Axes::default() })?;
    if smoke {
        return Ok(lab.too_short(&[HALF, EVERY, GAP, LESS, OTHERS], "two iterations optimise nothing")?);
    }
    let [ours, theirs] = [0, 1].map(|arm| all[arm].1.iter().map(|e| median(e)).collect::<Vec<f64>>());
    let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(a, b)| a / b).collect();
    let last = shares.len() - 1;
    lab.report(HALF, ratios[last])?;
    lab.report(EVERY, ratios.iter().copied().fold(0.0, f64::max))?;
    lab.report(GAP, ratios[0] / ratios[last])?;
    lab.report(LESS, 100.0 * ours.iter().position(|e| *e <= theirs[last]).map_or(f64::INFINITY, |k| shares[k]))?;
    Ok(lab.report(OTHERS, all[0].2 / all[1].2)?)
}

/// Mode B's episodes with the targets of another function shown: whoever learns from them learns nothing.
#[derive(Clone)]
struct Blind(TargetNetworkParams);

impl Task for Blind {
    fn name(&self) -> &'static str {
        "target-networks, targets of others"
    }
    fn inputs(&self) -> usize {
        self.0.inputs()
    }
    fn steps(&self) -> usize {
        self.0.steps()
    }
    fn classes(&self) -> usize {
        0
    }
    fn answer(&self, seed: Seed) -> Answer {
        self.0.answer(seed)
    }
    fn draw(&self, seed: Seed, into: &mut Vec<(u32, u32)>) {
        // The last third of the channels tells the previous target.
        let targets = 2 * self.0.cells as u32;
        let from = into.len();
        self.0.draw(seed, into);
        let mut kept = into.split_off(from);
        kept.retain(|event| event.1 < targets);
        into.extend(kept);
        let mut other = Vec::new();
        self.0.draw(seed.child("other function"), &mut other);
        into.extend(other.into_iter().filter(|event| event.1 >= targets));
    }
}

impl Family for Blind {
    fn examples(&self) -> usize {
        self.0.examples
    }
    fn window(&self, k: usize) -> Range<usize> {
        self.0.window(k)
    }
    fn lesson(&self, seed: Seed) -> Lesson {
        self.0.lesson(seed)
    }
}

/// Regular neurons only: what they remember is in their activity.
fn recurrent(params: &TargetNetworkParams, size: usize, seed: Seed) -> Result<Network> {
    let spread = |gain: f64, n: usize| Init::normal(gain / (n as f64).sqrt());
    let inputs = params.inputs();
    Ok(Net::new(params.dt)
        .input("in", inputs)
        .population("hidden", size, Lif::default())
        .refractory(ms(3.0))
        .population("out", 1, Li::default())
        .project("in", "hidden", Connect::All, spread(3.0, inputs))
        .project("hidden", "hidden", Connect::All, spread(1.0, size))
        .without_autapses()
        .delay(params.dt)
        .project("hidden", "out", Connect::All, spread(1.0, size))
        .output("out")
        .build(seed)?)
}

/// The error at each example of a readout that is fitted, after every example, to the states that a random liquid had in those before.
fn fitted(lab: &mut Lab, tests: &Drawn<TargetNetworkParams>, size: usize, lambda: f64, seed: Seed) -> Result<Vec<f64>> {
    let family = tests.task();
    let engine: Clocked<f32> = Clocked::compile(&Liquid { size, gain_in: 3.0, ..Liquid::default() }.network(family.inputs(), seed)?);
    let last = family.examples().min(20);
    let one = |(raster, record): &mut (Raster, Record<f32>), i: usize| -> Result<Vec<f64>> {
        tests.load(i, raster);
        engine.run(&[raster], Wants::Spikes, record);
        let trace = &record.traces[engine.outputs()[0]];
        let at = |t: usize, k: usize| f64::from(trace.output[t * trace.blocks() + k / LANES][k % LANES]);
        let state = |e: usize| (0..size).map(move |k| at(family.window(e).end - 1, k));
        let targets: Vec<f64> = family.lesson(tests.seed(i)).targets.iter().map(|y| y[0]).collect();
        let mut curve = Vec::new();
        for e in 2..last {
            let seen: Vec<f64> = (0..e).flat_map(state).collect();
            let readout = Ridge::new(lambda * e as f64)?.fit(&seen, size, &targets[..e])?;
            curve.push((readout.answer(&state(e).collect::<Vec<_>>()) - targets[e]).powi(2));
        }
        Ok(curve)
    };
    let all = lab.on_threads(|_| {
        (0..tests.len()).into_par_iter().map_init(|| (Raster::default(), Record::new(&engine)), one).collect::<Result<Vec<_>>>()
    })?;
    Ok((0..last.saturating_sub(2)).map(|e| mean(all.iter().map(|curve| curve[e]))).collect())
}

/// Mode B.
fn functions(lab: &mut Lab) -> Result<()> {
    let seed = lab.seed().child("functions");
    let (examples, cells, size) = lab.scale().pick((6, 8, 10), (50, 50, 120), (100, 100, 300));
    let params = TargetNetworkParams { examples, cells, ..TargetNetworkParams::default() };
    let (batch, iterations, piece) = lab.scale().pick((4, 2, 2), (20, 4000, 25), (20, 5000, 50));
    let network = recurrent(&params, size, seed.child("weights"))?;
    let options = snn_learn::Options {
        batch,
        clip: Some(1.0),
        regulariser: Regulariser::rate(0.02, 0.1, RateOver::Trial),
        schedule: Schedule::Cosine { epochs: (iterations / piece) as f64 },
        ..snn_learn::Options::new(Loss::MeanSquared, seed.child("training"))
    };
    let mut trainer = Trainer::new(&network, rule(), Optimiser::adam(0.003), options)?;
    let draw = |k: usize| -> Result<Box<dyn Dataset>> {
        let (first, count) = ((k * piece * batch) as u64, (piece * batch) as u64);
        Ok(Box::new(params.trials(seed.child("training"), first..first + count)?))
    };
    lab.train_drawn("functions", &mut trainer, iterations / piece, draw, None, |_| Ok(None))?;
    let count = lab.scale().pick(3, 200, 1000);
    let tests = params.trials(seed.child("test"), 0..count)?;
    let blind = Drawn::new(Blind(params.clone()), seed.child("test"), 0..count);
    let ours = lab.on_threads(|_| Ok(l2l::curve(trainer.engine(), &tests)?))?;
    let shuffled = lab.on_threads(|_| Ok(l2l::curve(trainer.engine(), &blind)?))?;
    // The readout's penalty is the best on episodes of training.
    let before = params.trials(seed.child("training"), 0..count)?;
    let mut best = (f64::INFINITY, LAMBDAS[0]);
    for lambda in [1e-5, 1e-4, 1e-3, 1e-2, 1e-1] {
        let error = mean(&fitted(lab, &before, size, lambda, seed.child("liquid"))?);
        best = if error < best.0 { (error, lambda) } else { best };
    }
    let readout = fitted(lab, &tests, size, best.1, seed.child("liquid"))?;
    let numbered = |curve: &[f64], from: usize| curve.iter().enumerate().map(|(k, e)| ((k + 1 + from) as f64, *e)).collect::<Vec<_>>();
    let lines = [
        ("fixed weights", numbered(&ours, 0)),
        ("fixed weights, targets of another function", numbered(&shuffled, 0)),
        ("random liquid, readout fitted to the examples before", numbered(&readout, 2)),
    ];
    lab.curve(
        "functions",
        "learning without a change of weights",
        "example",
        "squared error",
        &lines,
        Axes { log_y: true, ..Axes::default() },
    )?;
    if lab.scale() == Scale::Smoke {
        return Ok(lab.too_short(&[B_FALLS, B_BLIND, B_READOUT], "two updates teach nothing")?);
    }
    let late = |curve: &[f64]| mean(&curve[20..]) / mean(&curve[..2]);
    lab.note(format!(
        "functions: squared error {:.4} at the first two examples, {:.4} from 20 on, {:.4} with the targets of another function; fitted readout {:.4} at examples 5 to 20",
        mean(&ours[..2]),
        mean(&ours[20..]),
        mean(&shuffled[20..]),
        mean(&readout[3..])
    ));
    lab.report(B_FALLS, late(&ours))?;
    lab.report(B_BLIND, late(&shuffled))?;
    Ok(lab.report(B_READOUT, mean(&ours[5..20]) / mean(&readout[3..]))?)
}
