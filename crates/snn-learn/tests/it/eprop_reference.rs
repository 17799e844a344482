//! The loss sequences that other implementations of e-prop give from the same random numbers: the authors' code (TensorFlow), and NEST's, whose test suite
//! publishes both. Network, traces and gradient are ours, in f64; weights follow their gradient here, because the trainer's are single.

use snn_core::net::{Connect, Init};
use snn_core::neuron::{Alif, Li, Lif};
use snn_core::{Cue, Dataset, Net, Network, Raster, Seed, Surrogate, Trials, ms};
use snn_learn::{Eprop, Feedback, Form, Gradients, Job, Loss, Over, RateOver, Regulariser, Rule};
use snn_sparse::Clocked;

/// MT19937 with the draws of NumPy's legacy generator (Matsumoto & Nishimura 1998; Marsaglia's polar method).
struct Legacy {
    key: [u32; 624],
    at: usize,
    spare: Option<f64>,
}

impl Legacy {
    fn new(seed: u32) -> Self {
        let mut key = [seed; 624];
        for k in 1..624 {
            key[k] = 1_812_433_253u32.wrapping_mul(key[k - 1] ^ (key[k - 1] >> 30)).wrapping_add(k as u32);
        }
        Legacy { key, at: 624, spare: None }
    }
    fn next(&mut self) -> u32 {
        if self.at == 624 {
            for k in 0..624 {
                let y = (self.key[k] & 0x8000_0000) | (self.key[(k + 1) % 624] & 0x7fff_ffff);
                self.key[k] = self.key[(k + 397) % 624] ^ (y >> 1) ^ if y & 1 == 1 { 0x9908_b0df } else { 0 };
            }
            self.at = 0;
        }
        let mut y = self.key[self.at];
        self.at += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }
    /// `rand()`: 53 bits.
    fn unit(&mut self) -> f64 {
        let (a, b) = (self.next() >> 5, self.next() >> 6);
        (f64::from(a) * 67_108_864.0 + f64::from(b)) / 9_007_199_254_740_992.0
    }
    fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }
    /// `randn()`.
    fn normal(&mut self) -> f64 {
        if let Some(x) = self.spare.take() {
            return x;
        }
        loop {
            let (x, y) = (2.0 * self.unit() - 1.0, 2.0 * self.unit() - 1.0);
            let r2 = x * x + y * y;
            if r2 < 1.0 && r2 != 0.0 {
                let f = (-2.0 * r2.ln() / r2).sqrt();
                self.spare = Some(f * x);
                return f * y;
            }
        }
    }
    /// `randn(rows, columns)/√scale`, as single numbers.
    fn normals(&mut self, rows: usize, columns: usize, scale: usize) -> Vec<Vec<f32>> {
        (0..rows).map(|_| (0..columns).map(|_| (self.normal() / (scale as f64).sqrt()) as f32).collect()).collect()
    }
}

#[test]
fn the_generator_is_the_reference() {
    // First output of MT19937 for the seed 5489, and first draws of `numpy.random.seed(1)`.
    assert_eq!(Legacy::new(5489).next(), 3_499_211_612);
    assert!((Legacy::new(1).unit() - 0.417_022_004_702_574).abs() < 1e-15);
    let mut one = Legacy::new(1);
    assert!((one.normal() - 1.624_345_363_663_241_7).abs() < 1e-15 && (one.normal() + 0.611_756_413_650_076).abs() < 1e-15);
}

/// A part of a matrix as the weights of a projection, without its diagonal where source and target are the same units.
fn part(w: &[Vec<f32>], rows: std::ops::Range<usize>, columns: std::ops::Range<usize>, autapses: bool) -> Vec<f32> {
    let (i0, j0) = (rows.start, columns.start);
    let keep = move |i: usize, j: usize| autapses || i - i0 != j - j0;
    rows.flat_map(|i| columns.clone().filter(move |&j| keep(i, j)).map(move |j| w[i][j])).collect()
}

/// How weights follow their gradient.
enum Update {
    Descent(f64),
    /// As TensorFlow and NEST write it: `ε` is added to the root of the second moment before its bias is corrected.
    Adam(f64),
}

