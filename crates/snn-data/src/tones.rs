//! Tunes with tags: a multi-label task in sound that needs no files.

use crate::error::{DataError, check, count, positive};
use rand::{Rng, RngExt, seq::SliceRandom};
use rand_distr::{Distribution, StandardNormal};
use snn_core::Seed;
use std::{f64::consts::TAU, ops::Range};

const OF: &str = "ToneParams";
/// Notes of a tune.
const NOTES: usize = 8;
/// Points of the stored period of a saw or square wave.
const TABLE: usize = 2048;
/// Lowest pitch of each register (Hz) and the factor up to its highest: no pitch is in two.
const REGISTERS: [f64; 3] = [200.0, 520.0, 1350.0];
const SPAN: f64 = 2.4;
/// Tremolo, slow and fast (Hz).
const TREMOLO: [f64; 2] = [5.0, 14.0];
/// Rise and fall of a note, in seconds. They are alike, so that a tune played backwards is a tune.
const RAMP: f64 = 0.01;

/// The names of the tags, in their order.
pub const TONE_TAGS: [&str; 12] = [
    "sine",
    "saw",
    "square",
    "noise burst",
    "low register",
    "high register",
    "slow tremolo",
    "fast tremolo",
    "rises",
    "falls",
    "sine before noise",
    "noise before sine",
];

/// The tags of timbre among [`TONE_TAGS`].
pub const TIMBRE_TAGS: Range<usize> = 0..4;
/// The tags that a short stretch of the clip tells.
pub const LOCAL_TAGS: Range<usize> = 0..8;
/// The tags that only the order of the whole clip tells.
pub const GLOBAL_TAGS: Range<usize> = 8..12;

/// What tagged tunes are like.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `rate` | 8000 Hz | sampling rate |
/// | `samples` | 20,480 (2.56 s) | length of a clip |
/// | `snr` | 10 dB | power of the tune over that of the white noise in the whole clip |
/// | `often` | 0.3 | probability of a tag, where it is compatible with those drawn before |
/// | `gain` | 12 dB | clips differ in loudness by up to so much |
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ToneParams {
    /// Sampling rate in Hz, at least 8000: the highest pitch is 3240 Hz.
    pub rate: f64,
    /// Samples of a clip, at least `0.08 · rate` for each of the eight notes.
    pub samples: usize,
    /// Signal to noise in dB, finite.
    pub snr: f64,
    /// Probability of a tag, 0 to 0.5: some exclude each other.
    pub often: f64,
    /// Range of loudness in dB, at least 0.
    pub gain: f64,
}

impl Default for ToneParams {
    fn default() -> Self {
        ToneParams { rate: 8000.0, samples: 20_480, snr: 10.0, often: 0.3, gain: 12.0 }
    }
}

/// How a note sounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Timbre {
    /// One partial.
    Sine,
    /// All partials, `1/k`.
    Saw,
    /// Odd partials, `1/k`.
    Square,
    /// Noise of a narrow band around the pitch.
    Noise,
}

impl Timbre {
    const ALL: [Timbre; 4] = [Timbre::Sine, Timbre::Saw, Timbre::Square, Timbre::Noise];
}

/// A tune: all that its tags say, and nothing of gain, onset and noise.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Tune {
    /// The notes in the order they are played: step of the scale (0 to 7) and timbre.
    pub notes: Vec<(usize, Timbre)>,
    /// 0 low, 1 middle, 2 high.
    pub register: usize,
    /// 0 slow, 1 fast.
    pub tremolo: Option<usize>,
}

