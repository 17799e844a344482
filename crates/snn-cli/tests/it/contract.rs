//! The command line contract, held against the program itself: exit codes, what goes to which stream, the shape of the JSON. What is
//! refused stands in `bad_input.rs`, what survives a kill in `crash.rs`.

use std::path::Path;
use std::process::Output;
use std::sync::OnceLock;

use crate::program::{self, snn, stderr, stdout};
use serde_json::Value;
use tempfile::TempDir;

/// Exactly one JSON object.
fn object(output: &Output) -> Value {
    let value = program::json(output);
    assert!(value.is_object());
    value
}

/// A smoke run of every paper, shared by the tests.
fn smoke() -> &'static (TempDir, Output) {
    static RUN: OnceLock<(TempDir, Output)> = OnceLock::new();
    RUN.get_or_init(|| {
        let out = tempfile::tempdir().expect("a temporary folder");
        let output =
            snn(&["reproduce", "--all", "--scale", "smoke", "--threads", "2", "--json", "--out", out.path().to_str().expect("text")]);
        (out, output)
    })
}

/// The runs in an object: one alone, or several.
fn runs(object: &Value) -> &[Value] {
    object["runs"].as_array().map_or(std::slice::from_ref(object), Vec::as_slice)
}

/// The run of `ssgd` among those of every paper.
fn ssgd(output: &Output) -> Value {
    runs(&object(output)).iter().find(|run| run["paper"] == "ssgd").expect("a run of ssgd").clone()
}

/// The fields of the contract, and a verdict that follows from figure and bound.
fn check_run(run: &Value) {
    for (field, is) in [
        ("paper", Value::is_string as fn(&Value) -> bool),
        ("scale", Value::is_string),
        ("seed", Value::is_u64),
        ("threads", Value::is_u64),
    ] {
        assert!(is(&run[field]), "{field}: {}", run[field]);
    }
    assert!(run["seconds"].as_f64().is_some_and(|s| s > 0.0), "seconds: {}", run["seconds"]);
    assert!(run["peak_bytes"].as_u64().is_some_and(|bytes| bytes > 1000), "peak_bytes: {}", run["peak_bytes"]);
    let claims = run["claims"].as_array().expect("claims");
    assert!(!claims.is_empty());
    for claim in claims {
        for field in ["what", "paper", "source", "verdict"] {
            assert!(claim[field].as_str().is_some_and(|text| !text.is_empty()), "{field} in {claim}");
        }
        let bound = claim["bound"].as_object().expect("a bound");
        assert_eq!(bound.len(), 1);
        let ours = claim["ours"].as_f64();
        let holds = |ours: f64| match bound.iter().next().expect("one bound") {
            (name, at) if name == "at_least" => ours >= at.as_f64().expect("a number"),
            (name, at) if name == "at_most" => ours <= at.as_f64().expect("a number"),
            (name, at) => name == "between" && (at[0].as_f64() <= Some(ours) && Some(ours) <= at[1].as_f64()),
        };
        match claim["verdict"].as_str() {
            Some("MET") => assert!(holds(ours.expect("a figure")), "{claim}"),
            Some("MISSED") => assert!(ours.is_none_or(|ours| !holds(ours)), "{claim}"),
            Some("NOT RUN") => assert!(ours.is_none() && claim["why"].is_string(), "{claim}"),
            _ => panic!("a verdict in {claim}"),
        }
    }
    for file in run["files"].as_array().expect("files") {
        assert!(Path::new(file.as_str().expect("a path")).is_file(), "{file} is not there");
    }
}

/// The exit code that the verdicts of a run ask for: 1 if a claim is missed, else 0.
fn code_of(run: &Value) -> Option<i32> {
    Some(i32::from(run["claims"].as_array().expect("claims").iter().any(|claim| claim["verdict"] == "MISSED")))
}

