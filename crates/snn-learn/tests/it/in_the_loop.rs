//! Training with a device in the loop.

use crate::stripes;
use rand::RngExt;
use snn_core::net::{Connect, Init};
use snn_core::neuron::{Alif, Li, Lif, Relu};
use snn_core::{Net, Network, Raster, Seed, Surrogate, Trials, ms};
use snn_learn::{
    Bptt, DeepR, Eprop, Form, GradR, LearnedSignals, Loss, Optimiser, Options, Over, Rule, SparseBptt, Stats, Structure, TrainError,
    Trainer,
};
use snn_sparse::{Costs, Device, DeviceError, Ideal};

fn data() -> Trials {
    stripes::stripes(60)
}

/// Of all kinds of links; those from `a` to `b` have delays of their own.
fn network() -> Network {
    Net::new(ms(1.0))
        .input("in", 30)
        .population("a", 70, Lif::default())
        .population("b", 20, Alif::default())
        .refractory(ms(2.0))
        .population("rates", 10, Relu {})
        .population("out", 3, Li::default())
        .project("in", "a", Connect::All, Init::normal(0.5))
        .project("a", "b", Connect::Random { p: 0.5 }, Init::normal(0.5))
        .delays(0.0, ms(2.0))
        .project("b", "b", Connect::All, Init::normal(0.2))
        .delay(ms(2.0))
        .project("a", "rates", Connect::All, Init::normal(0.2))
        .project("rates", "out", Connect::All, Init::normal(0.2))
        .project("b", "out", Connect::All, Init::normal(0.5))
        .population("generator", 10, Lif::default())
        .population("signals", 20, Li::default())
        .project("in", "generator", Connect::All, Init::normal(0.4))
        .project("generator", "signals", Connect::All, Init::normal(0.2))
        .output("out")
        .build(Seed::new(2))
        .unwrap()
}

fn trainer(rule: Box<dyn Rule<f32>>) -> Trainer {
    let options = Options { batch: 20, ..Options::new(Loss::CrossEntropy(Over::Mean), Seed::new(1)) };
    Trainer::new(&network(), rule, Optimiser::adam(5e-3), options).unwrap()
}

fn rules() -> Vec<Box<dyn Rule<f32>>> {
    let eprop = Eprop { feedback: snn_learn::Feedback::Random { std: 1.0, seed: Seed::new(3) }, ..Eprop::default() };
    let online = Eprop { form: Form::Online { window: 7 }, ..eprop.clone() };
    let dense = Bptt::new(SparseBptt::default().surrogate);
    vec![Box::new(SparseBptt::default()), Box::new(eprop), Box::new(online), Box::new(dense), Box::new(LearnedSignals::new("b", "signals"))]
}

/// Without the seconds, which differ from run to run.
fn plain(stats: &Stats) -> Stats {
    Stats { forward_s: 0.0, backward_s: 0.0, ..stats.clone() }
}

/// An ideal device that loses every tenth spike on its way back, others in every trial.
struct Lossy(Ideal, Vec<Raster>);

impl Device for Lossy {
    fn network(&self) -> &Network {
        self.0.network()
    }
    fn again(&self) -> Box<dyn Device> {
        // The weights are all there is to copy.
        let mut other = Ideal::new(self.0.network());
        let mut from = self.0.again();
        (0..self.0.network().draft().projections.len()).for_each(|k| other.write(k, &from.read(k).unwrap()).unwrap());
        Box::new(Lossy(other, Vec::new()))
    }
    fn begin(&mut self, steps: usize, trial: Seed) {
        self.0.begin(steps, trial);
    }
    fn advance(&mut self, until: usize, inputs: &[&Raster]) -> Result<(), DeviceError> {
        self.0.advance(until, inputs)
    }
    fn run(&mut self, inputs: &[&Raster], trial: Seed) -> Result<(), DeviceError> {
        self.0.run(inputs, trial)?;
        let mut rng = trial.rng();
        self.1 = (0..2).map(|p| self.0.spikes(p).clone()).collect();
        for raster in &mut self.1 {
            let kept: Vec<_> = raster.iter().filter(|_| !rng.random_bool(0.1)).map(|(t, u)| (t as u32, u)).collect();
            raster.fill(kept);
        }
        Ok(())
    }
    fn spikes(&self, p: usize) -> &Raster {
        self.1.get(p).unwrap_or(self.0.spikes(p))
    }
    fn output(&self, _: usize, _: usize, _: usize) -> Option<f64> {
        None
    }
    fn write(&mut self, k: usize, weights: &[f32]) -> Result<(), DeviceError> {
        self.0.write(k, weights)
    }
    fn read(&mut self, k: usize) -> Result<Vec<f32>, DeviceError> {
        self.0.read(k)
    }
    fn costs(&self) -> &Costs {
        self.0.costs()
    }
}

