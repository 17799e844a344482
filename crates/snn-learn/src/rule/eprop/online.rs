//! The online form: eligibility traces carried forwards, window by window.
//!
//! Over a window of steps what a link keeps (its traces, and its gradient) becomes a linear function of what it kept before and of the events it
//! heard, and the coefficients depend on the target neuron only. They are found by taking each kept number's derivative back through the window, with
//! the adjoint step that every rule shares: it starts as 1 at the window's end; what reaches the inputs is what an event at each step adds, what reaches
//! the state before the window is what is left of each number kept there.

use super::synthetic::Teacher;
use crate::in_the_loop::Station;
use crate::rule::adjoint::{Adjoint, Carry, with_states};
use crate::rule::backward::Way;
use crate::rule::trial::Trial;
use crate::rule::{Gradients, Job, RuleError, Stats, Worker};
use snn_core::neuron::Jacobian;
use snn_core::{Raster, Surrogate, Trains};
use snn_sparse::lanes::{Isa, Kernel, bits, blocks, flat, flat_mut};
use snn_sparse::{Block, Clocked, LANES, Link, Local, Scalar, Store, Trace};
use std::ops::Range;
use std::time::Instant;

/// Whether population `p` is a leaky integrator, without events, with one time constant for all units.
pub(super) fn leaky<F: Scalar>(engine: &Clocked<F>, p: usize) -> bool {
    let (local, size) = (engine.cells()[p].local(), engine.cells()[p].size());
    let graded = !engine.cells()[p].output().is_events();
    graded && local.affine && local.reset_free && !local.feels_own_spike && local.states() == 1 && {
        let (first, same) = (local.of(0, 0), (1..size).all(|j| local.of(j, 0) == local.of(0, 0)));
        same && first.u_s[0] == first.s_s[0][0] && first.u_x == first.s_x[0]
    }
}

/// Whether traces can be kept for this network; `instead` says what to do if not.
pub(super) fn check<F: Scalar>(engine: &Clocked<F>, output: usize, rule: &'static str, instead: &str) -> Result<(), RuleError> {
    let draft = engine.network().draft();
    if !leaky(engine, output) {
        let why = format!("is the readout; eligibility traces need a leaky integrator (li) with one time constant for all units{instead}");
        return Err(RuleError::Population { rule, population: draft.populations[output].name.clone(), why });
    }
    match engine.links().iter().find(|link| link.learns && link.store.stretch(0, 0).is_none()) {
        Some(link) => {
            let projection = &draft.projections[link.projection];
            let why = format!("shares its weights; eligibility traces are kept for links of their own{instead}");
            Err(RuleError::Projection { rule, from: projection.from.clone(), to: projection.to.clone(), why })
        }
        None => Ok(()),
    }
}

/// A number kept per link, as a function of what the link has done to the target neuron: `ε`, its eligibility vector, `e`, its last eligibility
/// trace, and `ē`, the trace as the readout's filter leaves it.
enum Plane<F> {
    /// A component of `ε`.
    State(usize),
    /// `e`.
    Spike,
    /// `ρ·ε_a + e`: all that matters of both, where the neuron feels its own spike through state `a` only. For an adaptive threshold this is the
    /// card's trace of the adaptation, of the step to come.
    Folded(usize, Vec<Block<F>>),
    /// `ē`.
    Filtered,
}

/// The components of `ε` that depend on the source only, because they know no spike of the target and all neurons have the same constants.
fn shared(local: &Local<impl Scalar>, size: usize) -> Vec<usize> {
    if !local.affine {
        return Vec::new();
    }
    let all = || (0..size).flat_map(|j| [local.of(j, 0), local.of(j, 1)]);
    let first = local.of(0, 0);
    let alike = |k: &usize| all().all(|j| j.s_z[*k] == 0.0 && j.s_s[*k] == first.s_s[*k] && j.s_x[*k] == first.s_x[*k]);
    let mut list: Vec<usize> = (0..local.states()).filter(alike).collect();
    loop {
        let closed = |k: usize| (0..local.states()).all(|m| first.s_s[k][m] == 0.0 || list.contains(&m));
        let next: Vec<usize> = list.iter().copied().filter(|&k| closed(k)).collect();
        if next.len() == list.len() {
            return next;
        }
        list = next;
    }
}

