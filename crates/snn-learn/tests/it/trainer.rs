//! The trainer: the same bits for any number of threads and after a restart; dead and diverging networks are reported.

use crate::stripes;
use std::ops::ControlFlow;

use rand::RngExt;
use snn_core::net::{Connect, Conv2d, Init, SumPool2d};
use snn_core::neuron::{Alif, Li, Lif, LifPsc, Model, Relu};
use snn_core::{Dataset, Net, Network, Raster, Seed, Subset, Surrogate, Trials, ms};
use snn_learn::structure::{Budget, Signs};
use snn_learn::{
    Bptt, DeepR, Eprop, Feedback, Form, GradR, GradRByRows, LearnedSignals, Loss, Optimiser, Options, Over, RateOver, Regulariser, Rule,
    Schedule, SoftDeepR, SparseBptt, StRsbp, Structure, SyntheticGradients, TrainError, Trainer, TsslBp,
};

fn data() -> Trials {
    stripes::stripes(90)
}

/// Units of the population `rest`, which no loss judges: what e-prop 3 predicts of 70 LIF neurons, 20 adaptive ones in a loop, and three readouts.
const REST: usize = 70 + 4 * 20 + 3;

/// The name of the rule that wants it, and of the one that wants a generator of learning signals.
const PREDICTS: &str = "synthetic_gradients";
const TEACHES: &str = "learned_signals";

/// Whether a rule is one for whole trains of spikes, of neurons with postsynaptic currents.
fn on_trains(rule: &str) -> bool {
    matches!(rule, "tssl_bp" | "st_rsbp")
}

/// Neurons of two hidden layers and of the output that it takes.
fn models(rule: &str) -> [Model; 3] {
    match on_trains(rule) {
        true => [(); 3].map(|()| LifPsc::default().into()),
        false => [Lif::default().into(), Alif::default().into(), Li::default().into()],
    }
}

fn network(weight: f64) -> Network {
    network_for(weight, "")
}

/// With what this rule wants.
fn network_for(weight: f64, rule: &str) -> Network {
    let [a, b, out] = models(rule);
    let net = Net::new(ms(1.0))
        .input("in", 30)
        .population("a", 70, a)
        .population("b", 20, b)
        .population("out", 3, out)
        .project("in", "a", Connect::All, Init::normal(weight))
        .project("a", "b", Connect::Random { p: 0.5 }, Init::normal(weight))
        .project("b", "b", Connect::All, Init::normal(0.5 * weight))
        .delay(ms(if rule == PREDICTS { 1.0 } else { 2.0 }))
        .project("b", "out", Connect::All, Init::normal(weight))
        .output("out");
    with(rule, net).build(Seed::new(2)).unwrap()
}

/// What this rule wants beside the network; beside `rest` no loop may take two steps.
fn with(rule: &str, net: Net) -> Net {
    match rule {
        PREDICTS => net.population("rest", REST, Li::default()).project("b", "rest", Connect::All, Init::normal(0.1)),
        TEACHES => net
            .population("generator", 25, Lif::default())
            .population("signals", 20, Li::default())
            .project("in", "generator", Connect::Random { p: 0.5 }, Init::normal(0.5))
            .project("b", "generator", Connect::Random { p: 0.3 }, Init::normal(0.3))
            .delay(ms(1.0))
            .project("generator", "signals", Connect::All, Init::normal(0.2)),
        _ => net,
    }
}

/// The same with few links, some with delays of their own.
fn sparse_network(delays: f64, rule: &str) -> Network {
    let [a, b, out] = models(rule);
    let net = Net::new(ms(1.0)).input("in", 30).population("a", 70, a).population("b", 20, b).population("out", 3, out).project(
        "in",
        "a",
        Connect::Random { p: 0.4 },
        Init::normal(0.6),
    );
    let net = if delays > 0.0 { net.delays(0.0, ms(delays)) } else { net };
    let net = net
        .project("a", "b", Connect::Random { p: 0.5 }, Init::normal(0.4))
        .project("b", "b", Connect::All, Init::normal(0.2))
        .delay(ms(if rule == PREDICTS { 1.0 } else { 2.0 }))
        .project("b", "out", Connect::All, Init::normal(0.4))
        .output("out");
    with(rule, net).build(Seed::new(2)).unwrap()
}

