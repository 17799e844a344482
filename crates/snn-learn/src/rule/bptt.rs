//! Dense backpropagation through time: the honest baseline, and the oracle of the sparse rules.

use super::adjoint::{Adjoint, Carry, DenseStep, Weighted, with_states};
use super::trial::noise;
use super::{Gradients, Job, Rule, RuleError, Stats, Worker, check_common, check_no_reads};
use crate::gemm::{Field, add_product, matrix, matrix_mut};
use crate::in_the_loop::Station;
use serde::{Deserialize, Serialize};
use snn_core::neuron::Output;
use snn_core::{Raster, Surrogate};
use snn_sparse::lanes::{Isa, Kernel, Simd, blocks, flat, flat_mut, valid_lanes};
use snn_sparse::{Block, Cells, Clocked, DenseRow, LANES, Link, Local, Past, Scalar, Source, Synapses};
use std::ops::Range;
use std::time::Instant;

/// Backpropagation through time on dense tensors, linear in the number of steps.
///
/// Every layer is one matrix product over all trials and steps of a chunk, then one scan over time; recurrent layers take one product
/// per step over the trials of a chunk. Nothing is skipped: this is what a good dense framework does, and what the sparse rule is
/// measured against.
///
/// Cost: `3 · trials · steps · Σ sources·targets` multiply-accumulates (two thirds of it backward, less for the first layer).
/// Memory: five dense numbers per trial, step and neuron, one per trial, step and input channel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bptt {
    /// The surrogate derivative, with or without a window.
    pub surrogate: Surrogate,
    /// Run the smoothed network, in which a spike is [`Surrogate::smooth_step`]: its gradient is exact, and finite differences can
    /// judge it. For gradient checks.
    #[serde(default)]
    pub smooth: bool,
    /// Take the network's input as events instead of as a dense tensor: the same gradient, without the products of the input layer.
    #[serde(default)]
    pub events_in: bool,
}

impl Bptt {
    /// BPTT with this surrogate.
    pub const fn new(surrogate: Surrogate) -> Self {
        Bptt { surrogate, smooth: false, events_in: false }
    }
    /// The same, with the input as events.
    pub const fn events_in(self) -> Self {
        Bptt { events_in: true, ..self }
    }
}

impl<F: Field> Rule<F> for Bptt {
    fn name(&self) -> &'static str {
        "bptt"
    }
    fn check(&self, engine: &Clocked<F>) -> Result<(), RuleError> {
        check_common("bptt", &self.surrogate, engine)?;
        check_no_reads("bptt", engine)?;
        let hard = |c: &dyn Cells<F>| c.refractory() > 0 || (c.local().affine && !c.local().reset_free);
        match engine.cells().iter().position(|c| hard(&**c)) {
            Some(p) if self.smooth => {
                Err(RuleError::Smooth { rule: "bptt", population: engine.network().draft().populations[p].name.clone() })
            }
            _ => Ok(()),
        }
    }
    fn worker(&self, engine: &Clocked<F>) -> Box<dyn Worker<F>> {
        let layer = |p: usize| {
            let cells = &engine.cells()[p];
            let scan: Box<dyn ScanBack<F>> = adjoint_scan(cells.local());
            Layer {
                width: blocks(cells.size()),
                u: Vec::new(),
                more: vec![Vec::new(); cells.ports() - 1],
                z: Vec::new(),
                weighted: (cells.output() == Output::Weighted).then(Values::default),
                slope: Vec::new(),
                error: Vec::new(),
                state: Vec::new(),
                before: Vec::new(),
                counts: [0; 2],
                scan,
            }
        };
        Box::new(Dense {
            rule: *self,
            layers: (0..engine.cells().len()).map(layer).collect(),
            places: (0..engine.links().len()).map(|k| places(engine, k)).collect(),
            relinked: engine.relinked(),
            input: Vec::new(),
            rasters: Vec::new(),
            station: None,
            pasts: Vec::new(),
            first: 0,
            recorded: Vec::new(),
            weights: Vec::new(),
            gradient: Vec::new(),
            y: Vec::new(),
            dy: Vec::new(),
        })
    }
    fn takes_device(&self) -> bool {
        !self.smooth // the smoothed network has no events
    }
    fn carries(&self) -> bool {
        !self.smooth
    }
    fn together(&self, _: &Clocked<F>) -> usize {
        32
    }
}

/// For every link of `links()[k]`: its place in the store, and in a dense row-major matrix of padded rows.
fn places<F: Scalar>(engine: &Clocked<F>, k: usize) -> Vec<(u32, u32)> {
    let link = &engine.links()[k];
    let width = blocks(engine.cells()[link.to].size()) * LANES;
    let slots = link.store.slots();
    link.store.triplets().into_iter().map(|(i, j, k)| (slots[k] as u32, (i * width + j) as u32)).collect()
}

