//! Structural rules: they remove links and grow others while the weights learn.
//!
//! | rule | parameters that exist | gradient of dormant links | runs on |
//! |---|---|---|---|
//! | [`DeepR`] | the live links only: a constant number | none | listed links (`Links::Csr`) |
//! | [`SoftDeepR`] | one per possible link | none: they diffuse | every source to every target, convolutions |
//! | [`GradR`] | one per possible link | exact | every source to every target, convolutions |
//! | [`GradRByRows`] (not from the paper) | the live links, and the dormant ones of a few sources | of these sources | listed links |
//!
//! To add a rule: one file beside this one, one line in `structures!`. A [`Structure`] is configuration; its [`Wiring`] takes the place of the
//! optimiser's update in [`Trainer`](crate::Trainer), so that any [`Rule`](crate::Rule) and any [`Optimiser`] go with it.

macro_rules! structures {
    ($($file:ident :: { $($Item:ident),+ }: $($rule:expr),+;)+) => {
        $(mod $file; pub use $file::{$($Item),+};)+

        /// Every structural rule with mild settings: for tests and tables over the registry.
        pub fn all() -> Vec<Box<dyn Structure>> {
            vec![$($(Box::new($rule)),+),+]
        }
    };
}

structures! {
    deep_r::{Budget, DeepR, Signs}: DeepR::new(0.01);
    soft_deep_r::{SoftDeepR}: SoftDeepR { l1: 0.01, temperature: 1e-4, connectivity: 0.7.into() };
    grad_r::{GradR, GradRByRows}: GradR::new(0.01), GradRByRows { prior: GradR::new(0.01), rows: 4 };
}

use crate::optim::{Moments, Optimiser};
use crate::rule::Gradients;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use snn_core::Seed;
use snn_sparse::lanes::{bits, flat, flat_mut};
use snn_sparse::store::{Csr, Rewiring};
use snn_sparse::{Block, Clocked, LANES, Link, Store, Synapses};

/// A structural rule: what it may do, and how it starts.
pub trait Structure: Send + Sync {
    /// Name, for tables, errors and checkpoints.
    fn name(&self) -> &'static str;
    /// Whether the rule can be used on this network.
    ///
    /// # Errors
    /// [`StructureError`], naming what it cannot take.
    fn check(&self, engine: &Clocked<f32>) -> Result<(), StructureError>;
    /// The rule at work, for an engine that it has checked. Weights may change: a rule that fixes signs turns those that do not fit.
    fn begin(&self, engine: &mut Clocked<f32>, seed: Seed) -> Box<dyn Wiring>;
}

impl Structure for Box<dyn Structure> {
    fn name(&self) -> &'static str {
        (**self).name()
    }
    fn check(&self, engine: &Clocked<f32>) -> Result<(), StructureError> {
        (**self).check(engine)
    }
    fn begin(&self, engine: &mut Clocked<f32>, seed: Seed) -> Box<dyn Wiring> {
        (**self).begin(engine, seed)
    }
}

/// A structural rule at work.
pub trait Wiring: Send + Sync {
    /// Takes the place of the optimiser's update, once per batch: moves all weights and replaces links. Its random numbers are a function of
    /// the seed it began with and of [`Moments::updates`]. Returns what happened, one entry per projection.
    fn update(&mut self, update: &mut Update<'_>) -> Vec<Turnover>;
    /// What it keeps from one update to the next beside links and weights.
    fn save(&self) -> State {
        State::default()
    }
    /// Goes back to a state that was saved. `false`, and nothing is changed, if the shapes differ.
    fn restore(&mut self, state: &State) -> bool {
        *state == State::default()
    }
}

/// What a structural rule keeps beside links and weights: by link list of the engine, laid out like its weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Strengths θ of live and dormant links.
    pub strength: Vec<Vec<f32>>,
    /// Signs, a bit each: set where negative.
    pub negative: Vec<Vec<u64>>,
}

