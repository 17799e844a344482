//! What a paper is given to run in.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use snn_core::{Raster, Seed};

use crate::plot::{self, Axes};
use crate::progress::{Bars, Progress};
use crate::store::{Store, check_name};
use crate::{Claim, ClaimResult, Interrupt, LabError, Paper, Scale, Settings, Training, Verdict};

/// One run of one paper: its settings, its answers, its files.
pub struct Lab {
    paper: &'static Paper,
    scale: Scale,
    seed: u64,
    threads: usize,
    data: Option<PathBuf>,
    checkpoint_every: Duration,
    interrupt: Interrupt,
    store: Store,
    bars: Bars,
    answers: Vec<Option<Answer>>,
    notes: Vec<String>,
    files: Vec<String>,
    trainings: Vec<Training>,
    since: Instant,
}

struct Answer {
    ours: Result<f64, String>,
    seconds: f64,
}

impl Lab {
    pub(crate) fn new(paper: &'static Paper, settings: &Settings, seed: u64, store: Store) -> Self {
        Lab {
            paper,
            scale: settings.scale,
            seed,
            threads: settings.threads,
            data: settings.data.clone(),
            checkpoint_every: settings.checkpoint_every,
            interrupt: settings.interrupt.clone(),
            store,
            bars: Bars::new(),
            answers: paper.claims.iter().map(|_| None).collect(),
            notes: Vec::new(),
            files: Vec::new(),
            trainings: Vec::new(),
            since: Instant::now(),
        }
    }

    /// How much of the paper to run.
    pub fn scale(&self) -> Scale {
        self.scale
    }

    /// The root of all randomness of this run; give each use a child of its own.
    pub fn seed(&self) -> Seed {
        Seed::new(self.seed)
    }

    /// The folder of data sets, if one was given.
    pub fn data(&self) -> Option<&Path> {
        self.data.as_deref()
    }

    /// The same, but for smoke runs, which take generated data.
    pub fn real_data(&self) -> Option<PathBuf> {
        self.data.clone().filter(|_| self.scale != Scale::Smoke)
    }

    /// Why a claim is not measured without [`Lab::real_data`], of which it takes these folders: "mnist/ and onnx/".
    pub fn without(&self, folders: &str) -> String {
        match self.scale {
            Scale::Smoke => "short and paper scale only".into(),
            _ => format!("needs --data DIR with {folders} in it"),
        }
    }

    /// Runs `work` on as many threads.
    ///
    /// # Errors
    /// If they cannot be started, and what `work` reports.
    pub fn on_threads<T: Send>(&mut self, work: impl FnOnce(&mut Lab) -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
        let threads = self.threads;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.with_context(|| format!("{threads} threads could not be started; give a smaller number to --threads"))?.install(|| work(self))
    }

    /// Whether an interrupted run is continued: [`Lab::checkpoint`] then holds what that run saved.
    pub fn resume(&self) -> bool {
        self.store.resumed()
    }

    /// The folder in which the files of this run will be once it has succeeded.
    pub fn dir(&self) -> &Path {
        self.store.dir()
    }

    /// A folder for state that survives a kill, so that `--resume` can go on from it. It is removed when the run has succeeded.
    ///
    /// Write a file there with [`snn_io::atomic::write`] or [`snn_io::codec::save`], so that a kill never leaves half a file.
    ///
    /// # Errors
    /// [`LabError::FileName`] for a name that is no plain one; [`LabError::Io`].
    pub fn checkpoint(&self, name: &str) -> Result<PathBuf, LabError> {
        check_name(name)?;
        self.store.checkpoint(name)
    }

    /// Time between two checkpoints, at least.
    pub fn checkpoint_every(&self) -> Duration {
        self.checkpoint_every
    }

    /// The wish to stop. [`Lab::train`] looks at it after every batch; other work that takes minutes calls [`Lab::go_on`] now and then.
    pub fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// For long work outside [`Lab::train`], between two pieces of it.
    ///
    /// # Errors
    /// [`LabError::Interrupted`] if the run was asked to stop.
    pub fn go_on(&self) -> Result<(), LabError> {
        self.interrupt.go_on()
    }

    /// Reports our figure for the claim called `what`. Its time is the time since the report before.
    ///
    /// # Errors
    /// [`LabError::UnknownClaim`], or [`LabError::AnsweredTwice`].
    pub fn report(&mut self, what: &str, ours: f64) -> Result<(), LabError> {
        self.answer(what, Ok(ours))
    }

