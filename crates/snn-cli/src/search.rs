//! `snn search` and `snn eval`: outer loops whose candidates any process may evaluate.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use snn_arch::objective::{self, Answer, Job, Objective};
use snn_arch::ranks::{self, Ranks};
use snn_arch::search::{Method, Search};
use snn_core::Seed;
use snn_io::IoError;
use snn_io::json::{load_json, save_json};
use snn_repro::{Bars, LabError, say};

use crate::ranks::{agree, join};
use crate::threads::Threads;
use crate::{Outcome, hint, show, signals};

pub const EXAMPLES: &str = "Examples:
  snn search --list                                 what can be made better, and the methods
  snn search bandit --evaluations 800 --out found   on all cores; state in found/search.json, goes on with --resume
  snn search liquid --method evolution --json       one JSON object at the end

Beyond one machine: with --jobs a call writes the candidates of a generation as files, or takes their results and writes the next ones.
  snn search bandit --evaluations 800 --out found --jobs found/jobs
  snn eval --spec found/jobs/0000-03.json --out found/jobs/0000-03.result.json     by whoever finds it: a SLURM array, Dask, Ray
Results that are missing are asked for again.

Under MPI (built with --features mpi) the ranks share the candidates of each generation; rank 0 writes and reports.
  mpirun -n 4 snn search bandit --evaluations 800 --out found --threads 1

The answer is the same to the bit, however it was found.";

pub const EVAL_EXAMPLES: &str = "Examples:
  snn eval --spec job.json --out result.json

