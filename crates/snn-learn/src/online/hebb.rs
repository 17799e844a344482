//! Hebb's rule with decay.

use super::{Moment, Online, OnlineError, OnlineRule, Wires};
use serde::{Deserialize, Serialize};
use snn_core::Seed;
use snn_core::neuron::decay;

/// Hebb's rule with decay: what fires together is joined, and everything fades. Reward and chance play no part.
///
/// ```text
/// x ← ρ·x + y,   ρ = exp(−dt/τ)                             trace of a source; y: does a spike of it arrive
/// w ← κ·w + η·x·z,   κ = exp(−λ·dt)                          z: did the target fire
/// ```
/// A weight is drawn to `η·⟨x·z⟩/(1 − κ)`. As `x` never exceeds `1/(1 − ρ)`, neither does a weight exceed `η/((1 − ρ)(1 − κ))`, or what it began
/// with if that is more. Weights come out after every step. Memory: 12 bytes per link; cost: a multiplication and an addition per link and step.
///
/// | parameter | meaning | default |
/// |---|---|---|
/// | `eta` | learning rate η | 0.002 |
/// | `lambda` | decay λ (1/s) | 0.1 |
/// | `tau` | time constant of the trace (s) | 0.02 |
///
/// Source: Hebb 1949; with decay as in Gerstner & Kistler 2002, section 10.2. The defaults are ours.
///
/// ```
/// use snn_core::{Seed, net::Links};
/// use snn_learn::online::{Hebb, Moment, Online, OnlineRule, Wires};
/// let wires = Wires { links: &Links::All, sources: 2, targets: 1, dt: 1e-3 };
/// let mut rule = Hebb { eta: 0.1, lambda: 0.0, tau: 0.02 }.on(wires, &[0.5, 0.5], Seed::new(0))?;
/// rule.step(&Moment { pre: &[1], post: &[0], chance: &[], reward: 0.0 })?;
/// assert_eq!(rule.take(), Some(&[0.5, 0.6][..]));
/// # Ok::<(), snn_learn::online::OnlineError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hebb {
    /// Learning rate.
    pub eta: f64,
    /// Decay (1/s).
    pub lambda: f64,
    /// Time constant of the trace (s).
    pub tau: f64,
}

impl Default for Hebb {
    fn default() -> Self {
        Hebb { eta: 0.002, lambda: 0.1, tau: 0.02 }
    }
}

const NAME: &str = "hebb";

impl Online for Hebb {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on(&self, wires: Wires<'_>, weights: &[f32], _: Seed) -> Result<Box<dyn OnlineRule>, OnlineError> {
        for (parameter, value) in [("eta", self.eta), ("lambda", self.lambda), ("tau", self.tau)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(OnlineError::Parameter { rule: NAME, parameter, value, wanted: "zero or more" });
            }
        }
        let weights = wires.weights(NAME, weights)?;
        Ok(Box::new(Learning {
            eta: self.eta as f32,
            fade: decay(wires.dt, self.tau) as f32,
            keep: (-self.lambda * wires.dt).exp() as f32,
            trace: vec![0.0; wires.sources],
            fired: vec![0.0; wires.targets],
            links: wires.links.triplets(wires.sources, wires.targets).map(|(i, j, _)| [i as u32, j as u32]).collect(),
            weights,
            fresh: false,
        }))
    }
}

/// [`Hebb`] at work.
struct Learning {
    eta: f32,
    fade: f32,
    keep: f32,
    trace: Vec<f32>,      // by source
    fired: Vec<f32>,      // by target, 0 or 1
    links: Vec<[u32; 2]>, // source and target
    weights: Vec<f32>,    // by link
    fresh: bool,
}

impl OnlineRule for Learning {
    fn name(&self) -> &'static str {
        NAME
    }

    fn step(&mut self, moment: &Moment<'_>) -> Result<(), OnlineError> {
        self.trace.iter_mut().for_each(|x| *x *= self.fade);
        moment.pre.iter().for_each(|i| self.trace[*i as usize] += 1.0);
        moment.post.iter().for_each(|j| self.fired[*j as usize] = 1.0);
        for (w, [i, j]) in self.weights.iter_mut().zip(&self.links) {
            *w = self.keep * *w + self.eta * self.trace[*i as usize] * self.fired[*j as usize];
        }
        moment.post.iter().for_each(|j| self.fired[*j as usize] = 0.0);
        self.fresh = true;
        Ok(())
    }

    fn take(&mut self) -> Option<&[f32]> {
        std::mem::take(&mut self.fresh).then_some(&self.weights[..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use snn_core::net::Links;

    const WIRES: Wires<'static> = Wires { links: &Links::All, sources: 2, targets: 1, dt: 1e-3 };

    proptest! {
        /// Who fires at every step goes to the fixed point; nobody goes beyond it.
        #[test]
        fn weights_are_bounded_by_the_fixed_point(
            start in 0.0f32..30.0, eta in 1e-3f64..0.1, lambda in 2.0f64..20.0, tau in 1e-3f64..0.05, key in any::<u64>()
        ) {
            let mut rule = Hebb { eta, lambda, tau }.on(WIRES, &[start, start], Seed::new(0)).unwrap();
            let bound = (eta / (1.0 - decay(1e-3, tau)) / (1.0 - (-lambda * 1e-3).exp())) as f32;
            let mut last = [start, start];
            for t in 0..10_000 {
                let pre: &[u32] = if Seed::new(key).nth(t).value().is_multiple_of(3) { &[0, 1] } else { &[0] };
                rule.step(&Moment { pre, post: &[0], chance: &[], reward: 0.0 }).unwrap();
                last.copy_from_slice(rule.take().unwrap());
                prop_assert!(last.iter().all(|w| *w <= 1.001 * bound.max(start)), "{last:?}, bound {bound}");
            }
            prop_assert!((last[0] - bound).abs() < 2e-3 * bound, "{} at the end, fixed point {bound}", last[0]);
            prop_assert!(last[1] < 0.9 * last[0], "{last:?}");
        }
    }

    #[test]
    fn impossible_parameters_are_named() {
        for (name, rule) in [("eta", Hebb { eta: -1.0, ..Hebb::default() }), ("tau", Hebb { tau: f64::NAN, ..Hebb::default() })] {
            let error = rule.on(WIRES, &[0.0; 2], Seed::new(0)).err().unwrap().to_string();
            assert!(error.contains(name) && error.contains("zero or more"), "{error}");
        }
    }
}
