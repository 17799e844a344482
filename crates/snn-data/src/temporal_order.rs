//! Temporal order: three motifs in a row, and the question which they were and in which order.

use crate::{
    drawn::{Answer, Drawn, Task, steps},
    error::{DataError, check, count},
};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};
use snn_core::Seed;
use std::ops::Range;

const OF: &str = "TemporalOrderParams";
/// Motifs of a trial.
const PLACES: usize = 3;

/// What a trial of the temporal-order task is like.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `channels` | 32 | input channels |
/// | `motifs` | 5 | motifs there are |
/// | `classes` | 8 | ordered triples of motifs that occur |
/// | `length` | 20 | steps of a motif |
/// | `density` | 0.5 | chance of a channel to take part in a motif, with one spike |
/// | `gap` | 20..41 | silent steps between two motifs, and at most so many before the first |
/// | `jitter` | 3 | standard deviation of the time of every spike, in steps |
/// | `steps` | 200 | steps of a trial |
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct TemporalOrderParams {
    /// Input channels, at least 1.
    pub channels: usize,
    /// Motifs, from 1 to 32.
    pub motifs: usize,
    /// Classes, from 2 to `motifs³`.
    pub classes: usize,
    /// Steps of a motif, at least 1.
    pub length: usize,
    /// Chance of a channel to take part in a motif, above 0 and at most 1.
    pub density: f64,
    /// Steps between motifs: a range that is not empty.
    pub gap: Range<usize>,
    /// Standard deviation of spike times in steps, from 0 to `steps`.
    pub jitter: f64,
    /// Steps of a trial, enough for three motifs, two gaps, and one before them.
    pub steps: usize,
}

impl Default for TemporalOrderParams {
    fn default() -> Self {
        TemporalOrderParams { channels: 32, motifs: 5, classes: 8, length: 20, density: 0.5, gap: 20..41, jitter: 3.0, steps: 200 }
    }
}

/// The temporal-order task with its motifs and classes drawn.
#[derive(Clone, Debug)]
pub struct TemporalOrder {
    params: TemporalOrderParams,
    /// Spikes `(step, channel)` of each motif.
    motifs: Vec<Vec<(u32, u32)>>,
    /// The motifs of each class, in order.
    triples: Vec<[usize; PLACES]>,
}

impl TemporalOrderParams {
    /// The trials `range` of a task without end. `seed` draws the motifs and the triples that are the classes; trial `n` then draws from `seed.nth(n)`.
    ///
    /// A motif is a list of channels with a spike time each. A trial shows the three motifs of its class one after the other, with silent gaps of random length between them; every
    /// spike is moved by a normal number of steps, and lost if that takes it out of the trial. The class is a triple: no single place tells it unless the draw of triples happens to.
    ///
    /// Departure: the papers on self-recurrent networks used spoken letters and digits, which are licensed; this task is ours.
    ///
    /// ```
    /// use snn_core::{Dataset, Seed};
    /// use snn_data::TemporalOrderParams;
    /// let train = TemporalOrderParams::default().trials(Seed::new(1), 0..1500)?;
    /// let test = TemporalOrderParams::default().trials(Seed::new(1), 1500..2000)?;
    /// assert_eq!((train.len(), test.len(), train.inputs(), train.steps(), train.classes()), (1500, 500, 32, 200, 8));
    /// assert_eq!(train.task().triples(), test.task().triples());
    /// # Ok::<(), snn_data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn trials(&self, seed: Seed, range: Range<u64>) -> Result<Drawn<TemporalOrder>, DataError> {
        count(OF, "channels", self.channels)?;
        count(OF, "length", self.length)?;
        check((1..=32).contains(&self.motifs), OF, "motifs", self.motifs, "from 1 to 32")?;
        check((2..=self.motifs.pow(PLACES as u32)).contains(&self.classes), OF, "classes", self.classes, "from 2 to motifs³")?;
        check(self.density > 0.0 && self.density <= 1.0, OF, "density", self.density, "above 0 and at most 1")?;
        check(!self.gap.is_empty(), OF, "gap", format!("{:?}", self.gap), "a range that is not empty")?;
        check(self.jitter >= 0.0 && self.jitter <= self.steps as f64, OF, "jitter", self.jitter, "from 0 to steps")?;
        let needed = steps(OF, "3 · (gap + length)", [(PLACES, self.gap.end - 1), (PLACES, self.length)])?;
        check(self.steps >= needed && self.steps <= 1 << 30, OF, "steps", self.steps, "at least 3 · (longest gap + length), at most 2³⁰")?;
        let mut rng = seed.child("motifs").rng();
        let mut motif = || {
            let all = (0..self.channels as u32).map(|channel| (rng.random::<f64>(), rng.random_range(0..self.length as u32), channel));
            all.filter(|(chance, ..)| *chance < self.density).map(|(_, step, channel)| (step, channel)).collect()
        };
        let motifs = (0..self.motifs).map(|_| motif()).collect();
        let n = self.motifs;
        let mut triples: Vec<[usize; PLACES]> = (0..n.pow(3)).map(|k| [k / (n * n), k / n % n, k % n]).collect();
        triples.shuffle(&mut seed.child("triples").rng());
        triples.truncate(self.classes);
        Ok(Drawn::new(TemporalOrder { params: self.clone(), motifs, triples }, seed, range))
    }
}

