//! The way back over a trial: errors from the outputs of populations to their inputs, and from there to weights and to the populations before.

mod abreast;

use super::adjoint::with_states;
use super::fan::{FanBack, Recent, by_row, way_by_row};
use super::population::Population;
use super::trial::Trial;
use super::{Gradients, Job, Stats, Worker};
use crate::in_the_loop::Station;
use abreast::Abreast;
use snn_core::{Raster, Real, Surrogate, Trains};
use snn_sparse::lanes::{Isa, Kernel, blocks, flat, flat_mut};
use snn_sparse::{Block, Clocked, Image, LANES, Link, Past, Record, Scalar, Source, Store, Synapses};
use std::ops::Range;

/// A way by which errors at the inputs of a population reach the outputs of another.
pub(super) struct Way<F> {
    /// The population they reach.
    pub from: usize,
    /// Steps between output and input.
    pub delay: usize,
    /// By which weights.
    pub through: Through<F>,
    /// What every update leaves of these weights: 1 if they stay.
    pub keep: f64,
    /// What the updates so far have left of them.
    pub factor: F,
}

/// Weights that errors go back through.
pub(super) enum Through<F> {
    /// Those of `links()[k]`.
    Link(usize),
    /// Others, laid out alike.
    Own(Box<Store<F>>),
}

impl<F: Scalar> Way<F> {
    /// The weights.
    #[inline(always)]
    pub fn store<'a>(&'a self, engine: &'a Clocked<F>) -> &'a Store<F> {
        match &self.through {
            Through::Link(k) => &engine.links()[*k].store,
            Through::Own(store) => store,
        }
    }

    /// Sets the factor for so many updates.
    pub fn after(&mut self, updates: u64) {
        self.factor = F::of(self.keep.pow(updates.min(u32::MAX.into()) as u32));
    }

    /// Bytes of weights of its own.
    pub fn bytes(&self) -> usize {
        if let Through::Own(store) = &self.through { size_of_val(store.weights()) } else { 0 }
    }
}

/// Populations that go back together, and whether there is a loop among them.
type Group = (Vec<usize>, bool);

/// The worker of every rule that goes back over a whole trial.
pub(super) struct Sparse<F: Scalar> {
    pub trial: Trial<F>,
    /// Where the trials to learn from begin, one for each; none: at rest.
    pub pasts: Vec<Past<F>>,
    /// The population that the errors of [`Trial::output`] are of.
    pub taught: usize,
    backward: Vec<Box<dyn Backward<F>>>,
    /// By population: how its errors reach others.
    ways: Vec<Vec<Way<F>>>,
    /// In the order in which they go back.
    groups: Vec<Group>,
    /// By population: `∂L/∂z` at each entry of the active set, as it comes back from other populations.
    pub errors: Vec<Vec<F>>,
    /// The spikes of the input and of every population, by unit.
    trains: Vec<Trains>,
    /// Which of them some projection looks at.
    walked: Vec<bool>,
    /// The state of the engine's links that the fans are of.
    relinked: Option<u64>,
    /// `∂L/∂x`, `[population of the component][block][input][step]`; without a loop one block at a time: `[input][step]`.
    delta: Vec<Block<F>>,
    /// By population: the ways of its errors that are walked by row, and the indices of the others.
    fans: Vec<Vec<FanBack<F>>>,
    by_block: Vec<Vec<usize>>,
    /// By population and family into it: the weight gradient, laid out like [`Record::fans`].
    sums: Vec<Vec<Vec<F>>>,
    /// By link that is walked as whole rows: the weight gradient, laid out like [`Record::image`].
    images: Vec<Vec<Block<F>>>,
    /// By population: `∂L/∂x` of the present step and of some after it.
    recent: Vec<Recent<F>>,
    /// Of the first of several trials that go back side by side.
    abreast: Abreast<F>,
}

/// Place of a source in [`Sparse::trains`].
fn train_of(from: Source) -> usize {
    match from {
        Source::Input(_) => 0,
        Source::Population(q) => 1 + q,
    }
}