/// Calls `each` with every structural rule (and none) beside every optimiser, and beside every learning rule: some remember where links are.
fn each_structure(mut each: impl FnMut(&str, &(dyn Fn() -> Trainer + Sync))) {
    type Make = fn() -> Option<Box<dyn Structure>>;
    let structures: [(&str, f64, Make); 7] = [
        ("none", 2.0, || None),
        ("deep_r", 2.0, || Some(Box::new(DeepR { temperature: 1e-3, ..DeepR::new(0.02) }))),
        ("deep_r, total", 2.0, || Some(Box::new(DeepR { budget: Budget::Total, signs: Signs::Pair, ..DeepR::new(0.05) }))),
        ("deep_r, Dale", 0.0, || Some(Box::new(DeepR { signs: Signs::Source { inhibitory: 0.3 }, ..DeepR::new(0.05) }))),
        ("soft_deep_r", 2.0, || Some(Box::new(SoftDeepR { l1: 0.05, temperature: 1e-3, connectivity: 0.7.into() }))),
        ("grad_r", 2.0, || Some(Box::new(GradR::new(0.3)))),
        ("grad_r_by_rows", 2.0, || Some(Box::new(GradRByRows { prior: GradR::new(0.01), rows: 4 }))),
    ];
    let (sgd, adam) = (Optimiser::momentum(0.1, 0.5), Optimiser::adamw(5e-3, 1e-3));
    let choices = [(0, sgd)].into_iter().chain((0..RULES.len()).map(|rule| (rule, adam)));
    for (name, delays, make) in structures {
        for (rule, optimiser) in choices.clone() {
            let net = sparse_network(delays, RULES[rule]().name());
            each(&format!("{name}, rule {rule}, {optimiser:?}"), &|| {
                let options = Options { loss: loss(RULES[rule]().name()), ..options() };
                let trainer = Trainer::new(&net, RULES[rule](), optimiser, options).unwrap();
                match make() {
                    None => trainer,
                    Some(structure) => trainer.with_structure(structure).unwrap(),
                }
            });
        }
    }
}

/// Everything that a run leaves, to the bit.
fn state(trainer: &Trainer) -> (Vec<u32>, Network, Vec<u8>) {
    let checkpoint = trainer.checkpoint();
    let moments = checkpoint.first.concat().into_iter().chain(checkpoint.second.concat()).map(f32::to_bits);
    let structure = checkpoint.structure.iter().flat_map(|(_, state)| state.strength.concat()).map(f32::to_bits);
    let all = moments.chain(structure).flat_map(u32::to_le_bytes).collect();
    (bits(trainer), trainer.network().unwrap(), all)
}

#[test]
fn structural_rules_give_the_same_bits_on_any_number_of_threads_and_after_a_restart() {
    each_structure(|name, make| {
        // Under ST-RSBP the first link grows again after more than two.
        let epochs = if name.starts_with("grad_r, rule 7") { 8 } else { 2 };
        let run = |threads: usize, restart: bool| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut now = make();
                let mut turnover = Vec::new();
                while now.epochs() < epochs {
                    let pause = &mut |_| if restart { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
                    if let Some(stats) = now.epoch_or_pause(&data(), pause).unwrap() {
                        turnover.push(stats.turnover);
                    }
                    if restart {
                        let mut next = make();
                        next.restore(&now.checkpoint()).unwrap();
                        now = next;
                    }
                }
                (state(&now), turnover)
            })
        };
        let one = run(1, false);
        let changes = one.1.iter().flatten().fold((0, 0), |sum, entry| (sum.0 + entry.pruned, sum.1 + entry.grown));
        if name.starts_with("none") {
            assert_eq!((one.1.concat().len(), changes), (0, (0, 0)));
        } else {
            // Grad R regrows what the gradient pulls at, which is not the same links for every rule.
            let grown = changes.1 > 0 || name.starts_with("grad_r, rule 4");
            assert!(changes.0 > 0 && grown, "{name}: {changes:?} links pruned and grown");
        }
        for threads in [2, 3, 7] {
            assert_eq!(run(threads, false), one, "{name}: {threads} threads");
        }
        assert_eq!(run(1, true), one, "{name}: a restart after every batch");
        assert_eq!(run(3, true), one, "{name}: a restart after every batch, three threads");
    });
}

