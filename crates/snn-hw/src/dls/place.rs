//! Which neuron and which synapse everything becomes, and what does not fit.

use super::{Dls, MAX_WEIGHT, NEURONS, ROWS};
use crate::report::{Kind, Place, Report};
use snn_core::net::{Population, Projection};
use snn_core::neuron::{Model, Reset};
use snn_core::{Network, Value};

pub(super) const NAME: &str = "dls";

/// Where everything is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Layout {
    /// Rows in use.
    pub(super) rows: Vec<Row>,
    /// By projection: its synapses, in the order of its links.
    pub(super) synapses: Vec<Vec<Synapse>>,
    /// By population: its first neuron.
    pub(super) first: Vec<usize>,
    /// By population: the weight of 1.
    pub(super) lsb: Vec<f64>,
}

/// A row: who drives it, and what all its synapses have in common.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// Input, or population after the inputs.
    pub(super) source: usize,
    pub(super) unit: usize,
    pub(super) negative: bool,
    pub(super) delay: usize,
    /// Neurons it reaches.
    pub(super) taken: [bool; NEURONS],
}

/// A link on the chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Synapse {
    pub(super) row: usize,
    pub(super) neuron: usize,
    /// Its weight, counted within the projection.
    pub(super) weight: usize,
}

/// Places a network. The layout is whole only if nothing is refused.
pub(super) fn place(of: &Dls, network: &Network) -> (Layout, Report) {
    let (draft, mut report) = (network.draft(), Report::new(NAME, network));
    let mut layout = Layout::default();
    report.seconds_per_second = Some(1.0 / super::ACCELERATION);
    report.resource("neurons", report.neurons as f64, Some(NEURONS as f64), "");
    if report.neurons > NEURONS {
        let what = format!("{} neurons, the chip has {NEURONS}; make populations smaller", report.neurons);
        report.find(Kind::Refused, Place::Network, 1.0, what);
    }
    if report.links > NEURONS * ROWS {
        let what = format!("{} links, the chip has {} synapses; leave links out", report.links, NEURONS * ROWS);
        report.find(Kind::Refused, Place::Network, 1.0, what);
    }
    draft.populations.iter().for_each(|p| population(p, &mut report));
    draft.drives.iter().for_each(|d| {
        report.find(
            Kind::Refused,
            Place::population(&d.to),
            1.0,
            "a drive: the chip makes no noise of its own; give an input that brings it",
        );
    });
    for p in &draft.projections {
        let delayed = |delay: &f64| delay / draft.dt > 1.5;
        if p.delay.given().iter().any(delayed) {
            report.find(
                Kind::Refused,
                Place::projection(p),
                1.0,
                "delays of more than a step; spikes are routed at once: give 0 or one step",
            );
        }
    }
    if report.refusals().next().is_some() {
        return (layout, report); // counting what cannot fit could take for ever
    }
    layout.first = draft.populations.iter().scan(0, |next, p| Some(std::mem::replace(next, *next + p.size))).collect();
    layout.lsb = draft.populations.iter().map(|p| full_scale(of, network, &p.name) / f64::from(MAX_WEIGHT)).collect();
    for p in &draft.projections {
        let synapses = rows(network, p, &mut layout);
        layout.synapses.push(synapses);
    }
    report.resource("rows", layout.rows.len() as f64, Some(ROWS as f64), "");
    report.resource("synapses", report.links as f64, Some((NEURONS * ROWS) as f64), "");
    if layout.rows.len() > ROWS {
        let what = format!(
            "{} rows, the chip has {ROWS}: one for each source, two if its links have both signs; take fewer inputs, or keep a source to one sign",
            layout.rows.len()
        );
        report.find(Kind::Refused, Place::Network, 1.0, what);
        return (layout, report);
    }
    draft.projections.iter().zip(&layout.synapses).for_each(|(p, s)| rounding(network, p, s, &layout, &mut report));
    (layout, report)
}

