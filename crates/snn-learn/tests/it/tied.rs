//! Weights tied to others: an output layer that is the embedding.

use crate::common::{distance, random_events};
use proptest::prelude::*;
use snn_core::net::{Connect, Draft, Init};
use snn_core::neuron::{Egru, Gru, Li, Lif, Linear, Model};
use snn_core::{Net, Network, Seed, Surrogate, Trials};
use snn_learn::{Bptt, DeepR, Eprop, Gradients, Job, Loss, Optimiser, Options, Over, Regulariser, Rule, SparseBptt, Trainer};
use snn_sparse::lanes::flat_mut;
use snn_sparse::{Clocked, Synapses};

const LOSS: Loss = Loss::CrossEntropy(Over::Sum);
const WIDE: Surrogate = Surrogate::triangle(0.7, 1.0);
/// The projections of [`language`]: the embedding and the head.
const EMBEDDING: usize = 0;
const HEAD: usize = 4;

/// Words → embedding → gated units, as many → words, the last weights being the first, transposed.
fn language(words: usize, size: usize, cell: impl Into<Model>, tied: bool, seed: u64) -> Network {
    let net = Net::new(1.0).input("words", words).population("embedding", size, Linear::default()).population("hidden", size, cell);
    let mut net = net.project("words", "embedding", Connect::All, Init::normal(0.7));
    for (from, port, late) in [("embedding", "z", 0.0), ("embedding", "g", 0.0), ("hidden", "h", 1.0)] {
        net = net.project(from, "hidden", Connect::All, Init::normal(0.6)).port(port).delay(late);
    }
    let net = net.population("out", words, Li { tau: 1e-9.into() }).train(&["current"]);
    let net = net.project("hidden", "out", Connect::All, Init::normal(0.5));
    let net = if tied { net.tied("words", "embedding") } else { net };
    net.output("out").build(Seed::new(seed)).unwrap()
}

fn egru() -> Egru {
    Egru { threshold: 0.05.into(), ..Egru::default() }
}

fn trials(words: usize, seed: u64) -> Trials {
    let mut trials = Trials::new("random", words, 6, words);
    (0..4).for_each(|k| trials.push(random_events(words, 6, false, &mut Seed::new(seed).nth(k).rng()), k as usize % words));
    trials
}

fn transposed(list: &[f32], rows: usize) -> Vec<f32> {
    let columns = list.len() / rows;
    (0..list.len()).map(|k| list[k % rows * columns + k / rows]).collect()
}

fn gradients<F: snn_learn::gemm::Field>(engine: &Clocked<F>, rule: &dyn Rule<F>, data: &Trials) -> (Gradients<F>, f64) {
    rule.check(engine).unwrap();
    let job = Job { engine, data, loss: LOSS, regulariser: Regulariser::NONE, scale: 1.0, updates: 0, rates: &[] };
    let mut gradients = Gradients::zero(engine);
    let stats = rule.worker(engine).learn(&job, &[0, 1, 2, 3], &mut gradients);
    (gradients, stats.loss)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The gradient is the sum of the two that untied projections of equal weights have; under both rules.
    #[test]
    fn the_gradient_is_the_sum_of_both(words in 2usize..80, size in 1usize..70, seed in any::<u64>(), dense in any::<bool>()) {
        let net = language(words, size, egru(), true, seed);
        let mut draft = Draft::from(net.clone());
        draft.projections[HEAD].tied = None;
        draft.projections[HEAD].weights = net.draft().projections[HEAD].weights.clone();
        let apart: Network = draft.try_into().unwrap();
        let rule: Box<dyn Rule<f64>> = if dense { Box::new(Bptt::new(WIDE)) } else { Box::new(SparseBptt { surrogate: WIDE }) };
        let (one, two) = (Clocked::<f64>::compile(&net), Clocked::<f64>::compile(&apart));
        let data = trials(words, seed);
        let ((mut tied, a), (untied, b)) = (gradients(&one, &*rule, &data), gradients(&two, &*rule, &data));
        prop_assert_eq!(a, b);
        tied.tie(&one);
        let (tied, mut expected) = (tied.in_order(&one), untied.in_order(&two));
        let head = std::mem::take(&mut expected[HEAD]);
        for (k, g) in head.iter().enumerate() {
            expected[EMBEDDING][k % words * size + k / words] += g;
        }
        expected[HEAD] = vec![0.0; head.len()];
        prop_assert!(distance(&tied, &expected) < 1e-12, "{:e}", distance(&tied, &expected));
    }
}

/// By finite differences, of one number that stands in two places.
#[test]
fn the_gradient_is_exact() {
    let (words, size) = (4, 3);
    let net = language(words, size, Gru::default(), true, 5);
    let (mut engine, data) = (Clocked::<f64>::compile(&net), trials(words, 2));
    let rule = Bptt::new(WIDE);
    let (mut exact, _) = gradients(&engine, &rule, &data);
    exact.tie(&engine);
    let exact = exact.in_order(&engine)[EMBEDDING].clone();
    let numeric: Vec<f64> = (0..words * size)
        .map(|k| {
            let mut at = |by: f64| {
                let store = &mut engine.links_mut()[EMBEDDING].store;
                let slot = store.slots()[k];
                flat_mut(store.weights_mut())[slot] += by;
                engine.tie();
                let loss = gradients(&engine, &rule, &data).1;
                flat_mut(engine.links_mut()[EMBEDDING].store.weights_mut())[slot] -= by;
                loss
            };
            let h = 1e-3;
            (8.0 * (at(h) - at(-h)) - at(2.0 * h) + at(-2.0 * h)) / (12.0 * h)
        })
        .collect();
    let (exact, numeric) = ([exact], [numeric]);
    assert!(distance(&exact, &numeric) < 1e-9, "{exact:?} {numeric:?}");
}

