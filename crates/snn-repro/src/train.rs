//! Training inside a paper: epochs with progress, a learning curve, and a checkpoint after each, so that a killed run goes on.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use snn_core::Dataset;
use snn_learn::{Checkpoint, Stats, Trainer};

use crate::Lab;

/// Time between two checkpoints, at least.
const EVERY: Duration = Duration::from_secs(10);

/// What one epoch of training gave. Fractions are 0…1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Mean training loss, without regularisers.
    pub loss: f64,
    /// Training accuracy, while learning.
    pub accuracy: f64,
    /// Share of neuron-steps with a derivative, per population.
    pub active: Vec<f64>,
    /// Share of neuron-steps with a spike, per population.
    pub spikes: Vec<f64>,
    /// Multiply-accumulates on weights in backward passes.
    pub macs_backward: u64,
    /// Accuracy on the held-out data given for the curve, if any.
    pub held_out: Option<f64>,
    /// What [`Lab::train_with`] was asked to measure after the epoch.
    pub measured: Option<f64>,
}

/// What is kept of a run of [`Lab::train`].
#[derive(Serialize, Deserialize)]
struct Saved {
    epochs: usize,
    history: Vec<Epoch>,
    trainer: Checkpoint,
}

impl Epoch {
    fn new(stats: &Stats) -> Self {
        let populations = 0..stats.entries.len();
        Epoch {
            loss: stats.mean_loss(),
            accuracy: stats.accuracy(),
            active: populations.clone().map(|p| stats.active_fraction(p)).collect(),
            spikes: populations.map(|p| stats.spike_fraction(p)).collect(),
            macs_backward: stats.macs_backward,
            held_out: None,
            measured: None,
        }
    }
}

impl Lab {
    /// Trains for `epochs` epochs on `data` and returns what each gave. `name` names the run within the paper: with `--resume` it goes on
    /// from its last checkpoint, to the same weights as without interruption.
    ///
    /// `held_out` is evaluated every few epochs and after the last one, for the learning curve; nothing is chosen by it.
    ///
    /// # Errors
    /// What [`Trainer::epoch`] reports; a checkpoint that cannot be written, or is not one of this run.
    pub fn train(
        &mut self,
        name: &str,
        trainer: &mut Trainer,
        epochs: usize,
        data: &dyn Dataset,
        held_out: Option<&dyn Dataset>,
    ) -> anyhow::Result<Vec<Epoch>> {
        self.train_with(name, trainer, epochs, data, held_out, |_| Ok(None))
    }

    /// As [`Lab::train`], and keeps what `measure` finds after every epoch in the history, which survives an interruption.
    ///
    /// # Errors
    /// As [`Lab::train`], and what `measure` reports.
    pub fn train_with(
        &mut self,
        name: &str,
        trainer: &mut Trainer,
        epochs: usize,
        data: &dyn Dataset,
        held_out: Option<&dyn Dataset>,
        mut measure: impl FnMut(&Trainer) -> anyhow::Result<Option<f64>>,
    ) -> anyhow::Result<Vec<Epoch>> {
        let path = self.checkpoint("training")?.join(format!("{name}.ckpt"));
        let mut history: Vec<Epoch> = Vec::new();
        if path.exists() {
            let saved: Saved = snn_io::codec::load(&path)?;
            anyhow::ensure!(
                saved.epochs == epochs,
                "{} is of a run of {} epochs, not {epochs}; start again without --resume",
                path.display(),
                saved.epochs
            );
            trainer.restore(&saved.trainer)?;
            history = saved.history;
        }
        let progress = self.progress(name, (epochs * data.len()) as u64);
        progress.resume_at((history.len() * data.len()) as u64);
        let every = (epochs / 20).max(1);
        let mut saved_at = Instant::now();
        while history.len() < epochs {
            let done = std::cell::Cell::new(0);
            let stats = trainer.epoch(data, &|n| progress.inc((n - done.replace(n)) as u64))?;
            let mut epoch = Epoch::new(&stats);
            let last = history.len() + 1 == epochs;
            if let Some(held_out) = held_out.filter(|_| last || (history.len() + 1).is_multiple_of(every)) {
                epoch.held_out = Some(trainer.evaluate(held_out)?.accuracy());
            }
            let active: Vec<String> = epoch.active.iter().map(|a| format!("{:.2}", 100.0 * a)).collect();
            let held = epoch.held_out.map_or(String::new(), |a| format!(", held out {:.2} %", 100.0 * a));
            progress.message(format!("loss {:.4}, {:.2} %{held}, active {} %", epoch.loss, 100.0 * epoch.accuracy, active.join(" ")));
            epoch.measured = measure(trainer)?;
            history.push(epoch);
            if last || saved_at.elapsed() >= EVERY {
                snn_io::codec::save(&path, &Saved { epochs, history: history.clone(), trainer: trainer.checkpoint() })?;
                saved_at = Instant::now();
            }
        }
        Ok(history)
    }
}

/// The mean over epochs of the share of active entries in population `p`.
pub fn mean_active(history: &[Epoch], p: usize) -> f64 {
    history.iter().map(|e| e.active[p]).sum::<f64>() / history.len() as f64
}
