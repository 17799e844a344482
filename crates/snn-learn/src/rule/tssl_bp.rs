//! Temporal spike sequence learning: errors go back over the times of spikes, and over a surrogate only where a neuron has been silent.

use super::backward::{Backward, Pass, Sparse};
use super::{Rule, RuleError, Worker, check_common};
use serde::{Deserialize, Serialize};
use snn_core::Surrogate;
use snn_core::neuron::{Model, Output};
use snn_sparse::lanes::{Isa, Kernel, bits, blocks};
use snn_sparse::{Block, Cells, Clocked, DenseRow, Entry, LANES, Scalar, Simd};
use std::ops::Range;

/// Temporal spike sequence learning backpropagation (Zhang & Li 2020, arXiv:2002.10085), for networks of [`LifPsc`](snn_core::neuron::LifPsc); feed-forward, self-recurrent and
/// recurrent, any delays, every store. The output population may be one of them, or a readout.
///
/// With `E_j[t] = ∂L/∂z_j[t]`, the error that comes back over the filters of all that hear `j`, backward in time for every neuron:
/// ```text
/// jump = z[t]·clamp(1/Δv[t], 0, steepest)      how far a spike moves with the potential; Δv[t] = v[t] − v[t−1]·(1 − z[t−1])
/// λ    = jump·E[t] + jump·θ·v[t]·ψ + (1 − θ)·(1 − z[t])·ψ       reset and leak; θ = dt/τ, ψ the λ of the step after
/// ψ    ← λ
/// λ    ← σ'(v[t] − v_th)·E[t]                  where the own current is below a quarter of what a spike makes it: the neuron has been silent
/// ∂L/∂i[t] = R·θ·λ,   ∂L/∂x[t] = Σ_{k≥t} θ_s·(1 − θ_s)^(k−t)·∂L/∂i[k]
/// ```
/// Weights, and errors at the sources, follow from `∂L/∂x` as in [`SparseBptt`](super::SparseBptt): this rule is that one with another way from an error at a neuron's output to one at
/// its input. In a loop all populations go back together, step by step, so that self-recurrent and recurrent weights see the error of the next step. λ is not the adjoint
/// of anything: finite differences cannot judge it, and nothing bounds it on its way round a loop. In recurrent networks and long trials a `steepest` of 0.5 or 1 learns where 8, from
/// feed-forward networks, does not.
/// Parameters of neurons that are learned (R and τ: intrinsic plasticity driven by the loss) get `∂L/∂p = Σ_t λ[t]·∂v[t]/∂p`, with the same λ.
///
/// `σ'` is the derivative of the logistic function of width `width`, at 8 widths from threshold and beyond as at 8 widths, so that a neuron that never fires is still moved. The
/// own current is that of the population's own τ_syn.
///
/// Cost: as [`SparseBptt`](super::SparseBptt) without a window: `(events + neurons·steps) × fan-out` multiply-accumulates. Memory: state and input of every neuron and step of one trial per thread.
///
/// Source: the released code; loops and the gain `R·θ` by derivation (self-recurrent networks and learned R and τ: Zhang & Li 2020, arXiv:2010.12691).
///
/// ```
/// use snn_core::{Net, Raster, Seed, Trials, ms, net::{Connect, Init}, neuron::LifPsc};
/// use snn_learn::{Loss, Optimiser, Options, Trainer, TsslBp};
/// // Two classes: which of two input channels fires.
/// let mut data = Trials::new("which", 2, 20, 2);
/// for class in 0..2 {
///     let mut raster = Raster::new(2, 20);
///     raster.fill((0..20).map(|t| (t, class)));
///     data.push(raster, class as usize);
/// }
/// let net = Net::new(ms(1.0)).input("in", 2).population("hidden", 10, LifPsc::default()).population("out", 2, LifPsc::default())
///     .project("in", "hidden", Connect::All, Init::normal(0.5)).project("hidden", "hidden", Connect::OneToOne, Init::Constant(0.1)).delay(ms(1.0))
///     .project("hidden", "out", Connect::All, Init::normal(0.5)).output("out").build(Seed::new(1))?;
/// let options = Options::new(Loss::Kernel { tau: 3.0, every: 2 }, Seed::new(1));
/// let mut trainer = Trainer::new(&net, TsslBp::default(), Optimiser::adam(1e-2), options)?;
/// for _ in 0..60 {
///     trainer.epoch(&data, &|_| ())?;
/// }
/// assert_eq!(trainer.evaluate(&data)?.accuracy(), 1.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TsslBp {
    /// Width of the surrogate of a neuron that has been silent (thresholds).
    pub width: f64,
    /// Largest derivative of a spike by the potential (1 / threshold); 1 or less where there are loops.
    pub steepest: f64,
}

