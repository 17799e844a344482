//! Anari, Daskalakis, Maass, Papadimitriou, Saberi & Vempala 2018, "Smoothed Analysis of Discrete Tensor Decomposition and Assemblies of Neurons", NeurIPS;
//! arXiv:1810.11896.
//!
//! Reproduced: the regions of the set diagram of a family of assemblies, found from the sizes of the intersections of three or five of them; how many regions, how
//! much perturbation and how much noise that takes; and assemblies that are not given but fire: neurons of a spiking population that a cue makes fire in more than
//! half of its trials. No data are needed.
//!
//! The article is theory: no experiment, no table. Marks of figures: `[text]` its abstract; `[derived]` our own calculation; `[run]` our own run of another
//! program, before this one; `[ours]` a criterion of ours.
//!
//! Departure: whole regions are perturbed, flips of sets drawn for each by itself; how the article does it was not to be had. Noise is on sizes, Gaussian, the same for all.
//!
//! The range of noise and the strengths of the cues were chosen on seed 2.

use anyhow::Result;
use rand::RngExt;
use rand_distr::{Distribution, Normal};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use snn_core::net::{Connect, Draft, Init, Links};
use snn_core::neuron::Lif;
use snn_core::stats::{mean, quantile};
use snn_core::{Net, Network, Raster, Seed, Value, ms};
use snn_data::{Encoder, Poisson};
use snn_learn::assemblies::{Intersections, Region, independence, perturbed};
use snn_sparse::{Device, Ideal};
use std::collections::BTreeMap;

use crate::checkpoint::{file_name, once};
use crate::{Axes, Bound, Claim, Cost, Lab, Paper, Scale};

const AT_12: &str = "12 sets, intersections of 3, half as many regions as rows: diagrams found";
const AT_8: &str = "8 sets, intersections of 5, half as many regions as rows: diagrams found";
const AT_10: &str = "10 sets, intersections of 5, half as many regions as rows: diagrams found";
const RANK: &str = "diagrams found without full rank, or not found though the smallest singular value is above 0.01";
const WRONG: &str = "wrong diagrams given as right";
const CUBE: &str = "unperturbed, two sets and what they share: refused at order 3, found at order 5";
const SMOOTH: &str = "10 sets, 80 % load: diagrams found of 20 at flips of 0.3, less those at 0.05";
const NOISE: &str = "10 sets, half load: noise at which half of the diagrams are found, in units of σ²·w/(n·m)";
const SPIKES: &str = "assemblies that fire, 10 sets of about 80 of 1,000 neurons: diagrams found";

/// The paper.
pub const PAPER: Paper = Paper {
    id: "assemblies",
    title: "Smoothed Analysis of Discrete Tensor Decomposition and Assemblies of Neurons",
    cite: "Anari, Daskalakis, Maass, Papadimitriou, Saberi & Vempala 2018, arXiv:1810.11896",
    about: "which neurons assemblies share, from the sizes of their intersections alone",
    cost: Cost { smoke: "a few seconds", short: "15 s, 2 cores", paper: "half an hour, 2 cores" },
    claims: &[
        Claim::new(AT_12, "20 of 20 [run]; 19 [ours]", Bound::AtLeast(19.0), "of 20", 0, "theorem on tensor powers"),
        Claim::new(AT_8, "20 of 20 [run]; 19 [ours]", Bound::AtLeast(19.0), "of 20", 0, "theorem on tensor powers"),
        Claim::new(AT_10, "20 of 20 [run]; 19 [ours]", Bound::AtLeast(19.0), "of 20", 0, "theorem on tensor powers").headline(),
        Claim::new(RANK, "0 [derived]", Bound::AtMost(0.0), "", 0, "theorem on tensor powers").headline(),
        Claim::new(WRONG, "0 [ours]", Bound::AtMost(0.0), "", 0, "ours"),
        Claim::new(CUBE, "2 [derived]", Bound::AtLeast(2.0), "of 2", 0, "why sets are perturbed"),
        Claim::new(SMOOTH, "perturbation helps [text]", Bound::AtLeast(1.0), "of 20", 0, "smoothed analysis"),
        Claim::new(NOISE, "about 1 [derived]", Bound::AtLeast(1.0), "", 1, "robust independence"),
        Claim::new(SPIKES, "≥ 9 of 10 [ours]", Bound::AtLeast(9.0), "of 10", 0, "ours").headline(),
    ],
    run,
};

