//! Gradient rewiring: dormant links follow the gradient too.

use super::{
    State, Strengths, Structure, StructureError, Turnover, Update, Wiring, coin, listed, parameter, signed, stream, untouched,
    with_strengths,
};
use crate::optim::Optimiser;
use serde::{Deserialize, Serialize};
use snn_core::Seed;
use snn_sparse::lanes::{flat, flat_mut};
use snn_sparse::store::Rewiring;
use snn_sparse::{Clocked, Source, Synapses};

/// Gradient rewiring (Chen, Yu, Fang, Huang & Tian 2021, arXiv 2105.04916), with the exact gradient of every possible link, inside the
/// optimiser as released.
///
/// ```text
/// w = s·max(θ, 0),   s: sign of the initial weight, for good,   θ at the start: |w|
/// ŵ = s·θ  ←  the optimiser's step on ŵ along ∂L/∂w, taken at w, for live and dormant links
/// θ ← θ − η'·α·sign(θ_before − μ),   μ = ln(2 − 2p)/α
/// ```
/// `η'` is the learning rate; for Adam `η/(1 − β₁ⁿ)`. The last line is the gradient of a Laplace prior of which a share `p` is dormant; it is
/// left out at `α ≤ 1e-8`. In practice θ never comes near μ, and the connectivity reached is a matter of `α·η·updates`, not of `p`.
///
/// Runs on projections from every source to every target and on convolutions; others are left to the optimiser. Memory: 4 bytes and a bit
/// per possible link beside weights and moments: training is dense, what it leaves is sparse. Weight decay acts on ŵ.
///
/// | parameter | meaning | range |
/// |---|---|---|
/// | `penalty` | α, the prior's rate | ≥ 0 |
/// | `sparsity` | p, share of dormant links under the prior | in [0.5, 1) |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GradR {
    /// α.
    pub penalty: f64,
    /// p.
    pub sparsity: f64,
}

/// Penalties up to this are none (the released optimiser's constant).
const NO_PENALTY: f64 = 1e-8;

impl GradR {
    /// Gradient rewiring with this penalty; the prior's sparsity is 0.95, as in the authors' command.
    pub const fn new(penalty: f64) -> Self {
        GradR { penalty, sparsity: 0.95 }
    }

    /// The prior's centre `μ = ln(2 − 2p)/α`, 0 or less.
    pub fn centre(&self) -> f64 {
        (2.0 - 2.0 * self.sparsity).ln() / self.penalty
    }

    /// `α·sign(θ − μ)`.
    fn pull(&self, theta: f32) -> f64 {
        let over = f64::from(theta) - self.centre();
        match self.penalty > NO_PENALTY {
            true if over > 0.0 => self.penalty,
            true if over < 0.0 => -self.penalty,
            _ => 0.0,
        }
    }

    fn check(&self, rule: &'static str) -> Result<(), StructureError> {
        parameter(rule, "penalty", self.penalty, self.penalty >= 0.0, "zero or more")?;
        parameter(rule, "sparsity", self.sparsity, (0.5..1.0).contains(&self.sparsity), "in [0.5, 1)")
    }
}

impl Structure for GradR {
    fn name(&self) -> &'static str {
        "grad_r"
    }

    fn check(&self, engine: &Clocked<f32>) -> Result<(), StructureError> {
        GradR::check(self, "grad_r")?;
        Strengths::check("grad_r", engine)
    }

    fn begin(&self, engine: &mut Clocked<f32>, _: Seed) -> Box<dyn Wiring> {
        Box::new(Exact { rule: *self, strengths: Strengths::all(engine), turnover: untouched(engine) })
    }
}

struct Exact {
    rule: GradR,
    strengths: Vec<Strengths>,
    turnover: Vec<Turnover>,
}

impl Wiring for Exact {
    fn update(&mut self, update: &mut Update<'_>) -> Vec<Turnover> {
        let (rule, rate) = (self.rule, update.corrected_rate());
        with_strengths(&mut self.strengths, &mut self.turnover, update, |s, update| {
            s.each(update.weights(s.k), |_, sign, theta, w| *w = sign * *theta);
            update.optimise(s.k);
            s.each(update.weights(s.k), |_, sign, theta, w| {
                *theta = sign * *w - (rate * rule.pull(*theta)) as f32;
                *w = if *theta > 0.0 { sign * *theta } else { 0.0 };
            });
        });
        self.turnover.clone()
    }

