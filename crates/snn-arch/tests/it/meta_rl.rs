//! The outer loop by reward: the gradient through the network, replay, bits, and two worlds that must be learnt.

use snn_arch::meta_rl::{MetaRl, Options, Saved, run};
use snn_arch::policy::{Acting, Head, Past, Ppo, advantages, units, width};
use snn_arch::{Agent, ArchError};
use snn_core::{Network, Seed, Surrogate, Trials};
use snn_data::{Arms, Bandit, BanditParams, DelayedCueParams, Environment, NavigationParams};
use snn_learn::{Eprop, Feedback, Form, Gradients, Job, Loss, Optimiser, RateOver, Regulariser, Rule, Schedule, SparseBptt};
use snn_sparse::{Clocked, LANES, Record, Wants};

const RULE: SparseBptt = SparseBptt { surrogate: Surrogate::triangle(0.3, 1.0) };

const AGENT: Agent = Agent {
    dt: 1e-3,
    regular: 20,
    adaptive: 0,
    tau: 0.005,
    tau_a: 0.3,
    v_th: 0.01,
    beta: 0.0,
    refractory: 1e-3,
    tau_out: 0.005,
    weight_in: 0.1,
    weight_recurrent: 0.03,
    weight_out: 1.0,
};

/// Arms that change places: only what happens in the episode tells which pays.
fn bandit(pulls: usize) -> Bandit {
    BanditParams { probabilities: vec![0.1, 0.9], arms: Arms::Shuffled, pulls, window: 6, rate: 500.0, ..Default::default() }
        .build()
        .unwrap()
}

fn options(episodes: usize) -> Options {
    Options {
        episodes,
        head: Head { gain: 4.0, value_gain: 4.0, sigma: 0.5, scale: 8.0 },
        ppo: Ppo { clip: 0.2, value: 0.5, entropy: 0.01, gamma: 0.7, lambda: 0.9, normalise: true, epochs: 2, minibatches: 2 },
        clip: Some(1.0),
        regulariser: Regulariser::NONE,
        schedule: Schedule::Constant,
        seed: Seed::new(11),
    }
}

fn network(world: &dyn Environment, agent: Agent) -> Network {
    agent.network(world.inputs(), units(world.actions()), Seed::new(1)).unwrap()
}

fn outer<E: Environment + Clone + Sync>(world: E, agent: Agent, options: Options) -> MetaRl<E> {
    let net = network(&world, agent);
    MetaRl::new(&net, world, RULE, Optimiser::adam(5e-3), options).unwrap()
}

/// The objective as a function of the readout's weights, whose gradient needs no surrogate: finite differences of the log-probabilities of a recorded
/// episode, weighed by its advantages, against what the rule makes of the given errors. In f64.
#[test]
fn the_weights_get_the_policy_gradient() {
    let continuous = NavigationParams { horizon: 12, window: 5, cells: 4, group: 2, ..Default::default() }.build().unwrap();
    check_gradient(bandit(12));
    check_gradient(continuous);
}

