//! What a layer of motifs may look like, relaxed so that it has a gradient.

use crate::error::{ArchError, check};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use snn_core::net::Links;

/// What a pair of units may be joined by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Nothing.
    None,
    /// A link of weight `+|w|`.
    Excitatory,
    /// A link of weight `−|w|`.
    Inhibitory,
}

impl Kind {
    /// All of them, in the order of their logits.
    pub const ALL: [Kind; 3] = [Kind::None, Kind::Excitatory, Kind::Inhibitory];

    fn sign(self) -> f64 {
        [0.0, 1.0, -1.0][self as usize]
    }
}

/// A layer whose units are cut into motifs of equal size, all of one topology, each with weights of its own: its candidate sizes.
///
/// Inside a motif of size `v` every ordered pair of units, a unit with itself among them, has a [`Kind`]; between motifs, which stand in a ring, each unit may hear
/// the unit of its own place in the next motif and in the one before. So a topology has `v² + 2v` entries, and the layer `N·(v + 2)` links at most.
///
/// Source: Zhang, Geng & Li 2024 (arXiv:2108.01793), sparsely connected motif layers. Which lateral pairs there are is ours.
///
/// ```
/// use snn_arch::motif::{Architecture, Motifs};
/// use snn_core::Seed;
/// let space = Motifs::new(8, &[2, 4])?;
/// let random = Architecture::random(&space, &mut Seed::new(1).rng());
/// let (_, weights) = random.discrete(&space).links(&space, &vec![0.5; space.links()]);
/// assert!(weights.iter().all(|w| w.abs() == 0.5));
/// # Ok::<(), snn_arch::ArchError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Motifs {
    units: usize,
    sizes: Vec<usize>,
    links: Vec<(usize, usize)>,
    /// For each candidate size, and each link: the entry of the topology that rules it, if one does.
    entries: Vec<Vec<Option<usize>>>,
}

impl Motifs {
    /// The space for a layer of `units` units.
    ///
    /// # Errors
    /// If there is no candidate size, or one that does not divide the units, or one that is given twice.
    pub fn new(units: usize, sizes: &[usize]) -> Result<Self, ArchError> {
        const OF: &str = "Motifs";
        check(!sizes.is_empty(), OF, "sizes", "none", "at least one")?;
        for (k, &v) in sizes.iter().enumerate() {
            check(v > 0 && units.is_multiple_of(v), OF, "sizes", v, "divisors of the number of units")?;
            check(!sizes[..k].contains(&v), OF, "sizes", v, "each size once")?;
        }
        let entry = |v: usize, p: usize, i: usize| {
            let (count, place) = (units / v, i % v);
            let (from, to) = (p / v, i / v);
            if from == to {
                return Some((p % v) * v + place);
            }
            let lateral = p % v == place;
            match () {
                () if lateral && from == (to + count - 1) % count => Some(v * v + place),
                () if lateral && from == (to + 1) % count => Some(v * v + v + place),
                () => None,
            }
        };
        let pairs = (0..units).flat_map(|p| (0..units).map(move |i| (p, i)));
        let links: Vec<_> = pairs.filter(|&(p, i)| sizes.iter().any(|&v| entry(v, p, i).is_some())).collect();
        let entries = sizes.iter().map(|&v| links.iter().map(|&(p, i)| entry(v, p, i)).collect()).collect();
        Ok(Motifs { units, sizes: sizes.to_vec(), links, entries })
    }

    /// Links that some candidate may have.
    pub fn links(&self) -> usize {
        self.links.len()
    }
    /// Units of the layer.
    pub fn units(&self) -> usize {
        self.units
    }
    /// Candidate sizes.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }
    /// Entries of the topology of each candidate size.
    fn topology(v: usize) -> usize {
        v * v + 2 * v
    }
    /// Numbers of an [`Architecture`].
    pub fn logits(&self) -> usize {
        self.sizes.len() + self.sizes.iter().map(|&v| 3 * Self::topology(v)).sum::<usize>()
    }

    /// All links that some candidate may have, source by source: those of the relaxed layer.
    pub fn description(&self) -> Links {
        listed(self.units, self.links.iter().copied())
    }

