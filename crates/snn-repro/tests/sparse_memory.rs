//! DEEP R on listed links never takes memory for all pairs: the program's allocator counts.

use snn_core::net::{Connect, Init};
use snn_core::neuron::{Li, Lif};
use snn_core::{Net, Raster, Seed, Trials, ms};
use snn_learn::structure::Budget;
use snn_learn::{DeepR, Loss, Optimiser, Options, Over, SparseBptt, Trainer};
use snn_repro::memory;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

const SIZE: usize = 6000;

#[test]
fn deep_r_takes_memory_for_its_links_only() {
    let mut trials = Trials::new("halves", SIZE, 20, 2);
    for k in 0..16usize {
        let seed = Seed::new(8).nth(k as u64);
        let mut raster = Raster::new(SIZE, 20);
        // One channel in 50 of the class's half, one in 500 of the other.
        let rare = |i: usize| if i / (SIZE / 2) == k % 2 { 50 } else { 500 };
        let fires = |t: u32, i: &usize| seed.nth(u64::from(t)).nth(*i as u64).value().is_multiple_of(rare(*i));
        raster.write(|t, list| list.extend((0..SIZE).filter(|i| fires(t as u32, i)).map(|i| i as u32)));
        trials.push(raster, k % 2);
    }
    let net = Net::new(ms(1.0))
        .input("in", SIZE)
        .population("a", SIZE, Lif::default())
        .population("out", 2, Li::default())
        .project("in", "a", Connect::Random { p: 0.002 }, Init::normal(0.5))
        .project("a", "out", Connect::Random { p: 0.1 }, Init::normal(0.1))
        .output("out")
        .build(Seed::new(1))
        .unwrap();
    let dense = 4 * SIZE * SIZE; // one matrix of f32
    for (budget, optimiser) in [(Budget::Each, Optimiser::sgd(0.5)), (Budget::Total, Optimiser::adam(1e-2))] {
        memory::reset_peak();
        let before = memory::current();
        let options = Options { batch: 8, ..Options::new(Loss::CrossEntropy(Over::Max), Seed::new(1)) };
        let rule = DeepR { budget, temperature: 1e-6, ..DeepR::new(1e-2) };
        let mut trainer = Trainer::new(&net, SparseBptt::default(), optimiser, options).unwrap().with_structure(rule).unwrap();
        let mut pruned = 0;
        for _ in 0..3 {
            pruned += trainer.epoch(&trials, &|_| ()).unwrap().turnover[0].pruned;
            // A save and a restart, too.
            let saved = trainer.checkpoint();
            trainer.restore(&saved).unwrap();
        }
        assert!(pruned > 100, "{pruned} links replaced");
        let taken = memory::peak() - before;
        assert!(taken > 0 && taken < dense / 4, "{taken} bytes at a time; a matrix has {dense}");
    }
}
