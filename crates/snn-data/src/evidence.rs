//! Evidence accumulation: cues to the left and to the right, and much later the question which were more.

use crate::{
    drawn::{Answer, Drawn, Task, steps},
    error::{DataError, check, count},
    fire::{background, fire, rate},
};
use rand::RngExt;
use snn_core::Seed;
use std::ops::Range;

const OF: &str = "EvidenceParams";

/// What a trial of evidence accumulation is like. The default is the task of the e-prop paper: 2.25 s.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `group` | 10 | input channels of each of the four groups: left, right, recall, noise |
/// | `cues` | 7 | cues of a trial |
/// | `gap`, `cue` | 50, 100 | steps of silence before a cue, and of the cue |
/// | `delay` | 1050 | steps from the last cue to the recall |
/// | `recall` | 150 | steps of the recall, at the end |
/// | `probability` | 0.7 | of a cue on the trial's favoured side |
/// | `rate` | 40 Hz | rate of a group that is on |
/// | `noise` | 10 Hz | rate of the noise group, always |
/// | `dt` | 1 ms | length of a step |
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct EvidenceParams {
    /// Channels per group, at least 1.
    pub group: usize,
    /// Number of cues, odd.
    pub cues: usize,
    /// Steps before each cue.
    pub gap: usize,
    /// Steps of a cue, at least 1.
    pub cue: usize,
    /// Steps between the last cue and the recall.
    pub delay: usize,
    /// Steps of the recall, at least 1.
    pub recall: usize,
    /// Probability of a cue on the favoured side, from 0.5 to 1.
    pub probability: f64,
    /// Rate (Hz) of a group that is on, above 0 and at most `1/dt`.
    pub rate: f64,
    /// Rate (Hz) of the noise group, from 0 to `1/dt`.
    pub noise: f64,
    /// Length of a step in seconds, above 0.
    pub dt: f64,
}

impl Default for EvidenceParams {
    fn default() -> Self {
        EvidenceParams {
            group: 10,
            cues: 7,
            gap: 50,
            cue: 100,
            delay: 1050,
            recall: 150,
            probability: 0.7,
            rate: 40.0,
            noise: 10.0,
            dt: 1e-3,
        }
    }
}

impl EvidenceParams {
    /// The steps of the recall, in which the answer is due: the last ones.
    pub fn answer_window(&self) -> Range<usize> {
        self.steps() - self.recall..self.steps()
    }

    /// The steps of cue `k`.
    fn at(&self, k: usize) -> Range<usize> {
        let start = k * (self.gap + self.cue) + self.gap;
        start..start + self.cue
    }

    /// On which side each cue of a trial is: 0 left, 1 right.
    ///
    /// One side is favoured, by a fair coin; each cue is there with `probability`.
    pub fn sides(&self, seed: Seed) -> Vec<usize> {
        let mut rng = seed.child("sides").rng();
        let favoured = usize::from(rng.random::<bool>());
        (0..self.cues).map(|_| if rng.random::<f64>() < self.probability { favoured } else { 1 - favoured }).collect()
    }

