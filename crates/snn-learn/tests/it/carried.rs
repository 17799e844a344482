//! State carried from trial to trial: two windows are one long run, the gradient is cut between them, and a training goes on to the same bits.

use crate::common::{Case, REGULARISER, case, distance, random_events, surrogate};
use proptest::prelude::*;
use rand::RngExt;
use snn_core::net::{Connect, Init};
use snn_core::neuron::{Egru, Gru, Li, Lif, Model};
use snn_core::{Cue, Dataset, Net, Network, Raster, Seed, Surrogate, Trials, ms};
use snn_learn::{Bptt, Eprop, Gradients, Job, Loss, Optimiser, Options, Over, Rule, Schedule, SparseBptt, Stats, Trainer};
use snn_sparse::lanes::flat_mut;
use snn_sparse::{Clocked, LANES, Past, Record, Synapses, Wants};
use std::ops::{ControlFlow, Range};

const LOSS: Loss = Loss::CrossEntropy(Over::Sum);
const WIDE: Surrogate = Surrogate::triangle(0.7, 1.0);

/// These steps of a raster.
fn cut(raster: &Raster, steps: Range<usize>) -> Raster {
    let mut part = Raster::new(raster.units(), steps.len());
    let events = raster.iter_values().filter(|event| steps.contains(&event.0)).map(|(t, unit, x)| ((t - steps.start) as u32, unit, x));
    match raster.is_graded() {
        true => part.fill_values(events),
        false => part.fill(events.map(|(t, unit, _)| (t, unit))),
    }
    part
}

/// Each trial cut into windows of `steps`: trial after trial a lane, window by window.
fn windows(data: &Trials, steps: usize) -> Trials {
    let mut pieces = Trials::new("windows", data.inputs(), steps, data.classes()).in_lanes(data.len());
    let mut raster = Raster::default();
    for window in 0..data.steps() / steps {
        for k in 0..data.len() {
            data.load(k, &mut raster);
            pieces.push(cut(&raster, window * steps..(window + 1) * steps), (k + window) % data.classes());
        }
    }
    pieces
}

/// Gated units in two layers, the second over a delay of two steps.
fn gated(model: &Model, sizes: [usize; 3], seed: u64) -> Network {
    let [n, a, b] = sizes;
    let mut net =
        Net::new(ms(1.0)).input("in", n).population("a", a, model.clone()).train(&["bias_z", "bias_g"]).population("b", b, model.clone());
    for (from, to, late) in [("in", "a", 1.0), ("a", "b", 2.0)] {
        for port in ["z", "r", "g"] {
            net = net.project(from, to, Connect::All, Init::normal(0.8)).port(port).delay(ms(late));
        }
        for port in ["z", "r", "h"] {
            net = net.project(to, to, Connect::All, Init::normal(0.8)).port(port).delay(ms(1.0));
        }
    }
    let net = net.population("out", 3, Li { tau: ms(5.0).into() }).train(&["current"]);
    net.project("b", "out", Connect::All, Init::normal(1.0)).output("out").build(Seed::new(seed)).unwrap()
}

fn egru() -> Model {
    Egru { threshold: 0.1.into(), bias_z: 0.5.into(), bias_g: 0.2.into(), ..Egru::default() }.into()
}

fn random(n: usize, steps: usize, lanes: usize, seed: u64) -> Trials {
    let mut trials = Trials::new("random", n, steps, 3);
    (0..lanes).for_each(|k| trials.push(random_events(n, steps, true, &mut Seed::new(seed).nth(k as u64).rng()), k % 3));
    trials
}

/// One run over both windows, and two that go on: the same events and outputs, to the bit.
fn one_long_run(net: &Network, input: &Raster, first: usize, wants: Wants) {
    let engine = Clocked::<f64>::compile(net);
    let long = engine.record(&[input], wants);
    let (mut past, mut record, mut led) = (Past::default(), Record::new(&engine), Raster::default());
    let history = engine.history();
    for steps in [0..first, first..input.steps()] {
        past.lead(&engine, 0, &cut(input, steps.clone()), &mut led);
        engine.go_on(&past, &[&led], wants, &mut record);
        past = past.after(&engine, &[&led], &record);
        assert!(past.fits(&engine));
        for p in 0..engine.cells().len() {
            let all = |spikes: &Raster, steps: Range<usize>| cut(spikes, steps).iter_values().collect::<Vec<_>>();
            assert_eq!(all(&record.spikes[p], history..history + steps.len()), all(&long.spikes[p], steps.clone()), "events of {p}");
            let (mut here, mut there) = (Vec::new(), Vec::new());
            record.traces[p].values(&mut here);
            long.traces[p].values(&mut there);
            let width = record.traces[p].blocks();
            assert_eq!(here[history * width..], there[steps.start * width..steps.end * width], "values of {p}");
        }
    }
    let states = |record: &Record<f64>| (0..engine.cells().len()).map(|p| record.traces[p].state(0)).collect::<Vec<_>>();
    assert_eq!(states(&record), states(&long));
}

