//! E-prop 2, in f64: the textbook's loop, finite differences where there are any, and e-prop itself.

use crate::common::textbook::{Played, errors_at_spikes, play};
use crate::common::{REGULARISER, any_model, distance, gradient, random_events, surrogate};
use proptest::prelude::*;
use snn_core::net::{Connect, Draft, Init};
use snn_core::neuron::{Li, Lif, Model, Output, Relu, decay};
use snn_core::{Dataset, Net, Network, Raster, Seed, Surrogate, Trials, ms};
use snn_learn::{Bptt, Eprop, Feedback, Form, Gradients, Job, LearnedSignals, Loss, Optimiser, Options, Regulariser, Rule, Trainer};
use snn_sparse::lanes::flat_mut;
use snn_sparse::{Clocked, Synapses, Wants};

const LOSS: Loss = Loss::MeanSquared;
/// The populations, in the order of the description.
const LEARNER: usize = 0;
const SIGNALS: usize = 3;

/// What varies between cases.
#[derive(Clone, Debug)]
struct Case {
    seed: u64,
    size: usize,
    learner: Model,
    generator: Model,
    recurrent: bool,
    hears: bool,
    p: f64,
    delay: u32,
    quiet: f64,
    steps: usize,
}

prop_compose! {
    fn case(max: usize)(seed in any::<u64>(), size in 1..max, learner in any_model(), generator in any_model(), recurrent in any::<bool>(),
            hears in any::<bool>(), p in prop_oneof![Just(1.0), 0.3f64..0.9], delay in 0u32..3, quiet in 0u32..3, steps in 2usize..25) -> Case {
        Case { seed, size, learner, generator, recurrent, hears, p, delay, quiet: quiet.into(), steps }
    }
}

impl Case {
    fn network(&self) -> Network {
        let connect = if self.p < 1.0 { Connect::Random { p: self.p } } else { Connect::All };
        let quiet = |model: &Model| ms(if model.spikes() { self.quiet } else { 0.0 });
        let init = |gain: f64, n: usize| Init::normal(gain / (n as f64 * self.p).sqrt());
        let (n, late) = (self.size, ms(self.delay.into()));
        let mut net = Net::new(ms(1.0))
            .input("in", 6)
            .population("learner", n, self.learner.clone())
            .refractory(quiet(&self.learner))
            .population("out", 2, Li { tau: 0.01.into() })
            .population("generator", 7, self.generator.clone())
            .refractory(quiet(&self.generator))
            .population("signals", n, Li { tau: 0.004.into() })
            .project("in", "learner", Connect::Sources { start: 0, end: 4 }, init(1.6, 4))
            .delay(late)
            .project("learner", "out", Connect::All, init(1.0, n))
            .project("in", "generator", connect, init(1.6, 6))
            .project("generator", "signals", Connect::All, init(1.0, 7))
            .delay(late);
        // Nothing bounds a loop of rectified units but its weights.
        let gain = |model: &Model| if model.output() == Output::Rectified { 0.3 } else { 1.6 };
        if self.recurrent {
            net = net.project("learner", "learner", connect, init(gain(&self.learner), n)).delays(ms(1.0), ms(2.0));
            net = net.project("generator", "generator", connect, init(gain(&self.generator), 7)).delay(ms(1.0));
        }
        if self.hears {
            net = net.project("learner", "generator", connect, init(0.5, n)).delay(ms(1.0));
        }
        net.output("out").build(Seed::new(self.seed)).unwrap()
    }

    fn trials(&self) -> Trials {
        let mut trials = Trials::new("random", 6, self.steps, 0);
        for k in 0..2u64 {
            let raster = random_events(6, self.steps, false, &mut Seed::new(self.seed).nth(k).rng());
            trials.push_series(raster, (0..2 * self.steps).map(|n| (0.7 * n as f32 + k as f32).sin()).collect());
        }
        trials
    }
}

fn rule(surrogate: Surrogate, filter: f64) -> LearnedSignals {
    LearnedSignals { surrogate, learner: "learner".into(), signals: "signals".into(), rate: 0.05, filter }
}

/// The learning signals `[step][neuron]` of the first run of a trial.
fn signals(engine: &Clocked<f64>, data: &Trials, trial: usize) -> Vec<Vec<f64>> {
    let (raster, record) = engine.trial(data, trial, Wants::Spikes);
    let of = |j: usize| record.traces[SIGNALS].series(j).collect::<Vec<_>>();
    let by_unit: Vec<Vec<f64>> = (0..engine.cells()[SIGNALS].size()).map(of).collect();
    (0..raster.steps()).map(|t| by_unit.iter().map(|series| series[t]).collect()).collect()
}

