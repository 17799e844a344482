//! What does one training step cost, sparse and dense, and with what does it grow?
//!
//! Shapes, trial lengths, input density and activity are those of the SSGD paper. Weights are scaled so that the hidden
//! layers spike at the wanted rate, the surrogate's window so that the wanted share of entries is active. Both rules get the same
//! network, surrogate and batch; the gradient of a whole batch is timed, the best of several repeats counts.

use crate::{Bench, Figure, Log, Report, fields, on_threads};
use rand::RngExt;
use serde::Serialize;
use snn_core::net::{Connect, Init};
use snn_core::neuron::{Li, Lif};
use snn_core::stats::variance;
use snn_core::{Dataset, Net, Network, Raster, Seed, Surrogate, Trials, ms};
use snn_learn::gemm::{add_product, matrix, matrix_mut};
use snn_learn::{Bptt, Loss, Optimiser, Options, Over, Regulariser, Rule, SparseBptt, Stats, Trainer};
use std::time::Instant;

/// One measurement.
#[derive(Clone, Debug, Serialize)]
struct Row {
    /// Which series of the bench.
    series: &'static str,
    /// Layer sizes; `r` marks a recurrent one.
    shape: String,
    /// Time steps.
    #[serde(rename = "T")]
    steps: usize,
    /// Trials.
    batch: usize,
    /// Threads.
    threads: usize,
    /// `sparse` or `dense`.
    engine: &'static str,
    /// Wall seconds forward.
    forward_s: f64,
    /// Wall seconds backward.
    backward_s: f64,
    /// Training state: what is held between the forward and the backward pass, all threads together, without weights and gradients.
    peak_bytes: usize,
    /// Multiply-accumulates on weights, forward and backward.
    macs: u64,
    /// Share of hidden neuron-steps that spike.
    spikes: f64,
    /// Share of hidden neuron-steps with a derivative.
    active: f64,
    /// Input and hidden events.
    events: u64,
    /// Active entries.
    active_entries: u64,
}

/// A network shape with its activity.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) series: &'static str,
    pub(crate) inputs: usize,
    pub(crate) hidden: [usize; 2], // a second of 0: one recurrent layer
    pub(crate) outputs: usize,
    pub(crate) steps: usize,
    pub(crate) density: f64,
    pub(crate) spikes: f64,
    pub(crate) active: f64,
    pub(crate) batch: usize,
    /// Share of possible links into the hidden layers that exist; 1 is the dense store.
    pub(crate) connectivity: f64,
}

const FMNIST: Shape = Shape {
    series: "paper",
    inputs: 784,
    hidden: [200, 200],
    outputs: 10,
    steps: 100,
    density: 0.0043,
    spikes: 0.005,
    active: 0.01,
    batch: 256,
    connectivity: 1.0,
};
const NMNIST: Shape = Shape { inputs: 1156, steps: 300, density: 0.011, spikes: 0.005, active: 0.01, ..FMNIST };
pub(crate) const SHD: Shape = Shape { inputs: 700, outputs: 20, steps: 500, density: 0.015, spikes: 0.012, active: 0.03, ..FMNIST };
const RECURRENT: Shape = Shape { series: "recurrent", hidden: [256, 0], steps: 100, ..SHD };

impl Shape {
    fn name(&self) -> String {
        match self.hidden {
            [h, 0] => format!("{}-{h}r-{}", self.inputs, self.outputs),
            [a, b] => format!("{}-{a}-{b}-{}", self.inputs, self.outputs),
        }
    }

    pub(crate) fn data(&self) -> Trials {
        let mut trials = Trials::new("poisson", self.inputs, self.steps, self.outputs);
        for k in 0..self.batch {
            let mut rng = Seed::new(1).child("poisson").nth(k as u64).rng();
            let mut raster = Raster::new(self.inputs, self.steps);
            raster.write(|_, list| list.extend((0..self.inputs as u32).filter(|_| rng.random_bool(self.density))));
            trials.push(raster, k % self.outputs);
        }
        trials
    }

