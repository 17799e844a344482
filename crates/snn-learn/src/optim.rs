//! Optimisers, learning-rate schedules and gradient clipping.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use snn_sparse::Block;

/// How weights follow their gradient `g`. `η` is the learning rate times the schedule's factor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "optimiser")]
pub enum Optimiser {
    /// `m ← μ·m + g;  w ← w − η·m`. Without momentum plain gradient descent.
    Sgd {
        /// Learning rate η.
        lr: f64,
        /// Momentum μ.
        momentum: f64,
    },
    /// Kingma & Ba 2015: `w ← w − η·m̂/(√v̂ + ε)` with bias-corrected running means `m̂` of `g` and `v̂` of `g²`.
    Adam {
        /// Learning rate η.
        lr: f64,
        /// Decay of the mean.
        beta1: f64,
        /// Decay of the squared mean.
        beta2: f64,
        /// ε.
        eps: f64,
        /// Decoupled weight decay λ, `w ← w − η·λ·w` first (Loshchilov & Hutter 2019); 0 is Adam.
        weight_decay: f64,
    },
}

impl Optimiser {
    /// Gradient descent.
    pub const fn sgd(lr: f64) -> Self {
        Optimiser::Sgd { lr, momentum: 0.0 }
    }
    /// Gradient descent with momentum.
    pub const fn momentum(lr: f64, momentum: f64) -> Self {
        Optimiser::Sgd { lr, momentum }
    }
    /// Adam with the usual constants (0.9, 0.999, 1e-8).
    pub const fn adam(lr: f64) -> Self {
        Optimiser::Adam { lr, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 }
    }
    /// Adam with decoupled weight decay.
    pub const fn adamw(lr: f64, weight_decay: f64) -> Self {
        Optimiser::Adam { lr, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay }
    }

    /// The same without decay: for what is not a weight.
    pub const fn without_decay(self) -> Self {
        match self {
            Optimiser::Adam { lr, beta1, beta2, eps, .. } => Optimiser::Adam { lr, beta1, beta2, eps, weight_decay: 0.0 },
            sgd @ Optimiser::Sgd { .. } => sgd,
        }
    }

    /// Learning rate η, without the schedule's factor.
    pub const fn lr(&self) -> f64 {
        match *self {
            Optimiser::Sgd { lr, .. } | Optimiser::Adam { lr, .. } => lr,
        }
    }

    /// The reason why the parameters are impossible, if they are.
    pub fn check(&self) -> Result<(), String> {
        let within =
            |name: &str, x: f64, ok: bool, wanted: &str| if ok { Ok(()) } else { Err(format!("optimiser {name} = {x}: must be {wanted}")) };
        match *self {
            Optimiser::Sgd { lr, momentum } => {
                within("lr", lr, lr.is_finite() && lr >= 0.0, "zero or more")?;
                within("momentum", momentum, (0.0..1.0).contains(&momentum), "in [0, 1)")
            }
            Optimiser::Adam { lr, beta1, beta2, eps, weight_decay } => {
                within("lr", lr, lr.is_finite() && lr >= 0.0, "zero or more")?;
                within("beta1", beta1, (0.0..1.0).contains(&beta1), "in [0, 1)")?;
                within("beta2", beta2, (0.0..1.0).contains(&beta2), "in [0, 1)")?;
                within("eps", eps, eps.is_finite() && eps > 0.0, "positive")?;
                within("weight_decay", weight_decay, weight_decay.is_finite() && weight_decay >= 0.0, "zero or more")
            }
        }
    }
}

/// How the learning rate changes over training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case", tag = "schedule")]
pub enum Schedule {
    /// It does not.
    #[default]
    Constant,
    /// `½(1 + cos(π·epoch/epochs))`, from 1 to 0.
    Cosine {
        /// Epochs to zero.
        epochs: f64,
    },
    /// Times `factor` every `every` epochs.
    Steps {
        /// Epochs between steps.
        every: f64,
        /// Factor at each step.
        factor: f64,
    },
}

impl Schedule {
    /// The factor on the learning rate after `epoch` epochs (a fraction within an epoch counts).
    pub fn factor(&self, epoch: f64) -> f64 {
        match *self {
            Schedule::Constant => 1.0,
            Schedule::Cosine { epochs } => 0.5 * (1.0 + (std::f64::consts::PI * (epoch / epochs).min(1.0)).cos()),
            Schedule::Steps { every, factor } => factor.powf((epoch / every).floor()),
        }
    }
}

/// What an optimiser remembers of the weights of all projections, and then of the parameters that are learned.
#[derive(Clone, Debug, Default)]
pub struct Moments {
    /// Updates so far.
    pub updates: u64,
    /// Per projection: momentum, or Adam's mean.
    pub first: Vec<Vec<Block<f32>>>,
    /// Per projection: Adam's mean of squares; empty for SGD.
    pub second: Vec<Vec<Block<f32>>>,
}

