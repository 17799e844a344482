//! The network description: populations joined by projections. Data only; engines give it behaviour.

mod conv2d;

pub use conv2d::{Axis, Conv2d, SumPool2d};

use crate::neuron::{Model, Param, Range};
use crate::{Seed, Value};
use rand::RngExt;
use rand_distr::{Distribution, Normal};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// A validated network: engines need not check it again. Made by [`Net`] or read from a file. A clone shares the description.
///
/// ```
/// use snn_core::{Net, Seed, ms, neuron::{Li, Lif}, net::{Connect, Init}};
/// let net = Net::new(ms(1.0))
///     .input("pixels", 784)
///     .population("hidden", 100, Lif::default())
///     .population("out", 10, Li::default())
///     .project("pixels", "hidden", Connect::All, Init::normal(0.07))
///     .project("hidden", "hidden", Connect::Random { p: 0.1 }, Init::normal(0.1)).delay(ms(1.0))
///     .project("hidden", "out", Connect::All, Init::uniform(0.1))
///     .output("out")
///     .build(Seed::new(1))?;
/// assert_eq!(net.links(), 784 * 100 + 1000 + 1000);
/// # Ok::<(), snn_core::NetworkError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Draft", into = "Draft")]
pub struct Network(Arc<Draft>);

/// A network description that has not been checked. `Network::try_from(draft)` checks it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// Time step (s).
    pub dt: f64,
    /// Where spikes enter.
    pub inputs: Vec<Input>,
    /// Groups of neurons of one model.
    pub populations: Vec<Population>,
    /// What joins them.
    pub projections: Vec<Projection>,
    /// Noise that drives them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drives: Vec<Drive>,
    /// Populations that are read out.
    pub outputs: Vec<String>,
}

/// A group of channels that replay spikes from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Name.
    pub name: String,
    /// Number of channels.
    pub size: usize,
}

/// A group of neurons of one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Population {
    /// Name.
    pub name: String,
    /// Number of neurons.
    pub size: usize,
    /// Refractory period (s), rounded to steps: for so long after a spike a neuron does not spike again, while its membrane goes on as if nothing
    /// were. Its output has no derivative then.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refractory: f64,
    /// Constant current: an input at every step, of all neurons or of each.
    #[serde(default = "nothing", skip_serializing_if = "is_nothing")]
    pub current: Value,
    /// Escape noise: spikes come by chance, the likelier the nearer the threshold. `None`: a neuron fires where it is above threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escape: Option<Escape>,
    /// Parameters of the model that are learned, one value per neuron, by name; `current` is the constant current, a bias.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub train: Vec<String>,
    /// Their equation and its parameters.
    #[serde(flatten)]
    pub model: Model,
}

#[expect(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero(x: &f64) -> bool {
    *x == 0.0
}

fn nothing() -> Value {
    Value::Shared(0.0)
}

fn is_nothing(current: &Value) -> bool {
    *current == nothing()
}

impl Population {
    /// Whether some neuron has a constant current.
    pub fn has_current(&self) -> bool {
        self.current.given().iter().any(|&x| x != 0.0)
    }

    /// What can be learned of it: name, values and range.
    pub fn learnable(&self) -> Vec<(&'static str, Value, Range)> {
        let params = self.model.params().into_iter().filter(|&(.., learnable)| learnable);
        let current = [("current", self.current.clone(), Range::Finite)];
        params.map(|(name, value, range, _)| (name, value, range)).chain(current).collect()
    }

    fn check_train(&self) -> Result<(), String> {
        let known: Vec<&str> = self.learnable().iter().map(|p| p.0).collect();
        for (k, name) in self.train.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                return Err(format!("`train` names `{name}`, which cannot be learned; there are: {}", known.join(", ")));
            }
            if self.train[..k].contains(name) {
                return Err(format!("`train` names `{name}` twice"));
            }
        }
        Ok(())
    }

    /// The steps of `dt` seconds after a spike in which a neuron does not spike again.
    pub fn refractory_steps(&self, dt: f64) -> usize {
        (self.refractory / dt).round() as usize
    }
}

/// Escape noise: a neuron at distance `u` from threshold fires in a step of `dt` seconds with probability `1 − exp(−dt·ρ(u))`, where
///
/// ```text
/// ρ(u) = rate·exp(u/width)                                    exponential
/// ρ(u) = rate·max(u, 0)/width                                 linear
/// ```
/// An exponential one is as sharp as a threshold where `width` is small against the potentials, and a Poisson neuron with an exponential
/// transfer function where it is not. A linear one is a Poisson neuron whose rate is its rectified potential.
///
/// Source: Gerstner & van Hemmen 1992 (escape noise); Jolivet et al. 2006 (its exponential form).
///
/// ```
/// use snn_core::net::{Escape, Transfer};
/// let escape = Escape { rate: 100.0, width: 0.5, transfer: Transfer::Exponential };
/// assert!((escape.chance(0.0, 1e-3) - 0.095).abs() < 1e-3);       // 100 per second at threshold
/// assert_eq!(escape.chance(f64::NEG_INFINITY, 1e-3), 0.0);
/// let linear = Escape { transfer: Transfer::Linear, ..escape };
/// assert_eq!((linear.hazard(-1.0), linear.hazard(1.0)), (0.0, 200.0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Escape {
    /// Spikes per second: at threshold, or, of a linear one, at `width` above it.
    pub rate: f64,
    /// Potential over which the rate grows e-fold, or by `rate`; in units of the model's potential.
    pub width: f64,
    /// How the rate depends on the potential.
    #[serde(default, skip_serializing_if = "Transfer::is_default")]
    pub transfer: Transfer,
}

/// How the rate of [`Escape`] noise depends on the potential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transfer {
    /// `exp(u/width)`.
    #[default]
    Exponential,
    /// `max(u, 0)/width`.
    Linear,
}

impl Transfer {
    #[expect(clippy::trivially_copy_pass_by_ref)] // serde's signature
    fn is_default(&self) -> bool {
        *self == Transfer::Exponential
    }
}

impl Escape {
    /// Spikes per second at distance `u` from threshold.
    pub fn hazard(&self, u: f64) -> f64 {
        match self.transfer {
            Transfer::Exponential => self.rate * (u / self.width).exp(),
            Transfer::Linear => self.rate * u.max(0.0) / self.width,
        }
    }

    /// The probability of a spike in a step of `dt` seconds at distance `u` from threshold.
    pub fn chance(&self, u: f64, dt: f64) -> f64 {
        -(-dt * self.hazard(u)).exp_m1()
    }

    /// `ln(rate·dt)`: with `G` a standard Gumbel number a neuron with exponential noise fires where `u + width·(ln(rate·dt) + G) > 0`.
    pub fn offset(&self, dt: f64) -> f64 {
        (self.rate * dt).ln()
    }
}

