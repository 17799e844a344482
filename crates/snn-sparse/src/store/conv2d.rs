use super::Synapses;
use super::window::Window;
use crate::lanes::{Block, Isa, LANES, Scalar, blocks, flat, flat_mut};
use snn_core::net;

/// Targets of a row that are taken together.
const SHORT: usize = 8;

/// A two-dimensional convolution, driven by events: an event costs the links of its source, and a look from every block. The matrix is
/// never unrolled; the weights must be finite.
///
/// Memory: the kernel, and 12 bytes per source. All blocks share the weights: their gradients add up in the same places, block after
/// block.
#[derive(Clone, Debug)]
pub struct Conv2d<F> {
    window: Window,
    /// Whether a source's targets in a row are neighbours, [`SHORT`] at most.
    short: bool,
    /// By count: 1 for so many targets, 0 for the others.
    share: [[F; SHORT]; SHORT + 1],
    w: Vec<Block<F>>, // [channels_out][channels_in / groups][kernel height][kernel width in the window's order], and SHORT more
}

impl<F: Scalar> Conv2d<F> {
    /// All weights zero.
    pub fn new(conv: &net::Conv2d) -> Self {
        let window = Window::new(*conv);
        let share = std::array::from_fn(|count| std::array::from_fn(|n| if n < count { F::of(1.0) } else { F::default() }));
        Conv2d { share, short: window.neighbours(SHORT), window, w: vec![Block::zero(); blocks(conv.weights() + SHORT)] }
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
        self.window.triplets().collect()
    }
}

impl<F: Scalar> Synapses<F> for Conv2d<F> {
    #[inline(always)]
    fn deliver<I: Isa>(&self, block: usize, events: &[u32], mut acc: Block<F>) -> Block<F> {
        let w = flat(&self.w);
        if !self.short {
            self.window.sift(block, events, |i| self.window.each(block, i, |lane, slot| acc[lane % LANES] += w[slot]));
            return acc;
        }
        // Rows of one length, without a branch: what is too much adds zeros, to lanes or to the margin around them.
        let mut lanes = [Block::zero(); 2]; // for their alignment
        let lanes = flat_mut(&mut lanes);
        lanes[SHORT..SHORT + LANES].copy_from_slice(&acc.0);
        self.window.sift(block, events, |i| {
            self.window.rows(block, i, |lane, slot, count| {
                let lane = lane.wrapping_add(SHORT);
                if lane < LANES + SHORT {
                    let (to, w) = (&mut lanes[lane..lane + SHORT], &w[slot..slot + SHORT]);
                    let share = &self.share[count];
                    let x: [F; SHORT] = std::array::from_fn(|n| to[n] + w[n] * share[n]);
                    to.copy_from_slice(&x);
                }
            });
        });
        acc.0.copy_from_slice(&lanes[SHORT..SHORT + LANES]);
        acc
    }

    #[inline(always)]
    fn deliver_values<I: Isa>(&self, block: usize, events: &[u32], values: &[f64], mut acc: Block<F>) -> Block<F> {
        let w = flat(&self.w);
        for (&i, &x) in events.iter().zip(values) {
            let x = F::of(x);
            self.window.each(block, i, |lane, slot| acc[lane % LANES] += x * w[slot]);
        }
        acc
    }

    #[inline(always)]
    fn pull_back<I: Isa>(&self, block: usize, unit: u32, delta: &Block<F>) -> F {
        let (w, mut sum) = (flat(&self.w), F::default());
        self.window.each(block, unit, |lane, slot| sum += w[slot] * delta[lane % LANES]);
        sum
    }

    #[inline(always)]
    fn correlate(&self, block: usize, i: usize, times: &[u32], delta: &[Block<F>], grad: &mut [Block<F>]) {
        let grad = flat_mut(grad);
        self.window.each(block, i as u32, |lane, slot| grad[slot] += times.iter().map(|&t| delta[t as usize][lane % LANES]).sum());
    }

    #[inline(always)]
    fn correlate_values(&self, block: usize, i: usize, times: &[u32], values: &[f64], delta: &[Block<F>], grad: &mut [Block<F>]) {
        let grad = flat_mut(grad);
        let sum = |lane: usize| times.iter().zip(values).map(|(&t, &x)| F::of(x) * delta[t as usize][lane % LANES]).sum();
        self.window.each(block, i as u32, |lane, slot| grad[slot] += sum(lane));
    }

    fn weights(&self) -> &[Block<F>] {
        &self.w
    }
    fn weights_mut(&mut self) -> &mut [Block<F>] {
        &mut self.w
    }
    fn slots(&self) -> Vec<usize> {
        self.window.slots()
    }
}
