//! Many generated trials in little memory.

use snn_core::{Dataset, Raster, Target};

/// Generated trials of equal shape: trial `i` is of class `i mod classes`. Made by [`TemplateParams`](crate::TemplateParams) and
/// [`RandmanParams`](crate::RandmanParams).
///
/// Memory: 4 bytes per event. Loading a trial takes O(events + steps).
pub struct Generated {
    name: String,
    classes: usize,
    inputs: usize,
    steps: usize,
    ends: Vec<usize>,
    codes: Vec<u32>, // step · inputs + input, sorted within a trial
}

impl Generated {
    /// No trials. `inputs · steps` is at most 2³² ([`Generated::fits`]).
    pub(crate) fn new(name: String, classes: usize, inputs: usize, steps: usize) -> Self {
        Generated { name, classes, inputs, steps, ends: vec![0], codes: Vec::new() }
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
}

impl Dataset for Generated {
    fn name(&self) -> &str {
        &self.name
    }
    fn len(&self) -> usize {
        self.ends.len() - 1
    }
    fn inputs(&self) -> usize {
        self.inputs
    }
    fn steps(&self) -> usize {
        self.steps
    }
    fn classes(&self) -> usize {
        self.classes
    }
    fn target(&self, index: usize) -> Target<'_> {
        Target::Class(index % self.classes)
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn trials_come_back_as_filled(trials in prop::collection::vec(prop::collection::vec((0usize..6, 0usize..5), 0..30), 1..5)) {
            let mut packed = Generated::new("events".into(), 2, 5, 6);
            trials.iter().for_each(|trial| packed.push(trial.iter().copied()));
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
