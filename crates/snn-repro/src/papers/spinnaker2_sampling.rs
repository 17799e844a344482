//! Yan, Kappel, Neumärker, Partzsch, Vogginger, Höppner, Furber, Maass, Legenstein & Mayr 2019, "Efficient reward-based structural
//! plasticity on a SpiNNaker 2 prototype", IEEE TBioCAS 13(3); arXiv:1903.08500. The model: Kappel et al. 2018, eNeuro 5(2);
//! arXiv:1704.04238.
//!
//! Reproduced: synapses that wander, come and go by reward-based synaptic sampling, in a loop with a world that rewards one population of
//! neurons per input pattern; on the software engine in f64 and f32, and on the modelled chip in fixed point throughout. No data are
//! needed.
//!
//! Marks: `[abs]` abstract; `[spore]` the code released with the model (SPORE); `[calc]` computed from the equations; `[ours]` chosen here.
//!
//! Departure: the task and all numbers of the model are those of a public example of SPORE; the sizes of the paper's task are not known.
//! Departure: the learning rate is 10 times SPORE's, for 2,000 s where the example runs 100,000 s. It was 100 times at first, and nothing was learned (reward 1.5 times that at
//! the beginning, decisions at chance): the gradient, cut at ±40, then moves a parameter by 10 within its memory of 50 s, further than the range. 10 was tried on another seed.
//! Departure: life is cut into trials of 100 s; at the beginning of each the neurons are at rest (parameters, eligibilities and the mean reward go on). Departure: a retracted
//! synapse forgets its eligibility, but the presynaptic trace belongs to the source and goes on. Departure: on the chip the rule runs in
//! s7.24, the neurons in s16.15; the authors' plasticity is remembered to be float32. Normal numbers there are sums of uniform ones from a
//! KISS generator; how the authors made theirs is not known.
//!
//! Cycles and joules are modelled from constants of ours (`snn_hw::spinnaker2::cost`), never measured; what the paper measured is quoted
//! beside.

use std::time::Instant;

use anyhow::Result;
use rand_distr::{Distribution, Normal};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use snn_arch::ClosedLoop;
use snn_core::net::{Connect, Init, Links};
use snn_core::neuron::Psp;
use snn_core::stats;
use snn_core::{Fix, Net, Network, Raster, Seed, ms};
use snn_data::{RatePatterns, RatePatternsParams, Score, World};
use snn_hw::spinnaker2::{Dram, Gaussian, Kiss, Plastic};
use snn_hw::{Machine, Spinnaker2};
use snn_learn::online::{Moment, Normals, OnlineRule, Sampling, SynapticSampling, Wires, normals};
use snn_sparse::{Costs, Device, Ideal, Scalar};

use crate::checkpoint::once;
use crate::{Axes, Bound, Claim, Cost, Interrupt, Lab, Paper, Scale};

const PRIOR_MEAN: &str = "prior alone, fast: mean of the parameters";
const PRIOR_VARIANCE: &str = "prior alone, fast: their variance";
const PRIOR_THERE: &str = "prior alone, fast: share of synapses that are there";
const SLOW_MEAN: &str = "prior alone at the released rate, after 3,000 s: mean of the parameters";
const SLOW_THERE: &str = "prior alone at the released rate, after 3,000 s: share of synapses that are there";
const RISE: &str = "patterns: reward in the last 200 s over that in the first 100 s";
const RIGHT: &str = "patterns: shown in the last 200 s, at whose end the right population led";
const NOISE: &str = "patterns: reward with noise over that without, last 200 s";
const TURNOVER: &str = "patterns: connections at half time that are gone at the end, with noise";
const KS_SINGLE: &str = "f32 against f64: distance of the distributions of parameters (Kolmogorov-Smirnov)";
const KS_CHIP: &str = "chip against f64: distance of the distributions of parameters (Kolmogorov-Smirnov)";
const T_SINGLE: &str = "f32 against f64: difference of rewards in standard errors, last 200 s";
const T_CHIP: &str = "chip against f64: difference of rewards in standard errors, last 200 s";
const CYCLES: &str = "modelled: cycles without accelerators over those with";
const ENERGY: &str = "modelled: energy saved by accelerators and local memory";

