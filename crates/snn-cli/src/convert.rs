//! `snn convert`: a trained network as spikes, compared with what it was.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use clap::builder::{PossibleValue, PossibleValuesParser};
use serde::Serialize;
use snn_convert::report::{Evaluation, Report};
use snn_convert::{Calibration, Codes, Converted, FewSpikes, Fit, Forward, Gates, Negative, Rounding, Scheme, Tally, dense, scheme};
use snn_core::Seed;
use snn_core::ann::Ann;
use snn_io::{Kind, json, kind, onnx};
use snn_repro::recipe::read_network;
use snn_repro::table::columns;
use snn_repro::{Axes, Interrupt, check_out, say};

use crate::data::{Data, Part};
use crate::plots::{Plot, copy, drawn};
use crate::run::accuracy_of;
use crate::threads::Threads;
use crate::{Outcome, data, show, signals, table};

pub const EXAMPLES: &str = "Examples:
  snn convert mnist.onnx --scheme few_spikes --steps 8 --calibrate data/mnist --evaluate data/mnist
                                                  few spikes per gate; accuracy, error and spikes of every layer
  snn convert mnist.onnx --scheme fs --steps 8 --calibrate data/mnist --out mnist.snn.json
                                                  the spiking network as a file, for `snn run`
  snn convert mnist.onnx --scheme rate --steps 500 --calibrate data/mnist --evaluate data/mnist --images 200 --report report
                                                  rates, for comparison; with plots
  snn convert net.onnx --scheme amos --steps 10 --calibrate train.npz --evaluate test.npz --scale 255 --mean 0.1307 --std 0.3081
                                                  the network takes (x/255 - 0.1307)/0.3081
  snn convert dense/network.json --scheme few_spikes --steps 6 --calibrate data/mnist --evaluate data/mnist
                                                  a network that `snn train` has trained

Numbers are divided by --scale first. With --mean and --std the network then gets (x - mean)/std, computed by the first layer.";

