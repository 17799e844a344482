//! `snn inspect`: what is in a file.

use std::path::PathBuf;

use anyhow::Result;
use snn_repro::inspect::{Inspected, inspect, short};
use snn_repro::say;
use snn_repro::table::columns;

use crate::{Outcome, show};

pub const EXAMPLES: &str = "Examples:
  snn inspect first/network.json           populations, projections, weights
  snn inspect train-images-idx3-ubyte.gz   shape, ends, mean, what is not a number
  snn inspect 00001.bin --plot events.svg  the events as a raster
  snn inspect shd_train.h5 --trial 7 --plot seven.png
  snn inspect model.onnx --json            one JSON object for programs

FILE is idx, npy, npz, HDF5 (events, arrays, NIR), WAV, ONNX, address events (N-MNIST .bin), CSV, JSON (networks, results, metrics.jsonl), a recipe, or a
checkpoint, plain or gzip as its reader takes it. Contents decide what it is, not its name.";

#[derive(clap::Args)]
pub struct Args {
    /// The file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Draw its events to this file (.svg or .png).
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Which of its trials is drawn.
    #[arg(long, value_name = "N", default_value_t = 0)]
    trial: usize,
    /// A histogram of each array.
    #[arg(long)]
    histogram: bool,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// Arrays of which the text tells; JSON tells of all.
const ARRAYS: usize = 24;

pub fn run(args: &Args) -> Result<Outcome> {
    let file = inspect(&args.file, args.trial)?;
    if let Some(to) = &args.plot {
        file.plot(to)?;
        say(format_args!("raster in {}", to.display()));
    }
    show(args.json, &file, || text(&file, args.histogram))?;
    Ok(Outcome::Good)
}

fn text(file: &Inspected, histogram: bool) -> String {
    let mut out = format!("{}: {}\n", file.file.display(), file.kind);
    out += &columns(&file.facts.iter().map(|(name, value)| vec![format!("  {name}"), value.clone()]).collect::<Vec<_>>(), 2);
    if file.numbers.is_empty() {
        return out;
    }
    let number = |x: Option<f64>| x.map_or("—".into(), short);
    let mut rows = vec![["  array", "type", "shape", "min", "max", "mean", "std", "zeros", "NaN", "infinite"].map(String::from).to_vec()];
    for n in file.numbers.iter().take(ARRAYS) {
        let shape = n.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ");
        let zeros = format!("{} %", short((1000.0 * n.zero as f64 / n.count.max(1) as f64).round() / 10.0));
        let ends = [n.min, n.max, n.mean, n.std].map(number);
        rows.push(
            [
                vec![format!("  {}", n.name), n.element.clone(), shape],
                ends.to_vec(),
                vec![zeros, n.nan.to_string(), n.infinite.to_string()],
            ]
            .concat(),
        );
    }
    out += &format!("\n{}", columns(&rows, 3));
    if file.numbers.len() > ARRAYS {
        out += &format!("  … and {} more; --json tells of all\n", file.numbers.len() - ARRAYS);
    }
    // One array is shown with its histogram; of several that is a choice.
    if histogram || file.numbers.len() == 1 {
        for n in file.numbers.iter().take(ARRAYS) {
            out += &format!("\n{}\n{}", n.name, n.bars());
        }
    }
    out
}
