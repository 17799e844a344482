//! Liquids: what they remember and forget, and an outer loop whose bits do not depend on threads or stops, and which helps on tasks it has not met.

use snn_arch::liquid::{Liquid, Optimised, Options, Saved, Series, errors};
use snn_core::{Dataset, Network, Raster, Seed, Surrogate};
use snn_data::{Answer, Drawn, Task, VolterraParams};
use snn_learn::{Optimiser, RateOver, Regulariser, Schedule, SparseBptt};
use snn_sparse::{Clocked, LANES, Record, Wants};
use std::ops::Range;

const LAMBDA: f64 = 1e-4;

fn family() -> VolterraParams {
    VolterraParams { train: 1.2, test: 0.6, ..VolterraParams::default() }
}

fn engine(network: &Network) -> Clocked<f32> {
    Clocked::compile(network)
}

/// What the input was `lag` steps ago: memory, and nothing else.
#[derive(Clone)]
struct Late {
    shown: VolterraParams,
    lag: usize,
}

impl Task for Late {
    fn name(&self) -> &'static str {
        "late"
    }
    fn inputs(&self) -> usize {
        self.shown.inputs()
    }
    fn steps(&self) -> usize {
        self.shown.steps()
    }
    fn classes(&self) -> usize {
        0
    }
    fn answer(&self, seed: Seed) -> Answer {
        let x = self.shown.input(seed);
        Answer::Series((0..x.len()).map(|t| t.checked_sub(self.lag).map_or(0.0, |t| x[t] as f32)).collect())
    }
    fn draw(&self, seed: Seed, into: &mut Vec<(u32, u32)>) {
        self.shown.draw(seed, into);
    }
}

impl Series for Late {
    fn training(&self) -> Range<usize> {
        Series::training(&self.shown)
    }
    fn testing(&self) -> Range<usize> {
        Series::testing(&self.shown)
    }
}

/// Without recurrence a liquid knows the present, and nothing of what was several time constants of membrane and state ago.
#[test]
fn memory_fades_with_the_lag() {
    let shown = VolterraParams { train: 4.0, test: 2.0, period: (0.05, 0.2), sines: 6, ..VolterraParams::default() };
    let engine = engine(&Liquid { size: 60, gain: 0.0, gain_in: 4.0, ..Liquid::default() }.network(20, Seed::new(1)).unwrap());
    let known = |lag: usize| {
        let tasks = Drawn::new(Late { shown: shown.clone(), lag }, Seed::new(2), 0..6);
        1.0 - snn_core::stats::mean(errors(&engine, &tasks, LAMBDA, usize::MAX).unwrap())
    };
    let [near, far] = [known(15), known(150)];
    assert!(near > 0.5 && far < 0.5 * near, "{near} {far}");
}

/// Two pasts, one present: below the gain where a liquid goes on by itself the states come together.
#[test]
fn different_pasts_are_forgotten() {
    let shown = family();
    let engine = engine(&Liquid { size: 80, gain: 0.2, gain_in: 3.0, ..Liquid::default() }.network(20, Seed::new(3)).unwrap());
    let all = shown.trials(Seed::new(4), 0..2).unwrap();
    let [mut one, mut other] = [Raster::default(), Raster::default()];
    all.load(0, &mut one);
    all.load(1, &mut other);
    let mixed = {
        let mut raster = Raster::new(20, 1000);
        raster.write(|t, list| list.extend(if t < 300 { other.at(t) } else { one.at(t) }));
        raster
    };
    let states = |raster: &Raster| {
        let mut record = Record::new(&engine);
        engine.run(&[raster], Wants::Spikes, &mut record);
        let trace = record.traces[engine.outputs()[0]].clone();
        move |t: usize| (0..80).map(|k| trace.output[t * trace.blocks() + k / LANES][k % LANES]).collect::<Vec<f32>>()
    };
    let (a, b) = (states(&one), states(&mixed));
    let apart = |t: usize| a(t).iter().zip(b(t)).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
    assert!(apart(299) > 0.1 && apart(999) < 0.1 * apart(299), "{} {}", apart(299), apart(999));
}

