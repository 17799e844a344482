//! A graph without graphs in it: nodes by number, shapes known.

use super::graph::{Fault, Graph, Kind, Node, Primitive};
use super::maps;
use std::collections::{BTreeMap, BTreeSet};

/// Chosen: units of all nodes together, so that a shape in a file, which costs nothing there, does not fill the memory.
const MAX_UNITS: usize = 1 << 24;

/// A node.
pub(super) struct Flat<'a> {
    /// Its name, behind those of the graphs that it is in: `block.fc`.
    pub name: String,
    /// What it is; nothing where a graph in the graph begins or ends.
    pub primitive: Option<&'a Primitive>,
    /// Where its values come from.
    pub into: Vec<usize>,
    /// Where they go.
    pub out: Vec<usize>,
    /// The shape of its values.
    pub shape: Vec<usize>,
}

impl Flat<'_> {
    pub fn kind(&self) -> Option<Kind> {
        self.primitive.map(|p| p.kind)
    }

    /// Number of values.
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }

    /// What is wrong with it.
    pub fn fault(&self, why: impl Into<String>) -> Fault {
        fault(&self.name, self.primitive, why)
    }
}

fn fault(name: &str, primitive: Option<&Primitive>, why: impl Into<String>) -> Fault {
    Fault::at(format!("{name} ({})", primitive.map_or("NIRGraph", |p| p.kind.name())), why)
}

/// All nodes of a graph.
pub(super) fn flatten(graph: &Graph) -> Result<Vec<Flat<'_>>, Fault> {
    let mut nodes = Vec::new();
    add(graph, "", &mut nodes)?;
    let mut names = BTreeSet::new();
    if let Some(twice) = nodes.iter().find(|node| !names.insert(&node.name)) {
        return Err(twice.fault("another node has this name"));
    }
    shapes(&mut nodes)?;
    Ok(nodes)
}

/// Adds the nodes of `graph`. Returns where values enter and leave it, which a graph inside another must have.
fn add<'a>(graph: &'a Graph, prefix: &str, nodes: &mut Vec<Flat<'a>>) -> Result<Option<(usize, usize)>, Fault> {
    let (mut ends, mut inputs, mut outputs) = (BTreeMap::new(), Vec::new(), Vec::new());
    for (name, node) in &graph.nodes {
        let full = format!("{prefix}{name}");
        let place = match node {
            Node::Graph(inner) => add(inner, &format!("{full}."), nodes)?.ok_or_else(|| fault(&full, None, ONE_EACH))?,
            Node::Primitive(p) => {
                let at = nodes.len();
                match p.kind {
                    Kind::Input => inputs.push(at),
                    Kind::Output => outputs.push(at),
                    _ => {}
                }
                let inside = !prefix.is_empty() && matches!(p.kind, Kind::Input | Kind::Output);
                let (into, out, shape) = Default::default();
                nodes.push(Flat { name: full, primitive: (!inside).then_some(p), into, out, shape });
                (at, at)
            }
        };
        ends.insert(&**name, place);
    }
    for [from, to] in &graph.edges {
        let (from, to) = (ends[&**from].1, ends[&**to].0);
        nodes[from].out.push(to);
        nodes[to].into.push(from);
    }
    match (&inputs[..], &outputs[..]) {
        (&[input], &[output]) => Ok(Some((input, output))),
        _ => Ok(None),
    }
}

const ONE_EACH: &str = "a graph in a graph must have one input and one output";

/// Finds the shape of every node: its own where its parameters say it, else from the node before.
fn shapes(nodes: &mut [Flat]) -> Result<(), Fault> {
    let mut known = vec![false; nodes.len()];
    let mut queue = Vec::new();
    let mut units = 0usize;
    let mut learn = |node: &mut Flat, shape: Result<Option<Vec<usize>>, String>| {
        let Some(shape) = shape.map_err(|why| node.fault(why))? else { return Ok(false) };
        units = shape.iter().fold(1usize, |n, &k| n.saturating_mul(k)).saturating_add(units);
        if units > MAX_UNITS {
            return Err(node.fault(format!("the shape {shape:?}: more than {MAX_UNITS} units in all")));
        }
        node.shape = shape;
        Ok(true)
    };
    for (i, node) in nodes.iter_mut().enumerate() {
        let shape = node.primitive.map_or(Ok(None), maps::own_shape);
        if learn(node, shape)? {
            known[i] = true;
            queue.push(i);
        }
    }
    while let Some(from) = queue.pop() {
        let shape = nodes[from].shape.clone();
        for to in nodes[from].out.clone() {
            if !std::mem::replace(&mut known[to], true) {
                let after = maps::shape_after(nodes[to].primitive, &shape);
                learn(&mut nodes[to], after.map(Some))?;
                queue.push(to);
            }
        }
    }
    match known.iter().position(|known| !known) {
        Some(i) => Err(nodes[i].fault("nothing says its shape: no node with a shape leads to it")),
        None => Ok(()),
    }
}