/// Weighted links, the synapses, from one group to another (or to itself).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Projection {
    /// Source group: an input, or a population whose output comes as events.
    pub from: String,
    /// Target population.
    pub to: String,
    /// The input of the target's model it goes to, of several: see [`Neuron::PORTS`](crate::neuron::Neuron::PORTS).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// Delay (s) of all links, or of each: multiples of the time step; 0 acts within the step and is allowed outside loops only.
    pub delay: Value,
    /// Whether learning leaves its weights, and which links there are, as they are. Errors pass through it all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fixed: bool,
    /// The index of the projection whose weights, transposed, are its own: what one learns the other does. Its own list of weights then stays out of files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tied: Option<usize>,
    /// Which links exist.
    pub links: Links,
    /// The weight of all links, or of each, source by source. Learning gives every link its own. Windows share their weights: a
    /// convolution has those of its kernel, pooling has one.
    #[serde(default = "no_weights", skip_serializing_if = "is_no_weights")]
    pub weights: Value<f32>,
}

fn no_weights() -> Value<f32> {
    Value::Each(Vec::new())
}

fn is_no_weights(weights: &Value<f32>) -> bool {
    weights.given().is_empty()
}

/// Noise: every neuron of a population hears a Poisson train of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drive {
    /// Target population.
    pub to: String,
    /// Mean rate of each train (events per second). Several events may fall into one step.
    pub rate: f64,
    /// Weight of each event.
    pub weight: f32,
}

/// Which links of a projection exist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Links {
    /// Every source to every target.
    All,
    /// Listed targets per source (compressed sparse rows): source `i` reaches `targets[ends[i]..ends[i + 1]]`, in ascending order.
    Csr {
        /// Row boundaries, one more than there are sources, from 0.
        ends: Vec<u32>,
        /// Target indices.
        targets: Vec<u32>,
    },
    /// Windows over an image, with shared weights.
    Conv2d(Conv2d),
    /// Sums over windows of an image.
    SumPool2d(SumPool2d),
}

impl Network {
    /// The description.
    pub fn draft(&self) -> &Draft {
        &self.0
    }
    /// Time step (s).
    pub fn dt(&self) -> f64 {
        self.0.dt
    }
    /// Number of links.
    pub fn links(&self) -> usize {
        self.0.projections.iter().map(|p| p.links.count(self.size(&p.from), self.size(&p.to))).sum()
    }
    /// Number of units of an input or population; 0 if there is none of this name.
    pub fn size(&self, name: &str) -> usize {
        size(&self.0, name).unwrap_or(0)
    }
    /// The same network with other weights: one list per projection, in order.
    ///
    /// # Errors
    /// If a list has another length than the projection's, or a weight is not finite.
    pub fn with_weights(&self, weights: Vec<Vec<f32>>) -> Result<Network, NetworkError> {
        let mut draft = Draft::clone(&self.0);
        if weights.len() != draft.projections.len() {
            return Err(NetworkError::Projections { expected: draft.projections.len(), found: weights.len() });
        }
        for (p, w) in draft.projections.iter_mut().zip(weights) {
            p.weights = Value::Each(w);
        }
        draft.try_into()
    }
}

impl From<Network> for Draft {
    fn from(net: Network) -> Draft {
        let mut draft = Arc::unwrap_or_clone(net.0);
        draft.projections.iter_mut().filter(|p| p.tied.is_some()).for_each(|p| p.weights = no_weights());
        draft
    }
}

impl Draft {
    /// A projection whose weights are those of another, and that other: for those who cannot keep two as one.
    pub fn tied(&self) -> Option<(&Projection, &Projection)> {
        self.projections.iter().find_map(|p| Some((p, self.projections.get(p.tied?)?)))
    }

    /// The only projection between these two.
    fn between(&self, from: &str, to: &str) -> Result<usize, String> {
        let mut found = (0..self.projections.len()).filter(|&k| (&*self.projections[k].from, &*self.projections[k].to) == (from, to));
        match (found.next(), found.next()) {
            (Some(k), None) => Ok(k),
            (None, _) => Err(format!("tied to `{from}` -> `{to}`, which does not exist")),
            _ => Err(format!("tied to `{from}` -> `{to}`, of which there are several; set `tied` of the description to the index of one")),
        }
    }

    /// Gives projection `k` the weights of the one that it is tied to.
    fn tie(&mut self, k: usize) -> Result<(), NetworkError> {
        let p = &self.projections[k];
        let Some(of) = p.tied else { return Ok(()) };
        let refuse = |why: String| Err(NetworkError::Projection { from: p.from.clone(), to: p.to.clone(), why });
        let Some(other) = self.projections.get(of).filter(|_| of != k) else {
            return refuse(format!("tied to projection {of}; name another one, there are {}, counted from 0", self.projections.len()));
        };
        let name = format!("`{}` -> `{}`", other.from, other.to);
        let sizes = [&p.from, &p.to, &other.from, &other.to].map(|name| size(self, name));
        let [Some(n), Some(m), Some(rows), Some(columns)] = sizes else { return Ok(()) }; // the unknown name is reported with the others
        let plain = |p: &Projection| p.links == Links::All && matches!(p.delay, Value::Shared(_));
        if other.tied.is_some() {
            return refuse(format!("tied to {name}, whose weights are themselves another's; tie it to that one"));
        }
        if !plain(p) || !plain(other) {
            return refuse(format!("tied to {name}: both must reach everybody, with one delay for all links"));
        }
        if (n, m) != (columns, rows) {
            return refuse(format!("{n} × {m} weights tied to the {rows} × {columns} of {name}, transposed: they must fit"));
        }
        if p.fixed != other.fixed {
            return refuse(format!("tied to {name}: both must be `fixed`, or neither"));
        }
        if !other.weights.fits(rows * columns) {
            return Ok(()); // reported there
        }
        let weights = match &other.weights {
            Value::Shared(w) => Value::Shared(*w),
            Value::Each(list) => Value::Each((0..n * m).map(|k| list[k % m * columns + k / m]).collect()),
        };
        let own = &p.weights;
        let same = own.fits(n * m) && (0..n * m).all(|k| own.at(k) == weights.at(k));
        if !(same || is_no_weights(own)) {
            return refuse(format!("its weights are not those of {name}, transposed, to which it is tied; leave them out"));
        }
        self.projections[k].weights = weights;
        Ok(())
    }
}