/// The paper.
pub const PAPER: Paper = Paper {
    id: "spinnaker2_sampling",
    title: "Efficient reward-based structural plasticity on a SpiNNaker 2 prototype",
    cite: "Yan, Kappel et al. 2019, IEEE TBioCAS 13(3); arXiv:1903.08500",
    about: "synapses that come and go by reward, in software and on a modelled chip",
    cost: Cost { smoke: "a few seconds", short: "2 min, 2 cores", paper: "15 min, 2 cores" },
    claims: &[
        Claim::new(PRIOR_MEAN, "0.00 [calc]", Bound::Between(-0.02, 0.02), "", 3, "stationary law"),
        Claim::new(PRIOR_VARIANCE, "0.40 [calc]", Bound::Between(0.38, 0.42), "", 3, "stationary law"),
        Claim::new(PRIOR_THERE, "0.50 [calc]", Bound::Between(0.48, 0.52), "", 3, "stationary law"),
        Claim::new(SLOW_MEAN, "-0.485 [calc]", Bound::Between(-0.495, -0.475), "", 3, "relaxation in 80,000 s"),
        Claim::new(SLOW_THERE, "0.171 [calc]", Bound::Between(0.162, 0.18), "", 3, "relaxation in 80,000 s"),
        Claim::new(RISE, "learned [abs]", Bound::AtLeast(3.0), "", 1, "bound [ours]").headline(),
        Claim::new(RIGHT, "learned [abs]", Bound::AtLeast(80.0), "%", 1, "bound [ours]").headline(),
        Claim::new(NOISE, "as well as without", Bound::Between(0.9, 1.1), "", 2, "bound [ours]"),
        Claim::new(TURNOVER, "connections come and go", Bound::AtLeast(10.0), "%", 1, "bound [ours]"),
        Claim::new(KS_SINGLE, "equal", Bound::AtMost(0.05), "", 3, "bound [ours]"),
        Claim::new(KS_CHIP, "equal", Bound::AtMost(0.05), "", 3, "bound [ours]").headline(),
        // 97.5 % of Student's t with 8 degrees of freedom, for 5 seeds each.
        Claim::new(T_SINGLE, "equal", Bound::AtMost(2.31), "", 2, "bound [ours]"),
        Claim::new(T_CHIP, "equal", Bound::AtMost(2.31), "", 2, "bound [ours]"),
        Claim::new(CYCLES, "2, measured [abs]", Bound::Between(1.5, 3.0), "", 2, "abstract; constants [ours]"),
        Claim::new(ENERGY, "62 %, measured [abs]", Bound::Between(45.0, 80.0), "%", 1, "abstract; constants [ours]"),
    ],
    run,
};

/// Time step `[spore]`.
const DT: f64 = ms(1.0);
/// Learning rate of the released code (per second) `[spore]`.
const BETA: f64 = 5e-5;
/// By how much patterns are learned faster than that `[ours]`.
const FASTER: f64 = 10.0;
/// Potential synapses per pair `[spore]`.
const COPIES: usize = 2;
/// Why a smoke run does not measure it.
const MINUTES: &str = "takes minutes";

fn run(lab: &mut Lab) -> Result<()> {
    prior(lab)?;
    patterns(lab)?;
    accelerators(lab)
}

/// Parameters that only noise and the prior move: `(mean, variance, share above 0)` of 20,000 after `seconds`. An update needs no steps
/// in between where nothing happens.
fn wander(beta: f64, seconds: f64, seed: Seed) -> Result<(f64, f64, f64)> {
    let n = 20_000;
    let rule = SynapticSampling { beta, ..SynapticSampling::default() };
    let wires = Wires { links: &Links::All, sources: 1, targets: n, dt: rule.interval };
    let mut sampling = rule.begin::<f64>(wires, &initial(n, seed.child("initial"))?, normals(seed.child("noise")), seed)?;
    let quiet = vec![0.0; n];
    for _ in 0..(seconds / rule.interval).round() as usize {
        sampling.step(&Moment { pre: &[], post: &[], chance: &quiet, reward: 0.0 })?;
    }
    let list: Vec<f64> = sampling.parameters().collect();
    Ok((stats::mean(&list), stats::variance(&list), list.iter().filter(|&&x| x >= 0.0).count() as f64 / n as f64))
}

