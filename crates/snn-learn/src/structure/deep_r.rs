//! DEEP R: a constant number of live links, and nothing else.

use super::{Structure, StructureError, Turnover, Update, Wiring, coin, listed, normal, parameter, signed, stream, untouched};
use rand::{RngExt, seq::SliceRandom};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use snn_core::Seed;
use snn_core::net::Links;
use snn_sparse::lanes::flat_mut;
use snn_sparse::store::{Csr, Rewiring};
use snn_sparse::{Clocked, LANES, Source, Synapses};
use std::collections::HashSet;

/// DEEP R (Bellec, Kappel, Maass & Legenstein 2018, arXiv 1711.05136, algorithm 1): live links follow gradient, l1 pull and noise; one that
/// crosses zero is replaced by a dormant pair drawn uniformly.
///
/// ```text
/// w = s·θ, θ ≥ 0, the sign s is fixed while the link lives
/// θ ← θ − η·s·∂E/∂w − η·α + √(2·η·T)·ν,    ν ~ N(0, 1)
/// θ ≤ 0: the link is removed, and another of strength 0 grows between a pair without a link; it may be the same pair
/// ```
/// The optimiser takes the place of `−η·s·∂E/∂w`, the rest acts outside of it with the raw learning rate. A new link starts without
/// momentum. It has weight 0, so that rewiring does not change what the network does; it is a live link all the same, and only its first
/// update decides whether it stays. (The authors' dense script writes 1e-12 there to tell it from a dormant one.)
///
/// Runs on projections with listed links, with one delay or delays of their own; those from every source to every target and convolutions
/// are left to the optimiser. A new link has the delay of the one it replaces. Nothing of the size sources × targets is kept. Memory: 10
/// bytes per link beside weights and moments, with noise 16 more. Cost: a few passes over the links per update; a draw takes two tries at
/// most, on average; where more than half of all pairs have a link it lists the free ones, 8 bytes each.
///
/// The network's connectivity is the initial one, its links the initial mask.
///
/// | parameter | meaning | default, range |
/// |---|---|---|
/// | `l1` | α, pull towards 0 | ≥ 0 |
/// | `temperature` | T; the authors' noise of η·n is T = η·n²/2 | 0; ≥ 0 |
/// | `signs` | sign of new links, see [`Signs`] | `Random` |
/// | `budget` | what stays constant, see [`Budget`] | `Each` |
/// | `autapses` | whether links from a neuron to itself may grow | `false` |
/// | `fixed` | projections `(from, to)` whose links stay as they are | none |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeepR {
    /// α.
    pub l1: f64,
    /// T.
    pub temperature: f64,
    /// Sign of new links.
    pub signs: Signs,
    /// What stays constant.
    pub budget: Budget,
    /// Whether links from a neuron to itself may grow.
    pub autapses: bool,
    /// Projections `(from, to)` with listed links that are left to the optimiser.
    pub fixed: Vec<(String, String)>,
}

/// How a new link gets its sign.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signs {
    /// By a fair coin for every new link; initial links have that of their weight.
    Random,
    /// By a coin that is thrown once per pair, as if all signs were stored. Initial weights are turned to it.
    Pair,
    /// By the source (Dale's law): in a population the first `round(inhibitory · size)` neurons inhibit, in an input as many channels drawn
    /// at random. Initial weights are turned to it.
    Source {
        /// Share of inhibitory sources, 0…1.
        inhibitory: f64,
    },
}

/// What stays constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    /// The number of links of each projection.
    Each,
    /// The number of links of the network: new links are split among projections by a draw with the projections' initial numbers of links as
    /// odds (those that are full are left out).
    Total,
}

impl DeepR {
    /// DEEP R with this l1 pull, without noise.
    pub const fn new(l1: f64) -> Self {
        DeepR { l1, temperature: 0.0, signs: Signs::Random, budget: Budget::Each, autapses: false, fixed: Vec::new() }
    }

