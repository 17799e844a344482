//! Does the time of a training step fall with activity and with connectivity, and with both at once?
//!
//! One recurrent layer of 512 LIF neurons, 700 inputs, 20 readouts, 200 steps, one thread. Inputs and neurons are equally active, the
//! surrogate's window holds three entries for every spike, and the input layer is as sparse as the recurrent one; the readout is dense. A
//! connectivity of 100 % is the dense store. Every cell of the table is timed in turn, round after round, and the best round counts, so
//! that a busy machine spoils no ratio.

use crate::train_step::{SHD, Shape, gradient_trainer, hidden};
use crate::{Bench, Figure, Log, Report, on_threads, row};
use serde_json::json;
use snn_core::Dataset;
use snn_learn::{SparseBptt, Stats, Trainer};

const ACTIVITY: [f64; 4] = [0.01, 0.02, 0.05, 0.1];
const CONNECTIVITY: [f64; 4] = [0.01, 0.05, 0.2, 1.0];

/// One cell of the table.
struct Cell {
    activity: f64,
    connectivity: f64,
    trainer: Trainer,
    data: snn_core::Trials,
    best: Stats,
}

fn seconds(stats: &Stats) -> f64 {
    stats.forward_s + stats.backward_s
}

/// The question, and how to answer it.
pub const BENCH: Bench = Bench {
    name: "product",
    question: "Does the time of a training step fall with activity and with connectivity, and with both at once?",
    run: product,
};

/// Runs the bench. `quick` takes the corners of the table, a small batch and few rounds.
fn product(quick: bool, log: Log<'_>) -> Report {
    let corner = |x: f64, list: [f64; 4]| !quick || x == list[0] || x == list[3];
    let (batch, rounds) = if quick { (4, 1) } else { (32, 15) };
    let mut cells = Vec::new();
    for activity in ACTIVITY.into_iter().filter(|&a| corner(a, ACTIVITY)) {
        for connectivity in CONNECTIVITY.into_iter().filter(|&c| corner(c, CONNECTIVITY)) {
            let shape = Shape {
                series: "product",
                inputs: 700,
                hidden: [512, 0],
                steps: 200,
                density: activity,
                spikes: activity,
                active: 3.0 * activity,
                batch,
                connectivity,
                ..SHD
            };
            let data = shape.data();
            let (net, surrogate) = shape.calibrate(&data);
            cells.push(Cell {
                activity,
                connectivity,
                trainer: gradient_trainer(&net, SparseBptt { surrogate }),
                data,
                best: Stats::default(),
            });
        }
    }
    let pool = on_threads(1);
    for round in 0..rounds + 1 {
        for cell in &mut cells {
            let trials: Vec<usize> = (0..cell.data.len()).collect();
            let stats = pool.install(|| cell.trainer.gradient(&cell.data, &trials));
            // The first round warms memory up.
            if round == 1 || seconds(&stats) < seconds(&cell.best) {
                cell.best = stats;
            }
        }
    }
    let mut rows = Vec::new();
    for cell in &cells {
        let (spikes, active) = hidden(&cell.best, 1);
        let per_step = |s: f64| 1e9 * s / (cell.best.entries[0] as f64);
        log(&format!(
            "activity {:4.1} % connectivity {:5.1} %: forward {:8.3} ms backward {:8.3} ms, {:6.2} ns per neuron-step, spikes {:5.2} % active {:5.2} %",
            100.0 * cell.activity,
            100.0 * cell.connectivity,
            1e3 * cell.best.forward_s,
            1e3 * cell.best.backward_s,
            per_step(seconds(&cell.best)),
            100.0 * spikes,
            100.0 * active
        ));
        rows.push(row([
            ("activity", json!(cell.activity)),
            ("connectivity", json!(cell.connectivity)),
            ("batch", json!(batch)),
            ("forward_s", json!(cell.best.forward_s)),
            ("backward_s", json!(cell.best.backward_s)),
            ("ns_per_neuron_step", json!(per_step(seconds(&cell.best)))),
            ("spikes", json!(spikes)),
            ("active", json!(active)),
            ("macs", json!(cell.best.macs_forward + cell.best.macs_backward)),
        ]));
    }
    let time = |a: f64, c: f64| {
        let cell = cells.iter().find(|cell| (cell.activity, cell.connectivity) == (a, c));
        cell.map_or(f64::NAN, |cell| seconds(&cell.best))
    };
    let mut summary = Vec::new();
    if !quick {
        let what = "2 % active: time at 100 % connectivity / at 5 %".into();
        summary.push(Figure { what, value: time(0.02, 1.0) / time(0.02, 0.05), wanted: "≥ 8".into() });
    }
    let slowest = cells.iter().map(|cell| seconds(&cell.best) / time(cell.activity, 1.0)).fold(0.0, f64::max);
    let what = "slowest cell / the dense store at the same activity".into();
    summary.push(Figure { what, value: slowest, wanted: "≤ 1.1".into() });
    // The largest ratio of a cell to its neighbour of more activity, and of more connectivity: below 1 if time falls with both.
    let neighbour = |list: [f64; 4], x: f64| list.into_iter().find(|&y| y > x && corner(y, list));
    let ratio = |cell: &Cell, a: f64, c: f64| seconds(&cell.best) / time(a, c);
    let by_activity = cells.iter().filter_map(|cell| Some(ratio(cell, neighbour(ACTIVITY, cell.activity)?, cell.connectivity)));
    let by_connectivity = cells.iter().filter_map(|cell| Some(ratio(cell, cell.activity, neighbour(CONNECTIVITY, cell.connectivity)?)));
    let largest = |ratios: &mut dyn Iterator<Item = f64>| ratios.fold(0.0, f64::max);
    for (what, value) in [("activity", largest(&mut { by_activity })), ("connectivity", largest(&mut { by_connectivity }))] {
        let what = format!("time of a cell / of the next with more {what}, the largest");
        summary.push(Figure { what, value, wanted: "< 1".into() });
    }
    let notes = vec![
        "forward_s, backward_s: the two passes of a whole batch, one thread; the sum over chunks and the update are the same for all and left out".into(),
        "spikes, active: share of hidden neuron-steps, measured; macs: multiply-accumulates on weights, backward as if every source reached all of a block".into(),
    ];
    Report { bench: "product", rows, summary, notes }
}
