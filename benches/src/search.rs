//! How many candidates a second does a search evaluate, and what is a second core worth?
//!
//! A candidate is a random liquid of given gains; its fitness is the error of readouts fitted for eight filters. Candidates of a generation go to the threads of a pool, and each
//! uses one. All arms run the same generations of cross-entropy from the same seed: what they find must be the same to the bit, or the bench says so.
//!
//! Ranks of MPI are processes of one thread each: `mpirun` starts this very program as `snn search`, which must be built with the feature `mpi`; their seconds include the start.

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
use std::process::Command;
use std::time::Instant;

/// The question, and how to answer it.
pub const BENCH: Bench =
    Bench { name: "search", question: "How many candidates a second does a search evaluate, and what is a second core worth?", run };

/// One number of threads or ranks.
#[derive(Serialize)]
struct Row {
    ranks: usize,
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
    Ok(Row { ranks: 0, threads, candidates, seconds, candidates_s: candidates as f64 / seconds, found: search.stands() })
}

/// Searches random liquids by name on that many ranks.
fn on_ranks(ranks: usize, evaluations: u64) -> Result<Row, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let start = Instant::now();
    let output = Command::new("mpirun")
        .args(["-n", &ranks.to_string()])
        .arg(program)
        .args(["search", "liquid", "--threads", "1", "--json", "--evaluations", &evaluations.to_string()])
        // More ranks than cores are a question of this bench, not an oversight.
        .env("OMPI_MCA_rmaps_base_oversubscribe", "1")
        .output()
        .map_err(|error| format!("mpirun: {error}"))?;
    let seconds = start.elapsed().as_secs_f64();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(said.lines().find(|line| !line.trim().is_empty() && !line.starts_with('-')).unwrap_or("mpirun failed").to_string());
    }
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("what the search printed: {error}"))?;
    let candidates = found["evaluations"].as_u64().unwrap_or(0) as usize;
    let stands = found["stands"].as_array().into_iter().flatten().filter_map(|pair| pair[1].as_f64()).collect();
    Ok(Row { ranks, threads: 1, candidates, seconds, candidates_s: candidates as f64 / seconds, found: stands })
}

/// Adds the rows of one question: how much faster than the first, and whether all found the same.
fn compare(rows: &[Row], name: impl Fn(&Row) -> usize, of: &str, report: &mut Report, log: Log<'_>) {
    for row in rows {
        let n = name(row);
        log(&format!("{n} {of}: {:.1} candidates/s", row.candidates_s));
        if n > 1 {
            let (what, value) = (format!("candidates a second on {n} {of} over those on one"), row.candidates_s / rows[0].candidates_s);
            report.summary.push(Figure { what, value, wanted: if n == 2 && of == "threads" { "≥ 1.8" } else { "" }.into() });
        }
        if row.found != rows[0].found {
            report.notes.push(format!("WRONG: {n} {of} found {:?}, one found {:?}", row.found, rows[0].found));
        }
        report.rows.push(fields(row));
    }
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
    compare(&rows, |row| row.threads, "threads", &mut report, log);
    match [1, 2, 4].map(|n| on_ranks(n, if quick { 1 } else { 120 })).into_iter().collect::<Result<Vec<Row>, _>>() {
        Ok(rows) => compare(&rows, |row| row.ranks, "ranks", &mut report, log),
        Err(why) => report.notes.push(format!("ranks of MPI not measured: {why}")),
    }
    report.notes.push(
        "found: where the search stands at the end, to be the same for all threads, and for all ranks (0: one process without MPI).".into(),
    );
    report
}
