//! The identities sparse backpropagation must satisfy, in f64, over random networks: feed-forward and recurrent, dense and sparse links,
//! every spiking model, every delay.

use crate::common::{Case, any_model, case, currents, distance, gradient, models, random_events, surrogate};
use proptest::prelude::*;
use rand::RngExt;
use snn_core::net::{Connect, Conv2d, Init, Links, SumPool2d};
use snn_core::neuron::{Li, Lif, LifPsc, Model, Output, Relu, Value};
use snn_core::{Dataset, Net, Network, Raster, Seed, Surrogate, Trials, ms};
use snn_learn::{Bptt, Loss, Over, Rule, SparseBptt};
use snn_sparse::lanes::flat_mut;
use snn_sparse::{Clocked, Simd, Synapses};

const LOSS: Loss = Loss::CrossEntropy(Over::Max);

/// What another order of the same sums may do to the largest entry of a gradient: thousands of terms, each rounded.
const ROUNDING: f64 = 1e-12;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Sparse = dense exactly, when the dense backward pass uses the same surrogate. Summed through up to
    /// three layers, loops and 24 steps in another order.
    #[test]
    fn sparse_equals_dense(case in case(90), surrogate in surrogate()) {
        let engine = Clocked::<f64>::compile(&case.network());
        let data = case.trials(3);
        let (sparse, s) = gradient(&engine, &SparseBptt { surrogate }, &data, LOSS);
        let (dense, d) = gradient(&engine, &Bptt::new(surrogate), &data, LOSS);
        let (events_in, _) = gradient(&engine, &Bptt::new(surrogate).events_in(), &data, LOSS);
        prop_assert_eq!(&s.spikes, &d.spikes);
        prop_assert_eq!(&s.active, &d.active);
        prop_assert!((s.loss - d.loss).abs() < 1e-12 * s.loss.abs());
        prop_assert!((s.penalty - d.penalty).abs() < 1e-12 * (1.0 + s.penalty));
        // Where every path is cut the gradient is zero on both sides, or rounding in both.
        let size = dense.concat().iter().fold(0.0f64, |m, x| m.max(x.abs()));
        prop_assert!(distance(&events_in, &dense) < ROUNDING || size < 1e-14);
        prop_assert!(distance(&sparse, &dense) < ROUNDING || size < 1e-14, "{} of {size}", distance(&sparse, &dense));
    }

    /// The dense gradient is the exact gradient of the smoothed network, and of rectified units as they are.
    #[test]
    fn dense_equals_finite_differences(case in case(5), first in smooth_models(), second in smooth_models(), beta in 1.0f64..3.0) {
        let case = Case { models: [first, second], quiet: [0, 0], ..case };
        let found = finite_differences(&case.network(), &case.trials(2), beta);
        prop_assume!(!found.kink);
        prop_assert!(found.agree(), "{found:?}");
    }

    /// Networks with self-recurrence and a skip, of neurons that are reset to 0 and differ in τ and R, with a logistic function in the place of the spike: the reset has its derivative
    /// too.
    #[test]
    fn logistic_spikes_pass_finite_differences(seed in any::<u64>(), steps in 1usize..12) {
        let each = |from: f64| Value::Each((0..4).map(|j| from * (1.0 + 0.3 * f64::from(j))).collect());
        let a = LifPsc { tau: each(0.003), resistance: each(2.0), ..LifPsc::default() };
        let net = Net::new(ms(1.0)).input("in", 3).population("a", 4, a).population("b", 3, currents()).population("out", 3, Li { tau: 0.01.into() });
        let net = net.project("in", "a", Connect::All, Init::normal(1.0)).project("a", "b", Connect::All, Init::normal(1.0));
        let net = net.project("a", "a", Connect::OneToOne, Init::normal(1.0)).delay(ms(1.0)).project("b", "b", Connect::OneToOne, Init::normal(1.0)).delay(ms(1.0));
        let net = net.project("in", "b", Connect::All, Init::normal(1.0)).project("b", "out", Connect::All, Init::normal(1.0)).output("out");
        let net = net.build(Seed::new(seed)).unwrap();
        let data = events(&net, seed, steps, false);
        let found = differences(&net, &data, &Bptt { smooth: true, ..Bptt::new(Surrogate::logistic(0.2)) });
        prop_assert!(found.agree(), "{found:?}");
    }

    /// Rectified units have no surrogate: the sparse gradient of a network of them is exact as it is, dense, listed or recurrent, from
    /// graded input over one step or several.
    #[test]
    fn rectified_networks_have_exact_gradients(case in case(6), surrogate in surrogate(), steps in 1usize..4) {
        let relu = || Model::from(Relu {});
        let case = Case { models: [relu(), relu()], delays: [0, 0, 0], graded: true, steps, ..case };
        let (net, data) = (case.network(), case.trials(2));
        let found = differences(&net, &data, &SparseBptt { surrogate });
        prop_assume!(!found.kink);
        prop_assert!(found.agree(), "{found:?}");
    }

    /// Both again with windows: shared weights, padding, groups, a pool whose weight is not learned, and a loop of convolutions.
    #[test]
    fn windows_have_the_same_gradients(net in windows(any_model(), 6), surrogate in surrogate(), seed in any::<u64>(), graded in any::<bool>()) {
        let (engine, data) = (Clocked::<f64>::compile(&net), events(&net, seed, 15, graded));
        let (sparse, s) = gradient(&engine, &SparseBptt { surrogate }, &data, LOSS);
        let (dense, d) = gradient(&engine, &Bptt::new(surrogate), &data, LOSS);
        let (events_in, _) = gradient(&engine, &Bptt::new(surrogate).events_in(), &data, LOSS);
        prop_assert_eq!((&s.spikes, &s.active), (&d.spikes, &d.active));
        let size = dense.concat().iter().fold(0.0f64, |m, x| m.max(x.abs()));
        prop_assert!(distance(&events_in, &dense) < ROUNDING || size < 1e-14);
        prop_assert!(distance(&sparse, &dense) < ROUNDING || size < 1e-14, "{} of {size}", distance(&sparse, &dense));
        let pool = net.draft().projections.iter().position(|p| matches!(p.links, Links::SumPool2d(_))).unwrap();
        prop_assert_eq!((&sparse[pool], &dense[pool]), (&vec![0.0], &vec![0.0]));
    }

    #[test]
    fn windows_pass_finite_differences(net in windows(smooth_models(), 3), beta in 1.0f64..3.0, seed in any::<u64>(), graded in any::<bool>()) {
        let found = finite_differences(&net, &events(&net, seed, 6, graded), beta);
        prop_assume!(!found.kink);
        prop_assert!(found.agree(), "{found:?}");
    }

    /// All instruction sets give the same bits, in f32, forward and backward.
    #[test]
    fn instruction_sets_agree_to_the_bit(case in case(150)) {
        let network = case.network();
        let data = case.trials(2);
        let run = |simd| gradient(&Clocked::<f32>::compile_for(&network, simd), &SparseBptt::default(), &data, LOSS).0.concat();
        let bits = |g: Vec<f32>| g.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        let expected = bits(run(Simd::Portable));
        for simd in Simd::available() {
            prop_assert_eq!(bits(run(simd)), expected.clone(), "{:?}", simd);
        }
    }

    /// A window of zero leaves nothing but the readout's weights; silent steps at the end of a trial change nothing.
    #[test]
    fn limits_of_the_window_and_of_the_trial(case in case(40)) {
        let case = Case { recurrent: [false; 3], delays: [0, 0, 0], ..case };
        let engine = Clocked::<f64>::compile(&case.network());
        let data = case.trials(2);
        let (closed, stats) = gradient(&engine, &SparseBptt { surrogate: Surrogate::fast_sigmoid(100.0).window(0.0) }, &data, LOSS);
        // Rectified units have no window, and nothing goes past the others.
        let rectified = case.models.clone().map(|m| m.output() == Output::Rectified);
        prop_assert!(rectified == [true; 2] || closed[0].iter().all(|&g| g == 0.0));
        prop_assert!(rectified[1] || closed[1].iter().all(|&g| g == 0.0));
        prop_assert_eq!(stats.active[..2].to_vec(), (0..2).map(|p| if rectified[p] { stats.spikes[p] } else { 0 }).collect::<Vec<_>>());

        // An infinite window is the untruncated surrogate.
        let open = SparseBptt { surrogate: Surrogate::fast_sigmoid(100.0).window(f64::INFINITY) };
        let (a, _) = gradient(&engine, &open, &data, LOSS);
        let (b, _) = gradient(&engine, &Bptt::new(Surrogate::fast_sigmoid(100.0)), &data, LOSS);
        prop_assert!(distance(&a, &b) < ROUNDING, "{} of {a:?}", distance(&a, &b));
    }

    /// Permuting trials permutes nothing in the sum.
    #[test]
    fn order_of_trials_does_not_matter(case in case(40)) {
        let engine = Clocked::<f64>::compile(&case.network());
        let data = case.trials(3);
        let mut other = Trials::new("random", data.inputs(), data.steps(), data.classes());
        for k in [2, 0, 1] {
            let mut raster = Raster::default();
            data.load(k, &mut raster);
            let snn_core::Target::Class(class) = data.target(k) else { unreachable!() };
            other.push(raster, class);
        }
        let (a, _) = gradient(&engine, &SparseBptt::default(), &data, LOSS);
        let (b, _) = gradient(&engine, &SparseBptt::default(), &other, LOSS);
        prop_assert!(distance(&a, &b) < 1e-13);
    }
}