/// The gradient of a window, and what was counted.
type Learned = (Vec<Vec<f64>>, Stats);

/// What a rule makes of windows that go on: by window the gradient of weights and parameters, and what was counted; then where it ends.
fn learn(engine: &Clocked<f64>, rule: &dyn Rule<f64>, data: &Trials) -> (Vec<Learned>, Vec<Past<f64>>) {
    rule.check(engine).unwrap();
    assert!(rule.carries());
    let (job, lanes) =
        (Job { engine, data, loss: LOSS, regulariser: REGULARISER, scale: 0.5, updates: 0, rates: &[] }, data.lanes().unwrap());
    let (mut worker, mut pasts) = (rule.worker(engine), vec![Past::default(); lanes]);
    let windows = (0..data.len() / lanes).map(|window| {
        let mut gradients = Gradients::zero(engine);
        worker.go_on_from(std::mem::take(&mut pasts));
        let stats = worker.learn(&job, &(window * lanes..(window + 1) * lanes).collect::<Vec<_>>(), &mut gradients);
        pasts = worker.go_on_from(Vec::new());
        (gradients.in_order(engine).into_iter().chain(gradients.of_parameters(engine)).collect(), stats)
    });
    let windows = windows.collect();
    (windows, pasts)
}

fn sparse_is_dense(net: &Network, data: &Trials, surrogate: Surrogate) -> Result<(), TestCaseError> {
    let engine = Clocked::<f64>::compile(net);
    let (sparse, ends) = learn(&engine, &SparseBptt { surrogate }, data);
    for dense in [Bptt::new(surrogate), Bptt::new(surrogate).events_in()] {
        let (dense, dense_ends) = learn(&engine, &dense, data);
        for ((sparse, s), (dense, d)) in sparse.iter().zip(&dense) {
            prop_assert_eq!((&s.spikes, &s.active, &s.entries), (&d.spikes, &d.active, &d.entries));
            prop_assert!((s.loss - d.loss).abs() < 1e-11 * s.loss.abs() && (s.penalty - d.penalty).abs() < 1e-11 * (1.0 + s.penalty));
            let size = dense.concat().iter().fold(0.0f64, |m, x| m.max(x.abs()));
            prop_assert!(distance(sparse, dense) < 1e-11 || size < 1e-13, "{} of {size}", distance(sparse, dense));
        }
        for (a, b) in ends.iter().zip(&dense_ends) {
            for p in 0..engine.cells().len() {
                let places = |past: &Past<f64>| past.events(p).iter().map(|event| (event.0, event.1)).collect::<Vec<_>>();
                prop_assert_eq!(places(a), places(b));
                let (size, states) = (engine.cells()[p].size(), engine.cells()[p].states());
                let unit = |place: usize| place / LANES / states.max(1) * LANES + place % LANES;
                let mut pairs = a.state(p).iter().zip(b.state(p)).enumerate().filter(|(place, _)| unit(*place) < size);
                let near = |(_, (a, b)): (usize, (&f64, &f64))| (a - b).abs() < 1e-9 * (1.0 + a.abs());
                prop_assert!(pairs.all(near) && a.state(p).len() == b.state(p).len());
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn two_windows_are_one_long_run(case in case(90), share in 0.05f64..0.95, active in any::<bool>()) {
        let case = Case { steps: case.steps + 1, ..case };
        let first = ((case.steps as f64 * share) as usize).clamp(1, case.steps - 1);
        let wants = if active { Wants::Active(Surrogate::triangle(0.7, 0.5)) } else { Wants::Spikes };
        let mut input = Raster::default();
        case.trials(1).load(0, &mut input);
        one_long_run(&case.network(), &input, first, wants);
    }

    /// Two ways to compute it that share nothing but the neuron's derivatives.
    #[test]
    fn sparse_equals_dense_window_by_window(case in case(40), windows_of in 1usize..6, surrogate in surrogate()) {
        let case = Case { steps: 3 * windows_of, ..case };
        sparse_is_dense(&case.network(), &windows(&case.trials(2), windows_of), surrogate)?;
    }

    #[test]
    fn sparse_equals_dense_for_gated_units(seed in any::<u64>(), kind in any::<bool>(), sizes in (1usize..4, 1usize..70, 1usize..20), steps in 1usize..5) {
        let net = gated(&if kind { egru() } else { Gru::default().into() }, [sizes.0, sizes.1, sizes.2], seed);
        one_long_run(&net, &random_events(sizes.0, 4 * steps, true, &mut Seed::new(seed).rng()), steps, Wants::Spikes);
        sparse_is_dense(&net, &windows(&random(sizes.0, 3 * steps, 2, seed), steps), WIDE)?;
    }
}

/// The gradient of a window is exact where the state it begins in does not move: of the smoothed network, by central differences.
#[test]
fn the_gradient_is_that_of_the_window_alone() {
    for (model, seed) in [(egru(), 1), (egru(), 2), (Gru::default().into(), 3)] {
        let net = gated(&model, [2, 3, 2], seed);
        let mut engine = Clocked::<f64>::compile(&net);
        let data = windows(&random(2, 8, 2, seed), 4);
        let (_, pasts) = learn(&engine, &Bptt::new(WIDE), &windows(&random(2, 4, 2, seed), 4));
        assert!(pasts.iter().all(|past| past.events(0).len() > 1), "nothing happens before the window");
        let rule = Bptt { smooth: true, ..Bptt::new(WIDE) };
        let run = |engine: &Clocked<f64>| {
            let job = Job { engine, data: &data, loss: LOSS, regulariser: REGULARISER, scale: 0.5, updates: 0, rates: &[] };
            let (mut worker, mut gradients) = (Rule::<f64>::worker(&rule, engine), Gradients::zero(engine));
            worker.go_on_from(pasts.clone());
            let stats = worker.learn(&job, &[2, 3], &mut gradients);
            let all: Vec<Vec<f64>> = gradients.in_order(engine).into_iter().chain(gradients.of_parameters(engine)).collect();
            (all, 0.5 * (stats.loss + stats.penalty))
        };
        let (exact, _) = run(&engine);
        let (h, mut numeric) = (1e-4, exact.clone());
        for k in 0..exact.len() {
            for j in 0..exact[k].len() {
                let mut at = |by: f64| {
                    shift(&mut engine, k, j, by);
                    let loss = run(&engine).1;
                    shift(&mut engine, k, j, -by);
                    loss
                };
                numeric[k][j] = (8.0 * (at(h) - at(-h)) - at(2.0 * h) + at(-2.0 * h)) / (12.0 * h);
            }
        }
        assert!(distance(&exact, &numeric) < 1e-8, "{}, seed {seed}: {:e}", model.name(), distance(&exact, &numeric));
    }
}

/// Moves number `j` of list `k`: of weights, then of parameters.
fn shift(engine: &mut Clocked<f64>, k: usize, j: usize, by: f64) {
    match k.checked_sub(engine.links().len()) {
        Some(k) => engine.set_parameter(k, |values| flat_mut(values)[j] += by).unwrap(),
        None => {
            let store = &mut engine.links_mut()[k].store;
            let slot = store.slots()[j];
            flat_mut(store.weights_mut())[slot] += by;
        }
    }
}

/// Symbols, and at every step the question which one came three steps before: as long as [`gated`] takes from its input to its output.
fn recall(lanes: usize, windows: usize, steps: usize) -> Trials {
    let mut data = Trials::new("recall", 3, steps, 3).in_lanes(lanes);
    let symbol = |lane: usize, t: usize| Seed::new(7).nth(lane as u64).nth(t as u64).rng().random_range(0..3u32);
    for window in 0..windows {
        for lane in 0..lanes {
            let at = |t: usize| symbol(lane, window * steps + t + 3);
            let mut raster = Raster::new(3, steps);
            raster.fill((0..steps).map(|t| (t as u32, at(t))));
            let cue = |t: usize| Cue { start: t as u32, end: t as u32 + 1, class: symbol(lane, window * steps + t) };
            data.push_cues(raster, (0..steps).map(cue).collect());
        }
    }
    data
}

fn options() -> Options {
    let loss = Loss::CrossEntropy(Over::Last);
    Options { batch: 4, carry: true, clip: Some(1.0), schedule: Schedule::Cosine { epochs: 4.0 }, ..Options::new(loss, Seed::new(3)) }
}

fn trainer(dense: bool) -> Trainer {
    match dense {
        true => Trainer::new(&gated(&Gru::default().into(), [3, 20, 12], 5), Bptt::new(WIDE).events_in(), Optimiser::adam(1e-2), options()),
        false => Trainer::new(&gated(&egru(), [3, 20, 12], 5), SparseBptt { surrogate: WIDE }, Optimiser::adam(1e-2), options()),
    }
    .unwrap()
}

#[test]
fn the_same_bits_on_any_number_of_threads_and_after_a_restart() {
    let data = recall(4, 10, 5);
    for dense in [false, true] {
        let run = |threads: usize, restart: bool| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut now = trainer(dense);
                let mut batches = 0;
                while now.epochs() < 2 {
                    let pause = |_| {
                        batches += 1;
                        if restart && batches % 3 == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                    };
                    let mut pause = pause;
                    now.epoch_or_pause(&data, &mut pause).unwrap();
                    if restart {
                        let saved = now.checkpoint();
                        assert_eq!(saved.carried.len(), if now.trials() > 0 { 4 } else { saved.carried.len() });
                        now = trainer(dense);
                        now.restore(&saved).unwrap();
                    }
                }
                let state = now.checkpoint();
                let loss = now.evaluate(&data).unwrap().loss;
                (state.weights.concat().into_iter().map(f32::to_bits).collect::<Vec<_>>(), state.carried, loss.to_bits())
            })
        };
        let expected = run(1, false);
        assert!(expected.1.len() == 4 && expected.1.iter().all(|past| *past != Past::default()));
        assert_eq!(run(3, false), expected, "dense: {dense}");
        assert_eq!(run(2, true), expected, "dense: {dense}");
    }
}

