//! `snn run` of a NIR graph on events.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use serde::Serialize;
use snn_convert::report::right;
use snn_core::neuron::Output;
use snn_core::{Dataset, Network, Raster, Target, Trials};
use snn_data::{Nmnist, NmnistParams, Split};
use snn_io::nir::{self, AfterSpike, Convention, Current, Decay, Integrate, Spikes};
use snn_io::npy;
use snn_repro::table::columns;
use snn_repro::{Bars, Interrupt};
use snn_sparse::{Clocked, Record, Wants};

use crate::run::{Args, write_answers};
use crate::{Outcome, data, show, signals};

/// What is said of the data that events come from.
pub const HELP: &str = "For a NIR graph DATA is nmnist:DIR, recordings of N-MNIST (the folder that holds Test/, or Test/ or Train/ itself), channel by polarity and
340 ms long, or an .npz archive with the arrays x [n, steps, ...], one value for each input and step, and, for accuracy, y [n].";

/// What NIR leaves open. What is not given here is what the file says of itself in its metadata, and then the default.
#[derive(clap::Args)]
#[command(next_help_heading = "Of NIR graphs")]
pub struct Choices {
    /// Time step, with its unit: 1ms, 100us, 0.001s [default: 1ms].
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    dt: Option<f64>,
    /// A spike subtracts the threshold, or sets the membrane to v_reset: subtract, value (or zero) [default: subtract].
    #[arg(long, value_name = "HOW", value_parser = reset)]
    reset: Option<AfterSpike>,
    /// Of an IF in a step, if its reset is by subtraction: several, one [default: several].
    #[arg(long, value_name = "HOW", value_parser = Spikes::from_str)]
    spikes: Option<Spikes>,
    /// How a leak becomes steps: euler, exact [default: euler].
    #[arg(long, value_name = "HOW", value_parser = Decay::from_str)]
    decay: Option<Decay>,
    /// The unit of time of I and IF: steps, seconds [default: steps].
    #[arg(long, value_name = "HOW", value_parser = Integrate::from_str)]
    integrate: Option<Integrate>,
    /// The current that the membrane of a CubaLIF hears, of this step or the last: new, old [default: new].
    #[arg(long, value_name = "HOW", value_parser = Current::from_str)]
    current: Option<Current>,
    /// Write what arrives at the output in each step to this file, an array [n, steps, outputs].
    #[arg(long, value_name = "FILE.npy")]
    trace: Option<std::path::PathBuf>,
}

impl Choices {
    /// Whether something is chosen.
    pub fn any(&self) -> bool {
        let Choices { dt, reset, spikes, decay, integrate, current, trace } = self;
        let chosen = [reset.is_some(), spikes.is_some(), decay.is_some(), integrate.is_some(), current.is_some(), trace.is_some()];
        dt.is_some() || chosen.contains(&true)
    }

    fn over(&self, said: Convention) -> Convention {
        Convention {
            dt: self.dt.unwrap_or(said.dt),
            reset: self.reset.unwrap_or(said.reset),
            spikes: self.spikes.unwrap_or(said.spikes),
            decay: self.decay.unwrap_or(said.decay),
            integrate: self.integrate.unwrap_or(said.integrate),
            current: self.current.unwrap_or(said.current),
        }
    }
}

/// A time on the command line.
fn seconds(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches(|c: char| c.is_alphabetic() && c != 'e');
    let unit: f64 = match &text[number.len()..] {
        "s" => 1.0,
        "ms" => 1e-3,
        "us" | "µs" => 1e-6,
        _ => return Err("give a time with its unit: 1ms, 100us, 0.001s".into()),
    };
    // Divided where that is exact: 1 ms is the nearest number to 0.001.
    let of = |x: f64| if unit < 1.0 { x / (1.0 / unit).round() } else { x };
    number.parse().ok().map(of).filter(|x: &f64| x.is_normal() && *x > 0.0).ok_or_else(|| "give a time above 0".into())
}

fn reset(word: &str) -> Result<AfterSpike, String> {
    if word == "zero" { Ok(AfterSpike::Value) } else { word.parse() }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    samples: usize,
    accuracy: Option<f64>,
    /// Steps of a sample, and their length (s).
    steps: usize,
    dt: f64,
    neurons: usize,
    links: usize,
    /// Of all neurons, in a sample.
    spikes_per_sample: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    convention: Option<Convention>,
    file: &'a Path,
    data: &'a Path,
}

