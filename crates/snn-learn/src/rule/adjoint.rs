//! One step of the adjoint of a population: the local derivatives, run backwards in time. Sparse and dense rules share it. And the same derivatives
//! run forwards.

use snn_core::neuron::MAX_PORTS;
use snn_sparse::lanes::{Isa, Kernel, Simd, bits};
use snn_sparse::{Block, Cells, Entry, LANES, Local, Scalar};
use std::ops::Range;

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

/// What a direction of the weights does to one block of 64 neurons: derivatives along it, carried forwards.
#[derive(Clone, Copy)]
pub struct Along<F, const K: usize> {
    /// Of the state.
    pub state: [Block<F>; K],
    /// Of the output `z`.
    pub output: Block<F>,
}

impl<F: Scalar, const K: usize> Along<F, K> {
    /// At rest.
    pub fn zero() -> Self {
        Along { state: [Block::zero(); K], output: Block::zero() }
    }
}

/// A population's derivatives, ready to be run through time.
pub struct Adjoint<F, const K: usize> {
    /// Constants `[block][entry]` after silence and after a spike; of an affine model.
    silent: Vec<Block<F>>,
    fired: Vec<Block<F>>,
    /// The derivatives at a point, of any other model; then those by further inputs, and by parameters that are learned.
    here: Vec<Block<F>>,
    /// Inputs, which are summed apart.
    ports: usize,
    /// Parameters that are learned.
    learned: usize,
    /// Where events are weighted: the derivatives of the worth by the state, `[block][state variable]`.
    worth: Vec<Block<F>>,
    reset_free: bool,
    own: bool,
}

impl<F: Scalar, const K: usize> Adjoint<F, K> {
    pub fn new(local: &Local<F>) -> Self {
        let count = Entry::<K>::COUNT + (local.ports - 1 + local.learned) * (K + 1);
        let here = if local.affine { Vec::new() } else { vec![Block::zero(); count] };
        Adjoint {
            silent: local.planes::<K>(0),
            fired: local.planes::<K>(1),
            here,
            ports: local.ports,
            learned: local.learned,
            worth: local.worth.clone(),
            reset_free: local.reset_free,
            own: local.feels_own_spike,
        }
    }

    /// Takes the carry from step `t` to `t − 1`, given `d = ∂L/∂u[t]` and who fired at `t − 1`; returns `∂L/∂x[t]`. Affine models.
    ///
    /// ```text
    /// ∂L/∂x[t]   = s_xᵀ·λ + u_x·d
    /// λ          ← s_sᵀ·λ + u_s·d
    /// μ          ← s_zᵀ·λ + u_z·d
    /// ```
    #[inline(always)]
    pub fn step(&self, block: usize, carry: &mut Carry<F, K>, d: &Block<F>, fired: u64) -> Block<F> {
        let before = (!self.reset_free && fired != 0).then_some(*carry);
        let entries = block * Entry::<K>::COUNT..(block + 1) * Entry::<K>::COUNT;
        let mut delta = apply(&self.silent[entries.clone()], self.own, carry, d);
        if let Some(before) = before {
            // After an own spike other derivatives hold; spikes are few, so those lanes are done again.
            let j = &self.fired[entries];
            for l in bits(fired) {
                let sum = |at_d: usize, by: &dyn Fn(usize) -> usize| {
                    (0..K).fold(j[at_d][l] * d[l], |sum, i| sum + j[by(i)][l] * before.lambda[i][l])
                };
                delta[l] = sum(Entry::<K>::U_X, &Entry::<K>::s_x);
                carry.mu[l] = sum(Entry::<K>::U_Z, &Entry::<K>::s_z);
                for k in 0..K {
                    carry.lambda[k][l] = sum(Entry::<K>::u_s(k), &|i| Entry::<K>::s_s(i, k));
                }
            }
        }
        delta
    }

    /// Inputs, which are summed apart.
    pub fn ports(&self) -> usize {
        self.ports
    }

    /// Parameters that are learned.
    pub fn learned(&self) -> usize {
        self.learned
    }

    /// What an error `∂L/∂y` at an event that counts its worth means for the state that sent it: adds to `∂L/∂s[t]` of a lane.
    #[inline(always)]
    pub fn hears(&self, block: usize, lane: usize, carry: &mut Carry<F, K>, error: F) {
        for (i, lambda) in carry.lambda.iter_mut().enumerate() {
            lambda.0[lane] += error * self.worth[block * K + i].0[lane];
        }
    }

