use snn_core::NetworkError;
use snn_data::DataError;
use snn_learn::TrainError;
use snn_learn::online::OnlineError;
use snn_sparse::{Clocked, DeviceError, Scalar};

/// Why an outer loop cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchError {
    /// The inner training.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The task or environment.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A readout that cannot be fitted.
    #[error(transparent)]
    Readout(#[from] snn_learn::readout::ReadoutError),
    /// The machine it runs on.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The rule that learns while it runs.
    #[error(transparent)]
    Online(#[from] OnlineError),
    /// Impossible option.
    #[error("{of}: {name} = {found}; give {wanted}")]
    Option {
        /// What it belongs to.
        of: &'static str,
        /// Its name.
        name: &'static str,
        /// Its value.
        found: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// The network's input is not what the task shows.
    #[error("`{task}` shows {expected} channels; the network has {found}: give it one input of {expected}")]
    Inputs {
        /// Task or environment.
        task: String,
        /// Its channels.
        expected: usize,
        /// What the network has.
        found: String,
    },
    /// The network's output is not what the task asks for.
    #[error("`{task}` needs one graded output of {expected} units ({units}); the network has {found}: use a `li` readout of {expected}")]
    Output {
        /// Task or environment.
        task: String,
        /// Units needed.
        expected: usize,
        /// What they stand for.
        units: &'static str,
        /// What the network has.
        found: String,
    },
    /// No episodes.
    #[error("{0} without episodes: give at least one")]
    Empty(&'static str),
    /// A candidate that cannot be evaluated.
    #[error("objective `{objective}`: {why}")]
    Job {
        /// Objective.
        objective: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// A search was told something that cannot be a fitness.
    #[error("generation {generation}: {why}")]
    Fitness {
        /// Generation, from 0.
        generation: u64,
        /// What, and what to do.
        why: String,
    },
    /// Saved by another loop.
    #[error("the checkpoint does not fit: {0}")]
    Checkpoint(String),
}

/// `Ok` if the option is as it must be.
pub(crate) fn check(ok: bool, of: &'static str, name: &'static str, found: impl ToString, wanted: &'static str) -> Result<(), ArchError> {
    if ok { Ok(()) } else { Err(ArchError::Option { of, name, found: found.to_string(), wanted }) }
}

/// Checks that `engine` has one input of `inputs` channels and one graded output of `outputs` units; returns the population of the output.
pub(crate) fn shape<F: Scalar>(
    engine: &Clocked<F>,
    task: &str,
    inputs: usize,
    outputs: usize,
    units: &'static str,
) -> Result<usize, ArchError> {
    heard(engine, task, inputs)?;
    let draft = engine.network().draft();
    match engine.outputs() {
        &[p] if !engine.cells()[p].spikes() && engine.cells()[p].size() == outputs => Ok(p),
        list => {
            let each = list.iter().map(|&p| &draft.populations[p]).map(|p| format!("`{}` ({}) of {}", p.name, p.model.name(), p.size));
            let found = each.collect::<Vec<_>>().join(", ");
            Err(ArchError::Output { task: task.into(), expected: outputs, units, found })
        }
    }
}

/// Checks that `engine` has one input of `inputs` channels.
pub(crate) fn heard<F: Scalar>(engine: &Clocked<F>, task: &str, inputs: usize) -> Result<(), ArchError> {
    let found = &engine.network().draft().inputs;
    if found.len() == 1 && found[0].size == inputs {
        return Ok(());
    }
    let sizes: Vec<String> = found.iter().map(|i| format!("`{}` of {}", i.name, i.size)).collect();
    Err(ArchError::Inputs { task: task.into(), expected: inputs, found: sizes.join(", ") })
}
