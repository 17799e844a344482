//! Bad input to the program itself: exit code 2, one message that names the place and what was expected, no partial output.
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::program::{SNN, idx, refused, snn, text};
use tempfile::TempDir;

/// No file below `dir`, and no folder of partial state.
#[track_caller]
fn nothing_left(what: &str, dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        assert!(path.is_dir() && path.extension().is_none_or(|e| e != "partial"), "{what}: {} is left", path.display());
        nothing_left(what, &path);
    }
}

fn temp() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// The four files of a tiny Fashion-MNIST, below a folder of data sets.
fn data() -> (TempDir, PathBuf) {
    let dir = temp();
    let set = dir.path().join("fashion-mnist");
    fs::create_dir(&set).expect("a folder");
    for part in ["train", "t10k"] {
        fs::write(set.join(format!("{part}-images-idx3-ubyte")), idx(&[2, 28, 28], &[100; 2 * 784])).expect("a file");
        fs::write(set.join(format!("{part}-labels-idx1-ubyte")), idx(&[2], &[3, 9])).expect("a file");
    }
    (dir, set)
}

/// A run on the folder `data` is refused for the file at `path`.
#[track_caller]
fn data_refused(what: &str, data: &Path, path: &Path, says: &str) {
    let out = temp();
    let output = snn(&["reproduce", "ssgd", "--scale", "short", "--data", text(data), "--out", text(out.path())]);
    refused(what, &output, &[text(path), says]);
    nothing_left(what, out.path());
}

#[test]
fn damaged_data_files() {
    let images = idx(&[2, 28, 28], &[100; 2 * 784]);
    let gzip_head = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0xaa; 40]].concat();
    let html = b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n".to_vec();
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 26421880\n".to_vec();
    let floats = [&[0, 0, 0x0d, 3][..], &images[4..]].concat();
    let (train, test) = ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte");
    let (train_labels, test_labels) = ("train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte");
    let cases: [(&str, &str, Vec<u8>, &str); 16] = [
        ("empty", train, Vec::new(), "an empty file"),
        ("a header cut short", train, images[..3].to_vec(), "begins with the bytes"),
        ("dimensions cut short", train, images[..9].to_vec(), "truncated"),
        ("elements cut short", train, images[..images.len() - 1].to_vec(), "truncated: expected 1568 bytes of elements, found 1567"),
        ("a tail", train, [&images[..], b"\n"].concat(), "more than the 1568 bytes"),
        ("wrong magic", train, floats, "00 00 08"),
        ("text", train, b"label,pixel1,pixel2\n".to_vec(), "begins with the bytes"),
        ("a web page", train, html.clone(), "a web page"),
        ("a git-lfs pointer", test, pointer, "git lfs pull"),
        ("a git-annex pointer", test, b"/annex/objects/MD5E-s26421880--8d4fb7e6.gz\n".to_vec(), "git annex get"),
        ("broken gzip", test, gzip_head, "gzip"),
        ("another shape", test, idx(&[2, 32, 32], &[0; 2 * 1024]), "28 × 28"),
        ("dimensions that overflow", test, idx(&[u32::MAX; 3], &[]), "would take more than"),
        ("more labels than images", train_labels, idx(&[3], &[0, 1, 2]), "one for each of the 2 images"),
        ("a label out of range", test_labels, idx(&[2], &[3, 10]), "label 10 at index 1"),
        ("labels that are a web page", test_labels, html, "a web page"),
    ];
    for (what, file, bytes, says) in cases {
        let (dir, set) = data();
        let path = set.join(file);
        fs::write(&path, bytes).expect("a file");
        data_refused(what, dir.path(), &path, says);
    }
}

