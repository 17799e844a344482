//! One step of the adjoint of a population: the local derivatives, run backwards in time. Sparse and dense rules share it.

use snn_sparse::lanes::{Isa, Kernel, bits};
use snn_sparse::{Block, Derivatives, Local, Scalar};

/// The adjoint of one block of 64 neurons between two time steps.
#[derive(Clone, Copy)]
pub struct Carry<F, const K: usize> {
    /// `∂L/∂s[t]`, from the steps after `t`.
    pub lambda: [Block<F>; K],
    /// `∂L/∂z[t]`, from the neuron's own later state.
    pub mu: Block<F>,
}

impl<F: Scalar, const K: usize> Carry<F, K> {
    /// At the end of the trial.
    pub fn zero() -> Self {
        Carry { lambda: [Block::zero(); K], mu: Block::zero() }
    }
}

/// A population's derivatives, ready for the backward pass.
pub struct Adjoint<F, const K: usize> {
    silent: Vec<Derivatives<F, K>>,
    fired: Vec<Derivatives<F, K>>,
    reset_free: bool,
    own: bool,
}

impl<F: Scalar, const K: usize> Adjoint<F, K> {
    pub fn new(local: &Local<F>) -> Self {
        Adjoint { silent: local.planes(0), fired: local.planes(1), reset_free: local.reset_free, own: local.feels_own_spike }
    }

    /// Takes the carry from step `t` to `t − 1`, given `d = ∂L/∂u[t]` and who fired at `t − 1`; returns `∂L/∂x[t]`.
    ///
    /// ```text
    /// ∂L/∂x[t]   = s_xᵀ·λ + u_x·d
    /// λ          ← s_sᵀ·λ + u_s·d
    /// μ          ← s_zᵀ·λ + u_z·d
    /// ```
    #[inline(always)]
    pub fn step(&self, block: usize, carry: &mut Carry<F, K>, d: &Block<F>, fired: u64) -> Block<F> {
        let before = (!self.reset_free && fired != 0).then_some(*carry);
        let mut delta = Block::zero();
        let j = &self.silent[block];
        for l in 0..64 {
            let lambda: [F; K] = std::array::from_fn(|k| carry.lambda[k].0[l]);
            let d = d.0[l];
            let mut x = j.u_x.0[l] * d;
            let mut next: [F; K] = std::array::from_fn(|k| j.u_s[k].0[l] * d);
            for i in 0..K {
                x += j.s_x[i].0[l] * lambda[i];
                for k in 0..K {
                    next[k] += j.s_s[i][k].0[l] * lambda[i];
                }
            }
            delta.0[l] = x;
            for k in 0..K {
                carry.lambda[k].0[l] = next[k];
            }
            if self.own {
                let from_state = (0..K).fold(j.u_z.0[l] * d, |sum, i| sum + j.s_z[i].0[l] * lambda[i]);
                carry.mu.0[l] = from_state;
            }
        }
        if let Some(before) = before {
            // After an own spike other derivatives hold; spikes are few, so those lanes are done again.
            let j = &self.fired[block];
            for l in bits(fired) {
                let sum = |at_d: F, by: &[Block<F>; K]| (0..K).fold(at_d * d[l], |sum, i| sum + by[i][l] * before.lambda[i][l]);
                delta[l] = sum(j.u_x[l], &j.s_x);
                carry.mu[l] = sum(j.u_z[l], &j.s_z);
                for k in 0..K {
                    carry.lambda[k][l] = sum(j.u_s[k][l], &std::array::from_fn(|i| j.s_s[i][k]));
                }
            }
        }
        delta
    }
}

/// One step of one row of a dense method: `d` becomes `∂L/∂x`. See [`Adjoint::step`].
pub struct DenseStep<'a, F, const K: usize> {
    pub adjoint: &'a Adjoint<F, K>,
    /// In: `∂L/∂z[t]` from elsewhere. Out: `∂L/∂x[t]`.
    pub row: &'a mut [Block<F>],
    /// `∂z/∂u` at step `t`.
    pub slope: &'a [Block<F>],
    /// Outputs at `t − 1`; empty at the first step.
    pub last: &'a [Block<F>],
    pub carry: &'a mut [Carry<F, K>],
}

impl<F: Scalar, const K: usize> Kernel for DenseStep<'_, F, K> {
    type Out = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        for b in 0..self.row.len() {
            let carry = &mut self.carry[b];
            let mut d = self.row[b];
            for l in 0..64 {
                d.0[l] = self.slope[b].0[l] * (d.0[l] + carry.mu.0[l]);
            }
            let fired = if self.adjoint.reset_free { 0 } else { self.last.get(b).map_or(0, F::positive::<I>) };
            self.row[b] = self.adjoint.step(b, carry, &d, fired);
        }
    }
}

/// Calls `$body` with `K` bound to the number of state variables, 0 to [`snn_core::neuron::MAX_STATE`].
macro_rules! with_states {
    ($states:expr, $K:ident => $body:expr) => {
        match $states {
            0 => {
                const $K: usize = 0;
                $body
            }
            1 => {
                const $K: usize = 1;
                $body
            }
            2 => {
                const $K: usize = 2;
                $body
            }
            3 => {
                const $K: usize = 3;
                $body
            }
            _ => {
                const $K: usize = 4;
                $body
            }
        }
    };
}
pub(crate) use with_states;