/// Initial parameters: N(−0.5, 0.5) `[spore]`.
fn initial(n: usize, seed: Seed) -> Result<Vec<f64>> {
    let (normal, mut rng) = (Normal::new(-0.5, 0.5)?, seed.rng());
    Ok((0..n).map(|_| normal.sample(&mut rng)).collect())
}

/// The law of the prior: at ten relaxation times, and at the beginning of one.
fn prior(lab: &mut Lab) -> Result<()> {
    let seed = lab.seed().child("prior");
    // 1e-5 per ms, 400 s to relax [calc]; at smoke scale ten times faster again.
    let (beta, seconds) = lab.scale().pick((0.1, 400.0), (0.01, 4000.0), (0.01, 4000.0));
    let (mean, variance, there) = wander(beta, seconds, seed.child("fast"))?;
    lab.report(PRIOR_MEAN, mean)?;
    lab.report(PRIOR_VARIANCE, variance)?;
    lab.report(PRIOR_THERE, there)?;
    lab.go_on()?;
    if lab.scale() == Scale::Smoke {
        return Ok(lab.too_short(&[SLOW_MEAN, SLOW_THERE], MINUTES)?);
    }
    let (mean, _, there) = wander(BETA, 3000.0, seed.child("slow"))?;
    lab.report(SLOW_MEAN, mean)?;
    lab.report(SLOW_THERE, there)?;
    Ok(())
}

/// What a network learns on, and in which numbers the rule computes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum On {
    Double,
    Single,
    Chip,
}

/// One life.
#[derive(Clone, Copy, Debug)]
struct Arm {
    name: &'static str,
    on: On,
    temperature: f64,
    repeat: u64,
}

/// What is kept of a life, trial by trial.
#[derive(Serialize, Deserialize)]
struct Life {
    scores: Vec<Score>,
    /// Connections there at the end.
    there: Vec<usize>,
    /// Of those there at the beginning, how many were gone at the end.
    gone: Vec<usize>,
    /// Share of those at half time that are gone at the end of the last trial.
    gone_since: f64,
    /// Parameters at the end.
    parameters: Vec<f64>,
    /// Spikes of the first three seconds of the last trial: of the inputs, then of the neurons.
    spikes: Vec<(u32, u32)>,
    seconds: f64,
}

/// 50 inputs, 20 neurons without inhibition, all pairs `[spore]`.
fn network(seed: Seed) -> Result<Network> {
    // I_e = −3, rate exp(u) Hz, dead time 5 ms, steered to 5 Hz [spore].
    let model = Psp { target: 5.0.into(), ..Psp::default() };
    let net = Net::new(DT).input("in", 50).population("out", 20, model).escape(1.0, 1.0).refractory(ms(5.0));
    Ok(net.project("in", "out", Connect::All, Init::Constant(0.0)).output("out").build(seed)?)
}

/// The chip with a scale of weights that no weight exceeds: they are at most 2·e² = 14.8, and sums of 32 fit.
fn chip() -> Spinnaker2 {
    Spinnaker2 { largest_weight: Some(4.0), ..Spinnaker2::default() }
}

