//! One trial, run and judged: what every sparse rule begins with.

use super::{Job, Stats};
use crate::in_the_loop::Station;
use snn_core::{Dataset, Raster, Seed, Surrogate};
use snn_sparse::lanes::blocks;
use snn_sparse::{Block, Clocked, Past, Record, Scalar, Wants};
use std::ops::Range;
use std::time::Instant;

/// A trial in the memory of one thread.
pub(super) struct Trial<F: Scalar> {
    wants: Wants,
    pub input: Raster,
    pub record: Record<F>,
    /// The device that runs trials; `None`: the engine does.
    pub station: Option<Station>,
    /// Steps in front of the trial, of the one before it: 0, unless it [goes on](Self::go_on). There is nothing to learn from them but what they still bring.
    pub first: usize,
    /// `∂L/∂y[t][block]` of the output population.
    pub output: Vec<Block<F>>,
    /// By population: `∂L/∂z[block]` that holds at every step, the regulariser's.
    pub constant: Vec<Vec<Block<F>>>,
    y: Vec<Block<F>>, // the output population's values
    counts: Vec<f64>,
    pieces: Pieces,
}

/// What a trial that is run piece by piece needs besides.
#[derive(Default)]
struct Pieces {
    input: Raster,         // of the whole trial
    reached: usize,        // steps of the trial done
    here: usize,           // the same, as the record counts
    counts: Vec<Vec<f64>>, // spikes by unit, per population
    sums: Vec<f64>,        // of the loss
}

impl<F: Scalar> Trial<F> {
    /// No trial yet.
    pub fn new(engine: &Clocked<F>, surrogate: Surrogate) -> Self {
        let mut record = Record::new(engine);
        record.learning = true;
        Trial {
            wants: Wants::Active(surrogate),
            input: Raster::default(),
            record,
            station: None,
            first: 0,
            output: Vec::new(),
            constant: engine.cells().iter().map(|c| vec![Block::zero(); blocks(c.size())]).collect(),
            y: Vec::new(),
            counts: Vec::new(),
            pieces: Pieces::default(),
        }
    }

    /// The same, for a rule that needs events only: nothing else is kept of a trial.
    pub fn spikes_only(self) -> Self {
        Trial { wants: Wants::Spikes, ..self }
    }

    /// Begins to run trial `index` of the job piece by piece, in memory for `window` steps and what lies before them: its loss must be
    /// [stepwise](crate::Loss::stepwise), and its regulariser [known before](crate::Regulariser::known_before).
    pub fn begin(&mut self, job: &Job<'_, F>, index: usize, window: usize) {
        let engine = job.engine;
        let Pieces { input, reached, here, counts, .. } = &mut self.pieces;
        job.data.load(index, input);
        let room = window + engine.history();
        self.input.reset(input.units(), room);
        self.record.noise = noise(job, index);
        engine.begin(room, self.wants, &mut self.record);
        self.first = 0;
        (*reached, *here) = (0, 0);
        counts.resize_with(engine.cells().len(), Vec::new);
        for (p, counts) in counts.iter_mut().enumerate() {
            counts.clear();
            counts.resize(engine.cells()[p].size(), 0.0);
            self.constant[p].fill(Block::zero());
            if engine.cells()[p].spikes() {
                let before = job.rates.get(p).map(Vec::as_slice);
                job.regulariser.evaluate(counts, input.steps(), before, job.scale, &mut self.constant[p]);
            }
        }
    }

