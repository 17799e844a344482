//! The kinds of files, each read by its own reader.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value as Json;
use snn_convert::Converted;
use snn_core::net::Links;
use snn_core::{Network, Raster};
use snn_io::hdf5::{Tree, Values};
use snn_io::nir::Node;
use snn_io::{Kind, SpikeTrains, aer, codec, csv, hdf5, idx, kind, nir, npy, onnx, wav};
use snn_learn::Checkpoint;

use super::{Events, Inspected, Numbers, short};
use crate::recipe::{Recipe, Trained};
use crate::{Epoch, RunResult};

/// Looks into a file. Of several trials `trial` is the one that can be drawn.
///
/// # Errors
/// What its reader reports; for a file of no known kind a list of those that are known.
pub fn inspect(path: &Path, trial: usize) -> Result<Inspected> {
    match kind(path)? {
        Kind::Idx => array_of_bytes(path),
        Kind::Npy => array(path),
        Kind::Npz => archive(path),
        Kind::Hdf5 => tree(path, trial),
        Kind::Wav => sound(path),
        Kind::Checkpoint => checkpoint(path),
        Kind::Onnx => dense(path),
        Kind::Aer => events(path),
        Kind::Json => json(path),
        Kind::Text => text(path),
    }
}

fn array_of_bytes(path: &Path) -> Result<Inspected> {
    let idx = idx::read(path)?;
    let mut file = Inspected::new(path, "idx");
    let values: Vec<f64> = idx.data.iter().map(|&byte| byte.into()).collect();
    match &idx.dims[..] {
        [count] => file.say("labels", count),
        [count, rest @ ..] => file.say("items", format!("{count} of {}", product(rest))),
        [] => {}
    }
    file.numbers.push(Numbers::new("values", "u8", idx.dims, &values));
    Ok(file)
}

fn product(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ")
}

fn array(path: &Path) -> Result<Inspected> {
    let mut file = Inspected::new(path, "NumPy array");
    let values = npy::read::<f64>(path)?;
    let shape = values.shape().to_vec();
    file.numbers.push(Numbers::new("array", npy::element_type(path, None)?, shape, &values.iter().copied().collect::<Vec<_>>()));
    Ok(file)
}

fn archive(path: &Path) -> Result<Inspected> {
    let mut file = Inspected::new(path, "NumPy archive");
    let names = npy::npz_names(path)?;
    file.say("arrays", names.len());
    for name in names {
        let values = npy::read_npz::<f64>(path, &name)?;
        let shape = values.shape().to_vec();
        let element = npy::element_type(path, Some(&name))?;
        file.numbers.push(Numbers::new(name, element, shape, &values.iter().copied().collect::<Vec<_>>()));
    }
    Ok(file)
}

fn sound(path: &Path) -> Result<Inspected> {
    let sound = wav::read(path)?;
    let mut file = Inspected::new(path, "WAV sound");
    let frames = sound.samples.len() / usize::from(sound.channels.max(1));
    file.say("rate", format!("{} Hz", sound.rate));
    file.say("channels", sound.channels);
    file.say("duration", format!("{} s", short(frames as f64 / f64::from(sound.rate.max(1)))));
    let samples: Vec<f64> = sound.samples.iter().map(|&x| x.into()).collect();
    file.numbers.push(Numbers::new("samples", "read as f32", [frames, sound.channels.into()], &samples));
    Ok(file)
}

/// Steps of a raster that is drawn.
const STEPS: usize = 600;

/// Events as a raster of so many units, and the length of its steps.
fn raster(units: usize, duration: f64, events: impl Iterator<Item = (f64, u32)>) -> (f64, Raster) {
    let dt = (duration / STEPS as f64).max(1e-6);
    let mut raster = Raster::new(units, STEPS + 1);
    raster.fill(events.map(|(t, unit)| (((t / dt) as usize).min(STEPS) as u32, unit)));
    (dt, raster)
}

/// Rates of a list of events: in all, and of a unit.
fn rates(file: &mut Inspected, events: usize, units: usize, seconds: f64) {
    if seconds > 0.0 {
        let all = events as f64 / seconds;
        file.say("rate", format!("{} events/s, {} Hz per unit", short(all), short(all / units.max(1) as f64)));
    }
}

