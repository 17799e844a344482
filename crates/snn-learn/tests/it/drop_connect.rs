//! DropConnect: the gradient respects the mask, and evaluation knows none.

use crate::common::{distance, random_events};
use snn_core::net::{Connect, Init};
use snn_core::neuron::{Gru, Li, Lif};
use snn_core::{Net, Network, Seed, Surrogate, Trials};
use snn_learn::{Bptt, DeepR, DropConnect, Gradients, Job, Loss, Optimiser, Options, Over, Regulariser, Rule, Trainer};
use snn_sparse::lanes::flat_mut;
use snn_sparse::{Clocked, Synapses};

const LOSS: Loss = Loss::CrossEntropy(Over::Sum);
const WIDE: Surrogate = Surrogate::triangle(0.7, 1.0);

fn network(size: usize) -> Network {
    let mut net = Net::new(1.0).input("in", 3).population("hidden", size, Gru::default()).population("out", 2, Li { tau: 1e-9.into() });
    net = net.project("in", "hidden", Connect::All, Init::normal(0.8)).port("g");
    for port in ["z", "h"] {
        net = net.project("hidden", "hidden", Connect::All, Init::normal(0.8)).port(port).delay(1.0);
    }
    net.project("hidden", "out", Connect::All, Init::normal(1.0)).output("out").build(Seed::new(2)).unwrap()
}

fn trials() -> Trials {
    let mut trials = Trials::new("random", 3, 7, 2);
    (0..8).for_each(|k| trials.push(random_events(3, 7, true, &mut Seed::new(k).rng()), k as usize % 2));
    trials
}

/// Central differences of the loss with the same weights left out.
#[test]
fn the_gradient_respects_the_mask() {
    let (mut engine, data, seed) = (Clocked::<f64>::compile(&network(5)), trials(), Seed::new(4));
    let mut drop = DropConnect::default();
    [1, 2].into_iter().for_each(|k| drop.link(k, 0.4));
    let mut at = |engine: &mut Clocked<f64>| {
        let mut gradients = Gradients::zero(engine);
        drop.leave_out(engine, seed);
        let job = Job { engine, data: &data, loss: LOSS, regulariser: Regulariser::NONE, scale: 1.0, updates: 0, rates: &[] };
        let stats = Rule::<f64>::worker(&Bptt::new(WIDE), engine).learn(&job, &[0, 1, 2], &mut gradients);
        drop.put_back(engine, &mut gradients);
        (gradients.in_order(engine), stats.loss)
    };
    let before = engine.weights();
    let (exact, _) = at(&mut engine);
    assert_eq!(engine.weights(), before);
    let (h, mut numeric) = (1e-3, exact.clone());
    for k in 0..exact.len() {
        for j in 0..exact[k].len() {
            let mut moved = |by: f64| {
                let slot = engine.links()[k].store.slots()[j];
                flat_mut(engine.links_mut()[k].store.weights_mut())[slot] += by;
                let loss = at(&mut engine).1;
                flat_mut(engine.links_mut()[k].store.weights_mut())[slot] -= by;
                loss
            };
            numeric[k][j] = (8.0 * (moved(h) - moved(-h)) - moved(2.0 * h) + moved(-2.0 * h)) / (12.0 * h);
        }
    }
    assert!(distance(&exact, &numeric) < 1e-9, "{:e}", distance(&exact, &numeric));
    let left_out = exact[1].iter().chain(&exact[2]).filter(|g| **g == 0.0).count();
    assert!((10..30).contains(&left_out) && exact[0].iter().chain(&exact[3]).all(|g| *g != 0.0), "{left_out} of 50");
}

fn options() -> Options {
    Options { batch: 4, ..Options::new(LOSS, Seed::new(3)) }
}

fn trainer(p: Option<f64>) -> Trainer {
    let trainer = Trainer::new(&network(30), Bptt::new(WIDE), Optimiser::adam(1e-2), options()).unwrap();
    p.map_or_else(
        || Trainer::new(&network(30), Bptt::new(WIDE), Optimiser::adam(1e-2), options()).unwrap(),
        |p| trainer.with_drop_connect("hidden", "hidden", p).unwrap(),
    )
}

/// Nothing left out is nothing changed; the same bits on any number of threads and after a restart; evaluation leaves nothing out.
#[test]
fn bits() {
    let data = trials();
    let run = |threads: usize, p: Option<f64>, restart: bool| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut now = trainer(p);
            for _ in 0..3 {
                now.epoch(&data, &|_| ()).unwrap();
                if restart {
                    let saved = now.checkpoint();
                    now = trainer(p);
                    now.restore(&saved).unwrap();
                }
            }
            let plain = Trainer::new(&now.network().unwrap(), Bptt::new(WIDE), Optimiser::adam(1e-2), options()).unwrap();
            assert_eq!(now.evaluate(&data).unwrap().loss, plain.evaluate(&data).unwrap().loss);
            now.engine().weights().concat().into_iter().map(f32::to_bits).collect::<Vec<_>>()
        })
    };
    let (without, with) = (run(1, None, false), run(1, Some(0.5), false));
    assert_eq!(run(2, Some(0.0), false), without);
    assert_ne!(with, without);
    assert_eq!(run(3, Some(0.5), false), with);
    assert_eq!(run(2, Some(0.5), true), with);
}

#[test]
fn what_cannot_be_left_out_is_named() {
    let new = || Trainer::new(&network(4), Bptt::new(WIDE), Optimiser::adam(1e-2), options()).unwrap();
    let error = |from: &str, p: f64| new().with_drop_connect(from, "hidden", p).err().unwrap().to_string();
    assert!(error("hidden", 1.0).contains("DropConnect on `hidden` -> `hidden`: p = 1"), "{}", error("hidden", 1.0));
    assert!(error("hidden", f64::NAN).contains("p = NaN"));
    assert!(error("out", 0.5).contains("no such projection that learns"));
    let net = Net::new(1e-3).input("in", 3).population("a", 4, Lif::default()).population("out", 2, Li::default());
    let net = net.project("in", "a", Connect::Random { p: 0.5 }, Init::normal(1.0)).project("a", "out", Connect::All, Init::normal(1.0));
    let net = net.output("out").build(Seed::new(1)).unwrap();
    let new = || Trainer::new(&net, Bptt::new(WIDE), Optimiser::adam(1e-2), options()).unwrap().with_drop_connect("in", "a", 0.5).unwrap();
    assert!(new().with_structure(DeepR::new(1e-3)).err().unwrap().to_string().contains("no structural rule"));
    assert!(new().with_device(Box::new(snn_sparse::Ideal::new(&net)), None).err().unwrap().to_string().contains("no device in the loop"));
    let tied = Net::new(1e-3).input("in", 2).population("a", 3, Lif::default()).population("out", 2, Li::default());
    let tied =
        tied.project("in", "a", Connect::All, Init::normal(1.0)).project("a", "out", Connect::All, Init::normal(1.0)).tied("in", "a");
    let tied = tied.output("out").build(Seed::new(1)).unwrap();
    for (from, to) in [("in", "a"), ("a", "out")] {
        let trainer = Trainer::new(&tied, Bptt::new(WIDE), Optimiser::adam(1e-2), options()).unwrap();
        let error = trainer.with_drop_connect(from, to, 0.5).err().unwrap().to_string();
        assert!(error.contains("its weights are tied to others"), "{error}");
    }
}
