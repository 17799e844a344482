//! Spike sequence learning against its textbook form, in f64, and the identities it must satisfy.

use crate::common::{currents, distance, random_events};
use proptest::prelude::*;
use rand::RngExt;
use snn_core::net::{Connect, Init};
use snn_core::neuron::LifPsc;
use snn_core::{Dataset, Net, Network, Seed, Target, Trials, Value, ms};
use snn_learn::{Gradients, Job, Loss, Regulariser, Rule, Stats, TsslBp};
use snn_sparse::lanes::flat_mut;
use snn_sparse::{Clocked, Synapses};

const LOSS: Loss = Loss::Kernel { tau: 3.0, every: 2 };
const CLASSES: usize = 3;

fn both_gradients(engine: &Clocked<f64>, data: &Trials) -> (Vec<Vec<f64>>, Vec<Vec<f64>>, Stats) {
    let rule = TsslBp::default();
    rule.check(engine).unwrap();
    let job = Job { engine, data, loss: LOSS, regulariser: Regulariser::NONE, scale: 1.0, updates: 0, rates: &[] };
    let mut gradients = Gradients::zero(engine);
    let stats = rule.worker(engine).learn(&job, &(0..data.len()).collect::<Vec<_>>(), &mut gradients);
    (gradients.in_order(engine), gradients.of_parameters(engine), stats)
}

fn gradient(engine: &Clocked<f64>, data: &Trials) -> (Vec<Vec<f64>>, Stats) {
    let (weights, _, stats) = both_gradients(engine, data);
    (weights, stats)
}

fn trials(inputs: usize, steps: usize, seed: u64) -> Trials {
    let mut trials = Trials::new("random", inputs, steps, CLASSES);
    for k in 0..CLASSES {
        trials.push(random_events(inputs, steps, false, &mut Seed::new(seed).nth(k as u64).rng()), k);
    }
    trials
}

/// What joins the populations besides the layers in → a → b → out.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Extra {
    Nothing,
    /// `a` hears itself, one to one; and `b` is heard by itself.
    Own,
    /// The same links as a matrix of which only the diagonal is not 0.
    Diagonal,
    /// `a` and `b` hear all of themselves, one and two steps late.
    Recurrent,
    /// `in` is heard by `b`, `a` by `out`.
    Skip,
}

/// Neurons of `a` that differ in everything.
fn different(n: usize) -> LifPsc {
    let each = |low: f64, step: f64| Value::Each((0..n).map(|j| low + step * j as f64).collect());
    LifPsc { tau: each(0.003, 0.0007), tau_syn: each(0.0015, 0.0002), resistance: each(4.0, 0.3), v_th: each(0.8, 0.05), t_ref: 0.0.into() }
}

/// `weight` scales the extra links; 0 leaves them silent.
fn network(extra: Extra, weight: f32, seed: u64) -> Network {
    let init = |n: usize| Init::normal(2.0 / (n as f64).sqrt());
    let mut net = Net::new(ms(1.0))
        .input("in", 5)
        .population("a", 8, different(8))
        .train(&["resistance", "tau", "v_th"])
        .population("b", 7, currents())
        .train(&["resistance"])
        .population("out", CLASSES, LifPsc { v_th: 0.5.into(), ..LifPsc::default() })
        .project("in", "a", Connect::All, init(5))
        .project("a", "b", Connect::All, init(8))
        .project("b", "out", Connect::All, init(7));
    match extra {
        Extra::Nothing => {}
        Extra::Own | Extra::Diagonal => {
            for name in ["a", "b"] {
                let connect = if extra == Extra::Own { Connect::OneToOne } else { Connect::All };
                net = net.project(name, name, connect, Init::Constant(weight)).delay(ms(1.0));
            }
        }
        Extra::Recurrent => {
            net = net.project("a", "a", Connect::All, Init::normal(f64::from(weight))).delay(ms(1.0));
            net = net.project("b", "b", Connect::Random { p: 0.6 }, Init::normal(f64::from(weight))).delay(ms(2.0));
        }
        Extra::Skip => {
            net = net.project("in", "b", Connect::All, Init::normal(f64::from(weight)));
            net = net.project("a", "out", Connect::All, Init::normal(f64::from(weight)));
        }
    }
    let net = net.output("out").build(Seed::new(seed)).unwrap();
    if extra != Extra::Diagonal {
        return net;
    }
    let mut weights: Vec<Vec<f32>> = Clocked::<f32>::compile(&net).weights();
    for (k, n) in [(3, 8), (4, 7)] {
        weights[k].iter_mut().enumerate().for_each(|(place, w)| *w *= f32::from(u8::from(place / n == place % n)));
    }
    net.with_weights(weights).unwrap()
}

