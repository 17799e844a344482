//! What the network under spike-timing-dependent plasticity rests on: spikes that sample from a posterior.

use snn_core::net::{Connect, Draft, Init, Links};
use snn_core::neuron::Psp;
use snn_core::{Net, Network, Seed};
use snn_sparse::{Clocked, Record, Wants};

/// Neurons of a network, and so many independent copies of it, which fill a block.
const N: usize = 5;
const COPIES: usize = 12;
/// Steps for which a neuron counts as active after a spike: many, as inhibition comes two steps late.
const ACTIVE: usize = 500;
/// What each neuron is told by its input, in log-odds; mean and variance of the prior over the number of active neurons. All sums are exact.
const EVIDENCE: [f64; N] = [0.0, 0.5, 1.0, 1.5, -0.5];
const K: f64 = 0.5;
const SIGMA2: f64 = 0.5;

/// Neurons that fire at the rate `exp(log-odds)/τ`, are refractory for τ, and inhibit the others of their copy by 1/σ² for as long: a weight that comes and
/// is taken back. A neuron without leak keeps what it is given.
fn network(dt: f64) -> Network {
    let bias: Vec<f64> = (0..N * COPIES).map(|k| EVIDENCE[k % N] + (2.0 * K - 1.0) / (2.0 * SIGMA2)).collect();
    let threshold: Vec<f64> = bias.iter().map(|b| -b).collect();
    let sum = Psp { tau_rise: 1e-12.into(), tau_fall: 1e12.into(), v_th: threshold.into(), speed: 0.0.into(), ..Psp::default() };
    let tau = ACTIVE as f64 * dt;
    let all = |w: f64| Init::Constant((w / SIGMA2) as f32);
    let net = Net::new(dt).population("z", N * COPIES, sum).escape(1.0 / tau, 1.0).refractory(tau);
    let net = net.project("z", "z", Connect::All, all(-1.0)).delay(dt).project("z", "z", Connect::All, all(1.0)).delay(tau + dt);
    let mut draft = Draft::from(net.output("z").build(Seed::new(0)).unwrap());
    for p in &mut draft.projections {
        let others = |i: usize| (i / N * N..(i / N + 1) * N).filter(move |&j| j != i).map(|j| j as u32);
        let ends = (0..=N * COPIES).map(|i| (i * (N - 1)) as u32).collect();
        p.links = Links::Csr { ends, targets: (0..N * COPIES).flat_map(others).collect() };
        p.weights = p.weights.at(0).into();
    }
    draft.try_into().unwrap()
}

#[test]
fn spikes_sample_from_the_posterior() {
    let (net, steps) = (network(1e-4), 2_000_000);
    let engine = Clocked::<f64>::compile(&net);
    let mut record = Record::new(&engine);
    record.noise = Seed::new(7);
    engine.run_for(steps, &[], Wants::Spikes, &mut record);
    let (mut since, mut found) = (vec![ACTIVE; N * COPIES], [0.0; 1 << N]);
    for t in 0..steps {
        since.iter_mut().for_each(|n| *n += 1);
        record.spikes[0].at(t).iter().for_each(|&k| since[k as usize] = 0);
        if t >= 20 * ACTIVE && t % 7 == 0 {
            for copy in since.chunks(N) {
                let state = copy.iter().rev().fold(0, |state, &n| 2 * state + usize::from(n < ACTIVE));
                found[state] += 1.0;
            }
        }
    }
    // p(z | y) ~ exp(Σ evidence·z − (n − K)²/2σ²), by enumeration.
    let weight = |state: usize| {
        let on = || (0..N).filter(move |k| state >> k & 1 == 1);
        (on().map(|k| EVIDENCE[k]).sum::<f64>() - (on().count() as f64 - K).powi(2) / (2.0 * SIGMA2)).exp()
    };
    let (total, all): (f64, f64) = ((0..1 << N).map(weight).sum(), found.iter().sum());
    let distance = 0.5 * (0..1 << N).map(|state| (found[state] / all - weight(state) / total).abs()).sum::<f64>();
    assert!(distance < 0.02, "total variation {distance}");
    // The state of most weight is not alone: a law of one state would pass too easily.
    assert!((0..1 << N).filter(|&state| weight(state) / total > 0.02).count() > 8);
}

/// Three causes and six pixels: `p(y_i = 1 | z) = 1 − (1 − q_0)·Π_k (1 − q_ik)^z_k`, every cause there half of the time.
struct NoisyOr {
    leak: f64,
    q: [[f64; 3]; 6],
}

impl NoisyOr {
    fn on(&self, i: usize, z: usize) -> f64 {
        1.0 - (1.0 - self.leak) * (0..3).filter(|k| z >> k & 1 == 1).map(|k| 1.0 - self.q[i][k]).product::<f64>()
    }

    /// `p(y, z)` for every state of the causes.
    fn joint(&self, y: usize) -> [f64; 8] {
        let pixel = |i: usize, z: usize| if y >> i & 1 == 1 { self.on(i, z) } else { 1.0 - self.on(i, z) };
        std::array::from_fn(|z| (0..6).map(|i| pixel(i, z)).product::<f64>() / 8.0)
    }

    fn log_likelihood(&self, pictures: &[usize]) -> f64 {
        pictures.iter().map(|&y| self.joint(y).iter().sum::<f64>().ln()).sum()
    }

    /// A step of expectation maximisation: each cause that is there makes a pixel by itself with `q`, and what it made is expected.
    fn improved(&self, pictures: &[usize]) -> NoisyOr {
        let (mut made, mut there) = ([[0.0; 3]; 6], [0.0; 3]);
        for &y in pictures {
            let joint = self.joint(y);
            let total: f64 = joint.iter().sum();
            for (z, k) in (0..8).flat_map(|z| (0..3).map(move |k| (z, k))).filter(|(z, k)| z >> k & 1 == 1) {
                there[k] += joint[z] / total;
                (0..6).filter(|i| y >> i & 1 == 1).for_each(|i| made[i][k] += joint[z] / total * self.q[i][k] / self.on(i, z));
            }
        }
        NoisyOr { leak: self.leak, q: std::array::from_fn(|i| std::array::from_fn(|k| made[i][k] / there[k])) }
    }
}

#[test]
fn expectation_maximisation_never_makes_it_worse() {
    let truth = NoisyOr { leak: 0.05, q: std::array::from_fn(|i| std::array::from_fn(|k| if i / 2 == k { 0.8 } else { 0.05 })) };
    let unit = |n: u64| Seed::new(4).nth(n).value() as f64 / 2f64.powi(64);
    let picture = |n: u64| {
        let z = (unit(7 * n) * 8.0) as usize;
        (0..6).filter(|&i| unit(7 * n + 1 + i as u64) < truth.on(i, z)).map(|i| 1 << i).sum::<usize>()
    };
    let pictures: Vec<usize> = (0..400).map(picture).collect();
    for start in 0..5 {
        let q = |i: usize, k: usize| 0.1 + 0.8 * unit(10_000 + 100 * start + (3 * i + k) as u64);
        let mut model = NoisyOr { leak: 0.05, q: std::array::from_fn(|i| std::array::from_fn(|k| q(i, k))) };
        let mut before = model.log_likelihood(&pictures);
        let first = before;
        for step in 0..200 {
            model = model.improved(&pictures);
            let after = model.log_likelihood(&pictures);
            assert!(after >= before - 1e-9 * before.abs(), "start {start}, step {step}: {after} after {before}");
            before = after;
        }
        assert!(before > first + 10.0, "start {start}: from {first} to {before}");
    }
}
