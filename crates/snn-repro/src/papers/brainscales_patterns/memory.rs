//! First strategy: something beside the network that keeps its activity where it was. An attractor memory whose weights are rescaled until recorded rates are right.

use crate::{Axes, Lab, Scale};
use anyhow::Result;
use rand::RngExt;
use snn_core::net::{Draft, Init, Links, Projection};
use snn_core::neuron::{Alif, Lif};
use snn_core::stats::{kolmogorov_smirnov, largest, mean, quantile};
use snn_core::{Net, Network, Raster, Seed, Value, ms};
use snn_hw::{BrainScales, Machine};
use snn_sparse::Device;

pub const DWELL: &str = "memory, 20 % weight noise, compensated: median dwell time over that without noise";
pub const APART: &str =
    "memory, 20 % weight noise, compensated: largest difference of the distributions of dwell times (Kolmogorov-Smirnov)";
pub const VALID: &str = "memory, 20 % weight noise, compensated: time in one of the patterns";
pub const HELPS: &str = "memory, 50 % weight noise and 30 % of the synapses lost: time in one of the patterns, with − without compensation";
pub const COMPLETES: &str = "memory, 20 % weight noise, compensated: patterns completed from half of them";

/// Time step; also every delay inside `[ours]`.
const DT: f64 = ms(1.0);
/// Hypercolumns, minicolumns of each, and neurons of each of these; the same minicolumn of all hypercolumns is a pattern. All sizes and weights `[ours]`.
const HYPER: usize = 4;
const MINI: usize = 3;
const EACH: usize = 10;
const EXCITATORY: usize = HYPER * MINI * EACH;
/// Inhibitory neurons of a hypercolumn, which are heard by all of it, and of a minicolumn, which are excited by the other patterns elsewhere.
const BASKET: usize = 4;
const REMOTE: usize = 2;
/// Background: rate (Hz) and weight.
const BACKGROUND: f64 = 300.0;
const WEIGHT: f32 = 0.15;
/// Rate of the background of a cued minicolumn (Hz), and steps of the cue.
const CUE: f64 = 1000.0;
const CUED: usize = 100;
/// A pattern holds while its rate is this times the next one's, and above so much (Hz).
const AHEAD: f64 = 2.0;
const AWAKE: f64 = 5.0;
/// Room for compensation above the largest weight: the weights of the memory then fall on levels or near them.
const HEADROOM: f64 = 1.5;
/// Steps over which rates are averaged.
const WINDOW: f64 = 30.0;

/// Hypercolumn and minicolumn of an excitatory neuron.
fn place(i: usize) -> (usize, usize) {
    (i / (MINI * EACH), i / EACH % MINI)
}

/// Links where `weight` gives one.
fn listed(net: &Network, from: &str, to: &str, delay: f64, weight: impl Fn(usize, usize) -> Option<f32>) -> Projection {
    let (mut ends, mut targets, mut weights) = (vec![0], Vec::new(), Vec::new());
    for i in 0..net.size(from) {
        for (j, w) in (0..net.size(to)).filter_map(|j| Some((j, weight(i, j)?))) {
            targets.push(j as u32);
            weights.push(w);
        }
        ends.push(targets.len() as u32);
    }
    Projection { weights: Value::Each(weights), links: Links::Csr { ends, targets }, delay: delay.into(), ..template(from, to) }
}

fn template(from: &str, to: &str) -> Projection {
    Projection {
        from: from.into(),
        to: to.into(),
        port: None,
        delay: 0.0.into(),
        fixed: false,
        tied: None,
        links: Links::All,
        weights: 0.0.into(),
    }
}

/// The memory: adapting excitatory neurons that hold a pattern for a while, and inhibition that lets one win.
fn network() -> Result<Network> {
    let inhibitory = || Lif { tau: ms(10.0).into(), ..Lif::default() };
    let blank = Net::new(DT)
        .input("background", EXCITATORY)
        .population("excitatory", EXCITATORY, Alif { tau: ms(20.0).into(), tau_a: 0.3.into(), beta: 0.05.into(), ..Alif::default() })
        .population("basket", HYPER * BASKET, inhibitory())
        .population("remote", HYPER * MINI * REMOTE, inhibitory())
        .project("background", "excitatory", snn_core::net::Connect::OneToOne, Init::Constant(WEIGHT))
        .output("excitatory")
        .build(Seed::new(0))?;
    let remote = |q: usize| (q / (MINI * REMOTE), q / REMOTE % MINI);
    let same = |i: usize, j: usize| {
        let ((h, m), (g, n)) = (place(i), place(j));
        (i != j && m == n).then_some(if h == g { 0.03 } else { 0.025 })
    };
    let mut draft = Draft::from(blank.clone());
    draft.projections.extend([
        listed(&blank, "excitatory", "excitatory", DT, same),
        listed(&blank, "excitatory", "basket", DT, |i, b| (place(i).0 == b / BASKET).then_some(0.1)),
        listed(&blank, "basket", "excitatory", DT, |b, j| (place(j).0 == b / BASKET).then_some(-0.1)),
        listed(&blank, "excitatory", "remote", DT, |i, q| (place(i).0 != remote(q).0 && place(i).1 != remote(q).1).then_some(0.1)),
        listed(&blank, "remote", "excitatory", DT, |q, j| (place(j) == remote(q)).then_some(-0.2)),
    ]);
    Ok(Network::try_from(draft)?)
}