/// The rule as it is written down: every current at its sender, full matrices, one loop per sum. Gradients by projection and link, in order, and those by R, τ and threshold
/// of population a and R of b.
fn textbook(net: &Network, data: &Trials) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let draft = net.draft();
    let steps = data.steps();
    let models: Vec<LifPsc> = draft
        .populations
        .iter()
        .map(|p| match &p.model {
            snn_core::neuron::Model::LifPsc(m) => m.clone(),
            other => panic!("{}", other.name()),
        })
        .collect();
    let sizes: Vec<usize> = draft.populations.iter().map(|p| p.size).collect();
    let index = |name: &str| draft.populations.iter().position(|p| p.name == name);
    let mut gradients: Vec<Vec<f64>> =
        draft.projections.iter().map(|p| vec![0.0; p.links.weights(net.size(&p.from), net.size(&p.to))]).collect();
    let mut of_neurons: Vec<Vec<Vec<f64>>> = sizes.iter().map(|&n| vec![vec![0.0; n]; 3]).collect();
    for trial in 0..data.len() {
        let mut input = snn_core::Raster::default();
        data.load(trial, &mut input);
        let theta = |p: usize, j: usize| 1e-3 / models[p].tau.at(j);
        let syn = |p: usize, j: usize| 1e-3 / models[p].tau_syn.at(j);
        // Forward: z, v before reset, i, by population, step and neuron.
        let zeros = || sizes.iter().map(|&n| vec![vec![0.0; n]; steps]).collect::<Vec<_>>();
        let (mut z, mut v, mut i, mut rise) = (zeros(), zeros(), zeros(), zeros());
        let source = |z: &[Vec<Vec<f64>>], from: &str, j: usize, t: usize| match index(from) {
            Some(q) => z[q][t][j],
            None => f64::from(u8::from(input.at(t).contains(&(j as u32)))),
        };
        for t in 0..steps {
            for p in 0..sizes.len() {
                let mut x = vec![0.0; sizes[p]];
                for proj in draft.projections.iter().filter(|q| index(&q.to) == Some(p)) {
                    let Some(from) = t.checked_sub(proj.delay_steps(0, draft.dt)) else { continue };
                    for (j, k, w) in proj.links.triplets(net.size(&proj.from), sizes[p]) {
                        x[k] += f64::from(proj.weights.at(w)) * source(&z, &proj.from, j, from);
                    }
                }
                for k in 0..sizes[p] {
                    let (before, rest) = if t == 0 { (0.0, 0.0) } else { (i[p][t - 1][k], v[p][t - 1][k] * (1.0 - z[p][t - 1][k])) };
                    i[p][t][k] = before + (x[k] - before) * syn(p, k);
                    rise[p][t][k] = models[p].resistance.at(k) * theta(p, k) * i[p][t][k] - theta(p, k) * rest;
                    v[p][t][k] = rest + rise[p][t][k];
                    z[p][t][k] = f64::from(u8::from(v[p][t][k] > models[p].v_th.at(k)));
                }
            }
        }
        // Backward: E = ∂L/∂z, filled by the populations after.
        let mut error = zeros();
        let out = sizes.len() - 1;
        let Target::Class(class) = data.target(trial) else { panic!("no class") };
        for k in 0..CLASSES {
            let (mut a, mut wanted, mut off) = (0.0, 0.0, vec![0.0; steps]);
            for t in 0..steps {
                a += (z[out][t][k] - a) / 3.0;
                wanted += (f64::from(u8::from(k == class && t % 2 == 1)) - wanted) / 3.0;
                off[t] = a - wanted;
            }
            for t in 0..steps {
                error[out][t][k] = (t..steps).map(|s| (2.0f64 / 3.0).powi((s - t) as i32) / 3.0 * off[s]).sum();
            }
        }
        let mut lambda = zeros(); // ∂L/∂v
        let mut psi: Vec<Vec<f64>> = sizes.iter().map(|&n| vec![0.0; n]).collect();
        // Layers from the top; within a layer from the last step on, so that its own links see what comes later.
        for p in (0..sizes.len()).rev() {
            for t in (0..steps).rev() {
                for k in 0..sizes[p] {
                    // Error from links of the layer to itself.
                    let mut e = error[p][t][k];
                    for proj in draft.projections.iter().filter(|q| q.from == q.to && index(&q.to) == Some(p)) {
                        let d = proj.delay_steps(0, draft.dt);
                        for (_, to, w) in proj.links.triplets(sizes[p], sizes[p]).filter(|l| l.0 == k) {
                            for s in t + d..steps {
                                let kernel = syn(p, to) * (1.0 - syn(p, to)).powi((s - t - d) as i32);
                                e += f64::from(proj.weights.at(w)) * kernel * models[p].resistance.at(to) * theta(p, to) * lambda[p][s][to];
                            }
                        }
                    }
                    let (s, u, later) = (z[p][t][k], v[p][t][k], psi[p][k]);
                    let jump = if rise[p][t][k] > 0.0 { s * (1.0 / rise[p][t][k]).min(8.0) } else { 0.0 };
                    let (mut l, mut by_spike) = (jump * e, jump * e);
                    if t < steps - 1 {
                        l += later * u * theta(p, k) * jump + later * (1.0 - theta(p, k)) * (1.0 - s);
                        by_spike += later * u * theta(p, k) * jump;
                    }
                    psi[p][k] = if s > 0.0 { l } else { later * (1.0 - theta(p, k)) };
                    let own: f64 = (0..=t).map(|s| z[p][s][k] * syn(p, k) * (1.0 - syn(p, k)).powi((t - s) as i32)).sum();
                    if own < syn(p, k) / 4.0 {
                        let x = ((models[p].v_th.at(k) - u) / 0.2).clamp(-8.0, 8.0).exp();
                        l = x / ((1.0 + x) * (1.0 + x) * 0.2) * e;
                        by_spike = l;
                    }
                    lambda[p][t][k] = l;
                    let rest = u - rise[p][t][k];
                    let tau = models[p].tau.at(k);
                    of_neurons[p][0][k] += l * i[p][t][k] * 1e-3 / tau;
                    of_neurons[p][1][k] += l * (rest - models[p].resistance.at(k) * i[p][t][k]) * 1e-3 / (tau * tau);
                    of_neurons[p][2][k] -= by_spike;
                }
            }
            for (m, proj) in draft.projections.iter().enumerate().filter(|(_, q)| index(&q.to) == Some(p)) {
                let d = proj.delay_steps(0, draft.dt);
                for (j, k, w) in proj.links.triplets(net.size(&proj.from), sizes[p]) {
                    for t in 0..steps.saturating_sub(d) {
                        let delta: f64 = (t + d..steps)
                            .map(|s| {
                                let kernel = syn(p, k) * (1.0 - syn(p, k)).powi((s - t - d) as i32);
                                kernel * models[p].resistance.at(k) * theta(p, k) * lambda[p][s][k]
                            })
                            .sum();
                        gradients[m][w] += source(&z, &proj.from, j, t) * delta;
                        if let Some(q) = index(&proj.from).filter(|&q| q != p) {
                            error[q][t][j] += f64::from(proj.weights.at(w)) * delta;
                        }
                    }
                }
            }
        }
    }
    let of_b = of_neurons.get(1).map_or(&[][..], |b| &b[..1]);
    (gradients, [&of_neurons[0][..], of_b].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Feed-forward, self-recurrent, recurrent and with skips: the shared sweep gives what the textbook gives.
    #[test]
    fn is_the_textbook(seed in any::<u64>(), steps in 1usize..30, weight in 0.2f32..1.5,
                       extra in prop_oneof![Just(Extra::Nothing), Just(Extra::Own), Just(Extra::Recurrent), Just(Extra::Skip)]) {
        let (net, data) = (network(extra, weight, seed), trials(5, steps, seed));
        let (ours, of_neurons, stats) = both_gradients(&Clocked::compile(&net), &data);
        let (theirs, expected) = textbook(&net, &data);
        prop_assert!(distance(&ours, &theirs) < 1e-11, "{}", distance(&ours, &theirs));
        for (found, expected) in of_neurons.iter().zip(&expected) {
            prop_assert!(distance(std::slice::from_ref(found), std::slice::from_ref(expected)) < 1e-11);
        }
        prop_assert!(steps < 20 || stats.spikes.iter().sum::<u64>() > 0 && theirs.concat().iter().any(|g| *g != 0.0));
    }

    /// A resistance is a factor on all that a neuron hears: with R twice as large and weights half as large nothing changes, and `R·∂L/∂R` is the sum of `w·∂L/∂w` over what comes in.
    #[test]
    fn resistance_and_weights_are_one_scale(seed in any::<u64>(), weight in 0.2f32..1.5, extra in prop_oneof![Just(Extra::Own), Just(Extra::Recurrent), Just(Extra::Skip)]) {
        let (net, data) = (network(extra, weight, seed), trials(5, 25, seed));
        let mut engine = Clocked::<f64>::compile(&net);
        let (weights, of_neurons, stats) = both_gradients(&engine, &data);
        let draft = net.draft();
        for (parameter, gradient) in engine.parameters().iter().zip(&of_neurons).filter(|(p, _)| p.name == "resistance") {
            let (name, n) = (&draft.populations[parameter.population].name, gradient.len());
            let (mut sums, mut sizes) = (vec![0.0; n], vec![0.0f64; n]);
            for (p, g) in draft.projections.iter().zip(&weights).filter(|(p, _)| p.to == *name) {
                for (_, j, k) in p.links.triplets(net.size(&p.from), n) {
                    sums[j] += f64::from(p.weights.at(k)) * g[k];
                    sizes[j] += (f64::from(p.weights.at(k)) * g[k]).abs();
                }
            }
            for j in 0..n {
                let ours = parameter.value().at(j) * gradient[j];
                prop_assert!((ours - sums[j]).abs() <= 1e-12 * sizes[j], "{ours} {}", sums[j]);
            }
        }
        for k in 0..engine.links().len() {
            if engine.links()[k].to == 0 {
                flat_mut(engine.links_mut()[k].store.weights_mut()).iter_mut().for_each(|w| *w *= 0.5);
            }
        }
        engine.set_parameter(0, |r| flat_mut(r).iter_mut().for_each(|r| *r *= 2.0)).unwrap();
        let (_, scaled) = gradient(&engine, &data);
        prop_assert_eq!((scaled.spikes, scaled.loss), (stats.spikes, stats.loss));
    }

    /// Extra links of weight 0 change no bit.
    #[test]
    fn silent_links_change_nothing(seed in any::<u64>(), extra in prop_oneof![Just(Extra::Own), Just(Extra::Recurrent), Just(Extra::Skip)]) {
        let data = trials(5, 20, seed);
        let (plain, _) = gradient(&Clocked::compile(&network(Extra::Nothing, 0.0, seed)), &data);
        let (more, _) = gradient(&Clocked::compile(&network(extra, 0.0, seed)), &data);
        prop_assert_eq!(&plain[..], &more[..3]);
    }

    /// One weight per neuron is the diagonal of a matrix.
    #[test]
    fn own_links_are_a_diagonal(seed in any::<u64>(), weight in 0.2f32..1.5) {
        let data = trials(5, 20, seed);
        let (own, a) = gradient(&Clocked::compile(&network(Extra::Own, weight, seed)), &data);
        let (matrix, b) = gradient(&Clocked::compile(&network(Extra::Diagonal, weight, seed)), &data);
        prop_assert_eq!(a.spikes, b.spikes);
        let diagonal = |k: usize, n: usize| (0..n).map(|j| matrix[k][j * n + j]).collect();
        let theirs = [matrix[0].clone(), matrix[1].clone(), matrix[2].clone(), diagonal(3, 8), diagonal(4, 7)];
        prop_assert!(distance(&own, &theirs) < 1e-12, "{}", distance(&own, &theirs));
    }

    /// A skip over a layer that copies its spikes is a doubled weight.
    #[test]
    fn a_skip_over_a_copy_is_a_doubled_weight(seed in any::<u64>()) {
        let copy = LifPsc { tau: ms(1.0).into(), tau_syn: ms(1.0).into(), resistance: 2.0.into(), ..LifPsc::default() };
        let build = |skip: bool| {
            let net = Net::new(ms(1.0)).input("in", 5).population("a", 6, currents()).population("copy", 6, copy.clone()).population("out", CLASSES, currents());
            let net = net.project("in", "a", Connect::All, Init::normal(1.0)).project("a", "copy", Connect::OneToOne, Init::Constant(1.0));
            let net = net.project("copy", "out", Connect::All, Init::normal(0.5));
            let net = if skip { net.project("a", "out", Connect::All, Init::normal(0.5)) } else { net };
            net.output("out").build(Seed::new(seed)).unwrap()
        };
        let (double, single) = (build(true), build(false));
        let half: Vec<Vec<f32>> = Clocked::<f32>::compile(&single).weights();
        let double = double.with_weights([&half[..], &half[2..]].concat()).unwrap();
        let mut engine = Clocked::<f64>::compile(&single);
        flat_mut(engine.links_mut()[2].store.weights_mut()).iter_mut().for_each(|w| *w *= 2.0);
        let data = trials(5, 25, seed);
        let (one, a) = gradient(&engine, &data);
        let (two, b) = gradient(&Clocked::compile(&double), &data);
        prop_assert_eq!((a.spikes, a.loss), (b.spikes, b.loss));
        prop_assert!(distance(&two[2..3], &one[2..3]) < 1e-12 && distance(&two[3..4], &one[2..3]) < 1e-12);
    }
}