fn events(path: &Path) -> Result<Inspected> {
    let events = aer::read(path)?;
    let mut file = Inspected::new(path, "address events");
    let (width, height) = events.iter().fold((0, 0), |(w, h), e| (w.max(usize::from(e.x) + 1), h.max(usize::from(e.y) + 1)));
    let seconds = events.last().map_or(0.0, |e| 1e-6 * f64::from(e.t_us));
    let on = events.iter().filter(|e| e.on).count();
    file.say("events", events.len());
    file.say("brighter, darker", format!("{on}, {}", events.len() - on));
    file.say("pixels", format!("{width} × {height}, as far as there are events"));
    file.say("duration", format!("{} s", short(seconds)));
    rates(&mut file, events.len(), width * height, seconds);
    let times: Vec<f64> = events.iter().map(|e| 1e-6 * f64::from(e.t_us)).collect();
    file.numbers.push(Numbers::new("time (s)", "u23, µs", [times.len()], &times));
    let units = events.iter().map(|e| (1e-6 * f64::from(e.t_us), u32::from(e.y) * width as u32 + u32::from(e.x)));
    let (dt, raster) = raster(width * height, seconds, units);
    file.events = Some(Events { title: format!("{}: pixels, row by row", name(path)), dt, raster });
    Ok(file)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn tree(path: &Path, trial: usize) -> Result<Inspected> {
    if let Ok(trains) = hdf5::read_spikes(path) {
        return trials(path, &trains, trial);
    }
    let tree = Tree::read(path)?;
    if tree.get("node").is_some_and(|node| matches!(node, Tree::Group(_))) {
        return graph(path);
    }
    let mut file = Inspected::new(path, "HDF5 arrays");
    arrays(&mut file, "", &tree);
    Ok(file)
}

/// Every array of a tree.
fn arrays(file: &mut Inspected, at: &str, tree: &Tree) {
    match tree {
        Tree::Group(parts) => parts.iter().for_each(|(name, part)| arrays(file, &format!("{at}/{name}"), part)),
        Tree::Array(array) => {
            let element = match array.values() {
                Values::F32(_) => "f32",
                Values::F64(_) => "f64",
                Values::I64(_) => "whole numbers",
                Values::Text(texts) => return file.say(at, texts.first().map_or("no text", String::as_str)),
            };
            file.numbers.push(Numbers::new(at, element, array.shape(), &array.numbers().unwrap_or_default()));
        }
    }
}

fn trials(path: &Path, trains: &SpikeTrains, trial: usize) -> Result<Inspected> {
    if trial >= trains.len() {
        bail!("{}: there is no trial {trial}; there are {}, from 0", path.display(), trains.len());
    }
    let mut file = Inspected::new(path, "event data set (HDF5)");
    let (mut units, mut seconds) = (0, 0.0f64);
    for i in 0..trains.len() {
        let (times, of) = trains.trial(i);
        units = of.iter().fold(units, |most, &unit| most.max(unit as usize + 1));
        seconds += times.iter().fold(0.0f64, |last, &t| last.max(t.into()));
    }
    file.say("trials", trains.len());
    file.say("events", trains.events());
    file.say("units", units);
    file.say("classes", trains.labels().iter().max().map_or(0, |&label| label + 1));
    file.say("mean duration", format!("{} s", short(seconds / trains.len() as f64)));
    rates(&mut file, trains.events(), units, seconds);
    let labels: Vec<f64> = trains.labels().iter().map(|&label| label.into()).collect();
    file.numbers.push(Numbers::new("labels", "whole numbers", [labels.len()], &labels));
    let (times, of) = trains.trial(trial);
    let last = times.iter().fold(0.0f64, |last, &t| last.max(t.into()));
    let (dt, raster) = raster(units, last, times.iter().map(|&t| t.into()).zip(of.iter().copied()));
    file.events = Some(Events { title: format!("{}: trial {trial}, class {}", name(path), trains.labels()[trial]), dt, raster });
    Ok(file)
}

fn graph(path: &Path) -> Result<Inspected> {
    let graph = nir::read(path)?;
    let mut file = Inspected::new(path, "NIR graph");
    file.say("nodes", graph.nodes.len());
    file.say("edges", graph.edges.len());
    for (name, node) in &graph.nodes {
        match node {
            Node::Graph(inner) => file.say(name, format!("a graph of {} nodes", inner.nodes.len())),
            Node::Primitive(primitive) => {
                file.say(name, primitive.kind.name());
                for (param, array) in &primitive.params {
                    if let Some(values) = array.numbers().filter(|values| values.len() > 1) {
                        file.numbers.push(Numbers::new(format!("{name}.{param}"), "numbers", array.shape(), &values));
                    }
                }
            }
        }
    }
    match nir::Convention::of(&graph).and_then(|convention| nir::network(&graph, &convention)) {
        Ok(network) => file.say("runs", format!("yes: {} links", network.links())),
        Err(error) => file.say("runs", format!("no: {error}")),
    }
    Ok(file)
}

fn dense(path: &Path) -> Result<Inspected> {
    let ann = onnx::read(path)?;
    let mut file = Inspected::new(path, "ONNX network");
    file.say("inputs, outputs", format!("{}, {}", ann.inputs(), ann.outputs()));
    file.say("parameters", ann.parameters());
    file.say("multiplications for an input", ann.macs());
    file.say("nodes", ann.nodes().len());
    for node in ann.nodes() {
        use snn_core::ann::Op;
        let op = match &node.op {
            Op::Linear { links: Links::Conv2d(conv), weights, .. } => {
                file.numbers.push(weights_of(&node.name, weights.given()));
                format!("convolution {} × {}", conv.kernel.0, conv.kernel.1)
            }
            Op::Linear { weights, .. } => {
                file.numbers.push(weights_of(&node.name, weights.given()));
                "linear".into()
            }
            Op::Input => "input".into(),
            Op::Scale { .. } => "scale".into(),
            Op::Activation(function) => format!("{function:?}").to_lowercase(),
            Op::Max { .. } => "maximum".into(),
            Op::Gather { .. } => "gather".into(),
            Op::Add => "sum".into(),
            Op::Concat => "concatenation".into(),
            Op::Softmax { .. } => "softmax".into(),
        };
        file.say(&node.name, format!("{op}, {}", node.size));
    }
    Ok(file)
}

fn weights_of(name: &str, weights: &[f32]) -> Numbers {
    Numbers::new(format!("{name}: weights"), "f32", [weights.len()], &weights.iter().map(|&w| w.into()).collect::<Vec<_>>())
}

/// As `crate::checkpoint` writes those of a training.
#[derive(Deserialize)]
struct Kept {
    name: String,
    length: String,
    state: (Vec<Epoch>, Checkpoint),
}

fn checkpoint(path: &Path) -> Result<Inspected> {
    let bytes = codec::verify(path)?;
    let mut file = Inspected::new(path, "checkpoint");
    file.say("payload", format!("{bytes} bytes, undamaged"));
    let Ok(Kept { name, length, state: (history, state) }) = codec::load::<Kept>(path) else {
        file.say("of", "no training of this version");
        return Ok(file);
    };
    file.say("of", format!("the training \"{name}\" of {length}"));
    file.say("epochs done", history.len());
    file.say("trials into the next", state.begun.trials);
    file.say("updates", state.updates);
    if let Some(last) = history.last() {
        file.say("loss", short(last.loss));
        file.say("accuracy, training", format!("{:.2} %", 100.0 * last.accuracy));
    }
    if let Some((rule, _)) = &state.structure {
        file.say("structural rule", rule);
    }
    for (k, weights) in state.weights.iter().enumerate() {
        file.numbers.push(weights_of(&format!("list {k}"), weights));
    }
    Ok(file)
}

fn json(path: &Path) -> Result<Inspected> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.len() > 1 && lines[..2].iter().all(|line| serde_json::from_str::<serde_json::Map<String, Json>>(line).is_ok()) {
        return records(path, &lines);
    }
    let value: Json = snn_io::json::load_json(path)?;
    if value.get("populations").is_some() {
        let network: Network = serde_json::from_value(value).with_context(|| format!("{}: not a network description", path.display()))?;
        let mut file = Inspected::new(path, "network description");
        describe(&mut file, &network);
        return Ok(file);
    }
    if value.get("scheme").is_some()
        && let Ok(converted) = serde_json::from_value::<Converted>(value.clone())
    {
        let mut file = Inspected::new(path, "converted network");
        file.say("scheme", value["scheme"].as_str().unwrap_or("?"));
        file.say("latency", format!("{} steps", converted.timing.latency));
        describe(&mut file, &converted.network);
        return Ok(file);
    }
    if let Ok(result) = serde_json::from_value::<RunResult>(value.clone()) {
        let mut file = Inspected::new(path, "result of a paper");
        file.say("paper", &result.paper);
        file.say("run", result.setting());
        for claim in &result.claims {
            file.say(&claim.what, format!("{} ({})", claim.figure(), claim.verdict));
        }
        return Ok(file);
    }
    if let Ok(trained) = serde_json::from_value::<Trained>(value.clone()) {
        let mut file = Inspected::new(path, "result of a training");
        let percent = |share: Option<f64>| share.map_or("—".into(), |share| format!("{:.2} %", 100.0 * share));
        file.say("data", &trained.data);
        file.say("epochs", trained.epochs);
        file.say("neurons, links", format!("{}, {}", trained.neurons, trained.links));
        file.say("loss", short(trained.loss));
        file.say("accuracy, training", percent(trained.accuracy));
        file.say("accuracy, held out", percent(trained.held_out));
        return Ok(file);
    }
    let mut file = Inspected::new(path, "JSON");
    let is = |value: &Json| match value {
        Json::Array(list) => format!("a list of {}", list.len()),
        Json::Object(map) => format!("{} keys", map.len()),
        other => other.to_string(),
    };
    match &value {
        Json::Object(map) => map.iter().for_each(|(key, value)| file.say(key, is(value))),
        other => file.say("value", is(other)),
    }
    Ok(file)
}

