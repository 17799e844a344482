//! `cargo xtask fuzz`: bouts of broken files, one format after the other.

use clap::Parser;
use snn_fuzz::{Format, Settings, bout, formats, replay};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// The reader's memory is counted.
#[global_allocator]
static ALLOCATOR: snn_repro::memory::Counting = snn_repro::memory::Counting;

/// Gives every reader broken files and checks what must hold whatever the bytes are. Exit code 1 if something did not.
#[derive(Parser)]
#[command(
    name = "cargo xtask fuzz",
    after_help = "An input that fails is written to --out and named. If the program itself ends, the input is OUT/FORMAT.at-work."
)]
struct Args {
    /// Formats; all of them if none is named.
    formats: Vec<String>,
    /// Time for each format.
    #[arg(long, value_name = "N", default_value_t = 10)]
    seconds: u64,
    /// At most so many inputs of each: with the same seed, the same inputs.
    #[arg(long, value_name = "N", default_value_t = u64::MAX)]
    inputs: u64,
    /// Chooses the inputs.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Where inputs that fail are written.
    #[arg(long, value_name = "DIR", default_value = "target/fuzz")]
    out: PathBuf,
    /// Reads this one file instead.
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(2)
        }
    }
}

/// Whether everything held.
fn run(args: &Args) -> Result<bool, String> {
    let chosen: Vec<&Format> = match &args.formats[..] {
        [] => formats::ALL.iter().collect(),
        names => names.iter().map(|name| formats::find(name).ok_or_else(|| unknown(name))).collect::<Result<_, _>>()?,
    };
    let refused = |e: std::io::Error| format!("cannot write to {}: {e}", args.out.display());
    if let Some(path) = &args.replay {
        let [format] = chosen[..] else { return Err("--replay FILE needs the name of one format".into()) };
        let bytes = std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        let answer = replay(format, &bytes, &args.out).map_err(refused)?;
        println!(
            "{}",
            match &answer {
                Ok(None) => "read, and valid",
                Ok(Some(why)) => why,
                Err(why) => why,
            }
        );
        return Ok(answer.is_ok());
    }
    println!("{:<12}{:>10}{:>10}{:>10}{:>8}{:>12}{:>14}", "format", "inputs", "read", "answers", "s", "slowest, ms", "most memory");
    let mut good = true;
    for format in chosen {
        let settings = Settings { seed: args.seed, time: Duration::from_secs(args.seconds), inputs: args.inputs, out: args.out.clone() };
        let report = bout(format, &settings).map_err(refused)?;
        println!(
            "{:<12}{:>10}{:>10}{:>10}{:>8.0}{:>12.1}{:>11.1} MB",
            format.name,
            report.inputs,
            report.read,
            report.answers,
            report.time.as_secs_f64(),
            1e3 * report.slowest.as_secs_f64(),
            report.most as f64 / 1e6
        );
        for failure in &report.failures {
            good = false;
            println!("  FAILED: {}\n    once more: cargo xtask fuzz {} --replay {}", failure.why, format.name, failure.path.display());
        }
    }
    Ok(good)
}

fn unknown(name: &str) -> String {
    let names: Vec<&str> = formats::ALL.iter().map(|format| format.name).collect();
    format!("there is no format \"{name}\"; the formats are: {}", names.join(", "))
}
