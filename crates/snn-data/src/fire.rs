//! Random spikes of given rates: what generated tasks and environments show.

use crate::error::{DataError, check, positive};
use rand::{Rng, RngExt};
use snn_core::Raster;
use std::ops::Range;

/// Spikes that are being drawn: `(step, unit)`, in any order.
pub(crate) type Events = Vec<(u32, u32)>;

/// Each of `units` fires in each of `steps` with probability `p`, independently.
///
/// The pairs of step and unit that stay silent before the next spike have a geometric distribution, `⌊ln(1 − U)/ln(1 − p)⌋`: one random number per
/// spike, whatever the number of silent steps.
pub(crate) fn fire(rng: &mut impl Rng, p: f64, steps: Range<usize>, units: Range<usize>, into: &mut Events) {
    let (width, cells) = (units.len(), steps.len() * units.len());
    if p <= 0.0 {
        return;
    }
    let scale = 1.0 / (-p.min(1.0)).ln_1p(); // −0 for p = 1: every gap is then zero
    let mut cell = 0usize;
    loop {
        let gap = (-rng.random::<f64>()).ln_1p() * scale;
        cell = cell.saturating_add(gap as usize); // a gap beyond the integers saturates
        if cell >= cells {
            return;
        }
        into.push(((steps.start + cell / width) as u32, (units.start + cell % width) as u32));
        cell += 1;
    }
}

/// Appends the steps `from..from + steps` of events to a raster whose steps before `from` have been written.
pub(crate) fn append(mut events: Events, from: usize, steps: usize, into: &mut Raster) {
    events.sort_unstable();
    let mut rest = &events[..];
    for step in from..from + steps {
        let (now, later) = rest.split_at(rest.iter().take_while(|e| e.0 as usize == step).count());
        into.push_step(step, |units| units.extend(now.iter().map(|e| e.1)));
        rest = later;
    }
}

/// A number as the activity of cells with Gaussian tuning.
///
/// `n` cells have their centres evenly from `low` to `high`, both included. Cell `i` fires at the rate `peak · exp(−(x − c_i)²/(2·width²))`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Population {
    pub(crate) centres: Vec<f64>,
    pub(crate) width: f64,
    /// Probability of a spike per step at the centre.
    pub(crate) peak: f64,
}

impl Population {
    /// `n` cells (at least 2) over `low..high`; `width` in the same unit.
    pub(crate) fn new(n: usize, low: f64, high: f64, width: f64, peak: f64) -> Self {
        Population { centres: (0..n).map(|i| low + (high - low) * i as f64 / (n - 1) as f64).collect(), width, peak }
    }

    /// Probability of a spike per step of a cell whose centre is `distance²` away.
    pub(crate) fn probability(&self, distance2: f64) -> f64 {
        self.peak * (-distance2 / (2.0 * self.width * self.width)).exp()
    }

    /// The spikes of `steps`, in the units from `first` on.
    pub(crate) fn fire(&self, rng: &mut impl Rng, x: f64, steps: Range<usize>, first: usize, into: &mut Events) {
        for (i, c) in self.centres.iter().enumerate() {
            fire(rng, self.probability((x - c) * (x - c)), steps.clone(), first + i..first + i + 1, into);
        }
    }
}

/// `Ok` if a rate (Hz) is above zero and gives at most one spike per step of `dt` seconds, which is above zero.
pub(crate) fn rate(of: &'static str, name: &'static str, rate: f64, dt: f64) -> Result<(), DataError> {
    positive(of, "dt", dt)?;
    check(rate > 0.0 && rate * dt <= 1.0, of, name, rate, "above 0 and at most 1/dt")
}

