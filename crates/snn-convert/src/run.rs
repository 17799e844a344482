//! Running a converted network over many inputs.

use crate::converted::{ANSWER, Converted};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use snn_core::Raster;
use snn_sparse::{Clocked, Record, Source, Wants, Windowed, Windows};

/// A converted network, ready to run: window by window where it takes the [`Windowed`] engine, else step by step on the [`Clocked`] one.
///
/// Inputs follow each other as fast as the network takes them, thirty-two to a run; runs are shared among the threads of the current pool, and
/// the answers do not depend on their number.
///
/// ```
/// use snn_convert::{Calibration, Codes, FewSpikes, Forward, Gates, Runner, Scheme};
/// use snn_core::Seed;
/// use snn_core::ann::{Activation, Ann, Graph, Node, Op};
/// use snn_core::net::Links;
/// let linear = |weights: Vec<f32>| Op::Linear { links: Links::All, weights: weights.into(), bias: 0.0.into() };
/// let ann = Ann::try_from(Graph { nodes: vec![
///     Node::new("x", 2, [], Op::Input),
///     Node::new("h", 2, [0], linear(vec![1.0, -1.0, -1.0, 1.0])),
///     Node::new("relu", 2, [1], Op::Activation(Activation::Relu)),
///     Node::new("y", 1, [2], linear(vec![1.0, 1.0])),                     // |x₁ − x₂|
/// ]})?;
/// let (gates, dense) = (Gates::new(&ann)?, Forward::new(&ann));
/// let inputs = [0.25, 0.75, 1.0, 0.0, 0.5, 0.5];
/// let calibration = Calibration::new(&gates, &dense, &inputs, 0.0)?;
/// let spiking = FewSpikes::new(Codes::new(6)).convert(&gates, &calibration, Seed::new(1))?;
/// let outcome = Runner::new(&spiking).run(&inputs);
/// assert!(outcome.answers.iter().zip([0.5, 1.0, 0.0]).all(|(y, expected)| (y - expected).abs() < 0.02));
/// assert!(outcome.tally.spikes.iter().sum::<u64>() < 3 * 4 * 6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Runner<'a> {
    converted: &'a Converted,
    engine: Engine,
    answer: usize,
    /// By population: where it is.
    place: Vec<Option<usize>>,
    /// By number of an input: the links it goes over.
    heard_by: Vec<u32>,
}

enum Engine {
    Clocked(Clocked<f32>),
    Windowed(Windowed<f32>),
}

impl Engine {
    /// The network step by step.
    fn clocked(&self) -> &Clocked<f32> {
        match self {
            Engine::Clocked(engine) => engine,
            Engine::Windowed(engine) => engine.clocked(),
        }
    }
}

/// What came of a run over inputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Answers, one after the other.
    pub answers: Vec<f32>,
    /// What it took.
    pub tally: Tally,
}

/// What inputs took, added up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Inputs.
    pub inputs: u64,
    /// Spikes of each layer that belong to an input.
    pub spikes: Vec<u64>,
    /// Additions of a weight: those spikes times the links they went over.
    pub synaptic: u64,
    /// Multiplications of a weight with a number of the input itself.
    pub analog: u64,
}

impl Tally {
    /// Adds another.
    pub fn add(&mut self, other: &Tally) {
        self.inputs += other.inputs;
        self.spikes.resize(self.spikes.len().max(other.spikes.len()), 0);
        self.spikes.iter_mut().zip(&other.spikes).for_each(|(a, b)| *a += b);
        self.synaptic += other.synaptic;
        self.analog += other.analog;
    }
}

/// Inputs of one run.
const CHUNK: usize = 32;

/// One thread's memory.
struct Memory {
    raster: Raster,
    record: Record<f32>,
}

