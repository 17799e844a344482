//! `snn train`: a recipe from the command line, killed, stopped and gone on with; what it writes goes on through the program.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::program::{json, refused, snn, stderr, stdout, text};
use serde_json::Value;

const RECIPE: &str = r#"
epochs = 6
batch = 10
data = { name = "strokes", side = 12, train = 200, test = 50, code = { name = "latency", steps = 30 } }
optimiser = { name = "adam", lr = 1e-2 }
structure = { name = "deep_r", l1 = 1e-3 }
[network]
populations = [{ name = "hidden", size = 60, model = "lif", tau = 0.01 }, { name = "out", model = "li", tau = 0.01 }]
projections = [
    { from = "in", to = "hidden", links = { random = 0.1 }, weights = { fan_in = 2.0 } },
    { from = "hidden", to = "out", weights = { fan_in = 2.0 } },
]
"#;

/// The recipe as a file in `dir`.
fn recipe(dir: &Path) -> String {
    let path = dir.join("first.toml");
    fs::write(&path, RECIPE).expect("a file");
    text(&path).to_owned()
}

/// Everything that a training gives but for times, memory and where it lies.
#[cfg(target_os = "linux")]
fn given(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let read =
        |path: std::path::PathBuf| (path.file_name().expect("a name").to_string_lossy().into_owned(), fs::read(&path).expect("a file"));
    let mut files: BTreeMap<String, Vec<u8>> = paths.map(read).collect();
    assert!(files.remove("events.out.tfevents.0.snn").is_some_and(|bytes| bytes.len() > 500));
    for name in ["metrics.jsonl", "result.json"] {
        let text = String::from_utf8(files[name].clone()).expect("text");
        let values = if name == "result.json" { vec![&*text] } else { text.lines().collect() };
        let without = |value: &str| {
            let mut value: Value = serde_json::from_str(value).expect("JSON");
            for key in ["seconds", "peak_bytes", "threads", "files", "notes"] {
                value[key] = Value::Null;
            }
            value.to_string()
        };
        files.insert(name.into(), values.into_iter().map(without).collect::<Vec<_>>().join("\n").into_bytes());
    }
    files
}

#[cfg(target_os = "linux")]
#[track_caller]
fn same(what: &str, found: &Path, whole: &Path) {
    let (found, whole) = (given(found), given(whole));
    assert_eq!(found.keys().collect::<Vec<_>>(), whole.keys().collect::<Vec<_>>(), "{what}");
    for (name, bytes) in &whole {
        assert!(&found[name] == bytes, "{what}: {name} differs");
    }
}

/// With signals that act even if the tests run in the background of a script.
#[cfg(target_os = "linux")]
fn start(recipe: &str, out: &Path, more: &[&str]) -> std::process::Child {
    use std::process::{Command, Stdio};
    let mut command = Command::new("env");
    command
        .arg("--default-signal=INT,TERM,HUP")
        .arg(crate::program::SNN)
        .args(["train", recipe, "--threads", "1", "--out"])
        .arg(out)
        .args(more);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

#[cfg(target_os = "linux")]
fn wait_for(path: &Path) {
    let begun = std::time::Instant::now();
    while !path.exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} does not appear", path.display());
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn killed_and_stopped_it_goes_on_to_the_same_bits() {
    let dir = tempfile::tempdir().expect("a folder");
    let recipe = recipe(dir.path());
    let [whole, killed, stopped] = ["whole", "killed", "stopped"].map(|name| dir.path().join(name));
    let begun = std::time::Instant::now();
    let output = snn(&["train", &recipe, "--out", text(&whole), "--json"]);
    let time = begun.elapsed().as_secs_f64();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let accuracy = json(&output)["held_out"].as_f64().expect("an accuracy");
    assert!(accuracy > 0.2, "it learns nothing: {accuracy}");

    // kill -9 at moments over the time of a whole run, each time a little further.
    for k in 1..=5 {
        let mut child = start(&recipe, &killed, &["--checkpoint-every", "0", "--resume"]);
        std::thread::sleep(Duration::from_secs_f64(time * f64::from(k) / 8.0));
        child.kill().expect("a signal is sent");
        child.wait().expect("the program ends");
    }
    let output = start(&recipe, &killed, &["--resume"]).wait_with_output().expect("the program ends");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    same("killed", &killed, &whole);

    // Ctrl-C: a checkpoint, and the command that goes on.
    let child = start(&recipe, &stopped, &["--checkpoint-every", "0"]);
    wait_for(&dir.path().join("stopped.partial/checkpoints/training/training.ckpt"));
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().expect("kill runs").success());
    let output = child.wait_with_output().expect("the program ends");
    let said = stderr(&output).to_owned();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(!stopped.exists(), "a result of a stopped training");
    let kept = dir.path().join("stopped.partial/checkpoints/training/training.ckpt");
    let looked = snn(&["inspect", text(&kept), "--json"]);
    assert_eq!(json(&looked)["facts"]["of"], "the training \"training\" of 6 epochs", "{}", stderr(&looked));
    let command = said.lines().last().expect("a line").trim();
    assert!(command.ends_with("--resume"), "{said}");
    let output = std::process::Command::new("sh").args(["-c", command]).output().expect("sh runs");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    same("stopped", &stopped, &whole);
    let again = snn(&["train", &recipe, "--out", text(&stopped), "--resume", "--json"]);
    assert!(stderr(&again).contains("finished before") && json(&again)["held_out"] == accuracy, "{}", stderr(&again));
}

