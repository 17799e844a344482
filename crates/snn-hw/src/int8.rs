//! A digital machine of small integers.

use crate::machine::Machine;
use crate::report::{Kind, MapError, Place, Report};
use serde::{Deserialize, Serialize};
use snn_core::net::{Links, Population};
use snn_core::{Network, Raster, Seed};
use snn_sparse::{Costs, Device, DeviceError, Ideal};

/// A digital machine whose weights are signed integers of 8 bits, with one scale for each projection, and whose neurons hear a limited number of links.
///
/// ```text
/// w → s·round(w/s),   s = max|w|/127 of the projection           halves go away from 0
/// ```
/// The scale is chosen anew with every write, so nothing is clipped. Neurons, delays, noise and readouts are as described; spikes and synaptic events are
/// counted, and a step takes its own time. There is no model of its energy.
///
/// | setting | meaning | default |
/// |---|---|---|
/// | `fan_in` | links that a neuron can hear, over all its projections | 1024 `[ours]` |
///
/// Refused: populations with a neuron that hears more.
///
/// ```
/// use snn_core::{Net, Seed, ms, net::{Connect, Init}, neuron::Lif};
/// use snn_hw::{Int8, Machine};
/// let net = Net::new(ms(1.0)).input("in", 2).population("a", 1, Lif::default())
///     .project("in", "a", Connect::All, Init::Constant(0.5)).output("a").build(Seed::new(0))?;
/// let mut device = Int8::default().build(&net, Seed::new(0))?;
/// device.write(0, &[127.0 / 128.0, 0.3])?;
/// assert_eq!(device.read(0)?, [127.0 / 128.0, 38.0 / 128.0]);    // a step is 1/128
/// assert!(Int8 { fan_in: 1 }.build(&net, Seed::new(0)).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Int8 {
    /// Links that a neuron can hear.
    pub fan_in: usize,
}

impl Default for Int8 {
    fn default() -> Self {
        Int8 { fan_in: 1024 }
    }
}

/// The largest weight, in steps.
const LARGEST: f64 = i8::MAX as f64;

/// The step of a projection: 1 of the integers is this weight.
fn step(weights: &[f32]) -> f64 {
    weights.iter().fold(0.0, |most, w| f64::max(most, w.abs().into())) / LARGEST
}

/// The weights as the machine has them.
fn rounded(weights: &[f32]) -> Vec<f32> {
    let step = step(weights);
    weights.iter().map(|w| if step > 0.0 { ((f64::from(*w) / step).round() * step) as f32 } else { 0.0 }).collect()
}

/// The most links that a neuron of the population hears.
fn fan_in(network: &Network, to: &Population) -> usize {
    let mut heard = vec![0; to.size];
    for p in network.draft().projections.iter().filter(|p| p.to == to.name) {
        let sources = network.size(&p.from);
        match p.links {
            Links::All => heard.iter_mut().for_each(|n| *n += sources),
            _ => p.links.triplets(sources, to.size).for_each(|(_, j, _)| heard[j] += 1),
        }
    }
    heard.into_iter().max().unwrap_or(0)
}

impl Machine for Int8 {
    fn name(&self) -> &'static str {
        "int8"
    }
    fn about(&self) -> &'static str {
        "digital: weights of 8 bits with a scale per projection, a limited number of links into a neuron"
    }
    fn map(&self, network: &Network, _: Seed) -> Report {
        let mut report = Report::new(self.name(), network);
        let mut fullest = 0;
        for population in &network.draft().populations {
            let heard = fan_in(network, population);
            fullest = fullest.max(heard);
            if heard > self.fan_in {
                let what = format!("a neuron hears {heard} links, the machine has room for {} at each; leave links out", self.fan_in);
                report.find(Kind::Refused, Place::population(&population.name), 1.0, what);
            }
        }
        for p in &network.draft().projections {
            let given = p.weights.given();
            let changed = rounded(given).iter().zip(given).filter(|(a, b)| a != b).count();
            if changed > 0 {
                let what = format!("weights are multiples of {:.3e}, from -127 to 127 times that", step(given));
                report.find(Kind::Quantised, Place::projection(p), changed as f64 / given.len() as f64, what);
            }
        }
        report.resource("links into a neuron", fullest as f64, Some(self.fan_in as f64), "");
        report.seconds_per_second = Some(1.0);
        report
    }
    fn build(&self, network: &Network, device: Seed) -> Result<Box<dyn Device>, MapError> {
        self.map(network, device).accepted()?;
        let mut ideal = Ideal::new(network);
        let engine = ideal.engine_mut();
        engine.weights().iter().enumerate().for_each(|(k, weights)| engine.set_weights(k, &rounded(weights)));
        Ok(Box::new(Rounded(Box::new(ideal))))
    }
}

