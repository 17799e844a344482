//! Sparse spiking gradient descent: backpropagation through time restricted to the entries that have a derivative.

use super::adjoint::{Adjoint, Carry, with_states};
use super::{Gradients, Job, Rule, RuleError, Stats, Worker, check_common};
use serde::{Deserialize, Serialize};
use snn_core::{Raster, Surrogate};
use snn_sparse::lanes::{Isa, Kernel, Simd, blocks};
use snn_sparse::{Block, Clocked, LANES, Record, Scalar, Source, Synapses, Trace, Wants};
use std::ops::Range;
use std::time::Instant;

/// Sparse spiking gradient descent (Perez-Nieves & Goodman 2021): the gradient of BPTT with a surrogate of finite width, computed
/// only where it is not zero. Feed-forward and recurrent networks, any delays.
///
/// With the active set `A = {(t, j) : |u_j[t]| < B}`, backward in time for every population:
/// ```text
/// d_j[t] = g(u_j[t])·(∂L/∂z_j[t])          on A, else 0
/// δ_j[t] = ∂L/∂x_j[t]                      from d by the neuron's local derivatives; for a LIF neuron δ[t] = d[t] + α·δ[t+1]
/// ∇W_ij  = Σ_t S_i[t − delay]·δ_j[t]       a row of δ for every presynaptic spike
/// ∂L/∂z_i[t − delay] += Σ_j W_ij·δ_j[t]     a dot product for every active entry of the source
/// ```
/// This is the paper's `∇W_ij = Σ_A d_j·x_i` summed the other way round (`Σ_t d[t]·Σ_s α^{t−s}·S[s] = Σ_s S[s]·δ[s]`), so that no
/// presynaptic trace is stored. A block of 64 neurons whose δ is still exactly zero is skipped.
///
/// Cost: `(events + active entries) × fan-out` multiply-accumulates, plus one multiply per neuron and step for the recursion of δ.
/// Memory: the events and the active set of one trial per thread, whatever the batch.
///
/// The result equals [`Bptt`](super::Bptt) with the same surrogate to rounding.
///
/// ```
/// use snn_core::Surrogate;
/// use snn_learn::SparseBptt;
/// let rule = SparseBptt::default();
/// assert_eq!(rule.surrogate, Surrogate::fast_sigmoid(100.0).window(0.2));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SparseBptt {
    /// The surrogate derivative; without a window everything is active, and nothing is saved.
    pub surrogate: Surrogate,
}

impl Default for SparseBptt {
    /// The paper's surrogate: `1/(100·|u| + 1)²` within ± 0.2 of threshold.
    fn default() -> Self {
        SparseBptt { surrogate: Surrogate::fast_sigmoid(100.0).window(0.2) }
    }
}

impl<F: Scalar> Rule<F> for SparseBptt {
    fn name(&self) -> &'static str {
        "sparse_bptt"
    }
    fn surrogate(&self) -> Surrogate {
        self.surrogate
    }
    fn check(&self, engine: &Clocked<F>) -> Result<(), RuleError> {
        check_common("sparse_bptt", &self.surrogate, engine)
    }
    fn worker(&self, engine: &Clocked<F>) -> Box<dyn Worker<F>> {
        let backward = |p: usize| -> Box<dyn Backward<F>> {
            let local = engine.cells()[p].local();
            with_states!(local.states(), K => Box::new(Population::<F, K> { adjoint: Adjoint::new(local), carry: Vec::new(), live: Vec::new() }))
        };
        Box::new(Sparse {
            wants: Wants::Active(self.surrogate),
            input: Raster::default(),
            record: Record::new(engine),
            backward: (0..engine.cells().len()).map(backward).collect(),
            errors: engine.cells().iter().map(|c| Errors { active: Vec::new(), constant: vec![Block::zero(); blocks(c.size())] }).collect(),
            output: Vec::new(),
            y: Vec::new(),
            counts: Vec::new(),
        })
    }
}