/// Models whose smoothed form is differentiable, or all but.
fn smooth_models() -> impl Strategy<Value = Model> {
    prop_oneof![2 => models(1.0), 1 => Just(Model::from(Relu {})), 1 => Just(Model::from(currents()))]
}

/// What [`differences`] finds.
#[derive(Debug)]
struct Differences {
    /// Largest distance between a finite difference and the gradient given.
    apart: f64,
    /// Largest entry of the gradient.
    top: f64,
    /// What rounding of the loss alone may do to a finite difference.
    rounding: f64,
    /// Whether a rectified unit went over its kink: then they need not agree.
    kink: bool,
}

impl Differences {
    fn agree(&self) -> bool {
        self.apart <= 1e-5 * self.top + self.rounding
    }
}

/// [`differences`] of the smoothed network.
fn finite_differences(net: &Network, data: &Trials, beta: f64) -> Differences {
    differences(net, data, &Bptt { smooth: true, ..Bptt::new(Surrogate::fast_sigmoid(beta)) })
}

/// Finite differences, by every third weight, of what `rule` takes for the loss, beside the gradient it gives.
fn differences(net: &Network, data: &Trials, rule: &dyn Rule<f64>) -> Differences {
    let mut engine = Clocked::<f64>::compile(net);
    let loss = Loss::CrossEntropy(Over::Sum);
    let (exact, before) = gradient(&engine, rule, data, loss);
    let rectified: Vec<usize> = (0..engine.cells().len()).filter(|&p| engine.cells()[p].output() == Output::Rectified).collect();
    let h = if rectified.is_empty() { 1e-5 } else { 1e-6 };
    let top = exact.iter().flatten().fold(0.0f64, |m, g| m.max(g.abs()));
    let mut found = Differences { apart: 0.0, top, rounding: 16.0 * f64::EPSILON * (before.loss + before.penalty) / h, kink: false };
    for k in (0..engine.links().len()).filter(|&k| !engine.links()[k].store.frozen()).collect::<Vec<_>>() {
        let link = &engine.links()[k];
        let (projection, slots) = (link.projection, link.store.slots());
        let places: Vec<usize> = (0..slots.len()).map(|i| link.subset.as_ref().map_or(i, |subset| subset[i] as usize)).collect();
        for (&slot, i) in slots.iter().zip(places).step_by(3) {
            let mut value = |h: f64| {
                flat_mut(engine.links_mut()[k].store.weights_mut())[slot] += h;
                let stats = gradient(&engine, rule, data, loss).1;
                found.kink |= rectified.iter().any(|&p| stats.spikes[p] != before.spikes[p]);
                flat_mut(engine.links_mut()[k].store.weights_mut())[slot] -= h;
                0.5 * (stats.loss + stats.penalty)
            };
            let numeric = (value(h) - value(-h)) / (2.0 * h);
            found.apart = found.apart.max((numeric - exact[projection][i]).abs());
        }
    }
    found
}

