//! `snn run`: a network on data: trained here, converted, or a NIR graph.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use snn_convert::report::{Report, right};
use snn_convert::{Converted, Runner, Tally};
use snn_core::Seed;
use snn_io::{json, npy};
use snn_repro::{Interrupt, say};
use snn_sparse::Costs;

use crate::data::{Data, Part};
use crate::threads::Threads;
use crate::{Outcome, data, map, nir, show, signals, table, trained};

pub const EXAMPLES: &str = "Examples:
  snn run first/network.json                                    what `snn train` has trained, on the data held out by its recipe
  snn run mnist.snn.json --data data/mnist                      accuracy, spikes and additions over the test images
  snn run mnist.snn.json --data data/mnist --images 100 --json  one JSON object for programs
  snn run mnist.snn.json --data data/mnist --on spinnaker2 --images 100
                                                                the same on an emulated machine: what it costs there
  snn run mnist.snn.json --data new.npz --answers out.npy       what the network answers, [n, classes]
  snn run cnn.nir --data nmnist:data/nmnist/Test --dt 1ms       a network of another tool, in steps of 1 ms

FILE comes from `snn train`, and is scored as its recipe says; --data is another recipe, or events as for NIR graphs. Or it comes from `snn convert --out`; give the same --scale as there; --mean and --std are part of the network. Or it is a NIR graph of any tool (.nir),
whose answer is the sum of what arrives at its output.";

#[derive(clap::Args)]
pub struct Args {
    /// A network description (`snn train`), a converted network (`snn convert --out`), or a NIR graph (.nir).
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What to run it on [default of a network description: the recipe.toml beside it].
    #[arg(long, value_name = "DATA", long_help = format!("{}\n{}", data::HELP, nir::HELP))]
    data: Option<PathBuf>,
    /// At most so many of them [default: all].
    #[arg(long, value_name = "N", value_parser = data::count, alias = "samples")]
    pub images: Option<usize>,
    /// What numbers are divided by [default: 255 for idx files, 1 for archives].
    #[arg(long, value_name = "X", value_parser = data::positive)]
    pub scale: Option<f32>,
    #[command(flatten)]
    pub threads: Threads,
    /// Write the answers to this file, an array [n, outputs]; of the scheme `rate` sums divided by the steps.
    #[arg(long, value_name = "FILE.npy")]
    answers: Option<PathBuf>,
    /// Run on an emulated machine; `snn machines` lists them, `snn map` says what becomes of the network there.
    #[arg(long, value_name = "MACHINE", value_parser = map::machine, conflicts_with = "threads")]
    pub on: Option<&'static str>,
    /// Which device of its kind.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "on")]
    pub device_seed: u64,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub nir: nir::Choices,
}

impl Args {
    /// The data, which only a network with its recipe beside it can do without.
    pub fn data(&self) -> Result<&Path> {
        self.given().with_context(|| format!("{}: give the data to run it on with --data", self.file.display()))
    }

    /// Whether the answers are wanted as a file.
    pub fn writes_answers(&self) -> bool {
        self.answers.is_some()
    }