/// `trials` of `steps` steps.
fn live(arm: Arm, trials: usize, steps: usize, seed: Seed, stop: &Interrupt) -> Result<Life> {
    let (seed, net) = (seed.nth(arm.repeat), network(seed)?);
    let device: Box<dyn Device> = match arm.on {
        On::Chip => chip().build(&net, seed.child("chip"))?,
        On::Double | On::Single => Box::new(Ideal::new(&net)),
    };
    let mut kiss = Kiss::new(seed.child("kiss"));
    let noise: Box<dyn Normals> = match arm.on {
        On::Chip => Box::new(move |into: &mut [f64]| into.iter_mut().for_each(|x| *x = Gaussian::Sum.draw(&mut kiss))),
        On::Double | On::Single => normals(seed.child("noise")),
    };
    let live_in = match arm.on {
        On::Double => live_in::<f64>,
        On::Single => live_in::<f32>,
        On::Chip => live_in::<Fix<24>>,
    };
    live_in(arm, device, noise, (trials, steps), seed, stop)
}

fn live_in<R: Scalar>(
    arm: Arm,
    device: Box<dyn Device>,
    noise: Box<dyn Normals>,
    (trials, steps): (usize, usize),
    seed: Seed,
    stop: &Interrupt,
) -> Result<Life> {
    let begun = Instant::now();
    let world = RatePatternsParams::default().build(seed.child("patterns"))?;
    let rule = SynapticSampling { beta: FASTER * BETA, temperature: arm.temperature, copies: COPIES, ..SynapticSampling::default() };
    let (mut noise, parameters) = (Some(noise), initial(COPIES * 1000, seed.child("initial"))?);
    let mut life = ClosedLoop::new(device, world, |wires, _| {
        let noise = noise.take().unwrap_or_else(|| normals(seed.child("more noise")));
        rule.begin::<R>(wires, &parameters, noise, seed.child("moves"))
    })?;
    let there = |life: &Loop<R>| -> Vec<bool> { synapses(life).map(|theta| theta >= 0.0).collect() };
    let gone = |before: &[bool], after: &[bool]| before.iter().zip(after).filter(|(b, a)| **b && !**a).count();
    let count = |list: &[bool]| list.iter().filter(|x| **x).count();
    let mut before = there(&life);
    let mut half = before.clone();
    let (mut scores, mut numbers, mut losses) = (Vec::new(), Vec::new(), Vec::new());
    for trial in 0..trials {
        stop.go_on()?;
        if trial == trials / 2 {
            half.clone_from(&before);
        }
        life.run(steps, seed.child("trial").nth(trial as u64))?;
        let after = there(&life);
        scores.push(life.world_mut().take_score());
        losses.push(gone(&before, &after));
        numbers.push(count(&after));
        before = after;
    }
    let shown = |raster: &Raster, first: u32| {
        raster.iter().take_while(|(t, _)| *t < 3000).map(move |(t, j)| (t as u32, first + j)).collect::<Vec<_>>()
    };
    let mut spikes = shown(life.input(), 0);
    spikes.extend(shown(life.device().spikes(0), 50));
    let gone_since = gone(&half, &before) as f64 / count(&half).max(1) as f64;
    let (parameters, seconds) = (synapses(&life).collect(), begun.elapsed().as_secs_f64());
    Ok(Life { scores, there: numbers, gone: losses, gone_since, parameters, spikes, seconds })
}

type Loop<R> = ClosedLoop<RatePatterns, Sampling<R>>;

/// The parameters of all synapses.
fn synapses<R: Scalar>(life: &Loop<R>) -> impl Iterator<Item = f64> + '_ {
    life.rules().flat_map(|rule| rule.parameters())
}

