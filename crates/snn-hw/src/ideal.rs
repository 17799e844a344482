use crate::machine::Machine;
use crate::report::{MapError, Report};
use snn_core::{Network, Seed};
use snn_sparse::Device;

/// The machine without limits: networks run as the software engine runs them.
///
/// ```
/// use snn_core::{Net, Seed, ms, net::{Connect, Init}, neuron::Lif};
/// use snn_hw::{Ideal, Machine};
/// let net = Net::new(ms(1.0)).input("in", 4).population("a", 3, Lif::default())
///     .project("in", "a", Connect::All, Init::normal(1.0)).output("a").build(Seed::new(0))?;
/// let mut device = Ideal.build(&net, Seed::new(0))?;
/// assert_eq!(device.read(0)?.len(), 12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Ideal;

impl Machine for Ideal {
    fn name(&self) -> &'static str {
        "ideal"
    }
    fn about(&self) -> &'static str {
        "no limits: the software engine"
    }
    fn map(&self, network: &Network, _: Seed) -> Report {
        Report::new(self.name(), network)
    }
    fn build(&self, network: &Network, _: Seed) -> Result<Box<dyn Device>, MapError> {
        Ok(Box::new(snn_sparse::Ideal::new(network)))
    }
}