/// Training keeps them one, decays them once, and goes on after a restart; the head of a file has no list of its own.
#[test]
fn training_and_files_keep_them_one() {
    let (words, size) = (70, 20);
    let net = language(words, size, egru(), true, 3);
    let data = trials(words, 9);
    let options = Options { batch: 2, ..Options::new(LOSS, Seed::new(1)) };
    let new = || Trainer::new(&net, SparseBptt { surrogate: WIDE }, Optimiser::adamw(1e-2, 0.1), options).unwrap();
    let mut trainer = new();
    (0..3).for_each(|_| drop(trainer.epoch(&data, &|_| ()).unwrap()));
    let weights = trainer.engine().weights();
    assert_eq!(weights[HEAD], transposed(&weights[EMBEDDING], words));
    assert_ne!(weights[HEAD], net.draft().projections[HEAD].weights.given());
    let learned = trainer.network().unwrap();
    let text = serde_json::to_string(&learned).unwrap();
    let file: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&file["projections"][HEAD]["tied"], file["projections"][HEAD].get("weights")), (&EMBEDDING.into(), None));
    assert_eq!(serde_json::from_str::<Network>(&text).unwrap(), learned);
    let mut again = new();
    again.restore(&trainer.checkpoint()).unwrap();
    assert_eq!(again.network().unwrap(), learned);
    assert_eq!(
        trainer.evaluate(&data).unwrap().loss,
        Trainer::new(&learned, SparseBptt { surrogate: WIDE }, Optimiser::adam(1e-2), options).unwrap().evaluate(&data).unwrap().loss
    );
    // Set from outside, the head follows.
    let mut engine = Clocked::<f32>::compile(&net);
    engine.set_weights(EMBEDDING, &weights[EMBEDDING]);
    assert_eq!(engine.weights()[HEAD], weights[HEAD]);
}

#[test]
fn impossible_ties_are_named() {
    let draft = || Draft::from(language(5, 3, egru(), true, 1));
    let error = |change: &dyn Fn(&mut Draft)| {
        let mut draft = draft();
        change(&mut draft);
        Network::try_from(draft).unwrap_err().to_string()
    };
    let has = |text: String, word: &str| assert!(text.contains(word), "{text} lacks {word}");
    has(error(&|d| d.projections[HEAD].tied = Some(9)), "`hidden` -> `out`: tied to projection 9; name another one, there are 5");
    has(error(&|d| d.projections[HEAD].tied = Some(HEAD)), "tied to projection 4; name another one");
    has(error(&|d| d.projections[HEAD].tied = Some(1)), "3 × 5 weights tied to the 3 × 3 of `embedding` -> `hidden`, transposed");
    has(error(&|d| d.projections[HEAD].fixed = true), "both must be `fixed`");
    has(error(&|d| d.projections[1].tied = Some(HEAD)), "whose weights are themselves another's");
    has(error(&|d| d.projections[HEAD].weights = vec![0.5; 15].into()), "its weights are not those of `words` -> `embedding`, transposed");
    has(error(&|d| d.projections[HEAD].delay = vec![0.0; 15].into()), "both must reach everybody, with one delay");
    let net = |from: &str, to: &str| {
        let net = Net::new(1.0).input("in", 2).population("a", 3, Lif::default()).population("out", 2, Li::default());
        let net = net.project("in", "a", Connect::All, Init::normal(1.0)).project("a", "a", Connect::All, Init::normal(1.0)).delay(1.0);
        let net = net.project("in", "a", Connect::All, Init::normal(1.0)).project("a", "out", Connect::All, Init::normal(1.0));
        net.tied(from, to).output("out").build(Seed::new(1)).unwrap_err().to_string()
    };
    has(net("in", "out"), "tied to `in` -> `out`, which does not exist");
    has(net("in", "a"), "tied to `in` -> `a`, of which there are several");
}

#[test]
fn who_cannot_keep_two_as_one_says_so() {
    let net = Net::new(1e-3).input("in", 4).population("a", 3, Lif::default()).population("out", 4, Li::default());
    let net = net
        .project("in", "a", Connect::All, Init::normal(1.0))
        .project("a", "a", Connect::Random { p: 0.5 }, Init::normal(1.0))
        .delay(1e-3);
    let net = net.project("a", "out", Connect::All, Init::normal(1.0)).tied("in", "a").output("out").build(Seed::new(1)).unwrap();
    let options = Options::new(LOSS, Seed::new(1));
    let has = |text: String, word: &str| assert!(text.contains("`a` -> `out`") && text.contains(word), "{text} lacks {word}");
    has(Trainer::new(&net, Eprop::default(), Optimiser::adam(1e-2), options).err().unwrap().to_string(), "take bptt or sparse_bptt");
    let new = || Trainer::new(&net, SparseBptt::default(), Optimiser::adam(1e-2), options).unwrap();
    has(new().with_structure(DeepR::new(1e-3)).err().unwrap().to_string(), "structural rule `deep_r`");
    has(
        new().with_device(Box::new(snn_sparse::Ideal::new(&net)), None).err().unwrap().to_string(),
        "a device in the loop holds those of each",
    );
    assert!(new().epoch(&trials(4, 1), &|_| ()).is_ok());
}
