//! The identities e-prop must satisfy, in f64: the textbook's loop over time, BPTT where theory says so, and the limits of its parameters. The same of
//! e-prop 3, at the end.

use crate::common::textbook::{Played, errors_at_spikes, play};
use crate::common::{Case, REGULARISER, any_model, case, distance, gradient, models, surrogate};
use proptest::prelude::*;
use snn_core::net::{Connect, Conv2d, Draft, Init};
use snn_core::neuron::{Alif, Li, Lif, Model};
use snn_core::{Cue, Dataset, Net, Network, Raster, Seed, Surrogate, Trials, ms};
use snn_learn::{
    Bptt, Eprop, Feedback, Form, Gradients, Job, Loss, Optimiser, Options, Over, RateOver, Regulariser, Rule, SyntheticGradients, Trainer,
};
use snn_sparse::{Block, Clocked, LANES, Source, Synapses, Wants};

const LOSS: Loss = Loss::CrossEntropy(Over::Max);

/// Feedback weights by population, `[unit][readout unit]`, and the delay with which each is heard.
type Feedbacks = Vec<(usize, usize, Vec<f64>)>;

/// The gradient by the textbook: every link, every step, forwards.
fn textbook(engine: &Clocked<f64>, played: &[Played], feedback: &Feedbacks) -> Vec<Vec<f64>> {
    let output = engine.outputs()[0];
    let units = engine.cells()[output].size();
    let li = engine.cells()[output].local();
    let by_link = engine.links().iter().map(|link| {
        let mut gradient = vec![0.0; link.store.values().len()];
        for (i, j, k) in link.store.triplets() {
            for played in played {
                let e = played.traces(engine, link.to, j, |t| played.heard(link.from, i, t, link.delay));
                if link.to == output {
                    gradient[k] += (0..played.steps()).map(|t| played.error[t][j] * e[t]).sum::<f64>();
                    continue;
                }
                gradient[k] += played.constant[link.to][j] * e.iter().sum::<f64>();
                for (_, delay, b) in feedback.iter().filter(|f| f.0 == link.to) {
                    let mut ebar = vec![0.0; units];
                    for t in 0..played.steps() {
                        for o in 0..units {
                            let (kappa, gain) = (li.of(o, 0).s_s[0][0], li.of(o, 0).s_x[0]);
                            ebar[o] = kappa * ebar[o] + gain * if t >= *delay { e[t - delay] } else { 0.0 };
                            gradient[k] += b[j * units + o] * played.error[t][o] * ebar[o];
                        }
                    }
                }
            }
        }
        let mut slots = vec![Block::zero(); link.store.weights().len()];
        let at = link.store.slots();
        gradient.iter().zip(at).for_each(|(&g, slot)| slots[slot / LANES][slot % LANES] = g);
        slots
    });
    let by_link: Vec<_> = by_link.collect();
    engine.in_order(by_link.iter().map(|g| &g[..]))
}

/// The readout's weights as feedback.
fn symmetric(engine: &Clocked<f64>) -> Feedbacks {
    let output = engine.outputs()[0];
    let units = engine.cells()[output].size();
    let of = |&k: &usize| {
        let link = &engine.links()[k];
        let Source::Population(q) = link.from else { return None };
        let (mut b, values) = (vec![0.0; engine.cells()[q].size() * units], link.store.values());
        link.store.triplets().into_iter().for_each(|(j, o, k)| b[j * units + o] += values[k]);
        Some((q, link.delay, b))
    };
    engine.incoming(output).iter().filter_map(of).collect()
}

/// Feedback of our own for every hidden population, as the rule takes it and as the textbook does.
fn given(engine: &Clocked<f64>, seed: u64) -> (Feedback, Feedbacks) {
    let (output, draft) = (engine.outputs()[0], engine.network().draft());
    let units = engine.cells()[output].size();
    let hidden = (0..engine.cells().len()).filter(|&p| p != output);
    let draw = |p: usize| -> Vec<f32> {
        (0..engine.cells()[p].size() * units).map(|k| ((seed % 1000) as f32 + 7.1 * k as f32 + p as f32).sin()).collect()
    };
    let delay = |p: usize| {
        let links = engine.incoming(output).iter().map(|&k| &engine.links()[k]);
        links.filter(|l| l.from == Source::Population(p)).map(|l| l.delay).min().unwrap_or(0)
    };
    let list: Vec<_> = hidden.map(|p| (p, delay(p), draw(p))).collect();
    let rule = list.iter().map(|(p, _, b)| (draft.populations[*p].name.clone(), b.clone())).collect();
    (Feedback::Given(rule), list.into_iter().map(|(p, d, b)| (p, d, b.into_iter().map(f64::from).collect())).collect())
}

fn eprop(surrogate: Surrogate, feedback: Feedback, form: Form) -> Eprop {
    Eprop { surrogate, feedback, form }
}

/// A case's network with another readout.
fn with_readout(net: &Network, tau: f64) -> Network {
    let mut draft: Draft = net.draft().clone();
    draft.populations.iter_mut().filter(|p| p.name == "out").for_each(|p| p.model = Li { tau: tau.into() }.into());
    draft.try_into().unwrap()
}

fn close(a: &[Vec<f64>], b: &[Vec<f64>]) -> Result<(), TestCaseError> {
    let size = b.concat().iter().fold(0.0f64, |m, x| m.max(x.abs()));
    prop_assert!(distance(a, b) < 1e-12 || size < 1e-14, "{:e} of {size}", distance(a, b));
    Ok(())
}

