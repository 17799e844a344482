//! `snn machines`: what machines there are, and how small networks fare on them.

use std::path::PathBuf;

use anyhow::Result;
use snn_core::Seed;
use snn_io::atomic;
use snn_repro::table::columns;
use snn_repro::{machines, say};

use crate::threads::Threads;
use crate::{Outcome, show};

pub const EXAMPLES: &str = "Examples:
  snn machines                             the machines, a line each
  snn machines --run                       three small networks on each of them: accuracy, time, energy, or why not
  snn machines --run --json                the same for programs";

#[derive(clap::Args)]
pub struct Args {
    /// Train three small networks and run them on every machine (a minute).
    #[arg(long)]
    run: bool,
    /// Devices of each machine.
    #[arg(long, value_name = "N", default_value_t = 3, requires = "run", value_parser = clap::value_parser!(u32).range(1..=1000))]
    devices: u32,
    /// Test images on each device.
    #[arg(long, value_name = "N", default_value_t = 200, requires = "run", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    images: u32,
    /// Seed of networks, pictures and devices.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    threads: Threads,
    /// Write the table to this file, as Markdown.
    #[arg(long, value_name = "FILE.md", requires = "run")]
    out: Option<PathBuf>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<Outcome> {
    if !args.run {
        let machines = snn_hw::all();
        let rows: Vec<Vec<String>> = machines.iter().map(|m| vec![m.name().into(), m.about().into()]).collect();
        let list: Vec<_> = machines.iter().map(|m| serde_json::json!({ "name": m.name(), "about": m.about() })).collect();
        show(args.json, &list, || columns(&rows, 2))?;
        return Ok(Outcome::Good);
    }
    args.threads.start()?;
    let table = machines::table(Seed::new(args.seed), args.images as usize, args.devices as usize, &|what| say(format_args!("{what}")))?;
    let text = machines::markdown(&table);
    if let Some(path) = &args.out {
        atomic::write(path, text.as_bytes())?;
        say(format_args!("table in {}", path.display()));
    }
    show(args.json, &table, || text)?;
    Ok(Outcome::Good)
}