#[derive(clap::Args)]
pub struct Args {
    /// The trained network: an ONNX file, or a network of rectified units that `snn train` has trained for one step per input.
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// How gates become spikes.
    #[arg(long, value_name = "SCHEME", value_parser = schemes())]
    scheme: String,
    /// K: steps of a code, or of a run with rates.
    #[arg(long, value_name = "K")]
    steps: usize,
    /// Training data, by which the range of every layer is found; see --help.
    #[arg(long, value_name = "DATA", long_help = data::HELP)]
    calibrate: Option<PathBuf>,
    /// At most so many images of these, the first ones.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = data::count)]
    calibrate_images: usize,
    /// Test data, on which both networks are run; of a folder the test images.
    #[arg(long, value_name = "DATA")]
    evaluate: Option<PathBuf>,
    /// Silent steps at the end of every window of few_spikes: 1 for machines that hear a spike in the next step, such as spinnaker2.
    #[arg(long, value_name = "P", default_value_t = 0)]
    pause: usize,
    /// At most so many images of these [default: all].
    #[arg(long, value_name = "N", value_parser = data::count)]
    images: Option<usize>,
    /// Write the spiking network to this file, for `snn run`.
    #[arg(long, value_name = "FILE.json")]
    out: Option<PathBuf>,
    /// Write report.json and plots into this folder.
    #[arg(long, value_name = "DIR", requires = "evaluate")]
    report: Option<PathBuf>,
    /// Convert with 2, 3 … K steps as well, and list the accuracy of each (of `rate` it is read at every step anyway).
    #[arg(long, requires = "evaluate")]
    curve: bool,
    /// Share of the numbers of a layer that may lie above its range, and as many below: 0 for none.
    #[arg(long, value_name = "SHARE", default_value = "0.001", value_parser = tail)]
    tail: f64,
    /// Where numbers between two levels go.
    #[arg(long, value_enum, default_value = "nearest")]
    rounding: RoundingName,
    /// How the input and layers without function code negative numbers: from a base on, or positive and negative levels in turns (even K).
    #[arg(long, value_enum, default_value = "base")]
    negative: NegativeName,
    /// Fit the codes of functions other than rectifiers to the numbers of each layer, instead of taking those that come with this program.
    #[arg(long)]
    fit: bool,
    /// What numbers are divided by [default: 255 for idx files, 1 for archives].
    #[arg(long, value_name = "X", value_parser = data::positive)]
    scale: Option<f32>,
    /// Mean that the network wants subtracted from its inputs (after --scale).
    #[arg(long, value_name = "M", default_value = "0", allow_negative_numbers = true, value_parser = data::finite::<f32>)]
    mean: f32,
    /// Standard deviation that it wants them divided by.
    #[arg(long, value_name = "S", default_value = "1", value_parser = data::positive)]
    std: f32,
    /// Root of all randomness: only fits need it.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    threads: Threads,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

/// The names of all schemes.
fn schemes() -> PossibleValuesParser {
    let schemes = scheme::all(&Codes::new(1)).into_iter();
    let value = |scheme: Box<dyn Scheme>| PossibleValue::new(scheme.name()).aliases(scheme.short()).help(scheme.about());
    schemes.map(value).collect::<Vec<_>>().into()
}

#[derive(Clone, Copy, ValueEnum)]
enum RoundingName {
    Nearest,
    Down,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum NegativeName {
    Base,
    Turns,
}

/// The report as JSON.
#[derive(Serialize)]
struct Document<'a> {
    model: &'a Path,
    steps: usize,
    calibrated: &'a Path,
    calibration_images: usize,
    tail: f64,
    scale: f32,
    mean: f32,
    std: f32,
    seed: u64,
    evaluated: Option<&'a Path>,
    /// Share of right answers of the trained network as another library runs it.
    reference_accuracy: Option<f64>,
    /// Share of right answers with so many steps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    accuracy_by_code: Vec<(usize, f64)>,
    #[serde(flatten)]
    report: Report,
}

/// A trained network on its way to spikes.
struct Subject {
    gates: Gates,
    dense: Forward<f32>,
    calibration: Calibration,
}

pub fn run(args: &Args) -> Result<Outcome> {
    let interrupt = signals::interrupt("no report is written");
    args.threads.start()?;
    let Some(calibrate) = &args.calibrate else {
        bail!(
            "--calibrate is missing: the spikes of a layer can only say numbers of a certain range, which is found by running the trained network on \
             some of its training data; give --calibrate DATA, a folder with idx files (data/mnist) or an .npz archive with an array x"
        );
    };
    if let Some(dir) = &args.report {
        check_out(dir).context("no report can be written; choose another --report")?;
    }
    let ann = model(&args.model)?;
    let training = Data::open(calibrate, Part::Train, Some(args.calibrate_images), args.scale)?;
    training.check("--calibrate", ann.inputs(), usize::MAX)?;
    let test = args.evaluate.as_ref().map(|path| Data::open(path, Part::Test, args.images, args.scale)).transpose()?;
    if let Some(test) = &test {
        test.check("--evaluate", ann.inputs(), ann.outputs())?;
    }

    let ann = if (args.mean, args.std) == (0.0, 1.0) { ann } else { ann.scaled(1.0 / args.std, -args.mean / args.std)? };
    let subject = Subject::new(ann, &training, args.tail)?;
    let converted = subject.convert(args, args.steps)?;
    if let Some(out) = &args.out {
        json::save_json(out, &converted)?;
        say(format_args!("network in {}; run it with: snn run {0} --data DATA --scale {}", out.display(), training.scale));
    }
    let mut document = Document {
        model: &args.model,
        steps: args.steps,
        calibrated: calibrate,
        calibration_images: training.len(),
        tail: args.tail,
        scale: training.scale,
        mean: args.mean,
        std: args.std,
        seed: args.seed,
        evaluated: args.evaluate.as_deref(),
        reference_accuracy: None,
        accuracy_by_code: Vec::new(),
        report: Report::of(&converted, &Tally::default(), None),
    };
    if let Some(test) = &test {
        document.report = subject.evaluate(&converted, test, &interrupt)?;
        document.reference_accuracy = reference(args, test, &interrupt)?;
        document.accuracy_by_code = subject.curve(args, &converted, test, &interrupt)?;
    }
    if let Some(dir) = &args.report {
        write(dir, &document)?;
    }
    show(args.json, &document, || text(&document))?;
    Ok(Outcome::Good)
}

/// The dense network in a file: ONNX, or a description of rectified units.
fn model(path: &Path) -> Result<Ann> {
    match kind(path)? {
        Kind::Json => dense(&read_network(path)?).with_context(|| format!("{}: not a dense network", path.display())),
        _ => Ok(onnx::read(path)?),
    }
}

impl Subject {
    fn new(ann: Ann, training: &Data, tail: f64) -> Result<Self> {
        let (gates, dense) = (Gates::new(&ann)?, Forward::new(&ann));
        let calibration = Calibration::new(&gates, &dense, &training.numbers, tail)?;
        Ok(Subject { gates, dense, calibration })
    }

