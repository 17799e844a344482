//! What goes with what: every learning rule × neuron × kind of links × machine × structural rule of the registries, tried at a tiny size.

mod page;

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::Result;
use rand::RngExt;
use rayon::prelude::*;
use serde::Serialize;
use snn_core::net::{Connect, Conv2d, Init, SumPool2d};
use snn_core::neuron::{Li, Lif, LifPsc, Model};
use snn_core::stats::mean;
use snn_core::{Dataset, Net, Network, NetworkError, Raster, Seed, Trials, ms};
use snn_hw::pcm::{Learning, OnPcm, Physics, Rate, Scheme, Wires};
use snn_learn::{Loss, Optimiser, Options, Over, SyntheticGradients, TrainError, Trainer, rule, structure};
use snn_sparse::{Clocked, Record, Wants};

pub use page::markdown;

/// Every combination, in the order of the axes.
#[derive(Clone, Debug, Serialize)]
pub struct Matrix {
    /// What is combined.
    pub axes: Axes,
    /// One for each combination; the last axis runs fastest.
    pub cells: Vec<Cell>,
}

/// What is combined, by name. The first of each is the plain case.
#[derive(Clone, Debug, Serialize)]
pub struct Axes {
    /// Learning rules.
    pub rules: Vec<&'static str>,
    /// Models of the hidden neurons.
    pub neurons: Vec<&'static str>,
    /// Links into (and between) them.
    pub links: Vec<&'static str>,
    /// What runs the trials, or holds the weights.
    pub machines: Vec<&'static str>,
    /// Structural rules.
    pub structures: Vec<&'static str>,
}

/// A combination.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// Learning rule.
    pub rule: &'static str,
    /// Model of the hidden neurons.
    pub neuron: &'static str,
    /// Links.
    pub links: &'static str,
    /// Machine.
    pub machine: &'static str,
    /// Structural rule.
    pub structure: &'static str,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a combination.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The loss fell.
    Works {
        /// Mean loss at the first updates.
        before: f64,
        /// At the last.
        after: f64,
    },
    /// A typed error says why it cannot be.
    Refused {
        /// The error.
        why: String,
    },
    /// It was taken and went wrong: a panic, an error in mid-training, a loss that did not fall.
    Broken {
        /// What happened.
        why: String,
    },
}

/// Without any machine or structural rule.
const SOFTWARE: &str = "software";
/// Learning on phase-change devices: a substrate.
const ON_PCM: &str = "on pcm devices";
/// Without a structural rule.
const FIXED: &str = "fixed links";

/// Kinds of links from the input to the hidden neurons.
const LINKS: [&str; 6] = ["random", "all", "random, own delays", "recurrent", "conv2d", "sum_pool2d"];

const SIDE: usize = 4;
const STEPS: usize = 20;
const CLASSES: usize = 3;
/// Updates; devices that are pulsed move in steps, and need more.
const UPDATES: usize = 30;
const PULSED: usize = 200;
/// Losses at so many updates are averaged at the beginning and at the end, as machines are noisy.
const AVERAGED: usize = 5;

impl Axes {
    /// All there is.
    pub fn all() -> Self {
        let mut machines = vec![SOFTWARE];
        machines.extend(snn_hw::all().iter().map(|machine| machine.name()));
        machines.push(ON_PCM);
        let structures = structure::all();
        Axes {
            rules: rule::all::<f32>().into_iter().map(|(name, _)| name).collect(),
            neurons: models().iter().map(Model::name).collect(),
            links: LINKS.to_vec(),
            machines,
            structures: std::iter::once(FIXED).chain(structures.iter().map(|rule| rule.name())).collect(),
        }
    }

    /// The combinations in which at most `most` axes have another entry than their first: 2 for all pairs of entries.
    pub fn combinations(&self, most: usize) -> Vec<[usize; 5]> {
        let lengths = [self.rules.len(), self.neurons.len(), self.links.len(), self.machines.len(), self.structures.len()];
        let mut all = vec![[0; 5]];
        for (axis, &length) in lengths.iter().enumerate() {
            all = all
                .into_iter()
                .flat_map(|at| (0..length).map(move |k| std::array::from_fn(|a| if a == axis { k } else { at[a] })))
                .collect();
        }
        all.retain(|at| at.iter().filter(|&&k| k > 0).count() <= most);
        all
    }
}

