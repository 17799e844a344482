//! What SpiNNaker 2 makes of a network, against the software engine and its own rules.

use snn_core::net::{Connect, Init};
use snn_core::neuron::{FewSpikes, Li, Lif, Psp, Relu, Sum};
use snn_core::{Net, Network, Raster, Seed, ms};
use snn_hw::spinnaker2::Level;
use snn_hw::spinnaker2::{Dram, Plastic};
use snn_hw::{Kind, Machine, Spinnaker2};
use snn_sparse::{Clocked, Record, Wants};

fn spikes(channels: u32, steps: u32, one_in: u64, seed: u64) -> Raster {
    let mut raster = Raster::new(channels as usize, steps as usize);
    let key = |t: u32, i: u32| Seed::new(seed).nth(u64::from(t * channels + i)).value();
    raster.fill((0..steps).flat_map(|t| (0..channels).map(move |i| (t, i))).filter(|&(t, i)| key(t, i).is_multiple_of(one_in)));
    raster
}

/// The network with weights that are multiples of 1/64.
fn representable(net: &Network) -> Network {
    let weights = net.draft().projections.iter().map(|p| {
        let count = p.links.weights(net.size(&p.from), net.size(&p.to));
        p.weights.iter(count).map(|w| (w * 64.0).round() / 64.0).collect()
    });
    net.with_weights(weights.collect()).unwrap()
}

/// With weights that the format holds, spikes are those of the software engine but where a membrane passes the threshold by less than
/// rounding.
#[test]
fn representable_weights_give_the_same_spikes() {
    let lif = || Lif { tau: ms(20.0).into(), ..Lif::default() };
    let net = Net::new(ms(1.0))
        .input("in", 30)
        .population("hidden", 60, lif())
        .refractory(ms(3.0))
        .current(0.02)
        .population("out", 3, Li { tau: ms(20.0).into() })
        .project("in", "hidden", Connect::All, Init::normal(0.25))
        .delay(ms(2.0))
        .project("hidden", "hidden", Connect::Random { p: 0.1 }, Init::normal(0.2))
        .delays(ms(1.0), ms(15.0))
        .project("hidden", "out", Connect::All, Init::normal(0.2))
        .delay(ms(1.0))
        .output("out")
        .build(Seed::new(4))
        .unwrap();
    let (net, input) = (representable(&net), spikes(30, 400, 25, 2));
    let mut device = Spinnaker2::default().build(&net, Seed::new(0)).unwrap();
    assert_eq!(device.read(0).unwrap(), net.draft().projections[0].weights.iter(1800).collect::<Vec<_>>());
    device.run(&[&input], Seed::new(0)).unwrap();
    let engine = Clocked::<f64>::compile(&net);
    let record = engine.record(&[&input], Wants::Spikes);
    let (all, same) =
        record.spikes[0].iter().fold((0, 0), |(n, same), (t, j)| (n + 1, same + usize::from(device.spikes(0).at(t).contains(&j))));
    assert!(
        all > 500 && device.spikes(0).len().abs_diff(all) * 100 <= all && same * 100 >= 99 * all,
        "{same} of {all} spikes are the same"
    );
    assert_eq!(device.costs().counts["additions that saturated"], 0);
}

/// Without spikes in between, the potential stays within what rounding of state and decay can make of it.
#[test]
fn potentials_stay_within_the_bound_of_the_format() {
    let net = Net::new(ms(1.0))
        .input("in", 10)
        .population("out", 4, Li { tau: ms(20.0).into() })
        .project("in", "out", Connect::All, Init::normal(0.3))
        .output("out")
        .build(Seed::new(4))
        .unwrap();
    let (net, input) = (representable(&net), spikes(10, 500, 10, 3));
    let mut device = Spinnaker2::default().build(&net, Seed::new(0)).unwrap();
    device.run(&[&input], Seed::new(0)).unwrap();
    let engine = Clocked::<f64>::compile(&net);
    let record = engine.record(&[&input], Wants::Spikes);
    // Every step adds half a unit for each of up to three roundings, and half a unit of the decay times the potential; they are remembered
    // for 1/(1 − α) steps.
    let most = (0..500).flat_map(|t| (0..4).map(move |j| (t, j))).map(|(t, j)| record.traces[0].output_at(t, j).abs()).fold(0.0, f64::max);
    let bound = 0.5 / 32768.0 * (3.0 + most) / (1.0 - (-0.05f64).exp());
    for (t, j) in (0..500).flat_map(|t| (0..4).map(move |j| (t, j))) {
        let (found, expected) = (device.output(0, t, j).unwrap(), record.traces[0].output_at(t, j));
        assert!((found - expected).abs() <= bound, "step {t}: {found}, not {expected} to {bound}");
    }
}

fn chancy(neurons: usize) -> Network {
    Net::new(ms(1.0))
        .population("chance", neurons, Psp { v_th: (-3.0).into(), ..Psp::default() })
        .escape(1.0, 1.0)
        .refractory(ms(5.0))
        .drive("chance", 30.0, 0.2)
        .output("chance")
        .build(Seed::new(1))
        .unwrap()
}

