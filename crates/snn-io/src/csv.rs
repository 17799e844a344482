//! Tables of numbers as text: comma-separated values, usually with a header, plain or gzip.
//!
//! Source: RFC 4180; the crate `csv` does the parsing.

use crate::{IoError, bytes::expanded, error::known};
use csv::{ErrorKind, Position, Reader, ReaderBuilder, StringRecord, Trim};
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

const EXPECTED: &str = "a table of comma-separated values with a header, plain or gzip";

/// How a table is to be read. The default: commas, every column holds numbers, nothing is missing.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// What stands between two fields: `b','`.
    pub delimiter: u8,
    /// Entries that mean "not measured", for example `["NA", ""]`; they become NaN.
    pub missing: &'a [&'a str],
    /// Names of the columns that hold text.
    pub text: &'a [&'a str],
    /// Whether the first line names the columns; without it they are called `0`, `1`, `2` …
    pub header: bool,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options { delimiter: b',', missing: &[], text: &[], header: true }
    }
}

/// A table: numbers by row, and the text columns apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Names of the columns of numbers, in the file's order.
    pub columns: Vec<String>,
    /// The numbers, row by row. NaN stands where the file has a marker of [`Options::missing`], and nowhere else.
    pub values: Vec<f32>,
    /// Names and entries of the text columns, in the file's order.
    pub texts: Vec<(String, Vec<String>)>,
    /// How many rows there are, at least 1.
    pub rows: usize,
}

impl Table {
    /// The numbers of row `i`, in the order of `columns`.
    ///
    /// # Panics
    /// If there is no row `i`.
    #[track_caller]
    pub fn row(&self, i: usize) -> &[f32] {
        assert!(i < self.rows, "row {i} of a table of {} rows", self.rows);
        &self.values[i * self.columns.len()..][..self.columns.len()]
    }

    /// The numbers of a column, `None` if there is none of that name.
    pub fn column(&self, name: &str) -> Option<impl Iterator<Item = f32>> {
        let at = self.columns.iter().position(|column| column == name)?;
        Some(self.values.iter().skip(at).step_by(self.columns.len()).copied())
    }

    /// The entries of a text column, `None` if there is none of that name.
    pub fn text(&self, name: &str) -> Option<&[String]> {
        self.texts.iter().find(|(column, _)| column == name).map(|(_, entries)| &entries[..])
    }
}

/// Reads a table, gzip or not: its contents decide, not its name. Spaces around an entry are dropped.
///
/// Memory: the text (at most 4 GiB if compressed), 4 bytes a number and the texts.
///
/// # Errors
/// [`IoError::NotFound`], [`IoError::Format`] (empty, control characters in the header, or visibly another kind of file),
/// [`IoError::Content`] with line (from 1) and column for an entry that is no finite number, a row of another length, text that is not
/// UTF-8, a column name that occurs twice, a text column
/// that is not there, a first line of numbers (a missing header), and a header without rows; [`IoError::TooLarge`], [`IoError::Gzip`],
/// [`IoError::Os`]. A file cut inside its last entry cannot be told from a shorter one, unless it is gzip.
///
/// ```
/// use snn_io::csv::{Options, read};
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("station.csv");
/// std::fs::write(&path, "\"hour\",\"PM2.5\",\"wd\"\n0,9,\"NNW\"\n1,NA,\"N\"\n")?;
/// let table = read(&path, &Options { missing: &["NA"], text: &["wd"], ..Options::default() })?;
/// assert_eq!(table.columns, ["hour", "PM2.5"]);
/// assert!(table.row(0) == [0.0, 9.0] && table.row(1)[1].is_nan());
/// assert_eq!(table.text("wd").unwrap(), ["NNW", "N"]);
///
/// let error = read(&path, &Options::default()).unwrap_err().to_string();
/// assert!(error.contains("line 2, column `wd`: expected a finite number (f32), found \"NNW\""), "{error}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read(path: impl AsRef<Path>, options: &Options) -> Result<Table, IoError> {
    let path = path.as_ref();
    decode(path, &expanded(path, EXPECTED)?, options)
}

