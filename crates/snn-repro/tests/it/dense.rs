//! Training of dense baselines: stopped at any batch it goes on to the same bits, and the number of threads does not matter.
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::made_up::{self, claim, paper};
use candle_core::{Device, Tensor};
use rand::RngExt;
use snn_core::Seed;
use snn_repro::dense::net::{Dropout, Net};
use snn_repro::dense::plan::{Kind, Picture, Plan};
use snn_repro::dense::train::{Options, Tagged};
use snn_repro::{Bound, Claim, Lab, LabError, Paper, RunResult, Settings, reproduce};

/// How often a run is still asked to stop.
static STOPS: AtomicUsize = AtomicUsize::new(0);
/// The static above is shared: one test at a time.
static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

const CLAIMS: &[Claim] = &[claim("last loss", Bound::AtMost(0.6), 1)];

static SMALL: Paper = paper("small", CLAIMS, |lab| run(lab, 1_500, 3));
static OTHER: Paper = paper("small", CLAIMS, |lab| run(lab, 1_500, 4));

/// Pictures with a bright half, and the tags "left" and "top".
fn tagged(count: usize, seed: Seed) -> Tagged {
    let mut rng = seed.rng();
    let mut data = Tagged { count: 2, ..Tagged::default() };
    for _ in 0..count {
        let [left, top]: [bool; 2] = [rng.random(), rng.random()];
        for k in 0..40 * 64 {
            let bright = (k % 64 < 32) == left && (k / 64 < 20) == top;
            data.pictures.push(rng.random_range(-20f32..0.0) - if bright { 0.0 } else { 20.0 });
        }
        data.tags.extend([left, top]);
    }
    data
}

fn run(lab: &mut Lab, size: usize, epochs: usize) -> anyhow::Result<()> {
    if STOPS.load(Relaxed) > 0 {
        STOPS.fetch_sub(1, Relaxed);
        lab.interrupt().request();
    }
    let (train, validation) = (tagged(70, Seed::new(1)), tagged(40, Seed::new(2)));
    let plan = Plan::near(Kind::Crnn, &Picture::WORDS, 2, size);
    let mut net = Net::new(&plan, lab.seed())?;
    let dropout = Dropout { blocks: 0.1, last: 0.3 };
    let options = Options { rate: 5e-3, batch: 23, epochs, patience: 3, dropout, seed: lab.seed().child("training") };
    let trained = lab.train_dense("tiny CRNN", &mut net, &options, &train, &validation)?;
    lab.attach("history.txt", format!("{:?}", trained.history))?;
    // The network holds the weights of the best epoch: its outputs are part of the result.
    lab.attach("logits.txt", format!("{:?}", net.logits(&validation.pictures)?))?;
    Ok(lab.report("last loss", trained.history.last().map_or(f64::NAN, |epoch| epoch.loss))?)
}

fn settings(out: &Path) -> Settings {
    Settings { resume: true, ..made_up::settings(out) }
}

/// All that the numbers of a run depend on.
fn bits(out: &Path, result: &RunResult) -> [String; 3] {
    let text = |name: &str| std::fs::read_to_string(out.join("small/smoke-1").join(name)).unwrap();
    [result.trainings[0].sha256.clone(), text("history.txt"), text("logits.txt")]
}

#[test]
fn stopped_after_every_batch_it_gives_the_same_bits() {
    let _one = ONE.lock();
    let (whole, pieces) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let expected = bits(whole.path(), &reproduce(&SMALL, &settings(whole.path())).unwrap());
    // 70 pictures in batches of 23: three batches and one of a single picture, which is passed over. Three epochs.
    let stops = 3 * 4;
    STOPS.store(stops, Relaxed);
    for _ in 0..stops {
        assert!(matches!(reproduce(&SMALL, &settings(pieces.path())), Err(LabError::Interrupted)));
    }
    assert_eq!(bits(pieces.path(), &reproduce(&SMALL, &settings(pieces.path())).unwrap()), expected);
}

#[test]
fn checkpoints_of_another_training_or_damaged_are_refused() {
    let _one = ONE.lock();
    let out = tempfile::tempdir().unwrap();
    STOPS.store(1, Relaxed);
    assert!(matches!(reproduce(&SMALL, &settings(out.path())), Err(LabError::Interrupted)));
    let message = reproduce(&OTHER, &settings(out.path())).unwrap_err().to_string();
    assert!(message.contains("it is of \"tiny CRNN\" with 3 epochs, this is \"tiny CRNN\" with 4"), "{message}");
    let path = out.path().join("small/smoke-1.partial/checkpoints/training/tiny-crnn.ckpt");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let message = reproduce(&SMALL, &settings(out.path())).unwrap_err().to_string();
    assert!(message.contains("cannot go on from the checkpoint") && message.contains("--resume"), "{message}");
}

#[test]
fn pictures_and_tags_must_fit() {
    static BAD: Paper = paper("small", CLAIMS, |lab| {
        let plan = Plan::near(Kind::K2c1, &Picture::WORDS, 3, 1_500);
        let (mut net, data) = (Net::new(&plan, lab.seed())?, tagged(4, Seed::new(1)));
        let dropout = Dropout { blocks: 0.0, last: 0.0 };
        let options = Options { rate: 1e-3, batch: 2, epochs: 1, patience: 1, dropout, seed: lab.seed() };
        lab.train_dense("bad", &mut net, &options, &data, &data).map(|_| ())
    });
    let _one = ONE.lock();
    let out = tempfile::tempdir().unwrap();
    let message = reproduce(&BAD, &settings(out.path())).unwrap_err().to_string();
    assert!(message.contains("4 pictures with 2 tags for a network with 3"), "{message}");
}

/// A process of its own for a number of threads: the library looks at the environment. What it finds goes to a file.
#[test]
fn child() {
    let Some(file) = std::env::var_os("DENSE_BITS") else { return };
    let out = tempfile::tempdir().unwrap();
    static LARGE: Paper = paper("small", CLAIMS, |lab| run(lab, 25_000, 1));
    let result = reproduce(&LARGE, &settings(out.path())).unwrap();
    // Products larger than any of these networks: the library shares them out among its threads.
    let numbers = |seed, len| -> Vec<f32> {
        let mut rng = Seed::new(seed).rng();
        (0..len).map(|_| rng.random_range(-1f32..1.0)).collect()
    };
    let products = [(700, 300, 200), (64, 2000, 30), (500, 3, 700)].map(|(m, k, n)| {
        let a = Tensor::from_vec(numbers(1, m * k), (m, k), &Device::Cpu).unwrap();
        let b = Tensor::from_vec(numbers(2, k * n), (k, n), &Device::Cpu).unwrap();
        let c: Vec<f32> = a.matmul(&b).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        c.iter().fold(0u64, |hash, x| (hash ^ u64::from(x.to_bits())).wrapping_mul(0x0100_0000_01b3))
    });
    std::fs::write(file, format!("{products:?} {:?}", bits(out.path(), &result))).unwrap();
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    let bits = ["1", "2", "3"].map(|threads| {
        let file = dir.path().join(threads);
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "dense::child"]).env("DENSE_BITS", &file).env("RAYON_NUM_THREADS", threads);
        assert!(child.output().unwrap().status.success(), "{threads} threads");
        std::fs::read_to_string(file).unwrap()
    });
    assert!(bits[0].len() > 100);
    assert_eq!(bits[0], bits[1]);
    assert_eq!(bits[0], bits[2]);
}