    /// The network whose layers' weights are scaled by `scale`.
    fn network(&self, scale: [f64; 2]) -> Network {
        let connect = if self.connectivity < 1.0 { Connect::Random { p: self.connectivity } } else { Connect::All };
        let sparse = |n: usize, scale: f64| Init::normal(scale / (n as f64 * self.connectivity).sqrt());
        let init = |n: usize, scale: f64| Init::normal(scale / (n as f64).sqrt());
        let lif = || Lif { tau: ms(10.0).into(), ..Lif::default() };
        let net = Net::new(ms(1.0)).input("in", self.inputs).population("h1", self.hidden[0], lif());
        let net = net.project("in", "h1", connect, sparse(self.inputs, scale[0]));
        let (net, last, width) = match self.hidden {
            [h, 0] => (net.project("h1", "h1", connect, sparse(h, scale[1])).delay(ms(1.0)), "h1", h),
            [a, b] => (net.population("h2", b, lif()).project("h1", "h2", connect, sparse(a, scale[1])).delay(ms(1.0)), "h2", b),
        };
        let net = net.population("out", self.outputs, Li { tau: ms(20.0).into() });
        let net = net.project(last, "out", Connect::All, init(width, 1.0)).delay(ms(1.0)).output("out");
        net.build(Seed::new(1)).unwrap_or_else(|e| panic!("the bench's own network: {e}"))
    }

    /// Scales weights for the wanted spiking and the window for the wanted active share, on a few trials.
    pub(crate) fn calibrate(&self, data: &Trials) -> (Network, Surrogate) {
        let few: Vec<usize> = (0..4.min(self.batch)).collect();
        let layers = if self.hidden[1] == 0 { 1 } else { 2 };
        let probe = |scale: [f64; 2], window: f64| gradient(&self.network(scale), sparse(window), data, &few).1;
        let mut scale = [1.0, if layers == 1 { 1.0 } else { 8.0 }];
        for layer in 0..layers {
            let (mut low, mut high) = (0.05f64, 400.0f64);
            for _ in 0..18 {
                scale[layer] = (low * high).sqrt();
                let too_many = probe(scale, 0.1).spike_fraction(layer) > self.spikes;
                if too_many { high = scale[layer] } else { low = scale[layer] }
            }
        }
        let (mut low, mut high) = (1e-4f64, 50.0f64);
        for _ in 0..20 {
            let window = (low * high).sqrt();
            if hidden(&probe(scale, window), layers).1 > self.active { high = window } else { low = window }
        }
        (self.network(scale), Surrogate::fast_sigmoid(100.0).window((low * high).sqrt()))
    }
}

fn sparse(window: f64) -> SparseBptt {
    SparseBptt { surrogate: Surrogate::fast_sigmoid(100.0).window(window) }
}

/// Spiking and active share of the hidden layers.
pub(crate) fn hidden(stats: &Stats, layers: usize) -> (f64, f64) {
    let share = |n: &[u64]| n[..layers].iter().sum::<u64>() as f64 / stats.entries[..layers].iter().sum::<u64>().max(1) as f64;
    (share(&stats.spikes), share(&stats.active))
}

/// A trainer for timing gradients: no regulariser, no updates.
pub(crate) fn gradient_trainer(net: &Network, rule: impl Rule<f32> + 'static) -> Trainer {
    let options = Options { regulariser: Regulariser::NONE, ..Options::new(Loss::CrossEntropy(Over::Sum), Seed::new(1)) };
    Trainer::new(net, rule, Optimiser::sgd(0.0), options).unwrap_or_else(|e| panic!("the bench's own trainer: {e}"))
}