/// One population's dense planes, `[step][trial][block]`.
struct Layer<F: Scalar> {
    width: usize,
    /// The first input, then distance to threshold; in the backward pass `∂L/∂x`.
    u: Vec<Block<F>>,
    /// The further inputs; in the backward pass `∂L/∂x`.
    more: Vec<Vec<Block<F>>>,
    /// Output.
    z: Vec<Block<F>>,
    /// What others hear, where that is not the output.
    weighted: Option<Values<F>>,
    /// Derivative of the output by `u`.
    slope: Vec<Block<F>>,
    /// `∂L/∂z`.
    error: Vec<Block<F>>,
    /// `[trial][block][state variable]`.
    state: Vec<Block<F>>,
    /// `[step][trial][block][state variables, inputs]` before each step; of a model that is not affine.
    before: Vec<Block<F>>,
    /// Events and entries with a slope.
    counts: [u64; 2],
    scan: Box<dyn ScanBack<F>>,
}

/// Of a population whose events are weighted, `y = z·worth`.
#[derive(Default)]
struct Values<F> {
    /// `[step][trial][block]`: what events are worth.
    worth: Vec<Block<F>>,
    /// `[step][trial][block]`: what others hear.
    heard: Vec<Block<F>>,
    /// `[trial][block]`: `∂L/∂z` of the events themselves, at every step.
    constant: Vec<Block<F>>,
}

impl<F: Scalar> Layer<F> {
    /// What others hear: the output, or the output times its worth.
    fn sent(&self) -> &[Block<F>] {
        self.weighted.as_ref().map_or(&self.z, |values| &values.heard)
    }

    /// The input that `link` goes to; in the backward pass `∂L/∂x` there.
    fn input(&mut self, link: &Link<F>) -> &mut Vec<Block<F>> {
        match link.port.unwrap_or(0) {
            0 => &mut self.u,
            port => &mut self.more[port - 1],
        }
    }

    /// `∂L/∂x` at the input that `link` goes to.
    fn delta(&self, link: &Link<F>) -> &[Block<F>] {
        match link.port.unwrap_or(0) {
            0 => &self.u,
            port => &self.more[port - 1],
        }
    }
}

struct Dense<F: Scalar> {
    rule: Bptt,
    layers: Vec<Layer<F>>,
    places: Vec<Vec<(u32, u32)>>,
    relinked: u64, // what they were found in: `Clocked::relinked`
    input: Vec<F>, // [step][trial][channel]
    rasters: Vec<Raster>,
    /// The device that runs trials; `None`: the dense products do.
    station: Option<Station>,
    /// Where the trials to learn from begin, one for each; none: at rest.
    pasts: Vec<Past<F>>,
    first: usize,               // steps in front of a trial that goes on, of the one before it
    recorded: Vec<Vec<Raster>>, // by trial and population, of a device
    weights: Vec<Vec<F>>,
    gradient: Vec<F>,
    y: Vec<Block<F>>,
    dy: Vec<Block<F>>,
}

/// Output and slope from `u`, whole rows at a time. Returns how many units had an event, and how many have a slope.
struct Emit<'a, F> {
    rule: Bptt,
    output: Output,
    size: usize,
    u: &'a [Block<F>],
    z: &'a mut [Block<F>],
    slope: &'a mut [Block<F>],
}

impl<F: Scalar> Kernel for Emit<'_, F> {
    type Number = F;
    type Out = [u64; 2];

    #[inline(always)]
    fn run<I: Isa>(self) -> [u64; 2] {
        let surrogate = self.rule.surrogate;
        let reach = F::of(surrogate.reach());
        let (zero, one) = (F::default(), F::of(1.0));
        let mut counts = [0; 2];
        for (k, ((u, z), slope)) in self.u.iter().zip(self.z).zip(self.slope).enumerate() {
            let valid = valid_lanes(self.size, k % blocks(self.size));
            if self.output == Output::Linear {
                (*z, *slope) = (*u, Block::splat(one));
                counts[0] += (0..LANES).filter(|&l| valid >> l & 1 == 1 && u.0[l] != zero).count() as u64;
                counts[1] += u64::from(valid.count_ones());
                continue;
            }
            counts[0] += u64::from((F::positive::<I>(u) & valid).count_ones());
            if self.output == Output::Rectified {
                for l in 0..LANES {
                    (z.0[l], slope.0[l]) = if u.0[l] > zero { (u.0[l], one) } else { (zero, zero) };
                }
                counts[1] = counts[0];
                continue;
            }
            // Events that carry their worth have a derivative also where the surrogate has none.
            let events = if self.output == Output::Weighted { F::positive::<I>(u) } else { 0 };
            counts[1] += u64::from(((F::within::<I>(u, reach) | events) & valid).count_ones());
            for l in 0..LANES {
                z.0[l] = if u.0[l] > zero { one } else { zero };
                slope.0[l] = if u.0[l].abs() < reach { surrogate.slope_within(u.0[l]) } else { zero };
            }
            if self.rule.smooth {
                for l in 0..LANES {
                    z.0[l] = F::of(surrogate.smooth_step(u.0[l].value()));
                }
            }
        }
        counts
    }
}