/// Trains on one trial after the other and returns the losses before each update.
fn losses(net: &Network, rule: &Eprop, data: &Trials, loss: Loss, regulariser: Regulariser, update: &Update) -> Vec<f64> {
    let mut engine = Clocked::<f64>::compile(net);
    rule.check(&engine).unwrap();
    loss.check(&engine, data.name(), data.classes()).unwrap();
    let mut moments: Vec<Vec<[f64; 2]>> = engine.links().iter().map(|l| vec![[0.0; 2]; l.store.values().len()]).collect();
    let mut found = Vec::new();
    for trial in 0..data.len() {
        let mut gradients = Gradients::zero(&engine);
        let job = Job { engine: &engine, data, loss, regulariser, scale: 1.0, updates: trial as u64, rates: &[] };
        found.push(rule.worker(&engine).learn(&job, &[trial], &mut gradients).loss);
        for (k, moments) in moments.iter_mut().enumerate() {
            let store = &mut engine.links_mut()[k].store;
            let (mut w, g) = (store.values(), store.in_order(&gradients.links[k]));
            for ((w, g), [m, v]) in w.iter_mut().zip(g).zip(moments) {
                match *update {
                    Update::Descent(lr) => *w -= lr * g,
                    Update::Adam(lr) => {
                        (*m, *v) = (0.9 * *m + 0.1 * g, 0.999 * *v + 0.001 * g * g);
                        let n = trial as i32 + 1;
                        *w -= lr * (1.0 - 0.999f64.powi(n)).sqrt() / (1.0 - 0.9f64.powi(n)) * *m / (v.sqrt() + 1e-8);
                    }
                }
            }
            store.set(w);
        }
    }
    found
}

fn check(found: &[f64], expected: &[f64]) {
    for (k, (a, b)) in found.iter().zip(expected).enumerate() {
        println!("{k} {a:.9} {b:.9} {:e}", (a - b).abs() / b);
    }
    assert_eq!(found.len(), expected.len());
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6 * b), "{found:?}");
}

/// A network of 100 LIF neurons learns a sum of sines. The cell weighs its input by `1 − α`: the same cell with the threshold over `1 − α`.
#[test]
fn pattern_generation() {
    let mut random = Legacy::new(1);
    let (w_in, w_rec) = (random.normals(100, 100, 100), random.normals(100, 100, 100));
    let (w_out, feedback) = (random.normals(100, 1, 100), random.normals(100, 1, 100));
    let mut raster = Raster::new(100, 1000);
    let mut events = Vec::new();
    for t in 0..1000u32 {
        for i in 0..100u32 {
            if random.unit() < 0.05 && t > 0 {
                events.push((t, i));
            }
        }
    }
    raster.fill(events);
    let amplitudes: Vec<f64> = (0..4).map(|_| random.uniform(0.5, 2.0)).collect();
    let phases: Vec<f64> = (0..4).map(|_| random.uniform(0.0, 2.0 * std::f64::consts::PI)).collect();
    let wave = |t: usize| -> f64 {
        let sine = |k: usize| {
            let cycles = 2.0 * std::f64::consts::PI * [1.0, 2.0, 3.0, 5.0][k];
            amplitudes[k] * (phases[k] + cycles * t as f64 / 999.0).sin()
        };
        (0..4).map(sine).sum()
    };
    let wave: Vec<f64> = (0..1000).map(|t| wave(t) - wave(0)).collect();
    let top = wave.iter().fold(0.0f64, |m, y| m.max(y.abs()));
    let mut data = Trials::new("sines", 100, 1000, 0);
    for _ in 0..5 {
        data.push_series(raster.clone(), wave.iter().map(|y| (y / top) as f32).collect());
    }
    let v_th = 0.03 / (1.0 - (-1.0f64 / 30.0).exp());
    let net = Net::new(ms(1.0))
        .input("in", 100)
        .population("rec", 100, Lif { tau: ms(30.0).into(), v_th: v_th.into(), ..Lif::default() })
        .population("out", 1, Li { tau: ms(30.0).into() })
        .project("in", "rec", Connect::All, Init::Constant(0.0))
        .project("rec", "rec", Connect::All, Init::Constant(0.0))
        .delay(ms(1.0))
        .without_autapses()
        .project("rec", "out", Connect::All, Init::Constant(0.0))
        .output("out")
        .build(Seed::new(1))
        .unwrap();
    let net = net.with_weights(vec![w_in.concat(), part(&w_rec, 0..100, 0..100, false), w_out.concat()]).unwrap();
    for form in [Form::Reverse, Form::Online { window: 32 }] {
        let rule = Eprop {
            surrogate: Surrogate::triangle(0.3 / v_th, v_th),
            feedback: Feedback::Given(vec![("rec".into(), feedback.concat())]),
            form,
        };
        let regulariser = Regulariser::rate(0.5 * 300.0, 0.01, RateOver::Trial);
        let found = losses(&net, &rule, &data, Loss::SumSquared, regulariser, &Update::Descent(1e-4));
        check(&found, &[101.964_363_098, 103.466_735_840, 103.340_606_689, 103.680_244_446, 104.412_780_762]);
    }
}

