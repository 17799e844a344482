//! Threads that take a population's blocks through the same steps, meeting after every few of them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Where the threads of a team wait for each other. Steps are short, so waiting is spinning: a sleeping thread would wake too late.
pub(crate) struct Barrier {
    size: usize,
    arrived: AtomicUsize,
    round: AtomicUsize,
    broken: AtomicBool,
}

impl Barrier {
    pub(crate) fn new(size: usize) -> Self {
        Barrier { size, arrived: AtomicUsize::new(0), round: AtomicUsize::new(0), broken: AtomicBool::new(false) }
    }

    /// Returns when all threads have called it.
    ///
    /// # Panics
    /// If another thread of the team has panicked.
    pub(crate) fn wait(&self) {
        let round = self.round.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.size {
            self.arrived.store(0, Ordering::Relaxed);
            self.round.store(round + 1, Ordering::Release);
            return;
        }
        for spins in 0u32.. {
            if self.round.load(Ordering::Acquire) != round {
                return;
            }
            assert!(!self.broken.load(Ordering::Relaxed), "another thread of this run has panicked");
            // Where threads outnumber cores, the one that is waited for needs this core.
            if spins < 2000 { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
    }

    /// Runs `work(k, member)` for every member on a thread of its own, the first on this one.
    pub(crate) fn run<M: Send>(&self, members: Vec<M>, work: impl Fn(usize, M) + Sync) {
        struct Watch<'a>(&'a AtomicBool);
        impl Drop for Watch<'_> {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    self.0.store(true, Ordering::Relaxed);
                }
            }
        }
        let watched = |k: usize, member: M| {
            let _watch = Watch(&self.broken);
            work(k, member);
        };
        std::thread::scope(|scope| {
            let mut members = members.into_iter().enumerate();
            let first = members.next();
            for (k, member) in members {
                let watched = &watched;
                scope.spawn(move || watched(k, member));
            }
            first.into_iter().for_each(|(k, member)| watched(k, member));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn nobody_runs_ahead() {
        let (barrier, log) = (Barrier::new(3), Mutex::new(Vec::new()));
        barrier.run(vec![(), (), ()], |_, ()| {
            for round in 0..500 {
                log.lock().unwrap().push(round);
                barrier.wait();
            }
        });
        assert!(log.into_inner().unwrap().chunks(3).zip(0..).all(|(three, round)| three == [round; 3]));
    }

    #[test]
    #[should_panic]
    fn a_panic_frees_the_others() {
        let barrier = Barrier::new(2);
        barrier.run(vec![0, 1], |_, member| {
            assert!(member == 0, "on purpose");
            barrier.wait();
        });
    }
}
