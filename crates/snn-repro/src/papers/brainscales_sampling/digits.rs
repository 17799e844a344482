//! Digits of four classes: a restricted machine of pixels, labels and hidden units, trained in software and then in the loop with a distorted chip.

use super::{BrainScales, chip, ideal, irregular};
use anyhow::Result;
use snn_core::Seed;
use snn_core::stats::mean;
use snn_data::split;
use snn_learn::sampling::{Boltzmann, Calibration, Chain, Clamp, Gibbs, LifChain, LifSampling, Noise, Sweep, averages, learn, moments};
use snn_sparse::Chip;

use crate::digits::SIDE;
use crate::{Axes, Lab, Scale};

pub(super) const SOFTWARE: &str = "digits 0, 1, 4, 7: test accuracy in software";
pub(super) const GAP: &str = "digits 0, 1, 4, 7: test accuracy in software − on the distorted chip after training in the loop";
pub(super) const COMPLETION: &str = "occluded halves: squared error of pixels on the chip, in units of that in software";
pub(super) const BACKGROUND: &str = "share of synaptic events that are noise, digits";

/// Classes of the task.
const CLASSES: [usize; 4] = [0, 1, 4, 7];
const PIXELS: usize = SIDE * SIDE;
/// Pixels and labels.
const VISIBLE: usize = PIXELS + CLASSES.len();

/// Binary pictures, and the index of their class.
pub(super) struct Pictures {
    train: Vec<(Vec<bool>, usize)>,
    test: Vec<(Vec<bool>, usize)>,
}

/// Pictures of the four classes: real ones where data are given.
pub(super) fn pictures(lab: &mut Lab) -> Result<Pictures> {
    let seed = lab.seed().child("digits");
    let images = crate::digits::open(lab, lab.scale().pick(200, 1797, 1797), seed)?;
    let mut all = Vec::new();
    let mut pixels = vec![0.0; PIXELS];
    for i in 0..images.len() {
        let Some(class) = CLASSES.iter().position(|&c| c == images.label(i)) else { continue };
        images.intensities(i, &mut pixels);
        all.push((pixels.iter().map(|&x| x > 0.5).collect::<Vec<bool>>(), class));
    }
    let (train, test) = split(all.len(), 0.3, seed.child("split"));
    lab.note(format!("pictures: {} to learn from and {} to test, of {}", train.len(), test.len(), images.name()));
    let take = |list: Vec<usize>| list.into_iter().map(|i| all[i].clone()).collect();
    Ok(Pictures { train: take(train), test: take(test) })
}

/// Pixels held where `shown`, everything else free.
fn held(target: &Boltzmann, pixels: &[bool], shown: impl Fn(usize) -> bool) -> Clamp {
    (0..target.size()).map(|k| pixels.get(k).copied().filter(|_| shown(k))).collect()
}

/// Pixels and label held.
fn taught(target: &Boltzmann, (pixels, class): &(Vec<bool>, usize)) -> Clamp {
    let label = |k: usize| (PIXELS..VISIBLE).contains(&k).then_some(k == PIXELS + class);
    (0..target.size()).map(|k| pixels.get(k).copied().or(label(k))).collect()
}

/// The pictures of update `n`: drawn with replacement.
fn batch(pictures: &[(Vec<bool>, usize)], size: usize, seed: Seed) -> impl Iterator<Item = &(Vec<bool>, usize)> {
    (0..size as u64).map(move |k| &pictures[(seed.nth(k).value() % pictures.len() as u64) as usize])
}

/// Learns from batches: states of taught chains, and of free ones that go on from update to update.
fn contrast(
    target: &mut Boltzmann,
    data: &mut dyn Chain,
    model: &mut dyn Chain,
    pictures: &[(Vec<bool>, usize)],
    rate: f64,
    seed: Seed,
) -> Result<()> {
    let clamps: Vec<Clamp> = batch(pictures, 32, seed.child("batch")).map(|picture| taught(target, picture)).collect();
    let wanted = moments(data, target, &clamps, seed.child("data"))?;
    let free = moments(model, target, &vec![vec![None; target.size()]; 16], seed.child("model"))?;
    learn(target, &wanted, &free, rate);
    Ok(())
}

