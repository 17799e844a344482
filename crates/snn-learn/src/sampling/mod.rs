//! Sampling from Boltzmann distributions with spiking neurons, on anything that is a [`Device`](snn_sparse::Device).
//!
//! ```text
//! Boltzmann --calibrate, translate--> Network --machine--> Device --spikes--> states --contrast--> Boltzmann
//! ```
//! * [`Boltzmann`]: the target `p(z)`: enumerated if it is small; [`Gibbs`] sampling and [`neural_sampling`] are the references.
//! * [`LifSampling`]: how a target becomes a network of conductance neurons in noise: the calibration of each neuron by its activation, the weights by
//!   the area of their potentials, what drives them, and how they are clamped.
//! * [`Chain`]: states of a target under clamps, from Gibbs sampling or from spikes ([`LifChain`]). All that is done with samples is written once, for both:
//!   [`moments`], [`averages`], learning by contrast ([`learn`]).
//!
//! A device is used as it is: what it made of weights and neurons is seen in recorded spikes only. Its neurons are set when it is configured, so a machine
//! is a function from descriptions to devices ([`Chip`](snn_sparse::Chip)) that keeps its irregularities.

mod boltzmann;
mod chain;
mod lif;
mod statistics;

pub use boltzmann::{Boltzmann, MOST_ENUMERATED, neural_sampling};
pub use chain::{Chain, Clamp, Gibbs, LifChain, averages, learn, moments};
pub use lif::{Calibration, LifSampling, Noise, Sweep, read_states};
pub use statistics::{Histogram, Moments};

use snn_core::NetworkError;
use snn_sparse::DeviceError;

/// Why a distribution is not sampled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SamplingError {
    /// An impossible distribution, or one too large to enumerate.
    #[error("the distribution: {0}")]
    Target(String),
    /// A setting that cannot be.
    #[error("sampling: {0}")]
    Setting(String),
    /// A neuron without an activation function.
    #[error(
        "unit {unit}: {found} of {points} potentials of the sweep give a probability between 0.01 and 0.99; sweep a range around its threshold, in smaller steps"
    )]
    Calibration {
        /// Unit.
        unit: usize,
        /// Points on the slope.
        found: usize,
        /// Of so many.
        points: usize,
    },
    /// The network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The machine took no such network.
    #[error("the machine: {0}")]
    Chip(Box<dyn std::error::Error + Send + Sync>),
}