#[test]
fn damaged_recordings() {
    let html = b"<!DOCTYPE html>\n<html></html>\n".to_vec();
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 9\n".to_vec();
    let event = |x: u8, t: u8| [x, 3, 0x80, 0, t];
    let wav = [&b"RIFF"[..], &[200, 0, 0, 0], b"WAVEfmt "].concat();
    let (bin, sound) = ("nmnist-1100/Train/3/00001.bin", "fsdd/recordings/0_jackson_7.wav");
    let cases: [(&str, &str, Vec<u8>, &str); 10] = [
        ("no events", bin, Vec::new(), "an empty file"),
        ("an event cut short", bin, event(1, 1)[..4].to_vec(), "truncated"),
        ("events that go back in time", bin, [event(1, 9), event(2, 8)].concat(), "event 1"),
        ("a pixel beyond the sensor", bin, event(34, 1).to_vec(), "event 0"),
        ("a page for events", bin, html.clone(), "a web page"),
        ("a pointer for events", bin, pointer.clone(), "git lfs pull"),
        ("no sound", sound, Vec::new(), "an empty file"),
        ("sound cut short", sound, wav, "truncated"),
        ("a page for sound", sound, html, "a web page"),
        ("a pointer for sound", sound, pointer, "git lfs pull"),
    ];
    for (what, file, bytes, says) in cases {
        let (dir, _) = data();
        for class in 0..10 {
            fs::create_dir_all(dir.path().join(format!("{}{class}", &bin[..18]))).expect("a folder");
        }
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        if file == sound {
            fs::remove_dir_all(dir.path().join("nmnist-1100")).expect("a folder");
        }
        fs::write(&path, bytes).expect("a file");
        data_refused(what, dir.path(), &path, says);
    }
}

#[test]
fn data_folders_that_are_none() {
    let (dir, set) = data();
    let file = set.join("train-images-idx3-ubyte");
    let out = temp();
    let run = |data: &Path| snn(&["reproduce", "ssgd", "--scale", "short", "--data", text(data), "--out", text(out.path())]);
    refused("no folder", &run(Path::new("no/such/folder")), &["--data", "there is no folder no/such/folder"]);
    refused("a file", &run(&file), &["--data", text(&file)]);
    refused("no data set in it", &run(&set), &["fashion-mnist/train-images-idx3-ubyte.gz: not found", "https://"]);
    fs::remove_file(&file).expect("a file");
    fs::create_dir(&file).expect("a folder");
    refused("a folder in place of a file", &run(dir.path()), &[text(&file), "could not read it"]);
    nothing_left("data", out.path());
    let output =
        Command::new(SNN).args(["reproduce", "ssgd", "--out", text(out.path())]).env("SNN_DATA", "no/such").output().expect("starts");
    refused("SNN_DATA", &output, &["SNN_DATA: there is no folder no/such"]);
}

#[test]
fn wrong_arguments() {
    let cases: [(&[&str], &[&str]); 22] = [
        (&["reproduce", "sgd"], &["\"sgd\"", "Did you mean ssgd?"]),
        (&["reproduce", "SSGD"], &["Did you mean ssgd?"]),
        (&["reproduce", "quite_another"], &["The papers are: ssgd"]),
        (&["bench", "tain-step"], &["\"tain-step\"", "Did you mean train-step?"]),
        (&["bench", "quite-another"], &["The benchmarks are:"]),
        (&["reprodce", "ssgd"], &["'reprodce'", "reproduce"]),
        (&["reproduce", "ssgd", "--sed", "3"], &["'--sed'", "--seed"]),
        (&["reproduce", "ssgd", "--scale", "smoek"], &["smoek", "smoke"]),
        (&["reproduce", "ssgd", "--seeds", "0"], &["--seeds", "1..=10000"]),
        (&["reproduce", "ssgd", "--seed=-1"], &["--seed"]),
        (&["reproduce", "ssgd", "--seed", "18446744073709551615", "--seeds", "2"], &["largest seed"]),
        (&["reproduce"], &["PAPER"]),
        (&["reproduce", "ssgd", "--all"], &["--all"]),
        (&["reproduce", "ssgd", "--list"], &["--list"]),
        (&["reproduce", "ssgd", "--seed", "1e3"], &["--seed", "1e3"]),
        (&["reproduce", "ssgd", "--threads", "0"], &["--threads", "1..=4096"]),
        (&["reproduce", "ssgd", "--threads", "4097"], &["--threads", "1..=4096"]),
        (&["reproduce", "ssgd", "--threads", "99999999999999999999"], &["--threads"]),
        (&["reproduce", "ssgd", "--checkpoint-every=-1"], &["--checkpoint-every", "seconds, 0 or more"]),
        (&["reproduce", "ssgd", "--checkpoint-every", "NaN"], &["--checkpoint-every", "seconds, 0 or more"]),
        (&["reproduce", "ssgd", "--checkpoint-every", "1e300"], &["--checkpoint-every", "seconds, 0 or more"]),
        (&["reproduce", "ssgd", "--out", ""], &["--out", "give a folder"]),
    ];
    for (args, says) in cases {
        refused(&format!("{args:?}"), &snn(args), says);
    }
}

