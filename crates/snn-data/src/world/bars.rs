//! Bars that come and go, several at a time.

use super::World;
use crate::error::{DataError, check, positive};
use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use snn_core::Seed;

const OF: &str = "Bars";

/// What a world of bars is like: a picture of `side` × `side` Poisson channels, on which `2·side` bars, columns first and then rows, come and
/// go.
///
/// ```text
/// Σ = bars that cover the pixel · rate + U(0, fill) for every idle slot       r = rate·σ((Σ − rate/2)/softness)
/// ```
/// Bars are shown by slots. An idle slot begins one of the bars that no slot shows with a probability per step that makes it busy for the
/// share `busy` of the time, whatever the others do; so bars overlap in time and on the picture, and never begin together but by chance. The
/// rates of bars that cross add up softly: a pixel of two bars is hardly brighter than one of a single bar.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `side` | 8 | pixels of an edge |
/// | `slots` | 3 | bars at a time, at most |
/// | `length` | 50 ms | a bar stays for so long |
/// | `busy` | 0.9 | share of the time for which a slot shows a bar |
/// | `rate` | 75 Hz | rate of a pixel under a bar, before the sum |
/// | `softness` | 7.5 Hz | width of the sigmoid |
/// | `fill` | 3 Hz | noise of an idle slot, at most; uniform for each channel and step |
/// | `outputs` | 400 | neurons it listens to |
/// | `dt` | 1 ms | length of a step |
///
/// Source: Jonke, Legenstein, Habenschuss & Maass 2017 (arXiv 1705.07614), released code, of which the defaults are. The task: Földiák 1990.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BarsParams {
    /// Pixels of an edge.
    pub side: usize,
    /// Bars at a time.
    pub slots: usize,
    /// Time for which a bar stays (s).
    pub length: f64,
    /// Share of the time for which a slot shows a bar.
    pub busy: f64,
    /// Rate of a pixel under a bar (Hz).
    pub rate: f64,
    /// Width of the sigmoid (Hz).
    pub softness: f64,
    /// Noise of an idle slot (Hz).
    pub fill: f64,
    /// Neurons it listens to.
    pub outputs: usize,
    /// Length of a step (s).
    pub dt: f64,
}

impl Default for BarsParams {
    fn default() -> Self {
        BarsParams { side: 8, slots: 3, length: 0.05, busy: 0.9, rate: 75.0, softness: 7.5, fill: 3.0, outputs: 400, dt: 1e-3 }
    }
}

impl BarsParams {
    /// The world.
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn build(&self) -> Result<Bars, DataError> {
        check((1..=1000).contains(&self.side), OF, "side", self.side, "from 1 to 1000")?;
        check(self.slots < 2 * self.side, OF, "slots", self.slots, "less than there are bars, 2·side")?;
        check((0.0..1.0).contains(&self.busy), OF, "busy", self.busy, "from 0 to below 1")?;
        check(self.fill.is_finite() && self.fill >= 0.0, OF, "fill", self.fill, "finite and not below 0")?;
        for (name, value) in [("length", self.length), ("rate", self.rate), ("softness", self.softness), ("dt", self.dt)] {
            positive(OF, name, value)?;
        }
        let steps = (self.length / self.dt).round();
        check((1.0..1e6).contains(&steps), OF, "length", self.length, "from one step to below a million")?;
        Ok(Bars {
            steps: steps as usize,
            // A slot is busy for n steps and then waits for 1/p steps, the first of which may be the next after the n.
            start: self.busy / (steps - self.busy * (steps - 1.0)),
            slots: vec![None; self.slots],
            rng: Seed::new(0).rng(),
            now: 0,
            shown: Vec::new(),
            params: self.clone(),
        })
    }

    /// The channels under bar `bar`: column `bar`, or row `bar − side`.
    pub fn pixels(&self, bar: usize) -> impl Iterator<Item = usize> + use<> {
        let side = self.side;
        (0..side).map(move |k| if bar < side { k * side + bar } else { (bar - side) * side + k })
    }

    /// The rate (Hz) of a channel under so many bars, with so much noise.
    pub fn brightness(&self, bars: usize, noise: f64) -> f64 {
        let sum = bars as f64 * self.rate + noise;
        self.rate / (1.0 + (-(sum - 0.5 * self.rate) / self.softness).exp())
    }
}

/// A bar that was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Which.
    pub bar: usize,
    /// Its first step.
    pub start: usize,
    /// The step after its last.
    pub end: usize,
}

/// A world in which bars come and go, and nothing is rewarded.
///
/// ```
/// use snn_core::Seed;
/// use snn_data::{BarsParams, World};
/// let mut world = BarsParams::default().build()?;
/// world.begin(Seed::new(1));
/// let mut spikes = Vec::new();
/// (0..1000).for_each(|_| world.show(&mut spikes));
/// // Some 54 bars in a second, 18 in each slot.
/// assert!((45..60).contains(&world.shown().len()) && world.shown()[0].bar < 16);
/// # Ok::<(), snn_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Bars {
    params: BarsParams,
    steps: usize, // of a bar
    start: f64,   // probability per step that an idle slot begins a bar
    slots: Vec<Option<Shown>>,
    rng: ChaCha8Rng,
    now: usize,
    shown: Vec<Shown>,
}

