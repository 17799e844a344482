//! The process a search runs in: alone, or one of those that `mpirun` started.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use anyhow::{Result, ensure};
use snn_arch::ranks::{Alone, Ranks};

/// Variables by which a launcher tells its processes that they are several.
const LAUNCHERS: [&str; 4] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK", "MV2_COMM_WORLD_SIZE"];

/// This process among those that a launcher started.
pub fn join() -> Result<Box<dyn Ranks>> {
    match LAUNCHERS.iter().find(|name| std::env::var_os(name).is_some()) {
        Some(name) => launched(name),
        None => Ok(Box::new(Alone)),
    }
}

#[cfg(feature = "mpi")]
fn launched(_: &str) -> Result<Box<dyn Ranks>> {
    use anyhow::Context;
    Ok(Box::new(snn_arch::ranks::Mpi::start().context("MPI was started before in this process")?))
}

#[cfg(not(feature = "mpi"))]
fn launched(name: &str) -> Result<Box<dyn Ranks>> {
    anyhow::bail!(
        "{name} says that this is one of several processes, but this program knows no MPI: all would do the same work. \
         Build it with `cargo build --release -p snn-cli --features mpi`, or unset {name}"
    )
}

/// Makes sure that all ranks begin from the same: `text` holds all that matters.
pub fn agree(ranks: &dyn Ranks, text: &str) -> Result<()> {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    // As many bits as a float holds exactly.
    let all = ranks.all_gather(&[(hasher.finish() >> 12) as f64]);
    let other = all.iter().position(|hash| *hash != all[0]);
    ensure!(other.is_none(), "rank {} begins from another state than rank 0: --out must be the same folder for all", other.unwrap_or(0));
    Ok(())
}
