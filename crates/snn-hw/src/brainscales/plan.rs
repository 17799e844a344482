//! Where a network goes on the wafer, and what it becomes there.

use super::BrainScales;
use super::synapse::{Scale, scales};
use crate::report::{Finding, Kind, Place, Report};
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};
use snn_core::net::{Draft, Links, Population, Projection};
use snn_core::neuron::{Output, Range, with_params};
use snn_core::stats::mean;
use snn_core::{Network, Seed, Value};

/// Synapses that a link takes: one in a row for each sign.
const ROWS: usize = 2;
/// Least factor on a parameter that varies.
const LEAST: f64 = 0.1;

/// The network as built: everything that is fixed for a device.
pub(super) struct Plan {
    /// Neurons, links and delays as they are; weights are set when they are written.
    pub network: Network,
    /// What became of each projection.
    pub placed: Vec<Placed>,
    /// Chips in use.
    pub chips: usize,
    /// For what changes from write to write.
    pub writes: Seed,
}

/// What became of a projection.
pub(super) struct Placed {
    /// Computed by the host, from recorded spikes.
    pub host: bool,
    /// Which weights there are.
    pub scale: Scale,
    /// A synapse's own errors, and who sends and hears through it; empty where all synapses are worth their weight.
    pub synapses: Vec<Synapse>,
}

/// A link: a synapse for each sign.
pub(super) struct Synapse {
    pub source: u32,
    /// Which weight of the projection it has.
    pub weight: u32,
    /// What its weight is multiplied with if it is positive, and if it is negative; 0: it is lost.
    pub factors: [f32; 2],
}

/// The report on a network, and the network as built unless something is refused.
pub(super) fn place(machine: &BrainScales, network: &Network, device: Seed) -> (Report, Result<Plan, Finding>) {
    let mut report = Report::new("brainscales", network);
    report.seconds_per_second = Some(1.0 / machine.speed_up);
    if let Err(why) = machine.check() {
        report.find(Kind::Refused, Place::Network, 1.0, why);
    }
    let draft = network.draft();
    for p in &draft.populations {
        refuse_model(machine, p, &mut report);
    }
    let refused = |report: &Report| report.refusals().next().cloned();
    if let Some(finding) = refused(&report) {
        return (report, Err(finding));
    }
    let rooms: Vec<Room> = draft.populations.iter().map(|p| Room::new(machine, network, p, &mut report)).collect();
    let chips = count_chips(machine, draft, &rooms, &mut report);
    if let Some(finding) = refused(&report) {
        return (report, Err(finding));
    }
    let plan = build(machine, network, device, &rooms, chips, &mut report);
    (report, plan)
}

fn refuse_model(machine: &BrainScales, p: &Population, report: &mut Report) {
    let (place, model) = (Place::population(&p.name), p.model.name());
    if p.model.period() > 1 {
        report.find(
            Kind::Refused,
            place,
            1.0,
            format!("{model} follows a schedule, and circuits do not; use a model that is the same at every step"),
        );
    } else if p.model.ports().len() > 1 && !p.model.apart() {
        report.find(
            Kind::Refused,
            place,
            1.0,
            format!("{model} hears {} apart, and a circuit has excitation and inhibition", p.model.ports().join(", ")),
        );
    } else if matches!(p.model.output(), Output::Rectified | Output::Linear) && !machine.rates {
        report.find(
            Kind::Refused,
            place,
            1.0,
            format!("{model} sends values, and the chip spikes; set `rates` to take it as a model of rates"),
        );
    } else if !p.model.output().is_events() {
        report.find(
            Kind::Lost,
            place,
            0.0,
            format!("{model} is read out: nothing is recorded of it, the host computes it from recorded spikes"),
        );
    }
}

/// The circuits of a population's neurons.
struct Room {
    /// Circuits of each.
    circuits: usize,
    /// Links of each neuron into the population.
    wanted: Vec<usize>,
    /// Links for which a neuron has room.
    links: usize,
    host: bool,
}