prop_compose! {
    /// Image -> convolution (with itself: a loop) -> pool -> grouped convolution -> readout.
    fn windows(model: impl Strategy<Value = Model>, max: usize)
              (model in model, seed in any::<u64>(), height in 3..3 + max, width in 3..3 + max, channels in 1usize..3, stride in (1usize..3, 1usize..3),
               dilation in 1usize..3, padding in 0usize..2, delay in 0u32..2) -> Network {
        let first = Conv2d::new(channels, height, width, 4, (3, 2)).stride(stride).padding((1, padding)).dilation((1, dilation));
        let (h, w) = first.output();
        let again = Conv2d::new(4, h, w, 4, (3, 1)).padding((1, 0)).groups(4);
        let pool = SumPool2d::new(4, h, w, (2, 2)).stride((1, 2)).padding((1, 1));
        let (ph, pw) = pool.output();
        let loop_gain = if model.output() == Output::Rectified { 0.2 } else { 0.5 };
        let second = Conv2d::new(4, ph, pw, 6, (2, 2)).padding((1, 1)).groups(2);
        Net::new(ms(1.0)).input("image", first.sources())
            .population("a", first.targets(), model.clone()).population("b", pool.targets(), Lif { reset_grad: 1.0.into(), ..Lif::default() })
            .population("c", second.targets(), model).population("out", 3, Li { tau: 0.01.into() })
            .project("image", "a", Connect::Conv2d(first), Init::normal(0.8)).delay(ms(delay.into()))
            .project("a", "a", Connect::Conv2d(again), Init::normal(loop_gain)).delay(ms(1.0))
            .project("a", "b", Connect::SumPool2d(pool), Init::Constant(0.6))
            .project("b", "c", Connect::Conv2d(second), Init::normal(0.9)).delay(ms(delay.into()))
            .project("c", "out", Connect::All, Init::normal(0.5))
            .output("out").build(Seed::new(seed)).unwrap()
    }
}

