//! How many candidates a second does a search evaluate, and what is a second core worth?
//!
//! A candidate is a random liquid of given gains; its fitness is the error of readouts fitted for eight filters. Candidates of a generation go to the threads of a pool, and each
//! uses one. All arms run the same generations of cross-entropy from the same seed: what they find must be the same to the bit, or the bench says so.

use crate::{Bench, Figure, Log, Report, fields, on_threads};
use rayon::prelude::*;
use serde::Serialize;
use snn_arch::ArchError;
use snn_arch::liquid::{Liquid, errors};
use snn_arch::search::{CrossEntropy, Search, Space};
use snn_core::Seed;
use snn_core::stats::mean;
use snn_data::{Drawn, VolterraParams};
use snn_sparse::Clocked;
use std::time::Instant;

/// The question, and how to answer it.
pub const BENCH: Bench =
    Bench { name: "search", question: "How many candidates a second does a search evaluate, and what is a second core worth?", run };

/// One number of threads.
#[derive(Serialize)]
struct Row {
    threads: usize,
    candidates: usize,
    seconds: f64,
    candidates_s: f64,
    found: Vec<f64>,
}

/// Minus the mean error of a liquid of these gains.
fn fitness(values: &[f64], tasks: &Drawn<VolterraParams>) -> Result<f64, ArchError> {
    let liquid = Liquid { size: 100, gain: values[0], gain_in: values[1], ..Liquid::default() };
    let engine = Clocked::compile(&liquid.network(tasks.task().cells, Seed::new(1))?);
    // A candidate's own tasks one after the other: the cores are for candidates.
    Ok(-mean(errors(&engine, tasks, 1e-5, usize::MAX)?))
}

fn measure(threads: usize, generations: u64, tasks: &Drawn<VolterraParams>) -> Result<Row, ArchError> {
    let space = Space::default().linear("gain", 0.0, 2.0).log("gain_in", 0.25, 8.0);
    let mut search = Search::new(space, CrossEntropy { population: 16, ..CrossEntropy::default() }, Seed::new(2))?;
    let pool = on_threads(threads);
    let start = Instant::now();
    while search.generation() < generations {
        let asked = search.ask();
        let found = pool.install(|| asked.par_iter().map(|values| fitness(values, tasks)).collect::<Result<Vec<f64>, _>>())?;
        search.tell(&found)?;
    }
    let (seconds, candidates) = (start.elapsed().as_secs_f64(), search.evaluations() as usize);
    Ok(Row { threads, candidates, seconds, candidates_s: candidates as f64 / seconds, found: search.stands() })
}

fn run(quick: bool, log: Log<'_>) -> Report {
    let mut report = Report { bench: "search", rows: Vec::new(), summary: Vec::new(), notes: Vec::new() };
    let seconds = if quick { 0.6 } else { 2.0 };
    let family = VolterraParams { train: seconds, test: 0.5 * seconds, ..VolterraParams::default() };
    let measured = family.trials(Seed::new(3), 0..8).map_err(ArchError::from).and_then(|tasks| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let counts = [1, 2, 4].into_iter().filter(|&n| n <= cores.max(1));
        // Warm: the first run of a process pays for pages and clock rates.
        measure(1, 1, &tasks)?;
        counts.map(|n| measure(n, if quick { 1 } else { 4 }, &tasks)).collect::<Result<Vec<Row>, _>>()
    });
    let rows = match measured {
        Ok(rows) => rows,
        Err(error) => {
            report.notes.push(format!("not measured: {error}"));
            return report;
        }
    };
    for row in &rows {
        log(&format!("{} threads: {:.1} candidates/s", row.threads, row.candidates_s));
        if row.threads > 1 {
            let (what, value) =
                (format!("candidates a second on {} threads over those on one", row.threads), row.candidates_s / rows[0].candidates_s);
            report.summary.push(Figure { what, value, wanted: if row.threads == 2 { "≥ 1.8" } else { "" }.into() });
        }
        if row.found != rows[0].found {
            report.notes.push(format!("WRONG: {} threads found {:?}, one found {:?}", row.threads, row.found, rows[0].found));
        }
        report.rows.push(fields(row));
    }
    report.notes.push("found: where the search stands at the end, to be the same for all. Ranks of MPI are not measured.".into());
    report
}
