//! Jittered spike templates: a classification task that needs no files.

use crate::{
    Split,
    error::{DataError, check, count, positive},
    packed::{Generated, Packed},
};
use rand::{Rng, RngExt};
use rand_distr::{Distribution, Poisson, StandardNormal};
use snn_core::Seed;

const OF: &str = "TemplateParams";

/// What the templates are like. The default is the small test task for SSGD.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `classes` | 10 | templates |
/// | `inputs` | 200 | input channels |
/// | `steps`, `dt` | 100, 1 ms | the trial lasts `T = steps · dt` |
/// | `mean_spikes` | 2 | spikes per input and template, on average |
/// | `jitter` | 5 ms | standard deviation of each spike's shift |
/// | `deletion` | 0.1 | probability that a spike is left out |
/// | `train`, `test` | 2000, 500 | trials of the two parts |
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct TemplateParams {
    /// Number of classes, at least 1.
    pub classes: usize,
    /// Number of input channels, at least 1; `inputs · steps` at most 2³².
    pub inputs: usize,
    /// Time steps of a trial, at least 1.
    pub steps: usize,
    /// Length of a step in seconds, above 0.
    pub dt: f64,
    /// Mean number of spikes per input and template, above 0 and at most 10⁶.
    pub mean_spikes: f64,
    /// Standard deviation of the shift of a spike in seconds, at least 0.
    pub jitter: f64,
    /// Probability that a copy leaves a spike out, 0 to 1.
    pub deletion: f64,
    /// Number of training trials.
    pub train: usize,
    /// Number of test trials.
    pub test: usize,
}

impl Default for TemplateParams {
    fn default() -> Self {
        TemplateParams {
            classes: 10,
            inputs: 200,
            steps: 100,
            dt: 1e-3,
            mean_spikes: 2.0,
            jitter: 5e-3,
            deletion: 0.1,
            train: 2000,
            test: 500,
        }
    }
}

impl TemplateParams {
    fn check(&self) -> Result<(), DataError> {
        count(OF, "classes", self.classes)?;
        count(OF, "inputs", self.inputs)?;
        count(OF, "steps", self.steps)?;
        check(Packed::fits(self.inputs, self.steps), OF, "inputs", self.inputs, "at most 2³² / steps")?;
        positive(OF, "dt", self.dt)?;
        check(self.mean_spikes > 0.0 && self.mean_spikes <= 1e6, OF, "mean_spikes", self.mean_spikes, "above 0 and at most 10⁶")?;
        check(self.jitter.is_finite() && self.jitter >= 0.0, OF, "jitter", self.jitter, "finite and at least 0")?;
        check((0.0..=1.0).contains(&self.deletion), OF, "deletion", self.deletion, "from 0 to 1")
    }
}

impl TemplateParams {
    /// Copies of fixed random spike patterns, one pattern per class.
    ///
    /// The template of a class holds, for each input, a Poisson number of spikes at uniform times `0 ≤ s < T`. A trial copies the template of
    /// its class: each spike is left out with probability `deletion`, otherwise it comes at `t = s + jitter · N(0, 1)`, in step `⌊t/dt⌋`, and is
    /// dropped outside `0 ≤ t < T`. Spikes of one input that fall into one step count once. Trial `i` is of class `i mod classes`.
    ///
    /// Both parts share the templates of a seed; each trial draws from `seed.child(part).nth(i)`, so a longer part begins with the shorter one.
    /// Memory: 4 bytes per event, 2.7 MB for the default training part. Sizes and statistics are chosen, not a published data set's.
    ///
    /// ```
    /// use snn_core::{Dataset, Raster, Seed};
    /// use snn_data::{Split, TemplateParams};
    /// let test = TemplateParams::default().generate(Seed::new(1), Split::Test)?;
    /// let mut trial = Raster::default();
    /// test.load(3, &mut trial);
    /// assert_eq!((test.len(), trial.units(), trial.steps()), (500, 200, 100));
    /// # Ok::<(), snn_data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn generate(&self, seed: Seed, split: Split) -> Result<Generated, DataError> {
        let params = self;
        params.check()?;
        let templates: Vec<_> = (0..params.classes).map(|c| template(params, &mut seed.child("templates").nth(c as u64).rng())).collect();
        let mut trials = Generated::new(format!("templates/{}", split.name()), params.classes, params.inputs, params.steps);
        let len = if split == Split::Train { params.train } else { params.test };
        for i in 0..len {
            let mut rng = seed.child(split.name()).nth(i as u64).rng();
            trials.push(templates[i % params.classes].iter().filter_map(|&spike| copy(params, spike, &mut rng)));
        }
        Ok(trials)
    }
}

/// The spikes `(time, input)` of a template.
fn template(params: &TemplateParams, rng: &mut impl Rng) -> Vec<(f64, usize)> {
    let duration = params.steps as f64 * params.dt;
    // The mean has been checked: it is above zero and far from the distribution's limit.
    let Ok(spikes) = Poisson::new(params.mean_spikes) else { return Vec::new() };
    let mut template = Vec::new();
    for input in 0..params.inputs {
        let n = spikes.sample(rng) as usize;
        template.extend((0..n).map(|_| (duration * rng.random::<f64>(), input)));
    }
    template
}