#[test]
fn one_step_of_a_neuron_that_fires_and_of_one_that_does_not() {
    // θ = ½, θ_s = ½, R·θ = 1: a weight of 4 makes v = 2 and fires, one of 1 makes ½.
    let neuron = LifPsc { tau: 0.002.into(), tau_syn: 0.002.into(), resistance: 2.0.into(), ..LifPsc::default() };
    let net =
        Net::new(ms(1.0)).input("in", 1).population("out", 2, neuron).project("in", "out", Connect::All, Init::Constant(4.0)).output("out");
    let mut engine = Clocked::<f64>::compile(&net.build(Seed::new(0)).unwrap());
    flat_mut(engine.links_mut()[0].store.weights_mut())[1] = 1.0;
    let mut data = Trials::new("one step", 1, 1, 2);
    let mut raster = snn_core::Raster::new(1, 1);
    raster.fill([(0, 0)]);
    data.push(raster, 1);
    let (g, stats) = gradient(&engine, &data);
    assert_eq!(stats.spikes, [1]);
    // The loss filters with ⅓: a = ⅓ of the one that fires, E = ⅓·⅓; λ = E/Δv = E/2, and a weight's share is θ_s.
    assert!((g[0][0] - 0.5 / 2.0 / 9.0).abs() < 1e-15, "{g:?}");
    // Nothing wanted of the other in the first step, and nothing there: no error.
    assert_eq!(g[0][1], 0.0);
    // The derivative of a spike stops at 8.
    flat_mut(engine.links_mut()[0].store.weights_mut())[0] = 2.1;
    let steep = TsslBp { steepest: 0.5, ..TsslBp::default() };
    let job = Job { engine: &engine, data: &data, loss: LOSS, regulariser: Regulariser::NONE, scale: 1.0, updates: 0, rates: &[] };
    let mut gradients = Gradients::zero(&engine);
    steep.worker(&engine).learn(&job, &[0], &mut gradients);
    assert!((gradients.in_order(&engine)[0][0] - 0.5 * 0.5 / 9.0).abs() < 1e-15);
}