fn decode(path: &Path, bytes: &[u8], options: &Options) -> Result<Table, IoError> {
    if known(bytes).is_some() {
        return Err(IoError::format(path, EXPECTED, bytes));
    }
    let mut reader = ReaderBuilder::new().delimiter(options.delimiter).trim(Trim::All).has_headers(options.header).from_reader(bytes);
    let first = reader.headers().map_err(|e| refused(path, bytes, &e))?.iter();
    let header: Vec<String> =
        if options.header { first.map(Into::into).collect() } else { (0..first.count()).map(|k| k.to_string()).collect() };
    if header.iter().any(|name| name.contains(char::is_control)) {
        return Err(IoError::format(path, EXPECTED, bytes));
    }
    if options.header {
        check(path, &header)?;
    }
    if let Some(name) = options.text.iter().find(|name| !header.iter().any(|column| column == *name)) {
        return Err(no_header(path, format!("no text column `{name}` among {header:?}")));
    }
    let is_text: Vec<bool> = header.iter().map(|name| options.text.contains(&name.as_str())).collect();
    let of = |text: bool| header.iter().zip(&is_text).filter(move |(_, is_text)| **is_text == text).map(|(name, _)| name.clone());
    let mut table = Table { columns: of(false).collect(), values: vec![], texts: of(true).map(|name| (name, vec![])).collect(), rows: 0 };
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(|e| refused(path, bytes, &e))? {
        let mut texts = table.texts.iter_mut();
        for (entry, (name, &is_text)) in record.iter().zip(header.iter().zip(&is_text)) {
            if is_text {
                texts.next().expect("as many as the header has").1.push(entry.to_owned());
            } else if options.missing.contains(&entry) {
                table.values.push(f32::NAN);
            } else {
                let number = entry.parse().ok().filter(|number: &f32| number.is_finite());
                table.values.push(number.ok_or_else(|| {
                    let line = line(bytes, record.position());
                    let advice = "name it as a text column, or the entry as a marker of missing values";
                    let reason = format!("expected a finite number (f32), found {entry:?}; correct it, {advice}");
                    IoError::content(path, format!("line {line}, column `{name}`"), reason)
                })?);
            }
        }
        table.rows += 1;
    }
    if table.rows == 0 {
        return Err(IoError::content(path, "line 2", format!("no rows after the header {header:?}; expected {EXPECTED}")));
    }
    Ok(table)
}

fn no_header(path: &Path, reason: String) -> IoError {
    IoError::content(path, "line 1", format!("{reason}; expected the names of the columns"))
}

/// That these are names, and each stands for one column.
fn check(path: &Path, header: &[String]) -> Result<(), IoError> {
    if header.iter().all(|name| name.parse::<f64>().is_ok()) {
        return Err(no_header(path, "only numbers, the header is missing".into()));
    }
    match header.iter().enumerate().find(|(i, name)| header[..*i].contains(name)) {
        Some((_, name)) => Err(no_header(path, format!("column `{name}` occurs twice"))),
        None => Ok(()),
    }
}

/// A table read row by row, as its rows arrive: for streams, and for tables of which few columns are wanted. Commas, and a header.
///
/// ```
/// use snn_io::csv::Rows;
/// let mut rows = Rows::new("standard input", &b"hour,a,wd\n1,0.5,NW\n2,NA,N\n"[..])?;
/// assert_eq!(rows.columns(), ["hour", "a", "wd"]);
/// assert!(rows.next()?);
/// assert_eq!((rows.number(1, &["NA"])?, rows.text(2)), (0.5, "NW"));
/// assert!(rows.next()? && rows.number(1, &["NA"])?.is_nan() && !rows.next()?);
/// # Ok::<(), snn_io::IoError>(())
/// ```
pub struct Rows<R> {
    name: PathBuf,
    reader: Reader<R>,
    columns: Vec<String>,
    record: StringRecord,
    /// Whether there has been a row.
    any: bool,
}

impl Rows<Box<dyn Read>> {
    /// Those of a file, plain or gzip.
    ///
    /// # Errors
    /// As [`read`], as far as the header.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, IoError> {
        let (path, bytes) = (path.as_ref(), expanded(path.as_ref(), EXPECTED)?);
        if known(&bytes).is_some() || bytes.is_empty() {
            return Err(IoError::format(path, EXPECTED, &bytes));
        }
        Rows::new(path, Box::new(Cursor::new(bytes)))
    }
}

impl<R: Read> Rows<R> {
    /// Those of a stream, which errors call `name`. Waits for the header.
    ///
    /// # Errors
    /// [`IoError::Content`] for a header that is missing, of numbers, or names a column twice.
    pub fn new(name: impl AsRef<Path>, input: R) -> Result<Self, IoError> {
        let name = name.as_ref().to_path_buf();
        let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(input);
        let columns: Vec<String> = reader.headers().map_err(|e| stopped(&name, &e))?.iter().map(Into::into).collect();
        if columns.is_empty() || columns.iter().any(|name| name.contains(char::is_control)) {
            return Err(no_header(&name, format!("found {columns:?}")));
        }
        check(&name, &columns)?;
        Ok(Rows { name, reader, columns, record: StringRecord::new(), any: false })
    }

