//! Networks built so that they read like a methods section.

use super::{
    Conv2d, Draft, Drive, Escape, Input, Links, Network, NetworkError, Population, Projection, SumPool2d, Transfer, no_weights, nothing,
    size,
};
use crate::neuron::Model;
use crate::{Seed, Value};
use rand::RngExt;
use rand_distr::{Distribution, Normal};
use std::collections::HashMap;

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