impl<'a> Runner<'a> {
    /// Lowers the network.
    pub fn new(converted: &'a Converted) -> Self {
        let windowed = Windowed::compile(&converted.network).ok();
        // One input to a window, given at once.
        let fits = |engine: &Windowed| converted.timing.present == 1 && converted.timing.interval == Some(engine.period());
        let engine = match windowed.filter(fits) {
            Some(engine) => Engine::Windowed(engine),
            None => Engine::Clocked(Clocked::compile(&converted.network)),
        };
        let populations = &converted.network.draft().populations;
        let answer = populations.iter().position(|p| p.name == ANSWER).unwrap_or(0);
        let place = |p: usize| converted.places.iter().position(|place| place.population == p);
        let mut heard_by = vec![0; converted.inputs()];
        for link in engine.clocked().links().iter().filter(|link| matches!(link.from, Source::Input(_))) {
            heard_by.iter_mut().zip(0..).for_each(|(links, unit)| *links += link.store.fan_out(&[unit]) as u32);
        }
        Runner { converted, answer, place: (0..populations.len()).map(place).collect(), heard_by, engine }
    }

    /// The network.
    pub fn converted(&self) -> &Converted {
        self.converted
    }

    /// Runs inputs, one after the other in `numbers`.
    ///
    /// # Panics
    /// If `numbers` is no whole number of inputs.
    #[track_caller]
    pub fn run(&self, numbers: &[f32]) -> Outcome {
        let Engine::Windowed(engine) = &self.engine else { return self.fold(numbers, |_, _| ()).0 };
        let (size, outputs, period) = (self.converted.inputs(), self.converted.outputs(), engine.period());
        assert!(numbers.len().is_multiple_of(size), "{} numbers for inputs of {size}", numbers.len());
        let run = |windows: &mut Windows<f32>, numbers: &[f32]| {
            let count = numbers.len() / size;
            engine.run_numbers(numbers, self.converted.steps(count) / period, windows);
            let answer = |n: usize| (0..outputs).map(move |j| (self.converted.answered(n) / period, j));
            let answers = (0..count).flat_map(answer).map(|(w, j)| windows.output(self.answer, w, j)).collect();
            let mut tally = Tally { inputs: count as u64, spikes: vec![0; self.converted.layers.len()], ..Tally::default() };
            for place in &self.converted.places {
                let of = place.start / period..place.start / period + count;
                tally.spikes[place.layer] += windows.spikes[place.population][of.clone()].iter().sum::<u64>();
                tally.synaptic += windows.synaptic[place.population][of].iter().sum::<u64>();
            }
            tally.analog = self.analog(numbers);
            Outcome { answers, tally }
        };
        let parts: Vec<Outcome> = numbers.par_chunks(CHUNK * size).map_init(Windows::default, run).collect();
        let mut all = Outcome::default();
        for part in parts {
            all.answers.extend(part.answers);
            all.tally.add(&part.tally);
        }
        all
    }