/// With a device that is the engine, training in the loop is training: the same weights, figures and answers, bit for bit.
#[test]
fn an_ideal_device_changes_nothing() {
    let data = data();
    for (one, other) in rules().into_iter().zip(rules()) {
        let name = one.name();
        let (mut alone, mut looped) = (trainer(one), trainer(other).with_device(Box::new(Ideal::new(&network())), None).unwrap());
        for _ in 0..3 {
            let (a, b) = (alone.epoch(&data, &|_| ()).unwrap(), looped.epoch(&data, &|_| ()).unwrap());
            assert_eq!(plain(&a), plain(&b));
        }
        assert_eq!(alone.engine().weights(), looped.engine().weights());
        assert_eq!(plain(&alone.evaluate(&data).unwrap()), plain(&looped.evaluate(&data).unwrap()));
        let (costs, runs) = (looped.device_costs().unwrap(), if name == "learned_signals" { 2.0 } else { 1.0 });
        assert!((costs.seconds - (3.0 * runs + 1.0) * 60.0 * 40e-3).abs() < 1e-9, "{name}: {} s", costs.seconds);
    }
}

/// A chip that is the engine gets the links a structural rule chooses: the same weights, links and figures as without it.
#[test]
fn an_ideal_chip_follows_links() {
    fn chip(network: &Network) -> Result<Box<dyn Device>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Box::new(Ideal::new(network)))
    }
    let data = data();
    let structures: [fn() -> Box<dyn Structure>; 2] = [|| Box::new(DeepR::new(1.0)), || Box::new(GradR::new(1.0))];
    for (structure, rule) in structures.into_iter().flat_map(|s| (0..rules().len()).map(move |r| (s, r))) {
        let trainer = || trainer(rules().swap_remove(rule)).with_structure(structure()).unwrap();
        let (mut alone, mut looped) = (trainer(), trainer().with_chip(chip, None).unwrap());
        for _ in 0..3 {
            let (a, b) = (alone.epoch(&data, &|_| ()).unwrap(), looped.epoch(&data, &|_| ()).unwrap());
            assert_eq!(plain(&a), plain(&b));
            assert!(a.turnover.iter().any(|t| t.pruned > 0), "nothing to follow");
        }
        assert_eq!(alone.network().unwrap(), looped.network().unwrap());
        assert_eq!(plain(&alone.evaluate(&data).unwrap()), plain(&looped.evaluate(&data).unwrap()));
        let runs = if rule == 4 { 2.0 } else { 1.0 };
        assert!((looped.device_costs().unwrap().seconds - (3.0 * runs + 1.0) * 60.0 * 40e-3).abs() < 1e-9);
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let data = data();
    let train = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let device = Box::new(Lossy(Ideal::new(&network()), Vec::new()));
            let mut trainer = trainer(Box::new(SparseBptt::default())).with_device(device, Some(1.0)).unwrap();
            let stats: Vec<Stats> = (0..3).map(|_| plain(&trainer.epoch(&data, &|_| ()).unwrap())).collect();
            (stats, plain(&trainer.evaluate(&data).unwrap()), trainer.engine().weights(), trainer.device_costs().unwrap())
        })
    };
    let one = train(1);
    assert_eq!(one, train(3));
    assert!(one.0[2].loss < one.0[0].loss, "it learns from what is left: {} and {}", one.0[0].loss, one.0[2].loss);
    // Nothing that can be written is exceeded.
    for (weights, p) in one.2.iter().zip(&network().draft().projections) {
        let largest = |list: &[f32]| list.iter().fold(0.0f32, |m, w| m.max(w.abs()));
        assert!(largest(weights) <= largest(p.weights.given()));
    }
}

#[test]
fn what_cannot_be_in_the_loop_is_refused() {
    let device = || Box::new(Ideal::new(&network()));
    let refused = |trainer: Result<Trainer, TrainError>| trainer.err().map_or(String::new(), |e| e.to_string());
    let smooth = Bptt { smooth: true, ..Bptt::new(Surrogate::triangle(1.0, 1.0)) };
    let soft = Lif { reset_grad: 1.0.into(), ..Lif::default() };
    let net = Net::new(ms(1.0)).input("in", 3).population("a", 4, soft).population("out", 2, Li::default());
    let net = net.project("in", "a", Connect::All, Init::normal(1.0)).project("a", "out", Connect::All, Init::normal(1.0));
    let small = net.output("out").build(Seed::new(0)).unwrap();
    let options = Options::new(Loss::CrossEntropy(Over::Each), Seed::new(1));
    let smooth = Trainer::new(&small, smooth, Optimiser::sgd(0.1), options).unwrap();
    let smooth = refused(smooth.with_device(Box::new(Ideal::new(&small)), None));
    assert!(smooth.contains("rule `bptt`") && smooth.contains("take sparse_bptt"), "{smooth}");
    let other = refused(trainer(Box::new(SparseBptt::default())).with_device(Box::new(Ideal::new(&small)), None));
    assert!(other.contains("another network"), "{other}");
    assert!(refused(trainer(Box::new(SparseBptt::default())).with_device(device(), Some(0.0))).contains("must be positive"));
    // A device is built with its links: a structural rule needs the chip.
    let sparse = || trainer(Box::new(SparseBptt::default()));
    assert!(refused(sparse().with_structure(DeepR::new(1e-4)).unwrap().with_device(device(), None)).contains("with_chip"));
    assert!(refused(sparse().with_device(device(), None).unwrap().with_structure(DeepR::new(1e-4))).contains("with_chip"));
    assert_eq!(
        refused(sparse().with_chip(|_| Err("it is broken".into()), None)),
        "the chip in the loop does not take the network: it is broken"
    );
    let mut looped = trainer(Box::new(SparseBptt::default())).with_device(device(), None).unwrap();
    let saved = looped.checkpoint();
    assert!(looped.restore(&saved).unwrap_err().to_string().contains("device in the loop"));
}
