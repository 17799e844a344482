//! N-MNIST: handwritten digits seen by an event camera.

use crate::{
    Split,
    error::{DataError, check, count, positive},
    packed::{Packed, Recorded, is_its_set},
    source::Source,
};
use snn_io::aer;
use std::path::Path;

const OF: &str = "NmnistParams";
const SIDE: usize = 34;
const CLASSES: usize = 10;
const SOURCE: Source =
    Source { set: "N-MNIST", from: "https://www.garrickorchard.com/datasets/n-mnist (Train.zip and Test.zip, unpacked)" };

/// How recordings of N-MNIST become trials.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `dt`, `steps` | 1 ms, 340 | the three saccades take about 300 ms, the latest event of the first 1,100 recordings stands at 336 ms |
/// | `shrink` | 1 | pixels of the sensor along the side of an input pixel |
/// | `merge` | false | one channel per pixel for both polarities |
///
/// SSGD (Perez-Nieves and Goodman 2021, arXiv:2105.08810) uses 300 steps of 1 ms and `merge`. Departure: its program rounds to the nearest step.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct NmnistParams {
    /// Length of a step in seconds, above 0.
    pub dt: f64,
    /// Time steps of a trial, at least 1; what comes later is cut off and counted ([`Nmnist::cut`]).
    pub steps: usize,
    /// Factor by which the picture shrinks, from 1 to 34: pixel `(x, y)` becomes `(x / shrink, y / shrink)`, rounded down.
    pub shrink: usize,
    /// Whether the polarities share their channels.
    pub merge: bool,
}

impl Default for NmnistParams {
    fn default() -> Self {
        NmnistParams { dt: 1e-3, steps: 340, shrink: 1, merge: false }
    }
}

impl NmnistParams {
    /// Input pixels along a side, `⌈34 / shrink⌉`.
    pub fn side(&self) -> usize {
        SIDE.div_ceil(self.shrink.max(1))
    }

    /// Input channels: `side²`, twice that unless polarities are merged.
    pub fn inputs(&self) -> usize {
        self.side() * self.side() * if self.merge { 1 } else { 2 }
    }
}

/// N-MNIST (Orchard, Jayawant, Cohen and Thakor 2015, arXiv:1507.07629): 60 000 + 10 000 digits of MNIST, shown to a moving 34 × 34
/// event camera; or as many of its files as there are.
///
/// The channel of an event is `polarity · side² + y · side + x`: the darker half (polarity bit 0) first, 2 · 1156 channels by default. It
/// falls into step `⌊t/dt⌋`; events of one channel in one step count once. Trials are in the order of their numbers, which is MNIST's.
///
/// Memory: 4 bytes per event (of 5 in the files), and the files are read once, when the data set is opened.
pub struct Nmnist {
    set: Recorded,
}

impl Nmnist {
    /// Reads the recordings `Train/<digit>/<number>.bin` or `Test/<digit>/<number>.bin` in `dir`.
    ///
    /// # Errors
    /// [`DataError::Parameter`]; [`DataError::Missing`] if there is no such folder; [`DataError::Contents`] for a folder without recordings, a
    /// file without a number, or an event beyond the sensor, with file and event named; [`DataError::Io`] for a file that cannot be read.
    ///
    /// ```
    /// use snn_core::{Dataset, Raster, Target};
    /// use snn_data::{Nmnist, NmnistParams, Split};
    /// use snn_io::aer::{self, Event};
    /// # let dir = tempfile::tempdir()?;
    /// # for digit in 0..10 { std::fs::create_dir_all(dir.path().join(format!("Test/{digit}")))?; }
    /// // A file as the data set has them: one event, brighter, at x = 5, y = 2, 12.3 ms.
    /// aer::write(dir.path().join("Test/7/00001.bin"), &[Event { x: 5, y: 2, on: true, t_us: 12_300 }])?;
    ///
    /// let test = Nmnist::open(dir.path(), Split::Test, NmnistParams::default())?;
    /// let mut trial = Raster::default();
    /// test.load(0, &mut trial);
    /// assert_eq!((test.inputs(), test.steps(), test.target(0)), (2312, 340, Target::Class(7)));
    /// assert_eq!(trial.iter().collect::<Vec<_>>(), [(12, 1156 + 2 * 34 + 5)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(dir: impl AsRef<Path>, split: Split, params: NmnistParams) -> Result<Self, DataError> {
        positive(OF, "dt", params.dt)?;
        count(OF, "steps", params.steps)?;
        check((1..=SIDE).contains(&params.shrink), OF, "shrink", params.shrink, "from 1 to 34")?;
        check(Packed::fits(params.inputs(), params.steps), OF, "steps", params.steps, "at most 2³² / inputs")?;
        let dir = dir.as_ref().join(if split == Split::Train { "Train" } else { "Test" });

