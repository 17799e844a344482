//! Sparse spiking gradient descent: backpropagation through time restricted to the entries that have a derivative.

use super::backward::Sparse;
use super::fan::by_row;
use super::{Gradients, Job, Rule, RuleError, Stats, Worker, check_common};
use crate::in_the_loop::Station;
use serde::{Deserialize, Serialize};
use snn_core::Surrogate;
use snn_sparse::{Clocked, Past, Scalar, Synapses};
use std::time::Instant;

/// Sparse spiking gradient descent (Perez-Nieves & Goodman 2021, arXiv 2105.08810): the gradient of BPTT with a surrogate of finite width,
/// computed only where it is not zero. Feed-forward and recurrent networks, any delays.
///
/// With the active set `A = {(t, j) : |u_j[t]| < B}`, backward in time for every population:
/// ```text
/// d_j[t] = g(u_j[t])·(∂L/∂z_j[t])          on A, else 0
/// δ_j[t] = ∂L/∂x_j[t]                      from d by the neuron's local derivatives; for a LIF neuron δ[t] = d[t] + α·δ[t+1]
/// ∇W_ij  = Σ_t S_i[t − delay]·δ_j[t]       a row of δ for every presynaptic spike
/// ∂L/∂z_i[t − delay] += Σ_j W_ij·δ_j[t]     a dot product for every active entry of the source
/// ```
/// This is the paper's `∇W_ij = Σ_A d_j·x_i` summed the other way round (`Σ_t d[t]·Σ_s α^{t−s}·S[s] = Σ_s S[s]·δ[s]`), so that no
/// presynaptic trace is stored. Where the output is rectified, `g` is its derivative, 1 where `u > 0`, and `A` are its events; where events
/// carry values, `S` are those. A block of 64 neurons whose δ is still exactly zero is skipped.
///
/// Parameters of neurons that are learned have gradients too: `∂L/∂p = Σ_t s_p[t]ᵀ·λ[t] + u_p[t]·d[t]`, and of a constant current `Σ_t δ[t]`.
///
/// Cost: `(events + active entries) × fan-out` multiply-accumulates, plus one multiply per neuron and step for the recursion of δ.
/// Memory: the events and the active set of one trial per thread, whatever the batch; of 16, where the weights of a loop outgrow the cache of a core.
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
    fn check(&self, engine: &Clocked<F>) -> Result<(), RuleError> {
        check_common("sparse_bptt", &self.surrogate, engine)
    }
    fn worker(&self, engine: &Clocked<F>) -> Box<dyn Worker<F>> {
        let one = Sparse::through_all(engine, self.surrogate);
        if outgrows(engine) { Box::new(Together { each: vec![one], surrogate: self.surrogate }) } else { Box::new(one) }
    }
    fn together(&self, engine: &Clocked<F>) -> usize {
        if outgrows(engine) { TOGETHER } else { 1 }
    }
    fn takes_device(&self) -> bool {
        true
    }
    fn carries(&self) -> bool {
        true
    }
}

/// Trials that go back side by side where weights do not fit into the cache of a core. Chosen: more hold a core's memory up more than they save.
const TOGETHER: usize = 16;
/// Bytes of weights above which they do. Chosen: the second-level cache of the machines at hand.
const CACHE: usize = 1 << 20;

/// Whether the weights of some loop outgrow the cache, and none of them are walked by row.
fn outgrows<F: Scalar>(engine: &Clocked<F>) -> bool {
    engine.components().iter().filter(|c| c.recurrent).any(|component| {
        let links = || component.populations.iter().flat_map(|&p| engine.incoming(p));
        let bytes: usize = links().map(|&k| size_of_val(engine.links()[k].store.weights())).sum();
        bytes > CACHE && !links().any(|&k| by_row(engine, k))
    })
}

/// A worker for networks whose loops have more weights than the cache holds: trials go back step by step together, so that a block of weights that was fetched
/// serves all of them. Sums over dense links are those of [`Sparse`], in the same order.
struct Together<F: Scalar> {
    /// At least one.
    each: Vec<Sparse<F>>,
    surrogate: Surrogate,
}

impl<F: Scalar> Worker<F> for Together<F> {
    fn learn(&mut self, job: &Job<'_, F>, trials: &[usize], gradients: &mut Gradients<F>) -> Stats {
        // A device runs one trial after the other, and where trials go on, somebody has to know which.
        let alone = self.each[0].trial.station.is_some() || !self.each[0].pasts.is_empty();
        if alone {
            return self.each[0].learn(job, trials, gradients);
        }
        let engine = job.engine;
        let mut stats = Stats::of(engine.cells().len());
        let wanted = trials.len().clamp(1, TOGETHER);
        self.each.resize_with(self.each.len().max(wanted), || Sparse::through_all(engine, self.surrogate));
        self.each.iter_mut().for_each(|one| one.begin(engine, job.updates));
        for trials in trials.chunks(TOGETHER) {
            let each = &mut self.each[..trials.len()];
            for (one, &trial) in each.iter_mut().zip(trials) {
                let middle = one.trial.run(job, trial, &mut stats);
                one.look_at();
                stats.backward_s += middle.elapsed().as_secs_f64();
            }
            let middle = Instant::now();
            let equal = each.windows(2).all(|pair| pair[0].trial.input.steps() == pair[1].trial.input.steps());
            let side_by_side = if equal { each.len() } else { 1 };
            let back = |some: &mut [Sparse<F>]| Sparse::back_all(some, engine, gradients);
            stats.macs_backward += each.chunks_mut(side_by_side).map(back).sum::<u64>();
            stats.backward_s += middle.elapsed().as_secs_f64();
            each.iter().for_each(|one| stats.tally(engine, &one.trial.input, &one.trial.record, one.trial.first));
        }
        self.each.iter_mut().for_each(|one| one.hand_on(engine, gradients));
        stats
    }

    fn play_on(&mut self, station: Option<Station>) -> Option<Station> {
        self.each[0].play_on(station)
    }

    fn go_on_from(&mut self, pasts: Vec<Past<F>>) -> Vec<Past<F>> {
        self.each[0].go_on_from(pasts)
    }

    fn bytes(&self) -> usize {
        self.each.iter().map(Sparse::bytes).sum()
    }
}
