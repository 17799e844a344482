//! From a distribution to conductance neurons in noise: activation, weights, clamps, and states read from spikes.

use super::{Boltzmann, SamplingError};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use snn_core::ann::sigmoid;
use snn_core::net::{Connect, Draft, Init, Links, Projection};
use snn_core::neuron::{Lif, LifCond};
use snn_core::{Net, Network, Raster, Seed, Value, ms};
use snn_sparse::{Chip, Device};
use std::ops::Range;

/// How a Boltzmann distribution becomes a network of [`LifCond`] neurons that sample from it.
///
/// A neuron in strong balanced noise is refractory with the probability `σ((E_leak − u0)/α)`; `u0` and `α` are measured ([`calibrate`](Self::calibrate)).
/// So a bias `b` is the leak potential `u0 + α·b`, and a weight `W` the conductance whose postsynaptic potential has, over the refractory period, the area of a
/// rectangle of height `W·α·g_leak/g_tot` ([`unit_weight`](Self::unit_weight)). A unit is on for the refractory period after each of its spikes. Its synapses renew:
/// potentials of a burst do not pile up.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `dt` | 0.1 ms | time step (s) |
/// | `cell` | `LifCond`, `tau_rec` = 10 ms | the neurons; leak potentials are set by unit |
/// | `noise` | 3,000 + 3,000 Hz of 1 nS each, private | what drives them |
/// | `clamp`, `clamp_every` | 20 nS, 1 ms | weight and interval of the events that hold a unit on or off |
///
/// Source: Petrovici et al. 2016 (arXiv 1311.3211); the translation of weights: the group's sampling library.
///
/// ```
/// use snn_core::{Network, Seed};
/// use snn_learn::sampling::{Boltzmann, Chain, Histogram, LifChain, LifSampling, Sweep};
/// use snn_sparse::{Device, Ideal};
/// fn chip(network: &Network) -> Result<Box<dyn Device>, Box<dyn std::error::Error + Send + Sync>> {
///     Ok(Box::new(Ideal::new(network)))
/// }
/// let how = LifSampling::default();
/// let target = Boltzmann::random(2, 0.5, 0.5, Seed::new(1));
/// let sweep = Sweep { points: 12, seconds: 1.0, ..how.sweep() };
/// let calibrations = how.calibrate(&chip, &target, sweep, Seed::new(2))?;
/// let mut chain = LifChain::new(&chip, &how, &calibrations, 20_000).every(how.dt);
/// let mut met = Histogram::new(2);
/// chain.sample(&target, &[vec![None; 2]], Seed::new(3), &mut |_, z| met.add(z))?;
/// assert!(met.divergence_from(&target.exact()?) < 0.2);
/// # Ok::<(), snn_learn::sampling::SamplingError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LifSampling {
    /// Time step (s).
    pub dt: f64,
    /// The neurons.
    pub cell: LifCond,
    /// What drives them.
    pub noise: Noise,
    /// Weight of an event that holds a unit on or off (S).
    pub clamp: f64,
    /// Interval of these events (s).
    pub clamp_every: f64,
}

impl Default for LifSampling {
    fn default() -> Self {
        let cell = LifCond { tau_rec: ms(10.0).into(), ..LifCond::default() };
        LifSampling { dt: ms(0.1), cell, noise: Noise::Private { rate: 3000.0, weight: 1e-9 }, clamp: 2e-8, clamp_every: ms(1.0) }
    }
}

/// What makes neurons stochastic. Rates are events per second, weights conductances (S).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Noise {
    /// Every neuron hears two Poisson trains of its own, one of each sign.
    Private {
        /// Of each train.
        rate: f64,
        /// Of each event.
        weight: f64,
    },
    /// Every neuron hears `fan_in` of `sources` Poisson sources by excitation, and as many by inhibition; each pair of neurons has about
    /// `fan_in/sources` of them in common.
    Pool {
        /// Sources in all.
        sources: usize,
        /// Heard with each sign.
        fan_in: usize,
        /// Of all that a neuron hears with one sign.
        rate: f64,
        /// Of each event.
        weight: f64,
    },
    /// The sources are neurons of a network without any noise: they fire by themselves, their leak potentials being above threshold, and inhibit each other at
    /// random.
    Network {
        /// Neurons.
        neurons: usize,
        /// Heard with each sign by a unit.
        fan_in: usize,
        /// Of each event to a unit.
        weight: f64,
        /// Neurons by which each of them is inhibited.
        inside: usize,
        /// Of each of these events.
        inhibition: f64,
        /// Mean of their leak potentials above threshold (V), uniform to ± a tenth of it.
        above: f64,
    },
}