/// What the neuron circuit makes of a population.
fn population(p: &Population, report: &mut Report) {
    let subtracts = match &p.model {
        Model::Lif(lif) => lif.reset == Reset::Subtract,
        Model::CubaLif(_) => {
            report.find(
                Kind::Refused,
                Place::population(&p.name),
                1.0,
                "`cuba_lif` resets by subtraction, the circuit to a value; use `lif`",
            );
            false
        }
        Model::Li(_) => false,
        other => {
            let what = format!("the model `{}`; the circuit is a leaky neuron: use `lif`, or `li` for a readout", other.name());
            report.find(Kind::Refused, Place::population(&p.name), 1.0, what);
            false
        }
    };
    if subtracts {
        report.find(Kind::Lost, Place::population(&p.name), 1.0, "the surplus over the threshold: a spike resets to rest");
    }
}

/// What 63 stands for in weights into this population.
fn full_scale(of: &Dls, network: &Network, to: &str) -> f64 {
    let into = network.draft().projections.iter().filter(|p| p.to == to);
    let largest = into.flat_map(|p| p.weights.given()).fold(0.0f32, |m, w| m.max(w.abs()));
    of.full_scale.unwrap_or(if largest > 0.0 { f64::from(largest) } else { 1.0 })
}

/// Gives every link of a projection a synapse: in a row of its source with its sign and delay where its neuron is free, or in a new one.
fn rows(network: &Network, p: &Projection, layout: &mut Layout) -> Vec<Synapse> {
    let draft = network.draft();
    let source = draft.inputs.iter().map(|i| &i.name).chain(draft.populations.iter().map(|p| &p.name)).position(|name| *name == p.from);
    let target = draft.populations.iter().position(|q| q.name == p.to);
    let (source, first) = (source.unwrap_or(0), target.map_or(0, |k| layout.first[k])); // a validated network names what there is
    let mut synapse = |(k, (unit, j, weight)): (usize, (usize, usize, usize))| {
        let (neuron, negative, delay) =
            (first + j, p.weights.at(weight) < 0.0, p.delay_steps(if is_each(&p.delay) { k } else { 0 }, draft.dt));
        let fits = |row: &Row| (row.source, row.unit, row.negative, row.delay) == (source, unit, negative, delay) && !row.taken[neuron];
        let row = layout.rows.iter().position(fits).unwrap_or_else(|| {
            layout.rows.push(Row { source, unit, negative, delay, taken: [false; NEURONS] });
            layout.rows.len() - 1
        });
        layout.rows[row].taken[neuron] = true;
        Synapse { row, neuron, weight }
    };
    p.links.triplets(network.size(&p.from), network.size(&p.to)).enumerate().map(&mut synapse).collect()
}

fn is_each(value: &Value) -> bool {
    matches!(value, Value::Each(_))
}

/// The integer of a weight, and whether it was cut off. A weight of the other sign than its row's becomes 0.
pub(super) fn integer(weight: f32, negative: bool, lsb: f64) -> (u8, bool) {
    let size = f64::from(if negative { -weight } else { weight }) / lsb;
    let most = f64::from(MAX_WEIGHT);
    (size.round().clamp(0.0, most) as u8, size < -0.5 || size > most + 0.5)
}

/// Says how many weights of a projection become another number.
fn rounding(network: &Network, p: &Projection, synapses: &[Synapse], layout: &Layout, report: &mut Report) {
    let target = network.draft().populations.iter().position(|q| q.name == p.to).unwrap_or(0);
    let lsb = layout.lsb[target];
    let (mut rounded, mut clipped, mut worst) = (0.0, 0.0, 0.0f64);
    for s in synapses {
        let (weight, negative) = (p.weights.at(s.weight), layout.rows[s.row].negative);
        let (int, cut) = integer(weight, negative, lsb);
        let off = (f64::from(weight.abs()) - f64::from(int) * lsb).abs();
        if cut {
            clipped += 1.0;
        } else if off > 1e-6 * lsb {
            (rounded, worst) = (rounded + 1.0, worst.max(off));
        }
    }
    let n = synapses.len().max(1) as f64;
    if rounded > 0.0 {
        let what = format!("weights to 6 bits of size, a step is {lsb:.3e}; the largest change is {worst:.3e}");
        report.find(Kind::Quantised, Place::projection(p), rounded / n, what);
    }
    if clipped > 0.0 {
        report.find(Kind::Clipped, Place::projection(p), clipped / n, format!("weights at 63 steps of {lsb:.3e}"));
    }
}
