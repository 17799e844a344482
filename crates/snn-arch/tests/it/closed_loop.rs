//! Networks that learn while they live: every rule on every machine, and what Hebb's rule makes of correlations.

use snn_arch::{ArchError, ClosedLoop, Softmax};
use snn_core::net::{Connect, Init};
use snn_core::neuron::{Lif, Psp};
use snn_core::{Net, Network, Raster, Seed, ms};
use snn_data::World;
use snn_learn::online::{self, Fresh, Hebb, Moment, Online, OnlineError, OnlineRule, StdpEm, Wires};
use snn_sparse::{Device, Ideal};

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
fn network(noisy: bool, weight: f32) -> Network {
    let net = Net::new(ms(1.0)).input("in", 3).population("out", 1, Lif { tau: ms(5.0).into(), ..Lif::default() });
    let net = if noisy { net.escape(10.0, 0.3) } else { net };
    net.project("in", "out", Connect::All, Init::Constant(weight)).output("out").build(Seed::new(0)).unwrap()
}

#[test]
fn correlated_inputs_win() {
    let (hebb, mut last) = (Hebb { eta: 7e-4, ..Hebb::default() }, vec![0.0; 3]);
    let device = Box::new(Ideal::new(&network(false, 0.6)));
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
                // So large that two inputs are enough on every chip: a rule may have nothing to learn from a silent neuron.
                let device = machine.build(&network(noisy, 0.9), Seed::new(1)).ok()?;
                let mut life = ClosedLoop::new(device, pairs(), |wires, weights| rule.on(wires, weights, Seed::new(1))).unwrap();
                // Long enough for weights of four bits to change.
                Some(life.run(2500, Seed::new(2)).map(|()| life.device_mut().read(0).unwrap()))
            };
            // A machine may have no escape noise; then a rule that asks how likely a spike was has nothing to learn from.
            let noisy = live(true).filter(|outcome| !matches!(outcome, Err(ArchError::Online(OnlineError::NoChance { .. }))));
            match noisy.or_else(|| live(false)) {
                Some(Ok(weights)) => {
                    assert!(weights.iter().all(|w| w.is_finite()) && weights.iter().any(|w| *w != 0.9), "{name}: {weights:?}");
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

/// A rule that notes which sources it hears from, and moves its first weight by 1 at every step.
struct Notes {
    weights: Vec<f32>,
    heard: Vec<Vec<u32>>,
}

impl OnlineRule for Notes {
    fn name(&self) -> &'static str {
        "notes"
    }
    fn step(&mut self, moment: &Moment<'_>) -> Result<(), OnlineError> {
        self.heard.push(moment.pre.to_vec());
        self.weights[0] += 1.0;
        Ok(())
    }
    fn take(&mut self) -> Option<&[f32]> {
        Some(&self.weights)
    }
    fn take_some(&mut self) -> Option<Fresh<'_>> {
        Some(Fresh { weights: &self.weights, moved: Some(&[0]) })
    }
}

fn notes(_: Wires<'_>, weights: &[f32]) -> Result<Notes, OnlineError> {
    Ok(Notes { weights: weights.to_vec(), heard: Vec::new() })
}

/// Three links of the delays 2, 0 and 2, and one projection that learns nothing.
fn delayed() -> Network {
    let net = Net::new(ms(1.0)).input("in", 3).population("out", 1, Lif::default());
    let net = net.project("in", "out", Connect::All, Init::Constant(0.5)).delay(vec![ms(2.0), 0.0, ms(2.0)]);
    net.project("in", "out", Connect::All, Init::Constant(5.0)).fixed().output("out").build(Seed::new(0)).unwrap()
}