/// What a structural rule did to one projection. Without shared weights, a weight is a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turnover {
    /// Live links after the last update.
    pub live: u64,
    /// Links there could be.
    pub possible: u64,
    /// Links removed.
    pub pruned: u64,
    /// Links grown.
    pub grown: u64,
}

impl Turnover {
    /// Adds what happened later.
    pub fn add(&mut self, later: &Turnover) {
        (self.live, self.possible) = (later.live, later.possible);
        self.pruned += later.pruned;
        self.grown += later.grown;
    }

    /// Live links as a share of the possible ones.
    pub fn connectivity(&self) -> f64 {
        self.live as f64 / self.possible.max(1) as f64
    }
}

/// Why a structural rule cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StructureError {
    /// Impossible parameter.
    #[error("structural rule `{rule}`: {name} = {value}: must be {wanted}")]
    Parameter {
        /// Rule.
        rule: &'static str,
        /// Parameter.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// Nothing to do.
    #[error("structural rule `{rule}`: no projection of the network has {wanted}")]
    Nothing {
        /// Rule.
        rule: &'static str,
        /// What the rule takes.
        wanted: &'static str,
    },
    /// A projection that the rule cannot take.
    #[error("structural rule `{rule}`: projection `{from}` -> `{to}`: {why}")]
    Projection {
        /// Rule.
        rule: &'static str,
        /// Source.
        from: String,
        /// Target.
        to: String,
        /// Reason.
        why: String,
    },
}

/// An error unless the parameter is finite and `ok`.
fn parameter(rule: &'static str, name: &'static str, value: f64, ok: bool, wanted: &'static str) -> Result<(), StructureError> {
    if value.is_finite() && ok { Ok(()) } else { Err(StructureError::Parameter { rule, name, value: value.to_string(), wanted }) }
}

/// One update: all that a structural rule may read and change.
pub struct Update<'a> {
    /// Links and weights.
    pub engine: &'a mut Clocked<f32>,
    /// How weights follow their gradient.
    pub optimiser: Optimiser,
    /// The schedule's factor on the learning rate.
    pub factor: f64,
    /// The optimiser's memory, after [`Moments::tick`].
    pub moments: &'a mut Moments,
    /// The mean gradient of the batch.
    pub gradients: &'a mut Gradients<f32>,
}

impl Update<'_> {
    /// The learning rate as it is: η times the schedule's factor.
    pub fn rate(&self) -> f64 {
        self.optimiser.lr() * self.factor
    }

    /// The rate in front of the optimiser's direction: Adam's is corrected for the start of its mean, `η/(1 − β₁ⁿ)`.
    pub fn corrected_rate(&self) -> f64 {
        match self.optimiser {
            Optimiser::Sgd { .. } => self.rate(),
            Optimiser::Adam { beta1, .. } => self.rate() / (1.0 - beta1.powi(self.moments.updates as i32)),
        }
    }

    /// The optimiser's update of `links()[k]`, if its weights are learned.
    pub fn optimise(&mut self, k: usize) {
        let link = &mut self.engine.links_mut()[k];
        if link.learns && link.tied.is_none() {
            self.moments.update(&self.optimiser, self.factor, k, link.store.weights_mut(), &self.gradients.links[k]);
        }
    }

    /// What the optimiser would add to the weights, one list per projection in the order of the description; without decay of weights, which is the weights' own.
    pub(crate) fn steps(&mut self) -> Vec<Vec<f32>> {
        let mut steps: Vec<Vec<Block<f32>>> = self.gradients.links.iter().map(|g| vec![Block::zero(); g.len()]).collect();
        for (k, (step, gradient)) in steps.iter_mut().zip(&self.gradients.links).enumerate() {
            self.moments.update(&self.optimiser, self.factor, k, step, gradient);
        }
        self.engine.in_order(steps.iter().map(|step| &step[..]))
    }

    /// The weights of `links()[k]`.
    pub fn weights(&mut self, k: usize) -> &mut [Block<f32>] {
        self.engine.links_mut()[k].store.weights_mut()
    }

    /// Replaces links of `links()[k]`, and moves gradient and moments with them: those of new links are zero.
    ///
    /// # Panics
    /// If the links do not fit: a mistake of the rule.
    #[track_caller]
    fn relink(&mut self, k: usize, gone: &[u32], new: impl Iterator<Item = (u32, u32)> + Clone, work: &mut Rewiring<f32>) {
        self.engine.relink(k, gone.iter().copied(), new, work).expect("a structural rule draws pairs that are free");
        work.carry(&mut self.gradients.links[k]);
        work.carry(&mut self.moments.first[k]);
        if let Some(second) = self.moments.second.get_mut(k) {
            work.carry(second);
        }
    }
}