    /// Says why these claims are not measured in this run.
    ///
    /// # Errors
    /// As [`Lab::report`].
    pub fn not_run(&mut self, claims: &[&str], why: impl Into<String>) -> Result<(), LabError> {
        let why = why.into();
        claims.iter().try_for_each(|what| self.answer(what, Err(why.clone())))
    }

    /// Says why these claims are not measured at smoke scale: "two updates teach nothing".
    ///
    /// # Errors
    /// As [`Lab::report`].
    pub fn too_short(&mut self, claims: &[&str], why: &str) -> Result<(), LabError> {
        self.not_run(claims, format!("{why}; short and paper scale only"))
    }

    /// A remark for the reader: shown at once, and kept in the result file.
    pub fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.bars.say(&text);
        self.notes.push(text);
    }

    /// Shows progress towards `total` until the returned value is dropped.
    pub fn progress(&self, label: &str, total: u64) -> Progress {
        self.bars.progress(label, total)
    }

    /// Adds a file to the result.
    ///
    /// # Errors
    /// [`LabError::FileName`] for a name that is taken or no plain one; [`LabError::Io`].
    pub fn attach(&mut self, name: &str, bytes: impl AsRef<[u8]>) -> Result<(), LabError> {
        let path = self.file(name)?;
        std::fs::write(&path, bytes).map_err(LabError::io("write", &path))
    }

    /// Writes a file of the result that grows while the run goes on: it can be looked at meanwhile, in `OUT.partial/files/`.
    pub(crate) fn rewrite(&mut self, name: &str, bytes: &[u8]) -> Result<(), LabError> {
        let path = if self.files.iter().any(|file| file == name) { self.store.files().join(name) } else { self.file(name)? };
        std::fs::write(&path, bytes).map_err(LabError::io("write", &path))
    }

    /// Draws lines, one per `(label, points)`, to `NAME.svg` and `NAME.png`, and writes their points to `NAME.csv`.
    ///
    /// Points that are not numbers, or not positive on a logarithmic axis, are left out and interrupt the line.
    ///
    /// # Errors
    /// As [`Lab::attach`]; [`LabError::Plot`].
    pub fn curve<L: AsRef<str>>(
        &mut self,
        name: &str,
        title: &str,
        x_label: &str,
        y_label: &str,
        lines: &[(L, Vec<(f64, f64)>)],
        axes: Axes,
    ) -> Result<(), LabError> {
        let lines: Vec<(&str, &[(f64, f64)])> = lines.iter().map(|(label, points)| (label.as_ref(), &points[..])).collect();
        let points = lines.iter().flat_map(|(label, points)| points.iter().map(move |(x, y)| format!("{},{x},{y}\n", quoted(label))));
        let csv = format!("line,{},{}\n", quoted(x_label), quoted(y_label)) + &points.collect::<String>();
        self.attach(&format!("{name}.csv"), csv)?;
        let curve = plot::Curve { title, x_label, y_label, lines: &lines, axes };
        plot::draw(&curve, &self.file(&format!("{name}.svg"))?, &self.file(&format!("{name}.png"))?)
    }

    /// Draws spikes, unit over time, to `NAME.svg` and `NAME.png`; `dt` is the time step in seconds.
    ///
    /// # Errors
    /// As [`Lab::curve`].
    pub fn raster(&mut self, name: &str, title: &str, dt: f64, spikes: &Raster) -> Result<(), LabError> {
        let picture = plot::Spikes { title, dt, spikes };
        plot::draw(&picture, &self.file(&format!("{name}.svg"))?, &self.file(&format!("{name}.png"))?)
    }

    /// Draws small grey pictures side by side, `columns` in a row, to `NAME.svg` and `NAME.png`: 1 is ink, 0 is paper. Each has `shape` rows and columns, row by row.
    ///
    /// # Errors
    /// As [`Lab::curve`].
    pub fn tiles(&mut self, name: &str, title: &str, shape: (usize, usize), columns: usize, pictures: &[Vec<f64>]) -> Result<(), LabError> {
        let picture = plot::Tiles { title, shape, columns, pictures };
        plot::draw(&picture, &self.file(&format!("{name}.svg"))?, &self.file(&format!("{name}.png"))?)
    }

    /// Where to write the file called `name`, which becomes one of the result's.
    fn file(&mut self, name: &str) -> Result<PathBuf, LabError> {
        check_name(name)?;
        if name == "result.json" || self.files.iter().any(|file| file == name) {
            return Err(LabError::FileName { name: name.into(), why: "the run has a file of that name already" });
        }
        self.files.push(name.into());
        Ok(self.store.files().join(name))
    }

    fn answer(&mut self, what: &str, ours: Result<f64, String>) -> Result<(), LabError> {
        let paper = self.paper;
        let Some(index) = paper.claims.iter().position(|claim| claim.what == what) else {
            let known = paper.claims.iter().map(|claim| claim.what).collect::<Vec<_>>().join("; ");
            return Err(LabError::UnknownClaim { paper: paper.id, what: what.into(), known });
        };
        if self.answers[index].is_some() {
            return Err(LabError::AnsweredTwice { paper: paper.id, what: what.into() });
        }
        let now = Instant::now();
        let seconds = (now - std::mem::replace(&mut self.since, now)).as_secs_f64();
        if let Ok(ours) = ours {
            // A long run's figures should not wait for its end.
            let judged = judge(&paper.claims[index], ours, seconds);
            let verdict = if judged.verdict == Verdict::NotRun { "of this seed".into() } else { judged.verdict.to_string() };
            self.bars.say(&format!("{what}: {} ({verdict})", judged.figure()));
        }
        self.answers[index] = Some(Answer { ours, seconds });
        Ok(())
    }

    /// Lists a training in the result.
    pub(crate) fn trained(&mut self, training: Training) {
        self.trainings.push(training);
    }

    /// The answers judged, and everything else that goes into the result.
    pub(crate) fn finish(self) -> Finished {
        let scale = self.scale;
        let judged = self.paper.claims.iter().zip(self.answers).map(|(claim, answer)| match answer {
            Some(Answer { ours: Ok(ours), seconds }) => judge(claim, ours, seconds),
            Some(Answer { ours: Err(why), seconds }) => not_run(claim, why, seconds),
            None => not_run(claim, format!("not measured at {scale} scale"), 0.0),
        });
        Finished { claims: judged.collect(), notes: self.notes, files: self.files, trainings: self.trainings, store: self.store }
    }

    /// Whether there is something to go on from.
    pub(crate) fn has_checkpoints(&self) -> bool {
        self.store.has_checkpoints()
    }
}

