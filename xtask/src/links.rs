//! Relative links in the documents lead somewhere, and no page of the book is out of reach.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Folders whose Markdown files are documents: with those below them, but for what is built or installed there.
const FOLDERS: [&str; 5] = ["docs", "crates", "benches", "xtask", ".github"];

/// Checks README.md and every Markdown file of [`FOLDERS`].
pub fn check(root: &Path) -> Result<(), String> {
    let mut documents = vec![root.join("README.md")];
    FOLDERS.iter().for_each(|folder| markdown(&root.join(folder), &mut documents));
    documents.sort();
    let mut broken = Vec::new();
    for document in &documents {
        let text = std::fs::read_to_string(document).map_err(|error| format!("cannot read {}: {error}", document.display()))?;
        let folder = document.parent().unwrap_or(root);
        for (line, target) in relative_links(&text) {
            if !resolve(root, folder, &target).exists() {
                broken.push(format!("{}:{line}: there is no {target}", document.display()));
            }
        }
    }
    broken.extend(lost(root, &documents).iter().map(|document| format!("{}: no link leads to it from README.md", document.display())));
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n    ")) }
}

/// The documents in `docs` that nobody finds who begins at README.md.
fn lost<'a>(root: &Path, documents: &'a [PathBuf]) -> Vec<&'a PathBuf> {
    let place = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.into());
    let (mut found, mut next) = (BTreeSet::new(), vec![place(&root.join("README.md"))]);
    while let Some(document) = next.pop() {
        if found.insert(document.clone()) && document.extension().is_some_and(|extension| extension == "md") {
            let text = std::fs::read_to_string(&document).unwrap_or_default();
            let folder = document.parent().unwrap_or(root);
            next.extend(relative_links(&text).iter().map(|(_, target)| place(&resolve(root, folder, target))));
        }
    }
    documents.iter().filter(|document| document.starts_with(root.join("docs")) && !found.contains(&place(document))).collect()
}

/// The Markdown files in a folder and below it.
fn markdown(folder: &Path, into: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() && !path.ends_with("target") {
            markdown(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            into.push(path);
        }
    }
}

fn resolve(root: &Path, folder: &Path, target: &str) -> PathBuf {
    match target.strip_prefix('/') {
        Some(from_root) => root.join(from_root),
        None => folder.join(target),
    }
}

/// The links and images of a Markdown text that name a file, with their line; code is not read.
fn relative_links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    let mut fence: Option<&str> = None;
    for (number, line) in text.lines().enumerate() {
        let start = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, None) => links.extend(targets(line).map(|target| (number + 1, target))),
            _ => {}
        }
    }
    links
}

fn targets(line: &str) -> impl Iterator<Item = String> {
    // Code spans go first: every second part between backquotes.
    let line: String = line.split('`').enumerate().filter(|(n, _)| n % 2 == 0).map(|(_, part)| part).collect();
    let inline = line.match_indices("](").filter_map(|(at, _)| line[at + 2..].split_once(')').map(|(target, _)| target));
    let reference = line.strip_prefix('[').and_then(|rest| rest.split_once("]:")).map(|(_, target)| target);
    let targets: Vec<String> = inline.chain(reference).filter_map(file_of).collect();
    targets.into_iter()
}

/// The file a target names; none for an address elsewhere and for a place in the same document.
fn file_of(target: &str) -> Option<String> {
    let target = target.trim();
    let target = match target.strip_prefix('<') {
        Some(rest) => rest.split('>').next()?,
        // A title may follow the address: `[x](y.md "title")`.
        None => target.split_whitespace().next()?,
    };
    let elsewhere = target.contains("://") || target.starts_with("mailto:");
    let file = target.split('#').next()?.replace("%20", " ");
    (!elsewhere && !file.is_empty()).then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_files_are_found() {
        let text = "See [a](docs/a.md#part), ![b](b.svg \"title\") and [c](<c d.md>).\n[d]: ../d.md\n";
        let expected = [(1, "docs/a.md"), (1, "b.svg"), (1, "c d.md"), (2, "../d.md")];
        assert_eq!(relative_links(text), expected.map(|(line, target)| (line, target.to_owned())));
    }

    #[test]
    fn other_links_and_code_are_left_alone() {
        let text = "[a](https://example.org/x) [b](#part) [c](mailto:x@example.org) `[d](e.md)`\n```text\n[f](g.md)\n```\n";
        assert_eq!(relative_links(text), []);
    }

    #[test]
    fn broken_links_are_named_with_their_line() {
        let root = std::env::temp_dir().join(format!("xtask-links-{}", std::process::id()));
        std::fs::create_dir_all(root.join("docs")).unwrap();
        std::fs::write(root.join("README.md"), "[good](docs/a.md)\n").unwrap();
        std::fs::write(root.join("docs/a.md"), "[good](/README.md) [good](../README.md)\n").unwrap();
        assert_eq!(check(&root), Ok(()));
        std::fs::write(root.join("docs/b.md"), "nobody knows me\n").unwrap();
        let lost = check(&root).unwrap_err();
        assert!(lost.ends_with("b.md: no link leads to it from README.md") && !lost.contains("a.md"), "{lost}");
        std::fs::write(root.join("docs/a.md"), "\n[bad](missing.md) [good](b.md)\n").unwrap();
        let error = check(&root).unwrap_err();
        std::fs::remove_dir_all(&root).unwrap();
        assert!(error.ends_with("a.md:2: there is no missing.md"), "{error}");
    }
}
