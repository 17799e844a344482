//! Patterns of rates, and a population that should fire for each.

use super::World;
use crate::error::{DataError, check, count, positive};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Gamma};
use serde::{Deserialize, Serialize};
use snn_core::Seed;

const OF: &str = "RatePatterns";

/// What a world of rate patterns is like.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `patterns` | 2 | patterns, and populations: output `j` belongs to population `j mod patterns` |
/// | `inputs` | 50 | Poisson channels |
/// | `outputs` | 20 | output neurons |
/// | `background` | 2 Hz | rate of every channel between patterns, and the least within |
/// | `most` | 60 Hz | the largest rate; those of a pattern are `most · Gamma(0.2, 0.8)`, cut off at both |
/// | `shortest`, `longest` | 0.5 s, 1 s | a pattern or the background lasts as long as a uniform draw between these |
/// | `window` | 0.5 s | over which the rate of a population is taken; it is emptied when a phase begins |
/// | `slope`, `carry` | 0.2 /Hz, 25 Hz | the reward is `σ(slope·(c − carry))` where the right population leads by `c > 0`, all its spikes counted |
/// | `memory` | 50 s | over which the mean reward is taken |
/// | `floor` | 0.02 | least mean reward, and reward of a step without any |
/// | `dt` | 1 ms | length of a step |
///
/// The defaults are those of a public example of the code released with Kappel et al. 2018 (SPORE, "pattern matching showcase").
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RatePatternsParams {
    /// Patterns and populations.
    pub patterns: usize,
    /// Channels.
    pub inputs: usize,
    /// Output neurons.
    pub outputs: usize,
    /// Rate between patterns (Hz).
    pub background: f64,
    /// Largest rate (Hz).
    pub most: f64,
    /// Shortest phase (s).
    pub shortest: f64,
    /// Longest phase (s).
    pub longest: f64,
    /// Window of the rates (s).
    pub window: f64,
    /// Slope of the reward (1/Hz).
    pub slope: f64,
    /// Lead for half of the reward (Hz).
    pub carry: f64,
    /// Time constant of the mean reward (s).
    pub memory: f64,
    /// Least mean reward.
    pub floor: f64,
    /// Length of a step (s).
    pub dt: f64,
}

impl Default for RatePatternsParams {
    fn default() -> Self {
        RatePatternsParams {
            patterns: 2,
            inputs: 50,
            outputs: 20,
            background: 2.0,
            most: 60.0,
            shortest: 0.5,
            longest: 1.0,
            window: 0.5,
            slope: 0.2,
            carry: 25.0,
            memory: 50.0,
            floor: 0.02,
            dt: 1e-3,
        }
    }
}

impl RatePatternsParams {
    /// The world, its patterns drawn from `seed`.
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn build(&self, seed: Seed) -> Result<RatePatterns, DataError> {
        count(OF, "inputs", self.inputs)?;
        check(self.patterns >= 2, OF, "patterns", self.patterns, "2 or more")?;
        check(self.outputs >= self.patterns, OF, "outputs", self.outputs, "at least one for each pattern")?;
        for (name, value) in
            [("slope", self.slope), ("memory", self.memory), ("floor", self.floor), ("dt", self.dt), ("window", self.window)]
        {
            positive(OF, name, value)?;
        }
        positive(OF, "background", self.background)?;
        positive(OF, "shortest", self.shortest)?;
        check(self.most >= self.background && self.most * self.dt <= 1.0, OF, "most", self.most, "from `background` to 1/dt")?;
        check(
            self.longest >= self.shortest && self.longest < 1e6 * self.dt,
            OF,
            "longest",
            self.longest,
            "`shortest` or more, below 1e6 steps",
        )?;
        check(self.window < 1e6 * self.dt, OF, "window", self.window, "below 1e6 steps")?;
        check(self.carry.is_finite(), OF, "carry", self.carry, "finite")?;
        let mut rng = seed.rng();
        // 32 bits of a channel's draw are below this where it fires.
        let bound = |rate: f64| (rate * self.dt * 2f64.powi(32)) as u32;
        let mut phases = vec![vec![bound(self.background); self.inputs]];
        if let Ok(gamma) = Gamma::new(0.2, 0.8) {
            for _ in 0..self.patterns {
                phases.push(
                    (0..self.inputs).map(|_| bound((self.most * gamma.sample(&mut rng)).clamp(self.background, self.most))).collect(),
                );
            }
        }
        Ok(RatePatterns {
            phases,
            rng,
            phase: 0,
            left: 0,
            counts: vec![0; self.patterns],
            past: vec![vec![0; self.patterns]; ((self.window / self.dt).round() as usize).max(1)],
            now: 0,
            mean: 0.0,
            keep: (-self.dt / self.memory).exp(),
            score: Score::default(),
            params: self.clone(),
        })
    }
}

