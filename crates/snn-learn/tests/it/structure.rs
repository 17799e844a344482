//! Structural rules against their equations: random walks, posteriors, signs, budgets, and what they become without noise and penalty.

use proptest::prelude::*;
use rand::RngExt;
use snn_core::net::{Connect, Draft, Init, Links, Projection};
use snn_core::neuron::{Li, Lif};
use snn_core::{Net, Network, Raster, Seed, Value, ms};
use snn_learn::structure::{Budget, Signs, State, Update, Wiring};
use snn_learn::{
    DeepR, GradR, GradRByRows, Gradients, Loss, Moments, Optimiser, Options, Over, SoftDeepR, SparseBptt, Structure, Trainer, Turnover,
};
use snn_sparse::lanes::{flat, flat_mut};
use snn_sparse::{Clocked, Source, Store, Synapses, Wants};
use std::collections::{BTreeMap, BTreeSet};

/// A structural rule on an engine, with gradients from outside.
struct Bench {
    engine: Clocked<f32>,
    moments: Moments,
    gradients: Gradients<f32>,
    optimiser: Optimiser,
    wiring: Box<dyn Wiring>,
}

/// Projection, source, target.
type Place = (usize, u32, u32);

impl Bench {
    fn new(net: &Network, rule: &dyn Structure, optimiser: Optimiser, seed: u64) -> Self {
        let mut engine = Clocked::compile(net);
        rule.check(&engine).unwrap();
        let wiring = rule.begin(&mut engine, Seed::new(seed));
        let lengths: Vec<usize> = engine.links().iter().map(|l| l.store.weights().len()).collect();
        Bench { moments: Moments::new(&optimiser, &lengths), gradients: Gradients::zero(&engine), engine, optimiser, wiring }
    }

    /// One update with the gradient `g(place, weight)`.
    fn step(&mut self, g: impl Fn(Place, f32) -> f32) -> Vec<Turnover> {
        for (k, link) in self.engine.links().iter().enumerate() {
            let (w, into) = (flat(link.store.weights()), flat_mut(&mut self.gradients.links[k]));
            places(link, |slot, i, j| into[slot] = g((link.projection, i, j), w[slot]));
        }
        self.moments.tick();
        let Bench { engine, moments, gradients, optimiser, wiring } = self;
        wiring.update(&mut Update { engine, optimiser: *optimiser, factor: 1.0, moments, gradients })
    }

    /// The weights of all links there are.
    fn weights(&self) -> BTreeMap<Place, f32> {
        let mut all = BTreeMap::new();
        for link in self.engine.links() {
            let w = flat(link.store.weights());
            places(link, |slot, i, j| assert!(all.insert((link.projection, i, j), w[slot]).is_none(), "a pair twice"));
        }
        all
    }
}

/// Calls `each(slot, source, target)` for every link.
fn places(link: &snn_sparse::Link<f32>, mut each: impl FnMut(usize, u32, u32)) {
    match &link.store {
        Store::Csr(csr) => csr.cells().enumerate().for_each(|(slot, (i, j))| each(slot, i, j)),
        store => {
            let slots = store.slots();
            store.triplets().into_iter().for_each(|(i, j, k)| each(slots[k], i as u32, j as u32));
        }
    }
}

/// One layer.
fn layer(n: usize, m: usize, connect: Connect, init: Init) -> Network {
    let net = Net::new(ms(1.0)).input("in", n).population("out", m, Li::default());
    net.project("in", "out", connect, init).output("out").build(Seed::new(3)).unwrap()
}

