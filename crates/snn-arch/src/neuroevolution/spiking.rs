//! Any network of the engine, on trials: a loss that needs no derivative.

use snn_core::{Dataset, Network, Raster, Target};
use snn_learn::Loss;
use snn_sparse::{Block, Clocked, Record, Wants};

use super::Landscape;
use crate::ArchError;

/// The mean loss of a network over trials, as a function of all its weights, in the order of its projections.
///
/// The engine runs in f32, so mutations should be well above the rounding of the weights. Cost of an evaluation: one run of every trial.
pub struct SpikingLandscape<'a> {
    engine: Clocked<f32>,
    loss: Loss,
    trials: Vec<Raster>,
    targets: Vec<Target<'a>>,
}

impl<'a> SpikingLandscape<'a> {
    /// `network`, judged by `loss` on all trials of `data`.
    ///
    /// # Errors
    /// If the loss cannot be taken on the network's output and these data ([`ArchError::Train`]), the network's input is not what the data show
    /// ([`ArchError::Inputs`]), it hears noise of its own, or there are no trials.
    pub fn new(network: &Network, loss: Loss, data: &'a dyn Dataset) -> Result<Self, ArchError> {
        if data.is_empty() {
            return Err(ArchError::Empty("a landscape"));
        }
        let engine = Clocked::compile(network);
        crate::error::heard(&engine, data.name(), data.inputs())?;
        let draft = network.draft();
        let noisy = draft.populations.iter().any(|p| p.escape.is_some()) || !draft.drives.is_empty();
        crate::error::check(
            !noisy,
            "a landscape",
            "noise of the network",
            "some",
            "a network without drives and escape noise: its loss must be a function",
        )?;
        loss.check(&engine, data.name(), data.classes()).map_err(snn_learn::TrainError::from)?;
        let load = |k: usize| {
            let mut raster = Raster::default();
            data.load(k, &mut raster);
            raster
        };
        let (trials, targets) = (0..data.len()).map(|k| (load(k), data.target(k))).unzip();
        Ok(SpikingLandscape { engine, loss, trials, targets })
    }

    /// The weights as they are described: where a run may start.
    pub fn start(&self) -> Vec<f64> {
        self.engine.weights().iter().flatten().map(|&w| f64::from(w)).collect()
    }

    /// Share of right answers with the weights `x`.
    pub fn accuracy(&self, x: &[f64]) -> f64 {
        let (correct, decisions, _) = self.judge(x, &mut self.memory());
        correct as f64 / decisions.max(1) as f64
    }

    /// Right answers, answers, and the sum of the losses.
    fn judge(&self, x: &[f64], memory: &mut Memory) -> (usize, usize, f64) {
        let Memory { engine, record, weights, y, error } = memory;
        let mut left = x;
        for (k, weights) in weights.iter_mut().enumerate() {
            let (here, rest) = left.split_at(weights.len());
            weights.iter_mut().zip(here).for_each(|(w, &x)| *w = x as f32);
            engine.set_weights(k, weights);
            left = rest;
        }
        let output = engine.outputs()[0];
        let mut sum = (0, 0, 0.0);
        for (trial, target) in self.trials.iter().zip(&self.targets) {
            engine.run(&[trial], Wants::Spikes, record);
            record.traces[output].values(y);
            error.resize(y.len(), Block::zero());
            let outcome = self.loss.evaluate(y, engine.cells()[output].size(), *target, 0.0, error);
            sum = (sum.0 + outcome.correct, sum.1 + outcome.decisions, sum.2 + outcome.loss);
        }
        sum
    }
}

/// One thread's engine.
pub struct Memory {
    engine: Clocked<f32>,
    record: Record<f32>,
    weights: Vec<Vec<f32>>,
    y: Vec<Block<f32>>,
    error: Vec<Block<f32>>,
}

impl Landscape for SpikingLandscape<'_> {
    type Memory = Memory;

    fn parameters(&self) -> usize {
        self.engine.weights().iter().map(Vec::len).sum()
    }

    fn memory(&self) -> Memory {
        let engine = Clocked::compile_for(self.engine.network(), self.engine.simd());
        Memory { record: Record::new(&engine), weights: engine.weights(), engine, y: Vec::new(), error: Vec::new() }
    }

    fn loss(&self, x: &[f64], memory: &mut Memory) -> f64 {
        self.judge(x, memory).2 / self.trials.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neuroevolution::{Mutation, Runs};
    use snn_core::net::{Connect, Init};
    use snn_core::neuron::{Li, Lif};
    use snn_core::{Net, Seed, Trials, ms};
    use snn_learn::{Optimiser, Options, Over, SparseBptt, Trainer};

    fn which_channel() -> Trials {
        let mut data = Trials::new("which channel", 2, 20, 2);
        for class in 0..2 {
            let mut spikes = Raster::new(2, 20);
            spikes.fill((0..20).map(|t| (t, class)));
            data.push(spikes, class as usize);
        }
        data
    }

    fn net() -> Network {
        let net = Net::new(ms(1.0)).input("in", 2).population("hidden", 8, Lif::default()).population("out", 2, Li::default());
        let net = net.project("in", "hidden", Connect::All, Init::normal(0.7)).project("hidden", "out", Connect::All, Init::normal(0.5));
        net.output("out").build(Seed::new(1)).unwrap()
    }

    #[test]
    fn its_loss_is_the_trainers() {
        let (data, network, loss) = (which_channel(), net(), Loss::CrossEntropy(Over::Max));
        let landscape = SpikingLandscape::new(&network, loss, &data).unwrap();
        let trainer = Trainer::new(&network, SparseBptt::default(), Optimiser::adam(1e-2), Options::new(loss, Seed::new(1))).unwrap();
        let stats = trainer.evaluate(&data).unwrap();
        let x = landscape.start();
        assert_eq!(x.len(), landscape.parameters());
        assert_eq!(landscape.loss(&x, &mut landscape.memory()), stats.mean_loss());
        assert_eq!(landscape.accuracy(&x), stats.accuracy());
    }

    #[test]
    fn mutations_teach_a_spiking_network_and_no_loss_rises() {
        let (data, network) = (which_channel(), net());
        let landscape = SpikingLandscape::new(&network, Loss::CrossEntropy(Over::Max), &data).unwrap();
        let start = landscape.start();
        let before = landscape.loss(&start, &mut landscape.memory());
        let mut runs = Runs::new(&landscape, &start, 4, Seed::new(2)).unwrap();
        let mut last = before;
        for _ in 0..60 {
            runs.advance(&landscape, &Mutation::new(0.05, f64::INFINITY).unwrap(), 10);
            assert!(runs.loss() <= last);
            last = runs.loss();
        }
        assert!(last < 0.5 * before && runs.each().iter().all(|run| landscape.accuracy(&run.x) == 1.0), "{before} {last}");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let refused = |network: &Network, data: &Trials| {
            SpikingLandscape::new(network, Loss::CrossEntropy(Over::Max), data).err().unwrap().to_string()
        };
        assert!(refused(&net(), &Trials::new("none", 2, 20, 2)).contains("without"));
        let mut wide = Trials::new("wide", 3, 20, 2);
        wide.push(Raster::new(3, 20), 0);
        assert!(refused(&net(), &wide).contains("`wide` shows 3 channels"));
        let mut many = Trials::new("many", 2, 20, 5);
        many.push(Raster::new(2, 20), 4);
        assert!(refused(&net(), &many).contains("2 units for 5 classes"));
    }
}
