//! Populations that hear excitation and inhibition apart: the engine against a loop over the description, and weights that change their sign.

use proptest::prelude::*;
use snn_core::net::{Connect, Init, Population};
use snn_core::neuron::{LifCond, Model, Neuron};
use snn_core::{Net, Network, Raster, Seed, ms};
use snn_sparse::{Clocked, EventDriven, EventError, Record, Wants, WindowError, Windowed};

const DT: f64 = ms(0.1);
const CELLS: usize = 70; // two blocks

/// Dense, listed and long lists, delays of their own, a loop that renews its synapses, and a constant conductance of either sign.
fn network(seed: u64) -> Network {
    let current: Vec<f64> = (0..CELLS).map(|j| [0.0, 2e-9, -1e-9][j % 3]).collect();
    let cell =
        LifCond { e_leak: (-0.052).into(), tau_inh: ms(5.0).into(), t_ref: ms(1.0).into(), tau_rec: ms(8.0).into(), ..LifCond::default() };
    Net::new(DT)
        .input("in", 40)
        .population("a", CELLS, cell)
        .current(current)
        .project("in", "a", Connect::All, Init::normal(1.5e-9))
        .project("in", "a", Connect::Random { p: 0.05 }, Init::normal(3e-9))
        .project("in", "a", Connect::Random { p: 0.4 }, Init::normal(2e-9))
        .delays(0.0, ms(0.5))
        .project("a", "a", Connect::Random { p: 0.5 }, Init::normal(3e-9))
        .without_autapses()
        .delay(ms(0.3))
        .output("a")
        .build(Seed::new(seed))
        .unwrap()
}

fn events(seed: u64, steps: usize) -> Raster {
    let mut raster = Raster::new(40, steps);
    let key = |t: u32, i: u32| Seed::new(seed).nth(u64::from(t * 40 + i)).value();
    raster.fill((0..steps as u32).flat_map(|t| (0..40).map(move |i| (t, i))).filter(|&(t, i)| key(t, i) % 12 == 0));
    raster
}

/// Events `(step, neuron, value)` of the population, by a plain loop over the description.
fn by_hand(net: &Network, input: &Raster) -> Vec<(usize, u32, f64)> {
    let draft = net.draft();
    let Population { model: Model::LifCond(cell), current, .. } = &draft.populations[0] else { panic!("another model") };
    let (mut state, mut z, mut sent) = (vec![[0.0f64; 4]; CELLS], vec![0.0; CELLS], Vec::new());
    for t in 0..input.steps() {
        let mut heard = vec![[0.0f64; 2]; CELLS];
        let mut add = |j: usize, w: f64| heard[j][usize::from(w < 0.0)] += w;
        (0..CELLS).for_each(|j| add(j, current.at(j)));
        for p in &draft.projections {
            for (i, j, k) in p.links.triplets(net.size(&p.from), CELLS) {
                let Some(then) = t.checked_sub(p.delay_steps(k, DT)) else { continue };
                let values = || sent.iter().rev().take_while(|e: &&(usize, u32, f64)| e.0 >= then);
                let value = match p.from.as_str() {
                    "in" => f64::from(input.at(then).contains(&(i as u32))),
                    _ => values().find(|e| (e.0, e.1) == (then, i as u32)).map_or(0.0, |e| e.2),
                };
                add(j, value * f64::from(p.weights.at(k)));
            }
        }
        for j in 0..CELLS {
            let c = cell.consts::<f64>(j, DT);
            let u;
            (state[j], u) = LifCond::step(c, state[j], z[j], heard[j]);
            z[j] = f64::from(u > 0.0);
            if u > 0.0 {
                sent.push((t, j as u32, LifCond::worth(c, state[j])));
            }
        }
    }
    sent
}

fn by_engine(engine: &Clocked<f64>, input: &Raster) -> Vec<(usize, u32, f64)> {
    let record = engine.record(&[input], Wants::Spikes);
    record.spikes[0].iter_values().collect()
}

fn same(a: &[(usize, u32, f64)], b: &[(usize, u32, f64)]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a.0, a.1) == (b.0, b.1) && (a.2 - b.2).abs() < 1e-9)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    #[test]
    fn the_engine_is_the_loop_over_the_description(seed in 0u64..1000) {
        let (net, input) = (network(seed), events(seed, 150));
        let expected = by_hand(&net, &input);
        prop_assert!(expected.iter().any(|e| e.2 < 1.0), "nobody fired twice");
        let mut engine = Clocked::<f64>::compile(&net);
        prop_assert!(same(&by_engine(&engine, &input), &expected));
        prop_assert!(same(&by_engine(&Clocked::frozen(&net, 2), &input), &expected), "frozen");
        // Weights are found as they were given, and may change their sign.
        let weights: Vec<Vec<f32>> = net.draft().projections.iter().map(|p| p.weights.given().to_vec()).collect();
        prop_assert_eq!(&engine.weights(), &weights);
        prop_assert_eq!(&engine.describe().unwrap(), &net);
        let flipped: Vec<Vec<f32>> = weights.iter().map(|list| list.iter().map(|w| -w).collect()).collect();
        flipped.iter().enumerate().for_each(|(k, list)| engine.set_weights(k, list));
        prop_assert_eq!(&engine.weights(), &flipped);
        let net = net.with_weights(flipped).unwrap();
        prop_assert!(same(&by_engine(&engine, &input), &by_hand(&net, &input)), "other signs");
        // Piece by piece is the whole.
        let mut record = Record::new(&engine);
        engine.begin(150, Wants::Spikes, &mut record);
        [1, 2, 17, 150].into_iter().for_each(|until| engine.advance(until, &[&input], &mut record));
        prop_assert!(same(&record.spikes[0].iter_values().collect::<Vec<_>>(), &by_engine(&engine, &input)));
    }
}

#[test]
fn drives_go_by_the_sign_of_their_weight() {
    // Balanced noise raises both conductances: the membrane settles between the leak and the reversal potentials.
    let held = LifCond { v_th: 1.0.into(), v_reset: 0.5.into(), ..LifCond::default() };
    for (rates, mean) in [((3000.0, 3000.0), -11.0 - 3.0), ((3000.0, 0.0), -11.0), ((0.0, 3000.0), -11.0 - 3.0)] {
        let total = 0.2 + 0.03 * f64::from(u8::from(rates.0 > 0.0)) + 0.03 * f64::from(u8::from(rates.1 > 0.0));
        let net = Net::new(DT)
            .population("a", 256, held.clone())
            .drive("a", rates.0, 1e-9)
            .drive("a", rates.1, -1e-9)
            .output("a")
            .build(Seed::new(0))
            .unwrap();
        let engine = Clocked::<f64>::compile(&net);
        let mut record = Record::new(&engine);
        engine.run_for(1000, &[], Wants::Spikes, &mut record);
        let v = (0..256).map(|j| record.traces[0].state(j)[0] - 0.055).sum::<f64>() / 256.0;
        assert!((v - 1e-3 * mean / total).abs() < 3e-4, "{rates:?}: {v} {}", 1e-3 * mean / total);
    }
}

#[test]
fn engines_that_cannot_say_so() {
    let net = Net::new(DT).input("in", 1).population("a", 1, LifCond::default()).project("in", "a", Connect::All, Init::Constant(1e-9));
    let net = net.output("a").build(Seed::new(0)).unwrap();
    assert!(matches!(EventDriven::<f64>::compile(&net), Err(EventError::Apart { population, .. }) if population == "a"));
    assert!(matches!(Windowed::<f64>::compile(&net), Err(WindowError::Population { .. })));
}