fn describe(file: &mut Inspected, network: &Network) {
    let draft = network.draft();
    let neurons: usize = draft.populations.iter().map(|p| p.size).sum();
    file.say("step", format!("{} ms", short(1e3 * draft.dt)));
    file.say("neurons, links", format!("{neurons}, {}", network.links()));
    for input in &draft.inputs {
        file.say(&format!("input {}", input.name), input.size);
    }
    for p in &draft.populations {
        let read = if draft.outputs.contains(&p.name) { ", read out" } else { "" };
        file.say(&format!("population {}", p.name), format!("{} {}{read}", p.size, p.model.name()));
    }
    for p in &draft.projections {
        let (from, to) = (network.size(&p.from), network.size(&p.to));
        let count = p.links.count(from, to);
        let (place, share) = (format!("{} -> {}", p.from, p.to), 100.0 * count as f64 / (from * to).max(1) as f64);
        file.say(&format!("projection {place}"), format!("{count} links, {} % of all", short(share)));
        file.numbers.push(weights_of(&place, p.weights.given()));
    }
}

/// JSON lines: numbers by their names.
fn records(path: &Path, lines: &[&str]) -> Result<Inspected> {
    let mut file = Inspected::new(path, "JSON lines");
    file.say("lines", lines.len());
    let mut columns: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (k, line) in lines.iter().enumerate() {
        let value: Json = serde_json::from_str(line).with_context(|| format!("{}: line {}: not JSON", path.display(), k + 1))?;
        numbers_in("", &value, &mut columns);
    }
    file.numbers = columns.into_iter().map(|(name, values)| Numbers::new(name, "number", [values.len()], &values)).collect();
    Ok(file)
}