/// Two patterns, two populations; which fires more is what counts.
fn patterns(lab: &mut Lab) -> Result<()> {
    let seed = lab.seed().child("patterns");
    let (repeats, trials, steps) = lab.scale().pick((1, 2, 3000), (5, 20, 100_000), (5, 100, 100_000));
    let kinds = [("f64", On::Double, 0.1), ("f32", On::Single, 0.1), ("chip", On::Chip, 0.1), ("f32, no noise", On::Single, 0.0)];
    let arms: Vec<Arm> =
        kinds.iter().flat_map(|&(name, on, temperature)| (0..repeats).map(move |repeat| Arm { name, on, temperature, repeat })).collect();
    let (folder, stop, progress) = (lab.checkpoint("lives")?, lab.interrupt().clone(), lab.progress("lives", arms.len() as u64));
    let one = |arm: &Arm| {
        let name = arm.name.replace(|c: char| !c.is_alphanumeric(), "-");
        let life = once(&folder.join(format!("{name}-{}.ckpt", arm.repeat)), || live(*arm, trials, steps, seed, &stop))?;
        progress.inc(1);
        progress.message(format!("{} {}: {:.1} s", arm.name, arm.repeat, life.seconds));
        Ok(life)
    };
    let lives: Vec<Life> = lab.on_threads(|_| arms.par_iter().map(one).collect())?;
    drop(progress);
    let groups: Vec<(&str, &[Life])> = kinds.iter().map(|kind| kind.0).zip(lives.chunks(repeats as usize)).collect();
    let trial = steps as f64 * DT;
    for (name, lives) in &groups {
        let seconds = mean(lives, |life| life.seconds);
        let (last, there) = (mean(lives, late), lives.iter().filter_map(|life| life.there.last()).sum::<usize>() / lives.len());
        let gone = 100.0 * mean(lives, |life| life.gone_since);
        lab.note(format!(
            "{name}: reward {:.4} at first, {last:.4} at last, {there} connections, {gone:.1} % of those at half time gone; {:.0} s simulated in {seconds:.1} s",
            mean(lives, early),
            trial * trials as f64
        ));
    }
    pictures(lab, &groups, trial)?;
    if lab.scale() == Scale::Smoke {
        return Ok(lab.too_short(&[RISE, RIGHT, NOISE, TURNOVER, KS_SINGLE, KS_CHIP, T_SINGLE, T_CHIP], MINUTES)?);
    }
    let [double, single, chip, still] = [0, 1, 2, 3].map(|k| groups[k].1);
    lab.report(RISE, mean(double, late) / mean(double, early))?;
    lab.report(RIGHT, 100.0 * mean(double, right))?;
    lab.report(NOISE, mean(single, late) / mean(still, late))?;
    lab.report(TURNOVER, 100.0 * mean(single, |life| life.gone_since))?;
    lab.report(KS_SINGLE, distance(single, double))?;
    lab.report(KS_CHIP, distance(chip, double))?;
    lab.report(T_SINGLE, apart(single, double))?;
    lab.report(T_CHIP, apart(chip, double))?;
    Ok(())
}

fn mean(lives: &[Life], of: impl Fn(&Life) -> f64) -> f64 {
    stats::mean(lives.iter().map(of))
}

fn reward(scores: &[Score]) -> f64 {
    scores.iter().map(|s| s.reward).sum::<f64>() / scores.iter().map(|s| s.steps).sum::<u64>().max(1) as f64
}

/// Reward of the first trial.
fn early(life: &Life) -> f64 {
    reward(&life.scores[..1])
}

/// Reward of the last two.
fn late(life: &Life) -> f64 {
    reward(&life.scores[life.scores.len().saturating_sub(2)..])
}

/// Share of patterns at whose end the right population led, in the last two trials.
fn right(life: &Life) -> f64 {
    let last = &life.scores[life.scores.len().saturating_sub(2)..];
    last.iter().map(|s| s.right).sum::<u64>() as f64 / last.iter().map(|s| s.patterns).sum::<u64>().max(1) as f64
}

/// Largest difference of the distribution functions of all parameters.
fn distance(a: &[Life], b: &[Life]) -> f64 {
    let all = |lives: &[Life]| lives.iter().flat_map(|life| &life.parameters).copied().collect::<Vec<f64>>();
    stats::kolmogorov_smirnov(&all(a), &all(b))
}

/// Difference of the late rewards in standard errors of it (Welch).
fn apart(a: &[Life], b: &[Life]) -> f64 {
    let spread = |lives: &[Life]| stats::sample_variance(&lives.iter().map(late).collect::<Vec<_>>()) / lives.len() as f64;
    (mean(a, late) - mean(b, late)).abs() / (spread(a) + spread(b)).sqrt()
}

