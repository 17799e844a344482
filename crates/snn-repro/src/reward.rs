//! Learning by reward inside a paper: episodes in closed loop with progress, a learning curve and checkpoints from which a killed run goes on.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use snn_arch::meta_rl::{Iteration, MetaRl, Saved};
use snn_data::Environment;

use crate::train::file_name;
use crate::{Lab, LabError};

/// What is kept of a run of [`Lab::train_by_reward`].
#[derive(Serialize, Deserialize)]
struct Kept {
    name: String,
    iterations: usize,
    history: Vec<Iteration>,
    state: Saved,
}

impl Lab {
    /// Runs `agent` for `iterations` iterations, each of its episodes and updates, and returns how each went. `name` names the training within the paper: with
    /// `--resume` it goes on from its last checkpoint, to the same weights as without interruption. These become a file of the result, see
    /// [`Training`](crate::Training).
    ///
    /// # Errors
    /// What [`MetaRl::iteration`] reports; a checkpoint that cannot be written, is damaged or of another training; [`LabError::Interrupted`] if the run is
    /// asked to stop: after the present iteration and a checkpoint.
    pub fn train_by_reward<E: Environment + Clone + Sync>(
        &mut self,
        name: &str,
        agent: &mut MetaRl<E>,
        iterations: usize,
    ) -> anyhow::Result<Vec<Iteration>> {
        let path = self.checkpoint("training")?.join(format!("{}.ckpt", file_name(name)));
        let refused = |why: String| LabError::Checkpoint { why: why.replace(&format!("{}: ", path.display()), ""), path: path.clone() };
        let mut history = match snn_io::codec::load::<Kept>(&path) {
            Err(snn_io::IoError::NotFound { .. }) => Vec::new(),
            Err(cause) => return Err(refused(cause.to_string()).into()),
            Ok(kept) if (&*kept.name, kept.iterations) != (name, iterations) => {
                let (theirs, n) = (kept.name, kept.iterations);
                return Err(refused(format!("it is of \"{theirs}\" with {n} iterations, this is \"{name}\" with {iterations}")).into());
            }
            Ok(kept) => {
                agent.restore(&kept.state).map_err(|cause| refused(cause.to_string()))?;
                kept.history
            }
        };
        let progress = self.progress(name, iterations as u64);
        progress.resume_at(history.len() as u64);
        let mut saved_at = Instant::now();
        while history.len() < iterations {
            let iteration = agent.iteration()?;
            progress.inc(1);
            progress.message(format!("reward {:.3} per episode", iteration.reward));
            history.push(iteration);
            let stop = self.interrupt().requested();
            if stop || history.len() == iterations || saved_at.elapsed() >= self.checkpoint_every() {
                let kept = Kept { name: name.into(), iterations, history, state: agent.save() };
                snn_io::codec::save(&path, &kept)?;
                history = kept.history;
                saved_at = Instant::now();
            }
            if stop {
                return Err(LabError::Interrupted.into());
            }
        }
        drop(progress);
        self.keep_weights(name, iterations, agent.trainer())?;
        Ok(history)
    }
}
