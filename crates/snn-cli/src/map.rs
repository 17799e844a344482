//! `snn map`: what would become of a network on a machine.

use std::path::PathBuf;

use anyhow::{Context, Result};
use snn_core::Seed;
use snn_hw::{Kind, Machine, Report};
use snn_repro::recipe::read_network;
use snn_repro::table::columns;

use crate::{Outcome, show};

pub const EXAMPLES: &str = "Examples:
  snn map net.json                         every machine: does it fit, what is lost
  snn map net.json --on brainscales        one machine, every finding by name
  snn map net.json --on dls --json         one JSON object for programs

FILE is a network description, a converted network from `snn convert --out`, or a NIR graph (.nir). Nothing is run. Exit code 1 if the network is refused.";

#[derive(clap::Args)]
pub struct Args {
    /// The network.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The machine; `snn machines` lists them [default: each of them].
    #[arg(long, value_name = "MACHINE", value_parser = machine)]
    on: Option<&'static str>,
    /// Which device of its kind: what it does to a network depends on it.
    #[arg(long, value_name = "N", default_value_t = 0)]
    device_seed: u64,
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
}

/// The name of a machine.
pub fn machine(name: &str) -> Result<&'static str, String> {
    let names: Vec<&str> = snn_hw::all().iter().map(|machine| machine.name()).collect();
    names.iter().find(|known| **known == name).copied().ok_or_else(|| format!("there are: {}", names.join(", ")))
}

/// The machine of a name that [`machine`] has checked.
pub fn named(name: &str) -> Result<Box<dyn Machine>> {
    snn_hw::by_name(name).with_context(|| format!("no machine is called {name}"))
}

pub fn run(args: &Args) -> Result<Outcome> {
    let network = read_network(&args.file)?;
    let machines = match args.on {
        Some(name) => vec![named(name)?],
        None => snn_hw::all(),
    };
    let reports: Vec<Report> = machines.iter().map(|machine| machine.map(&network, Seed::new(args.device_seed))).collect();
    let refused = reports.iter().any(|report| report.accepted().is_err());
    let all = || reports.iter().map(text).collect::<Vec<_>>().join("\n");
    match args.on {
        Some(_) => show(args.json, &reports[0], all)?,
        None => show(args.json, &reports, all)?,
    }
    Ok(if refused && args.on.is_some() { Outcome::Missed } else { Outcome::Good })
}

/// A report for people.
pub fn text(report: &Report) -> String {
    let verdict = if report.accepted().is_err() { "refused" } else { "runs" };
    let mut out = format!("{}: {verdict} ({} neurons, {} links)\n", report.machine, report.neurons, report.links);
    let rows: Vec<Vec<String>> =
        report.findings.iter().map(|f| vec![format!("  {}", kind(f.kind)), f.place.to_string(), f.what.clone()]).collect();
    out += &rows.iter().map(|row| format!("{:<12}{}: {}\n", row[0], row[1], row[2])).collect::<String>();
    let number = |x: f64| if x.fract() == 0.0 { format!("{x:.0}") } else { format!("{x:.3}") };
    let resources = report.resources.iter().map(|r| {
        let limit = r.limit.map_or("no limit".into(), number);
        vec![format!("  {}", r.name), number(r.used), format!("of {limit} {}", r.unit).trim_end().to_owned()]
    });
    out += &columns(&resources.collect::<Vec<_>>(), 1);
    if let Some(factor) = report.seconds_per_second {
        out += &format!("  a second of the network takes {factor:.3e} s\n");
    }
    out
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Quantised => "rounded",
        Kind::Clipped => "clipped",
        Kind::Slow => "slow",
        Kind::Lost => "lost",
        Kind::Refused => "refused",
    }
}
