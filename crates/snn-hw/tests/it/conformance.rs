//! What every machine must do, on the same networks: each machine of the registry, with its usual settings and several devices.

use snn_core::net::{Connect, Init};
use snn_core::neuron::{Li, Lif};
use snn_core::{Net, Network, Raster, Seed, ms};
use snn_hw::{Machine, all};
use snn_sparse::{Clocked, Device, DeviceError, Wants};

/// A layer, a loop and a readout.
fn small() -> Network {
    network(12, 16)
}

/// The same of sizes that fit on every machine.
fn tiny() -> Network {
    network(4, 8)
}

fn network(inputs: usize, hidden: usize) -> Network {
    Net::new(ms(1.0))
        .input("in", inputs)
        .population("hidden", hidden, Lif { tau: ms(20.0).into(), ..Lif::default() })
        .population("out", 3, Li { tau: ms(20.0).into() })
        .project("in", "hidden", Connect::All, Init::normal(1.4 / (inputs as f64).sqrt()))
        .project("hidden", "hidden", Connect::Random { p: 0.2 }, Init::normal(0.3))
        .delay(ms(1.0))
        .project("hidden", "out", Connect::All, Init::normal(0.3))
        .output("out")
        .build(Seed::new(4))
        .unwrap()
}

/// The larger of the two that the machine takes, and a device with it.
fn device(machine: &dyn Machine) -> (Network, Box<dyn Device>) {
    let net = if machine.build(&small(), Seed::new(1)).is_ok() { small() } else { tiny() };
    let device = machine.build(&net, Seed::new(1)).unwrap();
    (net, device)
}

fn spikes(net: &Network, steps: usize, seed: u64) -> Raster {
    let channels = net.draft().inputs[0].size as u32;
    let mut raster = Raster::new(channels as usize, steps);
    let key = |t: u32, i: u32| Seed::new(seed).nth(u64::from(t * channels + i)).value();
    raster.fill((0..steps as u32).flat_map(|t| (0..channels).map(move |i| (t, i))).filter(|&(t, i)| key(t, i) % 10 == 0));
    raster
}

#[test]
fn every_machine_takes_the_tiny_network() {
    all().iter().for_each(|machine| machine.map(&tiny(), Seed::new(1)).accepted().unwrap());
}

#[test]
fn a_network_runs_or_is_refused_by_name() {
    for machine in all() {
        let report = machine.map(&small(), Seed::new(1));
        assert_eq!(report.machine, machine.name());
        assert!(serde_json::to_string(&report).unwrap().contains(machine.name()));
        match machine.build(&small(), Seed::new(1)) {
            Ok(_) => report.accepted().unwrap(),
            Err(error) => {
                assert_eq!(Err(error.clone()), report.accepted(), "{}: report and refusal differ", machine.name());
                assert!(error.refused.iter().all(|finding| error.to_string().contains(&finding.place.to_string())));
            }
        }
    }
}

#[test]
fn the_same_seeds_are_the_same_device_and_trial() {
    for machine in all() {
        let (net, mut device) = device(&*machine);
        let input = spikes(&net, 60, 2);
        let heard = |device: &mut dyn Device, trial| {
            device.run(&[&input], Seed::new(trial)).unwrap();
            let outputs: Vec<Option<f64>> =
                (0..60).flat_map(|t| (0..3).map(move |j| (t, j))).map(|(t, j)| device.output(1, t, j)).collect();
            (device.spikes(0).clone(), outputs)
        };
        let first = heard(&mut *device, 5);
        assert!(!first.0.is_empty(), "{}: nobody fired", machine.name());
        let _ = heard(&mut *device, 6);
        assert_eq!(heard(&mut *device, 5), first, "{}: another trial left something behind", machine.name());
        assert_eq!(heard(&mut *machine.build(&net, Seed::new(1)).unwrap(), 5), first, "{}: not the same device", machine.name());
        assert_eq!(heard(&mut *device.again(), 5), first, "{}: not the same device again", machine.name());
    }
}

