//! What freezing keeps, what training touches, and what a path is.

use proptest::prelude::*;
use snn_arch::pathnet::{Learning, Path, PathNet, Shape};
use snn_core::neuron::{Lif, Model, Relu};
use snn_core::{Dataset, Raster, Seed, Trials};
use snn_learn::{Loss, Optimiser, Over, SparseBptt};

const CLASSES: usize = 3;

fn shape(model: impl Into<Model>) -> Shape {
    Shape { dt: 1e-3, inputs: 12, layers: 3, modules: 5, active: 2, width: 6, model: model.into(), tau_out: 1e-9, gain: 1.4 }
}

fn spiking() -> Shape {
    Shape { gain: 4.0, tau_out: 5e-3, ..shape(Lif { tau: 5e-3.into(), ..Lif::default() }) }
}

/// Which third of the channels is the busier.
fn data(count: u64, steps: usize, seed: u64) -> Trials {
    let mut trials = Trials::new("thirds", 12, steps, CLASSES);
    for k in 0..count {
        let (seed, class) = (Seed::new(seed).nth(k), k as usize % CLASSES);
        let busy = |t: usize, i: u32| seed.nth(t as u64).nth(u64::from(i)).value() % 100 < if i as usize / 4 == class { 70 } else { 10 };
        let mut raster = Raster::new(12, steps);
        raster.write(|t, list| list.extend((0..12).filter(|&i| busy(t, i))));
        trials.push(raster, class);
    }
    trials
}

fn learning(optimiser: Optimiser) -> Learning {
    Learning { loss: Loss::CrossEntropy(Over::Mean), optimiser, batch: 16 }
}

fn train(net: &mut PathNet, path: &Path, task: usize, learning: &Learning, data: &Trials) -> f64 {
    net.train(path, task, SparseBptt::default(), learning, data, &(0..data.len()).collect::<Vec<_>>()).unwrap()
}

fn outputs(net: &PathNet, path: &Path, task: usize, learning: &Learning, data: &Trials) -> (u64, usize) {
    let stats = net.evaluate(path, task, SparseBptt::default(), learning, data).unwrap();
    (stats.loss.to_bits(), stats.correct)
}

/// A task's answers are the same to the bit for ever after its path was frozen, whatever other tasks learn, with every optimiser; modules off the path and frozen
/// ones do not move; training goes on from the moments of each module.
#[test]
fn frozen_paths_forget_nothing() {
    for (model, steps, rate) in [(shape(Relu {}), 1, 0.1), (spiking(), 12, 1.0)] {
        for optimiser in [Optimiser::sgd(rate), Optimiser::momentum(0.5 * rate, 0.9), Optimiser::adamw(0.02, 0.1)] {
            let learning = learning(optimiser);
            let (first, second) = (data(120, steps, 1), data(120, steps, 2));
            let mut net = PathNet::new(model.clone(), Seed::new(3)).unwrap();
            let task = net.add_task(CLASSES, Seed::new(4));
            let path = Path(vec![vec![0, 3], vec![1, 2], vec![2, 4]]);
            let before = serde_json::to_value(&net).unwrap();
            let firstly = train(&mut net, &path, task, &learning, &first);
            for _ in 0..20 {
                train(&mut net, &path, task, &learning, &first);
            }
            let now = serde_json::to_value(&net).unwrap();
            for (l, m) in (0..3).flat_map(|l| (0..5).map(move |m| (l, m))) {
                let moved = before["modules"][l][m] != now["modules"][l][m];
                assert_eq!(moved, path.0[l].contains(&m), "module {m} of layer {l}");
            }
            let last = train(&mut net, &path, task, &learning, &first);
            assert!(last > firstly && last > 0.55, "{optimiser:?}: from {firstly} to {last}");
            let kept = outputs(&net, &path, task, &learning, &first);
            net.freeze(&path);
            net.renew(Seed::new(5));
            assert_eq!(net.frozen(), 6);
            let other = net.add_task(CLASSES, Seed::new(6));
            let frozen = serde_json::to_value(&net).unwrap();
            for shared in [path.clone(), Path(vec![vec![0, 1], vec![0, 2], vec![2, 3]])] {
                train(&mut net, &shared, other, &learning, &second);
            }
            let now = serde_json::to_value(&net).unwrap();
            path.0
                .iter()
                .enumerate()
                .for_each(|(l, layer)| layer.iter().for_each(|&m| assert!(frozen["modules"][l][m] == now["modules"][l][m])));
            assert!(frozen["modules"][0][1] != now["modules"][0][1], "the free module of the second path learns");
            assert_eq!(outputs(&net, &path, task, &learning, &first), kept);
            // Saved and read, it goes on to the same bits.
            let mut again: PathNet = serde_json::from_value(now).unwrap();
            let accuracy = train(&mut again, &path, other, &learning, &second);
            assert_eq!((train(&mut net, &path, other, &learning, &second), again), (accuracy, net));
        }
    }
}

/// With every module on the path there is one network, whatever the candidate; its size grows with the path, not with the number of modules.
#[test]
fn all_modules_are_a_plain_network() {
    let full = PathNet::new(Shape { active: 5, ..shape(Relu {}) }, Seed::new(1)).unwrap();
    assert_eq!(full.path(&[0.0; 15]), full.path(&[4.0; 15]));
    let links = |modules: usize| {
        let mut net = PathNet::new(Shape { modules, ..shape(Relu {}) }, Seed::new(1)).unwrap();
        let task = net.add_task(2, Seed::new(2));
        net.network(&net.path(&[1.0; 6]), task).unwrap().links()
    };
    assert_eq!(links(2), links(50));
    assert_eq!(links(2), (12 * 6 + 6) * 2 + (6 * 6 + 6) * 4 + 6 * 2);
}

proptest! {
    /// A path has distinct modules in order; any candidate gives one.
    #[test]
    fn paths_are_distinct(candidate in prop::collection::vec(0.0f64..5.0, 6)) {
        let net = PathNet::new(shape(Relu {}), Seed::new(1)).unwrap();
        let path = net.path(&candidate);
        prop_assert!(path.0.len() == 3 && path.0.iter().all(|l| l.len() == 2 && l[0] < l[1] && l[1] < 5));
        prop_assert_eq!(path.overlap(&path), 6);
        let first = candidate.chunks(2).zip(&path.0).all(|(c, l)| l.contains(&(c[0] as usize)));
        prop_assert!(first);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let bad = |change: fn(&mut Shape)| {
        let mut shape = shape(Relu {});
        change(&mut shape);
        PathNet::new(shape, Seed::new(1)).unwrap_err().to_string()
    };
    assert!(bad(|s| s.active = 6).contains("active = 6"));
    assert!(bad(|s| s.layers = 0).contains("layers = 0"));
    assert!(bad(|s| s.model = snn_core::neuron::Li::default().into()).contains("sends events"));
    let net = PathNet::new(shape(Relu {}), Seed::new(1)).unwrap();
    assert!(net.network(&Path(vec![vec![0]; 3]), 0).unwrap_err().to_string().contains("task = 0"));
    assert!(net.network(&Path(vec![vec![9]; 3]), 0).unwrap_err().to_string().contains("path"));
}
