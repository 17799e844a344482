//! Trials to learn from: spike trains in, what should come out.

use crate::Raster;
use std::ops::Range;

/// What the network should answer to one trial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target<'a> {
    /// A class index.
    Class(usize),
    /// Classes asked for within the trial, each over steps of its own.
    Cues(&'a [Cue]),
    /// One value per step and output unit, `[steps × outputs]`, time-major.
    Series(&'a [f32]),
}

/// When an answer is asked for within a trial, and which one is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cue {
    /// First step.
    pub start: u32,
    /// The step after the last.
    pub end: u32,
    /// The class index.
    pub class: u32,
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
    /// If so many sequences, cut into trials, are to be read side by side: trial `k + lanes` goes on where trial `k` ended. Whoever takes the trials in order, `lanes` at a
    /// time, reads on in every sequence. `None`, the default: every trial stands by itself.
    fn lanes(&self) -> Option<usize> {
        None
    }
    /// Writes the input spikes of trial `index` (`0..len`) into `into`, resized as needed.
    fn load(&self, index: usize, into: &mut Raster);
    /// What trial `index` should give.
    fn target(&self, index: usize) -> Target<'_>;
}

impl<D: Dataset + ?Sized> Dataset for &D {
    fn name(&self) -> &str {
        (**self).name()
    }
    fn len(&self) -> usize {
        (**self).len()
    }
    fn inputs(&self) -> usize {
        (**self).inputs()
    }
    fn steps(&self) -> usize {
        (**self).steps()
    }
    fn classes(&self) -> usize {
        (**self).classes()
    }
    fn lanes(&self) -> Option<usize> {
        (**self).lanes()
    }
    fn load(&self, index: usize, into: &mut Raster) {
        (**self).load(index, into);
    }
    fn target(&self, index: usize) -> Target<'_> {
        (**self).target(index)
    }
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
    cues: Vec<Vec<Cue>>,
    series: Vec<Vec<f32>>,
    lanes: Option<usize>,
}

impl Trials {
    /// No trials yet. `classes` is 0 for regression on target series.
    pub fn new(name: &str, inputs: usize, steps: usize, classes: usize) -> Self {
        Trials {
            name: name.into(),
            inputs,
            steps,
            classes,
            rasters: Vec::new(),
            labels: Vec::new(),
            cues: Vec::new(),
            series: Vec::new(),
            lanes: None,
        }
    }

    /// The same trials as pieces of this many sequences: see [`Dataset::lanes`].
    pub fn in_lanes(self, lanes: usize) -> Self {
        Trials { lanes: Some(lanes), ..self }
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

    /// Adds a trial in which classes are asked for.
    ///
    /// # Panics
    /// If the raster has another shape, a cue lies outside it or names no class, or trials with one label for all steps were pushed before.
    #[track_caller]
    pub fn push_cues(&mut self, raster: Raster, cues: Vec<Cue>) {
        assert!((raster.units(), raster.steps()) == (self.inputs, self.steps), "a trial of another shape");
        let fits = |c: &Cue| c.start < c.end && c.end as usize <= self.steps && (c.class as usize) < self.classes;
        assert!(cues.iter().all(fits), "a cue outside the {} steps and {} classes: {cues:?}", self.steps, self.classes);
        assert!(self.labels.is_empty(), "cues in a data set of labels");
        self.rasters.push(raster);
        self.cues.push(cues);
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
    fn lanes(&self) -> Option<usize> {
        self.lanes
    }
    fn load(&self, index: usize, into: &mut Raster) {
        into.clone_from(&self.rasters[index]);
    }
    fn target(&self, index: usize) -> Target<'_> {
        if self.classes == 0 {
            Target::Series(&self.series[index])
        } else if let Some(cues) = self.cues.get(index) {
            Target::Cues(cues)
        } else {
            Target::Class(self.labels[index])
        }
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

/// A data set of one class per trial in which the answer is asked for in a window of steps, and judged by these only.
///
/// ```
/// use snn_core::{Answered, Cue, Dataset, Raster, Target, Trials};
/// let mut trials = Trials::new("one", 3, 10, 2);
/// trials.push(Raster::new(3, 10), 1);
/// let late = Answered::new(trials, 8..10);
/// assert_eq!(late.target(0), Target::Cues(&[Cue { start: 8, end: 10, class: 1 }]));
/// ```
#[derive(Clone, Debug)]
pub struct Answered<D> {
    of: D,
    cues: Vec<Cue>,
}

impl<D: Dataset> Answered<D> {
    /// The trials of `of`, with their answers in the steps `window`. What gives no class keeps its target. Memory: 12 bytes per trial.
    ///
    /// # Panics
    /// If the window is empty or goes beyond the trial.
    #[track_caller]
    pub fn new(of: D, window: Range<usize>) -> Self {
        assert!(!window.is_empty() && window.end <= of.steps(), "a window {window:?} in {} steps", of.steps());
        let cue = |class: usize| Cue { start: window.start as u32, end: window.end as u32, class: class as u32 };
        let class = |index| if let Target::Class(class) = of.target(index) { Some(cue(class)) } else { None };
        let cues = (0..of.len()).map_while(class).collect();
        Answered { of, cues }
    }
}

impl<D: Dataset> Dataset for Answered<D> {
    fn name(&self) -> &str {
        self.of.name()
    }
    fn len(&self) -> usize {
        self.of.len()
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
    fn lanes(&self) -> Option<usize> {
        self.of.lanes()
    }
    fn load(&self, index: usize, into: &mut Raster) {
        self.of.load(index, into);
    }
    fn target(&self, index: usize) -> Target<'_> {
        self.cues.get(index).map_or_else(|| self.of.target(index), |cue| Target::Cues(std::slice::from_ref(cue)))
    }
}
