//! Local derivatives of a population, as planes: what backpropagation runs backwards in time and e-prop forwards.

use crate::lanes::{Block, LANES, Scalar, blocks};
use snn_core::Vars;
use snn_core::neuron::{Jacobian, Neuron, jacobian};

/// Local derivatives of one block of 64 neurons, for one value of the last output `z`. Entries as in [`Jacobian`].
#[derive(Clone, Debug)]
pub struct Derivatives<F, const K: usize> {
    /// `∂s'ᵢ/∂sⱼ`.
    pub s_s: [[Block<F>; K]; K],
    /// `∂s'ᵢ/∂z`.
    pub s_z: [Block<F>; K],
    /// `∂s'ᵢ/∂x`.
    pub s_x: [Block<F>; K],
    /// `∂u/∂sⱼ`.
    pub u_s: [Block<F>; K],
    /// `∂u/∂z`.
    pub u_z: Block<F>,
    /// `∂u/∂x`.
    pub u_x: Block<F>,
}

/// Local derivatives of a population: constant for each value of the own last output, 0 or 1.
pub struct Local<F> {
    jacobians: [Vec<Jacobian>; 2],
    states: usize,
    /// Whether they are the same after a spike as after silence.
    pub reset_free: bool,
    /// Whether the own last output has a derivative at all.
    pub feels_own_spike: bool,
    scalar: std::marker::PhantomData<F>,
}

impl<F: Scalar> Local<F> {
    pub(crate) fn new<N: Neuron>(model: &N, size: usize, dt: f64) -> Self {
        let states = <N::State<f64> as Vars<f64>>::LEN;
        let table =
            |z: f64| (0..size).map(|j| jacobian::<N>(model.consts(j, dt), &[0.0; snn_core::neuron::MAX_STATE], z, 0.0)).collect::<Vec<_>>();
        let jacobians = [table(0.0), table(1.0)];
        let feels = |j: &Jacobian| j.u_z != 0.0 || j.s_z.iter().any(|&d| d != 0.0);
        let reset_free = jacobians[0] == jacobians[1];
        let feels_own_spike = jacobians.iter().flatten().any(feels);
        Local { jacobians, states, reset_free, feels_own_spike, scalar: std::marker::PhantomData }
    }

    /// State variables per neuron.
    pub fn states(&self) -> usize {
        self.states
    }

    /// The derivatives of neuron `j` after its output was `z` (0 or 1).
    pub fn of(&self, j: usize, z: usize) -> &Jacobian {
        &self.jacobians[z][j]
    }

    /// The derivatives as planes, per block, after an output of `z` (0 or 1). Lanes beyond the last neuron are zero.
    ///
    /// # Panics
    /// If `K` is not the number of state variables.
    pub fn planes<const K: usize>(&self, z: usize) -> Vec<Derivatives<F, K>> {
        assert_eq!(K, self.states, "planes of another number of state variables");
        let table = &self.jacobians[z];
        let block = |b: usize| {
            let plane = |f: &dyn Fn(&Jacobian) -> f64| {
                Block(std::array::from_fn(|l| table.get(b * LANES + l).map_or(F::default(), |j| F::of(f(j)))))
            };
            Derivatives {
                s_s: std::array::from_fn(|i| std::array::from_fn(|j| plane(&|d| d.s_s[i][j]))),
                s_z: std::array::from_fn(|i| plane(&|d| d.s_z[i])),
                s_x: std::array::from_fn(|i| plane(&|d| d.s_x[i])),
                u_s: std::array::from_fn(|j| plane(&|d| d.u_s[j])),
                u_z: plane(&|d| d.u_z),
                u_x: plane(&|d| d.u_x),
            }
        };
        (0..blocks(table.len())).map(block).collect()
    }
}