/// The state through which alone a neuron feels its own spike, with the factor `ρ` of every neuron: whatever comes to depend on `e` depends `ρ` times as
/// much on that state.
fn folded<F: Scalar>(local: &Local<F>, size: usize, rest: &[usize]) -> Option<(usize, Vec<Block<F>>)> {
    let states = local.states();
    let ratio = |j: &Jacobian, a: usize| {
        let pairs = || (0..states).map(|i| (j.s_s[i][a], j.s_z[i])).chain([(j.u_s[a], j.u_z)]);
        let (s, z) = pairs().fold((0.0f64, 0.0f64), |best, pair| if pair.1.abs() > best.1.abs() { pair } else { best });
        (z != 0.0).then(|| s / z).filter(|rho| pairs().all(|(s, z)| (s - rho * z).abs() <= 1e-12 * (s.abs() + 1e-300)))
    };
    rest.iter().find_map(|&a| {
        let mut rho = vec![Block::zero(); blocks(size)];
        for j in 0..size {
            let (silent, fired) = (ratio(local.of(j, 0), a)?, ratio(local.of(j, 1), a)?);
            ((silent - fired).abs() <= 1e-12 * fired.abs()).then(|| rho[j / LANES][j % LANES] = F::of(fired))?;
        }
        Some((a, rho))
    })
}

/// What a linear filter that knows no spike does over the last steps of a window.
struct Tail<F> {
    width: usize,
    /// What one event leaves, by steps before the last: `[step][component]`.
    brings: Vec<F>,
    /// What is left after so many steps: `[steps][component][of component]`.
    stays: Vec<F>,
}

impl<F: Scalar> Tail<F> {
    fn new<const K: usize>(adjoint: &Adjoint<F, K>, components: &[usize], window: usize) -> Self {
        let width = components.len();
        let mut tail = Tail { width, brings: vec![F::default(); window * width], stays: vec![F::default(); (window + 1) * width * width] };
        for (a, &k) in components.iter().enumerate() {
            let mut carry = Carry::<F, K>::zero();
            carry.lambda[k] = Block::splat(F::of(1.0));
            for n in 0..=window {
                for (b, &k) in components.iter().enumerate() {
                    tail.stays[(n * width + a) * width + b] = carry.lambda[k][0];
                }
                if n < window {
                    tail.brings[n * width + a] = adjoint.step(0, &mut carry, &Block::zero(), 0)[0];
                }
            }
        }
        tail
    }
}

/// What the links into one population keep, and how it changes in a window. A link keeps some components of `ε` that all links of its source have in
/// common, and planes of its own; where links are listed, both are kept per link.
struct Kept<F> {
    /// Components of `ε` per source.
    shared: usize,
    /// Numbers per link.
    planes: usize,
    tail: Tail<F>,
    /// What an event adds, in one block of targets: to each shared component, to each plane, last to the gradient; `[step]`.
    adds: Vec<Vec<Block<F>>>,
    /// Likewise: from each shared component, from each plane.
    from: Vec<Vec<Block<F>>>,
}

/// A population whose weights learn; one implementation per number of state variables.
trait Target<F: Scalar>: Send {
    fn kept(&self) -> &Kept<F>;
    /// Finds what changes in the window for the links into block `b`.
    fn look_back(&mut self, window: &Window<'_, F>, b: usize);
}

/// Steps that are taken together, and all that is known of them.
struct Window<'a, F: Scalar> {
    engine: &'a Clocked<F>,
    steps: Range<usize>,
    /// Whether the trial ends with it.
    last: bool,
    /// The target population, and what it did.
    p: usize,
    trace: &'a Trace<F>,
    /// `∂E/∂y[t][block]` of the readout, if the target is it.
    output: Option<&'a [Block<F>]>,
    /// Whether anything is to be learned from it.
    taught: bool,
    /// Whether links are listed, and keep everything themselves.
    listed: bool,
    constant: &'a [Block<F>],
    feeds: &'a [Feed<F>],
    signals: &'a [Signal<F>],
    filter: &'a Tail<F>,
    /// The learning signals `[step][block]`, if somebody gives them.
    given: Option<&'a [Block<F>]>,
}

/// Feedback weights into one population.
struct Feed<F> {
    to: usize,
    /// Its units.
    size: usize,
    signal: usize,
    /// `[block][readout unit]`.
    weights: Vec<Block<F>>,
}

/// The readout's errors in a window, heard with one delay.
struct Signal<F> {
    delay: usize,
    /// `∂E/∂x`, the error times `1 − κ` and what is still to come of it: `[step][block]`.
    delta: Vec<Block<F>>,
    /// `∂E/∂y` before the window: `[block]`.
    before: Vec<Block<F>>,
    /// Whether all of it is zero.
    silent: bool,
}

struct Neurons<F: Scalar, const K: usize> {
    adjoint: Adjoint<F, K>,
    shared: Vec<usize>,
    planes: Vec<Plane<F>>,
    /// For each shared component, each plane, last for the gradient.
    carry: Vec<Carry<F, K>>,
    kept: Kept<F>,
    psi: Vec<Block<F>>,
    signal: Vec<Block<F>>,
    /// `∂E/∂ē` before the window.
    before: Block<F>,
}