impl Tune {
    /// Which of [`TONE_TAGS`] hold.
    ///
    /// A melody rises if both notes of each pair (the first and second, third and fourth, …) are above both of the pair before: neighbours within a
    /// pair may step down, so that steps alone do not tell. "Sine before noise": there are both, and the last sine ends before the first noise begins.
    pub fn tags(&self) -> [bool; 12] {
        let has = |timbre| self.notes.iter().any(|note| note.1 == timbre);
        let steps: Vec<usize> = self.notes.iter().map(|note| note.0).collect();
        let backwards: Vec<usize> = steps.iter().rev().copied().collect();
        let before = |a: Timbre, b: Timbre| {
            let last = self.notes.iter().rposition(|note| note.1 == a);
            let first = self.notes.iter().position(|note| note.1 == b);
            last.zip(first).is_some_and(|(last, first)| last < first)
        };
        let [sine, saw, square, noise] = Timbre::ALL.map(has);
        let (low, high) = (self.register == 0, self.register == 2);
        let [slow, fast] = [0, 1].map(|k| self.tremolo == Some(k));
        let [first, second] = [before(Timbre::Sine, Timbre::Noise), before(Timbre::Noise, Timbre::Sine)];
        [sine, saw, square, noise, low, high, slow, fast, rises(&steps), rises(&backwards), first, second]
    }
}

/// A source of tagged tunes: parameters that have been checked, and the waves of every pitch.
///
/// A clip has eight notes of an octave and a quarter in one of three registers. Tags are drawn with probability `often` each where they are
/// compatible: timbres independently (one at least), low or high register, slow or fast tremolo, rising or falling, sine before noise or noise before
/// sine (which makes both be there). Where no order is drawn, notes and timbres are in random order that is no tag's. The rest is nuisance: onset, gain,
/// white noise over the whole clip.
///
/// Local tags can be read off a short stretch anywhere, the four global ones ([`GLOBAL_TAGS`]) need the order of the whole clip. Chosen for this
/// comparison; no published data set.
///
/// Cost of a clip: a few operations per sample. The same seed gives the same clip.
///
/// ```
/// use snn_core::Seed;
/// use snn_data::{TONE_TAGS, ToneParams, Tones};
/// let tones = Tones::new(ToneParams::default())?;
/// let (samples, tags) = tones.clip(Seed::new(1).nth(0));
/// assert_eq!((samples.len(), tags.len()), (20_480, TONE_TAGS.len()));
/// # Ok::<(), snn_data::DataError>(())
/// ```
pub struct Tones {
    params: ToneParams,
    /// One period of saw and square for each register and step of the scale, without partials above half the sampling rate.
    waves: Vec<[Vec<f32>; 2]>,
}

impl Tones {
    /// Checks the parameters and makes the waves.
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn new(params: ToneParams) -> Result<Self, DataError> {
        positive(OF, "rate", params.rate)?;
        check((8e3..=1e6).contains(&params.rate), OF, "rate", params.rate, "from 8000 to 10⁶")?;
        count(OF, "samples", params.samples)?;
        let least = 0.08 * params.rate * NOTES as f64;
        check(params.samples as f64 >= least, OF, "samples", params.samples, "at least 0.64 · rate: 80 ms for each note")?;
        check(params.snr.is_finite(), OF, "snr", params.snr, "finite")?;
        check((0.0..=0.5).contains(&params.often), OF, "often", params.often, "from 0 to 0.5")?;
        check((0.0..=200.0).contains(&params.gain), OF, "gain", params.gain, "from 0 to 200")?;
        let waves = (0..REGISTERS.len() * NOTES).map(|k| {
            let partials = (0.5 * params.rate / pitch(k / NOTES, k % NOTES)) as usize;
            [1, 2].map(|step| period(partials, step))
        });
        Ok(Tones { waves: waves.collect(), params })
    }

    /// The samples of a clip and which of [`TONE_TAGS`] hold.
    pub fn clip(&self, seed: Seed) -> (Vec<f32>, [bool; 12]) {
        let tune = self.tune(seed);
        (self.play(&tune, seed), tune.tags())
    }

    /// The tune of a clip.
    pub fn tune(&self, seed: Seed) -> Tune {
        let rng = &mut seed.child("tune").rng();
        let either = |rng: &mut dyn Rng| {
            let x = rng.random::<f64>();
            (x < 2.0 * self.params.often).then_some(usize::from(x >= self.params.often))
        };
        let register = either(rng).map_or(1, |k| 2 * k);
        let (tremolo, melody, order) = (either(rng), either(rng), either(rng));
        let mut there = Timbre::ALL.map(|_| rng.random_bool(self.params.often));
        if order.is_some() {
            (there[0], there[3]) = (true, true);
        } else if there == [false; 4] {
            there[rng.random_range(0..4)] = true;
        }
        let steps = steps(melody, rng);
        let timbres = timbres(&there, order, rng);
        Tune { notes: steps.into_iter().zip(timbres).collect(), register, tremolo }
    }

