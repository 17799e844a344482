//! The online form: eligibility traces carried forwards, window by window.
//!
//! Over a window of steps what a link keeps (its traces, and its gradient) becomes a linear function of what it kept before and of the events it
//! heard, and the coefficients depend on the target neuron only. They are found by taking each kept number's derivative back through the window, with
//! the adjoint step that every rule shares: it starts as 1 at the window's end; what reaches the inputs is what an event at each step adds, what reaches
//! the state before the window is what is left of each number kept there.

use super::NAME;
use crate::rule::adjoint::{Adjoint, Carry, with_states};
use crate::rule::sparse_bptt::Way;
use crate::rule::trial::Trial;
use crate::rule::{Gradients, Job, RuleError, Stats, Worker};
use snn_core::neuron::Jacobian;
use snn_core::{Raster, Surrogate, Trains};
use snn_sparse::lanes::{Isa, Kernel, bits, blocks, flat_mut, valid_lanes};
use snn_sparse::{Block, Clocked, LANES, Local, Scalar, Store, Synapses, Trace};
use std::ops::Range;

/// Whether the online form can train this network.
pub(super) fn check<F: Scalar>(engine: &Clocked<F>, output: usize, window: usize) -> Result<(), RuleError> {
    let draft = engine.network().draft();
    if window == 0 {
        return Err(RuleError::Options { rule: NAME, why: "online window = 0: give at least one step".into() });
    }
    let (local, size) = (engine.cells()[output].local(), engine.cells()[output].size());
    let leaky = || {
        let (first, same) = (local.of(0, 0), (1..size).all(|j| local.of(j, 0) == local.of(0, 0)));
        same && local.states() == 1 && first.u_s[0] == first.s_s[0][0] && first.u_x == first.s_x[0]
    };
    if !(local.affine && local.reset_free && !local.feels_own_spike && leaky()) {
        let why =
            "is the readout; the online form needs a leaky integrator (li) with one time constant for all units: take the reverse form";
        return Err(RuleError::Population { rule: NAME, population: draft.populations[output].name.clone(), why: why.into() });
    }
    match engine.links().iter().find(|link| !link.store.frozen() && link.store.stretch(0, 0..0).is_none()) {
        Some(link) => {
            let projection = &draft.projections[link.projection];
            let why = "shares its weights; the online form keeps traces for links of their own: take the reverse form".into();
            Err(RuleError::Projection { rule: NAME, from: projection.from.clone(), to: projection.to.clone(), why })
        }
        None => Ok(()),
    }
}

/// A number kept per link, as a function of what the link has done to the target neuron: `ε`, its eligibility vector, `e`, its last eligibility
/// trace, and `ē`, the trace as the readout's filter leaves it.
#[derive(Clone)]
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

/// What the links into one population keep, and how it changes in a window.
struct Kept<F> {
    /// Components of `ε` per source.
    shared: usize,
    /// Numbers per link.
    planes: usize,
    tail: Tail<F>,
    /// What an event adds, in one block of targets: to each plane, last to the gradient; `[step]`.
    adds: Vec<Vec<Block<F>>>,
    /// To each plane, last to the gradient: from each shared component, from each plane.
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
    constant: &'a [Block<F>],
    ways: &'a [(Way<F>, usize)],
    signals: &'a [Signal<F>],
    filter: &'a Tail<F>,
}

/// The readout's errors in a window, heard with one delay.
struct Signal<F> {
    delay: usize,
    /// `∂E/∂x`, the error times `1 − κ` and what is still to come of it: `[step][block]`.
    delta: Vec<Block<F>>,
    /// `∂E/∂y` before the window: `[block]`.
    before: Vec<Block<F>>,
}

struct Neurons<F: Scalar, const K: usize> {
    adjoint: Adjoint<F, K>,
    shared: Vec<usize>,
    planes: Vec<Plane<F>>,
    /// For each plane, last for the gradient.
    carry: Vec<Carry<F, K>>,
    kept: Kept<F>,
    psi: Vec<Block<F>>,
    signal: Vec<Block<F>>,
    /// `∂E/∂ē` before the window.
    before: Block<F>,
}

