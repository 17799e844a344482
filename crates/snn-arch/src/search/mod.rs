//! Search without gradients: candidates out, fitness in.
//!
//! A [`Search`] asks for the fitness of some points of a bounded [`Space`] and is told it; more is better. Who evaluates, on how many threads and for how long is the
//! caller's business. A search is plain data: saved with serde and read again it goes on to the same bits.
//!
//! | method | one generation |
//! |---|---|
//! | [`CrossEntropy`] | sample a Gaussian, fit it to the best |
//! | [`Face`] | the same, with as many samples as it takes to get better |
//! | [`Evolution`] | a step along the fitness over mirrored samples |
//! | [`Annealing`] | a step of every chain, taken if it is better or it is warm |
//! | [`Tournament`] | two of a population, of whole numbers; the loser becomes a mutated copy of the winner |
//! | [`Random`] | anywhere: the control |
//!
//! Fitness may be noisy. Then give all candidates of a generation the same tasks, and every generation new ones, and take what the search *stands* at
//! ([`Search::stands`]), not the luckiest point ever seen ([`Search::best`]). To add a method: one file with an `impl` of [`Strategy`], and one line in `methods!`.
//!
//! ```
//! use snn_arch::search::{CrossEntropy, Search, Space};
//! use snn_core::Seed;
//! let space = Space::default().linear("x", -2.0, 2.0).log("rate", 1e-4, 1.0);
//! let mut search = Search::new(space, CrossEntropy::default(), Seed::new(1))?;
//! for _ in 0..40 {
//!     let fitness: Vec<f64> = search.ask().iter().map(|p| -(p[0] - 1.0).powi(2) - (p[1].log10() + 2.0).powi(2)).collect();
//!     search.tell(&fitness)?;
//! }
//! let found = search.stands();
//! assert!((found[0] - 1.0).abs() < 0.1 && (found[1].log10() + 2.0).abs() < 0.1, "{found:?}");
//! # Ok::<(), snn_arch::ArchError>(())
//! ```

mod gaussian;
mod space;

pub use gaussian::Gaussian;
pub use space::{Parameter, Scale, Space};

use crate::error::{ArchError, check};
use rand::Rng;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use snn_core::Seed;
use std::fmt::Debug;

/// What differs between methods: where to look next, and what to make of what was found. Points have coordinates from 0 to 1.
///
/// Settings are `Self`, all that changes is the `Memory`, which begins as its default.
pub trait Strategy: Clone + Debug + Default + PartialEq + Serialize + DeserializeOwned {
    /// Name for tables.
    const NAME: &'static str;
    /// What it remembers between generations.
    type Memory: Clone + Debug + Default + PartialEq + Serialize + DeserializeOwned;
    /// Whether the settings are possible.
    ///
    /// # Errors
    /// [`ArchError::Option`].
    fn check(&self) -> Result<(), ArchError>;
    /// The points of the next generation, at least one, of `dims` coordinates each. Those outside the unit cube are moved to its border.
    fn ask(&self, memory: &Self::Memory, dims: usize, rng: &mut impl Rng) -> Vec<Vec<f64>>;
    /// Takes the fitness of these points, which are those asked for, bounded.
    fn tell(&self, memory: &mut Self::Memory, points: &[Vec<f64>], fitness: &[f64], rng: &mut impl Rng);
    /// The point it would answer with now; `None` before the first generation.
    fn stands<'a>(&self, memory: &'a Self::Memory) -> Option<&'a [f64]>;
}

/// A method with its memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[doc(hidden)]
pub struct Running<S, M> {
    settings: S,
    memory: M,
}

macro_rules! methods {
    ($($file:ident :: $Method:ident),+ $(,)?) => {
        $(mod $file; pub use $file::$Method;)+

        /// Any method, with what it remembers.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub enum Method { $(#[doc = concat!("See [`", stringify!($Method), "`].")] $Method(Running<$Method, <$Method as Strategy>::Memory>),)+ }

        impl Method {
            /// Every method with its default settings.
            pub fn all() -> Vec<Method> {
                vec![$($Method::default().into(),)+]
            }
            /// Its name.
            pub fn name(&self) -> &'static str {
                match self { $(Method::$Method(_) => $Method::NAME,)+ }
            }
            fn check(&self) -> Result<(), ArchError> {
                match self { $(Method::$Method(m) => m.settings.check(),)+ }
            }
            fn ask(&self, dims: usize, rng: &mut impl Rng) -> Vec<Vec<f64>> {
                match self { $(Method::$Method(m) => m.settings.ask(&m.memory, dims, rng),)+ }
            }
            fn tell(&mut self, points: &[Vec<f64>], fitness: &[f64], rng: &mut impl Rng) {
                match self { $(Method::$Method(m) => m.settings.tell(&mut m.memory, points, fitness, rng),)+ }
            }
            fn stands(&self) -> Option<&[f64]> {
                match self { $(Method::$Method(m) => m.settings.stands(&m.memory),)+ }
            }
        }
        $(impl From<$Method> for Method {
            fn from(settings: $Method) -> Self {
                Method::$Method(Running { settings, memory: Default::default() })
            }
        })+
    };
}

