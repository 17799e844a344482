//! Trials to learn from: spike trains in, what should come out.

use crate::Raster;

/// What the network should answer to one trial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target<'a> {
    /// A class index.
    Class(usize),
    /// One value per step and output unit, `[steps × outputs]`, time-major.
    Series(&'a [f32]),
}

/// A set of labelled spike trains: indexable, and loaded from many threads at once.
///
/// Trials are encoded when they are asked for, so memory is that of the raw data.
pub trait Dataset: Sync {
    /// Name for tables and logs.
    fn name(&self) -> &str;
    /// Number of trials.
    fn len(&self) -> usize;
    /// Whether there are no trials.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Input channels.
    fn inputs(&self) -> usize;
    /// Time steps of every trial.
    fn steps(&self) -> usize;
    /// Number of classes; 0 for regression.
    fn classes(&self) -> usize;
    /// Writes the input spikes of trial `index` (`0..len`) into `into`, resized as needed.
    fn load(&self, index: usize, into: &mut Raster);
    /// What trial `index` should give.
    fn target(&self, index: usize) -> Target<'_>;
}

/// Trials held in memory: the smallest data set, for one's own recordings and for tests.
///
/// ```
/// use snn_core::{Dataset, Raster, Trials};
/// let mut trials = Trials::new("two", 3, 10, 2);
/// let mut raster = Raster::new(3, 10);
/// raster.fill([(0, 1), (4, 2)]);
/// trials.push(raster, 1);
/// assert_eq!((trials.len(), trials.inputs(), trials.steps(), trials.classes()), (1, 3, 10, 2));
/// ```
#[derive(Clone, Debug)]
pub struct Trials {
    name: String,
    inputs: usize,
    steps: usize,
    classes: usize,
    rasters: Vec<Raster>,
    labels: Vec<usize>,
    series: Vec<Vec<f32>>,
}

impl Trials {
    /// No trials yet. `classes` is 0 for regression on target series.
    pub fn new(name: &str, inputs: usize, steps: usize, classes: usize) -> Self {
        Trials { name: name.into(), inputs, steps, classes, rasters: Vec::new(), labels: Vec::new(), series: Vec::new() }
    }

    /// Adds a trial of class `label`.
    ///
    /// # Panics
    /// If the raster has another shape or the class does not exist.
    #[track_caller]
    pub fn push(&mut self, raster: Raster, label: usize) {
        assert!((raster.units(), raster.steps()) == (self.inputs, self.steps), "a trial of another shape");
        assert!(label < self.classes, "class {label} of {}", self.classes);
        self.rasters.push(raster);
        self.labels.push(label);
    }

    /// Adds a trial with a target value per step and output, time-major.
    ///
    /// # Panics
    /// If the raster has another shape, or the data set has classes.
    #[track_caller]
    pub fn push_series(&mut self, raster: Raster, target: Vec<f32>) {
        assert!((raster.units(), raster.steps()) == (self.inputs, self.steps), "a trial of another shape");
        assert!(self.classes == 0, "a target series in a data set of classes");
        self.rasters.push(raster);
        self.series.push(target);
    }
}

impl Dataset for Trials {
    fn name(&self) -> &str {
        &self.name
    }
    fn len(&self) -> usize {
        self.rasters.len()
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
    fn load(&self, index: usize, into: &mut Raster) {
        into.clone_from(&self.rasters[index]);
    }
    fn target(&self, index: usize) -> Target<'_> {
        if self.classes > 0 { Target::Class(self.labels[index]) } else { Target::Series(&self.series[index]) }
    }
}

/// A choice of trials of another data set, in the given order: a split, a fold, a shuffled epoch.
pub struct Subset<'a> {
    of: &'a dyn Dataset,
    indices: Vec<usize>,
}

impl<'a> Subset<'a> {
    /// The trials `indices` of `of`.
    ///
    /// # Panics
    /// If an index is out of range.
    #[track_caller]
    pub fn new(of: &'a dyn Dataset, indices: Vec<usize>) -> Self {
        assert!(indices.iter().all(|&i| i < of.len()), "a subset of {} names a trial beyond its {}", of.name(), of.len());
        Subset { of, indices }
    }
}

impl Dataset for Subset<'_> {
    fn name(&self) -> &str {
        self.of.name()
    }
    fn len(&self) -> usize {
        self.indices.len()
    }
    fn inputs(&self) -> usize {
        self.of.inputs()
    }
    fn steps(&self) -> usize {
        self.of.steps()
    }
    fn classes(&self) -> usize {
        self.of.classes()
    }
    fn load(&self, index: usize, into: &mut Raster) {
        self.of.load(self.indices[index], into);
    }
    fn target(&self, index: usize) -> Target<'_> {
        self.of.target(self.indices[index])
    }
}

/// Several data sets of one shape, one after the other: to fold what comes in parts.
pub struct Chain<'a> {
    parts: Vec<&'a dyn Dataset>,
}

impl<'a> Chain<'a> {
    /// The trials of `parts`, in order.
    ///
    /// # Panics
    /// If there are no parts, or they differ in channels, steps or classes.
    #[track_caller]
    pub fn new(parts: Vec<&'a dyn Dataset>) -> Self {
        let shape = |part: &dyn Dataset| (part.inputs(), part.steps(), part.classes());
        assert!(!parts.is_empty() && parts.iter().all(|part| shape(*part) == shape(parts[0])), "parts of different shapes");
        Chain { parts }
    }

    /// The part that trial `index` is in, and its place there.
    fn place(&self, mut index: usize) -> (&'a dyn Dataset, usize) {
        for part in &self.parts {
            match index.checked_sub(part.len()) {
                Some(later) => index = later,
                None => return (*part, index),
            }
        }
        panic!("trial beyond the {} there are", self.len())
    }
}

impl Dataset for Chain<'_> {
    fn name(&self) -> &str {
        self.parts[0].name()
    }
    fn len(&self) -> usize {
        self.parts.iter().map(|part| part.len()).sum()
    }
    fn inputs(&self) -> usize {
        self.parts[0].inputs()
    }
    fn steps(&self) -> usize {
        self.parts[0].steps()
    }
    fn classes(&self) -> usize {
        self.parts[0].classes()
    }
    fn load(&self, index: usize, into: &mut Raster) {
        let (part, index) = self.place(index);
        part.load(index, into);
    }
    fn target(&self, index: usize) -> Target<'_> {
        let (part, index) = self.place(index);
        part.target(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_its_parts_and_a_subset_a_choice() {
        let part = |labels: &[usize]| {
            let mut trials = Trials::new("part", 2, 4, 9);
            for &label in labels {
                let mut raster = Raster::new(2, 4);
                raster.fill([(label as u32 % 4, 0)]);
                trials.push(raster, label);
            }
            trials
        };
        let (a, b) = (part(&[5, 6, 7]), part(&[1, 2]));
        let chain = Chain::new(vec![&a, &b]);
        let odd = Subset::new(&chain, vec![3, 1]);
        assert_eq!((chain.len(), odd.len()), (5, 2));
        assert_eq!((odd.target(0), odd.target(1)), (Target::Class(1), Target::Class(6)));
        let mut raster = Raster::default();
        odd.load(0, &mut raster);
        assert_eq!(raster.at(1), &[0]);
    }

    #[test]
    #[should_panic(expected = "different shapes")]
    fn parts_of_another_shape_are_refused() {
        Chain::new(vec![&Trials::new("a", 2, 4, 9), &Trials::new("b", 3, 4, 9)]);
    }
}