/// The activation of one unit: `p(on) = σ((E_leak − u0)/α)`, and the noise it hears.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// Leak potential at which the unit is on half of the time (V).
    pub u0: f64,
    /// Leak potential for a unit of log-odds (V).
    pub alpha: f64,
    /// Largest difference between measured and fitted probability.
    pub residual: f64,
    /// Mean conductances of the noise (S): excitation, inhibition.
    pub background: [f64; 2],
}

/// Leak potentials at which activations are measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sweep {
    /// First and last potential (V).
    pub range: (f64, f64),
    /// How many.
    pub points: usize,
    /// Time at each (s).
    pub seconds: f64,
    /// Time before that is not counted (s).
    pub burn_in: f64,
}

/// Population of the sampling neurons.
const UNITS: &str = "units";
/// Population of the noise sources.
const SOURCES: &str = "sources";
/// Input that holds units on (channel 2k) or off (channel 2k + 1).
const CLAMP: &str = "clamp";

impl LifSampling {
    /// Around the threshold, 5 mV each way: 60 potentials of 20 s.
    pub fn sweep(&self) -> Sweep {
        let v_th = self.cell.v_th.at(0);
        Sweep { range: (v_th - 5e-3, v_th + 5e-3), points: 60, seconds: 20.0, burn_in: 0.5 }
    }

    /// Steps for which a unit is on after a spike: until it may fire again.
    pub fn window(&self) -> usize {
        (self.cell.t_ref.at(0) / self.dt).round() as usize + 1
    }

    /// The refractory period in seconds.
    pub fn period(&self) -> f64 {
        self.cell.t_ref.at(0)
    }

    /// Conductance (S) of a weight of 1 onto a neuron, positive for either sign.
    ///
    /// ```text
    /// w = α·(g_leak/g_tot)·(τ_ref/τ_syn) / { ΔE/(C − g_tot·τ_syn)·[ τ_eff·(1 − exp(−τ_ref/τ_eff)) − τ_syn·(1 − exp(−τ_ref/τ_syn)) ] }
    /// g_tot = g_leak + ḡ_exc + ḡ_inh,   τ_eff = C/g_tot,   μ: mean potential at E_leak = u0,   ΔE = |E_exc − μ| or |E_inh − μ|
    /// ```
    pub fn unit_weight(&self, calibration: &Calibration, excitatory: bool) -> f64 {
        let (cell, [g_exc, g_inh]) = (&self.cell, calibration.background);
        let (c, leak, e_exc, e_inh) = (cell.c_m.at(0), cell.g_leak.at(0), cell.e_exc.at(0), cell.e_inh.at(0));
        let (total, period) = (leak + g_exc + g_inh, self.period());
        let mean = (leak * calibration.u0 + g_exc * e_exc + g_inh * e_inh) / total;
        let (tau, distance) = if excitatory { (cell.tau_exc.at(0), e_exc - mean) } else { (cell.tau_inh.at(0), mean - e_inh) };
        let rise = |tau: f64| tau * (1.0 - (-period / tau).exp());
        let area = distance / (c - total * tau) * (rise(c / total) - rise(tau));
        calibration.alpha * leak / total * period / tau / area
    }