/// The backward pass of one population: from errors at its output to errors at its input.
pub(super) trait Backward<F: Scalar>: Send {
    fn begin(&mut self, blocks: usize);
    /// Takes some blocks back over `steps`, one after the other: writes `∂L/∂x` to `pass.delta`.
    fn back(&mut self, pass: &mut Pass<'_, F>, blocks: Range<usize>, steps: Range<usize>);
    /// The number of steps, from the start, that an error has reached in `block`: after them `∂L/∂x` is exactly zero.
    fn reached(&self, block: usize) -> usize;
    /// Bytes held that grow with the trial.
    fn bytes(&self) -> usize {
        0
    }
    /// `∂L/∂p` of a block, a plane for each parameter of the model that is learned.
    fn parameters(&self, block: usize) -> &[Block<F>];
}

/// What the backward sweep of population `p` works on.
pub(super) struct Pass<'a, F: Scalar> {
    pub engine: &'a Clocked<F>,
    pub record: &'a Record<F>,
    pub p: usize,
    ways: &'a [Way<F>],
    /// Which of them are walked block by block.
    by_block: &'a [usize],
    errors: &'a mut [Vec<F>],
    /// `∂L/∂z[block]` that holds at every step.
    pub constant: &'a [Block<F>],
    /// `∂L/∂y[t][block]`, if `p` is the output.
    pub output: Option<&'a [Block<F>]>,
    /// `∂L/∂x` of these blocks, `[block][input][step]`.
    pub delta: &'a mut [Block<F>],
    /// Steps of the trial.
    pub all: usize,
}

impl<F: Scalar> Pass<'_, F> {
    /// `∂L/∂z` of entry `e` of the active set, at step `t` of block `b`, but for what the neuron's own later state adds.
    #[inline(always)]
    pub fn error(&self, e: usize, t: usize, b: usize) -> F {
        let trace = &self.record.traces[self.p];
        let l = trace.active.unit[e] as usize % LANES;
        let from_output = self.output.map_or(F::default(), |output| output[t * trace.blocks() + b][l]);
        self.errors[self.p][e] + self.constant[b][l] + from_output
    }

    /// Of that, what comes from those who heard the event.
    #[inline(always)]
    pub fn heard(&self, e: usize, t: usize, b: usize) -> F {
        let trace = &self.record.traces[self.p];
        let l = trace.active.unit[e] as usize % LANES;
        self.errors[self.p][e] + self.output.map_or(F::default(), |output| output[t * trace.blocks() + b][l])
    }
}

impl<F: Scalar> Worker<F> for Sparse<F> {
    fn learn(&mut self, job: &Job<'_, F>, trials: &[usize], gradients: &mut Gradients<F>) -> Stats {
        let engine = job.engine;
        let mut stats = Stats::of(engine.cells().len());
        self.begin(engine, job.updates);
        for (k, &trial) in trials.iter().enumerate() {
            let middle = match self.pasts.get_mut(k) {
                Some(past) => self.trial.go_on(job, trial, past, &mut stats),
                None => self.trial.run(job, trial, &mut stats),
            };
            self.look_at();
            stats.macs_backward += Self::back_all(std::slice::from_mut(self), engine, gradients);
            stats.backward_s += middle.elapsed().as_secs_f64();
            stats.tally(engine, &self.trial.input, &self.trial.record, self.trial.first);
        }
        self.hand_on(engine, gradients);
        stats
    }

    fn play_on(&mut self, station: Option<Station>) -> Option<Station> {
        std::mem::replace(&mut self.trial.station, station)
    }

    fn go_on_from(&mut self, pasts: Vec<Past<F>>) -> Vec<Past<F>> {
        std::mem::replace(&mut self.pasts, pasts)
    }