/// What a run leaves.
pub(crate) struct Finished {
    pub(crate) claims: Vec<ClaimResult>,
    pub(crate) notes: Vec<String>,
    /// Names of the files in the store.
    pub(crate) files: Vec<String>,
    pub(crate) trainings: Vec<Training>,
    pub(crate) store: Store,
}

/// A text as one field of a CSV file.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.into() }
}

/// A claim with no figure and no verdict yet.
pub(crate) fn blank(claim: &Claim) -> ClaimResult {
    ClaimResult {
        what: claim.what.into(),
        paper: claim.paper.into(),
        ours: None,
        standard_error: None,
        ours_each: Vec::new(),
        bound: claim.bound,
        unit: claim.unit.into(),
        digits: claim.digits,
        verdict: Verdict::NotRun,
        why: None,
        source: claim.source.into(),
        seconds: 0.0,
    }
}

pub(crate) fn not_run(claim: &Claim, why: String, seconds: f64) -> ClaimResult {
    ClaimResult { why: Some(why), seconds, ..blank(claim) }
}

/// The verdict on a figure from one seed.
fn judge(claim: &Claim, ours: f64, seconds: f64) -> ClaimResult {
    let blank = ClaimResult { seconds, ..blank(claim) };
    if !ours.is_finite() {
        ClaimResult { verdict: Verdict::Missed, why: Some(format!("our figure is {ours}")), ..blank }
    } else if claim.seeds > 1 {
        ClaimResult { ours_each: vec![Some(ours)], why: Some(needs(claim)), ..blank }
    } else {
        ClaimResult { ours: Some(ours), verdict: verdict(claim, ours), ..blank }
    }
}

pub(crate) fn verdict(claim: &Claim, ours: f64) -> Verdict {
    if claim.bound.holds(ours) { Verdict::Met } else { Verdict::Missed }
}

pub(crate) fn needs(claim: &Claim) -> String {
    format!("needs {0} seeds: --seeds {0}", claim.seeds)
}
