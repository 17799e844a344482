//! Events: who fired, when. Sparse activity is lists of indices, never a dense tensor.

use std::ops::Range;

/// The spikes of a group of units over one trial, sorted by time step.
///
/// Memory: 4 bytes per event and 4 per step. A raster is cleared and filled again for the next trial without allocating.
///
/// ```
/// use snn_core::Raster;
/// let mut raster = Raster::new(3, 4);                      // three units, four steps
/// raster.fill([(2, 0), (0, 1), (2, 2)]);                   // (step, unit), any order
/// assert_eq!(raster.at(0), &[1]);
/// assert_eq!(raster.at(1), &[] as &[u32]);
/// assert_eq!(raster.at(2), &[0, 2]);
/// ```
#[derive(Debug)]
pub struct Raster {
    units: usize,
    ends: Vec<u32>, // ends[t]..ends[t + 1] are the events of step t
    unit: Vec<u32>,
    scratch: Vec<(u32, u32)>,
}

impl Clone for Raster {
    fn clone(&self) -> Self {
        Raster { units: self.units, ends: self.ends.clone(), unit: self.unit.clone(), scratch: Vec::new() }
    }
    /// Keeps the memory it has.
    fn clone_from(&mut self, source: &Self) {
        self.units = source.units;
        self.ends.clone_from(&source.ends);
        self.unit.clone_from(&source.unit);
    }
}

impl PartialEq for Raster {
    fn eq(&self, other: &Self) -> bool {
        (self.units, &self.ends, &self.unit) == (other.units, &other.ends, &other.unit)
    }
}

impl Default for Raster {
    /// No units, no steps.
    fn default() -> Self {
        Raster::new(0, 0)
    }
}

impl Raster {
    /// A silent raster of `units` units and `steps` time steps.
    pub fn new(units: usize, steps: usize) -> Self {
        Raster { units, ends: vec![0; steps + 1], unit: Vec::new(), scratch: Vec::new() }
    }

    /// Number of units (channels).
    pub fn units(&self) -> usize {
        self.units
    }

    /// Number of time steps.
    pub fn steps(&self) -> usize {
        self.ends.len() - 1
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.unit.len()
    }

    /// Whether nobody fired.
    pub fn is_empty(&self) -> bool {
        self.unit.is_empty()
    }

    /// The units that fired at step `t`.
    #[inline(always)]
    pub fn at(&self, t: usize) -> &[u32] {
        &self.unit[self.ends[t] as usize..self.ends[t + 1] as usize]
    }

