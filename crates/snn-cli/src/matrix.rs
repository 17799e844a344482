//! `snn matrix`: what goes with what.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use snn_core::Seed;
use snn_io::atomic;
use snn_repro::{Interrupt, matrix, say};

use crate::progress::Progress;
use crate::{Outcome, print, reproduce};

pub const EXAMPLES: &str = "Examples:
  snn matrix                               all pairs of rules, neurons, links, machines and structural rules (seconds)
  snn matrix --all --out docs/matrix.md    every combination of the five (minutes), as a page
  snn matrix --all --json                  the same for programs: outcome, losses or reason of each

Exit code 1 if a combination is broken: it was taken, and then the loss did not fall, an error came in mid-training, or it panicked.";

#[derive(clap::Args)]
pub struct Args {
    /// Try every combination of five, not only pairs beside the plain case.
    #[arg(long)]
    all: bool,
    /// Seed of networks, data and devices.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Threads to use [default: one per core]. The result does not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    threads: Option<u32>,
    /// Write the tables to this file, as Markdown.
    #[arg(long, value_name = "FILE.md")]
    out: Option<PathBuf>,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<Outcome> {
    let interrupt = Interrupt::default();
    reproduce::stop_on_signals(&interrupt, "no tables are written");
    reproduce::threads(args.threads)?;
    let most = if args.all { 5 } else { 2 };
    let count = matrix::Axes::all().combinations(most).len();
    let progress = Mutex::new(Progress::new("combinations", count, &interrupt));
    let matrix = matrix::matrix(most, Seed::new(args.seed), &|| progress.lock().unwrap_or_else(PoisonError::into_inner).inc(1))?;
    drop(progress);
    let text = matrix::markdown(&matrix);
    if let Some(path) = &args.out {
        atomic::write(path, text.as_bytes())?;
        say(format_args!("tables in {}", path.display()));
    }
    print(&if args.json { serde_json::to_string_pretty(&matrix)? + "\n" } else { text })?;
    Ok(if matrix.broken().next().is_none() { Outcome::Good } else { Outcome::Missed })
}
