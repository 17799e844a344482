//! Phase-change memory held to what is known of it: statistics, laws, and what must not happen.

use proptest::prelude::*;
use snn_core::net::{Connect, Init, Links, SumPool2d};
use snn_core::neuron::{Li, Lif};
use snn_core::stats::{mean, variance};
use snn_core::{Net, Network, Raster, Seed, Value, ms};
use snn_hw::pcm::{Crossbar, Devices, Digital, G_MIN, Learning, OnPcm, PcmError, Physics, Rate, Renewal, Scheme, Side, T0, Wires};
use snn_hw::{Machine, Pcm};
use snn_sparse::noise::Normals;
use snn_sparse::{Clocked, Device, Substrate, Wants};

const QUIET: Physics = Physics { g_max: 12.0, write_noise: false, read_noise: false, drift: false, bits: None };
const SCHEMES: [Scheme; 5] = [
    Scheme::Sign { threshold: 0.5 },
    Scheme::Stochastic { scale: 1.0 },
    Scheme::Multi,
    Scheme::Mixed { quantum: 0.125, ready: false },
    Scheme::Mixed { quantum: 0.125, ready: true },
];

/// The reference statistics after 1, 2, 3, 5, 10, 20 pulses `[calc]`.
#[test]
fn pulses_have_the_published_statistics() {
    let places = [0, 1, 2, 4, 9, 19];
    let tables = [
        (20.0, [2.05, 3.43, 4.47, 5.92, 7.83, 9.39], [1.52, 1.97, 2.20, 2.38, 2.46, 2.66]),
        (12.0, [2.06, 3.44, 4.47, 5.90, 7.69, 8.91], [1.52, 1.97, 2.19, 2.32, 2.16, 1.97]),
    ];
    for (g_max, means, spreads) in tables {
        let steps = Physics { g_max, ..Physics::default() }.staircase(100_000, 20, Seed::new(1));
        for (k, &place) in places.iter().enumerate() {
            let (mean, spread) = steps[place];
            assert!((mean / means[k] - 1.0).abs() < 0.02, "Gmax {g_max}, {} pulses: mean {mean}", place + 1);
            assert!((spread / spreads[k] - 1.0).abs() < 0.02, "Gmax {g_max}, {} pulses: spread {spread}", place + 1);
        }
    }
    let quiet = Physics { g_max: 20.0, ..QUIET }.staircase(1, 400, Seed::new(1));
    for (&place, wanted) in places.iter().zip([1.925, 3.292, 4.337, 5.805, 7.759, 9.380]) {
        assert!((quiet[place].0 - wanted).abs() < 1e-3, "{} pulses without noise: {}", place + 1, quiet[place].0);
    }
    assert!((quiet[399].0 - 0.880 / 0.084).abs() < 1e-3, "the fixed point");
}

#[test]
fn reads_are_noisy_and_biased_at_the_bottom() {
    let (physics, normals) = (Physics::default(), Normals::new(Seed::new(2)));
    let moments = |g: f32| {
        let draws: Vec<f64> = (0..100_000).flat_map(|k| normals.pair(k)).map(|x| f64::from(physics.read(g, x))).collect();
        (mean(&draws), variance(&draws).sqrt())
    };
    let (mean, spread) = moments(5.0);
    assert!((mean - 5.0).abs() < 0.003 && (spread - 0.28).abs() < 0.003, "{mean} {spread}");
    // Half of a normal number of spread 0.133 above 0.1: 0.133/√(2π) = 0.053 too much.
    let (mean, _) = moments(G_MIN);
    assert!((mean - 0.153).abs() < 0.002, "{mean}");
    assert!((0..1000).all(|k| (G_MIN..=12.0).contains(&physics.read(11.9, normals.pair(k)[0]))));
}

