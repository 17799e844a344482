use super::Synapses;
use super::window::Window;
use crate::lanes::{Block, Isa, LANES, Scalar};
use snn_core::net;

/// Sum pooling times one weight, driven by events. The weight is not learned: it gets no gradient.
#[derive(Clone, Debug)]
pub struct SumPool2d<F> {
    window: Window,
    w: Block<F>, // in lane 0
}

impl<F: Scalar> SumPool2d<F> {
    /// With weight zero.
    pub fn new(pool: &net::SumPool2d) -> Self {
        SumPool2d { window: Window::new(pool.depthwise()), w: Block::zero() }
    }

    /// Number of links.
    pub fn links(&self) -> usize {
        self.window.links()
    }

    /// Number of links of source `i`.
    pub fn fan_out(&self, i: u32) -> usize {
        self.window.fan_out(i)
    }

    /// Every link as `(source, target, index among the slots)`.
    pub fn triplets(&self) -> Vec<(usize, usize, usize)> {
        self.window.triplets().map(|(i, j, _)| (i, j, 0)).collect()
    }
}

impl<F: Scalar> Synapses<F> for SumPool2d<F> {
    #[inline(always)]
    fn deliver<I: Isa>(&self, block: usize, events: &[u32], mut acc: Block<F>) -> Block<F> {
        self.window.sift(block, events, |i| self.window.each(block, i, |lane, _| acc[lane % LANES] += self.w[0]));
        acc
    }

    #[inline(always)]
    fn deliver_values<I: Isa>(&self, block: usize, events: &[u32], values: &[f64], mut acc: Block<F>) -> Block<F> {
        for (&i, &x) in events.iter().zip(values) {
            let x = F::of(x) * self.w[0];
            self.window.each(block, i, |lane, _| acc[lane % LANES] += x);
        }
        acc
    }

    #[inline(always)]
    fn pull_back<I: Isa>(&self, block: usize, unit: u32, delta: &Block<F>) -> F {
        let mut sum = F::default();
        self.window.each(block, unit, |lane, _| sum += self.w[0] * delta[lane % LANES]);
        sum
    }

    fn weights(&self) -> &[Block<F>] {
        std::slice::from_ref(&self.w)
    }
    fn weights_mut(&mut self) -> &mut [Block<F>] {
        std::slice::from_mut(&mut self.w)
    }
    fn slots(&self) -> Vec<usize> {
        vec![0]
    }
}
