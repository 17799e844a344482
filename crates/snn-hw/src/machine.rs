//! What all machines have in common.

use crate::report::{MapError, Report};
use snn_core::{Network, Seed};
use snn_sparse::Device;

/// A kind of neuromorphic machine, with the settings it is used with.
pub trait Machine: Send + Sync {
    /// Name, for the command line, files and tables.
    fn name(&self) -> &'static str;
    /// What it is, in a line.
    fn about(&self) -> &'static str;
    /// What becomes of a network on the device of this seed: what fits, what is rounded, lost or refused, and what it takes. Nothing is run.
    fn map(&self, network: &Network, device: Seed) -> Report;
    /// The network on the device of this seed. The irregularities of a device are a function of its seed.
    ///
    /// # Errors
    /// [`MapError`] with everything the report refuses.
    fn build(&self, network: &Network, device: Seed) -> Result<Box<dyn Device>, MapError>;
}
