//! Every engine runs the same description to the same spikes.

use proptest::prelude::*;
use snn_core::net::{Connect, Init};
use snn_core::neuron::{Alif, CubaLif, FewSpikes, If, Li, Lif, LifRefractory, Lsnn, Model, Relu, Reset, Sum, Threshold};
use snn_core::{Fix, Net, Network, Raster, Real, Seed, Surrogate, Value, ms};
use snn_sparse::{Clocked, EventDriven, EventError, Record, Wants, WindowError, Windowed, Windows};

/// Models of every kind that spikes, with a threshold of 1; each neuron has a time constant of its own.
fn any_model() -> impl Strategy<Value = Model> {
    let tau = |n: usize| Value::Each((0..n).map(|j| 0.004 + 0.003 * (j % 4) as f64).collect());
    let reset = |hard: bool| if hard { Reset::To(0.25) } else { Reset::Subtract };
    (0u8..8, any::<bool>()).prop_map(move |(kind, hard)| match kind {
        6 => few_spikes(if hard { 3 } else { 5 }, hard).into(),
        7 => Threshold { v_th: Value::Each((0..SIZE).map(|j| if hard && j == 3 { -0.5 } else { 1.0 }).collect()) }.into(),
        0 => If { reset: reset(hard), ..If::default() }.into(),
        1 => Lif { tau: tau(SIZE), reset: reset(hard), ..Lif::default() }.into(),
        2 => LifRefractory { tau: tau(SIZE), v_th: 1.0.into(), v_reset: 0.5.into(), t_ref: ms(f64::from(hard) * 3.0).into() }.into(),
        4 => Lsnn { tau: tau(SIZE), tau_a: 0.03.into(), v_th: 0.1.into(), ..Lsnn::default() }.into(),
        3 => CubaLif { tau: tau(SIZE), tau_syn: 0.004.into(), ..CubaLif::default() }.into(),
        _ => Alif { tau: tau(SIZE), tau_a: 0.03.into(), ..Alif::default() }.into(),
    })
}

const SIZE: usize = 9;

/// Not a ladder: neurons that fire without input, resets that are no thresholds, negative events.
fn few_spikes(steps: usize, signed: bool) -> FewSpikes {
    // Of a window of more than three steps the last is a pause.
    let pause = usize::from(steps > 3);
    let list = |a: f64, b: f64| (0..steps - pause).map(|t| a + b * (t % 3) as f64).collect();
    let bias = Value::Each((0..SIZE).map(|j| [0.0, 0.7, -0.3][j % 3]).collect());
    FewSpikes { threshold: list(0.6, -0.25), reset: list(0.5, -0.3), weight: list(0.8, -0.5), signed, bias, pause }
}

prop_compose! {
    /// Two populations with every projection that can be, delays per link, and a readout.
    fn any_network()(models in [any_model(), any_model()], seed in any::<u64>(), p in 0.05f64..1.0, delay in 0u32..4, spread in 0u32..4, quiet in [0u32..4, 0..4]) -> Network {
        let connect = if p > 0.8 { Connect::All } else { Connect::Random { p } };
        let late = |net: Net, first: u32| net.delays(ms(f64::from(first)), ms(f64::from(first + spread)));
        let quiet = |k: usize, model: &Model| ms(if model.spikes() { f64::from(quiet[k]) } else { 0.0 });
        let (quiet, [a, b]) = ([quiet(0, &models[1]), quiet(1, &models[0])], models);
        let out: Model = if seed % 2 == 0 { Li { tau: 0.01.into() }.into() } else { Sum { period: 1 + seed as usize % 7, bias: 0.4.into() }.into() };
        let net = Net::new(ms(1.0)).input("in", SIZE).population("b", SIZE, b).refractory(quiet[0]);
        let net = net.population("a", SIZE, a).refractory(quiet[1]).population("out", 2, out);
        let net = late(net.project("in", "a", connect, Init::normal(0.9)), delay);
        let net = late(net.project("a", "b", connect, Init::normal(0.9)), delay);
        let net = late(net.project("a", "a", connect, Init::normal(0.5)), 1);
        let net = late(net.project("b", "a", connect, Init::normal(0.5)), delay.max(1));
        let net = late(net.project("b", "out", connect, Init::normal(1.0)), delay);
        net.project("in", "out", Connect::All, Init::Constant(0.3)).output("out").build(Seed::new(seed)).unwrap()
    }
}

