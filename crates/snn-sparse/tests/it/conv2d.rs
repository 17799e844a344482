//! Windows over images: PyTorch's numbers through the whole engine, and a rewired projection described again.

use snn_core::net::{Connect, Conv2d, Init, Links, SumPool2d};
use snn_core::neuron::Li;
use snn_core::{Net, Network, Raster, Seed, ms};
use snn_sparse::lanes::{Portable, blocks, flat};
use snn_sparse::store::{RewireError, Rewiring};
use snn_sparse::{Block, Clocked, LANES, Synapses, Wants};

/// Numbers of `golden/conv2d.txt`, made by PyTorch: see `golden/conv2d.py` for the rules of inputs, weights and errors.
fn golden(name: &str, what: &str) -> Vec<f64> {
    let line = include_str!("golden/conv2d.txt").lines().find_map(|line| line.strip_prefix(&format!("{name} {what} ")));
    line.unwrap().split(' ').map(|x| x.parse().unwrap()).collect()
}

fn network(connect: Connect, n: usize, m: usize) -> Network {
    let net = Net::new(ms(1.0)).input("in", n).population("out", m, Li { tau: 1e-9.into() }); // no memory: the output is the input
    net.project("in", "out", connect, Init::Constant(1.0)).output("out").build(Seed::new(0)).unwrap()
}

#[test]
fn pytorch_gives_the_same_numbers() {
    let dilated = Conv2d::new(2, 5, 6, 3, (3, 2)).stride((2, 1)).padding((1, 0)).dilation((1, 2));
    let grouped = Conv2d::new(4, 4, 5, 6, (2, 3)).stride((1, 2)).padding((0, 1)).groups(2);
    let pool = SumPool2d::new(2, 5, 4, (3, 2)).stride((2, 1)).padding((1, 1));
    for (name, connect, n, m) in [
        ("dilated", Connect::Conv2d(dilated), dilated.sources(), dilated.targets()),
        ("grouped", Connect::Conv2d(grouped), grouped.sources(), grouped.targets()),
        ("pool", Connect::SumPool2d(pool), pool.sources(), pool.targets()),
    ] {
        let mut net = network(connect, n, m);
        let count = net.draft().projections[0].links.weights(n, m);
        if name != "pool" {
            net = net.with_weights(vec![(0..count).map(|k| (37 * k % 23) as f32 - 11.0).collect()]).unwrap();
        }
        let engine = Clocked::<f32>::compile(&net);
        let events: Vec<u32> = (0..n as u32).filter(|i| (7 * i * i + 3 * i) % 11 < 4).collect();
        let mut raster = Raster::new(n, 1);
        raster.fill(events.iter().map(|&i| (0, i)));
        let record = engine.record(&[&raster], Wants::Spikes);
        let output: Vec<f64> = record.traces[0].array().iter().map(|&y| f64::from(y)).collect();
        assert_eq!(output, golden(name, "output"), "{name}");

        let store = &engine.links()[0].store;
        let (mut back, mut gradient) = (vec![0.0; n], vec![Block::zero(); store.weights().len()]);
        for b in 0..blocks(m) {
            let error = |j: usize| if j < m { (29 * j % 13) as f32 - 6.0 } else { 0.0 };
            let delta = Block(std::array::from_fn(|l| error(b * LANES + l)));
            (0..n).for_each(|i| back[i] += f64::from(store.pull_back::<Portable>(b, i as u32, &delta)));
            events.iter().for_each(|&i| store.correlate(b, i as usize, &[0], &[delta], &mut gradient));
        }
        assert_eq!(back, golden(name, "back"), "{name}");
        if name == "pool" {
            assert!(flat(&gradient).iter().all(|&g| g == 0.0), "the weight of a pool is not learned");
        } else {
            let gradient: Vec<f64> = store.in_order(&gradient).into_iter().map(f64::from).collect();
            assert_eq!(gradient, golden(name, "gradient"), "{name}");
        }
    }
}

#[test]
fn a_rewired_engine_describes_itself() {
    let net = network(Connect::OneToOne, 3, 3);
    let mut engine = Clocked::<f32>::compile(&net.with_weights(vec![vec![1.0, 2.0, 3.0]]).unwrap());
    let mut work = Rewiring::default();
    engine.relink(0, [0], [(2, 1)], &mut work).unwrap();
    let described = engine.describe().unwrap();
    assert_eq!(described.draft().projections[0].links, Links::Csr { ends: vec![0, 0, 1, 3], targets: vec![1, 1, 2] });
    assert_eq!(described.draft().projections[0].weights.given(), [2.0, 0.0, 3.0]);
    // What is compiled from the description is the engine.
    let again = Clocked::<f32>::compile(&described);
    assert_eq!((engine.matrix(0), engine.weights()), (again.matrix(0), again.weights()));
    assert_eq!(again.describe().unwrap(), described);

    let net = self::network(Connect::All, 3, 3);
    let error = Clocked::<f32>::compile(&net).relink(0, [], [], &mut work).unwrap_err();
    assert!(matches!(&error, RewireError::Links { from, to } if from == "in" && to == "out"), "{error}");
}

#[test]
fn links_with_delays_of_their_own_are_rewired_and_described() {
    let net = Net::new(ms(1.0))
        .input("in", 3)
        .population("out", 3, Li::default())
        .project("in", "out", Connect::OneToOne, Init::Constant(1.0))
        .delay(vec![ms(2.0), ms(1.0), ms(2.0)])
        .output("out");
    let net = net.build(Seed::new(0)).unwrap().with_weights(vec![vec![1.0, 2.0, 3.0]]).unwrap();
    let mut engine = Clocked::<f32>::compile(&net); // links()[0]: 1 -> 1 after 1 step; [1]: 0 -> 0 and 2 -> 2 after 2
    assert_eq!(engine.describe().unwrap(), net);
    let mut work = Rewiring::default();
    engine.relink(1, [1], [(0, 2)], &mut work).unwrap(); // 2 -> 2 becomes 0 -> 2, of the same delay
    let described = engine.describe().unwrap();
    let p = &described.draft().projections[0];
    assert_eq!(p.links, Links::Csr { ends: vec![0, 2, 3, 3], targets: vec![0, 2, 1] });
    assert_eq!((p.weights.given(), p.delay.given()), (&[1.0, 0.0, 2.0][..], &[ms(2.0), ms(2.0), ms(1.0)][..]));
    let again = Clocked::<f32>::compile(&described);
    assert_eq!((engine.weights(), again.describe().unwrap()), (again.weights(), described));
    // A pair has one link, whatever its delay; from one list to another it goes in two steps.
    let taken = engine.relink(0, [0], [(0, 2)], &mut work).unwrap_err();
    assert_eq!(taken, RewireError::Exists { from: 0, to: 2 });
    engine.relink(1, [1], [], &mut work).unwrap();
    engine.relink(0, [], [(0, 2)], &mut work).unwrap();
    let p = engine.describe().unwrap().draft().projections[0].clone();
    assert_eq!(p.delay.given(), &[ms(2.0), ms(1.0), ms(1.0)]);
    assert_eq!((engine.relinked(), engine.links()[0].subset.as_deref()), (3, Some(&[1, 2][..])));
}