impl<F: Scalar, const K: usize> Neurons<F, K> {
    fn new(local: &Local<F>, size: usize, readout: bool, window: usize) -> Self {
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
            if !readout {
                planes.push(Plane::Filtered);
            }
            planes
        };
        let mut planes = list(&common);
        if !matches!((common.len(), planes.len()), (0, 1..=6) | (1, 0..=2) | (2, 1)) {
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
            adds: vec![steps(); planes.len() + 1],
            from: vec![vec![Block::zero(); common.len() + planes.len()]; planes.len() + 1],
        };
        let carry = vec![Carry::zero(); planes.len() + 1];
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
    fn listen<I: Isa>(&mut self) {
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
        let ways = || window.ways.iter().filter(|(way, _)| way.from == window.p);
        for (k, t) in window.steps.clone().enumerate() {
            (n.psi[k], n.signal[k]) = (Block::zero(), Block::zero());
            for e in window.trace.active_at(t, b) {
                let (unit, psi) = (window.trace.active.unit[e], window.trace.active.value[e]);
                let l = unit as usize % LANES;
                let mut sum = window.constant[b][l];
                for (way, signal) in ways() {
                    let signal = &window.signals[*signal];
                    let width = signal.before.len();
                    for (ob, delta) in signal.delta[k * width..(k + 1) * width].iter().enumerate() {
                        sum += way.factor * way.store(window.engine).pull_back::<I>(ob, unit, delta);
                    }
                }
                (n.psi[k][l], n.signal[k][l]) = (psi, sum);
            }
        }
        if window.steps.start > 0 {
            for l in bits(valid_lanes(window.trace.units(), b)) {
                for (way, signal) in ways() {
                    for (ob, before) in window.signals[*signal].before.iter().enumerate() {
                        n.before[l] += way.factor * way.store(window.engine).pull_back::<I>(ob, (b * LANES + l) as u32, before);
                    }
                }
            }
        }
    }
}

impl<F: Scalar, const K: usize> Kernel for LookBack<'_, '_, F, K> {
    type Out = ();

    #[inline(always)]
    fn run<I: Isa>(mut self) {
        self.listen::<I>();
        let LookBack { neurons: n, window, b } = self;
        let (steps, planes) = (window.steps.len(), n.planes.len());
        let (cells, simd) = (&*window.engine.cells()[window.p], window.engine.simd());
        let wanted = if window.last { planes..planes + 1 } else { 0..planes + 1 };
        for c in wanted.clone() {
            let carry = &mut n.carry[c];
            *carry = Carry::zero();
            match n.planes.get(c) {
                Some(&Plane::State(k)) => carry.lambda[k] = Block::splat(F::of(1.0)),
                Some(Plane::Spike) => carry.mu = Block::splat(F::of(1.0)),
                Some(Plane::Folded(k, rho)) => (carry.lambda[*k], carry.mu) = (rho[b], Block::splat(F::of(1.0))),
                Some(Plane::Filtered) | None => {}
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
                let filtered = match n.planes.get(c) {
                    Some(Plane::Filtered) => Block::splat(window.filter.brings[steps - 1 - k]),
                    None => n.signal[k],
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
            let (plane, carry, from) = (n.planes.get(c), &n.carry[c], &mut n.kept.from[c]);
            n.shared.iter().zip(&mut *from).for_each(|(&k, from)| *from = carry.lambda[k]);
            for (of, from) in n.planes.iter().zip(&mut from[n.shared.len()..]) {
                *from = match (of, plane) {
                    (&Plane::State(k), _) => carry.lambda[k],
                    (Plane::Spike | Plane::Folded(..), _) => carry.mu,
                    (Plane::Filtered, None) => n.before,
                    (Plane::Filtered, Some(Plane::Filtered)) => Block::splat(window.filter.stays[steps]),
                    (Plane::Filtered, _) => Block::zero(),
                };
            }
        }
    }
}

/// What the links of `links()[k]` keep.
struct Links<F: Scalar> {
    /// Laid out like the weights, for each number kept per link.
    planes: Vec<Vec<Block<F>>>,
    /// `[source][component]`.
    shared: Vec<F>,
    /// Sources that have been heard in this trial: all that the others' links keep is zero, whatever stands there.
    heard: Vec<bool>,
    /// The source of every slot, where links are listed.
    source: Vec<u32>,
    /// The events of a window, by source.
    trains: Trains,
}

impl<F: Scalar> Links<F> {
    fn new(store: &Store<F>, sources: usize, targets: usize, kept: &Kept<F>) -> Self {
        let mut source = Vec::new();
        for (b, i) in (0..blocks(targets)).flat_map(|b| (0..sources).map(move |i| (b, i))) {
            if let Some(stretch) = store.stretch(b, i..i + 1).filter(|s| s.lanes.is_some()) {
                source.resize(stretch.slots.end, i as u32);
            }
        }
        Links {
            planes: vec![vec![Block::zero(); store.weights().len()]; kept.planes],
            shared: vec![F::default(); sources * kept.shared],
            heard: vec![false; sources],
            source,
            trains: Trains::default(),
        }
    }

    /// Takes the events that arrive in `steps` over links of this delay.
    fn hear(&mut self, spikes: &Raster, delay: usize, steps: &Range<usize>) {
        let start = steps.start.max(delay);
        self.trains.of_steps(spikes, start - delay..steps.end.max(start) - delay, start - steps.start);
    }

    /// Takes what is kept per source over the window.
    fn advance_sources(&mut self, tail: &Tail<F>, steps: usize) {
        let width = tail.width;
        for i in 0..self.heard.len() {
            let times = self.trains.at(i);
            if !self.heard[i] && times.is_empty() {
                continue;
            }
            self.heard[i] = true;
            let x = &mut self.shared[i * width..(i + 1) * width];
            let before: [F; 2] = std::array::from_fn(|a| x.get(a).copied().unwrap_or_default());
            for (a, x) in x.iter_mut().enumerate() {
                let stays = &tail.stays[(steps * width + a) * width..][..width];
                let left = stays.iter().zip(before).fold(F::default(), |sum, (&s, x)| sum + s * x);
                *x = times.iter().fold(left, |sum, &t| sum + tail.brings[(steps - 1 - t as usize) * width + a]);
            }
        }
    }

    /// Sets all back to rest.
    fn begin(&mut self) {
        self.heard.fill(false);
        self.shared.fill(F::default());
    }

    fn bytes(&self) -> usize {
        self.planes.iter().map(|p| p.capacity() * size_of::<Block<F>>()).sum::<usize>()
            + self.shared.capacity() * size_of::<F>()
            + self.heard.capacity()
            + 4 * self.source.capacity()
            + self.trains.bytes()
    }
}

/// Takes what the links into one block of targets keep over the window. Returns the multiply-accumulates.
struct Update<'a, F: Scalar> {
    store: &'a Store<F>,
    b: usize,
    kept: &'a Kept<F>,
    links: &'a mut Links<F>,
    gradient: &'a mut [Block<F>],
    steps: usize,
    last: bool,
}

impl<F: Scalar> Kernel for Update<'_, F> {
    type Out = u64;

