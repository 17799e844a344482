//! Reward-based e-prop. The oracle is the rule as it would run in the animal: forwards in time, with an eligibility trace and a tag for every synapse, and a
//! reward prediction error at every action. Against it the rule `Eprop` on whole episodes with the actor-critic's errors, in f64, and one iteration of the
//! outer loop, in f32.

use snn_arch::ArchError;
use snn_arch::meta_rl::{Episode, MetaRl, Options};
use snn_arch::policy::{Acting, Head, Past, Ppo, advantages, units};
use snn_core::net::{Connect, Init};
use snn_core::neuron::{Alif, Li};
use snn_core::{Net, Network, Seed, Surrogate, Trials, Value, ms};
use snn_data::{BanditParams, DelayedCueParams, Environment};
use snn_learn::{Eprop, Feedback, Form, Gradients, Job, Loss, Optimiser, Regulariser, Rule, Schedule, SparseBptt};
use snn_sparse::Clocked;

const N: usize = 9;
const V_TH: f64 = 0.6;
const BETA: f64 = 0.4;
const QUIET: usize = 2;
const HEAD: Head = Head { gain: 1.7, value_gain: 0.8, sigma: 1.0, scale: 1.0 };

fn alpha(tau: f64) -> f64 {
    (-1e-3 / tau).exp()
}

/// Inputs, a recurrent population whose first three units do not adapt, a readout. Every neuron hears itself too: the weights are whole matrices.
fn network(inputs: usize, outputs: usize) -> Network {
    let beta = Value::Each((0..N).map(|j| if j < 3 { 0.0 } else { BETA }).collect());
    let model = Alif { tau: 0.02.into(), tau_a: 0.1.into(), v_th: V_TH.into(), beta, ..Alif::default() };
    Net::new(ms(1.0))
        .input("in", inputs)
        .population("hidden", N, model)
        .refractory(ms(QUIET as f64))
        .population("out", outputs, Li { tau: 0.01.into() })
        .project("in", "hidden", Connect::All, Init::normal(0.5))
        .project("hidden", "hidden", Connect::All, Init::normal(0.3))
        .delay(ms(1.0))
        .project("hidden", "out", Connect::All, Init::normal(0.5))
        .output("out")
        .build(Seed::new(3))
        .unwrap()
}

fn rule(b: &[f32], form: Form) -> Eprop {
    Eprop { surrogate: Surrogate::triangle(0.3 / V_TH, V_TH), feedback: Feedback::Given(vec![("hidden".into(), b.to_vec())]), form }
}

/// What the network in the animal did.
struct Lived {
    /// The readout at each action, `[action][unit]`.
    readout: Vec<f64>,
    /// The sum of its changes, each divided by −η: as the network's projections.
    change: Vec<Vec<f64>>,
}

