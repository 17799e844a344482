//! Sound as a picture: mel bands over time, in decibels.

use crate::{
    error::{DataError, check, count, positive},
    mel::{Mel, MelParams},
    source::Source,
};
use snn_io::wav;
use std::path::Path;

const OF: &str = "LogMelParams";
const SOURCE: Source =
    Source { set: "sound clip", from: "wherever the recordings are; convert them, for example with `sox in.wav -r 12000 out.wav`" };

/// What a log-mel picture is like. The default is that of Choi et al. 2017: 96 bands by 1,366 frames.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `bank` | 12 kHz, Hann window of 512, hop 256, 96 Slaney bands of equal area from 0 to 6 kHz | see [`MelParams`] |
/// | `samples` | 349,440 (29.12 s) | length of a clip |
/// | `frames` | 1366 | width of the picture |
/// | `range` | 80 dB | below the loudest value of the clip |
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LogMelParams {
    /// The mel bank.
    pub bank: MelParams,
    /// Samples of a clip, at least 1.
    pub samples: usize,
    /// Frames of the picture, at least 1 and at most those of a clip, `1 + ⌊samples/hop⌋`; what comes later is left out.
    pub frames: usize,
    /// Decibels from the loudest value down to the darkest, above 0.
    pub range: f32,
}

impl Default for LogMelParams {
    fn default() -> Self {
        let bank = MelParams { rate: 12_000.0, frame: 512, fft: 512, hop: 256, bands: 96, high: 6000.0, ..MelParams::default() };
        LogMelParams { bank, samples: 349_440, frames: 1366, range: 80.0 }
    }
}

/// Clips as pictures `[bands × frames]`, low bands first, each band over time.
///
/// The middle of a clip is taken if it is too long; a short one is followed by silence. A value is
/// `10·log₁₀(max(p, 10⁻¹⁰))` dB of the power `p` in the band, at least `range` below the loudest of the clip.
///
/// Departure from the released code of Choi et al. 2017: that squares the power once more, which doubles every decibel before the range is cut.
/// Here the power is plain.
///
/// Cost: that of [`Mel`]; 4 bytes for each value.
///
/// ```
/// use snn_data::{LogMel, LogMelParams};
/// let front = LogMel::new(LogMelParams::default())?;
/// let tone: Vec<f32> = (0..349_440).map(|n| (n as f32 * 0.5).sin()).collect();
/// assert_eq!(front.picture(&tone).len(), 96 * 1366);
/// # Ok::<(), snn_data::DataError>(())
/// ```
pub struct LogMel {
    mel: Mel,
    params: LogMelParams,
}

impl LogMel {
    /// A front end of these parameters.
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn new(params: LogMelParams) -> Result<Self, DataError> {
        let mel = Mel::new(params.bank.clone())?;
        count(OF, "samples", params.samples)?;
        let all = mel.frames(params.samples);
        check((1..=all).contains(&params.frames), OF, "frames", params.frames, "at least 1 and at most 1 + samples/hop")?;
        positive(OF, "range", params.range.into())?;
        Ok(LogMel { mel, params })
    }

    /// Bands and frames of a picture.
    pub fn shape(&self) -> (usize, usize) {
        (self.params.bank.bands, self.params.frames)
    }

    /// The picture of a clip, `[bands × frames]`.
    pub fn picture(&self, samples: &[f32]) -> Vec<f32> {
        let before = samples.len().saturating_sub(self.params.samples) / 2;
        let mut clip = samples[before..].to_vec();
        clip.resize(self.params.samples, 0.0);
        let levels = self.mel.decibels(&clip, self.params.range);
        let (bands, frames) = self.shape();
        (0..bands).flat_map(|band| (0..frames).map(move |t| (t, band))).map(|(t, band)| levels[t * bands + band]).collect()
    }