    #[inline(always)]
    fn run<I: Isa>(mut self) -> u64 {
        let sources = self.links.heard.len();
        let mut macs = 0;
        // What was kept, in runs of sources that have been heard.
        let mut i = 0;
        while i < sources {
            let run = self.links.heard[i..].iter().take_while(|&&h| h).count();
            if run > 0 {
                macs += match (self.kept.shared, self.kept.planes) {
                    (0, 1) => self.advance::<0, 1>(i..i + run),
                    (0, 2) => self.advance::<0, 2>(i..i + run),
                    (0, 3) => self.advance::<0, 3>(i..i + run),
                    (0, 4) => self.advance::<0, 4>(i..i + run),
                    (0, 5) => self.advance::<0, 5>(i..i + run),
                    (0, 6) => self.advance::<0, 6>(i..i + run),
                    (1, 0) => self.advance::<1, 0>(i..i + run),
                    (1, 1) => self.advance::<1, 1>(i..i + run),
                    (1, 2) => self.advance::<1, 2>(i..i + run),
                    _ => self.advance::<2, 1>(i..i + run),
                };
            }
            i += run.max(1);
        }
        // What events add.
        for i in 0..sources {
            let times = self.links.trains.at(i);
            if times.is_empty() {
                continue;
            }
            let adds = |c: usize| &self.kept.adds[c][..self.steps];
            if !self.last {
                for (c, plane) in self.links.planes.iter_mut().enumerate() {
                    if !self.links.heard[i]
                        && let Some(stretch) = self.store.stretch(self.b, i..i + 1)
                    {
                        flat_mut(plane)[stretch.slots].fill(F::default());
                    }
                    self.store.correlate(self.b, i, times, adds(c), plane);
                }
            }
            self.store.correlate(self.b, i, times, adds(self.kept.planes), self.gradient);
            macs += (times.len() * LANES * if self.last { 1 } else { self.kept.planes + 1 }) as u64;
        }
        macs
    }
}

