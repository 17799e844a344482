//! `snn export`: a network as a NIR graph, for other tools.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result};
use serde::Serialize;
use snn_io::nir::{self, Convention, Decay, Export, Node};
use snn_repro::recipe::read_network;

use crate::{Outcome, show};

pub const EXAMPLES: &str = "Examples:
  snn export net.json net.nir                       a network description for norse, snnTorch, sinabs and others
  snn export net.json net.nir --approximate         with the nearest neuron where NIR does not have ours; their nodes say so

FILE is a network description, a converted network from `snn convert --out`, or a NIR graph. What NIR does not have is refused by its name.";

#[derive(clap::Args)]
pub struct Args {
    /// The network.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The graph to write.
    #[arg(value_name = "OUT.nir")]
    out: PathBuf,
    /// Replace neurons that NIR does not have by the nearest that it has.
    #[arg(long)]
    approximate: bool,
    /// How those who read it make steps of a leak: euler, exact [default: euler].
    #[arg(long, value_name = "HOW", value_parser = Decay::from_str, default_value = "euler", hide_default_value = true)]
    decay: Decay,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    file: &'a Path,
    out: &'a Path,
    nodes: usize,
    edges: usize,
    /// Nodes that are not what they were.
    approximated: Vec<&'a str>,
    convention: Convention,
}

pub fn run(args: &Args) -> Result<Outcome> {
    let network = read_network(&args.file)?;
    let settings = Export { decay: args.decay, approximate: args.approximate };
    let place = || format!("{}: the network does not go into NIR", args.file.display());
    let graph = nir::export(&network, &settings).with_context(place)?;
    let convention = Convention::of(&graph).with_context(place)?;
    nir::write(&args.out, &graph)?;
    let marked = graph.nodes.iter().filter(|(_, node)| matches!(node, Node::Primitive(p) if p.metadata.contains_key("approximation")));
    let approximated: Vec<&str> = marked.map(|(name, _)| &**name).collect();
    let (nodes, edges) = (graph.nodes.len(), graph.edges.len());
    let document = Document { file: &args.file, out: &args.out, nodes, edges, approximated, convention };
    show(args.json, &document, || text(&document))?;
    Ok(Outcome::Good)
}

fn text(d: &Document) -> String {
    let marked = if d.approximated.is_empty() { String::new() } else { format!("approximated: {}\n", d.approximated.join(", ")) };
    format!("{}: {} nodes, {} edges, steps of {} ms\n{marked}", d.out.display(), d.nodes, d.edges, 1e3 * d.convention.dt)
}
