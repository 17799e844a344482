//! The clocked engine: a network lowered to arrays, advanced in steps of `dt`.

mod parts;
mod touch;

use crate::bank::{Cells, Feed, Link, Noise, Sign};
use crate::fan::{self, Ahead, Family, Fan};
use crate::lanes::{Block, Isa, Kernel, LANES, Scalar, Simd, blocks, flat_mut};
use crate::noise::{self, Poisson};
use crate::parameter::Parameter;
use crate::past::Past;
use crate::plan::{Image, Plan};
use crate::reads::Access;
use crate::store::{Store, Synapses};
use crate::team::Barrier;
use crate::topology::{Component, Group, Topology, by_delay};
use crate::trace::{Listed, Sink, Trace, Wants};
use snn_core::neuron::Zoneout;
use snn_core::{Dataset, Network, Raster, Seed};
use std::ops::Range;
use std::sync::{Mutex, RwLock};

/// A network lowered to arrays, ready to run and to be trained.
///
/// Strongly connected components run one after the other, each over all steps: the weights of one layer stay in cache, and only event
/// lists travel between layers. Inside a loop all populations advance together, step by step.
///
/// ```
/// use snn_core::{Net, Raster, Seed, ms, net::{Connect, Init}, neuron::Lif};
/// use snn_sparse::{Clocked, Record, Wants};
/// let net = Net::new(ms(1.0))
///     .input("in", 2)
///     .population("a", 3, Lif::default())
///     .project("in", "a", Connect::All, Init::Constant(0.6))
///     .output("a")
///     .build(Seed::new(0))?;
/// let engine = Clocked::<f32>::compile(&net);
/// let mut spikes = Raster::new(2, 5);
/// spikes.fill([(1, 0), (1, 1)]);                              // both inputs at step 1: 1.2 > threshold
/// let mut record = Record::new(&engine);
/// engine.run(&[&spikes], Wants::Spikes, &mut record);
/// assert_eq!(record.spikes[0].at(1), &[0, 1, 2]);
/// # Ok::<(), snn_core::NetworkError>(())
/// ```
pub struct Clocked<F: Scalar = f32> {
    network: Network,
    cells: Vec<Box<dyn Cells<F>>>,
    links: Vec<Link<F>>,
    incoming: Vec<Vec<usize>>,
    pulled: Vec<Vec<usize>>, // those of them that hand out their rows by block of targets
    plan: Plan,              // of the others
    frozen: bool,
    components: Vec<Component>,
    outputs: Vec<usize>,
    drives: Vec<(usize, Noise<F>)>,
    zoneouts: Vec<(usize, Noise<F>)>,
    parameters: Vec<Parameter<F>>,
    simd: Simd,
    threads: usize,
    relinked: u64,
    linked: u64, // the state of the links
    state: u64,  // the state of links and weights
}

/// Steps taken together by a population without a loop that is pushed to.
const PUSH_STRIDE: usize = 32;

/// Everything recorded in one trial, reused from trial to trial.
#[derive(Clone, Debug)]
pub struct Record<F> {
    /// The events of each population, in the order of the description: spikes, or events with values; silent for graded output.
    pub spikes: Vec<Raster>,
    /// What else each population did.
    pub traces: Vec<Trace<F>>,
    /// Chooses the noise of drives, reads and populations with escape noise: the same seed, the same noise. Set it before a run.
    pub noise: Seed,
    /// Whether populations with zoneout draw whose state stays, as they do while they learn, or all keep the expected share.
    pub learning: bool,
    clock: usize,                   // steps that were shifted away, or lie before the trial; modulo 2^64
    reached: usize,                 // steps done of a trial that is run piece by piece
    wants: Wants,                   // of it
    fans: Vec<Vec<Fan<F>>>,         // by population: the families into it
    images: Vec<Option<Image<F>>>,  // by link: its image, if it has one
    ahead: Vec<Ahead<F>>,           // by population: what they pushed ahead
    places: Vec<Vec<touch::Place>>, // by projection: where its weights stand, once some are set
    of: Option<u64>,                // the state of the engine they are of
    linked: Option<u64>,            // and of its links
    scratch: Vec<Scratch<F>>,       // one for each thread
}

/// One thread's memory.
#[derive(Clone, Debug, Default)]
struct Scratch<F> {
    heard: Vec<Block<F>>,
    listed: Listed,
}

impl<F: Scalar> Record<F> {
    /// Room for a trial of `engine`.
    pub fn new(engine: &Clocked<F>) -> Self {
        let sizes = || engine.cells.iter().map(|c| c.size());
        let spikes = sizes().map(|n| Raster::new(n, 0)).collect();
        let traces = sizes().map(Trace::new).collect();
        Record {
            spikes,
            traces,
            noise: Seed::new(0),
            learning: false,
            clock: 0,
            reached: 0,
            wants: Wants::Spikes,
            fans: Vec::new(),
            images: Vec::new(),
            ahead: Vec::new(),
            places: Vec::new(),
            of: None,
            linked: None,
            scratch: Vec::new(),
        }
    }

    /// Steps done of a trial that is run piece by piece.
    pub fn reached(&self) -> usize {
        self.reached
    }

