//! Spike-timing-dependent plasticity as online expectation maximisation.

use super::{Fresh, Moment, Online, OnlineError, OnlineRule, Wires};
use serde::{Deserialize, Serialize};
use snn_core::Seed;
use snn_core::neuron::decay;

/// Spike-timing-dependent plasticity that is an online step of expectation maximisation: the network says which hidden causes explain its
/// input (the expectation), and each synapse moves towards the logarithm of how often its source is active with its target (the
/// maximisation). Reward and chance play no part.
///
/// ```text
/// x_i ← ρ₊·x_i + y_i,   ρ₊ = exp(−dt/τ₊)                      trace of a source; y_i: does a spike of it arrive
/// x_k ← ρ₋·x_k + z_k,   ρ₋ = exp(−dt/τ₋)                      trace of a target; z_k: did it fire
/// where a spike arrives:   w ← w − η·x_k
/// where the target fired:  w ← w + η·exp(1 − w)·x_i
/// ```
/// Within a step traces fade, then spikes arrive, then targets fire, so that a spike that arrives in the step of the target's counts for it
/// and not against it. A weight that moves is then put into its range. A weight settles where `exp(1 − w)·⟨z_k·x_i⟩ = ⟨y_i·x_k⟩`; between
/// independent trains at `1 + ln(τ₊/τ₋)`.
///
/// The rule goes from event to event: a step costs one multiplication per neuron, one subtraction per link over which a spike arrives, and
/// one exponential per link into a target that fires. Links without events cost nothing. Memory: 16 bytes per link.
///
/// | parameter | meaning | default |
/// |---|---|---|
/// | `eta` | learning rate η | 0.02 |
/// | `tau_pre` | time constant τ₊ of the sources' traces (s) | 0.01 |
/// | `tau_post` | time constant τ₋ of the targets' traces (s) | 0.025 |
/// | `low`, `high` | range of a weight | 0.01, 1 |
///
/// Source: Jonke, Legenstein, Habenschuss & Maass 2017 (arXiv 1705.07614), released code, of which the defaults are; Legenstein, Jonke,
/// Habenschuss & Maass 2017 (arXiv 1707.05182) for what it means.
///
/// ```
/// use snn_core::{Seed, net::Links};
/// use snn_learn::online::{Moment, Online, OnlineRule, StdpEm, Wires};
/// let wires = Wires { links: &Links::All, sources: 2, targets: 1, dt: 1e-3 };
/// let mut rule = StdpEm::default().on(wires, &[0.5, 0.5], Seed::new(0))?;
/// rule.step(&Moment { pre: &[1], post: &[0], chance: &[], reward: 0.0 })?;
/// let raised = 0.5 + 0.02 * 0.5f32.exp();                     // source 1 was there when the target fired
/// assert_eq!(rule.take(), Some(&[0.5, raised][..]));
/// # Ok::<(), snn_learn::online::OnlineError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StdpEm {
    /// Learning rate.
    pub eta: f64,
    /// Time constant of the sources' traces (s).
    pub tau_pre: f64,
    /// Time constant of the targets' traces (s).
    pub tau_post: f64,
    /// Least weight.
    pub low: f64,
    /// Largest weight.
    pub high: f64,
}

impl Default for StdpEm {
    fn default() -> Self {
        StdpEm { eta: 0.02, tau_pre: 0.01, tau_post: 0.025, low: 0.01, high: 1.0 }
    }
}

const NAME: &str = "stdp_em";

impl StdpEm {
    fn check(&self) -> Result<(), OnlineError> {
        let refuse = |parameter, value, wanted| Err(OnlineError::Parameter { rule: NAME, parameter, value, wanted });
        for (parameter, value) in [("tau_pre", self.tau_pre), ("tau_post", self.tau_post)] {
            if !(value.is_finite() && value > 0.0) {
                return refuse(parameter, value, "positive");
            }
        }
        match self {
            _ if !(self.eta.is_finite() && self.eta >= 0.0) => refuse("eta", self.eta, "zero or more"),
            _ if !self.high.is_finite() => refuse("high", self.high, "a finite number"),
            _ if !(self.low.is_finite() && self.low < self.high) => refuse("low", self.low, "below `high`"),
            _ => Ok(()),
        }
    }
}

