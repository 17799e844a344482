//! Plots of this program's own results, drawn as those of papers are.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use snn_repro::{Axes, Cost, Lab, Paper, Settings};

/// Lines over a common axis; the files are `NAME.svg`, `NAME.png` and, with the points, `NAME.csv`.
pub struct Plot {
    pub name: &'static str,
    pub title: String,
    pub x_label: &'static str,
    pub y_label: &'static str,
    pub lines: Vec<(&'static str, Vec<(f64, f64)>)>,
    pub axes: Axes,
}

thread_local! {
    /// What `draw` is to draw: a paper is a plain function.
    static PLOTS: RefCell<Vec<Plot>> = const { RefCell::new(Vec::new()) };
}

/// A paper without claims: a lab is what draws.
static PLOTTER: Paper = Paper {
    id: "plots",
    title: "Plots",
    cite: "",
    about: "draws what a command has measured",
    cost: Cost { smoke: "no time", short: "no time", paper: "no time" },
    claims: &[],
    run: draw,
};

fn draw(lab: &mut Lab) -> Result<()> {
    for plot in PLOTS.take() {
        lab.curve(plot.name, &plot.title, plot.x_label, plot.y_label, &plot.lines, plot.axes)?;
    }
    Ok(())
}

/// Draws plots into a folder of their own, which goes away with the first value; gives the files.
pub fn drawn(plots: Vec<Plot>) -> Result<(tempfile::TempDir, Vec<PathBuf>)> {
    let dir = tempfile::tempdir().context("cannot make a temporary folder for plots")?;
    PLOTS.set(plots);
    let result = snn_repro::reproduce(&PLOTTER, &Settings { out: dir.path().into(), ..Settings::default() })?;
    let files = result.files.into_iter().map(PathBuf::from).filter(|file| file.extension().is_none_or(|e| e != "json"));
    Ok((dir, files.collect()))
}

/// Copies a file, atomically.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let bytes = std::fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    Ok(snn_io::atomic::write(to, &bytes)?)
}