#[test]
fn every_paper_runs_at_smoke_scale_and_files_its_results() {
    let (out, output) = smoke();
    assert_eq!(output.status.code(), runs(&object(output)).iter().map(code_of).max().flatten(), "{}{}", stdout(output), stderr(output));
    for run in runs(&object(output)) {
        check_run(run);
        assert_eq!((&run["scale"], &run["seed"], &run["threads"]), (&"smoke".into(), &1.into(), &2.into()));
        let paper = run["paper"].as_str().expect("a name");
        assert!(run["claims"].as_array().expect("claims").iter().any(|claim| claim["verdict"] == "MET"), "{paper} measures nothing");
        let on_disk = std::fs::read_to_string(out.path().join(paper).join("smoke-1/result.json")).expect("result.json");
        assert_eq!(&serde_json::from_str::<Value>(&on_disk).expect("JSON"), run);
        for extension in ["svg", "png"] {
            let drawn = |file: &Value| file.as_str().is_some_and(|file| file.ends_with(extension));
            assert!(run["files"].as_array().expect("files").iter().any(drawn), "{paper} has no {extension}");
        }
    }
}

#[test]
fn resuming_a_finished_run_reports_it_again_as_a_table() {
    let (out, first) = smoke();
    let run = ssgd(first);
    let args = ["reproduce", "ssgd", "--scale", "smoke", "--threads", "2", "--resume", "--out", out.path().to_str().expect("text")];
    let output = snn(&args);
    assert_eq!(output.status.code(), code_of(&run), "{}", stderr(&output));
    let text = stdout(&output);
    for claim in run["claims"].as_array().expect("claims") {
        // A long text goes on in the next line; its first word stands in its row.
        let word = claim["what"].as_str().and_then(|what| what.split(' ').next()).expect("a word");
        let verdict = claim["verdict"].as_str().expect("a verdict");
        assert!(text.lines().any(|line| line.starts_with(word) && line.contains(verdict)), "no row for {word}, {verdict} in\n{text}");
    }
    assert!(stderr(&output).contains("finished before"), "{}", stderr(&output));
    assert_eq!(object(&snn(&[&args[..], &["--json"]].concat())), run);
}

#[test]
fn several_seeds_are_judged_together() {
    let (out, _) = smoke();
    let folder = out.path().to_str().expect("text");
    let output = snn(&["reproduce", "ssgd", "--scale", "smoke", "--threads", "2", "--seeds", "2", "--resume", "--json", "--out", folder]);
    let run = object(&output);
    check_run(&run);
    assert_eq!((run["seed"].as_u64(), run["seeds"].as_u64()), (Some(1), Some(2)));
    for claim in run["claims"].as_array().expect("claims") {
        if claim["ours"].is_number() {
            assert_eq!(claim["ours_each"].as_array().map(Vec::len), Some(2), "{claim}");
            assert!(claim["standard_error"].is_number(), "{claim}");
        }
    }
    for folder in ["smoke-1", "smoke-2", "smoke-seeds-2-from-1"] {
        assert!(out.path().join("ssgd").join(folder).join("result.json").is_file(), "{folder}");
    }
}

#[test]
fn the_list_names_papers_costs_and_claims() {
    let output = snn(&["reproduce", "--list"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("ssgd"));
    let list = object(&snn(&["reproduce", "--list", "--json"]));
    let paper = list["papers"].as_array().and_then(|papers| papers.iter().find(|paper| paper["id"] == "ssgd")).expect("ssgd");
    assert!(paper["cost"]["short"].is_string() && paper["about"].is_string());
    assert!(paper["claims"].as_array().is_some_and(|claims| !claims.is_empty()));
}

#[test]
fn help_teaches_by_example() {
    for args in [
        &["--help"][..],
        &["reproduce", "--help"],
        &["train", "--help"],
        &["inspect", "--help"],
        &["data", "--help"],
        &["run", "--help"],
        &["export", "--help"],
        &["watch", "--help"],
        &["search", "--help"],
        &["eval", "--help"],
        &["bench", "--help"],
    ] {
        let output = snn(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(stdout(&output).contains("Examples:\n  snn "), "{args:?}: {}", stdout(&output));
    }
}
