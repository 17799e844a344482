//! A whole HDF5 file as a value: groups, arrays of numbers, arrays of texts.

use super::{AGAIN, Source, stored};
use crate::{
    IoError, atomic,
    number::{FromValue, Kind, Stored},
};
use hdf5_reader::{Dataset, Datatype, StringSize, VarLenKind, group::Group};
use hdf5_writer::{DatasetBuilder, Error as WriterError, Hdf5Builder, Result as WriterResult, WriteOptions};
use std::{collections::BTreeMap, path::Path};

/// Chosen: groups in groups, at most.
const MAX_DEPTH: usize = 32;
/// No object takes fewer bytes of a file: what claims more of them holds the same one many times.
const LEAST_OBJECT: u64 = 16;

/// A group with what is in it by name, or an array.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// A group.
    Group(BTreeMap<String, Tree>),
    /// A data set.
    Array(Array),
}

/// Numbers or texts of a shape, the last index fastest. A scalar has no dimension.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    shape: Vec<usize>,
    values: Values,
}

/// What is in an [`Array`]. Half floats are read as `F32`, all whole numbers and truth values as `I64`.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Floats of 32 bits.
    F32(Vec<f32>),
    /// Floats of 64 bits.
    F64(Vec<f64>),
    /// Whole numbers.
    I64(Vec<i64>),
    /// Texts.
    Text(Vec<String>),
}

impl Values {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Values::F32(list) => list.len(),
            Values::F64(list) => list.len(),
            Values::I64(list) => list.len(),
            Values::Text(list) => list.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Array {
    /// An array of this shape.
    ///
    /// # Panics
    /// If the shape has another number of entries than there are values.
    #[track_caller]
    pub fn new(shape: impl Into<Vec<usize>>, values: Values) -> Self {
        let shape = shape.into();
        assert_eq!(shape.iter().product::<usize>(), values.len(), "the shape {shape:?} of an array");
        Array { shape, values }
    }

    /// A text without dimension.
    pub fn text(text: impl Into<String>) -> Self {
        Array::new([], Values::Text(vec![text.into()]))
    }

    /// A number without dimension.
    pub fn scalar(x: f64) -> Self {
        Array::new([], Values::F64(vec![x]))
    }

    /// Extent of each dimension.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// What is in it.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// Its numbers, if it holds numbers.
    pub fn numbers(&self) -> Option<Vec<f64>> {
        match &self.values {
            Values::F32(list) => Some(list.iter().map(|&x| x.into()).collect()),
            Values::F64(list) => Some(list.clone()),
            Values::I64(list) => Some(list.iter().map(|&x| x as f64).collect()),
            Values::Text(_) => None,
        }
    }

    /// Its whole numbers, if it holds such.
    pub fn whole(&self) -> Option<&[i64]> {
        if let Values::I64(list) = &self.values { Some(list) } else { None }
    }

    /// Its text, if it is a single one.
    pub fn as_text(&self) -> Option<&str> {
        match &self.values {
            Values::Text(list) if list.len() == 1 => Some(&list[0]),
            _ => None,
        }
    }
}

impl Tree {
    /// What a group has under this name.
    pub fn get(&self, name: &str) -> Option<&Tree> {
        if let Tree::Group(members) = self { members.get(name) } else { None }
    }

    /// Reads a file: groups, numbers and texts. Attributes, and objects that are neither groups nor data sets, are passed by.
    ///
    /// Memory is bounded as for [`read_spikes`](super::read_spikes), for all arrays together; whole numbers take eight bytes each.
    ///
    /// # Errors
    /// As [`read_spikes`](super::read_spikes); [`IoError::Content`] also for elements that are neither numbers nor texts, and for more than 32 groups in one
    /// another.
    pub fn read(path: impl AsRef<Path>) -> Result<Tree, IoError> {
        read(Source::open(path.as_ref())?)
    }