    /// The trials `range` of a task without end: a series of cues, a delay, and in the recall the class of the side that had more of them.
    ///
    /// Channels `0..group` are the left group, then right, recall and noise. In each step a channel fires with probability `rate · dt` while its
    /// group is on, the noise group with `noise · dt` always; nothing else fires. The class is the majority of the cues shown, not the side that
    /// chance favoured: counting is all it takes. Trial `n` draws from `seed.nth(n)`.
    ///
    /// Source: Bellec et al. 2020 (Nature Communications 11:3625) and its program.
    ///
    /// ```
    /// use snn_core::{Dataset, Seed};
    /// use snn_data::EvidenceParams;
    /// let train = EvidenceParams::default().trials(Seed::new(1), 0..64)?;
    /// let test = EvidenceParams::default().trials(Seed::new(1), 1_000_000..1_000_100)?;
    /// assert_eq!((train.len(), test.len(), train.inputs(), train.steps()), (64, 100, 40, 2250));
    /// assert_eq!(train.task().answer_window(), 2100..2250);
    /// # Ok::<(), snn_data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn trials(&self, seed: Seed, range: Range<u64>) -> Result<Drawn<Self>, DataError> {
        check((1..1 << 30).contains(&self.group), OF, "group", self.group, "from 1 to 2³⁰ − 1")?;
        count(OF, "cue", self.cue)?;
        count(OF, "recall", self.recall)?;
        check(self.cues % 2 == 1, OF, "cues", self.cues, "odd, so that there is a majority")?;
        let parts = [(self.cues, self.gap), (self.cues, self.cue), (1, self.delay), (1, self.recall)];
        steps(OF, "cues · (gap + cue) + delay + recall", parts)?;
        check((0.5..=1.0).contains(&self.probability), OF, "probability", self.probability, "from 0.5 to 1")?;
        rate(OF, "rate", self.rate, self.dt)?;
        background(OF, "noise", self.noise, self.dt)?;
        Ok(Drawn::new(self.clone(), seed, range))
    }
}

