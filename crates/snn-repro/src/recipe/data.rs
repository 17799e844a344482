//! What a recipe learns from: a registry of data sets by name. To add one: a function that opens it, and its line in `data_sets!`.

use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use snn_core::{Dataset, Seed, Subset, ms};
use snn_data::{
    Analog, Encoded, EvidenceParams, ImageSet, Images, Latency, Nmnist, NmnistParams, PatternParams, Poisson, Pooled, PrototypeParams,
    RandmanParams, Rate, Scan, Shd, ShdParams, Split, SpokenDigits, SpokenParams, StoreRecallParams, StrokeParams, TemplateParams,
    TemporalOrderParams, XorParams,
};

use super::table::{Table, Wrong};

/// Trials to learn from and to judge by, and the length of their steps.
pub struct Parts {
    train: Box<dyn Dataset>,
    test: Option<Box<dyn Dataset>>,
    /// Indices into `train` and, of what is held out, into `train` or `test`.
    taken: [Vec<usize>; 2],
    validation: bool,
    dt: Option<f64>,
}

impl Parts {
    /// The trials to learn from.
    pub fn train(&self) -> Subset<'_> {
        Subset::new(&*self.train, self.taken[0].clone())
    }

    /// The trials to judge by: the test part, or a share of the training part. `None` if there are none.
    pub fn held_out(&self) -> Option<Subset<'_>> {
        let of = if self.validation { Some(&self.train) } else { self.test.as_ref() }?;
        (!self.taken[1].is_empty()).then(|| Subset::new(&**of, self.taken[1].clone()))
    }

    /// Length of a step (s), where the data have one.
    pub fn dt(&self) -> Option<f64> {
        self.dt
    }
}

/// Two parts as a data set gives them, and the length of its steps.
struct Opened(Box<dyn Dataset>, Option<Box<dyn Dataset>>, Option<f64>);

type Open = Box<dyn Fn(Seed) -> Result<Opened> + Send + Sync>;

/// Which data, and which of them.
pub(super) struct DataPlan {
    open: Open,
    validation: f64,
    most: [Option<usize>; 2],
}

macro_rules! data_sets {
    ($($name:ident),+ $(,)?) => {
        /// The names of `[data]`.
        pub(super) const DATA_SETS: &[&str] = &[$(stringify!($name)),+];

        fn plan(name: &str, table: Table) -> Result<Open, Wrong> {
            match name {
                $(stringify!($name) => $name(table),)+
                _ => Err(table.wrong(format!("`{name}` is not a data set"))),
            }
        }
    };
}

data_sets! { idx, nmnist, spoken, shd, prototypes, strokes, templates, randman, xor, evidence, store_recall, temporal_order, pattern }

impl DataPlan {
    pub(super) fn new(name: &str, mut table: Table) -> Result<Self, Wrong> {
        let validation = table.or("validation", 0.0)?;
        if !(0.0..1.0).contains(&validation) {
            return Err(table.wrong(format!("validation = {validation}: a share of the training part, 0 or more and below 1")));
        }
        let most = if GENERATED.contains(&name) { [None, None] } else { [table.get("train")?, table.get("test")?] };
        Ok(DataPlan { open: plan(name, table)?, validation, most })
    }

    /// Opens the data; `seed` is that of everything generated.
    pub(super) fn open(&self, seed: Seed) -> Result<Parts> {
        let Opened(train, test, dt) = (self.open)(seed)?;
        let first = |data: Option<&dyn Dataset>, most: Option<usize>| {
            let count = data.map_or(0, Dataset::len);
            (0..most.unwrap_or(count).min(count)).collect::<Vec<usize>>()
        };
        let known = first(Some(&*train), self.most[0]);
        let validation = self.validation > 0.0;
        let taken = if validation {
            let (a, b) = snn_data::split(known.len(), self.validation, seed.child("validation"));
            [a, b]
        } else {
            [known, first(test.as_deref(), self.most[1])]
        };
        Ok(Parts { train, test, taken, validation, dt })
    }
}

/// Sets that make as many trials as their own options say.
const GENERATED: &[&str] = &["templates", "xor", "prototypes", "strokes", "evidence", "store_recall", "temporal_order"];