/// A core draws the same numbers however many others there are.
#[test]
fn streams_do_not_depend_on_the_number_of_cores() {
    let run = |neurons: usize| {
        let mut device = Spinnaker2::default().build(&chancy(neurons), Seed::new(7)).unwrap();
        device.begin(300, Seed::new(2));
        device.advance(300, &[]).unwrap();
        device.spikes(0).iter().filter(|&(_, j)| j < 256).collect::<Vec<_>>()
    };
    let one = run(256);
    assert!(one.len() > 500 && run(400) == one && run(1000) == one);
}

/// Escape noise in s0.31 fires as often as that of the software engine, and says how likely it was.
#[test]
fn neurons_escape_as_often_as_in_software() {
    let (net, steps) = (chancy(200), 5000);
    let mut device = Spinnaker2::default().build(&net, Seed::new(7)).unwrap();
    device.begin(steps, Seed::new(2));
    let (mut chances, mut expected) = (Vec::new(), 0.0);
    for t in 0..steps {
        device.advance(t + 1, &[]).unwrap();
        assert!(device.chances(0, &mut chances));
        expected += chances.iter().sum::<f64>();
    }
    let found = device.spikes(0).len() as f64;
    assert!((found - expected).abs() < 4.0 * expected.sqrt(), "{found} spikes, {expected} expected");
    let engine = Clocked::<f32>::compile(&net);
    let mut record = Record::new(&engine);
    engine.run_for(steps, &[], Wants::Spikes, &mut record);
    let software = record.spikes[0].len() as f64;
    assert!(
        (found - software).abs() < 4.0 * (found + software).sqrt() + 0.01 * software,
        "{found} spikes on the chip, {software} in software"
    );
}

#[test]
fn sums_that_do_not_fit_saturate_and_are_counted() {
    let net = Net::new(ms(1.0))
        .input("in", 20)
        .population("out", 1, Li { tau: 1e-9.into() })
        .project("in", "out", Connect::All, Init::Constant(1.0))
        .output("out")
        .build(Seed::new(0))
        .unwrap();
    let mut device = Spinnaker2::default().build(&net, Seed::new(0)).unwrap();
    let mut input = Raster::new(20, 2);
    input.fill((0..20).map(|i| (1, i)));
    device.run(&[&input], Seed::new(0)).unwrap();
    assert_eq!((device.output(0, 1, 0), device.costs().counts["additions that saturated"]), (Some(32767.0 / 2048.0), 5));
    device.write(0, &[100.0; 20]).unwrap();
    assert_eq!((device.costs().counts["weights clipped"], device.read(0).unwrap()[3]), (20, 32767.0 / 2048.0));
}

/// Two layers of rectifiers in few-spikes code, read out; levels and weights are such that s16.15 and 16-bit weights hold all numbers.
fn few_spikes(pause: usize) -> Network {
    let cell = || FewSpikes { pause, ..FewSpikes::relu(5, 8.0) };
    let net = Net::new(ms(1.0))
        .input("in", 4)
        .population("a", 4, cell())
        .population("b", 20, FewSpikes { bias: 0.25.into(), ..cell() })
        .population("y", 2, Sum { period: 5 + pause, bias: 0.0.into() })
        .project("in", "a", Connect::OneToOne, Init::Constant(1.0))
        .project("a", "b", Connect::All, Init::normal(1.0))
        .project("b", "y", Connect::All, Init::normal(0.5))
        .output("y");
    representable(&net.build(Seed::new(3)).unwrap())
}

/// Packets carry the values of events; with a pause for the last of a window, every event and answer is the software engine's, a step of travel included.
#[test]
fn few_spikes_with_a_pause_are_exact() {
    let (net, engine_net) = (few_spikes(1), few_spikes(1));
    let mut input = Raster::new(4, 18);
    for t in 0..18 {
        let values = [5.25, 0.0, 7.75, 1.5].into_iter().zip(0..4).filter(|_| t == 0 || t == 6);
        input.push_values(t, |units, list| {
            values.filter(|(x, _)| *x != 0.0).for_each(|(x, i)| (units.push(i), list.push(x + t as f64 / 8.0)).1)
        });
    }
    let mut device = Spinnaker2::default().build(&net, Seed::new(0)).unwrap();
    device.run(&[&input], Seed::new(0)).unwrap();
    let engine = Clocked::<f64>::compile(&engine_net);
    let mut record = Record::new(&engine);
    engine.run(&[&input], Wants::Spikes, &mut record);
    for p in 0..2 {
        assert!(record.spikes[p].len() > 5);
        assert_eq!(device.spikes(p), &record.spikes[p], "population {p}");
    }
    // The answer to the first stands after three windows of six steps.
    for j in 0..2 {
        assert_eq!(device.output(2, 17, j), Some(record.traces[2].output_at(17, j)), "readout {j}");
    }
    let costs = device.costs();
    assert_eq!(
        (costs.counts["additions that saturated"], costs.counts["spikes"]),
        (0, (record.spikes[0].len() + record.spikes[1].len()) as u64)
    );
}