    /// Runs and judges the next piece, of at most `window` steps. Returns its steps as the record counts them, and whether the trial ends with them; `None`
    /// if it has ended.
    pub fn next(&mut self, job: &Job<'_, F>, index: usize, window: usize, stats: &mut Stats) -> Option<(Range<usize>, bool)> {
        let engine = job.engine;
        let Pieces { input, reached, here, counts, sums } = &mut self.pieces;
        let all = input.steps();
        let steps = *reached..(*reached + window).min(all);
        if steps.is_empty() {
            return None;
        }
        let start = Instant::now();
        let by = here.saturating_sub(engine.history());
        if by > 0 {
            self.record.shift(by);
            self.input.shift(by);
        }
        let first = *here - by;
        for (k, t) in steps.clone().enumerate() {
            match input.is_graded() {
                true => self.input.push_values(first + k, |units, values| {
                    units.extend_from_slice(input.at(t));
                    values.extend_from_slice(input.values_at(t));
                }),
                false => self.input.push_step(first + k, |units| units.extend_from_slice(input.at(t))),
            }
        }
        let active: Vec<usize> = self.record.traces.iter().map(|trace| trace.active.len()).collect();
        engine.advance(first + steps.len(), &[&self.input], &mut self.record);
        (*reached, *here) = (steps.end, first + steps.len());
        stats.forward_s += start.elapsed().as_secs_f64();
        let output = engine.outputs()[0];
        let (trace, units) = (&self.record.traces[output], engine.cells()[output].size());
        let piece = first * trace.blocks()..*here * trace.blocks();
        self.output.resize(trace.output.len(), Block::zero());
        let (y, error) = (&trace.output[piece.clone()], &mut self.output[piece]);
        let outcome = job.loss.evaluate_piece(y, units, job.data.target(index), steps.clone(), all, job.scale, error, sums);
        let last = steps.end == all;
        stats.count(outcome);
        stats.trials -= usize::from(!last);
        for (p, cells) in engine.cells().iter().enumerate() {
            for t in first..*here {
                let fired = self.record.spikes[p].at(t);
                fired.iter().for_each(|&j| counts[p][j as usize] += 1.0);
                stats.spikes[p] += fired.len() as u64;
            }
            stats.active[p] += (self.record.traces[p].active.len() - active[p]) as u64;
            stats.entries[p] += (steps.len() * cells.size()) as u64;
            if last && cells.spikes() && p != output {
                stats.penalise(job, p, &counts[p], &mut self.constant[p].clone());
            }
        }
        for link in engine.links() {
            let spikes = link.from.spikes(&[&self.input], &self.record.spikes);
            let heard = (first..*here).filter_map(|t| t.checked_sub(link.delay));
            stats.macs_forward += heard.map(|t| link.store.fan_out(spikes.at(t)) as u64).sum::<u64>();
        }
        Some((first..*here, last))
    }

    /// Runs trial `index` of the job and takes its loss and regulariser. Returns when the forward pass was over.
    pub fn run(&mut self, job: &Job<'_, F>, index: usize, stats: &mut Stats) -> Instant {
        self.record.noise = noise(job, index);
        let middle = self.play(job.engine, job.data, index, stats);
        self.judge(job, index, stats);
        middle
    }

    /// As [`run`](Self::run), but the trial goes on from `past`, which becomes where it ends.
    pub fn go_on(&mut self, job: &Job<'_, F>, index: usize, past: &mut Past<F>, stats: &mut Stats) -> Instant {
        let engine = job.engine;
        job.data.load(index, &mut self.pieces.input);
        past.lead(engine, 0, &self.pieces.input, &mut self.input);
        self.record.noise = noise(job, index);
        self.first = engine.history();
        let start = Instant::now();
        engine.go_on(past, &[&self.input], self.wants, &mut self.record);
        *past = past.after(engine, &[&self.input], &self.record);
        let middle = Instant::now();
        stats.forward_s += (middle - start).as_secs_f64();
        self.judge(job, index, stats);
        middle
    }

    /// Runs trial `index` of `data`. Returns when it was over.
    pub fn play(&mut self, engine: &Clocked<F>, data: &dyn Dataset, index: usize, stats: &mut Stats) -> Instant {
        self.first = 0;
        data.load(index, &mut self.input);
        let start = Instant::now();
        match &mut self.station {
            None => engine.run(&[&self.input], self.wants, &mut self.record),
            Some(station) => station.play(engine, &self.input, index, self.wants, &mut self.record),
        }
        let middle = Instant::now();
        stats.forward_s += (middle - start).as_secs_f64();
        middle
    }

    fn judge(&mut self, job: &Job<'_, F>, index: usize, stats: &mut Stats) {
        let engine = job.engine;
        let output = engine.outputs()[0];
        let (trace, units) = (&self.record.traces[output], engine.cells()[output].size());
        trace.values(&mut self.y);
        self.output.resize(self.y.len(), Block::zero());
        let before = self.first * trace.blocks();
        self.output[..before].fill(Block::zero());
        stats.count(job.loss.evaluate(&self.y[before..], units, job.data.target(index), job.scale, &mut self.output[before..]));
        for (p, constant) in self.constant.iter_mut().enumerate() {
            constant.fill(Block::zero());
            if p != output && engine.cells()[p].output().is_binary() {
                let spikes = &self.record.spikes[p];
                self.counts.clear();
                self.counts.resize(spikes.units(), 0.0);
                (self.first..spikes.steps()).flat_map(|t| spikes.at(t)).for_each(|&j| self.counts[j as usize] += 1.0);
                stats.penalise(job, p, &self.counts, constant);
            }
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let planes = self.output.capacity() + self.y.capacity() + self.constant.iter().map(Vec::capacity).sum::<usize>();
        let counts = self.pieces.counts.iter().map(Vec::capacity).sum::<usize>() + self.pieces.sums.capacity();
        self.input.bytes() + self.pieces.input.bytes() + self.record.bytes() + planes * size_of::<Block<F>>() + 8 * counts
    }
}

/// Chooses the noise of reads: other numbers for every trial and after every update.
pub(super) fn noise<F: Scalar>(job: &Job<'_, F>, index: usize) -> Seed {
    Seed::new(job.updates).nth(index as u64)
}
