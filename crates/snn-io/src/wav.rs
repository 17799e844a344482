//! Sound: uncompressed RIFF/WAVE, PCM of 8, 16, 24 or 32 bits and floats of 32 bits.
//!
//! The file is walked chunk by chunk here, so that lengths are checked against the bytes that are there, and chunks of odd length or of no
//! interest are passed over; `hound` then reads `fmt ` and `data` alone. Source: IBM and Microsoft, "Multimedia Programming Interface and
//! Data Specifications 1.0", 1991.

use crate::IoError;
use hound::{SampleFormat, WavReader};
use std::{fs, io::Read, path::Path};

const EXPECTED: &str = "a WAV file (RIFF/WAVE, PCM or 32-bit float)";

/// Sound as numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Wav {
    /// Frames per second (Hz), at least 1.
    pub rate: u32,
    /// Samples in a frame, at least 1.
    pub channels: u16,
    /// The samples, interleaved: all channels of the first frame, then of the second. Integers of b bits are divided by 2^(b−1), so
    /// they lie in −1 … 1; floats are given as they stand, and are finite.
    pub samples: Vec<f32>,
}

impl Wav {
    /// The mean over the channels: one sample for each frame.
    pub fn mono(&self) -> Vec<f32> {
        let channels = self.channels.max(1).into();
        self.samples.chunks_exact(channels).map(|frame| frame.iter().sum::<f32>() / channels as f32).collect()
    }
}

/// Reads a WAV file.
///
/// Memory: the file and four bytes for each sample that is really there.
///
/// # Errors
/// [`IoError::NotFound`], [`IoError::Format`] (another kind of file), [`IoError::Truncated`] (a chunk that ends early, as after a broken
/// download, or a stream whose writer never filled in the length), [`IoError::Content`] (a compressed or inconsistent encoding, a rate of
/// 0, no channels, a sample that is not finite), [`IoError::Os`].
///
/// ```
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("tone.wav");
/// let spec = hound::WavSpec { channels: 2, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
/// let mut writer = hound::WavWriter::create(&path, spec)?;
/// for sample in [16384i16, -32768, 0, 16384] {
///     writer.write_sample(sample)?;
/// }
/// writer.finalize()?;
///
/// let wav = snn_io::wav::read(&path)?;
/// assert_eq!((wav.rate, wav.channels, &wav.samples[..]), (8000, 2, &[0.5, -1.0, 0.0, 0.5][..]));
/// assert_eq!(wav.mono(), [-0.25, 0.25]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read(path: impl AsRef<Path>) -> Result<Wav, IoError> {
    let path = path.as_ref();
    let bytes = fs::read(path).map_err(|e| IoError::reading(path, EXPECTED, e))?;
    decode(path, &bytes)
}

fn decode(path: &Path, bytes: &[u8]) -> Result<Wav, IoError> {
    let (format, data) = chunks(path, bytes)?;
    // The two chunks that matter, under a header of their own; hound refuses what it cannot read before it reserves anything.
    let length = |part: &[u8]| (part.len() as u32).to_le_bytes();
    let head = [b"RIFF\0\0\0\0WAVEfmt ", &length(format)[..], format, b"data", &length(data)].concat();
    let refused = |e: hound::Error| match e {
        hound::Error::FormatError(reason) => IoError::content(path, "chunk `fmt `", format!("{reason}; {CONVERT}")),
        hound::Error::IoError(_) => IoError::content(path, "chunk `fmt `", format!("it ends early; {CONVERT}")),
        _ => IoError::content(path, "chunk `fmt `", format!("this encoding is not read here; {CONVERT}")),
    };
    let mut reader = WavReader::new(head.chain(data)).map_err(refused)?;
    let spec = reader.spec();
    if spec.sample_rate == 0 {
        return Err(IoError::content(path, "chunk `fmt `", format!("a rate of 0 samples per second; {CONVERT}")));
    }
    let mut samples = Vec::with_capacity(reader.len() as usize);
    match spec.sample_format {
        SampleFormat::Int => {
            let scale = 2f64.powi(1 - i32::from(spec.bits_per_sample)) as f32;
            for sample in reader.samples::<i32>() {
                samples.push(sample.map_err(refused)? as f32 * scale);
            }
        }
        SampleFormat::Float => {
            for (i, sample) in reader.samples::<f32>().enumerate() {
                let sample = sample.map_err(refused)?;
                if !sample.is_finite() {
                    return Err(IoError::content(path, format!("sample {i}"), format!("{sample} is no sound; make the file again")));
                }
                samples.push(sample);
            }
        }
    }
    Ok(Wav { rate: spec.sample_rate, channels: spec.channels, samples })
}

