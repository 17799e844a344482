//! Does a few-spikes network classify as many images a second as the dense network it was made of, in a dense library on the same threads?
//!
//! Both get the same images, in batches of their own choice, on all threads. Of the spiking network everything is timed from pixels to answers; it runs in windows, so
//! that a row of weights is read once for each source that fired. The best of several repeats counts.

use crate::{Bench, Figure, Log, Report, fields};
use serde::Serialize;
use snn_convert::reference::Reference;
use snn_convert::report::{Work, right};
use snn_convert::{Calibration, Codes, FewSpikes, Forward, Gates, Runner, Scheme};
use snn_core::Seed;
use snn_data::{ImageSet, Images, Split};
use std::path::Path;
use std::time::Instant;

/// A network in a file.
struct Subject {
    name: &'static str,
    kind: &'static str,
    fashion: bool,
    /// What a white pixel is.
    white: f32,
    /// The smallest number of steps with which `reproduce fs_conversion` lost no more than it may, on training images.
    steps: usize,
}

const SUBJECTS: [Subject; 4] = [
    Subject { name: "marabou_mnist2x10", kind: "MLP", fashion: false, white: 1.0, steps: 6 },
    Subject { name: "fashion_mlp_silu", kind: "MLP", fashion: true, white: 1.0, steps: 8 },
    Subject { name: "marabou_cnn_max_mninst2", kind: "CNN", fashion: false, white: 1.0, steps: 4 },
    Subject { name: "mnist-8", kind: "CNN", fashion: false, white: 255.0, steps: 3 },
];

/// One network.
#[derive(Serialize)]
struct Row {
    network: &'static str,
    kind: &'static str,
    #[serde(rename = "K")]
    steps: usize,
    images: usize,
    dense_accuracy: f64,
    spiking_accuracy: f64,
    dense_images_s: f64,
    spiking_images_s: f64,
    ratio: f64,
    spikes: f64,
    synaptic: f64,
    dense_macs: usize,
}

/// The question, and how to answer it.
pub const BENCH: Bench = Bench {
    name: "convert",
    question: "Does a few-spikes network classify as many images a second as the dense network it was made of?",
    run: convert,
};

fn convert(quick: bool, log: Log<'_>) -> Report {
    let mut report = Report { bench: "convert", rows: Vec::new(), summary: Vec::new(), notes: Vec::new() };
    let Some(dir) = std::env::var_os("SNN_DATA") else {
        report.notes.push(
            "Nothing was measured: the networks and images are data. Set SNN_DATA to a folder with onnx/, mnist/ and fashion-mnist/ in it."
                .into(),
        );
        return report;
    };
    for subject in &SUBJECTS {
        match measure(subject, Path::new(&dir), if quick { 200 } else { 10_000 }) {
            Ok(row) => {
                log(&format!(
                    "{}: {:.0} images/s dense, {:.0} spiking, {:.2} times",
                    row.network, row.dense_images_s, row.spiking_images_s, row.ratio
                ));
                let what =
                    format!("{} ({}): images a second of the few-spikes network over those of the dense library", row.network, row.kind);
                let wanted = if row.kind == "MLP" { "≥ 1 for one of the MLPs" } else { "" };
                report.summary.push(Figure { what, value: row.ratio, wanted: wanted.into() });
                report.rows.push(fields(&row));
            }
            Err(error) => report.notes.push(format!("{}: not measured: {error}", subject.name)),
        }
    }
    report.notes.push(
        "spikes and synaptic: per image; synaptic are additions of a weight, as many as spikes reach neurons. dense_macs: multiplications of the dense network for an \
         image. Accuracies in percent, of the images timed."
            .into(),
    );
    report
}

fn measure(subject: &Subject, dir: &Path, count: usize) -> Result<Row, Box<dyn std::error::Error>> {
    let path = dir.join("onnx").join(subject.name).with_extension("onnx");
    let images = |split| if subject.fashion { Images::fashion_mnist(dir, split) } else { Images::mnist(dir, split) };
    let pixels = |images: &Images, count: usize| images.numbers(0..count).iter().map(|x| subject.white * x).collect::<Vec<f32>>();
    let test = images(Split::Test)?;
    let (train, numbers) = (pixels(&images(Split::Train)?, 1_000), pixels(&test, count));
    let ann = snn_io::onnx::read(&path)?;
    let (reference, gates) = (Reference::open(&path)?, Gates::new(&ann)?);
    let calibration = Calibration::new(&gates, &Forward::new(&ann), &train, 0.0)?;
    let converted = FewSpikes::new(Codes::new(subject.steps)).convert(&gates, &calibration, Seed::new(1))?;
    let runner = Runner::new(&converted);
    let (mut dense_s, mut spiking_s) = (f64::INFINITY, f64::INFINITY);
    let (mut answers, mut outcome) = (Vec::new(), snn_convert::Outcome::default());
    for _ in 0..5 {
        let start = Instant::now();
        answers = reference.run(&numbers, count)?;
        dense_s = dense_s.min(start.elapsed().as_secs_f64());
        let start = Instant::now();
        outcome = runner.run(&numbers);
        spiking_s = spiking_s.min(start.elapsed().as_secs_f64());
    }
    let labels: Vec<usize> = (0..count).map(|k| test.label(k)).collect();
    let accuracy = |answers: &[f32]| 100.0 * right(answers, &labels) as f64 / count as f64;
    let work = Work::of(&outcome.tally);
    Ok(Row {
        network: subject.name,
        kind: subject.kind,
        steps: subject.steps,
        images: count,
        dense_accuracy: accuracy(&answers),
        spiking_accuracy: accuracy(&outcome.answers),
        dense_images_s: count as f64 / dense_s,
        spiking_images_s: count as f64 / spiking_s,
        ratio: dense_s / spiking_s,
        spikes: work.spikes,
        synaptic: work.synaptic,
        dense_macs: ann.macs(),
    })
}
