//! Spoken digits as spike trains.

use crate::{
    Split,
    bsa::Bsa,
    cochlea::{Cochlea, CochleaParams},
    crossing::Crossings,
    delta::Delta,
    drive::Drive,
    encode::SignalEncoder,
    error::{DataError, check, count, positive},
    mel::{Mel, MelParams},
    packed::{Packed, Recorded, is_its_set},
    source::Source,
};
use snn_core::Raster;
use snn_io::wav;
use std::{
    path::{Path, PathBuf},
    thread,
};

const OF: &str = "SpokenParams";
const CLASSES: usize = 10;
/// Recordings of index 0 to 4 are for testing: the data set's own split.
const TEST: u32 = 5;
const SOURCE: Source = Source { set: "Free Spoken Digit Dataset", from: "https://github.com/Jakobovski/free-spoken-digit-dataset" };

/// What turns sound into channels, and these into numbers from 0 to 1.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FrontEnd {
    /// A [`Cochlea`]; its values are divided by the recording's largest.
    Cochlea(CochleaParams),
    /// A [`Mel`] bank; decibels from `range` below the recording's loudest value (0) up to it (1).
    Mel {
        /// The bank.
        bank: MelParams,
        /// Decibels, above 0.
        range: f32,
    },
}

/// What turns channels of values from 0 to 1 into spikes.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SoundCode {
    /// A [`Drive`]: one neuron per channel.
    Drive {
        /// Time constant in seconds, above 0.
        tau: f64,
        /// Thresholds per step that a channel of 1 gives.
        gain: f64,
    },
    /// A [`Delta`]: two units per channel.
    Delta {
        /// The move that makes a spike.
        threshold: f64,
    },
    /// [`Crossings`] of so many levels, evenly inside 0 and 1: `2 · levels` units per channel.
    Crossings {
        /// Number of levels, at least 1.
        levels: usize,
    },
    /// [`Bsa`] with the filter of [`Bsa::smooth`]: one unit per channel.
    Bsa {
        /// Steps of the filter, at least 1.
        taps: usize,
        /// Spikes per step that a channel of 1 gives, above 0.
        gain: f64,
        /// What a spike must tell of the signal, 0 or more.
        threshold: f64,
    },
}

/// How recordings of spoken digits become trials.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `front` | cochlea-like, 64 channels from 80 Hz to 3.6 kHz, frames of 5 ms | see [`CochleaParams`] |
/// | `code` | a neuron per channel, τ = 20 ms, gain 0.7 | see [`SoundCode`] |
/// | `steps` | 200 | steps of a frame each: 1 s, which 99 % of the recordings fill in part |
///
/// All values are chosen; none is a publication's. With them a trial has about 500 spikes, and a linear readout of spike counts per channel tells
/// 86 % of the recordings of a fifth of the training part, of counts in tenths of a second 96 % (learned on the other recordings of five
/// speakers; the test part was left alone).
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SpokenParams {
    /// Sound to channels.
    pub front: FrontEnd,
    /// Channels to spikes.
    pub code: SoundCode,
    /// Time steps of a trial, at least 1.
    pub steps: usize,
}

impl Default for SpokenParams {
    fn default() -> Self {
        SpokenParams { front: FrontEnd::Cochlea(CochleaParams::default()), code: SoundCode::Drive { tau: 20e-3, gain: 0.7 }, steps: 200 }
    }
}

impl SpokenParams {
    /// Length of a step in seconds: a frame of the front end.
    pub fn dt(&self) -> f64 {
        match &self.front {
            FrontEnd::Cochlea(bank) => bank.hop as f64 / bank.rate,
            FrontEnd::Mel { bank, .. } => bank.hop as f64 / bank.rate,
        }
    }
}

