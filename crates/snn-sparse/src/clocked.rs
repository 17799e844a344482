//! The clocked engine: a network lowered to arrays, advanced in steps of `dt`.

use crate::bank::{Cells, Feed, Link, Source, lower};
use crate::lanes::{Block, Scalar, Simd};
use crate::store::{Rewire, RewireError, Rewiring, Store, Synapses};
use crate::trace::{Trace, Wants};
use snn_core::net::{Links, Projection};
use snn_core::{Network, NetworkError, Raster, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

/// A network lowered to arrays, ready to run and to be trained.
///
/// Strongly connected components run one after the other, each over all steps: the weights of one layer stay in cache, and only event
/// lists travel between layers. Inside a loop all populations advance together, step by step.
///
/// ```
/// use snn_core::{Net, Raster, Seed, ms, net::{Connect, Init}, neuron::Lif};
/// use snn_sparse::{Clocked, Record, Wants};
/// let net = Net::new(ms(1.0))
///     .input("in", 2)
///     .population("a", 3, Lif::default())
///     .project("in", "a", Connect::All, Init::Constant(0.6))
///     .output("a")
///     .build(Seed::new(0))?;
/// let engine = Clocked::<f32>::compile(&net);
/// let mut spikes = Raster::new(2, 5);
/// spikes.fill([(1, 0), (1, 1)]);                              // both inputs at step 1: 1.2 > threshold
/// let mut record = Record::new(&engine);
/// engine.run(&[&spikes], Wants::Spikes, &mut record);
/// assert_eq!(record.spikes[0].at(1), &[0, 1, 2]);
/// # Ok::<(), snn_core::NetworkError>(())
/// ```
pub struct Clocked<F: Scalar = f32> {
    network: Network,
    cells: Vec<Box<dyn Cells<F>>>,
    links: Vec<Link<F>>,
    incoming: Vec<Vec<usize>>,
    components: Vec<Component>,
    outputs: Vec<usize>,
    simd: Simd,
}

/// Populations that run together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Their indices, in an order in which every projection without delay goes forward.
    pub populations: Vec<usize>,
    /// Whether there is a loop among them.
    pub recurrent: bool,
}

/// Everything recorded in one trial, reused from trial to trial.
#[derive(Clone, Debug, Default)]
pub struct Record<F> {
    /// The spikes of each population, in the order of the description; silent for graded ones.
    pub spikes: Vec<Raster>,
    /// What else each population did.
    pub traces: Vec<Trace<F>>,
}

impl<F: Scalar> Record<F> {
    /// Room for a trial of `engine`.
    pub fn new(engine: &Clocked<F>) -> Self {
        let sizes = || engine.cells.iter().map(|c| c.size());
        Record { spikes: sizes().map(|n| Raster::new(n, 0)).collect(), traces: sizes().map(Trace::new).collect() }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.spikes.iter().map(Raster::bytes).sum::<usize>() + self.traces.iter().map(Trace::bytes).sum::<usize>()
    }
}

impl<F: Scalar> Clocked<F> {
    /// Lowers a network for the widest instruction set of this processor.
    pub fn compile(network: &Network) -> Self {
        Self::compile_for(network, Simd::detect())
    }

    /// Lowers a network for a given instruction set. All give the same bits.
    pub fn compile_for(network: &Network, simd: Simd) -> Self {
        let draft = network.draft();
        let population = |name: &str| draft.populations.iter().position(|p| p.name == name);
        let cells = draft.populations.iter().map(|p| lower(&p.model, p.size, draft.dt)).collect();
        let lowered = draft.projections.iter().enumerate().filter_map(|(projection, p)| {
            // A validated network names only what exists.
            let from = population(&p.from).map(Source::Population);
            let from = from.or_else(|| draft.inputs.iter().position(|i| i.name == p.from).map(Source::Input))?;
            let to = population(&p.to)?;
            let (n, m) = (network.size(&p.from), network.size(&p.to));
            let groups = by_delay(p, n, m, draft.dt).into_iter();
            Some(groups.map(move |(delay, subset, p)| Link { projection, subset, from, to, delay, store: Store::new(&p, n, m) }))
        });
        let links: Vec<Link<F>> = lowered.flatten().collect();
        let count = draft.populations.len();
        let incoming = (0..count).map(|p| (0..links.len()).filter(|&k| links[k].to == p).collect()).collect();
        let components = components(count, &links);
        let outputs = draft.outputs.iter().filter_map(|name| population(name)).collect();
        Clocked { network: network.clone(), cells, links, incoming, components, outputs, simd }
    }