    fn bytes(&self) -> usize {
        let errors: usize = self.errors.iter().map(|e| e.capacity() * size_of::<F>()).sum();
        self.trial.bytes()
            + self.trains.iter().map(Trains::bytes).sum::<usize>()
            + errors
            + self.delta.capacity() * size_of::<Block<F>>()
            + self.recent.iter().map(Recent::bytes).sum::<usize>()
            + self.fans.iter().flatten().map(|back| back.fan.bytes()).sum::<usize>()
            + self.sums.iter().flatten().map(|sum| sum.capacity() * size_of::<F>()).sum::<usize>()
            + self.images.iter().map(|image| image.capacity() * size_of::<Block<F>>()).sum::<usize>()
            + self.backward.iter().map(|backward| backward.bytes()).sum::<usize>()
            + self.ways.iter().flatten().map(Way::bytes).sum::<usize>()
    }
}

impl<F: Scalar> Sparse<F> {
    /// A worker whose errors go these ways, in these groups: populations before those that their errors reach.
    pub fn new(engine: &Clocked<F>, surrogate: Surrogate, ways: Vec<Vec<Way<F>>>, groups: Vec<Group>) -> Self {
        let backward = |p: usize| -> Box<dyn Backward<F>> {
            let local = engine.cells()[p].local();
            with_states!(local.states(), K => Box::new(Population::<F, K>::new(local)))
        };
        let count = engine.cells().len();
        Sparse {
            trial: Trial::new(engine, surrogate),
            pasts: Vec::new(),
            taught: engine.outputs()[0],
            backward: (0..count).map(backward).collect(),
            ways,
            groups,
            errors: vec![Vec::new(); count],
            trains: vec![Trains::default(); 1 + count],
            walked: Vec::new(),
            delta: Vec::new(),
            fans: Vec::new(),
            by_block: Vec::new(),
            sums: Vec::new(),
            images: Vec::new(),
            recent: Vec::new(),
            relinked: None,
            abreast: Abreast::default(),
        }
    }

    /// A worker whose errors go back through all links between populations.
    pub fn through_all(engine: &Clocked<F>, surrogate: Surrogate) -> Self {
        let back = |p: usize| {
            let links = engine.incoming(p).iter().map(|&k| (k, &engine.links()[k]));
            let way = |(k, link): (usize, &Link<F>)| match link.from {
                Source::Population(from) => Some(Way { from, delay: link.delay, through: Through::Link(k), keep: 1.0, factor: F::of(1.0) }),
                Source::Input(_) => None,
            };
            links.filter_map(way).collect()
        };
        let groups = engine.components().iter().rev().map(|c| (c.populations.clone(), c.recurrent)).collect();
        Self::new(engine, surrogate, (0..engine.cells().len()).map(back).collect(), groups)
    }

    /// The same worker, in which some populations go back in another way.
    pub fn with_backward(mut self, backward: impl Fn(usize) -> Option<Box<dyn Backward<F>>>) -> Self {
        self.backward.iter_mut().enumerate().for_each(|(p, usual)| {
            if let Some(other) = backward(p) {
                *usual = other;
            }
        });
        self
    }

    /// Takes links and weights as they are after so many updates.
    pub fn begin(&mut self, engine: &Clocked<F>, updates: u64) {
        self.ways.iter_mut().flatten().for_each(|way| way.after(updates));
        self.spread(engine);
    }

    /// Takes in the trial that was run. Nothing is wrong with it yet.
    pub fn look_at(&mut self) {
        self.begin_sums();
        let Trial { input, record, .. } = &self.trial;
        for (errors, trace) in self.errors.iter_mut().zip(&record.traces) {
            errors.clear();
            errors.resize(trace.active.len(), F::default());
        }
        let spikes = std::iter::once(input).chain(&record.spikes);
        let walked = self.trains.iter_mut().zip(spikes).zip(&self.walked).filter(|(_, walked)| **walked);
        walked.for_each(|((trains, spikes), _)| trains.of(spikes));
    }

    /// The backward pass of one trial. Returns the multiply-accumulates spent on weights.
    pub fn back(&mut self, engine: &Clocked<F>, gradients: &mut Gradients<F>) -> u64 {
        let macs = Self::back_all(std::slice::from_mut(self), engine, gradients);
        self.hand_on(engine, gradients);
        macs
    }

