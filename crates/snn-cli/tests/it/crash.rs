//! A run that is killed or stopped at any moment, with the program itself: once it has gone on to its end, every weight, curve and figure
//! has the bits of the run that nothing happened to.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rand::RngExt;
use serde_json::Value;
use snn_core::Seed;
use tempfile::TempDir;

/// Kills while training, and in the second or so between its end and the result.
const KILLS: (usize, usize) = (20, 10);

/// `snn reproduce ssgd …`, with signals that act even if the tests run in the background of a script.
fn snn(scale: &str, out: &Path) -> Command {
    let mut command = Command::new("env");
    command.arg("--default-signal=INT,TERM,HUP").arg(env!("CARGO_BIN_EXE_snn"));
    command.args(["reproduce", "ssgd", "--scale", scale, "--seed", "7", "--threads", "1", "--out"]).arg(out);
    command.env_remove("SNN_DATA").stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A smoke run with a checkpoint after every batch, so that a kill often hits one that is being written.
fn run(out: &Path, more: &[&str]) -> Command {
    let mut command = snn("smoke", out);
    command.args(["--checkpoint-every", "0"]).args(more);
    command
}

fn start(out: &Path, more: &[&str]) -> Child {
    run(out, more).spawn().expect("the program starts")
}

fn end(child: Child) -> Output {
    child.wait_with_output().expect("the program ends")
}

fn finish(out: &Path) -> Output {
    run(out, &["--resume"]).output().expect("the program runs")
}

/// SIGKILL after `time`; false if the program had ended by then.
fn killed_after(mut child: Child, time: Duration) -> bool {
    std::thread::sleep(time);
    child.kill().expect("a signal is sent");
    end(child).status.code().is_none()
}

fn send(signal: &str, child: &Child) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill runs").success());
}

fn wait_for(path: &Path) {
    let begun = Instant::now();
    while !path.exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} does not appear", path.display());
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn dir(out: &Path) -> PathBuf {
    out.join("ssgd/smoke-7")
}

fn partial(out: &Path) -> PathBuf {
    out.join("ssgd/smoke-7.partial")
}

/// All that a run gives but for times and memory: the bytes of every file, the result, the exit code.
#[derive(PartialEq)]
struct Given {
    code: Option<i32>,
    result: Value,
    files: BTreeMap<String, Vec<u8>>,
}

fn given(out: &Path, output: &Output) -> Given {
    let mut files: BTreeMap<String, Vec<u8>> = fs::read_dir(dir(out))
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)))
        .map(|entry| entry.expect("an entry").path())
        .map(|path| (path.file_name().expect("a name").to_string_lossy().into_owned(), fs::read(&path).expect("a file")))
        .collect();
    let mut result: Value = serde_json::from_slice(&files.remove("result.json").expect("result.json")).expect("JSON");
    for field in ["seconds", "peak_bytes"] {
        result[field] = Value::Null;
    }
    for claim in result["claims"].as_array_mut().expect("claims") {
        claim["seconds"] = Value::Null;
    }
    for file in result["files"].as_array_mut().expect("files") {
        *file = file.as_str().expect("a path").replace(out.to_str().expect("text"), "").into();
    }
    result["notes"].as_array_mut().expect("notes").retain(|note| !note.as_str().expect("text").starts_with("continued from"));
    assert!(!partial(out).exists(), "{} is left", partial(out).display());
    Given { code: output.status.code(), result, files }
}

/// The run that nothing happens to, and how long it takes.
fn undisturbed() -> &'static (Given, Duration) {
    static RUN: OnceLock<(Given, Duration)> = OnceLock::new();
    RUN.get_or_init(|| {
        let out = tempfile::tempdir().expect("a folder");
        let begun = Instant::now();
        let output = run(out.path(), &[]).output().expect("the program runs");
        let time = begun.elapsed();
        let given = given(out.path(), &output);
        assert!(matches!(given.code, Some(0 | 1)), "{}", String::from_utf8_lossy(&output.stderr));
        let weights: Vec<&String> = given.files.keys().filter(|name| name.ends_with(".npz")).collect();
        assert!(weights.len() >= 2 && weights.len() == given.result["trainings"].as_array().expect("trainings").len());
        (given, time)
    })
}

