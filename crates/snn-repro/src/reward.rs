//! Learning by reward inside a paper: episodes in closed loop with progress, a learning curve and checkpoints from which a killed run goes on.

use snn_arch::meta_rl::{Iteration, MetaRl, Saved};
use snn_data::Environment;

use crate::Lab;

impl Lab {
    /// Runs `agent` for `iterations` iterations, each of its episodes and updates, and returns how each went. `name` names the training within the paper: with
    /// `--resume` it goes on from its last checkpoint, to the same weights as without interruption. These become a file of the result, see
    /// [`Training`](crate::Training).
    ///
    /// # Errors
    /// What [`MetaRl::iteration`] reports; a checkpoint that cannot be written, is damaged or of another training;
    /// [`LabError::Interrupted`](crate::LabError::Interrupted) if the run is asked to stop: after the present iteration and a checkpoint.
    pub fn train_by_reward<E: Environment + Clone + Sync>(
        &mut self,
        name: &str,
        agent: &mut MetaRl<E>,
        iterations: usize,
    ) -> anyhow::Result<Vec<Iteration>> {
        let mut checkpoint = self.checkpoint_of("training", name, iterations as u64, "iterations")?;
        let mut history: Vec<Iteration> = Vec::new();
        if let Some((done, state)) = checkpoint.load::<(_, Saved)>()? {
            agent.restore(&state).map_err(|cause| checkpoint.refused(cause))?;
            history = done;
        }
        let progress = self.progress(name, iterations as u64);
        progress.resume_at(history.len() as u64);
        while history.len() < iterations {
            let iteration = agent.iteration()?;
            progress.inc(1);
            progress.message(format!("reward {:.3} per episode", iteration.reward));
            history.push(iteration);
            if checkpoint.due() || history.len() == iterations {
                checkpoint.save(&(&history, agent.save()))?;
            }
        }
        drop(progress);
        self.keep_weights(name, iterations, agent.trainer())?;
        Ok(history)
    }
}