    /// Forgets the first `by` steps of a trial that is run piece by piece, and makes room for as many more: what was recorded of step `t` now stands
    /// at `t − by`. With [`Raster::shift`] for the inputs a network runs on for ever in bounded memory. Keep as many steps as the longest delay and
    /// refractory period reach back. The active set is forgotten.
    ///
    /// # Panics
    /// If so many steps have not been done.
    #[track_caller]
    pub fn shift(&mut self, by: usize) {
        assert!(by <= self.reached, "{by} steps to forget, {} done", self.reached);
        self.spikes.iter_mut().for_each(|raster| raster.shift(by));
        self.traces.iter_mut().for_each(|trace| trace.shift(by));
        (self.clock, self.reached) = (self.clock.wrapping_add(by), self.reached - by);
    }

    /// The families into population `p`, one row for each source: those of [`Clocked::families`], with the weights of the last run.
    pub fn fans(&self, p: usize) -> &[Fan<F>] {
        self.fans.get(p).map_or(&[], Vec::as_slice)
    }

    /// The image of `links()[k]` with the weights of the last run, if it is walked as whole rows: [`Clocked::has_image`].
    #[inline(always)]
    pub fn image(&self, k: usize) -> Option<&Image<F>> {
        self.images.get(k).and_then(Option::as_ref)
    }

    /// Begins a trial at rest.
    fn rest(&mut self, engine: &Clocked<F>) {
        self.scratch.resize_with(engine.threads, Default::default);
        self.ahead.resize_with(engine.cells.len(), Default::default);
        self.ahead.iter_mut().for_each(Ahead::clear);
        self.follow(engine);
    }

    /// Copies the weights anew if they have changed.
    fn follow(&mut self, engine: &Clocked<F>) {
        if self.of != Some(engine.state) {
            self.of = Some(engine.state);
            let families = || engine.plan.families.iter();
            if self.linked != Some(engine.linked) {
                self.linked = Some(engine.linked);
                self.fans = families().map(|list| list.iter().map(|family| family.fan(&engine.links)).collect()).collect();
                self.images = vec![None; engine.links.len()];
                self.places.clear();
                engine.plan.images.iter().flatten().for_each(|&k| self.images[k] = Image::new(&engine.links[k].store));
            }
            let images = self.images.iter_mut().zip(&engine.links);
            images.for_each(|(image, link)| image.iter_mut().for_each(|image| image.weigh(&link.store)));
            let weigh = |(fan, family): (&mut Fan<F>, &Family)| fan.weigh(&family.weights(&engine.links));
            self.fans.iter_mut().zip(families()).for_each(|(fans, families)| fans.iter_mut().zip(families).for_each(weigh));
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let scratch = self.scratch.iter().map(|s| size_of::<Block<F>>() * s.heard.capacity() + s.listed.bytes()).sum::<usize>();
        let images = self.images.iter().flatten().map(Image::bytes).sum::<usize>();
        let ahead = self.fans.iter().flatten().map(Fan::bytes).sum::<usize>() + self.ahead.iter().map(Ahead::bytes).sum::<usize>();
        let places = self.places.iter().map(|list| size_of::<touch::Place>() * list.capacity()).sum::<usize>();
        images
            + ahead
            + places
            + scratch
            + self.spikes.iter().map(Raster::bytes).sum::<usize>()
            + self.traces.iter().map(Trace::bytes).sum::<usize>()
    }
}

impl<F: Scalar> Clocked<F> {
    /// Lowers a network for the widest instruction set of this processor.
    pub fn compile(network: &Network) -> Self {
        Self::compile_for(network, Simd::detect())
    }

    /// Lowers a network for a given instruction set. All give the same bits.
    pub fn compile_for(network: &Network, simd: Simd) -> Self {
        Self::lower(network, simd, false)
    }

    /// Lowers a network to be run, not trained: weights that all links share stay one number, links become bits where that is denser, and
    /// rows of targets where populations are huge. `threads` of them share the work; the spikes do not depend on their number. Rules find no gradient
    /// in such an engine.
    ///
    /// Where all links of a projection have one weight, its inputs are counted before they are weighed; they differ from those of
    /// [`compile`](Self::compile) in rounding.
    pub fn frozen(network: &Network, threads: usize) -> Self {
        Clocked { threads: threads.max(1), ..Self::lower(network, Simd::detect(), true) }
    }

