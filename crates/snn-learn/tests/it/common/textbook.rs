//! One trial by the textbook: dense, every link and every step by itself.

use snn_core::neuron::Jacobian;
use snn_core::{Dataset, Raster, Surrogate, Trials};
use snn_learn::{Loss, Regulariser};
use snn_sparse::lanes::blocks;
use snn_sparse::{Block, Clocked, LANES, Record, Source, Wants};

/// What one trial did, dense: by population `[step][unit]`.
pub struct Played {
    pub psi: Vec<Vec<Vec<f64>>>,
    pub fired: Vec<Vec<Vec<f64>>>,
    pub input: Vec<Vec<f64>>,
    /// `∂E/∂y[step][unit]`.
    pub error: Vec<Vec<f64>>,
    /// The regulariser's derivative by a spike.
    pub constant: Vec<Vec<f64>>,
    /// The local derivatives, `[population][step][unit]`.
    pub local: Vec<Vec<Vec<Jacobian>>>,
}

/// The derivatives at every step: constants by the last output, or of a model that is not affine at the recorded points.
fn derivatives(engine: &Clocked<f64>, record: &Record<f64>, fired: &[Vec<Vec<f64>>], steps: usize) -> Vec<Vec<Vec<Jacobian>>> {
    let of = |p: usize, t: usize| -> Vec<Jacobian> {
        let (cells, k) = (&engine.cells()[p], engine.cells()[p].states());
        let z = |j: usize| if t > 0 && cells.spikes() { fired[p][t - 1][j] } else { 0.0 };
        if cells.local().affine {
            return (0..cells.size()).map(|j| *cells.local().of(j, z(j) as usize)).collect();
        }
        let mut all = Vec::new();
        for b in 0..blocks(cells.size()) {
            let (mut last, mut planes) = (Block::zero(), vec![Block::zero(); k * k + 3 * k + 2]);
            let lanes = cells.size().min((b + 1) * LANES) - b * LANES;
            (0..lanes).for_each(|l| last[l] = z(b * LANES + l));
            cells.derivatives(engine.simd(), b, record.traces[p].before(t, b), &last, &mut planes);
            let at = |l: usize| {
                let mut d = Jacobian { u_z: planes[k * k + 3 * k][l], u_x: planes[k * k + 3 * k + 1][l], ..Jacobian::default() };
                for i in 0..k {
                    (0..k).for_each(|j| d.s_s[i][j] = planes[i * k + j][l]);
                    (d.s_z[i], d.s_x[i], d.u_s[i]) = (planes[k * k + i][l], planes[k * k + k + i][l], planes[k * k + 2 * k + i][l]);
                }
                d
            };
            all.extend((0..lanes).map(at));
        }
        all
    };
    (0..engine.cells().len()).map(|p| (0..steps).map(|t| of(p, t)).collect()).collect()
}

pub fn play(engine: &Clocked<f64>, surrogate: Surrogate, data: &Trials, trial: usize, loss: Loss, regulariser: Regulariser) -> Played {
    let (raster, record) = engine.trial(data, trial, Wants::Active(surrogate));
    let (steps, output) = (raster.steps(), engine.outputs()[0]);
    let dense = |spikes: &Raster| {
        let mut plane = vec![vec![0.0; spikes.units()]; steps];
        spikes.iter_values().for_each(|(t, j, z)| plane[t][j as usize] = z);
        plane
    };
    let fired: Vec<_> = record.spikes.iter().map(dense).collect();
    let psi = record.traces.iter().map(|trace| {
        let mut plane = vec![vec![0.0; trace.units()]; steps];
        let active = &trace.active;
        (0..active.len()).for_each(|e| plane[active.step[e] as usize][active.unit[e] as usize] = active.value[e]);
        plane
    });
    let psi = psi.collect();
    let (mut y, units) = (Vec::new(), engine.cells()[output].size());
    record.traces[output].values(&mut y);
    let mut error = vec![Block::zero(); y.len()];
    loss.evaluate(&y, units, data.target(trial), 0.5, &mut error);
    let error = (0..steps).map(|t| (0..units).map(|k| error[t * blocks(units) + k / LANES][k % LANES]).collect()).collect();
    let constant = fired.iter().enumerate().map(|(p, fired)| {
        let size = engine.cells()[p].size();
        let mut constant = vec![Block::zero(); blocks(size)];
        if engine.cells()[p].spikes() {
            let counts: Vec<f64> = (0..size).map(|j| fired.iter().map(|row| row[j]).sum()).collect();
            regulariser.evaluate(&counts, steps, None, 0.5, &mut constant);
        }
        (0..size).map(|j| constant[j / LANES][j % LANES]).collect()
    });
    let constant = constant.collect();
    let local = derivatives(engine, &record, &fired, steps);
    Played { psi, fired, input: dense(&raster), error, constant, local }
}

