//! What does a training step of e-prop cost, backwards and online, beside sparse BPTT, and what does sparse connectivity save?
//!
//! One recurrent layer of 256 neurons, 700 inputs at 1.5 % density, 100 steps, 32 trials, one thread. All rules get the same network, surrogate
//! (e-prop's triangle, as wide as the threshold, or the narrow window of the train-step bench) and batch. The gradient of the whole batch is timed, the
//! rules in turn, the best of several rounds.

use crate::train_step::{SHD, Shape};
use crate::{Bench, Figure, Log, Report, on_threads, row};
use serde_json::json;
use snn_core::net::{Connect, Init};
use snn_core::neuron::{Alif, Li, Lif, Model};
use snn_core::{Net, Network, Seed, Surrogate, Trials, ms};
use snn_learn::{Eprop, Feedback, Form, Loss, Optimiser, Options, Over, Rule, SparseBptt, Stats, Trainer};

const INPUTS: usize = 700;
const HIDDEN: usize = 256;
const OUTPUTS: usize = 20;
const STEPS: usize = 100;
const DENSITY: f64 = 0.015;
/// Share of hidden neuron-steps that spike, as in the train-step bench.
const SPIKES: f64 = 0.012;
/// Steps per window of the online form that the figures use.
const WINDOW: usize = 50;

/// The network with a share `p` of the links into the hidden layer, their weights scaled.
fn network(model: &Model, p: f64, scale: f64) -> Network {
    let connect = if p < 1.0 { Connect::Random { p } } else { Connect::All };
    let init = |n: usize, scale: f64| Init::normal(scale / (n as f64 * p).sqrt());
    let net = Net::new(ms(1.0)).input("in", INPUTS).population("h", HIDDEN, model.clone()).population("out", OUTPUTS, Li::default());
    let net = net.project("in", "h", connect, init(INPUTS, scale)).project("h", "h", connect, init(HIDDEN, 1.0)).delay(ms(1.0));
    let net = net.project("h", "out", Connect::All, Init::normal(1.0 / (HIDDEN as f64).sqrt())).output("out");
    net.build(Seed::new(1)).unwrap_or_else(|e| panic!("the bench's own network: {e}"))
}

fn trainer(net: &Network, rule: Box<dyn Rule<f32>>) -> Trainer {
    let options = Options::new(Loss::CrossEntropy(Over::Mean), Seed::new(1));
    Trainer::new(net, rule, Optimiser::sgd(0.0), options).unwrap_or_else(|e| panic!("the bench's own trainer: {e}"))
}

/// Scales the input weights until the hidden layer spikes at the wanted rate.
fn calibrate(model: &Model, p: f64, data: &Trials) -> Network {
    let rate =
        |scale: f64| trainer(&network(model, p, scale), Box::new(SparseBptt::default())).gradient(data, &[0, 1, 2, 3]).spike_fraction(0);
    let (mut low, mut high) = (0.05f64, 400.0f64);
    for _ in 0..18 {
        let scale = (low * high).sqrt();
        if rate(scale) > SPIKES { high = scale } else { low = scale }
    }
    network(model, p, (low * high).sqrt())
}

/// Seconds this thread has spent on a processor: what others do on the machine then counts less. Wall time where the system does not tell.
fn on_processor() -> f64 {
    static START: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let seconds = told.and_then(|text| text.split(' ').next()?.parse::<f64>().ok()).map(|ns| 1e-9 * ns);
    seconds.unwrap_or_else(|| START.elapsed().as_secs_f64())
}

/// The question, and how to answer it.
pub const BENCH: Bench = Bench { name: "eprop", question: "What does a training step of e-prop cost, backwards and online?", run: eprop };