impl TemporalOrder {
    /// The motifs of each class, in the order in which they are shown.
    pub fn triples(&self) -> &[[usize; PLACES]] {
        &self.triples
    }

    fn class(&self, seed: Seed) -> usize {
        seed.child("class").rng().random_range(0..self.triples.len())
    }
}

impl Task for TemporalOrder {
    fn name(&self) -> &'static str {
        "temporal-order"
    }
    fn inputs(&self) -> usize {
        self.params.channels
    }
    fn steps(&self) -> usize {
        self.params.steps
    }
    fn classes(&self) -> usize {
        self.triples.len()
    }
    fn answer(&self, seed: Seed) -> Answer {
        Answer::Class(self.class(seed))
    }
    fn draw(&self, seed: Seed, into: &mut Vec<(u32, u32)>) {
        let TemporalOrderParams { gap, length, jitter, steps, .. } = &self.params;
        let mut rng = seed.child("spikes").rng();
        let mut start = rng.random_range(0..gap.end);
        for motif in self.triples[self.class(seed)] {
            for &(step, channel) in &self.motifs[motif] {
                let off: f64 = StandardNormal.sample(&mut rng);
                let at = (start as f64 + f64::from(step) + jitter * off).round();
                if (0.0..*steps as f64).contains(&at) {
                    into.push((at as u32, channel));
                }
            }
            start += length + rng.random_range(gap.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use snn_core::{Dataset, Raster, Target};

    #[test]
    fn without_jitter_a_trial_is_its_motifs_and_gaps() {
        let params = TemporalOrderParams { jitter: 0.0, density: 1.0, ..Default::default() };
        let task = params.trials(Seed::new(3), 0..40).unwrap();
        let mut raster = Raster::default();
        let mut seen = [0; 8];
        for i in 0..40 {
            task.load(i, &mut raster);
            let Target::Class(class) = task.target(i) else { panic!("no class") };
            seen[class] += 1;
            assert_eq!(raster.len(), 3 * 32);
            // Times of channel 0: that of its spike in each motif, and the gaps.
            let times: Vec<usize> = raster.iter().filter(|e| e.1 == 0).map(|e| e.0).collect();
            let of = |place: usize| task.task().motifs[task.task().triples()[class][place]][0].0 as usize;
            for place in 1..3 {
                let gap = (times[place] + of(place - 1)) as isize - (times[place - 1] + of(place)) as isize - 20;
                assert!((20..41).contains(&gap), "{gap}");
            }
        }
        assert!(seen.iter().filter(|&&n| n > 0).count() >= 7, "{seen:?}");
        let mut triples = task.task().triples().to_vec();
        triples.sort_unstable();
        triples.dedup();
        assert_eq!(triples.len(), 8);
    }

    #[test]
    fn parameters_are_checked() {
        let wrong = |params: TemporalOrderParams| params.trials(Seed::new(0), 0..1).unwrap_err().to_string();
        let default = TemporalOrderParams::default;
        assert!(wrong(TemporalOrderParams { steps: 179, ..default() }).contains("steps = 179"));
        assert!(wrong(TemporalOrderParams { classes: 126, ..default() }).contains("classes = 126"));
        assert!(wrong(TemporalOrderParams { gap: 5..5, ..default() }).contains("gap = 5..5"));
        assert!(wrong(TemporalOrderParams { density: 0.0, ..default() }).contains("density = 0"));
        assert!(wrong(TemporalOrderParams { jitter: f64::NAN, ..default() }).contains("jitter = NaN"));
        assert!(wrong(TemporalOrderParams { length: usize::MAX / 2, ..default() }).contains("length"));
    }

    proptest! {
        #[test]
        fn trials_are_functions_of_their_number(seed: u64, jitter in 0f64..30.0, motifs in 2usize..7) {
            let params = TemporalOrderParams { jitter, motifs, classes: 4, ..Default::default() };
            let (whole, part) = (params.trials(Seed::new(seed), 0..6).unwrap(), params.trials(Seed::new(seed), 4..6).unwrap());
            let (mut a, mut b) = (Raster::default(), Raster::default());
            for i in 0..2 {
                whole.load(4 + i, &mut a);
                part.load(i, &mut b);
                prop_assert_eq!(&a, &b);
                prop_assert_eq!(whole.target(4 + i), part.target(i));
            }
        }
    }
}