/// Input → one recurrent layer → readout, both dense or listed.
fn layer(model: Model, recurrent: bool, delay: f64, p: f64, seed: u64) -> Network {
    let quiet = ms(if model.spikes() { (seed % 4) as f64 } else { 0.0 });
    let connect = if p < 1.0 { Connect::Random { p } } else { Connect::All };
    let mut net = Net::new(ms(1.0)).input("in", 6).population("a", 70, model).refractory(quiet);
    net = net.population("out", 3, Li { tau: 0.01.into() }).project("in", "a", connect, Init::normal(0.7));
    if recurrent {
        net = net.project("a", "a", connect, Init::normal(0.2)).delay(ms(1.0));
    }
    net.project("a", "out", Connect::All, Init::normal(0.3)).delay(delay).output("out").build(Seed::new(seed)).unwrap()
}

fn trials(seed: u64, steps: usize) -> Trials {
    Case {
        seed,
        sizes: [6, 70, 1, 3],
        models: [Lif::default().into(), Lif::default().into()],
        recurrent: [false; 3],
        delays: [0; 3],
        spread: 0,
        p: 1.0,
        steps,
        quiet: [0, 0],
        graded: false,
    }
    .trials(2)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Online = reverse = textbook: any spiking models, loops, delays, connectivity, readout, windows.
    #[test]
    fn both_forms_are_the_textbook(case in case(70), surrogate in surrogate(), kappa in prop_oneof![Just(1e-9), Just(0.01)], window in 1usize..30) {
        let engine = Clocked::<f64>::compile(&with_readout(&case.network(), kappa));
        let data = case.trials(2);
        let (feedback, list) = given(&engine, case.seed);
        let played: Vec<_> = (0..2).map(|k| play(&engine, surrogate, &data, k, LOSS, REGULARISER)).collect();
        let expected = textbook(&engine, &played, &list);
        let (reverse, s) = gradient(&engine, &eprop(surrogate, feedback.clone(), Form::Reverse), &data, LOSS);
        close(&reverse, &expected)?;
        for window in [1, window] {
            let (online, o) = gradient(&engine, &eprop(surrogate, feedback.clone(), Form::Online { window }), &data, LOSS);
            close(&online, &expected)?;
            prop_assert_eq!((&s.spikes, &s.active, s.loss, s.penalty), (&o.spikes, &o.active, o.loss, o.penalty));
        }
    }

    /// Without recurrent synapses, and with the own spike's gradient as the model gives it, nothing is left out.
    #[test]
    fn without_recurrence_it_is_bptt(model in any_model(), surrogate in surrogate(), seed in any::<u64>(), delay in 0u32..3, dense in any::<bool>(), window in 1usize..40) {
        let net = layer(model, false, ms(delay.into()), if dense { 1.0 } else { 0.4 }, seed);
        let (engine, data) = (Clocked::<f64>::compile(&net), trials(seed, 30));
        let (bptt, _) = gradient(&engine, &Bptt::new(surrogate), &data, LOSS);
        for form in [Form::Reverse, Form::Online { window }] {
            close(&gradient(&engine, &eprop(surrogate, Feedback::Symmetric, form), &data, LOSS).0, &bptt)?;
        }
    }

    /// With loops it is the textbook with the readout's own weights, each with its delay, and BPTT no longer.
    #[test]
    fn symmetric_feedback_is_the_readouts_weights(model in models(0.0), surrogate in surrogate(), seed in any::<u64>(), window in 1usize..40) {
        let mut draft = layer(model, true, 0.0, 0.5, seed).draft().clone();
        let readout = draft.projections.last_mut().unwrap();
        readout.delay = (0..210).map(|k| ms(f64::from(k % 3))).collect::<Vec<_>>().into();
        let engine = Clocked::<f64>::compile(&draft.try_into().unwrap());
        let data = trials(seed, 30);
        let played: Vec<_> = (0..2).map(|k| play(&engine, surrogate, &data, k, LOSS, REGULARISER)).collect();
        let expected = textbook(&engine, &played, &symmetric(&engine));
        for form in [Form::Reverse, Form::Online { window }] {
            close(&gradient(&engine, &eprop(surrogate, Feedback::Symmetric, form), &data, LOSS).0, &expected)?;
        }
        let (bptt, stats) = gradient(&engine, &Bptt::new(surrogate), &data, LOSS);
        prop_assert!(stats.spikes[0] < 20 || distance(&bptt, &expected) > 1e-9);
    }

    /// `dE/dW = Σ_t dE/dz[t]·e[t]` with the true `dE/dz` is BPTT, with loops and the reset's gradient (eq. 1 of the paper).
    #[test]
    fn the_true_error_at_the_spikes_gives_bptt(model in models(1.0), surrogate in surrogate(), seed in any::<u64>(), delay in 0u32..3) {
        let engine = Clocked::<f64>::compile(&layer(model, true, ms(delay.into()), 0.6, seed));
        let data = trials(seed, 25);
        let (bptt, _) = gradient(&engine, &Bptt::new(surrogate), &data, LOSS);
        let mut sum: Vec<Vec<f64>> = bptt.iter().map(|g| vec![0.0; g.len()]).collect();
        for trial in 0..2 {
            let played = play(&engine, surrogate, &data, trial, LOSS, REGULARISER);
            let error = errors_at_spikes(&engine, &played);
            for link in engine.links() {
                for (i, j, k) in link.store.triplets() {
                    let e = played.traces(&engine, link.to, j, |t| played.heard(link.from, i, t, link.delay));
                    sum[link.projection][k] += (0..played.steps()).map(|t| error[link.to][t][j] * e[t]).sum::<f64>();
                }
            }
        }
        close(&sum, &bptt)?;
    }

    /// An adaptation without effect is none.
    #[test]
    fn without_adaptation_alif_is_lif(seed in any::<u64>(), window in 1usize..40) {
        let run = |model: Model, form| {
            let engine = Clocked::<f64>::compile(&layer(model, true, ms(1.0), 1.0, seed));
            gradient(&engine, &eprop(Surrogate::triangle(0.3, 1.0), Feedback::Symmetric, form), &trials(seed, 40), LOSS).0
        };
        for form in [Form::Reverse, Form::Online { window }] {
            close(&run(Alif { beta: 0.0.into(), ..Alif::default() }.into(), form), &run(Lif::default().into(), form))?;
        }
    }

    /// A trial that ends before the readout hears of a neuron teaches that neuron nothing; one step is a whole trial.
    #[test]
    fn limits_of_the_trial(seed in any::<u64>(), model in models(0.0), steps in 1usize..4) {
        for (delay, taught) in [(ms(4.0), false), (0.0, true)] {
            let engine = Clocked::<f64>::compile(&layer(model.clone(), true, delay, 1.0, seed));
            let data = trials(seed, steps);
            for form in [Form::Reverse, Form::Online { window: 2 }] {
                let rule = eprop(Surrogate::triangle(0.3, 1.0), Feedback::Symmetric, form);
                let mut trainer = Gradient::new(&engine, &rule);
                let found = trainer.of(&data, Loss::CrossEntropy(Over::Last), Regulariser::NONE);
                let heard = (0..2).any(|k| { let mut r = Raster::default(); data.load(k, &mut r); !r.is_empty() });
                let hidden = found[..2].concat().iter().any(|&g| g != 0.0);
                // The LSNN cell decides by the voltage of the step before: in so short a trial it may learn nothing.
                let late = matches!(model, Model::Lsnn(_));
                prop_assert!(if taught { hidden || !heard || late } else { !hidden }, "{form:?}");
            }
        }
    }

    /// All instruction sets give the same bits, in f32, in both forms.
    #[test]
    fn instruction_sets_agree_to_the_bit(case in case(150), window in 1usize..30) {
        use snn_sparse::Simd;
        let (network, data) = (case.network(), case.trials(2));
        for form in [Form::Reverse, Form::Online { window }] {
            let rule = eprop(Surrogate::triangle(0.3, 1.0), Feedback::Random { std: 1.0, seed: Seed::new(case.seed) }, form);
            let run = |simd| gradient(&Clocked::<f32>::compile_for(&network, simd), &rule, &data, LOSS).0.concat();
            let bits = |g: Vec<f32>| g.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            let expected = bits(run(Simd::Portable));
            for simd in Simd::available() {
                prop_assert_eq!(bits(run(simd)), expected.clone(), "{:?}", simd);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// With a loss that is a sum over steps the network runs piece by piece, to the same gradient and the same counts.
    #[test]
    fn in_pieces_it_is_the_same(case in case(70), window in 1usize..12, batch in any::<bool>(), cues in any::<bool>()) {
        let case = Case { delays: [case.delays[0], case.delays[1], 0], spread: 0, steps: case.steps + 12, ..case };
        let engine = Clocked::<f64>::compile(&case.network());
        let mut data = case.trials(0);
        for k in 0..2u32 {
            let mut raster = Raster::default();
            case.trials(2).load(k as usize, &mut raster);
            let end = case.steps as u32;
            let whole = vec![Cue { start: 0, end, class: k }];
            data.push_cues(raster, if cues { vec![Cue { start: 3, end: 9, class: k }, Cue { start: 7, end, class: 1 }] } else { whole });
        }
        let rates: Vec<Vec<f64>> = engine.cells().iter().map(|c| (0..c.size()).map(|j| 0.01 * j as f64).collect()).collect();
        let (regulariser, rates) = if batch { (Regulariser::rate(3.0, 0.1, RateOver::Batch), &rates[..]) } else { (Regulariser::NONE, &[][..]) };
        let run = |form| {
            let rule = eprop(Surrogate::triangle(0.4, 0.8), Feedback::Broadcast, form);
            let job = Job { engine: &engine, data: &data, loss: Loss::CrossEntropy(Over::Each), regulariser, scale: 0.5, updates: 0, rates };
            let mut gradients = Gradients::zero(&engine);
            let stats = rule.worker(&engine).learn(&job, &[0, 1], &mut gradients);
            (gradients.in_order(&engine), stats)
        };
        let ((reverse, r), (online, o)) = (run(Form::Reverse), run(Form::Online { window }));
        close(&online, &reverse)?;
        prop_assert!((r.loss - o.loss).abs() < 1e-12 && (r.penalty - o.penalty).abs() < 1e-12);
        prop_assert_eq!((&r.spikes, &r.active, &r.entries, &r.counts), (&o.spikes, &o.active, &o.entries, &o.counts));
        prop_assert_eq!((r.trials, r.decisions, r.correct, r.macs_forward), (o.trials, o.decisions, o.correct, o.macs_forward));
    }
}

/// What the online form holds does not grow with the trial, but for the trial's own input.
#[test]
fn memory_does_not_grow_with_the_trial() {
    let net = layer(Alif::default().into(), true, 0.0, 0.3, 6);
    let engine = Clocked::<f32>::compile(&net);
    let held = |steps: usize| {
        let mut raster = Raster::new(6, steps);
        raster.fill((0..steps as u32).map(|t| (t, t % 6)));
        let mut data = Trials::new("long", 6, steps, 0);
        let input = raster.bytes();
        data.push_series(raster, vec![0.1; 3 * steps]);
        let rule = eprop(Surrogate::triangle(0.3, 1.0), Feedback::Symmetric, Form::Online { window: 20 });
        let (loss, regulariser) = (Loss::SumSquared, Regulariser::NONE);
        let job = Job { engine: &engine, data: &data, loss, regulariser, scale: 1.0, updates: 0, rates: &[] };
        let (mut worker, mut gradients) = (Rule::<f32>::worker(&rule, &engine), Gradients::zero(&engine));
        let stats = worker.learn(&job, &[0], &mut gradients);
        assert!(stats.loss.is_finite() && stats.entries[0] == (70 * steps) as u64 && gradients.norm() > 0.0);
        (worker.bytes(), input)
    };
    let ((short, input), (long, more)) = (held(200), held(100_000));
    assert!(more > 50 * input && long - short < more + 4096, "{short} and {long} bytes, input {input} and {more}");
}

/// One rule on one engine, for other regularisers than the usual.
struct Gradient<'a> {
    engine: &'a Clocked<f64>,
    rule: &'a Eprop,
}

impl<'a> Gradient<'a> {
    fn new(engine: &'a Clocked<f64>, rule: &'a Eprop) -> Self {
        Rule::<f64>::check(rule, engine).unwrap();
        Gradient { engine, rule }
    }
    fn of(&mut self, data: &Trials, loss: Loss, regulariser: Regulariser) -> Vec<Vec<f64>> {
        let job = Job { engine: self.engine, data, loss, regulariser, scale: 1.0, updates: 0, rates: &[] };
        let mut gradients = Gradients::zero(self.engine);
        self.rule.worker(self.engine).learn(&job, &(0..data.len()).collect::<Vec<_>>(), &mut gradients);
        gradients.in_order(self.engine)
    }
}

/// Kolen & Pollack: `B` is moved as the readout's weights are, and both decay.
#[test]
fn adaptive_feedback_follows_the_readout() {
    let (decay, std, seed) = (0.05, 0.4, Seed::new(7));
    let net = layer(Lif::default().into(), true, 0.0, 1.0, 3);
    let data = trials(3, 40);
    let surrogate = Surrogate::triangle(0.3, 1.0);
    let options = Options { batch: 2, ..Options::new(Loss::CrossEntropy(Over::Mean), Seed::new(1)) };
    let make =
        |net: &Network, feedback| Trainer::new(net, eprop(surrogate, feedback, Form::Reverse), Optimiser::adam(1e-2), options).unwrap();
    let mut trainer = make(&net, Feedback::Adaptive { std, decay, seed });
    let keep = 1.0 - decay;
    // At the start it is the random feedback of the same seed.
    let mut random = make(&net, Feedback::Random { std, seed });
    random.gradient(&data, &[0, 1]);
    let mut w: Vec<f64> = trainer.engine().weights()[2].iter().map(|&w| f64::from(w)).collect();
    let mut b: Option<Vec<f64>> = None;
    for update in 0..5 {
        trainer.gradient(&data, &[0, 1]);
        let found: Vec<f64> = trainer.last_gradient().concat().into_iter().map(f64::from).collect();
        let expected: Vec<f64> = if let Some(b) = &b {
            let given = Feedback::Given(vec![("a".into(), b.iter().map(|&b| b as f32).collect())]);
            let mut other = make(&trainer.network().unwrap(), given);
            other.gradient(&data, &[0, 1]);
            other.last_gradient().concat().into_iter().map(f64::from).collect()
        } else {
            random.last_gradient().concat().into_iter().map(f64::from).collect()
        };
        assert!(expected.iter().any(|&g| g != 0.0));
        assert!(distance(&[found], &[expected]) < 1e-5, "update {update}");
        trainer.epoch(&data, &|_| ()).unwrap();
        let now: Vec<f64> = trainer.engine().weights()[2].iter().map(|&w| f64::from(w)).collect();
        // The optimiser's step Δ, from W' = (1 − c)·(W + Δ).
        let first = || draws(std, seed, w.len());
        b = Some(b.unwrap_or_else(first).iter().zip(&w).zip(&now).map(|((b, w), now)| keep * (b + now / keep - w)).collect());
        w = now;
    }
    // Both come together as (1 − c)ⁿ.
    let apart = b.unwrap().iter().zip(&w).map(|(b, w)| (b - w).abs()).fold(0.0, f64::max);
    let start =
        draws(std, seed, w.len()).into_iter().zip(net.draft().projections[2].weights.iter(w.len())).map(|(b, w)| (b - f64::from(w)).abs());
    assert!((apart / start.fold(0.0, f64::max) - keep.powi(5)).abs() < 1e-4);
}

/// The first feedback weights of population `a`, from their definition.
fn draws(std: f64, seed: Seed, count: usize) -> Vec<f64> {
    use rand_distr::{Distribution, Normal};
    let (mut rng, normal) = (seed.child("feedback").child("a").rng(), Normal::new(0.0, std).unwrap());
    (0..count).map(|_| f64::from(normal.sample(&mut rng) as f32)).collect()
}

/// One error for all: the same learning signal at every neuron, 1/√n times the sum.
#[test]
fn broadcast_is_a_sum() {
    let engine = Clocked::<f64>::compile(&layer(Alif::default().into(), true, 0.0, 0.3, 5));
    let given = Feedback::Given(vec![("a".into(), vec![1.0 / 70f32.sqrt(); 210])]);
    for form in [Form::Reverse, Form::Online { window: 9 }] {
        let run = |feedback| gradient(&engine, &eprop(Surrogate::triangle(0.3, 1.0), feedback, form), &trials(5, 30), LOSS).0;
        assert_eq!(run(Feedback::Broadcast), run(given.clone()));
    }
}

#[test]
fn misfits_are_refused_by_name() {
    let deep = |units: usize| {
        let net = Net::new(ms(1.0)).input("in", 9).population("a", 9, Lif::default()).population("b", 9, Lif::default());
        let net = net.project("in", "a", Connect::All, Init::normal(0.1)).project("a", "b", Connect::All, Init::normal(0.1));
        net.population("out", units, Li::default())
            .project("b", "out", Connect::All, Init::normal(0.1))
            .output("out")
            .build(Seed::new(1))
            .unwrap()
    };
    let refused = |net: &Network, feedback: Feedback, form: Form| {
        let rule = eprop(Surrogate::triangle(0.3, 1.0), feedback, form);
        Rule::<f64>::check(&rule, &Clocked::compile(net)).unwrap_err().to_string()
    };
    let random = |std| Feedback::Random { std, seed: Seed::new(1) };
    let error = refused(&deep(2), Feedback::Symmetric, Form::Reverse);
    assert!(error.contains("`a` has no projection to the readout") && error.contains("random"), "{error}");
    assert!(refused(&deep(2), random(f64::NAN), Form::Reverse).contains("feedback std = NaN"));
    assert!(refused(&deep(2), Feedback::Adaptive { std: 1.0, decay: 2.0, seed: Seed::new(1) }, Form::Reverse).contains("decay = 2"));
    assert!(refused(&deep(2), random(1.0), Form::Online { window: 0 }).contains("window = 0"));
    let given = |b: Vec<f32>| Feedback::Given(vec![("a".into(), b)]);
    assert!(refused(&deep(2), given(vec![0.5; 17]), Form::Reverse).contains("17 feedback weights; it needs 9 units x 2"));
    assert!(refused(&deep(2), given(vec![f32::INFINITY; 18]), Form::Reverse).contains("not finite"));
    assert!(refused(&deep(2), given(vec![0.5; 18]), Form::Reverse).contains("`b` is given no feedback weights"));

    let spiking =
        Net::new(ms(1.0)).input("in", 9).population("out", 2, Lif::default()).project("in", "out", Connect::All, Init::normal(0.1));
    let error = refused(&spiking.output("out").build(Seed::new(1)).unwrap(), Feedback::Broadcast, Form::Reverse);
    assert!(error.contains("`out` is the readout and gives events"), "{error}");
    let slow = with_taus(&deep(2), vec![0.01, 0.02]);
    assert!(refused(&slow, Feedback::Broadcast, Form::Online { window: 5 }).contains("one time constant for all units"));
    Rule::<f64>::check(&eprop(Surrogate::triangle(0.3, 1.0), Feedback::Broadcast, Form::Reverse), &Clocked::compile(&slow)).unwrap();
    let conv = Conv2d::new(1, 3, 3, 2, (2, 2));
    let net = Net::new(ms(1.0)).input("in", 9).population("a", 8, Lif::default()).population("out", 2, Li::default());
    let net = net.project("in", "a", Connect::Conv2d(conv), Init::normal(0.1)).project("a", "out", Connect::All, Init::normal(0.1));
    let error = refused(&net.output("out").build(Seed::new(1)).unwrap(), Feedback::Symmetric, Form::Online { window: 5 });
    assert!(error.contains("`in` -> `a` shares its weights"), "{error}");
}

fn with_taus(net: &Network, taus: Vec<f64>) -> Network {
    let mut draft: Draft = net.draft().clone();
    draft.populations.iter_mut().filter(|p| p.name == "out").for_each(|p| p.model = Li { tau: taus.clone().into() }.into());
    draft.try_into().unwrap()
}

/// The whole configuration survives a file.
#[test]
fn a_rule_is_data() {
    let rule = Eprop {
        feedback: Feedback::Adaptive { std: 0.5, decay: 1e-2, seed: Seed::new(3) },
        form: Form::Online { window: 16 },
        ..Eprop::default()
    };
    let text = serde_json::to_string(&rule).unwrap();
    assert_eq!(serde_json::from_str::<Eprop>(&text).unwrap(), rule);
}

/// Two recurrent layers that hear each other, a readout, and a predictor `rest` of `units` units that hears them and, later, the input.
fn predicted(models: [Model; 2], late: bool, p: f64, units: usize, seed: u64) -> Network {
    let [first, second] = models;
    let quiet = |model: &Model| ms(if model.spikes() { (seed % 3) as f64 } else { 0.0 });
    let (quiet_a, quiet_b) = (quiet(&first), quiet(&second));
    let connect = if p < 1.0 { Connect::Random { p } } else { Connect::All };
    let step = ms(1.0);
    Net::new(step)
        .input("in", 6)
        .population("a", 20, first)
        .refractory(quiet_a)
        .population("b", 9, second)
        .refractory(quiet_b)
        .population("out", 3, Li { tau: 0.01.into() })
        .population("rest", units, Li { tau: 0.02.into() })
        .project("in", "a", connect, Init::normal(0.9))
        .delay(ms(2.0))
        .project("a", "a", connect, Init::normal(0.2))
        .delay(step)
        .project("a", "b", Connect::All, Init::normal(0.4))
        .project("b", "b", Connect::All, Init::normal(0.2))
        .delay(step)
        .project("b", "a", connect, Init::normal(0.3))
        .delay(step)
        .project("a", "out", connect, Init::normal(0.3))
        .delay(if late { step } else { 0.0 })
        .project("b", "out", Connect::All, Init::normal(0.3))
        .project("a", "rest", Connect::All, Init::normal(0.2))
        .project("b", "rest", connect, Init::normal(0.2))
        .delay(step)
        .project("in", "rest", Connect::All, Init::normal(0.2))
        .delay(ms(3.0))
        .output("out")
        .build(Seed::new(seed))
        .unwrap()
}

/// The same with as many units of the predictor as it takes.
fn fitting(models: [Model; 2], late: bool, p: f64, seed: u64) -> Clocked<f64> {
    let units = layout(&Clocked::compile(&predicted(models.clone(), late, p, 1, seed)), 3).len();
    Clocked::compile(&predicted(models, late, p, units, seed))
}

/// What a unit of the predictor stands for: population, unit of it, and the state variable, the own part of `∂E/∂z`, or the part through synapses.
#[derive(Clone, Copy)]
enum Part {
    State(usize),
    Own,
    Synapses,
}

fn layout(engine: &Clocked<f64>, predictor: usize) -> Vec<(usize, usize, Part)> {
    let mut list = Vec::new();
    for (p, cells) in engine.cells().iter().enumerate().filter(|&(p, _)| p != predictor) {
        let late = engine.links().iter().any(|l| l.from == Source::Population(p) && l.to != predictor && l.delay > 0);
        let parts = (0..cells.states()).map(Part::State).chain(cells.local().feels_own_spike.then_some(Part::Own));
        for part in parts.chain(late.then_some(Part::Synapses)) {
            list.extend((0..cells.size()).map(|j| (p, j, part)));
        }
    }
    list
}

/// E-prop 3 by the textbook: dense, every window by itself.
struct Windowed {
    /// `L[population][step][unit]`; at the readout `dE/dy`.
    signal: Vec<Vec<Vec<f64>>>,
    /// What the errors of a window leave before step `t`, for every `t`, by unit of the predictor.
    left: Vec<Vec<f64>>,
}

/// `says(t)` is what the predictor says at the end of a window whose last step is `t`, as a derivative.
fn windowed(engine: &Clocked<f64>, played: &Played, window: usize, says: impl Fn(usize) -> Vec<f64>) -> Windowed {
    let (output, predictor, steps) = (engine.outputs()[0], 3, played.steps());
    let list = layout(engine, predictor);
    let zero = |p: usize| vec![vec![0.0; engine.cells()[p].size()]; steps];
    let count = engine.cells().len();
    let (mut signal, mut delta): (Vec<_>, Vec<_>) = ((0..count).map(zero).collect(), (0..count).map(zero).collect());
    let mut left = vec![Vec::new(); steps];
    let triplets: Vec<_> = engine.links().iter().map(|l| (l.store.triplets(), l.store.values())).collect();
    let through = |delta: &[Vec<Vec<f64>>], p: usize, j: usize, t: usize, end: usize, delayed: bool| -> f64 {
        let links = engine.links().iter().zip(&triplets).filter(|(l, _)| l.from == Source::Population(p) && l.to != predictor);
        let links = links.filter(|(l, _)| if delayed { l.delay > 0 } else { t + l.delay < end });
        let each = links.flat_map(|(l, (list, values))| list.iter().filter(|&&(i, ..)| i == j).map(move |link| (l, values, link)));
        each.map(|(l, values, &(_, to, k))| values[k] * delta[l.to][t + l.delay][to]).sum()
    };
    for start in (0..steps).step_by(window) {
        let end = (start + window).min(steps);
        let mut carry: Vec<Vec<([f64; 4], f64)>> = (0..count).map(|p| vec![([0.0; 4], 0.0); engine.cells()[p].size()]).collect();
        let mut late: Vec<Vec<f64>> = engine.cells().iter().map(|c| vec![0.0; c.size()]).collect();
        if end < steps {
            for (&(p, j, part), said) in list.iter().zip(says(end - 1)) {
                match part {
                    Part::State(k) => carry[p][j].0[k] = said,
                    Part::Own => carry[p][j].1 = said,
                    Part::Synapses => late[p][j] = said,
                }
            }
        }
        for t in (start..end).rev() {
            for p in (0..count).rev().filter(|&p| p != predictor) {
                for j in 0..engine.cells()[p].size() {
                    let last = if t + 1 == end { late[p][j] } else { 0.0 };
                    let z = played.constant[p][j] + last + through(&delta, p, j, t, end, false);
                    let (lambda, mu) = carry[p][j];
                    signal[p][t][j] = if p == output { played.error[t][j] } else { z };
                    let d = if p == output { played.error[t][j] } else { played.psi[p][t][j] * (z + mu) };
                    let jac = played.local[p][t][j];
                    let sum = |first: f64, by: [f64; 4]| (0..4).fold(first * d, |sum, i| sum + by[i] * lambda[i]);
                    delta[p][t][j] = sum(jac.u_x, jac.s_x);
                    carry[p][j] = (std::array::from_fn(|k| sum(jac.u_s[k], std::array::from_fn(|i| jac.s_s[i][k]))), sum(jac.u_z, jac.s_z));
                }
            }
            if t > 0 {
                let value = |&(p, j, part): &(usize, usize, Part)| match part {
                    Part::State(k) => carry[p][j].0[k],
                    Part::Own => carry[p][j].1,
                    Part::Synapses => through(&delta, p, j, t - 1, end, true),
                };
                left[t] = list.iter().map(value).collect();
            }
        }
    }
    Windowed { signal, left }
}

/// The predictor's output at every step.
fn predictions(engine: &Clocked<f64>, data: &Trials, trial: usize) -> Vec<Vec<f64>> {
    let (raster, record) = engine.trial(data, trial, Wants::Spikes);
    let trace = &record.traces[3];
    (0..raster.steps()).map(|t| (0..trace.units()).map(|k| trace.output[t * trace.blocks() + k / LANES][k % LANES]).collect()).collect()
}

fn e_prop_3(surrogate: Surrogate, window: usize) -> SyntheticGradients {
    SyntheticGradients { surrogate, window, predictor: "rest".into(), gain: 0.7, weight: 0.3 }
}

fn spiking() -> impl Strategy<Value = Model> {
    prop_oneof![2 => models(0.0), 2 => models(1.0), 1 => any_model()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever the predictor says: learning signals of windows, traces of the whole trial; and the predictor learns what the next window finds. In one go and
    /// piece by piece.
    #[test]
    fn e_prop_3_is_the_textbook(a in spiking(), b in spiking(), surrogate in surrogate(), seed in any::<u64>(), window in 1usize..30, late in any::<bool>(), dense in any::<bool>(), pieces in any::<bool>()) {
        let engine = fitting([a, b], late, if dense { 1.0 } else { 0.5 }, seed);
        let (steps, rule) = (25, e_prop_3(surrogate, window));
        let mut data = trials(seed, steps);
        let (loss, regulariser) = if pieces { (Loss::SumSquared, Regulariser::NONE) } else { (LOSS, REGULARISER) };
        if pieces {
            let mut series = Trials::new("series", 6, steps, 0);
            for k in 0..2 {
                let mut raster = Raster::default();
                data.load(k, &mut raster);
                series.push_series(raster, (0..3 * steps).map(|n| (n as f32).sin()).collect());
            }
            data = series;
        }
        let mut sum: Vec<Vec<f64>> = engine.in_order(Gradients::zero(&engine).links.iter().map(|g| &g[..]));
        let mut penalty = 0.0;
        for trial in 0..2 {
            let played = play(&engine, surrogate, &data, trial, loss, regulariser);
            let said = predictions(&engine, &data, trial);
            let unit = 0.5 * rule.gain;
            let reference = windowed(&engine, &played, window, |t| said[t].iter().map(|y| unit * y).collect());
            let borders: Vec<usize> = (window..steps).step_by(window).collect();
            for link in engine.links() {
                for (i, j, k) in link.store.triplets() {
                    let e = played.traces(&engine, link.to, j, |t| played.heard(link.from, i, t, link.delay));
                    sum[link.projection][k] += if link.to == 3 {
                        borders.iter().map(|&t| 0.5 * rule.weight * (said[t - 1][j] - reference.left[t][j] / unit) * e[t - 1]).sum::<f64>()
                    } else {
                        (0..steps).map(|t| reference.signal[link.to][t][j] * e[t]).sum::<f64>()
                    };
                }
            }
            let off = |&t: &usize| said[t - 1].iter().zip(&reference.left[t]).map(|(y, left)| 0.5 * (y - left / unit).powi(2)).sum::<f64>();
            penalty += rule.weight * borders.iter().map(off).sum::<f64>();
        }
        let job = Job { engine: &engine, data: &data, loss, regulariser, scale: 0.5, updates: 0, rates: &[] };
        Rule::<f64>::check(&rule, &engine).unwrap();
        let mut found = Gradients::zero(&engine);
        let stats = rule.worker(&engine).learn(&job, &[0, 1], &mut found);
        let found = found.in_order(&engine);
        close(&found, &sum)?;
        close(&found[7..], &sum[7..])?;
        prop_assert!(!pieces || (stats.penalty - penalty).abs() <= 1e-9 * penalty, "{} {penalty}", stats.penalty);
    }

    /// A window as long as the trial is BPTT.
    #[test]
    fn e_prop_3_with_one_window_is_bptt(a in spiking(), b in spiking(), surrogate in surrogate(), seed in any::<u64>(), late in any::<bool>(), more in 0usize..5) {
        let engine = fitting([a, b], late, 0.6, seed);
        let data = trials(seed, 25);
        let (bptt, _) = gradient(&engine, &Bptt::new(surrogate), &data, LOSS);
        close(&gradient(&engine, &e_prop_3(surrogate, 25 + more), &data, LOSS).0, &bptt)?;
    }

    /// A predictor that knows is BPTT, whatever the window, and has nothing to learn.
    #[test]
    fn e_prop_3_with_the_true_rest_is_bptt(a in models(1.0), b in models(0.0), surrogate in surrogate(), seed in any::<u64>(), window in 5usize..13, late in any::<bool>()) {
        let mut engine = fitting([a, b], late, 0.6, seed);
        let (steps, rule) = (25, e_prop_3(surrogate, window));
        let data = {
            let (mut one, mut raster) = (Trials::new("random", 6, steps, 3), Raster::default());
            trials(seed, steps).load(0, &mut raster);
            one.push(raster, 1);
            one
        };
        let played = play(&engine, surrogate, &data, 0, LOSS, REGULARISER);
        let truth = windowed(&engine, &played, steps, |_| Vec::new()).left;
        let borders: Vec<usize> = (window..steps).step_by(window).collect();
        // Weights from all sources, `α·X` with the filtered events `X[border][source]`, such that `X·Xᵀ·α` is the truth.
        let into: Vec<usize> = (0..engine.links().len()).filter(|&k| engine.links()[k].to == 3 && matches!(engine.links()[k].from, Source::Input(_)) || engine.links()[k].projection == 7).collect();
        let filtered = |k: usize, i: usize| {
            let link = &engine.links()[k];
            played.traces(&engine, 3, 0, |t| played.heard(link.from, i, t, link.delay))
        };
        let sources: Vec<(usize, usize)> = into.iter().flat_map(|&k| (0..engine.size(engine.links()[k].from)).map(move |i| (k, i))).collect();
        let traces: Vec<Vec<f64>> = sources.iter().map(|&(k, i)| filtered(k, i)).collect();
        let x: Vec<Vec<f64>> = borders.iter().map(|&t| traces.iter().map(|e| e[t - 1]).collect()).collect();
        let units = truth[borders[0]].len();
        // The other links into the predictor are silenced.
        for link in engine.links_mut().iter_mut().filter(|l| l.to == 3) {
            let n = link.store.values().len();
            link.store.set(vec![0.0; n]);
        }
        let mut system: Vec<Vec<f64>> = x.iter().enumerate().map(|(m, row)| {
            let products = x.iter().map(|other| row.iter().zip(other).map(|(a, b)| a * b).sum::<f64>());
            products.chain(truth[borders[m]].iter().map(|d| d / (0.5 * rule.gain))).collect()
        }).collect();
        let n = borders.len();
        for k in 0..n {
            prop_assume!(system[k][k].abs() > 1e-4);
            let pivot = system[k].clone();
            for (_, row) in system.iter_mut().enumerate().filter(|(m, _)| *m != k) {
                let by = row[k] / pivot[k];
                row.iter_mut().zip(&pivot).for_each(|(r, p)| *r -= by * p);
            }
        }
        for &k in &into {
            let from = engine.size(engine.links()[k].from);
            let place = sources.iter().position(|s| *s == (k, 0)).unwrap();
            let weight = |i: usize, unit: usize| (0..n).map(|m| x[m][place + i] * system[m][n + unit] / system[m][m]).sum::<f64>();
            let all: Vec<f64> = (0..from).flat_map(|i| (0..units).map(move |unit| (i, unit))).map(|(i, unit)| weight(i, unit)).collect();
            engine.links_mut()[k].store.set(all);
        }
        let (bptt, plain) = gradient(&engine, &Bptt::new(surrogate), &data, LOSS);
        let (found, stats) = gradient(&engine, &rule, &data, LOSS);
        prop_assert!(distance(&found[..7], &bptt[..7]) < 1e-7, "{:e}", distance(&found[..7], &bptt[..7]));
        prop_assert!((stats.penalty - plain.penalty).abs() < 1e-9);
        // Without the prediction it is another gradient.
        for &k in &into {
            let n = engine.links()[k].store.values().len();
            engine.links_mut()[k].store.set(vec![0.0; n]);
        }
        let (cut, stats) = gradient(&engine, &rule, &data, LOSS);
        prop_assert!(stats.penalty - plain.penalty < 1e-6 || distance(&cut[..7], &bptt[..7]) > 1e-9);
    }
}

/// In a trial that stays the same the predictor comes to say what the next window finds, and the network learns the while.
#[test]
fn the_predictor_learns() {
    let models = [Lif::default().into(), Alif::default().into()];
    let units = layout(&Clocked::compile(&predicted(models.clone(), false, 0.6, 1, 4)), 3).len();
    let mut data = Trials::new("series", 6, 60, 0);
    let mut raster = Raster::default();
    trials(4, 60).load(0, &mut raster);
    data.push_series(raster, (0..180).map(|n| (0.05 * n as f32).sin()).collect());
    let options = Options { batch: 1, ..Options::new(Loss::SumSquared, Seed::new(1)) };
    let rule = SyntheticGradients { gain: 20.0, weight: 1.0, ..e_prop_3(Surrogate::triangle(0.3, 1.0), 10) };
    let mut trainer = Trainer::new(&predicted(models, false, 0.6, units, 4), rule, Optimiser::adam(1e-2), options).unwrap();
    let history: Vec<(f64, f64)> = (0..150).map(|_| trainer.epoch(&data, &|_| ()).unwrap()).map(|s| (s.penalty, s.loss)).collect();
    let ((before, loss), (after, less)) = (history[0], history[149]);
    println!("predictor {before:.4} to {after:.4}, loss {loss:.3} to {less:.3}");
    assert!(after < 0.5 * before && less < 0.8 * loss, "{history:?}");
}

#[test]
fn e_prop_3_refuses_by_name() {
    let models = || [Model::from(Lif::default()), Model::from(Alif::default())];
    let refused = |net: &Network, rule: SyntheticGradients| Rule::<f64>::check(&rule, &Clocked::compile(net)).unwrap_err().to_string();
    let rule = || e_prop_3(Surrogate::triangle(0.3, 1.0), 10);
    let net = predicted(models(), false, 1.0, 7, 1);
    // 20 LIF with synapses late, 9 ALIF that feel their own spikes too, 3 of the readout.
    assert!(refused(&net, rule()).contains("`rest` is the predictor of 7 units; this network needs 79"), "{}", refused(&net, rule()));
    assert!(refused(&net, SyntheticGradients { window: 0, ..rule() }).contains("window = 0"));
    assert!(refused(&net, SyntheticGradients { gain: 0.0, ..rule() }).contains("gain = 0"));
    assert!(refused(&net, SyntheticGradients { weight: f64::NAN, ..rule() }).contains("weight = NaN"));
    assert!(refused(&net, SyntheticGradients { predictor: "none".into(), ..rule() }).contains("no population `none`"));
    assert!(refused(&net, SyntheticGradients { predictor: "out".into(), ..rule() }).contains("`out` is the predictor and the output"));
    assert!(refused(&net, SyntheticGradients { predictor: "a".into(), ..rule() }).contains("`a` is the predictor; it must be a leaky"));
    let mut draft: Draft = predicted(models(), false, 1.0, 79, 1).draft().clone();
    draft.projections[1].delay = ms(2.0).into();
    let error = refused(&draft.try_into().unwrap(), rule());
    assert!(error.contains("`a` -> `a` has a delay of 2 steps"), "{error}");
}