/// Runs the bench. `quick` takes a small batch and one round.
fn eprop(quick: bool, log: Log<'_>) -> Report {
    let (batch, rounds) = if quick { (8, 1) } else { (32, 12) };
    let data = Shape { inputs: INPUTS, outputs: OUTPUTS, steps: STEPS, density: DENSITY, batch, ..SHD }.data();
    let pool = on_threads(1);
    let wide = Surrogate::triangle(0.3, 1.0);
    let narrow = Surrogate::fast_sigmoid(100.0).window(0.2);
    let windows: &[usize] = if quick { &[1, WINDOW] } else { &[1, 8, 25, WINDOW, STEPS] };
    let models = [
        ("lif", Model::from(Lif { tau: ms(10.0).into(), ..Lif::default() })),
        ("alif", Model::from(Alif { tau: ms(10.0).into(), beta: 0.2.into(), ..Alif::default() })),
    ];
    let mut rows = Vec::new();
    let mut seconds = std::collections::BTreeMap::new();
    for (name, model) in &models {
        for (links, p) in [("dense", 1.0), ("5 %", 0.05)] {
            let net = calibrate(model, p, &data);
            for (shape, surrogate) in [("triangle", wide), ("window", narrow)] {
                let rule = |form| Eprop { surrogate, feedback: Feedback::Symmetric, form };
                let mut engines: Vec<(String, Trainer)> = vec![
                    ("sparse bptt".into(), trainer(&net, Box::new(SparseBptt { surrogate }))),
                    ("reverse".into(), trainer(&net, Box::new(rule(Form::Reverse)))),
                ];
                engines.extend(
                    windows.iter().map(|&window| (format!("online {window}"), trainer(&net, Box::new(rule(Form::Online { window }))))),
                );
                let all: Vec<usize> = (0..batch).collect();
                let mut best: Vec<(f64, Stats)> = vec![(f64::INFINITY, Stats::default()); engines.len()];
                for _ in 0..=rounds {
                    for ((_, trainer), best) in engines.iter_mut().zip(&mut best) {
                        let (stats, wall) = pool.install(|| {
                            let start = on_processor();
                            (trainer.gradient(&data, &all), on_processor() - start)
                        });
                        if wall < best.0 {
                            *best = (wall, stats);
                        }
                    }
                }
                for ((engine, trainer), (wall, stats)) in engines.iter().zip(best) {
                    log(&format!(
                        "{name:4} {links:5} {shape:8} {engine:11} {:8.2} ms (forward {:6.2} ms)  {:9} bytes  spikes {:4.2} % active {:5.2} %",
                        1e3 * wall,
                        1e3 * stats.forward_s,
                        trainer.state_bytes(),
                        100.0 * stats.spike_fraction(0),
                        100.0 * stats.active_fraction(0)
                    ));
                    rows.push(row([
                        ("model", json!(name)),
                        ("links", json!(links)),
                        ("surrogate", json!(shape)),
                        ("engine", json!(engine)),
                        ("T", json!(STEPS)),
                        ("batch", json!(batch)),
                        ("threads", json!(1)),
                        ("wall_s", json!(wall)),
                        ("forward_s", json!(stats.forward_s)),
                        ("backward_s", json!(stats.backward_s)),
                        ("state_bytes", json!(trainer.state_bytes())),
                        ("macs", json!(stats.macs_forward + stats.macs_backward)),
                        ("spikes", json!(stats.spike_fraction(0))),
                        ("active", json!(stats.active_fraction(0))),
                    ]));
                    seconds.insert((*name, links, shape, engine.clone()), wall);
                }
            }
        }
    }
    let at = |model, links, shape, engine: &str| seconds.get(&(model, links, shape, engine.to_owned())).copied().unwrap_or(f64::NAN);
    let online = format!("online {WINDOW}");
    let mut summary = Vec::new();
    let mut figure = |what: String, value: f64, wanted: &str| summary.push(Figure { what, value, wanted: wanted.into() });
    for (model, links) in [("lif", "dense"), ("lif", "5 %"), ("alif", "dense"), ("alif", "5 %")] {
        let of = |engine: &str| at(model, links, "triangle", engine);
        figure(format!("{model}, {links}: e-prop reverse / sparse BPTT"), of("reverse") / of("sparse bptt"), "≤ 1.2");
        let wanted = if model == "lif" { "≤ 3" } else { "" };
        figure(format!("{model}, {links}: online in windows of {WINDOW} / reverse"), of(&online) / of("reverse"), wanted);
        figure(format!("{model}, {links}: online in windows of 1 / reverse"), of("online 1") / of("reverse"), "");
    }
    for engine in ["online 1", &online, "reverse"] {
        let wanted = if engine == "reverse" { "" } else { "≥ 10" };
        figure(
            format!("alif, {engine}: dense / 5 %"),
            at("alif", "dense", "triangle", engine) / at("alif", "5 %", "triangle", engine),
            wanted,
        );
    }
    figure(
        format!("lif, dense, online in windows of {WINDOW}, ms"),
        1e3 * at("lif", "dense", "triangle", &online),
        "well below 49, a factored dense form in a tensor framework",
    );
    let notes = vec![
        "window: steps that the online form takes together; 1 is the textbook's loop. A window of the whole trial keeps nothing between windows".into(),
        "triangle: γ = 0.3, as wide as the threshold; window: fast sigmoid 100 within ± 0.2".into(),
        "state_bytes: input, activity, errors and traces held by one worker; weights and gradients are the same for all and left out".into(),
    ];
    Report { bench: "eprop", rows, summary, notes }
}