impl Default for TsslBp {
    /// Those of the released code: 0.2 and 8.
    fn default() -> Self {
        TsslBp { width: 0.2, steepest: 8.0 }
    }
}

const NAME: &str = "tssl_bp";
/// Widths from threshold beyond which the surrogate falls no further.
const TAIL: f64 = 8.0;
/// Share of the current of one spike below which a neuron counts as silent.
const SILENT: f64 = 0.25;
/// State variables of the model: current, potential, clamp.
const STATES: usize = 3;
const CURRENT: usize = 0;
const POTENTIAL: usize = 1;

impl<F: Scalar> Rule<F> for TsslBp {
    fn name(&self) -> &'static str {
        NAME
    }
    fn check(&self, engine: &Clocked<F>) -> Result<(), RuleError> {
        check_common(NAME, &Surrogate::logistic(self.width), engine)?;
        if !(self.steepest.is_finite() && self.steepest > 0.0) {
            return Err(RuleError::Options { rule: NAME, why: format!("steepest = {}: must be positive and finite", self.steepest) });
        }
        let draft = engine.network().draft();
        for population in draft.populations.iter().filter(|p| p.model.output() != Output::Graded) {
            let refuse = |why: String| Err(RuleError::Population { rule: NAME, population: population.name.clone(), why });
            let Model::LifPsc(model) = &population.model else {
                return refuse(format!(
                    "({}) is another neuron than the rule is made for; take lif_psc, or sparse_bptt",
                    population.model.name()
                ));
            };
            if population.refractory_steps(draft.dt) > 0 || model.t_ref.given().iter().any(|t| (t / draft.dt).round() > 0.0) {
                return refuse("is refractory, which the rule has no derivative for; set t_ref and refractory to 0".into());
            }
        }
        Ok(())
    }
    fn worker(&self, engine: &Clocked<F>) -> Box<dyn Worker<F>> {
        let back = |p: usize| -> Option<Box<dyn Backward<F>>> {
            if engine.cells()[p].spikes() { Some(Box::new(SpikeTimes::new(*self))) } else { None }
        };
        Box::new(Sparse::through_all(engine, Surrogate::logistic(self.width)).with_backward(back))
    }
    fn takes_device(&self) -> bool {
        true
    }
}

/// What the rule needs to know of a block of neurons.
#[derive(Clone, Copy)]
struct Neurons<F> {
    /// `1 − θ`.
    leak: Block<F>,
    /// `1 − θ_s`.
    keep: Block<F>,
    /// `∂v/∂x` and `∂i/∂x`.
    v_x: Block<F>,
    i_x: Block<F>,
    /// `∂v/∂i` of the step before.
    v_i: Block<F>,
    v_th: Block<F>,
}