    /// Takes population `p` alone back over the trial: its errors reach the weights of its own links, and nobody else. Returns the multiply-accumulates.
    pub fn back_alone(&mut self, engine: &Clocked<F>, p: usize, gradients: &mut Gradients<F>) -> u64 {
        let (ways, fans) = (std::mem::take(&mut self.ways[p]), std::mem::take(&mut self.fans[p]));
        let macs = Self::back_over(std::slice::from_mut(self), engine, &[(vec![p], false)], gradients);
        (self.ways[p], self.fans[p]) = (ways, fans);
        self.hand_on(engine, gradients);
        macs
    }

    /// [`back`](Self::back) of some trials of several: the gradients of families and images are still to be handed on.
    pub fn back_all(each: &mut [Self], engine: &Clocked<F>, gradients: &mut Gradients<F>) -> u64 {
        let Some(one) = each.first_mut() else { return 0 };
        let groups = std::mem::take(&mut one.groups);
        let macs = Self::back_over(each, engine, &groups, gradients);
        each[0].groups = groups;
        macs
    }

    /// Takes these groups back over the trials of `each`, one after the other; the trials have equal lengths.
    fn back_over(each: &mut [Self], engine: &Clocked<F>, groups: &[Group], gradients: &mut Gradients<F>) -> u64 {
        let (first_step, steps) = (each[0].trial.first, each[0].trial.input.steps());
        let blocks = |p: usize| blocks(engine.cells()[p].size());
        for one in &mut *each {
            (0..one.backward.len()).for_each(|p| one.backward[p].begin(blocks(p)));
            one.recent.iter_mut().for_each(Recent::begin);
        }
        let mut macs = 0;
        for (populations, recurrent) in groups {
            let rows = populations.iter().any(|&p| engine.incoming(p).iter().any(|&k| by_row(engine, k)));
            if !recurrent && !rows {
                // One block over all steps, then the next: `∂L/∂x` of a block is used while it is in cache.
                for &p in populations {
                    for one in &mut *each {
                        for b in 0..blocks(p) {
                            one.recursion(engine, p, b..b + 1, 0, first_step..steps);
                            macs += one.errors_back(engine, p, b..b + 1, 0, first_step..steps);
                            macs += Self::correlate(std::slice::from_mut(one), engine, p, b, 0, gradients);
                        }
                    }
                }
                continue;
            }
            // Inside a loop all populations go back together, the later ones of a step first. Links that are walked by row need the error of
            // all blocks.
            let ports = |p: usize| engine.cells()[p].ports();
            let lists = |p: usize| blocks(p) * ports(p);
            let first: Vec<usize> = populations.iter().scan(0, |sum, &p| Some(std::mem::replace(sum, *sum + lists(p)))).collect();
            let stride = if *recurrent { 1 } else { (steps - first_step).max(1) };
            for t in (first_step..steps).step_by(stride).rev() {
                for (&p, &first) in populations.iter().zip(&first).rev() {
                    let steps = t..t + stride;
                    each.iter_mut().for_each(|one| one.recursion(engine, p, 0..blocks(p), first, steps.clone()));
                    if *recurrent && each.len() > 1 {
                        macs += Self::errors_back_abreast(each, engine, p, first, t);
                    } else {
                        let back = |one: &mut Self| one.errors_back(engine, p, 0..blocks(p), first, steps.clone());
                        macs += each.iter_mut().map(back).sum::<u64>();
                    }
                    if rows {
                        macs += each.iter_mut().map(|one| one.rows(engine, p, first, steps.clone(), gradients)).sum::<u64>();
                    }
                }
            }
            for one in &mut *each {
                // What was on its way when the trial began.
                for (&p, &first) in populations.iter().zip(&first).filter(|_| rows && first_step > 0) {
                    macs += one.rows(engine, p, first, 0..first_step, gradients);
                }
            }
            for (&p, &first) in populations.iter().zip(&first) {
                macs += (0..blocks(p)).map(|b| Self::correlate(each, engine, p, b, first + b * ports(p), gradients)).sum::<u64>();
            }
        }
        macs
    }