/// A text in windows is judged as the same text in one piece.
#[test]
fn evaluation_reads_on() {
    let (whole, cut) = (recall(4, 1, 40), recall(4, 8, 5));
    let trainer = trainer(false);
    let (one, many) = (trainer.evaluate(&whole).unwrap(), trainer.evaluate(&cut).unwrap());
    assert!((one.mean_loss() - many.mean_loss()).abs() < 1e-6 * one.mean_loss(), "{} {}", one.mean_loss(), many.mean_loss());
    assert_eq!((one.correct, &one.spikes, &one.entries, one.macs_forward), (many.correct, &many.spikes, &many.entries, many.macs_forward));
}

/// What is on its way from window to window arrives in a network that carries its state, and in no other.
#[test]
fn what_is_on_its_way_arrives() {
    let (data, test) = (recall(4, 40, 2), recall(4, 60, 2));
    let learn = |carry: bool| {
        let options = Options { carry, schedule: Schedule::Constant, ..options() };
        let mut trainer =
            Trainer::new(&gated(&egru(), [3, 20, 12], 5), SparseBptt { surrogate: WIDE }, Optimiser::adam(1e-2), options).unwrap();
        (0..20).for_each(|_| drop(trainer.epoch(&data, &|_| ()).unwrap()));
        trainer.evaluate(&test).unwrap().accuracy()
    };
    let (with, without) = (learn(true), learn(false));
    assert!(without < 0.45 && with > 0.6, "{with} {without}");
}

