//! Delayed exclusive or: two bits far apart in time, a cue, an answer. It needs memory and a nonlinearity, and no files.

use crate::{
    Split,
    error::{DataError, check, count, positive},
    packed::{Generated, Packed},
};
use rand::RngExt;
use snn_core::Seed;
use std::ops::Range;

const OF: &str = "XorParams";

/// What a trial of the delayed XOR task is like.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `group` | 10 | input channels of each of the three groups: bit 0, bit 1, cue |
/// | `rate` | 200 Hz | rate of a channel while its group is on |
/// | `background` | 2 Hz | rate of every channel at all other times |
/// | `dt` | 1 ms | length of a step |
/// | `pulse` | 30 | steps of each of the two bits and of the cue |
/// | `delay_min`, `delay_max` | 20, 100 | steps from the end of a pulse to the start of the next |
/// | `answer` | 60 | steps after the cue |
/// | `train`, `test` | 2000, 500 | trials of the two parts |
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct XorParams {
    /// Channels per group, at least 1.
    pub group: usize,
    /// Rate (Hz) of the channels that are on, above 0 and at most `1/dt`.
    pub rate: f64,
    /// Rate (Hz) of the channels that are off, from 0 to `1/dt`.
    pub background: f64,
    /// Length of a step in seconds, above 0.
    pub dt: f64,
    /// Steps of a pulse, at least 1.
    pub pulse: usize,
    /// Shortest delay in steps.
    pub delay_min: usize,
    /// Longest delay in steps, at least the shortest.
    pub delay_max: usize,
    /// Steps after the cue, at least 1.
    pub answer: usize,
    /// Number of training trials.
    pub train: usize,
    /// Number of test trials.
    pub test: usize,
}

impl Default for XorParams {
    fn default() -> Self {
        XorParams {
            group: 10,
            rate: 200.0,
            background: 2.0,
            dt: 1e-3,
            pulse: 30,
            delay_min: 20,
            delay_max: 100,
            answer: 60,
            train: 2000,
            test: 500,
        }
    }
}

impl XorParams {
    /// Time steps of a trial, `3 · pulse + 2 · delay_max + answer`.
    pub fn steps(&self) -> usize {
        let sum = |a: Option<usize>, b: Option<usize>| a?.checked_add(b?);
        let steps = sum(self.pulse.checked_mul(3), sum(self.delay_max.checked_mul(2), Some(self.answer)));
        steps.unwrap_or(usize::MAX)
    }

    /// The steps after the cue, in which the answer is due: the same in every trial, the last ones.
    pub fn answer_window(&self) -> Range<usize> {
        self.steps().saturating_sub(self.answer)..self.steps()
    }

    fn check(&self) -> Result<(), DataError> {
        count(OF, "group", self.group)?;
        count(OF, "pulse", self.pulse)?;
        count(OF, "answer", self.answer)?;
        check(self.delay_min <= self.delay_max, OF, "delay_min", self.delay_min, "at most delay_max")?;
        count(OF, "3 · pulse + 2 · delay_max + answer", self.steps())?;
        check(Packed::fits(self.group.saturating_mul(3), self.steps()), OF, "group", self.group, "at most 2³² / (3 · steps)")?;
        positive(OF, "dt", self.dt)?;
        check(self.rate > 0.0 && self.rate * self.dt <= 1.0, OF, "rate", self.rate, "above 0 and at most 1/dt")?;
        let quiet = self.background >= 0.0 && self.background * self.dt <= 1.0;
        check(quiet, OF, "background", self.background, "from 0 to 1/dt")
    }

    /// The bits of trial `i`: their XOR is `i mod 2`, and all four pairs are equally frequent.
    fn bits(i: usize) -> [usize; 2] {
        let first = i / 2 % 2;
        [first, first ^ (i % 2)]
    }