impl<F: Field> Worker<F> for Dense<F> {
    fn learn(&mut self, job: &Job<'_, F>, trials: &[usize], gradients: &mut Gradients<F>) -> Stats {
        let (engine, m) = (job.engine, trials.len());
        self.first = if self.pasts.is_empty() { 0 } else { engine.history() };
        let (first, steps) = (self.first, self.first + job.data.steps());
        let count = engine.cells().len();
        let mut stats = Stats::of(count);
        if m == 0 || steps == first {
            return stats;
        }
        self.load(job, trials);
        let start = Instant::now();
        self.recorded.clear();
        if let Some(station) = &mut self.station {
            let runs =
                self.rasters.iter().zip(trials).map(|(raster, &trial)| station.run(engine, raster, trial).into_iter().cloned().collect());
            self.recorded.extend(runs);
        }
        self.forward(job, trials, steps);
        self.keep(engine, steps, m);
        let middle = Instant::now();
        self.judge(job, trials, &mut stats);
        let judged = Instant::now();
        self.backward(engine, steps, m, gradients);
        stats.forward_s = (middle - start).as_secs_f64();
        stats.backward_s = judged.elapsed().as_secs_f64();
        for link in engine.links() {
            let rows = match link.from {
                Source::Input(_) if self.rule.events_in => {
                    let heard = first.saturating_sub(link.delay)..steps;
                    self.rasters[..m].iter().map(|raster| heard.clone().map(|t| raster.at(t).len()).sum::<usize>()).sum()
                }
                from => (steps - first.max(link.delay).min(steps)) * m * engine.size(from),
            };
            let cells = (rows * engine.cells()[link.to].size()) as u64;
            stats.macs_forward += cells;
            stats.macs_backward += if let Source::Population(_) = link.from { 2 * cells } else { cells };
        }
        stats
    }

    fn play_on(&mut self, station: Option<Station>) -> Option<Station> {
        std::mem::replace(&mut self.station, station)
    }

    fn go_on_from(&mut self, pasts: Vec<Past<F>>) -> Vec<Past<F>> {
        std::mem::replace(&mut self.pasts, pasts)
    }

    fn bytes(&self) -> usize {
        let planes: usize = self
            .layers
            .iter()
            .map(|l| {
                let values = l.weighted.as_ref().map_or(0, |v| v.worth.capacity() + v.heard.capacity() + v.constant.capacity());
                l.more.iter().map(Vec::capacity).sum::<usize>()
                    + values
                    + l.u.capacity()
                    + l.z.capacity()
                    + l.slope.capacity()
                    + l.error.capacity()
                    + l.state.capacity()
                    + l.before.capacity()
            })
            .sum();
        self.input.capacity() * size_of::<F>()
            + (planes + self.y.capacity() + self.dy.capacity()) * size_of::<Block<F>>()
            + self.rasters.iter().chain(self.recorded.iter().flatten()).map(Raster::bytes).sum::<usize>()
    }
}

impl<F: Field> Dense<F> {
    /// The inputs as a dense tensor, the weights as dense matrices.
    fn load(&mut self, job: &Job<'_, F>, trials: &[usize]) {
        let (n, m, steps) = (job.data.inputs(), trials.len(), self.first + job.data.steps());
        self.rasters.resize_with(m.max(self.rasters.len()), Raster::default);
        self.rasters.iter_mut().zip(trials).for_each(|(raster, &trial)| job.data.load(trial, raster));
        let mut next = Raster::default();
        for (raster, past) in self.rasters.iter_mut().zip(&self.pasts) {
            std::mem::swap(raster, &mut next);
            past.lead(job.engine, 0, &next, raster);
        }
        self.input.clear();
        if !self.rule.events_in {
            self.input.resize(steps * m * n, F::default());
            for (k, raster) in self.rasters[..m].iter().enumerate() {
                raster.iter_values().for_each(|(t, i, x)| self.input[(t * m + k) * n + i as usize] = F::of(x));
            }
        }
        if self.relinked != job.engine.relinked() {
            self.places = (0..job.engine.links().len()).map(|k| places(job.engine, k)).collect();
            self.relinked = job.engine.relinked();
        }
        self.weights.clear();
        for (link, places) in job.engine.links().iter().zip(&self.places) {
            let mut dense = vec![F::default(); job.engine.size(link.from) * self.layers[link.to].width * LANES];
            let w = flat(link.store.weights());
            places.iter().for_each(|&(slot, place)| dense[place as usize] = w[slot as usize]);
            self.weights.push(dense);
        }
    }

