//! `snn fit`: the spike code of a scalar function.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use snn_convert::fits::Shipped;
use snn_convert::{Fit, Fitted};
use snn_core::Seed;
use snn_core::ann::Activation;
use snn_io::json;
use snn_repro::table::columns;
use snn_repro::{Axes, say};

use crate::plots::{Plot, copy, drawn};
use crate::threads::Threads;
use crate::{Outcome, data, hint, show};

pub const EXAMPLES: &str = "Examples:
  snn fit --activation silu --steps 16 --range -8 12                 the code of a few-spikes neuron
  snn fit --activation sigmoid --steps 8 --range -10 10 --circuit    that of a circuit of 8 threshold gates
  snn fit --activation silu --steps 16 --range -8 12 --bits 8        with numbers of 8 bits
  snn fit --activation gelu --steps 12 --range -8 12 --spike-cost 0.001 --plot gelu.svg
                                                                     fewer spikes for some error; drawn

Functions: relu, leaky_relu (slope 0.01), elu, sigmoid, tanh, silu, hard_swish, gelu, gelu_tanh.

The error is the mean squared one over 1000 points of the range. Better codes come with more --restarts.";

#[derive(clap::Args)]
pub struct Args {
    /// The function.
    #[arg(long, value_name = "NAME")]
    activation: String,
    /// K: steps of a neuron, neurons of a circuit.
    #[arg(long, value_name = "K")]
    steps: usize,
    /// The interval of inputs.
    #[arg(long, num_args = 2, value_names = ["LOW", "HIGH"], allow_negative_numbers = true, required = true, value_parser = data::finite::<f64>)]
    range: Vec<f64>,
    /// A circuit (AMOS): every decision has inhibition of its own.
    #[arg(long)]
    circuit: bool,
    /// Round all numbers of the code to so many bits.
    #[arg(long, value_name = "B")]
    bits: Option<u32>,
    /// What a spike costs, in units of squared error.
    #[arg(long, value_name = "C", default_value_t = 0.0)]
    spike_cost: f64,
    /// Starts, of which the best counts.
    #[arg(long, value_name = "N", default_value_t = 8)]
    restarts: usize,
    /// Root of all randomness: the same seed gives the same code, with any number of threads.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    threads: Threads,
    /// Write the code to this file.
    #[arg(long, value_name = "FILE.json")]
    out: Option<PathBuf>,
    /// Draw function and code into this file, .svg or .png.
    #[arg(long, value_name = "FILE.svg", value_parser = picture)]
    plot: Option<PathBuf>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    settings: &'a Fit,
    seed: u64,
    #[serde(flatten)]
    code: &'a Shipped,
    /// What every start reached.
    starts: &'a [f64],
}

pub fn run(args: &Args) -> Result<Outcome> {
    args.threads.start()?;
    let function = activation(&args.activation)?;
    let range = (args.range[0], args.range[1]);
    let base = if args.circuit { Fit::amos(args.steps, range) } else { Fit::few_spikes(args.steps, range) };
    let settings = Fit { bits: args.bits, spike_cost: args.spike_cost, restarts: args.restarts, ..base };
    let Fitted { unit, quality, starts, .. } = settings.run(|x| function.at(x), |_| 1.0, Seed::new(args.seed))?;
    let code = Shipped { function, range, free: args.circuit, quality, unit };
    if let Some(out) = &args.out {
        json::save_json(out, &code)?;
        say(format_args!("code in {}", out.display()));
    }
    if let Some(path) = &args.plot {
        plot(&settings, &code, path)?;
        say(format_args!("plot in {}", path.display()));
    }
    let document = Document { settings: &settings, seed: args.seed, code: &code, starts: &starts };
    show(args.json, &document, || text(&code))?;
    Ok(Outcome::Good)
}

fn activation(name: &str) -> Result<Activation> {
    if let Some(function) = Activation::ALL.into_iter().find(|function| function.name() == name) {
        return Ok(function);
    }
    let known = Activation::ALL.map(|function| function.name());
    bail!("--activation: there is no function \"{name}\".{} The functions are: {}", hint(name, known), known.join(", "))
}

/// The code, step by step.
fn text(code: &Shipped) -> String {
    let Shipped { quality, unit, .. } = code;
    let number = |x: f64| format!("{x:.6}");
    let reset = unit.reset();
    let head =
        if reset.is_some() { &["step", "threshold", "reset", "worth"][..] } else { &["step", "threshold", "worth", "inhibition"][..] };
    let mut rows = vec![head.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()];
    for i in 0..unit.steps() {
        let mut row = vec![(i + 1).to_string(), number(unit.threshold[i])];
        row.extend(reset.as_ref().map(|reset| number(reset[i])));
        row.push(number(unit.side(i) * unit.weight[i]));
        if reset.is_none() {
            row.push(unit.lateral[i].iter().map(|h| format!("{h:.4}")).collect::<Vec<_>>().join(" "));
        }
        rows.push(row);
    }
    let figures = [
        ("worth of no spike", number(unit.base)),
        ("mean squared error", format!("{:.3e}", quality.mse)),
        ("largest error", format!("{:.4}", quality.worst)),
        ("spikes per input", format!("{:.3}", quality.spikes)),
    ];
    let figures = figures.map(|(what, value)| vec![what.to_owned(), value]);
    format!("{}\n{}", columns(&rows, 1), columns(&figures, 1))
}

fn plot(settings: &Fit, code: &Shipped, path: &std::path::Path) -> Result<()> {
    let line = |f: &dyn Fn(f64) -> f64| settings.grid().map(|x| (x, f(x))).collect::<Vec<_>>();
    let kind = if code.free { "circuit" } else { "few-spikes neuron" };
    let plot = Plot {
        name: "fit",
        title: format!("{} as a {kind} of {} steps", code.function.name(), settings.steps),
        x_label: "input",
        y_label: "output",
        lines: vec![("code", line(&|x| code.unit.at(x))), (code.function.name(), line(&|x| code.function.at(x)))],
        axes: Axes::default(),
    };
    let (_folder, files) = drawn(vec![plot])?;
    let file = files.iter().find(|file| file.extension() == path.extension()).context("no such kind of picture")?;
    copy(file, path)
}

/// A picture to write.
fn picture(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let known = path.extension().is_some_and(|e| e == "svg" || e == "png");
    if known { Ok(path) } else { Err("give a file name that ends in .svg or .png".into()) }
}