/// Errors pass through weights that are fixed; the update leaves them, whatever the rule, and moves all others as if nothing were.
#[test]
fn fixed_projections_stay_as_they_are() {
    for make in RULES {
        let name = make().name();
        let network = sparse_network(2.0, name);
        let after = |network: &Network| {
            let options = Options { loss: loss(name), batch: 90, clip: None, ..options() };
            let mut trainer = Trainer::new(network, make(), Optimiser::adamw(5e-3, 1e-2), options).unwrap();
            trainer.epoch(&data(), &|_| ()).unwrap();
            trainer.network().unwrap()
        };
        let free = after(&network);
        for k in 0..network.draft().projections.len() {
            let mut draft = network.draft().clone();
            draft.projections[k].fixed = true;
            let found = after(&draft.try_into().unwrap());
            let weights = |network: &Network, n: usize| network.draft().projections[n].weights.clone();
            assert!(weights(&found, k) == weights(&network, k), "{name}: {k} moved");
            // The outer gradient of learned signals goes through the inner update, which is another one now.
            for n in (0..network.draft().projections.len()).filter(|&n| n != k && name != TEACHES) {
                assert!(weights(&found, n) == weights(&free, n), "{name}: projection {n}, with {k} fixed");
            }
            let moved = |k: usize| free.draft().projections[k].weights != network.draft().projections[k].weights;
            assert!(moved(k) || name == TEACHES || name == PREDICTS, "{name}: {k} does not learn anyway");
        }
    }
}

#[test]
fn a_checkpoint_of_another_structural_rule_is_refused() {
    let net = sparse_network(2.0, "");
    let plain = || Trainer::new(&net, SparseBptt::default(), Optimiser::adam(1e-3), options()).unwrap();
    let of: [fn(Trainer) -> Trainer; 3] =
        [|t| t, |t| t.with_structure(DeepR::new(0.1)).unwrap(), |t| t.with_structure(GradR::new(0.1)).unwrap()];
    for (k, from) in of.iter().enumerate() {
        let saved = train(from(plain()), 1).checkpoint();
        for (l, to) in of.iter().enumerate() {
            let mut to = to(plain());
            let before = state(&to);
            let restored = to.restore(&saved);
            assert_eq!(restored.is_ok(), k == l, "{restored:?}");
            if k != l {
                assert!(restored.unwrap_err().to_string().contains("another structural rule"));
                assert_eq!(state(&to), before);
            }
        }
    }
    // Links that are none.
    let mut trainer = of[1](plain());
    let mut saved = trainer.checkpoint();
    saved.links[0] = Some(snn_core::net::Links::Csr { ends: vec![0, 1], targets: vec![5] });
    assert!(matches!(trainer.restore(&saved), Err(TrainError::Checkpoint(_))));
}

fn options() -> Options {
    options_for(6)
}

fn options_for(epochs: usize) -> Options {
    Options {
        batch: 20,
        schedule: Schedule::Cosine { epochs: epochs as f64 },
        clip: Some(1.0),
        regulariser: Regulariser {
            upper: 0.1,
            upper_count: 2.0,
            lower: 1.0,
            lower_count: 1.0,
            ..Regulariser::rate(1.0, 0.05, RateOver::Batch)
        },
        ..Options::new(Loss::CrossEntropy(Over::Sum), Seed::new(9))
    }
}

/// Outputs that spike are asked for counts.
fn loss(rule: &str) -> Loss {
    if on_trains(rule) { Loss::Count { correct: 10.0, wrong: 1.0, margin: 1.0 } } else { Loss::CrossEntropy(Over::Sum) }
}

fn trainer(rule: impl Rule<f32> + 'static) -> Trainer {
    trainer_for(6, rule)
}

fn trainer_for(epochs: usize, rule: impl Rule<f32> + 'static) -> Trainer {
    let weight = if on_trains(rule.name()) { 0.8 } else { 0.4 };
    let options = Options { loss: loss(rule.name()), ..options_for(epochs) };
    Trainer::new(&network_for(weight, rule.name()), rule, Optimiser::adamw(5e-3, 1e-3), options).unwrap()
}

fn bits(trainer: &Trainer) -> Vec<u32> {
    trainer.engine().weights().concat().into_iter().map(f32::to_bits).collect()
}

fn train(mut trainer: Trainer, epochs: usize) -> Trainer {
    (0..epochs).for_each(|_| drop(trainer.epoch(&data(), &|_| ()).unwrap()));
    trainer
}

type Make = fn() -> Box<dyn Rule<f32>>;