    /// All events as `(step, unit)`, in time order.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u32)> + '_ {
        (0..self.steps()).flat_map(move |t| self.at(t).iter().map(move |&u| (t, u)))
    }

    /// Gives the raster another shape and forgets its events.
    pub fn reset(&mut self, units: usize, steps: usize) {
        self.units = units;
        self.unit.clear();
        self.ends.clear();
        self.ends.resize(steps + 1, 0);
    }

    /// Replaces all events by `(step, unit)` pairs in any order; an event given twice counts once.
    ///
    /// # Panics
    /// If a step or unit lies outside the raster: a reader or encoder checks its data before it gets here.
    #[track_caller]
    pub fn fill(&mut self, events: impl IntoIterator<Item = (u32, u32)>) {
        let (units, steps) = (self.units, self.steps());
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.extend(events);
        assert!(
            scratch.iter().all(|&(t, u)| (t as usize) < steps && (u as usize) < units),
            "event outside a raster of {units} units × {steps} steps"
        );
        scratch.sort_unstable();
        scratch.dedup();
        self.reset(units, steps);
        for &(t, _) in &scratch {
            self.ends[t as usize + 1] += 1;
        }
        for t in 0..steps {
            self.ends[t + 1] += self.ends[t];
        }
        self.unit.extend(scratch.iter().map(|&(_, u)| u));
        self.scratch = scratch;
    }

    /// Replaces all events step by step: `write(t, list)` appends the units that fire at step `t`.
    pub fn write(&mut self, mut write: impl FnMut(usize, &mut Vec<u32>)) {
        self.unit.clear();
        for t in 0..self.steps() {
            write(t, &mut self.unit);
            self.ends[t + 1] = self.unit.len() as u32;
        }
        debug_assert!(self.unit.iter().all(|&u| (u as usize) < self.units));
    }

    /// Writes the events of step `t` while a simulation advances: `write` appends the units that fire, ascending; the steps before it
    /// have been written.
    #[inline]
    pub fn push_step(&mut self, t: usize, write: impl FnOnce(&mut Vec<u32>)) {
        self.unit.truncate(self.ends[t] as usize);
        write(&mut self.unit);
        self.ends[t + 1] = self.unit.len() as u32;
    }

    /// Forgets the first `by` steps: every other event moves `by` steps earlier, and the last `by` steps are empty.
    ///
    /// ```
    /// use snn_core::Raster;
    /// let mut raster = Raster::new(3, 4);
    /// raster.fill([(0, 1), (2, 0), (3, 2)]);
    /// raster.shift(2);
    /// assert_eq!(raster.iter().collect::<Vec<_>>(), [(0, 0), (1, 2)]);
    /// ```
    ///
    /// # Panics
    /// If the raster has fewer steps.
    pub fn shift(&mut self, by: usize) {
        let (gone, steps) = (self.ends[by], self.steps());
        self.unit.drain(..gone as usize);
        self.ends.copy_within(by.., 0);
        self.ends[..=steps - by].iter_mut().for_each(|end| *end -= gone);
        let last = self.ends[steps - by];
        self.ends[steps - by..].fill(last);
    }

    /// Replaces all events by at most one per unit: item `u` of `latency` is the step at which unit `u` fires, and a unit whose item is
    /// not below [`steps`](Self::steps), or missing, stays silent.
    ///
    /// A counting sort: O(units + steps), and no allocation once the raster has held as many events. `latency` is run through twice.
    ///
    /// # Panics
    /// If `latency` has more items than the raster has units.
    ///
    /// ```
    /// use snn_core::Raster;
    /// let mut raster = Raster::new(4, 3);
    /// raster.fill_latencies([2, 0, u32::MAX, 2].into_iter());
    /// assert_eq!(raster.iter().collect::<Vec<_>>(), [(0, 1), (2, 0), (2, 3)]);
    /// ```
    #[track_caller]
    pub fn fill_latencies(&mut self, latency: impl Iterator<Item = u32> + Clone) {
        let (units, steps) = (self.units, self.steps());
        self.ends.fill(0);
        let mut items = 0;
        for t in latency.clone() {
            if (t as usize) < steps {
                self.ends[t as usize + 1] += 1;
            }
            items += 1;
        }
        assert!(items <= units, "{items} latencies for a raster of {units} units");
        // ends[t + 1] becomes the start of step t, and moves to its end while the units are put in place.
        let mut total = 0;
        for end in &mut self.ends[1..] {
            total += std::mem::replace(end, total);
        }
        self.unit.clear();
        self.unit.resize(total as usize, 0);
        for (u, t) in latency.enumerate() {
            if (t as usize) < steps {
                let place = &mut self.ends[t as usize + 1];
                self.unit[*place as usize] = u as u32;
                *place += 1;
            }
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        4 * (self.ends.capacity() + self.unit.capacity()) + 8 * self.scratch.capacity()
    }
}

/// The same spikes by unit: for each, the steps at which it fired. A backward pass walks these.
///
/// ```
/// use snn_core::{Raster, Trains};
/// let mut raster = Raster::new(3, 4);
/// raster.fill([(2, 0), (0, 1), (2, 2), (3, 0)]);
/// let mut trains = Trains::default();
/// trains.of(&raster);
/// assert_eq!(trains.at(0), &[2, 3]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Trains {
    ends: Vec<u32>, // ends[u]..ends[u + 1] are the spikes of unit u
    time: Vec<u32>,
}

impl Trains {
    /// Takes the spikes of `raster`, in place of those before. Cost: events + units.
    pub fn of(&mut self, raster: &Raster) {
        self.of_steps(raster, 0..raster.steps(), 0);
    }

