//! A network description as a NIR graph.

mod cells;
mod maps;

use super::convention::{AfterSpike, Convention, Current, Decay, Integrate, Spikes};
use super::graph::{Fault, Graph, Kind, Primitive};
use super::{NirError, network};
use cells::{Neurons, all, current, floats, heard, io, neurons};
use maps::{Shapes, nodes, one_to_one, shapes, takes_bias};
use snn_core::net::{Population, Projection};
use snn_core::neuron::Model;
use snn_core::{Network, Value};
use std::collections::{HashMap, HashSet};

/// What is wrong, said by those who do not know where.
type Reason = String;

/// How a network goes out.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `decay` | Euler | how those who read it will make steps of a leak: time constants are chosen so that their step is ours |
/// | `approximate` | no | whether models that NIR does not have may be replaced by the nearest that it has |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Export {
    /// How those who read it make steps of a leak.
    pub decay: Decay,
    /// Whether models that NIR does not have may be replaced.
    pub approximate: bool,
}

impl Default for Export {
    fn default() -> Self {
        Export { decay: Decay::Euler, approximate: false }
    }
}

/// A network as a graph that says its convention in its metadata, so that [`network`] makes the same steps of it. Inverse of [`network`] but for the names of nodes without memory,
/// and the units of potentials: here they are those of the input, and factors of NIR (`r`, `w_in`) make up for the gain of a step.
///
/// | model | becomes |
/// |---|---|
/// | `if`, `if_multi` | `IF` |
/// | `lif`, `cuba_lif` | `LIF`, `CubaLIF` |
/// | `li` | `LI` |
/// | `linear` | `Scale`, `LI` or `I`; nothing where it only hands on one projection |
/// | `threshold` | `Threshold` |
/// | `sum` | `Output`; over more than one step an approximation, whose window does not end |
/// | `alif`, `lsnn` | `LIF`, without adaptation: an approximation |
/// | `egru` | `LIF` and `Scale`; its gates stand still, and what they hear is left out: an approximation |
/// | `few_spikes`, unsigned | `IF` and `Scale` by the smallest step of its code, which fires at once and does not saturate: an approximation |
///
/// A constant current is the bias of an `Affine` or `Conv2d` before it, else a `v_leak`. Listed links that are not one to one are a matrix. A loop of a population to itself
/// with a delay of one step is an edge, every other delay a `Delay`. Approximated nodes say so in their metadata, under `approximation`.
///
/// ```
/// use snn_core::{Net, Seed, ms, net::{Connect, Init}, neuron::{Alif, Li}};
/// use snn_io::nir::{self, Export, Kind, Node};
/// let net = Net::new(ms(1.0)).input("in", 3).population("a", 2, Alif::default()).population("out", 1, Li::default())
///     .project("in", "a", Connect::All, Init::normal(1.0)).project("a", "out", Connect::All, Init::normal(1.0)).output("out").build(Seed::new(1))?;
/// assert!(nir::export(&net, &Export::default()).unwrap_err().to_string().contains("`a (alif)`"));
/// let graph = nir::export(&net, &Export { approximate: true, ..Export::default() })?;
/// assert!(matches!(&graph.nodes["a"], Node::Primitive(p) if p.kind == Kind::LIF && p.metadata.contains_key("approximation")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`NirError::Node`] by the name of the population or projection for what NIR does not have: other models, refractory periods, escape noise, drives, ports, weights that are tied to others, delays of each link,
/// resets by subtraction beside resets to a value, and shapes that do not fit (NIR cannot make an image of a list).
pub fn export(net: &Network, settings: &Export) -> Result<Graph, NirError> {
    let draft = net.draft();
    if let Some(drive) = draft.drives.first() {
        return Err(Fault::at(&drive.to, "its Poisson drive is not in NIR").into());
    }
    if let Some((p, other)) = draft.tied() {
        let why = format!(
            "its weights are tied to those of {} -> {}, and nodes of NIR have weights of their own; leave out `tied`",
            other.from, other.to
        );
        return Err(Fault::at(format!("{} -> {}", p.from, p.to), why).into());
    }
    let (graph, exits, relays) = Default::default();
    let mut out = Writer { net, settings, graph, shapes: shapes(net)?, exits, relays, reset: None, spikes: None };
    for input in &draft.inputs {
        out.graph.nodes.insert(input.name.clone(), io(Kind::Input, &out.shape(&input.name)).into());
    }
    for p in &draft.populations {
        out.population(p).map_err(|why| Fault::at(format!("{} ({})", p.name, p.model.name()), why))?;
    }
    for (k, p) in draft.projections.iter().enumerate() {
        out.projection(k, p).map_err(|why| Fault::at(format!("{} -> {}", p.from, p.to), why))?;
    }
    let convention = Convention {
        dt: net.dt(),
        reset: out.reset.unwrap_or(AfterSpike::Subtract),
        spikes: out.spikes.unwrap_or(Spikes::Several),
        decay: settings.decay,
        integrate: Integrate::Steps,
        current: Current::New,
    };
    let graph = convention.tell(out.graph);
    network(&graph, &convention)?; // what cannot be read again is not given away
    Ok(graph)
}

struct Writer<'a> {
    net: &'a Network,
    settings: &'a Export,
    graph: Graph,
    shapes: Shapes,
    exits: HashMap<String, String>, // of populations of two nodes: the second
    relays: HashSet<String>,        // populations that stand for the projection to them
    reset: Option<AfterSpike>,
    spikes: Option<Spikes>,
}