impl Room {
    fn new(machine: &BrainScales, network: &Network, p: &Population, report: &mut Report) -> Self {
        let host = !p.model.output().is_events();
        let mut wanted = vec![0; p.size];
        for q in network.draft().projections.iter().filter(|q| q.to == p.name && !host) {
            match &q.links {
                Links::All => wanted.iter_mut().for_each(|n| *n += network.size(&q.from)),
                links => links.triplets(network.size(&q.from), p.size).for_each(|(_, j, _)| wanted[j] += 1),
            }
        }
        let (Some(fan_in), false) = (machine.fan_in, host) else { return Room { circuits: 1, wanted, links: usize::MAX, host } };
        let most = wanted.iter().copied().max().unwrap_or(0);
        let circuits = (ROWS * most).div_ceil(fan_in.max(1)).clamp(1, machine.merge);
        let links = fan_in * circuits / ROWS;
        if circuits > 1 {
            let what =
                format!("{most} links to a neuron: {circuits} circuits are merged into each, with {fan_in} synapses apiece, two to a link");
            report.find(Kind::Slow, Place::population(&p.name), 1.0, what);
        }
        Room { circuits, wanted, links, host }
    }
}

/// Chips that the neurons take.
fn count_chips(machine: &BrainScales, draft: &Draft, rooms: &[Room], report: &mut Report) -> usize {
    let circuits: usize = draft.populations.iter().zip(rooms).filter(|(_, room)| !room.host).map(|(p, room)| p.size * room.circuits).sum();
    let chips = circuits.div_ceil(machine.circuits);
    let limit = |n: usize| (machine.chips < usize::MAX).then_some(n as f64);
    let all = machine.chips.saturating_mul(machine.circuits);
    report.resource("neuron circuits", circuits as f64, limit(all), "");
    report.resource("chips", chips as f64, limit(machine.chips), "");
    let synapses: usize = rooms.iter().flat_map(|room| room.wanted.iter().map(|&n| ROWS * n.min(room.links))).sum();
    report.resource("synapses", synapses as f64, machine.fan_in.map(|fan_in| (fan_in * circuits) as f64), "");
    if chips > machine.chips {
        let what = format!(
            "{circuits} neuron circuits are needed, and {} chips have {all}; take fewer neurons, or fewer links to each",
            machine.chips
        );
        report.find(Kind::Refused, Place::Network, 1.0, what);
    }
    chips.max(1)
}

fn build(
    machine: &BrainScales,
    network: &Network,
    device: Seed,
    rooms: &[Room],
    chips: usize,
    report: &mut Report,
) -> Result<Plan, Finding> {
    let mut draft = network.draft().clone();
    let mut gains = Vec::new();
    for p in &mut draft.populations {
        gains.push(if p.model.output().is_events() {
            vary(machine, p, device.child("neurons").child(&p.name), report)
        } else {
            vec![1.0; p.size]
        });
    }
    let scales = all_scales(machine, network);
    // Links that each neuron still has, and for how many of them there is room: those that stay are drawn one by one.
    let mut left: Vec<Vec<(usize, usize)>> =
        rooms.iter().map(|room| room.wanted.iter().map(|&n| (n, n.min(room.links))).collect()).collect();
    let mut placed = Vec::new();
    for (k, q) in draft.projections.iter_mut().enumerate() {
        let to = network.draft().populations.iter().position(|p| p.name == q.to).unwrap_or(0);
        let (host, scale) = (rooms[to].host, scales[k]);
        if !host {
            round(q, scale, network, report);
        }
        let mut synapses = Vec::new();
        if !host && !machine.regular() {
            let seed = device.child("synapses").nth(k as u64);
            synapses = draw(machine, q, network, seed, &gains[to], &mut left[to]);
            let gone = synapses.iter().filter(|synapse| synapse.factors == [0.0; 2]).count();
            if gone > 0 {
                let share = gone as f64 / synapses.len() as f64;
                report.find(Kind::Lost, Place::projection(q), share, format!("{gone} of {} links are lost", synapses.len()));
            }
            list(q, network, &synapses);
            delay(machine, q, synapses.len(), network.dt(), device.child("delays").nth(k as u64), report);
        }
        placed.push(Placed { host, scale, synapses });
    }
    let refuse = |e: snn_core::NetworkError| Finding {
        place: Place::Network,
        kind: Kind::Refused,
        what: format!("the network as built cannot be: {e}; describe it with other parameters, or use smaller deviations"),
        share: 1.0,
    };
    let network = Network::try_from(draft).map_err(|e| {
        let finding = refuse(e);
        report.findings.push(finding.clone());
        finding
    })?;
    Ok(Plan { network, placed, chips, writes: device.child("writes") })
}

