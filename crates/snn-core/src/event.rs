//! Events: who fired, when. Sparse activity is lists of indices, never a dense tensor.

use std::ops::Range;

/// The events of a group of units over one trial, sorted by time step: spikes, or graded events that carry a value.
///
/// A raster of spikes holds no values; every event counts 1. A *graded* raster holds one number per event: the pixels of an image, the
/// outputs of rectified units. Where a unit has no event its value is 0, so a dense signal is a graded raster without its zeros.
///
/// Memory: 4 bytes per event and 4 per step, 8 more per graded event. A raster is cleared and filled again for the next trial without
/// allocating.
///
/// ```
/// use snn_core::Raster;
/// let mut raster = Raster::new(3, 4);                      // three units, four steps
/// raster.fill([(2, 0), (0, 1), (2, 2)]);                   // (step, unit), any order
/// assert_eq!(raster.at(0), &[1]);
/// assert_eq!(raster.at(1), &[] as &[u32]);
/// assert_eq!(raster.at(2), &[0, 2]);
/// assert!(raster.values_at(2).is_empty());                 // spikes: every value is 1
///
/// raster.fill_dense([0.0, 0.5, 0.0, 0.0, 0.0, -2.0]);      // steps 0 and 1, unit by unit; silent from there on
/// assert_eq!(raster.iter().collect::<Vec<_>>(), [(0, 1), (1, 2)]);
/// assert_eq!((raster.values_at(0), raster.values_at(1)), (&[0.5][..], &[-2.0][..]));
/// ```
#[derive(Debug)]
pub struct Raster {
    units: usize,
    ends: Vec<u32>, // ends[t]..ends[t + 1] are the events of step t
    unit: Vec<u32>,
    value: Vec<f64>, // one per event; empty: every value is 1
    scratch: Vec<(u32, u32)>,
}

impl Clone for Raster {
    fn clone(&self) -> Self {
        Raster { units: self.units, ends: self.ends.clone(), unit: self.unit.clone(), value: self.value.clone(), scratch: Vec::new() }
    }
    /// Keeps the memory it has.
    fn clone_from(&mut self, source: &Self) {
        self.units = source.units;
        self.ends.clone_from(&source.ends);
        self.unit.clone_from(&source.unit);
        self.value.clone_from(&source.value);
    }
}

impl PartialEq for Raster {
    fn eq(&self, other: &Self) -> bool {
        (self.units, &self.ends, &self.unit, &self.value) == (other.units, &other.ends, &other.unit, &other.value)
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
        Raster { units, ends: vec![0; steps + 1], unit: Vec::new(), value: Vec::new(), scratch: Vec::new() }
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

    /// The values of the events of step `t`, in the order of [`at`](Self::at); nothing if the events are spikes, all of value 1.
    #[inline(always)]
    pub fn values_at(&self, t: usize) -> &[f64] {
        if self.value.is_empty() { &[] } else { &self.value[self.ends[t] as usize..self.ends[t + 1] as usize] }
    }

    /// Whether the events carry values. A raster without events is not graded.
    #[inline(always)]
    pub fn is_graded(&self) -> bool {
        !self.value.is_empty()
    }

    /// The value of `unit` at step `t`: 0 where it has no event, 1 where it spiked. Cost: events of the step.
    pub fn value(&self, t: usize, unit: u32) -> f64 {
        let place = self.at(t).iter().position(|&u| u == unit);
        place.map_or(0.0, |k| self.values_at(t).get(k).copied().unwrap_or(1.0))
    }

    /// All events as `(step, unit)`, in time order.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u32)> + '_ {
        (0..self.steps()).flat_map(move |t| self.at(t).iter().map(move |&u| (t, u)))
    }