    fn lower(network: &Network, simd: Simd, frozen: bool) -> Self {
        let draft = network.draft();
        let topology = Topology::new(draft);
        let cells = draft.populations.iter().map(|p| F::lower(p, draft.dt)).collect();
        let lowered = draft.projections.iter().zip(&topology.ends).enumerate().flat_map(|(projection, (p, &(from, to)))| {
            let (n, m, fixed) = (network.size(&p.from), network.size(&p.to), p.fixed);
            let model = &draft.populations[to].model;
            let parts = match model.apart() {
                true => vec![(Some(0), Some(Sign::Positive)), (Some(1), Some(Sign::Negative))],
                false => vec![(p.port_of(model), None)],
            };
            let link = move |(delay, subset, p): &Group<'_>, (port, sign): (Option<usize>, Option<Sign>)| {
                let mut store = if frozen && port.is_none() { Store::freeze(p, n, m) } else { Store::new(p, n, m) };
                if let Some(sign) = sign {
                    flat_mut(store.weights_mut()).iter_mut().for_each(|w| *w = sign.of(*w));
                }
                let learns = !(fixed || store.frozen());
                Link { projection, port, sign, subset: subset.clone(), from, to, delay: *delay, learns, tied: None, store, reads: None }
            };
            let groups = by_delay(p, n, m, draft.dt);
            groups.iter().flat_map(|group| parts.iter().map(move |&part| link(group, part))).collect::<Vec<_>>()
        });
        let mut links: Vec<Link<F>> = lowered.collect();
        for (k, p) in draft.projections.iter().enumerate().filter(|_| !frozen) {
            // Of one delay, so each of the two is one link, unless signs have lists of their own, which do not learn.
            let find = |projection: usize| links.iter().position(|link| link.projection == projection && link.sign.is_none());
            if let (Some(own), Some(of)) = (find(k), p.tied.and_then(find)) {
                links[own].tied = Some(of);
            }
        }
        let incoming: Vec<Vec<usize>> =
            (0..draft.populations.len()).map(|p| (0..links.len()).filter(|&k| links[k].to == p).collect()).collect();
        let plan = Plan::new(&links, &incoming, frozen);
        let pulled = pulled(&links, &incoming, &plan);
        let components = topology.components;
        let outputs = draft.outputs.iter().filter_map(|name| draft.populations.iter().position(|p| p.name == *name)).collect();
        let drives = (draft.drives.iter())
            .filter_map(|d| {
                let to = draft.populations.iter().position(|p| p.name == d.to)?;
                let model = &draft.populations[to].model;
                let port = (model.ports().len() > 1).then_some(usize::from(model.apart() && d.weight <= 0.0));
                Some((to, Noise { counts: Poisson::new(d.rate * draft.dt), port, weight: F::of(f64::from(d.weight)), key: 0 }))
            })
            .collect();
        let zoneouts = (draft.populations.iter().enumerate()).filter_map(|(p, population)| {
            let (share, how) = population.model.zoneout()?;
            Some((p, Noise { counts: Poisson::once(share), port: Some(how.port), weight: F::of(Zoneout::KEEP), key: 0 }))
        });
        let zoneouts = zoneouts.collect();
        Clocked {
            network: network.clone(),
            cells,
            links,
            incoming,
            pulled,
            plan,
            frozen,
            components,
            outputs,
            drives,
            zoneouts,
            parameters: (draft.populations.iter().enumerate()).flat_map(|(p, population)| Parameter::all(p, population)).collect(),
            simd,
            threads: 1,
            relinked: 0,
            linked: fan::fresh(),
            state: fan::fresh(),
        }
    }

    /// Runs one trial: one raster per input, all of the same number of steps. Starts from rest.
    ///
    /// # Panics
    /// If the rasters do not fit the network's inputs.
    #[track_caller]
    pub fn run(&self, inputs: &[&Raster], wants: Wants, record: &mut Record<F>) {
        self.run_for(inputs.first().map_or(0, |r| r.steps()), inputs, wants, record);
    }

    /// As [`run`](Self::run), into a record of its own.
    ///
    /// # Panics
    /// As [`run`](Self::run).
    #[track_caller]
    pub fn record(&self, inputs: &[&Raster], wants: Wants) -> Record<F> {
        let mut record = Record::new(self);
        self.run(inputs, wants, &mut record);
        record
    }

    /// A trial of a data set: what the network heard, and what it did. Networks with one input.
    ///
    /// # Panics
    /// If there is no such trial, or it does not fit the network's input.
    #[track_caller]
    pub fn trial(&self, data: &dyn Dataset, index: usize, wants: Wants) -> (Raster, Record<F>) {
        let mut input = Raster::default();
        data.load(index, &mut input);
        let record = self.record(&[&input], wants);
        (input, record)
    }

    /// As [`run`](Self::run), for a given number of steps: for networks without inputs.
    ///
    /// # Panics
    /// If the rasters do not fit the network's inputs, or have another number of steps.
    #[track_caller]
    pub fn run_for(&self, steps: usize, inputs: &[&Raster], wants: Wants, record: &mut Record<F>) {
        self.run_or_replay(steps, inputs, None, wants, record);
    }

