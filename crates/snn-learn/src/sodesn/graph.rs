//! Who hears whom.

use super::SodesnError;
use std::collections::VecDeque;

/// Nodes and their neighbours. Links go both ways; nobody is a neighbour of himself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    neighbours: Vec<Vec<usize>>,
}

impl Graph {
    /// A graph of `nodes` nodes with these links; each may be given once or twice.
    ///
    /// ```
    /// use snn_learn::sodesn::Graph;
    /// let chain = Graph::of_links(3, [(0, 1), (2, 1)])?;
    /// assert_eq!((chain.neighbours(1), chain.distances(0)), (&[0, 2][..], vec![Some(0), Some(1), Some(2)]));
    /// # Ok::<(), snn_learn::sodesn::SodesnError>(())
    /// ```
    ///
    /// # Errors
    /// [`SodesnError::Link`] to a node that is not there, or from a node to itself; [`SodesnError::Nodes`] if there are fewer than two.
    pub fn of_links(nodes: usize, links: impl IntoIterator<Item = (usize, usize)>) -> Result<Self, SodesnError> {
        if nodes < 2 {
            return Err(SodesnError::Nodes(nodes));
        }
        let mut neighbours = vec![Vec::new(); nodes];
        for (a, b) in links {
            if a >= nodes || b >= nodes || a == b {
                return Err(SodesnError::Link { from: a, to: b, nodes });
            }
            neighbours[a].push(b);
            neighbours[b].push(a);
        }
        for list in &mut neighbours {
            list.sort_unstable();
            list.dedup();
        }
        Ok(Graph { neighbours })
    }

    /// Every node hears those at most `range` away from it.
    ///
    /// # Errors
    /// [`SodesnError::Nodes`] if there are fewer than two.
    pub fn within(places: &[(f64, f64)], range: f64) -> Result<Self, SodesnError> {
        let near = |a: usize, b: usize| (places[a].0 - places[b].0).hypot(places[a].1 - places[b].1) <= range;
        Graph::of_links(places.len(), pairs(places.len()).filter(|&(a, b)| near(a, b)))
    }

    /// Every node hears all others.
    ///
    /// # Errors
    /// [`SodesnError::Nodes`] if there are fewer than two.
    pub fn complete(nodes: usize) -> Result<Self, SodesnError> {
        Graph::of_links(nodes, pairs(nodes))
    }

    /// Every node hears the `count` others whose readings `rows[step][node]` are most correlated with its own, and those that chose it. For stations whose places are not
    /// known. Steps at which one of two reads nothing (NaN) are left out.
    ///
    /// # Errors
    /// [`SodesnError::Nodes`] if there are fewer than two.
    pub fn of_correlations(rows: &[Vec<f64>], count: usize) -> Result<Self, SodesnError> {
        let nodes = rows.first().map_or(0, Vec::len);
        let mut links = Vec::new();
        for a in 0..nodes {
            let mut others: Vec<(f64, usize)> = (0..nodes).filter(|&b| b != a).map(|b| (correlation(rows, a, b), b)).collect();
            others.sort_by(|x, y| y.0.total_cmp(&x.0).then(x.1.cmp(&y.1)));
            links.extend(others.iter().take(count).map(|&(_, b)| (a, b)));
        }
        Graph::of_links(nodes, links)
    }

    /// How many nodes.
    pub fn nodes(&self) -> usize {
        self.neighbours.len()
    }

    /// The neighbours of a node, in ascending order.
    ///
    /// # Panics
    /// If there is no such node.
    #[track_caller]
    pub fn neighbours(&self, node: usize) -> &[usize] {
        &self.neighbours[node]
    }

    /// Links from node to every other; `None` where no way leads.
    pub fn distances(&self, node: usize) -> Vec<Option<usize>> {
        let (mut away, mut queue) = (vec![None; self.nodes()], VecDeque::from([node]));
        away[node] = Some(0);
        while let Some(at) = queue.pop_front() {
            for &next in &self.neighbours[at] {
                if away[next].is_none() {
                    away[next] = away[at].map(|d: usize| d + 1);
                    queue.push_back(next);
                }
            }
        }
        away
    }
}

fn pairs(nodes: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..nodes).flat_map(move |a| (a + 1..nodes).map(move |b| (a, b)))
}

/// Pearson's, over the steps at which both read; −1 if that says nothing.
fn correlation(rows: &[Vec<f64>], a: usize, b: usize) -> f64 {
    let both = || rows.iter().map(|row| (row[a], row[b])).filter(|(x, y)| x.is_finite() && y.is_finite());
    let n = both().count() as f64;
    let (x, y) = both().fold((0.0, 0.0), |sum, both| (sum.0 + both.0 / n, sum.1 + both.1 / n));
    let [xy, xx, yy] = both().fold([0.0; 3], |sum, both| {
        let (dx, dy) = (both.0 - x, both.1 - y);
        [sum[0] + dx * dy, sum[1] + dx * dx, sum[2] + dy * dy]
    });
    let r = xy / (xx * yy).sqrt();
    if r.is_finite() { r } else { -1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_make_neighbours() {
        let grid: Vec<(f64, f64)> = (0..9).map(|k| (f64::from(k % 3), f64::from(k / 3))).collect();
        let graph = Graph::within(&grid, 1.5).unwrap();
        assert_eq!((graph.neighbours(4).len(), graph.neighbours(0)), (8, &[1, 3, 4][..]));
        assert_eq!(graph.distances(0)[8], Some(2));
        assert_eq!(Graph::complete(4).unwrap().neighbours(2), [0, 1, 3]);
        assert_eq!(Graph::of_links(3, [(0, 1)]).unwrap().distances(0)[2], None);
    }

    #[test]
    fn correlated_stations_are_neighbours() {
        // 0 and 1 go together, 2 and 3 do; a reading is missing.
        let mut rows: Vec<Vec<f64>> = (0..50).map(f64::from).map(|t| vec![t.sin(), t.sin() + 0.1, t.cos(), 2.0 * t.cos()]).collect();
        rows[7][1] = f64::NAN;
        let graph = Graph::of_correlations(&rows, 1).unwrap();
        assert_eq!((graph.neighbours(0), graph.neighbours(3)), (&[1][..], &[2][..]));
    }

    #[test]
    fn links_that_cannot_be_are_named() {
        assert_eq!(Graph::of_links(2, [(0, 2)]), Err(SodesnError::Link { from: 0, to: 2, nodes: 2 }));
        assert_eq!(Graph::of_links(2, [(1, 1)]), Err(SodesnError::Link { from: 1, to: 1, nodes: 2 }));
        assert_eq!(Graph::complete(1), Err(SodesnError::Nodes(1)));
    }
}