/// Errors at a population's outputs.
struct Errors<F> {
    /// `∂L/∂z` at each entry of the active set, as it comes back from other populations.
    active: Vec<F>,
    /// `∂L/∂z` per unit that holds at every step: the regulariser.
    constant: Vec<Block<F>>,
}

struct Sparse<F: Scalar> {
    wants: Wants,
    input: Raster,
    record: Record<F>,
    backward: Vec<Box<dyn Backward<F>>>,
    errors: Vec<Errors<F>>,
    /// `∂L/∂y[t][block]` of the output population.
    output: Vec<Block<F>>,
    /// The output population's values.
    y: Vec<Block<F>>,
    counts: Vec<f64>,
}

/// The backward pass of one population; one implementation per number of state variables.
trait Backward<F: Scalar>: Send {
    fn begin(&mut self);
    /// Goes back over `steps`; adds to the weight gradients of the incoming projections and to the errors at their sources.
    /// Returns the multiply-accumulates spent on weights.
    fn sweep(&mut self, pass: &mut Pass<'_, F>, steps: Range<usize>) -> u64;
}

/// What a backward sweep of population `p` works on.
struct Pass<'a, F: Scalar> {
    simd: Simd,
    engine: &'a Clocked<F>,
    input: &'a Raster,
    traces: &'a [Trace<F>],
    p: usize,
    errors: &'a mut [Errors<F>],
    /// `∂L/∂y[t][block]`, if `p` is the output.
    output: Option<&'a [Block<F>]>,
    gradients: &'a mut Gradients<F>,
}

impl<F: Scalar> Worker<F> for Sparse<F> {
    fn learn(&mut self, job: &Job<'_, F>, trials: &[usize], gradients: &mut Gradients<F>) -> Stats {
        let engine = job.engine;
        let count = engine.cells().len();
        let mut stats = Stats { spikes: vec![0; count], active: vec![0; count], entries: vec![0; count], ..Stats::default() };
        for &trial in trials {
            job.data.load(trial, &mut self.input);
            let start = Instant::now();
            engine.run(&[&self.input], self.wants, &mut self.record);
            let middle = Instant::now();
            self.judge(job, trial, &mut stats);
            stats.macs_backward += self.back(engine, gradients);
            let end = Instant::now();
            stats.forward_s += (middle - start).as_secs_f64();
            stats.backward_s += (end - middle).as_secs_f64();
            stats.tally(engine, &self.input, &self.record.traces);
        }
        stats
    }

    fn bytes(&self) -> usize {
        let errors: usize = self.errors.iter().map(|e| e.active.capacity() * size_of::<F>() + e.constant.capacity() * size_of::<Block<F>>()).sum();
        self.input.bytes() + self.record.bytes() + errors + (self.output.capacity() + self.y.capacity()) * size_of::<Block<F>>()
    }
}

impl<F: Scalar> Sparse<F> {
    /// Loss and regulariser: fills the errors at the outputs.
    fn judge(&mut self, job: &Job<'_, F>, trial: usize, stats: &mut Stats) {
        let engine = job.engine;
        let output = engine.outputs()[0];
        let (trace, units) = (&self.record.traces[output], engine.cells()[output].size());
        trace.values(&mut self.y);
        self.output.resize(self.y.len(), Block::zero());
        stats.count(job.loss.evaluate(&self.y, units, job.data.target(trial), job.scale, &mut self.output));
        for (p, (errors, trace)) in self.errors.iter_mut().zip(&self.record.traces).enumerate() {
            errors.active.clear();
            errors.active.resize(trace.active.len(), F::default());
            errors.constant.fill(Block::zero());
            if p != output && engine.cells()[p].spikes() {
                self.counts.clear();
                self.counts.resize(trace.spikes.units(), 0.0);
                (0..trace.spikes.steps()).flat_map(|t| trace.spikes.at(t)).for_each(|&j| self.counts[j as usize] += 1.0);
                stats.penalty += job.regulariser.evaluate(&self.counts, job.scale, &mut errors.constant);
            }
        }
    }

