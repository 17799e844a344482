//! What is in a file: a summary of any kind that this project reads, with a picture of the events where there are some. Contents decide, not names.
//!
//! ```
//! use snn_io::aer::{self, Event};
//! let dir = tempfile::tempdir()?;
//! let path = dir.path().join("00001.bin");
//! aer::write(&path, &[Event { x: 3, y: 9, on: true, t_us: 120 }, Event { x: 4, y: 9, on: false, t_us: 300_000 }])?;
//! let file = snn_repro::inspect::inspect(&path, 0)?;
//! assert_eq!((file.kind, file.fact("events")), ("address events", Some("2")));
//! file.plot(&dir.path().join("events.svg"))?;
//! # Ok::<(), anyhow::Error>(())
//! ```

mod numbers;
mod read;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde::Serialize;
use snn_core::Raster;

use crate::plot;

pub use numbers::{Bar, Numbers, short};
pub use read::inspect;

/// What is in a file.
#[derive(Debug, Serialize)]
pub struct Inspected {
    /// The file.
    pub file: PathBuf,
    /// What it is.
    pub kind: &'static str,
    /// What is said of it: a name and a value each, in order.
    #[serde(serialize_with = "as_map")]
    pub facts: Vec<(String, String)>,
    /// Its arrays or columns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<Numbers>,
    #[serde(skip)]
    events: Option<Events>,
}

/// Events that can be drawn.
#[derive(Debug)]
struct Events {
    title: String,
    dt: f64,
    raster: Raster,
}

fn as_map<S: serde::Serializer>(facts: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(facts.iter().map(|(name, value)| (name, value)))
}

impl Inspected {
    fn new(file: &Path, kind: &'static str) -> Self {
        Inspected { file: file.into(), kind, facts: Vec::new(), numbers: Vec::new(), events: None }
    }

    fn say(&mut self, name: &str, value: impl ToString) {
        self.facts.push((name.into(), value.to_string()));
    }

    /// What is said under this name.
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// Draws the events, unit over time, to a file whose name ends in `.svg` or `.png`.
    ///
    /// # Errors
    /// If there are none, or the file cannot be written.
    pub fn plot(&self, to: &Path) -> Result<()> {
        let Some(Events { title, dt, raster }) = &self.events else {
            bail!("{}: {} without events over time; there is no raster to draw", self.file.display(), self.kind);
        };
        Ok(plot::draw_one(&plot::Spikes { title, dt: *dt, spikes: raster }, to)?)
    }
}