    /// The network that samples from `target`. Its structure is a function of the pairs of the target and the settings, so that a device finds every link where it was.
    ///
    /// # Errors
    /// [`SamplingError::Setting`] if there is not one calibration per unit; [`SamplingError::Network`].
    pub fn translate(&self, target: &Boltzmann, calibrations: &[Calibration]) -> Result<Network, SamplingError> {
        if calibrations.len() != target.size() {
            return Err(SamplingError::Setting(format!("{} calibrations for {} units; give one each", calibrations.len(), target.size())));
        }
        let leaks = calibrations.iter().zip(&target.biases).map(|(c, b)| c.u0 + c.alpha * b).collect();
        let scale: Vec<[f64; 2]> = calibrations.iter().map(|c| [self.unit_weight(c, true), self.unit_weight(c, false)]).collect();
        self.network(target, leaks, |j, w| w * scale[j][usize::from(w < 0.0)])
    }

    /// The network with these leak potentials, and the conductance `weight(j, W)` for a weight `W` onto unit `j`.
    fn network(&self, target: &Boltzmann, leaks: Vec<f64>, weight: impl Fn(usize, f64) -> f64) -> Result<Network, SamplingError> {
        let n = target.size();
        let net = Net::new(self.dt).input(CLAMP, 2 * n).population(UNITS, n, LifCond { e_leak: leaks.into(), ..self.cell.clone() });
        // The same sources and links whatever is sampled.
        let mut draft = Draft::from(self.noise.join(net, &self.cell).output(UNITS).build(Seed::new(0).child("noise sources"))?);
        let listed = |from: &str, delay: f64, rows: Vec<Vec<(u32, f64)>>| {
            let mut ends = vec![0];
            rows.iter().for_each(|row| ends.push(ends.last().copied().unwrap_or(0) + row.len() as u32));
            let links = Links::Csr { ends, targets: rows.iter().flatten().map(|link| link.0).collect() };
            let weights = Value::Each(rows.iter().flatten().map(|link| link.1 as f32).collect());
            Projection { from: from.into(), to: UNITS.into(), port: None, delay: delay.into(), fixed: false, tied: None, links, weights }
        };
        let joined = |i: usize| {
            let mut row: Vec<(u32, f64)> =
                target.joined(i).iter().map(|&(j, k)| (j, weight(j as usize, target.weights[k as usize]))).collect();
            row.sort_by_key(|link| link.0);
            row
        };
        draft.projections.push(listed(UNITS, self.dt, (0..n).map(joined).collect()));
        let holds = |channel: usize| vec![(channel as u32 / 2, if channel.is_multiple_of(2) { self.clamp } else { -self.clamp })];
        draft.projections.push(listed(CLAMP, 0.0, (0..2 * n).map(holds).collect()));
        Ok(Network::try_from(draft)?)
    }

    /// Measures the activation of every unit of `structure` on a machine: all units at each leak potential of the sweep, weights zero, and counts how long they are on.
    ///
    /// # Errors
    /// [`SamplingError::Calibration`] if fewer than three potentials lie on the slope of a unit; whatever the machine refuses.
    pub fn calibrate(&self, chip: &Chip, structure: &Boltzmann, sweep: Sweep, seed: Seed) -> Result<Vec<Calibration>, SamplingError> {
        let (n, (low, high)) = (structure.size(), sweep.range);
        let potential = |k: usize| low + (high - low) * k as f64 / (sweep.points.max(2) - 1) as f64;
        let (skip, steps) = ((sweep.burn_in / self.dt) as usize, ((sweep.burn_in + sweep.seconds) / self.dt) as usize);
        let silent = Raster::new(2 * n, steps);
        let point = |k: usize| {
            let network = self.network(structure, vec![potential(k); n], |_, _| 0.0)?;
            let mut device = chip(&network).map_err(SamplingError::Chip)?;
            device.run(&[&silent], seed.nth(k as u64))?;
            Ok((self.shares(device.spikes(0), skip), self.background(&*device)))
        };
        let measured = (0..sweep.points).into_par_iter().map(point).collect::<Result<Vec<_>, SamplingError>>()?;
        let background = |unit: usize, sign: usize| measured.iter().map(|m| m.1[unit][sign]).sum::<f64>() / measured.len().max(1) as f64;
        let fit = |unit: usize| {
            let points: Vec<(f64, f64)> = measured.iter().enumerate().map(|(k, m)| (potential(k), m.0[unit])).collect();
            Calibration::fit(&points, [background(unit, 0), background(unit, 1)]).map_err(|found| SamplingError::Calibration {
                unit,
                found,
                points: points.len(),
            })
        };
        (0..n).map(fit).collect()
    }