#[test]
fn a_silent_network_learns_by_the_surrogate_alone() {
    let neuron = LifPsc { v_th: 10.0.into(), ..currents() };
    let net = Net::new(ms(1.0))
        .input("in", 2)
        .population("out", CLASSES, neuron)
        .project("in", "out", Connect::All, Init::Constant(0.1))
        .output("out");
    let net = net.build(Seed::new(0)).unwrap();
    let data = trials(2, 12, 3);
    let (g, stats) = gradient(&Clocked::compile(&net), &data);
    assert_eq!(stats.spikes, [0]);
    // 8 widths below threshold and further the slope is that at 8 widths: with the class's unit too silent, its weights grow.
    let x = (-8f64).exp();
    let slope = x / ((1.0 + x) * (1.0 + x) * 0.2);
    assert!(g[0].iter().all(|g| *g < 0.0));
    let (theirs, _) = textbook(&net, &data);
    assert!(distance(&g, &theirs) < 1e-12);
    let other = TsslBp { width: 0.1, ..TsslBp::default() };
    let engine = Clocked::<f64>::compile(&net);
    let job = Job { engine: &engine, data: &data, loss: LOSS, regulariser: Regulariser::NONE, scale: 1.0, updates: 0, rates: &[] };
    let mut gradients = Gradients::zero(&engine);
    other.worker(&engine).learn(&job, &[0, 1, 2], &mut gradients);
    // Half the width, twice the slope.
    assert!(slope > 0.0 && distance(&gradients.in_order(&engine), &[g[0].iter().map(|g| 2.0 * g).collect()]) < 1e-12);
}

#[test]
fn other_neurons_are_refused_by_name() {
    let build = |model: snn_core::neuron::Model| {
        let net =
            Net::new(ms(1.0)).input("in", 2).population("a", 3, model).project("in", "a", Connect::All, Init::Constant(0.1)).output("a");
        Clocked::<f64>::compile(&net.build(Seed::new(0)).unwrap())
    };
    let refused = |model| Rule::<f64>::check(&TsslBp::default(), &build(model)).unwrap_err().to_string();
    assert!(refused(snn_core::neuron::Lif::default().into()).contains("population `a` (lif)"));
    assert!(refused(LifPsc { t_ref: 0.002.into(), ..LifPsc::default() }.into()).contains("population `a` is refractory"));
    let bad = Rule::<f64>::check(&TsslBp { steepest: f64::NAN, ..TsslBp::default() }, &build(LifPsc::default().into()));
    assert!(bad.unwrap_err().to_string().contains("steepest = NaN"));
    // The first weights of the random networks above do fire.
    let (_, stats) = gradient(&Clocked::compile(&network(Extra::Recurrent, 1.0, 1)), &trials(5, 30, Seed::new(5).rng().random()));
    assert!(stats.spikes.iter().all(|&n| n > 0), "{:?}", stats.spikes);
}