    fn forward(&mut self, job: &Job<'_, F>, trials: &[usize], steps: usize) {
        let (engine, m) = (job.engine, trials.len());
        for (layer, cells) in self.layers.iter_mut().zip(engine.cells()) {
            let size = steps * m * layer.width;
            let values = layer.weighted.iter_mut().flat_map(|values| [&mut values.worth, &mut values.heard]);
            for plane in [&mut layer.u, &mut layer.z, &mut layer.slope, &mut layer.error].into_iter().chain(&mut layer.more).chain(values) {
                plane.clear();
                plane.resize(size, Block::zero());
            }
            if let Some(values) = &mut layer.weighted {
                values.constant.clear();
                values.constant.resize(m * layer.width, Block::zero());
            }
            layer.counts = [0; 2];
            layer.state.clear();
            layer.state.resize(m * layer.width * cells.states(), Block::zero());
            layer.before.resize(if cells.local().affine { 0 } else { size * (cells.states() + cells.ports()) }, Block::zero());
        }
        self.begin_from_pasts(engine, m);
        let first = self.first;
        for (p, port) in (0..self.layers.len()).filter_map(|p| Some((p, engine.zoneout_port(p)?))) {
            self.zone_out(job, trials, p, port, steps);
        }
        for component in engine.components() {
            let inside = |from: Source| matches!(from, Source::Population(q) if component.populations.contains(&q));
            for &p in &component.populations {
                for &k in engine.incoming(p) {
                    if !inside(engine.links()[k].from) {
                        self.deliver(engine, k, first..steps, m);
                    }
                }
                if !component.recurrent {
                    (first..steps).for_each(|t| self.step(engine, p, t, m));
                }
            }
            for t in (first..steps).filter(|_| component.recurrent) {
                for &p in &component.populations {
                    for &k in engine.incoming(p) {
                        if inside(engine.links()[k].from) {
                            self.deliver(engine, k, t..t + 1, m);
                        }
                    }
                    self.step(engine, p, t, m);
                }
            }
        }
    }

    /// Puts the pasts where trials begin: states, and the events of the steps in front.
    fn begin_from_pasts(&mut self, engine: &Clocked<F>, m: usize) {
        for (k, past) in self.pasts.iter().enumerate() {
            for (p, (layer, cells)) in self.layers.iter_mut().zip(engine.cells()).enumerate() {
                let (w, states) = (layer.width, past.state(p));
                let each = w * cells.states();
                flat_mut(&mut layer.state[k * each..(k + 1) * each]).iter_mut().zip(states).for_each(|(to, from)| *to = *from);
                for &(t, unit, value) in past.events(p) {
                    let (row, lane) = ((t as usize * m + k) * w + unit as usize / LANES, unit as usize % LANES);
                    // What spikes is handed its own output, what is weighted sends a value besides.
                    layer.z[row].0[lane] = F::of(if layer.weighted.is_some() { 1.0 } else { value });
                    layer.weighted.iter_mut().for_each(|values| values.heard[row].0[lane] = F::of(value));
                }
            }
        }
    }

    /// Draws which units of population `p` keep their state, and closes them.
    fn zone_out(&mut self, job: &Job<'_, F>, trials: &[usize], p: usize, port: usize, steps: usize) {
        let (layer, m) = (&mut self.layers[p], trials.len());
        let plane = if port == 0 { &mut layer.u } else { &mut layer.more[port - 1] };
        for (k, &trial) in trials.iter().enumerate() {
            let clock = self.pasts.get(k).map_or(0, |past| past.clock().wrapping_sub(self.first));
            for t in self.first..steps {
                let row = (t * m + k) * layer.width;
                let blocks = plane[row..row + layer.width].iter_mut().enumerate();
                blocks.for_each(|(b, into)| job.engine.zone_out(p, noise(job, trial), clock.wrapping_add(t), b, into));
            }
        }
    }

