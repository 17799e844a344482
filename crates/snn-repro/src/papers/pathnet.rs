//! Fernando, Banarse, Blundell, Zwols, Ha, Rusu, Pritzel & Wierstra 2017, "PathNet: evolution channels gradient descent in super neural networks", arXiv:1701.08734.
//!
//! Reproduced: tournaments of paths while their modules learn by gradient descent, frozen modules, and what a second task gains by them, on pairs of noisy digits
//! and on a family of tasks in which the second needs the features of the first; beside it learning on from one fixed path, one fixed path from scratch, and
//! tournaments without a first task, at the same cost of a generation.
//!
//! Marks of figures: `[N]` a reader's public notes that quote the article; `[A]` a public re-implementation whose author checked with the first author; `[K]` another
//! re-implementation; `[R]` our own run of another program before this one; `[ours]` a criterion of ours. The article's own tables were not read.
//!
//! Departures: the settings are those of `[A]`, not the article's (64 paths, learning rate 1e-4 `[A, K]`), with the optional use of frozen modules of the article;
//! pairs of digits are drawn by the seed. Where there are no real digits, drawn ones. The controls train two turns a generation, as a tournament does. Atari and
//! Labyrinth are not run.

use anyhow::Result;
use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use snn_arch::pathnet::{Learning, Path, PathNet, Shape};
use snn_arch::search::{Search, Tournament};
use snn_core::neuron::{Lif, Model, Relu};
use snn_core::stats::{mean, sample_variance};
use snn_core::{Dataset, Raster, Seed, Subset, Surrogate, Target};
use snn_data::{ImageSet, Images, Split, StrokeParams};
use snn_learn::{Loss, Optimiser, Over, SparseBptt};

use crate::{Axes, Bound, Claim, Cost, Lab, Paper, Scale};

const FORGETS: &str = "answers on the first task that the second one changed, all pairs";
const DIGITS: &str = "noisy digits: generations to the second task over those without a first one";
const DIGITS_UPPER: &str = "the same, upper end of the 95 % interval";
const INDEPENDENT: &str = "noisy digits: generations of one fixed path over those of the second task";
const FINE: &str = "noisy digits: generations of one path that learns on over those of one from scratch";
const SUPERSET: &str = "features of the first task in the second: generations to it over those without a first one";
const SUPERSET_UPPER: &str = "the same, upper end of the 95 % interval, superset";
const SPIKING: &str = "spiking modules: pairs whose second task is solved";
const CAPPED: &str = "searches that were cut off";

/// The paper.
pub const PAPER: Paper = Paper {
    id: "pathnet",
    title: "PathNet: evolution channels gradient descent in super neural networks",
    cite: "Fernando, Banarse, Blundell, Zwols, Ha, Rusu, Pritzel & Wierstra 2017, arXiv:1701.08734",
    about: "tasks find paths through shared modules, which are frozen when a task is solved",
    cost: Cost { smoke: "seconds", short: "10 min, 2 cores", paper: "1 h, 2 cores" },
    claims: &[
        Claim::new(FORGETS, "0 (frozen) [N]", Bound::AtMost(0.0), "", 0, "no forgetting").headline(),
        Claim::new(DIGITS, "0.85 (167 of about 197) [N]; 0.49 to 0.60 [A]; 1.36 [R]", Bound::AtMost(0.85), "", 2, "binary MNIST")
            .headline(),
        Claim::new(DIGITS_UPPER, "below 1 [N]", Bound::AtMost(1.0), "", 2, "binary MNIST"),
        Claim::new(INDEPENDENT, "1.18 [N]", Bound::AtLeast(1.18), "", 2, "binary MNIST, speed-up"),
        Claim::new(FINE, "above 1 (229 of about 197) [N]; 1.04 [R]", Bound::AtLeast(1.0), "", 2, "fine-tuning"),
        Claim::new(SUPERSET, "0.8 or less [ours]", Bound::AtMost(0.8), "", 2, "reuse by construction").headline(),
        Claim::new(SUPERSET_UPPER, "below 1 [ours]", Bound::AtMost(1.0), "", 2, "reuse by construction"),
        Claim::new(SPIKING, "all [ours]", Bound::AtLeast(100.0), "%", 0, "LIF modules, currents summed"),
        Claim::new(CAPPED, "none [ours]", Bound::AtMost(0.0), "", 0, "cap on generations"),
    ],
    run,
};

