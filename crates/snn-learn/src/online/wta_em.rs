//! Expectation maximisation for one cause at a time: the rule of winner-take-all circuits.

use super::{Moment, Online, OnlineError, OnlineRule, Wires};
use serde::{Deserialize, Serialize};
use snn_core::Seed;

/// The rule by which a winner-take-all circuit learns a mixture model: where a neuron fires its weights move towards the logarithm of how
/// likely each source is active with it. Reward and chance play no part.
///
/// ```text
/// where the target fired:  w ← w + η·(exp(c − w) − 1)   if a spike of the source arrived in the last `window`
///                          w ← w − η                    if none did
/// ```
/// A weight settles at `c + ln p(source active | target fired)`. A weight that moves is then put into its range. Cost: an exponential per
/// link into a target that fires; links without events cost nothing. Memory: 16 bytes per link.
///
/// | parameter | meaning | default |
/// |---|---|---|
/// | `eta` | learning rate η | 0.01 |
/// | `window` | time for which a source counts as active after a spike (s) | 0.01 |
/// | `offset` | c, which keeps weights positive | 1 |
/// | `low`, `high` | range of a weight | 0, 1 |
///
/// Source: Nessler, Pfeiffer, Buesing & Maass 2013, PLoS Comput. Biol. 9(4). The defaults are ours.
///
/// ```
/// use snn_core::{Seed, net::Links};
/// use snn_learn::online::{Moment, Online, OnlineRule, Wires, WtaEm};
/// let wires = Wires { links: &Links::All, sources: 2, targets: 1, dt: 1e-3 };
/// let mut rule = WtaEm { eta: 0.1, ..WtaEm::default() }.on(wires, &[1.0, 1.0], Seed::new(0))?;
/// rule.step(&Moment { pre: &[1], post: &[0], chance: &[], reward: 0.0 })?;
/// assert_eq!(rule.take(), Some(&[0.9, 1.0][..]));             // source 0 was silent; 1 is at the logarithm of 1
/// # Ok::<(), snn_learn::online::OnlineError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WtaEm {
    /// Learning rate.
    pub eta: f64,
    /// Time for which a source counts as active after a spike (s).
    pub window: f64,
    /// What is added to the logarithm.
    pub offset: f64,
    /// Least weight.
    pub low: f64,
    /// Largest weight.
    pub high: f64,
}

impl Default for WtaEm {
    fn default() -> Self {
        WtaEm { eta: 0.01, window: 0.01, offset: 1.0, low: 0.0, high: 1.0 }
    }
}

const NAME: &str = "wta_em";

impl WtaEm {
    fn check(&self) -> Result<(), OnlineError> {
        let refuse = |parameter, value, wanted| Err(OnlineError::Parameter { rule: NAME, parameter, value, wanted });
        match self {
            _ if !(self.eta.is_finite() && self.eta >= 0.0) => refuse("eta", self.eta, "zero or more"),
            _ if !(self.window.is_finite() && self.window > 0.0) => refuse("window", self.window, "positive"),
            _ if !(self.offset.is_finite() && self.offset.abs() <= 50.0) => refuse("offset", self.offset, "between -50 and 50"),
            _ if !(self.low.is_finite() && self.low >= -50.0) => refuse("low", self.low, "-50 or more"),
            _ if !(self.high.is_finite() && self.high > self.low) => refuse("high", self.high, "above `low`"),
            _ => Ok(()),
        }
    }
}

impl Online for WtaEm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on(&self, wires: Wires<'_>, weights: &[f32], _: Seed) -> Result<Box<dyn OnlineRule>, OnlineError> {
        self.check()?;
        let weights = wires.weights(NAME, weights)?;
        let mut into = vec![Vec::new(); wires.targets];
        let pairs = wires.links.triplets(wires.sources, wires.targets).zip(0..);
        pairs.for_each(|((i, j, _), link)| into[j].push([i as u32, link]));
        let window = (self.window / wires.dt).round().clamp(1.0, f64::from(u32::MAX)) as u32;
        let active = vec![0; wires.sources];
        Ok(Box::new(Learning { rule: *self, window, active, into, weights, fresh: false }))
    }
}

