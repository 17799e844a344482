//! Does a step of an event-based recurrent network get cheaper with its activity, forward and backward, and against a dense one?
//!
//! One layer of 1,024 units over 68 steps, 64 trials, as the language models of the EGRU paper are trained; 64 input channels with one event a step. The bias of the
//! candidate sets the activity: its mean is sought, and units differ from it by up to 1.5, as states spread over their range when they have learned something. With equal
//! biases all states would lie within the window, and every error would go back everywhere, whatever the activity. Window of the surrogate: that of the released code's
//! language models, 1/3.6. The gradient of a whole batch is timed, the best of eight counts; engines take turns.

use crate::train_step::{best_gradient, gradient_trainer};
use crate::{Bench, Figure, Log, Report, fields};
use rand::RngExt;
use serde::Serialize;
use snn_core::net::{Connect, Init};
use snn_core::neuron::{Egru, Gru, Li, Model};
use snn_core::{Net, Network, Raster, Seed, Surrogate, Trials};
use snn_learn::gemm::{add_product, matrix, matrix_mut};
use snn_learn::{Bptt, SparseBptt, Trainer};
use std::time::Instant;

/// One measurement.
#[derive(Clone, Debug, Serialize)]
struct Row {
    /// `events` or `dense`.
    engine: &'static str,
    /// Units.
    units: usize,
    /// Time steps.
    #[serde(rename = "T")]
    steps: usize,
    /// Trials.
    batch: usize,
    /// Threads.
    threads: usize,
    /// Share of neuron-steps with an event.
    activity: f64,
    /// Share of neuron-steps in an event or in the window: those that hear errors.
    active: f64,
    /// Wall seconds forward.
    forward_s: f64,
    /// Wall seconds backward.
    backward_s: f64,
    /// Multiply-accumulates on weights, forward and backward.
    macs: u64,
}

impl Row {
    fn total(&self) -> f64 {
        self.forward_s + self.backward_s
    }
}

const INPUTS: usize = 64;
const OUTPUTS: usize = 10;
const WINDOW: Surrogate = Surrogate::triangle(3.6, 1.0 / 3.6);

/// Units, steps, trials.
#[derive(Clone, Copy)]
struct Size {
    units: usize,
    steps: usize,
    batch: usize,
}

impl Size {
    fn data(&self) -> Trials {
        let mut trials = Trials::new("tokens", INPUTS, self.steps, OUTPUTS);
        for k in 0..self.batch {
            let mut rng = Seed::new(1).child("tokens").nth(k as u64).rng();
            let mut raster = Raster::new(INPUTS, self.steps);
            raster.write(|_, list| list.push(rng.random_range(0..INPUTS as u32)));
            trials.push(raster, k % OUTPUTS);
        }
        trials
    }

    fn network(&self, cell: Model) -> Network {
        let init = |n: usize| Init::normal((2.0 / (n + self.units) as f64).sqrt());
        let mut net = Net::new(1.0).input("in", INPUTS).population("hidden", self.units, cell);
        for port in ["z", "r", "g"] {
            net = net.project("in", "hidden", Connect::All, init(INPUTS)).port(port);
        }
        for port in ["z", "r", "h"] {
            net = net.project("hidden", "hidden", Connect::All, init(self.units)).port(port).delay(1.0);
        }
        let net =
            net.population("out", OUTPUTS, Li { tau: 5.0.into() }).project("hidden", "out", Connect::All, init(OUTPUTS)).output("out");
        net.build(Seed::new(1)).unwrap_or_else(|e| panic!("the bench's own network: {e}"))
    }

    /// The event-based network with this share of events, by bisection over the mean bias of the candidate.
    fn with_activity(&self, data: &Trials, wanted: f64) -> Network {
        let mut rng = Seed::new(1).child("biases").rng();
        let spread: Vec<f64> = (0..self.units).map(|_| rng.random_range(-1.5..1.5)).collect();
        let biases = |mean: f64| spread.iter().map(|x| mean + x).collect::<Vec<f64>>();
        let net = |mean: f64| self.network(Egru { bias_g: biases(mean).into(), ..Egru::default() }.into());
        let (mut low, mut high) = (-6.0, 6.0);
        for _ in 0..12 {
            let bias = 0.5 * (low + high);
            let found = gradient_trainer(&net(bias), SparseBptt { surrogate: WINDOW }).gradient(data, &[0, 1]).spike_fraction(0);
            if found > wanted { high = bias } else { low = bias }
        }
        net(high)
    }

