//! The spiking Heidelberg digits and speech commands.

use crate::{
    Split,
    error::{DataError, check, count, positive},
    packed::{Packed, Recorded, is_its_set},
    source::Source,
};
use snn_io::{IoError, hdf5};
use std::path::Path;

const OF: &str = "ShdParams";
const UNITS: usize = 700;
const SOURCE: Source = Source { set: "SHD/SSC", from: "https://zenkelab.org/resources/spiking-heidelberg-datasets-shd" };

/// How recordings of SHD or SSC become trials.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `dt`, `steps` | 2 ms, 500 | the first second, as in SSGD (Perez-Nieves and Goodman 2021, arXiv:2105.08810) |
/// | `classes` | 20 | 20 in SHD, 35 in SSC |
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ShdParams {
    /// Length of a step in seconds, above 0.
    pub dt: f64,
    /// Time steps of a trial, at least 1; what comes later is cut off and counted ([`Shd::cut`]).
    pub steps: usize,
    /// Number of classes, from 1 to 65535.
    pub classes: usize,
}

impl Default for ShdParams {
    fn default() -> Self {
        ShdParams { dt: 2e-3, steps: 500, classes: 20 }
    }
}

/// The spiking Heidelberg digits (SHD: spoken digits, English and German, 20 classes) or speech commands (SSC: 35 classes): words as the
/// spikes of 700 model neurons behind a model of the inner ear.
///
/// Channel `u` is the file's unit; an event at time `t` falls into step `⌊t/dt⌋`, and events of one channel in one step count once. Trials
/// are in the file's order. Departure: the released programs round to the nearest step.
///
/// Memory: 4 bytes per event; while the file is opened, 8 more and the file itself if it is gzip.
///
/// The official files are not at hand in this project's tests: the reader is tested on files that it writes itself, in their layout.
///
/// Source: Cramer, Stradmann, Schemmel and Zenke 2022, IEEE TNNLS 33:2744 (arXiv:1910.07407).
pub struct Shd {
    set: Recorded,
}

impl Shd {
    /// Reads one part, a file like `shd_train.h5` or `shd_train.h5.gz`. `split` only names it.
    ///
    /// # Errors
    /// [`DataError::Parameter`]; [`DataError::Missing`] if there is no such file; [`DataError::Contents`] for a file without trials, a unit
    /// beyond the 700 or a label beyond the classes, with the trial named; [`DataError::Io`] for a file of another kind.
    ///
    /// ```
    /// use snn_core::{Dataset, Raster, Target};
    /// use snn_data::{Shd, ShdParams, Split};
    /// use snn_io::hdf5::{SpikeTrains, write_spikes};
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("shd_test.h5");
    /// let mut file = SpikeTrains::default();
    /// file.push(&[0.0125, 0.5], &[3, 699], 7);                        // times in seconds, units, class
    /// write_spikes(&path, &file)?;
    ///
    /// let test = Shd::open(&path, Split::Test, ShdParams::default())?;
    /// let mut trial = Raster::default();
    /// test.load(0, &mut trial);
    /// assert_eq!(trial.iter().collect::<Vec<_>>(), [(6, 3), (250, 699)]);
    /// assert_eq!((test.inputs(), test.target(0)), (700, Target::Class(7)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(path: impl AsRef<Path>, split: Split, params: ShdParams) -> Result<Self, DataError> {
        positive(OF, "dt", params.dt)?;
        count(OF, "steps", params.steps)?;
        check(Packed::fits(UNITS, params.steps), OF, "steps", params.steps, "at most 2³² / 700")?;
        check((1..=usize::from(u16::MAX)).contains(&params.classes), OF, "classes", params.classes, "from 1 to 65535")?;
        let path = path.as_ref();
        let file = match hdf5::read_spikes(path) {
            Err(source @ IoError::NotFound { .. }) => {
                return Err(DataError::Missing { set: SOURCE.set, from: SOURCE.from, source });
            }
            other => other?,
        };
        if file.is_empty() {
            return SOURCE.wrong(path, "no trials".into(), "at least one");
        }
        let (mut trials, mut labels, mut cut) = (Packed::new(UNITS, params.steps), Vec::with_capacity(file.len()), 0);
        for (i, &label) in file.labels().iter().enumerate() {
            let (times, units) = file.trial(i);
            if let Some(k) = units.iter().position(|&unit| unit as usize >= UNITS) {
                return SOURCE.wrong(path, format!("unit {} at event {k} of trial {i}", units[k]), "units from 0 to 699");
            }
            if label as usize >= params.classes {
                let expected = format!("labels below {} (ShdParams::classes: 20 in SHD, 35 in SSC)", params.classes);
                return SOURCE.wrong(path, format!("label {label} of trial {i}"), expected);
            }
            let place = |(&time, &unit): (&f32, &u32)| ((f64::from(time) / params.dt) as usize, unit as usize);
            let inside = |&(step, _): &(usize, usize)| step < params.steps;
            trials.push(times.iter().zip(units).map(place).filter(inside));
            cut += times.iter().zip(units).map(place).filter(|e| !inside(e)).count();
            labels.push(label as u16);
        }
        Ok(Shd { set: Recorded { name: format!("shd/{}", split.name()), classes: params.classes, labels, trials, cut } })
    }

    /// Events that came after the last step and were left out.
    pub fn cut(&self) -> usize {
        self.set.cut
    }
}

