//! Parameters of neurons that are learned: their gradients are exact, in both rules that have them, and an update keeps them where they may lie.

use crate::common::{Case, REGULARISER, any_model, case, distance, surrogate};
use crate::stripes::stripes;
use proptest::prelude::*;
use snn_core::net::{Connect, Draft, Init};
use snn_core::neuron::{Li, Lif, Model, Range, with_params};
use snn_core::{Net, Network, Seed, Surrogate, Trials, Value, ms};
use snn_learn::{Bptt, Eprop, Gradients, Job, Loss, Optimiser, Options, Over, Rule, SparseBptt, Stats, Trainer};
use snn_sparse::lanes::flat_mut;
use snn_sparse::{Clocked, Ideal};

const LOSS: Loss = Loss::CrossEntropy(Over::Sum);

/// The network, all of whose populations learn all they can.
fn learning(net: Network) -> Network {
    let mut draft = Draft::from(net);
    for p in &mut draft.populations {
        p.train = p.learnable().into_iter().map(|(name, ..)| name.into()).collect();
    }
    draft.try_into().unwrap()
}

/// Gradients by parameters and by weights, and what was counted.
fn gradient(engine: &Clocked<f64>, rule: &dyn Rule<f64>, data: &Trials) -> (Vec<Vec<f64>>, Vec<Vec<f64>>, Stats) {
    rule.check(engine).unwrap();
    let job = Job { engine, data, loss: LOSS, regulariser: REGULARISER, scale: 0.5, updates: 0, rates: &[] };
    let mut gradients = Gradients::zero(engine);
    let trials: Vec<usize> = (0..snn_core::Dataset::len(data)).collect();
    let stats = rule.worker(engine).learn(&job, &trials, &mut gradients);
    (gradients.of_parameters(engine), gradients.in_order(engine), stats)
}

/// Finite differences of the smoothed network by every parameter of every neuron agree with the gradient of the dense rule.
fn agrees(net: &Network, data: &Trials, beta: f64) -> Result<bool, TestCaseError> {
    let rule = Bptt { smooth: true, ..Bptt::new(Surrogate::fast_sigmoid(beta)) };
    let mut engine = Clocked::<f64>::compile(net);
    if Rule::<f64>::check(&rule, &engine).is_err() {
        return Ok(false);
    }
    let (exact, _, before) = gradient(&engine, &rule, data);
    let top = exact.iter().flatten().fold(0.0f64, |m, g| m.max(g.abs()));
    for (k, exact) in exact.iter().enumerate() {
        for (j, &exact) in exact.iter().enumerate() {
            let here = engine.parameters()[k].value().at(j);
            let h = if here == 0.0 { 1e-6 } else { 1e-5 * here.abs() };
            let mut value = |h: f64| {
                engine.set_parameter(k, |values| flat_mut(values)[j] = here + h).unwrap();
                let stats = gradient(&engine, &rule, data).2;
                engine.set_parameter(k, |values| flat_mut(values)[j] = here).unwrap();
                0.5 * (stats.loss + stats.penalty)
            };
            let numeric = (value(h) - value(-h)) / (2.0 * h);
            let rounding = 16.0 * f64::EPSILON * (before.loss + before.penalty) / h;
            let name = &engine.parameters()[k].name;
            prop_assert!((numeric - exact).abs() <= 1e-6 * top + rounding, "{name} of neuron {j}: {exact}, not {numeric}; largest {top}");
        }
    }
    Ok(true)
}

/// Two neurons of a model that hear an input and each other, and a readout with a bias.
fn small(model: Model, seed: u64) -> Network {
    Net::new(ms(1.0))
        .input("in", 3)
        .population("a", 2, model)
        .current(vec![0.03, 0.05]) // off the kink of rectified units
        .population("out", 2, Li { tau: 0.01.into() })
        .current(vec![0.1, -0.2])
        .project("in", "a", Connect::All, Init::normal(0.7))
        .project("a", "a", Connect::All, Init::normal(0.4))
        .delay(ms(1.0))
        .project("a", "out", Connect::All, Init::normal(1.0))
        .output("out")
        .build(Seed::new(seed))
        .unwrap()
}

