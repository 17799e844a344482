//! Which neurons several assemblies share, from the sizes of their intersections: a set diagram by tensor decomposition.
//!
//! Assemblies are sets of neurons. A *region* of their diagram is what some of them share and the others do not have. How large the intersections of two, three or five
//! sets are can be measured without knowing a single region; few measurements are enough to find all of them, if there are not too many.
//!
//! Source: Anari, Daskalakis, Maass, Papadimitriou, Saberi & Vempala 2018, NeurIPS; arXiv:1810.11896. The order of the steps, the reduced rows and the tests are ours.

use faer::{Mat, Side, linalg::solvers::Solve};
use rand::RngExt;
use snn_core::Seed;
use std::collections::BTreeMap;
use std::ops::Range;

/// Most sets of a family: one bit each.
pub const MAX_SETS: usize = 32;

/// Sets as the bits of a number.
pub type Sets = u32;

/// What some sets share and no other has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Region {
    /// Its sets.
    pub sets: Sets,
    /// How many elements.
    pub size: u64,
}

/// Why a diagram cannot be measured or found.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AssemblyError {
    /// Impossible measurement.
    #[error("{sets} sets, intersections of up to {order}: give 1 to {MAX_SETS} sets, and an order from 1 to their number")]
    Shape {
        /// Sets.
        sets: usize,
        /// Order.
        order: usize,
    },
    /// A region of no set, of sets that are not there, empty, or listed twice.
    #[error("region {sets:#b} of size {size}: {why}")]
    Region {
        /// Its sets.
        sets: Sets,
        /// Its size.
        size: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// Decomposition needs an odd order of three or more.
    #[error("intersections of up to {0} sets: a decomposition needs an odd number from 3 on; measure one more, or `lower` them")]
    Order(usize),
    /// A measurement is no number, or below 0.
    #[error("the intersection {sets:#b} has the size {size}: give numbers from 0 on")]
    Size {
        /// The sets.
        sets: Sets,
        /// What was measured.
        size: f64,
    },
    /// Regions cannot be drawn.
    #[error(
        "{regions} regions of {sets} sets, flipped with probability {flips}: give 1 to {MAX_SETS} sets, fewer regions than 2^sets, sizes from 1 on, and likelier flips"
    )]
    Draw {
        /// Sets.
        sets: usize,
        /// Regions.
        regions: usize,
        /// Probability of a flip.
        flips: f64,
    },
    /// Nothing that was found explains the measurements.
    #[error("no diagram of up to {most} regions has these intersections: {why}; measure a higher order")]
    NotFound {
        /// Most regions that this order can tell apart.
        most: usize,
        /// Where it failed.
        why: String,
    },
}

/// Sizes of the intersections of up to so many of `n` sets, `T(S) = |⋂_{i∈S} A_i|`.
///
/// As a tensor, `T[i₁ … i_l] = Σ_j w_j·X_j[i₁]⋯X_j[i_l]` over the regions `j`, with `X_j` their sets as zeros and ones and `w_j` their sizes. As `x² = x`, an entry depends only on
/// which indices it has, so `Σ_{k≤l} C(n, k)` numbers say all of it.
///
/// ```
/// use snn_learn::assemblies::{Intersections, Region};
/// let seen = Intersections::of_sets(&[vec![1, 2, 3], vec![3, 4], vec![3, 4, 5]], 3)?;
/// assert_eq!((seen.size(0b001), seen.size(0b110), seen.size(0b111)), (3.0, 2.0, 1.0));
/// # Ok::<(), snn_learn::assemblies::AssemblyError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Intersections {
    n: usize,
    order: usize,
    sizes: BTreeMap<Sets, f64>,
}

/// All sets of 1 to `most` of `n` indices, small ones first.
fn subsets(n: usize, most: usize) -> Vec<Sets> {
    let mut all = Vec::new();
    let mut layer: Vec<Sets> = vec![0];
    for _ in 0..most.min(n) {
        // Each is made once: by adding an index above its highest.
        let above = |s: Sets| (Sets::BITS - s.leading_zeros()) as usize..n;
        layer = layer.iter().flat_map(|&s| above(s).map(move |i| s | 1 << i)).collect();
        all.extend(&layer);
    }
    all
}