    fn convert(&self, args: &Args, steps: usize) -> Result<Converted> {
        let rounding = match args.rounding {
            RoundingName::Nearest => Rounding::Nearest,
            RoundingName::Down => Rounding::Down,
        };
        let negative = match args.negative {
            NegativeName::Base => Negative::Base,
            NegativeName::Turns => Negative::Turns,
        };
        let codes = Codes { steps, rounding, negative, fit: args.fit.then(|| Fit::few_spikes(steps, (0.0, 1.0))) };
        let scheme = scheme::by_name(&args.scheme, &codes).with_context(|| format!("no scheme is called {}", args.scheme))?;
        let scheme: Box<dyn Scheme> = match args.pause {
            0 => scheme,
            pause if scheme.name() == "few_spikes" => Box::new(FewSpikes { codes, pause }),
            _ => bail!("--pause is for --scheme few_spikes, whose layers work in windows; leave it out"),
        };
        Ok(scheme.convert(&self.gates, &self.calibration, Seed::new(args.seed))?)
    }

    fn evaluate(&self, converted: &Converted, test: &Data, interrupt: &Interrupt) -> Result<Report> {
        let mut evaluation = Evaluation::new(&self.gates, &self.dense, converted)?;
        test.visit("both networks", interrupt, |numbers, labels| Ok(evaluation.add(numbers, labels)?))?;
        Ok(evaluation.report())
    }

