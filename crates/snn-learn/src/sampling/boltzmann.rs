//! Boltzmann distributions over binary vectors: the target, counted exactly where it is small, and sampled without neurons.

use super::SamplingError;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};
use snn_core::Seed;
use snn_core::ann::sigmoid;

/// Most units of a distribution that is enumerated.
pub const MOST_ENUMERATED: usize = 12;

/// `p(z) ∝ exp(½·zᵀWz + bᵀz)` over `z ∈ {0,1}ᴺ`, with `W` symmetric and without diagonal: kept as pairs, so that it cannot be anything else.
///
/// ```
/// use snn_learn::sampling::Boltzmann;
/// let b = Boltzmann::dense(&[vec![0.0, 1.0], vec![1.0, 0.0]], vec![0.0, 0.0])?;
/// let e = std::f64::consts::E;
/// let p = b.exact()?;                                         // state s has unit k where bit k is set
/// assert!((p[3] - e / (3.0 + e)).abs() < 1e-12 && (p[0] - 1.0 / (3.0 + e)).abs() < 1e-12);
/// assert!(Boltzmann::dense(&[vec![0.0, 1.0], vec![2.0, 0.0]], vec![0.0, 0.0]).is_err());
/// # Ok::<(), snn_learn::sampling::SamplingError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Boltzmann {
    /// `b`.
    pub biases: Vec<f64>,
    /// `W` of each of [`pairs`](Self::pairs).
    pub weights: Vec<f64>,
    pairs: Vec<(u32, u32)>,
    /// By unit: the others it is joined with, and the pair.
    joined: Vec<Vec<(u32, u32)>>,
}

impl Boltzmann {
    /// Units with these biases and pairs `(i, j)`, weights zero.
    ///
    /// # Errors
    /// [`SamplingError::Target`] if a pair is not of two different units, or a bias not finite.
    pub fn new(biases: Vec<f64>, pairs: Vec<(u32, u32)>) -> Result<Self, SamplingError> {
        let n = biases.len();
        if let Some(pair) = pairs.iter().find(|(i, j)| i == j || *i as usize >= n || *j as usize >= n) {
            return Err(SamplingError::Target(format!("pair {pair:?} of {n} units: give two different units")));
        }
        if let Some(k) = biases.iter().position(|b| !b.is_finite()) {
            return Err(SamplingError::Target(format!("bias {k} is {}: must be finite", biases[k])));
        }
        let mut joined = vec![Vec::new(); n];
        for (k, &(i, j)) in pairs.iter().enumerate() {
            joined[i as usize].push((j, k as u32));
            joined[j as usize].push((i, k as u32));
        }
        Ok(Boltzmann { biases, weights: vec![0.0; pairs.len()], pairs, joined })
    }

    /// From a matrix of weights, row by row; every pair is there, also those of weight 0.
    ///
    /// # Errors
    /// [`SamplingError::Target`] if the matrix is not square and symmetric with a diagonal of zeros, or a number is not finite.
    pub fn dense(weights: &[Vec<f64>], biases: Vec<f64>) -> Result<Self, SamplingError> {
        let n = biases.len();
        if weights.len() != n || weights.iter().any(|row| row.len() != n) {
            return Err(SamplingError::Target(format!("the weights must be {n} rows of {n}, as there are {n} biases")));
        }
        let odd = |&(i, j): &(usize, usize)| {
            let w = weights[i][j];
            !w.is_finite() || if i == j { w != 0.0 } else { w != weights[j][i] }
        };
        if let Some((i, j)) = (0..n).flat_map(|i| (0..n).map(move |j| (i, j))).find(odd) {
            let why = "the matrix must be symmetric and finite, its diagonal zero";
            return Err(SamplingError::Target(format!("weights {i},{j} = {} and {j},{i} = {}: {why}", weights[i][j], weights[j][i])));
        }
        let pairs: Vec<(u32, u32)> = (0..n as u32).flat_map(|j| (0..j).map(move |i| (i, j))).collect();
        let given = pairs.iter().map(|&(i, j)| weights[i as usize][j as usize]).collect();
        Ok(Boltzmann { weights: given, ..Self::new(biases, pairs)? })
    }