impl Intersections {
    fn measure(n: usize, order: usize, size: impl Fn(Sets) -> f64) -> Result<Self, AssemblyError> {
        if !(1..=MAX_SETS).contains(&n) || !(1..=n).contains(&order) {
            return Err(AssemblyError::Shape { sets: n, order });
        }
        Ok(Intersections { n, order, sizes: subsets(n, order).into_iter().map(|s| (s, size(s))).collect() })
    }

    /// Those of a known diagram.
    ///
    /// # Errors
    /// If a region is impossible, or the order.
    pub fn of_regions(n: usize, order: usize, regions: &[Region]) -> Result<Self, AssemblyError> {
        for (k, &Region { sets, size }) in regions.iter().enumerate() {
            let refuse = |why| Err(AssemblyError::Region { sets, size, why });
            if sets == 0 || (n < MAX_SETS && sets >> n > 0) {
                return refuse("give it one or more of the sets");
            }
            if size == 0 || regions[..k].iter().any(|other| other.sets == sets) {
                return refuse("give each region once, and only those that are not empty");
            }
        }
        let size = |s: Sets| regions.iter().filter(|r| r.sets & s == s).map(|r| r.size).sum::<u64>() as f64;
        Intersections::measure(n, order, size)
    }

    /// Those of sets of neurons, counted.
    ///
    /// # Errors
    /// If there are too many sets, or the order is impossible.
    pub fn of_sets(sets: &[Vec<u32>], order: usize) -> Result<Self, AssemblyError> {
        let mut member: BTreeMap<u32, Sets> = BTreeMap::new();
        for (i, set) in sets.iter().enumerate().take(MAX_SETS) {
            set.iter().for_each(|&neuron| *member.entry(neuron).or_default() |= 1 << i);
        }
        Intersections::measure(sets.len(), order, |s| member.values().filter(|&&m| m & s == s).count() as f64)
    }

    /// Numbers measured elsewhere: `size` gives that of every intersection asked for.
    ///
    /// # Errors
    /// If the order is impossible, or a size is no number from 0 on.
    pub fn of(n: usize, order: usize, size: impl Fn(Sets) -> f64) -> Result<Self, AssemblyError> {
        let all = Intersections::measure(n, order, size)?;
        match all.sizes.iter().find(|(_, x)| !x.is_finite() || **x < 0.0) {
            Some((&sets, &size)) => Err(AssemblyError::Size { sets, size }),
            None => Ok(all),
        }
    }

    /// How many sets.
    pub fn sets(&self) -> usize {
        self.n
    }

    /// Up to how many sets are intersected.
    pub fn order(&self) -> usize {
        self.order
    }

    /// The size of an intersection.
    ///
    /// # Panics
    /// If it was not measured: of no set, or of more than [`order`](Self::order).
    #[track_caller]
    pub fn size(&self, sets: Sets) -> f64 {
        self.sizes[&sets]
    }

