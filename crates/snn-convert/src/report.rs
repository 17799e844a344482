//! What a converted network does on data, against the network it was made from.

use crate::converted::{Converted, Timing};
use crate::forward::{Forward, InputError};
use crate::gates::{Gates, Origin};
use crate::run::{Reading, Runner, Tally};
use serde::{Deserialize, Serialize};
use snn_core::stats::largest;

/// Energy of a 32-bit floating-point addition in 45 nm, in picojoules (Horowitz 2014, fig. 1.1.9).
pub const ADDITION_PJ: f64 = 0.9;
/// Energy of a 32-bit floating-point multiplication in 45 nm, in picojoules (Horowitz 2014, fig. 1.1.9).
pub const MULTIPLICATION_PJ: f64 = 3.7;

/// Runs both networks on labelled or unlabelled data, a piece at a time, and adds up what they do.
///
/// Images are shared among the threads of the current pool and added up one after the other, so the report depends neither on the number of
/// threads nor on how the data are cut into pieces. Pieces of a multiple of 32 images are the fastest.
///
/// Cost: a run of either network for every image.
///
/// ```
/// use snn_convert::{Calibration, Codes, FewSpikes, Forward, Gates, Scheme, report::Evaluation};
/// use snn_core::Seed;
/// use snn_core::ann::{Activation, Ann, Graph, Node, Op};
/// use snn_core::net::Links;
/// let linear = |weights: Vec<f32>| Op::Linear { links: Links::All, weights: weights.into(), bias: 0.0.into() };
/// let ann = Ann::try_from(Graph { nodes: vec![
///     Node::new("x", 2, [], Op::Input),
///     Node::new("h", 2, [0], linear(vec![1.0, -1.0, -1.0, 1.0])),
///     Node::new("relu", 2, [1], Op::Activation(Activation::Relu)),
///     Node::new("y", 2, [2], linear(vec![1.0, 0.0, 0.0, 1.0])),       // which of the two is larger
/// ]})?;
/// let (gates, dense) = (Gates::new(&ann)?, Forward::new(&ann));
/// let inputs = [0.25, 0.75, 1.0, 0.0, 0.5, 0.25];
/// let calibration = Calibration::new(&gates, &dense, &inputs, 0.0)?;
/// let spiking = FewSpikes::new(Codes::new(8)).convert(&gates, &calibration, Seed::new(1))?;
///
/// let mut evaluation = Evaluation::new(&gates, &dense, &spiking)?;
/// evaluation.add(&inputs[..2], Some(&[1]))?;
/// evaluation.add(&inputs[2..], Some(&[0, 1]))?;                       // the last label is wrong
/// let report = evaluation.report();
/// assert_eq!(report.accuracy, Some(2.0 / 3.0));
/// assert_eq!(report.dense.as_ref().and_then(|dense| dense.accuracy), Some(2.0 / 3.0));
/// assert!(report.layers[1].error.is_some_and(|error| error.relative < 0.01));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Evaluation<'a> {
    gates: &'a Gates,
    dense: &'a Forward<f32>,
    runner: Runner<'a>,
    labelled: bool,
    right: Right,
    layers: Vec<Sums>,
    tally: Tally,
}

/// How many answers are right.
#[derive(Default)]
struct Right {
    dense: u64,
    spiking: u64,
    same: u64,
    by_step: Vec<u64>,
}

/// Squared errors, squared numbers, the largest error.
#[derive(Clone, Copy, Default)]
struct Sums {
    error: f64,
    size: f64,
    worst: f64,
}

/// What both networks made of one image.
struct Seen {
    dense: usize,
    spiking: usize,
    by_step: Vec<usize>,
    layers: Vec<Sums>,
}

/// Why networks and data cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// No whole number of inputs.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Labels that do not belong to the inputs.
    #[error("{found} labels for {expected} inputs; give one for each")]
    Labels {
        /// Inputs there are.
        expected: usize,
        /// Labels given.
        found: usize,
    },
    /// Some pieces have labels and others do not.
    #[error("labels for some pieces of the data only; give them for all or for none")]
    Unlabelled,
    /// The networks are not the same.
    #[error("the converted network has {found} {what}, the trained one {expected}; compare a network with what it was converted from")]
    Networks {
        /// What differs.
        what: String,
        /// How many the trained network has.
        expected: usize,
        /// How many the converted one has.
        found: usize,
    },
}