/// [`WtaEm`] at work.
struct Learning {
    rule: WtaEm,
    window: u32,
    active: Vec<u32>,         // by source: steps for which it still counts as active
    into: Vec<Vec<[u32; 2]>>, // by target: source and link
    weights: Vec<f32>,
    fresh: bool,
}

impl OnlineRule for Learning {
    fn name(&self) -> &'static str {
        NAME
    }

    fn step(&mut self, moment: &Moment<'_>) -> Result<(), OnlineError> {
        self.active.iter_mut().for_each(|left| *left = left.saturating_sub(1));
        moment.pre.iter().for_each(|&i| self.active[i as usize] = self.window);
        let [eta, offset, low, high] = [self.rule.eta, self.rule.offset, self.rule.low, self.rule.high].map(|x| x as f32);
        for &k in moment.post {
            for &[i, link] in &self.into[k as usize] {
                let w = &mut self.weights[link as usize];
                let there = self.active[i as usize] > 0;
                *w = (*w + eta * (if there { (offset - *w).exp() } else { 0.0 } - 1.0)).clamp(low, high);
            }
        }
        self.fresh |= !moment.post.is_empty();
        Ok(())
    }

    fn take(&mut self) -> Option<&[f32]> {
        std::mem::take(&mut self.fresh).then_some(&self.weights[..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use snn_core::net::Links;

    #[test]
    fn weights_become_the_logarithms_of_a_mixture() {
        // Two clusters over six sources, each active with a probability of its own; the neuron of the cluster fires.
        let centres = [[0.9, 0.8, 0.7, 0.1, 0.2, 0.3], [0.1, 0.2, 0.3, 0.9, 0.6, 0.5]];
        let wires = Wires { links: &Links::All, sources: 6, targets: 2, dt: 1e-3 };
        let rule = WtaEm { eta: 0.002, window: 1e-3, offset: 5.0, high: 5.0, ..WtaEm::default() };
        let mut learning = rule.on(wires, &[4.0; 12], Seed::new(0)).unwrap();
        let mut sums = [0.0; 12];
        for t in 0..40_000u64 {
            let unit = |n: u64| Seed::new(3).nth(t).nth(n).value() as f64 / 2f64.powi(64);
            let k = usize::from(unit(9) < 0.5);
            let pre: Vec<u32> = (0..6).filter(|&i| unit(u64::from(i)) < centres[k][i as usize]).collect();
            learning.step(&Moment { pre: &pre, post: &[k as u32], chance: &[], reward: 0.0 }).unwrap();
            if t >= 20_000 {
                let weights = learning.take().unwrap();
                sums.iter_mut().zip(weights).for_each(|(sum, &w)| *sum += f64::from(w) / 20_000.0);
            }
        }
        for (link, found) in sums.iter().enumerate() {
            let p: f64 = centres[link % 2][link / 2];
            assert!((found - 5.0 - p.ln()).abs() < 0.05, "link {link}: {}, not ln {p} = {}", found - 5.0, p.ln());
        }
    }

    #[test]
    fn impossible_parameters_are_named() {
        let wires = Wires { links: &Links::All, sources: 2, targets: 1, dt: 1e-3 };
        let usual = WtaEm::default();
        for (name, rule) in [
            ("eta", WtaEm { eta: f64::NAN, ..usual }),
            ("window", WtaEm { window: 0.0, ..usual }),
            ("offset", WtaEm { offset: 1e3, ..usual }),
            ("low", WtaEm { low: -1e3, ..usual }),
            ("high", WtaEm { high: 0.0, ..usual }),
        ] {
            let error = rule.on(wires, &[0.5; 2], Seed::new(0)).err().unwrap().to_string();
            assert!(error.contains(&format!("`{name}`")), "{error}");
        }
    }
}
