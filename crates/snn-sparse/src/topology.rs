//! Who reaches whom: the order in which an engine runs the populations of a network.

use crate::bank::Source;
use snn_core::Value;
use snn_core::net::{Draft, Links, Projection};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Populations that run together: a strongly connected component of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Their indices, in an order in which every projection without delay goes forward.
    pub populations: Vec<usize>,
    /// Whether there is a loop among them.
    pub recurrent: bool,
    /// The shortest delay among them that is not 0, in steps; 1 without a loop. What fires within so many steps is not heard by the
    /// populations before it in these steps, so they can take them together.
    pub stride: usize,
    /// Whether some projection among them acts within the step.
    pub instant: bool,
}

/// The projections' ends, and the populations in running order.
pub(crate) struct Topology {
    /// Source and target of each projection.
    pub(crate) ends: Vec<(Source, usize)>,
    /// Sources before targets.
    pub(crate) components: Vec<Component>,
}

/// Links of one delay: the delay in steps, which links of the projection they are (`None`: all), and a projection of only them.
pub type Group<'a> = (usize, Option<Vec<u32>>, Cow<'a, Projection>);

impl Topology {
    pub(crate) fn new(draft: &Draft) -> Self {
        let population = |name: &str| draft.populations.iter().position(|p| p.name == name);
        let ends: Vec<(Source, usize)> = (draft.projections.iter())
            .map(|p| {
                let input = || draft.inputs.iter().position(|i| i.name == p.from).map(Source::Input);
                let from = population(&p.from).map(Source::Population).or_else(input);
                from.zip(population(&p.to)).expect("a validated network names only what exists")
            })
            .collect();
        // reach[a][b]: there is a path a → b (Warshall). Networks have few populations.
        let count = draft.populations.len();
        let (mut reach, mut instant) = (vec![vec![false; count]; count], vec![vec![false; count]; count]);
        let steps = |p: &Projection| (0..p.delay.given().len()).map(|k| p.delay_steps(k, draft.dt)).collect::<Vec<_>>();
        let delays: Vec<Vec<usize>> = draft.projections.iter().map(steps).collect();
        for (&(from, to), delays) in ends.iter().zip(&delays) {
            if let Source::Population(from) = from {
                reach[from][to] = true;
                instant[from][to] |= delays.contains(&0);
            }
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
        let mut components = Vec::new();
        while let Some(&first) = left.iter().find(|&&p| left.iter().all(|&q| !reach[q][p] || reach[p][q])) {
            let (mut populations, rest): (Vec<usize>, Vec<usize>) =
                left.iter().partition(|&&p| p == first || (reach[p][first] && reach[first][p]));
            // Fewer instant predecessors first: a topological order of the delay-free projections, which have no loop.
            let before = |p: usize| left.iter().filter(|&&q| instant[q][p]).count();
            populations.sort_by_key(|&p| (before(p), p));
            let inside = |&(from, to): &(Source, usize)| {
                matches!(from, Source::Population(p) if populations.contains(&p)) && populations.contains(&to)
            };
            let loops = ends.iter().zip(&delays).filter(|(ends, _)| inside(ends)).flat_map(|(_, delays)| delays);
            let instant = loops.clone().any(|&d| d == 0);
            let stride = loops.copied().filter(|&d| d > 0).min().unwrap_or(1);
            components.push(Component { populations, recurrent: reach[first][first], stride, instant });
            left = rest;
        }
        Topology { ends, components }
    }
}

/// The links of a projection by their delay in steps: which they are (`None`: all), and a projection of only them.
pub fn by_delay(p: &Projection, sources: usize, targets: usize, dt: f64) -> Vec<Group<'_>> {
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
        let (from, to, port, fixed) = (p.from.clone(), p.to.clone(), p.port.clone(), p.fixed);
        (delay, Some(subset), Cow::Owned(Projection { from, to, port, delay: Value::Shared(0.0), fixed, tied: None, links, weights }))
    };
    groups.into_iter().map(part).collect()
}