impl<F: Scalar> Neurons<F> {
    /// Asks the neurons of a population, as they are now: by their derivatives after silence, and by where they stand at rest.
    fn all(cells: &dyn Cells<F>, simd: Simd) -> Vec<Self> {
        let (width, nothing) = (blocks(cells.size()), Block::zero());
        let mut below = vec![nothing; width];
        let (z, mut state) = (vec![nothing; width], vec![nothing; width * STATES]);
        cells.step_dense(simd, DenseRow { u: &mut below, more: &[], z: &z, state: &mut state, worth: &mut [] });
        let mut d = vec![nothing; Entry::<STATES>::COUNT + cells.local().learned * (STATES + 1)];
        let one = |(b, rest): (usize, Block<F>)| {
            cells.derivatives(simd, b, &[nothing; STATES + 1], &nothing, &mut d);
            Neurons {
                leak: d[Entry::<STATES>::u_s(POTENTIAL)],
                keep: d[Entry::<STATES>::s_s(CURRENT, CURRENT)],
                v_x: d[Entry::<STATES>::U_X],
                i_x: d[Entry::<STATES>::s_x(CURRENT)],
                v_i: d[Entry::<STATES>::u_s(CURRENT)],
                v_th: Block(rest.0.map(|u| -u)),
            }
        };
        below.into_iter().enumerate().map(one).collect()
    }
}

/// `∂L/∂i` and ψ, from the steps after the present one.
#[derive(Clone, Copy)]
struct Carry<F> {
    current: Block<F>,
    psi: Block<F>,
}

/// The way back over the times of spikes.
struct SpikeTimes<F> {
    rule: TsslBp,
    neurons: Vec<Neurons<F>>,
    carry: Vec<Carry<F>>,
    reached: Vec<usize>,
    /// `[block][step]`: who has a current of its own.
    loud: Vec<u64>,
    /// `∂L/∂p`, `[block][parameter that is learned]`, and how many there are.
    parameters: Vec<Block<F>>,
    learned: usize,
    /// The derivatives at a point, if parameters are learned.
    here: Vec<Block<F>>,
}

impl<F: Scalar> SpikeTimes<F> {
    fn new(rule: TsslBp) -> Self {
        let (neurons, carry, reached, loud, parameters, here) = Default::default();
        SpikeTimes { rule, neurons, carry, reached, loud, parameters, learned: 0, here }
    }

    /// The neurons as they are in this trial.
    fn look_at(&mut self, cells: &dyn Cells<F>, simd: Simd, steps: usize) {
        self.neurons = Neurons::all(cells, simd);
        self.loud.resize(self.neurons.len() * steps, 0);
        self.learned = cells.local().learned;
        self.parameters.clear();
        self.parameters.resize(self.neurons.len() * self.learned, Block::zero());
        self.here.resize(Entry::<STATES>::COUNT + self.learned * (STATES + 1), Block::zero());
    }
}

impl<F: Scalar> Backward<F> for SpikeTimes<F> {
    fn begin(&mut self, blocks: usize) {
        self.neurons.clear();
        self.carry.clear();
        self.carry.resize(blocks, Carry { current: Block::zero(), psi: Block::zero() });
        self.reached.clear();
        self.reached.resize(blocks, 0);
    }

    fn back(&mut self, pass: &mut Pass<'_, F>, blocks: Range<usize>, steps: Range<usize>) {
        let (cells, simd) = (&*pass.engine.cells()[pass.p], pass.engine.simd());
        if self.neurons.is_empty() {
            self.look_at(cells, simd, pass.all);
        }
        simd.run(Back { times: self, pass, blocks, steps });
    }

    fn reached(&self, block: usize) -> usize {
        self.reached[block]
    }

    fn parameters(&self, block: usize) -> &[Block<F>] {
        &self.parameters[block * self.learned..(block + 1) * self.learned]
    }

    fn bytes(&self) -> usize {
        8 * self.loud.capacity()
    }
}

struct Back<'a, 'b, F: Scalar> {
    times: &'a mut SpikeTimes<F>,
    pass: &'a mut Pass<'b, F>,
    blocks: Range<usize>,
    steps: Range<usize>,
}

impl<F: Scalar> Kernel for Back<'_, '_, F> {
    type Number = F;
    type Out = ();

    #[inline(always)]
    fn run<I: Isa>(mut self) {
        let all = self.pass.all;
        for (place, b) in self.blocks.clone().enumerate() {
            if self.steps.end == all {
                self.listen(b);
            }
            self.steps.clone().rev().for_each(|t| self.step(b, place * all, t));
        }
    }
}

