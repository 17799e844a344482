//! Neurons of any model in s16.15: the same equation as everywhere, run on the chip's numbers.

use super::random::Kiss;
use snn_core::net::{Escape, Population, Transfer};
use snn_core::neuron::{Neuron, Output, Visit};
use snn_core::{Fix, Real, Vars};
use std::ops::Range;

/// The number of neuron models.
pub(crate) type Number = Fix<15>;

/// Who fired at a step, and what their events are worth where events have values.
#[derive(Default)]
pub(crate) struct Fired {
    pub(crate) units: Vec<u32>,
    pub(crate) values: Vec<Number>,
}

/// The neurons of a population.
pub(crate) trait Cells: Send {
    /// To rest.
    fn rest(&mut self);
    /// Takes some neurons of the population, those of one core, over step `t`: adds those that fired.
    fn step(&mut self, t: usize, neurons: Range<usize>, input: &[Number], random: &mut Kiss, fired: &mut Fired);
    /// Graded output at the last step.
    fn output(&self) -> &[Number];
    /// The probability with which each neuron fired at the last step; empty without escape noise.
    fn chances(&self) -> &[Fix<31>];
}

/// The neurons of a population, to be run with exponentials of so many iterations.
pub(crate) fn cells(population: &Population, dt: f64, iterations: u32) -> Box<dyn Cells> {
    struct Build<'a>(&'a Population, f64, u32);
    impl Visit for Build<'_> {
        type Out = Box<dyn Cells>;
        fn visit<N: Neuron>(self, model: &N) -> Box<dyn Cells> {
            let Build(population, dt, iterations) = self;
            let (size, period) = (population.size, model.period());
            let consts = (0..period).flat_map(|phase| (0..size).map(move |j| model.consts_at(j, dt, phase))).collect();
            let mut typed = Typed::<N> {
                consts,
                state: Vec::new(),
                fired: vec![false; size],
                quiet: vec![0; size],
                refractory: population.refractory_steps(dt) as u32,
                current: population.current.iter(size).map(Number::of).collect(),
                chance: population.escape.as_ref().map(|escape| Chance::new(escape, dt, iterations)),
                chances: vec![Fix::from_raw(0); if population.escape.is_some() { size } else { 0 }],
                output: vec![Number::of(0.0); if N::OUTPUT == Output::Graded { size } else { 0 }],
            };
            typed.rest();
            Box::new(typed)
        }
    }
    population.model.visit(Build(population, dt, iterations))
}

/// Escape noise by the accelerator, in s0.31: `1 − exp(−exp(u/width + ln(rate·dt)))`, or `1 − exp(−max(u, 0)·rate·dt/width)`.
struct Chance {
    offset: Number,
    sharp: Number,
    transfer: Transfer,
    iterations: u32,
}

impl Chance {
    fn new(escape: &Escape, dt: f64, iterations: u32) -> Self {
        let (offset, sharp) = match escape.transfer {
            Transfer::Exponential => (escape.offset(dt), 1.0 / escape.width),
            Transfer::Linear => (0.0, escape.rate * dt / escape.width),
        };
        Chance { offset: Number::of(offset), sharp: Number::of(sharp), transfer: escape.transfer, iterations }
    }

    fn of(&self, u: Number) -> Fix<31> {
        let (x, zero) = (u * self.sharp + self.offset, Number::of(0.0));
        let silent = match self.transfer {
            Transfer::Linear if x <= zero => return Fix::from_raw(0),
            Transfer::Linear => (-x).exp_to::<31>(self.iterations),
            // A rate below 1 per step needs all bits after the point, one above has none to spare.
            Transfer::Exponential if x < zero => (-x.exp_to::<31>(self.iterations)).exp_to::<31>(self.iterations),
            Transfer::Exponential => (-x.exp_to::<15>(self.iterations)).exp_to::<31>(self.iterations),
        };
        Fix::from_raw(i32::MAX - silent.raw())
    }
}

struct Typed<N: Neuron> {
    consts: Vec<N::Consts<Number>>, // [phase][neuron]
    state: Vec<N::State<Number>>,
    fired: Vec<bool>, // at the last step
    quiet: Vec<u32>,  // steps for which it is still refractory
    refractory: u32,
    current: Vec<Number>,
    chance: Option<Chance>,
    chances: Vec<Fix<31>>,
    output: Vec<Number>,
}

impl<N: Neuron> Cells for Typed<N> {
    fn rest(&mut self) {
        self.state.clear();
        self.state.resize(self.fired.len(), N::State::from_fn(|_| Number::of(0.0)));
        self.fired.fill(false);
        self.quiet.fill(0);
        self.chances.fill(Fix::from_raw(0));
        self.output.fill(Number::of(0.0));
    }

    fn step(&mut self, t: usize, neurons: Range<usize>, input: &[Number], random: &mut Kiss, fired: &mut Fired) {
        let (size, zero) = (self.fired.len(), Number::of(0.0));
        let consts = &self.consts[t % (self.consts.len() / size) * size..];
        for j in neurons {
            let z = Number::of(if self.fired[j] { 1.0 } else { 0.0 });
            let (state, u) = N::step(consts[j], self.state[j], z, N::Inputs::from_fn(|_| input[j] + self.current[j]));
            self.state[j] = state;
            if N::OUTPUT == Output::Graded {
                self.output[j] = u;
                continue;
            }
            let free = self.quiet[j] == 0;
            self.quiet[j] = self.quiet[j].saturating_sub(1);
            let fires = match &self.chance {
                None if N::OUTPUT == Output::Linear => u != zero,
                None => free && u > zero,
                Some(chance) => {
                    self.chances[j] = if free { chance.of(u) } else { Fix::from_raw(0) };
                    free && ((random.bits() >> 1) as i32) < self.chances[j].raw()
                }
            };
            self.fired[j] = fires;
            if fires {
                self.quiet[j] = self.refractory;
                fired.units.push(j as u32);
                match N::OUTPUT {
                    Output::Rectified | Output::Linear => fired.values.push(u),
                    Output::Weighted => fired.values.push(N::worth(consts[j], state)),
                    Output::Spike | Output::Graded => {}
                }
            }
        }
    }

    fn output(&self) -> &[Number] {
        &self.output
    }
    fn chances(&self) -> &[Fix<31>] {
        &self.chances
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_are_exact_to_the_rounding_of_the_potential() {
        let escape = Escape { rate: 1.0, width: 1.0, transfer: Transfer::Exponential };
        let unit = Chance::new(&escape, 1e-3, 16);
        for u in (-80..110).map(|k| 0.1 * f64::from(k)) {
            let (found, expected) = (unit.of(Number::of(u)).value(), escape.chance(Number::of(u).value(), 1e-3));
            // The offset is rounded to 2⁻¹⁶, which is as much of the rate.
            assert!((found - expected).abs() <= expected * 2f64.powi(-15) + 2f64.powi(-30), "u = {u}: {found}, not {expected}");
        }
        assert_eq!(unit.of(Number::of(-60_000.0)).raw(), 0, "nobody fires from far below");
        let linear = Escape { rate: 1.0, width: 1.0, transfer: Transfer::Linear };
        let unit = Chance::new(&linear, 1e-3, 16);
        for u in (-20..200).map(|k| 0.5 * f64::from(k)) {
            let (found, expected) = (unit.of(Number::of(u)).value(), linear.chance(u, 1e-3));
            // The slope of 1/1000 is 33/32768 on the chip, and products have 15 bits after the point.
            assert!((found - expected).abs() <= 0.008 * expected + 2f64.powi(-15), "u = {u}: {found}, not {expected}");
        }
    }
}