#[test]
fn what_was_trained_goes_on_through_the_program() {
    let dir = tempfile::tempdir().expect("a folder");
    let (recipe, out) = (recipe(dir.path()), dir.path().join("first"));
    let checked = json(&snn(&["train", &recipe, "--check", "--json"]));
    assert_eq!((&checked["inputs"], &checked["classes"], &checked["links"]), (&144.into(), &10.into(), &(864 + 600).into()));
    let output = snn(&["train", &recipe, "--out", text(&out)]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let result: Value = serde_json::from_slice(&fs::read(out.join("result.json")).expect("a result")).expect("JSON");
    let (network, accuracy) = (out.join("network.json"), result["held_out"].as_f64().expect("an accuracy"));
    assert!(stdout(&output).contains(&format!("{:.2}", 100.0 * accuracy)), "{}", stdout(&output));

    // The same accuracy by the engine, and a chip's cost.
    let ran = json(&snn(&["run", text(&network), "--json"]));
    assert_eq!((ran["accuracy"].as_f64(), &ran["trials"]), (Some(accuracy), &50.into()));
    let chip = json(&snn(&["run", text(&network), "--on", "spinnaker2", "--images", "10", "--json"]));
    assert!(chip["costs"]["seconds"].as_f64().is_some_and(|s| s > 0.0) && chip["trials"] == 10, "{chip}");
    let fewer = dir.path().join("fewer.toml");
    fs::write(&fewer, RECIPE.replace("test = 50", "test = 7")).expect("a file");
    assert_eq!(json(&snn(&["run", text(&network), "--data", text(&fewer), "--json"]))["trials"], 7);
    assert_eq!(snn(&["map", text(&network), "--on", "spinnaker2"]).status.code(), Some(0));
    let nir = dir.path().join("first.nir");
    let exported = snn(&["export", text(&network), text(&nir)]);
    assert_eq!(exported.status.code(), Some(0), "{}", stderr(&exported));

    // From the file on.
    let start = RECIPE.find("[network]").expect("a network");
    let more = dir.path().join("more.toml");
    fs::write(&more, format!("{}[network]\nfile = {network:?}\n", &RECIPE[..start].replace("epochs = 6", "epochs = 1"))).expect("a file");
    let output = snn(&["train", text(&more), "--out", text(&dir.path().join("more")), "--json"]);
    assert_eq!(json(&output)["links"], 864 + 600, "{}", stderr(&output));

    // A folder moved away from its recipe needs one.
    fs::remove_file(out.join("recipe.toml")).expect("a file");
    refused("no recipe", &snn(&["run", text(&network)]), &["network.json", "no recipe.toml beside it", "--data"]);
}

#[test]
fn what_is_wrong_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let (path, out) = (dir.path().join("bad.toml"), dir.path().join("out"));
    let attempt = |content: &str| {
        fs::write(&path, content).expect("a file");
        let output = snn(&["train", text(&path), "--out", text(&out)]);
        assert!(!out.exists(), "a result");
        output
    };
    refused("a key", &attempt(&RECIPE.replace("batch", "bacth")), &["bad.toml, line 3", "`bacth`", "did you mean `batch`?"]);
    refused("no TOML", &attempt("epochs = = 3"), &["bad.toml, line 1", "not TOML"]);
    refused("no data", &attempt("epochs = 3"), &["bad.toml, line 1", "`data` is missing"]);
    let folder = RECIPE.replace("name = \"strokes\", side = 12, train = 200, test = 50,", "name = \"idx\", folder = \"nowhere\",");
    refused("no folder", &attempt(&folder), &["[data], idx", "nowhere", "not found"]);
    let readout = RECIPE.replace("model = \"li\"", "model = \"lif\"");
    refused("a loss", &attempt(&readout), &["graded output", "`out`"]);
    refused("no file", &snn(&["train", text(&dir.path().join("none.toml")), "--out", text(&out)]), &["none.toml"]);
    fs::write(&path, RECIPE).expect("a file");
    refused("no place", &snn(&["train", text(&path)]), &["no `out`", "--out"]);
    fs::create_dir(&out).expect("a folder");
    fs::write(out.join("thesis.tex"), "a year").expect("a file");
    refused("a folder of something else", &snn(&["train", text(&path), "--out", text(&out)]), &["other files", "--out"]);
    assert!(out.join("thesis.tex").is_file());
}
