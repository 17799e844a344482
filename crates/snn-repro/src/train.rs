//! Training inside a paper: epochs with progress, a learning curve, checkpoints from which a killed run goes on, and the weights as a file.

use std::io::Cursor;
use std::ops::ControlFlow;

use ndarray::ArrayView;
use ndarray_npy::NpzWriter;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use snn_core::net::Links;
use snn_core::stats::mean;
use snn_core::{Dataset, Network, Raster};
use snn_learn::{Stats, Trainer, Turnover};
use snn_sparse::{Clocked, Wants};

use crate::Lab;
use crate::checkpoint::file_name;

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
    /// What a structural rule did, per projection; empty without one.
    #[serde(default)]
    pub turnover: Vec<Turnover>,
    /// Accuracy on the held-out data given for the curve, if any.
    pub held_out: Option<f64>,
    /// What [`Lab::train_with`] was asked to measure after the epoch.
    pub measured: Option<f64>,
}

/// A training of the run and the file of its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Its name within the paper.
    pub name: String,
    /// Epochs trained.
    pub epochs: usize,
    /// File beside the result with the weights after them: for NumPy, one array `K_FROM_TO` per projection `K` from 0, of shape
    /// (sources, targets) where every source reaches every target, and else one weight per link, source by source. Links that a structural
    /// rule has replaced are beside them: `K_FROM_TO_links`, a row (source, target) per link. Of a dense baseline: one array per parameter.
    pub weights: String,
    /// SHA-256 of that file. Weights of the same bits make a file of the same bytes.
    pub sha256: String,
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
            turnover: stats.turnover.clone(),
            held_out: None,
            measured: None,
        }
    }
}

