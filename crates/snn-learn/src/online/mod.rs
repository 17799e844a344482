//! Rules that learn while a network runs: events and a reward go in at every step, weights come out now and then.
//!
//! Such a rule has one projection, and never sees what the network runs on: whoever runs the loop (`snn_arch::ClosedLoop`) carries spikes
//! from a [`Device`](snn_sparse::Device) to the rule and weights back.
//!
//! To add a rule: one file beside this one with its parameters ([`Online`]) and its state ([`OnlineRule`]), and its place in `rules!`. The laws below, and the
//! test that every rule lives on every machine (`snn-arch/tests/closed_loop.rs`), then hold for it too.

use rand_distr::{Distribution, StandardNormal};
use snn_core::Seed;
use snn_core::net::Links;

/// What one step brought to a projection.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The sources whose spikes arrive in this step, ascending.
    pub pre: &'a [u32],
    /// The targets that fired.
    pub post: &'a [u32],
    /// The probability with which each target fired, given all before; empty where nobody can tell
    /// ([`Device::chances`](snn_sparse::Device::chances)).
    pub chance: &'a [f64],
    /// The reward of the step.
    pub reward: f64,
}

/// A rule at work on the links of one projection.
pub trait OnlineRule: Send {
    /// Name, for tables and errors.
    fn name(&self) -> &'static str;
    /// Takes a step.
    ///
    /// # Errors
    /// [`OnlineError`] if the rule needs something that the moment does not hold.
    fn step(&mut self, moment: &Moment<'_>) -> Result<(), OnlineError>;
    /// The weights, one per link in the order of the description, if they have changed since they were last taken.
    fn take(&mut self) -> Option<&[f32]>;
    /// The same, with the links whose weights may have changed where the rule can say: then no more need be written.
    fn take_some(&mut self) -> Option<Fresh<'_>> {
        self.take().map(|weights| Fresh { weights, moved: None })
    }
    /// Whether the rule looks at [`Moment::chance`]. Where none does nobody computes them.
    fn hears_chances(&self) -> bool {
        false
    }
}

/// Weights that have changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fresh<'a> {
    /// All weights, one per link.
    pub weights: &'a [f32],
    /// The links whose weights may have changed, in any order, perhaps more than once; `None`: all.
    pub moved: Option<&'a [u32]>,
}

impl<R: OnlineRule + ?Sized> OnlineRule for Box<R> {
    fn name(&self) -> &'static str {
        (**self).name()
    }
    fn step(&mut self, moment: &Moment<'_>) -> Result<(), OnlineError> {
        (**self).step(moment)
    }
    fn take(&mut self) -> Option<&[f32]> {
        (**self).take()
    }
    fn take_some(&mut self) -> Option<Fresh<'_>> {
        (**self).take_some()
    }
    fn hears_chances(&self) -> bool {
        (**self).hears_chances()
    }
}

/// A rule as data: its parameters.
pub trait Online: Send + Sync {
    /// Name, for tables and errors.
    fn name(&self) -> &'static str;
    /// The rule at work on these links, which have these weights; chance comes from the seed.
    ///
    /// # Errors
    /// [`OnlineError`]: an impossible parameter, links that share weights, weights of another number.
    fn on(&self, wires: Wires<'_>, weights: &[f32], seed: Seed) -> Result<Box<dyn OnlineRule>, OnlineError>;
}

/// Declares the module of each rule and lists them in the given order.
macro_rules! rules {
    ($($file:ident :: $Rule:ident),+ $(,)?) => {
        $(mod $file; pub use $file::$Rule;)+

        /// Every rule with its default parameters.
        pub fn all() -> Vec<Box<dyn Online>> {
            vec![$(Box::<$Rule>::default(),)+]
        }
    };
}

rules! { synaptic_sampling::SynapticSampling, hebb::Hebb, stdp_em::StdpEm, wta_em::WtaEm }

pub use synaptic_sampling::Sampling;

/// What a rule is told of the projection it learns on.
#[derive(Clone, Copy, Debug)]
pub struct Wires<'a> {
    /// Its links.
    pub links: &'a Links,
    /// Number of sources.
    pub sources: usize,
    /// Number of targets.
    pub targets: usize,
    /// Time step (s).
    pub dt: f64,
}

impl Wires<'_> {
    /// Number of links, each of which has a weight of its own: `rule` asks.
    fn count(&self, rule: &'static str) -> Result<usize, OnlineError> {
        match self.links {
            Links::All | Links::Csr { .. } => Ok(self.links.count(self.sources, self.targets)),
            _ => Err(OnlineError::SharedWeights { rule }),
        }
    }

    /// `weights`, if there is one for each link.
    fn weights(&self, rule: &'static str, weights: &[f32]) -> Result<Vec<f32>, OnlineError> {
        match (self.count(rule)?, weights.len()) {
            (expected, found) if expected != found => Err(OnlineError::State { rule, expected, found }),
            _ => Ok(weights.to_vec()),
        }
    }
}