#[test]
fn links_of_each_delay_have_a_rule_that_hears_arrivals() {
    let mut life = ClosedLoop::new(Box::new(Ideal::new(&delayed())), pairs(), notes).unwrap();
    life.run(200, Seed::new(3)).unwrap();
    let rules: Vec<&Notes> = life.rules().collect();
    assert_eq!(rules.iter().map(|rule| rule.weights.len()).collect::<Vec<_>>(), [1, 2], "by delay; what is fixed has none");
    for (rule, delay) in rules.iter().zip([0, 2]) {
        let sent = |t: usize| t.checked_sub(delay).map_or(&[][..], |then| life.input().at(then));
        assert!(rule.heard.iter().enumerate().all(|(t, heard)| heard == sent(t)), "delay {delay}");
    }
    assert!(life.input().len() > 20);
    // Link 1 is the first of its delay, link 0 of the other; the last step has not been written.
    let written = life.device_mut().read(0).unwrap();
    assert!(written == [199.5, 199.5, 0.5], "{written:?}");
    assert_eq!(life.device_mut().read(1).unwrap(), [5.0; 3]);
}

#[test]
fn weights_may_be_written_now_and_then() {
    let mut life = ClosedLoop::new(Box::new(Ideal::new(&delayed())), pairs(), notes).unwrap().writing_every(50);
    // Written before the steps 0, 50, 100 and so on of all trials together.
    for (steps, expected) in [(50, 0.5), (51, 100.5), (49, 100.5), (1, 150.5)] {
        life.run(steps, Seed::new(1)).unwrap();
        assert_eq!(life.device_mut().read(0).unwrap()[1], expected, "{steps} steps more");
    }
}

#[test]
fn without_a_rate_nothing_is_learned() {
    let net = network(true, 0.6);
    let still = StdpEm { eta: 0.0, ..StdpEm::default() };
    let mut life =
        ClosedLoop::new(Box::new(Ideal::new(&net)), pairs(), |wires, weights: &[f32]| still.on(wires, weights, Seed::new(1))).unwrap();
    life.run(2000, Seed::new(2)).unwrap();
    assert!(life.device().spikes(0).len() > 10);
    assert_eq!(life.device_mut().read(0).unwrap(), [0.6; 3]);
}

/// A softmax over neurons of different thresholds: their sum is as told whatever they hear, and so are their shares.
#[test]
fn shares_of_a_softmax() {
    let thresholds: Vec<f64> = (0..4).map(|k| 0.5 * f64::from(k)).collect();
    let psp = Psp { v_th: thresholds.clone().into(), ..Psp::of_height_one(ms(1.0), ms(10.0)) };
    let net = Net::new(ms(1.0)).input("in", 1).population("out", 4, psp).escape(7.0, 0.5).train(&["v_th"]);
    let net = net.project("in", "out", Connect::All, Init::Constant(0.2)).output("out").build(Seed::new(0)).unwrap();
    let (mut device, steps) = (Softmax::new(&net, "out", 200.0).unwrap(), 40_000);
    let mut input = Raster::new(1, steps);
    input.fill((0..steps as u32).filter(|t| t / 10_000 % 2 == 1 && t % 5 == 0).map(|t| (t, 0))); // silence, then 200 Hz, and so on
    device.run(&[&input], Seed::new(5)).unwrap();
    let spikes = device.spikes(0);
    let counts = |k: u32| spikes.iter().filter(|&(_, unit)| unit == k).count() as f64;
    let parts: f64 = thresholds.iter().map(|v| (-v / 0.5).exp()).sum();
    for (k, v) in (0..4).zip(&thresholds) {
        // 1 − exp(−x) in a step of 1 ms, not x: no more than 8 % less.
        let rate = 0.2 * (-v / 0.5).exp() / parts;
        let expected = steps as f64 * (1.0 - (-rate).exp());
        assert!((counts(k) - expected).abs() < 4.0 * expected.sqrt() + 0.02 * expected, "neuron {k}: {} spikes, not {expected}", counts(k));
    }
    let half = |from: usize| (from..from + 10_000).map(|t| spikes.at(t).len()).sum::<usize>() as f64;
    assert!((half(10_000) / half(0) - 1.0).abs() < 0.1, "{} spikes with input, {} without", half(10_000), half(0));
    let error = Softmax::new(&delayed(), "out", 200.0).err().unwrap().to_string();
    assert!(error.contains("trained `v_th`"), "{error}");
}