/// `Ok` if a rate (Hz) lies from zero to one spike per step.
pub(crate) fn background(of: &'static str, name: &'static str, rate: f64, dt: f64) -> Result<(), DataError> {
    check(rate >= 0.0 && rate * dt <= 1.0, of, name, rate, "from 0 to 1/dt")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use snn_core::Seed;

    #[test]
    fn counts_are_binomial_and_gaps_independent_of_the_unit() {
        // 400 × 50 cells with p = 0.05, 100 times: 2 000 000 draws, 100 000 ± 308; each unit 2000 ± 43.6.
        let mut events = Events::new();
        let mut totals = Vec::new();
        for k in 0..100 {
            let before = events.len();
            fire(&mut Seed::new(3).nth(k).rng(), 0.05, 10..410, 7..57, &mut events);
            totals.push((events.len() - before) as f64);
        }
        assert!((events.len() as f64 - 100_000.0).abs() < 4.0 * 308.0, "{}", events.len());
        for unit in 7..57 {
            let n = events.iter().filter(|e| e.1 == unit).count() as f64;
            assert!((n - 2000.0).abs() < 5.0 * 43.6, "unit {unit}: {n}");
        }
        // The variance of a trial's count is 20 000·0.05·0.95 = 950, known to √(2/99) = 14 %.
        let variance = totals.iter().map(|n| (n - 1000.0) * (n - 1000.0)).sum::<f64>() / 100.0;
        assert!((variance / 950.0 - 1.0).abs() < 0.57, "{variance}");
    }

    #[test]
    fn the_ends_of_probability() {
        let mut events = Events::new();
        fire(&mut Seed::new(1).rng(), 0.0, 0..10, 0..10, &mut events);
        fire(&mut Seed::new(1).rng(), f64::MIN_POSITIVE, 0..10, 0..10, &mut events);
        fire(&mut Seed::new(1).rng(), 0.5, 0..0, 0..10, &mut events);
        fire(&mut Seed::new(1).rng(), 0.5, 0..10, 3..3, &mut events);
        assert_eq!(events, []);
        fire(&mut Seed::new(1).rng(), 1.0, 4..6, 2..5, &mut events);
        assert_eq!(events, [(4, 2), (4, 3), (4, 4), (5, 2), (5, 3), (5, 4)]);
    }

    #[test]
    fn a_population_fires_as_its_tuning_says() {
        // 5 cells at 0, 0.25, …, 1 of width 0.25 and peak 0.4; x = 0.5: exp(−2), exp(−½), 1, exp(−½), exp(−2).
        let code = Population::new(5, 0.0, 1.0, 0.25, 0.4);
        let mut events = Events::new();
        code.fire(&mut Seed::new(2).rng(), 0.5, 0..20_000, 30, &mut events);
        for (unit, expected) in (30..).zip([0.4 * (-2f64).exp(), 0.4 * (-0.5f64).exp(), 0.4, 0.4 * (-0.5f64).exp(), 0.4 * (-2f64).exp()]) {
            let rate = events.iter().filter(|e| e.1 == unit).count() as f64 / 20_000.0;
            let error = (expected * (1.0 - expected) / 20_000.0).sqrt();
            assert!((rate - expected).abs() < 4.0 * error, "unit {unit}: {rate}, not {expected}");
        }
    }

    proptest! {
        #[test]
        fn events_lie_inside_and_come_once(p in 0f64..=1.0, a in 0usize..20, n in 0usize..20, u in 0usize..9, m in 0usize..9, seed: u64) {
            let mut events = Events::new();
            fire(&mut Seed::new(seed).rng(), p, a..a + n, u..u + m, &mut events);
            prop_assert!(events.is_sorted_by(|x, y| x < y));
            prop_assert!(events.iter().all(|&(t, k)| (a..a + n).contains(&(t as usize)) && (u..u + m).contains(&(k as usize))));
            // Appended in two pieces or filled at once: the same raster.
            let (mut filled, mut appended) = (Raster::new(u + m, a + n), Raster::new(u + m, a + n));
            filled.fill(events.iter().copied());
            append(events.iter().copied().filter(|e| (e.0 as usize) < a + n / 2).collect(), 0, a + n / 2, &mut appended);
            append(events.iter().copied().filter(|e| (e.0 as usize) >= a + n / 2).rev().collect(), a + n / 2, n - n / 2, &mut appended);
            prop_assert_eq!(filled, appended);
        }
    }
}