proptest! {
    #[test]
    fn drift_is_its_law(g in 0.1f32..12.0, elapsed in 1e-3f64..1e6, at in 0.0f64..1e5) {
        let physics = Physics::default();
        let expected = (elapsed / 38.6).powf(-0.04);
        prop_assert!((physics.drift(elapsed) / expected - 1.0).abs() < 1e-12);
        let noise = Normals::new(Seed::new(0));
        let mut devices = Devices::new(1, &physics, noise);
        devices.set(0, at, &physics, noise);
        let found = f64::from(devices.conductance(0, at + elapsed, &physics)) / f64::from(devices.conductances()[0]);
        prop_assert!((found / expected - 1.0).abs() < 1e-5, "{found} {expected} {g}");
        prop_assert_eq!(QUIET.drift(elapsed), 1.0);
    }

    /// The same pulses on the other sides are the same weights with the other sign.
    #[test]
    fn swapped_sides_are_negated_weights(pulses in prop::collection::vec((0usize..4, any::<bool>(), 0u32..5), 0..30), pairs in 1usize..4) {
        let weights = |swap: bool| {
            let mut bar = Crossbar::new(QUIET, pairs, 7.0, 4, Seed::new(3));
            for &(synapse, plus, times) in &pulses {
                bar.pulse(synapse, if plus != swap { Side::Plus } else { Side::Minus }, times, 1.0);
            }
            bar.weights(2.0)
        };
        let negated: Vec<f32> = weights(true).iter().map(|w| -w).collect();
        prop_assert_eq!(weights(false), negated);
    }

    /// Conductances stay in their range, whatever is done; what is counted only grows.
    #[test]
    fn conductances_stay_in_range_and_counters_grow(acts in prop::collection::vec((0usize..3, 0u32..6), 1..60), seed in 0u64..1000) {
        let mut bar = Crossbar::new(Physics::default(), 2, 10.0, 3, Seed::new(seed));
        let mut last = (0, 0, 0);
        for (k, &(synapse, act)) in acts.iter().enumerate() {
            let now = 40.0 * k as f64;
            match act {
                0 => bar.reset(synapse, now),
                1 => drop(bar.look(synapse, now)),
                2 => bar.renew(synapse, now),
                _ => bar.pulse(synapse, if act == 3 { Side::Minus } else { Side::Plus }, act, now),
            }
            let counts = (bar.pulses(), bar.resets(), bar.looks());
            prop_assert!(counts.0 >= last.0 && counts.1 >= last.1 && counts.2 >= last.2 && counts != last);
            last = counts;
            for s in 0..3 {
                prop_assert!([Side::Plus, Side::Minus].iter().all(|&side| (G_MIN..=12.0).contains(&bar.level(s, side, now + T0))));
            }
            prop_assert!(bar.weights(now).iter().all(|w| w.abs() <= 11.9 / 10.0 + 1e-6));
        }
    }
}

#[test]
fn no_pull_is_no_pulse() {
    for scheme in SCHEMES {
        let mut bar = Crossbar::new(Physics::default(), 2, 10.0, 50, Seed::new(1));
        let before = bar.weights(1e3);
        for update in 0..20 {
            scheme.write(&mut bar, &mut [0.0; 50], &[0.0; 50], 1.0, 1e3, Seed::new(update));
        }
        assert_eq!((bar.pulses(), bar.resets(), bar.weights(1e3)), (0, 0, before), "{scheme:?}");
    }
}

#[test]
fn a_pull_moves_the_weight_its_way() {
    for scheme in SCHEMES {
        let mut bar = Crossbar::new(QUIET, 1, 10.0, 3, Seed::new(1));
        scheme.write(&mut bar, &mut [0.0; 3], &[1.0, 0.0, -1.0], 0.25, 0.0, Seed::new(1));
        let weights = bar.weights(0.0);
        assert!(weights[0] > 0.05 && weights[1] == 0.0 && weights[2] == -weights[0], "{scheme:?}: {weights:?}");
    }
}