    /// The groups and the steps in which they are on, for delays of `d1` and `d2` steps: counted back from the answer.
    fn pulses(&self, [first, second]: [usize; 2], d1: usize, d2: usize) -> [(usize, Range<usize>); 3] {
        let cue = self.answer_window().start - self.pulse;
        let b = cue - d2 - self.pulse;
        let a = b - d1 - self.pulse;
        [(first, a), (second, b), (2, cue)].map(|(group, start)| (group, start..start + self.pulse))
    }

    /// Two bits, one after the other, then a cue; the class is their exclusive or.
    ///
    /// In a trial, a bit is a pulse of the group of its value (channels `0..group` for 0, `group..2·group` for 1); the cue is a pulse of the
    /// third group. The two delays are uniform from `delay_min` to `delay_max` steps, both included. The cue and the answer stand at the
    /// end, in the same steps of every trial ([`answer_window`](Self::answer_window)); short delays begin the trial later. In each step a
    /// channel fires with probability `rate · dt` while its group is on, `background · dt` otherwise. Trial `i` is of class `i mod 2`, and
    /// every four trials hold each pair of bits once: neither bit alone tells the class.
    ///
    /// Each trial draws from `seed.child(part).nth(i)`, so a longer part begins with the shorter one. Memory: 4 bytes per event.
    ///
    /// Source: the delayed XOR task of Salaj et al. 2021 (eLife 10:e65459) and its program (pulses of 30 ms, mean delay 100 ms, 60 ms to
    /// answer). Departure: there the pulses are smooth analogue values or their three channels, the delay is geometric and the same before
    /// the cue, and a fifth of the trials lacks the second bit; here the channels are spiking, delays are independent and uniform, and both
    /// bits are always there.
    ///
    /// ```
    /// use snn_core::{Dataset, Raster, Seed, Target};
    /// use snn_data::{Split, XorParams};
    /// let task = XorParams { train: 8, ..Default::default() }.generate(Seed::new(1), Split::Train)?;
    /// let mut trial = Raster::default();
    /// task.load(3, &mut trial);
    /// assert_eq!((trial.units(), trial.steps(), task.target(3)), (30, 350, Target::Class(1)));
    /// # Ok::<(), snn_data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn generate(&self, seed: Seed, split: Split) -> Result<Generated, DataError> {
        self.check()?;
        let (on, off) = (self.rate * self.dt, self.background * self.dt);
        let mut trials = Generated::new(format!("xor/{}", split.name()), 2, 3 * self.group, self.steps());
        for i in 0..if split == Split::Train { self.train } else { self.test } {
            let mut rng = seed.child(split.name()).nth(i as u64).rng();
            let mut delay = || rng.random_range(self.delay_min..=self.delay_max);
            let pulses = self.pulses(Self::bits(i), delay(), delay());
            let mut events = Vec::new();
            for step in 0..self.steps() {
                for channel in 0..3 * self.group {
                    let lit = pulses.iter().any(|(group, steps)| channel / self.group == *group && steps.contains(&step));
                    if rng.random::<f64>() < if lit { on } else { off } {
                        events.push((step, channel));
                    }
                }
            }
            trials.push(events.into_iter());
        }
        Ok(trials)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use snn_core::{Dataset, Raster, Target};

    /// Certain spikes while on, none while off.
    fn clear() -> XorParams {
        XorParams { rate: 1000.0, background: 0.0, train: 40, ..Default::default() }
    }

    /// The pulses `(group, start, length)` of a clear trial, in time order.
    fn pulses(raster: &Raster) -> Vec<(u32, usize, usize)> {
        let mut pulses: Vec<(u32, usize, usize)> = Vec::new();
        for (t, unit) in raster.iter().filter(|e| e.1 % 10 == 0) {
            match pulses.last_mut() {
                Some((group, start, length)) if *group == unit / 10 && *start + *length == t => *length += 1,
                _ => pulses.push((unit / 10, t, 1)),
            }
        }
        pulses
    }