/// The gradient of `batch`: wall seconds, counts, bytes of state.
fn gradient(net: &Network, rule: impl Rule<f32> + 'static, data: &Trials, batch: &[usize]) -> (f64, Stats, usize) {
    let mut trainer = gradient_trainer(net, rule);
    let start = Instant::now();
    let stats = trainer.gradient(data, batch);
    (start.elapsed().as_secs_f64(), stats, trainer.state_bytes())
}

/// Times the gradient of a batch: a first run warms memory up, the best of `repeats` counts.
pub(crate) fn best_gradient(trainer: &mut Trainer, data: &Trials, batch: &[usize], threads: usize, repeats: usize) -> (f64, Stats) {
    let pool = on_threads(threads);
    let mut best = (f64::INFINITY, Stats::default());
    for _ in 0..repeats + 1 {
        let (wall, stats) = pool.install(|| {
            let start = Instant::now();
            let stats = trainer.gradient(data, batch);
            (start.elapsed().as_secs_f64(), stats)
        });
        if wall < best.0 {
            best = (wall, stats);
        }
    }
    best
}

/// One engine at one shape.
fn measure(shape: &Shape, data: &Trials, net: &Network, surrogate: Surrogate, engine: &'static str, threads: usize, repeats: usize) -> Row {
    let mut trainer = match engine {
        "dense" => gradient_trainer(net, Bptt::new(surrogate)),
        _ => gradient_trainer(net, SparseBptt { surrogate }),
    };
    let batch: Vec<usize> = (0..data.len()).collect();
    let (wall, stats) = best_gradient(&mut trainer, data, &batch, threads, repeats);
    // One thread: the clocks of the two passes. Several: the wall time, split as the passes' summed clocks are.
    let passes = stats.forward_s + stats.backward_s;
    let of = |s: f64| if threads == 1 { s } else { wall * s / passes };
    let layers = if shape.hidden[1] == 0 { 1 } else { 2 };
    let (spikes, active) = hidden(&stats, layers);
    let mut raster = Raster::default();
    let inputs: usize = batch
        .iter()
        .map(|&k| {
            data.load(k, &mut raster);
            raster.len()
        })
        .sum();
    Row {
        series: shape.series,
        shape: shape.name(),
        steps: shape.steps,
        batch: data.len(),
        threads,
        engine,
        forward_s: of(stats.forward_s),
        backward_s: of(stats.backward_s),
        peak_bytes: trainer.state_bytes(),
        macs: stats.macs_forward + stats.macs_backward,
        spikes,
        active,
        events: inputs as u64 + stats.spikes.iter().sum::<u64>(),
        active_entries: stats.active.iter().sum(),
    }
}

/// `faer`'s rate on this shape's first product, GFLOP/s, one thread.
fn faer_rate(shape: &Shape) -> f64 {
    let (m, k, n) = (32 * shape.steps, shape.inputs, shape.hidden[0].next_multiple_of(64));
    let (a, b, mut c) = (vec![0.5f32; m * k], vec![0.5f32; k * n], vec![0.0f32; m * n]);
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        add_product(matrix_mut(&mut c, m, n, n), matrix(&a, m, k, k), matrix(&b, k, n, n));
        best = best.min(start.elapsed().as_secs_f64());
    }
    2.0 * (m * k * n) as f64 / best * 1e-9
}

/// The question, and how to answer it.
pub const BENCH: Bench = Bench {
    name: "train-step",
    question: "What does one training step cost, sparse and dense, and with what does it grow?",
    run: train_step,
};

