//! What BrainScaleS must do, and what it must not.

use proptest::prelude::*;
use snn_core::net::{Connect, Conv2d, Init, Links};
use snn_core::neuron::{Alif, CubaLif, FewSpikes, Li, Lif, Relu};
use snn_core::stats::variance;
use snn_core::{Net, Network, Raster, Seed, ms};
use snn_hw::{BrainScales, Kind, Machine, Report, calibrate};
use snn_sparse::{Clocked, Device, Wants};

fn spikes(channels: u32, steps: u32, one_in: u64, seed: u64) -> Raster {
    let mut raster = Raster::new(channels as usize, steps as usize);
    let key = |t: u32, i: u32| Seed::new(seed).nth(u64::from(t * channels + i)).value();
    raster.fill((0..steps).flat_map(|t| (0..channels).map(move |i| (t, i))).filter(|&(t, i)| key(t, i) % one_in == 0));
    raster
}

/// A layer, a loop with two models, windows and a readout.
fn network(seed: u64) -> Network {
    Net::new(ms(1.0))
        .input("in", 16)
        .population("a", 20, Lif { tau: ms(10.0).into(), ..Lif::default() })
        .population("b", 12, Alif { tau: ms(15.0).into(), ..Alif::default() })
        .refractory(ms(2.0))
        .population("edges", 8, CubaLif::default())
        .population("out", 3, Li::default())
        .project("in", "a", Connect::All, Init::normal(0.5))
        .project("a", "b", Connect::Random { p: 0.5 }, Init::normal(0.6))
        .delay(ms(2.0))
        .project("b", "a", Connect::All, Init::normal(0.3))
        .delay(ms(1.0))
        .project("in", "edges", Connect::Conv2d(Conv2d::new(1, 4, 4, 2, (3, 3))), Init::Constant(0.05))
        .project("b", "out", Connect::All, Init::normal(0.5))
        .output("out")
        .build(Seed::new(seed))
        .unwrap()
}

fn build(machine: &BrainScales, net: &Network, seed: u64) -> Box<dyn Device> {
    machine.build(net, Seed::new(seed)).unwrap()
}

fn all_spikes(device: &mut dyn Device, input: &Raster, trial: u64) -> Vec<Raster> {
    device.run(&[input], Seed::new(trial)).unwrap();
    (0..device.network().draft().populations.len()).map(|p| device.spikes(p).clone()).collect()
}

fn software(net: &Network, input: &Raster) -> Vec<Raster> {
    let engine = Clocked::<f32>::compile(net);
    let record = engine.record(&[input], Wants::Spikes);
    record.spikes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn without_imperfections_it_is_the_software_engine(seed in 0u64..1000, trial in any::<u64>()) {
        let (net, input) = (network(seed), spikes(16, 80, 6, seed));
        let expected = software(&net, &input);
        prop_assert!(expected[..3].iter().all(|raster| !raster.is_empty()));
        prop_assert_eq!(all_spikes(&mut *build(&BrainScales::ideal(), &net, seed), &input, trial), expected);
        prop_assert!(BrainScales::ideal().map(&net, Seed::new(seed)).findings.iter().all(|finding| finding.share == 0.0));
    }

    /// Nothing is lost silently, with everything that can go wrong switched on.
    #[test]
    fn events_are_counted(seed in 0u64..1000, rate in 20.0f64..5000.0, jitter in 0.0f64..3e-3) {
        let machine = BrainScales { link_rate: Some(rate), link_buffer: 2.0, jitter, lost: 0.1, ..BrainScales::default() };
        let (net, input) = (network(seed), spikes(16, 80, 4, seed));
        let mut device = build(&machine, &net, seed);
        let recorded: usize = all_spikes(&mut *device, &input, 1).iter().map(Raster::len).sum();
        let counts = &device.costs().counts;
        prop_assert_eq!(counts["injected"], input.len() as u64);
        prop_assert!(counts["lost at injection"] <= counts["injected"]);
        prop_assert_eq!(counts["recorded"] + counts["lost at recording"], counts["spikes"]);
        prop_assert_eq!(counts["recorded"], recorded as u64);
    }
}

#[test]
fn many_bits_are_as_good_as_all() {
    let (net, input) = (network(3), spikes(16, 80, 6, 3));
    let fine = BrainScales { bits: Some(20), ..BrainScales::ideal() };
    assert_eq!(all_spikes(&mut *build(&fine, &net, 1), &input, 1), software(&net, &input));
    let coarse = BrainScales { bits: Some(2), ..BrainScales::ideal() };
    assert_ne!(all_spikes(&mut *build(&coarse, &net, 1), &input, 1), software(&net, &input));
}

