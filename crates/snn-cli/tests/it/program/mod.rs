//! The program as the tests use it: run, and looked at from outside.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

pub const SNN: &str = env!("CARGO_BIN_EXE_snn");

pub fn snn(args: &[impl AsRef<OsStr>]) -> Output {
    Command::new(SNN).args(args).env_remove("SNN_DATA").output().expect("the program starts")
}

pub fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("standard output is text")
}

pub fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("standard error is text")
}

/// Exactly one JSON value.
#[track_caller]
pub fn json(output: &Output) -> Value {
    serde_json::from_str(stdout(output)).unwrap_or_else(|e| panic!("{e} in {}\n{}", stdout(output), stderr(output)))
}

/// Exit code 2, nothing on standard output, and one error on standard error that contains each of `says`.
#[track_caller]
pub fn refused(what: &str, output: &Output, says: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{what}: {text}");
    assert!(output.stdout.is_empty(), "{what}: {}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(text.matches("error:").count(), 1, "{what}: {text}");
    for bad in ["panicked", "RUST_BACKTRACE", "stack backtrace"] {
        assert!(!text.contains(bad), "{what}: {text}");
    }
    for part in says {
        assert!(text.contains(part), "{what}: no \"{part}\" in {text}");
    }
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// An idx file of unsigned bytes.
pub fn idx(dims: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dims.len() as u8];
    dims.iter().for_each(|n| bytes.extend(n.to_be_bytes()));
    bytes.extend(data);
    bytes
}
