//! A recipe at work: trained in a lab, as papers are, and its result a folder.

use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use snn_core::{Dataset, Network};
use snn_io::tensorboard::{self, Events};
use snn_learn::Trainer;

use super::{Parts, Recipe};
use crate::lab::{Finished, Lab};
use crate::plot::numbered;
use crate::progress::say;
use crate::run::{attempt, path_text};
use crate::store::{Begun, Store};
use crate::train::first_spikes;
use crate::{Axes, Cost, Epoch, LabError, Paper, Settings, Training, memory};

/// What a training gave, as `result.json` holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trained {
    /// Digest of the recipe, see [`Recipe::digest`].
    pub recipe: String,
    /// Name of the data.
    pub data: String,
    /// Trials to learn from, and held out.
    pub trials: (usize, usize),
    /// Passes over them.
    pub epochs: usize,
    /// Neurons of the network.
    pub neurons: usize,
    /// Links of the network.
    pub links: usize,
    /// Links as a share of those there could be.
    pub connectivity: f64,
    /// Mean loss of the last epoch, while learning.
    pub loss: f64,
    /// Accuracy of the last epoch, while learning, 0…1; none where data have no classes.
    pub accuracy: Option<f64>,
    /// Accuracy on what was held out, 0…1.
    pub held_out: Option<f64>,
    /// Mean loss on what was held out.
    pub held_out_loss: Option<f64>,
    /// Share of neuron-steps with a derivative in the last epoch, by population.
    pub active: Map<String, Value>,
    /// Share of neuron-steps with a spike in the last epoch, by population.
    pub spikes: Map<String, Value>,
    /// Threads of the run.
    pub threads: usize,
    /// Wall time.
    pub seconds: f64,
    /// Most bytes allocated at a time; absent if the program does not count them.
    pub peak_bytes: Option<u64>,
    /// Paths of the files written, with the folder as it was given.
    pub files: Vec<String>,
    /// The weights as a file.
    pub trainings: Vec<Training>,
    /// Remarks.
    pub notes: Vec<String>,
}

/// A lab belongs to a paper; that of a training claims nothing.
static TRAINING: Paper = Paper {
    id: "train",
    title: "A training",
    cite: "",
    about: "what a recipe says",
    cost: Cost { smoke: "", short: "", paper: "" },
    claims: &[],
    run: |_| Ok(()),
};

const NAME: &str = "training";
const RESULT: &str = "result.json";

/// Trains as `recipe` says, and files the result in the folder `settings.out`: the trained network as `network.json`, `recipe.toml`, the figures of each epoch as
/// `metrics.jsonl` and as a TensorBoard event file, curves, a raster, the weights as `.npz`, and `result.json`. It appears when the training has succeeded; until then the figures can be
/// looked at in `OUT.partial/files/`. Scale, seeds and data of the settings are not used.
///
/// The same recipe gives the same bits for any number of threads, and when it is resumed.
///
/// # Errors
/// [`LabError::Training`] with what went wrong; [`LabError::Interrupted`], with the state saved; [`LabError::NotOurs`], [`LabError::Busy`], [`LabError::OtherRun`] or
/// [`LabError::Io`] from the folder.
pub fn train(recipe: &Recipe, settings: &Settings) -> Result<Trained, LabError> {
    let dir = &settings.out;
    let earlier = earlier(dir)?;
    if let Some(done) = earlier.filter(|done| settings.resume && done.recipe == recipe.digest) {
        say(format_args!("finished before, in {}", dir.display()));
        Store::clear(dir)?;
        return Ok(moved(done, dir));
    }
    let begun = Begun::now(None, Some(recipe.digest.clone()));
    let store = Store::open(dir, &begun, settings.resume)?;
    let resumed = store.resumed();
    memory::reset_peak();
    let since = Instant::now();
    let mut lab = Lab::new(&TRAINING, settings, 0, store);
    if resumed {
        lab.note("continued from an interrupted run: times and memory are those of the last part");
    }
    let mut figures = None;
    let outcome = attempt(&mut lab, "train", |lab| {
        figures = Some(learn(recipe, lab)?);
        Ok(())
    });
    let figures = match (outcome, figures) {
        (Ok(()), Some(figures)) => figures,
        (Err(cause), _) if matches!(cause.downcast_ref(), Some(LabError::Interrupted)) => return Err(LabError::Interrupted),
        (Err(cause), _) => return Err(LabError::Training { cause }),
        (Ok(()), None) => return Err(LabError::Training { cause: anyhow::anyhow!("it ended without a result") }),
    };
    let Finished { notes, files, trainings, store, .. } = lab.finish();
    let trained = Trained {
        threads: settings.threads,
        seconds: since.elapsed().as_secs_f64(),
        peak_bytes: Some(memory::peak() as u64).filter(|&bytes| bytes > 0),
        files: std::iter::once(RESULT.to_owned()).chain(files).map(|name| path_text(&dir.join(name))).collect(),
        trainings,
        notes,
        ..figures
    };
    snn_io::json::save_json(store.files().join(RESULT), &trained)?;
    store.commit()?;
    Ok(trained)
}

