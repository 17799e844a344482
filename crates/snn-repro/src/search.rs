//! Search inside a paper: generations with progress, a curve and checkpoints from which a killed run goes on.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use snn_arch::search::Search;

use crate::train::file_name;
use crate::{Lab, LabError};

/// What one generation of a search gave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// Candidates evaluated so far.
    pub evaluations: u64,
    /// Mean fitness of the candidates.
    pub mean: f64,
    /// The highest.
    pub best: f64,
    /// What [`Lab::search`] was asked to measure after the generation.
    pub measured: Option<f64>,
}

/// What is kept of a run of [`Lab::search`].
#[derive(Serialize, Deserialize)]
struct Kept {
    name: String,
    evaluations: u64,
    history: Vec<Generation>,
    search: Search,
}

impl Lab {
    /// Runs `search` until it has evaluated as many candidates, generation by generation, and returns how each went. `fitness` gets the candidates and the number of
    /// the generation, from 0, and must be a function of them; `measure` looks at the search after each. `name` names the search within the paper: with `--resume`
    /// it goes on from its last checkpoint, to the same bits as without interruption.
    ///
    /// # Errors
    /// What `fitness`, `measure` and [`Search::tell`] report; a checkpoint that cannot be written, is damaged or of another search; [`LabError::Interrupted`] if the
    /// run is asked to stop: after the present generation and a checkpoint.
    pub fn search(
        &mut self,
        name: &str,
        search: &mut Search,
        evaluations: u64,
        mut fitness: impl FnMut(&[Vec<f64>], u64) -> anyhow::Result<Vec<f64>>,
        mut measure: impl FnMut(&Search) -> anyhow::Result<Option<f64>>,
    ) -> anyhow::Result<Vec<Generation>> {
        let path = self.checkpoint("search")?.join(format!("{}.ckpt", file_name(name)));
        let refused = |why: String| LabError::Checkpoint { why: why.replace(&format!("{}: ", path.display()), ""), path: path.clone() };
        let mut history = match snn_io::codec::load::<Kept>(&path) {
            Err(snn_io::IoError::NotFound { .. }) => Vec::new(),
            Err(cause) => return Err(refused(cause.to_string()).into()),
            Ok(kept) if (&*kept.name, kept.evaluations, kept.search.space()) != (name, evaluations, search.space()) => {
                let (theirs, n) = (kept.name, kept.evaluations);
                return Err(refused(format!("it is of \"{theirs}\" with {n} evaluations, this is \"{name}\" with {evaluations}")).into());
            }
            Ok(kept) => {
                *search = kept.search;
                kept.history
            }
        };
        let progress = self.progress(name, evaluations);
        progress.resume_at(search.evaluations());
        let mut saved_at = Instant::now();
        while search.evaluations() < evaluations {
            let before = search.evaluations();
            let found = fitness(&search.ask(), search.generation())?;
            search.tell(&found)?;
            let best = found.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let mean = found.iter().sum::<f64>() / found.len() as f64;
            progress.inc(search.evaluations() - before);
            progress.message(format!("mean fitness {mean:.3}, best {best:.3}"));
            history.push(Generation { evaluations: search.evaluations(), mean, best, measured: measure(search)? });
            let stop = self.interrupt().requested();
            if stop || search.evaluations() >= evaluations || saved_at.elapsed() >= self.checkpoint_every() {
                let kept = Kept { name: name.into(), evaluations, history, search: search.clone() };
                snn_io::codec::save(&path, &kept)?;
                history = kept.history;
                saved_at = Instant::now();
            }
            if stop {
                return Err(LabError::Interrupted.into());
            }
        }
        Ok(history)
    }
}
