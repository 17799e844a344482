//! Tables: columns of text for people, Markdown for documents, numbers in a row for remarks.

use crate::RunResult;

/// Rows as lines with their cells under each other: the first `left` columns begin under each other, the others end there.
///
/// ```
/// let rows = [["step", "worth"], ["1", "0.5"]].map(|row| row.map(String::from).to_vec());
/// assert_eq!(snn_repro::table::columns(&rows, 1), "step  worth\n1       0.5\n");
/// ```
pub fn columns(rows: &[Vec<String>], left: usize) -> String {
    let widths = widths(rows);
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(k, (cell, &width))| if k < left { format!("{cell:<width$}") } else { format!("{cell:>width$}") });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// The number of characters of the longest cell of each column.
fn widths(rows: &[Vec<String>]) -> Vec<usize> {
    let cell = |row: &Vec<String>, k: usize| row.get(k).map_or(0, |cell| cell.chars().count());
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    (0..count).map(|k| rows.iter().map(|row| cell(row, k)).max().unwrap_or(0)).collect()
}

/// A table in Markdown.
pub fn markdown<'a>(head: impl IntoIterator<Item = &'a str>, rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let plain = |cell: String| cell.replace('|', "\\|").replace('\n', " ");
    let head: Vec<String> = head.into_iter().map(String::from).collect();
    let rule = format!("|{}\n", "---|".repeat(head.len()));
    let rows = rows.into_iter().map(|row| line(row.into_iter().map(plain).collect()));
    [line(head), rule].into_iter().chain(rows).collect()
}

/// Numbers with so many decimals, for a remark: "0.5000, 1.2500".
pub(crate) fn list(numbers: &[f64], decimals: usize) -> String {
    numbers.iter().map(|x| format!("{x:.decimals$}")).collect::<Vec<_>>().join(", ")
}

/// Widest a column of a result gets before its text goes on in the next line.
const WIDEST: [usize; 5] = [44, 26, 24, 30, 9];

/// A caption and one row per claim: what, the paper's figure, ours, verdict, seconds.
pub fn render(result: &RunResult) -> String {
    let mut rows = lines(["claim", "paper", "ours", "verdict", "seconds"].map(String::from));
    let head = rows.len();
    for claim in &result.claims {
        let verdict = match &claim.why {
            Some(why) => format!("{} ({why})", claim.verdict),
            None => format!("{} ({})", claim.verdict, claim.bound),
        };
        rows.extend(lines([claim.what.clone(), claim.paper.clone(), claim.figure(), verdict, format!("{:.1}", claim.seconds)]));
    }
    let rule = widths(&rows).into_iter().map(|width| "─".repeat(width)).collect();
    rows.insert(head, rule);
    format!("{}: {}\n{}", result.paper, result.setting(), columns(&rows, WIDEST.len() - 1))
}

/// A row as lines whose cells are no wider than they may be.
fn lines(row: [String; 5]) -> Vec<Vec<String>> {
    let cells: [Vec<String>; 5] = std::array::from_fn(|k| wrap(&row[k], WIDEST[k]));
    let count = cells.iter().map(Vec::len).max().unwrap_or(0);
    (0..count).map(|n| cells.iter().map(|cell| cell.get(n).cloned().unwrap_or_default()).collect()).collect()
}

/// Breaks `text` between words into lines of at most `width` characters; a longer word has a line of its own.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.len() - 1;
        if lines[line].is_empty() {
            lines[line].push_str(word);
        } else if lines[line].chars().count() + 1 + word.chars().count() <= width {
            lines[line].push(' ');
            lines[line].push_str(word);
        } else {
            lines.push(word.into());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bound, ClaimResult, Scale, Verdict};

    #[test]
    fn a_table_for_people() {
        let claim = |what: &str, ours, verdict, why: Option<&str>| ClaimResult {
            what: what.into(),
            paper: "82.2 % [2nd]".into(),
            ours,
            standard_error: None,
            ours_each: vec![],
            bound: Bound::AtLeast(86.0),
            unit: "%".into(),
            digits: 1,
            verdict,
            why: why.map(String::from),
            source: "Table 1".into(),
            seconds: 12.34,
        };
        let result = RunResult {
            paper: "ssgd".into(),
            scale: Scale::Short,
            seed: 1,
            seeds: None,
            threads: 2,
            data: true,
            claims: vec![
                claim("test accuracy with sparse gradients", Some(86.3), Verdict::Met, None),
                claim("sparse minus dense", None, Verdict::NotRun, Some("needs 3 seeds: --seeds 3")),
            ],
            seconds: 24.7,
            peak_bytes: None,
            trainings: Vec::new(),
            files: vec![],
            notes: vec![],
        };
        let expected = "\
ssgd: short scale, seed 1, 2 threads, with data
claim                                paper         ours    verdict                  seconds
───────────────────────────────────  ────────────  ──────  ───────────────────────  ───────
test accuracy with sparse gradients  82.2 % [2nd]  86.3 %  MET (≥ 86)                  12.3
sparse minus dense                   82.2 % [2nd]  —       NOT RUN (needs 3 seeds:     12.3
                                                           --seeds 3)
";
        assert_eq!(render(&result), expected);
        assert_eq!(markdown(["a", "b"], [vec!["1|2".into(), "x\ny".into()]]), "| a | b |\n|---|---|\n| 1\\|2 | x y |\n");
        assert_eq!(list(&[0.5, 1.26], 1), "0.5, 1.3");
    }
}
