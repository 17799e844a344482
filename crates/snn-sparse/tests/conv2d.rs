//! Windows over images: PyTorch's numbers through the whole engine, and a rewired projection described again.

use snn_core::net::{Connect, Conv2d, Init, Links, SumPool2d};
use snn_core::neuron::Li;
use snn_core::{Net, Network, Raster, Seed, ms};
use snn_sparse::lanes::{Portable, blocks, flat};
use snn_sparse::store::{Rewire, RewireError, Rewiring};
use snn_sparse::{Block, Clocked, LANES, Record, Synapses, Wants};

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
        let mut record = Record::new(&engine);
        engine.run(&[&raster], Wants::Spikes, &mut record);
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
    engine.rewire(0, &[Rewire { slot: 0, from: 2, to: 1 }], &mut work).unwrap();
    let described = engine.describe().unwrap();
    assert_eq!(described.draft().projections[0].links, Links::Csr { ends: vec![0, 0, 1, 3], targets: vec![1, 1, 2] });
    assert_eq!(described.draft().projections[0].weights.given(), [2.0, 0.0, 3.0]);
    // What is compiled from the description is the engine.
    let again = Clocked::<f32>::compile(&described);
    assert_eq!((engine.matrix(0), engine.weights()), (again.matrix(0), again.weights()));
    assert_eq!(again.describe().unwrap(), described);

    for (connect, delay) in [(Connect::All, 0.0), (Connect::OneToOne, 2.0)] {
        let net = Net::new(ms(1.0)).input("in", 3).population("out", 3, Li::default());
        let net = net.project("in", "out", connect, Init::Constant(1.0)).delays(ms(delay), ms(delay)).output("out").build(Seed::new(0));
        let mut engine = Clocked::<f32>::compile(&net.unwrap());
        let error = engine.rewire(0, &[], &mut work).unwrap_err();
        assert!(matches!(&error, RewireError::Links { from, to } if from == "in" && to == "out"), "{error}");
    }
}