    /// Moves the pasts to where the trials end. The smoothed network has no events to go on from.
    fn keep(&mut self, engine: &Clocked<F>, steps: usize, m: usize) {
        if self.rule.smooth {
            return;
        }
        for (k, past) in self.pasts.iter_mut().enumerate() {
            let layers = || self.layers.iter().zip(engine.cells());
            let events = layers().map(|(layer, cells)| {
                let mut raster = Raster::new(cells.size(), self.first);
                for t in 0..self.first {
                    let row = ((steps - self.first + t) * m + k) * layer.width;
                    let (z, sent) = (flat(&layer.z[row..row + layer.width]), flat(&layer.sent()[row..row + layer.width]));
                    let fired = (0..cells.size()).filter(|&j| z[j] != F::default());
                    match cells.output().has_values() {
                        true => raster.push_values(t, |units, values| {
                            units.extend(fired.clone().map(|j| j as u32));
                            values.extend(fired.map(|j| sent[j].value()));
                        }),
                        false => raster.push_step(t, |units| units.extend(fired.map(|j| j as u32))),
                    }
                }
                raster
            });
            let events: Vec<Raster> = events.collect();
            let states = layers().map(|(layer, cells)| {
                let each = layer.width * cells.states();
                flat(&layer.state[k * each..(k + 1) * each]).to_vec()
            });
            *past = past.moved(engine, &[&self.rasters[k]], events.iter().zip(states));
        }
    }

    /// `x[t] += S[t − delay]·W` for the target steps `steps`, as one matrix product.
    fn deliver(&mut self, engine: &Clocked<F>, k: usize, steps: Range<usize>, m: usize) {
        let link = &engine.links()[k];
        let first = steps.start.max(link.delay);
        if first >= steps.end {
            return;
        }
        let mut u = std::mem::take(self.layers[link.to].input(link));
        if self.rule.events_in && matches!(link.from, Source::Input(_)) {
            engine.simd().run(FromEvents { link, rasters: &self.rasters[..m], steps, rows: Rows::Deliver(&mut u) });
            *self.layers[link.to].input(link) = u;
            return;
        }
        let (rows, n, size, width) =
            ((steps.end - first) * m, engine.size(link.from), engine.cells()[link.to].size(), self.layers[link.to].width * LANES);
        let (source, stride) = match link.from {
            Source::Input(_) => (&self.input[..], n),
            Source::Population(q) => (flat(self.layers[q].sent()), self.layers[q].width * LANES),
        };
        let from = &source[(first - link.delay) * m * stride..][..rows * stride];
        let into = &mut flat_mut(&mut u)[first * m * width..][..rows * width];
        add_product(matrix_mut(into, rows, size, width), matrix(from, rows, n, stride), matrix(&self.weights[k], n, size, width));
        *self.layers[link.to].input(link) = u;
    }

    /// One step of all trials of population `p`.
    fn step(&mut self, engine: &Clocked<F>, p: usize, t: usize, m: usize) {
        let (cells, layer) = (&engine.cells()[p], &mut self.layers[p]);
        let (w, states, ports) = (layer.width, cells.states(), cells.ports());
        let row = |t: usize, k: usize| (t * m + k) * w..(t * m + k + 1) * w;
        let silence = vec![Block::zero(); if t == 0 { w } else { 0 }];
        for k in 0..m {
            let z = if t == 0 { &silence[..] } else { &layer.z[row(t - 1, k)] };
            let (x, state) = (&mut layer.u[row(t, k)], &mut layer.state[k * w * states..(k + 1) * w * states]);
            let more: Vec<&[Block<F>]> = layer.more.iter().map(|plane| &plane[row(t, k)]).collect();
            x.iter_mut().zip(cells.current()).for_each(|(x, current)| *x = x.plus(current));
            if !cells.local().affine {
                for (b, x) in x.iter().enumerate() {
                    let before = &mut layer.before[(row(t, k).start + b) * (states + ports)..][..states + ports];
                    before[..states].copy_from_slice(&state[b * states..][..states]);
                    before[states] = *x;
                    before[states + 1..].iter_mut().zip(&more).for_each(|(before, plane)| *before = plane[b]);
                }
            }
            let worth = layer.weighted.as_mut().map_or(&mut [][..], |values| &mut values.worth[row(t, k)]);
            cells.step_dense(engine.simd(), DenseRow { u: x, more: &more, z, state, worth });
        }
        for ago in 1..=cells.refractory().min(t) {
            let (u, z) = (&mut layer.u[row(t, 0).start..row(t, m - 1).end], &layer.z[row(t - ago, 0).start..row(t - ago, m - 1).end]);
            for (u, _) in flat_mut(u).iter_mut().zip(flat(z)).filter(|(_, z)| **z > F::default()) {
                *u = F::of(f64::NEG_INFINITY);
            }
        }
        let all = t * m * w..(t + 1) * m * w;
        if cells.output().is_events() {
            let (u, z, slope) = (&layer.u[all.clone()], &mut layer.z[all.clone()], &mut layer.slope[all.clone()]);
            let mut counts = engine.simd().run(Emit { rule: self.rule, output: cells.output(), size: cells.size(), u, z, slope });
            if !self.recorded.is_empty() {
                let rectified = cells.output() == Output::Rectified;
                counts[0] = told(self.recorded.iter().map(|trial| &trial[p]), t, z, rectified.then_some(slope));
                counts[1] = if rectified { counts[0] } else { counts[1] };
            }
            layer.counts.iter_mut().zip(counts).for_each(|(sum, n)| *sum += n);
            if let Some(Values { worth, heard, .. }) = &mut layer.weighted {
                let (z, worth) = (flat(&layer.z[all.clone()]), flat(&worth[all.clone()]));
                flat_mut(&mut heard[all]).iter_mut().zip(z.iter().zip(worth)).for_each(|(y, (&z, &worth))| *y = z * worth);
            }
        } else {
            layer.slope[all].fill(Block::splat(F::of(1.0)));
        }
    }

