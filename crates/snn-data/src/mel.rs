//! Sound to mel bands.

use crate::error::{DataError, check, count, positive};
use realfft::{RealFftPlanner, RealToComplex, num_complex::Complex64};
use std::sync::Arc;

const OF: &str = "MelParams";

/// Which curve from hertz to mel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MelScale {
    /// Linear up to 1 kHz (15 mel), logarithmic above, 27 mel per factor 6.4: Slaney 1998, Auditory Toolbox; librosa's default.
    Slaney,
    /// `2595 · log₁₀(1 + f/700)`: O'Shaughnessy 1987, as in HTK.
    Htk,
}

impl MelScale {
    /// The mel of the frequency `f` (Hz).
    pub fn mel(self, f: f64) -> f64 {
        match self {
            MelScale::Slaney if f < 1000.0 => 0.015 * f,
            MelScale::Slaney => 15.0 + 27.0 * (f / 1000.0).ln() / 6.4f64.ln(),
            MelScale::Htk => 2595.0 * (1.0 + f / 700.0).log10(),
        }
    }

    /// The frequency (Hz) of `mel`.
    pub fn hertz(self, mel: f64) -> f64 {
        match self {
            MelScale::Slaney if mel < 15.0 => mel / 0.015,
            MelScale::Slaney => 1000.0 * ((mel - 15.0) * 6.4f64.ln() / 27.0).exp(),
            MelScale::Htk => 700.0 * (10f64.powf(mel / 2595.0) - 1.0),
        }
    }
}

/// What a mel front end is like.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `rate` | 8000 Hz | sampling rate of the sound |
/// | `frame` | 200 (25 ms) | samples of the Hann window |
/// | `fft` | 256 | points of the transform; the window stands in their middle, zeros around it |
/// | `hop` | 40 (5 ms) | samples from one frame to the next |
/// | `bands` | 40 | mel bands |
/// | `low`, `high` | 0, 4000 Hz | where the bands begin and end |
/// | `scale` | Slaney | the mel curve |
/// | `unit_area` | true | bands of equal area (Slaney) instead of equal height 1 |
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct MelParams {
    /// Sampling rate in Hz, above 0.
    pub rate: f64,
    /// Length of the periodic Hann window in samples, at least 1.
    pub frame: usize,
    /// Length of the transform in samples, at least `frame` and at most 2²⁰.
    pub fft: usize,
    /// Samples between frames, at least 1.
    pub hop: usize,
    /// Number of bands, at least 1 and at most 2¹².
    pub bands: usize,
    /// Lower edge of the first band in Hz, at least 0.
    pub low: f64,
    /// Upper edge of the last band in Hz, above `low` and at most `rate/2`.
    pub high: f64,
    /// The mel curve.
    pub scale: MelScale,
    /// Whether a band of width `w` Hz has the height `2/w` (equal area) instead of 1.
    pub unit_area: bool,
}

impl Default for MelParams {
    fn default() -> Self {
        MelParams {
            rate: 8000.0,
            frame: 200,
            fft: 256,
            hop: 40,
            bands: 40,
            low: 0.0,
            high: 4000.0,
            scale: MelScale::Slaney,
            unit_area: true,
        }
    }
}

/// A mel front end: power in bands that are about equally wide to the ear, frame by frame.
///
/// Frame `t` is centred on sample `t · hop`; the sound is silent before its beginning and after its end. There are `1 + ⌊samples/hop⌋` frames.
/// With `S[t, k] = |FFT(w · x)|²` the band `b` gets `Σ_k F[b, k] · S[t, k]`; `F` are triangles over frequency whose corners are evenly
/// spaced in mel. The transform is in double precision, so that a threshold behind it does not depend on the machine's instructions.
///
/// Cost per frame: one real transform of `fft` points and about `fft` multiplications.
///
/// Source: Davis and Mermelstein 1980; edges, window and normalisation as in librosa (0.11) `feature.melspectrogram(power=2, center=True)`.
///
/// ```
/// use snn_data::{Mel, MelParams};
/// let mel = Mel::new(MelParams::default())?;
/// let tone: Vec<f32> = (0..8000).map(|n| (n as f32 * 440.0 / 8000.0 * std::f32::consts::TAU).sin()).collect();
/// let power = mel.power(&tone);
/// assert_eq!(power.len(), 201 * 40);
/// let frame = &power[100 * 40..101 * 40];
/// let loudest = (0..40).max_by(|&a, &b| frame[a].total_cmp(&frame[b])).unwrap();
/// let (low, high) = mel.edges(loudest);
/// assert!(low < 440.0 && 440.0 < high);
/// # Ok::<(), snn_data::DataError>(())
/// ```
pub struct Mel {
    params: MelParams,
    window: Vec<f64>, // [fft]
    /// For each band its first bin and its weights.
    filters: Vec<(usize, Vec<f64>)>,
    transform: Arc<dyn RealToComplex<f64>>,
}

