//! Zoneout: who keeps its state is drawn while a network learns, and its gradient is exact; without learning all keep the expected share.

use crate::common::{distance, random_events};
use snn_core::net::{Connect, Draft, Init};
use snn_core::neuron::{Egru, Gru, Li, Model};
use snn_core::{Net, Network, Raster, Seed, Surrogate, Trials};
use snn_learn::{Bptt, Gradients, Job, Loss, Optimiser, Options, Over, Regulariser, Rule, SparseBptt, Trainer};
use snn_sparse::lanes::flat_mut;
use snn_sparse::{Clocked, Record, Synapses, Wants};

const LOSS: Loss = Loss::CrossEntropy(Over::Sum);
const WIDE: Surrogate = Surrogate::triangle(0.7, 1.0);

fn cell(event_based: bool, zoneout: f64) -> Model {
    match event_based {
        true => Egru { threshold: 0.1.into(), zoneout, ..Egru::default() }.into(),
        false => Gru { zoneout, ..Gru::default() }.into(),
    }
}

fn network(event_based: bool, zoneout: f64, size: usize) -> Network {
    let mut net = Net::new(1.0).input("in", 3).population("hidden", size, cell(event_based, zoneout)).train(&["bias_z", "bias_g"]);
    for port in ["z", "r", "g"] {
        net = net.project("in", "hidden", Connect::All, Init::normal(0.8)).port(port);
    }
    for port in ["z", "r", "h"] {
        net = net.project("hidden", "hidden", Connect::All, Init::normal(0.8 / (size as f64).sqrt())).port(port).delay(1.0);
    }
    let net = net.population("out", 2, Li { tau: 1e-9.into() });
    net.project("hidden", "out", Connect::All, Init::normal(1.0)).output("out").build(Seed::new(2)).unwrap()
}

fn trials() -> Trials {
    let mut trials = Trials::new("random", 3, 7, 2);
    (0..8).for_each(|k| trials.push(random_events(3, 7, true, &mut Seed::new(k).rng()), k as usize % 2));
    trials
}

fn gradient(engine: &Clocked<f64>, rule: &dyn Rule<f64>, updates: u64) -> (Vec<Vec<f64>>, f64) {
    rule.check(engine).unwrap();
    let data = trials();
    let job = Job { engine, data: &data, loss: LOSS, regulariser: Regulariser::NONE, scale: 1.0, updates, rates: &[] };
    let mut gradients = Gradients::zero(engine);
    let stats = rule.worker(engine).learn(&job, &[0, 1, 2], &mut gradients);
    (gradients.in_order(engine).into_iter().chain(gradients.of_parameters(engine)).collect(), stats.loss)
}

/// The share of the units that keep their state is the probability, at every step and in every block; without learning everybody keeps as much.
#[test]
fn as_many_keep_their_state_as_should() {
    let (size, steps, p) = (500, 40, 0.3);
    let net = Net::new(1.0).input("in", 1).population("a", size, Gru { zoneout: p, bias_z: (-30.0).into(), ..Gru::default() });
    let net = net.project("in", "a", Connect::All, Init::Constant(1.0)).port("g").output("a").build(Seed::new(1)).unwrap();
    let engine = Clocked::<f64>::compile(&net);
    // Nothing is kept but by chance, and the candidate is another at every step.
    let mut input = Raster::new(1, steps);
    input.fill_dense((0..steps).map(|t| 0.1 + 0.02 * t as f64));
    let states = |learning: bool, seed: u64| {
        let mut record = Record::new(&engine);
        (record.learning, record.noise) = (learning, Seed::new(seed));
        engine.run(&[&input], Wants::Spikes, &mut record);
        (0..steps).map(|t| (0..size as u32).map(|j| record.spikes[0].value(t, j)).collect()).collect::<Vec<Vec<f64>>>()
    };
    let drawn = states(true, 7);
    let kept = |t: usize| (0..size).filter(|&j| drawn[t][j] == if t > 0 { drawn[t - 1][j] } else { 0.0 }).count();
    let counts: Vec<usize> = (0..steps).map(kept).collect();
    let all = counts.iter().sum::<usize>() as f64 / (size * steps) as f64;
    assert!((all - p).abs() < 0.013, "{all}: four standard deviations");
    assert!(counts.iter().all(|&n| (100..200).contains(&n)), "{counts:?}");
    let free = |t: usize| (0.1 + 0.02 * t as f64).tanh();
    assert!(
        (0..steps)
            .all(|t| (0..size).all(|j| drawn[t][j] == if t > 0 { drawn[t - 1][j] } else { 0.0 } || (drawn[t][j] - free(t)).abs() < 1e-12))
    );
    assert_eq!(states(true, 7), drawn);
    assert_ne!(states(true, 8), drawn);
    let mut c = 0.0;
    for (t, row) in states(false, 7).iter().enumerate() {
        c = p * c + (1.0 - p) * free(t);
        assert!(row.iter().all(|y| (y - c).abs() < 1e-12));
    }
}