    /// The projections it rewires.
    fn fields(&self, engine: &Clocked<f32>, seed: Seed) -> Vec<Field> {
        let draft = engine.network().draft();
        let rewired = |projection: &usize| {
            let p = &draft.projections[*projection];
            matches!(p.links, Links::Csr { .. }) && !p.fixed && !self.fixed.iter().any(|(from, to)| (from, to) == (&p.from, &p.to))
        };
        let field = |projection: usize| {
            let parts: Vec<usize> = (0..engine.links().len()).filter(|&k| engine.links()[k].projection == projection).collect();
            let sizes: Vec<u64> = parts.iter().map(|&k| listed(engine, k).map_or(0, Csr::links) as u64).collect();
            let (from, to) = parts.first().map(|&k| (engine.links()[k].from, engine.links()[k].to))?;
            let (sources, targets) = (engine.size(from) as u64, engine.cells()[to].size() as u64);
            let no_autapses = from == Source::Population(to) && !self.autapses;
            let own = stream(engine, projection, seed);
            let signs = match self.signs {
                Signs::Random => Sign::Coin,
                Signs::Pair => Sign::Pair(own.child("signs")),
                Signs::Source { inhibitory } => {
                    let count = (inhibitory * sources as f64).round() as usize;
                    let mut negative: Vec<bool> = (0..sources as usize).map(|i| i < count).collect();
                    if let Source::Input(i) = from {
                        negative.shuffle(&mut seed.child("inhibitory").child(&draft.inputs[i].name).rng());
                    }
                    Sign::Source(negative)
                }
            };
            Some(Field { projection, parts, quota: sizes.iter().sum(), sizes, sources, targets, no_autapses, own, signs })
        };
        (0..draft.projections.len()).filter(rewired).filter_map(field).collect()
    }
}

const NAME: &str = "deep_r";

impl Structure for DeepR {
    fn name(&self) -> &'static str {
        NAME
    }

    fn check(&self, engine: &Clocked<f32>) -> Result<(), StructureError> {
        parameter(NAME, "l1", self.l1, self.l1 >= 0.0, "zero or more")?;
        parameter(NAME, "temperature", self.temperature, self.temperature >= 0.0, "zero or more")?;
        if let Signs::Source { inhibitory } = self.signs {
            parameter(NAME, "inhibitory", inhibitory, (0.0..=1.0).contains(&inhibitory), "between 0 and 1")?;
        }
        let all = &engine.network().draft().projections;
        let refuse = |from: &str, to: &str, why: String| StructureError::Projection { rule: NAME, from: from.into(), to: to.into(), why };
        if let Some((from, to)) = self.fixed.iter().find(|(from, to)| !all.iter().any(|p| (from, to) == (&p.from, &p.to))) {
            return Err(refuse(from, to, "there is none of this name to keep fixed".into()));
        }
        let fields = self.fields(engine, Seed::new(0));
        if let Some(field) = fields.iter().find(|f| f.quota > f.possible()) {
            let (p, why) = (&all[field.projection], "it has more links than may grow again; allow autapses, or build it without them");
            return Err(refuse(&p.from, &p.to, why.into()));
        }
        match fields.is_empty() {
            true => Err(StructureError::Nothing { rule: NAME, wanted: "listed links that may be replaced; use `Connect::Random`" }),
            false => Ok(()),
        }
    }

    fn begin(&self, engine: &mut Clocked<f32>, seed: Seed) -> Box<dyn Wiring> {
        let fields = self.fields(engine, seed);
        for (field, &k) in fields.iter().flat_map(|field| field.parts.iter().map(move |k| (field, k))) {
            let signs: Vec<Option<bool>> =
                listed(engine, k).into_iter().flat_map(|csr| csr.cells()).map(|(i, j)| field.negative(i, j)).collect();
            let weights = flat_mut(engine.links_mut()[k].store.weights_mut());
            for (w, negative) in weights.iter_mut().zip(signs) {
                *w = negative.map_or(*w, |negative| signed(w.abs(), negative));
            }
        }
        let lists = engine.links().len();
        Box::new(Deep {
            l1: self.l1,
            temperature: self.temperature,
            total: self.budget == Budget::Total,
            split: seed.child("split"),
            turnover: untouched(engine),
            fields,
            gone: vec![Vec::new(); lists],
            new: vec![Vec::new(); lists],
            negative: Vec::new(),
            zero: Vec::new(),
            noise: Vec::new(),
            pairs: Vec::new(),
            drawn: HashSet::new(),
            free: Vec::new(),
            work: Rewiring::default(),
        })
    }
}

/// A projection that is rewired.
struct Field {
    projection: usize,
    /// Its lists in the engine: one per delay.
    parts: Vec<usize>,
    /// Their initial numbers of links.
    sizes: Vec<u64>,
    /// The sum of these.
    quota: u64,
    sources: u64,
    targets: u64,
    no_autapses: bool,
    own: Seed,
    signs: Sign,
}