    fn judge(&mut self, job: &Job<'_, F>, trials: &[usize], stats: &mut Stats) {
        let engine = job.engine;
        let (output, m, first, steps) = (engine.outputs()[0], trials.len(), self.first, self.first + job.data.steps());
        for (p, (layer, cells)) in self.layers.iter_mut().zip(engine.cells()).enumerate() {
            let (w, size) = (layer.width, cells.size());
            for (k, &trial) in trials.iter().enumerate() {
                let row = |t: usize| (t * m + k) * w..(t * m + k + 1) * w;
                if p == output {
                    let y = if cells.output().is_events() { layer.sent() } else { &layer.u };
                    self.y.clear();
                    (first..steps).for_each(|t| self.y.extend_from_slice(&y[row(t)]));
                    self.dy.resize(self.y.len(), Block::zero());
                    stats.count(job.loss.evaluate(&self.y, size, job.data.target(trial), job.scale, &mut self.dy));
                    (first..steps).for_each(|t| layer.error[row(t)].copy_from_slice(&self.dy[(t - first) * w..(t - first + 1) * w]));
                } else if cells.output().is_binary() {
                    let mut counts = vec![Block::<F>::zero(); w];
                    (first..steps).for_each(|t| counts.iter_mut().zip(&layer.z[row(t)]).for_each(|(c, z)| *c = c.plus(z)));
                    let counts: Vec<f64> = flat(&counts)[..size].iter().map(|c| c.value()).collect();
                    let mut constant = vec![Block::zero(); w];
                    stats.penalise(job, p, &counts, &mut constant);
                    match &mut layer.weighted {
                        Some(values) => values.constant[k * w..(k + 1) * w].copy_from_slice(&constant),
                        None => (first..steps).for_each(|t| layer.error[row(t)].copy_from_slice(&constant)),
                    }
                }
            }
            stats.entries[p] = ((steps - first) * m * size) as u64;
            [stats.spikes[p], stats.active[p]] = layer.counts;
        }
    }

    fn backward(&mut self, engine: &Clocked<F>, steps: usize, m: usize, gradients: &mut Gradients<F>) {
        let first = self.first;
        for component in engine.components().iter().rev() {
            let inside = |from: Source| matches!(from, Source::Population(q) if component.populations.contains(&q));
            self.layers.iter_mut().for_each(|layer| layer.scan.begin(m * layer.width, layer.width));
            if component.recurrent {
                for t in (first..steps).rev() {
                    for &p in component.populations.iter().rev() {
                        self.layers[p].back(engine.simd(), &*engine.cells()[p], t, m);
                        for &k in engine.incoming(p) {
                            if inside(engine.links()[k].from) {
                                self.pull_back(engine, k, t..t + 1, m);
                            }
                        }
                    }
                }
            }
            for &p in component.populations.iter().rev() {
                if !component.recurrent {
                    let cells = &*engine.cells()[p];
                    (first..steps).rev().for_each(|t| self.layers[p].back(engine.simd(), cells, t, m));
                }
                self.parameters(engine, p, gradients);
                for &k in engine.incoming(p) {
                    if !inside(engine.links()[k].from) {
                        self.pull_back(engine, k, first..steps, m);
                    }
                    self.correlate(engine, k, steps, m, gradients);
                }
            }
        }
    }