/// Spoken digits (the Free Spoken Digit Dataset: 8 kHz, six speakers, 50 recordings of each digit and speaker), or as many of its files as
/// there are, as spike trains of a front end.
///
/// It stands in for the spiking Heidelberg digits, which are spike files of their own (see [`Shd`](crate::Shd)): words like those, other
/// speakers, another ear model. Accuracies on the one say nothing about the other.
///
/// A recording begins in step 1, after a step of silence, so that its onset is a change. Shorter ones are followed by silence, longer ones are cropped at the end ([`SpokenDigits::cropped`]).
/// Loudness is taken out: each recording's largest channel value is 1. No randomness, no jitter: the same files give the same spikes.
/// Trials are in the order of index, speaker and digit, so that the first of them hold all classes.
///
/// The spikes are made when the data set is opened, by all cores. Memory: 4 bytes per event.
pub struct SpokenDigits {
    set: Recorded,
    speakers: Vec<String>,
}

impl SpokenDigits {
    /// Reads `{digit}_{speaker}_{index}.wav` in `dir/recordings`, or in `dir` if there is no such folder: of index 0 to 4 for testing,
    /// the others for training, which is the data set's own split (all speakers are in both).
    ///
    /// # Errors
    /// [`DataError::Parameter`]; [`DataError::Missing`] if there is no such folder; [`DataError::Contents`] for a folder without recordings, a
    /// file of another name, another sampling rate than the front end's, or no samples; [`DataError::Io`] for a file that is no WAV.
    ///
    /// ```no_run
    /// use snn_core::Dataset;
    /// use snn_data::{SpokenDigits, SpokenParams, Split};
    /// let train = SpokenDigits::open("fsdd", Split::Train, SpokenParams::default())?;
    /// assert_eq!((train.inputs(), train.steps(), train.classes()), (64, 200, 10));
    /// # Ok::<(), snn_data::DataError>(())
    /// ```
    pub fn open(dir: impl AsRef<Path>, split: Split, params: SpokenParams) -> Result<Self, DataError> {
        let ear = Ear::new(&params)?;
        let files = recordings(dir, split)?;
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let parts: Vec<_> = thread::scope(|scope| {
            let parts: Vec<_> = files.chunks(files.len().div_ceil(threads)).map(|files| scope.spawn(|| ear.hear(files))).collect();
            parts.into_iter().map(|part| part.join()).collect()
        });
        let mut trials = Packed::new(ear.inputs, ear.steps);
        let mut cut = 0;
        for part in parts {
            let (heard, cropped) = part.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            trials.append(&heard);
            cut += cropped;
        }
        let labels = files.iter().map(|file| file.digit).collect();
        let speakers = files.into_iter().map(|file| file.speaker).collect();
        Ok(SpokenDigits {
            set: Recorded { name: format!("spoken-digits/{}", split.name()), classes: CLASSES, labels, trials, cut },
            speakers,
        })
    }

    /// Who speaks in trial `index`: for splits by speaker.
    ///
    /// # Panics
    /// If there is no such trial.
    pub fn speaker(&self, index: usize) -> &str {
        &self.speakers[index]
    }

    /// Recordings that were longer than the trial.
    pub fn cropped(&self) -> usize {
        self.set.cut
    }
}

is_its_set!(SpokenDigits);

/// A recording of a spoken digit. They sort by index, speaker and digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recording {
    /// Number among those of the same speaker and digit.
    pub index: u32,
    /// Who speaks.
    pub speaker: String,
    /// What is said, 0 to 9.
    pub digit: u16,
    /// The file.
    pub path: PathBuf,
}