/// How pictures become trials: the name of an encoder and its options.
#[derive(Clone)]
enum Code {
    Latency(LatencyCode),
    Poisson(RateCode),
    Rate(RateCode),
    Analog(AnalogCode),
    Scan,
}

#[derive(Clone, Serialize, Deserialize)]
struct LatencyCode {
    tau: f64,
    threshold: f64,
    dt: f64,
    steps: usize,
}

#[derive(Clone, Serialize, Deserialize)]
struct RateCode {
    rate_max: f64,
    dt: f64,
    steps: usize,
}

#[derive(Clone, Serialize, Deserialize)]
struct AnalogCode {
    mean: f64,
    std: f64,
}

/// How pictures are seen: pooled, then encoded.
#[derive(Clone)]
struct Sight {
    pool: usize,
    code: Code,
}

impl Sight {
    fn new(table: &mut Table) -> Result<Self, Wrong> {
        let pool = table.or("pool", 1)?;
        let rates = RateCode { rate_max: 100.0, dt: ms(1.0), steps: 100 };
        let code = match table.named("code", &["latency", "poisson", "rate", "analog", "scan"])? {
            // Time constant, threshold and steps of Perez-Nieves and Goodman 2021.
            None => Code::Latency(LATENCY),
            Some(("latency", options)) => Code::Latency(options.over(&LATENCY)?),
            Some(("poisson", options)) => Code::Poisson(options.over(&rates)?),
            Some(("rate", options)) => Code::Rate(options.over(&rates)?),
            Some(("analog", options)) => Code::Analog(options.over(&AnalogCode { mean: 0.0, std: 1.0 })?),
            Some((_, options)) => {
                options.done()?;
                Code::Scan
            }
        };
        Ok(Sight { pool, code })
    }

    fn dt(&self) -> Option<f64> {
        match &self.code {
            Code::Latency(p) => Some(p.dt),
            Code::Poisson(p) | Code::Rate(p) => Some(p.dt),
            Code::Analog(_) | Code::Scan => None,
        }
    }

    fn of<I: ImageSet + 'static>(&self, images: I, seed: Seed) -> Result<Box<dyn Dataset>> {
        let images = Pooled::new(images, self.pool)?;
        Ok(match &self.code {
            Code::Latency(p) => Box::new(Encoded::new(images, Latency::new(p.tau, p.threshold, p.dt, p.steps)?, seed)),
            Code::Poisson(p) => Box::new(Encoded::new(images, Poisson::new(p.rate_max, p.dt, p.steps)?, seed)),
            Code::Rate(p) => Box::new(Encoded::new(images, Rate::new(p.rate_max, p.dt, p.steps)?, seed)),
            Code::Analog(p) => Box::new(Encoded::new(images, Analog::normalised(p.mean, p.std)?, seed)),
            Code::Scan => {
                let pixels = images.pixels_each();
                Box::new(Encoded::new(images, Scan::new(pixels)?, seed))
            }
        })
    }

    fn pair<I: ImageSet + 'static>(&self, train: I, test: I, seed: Seed) -> Result<Opened> {
        Ok(Opened(self.of(train, seed)?, Some(self.of(test, seed)?), self.dt()))
    }
}

const LATENCY: LatencyCode = LatencyCode { tau: 20e-3, threshold: 0.2, dt: 1e-3, steps: 100 };

fn folder(table: &mut Table) -> Result<PathBuf, Wrong> {
    table.need("folder", "folder = \"data/mnist\"")
}

/// How many trials of a generated task: those of numbers 0 to `train`, and the `test` after them.
fn counts(table: &mut Table) -> Result<(u64, u64), Wrong> {
    Ok((table.or("train", 1000u32)?.into(), table.or("test", 200u32)?.into()))
}

fn idx(mut table: Table) -> Result<Open, Wrong> {
    let (dir, sight) = (folder(&mut table)?, Sight::new(&mut table)?);
    table.done()?;
    Ok(Box::new(move |seed| sight.pair(Images::idx(&dir, Split::Train)?, Images::idx(&dir, Split::Test)?, seed)))
}