/// Reward and turnover over time, parameters at the end, and spikes.
fn pictures(lab: &mut Lab, groups: &[(&str, &[Life])], trial: f64) -> Result<()> {
    let over = |of: &dyn Fn(&Life, usize) -> f64| -> Vec<(String, Vec<(f64, f64)>)> {
        let line = |(name, lives): &(&str, &[Life])| {
            let points = (0..lives[0].scores.len()).map(|k| ((k + 1) as f64 * trial, mean(lives, |life| of(life, k))));
            ((*name).to_owned(), points.collect())
        };
        groups.iter().map(line).collect()
    };
    let rewards = over(&|life, k| reward(&life.scores[k..=k]));
    lab.curve("reward", "reward while the network lives", "time (s)", "raw reward", &rewards, Axes::default())?;
    let gone = over(&|life, k| 100.0 * life.gone[k] as f64 / (life.there[k] + life.gone[k]).max(1) as f64);
    lab.curve("turnover", "connections that were retracted in a trial", "time (s)", "share (%)", &gone, Axes::default())?;
    let histogram = |(name, lives): &(&str, &[Life])| {
        let (bins, n) = (70, lives.iter().map(|life| life.parameters.len()).sum::<usize>() as f64);
        let mut counts = vec![0.0; bins];
        let place = |theta: f64| (((theta + 2.0) / 0.1) as usize).min(bins - 1);
        lives.iter().flat_map(|life| &life.parameters).for_each(|&theta| counts[place(theta)] += 1.0 / (0.1 * n));
        ((*name).to_owned(), counts.into_iter().enumerate().map(|(k, x)| (-1.95 + 0.1 * k as f64, x)).collect::<Vec<_>>())
    };
    let histograms: Vec<_> = groups.iter().map(histogram).collect();
    let axes = Axes { log_y: true, ..Axes::default() };
    lab.curve("parameters", "synaptic parameters at the end", "θ", "density", &histograms, axes)?;
    let mut raster = Raster::new(70, 3000);
    raster.fill(groups[0].1[0].spikes.iter().copied());
    Ok(lab.raster("spikes", "last trial: 50 inputs, above them 20 neurons (even and odd belong together)", DT, &raster)?)
}

/// A second of the network with a plasticity update in every step, as on the chip `[abs]`, with and without what makes it fast.
fn accelerators(lab: &mut Lab) -> Result<()> {
    let seed = lab.seed().child("accelerators");
    let (net, mut world, steps) = (network(seed)?, RatePatternsParams::default().build(seed)?, 1000);
    world.begin(seed);
    let mut input = Raster::new(50, steps);
    input.write(|_, units| world.show(units));
    let plastic = Some(Plastic { interval: DT, copies: COPIES });
    let costs = |accelerators: bool, dram: Dram| -> Result<Costs> {
        let mut device = Spinnaker2 { plastic, accelerators, dram, ..chip() }.build(&net, seed)?;
        device.run(&[&input], seed)?;
        Ok(device.costs().clone())
    };
    let (with, without, far) = (costs(true, Dram::None)?, costs(false, Dram::None)?, costs(false, Dram::All)?);
    let cycles = |costs: &Costs| costs.counted("cycles") as f64;
    lab.report(CYCLES, cycles(&without) / cycles(&with))?;
    lab.report(ENERGY, 100.0 * (1.0 - with.energy() / far.energy()))?;
    let late = |costs: &Costs| costs.counted("steps not in real time");
    lab.note(format!(
        "modelled, 2,000 plastic synapses in every step at 500 MHz: {:.0} cycles per step with accelerators, {:.0} without; {:.2} and {:.2} mJ per second, {:.2} mJ with all links in \
         external memory; {} and {} of {steps} steps not in real time",
        cycles(&with) / steps as f64,
        cycles(&without) / steps as f64,
        1e3 * with.energy() / with.seconds,
        1e3 * without.energy() / without.seconds,
        1e3 * far.energy() / far.seconds,
        late(&with),
        late(&without),
    ));
    Ok(())
}