    #[test]
    fn the_class_is_the_exclusive_or_of_what_is_shown() {
        let task = XorParams { delay_min: 1, ..clear() }.generate(Seed::new(1), Split::Train).unwrap();
        let mut raster = Raster::default();
        let (mut pairs, mut delays) = ([0; 4], Vec::new());
        for i in 0..40 {
            task.load(i, &mut raster);
            let [(a, _, 30), (b, second, 30), (2, 260, 30)] = pulses(&raster)[..] else { panic!("{:?}", pulses(&raster)) };
            assert_eq!(task.target(i), Target::Class((a ^ b) as usize));
            assert_eq!(raster.len(), 90 * 10);
            pairs[(2 * a + b) as usize] += 1;
            delays.push(260 - second - 30);
        }
        assert_eq!(pairs, [10; 4]);
        assert!(delays.iter().all(|d| (1..=100).contains(d)) && delays.iter().min() < delays.iter().max());
        assert_eq!(XorParams::default().answer_window(), 290..350);
    }

    #[test]
    fn rates_are_the_given_ones() {
        let task = XorParams { train: 200, ..Default::default() }.generate(Seed::new(2), Split::Train).unwrap();
        let mut raster = Raster::default();
        let (mut cue, mut answer) = (0, 0);
        for i in 0..200 {
            task.load(i, &mut raster);
            cue += (260..290).flat_map(|t| raster.at(t)).filter(|&&u| u >= 20).count();
            answer += (290..350).map(|t| raster.at(t).len()).sum::<usize>();
        }
        // 200 · 30 · 10 = 60 000 draws of 0.2: 12 000 ± 98; 200 · 60 · 30 = 360 000 draws of 0.002: 720 ± 27. Bounds are four deviations.
        assert!((cue as f64 - 12_000.0).abs() < 392.0, "{cue}");
        assert!((answer as f64 - 720.0).abs() < 107.0, "{answer}");
    }

    #[test]
    fn trials_depend_on_seed_part_and_index_alone() {
        let at = |seed, split, train| {
            let mut raster = Raster::default();
            XorParams { train, test: 9, ..Default::default() }.generate(Seed::new(seed), split).unwrap().load(5, &mut raster);
            raster
        };
        assert_eq!(at(1, Split::Train, 9), at(1, Split::Train, 6));
        assert_ne!(at(1, Split::Train, 9), at(2, Split::Train, 9));
        assert_ne!(at(1, Split::Train, 9), at(1, Split::Test, 9));
    }

    #[test]
    fn parameters_are_checked() {
        let bad = |params: XorParams| params.generate(Seed::new(0), Split::Test).err().unwrap().to_string();
        assert!(bad(XorParams { delay_min: 101, ..clear() }).contains("delay_min = 101"));
        assert!(bad(XorParams { rate: 1001.0, ..clear() }).contains("rate = 1001"));
        assert!(bad(XorParams { background: f64::NAN, ..clear() }).contains("background = NaN"));
        assert!(bad(XorParams { group: 1 << 40, ..clear() }).contains("group = "));
        assert!(bad(XorParams { delay_max: usize::MAX, ..clear() }).contains("2 · delay_max"));
        assert!(bad(XorParams { group: 0, ..clear() }).contains("group = 0"));
    }

    proptest! {
        #[test]
        fn pulses_lie_in_the_trial_apart_and_in_order(pulse in 1usize..9, min in 0usize..9, more in 0usize..9, answer in 1usize..9, d in (0f64..=1.0, 0f64..=1.0)) {
            let params = XorParams { pulse, delay_min: min, delay_max: min + more, answer, ..Default::default() };
            let delay = |d: f64| min + (d * more as f64).round() as usize;
            let [(_, a), (_, b), (_, cue)] = params.pulses([0, 1], delay(d.0), delay(d.1));
            prop_assert_eq!((b.start - a.end, cue.start - b.end), (delay(d.0), delay(d.1)));
            prop_assert_eq!((cue.end, cue.len()), (params.answer_window().start, pulse));
        }
    }
}