/// Runs the network through a recorded episode and learns on the way. Nothing here looks ahead.
fn live(net: &Network, b: &[f32], window: usize, episode: &Episode, ppo: &Ppo) -> Lived {
    let weights = Clocked::<f64>::compile(net).weights().into_iter();
    let weights: Vec<Vec<f64>> = weights.map(|w| w.into_iter().map(f64::from).collect()).collect();
    let inputs = episode.spikes.units();
    let m = weights[2].len() / N;
    let (decay, rho, kappa) = (alpha(0.02), alpha(0.1), alpha(0.01));
    let beta = |j: usize| if j < 3 { 0.0 } else { BETA };
    let (mut v, mut a, mut z, mut since) = ([0.0; N], [0.0; N], [0.0; N], [usize::MAX; N]);
    let sources = inputs + N;
    // Per source; per synapse onto a hidden neuron; per hidden neuron.
    let (mut xbar, mut ea, mut ebar, mut zbar) = (vec![0.0; sources], vec![0.0; sources * N], vec![0.0; sources * N], [0.0; N]);
    let mut y = vec![0.0; m];
    let (mut tag, mut tag_out) = (vec![0.0; sources * N], vec![0.0; N * m]);
    let (mut change, mut change_out) = (vec![0.0; sources * N], vec![0.0; N * m]);
    let (mut readout, mut value_before) = (Vec::new(), 0.0);
    let pay = |delta: f64, tag: &[f64], change: &mut [f64]| change.iter_mut().zip(tag).for_each(|(c, t)| *c += delta * t);
    for t in 0..episode.rewards.len() * window {
        let before = z;
        let heard = |s: usize| match s.checked_sub(inputs) {
            None => f64::from(u8::from(episode.spikes.at(t).contains(&(s as u32)))),
            Some(i) => before[i],
        };
        (0..sources).for_each(|s| xbar[s] = decay * xbar[s] + heard(s));
        for j in 0..N {
            let into = |s: usize| if s < inputs { weights[0][s * N + j] } else { weights[1][(s - inputs) * N + j] };
            let x: f64 = (0..sources).map(|s| into(s) * heard(s)).sum();
            a[j] = rho * a[j] + before[j];
            v[j] = decay * v[j] + x - V_TH * before[j];
            let u = v[j] - V_TH - beta(j) * a[j];
            let free = since[j] > QUIET;
            z[j] = f64::from(u8::from(free && u > 0.0));
            since[j] = if z[j] > 0.0 { 1 } else { since[j].saturating_add(1) };
            let psi = if free { 0.3 / V_TH * (1.0 - u.abs() / V_TH).max(0.0) } else { 0.0 };
            for s in 0..sources {
                let k = s * N + j;
                let e = psi * (xbar[s] - beta(j) * ea[k]);
                ea[k] = rho * ea[k] + e;
                ebar[k] = kappa * ebar[k] + (1.0 - kappa) * e;
            }
            zbar[j] = kappa * zbar[j] + (1.0 - kappa) * z[j];
        }
        for k in 0..m {
            y[k] = kappa * y[k] + (1.0 - kappa) * (0..N).map(|j| weights[2][j * m + k] * z[j]).sum::<f64>();
        }
        if (t + 1) % window != 0 {
            continue;
        }
        // An action: first the last one is paid for.
        let n = t / window;
        let value = HEAD.value_gain * y[m - 1];
        if n > 0 {
            let delta = episode.rewards[n - 1] + ppo.gamma * value - value_before;
            pay(delta, &tag, &mut change);
            pay(delta, &tag_out, &mut change_out);
        }
        let p: Vec<f64> = y[..m - 1].iter().map(|y| (HEAD.gain * y).exp()).collect();
        let p: Vec<f64> = p.iter().map(|x| x / p.iter().sum::<f64>()).collect();
        let entropy: f64 = -p.iter().map(|p| p * p.ln()).sum::<f64>();
        let (mut error, mut pressure) = (vec![0.0; m], vec![0.0; m]);
        for k in 0..m - 1 {
            error[k] = HEAD.gain * (p[k] - f64::from(u8::from(k == episode.actions[n] as usize)));
            pressure[k] = ppo.entropy * HEAD.gain * p[k] * (p[k].ln() + entropy);
        }
        error[m - 1] = -ppo.value * HEAD.value_gain;
        for j in 0..N {
            let signal = |error: &[f64]| (0..m).map(|k| f64::from(b[j * m + k]) * error[k]).sum::<f64>();
            for k in (0..sources).map(|s| s * N + j) {
                tag[k] = ppo.gamma * ppo.lambda * tag[k] + signal(&error) * ebar[k];
                change[k] += signal(&pressure) * ebar[k];
            }
            for k in 0..m {
                tag_out[j * m + k] = ppo.gamma * ppo.lambda * tag_out[j * m + k] + error[k] * zbar[j];
                change_out[j * m + k] += pressure[k] * zbar[j];
            }
        }
        readout.extend_from_slice(&y);
        value_before = value;
    }
    let delta = episode.rewards.last().unwrap() - value_before;
    pay(delta, &tag, &mut change);
    pay(delta, &tag_out, &mut change_out);
    let recurrent = change.split_off(inputs * N);
    Lived { readout, change: vec![change, recurrent, change_out] }
}

fn apart(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let top = b.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    assert!(top > 1e-9, "nothing to learn");
    a.iter().zip(b).fold(0.0f64, |m, (a, b)| m.max((a - b).abs())) / top
}

fn options(episodes: usize, ppo: Ppo) -> Options {
    let seed = Seed::new(21);
    Options { episodes, head: HEAD, ppo, clip: None, regulariser: Regulariser::NONE, schedule: Schedule::Constant, seed }
}

/// Feedback weights that are not the readout's.
fn feedback(outputs: usize) -> Vec<f32> {
    (0..N * outputs).map(|k| (1.3 * k as f32 + 0.2).sin()).collect()
}