/// Runs the bench. `quick` takes small batches and few points.
fn train_step(quick: bool, log: Log<'_>) -> Report {
    let mut rows: Vec<Row> = Vec::new();
    let mut summary = Vec::new();
    let repeats = if quick { 1 } else { 4 };
    let size = |shape: Shape| if quick { Shape { batch: 16, ..shape } } else { shape };
    let mut run = |shape: Shape, engines: &[&'static str], threads: &[usize], log: Log<'_>| {
        let data = shape.data();
        let (net, surrogate) = shape.calibrate(&data);
        let first = rows.len();
        for &threads in threads {
            for engine in engines {
                let row = measure(&shape, &data, &net, surrogate, engine, threads, repeats);
                log(&format!(
                    "{:9} {:16} T {:3} batch {:3} threads {threads} {engine:6} forward {:8.2} ms backward {:8.2} ms  {:10} bytes  spikes {:5.2} % active {:5.2} %",
                    row.series,
                    row.shape,
                    row.steps,
                    row.batch,
                    1e3 * row.forward_s,
                    1e3 * row.backward_s,
                    row.peak_bytes,
                    100.0 * row.spikes,
                    100.0 * row.active
                ));
                rows.push(row);
            }
        }
        first
    };

    let both = ["sparse", "dense"];
    let shapes = [size(FMNIST), size(NMNIST), size(SHD), size(RECURRENT)];
    let firsts = shapes.map(|shape| run(shape, &both, &[1, 2], log));
    if !quick {
        for h in [400, 800, 1600] {
            run(Shape { series: "hidden", hidden: [h, h], batch: 64, ..SHD }, &both, &[1], log);
        }
    }
    // One shape, more and more activity: 0.1 … 20 % of entries active, spikes at a third of that.
    let levels: &[f64] = if quick { &[0.01, 0.1] } else { &[0.001, 0.003, 0.01, 0.03, 0.06, 0.1, 0.2] };
    let mut sweep = Vec::new();
    for &active in levels {
        let shape = Shape { series: "activity", active, spikes: active / 3.0, batch: 64, ..SHD };
        sweep.push(run(size(shape), &["sparse"], &[1], log));
    }
    // The batch does not enter the state.
    let small = run(Shape { series: "batch", batch: if quick { 8 } else { 32 }, ..SHD }, &["sparse"], &[1], log);

    for (shape, &first) in shapes.iter().zip(&firsts) {
        let (sparse, dense) = (&rows[first], &rows[first + 1]);
        let total = |r: &Row| r.forward_s + r.backward_s;
        let rate = faer_rate(shape);
        let name = format!("{} T {}, one thread", sparse.shape, sparse.steps);
        let mut figure =
            |what: &str, value: f64, wanted: &str| summary.push(Figure { what: format!("{name}: {what}"), value, wanted: wanted.into() });
        let wanted = if shape.hidden == SHD.hidden && shape.inputs == SHD.inputs { "≥ 6, goal 12" } else { "" };
        figure("dense / sparse, forward + backward", total(dense) / total(sparse), wanted);
        figure("dense / sparse, forward", dense.forward_s / sparse.forward_s, "");
        figure(
            "dense / sparse, backward (the paper prints 43x–150x against a baseline quadratic in T [data])",
            dense.backward_s / sparse.backward_s,
            "",
        );
        figure(
            "dense pass / rate of faer on its largest product (whole pass: products, scans, loss)",
            2e-9 * dense.macs as f64 / total(dense) / rate,
            "≥ 0.5",
        );
        figure("faer, GFLOP/s", rate, "");
        figure(
            "training state saved, 1 − sparse/dense (the paper's \"85 %\" is dense/sparse − 1 [data]; its saving is 45 %)",
            1.0 - sparse.peak_bytes as f64 / dense.peak_bytes as f64,
            "≥ 0.85",
        );
        figure("multiply-accumulates, dense / sparse", dense.macs as f64 / sparse.macs as f64, "");
        figure("one thread / two threads, sparse", total(sparse) / total(&rows[first + 2]), "");
    }
    summary.push(Figure {
        what: "700-200-200-20 T 500: sparse training state at the full batch / at an eighth of it".into(),
        value: rows[firsts[2]].peak_bytes as f64 / rows[small].peak_bytes as f64,
        wanted: "about 1: independent of the batch".into(),
    });
    let points: Vec<&Row> = sweep.iter().map(|&k| &rows[k]).collect();
    let counts: Vec<[f64; 3]> = points.iter().map(|r| [1.0, r.events as f64, r.active_entries as f64]).collect();
    type Seconds = fn(&Row) -> f64;
    let passes: [(&str, Seconds, &str); 3] = [
        ("forward + backward", |r| r.forward_s + r.backward_s, "≥ 0.99"),
        ("forward (it hardly grows)", |r| r.forward_s, ""),
        ("backward", |r| r.backward_s, ""),
    ];
    for (pass, seconds, wanted) in passes {
        let seconds: Vec<f64> = points.iter().map(|r| seconds(r)).collect();
        let what = format!("activity sweep, 0.1 … 20 % active: R² of the seconds, {pass}, on 1, events, active entries");
        summary.push(Figure { what, value: r_squared(&counts, &seconds), wanted: wanted.into() });
    }
    let notes = vec![
        "dense: linear in T, matrix products by faer over all trials and steps of a chunk (32 trials of 256), nothing skipped".into(),
        "peak_bytes: input, activity and errors held by all workers at once; weights and gradients are the same for both and left out".into(),
        "macs: multiply-accumulates on weights, counted; spikes and active: share of hidden neuron-steps".into(),
        "the paper counts the backward pass of the second layer only, against a dense baseline that is quadratic in T [data]; here both passes of all layers are timed".into(),
    ];
    Report { bench: "train-step", rows: rows.iter().map(fields).collect(), summary, notes }
}

/// Share of the variance of `y` explained by a least-squares fit on the columns of `x`.
fn r_squared(x: &[[f64; 3]], y: &[f64]) -> f64 {
    // Normal equations with scaled columns, by Gaussian elimination; three unknowns.
    let scale: [f64; 3] = std::array::from_fn(|k| x.iter().map(|r| r[k].abs()).fold(1e-300, f64::max));
    let mut a = [[0.0f64; 4]; 3];
    for (r, &y) in x.iter().zip(y) {
        for i in 0..3 {
            for j in 0..3 {
                a[i][j] += r[i] / scale[i] * r[j] / scale[j];
            }
            a[i][3] += r[i] / scale[i] * y;
        }
    }
    for i in 0..3 {
        a[i][i] += 1e-12;
        for j in 0..3 {
            if i != j {
                let f = a[j][i] / a[i][i];
                (0..4).for_each(|k| a[j][k] -= f * a[i][k]);
            }
        }
    }
    let beta: [f64; 3] = std::array::from_fn(|i| a[i][3] / a[i][i] / scale[i]);
    let rest: f64 = x.iter().zip(y).map(|(r, y)| (y - (0..3).map(|k| beta[k] * r[k]).sum::<f64>()).powi(2)).sum();
    1.0 - rest / (variance(y) * y.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_explained_and_noise_is_not() {
        let x: Vec<[f64; 3]> = (0..8).map(|k| [1.0, f64::from(k), f64::from(k * k % 5)]).collect();
        let line: Vec<f64> = x.iter().map(|r| 2.0 + 0.5 * r[1] + 3.0 * r[2]).collect();
        assert!(r_squared(&x, &line) > 1.0 - 1e-9);
        let noise: Vec<f64> = (0..8).map(|k| f64::from(k * 7919 % 13)).collect();
        assert!(r_squared(&x, &noise) < 0.9);
    }

    #[test]
    fn calibration_meets_its_targets() {
        let shape = Shape { batch: 4, steps: 60, ..FMNIST };
        let data = shape.data();
        let (net, surrogate) = shape.calibrate(&data);
        let (_, stats, _) = gradient(&net, SparseBptt { surrogate }, &data, &[0, 1, 2, 3]);
        let (spikes, active) = hidden(&stats, 2);
        assert!((spikes / shape.spikes - 1.0).abs() < 0.3 && (active / shape.active - 1.0).abs() < 0.3, "{spikes} {active}");
    }
}
