//! What a paper's file says of it: the comment it begins with.

use std::path::Path;

use crate::LabError;

/// The parts of the comment.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Header {
    /// The full citation: the first paragraph.
    pub cite: Option<String>,
    /// The paragraphs after it, without departures.
    pub prose: Vec<String>,
    /// Where our run departs from the paper, and what is left out.
    pub departures: Vec<String>,
}

/// Reads that of `crates/snn-repro/src/papers/ID.rs` under `root`, and the departures of the files in the folder of that name; empty if there is no such file.
pub(super) fn read(root: &Path, id: &str) -> Result<Header, LabError> {
    let papers = root.join("crates/snn-repro/src/papers");
    let mut header = text(&papers.join(format!("{id}.rs")))?.map_or_else(Header::default, |text| parse(&text));
    let mut parts: Vec<_> = std::fs::read_dir(papers.join(id)).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    parts.sort();
    for path in parts.iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
        header.departures.extend(text(path)?.map_or_else(Vec::new, |text| parse(&text).departures));
    }
    Ok(header)
}

fn text(path: &Path) -> Result<Option<String>, LabError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LabError::io("read", path)(error)),
    }
}

/// Paragraphs are parted by empty lines; a departure begins with that word and goes on to the next one, or to the end of its paragraph.
fn parse(source: &str) -> Header {
    let comment: Vec<&str> = source.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
    let mut paragraphs =
        comment.split(|line| line.is_empty()).map(|lines| lines.join(" ")).filter(|text| !text.is_empty()).map(|text| plain(&text));
    let mut header = Header { cite: paragraphs.next(), ..Header::default() };
    for paragraph in paragraphs {
        let text = paragraph.replace("Departures: ", "Departure: ");
        let mut parts = text.split("Departure: ").map(str::trim);
        match parts.next() {
            Some(left) if left.starts_with("Left out: ") => header.departures.push(left.into()),
            Some(prose) if !prose.is_empty() => header.prose.push(prose.into()),
            _ => {}
        }
        header.departures.extend(parts.map(capital));
    }
    header
}

/// With a capital letter in front.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Without the links of rustdoc, which lead nowhere in a document.
fn plain(text: &str) -> String {
    text.replace("[`", "`").replace("`]", "`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_taken_apart() {
        let source = "//! A & B 2020, \"T\",\n//! arXiv:1.\n//!\n//! Reproduced: [`x`].\n//! Marks: `[abs]`.\n//!\n//! Some. Departure: no a.\n//! Departure: one\n//! b.\n//!\n\
            //! Departures: c; d.\n//!\n//! Left out: e.\n\nuse x;\n//! not this\n";
        let text = |list: &[&str]| list.iter().map(|text| (*text).to_string()).collect::<Vec<_>>();
        let header = parse(source);
        assert_eq!(header.cite.as_deref(), Some("A & B 2020, \"T\", arXiv:1."));
        assert_eq!(header.prose, text(&["Reproduced: `x`. Marks: ``[abs]``.".replace("``", "`").as_str(), "Some."]));
        assert_eq!(header.departures, text(&["No a.", "One b.", "C; d.", "Left out: e."]));
    }
}
