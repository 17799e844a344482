//! One trial, run and judged: what every sparse rule begins with.

use super::{Job, Stats};
use snn_core::{Raster, Surrogate};
use snn_sparse::lanes::blocks;
use snn_sparse::{Block, Clocked, Record, Scalar, Wants};
use std::time::Instant;

/// A trial in the memory of one thread.
pub(super) struct Trial<F: Scalar> {
    wants: Wants,
    pub input: Raster,
    pub record: Record<F>,
    /// `∂L/∂y[t][block]` of the output population.
    pub output: Vec<Block<F>>,
    /// By population: `∂L/∂z[block]` that holds at every step, the regulariser's.
    pub constant: Vec<Vec<Block<F>>>,
    y: Vec<Block<F>>, // the output population's values
    counts: Vec<f64>,
}

impl<F: Scalar> Trial<F> {
    /// No trial yet.
    pub fn new(engine: &Clocked<F>, surrogate: Surrogate) -> Self {
        Trial {
            wants: Wants::Active(surrogate),
            input: Raster::default(),
            record: Record::new(engine),
            output: Vec::new(),
            constant: engine.cells().iter().map(|c| vec![Block::zero(); blocks(c.size())]).collect(),
            y: Vec::new(),
            counts: Vec::new(),
        }
    }

    /// Runs trial `index` of the job and takes its loss and regulariser. Returns when the forward pass was over.
    pub fn run(&mut self, job: &Job<'_, F>, index: usize, stats: &mut Stats) -> Instant {
        job.data.load(index, &mut self.input);
        let start = Instant::now();
        job.engine.run(&[&self.input], self.wants, &mut self.record);
        let middle = Instant::now();
        stats.forward_s += (middle - start).as_secs_f64();
        self.judge(job, index, stats);
        middle
    }

    fn judge(&mut self, job: &Job<'_, F>, index: usize, stats: &mut Stats) {
        let engine = job.engine;
        let output = engine.outputs()[0];
        let (trace, units) = (&self.record.traces[output], engine.cells()[output].size());
        trace.values(&mut self.y);
        self.output.resize(self.y.len(), Block::zero());
        stats.count(job.loss.evaluate(&self.y, units, job.data.target(index), job.scale, &mut self.output));
        for (p, constant) in self.constant.iter_mut().enumerate() {
            constant.fill(Block::zero());
            if p != output && engine.cells()[p].spikes() {
                let spikes = &self.record.spikes[p];
                self.counts.clear();
                self.counts.resize(spikes.units(), 0.0);
                (0..spikes.steps()).flat_map(|t| spikes.at(t)).for_each(|&j| self.counts[j as usize] += 1.0);
                stats.penalise(job, p, &self.counts, constant);
            }
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let planes = self.output.capacity() + self.y.capacity() + self.constant.iter().map(Vec::capacity).sum::<usize>();
        self.input.bytes() + self.record.bytes() + planes * size_of::<Block<F>>()
    }
}