impl Writer<'_> {
    fn shape(&self, name: &str) -> Vec<usize> {
        self.shapes.get(name).cloned().unwrap_or_else(|| vec![self.net.size(name)])
    }

    /// Adds a node under this name, or the next one that is free.
    fn node(&mut self, name: &str, primitive: Primitive) -> String {
        let free = |name: &String| !self.graph.nodes.contains_key(name) && self.net.size(name) == 0;
        let numbered = (2..).map(|k| format!("{name}_{k}"));
        let name = std::iter::once(name.to_owned()).chain(numbered).find(free).unwrap_or_default();
        self.graph.nodes.insert(name.clone(), primitive.into());
        name
    }

    fn edge(&mut self, from: &str, to: &str) {
        self.graph.edges.push([from.into(), to.into()]);
    }

    /// Whether a population hands on what one projection brings, and does nothing else.
    fn is_relay(&self, p: &Population) -> bool {
        let mut incoming = self.net.draft().projections.iter().filter(|projection| projection.to == p.name);
        matches!(&p.model, Model::Linear(unit) if all(&unit.keep, 0.0) && all(&unit.gain, 1.0))
            && incoming.next().is_some_and(|first| first.from != p.name)
            && incoming.next().is_none()
            && !self.net.draft().outputs.contains(&p.name)
    }

    fn population(&mut self, p: &Population) -> Result<(), Reason> {
        if self.is_relay(p) {
            self.relays.insert(p.name.clone());
            return Ok(());
        }
        let shape = self.shape(&p.name);
        let Neurons { mut node, worth, reset, spikes } = neurons(p, &shape, self.net.dt(), self.settings)?;
        self.agree(reset, spikes)?;
        if let Some(current) = current(p).filter(|current| self.bearer(p, current).is_none()) {
            leak(&mut node, &shape, &current)?;
        }
        let is_output = node.kind == Kind::Output;
        self.graph.nodes.insert(p.name.clone(), node.into());
        let mut exit = p.name.clone();
        if let Some(worth) = worth {
            exit = self.node(&format!("{}_worth", p.name), worth);
            self.edge(&p.name, &exit);
            self.exits.insert(p.name.clone(), exit.clone());
        }
        if self.net.draft().outputs.contains(&p.name) && !is_output {
            let output = self.node(&format!("{}_output", p.name), io(Kind::Output, &shape));
            self.edge(&exit, &output);
        }
        Ok(())
    }

    /// Resets, and spikes in a step, are those of the whole graph.
    fn agree(&mut self, reset: Option<AfterSpike>, spikes: Option<Spikes>) -> Result<(), Reason> {
        let (reset, spikes) = (reset.or(self.reset), spikes.or(self.spikes));
        if self.reset.is_some_and(|one| Some(one) != reset) || self.spikes.is_some_and(|one| Some(one) != spikes) {
            return Err("resets or repeats its spikes otherwise than another population; NIR says that of a whole graph at most".into());
        }
        (self.reset, self.spikes) = (reset, spikes);
        Ok(())
    }

    /// The projection whose bias the constant current of a population is.
    fn bearer(&self, p: &Population, current: &Value) -> Option<usize> {
        let heard = |projection: &Projection| heard(p, projection.port.as_deref()) == Ok(Some(1.0.into()));
        let fits = |projection: &Projection| projection.to == p.name && heard(projection) && takes_bias(self.net, projection, current);
        self.net.draft().projections.iter().position(fits)
    }

    fn projection(&mut self, k: usize, p: &Projection) -> Result<(), Reason> {
        let Some(target) = self.net.draft().populations.iter().find(|target| target.name == p.to) else { return Ok(()) };
        let Some(factor) = heard(target, p.port.as_deref())? else { return Ok(()) };
        let (from, to) = (self.shape(&p.from), self.shape(&p.to));
        let bias = current(target).filter(|current| self.bearer(target, current) == Some(k));
        let mut chain = nodes(self.net, p, &from, &to, bias.as_ref())?;
        if !all(&factor, 1.0) {
            chain.push(Primitive::new(Kind::Scale).param("scale", floats(&to, &factor)));
        }
        let own_loop = p.from == p.to && all(&p.delay, self.net.dt());
        match &p.delay {
            delay if own_loop || all(delay, 0.0) => {}
            Value::Each(_) if !one_to_one(self.net, p) => return Err("a delay of each link, which NIR does not have".into()),
            // Before the map: its bias does not wait.
            delay => chain.insert(0, Primitive::new(Kind::Delay).param("delay", floats(&from, delay))),
        }
        let relay = self.relays.contains(&p.to);
        if relay && chain.is_empty() {
            chain.push(Primitive::new(Kind::Scale).param("scale", floats(&to, &1.0.into())));
        }
        let (mut before, last) = (self.exits.get(&p.from).unwrap_or(&p.from).clone(), chain.len());
        for (n, primitive) in chain.into_iter().enumerate() {
            let name = if relay && n + 1 == last {
                self.graph.nodes.insert(p.to.clone(), primitive.into());
                p.to.clone()
            } else {
                self.node(&format!("{}_{}", p.from, p.to), primitive)
            };
            self.edge(&before, &name);
            before = name;
        }
        if !relay {
            self.edge(&before, &p.to);
        }
        Ok(())
    }
}

/// Makes a constant current the leak of a membrane that hears it directly: `v_leak = R·I`.
fn leak(node: &mut Primitive, shape: &[usize], current: &Value) -> Result<(), Reason> {
    let r = node.params.get("r").and_then(|r| r.numbers()).filter(|_| matches!(node.kind, Kind::LI | Kind::LIF));
    let r = r.ok_or("its constant current needs an all-to-all projection or a convolution to it, whose bias it can be")?;
    let v_leak: Vec<f64> = r.iter().enumerate().map(|(j, r)| r * current.at(j)).collect();
    node.params.insert("v_leak".into(), floats(shape, &v_leak.into()));
    Ok(())
}