job.json:
  {\"objective\": \"bandit\", \"values\": {\"noise\": 2.0, \"start\": 50.0, \"rate\": 0.25}, \"seed\": 7}
result.json, written when the evaluation has ended, whole or not at all:
  {\"job\": …, \"fitness\": 0.61}
A result that is there already and is of this job is left as it is.";

#[derive(clap::Args)]
pub struct Args {
    /// What to make better; `--list` names what there is.
    #[arg(value_name = "OBJECTIVE", required_unless_present = "list")]
    objective: Option<String>,
    /// List objectives with their parameters, and methods.
    #[arg(long)]
    list: bool,
    /// How to search.
    #[arg(long, default_value = "cross-entropy")]
    method: String,
    /// Candidates to evaluate, at least; a generation is always whole.
    #[arg(long, value_name = "N", default_value_t = 400)]
    evaluations: u64,
    /// Root of all randomness.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    threads: Threads,
    /// Folder for search.json: the state after every generation, and at the end the answer.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on from DIR/search.json.
    #[arg(long, requires = "out")]
    resume: bool,
    /// Let others evaluate: exchange jobs and results through this folder, one generation a call. Goes on from search.json by itself.
    #[arg(long, value_name = "DIR", requires = "out")]
    jobs: Option<PathBuf>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub struct EvalArgs {
    /// The job.
    #[arg(long, value_name = "JOB.json")]
    spec: PathBuf,
    /// Where its result goes.
    #[arg(long, value_name = "RESULT.json")]
    out: PathBuf,
}

/// A search with what it was begun with.
#[derive(Serialize, Deserialize, PartialEq)]
struct State {
    objective: String,
    seed: u64,
    search: Search,
}

/// What is shown at the end.
#[derive(Serialize)]
struct Found<'a> {
    objective: &'a str,
    method: &'static str,
    evaluations: u64,
    generations: u64,
    /// Jobs that wait for somebody.
    open: usize,
    /// Where the search stands, by parameter.
    stands: Vec<(String, f64)>,
    /// The best fitness told.
    best: Option<f64>,
}

/// Evaluates one job.
pub fn eval(args: &EvalArgs) -> Result<Outcome> {
    let job: Job = load_json(&args.spec)?;
    if let Ok(done) = load_json::<Answer>(&args.out)
        && done.job == job
    {
        return Ok(Outcome::Good);
    }
    let fitness = job.evaluate().with_context(|| args.spec.display().to_string())?;
    save_json(&args.out, &Answer { job, fitness })?;
    Ok(Outcome::Good)
}

pub fn run(args: &Args) -> Result<Outcome> {
    let ranks = join()?;
    match search(args, &*ranks) {
        // The others wait for this one.
        Err(error) if ranks.size() > 1 && !matches!(error.downcast_ref(), Some(LabError::Interrupted)) => {
            say(format_args!("error on rank {}: {error:#}", ranks.rank()));
            ranks.abort(2)
        }
        outcome => outcome,
    }
}

fn search(args: &Args, ranks: &dyn Ranks) -> Result<Outcome> {
    let Some(name) = args.objective.as_deref().filter(|_| !args.list) else { return list(args.json) };
    let names = || objective::all().iter().map(|o| o.name()).collect::<Vec<_>>();
    let Some(objective) = objective::by_name(name) else {
        bail!("there is no objective \"{name}\". The objectives are: {}.{}", names().join(", "), hint(name, names()));
    };
    let methods = Method::all();
    let Some(method) = methods.iter().find(|m| m.name() == args.method).cloned() else {
        let names = || methods.iter().map(Method::name);
        bail!(
            "there is no method \"{}\". The methods are: {}.{}",
            args.method,
            names().collect::<Vec<_>>().join(", "),
            hint(&args.method, names())
        );
    };
    let mut state = State {
        objective: name.into(),
        seed: args.seed,
        search: Search::new(objective.space(), method, Seed::new(args.seed).child("search"))?,
    };
    let path = args.out.as_ref().map(|dir| dir.join("search.json"));
    if let Some(path) = path.as_ref().filter(|_| args.resume || args.jobs.is_some()) {
        match load_json::<State>(path) {
            Err(IoError::NotFound { .. }) => {}
            other => state = same(other?, &state, path)?,
        }
    }
    agree(ranks, &serde_json::to_string(&state)?)?;
    let open = match &args.jobs {
        Some(_) if ranks.size() > 1 => bail!("--jobs is for processes that know nothing of each other: leave it out, or leave out mpirun"),
        Some(jobs) => exchange(args, &*objective, &mut state, jobs)?,
        None => search_here(args, ranks, &*objective, &mut state, path.as_deref())?,
    };
    if ranks.rank() > 0 {
        return Ok(Outcome::Good);
    }
    if let Some(path) = &path {
        save_json(path, &state)?;
    }
    report(args.json, &state, open)?;
    Ok(Outcome::Good)
}

/// What was saved, if it is of this search.
fn same(saved: State, new: &State, path: &Path) -> Result<State> {
    let method = |state: &State| state.search.method().name();
    let fits = (&saved.objective, saved.seed, saved.search.space()) == (&new.objective, new.seed, new.search.space());
    if !fits || method(&saved) != method(new) {
        bail!(
            "{}: it is of {} by {} with seed {}, this is {} by {} with seed {}; give another --out",
            path.display(),
            saved.objective,
            method(&saved),
            saved.seed,
            new.objective,
            method(new),
            new.seed
        );
    }
    Ok(saved)
}

/// All generations on the threads of the ranks.
fn search_here(args: &Args, ranks: &dyn Ranks, objective: &dyn Objective, state: &mut State, path: Option<&Path>) -> Result<usize> {
    let interrupt = signals::interrupt(if path.is_some() {
        "stops after this generation; go on with --resume"
    } else {
        "nothing is kept without --out"
    });
    args.threads.start()?;
    let first = ranks.rank() == 0;
    let progress = first.then(|| Bars::new().progress(objective.name(), args.evaluations));
    if let Some(progress) = &progress {
        progress.resume_at(state.search.evaluations());
    }
    while state.search.evaluations() < args.evaluations {
        let before = state.search.evaluations();
        let jobs = Job::generation(objective, &mut state.search, Seed::new(args.seed));
        let fitness = ranks::evaluate(ranks, &jobs)?;
        state.search.tell(&fitness)?;
        if let Some(progress) = &progress {
            progress.inc(state.search.evaluations() - before);
            progress.message(format!("best {:.4}", fitness.iter().copied().fold(f64::NEG_INFINITY, f64::max)));
        }
        if let Some(path) = path.filter(|_| first) {
            save_json(path, state)?;
        }
        if ranks::any(ranks, interrupt.requested()) {
            return Err(LabError::Interrupted.into());
        }
    }
    Ok(0)
}

/// Takes the results of the present generation if they are all there, and writes the jobs that are open then; returns how many.
fn exchange(args: &Args, objective: &dyn Objective, state: &mut State, dir: &Path) -> Result<usize> {
    let seed = Seed::new(args.seed);
    loop {
        if state.search.evaluations() >= args.evaluations {
            return Ok(0);
        }
        let (generation, jobs) = (state.search.generation(), Job::generation(objective, &mut state.search, seed));
        let at = |k: usize, end: &str| dir.join(format!("{generation:04}-{k:02}{end}"));
        let mut fitness = Vec::new();
        for (k, job) in jobs.iter().enumerate() {
            let path = at(k, ".result.json");
            match load_json::<Answer>(&path) {
                Ok(answer) if answer.job == *job => fitness.push(answer.fitness),
                Ok(_) => {
                    bail!("{}: it is the result of another job; remove it, and have {} evaluated", path.display(), at(k, ".json").display())
                }
                Err(IoError::NotFound { .. }) => save_json(at(k, ".json"), job)?,
                Err(error) => return Err(error.into()),
            }
        }
        if fitness.len() < jobs.len() {
            let open = jobs.len() - fitness.len();
            say(format_args!("generation {generation}: {open} of {} jobs in {} wait for a result", jobs.len(), dir.display()));
            return Ok(open);
        }
        state.search.tell(&fitness)?;
    }
}

fn report(json: bool, state: &State, open: usize) -> Result<()> {
    let search = &state.search;
    let stands = search.space().parameters().iter().map(|p| p.name.clone()).zip(search.stands()).collect();
    let found = Found {
        objective: &state.objective,
        method: search.method().name(),
        evaluations: search.evaluations(),
        generations: search.generation(),
        open,
        stands,
        best: search.best().map(|best| best.1),
    };
    show(json, &found, || {
        let values = found.stands.iter().map(|(name, value)| format!("  {name} = {value}\n")).collect::<String>();
        let best = found.best.map_or(String::new(), |best| format!(", best {best:.4}"));
        format!(
            "{} by {}: {} candidates in {} generations{best}; it stands at\n{values}",
            found.objective, found.method, found.evaluations, found.generations
        )
    })
}

fn list(json: bool) -> Result<Outcome> {
    #[derive(Serialize)]
    struct Entry {
        objective: &'static str,
        about: &'static str,
        parameters: Vec<String>,
    }
    let parameter = |p: &snn_arch::search::Parameter| format!("{} from {} to {}", p.name, p.low, p.high);
    let entry = |o: &dyn Objective| Entry {
        objective: o.name(),
        about: o.about(),
        parameters: o.space().parameters().iter().map(parameter).collect(),
    };
    let all: Vec<Entry> = objective::all().iter().map(|o| entry(&**o)).collect();
    show(json, &all, || {
        let lines = all.iter().map(|e| format!("{}: {}\n  {}\n", e.objective, e.about, e.parameters.join(", "))).collect::<String>();
        format!("{lines}Methods: {}\n", Method::all().iter().map(Method::name).collect::<Vec<_>>().join(", "))
    })?;
    Ok(Outcome::Good)
}