impl Online for StdpEm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on(&self, wires: Wires<'_>, weights: &[f32], _: Seed) -> Result<Box<dyn OnlineRule>, OnlineError> {
        self.check()?;
        let weights = wires.weights(NAME, weights)?;
        let pairs = || wires.links.triplets(wires.sources, wires.targets);
        let target = pairs().map(|(_, j, _)| j as u32).collect();
        let mut into: Vec<[u32; 3]> = pairs().zip(0..).map(|((i, j, _), link)| [j as u32, i as u32, link]).collect();
        into.sort_unstable();
        Ok(Box::new(Learning {
            eta: self.eta as f32,
            range: (self.low as f32, self.high as f32),
            fade: [self.tau_pre, self.tau_post].map(|tau| decay(wires.dt, tau) as f32),
            pre: vec![0.0; wires.sources],
            post: vec![0.0; wires.targets],
            from: ends(wires.sources, pairs().map(|(i, ..)| i)),
            target,
            to: ends(wires.targets, into.iter().map(|link| link[0] as usize)),
            source: into.iter().map(|&[_, source, link]| [source, link]).collect(),
            weights,
            moved: Vec::new(),
            taken: true,
        }))
    }
}

/// Where the links of each of `groups` end, their groups being given in order.
fn ends(groups: usize, of: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut ends = vec![0; groups + 1];
    of.for_each(|group| ends[group + 1] += 1);
    (0..groups).for_each(|group| ends[group + 1] += ends[group]);
    ends
}

/// [`StdpEm`] at work.
struct Learning {
    eta: f32,
    range: (f32, f32),
    fade: [f32; 2],
    pre: Vec<f32>,         // trace by source
    post: Vec<f32>,        // trace by target
    from: Vec<usize>,      // links of each source …
    target: Vec<u32>,      // … and where they go
    to: Vec<usize>,        // links into each target …
    source: Vec<[u32; 2]>, // … where they come from, and which they are
    weights: Vec<f32>,
    moved: Vec<u32>, // links, since weights were taken
    taken: bool,
}

