//! HICANN-DLS: what fits, what its numbers are, what its sensors see and its programs do.

use proptest::prelude::*;
use snn_core::net::{Connect, Init};
use snn_core::neuron::{Alif, Lif, Reset};
use snn_core::{Net, Network, Raster, Seed, ms};
use snn_hw::Machine;
use snn_hw::dls::{Dls, FastSlots, Mismatch, Ppu, Q8, Sensor, SlotSettings, Slots, SpikingSlots};
use snn_sparse::{Clocked, Device, DeviceError, Wants};

fn lif() -> Lif {
    Lif { tau: ms(20.0).into(), reset: Reset::To(0.0), ..Lif::default() }
}

/// 6 inputs, 8 neurons with a loop; weights are integers from −63 to 63 over 64.
fn representable(seed: u64) -> Network {
    let net = Net::new(ms(1.0))
        .input("in", 6)
        .population("a", 8, lif())
        .project("in", "a", Connect::All, Init::Constant(0.0))
        .project("a", "a", Connect::Random { p: 0.3 }, Init::Constant(0.0))
        .delay(ms(1.0))
        .output("a")
        .build(Seed::new(seed))
        .unwrap();
    let weight = |k: usize| ((Seed::new(seed).nth(k as u64).value() % 127) as f32 - 63.0) / 64.0;
    let mut count = 0;
    let mut weights = |n: usize| {
        count += n;
        (count - n..count).map(|k| if k == 0 { 63.0 / 64.0 } else { weight(k) }).collect::<Vec<f32>>()
    };
    let sizes: Vec<usize> = net.draft().projections.iter().map(|p| p.links.count(net.size(&p.from), net.size(&p.to))).collect();
    net.with_weights(sizes.into_iter().map(&mut weights).collect()).unwrap()
}

fn input(channels: u32, steps: u32, seed: u64) -> Raster {
    let mut raster = Raster::new(channels as usize, steps as usize);
    let key = |t: u32, i: u32| Seed::new(seed).nth(u64::from(t * channels + i)).value();
    raster.fill((0..steps).flat_map(|t| (0..channels).map(move |i| (t, i))).filter(|&(t, i)| key(t, i) % 5 == 0));
    raster
}

#[test]
fn ideal_settings_are_the_software_engine() {
    let mut fired = 0;
    for seed in 0..20 {
        let (net, input) = (representable(seed), input(6, 80, seed));
        let engine = Clocked::<f32>::compile(&net);
        let record = engine.record(&[&input], Wants::Spikes);
        let report = Dls::ideal().map(&net, Seed::new(1));
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        let mut device = Dls::ideal().build(&net, Seed::new(seed)).unwrap();
        device.run(&[&input], Seed::new(0)).unwrap();
        assert_eq!(device.spikes(0), &record.spikes[0]);
        assert_eq!(device.read(0).unwrap(), net.draft().projections[0].weights.given());
        fired += record.spikes[0].len();
    }
    assert!(fired > 200, "{fired}");
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let why = |net: Net| Dls::default().device(&net.build(Seed::new(0)).unwrap(), Seed::new(0)).map(|_| ()).unwrap_err().to_string();
    let base = |inputs: usize, size: usize| Net::new(ms(1.0)).input("in", inputs).population("a", size, lif()).output("a");
    assert!(why(base(1, 33)).contains("33 neurons, the chip has 32"));
    let both = why(base(17, 4).project("in", "a", Connect::All, Init::normal(1.0)));
    assert!(both.contains("rows, the chip has 32") && both.contains("both signs"), "{both}");
    assert!(
        Dls::default()
            .device(&base(32, 4).project("in", "a", Connect::All, Init::Constant(1.0)).build(Seed::new(0)).unwrap(), Seed::new(0))
            .is_ok()
    );
    assert!(why(base(1000, 4).project("in", "a", Connect::All, Init::Constant(1.0))).contains("4000 links"));
    let late = base(2, 2).project("in", "a", Connect::All, Init::Constant(1.0)).delay(ms(3.0));
    assert!(why(late).contains("projection `in` -> `a`: delays"));
    assert!(why(base(1, 1).population("b", 2, Alif::default())).contains("population `b`: the model `alif`"));
    // A second link between the same two needs a second row.
    let twice = base(1, 1).project("in", "a", Connect::All, Init::Constant(1.0)).project("in", "a", Connect::All, Init::Constant(0.5));
    let report = Dls::default().map(&twice.build(Seed::new(0)).unwrap(), Seed::new(0));
    assert_eq!(report.resources.iter().find(|r| r.name == "rows").unwrap().used, 2.0);
}

