//! Phase-change memory: weights as pairs of conductances that can be pulsed up, RESET to the bottom, and read with noise; and learning on them.
//!
//! * [`Physics`]: what a pulse, time and a read do to one conductance. Pure functions, all constants of the source.
//! * [`Devices`], [`Crossbar`]: many of them; pairs of groups of them as synapses that count their pulses.
//! * [`Pcm`]: any network with its weights on crossbars, as a [`Machine`](crate::Machine).
//! * [`Scheme`]: how a wanted change of weight becomes pulses. [`OnPcm`]: a network that learns on crossbars, as a [`Substrate`](snn_sparse::Substrate) of the trainer;
//!   [`Digital`] is what it is compared with.
//!
//! Reads by spikes go through the engine's own hook ([`Reads`](snn_sparse::Reads)): each event reads each device of its row once, drifted and with noise of its
//! own. As this noise is independent from read to read, reading silent rows as well would change nothing.
//!
//! Source: Demirag, Frenkel, Payvand & Indiveri 2021, arXiv 2108.01804. Marks: `[repo]` the released program; `[ours]` chosen here; `[unverified]` an order of
//! magnitude from the literature. Conductances are in µS, as in the source; times in s.

mod array;
mod crossbar;
mod devices;
mod machine;
mod physics;
mod reader;
mod scheme;
mod substrate;

pub use array::{READ_JOULES, RESET_JOULES, SET_JOULES, Wires};
pub use crossbar::{Crossbar, Renewal, Side};
pub use devices::Devices;
pub use machine::{Pcm, PcmDevice, TILE};
pub use physics::{G_MIN, Physics, T0};
pub use scheme::{Scheme, whole_quanta};
pub use substrate::{Digital, Learning, OnPcm, Rate};

/// Why a network cannot be on crossbars.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PcmError {
    /// Something in it has no place there.
    #[error(transparent)]
    Map(crate::MapError),
    /// An impossible number.
    #[error("pcm: {name} = {value}: must be {wanted}")]
    Parameter {
        /// Which.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it must be.
        wanted: &'static str,
    },
    /// Units or rates for another number of projections.
    #[error("pcm: units or rates for {found} projections given, the network has {expected}; give one each")]
    Units {
        /// In the network.
        expected: usize,
        /// Given.
        found: usize,
    },
}

fn positive(name: &'static str, value: f64) -> Result<(), PcmError> {
    let fine = value.is_finite() && value > 0.0;
    if fine { Ok(()) } else { Err(PcmError::Parameter { name, value, wanted: "above 0 and finite" }) }
}

fn not_negative(name: &'static str, value: f64) -> Result<(), PcmError> {
    let fine = value.is_finite() && value >= 0.0;
    if fine { Ok(()) } else { Err(PcmError::Parameter { name, value, wanted: "0 or more, and finite" }) }
}