/// Every way of writing, by hand.
#[test]
fn schemes_by_hand() {
    let pulses = |scheme: Scheme, pairs: usize, pulls: &[f32]| -> u64 {
        let mut bar = Crossbar::new(QUIET, pairs, 12.0, pulls.len(), Seed::new(1));
        scheme.write(&mut bar, &mut vec![0.0; pulls.len()], pulls, 1.0, 0.0, Seed::new(7));
        bar.pulses()
    };
    assert_eq!(pulses(Scheme::Sign { threshold: 0.5 }, 1, &[0.4, 0.6, -0.6, -0.5]), 2);
    // ΔG = 12·0.1 = 1.2 µS is one whole pulse of 0.75, and three of a third of it with three pairs… four: 1.2/0.25.
    assert_eq!((pulses(Scheme::Multi, 1, &[0.1, -0.05]), pulses(Scheme::Multi, 3, &[0.1, -0.05])), (1, 4 + 2));
    // Of 4,000 synapses with ΔG = 1.2 µS a quarter gets its pulse where 4.8 is certain: 1000 ± 4·27.
    let drawn = pulses(Scheme::Stochastic { scale: 4.8 }, 1, &[0.1; 4000]);
    assert!(drawn.abs_diff(1000) < 110, "{drawn}");
    assert_eq!(pulses(Scheme::Stochastic { scale: 1.2 }, 1, &[0.1; 100]), 100);
    // A quantum of 0.125 is 1.5 µS, two pulses. Two quanta are four; below a quantum nothing happens, on either side of zero.
    let mixed = Scheme::Mixed { quantum: 0.125, ready: false };
    assert_eq!(pulses(mixed, 1, &[0.13, -0.13, 0.26, 0.1, -0.1, -1e-6]), 2 + 2 + 4);
    // Where a quantum is less than a pulse nothing is ever written by itself (0.125·3 µS is half a pulse), but rounded up beside one who needs a whole one.
    let alone = |pulls: &[f32]| {
        let mut bar = Crossbar::new(QUIET, 1, 3.0, 2, Seed::new(1));
        mixed.write(&mut bar, &mut [0.0; 2], pulls, 1.0, 0.0, Seed::new(0));
        bar.pulses()
    };
    assert_eq!((alone(&[0.13, 0.0]), alone(&[0.13, 0.26]), alone(&[-0.13, 0.26])), (0, 2, 1));
}

/// Floor in the place of truncation writes a quantum at once for every tiny negative number.
#[test]
fn accumulators_are_truncated_toward_zero() {
    let scheme = Scheme::Mixed { quantum: 0.125, ready: false };
    let mut bar = Crossbar::new(Physics::default(), 1, 12.0, 1000, Seed::new(1));
    let mut memory = vec![0.0; 1000];
    for update in 0..10 {
        scheme.write(&mut bar, &mut memory, &[-0.01; 1000], 1.0, 0.0, Seed::new(update));
    }
    assert_eq!(bar.pulses(), 0);
    assert!(memory.iter().all(|a| (a + 0.1).abs() < 1e-6));
}

#[test]
fn update_ready_makes_room_first() {
    let worn = |ready: bool| {
        let mut bar = Crossbar::new(QUIET, 1, 12.0, 1, Seed::new(1));
        bar.pulse(0, Side::Plus, 60, 0.0);
        bar.pulse(0, Side::Minus, 40, 0.0);
        let before = bar.weights(0.0)[0];
        Scheme::Mixed { quantum: 0.125, ready }.write(&mut bar, &mut [0.0], &[0.3], 1.0, 0.0, Seed::new(0));
        (bar.weights(0.0)[0] - before, bar.resets())
    };
    // Four pulses near the fixed point of 10.5 µS do next to nothing; after a RESET they are worth more than a step each.
    let (stuck, _) = worn(false);
    let (moved, resets) = worn(true);
    assert!(stuck.abs() < 0.01 && moved > 0.25 && resets == 2, "{stuck} {moved} {resets}");
}

#[test]
fn renewal_keeps_the_weight_and_frees_room() {
    let mut bar = Crossbar::new(Physics::ideal(8), 1, 12.0, 3, Seed::new(1));
    bar.pulse(0, Side::Plus, 230, 0.0);
    bar.pulse(0, Side::Minus, 200, 0.0);
    bar.pulse(1, Side::Plus, 230, 0.0);
    let before = bar.weights(0.0);
    assert_eq!(bar.renew_where(Renewal { level: 9.0, share: 0.5 }, 0.0), 1, "only where both sides are high");
    let after = bar.weights(0.0);
    assert!(before.iter().zip(&after).all(|(a, b)| (a - b).abs() < 1e-6), "{before:?} {after:?}");
    assert_eq!(bar.level(0, Side::Minus, 0.0), G_MIN);
}