/// The result of an earlier training in `dir`, if there is something. Nothing else is ever replaced.
fn earlier(dir: &Path) -> Result<Option<Trained>, LabError> {
    let empty = match std::fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => true,
        Err(cause) => return Err(LabError::io("read the folder", dir)(cause)),
    };
    match snn_io::json::load_json(dir.join(RESULT)) {
        Ok(done) => Ok(Some(done)),
        Err(_) if empty => Ok(None),
        Err(_) => Err(LabError::NotOurs { path: dir.into() }),
    }
}

/// The result with the paths of its files as they are now: its folder may have been moved.
fn moved(mut done: Trained, dir: &Path) -> Trained {
    for file in &mut done.files {
        if let Some(name) = Path::new(&*file).file_name() {
            *file = path_text(&dir.join(name));
        }
    }
    done
}

fn learn(recipe: &Recipe, lab: &mut Lab) -> Result<Trained> {
    let parts = recipe.open()?;
    let net = recipe.network(&parts)?;
    let mut trainer = recipe.trainer(&net)?;
    let (train, held_out) = (parts.train(), parts.held_out());
    let held_out = held_out.as_ref().map(|data| data as &dyn Dataset);
    let classes = train.classes() > 0;
    let described = Described::new(&net, classes);

    let mut since = Instant::now();
    let seconds = |_: &Trainer| Ok(Some(std::mem::replace(&mut since, Instant::now()).elapsed().as_secs_f64()));
    let whole = |_| -> Result<Box<dyn Dataset + '_>> { Ok(Box::new(parts.train())) };
    let judged = held_out.filter(|_| classes);
    let begun = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
    let history = lab.train_watched(NAME, &mut trainer, recipe.epochs, whole, judged, seconds, |lab, history| {
        let lines: Vec<String> = history.iter().enumerate().map(|(k, epoch)| described.line(k, epoch).to_string() + "\n").collect();
        lab.rewrite("metrics.jsonl", lines.concat().as_bytes())?;
        Ok(lab.rewrite(tensorboard::FILE_NAME, described.events(begun, history).bytes())?)
    })?;

    let trained = trainer.network()?;
    lab.attach("network.json", serde_json::to_vec(&trained)?)?;
    lab.attach("recipe.toml", &recipe.text)?;
    described.draw(lab, &history)?;
    let events = trained.draft().populations.iter().position(|p| p.model.output().is_events());
    if let Some(p) = events {
        let (data, which) = held_out.map_or((&train as &dyn Dataset, "training"), |data| (data, "held-out"));
        let title = format!("{}: spikes of `{}` in the first {which} trial", train.name(), trained.draft().populations[p].name);
        lab.raster("raster", &title, trained.dt(), &first_spikes(&trained, data, p))?;
    }
    let judged = held_out.map(|data| trainer.evaluate(data)).transpose()?;
    let last = history.last().ok_or_else(|| anyhow::anyhow!("no epoch was trained"))?;
    Ok(Trained {
        recipe: recipe.digest.clone(),
        data: train.name().into(),
        trials: (train.len(), held_out.map_or(0, Dataset::len)),
        epochs: recipe.epochs,
        neurons: trained.draft().populations.iter().map(|p| p.size).sum(),
        links: trained.links(),
        connectivity: described.connectivity(last),
        loss: last.loss,
        accuracy: classes.then_some(last.accuracy),
        held_out: judged.as_ref().filter(|_| classes).map(|stats| stats.accuracy()),
        held_out_loss: judged.as_ref().map(|stats| stats.mean_loss()),
        active: described.by_name(&last.active),
        spikes: described.by_name(&last.spikes),
        threads: 0,
        seconds: 0.0,
        peak_bytes: None,
        files: Vec::new(),
        trainings: Vec::new(),
        notes: Vec::new(),
    })
}