/// Background of so many steps; `cue` raises that of some neurons at the start.
fn background(steps: usize, cue: impl Fn(usize) -> bool, seed: Seed) -> Raster {
    let mut rng = seed.rng();
    let mut raster = Raster::new(EXCITATORY, steps);
    raster.write(|t, list| {
        for i in 0..EXCITATORY {
            let rate = if t < CUED && cue(i) { CUE } else { BACKGROUND };
            if rng.random_bool((rate * DT).min(1.0)) {
                list.push(i as u32);
            }
        }
    });
    raster
}

/// The pattern that holds at each step, if one does: of the hypercolumns `of`.
fn patterns(spikes: &Raster, of: std::ops::Range<usize>) -> Vec<Option<usize>> {
    let mut rates = [0.0; MINI];
    let hz = 1.0 / (DT * (of.len() * EACH) as f64);
    let step = |t: usize| {
        let mut counts = [0.0; MINI];
        spikes.at(t).iter().map(|&i| place(i as usize)).filter(|(h, _)| of.contains(h)).for_each(|(_, m)| counts[m] += hz);
        (0..MINI).for_each(|k| rates[k] += (counts[k] - rates[k]) / WINDOW);
        let best = largest(rates);
        let next = (0..MINI).filter(|&k| k != best).map(|k| rates[k]).fold(0.0, f64::max);
        (rates[best] > AHEAD * next && rates[best] > AWAKE).then_some(best)
    };
    (0..spikes.steps()).map(step).collect()
}

/// Times (s) between the first step of a pattern and the first of the one after it.
fn dwells(holds: &[Option<usize>]) -> Vec<f64> {
    let (mut times, mut now) = (Vec::new(), None);
    for (t, &pattern) in holds.iter().enumerate().filter(|(_, p)| p.is_some()) {
        match now {
            Some((before, since)) if before != pattern => {
                times.push((t - since) as f64 * DT);
                now = Some((pattern, t));
            }
            None => now = Some((pattern, t)),
            _ => {}
        }
    }
    times
}

/// What was seen of some devices.
#[derive(Default)]
struct Seen {
    dwells: Vec<f64>,
    holding: Vec<f64>,
    completed: Vec<f64>,
}

impl Seen {
    fn median(&self) -> f64 {
        quantile(&self.dwells, 0.5)
    }
}

/// A study of the memory on devices.
struct Study {
    net: Network,
    seed: Seed,
    devices: u64,
    /// Steps of the long trial, and of each that compensates.
    steps: usize,
    tune: usize,
    cues: u64,
}

/// Mean rate of each population's neurons, in spikes per step and neuron, by population.
type Rates = Vec<f64>;

impl Study {
    /// Runs the memory on the devices of a machine; `wanted` are the rates that compensation brings back.
    fn observe(&self, lab: &Lab, machine: &BrainScales, wanted: Option<&Rates>) -> Result<(Seen, Rates)> {
        let mut seen = Seen::default();
        let mut rates = vec![0.0; 3];
        for d in 0..self.devices {
            lab.go_on()?;
            let mut device = machine.build(&self.net, self.seed.child("device").nth(d))?;
            if let Some(wanted) = wanted {
                self.compensate(&mut *device, wanted, d)?;
            }
            let seed = self.seed.child("background").nth(d);
            device.run(&[&background(self.steps, |_| false, seed)], seed)?;
            let holds = patterns(device.spikes(0), 0..HYPER);
            seen.dwells.extend(dwells(&holds));
            seen.holding.push(100.0 * holds.iter().flatten().count() as f64 / holds.len() as f64);
            for (p, rate) in rates.iter_mut().enumerate() {
                let spikes = device.spikes(p);
                *rate += spikes.len() as f64 / (spikes.units() * self.steps) as f64 / self.devices as f64;
            }
            seen.completed.push(self.complete(&mut *device, d)?);
        }
        Ok((seen, rates))
    }

    /// Share (%) of cues to half of the hypercolumns after which the other half holds the pattern.
    fn complete(&self, device: &mut dyn Device, d: u64) -> Result<f64> {
        let mut right = 0;
        for k in 0..self.cues {
            let (pattern, seed) = (k as usize % MINI, self.seed.child("cues").nth(d).nth(k));
            let cue = |i: usize| place(i).0 < HYPER / 2 && place(i).1 == pattern;
            device.run(&[&background(CUED + 50, cue, seed)], seed)?;
            right += usize::from(patterns(device.spikes(0), HYPER / 2..HYPER).last() == Some(&Some(pattern)));
        }
        Ok(100.0 * right as f64 / self.cues.max(1) as f64)
    }

