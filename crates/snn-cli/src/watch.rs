//! `snn watch`: sensors that watch each other, from files or as their readings arrive.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use snn_core::Seed;
use snn_io::csv::Rows;
use snn_io::{IoError, codec};
use snn_learn::sodesn::{Alarm, Detector, Graph, Memory, Reservoir, SodesnError, Watch, What};
use snn_repro::{Interrupt, say};

use crate::threads::Threads;
use crate::{Outcome, data, hint, print, signals};

pub const EXAMPLES: &str = "Examples:
  snn watch sensors.csv --train 2000               one table, a column for each station; the first 2000 rows are to learn from
  tail -f -n +1 sensors.csv | snn watch - --time when --json
                                                   the same as rows arrive: one JSON object a line for programs
  snn watch data/beijing-air/*.csv.gz --column PM2.5 --train 8760
                                                   a table for each station, rows side by side
  snn watch sensors.csv --neighbours links.csv     who hears whom: a header, then two names a line
  snn watch monday.csv --state air.ckpt && snn watch tuesday.csv --state air.ckpt
                                                   goes on where it was: the second table is watched from its first row

A station is predicted from its neighbours. One that is off, stuck or silent is named with the time, and not heard any more until it is well again.
Entries that are empty, NA or NaN are missing readings. Rows come at equal times; if a table ends before the others, its station is silent.
Standard output has one line for each alarm. The exit code is 0 whether or not there were alarms.";

#[derive(clap::Args)]
pub struct Args {
    /// Tables with a header; `-` is standard input.
    #[arg(value_name = "CSV", required = true)]
    tables: Vec<PathBuf>,
    /// The column with the readings, if there is a table for each station.
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// Columns of one table to watch, with commas between them [default: all but that of the time].
    #[arg(long, value_name = "NAMES", value_delimiter = ',', conflicts_with = "column")]
    stations: Vec<String>,
    /// The column with the time, shown with alarms [default: rows are counted].
    #[arg(long, value_name = "NAME")]
    time: Option<String>,
    /// Rows to learn from: a time in which all was well.
    #[arg(long, value_name = "ROWS", default_value_t = 2000, value_parser = data::count)]
    train: usize,
    /// Who hears whom, a table of two columns with names of stations.
    #[arg(long, value_name = "FILE", conflicts_with = "nearest")]
    neighbours: Option<PathBuf>,
    /// Without such a file every station hears so many others, those it is correlated with most.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = data::count)]
    nearest: usize,
    /// Standard deviations above which an error is no accident.
    #[arg(long, value_name = "X", default_value_t = Detector::default().threshold, value_parser = data::finite::<f64>)]
    threshold: f64,
    /// Steps over which errors are averaged.
    #[arg(long, value_name = "N", default_value_t = Detector::default().window, value_parser = data::count)]
    window: usize,
    /// Go on from this file if it is there, and leave the state in it.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Root of all randomness.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    threads: Threads,
    /// Print each alarm as one line of JSON.
    #[arg(long)]
    json: bool,
}

/// Markers of missing readings.
const MISSING: [&str; 5] = ["", "NA", "NaN", "nan", "null"];

pub fn run(args: &Args) -> Result<Outcome> {
    let interrupt = signals::interrupt("the state is written, if there is a file for it");
    args.threads.start()?;
    let mut input = Input::open(args)?;
    let saved = args.state.as_deref().map(Saved::load).transpose()?.flatten();
    let resumed = saved.is_some();
    let mut saved = match saved {
        Some(saved) if saved.names == input.names => saved,
        Some(saved) => bail!(
            "{}: the state is of the stations {}, but these are {}; give the same tables, or another --state",
            args.state.as_deref().unwrap_or(Path::new("")).display(),
            saved.names.join(", "),
            input.names.join(", ")
        ),
        None => Saved { names: input.names.clone(), past: input.learn(args.train, &interrupt)?, memory: None, rows: args.train },
    };
    let graph = graph(args, &saved)?;
    let detector = Detector { window: args.window, threshold: args.threshold, ..Detector::default() };
    let watch = Watch::new(&graph, Reservoir::default(), detector, &saved.past, Seed::new(args.seed));
    let mut watch = watch.map_err(|error| named(error, &saved.names))?;
    if let Some(memory) = saved.memory.take() {
        watch.remember(memory)?;
    }
    let what = if resumed { "goes on with" } else { "has learned" };
    say(format_args!("{what} {} stations; watching from row {}", saved.names.len(), saved.rows + 1));

    let (mut alarms, before) = (0usize, saved.rows);
    while !interrupt.requested() {
        let Some(row) = input.next()? else { break };
        saved.rows += 1;
        let found = watch.hear(&row)?;
        // The time of a row is a text of the table, or its number.
        let time = input.time().unwrap_or_else(|| saved.rows.to_string());
        for alarm in &found {
            print(&line(args.json, &time, &saved.names[alarm.node], alarm)?)?;
        }
        alarms += found.len();
    }
    let out = (0..saved.names.len()).filter_map(|i| Some(format!("{} ({})", saved.names[i], word(watch.state(i)?))));
    let out: Vec<String> = out.collect();
    let now = if out.is_empty() { "all stations are well".into() } else { format!("not well: {}", out.join(", ")) };
    say(format_args!("{} rows, {alarms} alarms; {now}", saved.rows - before));
    if let Some(path) = &args.state {
        saved.memory = Some(watch.memory().clone());
        codec::save(path, &saved)?;
    }
    Ok(if interrupt.requested() { Outcome::Interrupted } else { Outcome::Good })
}

/// What is kept between two runs.
#[derive(Serialize, Deserialize)]
struct Saved {
    names: Vec<String>,
    past: Vec<Vec<f64>>,
    memory: Option<Memory>,
    /// Rows heard, those to learn from too.
    rows: usize,
}

impl Saved {
    fn load(path: &Path) -> Result<Option<Saved>> {
        match codec::load(path) {
            Err(IoError::NotFound { .. }) => Ok(None),
            other => Ok(Some(other.context("no state to go on from; give another --state, or remove the file")?)),
        }
    }
}

/// A table that is being read, and the columns of it that count.
struct Table {
    rows: Rows<Box<dyn Read>>,
    columns: Vec<usize>,
    ended: bool,
}

/// All tables, side by side.
struct Input {
    tables: Vec<Table>,
    names: Vec<String>,
    /// Column of the time in the first table.
    time: Option<usize>,
}

impl Input {
    fn open(args: &Args) -> Result<Input> {
        if args.tables.len() > 1 && args.column.is_none() {
            bail!("{} tables, one for each station: say with --column which of their columns has the readings", args.tables.len());
        }
        let mut input = Input { tables: Vec::new(), names: Vec::new(), time: None };
        for (k, path) in args.tables.iter().enumerate() {
            let (place, rows) = open(path)?;
            let find = |option: &str, name: &str| {
                let known = rows.columns().iter().map(String::as_str);
                let at = rows.columns().iter().position(|column| column == name);
                at.with_context(|| {
                    format!("{}: no column {name:?} for {option} among {:?}.{}", place.display(), rows.columns(), hint(name, known))
                })
            };
            if k == 0 {
                input.time = args.time.as_deref().map(|name| find("--time", name)).transpose()?;
            }
            let columns = match &args.column {
                Some(name) => vec![find("--column", name)?],
                None if args.stations.is_empty() => (0..rows.columns().len()).filter(|k| Some(*k) != input.time).collect(),
                None => args.stations.iter().map(|name| find("--stations", name)).collect::<Result<_>>()?,
            };
            match args.column.is_some() {
                true => input.names.push(stem(path)),
                false => input.names.extend(columns.iter().map(|&k| rows.columns()[k].clone())),
            }
            input.tables.push(Table { rows, columns, ended: false });
        }
        if let Some(name) = input.names.iter().enumerate().find(|(k, name)| input.names[..*k].contains(name)).map(|(_, name)| name) {
            bail!("two stations are called {name}; give each table once, under a name of its own");
        }
        Ok(input)
    }

    /// The next row; `None` once all tables have ended.
    fn next(&mut self) -> Result<Option<Vec<f64>>> {
        let mut row = Vec::with_capacity(self.names.len());
        for table in &mut self.tables {
            table.ended = table.ended || !table.rows.next()?;
            for &k in &table.columns {
                row.push(match table.ended {
                    true => f64::NAN,
                    false => table.rows.number(k, &MISSING).context("a reading; leave out columns of text with --stations or --time")?,
                });
            }
        }
        Ok(Some(row).filter(|_| self.tables.iter().any(|table| !table.ended)))
    }

    fn time(&self) -> Option<String> {
        let table = self.tables.first().filter(|table| !table.ended)?;
        Some(table.rows.text(self.time?).into())
    }

    fn learn(&mut self, rows: usize, interrupt: &Interrupt) -> Result<Vec<Vec<f64>>> {
        let mut past = Vec::new();
        while past.len() < rows {
            interrupt.go_on()?;
            match self.next()? {
                Some(row) => past.push(row),
                None => bail!("{} rows, but --train wants {rows} to learn from; give more rows, or a smaller --train", past.len()),
            }
        }
        Ok(past)
    }
}

fn open(path: &Path) -> Result<(PathBuf, Rows<Box<dyn Read>>)> {
    if path == Path::new("-") {
        let place = PathBuf::from("standard input");
        let rows = Rows::new(&place, Box::new(std::io::stdin()) as Box<dyn Read>)?;
        return Ok((place, rows));
    }
    Ok((path.into(), Rows::open(path)?))
}

/// The name of a file without folder and endings.
fn stem(path: &Path) -> String {
    let name = path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
    name.split_once('.').map_or(name.clone(), |(stem, _)| stem.into())
}

fn graph(args: &Args, saved: &Saved) -> Result<Graph> {
    let Some(path) = &args.neighbours else {
        return Graph::of_correlations(&saved.past, args.nearest).map_err(|error| named(error, &saved.names));
    };
    let (mut rows, mut links) = (Rows::open(path)?, Vec::new());
    if rows.columns().len() < 2 {
        bail!("{}: the columns {:?}; expected two, with the names of stations that hear each other", path.display(), rows.columns());
    }
    while rows.next()? {
        let station = |k: usize| {
            let (name, known) = (rows.text(k), saved.names.iter().map(String::as_str));
            saved.names.iter().position(|other| other == name).with_context(|| {
                let place = format!("{}: link {}", path.display(), links.len() + 1);
                format!("{place}: no station {name:?} among {}.{}", saved.names.join(", "), hint(name, known))
            })
        };
        let link = (station(0)?, station(1)?);
        links.push(link);
    }
    Graph::of_links(saved.names.len(), links).map_err(|error| named(error, &saved.names))
}

/// An error with the name of the station it is about.
fn named(error: SodesnError, names: &[String]) -> anyhow::Error {
    let node = match error {
        SodesnError::Node { node, .. } => names.get(node),
        SodesnError::Link { from, .. } => names.get(from),
        _ => None,
    };
    let error = anyhow::Error::new(error);
    if let Some(name) = node { error.context(format!("station {name}")) } else { error }
}

/// An alarm as JSON has it.
#[derive(Serialize)]
struct Said<'a> {
    time: &'a str,
    station: &'a str,
    what: What,
    reading: Option<f64>,
    expected: Option<f64>,
    score: Option<f64>,
    limit: Option<f64>,
}

fn line(json: bool, time: &str, station: &str, alarm: &Alarm) -> Result<String> {
    let known = |x: f64| Some(x).filter(|x| x.is_finite());
    let (reading, expected, limit) = (known(alarm.reading), known(alarm.expected), known(alarm.limit));
    if json {
        let said = Said { time, station, what: alarm.what, reading, expected, score: alarm.score, limit };
        return Ok(serde_json::to_string(&said).context("an alarm does not go into JSON")? + "\n");
    }
    let number = |x: Option<f64>| x.map_or("nothing".into(), |x| format!("{x:.3}"));
    let score = alarm.score.map_or(String::new(), |score| format!(" (score {score:.1}, limit {})", number(limit)));
    Ok(format!("{time}  {station}  {}: reads {}, neighbours say {}{score}\n", word(alarm.what), number(reading), number(expected)))
}

fn word(what: What) -> &'static str {
    match what {
        What::Silent => "silent",
        What::Stuck => "stuck",
        What::Shifted => "off",
        What::Erratic => "erratic",
        What::Well => "well again",
    }
}