impl<F: Scalar> Update<'_, F> {
    /// `kept ← Σ from·kept` for the links of consecutive sources, `S` numbers per source and `P` per link; likewise added to the gradient.
    #[inline(always)]
    fn advance<const S: usize, const P: usize>(&mut self, sources: Range<usize>) -> u64 {
        let Some(stretch) = self.store.stretch(self.b, sources.clone()) else { return 0 };
        let Links { planes, shared, source, .. } = &mut *self.links;
        let from = &self.kept.from;
        let to_gradient: ([Block<F>; S], [Block<F>; P]) = (std::array::from_fn(|s| from[P][s]), std::array::from_fn(|q| from[P][S + q]));
        let count = stretch.slots.len();
        let Some(lanes) = stretch.lanes else {
            let first = stretch.slots.start / LANES;
            for (row, i) in sources.enumerate() {
                let row = first + row;
                let x: [F; S] = std::array::from_fn(|s| shared[i * S + s]);
                let q: [Block<F>; P] = std::array::from_fn(|c| planes[c][row]);
                let gradient = &mut self.gradient[row];
                for l in 0..LANES {
                    let mut sum = F::default();
                    for s in 0..S {
                        sum = sum + to_gradient.0[s].0[l] * x[s];
                    }
                    for c in 0..P {
                        sum = sum + to_gradient.1[c].0[l] * q[c].0[l];
                    }
                    gradient.0[l] += sum;
                }
                if !self.last {
                    for c in 0..P {
                        let (from, to) = (&from[c][..S + P], &mut planes[c][row]);
                        for l in 0..LANES {
                            let mut sum = F::default();
                            for s in 0..S {
                                sum = sum + from[s].0[l] * x[s];
                            }
                            for k in 0..P {
                                sum = sum + from[S + k].0[l] * q[k].0[l];
                            }
                            to.0[l] = sum;
                        }
                    }
                }
            }
            return (count * (S + P) * if self.last { 1 } else { P + 1 }) as u64;
        };
        let gradient = &mut flat_mut(self.gradient)[stretch.slots.clone()];
        let q: [&mut [F]; P] = {
            let mut planes = planes.iter_mut();
            std::array::from_fn(|_| planes.next().map_or(&mut [][..], |p| &mut flat_mut(p)[stretch.slots.clone()]))
        };
        for (n, (&lane, &i)) in lanes.iter().zip(&source[stretch.slots.clone()]).enumerate() {
            let (l, i) = (usize::from(lane) % LANES, i as usize);
            let x: [F; S] = std::array::from_fn(|s| shared[i * S + s]);
            let before: [F; P] = std::array::from_fn(|c| q[c][n]);
            let mut sum = F::default();
            for s in 0..S {
                sum = sum + to_gradient.0[s].0[l] * x[s];
            }
            for c in 0..P {
                sum = sum + to_gradient.1[c].0[l] * before[c];
            }
            gradient[n] += sum;
            if !self.last {
                for c in 0..P {
                    let mut sum = F::default();
                    for s in 0..S {
                        sum = sum + from[c][s].0[l] * x[s];
                    }
                    for k in 0..P {
                        sum = sum + from[c][S + k].0[l] * before[k];
                    }
                    q[c][n] = sum;
                }
            }
        }
        (count * (S + P) * if self.last { 1 } else { P + 1 }) as u64
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
    signals: Vec<Signal<F>>,
    /// By population; `None` where no link learns.
    targets: Vec<Option<Box<dyn Target<F>>>>,
    /// By link.
    links: Vec<Option<Links<F>>>,
}