#[test]
fn every_model_passes_finite_differences() {
    let mut taken = Vec::new();
    // But for stairs, whose slope seen from afar is no finite difference.
    let stairs = |model: &Model| matches!(model, Model::IfMulti(_));
    for (n, model) in
        Model::all().into_iter().enumerate().filter(|(_, model)| model.output().is_events() && model.ports().len() == 1 && !stairs(model))
    {
        let case = Case {
            seed: n as u64,
            sizes: [3, 2, 2, 2],
            models: [Lif::default().into(), Lif::default().into()],
            recurrent: [false; 3],
            delays: [0; 3],
            spread: 0,
            p: 1.0,
            steps: 8,
            quiet: [0; 2],
            graded: false,
        };
        let name = model.name();
        // Derivatives pass through the reset, where a model would detach it; and nothing lies at the edge of its range.
        let change = |name: &str, value: &Value, range: Range| match (name, range) {
            ("reset_grad", _) => Some(1.0.into()),
            (_, Range::NonNegative | Range::Unit) if value.at(0) == 0.0 => Some(0.3.into()),
            _ => None,
        };
        let model = with_params(&model, 2, change).unwrap();
        if agrees(&learning(small(model, 3 + n as u64)), &case.trials(2), 2.0).unwrap_or_else(|e| panic!("{name}: {e}")) {
            taken.push(name);
        }
    }
    assert_eq!(
        taken,
        ["if", "lif", "lif_refractory", "cuba_lif", "lif_psc", "alif", "lsnn", "psp", "izhikevich", "threshold", "relu", "linear"]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Sparse = dense, for parameters and for weights, over random networks of all models that learn all they can.
    #[test]
    fn sparse_equals_dense(case in case(90), surrogate in surrogate(), model in any_model()) {
        let case = Case { models: [model, case.models[1].clone()], quiet: [0, 0], ..case };
        let engine = Clocked::<f64>::compile(&learning(case.network()));
        let data = case.trials(2);
        let (of_parameters, weights, _) = gradient(&engine, &SparseBptt { surrogate }, &data);
        let (expected, dense, _) = gradient(&engine, &Bptt::new(surrogate), &data);
        for (found, expected) in [(of_parameters, expected), (weights, dense)] {
            let size = expected.iter().flatten().fold(0.0f64, |m, x| m.max(x.abs()));
            prop_assert!(distance(&found, &expected) < 1e-11 || size < 1e-14, "{}", distance(&found, &expected));
        }
    }

    /// That parameters are learned changes no gradient of a weight.
    #[test]
    fn weights_have_the_gradient_they_had(case in case(40), surrogate in surrogate()) {
        let data = case.trials(2);
        let of = |net: Network| gradient(&Clocked::<f64>::compile(&net), &SparseBptt { surrogate }, &data).1;
        let (plain, learned) = (of(case.network()), of(learning(case.network())));
        prop_assert!(distance(&learned, &plain) < 1e-12 || plain.iter().flatten().all(|x| x.abs() < 1e-14));
    }
}

fn network() -> Network {
    Net::new(ms(1.0))
        .input("in", 30)
        .population("a", 40, Lif::default())
        .train(&["v_th", "tau", "current"])
        .population("out", 3, Li { tau: ms(20.0).into() })
        .train(&["current"])
        .project("in", "a", Connect::All, Init::normal(0.4))
        .project("a", "out", Connect::All, Init::normal(0.2))
        .output("out")
        .build(Seed::new(6))
        .unwrap()
}

fn trainer(lr: f64) -> Trainer {
    let options = Options { batch: 10, ..Options::new(LOSS, Seed::new(9)) };
    Trainer::new(&network(), SparseBptt::default(), Optimiser::adamw(lr, 1e-2), options).unwrap()
}

/// Values of a parameter in a description.
fn values(net: &Network, population: usize, name: &str) -> Vec<f64> {
    let p = &net.draft().populations[population];
    let found = p.learnable().into_iter().find(|q| q.0 == name).unwrap();
    found.1.iter(p.size).collect()
}

#[test]
fn updates_move_them_within_their_range_and_are_described() {
    let mut trainer = trainer(0.05).with_rate("a", "tau", 0.02).unwrap().with_rate("out", "current", 0.0).unwrap();
    for _ in 0..5 {
        trainer.epoch(&stripes(30), &|_| ()).unwrap();
    }
    let net = trainer.network().unwrap();
    let (tau, v_th, current) = (values(&net, 0, "tau"), values(&net, 0, "v_th"), values(&net, 0, "current"));
    assert!(tau.iter().all(|&x| (0.02e-3..0.1).contains(&x)) && tau.iter().any(|&x| (x - 0.02).abs() > 1e-3), "{tau:?}");
    assert!(v_th.iter().all(|&x| x >= 1e-3) && v_th.iter().any(|&x| (x - 1.0).abs() > 0.01), "{v_th:?}");
    assert!(current.iter().any(|&x| x.abs() > 0.01), "{current:?}");
    assert_eq!(values(&net, 1, "current"), vec![0.0; 3], "a rate of zero freezes");
    // What is described is what runs.
    let data = stripes(9);
    let again = Trainer::new(&net, SparseBptt::default(), Optimiser::sgd(0.1), Options::new(LOSS, Seed::new(9))).unwrap();
    assert_eq!(trainer.evaluate(&data).unwrap().loss, again.evaluate(&data).unwrap().loss);
}

#[test]
fn a_step_out_of_range_ends_at_its_edge() {
    let mut engine = Clocked::<f64>::compile(&network());
    engine.set_parameter(0, |v_th| flat_mut(v_th)[3] = -2.0).unwrap();
    assert_eq!(engine.parameters()[0].value().at(3), 1e-3, "a positive parameter keeps a thousandth of what it was");
    let error = engine.set_parameter(2, |current| flat_mut(current)[3] = f64::NAN).unwrap_err().to_string();
    assert!(error.contains("`a`") && error.contains("current"), "{error}");
}

#[test]
fn a_checkpoint_holds_them() {
    let data = stripes(30);
    let mut whole = trainer(0.02);
    (0..3).for_each(|_| drop(whole.epoch(&data, &|_| ()).unwrap()));
    let mut first = trainer(0.02);
    first.epoch(&data, &|_| ()).unwrap();
    let saved = first.checkpoint();
    let mut second = trainer(0.02);
    second.restore(&saved).unwrap();
    (0..2).for_each(|_| drop(second.epoch(&data, &|_| ()).unwrap()));
    assert_eq!(second.checkpoint(), whole.checkpoint());
    let other = Draft {
        populations: {
            let mut all = network().draft().populations.clone();
            all[0].train.pop();
            all
        },
        ..network().draft().clone()
    };
    let options = Options { batch: 10, ..Options::new(LOSS, Seed::new(9)) };
    let mut other = Trainer::new(&other.try_into().unwrap(), SparseBptt::default(), Optimiser::adamw(0.02, 1e-2), options).unwrap();
    assert!(other.restore(&saved).unwrap_err().to_string().contains("another network"));
}

#[test]
fn who_cannot_learn_them_says_so() {
    let engine = Clocked::<f32>::compile(&network());
    let error = Rule::<f32>::check(&Eprop::default(), &engine).unwrap_err().to_string();
    assert!(error.contains("`eprop`") && error.contains("`a` (lif) learns v_th, tau, current"), "{error}");
    let error = trainer(0.1).with_device(Box::new(Ideal::new(&network())), None).err().unwrap().to_string();
    assert!(error.contains("`train`"), "{error}");
    let error = trainer(0.1).with_rate("out", "tau", 1.0).err().unwrap().to_string();
    assert!(error.contains("`out` does not learn `tau`"), "{error}");
    let error = trainer(0.1).with_rate("a", "tau", -1.0).err().unwrap().to_string();
    assert!(error.contains("zero or more"), "{error}");
}

/// A threshold that is the same for all becomes one for each, and silence of all others stays what it was.
#[test]
fn a_shared_value_becomes_one_for_each() {
    let engine = Clocked::<f64>::compile(&network());
    let described = engine.describe().unwrap();
    let Model::Lif(lif) = &described.draft().populations[0].model else { panic!("another model") };
    assert_eq!(lif.v_th, Value::Each(vec![1.0; 40]));
    assert_eq!(lif.reset_grad, Value::Shared(0.0));
}
