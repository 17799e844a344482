//! Training of dense networks inside a paper: early stopping, checkpoints, the weights as a file.

use std::io::Cursor;
use std::time::Instant;

use candle_core::{Tensor, backprop::GradStore};
use ndarray::ArrayView;
use ndarray_npy::NpzWriter;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use snn_core::Seed;

use super::auc::mean_auc;
use super::net::{Dropout, Net, NetError, Weights};
use super::ops::{cross_entropy, floats};
use crate::Lab;

/// Tagged pictures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tagged {
    /// `[pictures × bands × frames]`.
    pub pictures: Vec<f32>,
    /// `[pictures × tags]`.
    pub tags: Vec<bool>,
    /// Tags of a picture.
    pub count: usize,
}

impl Tagged {
    /// How many pictures.
    pub fn len(&self) -> usize {
        self.tags.len() / self.count.max(1)
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Pictures and targets of these indices, one after the other.
    fn batch(&self, indices: &[usize]) -> (Vec<f32>, Vec<f32>) {
        let each = self.pictures.len() / self.len().max(1);
        let pictures = indices.iter().flat_map(|&i| &self.pictures[i * each..(i + 1) * each]).copied().collect();
        let tags = indices.iter().flat_map(|&i| &self.tags[i * self.count..(i + 1) * self.count]);
        (pictures, tags.map(|tag| f32::from(u8::from(*tag))).collect())
    }
}

/// How to train.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Learning rate of Adam (Kingma and Ba 2015; 0.9, 0.999, 10⁻⁸).
    pub rate: f64,
    /// Pictures of a batch, at least 2.
    pub batch: usize,
    /// Epochs at most.
    pub epochs: usize,
    /// Epochs without a better validation AUC after which training ends.
    pub patience: usize,
    /// What is left out while learning.
    pub dropout: Dropout,
    /// Order of pictures, and dropout.
    pub seed: Seed,
}

/// What an epoch gave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DenseEpoch {
    /// Mean cross-entropy over its batches.
    pub loss: f64,
    /// AUC on the validation pictures, mean over tags; NaN if no tag has both classes.
    pub validation: f64,
}

/// How a training went; the network holds the weights of the epoch with the best validation AUC.
#[derive(Clone, Debug)]
pub struct DenseTraining {
    /// Every epoch.
    pub history: Vec<DenseEpoch>,
    /// Seconds of learning per 1,000 pictures: forward, backward, update; of this part of the run, NaN if it learned nothing.
    pub seconds: f64,
}

/// Moments of the gradient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Adam {
    updates: u64,
    first: Vec<Vec<f32>>,
    second: Vec<Vec<f32>>,
}

/// Where a training stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct State {
    /// Batches of the present epoch that are done, and the sum of their losses.
    batches: usize,
    loss: f64,
    weights: Weights,
    adam: Adam,
    history: Vec<DenseEpoch>,
    best: Option<(f64, Weights)>,
}

/// Share of the old moments that stays in the running ones after a batch.
const KEPT: f32 = 0.9;

impl Adam {
    fn new(weights: &Weights) -> Self {
        let zeros = || weights.values.iter().map(|w| vec![0.0; w.len()]).collect();
        Adam { updates: 0, first: zeros(), second: zeros() }
    }

    /// One update of every parameter.
    fn step(&mut self, net: &Net, grads: &GradStore, rate: f64) -> Result<(), NetError> {
        self.updates += 1;
        let n = self.updates.min(i32::MAX as u64) as i32;
        let scale = (rate * (1.0 - 0.999f64.powi(n)).sqrt() / (1.0 - 0.9f64.powi(n))) as f32;
        for (((_, var), first), second) in net.parameters().iter().zip(&mut self.first).zip(&mut self.second) {
            let Some(grad) = grads.get(var) else { continue };
            let (mut values, grad) = (floats(var)?, floats(grad)?);
            for (((w, g), m), v) in values.iter_mut().zip(grad).zip(first.iter_mut()).zip(second.iter_mut()) {
                *m += 0.1 * (g - *m);
                *v += 0.001 * (g * g - *v);
                *w -= scale * *m / (v.sqrt() + 1e-8);
            }
            var.set(&Tensor::from_vec(values, var.shape(), var.device())?)?;
        }
        Ok(())
    }
}