impl<F: Scalar> Online<F> {
    pub fn new(engine: &Clocked<F>, surrogate: Surrogate, ways: Vec<Way<F>>, window: usize) -> Self {
        let output = engine.outputs()[0];
        let width = blocks(engine.cells()[output].size());
        let mut signals: Vec<Signal<F>> = Vec::new();
        let ways = ways.into_iter().map(|way| {
            let known = signals.iter().position(|signal| signal.delay == way.delay);
            let place = known.unwrap_or_else(|| {
                signals.push(Signal { delay: way.delay, delta: vec![Block::zero(); window * width], before: vec![Block::zero(); width] });
                signals.len() - 1
            });
            (way, place)
        });
        let ways = ways.collect();
        let target = |p: usize| -> Option<Box<dyn Target<F>>> {
            let (cells, local) = (&engine.cells()[p], engine.cells()[p].local());
            let learns = cells.spikes() || p == output;
            learns.then(|| {
                with_states!(local.states(), K => Box::new(Neurons::<F, K>::new(local, cells.size(), p == output, window)) as Box<dyn Target<F>>)
            })
        };
        let targets: Vec<_> = (0..engine.cells().len()).map(target).collect();
        let links = engine.links().iter().map(|link| {
            let target = targets[link.to].as_ref().filter(|_| !link.store.frozen())?;
            Some(Links::new(&link.store, engine.size(link.from), engine.cells()[link.to].size(), target.kept()))
        });
        let links = links.collect();
        let readout = Adjoint::new(engine.cells()[output].local());
        let filter = Tail::new(&readout, &[0], window);
        Online { trial: Trial::new(engine, surrogate), window, output, readout, filter, ways, signals, targets, links }
    }

    /// Takes all links over `steps`. Returns the multiply-accumulates.
    fn advance(&mut self, engine: &Clocked<F>, steps: Range<usize>, last: bool, gradients: &mut Gradients<F>) -> u64 {
        let Trial { input, record, output, constant, .. } = &self.trial;
        let width = blocks(engine.cells()[self.output].size());
        for signal in &mut self.signals {
            for ob in 0..width {
                let mut carry = Carry::zero();
                for (k, t) in steps.clone().enumerate().rev() {
                    let error = output.get((t + signal.delay) * width + ob).copied().unwrap_or(Block::zero());
                    signal.delta[k * width + ob] = self.readout.step(ob, &mut carry, &error, 0);
                }
                signal.before[ob] = carry.lambda[0];
            }
        }
        let mut macs = 0;
        for (link, links) in engine.links().iter().zip(&mut self.links) {
            if let Some(links) = links {
                links.hear(link.from.spikes(&[input], &record.spikes), link.delay, &steps);
            }
        }
        for (p, target) in self.targets.iter_mut().enumerate() {
            let Some(target) = target else { continue };
            let window = Window {
                engine,
                steps: steps.clone(),
                last,
                p,
                trace: &record.traces[p],
                output: (p == self.output).then_some(&output[..]),
                constant: &constant[p],
                ways: &self.ways,
                signals: &self.signals,
                filter: &self.filter,
            };
            for b in 0..blocks(engine.cells()[p].size()) {
                target.look_back(&window, b);
                for &k in engine.incoming(p) {
                    let Some(links) = &mut self.links[k] else { continue };
                    let (store, gradient) = (&engine.links()[k].store, &mut gradients.links[k][..]);
                    macs += engine.simd().run(Update { store, b, kept: target.kept(), links, gradient, steps: steps.len(), last });
                }
            }
            for &k in engine.incoming(p).iter().filter(|_| !last) {
                if let Some(links) = &mut self.links[k] {
                    links.advance_sources(&target.kept().tail, steps.len());
                }
            }
        }
        macs
    }
}

impl<F: Scalar> Worker<F> for Online<F> {
    fn learn(&mut self, job: &Job<'_, F>, trials: &[usize], gradients: &mut Gradients<F>) -> Stats {
        let engine = job.engine;
        let mut stats = Stats::of(engine.cells().len());
        self.ways.iter_mut().for_each(|(way, _)| way.after(job.updates));
        for &trial in trials {
            let middle = self.trial.run(job, trial, &mut stats);
            self.links.iter_mut().flatten().for_each(Links::begin);
            let all = self.trial.input.steps();
            for start in (0..all).step_by(self.window) {
                let steps = start..(start + self.window).min(all);
                let last = steps.end == all;
                stats.macs_backward += self.advance(engine, steps, last, gradients);
            }
            stats.backward_s += middle.elapsed().as_secs_f64();
            stats.tally(engine, &self.trial.input, &self.trial.record);
        }
        stats
    }

    fn bytes(&self) -> usize {
        let signals = self.signals.iter().map(|s| s.delta.capacity() + s.before.capacity()).sum::<usize>();
        self.trial.bytes()
            + signals * size_of::<Block<F>>()
            + self.ways.iter().map(|(way, _)| way.bytes()).sum::<usize>()
            + self.links.iter().flatten().map(Links::bytes).sum::<usize>()
    }
}