/// A number in −1…1 as a function of place and time.
fn random(place: Place, t: u64) -> f32 {
    let seed = Seed::new(77).nth(t).nth(place.0 as u64).nth(u64::from(place.1) << 32 | u64::from(place.2));
    (seed.value() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

fn bits(weights: &BTreeMap<Place, f32>) -> Vec<(Place, u32)> {
    weights.iter().map(|(&place, w)| (place, w.to_bits())).collect()
}

/// The integral of `f` over `from..to` (Simpson).
fn integral(from: f64, to: f64, f: impl Fn(f64) -> f64) -> f64 {
    let (n, h) = (2000, (to - from) / 2000.0);
    (0..=n).map(|k| f(from + h * f64::from(k)) * if k == 0 || k == n { 1.0 } else { 2.0 + 2.0 * f64::from(k % 2) }).sum::<f64>() * h / 3.0
}

#[test]
fn without_gradient_and_pull_strengths_walk_at_random_until_they_reach_zero() {
    let (lr, temperature, start, steps) = (1e-2, 0.1f64, 0.5f64, 100);
    let width = (2.0 * lr * temperature).sqrt();
    let net = layer(1000, 1000, Connect::Random { p: 0.01 }, Init::Constant(start as f32));
    let mut bench = Bench::new(&net, &DeepR { temperature, ..DeepR::new(0.0) }, Optimiser::sgd(lr), 1);
    let count = 10_000.0;
    let mut alive: BTreeSet<Place> = bench.weights().into_keys().collect();
    for t in 0..steps {
        bench.step(|_, _| 0.0);
        let now = bench.weights();
        assert_eq!(now.len(), 10_000);
        // A link that grew in this step has weight 0.
        alive.retain(|place| now.get(place).is_some_and(|w| *w != 0.0));
        if t == 0 {
            let moved: Vec<f64> = now.values().map(|w| f64::from(*w) - start).collect();
            let (mean, square) = (moved.iter().sum::<f64>() / count, moved.iter().map(|x| x * x).sum::<f64>() / count);
            assert!(mean.abs() < 4.0 * width / count.sqrt(), "mean {mean}");
            assert!((square / (width * width) - 1.0).abs() < 0.05, "variance {square} for {}", width * width);
        }
    }
    // Reflection principle; a walk in steps crosses later, as if the border lay 0.5826 steps further away (Chernoff 1965).
    let reach = (start + 0.5826 * width) / (width * f64::from(steps).sqrt());
    let survive = integral(-reach, reach, |x| (-0.5 * x * x).exp()) / (std::f64::consts::TAU).sqrt();
    let found = alive.len() as f64 / count;
    assert!((found - survive).abs() < 0.015, "{found} survive, not {survive}");
    // A walk has no drift: what the survivors have is what all began with, less what the dead overshot.
    let now = bench.weights();
    let held = alive.iter().map(|place| f64::from(now[place])).sum::<f64>() / count;
    let expected = start + 0.5826 * width * (1.0 - survive);
    assert!((held - expected).abs() < 0.015, "{held} for {expected}");
}

#[test]
fn soft_deep_r_is_stationary_where_its_theory_says() {
    // Strengths in units of T/α = 1; a step's noise is 0.03 of that.
    let temperature = 4.5e-4;
    for connectivity in [0.5, 0.25] {
        let rule = SoftDeepR { l1: temperature, temperature, connectivity: connectivity.into() };
        let least = rule.least(connectivity);
        let net = layer(32, 64, Connect::All, Init::normal(1.0));
        let mut bench = Bench::new(&net, &rule, Optimiser::sgd(1.0), 5);
        let State { strength, negative } = bench.wiring.save();
        // All dormant, as far down as it goes.
        assert!(bench.wiring.restore(&State { strength: vec![vec![least as f32; strength[0].len()]], negative }));
        let (mut share, mut looks) = (0.0, 0);
        let mut gap = Vec::new();
        for t in 0..60_000 {
            let turnover = bench.step(|_, _| 0.0)[0];
            if t % 10_000 == 9_999 && t > 20_000 {
                (share, looks) = (share + turnover.connectivity(), looks + 1);
                assert_eq!(turnover.live, bench.weights().values().filter(|w| **w != 0.0).count() as u64);
                let mut live: Vec<f64> = bench.weights().values().filter(|w| **w != 0.0).map(|w| f64::from(w.abs())).collect();
                live.sort_by(f64::total_cmp);
                let n = live.len() as f64;
                let off = |(k, x): (usize, &f64)| {
                    let cdf = 1.0 - (-x).exp();
                    (cdf - k as f64 / n).abs().max((cdf - (k as f64 + 1.0) / n).abs())
                };
                gap.push(live.iter().enumerate().map(off).fold(0.0, f64::max) * n.sqrt());
            }
        }
        let share = share / f64::from(looks);
        assert!((share - connectivity).abs() < 0.03, "{share} live, not {connectivity}");
        // Kolmogorov & Smirnov: 1.63 at 1 %; the median of several looks.
        gap.sort_by(f64::total_cmp);
        assert!(gap[gap.len() / 2] < 1.63, "not exponential: {gap:?}");
    }
}

#[test]
fn one_link_visits_every_support_as_often_as_the_posterior_says() {
    const GAIN: [f64; 4] = [1.5, 1.0, -0.8, 0.6];
    const WANTED: f64 = 0.4;
    let l1 = 0.1;
    for (temperature, lr, steps) in [(0.1, 4e-3, 1_500_000), (0.5, 2e-3, 1_500_000)] {
        let mut draft: Draft = layer(4, 1, Connect::All, Init::Constant(0.1)).into();
        draft.projections[0].links = Links::Csr { ends: vec![0, 1, 1, 1, 1], targets: vec![0] };
        let rule = DeepR { temperature, signs: Signs::Pair, ..DeepR::new(l1) };
        let mut bench = Bench::new(&draft.try_into().unwrap(), &rule, Optimiser::sgd(lr), 9);
        let (mut visits, mut signs) = ([0u32; 4], [None; 4]);
        for _ in 0..steps {
            // E = ½(c·w − y)²
            bench.step(|(_, i, _), w| {
                let c = GAIN[i as usize];
                (c * (c * f64::from(w) - WANTED)) as f32
            });
            let Store::Csr(csr) = &bench.engine.links()[0].store else { unreachable!() };
            let (i, w) = (csr.cells().next().unwrap().0 as usize, flat(csr.weights())[0]);
            visits[i] += 1;
            assert_eq!(*signs[i].get_or_insert(w.is_sign_negative()), w.is_sign_negative());
        }
        let mass = |i: usize| {
            let c = if signs[i] == Some(true) { -GAIN[i] } else { GAIN[i] };
            integral(0.0, 40.0, |theta| (-(0.5 * (c * theta - WANTED).powi(2) + l1 * theta) / temperature).exp())
        };
        let masses: Vec<f64> = (0..4).map(mass).collect();
        for i in 0..4 {
            let (found, expected) = (f64::from(visits[i]) / f64::from(steps), masses[i] / masses.iter().sum::<f64>());
            assert!((found - expected).abs() < 0.035, "T = {temperature}, support {i}: {found} of the time, not {expected}");
        }
        // A test that could not fail if the posterior were flat would show nothing.
        assert!(masses.iter().fold(0.0f64, |m, x| m.max(*x)) > 1.5 * masses.iter().fold(f64::MAX, |m, x| m.min(*x)), "{masses:?}");
    }
}

#[test]
fn without_noise_and_pull_a_positive_optimum_is_reached_as_by_the_optimiser_alone() {
    for optimiser in [Optimiser::sgd(0.1), Optimiser::momentum(0.05, 0.9), Optimiser::adam(1e-2)] {
        // Not so small that Adam's first steps go beyond the optimum and back through zero.
        let net = layer(20, 90, Connect::Random { p: 0.3 }, Init::normal(0.5));
        let away = |w: f32| w + 0.5 * w.signum();
        let net = net.with_weights(vec![net.draft().projections[0].weights.given().iter().map(|w| away(*w)).collect()]).unwrap();
        let mut bench = Bench::new(&net, &DeepR::new(0.0), optimiser, 4);
        let begin = bench.weights();
        let gradient = |place: Place, w: f32| w - 2.0 * begin[&place];
        let (mut alone, mut moments) =
            (Clocked::<f32>::compile(&net), Moments::new(&optimiser, &[bench.engine.links()[0].store.weights().len()]));
        for _ in 0..200 {
            let turnover = bench.step(gradient);
            assert_eq!((turnover[0].pruned, turnover[0].grown, turnover[0].live), (0, 0, begin.len() as u64));
            let mut g = Gradients::zero(&alone);
            let w = flat(alone.links()[0].store.weights()).to_vec();
            places(&alone.links()[0], |slot, i, j| flat_mut(&mut g.links[0])[slot] = gradient((0, i, j), w[slot]));
            moments.tick();
            moments.update(&optimiser, 1.0, 0, alone.links_mut()[0].store.weights_mut(), &g.links[0]);
            let plain: Vec<u32> = flat(alone.links()[0].store.weights()).iter().map(|w| w.to_bits()).collect();
            let ours: Vec<u32> = flat(bench.engine.links()[0].store.weights()).iter().map(|w| w.to_bits()).collect();
            assert_eq!(ours, plain);
        }
    }
}

/// A network with a loop, links with delays of their own, and a dense readout.
fn recurrent(p: f64, spread: f64) -> Network {
    Net::new(ms(1.0))
        .input("in", 30)
        .population("a", 70, Lif { tau: 0.01.into(), ..Lif::default() })
        .population("out", 3, Li::default())
        .project("in", "a", Connect::Random { p }, Init::normal(0.5))
        .project("a", "a", Connect::Random { p: 0.5 * p }, Init::normal(0.2))
        .delays(ms(1.0), ms(1.0 + spread))
        .project("a", "out", Connect::All, Init::normal(0.3))
        .output("out")
        .build(Seed::new(2))
        .unwrap()
}

fn deep() -> impl Strategy<Value = DeepR> {
    let signs = prop_oneof![Just(Signs::Random), Just(Signs::Pair), Just(Signs::Source { inhibitory: 0.25 })];
    let budget = prop_oneof![Just(Budget::Each), Just(Budget::Total)];
    (0.0f64..0.5, prop_oneof![Just(0.0), 0.0f64..0.1], signs, budget, any::<bool>())
        .prop_map(|(l1, temperature, signs, budget, autapses)| DeepR { l1, temperature, signs, budget, autapses, fixed: Vec::new() })
}

fn optimiser() -> impl Strategy<Value = Optimiser> {
    prop_oneof![Just(Optimiser::sgd(0.1)), Just(Optimiser::momentum(0.05, 0.8)), Just(Optimiser::adam(0.02))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// After every step: the budget, one link per pair, no autapse that was drawn, signs that hold, no new link but those drawn (with
    /// weight 0 and no momentum), a description that compiles to the same engine; and a second run does the same.
    #[test]
    fn what_deep_r_holds_in_every_step(rule in deep(), optimiser in optimiser(), p in 0.02f64..0.95, spread in 0u32..4, seed in any::<u64>()) {
        let net = recurrent(p, f64::from(spread));
        let (mut one, mut two) = (Bench::new(&net, &rule, optimiser, seed), Bench::new(&net, &rule, optimiser, seed));
        let mut pairs: BTreeMap<Place, bool> = BTreeMap::new();
        let count = |weights: &BTreeMap<Place, f32>, projection: usize| weights.keys().filter(|place| place.0 == projection).count() as u64;
        let first = one.weights();
        let total = count(&first, 0) + count(&first, 1);
        let mut before = first.clone();
        for t in 0..25 {
            let turnover = one.step(|place, _| random(place, t));
            prop_assert_eq!(&turnover, &two.step(|place, _| random(place, t)));
            let now = one.weights();
            prop_assert_eq!(count(&now, 0) + count(&now, 1), total);
            let (mut pruned, mut grown) = (0, 0);
            for (projection, entry) in turnover.iter().enumerate() {
                prop_assert_eq!(entry.live, count(&now, projection));
                (pruned, grown) = (pruned + entry.pruned, grown + entry.grown);
                if rule.budget == Budget::Each {
                    prop_assert_eq!((entry.live, entry.pruned), (count(&first, projection), entry.grown));
                }
            }
            prop_assert_eq!(pruned, grown);
            let fresh = now.iter().filter(|(place, _)| !before.contains_key(place));
            for (place, w) in fresh.clone() {
                prop_assert_eq!(*w, 0.0);
                prop_assert!(place.0 != 1 || place.1 != place.2 || rule.autapses, "an autapse grew");
            }
            prop_assert!(fresh.count() as u64 <= grown);
            for (place, w) in now.iter().filter(|(place, _)| place.0 < 2) {
                let negative = w.is_sign_negative();
                if before.get(place).is_some_and(|b| *b != 0.0 && *w != 0.0) && rule.signs != Signs::Random {
                    prop_assert_eq!(before[place].is_sign_negative(), negative);
                }
                let key = match rule.signs {
                    Signs::Random => continue,
                    Signs::Pair => *place,
                    Signs::Source { .. } => (place.0, place.1, 0),
                };
                prop_assert_eq!(*pairs.entry(key).or_insert(negative), negative);
                if let (Signs::Source { .. }, 1) = (rule.signs, place.0) {
                    prop_assert_eq!(negative, place.1 < 18, "the first round(0.25 · 70) neurons inhibit");
                }
            }
            for (k, link) in one.engine.links().iter().enumerate().filter(|(_, link)| matches!(link.store, Store::Csr(_))) {
                let moments = one.moments.first.iter().chain(&one.moments.second).skip(k).step_by(one.engine.links().len());
                for m in moments {
                    prop_assert_eq!(m.len(), link.store.weights().len());
                    // One that was there before may have a gradient that weighs exactly as much as the pull.
                    let mut moved = 0;
                    places(link, |slot, i, j| moved += u32::from(!before.contains_key(&(link.projection, i, j)) && flat(m)[slot] != 0.0));
                    prop_assert_eq!(moved, 0, "new links with momentum");
                }
            }
            before = now;
        }
        prop_assert_eq!(bits(&one.weights()), bits(&two.weights()));
        let described = one.engine.describe().unwrap();
        let again = Clocked::<f32>::compile(&described);
        prop_assert_eq!(again.weights(), one.engine.weights());
        prop_assert_eq!(again.describe().unwrap(), described);
    }

    /// Rewiring leaves what the network does as it is: new links have no weight.
    #[test]
    fn links_that_have_just_grown_change_nothing(rule in deep(), spread in 0u32..4, seed in any::<u64>()) {
        let mut bench = Bench::new(&recurrent(0.3, f64::from(spread)), &rule, Optimiser::sgd(0.3), seed);
        let grown: u64 = (0..5).flat_map(|t| bench.step(|place, _| random(place, t))).map(|entry| entry.grown).sum();
        prop_assert!(grown > 20);
        let after = bench.engine.describe().unwrap();
        let mut without = after.draft().clone();
        for p in &mut without.projections[..2] {
            let kept = |k: usize| p.weights.at(k) != 0.0;
            let triplets: Vec<_> = p.links.triplets(after.size(&p.from), after.size(&p.to)).filter(|&(.., k)| kept(k)).collect();
            let delay = Value::Each(triplets.iter().map(|&(.., k)| p.delay.at(k)).collect());
            let weights = Value::Each(triplets.iter().map(|&(.., k)| p.weights.at(k)).collect());
            let ends = (0..=after.size(&p.from)).map(|i| triplets.iter().filter(|link| link.0 < i).count() as u32).collect();
            let links = Links::Csr { ends, targets: triplets.iter().map(|link| link.1 as u32).collect() };
            *p = Projection { delay, weights, links, ..p.clone() };
        }
        let mut raster = Raster::new(30, 60);
        let mut rng = Seed::new(seed).rng();
        raster.write(|_, list| list.extend((0..30u32).filter(|_| rng.random_bool(0.2))));
        let run = |net: &Network| {
            let engine = Clocked::<f32>::compile(net);
            let record = engine.record(&[&raster], Wants::Spikes);
            let y: Vec<u32> = record.traces[1].series(0).map(f32::to_bits).collect();
            (record.spikes[0].clone(), y)
        };
        prop_assert_eq!(run(&after), run(&without.try_into().unwrap()));
    }

    /// The same algorithm on a full matrix of strengths and a mask, given the same draws.
    #[test]
    fn a_dense_implementation_does_the_same(l1 in 0.0f64..0.3, p in 0.05f64..0.45, seed in any::<u64>()) {
        let (n, m, lr) = (9u32, 80u32, 0.2f32);
        let rule = DeepR { signs: Signs::Pair, ..DeepR::new(l1) };
        let mut sparse = Bench::new(&layer(n as usize, m as usize, Connect::Random { p }, Init::normal(0.3)), &rule, Optimiser::sgd(f64::from(lr)), seed);
        let stream = Seed::new(seed).child("in->out").nth(0);
        let sign = |cell: u32| if stream.child("signs").nth(u64::from(cell)).value() & 1 == 1 { -1.0f32 } else { 1.0 };
        let mut theta = vec![0.0f32; (n * m) as usize];
        let mut active = vec![false; (n * m) as usize];
        for ((_, i, j), w) in sparse.weights() {
            (theta[(i * m + j) as usize], active[(i * m + j) as usize]) = (w.abs(), true);
        }
        for t in 0..60 {
            sparse.step(|place, _| random(place, t));
            let mut missing = 0;
            for cell in (0..n * m).filter(|&cell| active[cell as usize]).collect::<Vec<_>>() {
                let (s, old) = (sign(cell), theta[cell as usize]);
                let new = s * (s * old - lr * random((0, cell / m, cell % m), t)) - (f64::from(lr) * l1) as f32;
                theta[cell as usize] = new;
                if new < 0.0 || (new == 0.0 && old != 0.0) {
                    (theta[cell as usize], active[cell as usize], missing) = (0.0, false, missing + 1);
                }
            }
            let mut draw = stream.child("grow").nth(t + 1).rng();
            while missing > 0 {
                let cell = draw.random_range(0..u64::from(n * m)) as usize;
                if !active[cell] {
                    (active[cell], missing) = (true, missing - 1);
                }
            }
            let dense: BTreeMap<Place, f32> = (0..n * m).filter(|&cell| active[cell as usize])
                .map(|cell| ((0, cell / m, cell % m), sign(cell) * theta[cell as usize])).collect();
            prop_assert_eq!(bits(&sparse.weights()), bits(&dense), "step {}", t);
        }
    }
}

#[test]
fn another_seed_draws_other_links() {
    let run = |seed: u64| {
        let mut bench = Bench::new(&recurrent(0.2, 0.0), &DeepR::new(0.1), Optimiser::sgd(0.1), seed);
        (0..10).for_each(|t| drop(bench.step(|place, _| random(place, t))));
        bench.weights().into_keys().collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

/// The links of a total budget go where the odds send them: over many draws in proportion to the initial numbers.
#[test]
fn a_total_budget_is_split_by_the_initial_numbers() {
    let net = Net::new(ms(1.0))
        .input("in", 100)
        .population("a", 100, Lif::default())
        .population("out", 100, Li::default())
        .project("in", "a", Connect::Random { p: 0.03 }, Init::Constant(0.05))
        .project("a", "out", Connect::Random { p: 0.01 }, Init::Constant(0.05))
        .output("out")
        .build(Seed::new(2))
        .unwrap();
    let rule = DeepR { budget: Budget::Total, ..DeepR::new(0.0) };
    let mut bench = Bench::new(&net, &rule, Optimiser::sgd(1.0), 3);
    let (mut into_first, mut all) = (0, 0);
    for t in 0..60 {
        let turnover = bench.step(|place, _| random(place, t));
        (into_first, all) = (into_first + turnover[0].grown, all + turnover[0].grown + turnover[1].grown);
        assert_eq!(turnover[0].live + turnover[1].live, 400);
    }
    let share = into_first as f64 / all as f64;
    assert!(all > 3000 && (share - 0.75).abs() < 4.0 * (0.1875 / all as f64).sqrt(), "{share} of {all}");
}

#[test]
fn what_cannot_be_rewired_is_refused_by_name() {
    let (dense, sparse) = (layer(5, 5, Connect::All, Init::normal(1.0)), layer(5, 5, Connect::Random { p: 0.5 }, Init::normal(1.0)));
    let soft = |l1: f64, temperature: f64, connectivity: Value| SoftDeepR { l1, temperature, connectivity };
    let full = Net::new(ms(1.0)).population("a", 3, Lif::default()).project("a", "a", Connect::Random { p: 1.0 }, Init::normal(1.0));
    let full = full.delay(ms(1.0)).output("a").build(Seed::new(0)).unwrap();
    let fixed = |from: &str, to: &str| DeepR { fixed: vec![(from.into(), to.into())], ..DeepR::new(0.0) };
    let cases: Vec<(&Network, Box<dyn Structure>, &str)> = vec![
        (&dense, Box::new(DeepR::new(0.1)), "`deep_r`: no projection of the network has listed links"),
        (&sparse, Box::new(DeepR::new(-0.1)), "l1 = -0.1: must be zero or more"),
        (&sparse, Box::new(DeepR { temperature: f64::NAN, ..DeepR::new(0.1) }), "temperature = NaN"),
        (&sparse, Box::new(DeepR { signs: Signs::Source { inhibitory: 1.5 }, ..DeepR::new(0.1) }), "inhibitory = 1.5"),
        (&sparse, Box::new(fixed("in", "out")), "no projection of the network has listed links that may be replaced"),
        (&sparse, Box::new(fixed("in", "hidden")), "`in` -> `hidden`: there is none of this name"),
        (&full, Box::new(DeepR::new(0.0)), "`a` -> `a`: it has more links than may grow again; allow autapses"),
        (&sparse, Box::new(soft(0.1, 0.1, 0.5.into())), "`soft_deep_r`: no projection of the network has links from every source"),
        (&dense, Box::new(soft(0.0, 0.1, 0.5.into())), "l1 = 0: must be positive"),
        (&dense, Box::new(soft(0.1, 0.0, 0.5.into())), "temperature = 0: must be positive"),
        (&dense, Box::new(soft(0.1, 0.1, 1.0.into())), "connectivity = 1"),
        (&dense, Box::new(soft(0.1, 0.1, vec![0.5, 0.5].into())), "connectivity = a list of 2"),
        (&sparse, Box::new(GradR::new(0.1)), "`grad_r`: no projection"),
        (&dense, Box::new(GradR::new(f64::INFINITY)), "penalty = inf"),
        (&dense, Box::new(GradR { sparsity: 0.4, ..GradR::new(0.1) }), "sparsity = 0.4: must be in [0.5, 1)"),
        (
            &dense,
            Box::new(GradRByRows { prior: GradR::new(0.1), rows: 1 }),
            "`grad_r_by_rows`: no projection of the network has listed links",
        ),
        (&sparse, Box::new(GradRByRows { prior: GradR::new(0.1), rows: 0 }), "rows = 0"),
    ];
    for (net, rule, what) in cases {
        let error = rule.check(&Clocked::compile(net)).unwrap_err().to_string();
        assert!(error.contains(what), "{error} lacks {what}");
    }
    let options = Options::new(Loss::CrossEntropy(Over::Max), Seed::new(1));
    let trainer = Trainer::new(&dense, SparseBptt::default(), Optimiser::sgd(0.1), options).unwrap();
    assert!(trainer.with_structure(DeepR::new(0.1)).err().unwrap().to_string().contains("deep_r"));
}

#[test]
fn the_initial_mask_and_strengths_are_those_of_the_network() {
    let (dense, sparse) = (layer(9, 70, Connect::All, Init::normal(1.0)), layer(9, 70, Connect::Random { p: 0.2 }, Init::normal(1.0)));
    let mut deep = Bench::new(&sparse, &DeepR::new(0.1), Optimiser::sgd(0.0), 1);
    assert_eq!(deep.engine.describe().unwrap(), sparse);
    assert_eq!(deep.step(|_, _| 0.0), [Turnover { live: 126, possible: 630, pruned: 0, grown: 0 }]);
    let mut grad = Bench::new(&dense, &GradR::new(0.1), Optimiser::adam(0.0), 1);
    assert_eq!(grad.engine.describe().unwrap(), dense);
    let strengths = grad.wiring.save().strength.concat();
    assert_eq!(strengths, flat(grad.engine.links()[0].store.weights()).iter().map(|w| w.abs()).collect::<Vec<_>>());
    assert_eq!(grad.step(|_, _| 0.0), [Turnover { live: 630, possible: 630, pruned: 0, grown: 0 }]);
    let soft = SoftDeepR { l1: 0.1, temperature: 0.1, connectivity: 0.3.into() };
    let wide = layer(60, 70, Connect::All, Init::normal(1.0));
    let soft = Bench::new(&wide, &soft, Optimiser::sgd(0.0), 1);
    let live = soft.weights().into_iter().filter(|(_, w)| *w != 0.0);
    let kept = live.map(|((_, i, j), w)| assert_eq!(w, wide.draft().projections[0].weights.at((i * 70 + j) as usize))).count();
    assert!((kept as f64 / 4200.0 - 0.3).abs() < 0.03, "{kept}");
}

#[test]
fn gradient_rewiring_without_penalty_is_the_optimiser_behind_a_clamp() {
    for optimiser in [Optimiser::adam(0.02), Optimiser::momentum(0.05, 0.9)] {
        for crossing in [false, true] {
            let net = layer(20, 90, Connect::All, Init::normal(0.5));
            let mut bench = Bench::new(&net, &GradR::new(1e-8), optimiser, 1);
            let begin = bench.weights();
            // Towards twice the weight, or to one of another sign for half of them.
            let wanted = |place: Place| if crossing && random(place, 0) > 0.0 { -begin[&place] } else { 2.0 * begin[&place] };
            let gradient = |place: Place, w: f32| w - wanted(place);
            // The optimiser alone, on ŵ; the gradient is taken behind the clamp.
            let mut behind = Clocked::<f32>::compile(&net);
            let mut moments = Moments::new(&optimiser, &[behind.links()[0].store.weights().len()]);
            let clamp = |place: Place, w: f32| if w * begin[&place] > 0.0 { w } else { 0.0 };
            let mut dormant = 0;
            for _ in 0..150 {
                let turnover = bench.step(gradient);
                let mut g = Gradients::zero(&behind);
                let free = flat(behind.links()[0].store.weights()).to_vec();
                places(&behind.links()[0], |slot, i, j| {
                    flat_mut(&mut g.links[0])[slot] = gradient((0, i, j), clamp((0, i, j), free[slot]));
                });
                moments.tick();
                moments.update(&optimiser, 1.0, 0, behind.links_mut()[0].store.weights_mut(), &g.links[0]);
                let free = flat(behind.links()[0].store.weights()).to_vec();
                let ours = bench.weights();
                places(&behind.links()[0], |slot, i, j| {
                    let (place, expected) = ((0, i, j), clamp((0, i, j), free[slot]));
                    assert_eq!(ours[&place].to_bits() & 0x7fff_ffff, expected.to_bits() & 0x7fff_ffff);
                    assert!(ours[&place] * begin[&place] >= 0.0, "a sign changed");
                });
                // Connectivity is the share of positive strengths, exactly.
                let live = bench.wiring.save().strength.concat().iter().filter(|theta| **theta > 0.0).count() as u64;
                assert_eq!((turnover[0].live, turnover[0].live), (live, ours.values().filter(|w| **w != 0.0).count() as u64));
                dormant = turnover[0].possible - live;
            }
            assert_eq!(dormant > 0, crossing);
        }
    }
}

#[test]
fn a_single_connection_drifts_dies_goes_on_and_comes_back() {
    let penalty = 0.5;
    for optimiser in [Optimiser::sgd(0.01), Optimiser::adam(0.01)] {
        let mut bench = Bench::new(&layer(1, 1, Connect::All, Init::Constant(-0.1)), &GradR::new(penalty), optimiser, 1);
        let mut theta = 0.1f64;
        let (mut pruned, mut grown) = (0, 0);
        for n in 1..=60 {
            let turnover = bench.step(|_, _| 0.0)[0];
            let rate = if let Optimiser::Adam { beta1, .. } = optimiser { 0.01 / (1.0 - beta1.powi(n)) } else { 0.01 };
            theta -= rate * penalty;
            let found = f64::from(bench.wiring.save().strength[0][0]);
            assert!((found - theta).abs() < 1e-6, "{found} for {theta}");
            let w = bench.weights()[&(0, 0, 0)];
            assert_eq!(w, if theta > 0.0 { -(found as f32) } else { 0.0 });
            (pruned, grown) = (pruned + turnover.pruned, grown + turnover.grown);
        }
        assert_eq!((pruned, grown), (1, 0));
        // A constant gradient against the sign: positive for a negative weight. Of the penalty's size it does not suffice, beyond it does.
        let push = |bench: &mut Bench, size: f32| (0..200).map(|_| bench.step(|_, _| size)[0].grown).sum::<u64>();
        if let Optimiser::Sgd { .. } = optimiser {
            assert_eq!(push(&mut bench, 0.49), 0);
        }
        assert_eq!(push(&mut bench, 1.0), 1);
        assert!(bench.weights()[&(0, 0, 0)] < 0.0, "the sign is as it was");
    }
}

#[test]
fn the_redefined_gradient_never_points_against_the_exact_one() {
    let net = recurrent(1.0, 0.0);
    let mut draft = net.draft().clone();
    draft.projections.truncate(1);
    draft.projections[0].links = Links::All;
    draft.projections.push(net.draft().projections[2].clone());
    let options = Options { batch: 8, ..Options::new(Loss::CrossEntropy(Over::Max), Seed::new(1)) };
    let data = trials();
    let trainer = Trainer::new(&draft.try_into().unwrap(), SparseBptt::default(), Optimiser::adam(1e-2), options).unwrap();
    let mut trainer = trainer.with_structure(GradR::new(1.0)).unwrap();
    for _ in 0..6 {
        let stats = trainer.epoch(&data, &|_| ()).unwrap();
        assert_eq!(stats.turnover.len(), 2);
        trainer.gradient(&data, &[0, 1, 2, 3, 4, 5]);
        let state = trainer.checkpoint();
        let (_, State { strength, negative }) = state.structure.unwrap();
        let g = trainer.last_gradient().concat();
        assert!(g.iter().any(|g| *g != 0.0));
        let (mut inner, mut exact_norm, mut norm, mut dormant) = (0.0f64, 0.0f64, 0.0f64, 0);
        for (k, link) in trainer.engine().links().iter().enumerate() {
            let slots = link.store.slots();
            let gradient = &trainer.last_gradient()[link.projection];
            for (g, slot) in gradient.iter().zip(slots) {
                let s = if negative[k][slot / 64] >> (slot % 64) & 1 == 1 { -1.0 } else { 1.0 };
                let redefined = s * f64::from(*g);
                let exact = if strength[k][slot] > 0.0 { redefined } else { 0.0 };
                dormant += usize::from(strength[k][slot] <= 0.0 && redefined != 0.0);
                (inner, norm, exact_norm) = (inner + redefined * exact, norm + redefined * redefined, exact_norm + exact * exact);
            }
        }
        assert!(inner >= 0.0 && (inner - exact_norm).abs() <= 1e-12 * norm, "{inner}");
        if stats.turnover.iter().any(|entry| entry.pruned > 0) {
            assert!(dormant > 0, "dormant links have a gradient too");
        }
    }
}

/// Two classes: which half of the channels fires.
fn trials() -> snn_core::Trials {
    let mut trials = snn_core::Trials::new("halves", 30, 40, 2);
    for k in 0..24usize {
        let mut rng = Seed::new(8).nth(k as u64).rng();
        let mut raster = Raster::new(30, 40);
        raster.write(|_, list| {
            list.extend((0..30usize).filter(|i| rng.random_bool(if i / 15 == k % 2 { 0.2 } else { 0.03 })).map(|i| i as u32))
        });
        trials.push(raster, k % 2);
    }
    trials
}

#[test]
fn a_share_p_of_the_laplace_prior_is_dormant() {
    for (penalty, sparsity) in [(1e-3, 0.95), (0.2, 0.5), (3.0, 0.7)] {
        let rule = GradR { penalty, sparsity };
        let mut rng = Seed::new(6).rng();
        let draw = |rng: &mut dyn FnMut() -> f64| {
            let u = rng() - 0.5;
            rule.centre() - u.signum() * (1.0 - 2.0 * u.abs()).ln() / penalty
        };
        let dormant = (0..1_000_000).filter(|_| draw(&mut || rng.random::<f64>()) <= 0.0).count() as f64 / 1e6;
        assert!((dormant - sparsity).abs() < 0.002, "{dormant} for {sparsity}");
    }
}

#[test]
fn by_rows_memory_is_bounded_and_a_link_comes_back_where_its_gradient_beats_the_prior() {
    [0.0, ms(3.0)].into_iter().for_each(by_rows);
}

/// With links of delays up to this.
fn by_rows(delays: f64) {
    let (n, m, rows, lr, penalty) = (20usize, 90usize, 3usize, 0.1, 0.5);
    let rule = GradRByRows { prior: GradR::new(penalty), rows };
    let net = Net::new(ms(1.0)).input("in", n).population("out", m, Li::default());
    let net = net.project("in", "out", Connect::Random { p: 0.1 }, Init::normal(1.0)).delays(0.0, delays);
    let mut bench = Bench::new(&net.output("out").build(Seed::new(3)).unwrap(), &rule, Optimiser::sgd(lr), 1);
    assert_eq!(bench.engine.links().len(), 1 + (delays / ms(1.0)) as usize, "a list for each delay");
    let begin = bench.weights();
    // Live links hold their place against the prior; of the others the pairs with i + j divisible by 7 have a gradient beyond it, in either
    // direction, and the rest one below it.
    let strong = |i: u32, j: u32| (i + j).is_multiple_of(7);
    let sign = |w: f32| if w.is_sign_negative() { -1.0f32 } else { 1.0 };
    let mut grown = BTreeSet::new();
    for t in 0..n.div_ceil(rows) as u64 + 1 {
        let before = bench.weights();
        let turnover = bench.step(|(_, i, j), w| match w == 0.0 {
            false => -(penalty as f32) * sign(w),
            true if strong(i, j) => -0.6 * sign(w),
            true => 0.49 * if (i + j + t as u32).is_multiple_of(2) { 1.0 } else { -1.0 },
        })[0];
        let now = bench.weights();
        let live = now.values().filter(|w| **w != 0.0).count();
        assert_eq!((turnover.live, turnover.pruned), (live as u64, 0));
        assert!(now.len() <= live + rows * m, "{} links for {live} live ones", now.len());
        for (place, w) in now.iter().filter(|(place, w)| **w != 0.0 && before.get(place).is_none_or(|b| *b == 0.0)) {
            assert!((w.abs() - 0.1 * 0.1).abs() < 1e-6, "η·(0.6 − α): {w}");
            assert_eq!(sign(*w), sign(before[place]));
            grown.insert((place.1, place.2));
        }
    }
    let expected: BTreeSet<(u32, u32)> = (0..n as u32)
        .flat_map(|i| (0..m as u32).map(move |j| (i, j)))
        .filter(|&(i, j)| strong(i, j) && !begin.contains_key(&(0, i, j)))
        .collect();
    assert_eq!(grown, expected, "every source was looked at, and no other link grew");
    // Now the prior alone: links die, and do not come back.
    let turnover = (0..100).map(|_| bench.step(|_, _| 0.0)[0]).fold(Turnover::default(), |mut sum, entry| {
        sum.add(&entry);
        sum
    });
    assert!(turnover.pruned > 100 && turnover.grown == 0, "{turnover:?}");
}

#[test]
fn turnover_adds_up() {
    let mut sum = Turnover { live: 5, possible: 20, pruned: 2, grown: 1 };
    sum.add(&Turnover { live: 6, possible: 20, pruned: 1, grown: 2 });
    assert_eq!(sum, Turnover { live: 6, possible: 20, pruned: 3, grown: 3 });
    assert_eq!(sum.connectivity(), 0.3);
    assert!(matches!(Clocked::<f32>::compile(&recurrent(0.1, 0.0)).links()[1].from, Source::Population(0)));
}