impl<F: Scalar, const K: usize> Neurons<F, K> {
    fn new(local: &Local<F>, size: usize, filtered: bool, window: usize) -> Self {
        let mut common = shared(local, size);
        let list = |common: &[usize]| {
            let rest: Vec<usize> = (0..K).filter(|k| !common.contains(k)).collect();
            let fold = (local.affine && local.feels_own_spike).then(|| folded(local, size, &rest)).flatten();
            let mut planes: Vec<Plane<F>> =
                rest.iter().filter(|&&k| fold.as_ref().is_none_or(|f| f.0 != k)).map(|&k| Plane::State(k)).collect();
            match fold {
                Some((a, rho)) => planes.push(Plane::Folded(a, rho)),
                None if local.feels_own_spike => planes.push(Plane::Spike),
                None => {}
            }
            if filtered {
                planes.push(Plane::Filtered);
            }
            planes
        };
        let mut planes = list(&common);
        if !matches!((common.len(), planes.len()), (0, 0..=6) | (1, 0..=2) | (2, 0..=1)) {
            // A combination that `Advance` has no loop for.
            common.clear();
            planes = list(&common);
        }
        let adjoint = Adjoint::new(local);
        let steps = || vec![Block::zero(); window];
        let kept = Kept {
            shared: common.len(),
            planes: planes.len(),
            tail: Tail::new(&adjoint, &common, window),
            adds: vec![steps(); common.len() + planes.len() + 1],
            from: vec![vec![Block::zero(); common.len() + planes.len()]; common.len() + planes.len() + 1],
        };
        let carry = vec![Carry::zero(); kept.from.len()];
        Neurons { adjoint, shared: common, planes, carry, kept, psi: steps(), signal: steps(), before: Block::zero() }
    }
}

impl<F: Scalar, const K: usize> Target<F> for Neurons<F, K> {
    fn kept(&self) -> &Kept<F> {
        &self.kept
    }
    fn look_back(&mut self, window: &Window<'_, F>, b: usize) {
        window.engine.simd().run(LookBack { neurons: self, window, b });
    }
}

struct LookBack<'a, 'b, F: Scalar, const K: usize> {
    neurons: &'a mut Neurons<F, K>,
    window: &'a Window<'b, F>,
    b: usize,
}

impl<F: Scalar, const K: usize> LookBack<'_, '_, F, K> {
    /// ψ and `(1 − κ)·∂E/∂ē + R` of every step, and `∂E/∂ē` before the window.
    #[inline(always)]
    fn listen(&mut self) {
        let (n, window, b) = (&mut *self.neurons, self.window, self.b);
        n.before = Block::zero();
        if let Some(output) = window.output {
            // The readout's own error takes the place of both.
            for (k, t) in window.steps.clone().enumerate() {
                n.psi[k] = Block::splat(F::of(1.0));
                n.signal[k] = output[t * window.trace.blocks() + b];
            }
            return;
        }
        let feeds = || window.feeds.iter().filter(|feed| feed.to == window.p).map(|feed| (&window.signals[feed.signal], feed));
        for (k, t) in window.steps.clone().enumerate() {
            (n.psi[k], n.signal[k]) =
                (Block::zero(), window.given.map_or(window.constant[b], |given| given[k * window.trace.blocks() + b]));
            for e in window.trace.active_at(t, b) {
                n.psi[k][window.trace.active.unit[e] as usize % LANES] = window.trace.active.value[e];
            }
            for (signal, feed) in feeds().filter(|(signal, _)| !signal.silent) {
                let width = signal.before.len();
                feed.add(b, &signal.delta[k * width..(k + 1) * width], &mut n.signal[k]);
            }
        }
        if window.steps.start > 0 {
            feeds().filter(|(signal, _)| !signal.silent).for_each(|(signal, feed)| feed.add(b, &signal.before, &mut n.before));
        }
    }
}

impl<F: Scalar> Feed<F> {
    /// Adds `B·error` for block `b`.
    #[inline(always)]
    fn add(&self, b: usize, error: &[Block<F>], into: &mut Block<F>) {
        let errors = flat(error);
        let units = self.weights.len() / blocks(self.size);
        for (weights, &error) in self.weights[b * units..(b + 1) * units].iter().zip(errors) {
            if error != F::default() {
                for l in 0..LANES {
                    into.0[l] += error * weights.0[l];
                }
            }
        }
    }

    /// Takes the weights of these ways as they are now.
    fn gather(&mut self, engine: &Clocked<F>, ways: &[(Way<F>, usize)]) {
        let units = self.weights.len() / blocks(self.size);
        self.weights.fill(Block::zero());
        for (way, _) in ways.iter().filter(|(way, signal)| way.from == self.to && *signal == self.signal) {
            let store = way.store(engine);
            let values = store.values();
            for (j, k, v) in store.triplets() {
                self.weights[j / LANES * units + k][j % LANES] += way.factor * values[v];
            }
        }
    }
}