    /// The share of the time from step `skip` on in which each unit is on.
    pub fn shares(&self, spikes: &Raster, skip: usize) -> Vec<f64> {
        let (window, steps) = (self.window(), spikes.steps());
        let mut on = vec![0usize; spikes.units()];
        let stays = |t: usize| (t + window).min(steps).saturating_sub(t.max(skip));
        spikes.iter().for_each(|(t, unit)| on[unit as usize] += stays(t));
        on.into_iter().map(|n| n as f64 / steps.saturating_sub(skip).max(1) as f64).collect()
    }

    /// Mean conductances of the noise of each unit, from recorded spikes of the sources or from the rate of its own trains.
    fn background(&self, device: &dyn Device) -> Vec<[f64; 2]> {
        let (network, taus) = (device.network(), [self.cell.tau_exc.at(0), self.cell.tau_inh.at(0)]);
        let n = network.size(UNITS);
        if let Noise::Private { rate, weight } = self.noise {
            return vec![taus.map(|tau| rate * weight * tau); n];
        }
        let spikes = device.spikes(1);
        let mut rates = vec![0.0; spikes.units()];
        spikes.iter().for_each(|(_, source)| rates[source as usize] += 1.0 / (spikes.steps() as f64 * self.dt));
        let mut mean = vec![[0.0; 2]; n];
        for p in network.draft().projections.iter().filter(|p| p.from == SOURCES && p.to == UNITS) {
            for (i, j, k) in p.links.triplets(spikes.units(), n) {
                let w = f64::from(p.weights.at(k));
                mean[j][usize::from(w < 0.0)] += rates[i] * w.abs() * taus[usize::from(w < 0.0)];
            }
        }
        mean
    }

    /// Writes the events that hold units as `clamp` says over `steps` of a trial into `into`, after those of earlier steps.
    pub(super) fn hold(&self, clamp: &[Option<bool>], steps: Range<usize>, into: &mut Raster) {
        let every = (self.clamp_every / self.dt).round().max(1.0) as usize;
        let first = steps.start;
        for t in steps {
            let due = (t - first).is_multiple_of(every);
            let held = clamp.iter().enumerate().filter(|_| due).filter_map(|(k, on)| Some(2 * k as u32 + u32::from(!(*on)?)));
            into.push_step(t, |channels| channels.extend(held));
        }
    }
}

impl Noise {
    /// Adds the noise of the population of units.
    fn join(&self, net: Net, cell: &LifCond) -> Net {
        let heard = |net: Net, fan_in: usize, weight: f64| {
            let connect = Connect::InDegree(fan_in);
            let net = net.project(SOURCES, UNITS, connect, Init::Constant(weight as f32));
            net.project(SOURCES, UNITS, connect, Init::Constant(-weight as f32))
        };
        match *self {
            Noise::Private { rate, weight } => net.drive(UNITS, rate, weight as f32).drive(UNITS, rate, -weight as f32),
            Noise::Pool { sources, fan_in, rate, weight } => {
                // Relays without memory: a source fires where its train has an event.
                let relay = Lif { tau: 1e-9.into(), v_th: 0.5.into(), ..Lif::default() };
                let net = net.population(SOURCES, sources, relay).drive(SOURCES, rate / fan_in.max(1) as f64, 1.0);
                heard(net, fan_in, weight)
            }
            Noise::Network { neurons, fan_in, weight, inside, inhibition, above } => {
                let leak = |k: usize| cell.v_th.at(0) + above * (0.9 + 0.2 * k as f64 / neurons.max(2) as f64);
                let leaks: Vec<f64> = (0..neurons).map(leak).collect();
                // Refractory as long as the units are: with a shorter period, rates wander slowly, and states with them.
                let source =
                    LifCond { e_leak: leaks.into(), v_reset: (cell.v_th.at(0) - 5e-3).into(), tau_rec: 0.0.into(), ..cell.clone() };
                let net = net.population(SOURCES, neurons, source);
                let net = net.project(SOURCES, SOURCES, Connect::InDegree(inside), Init::Constant(-inhibition as f32)).delay(ms(1.0));
                heard(net, fan_in, weight)
            }
        }
    }
}