    /// Runs one trial: one raster per input, all of the same number of steps. Starts from rest.
    ///
    /// # Panics
    /// If the rasters do not fit the network's inputs.
    #[track_caller]
    pub fn run(&self, inputs: &[&Raster], wants: Wants, record: &mut Record<F>) {
        let expected = &self.network.draft().inputs;
        let fits = inputs.len() == expected.len() && inputs.iter().zip(expected).all(|(r, i)| r.units() == i.size);
        assert!(
            fits && inputs.windows(2).all(|w| w[0].steps() == w[1].steps()),
            "the rasters do not fit the network's inputs {expected:?}"
        );
        let steps = inputs.first().map_or(0, |r| r.steps());
        for component in &self.components {
            for &p in &component.populations {
                let cells = &self.cells[p];
                record.spikes[p].reset(cells.size(), steps);
                record.traces[p].begin(steps, cells.states(), cells.spikes(), component.recurrent, wants);
            }
            if component.recurrent {
                for t in 0..steps {
                    component.populations.iter().for_each(|&p| self.advance(p, inputs, t..t + 1, wants, record));
                }
            } else {
                component.populations.iter().for_each(|&p| self.advance(p, inputs, 0..steps, wants, record));
            }
        }
    }

    fn advance(&self, p: usize, inputs: &[&Raster], steps: Range<usize>, wants: Wants, record: &mut Record<F>) {
        let feed = Feed { links: &self.links, incoming: &self.incoming[p], inputs, spikes: &record.spikes };
        self.cells[p].sweep(self.simd, &feed, steps.clone(), wants, &mut record.traces[p]);
        if self.cells[p].spikes() {
            record.traces[p].list(self.simd, steps, &mut record.spikes[p]);
        }
    }

    /// The description this was lowered from, with the links and weights it had then; for those of now: [`describe`](Self::describe).
    pub fn network(&self) -> &Network {
        &self.network
    }
    /// The description with links and weights as they are.
    ///
    /// # Errors
    /// If a weight is not finite any more.
    pub fn describe(&self) -> Result<Network, NetworkError> {
        let mut draft = self.network.draft().clone();
        for (p, weights) in draft.projections.iter_mut().zip(self.weights()) {
            p.weights = Value::Each(weights);
        }
        for link in self.links.iter().filter(|link| link.subset.is_none()) {
            if let Store::Csr(csr) = &link.store {
                draft.projections[link.projection].links = csr.description();
            }
        }
        draft.try_into()
    }
    /// Replaces links of `links()[k]`: see [`Csr::rewire`](crate::store::Csr::rewire). Workers of a rule that were made before may not
    /// know: make new ones.
    ///
    /// # Errors
    /// If these are not listed links with one delay for all, or as [`Csr::rewire`](crate::store::Csr::rewire).
    pub fn rewire(&mut self, k: usize, changes: &[Rewire], work: &mut Rewiring<F>) -> Result<(), RewireError> {
        let link = &mut self.links[k];
        match &mut link.store {
            Store::Csr(csr) if link.subset.is_none() => csr.rewire(changes, work),
            _ => {
                let p = &self.network.draft().projections[link.projection];
                Err(RewireError::Links { from: p.from.clone(), to: p.to.clone() })
            }
        }
    }
    /// The populations.
    pub fn cells(&self) -> &[Box<dyn Cells<F>>] {
        &self.cells
    }
    /// The projections, in the order of the description.
    pub fn links(&self) -> &[Link<F>] {
        &self.links
    }
    /// The projections, to change their weights.
    pub fn links_mut(&mut self) -> &mut [Link<F>] {
        &mut self.links
    }
    /// Number of units of a source.
    pub fn size(&self, source: Source) -> usize {
        match source {
            Source::Input(i) => self.network.draft().inputs[i].size,
            Source::Population(p) => self.cells[p].size(),
        }
    }
    /// Indices of the projections into population `p`.
    pub fn incoming(&self, p: usize) -> &[usize] {
        &self.incoming[p]
    }
    /// The components, in the order in which they run.
    pub fn components(&self) -> &[Component] {
        &self.components
    }
    /// The instruction set in use.
    pub fn simd(&self) -> Simd {
        self.simd
    }
    /// Indices of the populations that are read out.
    pub fn outputs(&self) -> &[usize] {
        &self.outputs
    }

