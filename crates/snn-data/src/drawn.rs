//! Trials without end: each is drawn from its number when it is asked for.

use crate::{error::DataError, fire::Events};
use snn_core::{Cue, Dataset, Raster, Seed, Target};
use std::ops::Range;

/// What a generated trial should give: the owned form of [`Target`].
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A class.
    Class(usize),
    /// A class for each of several windows.
    Cues(Vec<Cue>),
    /// A value per step and output, time-major.
    Series(Vec<f32>),
}

/// A task whose trials are functions of a seed: parameters that have been checked.
///
/// [`answer`](Self::answer) and [`draw`](Self::draw) get the same seed and speak of the same trial.
pub trait Task: Sync {
    /// Name for tables and logs.
    fn name(&self) -> &'static str;
    /// Input channels.
    fn inputs(&self) -> usize;
    /// Time steps of every trial.
    fn steps(&self) -> usize;
    /// Number of classes; 0 for regression.
    fn classes(&self) -> usize;
    /// What the trial should give.
    fn answer(&self, seed: Seed) -> Answer;
    /// Appends the input spikes `(step, channel)` of the trial, in any order.
    fn draw(&self, seed: Seed, into: &mut Vec<(u32, u32)>);
}

/// A range of the trials of a [`Task`], which has as many as there are numbers.
///
/// Trial number `n` is drawn from `seed.nth(n)`, whatever the range it is in: training and test parts are ranges that do not meet, or seeds that
/// differ. Spikes are drawn each time a trial is loaded; memory is that of the answers.
#[derive(Clone, Debug)]
pub struct Drawn<T> {
    task: T,
    seed: Seed,
    first: u64,
    answers: Vec<Answer>,
}

impl<T: Task> Drawn<T> {
    /// The trials of the numbers `range`.
    pub fn new(task: T, seed: Seed, range: Range<u64>) -> Self {
        let answers = range.clone().map(|n| task.answer(seed.nth(n))).collect();
        Drawn { task, seed, first: range.start, answers }
    }

    /// The task: its parameters.
    pub fn task(&self) -> &T {
        &self.task
    }

    /// The seed of trial `index` of this range.
    pub fn seed(&self, index: usize) -> Seed {
        self.seed.nth(self.first + index as u64)
    }
}

impl<T: Task> Dataset for Drawn<T> {
    fn name(&self) -> &str {
        self.task.name()
    }
    fn len(&self) -> usize {
        self.answers.len()
    }
    fn inputs(&self) -> usize {
        self.task.inputs()
    }
    fn steps(&self) -> usize {
        self.task.steps()
    }
    fn classes(&self) -> usize {
        self.task.classes()
    }
    fn load(&self, index: usize, into: &mut Raster) {
        let mut events = Events::new();
        self.task.draw(self.seed(index), &mut events);
        into.reset(self.inputs(), self.steps());
        into.fill(events);
    }
    fn target(&self, index: usize) -> Target<'_> {
        match &self.answers[index] {
            Answer::Class(class) => Target::Class(*class),
            Answer::Cues(cues) => Target::Cues(cues),
            Answer::Series(series) => Target::Series(series),
        }
    }
}

/// `Ok` if the steps of a trial, a sum, can be counted in 32 bits.
pub(crate) fn steps(of: &'static str, name: &'static str, parts: impl IntoIterator<Item = (usize, usize)>) -> Result<usize, DataError> {
    let steps = parts.into_iter().try_fold(0usize, |sum, (n, each)| sum.checked_add(n.checked_mul(each)?)).unwrap_or(usize::MAX);
    crate::error::count(of, name, steps)?;
    Ok(steps)
}