/// What is wrong with a network description, and where.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// Impossible time step.
    #[error("time step dt = {0} s: must be positive and finite")]
    Dt(f64),
    /// Empty name, or one that is taken.
    #[error("the name `{0}` is empty or used twice; inputs and populations need names of their own")]
    Name(String),
    /// Nothing in it.
    #[error("`{0}` has size 0; give it at least one unit")]
    Empty(String),
    /// More units than an index can name.
    #[error("`{name}` has size {size}; at most {} units have an index (32 bits)", u32::MAX)]
    Large {
        /// Input or population.
        name: String,
        /// Its size.
        size: usize,
    },
    /// Impossible neuron parameter.
    #[error("population `{population}` ({model}): {why}")]
    Parameter {
        /// Population.
        population: String,
        /// Neuron model.
        model: &'static str,
        /// The parameter and what it must be.
        why: String,
    },
    /// A name that nothing has.
    #[error("{place} names `{name}`, which does not exist; there are: {known}")]
    Unknown {
        /// Who names it.
        place: String,
        /// The name.
        name: String,
        /// What there is.
        known: String,
    },
    /// A projection that cannot be.
    #[error("projection `{from}` -> `{to}`: {why}")]
    Projection {
        /// Source.
        from: String,
        /// Target.
        to: String,
        /// Reason.
        why: String,
    },
    /// Noise that cannot be.
    #[error("the drive of `{to}`: {why}")]
    Drive {
        /// Target.
        to: String,
        /// Reason.
        why: String,
    },
    /// A loop without delay.
    #[error("the loop through `{0}` has no delay; give at least one of its projections a delay of one time step or more")]
    InstantLoop(String),
    /// Weights for another number of projections.
    #[error("weights for {found} projections given, the network has {expected}: give one list for each, in their order")]
    Projections {
        /// In the network.
        expected: usize,
        /// Given.
        found: usize,
    },
    /// No outputs.
    #[error("no output: name at least one population with `output`")]
    NoOutput,
}

/// Longest refractory period, in steps.
const MAX_REFRACTORY: f64 = 1e6;

impl TryFrom<Draft> for Network {
    type Error = NetworkError;

    fn try_from(mut draft: Draft) -> Result<Self, NetworkError> {
        (0..draft.projections.len()).try_for_each(|k| draft.tie(k))?;
        if !(draft.dt.is_finite() && draft.dt > 0.0) {
            return Err(NetworkError::Dt(draft.dt));
        }
        let mut sizes: HashMap<&str, usize> = HashMap::new();
        let groups = draft.inputs.iter().map(|i| (&i.name, i.size)).chain(draft.populations.iter().map(|p| (&p.name, p.size)));
        for (name, size) in groups.clone() {
            if name.is_empty() || sizes.insert(name, size).is_some() {
                return Err(NetworkError::Name(name.clone()));
            }
            if size == 0 {
                return Err(NetworkError::Empty(name.clone()));
            }
            if size > u32::MAX as usize {
                return Err(NetworkError::Large { name: name.clone(), size });
            }
        }
        let known = groups.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        for p in &draft.populations {
            let refuse = |why| NetworkError::Parameter { population: p.name.clone(), model: p.model.name(), why };
            p.model.check(p.size).map_err(refuse)?;
            p.check_train().map_err(refuse)?;
            Param::new("refractory", &p.refractory.into(), Range::NonNegative).check(1).map_err(refuse)?;
            Param::new("current", &p.current, Range::Finite).check(p.size).map_err(refuse)?;
            if let Some(escape) = p.escape {
                Param::new("escape.rate", &escape.rate.into(), Range::Positive).check(1).map_err(refuse)?;
                Param::new("escape.width", &escape.width.into(), Range::Positive).check(1).map_err(refuse)?;
                if !p.model.spikes() {
                    return Err(refuse("`escape`: the model does not spike".into()));
                }
            }
            if p.refractory > 0.0 && !p.model.spikes() {
                return Err(refuse(format!("`refractory` = {}: the model does not spike", p.refractory)));
            }
            if p.refractory / draft.dt >= MAX_REFRACTORY {
                return Err(refuse(format!("`refractory` = {} s: must be less than {MAX_REFRACTORY} steps", p.refractory)));
            }
        }
        let unknown = |place: String, name: &str| NetworkError::Unknown { place, name: name.into(), known: known.clone() };
        for p in &draft.projections {
            let place = || format!("projection `{}` -> `{}`", p.from, p.to);
            let sources = *sizes.get(p.from.as_str()).ok_or_else(|| unknown(place(), &p.from))?;
            let targets = *sizes.get(p.to.as_str()).ok_or_else(|| unknown(place(), &p.to))?;
            p.check(&draft, sources, targets).map_err(|why| NetworkError::Projection { from: p.from.clone(), to: p.to.clone(), why })?;
        }
        for d in &draft.drives {
            if !draft.populations.iter().any(|p| p.name == d.to) {
                return Err(unknown("a drive".into(), &d.to));
            }
            let refuse = |why: String| NetworkError::Drive { to: d.to.clone(), why };
            if !d.weight.is_finite() {
                return Err(refuse(format!("weight {}: must be finite", d.weight)));
            }
            Param::new("rate", &d.rate.into(), Range::NonNegative).check(1).map_err(refuse)?;
        }
        if draft.outputs.is_empty() {
            return Err(NetworkError::NoOutput);
        }
        for name in &draft.outputs {
            if !draft.populations.iter().any(|p| p.name == *name) {
                return Err(unknown("the list of outputs".into(), name));
            }
        }
        match instant_loop(&draft) {
            Some(name) => Err(NetworkError::InstantLoop(name)),
            None => Ok(Network(Arc::new(draft))),
        }
    }
}

impl Links {
    /// Number of weights between groups of these sizes: one per link, or those the links share.
    pub fn weights(&self, sources: usize, targets: usize) -> usize {
        match self {
            Links::All => sources * targets,
            Links::Csr { targets, .. } => targets.len(),
            Links::Conv2d(conv) => conv.weights(),
            Links::SumPool2d(_) => 1,
        }
    }

    /// What is impossible about these links between groups of these sizes, if anything is.
    pub(crate) fn check(&self, sources: usize, targets: usize) -> Result<(), String> {
        match self {
            Links::All => Ok(()),
            Links::Conv2d(conv) => conv.check(sources, targets),
            Links::SumPool2d(pool) => pool.depthwise().check(sources, targets),
            Links::Csr { ends, targets: list } => {
                let rows_fit = ends.len() == sources + 1 && ends.first() == Some(&0) && ends.windows(2).all(|w| w[0] <= w[1]);
                if !rows_fit || ends.last().map(|&e| e as usize) != Some(list.len()) {
                    return Err(format!("`ends` must rise from 0 to {} in {} entries", list.len(), sources + 1));
                }
                for (i, row) in ends.windows(2).map(|w| &list[w[0] as usize..w[1] as usize]).enumerate() {
                    if !row.windows(2).all(|w| w[0] < w[1]) || row.last().is_some_and(|&j| j as usize >= targets) {
                        return Err(format!("the targets of source {i} must ascend without repeats and stay below {targets}"));
                    }
                }
                Ok(())
            }
        }
    }

