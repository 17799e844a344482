//! Random networks and trials for the oracles.

pub mod textbook;

use proptest::prelude::*;
use rand::{Rng, RngExt};
use snn_core::net::{Connect, Init};
use snn_core::neuron::{Alif, CubaLif, Li, Lif, LifPsc, LifRefractory, Lsnn, Model, Output, Relu, Reset, Value};
use snn_core::{Net, Network, Raster, Seed, Surrogate, Trials, ms};
use snn_learn::{Gradients, Job, Loss, RateOver, Regulariser, Rule, Stats};
use snn_sparse::{Clocked, Scalar};

/// What varies between cases.
#[derive(Clone, Debug)]
pub struct Case {
    pub seed: u64,
    pub sizes: [usize; 4], // input, two hidden, output
    pub models: [Model; 2],
    pub recurrent: [bool; 3], // a → a, b → b, b → a
    pub delays: [u32; 3],
    pub spread: u32, // of the forward projections
    pub p: f64,      // connectivity; 1 is dense
    pub steps: usize,
    pub quiet: [u32; 2], // refractory steps
    pub graded: bool,    // whether the input's events carry values
}

pub fn models(reset_grad: f64) -> impl Strategy<Value = Model> {
    let g = Value::Shared(reset_grad);
    let tau = || Value::Shared(0.008);
    prop_oneof![
        Just(Model::from(Lif { tau: tau(), reset_grad: g.clone(), ..Lif::default() })),
        Just(Model::from(CubaLif { tau: tau(), reset_grad: g.clone(), ..CubaLif::default() })),
        Just(Model::from(Lsnn { tau: tau(), tau_a: 0.03.into(), v_th: 0.1.into(), beta: 1.5.into() })),
        Just(Model::from(Alif { tau: tau(), beta: 0.3.into(), reset_grad: g, ..Alif::default() })),
    ]
}

/// Current-driven neurons that are reset to 0, with a derivative.
pub fn currents() -> LifPsc {
    LifPsc { tau: 0.008.into(), tau_syn: 0.002.into(), resistance: 6.0.into(), ..LifPsc::default() }
}

pub fn any_model() -> impl Strategy<Value = Model> {
    let hard = Lif { tau: 0.008.into(), reset: Reset::To(-0.2), ..Lif::default() };
    let clamped = LifRefractory { tau: 0.008.into(), v_th: 1.0.into(), v_reset: 0.2.into(), t_ref: ms(2.0).into() };
    let held = LifPsc { t_ref: ms(1.0).into(), ..currents() };
    prop_oneof![1 => Just(Model::from(held)), 3 => models(0.0), 2 => models(1.0), 1 => Just(Model::from(hard)), 1 => Just(Model::from(clamped)), 2 => Just(Model::from(Relu {}))]
}

prop_compose! {
    pub fn case(max: usize)(seed in any::<u64>(), sizes in (1..8usize, 1..max, 1..max, 2..4usize), m in (any_model(), any_model()),
                  recurrent in any::<[bool; 3]>(), delays in [0u32..3, 0..3, 0..3], spread in 0u32..3, p in prop_oneof![Just(1.0), 0.02f64..0.16, 0.17f64..0.9], steps in 1usize..25, quiet in prop_oneof![Just([0, 0]), [0u32..4, 0..4]], graded in any::<bool>()) -> Case {
        Case { seed, sizes: [sizes.0, sizes.1, sizes.2, sizes.3], models: [m.0, m.1], recurrent, delays, spread, p, steps, quiet, graded }
    }
}

