//! Which core gets which neurons, and what that takes.

use super::cost::{
    Arithmetic, CORE_NEURONS, NEURON_CYCLES, NUMBER_BYTES, PROGRAM, RING_BYTES, RING_SLOTS, SRAM, STATE_CYCLES, STEP_CYCLES,
    WIDE_RING_BYTES,
};
use super::weights::Scale;
use super::{Dram, Spinnaker2};
use crate::report::{Kind, Place, Report};
use snn_core::Network;
use snn_core::neuron::{Neuron, Visit};
use snn_core::{Fix, Vars};
use std::ops::Range;

/// Neurons of one population on one core, with all links into them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slice {
    pub(crate) population: usize,
    pub(crate) neurons: Range<usize>,
    /// Links into them.
    pub(crate) links: usize,
    /// Whether these stand in external memory.
    pub(crate) spilled: bool,
    /// Local memory taken (bytes).
    pub(crate) sram: usize,
    /// Cycles of a step without events and spikes.
    pub(crate) cycles: f64,
}

/// What a neuron of a model takes, whoever it hears.
struct Numbers;
impl Visit for Numbers {
    type Out = (usize, usize);
    fn visit<N: Neuron>(self, model: &N) -> (usize, usize) {
        (<N::State<Fix<15>> as Vars<Fix<15>>>::LEN, <N::Consts<Fix<15>> as Vars<Fix<15>>>::LEN * model.period())
    }
}

/// Slices for every population, in order, and everything there is to say about them.
pub(crate) fn map(machine: &Spinnaker2, network: &Network) -> (Vec<Slice>, Report) {
    let mut report = Report::new("spinnaker2", network);
    look(machine, network, &mut report);
    let fan_in = fan_in(network);
    let (mut slices, mut lacking) = slice(machine, network, &fan_in, machine.dram == Dram::All);
    if machine.dram == Dram::Spill && (slices.len() > machine.cores || lacking.is_some()) {
        (slices, lacking) = slice(machine, network, &fan_in, true);
    }
    if let Some((p, bytes)) = lacking {
        let why = format!(
            "a neuron with its links takes {bytes} bytes, a core has {}; give it fewer links, or external memory (`dram`)",
            SRAM - PROGRAM
        );
        report.find(Kind::Refused, Place::population(&network.draft().populations[p].name), 1.0, why);
    } else if slices.len() > machine.cores {
        let why = format!("it takes {} cores, there are {}; give more cores, or external memory (`dram`)", slices.len(), machine.cores);
        report.find(Kind::Refused, Place::Network, 1.0, why);
    }
    let spilled: usize = slices.iter().filter(|s| s.spilled).map(|s| s.links).sum();
    let each = machine.link_bytes();
    if spilled > 0 {
        let what = format!("{spilled} links stand in external memory: {} bytes, read when they are used", spilled * each);
        report.find(Kind::Slow, Place::Network, spilled as f64 / network.links().max(1) as f64, what);
    }
    let (budget, busiest) = (machine.level.clock() * network.dt(), slices.iter().map(|s| s.cycles).fold(0.0, f64::max));
    if busiest > budget {
        let what = format!("the busiest core needs {busiest:.0} cycles for a step of {budget:.0} even without spikes: not in real time");
        report.find(Kind::Slow, Place::Network, 1.0, what);
    }
    report.resource("cores", slices.len() as f64, Some(machine.cores as f64), "");
    report.resource(
        "memory of the fullest core",
        slices.iter().map(|s| s.sram).max().unwrap_or(0) as f64,
        Some((SRAM - PROGRAM) as f64),
        "B",
    );
    report.resource("external memory", (spilled * each) as f64, if machine.dram == Dram::None { Some(0.0) } else { None }, "B");
    report.resource("cycles of a step without spikes", busiest, Some(budget), "");
    report.seconds_per_second = Some((busiest / budget).max(1.0));
    (slices, report)
}