/// Layers `[A, K]`.
const LAYERS: usize = 3;
/// Modules of a layer, of which a path takes three.
const MODULES: usize = 10;
const ACTIVE: usize = 3;
/// Units of a module.
const WIDTH: usize = 20;
/// Paths that live at once `[A]`.
const PATHS: usize = 20;
/// Batches of a turn `[K]`.
const TURN: usize = 50;
/// Trials of a batch `[K]`.
const BATCH: usize = 16;
/// Learning rate `[A]`.
const RATE: f64 = 0.05;
/// Share of pixels that are noise, half of them black, half white `[N]`.
const NOISE: f64 = 0.5;
/// Step (s); trials of one step, but those of spiking modules.
const DT: f64 = 1e-3;

/// A pair of tasks, and how to learn them.
struct Family<'a> {
    name: &'static str,
    model: Model,
    tau_out: f64,
    gain: f64,
    rule: SparseBptt,
    rate: f64,
    inputs: usize,
    /// Two tasks of the pair with this seed.
    tasks: &'a (dyn Fn(Seed) -> [Box<dyn Dataset + 'a>; 2] + Sync),
    /// Mean accuracy over a turn that solves a task.
    stop: f64,
    /// Generations after which a search is cut off.
    cap: u64,
    /// Batches of a turn.
    turn: usize,
}

/// Generations that each way took in one pair.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Outcome {
    first: u64,
    second: u64,
    alone: u64,
    independent: u64,
    fine: u64,
    /// Modules that both paths have.
    overlap: usize,
    /// Of a hundred answers on the first task, those that were others after the second.
    changed: usize,
}

/// The generations of one of the ways.
type Count = fn(&Outcome) -> u64;

/// Who trains in a generation.
enum Way<'a> {
    Tournament,
    Fixed(&'a Path),
}

impl Family<'_> {
    fn net(&self, seed: Seed) -> Result<PathNet> {
        let (model, inputs) = (self.model.clone(), self.inputs);
        let (layers, modules, active, width) = (LAYERS, MODULES, ACTIVE, WIDTH);
        let shape = Shape { dt: DT, inputs, layers, modules, active, width, model, tau_out: self.tau_out, gain: self.gain };
        Ok(PathNet::new(shape, seed)?)
    }

    fn learning(&self) -> Learning {
        Learning { loss: Loss::CrossEntropy(Over::Mean), optimiser: Optimiser::sgd(self.rate), batch: BATCH }
    }

    /// Generations until a turn answers well enough, and the path that did.
    fn solve(&self, net: &mut PathNet, way: &Way<'_>, task: usize, data: &dyn Dataset, seed: Seed) -> Result<(u64, Path)> {
        let mut search = Search::new(net.space(), Tournament { population: PATHS, choices: MODULES, reach: 2 }, seed.child("search"))?;
        loop {
            let generation = search.generation();
            let mut rng = seed.child("trials").nth(generation).rng();
            let (candidates, mut best) = (search.ask(), (f64::NEG_INFINITY, Path(Vec::new())));
            let mut fitness = Vec::new();
            for candidate in &candidates {
                let path = match way {
                    Way::Tournament => net.path(candidate),
                    Way::Fixed(path) => (*path).clone(),
                };
                let trials: Vec<usize> = (0..self.turn * BATCH).map(|_| rng.random_range(0..data.len())).collect();
                let found = net.train(&path, task, self.rule, &self.learning(), data, &trials)?;
                best = if found > best.0 { (found, path) } else { best };
                fitness.push(found);
            }
            search.tell(&fitness)?;
            if best.0 >= self.stop || search.generation() >= self.cap {
                return Ok((search.generation(), best.1));
            }
        }
    }

    fn pair(&self, seed: Seed) -> Result<Outcome> {
        let [a, b] = (self.tasks)(seed.child("tasks"));
        let sample = Subset::new(&*a, (0..a.len().min(100)).collect());
        let answers = |net: &PathNet, path: &Path, task: usize| -> Result<(u64, usize)> {
            let stats = net.evaluate(path, task, self.rule, &self.learning(), &sample)?;
            Ok((stats.loss.to_bits(), stats.correct))
        };
        let mut net = self.net(seed.child("modules"))?;
        let task = net.add_task(2, seed.child("readout A"));
        let (first, path) = self.solve(&mut net, &Way::Tournament, task, &*a, seed.child("A"))?;
        net.freeze(&path);
        let kept = answers(&net, &path, task)?;
        net.renew(seed.child("renewed"));
        let other = net.add_task(2, seed.child("readout B"));
        let (second, way_of_b) = self.solve(&mut net, &Way::Tournament, other, &*b, seed.child("B"))?;
        let now = answers(&net, &path, task)?;
        // Bits of the loss first: if they are equal every answer is.
        let changed = if now == kept { 0 } else { now.1.abs_diff(kept.1).max(1) };

        let alone = |way: &Way<'_>, on_a: bool| -> Result<u64> {
            let mut net = self.net(seed.child("renewed"))?;
            if on_a {
                let task = net.add_task(2, seed.child("readout A"));
                self.solve(&mut net, way, task, &*a, seed.child("A"))?;
            }
            let task = net.add_task(2, seed.child("readout B"));
            Ok(self.solve(&mut net, way, task, &*b, seed.child("B"))?.0)
        };
        let mut rng = seed.child("fixed path").rng();
        let candidate: Vec<f64> = (0..LAYERS * ACTIVE).map(|_| rng.random_range(0..MODULES) as f64).collect();
        let fixed = net.path(&candidate);
        Ok(Outcome {
            first,
            second,
            alone: alone(&Way::Tournament, false)?,
            independent: alone(&Way::Fixed(&fixed), false)?,
            fine: alone(&Way::Fixed(&fixed), true)?,
            overlap: path.overlap(&way_of_b),
            changed,
        })
    }

    /// Some pairs, kept one by one.
    fn pairs(&self, lab: &mut Lab, count: u64) -> Result<Vec<Outcome>> {
        let mut checkpoint = lab.checkpoint_of("pairs", self.name, count, "pairs")?;
        let mut done: Vec<Outcome> = checkpoint.load()?.unwrap_or_default();
        let progress = lab.progress(self.name, count);
        progress.resume_at(done.len() as u64);
        let seed = lab.seed().child(self.name);
        while (done.len() as u64) < count {
            // As many as there are threads, so that a stop loses little.
            let next = done.len() as u64..count.min(done.len() as u64 + rayon::current_num_threads() as u64);
            let found: Vec<Result<Outcome>> = next.into_par_iter().map(|k| self.pair(seed.nth(k))).collect();
            for outcome in found {
                let outcome = outcome?;
                progress.inc(1);
                progress.message(format!("{} generations first, {} second, {} alone", outcome.first, outcome.second, outcome.alone));
                done.push(outcome);
            }
            checkpoint.save(&done)?;
        }
        Ok(done)
    }
}

