use super::Objective;
use crate::error::ArchError;
use crate::liquid::{Liquid, errors};
use crate::search::Space;
use snn_core::Seed;
use snn_core::stats::quantile;
use snn_data::VolterraParams;
use snn_sparse::Clocked;

/// Random liquids: minus the median error of readouts fitted for sixteen filters, over gains, time constants and delays. The weights are those of one seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Liquids {
    /// The filters.
    pub family: VolterraParams,
    /// Neurons.
    pub size: usize,
    /// Filters of an evaluation.
    pub tasks: u64,
}

impl Default for Liquids {
    fn default() -> Self {
        Liquids { family: VolterraParams { train: 2.0, test: 1.0, ..VolterraParams::default() }, size: 100, tasks: 16 }
    }
}

impl Objective for Liquids {
    fn name(&self) -> &'static str {
        "liquid"
    }
    fn about(&self) -> &'static str {
        "gains, time constants and delays of a random liquid, for readouts of Volterra filters (minus the median error)"
    }
    fn space(&self) -> Space {
        Space::default()
            .linear("gain", 0.0, 3.0)
            .log("gain_in", 0.25, 8.0)
            .log("tau", 5e-3, 0.1)
            .log("tau_state", 5e-3, 0.1)
            .linear("delay", 1e-3, 20e-3)
    }
    fn evaluate(&self, values: &[f64], seed: Seed) -> Result<f64, ArchError> {
        let &[gain, gain_in, tau, tau_state, delay] = values else { return Ok(f64::NEG_INFINITY) };
        let liquid = Liquid { size: self.size, gain, gain_in, tau, tau_state, delay, ..Liquid::default() };
        let engine = Clocked::compile(&liquid.network(self.family.cells, Seed::new(1))?);
        Ok(-quantile(&errors(&engine, &self.family.trials(seed, 0..self.tasks)?, 1e-5, usize::MAX)?, 0.5))
    }
}
