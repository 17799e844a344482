//! Neuroevolution without population or crossover: all parameters of one network are mutated at once, and the mutant is kept or dropped. For small mutations this is
//! gradient descent with noise, whatever the network.
//!
//! * [`Landscape`], [`Slope`]: a deterministic loss of N numbers, and its gradient.
//! * [`Mutation`]: the dynamics, and what theory says of it: drift, acceptance, spread.
//! * [`Descent`]: what it is compared with.
//! * [`Runs`]: independent runs from one start, on all cores, to be averaged.
//! * [`Perceptron`], [`SpikingLandscape`]: a dense network on points, any network of the engine on trials.
//!
//! Source: Whitelam, Selin, Park & Tamblyn 2021, Nature Communications 12:6317; arXiv:2008.06643.
//!
//! ```
//! use snn_arch::neuroevolution::{Descent, Mutation, Perceptron, Runs, distance};
//! use snn_core::Seed;
//! let net = Perceptron::new(&[1, 4, 1], false, &[(0.0, 0.0), (0.25, 1.0), (0.5, 0.0), (0.75, -1.0)])?;
//! let start = net.start(1.0, Seed::new(1).child("start"));
//! let mutation = Mutation::of(1e-3, f64::INFINITY)?;          // every mutation is worth 1e-3 of the time of gradient descent
//! let mut runs = Runs::new(&net, &start, 64, Seed::new(1))?;
//! runs.advance(&net, &mutation, 200);                         // to t = 0.2
//! let mut x = start.clone();
//! Descent::normalised(1e-4).advance(&net, &mut x, 2000);
//! assert!(distance(&runs.average(), &x) < 0.1 * distance(&start, &x)); // the average goes where gradient descent goes
//! # Ok::<(), snn_arch::ArchError>(())
//! ```

mod dynamics;
mod perceptron;
mod spiking;

pub use dynamics::{Descent, Mutation, Run, Runs, distance};
pub use perceptron::Perceptron;
pub use spiking::SpikingLandscape;

/// A deterministic loss of so many numbers.
pub trait Landscape: Sync {
    /// One thread's memory, so that an evaluation need not allocate.
    type Memory: Send;
    /// How many numbers.
    fn parameters(&self) -> usize;
    /// Fresh memory.
    fn memory(&self) -> Self::Memory;
    /// The loss at `x`: a function of `x` alone.
    fn loss(&self, x: &[f64], memory: &mut Self::Memory) -> f64;
}

/// A landscape with a gradient.
pub trait Slope: Landscape {
    /// The loss at `x`; its gradient goes to `gradient`.
    fn slope(&self, x: &[f64], gradient: &mut [f64], memory: &mut Self::Memory) -> f64;
}
