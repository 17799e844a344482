//! What every machine must do, on the same networks: each machine of the registry, with its usual settings and several devices.

use snn_core::net::{Connect, Init};
use snn_core::neuron::{Li, Lif};
use snn_core::{Net, Network, Raster, Seed, ms};
use snn_hw::all;
use snn_sparse::{Clocked, DeviceError, Record, Wants};

/// A layer, a loop and a readout, of sizes that fit on the smallest machine.
fn small() -> Network {
    Net::new(ms(1.0))
        .input("in", 12)
        .population("hidden", 16, Lif { tau: ms(20.0).into(), ..Lif::default() })
        .population("out", 3, Li { tau: ms(20.0).into() })
        .project("in", "hidden", Connect::All, Init::normal(0.4))
        .project("hidden", "hidden", Connect::Random { p: 0.2 }, Init::normal(0.3))
        .delay(ms(1.0))
        .project("hidden", "out", Connect::All, Init::normal(0.3))
        .output("out")
        .build(Seed::new(4))
        .unwrap()
}

fn spikes(channels: u32, steps: usize, seed: u64) -> Raster {
    let mut raster = Raster::new(channels as usize, steps);
    let key = |t: u32, i: u32| Seed::new(seed).nth(u64::from(t * channels + i)).value();
    raster.fill((0..steps as u32).flat_map(|t| (0..channels).map(move |i| (t, i))).filter(|&(t, i)| key(t, i) % 10 == 0));
    raster
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
    let input = spikes(12, 60, 2);
    for machine in all() {
        let Ok(mut device) = machine.build(&small(), Seed::new(1)) else { continue };
        let heard = |device: &mut dyn snn_sparse::Device, trial| {
            device.run(&[&input], Seed::new(trial)).unwrap();
            let outputs: Vec<Option<f64>> =
                (0..60).flat_map(|t| (0..3).map(move |j| (t, j))).map(|(t, j)| device.output(1, t, j)).collect();
            (device.spikes(0).clone(), outputs)
        };
        let first = heard(&mut *device, 5);
        assert!(!first.0.is_empty(), "{}: nobody fired", machine.name());
        let _ = heard(&mut *device, 6);
        assert_eq!(heard(&mut *device, 5), first, "{}: another trial left something behind", machine.name());
        assert_eq!(heard(&mut *machine.build(&small(), Seed::new(1)).unwrap(), 5), first, "{}: not the same device", machine.name());
        assert_eq!(heard(&mut *device.again(), 5), first, "{}: not the same device again", machine.name());
    }
}

#[test]
fn piece_by_piece_is_the_whole() {
    let input = spikes(12, 40, 3);
    for machine in all() {
        let Ok(mut device) = machine.build(&small(), Seed::new(1)) else { continue };
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
    let (net, input) = (small(), spikes(12, 40, 3));
    for machine in all() {
        let Ok(mut device) = machine.build(&net, Seed::new(1)) else { continue };
        device.run(&[&input], Seed::new(9)).unwrap();
        let before = device.spikes(0).clone();
        let weights: Vec<f32> = net.draft().projections[0].weights.iter(12 * 16).collect();
        device.write(0, &vec![0.0; weights.len()]).unwrap();
        device.run(&[&input], Seed::new(9)).unwrap();
        assert!(device.spikes(0).len() < before.len(), "{}: weights of 0 change nothing", machine.name());
        assert_eq!(device.read(0).unwrap().len(), weights.len());
        for odd in [&weights[1..], &[f32::NAN; 12 * 16]] {
            assert!(matches!(device.write(0, odd), Err(DeviceError::Weights { .. } | DeviceError::NotFinite { .. })), "{}", machine.name());
        }
        assert!(device.write(99, &weights).is_err() && device.read(99).is_err());
    }
}

#[test]
fn wrong_inputs_are_refused() {
    for machine in all() {
        let Ok(mut device) = machine.build(&small(), Seed::new(1)) else { continue };
        assert!(matches!(device.run(&[&Raster::new(11, 5)], Seed::new(0)), Err(DeviceError::Inputs { .. })), "{}", machine.name());
        device.begin(5, Seed::new(0));
        assert!(matches!(device.advance(6, &[&Raster::new(12, 9)]), Err(DeviceError::Steps { .. })), "{}", machine.name());
        assert!(matches!(device.advance(5, &[&Raster::new(12, 4)]), Err(DeviceError::Steps { .. })), "{}", machine.name());
    }
}

#[test]
fn costs_only_grow() {
    let input = spikes(12, 40, 3);
    for machine in all() {
        let Ok(mut device) = machine.build(&small(), Seed::new(1)) else { continue };
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
    let (net, input) = (small(), spikes(12, 60, 2));
    let engine = Clocked::<f32>::compile(&net);
    let mut record = Record::new(&engine);
    engine.run(&[&input], Wants::Spikes, &mut record);
    let mut device = snn_hw::by_name("ideal").unwrap().build(&net, Seed::new(0)).unwrap();
    device.run(&[&input], Seed::new(0)).unwrap();
    assert_eq!(device.spikes(0), &record.spikes[0]);
    assert!((0..60).all(|t| device.output(1, t, 2) == Some(f64::from(record.traces[1].output_at(t, 2)))));
}