impl Lab {
    /// Trains for `epochs` epochs on `data` and returns what each gave. `name` names the training within the paper: with `--resume` it goes
    /// on from its last checkpoint, to the same weights as without interruption. These become a file of the result, see [`Training`].
    ///
    /// `held_out` is evaluated every few epochs and after the last one, for the learning curve; nothing is chosen by it.
    ///
    /// # Errors
    /// What [`Trainer::epoch`] reports; a checkpoint that cannot be written, is damaged or of another training;
    /// [`LabError::Interrupted`](crate::LabError::Interrupted) if the run is asked to stop: after the present batch and a checkpoint.
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
        measure: impl FnMut(&Trainer) -> anyhow::Result<Option<f64>>,
    ) -> anyhow::Result<Vec<Epoch>> {
        let whole = |_| -> anyhow::Result<Box<dyn Dataset + '_>> { Ok(Box::new(data)) };
        self.train_drawn(name, trainer, epochs, whole, held_out, measure)
    }

    /// As [`Lab::train_with`], on other trials in every epoch: `draw` gives those of epoch 0, 1, … It must be a function of that number alone, and
    /// always give as many: then a resumed training meets the same trials.
    ///
    /// # Errors
    /// As [`Lab::train_with`], and what `draw` reports.
    pub fn train_drawn<'a>(
        &mut self,
        name: &str,
        trainer: &mut Trainer,
        epochs: usize,
        draw: impl FnMut(usize) -> anyhow::Result<Box<dyn Dataset + 'a>>,
        held_out: Option<&dyn Dataset>,
        measure: impl FnMut(&Trainer) -> anyhow::Result<Option<f64>>,
    ) -> anyhow::Result<Vec<Epoch>> {
        self.train_watched(name, trainer, epochs, draw, held_out, measure, |_, _| Ok(()))
    }

    /// As [`Lab::train_drawn`]; `watch` sees the history so far, after every epoch and when a training goes on.
    pub(crate) fn train_watched<'a>(
        &mut self,
        name: &str,
        trainer: &mut Trainer,
        epochs: usize,
        mut draw: impl FnMut(usize) -> anyhow::Result<Box<dyn Dataset + 'a>>,
        held_out: Option<&dyn Dataset>,
        mut measure: impl FnMut(&Trainer) -> anyhow::Result<Option<f64>>,
        mut watch: impl FnMut(&mut Lab, &[Epoch]) -> anyhow::Result<()>,
    ) -> anyhow::Result<Vec<Epoch>> {
        let mut checkpoint = self.checkpoint_of("training", name, epochs as u64, "epochs")?;
        let mut history: Vec<Epoch> = Vec::new();
        if let Some((done, state)) = checkpoint.load()? {
            trainer.restore(&state).map_err(|cause| checkpoint.refused(cause))?;
            history = done;
            watch(self, &history)?;
        }
        let mut data = draw(history.len())?;
        let progress = self.progress(name, (epochs * data.len()) as u64);
        let mut shown = trainer.trials();
        progress.resume_at((history.len() * data.len() + shown) as u64);
        let every = (epochs / 20).max(1);
        while history.len() < epochs {
            let stats = trainer.epoch_or_pause(&*data, &mut |done| {
                progress.inc((done - std::mem::replace(&mut shown, done)) as u64);
                if checkpoint.due() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            let paused = stats.is_none();
            if let Some(stats) = stats {
                shown = 0;
                let mut epoch = Epoch::new(&stats);
                let number = history.len() + 1;
                if let Some(held_out) = held_out.filter(|_| number == epochs || number.is_multiple_of(every)) {
                    epoch.held_out = Some(trainer.evaluate(held_out)?.accuracy());
                }
                let active: Vec<String> = epoch.active.iter().map(|a| format!("{:.2}", 100.0 * a)).collect();
                let held = epoch.held_out.map_or(String::new(), |a| format!(", held out {:.2} %", 100.0 * a));
                progress.message(format!("loss {:.4}, {:.2} %{held}, active {} %", epoch.loss, 100.0 * epoch.accuracy, active.join(" ")));
                epoch.measured = measure(trainer)?;
                history.push(epoch);
                watch(self, &history)?;
                if number < epochs {
                    data = draw(number)?;
                }
            }
            if paused || checkpoint.due() || history.len() == epochs {
                checkpoint.save(&(&history, trainer.checkpoint()))?;
            }
        }
        self.keep_weights(name, epochs, trainer)?;
        Ok(history)
    }

    /// Makes the weights a file of the result.
    pub(crate) fn keep_weights(&mut self, name: &str, epochs: usize, trainer: &Trainer) -> anyhow::Result<()> {
        self.keep_file(name, epochs, &npz(trainer)?)
    }

    /// Makes the bytes of a `.npz` with weights a file of the result.
    pub(crate) fn keep_file(&mut self, name: &str, epochs: usize, bytes: &[u8]) -> anyhow::Result<()> {
        let weights = format!("{}.npz", file_name(name));
        self.attach(&weights, bytes)?;
        let sha256 = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        self.trained(Training { name: name.into(), epochs, weights, sha256 });
        Ok(())
    }
}

/// The weights as the bytes of an uncompressed `.npz`, see [`Training::weights`].
fn npz(trainer: &Trainer) -> anyhow::Result<Vec<u8>> {
    let draft = trainer.engine().network().draft();
    let now = trainer.network()?;
    let mut file = NpzWriter::new(Cursor::new(Vec::new()));
    for (k, (projection, weights)) in draft.projections.iter().zip(trainer.engine().weights()).enumerate() {
        let targets = draft.populations.iter().find(|population| population.name == projection.to).map_or(1, |population| population.size);
        let shape = match projection.links {
            Links::All => vec![weights.len() / targets.max(1), targets],
            _ => vec![weights.len()],
        };
        let name = format!("{k}_{}_{}", projection.from, projection.to);
        file.add_array(&name, &ArrayView::from_shape(shape, &weights)?)?;
        let links = &now.draft().projections[k].links;
        if *links != projection.links {
            let pairs: Vec<u32> = links.triplets(now.size(&projection.from), targets).flat_map(|(i, j, _)| [i as u32, j as u32]).collect();
            file.add_array(format!("{name}_links"), &ArrayView::from_shape((pairs.len() / 2, 2), &pairs)?)?;
        }
    }
    Ok(file.finish()?.into_inner())
}

/// The mean over epochs of the share of active entries in population `p`.
pub fn mean_active(history: &[Epoch], p: usize) -> f64 {
    mean(history.iter().map(|e| e.active[p]))
}

/// Spikes of population `p` in the first trial of `data`.
pub(crate) fn first_spikes(net: &Network, data: &dyn Dataset, p: usize) -> Raster {
    Clocked::<f32>::compile(net).trial(data, 0, Wants::Spikes).1.spikes.swap_remove(p)
}

/// Accuracy on the held-out data after the last epoch, in percent; not a number if there is none.
pub(crate) fn accuracy(history: &[Epoch]) -> f64 {
    100.0 * history.last().and_then(|e| e.held_out).unwrap_or(f64::NAN)
}

/// By how much the number of links, all projections together, varied over the ends of all epochs, and of `start` before them.
pub(crate) fn links_varied(start: Option<usize>, history: &[Epoch]) -> f64 {
    let live = || history.iter().map(|e| e.turnover.iter().map(|t| t.live).sum::<u64>()).chain(start.map(|links| links as u64));
    (live().max().unwrap_or(0) - live().min().unwrap_or(0)) as f64
}
