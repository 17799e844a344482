//! What can be known of a device from outside.

use snn_core::{Raster, Seed};
use snn_sparse::{Device, DeviceError};

/// What every neuron did on average under some stimuli: its transfer curve as it was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Curves {
    /// By stimulus and population: mean number of events of each neuron per step, or mean value.
    means: Vec<Vec<Vec<f64>>>,
}

impl Curves {
    /// Recorded events of neuron `j` of population `p` under stimulus `k`, per step; of graded events the mean value.
    ///
    /// # Panics
    /// If there is no such stimulus, population or neuron.
    pub fn mean(&self, k: usize, p: usize, j: usize) -> f64 {
        self.means[k][p][j]
    }

    /// Slope and offset of the line through the answers of neuron `j` of population `p` to stimuli of these strengths, by least squares over the stimuli that it
    /// answered: `answer ≈ slope·strength + offset`. `None` if it answered fewer than two different strengths.
    pub fn line(&self, p: usize, j: usize, strengths: &[f64]) -> Option<(f64, f64)> {
        let points: Vec<(f64, f64)> =
            strengths.iter().zip(&self.means).map(|(&x, means)| (x, means[p][j])).filter(|(_, y)| *y > 0.0).collect();
        let n = points.len() as f64;
        let (x, y) = points.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x / n, b + y / n));
        let (xx, xy) = points.iter().fold((0.0, 0.0), |(a, b), (u, v)| (a + (u - x) * (u - x), b + (u - x) * (v - y)));
        (xx > 0.0).then(|| (xy / xx, y - xy / xx * x))
    }
}

/// Shows a device some stimuli, one raster per input each, and returns what its neurons did: all that training may know of it besides weights. Stimulus `k` is trial `trial.nth(k)`.
///
/// ```
/// use snn_core::{Net, Raster, Seed, ms, net::{Connect, Init}, neuron::Relu};
/// use snn_hw::{BrainScales, Machine, calibrate};
/// let net = Net::new(ms(1.0)).input("in", 1).population("a", 5, Relu {})
///     .project("in", "a", Connect::All, Init::Constant(1.0)).output("a").build(Seed::new(0))?;
/// let machine = BrainScales { gain: 0.2, offset: 0.1, ..BrainScales::ideal() };
/// let strengths = [1.0, 2.0];
/// let stimuli = strengths.map(|x| {
///     let mut raster = Raster::new(1, 1);
///     raster.fill_values([(0, 0, x)]);
///     vec![raster]
/// });
/// let curves = calibrate(&mut *machine.build(&net, Seed::new(1))?, &stimuli, Seed::new(2))?;
/// let (gain, offset) = curves.line(0, 3, &strengths).ok_or("silent")?;
/// assert!((gain - 1.0).abs() < 0.8 && gain != 1.0 && offset.abs() < 0.5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// What the device refuses.
pub fn calibrate(device: &mut dyn Device, stimuli: &[Vec<Raster>], trial: Seed) -> Result<Curves, DeviceError> {
    let populations = device.network().draft().populations.len();
    let mut means = Vec::with_capacity(stimuli.len());
    for (k, stimulus) in stimuli.iter().enumerate() {
        device.run(&stimulus.iter().collect::<Vec<_>>(), trial.nth(k as u64))?;
        means.push((0..populations).map(|p| mean(device.spikes(p))).collect());
    }
    Ok(Curves { means })
}

fn mean(events: &Raster) -> Vec<f64> {
    let mut sums = vec![0.0; events.units()];
    events.iter_values().for_each(|(_, unit, value)| sums[unit as usize] += value / events.steps() as f64);
    sums
}