/// Every rule, once for each way it works.
const RULES: [Make; 8] = [
    || Box::new(SparseBptt::default()),
    || Box::new(Bptt::new(Surrogate::fast_sigmoid(100.0))),
    || Box::new(Eprop { feedback: Feedback::Adaptive { std: 0.5, decay: 1e-2, seed: Seed::new(4) }, ..Eprop::default() }),
    || {
        let feedback = Feedback::Random { std: 0.5, seed: Seed::new(4) };
        Box::new(Eprop { feedback, form: Form::Online { window: 9 }, ..Eprop::default() })
    },
    || {
        let surrogate = Surrogate::triangle(0.3, 1.0);
        Box::new(SyntheticGradients { surrogate, window: 13, predictor: "rest".into(), gain: 0.1, weight: 1.0 })
    },
    || {
        let surrogate = Surrogate::triangle(0.3, 1.0);
        Box::new(LearnedSignals { surrogate, learner: "b".into(), signals: "signals".into(), rate: 0.02, filter: ms(10.0) })
    },
    || Box::new(TsslBp::default()),
    || Box::new(StRsbp { wake: 10, ..StRsbp::default() }),
];

/// The laws below hold for every rule there is.
#[test]
fn no_rule_is_left_out() {
    let here: Vec<&str> = RULES.iter().map(|rule| rule().name()).collect();
    for (name, rule) in snn_learn::rule::all::<f32>() {
        assert!(here.contains(&rule.name()), "{name} is not among the rules of these tests");
    }
}

#[test]
fn one_and_more_threads_give_the_same_bits() {
    for rule in RULES {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| bits(&train(trainer(rule()), 3)))
        };
        let one = run(1);
        assert_ne!(one, bits(&trainer(rule())), "nothing was learned");
        for threads in [2, 3, 7] {
            assert_eq!(run(threads), one, "{threads} threads");
        }
    }
}

/// A batch of short trials is cut into fewer pieces than one of long trials.
#[test]
fn short_trials_give_the_same_bits_on_any_number_of_threads_and_after_larger_batches() {
    let net = Net::new(ms(1.0))
        .input("in", 300)
        .population("a", 200, Relu {})
        .population("out", 3, Li { tau: 1e-9.into() })
        .project("in", "a", Connect::All, Init::normal(0.1))
        .project("a", "out", Connect::All, Init::normal(0.1))
        .output("out")
        .build(Seed::new(6))
        .unwrap();
    let mut trials = Trials::new("one step", 300, 1, 3);
    for k in 0..150 {
        let mut rng = Seed::new(7).nth(k).rng();
        let mut raster = Raster::new(300, 1);
        raster.fill_dense((0..300).map(|_| rng.random_range(-1.0..1.0)));
        trials.push(raster, k as usize % 3);
    }
    let make = |batch: usize| {
        let options = Options { batch, ..Options::new(Loss::CrossEntropy(Over::Last), Seed::new(9)) };
        Trainer::new(&net, SparseBptt::default(), Optimiser::sgd(0.1), options).unwrap()
    };
    for batch in [1, 3, 10, 33, 150] {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut trainer = make(batch);
            pool.install(|| trainer.epoch(&trials, &|_| ()).unwrap());
            bits(&trainer)
        };
        let one = run(1);
        assert!([2, 3, 7].iter().all(|&threads| run(threads) == one), "batches of {batch}");
    }
    // What other batches left behind does not show, and a batch is the mean of its trials.
    let mut used = make(1);
    let gradient = |trainer: &mut Trainer, batch: &[usize]| {
        trainer.gradient(&trials, batch);
        trainer.last_gradient().concat()
    };
    for size in [150, 4, 64, 9, 1] {
        let batch: Vec<usize> = (0..size).collect();
        let found = gradient(&mut used, &batch);
        assert_eq!(found, gradient(&mut make(1), &batch), "{size} trials after more of them");
        let each: Vec<Vec<f32>> = batch.iter().map(|&k| gradient(&mut make(1), &[k])).collect();
        for (w, g) in found.iter().enumerate() {
            let mean = each.iter().map(|g| f64::from(g[w])).sum::<f64>() / size as f64;
            assert!((mean - f64::from(*g)).abs() < 1e-6, "{size} trials, weight {w}: {g}, the mean is {mean}");
        }
    }
}

