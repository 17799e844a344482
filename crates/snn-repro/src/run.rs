//! Runs a paper: one seed after the other, judged over all of them.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use snn_core::stats;

use crate::lab::{self, Finished, Lab};
use crate::progress::say;
use crate::store::{Begun, Store};
use crate::{ClaimResult, Interrupt, LabError, Paper, RunResult, Scale, Verdict, memory};

/// How to run a paper.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `scale` | short | how much of it |
/// | `seed` | 1 | root of all randomness; the first of several |
/// | `seeds` | 1 | how many seeds, counted up from `seed` |
/// | `threads` | 1 | threads the paper may use; the caller builds rayon's global pool |
/// | `data` | none | folder of data sets |
/// | `out` | `target/reproduce` | files go to `OUT/PAPER/SCALE-SEED/` |
/// | `resume` | no | go on from what an interrupted run saved; a finished run is only reported |
/// | `checkpoint_every` | 10 s | time between two checkpoints of a training, at least; 0 saves after every batch |
/// | `interrupt` | nobody's | a wish to stop: the run saves its state and ends with [`LabError::Interrupted`] |
#[derive(Clone, Debug)]
pub struct Settings {
    /// How much of the paper.
    pub scale: Scale,
    /// Root of all randomness; the first of several.
    pub seed: u64,
    /// How many seeds, counted up from `seed`.
    pub seeds: usize,
    /// Threads the paper may use.
    pub threads: usize,
    /// Folder of data sets.
    pub data: Option<PathBuf>,
    /// Root of the output folders.
    pub out: PathBuf,
    /// Go on from what an interrupted run saved.
    pub resume: bool,
    /// Time between two checkpoints of a training, at least.
    pub checkpoint_every: Duration,
    /// A wish to stop.
    pub interrupt: Interrupt,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            scale: Scale::Short,
            seed: 1,
            seeds: 1,
            threads: 1,
            data: None,
            out: "target/reproduce".into(),
            resume: false,
            checkpoint_every: Duration::from_secs(10),
            interrupt: Interrupt::default(),
        }
    }
}

/// Checks that results can be written under `out`, which is created if need be: better before the run than after it.
///
/// # Errors
/// [`LabError::Io`] with the folder and the system's reason.
pub fn check_out(out: &Path) -> Result<(), LabError> {
    std::fs::create_dir_all(out).map_err(LabError::io("create the folder", out))?;
    // A file without a name: a kill leaves nothing. A page of it: an empty file fits on a full disk.
    let probe = tempfile::tempfile_in(out).and_then(|mut file| file.write_all(&[0; 4096]));
    probe.map_err(LabError::io("write to", out))
}

/// Runs `paper` and files the result. A run that fails leaves the files of an earlier one as they were.
///
/// # Errors
/// [`LabError::Paper`] with what the paper said; [`LabError::Interrupted`]; [`LabError::Busy`], [`LabError::OtherRun`] or [`LabError::Io`] from the
/// folder of the run; [`LabError::SeedOverflow`].
pub fn reproduce(paper: &'static Paper, settings: &Settings) -> Result<RunResult, LabError> {
    if settings.seeds <= 1 {
        return one_seed(paper, settings, settings.seed);
    }
    let last = settings.seed.checked_add(settings.seeds as u64 - 1);
    let last = last.ok_or(LabError::SeedOverflow { seed: settings.seed, seeds: settings.seeds })?;
    let runs = (settings.seed..=last).map(|seed| one_seed(paper, settings, seed)).collect::<Result<Vec<_>, _>>()?;

    let name = format!("{}-seeds-{}-from-{}", settings.scale, settings.seeds, settings.seed);
    let store = Store::open(&settings.out.join(paper.id).join(name), &settings.begun(), false)?;
    let mut result = over_seeds(paper, settings, &runs);
    result.files.insert(0, path_text(&store.dir().join("result.json")));
    result.write(&store.files().join("result.json"))?;
    store.commit()?;
    Ok(result)
}

fn one_seed(paper: &'static Paper, settings: &Settings, seed: u64) -> Result<RunResult, LabError> {
    if settings.interrupt.requested() {
        return Err(LabError::Interrupted);
    }
    let dir = settings.out.join(paper.id).join(format!("{}-{seed}", settings.scale));
    if settings.resume
        && let Some(done) = finished(paper, settings, seed, &dir)
    {
        say(format_args!("{}, {}: finished before, in {}", paper.id, done.setting(), dir.display()));
        Store::clear(&dir)?;
        return Ok(done);
    }
    let store = Store::open(&dir, &settings.begun(), settings.resume)?;
    let resumed = store.resumed();
    memory::reset_peak();
    let begun = Instant::now();
    let mut lab = Lab::new(paper, settings, seed, store);
    if resumed {
        lab.note("continued from an interrupted run: times and memory are those of the last part");
    }
    if let Err(cause) = attempt(&mut lab, paper.id, paper.run) {
        return Err(match cause.downcast_ref() {
            Some(LabError::Interrupted) => LabError::Interrupted,
            _ => LabError::Paper { paper: paper.id, scale: settings.scale, seed, cause },
        });
    }
    let seconds = begun.elapsed().as_secs_f64();
    let Finished { claims, notes, files, trainings, store } = lab.finish();
    let files = std::iter::once("result.json".to_owned()).chain(files).map(|name| path_text(&dir.join(name))).collect();
    let peak_bytes = Some(memory::peak() as u64).filter(|&bytes| bytes > 0);
    let data = settings.data.is_some();
    let id = paper.id.to_owned();
    let (scale, threads) = (settings.scale, settings.threads);
    let result = RunResult { paper: id, scale, seed, seeds: None, threads, data, claims, seconds, peak_bytes, files, trainings, notes };
    result.write(&store.files().join("result.json"))?;
    store.commit()?;
    Ok(result)
}

