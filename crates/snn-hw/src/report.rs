//! What becomes of a network on a machine.

use serde::Serialize;
use snn_core::Network;
use std::fmt;

/// What becomes of a network on a machine, by the names of the description.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Machine.
    pub machine: &'static str,
    /// Neurons of the network.
    pub neurons: usize,
    /// Its links.
    pub links: usize,
    /// Everything that does not go onto the machine as it is described.
    pub findings: Vec<Finding>,
    /// What it takes of what there is.
    pub resources: Vec<Resource>,
    /// Time the machine needs for a second of the network (s), if it is known before a run: 1 is real time.
    pub seconds_per_second: Option<f64>,
}

/// One thing that does not go onto the machine as it is described.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// How bad it is.
    pub kind: Kind,
    /// What happens, with numbers; of a refusal also what to do.
    pub what: String,
    /// The share that is concerned, 0…1: of links lost, of weights rounded to another number.
    pub share: f64,
}

/// A part of a network, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// All of it.
    Network,
    /// A population.
    Population(String),
    /// A projection.
    Projection {
        /// Source.
        from: String,
        /// Target.
        to: String,
    },
}

/// How bad a finding is, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Kept, with coarser numbers.
    Quantised,
    /// Cut off at the largest number there is.
    Clipped,
    /// Kept, but it takes longer or costs more than the machine is made for.
    Slow,
    /// Not there any more.
    Lost,
    /// Cannot be there: the network does not go onto the machine.
    Refused,
}

/// Something there is a limited amount of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Resource {
    /// What.
    pub name: &'static str,
    /// Taken.
    pub used: f64,
    /// There is; `None`: no limit.
    pub limit: Option<f64>,
    /// Unit; may be empty.
    pub unit: &'static str,
}

impl Report {
    /// Of a network that goes onto the machine as it is.
    pub fn new(machine: &'static str, network: &Network) -> Self {
        let neurons = network.draft().populations.iter().map(|p| p.size).sum();
        Report { machine, neurons, links: network.links(), findings: Vec::new(), resources: Vec::new(), seconds_per_second: None }
    }

    /// Adds a finding.
    pub fn find(&mut self, kind: Kind, place: Place, share: f64, what: impl Into<String>) {
        self.findings.push(Finding { place, kind, what: what.into(), share });
    }

    /// Adds a resource.
    pub fn resource(&mut self, name: &'static str, used: f64, limit: Option<f64>, unit: &'static str) {
        self.resources.push(Resource { name, used, limit, unit });
    }

    /// What is refused.
    pub fn refusals(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.kind == Kind::Refused)
    }

    /// An error if anything is refused.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn accepted(&self) -> Result<(), MapError> {
        let refused: Vec<Finding> = self.refusals().cloned().collect();
        if refused.is_empty() { Ok(()) } else { Err(MapError { machine: self.machine, refused }) }
    }
}

impl Place {
    /// A projection.
    pub fn projection(p: &snn_core::net::Projection) -> Self {
        Place::Projection { from: p.from.clone(), to: p.to.clone() }
    }
    /// A population.
    pub fn population(name: &str) -> Self {
        Place::Population(name.into())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Network => write!(f, "the network"),
            Place::Population(name) => write!(f, "population `{name}`"),
            Place::Projection { from, to } => write!(f, "projection `{from}` -> `{to}`"),
        }
    }
}

/// A network that does not go onto a machine, with every reason.
#[derive(Clone, Debug, PartialEq)]
pub struct MapError {
    /// Machine.
    pub machine: &'static str,
    /// Reasons, at least one.
    pub refused: Vec<Finding>,
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the network does not go onto {}:", self.machine)?;
        self.refused.iter().try_for_each(|finding| write!(f, " {}: {};", finding.place, finding.what))
    }
}

impl std::error::Error for MapError {}