impl Bars {
    /// The bars of the trial so far, in the order in which they began; the last ones may not have ended yet.
    pub fn shown(&self) -> &[Shown] {
        &self.shown
    }

    /// Ends and begins bars.
    fn turn(&mut self) {
        let Bars { params, slots, rng, now, shown, .. } = self;
        slots.iter_mut().for_each(|slot| *slot = slot.filter(|bar| bar.end > *now));
        for k in 0..slots.len() {
            if slots[k].is_none() && rng.random::<f64>() < self.start {
                let free: Vec<usize> = (0..2 * params.side).filter(|&bar| slots.iter().flatten().all(|shown| shown.bar != bar)).collect();
                slots[k] = free.choose(rng).map(|&bar| Shown { bar, start: *now, end: *now + self.steps });
                shown.extend(slots[k]);
            }
        }
    }
}

impl World for Bars {
    fn name(&self) -> &'static str {
        "bars"
    }
    fn inputs(&self) -> usize {
        self.params.side * self.params.side
    }
    fn outputs(&self) -> usize {
        self.params.outputs
    }
    fn begin(&mut self, trial: Seed) {
        self.rng = trial.rng();
        self.slots.fill(None);
        self.shown.clear();
        self.now = 0;
    }
    fn show(&mut self, spikes: &mut Vec<u32>) {
        self.turn();
        let Bars { params, slots, rng, .. } = self;
        let side = params.side;
        let idle = slots.iter().filter(|slot| slot.is_none()).count();
        for (i, channel) in (0..side * side).zip(0..) {
            let covers = |shown: &&Shown| shown.bar == i % side || shown.bar == side + i / side;
            let bars = slots.iter().flatten().filter(covers).count();
            let noise = (0..idle).map(|_| params.fill * rng.random::<f64>()).sum();
            let p = -(-params.dt * params.brightness(bars, noise)).exp_m1();
            spikes.extend((rng.random::<f64>() < p).then_some(channel));
        }
        self.now += 1;
    }
    fn hear(&mut self, _: &[u32]) -> f64 {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_as_busy_as_they_should_be_and_bars_are_alone() {
        let params = BarsParams::default();
        let (mut world, steps) = (params.build().unwrap(), 200_000);
        world.begin(Seed::new(3));
        let (mut spikes, mut by_bars, mut pixels, mut busy) = (Vec::new(), [0.0f64; 4], [0.0f64; 4], 0);
        for _ in 0..steps {
            spikes.clear();
            world.show(&mut spikes);
            let on: Vec<usize> = world.slots.iter().flatten().map(|shown| shown.bar).collect();
            assert!((1..on.len()).all(|k| !on[..k].contains(&on[k])), "a bar in two slots: {on:?}");
            busy += on.len();
            for i in 0..64 {
                let over = on.iter().filter(|&&bar| params.pixels(bar).any(|pixel| pixel == i)).count();
                by_bars[over] += f64::from(spikes.contains(&(i as u32)));
                pixels[over] += 1.0;
            }
        }
        let share = busy as f64 / 3.0 / f64::from(steps);
        assert!((share - 0.9).abs() < 0.01, "busy for {share} of the time");
        // Soft OR: one bar is almost the full rate, two are no more; at rest about half a hertz.
        let rate = |bars: usize| 1000.0 * by_bars[bars] / pixels[bars];
        assert!((rate(0) - 0.52).abs() < 0.05, "{} Hz at rest", rate(0));
        assert!((rate(1) - 72.0).abs() < 1.5 && (rate(2) - 72.3).abs() < 1.5, "{} {}", rate(1), rate(2));
        assert!(world.shown().iter().all(|shown| shown.end == shown.start + 50));
        assert!(world.shown().windows(2).all(|pair| pair[0].start <= pair[1].start));
        // Every bar as often as any other.
        let mut counts = [0.0f64; 16];
        world.shown().iter().for_each(|shown| counts[shown.bar] += 1.0);
        let mean = world.shown().len() as f64 / 16.0;
        assert!(counts.iter().all(|n| (n - mean).abs() < 5.0 * mean.sqrt()), "{counts:?}");
    }

    #[test]
    fn trials_are_a_function_of_their_seeds() {
        let mut world = BarsParams::default().build().unwrap();
        let mut shown = |seed: u64| {
            world.begin(Seed::new(seed));
            let mut spikes = Vec::new();
            (0..500).for_each(|_| world.show(&mut spikes));
            (spikes, world.shown().to_vec())
        };
        let first = shown(1);
        assert!(shown(2) != first && shown(1) == first);
        for (name, odd) in
            [("busy", BarsParams { busy: 1.0, ..Default::default() }), ("slots", BarsParams { slots: 16, ..Default::default() })]
        {
            let error = odd.build().unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
