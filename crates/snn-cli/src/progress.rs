//! How far an evaluation is: a bar on a terminal, a plain line now and then elsewhere. Always on standard error.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use snn_repro::{Interrupt, LabError, say};

/// Between two plain lines.
const EVERY: Duration = Duration::from_secs(5);

/// Counts images, and stops when somebody asks for it.
pub struct Progress<'a> {
    label: &'static str,
    total: usize,
    done: usize,
    bar: Option<ProgressBar>,
    printed: Instant,
    interrupt: &'a Interrupt,
}

impl<'a> Progress<'a> {
    pub fn new(label: &'static str, total: usize, interrupt: &'a Interrupt) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {per_sec} {eta} left");
            // A template that does not parse would be ours to mend; the default bar serves until then.
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total as u64).with_style(style).with_prefix(label)
        });
        Progress { label, total, done: 0, bar, printed: Instant::now(), interrupt }
    }

    /// Counts `n` more.
    ///
    /// # Errors
    /// [`LabError::Interrupted`] if somebody asked to stop.
    pub fn inc(&mut self, n: usize) -> Result<()> {
        self.done += n;
        match &self.bar {
            Some(bar) => bar.inc(n as u64),
            None if self.printed.elapsed() >= EVERY => {
                self.printed = Instant::now();
                say(format_args!("{}: {}/{}", self.label, self.done, self.total));
            }
            None => {}
        }
        if self.interrupt.requested() { Err(LabError::Interrupted.into()) } else { Ok(()) }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
