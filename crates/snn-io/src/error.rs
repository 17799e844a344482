//! What can be wrong with a file.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why a file could not be read or written: which file, what was expected, what to change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IoError {
    /// There is no such file.
    #[error("{path}: not found; expected {expected}")]
    NotFound {
        /// The file looked for.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// The operating system refused.
    #[error("{path}: could not {doing}: {source}; check the folder, its permissions and the free space")]
    Os {
        /// The file or folder.
        path: PathBuf,
        /// What was attempted.
        doing: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The file is of another kind.
    #[error("{path}: expected {expected}, found {found}")]
    Format {
        /// The file read.
        path: PathBuf,
        /// The kind of file wanted.
        expected: &'static str,
        /// What its first bytes say it is.
        found: String,
    },
    /// The file is a format version that this program does not read.
    #[error("{path}: checkpoint format {found}, but this program reads format {expected}; save it again with this program")]
    Version {
        /// The file read.
        path: PathBuf,
        /// The version read here.
        expected: u32,
        /// The version in the file.
        found: u32,
    },
    /// The file ends early.
    #[error("{path}: truncated: expected {expected} bytes of {what}, found {found}; copy or download it again")]
    Truncated {
        /// The file read.
        path: PathBuf,
        /// Which part ends early.
        what: &'static str,
        /// Bytes that part should have.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// There are bytes after the end.
    #[error("{path}: more than the {expected} bytes of {what} that its header announces; copy or download it again")]
    Trailing {
        /// The file read.
        path: PathBuf,
        /// Which part should have been the last.
        what: &'static str,
        /// Bytes that part should have.
        expected: u64,
    },
    /// The contents are too large to be held.
    #[error("{path}: {what} would take more than {limit} bytes; check that the file is what it should be, or split it")]
    TooLarge {
        /// The file read or to be written.
        path: PathBuf,
        /// What is too large.
        what: String,
        /// The most that is accepted.
        limit: u64,
    },
    /// The checksum disagrees: some byte has changed since the file was written.
    #[error("{path}: damaged: checksum {found:08x}, expected {expected:08x}; use an earlier checkpoint")]
    Checksum {
        /// The file read.
        path: PathBuf,
        /// The checksum stored in the file.
        expected: u32,
        /// The checksum of what was read.
        found: u32,
    },
    /// The compressed data are damaged.
    #[error("{path}: damaged gzip data: {source}; copy or download it again")]
    Gzip {
        /// The file read.
        path: PathBuf,
        /// What the decompressor says.
        source: io::Error,
    },
    /// A file of the right kind with something in it that cannot be.
    #[error("{path}: {place}: {reason}")]
    Content {
        /// The file read or to be written.
        path: PathBuf,
        /// Where in it: an event, a sample, a data set, a line, by the format's own name and its number from 0 (lines: from 1).
        place: String,
        /// What is wrong there, and what to do.
        reason: String,
    },
    /// The bytes are intact but hold no such value, or the value cannot be written.
    #[error("{path}: not a {expected}: {reason}; was it saved from another type or an earlier program?")]
    Value {
        /// The file read or to be written.
        path: PathBuf,
        /// The Rust type wanted.
        expected: &'static str,
        /// What is in the way.
        reason: String,
    },
    /// Text that is no JSON, or JSON that is not the value wanted.
    #[error("{path}:{line}:{column}: {reason}; expected a {expected}")]
    Json {
        /// The file read or to be written.
        path: PathBuf,
        /// Line, from 1 (0 when writing).
        line: usize,
        /// Column, from 1 (0 when writing, or at a line's start).
        column: usize,
        /// What is wrong there.
        reason: String,
        /// The Rust type wanted.
        expected: &'static str,
    },
}

impl IoError {
    /// `reason` at `place` inside `path`.
    pub(crate) fn content(path: &Path, place: impl Into<String>, reason: impl Into<String>) -> Self {
        IoError::Content { path: path.into(), place: shortened(place.into()), reason: shortened(reason.into()) }
    }

    /// `head`, the first bytes of `path`, is not how the `expected` kind of file begins.
    pub(crate) fn format(path: &Path, expected: &'static str, head: &[u8]) -> Self {
        IoError::Format { path: path.into(), expected, found: describe(&head[..head.len().min(256)]) }
    }

    /// The system's `source` while `doing` something to `path`.
    pub(crate) fn os(path: &Path, doing: &'static str, source: io::Error) -> Self {
        IoError::Os { path: path.into(), doing, source }
    }

    /// The system's `source` while reading `path`, which should hold `expected`.
    pub(crate) fn reading(path: &Path, expected: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound => IoError::NotFound { path: path.into(), expected },
            _ => IoError::os(path, "read it", source),
        }
    }
}

/// Longest text of an error that is given whole (chosen: some ten lines), and what is kept of the beginning and the end of a longer one.
const LONGEST: usize = 1000;
const ENDS: [usize; 2] = [600, 300];

/// A text for people, the middle left out if it is long: names and lists from a file may be as long as the file.
///
/// ```
/// assert_eq!(snn_io::shortened("short".into()), "short");
/// assert!(snn_io::shortened("long ".repeat(1000)).contains(" … "));
/// ```
pub fn shortened(text: String) -> String {
    if text.len() <= LONGEST {
        return text;
    }
    let [head, tail] = [text.floor_char_boundary(ENDS[0]), text.ceil_char_boundary(text.len() - ENDS[1])];
    format!("{} … {}", &text[..head], &text[tail..])
}

/// What the first bytes of a file of the wrong kind say it is, for people.
pub(crate) fn describe(head: &[u8]) -> String {
    known(head).unwrap_or_else(|| format!("a file that begins with the bytes {:02x?}", &head[..head.len().min(8)]))
}

/// What the first bytes say a file is, if it is one of the usual mistakes: for formats that have no mark of their own.
pub(crate) fn known(head: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(&head[..head.len().min(256)]).trim_start().to_ascii_lowercase();
    let what = if text.starts_with("version https://git-lfs") {
        "a git-lfs pointer, not the data it points to: fetch them with `git lfs pull`"
    } else if text.contains("annex/objects/") || text.starts_with("/annex/") {
        "a git-annex pointer, not the data it points to: fetch them with `git annex get`"
    } else if ["<!doctype", "<html", "<?xml", "<head"].iter().any(|tag| text.starts_with(tag)) {
        "a web page: the download gave an error or login page instead of the data"
    } else if head.is_empty() {
        "an empty file"
    } else if head.starts_with(&[0x1f, 0x8b, 8]) {
        "gzip data: decompress it with `gunzip`"
    } else if head.starts_with(b"PK\x03\x04") {
        "a zip archive: unpack it with `unzip`"
    } else {
        return None;
    };
    Some(what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_keep_their_ends() {
        let text = format!("unknown field `{}`, expected one of `a`, `b`", "ü".repeat(40_000));
        let short = shortened(text.clone());
        assert!(short.len() < LONGEST && short.starts_with("unknown field `ü") && short.ends_with("expected one of `a`, `b`"), "{short}");
        assert_eq!(shortened(short.clone()), short);
        let error = IoError::content(Path::new("dir/a"), text.clone(), text).to_string();
        assert!(error.starts_with("dir/a: unknown") && error.len() < 2 * LONGEST, "{error}");
    }
}
