//! A NIR graph as a network description.

use super::NirError;
use super::cells::{Cell, cell};
use super::convention::Convention;
use super::flat::{Flat, flatten};
use super::graph::{Fault, Graph, Kind};
use super::maps::{Map, doubles, map, shared};
use snn_core::net::{Draft, Input, Population, Projection};
use snn_core::neuron::{Linear, Model};
use snn_core::{Network, Value};
use std::collections::{HashMap, HashSet};

/// The network that runs a graph in steps.
///
/// `Input`s are inputs, `Output`s populations that are read out; they and nodes with memory or threshold are populations of the same name. A node without memory
/// is the projection between two of them; where several hear it, or another such node does, a population of linear units. A
/// synapse of its own (`CubaLI`, and `CubaLIF` with a `v_leak`) is `NAME.current`, the sum of several inputs of a node without memory is `NAME.sum`.
///
/// ```
/// use snn_io::nir::{self, Convention, Graph, Kind, Primitive};
/// let graph = Graph::default()
///     .node("in", Primitive::new(Kind::Input).whole("shape", &[2]))
///     .node("w", Primitive::new(Kind::Linear).floats("weight", [1, 2], vec![0.5, -1.0]))
///     .node("if", Primitive::new(Kind::IF).floats("r", [1], vec![1.0]).floats("v_threshold", [1], vec![1.0]))
///     .node("out", Primitive::new(Kind::Output).whole("shape", &[1]))
///     .chain(&["in", "w", "if", "out"]);
/// let net = nir::network(&graph, &Convention::default())?;
/// assert_eq!((net.size("in"), net.size("if"), &net.draft().outputs[..]), (2, 1, &["out".to_owned()][..]));
/// # Ok::<(), snn_io::nir::NirError>(())
/// ```
///
/// Weights are rounded to 32 bits. Memory: the graph's numbers again, and at most 2²⁴ units.
///
/// # Errors
/// [`NirError::Node`] for what a convention or our models do not cover, by the node's name; [`NirError::Network`] for a graph whose sizes do not fit.
pub fn network(graph: &Graph, convention: &Convention) -> Result<Network, NirError> {
    graph.check("node")?;
    let nodes = flatten(graph)?;
    let mut lower = Lower::new(&nodes, convention)?;
    (0..nodes.len()).try_for_each(|i| lower.add_populations(i))?;
    (0..nodes.len()).try_for_each(|i| lower.add_projections(i))?;
    let Lower { mut draft, late, .. } = lower;
    cut_loops(&mut draft);
    let dt = draft.dt;
    for p in draft.projections.iter_mut().filter(|p| late.contains(&p.to)) {
        p.delay = match &p.delay {
            Value::Shared(delay) => (delay + dt).into(),
            Value::Each(delays) => delays.iter().map(|delay| delay + dt).collect::<Vec<_>>().into(),
        };
    }
    Ok(draft.try_into()?)
}

/// What becomes of a node.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    /// An input.
    Source,
    /// A population of neurons.
    Cell,
    /// A projection, or a population of linear units.
    Map,
    /// Nothing: what comes in goes out.
    Wire,
}

fn role(node: &Flat) -> Role {
    use Kind::{Affine, AvgPool2d, Conv1d, Conv2d, Delay, Flatten, Input, Linear, Scale, SumPool2d};
    match node.kind() {
        Some(Input) => Role::Source,
        Some(Flatten) | None if node.into.len() == 1 => Role::Wire,
        Some(Affine | Linear | Scale | Conv1d | Conv2d | SumPool2d | AvgPool2d | Delay | Flatten) | None => Role::Map,
        Some(_) => Role::Cell,
    }
}

struct Lower<'a> {
    nodes: &'a [Flat<'a>],
    convention: &'a Convention,
    roles: Vec<Role>,
    /// Whom a node hears, and who hears it, behind wires.
    sources: Vec<Vec<usize>>,
    targets: Vec<Vec<usize>>,
    draft: Draft,
    places: HashMap<String, usize>, // of populations
    synapses: HashSet<usize>,       // nodes whose synapse is a population of its own
    late: HashSet<String>,          // populations that hear everything a step late
}