is_its_set!(Shd);

/// On files that the tests write themselves, in the layout of the official ones.
#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use snn_core::{Dataset, Raster, Target};
    use snn_io::hdf5::{SpikeTrains, write_spikes};

    fn open(trials: &[(&[f32], &[u32], u32)], params: ShdParams) -> Result<Shd, DataError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shd_train.h5");
        let mut file = SpikeTrains::default();
        trials.iter().for_each(|(times, units, label)| file.push(times, units, *label));
        write_spikes(&path, &file).unwrap();
        Shd::open(&path, Split::Train, params)
    }

    fn trial(set: &Shd, i: usize) -> Vec<(usize, u32)> {
        let mut raster = Raster::default();
        set.load(i, &mut raster);
        assert_eq!((raster.units(), raster.steps()), (700, set.steps()));
        raster.iter().collect()
    }

    #[test]
    fn steps_and_cuts_worked_by_hand() {
        // Steps of 250 ms, exact in binary; two events of unit 5 in step 1 count once; 1.0 s is beyond four steps.
        let params = ShdParams { dt: 0.25, steps: 4, classes: 20 };
        let set = open(&[(&[0.25, 0.4, 0.0, 0.999, 1.0], &[5, 5, 699, 0, 1], 19), (&[], &[], 3)], params).unwrap();
        assert_eq!((set.name(), set.len(), set.inputs(), set.classes(), set.cut()), ("shd/train", 2, 700, 20, 1));
        assert_eq!((trial(&set, 0), trial(&set, 1)), (vec![(0, 699), (1, 5), (3, 0)], vec![]));
        assert_eq!((set.target(0), set.target(1)), (Target::Class(19), Target::Class(3)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let message = |result: Result<Shd, DataError>| result.err().unwrap().to_string();
        let default = ShdParams::default;
        let unit = message(open(&[(&[], &[], 0), (&[0.1, 0.2], &[1, 700], 0)], default()));
        assert!(unit.contains("shd_train.h5: found unit 700 at event 1 of trial 1, expected units from 0 to 699"), "{unit}");
        let label = message(open(&[(&[0.1], &[1], 20)], default()));
        assert!(label.contains("label 20 of trial 0, expected labels below 20"), "{label}");
        assert!(open(&[(&[0.1], &[1], 34)], ShdParams { classes: 35, ..default() }).is_ok());
        let missing = message(Shd::open("/nowhere/shd_test.h5", Split::Test, default()));
        assert!(missing.contains("/nowhere/shd_test.h5: not found") && missing.contains("zenkelab.org"), "{missing}");
        assert!(message(open(&[(&[0.1], &[1], 0)], ShdParams { dt: 0.0, ..default() })).contains("dt = 0"));
        assert!(message(open(&[(&[0.1], &[1], 0)], ShdParams { classes: 0, ..default() })).contains("classes = 0"));
        assert!(message(open(&[(&[0.1], &[1], 0)], ShdParams { steps: 1 << 30, ..default() })).contains("steps = "));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn every_event_is_in_the_trial_or_counted(events in prop::collection::vec((0f32..2.0, 0u32..700), 0..60)) {
            let (times, units): (Vec<f32>, Vec<u32>) = events.iter().copied().unzip();
            let set = open(&[(&times, &units, 0)], ShdParams::default()).unwrap();
            let step = |time: f32| (f64::from(time) / 2e-3) as usize;
            let mut expected: Vec<_> = events.iter().map(|&(t, u)| (step(t), u)).filter(|e| e.0 < 500).collect();
            prop_assert_eq!(set.cut(), events.len() - expected.len());
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(trial(&set, 0), expected);
        }
    }
}