pub fn run(args: &Args) -> Result<Outcome> {
    let interrupt = signals::interrupt("nothing is written");
    args.threads.start()?;
    if args.on.is_some() {
        bail!("--on: NIR graphs are run by the software engine only");
    }
    if args.scale.is_some() {
        bail!("--scale: the values of events are taken as they are; scale them in the archive");
    }
    let graph = nir::read(&args.file)?;
    let file = || format!("{}: the NIR graph cannot be run", args.file.display());
    let convention = args.nir.over(Convention::of(&graph).with_context(file)?);
    let network = nir::network(&graph, &convention).with_context(file)?;
    on_events(args, &network, Some(convention), &interrupt)
}

/// A network with one input and one output on events, which are answered by the sum of what comes out.
pub fn on_events(args: &Args, network: &Network, convention: Option<Convention>, interrupt: &Interrupt) -> Result<Outcome> {
    let data = args.data()?;
    let samples = Samples::open(data, network.dt(), args.images)?;
    samples.check(args, data, network)?;

    let Ran { outputs, spikes } = ran(network, &samples, interrupt)?;
    let (count, steps, width) = (samples.count, samples.set.steps(), output_size(network));
    let answers: Vec<f32> = outputs.chunks(steps * width).flat_map(|one| summed(one, width)).collect();
    let accuracy = samples.labels.as_ref().map(|labels| right(&answers, labels) as f64 / count as f64);
    write_answers(args, count, width, answers)?;
    if let Some(path) = &args.nir.trace {
        let array = ndarray::Array3::from_shape_vec((count, steps, width), outputs);
        npy::write(path, &array.context("outputs of another number than steps")?)?;
    }
    let neurons = network.draft().populations.iter().map(|p| p.size).sum();
    let (links, spikes_per_sample) = (network.links(), spikes / count as f64);
    let (file, dt) = (&*args.file, network.dt());
    let document = Document { samples: count, accuracy, steps, dt, neurons, links, spikes_per_sample, convention, file, data };
    show(args.json, &document, || text(&document))?;
    Ok(Outcome::Good)
}

fn text(d: &Document) -> String {
    let mut rows = vec![vec!["samples".into(), d.samples.to_string()]];
    rows.extend(d.accuracy.map(|accuracy| vec!["accuracy (%)".into(), format!("{:.2}", 100.0 * accuracy)]));
    rows.extend([
        vec!["steps".into(), format!("{} of {} ms", d.steps, 1e3 * d.dt)],
        vec!["neurons".into(), d.neurons.to_string()],
        vec!["links".into(), d.links.to_string()],
        vec!["spikes per sample".into(), format!("{:.1}", d.spikes_per_sample)],
    ]);
    if let Some(c) = &d.convention {
        rows.push(vec!["reset, spikes, decay".into(), [c.reset.name(), c.spikes.name(), c.decay.name()].join(", ")]);
        rows.push(vec!["integrate, current".into(), [c.integrate.name(), c.current.name()].join(", ")]);
    }
    columns(&rows, 1)
}

/// Events to run on, and their classes if these are known.
struct Samples {
    set: Box<dyn Dataset>,
    labels: Option<Vec<usize>>,
    count: usize,
}

impl Samples {
    fn open(path: &Path, dt: f64, most: Option<usize>) -> Result<Samples> {
        let nmnist = path.to_str().and_then(|text| text.strip_prefix("nmnist:"));
        let (set, labels) = match nmnist {
            Some(dir) => nmnist_at(Path::new(dir), dt)?,
            None => archive(path)?,
        };
        let count = most.unwrap_or(set.len()).min(set.len());
        if count == 0 {
            bail!("{}: no samples", path.display());
        }
        Ok(Samples { set, labels: labels.map(|list| list[..count].to_vec()), count })
    }

    /// Checks that the network takes and answers such data.
    fn check(&self, args: &Args, data: &Path, network: &Network) -> Result<()> {
        let (draft, data, inputs) = (network.draft(), data.display(), self.set.inputs());
        let [input] = &draft.inputs[..] else {
            bail!("{}: {} inputs; only networks with one input can be run on data", args.file.display(), draft.inputs.len());
        };
        if draft.outputs.len() != 1 {
            bail!("{}: {} outputs; only networks with one output can be run on data", args.file.display(), draft.outputs.len());
        }
        if input.size != inputs {
            bail!("--data {data}: {inputs} channels, but the graph's input `{}` has {}", input.name, input.size);
        }
        let outputs = output_size(network);
        if let Some((sample, label)) = self.labels.iter().flatten().enumerate().find(|(_, label)| **label >= outputs) {
            bail!("--data {data}: sample {sample} has the label {label}, but the graph knows the classes 0 to {}", outputs - 1);
        }
        Ok(())
    }
}

type Labelled = (Box<dyn Dataset>, Option<Vec<usize>>);