/// Sizes of regions in all parts but the last.
const SIZES: std::ops::Range<u64> = 1..200;
/// Full rank, safely.
const INDEPENDENT: f64 = 0.01;

fn run(lab: &mut Lab) -> Result<()> {
    let trials = loads(lab)?;
    report(lab, &trials)?;
    cube(lab)?;
    noise(lab)?;
    spikes(lab)
}

/// What is varied: sets and the order measured, regions as a share of the rows (%), flips.
const CELLS: [(usize, usize); 5] = [(8, 3), (6, 5), (12, 3), (8, 5), (10, 5)];
const LOADS: [usize; 6] = [25, 50, 65, 80, 90, 100];
const FLIPS: [f64; 4] = [0.05, 0.1, 0.3, 0.5];

/// One diagram, drawn and looked for.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Trial {
    cell: (usize, usize),
    load: usize,
    flips: f64,
    /// Smallest singular value of `F`.
    sigma: f64,
    /// Whether it is what was drawn; none was found if nothing.
    right: Option<bool>,
}

impl Trial {
    fn new(cell: (usize, usize), load: usize, flips: f64, seed: Seed) -> Result<Trial> {
        let ((n, order), count) = (cell, (rows(cell)? * load / 100).max(1));
        let regions = perturbed(n, count, flips, SIZES, seed)?;
        let found = Intersections::of_regions(n, order, &regions)?.decompose(seed.child("factors")).ok();
        Ok(Trial { cell, load, flips, sigma: independence(n, order, &regions)?, right: found.map(|found| found.regions == regions) })
    }

    fn found(&self) -> bool {
        self.right == Some(true)
    }

    /// Whether the outcome is not the one that the rank of `F` says.
    fn surprises(&self) -> bool {
        (self.found() && self.sigma == 0.0) || (!self.found() && self.sigma > INDEPENDENT)
    }
}

/// Rows of `F`: the sets of up to `(order − 1)/2` of `n` indices.
fn rows((n, order): (usize, usize)) -> Result<usize> {
    Ok(Intersections::of_regions(n, order, &[])?.most_regions())
}

/// Diagrams of every size, load and perturbation; at smoke scale only what the first claims need.
fn loads(lab: &mut Lab) -> Result<Vec<Trial>> {
    let smoke = lab.scale() == Scale::Smoke;
    let (cells, loads, flips) = if smoke { (&CELLS[2..], &LOADS[1..2], &FLIPS[2..3]) } else { (&CELLS[..], &LOADS[..], &FLIPS[..]) };
    let count = lab.scale().pick(20, 20, 200);
    let (progress, folder) = (lab.progress("diagrams", (cells.len() * loads.len() * flips.len()) as u64), lab.checkpoint("loads")?);
    let mut all = Vec::new();
    for &cell in cells {
        for (&load, &p) in loads.iter().flat_map(|load| flips.iter().map(move |p| (load, p))) {
            let name = format!("{} sets, order {}, load {load}, flips {p}", cell.0, cell.1);
            let seed = lab.seed().child(&name);
            let trials = once(&folder.join(file_name(&name)), || {
                lab.on_threads(|_| (0..count).into_par_iter().map(|k| Trial::new(cell, load, p, seed.nth(k))).collect::<Result<Vec<_>>>())
            })?;
            all.extend(trials);
            progress.inc(1);
            lab.go_on()?;
        }
    }
    Ok(all)
}

/// How many of the trials of a kind were found, of twenty; not a number if there are none.
fn of_twenty(trials: &[Trial], cell: (usize, usize), load: usize, flips: f64) -> f64 {
    let these = trials.iter().filter(|t| (t.cell, t.load, t.flips) == (cell, load, flips));
    20.0 * mean(these.map(|t| f64::from(u8::from(t.found()))))
}