#[test]
fn a_convolution_learns_and_a_pool_does_not_on_any_number_of_threads() {
    let (conv, pool) = (Conv2d::new(2, 3, 5, 4, (2, 2)).padding((1, 0)), SumPool2d::new(4, 4, 4, (2, 2)));
    let net = Net::new(ms(1.0))
        .input("in", conv.sources())
        .population("a", conv.targets(), Lif::default())
        .population("b", pool.targets(), Lif::default())
        .population("out", 3, Li::default())
        .project("in", "a", Connect::Conv2d(conv), Init::normal(0.6))
        .project("a", "b", Connect::SumPool2d(pool), Init::Constant(0.5))
        .project("b", "out", Connect::All, Init::normal(0.5))
        .output("out")
        .build(Seed::new(3))
        .unwrap();
    let options = Options { batch: 20, ..Options::new(Loss::CrossEntropy(Over::Sum), Seed::new(9)) };
    let run = |threads: usize| {
        let trainer = Trainer::new(&net, SparseBptt::default(), Optimiser::adamw(1e-2, 0.1), options).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| train(trainer, 3))
    };
    let one = run(1);
    let (before, after) = (net.draft(), one.network().unwrap());
    let weights = |k: usize| (before.projections[k].weights.iter(1).next(), after.draft().projections[k].weights.iter(1).next());
    assert_ne!(weights(0).0, weights(0).1, "the kernel learns");
    assert_eq!(weights(1).0, weights(1).1, "the pool's factor does not, nor does it decay");
    assert_eq!(bits(&run(3)), bits(&one));
}

#[test]
fn a_restored_trainer_goes_on_to_the_same_bits() {
    for rule in RULES {
        let whole = train(trainer(rule()), 5);
        let saved = train(trainer(rule()), 2).checkpoint();
        let mut other = trainer(rule());
        other.restore(&saved).unwrap();
        assert_eq!(other.epochs(), 2);
        assert_eq!(bits(&train(other, 3)), bits(&whole));
    }

    let saved = train(trainer(SparseBptt::default()), 2).checkpoint();
    let mut wrong =
        Trainer::new(&network(0.4), SparseBptt::default(), Optimiser::sgd(0.1), Options::new(Loss::CrossEntropy(Over::Sum), Seed::new(9)))
            .unwrap();
    assert!(matches!(wrong.restore(&saved), Err(TrainError::Checkpoint(_))));
}

#[test]
fn a_pause_anywhere_in_an_epoch_changes_nothing() {
    let whole = |mut trainer: Trainer| {
        let stats: Vec<_> =
            (0..3).map(|_| trainer.epoch(&data(), &|_| ()).unwrap()).map(|s| (s.trials, s.loss.to_bits(), s.active)).collect();
        (stats, bits(&trainer))
    };
    // 90 trials in batches of 20: a break after every batch, each time into a new trainer.
    let mut stats = Vec::new();
    let mut now = trainer(SparseBptt::default());
    let mut pauses = Vec::new();
    while stats.len() < 3 {
        match now.epoch_or_pause(&data(), &mut |_| ControlFlow::Break(())).unwrap() {
            Some(s) => stats.push((s.trials, s.loss.to_bits(), s.active)),
            None => pauses.push(now.trials()),
        }
        let mut next = trainer(SparseBptt::default());
        next.restore(&now.checkpoint()).unwrap();
        now = next;
    }
    assert_eq!(pauses, [20, 40, 60, 80].repeat(3));
    assert_eq!((stats, bits(&now)), whole(trainer(SparseBptt::default())));

    // A place that the data do not have.
    drop(now.epoch_or_pause(&data(), &mut |_| ControlFlow::Break(())));
    let error = now.epoch(&Subset::new(&data(), vec![0, 1]), &|_| ()).unwrap_err();
    assert!(error.to_string().contains("20 trials into an epoch"), "{error}");
}

#[test]
fn learns_the_task_with_every_rule() {
    // What is no exact gradient takes longer.
    for (rule, epochs) in RULES.iter().zip([6, 6, 18, 18, 18, 18, 40, 40]) {
        let name = rule().name();
        let trainer = train(trainer_for(epochs, rule()), epochs);
        let accuracy = trainer.evaluate(&data()).unwrap().accuracy();
        assert!(accuracy > 0.9, "{name}: {accuracy}");
    }
}