/// 50 LIF and 50 adaptive neurons learn which of two groups of inputs gave more cues.
#[test]
fn evidence_accumulation() {
    let mut random = Legacy::new(1);
    let (w_in, w_rec) = (random.normals(40, 100, 40), random.normals(100, 100, 100));
    let limit = (3.0f64 / 51.0).sqrt();
    let w_out: Vec<Vec<f32>> = (0..100).map(|_| (0..2).map(|_| random.uniform(-limit, limit) as f32).collect()).collect();
    let feedback = random.normals(100, 2, 1);
    let mut data = Trials::new("evidence", 40, 2250, 2);
    for _ in 0..5 {
        // `choice` of two without weights is one bit; with weights, a search among their sums.
        let likely = (random.next() & 1) as usize;
        let p = [f64::from(0.3f32), f64::from(0.7f32)];
        let p = [p[likely], p[1 - likely]];
        let cues: Vec<usize> = (0..7).map(|_| usize::from(random.unit() >= p[0] / (p[0] + p[1]))).collect();
        let mut events = Vec::new();
        for t in 0..2250u32 {
            let cue = (t < 1050 && t % 150 >= 50).then(|| cues[t as usize / 150]);
            for i in 0..40u32 {
                let rate = match i / 10 {
                    3 => 0.01,
                    2 if t >= 2100 => 0.04,
                    group if cue == Some(group as usize) => 0.04,
                    _ => 0.0,
                };
                if rate > random.unit() && t > 0 {
                    events.push((t, i));
                }
            }
        }
        let mut raster = Raster::new(40, 2250);
        raster.fill(events);
        let class = u32::from(cues.iter().sum::<usize>() > 3);
        data.push_cues(raster, vec![Cue { start: 2100, end: 2250, class }]);
    }
    let (alpha, rho) = ((-1.0f64 / 20.0).exp(), (-1.0f64 / 2000.0).exp());
    let alif = Alif {
        tau: ms(20.0).into(),
        tau_a: 2.0.into(),
        v_th: 0.6.into(),
        beta: (1.7 * (1.0 - rho) / (1.0 - alpha)).into(),
        ..Alif::default()
    };
    let none = Init::Constant(0.0);
    let mut net = Net::new(ms(1.0))
        .input("in", 40)
        .population("lif", 50, Lif { tau: ms(20.0).into(), v_th: 0.6.into(), ..Lif::default() })
        .refractory(ms(4.0)) // a counter from 5 that blocks while it is positive, after this step's count
        .population("alif", 50, alif)
        .refractory(ms(4.0))
        .population("out", 2, Li { tau: ms(20.0).into() });
    let (mut weights, groups) = (Vec::new(), [("lif", 0..50), ("alif", 50..100)]);
    for (to, columns) in &groups {
        net = net.project("in", to, Connect::All, none.clone());
        weights.push(part(&w_in, 0..40, columns.clone(), true));
        for (from, rows) in &groups {
            net = net.project(from, to, Connect::All, none.clone()).delay(ms(1.0));
            if from == to {
                net = net.without_autapses();
            }
            weights.push(part(&w_rec, rows.clone(), columns.clone(), from != to));
        }
    }
    for (from, rows) in &groups {
        net = net.project(from, "out", Connect::All, none.clone());
        weights.push(part(&w_out, rows.clone(), 0..2, true));
    }
    let net = net.output("out").build(Seed::new(1)).unwrap().with_weights(weights).unwrap();
    for form in [Form::Reverse, Form::Online { window: 50 }] {
        let given = groups.clone().map(|(name, rows)| (name.to_owned(), part(&feedback, rows, 0..2, true)));
        let rule = Eprop { surrogate: Surrogate::triangle(0.3 / 0.6, 0.6), feedback: Feedback::Given(given.to_vec()), form };
        let (loss, regulariser) = (Loss::CrossEntropy(Over::Each), Regulariser::rate(1.0, 0.01, RateOver::Trial));
        let found = losses(&net, &rule, &data, loss, regulariser, &Update::Adam(5e-3));
        check(&found, &[0.741_152_524_948, 0.740_388_214_588, 0.665_785_133_838, 0.663_644_134_998, 0.729_429_066_181]);
    }
}