fn optimised(seed: u64, regulariser: Regulariser) -> Optimised<VolterraParams> {
    let options = Options { lambda: LAMBDA, tasks: 6, clip: Some(1.0), regulariser, schedule: Schedule::Constant, seed: Seed::new(seed) };
    let rule = SparseBptt { surrogate: Surrogate::triangle(0.3, 0.6) };
    let network = Liquid { size: 30, gain_in: 2.0, ..Liquid::default() }.network(20, Seed::new(5)).unwrap();
    Optimised::new(&network, family(), rule, Optimiser::adam(3e-3), options).unwrap()
}

#[test]
fn the_same_bits_on_any_number_of_threads_and_after_a_restart() {
    let run = |threads: usize, restart: bool| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut outer = optimised(6, Regulariser::rate(0.02, 0.1, RateOver::Trial));
            let mut seen = Vec::new();
            for _ in 0..3 {
                seen.push(outer.iteration().unwrap());
                if restart {
                    let saved: Saved = serde_json::from_str(&serde_json::to_string(&outer.save()).unwrap()).unwrap();
                    outer = optimised(6, Regulariser::rate(0.02, 0.1, RateOver::Trial));
                    outer.restore(&saved).unwrap();
                }
            }
            let unseen = family().trials(Seed::new(7), 0..3).unwrap();
            (seen, errors(outer.trainer().engine(), &unseen, LAMBDA, usize::MAX).unwrap(), outer.trainer().network().unwrap())
        })
    };
    let one = run(1, false);
    assert_eq!(run(3, false), one);
    assert_eq!(run(2, true), one);
    let mut other = optimised(6, Regulariser::NONE).save();
    other.iterations += 1;
    assert!(optimised(6, Regulariser::NONE).restore(&other).unwrap_err().to_string().contains("another loop"));
}

/// No iteration: the random liquid. Forty: better on tasks that were never drawn, with the links to the state as they were.
#[test]
fn the_outer_loop_helps_on_new_tasks() {
    let unseen = family().trials(Seed::new(8), 0..24).unwrap();
    let mut outer = optimised(9, Regulariser::NONE);
    let of = |outer: &Optimised<VolterraParams>| errors(outer.trainer().engine(), &unseen, LAMBDA, usize::MAX).unwrap();
    let before = of(&outer);
    let random = engine(&Liquid { size: 30, gain_in: 2.0, ..Liquid::default() }.network(20, Seed::new(5)).unwrap());
    assert_eq!(before, errors(&random, &unseen, LAMBDA, usize::MAX).unwrap());
    (0..40).for_each(|_| assert!(outer.iteration().unwrap().error.is_finite()));
    let after = of(&outer);
    let middle = |mut x: Vec<f64>| {
        x.sort_by(f64::total_cmp);
        x[x.len() / 2]
    };
    let (before, after) = (middle(before), middle(after));
    assert!(after < 0.9 * before, "{before} {after}");
    let learned = outer.trainer().network().unwrap();
    assert!((0..30).all(|k| learned.draft().projections[2].weights.at(k) == 1.0));
}

#[test]
fn what_does_not_fit_is_refused() {
    let network = |channels: usize| Liquid { size: 10, ..Liquid::default() }.network(channels, Seed::new(1)).unwrap();
    let unseen = family().trials(Seed::new(8), 0..2).unwrap();
    let text =
        |channels: usize, lambda: f64, steps: usize| errors(&engine(&network(channels)), &unseen, lambda, steps).unwrap_err().to_string();
    assert!(text(5, LAMBDA, 100).contains("shows 20 channels"));
    assert!(text(20, 0.0, 100).contains("lambda"));
    assert!(text(20, LAMBDA, 1).contains("at least two"));
}