impl Case {
    pub fn network(&self) -> Network {
        let connect = if self.p < 1.0 { Connect::Random { p: self.p } } else { Connect::All };
        let init = |n: usize| Init::normal(1.6 / (n as f64 * self.p).sqrt());
        let [n, a, b, o] = self.sizes;
        // Every link with a delay of its own, unless `spread` is 0.
        let delay = |net: Net, from: u32| net.delays(ms(f64::from(from)), ms(f64::from(from + self.spread)));
        let [first, second] = self.models.clone();
        let quiet = |k: usize| ms(if self.models[k].spikes() { f64::from(self.quiet[k]) } else { 0.0 });
        let net = Net::new(ms(1.0)).input("in", n).population("a", a, first).refractory(quiet(0)).population("b", b, second);
        let mut net = net.refractory(quiet(1)).population("out", o, Li { tau: 0.01.into() });
        net = delay(net.project("in", "a", connect, init(n)), self.delays[0]);
        net = delay(net.project("a", "b", connect, init(a)), self.delays[1]);
        net = delay(net.project("b", "out", connect, init(b)), self.delays[2]);
        for (k, (from, to, size)) in [("a", "a", a), ("b", "b", b), ("b", "a", b)].into_iter().enumerate() {
            if self.recurrent[k] {
                // Nothing bounds a loop of rectified units but its weights.
                let gain = if self.models.iter().any(|m| m.output() == Output::Rectified) { 0.3 } else { 1.6 };
                let init = Init::normal(gain / (size as f64 * self.p).sqrt());
                net = delay(net.project(from, to, connect, init), 1 + k as u32);
            }
        }
        net.output("out").build(Seed::new(self.seed)).unwrap()
    }

    pub fn trials(&self, count: usize) -> Trials {
        let mut trials = Trials::new("random", self.sizes[0], self.steps, self.sizes[3]);
        for k in 0..count {
            let mut rng = Seed::new(self.seed).child("trials").nth(k as u64).rng();
            trials.push(random_events(self.sizes[0], self.steps, self.graded, &mut rng), k % self.sizes[3]);
        }
        trials
    }
}

/// Events at random, three in ten possible ones, each with a value between −1 and 2 if they are graded.
pub fn random_events(units: usize, steps: usize, graded: bool, rng: &mut impl Rng) -> Raster {
    let mut raster = Raster::new(units, steps);
    if graded {
        raster.fill_dense((0..units * steps).map(|_| if rng.random_bool(0.3) { rng.random_range(-1.0..2.0) } else { 0.0 }));
    } else {
        raster.write(|_, list| list.extend((0..units as u32).filter(|_| rng.random_bool(0.3))));
    }
    raster
}

pub const REGULARISER: Regulariser =
    Regulariser { upper: 0.3, upper_count: 0.1, lower: 2.0, lower_count: 1.5, ..Regulariser::rate(3.0, 0.1, RateOver::Trial) };

pub fn gradient<F: Scalar>(engine: &Clocked<F>, rule: &dyn Rule<F>, data: &Trials, loss: Loss) -> (Vec<Vec<F>>, Stats) {
    rule.check(engine).unwrap();
    loss.check(engine, "random", snn_core::Dataset::classes(data)).unwrap();
    let job = Job { engine, data, loss, regulariser: REGULARISER, scale: 0.5, updates: 0, rates: &[] };
    let mut gradients = Gradients::zero(engine);
    let trials: Vec<usize> = (0..snn_core::Dataset::len(data)).collect();
    let stats = rule.worker(engine).learn(&job, &trials, &mut gradients);
    (gradients.in_order(engine), stats)
}

/// Largest difference relative to the largest entry.
pub fn distance(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    let (a, b): (Vec<f64>, Vec<f64>) = (a.concat(), b.concat());
    assert_eq!(a.len(), b.len());
    let top = b.iter().fold(1e-300f64, |m, x| m.max(x.abs()));
    a.iter().zip(&b).fold(0.0f64, |m, (x, y)| m.max((x - y).abs())) / top
}

pub fn surrogate() -> impl Strategy<Value = Surrogate> {
    let shape = prop_oneof![
        (1.0f64..20.0).prop_map(Surrogate::fast_sigmoid),
        (0.3f64..1.0, 0.3f64..1.0).prop_map(|(g, w)| Surrogate::triangle(g, w)),
        (0.5f64..5.0).prop_map(Surrogate::arctan),
    ];
    (shape, prop::option::of(0.1f64..0.8)).prop_map(|(s, window)| Surrogate { window, ..s })
}