    /// Number of links between groups of these sizes.
    pub fn count(&self, sources: usize, targets: usize) -> usize {
        match self {
            Links::Conv2d(conv) => conv.links(),
            Links::SumPool2d(pool) => pool.depthwise().links(),
            links => links.weights(sources, targets),
        }
    }

    /// Every link as `(source, target, weight)`, by index, between groups of these sizes: source by source, targets ascending.
    pub fn triplets(&self, sources: usize, targets: usize) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        (0..sources).flat_map(move |i| {
            let (all, listed, window) = match self {
                Links::All => (0..targets, 0..0, None),
                Links::Csr { ends, .. } => (0..0, ends[i] as usize..ends[i + 1] as usize, None),
                Links::Conv2d(conv) => (0..0, 0..0, Some((*conv, usize::MAX))),
                Links::SumPool2d(pool) => (0..0, 0..0, Some((pool.depthwise(), 0))),
            };
            let list = if let Links::Csr { targets, .. } = self { &targets[..] } else { &[] };
            let all = all.map(move |j| (i, j, i * targets + j));
            let listed = listed.map(move |k| (i, list[k] as usize, k));
            let window = window.into_iter().flat_map(move |(conv, last)| conv.fan_out(i).map(move |(j, k)| (i, j, k.min(last))));
            all.chain(listed).chain(window)
        })
    }

    /// Whether several links have the same weight.
    fn shared(&self) -> bool {
        matches!(self, Links::Conv2d(_) | Links::SumPool2d(_))
    }
}

impl Projection {
    /// The delay of link `k` in time steps.
    pub fn delay_steps(&self, k: usize, dt: f64) -> usize {
        (self.delay.at(k) / dt).round() as usize
    }

    /// Whether some link acts within the step.
    fn instant(&self, dt: f64) -> bool {
        (0..self.delay.given().len()).any(|k| self.delay_steps(k, dt) == 0)
    }

    /// Which of the inputs of the target's model it goes to, by index; `None` if there is one, or the sign of each weight says which.
    pub fn port_of(&self, model: &Model) -> Option<usize> {
        let ports = model.ports();
        if model.apart() || ports.len() == 1 { None } else { ports.iter().position(|port| Some(*port) == self.port.as_deref()) }
    }

    fn check_port(&self, model: &Model) -> Result<(), String> {
        let (ports, several) = (model.ports().join(", "), !model.apart() && model.ports().len() > 1);
        match &self.port {
            Some(port) if !several => Err(format!("port `{port}`: {} has no ports to choose from; leave it out", model.name())),
            Some(port) if self.port_of(model).is_none() => Err(format!("port `{port}`: {} has the ports {ports}", model.name())),
            None if several => Err(format!("{} has the ports {ports}: say with `port` which one it goes to", model.name())),
            _ => Ok(()),
        }
    }

    fn check(&self, draft: &Draft, sources: usize, targets: usize) -> Result<(), String> {
        let Some(to) = draft.populations.iter().find(|p| p.name == self.to) else {
            return Err("an input cannot be a target".into());
        };
        self.check_port(&to.model)?;
        if let Some(from) = draft.populations.iter().find(|p| p.name == self.from && !p.model.output().is_events()) {
            return Err(format!(
                "`{}` ({}) does not spike: its output is read out, not sent; only inputs and populations with events can be sources",
                from.name,
                from.model.name()
            ));
        }
        let possible = |delay: &f64| {
            let steps = delay / draft.dt;
            steps.is_finite() && steps >= 0.0 && (steps - steps.round()).abs() < 1e-6 && steps < 1e6
        };
        if let Some(delay) = self.delay.given().iter().find(|&delay| !possible(delay)) {
            return Err(format!("delay {delay} s must be a multiple (0, 1, 2, …) of the time step {} s", draft.dt));
        }
        self.links.check(sources, targets)?;
        if self.links.shared() && matches!(self.delay, Value::Each(_)) {
            return Err("links that share their weights share their delay too; give one number".into());
        }
        let count = self.links.weights(sources, targets);
        let of = if self.links.shared() { "shared weights" } else { "links" };
        for (what, fits, given) in [
            ("weights", self.weights.fits(count), self.weights.given().len()),
            ("delays", self.delay.fits(count), self.delay.given().len()),
        ] {
            if !fits {
                return Err(format!("{given} {what} for {count} {of}; give one number, or one for each of the {of}"));
            }
        }
        match self.weights.given().iter().position(|w| !w.is_finite()) {
            Some(k) => Err(format!("weight {k} is {}; weights must be finite", self.weights.at(k))),
            None => Ok(()),
        }
    }
}

/// Number of units of an input or population.
fn size(draft: &Draft, name: &str) -> Option<usize> {
    let sizes = draft.inputs.iter().map(|i| (&i.name, i.size)).chain(draft.populations.iter().map(|p| (&p.name, p.size)));
    sizes.filter(|(n, _)| *n == name).map(|(_, size)| size).next()
}

/// A population on a loop whose projections all have zero delay.
fn instant_loop(draft: &Draft) -> Option<String> {
    // Peel off populations that no remaining instant projection enters; what cannot be peeled is a loop.
    let mut left: Vec<&str> = draft.populations.iter().map(|p| p.name.as_str()).collect();
    let instant: Vec<_> = draft.projections.iter().filter(|p| p.instant(draft.dt)).collect();
    loop {
        let entered = |name: &str| instant.iter().any(|p| p.to == name && left.contains(&p.from.as_str()));
        let next: Vec<&str> = left.iter().copied().filter(|name| entered(name)).collect();
        if next.len() == left.len() {
            return next.first().map(|name| (*name).to_owned());
        }
        left = next;
    }
}

/// Which links a projection of [`Net`] makes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Connect {
    /// Every source to every target.
    All,
    /// The sources `start..end` to every target: where different populations hear different parts of one input.
    Sources {
        /// The first source.
        start: usize,
        /// The source after the last.
        end: usize,
    },
    /// Source `i` to target `i`.
    OneToOne,
    /// `round(p · sources · targets)` distinct links, drawn uniformly.
    Random {
        /// Share of all possible links.
        p: f64,
    },
    /// This many links to every target, from distinct sources drawn uniformly: "fixed in-degree".
    InDegree(usize),
    /// Windows over an image, with shared weights.
    Conv2d(Conv2d),
    /// Sums over windows of an image; the weight is a factor on the sums.
    SumPool2d(SumPool2d),
}