    /// What the network would have been doing inside while its populations did this: as [`run`](Self::run), but the events of every population are given, one raster each, as
    /// a device recorded them. Potentials, slopes near threshold and readouts are computed from them with the weights of this engine, and
    /// `record.spikes` are the given ones: a rule learns from what the device did. A rectified unit has its given values. The rasters of readouts are not looked at.
    ///
    /// Given the engine's own events, the record is that of [`run`](Self::run), bit for bit.
    ///
    /// ```
    /// # use snn_core::{Net, Raster, Seed, ms, net::{Connect, Init}, neuron::{Li, Lif}};
    /// # use snn_sparse::{Clocked, Record, Wants};
    /// let net = Net::new(ms(1.0)).input("in", 1).population("a", 2, Lif::default()).population("out", 1, Li { tau: 1e-9.into() })
    ///     .project("in", "a", Connect::All, Init::Constant(2.0)).project("a", "out", Connect::All, Init::Constant(1.0)).output("out").build(Seed::new(0))?;
    /// let engine = Clocked::<f32>::compile(&net);
    /// let (mut input, mut seen, mut record) = (Raster::new(1, 3), Raster::new(2, 3), Record::new(&engine));
    /// input.fill([(1, 0)]);                                       // both neurons would fire at step 1
    /// seen.fill([(1, 0), (2, 1)]);                                // the second fired late
    /// engine.replay(&[&input], &[&seen, &Raster::new(1, 3)], Wants::Spikes, &mut record);
    /// assert_eq!(record.spikes[0], seen);
    /// assert_eq!(record.traces[1].series(0).collect::<Vec<_>>(), [0.0, 1.0, 1.0]);
    /// # Ok::<(), snn_core::NetworkError>(())
    /// ```
    ///
    /// # Panics
    /// If the rasters do not fit the network's inputs and populations.
    #[track_caller]
    pub fn replay(&self, inputs: &[&Raster], events: &[&Raster], wants: Wants, record: &mut Record<F>) {
        let steps = inputs.first().or(events.first()).map_or(0, |raster| raster.steps());
        let fits = |(p, raster): (usize, &&Raster)| {
            !self.cells[p].output().is_events() || (raster.units(), raster.steps()) == (self.cells[p].size(), steps)
        };
        assert!(
            events.len() == self.cells.len() && events.iter().enumerate().all(fits),
            "the events given are not those of the populations, over {steps} steps"
        );
        self.run_or_replay(steps, inputs, Some(events), wants, record);
    }

    #[track_caller]
    fn run_or_replay(&self, steps: usize, inputs: &[&Raster], given: Option<&[&Raster]>, wants: Wants, record: &mut Record<F>) {
        self.fit(inputs, steps..steps + 1);
        record.rest(self);
        (record.clock, record.reached) = (0, steps);
        let noise = self.noise(record.noise, record.learning);
        for component in &self.components {
            // In a loop all populations advance together, as far as none can hear another.
            let stride = match (component.recurrent, wants) {
                (false, _) if self.is_pushed_to(&component.populations) => PUSH_STRIDE,
                (false, _) => steps.max(1),
                (true, Wants::Spikes) => component.stride,
                (true, _) => 1, // rules go back through a loop step by step
            };
            for &p in &component.populations {
                let cells = &self.cells[p];
                record.spikes[p].reset(cells.size(), steps);
                record.traces[p].begin(steps, &**cells, stride, wants);
                if let Some(events) = given.map(|given| given[p]).filter(|_| cells.output().is_events()) {
                    record.spikes[p].clone_from(events);
                    record.traces[p].tell(events.iter());
                }
            }
            let strides = || (0..steps).step_by(stride).map(|start| start..(start + stride).min(steps));
            let spiking = component.populations.iter().all(|&p| self.cells[p].spikes());
            if self.threads > 1 && !component.instant && spiking && wants == Wants::Spikes && given.is_none() {
                self.run_as_team(component, inputs, strides, &noise, record);
                continue;
            }
            for steps in strides() {
                let mut one = |p: usize| self.advance_one(p, steps.clone(), inputs, given.is_some(), wants, &noise, record);
                component.populations.iter().for_each(|&p| one(p));
            }
        }
    }

    /// Begins a trial of `steps` steps at rest that is run piece by piece with [`advance`](Self::advance): for closed loops, in which the input of a
    /// step depends on the output before it, and for rules that learn while the network runs.
    pub fn begin(&self, steps: usize, wants: Wants, record: &mut Record<F>) {
        record.rest(self);
        (record.clock, record.reached, record.wants) = (0, 0, wants);
        for (p, cells) in self.cells.iter().enumerate() {
            record.spikes[p].reset(cells.size(), steps);
            record.traces[p].begin(steps, &**cells, 1, wants);
        }
    }