#[test]
fn rectified_values_travel_as_payload() {
    let net = Net::new(ms(1.0))
        .input("in", 3)
        .population("r", 2, Relu {})
        .population("y", 1, Sum::default())
        .project("in", "r", Connect::All, Init::Constant(0.5))
        .project("r", "y", Connect::All, Init::Constant(-0.25))
        .output("y")
        .build(Seed::new(0))
        .unwrap();
    let mut input = Raster::new(3, 3);
    for (t, events) in [&[(0, 1.5), (2, 4.0)][..], &[], &[]].into_iter().enumerate() {
        input.push_values(t, |units, values| events.iter().for_each(|&(unit, x)| (units.push(unit), values.push(x)).0));
    }
    let mut device = Spinnaker2::default().build(&net, Seed::new(0)).unwrap();
    device.run(&[&input], Seed::new(0)).unwrap();
    assert_eq!((device.spikes(0).at(0), device.spikes(0).values_at(0)), (&[0, 1][..], &[2.75, 2.75][..]));
    assert_eq!([0, 1, 2].map(|t| device.output(1, t, 0)), [Some(0.0), Some(-1.375), Some(0.0)], "heard a step later");
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let refused = |net: Network, machine: Spinnaker2, words: &[&str]| {
        let error = machine.build(&net, Seed::new(0)).err().unwrap().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    let layer = |n: usize, m: usize| {
        Net::new(ms(1.0))
            .input("in", n)
            .population("a", m, Lif::default())
            .project("in", "a", Connect::All, Init::Constant(0.1))
            .output("a")
    };
    refused(layer(2, 2).delay(ms(16.0)).build(Seed::new(0)).unwrap(), Spinnaker2::default(), &["`in` -> `a`", "16 steps", "relay"]);
    refused(few_spikes(0), Spinnaker2::default(), &["`a` -> `b`", "windows", "pause"]);
    refused(layer(20_000, 1).build(Seed::new(0)).unwrap(), Spinnaker2::default(), &["`a`", "bytes", "external memory"]);
    refused(layer(100, 1000).build(Seed::new(0)).unwrap(), Spinnaker2::default(), &["10 cores", "there are 4"]);
    // With external memory both go.
    let machine = Spinnaker2 { dram: Dram::Spill, ..Spinnaker2::default() };
    for net in [layer(20_000, 1), layer(100, 1000)] {
        let report = machine.map(&net.build(Seed::new(0)).unwrap(), Seed::new(0));
        assert!(report.accepted().is_ok() && report.findings.iter().any(|f| f.kind == Kind::Slow && f.what.contains("external memory")));
    }
}

/// Plastic links in software at the lowest clock are too much for real time: the report says so, and time and energy follow.
#[test]
fn too_many_cycles_are_no_real_time() {
    let net = Net::new(ms(1.0))
        .input("in", 50)
        .population("out", 20, Psp::default())
        .escape(1.0, 1.0)
        .project("in", "out", Connect::All, Init::Constant(0.1))
        .output("out")
        .build(Seed::new(0))
        .unwrap();
    let plastic = Some(Plastic { interval: 1e-3, copies: 2 });
    let run = |machine: Spinnaker2| {
        let report = machine.map(&net, Seed::new(0));
        let mut device = machine.build(&net, Seed::new(0)).unwrap();
        device.run(&[&spikes(50, 100, 20, 3)], Seed::new(0)).unwrap();
        (report, device.costs().clone(), device.spikes(0).clone())
    };
    let (fast, slow) = (
        Spinnaker2 { plastic, ..Spinnaker2::default() },
        Spinnaker2 { plastic, accelerators: false, level: Level::Low, ..Default::default() },
    );
    let ((fast, fast_costs, a), (slow, slow_costs, b)) = (run(fast), run(slow));
    assert_eq!(a, b, "accelerators change no spike");
    assert!(fast.seconds_per_second == Some(1.0) && slow.seconds_per_second.is_some_and(|s| s > 3.0), "{:?}", slow.seconds_per_second);
    assert!(slow.findings.iter().any(|f| f.kind == Kind::Slow && f.what.contains("real time")));
    assert_eq!((fast_costs.counts["steps not in real time"], slow_costs.counts["steps not in real time"]), (0, 100));
    assert!((fast_costs.seconds - 0.1).abs() < 1e-9 && slow_costs.seconds > 0.3);
    assert!(slow_costs.counts["cycles"] > 2 * fast_costs.counts["cycles"]);
    let (far, far_costs, c) = run(Spinnaker2 { plastic, dram: Dram::All, ..Spinnaker2::default() });
    assert!(
        c == a
            && far_costs.energy() > fast_costs.energy()
            && far.resources.iter().any(|r| r.name == "external memory" && r.used == 40_000.0)
    );
}
