//! The network of a recipe: populations and projections, or a file.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value as Json;
use snn_convert::Converted;
use snn_core::net::{Connect, Conv2d, Init, Population, SumPool2d};
use snn_core::neuron::{Model, decay};
use snn_core::{Dataset, Net, Network, Seed, Value, ms};
use snn_io::{json, nir};

use super::data::Parts;
use super::table::{Table, Wrong};

/// The network in a file: a description, the one inside of a converted network, or that of a NIR graph (`.nir`) as its metadata and the defaults have it.
///
/// # Errors
/// If it cannot be read or is something else.
pub fn read_network(path: &Path) -> Result<Network> {
    if path.extension().is_some_and(|kind| kind == "nir") {
        let graph = nir::read(path)?;
        let said = nir::Convention::of(&graph).and_then(|convention| nir::network(&graph, &convention));
        return said.with_context(|| format!("{}: the NIR graph cannot be run", path.display()));
    }
    let value: Json = json::load_json(path)?;
    let what = |kind| format!("{}: not a {kind}", path.display());
    if value.get("scheme").is_some() {
        let converted: Converted = serde_json::from_value(value).with_context(|| what("network that `snn convert` wrote"))?;
        return Ok(converted.network);
    }
    if value.get("populations").is_none() {
        bail!(
            "{}: no `populations` and no `scheme` in it; expected a network description, or a file from `snn convert --out`",
            path.display()
        );
    }
    serde_json::from_value(value).with_context(|| what("network description"))
}

/// `[network]`.
pub(super) enum NetworkPlan {
    File(PathBuf),
    Drawn(Box<Drawn>),
}

pub(super) struct Drawn {
    dt: Option<f64>,
    input: String,
    output: String,
    populations: Vec<(Population, bool)>,
    projections: Vec<Projection>,
}

struct Projection {
    from: String,
    to: String,
    port: Option<String>,
    fixed: bool,
    autapses: bool,
    delay: Delay,
    links: Connect,
    weights: Weights,
}

enum Delay {
    All(f64),
    /// Of each link its own, from the first to the second.
    Drawn(f64, f64),
}

enum Weights {
    Init(Init),
    /// Normal with this standard deviation for a neuron with one link: divided by the root of their number.
    FanIn(f64),
}

impl NetworkPlan {
    pub(super) fn new(mut table: Table) -> Result<Self, Wrong> {
        if let Some(file) = table.get::<PathBuf>("file")? {
            table.done()?;
            return Ok(NetworkPlan::File(file));
        }
        let dt = table.get("dt")?;
        let (input, output) = (table.or("input", "in".to_owned())?, table.or("output", "out".to_owned())?);
        let populations = table.tables("populations")?.into_iter().map(population).collect::<Result<Vec<_>, _>>()?;
        let projections = table.tables("projections")?.into_iter().map(projection).collect::<Result<Vec<_>, _>>()?;
        if populations.is_empty() || projections.is_empty() {
            return Err(table.wrong("give `file = \"net.json\"`, or lists of `populations` and `projections`"));
        }
        table.done()?;
        Ok(NetworkPlan::Drawn(Box::new(Drawn { dt, input, output, populations, projections })))
    }

    /// The network for these data: from its file, or drawn.
    pub(super) fn build(&self, parts: &Parts, seed: Seed) -> Result<Network> {
        let plan = match self {
            NetworkPlan::File(path) => return read_network(path),
            NetworkPlan::Drawn(plan) => plan,
        };
        let dt = match (plan.dt, parts.dt()) {
            (Some(ours), Some(theirs)) if ((ours - theirs) / theirs).abs() > 1e-9 => {
                bail!("[network] has steps of {ours} s, [data] of {theirs} s; leave `dt` out of [network], or give both the same");
            }
            (ours, theirs) => ours.or(theirs).unwrap_or(ms(1.0)),
        };
        let data = parts.train();
        let mut net = Net::new(dt).input(&plan.input, data.inputs());
        let size = |(p, sized): &(Population, bool)| match (*sized, data.classes()) {
            (false, 0) => bail!("population `{}` has no size, and the data no classes to take it from; give `size`", p.name),
            (false, classes) if p.name == plan.output => Ok(classes),
            (false, _) => bail!(
                "population `{}` has no size; give `size` (only the output, `{}`, has one for each class without)",
                p.name,
                plan.output
            ),
            (true, _) => Ok(p.size),
        };
        let mut sizes = vec![(plan.input.as_str(), data.inputs())];
        for one in &plan.populations {
            let count = size(one)?;
            let Population { name, refractory, current, train, model, .. } = &one.0;
            sizes.push((name, count));
            net = net.population(name, count, model.clone()).refractory(*refractory).current(current.clone());
            net = net.train(&train.iter().map(String::as_str).collect::<Vec<_>>());
        }
        let size = |name: &str| sizes.iter().find(|(known, _)| *known == name).map_or(0, |&(_, size)| size);
        for p in &plan.projections {
            let init = match &p.weights {
                Weights::Init(init) => init.clone(),
                Weights::FanIn(gain) => Init::Normal(gain / heard(p.links, size(&p.from)).sqrt().max(1.0)),
            };
            net = net.project(&p.from, &p.to, p.links, init);
            net = match p.delay {
                Delay::All(delay) => net.delay(delay),
                Delay::Drawn(low, high) => net.delays(low, high),
            };
            net = if let Some(port) = &p.port { net.port(port) } else { net };
            net = if p.fixed { net.fixed() } else { net };
            net = if p.autapses { net } else { net.without_autapses() };
        }
        Ok(net.output(&plan.output).build(seed)?)
    }
}

