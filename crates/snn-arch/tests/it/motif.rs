//! A layer of motifs in a network: its gradient through the engine, turns, bits, and what is refused.

use snn_arch::motif::{Architecture, Motifs, Search, SpikL, Turns};
use snn_core::net::{Connect, Init};
use snn_core::neuron::{Li, LifPsc, Model, Relu};
use snn_core::{Dataset, Net, Network, Raster, Seed, Surrogate, Trials, Value, ms};
use snn_learn::{Bptt, Gradients, Job, Loss, Optimiser, Options, Over, Regulariser, Rule, Trainer, TsslBp};
use snn_sparse::Clocked;

const UNITS: usize = 12;

fn space() -> Motifs {
    Motifs::new(UNITS, &[2, 3]).unwrap()
}

/// A population whose own links are those of the space, with weights `w`.
fn network(model: impl Into<Model>, w: &[f64]) -> Network {
    let model = model.into();
    let psc = model.name() == "lif_psc";
    let out: Model = if psc { model.clone() } else { Li::default().into() };
    let mut net = Net::new(ms(1.0)).input("in", 10).population("hidden", UNITS, model);
    if psc {
        net = net.train(&["tau", "resistance"]);
    }
    let net = net
        .population("out", 2, out)
        .project("in", "hidden", Connect::All, Init::uniform(0.8))
        .project("hidden", "hidden", Connect::All, Init::Constant(0.0))
        .delay(ms(1.0))
        .project("hidden", "out", Connect::All, Init::uniform(0.8))
        .output("out")
        .build(Seed::new(1))
        .unwrap();
    let mut draft = net.draft().clone();
    draft.projections[1].links = space().description();
    draft.projections[1].weights = Value::Each(w.iter().map(|&w| w as f32).collect());
    draft.try_into().unwrap()
}

fn data(count: u64) -> Trials {
    let mut trials = Trials::new("halves", 10, 20, 2);
    for k in 0..count {
        let seed = Seed::new(2).nth(k);
        let mut raster = Raster::new(10, 20);
        let fires =
            |t: usize, i: u32| seed.nth(t as u64).nth(u64::from(i)).value() % 10 < if i as usize / 5 == k as usize % 2 { 5 } else { 1 };
        raster.write(|t, list| list.extend((0..10).filter(|&i| fires(t, i))));
        trials.push(raster, k as usize % 2);
    }
    trials
}

fn weights(seed: u64) -> Vec<f64> {
    (0..space().links()).map(|k| 0.1 + (Seed::new(seed).nth(k as u64).value() % 1000) as f64 / 4000.0).collect()
}

fn any(seed: u64) -> Architecture {
    let list: Vec<f64> = (0..space().logits()).map(|k| (Seed::new(seed).nth(k as u64).value() % 1000) as f64 / 500.0 - 1.0).collect();
    Architecture::from_flat(&space(), &list).unwrap()
}

/// The architecture's gradient through a whole network of rectified units, whose loss has a derivative: finite differences in f64.
#[test]
fn gradients_of_the_architecture_through_a_network() {
    let (space, w, at, data) = (space(), weights(3), any(4), data(4));
    // f32 weights in the description: both sides see the same numbers.
    let loss = |at: &Architecture| {
        let engine = engine(&network(Relu {}, &space.effective(&w, at)), &space.effective(&w, at));
        gradient(&engine, &data).1
    };
    let effective = space.effective(&w, &at);
    let (by_weight, _) = gradient(&engine(&network(Relu {}, &effective), &effective), &data);
    let (_, by_logit) = space.back(&w, &at, &by_weight);
    let (flat, found) = (at.flat(), by_logit.flat());
    let size = found.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    for k in 0..flat.len() {
        let moved = |h: f64| {
            loss(
                &Architecture::from_flat(
                    &space,
                    &flat.iter().enumerate().map(|(j, x)| if j == k { x + h } else { *x }).collect::<Vec<_>>(),
                )
                .unwrap(),
            )
        };
        let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        assert!((expected - found[k]).abs() < 1e-6 * size.max(1.0), "{k}: {} for {expected}", found[k]);
    }
}

/// With weights of 64 bits in the list of the motifs.
fn engine(network: &Network, effective: &[f64]) -> Clocked<f64> {
    let mut engine = Clocked::<f64>::compile(network);
    let k = (0..engine.links().len()).find(|&k| engine.links()[k].projection == 1).unwrap();
    let slots = snn_sparse::Synapses::slots(&engine.links()[k].store);
    let into = snn_sparse::lanes::flat_mut(snn_sparse::Synapses::weights_mut(&mut engine.links_mut()[k].store));
    slots.iter().zip(effective).for_each(|(&slot, w)| into[slot] = *w);
    engine
}

/// Of the motifs' weights, and the loss.
fn gradient(engine: &Clocked<f64>, data: &Trials) -> (Vec<f64>, f64) {
    let job =
        Job { engine, data, loss: Loss::CrossEntropy(Over::Mean), regulariser: Regulariser::NONE, scale: 1.0, updates: 0, rates: &[] };
    let mut gradients = Gradients::zero(engine);
    let stats = Rule::<f64>::worker(&Bptt::new(Surrogate::triangle(0.3, 1.0)), engine).learn(
        &job,
        &(0..data.len()).collect::<Vec<_>>(),
        &mut gradients,
    );
    (gradients.in_order(engine)[1].clone(), stats.loss)
}