/// Test accuracy (%), and how many pictures had two best labels.
fn accuracy(chain: &mut dyn Chain, target: &Boltzmann, pictures: &[(Vec<bool>, usize)], seed: Seed) -> Result<(f64, usize)> {
    let clamps: Vec<Clamp> = pictures.iter().map(|(pixels, _)| held(target, pixels, |_| true)).collect();
    let (mut right, mut ties) = (0, 0);
    for (means, (_, class)) in averages(chain, target, &clamps, seed)?.iter().zip(pictures) {
        let labels = &means[PIXELS..VISIBLE];
        let best = labels.iter().copied().fold(0.0, f64::max);
        ties += usize::from(labels.iter().filter(|&&x| x == best).count() > 1);
        right += usize::from(labels.iter().position(|&x| x == best) == Some(*class));
    }
    Ok((100.0 * right as f64 / pictures.len().max(1) as f64, ties))
}

/// Pictures with their lower halves hidden, completed; and the mean squared error of the hidden pixels.
fn complete(chain: &mut dyn Chain, target: &Boltzmann, pictures: &[(Vec<bool>, usize)], seed: Seed) -> Result<(Vec<Vec<f64>>, f64)> {
    let shown = |k: usize| k < PIXELS / 2;
    let clamps: Vec<Clamp> = pictures.iter().map(|(pixels, _)| held(target, pixels, shown)).collect();
    let completed: Vec<Vec<f64>> = averages(chain, target, &clamps, seed)?.into_iter().map(|z| z[..PIXELS].to_vec()).collect();
    let error = |(z, (pixels, _)): (&Vec<f64>, &(Vec<bool>, usize))| {
        mean((PIXELS / 2..PIXELS).map(|k| (z[k] - f64::from(u8::from(pixels[k]))).powi(2)))
    };
    let errors: Vec<f64> = completed.iter().zip(pictures).map(error).collect();
    Ok((completed, mean(&errors)))
}

/// What the chip shows when it is told a class: means over a tenth of a second, six of each class.
fn dreams(chip: &Chip, how: &LifSampling, calibrations: &[Calibration], target: &Boltzmann, seed: Seed) -> Result<Vec<Vec<f64>>> {
    let told =
        |class: usize| -> Clamp { (0..target.size()).map(|k| (PIXELS..VISIBLE).contains(&k).then_some(k == PIXELS + class)).collect() };
    let clamps: Vec<Clamp> = (0..6 * CLASSES.len()).map(|k| told(k / 6)).collect();
    let mut chain = LifChain::new(chip, how, calibrations, 10).burn_in(100.0 * how.period());
    Ok(averages(&mut chain, target, &clamps, seed)?.into_iter().map(|z| z[..PIXELS].to_vec()).collect())
}

