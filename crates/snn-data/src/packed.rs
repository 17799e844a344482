//! Many generated trials in little memory.

use snn_core::Raster;

/// Trials of equal shape, 4 bytes per event: the number `step · inputs + input`, sorted within a trial.
pub(crate) struct Packed {
    inputs: usize,
    steps: usize,
    ends: Vec<usize>,
    codes: Vec<u32>,
}

impl Packed {
    /// No trials. `inputs · steps` is at most 2³² ([`Packed::fits`]).
    pub fn new(inputs: usize, steps: usize) -> Self {
        Packed { inputs, steps, ends: vec![0], codes: Vec::new() }
    }

    /// Whether every event of such a trial has a code.
    pub fn fits(inputs: usize, steps: usize) -> bool {
        inputs.checked_mul(steps).is_some_and(|codes| codes as u64 <= 1 << 32)
    }

    /// Appends a trial of `(step, input)` events in any order; an event given twice counts once.
    pub fn push(&mut self, events: impl Iterator<Item = (usize, usize)>) {
        let mut codes: Vec<u32> = events.map(|(step, input)| (step * self.inputs + input) as u32).collect();
        codes.sort_unstable();
        codes.dedup();
        self.codes.extend(codes);
        self.ends.push(self.codes.len());
    }

    /// Number of trials.
    pub fn len(&self) -> usize {
        self.ends.len() - 1
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Number of steps.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Unpacks trial `index`. Time O(events + steps).
    pub fn load(&self, index: usize, into: &mut Raster) {
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
            let mut packed = Packed::new(5, 6);
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