impl Calibration {
    /// Fits `u0` and `α` to probabilities by potential (least squares over those between 0.01 and 0.99).
    ///
    /// # Errors
    /// How many these are, if they are fewer than three.
    pub fn fit(points: &[(f64, f64)], background: [f64; 2]) -> Result<Self, usize> {
        let slope: Vec<(f64, f64)> = points.iter().copied().filter(|(_, p)| (0.01..=0.99).contains(p)).collect();
        if slope.len() < 3 {
            return Err(slope.len());
        }
        // From the straight line through the log-odds, by Gauss and Newton.
        let n = slope.len() as f64;
        let odds = |p: f64| (p / (1.0 - p)).ln();
        let (x, y) = (slope.iter().map(|s| s.0).sum::<f64>() / n, slope.iter().map(|s| odds(s.1)).sum::<f64>() / n);
        let (xx, xy) = slope.iter().fold((0.0, 0.0), |(a, b), s| (a + (s.0 - x).powi(2), b + (s.0 - x) * (odds(s.1) - y)));
        let mut alpha = xx / xy;
        let mut u0 = x - alpha * y;
        for _ in 0..50 {
            let (mut a, mut b, mut c, mut d, mut e) = (0.0, 0.0, 0.0, 0.0, 0.0);
            for &(x, p) in &slope {
                let at = (x - u0) / alpha;
                let fitted = sigmoid(at);
                let (by_u0, rest) = (-fitted * (1.0 - fitted) / alpha, p - fitted);
                let by_alpha = by_u0 * at;
                (a, b, c) = (a + by_u0 * by_u0, b + by_u0 * by_alpha, c + by_alpha * by_alpha);
                (d, e) = (d + by_u0 * rest, e + by_alpha * rest);
            }
            let determinant = a * c - b * b;
            if determinant.abs() > 0.0 {
                (u0, alpha) = (u0 + (c * d - b * e) / determinant, alpha + (a * e - b * d) / determinant);
            }
        }
        let off = |&(x, p): &(f64, f64)| (p - sigmoid((x - u0) / alpha)).abs();
        let residual = slope.iter().map(off).fold(0.0, f64::max);
        if u0.is_finite() && alpha > 0.0 { Ok(Calibration { u0, alpha, residual, background }) } else { Err(0) }
    }
}

