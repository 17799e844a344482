//! Linear maps between layers, and what they are one after the other.

use snn_core::Value;
use snn_core::net::Links;
use sprs::{CsMat, TriMat};

/// A linear map `y = Wᵀx`, as a projection has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// Numbers it takes.
    pub from: usize,
    /// Numbers it gives.
    pub to: usize,
    /// Which weights exist.
    pub links: Links,
    /// The weights, as in [`Projection`](snn_core::net::Projection).
    pub weights: Value<f32>,
}

impl Map {
    /// Every number to itself.
    pub fn identity(size: usize) -> Self {
        Map::diagonal(size, 1.0.into())
    }

    /// Every number times its factor.
    pub fn diagonal(size: usize, weights: Value<f32>) -> Self {
        Map { from: size, to: size, links: Links::Csr { ends: (0..=size as u32).collect(), targets: (0..size as u32).collect() }, weights }
    }

    /// `yⱼ = x[sources[j]]`, or 0.
    pub fn gather(from: usize, sources: &[Option<u32>]) -> Self {
        let mut pairs: Vec<(u32, u32)> = sources.iter().zip(0..).filter_map(|(i, j)| Some(((*i)?, j))).collect();
        pairs.sort_unstable();
        let ends = (0..=from).map(|i| pairs.partition_point(|&(source, _)| (source as usize) < i) as u32).collect();
        let links = Links::Csr { ends, targets: pairs.into_iter().map(|(_, j)| j).collect() };
        Map { from, to: sources.len(), links, weights: 1.0.into() }
    }

    /// The numbers, one after the other, in the place `at` of a longer vector.
    pub fn embed(from: usize, at: usize, to: usize) -> Self {
        let place = |j: usize| j.checked_sub(at).filter(|&i| i < from).map(|i| i as u32);
        Map::gather(from, &(0..to).map(place).collect::<Vec<_>>())
    }

    /// Number of weights that act, shared ones as often as they do.
    pub fn links(&self) -> usize {
        self.links.count(self.from, self.to)
    }

    /// `Wᵀx`, in double precision.
    pub fn apply(&self, x: &[f64]) -> Vec<f64> {
        let mut y = vec![0.0; self.to];
        self.links.triplets(self.from, self.to).for_each(|(i, j, k)| y[j] += f64::from(self.weights.at(k)) * x[i]);
        y
    }

    /// The same map with all weights times a factor.
    pub fn scaled(&self, factor: f64) -> Self {
        self.with(|_, w| (f64::from(w) * factor) as f32)
    }

    /// This map and then another. Convolutions and full matrices stay what they are where they can; else the weights are listed, or
    /// written out in full if most of them exist.
    ///
    /// Cost: where neither is diagonal, that of a product of sparse matrices.
    ///
    /// # Panics
    /// If the sizes do not meet.
    #[track_caller]
    pub fn then(&self, next: &Map) -> Map {
        assert_eq!(self.to, next.from, "maps that do not meet");
        let scaled = self.factors().and_then(|d| next.with_sources(&d)).or_else(|| next.factors().and_then(|d| self.with_targets(&d)));
        scaled.unwrap_or_else(|| Map::listed(&self.matrix() * &next.matrix()))
    }

    /// The factors of a diagonal map.
    fn factors(&self) -> Option<Vec<f32>> {
        let Links::Csr { ends, targets } = &self.links else { return None };
        let diagonal = self.from == self.to && ends.iter().zip(0..).all(|(&e, i)| e == i) && targets.iter().zip(0..).all(|(&j, i)| j == i);
        diagonal.then(|| self.weights.iter(self.from).collect())
    }

    /// The same links, the weights as a function of their index and what they were.
    fn with(&self, weight: impl Fn(usize, f32) -> f32) -> Map {
        let weights = match &self.weights {
            Value::Each(list) => Value::Each(list.iter().enumerate().map(|(k, &w)| weight(k, w)).collect()),
            Value::Shared(w) => Value::Shared(weight(0, *w)),
        };
        Map { weights, ..self.clone() }
    }