impl Lab {
    /// Trains until the validation AUC has not grown for [`Options::patience`] epochs, and leaves `net` with the weights of the best one. `name` names the
    /// training within the paper: with `--resume` it goes on from its last checkpoint, to the same weights. These become a file of the result, one array per
    /// parameter, and `MEAN` and `VARIANCE` of every batch norm.
    ///
    /// # Errors
    /// [`NetError::Size`] for pictures or tags that do not fit the network; a checkpoint that cannot be used; [`LabError::Interrupted`](crate::LabError::Interrupted).
    pub fn train_dense(
        &mut self,
        name: &str,
        net: &mut Net,
        options: &Options,
        train: &Tagged,
        validation: &Tagged,
    ) -> anyhow::Result<DenseTraining> {
        let mut checkpoint = self.checkpoint_of("training", name, options.epochs as u64, "epochs")?;
        check(net, train, options)?;
        let mut state = State::new(net)?;
        if let Some(saved) = checkpoint.load::<State>()? {
            saved.restore(net).map_err(|why| checkpoint.refused(why))?;
            state = saved;
        }
        let progress = self.progress(name, (options.epochs * train.len()) as u64);
        progress.resume_at((state.history.len() * train.len() + state.batches * options.batch) as u64);
        let (mut seconds, mut learned) = (0.0, 0);
        while !state.ended(options) {
            let order = order(train.len(), options.seed, state.history.len());
            while let Some(batch) = order.chunks(options.batch).nth(state.batches) {
                let begun = Instant::now();
                // A last batch of one has no variance.
                if batch.len() > 1 {
                    state.learn(net, options, train, batch)?;
                }
                state.batches += 1;
                (seconds, learned) = (seconds + begun.elapsed().as_secs_f64(), learned + batch.len());
                progress.inc(batch.len() as u64);
                if checkpoint.due() {
                    state.weights = net.weights()?;
                    checkpoint.save(&state)?;
                }
            }
            let epoch = state.end_epoch(net, train.len().div_ceil(options.batch), validation)?;
            progress.message(format!("loss {:.4}, validation AUC {:.4}", epoch.loss, epoch.validation));
        }
        state.weights = net.weights()?;
        checkpoint.save(&state)?;
        if let Some((_, best)) = &state.best {
            net.set_weights(best)?;
        }
        self.keep_file(name, state.history.len(), &npz(net)?)?;
        Ok(DenseTraining { history: state.history, seconds: 1000.0 * seconds / if learned > 0 { learned as f64 } else { f64::NAN } })
    }
}

/// The pictures in the order of an epoch.
fn order(count: usize, seed: Seed, epoch: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut seed.child("order").nth(epoch as u64).rng());
    order
}

fn check(net: &Net, data: &Tagged, options: &Options) -> Result<(), NetError> {
    let plan = net.plan();
    let expected = data.len() * plan.bands * plan.frames;
    if data.is_empty() || data.count != plan.tags || data.pictures.len() != expected {
        let what = format!("{} pictures with {} tags for a network with {}", data.len(), data.count, plan.tags);
        return Err(NetError::Size { what, found: data.pictures.len(), expected: format!("{expected}, and some") });
    }
    if options.batch < 2 {
        return Err(NetError::Size { what: "pictures of a batch".into(), found: options.batch, expected: "2 or more".into() });
    }
    Ok(())
}

impl State {
    fn new(net: &Net) -> Result<State, NetError> {
        let weights = net.weights()?;
        let adam = Adam::new(&weights);
        Ok(State { batches: 0, loss: 0.0, weights, adam, history: Vec::new(), best: None })
    }

    /// Puts `net` where this was saved, or says why it cannot.
    fn restore(&self, net: &mut Net) -> Result<(), String> {
        net.set_weights(&self.weights).map_err(|cause| cause.to_string())?;
        let sizes = |lists: &[Vec<f32>]| lists.iter().map(Vec::len).collect::<Vec<_>>();
        let values = sizes(&self.weights.values);
        if sizes(&self.adam.first) != values || sizes(&self.adam.second) != values {
            return Err("its moments do not fit its weights".into());
        }
        Ok(())
    }

    fn ended(&self, options: &Options) -> bool {
        let best = (0..self.history.len()).rev().max_by(|&a, &b| self.history[a].validation.total_cmp(&self.history[b].validation));
        let waited = best.map_or(0, |best| self.history.len() - 1 - best);
        self.history.len() >= options.epochs || waited >= options.patience.max(1)
    }

    fn learn(&mut self, net: &mut Net, options: &Options, train: &Tagged, batch: &[usize]) -> Result<(), NetError> {
        let (pictures, targets) = train.batch(batch);
        let (logits, moments) = net.learn(&pictures, options.dropout, options.seed.child("dropout").nth(self.adam.updates))?;
        let loss = cross_entropy(&logits, targets)?;
        self.loss += f64::from(loss.to_scalar::<f32>()?);
        self.adam.step(net, &loss.backward()?, options.rate)?;
        net.follow(&moments, 1.0 - KEPT);
        Ok(())
    }

    fn end_epoch(&mut self, net: &Net, batches: usize, validation: &Tagged) -> Result<DenseEpoch, NetError> {
        let logits = net.logits(&validation.pictures)?;
        let auc = mean_auc(&logits, &validation.tags, validation.count, 0..validation.count).unwrap_or(f64::NAN);
        let epoch = DenseEpoch { loss: self.loss / batches.max(1) as f64, validation: auc };
        self.history.push(epoch);
        (self.batches, self.loss) = (0, 0.0);
        if self.best.as_ref().is_none_or(|(best, _)| auc > *best) {
            self.best = Some((auc, net.weights()?));
        }
        Ok(epoch)
    }
}

/// Weights and moments as the bytes of an uncompressed `.npz`.
fn npz(net: &Net) -> anyhow::Result<Vec<u8>> {
    let mut file = NpzWriter::new(Cursor::new(Vec::new()));
    for (name, var) in net.parameters() {
        let numbers = floats(var)?;
        file.add_array(name, &ArrayView::from_shape(var.dims(), &numbers)?)?;
    }
    for (k, moments) in net.weights()?.moments.iter().enumerate() {
        file.add_array(format!("norm{k}_mean"), &ArrayView::from(&moments.mean))?;
        file.add_array(format!("norm{k}_variance"), &ArrayView::from(&moments.variance))?;
    }
    Ok(file.finish()?.into_inner())
}
