//! The manifests of the workspace.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// The folder and the manifest of every member of the workspace at `root`, in the order of the names.
pub fn members(root: &Path) -> Result<Vec<(PathBuf, Table)>, String> {
    let workspace = read(&root.join("Cargo.toml"))?;
    let mut members = Vec::new();
    for member in strings(workspace.get("workspace").and_then(|w| w.get("members"))) {
        for folder in expand(root, &member)? {
            let package = read(&folder.join("Cargo.toml"))?;
            members.push((folder, package));
        }
    }
    Ok(members)
}

/// A manifest.
pub fn read(path: &Path) -> Result<Table, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    text.parse().map_err(|error| format!("{}: {error}", path.display()))
}

/// The folders a member entry stands for: itself, or for `folder/*` every package in the folder.
fn expand(root: &Path, member: &str) -> Result<Vec<PathBuf>, String> {
    let Some(folder) = member.strip_suffix("/*") else { return Ok(vec![root.join(member)]) };
    let entries = std::fs::read_dir(root.join(folder)).map_err(|error| format!("cannot read the folder {folder}: {error}"))?;
    let mut folders: Vec<_> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.join("Cargo.toml").is_file()).collect();
    folders.sort();
    Ok(folders)
}

/// The texts of a list; none if there is no list.
pub fn strings(list: Option<&Value>) -> Vec<String> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(|value| value.as_str().map(String::from)).collect()
}
