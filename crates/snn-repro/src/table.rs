//! The table of a result for people.

use crate::RunResult;

/// Widest a column gets before its text goes on in the next line.
const WIDEST: [usize; 5] = [44, 26, 24, 30, 9];

/// A caption and one row per claim: what, the paper's figure, ours, verdict, seconds.
pub fn render(result: &RunResult) -> String {
    let head = ["claim", "paper", "ours", "verdict", "seconds"].map(String::from);
    let rows = result.claims.iter().map(|claim| {
        let verdict = match &claim.why {
            Some(why) => format!("{} ({why})", claim.verdict),
            None => format!("{} ({})", claim.verdict, claim.bound),
        };
        [claim.what.clone(), claim.paper.clone(), claim.figure(), verdict, format!("{:.1}", claim.seconds)]
    });
    let rows: Vec<[Vec<String>; 5]> =
        std::iter::once(head).chain(rows).map(|row| std::array::from_fn(|k| wrap(&row[k], WIDEST[k]))).collect();
    let width = |k: usize| rows.iter().flat_map(|row| &row[k]).map(|line| line.chars().count()).max().unwrap_or(0);
    let widths: [usize; 5] = std::array::from_fn(width);

    let mut text = format!("{}: {}\n", result.paper, result.setting());
    for (n, row) in rows.iter().enumerate() {
        for line in 0..row.iter().map(Vec::len).max().unwrap_or(0) {
            let cells = row.iter().zip(widths).enumerate().map(|(k, (cell, width))| {
                let cell = cell.get(line).map_or("", String::as_str);
                // Seconds stand under each other.
                if k == 4 { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        if n == 0 {
            text.push_str(&widths.map(|width| "─".repeat(width)).join("  "));
            text.push('\n');
        }
    }
    text
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
    }
}