    /// Rescales what each neuron hears from its excitatory sources until its recorded rate is the one wanted: five times, by the root of the ratio.
    fn compensate(&self, device: &mut dyn Device, wanted: &Rates, d: u64) -> Result<()> {
        let mut factors: Vec<Vec<f64>> = (0..3).map(|p| vec![1.0; self.net.size(["excitatory", "basket", "remote"][p])]).collect();
        for round in 0..5 {
            let seed = self.seed.child("tuning").nth(d).nth(round);
            device.run(&[&background(self.tune, |_| false, seed)], seed)?;
            for (p, factors) in factors.iter_mut().enumerate() {
                let mut counts = vec![0.0; factors.len()];
                device.spikes(p).iter().for_each(|(_, j)| counts[j as usize] += 1.0);
                for (factor, count) in factors.iter_mut().zip(counts) {
                    let ratio = wanted[p] * self.tune as f64 / f64::max(count, 1.0);
                    *factor = (*factor * ratio.powf(0.25).clamp(0.8, 1.25)).clamp(0.25, 4.0);
                }
            }
            // Background, memory, and the two ways to inhibition.
            for (k, p) in [(0, 0), (1, 0), (2, 1), (4, 2)] {
                let q = &self.net.draft().projections[k];
                let links = q.links.triplets(self.net.size(&q.from), self.net.size(&q.to));
                let weights: Vec<f32> = links.map(|(_, j, w)| (f64::from(q.weights.at(w)) * factors[p][j]) as f32).collect();
                device.write(k, &weights)?;
            }
        }
        Ok(())
    }
}

pub fn run(lab: &mut Lab) -> Result<()> {
    let (devices, steps, tune, cues) = lab.scale().pick((1, 2000, 300, 3), (5, 20_000, 5_000, 30), (10, 60_000, 10_000, 60));
    let study = Study { net: network()?, seed: lab.seed().child("memory"), devices, steps, tune, cues };
    let (clean, rates) = study.observe(lab, &BrainScales::ideal(), None)?;
    describe(lab, "without noise", &clean);
    let spikes = {
        let mut device = BrainScales::ideal().build(&study.net, study.seed)?;
        device.run(&[&background(2000.min(steps), |_| false, study.seed)], study.seed)?;
        device.spikes(0).clone()
    };
    lab.raster("memory", "attractor memory without noise: excitatory neurons, ordered by hypercolumn and minicolumn", DT, &spikes)?;
    let noises: &[f64] = if lab.scale() == Scale::Smoke { &[0.2] } else { &[0.1, 0.2, 0.3, 0.5] };
    let mut lines = vec![("as mapped", vec![(0.0, clean.median())]), ("compensated", vec![(0.0, clean.median())])];
    for &weight in noises {
        let machine = BrainScales { bits: Some(4), headroom: HEADROOM, weight, ..BrainScales::ideal() };
        for (k, wanted) in [None, Some(&rates)].into_iter().enumerate() {
            let (seen, _) = study.observe(lab, &machine, wanted)?;
            describe(lab, &format!("{:.0} % weight noise, {}", 100.0 * weight, lines[k].0), &seen);
            lines[k].1.push((100.0 * weight, seen.median()));
            if weight == 0.2 && wanted.is_some() && lab.scale() != Scale::Smoke {
                lab.report(DWELL, seen.median() / clean.median())?;
                lab.report(APART, kolmogorov_smirnov(&seen.dwells, &clean.dwells))?;
                lab.report(VALID, mean(&seen.holding))?;
                lab.report(COMPLETES, mean(&seen.completed))?;
            }
        }
    }
    lab.curve("dwell-times", "attractor memory: median dwell time", "weight noise (%)", "median dwell time (s)", &lines, Axes::default())?;
    if lab.scale() == Scale::Smoke {
        return Ok(lab.too_short(&[DWELL, APART, VALID, HELPS, COMPLETES], "two seconds are too short")?);
    }
    let machine = BrainScales { bits: Some(4), headroom: HEADROOM, weight: 0.5, lost: 0.3, ..BrainScales::ideal() };
    let [without, with] = [None, Some(&rates)].map(|wanted| study.observe(lab, &machine, wanted));
    let (without, with) = (without?.0, with?.0);
    describe(lab, "50 % weight noise and 30 % of the synapses lost, as mapped", &without);
    describe(lab, "50 % weight noise and 30 % of the synapses lost, compensated", &with);
    Ok(lab.report(HELPS, mean(&with.holding) - mean(&without.holding))?)
}

fn describe(lab: &mut Lab, what: &str, seen: &Seen) {
    let at = |share: f64| 1e3 * quantile(&seen.dwells, share);
    lab.note(format!(
        "memory, {what}: {} dwell times, {:.0} / {:.0} / {:.0} ms (10, 50, 90 %), {:.1} % of the time in a pattern, {:.1} % of patterns completed",
        seen.dwells.len(),
        at(0.1),
        at(0.5),
        at(0.9),
        mean(&seen.holding),
        mean(&seen.completed)
    ));
}