/// Tries the combinations in which at most `most` axes (of five) have another entry than their first. `progress` is called after each, and may stop it.
///
/// # Errors
/// Those of `progress`.
pub fn matrix(most: usize, seed: Seed, progress: &(dyn Fn() -> Result<()> + Sync)) -> Result<Matrix> {
    let axes = Axes::all();
    let data = stripes(seed.child("data"));
    let models = models();
    let gain = |model: &Model| LINKS.map(|links| gain(model, links, &data, seed));
    let gains: Vec<[f64; LINKS.len()]> = models.par_iter().map(gain).collect();
    let try_one = |&[rule, neuron, links, machine, structure]: &[usize; 5]| -> Result<Cell> {
        let place = Place {
            rule,
            model: &models[neuron],
            links: LINKS[links],
            gain: gains[neuron][links],
            machine: axes.machines[machine],
            structure,
            seed,
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| place.train(&data)));
        progress()?;
        Ok(Cell {
            rule: axes.rules[rule],
            neuron: axes.neurons[neuron],
            links: LINKS[links],
            machine: axes.machines[machine],
            structure: axes.structures[structure],
            outcome: outcome.unwrap_or_else(|panic| Outcome::Broken { why: format!("it panicked: {}", message(&*panic)) }),
        })
    };
    Ok(Matrix { cells: axes.combinations(most).par_iter().map(try_one).collect::<Result<_>>()?, axes })
}

/// Every model with events, the plainest first.
fn models() -> Vec<Model> {
    let sends = |model: &Model| model.output().is_events();
    let (first, others): (Vec<Model>, Vec<Model>) =
        Model::all().into_iter().filter(sends).partition(|model| matches!(model, Model::Lif(_)));
    first.into_iter().chain(others).collect()
}

/// What a panic said.
fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}

/// Classes that differ in which rows of a small image are busy.
fn stripes(seed: Seed) -> Trials {
    let mut trials = Trials::new("stripes", SIDE * SIDE, STEPS, CLASSES);
    for k in 0..30 {
        let (mut rng, class, mut raster) = (seed.nth(k).rng(), k as usize % CLASSES, Raster::new(SIDE * SIDE, STEPS));
        let busy = |i: u32| i as usize / SIDE == class;
        raster.write(|_, list| list.extend((0..(SIDE * SIDE) as u32).filter(|&i| rng.random_bool(if busy(i) { 0.3 } else { 0.05 }))));
        trials.push(raster, class);
    }
    trials
}

/// A leaky readout, or neurons whose spikes can be counted.
fn readout(rule: &str) -> Model {
    match rule {
        "st_rsbp" => LifPsc { v_th: 0.3.into(), ..LifPsc::default() }.into(),
        _ => Li::default().into(),
    }
}

/// An input, hidden neurons of one model, an output; and what some rules want beside it.
fn network(rule: &str, model: &Model, links: &str, gain: f64, seed: Seed) -> Result<Network, NetworkError> {
    const HIDDEN: usize = 8;
    let (conv, pool) = (Conv2d::new(1, SIDE, SIDE, 2, (3, 3)), SumPool2d::new(1, SIDE, SIDE, (2, 2)));
    let (connect, out, hidden) = match links {
        "all" => (Connect::All, Connect::All, HIDDEN),
        "conv2d" => (Connect::Conv2d(conv), Connect::All, 2 * conv.output().0 * conv.output().1),
        "sum_pool2d" => (Connect::SumPool2d(pool), Connect::All, (SIDE / 2) * (SIDE / 2)),
        _ => (Connect::Random { p: 0.5 }, Connect::Random { p: 0.7 }, HIDDEN),
    };
    let first = if links == "sum_pool2d" { Init::Constant(gain as f32) } else { Init::normal(gain) };
    let net =
        Net::new(ms(1.0)).input("in", SIDE * SIDE).population("learner", hidden, model.clone()).population("out", CLASSES, readout(rule));
    // Every input of the model, where there are several to choose from, hears the same kind of links.
    let ports = if model.apart() { &[""] } else { model.ports() };
    let at = |net: Net, port: &str| if ports.len() > 1 { net.port(port) } else { net };
    let net = ports.iter().fold(net, |net, port| {
        let net = at(net.project("in", "learner", connect, first.clone()), port);
        if links == "random, own delays" { net.delays(0.0, ms(3.0)) } else { net }
    });
    let net = net.project("learner", "out", out, Init::normal(0.5));
    let net = ports.iter().filter(|_| links == "recurrent").fold(net, |net, port| {
        at(net.project("learner", "learner", Connect::Random { p: 0.4 }, Init::normal(0.3 * gain)), port).delay(ms(1.0))
    });
    let net = match rule {
        "synthetic_gradients" => {
            let with = |units| {
                net.clone().population("predictor", units, Li::default()).project("learner", "predictor", Connect::All, Init::normal(0.1))
            };
            let units = SyntheticGradients::new("predictor").units(&with(1).output("out").build(seed)?).unwrap_or(1);
            with(units)
        }
        "learned_signals" => net
            .population("generator", HIDDEN, Lif::default())
            .population("signals", hidden, Li::default())
            .project("in", "generator", Connect::All, Init::normal(0.5))
            .project("generator", "signals", Connect::All, Init::normal(0.3)),
        _ => net,
    };
    net.output("out").build(seed)
}