fn report(lab: &mut Lab, trials: &[Trial]) -> Result<()> {
    for (what, cell) in [(AT_12, (12, 3)), (AT_8, (8, 5)), (AT_10, (10, 5))] {
        let sigma: Vec<f64> = trials.iter().filter(|t| (t.cell, t.load, t.flips) == (cell, 50, 0.3)).map(|t| t.sigma).collect();
        lab.note(format!(
            "{} sets, order {}, half load: median of the smallest singular value {:.2}",
            cell.0,
            cell.1,
            quantile(&sigma, 0.5)
        ));
        lab.report(what, of_twenty(trials, cell, 50, 0.3))?;
    }
    let count = |what: fn(&Trial) -> bool| trials.iter().filter(|t| what(t)).count() as f64;
    lab.note(format!("{} diagrams, {} of full rank, {} found", trials.len(), count(|t| t.sigma > 0.0), count(Trial::found)));
    lab.report(RANK, count(Trial::surprises))?;
    lab.report(WRONG, count(|t| t.right == Some(false)))?;
    if lab.scale() == Scale::Smoke {
        return Ok(lab.too_short(&[SMOOTH], "one load, one perturbation")?);
    }
    let at = |load: usize, p: f64| of_twenty(trials, (10, 5), load, p);
    lab.report(SMOOTH, at(80, 0.3) - at(80, 0.05))?;
    let line = |&p: &f64| (format!("flips {p}"), LOADS.iter().map(|&load| (load as f64, at(load, p) / 20.0)).collect());
    let lines: Vec<(String, Vec<(f64, f64)>)> = FLIPS.iter().map(line).collect();
    let axes = Axes { y: Some((0.0, 1.05)), dots: true, ..Axes::default() };
    lab.curve("load", "10 sets, intersections of 5: diagrams found", "regions over rows (%)", "share found", &lines, axes)?;
    Ok(())
}

/// Two sets and what they share, among five: nothing is perturbed, and two rows cannot hold three regions.
fn cube(lab: &mut Lab) -> Result<()> {
    let regions = [(0b01, 3), (0b10, 4), (0b11, 5)].map(|(sets, size)| Region { sets, size });
    let found = |order| -> Result<Option<Vec<Region>>> {
        Ok(Intersections::of_regions(5, order, &regions)?.decompose(lab.seed()).ok().map(|found| found.regions))
    };
    let right = [found(3)?.is_none(), found(5)?.as_deref() == Some(&regions[..])];
    Ok(lab.report(CUBE, right.iter().filter(|&&right| right).count() as f64)?)
}