    /// Every pair of `n` units, weights and biases normal with these standard deviations.
    pub fn random(n: usize, weight: f64, bias: f64, seed: Seed) -> Self {
        let pairs = (0..n as u32).flat_map(|j| (0..j).map(move |i| (i, j))).collect();
        Self::drawn(n, pairs, weight, bias, seed)
    }

    /// A restricted machine: `visible` units and `hidden` ones after them, every visible one joined with every hidden one. Biases 0, weights normal.
    pub fn restricted(visible: usize, hidden: usize, weight: f64, seed: Seed) -> Self {
        let (v, n) = (visible as u32, (visible + hidden) as u32);
        let pairs = (0..v).flat_map(|i| (v..n).map(move |j| (i, j))).collect();
        Self::drawn(visible + hidden, pairs, weight, 0.0, seed)
    }

    fn drawn(n: usize, pairs: Vec<(u32, u32)>, weight: f64, bias: f64, seed: Seed) -> Self {
        let mut rng = seed.rng();
        let mut normal = |std: f64| std * <StandardNormal as Distribution<f64>>::sample(&StandardNormal, &mut rng);
        let biases: Vec<f64> = (0..n).map(|_| normal(bias)).collect();
        let weights = pairs.iter().map(|_| normal(weight)).collect();
        let mut joined = vec![Vec::new(); n];
        for (k, &(i, j)) in pairs.iter().enumerate() {
            joined[i as usize].push((j, k as u32));
            joined[j as usize].push((i, k as u32));
        }
        Boltzmann { biases, weights, pairs, joined }
    }

    /// Number of units.
    pub fn size(&self) -> usize {
        self.biases.len()
    }

    /// The units that are joined.
    pub fn pairs(&self) -> &[(u32, u32)] {
        &self.pairs
    }

    /// The units that unit `k` is joined with, each with the index of the pair.
    pub fn joined(&self, k: usize) -> &[(u32, u32)] {
        &self.joined[k]
    }

    /// `u_k = b_k + Σ_j W_kj·z_j`: the log-odds of unit `k` given the others.
    pub fn field(&self, k: usize, z: &[bool]) -> f64 {
        self.biases[k] + self.joined[k].iter().map(|&(j, w)| if z[j as usize] { self.weights[w as usize] } else { 0.0 }).sum::<f64>()
    }

    /// The probability of every state; unit `k` is on in state `s` where bit `k` of `s` is set. Cost: 2ᴺ·N.
    ///
    /// # Errors
    /// [`SamplingError::Target`] if there are more than [`MOST_ENUMERATED`] units.
    pub fn exact(&self) -> Result<Vec<f64>, SamplingError> {
        let n = self.size();
        if n > MOST_ENUMERATED {
            return Err(SamplingError::Target(format!("{n} units: at most {MOST_ENUMERATED} are enumerated; sample instead")));
        }
        let on = |s: usize, k: u32| s >> k & 1 == 1;
        let energy = |s: usize| {
            let biases: f64 = (0..n).filter(|&k| on(s, k as u32)).map(|k| self.biases[k]).sum();
            let pairs = self.pairs.iter().zip(&self.weights).filter(|((i, j), _)| on(s, *i) && on(s, *j));
            biases + pairs.map(|(_, w)| w).sum::<f64>()
        };
        let energies: Vec<f64> = (0..1 << n).map(energy).collect();
        let most = energies.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = energies.iter().map(|e| (e - most).exp()).collect();
        let sum: f64 = weights.iter().sum();
        Ok(weights.into_iter().map(|w| w / sum).collect())
    }

    /// A sweep of Gibbs sampling: every unit that is not clamped is drawn anew given the others, in order.
    pub fn sweep(&self, z: &mut [bool], clamp: &[Option<bool>], rng: &mut impl Rng) {
        for k in 0..self.size() {
            z[k] = clamp[k].unwrap_or_else(|| rng.random::<f64>() < sigmoid(self.field(k, z)));
        }
    }
}

