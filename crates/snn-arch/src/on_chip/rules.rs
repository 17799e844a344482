//! Rules as programs of the plasticity processor: fixed-point numbers in, weights out.

use crate::search::Space;
use serde::{Deserialize, Serialize};
use snn_hw::dls::{Ppu, Q8};

/// What a rule is told of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// State.
    pub state: usize,
    /// What was done in it.
    pub action: usize,
    /// The state after it.
    pub next: usize,
    /// Reward.
    pub reward: Q8,
    /// Share of the life that is over.
    pub time: Q8,
}

/// A rule of plasticity: it sees a decision and the processor's memory, and writes weights.
pub trait Rule: Send {
    /// The weights at the begin of a life.
    fn start(&self) -> u8;
    /// Forgets the last life.
    fn begin(&mut self);
    /// Learns from a decision.
    fn learn(&mut self, event: &Event, ppu: &mut Ppu);
}

/// The nearest fixed-point number: what the host does with a parameter before it loads it.
pub fn fixed(x: f64) -> Q8 {
    Q8::raw((256.0 * x).round() as i16) // a conversion from a float saturates
}

/// The hand-made rule: the weight of the arm that was pulled follows its reward.
///
/// ```text
/// w_a ← w_a + rate·(63·r − w_a), rounded at random
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandMade {
    /// Learning rate.
    pub rate: Q8,
    /// Weights at the begin: high ones make it try everything.
    pub start: u8,
}

impl Rule for HandMade {
    fn start(&self) -> u8 {
        self.start
    }
    fn begin(&mut self) {}
    fn learn(&mut self, event: &Event, ppu: &mut Ppu) {
        let weight = Q8::int(ppu.weight(event.state, event.action) as i8);
        let step = self.rate * (Q8::int(63) * event.reward - weight);
        ppu.spend(3);
        let step = ppu.round(step);
        ppu.add(event.state, event.action, step);
    }
}

/// Meta-plasticity: the rule is a small network, and its weights are what the outer loop learns.
///
/// ```text
/// x = (w_a/32 − 1, 2r − 1, ±1 whether a was chosen, t/T),   h = tanh(A·x + b)  (5 units),   w_a ← w_a + 16·tanh(c·h + d), rounded at random
/// ```
/// It is evaluated for every action, so that one arm can tell of the other. 31 numbers: rows of A with their b, then c and d.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The numbers.
    pub weights: [Q8; Meta::SIZE],
    /// Weights at the begin.
    pub start: u8,
    /// Actions.
    pub actions: usize,
}

impl Meta {
    const INPUTS: usize = 4;
    const HIDDEN: usize = 5;
    /// Numbers of the network.
    pub const SIZE: usize = Meta::HIDDEN * (Meta::INPUTS + 1) + Meta::HIDDEN + 1;

    /// `tanh(c·h + d)`.
    fn evaluate(&self, x: [Q8; Meta::INPUTS]) -> Q8 {
        let (first, second) = self.weights.split_at(Meta::HIDDEN * (Meta::INPUTS + 1));
        let unit = |row: &[Q8], x: &[Q8]| row.iter().zip(x).fold(row[x.len()], |sum, (w, x)| sum + *w * *x).tanh();
        let mut hidden = [Q8::ZERO; Meta::HIDDEN];
        hidden.iter_mut().zip(first.chunks(Meta::INPUTS + 1)).for_each(|(h, row)| *h = unit(row, &x));
        unit(second, &hidden)
    }
}

impl Rule for Meta {
    fn start(&self) -> u8 {
        self.start
    }
    fn begin(&mut self) {}
    fn learn(&mut self, event: &Event, ppu: &mut Ppu) {
        for action in 0..self.actions {
            let weight = Q8::raw(8 * i16::from(ppu.weight(event.state, action))) - Q8::ONE;
            let chosen = if action == event.action { Q8::ONE } else { Q8::int(-1) };
            let step = Q8::int(16) * self.evaluate([weight, event.reward + event.reward - Q8::ONE, chosen, event.time]);
            ppu.spend(2 * Meta::SIZE as u64 + 10 * (Meta::HIDDEN as u64 + 1));
            let step = ppu.round(step);
            ppu.add(event.state, action, step);
        }
    }
}

/// Learning by temporal differences with eligibility traces, for worlds with states.
///
/// ```text
/// e ← γλ·e,   e_sa ← e_sa + c_sa/128             c: the sensor of the synapse that won
/// δ = scale·r + γ·max_a w_s'a − w_sa
/// w ← w + rate·δ·e, rounded at random
/// ```
/// A weight is a value in units of `1/scale` of reward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Td {
    /// Learning rate.
    pub rate: Q8,
    /// Discount γ.
    pub gamma: Q8,
    /// Decay λ of the traces.
    pub lambda: Q8,
    /// Weights per unit of reward.
    pub scale: Q8,
    /// Weights at the begin.
    pub start: u8,
    /// Actions.
    pub actions: usize,
    /// Traces `[state][action]`: 0 at first.
    pub traces: Vec<Q8>,
}

