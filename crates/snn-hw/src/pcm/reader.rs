use super::{Crossbar, Physics};
use snn_core::Seed;
use snn_sparse::noise::Normals;
use snn_sparse::{Access, Link, Reads};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which synapses of a crossbar the links of a list are, source by source.
#[derive(Debug)]
pub(super) struct Rows {
    ends: Vec<u32>,
    targets: Vec<u32>,
    synapses: Vec<u32>,
}

impl Rows {
    pub(super) fn new(link: &Link<f32>, sources: usize) -> Self {
        let triplets = link.store.triplets();
        let synapse = |k: usize| link.subset.as_ref().map_or(k as u32, |subset| subset[k]);
        let mut ends = vec![0; sources + 1];
        triplets.iter().for_each(|&(i, _, _)| ends[i + 1] += 1);
        (0..sources).for_each(|i| ends[i + 1] += ends[i]);
        Rows { ends, targets: triplets.iter().map(|t| t.1 as u32).collect(), synapses: triplets.iter().map(|t| synapse(t.2)).collect() }
    }
}

/// A crossbar as spikes read it: every device of every row that is asked for, with noise of its own each time.
///
/// The clock of the devices stands still during a trial: 38.6 s after a write, one second more is a drift of 0.1 %.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) rows: Arc<Rows>,
    /// Of all devices, drifted (µS).
    pub(super) conductances: Arc<[f32]>,
    pub(super) physics: Physics,
    pub(super) pairs: usize,
    /// Weight of a µS.
    pub(super) worth: f32,
    pub(super) seed: Seed,
    /// Devices read so far.
    pub(super) reads: Arc<AtomicU64>,
}

impl Reader {
    pub(super) fn new(bar: &Crossbar, rows: &Arc<Rows>, conductances: &Arc<[f32]>, unit: f32, seed: Seed, reads: &Arc<AtomicU64>) -> Self {
        Reader {
            rows: rows.clone(),
            conductances: conductances.clone(),
            physics: *bar.physics(),
            pairs: bar.pairs(),
            worth: unit / (bar.scale() * bar.pairs() as f32),
            seed,
            reads: reads.clone(),
        }
    }

    /// The difference of the sides of a synapse as a read at this step finds it, summed over the pairs (µS).
    #[inline(always)]
    fn find(&self, normals: Normals, step: usize, synapse: usize) -> f32 {
        let first = synapse * self.pairs;
        let pairs = self.conductances[2 * first..2 * (first + self.pairs)].as_chunks::<2>().0;
        let mut sum = 0.0;
        for (n, &[plus, minus]) in pairs.iter().enumerate() {
            let [a, b] = normals.pair((step as u64) << 32 | (first + n) as u64);
            sum += self.physics.read(plus, a) - self.physics.read(minus, b);
        }
        sum
    }
}

impl Reads<f32> for Reader {
    fn push(&self, access: &Access<'_>, into: &mut [f32]) {
        let normals = Normals::new(self.seed.nth(access.trial.value()));
        let Rows { ends, targets, synapses } = &*self.rows;
        let (from, to) = (access.targets.start as u32, access.targets.end as u32);
        let mut count = 0;
        for (k, &i) in access.sources.iter().enumerate() {
            let row = ends[i as usize] as usize..ends[i as usize + 1] as usize;
            let first = row.start + targets[row.clone()].partition_point(|&j| j < from);
            let last = row.start + targets[row].partition_point(|&j| j < to);
            let each = self.worth * access.values.get(k).map_or(1.0, |&x| x as f32);
            for (&j, &synapse) in targets[first..last].iter().zip(&synapses[first..last]) {
                into[(j - from) as usize] += each * self.find(normals, access.step, synapse as usize);
            }
            count += last - first;
        }
        self.reads.fetch_add((2 * self.pairs * count) as u64, Ordering::Relaxed);
    }
}
