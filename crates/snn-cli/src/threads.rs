//! The option `--threads`, and the pool that all work is done on.

use anyhow::{Context, Result};

#[derive(clap::Args)]
pub struct Threads {
    /// Threads to use [default: one per core]. The result does not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    threads: Option<u32>,
}

impl Threads {
    /// How many.
    pub fn count(&self) -> usize {
        self.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), |count| count as usize)
    }

    /// Starts the pool.
    pub fn start(&self) -> Result<()> {
        let count = self.count();
        start(count).with_context(|| format!("cannot start {count} threads; choose fewer with --threads"))
    }
}

/// Memory for the threads' stacks is asked for first: a thread that starts but finds none for itself ends the process.
fn start(count: usize) -> Result<()> {
    const STACK: usize = 4 << 20;
    Vec::<u8>::new().try_reserve_exact(count * STACK)?;
    Ok(rayon::ThreadPoolBuilder::new().num_threads(count).build_global()?)
}