impl<F: Scalar, const K: usize> Kernel for LookBack<'_, '_, F, K> {
    type Number = F;
    type Out = ();

    #[inline(always)]
    fn run<I: Isa>(mut self) {
        self.listen();
        let LookBack { neurons: n, window, b } = self;
        let (steps, shared) = (window.steps.len(), n.shared.len());
        let gradient = shared + n.planes.len();
        let (cells, simd) = (&*window.engine.cells()[window.p], window.engine.simd());
        // What is kept matters if the trial goes on, the gradient if there is anything to learn.
        let first = if window.last {
            gradient
        } else if window.listed {
            0
        } else {
            shared
        };
        let wanted = first..gradient + usize::from(window.taught);
        for c in wanted.clone() {
            let (carry, one) = (&mut n.carry[c], Block::splat(F::of(1.0)));
            *carry = Carry::zero();
            match n.planes.get(c.wrapping_sub(shared)) {
                Some(&Plane::State(k)) => carry.lambda[k] = one,
                Some(Plane::Spike) => carry.mu = one,
                Some(Plane::Folded(k, rho)) => (carry.lambda[*k], carry.mu) = (rho[b], one),
                Some(Plane::Filtered) => {}
                None => n.shared.get(c).into_iter().for_each(|&k| carry.lambda[k] = one), // none for the gradient
            }
        }
        for (k, t) in window.steps.clone().enumerate().rev() {
            let fired = if t > 0 && window.output.is_none() { window.trace.fired(t - 1, b) } else { 0 };
            let affine = cells.local().affine;
            if !affine {
                let mut z = Block::zero();
                bits(fired).for_each(|l| z[l] = F::of(1.0));
                n.adjoint.look_at(cells, simd, b, window.trace.before(t, b), &z);
            }
            for c in wanted.clone() {
                let filtered = match n.planes.get(c.wrapping_sub(shared)) {
                    Some(Plane::Filtered) => Block::splat(window.filter.brings[steps - 1 - k]),
                    None if c == gradient => n.signal[k],
                    _ => Block::zero(),
                };
                let (carry, mut d) = (&mut n.carry[c], n.psi[k]);
                for l in 0..LANES {
                    d.0[l] = d.0[l] * (carry.mu.0[l] + filtered.0[l]);
                }
                n.kept.adds[c][k] = if affine { n.adjoint.step(b, carry, &d, fired) } else { n.adjoint.step_there(carry, &d) };
            }
        }
        for c in wanted {
            let (carry, from) = (&n.carry[c], &mut n.kept.from[c]);
            n.shared.iter().zip(&mut *from).for_each(|(&k, from)| *from = carry.lambda[k]);
            for (of, from) in n.planes.iter().zip(&mut from[shared..]) {
                *from = match of {
                    &Plane::State(k) => carry.lambda[k],
                    Plane::Spike | Plane::Folded(..) => carry.mu,
                    Plane::Filtered if c == gradient => n.before,
                    Plane::Filtered if matches!(n.planes.get(c.wrapping_sub(shared)), Some(Plane::Filtered)) => {
                        Block::splat(window.filter.stays[steps])
                    }
                    Plane::Filtered => Block::zero(),
                };
            }
        }
    }
}

/// What the links of `links()[k]` keep: rows of 64, one link to every target of a block.
struct Links<F: Scalar> {
    /// For each number kept per link.
    planes: Vec<Vec<Block<F>>>,
    /// The rows of each block of targets: `rows[b]..rows[b + 1]`. Where every source has a link to every target, a row per source, as the weights; else
    /// the links of a target stand one below the other in the order of their sources.
    rows: Vec<usize>,
    /// Rows that have been heard in this trial: what the others keep is zero, whatever stands there.
    heard: Vec<bool>,
    /// `[source][component]`; of links that are not listed.
    shared: Vec<F>,
    listed: Option<Listed<F>>,
    /// The events of a window, by source.
    trains: Trains,
    /// Sources with events.
    loud: Vec<u32>,
}

/// Of listed links.
struct Listed<F: Scalar> {
    /// By slot: row and lane, as one number.
    place: Vec<u32>,
    /// The gradient, in rows.
    gradient: Vec<Block<F>>,
}

