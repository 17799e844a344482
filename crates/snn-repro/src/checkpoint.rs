//! What long work keeps on its way, so that a killed run goes on from there to the same bits.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Interrupt, Lab, LabError};

/// The checkpoint of a piece of work: where it is, what it is of, when to write it.
pub(crate) struct Checkpoint {
    path: PathBuf,
    name: String,
    /// How long the work is: "4 epochs".
    length: String,
    every: Duration,
    saved_at: Instant,
    interrupt: Interrupt,
}

/// As it stands in the file.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    name: String,
    length: String,
    state: T,
}

impl Lab {
    /// The checkpoint of the work called `name`, of so many epochs, iterations, evaluations.
    pub(crate) fn checkpoint_of(&self, folder: &str, name: &str, count: u64, unit: &str) -> Result<Checkpoint, LabError> {
        Ok(Checkpoint {
            path: self.checkpoint(folder)?.join(format!("{}.ckpt", file_name(name))),
            name: name.into(),
            length: format!("{count} {unit}"),
            every: self.checkpoint_every(),
            saved_at: Instant::now(),
            interrupt: self.interrupt().clone(),
        })
    }
}

impl Checkpoint {
    /// What was saved, if there is something.
    ///
    /// # Errors
    /// If it is damaged, or of other work.
    pub(crate) fn load<T: DeserializeOwned>(&self) -> Result<Option<T>, LabError> {
        let kept: Kept<T> = match snn_io::codec::load(&self.path) {
            Err(snn_io::IoError::NotFound { .. }) => return Ok(None),
            other => other.map_err(|cause| self.refused(cause))?,
        };
        if (&kept.name, &kept.length) != (&self.name, &self.length) {
            let Kept { name, length, .. } = kept;
            return Err(self.refused(format!("it is of \"{name}\" with {length}, this is \"{}\" with {}", self.name, self.length)));
        }
        Ok(Some(kept.state))
    }

    /// That it cannot be used.
    pub(crate) fn refused(&self, why: impl ToString) -> LabError {
        LabError::Checkpoint { why: why.to_string().replace(&format!("{}: ", self.path.display()), ""), path: self.path.clone() }
    }

    /// Whether to save now: somebody wants the run to stop, or the last time is long ago.
    pub(crate) fn due(&self) -> bool {
        self.interrupt.requested() || self.saved_at.elapsed() >= self.every
    }

    /// Saves; then the work ends if somebody asked for it.
    ///
    /// # Errors
    /// From the system; [`LabError::Interrupted`].
    pub(crate) fn save<T: Serialize>(&mut self, state: &T) -> anyhow::Result<()> {
        snn_io::codec::save(&self.path, &Kept { name: self.name.clone(), length: self.length.clone(), state })?;
        self.saved_at = Instant::now();
        Ok(self.interrupt.go_on()?)
    }
}

/// What `work` gave when it was done before, or gives now: for results that are kept one by one.
pub(crate) fn once<T: Serialize + DeserializeOwned>(path: &Path, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    match snn_io::codec::load(path) {
        Ok(done) => Ok(done),
        Err(snn_io::IoError::NotFound { .. }) => {
            let done = work()?;
            snn_io::codec::save(path, &done)?;
            Ok(done)
        }
        Err(cause) => Err(LabError::Checkpoint { why: cause.to_string(), path: path.into() }.into()),
    }
}

/// `name` as part of a file name: "Fashion-MNIST sparse, pair" becomes "fashion-mnist-sparse-pair".
pub(crate) fn file_name(name: &str) -> String {
    let plain = name.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', " ");
    plain.split_whitespace().collect::<Vec<_>>().join("-")
}