/// The files `{digit}_{speaker}_{index}.wav` of one part of the Free Spoken Digit Dataset, sorted: see [`SpokenDigits::open`], which reads them.
///
/// # Errors
/// [`DataError::Missing`] if there is no such folder; [`DataError::Contents`] for a folder without recordings of this part or a file of another name.
pub fn recordings(dir: impl AsRef<Path>, split: Split) -> Result<Vec<Recording>, DataError> {
    let dir = match dir.as_ref().join("recordings") {
        inner if inner.is_dir() => inner,
        _ => dir.as_ref().into(),
    };
    let mut files = Vec::new();
    for stem in SOURCE.stems(&dir, "wav")? {
        let path = dir.join(format!("{stem}.wav"));
        let Some((digit, speaker, index)) = parse(&stem) else {
            return SOURCE.wrong(&path, "a name of another form".into(), "a recording like 7_jackson_12.wav");
        };
        if (index < TEST) == (split == Split::Test) {
            files.push(Recording { index, speaker: speaker.to_owned(), digit, path });
        }
    }
    if files.is_empty() {
        return SOURCE.wrong(&dir, format!("no recordings of the {} part", split.name()), "files like 7_jackson_12.wav");
    }
    files.sort_unstable();
    Ok(files)
}

/// Digit, speaker and index of `{digit}_{speaker}_{index}`.
fn parse(stem: &str) -> Option<(u16, &str, u32)> {
    let (digit, rest) = stem.split_once('_')?;
    let (speaker, index) = rest.rsplit_once('_')?;
    let digit = digit.parse().ok().filter(|&digit| usize::from(digit) < CLASSES)?;
    Some((digit, speaker, index.parse().ok()?))
}

enum Bank {
    Cochlea(Cochlea),
    Mel(Mel, f32),
}

/// A front end and a code, checked and ready.
struct Ear {
    bank: Bank,
    channels: usize,
    rate: f64,
    code: Box<dyn SignalEncoder>,
    inputs: usize,
    steps: usize,
}

impl Ear {
    fn new(params: &SpokenParams) -> Result<Self, DataError> {
        count(OF, "steps", params.steps)?;
        let (bank, channels, rate) = match params.front.clone() {
            FrontEnd::Cochlea(p) => {
                let (channels, rate) = (p.channels, p.rate);
                (Bank::Cochlea(Cochlea::new(p)?), channels, rate)
            }
            FrontEnd::Mel { bank, range } => {
                positive(OF, "range", range.into())?;
                let (channels, rate) = (bank.bands, bank.rate);
                (Bank::Mel(Mel::new(bank)?, range), channels, rate)
            }
        };
        let code: Box<dyn SignalEncoder> = match params.code {
            SoundCode::Drive { tau, gain } => Box::new(Drive::new(tau, gain, params.dt())?),
            SoundCode::Bsa { taps, gain, threshold } => Box::new(Bsa::smooth(taps, gain, threshold)?),
            SoundCode::Delta { threshold } => Box::new(Delta::new(threshold)?),
            SoundCode::Crossings { levels } => {
                check((1..=1 << 10).contains(&levels), OF, "levels", levels, "from 1 to 2¹⁰")?;
                Box::new(Crossings::new((1..=levels).map(|j| j as f32 / (levels + 1) as f32).collect())?)
            }
        };
        let inputs = code.units(channels);
        check(Packed::fits(inputs, params.steps), OF, "steps", params.steps, "at most 2³² / inputs")?;
        Ok(Ear { bank, channels, rate, code, inputs, steps: params.steps })
    }

    /// The trials of these files, and how many were cropped.
    fn hear(&self, files: &[Recording]) -> Result<(Packed, usize), DataError> {
        let mut trials = Packed::new(self.inputs, self.steps);
        let (mut raster, mut cropped) = (Raster::default(), 0);
        for Recording { path, .. } in files {
            let sound = wav::read(path)?;
            if f64::from(sound.rate) != self.rate {
                return SOURCE.wrong(path, format!("{} samples per second", sound.rate), format!("{}, the front end's rate", self.rate));
            }
            if sound.samples.is_empty() {
                return SOURCE.wrong(path, "no samples".into(), "a spoken digit");
            }
            // A step of silence first, so that the onset is a change.
            let mut signal = vec![0.0; self.channels];
            signal.extend(self.channels(&sound.mono()));
            cropped += usize::from(signal.len() > self.steps * self.channels);
            signal.resize(self.steps * self.channels, 0.0);
            self.code.encode_signal(&signal, self.channels, &mut raster);
            trials.push(raster.iter().map(|(step, unit)| (step, unit as usize)));
        }
        Ok((trials, cropped))
    }

