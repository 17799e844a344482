//! The way back through a population of any model: its local derivatives, run backwards over the entries that are active.

use super::adjoint::{Adjoint, Carry};
use super::backward::{Backward, Pass};
use snn_core::neuron::{MAX_PORTS, Output};
use snn_sparse::lanes::{Isa, Kernel, bits};
use snn_sparse::{Block, LANES, Local, Scalar};
use std::ops::Range;

/// The adjoint of a population over a trial.
pub(super) struct Population<F, const K: usize> {
    adjoint: Adjoint<F, K>,
    carry: Vec<Carry<F, K>>,
    /// Per block: how many steps from the start an error has reached. 0: none yet, everything is exactly zero.
    reached: Vec<usize>,
    /// `∂L/∂p`, `[block][parameter that is learned]`.
    parameters: Vec<Block<F>>,
}

impl<F: Scalar, const K: usize> Population<F, K> {
    pub fn new(local: &Local<F>) -> Self {
        Population { adjoint: Adjoint::new(local), carry: Vec::new(), reached: Vec::new(), parameters: Vec::new() }
    }
}

impl<F: Scalar, const K: usize> Backward<F> for Population<F, K> {
    fn begin(&mut self, blocks: usize) {
        self.carry.clear();
        self.carry.resize(blocks, Carry::zero());
        self.reached.clear();
        self.reached.resize(blocks, 0);
        self.parameters.clear();
        self.parameters.resize(blocks * self.adjoint.learned(), Block::zero());
    }

    fn back(&mut self, pass: &mut Pass<'_, F>, blocks: Range<usize>, steps: Range<usize>) {
        pass.engine.simd().run(SweepBack { population: self, pass, blocks, steps });
    }

    fn reached(&self, block: usize) -> usize {
        self.reached[block]
    }

    fn parameters(&self, block: usize) -> &[Block<F>] {
        let learned = self.adjoint.learned();
        &self.parameters[block * learned..(block + 1) * learned]
    }
}

struct SweepBack<'a, 'b, F: Scalar, const K: usize> {
    population: &'a mut Population<F, K>,
    pass: &'a mut Pass<'b, F>,
    blocks: Range<usize>,
    steps: Range<usize>,
}

impl<F: Scalar, const K: usize> Kernel for SweepBack<'_, '_, F, K> {
    type Number = F;
    type Out = ();

    #[inline(always)]
    fn run<I: Isa>(mut self) {
        let all = self.pass.all * self.pass.engine.cells()[self.pass.p].ports();
        self.blocks.clone().enumerate().for_each(|(place, b)| self.recursion(b, place * all));
    }
}

impl<F: Scalar, const K: usize> SweepBack<'_, '_, F, K> {
    /// The adjoint of block `b`, backward over the steps. Its `∂L/∂x` begins at `place`.
    #[inline(always)]
    fn recursion(&mut self, b: usize, place: usize) {
        let SweepBack { population, pass, steps, .. } = self;
        let trace = &pass.record.traces[pass.p];
        let (cells, events) = (&*pass.engine.cells()[pass.p], trace.output.is_empty());
        let (affine, weighted, all) = (cells.local().affine, cells.output() == Output::Weighted, pass.all);
        let mut room = [Block::zero(); MAX_PORTS - 1];
        let Population { adjoint, carry, reached, parameters } = &mut **population;
        let (carry, reached, learned) = (&mut carry[b], &mut reached[b], adjoint.learned());
        let parameters = &mut parameters[b * learned..(b + 1) * learned];
        for t in steps.clone().rev() {
            let mut d = pass.output.map_or(Block::zero(), |output| output[t * trace.blocks() + b]);
            let mut alive = pass.output.is_some();
            if events {
                // Events: the error counts where the output has a slope, and nowhere else.
                d = Block::zero();
                for e in trace.active_at(t, b) {
                    let l = trace.active.unit[e] as usize % LANES;
                    if weighted {
                        // What others heard is the event times its worth.
                        let heard = pass.heard(e, t, b);
                        d[l] = trace.active.value[e] * (trace.value(e) * heard + pass.constant[b][l] + carry.mu[l]);
                        alive |= d[l] != F::default() || heard != F::default();
                        if trace.fired(t, b) >> l & 1 == 1 {
                            adjoint.hears(b, l, carry, heard);
                        }
                        continue;
                    }
                    d[l] = trace.active.value[e] * (pass.error(e, t, b) + carry.mu[l]);
                    alive |= d[l] != F::default();
                }
            }
            if *reached == 0 {
                if !alive {
                    continue;
                }
                *reached = t + 1;
            }
            let fired = if t > 0 && events { trace.fired(t - 1, b) } else { 0 };
            pass.delta[place + t] = if affine {
                adjoint.step(b, carry, &d, fired)
            } else {
                let mut z = Block::zero();
                bits(fired).for_each(|l| z[l] = F::of(1.0));
                let more = &mut room[..adjoint.ports() - 1];
                let delta = adjoint.step_at(cells, pass.engine.simd(), b, trace.before(t, b), &z, carry, &d, more, parameters);
                more.iter().enumerate().for_each(|(n, delta)| pass.delta[place + (n + 1) * all + t] = *delta);
                delta
            };
        }
    }
}
