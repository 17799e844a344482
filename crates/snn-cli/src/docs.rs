//! `snn docs`: the documents that are generated from result files.

use std::path::PathBuf;

use anyhow::Result;

use crate::Outcome;

#[derive(clap::Args)]
pub struct Args {
    /// Only compare; exit code 1 if a document is out of date.
    #[arg(long)]
    check: bool,
    /// First copy one plot for each paper from the runs in this folder, the --out of `snn reproduce`.
    #[arg(long, value_name = "DIR", conflicts_with = "check")]
    plots: Option<PathBuf>,
    /// Root of the repository.
    #[arg(long, value_name = "DIR", default_value = ".")]
    root: PathBuf,
}

pub fn run(args: &Args) -> Result<Outcome> {
    if let Some(out) = &args.plots {
        for path in snn_repro::copy_plots(&args.root, out)? {
            snn_repro::say(format_args!("{} copied", path.display()));
        }
    }
    let changed = snn_repro::update(&args.root, args.check)?;
    for path in &changed {
        let state = if args.check { "is out of date: run `cargo run -p snn-cli -- docs`" } else { "updated" };
        snn_repro::say(format_args!("{} {state}", path.display()));
    }
    Ok(if args.check && !changed.is_empty() { Outcome::Missed } else { Outcome::Good })
}