#[test]
fn dead_and_diverging_networks_are_reported() {
    let options = Options { batch: 10, dead_after: 5, ..Options::new(Loss::CrossEntropy(Over::Max), Seed::new(1)) };
    let mut silent = Trainer::new(&network(1e-4), SparseBptt::default(), Optimiser::adam(1e-3), options).unwrap();
    let error = silent.epoch(&data(), &|_| ()).unwrap_err();
    assert!(matches!(&error, TrainError::Dead { population, epoch: 0, batches: 5 } if population == "a"), "{error}");

    let mut wild = Trainer::new(&network(0.4), SparseBptt::default(), Optimiser::sgd(f64::MAX), options).unwrap();
    let error = (0..3).find_map(|_| wild.epoch(&data(), &|_| ()).err());
    assert!(matches!(error, Some(TrainError::Diverged { .. } | TrainError::Dead { .. })), "{error:?}");
}

#[test]
fn misfits_are_refused_by_name() {
    let refused = |data: &dyn Dataset, loss: Loss| {
        let mut trainer =
            Trainer::new(&network(0.4), SparseBptt::default(), Optimiser::adam(1e-3), Options::new(loss, Seed::new(1))).unwrap();
        trainer.epoch(data, &|_| ()).unwrap_err().to_string()
    };
    let loss = Loss::CrossEntropy(Over::Max);
    assert!(refused(&Trials::new("wide", 31, 40, 3), loss).contains("`wide` has 31 channels, input `in` has 30"));
    assert!(refused(&Subset::new(&data(), vec![]), loss).contains("no trials"));
    let mut many = Trials::new("many", 30, 40, 4);
    many.push(Raster::new(30, 40), 3);
    assert!(refused(&many, loss).contains("`out` has 3 units for 4 classes"));
    assert!(refused(&data(), Loss::MeanSquared).contains("a target series"));

    let options = Options { batch: 0, ..Options::new(loss, Seed::new(1)) };
    assert!(Trainer::new(&network(0.4), SparseBptt::default(), Optimiser::adam(1e-3), options).is_err());
    let negative = SparseBptt { surrogate: Surrogate::fast_sigmoid(-1.0) };
    let error = Trainer::new(&network(0.4), negative, Optimiser::adam(1e-3), Options::new(loss, Seed::new(1))).err().unwrap();
    assert!(error.to_string().contains("sparse_bptt") && error.to_string().contains("beta = -1"), "{error}");

    // What is noisy has no gradient here: all rules say so.
    let noisy = Net::new(ms(1.0)).input("in", 30).population("out", 3, Lif::default()).drive("out", 10.0, 0.1);
    let net = noisy.project("in", "out", Connect::All, Init::normal(0.1)).output("out").build(Seed::new(1)).unwrap();
    for rule in RULES.map(|rule| rule()) {
        let error = Trainer::new(&net, rule, Optimiser::adam(1e-3), Options::new(loss, Seed::new(1))).err().unwrap().to_string();
        assert!(error.contains("driven by Poisson noise") && error.contains("`out`"), "{error}");
    }
}

/// A dense network on graded events: exclusive or of two pixels. Rectified units that are silent now and then are not dead; units that
/// can never be above 0 are, and the trainer says so.
#[test]
fn rectified_units_learn_and_die() {
    let mut data = Trials::new("xor", 3, 1, 2);
    for k in 0..64 {
        let (a, b) = (k % 2, k / 2 % 2);
        let mut raster = Raster::new(3, 1);
        let noise = 0.002 * f64::from(k);
        raster.fill_dense([f64::from(a) + noise, f64::from(b) - noise, 1.0]);
        data.push(raster, (a ^ b) as usize);
    }
    let net = |init: Init| {
        let net = Net::new(ms(1.0)).input("in", 3).population("hidden", 12, Relu {}).population("out", 2, Li { tau: 1e-9.into() });
        let net = net.project("in", "hidden", Connect::All, init).project("hidden", "out", Connect::All, Init::normal(0.5));
        net.output("out").build(Seed::new(4)).unwrap()
    };
    let options = Options { batch: 1, dead_after: 20, ..Options::new(Loss::CrossEntropy(Over::Last), Seed::new(4)) };
    let make = |init: Init| Trainer::new(&net(init), SparseBptt::default(), Optimiser::sgd(0.1), options).unwrap();
    let mut trainer = make(Init::normal(1.0));
    (0..60).for_each(|_| drop(trainer.epoch(&data, &|_| ()).unwrap()));
    assert_eq!(trainer.evaluate(&data).unwrap().accuracy(), 1.0);
    let error = make(Init::Constant(-1.0)).epoch(&data, &|_| ()).unwrap_err();
    assert!(matches!(&error, TrainError::Dead { population, batches: 20, .. } if population == "hidden"), "{error}");
}