/// The listed links of `links()[k]`, if it has such and learns.
fn listed(engine: &Clocked<f32>, k: usize) -> Option<&Csr<f32>> {
    match &engine.links()[k] {
        Link { store: Store::Csr(csr), learns: true, .. } => Some(csr),
        _ => None,
    }
}

/// A stream of numbers for a projection, by its name, and by its number among those of the same name: another projection changes nothing.
fn stream(engine: &Clocked<f32>, projection: usize, seed: Seed) -> Seed {
    let all = &engine.network().draft().projections;
    let ends = |k: usize| (&all[k].from, &all[k].to);
    let nth = (0..projection).filter(|&k| ends(k) == ends(projection)).count();
    seed.child(&format!("{}->{}", all[projection].from, all[projection].to)).nth(nth as u64)
}

/// Before any change: every link is live.
fn untouched(engine: &Clocked<f32>) -> Vec<Turnover> {
    let draft = engine.network().draft();
    let mut turnover = vec![Turnover::default(); draft.projections.len()];
    for link in engine.links() {
        let entry = &mut turnover[link.projection];
        entry.live += link.store.slots().len() as u64;
        entry.possible = match &link.store {
            Store::Dense(_) | Store::Csr(_) => (engine.size(link.from) * engine.cells()[link.to].size()) as u64,
            _ => entry.live,
        };
    }
    turnover
}

/// A standard normal number as a function of seed and index (Box & Muller 1958).
fn normal(seed: Seed, index: u64) -> f32 {
    let bits = seed.nth(index).value();
    let unit = |x: u64| (x as f64 + 0.5) / (1u64 << 32) as f64; // inside (0, 1)
    let (radius, angle) = ((-2.0 * unit(bits >> 32).ln()).sqrt(), std::f64::consts::TAU * unit(bits & 0xffff_ffff));
    (radius * angle.cos()) as f32
}

/// A fair coin as a function of seed and index.
fn coin(seed: Seed, index: u64) -> bool {
    seed.nth(index).value() & 1 == 1
}

/// `x` with a sign; zero has one too.
fn signed(x: f32, negative: bool) -> f32 {
    if negative { -x } else { x }
}

/// Whether these links learn and none of the possible ones is missing.
fn without_gap(link: &Link<f32>) -> bool {
    link.learns && matches!(link.store, Store::Dense(_) | Store::Conv2d(_))
}

/// Sign and strength of every weight of one link list, live or dormant: `w = s·max(θ, 0)`.
///
/// Memory: 4 bytes and a bit per weight. The rules that use it are dense by definition.
struct Strengths {
    k: usize,
    theta: Vec<Block<f32>>,
    negative: Vec<u64>,
    /// Lanes that hold a weight.
    valid: Vec<u64>,
}