/// What a converted network did, for each image on average.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The scheme that made it.
    pub scheme: String,
    /// Its steps: latency is `timing.latency`, throughput one image in [`Report::interval`] steps.
    pub timing: Timing,
    /// Share of right answers, 0 to 1, if there were labels.
    pub accuracy: Option<f64>,
    /// The same after each step, where an answer may be read at any step (one input at a time); else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accuracy_by_step: Vec<f64>,
    /// Layer by layer.
    pub layers: Vec<LayerReport>,
    /// What it took.
    pub work: Work,
    /// The trained network on the same images, if it was run.
    pub dense: Option<Dense>,
}

/// One layer of gates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerReport {
    /// Its name.
    pub name: String,
    /// Its scalar function.
    pub function: String,
    /// How many gates.
    pub gates: usize,
    /// How many neurons they are.
    pub neurons: usize,
    /// Smallest and largest number it can say.
    pub range: (f64, f64),
    /// Spikes of a gate per image.
    pub spikes_per_gate: f64,
    /// Spikes of a neuron per image.
    pub spikes_per_neuron: f64,
    /// How far its decoded numbers are from those of the trained network, where that has them and was run.
    pub error: Option<LayerError>,
}

/// How far decoded numbers are from those of the trained network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerError {
    /// `√(Σ(ŷ − y)²/Σy²)` over all images and gates; of numbers that are all 0 the root of the sum of squares itself.
    pub relative: f64,
    /// The largest `|ŷ − y|`.
    pub worst: f64,
}

/// What images took, on average.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// How many images.
    pub images: u64,
    /// Spikes.
    pub spikes: f64,
    /// Additions of a weight.
    pub synaptic: f64,
    /// Multiplications of a weight with a number of the image itself.
    pub analog: f64,
    /// Energy of these operations in nanojoules: [`ADDITION_PJ`] for each addition, and [`MULTIPLICATION_PJ`] more for a multiplication.
    /// Memory and control, which cost more in most machines, are not in it.
    pub energy: f64,
}

/// The trained network on the same images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dense {
    /// Share of right answers, 0 to 1, if there were labels.
    pub accuracy: Option<f64>,
    /// Share of images for which both networks answer the same.
    pub agreement: f64,
    /// Multiplications with a weight, and as many additions.
    pub macs: usize,
    /// Energy of these in nanojoules, as in [`Work::energy`].
    pub energy: f64,
}

impl<'a> Evaluation<'a> {
    /// `converted` against the network of `gates` and `dense`, from which it was made.
    ///
    /// # Errors
    /// [`ReportError::Networks`] if they do not belong together.
    pub fn new(gates: &'a Gates, dense: &'a Forward<f32>, converted: &'a Converted) -> Result<Self, ReportError> {
        let same = |what: &str, expected: usize, found: usize| {
            if expected == found { Ok(()) } else { Err(ReportError::Networks { what: what.into(), expected, found }) }
        };
        same("inputs", dense.ann().inputs(), converted.inputs())?;
        same("outputs", dense.ann().outputs(), converted.outputs())?;
        same("layers", gates.layers.len(), converted.layers.len())?;
        for (layer, coded) in gates.layers.iter().zip(&converted.layers) {
            same(&format!("gates in layer `{}`", layer.name), layer.hears.size(), coded.gates)?;
        }
        let layers = vec![Sums::default(); gates.layers.len()];
        let (labelled, right, tally) = (false, Right::default(), Tally::default());
        Ok(Evaluation { gates, dense, runner: Runner::new(converted), labelled, right, layers, tally })
    }

    /// Runs images, one after the other in `inputs`, with their classes if these are known.
    ///
    /// # Errors
    /// [`ReportError::Input`] if `inputs` is no whole number of images, [`ReportError::Labels`] and [`ReportError::Unlabelled`] if labels do
    /// not belong to them. Nothing is then counted.
    pub fn add(&mut self, inputs: &[f32], labels: Option<&[usize]>) -> Result<(), ReportError> {
        let size = self.dense.ann().inputs();
        if !inputs.len().is_multiple_of(size) {
            return Err(InputError { expected: size, found: inputs.len() }.into());
        }
        if let Some(labels) = labels.filter(|labels| labels.len() != inputs.len() / size) {
            return Err(ReportError::Labels { expected: inputs.len() / size, found: labels.len() });
        }
        if self.tally.inputs > 0 && self.labelled != labels.is_some() {
            return Err(ReportError::Unlabelled);
        }
        self.labelled = labels.is_some();
        let (outcome, seen) = self.runner.fold(inputs, |n, reading| self.look(&inputs[n * size..][..size], reading));
        self.tally.add(&outcome.tally);
        for (n, seen) in seen.into_iter().enumerate() {
            let seen = seen?;
            self.layers.iter_mut().zip(&seen.layers).for_each(|(all, one)| all.add(*one));
            self.right.same += u64::from(seen.dense == seen.spiking);
            if let Some(&label) = labels.and_then(|labels| labels.get(n)) {
                self.right.add(&seen, label);
            }
        }
        Ok(())
    }

