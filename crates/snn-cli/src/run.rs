//! `snn run`: a converted network on data.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use snn_convert::report::{Report, best};
use snn_convert::{ANSWER, Converted, DATA, Runner, Tally};
use snn_core::Seed;
use snn_core::neuron::Model;
use snn_io::{json, npy};
use snn_repro::{Interrupt, say};
use snn_sparse::Costs;

use crate::data::{Data, Part};
use crate::progress::Progress;
use crate::{Outcome, data, map, print, reproduce, table};

pub const EXAMPLES: &str = "Examples:
  snn run mnist.snn.json --data data/mnist                      accuracy, spikes and additions over the test images
  snn run mnist.snn.json --data data/mnist --images 100 --json  one JSON object for programs
  snn run mnist.snn.json --data data/mnist --on spinnaker2 --images 100
                                                                the same on an emulated machine: what it costs there
  snn run mnist.snn.json --data new.npz --answers out.npy       what the network answers, [n, classes]

FILE comes from `snn convert --out`. Give the same --scale as there; --mean and --std are part of the network.";

#[derive(clap::Args)]
pub struct Args {
    /// The converted network, as `snn convert --out` writes it.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Images to run: see below.
    #[arg(long, value_name = "DATA", long_help = data::HELP)]
    data: PathBuf,
    /// At most so many of them [default: all].
    #[arg(long, value_name = "N", value_parser = data::count)]
    images: Option<usize>,
    /// What numbers are divided by [default: 255 for idx files, 1 for archives].
    #[arg(long, value_name = "X", value_parser = data::positive)]
    scale: Option<f32>,
    /// Threads to use [default: one per core]. The result does not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    threads: Option<u32>,
    /// Write the answers to this file, an array [n, outputs]; of the scheme `rate` sums divided by the steps.
    #[arg(long, value_name = "FILE.npy")]
    answers: Option<PathBuf>,
    /// Run on an emulated machine; `snn machines` lists them, `snn map` says what becomes of the network there.
    #[arg(long, value_name = "MACHINE", value_parser = map::machine, conflicts_with = "threads")]
    on: Option<&'static str>,
    /// Which device of its kind.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "on")]
    device_seed: u64,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
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

/// Images of one piece: many runs of the engine, few enough to stop between.
pub const PIECE: usize = 256;

pub fn run(args: &Args) -> Result<Outcome> {
    let interrupt = Interrupt::default();
    reproduce::stop_on_signals(&interrupt, "nothing is written");
    reproduce::threads(args.threads)?;
    let converted: Converted = json::load_json(&args.file)?;
    check(&converted).with_context(|| format!("{}: not a network that `snn convert` wrote", args.file.display()))?;
    let data = Data::open(&args.data, Part::Test, args.images, args.scale)?;
    data.check("--data", converted.inputs(), converted.outputs())?;

    if let Some(name) = args.on {
        return on_machine(args, name, &converted, &data, &interrupt);
    }
    let (answers, tally) = answers(&converted, &data, &interrupt)?;
    let accuracy = accuracy(&answers, converted.outputs(), data.labels.as_deref());
    write_answers(args, &converted, &data, answers)?;
    let report = Report::of(&converted, &tally, accuracy);
    print(&if args.json {
        let document = Document { file: &args.file, data: &args.data, scale: data.scale, report };
        serde_json::to_string_pretty(&document).context("the result does not go into JSON")? + "\n"
    } else {
        format!("{}\n{}", table::layers(&report), table::figures(&report, None))
    })?;
    Ok(Outcome::Good)
}

fn write_answers(args: &Args, converted: &Converted, data: &Data, answers: Vec<f32>) -> Result<()> {
    let Some(path) = &args.answers else { return Ok(()) };
    let array = ndarray::Array2::from_shape_vec((data.len(), converted.outputs()), answers);
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
            print(&if args.json { serde_json::to_string_pretty(&report)? + "\n" } else { map::text(&report) })?;
            return Ok(Outcome::Missed);
        }
    };
    let mut progress = Progress::new("images", data.len(), interrupt);
    let mut answers = Vec::new();
    for (k, (numbers, _)) in data.pieces(PIECE).enumerate() {
        answers.extend(converted.answers_on(&mut *device, numbers, seed.child("trials").nth(k as u64))?);
        progress.inc(numbers.len() / data.size)?;
    }
    let accuracy = accuracy(&answers, converted.outputs(), data.labels.as_deref());
    write_answers(args, converted, data, answers)?;
    let (images, costs) = (data.len(), device.costs().clone());
    print(&if args.json {
        let (file, data_path) = (&*args.file, &*args.data);
        let document =
            OnMachine { file, data: data_path, scale: data.scale, device_seed: args.device_seed, images, accuracy, costs, report };
        serde_json::to_string_pretty(&document).context("the result does not go into JSON")? + "\n"
    } else {
        format!("{}\n{}", map::text(&report), table::costs(&costs, images, accuracy))
    })?;
    Ok(Outcome::Good)
}