/// Sizes that were not counted well: how much noise leaves all regions in their places.
fn noise(lab: &mut Lab) -> Result<()> {
    let ((n, order), seed, trials) = ((10, 5), lab.seed().child("noise"), lab.scale().pick(4, 20, 200));
    let count = rows((n, order))? / 2;
    // What is planted, what is seen of it, and the noise it should bear.
    let draw = |k: u64| -> Result<(Vec<Region>, Intersections, f64)> {
        let regions = perturbed(n, count, 0.3, SIZES, seed.nth(k))?;
        let smallest = regions.iter().map(|r| r.size).min().unwrap_or(1) as f64;
        let bears = independence(n, order, &regions)?.powi(2) * smallest / (n * count) as f64;
        Ok((regions.clone(), Intersections::of_regions(n, order, &regions)?, bears))
    };
    let planted = (0..trials).map(draw).collect::<Result<Vec<_>>>()?;
    // The share of diagrams that are found with noise of this standard deviation; five of them are what sizes may be off.
    let share = |level: &(dyn Fn(&Intersections, f64) -> f64 + Sync)| -> Result<f64> {
        let found = |(k, (regions, seen, bears)): (usize, &(Vec<Region>, Intersections, f64))| -> Result<f64> {
            let (mut rng, std) = (seed.child("sizes").nth(k as u64).rng(), level(seen, *bears));
            let normal = Normal::new(0.0, std)?;
            let noisy: BTreeMap<_, _> = seen.iter().map(|(s, x)| (s, (x + normal.sample(&mut rng)).max(0.0))).collect();
            let found = Intersections::of(n, order, |s| noisy[&s])?.decompose_within(0.5 + 5.0 * std, seed.child("factors"));
            Ok(f64::from(u8::from(found.is_ok_and(|found| found.regions == *regions))))
        };
        let all = planted.par_iter().enumerate().map(found).collect::<Result<Vec<_>>>()?;
        Ok(mean(&all))
    };
    let levels = |low: i32, high: i32| (2 * low..=2 * high).map(|k| 10f64.powf(0.5 * f64::from(k)));
    let (borne, relative) = lab.on_threads(|_| {
        let borne = levels(-2, 3).map(|c| Ok((c, share(&|_, bears| c * bears)?))).collect::<Result<Vec<_>>>()?;
        let rms = |seen: &Intersections| mean(seen.iter().map(|(_, x)| x * x)).sqrt();
        let relative = levels(-7, -1).map(|c| Ok((c, share(&|seen, _| c * rms(seen))?))).collect::<Result<Vec<_>>>()?;
        Ok((borne, relative))
    })?;
    let axes = Axes { log_x: true, y: Some((0.0, 1.05)), dots: true, ..Axes::default() };
    let title = "10 sets, 27 regions, intersections of 5: all regions found";
    lab.curve("noise", title, "noise over root mean square of the sizes", "share found", &[("flips 0.3", relative)], axes)?;
    lab.curve("noise-borne", title, "noise, in units of σ²·w/(n·m)", "share found", &[("flips 0.3", borne.clone())], axes)?;
    match lab.scale() {
        Scale::Smoke => Ok(lab.too_short(&[NOISE], "four diagrams")?),
        // Levels rise: those before the first at which fewer than half are found.
        _ => Ok(lab.report(NOISE, borne.iter().take_while(|(_, share)| *share >= 0.5).last().map_or(0.0, |(c, _)| *c))?),
    }
}

/// Sets, regions and their sizes: about 80 neurons to an assembly.
const ASSEMBLIES: (usize, usize, std::ops::Range<u64>) = (10, 20, 4..13);
const NEURONS: usize = 1000;
/// Channels of a cue, each at 100 Hz for 100 ms.
const CHANNELS: usize = 10;
/// Mean drive of a cue, in units of the threshold.
const STRENGTHS: [f64; 7] = [0.7, 0.8, 0.9, 1.0, 1.2, 1.4, 1.6];
const STRONG: f64 = 1.6;

/// Neurons that hear the cues of their assemblies, no two equally well, and noise of their own.
fn population(regions: &[Region], strength: f64, seed: Seed) -> Result<Network> {
    let (n, model) = (ASSEMBLIES.0, Lif::default());
    let net = Net::new(ms(1.0)).input("cues", n * CHANNELS).population("cells", NEURONS, model);
    let net = net.drive("cells", 400.0, 0.03).drive("cells", 400.0, -0.03).project("cues", "cells", Connect::All, Init::Constant(0.0));
    let mut draft = Draft::from(net.output("cells").build(seed)?);
    let members: Vec<u32> = regions.iter().flat_map(|r| std::iter::repeat_n(r.sets, r.size as usize)).collect();
    let mut rng = seed.child("gains").rng();
    // A cue of 1,000 events a second and weight w drives a membrane of 20 ms to 20·w.
    let weights: Vec<f32> = members.iter().map(|_| (strength / 20.0 * rng.random_range(0.8..1.2)) as f32).collect();
    let (mut ends, mut targets, mut listed) = (vec![0], Vec::new(), Vec::new());
    for channel in 0..n * CHANNELS {
        for (j, _) in members.iter().enumerate().filter(|(_, sets)| *sets >> (channel / CHANNELS) & 1 == 1) {
            targets.push(j as u32);
            listed.push(weights[j]);
        }
        ends.push(targets.len() as u32);
    }
    draft.projections[0].links = Links::Csr { ends, targets };
    draft.projections[0].weights = Value::Each(listed);
    Ok(draft.try_into()?)
}