    /// All that was measured, by sets.
    pub fn iter(&self) -> impl Iterator<Item = (Sets, f64)> + '_ {
        self.sizes.iter().map(|(&s, &x)| (s, x))
    }

    /// The same up to a lower order.
    ///
    /// # Errors
    /// If the order is impossible, or higher.
    pub fn lower(&self, order: usize) -> Result<Self, AssemblyError> {
        if order > self.order {
            return Err(AssemblyError::Shape { sets: self.n, order });
        }
        Intersections::measure(self.n, order, |s| self.sizes[&s])
    }

    /// How many regions an order `2k + 1` can tell apart at most: `Σ_{j≤k} C(n, j)`.
    pub fn most_regions(&self) -> usize {
        subsets(self.n, (self.order - 1) / 2).len()
    }

    /// The regions, if all intersections were measured, by inclusion and exclusion: `w_S = Σ_{R⊇S} (−1)^{|R|−|S|}·T(R)`. Cost: 3ⁿ.
    ///
    /// # Errors
    /// [`AssemblyError::Order`] if some were not.
    pub fn by_inclusion(&self) -> Result<Vec<Region>, AssemblyError> {
        if self.order < self.n {
            return Err(AssemblyError::Order(self.order));
        }
        let all = subsets(self.n, self.n);
        let size = |s: Sets| -> f64 {
            let signed = |r: &Sets| if (r.count_ones() - s.count_ones()).is_multiple_of(2) { self.sizes[r] } else { -self.sizes[r] };
            all.iter().filter(|&&r| r & s == s).map(signed).sum()
        };
        let mut regions: Vec<Region> = all.iter().map(|&sets| Region { sets, size: size(sets).round().max(0.0) as u64 }).collect();
        regions.retain(|r| r.size > 0);
        regions.sort_unstable();
        Ok(regions)
    }

    /// The regions, by decomposition of the tensor of order `l = 2k + 1`.
    ///
    /// With one row for each set of up to `k` indices, the slices `A_c[a][b] = T(a ∪ b ∪ c)` are `F·diag(w)·diag(X_c)·Fᵀ`, where a column of `F` says in which of the rows' sets
    /// a region lies. Two of their sums with positive factors, `u` and `v`, have in the space of the columns of `F` the same
    /// eigenvectors, whose eigenvalues `(u·X_j)/(v·X_j)` differ: `A_u·y = λ·A_v·y`, `F_j ∝ A_v·y`. Both are symmetric and the second is positive, so nothing complex can come up. Rows of one
    /// index are `X_j`; sizes follow by least squares. Whatever was found must have the measured intersections, to half an element; if not, other `u` and `v` are
    /// drawn, three times, and then other gaps between the eigenvalues of the sum taken for its rank.
    ///
    /// Works where the columns of `F` are independent; `sizes` may be off by as much as their smallest singular value allows. Cost: `D³ + D²·n` for `D` rows, see
    /// [`most_regions`](Self::most_regions).
    ///
    /// ```
    /// use snn_core::Seed;
    /// use snn_learn::assemblies::{Intersections, Region};
    /// // Four regions of three sets are too many for intersections of up to three: that is said, and no wrong answer given.
    /// let regions = [(0b001, 2), (0b100, 1), (0b110, 1), (0b111, 1)].map(|(sets, size)| Region { sets, size });
    /// assert!(Intersections::of_regions(3, 3, &regions)?.decompose(Seed::new(1)).is_err());
    /// let regions = &regions[..3];
    /// assert_eq!(Intersections::of_regions(3, 3, regions)?.decompose(Seed::new(1))?.regions, regions);
    /// # Ok::<(), snn_learn::assemblies::AssemblyError>(())
    /// ```
    ///
    /// # Errors
    /// [`AssemblyError::Order`] if the order is even or below 3; [`AssemblyError::NotFound`], saying where it failed.
    pub fn decompose(&self, seed: Seed) -> Result<Decomposed, AssemblyError> {
        self.decompose_within(0.5, seed)
    }

    /// The same where measurements are off by up to `tolerance` elements.
    ///
    /// # Errors
    /// As [`decompose`](Self::decompose).
    pub fn decompose_within(&self, tolerance: f64, seed: Seed) -> Result<Decomposed, AssemblyError> {
        if self.order.is_multiple_of(2) || self.order < 3 {
            return Err(AssemblyError::Order(self.order));
        }
        let rows = subsets(self.n, (self.order - 1) / 2);
        if self.sizes.values().all(|&x| x == 0.0) {
            return Ok(Decomposed::default());
        }
        let most = rows.len();
        let space = Space::of(&self.slices(&rows, |_| 1.0)).ok_or(AssemblyError::NotFound { most, why: "rounding".into() })?;
        let mut why = None;
        for rank in space.ranks() {
            for k in 0..RETRIES {
                match self.attempt(&rows, &space, rank, tolerance, seed.nth(k)) {
                    Ok(found) => return Ok(found),
                    Err(reason) => why = why.or(Some(reason)),
                }
            }
        }
        Err(AssemblyError::NotFound { most, why: why.unwrap_or_default() })
    }

    /// `Σ_c factor_c·A_c`.
    fn slices(&self, rows: &[Sets], factor: impl Fn(usize) -> f64) -> Mat<f64> {
        Mat::from_fn(rows.len(), rows.len(), |a, b| (0..self.n).map(|c| factor(c) * self.sizes[&(rows[a] | rows[b] | 1 << c)]).sum())
    }

    fn attempt(&self, rows: &[Sets], space: &Space, rank: usize, tolerance: f64, seed: Seed) -> Result<Decomposed, String> {
        let broken = |what: &str| format!("{what} has no decomposition");
        let basis = &space.vectors.get(.., ..rank).to_owned();
        // Two sums with factors near 1.
        let mut rng = seed.rng();
        let mut draw = || -> Vec<f64> { (0..self.n).map(|_| 0.5 + rng.random::<f64>()).collect() };
        let [u, v] = [draw(), draw()].map(|x| basis.transpose() * self.slices(rows, |c| x[c]) * basis);
        let root = v.llt(Side::Lower).map_err(|_| format!("{rank} regions were tried, and one had a negative size"))?;
        // L⁻¹·U·L⁻ᵀ is symmetric, with the eigenvalues of U·y = λ·V·y; V·y = L·z.
        let lower = root.L().to_owned();
        let half = solve_lower(&lower, &u);
        let symmetric = solve_lower(&lower, &half.transpose().to_owned());
        let symmetric = Mat::from_fn(rank, rank, |a, b| 0.5 * (symmetric[(a, b)] + symmetric[(b, a)]));
        let z = symmetric.self_adjoint_eigen(Side::Lower).map_err(|_| broken("the quotient of two sums"))?;
        let columns = basis * (&lower * z.U());

        let mut sets: Vec<Sets> = (0..rank).map(|j| read(rows, &(0..rows.len()).map(|a| columns[(a, j)]).collect::<Vec<_>>())).collect();
        sets.sort_unstable();
        sets.dedup();
        sets.retain(|&s| s != 0);
        let regions = self.sizes_of(&sets).ok_or_else(|| broken("what was found"))?;
        let rebuilt = |s: Sets| regions.iter().filter(|r| r.sets & s == s).map(|r| r.size).sum::<u64>() as f64;
        let off = self.iter().map(|(s, x)| (x - rebuilt(s)).abs()).fold(0.0, f64::max);
        match off < tolerance {
            true => Ok(Decomposed { regions, rank, gap: space.gap(rank), off }),
            false => Err(format!("{} regions were found whose intersections are off by up to {off}", regions.len())),
        }
    }

    /// Least squares over all measurements, rounded.
    fn sizes_of(&self, sets: &[Sets]) -> Option<Vec<Region>> {
        let m = sets.len();
        let shared = |a: Sets, s: Sets| f64::from(a & s == s);
        let (mut square, mut right) = (Mat::<f64>::zeros(m, m), Mat::<f64>::zeros(m, 1));
        for (s, x) in self.iter() {
            let inside: Vec<usize> = (0..m).filter(|&j| shared(sets[j], s) > 0.0).collect();
            for &a in &inside {
                right[(a, 0)] += x;
                inside.iter().for_each(|&b| square[(a, b)] += 1.0);
            }
        }
        let sizes = square.llt(Side::Lower).ok()?.solve(&right);
        let region = |(j, &sets): (usize, &Sets)| Region { sets, size: sizes[(j, 0)].round().max(0.0) as u64 };
        Some(sets.iter().enumerate().map(region).filter(|r| r.size > 0).collect())
    }
}

