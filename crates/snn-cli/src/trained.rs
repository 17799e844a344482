//! `snn run` of a network description: on what its recipe holds out, scored as it was trained, by the engine or on a machine.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde::Serialize;
use snn_core::{Dataset, Seed, Subset};
use snn_repro::Interrupt;
use snn_repro::recipe::{Recipe, read_network};
use snn_repro::table::columns;
use snn_sparse::Costs;

use crate::run::Args;
use crate::{Outcome, map, nir, show, table};

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    file: &'a Path,
    recipe: &'a Path,
    data: &'a str,
    trials: usize,
    steps: usize,
    /// None where data have no classes.
    accuracy: Option<f64>,
    loss: f64,
    neurons: usize,
    links: usize,
    /// Of all neurons, in a trial.
    spikes_per_trial: f64,
    /// Additions of weights, in a trial.
    synaptic_events_per_trial: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    costs: Option<Costs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<snn_hw::Report>,
}

pub fn run(args: &Args, interrupt: &Interrupt) -> Result<Outcome> {
    let network = read_network(&args.file)?;
    let Some(recipe_path) = recipe_of(args)? else { return nir::on_events(args, &network, None, interrupt) };
    if args.scale.is_some() || args.writes_answers() {
        bail!("--scale and --answers are for converted networks and NIR graphs; the recipe says what is run and how it is scored");
    }
    let recipe = Recipe::read(&recipe_path)?;
    let parts = recipe.open()?;
    let whole = parts.held_out().unwrap_or_else(|| parts.train());
    let count = args.images.unwrap_or(whole.len()).min(whole.len());
    let data = Subset::new(&whole, (0..count).collect());
    let device = args.on.map(|name| Ok::<_, anyhow::Error>((map::named(name)?, Seed::new(args.device_seed)))).transpose()?;
    let report = device.as_ref().map(|(machine, seed)| machine.map(&network, *seed));
    if let Some(report) = report.as_ref().filter(|report| report.accepted().is_err()) {
        show(args.json, report, || map::text(report))?;
        return Ok(Outcome::Missed);
    }
    let (stats, costs) = recipe.evaluate(&network, &data, device.as_ref().map(|(machine, seed)| (&**machine, *seed)))?;
    interrupt.go_on()?;
    let each = |n: u64| n as f64 / count.max(1) as f64;
    let document = Document {
        file: &args.file,
        recipe: &recipe_path,
        data: data.name(),
        trials: count,
        steps: data.steps(),
        accuracy: (data.classes() > 0).then(|| stats.accuracy()),
        loss: stats.mean_loss(),
        neurons: network.draft().populations.iter().map(|p| p.size).sum(),
        links: network.links(),
        spikes_per_trial: each(stats.spikes.iter().sum()),
        synaptic_events_per_trial: each(stats.macs_forward),
        machine: args.on,
        costs,
        report,
    };
    show(args.json, &document, || text(&document))?;
    Ok(Outcome::Good)
}

/// The recipe that `--data` names, or the one beside the network; `None` if `--data` is something else.
fn recipe_of(args: &Args) -> Result<Option<PathBuf>> {
    if let Some(data) = args.given() {
        return Ok(data.extension().is_some_and(|kind| kind == "toml").then(|| data.into()));
    }
    let beside = args.file.with_file_name("recipe.toml");
    if beside.is_file() {
        return Ok(Some(beside));
    }
    bail!(
        "{}: no recipe.toml beside it; say with --data what to run it on: a recipe (.toml), or events (.npz, nmnist:DIR)",
        args.file.display()
    )
}

fn text(d: &Document) -> String {
    let mut rows = vec![
        vec!["data".into(), d.data.into()],
        vec!["trials".into(), d.trials.to_string()],
        vec!["steps".into(), d.steps.to_string()],
        vec!["neurons".into(), d.neurons.to_string()],
        vec!["links".into(), d.links.to_string()],
        vec!["loss".into(), format!("{:.4}", d.loss)],
    ];
    rows.extend(d.accuracy.map(|accuracy| vec!["accuracy (%)".into(), format!("{:.2}", 100.0 * accuracy)]));
    rows.push(vec!["spikes per trial".into(), format!("{:.1}", d.spikes_per_trial)]);
    rows.push(vec!["synaptic additions per trial".into(), format!("{:.0}", d.synaptic_events_per_trial)]);
    let ran = columns(&rows, 2);
    match (&d.report, &d.costs) {
        (Some(report), Some(costs)) => format!("{}\n{ran}\n{}", map::text(report), table::costs(costs, d.trials, None)),
        _ => ran,
    }
}
