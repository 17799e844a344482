//! Formatting of every source file. `cargo fmt` follows `mod` lines only, and the papers are declared by a macro.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Formats all files, or only checks that they are formatted.
pub fn run(root: &Path, check: bool) -> Result<(), String> {
    let mut files = Vec::new();
    for folder in ["crates", "xtask", "benches"] {
        sources(&root.join(folder), &mut files)?;
    }
    files.sort();
    let mut rustfmt = Command::new("rustfmt");
    rustfmt.args(["--edition", "2024", "--config-path"]).arg(root);
    if check {
        // Names only: a file that another one declares is visited twice.
        rustfmt.args(["--check", "-l"]);
    }
    let output = rustfmt.args(files).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("cannot start rustfmt ({error}): rustup component add rustfmt"))?;
    let names: BTreeSet<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    if output.status.success() {
        return Ok(());
    }
    let names = names.iter().map(|name| format!("\n    {name}"));
    Err(format!("run `cargo xtask fmt`; not formatted, or not to be formatted (above):{}", names.collect::<String>()))
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry.map_err(|error| format!("cannot read {}: {error}", folder.display()))?.path();
        if path.is_dir() {
            sources(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