/// How independent regions are for intersections of up to `order = 2k + 1` of `n` sets: the smallest singular value of `F`, whose columns say in which of the sets of up to `k`
/// indices a region lies.
///
/// Where it is 0 no decomposition can find them; the larger it is, the more noise one may have. Cost: `D·m²`.
///
/// ```
/// use snn_learn::assemblies::{Region, independence};
/// // Two sets, the first alone, the second alone, and what they share: three regions, and two rows at order 3.
/// let regions = [(0b01, 3), (0b10, 4), (0b11, 5)].map(|(sets, size)| Region { sets, size });
/// assert_eq!(independence(5, 3, &regions)?, 0.0);
/// assert!(independence(5, 5, &regions)? > 0.3);
/// # Ok::<(), snn_learn::assemblies::AssemblyError>(())
/// ```
///
/// # Errors
/// [`AssemblyError::Shape`] and [`AssemblyError::Order`] for an order that cannot be decomposed.
pub fn independence(n: usize, order: usize, regions: &[Region]) -> Result<f64, AssemblyError> {
    if !(1..=MAX_SETS).contains(&n) || order > n {
        return Err(AssemblyError::Shape { sets: n, order });
    }
    if order.is_multiple_of(2) || order < 3 {
        return Err(AssemblyError::Order(order));
    }
    let rows = subsets(n, (order - 1) / 2);
    let lies = Mat::from_fn(rows.len(), regions.len(), |a, j| f64::from(u8::from(regions[j].sets & rows[a] == rows[a])));
    // A failure to converge leaves nothing to rely on, as dependent columns do.
    let values = lies.singular_values().unwrap_or_default();
    let (most, least) = (values.first().copied().unwrap_or(0.0), values.last().copied().unwrap_or(0.0));
    Ok(if regions.len() > rows.len() || least <= DEPENDENT * most { 0.0 } else { least })
}

