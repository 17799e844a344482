//! E-prop 2: learning signals that are learned. A network is to follow a curve that it has never followed, after one run and one update. The task and all
//! constants are ours; the pattern is that of the successor's robot arm `[code]`: clock inputs for both networks, 16 channels that say where the curve is for
//! the generator only, one run to learn and one to be judged.
//!
//! Departure: the outer gradient is of first order in the weights that every update starts from, see [`LearnedSignals`].

use std::f64::consts::TAU;

use anyhow::Result;
use rand::RngExt;
use snn_core::net::{Connect, Init};
use snn_core::neuron::{Alif, Li, Lif};
use snn_core::stats::mean;
use snn_core::{Dataset, Net, Network, Raster, Seed, Subset, Trials, Value, ms};
use snn_data::{Sine, superposed_sines};
use snn_learn::{Eprop, Feedback, Form, LearnedSignals, Loss, Optimiser, Options, RateOver, Regulariser, Schedule, Trainer};
use snn_sparse::{Clocked, Wants};

use super::{DT, FEW, surrogate, target, timed};
use crate::plot::numbered;
use crate::{Axes, Lab, Scale};

pub const AFTER: &str = "learned signals: error on 200 new curves after one update, as a share of that before";
pub const TO_EPROP: &str = "learned signals: error on 200 new curves after one update, as a share of that after one update by e-prop 1";

/// Steps of a run.
const STEPS: usize = 200;
/// Clock channels; one after the other fires, every other step.
const CLOCK: usize = 10;
/// Channels that say where the curve is, between −1 and 1 `[code]`.
const PLACES: usize = 16;
/// Base threshold.
const V_TH: f64 = 0.6;

/// Curves of two sines that start at 0 and reach 1 or −1, each with amplitudes and phases of its own. Their input: the clock, and the place of the curve.
fn curves(seed: Seed, first: usize, count: usize) -> Trials {
    let mut trials = Trials::new("curves", CLOCK + PLACES, STEPS, 0);
    for k in first..first + count {
        let mut rng = seed.nth(k as u64).rng();
        let mut sine = |cycles| Sine { cycles, amplitude: rng.random_range(0.5..2.0), phase: rng.random_range(0.0..TAU) };
        let y = superposed_sines(STEPS, &[sine(1), sine(2)]);
        let place = |y: f64| (((y + 1.0) / 2.0 * PLACES as f64) as usize).min(PLACES - 1);
        let mut raster = Raster::new(CLOCK + PLACES, STEPS);
        raster.write(|t, units| {
            units.extend((t % 2 == 0).then_some((t * CLOCK / STEPS) as u32));
            units.push((CLOCK + place(y[t])) as u32);
        });
        trials.push_series(raster, y.into_iter().map(|y| y as f32).collect());
    }
    trials
}

/// The learner with its readout, and the generator, which hears everything, with the learning signals.
fn network(learner: usize, generator: usize, seed: Seed) -> Result<Network> {
    let (adaptive, tau) = (generator * 3 / 10, ms(20.0)); // a share of 30 % [code]
    let lif = Lif { tau: tau.into(), v_th: V_TH.into(), ..Lif::default() };
    let beta = Value::Each([vec![0.0; generator - adaptive], vec![0.1; adaptive]].concat());
    let alif = Alif { tau: tau.into(), tau_a: ms(200.0).into(), v_th: V_TH.into(), beta, ..Alif::default() };
    let spread = |std: f64, sources: usize| Init::normal(std / (sources as f64).sqrt());
    let net = Net::new(DT)
        .input("in", CLOCK + PLACES)
        .population("learner", learner, lif)
        .refractory(ms(3.0))
        .population("out", 1, Li { tau: tau.into() })
        .population("generator", generator, alif)
        .refractory(ms(3.0))
        .population("signals", learner, Li { tau: tau.into() })
        .project("in", "learner", Connect::Sources { start: 0, end: CLOCK }, Init::normal(0.2))
        .project("learner", "learner", Connect::All, spread(0.3, learner))
        .without_autapses()
        .delay(DT)
        .project("learner", "out", Connect::All, spread(3.0, learner))
        .project("in", "generator", Connect::All, Init::normal(0.2))
        .project("learner", "generator", Connect::All, spread(0.3, learner))
        .delay(DT)
        .project("generator", "generator", Connect::All, spread(0.3, generator))
        .without_autapses()
        .delay(DT)
        .project("generator", "signals", Connect::All, spread(1.0, generator))
        .output("out");
    Ok(net.build(seed)?)
}

/// The learner alone.
fn without_generator(net: &Network) -> Result<Network> {
    let mut draft = net.draft().clone();
    let stays = |name: &str| name == "learner" || name == "out";
    draft.populations.retain(|p| stays(&p.name));
    draft.projections.retain(|p| stays(&p.to));
    Ok(draft.try_into()?)
}

/// E-prop 1 with symmetric feedback, and plain gradient descent on one curve.
fn eprop(net: &Network, rate: f64, seed: Seed) -> Result<Trainer> {
    let rule = Eprop { surrogate: surrogate(V_TH), feedback: Feedback::Symmetric, form: Form::Reverse };
    Ok(Trainer::new(net, rule, Optimiser::sgd(rate), Options { batch: 1, ..Options::new(Loss::MeanSquared, seed) })?)
}