    /// The sound of a tune, with the onset, gain and noise of the seed.
    pub fn play(&self, tune: &Tune, seed: Seed) -> Vec<f32> {
        let (p, rng) = (&self.params, &mut seed.child("sound").rng());
        // A tenth of the clip is left for the onset.
        let length = (0.9 * p.samples as f64 / tune.notes.len().max(1) as f64) as usize;
        let onset = rng.random_range(0..=p.samples - length * tune.notes.len());
        let mut clip = vec![0f32; p.samples];
        for (note, part) in tune.notes.iter().zip(clip[onset..].chunks_exact_mut(length.max(1))) {
            self.note(tune.register, *note, rng, part);
        }
        if let Some(f) = tune.tremolo.and_then(|k| TREMOLO.get(k)) {
            let phase = rng.random::<f64>();
            for (n, x) in clip.iter_mut().enumerate() {
                *x *= (0.55 + 0.45 * (TAU * (f * n as f64 / p.rate + phase)).sin()) as f32;
            }
        }
        let power = clip.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / clip.len() as f64;
        let gain = 10f64.powf(-p.gain * rng.random::<f64>() / 20.0);
        let noise = (power * 10f64.powf(-p.snr / 10.0)).sqrt();
        for x in &mut clip {
            let z: f64 = StandardNormal.sample(rng);
            *x = (gain * (f64::from(*x) + noise * z)) as f32;
        }
        clip
    }

    /// One note of power about 1/2.
    fn note(&self, register: usize, (step, timbre): (usize, Timbre), rng: &mut impl Rng, part: &mut [f32]) {
        let (register, step) = (register.min(REGISTERS.len() - 1), step.min(NOTES - 1));
        let (rate, f) = (self.params.rate, pitch(register, step));
        let mut phase = rng.random::<f64>();
        let [saw, square] = &self.waves[register * NOTES + step];
        let table = |wave: &[f32], phase: f64| wave[((phase.fract() * TABLE as f64) as usize).min(TABLE - 1)];
        let ramp = RAMP * rate;
        let mut low = 0.0;
        for n in 0..part.len() {
            let shape = (n as f64 / ramp).min((part.len() - n) as f64 / ramp).min(1.0) as f32;
            let x = match timbre {
                Timbre::Sine => (TAU * phase).sin() as f32,
                Timbre::Saw => table(saw, phase),
                Timbre::Square => table(square, phase),
                Timbre::Noise => {
                    // Noise below 100 Hz, moved up to the pitch.
                    let (z, keep): (f64, f64) = (StandardNormal.sample(rng), (-TAU * 100.0 / rate).exp());
                    low = keep * low + (1.0 - keep * keep).sqrt() * z;
                    (low * (TAU * phase).sin()) as f32
                }
            };
            part[n] = shape * x;
            phase += f / rate;
        }
    }
}

/// Pitch (Hz) of a step of the scale.
fn pitch(register: usize, step: usize) -> f64 {
    REGISTERS[register] * SPAN.powf(step as f64 / (NOTES - 1) as f64)
}

/// A period with every `step`-th partial up to `partials`, of power 1/2.
fn period(partials: usize, step: usize) -> Vec<f32> {
    let numbers: Vec<f64> = (1..=partials.max(1)).step_by(step).map(|k| k as f64).collect();
    let power: f64 = numbers.iter().map(|k| 0.5 / (k * k)).sum();
    let scale = (0.5 / power).sqrt();
    let at = |n: usize| numbers.iter().map(|k| (TAU * k * n as f64 / TABLE as f64).sin() / k).sum::<f64>();
    (0..TABLE).map(|n| (scale * at(n)) as f32).collect()
}

