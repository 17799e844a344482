//! What NIR leaves open, said.

use super::graph::{Fault, Graph, Metadata};
use crate::hdf5::{Array, Tree};

macro_rules! choices {
    ($($(#[$doc:meta])* $Choice:ident { $($(#[$what:meta])* $Variant:ident = $name:literal),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum $Choice { $($(#[$what])* #[serde(rename = $name)] $Variant),+ }

        impl $Choice {
            /// Its word in metadata and on the command line.
            pub const fn name(self) -> &'static str {
                match self { $($Choice::$Variant => $name),+ }
            }
        }

        impl std::str::FromStr for $Choice {
            type Err = String;
            fn from_str(word: &str) -> Result<Self, String> {
                match word {
                    $($name => Ok($Choice::$Variant),)+
                    _ => Err(format!("expected one of: {}", [$($name),+].join(", "))),
                }
            }
        }
    )+};
}

choices! {
    /// What a spike does to the membrane.
    AfterSpike {
        /// The threshold is subtracted; the surplus is kept. Files whose `v_reset` is another value than 0 are refused.
        Subtract = "subtract",
        /// The membrane is set to `v_reset`, 0 where a file has none.
        Value = "value",
    }
    /// How often an `IF` fires in a step, if its reset is by subtraction.
    Spikes {
        /// As often as it is above threshold.
        Several = "several",
        /// Once; the surplus waits for the next step.
        One = "one",
    }
    /// How a leak becomes steps of `dt` seconds.
    Decay {
        /// Forward Euler: `v ← v + dt/τ·(v_leak − v + R·I)`.
        Euler = "euler",
        /// The solution for an input that is constant over the step: `v ← v + (1 − exp(−dt/τ))·(v_leak − v + R·I)`.
        Exact = "exact",
    }
    /// The unit of time of `I` and `IF`, which have no time constant.
    Integrate {
        /// A step: `v ← v + R·I`.
        Steps = "steps",
        /// A second, as everywhere else: `v ← v + dt·R·I`.
        Seconds = "seconds",
    }
    /// Which current the membrane of `CubaLI` and `CubaLIF` hears.
    Current {
        /// That of this step, with what has just come in.
        New = "new",
        /// That of the last step.
        Old = "old",
    }
}

/// What NIR leaves open, and everybody who runs a graph in steps must choose.
///
/// | field | default | why |
/// |---|---|---|
/// | `dt` | 1 ms | chosen |
/// | `reset` | subtract | sinabs; `value` is NIR's text, and what the published traces of norse and snnTorch do |
/// | `spikes` | several | sinabs |
/// | `decay` | Euler | norse and snnTorch, in the same traces |
/// | `integrate` | steps | sinabs |
/// | `current` | new | chosen |
///
/// And for all: an event of value 1 is a current of 1 over its step. A step goes through a graph from inputs to outputs, layers hear each other within it; in
/// a loop of edges without a `Delay` one edge takes a step, the one that leads back on the way from the inputs. Everything begins at 0. Thresholds are strict.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Convention {
    /// Time step (s).
    pub dt: f64,
    /// What a spike does to the membrane.
    pub reset: AfterSpike,
    /// How often an `IF` fires in a step.
    pub spikes: Spikes,
    /// How a leak becomes steps.
    pub decay: Decay,
    /// The unit of time of `I` and `IF`.
    pub integrate: Integrate,
    /// Which current a membrane hears.
    pub current: Current,
}

impl Default for Convention {
    fn default() -> Self {
        Convention {
            dt: 1e-3,
            reset: AfterSpike::Subtract,
            spikes: Spikes::Several,
            decay: Decay::Euler,
            integrate: Integrate::Steps,
            current: Current::New,
        }
    }
}

/// The group of a graph's metadata in which it stands.
const GROUP: &str = "snn";

impl Convention {
    /// What a graph says of itself in its metadata, under `snn`, and the defaults for the rest.
    ///
    /// # Errors
    /// [`NirError::Node`](super::NirError::Node) for a word that is not known there.
    pub fn of(graph: &Graph) -> Result<Self, super::NirError> {
        Ok(Self::default().told_by(&graph.metadata)?)
    }

    fn told_by(mut self, metadata: &Metadata) -> Result<Self, Fault> {
        let Some(Tree::Group(said)) = metadata.get(GROUP) else { return Ok(self) };
        for (name, tree) in said {
            let array = if let Tree::Array(array) = tree { Some(array) } else { None };
            let (word, number) = (array.and_then(Array::as_text).unwrap_or_default(), array.and_then(Array::numbers));
            let told = match &**name {
                "dt" => number.and_then(|list| list.first().copied()).map(|dt| self.dt = dt).ok_or_else(|| "expected seconds".into()),
                "reset" => word.parse().map(|choice| self.reset = choice),
                "spikes" => word.parse().map(|choice| self.spikes = choice),
                "decay" => word.parse().map(|choice| self.decay = choice),
                "integrate" => word.parse().map(|choice| self.integrate = choice),
                "current" => word.parse().map(|choice| self.current = choice),
                _ => Ok(()), // remarks
            };
            told.map_err(|why| Fault::at(format!("metadata/{GROUP}/{name}"), why))?;
        }
        Ok(self)
    }

    /// A graph that says so itself: see [`of`](Self::of).
    pub fn tell(&self, mut graph: Graph) -> Graph {
        let words = [
            ("reset", self.reset.name()),
            ("spikes", self.spikes.name()),
            ("decay", self.decay.name()),
            ("integrate", self.integrate.name()),
            ("current", self.current.name()),
        ];
        let words = words.into_iter().map(|(name, word)| (name.to_owned(), Tree::Array(Array::text(word))));
        let dt = ("dt".to_owned(), Tree::Array(Array::scalar(self.dt)));
        graph.metadata.insert(GROUP.into(), Tree::Group(words.chain([dt]).collect()));
        graph
    }
}