/// Two trials of random events for a network's input.
fn events(net: &Network, seed: u64, steps: usize, graded: bool) -> Trials {
    let n = net.draft().inputs[0].size;
    let mut trials = Trials::new("random", n, steps, 3);
    for k in 0..2u64 {
        let mut rng = Seed::new(seed).nth(k).rng();
        trials.push(random_events(n, steps, graded, &mut rng), k as usize);
    }
    trials
}

/// A network of rectified units for one step is a dense network: outputs and gradients by hand, in one line of algebra each.
#[test]
fn one_step_of_rectified_units_is_a_dense_network() {
    // x = (1, −2), hidden u = (0.5, −1.5, 2), z = (0.5, 0, 2); y = κ'·Wᵀz with a readout without memory.
    let net = Net::new(ms(1.0))
        .input("in", 2)
        .population("hidden", 3, Relu {})
        .population("out", 2, Li { tau: 1e-9.into() })
        .project("in", "hidden", Connect::All, Init::Constant(0.0))
        .project("hidden", "out", Connect::All, Init::Constant(0.0))
        .output("out")
        .build(Seed::new(0))
        .unwrap();
    let net = net.with_weights(vec![vec![1.5, 0.5, -1.0, 0.5, 1.0, -1.5], vec![1.0, -1.0, 5.0, 5.0, 0.5, 0.25]]).unwrap();
    let mut trials = Trials::new("one", 2, 1, 2);
    let mut raster = Raster::new(2, 1);
    raster.fill_values([(0, 0, 1.0), (0, 1, -2.0)]);
    trials.push(raster, 1);
    let engine = Clocked::<f64>::compile(&net);
    let (g, stats) = gradient(&engine, &SparseBptt::default(), &trials, Loss::CrossEntropy(Over::Last));
    assert_eq!((&stats.spikes, &stats.active), (&vec![2, 0], &vec![2, 0]));
    // y = (1.5, 0): e = scale·(softmax − (0, 1)); the first weights get x·(W₂e)·[u > 0].
    let p = 1.0 / (1.0 + (-1.5f64).exp());
    let e = [0.5 * p, -0.5 * p];
    let (d0, d2) = (e[0] - e[1], 0.5 * e[0] + 0.25 * e[1]);
    let expected = vec![vec![d0, 0.0, d2, -2.0 * d0, 0.0, -2.0 * d2], vec![0.5 * e[0], 0.5 * e[1], 0.0, 0.0, 2.0 * e[0], 2.0 * e[1]]];
    assert!(distance(&g, &expected) < 1e-15, "{g:?} {expected:?}");
    assert!((stats.loss - (-(1.0 - p).ln())).abs() < 1e-15);
}