impl Mel {
    /// A front end of these parameters.
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range, or if a band is so narrow that no bin of the transform falls into it.
    pub fn new(params: MelParams) -> Result<Self, DataError> {
        let p = &params;
        positive(OF, "rate", p.rate)?;
        count(OF, "frame", p.frame)?;
        check(p.fft >= p.frame && p.fft <= 1 << 20, OF, "fft", p.fft, "at least frame and at most 2²⁰")?;
        count(OF, "hop", p.hop)?;
        check((1..=1 << 12).contains(&p.bands), OF, "bands", p.bands, "from 1 to 2¹²")?;
        check(p.low >= 0.0 && p.low < p.high, OF, "low", p.low, "at least 0 and below high")?;
        check(p.high <= p.rate / 2.0, OF, "high", p.high, "at most rate/2")?;

        let before = (p.fft - p.frame) / 2;
        let mut window = vec![0.0; p.fft];
        for (n, w) in window[before..before + p.frame].iter_mut().enumerate() {
            *w = 0.5 - 0.5 * (std::f64::consts::TAU * n as f64 / p.frame as f64).cos();
        }
        let filters: Vec<_> = (0..p.bands).map(|band| triangle(p, band)).collect();
        let empty = filters.iter().position(|(_, weights)| weights.is_empty());
        check(empty.is_none(), OF, "bands", p.bands, "fewer, or fft longer: a band holds no frequency of the transform")?;
        let transform = RealFftPlanner::new().plan_fft_forward(p.fft);
        Ok(Mel { window, filters, transform, params })
    }

    /// Frames of a sound of so many samples.
    pub fn frames(&self, samples: usize) -> usize {
        1 + samples / self.params.hop
    }

    /// Where a band begins and ends, in Hz.
    ///
    /// # Panics
    /// If there is no such band.
    #[track_caller]
    pub fn edges(&self, band: usize) -> (f64, f64) {
        assert!(band < self.params.bands, "band {band} of {}", self.params.bands);
        (corner(&self.params, band), corner(&self.params, band + 2))
    }

    /// The power in each band, `[frames × bands]`, time-major.
    pub fn power(&self, samples: &[f32]) -> Vec<f32> {
        let p = &self.params;
        let (mut input, mut bins) = (self.transform.make_input_vec(), self.transform.make_output_vec());
        let mut scratch = self.transform.make_scratch_vec();
        let mut power = Vec::with_capacity(self.frames(samples.len()) * p.bands);
        for frame in 0..self.frames(samples.len()) {
            for (n, (x, w)) in input.iter_mut().zip(&self.window).enumerate() {
                // Sample frame·hop stands at the middle of the transform.
                let sample = (frame * p.hop + n).checked_sub(p.fft / 2).and_then(|i| samples.get(i));
                *x = w * f64::from(*sample.unwrap_or(&0.0));
            }
            self.transform.process_with_scratch(&mut input, &mut bins, &mut scratch).expect("the buffers were made for this transform");
            power.extend(self.filters.iter().map(|(first, weights)| {
                let bins = bins[*first..].iter().map(Complex64::norm_sqr);
                weights.iter().zip(bins).map(|(w, s)| w * s).sum::<f64>() as f32
            }));
        }
        power
    }

    /// The same in decibels, `10 · log₁₀(max(power, 10⁻¹⁰))`, and at most `range` dB below the loudest value of the sound.
    pub fn decibels(&self, samples: &[f32], range: f32) -> Vec<f32> {
        let mut levels = self.power(samples);
        levels.iter_mut().for_each(|x| *x = 10.0 * x.max(1e-10).log10());
        let floor = levels.iter().copied().fold(f32::NEG_INFINITY, f32::max) - range;
        levels.iter_mut().for_each(|x| *x = x.max(floor));
        levels
    }
}

/// The frequency (Hz) of corner `k` of `bands + 2`: evenly spaced in mel.
fn corner(p: &MelParams, k: usize) -> f64 {
    let (low, high) = (p.scale.mel(p.low), p.scale.mel(p.high));
    p.scale.hertz(low + (high - low) * k as f64 / (p.bands + 1) as f64)
}