    /// Takes some blocks of population `p` back over `steps`; their `∂L/∂x` goes to the lists of `delta` from the `place`-th on.
    fn recursion(&mut self, engine: &Clocked<F>, p: usize, blocks: Range<usize>, place: usize, steps: Range<usize>) {
        let (all, lists) = (self.trial.input.steps(), blocks.len() * engine.cells()[p].ports());
        self.delta.resize(self.delta.len().max((place + lists) * all), Block::zero());
        let before = self.trial.first;
        if before > 0 && steps.end == all {
            // No error there.
            (place..place + lists).for_each(|list| self.delta[list * all..list * all + before].fill(Block::zero()));
        }
        let (mut pass, backward) = self.pass(engine, p, place..place + lists);
        backward.back(&mut pass, blocks, steps);
    }

    /// The errors that these blocks, whose `∂L/∂x` begins at the `place`-th list, have sent back by the ways that are walked block by block. Returns the
    /// multiply-accumulates.
    fn errors_back(&mut self, engine: &Clocked<F>, p: usize, blocks: Range<usize>, place: usize, steps: Range<usize>) -> u64 {
        let (mut pass, backward) = self.pass(engine, p, place..place + blocks.len() * engine.cells()[p].ports());
        engine.simd().run(ErrorsBack { backward: &*backward, pass: &mut pass, blocks, steps })
    }

