//! What whole runs execute, counted and not timed: the same on any machine with the same instruction set, however busy it is.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::{Bench, Figure, Log, Report, row};

/// Runs that stand for the hot paths: training, online learning, rewiring, conversion, devices.
const PAPERS: [&str; 5] = ["ssgd", "eprop", "deep_r", "fs_conversion", "pcm_eprop"];
/// Functions listed of each.
const TOP: usize = 10;

/// The question, and how to answer it.
pub const BENCH: Bench =
    Bench { name: "instructions", question: "How many instructions do whole runs take, and which functions?", run: instructions };

/// Runs every paper at smoke scale on one thread under callgrind. `quick` takes the first alone.
fn instructions(quick: bool, log: Log<'_>) -> Report {
    let mut report = Report { bench: "instructions", rows: Vec::new(), summary: Vec::new(), notes: Vec::new() };
    for paper in PAPERS.into_iter().take(if quick { 1 } else { PAPERS.len() }) {
        log(&format!("{paper}: some 50 times slower than without counting"));
        match count(paper) {
            Ok((all, functions)) => {
                let what = format!("{paper}, smoke scale, one thread: thousand million instructions");
                report.summary.push(Figure { what, value: 1e-9 * all as f64, wanted: String::new() });
                for (function, own) in functions.into_iter().take(TOP) {
                    let share = 100.0 * own as f64 / all as f64;
                    report.rows.push(row([("paper", json!(paper)), ("%", json!(share)), ("function", json!(function))]));
                }
            }
            Err(why) => report.notes.push(format!("{paper}: not counted: {why}")),
        }
    }
    report.notes.push("Instructions of the program, without the kernel's. Callgrind knows AVX2 and not AVX-512, so the kernels for AVX2 are counted. Shares are of the function itself, without what it calls.".into());
    report
}

/// All instructions of a run, and those of every function itself, most first.
fn count(paper: &str) -> Result<(u64, Vec<(String, u64)>), String> {
    let program = std::env::current_exe().map_err(|e| format!("the program does not know where it is: {e}"))?;
    let folder = std::env::temp_dir().join(format!("snn-instructions-{}-{paper}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let counted = run(&program, paper, &folder);
    // What is left of it is nobody's.
    let _ = std::fs::remove_dir_all(&folder);
    counted
}

fn run(program: &Path, paper: &str, folder: &Path) -> Result<(u64, Vec<(String, u64)>), String> {
    let out = folder.join("callgrind");
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--compress-strings=no", "--compress-pos=no", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .args(["reproduce", paper, "--scale", "smoke", "--threads", "1", "--out"])
        .arg(folder.join("results"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match status {
        // 1: a claim is missed, which small runs may.
        Ok(status) if matches!(status.code(), Some(0 | 1)) => {}
        Ok(status) => return Err(format!("valgrind ended with {status}")),
        Err(e) => return Err(format!("valgrind did not start ({e}); install it")),
    }
    let text = std::fs::read_to_string(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    parse(&text).ok_or_else(|| "valgrind wrote no counts".into())
}

/// Total, and cost by function itself, of a file in callgrind's format without compression.
fn parse(text: &str) -> Option<(u64, Vec<(String, u64)>)> {
    let mut own: BTreeMap<String, u64> = BTreeMap::new();
    let (mut function, mut called, mut all) = (String::new(), false, None);
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            function = plain(name);
        } else if line.starts_with("calls=") {
            called = true; // the next line is the cost of what is called
        } else if let Some(total) = line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")) {
            all = total.trim().parse().ok().or(all);
        } else if line.starts_with(|c: char| c.is_ascii_digit()) {
            let cost = line.split(' ').nth(1).and_then(|cost| cost.parse::<u64>().ok()).unwrap_or(0);
            if !std::mem::take(&mut called) {
                *own.entry(function.clone()).or_default() += cost;
            }
        }
    }
    let mut own: Vec<(String, u64)> = own.into_iter().collect();
    own.sort_by_key(|(name, cost)| (std::cmp::Reverse(*cost), name.clone()));
    Some((all?, own))
}

/// A function's name without hash and with the last parts of paths only.
fn plain(name: &str) -> String {
    let name = name.split("::h").next().filter(|_| name.rsplit("::h").next().is_some_and(|hash| hash.len() >= 16)).unwrap_or(name);
    let mut short = String::new();
    let mut part = String::new();
    for c in name.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | ':' => part.push(c),
            _ => {
                short += last(&part);
                part.clear();
                short.push(c);
            }
        }
    }
    short + last(&part)
}

/// The last two parts of a path.
fn last(path: &str) -> &str {
    let mut cuts = path.rmatch_indices("::").map(|(at, _)| at + 2);
    cuts.nth(1).map_or(path, |at| &path[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_of_calls_are_not_the_function_s_own() {
        let text = "events: Ir\n\nfl=a.rs\nfn=snn::papers::run::h0123456789abcdef\n10 5\ncfn=snn::b\ncalls=3 20\n12 100\n13 1\n\nfn=snn::b\n20 100\ntotals: 108\n";
        let (all, own) = parse(text).unwrap();
        assert_eq!(all, 108);
        assert_eq!(own, [("snn::b".to_owned(), 100), ("papers::run".to_owned(), 6)]);
        assert_eq!(parse("nothing"), None);
        assert_eq!(plain("<snn_sparse::bank::Sweep<N,F> as snn_sparse::lanes::Kernel>::run"), "<bank::Sweep<N,F> as lanes::Kernel>::run");
    }
}