#[track_caller]
fn check(what: &str, out: &Path, output: &Output) {
    let (whole, found) = (&undisturbed().0, given(out, output));
    assert_eq!(found.code, whole.code, "{what}: {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(found.result, whole.result, "{what}");
    assert_eq!(found.files.keys().collect::<Vec<_>>(), whole.files.keys().collect::<Vec<_>>(), "{what}");
    for (name, bytes) in &whole.files {
        assert!(&found.files[name] == bytes, "{what}: {name} differs");
    }
}

#[test]
fn killed_while_training() {
    let time = undisturbed().1.as_secs_f64();
    let mut rng = Seed::new(1).child("kills").rng();
    let mut kills = 0;
    while kills < KILLS.0 {
        let out = tempfile::tempdir().expect("a folder");
        // Moments in order over the time of a whole run; the first ones are at its very beginning.
        let mut moments = vec![rng.random_range(0.0..0.02)];
        moments.extend((0..6).map(|_| rng.random_range(0.0..1.1 * time)));
        moments.sort_by(f64::total_cmp);
        let mut before = 0.0;
        for &moment in &moments {
            let child = start(out.path(), if kills % 7 == 0 { &[] } else { &["--resume"] });
            if !killed_after(child, Duration::from_secs_f64(moment - before)) {
                break;
            }
            (before, kills) = (moment, kills + 1);
        }
        check(&format!("killed after {moments:.3?} s"), out.path(), &finish(out.path()));
    }
}

/// A run killed after its last training, while it draws.
fn trained() -> TempDir {
    loop {
        let out = tempfile::tempdir().expect("a folder");
        let mut child = start(out.path(), &[]);
        wait_for(&partial(out.path()).join("files/templates-learning-curve.csv"));
        child.kill().expect("a signal is sent");
        if end(child).status.code().is_none() {
            return out;
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let (from, to) = (entry.as_ref().expect("an entry").path(), to.join(entry.as_ref().expect("an entry").file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).expect("a file");
        }
    }
}

#[test]
fn killed_between_the_training_and_the_result() {
    let saved = trained();
    let attempt = || {
        let out = tempfile::tempdir().expect("a folder");
        copy(saved.path(), out.path());
        fs::create_dir(dir(out.path())).expect("a folder");
        fs::write(dir(out.path()).join("result.json"), "older").expect("a file");
        out
    };
    let out = attempt();
    let begun = Instant::now();
    let output = finish(out.path());
    let time = begun.elapsed().as_secs_f64();
    check("not killed again", out.path(), &output);

    let mut rng = Seed::new(2).child("kills").rng();
    for kill in 0..KILLS.1 {
        let out = attempt();
        // The last ones aim at the end, where the older result is replaced.
        let from = if kill < KILLS.1 / 2 { 0.0 } else { 0.9 };
        let moment = rng.random_range(from * time..time);
        killed_after(start(out.path(), &["--resume"]), Duration::from_secs_f64(moment));
        let result = fs::read(dir(out.path()).join("result.json")).expect("a result at any moment");
        assert!(result == b"older" || serde_json::from_slice::<Value>(&result).is_ok_and(|r| r["paper"] == "ssgd"));
        assert_eq!(result == b"older", fs::read_dir(dir(out.path())).expect("a folder").count() == 1, "files of two runs");
        check(&format!("killed after {moment:.3} s"), out.path(), &finish(out.path()));
    }
}

#[test]
fn a_signal_saves_and_says_how_to_go_on() {
    // The second run saves nothing but what the signal asks for.
    for (signal, every, sign) in [("-INT", "0", "training/templates-window-0.2.ckpt"), ("-TERM", "1e9", "training")] {
        let out = tempfile::tempdir().expect("a folder");
        let child = snn("smoke", out.path()).args(["--json", "--checkpoint-every", every]).spawn().expect("the program starts");
        wait_for(&partial(out.path()).join("checkpoints").join(sign));
        std::thread::sleep(Duration::from_millis(100));
        send(signal, &child);
        let output = end(child);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(130), "{signal}: {text}");
        assert_eq!(serde_json::from_slice::<Value>(&output.stdout).expect("JSON")["error"], "interrupted");
        assert!(!dir(out.path()).exists() && partial(out.path()).join("checkpoints/training/templates-dense.ckpt").exists(), "{text}");
        let command = text.lines().last().expect("a line").trim();
        assert!(command.ends_with("--resume"), "{text}");
        let output = Command::new("sh").args(["-c", command]).env_remove("SNN_DATA").output().expect("sh runs");
        check(signal, out.path(), &output);
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    // The program waits for ever for data from a pipe to which nobody writes.
    let data = tempfile::tempdir().expect("a folder");
    let set = data.path().join("fashion-mnist");
    fs::create_dir(&set).expect("a folder");
    assert!(Command::new("mkfifo").arg(set.join("train-images-idx3-ubyte")).status().expect("mkfifo runs").success());
    let out = tempfile::tempdir().expect("a folder");
    let mut child = snn("short", out.path()).arg("--data").arg(data.path()).spawn().expect("the program starts");
    wait_for(&out.path().join("ssgd/short-7.partial/files"));
    std::thread::sleep(Duration::from_millis(100));
    send("-INT", &child);
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().expect("a state").is_none(), "the first signal waits for the end of the work at hand");
    send("-TERM", &child);
    let output = end(child);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(130) && text.contains("once more"), "{:?}: {text}", output.status);
}