/// Why a rule cannot learn.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OnlineError {
    /// An impossible parameter.
    #[error("rule `{rule}`: `{parameter}` = {value}: must be {wanted}")]
    Parameter {
        /// Rule.
        rule: &'static str,
        /// Parameter.
        parameter: &'static str,
        /// Its value.
        value: f64,
        /// What it must be.
        wanted: &'static str,
    },
    /// Links that share weights.
    #[error(
        "rule `{rule}`: the links of the projection share their weights; give it links with weights of their own (`All` or listed ones)"
    )]
    SharedWeights {
        /// Rule.
        rule: &'static str,
    },
    /// Nobody says how likely a spike was.
    #[error(
        "rule `{rule}`: needs the probability of every spike of {targets} targets, was told {found}; give the population escape noise, and take a machine that tells"
    )]
    NoChance {
        /// Rule.
        rule: &'static str,
        /// Number of targets.
        targets: usize,
        /// Probabilities given.
        found: usize,
    },
    /// A state of something else.
    #[error("rule `{rule}`: a state of {found} numbers does not fit one of {expected}; it is of another network or setting")]
    State {
        /// Rule.
        rule: &'static str,
        /// Numbers of a state.
        expected: usize,
        /// Given.
        found: usize,
    },
}

/// Where a rule gets normal numbers from: a machine may have its own.
pub trait Normals: Send {
    /// Fills the list with independent numbers of mean 0 and variance 1.
    fn fill(&mut self, into: &mut [f64]);
}

impl<F: FnMut(&mut [f64]) + Send> Normals for F {
    fn fill(&mut self, into: &mut [f64]) {
        self(into);
    }
}

/// Normal numbers of a seed's stream.
pub fn normals(seed: Seed) -> Box<dyn Normals> {
    let mut rng = seed.rng();
    Box::new(move |into: &mut [f64]| into.iter_mut().for_each(|x| *x = StandardNormal.sample(&mut rng)))
}

#[cfg(test)]
mod laws {
    use super::*;
    use proptest::prelude::*;

    const WIRES: Wires<'static> = Wires { links: &Links::All, sources: 4, targets: 3, dt: 1e-3 };

    /// The weights after every step of a life in which everybody fires now and then.
    fn life(rule: &dyn Online, start: &[f32], seed: u64, steps: u64) -> Vec<Option<Vec<f32>>> {
        let mut rule = rule.on(WIRES, start, Seed::new(seed)).unwrap();
        let fires =
            |n: u32, t: u64| (0..n).filter(|i| Seed::new(9).nth(8 * t + u64::from(*i)).value().is_multiple_of(5)).collect::<Vec<u32>>();
        let weights = (0..steps).map(|t| {
            let (pre, post) = (fires(4, t), fires(3, t + steps));
            rule.step(&Moment { pre: &pre, post: &post, chance: &[0.2; 3], reward: 1.0 }).unwrap();
            rule.take().map(<[f32]>::to_vec)
        });
        weights.collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn hold_for_every_rule(start in prop::collection::vec(0.1f32..2.0, 12), seed in any::<u64>()) {
            for rule in all() {
                let (name, first) = (rule.name(), life(&*rule, &start, seed, 400));
                prop_assert!(first == life(&*rule, &start, seed, 400), "{name}: the same seed, another life");
                let given: Vec<&Vec<f32>> = first.iter().flatten().collect();
                prop_assert!(given.iter().all(|w| w.len() == 12 && w.iter().all(|x| x.is_finite())), "{name}: {given:?}");
                prop_assert!(given.last().is_some_and(|last| **last != start), "{name}: learns nothing");
                // It begins where it was told to, and weights are given once.
                let mut begun = rule.on(WIRES, &start, Seed::new(seed)).unwrap();
                if let Some(weights) = begun.take() {
                    prop_assert!(weights.iter().zip(&start).all(|(a, b)| (a - b).abs() < 1e-4), "{name}: {weights:?}, not {start:?}");
                }
                prop_assert!(begun.take().is_none() && begun.name() == name, "{name}: gives the same weights again");
            }
        }
    }

    #[test]
    fn wrong_links_and_weights_are_refused() {
        let pool = snn_core::net::SumPool2d::new(1, 4, 4, (2, 2));
        for rule in all() {
            let name = rule.name();
            let refused = |wires, weights: &[f32]| rule.on(wires, weights, Seed::new(1)).err();
            assert_eq!(refused(WIRES, &[0.5; 11]), Some(OnlineError::State { rule: name, expected: 12, found: 11 }));
            let shared = Wires { links: &Links::SumPool2d(pool), sources: 16, targets: 4, dt: 1e-3 };
            assert_eq!(refused(shared, &[0.5]), Some(OnlineError::SharedWeights { rule: name }));
        }
    }
}
