//! A dense network of tanh units on points of a function, in f64.

use rand_distr::{Distribution, StandardNormal};
use snn_core::Seed;

use super::{Landscape, Slope};
use crate::ArchError;
use crate::error::check;

/// A multilayer perceptron that should be a function of one number: mean squared error over given points.
///
/// ```text
/// h₀ = θ;   h_l = tanh(W_l·h_{l−1} + b_l);   f = W_L·h_{L−1} (+ b_L);   U = (1/K)·Σ_k (f(θ_k) − y_k)²
/// ```
/// Parameters lie layer by layer, the weights of a layer row by row (`[to][from]`), then its biases. Cost of an evaluation: K × weights. In `f64`, because the
/// rise by a small mutation is below the rounding of `f32`.
#[derive(Clone, Debug)]
pub struct Perceptron {
    sizes: Vec<usize>,
    /// Whether the output has a bias.
    bias: bool,
    points: Vec<(f64, f64)>,
}

impl Perceptron {
    /// A network of layers of these sizes, of which the first and the last are 1; `bias`: the output has one, as all other units do.
    ///
    /// # Errors
    /// [`ArchError::Option`] if a size is impossible, or there are no points.
    pub fn new(sizes: &[usize], bias: bool, points: &[(f64, f64)]) -> Result<Self, ArchError> {
        let good = sizes.len() > 2 && sizes[0] == 1 && sizes[sizes.len() - 1] == 1 && !sizes.contains(&0);
        check(good, "perceptron", "sizes", format!("{sizes:?}"), "1, sizes of hidden layers, 1")?;
        check(!points.is_empty(), "perceptron", "points", 0, "at least one")?;
        Ok(Perceptron { sizes: sizes.into(), bias, points: points.into() })
    }

    /// Parameters drawn from `N(0, std²)`.
    pub fn start(&self, std: f64, seed: Seed) -> Vec<f64> {
        let mut rng = seed.rng();
        let mut draw = || -> f64 { StandardNormal.sample(&mut rng) };
        (0..self.parameters()).map(|_| std * draw()).collect()
    }

    /// The function that the parameters `x` make.
    pub fn output(&self, x: &[f64], theta: f64) -> f64 {
        self.forward(x, theta, &mut self.memory())
    }

    /// Leaves the activities of all layers in `memory`; returns the last.
    fn forward(&self, x: &[f64], theta: f64, memory: &mut Layers) -> f64 {
        let (mut at, last) = (0, self.sizes.len() - 1);
        memory.h[0][0] = theta;
        for l in 1..=last {
            let (from, to) = (self.sizes[l - 1], self.sizes[l]);
            let (weights, biases) = x[at..].split_at(from * to);
            let (before, after) = memory.h.split_at_mut(l);
            for (j, (h, row)) in after[0].iter_mut().zip(weights.chunks_exact(from)).enumerate() {
                let sum: f64 = row.iter().zip(&before[l - 1]).map(|(w, h)| w * h).sum();
                *h = match l == last {
                    false => (sum + biases[j]).tanh(),
                    true if self.bias => sum + biases[j],
                    true => sum,
                };
            }
            at += from * to + to;
        }
        memory.h[last][0]
    }
}

/// Activities, and the loss's derivatives by what the units hear, of all layers.
pub struct Layers {
    h: Vec<Vec<f64>>,
    d: Vec<Vec<f64>>,
}

impl Landscape for Perceptron {
    type Memory = Layers;

    fn parameters(&self) -> usize {
        self.sizes.windows(2).map(|pair| pair[0] * pair[1] + pair[1]).sum::<usize>() - usize::from(!self.bias)
    }

    fn memory(&self) -> Layers {
        let planes: Vec<Vec<f64>> = self.sizes.iter().map(|&n| vec![0.0; n]).collect();
        Layers { h: planes.clone(), d: planes }
    }

    fn loss(&self, x: &[f64], memory: &mut Layers) -> f64 {
        let squares = self.points.iter().map(|&(theta, y)| (self.forward(x, theta, memory) - y).powi(2));
        squares.sum::<f64>() / self.points.len() as f64
    }
}

impl Slope for Perceptron {
    fn slope(&self, x: &[f64], gradient: &mut [f64], memory: &mut Layers) -> f64 {
        let (count, last) = (self.points.len() as f64, self.sizes.len() - 1);
        gradient.fill(0.0);
        let mut loss = 0.0;
        for &(theta, y) in &self.points {
            let error = self.forward(x, theta, memory) - y;
            loss += error * error;
            let Layers { h, d } = &mut *memory;
            d[last][0] = 2.0 * error / count;
            let mut end = x.len();
            for l in (1..=last).rev() {
                let (from, to) = (self.sizes[l - 1], self.sizes[l]);
                let biases = if l < last || self.bias { to } else { 0 };
                let at = end - biases - from * to;
                let (below, above) = d.split_at_mut(l);
                let (below, above) = (&mut below[l - 1], &above[0]);
                below.fill(0.0);
                for (j, &d) in above.iter().enumerate() {
                    let row = at + j * from..at + (j + 1) * from;
                    for (i, (g, w)) in gradient[row.clone()].iter_mut().zip(&x[row]).enumerate() {
                        *g += d * h[l - 1][i];
                        below[i] += d * w;
                    }
                    if biases > 0 {
                        gradient[at + from * to + j] += d;
                    }
                }
                if l > 1 {
                    below.iter_mut().zip(&h[l - 1]).for_each(|(d, h)| *d *= 1.0 - h * h);
                }
                end = at;
            }
        }
        loss / count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(n: usize) -> Vec<(f64, f64)> {
        (0..n).map(|k| k as f64 / n as f64).map(|theta| (theta, (std::f64::consts::TAU * theta).sin())).collect()
    }

    #[test]
    fn as_many_parameters_as_in_the_paper() {
        assert_eq!(Perceptron::new(&[1, 30, 1], false, &sine(2)).unwrap().parameters(), 90);
        assert_eq!(Perceptron::new(&[1, 32, 32, 32, 32, 32, 32, 32, 32, 1], true, &sine(2)).unwrap().parameters(), 7489);
    }

    #[test]
    fn gradients_are_central_differences() {
        for (sizes, bias) in [(&[1, 5, 1][..], false), (&[1, 3, 4, 1], true), (&[1, 3, 2, 4, 1], false)] {
            let net = Perceptron::new(sizes, bias, &sine(7)).unwrap();
            let (x, mut memory) = (net.start(1.0, Seed::new(1)), net.memory());
            let mut gradient = vec![0.0; x.len()];
            assert_eq!(net.slope(&x, &mut gradient, &mut memory), net.loss(&x, &mut memory));
            let size = gradient.iter().map(|g| g.abs()).fold(0.0, f64::max);
            for i in 0..x.len() {
                let mut at = |h: f64| {
                    let mut x = x.clone();
                    x[i] += h;
                    net.loss(&x, &mut memory)
                };
                let numeric = (at(1e-6) - at(-1e-6)) / 2e-6;
                assert!((gradient[i] - numeric).abs() < 1e-6 * (size + numeric.abs()), "{sizes:?}, {i}: {} {numeric}", gradient[i]);
            }
        }
    }

    #[test]
    fn impossible_networks_are_named() {
        for sizes in [&[1, 1][..], &[2, 3, 1], &[1, 0, 1], &[]] {
            assert!(Perceptron::new(sizes, true, &sine(2)).unwrap_err().to_string().contains("perceptron: sizes"));
        }
        assert!(Perceptron::new(&[1, 2, 1], true, &[]).unwrap_err().to_string().contains("points = 0"));
    }
}
