//! Conductance neurons in noise against the distributions they are to sample from.

use snn_core::ann::sigmoid;
use snn_core::{Network, Seed};
use snn_learn::sampling::{
    Boltzmann, Calibration, Chain, Clamp, Histogram, LifChain, LifSampling, Moments, Noise, Sweep, averages, learn, moments,
};
use snn_sparse::{Device, Ideal};

type Built = Result<Box<dyn Device>, Box<dyn std::error::Error + Send + Sync>>;

/// Leak potentials of a sweep, and for how long each is held (s).
const POINTS: usize = 24;
const SECONDS: f64 = 4.0;

fn ideal(network: &Network) -> Built {
    Ok(Box::new(Ideal::new(network)))
}

fn calibrated(how: &LifSampling, target: &Boltzmann) -> Vec<Calibration> {
    let sweep = Sweep { points: POINTS, seconds: SECONDS, ..how.sweep() };
    how.calibrate(&ideal, target, sweep, Seed::new(2)).unwrap()
}

/// The states of a free chain, read at every step.
fn sampled(how: &LifSampling, target: &Boltzmann, calibrations: &[Calibration], seconds: f64) -> Histogram {
    let mut chain = LifChain::new(&ideal, how, calibrations, (seconds / how.dt) as usize).every(how.dt);
    let mut met = Histogram::new(target.size());
    chain.sample(target, &[vec![None; target.size()]], Seed::new(3), &mut |_, z| met.add(z)).unwrap();
    met
}

#[test]
fn one_neuron_is_on_as_its_bias_says() {
    let how = LifSampling::default();
    let mut target = Boltzmann::random(5, 0.0, 0.0, Seed::new(0));
    let calibrations = calibrated(&how, &target);
    // The bands around -50.59 and 0.815 mV are those of the paper's claims; beyond them, three standard errors of a sweep of so many independent states of two
    // refractory periods: 1/√I, with I the information on the centre (1) or the slope (π²/3), for potentials `spacing` times alpha apart.
    for c in &calibrations {
        let (states, spacing) = (SECONDS / 0.02, 10e-3 / (POINTS - 1) as f64 / c.alpha);
        let error = |information: f64| 3.0 * (spacing / (states * information)).sqrt() * c.alpha;
        assert!((c.u0 + 50.59e-3).abs() < 0.1e-3 + error(1.0), "{c:?}");
        assert!((c.alpha - 0.815e-3).abs() < 0.04e-3 + error(std::f64::consts::PI.powi(2) / 3.0), "{c:?}");
        // The largest of all potentials, each with a share of its own.
        assert!(c.residual < 0.025 + 3.5 * (0.25 / states).sqrt(), "{c:?}");
    }
    target.biases = vec![-2.0, -1.0, 0.0, 1.0, 2.0];
    let p = sampled(&how, &target, &calibrations, 20.0).shares(0.0);
    for k in 0..5 {
        let (on, expected) = ((0..32).filter(|s| s >> k & 1 == 1).map(|s| p[s]).sum::<f64>(), sigmoid(target.biases[k]));
        // Three standard errors of states that last for 10 ms, and what the fit of a logistic function leaves.
        let sigma = (expected * (1.0 - expected) * 0.02 / 20.0).sqrt();
        assert!((on - expected).abs() < 3.0 * sigma + 0.025, "bias {}: {on} of {expected}", target.biases[k]);
    }
    // Without weights they are independent.
    let on = |k: usize| (0..32).filter(|s| s >> k & 1 == 1).map(|s| p[s]).sum::<f64>();
    for (s, p) in p.iter().enumerate() {
        let product: f64 = (0..5).map(|k| if s >> k & 1 == 1 { on(k) } else { 1.0 - on(k) }).product();
        assert!((p - product).abs() < 0.02, "state {s}: {p} of {product}");
    }
}

#[test]
fn two_neurons_and_their_four_states() {
    let how = LifSampling::default();
    for w in [-1.5, 1.5] {
        let target = Boltzmann::dense(&[vec![0.0, w], vec![w, 0.0]], vec![0.3, -0.4]).unwrap();
        let calibrations = calibrated(&how, &target);
        let (met, p) = (sampled(&how, &target, &calibrations, 20.0), target.exact().unwrap());
        assert!(met.divergence_from(&p) < 0.02, "weight {w}: {:?} of {p:?}", met.shares(0.0));
        // Without the weight it is another distribution.
        let mut apart = target.clone();
        apart.weights = vec![0.0];
        assert!(met.divergence_from(&apart.exact().unwrap()) > 0.05);
    }
}