/// The event `(step, input)` that a copy makes of a spike, if any.
fn copy(params: &TemplateParams, (time, input): (f64, usize), rng: &mut impl Rng) -> Option<(usize, usize)> {
    let deleted = rng.random::<f64>() < params.deletion;
    let shift: f64 = StandardNormal.sample(rng);
    let step = ((time + params.jitter * shift) / params.dt).floor();
    (!deleted && step >= 0.0 && step < params.steps as f64).then_some((step as usize, input))
}

#[cfg(test)]
mod tests {
    use super::*;
    use snn_core::{Dataset, Raster, Target};

    /// Steps so short that no two spikes of an input meet in one.
    fn fine() -> TemplateParams {
        TemplateParams { steps: 100_000, dt: 1e-6, train: 40, ..Default::default() }
    }

    fn events(data: &Generated) -> f64 {
        let mut raster = Raster::default();
        let mut total = 0;
        for i in 0..data.len() {
            data.load(i, &mut raster);
            total += raster.len();
        }
        total as f64 / (data.len() * data.inputs()) as f64
    }

    fn templates_of(params: TemplateParams) -> Generated {
        params.generate(Seed::new(3), Split::Train).unwrap()
    }

    #[test]
    fn templates_have_the_mean_and_copies_the_losses() {
        let all: Vec<f64> = (0..200).map(|c| template(&fine(), &mut Seed::new(3).nth(c).rng()).len() as f64 / 200.0).collect();
        let mean = all.iter().sum::<f64>() / 200.0;
        // 40 000 inputs with Poisson counts of mean 2: standard error √(2/40 000) = 0.0071.
        assert!((mean - 2.0).abs() < 0.028, "{mean} spikes per input");

        let whole = events(&templates_of(TemplateParams { jitter: 0.0, deletion: 0.0, ..fine() }));
        let thinned = events(&templates_of(TemplateParams { jitter: 0.0, ..fine() }));
        // About 16 000 spikes kept with probability 0.9: standard error √(0.09/16 000) = 0.0024.
        assert!((thinned / whole - 0.9).abs() < 0.0095, "kept {}", thinned / whole);
        let jittered = events(&templates_of(TemplateParams { deletion: 0.0, ..fine() }));
        // Each end of the trial loses jitter/√(2π) = 1.995 ms worth of spikes: 3.99 % of 100 ms together, ± 0.2 % (and the templates' own spread).
        assert!((jittered / whole - 0.9601).abs() < 0.012, "stayed inside {}", jittered / whole);
    }

    #[test]
    fn without_noise_all_copies_are_the_template_and_jitter_has_its_deviation() {
        let quiet = templates_of(TemplateParams { jitter: 0.0, deletion: 0.0, train: 25, ..Default::default() });
        let (mut a, mut b) = (Raster::default(), Raster::default());
        quiet.load(2, &mut a);
        quiet.load(12, &mut b);
        assert_eq!(a, b);
        quiet.load(3, &mut b);
        assert_ne!(a, b);
        assert_eq!((quiet.target(12), quiet.target(3)), (Target::Class(2), Target::Class(3)));

        let params = TemplateParams { deletion: 0.0, ..fine() };
        let mut rng = Seed::new(9).rng();
        let shifts: Vec<f64> =
            (0..10_000).filter_map(|_| copy(&params, (0.05, 0), &mut rng)).map(|(step, _)| step as f64 * 1e-6 - 0.05).collect();
        let deviation = (shifts.iter().map(|s| s * s).sum::<f64>() / shifts.len() as f64).sqrt();
        assert_eq!(shifts.len(), 10_000); // ten deviations from either end
        assert!((deviation - 5e-3).abs() < 1.5e-4, "{deviation}"); // standard error 5 ms/√20 000 = 0.035 ms
    }

    #[test]
    fn trials_depend_on_seed_part_and_index_alone() {
        let at = |seed, split, train, i| {
            let mut raster = Raster::default();
            TemplateParams { train, test: 8, ..Default::default() }.generate(Seed::new(seed), split).unwrap().load(i, &mut raster);
            raster.iter().collect::<Vec<_>>()
        };
        let first = at(1, Split::Train, 8, 5);
        assert_eq!(first, at(1, Split::Train, 6, 5));
        assert_ne!(first, at(2, Split::Train, 8, 5));
        assert_ne!(first, at(1, Split::Test, 8, 5));
    }

    #[test]
    fn sizes_and_parameters_are_checked() {
        let test = TemplateParams { test: 3, ..Default::default() }.generate(Seed::new(0), Split::Test).unwrap();
        assert_eq!((test.name(), test.len(), test.inputs(), test.steps(), test.classes()), ("templates/test", 3, 200, 100, 10));
        let bad = |params: TemplateParams| params.generate(Seed::new(0), Split::Test).err().unwrap().to_string();
        assert!(bad(TemplateParams { deletion: 1.5, ..Default::default() }).contains("deletion = 1.5"));
        assert!(bad(TemplateParams { jitter: f64::NAN, ..Default::default() }).contains("jitter = NaN"));
        assert!(bad(TemplateParams { mean_spikes: 0.0, ..Default::default() }).contains("mean_spikes = 0"));
        assert!(bad(TemplateParams { inputs: 1 << 30, ..Default::default() }).contains("inputs = 1073741824"));
        assert!(bad(TemplateParams { classes: 0, ..Default::default() }).contains("classes = 0"));
    }
}
