//! Weights and architecture in turns, as a structural rule.

use super::{Architecture, Motifs};
use serde::{Deserialize, Serialize};
use snn_core::Seed;
use snn_learn::structure::{State, Structure, StructureError, Turnover, Update, Wiring};
use snn_learn::{Moments, Optimiser};
use snn_sparse::lanes::{blocks, flat, flat_mut};
use snn_sparse::{Block, Clocked, LANES, Store, Synapses};

const NAME: &str = "motif_search";

/// Whose turn an update is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Turns {
    /// The architecture's and the weights', one after the other, the architecture first: give the trainer a batch of validation trials, then one of training trials
    /// ([`Trainer::step`](snn_learn::Trainer::step)). The first-order form of the bilevel problem.
    Both,
    /// The weights' alone: the architecture stays.
    Weights,
}

/// Search for the topology of a projection from a population to itself:
///
/// ```text
/// α ← α − η_α·∇_α L_valid,    w ← w − η·∇_w L_train,    both through the weights W(w, α) that the network runs with
/// ```
/// The projection has the links of [`Motifs::description`]; its weights at the start are the `w`. All other projections and parameters of neurons are the optimiser's, in the
/// turns of the weights.
///
/// The state that is saved holds the `w` and the logits: [`Search::architecture`] reads them from a checkpoint.
#[derive(Clone, Debug)]
pub struct Search {
    /// The space.
    pub space: Motifs,
    /// The population.
    pub population: String,
    /// Where it begins: [`Architecture::uniform`] for a search.
    pub start: Architecture,
    /// Whose turn an update is.
    pub turns: Turns,
    /// What becomes of the logits' gradient.
    pub optimiser: Optimiser,
}

impl Search {
    /// The architecture in a checkpoint's state of this rule.
    pub fn architecture(&self, state: &State) -> Option<Architecture> {
        let logits = state.strength.get(1)?;
        let list: Vec<f64> = logits.iter().take(self.space.logits()).map(|&x| f64::from(x)).collect();
        Architecture::from_flat(&self.space, &list)
    }

    /// Which list of links it is.
    fn list(&self, engine: &Clocked<f32>) -> Result<usize, StructureError> {
        let draft = engine.network().draft();
        let own = |p: &snn_core::net::Projection| p.from == self.population && p.to == self.population;
        let Some(projection) = draft.projections.iter().position(own) else {
            return Err(StructureError::Nothing { rule: NAME, wanted: "the population it searches in as its source and target" });
        };
        let refuse = |why: &str| {
            let p = &draft.projections[projection];
            Err(StructureError::Projection { rule: NAME, from: p.from.clone(), to: p.to.clone(), why: why.into() })
        };
        if draft.projections[projection].links != self.space.description() {
            return refuse("needs the links of `Motifs::description`, all that some candidate may have");
        }
        let parts: Vec<usize> = (0..engine.links().len()).filter(|&k| engine.links()[k].projection == projection).collect();
        match parts[..] {
            [k] if engine.links()[k].learns && matches!(engine.links()[k].store, Store::Csr(_)) => Ok(k),
            _ => refuse("must learn, with one delay for all links, into a population whose inputs are not kept apart"),
        }
    }
}

impl Structure for Search {
    fn name(&self) -> &'static str {
        NAME
    }

    fn check(&self, engine: &Clocked<f32>) -> Result<(), StructureError> {
        self.list(engine)?;
        let wanted = "a point of this space";
        match self.start.flat().len() == self.space.logits() {
            true => Ok(()),
            false => Err(StructureError::Parameter { rule: NAME, name: "start", value: "another space's".into(), wanted }),
        }
    }

    fn begin(&self, engine: &mut Clocked<f32>, _: Seed) -> Box<dyn Wiring> {
        // `check` came first.
        let k = self.list(engine).unwrap_or_default();
        let store = &engine.links()[k].store;
        let (slots, latent) = (store.slots(), store.weights().to_vec());
        let mut logits = vec![Block::zero(); blocks(self.space.logits())];
        flat_mut(&mut logits).iter_mut().zip(self.start.flat()).for_each(|(x, y)| *x = y as f32);
        let moments = Moments::new(&self.optimiser, &[logits.len()]);
        let working = Working { search: self.clone(), k, slots, latent, logits, moments, turns: 0 };
        working.write(engine);
        Box::new(working)
    }
}

