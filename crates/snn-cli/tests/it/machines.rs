//! `snn map` and `snn machines`: what becomes of a network on every machine, and what is wrong with a file.

use crate::program::{self, stderr, stdout};
use serde_json::Value;

/// Exit code, standard output, standard error.
fn snn(args: &[&str]) -> (Option<i32>, String, String) {
    let output = program::snn(args);
    (output.status.code(), stdout(&output).into(), stderr(&output).into())
}

/// Writes a network of `inputs` channels and `size` neurons; gives the path.
fn network(dir: &tempfile::TempDir, inputs: usize, size: usize) -> String {
    let path = dir.path().join("net.json");
    let text = format!(
        r#"{{"dt":0.001,"inputs":[{{"name":"in","size":{inputs}}}],"populations":[{{"name":"a","size":{size},"model":"lif"}}],
            "projections":[{{"from":"in","to":"a","delay":0.0,"links":"all","weights":0.2}}],"outputs":["a"]}}"#
    );
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn every_machine_says_what_becomes_of_a_network() {
    let dir = tempfile::tempdir().unwrap();
    let (code, list, _) = snn(&["machines", "--json"]);
    let list: Vec<Value> = serde_json::from_str(&list).unwrap();
    assert!(code == Some(0) && list.len() >= 5, "{list:?}");
    let (code, out, error) = snn(&["map", &network(&dir, 10, 8), "--json"]);
    let reports: Vec<Value> = serde_json::from_str(&out).unwrap();
    assert_eq!((code, reports.len()), (Some(0), list.len()), "{error}");
    assert!(reports.iter().zip(&list).all(|(report, machine)| report["machine"] == machine["name"]));
    // One that does not fit: every reason by name, and exit code 1.
    let (code, out, _) = snn(&["map", &network(&dir, 100, 40), "--on", "dls"]);
    assert!(code == Some(1) && out.starts_with("dls: refused") && out.contains("the chip has 32"), "{out}");
}

#[test]
fn what_is_no_network_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("odd.json");
    for (text, says) in [("{\"a\":1}", "no `populations`"), ("{\"populations\":3}", "not a network description"), ("[", "odd.json")] {
        std::fs::write(&path, text).unwrap();
        let (code, out, error) = snn(&["map", &path.display().to_string()]);
        assert!(code == Some(2) && out.is_empty() && error.contains(says) && error.contains("odd.json"), "{error}");
    }
    let (code, _, error) = snn(&["map", "nowhere.json", "--on", "abacus"]);
    assert!(code == Some(2) && error.contains("there are: ideal"), "{error}");
}

#[test]
fn networks_run_on_machines_the_same_every_time() {
    let run = || snn(&["machines", "--run", "--devices", "1", "--images", "20", "--json"]);
    let (code, out, error) = run();
    let table: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {error}"));
    let accuracy = |row: &Value| row["cells"][0]["outcome"]["ran"]["accuracy"][0].as_f64().unwrap();
    let rows = table["rows"].as_array().unwrap();
    assert!(code == Some(0) && rows.iter().all(|row| accuracy(row) >= 0.9), "{out}");
    assert_eq!(run().1, out);
}