impl<F: Scalar> Back<'_, '_, F> {
    /// Who has a current of its own, at every step: forward in time.
    #[inline(always)]
    fn listen(&mut self, b: usize) {
        let (trace, all) = (&self.pass.record.traces[self.pass.p], self.pass.all);
        let Neurons { keep, i_x, .. } = self.times.neurons[b];
        let mut current = Block::<F>::zero();
        for t in 0..all {
            for l in 0..LANES {
                current.0[l] = keep.0[l] * current.0[l];
            }
            bits(trace.fired(t, b)).for_each(|l| current[l] += i_x[l]);
            let loud = (0..LANES).fold(0, |loud, l| loud | u64::from(current.0[l] >= F::of(SILENT) * i_x.0[l]) << l);
            self.times.loud[b * all + t] = loud;
        }
    }

    /// Takes block `b` from step `t` to the one before.
    #[inline(always)]
    fn step(&mut self, b: usize, place: usize, t: usize) {
        let Back { times, pass, .. } = self;
        let SpikeTimes { rule, neurons, carry, reached, loud, parameters, learned, here } = &mut **times;
        let (trace, n, carry) = (&pass.record.traces[pass.p], &neurons[b], &mut carry[b]);
        let mut error = Block::zero();
        let mut alive = false;
        for e in trace.active_at(t, b) {
            let x = pass.error(e, t, b);
            error[trace.active.unit[e] as usize % LANES] = x;
            alive |= x != F::default();
        }
        if reached[b] == 0 {
            if !alive {
                return;
            }
            reached[b] = t + 1;
        }
        let lanes = |bits: u64| Block::<F>(std::array::from_fn(|l| F::of(f64::from((bits >> l) as u32 & 1))));
        let (z, last) = (lanes(trace.fired(t, b)), lanes(if t > 0 { trace.fired(t - 1, b) } else { 0 }));
        let loud = lanes(loud[b * pass.all + t]);
        let (v, before) = (&trace.after(t, b)[POTENTIAL], &trace.before(t, b)[POTENTIAL]);
        let (zero, one, steepest) = (F::default(), F::of(1.0), F::of(rule.steepest));
        let (surrogate, tail) = (Surrogate::logistic(rule.width), F::of(TAIL * rule.width));
        if *learned > 0 {
            pass.engine.cells()[pass.p].derivatives(pass.engine.simd(), b, trace.before(t, b), &last, here);
        }
        let delta = &mut pass.delta[place + t];
        for l in 0..LANES {
            let rise = v.0[l] - before.0[l] * (one - last.0[l]);
            let steep = if rise * steepest > one { one / rise } else { steepest };
            let jump = if rise > zero { steep * z.0[l] } else { zero };
            let psi = carry.psi.0[l];
            // By way of the spike, and by way of the potential of the step after.
            let spike = jump * (error.0[l] + (one - n.leak.0[l]) * v.0[l] * psi);
            let stays = n.leak.0[l] * (one - z.0[l]) * psi;
            carry.psi.0[l] = spike + stays;
            let off = (v.0[l] - n.v_th.0[l]).abs();
            let silent = surrogate.slope_within(if off < tail { off } else { tail }) * error.0[l];
            let (spike, stays) = if loud.0[l] > zero { (spike, stays) } else { (silent, zero) };
            let (lambda, current) = (spike + stays, carry.current.0[l]);
            for (sum, by) in parameters[b * *learned..].iter_mut().zip(here[Entry::<STATES>::COUNT..].chunks(STATES + 1)) {
                sum.0[l] += by[STATES].0[l] * spike + by[POTENTIAL].0[l] * stays + by[CURRENT].0[l] * current;
            }
            delta.0[l] = n.v_x.0[l] * lambda + n.i_x.0[l] * current;
            carry.current.0[l] = n.v_i.0[l] * lambda + n.keep.0[l] * current;
        }
    }
}