    /// Both networks on one image.
    fn look(&self, input: &[f32], reading: Reading<'_>) -> Result<Seen, InputError> {
        let mut values = self.dense.values();
        let dense = largest(self.dense.run(input, &mut values)?);
        let converted = self.runner.converted();
        let (timing, outputs) = (converted.timing, converted.outputs());
        let answer = |step: usize| largest((0..outputs).map(|j| reading.answer_at(step, j)));
        let steps = if timing.interval.is_none() { timing.latency } else { 0 };
        let layers = self.gates.layers.iter().enumerate().map(|(l, layer)| match layer.origin {
            Origin::Node(k) => Sums::of(&reading.layer(l), values.of(k).iter().map(|&x| layer.function.at(f64::from(x)))),
            Origin::Within(_) => Sums::default(),
        });
        Ok(Seen { dense, spiking: answer(timing.latency - 1), by_step: (0..steps).map(answer).collect(), layers: layers.collect() })
    }

    /// What was found so far.
    pub fn report(&self) -> Report {
        let share = |count: u64| count as f64 / self.tally.inputs.max(1) as f64;
        let labelled = |count: u64| self.labelled.then(|| share(count));
        let mut report = Report::of(self.runner.converted(), &self.tally, labelled(self.right.spiking));
        report.accuracy_by_step = self.right.by_step.iter().map(|&count| share(count)).collect();
        let sums = self.layers.iter().zip(&self.gates.layers);
        for (layer, (sums, gates)) in report.layers.iter_mut().zip(sums) {
            layer.error = matches!(gates.origin, Origin::Node(_)).then(|| sums.error());
        }
        let macs = self.dense.ann().macs();
        let energy = 1e-3 * macs as f64 * (ADDITION_PJ + MULTIPLICATION_PJ);
        report.dense = Some(Dense { accuracy: labelled(self.right.dense), agreement: share(self.right.same), macs, energy });
        report
    }
}

impl Report {
    /// What a converted network did by itself.
    pub fn of(converted: &Converted, tally: &Tally, accuracy: Option<f64>) -> Self {
        let images = tally.inputs.max(1) as f64;
        let layers = converted.layers.iter().enumerate().map(|(l, layer)| {
            let spikes = tally.spikes.get(l).map_or(0.0, |&count| count as f64 / images);
            LayerReport {
                name: layer.name.clone(),
                function: layer.function.clone(),
                gates: layer.gates,
                neurons: layer.neurons,
                range: layer.range,
                spikes_per_gate: spikes / layer.gates.max(1) as f64,
                spikes_per_neuron: spikes / layer.neurons.max(1) as f64,
                error: None,
            }
        });
        let (scheme, timing) = (converted.scheme.clone(), converted.timing);
        Report { scheme, timing, accuracy, accuracy_by_step: Vec::new(), layers: layers.collect(), work: Work::of(tally), dense: None }
    }

    /// Steps from one image to the next: the latency where only one is on its way.
    pub fn interval(&self) -> usize {
        self.timing.interval.unwrap_or(self.timing.latency)
    }
}

impl Work {
    /// The average of a tally.
    pub fn of(tally: &Tally) -> Self {
        let mean = |count: u64| count as f64 / tally.inputs.max(1) as f64;
        let (synaptic, analog) = (mean(tally.synaptic), mean(tally.analog));
        let energy = 1e-3 * (synaptic * ADDITION_PJ + analog * (ADDITION_PJ + MULTIPLICATION_PJ));
        Work { images: tally.inputs, spikes: mean(tally.spikes.iter().sum()), synaptic, analog, energy }
    }
}

impl Right {
    fn add(&mut self, seen: &Seen, label: usize) {
        self.dense += u64::from(seen.dense == label);
        self.spiking += u64::from(seen.spiking == label);
        self.by_step.resize(seen.by_step.len(), 0);
        self.by_step.iter_mut().zip(&seen.by_step).for_each(|(count, &answer)| *count += u64::from(answer == label));
    }
}

impl Sums {
    fn of(decoded: &[f64], exact: impl Iterator<Item = f64>) -> Self {
        decoded.iter().zip(exact).fold(Sums::default(), |mut sums, (&y, exact)| {
            sums.add(Sums { error: (y - exact).powi(2), size: exact * exact, worst: (y - exact).abs() });
            sums
        })
    }