    /// As [`run`](Self::run), but step by step, and hands every input's [`Reading`] to `read`; gives what that made of them, in order.
    ///
    /// # Panics
    /// If `numbers` is no whole number of inputs.
    #[track_caller]
    pub fn fold<T: Send>(&self, numbers: &[f32], read: impl Fn(usize, Reading<'_>) -> T + Sync) -> (Outcome, Vec<T>) {
        let (size, outputs) = (self.converted.inputs(), self.converted.outputs());
        assert!(numbers.len().is_multiple_of(size), "{} numbers for inputs of {size}", numbers.len());
        let chunk = if self.converted.timing.interval.is_some() { CHUNK } else { 1 };
        let memory = || Memory { raster: Raster::new(size, 0), record: Record::new(self.engine.clocked()) };
        let run = |memory: &mut Memory, (first, numbers): (usize, &[f32])| {
            let count = numbers.len() / size;
            self.converted.present(numbers, &mut memory.raster);
            self.engine.clocked().run(&[&memory.raster], Wants::Spikes, &mut memory.record);
            let answer = |n: usize| (0..outputs).map(move |j| (n, j));
            let at = |n: usize, j: usize| self.reading(&memory.record, n).answer_at(self.converted.timing.latency - 1, j);
            let answers = (0..count).flat_map(answer).map(|(n, j)| at(n, j)).collect();
            let made: Vec<T> = (0..count).map(|n| read(first + n, self.reading(&memory.record, n))).collect();
            let tally = Tally { analog: self.analog(numbers), ..self.tally(memory, count) };
            (Outcome { answers, tally }, made)
        };
        let parts: Vec<_> = numbers.par_chunks(chunk * size).enumerate().map(|(k, part)| (k * chunk, part)).map_init(memory, run).collect();
        let (mut all, mut made) = (Outcome::default(), Vec::new());
        for (part, list) in parts {
            all.answers.extend(part.answers);
            all.tally.add(&part.tally);
            made.extend(list);
        }
        (all, made)
    }

    fn reading<'r>(&'r self, record: &'r Record<f32>, n: usize) -> Reading<'r> {
        Reading { runner: self, record, offset: n * self.converted.timing.interval.unwrap_or(0) }
    }

    /// Counts the events of a run that belong to one of its inputs.
    fn tally(&self, memory: &Memory, count: usize) -> Tally {
        let Memory { raster, record } = memory;
        let mut tally = Tally { inputs: count as u64, spikes: vec![0; self.converted.layers.len()], ..Tally::default() };
        let last = count.saturating_sub(1) * self.converted.timing.interval.unwrap_or(0);
        let steps = |p: usize| {
            let place = self.place[p].map(|k| &self.converted.places[k]);
            place.map_or(0..0, |place| place.start..(last + place.start + place.span).min(raster.steps()))
        };
        for place in &self.converted.places {
            tally.spikes[place.layer] += steps(place.population).map(|t| record.spikes[place.population].at(t).len() as u64).sum::<u64>();
        }
        for link in self.engine.clocked().links() {
            if let Source::Population(p) = link.from {
                tally.synaptic += steps(p).map(|t| link.store.fan_out(record.spikes[p].at(t)) as u64).sum::<u64>();
            }
        }
        tally
    }

    /// Links over which numbers of the inputs themselves go.
    fn analog(&self, numbers: &[f32]) -> u64 {
        let each =
            |input: &[f32]| input.iter().zip(&self.heard_by).map(|(&x, &links)| if x == 0.0 { 0 } else { u64::from(links) }).sum::<u64>();
        self.converted.timing.present as u64 * numbers.chunks(self.heard_by.len()).map(each).sum::<u64>()
    }
}

/// What a network said of one input.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    runner: &'a Runner<'a>,
    record: &'a Record<f32>,
    offset: usize,
}

impl Reading<'_> {
    /// What output `j` is `step` steps after the input came.
    pub fn answer_at(&self, step: usize, j: usize) -> f32 {
        self.record.traces[self.runner.answer].output_at(self.offset + step, j)
    }

    /// The numbers that a layer said, decoded: its base, and what its spikes are worth.
    pub fn layer(&self, layer: usize) -> Vec<f64> {
        let converted = self.runner.converted;
        let mut y = vec![converted.layers[layer].base; converted.layers[layer].gates];
        for place in converted.places.iter().filter(|place| place.layer == layer) {
            let spikes = &self.record.spikes[place.population];
            let start = self.offset + place.start;
            for t in start..(start + place.span).min(spikes.steps()) {
                let values = spikes.values_at(t);
                for (k, &unit) in spikes.at(t).iter().enumerate() {
                    y[unit as usize] += place.worth * values.get(k).copied().unwrap_or(1.0);
                }
            }
        }
        y
    }

    /// The spikes of a layer: by population in the order of its places, the step of each from when it began to speak, and the unit.
    pub fn spikes(&self, layer: usize) -> Vec<(usize, usize, u32)> {
        let places = self.runner.converted.places.iter().filter(|place| place.layer == layer).enumerate();
        let of = |(k, place): (usize, &crate::Place)| {
            let (start, spikes) = (self.offset + place.start, &self.record.spikes[place.population]);
            let steps = start..(start + place.span).min(spikes.steps());
            steps.flat_map(move |t| spikes.at(t).iter().map(move |&unit| (k, t - start, unit))).collect::<Vec<_>>()
        };
        places.flat_map(of).collect()
    }
}
