//! HICANN-DLS, the prototype of BrainScaleS-2: 32 neurons, 32 rows of synapses, 6-bit weights, sensors of correlation, and a plasticity processor beside them.
//!
//! | part | what a network feels of it | source |
//! |---|---|---|
//! | 32 neurons, 32 × 32 synapses | everything must fit; a link back goes through a row of its own | Wunderlich et al. 2019 |
//! | weights 0…63, sign by row | rounded; a source with links of both signs takes two rows | the same; sign by row recalled |
//! | analogue circuits | gains, thresholds, time constants and synapses differ, for each device in its own way; membranes are noisy | sizes chosen here |
//! | correlation sensors | per synapse, causal pairs, saturating, read with 8 bits and noise | Wunderlich et al. 2019 |
//! | plasticity processor | integers only: [`Ppu`], [`Program`] | recalled |
//! | 1000 times real time | modelled time: a step, and what the host takes | Pehle et al. 2022 |
//!
//! [`Dls`] is the machine, [`DlsDevice`] one of its devices with a network on it. [`Slots`] is what an agent on the chip sees: a state is shown for a moment, an action
//! neuron wins, a program learns. It comes as the emulated chip ([`SpikingSlots`]) and as a fast model of it without time ([`FastSlots`]).

mod device;
mod pattern;
mod place;
mod ppu;
mod q8;
mod sensor;
mod slots;

pub use device::DlsDevice;
pub use pattern::Mismatch;
pub use ppu::{Ppu, Program};
pub use q8::Q8;
pub use sensor::Sensor;
pub use slots::{FastSlots, SlotSettings, Slots, SpikingSlots};

use crate::machine::Machine;
use crate::report::{Finding, Kind, MapError, Place, Report};
use snn_core::{Network, NetworkError, Seed};
use snn_sparse::Device;

/// Neurons of the chip.
pub const NEURONS: usize = 32;
/// Rows of synapses: what a neuron can hear.
pub const ROWS: usize = 32;
/// The largest weight; the smallest is 0.
pub const MAX_WEIGHT: u8 = 63;
/// Seconds of the network in a second of the chip.
pub const ACCELERATION: f64 = 1000.0;
/// Time of the host to start a trial and fetch its spikes (s); chosen here.
pub const ROUND_TRIP: f64 = 100e-6;
/// Time of the host to write a row of weights (s); chosen here.
pub const ROW_WRITE: f64 = 1e-6;
/// Time of an operation of the plasticity processor (s): 100 MHz, chosen here.
pub const OPERATION: f64 = 10e-9;

/// The machine, with the settings of its analogue parts.
///
/// The integer 63 stands for `full_scale`, or for the largest weight into a population where none is given. A reset by subtraction becomes one to rest: the circuit knows no
/// other. Delays are none or one step. Populations of `lif`, `cuba_lif` and `li`; the last is a neuron whose spikes are switched off and whose membrane is read.
///
/// ```
/// use snn_core::{Net, Raster, Seed, ms, net::{Connect, Init}, neuron::{Lif, Reset}};
/// use snn_hw::{Machine, dls::Dls};
/// use snn_sparse::Device;
/// let net = Net::new(ms(1.0)).input("in", 4)
///     .population("a", 8, Lif { reset: Reset::To(0.0), ..Lif::default() })
///     .project("in", "a", Connect::All, Init::normal(0.8)).output("a").build(Seed::new(0))?;
/// let report = Dls::default().map(&net, Seed::new(3));
/// assert_eq!(report.resources[1].used, 8.0);                  // rows: four sources, links of both signs
/// let mut device = Dls::default().device(&net, Seed::new(3))?;
/// let mut input = Raster::new(4, 50);
/// input.fill((0..50).map(|t| (t, t % 4)));
/// device.run(&[&input], Seed::new(7))?;
/// assert!(device.costs().seconds < 1e-3);                     // 50 ms of the network
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Dls {
    /// How much devices differ.
    pub mismatch: Mismatch,
    /// Membrane noise: its standard deviation in a step, as a share of the threshold.
    pub noise: f64,
    /// The sensors of correlation.
    pub sensor: Sensor,
    /// The weight that 63 stands for, above 0; `None`: the largest into a population when it is built.
    pub full_scale: Option<f64>,
}

impl Default for Dls {
    fn default() -> Self {
        Dls { mismatch: Mismatch::default(), noise: 0.02, sensor: Sensor::default(), full_scale: None }
    }
}

impl Dls {
    /// The machine without irregularities and noise: but for its weights, the software engine.
    pub fn ideal() -> Self {
        Dls { mismatch: Mismatch::NONE, noise: 0.0, sensor: Sensor { noise: 0.0, ..Sensor::default() }, full_scale: None }
    }

    /// The network on the device of this seed, with the plasticity processor in reach.
    ///
    /// # Errors
    /// As [`Machine::build`].
    pub fn device(&self, network: &Network, device: Seed) -> Result<DlsDevice, MapError> {
        let (layout, report) = place::place(self, network);
        report.accepted()?;
        let impossible = |error: NetworkError| {
            let finding = Finding { place: Place::Network, kind: Kind::Refused, what: format!("as built, {error}"), share: 1.0 };
            MapError { machine: place::NAME, refused: vec![finding] }
        };
        DlsDevice::new(*self, network, layout, device).map_err(impossible)
    }
}

impl Machine for Dls {
    fn name(&self) -> &'static str {
        place::NAME
    }
    fn about(&self) -> &'static str {
        "HICANN-DLS: 32 analogue neurons, 6-bit weights, 1000 times real time, plasticity on chip"
    }
    fn map(&self, network: &Network, _: Seed) -> Report {
        place::place(self, network).1
    }
    fn build(&self, network: &Network, device: Seed) -> Result<Box<dyn Device>, MapError> {
        Ok(Box::new(self.device(network, device)?))
    }
}
