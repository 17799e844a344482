//! Checkpoints of a training: stopped at any batch it goes on to the same bits, and what cannot be trusted is refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};

use crate::made_up::{claim, paper, settings};
use ndarray::ArrayD;
use ndarray_npy::NpzReader;
use sha2::{Digest, Sha256};
use snn_core::net::{Connect, Init};
use snn_core::neuron::{Li, Lif};
use snn_core::{Dataset, Net, Raster, Target, Trials, ms};
use snn_learn::{DeepR, Loss, Optimiser, Options, Over, SparseBptt, Trainer};
use snn_repro::{Bound, Interrupt, Lab, LabError, Paper, RunResult, Settings, reproduce};

/// Trials until somebody asks the run to stop.
static LEFT: AtomicIsize = AtomicIsize::new(isize::MAX);
/// The static above is shared: one test at a time.
static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

static PAPER: Paper = paper("small", &[claim("sum of losses", Bound::AtLeast(0.0), 1)], run);

/// Trials that ask the run to stop at a chosen one.
struct Stopping(Trials, Interrupt);

impl Dataset for Stopping {
    fn name(&self) -> &str {
        self.0.name()
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn inputs(&self) -> usize {
        self.0.inputs()
    }
    fn steps(&self) -> usize {
        self.0.steps()
    }
    fn classes(&self) -> usize {
        self.0.classes()
    }
    fn load(&self, index: usize, into: &mut Raster) {
        if LEFT.fetch_sub(1, Relaxed) == 0 {
            self.1.request();
        }
        self.0.load(index, into);
    }
    fn target(&self, index: usize) -> Target<'_> {
        self.0.target(index)
    }
}

/// Four epochs of seven batches: 20 trials in threes.
fn run(lab: &mut Lab) -> anyhow::Result<()> {
    let mut trials = Trials::new("which channel", 2, 20, 2);
    for k in 0..20u32 {
        let mut spikes = Raster::new(2, 20);
        spikes.fill((0..20).filter(|t| t % (2 + k / 4) == 0).map(|t| (t, k % 2)));
        trials.push(spikes, k as usize % 2);
    }
    let seed = lab.seed();
    let net = Net::new(ms(1.0))
        .input("in", 2)
        .population("hidden", 5, Lif::default())
        .population("out", 2, Li::default())
        .project("in", "hidden", Connect::All, Init::normal(1.0))
        .project("hidden", "out", Connect::Random { p: 0.5 }, Init::normal(0.5))
        .output("out")
        .build(seed)?;
    let options = Options { batch: 3, ..Options::new(Loss::CrossEntropy(Over::Max), seed) };
    // Links are replaced on the way: a checkpoint holds them too.
    let mut trainer = Trainer::new(&net, SparseBptt::default(), Optimiser::adam(1e-2), options)?.with_structure(DeepR::new(2.0))?;
    let data = Stopping(trials, lab.interrupt().clone());
    let history = lab.train("Small, one", &mut trainer, 4, &data, Some(&data))?;
    assert!(history.iter().any(|epoch| epoch.turnover[1].pruned > 0), "no link was replaced");
    lab.attach("bits.txt", format!("{history:?} {:?} {:?}", trainer.engine().weights(), trainer.network()?.draft().projections[1].links))?;
    lab.report("sum of losses", history.iter().map(|epoch| epoch.loss).sum())?;
    Ok(())
}

/// What a run gives: its figure, history and weights (all bits, printed), and the file of the weights.
fn given(out: &Path, result: &RunResult) -> (Option<f64>, String, Vec<u8>) {
    let dir = out.join("small/smoke-1");
    (result.claims[0].ours, fs::read_to_string(dir.join("bits.txt")).unwrap(), fs::read(dir.join("small-one.npz")).unwrap())
}

fn checkpoint(out: &Path) -> PathBuf {
    out.join("small/smoke-1.partial/checkpoints/training/small-one.ckpt")
}

/// A run that is stopped after this many trials.
fn stopped(out: &Path, resume: bool, trials: isize) -> Result<RunResult, LabError> {
    LEFT.store(trials, Relaxed);
    let result = reproduce(&PAPER, &Settings { resume, ..settings(out) });
    LEFT.store(isize::MAX, Relaxed);
    result
}

#[test]
fn a_run_stopped_at_any_trial_goes_on_to_the_same_bits() {
    let _one = ONE.lock();
    let out = tempfile::tempdir().unwrap();
    let result = reproduce(&PAPER, &settings(out.path())).unwrap();
    let whole = given(out.path(), &result);
    // 4 epochs of 20 trials, each evaluated on 20 more.
    for trials in (0..160).step_by(3) {
        let out = tempfile::tempdir().unwrap();
        assert!(matches!(stopped(out.path(), false, trials), Err(LabError::Interrupted)), "{trials}");
        assert!(checkpoint(out.path()).exists());
        // Stopped again, unless it is through by then.
        let result = match stopped(out.path(), true, 50) {
            Err(LabError::Interrupted) => reproduce(&PAPER, &Settings { resume: true, ..settings(out.path()) }).unwrap(),
            other => other.unwrap(),
        };
        assert_eq!(given(out.path(), &result), whole, "stopped at trial {trials}");
        assert_eq!(fs::read_dir(out.path().join("small")).unwrap().count(), 1, "something is left");
    }
    // An interruption before the run is one, too.
    let asked = settings(out.path());
    asked.interrupt.request();
    assert!(matches!(reproduce(&PAPER, &asked), Err(LabError::Interrupted)));
}