    /// What the weights of all links come to:
    ///
    /// ```text
    /// W_k = |w_k|·Σ_v π_v·(ρ_exc − ρ_inh)[v, entry of k],    π = softmax(sizes),  ρ = softmax(kinds)
    /// ```
    pub fn effective(&self, w: &[f64], of: &Architecture) -> Vec<f64> {
        let parts = Parts::new(of);
        (0..self.links())
            .map(|k| w[k].abs() * (0..self.sizes.len()).map(|s| parts.sizes[s] * self.value(&parts, s, k)).sum::<f64>())
            .collect()
    }

    /// The factor of link `k` in candidate `s`.
    fn value(&self, parts: &Parts, s: usize, k: usize) -> f64 {
        self.entries[s][k].map_or(0.0, |entry| parts.signs[s][entry])
    }

    /// The way back: from `g_k = ∂L/∂W_k` to the derivatives by the weights and by the logits. The entries of all motifs add up, as they share their topology.
    ///
    /// ```text
    /// ∂L/∂w_k = g_k·sign(w_k)·W_k/|w_k|;   ∂L/∂kind_c = Σ_k g_k·π_v·|w_k|·ρ_c·(f_c − Σ_c' ρ_c'·f_c');   ∂L/∂size_v = π_v·(J_v − Σ_u π_u·J_u)
    /// ```
    /// with `f` = 0, 1, −1 for none, excitatory, inhibitory and `J_v = Σ_k g_k·|w_k|·(factor of k in v)`.
    pub fn back(&self, w: &[f64], of: &Architecture, g: &[f64]) -> (Vec<f64>, Architecture) {
        let parts = Parts::new(of);
        let mut slopes = of.zero();
        let mut weights = vec![0.0; w.len()];
        let mut currents = vec![0.0; self.sizes.len()];
        for s in 0..self.sizes.len() {
            for k in 0..self.links() {
                let Some(entry) = self.entries[s][k] else { continue };
                let (pull, mean) = (g[k] * w[k].abs(), parts.signs[s][entry]);
                currents[s] += pull * mean;
                weights[k] += g[k] * w[k].signum() * parts.sizes[s] * mean;
                for kind in Kind::ALL {
                    slopes.kinds[s][entry][kind as usize] +=
                        pull * parts.sizes[s] * parts.kinds[s][entry][kind as usize] * (kind.sign() - mean);
                }
            }
        }
        let mean: f64 = parts.sizes.iter().zip(&currents).map(|(p, j)| p * j).sum();
        slopes.sizes.iter_mut().zip(&parts.sizes).zip(&currents).for_each(|((d, p), j)| *d = p * (j - mean));
        (weights, slopes)
    }
}

/// Listed links between `units` units, given source by source with targets ascending.
fn listed(units: usize, pairs: impl Iterator<Item = (usize, usize)>) -> Links {
    let (mut ends, mut targets) = (vec![0u32; units + 1], Vec::new());
    for (p, i) in pairs {
        ends[p + 1] += 1;
        targets.push(i as u32);
    }
    (0..units).for_each(|p| ends[p + 1] += ends[p]);
    Links::Csr { ends, targets }
}

/// A point of the relaxed space: logits of the sizes, and of the kinds of every entry of every size's topology.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Architecture {
    /// By candidate size.
    pub sizes: Vec<f64>,
    /// `[size][entry][kind]`; entries: source·v + target inside the motif, then places heard from the motif before, then from the one after.
    pub kinds: Vec<Vec<[f64; 3]>>,
}

impl Architecture {
    /// Everything as likely as anything else.
    pub fn uniform(space: &Motifs) -> Self {
        let kinds = space.sizes.iter().map(|&v| vec![[0.0; 3]; Motifs::topology(v)]).collect();
        Architecture { sizes: vec![0.0; space.sizes.len()], kinds }
    }

    /// A candidate drawn uniformly: a size, and a kind for each entry.
    pub fn random(space: &Motifs, rng: &mut impl Rng) -> Self {
        let mut drawn = Architecture::uniform(space);
        let size = rng.random_range(0..drawn.sizes.len());
        drawn.sizes[size] = 1.0;
        drawn.kinds.iter_mut().flatten().for_each(|logits| logits[rng.random_range(0..3)] = 1.0);
        drawn
    }

    /// As a list: sizes, then kinds.
    pub fn flat(&self) -> Vec<f64> {
        self.sizes.iter().chain(self.kinds.iter().flatten().flatten()).copied().collect()
    }