    /// The accuracy with fewer steps, each converted anew; nothing where the answer of one conversion can be read at every step.
    fn curve(&self, args: &Args, converted: &Converted, test: &Data, interrupt: &Interrupt) -> Result<Vec<(usize, f64)>> {
        let mut curve = Vec::new();
        if !args.curve || converted.timing.interval.is_none() {
            return Ok(curve);
        }
        let every = if args.negative == NegativeName::Turns { 2 } else { 1 };
        for steps in (2..=args.steps).step_by(every) {
            let Some(accuracy) = accuracy_of(&self.convert(args, steps)?, test, interrupt)? else {
                bail!("--curve: {} has no labels; give data with labels, or leave the option out", test.path.display());
            };
            say(format_args!("{steps} steps: {:.2} %", 100.0 * accuracy));
            curve.push((steps, accuracy));
        }
        Ok(curve)
    }
}

/// The accuracy of the file as another library runs it; `None` where there are no labels, or that library does not run it, which is said.
#[cfg(feature = "reference")]
fn reference(args: &Args, test: &Data, interrupt: &Interrupt) -> Result<Option<f64>> {
    if test.labels.is_none() || kind(&args.model)? == Kind::Json {
        return Ok(None);
    }
    let answers = || -> Result<Vec<f32>> {
        let reference = snn_convert::reference::Reference::open(&args.model)?;
        let mut answers = Vec::new();
        test.visit("trained network by rten", interrupt, |numbers, _| {
            let numbers: Vec<f32> = numbers.iter().map(|x| (x - args.mean) / args.std).collect();
            answers.extend(reference.run(&numbers, numbers.len() / test.size)?);
            Ok(())
        })?;
        Ok(answers)
    };
    match answers() {
        Ok(answers) => Ok(crate::run::accuracy(&answers, test)),
        Err(error) if error.is::<snn_repro::LabError>() => Err(error),
        Err(error) => {
            say(format_args!("no accuracy by another library: {error:#}"));
            Ok(None)
        }
    }
}

#[cfg(not(feature = "reference"))]
fn reference(_: &Args, _: &Data, _: &Interrupt) -> Result<Option<f64>> {
    Ok(None)
}

fn text(document: &Document) -> String {
    let report = &document.report;
    let mut text = format!("{}\n{}", table::layers(report), table::figures(report, document.reference_accuracy));
    if !document.accuracy_by_code.is_empty() {
        let head = vec!["steps".to_owned(), "accuracy (%)".to_owned()];
        let rows = document.accuracy_by_code.iter().map(|(steps, share)| vec![steps.to_string(), format!("{:.2}", 100.0 * share)]);
        text += &format!("\n{}", columns(&std::iter::once(head).chain(rows).collect::<Vec<_>>(), 1));
    }
    text
}

/// Writes report.json and the plots.
fn write(dir: &Path, document: &Document) -> Result<()> {
    json::save_json(dir.join("report.json"), document)?;
    let (_folder, files) = drawn(plots(document))?;
    for file in files {
        copy(&file, &dir.join(file.file_name().unwrap_or_default()))?;
    }
    say(format_args!("report in {}", dir.display()));
    Ok(())
}

fn plots(document: &Document) -> Vec<Plot> {
    let report = &document.report;
    let name = document.model.file_name().unwrap_or_default().to_string_lossy();
    let title = |what: &str| format!("{name}, {}, {} steps: {what}", report.scheme, document.steps);
    let by_layer = |value: &dyn Fn(usize) -> Option<f64>| {
        (0..report.layers.len()).filter_map(|l| Some(((l + 1) as f64, value(l)?))).collect::<Vec<_>>()
    };
    let dots = Axes { dots: true, ..Axes::default() };
    let errors = by_layer(&|l| report.layers[l].error.map(|error| error.relative));
    let spikes = by_layer(&|l| Some(report.layers[l].spikes_per_gate));
    let mut plots = vec![
        Plot {
            name: "errors",
            title: title("error of each layer"),
            x_label: "layer",
            y_label: "relative root mean square error",
            lines: vec![("", errors)],
            axes: Axes { log_y: true, ..dots },
        },
        Plot {
            name: "spikes",
            title: title("spikes of each layer"),
            x_label: "layer",
            y_label: "spikes per gate and image",
            lines: vec![("", spikes)],
            axes: dots,
        },
    ];
    let by_step = report.accuracy_by_step.iter().enumerate().map(|(t, share)| ((t + 1) as f64, 100.0 * share));
    let by_code = document.accuracy_by_code.iter().map(|(steps, share)| (*steps as f64, 100.0 * share));
    let spiking: Vec<(f64, f64)> = by_step.chain(by_code).collect();
    if let (Some(first), Some(last)) = (spiking.first(), spiking.last()) {
        let trained = report
            .dense
            .and_then(|dense| dense.accuracy)
            .map_or(Vec::new(), |share| vec![(first.0, 100.0 * share), (last.0, 100.0 * share)]);
        plots.push(Plot {
            name: "accuracy",
            title: title("accuracy"),
            x_label: "steps",
            y_label: "accuracy (%)",
            lines: vec![("trained network", trained), ("spiking network", spiking)],
            axes: Axes::default(),
        });
    }
    plots
}

/// A share of numbers on the command line.
fn tail(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|x| (0.0..0.5).contains(x)).ok_or_else(|| "give a share, 0 or more and below 0.5".into())
}