/// What a network answers, and what that took.
fn answers(converted: &Converted, data: &Data, interrupt: &Interrupt) -> Result<(Vec<f32>, Tally)> {
    let runner = Runner::new(converted);
    let mut progress = Progress::new("images", data.len(), interrupt);
    let (mut answers, mut tally) = (Vec::new(), Tally::default());
    for (numbers, _) in data.pieces(PIECE) {
        let outcome = runner.run(numbers);
        answers.extend(outcome.answers);
        tally.add(&outcome.tally);
        progress.inc(numbers.len() / data.size)?;
    }
    // One input at a time: the answer is summed up over all steps.
    if converted.timing.interval.is_none() {
        answers.iter_mut().for_each(|y| *y /= converted.timing.latency as f32);
    }
    Ok((answers, tally))
}

/// The share of right answers.
pub fn accuracy(answers: &[f32], outputs: usize, labels: Option<&[usize]>) -> Option<f64> {
    let right = |labels: &[usize]| answers.chunks(outputs).zip(labels).filter(|(answer, label)| best(answer) == **label).count();
    labels.map(|labels| right(labels) as f64 / labels.len() as f64)
}

/// The share of right answers of a network, and nothing else.
pub fn accuracy_of(converted: &Converted, data: &Data, interrupt: &Interrupt) -> Result<Option<f64>> {
    let (answers, _) = answers(converted, data, interrupt)?;
    Ok(accuracy(&answers, converted.outputs(), data.labels.as_deref()))
}

/// Steps of a run that are believed: a hundred thousand layers of ten steps.
const MOST_STEPS: usize = 1 << 21;

/// What a file may claim and no conversion makes: everything that would not be found out by reading it.
fn check(converted: &Converted) -> Result<()> {
    let Converted { timing, layers, places, network, .. } = converted;
    let draft = network.draft();
    if draft.inputs.len() != 1 || draft.inputs[0].name != DATA {
        bail!("network.inputs: expected one, named `{DATA}`");
    }
    let answer = draft.populations.iter().find(|population| population.name == ANSWER);
    if draft.outputs != [ANSWER] || !answer.is_some_and(|population| matches!(population.model, Model::Sum(_))) {
        bail!("network.outputs: expected one, a population `{ANSWER}` of the model `sum`");
    }
    let interval = timing.interval.unwrap_or(timing.latency);
    let long = timing.latency.saturating_add(interval.saturating_mul(32)) > MOST_STEPS;
    if timing.present == 0 || timing.present > interval || interval > timing.latency || long {
        bail!("timing: {timing:?}: expected 1 <= present <= interval <= latency, and {MOST_STEPS} steps at most for 32 inputs");
    }
    for (k, place) in places.iter().enumerate() {
        let (Some(layer), Some(population)) = (layers.get(place.layer), draft.populations.get(place.population)) else {
            bail!("places[{k}]: there is no layer {} or no population {}", place.layer, place.population);
        };
        if population.size != layer.gates {
            bail!("places[{k}]: `{}` has {} neurons, layer `{}` has {} gates", population.name, population.size, layer.name, layer.gates);
        }
        if place.start.checked_add(place.span).is_none_or(|end| end > timing.latency) || !place.worth.is_finite() {
            bail!("places[{k}]: {place:?}: expected a finite worth, and steps within the latency of {}", timing.latency);
        }
    }
    Ok(())
}