struct Working {
    search: Search,
    k: usize,
    /// Where each link's weight is.
    slots: Vec<usize>,
    latent: Vec<Block<f32>>,
    logits: Vec<Block<f32>>,
    moments: Moments,
    turns: u64,
}

impl Working {
    fn weights(&self) -> Vec<f64> {
        self.slots.iter().map(|&slot| f64::from(flat(&self.latent)[slot])).collect()
    }

    fn architecture(&self) -> Architecture {
        let list: Vec<f64> = flat(&self.logits)[..self.search.space.logits()].iter().map(|&x| f64::from(x)).collect();
        Architecture::from_flat(&self.search.space, &list).unwrap_or_else(|| self.search.start.clone())
    }

    /// What the network runs with.
    fn write(&self, engine: &mut Clocked<f32>) {
        let effective = self.search.space.effective(&self.weights(), &self.architecture());
        let into = flat_mut(engine.links_mut()[self.k].store.weights_mut());
        self.slots.iter().zip(effective).for_each(|(&slot, w)| into[slot] = w as f32);
    }
}

impl Wiring for Working {
    fn update(&mut self, update: &mut Update<'_>) -> Vec<Turnover> {
        let gradient: Vec<f64> = self.slots.iter().map(|&slot| f64::from(flat(&update.gradients.links[self.k])[slot])).collect();
        let (by_weight, by_logit) = self.search.space.back(&self.weights(), &self.architecture(), &gradient);
        let architecture = self.search.turns == Turns::Both && self.turns.is_multiple_of(2);
        self.turns += 1;
        if architecture {
            let mut slopes = vec![Block::zero(); self.logits.len()];
            flat_mut(&mut slopes).iter_mut().zip(by_logit.flat()).for_each(|(x, y)| *x = y as f32);
            self.moments.tick();
            self.moments.update(&self.search.optimiser, 1.0, 0, &mut self.logits, &slopes);
            // Nothing else is taught, the parameters of neurons either.
            update.gradients.parameters.iter_mut().flatten().for_each(|g| *g = Block::zero());
        } else {
            let into = flat_mut(&mut update.gradients.links[self.k]);
            self.slots.iter().zip(by_weight).for_each(|(&slot, g)| into[slot] = g as f32);
            (0..update.engine.links().len()).filter(|&k| k != self.k).for_each(|k| update.optimise(k));
            update.moments.update(&update.optimiser, update.factor, self.k, &mut self.latent, &update.gradients.links[self.k]);
        }
        self.write(update.engine);
        let live = |link: &snn_sparse::Link<f32>| Turnover { live: link.store.slots().len() as u64, ..Turnover::default() };
        let mut turnover = vec![Turnover::default(); update.engine.network().draft().projections.len()];
        update.engine.links().iter().for_each(|link| turnover[link.projection].live += live(link).live);
        turnover
    }

    fn save(&self) -> State {
        let one = |list: &[Vec<Block<f32>>]| list.first().map_or(Vec::new(), |m| flat(m).to_vec());
        // Updates and turns are whole numbers that f32 holds up to 2²⁴; halves keep them exact beyond.
        let halves = |n: u64| [(n & 0xfff_fff) as f32, (n >> 24) as f32];
        let counts = [halves(self.moments.updates), halves(self.turns)].concat();
        let strength =
            vec![flat(&self.latent).to_vec(), flat(&self.logits).to_vec(), one(&self.moments.first), one(&self.moments.second), counts];
        State { strength, negative: Vec::new() }
    }

    fn restore(&mut self, state: &State) -> bool {
        let second = self.moments.second.first().map_or(0, |m| m.len() * LANES);
        let lengths = [self.latent.len() * LANES, self.logits.len() * LANES, self.logits.len() * LANES, second, 4];
        if state.strength.iter().map(Vec::len).ne(lengths) {
            return false;
        }
        let number = |pair: &[f32]| pair[0] as u64 | (pair[1] as u64) << 24;
        flat_mut(&mut self.latent).copy_from_slice(&state.strength[0]);
        flat_mut(&mut self.logits).copy_from_slice(&state.strength[1]);
        self.moments.first.iter_mut().for_each(|m| flat_mut(m).copy_from_slice(&state.strength[2]));
        self.moments.second.iter_mut().for_each(|m| flat_mut(m).copy_from_slice(&state.strength[3]));
        (self.moments.updates, self.turns) = (number(&state.strength[4][..2]), number(&state.strength[4][2..]));
        true
    }
}