#[test]
fn piece_by_piece_is_the_whole() {
    for machine in all() {
        let (net, mut device) = device(&*machine);
        let input = spikes(&net, 40, 3);
        device.run(&[&input], Seed::new(9)).unwrap();
        let whole = (device.spikes(0).clone(), device.output(1, 39, 2));
        device.begin(40, Seed::new(9));
        for until in [1, 2, 17, 40] {
            device.advance(until, &[&input]).unwrap();
        }
        assert_eq!((device.spikes(0).clone(), device.output(1, 39, 2)), whole, "{}", machine.name());
    }
}

#[test]
fn what_is_written_is_what_runs() {
    for machine in all() {
        let (net, mut device) = device(&*machine);
        let input = spikes(&net, 40, 3);
        device.run(&[&input], Seed::new(9)).unwrap();
        let before = device.spikes(0).clone();
        let weights = net.draft().projections[0].weights.given().to_vec();
        device.write(0, &vec![0.0; weights.len()]).unwrap();
        device.run(&[&input], Seed::new(9)).unwrap();
        assert!(device.spikes(0).len() < before.len(), "{}: weights of 0 change nothing", machine.name());
        assert_eq!(device.read(0).unwrap().len(), weights.len());
        for odd in [&weights[1..], &vec![f32::NAN; weights.len()]] {
            assert!(matches!(device.write(0, odd), Err(DeviceError::Weights { .. } | DeviceError::NotFinite { .. })), "{}", machine.name());
        }
        assert!(device.write(99, &weights).is_err() && device.read(99).is_err());
    }
}

#[test]
fn wrong_inputs_are_refused() {
    for machine in all() {
        let (net, mut device) = device(&*machine);
        let channels = net.draft().inputs[0].size;
        assert!(
            matches!(device.run(&[&Raster::new(channels - 1, 5)], Seed::new(0)), Err(DeviceError::Inputs { .. })),
            "{}",
            machine.name()
        );
        device.begin(5, Seed::new(0));
        assert!(matches!(device.advance(6, &[&Raster::new(channels, 9)]), Err(DeviceError::Steps { .. })), "{}", machine.name());
        assert!(matches!(device.advance(5, &[&Raster::new(channels, 4)]), Err(DeviceError::Steps { .. })), "{}", machine.name());
    }
}

#[test]
fn costs_only_grow() {
    for machine in all() {
        let (net, mut device) = device(&*machine);
        let input = spikes(&net, 40, 3);
        let mut last = device.costs().clone();
        for trial in 0..3 {
            device.run(&[&input], Seed::new(trial)).unwrap();
            let now = device.costs().clone();
            assert!(now.seconds > last.seconds && now.energy() >= last.energy(), "{}", machine.name());
            assert!(last.counts.iter().all(|(what, n)| now.counts.get(what).is_some_and(|m| m >= n)), "{}", machine.name());
            assert!(now.counts.get("spikes").is_some_and(|n| *n > 0), "{}: spikes are not counted", machine.name());
            last = now;
        }
    }
}

#[test]
fn the_ideal_machine_is_the_software_engine() {
    let (net, input) = (small(), spikes(&small(), 60, 2));
    let engine = Clocked::<f32>::compile(&net);
    let record = engine.record(&[&input], Wants::Spikes);
    let mut device = snn_hw::by_name("ideal").unwrap().build(&net, Seed::new(0)).unwrap();
    device.run(&[&input], Seed::new(0)).unwrap();
    assert_eq!(device.spikes(0), &record.spikes[0]);
    assert!((0..60).all(|t| device.output(1, t, 2) == Some(f64::from(record.traces[1].output_at(t, 2)))));
}

#[test]
fn some_weights_are_written_as_all_are() {
    for machine in all() {
        let (net, mut whole) = device(&*machine);
        let (mut some, input) = (machine.build(&net, Seed::new(1)).unwrap(), spikes(&net, 100, 6));
        let mut weights = net.draft().projections[0].weights.given().to_vec();
        let moved = [1, 3, 0];
        moved.iter().for_each(|&k| weights[k as usize] *= 0.5);
        whole.write(0, &weights).unwrap();
        some.write_some(0, &weights, &moved).unwrap();
        let run = |device: &mut dyn Device| {
            device.run(&[&input], Seed::new(3)).unwrap();
            device.spikes(0).clone()
        };
        assert!(run(&mut *whole) == run(&mut *some) && whole.read(0) == some.read(0), "{}: other weights", machine.name());
    }
}
