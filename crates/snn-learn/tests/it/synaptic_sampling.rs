//! What reward-based synaptic sampling must obey: the stationary laws of its parameters, the released code's loop, and the same in all
//! arithmetics.

use snn_core::net::Links;
use snn_core::stats::{mean, variance};
use snn_core::{Fix, Seed};
use snn_learn::online::{Moment, OnlineError, OnlineRule, Sampling, SynapticSampling, Wires, normals};
use snn_sparse::Scalar;

fn wires(sources: usize, targets: usize, dt: f64) -> Wires<'static> {
    Wires { links: &Links::All, sources, targets, dt }
}

fn moments(parameters: impl Iterator<Item = f64>) -> (f64, f64) {
    let list: Vec<f64> = parameters.collect();
    (mean(&list), variance(&list))
}

/// Runs silent steps: only prior and noise.
fn wander<R: Scalar>(rule: &SynapticSampling, start: f64, n: usize, updates: usize) -> Sampling<R> {
    let mut sampling = rule.begin::<R>(wires(n, 1, rule.interval), &vec![start; n], normals(Seed::new(3)), Seed::new(4)).unwrap();
    (0..updates).for_each(|_| sampling.step(&Moment { pre: &[], post: &[], chance: &[0.0], reward: 1.0 }).unwrap());
    sampling
}

#[test]
fn without_reward_the_law_is_the_priors() {
    // 1/(β·c_p) = 40 s; ten times as long.
    let rule = SynapticSampling { beta: 0.1, mean: 0.3, low: -20.0, high: 20.0, ..Default::default() };
    let (mean, variance) = moments(wander::<f64>(&rule, -0.5, 4000, 4000).parameters());
    assert!((mean - 0.3).abs() < 4.0 * (0.4f64 / 4000.0).sqrt(), "mean {mean}");
    assert!((variance - 0.4).abs() < 4.0 * 0.4 * (2.0f64 / 4000.0).sqrt(), "variance {variance}");
    // On the way there: the mean decays, the variance grows from 0.
    let (mean, variance) = moments(wander::<f64>(&rule, -0.5, 4000, 200).parameters());
    let left = (-20.0f64 / 40.0).exp();
    assert!((mean - (0.3 - 0.8 * left)).abs() < 0.04 && (variance - 0.4 * (1.0 - left * left)).abs() < 0.04, "{mean} {variance}");
}

/// Synapses under a gradient that stays: their law is shifted by `c_g·g/c_p`.
#[test]
fn a_constant_gradient_shifts_the_mean() {
    let shape =
        SynapticSampling { beta: 0.5, mean: 10.0, offset: 10.0, low: -50.0, high: 50.0, tau_e: 1e9, tau_g: 1e9, ..Default::default() };
    let n = 2000;
    let mut rule = shape.begin::<f64>(wires(1, n, 1e-3), &vec![10.0; n], normals(Seed::new(3)), Seed::new(4)).unwrap();
    // One pairing makes an eligibility that stays, one step of reward a gradient that stays; then prior and noise for five relaxation
    // times.
    let (post, quiet, likely): (Vec<u32>, _, _) = ((0..n as u32).collect(), vec![0.0; n], vec![0.25; n]);
    rule.step(&Moment { pre: &[0], post: &[], chance: &quiet, reward: 0.0 }).unwrap();
    rule.step(&Moment { pre: &[], post: &post, chance: &likely, reward: 2.0 }).unwrap();
    (0..40_000).for_each(|_| rule.step(&Moment { pre: &[], post: &[], chance: &quiet, reward: 0.0 }).unwrap());
    let g = 2.0 * 0.75 * 0.02 / 0.018 * ((-0.05f64).exp() - (-0.5f64).exp());
    assert!(rule.gradients().all(|found| (found - g).abs() < 1e-6), "{:?} {g}", rule.gradients().next());
    let (mean, variance) = moments(rule.parameters());
    assert!((mean - (10.0 + g / 0.25)).abs() < 4.0 * (0.4 / n as f64).sqrt() + 0.02, "mean {mean}, shift {}", g / 0.25);
    assert!((variance - 0.4).abs() < 4.0 * 0.4 * (2.0 / n as f64).sqrt() + 0.01, "variance {variance}");
}