    /// Runs the trial that `record` holds on to `until`, step by step, on one thread. `inputs` hold all steps up to there. The spikes and potentials are those
    /// of [`run`](Self::run). Weights that were set in between count from the next step on.
    ///
    /// ```
    /// # use snn_core::{Net, Raster, Seed, ms, net::{Connect, Init}, neuron::Lif};
    /// # use snn_sparse::{Clocked, Record, Wants};
    /// # let net = Net::new(ms(1.0)).input("in", 1).population("a", 1, Lif { tau: 1e-9.into(), ..Lif::default() })
    /// #     .project("in", "a", Connect::All, Init::Constant(2.0)).output("a").build(Seed::new(0))?;
    /// # let engine = Clocked::<f32>::compile(&net);
    /// let (mut input, mut record) = (Raster::new(1, 10), Record::new(&engine));
    /// engine.begin(10, Wants::Spikes, &mut record);
    /// for t in 0..10 {
    ///     let quiet = t == 0 || record.spikes[0].at(t - 1).is_empty();
    ///     input.push_step(t, |units| units.extend(quiet.then_some(0)));      // an input wherever the neuron was silent before
    ///     engine.advance(t + 1, &[&input], &mut record);
    /// }
    /// assert_eq!(record.spikes[0].len(), 5);
    /// # Ok::<(), snn_core::NetworkError>(())
    /// ```
    ///
    /// # Panics
    /// If the trial has fewer steps, or the rasters do not fit the network's inputs.
    #[track_caller]
    pub fn advance(&self, until: usize, inputs: &[&Raster], record: &mut Record<F>) {
        self.fit(inputs, until..usize::MAX);
        record.follow(self);
        let (noise, wants) = (self.noise(record.noise, record.learning), record.wants);
        for component in &self.components {
            // What nobody hears is not listed in the order of steps, so its steps may be taken together.
            let unheard = !component.recurrent && component.populations.iter().all(|&p| !self.cells[p].output().is_events());
            let stride = if unheard { PUSH_STRIDE } else { 1 };
            for start in (record.reached..until).step_by(stride) {
                let steps = start..(start + stride).min(until);
                component.populations.iter().for_each(|&p| self.advance_one(p, steps.clone(), inputs, false, wants, &noise, record));
            }
        }
        record.reached = record.reached.max(until);
    }

    /// Steps before one that it may depend on, besides the state: the longest delay or refractory period, and at least 1.
    pub fn history(&self) -> usize {
        let delays = self.links.iter().map(|link| link.delay);
        delays.chain(self.cells.iter().map(|cells| cells.refractory())).fold(1, usize::max)
    }

    /// Runs a trial that goes on where another ended. `inputs` [begin](Past::lead) with the last [`history`](Self::history) steps of that trial, which are not run again; what they
    /// were stands in the record as if they had been. Spikes and potentials are those of one long trial.
    ///
    /// # Panics
    /// If the rasters do not fit the network's inputs, or the past is of another network.
    #[track_caller]
    pub fn go_on(&self, past: &Past<F>, inputs: &[&Raster], wants: Wants, record: &mut Record<F>) {
        let (steps, history) = (inputs.first().map_or(0, |raster| raster.steps()), self.history());
        self.fit(inputs, steps..steps + 1);
        assert!(past.fits(self), "the past is that of another network");
        self.begin(steps, wants, record);
        (record.clock, record.reached) = (past.clock.wrapping_sub(history), history);
        for (p, (tail, state)) in past.populations.iter().enumerate() {
            tail.write(history, tail.graded, &mut record.spikes[p]);
            if self.cells[p].output().is_events() {
                record.traces[p].tell(tail.events());
            }
            flat_mut(&mut record.traces[p].state).copy_from_slice(state);
        }
        (0..self.cells.len()).for_each(|p| self.push_ahead(p, history, inputs, record));
        self.advance(steps, inputs, record);
    }

    /// Pushes the events of the first `steps` steps over the families into population `p`, as if it had been run over them.
    fn push_ahead(&self, p: usize, steps: usize, inputs: &[&Raster], record: &mut Record<F>) {
        let Record { spikes, fans, ahead, .. } = record;
        let (fans, width) = (&fans[p], blocks(self.cells[p].size()));
        if fans.is_empty() {
            return;
        }
        let planes = ahead[p].take(steps, fans.iter().map(|fan| fan.reach).max().unwrap_or(0), width);
        for t in 0..steps {
            for (fan, family) in fans.iter().zip(&self.plan.families[p]).filter(|(fan, _)| t >= fan.delay) {
                let events = family.from.spikes(inputs, spikes);
                let (fired, values) = (events.at(t - fan.delay), events.values_at(t - fan.delay));
                let into = &mut planes[t * width..];
                fired.iter().enumerate().for_each(|(n, &i)| fan::push(fan, i, values.get(n).map(|&x| F::of(x)), into));
            }
        }
    }

    #[track_caller]
    pub(crate) fn fit(&self, inputs: &[&Raster], steps: Range<usize>) {
        let expected = &self.network.draft().inputs;
        let fits = inputs.len() == expected.len() && inputs.iter().zip(expected).all(|(r, i)| r.units() == i.size);
        assert!(
            fits && inputs.iter().all(|r| steps.contains(&r.steps())),
            "the rasters do not fit the network's inputs {expected:?}, or not {} steps",
            steps.start
        );
    }

    /// The drives of every population, and its zoneout if that is to be drawn, with the numbers of this trial.
    fn noise(&self, seed: Seed, drawn: bool) -> Vec<Vec<Noise<F>>> {
        let zoneouts = if drawn { &self.zoneouts[..] } else { &[] };
        let mut noise = vec![Vec::new(); if self.drives.is_empty() && zoneouts.is_empty() { 0 } else { self.cells.len() }];
        for (p, zoneout) in zoneouts {
            noise[*p].push(Noise { key: zoneout_key(seed, *p), ..zoneout.clone() });
        }
        for (k, (p, drive)) in self.drives.iter().enumerate() {
            noise[*p].push(Noise { key: noise::key(seed.nth(k as u64)), ..drive.clone() });
        }
        noise
    }

