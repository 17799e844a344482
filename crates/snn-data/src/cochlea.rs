//! Sound to the channels of a cochlea-like filter bank.

use crate::error::{DataError, check, count, positive};
use std::f64::consts::TAU;

const OF: &str = "CochleaParams";
/// Channels that are filtered together.
const LANES: usize = 8;
/// Second-order sections of a fourth-order gammatone.
const SECTIONS: usize = 4;

/// The equivalent rectangular bandwidth (Hz) of the human auditory filter at `f` (Hz): `24.7 · (4.37 · f/1000 + 1)`.
///
/// Source: Glasberg and Moore 1990, eq. 3.
pub fn erb(f: f64) -> f64 {
    24.7 * (4.37e-3 * f + 1.0)
}

/// The number of such bandwidths below `f` (Hz): `21.4 · log₁₀(4.37 · f/1000 + 1)`.
///
/// Source: Glasberg and Moore 1990, eq. 4.
pub fn erb_number(f: f64) -> f64 {
    21.4 * (4.37e-3 * f + 1.0).log10()
}

/// The frequency (Hz) at an [`erb_number`].
pub fn erb_frequency(number: f64) -> f64 {
    (10f64.powf(number / 21.4) - 1.0) / 4.37e-3
}

/// What a cochlea-like bank is like.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `rate` | 8000 Hz | sampling rate of the sound |
/// | `channels` | 64 | filters |
/// | `low`, `high` | 80, 3600 Hz | first and last centre frequency |
/// | `hop` | 40 (5 ms) | samples of a frame |
/// | `exponent` | 0.3 | compression of the frame's mean |
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct CochleaParams {
    /// Sampling rate in Hz, above 0.
    pub rate: f64,
    /// Number of filters, from 2 to 2¹⁶.
    pub channels: usize,
    /// First centre frequency in Hz, above 0.
    pub low: f64,
    /// Last centre frequency in Hz, above `low` and below `rate/2`.
    pub high: f64,
    /// Samples of a frame, at least 1.
    pub hop: usize,
    /// Exponent of the compression, above 0; 1 is none.
    pub exponent: f64,
}

impl Default for CochleaParams {
    fn default() -> Self {
        CochleaParams { rate: 8000.0, channels: 64, low: 80.0, high: 3600.0, hop: 40, exponent: 0.3 }
    }
}

/// A cochlea-like front end: gammatone filters, half-wave rectification, compression.
///
/// Filter `c` has the impulse response `t³ · e^(−2πbt) · cos(2πft)` with `b = 1.019 · ERB(f)`, sampled, as four second-order sections with
/// real coefficients, and gain 1 at its centre `f`. Centres are evenly spaced in [`erb_number`] from `low` to `high`: channel 0 is the
/// lowest. Of its output the negative half is cut off, as hair cells do; the mean over the `hop` samples of a frame, to the power
/// `exponent`, is the channel's value in that frame. The last frame may be short and is averaged over the samples it has.
///
/// It is like a cochlea in the places and widths of its filters only: no outer-hair-cell gain control, no adaptation, no phase locking
/// behind the averaging. The spiking Heidelberg data were made with another model (basilar membrane, hair cells and bushy cells in 700
/// channels), so spikes made from this bank are not comparable with them.
///
/// Cost: 4 sections · 9 operations per sample and channel, eight channels at a time, in double precision.
///
/// Source: Patterson et al. 1992; sections as in Slaney 1993, "An efficient implementation of the Patterson-Holdsworth auditory filter
/// bank", Apple TR 35; bandwidths Glasberg and Moore 1990.
///
/// ```
/// use snn_data::{Cochlea, CochleaParams};
/// let cochlea = Cochlea::new(CochleaParams::default())?;
/// let tone: Vec<f32> = (0..800).map(|n| (n as f32 * 1000.0 / 8000.0 * std::f32::consts::TAU).sin()).collect();
/// let frames = cochlea.frames(&tone);
/// assert_eq!(frames.len(), 20 * 64);
/// let last = &frames[19 * 64..];
/// let loudest = (0..64).max_by(|&a, &b| last[a].total_cmp(&last[b])).unwrap();
/// assert!((cochlea.centres()[loudest] - 1000.0).abs() < 40.0);
/// # Ok::<(), snn_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cochlea {
    params: CochleaParams,
    centres: Vec<f64>,
    banks: Vec<Bank>,
}