/// How it went since the last time it was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Steps.
    pub steps: u64,
    /// Sum of the raw reward, 0…1 at every step.
    pub reward: f64,
    /// Patterns that were shown to their end.
    pub patterns: u64,
    /// Of them, those at whose end the right population led.
    pub right: u64,
}

/// A world in which background and patterns of rates take turns, and the population of the pattern should fire more than the others.
///
/// What it gives is the normalised reward `r/mean(r) + floor`, or `floor` where `r = 0`; the mean is never below `floor`, and goes on from
/// trial to trial.
///
/// ```
/// use snn_core::Seed;
/// use snn_data::{RatePatternsParams, World};
/// let mut world = RatePatternsParams::default().build(Seed::new(1))?;
/// world.begin(Seed::new(2));
/// let mut spikes = Vec::new();
/// world.show(&mut spikes);
/// assert_eq!(world.hear(&[0, 2]), 0.02);                      // background comes first
/// # Ok::<(), snn_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RatePatterns {
    params: RatePatternsParams,
    phases: Vec<Vec<u32>>, // background, then the patterns
    rng: ChaCha8Rng,
    phase: usize,
    left: usize,         // steps of the phase
    counts: Vec<u32>,    // spikes of each population in the window
    past: Vec<Vec<u32>>, // by step of the window
    now: usize,
    mean: f64,
    keep: f64,
    score: Score,
}

impl RatePatterns {
    /// How it went since this was last called.
    pub fn take_score(&mut self) -> Score {
        std::mem::take(&mut self.score)
    }

    /// By how much (Hz) the population of the present pattern leads; `None` between patterns.
    fn lead(&self) -> Option<f64> {
        let right = self.phase.checked_sub(1)?;
        let others = self.counts.iter().enumerate().filter(|&(k, _)| k != right).map(|(_, &n)| n).max();
        Some((f64::from(self.counts[right]) - f64::from(others.unwrap_or(0))) / self.params.window)
    }

    /// Background after a pattern, and some pattern after background.
    fn turn(&mut self) {
        let RatePatternsParams { patterns, shortest, longest, dt, .. } = self.params;
        self.phase = if self.phase == 0 { 1 + self.rng.random_range(0..patterns) } else { 0 };
        self.left = (((shortest + (longest - shortest) * self.rng.random::<f64>()) / dt).round() as usize).max(1);
        self.counts.fill(0);
        self.past.iter_mut().for_each(|counts| counts.fill(0));
    }
}

