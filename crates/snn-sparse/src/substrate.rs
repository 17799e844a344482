//! What weights are made of while a network learns: the contract between memories that cannot be set to a number and the trainer.

use crate::Clocked;
use crate::device::Costs;
use serde::{Deserialize, Serialize};

/// A memory that holds the weights of a network while it learns, and that changes only as it can.
///
/// The optimiser says where the weights should go; the substrate moves them as far as it can, and puts into the engine what is there now: weights, and where
/// reading is an act of its own, [`Reads`](crate::Reads). Learning rules and optimisers know nothing of it. Its random numbers are a function of its own seed and of what it has done.
pub trait Substrate: Send + Sync {
    /// Name, for tables, errors and checkpoints.
    fn name(&self) -> &'static str;
    /// Puts into the engine what is there before any update.
    ///
    /// # Errors
    /// If it was made for another network.
    fn install(&mut self, engine: &mut Clocked<f32>) -> Result<(), SubstrateError>;
    /// Moves the weights by `steps`, one list per projection in the order of the description, as far as it can; then puts into the engine what is there now.
    fn update(&mut self, engine: &mut Clocked<f32>, steps: &[Vec<f32>]);
    /// What all its updates and reads so far have cost.
    fn costs(&self) -> Costs;
    /// Its exact state between two updates.
    fn save(&self) -> SubstrateState;
    /// Goes back to a state that was saved, and puts it into the engine. `false`, and nothing is changed, if the shapes differ.
    fn restore(&mut self, engine: &mut Clocked<f32>, state: &SubstrateState) -> bool;
}

/// What a substrate keeps from one update to the next, as plain lists: what they mean is its own affair.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SubstrateState {
    /// Numbers.
    pub reals: Vec<Vec<f64>>,
    /// Counts.
    pub counts: Vec<Vec<u64>>,
}

impl SubstrateState {
    /// Whether another state has lists of the same lengths.
    pub fn fits(&self, other: &SubstrateState) -> bool {
        let lengths = |state: &SubstrateState| -> (Vec<usize>, Vec<usize>) {
            (state.reals.iter().map(Vec::len).collect(), state.counts.iter().map(Vec::len).collect())
        };
        lengths(self) == lengths(other)
    }
}

/// Why a substrate cannot hold the weights of a network.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SubstrateError {
    /// It was made for another network.
    #[error(
        "substrate `{substrate}` holds weights of {expected:?} for the projections, the network has {found:?}; make it for this network"
    )]
    Network {
        /// Substrate.
        substrate: &'static str,
        /// Weights it holds, per projection.
        expected: Vec<usize>,
        /// Weights of the network.
        found: Vec<usize>,
    },
}

impl SubstrateError {
    /// Whether `engine` has as many weights for each projection as the substrate holds: for substrates.
    ///
    /// # Errors
    /// [`SubstrateError::Network`].
    pub fn check(substrate: &'static str, expected: &[usize], engine: &Clocked<f32>) -> Result<(), SubstrateError> {
        let found: Vec<usize> = engine.weights().iter().map(Vec::len).collect();
        if found == expected { Ok(()) } else { Err(SubstrateError::Network { substrate, expected: expected.to_vec(), found }) }
    }
}