/// The mean number of links that a target hears from so many sources.
fn heard(links: Connect, sources: usize) -> f64 {
    match links {
        Connect::All => sources as f64,
        Connect::Sources { start, end } => end.saturating_sub(start) as f64,
        Connect::OneToOne => 1.0,
        Connect::Random { p } => p * sources as f64,
        Connect::InDegree(count) => count as f64,
        Connect::Conv2d(conv) => (conv.channels_in / conv.groups.max(1) * conv.kernel.0 * conv.kernel.1) as f64,
        Connect::SumPool2d(pool) => (pool.kernel.0 * pool.kernel.1) as f64,
    }
}

/// A population; whether its size was given.
fn population(mut table: Table) -> Result<(Population, bool), Wrong> {
    let models = Model::all();
    let names: Vec<&'static str> = models.iter().map(Model::name).collect();
    let name: String = table.need("name", "name = \"hidden\"")?;
    let size: Option<usize> = table.get("size")?;
    let said: String = table.need("model", "model = \"lif\"")?;
    let Some(model) = models.into_iter().find(|model| model.name() == said) else {
        let hint = super::table::meant(&said, names.iter().copied());
        return Err(table.wrong(format!("no model is called `{said}`{hint}; there are: {}", names.join(", "))));
    };
    let plain =
        Population { name, size: size.unwrap_or(1), refractory: 0.0, current: Value::Shared(0.0), escape: None, train: Vec::new(), model };
    Ok((table.over_with(&plain, &["refractory", "current", "train"], &["name", "size", "model"])?, size.is_some()))
}

fn projection(mut table: Table) -> Result<Projection, Wrong> {
    let from = table.need("from", "from = \"in\"")?;
    let to = table.need("to", "to = \"hidden\"")?;
    let delay = match table.get::<Value>("delay")? {
        None => Delay::All(0.0),
        Some(Value::Shared(delay)) => Delay::All(delay),
        Some(Value::Each(range)) => match range[..] {
            [low, high] => Delay::Drawn(low, high),
            _ => return Err(table.wrong("`delay`: a number of seconds, or [low, high] for a delay of each link's own")),
        },
    };
    let projection = Projection {
        from,
        to,
        port: table.get("port")?,
        fixed: table.or("fixed", false)?,
        autapses: table.or("autapses", true)?,
        delay,
        links: links(&mut table)?,
        weights: weights(&mut table)?,
    };
    table.done()?;
    Ok(projection)
}

/// `links = { random = 0.1 }`.
fn links(table: &mut Table) -> Result<Connect, Wrong> {
    const WAYS: &str =
        "all, one_to_one, { random = 0.1 }, { in_degree = 20 }, { sources = [0, 10] }, { conv2d = { … } }, { sum_pool2d = { … } }";
    let Some(mut of) = table.choice("links")? else { return Ok(Connect::All) };
    let random: Option<f64> = of.get("random")?;
    let degree: Option<usize> = of.get("in_degree")?;
    let sources: Option<(usize, usize)> = of.get("sources")?;
    let conv: Option<Conv2d> = of.get("conv2d")?;
    let pool: Option<SumPool2d> = of.get("sum_pool2d")?;
    let (all, one) = (of.get::<bool>("all")?, of.get::<bool>("one_to_one")?);
    let found = [
        all.map(|_| Connect::All),
        one.map(|_| Connect::OneToOne),
        random.map(|p| Connect::Random { p }),
        degree.map(Connect::InDegree),
        sources.map(|(start, end)| Connect::Sources { start, end }),
        conv.map(Connect::Conv2d),
        pool.map(Connect::SumPool2d),
    ];
    one_of(of, found.into_iter().flatten().collect(), WAYS)
}

/// `weights = { normal = 0.1 }`. Without, those of the released program of Perez-Nieves & Goodman 2021, for membranes of ten steps.
fn weights(table: &mut Table) -> Result<Weights, Wrong> {
    const WAYS: &str = "{ normal = 0.1 }, { uniform = 0.1 }, { constant = 0.1 }, { fan_in = 1.0 }";
    let Some(mut of) = table.choice("weights")? else { return Ok(Weights::FanIn(20.0 * (1.0 - decay(1.0, 10.0)))) };
    let normal: Option<f64> = of.get("normal")?;
    let uniform: Option<f64> = of.get("uniform")?;
    let constant: Option<f32> = of.get("constant")?;
    let fan_in: Option<f64> = of.get("fan_in")?;
    let found =
        [normal.map(Init::Normal), uniform.map(Init::Uniform), constant.map(Init::Constant)].into_iter().flatten().map(Weights::Init);
    let found = found.chain(fan_in.map(Weights::FanIn)).collect();
    one_of(of, found, WAYS)
}

/// The only one of what was found.
fn one_of<T>(table: Table, found: Vec<T>, ways: &str) -> Result<T, Wrong> {
    let several = table.wrong(format!("give one of: {ways}"));
    table.done()?;
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        _ => Err(several),
    }
}