    /// Takes the spikes of `raster` in `steps`, in place of those before; the first of these steps counts as step `first`. Cost: events in
    /// `steps` + units.
    ///
    /// # Panics
    /// If the raster has fewer steps.
    pub fn of_steps(&mut self, raster: &Raster, steps: Range<usize>, first: usize) {
        let here = raster.ends[steps.start] as usize..raster.ends[steps.end.max(steps.start)] as usize;
        self.ends.clear();
        self.ends.resize(raster.units + 2, 0);
        raster.unit[here.clone()].iter().for_each(|&u| self.ends[u as usize + 2] += 1);
        (2..self.ends.len()).for_each(|k| self.ends[k] += self.ends[k - 1]);
        self.time.clear();
        self.time.resize(here.len(), 0);
        for (k, t) in steps.enumerate() {
            for &u in raster.at(t) {
                // ends[u + 1] is the place of the next spike of u, and becomes its end.
                let place = &mut self.ends[u as usize + 1];
                self.time[*place as usize] = (first + k) as u32;
                *place += 1;
            }
        }
    }

    /// The steps at which `unit` fired, ascending.
    #[inline(always)]
    pub fn at(&self, unit: usize) -> &[u32] {
        &self.time[self.ends[unit] as usize..self.ends[unit + 1] as usize]
    }

    /// Number of units.
    pub fn units(&self) -> usize {
        self.ends.len().saturating_sub(2)
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        4 * (self.ends.capacity() + self.time.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fill_keeps_every_event_once_and_in_order(events in prop::collection::vec((0u32..9, 0u32..7), 0..80)) {
            let mut raster = Raster::new(7, 9);
            raster.fill(events.iter().copied());
            let mut expected: Vec<(usize, u32)> = events.iter().map(|&(t, u)| (t as usize, u)).collect();
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(raster.iter().collect::<Vec<_>>(), expected.clone());
            let mut stepwise = Raster::new(7, 9);
            stepwise.write(|t, list| list.extend(expected.iter().filter(|e| e.0 == t).map(|e| e.1)));
            prop_assert_eq!(stepwise.iter().collect::<Vec<_>>(), expected.clone());
            let mut trains = Trains::default();
            trains.of(&raster);
            for u in 0..7u32 {
                let times: Vec<u32> = expected.iter().filter(|e| e.1 == u).map(|e| e.0 as u32).collect();
                prop_assert_eq!(trains.at(u as usize), &times[..]);
            }
            // A part of the steps, counted from another one.
            trains.of_steps(&raster, 2..6, 1);
            for u in 0..7u32 {
                let times: Vec<u32> = expected.iter().filter(|e| e.1 == u && (2..6).contains(&e.0)).map(|e| e.0 as u32 - 1).collect();
                prop_assert_eq!(trains.at(u as usize), &times[..]);
            }
        }

        #[test]
        fn latencies_are_the_events_they_stand_for(latencies in prop::collection::vec(0u32..12, 0..40), before in prop::collection::vec(0u32..9, 0..40)) {
            let (mut counted, mut filled) = (Raster::new(40, 9), Raster::new(40, 9));
            counted.fill_latencies(before.into_iter()); // whatever was there is gone
            counted.fill_latencies(latencies.iter().copied());
            filled.fill((0..).zip(&latencies).filter(|&(_, &t)| t < 9).map(|(u, &t)| (t, u)));
            prop_assert_eq!(counted.iter().collect::<Vec<_>>(), filled.iter().collect::<Vec<_>>());
        }
    }

    #[test]
    #[should_panic(expected = "3 latencies for a raster of 2 units")]
    fn more_latencies_than_units_are_refused() {
        Raster::new(2, 3).fill_latencies([0, 1, 9].into_iter());
    }

    #[test]
    #[should_panic(expected = "event outside a raster of 2 units × 3 steps")]
    fn an_event_outside_is_refused() {
        Raster::new(2, 3).fill([(0, 2)]);
    }
}