/// What there is to say about populations and projections, wherever they come to lie.
fn look(machine: &Spinnaker2, network: &Network, report: &mut Report) {
    let draft = network.draft();
    for p in &draft.populations {
        let what = match p.model.output().has_values() {
            true => "state, constants and the values of events in s16.15; packets carry these as payload",
            false => "state and constants in s16.15",
        };
        report.find(Kind::Quantised, Place::population(&p.name), 1.0, what);
        if p.model.ports().len() > 1 {
            let why = format!("({}) hears {} apart, and a ring buffer holds one sum", p.model.name(), p.model.ports().join(", "));
            report.find(Kind::Refused, Place::population(&p.name), 1.0, why);
        }
    }
    for p in &draft.projections {
        let (sources, targets) = (network.size(&p.from), network.size(&p.to));
        let (count, weights) = (p.links.count(sources, targets), p.links.weights(sources, targets));
        let of_delays = |test: &dyn Fn(usize) -> bool| {
            let given = p.delay.given().len();
            (0..given).filter(|&k| test(p.delay_steps(k, network.dt()))).count() as f64 / given.max(1) as f64
        };
        let late = of_delays(&|steps| steps >= RING_SLOTS);
        if late > 0.0 && count > 0 {
            let why =
                format!("a delay of {RING_SLOTS} steps or more, ring buffers hold {}; shorten it, or put a relay between", RING_SLOTS - 1);
            report.find(Kind::Refused, Place::projection(p), late, why);
        }
        let instant = of_delays(&|steps| steps == 0);
        let source = draft.populations.iter().find(|other| other.name == p.from);
        if instant > 0.0 && source.is_some_and(|q| q.model.period() > 1 && q.model.silent() == 0) {
            let why = "works in windows, and its last spikes would be heard in the next window; convert it with a pause of one step";
            report.find(Kind::Refused, Place::projection(p), instant, why);
        } else if instant > 0.0 && source.is_some() {
            report.find(Kind::Quantised, Place::projection(p), instant, "a delay of 0 is one of 1: packets are heard in the next step");
        }
        let valued = source.is_some_and(|q| q.model.output().has_values());
        let scale = if valued { Scale::fine } else { Scale::new }(machine.largest_weight, p.weights.given());
        let share = |test: &dyn Fn(f32) -> bool| p.weights.iter(weights).filter(|&w| test(w)).count() as f64 / weights.max(1) as f64;
        let (rounded, clipped) = (share(&|w| scale.weight(scale.raw(w)) != w), share(&|w| scale.clips(w)));
        if rounded > 0.0 {
            report.find(Kind::Quantised, Place::projection(p), rounded, format!("weights are multiples of {}", scale.step()));
        }
        if clipped > 0.0 {
            report.find(Kind::Clipped, Place::projection(p), clipped, format!("weights beyond ±{}", scale.most()));
        }
    }
}

/// Links into every neuron of every population.
fn fan_in(network: &Network) -> Vec<Vec<u32>> {
    let draft = network.draft();
    let mut fan_in: Vec<Vec<u32>> = draft.populations.iter().map(|p| vec![0; p.size]).collect();
    for p in &draft.projections {
        if let Some(to) = draft.populations.iter().position(|other| other.name == p.to) {
            p.links.triplets(network.size(&p.from), network.size(&p.to)).for_each(|(_, j, _)| fan_in[to][j] += 1);
        }
    }
    fan_in
}

/// Neuron by neuron onto the present core of the population, or the next where it is full. Also a neuron too large for any core, with its
/// bytes.
fn slice(machine: &Spinnaker2, network: &Network, fan_in: &[Vec<u32>], spilled: bool) -> (Vec<Slice>, Option<(usize, usize)>) {
    let (mut slices, mut lacking) = (Vec::<Slice>::new(), None);
    let arithmetic = Arithmetic::new(machine.accelerators);
    for (p, population) in network.draft().populations.iter().enumerate() {
        let (states, consts) = population.model.visit(Numbers);
        let valued = |name: &str| network.draft().populations.iter().any(|q| q.name == name && q.model.output().has_values());
        let heard = network.draft().projections.iter().filter(|k| k.to == population.name);
        let rings: usize = heard.map(|k| if valued(&k.from) { WIDE_RING_BYTES } else { RING_BYTES }).sum();
        let own = NUMBER_BYTES * (states + consts + 2) + RING_SLOTS * rings;
        let escape = if population.escape.is_some() { 2 * arithmetic.exp + arithmetic.uniform } else { 0 };
        let drives = network.draft().drives.iter().filter(|d| d.to == population.name).count() as u64;
        let cycles = NEURON_CYCLES + STATE_CYCLES * states as u64 + escape + drives * arithmetic.uniform;
        for (j, &links) in fan_in[p].iter().enumerate() {
            let bytes = own + if spilled { 0 } else { links as usize * machine.link_bytes() };
            if bytes > SRAM - PROGRAM {
                lacking = lacking.or(Some((p, bytes)));
            }
            let fits = |s: &Slice| s.population == p && s.neurons.len() < CORE_NEURONS && s.sram + bytes <= SRAM - PROGRAM;
            if !slices.last().is_some_and(fits) {
                slices.push(Slice { population: p, neurons: j..j, links: 0, spilled, sram: 0, cycles: STEP_CYCLES as f64 });
            }
            if let Some(slice) = slices.last_mut() {
                slice.neurons.end = j + 1;
                slice.links += links as usize;
                slice.sram += bytes;
                slice.cycles += cycles as f64 + f64::from(links) * machine.plastic_cycles(network.dt());
            }
        }
    }
    (slices, lacking)
}