    /// Adds the gradients of the parameters of population `p` that are learned.
    fn parameters(&self, engine: &Clocked<F>, p: usize, gradients: &mut Gradients<F>) {
        let layer = &self.layers[p];
        let of_model = layer.scan.parameters();
        let learned = of_model.len() / layer.width;
        let mut next = 0..learned;
        for (parameter, gradient) in engine.parameters().iter().zip(&mut gradients.parameters).filter(|(q, _)| q.population == p) {
            if parameter.is_current() {
                layer.u.iter().enumerate().for_each(|(k, delta)| gradient[k % layer.width] = gradient[k % layer.width].plus(delta));
            } else if let Some(q) = next.next() {
                gradient.iter_mut().zip(of_model.iter().skip(q).step_by(learned)).for_each(|(sum, part)| *sum = sum.plus(part));
            }
        }
    }

    /// `∂L/∂z[t − delay] += ∂L/∂x[t]·Wᵀ` at the source of projection `k`, for the target steps `steps`.
    fn pull_back(&mut self, engine: &Clocked<F>, k: usize, steps: Range<usize>, m: usize) {
        let link = &engine.links()[k];
        let first = steps.start.max(link.delay);
        let Source::Population(q) = link.from else { return };
        if first >= steps.end {
            return;
        }
        let size = engine.cells()[link.to].size();
        let (rows, n, width, stride) =
            ((steps.end - first) * m, engine.cells()[q].size(), self.layers[link.to].width * LANES, self.layers[q].width * LANES);
        let mut error = std::mem::take(&mut self.layers[q].error);
        let delta = &flat(self.layers[link.to].delta(link))[first * m * width..][..rows * width];
        let into = &mut flat_mut(&mut error)[(first - link.delay) * m * stride..][..rows * stride];
        add_product(
            matrix_mut(into, rows, n, stride),
            matrix(delta, rows, size, width),
            matrix(&self.weights[k], n, size, width).transpose(),
        );
        self.layers[q].error = error;
    }

    /// `∇W += Sᵀ[t − delay]·∂L/∂x[t]` over all steps.
    fn correlate(&mut self, engine: &Clocked<F>, k: usize, steps: usize, m: usize, gradients: &mut Gradients<F>) {
        let link = &engine.links()[k];
        let Some(heard) = steps.checked_sub(link.delay).filter(|&h| h > 0 && link.learns) else { return };
        if self.rule.events_in && matches!(link.from, Source::Input(_)) {
            let rows = Rows::Correlate(self.layers[link.to].delta(link), &mut gradients.links[k]);
            return engine.simd().run(FromEvents { link, rasters: &self.rasters[..m], steps: 0..steps, rows });
        }
        let (rows, n, size, width) =
            (heard * m, engine.size(link.from), engine.cells()[link.to].size(), self.layers[link.to].width * LANES);
        let (source, stride) = match link.from {
            Source::Input(_) => (&self.input[..], n),
            Source::Population(q) => (flat(self.layers[q].sent()), self.layers[q].width * LANES),
        };
        self.gradient.clear();
        self.gradient.resize(n * width, F::default());
        let delta = &flat(self.layers[link.to].delta(link))[link.delay * m * width..];
        let heard = matrix(&source[..rows * stride], rows, n, stride);
        add_product(matrix_mut(&mut self.gradient, n, size, width), heard.transpose(), matrix(delta, rows, size, width));
        let into = flat_mut(&mut gradients.links[k]);
        self.places[k].iter().for_each(|&(slot, place)| into[slot as usize] += self.gradient[place as usize]);
    }
}

/// Puts the events that a device recorded at step `t`, one raster per trial, in the place of the outputs; the derivative of a rectified unit is 1 at its events. Returns
/// their number.
fn told<'a, F: Scalar>(
    trials: impl ExactSizeIterator<Item = &'a Raster>,
    t: usize,
    z: &mut [Block<F>],
    slope: Option<&mut [Block<F>]>,
) -> u64 {
    let (width, mut count) = (z.len() / trials.len() * LANES, 0);
    let (z, mut slope) = (flat_mut(z), slope.map(flat_mut));
    z.fill(F::default());
    slope.iter_mut().for_each(|slope| slope.fill(F::default()));
    for (k, raster) in trials.enumerate() {
        let values = raster.values_at(t);
        for (n, &j) in raster.at(t).iter().enumerate() {
            let place = k * width + j as usize;
            z[place] = F::of(values.get(n).copied().unwrap_or(1.0));
            slope.iter_mut().for_each(|slope| slope[place] = F::of(1.0));
            count += 1;
        }
    }
    count
}

/// The two things done with a projection from an input that is given as events.
struct FromEvents<'a, F> {
    link: &'a Link<F>,
    rasters: &'a [Raster],
    steps: Range<usize>,
    rows: Rows<'a, F>,
}

enum Rows<'a, F> {
    /// Adds what the events bring to the input of the targets.
    Deliver(&'a mut [Block<F>]),
    /// Adds the errors of the targets to the weight gradient.
    Correlate(&'a [Block<F>], &'a mut [Block<F>]),
}