impl Moments {
    /// Nothing yet, for weights of these lengths in blocks.
    pub fn new(optimiser: &Optimiser, blocks: &[usize]) -> Self {
        let zero = || blocks.iter().map(|&n| vec![Block::zero(); n]).collect();
        let second = if matches!(optimiser, Optimiser::Adam { .. }) { zero() } else { Vec::new() };
        Moments { updates: 0, first: zero(), second }
    }

    /// Starts an update; then call [`Moments::update`] for every projection.
    pub fn tick(&mut self) {
        self.updates += 1;
    }

    /// Moves the weights of projection `k` by the gradient `g`, with the learning rate times `factor`. Every weight is a task of its own:
    /// the result does not depend on the number of threads.
    pub fn update(&mut self, optimiser: &Optimiser, factor: f64, k: usize, w: &mut [Block<f32>], g: &[Block<f32>]) {
        const SPAN: usize = 256;
        match *optimiser {
            Optimiser::Sgd { lr, momentum } => {
                let (rate, momentum) = ((lr * factor) as f32, momentum as f32);
                let first = self.first[k].par_chunks_mut(SPAN);
                w.par_chunks_mut(SPAN).zip(g.par_chunks(SPAN)).zip(first).for_each(|((w, g), m)| {
                    for ((w, g), m) in w.iter_mut().zip(g).zip(m) {
                        for l in 0..64 {
                            m[l] = momentum * m[l] + g[l];
                            w[l] -= rate * m[l];
                        }
                    }
                });
            }
            Optimiser::Adam { lr, beta1, beta2, eps, weight_decay } => {
                let n = self.updates as i32;
                let (c1, c2) = (1.0 - beta1.powi(n), 1.0 - beta2.powi(n));
                let (rate, keep) = ((lr * factor / c1) as f32, (1.0 - lr * factor * weight_decay) as f32);
                let (b1, b2, root, eps) = (beta1 as f32, beta2 as f32, (1.0 / c2) as f32, eps as f32);
                let moments = self.first[k].par_chunks_mut(SPAN).zip(self.second[k].par_chunks_mut(SPAN));
                w.par_chunks_mut(SPAN).zip(g.par_chunks(SPAN)).zip(moments).for_each(|((w, g), (m, v))| {
                    for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
                        for l in 0..64 {
                            m[l] = b1 * m[l] + (1.0 - b1) * g[l];
                            v[l] = b2 * v[l] + (1.0 - b2) * g[l] * g[l];
                            w[l] = keep * w[l] - rate * m[l] / ((v[l] * root).sqrt() + eps);
                        }
                    }
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs three updates of one weight on the gradients 1, −2, 0.5.
    fn run(optimiser: Optimiser) -> f32 {
        let mut moments = Moments::new(&optimiser, &[1]);
        let mut w = vec![Block::splat(1.0f32)];
        for g in [1.0, -2.0, 0.5] {
            moments.tick();
            moments.update(&optimiser, 1.0, 0, &mut w, &[Block::splat(g)]);
        }
        w[0][17]
    }

    #[test]
    fn three_updates_by_hand() {
        assert!((run(Optimiser::sgd(0.1)) - (1.0 - 0.1 * (1.0 - 2.0 + 0.5))).abs() < 1e-6);
        // Momentum ½: velocities 1, −1.5, −0.25.
        assert!((run(Optimiser::momentum(0.1, 0.5)) - (1.0 - 0.1 * (1.0 - 1.5 - 0.25))).abs() < 1e-6);
        // Adam in f64, from the paper's algorithm.
        let (mut m, mut v, mut w) = (0.0f64, 0.0f64, 1.0f64);
        for (n, g) in [1.0f64, -2.0, 0.5].into_iter().enumerate() {
            (m, v) = (0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g);
            let n = n as i32 + 1;
            w -= 0.01 * (m / (1.0 - 0.9f64.powi(n))) / ((v / (1.0 - 0.999f64.powi(n))).sqrt() + 1e-8);
        }
        assert!((f64::from(run(Optimiser::adam(0.01))) - w).abs() < 1e-6);
        let decayed = run(Optimiser::adamw(0.01, 0.1));
        assert!(decayed < run(Optimiser::adam(0.01)) && decayed > 0.99 * run(Optimiser::adam(0.01)));
    }

    #[test]
    fn schedules() {
        let cosine = Schedule::Cosine { epochs: 10.0 };
        assert_eq!((cosine.factor(0.0), cosine.factor(10.0), cosine.factor(11.0)), (1.0, 0.0, 0.0));
        assert!((cosine.factor(5.0) - 0.5).abs() < 1e-15);
        assert_eq!(Schedule::Steps { every: 2.0, factor: 0.1 }.factor(5.0), 0.1f64.powi(2));
        assert!(Optimiser::adam(f64::NAN).check().is_err() && Optimiser::momentum(0.1, 1.0).check().is_err());
    }
}
