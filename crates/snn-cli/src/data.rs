//! The data that `snn convert` and `snn run` are given: a folder of idx files in the layout of MNIST, or a NumPy archive.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use snn_io::{IoError, idx, npy};
use snn_repro::{Bars, Interrupt};

/// What is said of every option that takes data.
pub const HELP: &str = "DATA is a folder with idx files in the layout of MNIST (train-images-idx3-ubyte, t10k-images-idx3-ubyte and their labels, plain or .gz),
or an .npz archive with the arrays x [n, ...] and, for accuracy, y [n]. Numbers are divided by --scale [default: 255 for idx files, 1 for archives].";

/// Inputs of one piece: many runs of the engine, few enough to stop between.
const PIECE: usize = 256;

/// Which files of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Train,
    Test,
}

/// Inputs, and their classes if these are known.
#[derive(Debug)]
pub struct Data {
    pub path: PathBuf,
    /// Numbers of an input.
    pub size: usize,
    /// One input after the other.
    pub numbers: Vec<f32>,
    pub labels: Option<Vec<usize>>,
    /// What numbers were divided by.
    pub scale: f32,
}

impl Data {
    /// The first inputs of `path`, at most `most`.
    pub fn open(path: &Path, part: Part, most: Option<usize>, scale: Option<f32>) -> Result<Data> {
        let data = if path.is_dir() { folder(path, part, most, scale)? } else { archive(path, most, scale)? };
        if data.is_empty() {
            bail!("{}: no images", path.display());
        }
        if let Some(k) = data.numbers.iter().position(|x| !x.is_finite()) {
            let (image, number) = (k / data.size, k % data.size);
            bail!("{}: x: number {number} of image {image} is {}; all must be finite", path.display(), data.numbers[k]);
        }
        Ok(data)
    }

    /// How many inputs.
    pub fn len(&self) -> usize {
        self.numbers.len() / self.size
    }

    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Checks that a network takes and answers such data.
    pub fn check(&self, option: &str, inputs: usize, outputs: usize) -> Result<()> {
        let path = self.path.display();
        if self.size != inputs {
            bail!("{option} {path}: images of {} numbers, but the network takes {inputs}; give the data that it was trained on", self.size);
        }
        let labels = self.labels.iter().flatten().enumerate();
        if let Some((image, label)) = labels.into_iter().find(|(_, label)| **label >= outputs) {
            bail!("{option} {path}: image {image} has the label {label}, but the network knows the classes 0 to {}", outputs - 1);
        }
        Ok(())
    }

    /// Calls `visit` with some inputs and their labels at a time, and shows how far it is.
    ///
    /// # Errors
    /// What `visit` reports; [`LabError::Interrupted`](snn_repro::LabError::Interrupted) if somebody asked to stop.
    pub fn visit(&self, label: &str, interrupt: &Interrupt, mut visit: impl FnMut(&[f32], Option<&[usize]>) -> Result<()>) -> Result<()> {
        let progress = Bars::new().progress(label, self.len() as u64);
        for (k, numbers) in self.numbers.chunks(PIECE * self.size).enumerate() {
            let count = numbers.len() / self.size;
            visit(numbers, self.labels.as_ref().map(|labels| &labels[k * PIECE..][..count]))?;
            progress.inc(count as u64);
            interrupt.go_on()?;
        }
        Ok(())
    }
}

fn folder(path: &Path, part: Part, most: Option<usize>, scale: Option<f32>) -> Result<Data> {
    let part = if part == Part::Train { "train" } else { "t10k" };
    let (file, images) = idx::read_either(path, &format!("{part}-images-idx3-ubyte"))?;
    let &[count, ref shape @ ..] = &images.dims[..] else { bail!("{}: an array without dimensions", file.display()) };
    let size: usize = shape.iter().product();
    if shape.is_empty() || size == 0 {
        bail!("{}: an array of shape {:?}; expected images, [n, rows, columns]", file.display(), images.dims);
    }
    let labels = match idx::read_either(path, &format!("{part}-labels-idx1-ubyte")) {
        Err(IoError::NotFound { .. }) => None,
        other => Some(other?),
    };
    if let Some((file, labels)) = labels.as_ref().filter(|(_, labels)| labels.dims != [count]) {
        bail!("{}: labels of shape {:?}; expected one for each of the {count} images beside it", file.display(), labels.dims);
    }
    let scale = scale.unwrap_or(255.0);
    let taken = most.unwrap_or(count).min(count);
    let numbers = images.data[..taken * size].iter().map(|&x| f32::from(x) / scale).collect();
    let labels = labels.map(|(_, labels)| labels.data[..taken].iter().map(|&label| label.into()).collect());
    Ok(Data { path: path.into(), size, numbers, labels, scale })
}

fn archive(path: &Path, most: Option<usize>, scale: Option<f32>) -> Result<Data> {
    let names = npy::npz_names(path).context("no such data; expected a folder with idx files, or an .npz archive")?;
    let x = npy::read_npz::<f32>(path, "x")?;
    let (shape, scale) = (x.shape().to_vec(), scale.unwrap_or(1.0));
    let Some((&count, rest)) = shape.split_first() else { bail!("{}: x is a single number; expected [n, ...]", path.display()) };
    let size: usize = rest.iter().product();
    if rest.is_empty() || size == 0 {
        bail!("{}: x has the shape {shape:?}; expected [n, ...], one input after the other", path.display());
    }
    let taken = most.unwrap_or(count).min(count);
    // In the order of the axes, whatever the file's.
    let numbers = x.iter().take(taken * size).map(|x| x / scale).collect();
    let labels = if names.iter().any(|name| name == "y") { Some(classes(path, count)?) } else { None };
    let labels = labels.map(|list| list[..taken].to_vec());
    Ok(Data { path: path.into(), size, numbers, labels, scale })
}

/// The classes in an archive.
pub fn classes(path: &Path, count: usize) -> Result<Vec<usize>> {
    let y = npy::read_npz::<f64>(path, "y")?;
    if y.shape() != [count] {
        bail!("{}: y has the shape {:?}; expected [{count}], a class for each input of x", path.display(), y.shape());
    }
    let class = |(k, &y): (usize, &f64)| {
        let whole = y >= 0.0 && y.fract() == 0.0 && y < f64::from(u32::MAX);
        if whole { Ok(y as usize) } else { bail!("{}: y: entry {k} is {y}; expected a class, 0 or more", path.display()) }
    };
    y.iter().enumerate().map(class).collect()
}

/// A number of images on the command line.
pub fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n > 0).ok_or_else(|| "give a whole number, 1 or more".into())
}

/// A number above 0 on the command line.
pub fn positive(text: &str) -> Result<f32, String> {
    text.parse().ok().filter(|x: &f32| x.is_normal() && *x > 0.0).ok_or_else(|| "give a number above 0".into())
}

/// A number on the command line.
pub fn finite<T: std::str::FromStr + Into<f64> + Copy>(text: &str) -> Result<T, String> {
    text.parse().ok().filter(|x: &T| (*x).into().is_finite()).ok_or_else(|| "give a finite number".into())
}