fn check_gradient<E: Environment + Clone + Sync>(world: E) {
    let Options { head, ppo, .. } = options(1);
    let (actions, window, name) = (world.actions(), world.window(), world.name());
    let (units, width) = (units(actions), width(actions));
    let net = network(&world, Agent { adaptive: 10, beta: 1.7, ..AGENT });
    let f32s = Clocked::<f32>::compile(&net);
    let episode = run(&f32s, &mut world.clone(), &head, Acting::Sample, Seed::new(4), &mut Record::new(&f32s), &mut |_, _| ()).unwrap();
    let values: Vec<f64> = episode.readout.chunks(units).map(|y| head.value(y)).collect();
    let (advantage, wanted) = advantages(&episode.rewards, &values, ppo.gamma, ppo.lambda);
    let n = episode.rewards.len();

    // The readout in f64, and the old policy from it: ratio 1.
    let readout = |net: &Network| -> Vec<f64> {
        let engine = Clocked::<f64>::compile(net);
        let record = engine.record(&[&episode.spikes], Wants::Spikes);
        let trace = &record.traces[engine.outputs()[0]];
        let row = |k: usize| ((k + 1) * window - 1) * trace.blocks();
        (0..n).flat_map(|k| (0..units).map(move |u| (k, u))).map(|(k, u)| trace.output[row(k) + u / LANES][u % LANES]).collect()
    };
    let y = readout(&net);
    let action = |k: usize| &episode.actions[k * width..(k + 1) * width];
    let log = |y: &[f64], k: usize| head.log_prob(actions, &y[k * units..(k + 1) * units], action(k), 0.0, &mut vec![0.0; units]);
    let mut errors = vec![0.0f32; episode.spikes.steps() * units];
    let mut derivative = vec![0.0; units];
    for k in 0..n {
        let past = Past { action: action(k), log_prob: log(&y, k), advantage: advantage[k], wanted: wanted[k] };
        ppo.objective(&head, actions, &y[k * units..(k + 1) * units], &past, 1.0 / n as f64, &mut derivative);
        let first = ((k + 1) * window - 1) * units;
        errors[first..first + units].iter_mut().zip(&derivative).for_each(|(e, d)| *e = *d as f32);
    }
    let mut data = Trials::new("episode", episode.spikes.units(), episode.spikes.steps(), 0);
    data.push_series(episode.spikes.clone(), errors);
    let engine = Clocked::<f64>::compile(&net);
    let mut gradients = Gradients::zero(&engine);
    let job = Job { engine: &engine, data: &data, loss: Loss::Linear, regulariser: Regulariser::NONE, scale: 1.0, updates: 0, rates: &[] };
    Rule::<f64>::worker(&RULE, &engine).learn(&job, &[0], &mut gradients);
    let gradients = gradients.in_order(&engine);
    assert!(gradients.iter().all(|g| g.iter().any(|d| *d != 0.0)), "{name}: the error reaches every projection");

    let objective = |y: &[f64]| -> f64 {
        let each = |k: usize| {
            let y_k = &y[k * units..(k + 1) * units];
            let off = head.value(y_k) - wanted[k];
            -advantage[k] * log(y, k) + ppo.value * 0.5 * off * off - ppo.entropy * head.entropy(actions, y_k, 0.0, &mut vec![0.0; units])
        };
        (0..n).map(each).sum::<f64>() / n as f64
    };
    let weights: Vec<Vec<f32>> = Clocked::<f32>::compile(&net).weights();
    let size = gradients[2].iter().fold(0.0f64, |m, g| m.max(g.abs()));
    let mut rows = 0;
    for (k, g) in gradients[2].iter().enumerate().step_by(7) {
        let at = |h: f32| {
            let mut moved = weights.clone();
            moved[2][k] += h;
            (objective(&readout(&net.with_weights(moved.clone()).unwrap())), f64::from(moved[2][k]))
        };
        let ((up, w_up), (down, w_down)) = (at(1e-3), at(-1e-3));
        let slope = (up - down) / (w_up - w_down);
        assert!((slope - g).abs() < 1e-5 * size.max(1.0), "{name} weight {k}: {slope} {g}");
        rows += usize::from(*g != 0.0);
    }
    assert!(rows > 2);
}

/// What an episode saw, replayed, is the episode: the same readout to the bit, so that the first ratio is 1.
#[test]
fn replay_is_exact() {
    let world = NavigationParams { horizon: 40, window: 3, cells: 6, ..Default::default() }.build().unwrap();
    let net = network(&world, Agent { adaptive: 70, beta: 1.7, weight_in: 0.6, ..AGENT });
    let engine = Clocked::<f32>::compile(&net);
    let mut record = Record::new(&engine);
    let head = options(1).head;
    let episode = run(&engine, &mut world.clone(), &head, Acting::Sample, Seed::new(5), &mut record, &mut |_, _| ()).unwrap();
    let (looped, spikes) = (record.traces[1].output.clone(), record.spikes[0].clone());
    engine.run(&[&episode.spikes], Wants::Active(RULE.surrogate), &mut record);
    let bits = |v: &[snn_sparse::Block<f32>]| v.iter().flat_map(|b| b.0).map(f32::to_bits).collect::<Vec<_>>();
    assert_eq!(bits(&looped), bits(&record.traces[1].output));
    assert_eq!(spikes, record.spikes[0]);
    assert!(spikes.len() > 100, "{} spikes", spikes.len());
    assert_eq!(episode.readout.len(), 40 * 3);
    assert_eq!(episode.readout[3], f64::from(looped[5][0]));

    // Actor-critic, the first and only epoch: no ratio but 1.
    let mut options = options(6);
    (options.ppo.epochs, options.ppo.minibatches) = (1, 1);
    let mut outer = MetaRl::new(&net, world, RULE, Optimiser::adam(1e-3), options).unwrap();
    for _ in 0..2 {
        let iteration = outer.iteration().unwrap();
        assert_eq!((iteration.terms.divergence, iteration.terms.clipped), (0.0, 0.0));
    }
    options.ppo.epochs = 3;
    let mut outer = MetaRl::new(&net, outer.world().clone(), RULE, Optimiser::adam(1e-3), options).unwrap();
    assert!(outer.iteration().unwrap().terms.divergence > 0.0);
}

fn bits(saved: &Saved) -> Vec<u32> {
    let t = &saved.trainer;
    [&t.weights, &t.first, &t.second].into_iter().flatten().flatten().map(|w| w.to_bits()).collect()
}

/// The same bits on one thread, on three, and with a stop and a new loop after every iteration. Episodes of unlike length too.
#[test]
fn bits_do_not_depend_on_threads_or_stops() {
    same_bits(&|| Box::new(RULE), options(6));
    let plain = Ppo::actor_critic(0.9, 1.0, 0.5, 0.01);
    let reward_based = Options { ppo: plain, regulariser: Regulariser::rate(5.0, 0.02, RateOver::Batch), ..options(6) };
    let (surrogate, seed) = (RULE.surrogate, Seed::new(8));
    same_bits(&|| Box::new(Eprop { surrogate, ..Eprop::default() }), reward_based);
    let adaptive = Feedback::Adaptive { std: 1.0, decay: 1e-2, seed };
    same_bits(&|| Box::new(Eprop { surrogate, feedback: adaptive.clone(), form: Form::Online { window: 5 } }), reward_based);
}