        let mut files = Vec::new();
        for digit in 0..CLASSES as u16 {
            let dir = dir.join(digit.to_string());
            for stem in SOURCE.stems(&dir, "bin")? {
                let path = dir.join(format!("{stem}.bin"));
                match stem.parse::<u64>() {
                    Ok(number) => files.push((number, digit, path)),
                    Err(_) => return SOURCE.wrong(&path, "a name that is no number".into(), "a recording like 00001.bin"),
                }
            }
        }
        if files.is_empty() {
            return SOURCE.wrong(&dir, "no recordings".into(), "files like 0/00001.bin");
        }
        files.sort_unstable();

        let (side, area) = (params.side(), params.side() * params.side());
        let mut trials = Packed::new(params.inputs(), params.steps);
        let mut cut = 0;
        for (_, _, path) in &files {
            let events = aer::read(path)?;
            if let Some(i) = events.iter().position(|e| usize::from(e.x.max(e.y)) >= SIDE) {
                let at = events[i];
                return SOURCE.wrong(path, format!("event {i} at x = {}, y = {}", at.x, at.y), "pixels from 0 to 33");
            }
            let place = |e: &aer::Event| {
                let step = (f64::from(e.t_us) / (params.dt * 1e6)) as usize;
                let pixel = usize::from(e.y) / params.shrink * side + usize::from(e.x) / params.shrink;
                (step, pixel + if e.on && !params.merge { area } else { 0 })
            };
            let inside = |&(step, _): &(usize, usize)| step < params.steps;
            trials.push(events.iter().map(place).filter(inside));
            cut += events.iter().map(place).filter(|e| !inside(e)).count();
        }
        let labels = files.iter().map(|&(_, digit, _)| digit).collect();
        Ok(Nmnist { set: Recorded { name: format!("n-mnist/{}", split.name()), classes: CLASSES, labels, trials, cut } })
    }

    /// Events that came after the last step and were left out.
    pub fn cut(&self) -> usize {
        self.set.cut
    }
}

is_its_set!(Nmnist);

#[cfg(test)]
mod tests {
    use super::*;
    use snn_core::{Dataset, Raster, Target};
    use snn_io::aer::Event;
    use std::{fs, path::PathBuf};

    /// Digit, number, and events `(x, y, on, t_us)`.
    type Recording<'a> = (u32, &'a str, &'a [(u8, u8, bool, u32)]);

    /// A training part of these recordings.
    fn tiny(recordings: &[Recording]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        (0..10).for_each(|digit| fs::create_dir_all(dir.path().join(format!("Train/{digit}"))).unwrap());
        for (digit, name, events) in recordings {
            let events: Vec<Event> = events.iter().map(|&(x, y, on, t_us)| Event { x, y, on, t_us }).collect();
            aer::write(dir.path().join(format!("Train/{digit}/{name}.bin")), &events).unwrap();
        }
        dir
    }

    fn trial(set: &Nmnist, i: usize) -> Vec<(usize, u32)> {
        let mut raster = Raster::default();
        set.load(i, &mut raster);
        assert_eq!((raster.units(), raster.steps()), (set.inputs(), set.steps()));
        raster.iter().collect()
    }

