//! BrainScaleS: accelerated analogue neurons and synapses.

mod device;
mod plan;
mod synapse;
mod transport;

use crate::machine::Machine;
use crate::report::{MapError, Report};
use serde::{Deserialize, Serialize};
use snn_core::{Network, Seed};
use snn_sparse::Device;

/// The wafer-scale BrainScaleS system: analogue neurons that run ten thousand times faster than biology, four-bit weights, and no two circuits alike.
///
/// The network as built is again a description: weights rounded to signed levels, `w·(1 + ε)` for every synapse, links that are not there, neurons with parameters of their own, delays that nobody chose. It is drawn
/// once from the seed of the device and runs on the clocked engine. Around it stands what changes from time to time: conductances that are set anew with every write, links to and from the
/// chip that lose events, jitter.
/// ```text
/// w_ij → g_j · (1 + ε_ij^±) · (w·(1 + η) + a(|w|)),    w in {−15 … 15}·V_gmax/divisor        g, ε, a of the device; η of every write and source
/// x_j  → g_j · (x_j + o_j),   τ_j → τ_j·(1 + ε_j),   v_th → v_th·(1 + ε_j)
/// ```
/// `±`: a source has two synapse rows, one for each sign, so a link is two synapses, with errors of their own. Those who use the device know none of these numbers: they write weights,
/// record spikes, and may [`calibrate`](crate::calibrate).
///
/// | setting | meaning | default | source |
/// |---|---|---|---|
/// | `bits` | bits of a weight; `None`: as described | 4 | platform guide |
/// | `headroom` | largest weight that can be written, in largest weights described | 1.5 | ours |
/// | `added` | `a` at most, as a share of the largest weight of the machine | 0.02 | form and size ours |
/// | `weight`, `gain`, `offset` | standard deviations of ε, g and o; o in units of the input | 0.2, 0.1, 0.02 | 0.2: ESS; others ours |
/// | `neuron` | standard deviations of parameters, by the beginning of their name; the first that fits counts | `tau` 0.1, `v_th` 0.05 | ours |
/// | `lost` | share of links lost when a network is placed, beside those that find no room | 0 | up to 0.5 studied |
/// | `rewrite` | standard deviation of η | 0.03 | "a few percent" |
/// | `delay` | mean and standard deviation of delays (s); `None`: as described | 1.2 ms, 0.3 ms | recalled |
/// | `jitter` | standard deviation of lateness on the way to the chip (s) | 0.2 ms | ours |
/// | `link_rate` | events per second that a link carries, each way; `None`: all | 1,780 | recalled, at 10,000x |
/// | `link_channels`, `link_buffer` | channels on a link; events it holds for a moment | 16, 16 | ours |
/// | `value_noise` | standard deviation of the factor on graded events, each way | 0 | ours |
/// | `rates` | whether populations with graded events are taken, as a model of rates | no | ours |
/// | `fan_in`, `merge` | synapses of a circuit; circuits that can be one neuron; `None`: no limit | 224, 64 | platform guide; recalled |
/// | `chips`, `circuits` | chips, and neuron circuits on one | 384, 512 | platform guide |
/// | `shared`, `group` | parameters that neighbours share, by name, and how many do | `v_reset`, 128 | recalled |
/// | `speed_up` | biological over machine time | 10,000 | platform guide |
/// | `trial_overhead`, `write_overhead` | time to start a trial and fetch its spikes; to write a projection (s) | 0.02, 0.5 | ours |
/// | `chip_watts` | power of a chip (W) | 2.6 | recalled: 1 kW a wafer |
/// | `event_joules` | energy of a synaptic event (J) | 1e-10 | between 1e-11 and 1e-9 |
///
/// Weights into readouts (graded output) are not on the chip: the host computes readouts from recorded spikes, so nothing is recorded of them. Windows become listed links. Drives stay as described.
///
/// Sources: Schmitt et al. 2017 (arXiv 1703.01909); Petrovici et al. 2014, 2017; the public platform guide.
///
/// ```
/// use snn_core::{Net, Raster, Seed, ms, net::{Connect, Init}, neuron::Lif};
/// use snn_hw::{BrainScales, Machine};
/// let net = Net::new(ms(1.0)).input("in", 8).population("a", 20, Lif::default())
///     .project("in", "a", Connect::All, Init::normal(0.5)).output("a").build(Seed::new(0))?;
/// let mut device = BrainScales::default().build(&net, Seed::new(1))?;
/// let mut levels = device.read(0)?;
/// levels.sort_by(f32::total_cmp);
/// levels.dedup();
/// assert!(levels.len() <= 31);                                // signed, four bits
/// let mut input = Raster::new(8, 50);
/// input.fill((0..50).flat_map(|t| (0..8).map(move |i| (t, i))));
/// device.run(&[&input], Seed::new(2))?;
/// assert!(device.costs().counts["recorded"] <= device.costs().counts["spikes"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BrainScales {
    /// Bits of a weight beside its sign; `None`: weights stay as described.
    pub bits: Option<u32>,
    /// Largest weight that can be written to a projection, in largest weights described.
    pub headroom: f64,
    /// What a level adds at most beside its product with the conductance, as a share of the largest weight of the machine.
    pub added: f64,
    /// Standard deviation of the relative error of a synapse.
    pub weight: f64,
    /// Standard deviation of the relative gain of a neuron.
    pub gain: f64,
    /// Standard deviation of the constant current that a neuron has in addition, in units of its input.
    pub offset: f64,
    /// Relative standard deviations of parameters, by the beginning of their name; the first that fits counts.
    pub neuron: Vec<(String, f64)>,
    /// Share of links lost when a network is placed.
    pub lost: f64,
    /// Relative standard deviation of conductances from write to write.
    pub rewrite: f64,
    /// Mean and standard deviation of delays (s), at least one time step each; `None`: as described.
    pub delay: Option<(f64, f64)>,
    /// Standard deviation of lateness on the way to the chip (s).
    pub jitter: f64,
    /// Events per second of biological time that a link carries; `None`: all.
    pub link_rate: Option<f64>,
    /// Channels on a link, or neurons on the way back.
    pub link_channels: usize,
    /// Events that a link holds for a moment before it loses any.
    pub link_buffer: f64,
    /// Standard deviation of the factor on graded events, on the way to the chip and back.
    pub value_noise: f64,
    /// Whether populations with graded events are taken, as a model of rates.
    pub rates: bool,
    /// Synapses of a neuron circuit; `None`: no limit.
    pub fan_in: Option<usize>,
    /// Circuits that can be merged into one neuron.
    pub merge: usize,
    /// Chips there are.
    pub chips: usize,
    /// Neuron circuits of a chip.
    pub circuits: usize,
    /// Parameters that neighbours share, by name.
    pub shared: Vec<String>,
    /// Neighbours that share them.
    pub group: usize,
    /// Biological time over machine time.
    pub speed_up: f64,
    /// Time to start a trial and fetch its spikes (s).
    pub trial_overhead: f64,
    /// Time to write a projection (s).
    pub write_overhead: f64,
    /// Power of a chip (W).
    pub chip_watts: f64,
    /// Energy of a synaptic event (J).
    pub event_joules: f64,
}