impl<F: Scalar> Links<F> {
    fn new(store: &Store<F>, sources: usize, targets: usize, kept: &Kept<F>) -> Self {
        let listed = matches!(store, Store::Csr(_));
        let (mut rows, mut place) = (vec![0], vec![0; if listed { store.links() } else { 0 }]);
        for b in 0..blocks(targets) {
            let first = rows[b];
            let mut depth = [0; LANES];
            for stretch in (0..sources as u32).filter_map(|i| store.stretch(b, i)) {
                let Some(targets) = stretch.targets else { continue };
                for (slot, &j) in stretch.slots.zip(targets) {
                    let l = j as usize % LANES;
                    place[slot] = ((first + depth[l]) * LANES + l) as u32;
                    depth[l] += 1;
                }
            }
            rows.push(first + if listed { depth.into_iter().max().unwrap_or(0) } else { sources });
        }
        let all = rows[blocks(targets)];
        Links {
            planes: vec![vec![Block::zero(); all]; kept.planes + if listed { kept.shared } else { 0 }],
            heard: vec![false; all],
            shared: vec![F::default(); if listed { 0 } else { sources * kept.shared }],
            listed: listed.then(|| Listed { place, gradient: vec![Block::zero(); all] }),
            rows,
            trains: Trains::default(),
            loud: Vec::new(),
        }
    }

    /// Takes the events that arrive in `steps` over links of this delay.
    fn hear(&mut self, spikes: &Raster, delay: usize, steps: &Range<usize>) {
        let start = steps.start.max(delay);
        self.trains.of_steps(spikes, start - delay..steps.end.max(start) - delay, start - steps.start);
        self.loud.clear();
        let loud = |&i: &u32| !self.trains.at(i as usize).is_empty();
        self.loud.extend((0..self.trains.units() as u32).filter(loud));
    }

    /// Takes what is kept per source over the window.
    fn advance_sources(&mut self, tail: &Tail<F>, steps: usize) {
        let Links { shared, loud, trains, .. } = self;
        if shared.is_empty() {
            return;
        }
        let width = tail.width;
        for x in shared.chunks_exact_mut(width) {
            let before: [F; 2] = std::array::from_fn(|a| x.get(a).copied().unwrap_or_default());
            for (a, x) in x.iter_mut().enumerate() {
                let stays = &tail.stays[(steps * width + a) * width..][..width];
                *x = stays.iter().zip(before).fold(F::default(), |sum, (&s, x)| sum + s * x);
            }
        }
        for &i in &*loud {
            let (times, values) = (trains.at(i as usize), trains.values_at(i as usize));
            for (a, x) in shared[i as usize * width..][..width].iter_mut().enumerate() {
                *x += add(times, values, |t| tail.brings[(steps - 1 - t) * width + a]);
            }
        }
    }

    /// Sets all back to rest.
    fn begin(&mut self) {
        self.heard.fill(false);
        self.shared.fill(F::default());
    }

    /// Adds what was gathered in rows to the gradient, and forgets it.
    fn end(&mut self, gradient: &mut [Block<F>]) {
        if let Some(listed) = &mut self.listed {
            let rows = flat(&listed.gradient);
            flat_mut(gradient).iter_mut().zip(&listed.place).for_each(|(g, &place)| *g += rows[place as usize]);
            listed.gradient.fill(Block::zero());
        }
    }

    fn bytes(&self) -> usize {
        let listed = self.listed.as_ref().map_or(0, |l| 4 * l.place.capacity() + size_of::<Block<F>>() * l.gradient.capacity());
        self.planes.iter().map(|p| p.capacity() * size_of::<Block<F>>()).sum::<usize>()
            + listed
            + self.shared.capacity() * size_of::<F>()
            + self.heard.capacity()
            + 8 * self.rows.capacity()
            + 4 * self.loud.capacity()
            + self.trains.bytes()
    }
}

/// What events at `times` bring, each times its value; spikes have none.
#[inline(always)]
fn add<F: Scalar>(times: &[u32], values: &[f64], brings: impl Fn(usize) -> F) -> F {
    match values {
        [] => times.iter().fold(F::default(), |sum, &t| sum + brings(t as usize)),
        values => times.iter().zip(values).fold(F::default(), |sum, (&t, &value)| sum + F::of(value) * brings(t as usize)),
    }
}

/// The same for 64 links, added to `sum`.
#[inline(always)]
fn add_rows<F: Scalar>(mut sum: Block<F>, times: &[u32], values: &[f64], brings: &[Block<F>]) -> Block<F> {
    for (n, &t) in times.iter().enumerate() {
        let brings = &brings[t as usize];
        match values.get(n) {
            None => sum = sum.plus(brings),
            Some(&value) => (0..LANES).for_each(|l| sum.0[l] += F::of(value) * brings.0[l]),
        }
    }
    sum
}

/// Takes what the links into one block of targets keep over the window. Returns the multiply-accumulates.
struct Update<'a, F: Scalar> {
    store: &'a Store<F>,
    b: usize,
    kept: &'a Kept<F>,
    links: &'a mut Links<F>,
    gradient: &'a mut [Block<F>],
    last: bool,
    taught: bool,
}