/// Eight filters: `y = b0·x + s1`, `s1 ← b1·x − a1·y + s2`, `s2 ← −a2·y` in each section; b1 differs between sections, the rest does not.
#[derive(Clone, Debug)]
struct Bank {
    b0: [f64; LANES],
    b1: [[f64; LANES]; SECTIONS],
    a1: [f64; LANES],
    a2: [f64; LANES],
}

impl Cochlea {
    /// A front end of these parameters.
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn new(params: CochleaParams) -> Result<Self, DataError> {
        let p = &params;
        positive(OF, "rate", p.rate)?;
        check((2..=1 << 16).contains(&p.channels), OF, "channels", p.channels, "from 2 to 2¹⁶")?;
        check(p.low > 0.0 && p.low < p.high, OF, "low", p.low, "above 0 and below high")?;
        check(p.high < p.rate / 2.0, OF, "high", p.high, "below rate/2")?;
        count(OF, "hop", p.hop)?;
        positive(OF, "exponent", p.exponent)?;
        let (low, high) = (erb_number(p.low), erb_number(p.high));
        let centre = |c: usize| erb_frequency(low + (high - low) * c as f64 / (p.channels - 1) as f64);
        let centres: Vec<f64> = (0..p.channels).map(centre).collect();
        let banks = centres.chunks(LANES).map(|centres| Bank::new(centres, p.rate)).collect();
        Ok(Cochlea { centres, banks, params })
    }

    /// Centre frequencies in Hz, ascending.
    pub fn centres(&self) -> &[f64] {
        &self.centres
    }

    /// The value of each channel in each frame, `[⌈samples/hop⌉ × channels]`, time-major. Samples that are no finite numbers spoil what
    /// comes after them; a reader of sound files refuses them.
    pub fn frames(&self, samples: &[f32]) -> Vec<f32> {
        let n = self.params.channels;
        let mut frames = vec![0f32; samples.len().div_ceil(self.params.hop) * n];
        for (k, bank) in self.banks.iter().enumerate() {
            let mut state = State::default();
            for (samples, frame) in samples.chunks(self.params.hop).zip(frames.chunks_exact_mut(n)) {
                let mut sum = [0f64; LANES];
                for &x in samples {
                    let y = bank.step(&mut state, f64::from(x));
                    sum.iter_mut().zip(y).for_each(|(sum, y)| *sum += y.max(0.0));
                }
                for (value, sum) in frame[k * LANES..].iter_mut().zip(sum) {
                    *value = (sum / samples.len() as f64).powf(self.params.exponent) as f32;
                }
            }
        }
        frames
    }
}

/// The two delays of each section.
type State = [[[f64; LANES]; 2]; SECTIONS];

impl Bank {
    /// The filters of up to eight centre frequencies; what is left repeats the last.
    fn new(centres: &[f64], rate: f64) -> Self {
        let centre = |lane: usize| centres[lane.min(centres.len() - 1)];
        let dt = 1.0 / rate;
        let decay = |lane| (-TAU * 1.019 * erb(centre(lane)) * dt).exp();
        // Zeros of the sections on the real axis: e^(−Bt)·(cos ωt ± √(3 ± 2^1.5)·sin ωt), each half of a pair (Slaney 1993, p. 13).
        let zeros = [1.0, -1.0].map(|sign: f64| (3.0 + sign * 2f64.powf(1.5)).sqrt());
        let zeros = [zeros[0], -zeros[0], zeros[1], -zeros[1]];
        let mut bank = Bank {
            b0: [1.0; LANES],
            b1: zeros.map(|zero| {
                std::array::from_fn(|lane| {
                    let (sin, cos) = (TAU * centre(lane) * dt).sin_cos();
                    -decay(lane) * (cos + zero * sin)
                })
            }),
            a1: std::array::from_fn(|lane| -2.0 * decay(lane) * (TAU * centre(lane) * dt).cos()),
            a2: std::array::from_fn(|lane| decay(lane).powi(2)),
        };
        // Gain 1 at the centre, shared equally by the sections.
        let scale: [f64; LANES] = std::array::from_fn(|lane| bank.gain(lane, centre(lane) * dt).powf(-1.0 / SECTIONS as f64));
        for lane in 0..LANES {
            bank.b0[lane] *= scale[lane];
            bank.b1.iter_mut().for_each(|b1| b1[lane] *= scale[lane]);
        }
        bank
    }