/// The same events with values: small whole numbers, so that sums stay exact where those of spikes are.
fn graded(spikes: &Raster) -> Raster {
    let mut raster = spikes.clone();
    raster.fill_values(spikes.iter().map(|(t, u)| (t as u32, u, f64::from((t as u32 + 3 * u) % 5) - 1.0)));
    raster
}

proptest! {
    #[test]
    fn from_event_to_event_is_step_by_step(net in any_network(), events in prop::collection::vec((0u32..120, 0u32..SIZE as u32), 0..150), steps in 120usize..200, values in any::<bool>()) {
        let mut input = Raster::new(SIZE, steps);
        input.fill(events);
        let input = if values { graded(&input) } else { input };
        let clocked = Clocked::<f64>::compile(&net);
        let record = clocked.record(&[&input], Wants::Spikes);
        let mut engine = EventDriven::<f64>::compile(&net).unwrap();
        engine.run(&[&input]);
        for p in 0..3 {
            prop_assert_eq!(engine.spikes(p), &record.spikes[p], "population {}", p);
            for j in 0..record.spikes[p].units() {
                for (x, y) in engine.state(p, j).into_iter().zip(record.traces[p].state(j)) {
                    prop_assert!((x - y).abs() <= 1e-12 * y.abs().max(1.0), "population {} neuron {}: {} and {}", p, j, x, y);
                }
            }
        }
        let output = engine.output(2);
        for j in 0..2 {
            for (t, y) in record.traces[2].series(j).enumerate() {
                prop_assert!((output[2 * t + j] - y).abs() <= 1e-12, "output {} at {}", j, t);
            }
        }
    }
}

/// How often unit `j` of a raster fires again within `steps` steps of a spike.
fn early(raster: &Raster, steps: usize) -> usize {
    let train = |j: u32| (0..raster.steps()).filter(|&t| raster.at(t).contains(&j)).collect::<Vec<_>>();
    (0..raster.units() as u32).map(|j| train(j).windows(2).filter(|w| w[1] - w[0] <= steps).count()).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_trial_piece_by_piece_is_the_trial(net in any_network(), events in prop::collection::vec((0u32..120, 0u32..SIZE as u32), 0..150), piece in 1usize..40) {
        let mut input = Raster::new(SIZE, 120);
        input.fill(events);
        let engine = Clocked::<f64>::compile(&net);
        let (mut whole, mut pieces, mut window) = (Record::new(&engine), Record::new(&engine), Record::new(&engine));
        let wants = Wants::Active(Surrogate::triangle(0.3, 1.0));
        engine.run(&[&input], wants, &mut whole);
        for (raster, p) in whole.spikes.iter().zip(&net.draft().populations) {
            prop_assert_eq!(early(raster, p.refractory_steps(ms(1.0))), 0, "{} spikes while refractory", p.name);
        }
        engine.begin(120, wants, &mut pieces);
        for until in (piece..120).step_by(piece).chain([120]) {
            engine.advance(until, &[&input], &mut pieces);
        }
        prop_assert_eq!(&pieces.spikes, &whole.spikes);
        // The same active set, in another order, and the same states.
        let sorted = |record: &Record<f64>, p: usize| {
            let a = &record.traces[p].active;
            let mut list: Vec<_> = (0..a.len()).map(|e| (a.step[e], a.unit[e], a.value[e].to_bits())).collect();
            list.sort_unstable();
            list
        };
        for p in 0..3 {
            prop_assert_eq!(sorted(&pieces, p), sorted(&whole, p));
            prop_assert!((0..2).all(|j| pieces.traces[p].state(j) == whole.traces[p].state(j)));
        }
        // For ever, in a window that moves on: the longest delay is 6 steps, the longest refractory period 3.
        let (keep, size) = (7, 7 + piece);
        let mut part = Raster::new(SIZE, size);
        engine.begin(size, Wants::Spikes, &mut window);
        for t in 0..120 {
            if window.reached() == size {
                window.shift(size - keep);
                part.shift(size - keep);
            }
            let here = window.reached();
            part.push_step(here, |units| units.extend_from_slice(input.at(t)));
            engine.advance(here + 1, &[&part], &mut window);
            for p in 0..3 {
                prop_assert_eq!(window.spikes[p].at(here), whole.spikes[p].at(t));
            }
            prop_assert_eq!(window.traces[2].output[here], whole.traces[2].output[t]);
        }
    }
}

