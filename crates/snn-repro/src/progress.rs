//! How far a run is: a bar on a terminal, a plain line now and then elsewhere. Always on stderr.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Between two plain lines.
const EVERY: Duration = Duration::from_secs(5);

/// A line on standard error. A log on a full disk or a reader that has left (`2>&1 | head`) does not end a run, as `eprintln!` would.
pub fn say(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// The bars of a run: several may be shown at once, and lines between them.
#[derive(Clone, Default)]
pub struct Bars(Option<MultiProgress>);

impl Bars {
    /// On a terminal; elsewhere progress is a line now and then.
    pub fn new() -> Self {
        Bars(std::io::stderr().is_terminal().then(MultiProgress::new))
    }

    /// A line between the bars.
    pub(crate) fn say(&self, text: &str) {
        match &self.0 {
            Some(bars) => bars.suspend(|| say(text)),
            None => say(text),
        }
    }

    /// Shows progress towards `total` until the returned value is dropped.
    pub fn progress(&self, label: &str, total: u64) -> Progress {
        let bar = self.0.as_ref().map(|bars| {
            let template = "{prefix} {wide_bar} {pos}/{len} {per_sec} {eta} left {msg}";
            // A template that does not parse would be ours to mend; the default bar serves until then.
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = bars.add(ProgressBar::new(total).with_style(style).with_prefix(label.to_owned()));
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        let plain = Plain { message: String::new(), printed: Instant::now() };
        Progress {
            label: label.into(),
            total,
            done: AtomicU64::new(0),
            restored: AtomicU64::new(0),
            begun: Instant::now(),
            bar,
            plain: Mutex::new(plain),
        }
    }
}

/// Counts towards a total, and shows rate and time left. May be counted up from several threads.
pub struct Progress {
    label: String,
    total: u64,
    done: AtomicU64,
    restored: AtomicU64,
    begun: Instant,
    bar: Option<ProgressBar>,
    plain: Mutex<Plain>,
}

struct Plain {
    message: String,
    printed: Instant,
}

impl Progress {
    /// Counts `n` more.
    pub fn inc(&self, n: u64) {
        self.done.fetch_add(n, Relaxed);
        match &self.bar {
            Some(bar) => bar.inc(n),
            None => self.print(false),
        }
    }

    /// Begins the count at `done`, which an earlier attempt had reached: it does not enter the rate.
    pub fn resume_at(&self, done: u64) {
        self.done.store(done, Relaxed);
        self.restored.store(done, Relaxed);
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.reset_eta();
        }
    }

    /// A short remark beside the count: the loss, the accuracy.
    pub fn message(&self, text: impl Into<String>) {
        match &self.bar {
            Some(bar) => bar.set_message(text.into()),
            None => {
                if let Ok(mut plain) = self.plain.lock() {
                    plain.message = text.into();
                }
            }
        }
    }

    /// Prints a plain line if the last one is long ago, or anyway. Nobody waits for it: a second thread just goes on.
    fn print(&self, anyway: bool) {
        let Ok(mut plain) = self.plain.try_lock() else { return };
        if anyway || plain.printed.elapsed() >= EVERY {
            plain.printed = Instant::now();
            let (done, restored) = (self.done.load(Relaxed), self.restored.load(Relaxed));
            say(line(&self.label, done, done.saturating_sub(restored), self.total, self.begun.elapsed(), &plain.message));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        match &self.bar {
            Some(bar) => bar.finish_and_clear(),
            // Short stretches would only fill a log.
            None if self.begun.elapsed() >= EVERY => self.print(true),
            None => {}
        }
    }
}

/// One plain line; the rate is that of the `own` units done since the start.
fn line(label: &str, done: u64, own: u64, total: u64, elapsed: Duration, message: &str) -> String {
    let rate = own as f64 / elapsed.as_secs_f64().max(1e-9);
    let left = match total.saturating_sub(done) {
        0 => format!("{:.0} s", elapsed.as_secs_f64()),
        n if own > 0 => format!("{:.0} s left", n as f64 / rate),
        _ => "time left unknown".into(),
    };
    let remark = if message.is_empty() { String::new() } else { format!(", {message}") };
    let decimals = if rate < 10.0 { 2 } else { 0 };
    format!("{label}: {done}/{total}, {rate:.decimals$}/s, {left}{remark}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines() {
        let s = Duration::from_secs;
        assert_eq!(line("train", 50, 50, 200, s(10), "loss 0.41"), "train: 50/200, 5.00/s, 30 s left, loss 0.41");
        assert_eq!(line("train", 150, 50, 200, s(10), ""), "train: 150/200, 5.00/s, 10 s left");
        assert_eq!(line("train", 0, 0, 200, s(10), ""), "train: 0/200, 0.00/s, time left unknown");
        assert_eq!(line("train", 200, 200, 200, s(10), ""), "train: 200/200, 20/s, 10 s");
    }
}