/// Does `work` in the lab; of a failure that leaves something to go on from, says so.
pub(crate) fn attempt(lab: &mut Lab, what: &str, work: impl FnOnce(&mut Lab) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let outcome = catch_unwind(AssertUnwindSafe(|| work(lab))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(anyhow::anyhow!("its code panicked, which is a bug: {}", text.unwrap_or("no message")))
    });
    if let Err(cause) = &outcome
        && lab.has_checkpoints()
        && !matches!(cause.downcast_ref(), Some(LabError::Checkpoint { .. }))
    {
        say(format_args!("{what}: what it had saved is kept; --resume goes on from there"));
    }
    outcome
}

/// The result in `dir`, if it is what a run with these settings would be about.
fn finished(paper: &Paper, settings: &Settings, seed: u64, dir: &Path) -> Option<RunResult> {
    let mut result = RunResult::read(&dir.join("result.json")).ok()?;
    let same_claims = result.claims.len() == paper.claims.len()
        && result.claims.iter().zip(paper.claims).all(|(ours, claim)| {
            ours.what == claim.what && ours.paper == claim.paper && ours.bound == claim.bound && ours.source == claim.source
        });
    let same = result.paper == paper.id
        && (result.scale, result.seed, result.seeds) == (settings.scale, seed, None)
        && (result.threads, result.data) == (settings.threads, settings.data.is_some())
        && same_claims;
    // The folder may have been moved since.
    for file in &mut result.files {
        *file = path_text(&dir.join(Path::new(&*file).file_name()?));
    }
    same.then_some(result)
}

/// The runs of several seeds as one result: means, standard errors, one verdict for each claim.
fn over_seeds(paper: &Paper, settings: &Settings, runs: &[RunResult]) -> RunResult {
    let claims = paper.claims.iter().enumerate().map(|(k, claim)| {
        let each: Vec<&ClaimResult> = runs.iter().map(|run| &run.claims[k]).collect();
        let seconds = each.iter().map(|one| one.seconds).sum();
        let measured = each.iter().filter(|one| figure(one).is_some()).count();
        if let Some(one) = each.iter().find(|one| figure(one).is_none()) {
            let why = one.why.clone().unwrap_or_default();
            let why = if measured == 0 { why } else { format!("measured with only {measured} of {} seeds: {why}", each.len()) };
            return lab::not_run(claim, why, seconds);
        }
        let ours_each: Vec<Option<f64>> = each.iter().filter_map(|one| figure(one)).collect();
        let blank = ClaimResult { seconds, ours_each, ..lab::blank(claim) };
        if let Some(bad) = blank.ours_each.iter().position(Option::is_none) {
            let why = format!("seed {}: {}", runs[bad].seed, each[bad].why.as_deref().unwrap_or("our figure is not a number"));
            return ClaimResult { verdict: Verdict::Missed, why: Some(why), ..blank };
        }
        if runs.len() < claim.seeds {
            return ClaimResult { why: Some(lab::needs(claim)), ..blank };
        }
        let each: Vec<f64> = blank.ours_each.iter().flatten().copied().collect();
        let (mean, error) = (stats::mean(&each), stats::standard_error(&each));
        ClaimResult { ours: Some(mean), standard_error: Some(error), verdict: lab::verdict(claim, mean), ..blank }
    });
    RunResult {
        paper: paper.id.into(),
        scale: settings.scale,
        seed: settings.seed,
        seeds: Some(runs.len()),
        threads: settings.threads,
        data: settings.data.is_some(),
        claims: claims.collect(),
        seconds: runs.iter().map(|run| run.seconds).sum(),
        peak_bytes: runs.iter().filter_map(|run| run.peak_bytes).max(),
        files: runs.iter().flat_map(|run| run.files.iter().cloned()).collect(),
        trainings: Vec::new(),
        notes: runs.iter().flat_map(|run| run.notes.iter().map(move |note| format!("seed {}: {note}", run.seed))).collect(),
    }
}

/// What one seed measured: nothing, something that is no number, or a number.
fn figure(one: &ClaimResult) -> Option<Option<f64>> {
    match (one.ours, &one.ours_each[..], one.verdict) {
        (Some(ours), _, _) => Some(Some(ours)),
        (None, &[each], _) => Some(each),
        (None, _, Verdict::Missed) => Some(None),
        _ => None,
    }
}

impl Settings {
    fn begun(&self) -> Begun {
        Begun::now(self.data.clone(), None)
    }
}

pub(crate) fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