    /// The weights now, one list per projection in the order of the description. Unless links were replaced, [`Network::with_weights`]
    /// takes them.
    pub fn weights(&self) -> Vec<Vec<f32>> {
        let weights = self.in_order(self.links.iter().map(|l| l.store.weights()));
        weights.into_iter().map(|list| list.into_iter().map(|w| w.value() as f32).collect()).collect()
    }

    /// Anything laid out like the weights of [`links`](Self::links), as one list per projection in the order of the description.
    pub fn in_order<'a>(&self, like_weights: impl Iterator<Item = &'a [Block<F>]>) -> Vec<Vec<F>> {
        let mut lists = vec![Vec::new(); self.network.draft().projections.len()];
        for (link, values) in self.links.iter().zip(like_weights) {
            let (list, values) = (&mut lists[link.projection], link.store.in_order(values));
            let Some(subset) = &link.subset else {
                *list = values;
                continue;
            };
            list.resize(list.len().max(subset.last().map_or(0, |&k| k as usize + 1)), F::default());
            subset.iter().zip(values).for_each(|(&k, x)| list[k as usize] = x);
        }
        lists
    }
}

/// The links of a projection by their delay in steps: which they are (`None`: all), and a projection of only them.
fn by_delay(p: &Projection, sources: usize, targets: usize, dt: f64) -> Vec<(usize, Option<Vec<u32>>, Cow<'_, Projection>)> {
    let Value::Each(each) = &p.delay else {
        return vec![(p.delay_steps(0, dt), None, Cow::Borrowed(p))];
    };
    let mut groups: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    (0..each.len()).for_each(|k| groups.entry(p.delay_steps(k, dt)).or_default().push(k as u32));
    let pairs: Vec<_> = p.links.triplets(sources, targets).collect();
    let part = |(delay, subset): (usize, Vec<u32>)| {
        let mut ends = vec![0u32; sources + 1];
        subset.iter().for_each(|&k| ends[pairs[k as usize].0 + 1] += 1);
        (0..sources).for_each(|i| ends[i + 1] += ends[i]);
        let links = Links::Csr { ends, targets: subset.iter().map(|&k| pairs[k as usize].1 as u32).collect() };
        let weights = Value::Each(subset.iter().map(|&k| p.weights.at(k as usize)).collect());
        (delay, Some(subset), Cow::Owned(Projection { from: p.from.clone(), to: p.to.clone(), delay: Value::Shared(0.0), links, weights }))
    };
    groups.into_iter().map(part).collect()
}

/// Strongly connected components in running order.
fn components<F>(count: usize, links: &[Link<F>]) -> Vec<Component> {
    // reach[a][b]: there is a path a → b (Warshall). Networks have few populations.
    let edges = links.iter().filter_map(|l| if let Source::Population(p) = l.from { Some((p, l.to, l.delay)) } else { None });
    let mut reach = vec![vec![false; count]; count];
    let mut instant = vec![vec![false; count]; count];
    for (from, to, delay) in edges {
        reach[from][to] = true;
        instant[from][to] |= delay == 0;
    }
    for paths in [&mut reach, &mut instant] {
        for k in 0..count {
            for a in 0..count {
                for b in 0..count {
                    paths[a][b] |= paths[a][k] && paths[k][b];
                }
            }
        }
    }
    let mut left: Vec<usize> = (0..count).collect();
    let mut order = Vec::new();
    while let Some(&first) = left.iter().find(|&&p| left.iter().all(|&q| !reach[q][p] || reach[p][q])) {
        let (mut populations, rest): (Vec<usize>, Vec<usize>) =
            left.iter().partition(|&&p| p == first || (reach[p][first] && reach[first][p]));
        // Fewer instant predecessors first: a topological order of the delay-free projections, which have no loop.
        populations.sort_by_key(|&p| (populations_before(&instant, &left, p), p));
        order.push(Component { populations, recurrent: reach[first][first] });
        left = rest;
    }
    order
}