impl Strengths {
    /// Of every list of links without a gap; `θ = |w|`, the sign is that of the weight, for good.
    fn all(engine: &Clocked<f32>) -> Vec<Strengths> {
        let taken = |k: &usize| without_gap(&engine.links()[*k]);
        let of = |k: usize| {
            let store = &engine.links()[k].store;
            let w = store.weights();
            let mut valid = vec![0; w.len()];
            store.slots().into_iter().for_each(|slot| valid[slot / LANES] |= 1 << (slot % LANES));
            let mask = |block: &Block<f32>| (0..LANES).fold(0, |mask, l| mask | u64::from(block[l].is_sign_negative()) << l);
            let theta = w.iter().map(|block| Block(block.0.map(f32::abs))).collect();
            Strengths { k, theta, negative: w.iter().map(mask).collect(), valid }
        };
        (0..engine.links().len()).filter(taken).map(of).collect()
    }

    /// An error if there is none of them.
    fn check(rule: &'static str, engine: &Clocked<f32>) -> Result<(), StructureError> {
        match engine.links().iter().any(without_gap) {
            true => Ok(()),
            false => Err(StructureError::Nothing {
                rule,
                wanted: "links from every source to every target, or of a convolution; use `Connect::All`",
            }),
        }
    }

    /// Calls `each(index, s, θ, w)` for every weight, index within the flat weights; blocks in parallel.
    fn each(&mut self, w: &mut [Block<f32>], each: impl Fn(usize, f32, &mut f32, &mut f32) + Sync) {
        let planes = self.theta.par_iter_mut().zip(w).zip(self.negative.par_iter().zip(&self.valid)).with_min_len(64);
        planes.enumerate().for_each(|(b, ((theta, w), (negative, valid)))| {
            for l in bits(*valid) {
                let sign = if negative >> l & 1 == 1 { -1.0 } else { 1.0 };
                each(b * LANES + l, sign, &mut theta[l], &mut w[l]);
            }
        });
    }

    /// Live weights as bits.
    fn live(&self) -> impl Iterator<Item = u64> + '_ {
        let mask = |theta: &Block<f32>| (0..LANES).fold(0, |mask, l| mask | u64::from(theta[l] > 0.0) << l);
        self.theta.iter().zip(&self.valid).map(move |(theta, valid)| mask(theta) & valid)
    }

    /// What happened since the weights in `before` were live.
    fn turnover(&self, before: &[u64]) -> Turnover {
        let mut turnover = Turnover { possible: self.valid.iter().map(|v| u64::from(v.count_ones())).sum(), ..Turnover::default() };
        for (now, before) in self.live().zip(before) {
            turnover.live += u64::from(now.count_ones());
            turnover.pruned += u64::from((before & !now).count_ones());
            turnover.grown += u64::from((now & !before).count_ones());
        }
        turnover
    }

    fn save(all: &[Strengths]) -> State {
        State {
            strength: all.iter().map(|s| flat(&s.theta).to_vec()).collect(),
            negative: all.iter().map(|s| s.negative.clone()).collect(),
        }
    }

    fn restore(all: &mut [Strengths], state: &State) -> bool {
        let fits = all.len() == state.strength.len() && all.len() == state.negative.len();
        let each = all.iter().zip(state.strength.iter().zip(&state.negative));
        let fits =
            fits && { each }.all(|(s, (theta, negative))| s.theta.len() * LANES == theta.len() && s.negative.len() == negative.len());
        if fits {
            for (s, (theta, negative)) in all.iter_mut().zip(state.strength.iter().zip(&state.negative)) {
                flat_mut(&mut s.theta).copy_from_slice(theta);
                s.negative.copy_from_slice(negative);
            }
        }
        fits
    }
}

/// The optimiser moves every list of links but those of `strengths`; then `one` takes these, one after the other.
fn with_strengths(
    strengths: &mut [Strengths],
    turnover: &mut [Turnover],
    update: &mut Update<'_>,
    mut one: impl FnMut(&mut Strengths, &mut Update<'_>),
) {
    for k in (0..update.engine.links().len()).filter(|k| strengths.iter().all(|s| s.k != *k)) {
        update.optimise(k);
    }
    for s in strengths {
        let before: Vec<u64> = s.live().collect();
        one(s, update);
        turnover[update.engine.links()[s.k].projection] = s.turnover(&before);
    }
}