/// Whether each pair of steps is above the pair before.
fn rises(steps: &[usize]) -> bool {
    let pairs: Vec<&[usize]> = steps.chunks(2).collect();
    pairs.windows(2).all(|w| w[0].iter().max() < w[1].iter().min())
}

/// The steps of a melody: rising (0), falling (1), or in an order that is neither.
fn steps(melody: Option<usize>, rng: &mut impl Rng) -> Vec<usize> {
    let mut steps: Vec<usize> = (0..NOTES).collect();
    if melody.is_none() {
        steps.shuffle(rng);
        // Rising or falling by accident (1 in 1,260): the first pair changes places with the last but one.
        let backwards: Vec<usize> = steps.iter().rev().copied().collect();
        if rises(&steps) || rises(&backwards) {
            steps.swap(0, NOTES - 4);
            steps.swap(1, NOTES - 3);
        }
        return steps;
    }
    if melody == Some(1) {
        steps.reverse();
    }
    for pair in steps.chunks_mut(2) {
        if rng.random::<bool>() {
            pair.reverse();
        }
    }
    steps
}

/// The timbre of each note: those that are there about equally often, sine before noise (0), noise before sine (1), or neither.
fn timbres(there: &[bool; 4], order: Option<usize>, rng: &mut impl Rng) -> Vec<Timbre> {
    let mut kinds: Vec<Timbre> = Timbre::ALL.into_iter().zip(there).filter(|(_, there)| **there).map(|(timbre, _)| timbre).collect();
    kinds.shuffle(rng);
    let mut timbres: Vec<Timbre> = (0..NOTES).map(|k| kinds[k % kinds.len()]).collect();
    timbres.shuffle(rng);
    let places: Vec<usize> = (0..NOTES).filter(|&k| matches!(timbres[k], Timbre::Sine | Timbre::Noise)).collect();
    let mut two: Vec<Timbre> = places.iter().map(|&k| timbres[k]).collect();
    match order {
        Some(order) => {
            two.sort_unstable();
            if order == 1 {
                two.reverse();
            }
        }
        // In order by accident: there are two of each at least, so an exchange of the outer ones puts an end to it.
        None if two.is_sorted() || two.is_sorted_by(|a, b| a >= b) => {
            if let [first, .., last] = &mut two[..] {
                std::mem::swap(first, last);
            }
        }
        None => {}
    }
    places.iter().zip(two).for_each(|(&k, timbre)| timbres[k] = timbre);
    timbres
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LogMel, LogMelParams, MelParams};
    use proptest::prelude::*;

    fn tones() -> Tones {
        Tones::new(ToneParams::default()).unwrap()
    }

    #[test]
    fn every_tag_is_there_and_missing_often_enough() {
        let tones = tones();
        let mut counts = [0; 12];
        for n in 0..2000 {
            let tags = tones.tune(Seed::new(3).nth(n)).tags();
            counts.iter_mut().zip(tags).for_each(|(count, tag)| *count += usize::from(tag));
            assert!(tags[4..].chunks(2).all(|pair| pair != [true, true]));
            assert!(tags[..4].contains(&true));
        }
        // 0.3 for those that exclude each other: standard deviation 20. Timbres are drawn more often, by order or for want of another.
        for (k, count) in counts.into_iter().enumerate() {
            let expected = if k < 4 { 550..1500 } else { 520..680 };
            assert!(expected.contains(&count), "{}: {count} of 2000", TONE_TAGS[k]);
        }
    }

    proptest! {
        #[test]
        fn backwards_swaps_the_global_tags_only(seed: u64) {
            let tune = tones().tune(Seed::new(seed));
            let mut reversed = tune.clone();
            reversed.notes.reverse();
            let (forth, back) = (tune.tags(), reversed.tags());
            prop_assert_eq!(&forth[LOCAL_TAGS], &back[LOCAL_TAGS]);
            prop_assert_eq!([forth[9], forth[8], forth[11], forth[10]], [back[8], back[9], back[10], back[11]]);
            let mut steps: Vec<usize> = tune.notes.iter().map(|note| note.0).collect();
            steps.sort_unstable();
            prop_assert_eq!(steps, (0..NOTES).collect::<Vec<_>>());
        }
    }

    /// Correlation of the brightest band with time: what a listener takes for rising and falling.
    fn trend(samples: &[f32]) -> f64 {
        let bank = MelParams { hop: 128, frame: 256, ..MelParams::default() };
        let front = LogMel::new(LogMelParams { bank, samples: 20_480, frames: 160, range: 60.0 }).unwrap();
        let picture = front.picture(samples);
        let at = |band: usize, t: usize| picture[band * 160 + t];
        let loudest = |t: usize| (0..40).max_by(|&a, &b| at(a, t).total_cmp(&at(b, t))).unwrap();
        let top = picture.iter().copied().fold(f32::MIN, f32::max);
        // Between notes there is noise only.
        let heard = (0..160).filter(|&t| at(loudest(t), t) > top - 15.0);
        let points: Vec<(f64, f64)> = heard.map(|t| (t as f64, loudest(t) as f64)).collect();
        let mean = |f: fn(&(f64, f64)) -> f64| points.iter().map(f).sum::<f64>() / points.len() as f64;
        let (x, y) = (mean(|p| p.0), mean(|p| p.1));
        let dot = |f: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(f).sum::<f64>();
        dot(&|p| (p.0 - x) * (p.1 - y)) / (dot(&|p| (p.0 - x).powi(2)) * dot(&|p| (p.1 - y).powi(2))).sqrt()
    }

    #[test]
    fn the_sound_follows_the_tune_and_turns_with_it() {
        let tones = Tones::new(ToneParams { snr: 30.0, ..Default::default() }).unwrap();
        let (mut rising, mut falling) = (0, 0);
        for n in 0..60 {
            let seed = Seed::new(8).nth(n);
            // Of a sine the brightest band is that of the pitch.
            let mut tune = tones.tune(seed);
            tune.notes.iter_mut().for_each(|note| note.1 = Timbre::Sine);
            let (samples, tags) = (tones.play(&tune, seed), tune.tags());
            assert_eq!((samples.len(), &samples), (20_480, &tones.play(&tune, seed)));
            let reversed: Vec<f32> = samples.iter().rev().copied().collect();
            let (forth, back) = (trend(&samples), trend(&reversed));
            if tags[8] || tags[9] {
                let sign = if tags[8] { 1.0 } else { -1.0 };
                assert!(sign * forth > 0.3 && sign * back < -0.3, "clip {n}, {:?}: {forth} {back}", tones.tune(seed));
                *(if tags[8] { &mut rising } else { &mut falling }) += 1;
            }
        }
        assert!(rising > 5 && falling > 5);
    }

    #[test]
    fn noise_and_gain_are_as_asked() {
        let power = |x: &[f32]| x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
        let clean = Tones::new(ToneParams { snr: 200.0, gain: 0.0, ..Default::default() }).unwrap();
        let noisy = Tones::new(ToneParams { gain: 0.0, ..Default::default() }).unwrap();
        for n in 0..10 {
            let seed = Seed::new(2).nth(n);
            let (a, b) = (clean.clip(seed).0, noisy.clip(seed).0);
            let noise: Vec<f32> = a.iter().zip(&b).map(|(a, b)| b - a).collect();
            let snr = 10.0 * (power(&a) / power(&noise)).log10();
            assert!((snr - 10.0).abs() < 0.2, "{snr}");
        }
    }

    #[test]
    fn parameters_are_checked() {
        let refused = |params| Tones::new(params).err().unwrap().to_string();
        assert!(refused(ToneParams { rate: 4000.0, ..Default::default() }).contains("rate = 4000"));
        assert!(refused(ToneParams { samples: 100, ..Default::default() }).contains("samples = 100"));
        assert!(refused(ToneParams { often: 0.6, ..Default::default() }).contains("often = 0.6"));
        assert!(refused(ToneParams { snr: f64::NAN, ..Default::default() }).contains("snr = NaN"));
    }
}