/// The smallest power of two as a factor on the weights with which one hidden neuron in twenty has an event at a step, or else the one with most events.
fn gain(model: &Model, links: &str, data: &Trials, seed: Seed) -> f64 {
    let mut best = (0, 1.0);
    for gain in (-5..10).map(|k| 2f64.powi(k)) {
        let Ok(net) = network("", model, links, gain, seed) else { break };
        let engine = Clocked::<f32>::compile(&net);
        let (mut input, mut record, mut events) = (Raster::default(), Record::new(&engine), 0);
        for trial in 0..CLASSES {
            data.load(trial, &mut input);
            engine.run(&[&input], Wants::Spikes, &mut record);
            events += record.spikes[0].len();
        }
        best = if events > best.0 { (events, gain) } else { best };
        if 20 * events >= CLASSES * STEPS * engine.cells()[0].size() {
            break;
        }
    }
    best.1
}

/// A combination that is tried.
struct Place<'a> {
    rule: usize,
    model: &'a Model,
    links: &'static str,
    gain: f64,
    machine: &'static str,
    structure: usize,
    seed: Seed,
}

impl Place<'_> {
    fn train(&self, data: &Trials) -> Outcome {
        let mut trainer = match self.trainer(data) {
            Ok(trainer) => trainer,
            Err(why) => return Outcome::Refused { why },
        };
        let mut losses = Vec::new();
        for _ in 0..if self.machine == ON_PCM { PULSED } else { UPDATES } {
            losses.push(match trainer.epoch(data, &|_| ()) {
                Ok(stats) => stats.mean_loss(),
                Err(TrainError::Chip(why)) => return Outcome::Refused { why },
                Err(TrainError::Device(error)) => return Outcome::Refused { why: error.to_string() },
                Err(error) => return Outcome::Broken { why: error.to_string() },
            });
        }
        let (before, after) = (mean(&losses[..AVERAGED]), mean(&losses[losses.len() - AVERAGED..]));
        match after < before {
            true => Outcome::Works { before, after },
            false => Outcome::Broken { why: format!("the loss went from {before:.3} to {after:.3}") },
        }
    }

    /// The trainer, or why there is none.
    fn trainer(&self, data: &Trials) -> Result<Trainer, String> {
        fn say(error: impl ToString) -> String {
            error.to_string()
        }
        let (name, rule) = rule::all().swap_remove(self.rule);
        let net = network(name, self.model, self.links, self.gain, self.seed).map_err(say)?;
        let options = Options { batch: data.len(), ..Options::new(Loss::CrossEntropy(Over::Mean), self.seed.child("training")) };
        let trainer = Trainer::new(&net, rule, Optimiser::adam(0.02), options).map_err(say)?;
        let trainer = match self.structure {
            0 => trainer,
            k => trainer.with_structure(structure::all().swap_remove(k - 1)).map_err(say)?,
        };
        let seed = self.seed.child("device");
        match (self.machine, snn_hw::by_name(self.machine)) {
            (ON_PCM, _) => trainer.with_substrate(on_pcm(&net, seed).map_err(say)?).map_err(say),
            (_, Some(machine)) => trainer.with_chip(move |net| Ok(machine.build(net, seed)?), None).map_err(say),
            _ => Ok(trainer),
        }
    }
}

/// Crossbars that begin with weights about as large as the network's, and move by what the optimiser says.
fn on_pcm(net: &Network, seed: Seed) -> Result<OnPcm, snn_hw::pcm::PcmError> {
    let rate = |p: &snn_core::net::Projection| {
        let unit = 4.0 * p.weights.given().iter().fold(0.0, |m: f64, w| m.max(f64::from(w.abs())));
        Rate { unit, rate: 1.0 / (unit * unit) }
    };
    let rates = net.draft().projections.iter().map(rate).collect();
    let wires = Wires { physics: Physics::default(), pairs: 1, scale: 12.0 };
    let learning = Learning { mean: 3.0, std: 0.5, ..Learning::new(wires, Scheme::Mixed { quantum: 0.05, ready: false }) };
    OnPcm::new(net, learning, rates, seed)
}