    #[test]
    fn channels_steps_and_order_worked_by_hand() {
        let dir = tiny(&[
            (3, "00010", &[(0, 0, false, 0)]),
            (7, "00009", &[(33, 33, true, 999), (33, 33, true, 999), (1, 2, false, 1000), (1, 2, true, 339_999), (5, 5, true, 340_000)]),
        ]);
        let set = Nmnist::open(dir.path(), Split::Train, NmnistParams::default()).unwrap();
        assert_eq!((set.name(), set.len(), set.classes(), set.cut()), ("n-mnist/train", 2, 10, 1));
        assert_eq!((set.target(0), set.target(1)), (Target::Class(7), Target::Class(3)));
        assert_eq!(trial(&set, 0), [(0, 1156 + 33 * 34 + 33), (1, 2 * 34 + 1), (339, 1156 + 2 * 34 + 1)]);
        assert_eq!(trial(&set, 1), [(0, 0)]);

        // A ninth of the pixels, rounded up to 12 × 12, one polarity, 3 ms: (1, 2) is pixel 0, (33, 33) is 11 · 12 + 11, (5, 5) is 13.
        let set = Nmnist::open(dir.path(), Split::Train, NmnistParams { dt: 3e-3, steps: 114, shrink: 3, merge: true }).unwrap();
        assert_eq!((set.inputs(), set.cut()), (144, 0));
        assert_eq!(trial(&set, 0), [(0, 0), (0, 143), (113, 0), (113, 13)]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let open = |dir: &Path, params| Nmnist::open(dir, Split::Train, params).err().unwrap().to_string();
        let default = NmnistParams::default;
        let outside = open(tiny(&[(0, "00001", &[(0, 0, true, 1), (34, 7, true, 2)])]).path(), default());
        assert!(outside.contains("00001.bin: found event 1 at x = 34, y = 7, expected pixels from 0 to 33"), "{outside}");
        assert!(open(tiny(&[]).path(), default()).contains("Train: found no recordings"));
        assert!(
            open(tiny(&[(4, "copy of 1", &[(0, 0, true, 1)])]).path(), default()).contains("copy of 1.bin: found a name that is no number")
        );
        let empty = open(tempfile::tempdir().unwrap().path(), default());
        assert!(empty.contains("Train/0: not found") && empty.contains("garrickorchard.com"), "{empty}");
        let dir = tiny(&[(0, "00001", &[(0, 0, true, 1)])]);
        fs::write(dir.path().join("Train/0/00002.bin"), [0; 7]).unwrap();
        assert!(open(dir.path(), default()).contains("00002.bin: truncated"));
        assert!(open(dir.path(), NmnistParams { shrink: 0, ..default() }).contains("shrink = 0"));
        assert!(open(dir.path(), NmnistParams { steps: 1 << 30, ..default() }).contains("steps = 1073741824"));
        assert!(open(dir.path(), NmnistParams { dt: f64::NAN, ..default() }).contains("dt = NaN"));
    }

    #[test]
    fn the_first_recordings_of_the_real_one() {
        let Some(dir) = std::env::var_os("SNN_DATA") else {
            eprintln!("skipped: SNN_DATA not set (it names the folder that holds nmnist-1100/)");
            return;
        };
        let dir = PathBuf::from(dir).join("nmnist-1100");
        // One microsecond per step, so that hardly any two events of a pixel fall into one.
        let fine = NmnistParams { dt: 1e-6, steps: 340_000, ..Default::default() };
        let (mut files, mut events, mut fewest, mut most) = (0, 0, usize::MAX, 0);
        for (split, len, first) in
            [(Split::Train, 1000, [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]), (Split::Test, 100, [7, 2, 1, 0, 4, 1, 4, 9, 5, 9])]
        {
            let set = Nmnist::open(&dir, split, fine.clone()).unwrap();
            assert_eq!((set.len(), set.cut()), (len, 0));
            assert_eq!(std::array::from_fn(|i| set.target(i)), first.map(Target::Class)); // MNIST's own first labels
            for i in 0..len {
                let n = set.set.trials.events(i);
                (files, events, fewest, most) = (files + 1, events + n, fewest.min(n), most.max(n));
            }
        }
        // The folder's description counts 1,069 to 7,152 events in a file and 4,108 on average; some repeat another to the microsecond.
        assert_eq!((files, fewest, most, (events as f64 / 1100.0).round()), (1100, 1069, 7149, 4107.0));
        let coarse = Nmnist::open(&dir, Split::Test, NmnistParams::default()).unwrap();
        assert_eq!(coarse.cut(), 0);
        assert!((0..100).all(|i| coarse.set.trials.events(i) > 900));
    }
}
