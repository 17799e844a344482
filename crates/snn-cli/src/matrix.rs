//! `snn matrix`: what goes with what.

use std::path::PathBuf;

use anyhow::Result;
use snn_core::Seed;
use snn_io::atomic;
use snn_repro::{Bars, LabError, matrix, say};

use crate::threads::Threads;
use crate::{Outcome, show, signals};

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
    #[command(flatten)]
    threads: Threads,
    /// Write the tables to this file, as Markdown.
    #[arg(long, value_name = "FILE.md")]
    out: Option<PathBuf>,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<Outcome> {
    let interrupt = signals::interrupt("no tables are written");
    args.threads.start()?;
    let most = if args.all { 5 } else { 2 };
    let progress = Bars::new().progress("combinations", matrix::Axes::all().combinations(most).len() as u64);
    let matrix = matrix::matrix(most, Seed::new(args.seed), &|| {
        progress.inc(1);
        if interrupt.requested() { Err(LabError::Interrupted.into()) } else { Ok(()) }
    })?;
    drop(progress);
    let text = matrix::markdown(&matrix);
    if let Some(path) = &args.out {
        atomic::write(path, text.as_bytes())?;
        say(format_args!("tables in {}", path.display()));
    }
    show(args.json, &matrix, || text)?;
    Ok(if matrix.broken().next().is_none() { Outcome::Good } else { Outcome::Missed })
}