#[test]
fn who_cannot_carry_says_so() {
    let net = gated(&egru(), [3, 4, 2], 1);
    let new = |options| Trainer::new(&net, SparseBptt { surrogate: WIDE }, Optimiser::adam(1e-2), options).unwrap();
    let error = |data: &Trials, options| new(options).epoch(data, &|_| ()).unwrap_err().to_string();
    let alone = random(3, 4, 4, 1);
    assert!(error(&alone, options()).contains("the trials of data set `random` stand each by itself"), "{}", error(&alone, options()));
    let (three, many) = (recall(3, 2, 4), recall(4, 2, 4));
    assert!(error(&three, options()).contains("has 3 lanes, a batch is 4 trials"), "{}", error(&three, options()));
    let uneven = random(3, 4, 5, 1).in_lanes(4);
    assert!(error(&uneven, options()).contains("5 trials in 4 lanes"), "{}", error(&uneven, options()));
    assert!(new(options()).evaluate(&alone).unwrap_err().to_string().contains("cut sequences into lanes"));
    assert!(new(options()).step(&many, &[0, 1]).unwrap_err().to_string().contains("train by epochs"));
    let lif = Net::new(ms(1.0)).input("in", 3).population("a", 4, Lif::default()).population("out", 3, Li::default());
    let lif = lif.project("in", "a", Connect::All, Init::normal(1.0)).project("a", "out", Connect::All, Init::normal(1.0)).output("out");
    let lif = lif.build(Seed::new(1)).unwrap();
    let error = Trainer::new(&lif, Eprop::default(), Optimiser::adam(1e-2), options()).err().unwrap().to_string();
    assert!(error.contains("rule `eprop` begins every trial at rest"), "{error}");
    let trainer = Trainer::new(&lif, SparseBptt::default(), Optimiser::adam(1e-2), options()).unwrap();
    let error = trainer.with_device(Box::new(snn_sparse::Ideal::new(&lif)), None).err().unwrap().to_string();
    assert!(error.contains("begins every trial at rest"), "{error}");
    // A checkpoint of other lanes.
    let mut begun = new(options());
    begun.epoch_or_pause(&many, &mut |_| ControlFlow::Break(())).unwrap();
    let mut saved = begun.checkpoint();
    saved.carried.truncate(2);
    assert!(begun.restore(&saved).unwrap_err().to_string().contains("other lanes"));
}
