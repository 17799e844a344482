//! DropConnect: a gradient is taken with some weights left out.

use crate::rule::Gradients;
use snn_core::Seed;
use snn_sparse::lanes::{flat, flat_mut};
use snn_sparse::{Block, Clocked, Scalar, Synapses};

/// DropConnect (Wan et al. 2013; on recurrent weights: Merity et al. 2018, arXiv:1708.02182): for one gradient every weight of a link is left out with probability `p`, and the
/// others count for it:
///
/// ```text
/// W̃ = m ⊙ W / (1 − p),   m = 0 with probability p, else 1;      ∂L/∂W = m ⊙ ∂L/∂W̃ / (1 − p)
/// ```
/// The mask is that of all trials and steps of the gradient, a function of a seed and the place of the weight. Cost: one pass over these weights before and one after; one copy of them.
///
/// ```
/// use snn_core::{Net, Seed, ms, net::{Connect, Init}, neuron::Li};
/// use snn_learn::{DropConnect, Gradients};
/// use snn_sparse::Clocked;
/// let net = Net::new(ms(1.0)).input("in", 50).population("out", 40, Li::default())
///     .project("in", "out", Connect::All, Init::Constant(1.0)).output("out").build(Seed::new(1))?;
/// let mut engine = Clocked::<f64>::compile(&net);
/// let (mut drop, mut gradients) = (DropConnect::default(), Gradients::zero(&engine));
/// drop.link(0, 0.75);
/// drop.leave_out(&mut engine, Seed::new(3));
/// let left = engine.weights()[0].iter().filter(|&&w| w == 4.0).count();
/// assert!((left as f64 / 2000.0 - 0.25).abs() < 0.04);
/// drop.put_back(&mut engine, &mut gradients);
/// assert!(engine.weights()[0].iter().all(|&w| w == 1.0));
/// # Ok::<(), snn_core::NetworkError>(())
/// ```
#[derive(Clone, Debug)]
pub struct DropConnect<F> {
    links: Vec<Dropped<F>>,
}

#[derive(Clone, Debug)]
struct Dropped<F> {
    /// Which of the engine's links.
    link: usize,
    p: f64,
    /// By what its weights were multiplied, and what they are.
    factors: Vec<F>,
    weights: Vec<Block<F>>,
}

impl<F> Default for DropConnect<F> {
    fn default() -> Self {
        DropConnect { links: Vec::new() }
    }
}

impl<F: Scalar> DropConnect<F> {
    /// Leaves out weights of `links()[k]` with probability `p`, 0…1 without 1.
    pub fn link(&mut self, k: usize, p: f64) {
        self.links.push(Dropped { link: k, p, factors: Vec::new(), weights: Vec::new() });
    }

    /// Whether nothing is ever left out.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Leaves out weights: from now on the engine has W̃.
    pub fn leave_out(&mut self, engine: &mut Clocked<F>, seed: Seed) {
        for Dropped { link, p, factors, weights } in &mut self.links {
            let here = engine.links_mut()[*link].store.weights_mut();
            weights.clear();
            weights.extend_from_slice(here);
            let (seed, kept) = (seed.nth(*link as u64), F::of(1.0 / (1.0 - *p)));
            let below = (*p * 2f64.powi(64)) as u64;
            let factor = |place: usize| if seed.nth(place as u64).value() < below { F::default() } else { kept };
            factors.clear();
            factors.extend((0..flat(here).len()).map(factor));
            flat_mut(here).iter_mut().zip(&*factors).for_each(|(w, &factor)| *w = *w * factor);
        }
    }

    /// Puts the weights back, and makes of the gradient by W̃ that by W.
    pub fn put_back(&self, engine: &mut Clocked<F>, gradients: &mut Gradients<F>) {
        for Dropped { link, factors, weights, .. } in &self.links {
            engine.links_mut()[*link].store.weights_mut().copy_from_slice(weights);
            flat_mut(&mut gradients.links[*link]).iter_mut().zip(factors).for_each(|(g, &factor)| *g = *g * factor);
        }
    }
}