    /// The picture of a WAV file, the mean of its channels.
    ///
    /// # Errors
    /// [`DataError::Contents`] for another sampling rate than the bank's or no samples; [`DataError::Io`] for a file that is no WAV.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Vec<f32>, DataError> {
        let path = path.as_ref();
        let sound = wav::read(path)?;
        if f64::from(sound.rate) != self.params.bank.rate {
            let expected = format!("{}, the front end's rate", self.params.bank.rate);
            return SOURCE.wrong(path, format!("{} samples per second", sound.rate), expected);
        }
        if sound.samples.is_empty() {
            return SOURCE.wrong(path, "no samples".into(), "a sound");
        }
        Ok(self.picture(&sound.mono()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> LogMel {
        LogMel::new(LogMelParams { bank: MelParams { hop: 128, ..MelParams::default() }, samples: 4096, frames: 32, range: 60.0 }).unwrap()
    }

    fn tone(f: f64, samples: usize) -> Vec<f32> {
        (0..samples).map(|n| (std::f64::consts::TAU * f * n as f64 / 8000.0).sin() as f32).collect()
    }

    #[test]
    fn a_tone_is_brightest_in_its_band_in_every_frame() {
        let front = small();
        for f in [300.0, 1000.0, 3000.0] {
            let picture = front.picture(&tone(f, 4096));
            assert_eq!(picture.len(), 40 * 32);
            for t in 1..31 {
                let loudest = (0..40).max_by(|&a, &b| picture[a * 32 + t].total_cmp(&picture[b * 32 + t])).unwrap();
                let (low, high) = front.mel.edges(loudest);
                assert!(low < f && f < high, "{f} Hz in band {loudest}, {low} to {high} Hz");
            }
            let (top, bottom) = picture.iter().fold((f32::MIN, f32::MAX), |(a, b), &x| (a.max(x), b.min(x)));
            assert!(top - bottom <= 60.0 + 1e-3 && top - bottom > 59.0);
        }
    }

    #[test]
    fn long_clips_lose_both_ends_and_short_ones_end_in_silence() {
        let front = small();
        let middle = tone(700.0, 4096);
        let long = [&vec![0.3; 501][..], &middle, &vec![0.3; 502]].concat();
        assert_eq!(front.picture(&long), front.picture(&middle));
        let short = front.picture(&middle[..1000]);
        assert_eq!(short, front.picture(&[&middle[..1000], &[0.0; 3096]].concat()));
        assert!((0..40).all(|band| short[band * 32 + 31] <= short[band * 32 + 4]));
        assert!(front.picture(&[]).iter().all(|&x| x == -100.0));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refused = |params| LogMel::new(params).err().unwrap().to_string();
        assert!(refused(LogMelParams { frames: 1367, ..Default::default() }).contains("frames = 1367"));
        assert!(refused(LogMelParams { samples: 0, ..Default::default() }).contains("samples = 0"));
        assert!(refused(LogMelParams { range: f32::NAN, ..Default::default() }).contains("range = NaN"));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clip.wav");
        std::fs::write(&path, b"<html>").unwrap();
        assert!(small().read(&path).unwrap_err().to_string().contains("a web page"));
        let spec = hound::WavSpec { channels: 2, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
        let mut writer = hound::WavWriter::create(&path, spec).unwrap();
        (0..2000i16).for_each(|n| writer.write_sample((n % 7 - 3) * 1000).unwrap());
        writer.finalize().unwrap();
        assert_eq!(small().read(&path).unwrap().len(), 40 * 32);
        let message = LogMel::new(LogMelParams::default()).unwrap().read(&path).unwrap_err().to_string();
        assert!(message.contains("clip.wav: found 8000 samples per second, expected 12000"), "{message}");
    }

    #[test]
    fn the_clips_of_the_music_set_have_the_papers_shape() {
        let Some(dir) = std::env::var_os("SNN_DATA") else {
            eprintln!("skipped: SNN_DATA not set (it names the folder that holds music-clips/)");
            return;
        };
        let front = LogMel::new(LogMelParams::default()).unwrap();
        let clips = std::fs::read_dir(Path::new(&dir).join("music-clips")).unwrap().map(|entry| entry.unwrap().path());
        let clips: Vec<_> = clips.filter(|path| path.extension().is_some_and(|e| e == "wav")).collect();
        assert_eq!(clips.len(), 10);
        for clip in clips {
            let picture = front.read(&clip).unwrap();
            assert_eq!(picture.len(), 96 * 1366);
            assert!(picture.iter().all(|x| x.is_finite()) && picture.iter().any(|&x| x > -40.0), "{}", clip.display());
        }
    }
}