pub(super) fn run(lab: &mut Lab, how: &LifSampling, pictures: &Pictures) -> Result<()> {
    let seed = lab.seed().child("rbm");
    let (hidden, updates) = lab.scale().pick((8, 20), (60, 2000), (60, 15_000));
    let mut target = Boltzmann::restricted(VISIBLE, hidden, 0.05, seed.child("weights"));
    let mut data = Gibbs { burn_in: 1, samples: 1, ..Gibbs::default() };
    let mut model = Gibbs { burn_in: 1, samples: 1, persistent: true, ..Gibbs::default() };
    let bar = lab.progress("digits, in software", updates);
    for n in 0..updates {
        lab.go_on()?;
        let rate = 0.1 / (1.0 + 9.0 * n as f64 / updates as f64);
        contrast(&mut target, &mut data, &mut model, &pictures.train, rate, seed.nth(n))?;
        bar.inc(1);
    }
    drop(bar);
    // One calibration for all: the machine is used as if its neurons were those of the software.
    let sweep = Sweep { points: 40, seconds: lab.scale().pick(0.5, 20.0, 20.0), ..how.sweep() };
    let calibration = how.calibrate(&ideal, &Boltzmann::random(1, 0.0, 0.0, Seed::new(0)), sweep, seed.child("calibration"))?;
    let calibrations = vec![calibration[0]; target.size()];
    background(lab, how, &calibrations, &target, seed)?;
    if lab.scale() == Scale::Smoke {
        return Ok(lab.too_short(&[SOFTWARE, GAP, COMPLETION], "not trained")?);
    }
    let mut gibbs = Gibbs { burn_in: 20, samples: 200, ..Gibbs::default() };
    let (software, ties) = accuracy(&mut gibbs, &target, &pictures.test, seed.child("software"))?;
    lab.note(format!(
        "digits in software: {software:.1} %, {ties} ties; largest weight {:.2}",
        target.weights.iter().fold(0.0, |m: f64, w| m.max(w.abs()))
    ));
    lab.report(SOFTWARE, software)?;
    let (_, error) = complete(&mut gibbs, &target, &pictures.test, seed.child("completion"))?;

    let read = |chip: &Chip, target: &Boltzmann, seed: Seed| {
        let mut chain = LifChain::new(chip, how, &calibrations, 200);
        accuracy(&mut chain, target, &pictures.test, seed)
    };
    let on_ideal = read(&ideal, &target, seed.child("ideal"))?;
    let machine = BrainScales { lost: 0.05, ..irregular(0.3, 0.5) };
    let chip = chip(machine, seed.child("device"));
    let mut marks = vec![(0.0, read(&chip, &target, seed.child("before"))?.0)];
    let updates = lab.scale().pick(1, 50, 200);
    let mut data = LifChain::new(&chip, how, &calibrations, 20);
    let mut model = LifChain::new(&chip, how, &calibrations, 20).persistent();
    let bar = lab.progress("digits, in the loop", updates);
    for n in 0..updates {
        lab.go_on()?;
        contrast(&mut target, &mut data, &mut model, &pictures.train, 0.05 / (1.0 + n as f64 / 25.0), seed.child("loop").nth(n))?;
        bar.inc(1);
    }
    drop(bar);
    let (after, ties) = read(&chip, &target, seed.child("after"))?;
    marks.push((updates as f64, after));
    lab.note(format!(
        "digits: {:.1} % with neurons on the ideal machine; on the distorted chip {:.1} % before and {after:.1} % after {updates} updates in the loop, {ties} ties",
        on_ideal.0, marks[0].1
    ));
    lab.report(GAP, software - after)?;
    let software = vec![(0.0, software), (updates as f64, software)];
    let axes = Axes { dots: true, ..Axes::default() };
    lab.curve(
        "digits",
        "digits: distorted chip",
        "updates in the loop",
        "test accuracy (%)",
        &[("software", software), ("chip", marks)],
        axes,
    )?;

    let mut chain = LifChain::new(&chip, how, &calibrations, 200);
    let (completed, ours) = complete(&mut chain, &target, &pictures.test, seed.child("completion"))?;
    lab.note(format!("completion: squared error of hidden pixels {ours:.4} on the chip, {error:.4} in software"));
    lab.report(COMPLETION, ours / error)?;
    let whole = |pixels: &[bool]| pixels.iter().map(|&on| f64::from(u8::from(on))).collect::<Vec<_>>();
    let shown: Vec<Vec<f64>> = pictures.test.iter().map(|picture| whole(&picture.0)).collect();
    let rows: Vec<Vec<f64>> = shown.chunks(12).zip(completed.chunks(12)).take(3).flat_map(|(shown, ours)| [shown, ours].concat()).collect();
    lab.tiles("completed", "test digits, and what the chip makes of their upper halves", (SIDE, SIDE), 12, &rows)?;
    let dreams = dreams(&chip, how, &calibrations, &target, seed.child("dreams"))?;
    lab.tiles("dreams", "what the chip shows when it is told a class", (SIDE, SIDE), 6, &dreams)?;
    Ok(())
}

/// Events of the noise against those between units, of free chains.
fn background(lab: &mut Lab, how: &LifSampling, calibrations: &[Calibration], target: &Boltzmann, seed: Seed) -> Result<()> {
    let mut chain = LifChain::new(&ideal, how, calibrations, lab.scale().pick(5, 100, 100));
    averages(&mut chain, target, &vec![vec![None; target.size()]; 4], seed.child("background"))?;
    let events = |what: &str| chain.counts.get(what).copied().unwrap_or(0) as f64 / chain.seconds / target.size() as f64;
    let Noise::Private { rate, .. } = how.noise else { return Ok(()) };
    let (noise, between) = (2.0 * rate, events("synaptic events"));
    lab.note(format!(
        "digits: {noise:.0} events of noise a second and neuron, {between:.0} from other units; a unit fires at {:.1} Hz; at 10,000 times the speed a state of 10 ms takes 1 µs",
        events("spikes")
    ));
    Ok(lab.report(BACKGROUND, 100.0 * noise / (noise + between))?)
}
