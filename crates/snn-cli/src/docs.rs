//! `snn docs`: the tables that are generated from result files.

use std::path::PathBuf;

use anyhow::Result;

use crate::Outcome;

#[derive(clap::Args)]
pub struct Args {
    /// Only compare; exit code 1 if a document is out of date.
    #[arg(long)]
    check: bool,
    /// Root of the repository.
    #[arg(long, value_name = "DIR", default_value = ".")]
    root: PathBuf,
}

pub fn run(args: &Args) -> Result<Outcome> {
    let changed = snn_repro::update(&args.root, args.check)?;
    for path in &changed {
        let state = if args.check { "is out of date: run `cargo run -p snn-cli -- docs`" } else { "updated" };
        snn_repro::say(format_args!("{} {state}", path.display()));
    }
    Ok(if args.check && !changed.is_empty() { Outcome::Missed } else { Outcome::Good })
}