enum Sign {
    Coin,
    Pair(Seed),
    Source(Vec<bool>),
}

impl Field {
    /// The sign of a pair, if it has one for good.
    fn negative(&self, i: u32, j: u32) -> Option<bool> {
        match &self.signs {
            Sign::Coin => None,
            Sign::Pair(seed) => Some(coin(*seed, u64::from(i) * self.targets + u64::from(j))),
            Sign::Source(negative) => Some(negative[i as usize]),
        }
    }

    /// Pairs that may have a link.
    fn possible(&self) -> u64 {
        self.sources * self.targets - if self.no_autapses { self.sources } else { 0 }
    }

    fn links(&self, engine: &Clocked<f32>) -> u64 {
        self.parts.iter().filter_map(|&k| listed(engine, k)).map(|csr| csr.links() as u64).sum()
    }
}

/// The rule at work. The sign of a link is the sign bit of its weight, also of a weight of zero: there is no state beside the links.
struct Deep {
    l1: f64,
    temperature: f64,
    total: bool,
    split: Seed,
    turnover: Vec<Turnover>,
    fields: Vec<Field>,
    gone: Vec<Vec<u32>>,             // by list: slots
    new: Vec<Vec<(u32, u32, bool)>>, // by list: pair, whether negative
    negative: Vec<u64>,              // of a list before its update
    zero: Vec<u64>,
    noise: Vec<(u64, f32)>, // pair, number
    pairs: Vec<(u32, u32)>,
    drawn: HashSet<u64>,
    free: Vec<u64>,
    work: Rewiring<f32>,
}

impl Wiring for Deep {
    fn update(&mut self, update: &mut Update<'_>) -> Vec<Turnover> {
        for k in 0..update.engine.links().len() {
            match self.fields.iter().position(|field| field.parts.contains(&k)) {
                Some(f) => self.step(f, k, update),
                None => update.optimise(k),
            }
        }
        let missing: Vec<u64> = self.fields.iter().map(|field| field.parts.iter().map(|&k| self.gone[k].len() as u64).sum()).collect();
        let grown = if self.total { self.shares(&missing, update) } else { missing.clone() };
        for f in 0..self.fields.len() {
            self.draw(f, grown[f], missing[f], update);
            self.replace(f, update);
            let entry = &mut self.turnover[self.fields[f].projection];
            (entry.live, entry.pruned, entry.grown) = (self.fields[f].links(update.engine), missing[f], grown[f]);
        }
        self.turnover.clone()
    }
}

impl Deep {
    /// Moves the strengths of list `k`, and finds which links are gone.
    fn step(&mut self, f: usize, k: usize, update: &mut Update<'_>) {
        let (field, updates) = (&self.fields[f], update.moments.updates);
        let (pull, width) = ((update.rate() * self.l1) as f32, (2.0 * update.rate() * self.temperature).sqrt() as f32);
        let Some(csr) = listed(update.engine, k) else { return };
        self.noise.clear();
        if width > 0.0 {
            self.noise.extend(csr.cells().map(|(i, j)| (u64::from(i) * field.targets + u64::from(j), 0.0)));
            let seed = field.own.child("noise").nth(updates);
            self.noise.par_iter_mut().with_min_len(1024).for_each(|(pair, x)| *x = width * normal(seed, *pair));
        }
        let links = csr.links();
        let mask =
            |of: fn(f32) -> bool| move |block: &snn_sparse::Block<f32>| (0..LANES).fold(0, |mask, l| mask | u64::from(of(block[l])) << l);
        self.negative.clear();
        self.negative.extend(csr.weights().iter().map(mask(f32::is_sign_negative)));
        self.zero.clear();
        self.zero.extend(csr.weights().iter().map(mask(|w| w == 0.0)));
        update.optimise(k);
        let gone = &mut self.gone[k];
        gone.clear();
        for (slot, w) in flat_mut(update.weights(k))[..links].iter_mut().enumerate() {
            let bit = |words: &[u64]| words[slot / LANES] >> (slot % LANES) & 1 == 1;
            let negative = bit(&self.negative);
            let theta = signed(*w, negative) - pull + self.noise.get(slot).map_or(0.0, |(_, x)| *x);
            // What is not a number stays: the trainer reports it.
            if theta < 0.0 || (theta == 0.0 && !bit(&self.zero)) {
                gone.push(slot as u32);
            }
            *w = signed(if theta == 0.0 { 0.0 } else { theta }, negative);
        }
    }