/// Dense in, a loop of listed links, delays of their own, a readout.
fn network(scale: f32) -> Network {
    Net::new(ms(1.0))
        .input("in", 20)
        .population("rec", 70, Lif::default())
        .population("out", 2, Li::default())
        .project("in", "rec", Connect::All, Init::normal(0.5 * f64::from(scale)))
        .project("rec", "rec", Connect::Random { p: 0.2 }, Init::normal(0.2 * f64::from(scale)))
        .delays(ms(1.0), ms(3.0))
        .project("rec", "out", Connect::All, Init::normal(0.3 * f64::from(scale)))
        .output("out")
        .build(Seed::new(4))
        .unwrap()
}

fn input(seed: u64, steps: usize) -> Raster {
    let mut raster = Raster::new(20, steps);
    let fires = |t: u32, i: u32| Seed::new(seed).nth(u64::from(t * 20 + i)).value().is_multiple_of(10);
    raster.fill((0..steps as u32).flat_map(|t| (0..20).map(move |i| (t, i))).filter(|&(t, i)| fires(t, i)));
    raster
}

#[test]
fn without_noise_it_is_the_software_engine_with_its_numbers() {
    let (net, input) = (network(1.0), input(1, 100));
    let machine = Pcm { physics: Physics::ideal(16), ..Pcm::default() };
    let mut device = machine.device(&net, Seed::new(1)).unwrap();
    device.run(&[&input], Seed::new(0)).unwrap();
    let weights: Vec<Vec<f32>> = (0..3).map(|k| device.read(k).unwrap()).collect();
    for (k, (p, found)) in net.draft().projections.iter().zip(&weights).enumerate() {
        let wanted: Vec<f32> = p.weights.iter(found.len()).collect();
        let largest = wanted.iter().fold(0.0f32, |m, w| m.max(w.abs()));
        let half = 0.51 * 12.0 / 65536.0 / 8.0 * largest + 1e-6 * largest;
        assert!(wanted.iter().zip(found).all(|(a, b)| (a - b).abs() <= half), "projection {k}: more than half a step");
    }
    let engine = Clocked::<f32>::compile(&net.with_weights(weights).unwrap());
    let record = engine.record(&[&input], Wants::Spikes);
    assert!(record.spikes[0].len() > 100);
    assert_eq!(device.spikes(0), &record.spikes[0]);
    assert_eq!(device.output(1, 99, 1), Some(f64::from(record.traces[1].output_at(99, 1))));
    // And within the format of the spikes of the description itself.
    let record = Clocked::<f32>::compile(&net).record(&[&input], Wants::Spikes);
    let apart = device.spikes(0).len().abs_diff(record.spikes[0].len());
    assert!(apart * 50 < record.spikes[0].len(), "{apart} of {} spikes", record.spikes[0].len());
}