/// Two digits to be told apart behind noise; every image has its own.
struct Noisy<'a> {
    images: &'a dyn ImageSet,
    digits: [usize; 2],
    indices: Vec<usize>,
    steps: usize,
    seed: Seed,
}

impl<'a> Noisy<'a> {
    fn new(images: &'a dyn ImageSet, digits: [usize; 2], steps: usize, seed: Seed) -> Self {
        let indices = (0..images.len()).filter(|&i| digits.contains(&images.label(i))).collect();
        Noisy { images, digits, indices, steps, seed }
    }
}

impl Dataset for Noisy<'_> {
    fn name(&self) -> &str {
        self.images.name()
    }
    fn len(&self) -> usize {
        self.indices.len()
    }
    fn inputs(&self) -> usize {
        self.images.pixels_each()
    }
    fn steps(&self) -> usize {
        self.steps
    }
    fn classes(&self) -> usize {
        2
    }
    fn load(&self, index: usize, into: &mut Raster) {
        let mut pixels = vec![0.0; self.inputs()];
        self.images.intensities(self.indices[index], &mut pixels);
        let mut rng = self.seed.nth(index as u64).rng();
        for x in &mut pixels {
            let u: f64 = rng.random();
            *x = if u < 0.5 * NOISE {
                0.0
            } else if u < NOISE {
                1.0
            } else {
                *x
            };
        }
        into.reset(pixels.len(), self.steps);
        let lit: Vec<(u32, f64)> = (0u32..).zip(&pixels).filter(|(_, x)| **x > 0.0).map(|(i, x)| (i, f64::from(*x))).collect();
        into.fill_values((0..self.steps as u32).flat_map(|t| lit.iter().map(move |&(i, x)| (t, i, x))));
    }
    fn target(&self, index: usize) -> Target<'_> {
        Target::Class(usize::from(self.images.label(self.indices[index]) == self.digits[1]))
    }
}

/// Channels of the teacher's tasks.
const CHANNELS: usize = 20;
/// Features of the teacher, of which the first task needs half.
const FEATURES: usize = 16;
/// Trials of a task.
const TAUGHT: usize = 20_000;

