//! Address events of an event camera: the `.bin` files of N-MNIST and N-Caltech101.
//!
//! Five bytes an event and no header: x, y, then a bit for the polarity and 23 bits of time in microseconds, big-endian. Source:
//! G. Orchard et al. 2015, "Converting static image datasets to spiking neuromorphic datasets using saccades" (arXiv:1507.07629), and the
//! data sets' own reading scripts.
//!
//! The format has no mark of its own. What shows that a file is another one: a length that is no multiple of five, times that decrease,
//! and the first bytes of a pointer, web page, gzip or zip file (as events they would begin half a second into a recording of a third of
//! a second, or later). A file cut at an event's border cannot be told from a shorter recording.

use crate::{IoError, atomic, error::known};
use std::{fs, path::Path};

const EXPECTED: &str = "address events, five bytes each (N-MNIST .bin)";
const BYTES: usize = 5;
/// The first time that 23 bits do not hold.
const END: u32 = 1 << 23;

/// One address event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Column of the pixel, from 0.
    pub x: u8,
    /// Row of the pixel, from 0.
    pub y: u8,
    /// Polarity: the pixel became brighter.
    pub on: bool,
    /// Time from the start of the recording in µs, below 2²³ (8.4 s).
    pub t_us: u32,
}

/// Reads address events; their times never decrease. That pixels lie on the sensor is for the data set to check.
///
/// Memory: the file and 8 bytes for each event.
///
/// # Errors
/// [`IoError::NotFound`], [`IoError::Format`] (empty, or visibly another kind of file), [`IoError::Truncated`] (inside an event),
/// [`IoError::Content`] (an event that is earlier than the one before it), [`IoError::Os`].
///
/// ```
/// use snn_io::aer::{self, Event};
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("00001.bin");
/// let events = [Event { x: 3, y: 9, on: true, t_us: 120 }, Event { x: 4, y: 9, on: false, t_us: 300_000 }];
/// aer::write(&path, &events)?;
/// assert_eq!(aer::read(&path)?, events);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read(path: impl AsRef<Path>) -> Result<Vec<Event>, IoError> {
    let path = path.as_ref();
    let bytes = fs::read(path).map_err(|e| IoError::reading(path, EXPECTED, e))?;
    decode(path, &bytes)
}

/// Writes address events, atomically; folders are created. What [`read`] would refuse is not written.
///
/// # Errors
/// [`IoError::Content`] for an event that is earlier than the one before it or later than the format's 23 bits hold,
/// [`IoError::Format`] for no events at all (or bytes that look like another kind of file), [`IoError::Os`] from the system.
pub fn write(path: impl AsRef<Path>, events: &[Event]) -> Result<(), IoError> {
    let path = path.as_ref();
    let mut bytes = Vec::with_capacity(BYTES * events.len());
    for (i, event) in events.iter().enumerate() {
        if event.t_us >= END {
            let reason = format!("{} µs do not fit into 23 bits; cut the recording before {END} µs", event.t_us);
            return Err(IoError::content(path, format!("event {i}"), reason));
        }
        let [_, high, middle, low] = (event.t_us | u32::from(event.on) << 23).to_be_bytes();
        bytes.extend([event.x, event.y, high, middle, low]);
    }
    decode(path, &bytes)?;
    atomic::write(path, &bytes)
}

