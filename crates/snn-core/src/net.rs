//! The network description: populations joined by projections. Data only; engines give it behaviour.

mod builder;
mod check;
mod conv2d;

pub use builder::{Connect, Init, Net};
pub use check::NetworkError;
pub use conv2d::{Axis, Conv2d, SumPool2d};

use crate::Value;
use crate::neuron::{Model, Range};
use serde::{Deserialize, Serialize};
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
    /// Mean rate of each train (events per second). Several events may fall into one step, a million on average at most.
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

    /// Which of the inputs of the target's model it goes to, by index; `None` if there is one, or the sign of each weight says which.
    pub fn port_of(&self, model: &Model) -> Option<usize> {
        let ports = model.ports();
        if model.apart() || ports.len() == 1 { None } else { ports.iter().position(|port| Some(*port) == self.port.as_deref()) }
    }
}

/// Number of units of an input or population.
fn size(draft: &Draft, name: &str) -> Option<usize> {
    let sizes = draft.inputs.iter().map(|i| (&i.name, i.size)).chain(draft.populations.iter().map(|p| (&p.name, p.size)));
    sizes.filter(|(n, _)| *n == name).map(|(_, size)| size).next()
}

/// Milliseconds in seconds.
pub const fn ms(x: f64) -> f64 {
    x * 1e-3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;
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
        has(Net::new(0.0).population("out", 2, Li::default()).output("out"), &["dt = 0"]);
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
        has(good().drive("a", 1e12, 1.0), &["drive of `a`", "1000000000000 Hz", "events in a time step"]);
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
