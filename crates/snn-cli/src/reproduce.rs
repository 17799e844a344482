//! `snn reproduce`: papers run, their claims judged.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;
use serde_json::json;
use snn_repro::{Paper, RunResult, Scale, Settings, check_out, papers};

use crate::{Outcome, print};

pub const EXAMPLES: &str = "Examples:
  snn reproduce --list                            the papers, one line each, and what they take
  snn reproduce ssgd                              one paper at short scale: at most ten minutes on two cores
  snn reproduce ssgd --scale smoke                the same in seconds
  snn reproduce ssgd --data data --seeds 3        real data; mean and standard error over seeds 1, 2, 3
  snn reproduce ssgd --scale paper --resume       the paper's own configuration, going on after an interruption
  snn reproduce --all --scale smoke --json        one JSON object for programs

Files go to OUT/PAPER/SCALE-SEED/: result.json and the plots. They appear when a run has succeeded; a failed run overwrites nothing.";

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub struct Args {
    /// Papers to run; `--list` names them.
    #[arg(value_name = "PAPER", group = "what")]
    papers: Vec<String>,
    /// Run every paper.
    #[arg(long, group = "what", conflicts_with = "papers")]
    all: bool,
    /// List the papers, what they claim and what they take.
    #[arg(long, group = "what", conflicts_with_all = ["papers", "all"])]
    list: bool,
    /// How much to run: smoke takes seconds, short at most ten minutes on two cores, paper is the paper's own configuration.
    #[arg(long, default_value = "short", value_parser = scale_parser())]
    scale: Scale,
    /// Root of all randomness: the same seed gives the same figures, with any number of threads.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Run this many seeds, counted up from --seed, and judge the mean.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    seeds: u32,
    /// Threads to use [default: one per core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    threads: Option<u32>,
    /// Folder of data sets [default: the environment variable SNN_DATA, else generated data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Root of the output folders.
    #[arg(long, value_name = "DIR", default_value = "target/reproduce")]
    out: PathBuf,
    /// Go on from what an interrupted run saved; a finished run is only reported.
    #[arg(long)]
    resume: bool,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints for one paper.
#[derive(Serialize)]
#[serde(untagged)]
enum Run {
    Done(RunResult),
    Failed { paper: &'static str, scale: Scale, seed: u64, threads: usize, error: String },
}

/// What `--json` prints for several.
#[derive(Serialize)]
struct Runs<'a> {
    runs: &'a [Run],
}

fn scale_parser() -> impl TypedValueParser<Value = Scale> {
    let names = PossibleValuesParser::new(Scale::ALL.map(Scale::name));
    names.try_map(|name| Scale::from_name(&name).ok_or("no such scale"))
}

pub fn run(args: &Args) -> Result<Outcome> {
    if args.list {
        print(&if args.json { list_json() } else { list_text() })?;
        return Ok(Outcome::Good);
    }
    let papers = chosen(args)?;
    let settings = settings(args)?;
    check_out(&settings.out).context("results cannot be written; choose another --out")?;
    rayon::ThreadPoolBuilder::new().num_threads(settings.threads).build_global().context("cannot start the threads")?;

    let mut outcome = Outcome::Good;
    let mut runs = Vec::new();
    let mut printed = false;
    for paper in &papers {
        match snn_repro::reproduce(paper, &settings) {
            Ok(result) => {
                if result.missed() && matches!(outcome, Outcome::Good) {
                    outcome = Outcome::Missed;
                }
                match result.files.first().and_then(|file| std::path::Path::new(file).parent()) {
                    Some(dir) => eprintln!("{}: {:.1} s, files in {}", paper.id, result.seconds, dir.display()),
                    None => eprintln!("{}: {:.1} s", paper.id, result.seconds),
                }
                if args.json {
                    runs.push(Run::Done(result));
                } else {
                    // Each table when it is ready: the next paper may take hours.
                    print(&format!("{}{}", if printed { "\n" } else { "" }, snn_repro::render_text(&result)))?;
                    printed = true;
                }
            }
            Err(error) => {
                eprintln!("error: {error}");
                outcome = Outcome::Failed;
                let Settings { scale, seed, threads, .. } = settings;
                runs.push(Run::Failed { paper: paper.id, scale, seed, threads, error: error.to_string() });
            }
        }
    }
    if args.json {
        let text = match &runs[..] {
            [run] => serde_json::to_string_pretty(run),
            runs => serde_json::to_string_pretty(&Runs { runs }),
        };
        print(&format!("{}\n", text.context("the result does not go into JSON")?))?;
    }
    Ok(outcome)
}

/// The papers asked for, each once.
fn chosen(args: &Args) -> Result<Vec<&'static Paper>> {
    if args.all {
        return Ok(papers::all().to_vec());
    }
    let mut chosen: Vec<&'static Paper> = Vec::new();
    for id in &args.papers {
        let Some(paper) = papers::find(id) else {
            let known = papers::all().iter().map(|paper| paper.id).collect::<Vec<_>>().join(", ");
            let hint = papers::nearest(id).map_or(String::new(), |paper| format!(" Did you mean {}?", paper.id));
            bail!("there is no paper \"{id}\".{hint} The papers are: {known}");
        };
        if chosen.iter().all(|other| other.id != paper.id) {
            chosen.push(paper);
        }
    }
    Ok(chosen)
}

fn settings(args: &Args) -> Result<Settings> {
    let from_environment = || std::env::var_os("SNN_DATA").filter(|value: &OsString| !value.is_empty()).map(PathBuf::from);
    let (data, said_by) = match &args.data {
        Some(data) => (Some(data.clone()), "--data"),
        None => (from_environment(), "SNN_DATA"),
    };
    if let Some(data) = &data
        && !data.is_dir()
    {
        bail!("{said_by}: there is no folder {}", data.display());
    }
    let threads = match args.threads {
        Some(threads) => threads as usize,
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let seeds = args.seeds as usize;
    if args.seed.checked_add(seeds as u64 - 1).is_none() {
        bail!(snn_repro::LabError::SeedOverflow { seed: args.seed, seeds });
    }
    Ok(Settings { scale: args.scale, seed: args.seed, seeds, threads, data, out: args.out.clone(), resume: args.resume })
}

fn list_text() -> String {
    let mut text = String::new();
    for paper in papers::all() {
        let cost = Scale::ALL.map(|scale| format!("{scale}: {}", scale.pick(paper.cost.smoke, paper.cost.short, paper.cost.paper)));
        text += &format!("{}  {}\n    {}: {}\n    takes  {}\n", paper.id, paper.about, paper.cite, paper.title, cost.join("; "));
        for claim in paper.claims {
            let seeds = if claim.seeds > 1 { format!(", {} seeds", claim.seeds) } else { String::new() };
            let unit = if claim.unit.is_empty() { String::new() } else { format!(" {}", claim.unit) };
            text += &format!("    claim  {}: {}{unit}{seeds}; the paper: {}\n", claim.what, claim.bound, claim.paper);
        }
    }
    text
}

fn list_json() -> String {
    let papers = papers::all().iter().map(|paper| {
        json!({ "id": paper.id, "title": paper.title, "cite": paper.cite, "about": paper.about, "cost": paper.cost, "claims": paper.claims })
    });
    format!("{:#}\n", json!({ "papers": papers.collect::<Vec<_>>() }))
}