/// Tasks of one teacher: `y = [v·f > median]`, `f_k = max(0, w_k·x)`, `x` standard normal. The second task's features are those of the first and as many new ones.
struct Teacher {
    w: Vec<[f64; CHANNELS]>,
    v: Vec<f64>,
    median: f64,
    seed: Seed,
    classes: Vec<bool>,
}

impl Teacher {
    fn new(teacher: Seed, features: usize, task: Seed) -> Self {
        let mut rng = teacher.rng();
        let w = (0..features).map(|_| [(); CHANNELS].map(|()| rng.sample::<f64, _>(rand_distr::StandardNormal))).collect();
        let mut rng = task.child("readout").rng();
        let v = (0..features).map(|_| rng.sample::<f64, _>(rand_distr::StandardNormal)).collect();
        let mut made = Teacher { w, v, median: 0.0, seed: task.child("inputs"), classes: Vec::new() };
        let all: Vec<f64> = (0..TAUGHT).map(|i| made.value(&made.input(i))).collect();
        made.median = snn_core::stats::quantile(&all, 0.5);
        made.classes = all.iter().map(|y| *y > made.median).collect();
        made
    }

    fn input(&self, index: usize) -> [f64; CHANNELS] {
        let mut rng = self.seed.nth(index as u64).rng();
        [(); CHANNELS].map(|()| rng.sample::<f64, _>(rand_distr::StandardNormal))
    }

    fn value(&self, x: &[f64; CHANNELS]) -> f64 {
        let feature = |w: &[f64; CHANNELS]| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>().max(0.0);
        self.w.iter().zip(&self.v).map(|(w, v)| v * feature(w)).sum()
    }
}

impl Dataset for Teacher {
    fn name(&self) -> &str {
        "teacher"
    }
    fn len(&self) -> usize {
        self.classes.len()
    }
    fn inputs(&self) -> usize {
        CHANNELS
    }
    fn steps(&self) -> usize {
        1
    }
    fn classes(&self) -> usize {
        2
    }
    fn load(&self, index: usize, into: &mut Raster) {
        into.reset(CHANNELS, 1);
        into.fill_values((0u32..).zip(self.input(index)).map(|(i, x)| (0, i, x)));
    }
    fn target(&self, index: usize) -> Target<'_> {
        Target::Class(usize::from(self.classes[index]))
    }
}

/// A ratio over pairs: the geometric mean of `over`, and the ends of its 95 % interval by the normal law of its logarithm.
fn ratio(outcomes: &[Outcome], of: impl Fn(&Outcome) -> (u64, u64)) -> [f64; 3] {
    let logs: Vec<f64> = outcomes.iter().map(of).map(|(a, b)| (a as f64 / b as f64).ln()).collect();
    let half = if logs.len() > 1 { 1.96 * (sample_variance(&logs) / logs.len() as f64).sqrt() } else { f64::INFINITY };
    let middle = mean(&logs);
    [middle, middle - half, middle + half].map(f64::exp)
}

/// Notes what the ways took, and draws it.
fn tell(lab: &mut Lab, family: &Family<'_>, outcomes: &[Outcome]) -> Result<()> {
    let lines: [(&str, Count); 5] = [
        ("first task", |o| o.first),
        ("second task", |o| o.second),
        ("second task alone", |o| o.alone),
        ("one fixed path", |o| o.independent),
        ("one path, learning on", |o| o.fine),
    ];
    let means = lines.map(|(name, of)| format!("{name} {:.1}", mean(outcomes.iter().map(|o| of(o) as f64))));
    let [middle, low, high] = ratio(outcomes, |o| (o.second, o.alone));
    lab.note(format!(
        "{}: mean generations over {} pairs: {}; second over alone {middle:.2} (95 %: {low:.2} to {high:.2}); modules shared {:.1} of {}",
        family.name,
        outcomes.len(),
        means.join(", "),
        mean(outcomes.iter().map(|o| o.overlap as f64)),
        LAYERS * ACTIVE
    ));
    // Share of pairs that are solved by then.
    let solved = |of: Count| {
        let mut all: Vec<u64> = outcomes.iter().map(of).collect();
        all.sort_unstable();
        let n = all.len() as f64;
        let corners = all.iter().enumerate().flat_map(|(k, &g)| [(g as f64, k as f64 / n), (g as f64, (k + 1) as f64 / n)]);
        std::iter::once((0.0, 0.0)).chain(corners).collect::<Vec<_>>()
    };
    let lines: Vec<(&str, Vec<(f64, f64)>)> = lines.map(|(name, of)| (name, solved(of))).into();
    let name = crate::checkpoint::file_name(family.name);
    Ok(lab.curve(&name, family.name, "generations", "share of pairs solved", &lines, Axes::default())?)
}