/// The loop of the released code, written down once more: every synapse has its own trace, and everything decays at every step.
#[test]
fn sums_by_interval_are_the_loop_over_steps() {
    let rule = SynapticSampling { beta: 0.05, temperature: 0.0, interval: 0.02, copies: 2, ..Default::default() };
    let (sources, targets, dt, steps) = (4usize, 3usize, 1e-3f64, 3000u64);
    let start: Vec<f64> = (0..2 * sources * targets).map(|k| 0.05 * k as f64 - 0.2).collect();
    let mut sampling = rule.begin::<f64>(wires(sources, targets, dt), &start, normals(Seed::new(1)), Seed::new(2)).unwrap();
    let n = start.len();
    let (mut theta, mut e, mut g) = (start.clone(), vec![0.0; n], vec![0.0; n]);
    let (mut rise, mut fall) = (vec![0.0; sources], vec![0.0; sources]);
    let mut w: Vec<f64> = theta.iter().map(|&x| if x >= 0.0 { (x - 3.0).exp() } else { 0.0 }).collect();
    let fade = |tau: f64| (-dt / tau).exp();
    for t in 0..steps {
        let key = |k: u64| Seed::new(9).nth(t).nth(k).value() as f64 / u64::MAX as f64;
        let pre: Vec<u32> = (0..sources as u32).filter(|&i| key(u64::from(i)) < 0.03).collect();
        let chance: Vec<f64> = (0..targets as u64).map(|j| if t % 7 == j { 0.0 } else { 0.02 + 0.01 * j as f64 }).collect();
        let post: Vec<u32> = (0..targets as u32).filter(|&j| key(50 + u64::from(j)) < chance[j as usize]).collect();
        let reward = 0.02 + key(99);
        sampling.step(&Moment { pre: &pre, post: &post, chance: &chance, reward }).unwrap();
        for i in 0..sources {
            (rise[i], fall[i]) = (rise[i] * fade(0.002), fall[i] * fade(0.02));
            if fall[i] < 1e-4 {
                (rise[i], fall[i]) = (0.0, 0.0);
            }
            for j in 0..targets {
                for copy in 0..2 {
                    let k = (i * targets + j) * 2 + copy;
                    let bap = f64::from(u8::from(post.contains(&(j as u32)))) - chance[j];
                    e[k] = e[k] * fade(1.0) + w[k] * 0.02 / 0.018 * (fall[i] - rise[i]) * bap;
                    g[k] = g[k] * fade(50.0) + reward * e[k];
                }
            }
        }
        for &i in &pre {
            (rise[i as usize], fall[i as usize]) = (rise[i as usize] + 1.0, fall[i as usize] + 1.0);
        }
        if (t + 1) % 20 == 0 {
            for k in 0..n {
                theta[k] = (theta[k] + 0.05 * 0.02 * (-0.25 * theta[k] + g[k].clamp(-40.0, 40.0))).clamp(-2.0, 5.0);
                if theta[k] < 0.0 && w[k] > 0.0 {
                    (e[k], g[k]) = (0.0, 0.0);
                }
                w[k] = if theta[k] >= 0.0 { (theta[k] - 3.0).exp() } else { 0.0 };
            }
        }
    }
    let count = sources * targets;
    for (place, (found, slope)) in sampling.parameters().zip(sampling.gradients()).enumerate() {
        let k = place % count * 2 + place / count;
        // The cut of a trace at 1e-4 is the only thing that differs, by less than that.
        assert!(
            (found - theta[k]).abs() < 1e-6 && (slope - g[k]).abs() < 1e-6 + 1e-4 * g[k].abs(),
            "{k}: {found} {}, g {slope} {}",
            theta[k],
            g[k]
        );
    }
    assert!(theta.iter().zip(&start).any(|(a, b)| (a - b).abs() > 0.01), "nothing was learned");
    let weights = sampling.take().unwrap();
    assert!((0..count).all(|link| (f64::from(weights[link]) - w[2 * link] - w[2 * link + 1]).abs() < 1e-6));
}

