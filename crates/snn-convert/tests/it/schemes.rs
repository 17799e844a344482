//! Every scheme against the gates it stands for: number by number, spike by spike, on both engines.

use proptest::prelude::*;
use rand::RngExt;
use snn_convert::gates::{Function, Origin};
use snn_convert::{
    Amos, Calibration, Codes, Converted, FewSpikes, Fit, Forward, Gates, Negative, Range, Rate, Rounding, Runner, Scheme, Unit,
    relative_error, rotations,
};
use snn_core::ann::{Activation, Ann, Graph, Node, Op};
use snn_core::net::{Conv2d, Links, SumPool2d};
use snn_core::{Raster, Seed, Value};
use snn_sparse::{Clocked, EventDriven, Wants};

/// A convolution, pooling of both kinds, a branch that skips layers, full layers; weights are multiples of 1/4, so that nothing is rounded.
fn image_network(seed: u64, function: Activation) -> Ann {
    let mut rng = Seed::new(seed).rng();
    let mut numbers = |count: usize| Value::Each((0..count).map(|_| f32::from(rng.random_range(-4i8..5)) / 4.0).collect::<Vec<f32>>());
    let mut linear = |links: Links, count: usize, targets: usize| Op::Linear { links, weights: numbers(count), bias: numbers(targets) };
    let conv = Conv2d::new(1, 4, 4, 2, (3, 3)).padding((1, 1));
    let windows: Vec<[u32; 4]> =
        (0..8).map(|n| (n / 4 * 16 + n / 2 % 2 * 8 + n % 2 * 2) as u32).map(|i| [i, i + 1, i + 4, i + 5]).collect();
    let nodes = vec![
        Node::new("data", 16, [], Op::Input), // the name of the converted input
        Node::new("conv", 32, [0], linear(Links::Conv2d(conv), 18, 32)),
        Node::new("relu", 32, [1], Op::Activation(function)),
        Node::new("max", 8, [2], Op::Max { ends: (0..=8).map(|n| 4 * n).collect(), sources: windows.concat() }),
        Node::new(
            "sum",
            8,
            [2],
            Op::Linear { links: Links::SumPool2d(SumPool2d::new(2, 4, 4, (2, 2))), weights: 0.25.into(), bias: 0.0.into() },
        ),
        Node::new("fc", 5, [3], linear(Links::All, 40, 5)),
        Node::new("relu2", 5, [5], Op::Activation(Activation::Relu)),
        Node::new("skip", 5, [4], linear(Links::All, 40, 5)),
        Node::new("both", 5, [6, 7], Op::Add),
        Node::new("relu3", 5, [8], Op::Activation(Activation::Relu)),
        Node::new("out", 3, [9], linear(Links::All, 15, 3)),
    ];
    Ann::try_from(Graph { nodes }).unwrap()
}

/// Levels of whole binary numbers: `2^exponent` apart.
fn dyadic(gates: &Gates, steps: usize, low: f64) -> Calibration {
    let mut layers: Vec<Range> = Vec::new();
    for (l, layer) in gates.layers.iter().enumerate() {
        let span = if l == 0 { 2.0 } else { 16.0 } * (1.0 - 0.5f64.powi(steps as i32));
        let sent = match (layer.origin, layer.function) {
            (Origin::Node(_), Function::Identity) => (low, low + span),
            (Origin::Node(_), _) => (0.0, span),
            (Origin::Within(k), Function::Identity) => layers[k].sent,
            (Origin::Within(k), _) => (0.0, layers[k].sent.1 - layers[k].sent.0),
        };
        layers.push(Range { heard: sent, sent, density: Vec::new() });
    }
    Calibration { layers }
}

fn images(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = Seed::new(seed).child("images").rng();
    (0..16 * count).map(|_| if rng.random_bool(0.3) { 0.0 } else { f32::from(rng.random_range(-16i8..33)) / 16.0 }).collect()
}