/// The noise of a spike's read has the spread of its devices, and is another one each time.
#[test]
fn every_spike_reads_anew() {
    let net = Net::new(ms(1.0))
        .input("in", 1)
        .population("out", 100, Li { tau: 1e-9.into() })
        .project("in", "out", Connect::All, Init::Constant(0.5))
        .output("out")
        .build(Seed::new(0))
        .unwrap();
    let mut raster = Raster::new(1, 400);
    raster.fill((0..400).map(|t| (t, 0)));
    let mut device = Pcm::default().device(&net, Seed::new(5)).unwrap();
    device.run(&[&raster], Seed::new(1)).unwrap();
    let all: Vec<f64> = (0..400).flat_map(|t| (0..100).map(move |j| (t, j))).map(|(t, j)| device.output(0, t, j).unwrap()).collect();
    let (mut spread, mut together) = (0.0, 0.0);
    for j in 0..100 {
        let y: Vec<f64> = (0..400).map(|t| all[t * 100 + j]).collect();
        let mean = mean(&y);
        assert!((mean - 0.5).abs() < 0.25, "target {j} hears {mean}");
        spread += variance(&y);
        together += y.windows(2).map(|w| (w[0] - mean) * (w[1] - mean)).sum::<f64>() / 399.0;
    }
    // 8 µS on one side: (0.03·8 + 0.13)² and what the clip leaves at the bottom, (1/2 − 1/2π)·0.133², in units of 0.5/8.
    let expected = (0.5f64 / 8.0).powi(2) * (0.37f64.powi(2) + 0.34 * 0.133f64.powi(2));
    assert!((spread / 100.0 / expected - 1.0).abs() < 0.1, "{} {expected}", spread / 100.0);
    assert!((together / spread).abs() < 0.03, "neighbouring reads are correlated: {}", together / spread);
    assert_eq!(device.costs().counts["synaptic events"], 40_000);
    // Other trials, other noise; time makes all weaker: the pulses were read back after T0, and the trial came T0 later.
    device.run(&[&raster], Seed::new(2)).unwrap();
    assert_ne!(device.output(0, 0, 0), Some(all[0]));
    let before: f32 = device.read(0).unwrap().iter().sum();
    device.wait(1e4);
    let after: f32 = device.read(0).unwrap().iter().sum();
    assert!((after / before - (10_077.2f32 / 77.2).powf(-0.04)).abs() < 0.01, "{before} {after}");
}

#[test]
fn what_shares_weights_is_refused_by_name() {
    let mut draft = snn_core::net::Draft::from(
        Net::new(ms(1.0))
            .input("image", 16)
            .population("pooled", 4, Lif::default())
            .project("image", "pooled", Connect::All, Init::Constant(0.5))
            .output("pooled")
            .build(Seed::new(0))
            .unwrap(),
    );
    draft.projections[0].links =
        Links::SumPool2d(SumPool2d { channels: 1, height: 4, width: 4, kernel: (2, 2), stride: (2, 2), padding: (0, 0) });
    draft.projections[0].weights = Value::Shared(0.25);
    let net = Network::try_from(draft).unwrap();
    let error = Pcm::default().build(&net, Seed::new(0)).err().unwrap();
    assert!(error.to_string().contains("`image` -> `pooled`"), "{error}");
    assert_eq!(Pcm::default().map(&net, Seed::new(0)).accepted(), Err(error));
}

#[test]
fn settings_are_checked() {
    let net = network(1.0);
    let wires = Wires { physics: QUIET, pairs: 1, scale: 10.0 };
    let rates = |n: usize| vec![Rate { unit: 1.0, rate: 0.1 }; n];
    let learning = Learning::new(wires, SCHEMES[0]);
    let made = |learning: Learning, rates: Vec<Rate>| OnPcm::new(&net, learning, rates, Seed::new(0)).err();
    assert_eq!(made(learning, rates(3)), None);
    assert_eq!(made(learning, rates(2)), Some(PcmError::Units { expected: 3, found: 2 }));
    assert!(made(Learning { clip: f64::NAN, ..learning }, rates(3)).unwrap().to_string().contains("clip"));
    assert!(made(Learning { wires: Wires { scale: 0.0, ..wires }, ..learning }, rates(3)).unwrap().to_string().contains("scale = 0"));
    assert!(made(learning, vec![Rate { unit: -1.0, rate: 0.1 }; 3]).is_some());
    assert!(Digital::new(&net, rates(4)).is_err());
    assert!(Pcm { full: 12.0, ..Pcm::default() }.build(&net, Seed::new(0)).err().unwrap().to_string().contains("full = 12"));
    let report = Pcm { limit: Some(0.2), ..Pcm::default() }.map(&net, Seed::new(0));
    assert!(report.findings.iter().any(|f| f.kind == snn_hw::Kind::Clipped && f.share > 0.3 && f.share < 1.0));
}