    /// `|H(f)|` of a filter at `f` cycles per sample: the product over its sections of `|b0 + b1·w| / |1 + a1·w + a2·w²|`, `w = e^(−2πif)`.
    fn gain(&self, lane: usize, f: f64) -> f64 {
        let ((s1, c1), (s2, c2)) = ((TAU * f).sin_cos(), (2.0 * TAU * f).sin_cos());
        let (a1, a2) = (self.a1[lane], self.a2[lane]);
        let below = (1.0 + a1 * c1 + a2 * c2).hypot(a1 * s1 + a2 * s2);
        self.b1.iter().map(|b1| (self.b0[lane] + b1[lane] * c1).hypot(b1[lane] * s1) / below).product()
    }

    /// One sample through eight filters.
    #[inline]
    fn step(&self, state: &mut State, x: f64) -> [f64; LANES] {
        let mut x = [x; LANES];
        for (b1, [s1, s2]) in self.b1.iter().zip(state) {
            for lane in 0..LANES {
                let y = self.b0[lane] * x[lane] + s1[lane];
                s1[lane] = b1[lane] * x[lane] - self.a1[lane] * y + s2[lane];
                s2[lane] = -self.a2[lane] * y;
                x[lane] = y;
            }
        }
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sixteen() -> Cochlea {
        Cochlea::new(CochleaParams { rate: 16_000.0, channels: 13, low: 100.0, high: 6000.0, ..Default::default() }).unwrap()
    }

    /// The impulse response of channel `c`.
    fn response(cochlea: &Cochlea, c: usize, samples: usize) -> Vec<f64> {
        let mut state = State::default();
        (0..samples).map(|n| cochlea.banks[c / LANES].step(&mut state, f64::from(u8::from(n == 0)))[c % LANES]).collect()
    }

    /// The amplitude of a response at `f` cycles per sample, summed directly.
    fn spectrum(response: &[f64], f: f64) -> f64 {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, h) in response.iter().enumerate() {
            re += h * (TAU * f * n as f64).cos();
            im += h * (TAU * f * n as f64).sin();
        }
        re.hypot(im)
    }

    #[test]
    fn bandwidths_are_glasberg_and_moores() {
        // By hand: ERB(1 kHz) = 24.7 · 5.37 = 132.639; number 21.4 · log₁₀ 5.37 = 15.62.
        assert!((erb(1000.0) - 132.639).abs() < 1e-9);
        assert!((erb_number(1000.0) - 15.6213).abs() < 1e-3);
        assert!((erb_frequency(erb_number(440.0)) - 440.0).abs() < 1e-9);
        let cochlea = sixteen();
        assert!((cochlea.centres()[0] - 100.0).abs() < 1e-9 && (cochlea.centres()[12] - 6000.0).abs() < 1e-8);
    }