    fn add(&mut self, other: Sums) {
        *self = Sums { error: self.error + other.error, size: self.size + other.size, worst: self.worst.max(other.worst) };
    }

    fn error(&self) -> LayerError {
        let relative = if self.size > 0.0 { self.error / self.size } else { self.error };
        LayerError { relative: relative.sqrt(), worst: self.worst }
    }
}

/// How many of the answers, one after the other, name their class: with the largest of their numbers, the first of several.
pub fn right(answers: &[f32], labels: &[usize]) -> usize {
    let outputs = (answers.len() / labels.len().max(1)).max(1);
    answers.chunks(outputs).zip(labels).filter(|(answer, label)| largest(*answer) == **label).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Calibration, Codes, FewSpikes, Rate, Scheme};
    use proptest::prelude::*;
    use rand::RngExt;
    use snn_core::Seed;
    use snn_core::ann::{Activation, Ann, Graph, Node, Op};
    use snn_core::net::Links;

    const IMAGES: usize = 70;

    struct Case {
        gates: Gates,
        dense: Forward<f32>,
        calibration: Calibration,
        inputs: Vec<f32>,
        labels: Vec<usize>,
    }

    fn case(seed: u64) -> Case {
        let mut rng = Seed::new(seed).rng();
        let mut numbers = |count: usize| (0..count).map(|_| rng.random_range(-1.0..1.0)).collect::<Vec<f32>>();
        let mut linear = |count: usize| Op::Linear { links: Links::All, weights: numbers(count).into(), bias: 0.125.into() };
        let nodes = vec![
            Node::new("x", 5, [], Op::Input),
            Node::new("h", 6, [0], linear(30)),
            Node::new("relu", 6, [1], Op::Activation(Activation::Relu)),
            Node::new("max", 3, [2], Op::Max { ends: vec![0, 2, 4, 6], sources: (0..6).collect() }),
            Node::new("y", 4, [3], linear(12)),
        ];
        let ann = Ann::try_from(Graph { nodes }).unwrap();
        let inputs: Vec<f32> = (0..5 * IMAGES).map(|_| rng.random_range(0.0..1.0)).collect();
        let (gates, dense) = (Gates::new(&ann).unwrap(), Forward::new(&ann));
        let calibration = Calibration::new(&gates, &dense, &inputs, 0.0).unwrap();
        Case { gates, dense, calibration, inputs, labels: (0..IMAGES).map(|_| rng.random_range(0..4)).collect() }
    }

    fn report(case: &Case, converted: &Converted, piece: usize) -> Report {
        let mut evaluation = Evaluation::new(&case.gates, &case.dense, converted).unwrap();
        for (inputs, labels) in case.inputs.chunks(5 * piece).zip(case.labels.chunks(piece)) {
            evaluation.add(inputs, Some(labels)).unwrap();
        }
        evaluation.report()
    }

    /// Every figure against the network whose functions are replaced by their codes, in double precision.
    #[test]
    fn figures_are_those_of_the_quantised_network() {
        let agreements: Vec<f64> = (1..7).map(agreement_with_figures_checked).collect();
        assert!(agreements.iter().any(|&share| share < 0.9), "{agreements:?}");
    }

    fn agreement_with_figures_checked(seed: u64) -> f64 {
        let case = case(seed);
        let codes = Codes::new(2);
        let units = codes.of(&case.gates, &case.calibration, false, Seed::new(0)).unwrap();
        let converted = FewSpikes::new(codes).convert(&case.gates, &case.calibration, Seed::new(0)).unwrap();
        let found = report(&case, &converted, 32);
        let count = case.gates.layers.len();
        let (mut error, mut size, mut worst, mut spikes) = (vec![0.0; count], vec![0.0; count], vec![0.0f64; count], vec![0.0; count]);
        let (mut right, mut dense_right, mut same) = (0, 0, 0);
        for (input, &label) in case.inputs.chunks(5).zip(&case.labels) {
            let input: Vec<f64> = input.iter().map(|&x| f64::from(x)).collect();
            let (heard, y) = case.gates.run(&input, |l, x| units[l].at(x));
            let (exact, z) = case.gates.run(&input, |l, x| case.gates.layers[l].function.at(x));
            for l in 0..count {
                for (&x, &e) in heard[l].iter().zip(&exact[l]) {
                    let (y, exact) = (units[l].at(x), case.gates.layers[l].function.at(e));
                    (error[l], size[l], worst[l]) =
                        (error[l] + (y - exact).powi(2), size[l] + exact * exact, worst[l].max((y - exact).abs()));
                    spikes[l] += units[l].spikes(x).into_iter().filter(|&z| z).count() as f64;
                }
            }
            right += usize::from(largest(&y) == label);
            dense_right += usize::from(largest(&z) == label);
            same += usize::from(largest(&y) == largest(&z));
        }
        let share = |n: usize| n as f64 / IMAGES as f64;
        let dense = found.dense.unwrap();
        assert_eq!((found.accuracy, dense.accuracy, dense.agreement), (Some(share(right)), Some(share(dense_right)), share(same)));
        assert!(found.accuracy_by_step.is_empty());
        for (l, layer) in found.layers.iter().enumerate() {
            let gates = case.gates.layers[l].hears.size() as f64;
            assert!((layer.spikes_per_gate - spikes[l] / gates / IMAGES as f64).abs() < 1e-9, "{layer:?}");
            let Some(found) = layer.error else {
                assert!(matches!(case.gates.layers[l].origin, Origin::Within(_)), "{layer:?}");
                continue;
            };
            let relative = (error[l] / size[l]).sqrt();
            assert!((found.relative / relative - 1.0).abs() < 1e-4 && (found.worst / worst[l] - 1.0).abs() < 1e-4, "{layer:?} {relative}");
        }
        assert!((found.work.spikes * IMAGES as f64 - spikes.iter().sum::<f64>()).abs() < 1e-6);
        // Five numbers come in; 30 + 12 weights.
        assert_eq!((found.work.analog, dense.macs, found.interval()), (5.0, 42, 2));
        assert!((dense.energy - 42.0 * 4.6e-3).abs() < 1e-12);
        assert!((found.work.energy - 1e-3 * (0.9 * found.work.synaptic + 4.6 * 5.0)).abs() < 1e-12);
        share(same)
    }

    #[test]
    fn rates_have_an_answer_at_every_step() {
        let case = case(2);
        let converted = Rate { steps: 200 }.convert(&case.gates, &case.calibration, Seed::new(0)).unwrap();
        let found = report(&case, &converted, 32);
        assert_eq!((found.accuracy_by_step.len(), found.accuracy_by_step.last().copied()), (200, found.accuracy));
        // Nothing has arrived at the first step: the class is that of the largest bias, here the first of equals.
        let first = case.labels.iter().filter(|&&label| label == 0).count() as f64 / IMAGES as f64;
        assert_eq!(found.accuracy_by_step[0], first);
        assert!(found.dense.unwrap().agreement > 0.9 && found.layers[1].error.unwrap().relative < 0.1, "{found:?}");
        assert_eq!(found.interval(), 200);
        let without = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&without).unwrap(), found);
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let (case, other) = (case(3), case(4));
        let converted = FewSpikes::new(Codes::new(4)).convert(&case.gates, &case.calibration, Seed::new(0)).unwrap();
        let mut evaluation = Evaluation::new(&case.gates, &case.dense, &converted).unwrap();
        assert!(evaluation.add(&case.inputs[..7], None).is_err_and(|e| e.to_string().contains("7 numbers given")));
        assert_eq!(evaluation.add(&case.inputs[..10], Some(&[1])), Err(ReportError::Labels { expected: 2, found: 1 }));
        assert_eq!(evaluation.report().work.images, 0);
        evaluation.add(&case.inputs[..10], None).unwrap();
        assert_eq!(evaluation.add(&case.inputs[..5], Some(&[1])), Err(ReportError::Unlabelled));
        assert_eq!((evaluation.report().accuracy, evaluation.report().work.images), (None, 2));
        let mut less = other.gates.clone();
        less.layers.pop();
        let text = Evaluation::new(&less, &other.dense, &converted).err().map(|e| e.to_string()).unwrap();
        assert!(text.contains("4 layers, the trained one 3"), "{text}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn neither_pieces_nor_threads_matter(seed in 0u64..100, piece in 1usize..80, threads in 1usize..4, rate in any::<bool>()) {
            let case = case(seed);
            let schemes: [Box<dyn Scheme>; 2] = [Box::new(FewSpikes::new(Codes::new(4))), Box::new(Rate { steps: 20 })];
            let converted = schemes[usize::from(rate)].convert(&case.gates, &case.calibration, Seed::new(0)).unwrap();
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            prop_assert_eq!(pool.install(|| report(&case, &converted, piece)), report(&case, &converted, IMAGES));
        }
    }
}
