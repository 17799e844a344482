//! Rules that learn while a network runs: events and a reward go in at every step, weights come out now and then.
//!
//! Such a rule has one projection, and never sees what the network runs on: whoever runs the loop (`snn_arch::ClosedLoop`) carries spikes
//! from a [`Device`](snn_sparse::Device) to the rule and weights back. To add a rule: one file beside this one, one line here.

mod synaptic_sampling;

pub use synaptic_sampling::{Sampling, SynapticSampling};

use rand_distr::{Distribution, StandardNormal};
use snn_core::Seed;
use snn_core::net::Links;

/// What one step brought to a projection.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The sources whose spikes arrive in this step, ascending.
    pub pre: &'a [u32],
    /// The targets that fired.
    pub post: &'a [u32],
    /// The probability with which each target fired, given all before; empty where nobody can tell
    /// ([`Device::chances`](snn_sparse::Device::chances)).
    pub chance: &'a [f64],
    /// The reward of the step.
    pub reward: f64,
}

/// A rule at work on the links of one projection.
pub trait OnlineRule: Send {
    /// Name, for tables and errors.
    fn name(&self) -> &'static str;
    /// Takes a step.
    ///
    /// # Errors
    /// [`OnlineError`] if the rule needs something that the moment does not hold.
    fn step(&mut self, moment: &Moment<'_>) -> Result<(), OnlineError>;
    /// The weights, one per link in the order of the description, if they have changed since they were last taken.
    fn take(&mut self) -> Option<&[f32]>;
}

/// What a rule is told of the projection it learns on.
#[derive(Clone, Copy, Debug)]
pub struct Wires<'a> {
    /// Its links.
    pub links: &'a Links,
    /// Number of sources.
    pub sources: usize,
    /// Number of targets.
    pub targets: usize,
    /// Time step (s).
    pub dt: f64,
}

/// Why a rule cannot learn.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OnlineError {
    /// An impossible parameter.
    #[error("rule `{rule}`: `{parameter}` = {value}: must be {wanted}")]
    Parameter {
        /// Rule.
        rule: &'static str,
        /// Parameter.
        parameter: &'static str,
        /// Its value.
        value: f64,
        /// What it must be.
        wanted: &'static str,
    },
    /// Links that share weights.
    #[error(
        "rule `{rule}`: the links of the projection share their weights; give it links with weights of their own (`All` or listed ones)"
    )]
    SharedWeights {
        /// Rule.
        rule: &'static str,
    },
    /// Nobody says how likely a spike was.
    #[error(
        "rule `{rule}`: needs the probability of every spike of {targets} targets, was told {found}; give the population escape noise, and take a machine that tells"
    )]
    NoChance {
        /// Rule.
        rule: &'static str,
        /// Number of targets.
        targets: usize,
        /// Probabilities given.
        found: usize,
    },
    /// A state of something else.
    #[error("rule `{rule}`: a state of {found} numbers does not fit one of {expected}; it is of another network or setting")]
    State {
        /// Rule.
        rule: &'static str,
        /// Numbers of a state.
        expected: usize,
        /// Given.
        found: usize,
    },
}

/// Where a rule gets normal numbers from: a machine may have its own.
pub trait Normals: Send {
    /// Fills the list with independent numbers of mean 0 and variance 1.
    fn fill(&mut self, into: &mut [f64]);
}

impl<F: FnMut(&mut [f64]) + Send> Normals for F {
    fn fill(&mut self, into: &mut [f64]) {
        self(into);
    }
}

/// Normal numbers of a seed's stream.
pub fn normals(seed: Seed) -> Box<dyn Normals> {
    let mut rng = seed.rng();
    Box::new(move |into: &mut [f64]| into.iter_mut().for_each(|x| *x = StandardNormal.sample(&mut rng)))
}
