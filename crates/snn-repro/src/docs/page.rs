//! The page of a paper: what it claims, what we found, where we depart from it, how to run it.

use std::fmt::Write;
use std::path::Path;

use super::claims::{Row, count, of, rows};
use super::{header, plots};
use crate::table::markdown;
use crate::{LabError, Paper, RunResult, Scale, Verdict};

/// The whole document, with `docs/papers/` as its place.
pub(super) fn render(root: &Path, paper: &'static Paper, results: &[RunResult]) -> Result<String, LabError> {
    let (header, rows) = (header::read(root, paper.id)?, rows(paper, results));
    let mut text =
        format!("<!-- Made by `snn docs` from docs/results/ and the paper's file: change those, not this. -->\n\n# {}\n\n", paper.title);
    let cite = header.cite.unwrap_or_else(|| format!("{}.", paper.cite));
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{cite}\n\nName on the command line: `{}`. {}.\n", paper.id, header::capital(paper.about));
    header.prose.iter().for_each(|paragraph| text += &format!("{paragraph}\n\n"));
    let _ = writeln!(
        text,
        "The whole experiment is [one file](../../crates/snn-repro/src/papers/{}.rs); other papers: [reproductions](../reproductions.md).\n",
        paper.id
    );

    let _ = writeln!(text, "## Claims\n\n{}\n", verdicts(&rows));
    let line =
        |row: &Row| vec![row.claim.what.into(), row.paper(), row.claim.source.into(), row.ours(), row.bound(), row.shown(), row.run()];
    text += &markdown(["claim", "paper's figure", "where", "ours", "bound", "verdict", "run"], rows.iter().map(line));

    let plots = plots::of(root, paper.id)?;
    for (name, caption) in &plots {
        let _ = writeln!(text, "\n![{caption}](plots/{name})");
    }
    if !header.departures.is_empty() {
        text += "\n## Departures\n\n";
        text.extend(header.departures.iter().map(|departure| format!("- {departure}\n")));
    }
    text += &how_to_run(paper, results);
    for result in of(paper, results) {
        text += &run(paper, result);
    }
    Ok(text)
}

/// How many claims were met, missed, not run.
fn verdicts(rows: &[Row]) -> String {
    let [met, missed, not_run] = [Verdict::Met, Verdict::Missed, Verdict::NotRun].map(|verdict| count(rows, verdict));
    if not_run == rows.len() {
        return format!("NOT RUN: none of the {not_run} claims has been measured in a run that is filed here.");
    }
    let rest = if not_run == 0 { String::new() } else { format!("; {not_run} not run") };
    format!("{met} of {} measured claims met, {missed} missed{rest}.", met + missed)
}

/// Commands, and what they took.
fn how_to_run(paper: &Paper, results: &[RunResult]) -> String {
    let took = |scale: Scale| {
        let runs = of(paper, results).filter(|result| result.scale == scale);
        let each = |result: &RunResult| {
            let seeds = result.seeds.map_or(String::new(), |n| format!(" for {n} seeds"));
            let threads = if result.threads == 1 { "1 thread".into() } else { format!("{} threads", result.threads) };
            format!("{}{seeds}, {threads}, {}", duration(result.seconds), if result.data { "with data" } else { "without data" })
        };
        runs.map(each).collect::<Vec<_>>().join("; ")
    };
    let row = |scale: Scale| {
        let said = scale.pick(paper.cost.smoke, paper.cost.short, paper.cost.paper);
        vec![scale.to_string(), format!("`cargo xtask reproduce {} --scale {scale}`", paper.id), said.into(), took(scale)]
    };
    let table = markdown(["scale", "command", "takes", "filed runs took"], Scale::ALL.map(row));
    format!(
        "\n## How to run it\n\n{table}\n`--data DIR` adds what needs data sets (`cargo xtask data list`), `--seeds N` more seeds, `--resume` goes on after an interruption. Smoke runs only show that \
         everything works: claims are judged from `short` on.\n"
    )
}

/// "13 s", "97 min", "3.4 h".
fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 100.0 => format!("{s:.0} s"),
        s if s < 6000.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// One run: time and memory, every claim, what was remarked, what was written.
fn run(paper: &Paper, result: &RunResult) -> String {
    let memory = result.peak_bytes.map_or(String::new(), |bytes| format!(", {:.1} MB at most", bytes as f64 / 1e6));
    let mut text = format!("\n## Run: {}\n\n{}{memory}.\n\n", result.setting(), duration(result.seconds));
    // A filed run may be older than its paper's file.
    for claim in result.claims.iter().filter(|claim| paper.claims.iter().any(|known| known.what == claim.what)) {
        let why = claim.why.as_ref().map_or(String::new(), |why| format!(" ({why})"));
        let _ = writeln!(text, "- {}: {}, {}{why}.", claim.what, claim.figure(), claim.verdict);
    }
    text.extend(result.notes.iter().map(|note| format!("- Note: {note}\n")));
    let mut plots: Vec<&str> = result.files.iter().filter_map(|file| Path::new(file).file_name()?.to_str()?.strip_suffix(".svg")).collect();
    plots.sort_unstable();
    plots.dedup();
    if !plots.is_empty() {
        let _ = writeln!(text, "\nPlots it writes, as SVG and PNG: {}.", plots.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_a_fitting_unit() {
        assert_eq!([12.6, 99.0, 1707.7, 12_300.0].map(duration), ["13 s", "99 s", "28 min", "3.4 h"]);
    }
}