/// Pulls of one update.
fn steps(update: u64) -> Vec<Vec<f32>> {
    let net = network(0.0);
    let count = |p: &snn_core::net::Projection| p.links.weights(net.size(&p.from), net.size(&p.to));
    let one = |k: u64| (Seed::new(update).nth(k).value() % 2001) as f32 / 1000.0 - 1.0;
    net.draft().projections.iter().map(|p| (0..count(p) as u64).map(one).collect()).collect()
}

/// Without noise and drift, and with 16 bits, mixed precision is a float with an accumulator: to a step for each write.
#[test]
fn ideal_devices_follow_the_float_accumulator() {
    let net = network(0.0);
    let rates = vec![Rate { unit: 1.0, rate: 0.03 }, Rate { unit: 0.5, rate: 0.06 }, Rate { unit: 20.0, rate: 0.001 }];
    let wires = Wires { physics: Physics::ideal(16), pairs: 1, scale: 11.0 };
    let learning = Learning { std: 0.0, ..Learning::new(wires, Scheme::Mixed { quantum: 0.125, ready: false }) };
    let mut pcm = OnPcm::new(&net, learning, rates.clone(), Seed::new(1)).unwrap();
    let mut float = Digital::new(&net, rates.clone()).unwrap();
    float.quantum = Some(0.125);
    let (mut a, mut b) = (Clocked::compile(&net), Clocked::compile(&net));
    pcm.install(&mut a).unwrap();
    float.install(&mut b).unwrap();
    const UPDATES: u64 = 40;
    for update in 0..UPDATES {
        pcm.update(&mut a, &steps(update));
        float.update(&mut b, &steps(update));
    }
    for (k, (mine, theirs)) in a.weights().iter().zip(b.weights()).enumerate() {
        let bound = rates[k].unit as f32 * (UPDATES as f32 * 12.0 / 65536.0 / 11.0 + 1e-4);
        assert!(theirs.iter().any(|w| w.abs() > 0.1 * rates[k].unit as f32), "projection {k}: nothing moved");
        assert!(mine.iter().zip(&theirs).all(|(x, y)| (x - y).abs() < bound), "projection {k}");
    }
}

#[test]
fn a_saved_state_goes_on_to_the_same_bits() {
    let (net, raster) = (network(0.0), input(3, 50));
    for scheme in SCHEMES {
        let wires = Wires { physics: Physics::default(), pairs: 2, scale: 11.0 };
        let renewal = Some((Renewal { level: 3.0, share: 0.5 }, 200.0));
        let learning = Learning { renewal, ..Learning::new(wires, scheme) };
        let made = || OnPcm::new(&net, learning, vec![Rate { unit: 1.0, rate: 0.2 }; 3], Seed::new(1)).unwrap();
        let heard = |engine: &Clocked<f32>| {
            let record = engine.record(&[&raster], Wants::Spikes);
            record.traces[1].series(1).map(f32::to_bits).collect::<Vec<_>>()
        };
        let (mut engine, mut whole) = (Clocked::compile(&net), made());
        whole.install(&mut engine).unwrap();
        let mut last = whole.costs();
        let mut half = None;
        for update in 0..12 {
            if update == 6 {
                heard(&engine);
                half = Some(whole.save());
            }
            whole.update(&mut engine, &steps(update));
            let now = whole.costs();
            assert!(now.counts.iter().all(|(what, n)| last.counts[what] <= *n) && now.energy() >= last.energy());
            last = now;
        }
        assert!(last.counts["SET pulses"] > 0, "{scheme:?} wrote nothing");
        let (mut other, mut resumed) = (Clocked::compile(&net), made());
        resumed.install(&mut other).unwrap();
        assert!(resumed.restore(&mut other, &half.unwrap()));
        (6..12).for_each(|update| resumed.update(&mut other, &steps(update)));
        assert_eq!((heard(&engine), engine.weights()), (heard(&other), other.weights()), "{scheme:?}");
        assert_eq!(whole.save(), resumed.save());
        assert!(!resumed.restore(&mut other, &Default::default()));
    }
}