const CONVERT: &str = "expected PCM of 8, 16, 24 or 32 bits or 32-bit floats: convert it, for example with `sox in.wav -b 16 out.wav`";

/// The bodies of the chunks `fmt ` and `data`. Lengths are little-endian, and a body of odd length is followed by one byte of padding.
fn chunks<'a>(path: &Path, bytes: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), IoError> {
    let is_wave = matches!(bytes.first_chunk::<12>(), Some([b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E']));
    if !is_wave {
        return Err(match bytes {
            [b'R', b'I', b'F', b'F', rest @ ..] if rest.len() < 8 => truncated(path, "header", 12, bytes.len()),
            _ => IoError::format(path, EXPECTED, bytes),
        });
    }
    let (mut rest, mut format) = (&bytes[12..], None);
    while let Some((&[a, b, c, d, l0, l1, l2, l3], after)) = rest.split_first_chunk() {
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let body = after.get(..length);
        let whole = |what| body.ok_or_else(|| truncated(path, what, length as u64, after.len()));
        match (&[a, b, c, d], format) {
            (b"fmt ", _) => format = Some(whole("chunk `fmt `")?),
            (b"data", Some(format)) => return Ok((format, whole("samples")?)),
            (b"data", None) => return Err(IoError::content(path, "chunk `data`", "it comes before the chunk `fmt ` that explains it")),
            _ => drop(whole("a chunk before the samples")?),
        }
        rest = after.get(length + length % 2..).unwrap_or_default();
    }
    Err(truncated(path, "the next chunk's header (no chunk `data` so far)", 8, rest.len()))
}

fn truncated(path: &Path, what: &'static str, expected: u64, found: usize) -> IoError {
    IoError::Truncated { path: path.into(), what, expected, found: found as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hound::{WavSpec, WavWriter};
    use proptest::prelude::*;
    use std::io::Cursor;

    fn check(bytes: &[u8]) -> Result<Wav, IoError> {
        let result = decode(Path::new("dir/a.wav"), bytes);
        if let Err(error) = &result {
            assert!(error.to_string().starts_with("dir/a.wav: "), "{error}");
        }
        result
    }

    fn says(bytes: &[u8], what: &str) {
        let message = check(bytes).unwrap_err().to_string();
        assert!(message.contains(what), "{message}");
    }

    fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
        [name, &(body.len() as u32).to_le_bytes()[..], body].concat()
    }

    /// `fmt `: encoding (1 PCM, 3 float), channels, rate, bytes per second, bytes per frame, bits.
    fn format(tag: u16, channels: u16, rate: u32, bits: u16) -> Vec<u8> {
        let frame = channels * bits.div_ceil(8);
        let mut body = [tag.to_le_bytes(), channels.to_le_bytes()].concat();
        body.extend([rate.to_le_bytes(), (rate * u32::from(frame)).to_le_bytes()].concat());
        body.extend([frame.to_le_bytes(), bits.to_le_bytes()].concat());
        chunk(b"fmt ", &body)
    }

    fn riff(chunks: &[Vec<u8>]) -> Vec<u8> {
        let body = chunks.concat();
        [b"RIFF", &(4 + body.len() as u32).to_le_bytes()[..], b"WAVE", &body].concat()
    }

    fn file(tag: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
        riff(&[format(tag, channels, rate, bits), chunk(b"data", data)])
    }

    #[test]
    fn golden_bytes_of_every_width() {
        // Worked by hand from the description. Eight bits are unsigned around 128, all others two's complement, little-endian.
        let golden = [
            (1, 8, &[0u8, 128, 192, 255][..], [-1.0f32, 0.0, 0.5, 127.0 / 128.0]),
            (1, 16, &[0, 0x80, 0, 0, 0, 0x40, 0xff, 0x7f], [-1.0, 0.0, 0.5, 32767.0 / 32768.0]),
            (1, 24, &[0, 0, 0x80, 0, 0, 0, 0, 0, 0x40, 0, 0, 0xc0], [-1.0, 0.0, 0.5, -0.5]),
            (1, 32, &[0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0xc0], [-1.0, 0.0, 0.5, -0.5]),
            (3, 32, &[0, 0, 0x80, 0xbf, 0, 0, 0, 0, 0, 0, 0, 0x3f, 0, 0, 0, 0x40], [-1.0, 0.0, 0.5, 2.0]),
        ];
        for (tag, bits, data, samples) in golden {
            assert_eq!(check(&file(tag, 1, 8000, bits, data)).unwrap(), Wav { rate: 8000, channels: 1, samples: samples.into() });
            let stereo = check(&file(tag, 2, 44_100, bits, data)).unwrap();
            assert_eq!((stereo.channels, &stereo.samples[..]), (2, &samples[..]));
            assert_eq!(stereo.mono(), [-0.5, (samples[2] + samples[3]) / 2.0]);
        }
    }

    #[test]
    fn other_chunks_odd_lengths_and_a_tail_are_passed_over() {
        let list = [chunk(b"LIST", b"odd"), vec![0]].concat();
        let bytes = riff(&[list, format(1, 1, 8000, 8), chunk(b"fact", &[1; 4]), chunk(b"data", &[128, 192]), chunk(b"LIST", b"x")]);
        assert_eq!(check(&bytes).unwrap().samples, [0.0, 0.5]);
        assert!(check(&file(1, 1, 8000, 16, &[])).unwrap().samples.is_empty());
    }

    #[test]
    fn every_truncation_is_refused() {
        let good = file(1, 2, 8000, 16, &[1, 2, 3, 4, 5, 6, 7, 8]);
        check(&good).unwrap();
        for n in 4..good.len() {
            assert!(matches!(check(&good[..n]), Err(IoError::Truncated { .. })), "{n} bytes");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        says(b"", "an empty file");
        says(b"RIFX\0\0\0\0WAVE", "begins with the bytes [52, 49, 46, 58");
        says(b"RIFF\x04\0\0\0AVI LIST", "expected a WAV file");
        says(b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull");
        says(b"<html>", "a web page");
        says(&file(1, 0, 8000, 16, &[]), "zero channels");
        says(&file(1, 1, 0, 16, &[]), "a rate of 0");
        says(&file(1, 1, 8000, 12, &[0; 2]), "not a multiple of 8");
        says(&file(2, 1, 8000, 8, &[0; 2]), "not read here; expected PCM");
        says(&file(7, 1, 8000, 8, &[0; 2]), "not read here; expected PCM");
        says(&file(3, 1, 8000, 64, &[0; 8]), "bits per sample is not 32");
        says(&file(1, 1, 8000, 64, &[0; 8]), "not read here; expected PCM");
        says(&file(1, 2, 8000, 16, &[0; 6]), "invalid data chunk length");
        says(&riff(&[chunk(b"data", &[0; 4]), format(1, 1, 8000, 16)]), "before the chunk `fmt `");
        says(&file(3, 1, 8000, 32, &[0, 0, 0, 0, 0, 0, 0x80, 0x7f]), "sample 1: inf");
        says(&file(3, 1, 8000, 32, &[0, 0, 0xc0, 0x7f]), "sample 0: NaN");
        assert!(read("no/such.wav").unwrap_err().to_string().contains("not found; expected a WAV file"));
    }

    #[test]
    fn lengths_that_lie_cost_nothing() {
        let mut bytes = file(1, 1, 8000, 16, &[1, 2, 3, 4]);
        let at = bytes.len() - 8;
        bytes[at..at + 4].fill(0xff); // as a stream's writer leaves it
        assert!(matches!(check(&bytes), Err(IoError::Truncated { expected: 0xffff_ffff, found: 4, .. })));
        bytes[16..20].fill(0xff); // the length of `fmt `
        assert!(matches!(check(&bytes), Err(IoError::Truncated { expected: 0xffff_ffff, found: 28, .. })));
    }

    #[test]
    fn real_recordings() {
        let Some(data) = std::env::var_os("SNN_DATA") else { return eprintln!("skipped: SNN_DATA not set") };
        let mut files = 0;
        for entry in fs::read_dir(Path::new(&data).join("fsdd/recordings")).unwrap() {
            let wav = read(entry.unwrap().path()).unwrap();
            // Format and lengths from the data set's own description.
            assert_eq!((wav.rate, wav.channels), (8000, 1));
            assert!((1_148..=18_262).contains(&wav.samples.len()));
            files += 1;
        }
        assert_eq!(files, 2_500);
    }

    proptest! {
        #[test]
        fn what_hound_writes_is_read(ints in prop::collection::vec(any::<i16>(), 0..40), bits in prop::sample::select(vec![16u16, 24, 32])) {
            // From 24 bits on hound writes the extensible form.
            let spec = WavSpec { channels: 1, sample_rate: 16_000, bits_per_sample: bits, sample_format: SampleFormat::Int };
            let mut bytes = Cursor::new(Vec::new());
            let mut writer = WavWriter::new(&mut bytes, spec).unwrap();
            for &sample in &ints {
                writer.write_sample(sample).unwrap();
            }
            writer.finalize().unwrap();
            let expected: Vec<f32> = ints.iter().map(|&x| (f64::from(x) / (1u64 << (bits - 1)) as f64) as f32).collect();
            prop_assert_eq!(check(bytes.get_ref()).unwrap().samples, expected);
        }
    }
}
