//! `snn reproduce`: papers run, their claims judged.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};
use serde::Serialize;
use serde_json::json;
use snn_repro::{Interrupt, LabError, Paper, RunResult, Scale, Settings, check_out, papers, say};

use crate::threads::Threads;
use crate::{Outcome, hint, print, signals};

pub const EXAMPLES: &str = "Examples:
  snn reproduce --list                            the papers, one line each, and what they take
  snn reproduce ssgd                              one paper at short scale: at most ten minutes on two cores
  snn reproduce ssgd --scale smoke                the same in seconds
  snn reproduce ssgd --data data --seeds 3        real data; mean and standard error over seeds 1, 2, 3
  snn reproduce ssgd --scale paper --resume       the paper's own configuration, going on after an interruption
  snn reproduce --all --scale smoke --json        one JSON object for programs

Files go to OUT/PAPER/SCALE-SEED/: result.json, the plots, and trained weights as .npz. They appear when a run has succeeded; a failed run
overwrites nothing.

Ctrl-C (or SIGTERM) ends a run after the present batch, with its state saved; with --resume it goes on to the same bits. A second one ends it
at once. A run that was killed goes on from its last checkpoint, made every --checkpoint-every seconds.";

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
    #[command(flatten)]
    threads: Threads,
    /// Folder of data sets [default: the environment variable SNN_DATA, else generated data].
    #[arg(long, value_name = "DIR", value_parser = OsStringValueParser::new().try_map(|path| text_path(&path)))]
    data: Option<PathBuf>,
    /// Root of the output folders.
    #[arg(long, value_name = "DIR", default_value = "target/reproduce", value_parser = OsStringValueParser::new().try_map(|path| text_path(&path)))]
    out: PathBuf,
    /// Go on from what an interrupted run saved; a finished run is only reported.
    #[arg(long)]
    resume: bool,
    /// Time between two checkpoints of a training, at least: what a kill may cost. 0 saves after every batch.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = crate::seconds)]
    checkpoint_every: Duration,
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
    args.threads.start()?;
    check_out(&settings.out).context("results cannot be written; choose another --out")?;
    let settings = Settings { interrupt: signals::interrupt("the state is saved after the present batch"), ..settings };

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
                    Some(dir) => say(format_args!("{}: {:.1} s, files in {}", paper.id, result.seconds, dir.display())),
                    None => say(format_args!("{}: {:.1} s", paper.id, result.seconds)),
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
                let Settings { scale, seed, threads, .. } = settings;
                runs.push(Run::Failed { paper: paper.id, scale, seed, threads, error: error.to_string() });
                if let LabError::Interrupted = error {
                    say(format_args!("interrupted; this goes on from there:\n  {}", signals::resuming(std::env::args_os())));
                    outcome = Outcome::Interrupted;
                    break;
                }
                say(format_args!("error: {error}"));
                outcome = Outcome::Failed;
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

/// A path that result files can name.
fn text_path(path: &OsStr) -> Result<PathBuf, String> {
    match path.to_str() {
        None => Err(format!("{path:?} is not UTF-8, so no result file could name it: rename it, or give a link to it")),
        Some("") => Err("give a folder; this one is `.`".into()),
        Some(text) => Ok(text.into()),
    }
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
            let hint = hint(id, papers::all().iter().map(|paper| paper.id));
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
    if let Some(data) = &data {
        text_path(data.as_os_str()).map_err(|why| anyhow::anyhow!("{said_by}: {why}"))?;
        if !data.is_dir() {
            bail!("{said_by}: there is no folder {}; it should hold the data sets, each in a folder of its own", data.display());
        }
    }
    let seeds = args.seeds as usize;
    if args.seed.checked_add(seeds as u64 - 1).is_none() {
        bail!(snn_repro::LabError::SeedOverflow { seed: args.seed, seeds });
    }
    Ok(Settings {
        scale: args.scale,
        seed: args.seed,
        seeds,
        threads: args.threads.count(),
        data,
        out: args.out.clone(),
        resume: args.resume,
        checkpoint_every: args.checkpoint_every,
        interrupt: Interrupt::default(),
    })
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