/// What the figures of an epoch are called.
struct Described {
    populations: Vec<String>,
    /// Links as a share of those there could be, as the network began.
    connectivity: f64,
    classes: bool,
}

impl Described {
    fn new(net: &Network, classes: bool) -> Self {
        let possible: usize = net.draft().projections.iter().map(|p| net.size(&p.from) * net.size(&p.to)).sum();
        let populations = net.draft().populations.iter().map(|p| p.name.clone()).collect();
        Described { populations, connectivity: net.links() as f64 / possible.max(1) as f64, classes }
    }

    fn by_name(&self, values: &[f64]) -> Map<String, Value> {
        self.populations.iter().cloned().zip(values.iter().map(|&x| x.into())).collect()
    }

    /// Links as a share of those there could be, after an epoch.
    fn connectivity(&self, epoch: &Epoch) -> f64 {
        let (live, possible) = epoch.turnover.iter().fold((0, 0), |(live, possible), t| (live + t.live, possible + t.possible));
        if possible == 0 { self.connectivity } else { live as f64 / possible as f64 }
    }

    /// A line of `metrics.jsonl`.
    fn line(&self, k: usize, epoch: &Epoch) -> Value {
        json!({
            "epoch": k + 1,
            "loss": epoch.loss,
            "accuracy": self.classes.then_some(epoch.accuracy),
            "held_out": epoch.held_out,
            "active": self.by_name(&epoch.active),
            "spikes": self.by_name(&epoch.spikes),
            "connectivity": self.connectivity(epoch),
            "seconds": epoch.measured,
        })
    }

    /// The figures of all epochs for TensorBoard, beginning at this time.
    fn events(&self, mut time: f64, history: &[Epoch]) -> Events {
        let mut events = Events::new(time);
        let each = |what: &str| -> Vec<String> { self.populations.iter().map(|name| format!("{what}/{name}")).collect() };
        let (active, spikes) = (each("active"), each("spikes"));
        for (epoch, k) in history.iter().zip(1..) {
            time += epoch.measured.unwrap_or(0.0);
            let mut values = vec![("loss", epoch.loss), ("connectivity", self.connectivity(epoch))];
            values.extend(self.classes.then_some(("accuracy/training", epoch.accuracy)));
            values.extend(epoch.held_out.map(|accuracy| ("accuracy/held_out", accuracy)));
            values.extend(active.iter().map(String::as_str).zip(epoch.active.iter().copied()));
            values.extend(spikes.iter().map(String::as_str).zip(epoch.spikes.iter().copied()));
            events.scalars(time, k, &values);
        }
        events
    }

    /// Curves over the epochs.
    fn draw(&self, lab: &mut Lab, history: &[Epoch]) -> Result<()> {
        let line = |f: &dyn Fn(&Epoch) -> Option<f64>| -> Vec<(f64, f64)> { numbered(history.iter().map(f)) };
        if self.classes {
            let lines = [("training", line(&|e| Some(100.0 * e.accuracy))), ("held out", line(&|e| Some(100.0 * e.held_out?)))];
            lab.curve("learning-curve", "learning curve", "epoch", "accuracy (%)", &lines, Axes::default())?;
        }
        lab.curve("loss", "loss", "epoch", "loss", &[("training", line(&|e| Some(e.loss)))], Axes::default())?;
        let each = |of: fn(&Epoch) -> &[f64]| -> Vec<(&String, Vec<(f64, f64)>)> {
            self.populations.iter().enumerate().map(|(p, name)| (name, line(&|e| Some(100.0 * of(e)[p])))).collect()
        };
        lab.curve("active", "entries with a derivative", "epoch", "% of neuron-steps", &each(|e| &e.active), Axes::default())?;
        lab.curve("spikes", "spikes", "epoch", "% of neuron-steps", &each(|e| &e.spikes), Axes::default())?;
        if history.iter().any(|e| !e.turnover.is_empty()) {
            let lines = [("all projections", line(&|e| Some(100.0 * self.connectivity(e))))];
            lab.curve("connectivity", "links there are", "epoch", "% of all", &lines, Axes::default())?;
        }
        Ok(())
    }
}

/// The parts are opened by the recipe: nobody else needs to know how.
impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let train = self.train();
        write!(f, "{}: {} trials to learn from, {} held out", train.name(), train.len(), self.held_out().map_or(0, |data| data.len()))
    }
}