#[test]
fn a_device_is_its_seed_and_noise_is_the_trial() {
    let (net, input) = (representable(3), input(6, 80, 3));
    let spikes = |of: Dls, device: u64, trial: u64| {
        let mut device = of.device(&net, Seed::new(device)).unwrap();
        device.run(&[&input], Seed::new(trial)).unwrap();
        device.spikes(0).clone()
    };
    let quiet = Dls { noise: 0.0, mismatch: Mismatch { gain: 0.2, ..Mismatch::default() }, ..Dls::default() };
    assert_eq!(spikes(quiet, 1, 1), spikes(quiet, 1, 2));
    assert_ne!(spikes(quiet, 1, 1), spikes(quiet, 2, 1));
    let noisy = Dls { noise: 0.3, ..Dls::ideal() };
    assert_ne!(spikes(noisy, 1, 1), spikes(noisy, 1, 2));
    assert_eq!(spikes(noisy, 1, 1), spikes(noisy, 2, 1), "without mismatch devices are alike");
}

/// One input, one neuron that fires whenever it hears something.
fn pair(of: Dls, pre: &[(u32, u32)]) -> (u8, u8) {
    let net = Net::new(ms(1.0))
        .input("in", 2)
        .population("a", 1, lif())
        .project("in", "a", Connect::All, Init::Constant(0.5))
        .output("a")
        .build(Seed::new(0))
        .unwrap();
    let net = net.with_weights(vec![vec![0.1, 1.5]]).unwrap();
    let mut device = of.device(&net, Seed::new(0)).unwrap();
    let mut input = Raster::new(2, 200);
    input.fill(pre.iter().copied());
    device.run(&[&input], Seed::new(0)).unwrap();
    let mut seen = (0, 0);
    device.plasticity(&mut |ppu: &mut Ppu| seen = (ppu.causal(0, 0), ppu.count(0)));
    seen
}

#[test]
fn sensors_add_causal_nearest_pairs_and_saturate() {
    let e = |dt: f64| 36.0 * (-dt / 64.0f64).exp();
    // Channel 0 is heard but does not fire the neuron; channel 1 does.
    assert_eq!(pair(Dls::ideal(), &[(10, 0), (30, 1)]), (e(20.0).round() as u8, 1));
    assert_eq!(pair(Dls::ideal(), &[(5, 0), (10, 0), (30, 1)]).0, e(20.0).round() as u8, "the nearest one only");
    assert_eq!(pair(Dls::ideal(), &[(30, 1), (40, 0)]).0, 0, "the other order is not seen");
    assert_eq!(pair(Dls::ideal(), &[(10, 0), (30, 1), (60, 1)]), ((e(20.0) + e(50.0)).round() as u8, 2));
    let many: Vec<(u32, u32)> = (0..30).flat_map(|k| [(5 * k, 0), (5 * k + 1, 1)]).collect();
    assert_eq!(pair(Dls::ideal(), &many).0, 128);
    let spread = Dls { sensor: Sensor { noise: 0.0, ..Sensor::default() }, ..Dls::default() };
    assert_ne!(pair(spread, &[(10, 0), (30, 1)]).0, e(20.0).round() as u8, "each sensor has its own gain");
}

