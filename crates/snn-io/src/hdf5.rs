//! HDF5: event data sets in the layout of the Heidelberg spiking data sets (SHD, SSC), plain arrays, and whole files as a [`Tree`].
//!
//! | data set of events | holds |
//! |---|---|
//! | `spikes/times` | for each trial the times of its events in seconds, floats of 16, 32 or 64 bits |
//! | `spikes/units` | for each trial the units (input channels) of the same events, whole numbers |
//! | `labels` | for each trial its class |
//! | `extra/…` | speakers, class names; not read by [`read_spikes`] |
//!
//! Source: B. Cramer et al. 2022, "The Heidelberg spiking data sets for the systematic evaluation of spiking neural networks",
//! doi:10.1109/TNNLS.2020.3044364. Files may be gzip, as they are published. The parsing is done by the crate `hdf5-reader`, which only
//! this module touches.

mod tree;

pub(crate) use tree::encode_tree;
pub use tree::{Array, Tree, Values};

use crate::{
    IoError, Real, atomic,
    bytes::{MAX_EXPANDED, MAX_RATIO, expanded, is_gzip},
    number::{FromValue, Kind, Stored},
};
use hdf5_reader::{BytesStorage, Dataset, Datatype, FileStorage, Hdf5File, OpenOptions, VarLenKind, error::Error as Hdf5Error};
use hdf5_writer::{DatasetBuilder, H5WriteType, Hdf5Builder, WriteOptions};
use ndarray::{ArrayD, IxDyn};
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

const EXPECTED: &str = "an HDF5 file (it begins with 89 'HDF'), plain or gzip";
const AGAIN: &str = "copy or download it again";
/// Chosen: arrays of so many bytes are read of any file; larger ones must not be 1032 times as long as it, however often it is packed.
const SMALL: u64 = 1 << 26;

/// Trials of timed events with a label each, in flat arrays: 8 bytes an event.
///
/// Every trial has as many times as units.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpikeTrains {
    times: Vec<f32>,
    units: Vec<u32>,
    ends: Vec<usize>,
    labels: Vec<u32>,
}

impl SpikeTrains {
    /// Appends a trial: times in seconds, the unit of each event, the class.
    ///
    /// # Panics
    /// If there are not as many times as units.
    #[track_caller]
    pub fn push(&mut self, times: &[f32], units: &[u32], label: u32) {
        assert_eq!(times.len(), units.len(), "each event has a time and a unit");
        self.times.extend(times);
        self.units.extend(units);
        self.ends.push(self.times.len());
        self.labels.push(label);
    }

    /// How many trials there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no trials.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// How many events all trials have together.
    pub fn events(&self) -> usize {
        self.times.len()
    }

    /// The times (s) and units of trial `i`, in the file's order.
    ///
    /// # Panics
    /// If there is no trial `i`.
    #[track_caller]
    pub fn trial(&self, i: usize) -> (&[f32], &[u32]) {
        let range = i.checked_sub(1).map_or(0, |before| self.ends[before])..self.ends[i];
        (&self.times[range.clone()], &self.units[range])
    }

    /// The class of each trial.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The first event whose time cannot be.
    fn check(&self, path: &Path) -> Result<(), IoError> {
        let Some(at) = self.times.iter().position(|time| !(time.is_finite() && *time >= 0.0)) else { return Ok(()) };
        let trial = self.ends.partition_point(|&end| end <= at);
        let event = at - trial.checked_sub(1).map_or(0, |before| self.ends[before]);
        let reason = format!("a time of {} s; expected seconds from 0 on", self.times[at]);
        Err(IoError::content(path, format!("`spikes/times`, trial {trial}, event {event}"), reason))
    }
}

/// Reads an event data set.
///
/// Memory: 8 bytes an event and 24 a trial beside a small cache; a gzip file is expanded in memory. By construction no more events are
/// accepted than the file has bytes for (heap data are not compressed in HDF5), and no array of more than 1032 times the file's length once expanded, the
/// best that compression can do, nor of more than 4 GiB; nor, in a gzip file, of more than 1032 times what it takes packed, if that is above 64 MiB.
///
/// # Errors
/// [`IoError::NotFound`], [`IoError::Format`] (another kind of file), [`IoError::Content`] (a part that is missing, damaged or of another
/// type; unequal numbers of times and units, or of trials and labels; a time that is negative or not finite), [`IoError::TooLarge`],
/// [`IoError::Gzip`], [`IoError::Os`].
///
/// ```
/// use snn_io::hdf5::{SpikeTrains, read_spikes, write_spikes};
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("train.h5");
/// let mut trains = SpikeTrains::default();
/// trains.push(&[0.0, 0.125], &[3, 699], 7);
/// trains.push(&[], &[], 0);
/// write_spikes(&path, &trains)?;
///
/// let read = read_spikes(&path)?;
/// assert_eq!(read.trial(0), (&[0.0, 0.125][..], &[3, 699][..]));
/// assert_eq!(read.labels(), [7, 0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_spikes(path: impl AsRef<Path>) -> Result<SpikeTrains, IoError> {
    let path = path.as_ref();
    let source = Source::open(path)?;
    let (shape, labels) = source.array("labels")?;
    let (times, ends) = source.sequences("spikes/times", true)?;
    let (units, unit_ends) = source.sequences("spikes/units", false)?;
    if shape.len() != 1 || labels.len() != ends.len() || ends.len() != unit_ends.len() {
        let reason = format!("{} trials, but labels of shape {shape:?} and units of {} trials; {AGAIN}", ends.len(), unit_ends.len());
        return Err(IoError::content(path, "`spikes/times`", reason));
    }
    if let Some(i) = (0..ends.len()).find(|&i| ends[i] != unit_ends[i]) {
        let start = i.checked_sub(1).map_or(0, |before| ends[before]);
        let reason = format!("{} times but {} units; {AGAIN}", ends[i] - start, unit_ends[i] - start);
        return Err(IoError::content(path, format!("`spikes`, trial {i}"), reason));
    }
    let trains = SpikeTrains { times, units, ends, labels };
    trains.check(path)?;
    Ok(trains)
}

