//! How the listed links into each population are walked: alone, with those of other delays, or as whole rows.

use crate::bank::Link;
use crate::fan::Family;
use crate::lanes::{LANES, Scalar, flat, flat_mut};
use crate::store::{Dense, Store, Synapses};

/// By population: which of its incoming links are walked how. Links that are not listed are not named.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// Lists that differ in nothing but delay: see [`Fan`](crate::Fan).
    pub(crate) families: Vec<Vec<Family>>,
    /// Lists that are walked alone, and other stores that push to all targets.
    pub(crate) singles: Vec<Vec<usize>>,
    /// Lists so long that whole rows are walked faster: see [`Image`].
    pub(crate) images: Vec<Vec<usize>>,
}

/// From this share of all links on, a whole row of weights is walked faster than a list, at any activity (`bench product`).
const LONG: f64 = 1.0 / 6.0;

impl Plan {
    pub(crate) fn new<F: Scalar>(links: &[Link<F>], incoming: &[Vec<usize>], frozen: bool) -> Self {
        let mut plan = Plan::default();
        for list in incoming {
            let (read, rest): (Vec<usize>, Vec<usize>) = list.iter().copied().partition(|&k| links[k].reads.is_some());
            let pushed: Vec<usize> = rest.iter().copied().filter(|&k| links[k].is_pushed()).collect();
            let (families, alone) = if frozen { (Vec::new(), pushed) } else { Family::all(links, &pushed) };
            let (mut images, mut singles): (Vec<usize>, Vec<usize>) = alone.into_iter().partition(|&k| !frozen && long(&links[k].store));
            images.extend(rest.iter().filter(|&&k| links[k].port.is_some() && long(&links[k].store)));
            singles.extend(read);
            plan.families.push(families);
            plan.singles.push(singles);
            plan.images.push(images);
        }
        plan
    }
}

fn long<F: Scalar>(store: &Store<F>) -> bool {
    matches!(store, Store::Csr(csr) if csr.links() as f64 >= LONG * (csr.sources() * csr.targets()).max(1) as f64)
}

/// Listed links as whole rows, with weight 0 where there is no link.
///
/// Memory: 4 bytes per possible link (`f32`), at most six times as many as there are links, and 4 per link.
#[derive(Clone, Debug)]
pub struct Image<F> {
    store: Store<F>,
    places: Vec<u32>, // by slot of the list: its place among the flat weights
}

impl<F: Scalar> Image<F> {
    pub(crate) fn new(store: &Store<F>) -> Option<Self> {
        let Store::Csr(csr) = store else { return None };
        let n = csr.sources();
        let place = |(i, j): (u32, u32)| ((j as usize / LANES * n + i as usize) * LANES + j as usize % LANES) as u32;
        let places = csr.cells().map(place).collect();
        Some(Image { store: Store::Dense(Dense::new(n, csr.targets())), places })
    }

    /// Takes the weights of the list it was made of.
    pub(crate) fn weigh(&mut self, list: &Store<F>) {
        let into = flat_mut(self.store.weights_mut());
        self.places.iter().zip(flat(list.weights())).for_each(|(&place, &w)| into[place as usize] = w);
    }

    /// Sets the flat weight at `place`: see [`places`](Self::places).
    pub(crate) fn set(&mut self, place: usize, w: F) {
        flat_mut(self.store.weights_mut())[place] = w;
    }

    /// The rows.
    #[inline(always)]
    pub fn store(&self) -> &Store<F> {
        &self.store
    }

    /// By slot of the list: its place among the flat weights of the rows.
    pub fn places(&self) -> &[u32] {
        &self.places
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        size_of_val(self.store.weights()) + 4 * self.places.capacity()
    }
}

#[cfg(test)]
mod tests {
    use crate::store::Rewiring;
    use crate::{Clocked, Record, Wants};
    use snn_core::net::{Connect, Init};
    use snn_core::neuron::Li;
    use snn_core::{Net, Raster, Seed, ms};

    #[test]
    fn every_list_is_walked_in_its_way_and_gives_the_same() {
        let net = Net::new(ms(1.0))
            .input("few", 30)
            .input("many", 30)
            .input("late", 30)
            .population("out", 20, Li { tau: 1e-9.into() })
            .project("few", "out", Connect::Random { p: 0.1 }, Init::normal(1.0))
            .project("many", "out", Connect::Random { p: 0.17 }, Init::normal(1.0))
            .project("late", "out", Connect::Random { p: 0.4 }, Init::normal(1.0))
            .delays(0.0, ms(2.0))
            .output("out")
            .build(Seed::new(5))
            .unwrap();
        let mut engine = Clocked::<f64>::compile(&net);
        let (singles, images) = (engine.singles(0).to_vec(), (0..5).filter(|&k| engine.has_image(k)).collect::<Vec<_>>());
        assert_eq!((singles, images, engine.families(0)[0].links.clone()), (vec![0], vec![1], vec![2, 3, 4]));
        let frozen = Clocked::<f64>::frozen(&net, 1);
        assert!(frozen.families(0).is_empty() && (0..frozen.links().len()).all(|k| !frozen.has_image(k)));

        let mut events = Raster::new(30, 5);
        events.fill([(0, 3), (0, 29), (1, 3), (3, 0)]);
        let mut record = Record::new(&engine);
        let mut check = |engine: &Clocked<f64>| {
            engine.run(&[&events; 3], Wants::Spikes, &mut record);
            for j in 0..20 {
                let heard = |t: usize| -> f64 {
                    let from = |link: &crate::Link<f64>| {
                        let there = |&&(i, to, _): &&(usize, usize, usize)| {
                            to == j && t >= link.delay && events.at(t - link.delay).contains(&(i as u32))
                        };
                        let values = link.store.values();
                        link.store.triplets().iter().filter(there).map(|&(_, _, k)| values[k]).sum::<f64>()
                    };
                    engine.links().iter().map(from).sum()
                };
                for (t, y) in record.traces[0].series(j).enumerate() {
                    assert!((y - heard(t)).abs() < 1e-12, "target {j}, step {t}: {y} {}", heard(t));
                }
            }
        };
        check(&engine);
        // New weights are seen, and a list that loses links is no image any more.
        for k in 0..5 {
            let values: Vec<f64> = engine.links()[k].store.values().iter().map(|w| 2.0 - w).collect();
            engine.links_mut()[k].store.set(values);
        }
        check(&engine);
        engine.relink(1, 0..30, [], &mut Rewiring::default()).unwrap();
        assert!(!engine.has_image(1) && engine.singles(0) == [0, 1]);
        check(&engine);
    }
}