impl<F: Scalar> Kernel for Update<'_, F> {
    type Number = F;
    type Out = u64;

    #[inline(always)]
    fn run<I: Isa>(mut self) -> u64 {
        let rows = self.links.rows[self.b]..self.links.rows[self.b + 1];
        let listed = self.links.listed.is_some();
        let shared = if listed { 0 } else { self.kept.shared };
        let mut macs = 0;
        // What was kept, in runs of rows that have been heard.
        let mut row = rows.start;
        while row < rows.end {
            let run = self.links.heard[row..rows.end].iter().take_while(|&&h| h).count();
            if run > 0 {
                macs += match (shared, self.links.planes.len()) {
                    (0, 0) => 0,
                    (0, 1) => self.advance::<0, 1>(row..row + run),
                    (0, 2) => self.advance::<0, 2>(row..row + run),
                    (0, 3) => self.advance::<0, 3>(row..row + run),
                    (0, 4) => self.advance::<0, 4>(row..row + run),
                    (0, 5) => self.advance::<0, 5>(row..row + run),
                    (0, 6) => self.advance::<0, 6>(row..row + run),
                    (1, 0) => self.advance::<1, 0>(row..row + run),
                    (1, 1) => self.advance::<1, 1>(row..row + run),
                    (1, 2) => self.advance::<1, 2>(row..row + run),
                    (2, 0) => self.advance::<2, 0>(row..row + run),
                    _ => self.advance::<2, 1>(row..row + run),
                };
            }
            row += run.max(1);
        }
        // What events add.
        let Links { planes, heard, listed, trains, loud, .. } = self.links;
        let adds = &self.kept.adds[shared..];
        let width = planes.len();
        for &i in &*loud {
            let (times, values) = (trains.at(i as usize), trains.values_at(i as usize));
            macs += (times.len() * LANES * (usize::from(self.taught) + if self.last { 0 } else { width })) as u64;
            let Some(Listed { place, gradient }) = listed else {
                let row = rows.start + i as usize;
                if !self.last {
                    for (plane, adds) in planes.iter_mut().zip(adds) {
                        let before = if heard[row] { plane[row] } else { Block::zero() };
                        plane[row] = add_rows(before, times, values, adds);
                    }
                    heard[row] = true;
                }
                if self.taught {
                    self.gradient[row] = add_rows(self.gradient[row], times, values, &adds[width]);
                }
                continue;
            };
            let Some(stretch) = self.store.stretch(self.b, i) else { continue };
            for &place in &place[stretch.slots] {
                let (row, l) = (place as usize / LANES, place as usize % LANES);
                if !self.last {
                    if !std::mem::replace(&mut heard[row], true) {
                        planes.iter_mut().for_each(|plane| plane[row] = Block::zero());
                    }
                    for (plane, adds) in planes.iter_mut().zip(adds) {
                        plane[row].0[l] += add(times, values, |t| adds[t].0[l]);
                    }
                }
                if self.taught {
                    gradient[row].0[l] += add(times, values, |t| adds[width][t].0[l]);
                }
            }
        }
        macs
    }
}

impl<F: Scalar> Update<'_, F> {
    /// `kept ← Σ from·kept` for some rows of links, `S` numbers per source and `P` per link; likewise added to the gradient.
    #[inline(always)]
    fn advance<const S: usize, const P: usize>(&mut self, rows: Range<usize>) -> u64 {
        let Links { planes, shared, listed, rows: all, .. } = &mut *self.links;
        let gradient = listed.as_mut().map_or(&mut *self.gradient, |listed| &mut listed.gradient);
        let from = &self.kept.from[self.kept.from.len() - 1 - P..];
        let sum = |from: &[Block<F>], x: &[F; S], q: &[Block<F>; P], l: usize| {
            let shared = (0..S).fold(F::default(), |sum, s| sum + from[s].0[l] * x[s]);
            (0..P).fold(shared, |sum, c| sum + from[S + c].0[l] * q[c].0[l])
        };
        let count = rows.len();
        for row in rows {
            let x: [F; S] = std::array::from_fn(|s| shared[(row - all[self.b]) * S + s]);
            let q: [Block<F>; P] = std::array::from_fn(|c| planes[c][row]);
            if self.taught {
                let (from, gradient) = (&from[P][..S + P], &mut gradient[row]);
                for l in 0..LANES {
                    gradient.0[l] += sum(from, &x, &q, l);
                }
            }
            if !self.last {
                for c in 0..P {
                    let (from, to) = (&from[c][..S + P], &mut planes[c][row]);
                    for l in 0..LANES {
                        to.0[l] = sum(from, &x, &q, l);
                    }
                }
            }
        }
        (count * LANES * (S + P) * (usize::from(self.taught) + if self.last { 0 } else { P })) as u64
    }
}