    /// Draws for 64 neurons of population `p` whose state stays at a step, and closes them: adds to their input of the port of [`Zoneout`]. The numbers are those
    /// that a run draws with this seed as its noise. For dense methods.
    pub fn zone_out(&self, p: usize, seed: Seed, step: usize, block: usize, into: &mut Block<F>) {
        for (_, zoneout) in self.zoneouts.iter().filter(|(of, _)| *of == p) {
            self.simd.run(ZoneOut { noise: zoneout, key: zoneout_key(seed, p), step, block, into });
        }
    }

    /// The input at which zoneout of population `p` closes its neurons; `None` if it has none.
    pub fn zoneout_port(&self, p: usize) -> Option<usize> {
        self.zoneouts.iter().find(|(of, _)| *of == p).and_then(|(_, noise)| noise.port)
    }

    /// Takes one population over `steps`, on one thread.
    fn advance_one(
        &self,
        p: usize,
        steps: Range<usize>,
        inputs: &[&Raster],
        given: bool,
        wants: Wants,
        noise: &[Vec<Noise<F>>],
        record: &mut Record<F>,
    ) {
        let Record { spikes, traces, scratch, clock, fans, images, ahead, noise: trial, learning, .. } = record;
        let Scratch { heard, listed } = &mut scratch[0];
        let stride = Stride {
            engine: self,
            inputs,
            spikes,
            steps: steps.clone(),
            given,
            wants,
            noise,
            learning: *learning,
            clock: *clock,
            trial: *trial,
        };
        stride.run(p, traces[p].whole(), heard, images, &fans[p], &mut ahead[p]);
        if given {
            // They stand there already.
        } else if self.cells[p].output().has_values() {
            steps.for_each(|t| spikes[p].push_values(t, |units, values| traces[p].list_values(t, units, values)));
        } else if self.cells[p].spikes() {
            traces[p].whole().list(self.simd, steps.clone(), listed);
            steps.enumerate().for_each(|(k, t)| spikes[p].push_step(t, |units| units.extend_from_slice(listed.at(k))));
        }
    }

    /// Runs a component in which none hears another within a stride: every thread has a part of every population.
    fn run_as_team<S: Iterator<Item = Range<usize>>>(
        &self,
        component: &Component,
        inputs: &[&Raster],
        strides: impl Fn() -> S + Sync,
        noise: &[Vec<Noise<F>>],
        record: &mut Record<F>,
    ) {
        let Record { spikes, traces, scratch, noise: trial, .. } = record;
        let trial = *trial;
        let mut parts: Vec<Vec<(usize, Sink<'_, F>)>> = (0..self.threads).map(|_| Vec::new()).collect();
        for (p, trace) in traces.iter_mut().enumerate().filter(|(p, _)| component.populations.contains(p)) {
            trace.split(&mut parts, p);
        }
        // Read by all while they sweep, written by the first between strides.
        let shared = RwLock::new(std::mem::take(spikes));
        let listed: Vec<Mutex<Vec<Listed>>> = parts.iter().map(|part| Mutex::new(vec![Listed::default(); part.len()])).collect();
        let barrier = Barrier::new(self.threads);
        let members = parts.into_iter().zip(scratch).collect();
        barrier.run(members, |k, (mut part, scratch): (Vec<(usize, Sink<'_, F>)>, &mut Scratch<F>)| {
            for steps in strides() {
                {
                    let (spikes, mut listed) = (unpoisoned(shared.read()), unpoisoned(listed[k].lock()));
                    let stride = Stride {
                        engine: self,
                        inputs,
                        spikes: &spikes,
                        steps: steps.clone(),
                        given: false,
                        wants: Wants::Spikes,
                        noise,
                        learning: false,
                        clock: 0,
                        trial,
                    };
                    for ((p, sink), listed) in part.iter_mut().zip(&mut *listed) {
                        if !sink.blocks.is_empty() {
                            stride.run(*p, sink.again(), &mut scratch.heard, &[], &[], &mut Ahead::default());
                        }
                        sink.list(self.simd, steps.clone(), listed);
                    }
                }
                barrier.wait();
                if k == 0 {
                    let mut spikes = unpoisoned(shared.write());
                    let listed: Vec<_> = listed.iter().map(|part| unpoisoned(part.lock())).collect();
                    for (i, (p, _)) in part.iter().enumerate() {
                        for (k, t) in steps.clone().enumerate() {
                            spikes[*p].push_step(t, |units| listed.iter().for_each(|part| units.extend_from_slice(part[i].at(k))));
                        }
                    }
                }
                barrier.wait();
            }
        });
        *spikes = unpoisoned(shared.into_inner());
    }

    fn is_pushed_to(&self, populations: &[usize]) -> bool {
        populations.iter().any(|&p| !self.plan.singles[p].is_empty() || !self.plan.families[p].is_empty())
    }

    /// Indices of the projections into population `p` that hand out their rows by block of targets; the others push theirs to all.
    pub(crate) fn pulled(&self, p: usize) -> &[usize] {
        &self.pulled[p]
    }
}

/// Chooses who of population `p` keeps its state.
fn zoneout_key(seed: Seed, p: usize) -> u64 {
    noise::key(seed.child("zoneout").nth(p as u64))
}

struct ZoneOut<'a, F> {
    noise: &'a Noise<F>,
    key: u64,
    step: usize,
    block: usize,
    into: &'a mut Block<F>,
}

impl<F: Scalar> Kernel for ZoneOut<'_, F> {
    type Number = F;
    type Out = ();
    #[inline(always)]
    fn run<I: Isa>(self) {
        self.noise.counts.add::<F, I>(self.key, self.step, self.block, self.noise.weight, self.into);
    }
}

