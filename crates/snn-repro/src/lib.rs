//! Papers as files, and the lab that runs them.
//!
//! A paper is one file under `papers/` with its claims, its constants and a function that measures what it claims; the
//! [`Lab`] gives that function its scale, seed, data and a place for its files, and takes the measured figures. This crate judges
//! them, draws plots, resumes what was interrupted and writes result files. It holds no spiking algorithm another paper could use:
//! those live in the crates below. The dense networks that serve as a reference are in [`dense`].
//!
//! ```
//! use snn_repro::{Bound, Claim, Cost, Lab, Paper, Settings, Verdict, reproduce};
//!
//! static PAPER: Paper = Paper {
//!     id: "doubling",
//!     title: "On doubling",
//!     cite: "Example et al. 2020",
//!     about: "two and two are four",
//!     cost: Cost { smoke: "no time", short: "no time", paper: "no time" },
//!     claims: &[Claim::new("sum of two and two", "4 [Table 1]", Bound::Between(3.9, 4.1), "", 1, "Table 1").headline()],
//!     run,
//! };
//!
//! fn run(lab: &mut Lab) -> anyhow::Result<()> {
//!     lab.report("sum of two and two", 2.0 + 2.0)?;
//!     Ok(())
//! }
//!
//! let out = tempfile::tempdir()?;
//! let result = reproduce(&PAPER, &Settings { out: out.path().into(), ..Settings::default() })?;
//! assert_eq!(result.claims[0].verdict, Verdict::Met);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Read next: the files under `papers/`.

mod checkpoint;
mod conversion;
pub mod dense;
mod digits;
mod docs;
mod error;
pub mod inspect;
mod interrupt;
mod lab;
pub mod machines;
pub mod matrix;
pub mod memory;
mod paper;
pub mod papers;
mod plot;
mod progress;
pub mod recipe;
mod result;
mod reward;
mod run;
mod search;
mod spoken;
mod store;
pub mod table;
mod train;

pub use docs::{copy_plots, update};
pub use error::LabError;
pub use interrupt::Interrupt;
pub use lab::Lab;
pub use paper::{Bound, Claim, Cost, Paper, Scale, Verdict};
pub use plot::Axes;
pub use progress::{Bars, Progress, say};
pub use result::{ClaimResult, RunResult};
pub use run::{Settings, check_out, reproduce};
pub use search::Generation;
pub use table::render as render_text;
pub use train::{Epoch, Training, mean_active};

/// The code of the README is compiled and run with the documentation tests.
#[doc = include_str!("../README.md")]
#[cfg(doctest)]
pub struct ReadmeCode;