    /// Values from 0 to 1, `[frames × channels]`.
    fn channels(&self, samples: &[f32]) -> Vec<f32> {
        let largest = |values: &[f32]| values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        match &self.bank {
            Bank::Cochlea(cochlea) => {
                let mut values = cochlea.frames(samples);
                let top = largest(&values);
                // Silence stays silent.
                let scale = if top > 0.0 { 1.0 / top } else { 0.0 };
                values.iter_mut().for_each(|x| *x *= scale);
                values
            }
            Bank::Mel(mel, range) => {
                let mut levels = mel.decibels(samples, *range);
                // Of silence every value is its loudest.
                let top = largest(&levels);
                let floor = if top > SILENCE { top - range } else { f32::INFINITY };
                levels.iter_mut().for_each(|x| *x = ((*x - floor) / range).max(0.0));
                levels
            }
        }
    }
}

/// Decibels of a power of 0 in [`Mel::decibels`].
const SILENCE: f32 = -100.0;

#[cfg(test)]
mod tests {
    use super::*;
    use snn_core::{Dataset, Seed, Target};
    use std::fs;

    /// 16-bit mono PCM.
    fn write_wav(path: &Path, rate: u32, samples: &[i16]) {
        let bytes = 2 * samples.len() as u32;
        let mut file = [b"RIFF", &(36 + bytes).to_le_bytes()[..], b"WAVEfmt ", &16u32.to_le_bytes()].concat();
        file.extend([1u16, 1].iter().flat_map(|x| x.to_le_bytes()));
        file.extend([rate, 2 * rate].iter().flat_map(|x| x.to_le_bytes()));
        file.extend([2u16, 16].iter().flat_map(|x| x.to_le_bytes()));
        file.extend([b"data", &bytes.to_le_bytes()[..]].concat());
        file.extend(samples.iter().flat_map(|x| x.to_le_bytes()));
        fs::write(path, file).unwrap();
    }

    fn tone(f: f64, seconds: f64, loud: f64) -> Vec<i16> {
        (0..(8000.0 * seconds) as u32)
            .map(|n| (loud * 32767.0 * (std::f64::consts::TAU * f * f64::from(n) / 8000.0).sin()) as i16)
            .collect()
    }