/// Central differences of the loss with the same numbers drawn, for both units; the event-based one with its smoothed step.
#[test]
fn the_gradient_is_exact_for_what_was_drawn() {
    for event_based in [false, true] {
        let mut engine = Clocked::<f64>::compile(&network(event_based, 0.4, 5));
        let rule = Bptt { smooth: event_based, ..Bptt::new(WIDE) };
        let (exact, loss) = gradient(&engine, &rule, 3);
        assert_ne!(loss, gradient(&engine, &rule, 4).1, "another update, other numbers");
        let links = engine.links().len();
        let (h, mut numeric) = (1e-3, exact.clone());
        for k in 0..exact.len() {
            for j in 0..exact[k].len() {
                let mut at = |by: f64| {
                    let mut shift = |by: f64| match k.checked_sub(links) {
                        Some(k) => engine.set_parameter(k, |values| flat_mut(values)[j] += by).unwrap(),
                        None => {
                            let slot = engine.links()[k].store.slots()[j];
                            flat_mut(engine.links_mut()[k].store.weights_mut())[slot] += by;
                        }
                    };
                    shift(by);
                    let loss = gradient(&engine, &rule, 3).1;
                    match k.checked_sub(links) {
                        Some(k) => engine.set_parameter(k, |values| flat_mut(values)[j] -= by).unwrap(),
                        None => {
                            let slot = engine.links()[k].store.slots()[j];
                            flat_mut(engine.links_mut()[k].store.weights_mut())[slot] -= by;
                        }
                    }
                    loss
                };
                numeric[k][j] = (8.0 * (at(h) - at(-h)) - at(2.0 * h) + at(-2.0 * h)) / (12.0 * h);
            }
        }
        assert!(distance(&exact, &numeric) < 1e-8, "{event_based}: {:e}", distance(&exact, &numeric));
    }
}

/// Both rules draw the same numbers; with none to draw nothing changes.
#[test]
fn sparse_equals_dense_and_none_is_none() {
    for event_based in [false, true] {
        for size in [5, 90] {
            let engine = Clocked::<f64>::compile(&network(event_based, 0.3, size));
            let ((sparse, a), (dense, b)) = (gradient(&engine, &SparseBptt { surrogate: WIDE }, 2), gradient(&engine, &Bptt::new(WIDE), 2));
            assert!(
                (a - b).abs() < 1e-11 * a && distance(&sparse, &dense) < 1e-11,
                "{event_based}, {size}: {:e}",
                distance(&sparse, &dense)
            );
        }
        let mut draft = Draft::from(network(event_based, 0.0, 70));
        let plain = Clocked::<f64>::compile(&draft.clone().try_into().unwrap());
        draft.populations[0].model = cell(event_based, 1e-300);
        let hardly = Clocked::<f64>::compile(&draft.try_into().unwrap());
        for rule in [&SparseBptt { surrogate: WIDE } as &dyn Rule<f64>, &Bptt::new(WIDE)] {
            assert_eq!(gradient(&plain, rule, 0), gradient(&plain, rule, 5));
            assert_eq!(gradient(&plain, rule, 0), gradient(&hardly, rule, 5));
        }
    }
}

/// Training with it: the same bits on any number of threads; evaluation draws nothing.
#[test]
fn the_same_bits_on_any_number_of_threads() {
    let (net, data) = (network(true, 0.3, 40), trials());
    let options = Options { batch: 4, ..Options::new(LOSS, Seed::new(3)) };
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut trainer = Trainer::new(&net, SparseBptt { surrogate: WIDE }, Optimiser::adam(1e-2), options).unwrap();
            (0..3).for_each(|_| drop(trainer.epoch(&data, &|_| ()).unwrap()));
            let (first, second) = (trainer.evaluate(&data).unwrap().loss, trainer.evaluate(&data).unwrap().loss);
            assert_eq!(first, second);
            (trainer.engine().weights().concat().into_iter().map(f32::to_bits).collect::<Vec<_>>(), first.to_bits())
        })
    };
    assert_eq!(run(1), run(3));
}