impl<F: Scalar> Kernel for FromEvents<'_, F> {
    type Number = F;
    type Out = ();

    #[inline(always)]
    fn run<I: Isa>(mut self) {
        let m = self.rasters.len();
        let all = match &self.rows {
            Rows::Deliver(u) => u.len(),
            Rows::Correlate(u, _) => u.len(),
        };
        let width = all / (m * self.rasters[0].steps());
        for b in 0..width {
            for (k, raster) in self.rasters.iter().enumerate() {
                for t in self.steps.start.max(self.link.delay)..self.steps.end {
                    let row = (t * m + k) * width + b;
                    match &mut self.rows {
                        Rows::Deliver(u) => u[row] = self.link.store.hear::<I>(b, raster, t - self.link.delay, u[row]),
                        Rows::Correlate(delta, gradient) => {
                            let values = raster.values_at(t - self.link.delay);
                            for (n, &i) in raster.at(t - self.link.delay).iter().enumerate() {
                                let value = values.get(n..n + 1).unwrap_or(&[]);
                                self.link.store.learn(b, i as usize, &[row as u32], value, delta, gradient);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The backward scan of one population; one implementation per number of state variables.
trait ScanBack<F: Scalar>: Send {
    fn begin(&mut self, rows: usize, width: usize);
    /// One step of the trial whose first row of carries this is.
    fn back(&mut self, first: usize, row: Row<'_, F>);
    /// `∂L/∂p`, `[block][parameter of the model that is learned]`.
    fn parameters(&self) -> &[Block<F>];
}

/// A row of blocks at one step.
struct Row<'a, F: Scalar> {
    simd: Simd,
    cells: &'a dyn Cells<F>,
    /// In: `∂L/∂z`. Out: `∂L/∂x`.
    error: &'a mut [Block<F>],
    slope: &'a [Block<F>],
    last: &'a [Block<F>],
    before: &'a [Block<F>],
    weighted: Option<Weighted<'a, F>>,
    /// Out: `∂L/∂x` of the further inputs.
    more: Vec<&'a mut [Block<F>]>,
}

struct Scan<F, const K: usize> {
    adjoint: Adjoint<F, K>,
    carry: Vec<Carry<F, K>>,
    parameters: Vec<Block<F>>,
}

fn adjoint_scan<F: Scalar>(local: &Local<F>) -> Box<dyn ScanBack<F>> {
    with_states!(local.states(), K => Box::new(Scan::<F, K> { adjoint: Adjoint::new(local), carry: Vec::new(), parameters: Vec::new() }))
}

impl<F: Scalar, const K: usize> ScanBack<F> for Scan<F, K> {
    fn begin(&mut self, rows: usize, width: usize) {
        self.carry.clear();
        self.carry.resize(rows, Carry::zero());
        self.parameters.clear();
        self.parameters.resize(width * self.adjoint.learned(), Block::zero());
    }
    fn parameters(&self) -> &[Block<F>] {
        &self.parameters
    }
    fn back(&mut self, first: usize, row: Row<'_, F>) {
        let Row { simd, cells, error, slope, last, before, weighted, more } = row;
        let carry = &mut self.carry[first..first + error.len()];
        let at = (!cells.local().affine).then_some((cells, simd, before));
        let parameters = &mut self.parameters[..];
        simd.run(DenseStep { adjoint: &mut self.adjoint, row: error, slope, last, carry, at, weighted, more, parameters });
    }
}

impl<F: Scalar> Layer<F> {
    /// Goes from step `t` to `t − 1` in all trials: `u` becomes `∂L/∂x[t]`.
    fn back(&mut self, simd: Simd, cells: &dyn Cells<F>, t: usize, m: usize) {
        let w = self.width;
        for k in 0..m {
            let row = |t: usize| (t * m + k) * w..(t * m + k + 1) * w;
            self.u[row(t)].copy_from_slice(&self.error[row(t)]);
            let last = if t == 0 { &[][..] } else { &self.z[row(t - 1)] };
            let before = self.before.get(row(t).start * (cells.states() + cells.ports())..).unwrap_or_default();
            let weighted = self.weighted.as_ref().map(|values| Weighted {
                z: &self.z[row(t)],
                worth: &values.worth[row(t)],
                constant: &values.constant[k * w..(k + 1) * w],
            });
            let more = self.more.iter_mut().map(|plane| &mut plane[row(t)]).collect();
            let (error, slope) = (&mut self.u[row(t)], &self.slope[row(t)]);
            self.scan.back(k * w, Row { simd, cells, error, slope, last, before, weighted, more });
        }
    }
}