/// The filtered eligibility trace of a link into neuron `j` of the learner.
fn filtered(engine: &Clocked<f64>, played: &Played, j: usize, kappa: f64, x: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut sum = 0.0;
    let filter = |e: f64| {
        sum = kappa * sum + (1.0 - kappa) * e;
        sum
    };
    played.traces(engine, LEARNER, j, x).into_iter().map(filter).collect()
}

/// The gradient by the textbook: every link, every step, forwards. Feedback of the readout is by BPTT in the second run, and that of the learning signals by
/// the true errors at the spikes of the first.
fn textbook(net: &Network, rule: &LearnedSignals, data: &Trials) -> Vec<Vec<f64>> {
    let engine = Clocked::<f64>::compile(net);
    let kappa = decay(ms(1.0), rule.filter);
    let mut draft: Draft = net.draft().clone();
    draft.outputs = vec!["signals".into()];
    let generating = Clocked::<f64>::compile(&draft.try_into().unwrap());
    let mut total: Vec<Vec<f64>> = engine.weights().iter().map(|w| vec![0.0; w.len()]).collect();
    for trial in 0..data.len() {
        // The signals are judged elsewhere.
        let mut played =
            play(&generating, rule.surrogate, &unjudged(data, engine.cells()[SIGNALS].size()), trial, Loss::Linear, Regulariser::NONE);
        let told = signals(&engine, data, trial);
        let mut after = Clocked::<f64>::compile(net);
        let mut traces = Vec::new();
        for (l, link) in engine.links().iter().enumerate().filter(|(_, link)| link.to == LEARNER) {
            let slots = link.store.slots();
            for (i, j, k) in link.store.triplets() {
                let ebar = filtered(&engine, &played, j, kappa, |t| played.heard(link.from, i, t, link.delay));
                let update: f64 = (0..played.steps()).map(|t| told[t][j] * ebar[t]).sum();
                flat_mut(after.links_mut()[l].store.weights_mut())[slots[k]] -= rule.rate * update;
                let place = link.subset.as_ref().map_or(k, |subset| subset[k] as usize);
                traces.push((link.projection, place, j, ebar));
            }
        }
        let one = Trials::clone(data);
        let error = of_one(&after, &Bptt::new(rule.surrogate), &one, trial);
        played.error = vec![vec![0.0; told[0].len()]; played.steps()];
        for (projection, place, j, ebar) in traces {
            ebar.iter().enumerate().for_each(|(t, ebar)| played.error[t][j] -= rule.rate * error[projection][place] * ebar);
        }
        let at_spikes = errors_at_spikes(&generating, &played);
        for link in generating.links() {
            for (i, j, k) in link.store.triplets() {
                let e = played.traces(&generating, link.to, j, |t| played.heard(link.from, i, t, link.delay));
                let place = link.subset.as_ref().map_or(k, |subset| subset[k] as usize);
                total[link.projection][place] += (0..played.steps()).map(|t| at_spikes[link.to][t][j] * e[t]).sum::<f64>();
            }
        }
        total.iter_mut().flatten().zip(error.concat()).for_each(|(sum, g)| *sum += g);
    }
    total
}

/// The same inputs, without anything to say of `units` outputs.
fn unjudged(data: &Trials, units: usize) -> Trials {
    let mut trials = Trials::new("unjudged", data.inputs(), data.steps(), 0);
    for k in 0..data.len() {
        let mut raster = Raster::default();
        data.load(k, &mut raster);
        trials.push_series(raster, vec![0.0; units * data.steps()]);
    }
    trials
}