fn run(lab: &mut Lab) -> Result<()> {
    let smoke = lab.scale() == Scale::Smoke;
    let generated = || StrokeParams::default().images(lab.seed().child("strokes"), 0..if smoke { 400 } else { 12_000 });
    let images: Box<dyn ImageSet> = match lab.real_data() {
        Some(dir) => Box::new(Images::mnist(&dir, Split::Train)?),
        None => Box::new(generated()?),
    };
    let digits = |steps: usize| {
        let images = &*images;
        move |seed: Seed| {
            let mut rng = seed.child("digits").rng();
            let mut list: Vec<usize> = (0..images.classes()).collect();
            rand::seq::SliceRandom::shuffle(&mut list[..], &mut rng);
            let task = |k: usize| {
                Box::new(Noisy::new(images, [list[2 * k], list[2 * k + 1]], steps, seed.child("noise").nth(k as u64))) as Box<dyn Dataset>
            };
            [task(0), task(1)]
        }
    };
    let teacher = |seed: Seed| {
        let task =
            |features: usize, name: &str| Box::new(Teacher::new(seed.child("features"), features, seed.child(name))) as Box<dyn Dataset>;
        [task(FEATURES / 2, "A"), task(FEATURES, "B")]
    };
    let (stop, cap, turn) = lab.scale().pick((0.6, 2, 4), (0.98, 400, TURN), (0.99, 1000, TURN));
    let inputs = images.pixels_each();
    let (plain, flashed) = (digits(1), digits(8));
    let dense = |name, inputs, tasks, stop| Family {
        name,
        model: Relu {}.into(),
        tau_out: 1e-6 * DT,
        gain: 1.0,
        rule: SparseBptt::default(),
        rate: RATE,
        inputs,
        tasks,
        stop,
        cap,
        turn,
    };
    let lif = Lif { tau: 5e-3.into(), ..Lif::default() };
    let families = [
        (dense("noisy digits", inputs, &plain, stop), lab.scale().pick(2, 12, 30)),
        (
            dense("features of the first task in the second", CHANNELS, &teacher, lab.scale().pick(0.6, 0.9, 0.92)),
            lab.scale().pick(2, 30, 30),
        ),
        (
            Family {
                name: "spiking modules",
                model: lif.into(),
                tau_out: 8e-3,
                gain: 4.0,
                // As wide as the threshold: within the narrow window of sparse gradients next to no module learns from noise.
                rule: SparseBptt { surrogate: Surrogate::triangle(0.3, 1.0) },
                rate: 0.5,
                inputs,
                tasks: &flashed,
                stop: stop.min(0.95),
                cap,
                turn,
            },
            lab.scale().pick(1, 2, 10),
        ),
    ];
    let mut all = Vec::new();
    for (family, count) in &families {
        let outcomes = lab.on_threads(|lab| family.pairs(lab, *count))?;
        tell(lab, family, &outcomes)?;
        all.push(outcomes);
    }
    lab.report(FORGETS, all.iter().flatten().map(|o| o.changed as f64).sum())?;
    if smoke {
        return Ok(lab.too_short(
            &[DIGITS, DIGITS_UPPER, INDEPENDENT, FINE, SUPERSET, SUPERSET_UPPER, SPIKING, CAPPED],
            "two generations solve nothing",
        )?);
    }
    let [pairs, superset, spiking] = [&all[0], &all[1], &all[2]];
    for (outcomes, what, upper) in [(pairs, DIGITS, DIGITS_UPPER), (superset, SUPERSET, SUPERSET_UPPER)] {
        let [middle, _, high] = ratio(outcomes, |o| (o.second, o.alone));
        lab.report(what, middle)?;
        lab.report(upper, high)?;
    }
    lab.report(INDEPENDENT, ratio(pairs, |o| (o.independent, o.second))[0])?;
    lab.report(FINE, ratio(pairs, |o| (o.fine, o.independent))[0])?;
    lab.report(SPIKING, 100.0 * mean(spiking.iter().map(|o| f64::from(u8::from(o.second < cap)))))?;
    let ways = |o: &Outcome| [o.first, o.second, o.alone, o.independent, o.fine];
    Ok(lab.report(CAPPED, all.iter().flatten().flat_map(ways).filter(|&g| g >= cap).count() as f64)?)
}