/// How a projection of [`Net`] draws its weights.
#[derive(Clone, Debug, PartialEq)]
pub enum Init {
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// Uniform on ± this bound.
    Uniform(f64),
    /// All the same.
    Constant(f32),
}

impl Init {
    /// Normal with mean 0 and standard deviation `std`.
    pub const fn normal(std: f64) -> Self {
        Init::Normal(std)
    }
    /// Uniform on `±bound`.
    pub const fn uniform(bound: f64) -> Self {
        Init::Uniform(bound)
    }
}

/// Builds a [`Network`] so that it reads like a methods section. Mistakes are reported by [`Net::build`], all names given.
#[derive(Clone, Debug, Default)]
pub struct Net {
    draft: Draft,
    plans: Vec<Plan>,
}

/// How a projection is drawn.
#[derive(Clone, Debug)]
struct Plan {
    connect: Connect,
    init: Init,
    delays: Option<(f64, f64)>,
    autapses: bool,
    tied: Option<(String, String)>,
}

impl Net {
    /// An empty network with a time step of `dt` seconds.
    pub fn new(dt: f64) -> Self {
        Net { draft: Draft { dt, ..Draft::default() }, plans: Vec::new() }
    }
    /// Adds input channels.
    pub fn input(mut self, name: &str, size: usize) -> Self {
        self.draft.inputs.push(Input { name: name.into(), size });
        self
    }
    /// Adds a population.
    pub fn population(mut self, name: &str, size: usize, model: impl Into<Model>) -> Self {
        self.draft.populations.push(Population {
            name: name.into(),
            size,
            refractory: 0.0,
            current: nothing(),
            escape: None,
            train: Vec::new(),
            model: model.into(),
        });
        self
    }
    /// Gives the last population a refractory period (s).
    pub fn refractory(self, period: f64) -> Self {
        self.last(|p| p.refractory = period)
    }
    /// Gives the neurons of the last population a constant current: an input at every step.
    pub fn current(self, current: impl Into<Value>) -> Self {
        self.last(|p| p.current = current.into())
    }
    /// Gives the last population exponential escape noise: see [`Escape`].
    pub fn escape(self, rate: f64, width: f64) -> Self {
        self.last(|p| p.escape = Some(Escape { rate, width, transfer: Transfer::Exponential }))
    }
    /// Gives the last population linear escape noise: see [`Escape`].
    pub fn escape_linear(self, rate: f64, width: f64) -> Self {
        self.last(|p| p.escape = Some(Escape { rate, width, transfer: Transfer::Linear }))
    }
    /// Lets parameters of the last population be learned, one value per neuron: see [`Population::train`].
    pub fn train(self, names: &[&str]) -> Self {
        self.last(|p| p.train = names.iter().map(|&name| name.into()).collect())
    }
    /// Changes the last population.
    fn last(mut self, change: impl FnOnce(&mut Population)) -> Self {
        self.draft.populations.last_mut().map(change);
        self
    }
    /// Adds a projection without delay: see [`Net::delay`].
    pub fn project(mut self, from: &str, to: &str, connect: Connect, init: Init) -> Self {
        let (delay, links, weights) = (Value::Shared(0.0), Links::All, Value::Each(Vec::new()));
        self.draft.projections.push(Projection {
            from: from.into(),
            to: to.into(),
            port: None,
            delay,
            fixed: false,
            tied: None,
            links,
            weights,
        });
        self.plans.push(Plan { connect, init, delays: None, autapses: true, tied: None });
        self
    }
    /// Lets the last projection go to this input of its target's model.
    pub fn port(mut self, name: &str) -> Self {
        if let Some(p) = self.draft.projections.last_mut() {
            p.port = Some(name.into());
        }
        self
    }
    /// Lets learning leave the weights of the last projection as they are: see [`Projection::fixed`].
    pub fn fixed(mut self) -> Self {
        if let Some(p) = self.draft.projections.last_mut() {
            p.fixed = true;
        }
        self
    }
    /// Gives the last projection the weights of the one between these two, transposed, in the place of those it would draw; what one learns the other does. An output layer that is the
    /// embedding of a language model:
    ///
    /// ```
    /// use snn_core::{Net, Seed, net::{Connect, Init}, neuron::{Li, Linear}};
    /// let net = Net::new(1.0).input("words", 50).population("embedding", 8, Linear::default()).population("out", 50, Li::default())
    ///     .project("words", "embedding", Connect::All, Init::normal(0.1))
    ///     .project("embedding", "out", Connect::All, Init::Constant(0.0)).tied("words", "embedding")
    ///     .output("out").build(Seed::new(1))?;
    /// let [first, second] = &net.draft().projections[..] else { unreachable!() };
    /// assert_eq!(first.weights.at(7 * 8 + 3), second.weights.at(3 * 50 + 7));
    /// # Ok::<(), snn_core::NetworkError>(())
    /// ```
    pub fn tied(mut self, from: &str, to: &str) -> Self {
        if let Some(plan) = self.plans.last_mut() {
            plan.tied = Some((from.into(), to.into()));
        }
        self
    }
    /// Takes the links of each unit to itself out of the last projection: it then has listed links. [`Connect::Random`] draws none of them.
    pub fn without_autapses(mut self) -> Self {
        if let Some(plan) = self.plans.last_mut() {
            plan.autapses = false;
        }
        self
    }
    /// Gives the last projection a delay (s), or a list of delays, one per link.
    pub fn delay(mut self, delay: impl Into<Value>) -> Self {
        if let Some(p) = self.draft.projections.last_mut() {
            p.delay = delay.into();
        }
        self
    }
    /// Gives every link of the last projection a delay of its own, uniform among the multiples of the time step from `low` to `high` (s).
    pub fn delays(mut self, low: f64, high: f64) -> Self {
        if let Some(plan) = self.plans.last_mut() {
            plan.delays = Some((low, high));
        }
        self
    }
    /// Lets every neuron of a population hear Poisson noise of its own: `rate` events per second of weight `weight`.
    pub fn drive(mut self, to: &str, rate: f64, weight: f32) -> Self {
        self.draft.drives.push(Drive { to: to.into(), rate, weight });
        self
    }
    /// Names a population to be read out.
    pub fn output(mut self, name: &str) -> Self {
        self.draft.outputs.push(name.into());
        self
    }