fn same_bits(rule: &(dyn Fn() -> Box<dyn Rule<f32>> + Sync), options: Options) {
    let worlds = || DelayedCueParams { cue: 1, delay_min: 1, delay_max: 4, window: 5, rate: 500.0, ..Default::default() }.build().unwrap();
    let new = || {
        let world = worlds();
        MetaRl::new(&network(&world, AGENT), world, rule(), Optimiser::adam(5e-3), options).unwrap()
    };
    let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
    let whole = |threads| {
        pool(threads).install(|| {
            let mut outer = new();
            let log: Vec<_> = (0..3).map(|_| outer.iteration().unwrap()).collect();
            (log, bits(&outer.save()))
        })
    };
    let one = whole(1);
    assert_eq!(one, whole(3));
    let mut log = Vec::new();
    let mut saved = new().save();
    for k in 0..3 {
        let mut outer = new();
        outer.restore(&saved).unwrap();
        assert_eq!(outer.iterations(), k);
        log.push(outer.iteration().unwrap());
        saved = outer.save();
    }
    assert_eq!(one, (log, bits(&saved)));

    let tests = new().evaluate(12, Seed::new(2), Acting::Sample).unwrap();
    let lengths: Vec<usize> = tests.iter().map(|e| e.rewards.len()).collect();
    assert!(lengths.iter().any(|n| *n != lengths[0]) && lengths.iter().all(|n| (3..=6).contains(n)), "{lengths:?}");
    for e in &tests {
        let n = e.rewards.len();
        assert_eq!((e.readout.len(), e.actions.len(), e.log_probs.len(), e.spikes.steps()), (3 * n, n, n, 30));
        assert!((n * 5..30).all(|t| e.spikes.at(t).is_empty()));
    }
    // An episode is its seed.
    let mut rewards = Vec::new();
    let again = new().watch(Seed::new(2).nth(3), Acting::Sample, &mut |_, feedback| rewards.push(feedback.reward)).unwrap();
    assert!(again == tests[3] && rewards == again.rewards);
}

/// Arms that change places and pay 0.1 and 0.9: chance is 0.5 per pull. Who stays with an arm that paid and leaves one that did not pulls the better one nine
/// times in ten, and gets 0.9·0.9 + 0.1·0.1 = 0.82. How near a training of this length comes depends on its every rounding, so what is asked
/// here is that it is learned: five standard errors above chance. That it is solved is a claim of the paper `eprop`.
#[test]
fn a_bandit_is_learned() {
    let mut outer = outer(bandit(20), AGENT, options(16));
    let late = |outer: &MetaRl<Bandit>| {
        let tests = outer.evaluate(40, Seed::new(77), Acting::Sample).unwrap();
        tests.iter().flat_map(|e| &e.rewards[5..]).sum::<f64>() / (40.0 * 15.0)
    };
    let before = late(&outer);
    for _ in 0..300 {
        outer.iteration().unwrap();
    }
    let after = late(&outer);
    let chance_and_five_errors = 0.5 + 5.0 * (0.25f64 / (40.0 * 15.0)).sqrt();
    println!("reward per pull: {before:.3} before, {after:.3} after");
    assert!((before - 0.5).abs() < 0.1 && after > chance_and_five_errors, "{before} {after}");
}

#[test]
fn misfits_are_refused_by_name() {
    let refused = |net: &Network, options: Options| match MetaRl::new(net, bandit(5), RULE, Optimiser::adam(1e-3), options) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("not refused"),
    };
    let good = network(&bandit(5), AGENT);
    let wide = AGENT.network(21, 3, Seed::new(1)).unwrap();
    let narrow = AGENT.network(20, 2, Seed::new(1)).unwrap();
    assert!(refused(&wide, options(4)).contains("`bandit` shows 20 channels; the network has `in` of 21"));
    assert!(
        refused(&narrow, options(4))
            .contains("`bandit` needs one graded output of 3 units (the policy's, and the value); the network has `out` (li) of 2")
    );
    assert!(refused(&good, options(0)).contains("episodes = 0"));
    assert!(refused(&good, options(1)).contains("minibatches = 2"));
    let mut bad = options(4);
    bad.ppo.clip = 0.0;
    assert!(refused(&good, bad).contains("Ppo: clip = 0"));
    let mut saved = outer(bandit(5), AGENT, options(4)).save();
    let mut other = outer(bandit(5), Agent { regular: 70, ..AGENT }, options(4));
    assert!(matches!(other.restore(&saved), Err(ArchError::Train(_))));
    saved.iterations = 3;
    assert!(other.restore(&saved).unwrap_err().to_string().contains("0 updates in 3 iterations"));
}