fn prototypes(mut table: Table) -> Result<Open, Wrong> {
    let ((train, test), sight) = (counts(&mut table)?, Sight::new(&mut table)?);
    let params = table.over(&PrototypeParams::default())?;
    Ok(Box::new(move |seed| sight.pair(params.images(seed, 0..train)?, params.images(seed, train..train + test)?, seed)))
}

fn strokes(mut table: Table) -> Result<Open, Wrong> {
    let ((train, test), sight) = (counts(&mut table)?, Sight::new(&mut table)?);
    let params = table.over(&StrokeParams::default())?;
    Ok(Box::new(move |seed| sight.pair(params.images(seed, 0..train)?, params.images(seed, train..train + test)?, seed)))
}

/// A pair of data sets of one type.
fn both<D: Dataset + 'static, E: Into<anyhow::Error>>(open: impl Fn(Split) -> Result<D, E>, dt: Option<f64>) -> Result<Opened> {
    let part = |split| Ok::<Box<dyn Dataset>, anyhow::Error>(Box::new(open(split).map_err(Into::into)?));
    Ok(Opened(part(Split::Train)?, Some(part(Split::Test)?), dt))
}

fn nmnist(mut table: Table) -> Result<Open, Wrong> {
    let dir = folder(&mut table)?;
    let params = table.over(&NmnistParams::default())?;
    Ok(Box::new(move |_| both(|split| Nmnist::open(&dir, split, params.clone()), Some(params.dt))))
}

fn spoken(mut table: Table) -> Result<Open, Wrong> {
    let dir = folder(&mut table)?;
    let params = table.over(&SpokenParams::default())?;
    Ok(Box::new(move |_| both(|split| SpokenDigits::open(&dir, split, params.clone()), Some(params.dt()))))
}

fn shd(mut table: Table) -> Result<Open, Wrong> {
    let dir = folder(&mut table)?;
    let params = table.over(&ShdParams::default())?;
    let file = move |split: Split| {
        let plain = dir.join(format!("shd_{}.h5", split.name()));
        if plain.exists() { plain } else { dir.join(format!("shd_{}.h5.gz", split.name())) }
    };
    Ok(Box::new(move |_| both(|split| Shd::open(file(split), split, params.clone()), Some(params.dt))))
}

fn templates(table: Table) -> Result<Open, Wrong> {
    let params = table.over(&TemplateParams::default())?;
    Ok(Box::new(move |seed| both(|split| params.generate(seed, split), Some(params.dt))))
}

fn xor(table: Table) -> Result<Open, Wrong> {
    let params = table.over(&XorParams::default())?;
    Ok(Box::new(move |seed| both(|split| params.generate(seed, split), Some(params.dt))))
}

/// All trials at once, without a test part: hold some out with `validation`.
fn randman(table: Table) -> Result<Open, Wrong> {
    let params = table.over(&RandmanParams::default())?;
    Ok(Box::new(move |seed| Ok(Opened(Box::new(params.generate(seed)?), None, None))))
}

/// Curves to follow: a series for each output.
fn pattern(table: Table) -> Result<Open, Wrong> {
    let params = table.over(&PatternParams::default())?;
    Ok(Box::new(move |seed| Ok(Opened(Box::new(params.generate(seed)?), None, Some(params.dt)))))
}

macro_rules! drawn {
    ($($name:ident: $Params:ident, $dt:expr;)+) => {
        $(fn $name(mut table: Table) -> Result<Open, Wrong> {
            let (train, test) = counts(&mut table)?;
            let params = table.over(&$Params::default())?;
            let dt: fn(&$Params) -> Option<f64> = $dt;
            Ok(Box::new(move |seed| {
                let part = |range| Ok::<Box<dyn Dataset>, anyhow::Error>(Box::new(params.trials(seed, range)?));
                Ok(Opened(part(0..train)?, Some(part(train..train + test)?), dt(&params)))
            }))
        })+
    };
}

drawn! {
    evidence: EvidenceParams, |p| Some(p.dt);
    store_recall: StoreRecallParams, |p| Some(p.dt);
    temporal_order: TemporalOrderParams, |_| None;
}