fn search(turns: Turns) -> Search {
    Search { space: space(), population: "hidden".into(), start: Architecture::uniform(&space()), turns, optimiser: Optimiser::adam(0.05) }
}

fn trainer(turns: Turns) -> Trainer {
    let options = Options { batch: 10, ..Options::new(Loss::Count { correct: 5.0, wrong: 1.0, margin: 0.0 }, Seed::new(5)) };
    let psc = LifPsc { tau: ms(5.0).into(), resistance: 5.0.into(), ..LifPsc::default() };
    let trainer = Trainer::new(&network(psc, &weights(6)), TsslBp::default(), Optimiser::adam(5e-3), options).unwrap();
    let trainer = trainer.with_rate("hidden", "tau", 0.0).unwrap().with_rate("hidden", "resistance", 0.0).unwrap();
    trainer.with_structure(search(turns)).unwrap()
}

/// In its turn only the architecture moves, in theirs only the weights; stopped and read again it goes on to the same bits.
#[test]
fn turns_and_bits() {
    let data = data(40);
    let trials: Vec<usize> = (0..20).collect();
    let (mut one, rule) = (trainer(Turns::Both), search(Turns::Both));
    let at = |trainer: &Trainer| rule.architecture(&trainer.checkpoint().structure.unwrap().1).unwrap();
    let others = |trainer: &Trainer| [0, 2].map(|k| trainer.network().unwrap().draft().projections[k].weights.clone());
    let latent = |trainer: &Trainer| trainer.checkpoint().structure.unwrap().1.strength[0].clone();
    for round in 0..6 {
        let before = (at(&one), others(&one), latent(&one));
        one.step(&data, &trials).unwrap();
        let now = (at(&one), others(&one), latent(&one));
        let architecture = round % 2 == 0;
        assert_eq!((now.0 != before.0, now.1 != before.1, now.2 != before.2), (architecture, !architecture, !architecture), "{round}");
        let saved = one.checkpoint();
        let mut again = trainer(Turns::Both);
        again.restore(&saved).unwrap();
        assert_eq!(again.checkpoint(), saved);
        one = again;
    }
    // What the network runs with is what the space says of both.
    let list: Vec<f64> = one
        .engine()
        .links()
        .iter()
        .filter(|l| l.projection == 1)
        .flat_map(|l| {
            let flat = snn_sparse::lanes::flat(snn_sparse::Synapses::weights(&l.store)).to_vec();
            snn_sparse::Synapses::slots(&l.store).into_iter().map(move |slot| f64::from(flat[slot])).collect::<Vec<_>>()
        })
        .collect();
    let slots: Vec<usize> =
        one.engine().links().iter().filter(|l| l.projection == 1).flat_map(|l| snn_sparse::Synapses::slots(&l.store)).collect();
    let w: Vec<f64> = slots.iter().map(|&slot| f64::from(latent(&one)[slot])).collect();
    let expected = space().effective(&w, &at(&one));
    assert!(list.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6));
    let mut fixed = trainer(Turns::Weights);
    let before = at(&fixed);
    (0..4).for_each(|_| assert!(fixed.step(&data, &trials).unwrap().loss.is_finite()));
    assert_eq!(at(&fixed), before);
}

/// Rates that are too high fall, and neurons that are silent get more current.
#[test]
fn intrinsic_plasticity_moves_neurons() {
    let data = data(20);
    let trials: Vec<usize> = (0..20).collect();
    let mut trainer = trainer(Turns::Weights);
    let before = trainer.network().unwrap();
    let rule = SpikL { speed: 20.0, ..SpikL::new(5.0, 5.0) };
    (0..5).for_each(|_| rule.apply(&mut trainer, "hidden", &data, &trials).unwrap());
    let after = trainer.network().unwrap();
    assert_ne!(before.draft().populations[0].model, after.draft().populations[0].model);
    assert_eq!(before.draft().projections, {
        let mut draft = after.draft().clone();
        draft.projections.iter_mut().zip(&before.draft().projections).for_each(|(p, q)| {
            if p.weights.given().iter().zip(q.weights.given()).all(|(a, b)| a == b) {
                p.weights = q.weights.clone()
            }
        });
        draft.projections
    });
    assert!(rule.apply(&mut trainer, "out", &data, &trials).unwrap_err().to_string().contains("learns"));
}

#[test]
fn what_does_not_fit_is_refused() {
    let psc = || LifPsc::default();
    let other = Net::new(ms(1.0)).input("in", 10).population("hidden", UNITS, psc()).population("out", 2, psc());
    let other = other
        .project("in", "hidden", Connect::All, Init::uniform(0.5))
        .project("hidden", "out", Connect::All, Init::uniform(0.5))
        .output("out");
    let refused = |net: Net| {
        let options = Options::new(Loss::Count { correct: 5.0, wrong: 1.0, margin: 0.0 }, Seed::new(5));
        let trainer = Trainer::new(&net.build(Seed::new(1)).unwrap(), TsslBp::default(), Optimiser::adam(5e-3), options).unwrap();
        trainer.with_structure(search(Turns::Both)).err().unwrap().to_string()
    };
    assert!(refused(other.clone()).contains("no projection"));
    let dense = other.project("hidden", "hidden", Connect::All, Init::uniform(0.1)).delay(ms(1.0));
    assert!(refused(dense).contains("Motifs::description"));
}