/// The states of the units at these steps, ascending: a unit is on if it fired in the last `window` steps.
pub fn read_states(spikes: &Raster, window: usize, at: impl IntoIterator<Item = usize>, mut visit: impl FnMut(&[bool])) {
    let (mut until, mut z, mut next) = (vec![0; spikes.units()], vec![false; spikes.units()], 0);
    for t in at.into_iter().take_while(|t| *t < spikes.steps()) {
        for step in next..=t {
            spikes.at(step).iter().for_each(|&unit| until[unit as usize] = step + window);
        }
        next = t + 1;
        z.iter_mut().zip(&until).for_each(|(z, &until)| *z = t < until);
        visit(&z);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The calibration of the reference set.
    fn reference() -> Calibration {
        Calibration { u0: -50.59e-3, alpha: 0.815e-3, residual: 0.0, background: [3e-8, 3e-8] }
    }

    #[test]
    fn the_translation_has_its_reference_values() {
        // An independent computation of the same formula, for the reference set: 0.005368 and 0.005467 µS.
        let how = LifSampling::default();
        let (exc, inh) = (how.unit_weight(&reference(), true), how.unit_weight(&reference(), false));
        assert!((exc - 5.368e-9).abs() < 5e-12 && (inh - 5.467e-9).abs() < 5e-12, "{exc} {inh}");
    }

    #[test]
    fn areas_of_potentials_are_those_of_rectangles() {
        // C·u' = −g_tot·u + w·ΔE·exp(−t/τ), integrated in steps of 1 µs over the refractory period.
        let (how, c) = (LifSampling::default(), reference());
        let total = 0.2e-6 + 6e-8;
        let mean = (0.2e-6 * c.u0 + 3e-8 * -0.1) / total;
        for (excitatory, distance) in [(true, -mean), (false, mean + 0.1)] {
            let (w, h, mut u, mut area) = (how.unit_weight(&c, excitatory), 1e-6, 0.0, 0.0);
            for k in 0..10_000 {
                let slope = |u: f64, t: f64| (-total * u + w * distance * (-t / 0.01f64).exp()) / 0.2e-9;
                let t = f64::from(k) * h;
                let middle = u + 0.5 * h * slope(u, t);
                u += h * slope(middle, t + 0.5 * h);
                area += h * middle;
            }
            let rectangle = c.alpha * 0.2e-6 / total * 0.01;
            assert!((area / rectangle - 1.0).abs() < 1e-3, "{area} {rectangle}");
        }
    }

    #[test]
    fn a_fit_finds_what_made_its_points() {
        let points: Vec<(f64, f64)> =
            (0..60).map(|k| -0.055 + 0.01 * f64::from(k) / 59.0).map(|x| (x, sigmoid((x + 0.0505) / 8e-4))).collect();
        let fit = Calibration::fit(&points, [0.0; 2]).unwrap();
        assert!((fit.u0 + 0.0505).abs() < 1e-9 && (fit.alpha - 8e-4).abs() < 1e-9 && fit.residual < 1e-9, "{fit:?}");
        assert_eq!(Calibration::fit(&points[..5], [0.0; 2]), Err(0));
        assert_eq!(Calibration::fit(&[], [0.0; 2]), Err(0));
    }

    #[test]
    fn states_are_read_from_spikes() {
        let mut spikes = Raster::new(2, 12);
        spikes.fill([(1, 0), (5, 0), (6, 1)]);
        let mut states = Vec::new();
        read_states(&spikes, 3, [0, 1, 3, 4, 5, 6, 8, 11, 12], |z| states.push((z[0], z[1])));
        let (on, off) = (true, false);
        assert_eq!(states, [(off, off), (on, off), (on, off), (off, off), (on, off), (on, on), (off, on), (off, off)]);
        let how = LifSampling { cell: LifCond { t_ref: ms(0.2).into(), ..LifCond::default() }, ..LifSampling::default() };
        assert_eq!(how.shares(&spikes, 2), [0.5, 0.3]);
    }

    #[test]
    fn every_noise_has_its_conductance_and_structure() {
        let target = Boltzmann::random(3, 1.0, 1.0, Seed::new(0));
        let noises = [Noise::Private { rate: 3000.0, weight: 1e-9 }, Noise::Pool { sources: 200, fan_in: 60, rate: 3000.0, weight: 1e-9 }];
        for noise in noises {
            let how = LifSampling { noise, ..LifSampling::default() };
            let network = how.translate(&target, &[reference(); 3]).unwrap();
            let mut device = snn_sparse::Ideal::new(&network);
            device.run(&[&Raster::new(6, 20_000)], Seed::new(1)).unwrap();
            for [exc, inh] in how.background(&device) {
                assert!((exc - 3e-8).abs() < 2e-9 && (inh - 3e-8).abs() < 2e-9, "{noise:?}: {exc} {inh}");
            }
            // Both directions of each pair, translated for their targets, and one link for each channel of the clamp.
            let draft = network.draft();
            let [between, clamp] = &draft.projections[draft.projections.len() - 2..] else { panic!() };
            assert_eq!((between.weights.given().len(), clamp.weights.given().len()), (6, 6));
            for (i, j, k) in between.links.triplets(3, 3) {
                let pair = target.pairs().iter().position(|&(a, b)| (a as usize, b as usize) == (i.min(j), i.max(j))).unwrap();
                let w = target.weights[pair];
                let expected = w * how.unit_weight(&reference(), w > 0.0);
                assert!((f64::from(between.weights.at(k)) - expected).abs() < 1e-12);
            }
        }
        let error = LifSampling::default().translate(&target, &[reference()]).unwrap_err().to_string();
        assert!(error.contains("1 calibrations for 3 units"), "{error}");
    }
}