/// For each cue the neurons that fire in more than half of its trials, and a raster of one trial.
fn fired(network: &Network, trials: u64, seed: Seed) -> Result<(Vec<Vec<u32>>, Raster)> {
    let (mut device, cue, mut input) = (Ideal::new(network), Poisson::new(100.0, ms(1.0), 100)?, Raster::default());
    let mut sets = Vec::new();
    for i in 0..ASSEMBLIES.0 {
        let mut times = [0; NEURONS];
        let lit: Vec<f32> = (0..ASSEMBLIES.0 * CHANNELS).map(|channel| f32::from(u8::from(channel / CHANNELS == i))).collect();
        for k in 0..trials {
            let seed = seed.nth(i as u64).nth(k);
            cue.encode(&lit, seed.child("cue"), &mut input);
            device.run(&[&input], seed)?;
            let mut fires = [false; NEURONS];
            device.spikes(0).iter().for_each(|(_, j)| fires[j as usize] = true);
            times.iter_mut().zip(fires).for_each(|(n, fires)| *n += u64::from(fires));
        }
        sets.push((0..NEURONS as u32).filter(|&j| 2 * times[j as usize] > trials).collect());
    }
    Ok((sets, device.spikes(0).clone()))
}

/// Assemblies that are not given as sets, but fire.
fn spikes(lab: &mut Lab) -> Result<()> {
    let (seed, smoke, (n, count, sizes)) = (lab.seed().child("spikes"), lab.scale() == Scale::Smoke, ASSEMBLIES);
    let (diagrams, trials) = lab.scale().pick((1, 6), (10, 20), (10, 50));
    let strengths = if smoke { &STRENGTHS[6..] } else { &STRENGTHS };
    let (progress, mut lines) = (lab.progress("assemblies that fire", strengths.len() as u64), [const { Vec::new() }; 3]);
    for &strength in strengths {
        let one = |k: u64| -> Result<[f64; 3]> {
            let (seed, order) = (seed.nth(k), 5);
            let regions = perturbed(n, count, 0.3, sizes.clone(), seed)?;
            let (sets, _) = fired(&population(&regions, strength, seed)?, trials, seed.child("trials"))?;
            let found =
                Intersections::of_sets(&sets, order)?.decompose(seed.child("factors")).map(|found| found.regions).unwrap_or_default();
            let should: u64 = regions.iter().map(|r| u64::from(r.sets.count_ones()) * r.size).sum();
            let right = f64::from(u8::from(found == regions));
            let as_fired = f64::from(u8::from(!found.is_empty()));
            Ok([right, as_fired, sets.iter().map(Vec::len).sum::<usize>() as f64 / should as f64])
        };
        let all = lab.on_threads(|_| (0..diagrams).into_par_iter().map(one).collect::<Result<Vec<_>>>())?;
        (0..3).for_each(|k| lines[k].push((strength, mean(all.iter().map(|x| x[k])))));
        progress.inc(1);
        lab.go_on()?;
    }
    drop(progress);
    let regions = perturbed(n, count, 0.3, sizes, seed.nth(0))?;
    let (_, raster) = fired(&population(&regions, STRONG, seed.nth(0))?, 1, seed.child("raster"))?;
    lab.raster("spikes", "one trial of the last assembly", ms(1.0), &raster)?;
    let [right, as_fired, members] = lines;
    let share = right.last().map_or(f64::NAN, |p| p.1);
    let lines = [("the planted regions", right), ("regions of what fired", as_fired), ("neurons in assemblies, of those planted", members)];
    let axes = Axes { dots: true, ..Axes::default() };
    lab.curve("cues", "assemblies that fire: what is found", "drive of a cue over the threshold", "share", &lines, axes)?;
    match smoke {
        true => Ok(lab.too_short(&[SPIKES], "one diagram")?),
        false => Ok(lab.report(SPIKES, 10.0 * share)?),
    }
}