/// Gives every neuron parameters and an offset of its own. Returns their gains.
fn vary(machine: &BrainScales, p: &mut Population, seed: Seed, report: &mut Report) -> Vec<f64> {
    let (mut shared, mut names) = (0, Vec::new());
    let change = |name: &str, value: &Value, range: Range| {
        let mut list: Vec<f64> = value.iter(p.size).collect();
        if machine.shared.iter().any(|n| n == name) {
            list.chunks_mut(machine.group).for_each(|group| {
                let mean = mean(&*group);
                shared += group.iter().filter(|&&x| x != mean).count();
                group.iter_mut().filter(|x| **x != mean).for_each(|x| *x = mean);
            });
        }
        let std = machine.neuron.iter().find(|(start, _)| name.starts_with(start.as_str())).map_or(0.0, |(_, std)| *std);
        if std > 0.0 && range != Range::Unit {
            let mut rng = seed.child(name).rng();
            list.iter_mut().for_each(|x| *x *= factor(std, &mut rng));
            names.push(name.to_owned());
        }
        (!list.iter().copied().eq(value.iter(p.size))).then_some(Value::Each(list))
    };
    match with_params(&p.model, p.size, change) {
        Ok(model) => p.model = model,
        Err(why) => report.find(Kind::Refused, Place::population(&p.name), 1.0, why),
    }
    if shared > 0 {
        let what =
            format!("{shared} neurons take the mean of {} neighbours, with whom they share {}", machine.group, machine.shared.join(", "));
        report.find(Kind::Quantised, Place::population(&p.name), shared as f64 / p.size as f64, what);
    }
    let mut rng = seed.child("gain").rng();
    let gains: Vec<f64> = (0..p.size).map(|_| factor(machine.gain, &mut rng)).collect();
    if machine.offset > 0.0 || machine.gain > 0.0 && p.has_current() {
        let mut rng = seed.child("offset").rng();
        let current = |(j, gain): (usize, &f64)| gain * (p.current.at(j) + machine.offset * normal(&mut rng));
        p.current = Value::Each(gains.iter().enumerate().map(current).collect());
    }
    gains
}

/// `1 + ε`, but not less than a tenth.
fn factor(std: f64, rng: &mut impl Rng) -> f64 {
    if std > 0.0 { (1.0 + std * normal(rng)).max(LEAST) } else { 1.0 }
}

pub(super) fn normal(rng: &mut impl Rng) -> f64 {
    StandardNormal.sample(rng)
}

/// The scales of all projections.
fn all_scales(machine: &BrainScales, network: &Network) -> Vec<Scale> {
    let projections = &network.draft().projections;
    let largest = |q: &Projection| machine.headroom * q.weights.given().iter().fold(0.0f64, |m, &w| m.max(f64::from(w.abs())));
    let largest: Vec<f64> = projections.iter().map(largest).collect();
    let reference = match largest.iter().copied().fold(0.0, f64::max) {
        0.0 => 1.0,
        reference => reference,
    };
    let mut found = scales(&vec![reference; projections.len()], reference, machine.levels(), machine.added * reference);
    for p in &network.draft().populations {
        let into: Vec<usize> = (0..projections.len()).filter(|&k| projections[k].to == p.name).collect();
        let of: Vec<f64> = into.iter().map(|&k| largest[k]).collect();
        let scales = scales(&of, reference, machine.levels(), machine.added * reference);
        into.iter().zip(scales).for_each(|(&k, scale)| found[k] = scale);
    }
    found
}