    /// From such a list; `None` if it has another length than the space's.
    pub fn from_flat(space: &Motifs, list: &[f64]) -> Option<Self> {
        if list.len() != space.logits() {
            return None;
        }
        let mut made = Architecture::uniform(space);
        let places = made.sizes.iter_mut().chain(made.kinds.iter_mut().flatten().flatten());
        places.zip(list).for_each(|(place, x)| *place = *x);
        Some(made)
    }

    fn zero(&self) -> Self {
        Architecture { sizes: vec![0.0; self.sizes.len()], kinds: self.kinds.iter().map(|list| vec![[0.0; 3]; list.len()]).collect() }
    }

    /// The likeliest size, and the likeliest kind of each entry; the first of equal ones.
    pub fn discrete(&self, space: &Motifs) -> Discrete {
        let size = snn_core::stats::largest(&self.sizes);
        let kinds = self.kinds[size].iter().map(|logits| Kind::ALL[snn_core::stats::largest(logits)]).collect();
        Discrete { size: space.sizes[size], place: size, kinds }
    }
}

/// A layer that is decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Discrete {
    /// Units of a motif.
    pub size: usize,
    place: usize,
    /// By entry of its topology.
    pub kinds: Vec<Kind>,
}

impl Discrete {
    /// Its links and their weights `±|w|`, of the weights of all links of the space.
    pub fn links(&self, space: &Motifs, w: &[f64]) -> (Links, Vec<f32>) {
        let kind = |k: usize| space.entries[self.place][k].map_or(Kind::None, |entry| self.kinds[entry]);
        let kept: Vec<usize> = (0..space.links()).filter(|&k| kind(k) != Kind::None).collect();
        let weights = kept.iter().map(|&k| (kind(k).sign() * w[k].abs()) as f32).collect();
        (listed(space.units, kept.iter().map(|&k| space.links[k])), weights)
    }

    /// The point of the relaxed space that is this layer, to the last bit that an exponential keeps: all other logits lie `far` below.
    pub fn logits(&self, space: &Motifs, far: f64) -> Architecture {
        let mut at = Architecture::uniform(space);
        at.sizes[self.place] = far;
        at.kinds[self.place].iter_mut().zip(&self.kinds).for_each(|(logits, kind)| logits[*kind as usize] = far);
        at
    }
}

/// The shares that logits stand for.
struct Parts {
    sizes: Vec<f64>,
    kinds: Vec<Vec<[f64; 3]>>,
    /// `ρ_exc − ρ_inh`.
    signs: Vec<Vec<f64>>,
}

impl Parts {
    fn new(of: &Architecture) -> Self {
        let kinds: Vec<Vec<[f64; 3]>> = of.kinds.iter().map(|list| list.iter().map(|l| softmax(*l)).collect()).collect();
        let signs = kinds.iter().map(|list| list.iter().map(|rho| rho[1] - rho[2]).collect()).collect();
        let top = of.sizes.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = of.sizes.iter().map(|x| (x - top).exp()).sum();
        Parts { sizes: of.sizes.iter().map(|x| (x - top).exp() / sum).collect(), kinds, signs }
    }
}

