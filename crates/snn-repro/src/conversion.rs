//! What the papers on conversion share: trained networks, their data, and how well a spiking copy does.

use anyhow::Result;
use snn_convert::report::{Work, right};
use snn_convert::{Calibration, Converted, Fit, Fitted, Forward, Gates, Outcome, Runner};
use snn_core::Ann;
use snn_core::ann::Activation;
use snn_core::stats::largest;
use snn_data::{ImageSet, Images, Split};

use crate::{Axes, Lab};

/// A trained network with its data.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) gates: Gates,
    pub(crate) dense: Forward<f32>,
    pub(crate) calibration: Calibration,
    pub(crate) train: Pictures,
    pub(crate) test: Pictures,
}

/// Images as numbers, one after the other, with their classes.
pub(crate) struct Pictures {
    pub(crate) numbers: Vec<f32>,
    pub(crate) labels: Vec<usize>,
}

/// A file of a trained network, and what its inputs are.
pub(crate) struct File {
    pub(crate) name: &'static str,
    fashion: bool,
    /// What a white pixel is.
    white: f32,
    /// Mean and standard deviation that inputs are normalised by.
    normal: Option<(f32, f32)>,
}

impl File {
    const fn mnist(name: &'static str, white: f32) -> Self {
        File { name, fashion: false, white, normal: None }
    }
}

/// Networks of rectifiers, smallest first.
pub(crate) const RECTIFIERS: [File; 4] = [
    File::mnist("marabou_mnist2x10", 1.0),
    File::mnist("mnist-8", 255.0),
    File::mnist("marabou_cnn_max_mninst2", 1.0),
    File { normal: Some((0.1307, 0.3081)), ..File::mnist("burn_mnist_cnn_bn", 1.0) },
];
/// Networks of sigmoids.
pub(crate) const SIGMOIDS: [File; 2] =
    [File::mnist("marabou_mnist2x5_sigmoid", 1.0), File::mnist("marabou_robust_model_sigmoid_linear", 1.0)];
/// A network of SiLUs.
pub(crate) const SILU: File = File { fashion: true, ..File::mnist("fashion_mlp_silu", 1.0) };

/// Training images that ranges are taken from, and on which numbers of steps are chosen.
const CALIBRATION: usize = 1_000;
const CHOICE: usize = 2_000;

impl File {
    /// The network and its images; inputs stay between black and white, their normalisation becomes part of the network.
    pub(crate) fn open(&self, lab: &Lab, tests: usize) -> Result<Option<Subject>> {
        let Some(dir) = lab.data() else { return Ok(None) };
        let read = |split| if self.fashion { Images::fashion_mnist(dir, split) } else { Images::mnist(dir, split) };
        let ann = snn_io::onnx::read(dir.join("onnx").join(self.name).with_extension("onnx"))?;
        let ann = match self.normal {
            Some((mean, std)) => ann.scaled(1.0 / std, -mean / std)?,
            None => ann,
        };
        let train = Pictures::new(&read(Split::Train)?, 0..CHOICE, self.white);
        let test = read(Split::Test)?;
        let count = tests.min(test.len());
        Subject::new(self.name, &ann, train, Pictures::new(&test, 0..count, self.white)).map(Some)
    }
}

impl Pictures {
    /// Some of the images, white being `white`.
    pub(crate) fn new(images: &impl ImageSet, range: std::ops::Range<usize>, white: f32) -> Self {
        let mut numbers = images.numbers(range.clone());
        numbers.iter_mut().for_each(|x| *x *= white);
        Pictures { numbers, labels: range.map(|k| images.label(k)).collect() }
    }

    /// The first few.
    pub(crate) fn first(&self, count: usize) -> Pictures {
        let (count, each) = (count.min(self.labels.len()), self.numbers.len() / self.labels.len());
        Pictures { numbers: self.numbers[..count * each].to_vec(), labels: self.labels[..count].to_vec() }
    }

    /// The share of right answers, in percent: the largest of an image's numbers names its class.
    pub(crate) fn accuracy(&self, answers: &[f32]) -> f64 {
        100.0 * right(answers, &self.labels) as f64 / self.labels.len() as f64
    }
}

impl Subject {
    pub(crate) fn new(name: &'static str, ann: &Ann, train: Pictures, test: Pictures) -> Result<Self> {
        let (gates, dense) = (Gates::new(ann)?, Forward::new(ann));
        let calibration = Calibration::new(&gates, &dense, &train.first(CALIBRATION).numbers, 0.0)?;
        Ok(Subject { name, gates, dense, calibration, train, test })
    }

    /// Accuracy of the dense network.
    pub(crate) fn exact(&self, pictures: &Pictures) -> Result<f64> {
        Ok(pictures.accuracy(&self.dense.outputs(&pictures.numbers)?))
    }

