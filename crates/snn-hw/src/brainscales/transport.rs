//! Spikes on their way to the chip and back: links of limited rate, and jitter.

use super::plan::normal;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use snn_core::{Raster, Seed};
use std::collections::VecDeque;

/// What a direction of travel does to events.
#[derive(Clone, Copy, Debug)]
pub(super) struct Road {
    /// Events per step that a link carries; `None`: all.
    pub rate: Option<f64>,
    /// Events that a link holds back for a moment before it loses any.
    pub buffer: f64,
    /// Channels on a link.
    pub channels: usize,
    /// Standard deviation of the time an event is late, in steps; it is never early.
    pub jitter: f64,
    /// Standard deviation of the factor on values.
    pub values: f64,
}

/// The events of one group on their way. They arrive in [`Travel::arrived`]; some are lost, some late.
pub(super) struct Travel {
    road: Road,
    /// Events that each link can still carry now.
    room: Vec<f64>,
    /// Who arrives at the steps to come.
    late: VecDeque<Vec<u32>>,
    rng: ChaCha8Rng,
    /// What has arrived.
    pub arrived: Raster,
    /// Events that set out, and events that were lost.
    pub sent: u64,
    pub lost: u64,
}

impl Travel {
    /// Begins a trial.
    pub fn begin(road: Road, units: usize, steps: usize, seed: Seed) -> Self {
        let room = vec![road.buffer; if road.rate.is_some() { units.div_ceil(road.channels) } else { 0 }];
        Travel { road, room, late: VecDeque::new(), rng: seed.rng(), arrived: Raster::new(units, steps), sent: 0, lost: 0 }
    }

    /// Takes step `t` of `events`; steps come one after the other.
    pub fn take(&mut self, t: usize, events: &Raster) {
        let (units, values) = (events.at(t), events.values_at(t));
        self.sent += units.len() as u64;
        if events.is_graded() {
            return self.take_values(t, units, values);
        }
        let through = self.through(units);
        let mut now = self.late.pop_front().unwrap_or_default();
        for &unit in &through {
            match self.lateness() {
                0 => now.push(unit),
                late if t + late >= self.arrived.steps() => self.lost += 1, // the trial is over
                late => {
                    self.late.resize_with(self.late.len().max(late), Vec::new);
                    self.late[late - 1].push(unit);
                }
            }
        }
        now.sort_unstable();
        let before = now.len();
        now.dedup(); // two events of a channel at once are one
        self.lost += (units.len() - through.len() + before - now.len()) as u64;
        self.arrived.push_step(t, |list| list.extend_from_slice(&now));
    }

    fn take_values(&mut self, t: usize, units: &[u32], values: &[f64]) {
        let Travel { road, rng, arrived, .. } = self;
        let mut noisy = |x: f64| if road.values > 0.0 { x * (1.0 + road.values * normal(rng)) } else { x };
        let values: Vec<(u32, f64)> = units.iter().zip(values).map(|(&unit, &x)| (unit, noisy(x))).filter(|(_, x)| *x != 0.0).collect();
        arrived.push_values(t, |to, list| {
            to.extend(values.iter().map(|(unit, _)| unit));
            list.extend(values.iter().map(|(_, x)| x));
        });
    }

    /// Those of `units`, ascending, that their links carry. Where a link cannot carry all of a step, those it does are spread over its channels.
    fn through(&mut self, units: &[u32]) -> Vec<u32> {
        let Some(rate) = self.road.rate else { return units.to_vec() };
        self.room.iter_mut().for_each(|room| *room = (*room + rate).min(self.road.buffer.max(rate)));
        let mut through = Vec::with_capacity(units.len());
        for of_link in units.chunk_by(|a, b| *a as usize / self.road.channels == *b as usize / self.road.channels) {
            let room = &mut self.room[of_link[0] as usize / self.road.channels];
            let (count, kept) = (of_link.len(), (room.floor() as usize).min(of_link.len()));
            *room -= kept as f64;
            let first = if kept < count { self.rng.random_range(0..count) } else { 0 };
            // The k-th goes if its share of what is kept passes a whole number.
            let goes = |k: usize| ((k + first) % count + 1) * kept / count > (k + first) % count * kept / count;
            through.extend(of_link.iter().enumerate().filter(|(k, _)| goes(*k)).map(|(_, &unit)| unit));
        }
        through
    }

    fn lateness(&mut self) -> usize {
        if self.road.jitter > 0.0 { (self.road.jitter * normal(&mut self.rng)).abs().round() as usize } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Nothing is lost silently: what set out has arrived, is lost, or is on its way.
        #[test]
        fn arrived_is_sent_but_for_what_is_lost(
            events in prop::collection::vec((0u32..40, 0u32..20), 0..400), rate in 0.0f64..6.0, buffer in 0.0f64..5.0, channels in 1usize..25, jitter in 0.0f64..3.0,
        ) {
            let mut raster = Raster::new(20, 40);
            raster.fill(events);
            let road = Road { rate: Some(rate), buffer, channels, jitter, values: 0.0 };
            let mut travel = Travel::begin(road, 20, 40, Seed::new(3));
            (0..40).for_each(|t| travel.take(t, &raster));
            prop_assert_eq!(travel.sent, raster.len() as u64);
            prop_assert_eq!(travel.arrived.len() as u64 + travel.lost, travel.sent);
            prop_assert!(travel.arrived.len() as f64 <= (40.0 * rate + buffer) * 20usize.div_ceil(channels) as f64 + 1e-9);
            let free = Road { rate: None, jitter: 0.0, ..road };
            let mut travel = Travel::begin(free, 20, 40, Seed::new(3));
            (0..40).for_each(|t| travel.take(t, &raster));
            prop_assert_eq!(&travel.arrived, &raster);
        }
    }
}