/// Regions of a random diagram: each belongs to the first half of the sets, but for flips with probability `flips`, sets by themselves. What has
/// been drawn before, or belongs to no set, is drawn again. Sizes are uniform.
///
/// ```
/// use snn_core::Seed;
/// let regions = snn_learn::assemblies::perturbed(12, 6, 0.3, 1..200, Seed::new(1))?;
/// assert!(regions.len() == 6 && regions.iter().all(|r| (1..200).contains(&r.size)));
/// # Ok::<(), snn_learn::assemblies::AssemblyError>(())
/// ```
///
/// # Errors
/// [`AssemblyError::Draw`] if there are not so many regions, or they do not come up within 2²⁰ draws.
pub fn perturbed(n: usize, count: usize, flips: f64, sizes: Range<u64>, seed: Seed) -> Result<Vec<Region>, AssemblyError> {
    let refuse = Err(AssemblyError::Draw { sets: n, regions: count, flips });
    let known = (1..=MAX_SETS).contains(&n) && (0.0..=1.0).contains(&flips) && sizes.start > 0 && !sizes.is_empty();
    if !known || count as u64 >= 1 << n {
        return refuse;
    }
    let (mut rng, mut drawn) = (seed.rng(), BTreeMap::new());
    for _ in 0..MOST_DRAWS {
        if drawn.len() == count {
            return Ok(drawn.into_iter().map(|(sets, size)| Region { sets, size }).collect());
        }
        let sets = (0..n).filter(|&i| (i < n / 2) != (rng.random::<f64>() < flips)).fold(0, |s: Sets, i| s | 1 << i);
        if sets != 0 && !drawn.contains_key(&sets) {
            drawn.insert(sets, rng.random_range(sizes.clone()));
        }
    }
    refuse
}

/// Draws of regions before giving up.
const MOST_DRAWS: usize = 1 << 20;
/// Columns are dependent if the smallest singular value is below this part of the largest: rounding.
const DEPENDENT: f64 = 1e-9;

/// Draws of `u` and `v` before giving up, for each of so many gaps.
const RETRIES: u64 = 3;
const GAPS: usize = 8;
/// Eigenvalues below this part of the largest are rounding.
const ROUNDING: f64 = 1e-13;

/// What a decomposition found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decomposed {
    /// The regions, by their sets.
    pub regions: Vec<Region>,
    /// Rank of the sum of the slices: as many regions, where their columns are independent.
    pub rank: usize,
    /// The smallest eigenvalue that counts, over the largest that does not.
    pub gap: f64,
    /// Largest difference of a rebuilt intersection from the measured one.
    pub off: f64,
}

/// The space of the columns of `F`: what the sum of the slices spans.
struct Space {
    /// How large its eigenvalues are, falling. Noise makes some of either sign.
    values: Vec<f64>,
    vectors: Mat<f64>,
}

impl Space {
    fn of(sum: &Mat<f64>) -> Option<Self> {
        let eigen = sum.self_adjoint_eigen(Side::Lower).ok()?;
        let (signed, vectors) = (eigen.S().column_vector(), eigen.U());
        let mut order: Vec<usize> = (0..sum.nrows()).collect();
        order.sort_by(|&a, &b| signed[b].abs().total_cmp(&signed[a].abs()));
        let values = order.iter().map(|&a| signed[a].abs()).collect();
        Some(Space { values, vectors: Mat::from_fn(sum.nrows(), sum.nrows(), |a, j| vectors[(a, order[j])]) })
    }

    /// What its rank may be, the largest gap first. The smallest eigenvalues of noise are far apart as well, by chance: which gap is the right one is for the measurements to say.
    fn ranks(&self) -> Vec<usize> {
        let mut ranks: Vec<usize> = (1..=self.values.len()).filter(|&r| self.values[r - 1] > ROUNDING * self.values[0]).collect();
        ranks.sort_by(|&a, &b| self.gap(b).total_cmp(&self.gap(a)));
        ranks.truncate(GAPS);
        ranks
    }