    fn save(&self) -> State {
        Strengths::save(&self.strengths)
    }

    fn restore(&mut self, state: &State) -> bool {
        Strengths::restore(&mut self.strengths, state)
    }
}

/// Gradient rewiring in bounded memory. **Not from the paper**, which needs the gradient of every possible link at every update: here the
/// gradients of dormant links are seen a few sources at a time, and their strengths are forgotten in between.
///
/// All dormant links of `rows` sources are in the list of links for one update, with weight 0: the network does the same, and the learning
/// rule finds their gradient. Then the next sources follow, round and round.
/// ```text
/// live:                  as in GradR, until θ ≤ 0: then the link is dormant
/// dormant and looked at: θ = −η'·(s·∂L/∂w / d + α·sign(0 − μ)),   live from now on if θ > 0, else dormant as before
/// ```
/// So a link comes back where its gradient beats the prior, `−s·∂L/∂w/d > α`: at θ = 0 this is what the exact rule would do. `d` is 1 for
/// gradient descent; for Adam it is the root of the mean squared gradient over the live links of the projection, which is also what a link
/// that comes back begins with. The sign of a pair is a function of the seed, and initial weights are turned to it. Self-connections are
/// never looked at. Where links have delays of their own, that of a dormant link is a function of the seed too.
///
/// Runs on listed links; other projections are left to the optimiser. Memory: that of the live links, and of
/// `rows · targets` more.
///
/// | parameter | meaning | range |
/// |---|---|---|
/// | `prior` | penalty and sparsity | as in [`GradR`] |
/// | `rows` | sources looked at in one update | ≥ 1 |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GradRByRows {
    /// Penalty and sparsity.
    pub prior: GradR,
    /// Sources whose dormant links are looked at in one update.
    pub rows: usize,
}

const BY_ROWS: &str = "grad_r_by_rows";

impl Structure for GradRByRows {
    fn name(&self) -> &'static str {
        BY_ROWS
    }

    fn check(&self, engine: &Clocked<f32>) -> Result<(), StructureError> {
        self.prior.check(BY_ROWS)?;
        parameter(BY_ROWS, "rows", self.rows as f64, self.rows > 0, "1 or more")?;
        match (0..engine.links().len()).any(|k| listed(engine, k).is_some()) {
            true => Ok(()),
            false => Err(StructureError::Nothing { rule: BY_ROWS, wanted: "listed links; use `Connect::Random`" }),
        }
    }

    fn begin(&self, engine: &mut Clocked<f32>, seed: Seed) -> Box<dyn Wiring> {
        let mut lists = Vec::new();
        for k in 0..engine.links().len() {
            let Some(csr) = listed(engine, k) else { continue };
            let link = &engine.links()[k];
            let (sources, targets) = (engine.size(link.from) as u32, engine.cells()[link.to].size() as u32);
            let parts = (0..engine.links().len()).filter(|&other| engine.links()[other].projection == link.projection).collect();
            let (pairs, recurrent) = (stream(engine, link.projection, seed), link.from == Source::Population(link.to));
            let list = List { k, sources, targets, signs: pairs.child("signs"), parts, delays: pairs.child("delays"), recurrent };
            let negative: Vec<bool> = csr.cells().map(|(i, j)| list.negative(i, j)).collect();
            let w = flat_mut(engine.links_mut()[k].store.weights_mut());
            w.iter_mut().zip(negative).for_each(|(w, negative)| *w = signed(w.abs(), negative));
            lists.push(list);
        }
        let turnover = untouched(engine);
        Box::new(ByRows { rule: *self, lists, turnover, old: Vec::new(), gone: Vec::new(), new: Vec::new(), work: Rewiring::default() })
    }
}

struct List {
    k: usize,
    sources: u32,
    targets: u32,
    signs: Seed,
    /// The lists of the projection: one for each delay, if its links have delays of their own.
    parts: Vec<usize>,
    delays: Seed,
    recurrent: bool,
}

impl List {
    fn negative(&self, i: u32, j: u32) -> bool {
        coin(self.signs, self.pair(i, j))
    }

    fn pair(&self, i: u32, j: u32) -> u64 {
        u64::from(i) * u64::from(self.targets) + u64::from(j)
    }