#[test]
fn a_device_is_its_seed() {
    let (net, input, machine) = (network(3), spikes(16, 80, 4, 3), BrainScales { lost: 0.2, ..BrainScales::default() });
    let seen = |device, trial| all_spikes(&mut *build(&machine, &net, device), &input, trial);
    assert_eq!(seen(1, 1), seen(1, 1));
    assert_ne!(seen(1, 1), seen(2, 1));
    assert_ne!(seen(1, 1), seen(1, 2), "jitter and links differ from trial to trial");
}

#[test]
fn what_is_written_again_is_not_quite_the_same() {
    let (net, input) = (network(3), spikes(16, 80, 4, 3));
    let machine = BrainScales { rewrite: 0.2, ..BrainScales::ideal() };
    let mut device = build(&machine, &net, 1);
    let before = all_spikes(&mut *device, &input, 1);
    let weights = device.read(0).unwrap();
    device.write(0, &weights).unwrap();
    let after = all_spikes(&mut *device, &input, 1);
    assert_ne!(before, after);
    assert_eq!(device.read(0).unwrap(), weights);
    assert_eq!(all_spikes(&mut *device.again(), &input, 1), after, "the same device again has the same conductances");
}

#[test]
fn weights_have_31_levels_of_either_sign() {
    for bits in [1, 4, 6] {
        let machine = BrainScales { bits: Some(bits), ..BrainScales::default() };
        let mut device = build(&machine, &network(5), 1);
        for k in 0..4 {
            let mut held = device.read(k).unwrap();
            held.sort_by(f32::total_cmp);
            held.dedup_by(|a, b| a == b);
            assert!(held.len() < 1 << (bits + 1), "{} levels with {bits} bits", held.len());
        }
        let given: Vec<f32> = network(5).draft().projections[4].weights.iter(36).collect();
        assert_eq!(device.read(4).unwrap(), given, "the host computes the readout with any weights");
    }
}

/// Links that are not there, found by sending one event of value 1 from every source over weights of 1.
fn missing(machine: &BrainScales, sources: usize, targets: usize) -> (Report, usize) {
    let net = Net::new(ms(1.0)).input("in", sources).population("a", targets, Relu {});
    let net = net.project("in", "a", Connect::All, Init::Constant(1.0)).output("a").build(Seed::new(0)).unwrap();
    let mut device = build(machine, &net, 7);
    let mut missing = 0;
    for i in 0..sources as u32 {
        let mut event = Raster::new(sources, 1);
        event.fill_values([(0, i, 1.0)]);
        device.run(&[&event], Seed::new(u64::from(i))).unwrap();
        missing += targets - device.spikes(0).len();
    }
    (machine.map(&net, Seed::new(7)), missing)
}

#[test]
fn the_loss_that_is_reported_is_the_loss() {
    let rates = BrainScales { weight: 0.2, rates: true, delay: None, offset: 0.0, link_rate: None, ..BrainScales::default() };
    let share = |report: &Report| report.findings.iter().find(|finding| finding.kind == Kind::Lost).map_or(0.0, |finding| finding.share);
    let (report, gone) = missing(&BrainScales { lost: 0.3, ..rates.clone() }, 60, 25);
    assert!((share(&report) * 1500.0 - gone as f64).abs() < 1e-6 && (350..550).contains(&gone), "{gone} of 1500");
    assert_eq!(missing(&rates, 60, 25).1, 0);
    // Room for 224/2 links to a circuit, two circuits at most.
    let (report, gone) = missing(&BrainScales { merge: 2, ..rates.clone() }, 300, 5);
    assert_eq!(gone, (300 - 224) * 5);
    assert!((share(&report) - 76.0 / 300.0).abs() < 1e-9);
    assert!(report.findings.iter().any(|finding| finding.kind == Kind::Slow && finding.what.contains("2 circuits are merged")));
    let circuits = report.resources.iter().find(|resource| resource.name == "neuron circuits").unwrap();
    assert_eq!((circuits.used, circuits.limit), (10.0, Some(384.0 * 512.0)));
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let refused = |machine: &BrainScales, net: &Network| machine.build(net, Seed::new(0)).err().map_or(String::new(), |e| e.to_string());
    let net = network(1);
    let one = BrainScales { chips: 1, circuits: 30, ..BrainScales::default() };
    assert!(refused(&one, &net).contains("40 neuron circuits are needed, and 1 chips have 30"), "{}", refused(&one, &net));
    for (model, word) in [(Relu {}.into(), "set `rates`"), (FewSpikes::default().into(), "follows a schedule")] {
        let model: snn_core::neuron::Model = model;
        let net = Net::new(ms(1.0)).input("in", 1).population("odd", 2, model).project("in", "odd", Connect::All, Init::normal(1.0));
        let text = refused(&BrainScales::default(), &net.output("odd").build(Seed::new(0)).unwrap());
        assert!(text.contains("population `odd`") && text.contains(word), "{text}");
    }
    for (machine, word) in [
        (BrainScales { bits: Some(0), ..BrainScales::default() }, "`bits` = 0"),
        (BrainScales { weight: f64::NAN, ..BrainScales::default() }, "`weight` = NaN"),
        (BrainScales { speed_up: 0.0, ..BrainScales::default() }, "`speed_up` = 0"),
        (BrainScales { lost: 2.0, ..BrainScales::default() }, "`lost` = 2"),
    ] {
        assert!(refused(&machine, &net).contains(word), "{}", refused(&machine, &net));
    }
}

