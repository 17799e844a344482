//! Claims that were measured, each in the run that counts.

use crate::table::markdown;
use crate::{Claim, ClaimResult, Paper, RunResult, Verdict, papers};

/// A claim of a paper and the run that counts for it: of several the one with most seeds, then the larger scale, then the one with data.
pub(super) struct Row<'a> {
    pub claim: &'static Claim,
    /// Nothing where it was not measured.
    pub measured: Option<(&'a RunResult, &'a ClaimResult)>,
    /// Why not, if a run says so.
    pub why: Option<&'a str>,
}

/// All claims of a paper, in its order.
pub(super) fn rows<'a>(paper: &'static Paper, results: &'a [RunResult]) -> Vec<Row<'a>> {
    let rank = |result: &RunResult| (result.seeds.unwrap_or(1), result.scale, result.data);
    let row = |claim: &'static Claim| {
        let answers = || {
            of(paper, results)
                .flat_map(|result| result.claims.iter().filter(|known| known.what == claim.what).map(move |known| (result, known)))
        };
        // The first of equals.
        let measured =
            answers().filter(|(_, known)| known.verdict != Verdict::NotRun).reduce(|a, b| if rank(b.0) > rank(a.0) { b } else { a });
        Row { claim, measured, why: answers().find_map(|(_, known)| known.why.as_deref()) }
    };
    paper.claims.iter().map(row).collect()
}

/// The filed runs of a paper.
pub(super) fn of<'a>(paper: &Paper, results: &'a [RunResult]) -> impl Iterator<Item = &'a RunResult> {
    results.iter().filter(|result| result.paper == paper.id)
}

impl Row<'_> {
    pub(super) fn verdict(&self) -> Verdict {
        self.measured.map_or(Verdict::NotRun, |(_, result)| result.verdict)
    }

    /// "MET", "**MISSED**", "NOT RUN".
    pub(super) fn shown(&self) -> String {
        match self.verdict() {
            Verdict::Missed => "**MISSED**".into(),
            other => other.to_string(),
        }
    }

    /// Our figure.
    pub(super) fn ours(&self) -> String {
        self.measured.map_or("—".into(), |(_, result)| result.figure())
    }

    /// What our figure must satisfy.
    pub(super) fn bound(&self) -> String {
        let bound = self.measured.map_or(self.claim.bound, |(_, result)| result.bound);
        if self.claim.unit.is_empty() { bound.to_string() } else { format!("{bound} {}", self.claim.unit) }
    }

    /// The paper's figure, as it stood in the run.
    pub(super) fn paper(&self) -> String {
        self.measured.map_or(self.claim.paper, |(_, result)| &result.paper).into()
    }

    /// Which run, or why there is none.
    pub(super) fn run(&self) -> String {
        self.measured.map_or_else(|| self.why.unwrap_or("no run is filed").into(), |(result, _)| result.setting())
    }
}

/// How many of the rows have this verdict.
pub(super) fn count(rows: &[Row], verdict: Verdict) -> usize {
    rows.iter().filter(|row| row.verdict() == verdict).count()
}

/// One row for each paper, for the first page: the first of its headlines that was measured, and how many of all its claims were met.
pub(super) fn headlines(results: &[RunResult]) -> String {
    let (mut met, mut measured) = (0, 0);
    let mut table = Vec::new();
    for paper in papers::all() {
        let rows = rows(paper, results);
        let (here, of_all) = (count(&rows, Verdict::Met), rows.len() - count(&rows, Verdict::NotRun));
        (met, measured) = (met + here, measured + of_all);
        if let Some(row) = rows.iter().find(|row| row.claim.headline && row.measured.is_some()) {
            let name = format!("[`{0}`](docs/papers/{0}.md)", paper.id);
            table.push(vec![name, row.claim.what.into(), row.paper(), row.ours(), row.shown(), format!("{here} of {of_all}")]);
        }
    }
    let text = markdown(["paper", "its first claim", "paper's figure", "ours", "verdict", "claims met"], table);
    format!("{text}\n{met} of {measured} claims met: [all papers](docs/reproductions.md), and what was missed.\n")
}

/// One row for each paper: its page, how many claims were met, at which scales it was run.
pub(super) fn index(results: &[RunResult]) -> String {
    let row = |paper: &&'static Paper| {
        let rows = rows(paper, results);
        let runs: Vec<String> = of(paper, results).map(setting).collect();
        let number = |verdict| count(&rows, verdict).to_string();
        let runs = if runs.is_empty() { "NOT RUN".into() } else { runs.join("; ") };
        let page = format!("[`{0}`](papers/{0}.md)", paper.id);
        vec![page, paper.title.into(), number(Verdict::Met), number(Verdict::Missed), number(Verdict::NotRun), runs]
    };
    markdown(["paper", "title", "met", "missed", "not run", "filed runs"], papers::all().iter().map(row))
}

/// "short, seeds 1–3".
fn setting(result: &RunResult) -> String {
    let setting = result.setting();
    let mut parts = setting.split(", ");
    let scale = parts.next().unwrap_or_default().trim_end_matches(" scale").to_owned();
    [Some(scale), parts.next().map(Into::into)].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Every claim that was missed.
pub(super) fn missed(results: &[RunResult]) -> String {
    let of = |paper: &&'static Paper| {
        let rows = rows(paper, results).into_iter().filter(|row| row.verdict() == Verdict::Missed);
        rows.map(|row| {
            vec![format!("[`{0}`](papers/{0}.md)", paper.id), row.claim.what.into(), row.paper(), row.ours(), row.bound(), row.run()]
        })
        .collect::<Vec<_>>()
    };
    markdown(["paper", "claim", "paper's figure", "ours", "bound", "run"], papers::all().iter().flat_map(of))
}
