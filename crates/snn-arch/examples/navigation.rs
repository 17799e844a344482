//! Trains a navigating agent with and without adaptation, and prints what came of it. All numbers are chosen.
//!
//! `cargo run --release -p snn-arch --example navigation -- minutes=4 seed=1 …` (any of the names below).

use snn_arch::Agent;
use snn_arch::meta_rl::Options;
use snn_arch::navigation::Study;
use snn_arch::policy::{Acting, Head, Ppo};
use snn_core::{Seed, Surrogate};
use snn_data::NavigationParams;
use snn_learn::{Optimiser, RateOver, Regulariser, Schedule};
use std::collections::HashMap;
use std::error::Error;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let mut given: HashMap<String, f64> = HashMap::new();
    for argument in std::env::args().skip(1) {
        let (name, value) = argument.split_once('=').ok_or_else(|| format!("`{argument}`: give name=number"))?;
        given.insert(name.into(), value.parse().map_err(|e| format!("`{argument}`: {e}"))?);
    }
    let mut get = |name: &str, default: f64| given.remove(name).unwrap_or(default);
    let speed = get("speed", 16.0);
    let window = get("window", 2.0);
    let dt = 5e-3 / window;
    let study = Study {
        world: NavigationParams {
            goal_radius: get("goal", 0.3),
            speed,
            wall: get("wall", 0.02),
            horizon: get("horizon", 200.0) as usize,
            window: window as usize,
            cells: get("cells", 8.0) as usize,
            width: get("width", 0.25),
            rate: get("rate", 200.0),
            group: get("group", 10.0) as usize,
            dt,
        },
        agent: Agent {
            dt,
            regular: get("regular", 60.0) as usize,
            adaptive: get("adaptive", 60.0) as usize,
            tau: get("tau", 0.01),
            tau_a: get("tau_a", 0.6),
            v_th: 0.01,
            beta: get("beta", 1.7),
            refractory: get("refractory", 1.0) * dt,
            tau_out: get("tau_out", 0.005),
            weight_in: get("w_in", 0.3),
            weight_recurrent: get("w_rec", 0.3),
            weight_out: get("w_out", 0.3),
        },
        options: Options {
            episodes: get("episodes", 32.0) as usize,
            head: Head { gain: get("gain", 2.0), value_gain: get("value_gain", 5.0), sigma: get("sigma", 0.5), scale: speed },
            ppo: Ppo {
                clip: get("clip", 0.2),
                value: get("value", 0.5),
                entropy: 0.0,
                gamma: get("gamma", 0.95),
                lambda: get("lambda", 0.95),
                normalise: true,
                epochs: get("epochs", 3.0) as usize,
                minibatches: get("minibatches", 2.0) as usize,
            },
            clip: Some(get("norm", 0.5)),
            regulariser: Regulariser::rate(get("reg", 0.0), get("target", 0.05), RateOver::Batch),
            schedule: Schedule::Constant,
            seed: Seed::new(get("seed", 1.0) as u64),
        },
        optimiser: Optimiser::adam(get("lr", 3e-3)),
        surrogate: Surrogate::triangle(get("dampening", 0.3), 1.0),
    };
    let (minutes, arm, report) = (get("minutes", 4.0), get("arm", 2.0), get("report", 20.0) as u64);
    if let Some(name) = given.keys().next() {
        return Err(format!("there is no parameter `{name}`").into());
    }
    for adaptive in [true, false].into_iter().filter(|adaptive| arm == 2.0 || adaptive == &(arm == 1.0)) {
        let mut outer = study.begin(adaptive, study.options.seed.child("weights"))?;
        let start = Instant::now();
        println!("adaptive = {adaptive}");
        while start.elapsed().as_secs_f64() < 60.0 * minutes {
            let i = outer.iteration()?;
            if outer.iterations() % report == 0 || outer.iterations() < 3 {
                let (seconds, t) = (start.elapsed().as_secs_f64(), i.terms);
                println!(
                    "{:5} {seconds:6.1} s  reward {:6.2}  value {:7.3}  divergence {:.4}  clipped {:.3}  spikes {:.3}",
                    outer.iterations(),
                    i.reward,
                    t.value,
                    t.divergence,
                    t.clipped,
                    i.spikes
                );
            }
        }
        for acting in [Acting::Sample, Acting::Greedy] {
            let skill = study.test(&outer, 200, Seed::new(1_000_003), acting)?;
            let g = skill.goals;
            println!("{acting:?}: {:.2} goals per episode, first after {:.1} actions, later after {:.1}", g.rewards, g.first, g.later);
        }
    }
    Ok(())
}