    /// What the backward sweep of population `p` works on, and who does it.
    fn pass<'a>(&'a mut self, engine: &'a Clocked<F>, p: usize, lists: Range<usize>) -> (Pass<'a, F>, &'a mut dyn Backward<F>) {
        let all = self.trial.input.steps();
        let Sparse { trial, taught, backward, ways, by_block, errors, delta, .. } = self;
        let output = (p == *taught).then_some(&trial.output[..]);
        let delta = &mut delta[lists.start * all..lists.end * all];
        let (ways, constant) = (&ways[p][..], &trial.constant[p][..]);
        let by_block = if ways.is_empty() { &[][..] } else { &by_block[p] };
        let pass = Pass { engine, record: &trial.record, p, ways, by_block, errors, constant, output, delta, all };
        (pass, &mut *backward[p])
    }

    /// What the projections into population `p` that are walked by row do with `∂L/∂x` of `steps`: errors at their sources, and weight
    /// gradients. Returns the multiply-accumulates.
    fn rows(&mut self, engine: &Clocked<F>, p: usize, first: usize, steps: Range<usize>, gradients: &mut Gradients<F>) -> u64 {
        let all = self.trial.input.steps();
        let Sparse { trial, backward, errors, fans, sums, recent, delta, .. } = self;
        let mut macs = 0;
        for t in steps.rev() {
            let (reached, width) = (|b: usize| backward[p].reached(b) > t, recent[p].width);
            if (0..width).any(reached) {
                recent[p].push((0..width).map(|b| if reached(b) { delta[(first + b) * all + t] } else { Block::zero() }));
                let (input, record, fans, recent) = (&trial.input, &trial.record, &fans[p][..], recent[p].all());
                macs += engine.simd().run(ByRow { engine, p, t, input, record, fans, errors, recent, sums: &mut sums[p], gradients });
            }
        }
        macs
    }

    /// Takes links and weights as they are now.
    fn spread(&mut self, engine: &Clocked<F>) {
        if self.relinked != Some(engine.relinked()) {
            self.relinked = Some(engine.relinked());
            let whole = |train: usize| engine.links().iter().enumerate().any(|(k, l)| train_of(l.from) == train && !by_row(engine, k));
            self.walked = (0..self.trains.len()).map(whole).collect();
            self.images = vec![Vec::new(); engine.links().len()];
            self.fans = self.ways.iter().map(|ways| FanBack::all(engine, ways)).collect();
            let by_block = |ways: &Vec<Way<F>>| (0..ways.len()).filter(|&n| !way_by_row(engine, &ways[n])).collect();
            self.by_block = self.ways.iter().map(by_block).collect();
            let reach = |p: usize| {
                let back = self.fans[p].iter().map(|back| back.fan.reach);
                back.chain(engine.families(p).iter().map(|family| family.reach(engine.links()))).max().unwrap_or(0)
            };
            self.recent = (0..self.fans.len()).map(|p| Recent::new(blocks(engine.cells()[p].size()), reach(p))).collect();
            self.sums = vec![Vec::new(); self.fans.len()];
        }
        for (fans, ways) in self.fans.iter_mut().zip(&self.ways) {
            fans.iter_mut().for_each(|back| back.weigh(engine, ways));
        }
    }

    /// Makes room for the weight gradients of families and images.
    fn begin_sums(&mut self) {
        for (p, sums) in self.sums.iter_mut().enumerate() {
            let fans = self.trial.record.fans(p);
            sums.resize(fans.len(), Vec::new());
            sums.iter_mut().zip(fans).for_each(|(sum, fan)| sum.resize(fan.places().len(), F::default()));
        }
        for (k, sum) in self.images.iter_mut().enumerate() {
            sum.resize(self.trial.record.image(k).map_or(0, |image| image.store().weights().len()), Block::zero());
        }
    }

    /// Hands the weight gradients of families and images on to their lists.
    pub fn hand_on(&mut self, engine: &Clocked<F>, gradients: &mut Gradients<F>) {
        for (p, sums) in self.sums.iter_mut().enumerate() {
            for ((sum, family), fan) in sums.iter_mut().zip(engine.families(p)).zip(self.trial.record.fans(p)) {
                for (x, &(list, slot)) in sum.iter_mut().zip(fan.of()) {
                    let (k, x) = (family.links[list as usize], std::mem::take(x));
                    if engine.links()[k].learns {
                        flat_mut(&mut gradients.links[k])[slot as usize] += x;
                    }
                }
            }
        }
        for ((k, sum), gradient) in self.images.iter_mut().enumerate().zip(&mut gradients.links) {
            let Some(image) = self.trial.record.image(k).filter(|_| !sum.is_empty()) else { continue };
            let places = flat_mut(gradient).iter_mut().zip(image.places());
            places.for_each(|(g, &place)| *g += flat(sum)[place as usize]);
            sum.fill(Block::zero());
        }
    }

    /// Adds `∇W_ij = Σ_t S_i[t − delay]·∂L/∂x_j[t]` of every trial for the targets in block `b` of population `p`, source by source: a row of the gradient is fetched
    /// once for all trials.
    fn correlate(each: &mut [Self], engine: &Clocked<F>, p: usize, b: usize, place: usize, gradients: &mut Gradients<F>) -> u64 {
        each.iter().for_each(|one| one.parameters(engine, p, b, place, gradients));
        let mut macs = 0;
        for &k in engine.incoming(p).iter().filter(|&&k| engine.links()[k].learns && !by_row(engine, k)) {
            let link = &engine.links()[k];
            if each[0].trial.record.image(k).is_none() {
                let gradient = &mut gradients.links[k];
                macs += match &*each {
                    [one] => correlate(engine, &link.store, b, &[one.heard(link, b, place)], gradient),
                    each => {
                        let heard: Vec<Heard<'_, F>> = each.iter().map(|one| one.heard(link, b, place)).collect();
                        correlate(engine, &link.store, b, &heard, gradient)
                    }
                };
                continue;
            }
            for one in &mut *each {
                let mut sum = std::mem::take(&mut one.images[k]);
                if let Some(image) = one.trial.record.image(k) {
                    macs += correlate(engine, image.store(), b, &[one.heard(link, b, place)], &mut sum);
                }
                one.images[k] = sum;
            }
        }
        macs * lanes_of(engine, p, b)
    }

    /// Adds the gradients of learned parameters of block `b` of population `p`.
    fn parameters(&self, engine: &Clocked<F>, p: usize, b: usize, place: usize, gradients: &mut Gradients<F>) {
        let (reached, first) = (self.backward[p].reached(b), place * self.trial.input.steps());
        let mut of_model = self.backward[p].parameters(b).iter();
        for (parameter, gradient) in engine.parameters().iter().zip(&mut gradients.parameters).filter(|(q, _)| q.population == p) {
            let sum = &mut gradient[b];
            match parameter.is_current() {
                true => self.delta[first..first + reached].iter().for_each(|delta| *sum = sum.plus(delta)),
                false => of_model.next().iter().for_each(|part| *sum = sum.plus(part)),
            }
        }
    }

    /// The events that `link` brought, and the errors of block `b` of those who heard them, whose `∂L/∂x` begins at the `place`-th list.
    fn heard(&self, link: &Link<F>, b: usize, place: usize) -> Heard<'_, F> {
        let first = (place + link.port.unwrap_or(0)) * self.trial.input.steps();
        let delta = &self.delta[first..first + self.backward[link.to].reached(b)];
        let since = self.trial.first.saturating_sub(link.delay);
        Heard { trains: &self.trains[train_of(link.from)], since, delta: delta.get(link.delay..).unwrap_or_default() }
    }
}