fn populations_before(instant: &[Vec<bool>], among: &[usize], p: usize) -> usize {
    among.iter().filter(|&&q| instant[q][p]).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use snn_core::net::{Connect, Init};
    use snn_core::neuron::{Li, Lif};
    use snn_core::{Net, Seed, ms};

    /// A chain of relays with delays 0 and 2, a self-loop with delay 1, and a second input: worked by hand.
    fn relays() -> Network {
        let relay = || Lif { tau: 1e-9.into(), ..Lif::default() }; // no memory: fires where its input exceeds 1
        Net::new(ms(1.0))
            .input("left", 1)
            .input("right", 1)
            .population("echo", 1, relay())
            .population("late", 1, relay())
            .population("now", 1, relay())
            .population("out", 1, Li { tau: 1e-9.into() })
            .project("late", "out", Connect::All, Init::Constant(3.0))
            .project("left", "now", Connect::All, Init::Constant(2.0))
            .project("now", "late", Connect::All, Init::Constant(2.0))
            .delay(ms(2.0))
            .project("right", "echo", Connect::All, Init::Constant(2.0))
            .project("echo", "echo", Connect::All, Init::Constant(4.0)) // beats the reset of 1 in the step after a spike
            .delay(ms(1.0))
            .output("out")
            .build(Seed::new(0))
            .unwrap()
    }

    #[test]
    fn delays_loops_and_inputs_by_hand() {
        let engine = Clocked::<f64>::compile(&relays());
        let raster = |steps: &[u32]| {
            let mut raster = Raster::new(1, 7);
            raster.fill(steps.iter().map(|&t| (t, 0)));
            raster
        };
        let (left, right) = (raster(&[0, 3, 6]), raster(&[2]));
        let mut record = Record::new(&engine);
        engine.run(&[&left, &right], Wants::Spikes, &mut record);
        assert_eq!(record.spikes[2], left, "now: no delay");
        assert_eq!(record.spikes[1], raster(&[2, 5]), "late: two steps; the last event falls off the end");
        assert_eq!(record.spikes[0], raster(&[2, 3, 4, 5, 6]), "echo: keeps itself going from the step after its first spike");
        assert_eq!(record.traces[3].series(0).collect::<Vec<_>>(), [0.0, 0.0, 3.0, 0.0, 0.0, 3.0, 0.0]);
        // A record is reused without a trace of the trial before.
        engine.run(&[&raster(&[]), &raster(&[])], Wants::Spikes, &mut record);
        assert!(record.spikes.iter().all(Raster::is_empty) && record.traces[3].series(0).all(|y| y == 0.0));
    }

    #[test]
    fn links_with_delays_of_their_own_by_hand() {
        let net = Net::new(ms(1.0))
            .input("in", 2)
            .population("out", 2, Li { tau: 1e-9.into() })
            .project("in", "out", Connect::All, Init::Constant(1.0))
            .delay(vec![ms(0.0), ms(3.0), ms(1.0), ms(1.0)]) // 0 → 0, 0 → 1, 1 → 0, 1 → 1
            .output("out")
            .build(Seed::new(0))
            .unwrap();
        let net = net.with_weights(vec![vec![1.0, 2.0, 4.0, 8.0]]).unwrap();
        let engine = Clocked::<f64>::compile(&net);
        assert_eq!((engine.links().len(), engine.weights()), (3, vec![vec![1.0, 2.0, 4.0, 8.0]]));
        let mut raster = Raster::new(2, 5);
        raster.fill([(0, 0), (1, 1)]);
        let mut record = Record::new(&engine);
        engine.run(&[&raster], Wants::Spikes, &mut record);
        let heard = |j: usize| record.traces[0].series(j).collect::<Vec<_>>();
        assert_eq!((heard(0), heard(1)), (vec![1.0, 0.0, 4.0, 0.0, 0.0], vec![0.0, 0.0, 8.0, 2.0, 0.0]));
    }

    #[test]
    fn components_run_sources_first() {
        let engine = Clocked::<f32>::compile(&relays());
        let place = |p: usize| engine.components().iter().position(|c| c.populations == [p]).unwrap();
        assert!(place(2) < place(1) && place(1) < place(3));
        assert!(engine.components()[place(0)].recurrent && !engine.components()[place(1)].recurrent);
    }

    #[test]
    #[should_panic(expected = "the rasters do not fit")]
    fn a_raster_of_another_size_is_refused() {
        let engine = Clocked::<f32>::compile(&relays());
        engine.run(&[&Raster::new(1, 5), &Raster::new(2, 5)], Wants::Spikes, &mut Record::new(&engine));
    }
}