    /// Draws links and weights from streams named after each projection, and checks everything.
    ///
    /// # Errors
    /// [`NetworkError`], naming the population or projection.
    pub fn build(mut self, seed: Seed) -> Result<Network, NetworkError> {
        let mut seen: HashMap<String, u64> = HashMap::new();
        let dt = self.draft.dt;
        for (k, plan) in self.plans.iter().enumerate() {
            let p = &self.draft.projections[k];
            let refuse = |why: String| NetworkError::Projection { from: p.from.clone(), to: p.to.clone(), why };
            // Unknown names are left to the final check, which lists the known ones.
            let (Some(n), Some(m)) = (size(&self.draft, &p.from), size(&self.draft, &p.to)) else { continue };
            let nth = seen.entry(format!("{}->{}", p.from, p.to)).or_default();
            let stream = seed.child(&format!("{}->{}", p.from, p.to)).nth(*nth);
            *nth += 1;
            if !plan.autapses && p.from != p.to {
                return Err(refuse("only a projection from a population to itself has autapses to leave out".into()));
            }
            let links = plan.connect.expand(n, m, plan.autapses, stream.child("links")).map_err(refuse)?;
            let count = links.weights(n, m);
            let tied = plan.tied.as_ref().map(|(from, to)| self.draft.between(from, to).map_err(refuse)).transpose()?;
            let weights = match tied {
                Some(_) => no_weights(),
                None => plan.init.draw(count, stream.child("weights")).map_err(refuse)?,
            };
            let delays = plan.delays.map(|range| delays(range, dt, count, stream.child("delays")).map_err(refuse)).transpose()?;
            let p = &mut self.draft.projections[k];
            (p.links, p.weights, p.tied) = (links, weights, tied);
            p.delay = delays.unwrap_or_else(|| std::mem::replace(&mut p.delay, Value::Shared(0.0)));
        }
        self.draft.try_into()
    }
}

impl Connect {
    fn expand(self, sources: usize, targets: usize, autapses: bool, seed: Seed) -> Result<Links, String> {
        match self {
            Connect::All if !autapses => {
                let others = |i: u32| (0..targets as u32).filter(move |&j| j != i);
                let ends = (0..=sources as u32).map(|i| i * (targets as u32 - 1)).collect();
                Ok(Links::Csr { ends, targets: (0..sources as u32).flat_map(others).collect() })
            }
            Connect::All => Ok(Links::All),
            Connect::Sources { .. } | Connect::OneToOne | Connect::InDegree(_) | Connect::Conv2d(_) | Connect::SumPool2d(_)
                if !autapses =>
            {
                Err("autapses can be left out of `All` and `Random` only".into())
            }
            Connect::Conv2d(conv) => conv.check(sources, targets).map(|()| Links::Conv2d(conv)),
            Connect::SumPool2d(pool) => pool.depthwise().check(sources, targets).map(|()| Links::SumPool2d(pool)),
            Connect::Sources { start, end } if start >= end || end > sources => {
                Err(format!("sources {start} to {end}: give a range of the {sources} sources, the end after the start"))
            }
            Connect::Sources { start, end } => {
                let ends = (0..=sources).map(|i| ((i.clamp(start, end) - start) * targets) as u32).collect();
                Ok(Links::Csr { ends, targets: (start..end).flat_map(|_| 0..targets as u32).collect() })
            }
            Connect::OneToOne if sources != targets => Err(format!("one-to-one needs equal sizes, not {sources} and {targets}")),
            Connect::OneToOne => Ok(Links::Csr { ends: (0..=sources as u32).collect(), targets: (0..targets as u32).collect() }),
            Connect::Random { p } if !(0.0..=1.0).contains(&p) => Err(format!("connection probability {p}: must be between 0 and 1")),
            Connect::Random { p } => {
                // Selection sampling (Knuth 3.4.2 S): each cell is taken with probability needed / left.
                let mut rng = seed.rng();
                let cells = if autapses { sources * targets } else { sources * (targets - 1) };
                let (mut left, mut needed) = (cells as u64, (p * cells as f64).round() as u64);
                let (mut ends, mut list) = (vec![0], Vec::with_capacity(needed as usize));
                for i in 0..sources as u32 {
                    for j in (0..targets as u32).filter(|&j| autapses || i != j) {
                        if needed > 0 && rng.random_range(0..left) < needed {
                            list.push(j);
                            needed -= 1;
                        }
                        left -= 1;
                    }
                    ends.push(list.len() as u32);
                }
                Ok(Links::Csr { ends, targets: list })
            }
            Connect::InDegree(k) if k.saturating_mul(targets) > u32::MAX as usize => {
                Err(format!("{k} links to each of {targets} targets are more than a projection holds ({})", u32::MAX))
            }
            Connect::InDegree(k) if k > sources => Err(format!("in-degree {k}: there are only {sources} sources")),
            Connect::InDegree(k) => {
                // The same draws twice: first to count the links of each source, then to put them in place, targets ascending.
                let mut ends = vec![0u32; sources + 1];
                in_degrees(k, sources, targets, seed, |i, _| ends[i + 1] += 1);
                (0..sources).for_each(|i| ends[i + 1] += ends[i]);
                let (mut list, mut next) = (vec![0u32; k * targets], ends.clone());
                in_degrees(k, sources, targets, seed, |i, j| {
                    list[next[i] as usize] = j;
                    next[i] += 1;
                });
                Ok(Links::Csr { ends, targets: list })
            }
        }
    }
}

/// Calls `link(source, target)` for `k` distinct sources of every target.
fn in_degrees(k: usize, sources: usize, targets: usize, seed: Seed, mut link: impl FnMut(usize, u32)) {
    // Draws the smaller side, the sources taken or those left out, and again where one was drawn before.
    let (mut rng, few) = (seed.rng(), k.min(sources - k));
    let (mut drawn, mut list) = (vec![false; sources], Vec::with_capacity(few));
    for j in 0..targets as u32 {
        while list.len() < few {
            let i = rng.random_range(0..sources as u32) as usize;
            if !std::mem::replace(&mut drawn[i], true) {
                list.push(i);
            }
        }
        if few == k {
            list.iter().for_each(|&i| link(i, j));
        } else {
            (0..sources).filter(|&i| !drawn[i]).for_each(|i| link(i, j));
        }
        list.drain(..).for_each(|i| drawn[i] = false);
    }
}

/// A delay per link, uniform among the multiples of `dt` from `low` to `high`.
fn delays((low, high): (f64, f64), dt: f64, count: usize, seed: Seed) -> Result<Value, String> {
    let (first, last) = ((low / dt).round(), (high / dt).round());
    if !(first >= 0.0 && first <= last && last < 1e6) {
        return Err(format!("delays from {low} s to {high} s: give 0 ≤ low ≤ high, less than a million time steps"));
    }
    let mut rng = seed.rng();
    Ok(Value::Each((0..count).map(|_| rng.random_range(first as u32..=last as u32) as f64 * dt).collect()))
}