impl OnlineRule for Learning {
    fn name(&self) -> &'static str {
        NAME
    }

    fn step(&mut self, moment: &Moment<'_>) -> Result<(), OnlineError> {
        if std::mem::take(&mut self.taken) {
            self.moved.clear();
        }
        let Learning { eta, range: (low, high), fade, pre, post, from, target, to, source, weights, moved, .. } = self;
        pre.iter_mut().for_each(|x| *x *= fade[0]);
        post.iter_mut().for_each(|x| *x *= fade[1]);
        for &i in moment.pre {
            let links = from[i as usize]..from[i as usize + 1];
            for (w, &k) in weights[links.clone()].iter_mut().zip(&target[links.clone()]) {
                *w = (*w - *eta * post[k as usize]).clamp(*low, *high);
            }
            moved.extend(links.start as u32..links.end as u32);
            pre[i as usize] += 1.0;
        }
        for &k in moment.post {
            for &[i, link] in &source[to[k as usize]..to[k as usize + 1]] {
                let w = &mut weights[link as usize];
                *w = (*w + *eta * (1.0 - *w).exp() * pre[i as usize]).clamp(*low, *high);
                moved.push(link);
            }
            post[k as usize] += 1.0;
        }
        Ok(())
    }

    fn take(&mut self) -> Option<&[f32]> {
        self.take_some().map(|fresh| fresh.weights)
    }

    fn take_some(&mut self) -> Option<Fresh<'_>> {
        let fresh = !std::mem::replace(&mut self.taken, true) && !self.moved.is_empty();
        fresh.then_some(Fresh { weights: &self.weights, moved: Some(&self.moved) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use snn_core::net::Links;

    const WIRES: Wires<'static> = Wires { links: &Links::All, sources: 3, targets: 2, dt: 1e-3 };

    fn moment<'a>(pre: &'a [u32], post: &'a [u32]) -> Moment<'a> {
        Moment { pre, post, chance: &[], reward: 0.0 }
    }

    proptest! {
        /// The loop over all links, written down once more; weights stay in their range, and those that are not named have not moved.
        #[test]
        fn events_are_the_loop_over_links(start in prop::collection::vec(0.01f32..1.0, 6), key in any::<u64>(), eta in 1e-3f64..0.3) {
            let rule = StdpEm { eta, ..StdpEm::default() };
            let mut learning = rule.on(WIRES, &start, Seed::new(0)).unwrap();
            let (mut w, mut x_i, mut x_k, mut told) = (start.clone(), [0.0f32; 3], [0.0f32; 2], start);
            let (keep, fade) = (decay(1e-3, 0.01f64) as f32, decay(1e-3, 0.025f64) as f32);
            for t in 0..400 {
                let fires = |unit: u64| Seed::new(key).nth(8 * t + unit).value().is_multiple_of(12);
                let pre: Vec<u32> = (0..3).filter(|&i| fires(u64::from(i))).collect();
                let post: Vec<u32> = (0..2).filter(|&k| fires(3 + u64::from(k))).collect();
                learning.step(&moment(&pre, &post)).unwrap();
                x_i.iter_mut().for_each(|x| *x *= keep);
                x_k.iter_mut().for_each(|x| *x *= fade);
                for link in 0..6usize {
                    if pre.contains(&(link as u32 / 2)) {
                        w[link] = (w[link] - eta as f32 * x_k[link % 2]).clamp(0.01, 1.0);
                    }
                }
                pre.iter().for_each(|&i| x_i[i as usize] += 1.0);
                for link in 0..6usize {
                    if post.contains(&(link as u32 % 2)) {
                        w[link] = (w[link] + eta as f32 * (1.0 - w[link]).exp() * x_i[link / 2]).clamp(0.01, 1.0);
                    }
                }
                post.iter().for_each(|&k| x_k[k as usize] += 1.0);
                if let Some(Fresh { weights, moved }) = learning.take_some() {
                    moved.unwrap().iter().for_each(|&link| told[link as usize] = weights[link as usize]);
                    prop_assert_eq!(weights, &w[..]);
                }
                prop_assert!(told == w && w.iter().all(|w| (0.01..=1.0).contains(w)), "{:?}", w);
            }
        }
    }

    #[test]
    fn independent_trains_settle_at_the_ratio_of_the_traces() {
        // 100 pairs of Poisson trains of 40 Hz: w* = 1 + ln(10/25) = 0.0837. A trace on arrival is that before the step, one on firing holds
        // the step: ⟨y·x_k⟩ = p²·ρ₋/(1 − ρ₋), ⟨z·x_i⟩ = p²/(1 − ρ₊).
        let (n, p) = (100, 0.04);
        let wires = Wires { sources: n, targets: 1, ..WIRES };
        let rule = StdpEm { eta: 2e-3, low: -1.0, ..StdpEm::default() };
        let mut learning = rule.on(wires, &vec![0.4; n], Seed::new(0)).unwrap();
        let bound = (p * 2f64.powi(64)) as u64;
        let (mut sum, mut count) = (0.0, 0.0);
        for t in 0..100_000 {
            let fires = |unit: usize| Seed::new(5).nth(t).nth(unit as u64).value() < bound;
            let pre: Vec<u32> = (0..n as u32).filter(|&i| fires(i as usize)).collect();
            let post: &[u32] = if fires(n) { &[0] } else { &[] };
            learning.step(&moment(&pre, post)).unwrap();
            if t >= 50_000 && t % 1000 == 0 {
                let w = learning.take().map_or(&[][..], |w| w);
                (sum, count) = (sum + w.iter().copied().map(f64::from).sum::<f64>(), count + w.len() as f64);
            }
        }
        let (rho_pre, rho_post) = (decay(1e-3, 0.01f64), decay(1e-3, 0.025f64));
        let discrete = 1.0 + ((1.0 - rho_post) / rho_post / (1.0 - rho_pre)).ln();
        assert!((discrete - 0.0837).abs() < 0.08, "{discrete}: the continuous fixed point, but for the step of 1 ms");
        assert!((sum / count - discrete).abs() < 0.02, "{}, not {discrete}", sum / count);
    }

    #[test]
    fn impossible_parameters_are_named() {
        let usual = StdpEm::default();
        for (name, rule) in [
            ("eta", StdpEm { eta: -1.0, ..usual }),
            ("tau_pre", StdpEm { tau_pre: 0.0, ..usual }),
            ("tau_post", StdpEm { tau_post: f64::NAN, ..usual }),
            ("low", StdpEm { low: 1.0, ..usual }),
        ] {
            let error = rule.on(WIRES, &[0.5; 6], Seed::new(0)).err().unwrap().to_string();
            assert!(error.contains(&format!("`{name}`")), "{error}");
        }
    }
}
