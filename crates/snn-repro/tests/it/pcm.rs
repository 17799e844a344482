//! E-prop on phase-change memory through the trainer: any threads and any pause give the same bits, and every rule that runs events goes with it.

use snn_core::net::{Connect, Init};
use snn_core::neuron::{Li, Lif};
use snn_core::{Dataset, Net, Network, Seed, Trials, ms};
use snn_data::PatternParams;
use snn_hw::pcm::{Digital, Learning, OnPcm, Physics, Rate, Scheme, Wires};
use snn_learn::{Bptt, DeepR, Eprop, Feedback, Form, Loss, Optimiser, Options, Rule, SparseBptt, Trainer};
use std::ops::ControlFlow;

fn data() -> Trials {
    PatternParams { inputs: 20, steps: 60, periods: vec![0.06, 0.03], trials: 8, ..PatternParams::default() }
        .generate(Seed::new(1))
        .unwrap()
}

fn network() -> Network {
    Net::new(ms(1.0))
        .input("in", 20)
        .population("rec", 30, Lif { v_th: 0.2.into(), ..Lif::default() })
        .population("out", 1, Li::default())
        .project("in", "rec", Connect::All, Init::normal(0.1))
        .project("rec", "rec", Connect::All, Init::normal(0.05))
        .without_autapses()
        .delay(ms(1.0))
        .project("rec", "out", Connect::All, Init::normal(0.1))
        .output("out")
        .build(Seed::new(2))
        .unwrap()
}

fn eprop(form: Form) -> Eprop {
    Eprop { feedback: Feedback::Random { std: 0.5, seed: Seed::new(3) }, form, ..Eprop::default() }
}

fn plain(rule: impl Rule<f32> + 'static, optimiser: Optimiser) -> Trainer {
    let options = Options { batch: 4, dead_after: usize::MAX, ..Options::new(Loss::SumSquared, Seed::new(4)) };
    Trainer::new(&network(), rule, optimiser, options).unwrap()
}

fn rates() -> Vec<Rate> {
    vec![Rate { unit: 1.0, rate: 0.02 }, Rate { unit: 1.0, rate: 0.02 }, Rate { unit: 20.0, rate: 1e-3 }]
}

fn on_pcm(rule: impl Rule<f32> + 'static, optimiser: Optimiser, physics: Physics, scheme: Scheme) -> Trainer {
    let learning = Learning { mean: 0.25, ..Learning::new(Wires { physics, pairs: 2, scale: 12.0 }, scheme) };
    let substrate = OnPcm::new(&network(), learning, rates(), Seed::new(5)).unwrap();
    plain(rule, optimiser).with_substrate(substrate).unwrap()
}

const MIXED: Scheme = Scheme::Mixed { quantum: 0.125, ready: true };

fn bits(trainer: &Trainer) -> (Vec<u32>, snn_learn::Checkpoint) {
    (trainer.engine().weights().concat().into_iter().map(f32::to_bits).collect(), trainer.checkpoint())
}

#[test]
fn threads_and_pauses_change_nothing() {
    let data = data();
    for scheme in [MIXED, Scheme::Stochastic { scale: 5.0 }, Scheme::Multi] {
        let made = || on_pcm(eprop(Form::Reverse), Optimiser::sgd(1.0), Physics::default(), scheme);
        let whole = |threads: usize| {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
                let mut trainer = made();
                let losses: Vec<u64> = (0..3).map(|_| trainer.epoch(&data, &|_| ()).unwrap().loss.to_bits()).collect();
                (losses, bits(&trainer), trainer.substrate().unwrap().costs())
            })
        };
        let expected = whole(1);
        assert!(expected.2.counts["SET pulses"] > 0 && expected.2.counts["device reads"] > 10_000, "{scheme:?}: {:?}", expected.2);
        assert_eq!(whole(3), expected, "{scheme:?}");
        // Stopped after every batch, thrown away, made anew.
        let (mut saved, mut losses) = (made().checkpoint(), Vec::new());
        while losses.len() < 3 {
            let mut trainer = made();
            trainer.restore(&saved).unwrap();
            let stats = trainer.epoch_or_pause(&data, &mut |_| ControlFlow::Break(())).unwrap();
            losses.extend(stats.map(|s| s.loss.to_bits()));
            saved = trainer.checkpoint();
            if losses.len() == 3 {
                assert_eq!((&losses, &bits(&trainer), &trainer.substrate().unwrap().costs()), (&expected.0, &expected.1, &expected.2));
            }
        }
    }
}