    /// The same for a model that is not affine: `before` is the state and inputs at `t`, `z` the output at `t − 1`. Writes `∂L/∂x[t]` of the further inputs to
    /// `more`, and adds `∂L/∂p = s_pᵀ·λ + u_p·d` to `parameters`, a plane for each that is learned.
    #[inline(always)]
    pub fn step_at(
        &mut self,
        cells: &dyn Cells<F>,
        simd: Simd,
        block: usize,
        before: &[Block<F>],
        z: &Block<F>,
        carry: &mut Carry<F, K>,
        d: &Block<F>,
        more: &mut [Block<F>],
        parameters: &mut [Block<F>],
    ) -> Block<F> {
        self.look_at(cells, simd, block, before, z);
        more.iter_mut().for_each(|delta| *delta = Block::zero());
        let sums = more.iter_mut().chain(parameters);
        for (sum, by) in sums.zip(self.here[Entry::<K>::COUNT..].chunks(K + 1)) {
            for l in 0..LANES {
                sum.0[l] += (0..K).fold(by[K].0[l] * d.0[l], |sum, i| sum + by[i].0[l] * carry.lambda[i].0[l]);
            }
        }
        self.step_there(carry, d)
    }

    /// Takes the derivatives at this point, for any number of carries.
    #[inline(always)]
    pub fn look_at(&mut self, cells: &dyn Cells<F>, simd: Simd, block: usize, before: &[Block<F>], z: &Block<F>) {
        cells.derivatives(simd, block, before, z, &mut self.here);
    }

    /// Takes the derivatives along a direction from step `t − 1` to `t`, given that of the input, `x`, the slope `ψ = ∂z/∂u` at `t`, and who fired at
    /// `t − 1`. Affine models.
    ///
    /// ```text
    /// u'[t] = u_s·s'[t−1] + u_z·z'[t−1] + u_x·x'[t]
    /// s'[t] = s_s·s'[t−1] + s_z·z'[t−1] + s_x·x'[t]
    /// z'[t] = ψ[t]·u'[t]
    /// ```
    #[inline(always)]
    pub fn forwards(&self, block: usize, along: &mut Along<F, K>, x: &Block<F>, slope: &Block<F>, fired: u64) {
        let entries = block * Entry::<K>::COUNT..(block + 1) * Entry::<K>::COUNT;
        let before = *along;
        apply_forwards(&self.silent[entries.clone()], along, x, slope, 0..LANES);
        if !self.reset_free {
            for l in bits(fired) {
                // After an own spike other derivatives hold.
                along.output[l] = before.output[l];
                (0..K).for_each(|k| along.state[k][l] = before.state[k][l]);
                apply_forwards(&self.fired[entries.clone()], along, x, slope, l..l + 1);
            }
        }
    }

    /// [`forwards`](Self::forwards) at the point last looked at.
    #[inline(always)]
    pub fn forwards_there(&self, along: &mut Along<F, K>, x: &Block<F>, slope: &Block<F>) {
        apply_forwards(&self.here, along, x, slope, 0..LANES);
    }

    /// [`step_at`](Self::step_at) the point last looked at.
    #[inline(always)]
    pub fn step_there(&self, carry: &mut Carry<F, K>, d: &Block<F>) -> Block<F> {
        apply(&self.here, true, carry, d)
    }
}

/// See [`Adjoint::forwards`], for some lanes; `j` are the derivatives, see [`Entry`].
#[inline(always)]
fn apply_forwards<F: Scalar, const K: usize>(j: &[Block<F>], along: &mut Along<F, K>, x: &Block<F>, slope: &Block<F>, lanes: Range<usize>) {
    let j = &j[..Entry::<K>::COUNT];
    for l in lanes {
        let (state, z, x): ([F; K], F, F) = (std::array::from_fn(|k| along.state[k].0[l]), along.output.0[l], x.0[l]);
        let mut u = j[Entry::<K>::U_X].0[l] * x + j[Entry::<K>::U_Z].0[l] * z;
        for k in 0..K {
            u += j[Entry::<K>::u_s(k)].0[l] * state[k];
        }
        for i in 0..K {
            let from_outside = j[Entry::<K>::s_x(i)].0[l] * x + j[Entry::<K>::s_z(i)].0[l] * z;
            along.state[i].0[l] = (0..K).fold(from_outside, |sum, k| sum + j[Entry::<K>::s_s(i, k)].0[l] * state[k]);
        }
        along.output.0[l] = slope.0[l] * u;
    }
}

