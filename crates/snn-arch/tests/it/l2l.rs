//! Error against example index, and the baselines, on target networks.

use snn_arch::l2l::{Backprop, curve, mean_predictor, online_backprop, running_mean};
use snn_core::net::{Connect, Init};
use snn_core::neuron::Li;
use snn_core::stats::{mean, sample_variance, variance};
use snn_core::{Net, Network, Seed, ms};
use snn_data::TargetNetworkParams;
use snn_sparse::{Clocked, Wants};

fn params() -> TargetNetworkParams {
    TargetNetworkParams { examples: 30, example: 5, cells: 10, weight: 2.0, ..Default::default() }
}

/// A readout without a hidden layer.
fn readout(outputs: usize) -> Network {
    Net::new(ms(1.0))
        .input("in", 30)
        .population("out", outputs, Li::default())
        .project("in", "out", Connect::All, Init::normal(0.5))
        .output("out")
        .build(Seed::new(1))
        .unwrap()
}

/// The curve by hand: two episodes, the answer of an example being the mean over its steps.
#[test]
fn the_curve_is_the_mean_squared_error_of_mean_answers() {
    let task = params().trials(Seed::new(3), 10..12).unwrap();
    let engine = Clocked::<f32>::compile(&readout(1));
    let found = curve(&engine, &task).unwrap();
    let mut wanted = vec![0.0; 30];
    for i in 0..2 {
        let (_, record) = engine.trial(&task, i, Wants::Spikes);
        let y: Vec<f64> = record.traces[0].series(0).map(f64::from).collect();
        let targets = params().episode(task.seed(i)).targets;
        for (k, c) in targets.iter().enumerate() {
            wanted[k] += 0.5 * (mean(&y[k * 5..(k + 1) * 5]) - c).powi(2);
        }
    }
    assert!(found.len() == 30 && found.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?} {wanted:?}");
    let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
    let many = params().trials(Seed::new(3), 0..9).unwrap();
    assert_eq!(pool(1).install(|| curve(&engine, &many).unwrap()), pool(3).install(|| curve(&engine, &many).unwrap()));
}

/// Targets have a variance within episodes and one between them: who knows nothing pays both, who knows the level only the first, and so much more
/// (1 + 1/n) as the mean of n examples is uncertain.
#[test]
fn baselines_are_ordered() {
    let training = params().trials(Seed::new(3), 0..400).unwrap();
    let test = params().trials(Seed::new(3), 1000..1400).unwrap();
    let fixed = mean_predictor(&training, &test).unwrap();
    let running = running_mean(&training, &test).unwrap();
    let episodes: Vec<Vec<f64>> = (0..400).map(|i| params().episode(test.seed(i)).targets).collect();
    let within = mean(episodes.iter().map(|targets| sample_variance(targets)));
    let between = variance(&episodes.iter().map(mean).collect::<Vec<_>>());
    assert!((mean(&fixed) / (within * 29.0 / 30.0 + between) - 1.0).abs() < 0.02, "{} {within} {between}", mean(&fixed));
    let late = mean(&running[20..]) / (within * (1.0 + 1.0 / 25.0));
    assert!((late - 1.0).abs() < 0.1, "{late}");
    assert_eq!(running[0], fixed[0]);

    let learner = Backprop { hidden: 10, weight: 1.0, rates: vec![0.01, 1.0, 1000.0] };
    let learnt = online_backprop(&learner, &training, &test, Seed::new(8)).unwrap();
    assert_eq!(learnt.rate, 1.0, "too slow and too fast are not chosen");
    assert!(mean(&learnt.curve[20..]) < 0.7 * mean(&learnt.curve[..3]), "{:?}", learnt.curve);
    // A choice of one is that one, and the same seed the same curve.
    let only = online_backprop(&Backprop { rates: vec![1.0], ..learner }, &training, &test, Seed::new(8)).unwrap();
    assert_eq!(only, learnt);
}

#[test]
fn misfits_are_refused_by_name() {
    let (task, none) = (params().trials(Seed::new(3), 0..2).unwrap(), params().trials(Seed::new(3), 0..0).unwrap());
    let two = Clocked::<f32>::compile(&readout(2));
    let text = curve(&two, &task).unwrap_err().to_string();
    assert!(text.contains("`target-networks` needs one graded output of 1 units") && text.contains("`out` (li) of 2"), "{text}");
    assert!(curve(&two, &none).unwrap_err().to_string().contains("without episodes"));
    assert!(mean_predictor(&none, &task).is_err() && running_mean(&task, &none).is_err());
    let bad = |learner: Backprop| online_backprop(&learner, &task, &task, Seed::new(1)).unwrap_err().to_string();
    assert!(bad(Backprop { hidden: 0, weight: 1.0, rates: vec![1.0] }).contains("hidden = 0"));
    assert!(bad(Backprop { hidden: 1, weight: 1.0, rates: vec![] }).contains("rates = []"));
    assert!(bad(Backprop { hidden: 1, weight: f64::NAN, rates: vec![1.0] }).contains("weight = NaN"));
}