/// Writes an event data set, atomically; folders are created. Times are stored as `f32`, units and labels as `u32`.
///
/// Memory: some four times the events.
///
/// # Errors
/// [`IoError::Content`] for a time that is negative or not finite, or what the writer cannot hold, [`IoError::Os`] from the system.
pub fn write_spikes(path: impl AsRef<Path>, trains: &SpikeTrains) -> Result<(), IoError> {
    let path = path.as_ref();
    trains.check(path)?;
    let trials = vec![trains.len() as u64];
    let times = (0..trains.len()).map(|i| trains.trial(i).0.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let units = (0..trains.len()).map(|i| trains.trial(i).1.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let encode = || {
        Hdf5Builder::new()
            .dataset(DatasetBuilder::vlen_sequence_data("spikes/times", little_endian(f32::hdf5_type()), trials.clone(), times)?)
            .dataset(DatasetBuilder::vlen_sequence_data("spikes/units", little_endian(u32::hdf5_type()), trials.clone(), units)?)
            .dataset(DatasetBuilder::typed_data("labels", trials, &trains.labels)?)
            .into_plan()?
            .encode(WriteOptions::default())
    };
    let bytes = encode().map_err(|e| IoError::content(path, "spikes", format!("they cannot be written as HDF5: {e}")))?;
    atomic::write(path, &bytes)
}

/// Reads the array `dataset` (with its groups: `"extra/speaker"`) of any number type as `f32` or `f64`; a scalar has no dimension.
///
/// Memory is bounded as for [`read_spikes`].
///
/// # Errors
/// As [`read_spikes`]; [`IoError::Content`] also for a data set that holds no numbers, or one that does not fit into `T`.
pub fn read_array<T: Real>(path: impl AsRef<Path>, dataset: &str) -> Result<ArrayD<T>, IoError> {
    let path = path.as_ref();
    let (shape, values) = Source::open(path)?.array(dataset)?;
    ArrayD::from_shape_vec(IxDyn(&shape), values).map_err(|e| IoError::content(path, format!("`{dataset}`"), format!("{e}; {AGAIN}")))
}

/// The HDF5 writer names types in the order of the machine; the bytes here are little-endian.
fn little_endian(datatype: Datatype) -> Datatype {
    use hdf5_reader::ByteOrder::LittleEndian as byte_order;
    match datatype {
        Datatype::FixedPoint { size, signed, .. } => Datatype::FixedPoint { size, signed, byte_order },
        Datatype::FloatingPoint { size, .. } => Datatype::FloatingPoint { size, byte_order },
        other => other,
    }
}

/// An open file.
struct Source {
    path: PathBuf,
    file: Hdf5File,
    length: u64,
    limit: u64,
}

impl Source {
    fn open(path: &Path) -> Result<Self, IoError> {
        let mut head = Vec::new();
        let mut file = File::open(path).map_err(|e| IoError::reading(path, EXPECTED, e))?;
        (&mut file).take(256).read_to_end(&mut head).map_err(|e| IoError::reading(path, EXPECTED, e))?;
        if is_gzip(&head) {
            let bytes = expanded(path, EXPECTED)?;
            head = bytes[..bytes.len().min(256)].to_vec();
            let (packed, length) = (file.metadata().map_err(|e| IoError::reading(path, EXPECTED, e))?.len(), bytes.len() as u64);
            Self::new(path, &head, length, SMALL.max(packed.saturating_mul(MAX_RATIO)), Arc::new(BytesStorage::new(bytes)))
        } else {
            let length = file.metadata().map_err(|e| IoError::reading(path, EXPECTED, e))?.len();
            let storage = FileStorage::from_file(file).map_err(|e| IoError::content(path, "file", e.to_string()))?;
            Self::new(path, &head, length, MAX_EXPANDED, Arc::new(storage))
        }
    }

    fn new(path: &Path, head: &[u8], length: u64, most: u64, storage: Arc<dyn hdf5_reader::Storage>) -> Result<Self, IoError> {
        let limit = MAX_EXPANDED.min(most).min(length.saturating_mul(MAX_RATIO));
        let options = OpenOptions { max_read_bytes: limit as usize, max_chunk_bytes: limit as usize, ..OpenOptions::default() };
        match Hdf5File::from_storage_with_options(storage, options) {
            Ok(file) => Ok(Source { path: path.into(), file, length, limit }),
            Err(_) if !head.starts_with(b"\x89HDF\r\n\x1a\n") => Err(IoError::format(path, EXPECTED, head)),
            Err(e) => Err(IoError::content(path, "superblock", format!("{e}; {AGAIN}"))),
        }
    }

    fn refused(&self, place: &str, error: Hdf5Error) -> IoError {
        match error {
            Hdf5Error::Context { source, .. } => self.refused(place, *source),
            Hdf5Error::ResourceLimit(_) => {
                IoError::TooLarge { path: self.path.clone(), what: format!("data set `{place}`"), limit: self.limit }
            }
            Hdf5Error::DatasetNotFound(_) | Hdf5Error::GroupNotFound(_) => self.content(place, "there is no such data set"),
            error => self.content(place, format!("{error}; {AGAIN}")),
        }
    }

    fn content(&self, place: &str, reason: impl Into<String>) -> IoError {
        IoError::content(&self.path, format!("`{place}`"), reason)
    }

    /// A data set and the bytes of its elements.
    fn raw(&self, name: &str) -> Result<(Dataset, Vec<u8>), IoError> {
        let dataset = self.file.dataset(name).map_err(|e| self.refused(name, e))?;
        let raw = dataset.read_raw_bytes().map_err(|e| self.refused(name, e))?;
        Ok((dataset, raw))
    }

    fn array<T: FromValue>(&self, name: &str) -> Result<(Vec<usize>, Vec<T>), IoError> {
        let (dataset, raw) = self.raw(name)?;
        let stored = stored(dataset.dtype())
            .ok_or_else(|| self.content(name, format!("expected an array of numbers, found elements {:?}", dataset.dtype())))?;
        let mut values = Vec::new();
        stored.read(&self.path, &raw, &mut values, |i| format!("`{name}`, entry {i}"))?;
        Ok((dataset.shape().iter().map(|&n| n as usize).collect(), values))
    }

    /// All sequences of a one-dimensional data set, one behind the other, and where each ends.
    fn sequences<T: FromValue>(&self, name: &str, floats: bool) -> Result<(Vec<T>, Vec<usize>), IoError> {
        let (dataset, references) = self.raw(name)?;
        let base = match dataset.dtype() {
            Datatype::VarLen { base, kind: VarLenKind::Sequence, .. } if dataset.ndim() == 1 => stored(base),
            _ => None,
        };
        let Some(stored) = base.filter(|stored| (stored.kind == Kind::Float) == floats) else {
            let what = if floats { "floats (seconds)" } else { "whole numbers" };
            let reason = format!("expected one sequence of {what} for each trial, found elements {:?}", dataset.dtype());
            return Err(self.content(name, reason));
        };
        let (mut values, mut ends) = (Vec::new(), Vec::new());
        // Each sequence has bytes of its own in the file; references that share them would let a small file fill the memory.
        let mut left = self.length;
        for (trial, reference) in references.chunks_exact(dataset.vlen_reference_size()).enumerate() {
            let place = || format!("{name}, trial {trial}");
            let count = reference.first_chunk().map_or(0, |&count| u32::from_le_bytes(count));
            let size = u64::from(count) * stored.size as u64;
            left = left.checked_sub(size).ok_or_else(|| self.content(&place(), format!("more events than the file holds; {AGAIN}")))?;
            let bytes = dataset.resolve_vlen_reference_bytes(reference, stored.size).map_err(|e| self.refused(&place(), e))?;
            if bytes.len() as u64 != size {
                return Err(self.content(&place(), format!("{count} events announced, {} bytes found; {AGAIN}", bytes.len())));
            }
            stored.read(&self.path, &bytes, &mut values, |i| format!("`{name}`, trial {trial}, event {i}"))?;
            ends.push(values.len());
        }
        Ok((values, ends))
    }
}

/// How elements of this type are stored, if they are numbers (truth values are an enumeration of whole numbers).
fn stored(datatype: &Datatype) -> Option<Stored> {
    use hdf5_reader::ByteOrder::BigEndian;
    match datatype {
        Datatype::FixedPoint { size, signed, byte_order } => {
            Stored::new(if *signed { Kind::Signed } else { Kind::Unsigned }, (*size).into(), *byte_order == BigEndian)
        }
        Datatype::FloatingPoint { size, byte_order } => Stored::new(Kind::Float, (*size).into(), *byte_order == BigEndian),
        Datatype::Enum { base, .. } => stored(base),
        _ => None,
    }
}