impl Init {
    fn draw(&self, count: usize, seed: Seed) -> Result<Value<f32>, String> {
        let mut rng = seed.rng();
        let finite = |name: &str, x: f64| {
            if x.is_finite() && x >= 0.0 { Ok(x) } else { Err(format!("weight {name} {x}: must be finite and ≥ 0")) }
        };
        Ok(match *self {
            Init::Normal(std) => {
                let normal = Normal::new(0.0, finite("standard deviation", std)?).map_err(|e| e.to_string())?;
                Value::Each((0..count).map(|_| normal.sample(&mut rng) as f32).collect())
            }
            Init::Uniform(bound) => {
                let bound = finite("bound", bound)?;
                Value::Each((0..count).map(|_| (bound * (2.0 * rng.random::<f64>() - 1.0)) as f32).collect())
            }
            Init::Constant(w) => Value::Shared(w),
        })
    }
}

/// Milliseconds in seconds.
pub const fn ms(x: f64) -> f64 {
    x * 1e-3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neuron::{Alif, Egru, Li, Lif};

    fn good() -> Net {
        Net::new(ms(1.0))
            .input("in", 5)
            .population("a", 4, Alif::default())
            .population("out", 2, Li::default())
            .project("in", "a", Connect::All, Init::normal(0.5))
            .project("a", "a", Connect::Random { p: 0.5 }, Init::uniform(0.5))
            .delay(ms(1.0))
            .project("a", "out", Connect::All, Init::Constant(0.25))
            .output("out")
    }

    fn refused(net: Net) -> String {
        net.build(Seed::new(1)).unwrap_err().to_string()
    }

    #[test]
    fn mistakes_are_named() {
        let has = |net: Net, words: &[&str]| {
            let text = refused(net);
            assert!(words.iter().all(|w| text.contains(w)), "{text} lacks one of {words:?}");
        };
        let mut zero_dt = good();
        zero_dt.draft.dt = 0.0;
        has(zero_dt, &["dt = 0"]);
        has(good().population("a", 3, Lif::default()), &["`a`", "used twice"]);
        has(good().population("none", 0, Lif::default()), &["`none`", "size 0"]);
        has(good().population("b", 3, Lif { tau: Value::Shared(0.0), ..Lif::default() }), &["`b`", "lif", "`tau`", "positive"]);
        has(good().project("in", "hidden", Connect::All, Init::normal(1.0)), &["`in` -> `hidden`", "there are: in, a, out"]);
        has(good().project("a", "in", Connect::All, Init::normal(1.0)), &["`a` -> `in`", "input cannot be a target"]);
        has(good().project("out", "a", Connect::All, Init::normal(1.0)), &["`out` (li) does not spike"]);
        has(good().project("in", "a", Connect::OneToOne, Init::normal(1.0)), &["one-to-one", "5 and 4"]);
        has(good().project("in", "a", Connect::Sources { start: 3, end: 6 }, Init::normal(1.0)), &["sources 3 to 6", "the 5 sources"]);
        has(good().project("in", "a", Connect::Sources { start: 3, end: 3 }, Init::normal(1.0)), &["sources 3 to 3"]);
        has(good().project("in", "a", Connect::InDegree(6), Init::normal(1.0)), &["in-degree 6", "only 5"]);
        has(good().drive("b", 10.0, 1.0), &["a drive", "`b`"]);
        has(good().drive("a", -1.0, 1.0), &["drive of `a`", "`rate` = -1"]);
        has(good().drive("a", 1.0, f32::NAN), &["drive of `a`", "weight NaN"]);
        has(good().project("in", "a", Connect::All, Init::normal(1.0)).delay(vec![ms(1.0); 3]), &["3 delays for 20 links"]);
        has(good().project("in", "a", Connect::All, Init::normal(1.0)).delays(ms(2.0), ms(1.0)), &["delays from 0.002 s to 0.001 s"]);
        has(good().project("in", "a", Connect::Random { p: 1.5 }, Init::normal(1.0)), &["probability 1.5"]);
        has(good().project("in", "a", Connect::All, Init::normal(f64::NAN)), &["standard deviation NaN"]);
        has(good().project("in", "a", Connect::All, Init::Constant(f32::NAN)), &["weight 0 is NaN"]);
        has(good().project("in", "a", Connect::All, Init::normal(1.0)).delay(0.0015), &["delay 0.0015 s", "multiple"]);
        has(good().project("a", "a", Connect::All, Init::normal(1.0)), &["loop through `a`"]);
        has(good().project("in", "a", Connect::All, Init::normal(1.0)).without_autapses(), &["`in` -> `a`", "has autapses to leave out"]);
        has(good().project("a", "a", Connect::InDegree(2), Init::normal(1.0)).without_autapses(), &["`All` and `Random` only"]);
        has(good().population("b", 3, Lif::default()).refractory(-1.0), &["`b` (lif)", "`refractory` = -1"]);
        has(good().population("b", 3, Li::default()).current(vec![1.0]), &["`b` (li)", "`current` has 1 values for 3"]);
        has(good().population("b", 3, Li::default()).refractory(1.0), &["`b` (li)", "does not spike"]);
        has(good().population("b", 3, Lif::default()).escape(10.0, 0.0), &["`b` (lif)", "`escape.width` = 0"]);
        has(good().population("b", 3, Lif::default()).escape(f64::NAN, 1.0), &["`b` (lif)", "`escape.rate` = NaN"]);
        has(good().population("b", 3, Li::default()).escape(10.0, 1.0), &["`b` (li)", "`escape`", "does not spike"]);
        has(
            good().population("b", 3, Lif::default()).train(&["reset_grad"]),
            &["`b` (lif)", "`reset_grad`", "there are: tau, v_th, current"],
        );
        has(good().population("b", 3, Lif::default()).train(&["tau", "tau"]), &["`b` (lif)", "`tau` twice"]);
        let gated = |net: Net| net.population("b", 3, Egru::default()).project("a", "b", Connect::All, Init::normal(1.0));
        has(gated(good()), &["`a` -> `b`", "egru has the ports z, r, g, h", "`port`"]);
        has(gated(good()).port("x"), &["`a` -> `b`", "port `x`", "z, r, g, h"]);
        has(good().project("in", "a", Connect::All, Init::normal(1.0)).port("z"), &["port `z`", "alif has no ports"]);
        has(good().output("b"), &["outputs", "`b`"]);
        has(Net::new(ms(1.0)).input("in", 2), &["no output"]);
    }

    #[test]
    fn survives_json_and_adding_a_part_changes_no_other() {
        let net = good().build(Seed::new(3)).unwrap();
        let text = serde_json::to_string(&net).unwrap();
        assert_eq!(serde_json::from_str::<Network>(&text).unwrap(), net);
        let more =
            good().population("b", 7, Lif::default()).project("in", "b", Connect::All, Init::normal(0.5)).build(Seed::new(3)).unwrap();
        for (p, q) in net.draft().projections.iter().zip(&more.draft().projections) {
            assert_eq!(p, q);
        }
        assert!(
            serde_json::from_str::<Network>(&text.replace("\"delay\":0.0", "\"delay\":-1.0")).unwrap_err().to_string().contains("delay -1")
        );
    }

    /// 2 × 6 × 5 -> 4 × 2 × 3, then sums of 1 × 3.
    fn windows() -> (Conv2d, SumPool2d) {
        (Conv2d::new(2, 6, 5, 4, (3, 3)).stride((3, 2)).padding((0, 1)).groups(2), SumPool2d::new(4, 2, 3, (1, 3)))
    }

    fn image(conv: Conv2d, pool: SumPool2d) -> Net {
        Net::new(ms(1.0))
            .input("image", 60)
            .population("edges", 24, Lif::default())
            .population("places", 8, Lif::default())
            .project("image", "edges", Connect::Conv2d(conv), Init::normal(0.5))
            .project("edges", "places", Connect::SumPool2d(pool), Init::Constant(0.5))
            .output("places")
    }

    #[test]
    fn windows_survive_json_and_have_defaults() {
        let (conv, pool) = windows();
        let net = image(conv, pool).build(Seed::new(3)).unwrap();
        assert_eq!(net.draft().projections[0].weights.given().len(), 4 * 9);
        let links = |k: usize| net.draft().projections[k].links.triplets(net.size(&net.draft().projections[k].from), 24).count();
        assert_eq!(net.links(), links(0) + links(1));
        let text = serde_json::to_string(&net).unwrap();
        assert!(
            text.contains(r#""links":{"conv2d":{"channels_in":2"#) && text.contains(r#""links":{"sum_pool2d":{"channels":4"#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Network>(&text).unwrap(), net);
        let short = r#"{"conv2d": {"channels_in": 1, "height": 8, "width": 9, "channels_out": 3, "kernel": [3, 2]}}"#;
        assert_eq!(serde_json::from_str::<Links>(short).unwrap(), Links::Conv2d(Conv2d::new(1, 8, 9, 3, (3, 2))));
    }

    #[test]
    fn impossible_windows_are_named() {
        let (conv, pool) = windows();
        let has = |net: Net, word: &str| {
            let text = refused(net);
            assert!(text.contains(word), "{text} lacks {word}");
        };
        has(image(Conv2d { stride: (0, 1), ..conv }, pool), "`image` -> `edges`: stride (0, 1): both must be 1 or more");
        has(image(conv.padding((usize::MAX, 0)), pool), "padding (18446744073709551615, 0)");
        has(image(conv.groups(3), pool), "3 groups: must be 1 or more and divide the channels, 2 in and 4 out");
        has(image(conv.groups(0), pool), "0 groups");
        has(image(Conv2d { height: 7, ..conv }, pool), "the source must have 2 × 7 × 5 (channels × height × width) = 70 units, not 60");
        has(image(Conv2d { height: usize::MAX, ..conv }, pool), "units, not 60");
        has(image(conv.dilation((1, 4)), pool), "the window's width 9 does not fit into 5 with a padding of 1 on each side");
        has(image(conv.stride((1, 2)), pool), "the target must have 4 × 4 × 3 (channels × height × width) = 48 units, not 24");
        has(image(conv, pool.stride((1, 2)).padding((0, 1))), "`edges` -> `places`: the target must have 4 × 2 × 2");
        let huge = Conv2d::new(2, 6, 5, 4, (1 << 20, 1 << 20)).padding((1 << 20, 1 << 20)).stride((1 << 30, 1 << 30));
        has(image(huge, pool).population("x", 4, Lif::default()).project("image", "x", Connect::Conv2d(huge), Init::normal(1.0)), "not 24");
        has(
            Net::new(ms(1.0)).input("image", 60).population("x", 4, Lif::default()).project(
                "image",
                "x",
                Connect::Conv2d(huge),
                Init::Constant(1.0),
            ),
            "are more than a projection holds",
        );
        has(image(conv, pool).delay(vec![ms(1.0); 24]), "share their delay too");
        let mut draft = Draft::from(image(conv, pool).build(Seed::new(3)).unwrap());
        draft.projections[0].weights = vec![1.0; 30].into();
        let error = Network::try_from(draft).unwrap_err().to_string();
        assert!(error.contains("30 weights for 36 shared weights"), "{error}");
    }

    #[test]
    fn sizes_beyond_an_index_are_refused() {
        let mut draft = Draft::from(good().build(Seed::new(3)).unwrap());
        for size in [1 << 32, usize::MAX] {
            (draft.inputs[0].size, draft.populations[0].size) = (size, size);
            let error = Network::try_from(draft.clone()).unwrap_err().to_string();
            assert!(error.contains(&format!("`in` has size {size}; at most 4294967295 units")), "{error}");
        }
    }

    #[test]
    fn no_unit_reaches_itself_without_autapses() {
        for (connect, expected) in [(Connect::All, 12), (Connect::Random { p: 0.5 }, 6), (Connect::Random { p: 1.0 }, 12)] {
            let net = good().project("a", "a", connect, Init::normal(1.0)).without_autapses().delay(ms(1.0)).build(Seed::new(1)).unwrap();
            let links: Vec<_> = net.draft().projections[3].links.triplets(4, 4).collect();
            assert!(links.len() == expected && links.iter().all(|link| link.0 != link.1), "{links:?}");
        }
    }

    #[test]
    fn a_range_of_sources_reaches_everybody() {
        let net = good().project("in", "a", Connect::Sources { start: 1, end: 3 }, Init::normal(1.0)).build(Seed::new(1)).unwrap();
        let links: Vec<_> = net.draft().projections[3].links.triplets(5, 4).collect();
        assert_eq!(links, (0..8).map(|k| (1 + k / 4, k % 4, k)).collect::<Vec<_>>());
    }

    #[test]
    fn random_links_are_exact_in_number() {
        let net = good().build(Seed::new(3)).unwrap();
        assert_eq!(net.draft().projections[1].weights.given().len(), 8);
        for k in 0..=5 {
            let net = good().project("in", "a", Connect::InDegree(k), Init::Constant(1.0)).delays(ms(1.0), ms(3.0));
            let net = net.build(Seed::new(3)).unwrap();
            let p = &net.draft().projections[3];
            let degree = |j: usize| p.links.triplets(5, 4).filter(|link| link.1 == j).count();
            assert!((0..4).all(|j| degree(j) == k), "in-degree {k}");
            assert!((0..4 * k).all(|link| (1..=3).contains(&p.delay_steps(link, ms(1.0)))));
        }
    }
}