/// Increments of a millionth of the parameter must not vanish: what f32 rounds away comes back, and 24 bits after the point hold them.
#[test]
fn tiny_increments_survive_in_every_arithmetic() {
    let rule = SynapticSampling { temperature: 0.0, low: -2.0, high: 5.0, ..Default::default() };
    // 10,000 s at the released learning rate: θ falls from 4 by exp(−1/8).
    let expected = 4.0 * (1.0f64 - 5e-6 * 0.25).powi(100_000);
    let end = |found: f64| (found - expected).abs() / (4.0 - expected);
    let (single, double) = (wander::<f32>(&rule, 4.0, 3, 100_000), wander::<f64>(&rule, 4.0, 3, 100_000));
    let fixed = wander::<Fix<24>>(&rule, 4.0, 3, 100_000);
    assert!(double.parameters().all(|x| end(x) < 1e-9), "{:?}", double.parameters().next());
    assert!(single.parameters().all(|x| end(x) < 1e-3), "{:?}", single.parameters().next());
    // The constant 1.25e-6 itself is rounded to 2⁻²⁴: a fiftieth of it.
    assert!(fixed.parameters().all(|x| end(x) < 0.03), "{:?}", fixed.parameters().next());
}

#[test]
fn retracted_synapses_move_and_none_is_lost() {
    let rule = SynapticSampling { beta: 0.1, copies: 3, reallocate: true, ..Default::default() };
    let mut sampling = rule.begin::<f32>(wires(10, 10, 0.1), &vec![0.2; 300], normals(Seed::new(3)), Seed::new(4)).unwrap();
    for _ in 0..2000 {
        sampling.step(&Moment { pre: &[], post: &[], chance: &[0.0; 10], reward: 1.0 }).unwrap();
    }
    assert!(sampling.moved() > 300, "{} moves", sampling.moved());
    assert!(sampling.parameters().all(|theta| theta >= 0.0) && sampling.parameters().count() == 300);
    let total: f64 = sampling.parameters().map(|theta| (theta - 3.0).exp()).sum();
    let weights = sampling.take().unwrap();
    assert!((weights.iter().map(|&w| f64::from(w)).sum::<f64>() - total).abs() < 1e-3 * total);
    // 300 places drawn uniformly leave 100·(1 − 1/100)³⁰⁰ = 4.9 links empty.
    let empty = weights.iter().filter(|&&w| w == 0.0).count();
    assert!((1..=15).contains(&empty), "{empty} empty links");
}

#[test]
fn what_cannot_be_is_named() {
    let begin =
        |rule: SynapticSampling, n: usize| rule.begin::<f32>(wires(2, 2, 1e-3), &vec![0.1; n], normals(Seed::new(1)), Seed::new(1)).err();
    let odd = begin(SynapticSampling { beta: -1.0, ..Default::default() }, 4).unwrap();
    assert!(odd.to_string().contains("`beta` = -1: must be positive"), "{odd}");
    assert!(matches!(begin(SynapticSampling::default(), 3), Some(OnlineError::State { expected: 4, found: 3, .. })));
    let pool =
        Links::SumPool2d(snn_core::net::SumPool2d { channels: 1, height: 2, width: 2, kernel: (2, 2), stride: (2, 2), padding: (0, 0) });
    let shared = Wires { links: &pool, ..wires(4, 1, 1e-3) };
    let error = SynapticSampling::default().begin::<f32>(shared, &[0.0], normals(Seed::new(1)), Seed::new(1)).err();
    assert_eq!(error, Some(OnlineError::SharedWeights { rule: "synaptic_sampling" }));
    let mut blind = SynapticSampling::default().begin::<f32>(wires(2, 2, 1e-3), &[0.1; 4], normals(Seed::new(1)), Seed::new(1)).unwrap();
    let error = blind.step(&Moment { pre: &[], post: &[], chance: &[], reward: 0.0 }).unwrap_err();
    assert!(error.to_string().contains("escape noise"), "{error}");
}