fn numbers_in(at: &str, value: &Json, into: &mut BTreeMap<String, Vec<f64>>) {
    match value {
        Json::Number(number) => into.entry(at.into()).or_default().extend(number.as_f64()),
        Json::Object(map) => map.iter().for_each(|(key, value)| {
            let name = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            numbers_in(&name, value, into);
        }),
        _ => {}
    }
}

/// A recipe, or a table.
fn text(path: &Path) -> Result<Inspected> {
    let recipe = Recipe::read(path);
    if let Ok(recipe) = &recipe {
        let mut file = Inspected::new(path, "recipe");
        file.say("epochs", recipe.epochs());
        file.say("digest", recipe.digest());
        file.say("out", recipe.out().map_or("not said".into(), |out| out.display().to_string()));
        return Ok(file);
    }
    if path.extension().is_some_and(|kind| kind == "toml") {
        recipe?;
    }
    let mut rows = csv::Rows::open(path)?;
    let columns = rows.columns().to_vec();
    let (mut numbers, mut texts, mut count) = (vec![Vec::new(); columns.len()], vec![0; columns.len()], 0);
    while rows.next()? {
        count += 1;
        for k in 0..columns.len() {
            match rows.text(k).parse::<f64>() {
                Ok(x) => numbers[k].push(x),
                Err(_) => texts[k] += 1,
            }
        }
    }
    let mut file = Inspected::new(path, "table (CSV)");
    file.say("rows, columns", format!("{count}, {}", columns.len()));
    for ((name, values), texts) in columns.into_iter().zip(numbers).zip(texts) {
        if values.is_empty() {
            file.say(&name, format!("text in {texts} rows"));
        } else {
            let element = if texts == 0 { "number".into() } else { format!("number, or text in {texts} rows") };
            file.numbers.push(Numbers::new(name, element, [values.len()], &values));
        }
    }
    Ok(file)
}
