//! What does one event cost in each synapse store, and one active entry?
//!
//! A block of 64 targets with 700 sources; 10 events or entries a call, as in a step of the papers' networks.
#![allow(missing_docs)] // `criterion_group!` makes an undocumented function

use criterion::{Criterion, criterion_group, criterion_main};
use snn_core::net::{Connect, Init};
use snn_core::neuron::Lif;
use snn_core::{Net, Seed, ms};
use snn_sparse::lanes::{Isa, Kernel};
use snn_sparse::{Block, Clocked, Simd, Store, Synapses};
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

criterion_group!(benches, kernels);
criterion_main!(benches);
