//! Speed questions and their answers. `cargo xtask bench NAME` runs one; all figures of a report come from one run on one machine.

use serde::Serialize;
use serde_json::{Map, Value};

/// A bench: its name, the question it answers, and how to run it.
pub struct Bench {
    /// Name on the command line.
    pub name: &'static str,
    /// The question.
    pub question: &'static str,
    /// Runs it.
    pub run: Run,
}

/// Runs a bench and tells `log` of each measurement. `quick` does a fraction of the work, to see that it runs.
pub type Run = fn(quick: bool, log: Log<'_>) -> Report;

/// Where a bench says how far it is.
pub type Log<'a> = &'a mut dyn FnMut(&str);

/// Declares the module of each bench and lists them in the given order. To add one: `x.rs` with a `pub const BENCH: Bench`, and `x` in the list below.
macro_rules! benches {
    ($($public:vis $name:ident),+ $(,)?) => {
        $($public mod $name;)+

        /// All benches.
        pub const ALL: &[Bench] = &[$($name::BENCH),+];
    };
}

benches! { train_step, egru, product, eprop, pub brunel, convert, search, instructions }

/// What a bench found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Name.
    pub bench: &'static str,
    /// Measurements: objects with the same fields.
    pub rows: Vec<Map<String, Value>>,
    /// Figures taken from several rows, with what they mean and what is wanted.
    pub summary: Vec<Figure>,
    /// How to read it.
    pub notes: Vec<String>,
}

/// A figure taken from several rows.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What it is, with its definition.
    pub what: String,
    /// Its value.
    pub value: f64,
    /// What it is compared with.
    pub wanted: String,
}

/// A measurement from a struct of numbers and texts.
fn fields(row: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(row) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// A pool of so many threads.
fn on_threads(count: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(count).build().unwrap_or_else(|e| panic!("{count} threads: {e}"))
}

/// A measurement from its fields.
fn row<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields.into_iter().map(|(name, value)| (name.into(), value)).collect()
}

/// The code of the README is compiled and run with the documentation tests.
#[doc = include_str!("../README.md")]
#[cfg(doctest)]
pub struct ReadmeCode;
