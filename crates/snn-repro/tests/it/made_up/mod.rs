//! Papers made for tests.

use std::path::Path;
use std::time::Duration;

use snn_repro::{Bound, Claim, Cost, Lab, Paper, Scale, Settings};

pub const fn claim(what: &'static str, bound: Bound, seeds: usize) -> Claim {
    Claim { what, paper: "1 [made up]", bound, unit: "", digits: 2, seeds, source: "nowhere", headline: false }
}

pub const fn paper(id: &'static str, claims: &'static [Claim], run: fn(&mut Lab) -> anyhow::Result<()>) -> Paper {
    let cost = Cost { smoke: "nothing", short: "nothing", paper: "nothing" };
    Paper { id, title: "Made up", cite: "nobody", about: "made for a test", cost, claims, run }
}

/// A smoke run that saves its state only when it is asked to stop.
pub fn settings(out: &Path) -> Settings {
    Settings { scale: Scale::Smoke, out: out.into(), checkpoint_every: Duration::from_secs(1000), ..Settings::default() }
}