    /// Accuracy of a spiking copy, and what it took. Long runs show their progress and stop when asked to.
    pub(crate) fn spiking(&self, lab: &Lab, converted: &Converted, pictures: &Pictures) -> Result<(f64, Outcome)> {
        let (runner, each) = (Runner::new(converted), pictures.numbers.len() / pictures.labels.len());
        let bar = lab.progress(&format!("{} {}", self.name, converted.scheme), pictures.labels.len() as u64);
        let mut all = Outcome::default();
        for piece in pictures.numbers.chunks(512 * each) {
            lab.go_on()?;
            let part = runner.run(piece);
            all.answers.extend(part.answers);
            all.tally.add(&part.tally);
            bar.inc((piece.len() / each) as u64);
        }
        Ok((pictures.accuracy(&all.answers), all))
    }

    /// Accuracy of a rate-coded copy after each of its steps.
    pub(crate) fn over_steps(&self, lab: &Lab, converted: &Converted, pictures: &Pictures) -> Result<Vec<f64>> {
        let (runner, each, classes) = (Runner::new(converted), pictures.numbers.len() / pictures.labels.len(), converted.outputs());
        let bar = lab.progress(&format!("{} {}", self.name, converted.scheme), pictures.labels.len() as u64);
        let steps = converted.timing.latency;
        let mut right = vec![0usize; steps];
        for (piece, labels) in pictures.numbers.chunks(64 * each).zip(pictures.labels.chunks(64)) {
            lab.go_on()?;
            let (_, answers) = runner.fold(piece, |_, reading| {
                let at = |t: usize| largest((0..classes).map(|j| reading.answer_at(t, j)));
                (0..steps).map(at).collect::<Vec<_>>()
            });
            for (answers, label) in answers.iter().zip(labels) {
                right.iter_mut().zip(answers).for_each(|(right, answer)| *right += usize::from(answer == label));
            }
            bar.inc(labels.len() as u64);
        }
        Ok(right.iter().map(|&n| 100.0 * n as f64 / pictures.labels.len() as f64).collect())
    }

    /// The accuracy that `convert` reaches at each number of steps, in percent.
    pub(crate) fn sweep(
        &self,
        lab: &Lab,
        steps: &[usize],
        pictures: &Pictures,
        convert: impl Fn(usize) -> Result<Converted>,
    ) -> Result<Vec<f64>> {
        steps.iter().map(|&k| Ok(self.spiking(lab, &convert(k)?, pictures)?.0)).collect()
    }

    /// The numbers of spikes and additions of a run, per image.
    pub(crate) fn cost(&self, outcome: &Outcome) -> String {
        let work = Work::of(&outcome.tally);
        format!(
            "{:.0} spikes, {:.2} per gate, {:.0} synaptic additions per image; the dense network multiplies {} times",
            work.spikes,
            self.spikes(outcome),
            work.synaptic,
            self.dense.ann().macs()
        )
    }

    /// Spikes per gate and image.
    pub(crate) fn spikes(&self, outcome: &Outcome) -> f64 {
        Work::of(&outcome.tally).spikes / self.gates.count() as f64
    }
}

/// Why figures on networks that are not at hand are not measured.
pub(crate) const QUOTED: &str = "the images and the network are not at hand; quoted";
/// What [`File::open`] reads.
pub(crate) const FOLDERS: &str = "onnx/, mnist/ and fashion-mnist/";

/// Codes of SiLU on −8 … 12 and of sigmoid on −10 … 10, found anew; reports their mean squared errors for these claims, and draws the first beside its function.
pub(crate) fn silu_and_sigmoid(
    lab: &mut Lab,
    fit: impl Fn(usize, (f64, f64)) -> Fit,
    [silu_steps, sigmoid_steps]: [usize; 2],
    claims: [&str; 2],
    [title, what]: [&str; 2],
) -> Result<[Fitted; 2]> {
    let find = |lab: &Lab, f: Activation, steps, range| fit(steps, range).run(|x| f.at(x), |_| 1.0, lab.seed().child(f.name()));
    let silu = find(lab, Activation::Silu, silu_steps, (-8.0, 12.0))?;
    lab.report(claims[0], silu.quality.mse)?;
    let sigmoid = find(lab, Activation::Sigmoid, sigmoid_steps, (-10.0, 10.0))?;
    lab.report(claims[1], sigmoid.quality.mse)?;
    let line = |f: &dyn Fn(f64) -> f64| (0..=2000).map(|k| -8.0 + 0.01 * f64::from(k)).map(|x| (x, f(x))).collect::<Vec<_>>();
    let lines = [("SiLU", line(&|x| Activation::Silu.at(x))), (what, line(&|x| silu.unit.at(x)))];
    lab.curve("silu", title, "input", "output", &lines, Axes::default())?;
    Ok([silu, sigmoid])
}