    /// All events as `(step, unit, value)`, in time order.
    pub fn iter_values(&self) -> impl Iterator<Item = (usize, u32, f64)> + '_ {
        let value = |k: usize| self.value.get(k).copied().unwrap_or(1.0);
        self.iter().enumerate().map(move |(k, (t, u))| (t, u, value(k)))
    }

    /// The spikes of both, as long as this one: the units of `other` come after these. For pictures of several populations at once.
    pub fn above(&self, other: &Raster) -> Raster {
        let mut both = Raster::new(self.units + other.units, self.steps());
        let moved = other.iter().take_while(|(t, _)| *t < self.steps()).map(|(t, u)| (t as u32, u + self.units as u32));
        both.fill(self.iter().map(|(t, u)| (t as u32, u)).chain(moved));
        both
    }

    /// Gives the raster another shape and forgets its events.
    pub fn reset(&mut self, units: usize, steps: usize) {
        self.units = units;
        self.unit.clear();
        self.value.clear();
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

    /// Replaces all events by graded ones, given as `(step, unit, value)` in any order. A value of 0 is no event.
    ///
    /// ```
    /// use snn_core::Raster;
    /// let mut raster = Raster::new(3, 4);
    /// raster.fill_values([(2, 1, 0.5), (0, 2, -1.5), (1, 1, 0.0)]);
    /// assert_eq!(raster.iter_values().collect::<Vec<_>>(), [(0, 2, -1.5), (2, 1, 0.5)]);
    /// ```
    ///
    /// # Panics
    /// If a step or unit lies outside the raster, an event is given twice, or a value is not finite: a reader or encoder checks its data
    /// before it gets here.
    #[track_caller]
    pub fn fill_values(&mut self, events: impl IntoIterator<Item = (u32, u32, f64)>) {
        let (units, steps) = (self.units, self.steps());
        let mut list: Vec<(u32, u32, f64)> = events.into_iter().filter(|&(_, _, value)| value != 0.0).collect();
        let inside = |&(t, u, value): &(u32, u32, f64)| (t as usize) < steps && (u as usize) < units && value.is_finite();
        assert!(list.iter().all(inside), "event outside a raster of {units} units × {steps} steps, or with a value that is no number");
        list.sort_unstable_by_key(|&(t, u, _)| (t, u));
        let twice = list.windows(2).find(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1));
        assert!(twice.is_none(), "the value of one unit at one step is given twice: {twice:?}");
        self.reset(units, steps);
        list.iter().for_each(|&(t, ..)| self.ends[t as usize + 1] += 1);
        (0..steps).for_each(|t| self.ends[t + 1] += self.ends[t]);
        self.unit.extend(list.iter().map(|&(_, u, _)| u));
        self.value.extend(list.iter().map(|&(.., value)| value));
    }

    /// Replaces all events by those of a dense signal `[step][unit]`: one graded event for every value that is not 0. Where the signal ends
    /// early the rest is silent. One pass, and no allocation once the raster has held as many events.
    ///
    /// # Panics
    /// If the signal is longer than units × steps, or a value is not finite.
    #[track_caller]
    pub fn fill_dense(&mut self, signal: impl IntoIterator<Item = f64>) {
        let (units, steps) = (self.units, self.steps());
        let mut signal = signal.into_iter();
        self.reset(units, steps);
        for t in 0..steps {
            for (u, value) in (0..units as u32).zip(signal.by_ref().take(units)) {
                assert!(value.is_finite(), "the value of unit {u} at step {t} is {value}");
                if value != 0.0 {
                    self.unit.push(u);
                    self.value.push(value);
                }
            }
            self.ends[t + 1] = self.unit.len() as u32;
        }
        assert!(signal.next().is_none(), "a signal of more values than a raster of {units} units × {steps} steps has");
    }

    /// Replaces all events step by step: `write(t, list)` appends the units that fire at step `t`.
    pub fn write(&mut self, mut write: impl FnMut(usize, &mut Vec<u32>)) {
        self.unit.clear();
        self.value.clear();
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
        debug_assert!(self.value.is_empty(), "a step of spikes in a graded raster");
        self.unit.truncate(self.ends[t] as usize);
        write(&mut self.unit);
        self.ends[t + 1] = self.unit.len() as u32;
    }

    /// As [`push_step`](Self::push_step), for graded events: `write` appends units, ascending, and as many values, none of them 0.
    #[inline]
    pub fn push_values(&mut self, t: usize, write: impl FnOnce(&mut Vec<u32>, &mut Vec<f64>)) {
        self.unit.truncate(self.ends[t] as usize);
        self.value.truncate(self.ends[t] as usize);
        write(&mut self.unit, &mut self.value);
        debug_assert_eq!(self.unit.len(), self.value.len());
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
        self.value.drain(..(gone as usize).min(self.value.len()));
        self.ends.copy_within(by.., 0);
        // Steps that have not been written yet have no end to speak of.
        self.ends[..=steps - by].iter_mut().for_each(|end| *end = end.saturating_sub(gone));
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
        self.value.clear();
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
        4 * (self.ends.capacity() + self.unit.capacity()) + 8 * (self.value.capacity() + self.scratch.capacity())
    }
}