    /// Every weight on its own.
    fn spread(&self) -> Map {
        let count = self.links.weights(self.from, self.to);
        Map { weights: Value::Each(self.weights.iter(count).collect()), ..self.clone() }
    }

    /// After a diagonal map, if the kind of links stays.
    fn with_sources(&self, d: &[f32]) -> Option<Map> {
        if d.iter().all(|&x| x == d[0]) {
            return Some(if d[0] == 1.0 { self.clone() } else { self.scaled(f64::from(d[0])) });
        }
        match &self.links {
            Links::All => Some(self.spread().with(|k, w| d[k / self.to] * w)),
            Links::Csr { ends, .. } => {
                let sources: Vec<usize> = (0..self.from).flat_map(|i| (ends[i]..ends[i + 1]).map(move |_| i)).collect();
                Some(self.spread().with(|k, w| d[sources[k]] * w))
            }
            Links::Conv2d(conv) => {
                let per_channel = by_channel(d, conv.channels_in)?;
                let (per_in, per_out) = (conv.channels_in / conv.groups, conv.channels_out / conv.groups);
                let kernel = conv.kernel.0 * conv.kernel.1;
                let channel = |k: usize| k / (per_in * kernel) / per_out * per_in + k / kernel % per_in;
                Some(self.spread().with(|k, w| per_channel[channel(k)] * w))
            }
            Links::SumPool2d(_) => None,
        }
    }

    /// Before a diagonal map, if the kind of links stays.
    fn with_targets(&self, d: &[f32]) -> Option<Map> {
        if d.iter().all(|&x| x == d[0]) {
            return Some(if d[0] == 1.0 { self.clone() } else { self.scaled(f64::from(d[0])) });
        }
        match &self.links {
            Links::All => Some(self.spread().with(|k, w| d[k % self.to] * w)),
            Links::Csr { targets, .. } => Some(self.spread().with(|k, w| d[targets[k] as usize] * w)),
            Links::Conv2d(conv) => {
                let per_channel = by_channel(d, conv.channels_out)?;
                let kernel = conv.channels_in / conv.groups * conv.kernel.0 * conv.kernel.1;
                Some(self.spread().with(|k, w| per_channel[k / kernel] * w))
            }
            Links::SumPool2d(_) => None,
        }
    }

    /// As a sparse matrix, sources × targets.
    fn matrix(&self) -> CsMat<f64> {
        let mut list = TriMat::new((self.from, self.to));
        self.links.triplets(self.from, self.to).for_each(|(i, j, k)| list.add_triplet(i, j, f64::from(self.weights.at(k))));
        list.to_csr()
    }

    /// The map of a matrix in rows.
    fn listed(matrix: CsMat<f64>) -> Map {
        let (from, to) = (matrix.rows(), matrix.cols());
        if 2 * matrix.nnz() > from * to {
            let mut weights = vec![0.0; from * to];
            matrix.iter().for_each(|(&w, (i, j))| weights[i * to + j] = w as f32);
            return Map { from, to, links: Links::All, weights: weights.into() };
        }
        let ends = matrix.indptr().raw_storage().iter().map(|&e| e as u32).collect();
        // A product of matrices leaves the columns of a row in any order.
        let mut rows: Vec<Vec<(usize, f64)>> = matrix.outer_iterator().map(|row| row.iter().map(|(j, &w)| (j, w)).collect()).collect();
        rows.iter_mut().for_each(|row| row.sort_unstable_by_key(|&(j, _)| j));
        let cells = || rows.iter().flatten();
        let links = Links::Csr { ends, targets: cells().map(|&(j, _)| j as u32).collect() };
        Map { from, to, links, weights: Value::Each(cells().map(|&(_, w)| w as f32).collect()) }
    }
}

/// One factor per channel, if those of a channel are the same.
fn by_channel(d: &[f32], channels: usize) -> Option<Vec<f32>> {
    let each = d.len() / channels;
    let rows = d.chunks(each);
    rows.clone().all(|row| row.iter().all(|x| *x == row[0])).then(|| rows.map(|row| row[0]).collect())
}