/// Units of population `p` in block `b`.
pub(super) fn lanes_of<F: Scalar>(engine: &Clocked<F>, p: usize, b: usize) -> u64 {
    (engine.cells()[p].size() - b * LANES).min(LANES) as u64
}

/// Events of a trial, and the errors of those who heard them.
pub(super) struct Heard<'a, F> {
    pub trains: &'a Trains,
    /// Events before this step are not heard any more.
    pub since: usize,
    /// By step of the events.
    pub delta: &'a [Block<F>],
}

/// Adds `Σ_t S_i[t]·delta[t]` over some trials of every source of a link, for the targets in block `b`. Returns the events heard.
pub(super) fn correlate<F: Scalar>(
    engine: &Clocked<F>,
    store: &Store<F>,
    b: usize,
    trials: &[Heard<'_, F>],
    gradient: &mut [Block<F>],
) -> u64 {
    engine.simd().run(Correlate { store, block: b, trials, gradient })
}

struct Correlate<'a, F> {
    store: &'a Store<F>,
    block: usize,
    trials: &'a [Heard<'a, F>],
    gradient: &'a mut [Block<F>],
}

impl<F: Scalar> Kernel for Correlate<'_, F> {
    type Number = F;
    type Out = u64;

    #[inline(always)]
    fn run<I: Isa>(self) -> u64 {
        let mut events = 0;
        for i in 0..self.trials.first().map_or(0, |trial| trial.trains.units()) {
            for Heard { trains, since, delta } in self.trials {
                let times = trains.at(i);
                let first = if *since == 0 { 0 } else { times.partition_point(|&t| (t as usize) < *since) };
                let heard = &times[first..times.partition_point(|&t| (t as usize) < delta.len()).max(first)];
                if !heard.is_empty() {
                    let values = trains.values_at(i);
                    let values = values.get(first..first + heard.len()).unwrap_or(values);
                    self.store.learn(self.block, i, heard, values, delta, self.gradient);
                    events += heard.len() as u64;
                }
            }
        }
        events
    }
}

/// One step of [`Sparse::rows`].
struct ByRow<'a, F: Scalar> {
    engine: &'a Clocked<F>,
    p: usize,
    t: usize,
    input: &'a Raster,
    record: &'a Record<F>,
    fans: &'a [FanBack<F>],
    errors: &'a mut [Vec<F>],
    /// `∂L/∂x` from the step on.
    recent: &'a [F],
    sums: &'a mut [Vec<F>],
    gradients: &'a mut Gradients<F>,
}