/// Abstract neurons that sample: a unit is on for `tau` steps after it fired, and may fire again in the last of them.
///
/// ```text
/// p(unit k fires | it is off, or in its last step) = σ(u_k − log τ),    u_k = b_k + Σ_j W_kj·z_j
/// ```
/// One after the other in each step; then the distribution over the steps is `p(z)` exactly. Calls `visit` after each of `steps` steps.
///
/// Source: Büsing et al. 2011, eqs. 4–6.
pub fn neural_sampling(target: &Boltzmann, tau: u32, steps: usize, seed: Seed, mut visit: impl FnMut(&[bool])) {
    let (mut rng, shift) = (seed.rng(), f64::from(tau.max(1)).ln());
    let (mut left, mut z) = (vec![0u32; target.size()], vec![false; target.size()]);
    for _ in 0..steps {
        for k in 0..target.size() {
            let fires = left[k] <= 1 && rng.random::<f64>() < sigmoid(target.field(k, &z) - shift);
            left[k] = if fires { tau.max(1) } else { left[k].saturating_sub(1) };
            z[k] = left[k] > 0;
        }
        visit(&z);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Histogram;
    use super::*;
    use proptest::prelude::*;

    fn close(p: &[f64], q: &[f64], at_most: f64) -> bool {
        p.iter().zip(q).all(|(p, q)| (p - q).abs() <= at_most)
    }

    #[test]
    fn impossible_targets_are_named() {
        let text = |b: Result<Boltzmann, SamplingError>| b.unwrap_err().to_string();
        assert!(text(Boltzmann::dense(&[vec![0.0, 1.0], vec![0.5, 0.0]], vec![0.0; 2])).contains("weights 0,1 = 1 and 1,0 = 0.5"));
        assert!(text(Boltzmann::dense(&[vec![0.1]], vec![0.0])).contains("its diagonal zero"));
        assert!(text(Boltzmann::dense(&[vec![0.0]], vec![0.0; 2])).contains("2 rows of 2"));
        assert!(text(Boltzmann::new(vec![0.0; 2], vec![(1, 1)])).contains("two different units"));
        assert!(text(Boltzmann::new(vec![f64::NAN], vec![])).contains("bias 0"));
        assert!(Boltzmann::random(13, 1.0, 1.0, Seed::new(0)).exact().is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        /// Both reference samplers go where the enumeration says: four standard errors, for states that are as good as independent after a few sweeps.
        #[test]
        fn samplers_have_the_distribution(seed in 0u64..1000) {
            let target = Boltzmann::random(4, 0.8, 0.8, Seed::new(seed));
            let (p, mut met, mut z, mut rng) = (target.exact().unwrap(), Histogram::new(4), vec![false; 4], Seed::new(seed).child("gibbs").rng());
            for _ in 0..40_000 {
                target.sweep(&mut z, &[None; 4], &mut rng);
                met.add(&z);
            }
            prop_assert!(close(&met.shares(0.0), &p, 4.0 * (0.25 * 4.0 / 40_000f64).sqrt()), "Gibbs");
            let mut met = Histogram::new(4);
            neural_sampling(&target, 10, 400_000, Seed::new(seed), |z| met.add(z));
            prop_assert!(close(&met.shares(0.0), &p, 4.0 * (0.25 * 40.0 / 400_000f64).sqrt()), "neural sampling");
        }

        /// A clamped unit stays, and the others have the conditional distribution.
        #[test]
        fn clamped_units_stay(seed in 0u64..1000) {
            let target = Boltzmann::random(3, 1.0, 1.0, Seed::new(seed));
            let p = target.exact().unwrap();
            let (mut met, mut z, mut rng) = (Histogram::new(3), vec![false; 3], Seed::new(seed).rng());
            for _ in 0..40_000 {
                target.sweep(&mut z, &[None, Some(true), None], &mut rng);
                met.add(&z);
            }
            let given: f64 = (0..8).filter(|s| s >> 1 & 1 == 1).map(|s| p[s]).sum();
            let expected: Vec<f64> = (0..8).map(|s| if s >> 1 & 1 == 1 { p[s] / given } else { 0.0 }).collect();
            prop_assert!(close(&met.shares(0.0), &expected, 0.02));
        }
    }

    #[test]
    fn without_weights_units_are_independent() {
        let p = Boltzmann { weights: vec![0.0; 3], ..Boltzmann::random(3, 1.0, 1.0, Seed::new(1)) };
        let on = |k: usize| sigmoid(p.biases[k]);
        for (s, p) in p.exact().unwrap().into_iter().enumerate() {
            let product: f64 = (0..3).map(|k| if s >> k & 1 == 1 { on(k) } else { 1.0 - on(k) }).product();
            assert!((p - product).abs() < 1e-12);
        }
    }
}
