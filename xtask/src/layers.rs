//! Arrows go down only: the layers in the workspace manifest, compared with what the crates depend on.

use std::collections::BTreeMap;
use std::path::Path;

use toml::{Table, Value};

use crate::manifest::{self, strings};

/// Checks the manifests of the workspace at `root`.
pub fn check(root: &Path) -> Result<(), String> {
    let workspace = manifest::read(&root.join("Cargo.toml"))?;
    let packages: Vec<Table> = manifest::members(root)?.into_iter().map(|(_, package)| package).collect();
    let problems = problems(&workspace, &packages)?;
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n    ")) }
}

/// What is wrong, one sentence each.
fn problems(workspace: &Table, packages: &[Table]) -> Result<Vec<String>, String> {
    let metadata = workspace.get("workspace").and_then(|w| w.get("metadata"));
    let layers = metadata.and_then(|m| m.get("layers")).and_then(Value::as_table);
    let layers = layers.ok_or("Cargo.toml has no table [workspace.metadata.layers]")?;
    let layers: BTreeMap<&str, i64> = layers.iter().filter_map(|(name, layer)| Some((name.as_str(), layer.as_integer()?))).collect();
    let allowed = |from: &str, to: &str| {
        let same = metadata.and_then(|m| m.get("layers-same")).and_then(|same| same.get(from));
        strings(same).iter().any(|name| name == to)
    };
    let names: Vec<&str> = packages.iter().filter_map(|package| package.get("package")?.get("name")?.as_str()).collect();

    let mut problems = Vec::new();
    for name in layers.keys().filter(|name| !names.contains(name)) {
        problems.push(format!("[workspace.metadata.layers] lists {name}, which is no member of the workspace"));
    }
    for (package, from) in packages.iter().zip(&names) {
        let Some(&layer) = layers.get(from) else {
            problems.push(format!("{from} has no layer: add it to [workspace.metadata.layers]"));
            continue;
        };
        for (to, dev) in own_dependencies(workspace, package, &names) {
            let Some(&below) = layers.get(to.as_str()) else {
                problems.push(format!("{from} depends on {to}, which has no layer: add it to [workspace.metadata.layers]"));
                continue;
            };
            // A test may use a neighbour.
            let good = below < layer || (below == layer && (dev || allowed(from, &to)));
            if !good {
                let how = if below == layer { "the same layer" } else { "a higher layer" };
                problems.push(format!("{from} (layer {layer}) depends on {to} (layer {below}), which is of {how}"));
            }
        }
    }
    Ok(problems)
}

/// The crates of ours that a package depends on, and whether only its tests do.
fn own_dependencies(workspace: &Table, package: &Table, names: &[&str]) -> Vec<(String, bool)> {
    let mut tables: Vec<&Table> = vec![package];
    if let Some(targets) = package.get("target").and_then(Value::as_table) {
        tables.extend(targets.values().filter_map(Value::as_table));
    }
    let shared = workspace.get("workspace").and_then(|w| w.get("dependencies")).and_then(Value::as_table);
    let mut found = Vec::new();
    for table in tables {
        for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
            for (key, value) in table.get(kind).and_then(Value::as_table).into_iter().flatten() {
                let inherited = value.get("workspace").and_then(Value::as_bool) == Some(true);
                let value = if inherited { shared.and_then(|shared| shared.get(key)).unwrap_or(value) } else { value };
                let name = value.get("package").and_then(Value::as_str).unwrap_or(key);
                if names.contains(&name) || value.get("path").is_some() {
                    found.push((name.to_owned(), kind == "dev-dependencies"));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKSPACE: &str = r#"
        [workspace.metadata.layers]
        low = 0
        mid = 1
        side = 1
        top = 2
        [workspace.metadata.layers-same]
        side = ["mid"]
        [workspace.dependencies]
        low = { path = "crates/low" }
        mid = { path = "crates/mid" }
        side = { path = "crates/side" }
        top = { path = "crates/top" }
        serde = "1"
    "#;

    /// The problems of a workspace whose four packages have these dependencies.
    fn check(workspace: &str, dependencies: [&str; 4]) -> Vec<String> {
        let names = ["low", "mid", "side", "top"];
        let package = |(name, rest): (&str, &str)| format!("[package]\nname = \"{name}\"\n{rest}").parse::<Table>().unwrap();
        let packages: Vec<Table> = names.into_iter().zip(dependencies).map(package).collect();
        problems(&workspace.parse().unwrap(), &packages).unwrap()
    }

    #[test]
    fn arrows_down_are_good() {
        let good = [
            "[dependencies]\nserde = { workspace = true }",
            "[dependencies]\nlow.workspace = true\n[dev-dependencies]\nside.workspace = true",
            "[dependencies]\nmid.workspace = true",
            "[target.'cfg(unix)'.dependencies]\nlow = { path = \"../low\" }",
        ];
        assert_eq!(check(WORKSPACE, good), [""; 0]);
    }

    #[test]
    fn arrows_up_and_sideways_are_named() {
        let bad = [
            "[build-dependencies]\nmid.workspace = true",
            "[dependencies]\nx = { package = \"side\", path = \"../side\" }\n[dev-dependencies]\ntop.workspace = true",
            "[target.'cfg(unix)'.dependencies]\ntop.workspace = true",
            "[dependencies]\nstranger = { path = \"../stranger\" }",
        ];
        let expected = [
            "low (layer 0) depends on mid (layer 1), which is of a higher layer",
            "mid (layer 1) depends on side (layer 1), which is of the same layer",
            "mid (layer 1) depends on top (layer 2), which is of a higher layer",
            "side (layer 1) depends on top (layer 2), which is of a higher layer",
            "top depends on stranger, which has no layer: add it to [workspace.metadata.layers]",
        ];
        assert_eq!(check(WORKSPACE, bad), expected);
    }

    #[test]
    fn list_and_members_agree() {
        let workspace = "[workspace.metadata.layers]\nlow = 0\nmid = 1\nside = 1\ngone = 3";
        let expected = [
            "[workspace.metadata.layers] lists gone, which is no member of the workspace",
            "top has no layer: add it to [workspace.metadata.layers]",
        ];
        assert_eq!(check(workspace, [""; 4]), expected);
    }
}