#[test]
fn clamps_hold_and_persistent_chains_go_on() {
    let how = LifSampling::default();
    let target = Boltzmann::random(4, 1.0, 1.0, Seed::new(4));
    let calibrations = calibrated(&how, &target);
    let clamps: Vec<Clamp> = vec![vec![Some(true), Some(false), None, None], vec![Some(false), Some(true), None, None]];
    let mut chain = LifChain::new(&ideal, &how, &calibrations, 200);
    let means = averages(&mut chain, &target, &clamps, Seed::new(1)).unwrap();
    for (means, clamp) in means.iter().zip(&clamps) {
        for (mean, on) in means.iter().zip(clamp).filter_map(|(mean, clamp)| Some((mean, (*clamp)?))) {
            assert!(if on { *mean > 0.98 } else { *mean < 0.02 }, "{means:?}");
        }
    }
    assert!(chain.counts["spikes"] > 0 && (chain.seconds - 2.0 * 2.1).abs() < 1e-9);
    // Two modes that are hardly ever left: a chain stays in the one it was in.
    let pair = Boltzmann::dense(&[vec![0.0, 12.0], vec![12.0, 0.0]], vec![-6.0, -6.0]).unwrap();
    let calibrations = &calibrations[..2];
    let mut chain = LifChain::new(&ideal, &how, calibrations, 3).persistent();
    let up = averages(&mut chain, &pair, &[vec![Some(true); 2], vec![Some(false); 2]], Seed::new(1)).unwrap();
    let free = averages(&mut chain, &pair, &[vec![None; 2], vec![None; 2]], Seed::new(2)).unwrap();
    assert!(up[0][0] > 0.9 && free[0][0] > free[1][0], "{free:?}");
    assert!(chain.sample(&pair, &[vec![None; 3]], Seed::new(0), &mut |_, _| ()).unwrap_err().to_string().contains("3 units"));
}

#[test]
fn a_network_without_noise_is_noise_enough() {
    let noise = Noise::Network { neurons: 400, fan_in: 60, weight: 1e-9, inside: 20, inhibition: 5e-9, above: 8e-3 };
    let how = LifSampling { noise, ..LifSampling::default() };
    let target = Boltzmann::random(3, 0.6, 0.6, Seed::new(4));
    let calibrations = calibrated(&how, &target);
    assert!(calibrations.iter().all(|c| (1e-8..6e-8).contains(&c.background[0]) && c.residual < 0.1), "{calibrations:?}");
    let (met, p) = (sampled(&how, &target, &calibrations, 10.0), target.exact().unwrap());
    // Such noise is slow and shared; how near its states come is a claim of the paper. Here they must know the target: who does not is as far as the uniform distribution.
    let uniform: f64 = p.iter().map(|p| p * (p * 8.0).ln()).sum();
    assert!(met.divergence_from(&p) < uniform, "{:?} of {p:?}: {}", met.shares(0.0), met.divergence_from(&p));
}

#[test]
fn states_do_not_depend_on_threads() {
    let how = LifSampling { noise: Noise::Pool { sources: 100, fan_in: 30, rate: 3000.0, weight: 1e-9 }, ..LifSampling::default() };
    let target = Boltzmann::random(3, 1.0, 1.0, Seed::new(4));
    let calibrations = vec![calibrated(&LifSampling::default(), &Boltzmann::random(1, 0.0, 0.0, Seed::new(0)))[0]; 3];
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut chain = LifChain::new(&ideal, &how, &calibrations, 20);
            averages(&mut chain, &target, &vec![vec![None; 3]; 20], Seed::new(1)).unwrap()
        })
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn learning_in_the_loop_compensates_a_distorted_chip() {
    // Every synapse is half or one and a half of what it should be; the leak potentials are off by a third of alpha.
    let distorted = |network: &Network| -> Built {
        let mut draft = network.draft().clone();
        let factor = |k: usize| if Seed::new(8).nth(k as u64).value().is_multiple_of(2) { 0.5 } else { 1.5 };
        for p in draft.projections.iter_mut().filter(|p| p.from == "units") {
            p.weights = p.weights.given().iter().enumerate().map(|(k, w)| w * factor(k)).collect::<Vec<f32>>().into();
        }
        ideal(&Network::try_from(draft)?)
    };
    let how = LifSampling::default();
    let wanted = Boltzmann::random(4, 1.0, 0.6, Seed::new(11));
    let (calibrations, p) = (calibrated(&how, &wanted), wanted.exact().unwrap());
    let divergence = |target: &Boltzmann| {
        let mut chain = LifChain::new(&distorted, &how, &calibrations, 100_000).every(how.dt);
        let mut met = Histogram::new(4);
        chain.sample(target, &[vec![None; 4]], Seed::new(3), &mut |_, z| met.add(z)).unwrap();
        met.divergence_from(&p)
    };
    let (data, mut model) = (Moments::exact(&wanted, &p), wanted.clone());
    let before = divergence(&model);
    for n in 0..20 {
        let mut chain = LifChain::new(&distorted, &how, &calibrations, 200);
        let free = moments(&mut chain, &model, &[vec![None; 4]], Seed::new(9).nth(n)).unwrap();
        learn(&mut model, &data, &free, 1.0);
    }
    let after = divergence(&model);
    assert!(after < 0.5 * before, "{before} → {after}");
}