impl<F: Scalar> Kernel for ByRow<'_, F> {
    type Number = F;
    type Out = u64;

    #[inline(always)]
    fn run<I: Isa>(self) -> u64 {
        let ByRow { engine, p, t, input, record, fans, errors, recent, sums, gradients } = self;
        let mut macs = 0;
        for FanBack { from, fan, .. } in fans {
            let Some(t) = t.checked_sub(fan.delay) else { continue };
            let (source, errors) = (&record.traces[*from], &mut errors[*from]);
            for entries in source.stretches(t..t + 1) {
                for (error, &unit) in errors[entries.clone()].iter_mut().zip(&source.active.unit[entries]) {
                    let row = fan.row(unit);
                    macs += row.len() as u64;
                    *error += F::dot_at::<I>(&fan.weights()[row.clone()], &fan.places()[row], recent);
                }
            }
        }
        let inputs = [input];
        let events = |from: Source, t: usize| {
            let events = from.spikes(&inputs, &record.spikes);
            let values = events.values_at(t);
            events.at(t).iter().enumerate().map(move |(n, &unit)| (unit, values.get(n).map_or(F::of(1.0), |&x| F::of(x))))
        };
        for ((family, fan), sum) in engine.families(p).iter().zip(record.fans(p)).zip(sums) {
            let Some(t) = t.checked_sub(fan.delay) else { continue };
            for (unit, x) in events(family.from, t) {
                let row = fan.row(unit);
                macs += row.len() as u64;
                F::add_at::<I>(&mut sum[row.clone()], x, &fan.places()[row], recent);
            }
        }
        for &k in engine.singles(p) {
            let link = &engine.links()[k];
            let (Store::Csr(csr), true, Some(t)) = (&link.store, link.learns, t.checked_sub(link.delay)) else { continue };
            for (unit, x) in events(link.from, t) {
                csr.scatter::<I>(unit, x, recent, &mut gradients.links[k]);
                macs += csr.fan_out(unit) as u64;
            }
        }
        macs
    }
}

/// The errors of some blocks at the sources, in a loop of their own: nothing in it waits for the recursion. Links that are walked by row wait until all blocks are there.
struct ErrorsBack<'a, 'b, F: Scalar> {
    backward: &'a dyn Backward<F>,
    pass: &'a mut Pass<'b, F>,
    blocks: Range<usize>,
    steps: Range<usize>,
}

impl<F: Scalar> Kernel for ErrorsBack<'_, '_, F> {
    type Number = F;
    /// The multiply-accumulates spent on weights.
    type Out = u64;

    #[inline(always)]
    fn run<I: Isa>(mut self) -> u64 {
        let all = self.pass.all * self.pass.engine.cells()[self.pass.p].ports();
        self.blocks.clone().enumerate().map(|(place, b)| self.errors::<I>(b, place * all)).sum()
    }
}

impl<F: Scalar> ErrorsBack<'_, '_, F> {
    #[inline(always)]
    fn errors<I: Isa>(&mut self, b: usize, place: usize) -> u64 {
        let ErrorsBack { backward, pass, steps, .. } = self;
        let mut entries = 0;
        for way in pass.by_block.iter().map(|&n| &pass.ways[n]) {
            let (factor, delay) = (way.factor, way.delay);
            let port = if let Through::Link(k) = way.through { pass.engine.links()[k].port.unwrap_or(0) } else { 0 };
            let place = place + port * pass.all;
            let image = if let Through::Link(k) = way.through { pass.record.image(k) } else { None };
            let store = image.map_or(way.store(pass.engine), Image::store);
            let (source, errors) = (&pass.record.traces[way.from], &mut pass.errors[way.from]);
            let end = steps.end.min(backward.reached(b)).saturating_sub(delay);
            for entries_at in source.stretches(steps.start.saturating_sub(delay)..end) {
                entries += entries_at.len() as u64;
                let (steps, units) = (&source.active.step[entries_at.clone()], &source.active.unit[entries_at.clone()]);
                store.pull_back_each::<I>(b, units, steps, &pass.delta[place + delay..], factor, &mut errors[entries_at]);
            }
        }
        entries * lanes_of(pass.engine, pass.p, b)
    }
}