/// The worker of the online form.
pub(super) struct Online<F: Scalar> {
    trial: Trial<F>,
    window: usize,
    output: usize,
    readout: Adjoint<F, 1>,
    /// The readout's filter.
    filter: Tail<F>,
    /// How the readout's errors reach hidden populations, and by which signal.
    ways: Vec<(Way<F>, usize)>,
    /// Their weights, as they were when the worker began.
    feeds: Vec<Feed<F>>,
    signals: Vec<Signal<F>>,
    /// By population; `None` where no link learns.
    targets: Vec<Option<Box<dyn Target<F>>>>,
    /// By link.
    links: Vec<Option<Links<F>>>,
    /// The links they were made for: [`Clocked::relinked`].
    relinked: u64,
    /// Who gives the learning signals, if not the readout's errors themselves.
    teacher: Option<Teacher<F>>,
}

/// What every list of links keeps, at rest.
fn links<F: Scalar>(engine: &Clocked<F>, targets: &[Option<Box<dyn Target<F>>>]) -> Vec<Option<Links<F>>> {
    let of = |link: &Link<F>| {
        let target = targets[link.to].as_ref().filter(|_| link.learns)?;
        Some(Links::new(&link.store, engine.size(link.from), engine.cells()[link.to].size(), target.kept()))
    };
    engine.links().iter().map(of).collect()
}

impl<F: Scalar> Online<F> {
    pub fn new(engine: &Clocked<F>, surrogate: Surrogate, ways: Vec<Way<F>>, window: usize, teacher: Option<Teacher<F>>) -> Self {
        let output = engine.outputs()[0];
        let width = blocks(engine.cells()[output].size());
        let mut signals: Vec<Signal<F>> = Vec::new();
        let ways = ways.into_iter().map(|way| {
            let known = signals.iter().position(|signal| signal.delay == way.delay);
            let place = known.unwrap_or_else(|| {
                signals.push(Signal {
                    delay: way.delay,
                    delta: vec![Block::zero(); window * width],
                    before: vec![Block::zero(); width],
                    silent: true,
                });
                signals.len() - 1
            });
            (way, place)
        });
        let ways: Vec<(Way<F>, usize)> = ways.collect();
        let mut feeds: Vec<Feed<F>> = Vec::new();
        for (way, signal) in &ways {
            if !feeds.iter().any(|feed| (feed.to, feed.signal) == (way.from, *signal)) {
                let size = engine.cells()[way.from].size();
                let weights = vec![Block::zero(); blocks(size) * engine.cells()[output].size()];
                feeds.push(Feed { to: way.from, size, signal: *signal, weights });
            }
        }
        let target = |p: usize| -> Option<Box<dyn Target<F>>> {
            let (cells, local) = (&engine.cells()[p], engine.cells()[p].local());
            let learns = cells.output().is_events() || p == output;
            learns.then(|| {
                with_states!(local.states(), K => Box::new(Neurons::<F, K>::new(local, cells.size(), p != output && teacher.is_none(), window)) as Box<dyn Target<F>>)
            })
        };
        let targets: Vec<_> = (0..engine.cells().len()).map(target).collect();
        let links = links(engine, &targets);
        let readout = Adjoint::new(engine.cells()[output].local());
        let filter = Tail::new(&readout, &[0], window);
        Online {
            trial: Trial::new(engine, surrogate),
            window,
            output,
            readout,
            filter,
            ways,
            feeds,
            signals,
            targets,
            links,
            relinked: engine.relinked(),
            teacher,
        }
    }

