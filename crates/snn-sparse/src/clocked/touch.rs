//! A few weights of a projection, changed in place: in their stores, and in the copies that a record holds.

use super::{Clocked, Record};
use crate::fan;
use crate::lanes::{Scalar, flat_mut};
use crate::store::Synapses;
use std::collections::HashMap;

/// Where a weight stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    link: u32,
    slot: u32,
    copy: Copied,
}

/// Where a record's copy of it stands, if it has one.
#[derive(Clone, Copy, Debug, Default)]
enum Copied {
    #[default]
    Nowhere,
    Image(u32),
    Fan {
        family: u32,
        place: u32,
    },
}

impl<F: Scalar> Clocked<F> {
    /// Sets those weights of a projection that `moved` names, by index; `weights` are all of them, in the order of the description. A `record` that holds
    /// copies of the weights follows. The same as [`set_weights`](Self::set_weights), at a cost that grows with the weights moved: for rules that learn
    /// while the network runs. (Where each sign of a weight has a list of its own all are set.)
    ///
    /// ```
    /// # use snn_core::{Net, Seed, ms, net::{Connect, Init}, neuron::Lif};
    /// # use snn_sparse::{Clocked, Record};
    /// # let net = Net::new(ms(1.0)).input("in", 2).population("a", 2, Lif::default())
    /// #     .project("in", "a", Connect::All, Init::Constant(2.0)).output("a").build(Seed::new(0))?;
    /// let mut engine = Clocked::<f32>::compile(&net);
    /// let mut record = Record::new(&engine);
    /// engine.set_some(0, &[9.0, 3.0, 9.0, 9.0], &[1], &mut record);
    /// assert_eq!(engine.weights(), [[2.0, 3.0, 2.0, 2.0]]);
    /// # Ok::<(), snn_core::NetworkError>(())
    /// ```
    ///
    /// # Panics
    /// As [`set_weights`](Self::set_weights), or if `moved` names a weight that is not there.
    #[track_caller]
    pub fn set_some(&mut self, projection: usize, weights: &[f32], moved: &[u32], record: &mut Record<F>) {
        if self.frozen || self.links.iter().any(|link| link.projection == projection && link.sign.is_some()) {
            return self.set_weights(projection, weights);
        }
        record.follow(self);
        record.places.resize_with(self.network.draft().projections.len(), Vec::new);
        if record.places[projection].is_empty() {
            record.places[projection] = self.places(projection, record);
        }
        let Record { places, images, fans, .. } = record;
        for &k in moved {
            let (Place { link: n, slot, copy }, w) = (places[projection][k as usize], F::of(f64::from(weights[k as usize])));
            let link = &mut self.links[n as usize];
            flat_mut(link.store.weights_mut())[slot as usize] = w;
            match copy {
                Copied::Nowhere => {}
                Copied::Image(place) => images[n as usize].iter_mut().for_each(|image| image.set(place as usize, w)),
                Copied::Fan { family, place } => fans[link.to][family as usize].set(place as usize, w),
            }
        }
        self.state = fan::fresh();
        record.of = Some(self.state);
    }

    /// Where the weights of a projection stand, in the order of the description.
    fn places(&self, projection: usize, record: &Record<F>) -> Vec<Place> {
        let mut copies: HashMap<(u32, u32), Copied> = HashMap::new();
        for (fans, families) in record.fans.iter().zip(&self.plan.families) {
            for (family, (fan, of)) in fans.iter().zip(families).enumerate() {
                let copy = |place: usize| Copied::Fan { family: family as u32, place: place as u32 };
                copies.extend(fan.of().iter().enumerate().map(|(n, &(list, slot))| ((of.links[list as usize] as u32, slot), copy(n))));
            }
        }
        let mut places = Vec::new();
        for (k, link) in self.links.iter().enumerate().filter(|(_, link)| link.projection == projection) {
            let image = record.image(k);
            for (n, slot) in link.store.slots().into_iter().enumerate() {
                let copy = match image {
                    Some(image) => Copied::Image(image.places()[slot]),
                    None => copies.get(&(k as u32, slot as u32)).copied().unwrap_or_default(),
                };
                let weight = link.subset.as_ref().map_or(n, |subset| subset[n] as usize);
                places.resize(places.len().max(weight + 1), Place::default());
                places[weight] = Place { link: k as u32, slot: slot as u32, copy };
            }
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use crate::{Clocked, Record, Wants};
    use proptest::prelude::*;
    use snn_core::net::{Connect, Init};
    use snn_core::neuron::{Li, Lif, LifCond};
    use snn_core::{Net, Network, Raster, Seed, ms};

    /// Dense links, listed ones that are walked alone, as whole rows and by delay, and ones whose sign has a list of its own.
    fn every_kind() -> Network {
        let net = Net::new(ms(1.0)).input("in", 20).population("a", 70, Lif::default()).population("b", 5, LifCond::default());
        net.project("in", "a", Connect::All, Init::normal(0.2))
            .project("in", "a", Connect::Random { p: 0.05 }, Init::normal(0.5))
            .project("a", "a", Connect::Random { p: 0.3 }, Init::normal(0.2))
            .delay(ms(1.0))
            .project("in", "a", Connect::Random { p: 0.1 }, Init::normal(0.5))
            .delays(0.0, ms(3.0))
            .project("a", "b", Connect::All, Init::normal(0.1))
            .population("out", 2, Li::default())
            .project("a", "out", Connect::All, Init::normal(1.0))
            .output("out")
            .build(Seed::new(2))
            .unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        /// Whatever is set, in the middle of a trial too: the same weights and spikes as if all had been set.
        #[test]
        fn some_weights_are_set_as_all_are(key in any::<u64>()) {
            let net = every_kind();
            let mut engines = [Clocked::<f32>::compile(&net), Clocked::<f32>::compile(&net)];
            let mut records = [Record::new(&engines[0]), Record::new(&engines[1])];
            let draw = |n: u64| Seed::new(key).nth(n).value();
            let mut input = Raster::new(20, 30);
            input.fill((0..30).flat_map(|t| (0..20).map(move |i| (t, i))).filter(|&(t, i)| draw(u64::from(20 * t + i)).is_multiple_of(4)));
            let mut weights = engines[0].weights();
            engines.iter().zip(&mut records).for_each(|(engine, record)| engine.begin(30, Wants::Spikes, record));
            for t in 0..30 {
                let projection = (draw(1000 + t) % weights.len() as u64) as usize;
                let list = &mut weights[projection];
                let moved: Vec<u32> = (0..7).map(|n| (draw(2000 + 7 * t + n) % list.len() as u64) as u32).collect();
                moved.iter().for_each(|&k| list[k as usize] = 0.3 * list[(k as usize + 1) % list.len()] + 0.01);
                engines[0].set_some(projection, list, &moved, &mut records[0]);
                engines[1].set_weights(projection, list);
                for (engine, record) in engines.iter().zip(&mut records) {
                    engine.advance(t as usize + 1, &[&input], record);
                }
            }
            prop_assert!(engines[0].weights() == weights && engines[1].weights() == weights);
            prop_assert!(records[0].spikes == records[1].spikes && !records[0].spikes[0].is_empty());
        }
    }
}