/// Reports what rounding makes of the weights.
fn round(q: &Projection, scale: Scale, network: &Network, report: &mut Report) {
    let count = q.links.weights(network.size(&q.from), network.size(&q.to));
    let given = q.weights.given();
    let (changed, cut) = given.iter().fold((0, 0), |(changed, cut), &w| {
        let (held, beyond) = scale.hold(w);
        (changed + usize::from(held != w), cut + usize::from(beyond))
    });
    let share = |n: usize| n as f64 / given.len().max(1) as f64;
    if changed > 0 {
        let what = format!(
            "weights become signed levels up to {} of {:.3e} each (V_gmax {}, divisor {})",
            scale.levels.unwrap_or(0),
            scale.step(),
            scale.v_gmax,
            scale.divisor
        );
        report.find(Kind::Quantised, Place::projection(q), share(changed), what);
    }
    if cut > 0 {
        let what = format!("{:.0} of {count} weights are beyond the largest level", share(cut) * count as f64);
        report.find(Kind::Clipped, Place::projection(q), share(cut), what);
    }
}

/// The links of a projection with the errors of their synapses.
fn draw(machine: &BrainScales, q: &Projection, network: &Network, seed: Seed, gains: &[f64], left: &mut [(usize, usize)]) -> Vec<Synapse> {
    let (mut errors, mut losses, mut room) = (seed.child("errors").rng(), seed.child("losses").rng(), seed.child("room").rng());
    let synapse = |(source, target, weight): (usize, usize, usize)| {
        let mut error = || if machine.weight > 0.0 { (1.0 + machine.weight * normal(&mut errors)).max(0.0) } else { 1.0 };
        let factors = [error(), error()].map(|e| (gains[target] * e).max(f64::from(f32::MIN_POSITIVE)) as f32);
        let (links, places) = &mut left[target];
        // Selection sampling: a link stays with probability places / links that are left.
        let stays = places == links || room.random_range(0..*links) < *places;
        *links -= 1;
        *places -= usize::from(stays);
        let kept = stays && (machine.lost == 0.0 || losses.random::<f64>() >= machine.lost);
        Synapse { source: source as u32, weight: weight as u32, factors: if kept { factors } else { [0.0; 2] } }
    };
    q.links.triplets(network.size(&q.from), network.size(&q.to)).map(synapse).collect()
}

/// Links that share weights become listed ones, each with a weight of its own.
fn list(q: &mut Projection, network: &Network, synapses: &[Synapse]) {
    if let Links::Conv2d(_) | Links::SumPool2d(_) = q.links {
        let sources = network.size(&q.from);
        let mut ends = vec![0u32; sources + 1];
        synapses.iter().for_each(|synapse| ends[synapse.source as usize + 1] += 1);
        (0..sources).for_each(|i| ends[i + 1] += ends[i]);
        let targets = q.links.triplets(sources, network.size(&q.to)).map(|(_, j, _)| j as u32).collect();
        q.links = Links::Csr { ends, targets };
    }
    q.weights = Value::Each(vec![0.0; synapses.len()]);
}

/// Puts the delays of the chip in the place of those described.
fn delay(machine: &BrainScales, q: &mut Projection, links: usize, dt: f64, seed: Seed, report: &mut Report) {
    let Some((mean, std)) = machine.delay else { return };
    let mut rng = seed.rng();
    let delays: Vec<f64> = (0..links).map(|_| ((mean + std * normal(&mut rng)) / dt).round().max(1.0) * dt).collect();
    let changed = (0..links).filter(|&k| (delays[k] - q.delay.at(k)).abs() > 0.5 * dt).count();
    if changed > 0 {
        let what = format!("delays cannot be chosen: they are {:.2} ± {:.2} ms, in time steps", 1e3 * mean, 1e3 * std);
        report.find(Kind::Quantised, Place::projection(q), changed as f64 / links as f64, what);
    }
    q.delay = Value::Each(delays);
}
