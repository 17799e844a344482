//! Search inside a paper: generations with progress, a curve and checkpoints from which a killed run goes on.

use serde::{Deserialize, Serialize};
use snn_arch::search::Search;
use snn_core::stats::mean;

use crate::Lab;

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

impl Lab {
    /// Runs `search` until it has evaluated as many candidates, generation by generation, and returns how each went. `fitness` gets the candidates and the number of
    /// the generation, from 0, and must be a function of them; `measure` looks at the search after each. `name` names the search within the paper: with `--resume`
    /// it goes on from its last checkpoint, to the same bits as without interruption.
    ///
    /// # Errors
    /// What `fitness`, `measure` and [`Search::tell`] report; a checkpoint that cannot be written, is damaged or of another search;
    /// [`LabError::Interrupted`](crate::LabError::Interrupted) if the run is asked to stop: after the present generation and a checkpoint.
    pub fn search(
        &mut self,
        name: &str,
        search: &mut Search,
        evaluations: u64,
        mut fitness: impl FnMut(&[Vec<f64>], u64) -> anyhow::Result<Vec<f64>>,
        mut measure: impl FnMut(&Search) -> anyhow::Result<Option<f64>>,
    ) -> anyhow::Result<Vec<Generation>> {
        let mut checkpoint = self.checkpoint_of("search", name, evaluations, "evaluations")?;
        let mut history: Vec<Generation> = Vec::new();
        if let Some((done, at)) = checkpoint.load::<(_, Search)>()? {
            if at.space() != search.space() {
                return Err(checkpoint.refused("it is of a search of another space").into());
            }
            (history, *search) = (done, at);
        }
        let progress = self.progress(name, evaluations);
        progress.resume_at(search.evaluations());
        while search.evaluations() < evaluations {
            let before = search.evaluations();
            let found = fitness(&search.ask(), search.generation())?;
            search.tell(&found)?;
            let best = found.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let mean = mean(&found);
            progress.inc(search.evaluations() - before);
            progress.message(format!("mean fitness {mean:.3}, best {best:.3}"));
            history.push(Generation { evaluations: search.evaluations(), mean, best, measured: measure(search)? });
            if checkpoint.due() || search.evaluations() >= evaluations {
                checkpoint.save(&(&history, &*search))?;
            }
        }
        Ok(history)
    }
}