    fn back(&mut self, engine: &Clocked<F>, gradients: &mut Gradients<F>) -> u64 {
        let steps = self.input.steps();
        let output = engine.outputs()[0];
        self.backward.iter_mut().for_each(|b| b.begin());
        let mut macs = 0;
        for component in engine.components().iter().rev() {
            // Inside a loop all populations go back together, the later ones of a step first.
            let spans = if component.recurrent { steps } else { 1 };
            for span in (0..spans).rev() {
                let range = if component.recurrent { span..span + 1 } else { 0..steps };
                for &p in component.populations.iter().rev() {
                    let mut pass = Pass {
                        simd: engine.simd(),
                        engine,
                        input: &self.input,
                        traces: &self.record.traces,
                        p,
                        errors: &mut self.errors,
                        output: (p == output).then_some(&self.output[..]),
                        gradients,
                    };
                    macs += self.backward[p].sweep(&mut pass, range.clone());
                }
            }
        }
        macs
    }
}

struct Population<F, const K: usize> {
    adjoint: Adjoint<F, K>,
    carry: Vec<Carry<F, K>>,
    /// Per block: whether any error has entered yet. Until then everything is exactly zero.
    live: Vec<bool>,
}

impl<F: Scalar, const K: usize> Backward<F> for Population<F, K> {
    fn begin(&mut self) {
        self.carry.clear();
        self.live.clear();
    }

    fn sweep(&mut self, pass: &mut Pass<'_, F>, steps: Range<usize>) -> u64 {
        let blocks = pass.traces[pass.p].blocks();
        self.carry.resize(blocks, Carry::zero());
        self.live.resize(blocks, false);
        pass.simd.run(SweepBack { population: self, pass, steps })
    }
}

struct SweepBack<'a, 'b, F: Scalar, const K: usize> {
    population: &'a mut Population<F, K>,
    pass: &'a mut Pass<'b, F>,
    steps: Range<usize>,
}

impl<F: Scalar, const K: usize> Kernel for SweepBack<'_, '_, F, K> {
    type Out = u64;

    #[inline(always)]
    fn run<I: Isa>(self) -> u64 {
        let SweepBack { population, pass, steps } = self;
        let p = pass.p;
        let trace = &pass.traces[p];
        let mut macs = 0;
        for b in 0..trace.blocks() {
            let mut carry = population.carry[b];
            let mut live = population.live[b];
            let width = (trace.spikes.units() - b * LANES).min(LANES) as u64;
            for t in steps.clone().rev() {
                let mut d = Block::zero();
                if let Some(output) = pass.output {
                    d = output[t * trace.blocks() + b];
                    live = true;
                }
                if trace.output.is_empty() {
                    // Spikes: the error counts where the surrogate has a slope, and nowhere else.
                    let from_output = d;
                    d = Block::zero();
                    for e in trace.active.at_block(t, b) {
                        let l = trace.active.unit[e] as usize % LANES;
                        let errors = &pass.errors[p];
                        d[l] = trace.active.slope[e] * (errors.active[e] + errors.constant[b][l] + from_output[l] + carry.mu[l]);
                        live |= d[l] != F::default();
                    }
                }
                if !live {
                    continue;
                }
                let fired = if t > 0 { trace.fired(t - 1, b) } else { 0 };
                let delta = population.adjoint.step(b, &mut carry, &d, fired);
                for &k in pass.engine.incoming(p) {
                    let link = &pass.engine.links()[k];
                    let Some(then) = t.checked_sub(link.delay) else { continue };
                    let events = link.from.spikes(&[pass.input], pass.traces).at(then);
                    link.store.correlate(b, events, &delta, &mut pass.gradients.links[k]);
                    macs += events.len() as u64 * width;
                    if let Source::Population(q) = link.from {
                        let active = &pass.traces[q].active;
                        let errors = &mut pass.errors[q].active;
                        for e in active.at(then) {
                            errors[e] += link.store.pull_back(b, active.unit[e], &delta);
                        }
                        macs += active.at(then).len() as u64 * width;
                    }
                }
            }
            population.carry[b] = carry;
            population.live[b] = live;
        }
        macs
    }
}