    /// Wall seconds of the products of the dense network alone, by the library, over all trials of a step at once.
    fn products(&self, threads: usize) -> f64 {
        let (m, h, n) = (self.batch.div_ceil(threads), self.units, 3 * self.units);
        let (y, w, p) = (vec![0.5f32; m * h], vec![0.01f32; h * n], vec![0.5f32; self.steps * m * n]);
        let (mut x, mut dy, mut dw, all) =
            (vec![0.0f32; m * n], vec![0.0f32; m * h], vec![0.0f32; h * n], vec![0.5f32; self.steps * m * h]);
        let start = Instant::now();
        for _ in 0..self.steps {
            add_product(matrix_mut(&mut x, m, n, n), matrix(&y, m, h, h), matrix(&w, h, n, n));
            add_product(matrix_mut(&mut dy, m, h, h), matrix(&p[..m * n], m, n, n), matrix(&w, h, n, n).transpose());
        }
        let rows = self.steps * m;
        add_product(matrix_mut(&mut dw, h, n, n), matrix(&all, rows, h, h).transpose(), matrix(&p, rows, n, n));
        start.elapsed().as_secs_f64()
    }
}

/// One engine at one activity, once.
fn measure(engine: &'static str, size: Size, trainer: &mut Trainer, data: &Trials, threads: usize) -> Row {
    let batch: Vec<usize> = (0..size.batch).collect();
    let (wall, stats) = best_gradient(trainer, data, &batch, threads, 0);
    // The wall time, split as the passes' summed clocks are.
    let of = |s: f64| wall * s / (stats.forward_s + stats.backward_s);
    Row {
        engine,
        units: size.units,
        steps: size.steps,
        batch: size.batch,
        threads,
        activity: stats.spike_fraction(0),
        active: stats.active_fraction(0),
        forward_s: of(stats.forward_s),
        backward_s: of(stats.backward_s),
        macs: stats.macs_forward + stats.macs_backward,
    }
}

/// The question, and how to answer it.
pub const BENCH: Bench = Bench {
    name: "egru",
    question: "Does a step of an event-based recurrent network get cheaper with its activity, forward and backward, and against a dense one?",
    run: egru,
};

/// Runs the bench. `quick` takes a small network and few points.
fn egru(quick: bool, log: Log<'_>) -> Report {
    let size = if quick { Size { units: 128, steps: 17, batch: 8 } } else { Size { units: 1024, steps: 68, batch: 64 } };
    let (repeats, threads) = if quick { (1, 1) } else { (7, 1) };
    let data = size.data();
    let mut runs = vec![("dense", gradient_trainer(&size.network(Gru::default().into()), Bptt::new(WINDOW).events_in()))];
    for wanted in if quick { &[0.05, 1.0][..] } else { &[0.02, 0.05, 0.1, 0.2, 1.0] } {
        runs.push(("events", gradient_trainer(&size.with_activity(&data, *wanted), SparseBptt { surrogate: WINDOW })));
    }
    // They take turns: what else goes on in the machine meets all of them.
    let mut turn = || -> Vec<Row> { runs.iter_mut().map(|(engine, trainer)| measure(engine, size, trainer, &data, threads)).collect() };
    let (mut rows, mut library) = (turn(), size.products(threads));
    for _ in 0..repeats {
        for (best, row) in rows.iter_mut().zip(turn()) {
            if row.total() < best.total() {
                *best = row;
            }
        }
        library = library.min(size.products(threads));
    }
    for row in &rows {
        log(&format!(
            "{:6} activity {:5.1} % active {:5.1} %  forward {:8.1} ms backward {:8.1} ms  {:6.2} GMAC",
            row.engine,
            100.0 * row.activity,
            100.0 * row.active,
            1e3 * row.forward_s,
            1e3 * row.backward_s,
            1e-9 * row.macs as f64
        ));
    }
    let mut summary = Vec::new();
    let mut figure = |what: &str, value: f64, wanted: &str| summary.push(Figure { what: what.into(), value, wanted: wanted.into() });
    let (dense, events) = (&rows[0], &rows[1..]);
    for row in events {
        let wanted = if (row.activity - 0.05).abs() < 0.02 { "≥ 3" } else { "" };
        figure(
            &format!("dense / events at {:.0} % activity, forward + backward", 100.0 * row.activity),
            dense.total() / row.total(),
            wanted,
        );
    }
    let rises = events.windows(2).filter(|pair| pair[0].total() < pair[1].total()).count();
    figure("steps of activity at which the time rises", rises as f64, &format!("{}", events.len() - 1));
    figure("dense gradient / the library's products of the same size alone", dense.total() / library, "≤ 1.3");
    let notes = vec![
        "events: products of rows of events forward and of weights backward, errors of units in an event or in the window; dense: all products, by faer".into(),
        "active: share of neuron-steps that hear errors: in an event, or within 1/3.6 of the threshold".into(),
    ];
    Report { bench: "egru", rows: rows.iter().map(fields).collect(), summary, notes }
}
