//! What can go wrong in the lab. Each message is whole: it ends with the cause, which therefore is not chained as a source.

use std::path::PathBuf;

/// Why a run gave no result.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A paper spoke of a claim that it does not list.
    #[error("paper {paper} has no claim \"{what}\"; its claims are: {known}")]
    UnknownClaim {
        /// The paper.
        paper: &'static str,
        /// The claim it spoke of.
        what: String,
        /// The claims it lists.
        known: String,
    },
    /// A paper gave two answers to one claim.
    #[error("paper {paper} answered the claim \"{what}\" twice; report it once")]
    AnsweredTwice {
        /// The paper.
        paper: &'static str,
        /// The claim.
        what: String,
    },
    /// A file name that is not a plain name, or is taken.
    #[error("a run cannot write a file named \"{name}\": {why}")]
    FileName {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A file or folder could not be used.
    #[error("cannot {doing} {}: {cause}", path.display())]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's answer.
        cause: std::io::Error,
    },
    /// A result file does not hold a result.
    #[error("{} is not a result file: {cause}; remove it, or run the paper again", path.display())]
    BadResult {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: serde_json::Error,
    },
    /// A result file of a paper that is not on the list.
    #[error("{} is of the paper \"{paper}\", which there is not; remove it, or correct its name", path.display())]
    NoPaper {
        /// The file.
        path: PathBuf,
        /// The paper it names.
        paper: String,
    },
    /// Another process writes to the same place.
    #[error("another run is writing to {}: wait for it, or give this one another --out", path.display())]
    Busy {
        /// The folder of the run.
        path: PathBuf,
    },
    /// Partial state was made with other arguments.
    #[error("{} was begun {was}, this run is {now}: run without --resume to start again, or take the same program and arguments", path.display())]
    OtherRun {
        /// The folder of the partial state.
        path: PathBuf,
        /// How it was begun.
        was: String,
        /// How it is run now.
        now: String,
    },
    /// Saved state that cannot be used; it is left as it is.
    #[error("cannot go on from the checkpoint {}: {why}. Run without --resume to start again", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Somebody asked the run to stop.
    #[error("interrupted")]
    Interrupted,
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] snn_io::IoError),
    /// A plot could not be drawn.
    #[error("cannot draw {}: {why}", path.display())]
    Plot {
        /// The file.
        path: PathBuf,
        /// What the drawing library said.
        why: String,
    },
    /// The seeds asked for do not fit into 64 bits.
    #[error("--seed {seed} with --seeds {seeds} goes beyond the largest seed, {}; give smaller numbers", u64::MAX)]
    SeedOverflow {
        /// First seed.
        seed: u64,
        /// Number of seeds.
        seeds: usize,
    },
    /// The paper's own code failed.
    #[error("paper {paper}, {scale} scale, seed {seed}: {cause:#}")]
    Paper {
        /// The paper.
        paper: &'static str,
        /// The scale it ran at.
        scale: crate::Scale,
        /// The seed it ran with.
        seed: u64,
        /// What it said.
        cause: anyhow::Error,
    },
    /// A recipe says something that cannot be understood.
    #[error("{}, line {line}: {why}", path.display())]
    Recipe {
        /// The recipe.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// What is wrong, and what is known.
        why: String,
    },
    /// A training failed.
    #[error("{cause:#}")]
    Training {
        /// What went wrong.
        cause: anyhow::Error,
    },
    /// A folder that holds something else than the result of a training.
    #[error("{} holds other files than the result of a training, which would be replaced: give another --out, or remove it", path.display())]
    NotOurs {
        /// The folder.
        path: PathBuf,
    },
    /// A document lacks the markers between which generated text goes.
    #[error("{} has no line \"{marker}\" followed by a line \"<!-- end -->\"; add both where the generated part belongs", path.display())]
    NoMarkers {
        /// The document.
        path: PathBuf,
        /// The missing marker.
        marker: &'static str,
    },
}

impl LabError {
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> LabError {
        let path = path.into();
        move |cause| LabError::Io { doing, path, cause }
    }
}
