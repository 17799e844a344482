//! SpiNNaker 2: many small processors with local memory, in steps of real time, with units for random numbers and exponentials.
//!
//! * [`Spinnaker2`]: the machine and its settings.
//! * [`Kiss`], [`Gaussian`]: its random numbers. Its exponential is [`Fix::exp_to`](snn_core::Fix::exp_to).
//! * [`cost`]: every number of the cost model, by name.

mod cells;
pub mod cost;
mod device;
mod mapping;
mod random;
mod weights;

pub use cost::Level;
pub use random::{Gaussian, Kiss};

use crate::machine::Machine;
use crate::report::{MapError, Report};
use serde::{Deserialize, Serialize};
use snn_core::{Network, Seed};
use snn_sparse::Device;

/// A SpiNNaker 2 with its settings.
///
/// Neurons run in s16.15 (the same equation as everywhere), weights have 16 bits with a scale per projection, ring buffers saturate,
/// packets of a step are heard in the next at the earliest and within 15 steps at the latest; what inputs send is heard in the step. The value of an event travels as the packet's payload
/// (s16.15); its products with weights are added up in 32 bits, those of inputs in 16 `[ours]`. A
/// core holds neurons of one population and all links into them, as long as its local memory lasts; then the next core, then external
/// memory if there is any. Escape noise and drives draw from one [`Kiss`] generator per core.
///
/// Time and energy are modelled from the numbers in [`cost`], never measured: a step takes as long as its busiest core, but no less than
/// real time.
///
/// Refused: delays of 16 steps and more, models that work in windows without a pause for their last packets, more cores or memory than there is.
///
/// Sources: Yan et al. 2019 (arXiv 1903.08500) for what is there; driver headers of a later prototype for the units. Sizes of memory are
/// remembered, not verified.
///
/// ```
/// use snn_core::{Net, Seed, ms, net::{Connect, Init}, neuron::Lif};
/// use snn_hw::{Machine, Spinnaker2};
/// let net = Net::new(ms(1.0)).input("in", 4).population("a", 300, Lif::default())
///     .project("in", "a", Connect::All, Init::Constant(0.3)).output("a").build(Seed::new(0))?;
/// let report = Spinnaker2::default().map(&net, Seed::new(0));
/// assert_eq!((report.resources[0].name, report.resources[0].used), ("cores", 2.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spinnaker2 {
    /// Cores. The test chip has 4.
    pub cores: usize,
    /// Clock and voltage.
    pub level: Level,
    /// Whether random numbers and exponentials are done by units of their own; the spikes are the same.
    pub accelerators: bool,
    /// What external memory is for.
    pub dram: Dram,
    /// Iterations of the exponential unit: see [`Fix::exp_to`](snn_core::Fix::exp_to).
    pub exp_iterations: u32,
    /// The largest weight, by magnitude, that will ever be written: it sets the scale of every projection. `None`: that of the weights a
    /// projection is built with.
    pub largest_weight: Option<f64>,
    /// Whether links learn on the chip: what that takes is counted. The rule itself runs outside, on the weights it writes.
    pub plastic: Option<Plastic>,
}

/// What external memory is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dram {
    /// There is none.
    #[default]
    None,
    /// For links that local memory has no room for.
    Spill,
    /// For all links.
    All,
}

/// Plastic links, for the cost model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plastic {
    /// Time between two updates of a link (s).
    pub interval: f64,
    /// Synapses that share a link.
    pub copies: usize,
}

impl Default for Spinnaker2 {
    fn default() -> Self {
        Spinnaker2 {
            cores: 4,
            level: Level::High,
            accelerators: true,
            dram: Dram::None,
            exp_iterations: 16,
            largest_weight: None,
            plastic: None,
        }
    }
}

impl Spinnaker2 {
    /// Bytes of a link.
    pub(crate) fn link_bytes(&self) -> usize {
        self.plastic.map_or(cost::LINK_BYTES, |plastic| plastic.copies * cost::PLASTIC_BYTES)
    }
}

impl Machine for Spinnaker2 {
    fn name(&self) -> &'static str {
        "spinnaker2"
    }
    fn about(&self) -> &'static str {
        "many small processors: s16.15 neurons, 16-bit weights, local memory, real time"
    }
    fn map(&self, network: &Network, _: Seed) -> Report {
        mapping::map(self, network).1
    }
    fn build(&self, network: &Network, device: Seed) -> Result<Box<dyn Device>, MapError> {
        let (slices, report) = mapping::map(self, network);
        report.accepted()?;
        Ok(Box::new(device::Chip::new(self, network, slices, device)))
    }
}