fn softmax(x: [f64; 3]) -> [f64; 3] {
    let top = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let e = x.map(|x| (x - top).exp());
    e.map(|y| y / e.iter().sum::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use snn_core::Seed;

    fn space() -> Motifs {
        Motifs::new(12, &[2, 3, 4]).unwrap()
    }

    fn normal(n: usize, seed: u64) -> Vec<f64> {
        let mut rng = Seed::new(seed).rng();
        (0..n).map(|_| rng.random::<f64>() * 2.0 - 1.0).collect()
    }

    fn any(seed: u64) -> Architecture {
        Architecture::from_flat(&space(), &normal(space().logits(), seed)).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// Derivatives by weights and logits are central differences of any smooth function of the weights that come out; those of a group of logits sum to zero.
        #[test]
        fn the_way_back_is_central_differences(seed in 0u64..1000) {
            let space = space();
            let (w, at, c) = (normal(space.links(), seed), any(seed + 1), normal(space.links(), seed + 2));
            let loss = |w: &[f64], at: &Architecture| space.effective(w, at).iter().zip(&c).map(|(x, c)| c * (x + x * x)).sum::<f64>();
            let g: Vec<f64> = space.effective(&w, &at).iter().zip(&c).map(|(x, c)| c * (1.0 + 2.0 * x)).collect();
            let (by_w, by_logits) = space.back(&w, &at, &g);
            for k in (0..w.len()).step_by(7) {
                let at_h = |h: f64| loss(&w.iter().enumerate().map(|(j, x)| if j == k { x + h } else { *x }).collect::<Vec<_>>(), &at);
                prop_assert!(((at_h(1e-6) - at_h(-1e-6)) / 2e-6 - by_w[k]).abs() < 1e-6 || w[k].abs() < 1e-6);
            }
            let flat = at.flat();
            for k in 0..flat.len() {
                let at_h = |h: f64| {
                    let moved: Vec<f64> = flat.iter().enumerate().map(|(j, x)| if j == k { x + h } else { *x }).collect();
                    loss(&w, &Architecture::from_flat(&space, &moved).unwrap())
                };
                prop_assert!(((at_h(1e-6) - at_h(-1e-6)) / 2e-6 - by_logits.flat()[k]).abs() < 1e-6);
            }
            prop_assert!(by_logits.sizes.iter().sum::<f64>().abs() < 1e-12);
            for group in by_logits.kinds.iter().flatten() {
                prop_assert!(group.iter().sum::<f64>().abs() < 1e-12);
            }
        }

        /// All logits on one candidate: the relaxed layer is the decided one.
        #[test]
        fn one_hot_is_discrete(seed in 0u64..1000) {
            let (space, at) = (space(), any(seed));
            let (w, decided) = (normal(space.links(), seed + 3), at.discrete(&space));
            let relaxed = space.effective(&w, &decided.logits(&space, 50.0));
            let (Links::Csr { ends, targets }, weights) = decided.links(&space, &w) else { unreachable!() };
            let mut matrix = vec![0.0; 12 * 12];
            (0..12).for_each(|p| (ends[p] as usize..ends[p + 1] as usize).for_each(|k| matrix[p * 12 + targets[k] as usize] = f64::from(weights[k])));
            for (k, &(p, i)) in space.links.iter().enumerate() {
                prop_assert!((relaxed[k] - matrix[p * 12 + i]).abs() < 1e-7 * (1.0 + w[k].abs()), "f32 weights");
                let exact = if matrix[p * 12 + i] == 0.0 { 0.0 } else { w[k].abs() * matrix[p * 12 + i].signum() };
                prop_assert!((relaxed[k] - exact).abs() < 1e-12);
            }
        }

        /// Turning the ring of motifs by one turns the matrix, if the weights turn too: one topology for all.
        #[test]
        fn motifs_may_change_places(seed in 0u64..1000, v in prop::sample::select(vec![2usize, 3, 4])) {
            let space = Motifs::new(12, &[v]).unwrap();
            let at = Architecture::from_flat(&space, &normal(space.logits(), seed)).unwrap();
            let w = normal(space.links(), seed + 1);
            let turned = |(p, i): (usize, usize)| ((p + v) % 12, (i + v) % 12);
            let place = |pair: (usize, usize)| space.links.iter().position(|l| *l == pair).unwrap();
            let mut moved = vec![0.0; w.len()];
            space.links.iter().enumerate().for_each(|(k, l)| moved[place(turned(*l))] = w[k]);
            let (before, after) = (space.effective(&w, &at), space.effective(&moved, &at));
            space.links.iter().enumerate().for_each(|(k, l)| assert_eq!(before[k], after[place(turned(*l))]));
        }
    }

    #[test]
    fn extremes() {
        let none = Motifs::new(6, &[2]).unwrap();
        let mut at = Architecture::uniform(&none);
        at.kinds[0].iter_mut().for_each(|l| l[0] = 1.0);
        assert_eq!(at.discrete(&none).links(&none, &vec![1.0; none.links()]).1.len(), 0);
        // A motif as large as the layer: a dense signed matrix.
        let all = Motifs::new(6, &[6]).unwrap();
        at = Architecture::uniform(&all);
        at.kinds[0].iter_mut().for_each(|l| l[1] = 1.0);
        let (_, weights) = at.discrete(&all).links(&all, &vec![-0.5; all.links()]);
        assert_eq!(weights, vec![0.5; 36]);
        assert_eq!(Motifs::new(12, &[4]).unwrap().links(), 12 * 4 + 12 * 2);
        assert!(Motifs::new(12, &[5]).unwrap_err().to_string().contains("divisors"));
        assert!(Motifs::new(12, &[]).is_err() && Motifs::new(12, &[2, 2]).is_err());
    }
}