/// The map of a convolution, for tests.
#[cfg(test)]
pub(crate) fn convolution(conv: snn_core::net::Conv2d, weight: impl Fn(usize) -> f32) -> Map {
    let weights = Value::Each((0..conv.weights()).map(weight).collect());
    Map { from: conv.sources(), to: conv.targets(), links: Links::Conv2d(conv), weights }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use snn_core::net::{Conv2d, SumPool2d};

    const N: usize = 2 * 4 * 5;

    /// A map of every kind between vectors of `N` numbers, weights from a few to many.
    fn any_map() -> impl Strategy<Value = Map> {
        let number = prop::sample::select(vec![-1.5f32, -0.5, 0.25, 1.0, 2.0]);
        let numbers = prop::collection::vec(number, N * N);
        let mask = prop::collection::vec(prop::bool::weighted(0.1), N * N);
        let sources = prop::collection::vec(prop::option::of(0..N as u32), N);
        (0u8..7, numbers, mask, sources).prop_map(|(kind, w, mask, sources)| match kind {
            0 => Map { from: N, to: N, links: Links::All, weights: w.into() },
            1 => {
                let cells: Vec<usize> = (0..N * N).filter(|&k| mask[k]).collect();
                let ends = (0..=N).map(|i| cells.partition_point(|k| k / N < i) as u32).collect();
                let weights: Vec<f32> = cells.iter().map(|&k| w[k]).collect();
                Map {
                    from: N,
                    to: N,
                    links: Links::Csr { ends, targets: cells.iter().map(|k| (k % N) as u32).collect() },
                    weights: weights.into(),
                }
            }
            2 => convolution(Conv2d::new(2, 4, 5, 2, (3, 3)).padding((1, 1)), |k| w[k]),
            3 => convolution(Conv2d::new(2, 4, 5, 2, (3, 1)).padding((1, 0)).groups(2), |k| w[k]),
            4 => Map {
                from: N,
                to: N,
                links: Links::SumPool2d(SumPool2d::new(2, 4, 5, (3, 3)).stride((1, 1)).padding((1, 1))),
                weights: w[0].into(),
            },
            5 => Map::gather(N, &sources),
            _ if w[0] > 0.0 => Map::diagonal(N, (0..N).map(|j| w[j / (N / 2)]).collect::<Vec<_>>().into()),
            _ => Map::diagonal(N, w[..N].to_vec().into()),
        })
    }

    proptest! {
        #[test]
        fn one_after_the_other(a in any_map(), b in any_map(), x in prop::collection::vec(-2i8..3, N)) {
            let x: Vec<f64> = x.into_iter().map(f64::from).collect();
            // The numbers are few and short in binary: nothing is rounded.
            prop_assert_eq!(a.then(&b).apply(&x), b.apply(&a.apply(&x)));
            prop_assert_eq!(Map::identity(N).then(&a).spread(), a.spread());
            prop_assert_eq!(a.then(&Map::identity(N)).spread(), a.spread());
        }
    }

    #[test]
    fn kinds_of_links_stay_where_they_can() {
        let conv = convolution(Conv2d::new(2, 4, 5, 2, (3, 3)).padding((1, 1)), |k| k as f32);
        let channels = Map::diagonal(N, (0..N).map(|j| 1.0 + (j / 20) as f32).collect::<Vec<_>>().into());
        assert!(matches!(conv.then(&channels).links, Links::Conv2d(_)) && matches!(channels.then(&conv).links, Links::Conv2d(_)));
        let units = Map::diagonal(N, (0..N).map(|j| j as f32).collect::<Vec<_>>().into());
        assert!(matches!(conv.then(&units).links, Links::Csr { .. }));
        assert_eq!(Map::embed(2, 1, 4).apply(&[5.0, 7.0]), [0.0, 5.0, 7.0, 0.0]);
    }
}
