//! The engine's arrays in the field's common types, for looking at results and for checking: copies, not for the hot path.

use crate::bank::Link;
use crate::clocked::Clocked;
use crate::lanes::{LANES, Scalar};
use crate::trace::Trace;
use ndarray::Array2;
use sprs::{CsMat, TriMat};

impl<F: Scalar> Clocked<F> {
    /// The weights of projection `k` as a sparse matrix, sources × targets.
    ///
    /// ```
    /// use snn_core::{Net, Seed, ms, net::{Connect, Init}, neuron::Lif};
    /// let net = Net::new(ms(1.0))
    ///     .input("in", 10)
    ///     .population("a", 20, Lif::default())
    ///     .project("in", "a", Connect::Random { p: 0.1 }, Init::normal(1.0))
    ///     .output("a")
    ///     .build(Seed::new(0))?;
    /// let w = snn_sparse::Clocked::<f32>::compile(&net).matrix(0);
    /// assert_eq!((w.rows(), w.cols(), w.nnz()), (10, 20, 20));
    /// # Ok::<(), snn_core::NetworkError>(())
    /// ```
    ///
    /// # Panics
    /// If there is no projection `k`.
    pub fn matrix(&self, k: usize) -> CsMat<F> {
        let projection = &self.network().draft().projections[k];
        let shape = (self.network().size(&projection.from), self.network().size(&projection.to));
        let mut matrix = TriMat::new(shape);
        for Link { store, .. } in self.links().iter().filter(|link| link.projection == k) {
            let weights = store.values();
            store.triplets().into_iter().for_each(|(i, j, k)| matrix.add_triplet(i, j, weights[k]));
        }
        matrix.to_csr()
    }
}

impl<F: Scalar> Trace<F> {
    /// The graded output as an array, steps × units; no columns for a population that spikes.
    pub fn array(&self) -> Array2<F> {
        let units = if self.output.is_empty() { 0 } else { self.units() };
        let steps = self.output.len() / self.blocks();
        Array2::from_shape_fn((steps, units), |(t, j)| self.output[t * self.blocks() + j / LANES][j % LANES])
    }
}

#[cfg(test)]
mod tests {
    use crate::{Clocked, Wants};
    use ndarray::Array1;
    use proptest::prelude::*;
    use snn_core::net::{Connect, Init};
    use snn_core::neuron::Li;
    use snn_core::{Net, Raster, Seed, ms};

    proptest! {
        /// What a readout hears is the product of its weight matrix with the input's spikes, delayed, by an independent library.
        #[test]
        fn the_engine_multiplies_as_sprs_does(seed in any::<u64>(), n in 1usize..20, m in 1usize..150, p in 0.05f64..1.0, delay in 0usize..4, dense in any::<bool>()) {
            let connect = if dense { Connect::All } else { Connect::Random { p } };
            let net = Net::new(ms(1.0))
                .input("in", n)
                .population("out", m, Li { tau: 1e-9.into() }) // no memory: the output is the input
                .project("in", "out", connect, Init::normal(1.0))
                .delay(ms(delay as f64))
                .output("out")
                .build(Seed::new(seed))
                .unwrap();
            let engine = Clocked::<f64>::compile(&net);
            let mut spikes = Raster::new(n, 12);
            spikes.fill((0..12u32).flat_map(|t| (0..n as u32).map(move |i| (t, i))).filter(|&(t, i)| (seed >> ((t * 7 + i * 3) % 61)) & 1 == 1));
            let record = engine.record(&[&spikes], Wants::Spikes);
            let (y, w) = (record.traces[0].array(), engine.matrix(0));
            for t in 0..12 {
                let mut x = Array1::<f64>::zeros(n);
                if t >= delay {
                    spikes.at(t - delay).iter().for_each(|&i| x[i as usize] = 1.0);
                }
                let expected: Array1<f64> = &w.transpose_view().to_csr() * &x;
                for j in 0..m {
                    prop_assert!((y[[t, j]] - expected[j]).abs() < 1e-12);
                }
            }
        }
    }
}
