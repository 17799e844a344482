//! The tutorial, as a newcomer goes through it: every command in an empty folder, and every line that is shown.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::program::{SNN, json, snn, stderr, text};

/// A fenced block: its language, its content, its first line in the document.
struct Block {
    language: String,
    content: String,
    line: usize,
}

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn blocks(text: &str) -> Vec<Block> {
    let (mut blocks, mut open): (Vec<Block>, Option<Block>) = (Vec::new(), None);
    for (number, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some(Block { language: language.into(), content: String::new(), line: number + 2 }),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.content += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// Words with one space between them.
fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
#[cfg(unix)]
fn every_command_of_the_tutorial() {
    let folder = tempfile::tempdir().expect("a folder");
    let bin = Path::new(SNN).parent().expect("a folder");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("a path"));
    let (mut said, mut commands, mut shown) = (String::new(), 0, 0);
    for Block { language, content, line } in blocks(&document("docs/tutorial.md")) {
        match language.as_str() {
            "sh" => {
                let mut shell = Command::new("sh");
                shell.args(["-e", "-c", &content]).current_dir(folder.path()).env("PATH", &path).env_remove("SNN_DATA");
                let output = shell.output().expect("sh runs");
                assert!(output.status.success(), "docs/tutorial.md:{line}: {}", stderr(&output));
                said = String::from_utf8(output.stdout).expect("text");
                commands += 1;
            }
            "text" => {
                // Lines in their order; others may stand between them.
                let mut rest = said.lines().map(words);
                for expected in content.lines() {
                    assert!(
                        rest.any(|line| line == words(expected)),
                        "docs/tutorial.md:{line}: no line\n{expected}\nhere, or not in its place, in\n{said}"
                    );
                    shown += 1;
                }
            }
            other => assert_eq!(other, "console", "docs/tutorial.md:{line}: a block that nobody checks"),
        }
    }
    assert!(commands >= 10 && shown >= 20, "{commands} commands, {shown} lines");
}

/// The recipe on the first page trains on idx files as it stands, but for the number of epochs; that of the list of keys is the same.
#[test]
fn the_recipe_of_the_readme() {
    let (readme, recipes) = (document("README.md"), document("docs/recipes.md"));
    let toml = |text: &str| blocks(text).into_iter().find(|block| block.language == "toml").expect("a recipe").content;
    assert_eq!(toml(&readme), toml(&recipes));
    let dir = tempfile::tempdir().expect("a folder");
    let (data, recipe, out) = (dir.path().join("data"), dir.path().join("fashion.toml"), dir.path().join("fashion"));
    assert_eq!(snn(&["data", "strokes", text(&data), "--train", "64", "--test", "10"]).status.code(), Some(0));
    let here = toml(&readme).replace("epochs = 12", "epochs = 1").replace("data/fashion-mnist", text(&data));
    fs::write(&recipe, here).expect("a file");
    let output = snn(&["train", text(&recipe), "--out", text(&out), "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    // 5 % of 784·200 + 200·200 + 200·10.
    assert_eq!(json(&output)["links"], 9940);
}
