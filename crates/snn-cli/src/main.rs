//! The program `snn`: reproduces papers, trains networks, converts trained networks to spiking ones, maps networks onto machines, watches sensors, and runs benchmarks.
//!
//! Standard output carries the table or the JSON object and nothing else; everything else goes to standard error.
//! Exit codes: 0, every claim attempted is met; 1, a claim is missed; 2, wrong usage, bad input, or a run that could not finish;
//! 130, stopped by a signal.

#[cfg(feature = "bench")]
mod bench;
mod convert;
mod data;
mod docs;
mod export;
mod fit;
mod inspect;
mod machines;
mod map;
mod matrix;
mod nir;
mod plots;
mod ranks;
mod reproduce;
mod run;
mod sample;
mod search;
mod signals;
mod table;
mod threads;
mod train;
mod trained;
mod watch;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use snn_repro::papers::nearest;
use snn_repro::{LabError, say};

/// Counts what a run allocates: the `peak_bytes` of its result.
#[global_allocator]
static ALLOCATOR: snn_repro::memory::Counting = snn_repro::memory::Counting;

/// Spiking neural networks: reproduce published results from one command.
#[derive(Parser)]
#[command(name = "snn", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  snn reproduce --list                     what can be reproduced, and what it takes
  snn reproduce ssgd --scale smoke         a first look, in seconds
  snn train first.toml                     a network of your own, from ten lines
  snn convert mnist.onnx --scheme fs --steps 8 --calibrate data/mnist --evaluate data/mnist
                                           a trained network as spikes, and what that costs
  snn map net.json --on spinnaker2         what would become of a network on a machine
  snn watch sensors.csv                    which sensors cannot be right, by what their neighbours say
  snn bench train-step                     what one training step costs, dense and sparse
  snn help reproduce                       every option, and more examples

Exit codes: 0 every claim attempted is met, 1 a claim is missed, 2 wrong usage, bad input or a run that could not finish,
130 stopped by Ctrl-C or a signal.";

#[derive(Subcommand)]
enum Command {
    /// Run papers and compare our figures with theirs.
    #[command(after_help = reproduce::EXAMPLES)]
    Reproduce(reproduce::Args),
    /// Train a network as a recipe (TOML) says: data, network, rule, schedule.
    #[command(after_help = train::EXAMPLES)]
    Train(train::Args),
    /// Write generated pictures as idx files, to try things on.
    #[command(after_help = sample::EXAMPLES)]
    Data(sample::Args),
    /// Turn a trained network (ONNX) into a spiking one, and compare the two.
    #[command(after_help = convert::EXAMPLES)]
    Convert(convert::Args),
    /// Run a trained or converted network, or a NIR graph, on data.
    #[command(after_help = run::EXAMPLES)]
    Run(run::Args),
    /// Say what would become of a network on a machine.
    #[command(after_help = map::EXAMPLES)]
    Map(map::Args),
    /// Write a network as a NIR graph, for other tools.
    #[command(after_help = export::EXAMPLES)]
    Export(export::Args),
    /// Look into a file: what it is, shapes, numbers, events.
    #[command(after_help = inspect::EXAMPLES)]
    Inspect(inspect::Args),
    /// List the machines, or run small networks on each.
    #[command(after_help = machines::EXAMPLES)]
    Machines(machines::Args),
    /// Try what goes with what: rules, neurons, links, machines, structural rules.
    #[command(after_help = matrix::EXAMPLES)]
    Matrix(matrix::Args),
    /// Find the spike code of a scalar function.
    #[command(after_help = fit::EXAMPLES)]
    Fit(fit::Args),
    /// Watch sensors: who is silent, stuck or off.
    #[command(after_help = watch::EXAMPLES)]
    Watch(watch::Args),
    /// Search without gradients, on all cores or by jobs for others.
    #[command(after_help = search::EXAMPLES)]
    Search(search::Args),
    /// Evaluate one job of a search.
    #[command(after_help = search::EVAL_EXAMPLES)]
    Eval(search::EvalArgs),
    /// Measure time, memory and work.
    #[cfg(feature = "bench")]
    #[command(after_help = bench::EXAMPLES)]
    Bench(bench::Args),
    /// Bring docs/papers and the generated tables in README.md and docs up to date.
    #[command(hide = true)]
    Docs(docs::Args),
}

/// How a command ended that got through.
enum Outcome {
    /// Nothing was missed.
    Good,
    /// A claim was missed, or a check failed.
    Missed,
    /// A part of it could not be done; standard error says what.
    Failed,
    /// A signal stopped it; standard error says how to go on.
    Interrupted,
}

/// Exit code of a program stopped by Ctrl-C, as shells have it: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Reproduce(args) => reproduce::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Data(args) => sample::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Map(args) => map::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Machines(args) => machines::run(&args),
        Command::Matrix(args) => matrix::run(&args),
        Command::Fit(args) => fit::run(&args),
        Command::Watch(args) => watch::run(&args),
        Command::Search(args) => search::run(&args),
        Command::Eval(args) => search::eval(&args),
        #[cfg(feature = "bench")]
        Command::Bench(args) => bench::run(&args),
        Command::Docs(args) => docs::run(&args),
    };
    match outcome {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::Missed) => ExitCode::from(1),
        Ok(Outcome::Failed) => ExitCode::from(2),
        Ok(Outcome::Interrupted) => ExitCode::from(INTERRUPTED),
        Err(error) if matches!(error.downcast_ref(), Some(LabError::Interrupted)) => ExitCode::from(INTERRUPTED),
        Err(error) => {
            say(format_args!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}

/// Prints a result: as one JSON value for programs, else as text for people.
fn show(json: bool, value: &impl serde::Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    match json {
        true => print(&(serde_json::to_string_pretty(value).context("the result does not go into JSON")? + "\n")),
        false => print(&text()),
    }
}

/// A number of seconds on the command line.
fn seconds(text: &str) -> Result<std::time::Duration, String> {
    let seconds = text.parse::<f64>().ok().and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "give a number of seconds, 0 or more".into())
}

/// " Did you mean NAME?" of a word that is near one of the names.
fn hint<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, names).map_or(String::new(), |name| format!(" Did you mean {name}?"))
}

/// Writes to standard output. A reader that has seen enough (`| head`) is no error.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("cannot write to standard output"))
        }
        _ => Ok(()),
    }
}