/// The same events by unit: for each, the steps at which it fired, and the values if they are graded. A backward pass walks these.
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
    value: Vec<f64>, // one per event; empty: every value is 1
}

impl Trains {
    /// Takes the events of `raster`, in place of those before. Cost: events + units.
    pub fn of(&mut self, raster: &Raster) {
        self.of_steps(raster, 0..raster.steps(), 0);
    }

    /// Takes the events of `raster` in `steps`, in place of those before; the first of these steps counts as step `first`. Cost: events in
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
        self.value.clear();
        self.value.resize(if raster.value.is_empty() { 0 } else { here.len() }, 0.0);
        for (k, t) in steps.enumerate() {
            let values = raster.values_at(t);
            for (n, &u) in raster.at(t).iter().enumerate() {
                // ends[u + 1] is the place of the next event of u, and becomes its end.
                let place = &mut self.ends[u as usize + 1];
                self.time[*place as usize] = (first + k) as u32;
                if let Some(&value) = values.get(n) {
                    self.value[*place as usize] = value;
                }
                *place += 1;
            }
        }
    }

    /// The steps at which `unit` fired, ascending.
    #[inline(always)]
    pub fn at(&self, unit: usize) -> &[u32] {
        &self.time[self.ends[unit] as usize..self.ends[unit + 1] as usize]
    }

    /// The values of the events of `unit`, in the order of [`at`](Self::at); nothing if they are spikes, all of value 1.
    #[inline(always)]
    pub fn values_at(&self, unit: usize) -> &[f64] {
        if self.value.is_empty() { &[] } else { &self.value[self.ends[unit] as usize..self.ends[unit + 1] as usize] }
    }

    /// Number of units.
    pub fn units(&self) -> usize {
        self.ends.len().saturating_sub(2)
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        4 * (self.ends.capacity() + self.time.capacity()) + 8 * self.value.capacity()
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

    proptest! {
        /// A dense signal, its nonzero values in any order, and the trains by unit are the same events; spikes of value 1 hold no values.
        #[test]
        fn graded_events_are_a_dense_signal_without_zeros(signal in prop::collection::vec(prop_oneof![Just(0.0f64), -2.0f64..2.0], 0..=63), turn in 0usize..64) {
            let (mut dense, mut listed) = (Raster::new(7, 9), Raster::new(7, 9));
            dense.fill([(0, 3), (8, 6)]); // whatever was there is gone
            dense.fill_dense(signal.iter().copied());
            let mut events: Vec<_> = (0..).zip(&signal).map(|(k, &value)| (k / 7, k % 7, value)).collect();
            let middle = turn.min(events.len());
            events.rotate_left(middle);
            listed.fill_values(events);
            prop_assert_eq!(&dense, &listed);
            let mut trains = Trains::default();
            trains.of(&dense);
            for (t, u) in (0..9usize).flat_map(|t| (0..7usize).map(move |u| (t, u))) {
                let expected = signal.get(t * 7 + u).copied().unwrap_or(0.0);
                prop_assert_eq!(dense.value(t, u as u32), expected);
                let place = trains.at(u).iter().position(|&time| time == t as u32);
                prop_assert_eq!(place.map_or(0.0, |k| trains.values_at(u)[k]), expected);
            }
            let mut pushed = dense.clone();
            (0..9).for_each(|t| pushed.push_values(t, |units, values| {
                units.extend_from_slice(dense.at(t));
                values.extend_from_slice(dense.values_at(t));
            }));
            prop_assert_eq!(&pushed, &dense);
            prop_assert_eq!(dense.iter_values().map(|(t, u, _)| (t, u)).collect::<Vec<_>>(), dense.iter().collect::<Vec<_>>());
            let spikes: Vec<(u32, u32)> = dense.iter().map(|(t, u)| (t as u32, u)).collect();
            dense.fill(spikes);
            trains.of(&dense);
            prop_assert!(!dense.is_graded() && dense.iter_values().all(|event| event.2 == 1.0) && (0..7).all(|u| trains.values_at(u).is_empty()));
        }
    }

    #[test]
    #[should_panic(expected = "given twice")]
    fn a_value_given_twice_is_refused() {
        Raster::new(2, 3).fill_values([(1, 0, 0.5), (0, 0, 1.0), (1, 0, 0.25)]);
    }

    #[test]
    #[should_panic(expected = "the value of unit 1 at step 0 is NaN")]
    fn a_value_that_is_no_number_is_refused() {
        Raster::new(2, 3).fill_dense([0.0, f64::NAN]);
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
