//! Local derivatives of a population, as planes: what backpropagation runs backwards in time and e-prop forwards.

use crate::lanes::{Block, LANES, Scalar, blocks};
use snn_core::neuron::{Jacobian, Neuron, Output, jacobian};
use snn_core::{Dual, Vars};

/// Where the local derivatives of a neuron with `K` state variables stand in a list of planes. Entries as in [`Jacobian`].
pub struct Entry<const K: usize>;

impl<const K: usize> Entry<K> {
    /// How many there are.
    pub const COUNT: usize = K * K + 3 * K + 2;
    /// `∂u/∂z`.
    pub const U_Z: usize = K * K + 3 * K;
    /// `∂u/∂x`.
    pub const U_X: usize = K * K + 3 * K + 1;

    /// `∂s'ᵢ/∂sⱼ`.
    pub const fn s_s(i: usize, j: usize) -> usize {
        i * K + j
    }
    /// `∂s'ᵢ/∂z`.
    pub const fn s_z(i: usize) -> usize {
        K * K + i
    }
    /// `∂s'ᵢ/∂x`.
    pub const fn s_x(i: usize) -> usize {
        K * K + K + i
    }
    /// `∂u/∂sⱼ`.
    pub const fn u_s(j: usize) -> usize {
        K * K + 2 * K + j
    }
}

/// Local derivatives of a population whose model is affine: constant for each value of the own last output, 0 or 1. For other models, for those with several
/// inputs or weighted events, and where parameters of the model are learned, see [`Cells::derivatives`](crate::Cells::derivatives).
pub struct Local<F> {
    jacobians: [Vec<Jacobian>; 2],
    states: usize,
    /// Whether the derivatives are these constants.
    pub affine: bool,
    /// Parameters of the model that are learned.
    pub learned: usize,
    /// Inputs, which are summed apart.
    pub ports: usize,
    /// Where events are weighted: the derivatives of the worth by the state, `[block][state variable]`. Empty of others.
    pub worth: Vec<Block<F>>,
    /// Whether they are the same after a spike as after silence.
    pub reset_free: bool,
    /// Whether the own last output has a derivative at all.
    pub feels_own_spike: bool,
    scalar: std::marker::PhantomData<F>,
}

impl<F: Scalar> Local<F> {
    pub(crate) fn new<N: Neuron>(model: &N, size: usize, learned: usize, dt: f64) -> Self {
        let states = <N::State<f64> as Vars<f64>>::LEN;
        let (ports, weighted) = (N::PORTS.len(), N::OUTPUT == Output::Weighted);
        let affine = N::AFFINE && learned == 0 && ports == 1 && !weighted;
        let count = if affine { size } else { 0 };
        let table = |z: f64| {
            (0..count)
                .map(|j| jacobian::<N>(model.consts(j, dt), &[0.0; snn_core::neuron::MAX_STATE], z, N::Inputs::from_fn(|_| 0.0)))
                .collect::<Vec<_>>()
        };
        let jacobians = [table(0.0), table(1.0)];
        let feels = |j: &Jacobian| j.u_z != 0.0 || j.s_z.iter().any(|&d| d != 0.0);
        let reset_free = affine && jacobians[0] == jacobians[1];
        let feels_own_spike = !affine || jacobians.iter().flatten().any(feels);
        let mut worth = vec![Block::zero(); if weighted && model.period() == 1 { blocks(size) * states } else { 0 }];
        for (j, i) in (0..if worth.is_empty() { 0 } else { size }).flat_map(|j| (0..states).map(move |i| (j, i))) {
            let c = model.consts::<f64>(j, dt);
            let state = N::State::<Dual<1>>::from_fn(|k| if k == i { Dual::variable(0.0, 0) } else { Dual::constant(0.0) });
            let by = N::worth(N::Consts::<Dual<1>>::from_fn(|k| Dual::constant(c.get(k))), state).d[0];
            worth[j / LANES * states + i][j % LANES] = F::of(by);
        }
        Local { jacobians, states, affine, learned, ports, worth, reset_free, feels_own_spike, scalar: std::marker::PhantomData }
    }

    /// State variables per neuron.
    pub fn states(&self) -> usize {
        self.states
    }

    /// The derivatives of neuron `j` after its output was `z` (0 or 1).
    ///
    /// # Panics
    /// If the model is not affine, or its events are weighted.
    pub fn of(&self, j: usize, z: usize) -> &Jacobian {
        &self.jacobians[z][j]
    }

    /// The derivatives after an output of `z` (0 or 1), as planes `[block][entry]`, see [`Entry`]. Lanes beyond the last neuron are zero. Empty if the
    /// model is not affine.
    ///
    /// # Panics
    /// If `K` is not the number of state variables.
    pub fn planes<const K: usize>(&self, z: usize) -> Vec<Block<F>> {
        assert_eq!(K, self.states, "planes of another number of state variables");
        let table = &self.jacobians[z];
        let mut planes = vec![Block::zero(); blocks(table.len()) * Entry::<K>::COUNT];
        for (j, d) in table.iter().enumerate() {
            let mut set = |entry: usize, x: f64| planes[j / LANES * Entry::<K>::COUNT + entry][j % LANES] = F::of(x);
            for i in 0..K {
                (0..K).for_each(|k| set(Entry::<K>::s_s(i, k), d.s_s[i][k]));
                set(Entry::<K>::s_z(i), d.s_z[i]);
                set(Entry::<K>::s_x(i), d.s_x[i]);
                set(Entry::<K>::u_s(i), d.u_s[i]);
            }
            set(Entry::<K>::U_Z, d.u_z);
            set(Entry::<K>::U_X, d.u_x);
        }
        planes
    }
}
