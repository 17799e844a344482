//! `snn data`: generated pictures as files, for those who have none at hand.

use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::ValueEnum;
use serde::Serialize;
use snn_core::Seed;
use snn_data::{ImageSet, PrototypeParams, Split, StrokeParams, write_idx};

use crate::{Outcome, show};

pub const EXAMPLES: &str = "Examples:
  snn data strokes digits                  drawn digits of 28 x 28 pixels: 2000 to learn from, 500 to judge by
  snn data strokes digits --side 12 --train 500 --test 100
  snn data prototypes blobs                noisy copies of ten blobs

The files have the names and the layout of MNIST, so that `snn train`, `snn convert` and other tools read them. The same seed gives the same files.";

#[derive(clap::Args)]
pub struct Args {
    /// What is drawn.
    #[arg(value_enum)]
    what: Pictures,
    /// Folder of the files.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Pictures to learn from.
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    train: u32,
    /// Pictures to judge by.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    test: u32,
    /// Pixels of a row, and of a column.
    #[arg(long, value_name = "PIXELS", default_value_t = 28, value_parser = clap::value_parser!(u32).range(1..=1024))]
    side: u32,
    /// Root of all randomness.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Pictures {
    /// Digits, drawn with a pen.
    Strokes,
    /// Blobs, copied with noise.
    Prototypes,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    dir: &'a std::path::Path,
    train: u32,
    test: u32,
    side: u32,
    classes: usize,
}

pub fn run(args: &Args) -> Result<Outcome> {
    let (side, seed) = (args.side as usize, Seed::new(args.seed));
    let draw = |range: Range<u64>| -> Result<Box<dyn ImageSet>> {
        Ok(match args.what {
            Pictures::Strokes => Box::new(StrokeParams { side, ..StrokeParams::default() }.images(seed, range)?),
            Pictures::Prototypes => Box::new(PrototypeParams { side, ..PrototypeParams::default() }.images(seed, range)?),
        })
    };
    let (train, test) = (u64::from(args.train), u64::from(args.test));
    let parts = [(Split::Train, draw(0..train)?), (Split::Test, draw(train..train + test)?)];
    if args.dir.is_file() {
        bail!("{}: a file; give a folder", args.dir.display());
    }
    for (split, images) in &parts {
        write_idx(&**images, &args.dir, *split)?;
    }
    let document = Document { dir: &args.dir, train: args.train, test: args.test, side: args.side, classes: parts[0].1.classes() };
    let text = || {
        format!(
            "{}: {train} pictures to learn from and {test} to judge by, {side} x {side} pixels, {} classes\n",
            args.dir.display(),
            document.classes
        )
    };
    show(args.json, &document, text)?;
    Ok(Outcome::Good)
}
