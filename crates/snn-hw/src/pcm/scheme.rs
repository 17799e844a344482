use super::{Crossbar, Side};
use snn_core::Seed;

/// How a wanted change of weight becomes pulses.
///
/// `Δw` is the change wanted (a learning rate times the pull on the weight), `ΔG = Δw·scale` in µS, `step` what a pulse is taken to be worth. Nothing here knows a
/// conductance but by reading it.
///
/// Source: Demirag et al. 2021 and its program `[repo]`: sign, stochastic (Nandakumar et al. 2018), several memristors (Boybat et al. 2018), mixed precision
/// (Nandakumar et al. 2020), update-ready.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scheme {
    /// One pulse where the pull is stronger than a threshold.
    Sign {
        /// Threshold on the pull, before the learning rate.
        threshold: f64,
    },
    /// One pulse with probability `|ΔG|/scale`.
    Stochastic {
        /// µS at which a pulse is certain.
        scale: f64,
    },
    /// `⌊|ΔG|/step⌋` pulses, the devices of a side in turn: for crossbars with several of them.
    Multi,
    /// Changes add up in a digital number per synapse, which gives off whole quanta, truncated toward zero: `A ← A + Δw; q ← trunc(A/quantum)·quantum; A ← A − q`,
    /// and `q·scale/step` pulses.
    ///
    /// Pulses are given to all synapses of a side together, as often as the largest number says in whole pulses: a synapse gets its number rounded up, but none more than that. So nothing is
    /// written as long as no synapse needs a whole pulse `[repo]`.
    Mixed {
        /// What the digital number gives off at once, in units of weight.
        quantum: f64,
        /// Update-ready: before a pulse that would go beyond the largest conductance the synapse is renewed.
        ready: bool,
    },
}

/// The accumulator of mixed precision: takes off and returns what are whole quanta, toward zero.
///
/// ```
/// use snn_hw::pcm::whole_quanta;
/// let mut a = -0.3;
/// assert_eq!(whole_quanta(&mut a, 0.125), -0.25);                // floor would write a quantum for the smallest negative number
/// assert!((a + 0.05).abs() < 1e-6);
/// ```
pub fn whole_quanta(accumulator: &mut f32, quantum: f32) -> f32 {
    let whole = (*accumulator / quantum).trunc() * quantum;
    *accumulator -= whole;
    whole
}

impl Scheme {
    /// Moves the weights of a crossbar at time `now` by `rate·pulls`. `memory` is one digital number per synapse, used by [`Mixed`](Scheme::Mixed); `draw` chooses what is random in
    /// this update.
    ///
    /// # Panics
    /// If there are not as many pulls, or numbers in memory, as synapses.
    #[track_caller]
    pub fn write(&self, bar: &mut Crossbar, memory: &mut [f32], pulls: &[f32], rate: f64, now: f64, draw: Seed) {
        assert!(pulls.len() == bar.synapses() && memory.len() == bar.synapses(), "a pull and a number for each synapse");
        let (rate, scale, step) = (rate as f32, bar.scale(), bar.step());
        match *self {
            Scheme::Sign { threshold } => {
                for (s, &pull) in pulls.iter().enumerate().filter(|(_, pull)| pull.abs() > threshold as f32) {
                    bar.pulse(s, Side::towards(pull), 1, now);
                }
            }
            Scheme::Stochastic { scale: certain } => {
                for (s, &pull) in pulls.iter().enumerate().filter(|(_, pull)| **pull != 0.0) {
                    let p = f64::from((rate * pull * scale).abs()) / certain;
                    if unit(draw.nth(s as u64)) < p {
                        bar.pulse(s, Side::towards(pull), 1, now);
                    }
                }
            }
            Scheme::Multi => {
                for (s, &pull) in pulls.iter().enumerate() {
                    let times = ((rate * pull * scale).abs() / step) as u32;
                    bar.pulse(s, Side::towards(pull), times.min(MOST), now);
                }
            }
            Scheme::Mixed { quantum, ready } => {
                let take = |(a, &pull): (&mut f32, &f32)| {
                    *a += rate * pull;
                    whole_quanta(a, quantum as f32) * scale / step
                };
                let wanted: Vec<f32> = memory.iter_mut().zip(pulls).map(take).collect();
                let highest = |sign: f32| wanted.iter().map(|w| sign * w).fold(0.0, f32::max) as u32;
                let (up, down) = (highest(1.0), highest(-1.0));
                for (s, &w) in wanted.iter().enumerate().filter(|(_, w)| **w != 0.0) {
                    let times = (w.abs().ceil() as u32).min(if w > 0.0 { up } else { down }).min(MOST);
                    let side = Side::towards(w);
                    if ready && times > 0 && bar.look(s, now)[side as usize] + w.abs() * step > bar.physics().g_max {
                        bar.renew(s, now);
                    }
                    bar.pulse(s, side, times, now);
                }
            }
        }
    }
}

/// Most pulses for a synapse in an update: more than it takes through the whole range.
const MOST: u32 = 1 << 20;

/// A number in [0, 1) as a function of a seed.
fn unit(seed: Seed) -> f64 {
    (seed.value() >> 11) as f64 * 2f64.powi(-53)
}