/// By population: the links into it whose rows are handed out by block of targets.
fn pulled<F: Scalar>(links: &[Link<F>], incoming: &[Vec<usize>], plan: &Plan) -> Vec<Vec<usize>> {
    let pulls = |k: &usize| !links[*k].is_pushed() && !plan.images[links[*k].to].contains(k);
    incoming.iter().map(|list| list.iter().copied().filter(pulls).collect()).collect()
}

/// What a lock guards. A thread that panicked while it held one ends the run, and its state is not used again.
fn unpoisoned<T>(locked: Result<T, std::sync::PoisonError<T>>) -> T {
    locked.unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Steps that are taken together, and all that is known before them.
struct Stride<'a, F: Scalar> {
    engine: &'a Clocked<F>,
    inputs: &'a [&'a Raster],
    spikes: &'a [Raster],
    steps: Range<usize>,
    given: bool,
    wants: Wants,
    noise: &'a [Vec<Noise<F>>],
    learning: bool,
    clock: usize,
    trial: Seed,
}

impl<F: Scalar> Stride<'_, F> {
    /// Advances the blocks of `sink`, part of population `p`.
    fn run(
        &self,
        p: usize,
        sink: Sink<'_, F>,
        heard: &mut Vec<Block<F>>,
        images: &[Option<Image<F>>],
        fans: &[Fan<F>],
        ahead: &mut Ahead<F>,
    ) {
        let Stride { engine, inputs, spikes, .. } = *self;
        let (steps, blocks) = (self.steps.len(), sink.blocks.clone());
        let heard: &mut [Block<F>] = if !fans.is_empty() {
            ahead.take(steps, fans.iter().map(|fan| fan.reach).max().unwrap_or(0), blocks.len())
        } else {
            heard.clear();
            heard.resize(if engine.is_pushed_to(&[p]) { steps * blocks.len() } else { 0 }, Block::zero());
            heard
        };
        if !heard.is_empty() {
            engine.simd.run(Hear { stride: self, p, blocks: blocks.clone(), fans, heard: &mut *heard });
        }
        let (links, incoming) = (&engine.links[..], &engine.pulled[p][..]);
        let noise = self.noise.get(p).map_or(&[][..], Vec::as_slice);
        let imaged = &engine.plan.images[p][..];
        let escape = if engine.cells[p].escapes() { noise::key(self.trial.child("escape").nth(p as u64)) } else { 0 };
        let (since, clock, given) = (self.steps.start, self.clock, self.given.then(|| &spikes[p]));
        let drawn = self.learning && engine.zoneout_port(p).is_some();
        let feed = Feed { links, incoming, imaged, images, inputs, spikes, heard, since, blocks, noise, escape, clock, drawn, given };
        engine.cells[p].sweep(engine.simd, &feed, self.steps.clone(), self.wants, sink);
    }
}

/// What some blocks of population `p` hear in a stride over projections that push events to all targets at once: `[step][block]`.
struct Hear<'a, F: Scalar> {
    stride: &'a Stride<'a, F>,
    p: usize,
    blocks: Range<usize>,
    /// Of its families; then `heard` holds as many steps more as they reach.
    fans: &'a [Fan<F>],
    heard: &'a mut [Block<F>],
}

