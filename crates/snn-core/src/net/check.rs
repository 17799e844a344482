//! What a network description must fulfil, and the errors that say what it does not.

use super::{Draft, Links, Network, Projection};
use crate::Value;
use crate::neuron::{Model, Param, Range};
use std::collections::HashMap;
use std::sync::Arc;

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
/// Most events of a drive in a step: what drawing them costs grows with their number.
const MAX_DRIVE: f64 = 1e6;

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
            if d.rate * draft.dt > MAX_DRIVE {
                return Err(refuse(format!("rate {} Hz: must be at most {MAX_DRIVE} events in a time step of {} s", d.rate, draft.dt)));
            }
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
}

impl Projection {
    /// Whether some link acts within the step.
    fn instant(&self, dt: f64) -> bool {
        (0..self.delay.given().len()).any(|k| self.delay_steps(k, dt) == 0)
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
