//! Networks that learn while they live: every rule on every machine, and what Hebb's rule makes of correlations.

use snn_arch::{ArchError, ClosedLoop};
use snn_core::net::{Connect, Init};
use snn_core::neuron::Lif;
use snn_core::{Net, Network, Seed, ms};
use snn_data::World;
use snn_learn::online::{self, Hebb, Online, OnlineError};
use snn_sparse::Ideal;

/// Inputs 0 and 1 fire together, input 2 as often by itself.
struct Pairs {
    trial: Seed,
    now: u64,
}

impl World for Pairs {
    fn name(&self) -> &'static str {
        "pairs"
    }
    fn inputs(&self) -> usize {
        3
    }
    fn outputs(&self) -> usize {
        1
    }
    fn begin(&mut self, trial: Seed) {
        (self.trial, self.now) = (trial, 0);
    }
    fn show(&mut self, spikes: &mut Vec<u32>) {
        let fires = |who: &str| self.trial.child(who).nth(self.now).value().is_multiple_of(20);
        spikes.extend([0, 1].into_iter().filter(|_| fires("pair")));
        spikes.extend(fires("alone").then_some(2));
        self.now += 1;
    }
    fn hear(&mut self, fired: &[u32]) -> f64 {
        fired.len() as f64
    }
}

fn pairs() -> Pairs {
    Pairs { trial: Seed::new(0), now: 0 }
}

/// A neuron that fires when two of its inputs do, and by chance with escape noise.
fn network(noisy: bool) -> Network {
    let net = Net::new(ms(1.0)).input("in", 3).population("out", 1, Lif { tau: ms(5.0).into(), ..Lif::default() });
    let net = if noisy { net.escape(10.0, 0.3) } else { net };
    net.project("in", "out", Connect::All, Init::Constant(0.6)).output("out").build(Seed::new(0)).unwrap()
}

#[test]
fn correlated_inputs_win() {
    let (hebb, mut last) = (Hebb { eta: 7e-4, ..Hebb::default() }, vec![0.0; 3]);
    let device = Box::new(Ideal::new(&network(false)));
    let mut life = ClosedLoop::new(device, pairs(), |wires, _| hebb.on(wires, &[0.6; 3], Seed::new(1))).unwrap();
    for trial in 0..20 {
        life.run(5000, Seed::new(2).nth(trial)).unwrap();
        last = life.device_mut().read(0).unwrap();
    }
    assert!(last[0] == last[1] && last[0] > 1.5 * last[2], "{last:?}");
    // Every weight is below the fixed point of a source and a target that fire at every step, far below as they fire in one of twenty.
    let fixed = hebb.eta / (1.0 - (-1e-3 / hebb.tau).exp()) / (1.0 - (-hebb.lambda * 1e-3).exp());
    assert!(last.iter().all(|w| f64::from(*w) < 0.02 * fixed), "{last:?}, fixed point {fixed}");
}

/// Each rule lives on each machine that takes the network, or says why not; twice the same.
#[test]
fn every_rule_lives_on_every_machine() {
    for rule in online::all() {
        let mut lived = 0;
        for machine in snn_hw::all() {
            let name = format!("{} on {}", rule.name(), machine.name());
            let live = |noisy: bool| -> Option<Result<Vec<f32>, ArchError>> {
                let device = machine.build(&network(noisy), Seed::new(1)).ok()?;
                let mut life = ClosedLoop::new(device, pairs(), |wires, _| rule.on(wires, &[0.6; 3], Seed::new(1))).unwrap();
                // Long enough for weights of four bits to change.
                Some(life.run(2500, Seed::new(2)).map(|()| life.device_mut().read(0).unwrap()))
            };
            // A machine may have no escape noise; then a rule that asks how likely a spike was has nothing to learn from.
            let noisy = live(true).filter(|outcome| !matches!(outcome, Err(ArchError::Online(OnlineError::NoChance { .. }))));
            match noisy.or_else(|| live(false)) {
                Some(Ok(weights)) => {
                    assert!(weights.iter().all(|w| w.is_finite()) && weights.iter().any(|w| *w != 0.6), "{name}: {weights:?}");
                    lived += 1;
                }
                Some(Err(ArchError::Online(error))) => assert!(matches!(error, OnlineError::NoChance { .. }), "{name}: {error}"),
                Some(Err(error)) => panic!("{name}: {error}"),
                None => panic!("{name}: the smallest network is refused"),
            }
        }
        assert!(lived > 0, "{}: lives nowhere", rule.name());
    }
}