    /// Whether a dormant link of this pair would have the delay of this list, and is not live with another.
    fn takes(&self, i: u32, j: u32, engine: &Clocked<f32>) -> bool {
        let place = self.delays.nth(self.pair(i, j)).value() % self.parts.len() as u64;
        let elsewhere = |&k: &usize| k != self.k && listed(engine, k).is_some_and(|csr| csr.find(i, j).is_some());
        self.parts[place as usize] == self.k && !self.parts.iter().any(elsewhere)
    }
}

struct ByRows {
    rule: GradRByRows,
    lists: Vec<List>,
    turnover: Vec<Turnover>,
    old: Vec<f32>,
    gone: Vec<u32>,
    new: Vec<(u32, u32)>,
    work: Rewiring<f32>,
}

impl Wiring for ByRows {
    fn update(&mut self, update: &mut Update<'_>) -> Vec<Turnover> {
        for k in (0..update.engine.links().len()).filter(|k| self.lists.iter().all(|list| list.k != *k)) {
            update.optimise(k);
        }
        for list in &self.lists {
            let entry = &mut self.turnover[update.engine.links()[list.k].projection];
            *entry = Turnover { possible: entry.possible, ..Turnover::default() };
        }
        for n in 0..self.lists.len() {
            self.list(n, update);
        }
        self.turnover.clone()
    }
}

impl ByRows {
    fn list(&mut self, n: usize, update: &mut Update<'_>) {
        let ByRows { rule, lists, turnover, old, gone, new, work } = self;
        let (list, prior, rate) = (&lists[n], rule.prior, update.corrected_rate());
        let Some(links) = listed(update.engine, list.k).map(|csr| csr.links()) else { return };
        old.clear();
        old.extend_from_slice(&flat(update.weights(list.k))[..links]);
        update.optimise(list.k);
        let looked_at = |w: f32| w == 0.0;
        let live = old.iter().filter(|w| !looked_at(**w)).count();
        let (mean, d) = match update.optimiser {
            Optimiser::Sgd { .. } => (0.0, 1.0),
            Optimiser::Adam { beta2, eps, .. } => {
                let second = flat(&update.moments.second[list.k]).iter().zip(&*old);
                let mean = second.filter(|(_, w)| !looked_at(**w)).map(|(&v, _)| f64::from(v)).sum::<f64>() / live.max(1) as f64;
                (mean as f32, (mean / (1.0 - beta2.powi(update.moments.updates as i32))).sqrt() + eps)
            }
        };
        let entry = &mut turnover[update.engine.links()[list.k].projection];
        let (mut pruned, mut grown) = (0, 0);
        gone.clear();
        let weights = flat_mut(update.engine.links_mut()[list.k].store.weights_mut());
        let gradient = flat(&update.gradients.links[list.k]);
        for slot in 0..links {
            let (before, negative) = (old[slot], old[slot].is_sign_negative());
            let sign = signed(1.0, negative);
            let theta = if looked_at(before) {
                (-rate * (f64::from(sign * gradient[slot]) / d + prior.pull(0.0))) as f32
            } else {
                sign * weights[slot] - (rate * prior.pull(before.abs())) as f32
            };
            weights[slot] = signed(theta, negative);
            if theta <= 0.0 {
                gone.push(slot as u32);
                pruned += u64::from(!looked_at(before));
            } else if looked_at(before) {
                grown += 1;
                if let Some(second) = update.moments.second.get_mut(list.k) {
                    flat_mut(second)[slot] = mean;
                }
            }
        }
        entry.add(&Turnover { live: entry.live + live as u64 + grown - pruned, possible: entry.possible, pruned, grown });
        // The next sources.
        new.clear();
        let first = (update.moments.updates.wrapping_mul(rule.rows as u64) % u64::from(list.sources)) as u32;
        let Some(csr) = listed(update.engine, list.k) else { return };
        for row in 0..list.sources.min(rule.rows as u32) {
            let i = (first + row) % list.sources;
            let free = |j: u32| csr.find(i, j).is_none_or(|slot| gone.binary_search(&slot).is_ok());
            new.extend(
                (0..list.targets).filter(|&j| !(list.recurrent && i == j) && free(j) && list.takes(i, j, update.engine)).map(|j| (i, j)),
            );
        }
        update.relink(list.k, gone, new.iter().copied(), work);
        let weights = flat_mut(update.weights(list.k));
        for (&(i, j), &slot) in new.iter().zip(work.placed()) {
            weights[slot as usize] = signed(0.0, list.negative(i, j));
        }
    }
}