/// A device that rounds what is written to it.
struct Rounded(Box<dyn Device>);

impl Device for Rounded {
    fn network(&self) -> &Network {
        self.0.network()
    }
    fn again(&self) -> Box<dyn Device> {
        Box::new(Rounded(self.0.again()))
    }
    fn begin(&mut self, steps: usize, trial: Seed) {
        self.0.begin(steps, trial);
    }
    fn advance(&mut self, until: usize, inputs: &[&Raster]) -> Result<(), DeviceError> {
        self.0.advance(until, inputs)
    }
    fn run(&mut self, inputs: &[&Raster], trial: Seed) -> Result<(), DeviceError> {
        self.0.run(inputs, trial)
    }
    fn spikes(&self, p: usize) -> &Raster {
        self.0.spikes(p)
    }
    fn output(&self, p: usize, t: usize, j: usize) -> Option<f64> {
        self.0.output(p, t, j)
    }
    fn chances(&self, p: usize, into: &mut Vec<f64>) -> bool {
        self.0.chances(p, into)
    }
    fn write(&mut self, k: usize, weights: &[f32]) -> Result<(), DeviceError> {
        DeviceError::check_weights(self.network(), k, weights)?;
        self.0.write(k, &rounded(weights))
    }
    fn read(&mut self, k: usize) -> Result<Vec<f32>, DeviceError> {
        self.0.read(k)
    }
    fn costs(&self) -> &Costs {
        self.0.costs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use snn_core::net::{Connect, Init};
    use snn_core::neuron::{Li, Lif};
    use snn_core::{Net, ms};

    proptest! {
        #[test]
        fn weights_are_integers_of_8_bits_times_a_scale(weights in prop::collection::vec(-1e3f32..1e3, 1..40)) {
            let (found, step) = (rounded(&weights), step(&weights));
            for (w, kept) in weights.iter().zip(&found) {
                let level = f64::from(*kept) / step;
                prop_assert!((level - level.round()).abs() < 1e-4 && level.abs() < 127.0001, "{w} is {level} steps");
                prop_assert!(f64::from(w - kept).abs() <= 0.5001 * step, "{w} became {kept}, a step is {step}");
            }
            // What has been rounded once stays, and so does the largest weight.
            prop_assert_eq!(&rounded(&found), &found);
            let largest = |list: &[f32]| list.iter().fold(0.0f32, |most, w| most.max(w.abs()));
            prop_assert_eq!(largest(&weights), largest(&found));
        }
    }

    #[test]
    fn too_many_links_are_refused_by_name() {
        let net = Net::new(ms(1.0)).input("in", 5).population("a", 4, Lif::default()).population("out", 2, Li::default());
        let net = net.project("in", "a", Connect::All, Init::normal(1.0)).project("a", "a", Connect::All, Init::normal(1.0));
        let net = net.delay(ms(1.0)).project("a", "out", Connect::All, Init::Constant(0.5)).output("out").build(Seed::new(1)).unwrap();
        assert!(Int8 { fan_in: 9 }.build(&net, Seed::new(0)).is_ok());
        let error = Int8 { fan_in: 8 }.build(&net, Seed::new(0)).err().unwrap();
        assert_eq!(error.refused.len(), 1);
        assert!(error.to_string().contains("population `a`: a neuron hears 9 links"), "{error}");
        // What rounding leaves as it is, is no finding.
        let report = Int8::default().map(&net, Seed::new(0));
        assert_eq!((report.findings.len(), report.resources[0].used), (2, 9.0));
        assert!(report.findings.iter().all(|f| f.kind == Kind::Quantised && f.share > 0.0));
    }
}