/// The first bin of a band and its weights from there on: up from corner `band` to the next, down to the one after.
fn triangle(p: &MelParams, band: usize) -> (usize, Vec<f64>) {
    let [low, peak, high] = [0, 1, 2].map(|k| corner(p, band + k));
    let height = if p.unit_area { 2.0 / (high - low) } else { 1.0 };
    let weight = |k: usize| {
        let f = k as f64 * p.rate / p.fft as f64;
        height * ((f - low) / (peak - low)).min((high - f) / (high - peak))
    };
    let inside = |&k: &usize| weight(k) > 0.0;
    let bins = 0..p.fft / 2 + 1;
    let first = bins.clone().find(inside).unwrap_or(bins.end);
    (first, (first..bins.end).take_while(inside).map(weight).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Made with librosa by `tests/mel.py`: for each line the scale, the area flag, a frame, a band, and the power.
    const TABLE: &str = include_str!("../tests/mel.csv");

    /// The sound of the table: a rising tone and a fixed one, 1,000 samples at 8 kHz.
    fn sound() -> Vec<f32> {
        let tau = std::f64::consts::TAU;
        let at = |n: f64| 0.5 * (tau * (300.0 + 1.2 * n) * n / 8000.0).sin() + 0.2 * (tau * 2500.0 * n / 8000.0).cos();
        (0..1000).map(|n| at(f64::from(n)) as f32).collect()
    }

    #[test]
    fn power_and_decibels_are_librosas() {
        let mut compared = 0;
        for (scale, name) in [(MelScale::Slaney, "slaney"), (MelScale::Htk, "htk")] {
            for unit_area in [true, false] {
                let mel =
                    Mel::new(MelParams { scale, unit_area, bands: 20, hop: 80, low: 50.0, high: 3800.0, ..Default::default() }).unwrap();
                let (power, levels) = (mel.power(&sound()), mel.decibels(&sound(), 60.0));
                assert_eq!(power.len(), 13 * 20);
                for line in TABLE.lines().filter(|line| line.starts_with(&format!("{name},{},", u8::from(unit_area)))) {
                    let numbers: Vec<f64> = line.split(',').skip(2).map(|cell| cell.parse().unwrap()).collect();
                    let at = numbers[0] as usize * 20 + numbers[1] as usize;
                    let close = |x: f32, expected: f64, part: f64| (f64::from(x) - expected).abs() <= part * expected.abs() + 1e-7;
                    assert!(close(power[at], numbers[2], 1e-4), "{line}: {}", power[at]);
                    assert!((f64::from(levels[at]) - numbers[3]).abs() < 1e-3, "{line}: {}", levels[at]);
                    compared += 1;
                }
            }
        }
        assert_eq!(compared, 4 * 5 * 20); // frames 0, 3, 6, 9, 12
    }

    #[test]
    fn silence_and_short_sounds_have_frames() {
        let mel = Mel::new(MelParams::default()).unwrap();
        assert_eq!(mel.power(&[]), [0.0; 40]);
        assert_eq!(mel.decibels(&[0.0; 39], 80.0), [-100.0; 40]);
        // 29.12 s at 12 kHz in hops of 256: 1,366 frames, as in the music-tagging CRNN.
        let crnn = MelParams { rate: 12000.0, frame: 512, fft: 512, hop: 256, bands: 96, high: 6000.0, ..Default::default() };
        assert_eq!(Mel::new(crnn).unwrap().frames(349_440), 1366);
    }

    #[test]
    fn parameters_are_checked() {
        let bad = |params| Mel::new(params).err().unwrap().to_string();
        assert!(bad(MelParams { fft: 100, ..Default::default() }).contains("fft = 100"));
        assert!(bad(MelParams { high: 4001.0, ..Default::default() }).contains("high = 4001"));
        assert!(bad(MelParams { low: f64::NAN, ..Default::default() }).contains("low = NaN"));
        assert!(bad(MelParams { bands: 200, ..Default::default() }).contains("a band holds no frequency"));
        assert!(bad(MelParams { hop: 0, ..Default::default() }).contains("hop = 0"));
    }

    proptest! {
        #[test]
        fn mel_and_hertz_are_inverse(f in 0f64..20_000.0) {
            for scale in [MelScale::Slaney, MelScale::Htk] {
                prop_assert!((scale.hertz(scale.mel(f)) - f).abs() < 1e-9 * (1.0 + f));
            }
        }

        /// Powers of two are exact in binary: so is their square.
        #[test]
        fn power_grows_with_the_square(k in -8i32..8) {
            let mel = Mel::new(MelParams::default()).unwrap();
            let scale = 2f32.powi(k);
            let louder: Vec<f32> = sound().iter().map(|x| x * scale).collect();
            let expected: Vec<f32> = mel.power(&sound()).iter().map(|x| x * scale * scale).collect();
            prop_assert!(expected.iter().all(|&x| x >= 0.0));
            prop_assert_eq!(mel.power(&louder), expected);
        }
    }
}
