//! Searches: on threads, by jobs that others do, and after a stop, the same to the bit.

use crate::program::{self, refused, snn, stderr, text};
use serde_json::Value;
use std::path::Path;

const SEARCH: [&str; 6] = ["search", "bandit", "--evaluations", "40", "--seed", "3"];

fn run(more: &[&str]) -> Value {
    let output = snn(&[&SEARCH[..], more, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    program::json(&output)
}

fn state(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("search.json")).unwrap()
}

#[test]
fn threads_jobs_and_stops_give_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let [here, there, again] = ["here", "there", "again"].map(|name| dir.path().join(name));
    let whole = run(&["--threads", "2", "--out", text(&here)]);
    assert_eq!((whole["evaluations"].as_u64(), whole["open"].as_u64()), (Some(40), Some(0)));
    assert_eq!(run(&["--threads", "1"]), whole);

    // Less, then the rest.
    let less = snn(&["search", "bandit", "--evaluations", "1", "--seed", "3", "--out", text(&again)]);
    assert_eq!(less.status.code(), Some(0), "{}", stderr(&less));
    assert_eq!(run(&["--out", text(&again), "--resume"]), whole);
    assert_eq!(state(&again), state(&here));

    // By others; one of them is lost, and asked for again.
    let jobs = there.join("jobs");
    let exchange = || run(&["--out", text(&there), "--jobs", text(&jobs)]);
    let mut lost = false;
    for _ in 0..20 {
        let now = exchange();
        if now["open"] == 0 {
            assert_eq!(now, whole);
            break;
        }
        for entry in std::fs::read_dir(&jobs).unwrap().map(|entry| entry.unwrap().path()) {
            let name = entry.to_str().unwrap();
            if name.ends_with(".result.json") || !std::mem::replace(&mut lost, true) {
                continue;
            }
            let result = name.replace(".json", ".result.json");
            assert_eq!(snn(&["eval", "--spec", name, "--out", &result]).status.code(), Some(0));
        }
    }
    assert_eq!(state(&there), state(&here));
}

#[test]
fn what_cannot_be_searched_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    refused("objective", &snn(&["search", "bandits"]), &["no objective", "Did you mean bandit"]);
    refused("method", &snn(&["search", "bandit", "--method", "gradient"]), &["no method", "cross-entropy"]);
    let out = dir.path().join("out");
    assert_eq!(snn(&["search", "bandit", "--evaluations", "1", "--out", text(&out)]).status.code(), Some(0));
    refused("another seed", &snn(&["search", "bandit", "--seed", "2", "--out", text(&out), "--resume"]), &["seed 1", "another --out"]);
    let (job, result) = (dir.path().join("job.json"), dir.path().join("result.json"));
    let eval = |content: &str| {
        std::fs::write(&job, content).unwrap();
        snn(&["eval", "--spec", text(&job), "--out", text(&result)])
    };
    refused("no JSON", &eval("{"), &["job.json:1:"]);
    refused(
        "missing",
        &eval(r#"{"objective": "bandit", "values": {"noise": 1.0, "start": 9.0}, "seed": 1}"#),
        &["job.json", "`rate` is missing"],
    );
    refused(
        "out of bounds",
        &eval(r#"{"objective": "bandit", "values": {"noise": 100.0, "start": 1.0, "rate": 0.1}, "seed": 1}"#),
        &["`noise` = 100"],
    );
    assert!(!result.exists());
    let list = snn(&["search", "--list"]);
    assert!(program::stdout(&list).contains("bandit: ") && program::stdout(&list).contains("tournament"));
}