#[test]
fn the_weights_are_a_file_for_numpy() {
    let _one = ONE.lock();
    let out = tempfile::tempdir().unwrap();
    let result = reproduce(&PAPER, &settings(out.path())).unwrap();
    let [training] = &result.trainings[..] else { panic!("{:?}", result.trainings) };
    assert_eq!((&*training.name, training.epochs, &*training.weights), ("Small, one", 4, "small-one.npz"));
    let (_, bits, bytes) = given(out.path(), &result);
    let hex: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, training.sha256);
    let mut file = NpzReader::new(std::io::Cursor::new(bytes)).unwrap();
    assert_eq!(file.names().unwrap(), ["0_in_hidden", "1_hidden_out", "1_hidden_out_links"]);
    let arrays: [ArrayD<f32>; 2] = [file.by_name("0_in_hidden").unwrap(), file.by_name("1_hidden_out").unwrap()];
    assert_eq!(arrays[0].shape(), [2, 5]);
    assert_eq!(arrays[1].ndim(), 1);
    let weights: Vec<Vec<f32>> = arrays.iter().map(|array| array.iter().copied().collect()).collect();
    // The links that DEEP R has left, a row for each weight, as the network lists them.
    let links: ArrayD<u32> = file.by_name("1_hidden_out_links").unwrap();
    assert_eq!(links.shape(), [weights[1].len(), 2]);
    let targets: Vec<u32> = links.iter().skip(1).step_by(2).copied().collect();
    assert!(links.iter().step_by(2).is_sorted());
    let ends: Vec<usize> = (0..=5).map(|i| links.iter().step_by(2).filter(|source| **source < i).count()).collect();
    assert!(bits.ends_with(&format!("{weights:?} Csr {{ ends: {ends:?}, targets: {targets:?} }}")), "{bits}");
}

#[test]
fn a_checkpoint_that_cannot_be_trusted_is_refused_by_name_and_left() {
    let _one = ONE.lock();
    let out = tempfile::tempdir().unwrap();
    stopped(out.path(), false, 30).unwrap_err();
    let path = checkpoint(out.path());
    let good = fs::read(&path).unwrap();
    let refused = |what: &str, bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let error = reproduce(&PAPER, &Settings { resume: true, ..settings(out.path()) }).expect_err(what).to_string();
        assert!(error.contains(path.to_str().unwrap()) && error.contains("Run without --resume"), "{what}: {error}");
        assert_eq!(error.matches("small-one.ckpt").count(), 1, "{what}: {error}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "{what}: changed");
    };
    // The header is 24 bytes (see `snn_io::codec`): all of them, and every 50th byte of the payload.
    for at in (0..24).chain((24..good.len()).step_by(50)).chain([good.len() - 1]) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x01;
        refused(&format!("byte {at} changed"), &bytes);
    }
    for length in [0, 1, 8, 23, 24, 25, good.len() / 2, good.len() - 1] {
        refused(&format!("{length} bytes"), &good[..length]);
    }
    refused("a tail", &[&good[..], b"x"].concat());
    refused("a page", b"<html>");

    // Intact, but of a training with another name.
    let name = good.windows(10).position(|bytes| bytes == b"Small, one").unwrap();
    let mut payload = good[24..].to_vec();
    payload[name - 24] = b's';
    let crc = crc(&[&good[..20], &payload].concat());
    refused("another training", &[&good[..20], &crc.to_le_bytes(), &payload].concat());

    // What the message says helps.
    fs::write(&path, b"").unwrap();
    reproduce(&PAPER, &settings(out.path())).unwrap();
    assert!(!path.exists());
}

/// CRC-32 as in zip, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    !bytes
        .iter()
        .fold(!0u32, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 }))
}

#[test]
fn what_a_kill_leaves_is_mended() {
    let _one = ONE.lock();
    let out = tempfile::tempdir().unwrap();
    let (dir, partial) = (out.path().join("small/smoke-1"), out.path().join("small/smoke-1.partial"));
    let resume = Settings { resume: true, ..settings(out.path()) };
    stopped(out.path(), false, 30).unwrap_err();
    let saved = fs::read(checkpoint(out.path())).unwrap();

    // Half a checkpoint beside the whole one, and half a result.
    let half = checkpoint(out.path()).with_file_name(".tmpAbc123");
    fs::write(&half, b"SNN").unwrap();
    fs::create_dir_all(partial.join("files")).unwrap();
    fs::write(partial.join("files/result.json"), b"{").unwrap();
    stopped(out.path(), true, 0).unwrap_err();
    assert!(!half.exists() && !partial.join("files").exists());
    let result = reproduce(&PAPER, &resume).unwrap();

    // Killed after the result was there: it is reported, and the rest goes away.
    fs::create_dir_all(checkpoint(out.path()).parent().unwrap()).unwrap();
    fs::write(checkpoint(out.path()), saved).unwrap();
    assert_eq!(reproduce(&PAPER, &resume).unwrap(), result);
    assert!(!partial.exists());

    // Killed between two renames, where folders cannot be exchanged in one step.
    fs::create_dir(&partial).unwrap();
    fs::rename(&dir, partial.join("replaced")).unwrap();
    stopped(out.path(), false, 30).unwrap_err();
    assert_eq!(RunResult::read(&dir.join("result.json")).unwrap(), result);

    // Only a temporary file of a first checkpoint: there is nothing to go on from.
    fs::remove_dir_all(&partial).unwrap();
    fs::create_dir_all(half.parent().unwrap()).unwrap();
    fs::write(&half, b"SNN").unwrap();
    let again = reproduce(&PAPER, &Settings { threads: 2, ..resume }).unwrap();
    assert!(again.notes.is_empty(), "{:?}", again.notes);
    assert!(!partial.exists());
}
