//! What a search can be asked to make better: objectives with a name and a space, and candidates as jobs that any process can evaluate.
//!
//! A [`Job`] holds all that an evaluation needs, so that it may run in this process, in another one, or on another machine: its answer is a function of the job alone.
//! To add an objective: one file with an `impl` of [`Objective`], and one line in `objectives!`.
//!
//! ```
//! use snn_arch::objective::{self, Job};
//! let bandit = objective::by_name("bandit").unwrap();
//! let values = bandit.space().values(&vec![0.5; bandit.space().dims()]);
//! let job = Job::new(&*bandit, &values, 7);
//! assert_eq!(job.evaluate()?, job.evaluate()?);
//! # Ok::<(), snn_arch::ArchError>(())
//! ```

use crate::error::ArchError;
use crate::search::{Search, Space};
use serde::{Deserialize, Serialize};
use snn_core::Seed;
use std::collections::BTreeMap;

/// A fitness over a space: more is better.
pub trait Objective: Send + Sync {
    /// Name in job files.
    fn name(&self) -> &'static str;
    /// What it is, in a line.
    fn about(&self) -> &'static str;
    /// Where to search.
    fn space(&self) -> Space;
    /// The fitness of a candidate on the tasks of a seed: a function of both.
    ///
    /// # Errors
    /// If the candidate cannot be run.
    fn evaluate(&self, values: &[f64], seed: Seed) -> Result<f64, ArchError>;
}

macro_rules! objectives {
    ($($file:ident :: $Objective:ident),+ $(,)?) => {
        $(mod $file; pub use $file::$Objective;)+

        /// Every objective, with its default settings.
        pub fn all() -> Vec<Box<dyn Objective>> {
            vec![$(Box::new($Objective::default()),)+]
        }
    };
}

objectives! { liquid::Liquids, bandit::Bandits }

/// The objective called `name`.
pub fn by_name(name: &str) -> Option<Box<dyn Objective>> {
    all().into_iter().find(|objective| objective.name() == name)
}

/// One candidate to be evaluated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Name of the objective.
    pub objective: String,
    /// The candidate: each parameter of the objective's space.
    pub values: BTreeMap<String, f64>,
    /// Which tasks: the same for all candidates that are compared.
    pub seed: u64,
}

/// A job that was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The job.
    pub job: Job,
    /// Its fitness.
    pub fitness: f64,
}

impl Job {
    /// The job of a candidate of `objective`'s space.
    pub fn new(objective: &dyn Objective, values: &[f64], seed: u64) -> Self {
        let names = objective.space().parameters().iter().map(|p| p.name.clone()).collect::<Vec<_>>();
        Job { objective: objective.name().into(), values: names.into_iter().zip(values.iter().copied()).collect(), seed }
    }

    /// The jobs of the present generation of a search.
    pub fn generation(objective: &dyn Objective, search: &mut Search, seed: Seed) -> Vec<Job> {
        let tasks = seed.child("tasks").nth(search.generation()).value();
        search.ask().iter().map(|values| Job::new(objective, values, tasks)).collect()
    }

    /// Its fitness.
    ///
    /// # Errors
    /// If there is no such objective, a parameter is missing, unknown or out of its bounds, or the candidate cannot be run.
    pub fn evaluate(&self) -> Result<f64, ArchError> {
        let known = || all().iter().map(|o| o.name()).collect::<Vec<_>>().join(", ");
        let refuse = |why: String| ArchError::Job { objective: self.objective.clone(), why };
        let objective = by_name(&self.objective).ok_or_else(|| refuse(format!("there is none of this name; there are: {}", known())))?;
        let space = objective.space();
        let mut values = Vec::new();
        for p in space.parameters() {
            let value = *self
                .values
                .get(&p.name)
                .ok_or_else(|| refuse(format!("`{}` is missing: give it a value from {} to {}", p.name, p.low, p.high)))?;
            if !(p.low..=p.high).contains(&value) {
                return Err(refuse(format!("`{}` = {value}: give a value from {} to {}", p.name, p.low, p.high)));
            }
            values.push(value);
        }
        if let Some(name) = self.values.keys().find(|name| space.parameters().iter().all(|p| p.name != **name)) {
            let names = space.parameters().iter().map(|p| p.name.clone()).collect::<Vec<_>>().join(", ");
            return Err(refuse(format!("`{name}` is no parameter of it; there are: {names}")));
        }
        objective.evaluate(&values, Seed::new(self.seed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::{CrossEntropy, Random};

    #[test]
    fn every_objective_answers_within_its_space() {
        for objective in all() {
            let mut search = Search::new(objective.space(), Random { population: 2 }, Seed::new(1)).unwrap();
            for job in Job::generation(&*objective, &mut search, Seed::new(2)) {
                let read: Job = serde_json::from_str(&serde_json::to_string(&job).unwrap()).unwrap();
                let fitness = job.evaluate().unwrap();
                assert!(fitness.is_finite(), "{}", objective.name());
                assert_eq!(read.evaluate().unwrap(), fitness, "{}", objective.name());
                let text = |change: &dyn Fn(&mut Job)| {
                    let mut job = job.clone();
                    change(&mut job);
                    job.evaluate().unwrap_err().to_string()
                };
                let first = objective.space().parameters()[0].clone();
                assert!(text(&|job| job.objective = "nothing".into()).contains("there are: liquid"));
                assert!(
                    text(&|job| {
                        job.values.remove(&first.name);
                    })
                    .contains("is missing")
                );
                assert!(
                    text(&|job| {
                        job.values.insert(first.name.clone(), first.high + 1.0);
                    })
                    .contains("give a value from")
                );
                assert!(
                    text(&|job| {
                        job.values.insert(first.name.clone(), f64::NAN);
                    })
                    .contains("give a value from")
                );
                assert!(
                    text(&|job| {
                        job.values.insert("other".into(), 0.0);
                    })
                    .contains("no parameter")
                );
            }
        }
        // Another generation has other tasks; asked again it has the same.
        let bandit = by_name("bandit").unwrap();
        let mut search = Search::new(bandit.space(), CrossEntropy::default(), Seed::new(1)).unwrap();
        let first = Job::generation(&*bandit, &mut search, Seed::new(2));
        assert_eq!(first, Job::generation(&*bandit, &mut search, Seed::new(2)));
        search.tell(&vec![0.0; first.len()]).unwrap();
        assert_ne!(first[0].seed, Job::generation(&*bandit, &mut search, Seed::new(2))[0].seed);
    }
}