impl Default for BrainScales {
    fn default() -> Self {
        BrainScales {
            bits: Some(4),
            headroom: 1.5,
            added: 0.02,
            weight: 0.2,
            gain: 0.1,
            offset: 0.02,
            neuron: vec![("tau".into(), 0.1), ("v_th".into(), 0.05)],
            lost: 0.0,
            rewrite: 0.03,
            delay: Some((1.2e-3, 0.3e-3)),
            jitter: 0.2e-3,
            link_rate: Some(1780.0),
            link_channels: 16,
            link_buffer: 16.0,
            value_noise: 0.0,
            rates: false,
            fan_in: Some(224),
            merge: 64,
            chips: 384,
            circuits: 512,
            shared: vec!["v_reset".into()],
            group: 128,
            speed_up: 1e4,
            trial_overhead: 0.02,
            write_overhead: 0.5,
            chip_watts: 2.6,
            event_joules: 1e-10,
        }
    }
}

impl BrainScales {
    /// Without any imperfection or limit, but with the machine's times and energies: spikes are those of the software engine.
    pub fn ideal() -> Self {
        BrainScales {
            bits: None,
            headroom: 1.0,
            added: 0.0,
            weight: 0.0,
            gain: 0.0,
            offset: 0.0,
            neuron: Vec::new(),
            lost: 0.0,
            rewrite: 0.0,
            delay: None,
            jitter: 0.0,
            link_rate: None,
            value_noise: 0.0,
            rates: true,
            fan_in: None,
            chips: usize::MAX,
            shared: Vec::new(),
            ..Self::default()
        }
    }