impl World for RatePatterns {
    fn name(&self) -> &'static str {
        "rate patterns"
    }
    fn inputs(&self) -> usize {
        self.params.inputs
    }
    fn outputs(&self) -> usize {
        self.params.outputs
    }
    fn begin(&mut self, trial: Seed) {
        self.rng = trial.rng();
        self.phase = 1; // background comes next
        self.turn();
    }
    fn show(&mut self, spikes: &mut Vec<u32>) {
        if self.left == 0 {
            self.turn();
        }
        self.left -= 1;
        let rng = &mut self.rng;
        spikes.extend((0..).zip(&self.phases[self.phase]).filter(|&(_, &bound)| rng.random::<u32>() < bound).map(|(i, _)| i));
    }
    fn hear(&mut self, fired: &[u32]) -> f64 {
        let (patterns, place) = (self.params.patterns, self.now % self.past.len());
        self.now = place + 1;
        let here = &mut self.past[place];
        self.counts.iter_mut().zip(&mut *here).for_each(|(count, gone)| *count -= std::mem::take(gone));
        for &j in fired {
            here[j as usize % patterns] += 1;
            self.counts[j as usize % patterns] += 1;
        }
        let lead = self.lead();
        let Self { params: RatePatternsParams { slope, carry, floor, .. }, score, .. } = self;
        let raw = lead.filter(|&lead| lead > 0.0).map_or(0.0, |lead| 1.0 / (1.0 + (-*slope * (lead - *carry)).exp()));
        score.steps += 1;
        score.reward += raw;
        if self.left == 0 && lead.is_some() {
            score.patterns += 1;
            score.right += u64::from(lead > Some(0.0));
        }
        self.mean = (self.keep * self.mean + (1.0 - self.keep) * raw).max(*floor);
        if raw > 0.0 { raw / self.mean + *floor } else { *floor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_and_background_take_turns_at_their_rates() {
        let params = RatePatternsParams::default();
        let (mut world, steps) = (params.build(Seed::new(4)).unwrap(), 400_000);
        world.begin(Seed::new(1));
        let (mut spikes, mut by_phase, mut last, mut lengths, mut length) = (Vec::new(), [[0usize; 2]; 3], 0, Vec::new(), 0usize);
        for _ in 0..steps {
            spikes.clear();
            world.show(&mut spikes);
            if world.phase != last {
                assert!(last == 0 || world.phase == 0, "a pattern after a pattern");
                lengths.push(std::mem::take(&mut length));
                last = world.phase;
            }
            length += 1;
            by_phase[last][0] += 1;
            by_phase[last][1] += spikes.len();
            world.hear(&[]);
        }
        assert!(lengths.iter().all(|n| (500..=1000).contains(n)), "{lengths:?}");
        for (phase, [steps, spikes]) in by_phase.into_iter().enumerate() {
            let expected: f64 = world.phases[phase].iter().map(|&b| f64::from(b) / 2f64.powi(32)).sum::<f64>() * steps as f64;
            assert!((spikes as f64 - expected).abs() < 4.5 * expected.sqrt(), "phase {phase}: {spikes} spikes, expected {expected}");
        }
        assert!((by_phase[0][1] as f64 / by_phase[0][0] as f64 - 0.1).abs() < 0.005, "50 channels at 2 Hz");
    }

    #[test]
    fn the_reward_is_that_of_the_lead() {
        let mut world = RatePatternsParams::default().build(Seed::new(4)).unwrap();
        world.begin(Seed::new(1));
        while world.phase == 0 {
            world.show(&mut Vec::new());
            assert_eq!(world.hear(&[0, 1]), 0.02, "background earns nothing but the floor");
        }
        let right = world.phase as u32 - 1;
        // The phase has just begun: n spikes of the right population in the window are a lead of 2n Hz.
        let mean = world.mean;
        let first = world.hear(&[right, right + 2, 1 - right]);
        let raw = 1.0 / (1.0 + (-0.2f64 * (2.0 - 25.0)).exp());
        assert!((world.score.reward - raw).abs() < 1e-12 && mean <= 0.02 + 1e-12, "{} {raw}", world.score.reward);
        assert!((first - (raw / 0.02f64.max(world.mean) + 0.02)).abs() < 1e-12);
        assert_eq!(world.hear(&[1 - right; 3]), 0.02, "the wrong population leads");
        // All is forgotten a window later.
        for _ in 0..500 {
            world.hear(&[]);
        }
        assert!(world.counts.iter().all(|&n| n == 0));
    }

    #[test]
    fn trials_are_a_function_of_their_seeds() {
        let mut world = RatePatternsParams::default().build(Seed::new(4)).unwrap();
        let mut shown = |seed: u64| {
            world.begin(Seed::new(seed));
            let mut spikes = Vec::new();
            (0..3000).for_each(|_| world.show(&mut spikes));
            spikes
        };
        let first = shown(1);
        assert!(shown(2) != first && shown(1) == first);
        let odd = RatePatternsParams { most: 2000.0, ..Default::default() }.build(Seed::new(1)).unwrap_err().to_string();
        assert!(odd.contains("most = 2000"), "{odd}");
    }
}
