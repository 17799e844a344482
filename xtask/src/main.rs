//! Chores of the workspace, as `cargo xtask …`. It starts processes, fetches data and depends on no crate of ours, so it builds in seconds.

mod data;
mod fmt;
mod layers;
mod links;
mod manifest;
mod packages;
mod record;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const HELP: &str = "\
cargo xtask reproduce …          run papers, in release mode: `cargo xtask reproduce --help`
cargo xtask bench NAME [--record] [--features mpi] …
                                 run a benchmark, in release mode; --record files its JSON under benches/records/
cargo xtask data list|check|fetch …
                                 the data sets: where they come from, whether they are whole, getting them: `cargo xtask data --help`
cargo xtask fuzz [FORMAT…] [--seconds N]
                                 broken files for every reader: `cargo xtask fuzz --help`
cargo xtask fmt                  format every source file, also those that macros declare and `cargo fmt` does not see
cargo xtask tidy [CHECK…]        checks beyond the tests, all or the named ones:";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((command, rest)) = args.split_first() else {
        eprintln!("{}", help());
        return ExitCode::from(2);
    };
    let root = root();
    let done = match command.as_str() {
        "reproduce" => snn(&root, command, rest),
        "bench" if rest.iter().any(|arg| arg == "--record") => record::bench(&root, rest),
        "bench" => snn(&root, command, rest),
        "data" => data::run(&root, rest),
        "fuzz" => fuzz(&root, rest),
        "fmt" => fmt::run(&root, false).map(|()| 0),
        "tidy" => tidy::run(&root, rest),
        "help" | "--help" | "-h" => {
            println!("{}", help());
            Ok(0)
        }
        other => Err(format!("there is no task \"{other}\"\n\n{}", help())),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(2)
        }
    }
}

fn help() -> String {
    let checks = tidy::CHECKS.iter().map(|check| format!("\n                                 {:<8} {}", check.name, check.about));
    format!("{HELP}{}", checks.collect::<String>())
}

/// The root of the repository: the folder above this package.
fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}

/// The cargo that runs this task.
fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// How to build `snn` for a command line. Papers need neither benches nor another library's runs of ONNX files; those whose file asks for `dense-baselines`, a
/// large library, get it, and others do not wait for it.
fn features(root: &Path, command: &str, rest: &[String]) -> &'static [&'static str] {
    let asks = |paper: &String| {
        let file = root.join(format!("crates/snn-repro/src/papers/{paper}.rs"));
        paper == "--all" || std::fs::read_to_string(file).is_ok_and(|text| text.contains("feature = \"dense-baselines\""))
    };
    match command {
        "reproduce" if rest.iter().any(asks) => &["--no-default-features", "--features", "dense-baselines"],
        "reproduce" => &["--no-default-features"],
        _ => &[],
    }
}

/// `cargo run --release -p snn-cli -- COMMAND …` in the user's folder, so that paths mean what they say.
fn snn_command(root: &Path, command: &str, rest: &[String]) -> Command {
    let mut run = cargo();
    run.args(["run", "--release", "--quiet", "--package", "snn-cli", "--manifest-path"]);
    let (asked, rest) = asked_for(rest);
    run.arg(root.join("Cargo.toml")).args(features(root, command, &rest)).args(asked).arg("--").arg(command).args(rest);
    run
}

/// `--features LIST` is for cargo, all else for `snn`.
fn asked_for(args: &[String]) -> (Vec<String>, Vec<String>) {
    let at = args.iter().position(|arg| arg == "--features").filter(|at| at + 1 < args.len());
    let mut rest = args.to_vec();
    let asked = at.map_or_else(Vec::new, |at| rest.drain(at..at + 2).collect());
    (asked, rest)
}

/// Runs the program `snn` and returns its exit code.
fn snn(root: &Path, command: &str, rest: &[String]) -> Result<u8, String> {
    eprintln!("building the program `snn` in release mode, if it is not yet");
    let status = snn_command(root, command, rest).status().map_err(|error| format!("cannot start cargo: {error}"))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(2))
}

/// Runs the program that breaks files, in the profile of the tests: with checks of overflow.
fn fuzz(root: &Path, rest: &[String]) -> Result<u8, String> {
    let mut run = cargo();
    run.args(["run", "--quiet", "--package", "snn-fuzz", "--manifest-path"]).arg(root.join("Cargo.toml")).arg("--").args(rest);
    let status = run.status().map_err(|error| format!("cannot start cargo: {error}"))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_papers_that_need_it_get_the_large_library() {
        let features = |command, rest: &[&str]| features(&root(), command, &rest.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>());
        let dense = ["--no-default-features", "--features", "dense-baselines"];
        assert_eq!(features("reproduce", &["ssgd", "crnn_music_tagging", "--seed", "2"]), dense);
        assert_eq!(features("reproduce", &["--all"]), dense);
        assert_eq!(features("reproduce", &["ssgd", "--scale", "smoke"]), ["--no-default-features"]);
        assert_eq!(features("bench", &["--all"]), [""; 0]);
    }

    #[test]
    fn features_go_to_cargo() {
        let list = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>();
        let (asked, rest) = asked_for(&list(&["search", "--features", "mpi", "--json"]));
        assert_eq!((asked, rest), (list(&["--features", "mpi"]), list(&["search", "--json"])));
        assert_eq!(asked_for(&list(&["search", "--features"])).0, list(&[]));
    }
}
