//! Reads in the place of weights: every kind of link, any threads, in pieces.

use snn_core::net::{Connect, Init};
use snn_core::neuron::{Li, Lif};
use snn_core::{Net, Network, Raster, Seed, ms};
use snn_sparse::{Access, Clocked, Reads, Record, Wants};
use std::sync::Arc;

/// Rows whose numbers depend on all that an access says.
#[derive(Debug)]
struct Odd {
    rows: Vec<Vec<(u32, f64)>>,
    noise: bool,
}

impl Reads<f64> for Odd {
    fn push(&self, access: &Access<'_>, into: &mut [f64]) {
        for (k, &i) in access.sources.iter().enumerate() {
            for &(j, w) in self.rows[i as usize].iter().filter(|(j, _)| access.targets.contains(&(*j as usize))) {
                let key = access.trial.nth(access.step as u64).nth(u64::from(i)).nth(u64::from(j)).value() % 1024;
                let noise = if self.noise { key as f64 / 1024.0 } else { 0.0 };
                into[j as usize - access.targets.start] += access.values.get(k).unwrap_or(&1.0) * (w + noise);
            }
        }
    }
}

fn network() -> Network {
    Net::new(ms(1.0))
        .input("in", 30)
        .population("a", 130, Lif::default())
        .population("b", 70, Lif::default())
        .population("out", 3, Li::default())
        .project("in", "a", Connect::All, Init::normal(0.4))
        .project("a", "b", Connect::Random { p: 0.05 }, Init::normal(0.8))
        .project("a", "a", Connect::Random { p: 0.5 }, Init::normal(0.1))
        .delays(ms(1.0), ms(3.0))
        .project("b", "out", Connect::All, Init::normal(0.4))
        .output("out")
        .build(Seed::new(3))
        .unwrap()
}

fn input() -> Raster {
    let mut raster = Raster::new(30, 60);
    let fires = |t: u32, i: u32| Seed::new(2).nth(u64::from(t * 30 + i)).value().is_multiple_of(8);
    raster.fill((0..60).flat_map(|t| (0..30).map(move |i| (t, i))).filter(|&(t, i)| fires(t, i)));
    raster
}

/// An engine in which these links are read.
fn engine(mut engine: Clocked<f64>, noise: bool, which: impl Fn(usize) -> bool) -> Clocked<f64> {
    for k in (0..engine.links().len()).filter(|&k| which(k)) {
        let (link, values) = (&engine.links()[k], engine.links()[k].store.values());
        let mut rows = vec![Vec::new(); engine.size(link.from)];
        link.store.triplets().into_iter().for_each(|(i, j, w)| rows[i].push((j as u32, values[w])));
        engine.set_reads(k, Some(Arc::new(Odd { rows, noise })));
    }
    engine
}

fn run(engine: &Clocked<f64>, trial: u64) -> (Vec<Raster>, Vec<f64>) {
    let mut record = Record::new(engine);
    record.noise = Seed::new(trial);
    engine.run(&[&input()], Wants::Spikes, &mut record);
    let y = (0..3).flat_map(|j| record.traces[2].series(j).collect::<Vec<_>>()).collect();
    (record.spikes, y)
}

#[test]
fn reads_of_the_weights_change_nothing() {
    let plain = run(&Clocked::compile(&network()), 0);
    assert!(plain.0[1].len() > 50);
    let links = Clocked::<f64>::compile(&network()).links().len();
    assert!(links > 5, "a projection with delays of its own is several links");
    for k in 0..=links {
        let read = run(&engine(Clocked::compile(&network()), false, |n| n == k || k == links), 0);
        assert_eq!(read.0, plain.0, "link {k}");
        assert!(read.1.iter().zip(&plain.1).all(|(a, b)| (a - b).abs() < 1e-9), "link {k}");
    }
    // Taken away again, they leave the very bits.
    let mut engine = engine(Clocked::compile(&network()), true, |_| true);
    assert!(engine.has_reads() && run(&engine, 0) != plain);
    (0..links).for_each(|k| engine.set_reads(k, None));
    assert!(!engine.has_reads());
    assert_eq!(run(&engine, 0), plain);
}

#[test]
fn noise_is_a_function_of_the_access() {
    let noisy = engine(Clocked::compile(&network()), true, |_| true);
    let whole = run(&noisy, 1);
    assert_eq!(run(&noisy, 1), whole);
    assert_ne!(run(&noisy, 2), whole, "another trial");
    let mut record = Record::new(&noisy);
    record.noise = Seed::new(1);
    noisy.begin(60, Wants::Spikes, &mut record);
    [1, 2, 30, 60].into_iter().for_each(|until| noisy.advance(until, &[&input()], &mut record));
    assert_eq!(record.spikes, whole.0, "in pieces");
    // Threads own blocks of every population and ask for their part of the rows.
    let frozen = |threads: usize| run(&engine(Clocked::frozen(&network(), threads), true, |_| true), 1).0;
    assert_eq!(frozen(1), frozen(3));
}