/// A window that never closes: the gradient to a LIF neuron long after its last active entry is α^n times the one then.
#[test]
fn skipping_silent_steps_is_a_power_of_alpha() {
    use snn_core::neuron::Value;
    // Input 0 at step 0, then silence until input 1 pushes the neuron near threshold at step 9. The readout is a spiking neuron with a
    // rate loss, active at step 9 only.
    let tau = 0.005;
    let net = Net::new(ms(1.0))
        .input("in", 2)
        .population("out", 1, Lif { tau: Value::Shared(tau), ..Lif::default() })
        .project("in", "out", Connect::All, Init::Constant(0.9))
        .output("out")
        .build(Seed::new(0))
        .unwrap();
    let mut trials = Trials::new("two spikes", 2, 12, 1);
    let mut raster = Raster::new(2, 12);
    raster.fill([(0, 0), (9, 1)]);
    trials.push(raster, 0);
    let engine = Clocked::<f64>::compile(&net);
    let rule = SparseBptt { surrogate: Surrogate::fast_sigmoid(100.0).window(0.09) };
    let (g, stats) = gradient(&engine, &rule, &trials, Loss::Rate { correct: 1.0, wrong: 0.0 });
    assert_eq!(stats.active, [1], "active at step 9 only");
    let alpha = (-1e-3f64 / tau).exp();
    assert!(g[0][1] != 0.0 && (g[0][0] / g[0][1] - alpha.powi(9)).abs() < 1e-15, "{g:?}");
}

/// Two layers end to end: at most 3e-16 of the largest entry, the last place of a double.
#[test]
fn two_layers_agree_to_the_last_place() {
    let lif = || Lif { tau: 0.01.into(), ..Lif::default() };
    for seed in 0..8 {
        let net = Net::new(ms(1.0))
            .input("in", 12)
            .population("h1", 20, lif())
            .population("h2", 15, lif())
            .population("out", 4, Li { tau: 0.01.into() })
            .project("in", "h1", Connect::All, Init::normal(0.6))
            .project("h1", "h2", Connect::All, Init::normal(0.6))
            .delay(ms(1.0))
            .project("h2", "out", Connect::All, Init::normal(0.5))
            .delay(ms(1.0))
            .output("out")
            .build(Seed::new(seed))
            .unwrap();
        let mut trials = Trials::new("noise", 12, 40, 4);
        for k in 0..1u64 {
            let mut rng = Seed::new(seed).child("noise").nth(k).rng();
            let mut raster = Raster::new(12, 40);
            raster.write(|_, list| list.extend((0..12u32).filter(|_| rng.random_bool(0.15))));
            trials.push(raster, k as usize);
        }
        let engine = Clocked::<f64>::compile(&net);
        let surrogate = Surrogate::fast_sigmoid(100.0).window(0.2);
        let (sparse, stats) = gradient(&engine, &SparseBptt { surrogate }, &trials, LOSS);
        let (dense, _) = gradient(&engine, &Bptt::new(surrogate), &trials, LOSS);
        assert!(stats.active[0] > 0 && stats.active[1] > 0, "seed {seed} tests nothing");
        for (k, (s, d)) in sparse.iter().zip(&dense).enumerate() {
            let apart = distance(std::slice::from_ref(s), std::slice::from_ref(d));
            println!("{seed} {k} {apart:e}");
            assert!(apart <= 3e-16, "seed {seed}, projection {k}: {apart:e}");
        }
    }
}