fn decode(path: &Path, bytes: &[u8]) -> Result<Vec<Event>, IoError> {
    if known(bytes).is_some() {
        return Err(IoError::format(path, EXPECTED, bytes));
    }
    let (events, rest) = bytes.as_chunks::<BYTES>();
    if !rest.is_empty() {
        return Err(IoError::Truncated { path: path.into(), what: "its last event", expected: BYTES as u64, found: rest.len() as u64 });
    }
    let mut last = 0;
    let event = |(i, &[x, y, high, middle, low]): (usize, &[u8; BYTES])| {
        let t_us = u32::from_be_bytes([0, high & 0x7f, middle, low]);
        if t_us < last {
            let reason = format!("its time {t_us} µs is before {last} µs of the event before it; expected {EXPECTED}, in order of time");
            return Err(IoError::content(path, format!("event {i}"), reason));
        }
        last = t_us;
        Ok(Event { x, y, on: high & 0x80 != 0, t_us })
    };
    events.iter().enumerate().map(event).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(bytes: &[u8]) -> Result<Vec<Event>, IoError> {
        let result = decode(Path::new("dir/00001.bin"), bytes);
        if let Err(error) = &result {
            assert!(error.to_string().starts_with("dir/00001.bin: "), "{error}");
        }
        result
    }

    #[test]
    fn golden_bytes() {
        // Worked by hand from the description: 0x0493e0 µs = 300 000 µs, and the polarity bit above it.
        let bytes = [10, 33, 0x80, 0, 7, 0, 34, 0x00, 0, 7, 33, 0, 0x84, 0x93, 0xe0, 255, 255, 0x7f, 0xff, 0xff];
        let expected = [(10, 33, true, 7), (0, 34, false, 7), (33, 0, true, 300_000), (255, 255, false, 8_388_607)];
        let expected = expected.map(|(x, y, on, t_us)| Event { x, y, on, t_us });
        assert_eq!(check(&bytes).unwrap(), expected);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/00001.bin");
        write(&path, &expected).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let says = |bytes: &[u8], what: &str| {
            let message = check(bytes).unwrap_err().to_string();
            assert!(message.contains(what), "{message}");
        };
        says(&[1, 2, 0, 0, 9, 1, 2, 0, 0, 9, 1, 2, 0x80, 0, 8], "event 2: its time 8 µs is before 9 µs");
        says(&[1, 2, 0, 0, 9, 1, 2], "expected 5 bytes of its last event, found 2");
        says(b"", "an empty file");
        says(b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n", "git lfs pull");
        says(b"/annex/objects/SHA256E-s5--8d4.bin\n", "git annex get");
        says(b"<!DOCTYPE html><html><head>", "a web page");
        says(&[0x1f, 0x8b, 8, 0, 0], "gunzip");
        assert!(read("no/such.bin").unwrap_err().to_string().contains("not found; expected address events"));

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00001.bin");
        let refused = |events: &[u32], what: &str| {
            let events: Vec<Event> = events.iter().map(|&t_us| Event { x: 0, y: 0, on: true, t_us }).collect();
            let message = write(&path, &events).unwrap_err().to_string();
            assert!(message.contains(what) && !path.exists(), "{message}");
        };
        refused(&[], "an empty file");
        refused(&[0, 5, 4], "event 2");
        refused(&[0, END], "event 1: 8388608 µs do not fit");
    }

    #[test]
    fn real_recordings() {
        let Some(data) = std::env::var_os("SNN_DATA") else { return eprintln!("skipped: SNN_DATA not set") };
        let root = Path::new(&data).join("nmnist-1100");
        let mut files = 0;
        for part in ["Train", "Test"] {
            for digit in 0..10 {
                for entry in fs::read_dir(root.join(part).join(digit.to_string())).unwrap() {
                    let events = read(entry.unwrap().path()).unwrap();
                    // Counts and times from the data set's own description.
                    assert!((1_069..=7_152).contains(&events.len()) && events[events.len() - 1].t_us <= 336_040);
                    assert!(events.iter().all(|event| event.x < 34 && event.y < 34));
                    files += 1;
                }
            }
        }
        assert_eq!(files, 1_100);
    }

    proptest! {
        #[test]
        fn events_survive(mut raw in prop::collection::vec((any::<u8>(), any::<u8>(), any::<bool>(), 0..END), 1..60)) {
            raw.sort_by_key(|event| event.3);
            let events: Vec<Event> = raw.into_iter().map(|(x, y, on, t_us)| Event { x, y, on, t_us }).collect();
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x.bin");
            write(&path, &events).unwrap();
            prop_assert_eq!(read(&path).unwrap(), events);
        }

        #[test]
        fn no_bytes_panic_and_what_is_read_is_ordered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(events) = check(&bytes) {
                prop_assert_eq!(5 * events.len(), bytes.len());
                prop_assert!(events.is_sorted_by_key(|event| event.t_us));
            }
        }
    }
}