impl<F: Scalar> Kernel for Hear<'_, F> {
    type Number = F;
    type Out = ();
    #[inline(always)]
    fn run<I: Isa>(self) {
        let Stride { engine, inputs, spikes, ref steps, .. } = *self.stride;
        let links = || engine.plan.singles[self.p].iter().map(|&k| &engine.links[k]);
        let width = self.blocks.len();
        for (k, t) in steps.clone().enumerate() {
            let into = &mut self.heard[k * width..];
            for (fan, family) in self.fans.iter().zip(&engine.plan.families[self.p]).filter(|(fan, _)| t >= fan.delay) {
                let events = family.from.spikes(inputs, spikes);
                let (fired, values) = (events.at(t - fan.delay), events.values_at(t - fan.delay));
                fired.iter().enumerate().for_each(|(n, &i)| fan::push(fan, i, values.get(n).map(|&x| F::of(x)), into));
            }
            let into = &mut into[..width];
            for link in links().filter(|link| t >= link.delay) {
                let events = link.from.spikes(inputs, spikes);
                let (fired, values) = (events.at(t - link.delay), events.values_at(t - link.delay));
                if let Some(reads) = &link.reads {
                    let targets = self.blocks.start * LANES..self.blocks.end * LANES;
                    let access =
                        Access { trial: self.stride.trial, step: self.stride.clock.wrapping_add(t), sources: fired, values, targets };
                    reads.push(&access, flat_mut(into));
                    continue;
                }
                match (&link.store, values) {
                    (Store::Csr(csr), []) => csr.push::<I>(fired, self.blocks.clone(), into),
                    (Store::Csr(csr), values) => csr.push_values(fired, values, self.blocks.clone(), flat_mut(into)),
                    (Store::Rows(rows), []) => rows.push(fired, self.blocks.clone(), flat_mut(into)),
                    (Store::Rows(rows), values) => rows.push_values(fired, values, self.blocks.clone(), flat_mut(into)),
                    (Store::Bits(bits), []) => bits.push::<I>(fired, self.blocks.start, into),
                    (Store::Bits(bits), values) => bits.push_values(fired, values, self.blocks.start, into),
                    _ => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use snn_core::net::{Connect, Init};
    use snn_core::neuron::{Li, Lif};
    use snn_core::{Net, Seed, ms};

    /// A chain of relays with delays 0 and 2, a self-loop with delay 1, and a second input: worked by hand.
    fn relays() -> Network {
        let relay = || Lif { tau: 1e-9.into(), ..Lif::default() }; // no memory: fires where its input exceeds 1
        Net::new(ms(1.0))
            .input("left", 1)
            .input("right", 1)
            .population("echo", 1, relay())
            .population("late", 1, relay())
            .population("now", 1, relay())
            .population("out", 1, Li { tau: 1e-9.into() })
            .project("late", "out", Connect::All, Init::Constant(3.0))
            .project("left", "now", Connect::All, Init::Constant(2.0))
            .project("now", "late", Connect::All, Init::Constant(2.0))
            .delay(ms(2.0))
            .project("right", "echo", Connect::All, Init::Constant(2.0))
            .project("echo", "echo", Connect::All, Init::Constant(4.0)) // beats the reset of 1 in the step after a spike
            .delay(ms(1.0))
            .output("out")
            .build(Seed::new(0))
            .unwrap()
    }

    #[test]
    fn delays_loops_and_inputs_by_hand() {
        let engine = Clocked::<f64>::compile(&relays());
        let raster = |steps: &[u32]| {
            let mut raster = Raster::new(1, 7);
            raster.fill(steps.iter().map(|&t| (t, 0)));
            raster
        };
        let (left, right) = (raster(&[0, 3, 6]), raster(&[2]));
        let mut record = engine.record(&[&left, &right], Wants::Spikes);
        assert_eq!(record.spikes[2], left, "now: no delay");
        assert_eq!(record.spikes[1], raster(&[2, 5]), "late: two steps; the last event falls off the end");
        assert_eq!(record.spikes[0], raster(&[2, 3, 4, 5, 6]), "echo: keeps itself going from the step after its first spike");
        assert_eq!(record.traces[3].series(0).collect::<Vec<_>>(), [0.0, 0.0, 3.0, 0.0, 0.0, 3.0, 0.0]);
        // A record is reused without a trace of the trial before.
        engine.run(&[&raster(&[]), &raster(&[])], Wants::Spikes, &mut record);
        assert!(record.spikes.iter().all(Raster::is_empty) && record.traces[3].series(0).all(|y| y == 0.0));
    }

    #[test]
    fn links_with_delays_of_their_own_by_hand() {
        let net = Net::new(ms(1.0))
            .input("in", 2)
            .population("out", 2, Li { tau: 1e-9.into() })
            .project("in", "out", Connect::All, Init::Constant(1.0))
            .delay(vec![ms(0.0), ms(3.0), ms(1.0), ms(1.0)]) // 0 → 0, 0 → 1, 1 → 0, 1 → 1
            .output("out")
            .build(Seed::new(0))
            .unwrap();
        let net = net.with_weights(vec![vec![1.0, 2.0, 4.0, 8.0]]).unwrap();
        let engine = Clocked::<f64>::compile(&net);
        assert_eq!((engine.links().len(), engine.weights()), (3, vec![vec![1.0, 2.0, 4.0, 8.0]]));
        let mut raster = Raster::new(2, 5);
        raster.fill([(0, 0), (1, 1)]);
        let record = engine.record(&[&raster], Wants::Spikes);
        let heard = |j: usize| record.traces[0].series(j).collect::<Vec<_>>();
        assert_eq!((heard(0), heard(1)), (vec![1.0, 0.0, 4.0, 0.0, 0.0], vec![0.0, 0.0, 8.0, 2.0, 0.0]));
    }

    #[test]
    fn components_run_sources_first() {
        let engine = Clocked::<f32>::compile(&relays());
        let place = |p: usize| engine.components().iter().position(|c| c.populations == [p]).unwrap();
        assert!(place(2) < place(1) && place(1) < place(3));
        assert!(engine.components()[place(0)].recurrent && !engine.components()[place(1)].recurrent);
    }

    #[test]
    #[should_panic(expected = "the rasters do not fit")]
    fn a_raster_of_another_size_is_refused() {
        let engine = Clocked::<f32>::compile(&relays());
        engine.run(&[&Raster::new(1, 5), &Raster::new(2, 5)], Wants::Spikes, &mut Record::new(&engine));
    }
}
