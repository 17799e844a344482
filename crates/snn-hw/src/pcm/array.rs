use super::reader::{Reader, Rows};
use super::{Crossbar, PcmError, Physics};
use crate::report::{Kind, MapError, Place, Report};
use snn_core::net::Links;
use snn_core::{Network, Seed};
use snn_sparse::{Clocked, Costs, SubstrateState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Energy of a SET pulse (J): 10 to 100 pJ in the literature `[unverified]`.
pub const SET_JOULES: f64 = 50e-12;
/// Energy of a RESET of a device (J) `[ours]`.
pub const RESET_JOULES: f64 = 100e-12;
/// Energy of reading a device once (J): below 1 pJ in the literature `[unverified]`.
pub const READ_JOULES: f64 = 0.5e-12;

/// What the crossbars of a network are made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wires {
    /// The devices.
    pub physics: Physics,
    /// Devices on each side of a synapse.
    pub pairs: usize,
    /// µS for a unit of weight.
    pub scale: f64,
}

/// Every projection of a network on a crossbar of its own, and the clock they share.
#[derive(Debug)]
pub(super) struct Array {
    pub(super) bars: Vec<Crossbar>,
    /// By projection: the weight in the network that a unit of weight on the crossbar is.
    pub(super) units: Vec<f64>,
    /// Time of the devices (s).
    pub(super) now: f64,
    rows: Vec<Arc<Rows>>, // by link of the engine
    reads: Arc<AtomicU64>,
    seed: Seed,
}

impl Array {
    /// Synapses at the bottom.
    pub(super) fn new(network: &Network, wires: Wires, units: Vec<f64>, seed: Seed) -> Result<Self, PcmError> {
        refused(Report::new("pcm", network), network).accepted()?;
        let projections = &network.draft().projections;
        if units.len() != projections.len() {
            return Err(PcmError::Units { expected: projections.len(), found: units.len() });
        }
        super::positive("scale", wires.scale)?;
        units.iter().try_for_each(|&unit| super::positive("unit", unit))?;
        super::positive("pairs", wires.pairs as f64)?;
        let bar = |(k, p): (usize, &snn_core::net::Projection)| {
            let synapses = p.links.weights(network.size(&p.from), network.size(&p.to));
            Crossbar::new(wires.physics, wires.pairs, wires.scale, synapses, seed.child("crossbar").nth(k as u64))
        };
        let bars = projections.iter().enumerate().map(bar).collect();
        Ok(Array { bars, units, now: 0.0, rows: Vec::new(), reads: Arc::default(), seed: seed.child("reads") })
    }

    /// The same devices, not read yet.
    pub(super) fn copy(&self) -> Self {
        Array {
            bars: self.bars.clone(),
            units: self.units.clone(),
            now: self.now,
            rows: self.rows.clone(),
            reads: Arc::default(),
            seed: self.seed,
        }
    }

    /// Puts into the engine what is there now: the weights that reads without noise would find, and the reads.
    pub(super) fn publish(&mut self, engine: &mut Clocked<f32>) {
        if self.rows.is_empty() {
            self.rows = engine.links().iter().map(|link| Arc::new(Rows::new(link, engine.size(link.from)))).collect();
        }
        for k in 0..self.bars.len() {
            self.publish_one(k, engine);
        }
    }

    /// The same for projection `k`.
    pub(super) fn publish_one(&self, k: usize, engine: &mut Clocked<f32>) {
        let (bar, unit) = (&self.bars[k], self.units[k] as f32);
        let weights: Vec<f32> = bar.weights(self.now).iter().map(|w| unit * w).collect();
        engine.set_weights(k, &weights);
        if !bar.physics().read_noise {
            return;
        }
        let conductances: Arc<[f32]> = bar.conductances(self.now).into();
        let seed = self.seed.nth(k as u64);
        for n in 0..engine.links().len() {
            if engine.links()[n].projection == k {
                engine.set_reads(n, Some(Arc::new(Reader::new(bar, &self.rows[n], &conductances, unit, seed, &self.reads))));
            }
        }
    }

    /// What pulses and reads have cost; spikes that find no noise are not counted as reads.
    pub(super) fn costs(&self) -> Costs {
        let sum = |of: fn(&Crossbar) -> u64| self.bars.iter().map(of).sum::<u64>();
        let (pulses, resets) = (sum(Crossbar::pulses), sum(Crossbar::resets));
        let reads = sum(Crossbar::looks) + self.reads.load(Ordering::Relaxed);
        let mut costs = Costs::default();
        for (what, part, count, joules) in [
            ("SET pulses", "SET", pulses, SET_JOULES),
            ("RESETs", "RESET", resets, RESET_JOULES),
            ("device reads", "read", reads, READ_JOULES),
        ] {
            costs.count(what, count);
            costs.spend(part, count as f64 * joules);
        }
        costs
    }

    pub(super) fn save(&self) -> SubstrateState {
        let mut state = SubstrateState { reals: vec![vec![self.now]], counts: vec![vec![self.reads.load(Ordering::Relaxed)]] };
        self.bars.iter().for_each(|bar| bar.save(&mut state));
        state
    }

    /// Takes back a state whose lists have the lengths of [`save`](Self::save).
    pub(super) fn restore(&mut self, state: &SubstrateState) {
        let (mut reals, mut counts) = (state.reals.iter(), state.counts.iter());
        self.now = reals.next().and_then(|list| list.first()).copied().unwrap_or(self.now);
        self.reads.store(counts.next().and_then(|list| list.first()).copied().unwrap_or(0), Ordering::Relaxed);
        self.bars.iter_mut().for_each(|bar| bar.restore(&mut reals, &mut counts));
    }
}

/// Adds to a report what no crossbar can hold.
pub(super) fn refused(mut report: Report, network: &Network) -> Report {
    for p in &network.draft().projections {
        if matches!(p.links, Links::Conv2d(_) | Links::SumPool2d(_)) {
            let why = "its links share weights, but every link of a crossbar has devices of its own that differ; give it listed links";
            report.find(Kind::Refused, Place::projection(p), 1.0, why);
        }
    }
    report
}

impl From<MapError> for PcmError {
    fn from(error: MapError) -> Self {
        PcmError::Map(error)
    }
}
