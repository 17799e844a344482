//! `snn bench`: measurements of time, memory and work.

use std::fmt::Write;

use anyhow::{Result, bail};
use serde_json::Value;
use snn_benches::{ALL, Report};
use snn_repro::table::columns;

use crate::{Outcome, hint, show};

pub const EXAMPLES: &str = "Examples:
  snn bench train-step                     forward and backward, dense and sparse, at the papers' shapes
  snn bench brunel                         a balanced random network, up to a million neurons
  snn bench train-step --quick             a fraction of the work, to see that it runs
  snn bench train-step --json              one JSON object for programs
  cargo xtask bench train-step --record    the same, filed with date and machine under benches/records/

An unknown name lists the benchmarks.";

#[derive(clap::Args)]
pub struct Args {
    /// The benchmark to run.
    #[arg(value_name = "NAME")]
    name: String,
    /// Do a fraction of the work: the figures mean little.
    #[arg(long)]
    quick: bool,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<Outcome> {
    let Some(bench) = ALL.iter().find(|bench| bench.name == args.name) else {
        let known = ALL.iter().map(|bench| format!("\n  {}: {}", bench.name, bench.question));
        let hint = hint(&args.name, ALL.iter().map(|bench| bench.name));
        bail!("there is no benchmark \"{}\".{hint} The benchmarks are:{}", args.name, known.collect::<String>());
    };
    let report = (bench.run)(args.quick, &mut |line| snn_repro::say(line));
    show(args.json, &report, || table(&report))?;
    Ok(Outcome::Good)
}

/// The measurements, the figures taken from them, the notes.
fn table(report: &Report) -> String {
    let head: Vec<String> = report.rows.first().map_or(Vec::new(), |row| row.keys().cloned().collect());
    let cell = |value: &Value| match (value.as_str(), value.as_f64()) {
        (Some(text), _) => text.to_owned(),
        (None, Some(x)) if value.is_f64() => format!("{x:.4}"),
        _ => value.to_string(),
    };
    let rows = report.rows.iter().map(|row| head.iter().map(|name| cell(&row[name])).collect());
    let rows: Vec<Vec<String>> = std::iter::once(head.clone()).chain(rows).collect();
    let mut text = columns(&rows, 0);
    text.push('\n');
    for figure in &report.summary {
        let wanted = if figure.wanted.is_empty() { String::new() } else { format!("  (wanted: {})", figure.wanted) };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:>12.3}  {}{wanted}", figure.value, figure.what);
    }
    for note in &report.notes {
        let _ = writeln!(text, "\n{note}");
    }
    text
}