    /// Splits the missing links among the projections.
    fn shares(&self, missing: &[u64], update: &Update<'_>) -> Vec<u64> {
        let mut rng = self.split.nth(update.moments.updates).rng();
        let kept = |f: usize| self.fields[f].links(update.engine) - missing[f];
        let mut room: Vec<u64> = (0..missing.len()).map(|f| self.fields[f].possible().saturating_sub(kept(f))).collect();
        let mut grown = vec![0; missing.len()];
        for _ in 0..missing.iter().sum::<u64>() {
            let odds = |f: usize, even: bool| u64::from(room[f] > 0) * if even { 1 } else { self.fields[f].quota };
            // Where only projections that began empty have room, they are all the same.
            let even = (0..room.len()).all(|f| odds(f, false) == 0);
            let mut left = rng.random_range(0..(0..room.len()).map(|f| odds(f, even)).sum::<u64>());
            let chosen = (0..room.len()).find(|&f| {
                let here = left < odds(f, even);
                left -= left.min(odds(f, even));
                here
            });
            let f = chosen.expect("the draw is below the sum of the odds");
            room[f] -= 1;
            grown[f] += 1;
        }
        grown
    }

    /// Draws `count` pairs of projection `f` that have no link, and deals them out to its lists.
    fn draw(&mut self, f: usize, count: u64, missing: u64, update: &Update<'_>) {
        let (field, engine) = (&self.fields[f], &*update.engine);
        field.parts.iter().for_each(|&k| self.new[k].clear());
        if count == 0 {
            return;
        }
        let mut rng = field.own.child("grow").nth(update.moments.updates).rng();
        let pair = |cell: u64| ((cell / field.targets) as u32, (cell % field.targets) as u32);
        let gone = &self.gone;
        let free = |cell: u64| {
            let (i, j) = pair(cell);
            let lives = |&k: &usize| listed(engine, k)?.find(i, j).filter(|slot| gone[k].binary_search(slot).is_err());
            !(field.no_autapses && i == j) && field.parts.iter().find_map(lives).is_none()
        };
        let cells = field.sources * field.targets;
        self.pairs.clear();
        if 2 * (field.links(engine) + count - missing.min(count)) > field.possible() {
            self.free.clear();
            self.free.extend((0..cells).filter(|&cell| free(cell)));
            let (drawn, _) = self.free.partial_shuffle(&mut rng, count as usize);
            self.pairs.extend(drawn.iter().map(|&cell| pair(cell)));
        } else {
            self.drawn.clear();
            while (self.pairs.len() as u64) < count {
                let cell = rng.random_range(0..cells);
                if free(cell) && self.drawn.insert(cell) {
                    self.pairs.push(pair(cell));
                }
            }
        }
        // A new link has the delay of one that is gone, while there are such; then one drawn from the initial delays.
        let mut lists: Vec<usize> = field.parts.iter().flat_map(|&k| std::iter::repeat_n(k, gone[k].len())).collect();
        if field.parts.len() > 1 {
            lists.shuffle(&mut rng);
        }
        for (n, &(i, j)) in self.pairs.iter().enumerate() {
            let k = lists.get(n).copied().unwrap_or_else(|| {
                let mut left = rng.random_range(0..field.quota.max(1));
                let part = field.sizes.iter().position(|&size| {
                    let here = left < size;
                    left -= left.min(size);
                    here
                });
                field.parts[part.unwrap_or(0)]
            });
            let negative = field.negative(i, j).unwrap_or_else(|| rng.random());
            self.new[k].push((i, j, negative));
        }
    }

    /// Replaces the links that are gone.
    fn replace(&mut self, f: usize, update: &mut Update<'_>) {
        let Deep { fields, gone, new, work, .. } = self;
        let parts = &fields[f].parts;
        // A pair may go from one delay to another: out of all lists first.
        let several = parts.len() > 1;
        for &k in parts.iter().filter(|&&k| several && !gone[k].is_empty()) {
            update.relink(k, &gone[k], std::iter::empty(), work);
        }
        for &k in parts {
            let gone = if several { &[][..] } else { &gone[k] };
            if gone.is_empty() && new[k].is_empty() {
                continue;
            }
            update.relink(k, gone, new[k].iter().map(|&(i, j, _)| (i, j)), work);
            let weights = flat_mut(update.weights(k));
            for (&(.., negative), &slot) in new[k].iter().zip(work.placed()) {
                weights[slot as usize] = signed(0.0, negative);
            }
        }
    }
}
