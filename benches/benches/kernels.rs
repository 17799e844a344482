//! What does one event cost in each synapse store, and one active entry?
//!
//! A block of 64 targets with 700 sources; 10 events or entries a call, as in a step of the papers' networks. Then a whole step of a
//! convolution of 2 × 34 × 34 event-camera pixels, 2 % of them with an event, against its unrolled matrix.
#![allow(missing_docs)] // `criterion_group!` makes an undocumented function

use criterion::{Criterion, criterion_group, criterion_main};
use snn_core::net::{Connect, Conv2d, Init, Links, Projection};
use snn_core::neuron::Lif;
use snn_core::{Net, Seed, ms};
use snn_sparse::lanes::{Isa, Kernel};
use snn_sparse::{Block, Clocked, LANES, Simd, Store, Synapses};
use std::hint::black_box;

fn store(connect: Connect) -> Store<f32> {
    let net =
        Net::new(ms(1.0)).input("in", 700).population("a", 64, Lif::default()).project("in", "a", connect, Init::normal(0.1)).output("a");
    let net = net.build(Seed::new(1)).unwrap_or_else(|e| panic!("the bench's own network: {e}"));
    Clocked::<f32>::compile(&net).links()[0].store.clone()
}

struct Step<'a> {
    store: &'a Store<f32>,
    units: &'a [u32],
    gradient: &'a mut [Block<f32>],
    what: u8,
}

impl Kernel for Step<'_> {
    type Number = f32;
    type Out = f32;

    #[inline(always)]
    fn run<I: Isa>(self) -> f32 {
        let delta = Block::splat(0.5);
        match self.what {
            0 => self.store.deliver::<I>(0, self.units, Block::zero())[0],
            1 => self.units.iter().map(|&i| self.store.pull_back::<I>(0, i, &delta)).sum(),
            _ => {
                self.units.iter().for_each(|&i| self.store.correlate(0, i as usize, &[0], &[delta], self.gradient));
                0.0
            }
        }
    }
}

fn kernels(criterion: &mut Criterion) {
    let units: Vec<u32> = (0..10).map(|k| (k * 67) % 700).collect();
    for (name, connect) in [("dense", Connect::All), ("csr 10 %", Connect::Random { p: 0.1 })] {
        let store = store(connect);
        let mut gradient = vec![Block::zero(); store.weights().len()];
        for (what, kernel) in ["deliver", "pull back", "correlate"].into_iter().enumerate() {
            criterion.bench_function(&format!("{kernel}, {name}, 10 units"), |b| {
                b.iter(|| {
                    black_box(Simd::detect().run(Step {
                        store: &store,
                        units: black_box(&units),
                        gradient: &mut gradient,
                        what: what as u8,
                    }))
                })
            });
        }
    }
}

/// All blocks of one step.
struct Sweep<'a> {
    store: &'a Store<f32>,
    events: &'a [u32],
    heard: &'a mut [Block<f32>],
}

impl Kernel for Sweep<'_> {
    type Number = f32;
    type Out = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        for (b, heard) in self.heard.iter_mut().enumerate() {
            *heard = self.store.deliver::<I>(b, self.events, Block::zero());
        }
    }
}

fn windows(criterion: &mut Criterion) {
    let conv = Conv2d::new(2, 34, 34, 16, (5, 5)).stride((2, 2));
    let (n, m) = (conv.sources(), conv.targets());
    let kernel: Vec<f32> = (0..conv.weights()).map(|k| (k as f32).sin()).collect();
    let triplets: Vec<_> = (0..n).flat_map(|i| conv.fan_out(i).map(move |(j, k)| (i, j, k))).collect();
    let ends = (0..=n).map(|i| triplets.partition_point(|link| link.0 < i) as u32).collect();
    let unrolled = Links::Csr { ends, targets: triplets.iter().map(|link| link.1 as u32).collect() };
    let weights = triplets.iter().map(|link| kernel[link.2]).collect();
    let events: Vec<u32> = (0..n as u32).filter(|i| i.wrapping_mul(2654435761) >> 16 < 1311).collect();
    for (name, links, weights) in [("conv2d", Links::Conv2d(conv), kernel), ("csr", unrolled, weights)] {
        let projection = Projection {
            from: "in".into(),
            to: "a".into(),
            port: None,
            delay: 0.0.into(),
            fixed: false,
            tied: None,
            links,
            weights: weights.into(),
        };
        let store = Store::new(&projection, n, m);
        let mut heard = vec![Block::zero(); m.div_ceil(LANES)];
        criterion.bench_function(&format!("deliver, {name} 2x34x34 -> 16x15x15, {} events", events.len()), |b| {
            b.iter(|| Simd::detect().run(Sweep { store: &store, events: black_box(&events), heard: &mut heard }))
        });
    }
}

criterion_group!(benches, kernels, windows);
criterion_main!(benches);
