//! Soft-DEEP R: every possible link has a strength that moves, and lives while it is positive.

use super::{State, Strengths, Structure, StructureError, Turnover, Update, Wiring, normal, parameter, stream, untouched, with_strengths};
use serde::{Deserialize, Serialize};
use snn_core::{Seed, Value};
use snn_sparse::{Clocked, Synapses};

/// Soft-DEEP R (Bellec, Kappel, Maass & Legenstein 2018, arXiv 1711.05136, algorithm 2): the number of live links fluctuates around a mean.
///
/// ```text
/// w = s·max(θ, 0)
/// live (θ > 0):  θ ← θ − η·s·∂E/∂w − η·α + √(2·η·T)·ν,    ν ~ N(0, 1)
/// dormant:       θ ← max(θ + √(2·η·T)·ν, θ_min),          θ_min = −(1 − p)/p · T/α
/// ```
/// Without a gradient the strengths of live links are exponential with mean `T/α`, those of dormant links uniform above `θ_min`, and a share
/// `p` is live. The optimiser takes the place of `−η·s·∂E/∂w`; its moments of dormant links are zero. `α` and the noise act outside of it,
/// with the raw learning rate.
///
/// All parameters move, so this runs on projections from every source to every target and on convolutions, and others are left to the
/// optimiser. Memory: 4 bytes and a bit per possible link beside weights and moments. A gradient clip counts dormant links too.
///
/// At the start a share `p` of the links lives with their initial weights; the rest is uniform above `θ_min`.
/// Departure: the authors' script gives the first share strengths of either sign, so that half of them begin dormant.
///
/// | parameter | meaning | range |
/// |---|---|---|
/// | `l1` | α, pull of live links towards 0 | > 0 |
/// | `temperature` | T; the noise of a step has the standard deviation √(2·η·T) | > 0 |
/// | `connectivity` | p, for all projections or for each that the rule takes | in (0, 1) |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SoftDeepR {
    /// α.
    pub l1: f64,
    /// T.
    pub temperature: f64,
    /// Mean share of live links without a gradient.
    pub connectivity: Value,
}

impl SoftDeepR {
    /// The least strength `θ_min` at this connectivity.
    pub fn least(&self, connectivity: f64) -> f64 {
        -(1.0 - connectivity) / connectivity * self.temperature / self.l1
    }
}

const NAME: &str = "soft_deep_r";

impl Structure for SoftDeepR {
    fn name(&self) -> &'static str {
        NAME
    }

    fn check(&self, engine: &Clocked<f32>) -> Result<(), StructureError> {
        parameter(NAME, "l1", self.l1, self.l1 > 0.0, "positive: it sets the scale of strengths")?;
        parameter(NAME, "temperature", self.temperature, self.temperature > 0.0, "positive: without noise no link comes back")?;
        for &p in self.connectivity.given() {
            parameter(NAME, "connectivity", p, 0.0 < p && p < 1.0, "between 0 and 1")?;
        }
        Strengths::check(NAME, engine)?;
        let (given, taken) = (self.connectivity.given().len(), Strengths::all(engine).len());
        let wanted = "one number, or one for each projection from every source to every target (and each convolution)";
        match self.connectivity.fits(taken) {
            true => Ok(()),
            false => Err(StructureError::Parameter { rule: NAME, name: "connectivity", value: format!("a list of {given}"), wanted }),
        }
    }

    fn begin(&self, engine: &mut Clocked<f32>, seed: Seed) -> Box<dyn Wiring> {
        let mut strengths = Strengths::all(engine);
        let mut lists = Vec::new();
        for (n, s) in strengths.iter_mut().enumerate() {
            let (p, own) = (self.connectivity.at(n), stream(engine, engine.links()[s.k].projection, seed));
            let (least, start) = (self.least(p), own.child("start"));
            let uniform = |index: usize| (start.nth(index as u64).value() >> 11) as f64 / (1u64 << 53) as f64;
            s.each(engine.links_mut()[s.k].store.weights_mut(), |index, sign, theta, w| {
                // Below p: live. The rest of the unit interval is stretched over the dormant strengths.
                let u = uniform(index);
                if u >= p {
                    *theta = (least * (u - p) / (1.0 - p)) as f32;
                }
                *w = sign * theta.max(0.0);
            });
            lists.push((least as f32, own.child("noise")));
        }
        Box::new(Soft { rule: self.clone(), strengths, lists, turnover: untouched(engine) })
    }
}

struct Soft {
    rule: SoftDeepR,
    strengths: Vec<Strengths>,
    lists: Vec<(f32, Seed)>, // least strength, noise
    turnover: Vec<Turnover>,
}

impl Wiring for Soft {
    fn update(&mut self, update: &mut Update<'_>) -> Vec<Turnover> {
        let (pull, width) = ((update.rate() * self.rule.l1) as f32, (2.0 * update.rate() * self.rule.temperature).sqrt() as f32);
        let mut lists = self.lists.iter();
        with_strengths(&mut self.strengths, &mut self.turnover, update, |s, update| {
            let (least, noise) = *lists.next().expect("one per list");
            let noise = noise.nth(update.moments.updates);
            // Dormant links have no gradient.
            s.each(&mut update.gradients.links[s.k], |_, _, theta, g| *g = if *theta > 0.0 { *g } else { 0.0 });
            update.optimise(s.k);
            s.each(update.engine.links_mut()[s.k].store.weights_mut(), |index, sign, theta, w| {
                let moved = if *theta > 0.0 { sign * *w - pull } else { *theta };
                *theta = (moved + width * normal(noise, index as u64)).max(least);
                *w = if *theta > 0.0 { sign * *theta } else { 0.0 };
            });
            // A link that comes back starts without momentum.
            for moments in [Some(&mut update.moments.first[s.k]), update.moments.second.get_mut(s.k)].into_iter().flatten() {
                s.each(moments, |_, _, theta, m| *m = if *theta > 0.0 { *m } else { 0.0 });
            }
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