prop_compose! {
    /// A network whose sums are exact, whatever their order: weights and reset in quarters, a threshold between them.
    fn exact_network()(sizes in [1usize..200, 1..200], seed in any::<u64>(), p in 0.02f64..1.0, delay in 1u32..5, each in any::<bool>(), sparse in any::<bool>()) -> Network {
        let model = || If { v_th: 1.125.into(), reset: Reset::To(0.25), ..If::default() };
        let connect = if sparse { Connect::Random { p: 0.01 } } else { Connect::Random { p } };
        let [a, b] = sizes;
        let late = |net: Net| net.delay(ms(f64::from(delay)));
        let net = Net::new(ms(1.0)).input("in", 70).population("a", a, model()).population("b", b, model());
        let net = net.project("in", "a", connect, Init::Constant(0.5)).drive("a", 150.0, 0.25).drive("b", 30.0, 0.5);
        let net = late(net.project("a", "b", connect, Init::Constant(0.75)));
        let net = late(net.project("b", "a", Connect::All, Init::Constant(-0.25)));
        let net = late(net.project("b", "b", connect, Init::Constant(-0.5))).output("b").build(Seed::new(seed)).unwrap();
        if !each {
            return net;
        }
        let weights = net.draft().projections.iter().map(|p| p.links.triplets(net.size(&p.from), net.size(&p.to)).map(|(i, j, _)| ((i + j) % 5) as f32 * 0.25 - 0.5).collect());
        net.with_weights(weights.collect()).unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn frozen_engines_with_any_number_of_threads_give_the_same_spikes(net in exact_network(), noise in any::<u64>(), events in prop::collection::vec((0u32..40, 0u32..70), 0..150), values in any::<bool>()) {
        let mut input = Raster::new(70, 40);
        input.fill(events);
        let input = if values { graded(&input) } else { input };
        let run = |engine: Clocked<f32>, wants: Wants| {
            let mut record = Record::new(&engine);
            record.noise = Seed::new(noise);
            engine.run(&[&input], wants, &mut record);
            record.spikes
        };
        let expected = run(Clocked::compile(&net), Wants::Spikes);
        prop_assert_eq!(&run(Clocked::compile(&net), Wants::Active(Surrogate::triangle(0.3, 1.0))), &expected, "strides");
        for threads in [1, 2, 3] {
            prop_assert_eq!(&run(Clocked::frozen(&net, threads), Wants::Spikes), &expected, "{} threads", threads);
        }
        let frozen = Clocked::<f32>::frozen(&net, 1);
        prop_assert_eq!(frozen.weights(), Clocked::<f32>::compile(&net).weights());
        prop_assert_eq!(frozen.matrix(1), Clocked::<f32>::compile(&net).matrix(1));
    }
}

/// The same networks on a chip's numbers, by both engines: the same spikes wherever rounding decides none, and potentials to rounding.
#[test]
fn fixed_point_follows_floating_point() {
    type S1615 = Fix<15>;
    let (mut same, mut spikes) = (0, 0);
    for seed in 0..60 {
        let net = Net::new(ms(1.0)).input("in", 20).population("a", 30, CubaLif::default()).population("b", 30, Alif::default());
        let net = net.project("in", "a", Connect::All, Init::normal(0.1)).project("a", "b", Connect::All, Init::normal(0.3));
        let net = net.project("b", "a", Connect::Random { p: 0.2 }, Init::normal(0.1)).delay(ms(2.0)).output("b");
        let net = net.build(Seed::new(seed)).unwrap();
        let mut input = Raster::new(20, 50);
        input.fill((0..200u64).map(|k| ((k * k * 31 + 7 * seed + k) as u32 % 50, (k * 13 + seed) as u32 % 20)));
        let (exact, chip) = (Clocked::<f64>::compile(&net), Clocked::<S1615>::compile(&net));
        let (mut of_exact, mut of_chip) = (Record::new(&exact), Record::new(&chip));
        exact.run(&[&input], Wants::Spikes, &mut of_exact);
        chip.run(&[&input], Wants::Spikes, &mut of_chip);
        let mut events = EventDriven::<S1615>::compile(&net).unwrap();
        events.run(&[&input]);
        spikes += of_exact.spikes[1].len();
        if of_exact.spikes == of_chip.spikes {
            same += 1;
            for (p, j) in (0..2).flat_map(|p| (0..30).map(move |j| (p, j))) {
                for (x, y) in of_exact.traces[p].state(j).iter().zip(of_chip.traces[p].state(j)) {
                    // Half of 2⁻¹⁵ per product and constant; a membrane of 20 ms gathers some 20 steps of it, a current feeds it.
                    assert!((x - y.value()).abs() < 0.01, "seed {seed}, population {p}, neuron {j}: {x} and {}", y.value());
                }
            }
        }
        assert!((0..2).all(|p| events.spikes(p).len().abs_diff(of_chip.spikes[p].len()) <= 3), "seed {seed}: engines on fixed point");
    }
    assert!(spikes > 1000 && same >= 45, "{same} of 60 networks gave the same {spikes} spikes");
}

/// Rectified units hear each other by values: a layer, and a loop of one step or two, worked by hand; every engine that takes them.
#[test]
fn values_travel_between_populations() {
    let net = |delay: f64| {
        let net = Net::new(ms(1.0)).input("in", 1).population("b", 1, Relu {}).population("a", 1, Relu {});
        let net = net.population("out", 1, Li { tau: 1e-9.into() }).project("in", "a", Connect::All, Init::Constant(2.0));
        let net = net.project("a", "b", Connect::All, Init::Constant(0.5)).project("b", "b", Connect::All, Init::Constant(0.5));
        net.delay(ms(delay)).project("b", "out", Connect::All, Init::Constant(2.0)).output("out").build(Seed::new(0)).unwrap()
    };
    let mut input = Raster::new(1, 5);
    input.fill_dense([0.5, -1.0, 1.5]);
    // u_a = 1, −2, 3, 0, 0.
    let cases = [(1.0, [0.5, 0.25, 1.625, 0.8125, 0.40625]), (2.0, [0.5, 0.0, 1.75, 0.0, 0.875])];
    for (delay, b) in cases {
        for engine in [Clocked::<f64>::compile(&net(delay)), Clocked::frozen(&net(delay), 1), Clocked::frozen(&net(delay), 2)] {
            for wants in [Wants::Spikes, Wants::Active(Surrogate::fast_sigmoid(1.0))] {
                let record = engine.record(&[&input], wants);
                assert_eq!(record.spikes[1].iter_values().collect::<Vec<_>>(), [(0, 0, 1.0), (2, 0, 3.0)]);
                assert_eq!((0..5).map(|t| record.spikes[0].value(t, 0)).collect::<Vec<_>>(), b);
                assert_eq!(record.traces[2].series(0).collect::<Vec<_>>(), b.map(|z| 2.0 * z));
                let mut values = Vec::new();
                record.traces[0].values(&mut values);
                assert_eq!(values.iter().map(|block| block[0]).collect::<Vec<_>>(), b);
                // The active set is the events, with a slope of 1.
                assert_eq!((record.traces[1].active.value.clone(), record.traces[1].active.step.clone()), (vec![1.0; 2], vec![0, 2]));
            }
        }
    }
    let refused = EventDriven::<f64>::compile(&net(1.0)).err();
    assert_eq!(refused, Some(EventError::Values { population: "b".into(), model: "relu" }));
}

/// Layers of few-spikes neurons, one of which hears two windows late, and a readout; links of every kind of store.
fn windows_network(steps: usize, signed: bool, p: f64, seed: u64) -> Network {
    let late = |net: Net, windows: usize| net.delay(ms((windows * steps) as f64));
    let connect = if p > 0.7 { Connect::All } else { Connect::Random { p } };
    let net = Net::new(ms(1.0)).input("in", SIZE).population("b", SIZE, few_spikes(steps, signed));
    let net = net.population("a", SIZE, few_spikes(steps, !signed)).population("out", 2, Sum { period: steps, bias: 0.4.into() });
    let net = net.project("in", "a", connect, Init::normal(0.9)).project("a", "b", connect, Init::normal(0.9));
    let net = late(net.project("in", "b", connect, Init::normal(0.9)), 1);
    let net = late(net.project("a", "out", connect, Init::normal(1.0)), 2).project("b", "out", Connect::All, Init::normal(1.0));
    net.output("out").build(Seed::new(seed)).unwrap()
}

proptest! {
    /// Who fires how often, what it is worth, and what is read out at the end of a window.
    #[test]
    fn window_by_window_is_step_by_step(
        steps in 1usize..7, signed in any::<bool>(), p in 0.1f64..1.0, seed in any::<u64>(), values in any::<bool>(),
        events in prop::collection::vec((0u32..120, 0u32..SIZE as u32), 0..150)
    ) {
        let (net, count) = (windows_network(steps, signed, p, seed), 120 / steps);
        let mut input = Raster::new(SIZE, 120);
        input.fill(events);
        let input = if values { graded(&input) } else { input };
        let (clocked, windowed) = (Clocked::<f64>::compile(&net), Windowed::<f64>::compile(&net).unwrap());
        let (mut record, mut windows) = (Record::new(&clocked), Windows::default());
        clocked.run(&[&input], Wants::Spikes, &mut record);
        windowed.run(&[&input], &mut windows);
        let fan_out = |q: usize, unit: u32| {
            let leaving = clocked.links().iter().filter(|link| link.from == snn_sparse::Source::Population(q));
            leaving.map(|link| link.store.fan_out(&[unit]) as u64).sum::<u64>()
        };
        for w in 0..count {
            let within = w * steps..(w + 1) * steps;
            for q in 0..2 {
                let (mut worth, mut spikes, mut links) = ([0.0; SIZE], 0, 0);
                for t in within.clone() {
                    for (&unit, x) in record.spikes[q].at(t).iter().zip(record.spikes[q].values_at(t)) {
                        worth[unit as usize] += x;
                        (spikes, links) = (spikes + 1, links + fan_out(q, unit));
                    }
                }
                prop_assert_eq!((windows.spikes[q][w], windows.synaptic[q][w]), (spikes, links), "population {} window {}", q, w);
                for (unit, x) in worth.into_iter().enumerate() {
                    prop_assert!((windows.events[q].value(w, unit as u32) - x).abs() < 1e-12, "population {} window {} unit {}", q, w, unit);
                }
            }
            for j in 0..2 {
                prop_assert!((windows.output(2, w, j) - record.traces[2].output_at(within.end - 1, j)).abs() < 1e-9, "window {}", w);
            }
        }
    }
}

proptest! {
    /// Numbers are events given at once, whether they go one to one or not.
    #[test]
    fn numbers_are_events_of_a_window(
        steps in 1usize..7, straight in any::<bool>(), seed in any::<u64>(),
        images in prop::collection::vec(prop::collection::vec(prop_oneof![Just(0.0f32), -2.0f32..3.0], SIZE), 0..5)
    ) {
        let connect = if straight { Connect::OneToOne } else { Connect::Random { p: 0.4 } };
        let net = Net::new(ms(1.0)).input("in", SIZE).population("a", SIZE, few_spikes(steps, true)).population("b", SIZE, few_spikes(steps, false));
        let net = net.population("out", 2, Sum { period: steps, bias: 0.4.into() });
        let net = net.project("in", "a", connect, Init::normal(0.9)).project("in", "b", connect, Init::normal(0.9)).delay(ms(steps as f64));
        let net = net.project("a", "out", Connect::All, Init::normal(1.0)).project("b", "out", Connect::All, Init::normal(1.0));
        let net = net.output("out").build(Seed::new(seed)).unwrap();
        let (engine, count) = (Windowed::<f32>::compile(&net).unwrap(), images.len() + 3);
        let mut input = Raster::new(SIZE, count * steps);
        let at = |w: usize| images[w].iter().enumerate().filter(|(_, x)| **x != 0.0).map(move |(i, &x)| ((w * steps) as u32, i as u32, f64::from(x)));
        input.fill_values((0..images.len()).flat_map(at));
        let (mut numbers, mut events) = (Windows::default(), Windows::default());
        engine.run_numbers(&images.concat(), count, &mut numbers);
        engine.run(&[&input], &mut events);
        prop_assert_eq!((&numbers.events, &numbers.spikes, &numbers.synaptic), (&events.events, &events.spikes, &events.synaptic));
        let outputs = |windows: &Windows<f32>| (0..count).flat_map(|w| [windows.output(2, w, 0), windows.output(2, w, 1)]).collect::<Vec<_>>();
        prop_assert_eq!(outputs(&numbers), outputs(&events));
    }
}

#[test]
fn what_does_not_fit_into_windows_is_refused_by_name() {
    let refused = |net: Net| Windowed::<f64>::compile(&net.output("out").build(Seed::new(1)).unwrap()).err().unwrap();
    let net = || Net::new(ms(1.0)).input("in", 2).population("out", 1, Sum { period: 4, ..Sum::default() });
    let few = |steps: usize| FewSpikes::relu(steps, 1.0);
    let join = |net: Net, delay: f64| net.project("in", "a", Connect::All, Init::Constant(1.0)).delay(ms(delay));
    let why = |net: Net, words: &str| assert!(refused(net).to_string().contains(words), "{words}");
    why(join(net().population("a", 2, Lif::default()), 0.0), "`a` (lif) does not hear in windows");
    why(join(net().population("a", 2, few(3)), 0.0), "`a` (few_spikes) has windows of 3 steps, others of 4");
    why(join(net().population("a", 2, few(4)).current(0.1), 0.0), "`a` (few_spikes) has an input at every step");
    why(join(net().population("a", 2, few(4)), 0.0).project("a", "a", Connect::All, Init::Constant(0.1)).delay(ms(4.0)), "part of a loop");
    let late = WindowError::Delay { from: "in".into(), to: "a".into(), steps: 3, period: 4 };
    assert_eq!(refused(join(net().population("a", 2, few(4)), 3.0)), late);
}

/// For every neuron its own.
#[test]
fn a_current_is_an_input_that_never_ends() {
    let current = Value::Each((0..70).map(|j| 0.05 * f64::from(j % 7)).collect());
    let net = |model: Model| {
        Net::new(ms(1.0)).input("in", 70).population("a", 70, model).project("in", "a", Connect::OneToOne, Init::Constant(1.0)).output("a")
    };
    let mut input = Raster::new(70, 60);
    input.fill_dense((0..60 * 70).map(|k| current.at(k % 70)));
    for model in [Lif::default().into(), Lsnn { v_th: 0.02.into(), ..Lsnn::default() }.into()] {
        let run = |net: Net, input: &Raster| {
            let engine = Clocked::<f64>::compile(&net.build(Seed::new(1)).unwrap());
            let record = engine.record(&[input], Wants::Active(Surrogate::fast_sigmoid(10.0)));
            (record.spikes, record.traces[0].active.value.clone())
        };
        let model: Model = model;
        let pushed = run(net(model.clone()), &input);
        assert!(!pushed.0[0].is_empty());
        assert_eq!(run(net(model.clone()).current(current.clone()), &Raster::new(70, 60)), pushed);
    }
}

#[test]
fn noise_is_of_the_trial() {
    let net = Net::new(ms(1.0)).population("a", 100, Lif::default()).drive("a", 100.0, 0.5).output("a").build(Seed::new(1)).unwrap();
    let engine = Clocked::<f32>::compile(&net);
    let run = |seed: u64| {
        let mut record = Record::new(&engine);
        record.noise = Seed::new(seed);
        engine.run_for(200, &[], Wants::Spikes, &mut record);
        record.spikes[0].clone()
    };
    assert!(run(1) == run(1) && run(1) != run(2) && run(1).len() > 100);
}

#[test]
fn silence_costs_nothing() {
    let net = Net::new(ms(1.0))
        .input("in", 1)
        .population("a", 50, Alif::default())
        .project("in", "a", Connect::All, Init::Constant(0.4))
        .output("a")
        .build(Seed::new(1))
        .unwrap();
    let mut engine = EventDriven::<f64>::compile(&net).unwrap();
    let mut input = Raster::new(1, 1_000_000);
    input.fill([(10, 0), (900_000, 0)]);
    engine.run(&[&input]);
    assert_eq!((engine.work().updates, engine.work().synaptic_events, engine.work().queued), (100, 100, 2));
}

#[test]
fn what_cannot_run_from_event_to_event_is_refused_by_name() {
    let net =
        Net::new(ms(1.0)).population("noisy", 3, Lif::default()).drive("noisy", 10.0, 0.1).output("noisy").build(Seed::new(1)).unwrap();
    let error = EventDriven::<f64>::compile(&net).err();
    assert_eq!(error, Some(EventError::Drive { population: "noisy".into() }));
    assert!(error.unwrap().to_string().contains("clocked engine"));
    let net = Net::new(ms(1.0)).population("pushed", 3, Lif::default()).current(0.1).output("pushed").build(Seed::new(1)).unwrap();
    assert_eq!(EventDriven::<f64>::compile(&net).err(), Some(EventError::Current { population: "pushed".into() }));
    let net = Net::new(ms(1.0)).population("chance", 3, Lif::default()).escape(10.0, 0.1).output("chance").build(Seed::new(1)).unwrap();
    assert_eq!(EventDriven::<f64>::compile(&net).err(), Some(EventError::Escape { population: "chance".into() }));
}

/// A population with escape noise fires as often as the description says, with dead time, in any pieces and on any threads.
#[test]
fn escape_noise_is_a_function_of_seed_step_and_neuron() {
    let (rate, width, u) = (40.0, 0.5, 0.3);
    let escape = snn_core::net::Escape { rate, width, transfer: Default::default() };
    let net = Net::new(ms(1.0))
        .population(
            "chance",
            150,
            Lif { v_th: (1.0 - u).into(), tau: 1e-9.into(), reset: snn_core::neuron::Reset::To(0.0), ..Lif::default() },
        )
        .current(1.0)
        .escape(rate, width)
        .refractory(ms(5.0))
        .output("chance")
        .build(Seed::new(1))
        .unwrap();
    let (steps, engine) = (4000, Clocked::<f32>::compile(&net));
    let mut record = Record::new(&engine);
    record.noise = Seed::new(5);
    engine.run_for(steps, &[], Wants::Spikes, &mut record);
    let whole = record.spikes[0].clone();
    // A renewal process: dead for five steps, then a coin at every step.
    let p = escape.chance(u, ms(1.0));
    let (expected, intervals) = ((steps * 150) as f64 / (5.0 + 1.0 / p), (1.0 - p).sqrt() / p / (5.0 + 1.0 / p));
    let found = whole.len() as f64;
    assert!((found - expected).abs() < 4.0 * intervals * expected.sqrt() + 150.0, "{found} spikes, {expected} expected");

    engine.begin(steps, Wants::Spikes, &mut record);
    for until in 0..=steps {
        engine.advance(until, &[], &mut record);
        let dead = until > 0 && (1..=5).any(|ago| until > ago && record.spikes[0].at(until - 1 - ago).contains(&7));
        let chance = record.traces[0].level(7).map(|level| escape.chance(level.into(), ms(1.0)));
        assert!(until == 0 || chance.is_some_and(|c| (c - if dead { 0.0 } else { p }).abs() < 1e-6), "step {until}: {chance:?}");
    }
    assert!(record.spikes[0] == whole, "in pieces");
    for threads in [1, 3] {
        let engine = Clocked::<f32>::frozen(&net, threads);
        let mut record = Record::new(&engine);
        record.noise = Seed::new(5);
        engine.run_for(steps, &[], Wants::Spikes, &mut record);
        assert!(record.spikes[0] == whole, "{threads} threads");
    }
    record.noise = Seed::new(6);
    engine.run_for(steps, &[], Wants::Spikes, &mut record);
    assert!(record.spikes[0] != whole, "another trial");
}

/// Weights that are written while a trial runs count from the next step on, however the links are walked.
#[test]
fn weights_may_change_while_a_trial_runs() {
    use snn_sparse::{Device, Ideal};
    for (connect, high) in
        [(Connect::All, 0.0), (Connect::Random { p: 0.1 }, 0.0), (Connect::Random { p: 0.5 }, 0.0), (Connect::Random { p: 0.2 }, 2.0)]
    {
        let net = Net::new(ms(1.0))
            .input("in", 20)
            .population("out", 10, Lif { reset: snn_core::neuron::Reset::To(0.0), ..Lif::default() })
            .project("in", "out", connect, Init::Constant(2.0))
            .delays(0.0, ms(high))
            .output("out")
            .build(Seed::new(1))
            .unwrap();
        let (links, mut input) = (net.links(), Raster::new(20, 12));
        input.fill((0..12u32).flat_map(|t| (0..20u32).map(move |i| (t, i))));
        let mut device = Ideal::new(&net);
        device.begin(12, Seed::new(0));
        device.advance(6, &[&input]).unwrap();
        device.write(0, &vec![0.0; links]).unwrap();
        device.advance(12, &[&input]).unwrap();
        let late: usize = (9..12).map(|t| device.spikes(0).at(t).len()).sum();
        assert!(!device.spikes(0).at(5).is_empty() && late == 0, "{connect:?}: {late} spikes with weights of 0");
    }
}

/// Everything that a rule reads of a record.
fn seen(engine: &Clocked<f64>, record: &Record<f64>) -> Vec<String> {
    let of = |p: usize| {
        let (trace, cells) = (&record.traces[p], &engine.cells()[p]);
        let active: Vec<_> = (0..trace.active.len()).map(|e| (trace.active.step[e], trace.active.unit[e], trace.active.value[e])).collect();
        let events = cells.output().is_events();
        let fired: Vec<u64> = (0..if events { record.spikes[p].steps() } else { 0 }).map(|t| trace.fired(t, 0)).collect();
        let states: Vec<_> = (0..cells.size()).map(|j| trace.state(j)).collect();
        let output: Vec<f64> = if events { Vec::new() } else { trace.series(0).chain(trace.series(1)).collect() };
        format!("{:?} {active:?} {fired:?} {states:?} {output:?}", record.spikes[p])
    };
    (0..engine.cells().len()).map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    /// The engine's own events give the engine's own record, bit for bit; others give the inputs that belong to them.
    #[test]
    fn a_replay_of_a_trial_is_the_trial(net in any_network(), rectified in any::<bool>(), events in prop::collection::vec((0u32..90, 0u32..SIZE as u32), 0..150)) {
        let net = if rectified {
            let mut draft = net.draft().clone();
            draft.populations.iter_mut().filter(|p| p.model.output().is_events()).for_each(|p| (p.model, p.refractory) = (Relu {}.into(), 0.0));
            Network::try_from(draft).unwrap()
        } else {
            net
        };
        let mut input = Raster::new(SIZE, 90);
        input.fill(events);
        let engine = Clocked::<f64>::compile(&net);
        let (mut once, mut again) = (Record::new(&engine), Record::new(&engine));
        for wants in [Wants::Spikes, Wants::Active(Surrogate::triangle(0.3, 1.0))] {
            engine.run(&[&input], wants, &mut once);
            let own: Vec<&Raster> = once.spikes.iter().collect();
            engine.replay(&[&input], &own, wants, &mut again);
            prop_assert_eq!(seen(&engine, &again), seen(&engine, &once));
        }
        // Nobody hears anybody: the readout has its direct input only.
        let silent: Vec<Raster> = once.spikes.iter().map(|raster| Raster::new(raster.units(), 90)).collect();
        engine.replay(&[&input], &silent.iter().collect::<Vec<_>>(), Wants::Spikes, &mut again);
        prop_assert!(again.spikes[0].is_empty() && again.spikes[1].is_empty());
    }
}