    fn gap(&self, rank: usize) -> f64 {
        let floor = ROUNDING * self.values[0];
        self.values[rank - 1] / self.values.get(rank).copied().unwrap_or(0.0).max(floor)
    }
}

/// The sets of a column of `F`, given to a factor: in the rows of one index, what is above half of the largest entry.
fn read(rows: &[Sets], column: &[f64]) -> Sets {
    let largest = column.iter().copied().fold(0.0, |best: f64, x| if x.abs() > best.abs() { x } else { best });
    let single = rows.iter().zip(column).filter(|(row, _)| row.count_ones() == 1);
    single.filter(|(_, x)| **x / largest > 0.5).fold(0, |sets, (row, _)| sets | row)
}

/// `L⁻¹·B` by substitution.
fn solve_lower(lower: &Mat<f64>, b: &Mat<f64>) -> Mat<f64> {
    let mut x = b.clone();
    faer::linalg::triangular_solve::solve_lower_triangular_in_place(lower.as_ref(), x.as_mut(), faer::Par::Seq);
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::seq::SliceRandom;

    fn region((sets, size): (Sets, u64)) -> Region {
        Region { sets, size }
    }

    #[test]
    fn the_hand_case() {
        // A₁ = {1, 2, 3}, A₂ = {3, 4}, A₃ = {3, 4, 5}: 100: 2, 111: 1, 011: 1, 001: 1.
        let sets = [vec![1, 2, 3], vec![3, 4], vec![3, 4, 5]];
        let mut regions = [(0b001, 2), (0b111, 1), (0b110, 1), (0b100, 1)].map(region);
        regions.sort_unstable();
        let all = Intersections::of_sets(&sets, 3).unwrap();
        assert_eq!(all, Intersections::of_regions(3, 3, &regions).unwrap());
        assert_eq!(all.by_inclusion().unwrap(), regions);
        // Four regions, and order 3 tells three apart.
        let why = all.decompose(Seed::new(1)).unwrap_err().to_string();
        assert!(why.contains("up to 3 regions"), "{why}");
    }

    #[test]
    fn a_cube_of_two_sets_is_refused_at_order_three_and_found_at_order_five() {
        // Regions 10.., 01.., 11..: for k = 1 the rank is 2.
        let regions = [(0b0001, 3), (0b0010, 4), (0b0011, 5)].map(region);
        let seen = |order| Intersections::of_regions(5, order, &regions).unwrap();
        assert!(matches!(seen(3).decompose(Seed::new(1)), Err(AssemblyError::NotFound { most: 5, .. })));
        assert_eq!(seen(5).decompose(Seed::new(1)).unwrap().regions, regions);
        assert_eq!(seen(5).lower(3).unwrap(), seen(3));
    }

    fn perturbed(n: usize, m: usize, p: f64, seed: Seed) -> Vec<Region> {
        super::perturbed(n, m, p, 1..200, seed).unwrap()
    }

    #[test]
    fn nineteen_of_twenty_at_half_load() {
        for (n, k) in [(12, 1), (8, 2)] {
            let order = 2 * k + 1;
            let m = subsets(n, k).len() / 2;
            let exact = (0..20).filter(|&trial| {
                let regions = perturbed(n, m, 0.3, Seed::new(7).nth(trial));
                let seen = Intersections::of_regions(n, order, &regions).unwrap();
                seen.decompose(Seed::new(1)).is_ok_and(|found| found.regions == regions)
            });
            let exact = exact.count();
            assert!(exact >= 19, "n = {n}, k = {k}: {exact} of 20");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// An answer is right or refused; it is the one of inclusion and exclusion; it does not depend on the draw; it goes with sizes and names of the sets.
        #[test]
        fn answers_are_right_or_refused(n in 3usize..7, load in 0.2f64..1.2, p in 0.1f64..0.5, seed: u64) {
            let (k, seed) = (if n > 4 { 2 } else { 1 }, Seed::new(seed));
            let m = ((load * subsets(n, k).len() as f64) as usize).clamp(1, (1 << n) - 2);
            let regions = perturbed(n, m, p, seed);
            let all = Intersections::of_regions(n, n, &regions).unwrap();
            prop_assert_eq!(all.by_inclusion().unwrap(), regions.clone());
            let seen = all.lower(2 * k + 1).unwrap();
            let monotone = seen.iter().all(|(s, x)| (0..n).all(|i| (s | 1 << i).count_ones() as usize > seen.order() || seen.size(s | 1 << i) <= x));
            prop_assert!(monotone);
            let found = seen.decompose(seed.child("a"));
            let again = seen.decompose(seed.child("b"));
            if let (Ok(a), Ok(b)) = (&found, &again) {
                prop_assert_eq!(&a.regions, &b.regions);
            }
            let Ok(found) = found else { return Ok(()) };
            prop_assert_eq!(found.rank, m);
            prop_assert_eq!(&found.regions, &regions);
            prop_assert!(independence(n, 2 * k + 1, &regions).unwrap() > 0.0);

            let tripled: Vec<Region> = regions.iter().map(|r| Region { size: 3 * r.size, ..*r }).collect();
            let thrice = Intersections::of(n, 2 * k + 1, |s| 3.0 * seen.size(s)).unwrap().decompose(seed.child("a"));
            prop_assert_eq!(thrice.unwrap().regions, tripled);

            let mut names: Vec<usize> = (0..n).collect();
            names.shuffle(&mut seed.child("names").rng());
            let renamed = |s: Sets| (0..n).filter(|&i| s >> i & 1 == 1).fold(0, |to, i| to | 1 << names[i]);
            let mut other: Vec<Region> = regions.iter().map(|r| Region { sets: renamed(r.sets), ..*r }).collect();
            other.sort_unstable();
            if let Ok(found) = Intersections::of_regions(n, 2 * k + 1, &other).unwrap().decompose(seed) {
                prop_assert_eq!(found.regions, other);
            }
        }
    }

    /// Noise of a ten-thousandth of an element leaves the regions where they are, and many eigenvalues of either sign.
    #[test]
    fn a_little_noise_does_no_harm() {
        let regions = perturbed(10, 27, 0.3, Seed::new(3));
        let exact = Intersections::of_regions(10, 5, &regions).unwrap();
        let noisy = Intersections::of(10, 5, |s| (exact.size(s) + 1e-4 * (f64::from(s) * 12.9898).sin()).max(0.0)).unwrap();
        let found = noisy.decompose(Seed::new(1)).unwrap();
        assert_eq!((found.rank, found.regions), (27, regions));
    }

    #[test]
    fn diagrams_that_cannot_be_drawn_are_refused() {
        for (n, count, p) in [(3, 8, 0.5), (0, 1, 0.5), (3, 2, f64::NAN), (3, 2, 0.0)] {
            assert!(super::perturbed(n, count, p, 1..9, Seed::new(1)).unwrap_err().to_string().contains("likelier flips"));
        }
        assert!(super::perturbed(3, 1, 0.5, 0..9, Seed::new(1)).is_err());
        assert_eq!(independence(4, 4, &[]), Err(AssemblyError::Order(4)));
        assert_eq!(independence(2, 3, &[]), Err(AssemblyError::Shape { sets: 2, order: 3 }));
    }

    #[test]
    fn impossible_measurements_are_named() {
        let text = |found: Result<Intersections, AssemblyError>| found.unwrap_err().to_string();
        assert!(text(Intersections::of_sets(&[], 1)).contains("0 sets"));
        assert!(text(Intersections::of_sets(&vec![vec![1]; 33], 1)).contains("33 sets"));
        assert!(text(Intersections::of_sets(&[vec![1]], 2)).contains("up to 2"));
        assert!(text(Intersections::of_regions(2, 2, &[region((0b100, 1))])).contains("0b100"));
        assert!(text(Intersections::of_regions(2, 2, &[region((0b1, 0))])).contains("size 0"));
        assert!(text(Intersections::of(2, 2, |s| if s == 3 { f64::NAN } else { 1.0 })).contains("0b11 has the size NaN"));
        let even = Intersections::of_sets(&[vec![1], vec![1], vec![2], vec![2]], 4).unwrap();
        assert_eq!(even.decompose(Seed::new(1)), Err(AssemblyError::Order(4)));
        assert_eq!(even.lower(3).unwrap().decompose(Seed::new(1)).unwrap().regions, [(0b0011, 1), (0b1100, 1)].map(region));
        let nothing = Intersections::of_sets(&[vec![], vec![], vec![]], 3).unwrap();
        assert_eq!(nothing.decompose(Seed::new(1)).unwrap().regions, []);
    }
}