impl Task for EvidenceParams {
    fn name(&self) -> &'static str {
        "evidence"
    }
    fn inputs(&self) -> usize {
        4 * self.group
    }
    fn steps(&self) -> usize {
        self.cues * (self.gap + self.cue) + self.delay + self.recall
    }
    fn classes(&self) -> usize {
        2
    }
    fn answer(&self, seed: Seed) -> Answer {
        Answer::Class(usize::from(2 * self.sides(seed).iter().sum::<usize>() > self.cues))
    }
    fn draw(&self, seed: Seed, into: &mut Vec<(u32, u32)>) {
        let mut rng = seed.child("spikes").rng();
        let channels = |group: usize| group * self.group..(group + 1) * self.group;
        let (on, noise) = (self.rate * self.dt, self.noise * self.dt);
        for (k, side) in self.sides(seed).into_iter().enumerate() {
            fire(&mut rng, on, self.at(k), channels(side), into);
        }
        fire(&mut rng, on, self.answer_window(), channels(2), into);
        fire(&mut rng, noise, 0..self.steps(), channels(3), into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use snn_core::{Dataset, Raster, Target};

    /// Certain spikes while on, no noise.
    fn clear() -> EvidenceParams {
        EvidenceParams { rate: 1000.0, noise: 0.0, ..Default::default() }
    }

    #[test]
    fn cues_stand_where_they_should_and_the_class_is_their_majority() {
        let task = clear().trials(Seed::new(1), 0..60).unwrap();
        let mut raster = Raster::default();
        let mut classes = [0; 2];
        for i in 0..60 {
            task.load(i, &mut raster);
            let mut right = 0;
            for k in 0..7 {
                let steps = 150 * k..150 * k + 150;
                let group = raster.at(steps.start + 50)[0] / 10;
                right += group;
                for t in steps.clone() {
                    let expected = if t < steps.start + 50 { vec![] } else { (10 * group..10 * group + 10).collect() };
                    assert_eq!(raster.at(t), expected, "trial {i}, step {t}");
                }
            }
            assert!((1050..2100).all(|t| raster.at(t).is_empty()));
            assert!((2100..2250).all(|t| raster.at(t) == (20..30).collect::<Vec<u32>>()));
            let class = usize::from(right > 3);
            assert_eq!(task.target(i), Target::Class(class));
            classes[class] += 1;
        }
        assert!(classes[0] > 12 && classes[1] > 12, "{classes:?}"); // 30 ± 3.9
    }

    #[test]
    fn sides_and_rates_have_their_statistics() {
        let params = EvidenceParams::default();
        let n = 20_000;
        let (mut with_majority, mut right, mut counts) = (0, 0, [0; 8]);
        for i in 0..n {
            let sum: usize = params.sides(Seed::new(4).nth(i)).iter().sum();
            counts[sum] += 1;
            right += usize::from(sum > 3);
            with_majority += sum.max(7 - sum);
        }
        assert!((right as f64 / n as f64 - 0.5).abs() < 4.0 * 0.5 / (n as f64).sqrt(), "{right}");
        // Cues with the majority: E max(S, 7 − S), S binomial(7, 0.7): sum over k of C(7, k)·0.7^k·0.3^(7−k)·max(k, 7 − k).
        let choose = [1.0, 7.0, 21.0, 35.0, 35.0, 21.0, 7.0, 1.0];
        let p = |k: usize| choose[k] * 0.7f64.powi(k as i32) * 0.3f64.powi(7 - k as i32);
        let mean = (0..8).map(|k| p(k) * k.max(7 - k) as f64).sum::<f64>();
        assert!((with_majority as f64 / n as f64 - mean).abs() < 0.04, "{}, not {mean}", with_majority as f64 / n as f64);
        for k in 0..8 {
            let expected = (p(k) + p(7 - k)) / 2.0;
            let error = (expected * (1.0 - expected) / n as f64).sqrt();
            assert!((counts[k] as f64 / n as f64 - expected).abs() < 4.5 * error, "{k}: {}", counts[k]);
        }

        let task = params.trials(Seed::new(2), 0..50).unwrap();
        let mut raster = Raster::default();
        let mut spikes = [0; 4];
        for i in 0..50 {
            task.load(i, &mut raster);
            raster.iter().for_each(|(_, u)| spikes[u as usize / 10] += 1);
        }
        // Cues: 50·700·10 draws of 0.04: 14 000 ± 116. Recall: 50·150·10: 3000 ± 54. Noise: 50·2250·10 draws of 0.01: 11 250 ± 106.
        assert!(((spikes[0] + spikes[1]) as f64 - 14_000.0).abs() < 464.0, "{spikes:?}");
        assert!((spikes[2] as f64 - 3000.0).abs() < 216.0 && (spikes[3] as f64 - 11_250.0).abs() < 424.0, "{spikes:?}");
    }

    #[test]
    fn a_trial_is_its_number() {
        let at = |seed, range: Range<u64>, i| {
            let task = EvidenceParams { cues: 3, delay: 0, ..Default::default() }.trials(Seed::new(seed), range).unwrap();
            let mut raster = Raster::default();
            task.load(i, &mut raster);
            let Target::Class(class) = task.target(i) else { panic!() };
            (raster, class)
        };
        assert_eq!(at(1, 0..9, 5), at(1, 3..7, 2));
        assert_eq!(at(1, 0..9, 5), at(1, 5..6, 0));
        assert_ne!(at(1, 0..9, 5).0, at(1, 0..9, 6).0);
        assert_ne!(at(1, 0..9, 5).0, at(2, 0..9, 5).0);
    }

    #[test]
    fn parameters_are_checked() {
        let bad = |params: EvidenceParams| params.trials(Seed::new(0), 0..1).err().unwrap().to_string();
        assert!(bad(EvidenceParams { cues: 4, ..clear() }).contains("cues = 4"));
        assert!(bad(EvidenceParams { cue: 0, ..clear() }).contains("cue = 0"));
        assert!(bad(EvidenceParams { delay: usize::MAX, ..clear() }).contains("delay"));
        assert!(bad(EvidenceParams { group: usize::MAX, ..clear() }).contains("group"));
        assert!(bad(EvidenceParams { probability: 0.3, ..clear() }).contains("probability = 0.3"));
        assert!(bad(EvidenceParams { rate: 1001.0, ..clear() }).contains("rate = 1001"));
        assert!(bad(EvidenceParams { noise: -1.0, ..clear() }).contains("noise = -1"));
        assert!(bad(EvidenceParams { dt: f64::NAN, ..clear() }).contains("dt = NaN"));
    }
}