    /// Takes all links over `steps`; `first` and `last` say whether the trial begins and ends with them.
    fn advance(
        &mut self,
        job: &Job<'_, F>,
        steps: Range<usize>,
        [first, last]: [bool; 2],
        gradients: &mut Gradients<F>,
        stats: &mut Stats,
    ) {
        let engine = job.engine;
        let mut macs = match &mut self.teacher {
            Some(teacher) => teacher.teach(engine, &self.trial, &steps, [first, last], job.scale, gradients, stats),
            None => 0,
        };
        let Trial { input, record, output, constant, .. } = &self.trial;
        let width = blocks(engine.cells()[self.output].size());
        let zero = Block::zero();
        for signal in &mut self.signals {
            let heard = steps.clone().flat_map(|t| output.iter().skip((t + signal.delay) * width).take(width));
            signal.silent = heard.into_iter().all(|error| *error == zero);
            for ob in (0..width).filter(|_| !signal.silent) {
                let mut carry = Carry::zero();
                for (k, t) in steps.clone().enumerate().rev() {
                    let error = output.get((t + signal.delay) * width + ob).copied().unwrap_or(Block::zero());
                    signal.delta[k * width + ob] = self.readout.step(ob, &mut carry, &error, 0);
                }
                signal.before[ob] = carry.lambda[0];
            }
        }
        for (link, links) in engine.links().iter().zip(&mut self.links) {
            if let Some(links) = links {
                links.hear(link.from.spikes(&[input], &record.spikes), link.delay, &steps);
            }
        }
        for (p, target) in self.targets.iter_mut().enumerate() {
            let Some(target) = target else { continue };
            let readout = p == self.output;
            let mut feeds = self.feeds.iter().filter(|feed| feed.to == p);
            let given = self.teacher.as_ref().filter(|_| !readout).map(|teacher| teacher.signals(p));
            let taught = if let Some(given) = given {
                given.iter().any(|signal| *signal != zero)
            } else if readout {
                output[steps.start * width..steps.end * width].iter().any(|error| *error != zero)
            } else {
                feeds.any(|feed| !self.signals[feed.signal].silent) || constant[p].iter().any(|c| *c != zero)
            };
            if last && !taught {
                continue;
            }
            let listed = engine.incoming(p).iter().any(|&k| self.links[k].as_ref().is_some_and(|links| links.listed.is_some()));
            let window = Window {
                engine,
                taught,
                listed,
                steps: steps.clone(),
                last,
                p,
                trace: &record.traces[p],
                output: readout.then_some(&output[..]),
                constant: &constant[p],
                feeds: &self.feeds,
                signals: &self.signals,
                filter: &self.filter,
                given,
            };
            for b in 0..blocks(engine.cells()[p].size()) {
                target.look_back(&window, b);
                for &k in engine.incoming(p) {
                    let Some(links) = &mut self.links[k] else { continue };
                    let (store, gradient) = (&engine.links()[k].store, &mut gradients.links[k][..]);
                    macs += engine.simd().run(Update { store, b, kept: target.kept(), links, gradient, last, taught });
                }
            }
            for &k in engine.incoming(p).iter().filter(|_| !last) {
                if let Some(links) = &mut self.links[k] {
                    links.advance_sources(&target.kept().tail, steps.len());
                }
            }
        }
        stats.macs_backward += macs;
    }
}

impl<F: Scalar> Worker<F> for Online<F> {
    fn learn(&mut self, job: &Job<'_, F>, trials: &[usize], gradients: &mut Gradients<F>) -> Stats {
        let engine = job.engine;
        let mut stats = Stats::of(engine.cells().len());
        if self.relinked != engine.relinked() {
            (self.links, self.relinked) = (links(engine, &self.targets), engine.relinked());
        }
        self.ways.iter_mut().for_each(|(way, _)| way.after(job.updates));
        self.feeds.iter_mut().for_each(|feed| feed.gather(engine, &self.ways));
        // Where every error is known at its step, the network runs as far as the rule has come, and nothing grows with the trial.
        let known = job.loss.stepwise() && job.regulariser.known_before(!job.rates.is_empty());
        // A device runs whole trials.
        let in_pieces = known && self.signals.iter().all(|signal| signal.delay == 0) && self.trial.station.is_none();
        for &trial in trials {
            self.links.iter_mut().flatten().for_each(Links::begin);
            self.teacher.iter_mut().for_each(Teacher::begin);
            let mut first = true;
            if in_pieces {
                self.trial.begin(job, trial, self.window);
                while let Some((steps, last)) = self.trial.next(job, trial, self.window, &mut stats) {
                    let start = Instant::now();
                    self.advance(job, steps, [std::mem::take(&mut first), last], gradients, &mut stats);
                    stats.backward_s += start.elapsed().as_secs_f64();
                }
                continue;
            }
            let middle = self.trial.run(job, trial, &mut stats);
            let all = self.trial.input.steps();
            for start in (0..all).step_by(self.window) {
                let steps = start..(start + self.window).min(all);
                let last = steps.end == all;
                self.advance(job, steps, [start == 0, last], gradients, &mut stats);
            }
            stats.backward_s += middle.elapsed().as_secs_f64();
            stats.tally(engine, &self.trial.input, &self.trial.record, 0);
        }
        for (links, gradient) in self.links.iter_mut().zip(&mut gradients.links) {
            links.iter_mut().for_each(|links| links.end(gradient));
        }
        stats
    }

    fn play_on(&mut self, station: Option<Station>) -> Option<Station> {
        std::mem::replace(&mut self.trial.station, station)
    }

    fn bytes(&self) -> usize {
        let signals = self.signals.iter().map(|s| s.delta.capacity() + s.before.capacity()).sum::<usize>();
        self.trial.bytes()
            + signals * size_of::<Block<F>>()
            + self.ways.iter().map(|(way, _)| way.bytes()).sum::<usize>()
            + self.feeds.iter().map(|feed| feed.weights.capacity() * size_of::<Block<F>>()).sum::<usize>()
            + self.links.iter().flatten().map(Links::bytes).sum::<usize>()
            + self.teacher.as_ref().map_or(0, Teacher::bytes)
    }
}