/// See [`Adjoint::step`]; `j` are the derivatives, see [`Entry`], and `own` whether there are any by the own last output.
#[inline(always)]
fn apply<F: Scalar, const K: usize>(j: &[Block<F>], own: bool, carry: &mut Carry<F, K>, d: &Block<F>) -> Block<F> {
    let j = &j[..Entry::<K>::COUNT];
    let mut delta = Block::zero();
    for l in 0..64 {
        let lambda: [F; K] = std::array::from_fn(|k| carry.lambda[k].0[l]);
        let d = d.0[l];
        let mut x = j[Entry::<K>::U_X].0[l] * d;
        let mut next: [F; K] = std::array::from_fn(|k| j[Entry::<K>::u_s(k)].0[l] * d);
        for i in 0..K {
            x += j[Entry::<K>::s_x(i)].0[l] * lambda[i];
            for k in 0..K {
                next[k] += j[Entry::<K>::s_s(i, k)].0[l] * lambda[i];
            }
        }
        delta.0[l] = x;
        for k in 0..K {
            carry.lambda[k].0[l] = next[k];
        }
        if own {
            let from_u = j[Entry::<K>::U_Z].0[l] * d;
            carry.mu.0[l] = (0..K).fold(from_u, |sum, i| sum + j[Entry::<K>::s_z(i)].0[l] * lambda[i]);
        }
    }
    delta
}

/// Where the derivatives of a model that is not affine are taken: its cells, and `[block][state, inputs]` of the step.
pub type At<'a, F> = (&'a dyn Cells<F>, Simd, &'a [Block<F>]);

/// One step of one row of a dense method: `d` becomes `∂L/∂x`. See [`Adjoint::step`].
pub struct DenseStep<'a, F, const K: usize> {
    pub adjoint: &'a mut Adjoint<F, K>,
    /// In: `∂L/∂z[t]` from elsewhere. Out: `∂L/∂x[t]`.
    pub row: &'a mut [Block<F>],
    /// `∂z/∂u` at step `t`.
    pub slope: &'a [Block<F>],
    /// Outputs at `t − 1`; empty at the first step.
    pub last: &'a [Block<F>],
    pub carry: &'a mut [Carry<F, K>],
    /// Of a model that is not affine.
    pub at: Option<At<'a, F>>,
    /// Where events are weighted; then `row` is `∂L/∂y` of what others hear.
    pub weighted: Option<Weighted<'a, F>>,
    /// Out: `∂L/∂x[t]` of the further inputs, a row each.
    pub more: Vec<&'a mut [Block<F>]>,
    /// `∂L/∂p`, `[block][parameter that is learned]`: added to.
    pub parameters: &'a mut [Block<F>],
}

/// One row of a population whose events are weighted: `y = z·worth`.
#[derive(Clone, Copy)]
pub struct Weighted<'a, F> {
    /// The output `z` at this step.
    pub z: &'a [Block<F>],
    /// What events are worth at this step.
    pub worth: &'a [Block<F>],
    /// `∂L/∂z` of the events themselves, the regulariser's, at every step.
    pub constant: &'a [Block<F>],
}

impl<F: Scalar, const K: usize> Kernel for DenseStep<'_, F, K> {
    type Number = F;
    type Out = ();

    #[inline(always)]
    fn run<I: Isa>(mut self) {
        let (learned, ports) = (self.adjoint.learned, self.adjoint.ports);
        for b in 0..self.row.len() {
            let carry = &mut self.carry[b];
            let mut d = self.row[b];
            if let Some(Weighted { z, worth, constant }) = self.weighted {
                for l in 0..LANES {
                    let error = d.0[l];
                    d.0[l] = error * worth[b].0[l] + constant[b].0[l];
                    self.adjoint.hears(b, l, carry, error * z[b].0[l]);
                }
            }
            for l in 0..64 {
                d.0[l] = self.slope[b].0[l] * (d.0[l] + carry.mu.0[l]);
            }
            self.row[b] = if let Some((cells, simd, before)) = self.at {
                let z = self.last.get(b).copied().unwrap_or_else(Block::zero);
                let (parameters, width) = (&mut self.parameters[b * learned..(b + 1) * learned], K + ports);
                let mut room = [Block::zero(); MAX_PORTS - 1];
                let more = &mut room[..ports - 1];
                let delta = self.adjoint.step_at(cells, simd, b, &before[b * width..][..width], &z, carry, &d, more, parameters);
                self.more.iter_mut().zip(more).for_each(|(row, delta)| row[b] = *delta);
                delta
            } else {
                let fired = if self.adjoint.reset_free { 0 } else { self.last.get(b).map_or(0, F::positive::<I>) };
                self.adjoint.step(b, carry, &d, fired)
            };
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
