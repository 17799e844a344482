//! Checkpoints of learning by reward: stopped at any action it goes on to the same bits.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};

use crate::made_up::{claim, paper, settings};
use snn_arch::Agent;
use snn_arch::meta_rl::{MetaRl, Options};
use snn_arch::policy::{Head, Ppo, units};
use snn_core::Raster;
use snn_core::Seed;
use snn_data::{Action, Actions, Bandit, BanditParams, DataError, Environment, Feedback};
use snn_learn::{Eprop, Optimiser, RateOver, Regulariser, Schedule};
use snn_repro::{Bound, Interrupt, Lab, LabError, Paper, RunResult, Settings, reproduce};

/// Actions until somebody asks the run to stop.
static LEFT: AtomicIsize = AtomicIsize::new(isize::MAX);

static PAPER: Paper = paper("small", &[claim("sum of rewards", Bound::AtLeast(0.0), 1)], run);

/// A world that asks the run to stop at a chosen action.
#[derive(Clone)]
struct Stopping(Bandit, Interrupt);

impl Environment for Stopping {
    fn name(&self) -> &'static str {
        self.0.name()
    }
    fn inputs(&self) -> usize {
        self.0.inputs()
    }
    fn actions(&self) -> Actions {
        self.0.actions()
    }
    fn window(&self) -> usize {
        self.0.window()
    }
    fn horizon(&self) -> usize {
        self.0.horizon()
    }
    fn reset(&mut self, seed: Seed) {
        self.0.reset(seed);
    }
    fn observe(&self, from: usize, into: &mut Raster) -> Result<(), DataError> {
        self.0.observe(from, into)
    }
    fn act(&mut self, action: Action<'_>) -> Result<Feedback, DataError> {
        if LEFT.fetch_sub(1, Relaxed) == 0 {
            self.1.request();
        }
        self.0.act(action)
    }
}

/// Five iterations of four episodes of three actions.
fn run(lab: &mut Lab) -> anyhow::Result<()> {
    let bandit = BanditParams { pulls: 3, window: 5, rate: 500.0, ..BanditParams::default() }.build()?;
    let world = Stopping(bandit, lab.interrupt().clone());
    let agent = Agent {
        dt: 1e-3,
        regular: 10,
        adaptive: 5,
        tau: 0.005,
        tau_a: 0.1,
        v_th: 0.01,
        beta: 1.0,
        refractory: 1e-3,
        tau_out: 0.005,
        weight_in: 0.1,
        weight_recurrent: 0.02,
        weight_out: 1.0,
    };
    let net = agent.network(world.inputs(), units(world.actions()), lab.seed())?;
    let options = Options {
        episodes: 4,
        head: Head { gain: 4.0, value_gain: 1.0, sigma: 1.0, scale: 1.0 },
        ppo: Ppo::actor_critic(0.5, 1.0, 0.5, 0.01),
        clip: None,
        regulariser: Regulariser::rate(1.0, 0.02, RateOver::Batch),
        schedule: Schedule::Constant,
        seed: lab.seed().child("episodes"),
    };
    let mut agent = MetaRl::new(&net, world, Eprop::default(), Optimiser::adam(1e-2), options)?;
    let history = lab.train_by_reward("Small, one", &mut agent, 5)?;
    lab.attach("bits.txt", format!("{history:?} {:?}", agent.trainer().engine().weights()))?;
    lab.report("sum of rewards", history.iter().map(|i| i.reward).sum())?;
    Ok(())
}

fn given(out: &Path, result: &RunResult) -> (Option<f64>, String, Vec<u8>) {
    let dir = out.join("small/smoke-1");
    assert_eq!((&*result.trainings[0].name, result.trainings[0].epochs), ("Small, one", 5));
    (result.claims[0].ours, fs::read_to_string(dir.join("bits.txt")).unwrap(), fs::read(dir.join("small-one.npz")).unwrap())
}

#[test]
fn a_run_stopped_at_any_action_goes_on_to_the_same_bits() {
    let out = tempfile::tempdir().unwrap();
    let whole = given(out.path(), &reproduce(&PAPER, &settings(out.path())).unwrap());
    for actions in (0..60).step_by(7) {
        let out = tempfile::tempdir().unwrap();
        LEFT.store(actions, Relaxed);
        let stopped = reproduce(&PAPER, &settings(out.path()));
        LEFT.store(isize::MAX, Relaxed);
        assert!(matches!(stopped, Err(LabError::Interrupted)), "{actions}");
        let path = out.path().join("small/smoke-1.partial/checkpoints/training/small-one.ckpt");
        let good = fs::read(&path).unwrap();
        if actions == 0 {
            // Half a checkpoint is none.
            fs::write(&path, &good[..good.len() / 2]).unwrap();
            let error = reproduce(&PAPER, &Settings { resume: true, ..settings(out.path()) }).unwrap_err().to_string();
            assert!(error.contains("small-one.ckpt") && error.contains("Run without --resume"), "{error}");
            fs::write(&path, &good).unwrap();
        }
        let result = reproduce(&PAPER, &Settings { resume: true, ..settings(out.path()) }).unwrap();
        assert_eq!(given(out.path(), &result), whole, "stopped at action {actions}");
    }
}