impl Rule for Td {
    fn start(&self) -> u8 {
        self.start
    }
    fn begin(&mut self) {
        self.traces.fill(Q8::ZERO);
    }
    fn learn(&mut self, event: &Event, ppu: &mut Ppu) {
        let Event { state, action, next, reward, .. } = *event;
        let fade = self.gamma * self.lambda;
        self.traces.iter_mut().for_each(|e| *e = fade * *e);
        let seen = Q8::raw(2 * i16::from(ppu.causal(state, action)));
        if let Some(e) = self.traces.get_mut(state * self.actions + action) {
            *e = *e + seen;
        }
        let weight = |ppu: &mut Ppu, s: usize, a: usize| Q8::int(ppu.weight(s, a) as i8);
        let value = (0..self.actions).fold(Q8::ZERO, |best, a| best.max(weight(ppu, next, a)));
        let delta = self.scale * reward + self.gamma * value - weight(ppu, state, action);
        ppu.spend(6 + 3 * self.traces.len() as u64);
        for (k, e) in self.traces.iter().enumerate().filter(|(_, e)| **e != Q8::ZERO) {
            let step = ppu.round(self.rate * delta * *e);
            ppu.add(k / self.actions, k % self.actions, step);
        }
    }
}

/// A kind of rule, with the numbers an outer loop may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// [`HandMade`].
    HandMade,
    /// [`Meta`].
    Meta,
    /// [`Td`].
    Td,
}

impl Kind {
    /// What an outer loop may choose. The first parameter is the exploration noise of the chip, in units of a weight.
    pub fn space(self) -> Space {
        let chip = Space::default().linear("noise", 0.0, 8.0).linear("start", 0.0, 63.0);
        match self {
            Kind::HandMade => chip.log("rate", 0.01, 1.0),
            Kind::Meta => chip.many("w", Meta::SIZE, -3.0, 3.0),
            Kind::Td => chip.log("rate", 0.01, 1.0).linear("gamma", 0.0, 0.99).linear("lambda", 0.0, 0.99).log("scale", 2.0, 63.0),
        }
    }

    /// The noise and the rule of these values of the space.
    pub fn rule(self, values: &[f64], states: usize, actions: usize) -> (f64, Box<dyn Rule>) {
        let at = |k: usize| values.get(k).copied().unwrap_or(0.0);
        let start = at(1).round() as u8;
        let rule: Box<dyn Rule> = match self {
            Kind::HandMade => Box::new(HandMade { rate: fixed(at(2)), start }),
            Kind::Meta => Box::new(Meta { weights: std::array::from_fn(|k| fixed(at(2 + k))), start, actions }),
            Kind::Td => {
                let traces = vec![Q8::ZERO; states * actions];
                Box::new(Td { rate: fixed(at(2)), gamma: fixed(at(3)), lambda: fixed(at(4)), scale: fixed(at(5)), start, actions, traces })
            }
        };
        (at(0), rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The network in fixed point is the network in floating point, to the steps of the table and of the products.
    #[test]
    fn the_network_is_what_it_says() {
        for k in 0..200u64 {
            let weights: [Q8; Meta::SIZE] =
                std::array::from_fn(|i| Q8::raw((snn_core::Seed::new(k).nth(i as u64).value() % 1537) as i16 - 768));
            let meta = Meta { weights, start: 0, actions: 2 };
            let x = [Q8::raw(100), Q8::ONE, Q8::int(-1), Q8::raw(77)];
            let f = |q: Q8| f64::from(q.bits()) / 256.0;
            let unit = |row: &[Q8], x: &[f64]| (f(row[x.len()]) + row.iter().zip(x).map(|(w, x)| f(*w) * x).sum::<f64>()).tanh();
            let hidden: Vec<f64> = weights[..25].chunks(5).map(|row| unit(row, &x.map(f))).collect();
            let wanted = unit(&weights[25..], &hidden);
            assert!((f(meta.evaluate(x)) - wanted).abs() < 0.08, "{k}: {} {wanted}", f(meta.evaluate(x)));
        }
    }

    #[test]
    fn a_step_of_temporal_differences_by_hand() {
        let mut ppu = Ppu::new(1);
        [(0, 0, 20), (0, 1, 30), (1, 0, 10), (1, 1, 40)].iter().for_each(|&(s, a, w)| ppu.write(s, a, w));
        let mut td = Td {
            rate: fixed(0.5),
            gamma: fixed(0.5),
            lambda: fixed(0.5),
            scale: Q8::int(32),
            start: 0,
            actions: 2,
            traces: vec![Q8::ZERO, Q8::ZERO, Q8::ONE, Q8::ZERO],
        };
        // No sensor has seen anything: the trace of (1, 0) is ¼ now. δ = 32 + ½·40 − 20 = 32; ½·32·¼ = 4.
        td.learn(&Event { state: 0, action: 0, next: 1, reward: Q8::ONE, time: Q8::ZERO }, &mut ppu);
        assert_eq!([(0, 0), (0, 1), (1, 0), (1, 1)].map(|(s, a)| ppu.weight(s, a)), [20, 30, 14, 40]);
    }
}