methods! { cross_entropy::CrossEntropy, face::Face, evolution::Evolution, annealing::Annealing, tournament::Tournament, random::Random }

pub use annealing::Cooling;

/// A search under way: a space, a method, and how far it is. See the [module](self).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Search {
    space: Space,
    method: Method,
    seed: Seed,
    generation: u64,
    evaluations: u64,
    asked: Vec<Vec<f64>>,
    best: Option<(Vec<f64>, f64)>,
}

impl Search {
    /// Begins a search.
    ///
    /// # Errors
    /// If the space is empty or has an impossible parameter, or a setting of the method is impossible.
    pub fn new(space: Space, method: impl Into<Method>, seed: Seed) -> Result<Self, ArchError> {
        let method = method.into();
        space.check()?;
        method.check()?;
        Ok(Search { space, method, seed, generation: 0, evaluations: 0, asked: Vec::new(), best: None })
    }

    /// The candidates of this generation, in the units of the space: the same until [`tell`](Self::tell).
    pub fn ask(&mut self) -> Vec<Vec<f64>> {
        if self.asked.is_empty() {
            self.asked = self.method.ask(self.space.dims(), &mut self.seed.child("ask").nth(self.generation).rng());
            self.asked.iter_mut().flatten().for_each(|x| *x = x.clamp(0.0, 1.0));
        }
        self.asked.iter().map(|point| self.space.values(point)).collect()
    }

    /// Takes the fitness of each candidate of [`ask`](Self::ask), in order; more is better. Ends the generation.
    ///
    /// # Errors
    /// [`ArchError::Fitness`] if their number is another or one is not finite; then nothing has changed.
    pub fn tell(&mut self, fitness: &[f64]) -> Result<(), ArchError> {
        let refused = |why| Err(ArchError::Fitness { generation: self.generation, why });
        if fitness.len() != self.asked.len() || fitness.is_empty() {
            return refused(format!("{} numbers for {} candidates; give one for each that `ask` gave", fitness.len(), self.asked.len()));
        }
        if let Some(k) = fitness.iter().position(|f| !f.is_finite()) {
            return refused(format!("candidate {k} has {}; give a finite number, a very low one if it failed", fitness[k]));
        }
        let points = std::mem::take(&mut self.asked);
        let first = self.best.take().unwrap_or((Vec::new(), f64::NEG_INFINITY));
        let better = |best: (Vec<f64>, f64), (x, &f): (&Vec<f64>, &f64)| if f > best.1 { (x.clone(), f) } else { best };
        self.best = Some(points.iter().zip(fitness).fold(first, better));
        self.method.tell(&points, fitness, &mut self.seed.child("tell").nth(self.generation).rng());
        self.evaluations += fitness.len() as u64;
        self.generation += 1;
        Ok(())
    }

    /// What the method would answer now, in the units of the space: the mean of a distribution, the point of an ascent. The middle before the first generation.
    pub fn stands(&self) -> Vec<f64> {
        self.space.values(self.method.stands().unwrap_or(&vec![0.5; self.space.dims()]))
    }

    /// The candidate with the highest fitness ever told, and that fitness. With noisy fitness it is the luckiest, not the best.
    pub fn best(&self) -> Option<(Vec<f64>, f64)> {
        self.best.as_ref().map(|(point, fitness)| (self.space.values(point), *fitness))
    }

    /// Where it searches.
    pub fn space(&self) -> &Space {
        &self.space
    }
    /// How.
    pub fn method(&self) -> &Method {
        &self.method
    }
    /// Generations told.
    pub fn generation(&self) -> u64 {
        self.generation
    }
    /// Candidates told.
    pub fn evaluations(&self) -> u64 {
        self.evaluations
    }
}

/// Uniform points of the unit cube.
fn anywhere(n: usize, dims: usize, rng: &mut impl Rng) -> Vec<Vec<f64>> {
    use rand::RngExt;
    (0..n).map(|_| (0..dims).map(|_| rng.random()).collect()).collect()
}

/// Indices from the highest fitness to the lowest; equal ones in order.
fn ranked(fitness: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..fitness.len()).collect();
    order.sort_by(|&a, &b| fitness[b].total_cmp(&fitness[a]));
    order
}

/// `Ok` for a share above 0 and at most 1.
fn share(of: &'static str, name: &'static str, x: f64) -> Result<(), ArchError> {
    check(x > 0.0 && x <= 1.0, of, name, x, "a number above 0 and at most 1")
}