/// Mean loss on the curves after so many updates on each by itself, from none on.
fn by_updates(net: &Network, rate: f64, updates: usize, data: &dyn Dataset, seed: Seed) -> Result<Vec<f64>> {
    let mut trainer = eprop(net, rate, seed)?;
    let start = trainer.checkpoint();
    let mut sums = vec![0.0; updates + 1];
    for k in 0..data.len() {
        let curve = Subset::new(data, vec![k]);
        trainer.restore(&start)?;
        for n in 0..=updates {
            sums[n] += trainer.evaluate(&curve)?.mean_loss() / data.len() as f64;
            if n < updates {
                trainer.epoch(&curve, &|_| ())?;
            }
        }
    }
    Ok(sums)
}

/// Over many curves the generator learns to teach the learner the next one at once.
pub fn run(lab: &mut Lab) -> Result<()> {
    let seed = lab.seed().child("learned signals");
    let (learner, generator) = lab.scale().pick((20, 20), (64, 100), (64, 100));
    let (batch, iterations) = lab.scale().pick((4, 3), (8, 2000), (16, 4000));
    let rule =
        LearnedSignals { surrogate: surrogate(V_TH), learner: "learner".into(), signals: "signals".into(), rate: 0.3, filter: ms(20.0) };
    let options = Options {
        batch,
        clip: Some(10.0),
        regulariser: Regulariser::rate(10.0, 0.02, RateOver::Batch),
        schedule: Schedule::Cosine { epochs: iterations as f64 },
        ..Options::new(Loss::MeanSquared, seed.child("training"))
    };
    let mut trainer = Trainer::new(&network(learner, generator, seed.child("network"))?, rule.clone(), Optimiser::adam(6e-3), options)?;
    let training = seed.child("training curves");
    let draw = |k: usize| -> Result<Box<dyn Dataset>> { Ok(Box::new(curves(training, k * batch, batch))) };
    let history = lab.train_drawn("learned signals", &mut trainer, iterations, draw, None, |_| Ok(None))?;
    let losses = [("after the update", numbered(history.iter().map(|e| e.loss)))];
    let axes = Axes { log_y: true, ..Axes::default() };
    lab.curve("learned-signals-learning", "learned signals: learning to teach", "iteration", "loss", &losses, axes)?;

    // The rate of e-prop 1 is chosen on curves of the training.
    let (some, all, updates) = lab.scale().pick((2, 2, 2), (64, 200, 20), (64, 200, 20));
    let alone = without_generator(&trainer.network()?)?;
    let (seen, new) = (curves(training, 0, some), curves(seed.child("new curves"), 0, all));
    let (mut least, mut rate) = (f64::INFINITY, 0.0);
    for candidate in (-2..=8).map(|k| 10f64.powf(f64::from(k) / 2.0)) {
        lab.go_on()?;
        let loss = by_updates(&alone, candidate, 1, &seen, seed)?[1];
        if loss < least {
            (least, rate) = (loss, candidate);
        }
    }
    let before = trainer.evaluate(&new)?.mean_loss();
    let after = trainer.gradient(&new, &(0..new.len()).collect::<Vec<_>>()).mean_loss();
    let by_eprop = by_updates(&alone, rate, updates, &new, seed)?;
    lab.note(format!(
        "learned signals: loss on new curves {before:.4} before, {after:.4} after one update; by e-prop 1 with rate {rate:.3} {:.4} after one, {:.4} after \
         {updates}; of silence {:.4}",
        by_eprop[1],
        by_eprop[updates],
        of_silence(&new)
    ));
    if lab.scale() == Scale::Smoke {
        lab.too_short(&[AFTER, TO_EPROP], FEW)?;
    } else {
        lab.report(AFTER, after / before)?;
        lab.report(TO_EPROP, after / by_eprop[1])?;
    }
    let lines = [
        ("learned signals", vec![(0.0, before), (1.0, after)]),
        ("e-prop 1", (0..).zip(&by_eprop).map(|(n, loss)| (f64::from(n), *loss)).collect()),
    ];
    lab.curve("learned-signals-updates", "learned signals: loss on new curves", "updates", "loss", &lines, Axes::default())?;
    let mut taught = eprop(&alone, rate, seed)?;
    taught.epoch(&Subset::new(&new, vec![0]), &|_| ())?;
    let output = |engine: &Clocked<f32>| timed(engine.trial(&new, 0, Wants::Spikes).1.traces[1].series(0).map(f64::from));
    let lines = [
        ("target", target(&new, 0)),
        ("before", output(trainer.engine())),
        ("after one update", output(&rule.adapted(trainer.engine(), &new, 0)?)),
        ("after one update by e-prop 1", output(taught.engine())),
    ];
    lab.curve("learned-signals", "learned signals: a new curve", "time (s)", "y", &lines, Axes::default())?;
    Ok(())
}

/// Mean loss of a readout that stays at 0.
fn of_silence(data: &dyn Dataset) -> f64 {
    mean((0..data.len()).map(|k| mean(target(data, k).iter().map(|(_, y)| 0.5 * y * y))))
}