/// What the quantised network answers, and the numbers of its layers.
fn quantised(gates: &Gates, units: &[Unit], input: &[f32]) -> (Vec<Vec<f64>>, Vec<f64>) {
    let input: Vec<f64> = input.iter().map(|&x| f64::from(x)).collect();
    let (heard, y) = gates.run(&input, |l, x| units[l].at(x));
    (heard.iter().enumerate().map(|(l, xs)| xs.iter().map(|&x| units[l].at(x)).collect()).collect(), y)
}

fn events(converted: &Converted, numbers: &[f32]) -> (Vec<Raster>, Vec<Raster>) {
    let mut raster = Raster::default();
    converted.present(numbers, &mut raster);
    let engine = Clocked::<f64>::compile(&converted.network);
    let record = engine.record(&[&raster], Wants::Spikes);
    let mut other = EventDriven::<f64>::compile(&converted.network).unwrap();
    other.run(&[&raster]);
    let all = |of: &dyn Fn(usize) -> Raster| (0..converted.places.len()).map(of).collect();
    (all(&|p| record.spikes[p].clone()), all(&|p| other.spikes(p).clone()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The network with every function replaced by its code gives the same numbers, bit for bit, in every layer; pipelined; in both schemes; and
    /// both engines send the same events.
    #[test]
    fn spikes_say_what_the_quantised_network_says(seed in any::<u64>(), half in 1usize..5, low in -1i32..1, turns in any::<bool>(), down in any::<bool>()) {
        let (steps, low) = (2 * half, f64::from(low));
        let gates = Gates::new(&image_network(seed, Activation::Relu)).unwrap();
        let mut calibration = dyadic(&gates, steps, low);
        if turns && low < 0.0 {
            let largest = 2.0 * (1.0 - 0.5f64.powi(half as i32));
            calibration.layers[0].sent = (-largest, largest);
        }
        let negative = if turns { Negative::Turns } else { Negative::Base };
        let rounding = if down { Rounding::Down } else { Rounding::Nearest };
        let codes = Codes { negative, rounding, ..Codes::new(steps) };
        let units = codes.of(&gates, &calibration, false, Seed::new(0)).unwrap();
        let inputs = images(40, seed);
        let paused = FewSpikes { codes: codes.clone(), pause: 1 + seed as usize % 3 };
        let schemes: [Box<dyn Scheme>; 3] = [Box::new(FewSpikes::new(codes.clone())), Box::new(paused), Box::new(Amos { codes })];
        for scheme in schemes {
            let converted = scheme.convert(&gates, &calibration, Seed::new(0)).unwrap();
            let (outcome, layers) = Runner::new(&converted).fold(&inputs, |_, reading| (0..gates.layers.len()).map(|l| reading.layer(l)).collect::<Vec<_>>());
            for (n, input) in inputs.chunks(16).enumerate() {
                let (expected, y) = quantised(&gates, &units, input);
                prop_assert_eq!(&layers[n], &expected, "{}: image {}", scheme.name(), n);
                let answer: Vec<f64> = outcome.answers[3 * n..3 * n + 3].iter().map(|&y| f64::from(y)).collect();
                prop_assert_eq!(answer, y, "{}: image {}", scheme.name(), n);
            }
            // A window at a time, where that can be: the same to the bit here, where nothing is rounded.
            prop_assert_eq!(&Runner::new(&converted).run(&inputs), &outcome, "{}", scheme.name());
            let (clocked, by_events) = events(&converted, &inputs[..48]);
            prop_assert_eq!(clocked, by_events, "{}", scheme.name());
        }
    }

    /// Images in any order, in streams of any length: no state is left behind. In a circuit every neuron fires once at most.
    #[test]
    fn an_image_does_not_feel_the_others(seed in any::<u64>(), count in 2usize..7) {
        let network = image_network(seed, Activation::Silu);
        let (gates, dense) = (Gates::new(&network).unwrap(), Forward::new(&network));
        let inputs = images(count, seed);
        let calibration = Calibration::new(&gates, &dense, &inputs, 0.0).unwrap();
        let codes = Codes { fit: Some(Fit { restarts: 1, updates: 20, polish: 20, points: 50, ..Fit::few_spikes(6, (0.0, 1.0)) }), ..Codes::new(6) };
        let schemes: [Box<dyn Scheme>; 2] = [Box::new(FewSpikes::new(codes.clone())), Box::new(Amos { codes })];
        for scheme in schemes {
            let converted = scheme.convert(&gates, &calibration, Seed::new(0)).unwrap();
            let runner = Runner::new(&converted);
            let whole = runner.fold(&inputs, |_, reading| (0..gates.layers.len()).map(|l| reading.spikes(l)).collect::<Vec<_>>());
            let turned: Vec<f32> = inputs.chunks(16).rev().flatten().copied().collect();
            let back = runner.run(&turned);
            for (n, input) in inputs.chunks(16).enumerate() {
                let alone = runner.fold(input, |_, reading| (0..gates.layers.len()).map(|l| reading.spikes(l)).collect::<Vec<_>>());
                prop_assert_eq!(&alone.1[0], &whole.1[n], "{}: spikes of image {}", scheme.name(), n);
                prop_assert_eq!(&alone.0.answers, &whole.0.answers[3 * n..3 * n + 3]);
                prop_assert_eq!(&runner.run(input).answers, &back.answers[3 * (count - 1 - n)..3 * (count - n)]);
                if scheme.name() == "amos" {
                    for spikes in &alone.1[0] {
                        let mut neurons: Vec<_> = spikes.iter().map(|&(neuron, _, unit)| (neuron, unit)).collect();
                        neurons.sort_unstable();
                        prop_assert!(neurons.windows(2).all(|w| w[0] != w[1]), "a neuron fired twice");
                    }
                }
            }
            prop_assert_eq!(whole.0.tally, back.tally);
        }
    }
}

/// Worth `s` times as much and heard with weights `1/s`: the same answers.
#[test]
fn the_scale_of_a_code_does_not_matter() {
    let network = image_network(3, Activation::Relu);
    let gates = Gates::new(&network).unwrap();
    let run = |gates: &Gates, calibration: &Calibration| {
        let converted = FewSpikes::new(Codes::new(6)).convert(gates, calibration, Seed::new(0)).unwrap();
        Runner::new(&converted).run(&images(20, 4)).answers
    };
    let calibration = dyadic(&gates, 6, 0.0);
    let (mut louder, mut ranges) = (gates.clone(), calibration.clone());
    let last = gates.layers.len() - 1;
    let four = |x: (f64, f64)| (4.0 * x.0, 4.0 * x.1);
    let sum = &mut louder.layers[last].hears;
    sum.bias.iter_mut().for_each(|b| *b *= 4.0);
    sum.terms.iter_mut().for_each(|(_, map)| *map = map.scaled(4.0));
    ranges.layers[last].sent = four(ranges.layers[last].sent);
    louder.readout.terms[0].1 = louder.readout.terms[0].1.scaled(0.25);
    assert_eq!(run(&gates, &calibration), run(&louder, &ranges));
}

/// One unit after the other through random rotations: errors add up like those of independent rounding, not faster.
#[test]
fn errors_grow_with_the_root_of_the_depth() {
    let steps = 10;
    let error = |depth: usize| {
        let ann = rotations(depth, 32, Seed::new(3)).unwrap();
        let (gates, dense) = (Gates::new(&ann).unwrap(), Forward::<f32>::new(&ann));
        let mut rng = Seed::new(1).rng();
        let inputs: Vec<f32> = (0..32 * 40).map(|_| rng.random_range(0.0..1.0)).collect();
        let calibration = Calibration::new(&gates, &dense, &inputs, 0.0).unwrap();
        let converted = FewSpikes::new(Codes::new(steps)).convert(&gates, &calibration, Seed::new(0)).unwrap();
        relative_error(&Runner::new(&converted).run(&inputs).answers, &dense.outputs(&inputs).unwrap())
    };
    let errors: Vec<f64> = [1, 5, 20, 50].map(error).into();
    // A level is 8/1024 at most, an error of rounding its twelfth root, the numbers are 0.58 in the mean square.
    let one = 8.0 / 1024.0 / 12f64.sqrt() / 0.58;
    for (depth, error) in [1.0f64, 5.0, 20.0, 50.0].into_iter().zip(&errors) {
        assert!(*error < 1.5 * one * depth.sqrt() + one, "{errors:?}");
    }
    assert!(errors.windows(2).all(|w| w[0] < w[1]), "{errors:?}");
}

/// A rate says a number in as many steps as it has levels: ten times the steps, a tenth of the error.
#[test]
fn rates_get_there_slowly() {
    let network = image_network(5, Activation::Relu);
    let (gates, dense) = (Gates::new(&network).unwrap(), Forward::<f32>::new(&network));
    let inputs: Vec<f32> = images(20, 6).into_iter().map(f32::abs).collect();
    let calibration = Calibration::new(&gates, &dense, &inputs, 0.0).unwrap();
    let exact = dense.outputs(&inputs).unwrap();
    let error = |steps: usize| {
        let converted = Rate { steps }.convert(&gates, &calibration, Seed::new(0)).unwrap();
        let answers = Runner::new(&converted).run(&inputs).answers;
        let square = answers.iter().zip(&exact).map(|(y, x)| f64::from(y / steps as f32 - x).powi(2)).sum::<f64>();
        (square / exact.len() as f64).sqrt()
    };
    let errors = [30, 300, 3000].map(error);
    assert!(errors[1] < 0.2 * errors[0] && errors[2] < 0.2 * errors[1] && errors[2] < 0.02, "{errors:?}");
}

#[test]
fn what_cannot_be_converted_is_refused_by_name() {
    let network = image_network(5, Activation::Silu);
    let gates = Gates::new(&network).unwrap();
    let calibration = dyadic(&gates, 4, -1.0);
    let refused =
        |scheme: &dyn Scheme, calibration: &Calibration| scheme.convert(&gates, calibration, Seed::new(0)).unwrap_err().to_string();
    let rate = Rate { steps: 100 };
    assert!(refused(&rate, &calibration).contains("scheme `rate`: layer `data` (identity) has negative numbers"));
    assert!(refused(&rate, &dyadic(&gates, 4, 0.0)).contains("layer `relu` (silu) is no rectifier"));
    assert!(refused(&Rate { steps: 0 }, &calibration).contains("0 steps"));
    let few = FewSpikes::new;
    assert!(refused(&few(Codes::new(0)), &calibration).contains("0 steps"));
    assert!(
        refused(&few(Codes { negative: Negative::Turns, ..Codes::new(5) }), &calibration).contains("layer `data` has negative numbers")
    );
    assert!(refused(&few(Codes::new(4)), &Calibration { layers: Vec::new() }).contains("calibration of 0 layers for a network of"));
}

#[test]
fn a_converted_network_is_a_file() {
    let gates = Gates::new(&image_network(5, Activation::Relu)).unwrap();
    for scheme in snn_convert::scheme::all(&Codes::new(4)) {
        let converted = scheme.convert(&gates, &dyadic(&gates, 4, 0.0), Seed::new(0)).unwrap();
        let text = serde_json::to_string(&converted).unwrap();
        assert_eq!(serde_json::from_str::<Converted>(&text).unwrap(), converted);
        // What no conversion makes is no converted network.
        let latency = format!("\"latency\":{}", converted.timing.latency);
        let error = serde_json::from_str::<Converted>(&text.replace(&latency, "\"latency\":0")).unwrap_err().to_string();
        assert!(error.contains("timing: ") && error.contains("expected 1 <= present"), "{error}");
    }
}