fn of_one(engine: &Clocked<f64>, rule: &dyn Rule<f64>, data: &Trials, trial: usize) -> Vec<Vec<f64>> {
    let job = Job { engine, data, loss: LOSS, regulariser: REGULARISER, scale: 0.5, updates: 0, rates: &[] };
    let mut gradients = Gradients::zero(engine);
    rule.worker(engine).learn(&job, &[trial], &mut gradients);
    gradients.in_order(engine)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any models with events, loops, delays, connectivity, with and without a filter, whether or not the generator hears the learner.
    #[test]
    fn it_is_the_textbook(case in case(70), surrogate in surrogate(), filter in prop_oneof![Just(0.0), Just(0.01)]) {
        let (net, data, rule) = (case.network(), case.trials(), rule(surrogate, filter));
        let expected = textbook(&net, &rule, &data);
        let (found, _) = gradient(&Clocked::<f64>::compile(&net), &rule, &data, LOSS);
        let size = expected.concat().iter().fold(0.0f64, |m, x| m.max(x.abs()));
        prop_assert!(distance(&found, &expected) < 1e-11 || size < 1e-14, "{:e} of {size}", distance(&found, &expected));
    }

    /// Rectified units need no surrogate, so the loss after the update has a gradient, and this is it: by every weight of generator and readout, and by those
    /// the update starts from where no trace depends on them (no loop in the learner). A generator that spikes changes its learning signals with the
    /// weights of their readout only.
    #[test]
    fn it_is_the_gradient_of_the_loss_after_the_update(case in case(8), spikes in any::<bool>(), filter in prop_oneof![Just(0.0), Just(0.01)]) {
        let relu = || Model::from(Relu {});
        let generator = if spikes { Lif { tau: 0.008.into(), ..Lif::default() }.into() } else { relu() };
        let case = Case { learner: relu(), generator, hears: case.hears && !spikes, quiet: 0.0, ..case };
        let (net, data, rule) = (case.network(), case.trials(), rule(Surrogate::triangle(0.3, 1.0), filter));
        let mut engine = Clocked::<f64>::compile(&net);
        let (exact, before) = gradient(&engine, &rule, &data, LOSS);
        let top = exact.concat().iter().fold(0.0f64, |m, g| m.max(g.abs()));
        let (h, mut apart, mut kink) = (1e-6, 0.0f64, false);
        for k in 0..engine.links().len() {
            let link = &engine.links()[k];
            let places: Vec<usize> = (0..link.store.links()).map(|i| link.subset.as_ref().map_or(i, |subset| subset[i] as usize)).collect();
            let (projection, to, slots) = (link.projection, link.to, link.store.slots());
            if to == LEARNER && case.recurrent || spikes && to == 2 {
                continue;
            }
            for (slot, place) in slots.into_iter().zip(places).step_by(2) {
                let mut value = |h: f64| {
                    flat_mut(engine.links_mut()[k].store.weights_mut())[slot] += h;
                    let stats = gradient(&engine, &rule, &data, LOSS).1;
                    kink |= stats.spikes != before.spikes;
                    flat_mut(engine.links_mut()[k].store.weights_mut())[slot] -= h;
                    0.5 * (stats.loss + stats.penalty)
                };
                apart = apart.max(((value(h) - value(-h)) / (2.0 * h) - exact[projection][place]).abs());
            }
        }
        prop_assume!(!kink);
        let rounding = 16.0 * f64::EPSILON * (before.loss + before.penalty) / h;
        prop_assert!(apart <= 1e-5 * top + rounding, "{apart} of {top}, rounding {rounding}");
    }

    /// The update is e-prop's, for a readout that nobody hears and whose errors are the learning signals: one unit per neuron, with the filter's time constant.
    #[test]
    fn the_update_is_that_of_eprop(case in case(70), filter in prop_oneof![Just(1e-9), Just(0.01)]) {
        let (net, data, surrogate) = (case.network(), case.trials(), Surrogate::triangle(0.3, 1.0));
        let (engine, rule) = (Clocked::<f64>::compile(&net), rule(surrogate, filter));
        let mut draft: Draft = net.draft().clone();
        draft.populations.retain(|p| p.name == "learner");
        draft.populations.push(net.draft().populations[SIGNALS].clone());
        draft.populations[1].model = Li { tau: filter.into() }.into();
        draft.projections.retain(|p| p.to == "learner");
        draft.outputs = vec!["signals".into()];
        let taught = Clocked::<f64>::compile(&draft.try_into().unwrap());
        let own = (0..case.size * case.size).map(|k| f32::from(u8::from(k % case.size == k / case.size))).collect();
        let eprop = Eprop { surrogate, feedback: Feedback::Given(vec![("learner".into(), own)]), form: Form::Reverse };
        for trial in 0..2 {
            let after = rule.adapted(&engine, &data, trial).unwrap();
            let told = signals(&engine, &data, trial).concat();
            let mut series = Trials::new("told", 6, case.steps, 0);
            let mut raster = Raster::default();
            data.load(trial, &mut raster);
            series.push_series(raster, told.iter().map(|&l| l as f32).collect());
            let job = Job { engine: &taught, data: &series, loss: Loss::Linear, regulariser: Regulariser::NONE, scale: rule.rate, updates: 0, rates: &[] };
            let mut update = Gradients::zero(&taught);
            eprop.worker(&taught).learn(&job, &[0], &mut update);
            let changes = (engine.links().iter().zip(after.links())).filter(|(link, _)| link.to == LEARNER);
            let expected: Vec<Vec<f64>> = taught.links().iter().zip(&update.links).map(|(link, g)| link.store.in_order(g)).collect();
            let found: Vec<Vec<f64>> = changes
                .map(|(before, after)| before.store.values().iter().zip(after.store.values()).map(|(w, after)| w - after).collect())
                .collect();
            // Targets are f32.
            let size = expected.concat().iter().fold(0.0f64, |m, x| m.max(x.abs()));
            prop_assert!(distance(&found, &expected) < 1e-5 || size < 1e-9, "{:e} of {size}", distance(&found, &expected));
            for (before, after) in engine.links().iter().zip(after.links()).filter(|(link, _)| link.to != LEARNER) {
                prop_assert_eq!(before.store.values(), after.store.values());
            }
        }
    }

    /// All instruction sets give the same bits, in f32.
    #[test]
    fn instruction_sets_agree_to_the_bit(case in case(150)) {
        use snn_sparse::Simd;
        let (net, data, rule) = (case.network(), case.trials(), rule(Surrogate::triangle(0.3, 1.0), 0.01));
        let run = |simd| gradient(&Clocked::<f32>::compile_for(&net, simd), &rule, &data, LOSS).0.concat();
        let bits = |g: Vec<f32>| g.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        let expected = bits(run(Simd::Portable));
        for simd in Simd::available() {
            prop_assert_eq!(bits(run(simd)), expected.clone(), "{:?}", simd);
        }
    }
}

