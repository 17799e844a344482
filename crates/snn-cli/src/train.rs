//! `snn train`: a training as a file.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use snn_repro::recipe::{Recipe, Trained, train};
use snn_repro::table::columns;
use snn_repro::{LabError, Settings, say};

use crate::threads::Threads;
use crate::{Outcome, show, signals};

pub const EXAMPLES: &str = "Examples:
  snn train first.toml                     what the recipe says; the result goes to the folder its `out` names
  snn train first.toml --out runs/first    somewhere else
  snn train first.toml --resume            going on after Ctrl-C or a kill, to the same bits
  snn train first.toml --check             open the data, build the network, train nothing

A recipe of ten lines:
  epochs = 10
  data = { name = \"idx\", folder = \"data/fashion-mnist\", code = \"latency\" }
  structure = { name = \"deep_r\", l1 = 1e-4 }
  [network]
  populations = [{ name = \"hidden\", size = 200, model = \"lif\", tau = 0.01 }, { name = \"out\", model = \"li\", tau = 0.01 }]
  projections = [
    { from = \"in\", to = \"hidden\", links = { random = 0.05 }, weights = { fan_in = 2.0 } },
    { from = \"hidden\", to = \"out\", weights = { fan_in = 2.0 } },
  ]

The result: network.json (for `snn run`, `snn map`, `snn export`), metrics.jsonl with a line per epoch, an event file for TensorBoard, curves and a raster, the
weights as .npz, recipe.toml, result.json. It appears when the training has succeeded; meanwhile look into OUT.partial/files.
Every key of a recipe: docs/recipes.md.";

#[derive(clap::Args)]
pub struct Args {
    /// The recipe.
    #[arg(value_name = "RECIPE.toml")]
    recipe: PathBuf,
    /// Folder of the result [default: `out` of the recipe].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    threads: Threads,
    /// Go on from what an interrupted training saved; a finished one is only reported.
    #[arg(long)]
    resume: bool,
    /// Time between two checkpoints, at least: what a kill may cost. 0 saves after every batch.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = crate::seconds)]
    checkpoint_every: Duration,
    /// Only open the data and build the network.
    #[arg(long)]
    check: bool,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<Outcome> {
    let recipe = Recipe::read(&args.recipe)?;
    args.threads.start()?;
    if args.check {
        return check(args, &recipe);
    }
    let Some(out) = args.out.as_deref().or(recipe.out()) else {
        bail!("{}: no `out` in it; say with --out DIR where the result should go", args.recipe.display());
    };
    let interrupt = signals::interrupt("the state is saved after the present batch");
    let settings = Settings {
        threads: args.threads.count(),
        out: out.into(),
        resume: args.resume,
        checkpoint_every: args.checkpoint_every,
        interrupt,
        ..Settings::default()
    };
    match train(&recipe, &settings) {
        Ok(trained) => {
            say(format_args!("{:.1} s, files in {}", trained.seconds, out.display()));
            show(args.json, &trained, || text(&trained))?;
            Ok(Outcome::Good)
        }
        Err(LabError::Interrupted) => {
            say(format_args!("interrupted; this goes on from there:\n  {}", signals::resuming(std::env::args_os())));
            Ok(Outcome::Interrupted)
        }
        Err(error) => Err(error.into()),
    }
}

/// What `--check --json` prints.
#[derive(serde::Serialize)]
struct Checked {
    trials: (usize, usize),
    inputs: usize,
    steps: usize,
    classes: usize,
    neurons: usize,
    links: usize,
}

fn check(args: &Args, recipe: &Recipe) -> Result<Outcome> {
    use snn_core::Dataset;
    let parts = recipe.open()?;
    let net = recipe.network(&parts)?;
    recipe.trainer(&net)?;
    let data = parts.train();
    let checked = Checked {
        trials: (data.len(), parts.held_out().map_or(0, |data| data.len())),
        inputs: data.inputs(),
        steps: data.steps(),
        classes: data.classes(),
        neurons: net.draft().populations.iter().map(|p| p.size).sum(),
        links: net.links(),
    };
    show(args.json, &checked, || {
        let rows = [
            ["trials, held out".into(), format!("{}, {}", checked.trials.0, checked.trials.1)],
            ["channels, steps, classes".into(), format!("{}, {}, {}", checked.inputs, checked.steps, checked.classes)],
            ["neurons, links".into(), format!("{}, {}", checked.neurons, checked.links)],
        ];
        columns(&rows.map(Vec::from), 2)
    })?;
    Ok(Outcome::Good)
}

fn text(trained: &Trained) -> String {
    let percent = |share: f64| format!("{:.2}", 100.0 * share);
    let by_name = |values: &serde_json::Map<String, serde_json::Value>| {
        values.iter().map(|(name, x)| format!("{name} {}", percent(x.as_f64().unwrap_or(f64::NAN)))).collect::<Vec<_>>().join(", ")
    };
    let mut rows = vec![
        vec!["data".into(), trained.data.clone()],
        vec!["trials, held out".into(), format!("{}, {}", trained.trials.0, trained.trials.1)],
        vec!["epochs".into(), trained.epochs.to_string()],
        vec!["neurons, links".into(), format!("{}, {}", trained.neurons, trained.links)],
        vec!["links of all there could be (%)".into(), percent(trained.connectivity)],
        vec!["loss, training".into(), format!("{:.4}", trained.loss)],
    ];
    rows.extend(trained.accuracy.map(|x| vec!["accuracy, training (%)".into(), percent(x)]));
    rows.extend(trained.held_out_loss.map(|x| vec!["loss, held out".into(), format!("{x:.4}")]));
    rows.extend(trained.held_out.map(|x| vec!["accuracy, held out (%)".into(), percent(x)]));
    rows.push(vec!["active neuron-steps (%)".into(), by_name(&trained.active)]);
    rows.push(vec!["neuron-steps with a spike (%)".into(), by_name(&trained.spikes)]);
    columns(&rows, 2)
}
