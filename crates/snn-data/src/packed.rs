//! Many trials in little memory.

use snn_core::{Dataset, Raster, Target};

/// Spike trains of equal shape. Memory: 4 bytes per event; loading a trial takes O(events + steps).
pub(crate) struct Packed {
    inputs: usize,
    steps: usize,
    ends: Vec<usize>,
    codes: Vec<u32>, // step · inputs + input, sorted within a trial
}

impl Packed {
    /// No trials. `inputs · steps` is at most 2³² ([`Packed::fits`]).
    pub(crate) fn new(inputs: usize, steps: usize) -> Self {
        Packed { inputs, steps, ends: vec![0], codes: Vec::new() }
    }

    /// Whether every event of such a trial has a code.
    pub(crate) fn fits(inputs: usize, steps: usize) -> bool {
        inputs.checked_mul(steps).is_some_and(|codes| codes as u64 <= 1 << 32)
    }

    /// Appends a trial of `(step, input)` events in any order; an event given twice counts once.
    pub(crate) fn push(&mut self, events: impl Iterator<Item = (usize, usize)>) {
        let mut codes: Vec<u32> = events.map(|(step, input)| (step * self.inputs + input) as u32).collect();
        codes.sort_unstable();
        codes.dedup();
        self.codes.extend(codes);
        self.ends.push(self.codes.len());
    }

    /// Appends the trials of another, of the same shape.
    pub(crate) fn append(&mut self, other: &Packed) {
        let before = self.codes.len();
        self.codes.extend(&other.codes);
        self.ends.extend(other.ends[1..].iter().map(|end| before + end));
    }

    fn len(&self) -> usize {
        self.ends.len() - 1
    }

    /// Events of a trial.
    #[cfg(test)]
    pub(crate) fn events(&self, index: usize) -> usize {
        self.ends[index + 1] - self.ends[index]
    }

    fn load(&self, index: usize, into: &mut Raster) {
        let mut codes = &self.codes[self.ends[index]..self.ends[index + 1]];
        into.reset(self.inputs, self.steps);
        into.write(|step, units| {
            let first = step * self.inputs;
            let n = codes.iter().take_while(|&&code| (code as usize) < first + self.inputs).count();
            let (now, later) = codes.split_at(n);
            units.extend(now.iter().map(|&code| (code as usize - first) as u32));
            codes = later;
        });
    }
}

/// Generated trials of equal shape: trial `i` is of class `i mod classes`. Made by [`TemplateParams`](crate::TemplateParams),
/// [`RandmanParams`](crate::RandmanParams) and [`XorParams`](crate::XorParams).
///
/// Memory: 4 bytes per event. Loading a trial takes O(events + steps).
pub struct Generated {
    set: Recorded,
}

impl Generated {
    /// No trials. `inputs · steps` is at most 2³² ([`Packed::fits`]).
    pub(crate) fn new(name: String, classes: usize, inputs: usize, steps: usize) -> Self {
        Generated { set: Recorded { name, classes, labels: Vec::new(), trials: Packed::new(inputs, steps), cut: 0 } }
    }

    /// Appends a trial, as [`Packed::push`].
    pub(crate) fn push(&mut self, events: impl Iterator<Item = (usize, usize)>) {
        let class = self.set.trials.len() % self.set.classes;
        self.set.labels.push(class as u16);
        self.set.trials.push(events);
    }
}

/// Recorded trials of equal shape, each with its class: what data sets hold.
pub(crate) struct Recorded {
    pub(crate) name: String,
    pub(crate) classes: usize,
    pub(crate) labels: Vec<u16>,
    pub(crate) trials: Packed,
    /// Events, or recordings, that reached beyond the last step.
    pub(crate) cut: usize,
}

impl Dataset for Recorded {
    fn name(&self) -> &str {
        &self.name
    }
    fn len(&self) -> usize {
        self.trials.len()
    }
    fn inputs(&self) -> usize {
        self.trials.inputs
    }
    fn steps(&self) -> usize {
        self.trials.steps
    }
    fn classes(&self) -> usize {
        self.classes
    }
    fn target(&self, index: usize) -> Target<'_> {
        Target::Class(self.labels[index].into())
    }
    fn load(&self, index: usize, into: &mut Raster) {
        self.trials.load(index, into);
    }
}

/// A type whose field `set` is [`Recorded`] is the data set that it holds.
macro_rules! is_its_set {
    ($name:ty) => {
        impl snn_core::Dataset for $name {
            fn name(&self) -> &str {
                self.set.name()
            }
            fn len(&self) -> usize {
                self.set.len()
            }
            fn inputs(&self) -> usize {
                self.set.inputs()
            }
            fn steps(&self) -> usize {
                self.set.steps()
            }
            fn classes(&self) -> usize {
                self.set.classes()
            }
            fn target(&self, index: usize) -> snn_core::Target<'_> {
                self.set.target(index)
            }
            fn load(&self, index: usize, into: &mut snn_core::Raster) {
                self.set.load(index, into)
            }
        }
    };
}
pub(crate) use is_its_set;
is_its_set!(Generated);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn trials_come_back_as_filled(trials in prop::collection::vec(prop::collection::vec((0usize..6, 0usize..5), 0..30), 1..5), cut in 0usize..5) {
            let mut packed = Packed::new(5, 6);
            let mut rest = Packed::new(5, 6);
            for (i, trial) in trials.iter().enumerate() {
                if i < cut { &mut packed } else { &mut rest }.push(trial.iter().copied());
            }
            packed.append(&rest);
            prop_assert_eq!(packed.len(), trials.len());
            let (mut loaded, mut filled) = (Raster::default(), Raster::new(5, 6));
            for (i, trial) in trials.iter().enumerate() {
                packed.load(i, &mut loaded);
                filled.fill(trial.iter().map(|&(t, u)| (t as u32, u as u32)));
                prop_assert_eq!(loaded.iter().collect::<Vec<_>>(), filled.iter().collect::<Vec<_>>());
            }
        }
    }
}