    /// Names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Goes on to the next row, once it is there; `false` at the end.
    ///
    /// # Errors
    /// [`IoError::Content`] with the line for a row of another length, text that is not UTF-8, a stream that breaks off, or a header without rows.
    #[allow(clippy::should_implement_trait)] // a row is lent, and may be refused
    pub fn next(&mut self) -> Result<bool, IoError> {
        let more = self.reader.read_record(&mut self.record).map_err(|e| stopped(&self.name, &e))?;
        if !more && !self.any {
            let reason = format!("no rows after the header {:?}; expected {EXPECTED}", self.columns);
            return Err(IoError::content(&self.name, "line 2", reason));
        }
        self.any = true;
        Ok(more)
    }

    /// The entry of this row in column `k`, counted from 0; nothing if there is no such column, or no row yet.
    pub fn text(&self, k: usize) -> &str {
        self.record.get(k).unwrap_or("")
    }

    /// The same as a number; NaN for one of the markers of `missing`.
    ///
    /// # Errors
    /// [`IoError::Content`] with line and column for an entry that is neither.
    pub fn number(&self, k: usize, missing: &[&str]) -> Result<f64, IoError> {
        let entry = self.text(k);
        if missing.contains(&entry) {
            return Ok(f64::NAN);
        }
        entry.parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(|| {
            let column = self.columns.get(k).map_or("", |name| name);
            let line = self.record.position().map_or(1, Position::line);
            IoError::content(&self.name, format!("line {line}, column `{column}`"), format!("expected a finite number, found {entry:?}"))
        })
    }
}

/// A stream that cannot be read on.
fn stopped(name: &Path, error: &csv::Error) -> IoError {
    IoError::content(name, format!("line {}", error.position().map_or(1, Position::line)), why(error))
}

fn refused(path: &Path, bytes: &[u8], error: &csv::Error) -> IoError {
    IoError::content(path, format!("line {}", line(bytes, error.position())), why(error))
}

fn why(error: &csv::Error) -> String {
    match error.kind() {
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} entries, expected {expected_len} as in the header; is a quote or delimiter missing, or the file cut?")
        }
        ErrorKind::Utf8 { err, .. } => format!("entry {}: no UTF-8 text; expected {EXPECTED}", err.field() + 1),
        _ => format!("{error}; expected {EXPECTED}"),
    }
}