#[test]
fn no_argument_at_all_shows_the_usage() {
    let output = snn(&[] as &[&str]);
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(2), true));
    assert!(String::from_utf8_lossy(&output.stderr).contains("Usage"));
}

#[test]
fn more_threads_than_the_system_gives() {
    let out = temp();
    let limited = "ulimit -v 3000000; exec \"$@\"";
    let output = Command::new("sh")
        .args(["-c", limited, "sh", SNN, "reproduce", "ssgd", "--scale", "smoke", "--threads", "4096", "--out", text(out.path())])
        .output()
        .expect("sh runs");
    refused("4096 threads", &output, &["cannot start 4096 threads", "--threads"]);
    nothing_left("threads", out.path());
}

#[test]
fn output_folders_that_cannot_be_written() {
    let dir = temp();
    let file = dir.path().join("file");
    fs::write(&file, "mine").expect("a file");
    for out in [file.as_path(), &file.join("below"), Path::new("/dev/null/x"), Path::new("/proc/x"), Path::new("/dev/full")] {
        let output = snn(&["reproduce", "ssgd", "--scale", "smoke", "--out", text(out)]);
        refused(text(out), &output, &[text(out), "choose another --out"]);
    }
    assert_eq!(fs::read(&file).expect("a file"), b"mine");

    // A file where the folder of the paper, or that of the run, would be.
    for place in ["ssgd", "ssgd/smoke-1"] {
        let out = temp();
        let place = out.path().join(place);
        fs::create_dir_all(place.parent().expect("a folder")).expect("a folder");
        fs::write(&place, "mine").expect("a file");
        let output = snn(&["reproduce", "ssgd", "--scale", "smoke", "--out", text(out.path())]);
        refused(text(&place), &output, &[text(&place)]);
        assert_eq!(fs::read(&place).expect("a file"), b"mine");
        fs::remove_file(&place).expect("a file");
        nothing_left(text(&place), out.path());
    }
}

#[test]
fn paths_that_are_not_text() {
    let dir = temp();
    let path = dir.path().join(OsStr::from_bytes(b"f\xffx"));
    fs::create_dir(&path).expect("a folder");
    for flag in ["--data", "--out"] {
        let args: [OsString; 5] = ["reproduce".into(), "ssgd".into(), "--scale=smoke".into(), flag.into(), path.clone().into()];
        refused(flag, &snn(&args), &[flag, "f\\xFFx", "not UTF-8"]);
    }
    let output = Command::new(SNN).args(["reproduce", "ssgd"]).env("SNN_DATA", &path).output().expect("starts");
    refused("SNN_DATA", &output, &["SNN_DATA", "f\\xFFx", "not UTF-8"]);
    refused("a paper", &snn(&[OsStr::new("reproduce"), OsStr::from_bytes(b"ss\xff")]), &["UTF-8"]);
    nothing_left("no text", &path);
}

/// Runs the program where no file can grow beyond `blocks` of 512 bytes, as on a full disk.
fn full_disk(blocks: u32, args: &[&str]) -> Output {
    let limited = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    Command::new("sh").args(["-c", &limited, "sh", SNN]).args(args).env_remove("SNN_DATA").output().expect("sh runs")
}

#[test]
fn full_disks() {
    // No file at all; small files only: then the first checkpoint fails.
    for (blocks, path) in [(0, ""), (8, "/ssgd/smoke-1.partial/checkpoints/training/templates-dense.ckpt")] {
        let (out, what) = (temp(), format!("{blocks} blocks"));
        let args = ["reproduce", "ssgd", "--scale", "smoke", "--checkpoint-every", "0", "--out", text(out.path())];
        let output = full_disk(blocks, &args);
        refused(&what, &output, &[&format!("{}{path}: ", text(out.path())), "File too large"]);
        nothing_left(&what, out.path());
    }
}

#[test]
fn streams_that_take_nothing() {
    let run = |redirected: &str| {
        let script = format!("exec \"$@\" {redirected}");
        Command::new("sh").args(["-c", &script, "sh", SNN, "reproduce", "--list"]).output().expect("sh runs")
    };
    refused("standard output", &run(">/dev/full"), &["cannot write to standard output"]);
    // Nobody hears of it, but the exit code does not change.
    assert_eq!(run(">/dev/full 2>/dev/full").status.code(), Some(2));
    let output = Command::new("sh").args(["-c", "exec \"$@\" 2>/dev/full", "sh", SNN, "reproduce", "sgd"]).output().expect("sh runs");
    assert_eq!(output.status.code(), Some(2));
}