    /// Two digits of two speakers: tones of 500 and 2000 Hz; and a test recording.
    fn tiny() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("recordings")).unwrap();
        let write = |name: &str, samples: &[i16]| write_wav(&dir.path().join("recordings").join(name), 8000, samples);
        write("0_anna_5.wav", &tone(500.0, 0.3, 0.9));
        write("9_anna_5.wav", &tone(2000.0, 0.3, 0.9));
        write("0_van_der_berg_5.wav", &tone(500.0, 0.3, 0.09));
        write("9_anna_12.wav", &tone(2000.0, 1.2, 0.9));
        write("3_anna_4.wav", &[0; 4000]);
        fs::write(dir.path().join("recordings/README.txt"), "not a recording").unwrap();
        dir
    }

    fn counts(set: &dyn Dataset, i: usize) -> Vec<f64> {
        let mut raster = Raster::default();
        set.load(i, &mut raster);
        assert_eq!((raster.units(), raster.steps()), (set.inputs(), set.steps()));
        let mut counts = vec![0.0; set.inputs()];
        raster.iter().for_each(|(_, unit)| counts[unit as usize] += 1.0);
        counts
    }

    fn loudest(counts: &[f64]) -> usize {
        (0..counts.len()).max_by(|&a, &b| counts[a].total_cmp(&counts[b])).unwrap()
    }

    #[test]
    fn tones_drive_the_channels_of_their_pitch() {
        let dir = tiny();
        let set = SpokenDigits::open(dir.path(), Split::Train, SpokenParams::default()).unwrap();
        assert_eq!((set.name(), set.len(), set.inputs(), set.steps(), set.cropped()), ("spoken-digits/train", 4, 64, 200, 1));
        assert_eq!(std::array::from_fn(|i| set.target(i)), [0, 9, 0, 9].map(Target::Class));
        assert_eq!(std::array::from_fn(|i| set.speaker(i)), ["anna", "anna", "van_der_berg", "anna"]);
        let centres = Cochlea::new(CochleaParams::default()).unwrap().centres().to_vec();
        for (trial, f) in [(0, 500.0), (1, 2000.0), (2, 500.0)] {
            let counts = counts(&set, trial);
            // Compression makes neighbours fire as often: the busiest channels surround the tone.
            assert!((centres[loudest(&counts)] / f - 1.0).abs() < 0.35, "{}", centres[loudest(&counts)]);
            assert!(counts[loudest(&counts)] >= 20.0);
        }
        // Loudness is taken out but for the rounding to 16 bits.
        let (loud, soft) = (counts(&set, 0), counts(&set, 2));
        assert!(loud.iter().zip(&soft).all(|(a, b)| (a - b).abs() <= 2.0), "{loud:?} {soft:?}");
        // Opened again, the same; and silence is silent.
        let again = SpokenDigits::open(dir.path().join("recordings"), Split::Train, SpokenParams::default()).unwrap();
        assert!((0..4).all(|i| counts(&again, i) == counts(&set, i)));
    }

    #[test]
    fn every_front_end_and_code_works_and_silence_is_silent() {
        let dir = tiny();
        let mel = FrontEnd::Mel { bank: MelParams::default(), range: 40.0 };
        for (front, channels) in [(SpokenParams::default().front, 64), (mel, 40)] {
            let codes = [
                (SoundCode::Drive { tau: 0.02, gain: 0.5 }, 1),
                (SoundCode::Delta { threshold: 0.1 }, 2),
                (SoundCode::Crossings { levels: 3 }, 6),
                (SoundCode::Bsa { taps: 6, gain: 0.5, threshold: 0.2 }, 1),
            ];
            for (code, units) in codes {
                let params = SpokenParams { front: front.clone(), code, steps: 100 };
                let train = SpokenDigits::open(dir.path(), Split::Train, params.clone()).unwrap();
                assert_eq!(train.inputs(), channels * units);
                assert!((0..4).all(|i| counts(&train, i).iter().sum::<f64>() > 10.0), "{:?}", params.code);
                let test = SpokenDigits::open(dir.path(), Split::Test, params).unwrap();
                assert_eq!((test.len(), test.target(0), counts(&test, 0).iter().sum::<f64>()), (1, Target::Class(3), 0.0));
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let open = |dir: &Path, params| SpokenDigits::open(dir, Split::Train, params).err().unwrap().to_string();
        let default = SpokenParams::default;
        let missing = open(Path::new("/nowhere/fsdd"), default());
        assert!(missing.contains("/nowhere/fsdd: not found") && missing.contains("github.com/Jakobovski"), "{missing}");
        assert!(open(tempfile::tempdir().unwrap().path(), default()).contains("no recordings of the train part"));

        let dir = tiny();
        let file = dir.path().join("recordings/1_anna_7.wav");
        write_wav(&file, 16_000, &[1; 100]);
        let message = open(dir.path(), default());
        assert!(message.contains("1_anna_7.wav: found 16000 samples per second, expected 8000"), "{message}");
        write_wav(&file, 8000, &[]);
        assert!(open(dir.path(), default()).contains("1_anna_7.wav"));
        fs::write(&file, b"<html>").unwrap();
        assert!(open(dir.path(), default()).contains("a web page"));
        fs::rename(&file, dir.path().join("recordings/10_anna_7.wav")).unwrap();
        assert!(open(dir.path(), default()).contains("10_anna_7.wav: found a name of another form"));

        assert!(open(dir.path(), SpokenParams { steps: 0, ..default() }).contains("steps = 0"));
        assert!(open(dir.path(), SpokenParams { code: SoundCode::Crossings { levels: 0 }, ..default() }).contains("levels = 0"));
        let mel = FrontEnd::Mel { bank: MelParams::default(), range: f32::NAN };
        assert!(open(dir.path(), SpokenParams { front: mel, ..default() }).contains("range = NaN"));
    }

    /// Share of the trials of `judged` that a softmax readout of their spike counts tells, learned from the others by gradient descent.
    fn linear_readout(set: &dyn Dataset, learned: &[usize], judged: &[usize]) -> f64 {
        let trials: Vec<(Vec<f64>, usize)> = (0..set.len())
            .map(|i| {
                let mut x = counts(set, i);
                let norm = x.iter().map(|a| a * a).sum::<f64>().sqrt().max(1.0);
                x.iter_mut().for_each(|a| *a /= norm);
                x.push(0.1); // for the bias
                let Target::Class(class) = set.target(i) else { unreachable!("a data set of classes") };
                (x, class)
            })
            .collect();
        let mut weights = vec![vec![0f64; set.inputs() + 1]; set.classes()];
        let scores =
            |weights: &[Vec<f64>], x: &[f64]| -> Vec<f64> { weights.iter().map(|w| w.iter().zip(x).map(|(w, x)| w * x).sum()).collect() };
        for epoch in 0..30 {
            for (x, class) in learned.iter().map(|&i| &trials[i]) {
                let odds: Vec<f64> = scores(&weights, x).into_iter().map(f64::exp).collect();
                let total: f64 = odds.iter().sum();
                for (k, w) in weights.iter_mut().enumerate() {
                    let step = 2.0 / (1.0 + 0.2 * f64::from(epoch)) * (odds[k] / total - f64::from(u8::from(k == *class)));
                    w.iter_mut().zip(x).for_each(|(w, x)| *w -= step * x);
                }
            }
        }
        judged.iter().filter(|&&i| loudest(&scores(&weights, &trials[i].0)) == trials[i].1).count() as f64 / judged.len() as f64
    }

    #[test]
    fn the_real_recordings_can_be_told_apart() {
        let Some(dir) = std::env::var_os("SNN_DATA") else {
            eprintln!("skipped: SNN_DATA not set (it names the folder that holds fsdd/)");
            return;
        };
        let dir = PathBuf::from(dir).join("fsdd");
        let start = std::time::Instant::now();
        let train = SpokenDigits::open(&dir, Split::Train, SpokenParams::default()).unwrap();
        let test = SpokenDigits::open(&dir, Split::Test, SpokenParams::default()).unwrap();
        eprintln!("opened in {:.1} s", start.elapsed().as_secs_f64());
        assert_eq!((train.len(), test.len()), (2250, 250));
        assert!((1..=25).contains(&(train.cropped() + test.cropped()))); // 20 are longer than a second
        let mut speakers: Vec<&str> = (0..250).map(|i| test.speaker(i)).collect();
        speakers.sort_unstable();
        speakers.dedup();
        assert_eq!(speakers, ["jackson", "lucas", "nicolas", "theo", "yweweler"]);

        let spikes = (0..2250).map(|i| train.set.trials.events(i)).sum::<usize>() as f64 / 2250.0;
        let (learned, judged) = crate::split(train.len(), 0.2, Seed::new(1));
        let accuracy = linear_readout(&train, &learned, &judged);
        eprintln!("{spikes:.0} spikes per trial; linear readout on a fifth of the training part: {:.1} %", 100.0 * accuracy);
        assert!(accuracy > 0.8, "{accuracy}"); // chance is 0.1
    }
}