/// The line (from 1) of the record found at `position`; the parser's own count stops before the empty lines in front of a record.
fn line(bytes: &[u8], position: Option<&Position>) -> usize {
    let (before, after) = bytes.split_at(position.map_or(0, |position| position.byte() as usize).min(bytes.len()));
    let ends = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == b'\n').count();
    let empty = after.iter().take_while(|byte| b"\r\n".contains(byte)).count();
    1 + ends(before) + ends(&after[..empty])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &[u8], options: &Options) -> Result<Table, IoError> {
        let result = decode(Path::new("dir/a.csv"), text, options);
        if let Err(error) = &result {
            assert!(error.to_string().starts_with("dir/a.csv: "), "{error}");
        }
        result
    }

    #[test]
    fn golden_table() {
        let text = "\u{feff}a;\"b \"\"c\"\"\";where;d\r\n1; -0.5 ;\"x;\ny\";1e3\r\n-;2;;+.25";
        let table = check(text.as_bytes(), &Options { delimiter: b';', missing: &["-"], text: &["where"], ..Options::default() }).unwrap();
        assert_eq!(table.columns, ["a", "b \"c\"", "d"]);
        assert_eq!((table.rows, table.row(0)), (2, &[1.0, -0.5, 1000.0][..]));
        assert!(table.row(1)[0].is_nan() && table.row(1)[1..] == [2.0, 0.25]);
        assert_eq!(table.texts, [("where".to_string(), vec!["x;\ny".to_string(), String::new()])]);
        assert_eq!(table.column("d").unwrap().collect::<Vec<_>>(), [1000.0, 0.25]);
        assert!(table.column("where").is_none() && table.text("d").is_none());
        let bare = check(b"1,2\n3,4\n", &Options { header: false, ..Options::default() }).unwrap();
        assert_eq!(
            (&bare.columns[..], &bare.values[..], bare.rows),
            (&["0".to_string(), "1".to_string()][..], &[1.0, 2.0, 3.0, 4.0][..], 2)
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let says = |text: &[u8], what: &str| {
            let message = check(text, &Options { missing: &["NA"], text: &[], ..Options::default() }).unwrap_err().to_string();
            assert!(message.contains(what), "{message}");
        };
        says(b"a,b\n1,2\n3,NA\n\n4,x\n", "line 5, column `b`: expected a finite number (f32), found \"x\"");
        for entry in ["nan", "inf", "1e39", "", "1 2", "0x1", "na"] {
            says(format!("a,b\n1,{entry}\n").as_bytes(), "line 2, column `b`");
        }
        says(b"a,b\n1,2\n3\n", "line 3: 1 entries, expected 2");
        says(b"a,b\n1,2,3\n", "line 2: 3 entries, expected 2");
        says(b"a,b\n1,\"2\n3,4\n", "line 2, column `b`");
        says(b"1,2\n3,4\n", "line 1: only numbers, the header is missing");
        says(b"a,b,a\n1,2,3\n", "column `a` occurs twice");
        says(b"a,b\n", "no rows after the header");
        says(b"a,b\n1,\xff\n", "line 2: entry 2: no UTF-8");
        says(b"a,b\0\n1,2\n", "begins with the bytes [61, 2c, 62, 00");
        says(b"", "an empty file");
        says(b"<!DOCTYPE html><title>a,b", "a web page");
        says(b"version https://git-lfs.github.com/spec/v1\noid x\n", "git lfs pull");
        let error = check(b"a,b\n1,2\n", &Options { text: &["c"], ..Options::default() }).unwrap_err().to_string();
        assert!(error.contains("no text column `c` among [\"a\", \"b\"]"), "{error}");
    }

    #[test]
    fn rows_arrive_one_by_one_and_mistakes_are_named() {
        // A reader that gives a line at a time, and fails if it is asked for more than is needed.
        struct Lines(Vec<&'static str>);
        impl Read for Lines {
            fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
                let line = self.0.pop().ok_or_else(|| std::io::Error::other("asked too early"))?;
                into[..line.len()].copy_from_slice(line.as_bytes());
                Ok(line.len())
            }
        }
        let mut rows = Rows::new("pipe", Lines(vec!["3,x\n", "1,2\n", "a,b\n"])).unwrap();
        assert!(rows.next().unwrap());
        assert_eq!((rows.number(1, &[]).unwrap(), rows.text(0)), (2.0, "1"));
        assert!(rows.next().unwrap());
        let says = |error: IoError, what: &str| assert!(error.to_string().contains(what), "{error}");
        says(rows.number(1, &["NA"]).unwrap_err(), "pipe: line 3, column `b`: expected a finite number, found \"x\"");
        says(rows.next().unwrap_err(), "asked too early");
        let new = |text: &'static str| Rows::new("pipe", text.as_bytes());
        says(new("").err().unwrap(), "expected the names of the columns");
        says(new("1,2\n").err().unwrap(), "the header is missing");
        says(new("a,a\n").err().unwrap(), "column `a` occurs twice");
        says(new("a,b\n1\n").unwrap().next().unwrap_err(), "line 2: 1 entries, expected 2");
        says(new("a,b\n").unwrap().next().unwrap_err(), "no rows after the header");
        says(Rows::open("no/such.csv").err().unwrap(), "no/such.csv");
    }

    #[test]
    fn real_tables() {
        let Some(data) = std::env::var_os("SNN_DATA") else { return eprintln!("skipped: SNN_DATA not set") };
        let options = Options { missing: &["NA"], text: &["wd", "station"], ..Options::default() };
        let mut files = 0;
        for entry in std::fs::read_dir(Path::new(&data).join("beijing-air")).unwrap() {
            let table = read(entry.unwrap().path(), &options).unwrap();
            // Sizes and counts of `NA` from the data set's own description; those of the wind direction stay text.
            assert_eq!((table.rows, table.columns.len(), table.texts.len()), (35_064, 16, 2));
            let missing = table.values.iter().filter(|x| x.is_nan()).count();
            let calm = table.text("wd").unwrap().iter().filter(|entry| *entry == "NA").count();
            assert!((4_090..=8_523).contains(&(missing + calm)), "{missing} + {calm}");
            assert!(table.column("year").unwrap().all(|year| (2013.0..=2017.0).contains(&year)));
            files += 1;
        }
        assert_eq!(files, 10);
    }

    proptest! {
        #[test]
        fn numbers_survive(rows in prop::collection::vec(prop::array::uniform3(prop::num::f32::NORMAL | prop::num::f32::ZERO), 1..20)) {
            let lines: String = rows.iter().map(|[a, b, c]| format!("{a},{b:e},\"{c}\"\n")).collect();
            let table = check(format!("x,y,z\n{lines}").as_bytes(), &Options::default()).unwrap();
            prop_assert_eq!(table.values, rows.concat());
        }
    }
}