#[test]
fn a_program_changes_what_runs() {
    let net = Net::new(ms(1.0)).input("in", 1).population("a", 1, lif()).project("in", "a", Connect::All, Init::Constant(1.26)).output("a");
    let mut device = Dls::ideal().device(&net.build(Seed::new(0)).unwrap(), Seed::new(0)).unwrap();
    let mut input = Raster::new(1, 4);
    input.fill([(1, 0), (3, 0)]);
    device.begin(4, Seed::new(0));
    device.advance(2, &[&input]).unwrap();
    let (row, neuron) = device.synapse(0, 0).unwrap();
    let before = device.costs().seconds;
    device.plasticity(&mut |ppu: &mut Ppu| {
        assert_eq!((ppu.weight(row, neuron), ppu.causal(row, neuron)), (63, 36));
        ppu.write(row, neuron, 7);
        ppu.clear_sensors();
    });
    device.advance(4, &[&input]).unwrap();
    assert_eq!((device.spikes(0).at(1), device.spikes(0).at(3)), (&[0][..], &[][..]));
    assert!((device.read(0).unwrap()[0] - 7.0 * 0.02).abs() < 1e-6);
    device.plasticity(&mut |ppu: &mut Ppu| assert_eq!(ppu.causal(row, neuron), 0));
    let grown = device.costs().seconds - before;
    assert!((grown - 2e-6 - 5.0 * 10e-9).abs() < 1e-12, "two steps and five operations, without the host: {grown}");
    assert_eq!(device.costs().counts["weight writes"], 1);
    let mut graded = Raster::new(1, 2);
    graded.fill_values([(0, 0, 0.5)]);
    assert!(matches!(device.run(&[&graded], Seed::new(0)), Err(DeviceError::Refused { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn weights_are_integers_of_six_bits_whatever_is_written(weights in prop::collection::vec(-3.0f32..3.0, 48), by in any::<i16>()) {
        let mut device = Dls::default().device(&representable(1), Seed::new(5)).unwrap();
        device.write(0, &weights).unwrap();
        device.plasticity(&mut |ppu: &mut Ppu| (0..32).for_each(|row| ppu.add(row, row % 8, by)));
        let read = device.read(0).unwrap();
        for (k, w) in device.integers(0).into_iter().enumerate() {
            prop_assert!(w <= 63);
            let size = read[k].abs() * 64.0;
            prop_assert!((size - f32::from(w)).abs() < 1e-3, "{size} {w}");
        }
    }
}

const SHAPE: SlotSettings = SlotSettings { states: 2, actions: 2, steps: 200, noise: 3.0 };

/// How often action 1 is chosen in state 0 with these weights.
fn preference(slots: &mut dyn Slots, weights: [i16; 2], n: u64) -> f64 {
    let mut chosen = 0;
    for k in 0..n {
        slots.begin(0, Seed::new(77).nth(k)).unwrap();
        slots.learn(&mut |ppu: &mut Ppu| (0..2).for_each(|a| ppu.write(0, a, weights[a])));
        chosen += slots.decide(0).unwrap();
    }
    chosen as f64 / n as f64
}

#[test]
fn the_fast_slots_choose_as_the_emulated_chip() {
    let mut spiking = SpikingSlots::new(&Dls::ideal(), SHAPE, Seed::new(1)).unwrap();
    let mut fast = FastSlots::new(&Dls::ideal(), SHAPE, Seed::new(1)).unwrap();
    for weights in [[30, 30], [30, 32], [30, 34], [30, 38], [50, 46], [20, 50]] {
        let (a, b) = (preference(&mut spiking, weights, 300), preference(&mut fast, weights, 3000));
        assert!((a - b).abs() < 0.1, "{weights:?}: {a} spiking, {b} fast");
    }
}

#[test]
fn rows_are_states_neurons_are_actions_and_the_pattern_stays() {
    let shape = SlotSettings { states: 3, actions: 4, steps: 50, noise: 0.0 };
    let spiking = SpikingSlots::new(&Dls::default(), shape, Seed::new(1)).unwrap();
    let links: Vec<_> = (0..12).map(|l| spiking.device().synapse(0, l).unwrap()).collect();
    assert_eq!(links, (0..12).map(|l| (l / 4, l % 4)).collect::<Vec<_>>());
    let mut fast = FastSlots::new(&Dls::default(), shape, Seed::new(1)).unwrap();
    let drives = |fast: &mut FastSlots, life| {
        fast.begin(40, Seed::new(life)).unwrap();
        [0, 1, 2, 3].map(|a| fast.drive(1, a))
    };
    let first = drives(&mut fast, 1);
    fast.learn(&mut |ppu: &mut Ppu| ppu.add(1, 2, 9));
    assert_eq!(drives(&mut fast, 2), first, "weights begin again, the device stays");
    assert!(fast.decide(3).unwrap_err().to_string().contains("state 3 of 3"));
    assert!(FastSlots::new(&Dls::default(), SlotSettings { states: 30, ..shape }, Seed::new(0)).is_err());
    assert_eq!(Q8::raw(-256), Q8::int(-1));
}

#[test]
fn a_fast_decision_takes_less_than_twenty_microseconds() {
    let mut fast = FastSlots::new(&Dls::default(), SHAPE, Seed::new(1)).unwrap();
    fast.begin(30, Seed::new(2)).unwrap();
    let since = std::time::Instant::now();
    for _ in 0..20_000 {
        let action = fast.decide(1).unwrap();
        fast.learn(&mut |ppu: &mut Ppu| ppu.add(1, action, if action == 1 { 1 } else { -1 }));
    }
    let each = since.elapsed().as_secs_f64() / 20_000.0;
    assert!(each < 20e-6, "{each} s");
}
