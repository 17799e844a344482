//! Checks beyond the tests. All of them run, but for those that take too long, so that one call tells everything that is wrong.

use std::path::Path;
use std::process::Command;

use crate::{cargo, fmt, layers, links, packages};

/// One check.
pub struct Check {
    /// Name on the command line.
    pub name: &'static str,
    /// What it holds.
    pub about: &'static str,
    /// Whether it takes too long to be among those that always run.
    on_demand: bool,
    run: fn(&Path) -> Result<(), String>,
}

/// Every check, the quick ones first. On two idle cores: seconds up to `packages` (some 10 s); then as long as a build takes.
pub const CHECKS: &[Check] = &[
    Check { name: "fmt", about: "every source file is formatted", on_demand: false, run: |root| fmt::run(root, true) },
    Check { name: "layers", about: "crates depend only on lower layers", on_demand: false, run: layers::check },
    Check { name: "links", about: "relative links in every README.md and in docs resolve", on_demand: false, run: links::check },
    Check {
        name: "packages",
        about: "each crate that is published is whole: manifest, README, files",
        on_demand: false,
        run: packages::check,
    },
    Check { name: "clippy", about: "no warnings of clippy", on_demand: false, run: clippy },
    Check { name: "doc", about: "the documentation builds without warnings", on_demand: false, run: doc },
    Check { name: "readme", about: "the code in every README.md compiles and runs", on_demand: false, run: readme },
    Check { name: "docs", about: "generated tables in the documents are up to date", on_demand: false, run: docs },
    Check {
        name: "alone",
        about: "each crate builds alone, without default features (minutes; when named)",
        on_demand: true,
        run: packages::alone,
    },
];

/// Runs the checks with the given names, or all that do not wait to be named.
pub fn run(root: &Path, names: &[String]) -> Result<u8, String> {
    if let Some(unknown) = names.iter().find(|name| CHECKS.iter().all(|check| check.name != *name)) {
        let known: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
        return Err(format!("there is no check \"{unknown}\"; the checks are: {}", known.join(", ")));
    }
    let mut failed = Vec::new();
    for check in CHECKS.iter().filter(|check| if names.is_empty() { !check.on_demand } else { names.iter().any(|name| name == check.name) })
    {
        eprintln!("tidy: {}: {}", check.name, check.about);
        if let Err(why) = (check.run)(root) {
            eprintln!("tidy: {}: FAILED: {why}", check.name);
            failed.push(check.name);
        }
    }
    if failed.is_empty() {
        eprintln!("tidy: all good");
        Ok(0)
    } else {
        eprintln!("tidy: failed: {}", failed.join(", "));
        Ok(1)
    }
}

fn clippy(root: &Path) -> Result<(), String> {
    let args = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
    succeed(cargo().args(args).current_dir(root), "clippy has something to say (above); if it cannot start: rustup component add clippy")
}

fn doc(root: &Path) -> Result<(), String> {
    let mut doc = cargo();
    doc.args(["doc", "--quiet", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings").current_dir(root);
    succeed(&mut doc, "the documentation has warnings (above)")
}

fn readme(root: &Path) -> Result<(), String> {
    // All packages, so that nothing is built again with fewer features than the tests have.
    let args = ["test", "--quiet", "--workspace", "--doc", "--", "ReadmeCode"];
    succeed(cargo().args(args).current_dir(root), "the code in a README.md does not do what it says (above)")
}

fn docs(root: &Path) -> Result<(), String> {
    let args = ["run", "--quiet", "--bin", "snn", "--", "docs", "--check"];
    succeed(
        cargo().args(args).current_dir(root),
        "a generated table is out of date or has no markers (above): run `cargo run -p snn-cli -- docs`",
    )
}

/// Runs a command to its good end.
pub fn succeed(command: &mut Command, otherwise: &str) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("cannot start {}: {error}", command.get_program().display()))?;
    if status.success() { Ok(()) } else { Err(otherwise.into()) }
}