    #[test]
    fn the_peak_is_the_centre_with_gain_one_and_the_bandwidth_is_the_formulas() {
        let cochlea = sixteen();
        for (c, &centre) in cochlea.centres().iter().enumerate() {
            let response = response(&cochlea, c, 4000);
            let at = |f: f64| spectrum(&response, f / 16_000.0);
            assert!((at(centre) - 1.0).abs() < 1e-9, "channel {c}: gain {}", at(centre));
            // |H| of a fourth-order gammatone falls as (1 + (Δf/b)²)^−2: −3 dB at Δf = b·√(2^¼ − 1), a width of 0.8865 ERB.
            let width = 2.0 * 1.019 * erb(centre) * (2f64.powf(0.25) - 1.0).sqrt();
            let grid: Vec<f64> = (-400..=400).map(|k| centre + width * f64::from(k) / 200.0).collect();
            let gains: Vec<f64> = grid.iter().map(|&f| at(f)).collect();
            let peak = (0..grid.len()).max_by(|&a, &b| gains[a].total_cmp(&gains[b])).unwrap();
            assert!((grid[peak] - centre).abs() <= 0.04 * width, "channel {c}: peak {} for {centre}", grid[peak]);
            let above = gains.iter().filter(|&&g| g >= gains[peak] * 0.5f64.sqrt()).count() as f64 * width / 200.0;
            assert!((above / width - 1.0).abs() < 0.03, "channel {c}: {above} Hz for {width}");
        }
    }

    #[test]
    fn the_impulse_response_is_the_gammatone() {
        // Up to its scale. The zeros are the continuous filter's, so that the sampled response is close and not equal.
        let cochlea = sixteen();
        for c in [3, 6, 9] {
            let (f, b) = (cochlea.centres()[c], 1.019 * erb(cochlea.centres()[c]));
            let response = response(&cochlea, c, 800);
            let gammatone: Vec<f64> =
                (0..800).map(|n| f64::from(n) / 16_000.0).map(|t| t.powi(3) * (-TAU * b * t).exp() * (TAU * f * t).cos()).collect();
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let cosine = dot(&response, &gammatone) / (dot(&response, &response) * dot(&gammatone, &gammatone)).sqrt();
            assert!(cosine > 0.99, "channel {c}: {cosine}");
        }
    }

    #[test]
    fn a_tone_is_rectified_averaged_and_compressed() {
        // A full-scale tone at a centre comes out as it is; the mean of its positive half is 1/π.
        let cochlea = sixteen();
        let centre = cochlea.centres()[6];
        let tone: Vec<f32> = (0..16_000).map(|n| (TAU * centre * f64::from(n) / 16_000.0).sin() as f32).collect();
        let frames = cochlea.frames(&tone);
        let late: f64 = (200..400).map(|t| f64::from(frames[t * 13 + 6])).sum::<f64>() / 200.0;
        assert!((late / std::f64::consts::FRAC_1_PI.powf(0.3) - 1.0).abs() < 0.02, "{late}");
        assert_eq!(cochlea.frames(&tone[..41]).len(), 2 * 13);
        assert!(cochlea.frames(&[]).is_empty() && cochlea.frames(&[0.0; 40]) == [0.0; 13]);
    }

    #[test]
    fn parameters_are_checked() {
        let bad = |params| Cochlea::new(params).err().unwrap().to_string();
        assert!(bad(CochleaParams { high: 4000.0, ..Default::default() }).contains("high = 4000"));
        assert!(bad(CochleaParams { low: 0.0, ..Default::default() }).contains("low = 0"));
        assert!(bad(CochleaParams { channels: 1, ..Default::default() }).contains("channels = 1"));
        assert!(bad(CochleaParams { hop: 0, ..Default::default() }).contains("hop = 0"));
        assert!(bad(CochleaParams { exponent: f64::NAN, ..Default::default() }).contains("exponent = NaN"));
    }

    proptest! {
        #[test]
        fn any_bank_is_stable(low in 20f64..500.0, more in 1f64..3000.0, channels in 2usize..40) {
            let cochlea = Cochlea::new(CochleaParams { low, high: low + more, channels, ..Default::default() }).unwrap();
            let click: Vec<f32> = (0..8000).map(|n| if n == 0 { 1.0 } else { 0.0 }).collect();
            let frames = cochlea.frames(&click);
            prop_assert!(frames.iter().all(|x| (0.0..1.0).contains(x)));
            prop_assert!(frames[frames.len() - channels..].iter().all(|&x| x < 1e-4), "the last frame still rings");
        }
    }
}