    /// Writes a file, atomically; folders are created.
    ///
    /// ```
    /// use snn_io::hdf5::{Array, Tree, Values};
    /// let dir = tempfile::tempdir()?;
    /// let path = dir.path().join("a.h5");
    /// let leaf = |array| Tree::Array(array);
    /// let inner = Tree::Group([("x".into(), leaf(Array::new([2, 1], Values::F32(vec![0.5, -1.0]))))].into());
    /// let tree = Tree::Group([("name".into(), leaf(Array::text("ah"))), ("inner".into(), inner)].into());
    /// tree.write(&path)?;
    /// assert_eq!(Tree::read(&path)?, tree);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`IoError::Content`] for what the writer cannot hold (a name with `/`, a text with a NUL byte, an empty group), [`IoError::Os`] from the system.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), IoError> {
        let path = path.as_ref();
        atomic::write(path, &encode_tree(path, self)?)
    }
}

/// The bytes of a file with these contents.
pub(crate) fn encode_tree(path: &Path, tree: &Tree) -> Result<Vec<u8>, IoError> {
    let mut datasets = Vec::new();
    list(path, tree, String::new(), &mut datasets)?;
    let encode = || {
        let mut builder = Hdf5Builder::new();
        for (name, array) in datasets {
            builder = builder.dataset(dataset(name, array)?);
        }
        builder.into_plan()?.encode(WriteOptions::default())
    };
    encode().map_err(|e: WriterError| IoError::content(path, "contents", format!("they cannot be written as HDF5: {e}")))
}

/// The path of a member of the group at `place`.
fn below(place: &str, name: &str) -> String {
    if place.is_empty() { name.into() } else { format!("{place}/{name}") }
}

/// All arrays of a tree with their paths.
fn list<'a>(path: &Path, tree: &'a Tree, name: String, into: &mut Vec<(String, &'a Array)>) -> Result<(), IoError> {
    match tree {
        Tree::Array(array) => into.push((name, array)),
        Tree::Group(members) => {
            let refuse = |place: &str, why: &str| Err(IoError::content(path, format!("`{place}`"), why));
            if members.is_empty() {
                return refuse(&name, "an empty group cannot be written; leave it out");
            }
            for (member, tree) in members {
                if member.is_empty() || member.contains(['/', '\0']) || member == "." {
                    return refuse(&below(&name, member), "a name must not be empty or `.`, and have no `/` or NUL in it");
                }
                list(path, tree, below(&name, member), into)?;
            }
        }
    }
    Ok(())
}

fn dataset(name: String, array: &Array) -> WriterResult<DatasetBuilder> {
    let shape: Vec<u64> = array.shape.iter().map(|&n| n as u64).collect();
    match &array.values {
        Values::F32(list) => DatasetBuilder::typed_data(name, shape, list),
        Values::F64(list) => DatasetBuilder::typed_data(name, shape, list),
        Values::I64(list) => DatasetBuilder::typed_data(name, shape, list),
        Values::Text(list) => DatasetBuilder::vlen_string_data(name, shape, list),
    }
}

fn read(source: Source) -> Result<Tree, IoError> {
    let root = source.file.root_group().map_err(|e| source.refused("/", e))?;
    let (objects, bytes) = (source.length / LEAST_OBJECT, source.limit);
    Reading { texts: source.length, source, objects, bytes }.group(&root, "", 0)
}

/// What may still be read of a file, so that a small one in which the same object stands many times does not fill the memory.
struct Reading {
    source: Source,
    objects: u64,
    bytes: u64,
    texts: u64,
}

