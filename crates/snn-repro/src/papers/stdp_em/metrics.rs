//! What neurons stand for: which bar each belongs to, how well groups of them report it, how many spikes so many bars bring.

use serde::{Deserialize, Serialize};
use snn_core::Raster;
use snn_data::Shown;

/// Steps for which a bar still counts as there after its end: the time constant of a neuron's reaction, 10 ms of 1 ms each `[code]`.
pub const AFTER: usize = 10;
/// A neuron belongs to a bar if this share of its spikes, at least, falls into the time of the bar `[code]`.
const OWN: f64 = 0.8;
/// And less than this share into the time of any other `[code]`.
const OTHER: f64 = 0.7;

/// A test: the bars that were shown, and what was made of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Test {
    /// Number of different bars.
    pub bars: usize,
    /// Neurons.
    pub neurons: usize,
    /// Steps.
    pub steps: usize,
    /// What was shown, by its beginning.
    pub shown: Vec<Shown>,
    /// Who fired when, by step.
    pub spikes: Vec<(u32, u32)>,
}

impl Test {
    /// The test of a raster.
    pub fn new(bars: usize, shown: &[Shown], spikes: &Raster) -> Self {
        let (neurons, steps) = (spikes.units(), spikes.steps());
        Test { bars, neurons, steps, shown: shown.to_vec(), spikes: spikes.iter().map(|(t, k)| (t as u32, k)).collect() }
    }

    /// The bar of each neuron, if it belongs to one: most of its spikes fall into the time of that bar, and of no other.
    pub fn owners(&self) -> Vec<Option<usize>> {
        let (mut within, mut all) = (vec![0.0; self.neurons * self.bars], vec![0.0; self.neurons]);
        let mut next = 0;
        let mut on: Vec<Shown> = Vec::new();
        for &(t, k) in &self.spikes {
            let (t, k) = (t as usize, k as usize);
            while self.shown.get(next).is_some_and(|shown| shown.start <= t) {
                on.push(self.shown[next]);
                next += 1;
            }
            on.retain(|shown| t < shown.end + AFTER);
            all[k] += 1.0;
            let mut bars: Vec<usize> = on.iter().map(|shown| shown.bar).collect();
            bars.sort_unstable();
            bars.dedup(); // it may have come back within 10 ms
            bars.into_iter().for_each(|bar| within[k * self.bars + bar] += 1.0);
        }
        let owner = |(counts, all): (&[f64], &f64)| {
            let mut order: Vec<usize> = (0..self.bars).collect();
            order.sort_by(|&a, &b| counts[b].total_cmp(&counts[a]));
            let share = |n: usize| order.get(n).map_or(0.0, |&bar| counts[bar] / all);
            (share(0) > OWN && share(1) < OTHER).then(|| order[0])
        };
        within.chunks(self.bars).zip(&all).map(owner).collect()
    }

    /// How well the neurons of `bar` report it together.
    ///
    /// A presentation is found if one of them fires before 10 ms after its end. Between presentations the time is cut into bins as long as
    /// one; those with a spike are false alarms.
    pub fn score(&self, bar: usize, owners: &[Option<usize>]) -> Score {
        let fired: Vec<usize> = self.spikes.iter().filter(|(_, k)| owners[*k as usize] == Some(bar)).map(|(t, _)| *t as usize).collect();
        let any = |from: usize, to: usize| fired[fired.partition_point(|&t| t < from)..].first().is_some_and(|&t| t < to);
        let (mut score, mut free) = (Score::default(), 0);
        for shown in self.shown.iter().filter(|shown| shown.bar == bar) {
            let length = shown.end + AFTER - shown.start;
            let bins = shown.start.saturating_sub(free) / length;
            score.false_alarms += (0..bins).filter(|n| any(free + n * length, free + (n + 1) * length)).count();
            let found = any(shown.start, shown.end + AFTER);
            score.found += usize::from(found);
            score.missed += usize::from(!found);
            free = shown.end + AFTER;
        }
        score
    }

    /// Spikes per step while so many bars are on, for 0, 1, … `most`; and for how many steps they were.
    pub fn by_number(&self, most: usize) -> Vec<(f64, usize)> {
        let mut on = vec![0usize; self.steps];
        self.shown.iter().for_each(|shown| on[shown.start..shown.end.min(self.steps)].iter_mut().for_each(|n| *n += 1));
        let mut found = vec![(0.0, 0); most + 1];
        on.iter().for_each(|&n| found[n.min(most)].1 += 1);
        self.spikes.iter().for_each(|&(t, _)| found[on[t as usize].min(most)].0 += 1.0);
        found.into_iter().map(|(spikes, steps)| (spikes / steps.max(1) as f64, steps)).collect()
    }
}

/// Presentations of a bar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// With a spike.
    pub found: usize,
    /// Without.
    pub missed: usize,
    /// Bins between presentations with one.
    pub false_alarms: usize,
}

impl Score {
    /// Share of the alarms that were right; 0 without any.
    pub fn precision(&self) -> f64 {
        self.found as f64 / (self.found + self.false_alarms).max(1) as f64
    }
    /// Share of the presentations that were found.
    pub fn recall(&self) -> f64 {
        self.found as f64 / (self.found + self.missed).max(1) as f64
    }
    /// Harmonic mean of both: 1 for a bar without a miss and a false alarm.
    pub fn f1(&self) -> f64 {
        2.0 * self.found as f64 / (2 * self.found + self.missed + self.false_alarms).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bar: usize, start: usize) -> Shown {
        Shown { bar, start, end: start + 50 }
    }

    #[test]
    fn a_small_test_by_hand() {
        // Bar 0 at 0, 200 and 400, bar 1 at 30. Neuron 0 fires in bar 0, once just after it and once where nothing is; neuron 1 in bar 1 only;
        // neuron 2 while both are on: it belongs to neither; neuron 3 is silent.
        let shown = vec![shown(0, 0), shown(1, 30), shown(0, 200), shown(0, 400)];
        let spikes = vec![(5, 0), (35, 2), (40, 2), (59, 0), (70, 1), (150, 0), (205, 0), (240, 0), (241, 0), (242, 0), (249, 0)];
        let test = Test { bars: 2, neurons: 4, steps: 500, shown, spikes };
        let owners = test.owners();
        assert_eq!(owners, [Some(0), Some(1), None, None]);
        // Between 60 and 200 are two bins of 60, the second of which holds the spike at 150; the presentation at 400 is missed.
        assert_eq!(test.score(0, &owners), Score { found: 2, missed: 1, false_alarms: 1 });
        let perfect = test.score(1, &owners);
        assert_eq!((perfect, perfect.f1()), (Score { found: 1, missed: 0, false_alarms: 0 }, 1.0), "a perfect bar is no failure");
        assert_eq!((Score::default().f1(), Score::default().precision()), (0.0, 0.0));
        let rates = test.by_number(2);
        assert_eq!(rates.iter().map(|(_, steps)| *steps).collect::<Vec<_>>(), [500 - 30 - 20 - 30 - 100, 160, 20]);
        assert!((rates[2].0 - 2.0 / 20.0).abs() < 1e-12);
    }
}