fn check<E: Environment + Clone + Sync>(world: E) -> Result<(), ArchError> {
    let (window, outputs) = (world.window(), units(world.actions()));
    let (net, b) = (network(world.inputs(), outputs), feedback(outputs));
    for ppo in [Ppo::actor_critic(0.9, 1.0, 0.7, 0.05), Ppo::actor_critic(0.8, 0.6, 0.3, 0.0)] {
        let count = 4;
        // A rate of 2⁶, so that what a weight in single precision rounds off does not matter.
        let mut outer = MetaRl::new(&net, world.clone(), rule(&b, Form::Reverse), Optimiser::sgd(64.0), options(count, ppo))?;
        let episodes = outer.evaluate(count, Seed::new(21).child("episodes"), Acting::Sample)?;
        assert!(episodes.iter().any(|e| e.rewards.iter().any(|r| *r != 0.0)) && episodes.iter().any(|e| e.spikes.steps() > 40));
        let lived: Vec<Lived> = episodes.iter().map(|e| live(&net, &b, window, e, &ppo)).collect();
        let mut total: Vec<Vec<f64>> = lived[0].change.iter().map(|c| vec![0.0; c.len()]).collect();
        for (episode, lived) in episodes.iter().zip(&lived) {
            // The same spikes in single precision, and so the same readout.
            assert!(apart(&episode.readout, &lived.readout) < 1e-5);
            total.iter_mut().flatten().zip(lived.change.iter().flatten()).for_each(|(sum, c)| *sum += c);
            for form in [Form::Reverse, Form::Online { window }, Form::Online { window: 7 }] {
                let found = whole_episode(&net, &rule(&b, form), window, episode, &lived.readout, &ppo, world.actions());
                for (found, lived) in found.iter().zip(&lived.change) {
                    // The errors are handed over in single precision.
                    assert!(apart(found, lived) < 1e-6, "{form:?}: {:e}", apart(found, lived));
                }
            }
        }
        // One iteration is the mean over all actions of the batch.
        let all = episodes.iter().map(|e| e.rewards.len()).sum::<usize>() as f64;
        let before = outer.trainer().engine().weights();
        outer.iteration()?;
        for ((before, after), lived) in before.iter().zip(outer.trainer().engine().weights()).zip(&total) {
            let found: Vec<f64> = before.iter().zip(after).map(|(b, a)| f64::from(b - a) / 64.0).collect();
            let wanted: Vec<f64> = lived.iter().map(|c| c / all).collect();
            assert!(apart(&found, &wanted) < 1e-4, "{:e}", apart(&found, &wanted));
        }
        // Backpropagation through the network is another gradient.
        let bptt = MetaRl::new(
            &net,
            world.clone(),
            SparseBptt { surrogate: rule(&b, Form::Reverse).surrogate },
            Optimiser::sgd(64.0),
            options(count, ppo),
        );
        let mut bptt = bptt?;
        bptt.iteration()?;
        let found: Vec<f64> = before[1].iter().zip(&bptt.trainer().engine().weights()[1]).map(|(b, a)| f64::from(b - a) / 64.0).collect();
        assert!(apart(&found, &total[1].iter().map(|c| c / all).collect::<Vec<_>>()) > 0.1);
    }
    Ok(())
}

/// The gradient that the rule makes of the actor-critic's errors on an episode that has ended.
fn whole_episode(
    net: &Network,
    rule: &Eprop,
    window: usize,
    episode: &Episode,
    readout: &[f64],
    ppo: &Ppo,
    actions: snn_data::Actions,
) -> Vec<Vec<f64>> {
    let m = units(actions);
    let values: Vec<f64> = readout.chunks(m).map(|y| HEAD.value(y)).collect();
    let (advantage, wanted) = advantages(&episode.rewards, &values, ppo.gamma, ppo.lambda);
    let mut errors = vec![0.0f32; episode.spikes.steps() * m];
    let mut derivative = vec![0.0; m];
    for (k, y) in readout.chunks(m).enumerate() {
        let action = &episode.actions[k..k + 1];
        let log_prob = HEAD.log_prob(actions, y, action, 0.0, &mut derivative);
        let past = Past { action, log_prob, advantage: advantage[k], wanted: wanted[k] };
        ppo.objective(&HEAD, actions, y, &past, 1.0, &mut derivative);
        let first = ((k + 1) * window - 1) * m;
        errors[first..first + m].iter_mut().zip(&derivative).for_each(|(e, d)| *e = *d as f32);
    }
    let mut data = Trials::new("episode", episode.spikes.units(), episode.spikes.steps(), 0);
    data.push_series(episode.spikes.clone(), errors);
    let engine = Clocked::<f64>::compile(net);
    let mut gradients = Gradients::zero(&engine);
    let job = Job { engine: &engine, data: &data, loss: Loss::Linear, regulariser: Regulariser::NONE, scale: 1.0, updates: 0, rates: &[] };
    rule.worker(&engine).learn(&job, &[0], &mut gradients);
    gradients.in_order(&engine)
}

#[test]
fn whole_episodes_give_what_tags_add_up_to() {
    check(
        BanditParams { probabilities: vec![0.3, 0.7], pulls: 9, window: 6, group: 2, rate: 300.0, ..Default::default() }.build().unwrap(),
    )
    .unwrap();
    let cue = DelayedCueParams { cue: 2, delay_min: 1, delay_max: 5, window: 8, group: 2, rate: 300.0, wrong: -1.0, ..Default::default() };
    check(cue.build().unwrap()).unwrap();
}
