//! A network description as a NIR graph.

use super::convention::{AfterSpike, Convention, Current, Decay, Integrate, Spikes};
use super::graph::{Fault, Graph, Kind, Primitive};
use super::maps::shared;
use super::{NirError, network};
use crate::hdf5::{Array, Tree, Values};
use snn_core::net::{Links, Population, Projection};
use snn_core::neuron::{FewSpikes, Model, Reset, decay};
use snn_core::{Network, Value};
use std::collections::{HashMap, HashSet};

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
/// | `sum` over one step | `Output` |
/// | `alif`, `lsnn` | `LIF`, without adaptation: an approximation |
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
/// [`NirError::Node`] by the name of the population or projection for what NIR does not have: other models, refractory periods, escape noise, drives, ports, delays of each link,
/// resets by subtraction beside resets to a value, and shapes that do not fit (NIR cannot make an image of a list).
pub fn export(net: &Network, settings: &Export) -> Result<Graph, NirError> {
    let draft = net.draft();
    if let Some(drive) = draft.drives.first() {
        return Err(Fault::at(&drive.to, "its Poisson drive is not in NIR").into());
    }
    let (graph, exits, relays) = Default::default();
    let mut out = Writer { net, settings, graph, shapes: shapes(net)?, exits, relays, reset: None, spikes: None };
    for input in &draft.inputs {
        let node = Primitive::new(Kind::Input).whole("shape", &out.wholes(&input.name));
        out.graph.nodes.insert(input.name.clone(), node.into());
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

type Reason = String;
type Shapes = HashMap<String, Vec<usize>>;

/// The shapes of images, from the windows over them.
fn shapes(net: &Network) -> Result<Shapes, Fault> {
    let mut shapes = Shapes::new();
    let mut learn = |name: &str, shape: Vec<usize>| match shapes.insert(name.to_owned(), shape.clone()) {
        Some(other) if other != shape => Err(Fault::at(name, format!("an image of the shape {other:?}, and of {shape:?}"))),
        other => Ok(other.is_none()),
    };
    let projections = &net.draft().projections;
    for p in projections {
        let conv = match &p.links {
            Links::Conv2d(conv) => *conv,
            Links::SumPool2d(pool) => pool.depthwise(),
            _ => continue,
        };
        learn(&p.from, vec![conv.channels_in, conv.height, conv.width])?;
        learn(&p.to, vec![conv.channels_out, conv.output().0, conv.output().1])?;
    }
    // One to one, both ends have the same.
    let equal: Vec<_> = projections.iter().filter(|p| one_to_one(net, p)).map(|p| (&p.from, &p.to)).collect();
    loop {
        let known = shapes.len();
        for (a, b) in &equal {
            for (a, b) in [(a, b), (b, a)] {
                if let Some(shape) = shapes.get(*a).cloned() {
                    shapes.entry((*b).clone()).or_insert(shape);
                }
            }
        }
        if shapes.len() == known {
            return Ok(shapes);
        }
    }
}

fn one_to_one(net: &Network, p: &Projection) -> bool {
    let (n, m) = (net.size(&p.from), net.size(&p.to));
    matches!(p.links, Links::Csr { .. }) && n == m && p.links.count(n, m) == n && p.links.triplets(n, m).all(|(i, j, _)| i == j)
}

/// Largest matrix that listed links are written out as.
const MAX_MATRIX: usize = 1 << 26;

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

    fn wholes(&self, name: &str) -> Vec<i64> {
        self.shape(name).iter().map(|&n| n as i64).collect()
    }

    /// A parameter of every neuron of `name`.
    fn floats(&self, name: &str, values: &Value) -> Array {
        Array::new(self.shape(name), Values::F64(values.iter(self.net.size(name)).collect()))
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

    fn population(&mut self, p: &Population) -> Result<(), Reason> {
        let plain = p.refractory == 0.0 && p.escape.is_none();
        if !plain {
            return Err("refractory periods and escape noise are not in NIR".into());
        }
        let relay = matches!(&p.model, Model::Linear(l) if all(&l.keep, 0.0) && all(&l.gain, 1.0));
        let mut incoming = self.net.draft().projections.iter().filter(|projection| projection.to == p.name);
        let one = incoming.next().is_some_and(|first| first.from != p.name) && incoming.next().is_none();
        if relay && one && !self.net.draft().outputs.contains(&p.name) {
            self.relays.insert(p.name.clone());
            return Ok(());
        }
        let is_output = matches!(&p.model, Model::Sum(sum) if sum.period == 1);
        let mut primitive = self.primitive(p)?;
        if p.has_current() && self.bias_of(p).is_none() {
            let leak = |r: &Array| r.numbers().map(|r| r.iter().enumerate().map(|(j, r)| r * p.current.at(j)).collect());
            match (primitive.params.contains_key("v_leak") && !primitive.params.contains_key("w_in"), primitive.params.get("r").and_then(leak)) {
                (true, Some(v_leak)) => drop(primitive.params.insert("v_leak".into(), self.floats(&p.name, &Value::Each(v_leak)))),
                _ => return Err("its constant current needs an all-to-all projection or a convolution to it, to be the bias of".into()),
            }
        }
        self.graph.nodes.insert(p.name.clone(), primitive.into());
        if let (Model::FewSpikes(model), true) = (&p.model, self.settings.approximate) {
            let scale = Primitive::new(Kind::Scale).param("scale", self.floats(&p.name, &least(model).into()));
            let worth = self.node(&format!("{}_worth", p.name), scale);
            self.edge(&p.name, &worth);
            self.exits.insert(p.name.clone(), worth);
        }
        if self.net.draft().outputs.contains(&p.name) && !is_output {
            let output = Primitive::new(Kind::Output).whole("shape", &self.wholes(&p.name));
            let output = self.node(&format!("{}_output", p.name), output);
            let exit = self.exits.get(&p.name).unwrap_or(&p.name).clone();
            self.edge(&exit, &output);
        }
        Ok(())
    }

    /// The node of a population's neurons.
    fn primitive(&mut self, p: &Population) -> Result<Primitive, Reason> {
        let name = &p.name;
        let new = |kind: Kind, params: &[(&str, Value)]| {
            params.iter().fold(Primitive::new(kind), |node, (param, values)| node.param(param, self.floats(name, values)))
        };
        let (zero, one) = (Value::Shared(0.0), Value::Shared(1.0));
        let dt = self.net.dt();
        // What a leak takes away in a step, and the time constant with which others do the same.
        let rate = |tau: &Value| per(tau, |tau| 1.0 - decay(dt, tau));
        let tau_of = |rate: &Value| per(rate, |rate| if self.settings.decay == Decay::Exact { -dt / (-rate).ln_1p() } else { dt / rate });
        let inverse = |rate: &Value| per(rate, |rate| 1.0 / rate);
        let lif = |tau: &Value, v_th: &Value, r: Value, v_reset: f64| {
            let params = [("tau", tau_of(&rate(tau))), ("r", r), ("v_leak", zero.clone()), ("v_threshold", v_th.clone())];
            new(Kind::LIF, &[&params[..], &[("v_reset", v_reset.into())]].concat())
        };
        let (node, reset) = match &p.model {
            Model::If(m) => {
                (new(Kind::IF, &[("r", one), ("v_threshold", m.v_th.clone()), ("v_reset", value_of(m.reset).into())]), Some((m.reset, Some(Spikes::One))))
            }
            Model::IfMulti(m) => {
                let node = new(Kind::IF, &[("r", one), ("v_threshold", m.v_th.clone()), ("v_reset", zero)]);
                (node, Some((Reset::Subtract, Some(Spikes::Several))))
            }
            Model::Lif(m) => (lif(&m.tau, &m.v_th, inverse(&rate(&m.tau)), value_of(m.reset)), Some((m.reset, None))),
            Model::CubaLif(m) => {
                let (syn, mem) = (rate(&m.tau_syn), rate(&m.tau));
                let params = [("tau_syn", tau_of(&syn)), ("tau_mem", tau_of(&mem)), ("r", inverse(&mem)), ("w_in", inverse(&syn)), ("v_leak", zero)];
                let fires = [("v_threshold", m.v_th.clone()), ("v_reset", value_of(m.reset).into())];
                (new(Kind::CubaLIF, &[&params[..], &fires].concat()), Some((m.reset, None)))
            }
            Model::Li(m) => (new(Kind::LI, &[("tau", tau_of(&rate(&m.tau))), ("r", one), ("v_leak", zero)]), None),
            Model::Linear(m) if all(&m.keep, 0.0) => (new(Kind::Scale, &[("scale", m.gain.clone())]), None),
            Model::Linear(m) if all(&m.keep, 1.0) => (new(Kind::I, &[("r", m.gain.clone())]), None),
            Model::Linear(m) => {
                let rate = per(&m.keep, |keep| 1.0 - keep);
                let r = shared((0..p.size).map(|j| m.gain.at(j) / rate.at(j)).collect());
                (new(Kind::LI, &[("tau", tau_of(&rate)), ("r", r), ("v_leak", zero)]), None)
            }
            Model::Threshold(m) => (new(Kind::Threshold, &[("threshold", m.v_th.clone())]), None),
            Model::Sum(m) if m.period == 1 && all(&m.bias, 0.0) => (Primitive::new(Kind::Output).whole("shape", &self.wholes(name)), None),
            Model::Alif(m) if self.settings.approximate => {
                let node = lif(&m.tau, &m.v_th, inverse(&rate(&m.tau)), 0.0);
                (marked(node, "of alif, without its adaptation"), Some((Reset::Subtract, None)))
            }
            Model::Lsnn(m) if self.settings.approximate => {
                let node = lif(&m.tau, &m.v_th, one, 0.0);
                (marked(node, "of lsnn, without its adaptation, a step early"), Some((Reset::Subtract, None)))
            }
            Model::FewSpikes(m) if self.settings.approximate && !m.signed && all(&m.bias, 0.0) && least(m) > 0.0 => {
                let node = new(Kind::IF, &[("r", one), ("v_threshold", least(m).into()), ("v_reset", zero)]);
                let about = "of few_spikes, at once and without its largest value; its spikes are worth the smallest step of the code";
                (marked(node, about), Some((Reset::Subtract, Some(Spikes::Several))))
            }
            Model::Alif(_) | Model::Lsnn(_) | Model::FewSpikes(_) => {
                return Err("NIR has no such neuron; approximations are made on request, of a few-spikes neuron if it is unsigned and without bias".into());
            }
            _ => return Err("NIR has no such neuron, and none that comes near".into()),
        };
        if let Some((reset, spikes)) = reset {
            self.agrees(reset, spikes)?;
        }
        Ok(node)
    }

    /// Resets, and spikes in a step, are those of the whole graph.
    fn agrees(&mut self, reset: Reset, spikes: Option<Spikes>) -> Result<(), Reason> {
        let reset = if reset == Reset::Subtract { AfterSpike::Subtract } else { AfterSpike::Value };
        let spikes = spikes.filter(|_| reset == AfterSpike::Subtract);
        let same = self.reset.is_none_or(|other| other == reset) && (spikes.is_none() || self.spikes.is_none_or(|other| Some(other) == spikes));
        (self.reset, self.spikes) = (Some(reset), self.spikes.or(spikes));
        if same { Ok(()) } else { Err("it resets or repeats its spikes otherwise than another population, but NIR says that of a whole graph at most".into()) }
    }

    /// The projection whose bias the constant current of a population is.
    fn bias_of(&self, p: &Population) -> Option<usize> {
        let fits = |projection: &Projection| match &projection.links {
            Links::All => true,
            Links::Conv2d(conv) => {
                let area = conv.output().0 * conv.output().1;
                (0..p.size).all(|j| p.current.at(j) == p.current.at(j / area * area))
            }
            _ => false,
        };
        self.net.draft().projections.iter().position(|projection| projection.to == p.name && fits(projection))
    }

    fn projection(&mut self, k: usize, p: &Projection) -> Result<(), Reason> {
        let (dt, to) = (self.net.dt(), p.to.clone());
        if p.port.is_some() {
            return Err("a port, which NIR does not have".into());
        }
        let mut chain = self.map(k, p)?;
        let own_loop = p.from == p.to && all(&p.delay, dt);
        match &p.delay {
            delay if own_loop || all(delay, 0.0) => {}
            Value::Each(_) if !one_to_one(self.net, p) => return Err("a delay of each link, which NIR does not have".into()),
            // Before the map: its bias does not wait.
            delay => chain.insert(0, Primitive::new(Kind::Delay).param("delay", self.floats(&p.from, delay))),
        }
        let relay = self.relays.contains(&to);
        if relay && chain.is_empty() {
            chain.push(Primitive::new(Kind::Scale).param("scale", self.floats(&to, &1.0.into())));
        }
        let (mut before, last) = (self.exits.get(&p.from).unwrap_or(&p.from).clone(), chain.len());
        for (n, primitive) in chain.into_iter().enumerate() {
            let name = if relay && n + 1 == last {
                self.graph.nodes.insert(to.clone(), primitive.into());
                to.clone()
            } else {
                self.node(&format!("{}_{to}", p.from), primitive)
            };
            self.edge(&before, &name);
            before = name;
        }
        if !relay {
            self.edge(&before, &to);
        }
        Ok(())
    }

    /// The nodes of a projection's links and weights.
    fn map(&self, k: usize, p: &Projection) -> Result<Vec<Primitive>, Reason> {
        let (n, m) = (self.net.size(&p.from), self.net.size(&p.to));
        let pair = |(a, b): (usize, usize)| [a as i64, b as i64];
        let target = self.net.draft().populations.iter().find(|target| target.name == p.to);
        let current = target.filter(|target| target.has_current() && self.bias_of(target) == Some(k)).map(|target| &target.current);
        match &p.links {
            Links::Conv2d(conv) => {
                let (channels, area) = (conv.channels_out, conv.output().0 * conv.output().1);
                let weights = p.weights.iter(conv.weights()).collect();
                let bias = (0..channels).map(|c| current.map_or(0.0, |current| current.at(c * area))).collect();
                let node = Primitive::new(Kind::Conv2d)
                    .floats("weight", [channels, conv.channels_in / conv.groups, conv.kernel.0, conv.kernel.1], weights)
                    .param("bias", Array::new([channels], Values::F64(bias)))
                    .param("groups", Array::new([], Values::I64(vec![conv.groups as i64])))
                    .whole("input_shape", &[conv.height as i64, conv.width as i64]);
                let windows = [("stride", conv.stride), ("padding", conv.padding), ("dilation", conv.dilation)];
                Ok(vec![windows.into_iter().fold(node, |node, (name, value)| node.whole(name, &pair(value)))])
            }
            Links::SumPool2d(pool) => {
                let mean = 1.0 / (pool.kernel.0 * pool.kernel.1) as f32;
                let kind = match p.weights.at(0) {
                    1.0 => Kind::SumPool2d,
                    w if w == mean => Kind::AvgPool2d,
                    w => return Err(format!("a pool with the weight {w}; NIR has sums and means")),
                };
                let windows = [("kernel_size", pool.kernel), ("stride", pool.stride), ("padding", pool.padding)];
                Ok(vec![windows.into_iter().fold(Primitive::new(kind), |node, (name, value)| node.whole(name, &pair(value)))])
            }
            Links::Csr { .. } if one_to_one(self.net, p) => match all(&p.weights, 1.0) {
                true => Ok(Vec::new()),
                false => Ok(vec![Primitive::new(Kind::Scale).floats("scale", self.shape(&p.from), p.weights.iter(n).collect())]),
            },
            links => {
                if self.shape(&p.to).len() > 1 {
                    return Err(format!("its target has the shape {:?}, but NIR cannot make an image of a list", self.shape(&p.to)));
                }
                if n.saturating_mul(m) > MAX_MATRIX {
                    return Err(format!("as a matrix it has more than {MAX_MATRIX} weights"));
                }
                let mut weights = vec![0.0; n * m];
                links.triplets(n, m).for_each(|(i, j, k)| weights[j * n + i] = p.weights.at(k));
                let matrix = Primitive::new(if current.is_some() { Kind::Affine } else { Kind::Linear }).floats("weight", [m, n], weights);
                let matrix = current.map_or(matrix.clone(), |bias| matrix.param("bias", self.floats(&p.to, bias)));
                let scalar = |x: i64| Array::new([], Values::I64(vec![x]));
                let flatten = Primitive::new(Kind::Flatten).param("start_dim", scalar(0)).param("end_dim", scalar(-1));
                let image = self.shape(&p.from).len() > 1;
                Ok(if image { vec![flatten.whole("input_type", &self.wholes(&p.from)), matrix] } else { vec![matrix] })
            }
        }
    }
}

/// Whether all values are this.
fn all<T: Copy + PartialEq>(values: &Value<T>, x: T) -> bool {
    values.given().iter().all(|&value| value == x)
}

fn per(values: &Value, f: impl Fn(f64) -> f64) -> Value {
    match values {
        Value::Shared(x) => f(*x).into(),
        Value::Each(xs) => xs.iter().map(|&x| f(x)).collect::<Vec<_>>().into(),
    }
}

/// NIR's `v_reset`.
fn value_of(reset: Reset) -> f64 {
    if let Reset::To(value) = reset { value } else { 0.0 }
}

/// The smallest step of a code.
fn least(model: &FewSpikes) -> f64 {
    model.weight.iter().copied().fold(f64::INFINITY, f64::min)
}

fn marked(mut node: Primitive, what: &str) -> Primitive {
    node.metadata.insert("approximation".into(), Tree::Array(Array::text(what)));
    node
}