impl Reading {
    fn group(&mut self, group: &Group, place: &str, depth: usize) -> Result<Tree, IoError> {
        let (groups, arrays) = group.members().map_err(|e| self.source.refused(place, e))?;
        let left = self.objects.checked_sub((groups.len() + arrays.len()) as u64);
        self.objects = left.ok_or_else(|| self.source.content(place, format!("more objects than the file has room for; {AGAIN}")))?;
        if depth > MAX_DEPTH {
            return Err(self.source.content(place, format!("more than {MAX_DEPTH} groups in one another; {AGAIN}")));
        }
        let mut members = BTreeMap::new();
        for group in &groups {
            let name = group.name().to_owned();
            members.insert(name.clone(), self.group(group, &below(place, &name), depth + 1)?);
        }
        for array in &arrays {
            let name = array.name().to_owned();
            members.insert(name.clone(), Tree::Array(self.array(array, &below(place, &name))?));
        }
        Ok(Tree::Group(members))
    }

    fn array(&mut self, dataset: &Dataset, place: &str) -> Result<Array, IoError> {
        let size = dataset.raw_byte_len().map_err(|e| self.source.refused(place, e))? as u64;
        let shape: Vec<usize> = dataset.shape().iter().map(|&n| n as usize).collect();
        let entries = shape.iter().try_fold(1usize, |n, &k| n.checked_mul(k));
        // A text of one letter takes as much as a `String` does, and need not stand in the file.
        let text = matches!(dataset.dtype(), Datatype::String { .. } | Datatype::VarLen { kind: VarLenKind::String, .. });
        let taken = if text { (entries.unwrap_or(usize::MAX) as u64).saturating_mul(size_of::<String>() as u64) } else { 0 };
        let left = self.bytes.checked_sub(size.saturating_add(taken));
        let too_large =
            || IoError::TooLarge { path: self.source.path.clone(), what: "all arrays together".into(), limit: self.source.limit };
        self.bytes = left.ok_or_else(too_large)?;
        let raw = dataset.read_raw_bytes().map_err(|e| self.source.refused(place, e))?;
        let values = match (dataset.dtype(), stored(dataset.dtype())) {
            (_, Some(stored @ Stored { kind: Kind::Float, size: 8, .. })) => Values::F64(self.numbers(stored, &raw, place)?),
            (_, Some(stored @ Stored { kind: Kind::Float, .. })) => Values::F32(self.numbers(stored, &raw, place)?),
            (_, Some(stored)) => Values::I64(self.numbers(stored, &raw, place)?),
            (Datatype::String { size: StringSize::Variable, .. } | Datatype::VarLen { kind: VarLenKind::String, .. }, _) => {
                Values::Text(self.texts(dataset, &raw, place)?)
            }
            (Datatype::String { .. }, _) => Values::Text(dataset.read_strings().map_err(|e| self.source.refused(place, e))?),
            (other, _) => return Err(self.source.content(place, format!("expected numbers or texts, found elements {other:?}"))),
        };
        if entries != Some(values.len()) {
            return Err(self.source.content(place, format!("{} elements for the shape {shape:?}; {AGAIN}", values.len())));
        }
        Ok(Array { shape, values })
    }

    fn numbers<T: FromValue>(&self, stored: Stored, raw: &[u8], place: &str) -> Result<Vec<T>, IoError> {
        let mut values = Vec::new();
        stored.read(&self.source.path, raw, &mut values, |i| format!("`{place}`, entry {i}"))?;
        Ok(values)
    }

    /// Texts stand elsewhere in the file, each once.
    fn texts(&mut self, dataset: &Dataset, raw: &[u8], place: &str) -> Result<Vec<String>, IoError> {
        let mut texts = Vec::new();
        for reference in raw.chunks_exact(dataset.vlen_reference_size()) {
            let bytes = dataset.resolve_vlen_reference_bytes(reference, 1).map_err(|e| self.source.refused(place, e))?;
            let left = self.texts.checked_sub(bytes.len() as u64);
            self.texts = left.ok_or_else(|| self.source.content(place, format!("more text than the file holds; {AGAIN}")))?;
            let text = String::from_utf8(bytes).map_err(|_| self.source.content(place, format!("text that is not UTF-8; {AGAIN}")))?;
            texts.push(text.trim_end_matches('\0').to_owned());
        }
        Ok(texts)
    }
}