fn plain() -> Case {
    let lif = || Model::from(Lif::default());
    Case { seed: 3, size: 20, learner: lif(), generator: lif(), recurrent: true, hears: true, p: 1.0, delay: 0, quiet: 0.0, steps: 40 }
}

/// `evaluate` is before the update, `gradient` after it, and the network after it is the one that `adapted` gives.
#[test]
fn before_and_after_the_update() {
    let (net, data) = (plain().network(), plain().trials());
    let rule = LearnedSignals { rate: 0.5, ..rule(Surrogate::triangle(0.3, 1.0), 0.01) };
    let mut trainer = Trainer::new(&net, rule.clone(), Optimiser::adam(1e-3), Options::new(LOSS, Seed::new(1))).unwrap();
    let before = trainer.evaluate(&data).unwrap();
    let after = trainer.gradient(&data, &[0, 1]);
    assert_ne!(before.loss, after.loss);
    let by_hand = |trial: usize| {
        let adapted = rule.adapted(trainer.engine(), &data, trial).unwrap();
        let options = Options::new(LOSS, Seed::new(1));
        let trainer = Trainer::new(&adapted.describe().unwrap(), rule.clone(), Optimiser::adam(1e-3), options).unwrap();
        trainer.evaluate(&snn_core::Subset::new(&data, vec![trial])).unwrap().loss
    };
    assert!((by_hand(0) + by_hand(1) - after.loss).abs() < 1e-6 * after.loss, "{} {}", by_hand(0) + by_hand(1), after.loss);
    assert_eq!(after.trials, 2);
}

#[test]
fn impossible_rules_are_refused_by_name() {
    let net = plain().network();
    let engine = Clocked::<f64>::compile(&net);
    let good = || rule(Surrogate::triangle(0.3, 1.0), 0.01);
    let refused = |rule: LearnedSignals, engine: &Clocked<f64>, words: &[&str]| {
        let text = Rule::<f64>::check(&rule, engine).unwrap_err().to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text} lacks one of {words:?}");
        assert_eq!(rule.adapted(engine, &plain().trials(), 0).err().map(|e| e.to_string()), Some(text));
    };
    assert!(Rule::<f64>::check(&good(), &engine).is_ok());
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        refused(LearnedSignals { rate, ..good() }, &engine, &["rate = ", "above 0"]);
    }
    refused(LearnedSignals { filter: -1.0, ..good() }, &engine, &["filter = -1 s", "zero or more"]);
    refused(LearnedSignals { learner: "pupil".into(), ..good() }, &engine, &["no population `pupil`", "the learner"]);
    refused(LearnedSignals { signals: "teacher".into(), ..good() }, &engine, &["no population `teacher`", "li that is no output"]);
    refused(LearnedSignals { learner: "out".into(), ..good() }, &engine, &["`out`", "has no events"]);
    refused(LearnedSignals { signals: "generator".into(), ..good() }, &engine, &["`generator`", "leaky integrator"]);
    refused(LearnedSignals { signals: "out".into(), ..good() }, &engine, &["`out`", "is the output"]);
    refused(LearnedSignals { learner: "generator".into(), ..good() }, &engine, &["`signals` gives 20", "`generator` needs 7"]);
    let mut draft: Draft = net.draft().clone();
    draft.projections.retain(|p| p.to != "learner");
    refused(good(), &Clocked::compile(&draft.try_into().unwrap()), &["`learner`", "hears no link"]);
}