    /// Largest level of a weight.
    fn levels(&self) -> Option<u32> {
        self.bits.map(|bits| ((1u64 << bits) - 1) as u32)
    }

    /// Whether synapses of one weight are all worth the same.
    fn regular(&self) -> bool {
        self.weight == 0.0 && self.gain == 0.0 && self.lost == 0.0 && self.rewrite == 0.0 && self.fan_in.is_none() && self.delay.is_none()
    }

    /// What is impossible about the settings, if anything is.
    fn check(&self) -> Result<(), String> {
        let size = |name: &str, x: f64| match x.is_finite() && x >= 0.0 {
            true => Ok(()),
            false => Err(format!("setting `{name}` = {x}: must be zero or more")),
        };
        let (mean, spread) = self.delay.unwrap_or((0.0, 0.0));
        let sizes = [
            ("added", self.added),
            ("weight", self.weight),
            ("gain", self.gain),
            ("offset", self.offset),
            ("lost", self.lost),
            ("rewrite", self.rewrite),
            ("delay", mean),
            ("delay", spread),
            ("jitter", self.jitter),
            ("link_rate", self.link_rate.unwrap_or(0.0)),
            ("link_buffer", self.link_buffer),
            ("value_noise", self.value_noise),
            ("trial_overhead", self.trial_overhead),
            ("write_overhead", self.write_overhead),
            ("chip_watts", self.chip_watts),
            ("event_joules", self.event_joules),
        ];
        sizes.into_iter().chain(self.neuron.iter().map(|(name, x)| (name.as_str(), *x))).try_for_each(|(name, x)| size(name, x))?;
        let positive = [("headroom", self.headroom), ("speed_up", self.speed_up)];
        if let Some((name, x)) = positive.into_iter().find(|(_, x)| !(x.is_finite() && *x > 0.0)) {
            return Err(format!("setting `{name}` = {x}: must be positive"));
        }
        let whole = [("merge", self.merge), ("circuits", self.circuits), ("link_channels", self.link_channels), ("group", self.group)];
        if let Some((name, _)) = whole.into_iter().find(|(_, n)| *n == 0) {
            return Err(format!("setting `{name}` = 0: must be 1 or more"));
        }
        match self.bits {
            Some(bits) if !(1..=24).contains(&bits) => Err(format!("setting `bits` = {bits}: must be between 1 and 24, or none")),
            _ if self.lost > 1.0 => Err(format!("setting `lost` = {}: must be at most 1", self.lost)),
            _ => Ok(()),
        }
    }
}

impl Machine for BrainScales {
    fn name(&self) -> &'static str {
        "brainscales"
    }
    fn about(&self) -> &'static str {
        "analogue neurons at 10,000 times biological speed, four-bit weights, no two circuits alike"
    }
    fn map(&self, network: &Network, device: Seed) -> Report {
        plan::place(self, network, device).0
    }
    fn build(&self, network: &Network, device: Seed) -> Result<Box<dyn Device>, MapError> {
        let (report, plan) = plan::place(self, network, device);
        report.accepted()?;
        match plan {
            Ok(plan) => Ok(Box::new(device::Chips::new(self.clone(), network.clone(), plan))),
            Err(finding) => Err(MapError { machine: self.name(), refused: vec![finding] }),
        }
    }
}