    /// The data, if some were given.
    pub fn given(&self) -> Option<&Path> {
        self.data.as_deref()
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    file: &'a Path,
    data: &'a Path,
    scale: f32,
    #[serde(flatten)]
    report: Report,
}

pub fn run(args: &Args) -> Result<Outcome> {
    if args.file.extension().is_some_and(|kind| kind == "nir") {
        return nir::run(args);
    }
    if args.nir.any() {
        bail!("{}: --dt and its like are for NIR graphs; expected a file with the ending .nir", args.file.display());
    }
    let interrupt = signals::interrupt("nothing is written");
    args.threads.start()?;
    let content: serde_json::Value = json::load_json(&args.file)?;
    if content.get("populations").is_some() {
        return trained::run(args, &interrupt);
    }
    // Read again as what it should be: errors then know their line.
    let converted: Converted = json::load_json(&args.file)?;
    let data = Data::open(args.data()?, Part::Test, args.images, args.scale)?;
    data.check("--data", converted.inputs(), converted.outputs())?;

    if let Some(name) = args.on {
        return on_machine(args, name, &converted, &data, &interrupt);
    }
    let (answers, tally) = answers(&converted, &data, &interrupt)?;
    let accuracy = accuracy(&answers, &data);
    write_answers(args, data.len(), converted.outputs(), answers)?;
    let report = Report::of(&converted, &tally, accuracy);
    let document = Document { file: &args.file, data: args.data()?, scale: data.scale, report };
    show(args.json, &document, || format!("{}\n{}", table::layers(&document.report), table::figures(&document.report, None)))?;
    Ok(Outcome::Good)
}

/// Writes the file of `--answers`: so many, of so many numbers each.
pub fn write_answers(args: &Args, count: usize, outputs: usize, answers: Vec<f32>) -> Result<()> {
    let Some(path) = &args.answers else { return Ok(()) };
    let array = ndarray::Array2::from_shape_vec((count, outputs), answers);
    npy::write(path, &array.context("answers of another number than images")?)?;
    say(format_args!("answers in {}", path.display()));
    Ok(())
}

/// What `--on --json` prints.
#[derive(Serialize)]
struct OnMachine<'a> {
    file: &'a Path,
    data: &'a Path,
    scale: f32,
    device_seed: u64,
    images: usize,
    accuracy: Option<f64>,
    costs: Costs,
    report: snn_hw::Report,
}

/// The network on an emulated device, thirty-two inputs to a trial.
fn on_machine(args: &Args, name: &str, converted: &Converted, data: &Data, interrupt: &Interrupt) -> Result<Outcome> {
    let (machine, seed) = (map::named(name)?, Seed::new(args.device_seed));
    let report = machine.map(&converted.network, seed);
    let mut device = match machine.build(&converted.network, seed) {
        Ok(device) => device,
        Err(_) => {
            show(args.json, &report, || map::text(&report))?;
            return Ok(Outcome::Missed);
        }
    };
    let (mut answers, mut piece) = (Vec::new(), 0);
    data.visit("images", interrupt, |numbers, _| {
        answers.extend(converted.answers_on(&mut *device, numbers, seed.child("trials").nth(piece))?);
        piece += 1;
        Ok(())
    })?;
    let accuracy = accuracy(&answers, data);
    write_answers(args, data.len(), converted.outputs(), answers)?;
    let (images, costs) = (data.len(), device.costs().clone());
    let (file, data_path, device_seed) = (&*args.file, args.data()?, args.device_seed);
    let document = OnMachine { file, data: data_path, scale: data.scale, device_seed, images, accuracy, costs, report };
    let text = || format!("{}\n{}", map::text(&document.report), table::costs(&document.costs, images, accuracy));
    show(args.json, &document, text)?;
    Ok(Outcome::Good)
}

/// What a network answers, and what that took.
fn answers(converted: &Converted, data: &Data, interrupt: &Interrupt) -> Result<(Vec<f32>, Tally)> {
    let runner = Runner::new(converted);
    let (mut answers, mut tally) = (Vec::new(), Tally::default());
    data.visit("images", interrupt, |numbers, _| {
        let outcome = runner.run(numbers);
        answers.extend(outcome.answers);
        tally.add(&outcome.tally);
        Ok(())
    })?;
    // One input at a time: the answer is summed up over all steps.
    if converted.timing.interval.is_none() {
        answers.iter_mut().for_each(|y| *y /= converted.timing.latency as f32);
    }
    Ok((answers, tally))
}

/// The share of right answers, if that is known.
pub fn accuracy(answers: &[f32], data: &Data) -> Option<f64> {
    data.labels.as_ref().map(|labels| right(answers, labels) as f64 / labels.len() as f64)
}

/// The share of right answers of a network, and nothing else.
pub fn accuracy_of(converted: &Converted, data: &Data, interrupt: &Interrupt) -> Result<Option<f64>> {
    Ok(accuracy(&answers(converted, data, interrupt)?.0, data))
}