#[test]
fn delays_are_those_of_the_chip() {
    let net = Net::new(ms(1.0)).input("in", 1).population("a", 1, Lif::default()).project("in", "a", Connect::All, Init::Constant(2.0));
    let net = net.delay(ms(5.0)).output("a").build(Seed::new(0)).unwrap();
    let machine = BrainScales { delay: Some((2e-3, 0.0)), ..BrainScales::ideal() };
    let mut event = Raster::new(1, 10);
    event.fill([(1, 0)]);
    assert_eq!(all_spikes(&mut *build(&machine, &net, 0), &event, 0)[0].iter().collect::<Vec<_>>(), [(3, 0)]);
    let report = machine.map(&net, Seed::new(0));
    assert!(report.findings.iter().any(|finding| finding.what.contains("delays cannot be chosen") && finding.share == 1.0));
}

/// Gains and offsets of neurons are what calibration finds, from recordings alone.
#[test]
fn calibration_finds_gains_and_offsets() {
    let machine = BrainScales { gain: 0.3, offset: 0.2, ..BrainScales::ideal() };
    let net = Net::new(ms(1.0)).input("in", 1).population("a", 40, Relu {}).project("in", "a", Connect::All, Init::Constant(0.5));
    let net = net.output("a").build(Seed::new(0)).unwrap();
    let stimulus = |x: f64| {
        let mut raster = Raster::new(1, 1);
        raster.fill_values([(0, 0, x)]);
        vec![raster]
    };
    let strengths = [2.0, 3.0, 5.0];
    let curves = calibrate(&mut *build(&machine, &net, 3), &strengths.map(stimulus), Seed::new(0)).unwrap();
    let lines: Vec<(f64, f64)> = (0..40).map(|j| curves.line(0, j, &strengths).unwrap()).collect();
    // One event of value 4 is what the lines say.
    let mut device = build(&machine, &net, 3);
    device.run(&[&stimulus(4.0)[0]], Seed::new(0)).unwrap();
    for (j, (slope, offset)) in lines.iter().enumerate() {
        assert!((device.spikes(0).value(0, j as u32) - (slope * 4.0 + offset)).abs() < 1e-5);
    }
    let std = |xs: Vec<f64>| variance(&xs).sqrt();
    let gains = std(lines.iter().map(|(slope, _)| slope / 0.5).collect());
    let offsets = std(lines.iter().map(|(slope, offset)| offset * 0.5 / slope).collect());
    assert!((gains / 0.3 - 1.0).abs() < 0.35 && (offsets / 0.2 - 1.0).abs() < 0.35, "{gains} {offsets}");
}

#[test]
fn shared_weights_become_links_of_their_own() {
    let net = network(2);
    assert!(matches!(net.draft().projections[3].links, Links::Conv2d(_)));
    let mut device = build(&BrainScales { weight: 0.5, ..BrainScales::ideal() }, &net, 1);
    let input = spikes(16, 60, 3, 1);
    let spikes = all_spikes(&mut *device, &input, 1).swap_remove(2);
    assert_ne!(spikes, software(&net, &input)[2]);
    assert_eq!(device.read(3).unwrap().len(), 18);
    device.write(3, &[0.0; 18]).unwrap();
    assert!(all_spikes(&mut *device, &input, 1)[2].is_empty());
}

#[test]
fn time_and_energy_are_modelled() {
    let (net, input) = (network(3), spikes(16, 80, 4, 3));
    let machine = BrainScales::default();
    let mut device = build(&machine, &net, 1);
    all_spikes(&mut *device, &input, 1);
    let costs = device.costs();
    assert_eq!(costs.counts["emulation ns"], 8000, "80 ms ten thousand times faster");
    assert_eq!(costs.counts["overhead ns"], 20_000_000);
    assert!((costs.seconds - 0.020008).abs() < 1e-12);
    assert!((costs.joules["static"] - 2.6 * costs.seconds).abs() < 1e-9, "one chip");
    assert!((costs.joules["synaptic events"] - 1e-10 * costs.counts["synaptic events"] as f64).abs() < 1e-15);
}