/// N-MNIST in `dir`, or above it.
fn nmnist_at(dir: &Path, dt: f64) -> Result<Labelled> {
    let (root, split) = match dir.file_name().and_then(|name| name.to_str()) {
        Some("Test") => (dir.parent().unwrap_or(dir), Split::Test),
        Some("Train") => (dir.parent().unwrap_or(dir), Split::Train),
        _ => (dir, Split::Test),
    };
    let default = NmnistParams::default();
    let steps = (default.dt * default.steps as f64 / dt).ceil() as usize;
    let set = Nmnist::open(root, split, NmnistParams { dt, steps, ..default })?;
    let class = |i| if let Target::Class(class) = set.target(i) { Some(class) } else { None };
    let labels = (0..set.len()).map(class).collect();
    Ok((Box::new(set), labels))
}

/// Values for each step in an archive.
fn archive(path: &Path) -> Result<Labelled> {
    let names = npy::npz_names(path).with_context(|| format!("no such data. {HELP}"))?;
    let x = npy::read_npz::<f32>(path, "x")?;
    let &[count, steps, ref rest @ ..] = x.shape() else {
        bail!("{}: x has the shape {:?}; expected [n, steps, ...], one value for each input and step", path.display(), x.shape());
    };
    let inputs: usize = rest.iter().product();
    if rest.is_empty() || inputs * steps == 0 {
        bail!("{}: x has the shape {:?}; expected [n, steps, ...], one value for each input and step", path.display(), x.shape());
    }
    if let Some(bad) = x.iter().position(|x| !x.is_finite()) {
        bail!("{}: x: number {} of sample {} is not finite", path.display(), bad % (steps * inputs), bad / (steps * inputs));
    }
    // In the order of the axes, whatever the file's.
    let (mut trials, mut numbers) = (Trials::new("archive", inputs, steps, 1), x.iter().map(|&x| f64::from(x)));
    for _ in 0..count {
        let mut raster = Raster::new(inputs, steps);
        raster.fill_dense(numbers.by_ref().take(steps * inputs));
        trials.push(raster, 0);
    }
    let labels = if names.iter().any(|name| name == "y") { Some(data::classes(path, count)?) } else { None };
    Ok((Box::new(trials), labels))
}

/// What arrived at the output, `[sample][step][output]`, and the spikes of all neurons.
struct Ran {
    outputs: Vec<f32>,
    spikes: f64,
}

/// Samples of one piece: work for many threads, few enough to stop between.
const PIECE: usize = 16;

fn ran(network: &Network, samples: &Samples, interrupt: &Interrupt) -> Result<Ran> {
    let engine = Clocked::<f32>::compile(network);
    let progress = Bars::new().progress("samples", samples.count as u64);
    let mut all = Ran { outputs: Vec::new(), spikes: 0.0 };
    for start in (0..samples.count).step_by(PIECE) {
        let piece = start..(start + PIECE).min(samples.count);
        let some: Vec<Ran> = piece.into_par_iter().map(|i| one(&engine, &engine.trial(&*samples.set, i, Wants::Spikes).1)).collect();
        progress.inc(some.len() as u64);
        for one in some {
            all.outputs.extend(one.outputs);
            all.spikes += one.spikes;
        }
        interrupt.go_on()?;
    }
    Ok(all)
}

/// What a record says of a sample. An event of several spikes has their number as its value.
fn one(engine: &Clocked<f32>, record: &Record<f32>) -> Ran {
    let (mut outputs, width) = (Vec::new(), output_size(engine.network()));
    for &p in engine.outputs() {
        let trace = &record.traces[p];
        let steps = trace.output.len() / trace.blocks();
        outputs.extend((0..steps).flat_map(|t| (0..width).map(move |j| trace.output_at(t, j))));
    }
    let neurons = engine.network().draft().populations.iter().zip(&record.spikes);
    let spiking = neurons.filter(|(p, _)| matches!(p.model.output(), Output::Spike | Output::Rectified));
    Ran { outputs, spikes: spiking.map(|(_, raster)| raster.iter_values().map(|(.., value)| value).sum::<f64>()).sum() }
}

fn output_size(network: &Network) -> usize {
    network.draft().outputs.first().map_or(0, |name| network.size(name))
}

/// The sum over all steps.
fn summed(outputs: &[f32], width: usize) -> Vec<f32> {
    let mut sums = vec![0.0f64; width];
    outputs.chunks(width).for_each(|step| sums.iter_mut().zip(step).for_each(|(sum, &y)| *sum += f64::from(y)));
    sums.into_iter().map(|sum| sum as f32).collect()
}