#[test]
fn a_checkpoint_of_another_substrate_is_refused() {
    let saved = on_pcm(eprop(Form::Reverse), Optimiser::sgd(1.0), Physics::default(), MIXED).checkpoint();
    let error = plain(eprop(Form::Reverse), Optimiser::sgd(1.0)).restore(&saved).unwrap_err().to_string();
    assert!(error.contains("another substrate"), "{error}");
    let digital = plain(eprop(Form::Reverse), Optimiser::sgd(1.0)).with_substrate(Digital::new(&network(), rates()).unwrap());
    assert!(digital.unwrap().restore(&saved).is_err());
}

/// Without quanta, limits and units the digital substrate is the optimiser itself, to rounding; with one rate for all.
#[test]
fn plain_numbers_follow_the_optimiser() {
    let data = data();
    let mut reference = plain(eprop(Form::Reverse), Optimiser::momentum(1e-3, 0.5));
    let rates = vec![Rate { unit: 1.0, rate: 1e-2 }; 3];
    let mut digital = Digital::new(&network(), rates).unwrap();
    (digital.clip, digital.limit) = (1e9, 1e9);
    let mut other = plain(eprop(Form::Reverse), Optimiser::momentum(0.1, 0.5)).with_substrate(digital).unwrap();
    for _ in 0..3 {
        reference.epoch(&data, &|_| ()).unwrap();
        other.epoch(&data, &|_| ()).unwrap();
    }
    let (a, b) = (reference.engine().weights().concat(), other.engine().weights().concat());
    assert!(a.iter().zip(&b).all(|(x, y)| (x - y).abs() < 1e-5), "the same but for rounding");
    assert!(a.iter().zip(network().draft().projections.iter().flat_map(|p| p.weights.given())).any(|(x, y)| (x - y).abs() > 1e-3));
}

#[test]
fn other_rules_and_optimisers_go_with_it() {
    let data = data();
    // Weights begin near zero, and nobody near the threshold of 0.2.
    let wide = snn_core::Surrogate::triangle(0.3, 1.0);
    let mut trainers = [
        on_pcm(eprop(Form::Online { window: 16 }), Optimiser::adam(5.0), Physics::default(), MIXED),
        on_pcm(SparseBptt { surrogate: wide }, Optimiser::momentum(20.0, 0.5), Physics::default(), Scheme::Multi),
        on_pcm(Bptt::new(wide), Optimiser::sgd(20.0), Physics::ideal(8), MIXED), // no noise, so numbers are all there is
    ];
    for trainer in &mut trainers {
        for _ in 0..4 {
            assert!(trainer.epoch(&data, &|_| ()).unwrap().loss.is_finite());
        }
        let costs = trainer.substrate().unwrap().costs();
        assert!(costs.counts["SET pulses"] > 0, "{costs:?}");
        assert!(trainer.evaluate(&data).unwrap().mean_loss().is_finite());
    }
    // A rule that runs the network by its weights says so; two things cannot change the weights; a substrate knows its network.
    let noisy = |net: &Network| {
        OnPcm::new(net, Learning::new(Wires { physics: Physics::default(), pairs: 1, scale: 9.0 }, MIXED), rates(), Seed::new(1)).unwrap()
    };
    let dense = plain(Bptt::new(snn_core::Surrogate::triangle(0.3, 0.2)), Optimiser::sgd(1.0)).with_substrate(noisy(&network()));
    assert!(dense.err().unwrap().to_string().contains("reads of its own"));
    let both =
        plain(SparseBptt::default(), Optimiser::sgd(1.0)).with_structure(DeepR::new(1e-3)).unwrap().with_substrate(noisy(&network()));
    assert!(both.err().unwrap().to_string().contains("structural rule"));
    let small = Net::new(ms(1.0))
        .input("in", 2)
        .population("rec", 3, Lif::default())
        .population("out", 1, Li::default())
        .project("in", "rec", Connect::All, Init::normal(0.1))
        .project("rec", "rec", Connect::All, Init::normal(0.1))
        .delay(ms(1.0))
        .project("rec", "out", Connect::All, Init::normal(0.1))
        .output("out")
        .build(Seed::new(2))
        .unwrap();
    let other = plain(SparseBptt::default(), Optimiser::sgd(1.0)).with_substrate(noisy(&small));
    assert!(other.err().unwrap().to_string().contains("[6, 9, 3]"));
    assert_eq!(data.len(), 8);
}
