//! What a clocked engine is made of, and how it changes: links, weights, parameters.

use super::{Clocked, pulled};
use crate::bank::{Cells, Link, Sign, Source};
use crate::fan::{self, Family};
use crate::lanes::{Block, Scalar, Simd, flat, flat_mut};
use crate::parameter::{Parameter, with_values};
use crate::plan::Plan;
use crate::reads::Reads;
use crate::store::{Csr, RewireError, Rewiring, Store, Synapses};
use crate::topology::Component;
use snn_core::net::Links;
use snn_core::{Network, NetworkError, Value};
use std::sync::Arc;

impl<F: Scalar> Clocked<F> {
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
        for (p, population) in draft.populations.iter_mut().enumerate().filter(|(_, population)| !population.train.is_empty()) {
            *population = with_values(population, &self.parameters_of(p))?;
        }
        for projection in 0..draft.projections.len() {
            if let Some((links, delays)) = self.listed(projection) {
                let p = &mut draft.projections[projection];
                (p.links, p.delay) = (links, Value::Each(delays));
            }
        }
        draft.try_into()
    }
    /// Links and delays (s) of a projection that was lowered to one list for each delay; `None` of any other, and before the first change.
    fn listed(&self, projection: usize) -> Option<(Links, Vec<f64>)> {
        let parts = || self.links.iter().filter(move |link| link.projection == projection && link.subset.is_some());
        let first = parts().next().filter(|_| self.relinked > 0)?;
        let (sources, targets) = (self.size(first.from), self.cells[first.to].size());
        let cells = parts().flat_map(|link| link.cells().map(|cell| (cell, link.delay as f64 * self.network.dt())));
        let mut cells: Vec<((u32, u32), f64)> = cells.collect();
        cells.sort_unstable_by_key(|&(cell, _)| cell);
        let mut ends = vec![0; sources + 1];
        cells.iter().for_each(|&((i, _), _)| ends[i as usize + 1] += 1);
        (0..sources).for_each(|i| ends[i + 1] += ends[i]);
        let all = cells.len() == sources * targets;
        let links = if all { Links::All } else { Links::Csr { ends, targets: cells.iter().map(|&((_, j), _)| j).collect() } };
        Some((links, cells.into_iter().map(|(_, delay)| delay).collect()))
    }
    /// Removes and adds links of `links()[k]`: see [`Csr::relink`](crate::store::Csr::relink). New links have the delay of `links()[k]`. A
    /// projection whose links have delays of their own has one list for each delay; a pair that goes from one list to another is removed
    /// first and added in a second call.
    ///
    /// Cost: as [`Csr::relink`](crate::store::Csr::relink); with delays of their own O(links · log links) of the projection.
    ///
    /// # Errors
    /// If these are not listed links, or a pair has a link of another delay, or as [`Csr::relink`](crate::store::Csr::relink). Then nothing
    /// is changed.
    pub fn relink<N>(&mut self, k: usize, gone: impl IntoIterator<Item = u32>, new: N, work: &mut Rewiring<F>) -> Result<(), RewireError>
    where
        N: IntoIterator<Item = (u32, u32)>,
        N::IntoIter: Clone,
    {
        let (projection, new) = (self.links[k].projection, new.into_iter());
        if self.links[k].subset.is_some() {
            let others = || self.links.iter().enumerate().filter(|(other, link)| *other != k && link.projection == projection);
            let taken = |&(i, j): &(u32, u32)| others().any(|(_, link)| link.find(i, j));
            if let Some((from, to)) = new.clone().find(taken) {
                return Err(RewireError::Exists { from, to });
            }
        }
        match &mut self.links[k] {
            Link { store: Store::Csr(csr), sign: None, .. } => csr.relink(gone, new, work)?,
            _ => {
                let p = &self.network.draft().projections[projection];
                return Err(RewireError::Links { from: p.from.clone(), to: p.to.clone() });
            }
        }
        self.renumber(projection);
        Ok(())
    }
    /// Puts other listed links in the place of those of `links()[k]`, all weights zero: for a state that was saved.
    ///
    /// # Errors
    /// If there are no listed links, or as [`Csr::checked`](crate::store::Csr::checked). Then nothing is changed.
    pub fn set_links(&mut self, k: usize, links: &Links) -> Result<(), RewireError> {
        let (from, to) = (self.size(self.links[k].from), self.cells[self.links[k].to].size());
        match (&mut self.links[k], links) {
            (Link { store: Store::Csr(csr), sign: None, .. }, Links::Csr { ends, targets }) => {
                *csr = Csr::checked(ends, targets, from, to)?
            }
            _ => {
                let p = &self.network.draft().projections[self.links[k].projection];
                return Err(RewireError::Links { from: p.from.clone(), to: p.to.clone() });
            }
        }
        self.renumber(self.links[k].projection);
        Ok(())
    }
    /// Finds anew which links of the projection each of its lists holds.
    fn renumber(&mut self, projection: usize) {
        self.relinked += 1;
        (self.linked, self.state) = (fan::fresh(), fan::fresh());
        self.plan = Plan::new(&self.links, &self.incoming, self.frozen);
        self.pulled = pulled(&self.links, &self.incoming, &self.plan);
        let mut cells: Vec<(u32, u32, usize)> = Vec::new();
        for (k, link) in self.links.iter_mut().enumerate().filter(|(_, link)| link.projection == projection) {
            let Some(subset) = &mut link.subset else { return };
            subset.clear();
            cells.extend(link.cells().map(|(i, j)| (i, j, k)));
        }
        cells.sort_unstable();
        for (place, &(_, _, k)) in cells.iter().enumerate() {
            self.links[k].subset.get_or_insert_default().push(place as u32);
        }
    }
    /// From now on events find in `links()[k]` what `reads` gives them, or again its weights. Everyone else goes on seeing the weights: set them to what a
    /// reader would estimate. Links with reads are walked alone, source by source.
    ///
    /// ```
    /// use snn_core::{Net, Raster, Seed, ms, net::{Connect, Init}, neuron::Li};
    /// use snn_sparse::{Access, Clocked, Reads, Record, Wants};
    /// #[derive(Debug)]
    /// struct Twice;                                                  // every row is twice what the weights say
    /// impl Reads<f64> for Twice {
    ///     fn push(&self, access: &Access<'_>, into: &mut [f64]) {
    ///         access.sources.iter().for_each(|_| into[0] += 2.0);
    ///     }
    /// }
    /// let net = Net::new(ms(1.0)).input("in", 3).population("out", 1, Li { tau: 1e-9.into() })
    ///     .project("in", "out", Connect::All, Init::Constant(1.0)).output("out").build(Seed::new(0))?;
    /// let mut engine = Clocked::<f64>::compile(&net);
    /// engine.set_reads(0, Some(std::sync::Arc::new(Twice)));
    /// let mut spikes = Raster::new(3, 2);
    /// spikes.fill([(1, 0), (1, 2)]);
    /// let mut record = Record::new(&engine);
    /// engine.run(&[&spikes], Wants::Spikes, &mut record);
    /// assert_eq!(record.traces[0].series(0).collect::<Vec<_>>(), [0.0, 4.0]);
    /// # Ok::<(), snn_core::NetworkError>(())
    /// ```
    pub fn set_reads(&mut self, k: usize, reads: Option<Arc<dyn Reads<F>>>) {
        let replan = reads.is_some() != self.links[k].reads.is_some();
        self.links[k].reads = reads;
        if replan {
            self.relinked += 1;
            (self.linked, self.state) = (fan::fresh(), fan::fresh());
            self.plan = Plan::new(&self.links, &self.incoming, self.frozen);
            self.pulled = pulled(&self.links, &self.incoming, &self.plan);
        }
    }
    /// Whether events find in some link what [`Reads`] give them.
    pub fn has_reads(&self) -> bool {
        self.links.iter().any(|link| link.reads.is_some())
    }
    /// How often links were replaced. Whoever remembers where links are compares it with what it was then.
    pub fn relinked(&self) -> u64 {
        self.relinked
    }
    /// The populations.
    pub fn cells(&self) -> &[Box<dyn Cells<F>>] {
        &self.cells
    }
    /// The projections, in the order of the description.
    pub fn links(&self) -> &[Link<F>] {
        &self.links
    }
    /// Copies weights to those tied to them, transposed. To be called when weights that others are tied to have been changed through [`links_mut`](Self::links_mut).
    pub fn tie(&mut self) {
        for k in 0..self.links.len() {
            let Some(of) = self.links[k].tied else { continue };
            let Ok([link, other]) = self.links.get_disjoint_mut([k, of]) else { continue };
            if let (Store::Dense(own), Store::Dense(other)) = (&mut link.store, &other.store) {
                let (pairs, from) = (own.transposed(), flat(other.weights()));
                let to = flat_mut(own.weights_mut());
                pairs.for_each(|(here, there)| to[here] = from[there]);
                self.state = fan::fresh();
            }
        }
    }
    /// The projections, to change their weights.
    pub fn links_mut(&mut self) -> &mut [Link<F>] {
        self.state = fan::fresh();
        &mut self.links
    }
    /// The parameters of neurons that are learned, by population in the order of the description.
    pub fn parameters(&self) -> &[Parameter<F>] {
        &self.parameters
    }
    /// Those of population `p`.
    fn parameters_of(&self, p: usize) -> Vec<&Parameter<F>> {
        self.parameters.iter().filter(|parameter| parameter.population == p).collect()
    }
    /// Changes the values of `parameters()[k]`, which are then put into their range, and derives the constants of the population anew.
    ///
    /// # Errors
    /// If a value is not a finite number any more. Then the population runs with the constants it had.
    pub fn set_parameter(&mut self, k: usize, change: impl FnOnce(&mut [Block<F>])) -> Result<(), NetworkError> {
        change(&mut self.parameters[k].values);
        self.parameters[k].clamp();
        let (p, draft) = (self.parameters[k].population, self.network.draft());
        self.cells[p] = F::lower(&with_values(&draft.populations[p], &self.parameters_of(p))?, draft.dt);
        Ok(())
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
    /// Lists of links into population `p` that differ in nothing but delay: see [`Record::fans`](super::Record::fans).
    pub fn families(&self, p: usize) -> &[Family] {
        &self.plan.families[p]
    }
    /// Indices of the projections into population `p` whose lists are walked alone.
    pub fn singles(&self, p: usize) -> &[usize] {
        &self.plan.singles[p]
    }
    /// Whether `links()[k]` are listed links, but so many that whole rows are walked: see [`Record::image`](super::Record::image).
    pub fn has_image(&self, k: usize) -> bool {
        self.plan.images[self.links[k].to].contains(&k)
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
        let weights = self.by_projection(self.links.iter().map(|l| l.store.values()));
        weights.into_iter().map(|list| list.into_iter().map(|w| w.value() as f32).collect()).collect()
    }

    /// Sets the weights of a projection, given in the order of the description as long as its links are those described. Weights tied to them follow.
    ///
    /// # Panics
    /// If their number is another, or the engine is [`frozen`](Self::frozen).
    #[track_caller]
    pub fn set_weights(&mut self, projection: usize, weights: &[f32]) {
        assert!(!self.frozen, "a frozen engine has the weights it was made with");
        self.state = fan::fresh();
        let mut set = 0;
        for link in self.links.iter_mut().filter(|link| link.projection == projection) {
            let Link { subset, store, sign, .. } = link;
            let of = |k: usize| sign.map_or(F::of(f64::from(weights[k])), |sign| sign.of(F::of(f64::from(weights[k]))));
            match subset {
                Some(subset) => store.set(subset.iter().map(|&k| of(k as usize))),
                None => store.set((0..weights.len()).map(of)),
            }
            set += if *sign == Some(Sign::Negative) { 0 } else { store.slots().len() };
        }
        assert_eq!(set, weights.len(), "projection {projection} has {set} weights, {} were given", weights.len());
        if self.network.draft().projections[projection].tied.is_none() {
            self.tie();
        }
    }

    /// Anything laid out like the weights of [`links`](Self::links), as one list per projection in the order of the description.
    pub fn in_order<'a>(&self, like_weights: impl Iterator<Item = &'a [Block<F>]>) -> Vec<Vec<F>> {
        self.by_projection(self.links.iter().zip(like_weights).map(|(link, values)| link.store.in_order(values)))
    }

    /// Lists of the links as lists of the projections.
    fn by_projection(&self, of_links: impl Iterator<Item = Vec<F>>) -> Vec<Vec<F>> {
        let mut lists = vec![Vec::new(); self.network.draft().projections.len()];
        for (link, values) in self.links.iter().zip(of_links) {
            let list = &mut lists[link.projection];
            let second = link.sign == Some(Sign::Negative);
            let Some(subset) = &link.subset else {
                if second {
                    list.iter_mut().zip(values).for_each(|(x, part)| *x += part);
                } else {
                    *list = values;
                }
                continue;
            };
            list.resize(list.len().max(subset.last().map_or(0, |&k| k as usize + 1)), F::default());
            subset.iter().zip(values).for_each(|(&k, x)| list[k as usize] = if second { list[k as usize] + x } else { x });
        }
        lists
    }
}