#[test]
fn a_signal_that_the_caller_ignores_does_nothing() {
    let out = tempfile::tempdir().expect("a folder");
    // As under nohup.
    let mut command = Command::new("env");
    command.arg("--ignore-signal=HUP").args(run(out.path(), &[]).get_args().filter(|arg| *arg != "--default-signal=INT,TERM,HUP"));
    let child = command.env_remove("SNN_DATA").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    wait_for(&partial(out.path()).join("checkpoints/training"));
    send("-HUP", &child);
    check("hang-up under nohup", out.path(), &end(child));
}

#[test]
fn a_damaged_checkpoint_is_refused_and_left() {
    let out = tempfile::tempdir().expect("a folder");
    let path = partial(out.path()).join("checkpoints/training/templates-dense.ckpt");
    let child = start(out.path(), &[]);
    wait_for(&path);
    send("-TERM", &child);
    assert_eq!(end(child).status.code(), Some(130));
    let good = fs::read(&path).expect("a checkpoint");
    // Every byte of the header is changed in the tests of the lab, and every byte of a small file in those of `snn_io::codec`.
    let changed = |at: usize| [&good[..at], &[good[at] ^ 0x10], &good[at + 1..]].concat();
    let cases = [
        ("first byte", changed(0)),
        ("version", changed(8)),
        ("length", changed(12)),
        ("checksum", changed(20)),
        ("first of the payload", changed(24)),
        ("middle", changed(good.len() / 2)),
        ("last byte", changed(good.len() - 1)),
        ("empty", Vec::new()),
        ("half", good[..good.len() / 2].to_vec()),
        ("longer", [&good[..], b"\0"].concat()),
    ];
    for (what, bytes) in cases {
        fs::write(&path, &bytes).expect("a file");
        let output = finish(out.path());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{what}: {text}");
        assert!(text.contains(path.to_str().expect("text")) && text.contains("Run without --resume"), "{what}: {text}");
        assert!(!text.contains("panicked"), "{what}: {text}");
        assert!(fs::read(&path).expect("it is left") == bytes, "{what}: the file was changed");
    }
    fs::write(&path, &good).expect("a file");
    check("the checkpoint as it was", out.path(), &finish(out.path()));
}
