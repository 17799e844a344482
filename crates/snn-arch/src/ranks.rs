//! Processes that evaluate a generation together, under MPI or alone.
//!
//! Every rank runs the same search from the same seed and evaluates its share of the candidates; after an all-gather each knows the fitness of all. No number is added up between
//! ranks, so what is found does not depend on how many there are, to the bit. One process, [`Alone`], is the case of one rank; under the feature `mpi` a program that `mpirun`
//! started is one of several (`Mpi`).
//!
//! ```
//! use snn_arch::objective::{self, Job};
//! use snn_arch::ranks::{Alone, evaluate};
//! use snn_arch::search::{Random, Search};
//! use snn_core::Seed;
//! let bandit = objective::by_name("bandit").unwrap();
//! let mut search = Search::new(bandit.space(), Random { population: 3 }, Seed::new(1))?;
//! let jobs = Job::generation(&*bandit, &mut search, Seed::new(1));
//! let fitness = evaluate(&Alone, &jobs)?;
//! assert_eq!(fitness, jobs.iter().map(Job::evaluate).collect::<Result<Vec<_>, _>>()?);
//! # Ok::<(), snn_arch::ArchError>(())
//! ```

#[cfg(feature = "mpi")]
mod mpi;
#[cfg(feature = "mpi")]
pub use mpi::Mpi;

use crate::error::ArchError;
use crate::objective::Job;
use rayon::prelude::*;

/// One of several processes that run the same program on the same input.
pub trait Ranks {
    /// Which one this is, from 0.
    fn rank(&self) -> usize;
    /// How many there are.
    fn size(&self) -> usize;
    /// Every rank gives equally many numbers; every rank gets those of all, rank after rank. Waits for all.
    fn all_gather(&self, mine: &[f64]) -> Vec<f64>;
    /// Ends all ranks at once, with this exit code: for errors of one, which the others would wait for.
    fn abort(&self, code: i32) -> !;
}

/// A process of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Ranks for Alone {
    fn rank(&self) -> usize {
        0
    }
    fn size(&self) -> usize {
        1
    }
    fn all_gather(&self, mine: &[f64]) -> Vec<f64> {
        mine.to_vec()
    }
    fn abort(&self, code: i32) -> ! {
        std::process::exit(code)
    }
}

/// The fitness of every job, in order, on every rank: rank `r` of `n` evaluates jobs `r`, `r + n`, … on its threads.
///
/// # Errors
/// What [`Job::evaluate`] reports, on the rank where it happened. The others wait for that rank: it has to [end](Ranks::abort) them.
pub fn evaluate(ranks: &dyn Ranks, jobs: &[Job]) -> Result<Vec<f64>, ArchError> {
    let (rank, size) = (ranks.rank(), ranks.size());
    let mine: Vec<&Job> = jobs.iter().skip(rank).step_by(size).collect();
    let mut fitness = mine.into_par_iter().map(Job::evaluate).collect::<Result<Vec<f64>, _>>()?;
    let each = jobs.len().div_ceil(size);
    fitness.resize(each, 0.0);
    let all = ranks.all_gather(&fitness);
    Ok((0..jobs.len()).map(|job| all[job % size * each + job / size]).collect())
}

/// Whether `yes` on any rank.
pub fn any(ranks: &dyn Ranks, yes: bool) -> bool {
    ranks.all_gather(&[f64::from(yes)]).iter().any(|&x| x != 0.0)
}

#[cfg(test)]
mod tests {
    // By name: the prelude of proptest has an `any`, too.
    use super::any;
    use super::*;
    use crate::objective::by_name;
    use crate::search::{Method, Search};
    use proptest::prelude::*;
    use snn_core::Seed;
    use std::sync::{Barrier, Mutex};

    /// Threads that stand for ranks.
    struct Member<'a> {
        rank: usize,
        board: &'a [Mutex<Vec<f64>>],
        barrier: &'a Barrier,
    }

    impl Ranks for Member<'_> {
        fn rank(&self) -> usize {
            self.rank
        }
        fn size(&self) -> usize {
            self.board.len()
        }
        fn all_gather(&self, mine: &[f64]) -> Vec<f64> {
            *self.board[self.rank].lock().unwrap() = mine.to_vec();
            self.barrier.wait();
            let all = self.board.iter().flat_map(|given| given.lock().unwrap().clone()).collect();
            self.barrier.wait();
            all
        }
        fn abort(&self, code: i32) -> ! {
            panic!("rank {} aborts with {code}", self.rank)
        }
    }

    /// What each of `size` ranks gets from `work`.
    fn team<T: Send>(size: usize, work: impl Fn(&dyn Ranks) -> T + Sync) -> Vec<T> {
        let board: Vec<_> = (0..size).map(|_| Mutex::default()).collect();
        let barrier = Barrier::new(size);
        std::thread::scope(|scope| {
            let spawn = |rank| {
                let (board, barrier, work) = (&board, &barrier, &work);
                scope.spawn(move || work(&Member { rank, board, barrier }))
            };
            let members: Vec<_> = (0..size).map(spawn).collect();
            members.into_iter().map(|member| member.join().unwrap()).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn any_number_of_ranks_finds_what_one_finds(size in 1usize..6, method in 0..Method::all().len(), seed: u64) {
            let bandit = by_name("bandit").unwrap();
            let find = |ranks: &dyn Ranks| {
                let mut search = Search::new(bandit.space(), Method::all()[method].clone(), Seed::new(seed)).unwrap();
                for _ in 0..2 {
                    let jobs = Job::generation(&*bandit, &mut search, Seed::new(seed));
                    search.tell(&evaluate(ranks, &jobs).unwrap()).unwrap();
                }
                search
            };
            let alone = find(&Alone);
            for found in team(size, find) {
                prop_assert_eq!(&found, &alone);
            }
        }
    }

    #[test]
    fn one_wish_is_known_to_all() {
        for wisher in 0..4 {
            assert_eq!(team(4, |ranks| any(ranks, ranks.rank() == wisher)), [true; 4]);
        }
        assert_eq!(team(4, |ranks| any(ranks, false)), [false; 4]);
    }
}