impl Played {
    pub fn source(&self, from: Source) -> &[Vec<f64>] {
        match from {
            Source::Input(_) => &self.input,
            Source::Population(q) => &self.fired[q],
        }
    }
    /// The output of unit `i` of a source, `delay` steps before `t`.
    pub fn heard(&self, from: Source, i: usize, t: usize, delay: usize) -> f64 {
        if t >= delay { self.source(from)[t - delay][i] } else { 0.0 }
    }
    pub fn steps(&self) -> usize {
        self.input.len()
    }
    /// The eligibility traces `e[t]` of a link into unit `j` of population `p`; of a readout the derivatives of its value.
    pub fn traces(&self, engine: &Clocked<f64>, p: usize, j: usize, x: impl Fn(usize) -> f64) -> Vec<f64> {
        let (states, events) = (engine.cells()[p].states(), engine.cells()[p].output().is_events());
        let (mut eps, mut e) = ([0.0; 4], 0.0);
        let step = |t: usize| {
            let jac = self.local[p][t][j];
            let h = (0..states).fold(jac.u_z * e + jac.u_x * x(t), |sum, k| sum + jac.u_s[k] * eps[k]);
            eps = std::array::from_fn(|i| (0..states).fold(jac.s_z[i] * e + jac.s_x[i] * x(t), |s, k| s + jac.s_s[i][k] * eps[k]));
            e = if events { self.psi[p][t][j] * h } else { h };
            e
        };
        (0..self.steps()).map(step).collect()
    }
}

/// `dE/dz[population][step][unit]` by backpropagation, without what returns through the neuron's own state; at the readout `dE/dy`.
pub fn errors_at_spikes(engine: &Clocked<f64>, played: &Played) -> Vec<Vec<Vec<f64>>> {
    let output = engine.outputs()[0];
    let zero = |p: usize| vec![vec![0.0; engine.cells()[p].size()]; played.steps()];
    let count = engine.cells().len();
    let (mut error, mut delta): (Vec<_>, Vec<_>) = ((0..count).map(zero).collect(), (0..count).map(zero).collect());
    let mut carry: Vec<Vec<([f64; 4], f64)>> = (0..count).map(|p| vec![([0.0; 4], 0.0); engine.cells()[p].size()]).collect();
    for t in (0..played.steps()).rev() {
        // The readout first: it may hear within the step.
        for p in std::iter::once(output).chain((0..count).filter(|&p| p != output)) {
            for j in 0..engine.cells()[p].size() {
                let mut z = played.constant[p][j];
                for link in engine.links().iter().filter(|l| l.from == Source::Population(p) && t + l.delay < played.steps()) {
                    let values = link.store.values();
                    let into = link.store.triplets().into_iter().filter(|&(i, ..)| i == j);
                    z += into.map(|(_, to, k)| values[k] * delta[link.to][t + link.delay][to]).sum::<f64>();
                }
                let (lambda, mu) = carry[p][j];
                let d = if p == output { played.error[t][j] } else { played.psi[p][t][j] * (z + mu) };
                error[p][t][j] = if p == output { played.error[t][j] } else { z };
                let jac = played.local[p][t][j];
                let sum = |first: f64, by: [f64; 4]| (0..4).fold(first * d, |sum, i| sum + by[i] * lambda[i]);
                delta[p][t][j] = sum(jac.u_x, jac.s_x);
                carry[p][j] = (std::array::from_fn(|k| sum(jac.u_s[k], std::array::from_fn(|i| jac.s_s[i][k]))), sum(jac.u_z, jac.s_z));
            }
        }
    }
    error
}
