//! What a published package must have: others take one crate and nothing else of this repository.

use std::path::{Component, Path, PathBuf};

use toml::{Table, Value};

use crate::{cargo, manifest, tidy::succeed};

/// Fields of a manifest without which a package is not found, or not understood.
const FIELDS: [&str; 8] = ["description", "license", "repository", "readme", "keywords", "categories", "rust-version", "edition"];
/// The largest file in a package (chosen: the largest fixture is a third of it).
const LARGEST: u64 = 200_000;
/// What `snn-core` may depend on, as everybody else depends on it: numbers, chance, data as files, errors.
const CORE: [&str; 7] = ["libm", "rand", "rand_chacha", "rand_distr", "serde", "serde_json", "thiserror"];

/// Checks every member that is not marked `publish = false`.
pub fn check(root: &Path) -> Result<(), String> {
    let mut problems = Vec::new();
    for (folder, manifest) in manifest::members(root)? {
        let package = manifest.get("package").and_then(Value::as_table).ok_or_else(|| format!("{} has no [package]", folder.display()))?;
        let name = package.get("name").and_then(Value::as_str).unwrap_or_default();
        if package.get("publish").and_then(Value::as_bool) == Some(false) {
            continue;
        }
        problems.extend(fields(package).into_iter().map(|problem| format!("{name}: {problem}")));
        problems.extend(unpublished(root, &manifest)?.into_iter().map(|problem| format!("{name}: {problem}")));
        problems.extend(files(root, &folder, name)?.into_iter().map(|problem| format!("{name}: {problem}")));
        if name == "snn-core" {
            let normal = manifest.get("dependencies").and_then(Value::as_table).into_iter().flat_map(Table::keys);
            let heavy = normal.filter(|name| !CORE.contains(&name.as_str()));
            problems.extend(
                heavy.map(|name| format!("snn-core: a new dependency, {name}: everybody pays for it; is it worth a line of `CORE`?")),
            );
        }
    }
    if !problems.is_empty() {
        return Err(problems.join("\n    "));
    }
    // All at once, because none of them is on a registry for the others to be found there.
    let mut package = cargo();
    package.args(["package", "--quiet", "--workspace", "--no-verify", "--allow-dirty", "--offline"]).current_dir(root);
    succeed(&mut package, "`cargo package --workspace` refuses something (above)")
}

/// Builds each published crate alone, without its default features: nothing it needs may come from a neighbour.
pub fn alone(root: &Path) -> Result<(), String> {
    let mut failed = Vec::new();
    for (_, manifest) in manifest::members(root)? {
        let package = manifest.get("package").and_then(Value::as_table).cloned().unwrap_or_default();
        let name = package.get("name").and_then(Value::as_str).unwrap_or_default();
        if package.get("publish").and_then(Value::as_bool) != Some(false) {
            eprintln!("tidy: alone: {name}");
            let mut check = cargo();
            check.args(["check", "--quiet", "--no-default-features", "--package", name]).current_dir(root);
            failed.extend(succeed(&mut check, name).err());
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("these do not build alone (above): {}", failed.join(", "))) }
}

/// What is missing in a manifest.
fn fields(package: &Table) -> Vec<String> {
    FIELDS.iter().filter(|field| !package.contains_key(**field)).map(|field| format!("no `{field}` in its manifest")).collect()
}

/// Dependencies that cannot be had from a registry, but for those of tests.
fn unpublished(root: &Path, manifest: &Table) -> Result<Vec<String>, String> {
    let mut problems = Vec::new();
    for (folder, other) in manifest::members(root)? {
        let other = other.get("package").and_then(Value::as_table).cloned().unwrap_or_default();
        let name = other.get("name").and_then(Value::as_str).unwrap_or_default();
        let hidden = other.get("publish").and_then(Value::as_bool) == Some(false);
        if hidden && manifest.get("dependencies").and_then(|list| list.get(name)).is_some() {
            problems.push(format!("it depends on {name} ({}), which is not published", folder.display()));
        }
    }
    Ok(problems)
}

/// What is wrong with the files that go into the package.
fn files(root: &Path, folder: &Path, name: &str) -> Result<Vec<String>, String> {
    let output = cargo().args(["package", "--list", "--allow-dirty", "--offline", "--package", name]).current_dir(root).output();
    let output = output.map_err(|error| format!("cannot start cargo: {error}"))?;
    if !output.status.success() {
        return Ok(vec![format!("`cargo package --list` refuses it: {}", String::from_utf8_lossy(&output.stderr).trim())]);
    }
    let list: Vec<PathBuf> = String::from_utf8_lossy(&output.stdout).lines().map(PathBuf::from).collect();
    let mut problems = Vec::new();
    if !list.iter().any(|file| file == Path::new("README.md")) {
        problems.push("no README.md".into());
    }
    for file in &list {
        // Cargo makes some files itself.
        let Ok(size) = std::fs::metadata(folder.join(file)).map(|meta| meta.len()) else { continue };
        if size > LARGEST {
            problems.push(format!("{} has {size} bytes; more than {LARGEST} do not belong into a package", file.display()));
        }
        if file.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(folder.join(file)).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
            let here = file.parent().unwrap_or(Path::new(""));
            let missing = included(&text).map(|path| normal(&here.join(path))).filter(|path| !list.contains(path));
            problems.extend(missing.map(|path| format!("{} includes {}, which is not in the package", file.display(), path.display())));
        }
    }
    Ok(problems)
}

/// The files that a source file includes by a name of its own.
fn included(text: &str) -> impl Iterator<Item = &str> {
    let after = |mark: &'static str| {
        text.match_indices(mark).filter_map(move |(at, _)| text[at + mark.len()..].split_once('"').map(|(path, _)| path))
    };
    after("include_str!(\"").chain(after("include_bytes!(\"")).chain(after("#[path = \""))
}

/// A path without `..`.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut path, part| {
        match part {
            Component::ParentDir if path.components().next_back().is_some_and(|last| last != Component::ParentDir) => drop(path.pop()),
            part => path.push(part),
        }
        path
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_fields_are_named() {
        let package: Table = "name = \"a\"\ndescription = \"b\"\nlicense.workspace = true\n".parse().unwrap();
        assert_eq!(fields(&package).len(), FIELDS.len() - 2);
        assert!(fields(&package).contains(&"no `readme` in its manifest".to_string()));
    }

    #[test]
    fn included_files_are_found_and_their_paths_made_plain() {
        let text = "const A: &str = include_str!(\"../tests/a.csv\");\n#[path = \"../../b/mod.rs\"]\nmod b; include_bytes!(name)";
        assert_eq!(included(text).collect::<Vec<_>>(), ["../tests/a.csv", "../../b/mod.rs"]);
        assert_eq!(normal(Path::new("src/../tests/a.csv")), Path::new("tests/a.csv"));
        assert_eq!(normal(Path::new("src/../../README.md")), Path::new("../README.md"));
    }
}