impl<'a> Lower<'a> {
    fn new(nodes: &'a [Flat<'a>], convention: &'a Convention) -> Result<Self, Fault> {
        let roles: Vec<Role> = nodes.iter().map(role).collect();
        let behind = |mut i: usize| {
            for _ in nodes {
                if roles[i] != Role::Wire {
                    return Ok(i);
                }
                i = nodes[i].into[0];
            }
            Err(nodes[i].fault("a loop in which there is nothing"))
        };
        let (mut sources, mut targets) = (vec![Vec::new(); nodes.len()], vec![Vec::new(); nodes.len()]);
        for i in (0..nodes.len()).filter(|&i| roles[i] != Role::Wire) {
            for &from in &nodes[i].into {
                let source = behind(from)?;
                sources[i].push(source);
                targets[source].push(i);
            }
        }
        let draft = Draft { dt: convention.dt, ..Draft::default() };
        let (places, synapses, late) = Default::default();
        Ok(Lower { nodes, convention, roles, sources, targets, draft, places, synapses, late })
    }

    /// The population that adds up what a node hears, if that is one by itself.
    fn adds_up(&self, i: usize) -> Option<String> {
        let name = &self.nodes[i].name;
        match self.roles[i] {
            Role::Cell if self.synapses.contains(&i) => Some(format!("{name}.current")),
            Role::Cell => Some(name.clone()),
            Role::Map if self.sources[i].len() > 1 => Some(format!("{name}.sum")),
            _ => None,
        }
    }

    /// Whether a map is a projection only: one node hears it, and adds it up.
    fn is_projection(&self, i: usize) -> bool {
        self.roles[i] == Role::Map && matches!(self.targets[i][..], [to] if self.adds_up(to).is_some())
    }

    /// The delay of a `Delay` that only one other map hears, whose projection then has it.
    fn delay_of_next(&self, i: usize) -> Option<f64> {
        let next = |&to: &usize| self.roles[to] == Role::Map && self.sources[to].len() == 1 && self.nodes[to].kind() != Some(Kind::Delay);
        let (delay, [to], [_]) = (self.nodes[i].primitive.filter(|p| p.kind == Kind::Delay)?, &self.targets[i][..], &self.sources[i][..])
        else {
            return None;
        };
        match shared(doubles(delay, "delay").ok()?) {
            Value::Shared(delay) if next(to) => Some(delay),
            _ => None,
        }
    }

    fn population(&mut self, name: String, size: usize, model: Model, current: Value) {
        self.places.insert(name.clone(), self.draft.populations.len());
        let (refractory, escape, train) = (0.0, None, Vec::new());
        self.draft.populations.push(Population { name, size, refractory, current, escape, train, model });
    }

    fn projection(&mut self, from: String, to: String, map: Map) {
        let Map { links, weights, delay, bias } = map;
        if let (Some(bias), Some(&k)) = (bias, self.places.get(&to)) {
            let p = &mut self.draft.populations[k];
            // One of another size is refused with the projection.
            p.current = if bias.fits(p.size) { shared((0..p.size).map(|j| p.current.at(j) + bias.at(j)).collect()) } else { bias };
        }
        self.draft.projections.push(Projection { from, to, port: None, delay, fixed: false, tied: None, links, weights });
    }

    fn add_populations(&mut self, i: usize) -> Result<(), Fault> {
        let node = &self.nodes[i];
        let (name, size) = (node.name.clone(), node.size());
        match (self.roles[i], node.primitive) {
            (Role::Source, _) if !node.into.is_empty() => {
                return Err(node.fault("an input of a whole graph hears nobody; take the edge to it away"));
            }
            (Role::Source, _) => self.draft.inputs.push(Input { name, size }),
            (Role::Cell, Some(p)) => {
                let Cell { synapse, model, current, late } = cell(p, size, self.convention).map_err(|why| node.fault(why))?;
                if p.kind == Kind::Output {
                    self.draft.outputs.push(name.clone());
                }
                if late {
                    self.late.insert(name.clone());
                }
                if let Some(synapse) = synapse {
                    self.synapses.insert(i);
                    let before = format!("{name}.current");
                    self.population(before.clone(), size, synapse, 0.0.into());
                    self.population(name.clone(), size, model, current);
                    self.projection(before, name, Map::identity(size));
                } else {
                    self.population(name, size, model, current);
                }
            }
            (Role::Map, _) if self.sources[i].is_empty() => return Err(node.fault("nothing leads to it")),
            (Role::Map, _) => {
                if self.sources[i].len() > 1 {
                    let size = self.nodes[node.into[0]].size();
                    self.population(format!("{name}.sum"), size, Linear::default().into(), 0.0.into());
                }
                if !self.is_projection(i) && self.delay_of_next(i).is_none() {
                    self.population(name, size, Linear::default().into(), 0.0.into());
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn add_projections(&mut self, i: usize) -> Result<(), Fault> {
        if let Some(to) = self.adds_up(i) {
            for k in 0..self.sources[i].len() {
                let source = self.sources[i][k];
                if self.is_projection(source) {
                    self.add_map(source, to.clone())?;
                } else {
                    let (heard, size) = (self.nodes[source].size(), self.places.get(&to).map_or(0, |&k| self.draft.populations[k].size));
                    if heard != size {
                        let why = format!("hears the {heard} values of `{}`, but takes {size}", self.nodes[source].name);
                        return Err(self.nodes[i].fault(why));
                    }
                    self.projection(self.nodes[source].name.clone(), to.clone(), Map::identity(size));
                }
            }
        }
        if self.roles[i] == Role::Map && self.places.contains_key(&self.nodes[i].name) {
            self.add_map(i, self.nodes[i].name.clone())?;
        }
        Ok(())
    }

    /// The projection of a map, to the population `to`.
    fn add_map(&mut self, i: usize, to: String) -> Result<(), Fault> {
        let (node, shape) = (&self.nodes[i], &self.nodes[self.nodes[i].into[0]].shape);
        let mut map = node.primitive.map_or_else(|| Ok(Map::identity(node.size())), |p| map(p, shape)).map_err(|why| node.fault(why))?;
        let mut source = self.sources[i][0];
        if let Some(delay) = self.delay_of_next(source) {
            map.delay = delay.into();
            source = self.sources[source][0];
        }
        let from = self.adds_up(i).unwrap_or_else(|| self.nodes[source].name.clone());
        self.projection(from, to, map);
        Ok(())
    }
}

/// Gives the edges that lead back, on the way from the inputs, a delay of a step: of the loops in which nothing else takes time.
fn cut_loops(draft: &mut Draft) {
    let names = draft.inputs.iter().map(|input| &input.name).chain(draft.populations.iter().map(|p| &p.name));
    let index: HashMap<&str, usize> = names.enumerate().map(|(i, name)| (&**name, i)).collect();
    let mut out = vec![Vec::new(); index.len()];
    let mut ends = Vec::new();
    for (k, p) in draft.projections.iter().enumerate() {
        let (from, to) = (index[&*p.from], index[&*p.to]);
        ends.push(to);
        if p.delay.given().contains(&0.0) {
            out[from].push(k);
        }
    }
    // Depth first: a projection to where the way is just coming from leads back.
    let (mut seen, mut on_way, mut back) = (vec![false; out.len()], vec![false; out.len()], Vec::new());
    for start in 0..out.len() {
        let mut way = vec![(start, 0)];
        if std::mem::replace(&mut seen[start], true) {
            continue;
        }
        on_way[start] = true;
        while let Some((at, next)) = way.last_mut() {
            let Some(&k) = out[*at].get(*next) else {
                on_way[*at] = false;
                way.pop();
                continue;
            };
            *next += 1;
            let to = ends[k];
            if on_way[to] {
                back.push(k);
            } else if !std::mem::replace(&mut seen[to], true) {
                on_way[to] = true;
                way.push((to, 0));
            }
        }
    }
    for k in back {
        let p = &mut draft.projections[k];
        p.delay = match &p.delay {
            Value::Shared(_) => draft.dt.into(),
            Value::Each(delays) => delays.iter().map(|delay| delay.max(draft.dt)).collect::<Vec<_>>().into(),
        };
    }
}
