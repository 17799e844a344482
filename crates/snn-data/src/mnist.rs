//! MNIST and its relatives: grey images of one shape and their classes in four idx files.

use crate::{Split, encode::Encoder, error::DataError, images::ImageSet, source::Source};
use snn_core::{Raster, Seed};
use snn_io::{IoError, idx};
use std::path::{Path, PathBuf};

const SIDE: usize = 28;
const CLASSES: usize = 10;

/// The images and labels of one part of a data set, as the bytes of the files: 785 bytes per image of 28 × 28 pixels.
#[derive(Clone, Debug)]
pub struct Images {
    name: String,
    shape: (usize, usize),
    classes: usize,
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

impl Images {
    /// Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747): 60 000 + 10 000 pictures of clothing, read from the folder
    /// `fashion-mnist` in `dir`.
    ///
    /// # Errors
    /// [`DataError::Missing`] with where to get the files, [`DataError::Contents`] if they do not belong together, [`DataError::Io`].
    pub fn fashion_mnist(dir: impl AsRef<Path>, split: Split) -> Result<Self, DataError> {
        Self::open("fashion-mnist", "https://github.com/zalandoresearch/fashion-mnist (data/fashion)", dir.as_ref(), split)
    }

    /// MNIST (LeCun, Bottou, Bengio and Haffner 1998): 60 000 + 10 000 handwritten digits, read from the folder `mnist` in `dir`.
    ///
    /// # Errors
    /// As [`Images::fashion_mnist`].
    pub fn mnist(dir: impl AsRef<Path>, split: Split) -> Result<Self, DataError> {
        Self::open(
            "mnist",
            "http://yann.lecun.com/exdb/mnist, mirrored at https://ossci-datasets.s3.amazonaws.com/mnist",
            dir.as_ref(),
            split,
        )
    }

    /// Images of any shape and any number of classes, read from `dir` itself: `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, and the same with
    /// `t10k` for the test part, plain or `.gz`. The classes are those of the training labels.
    ///
    /// ```no_run
    /// use snn_data::{Images, ImageSet, Split};
    /// let train = Images::idx("my-pictures", Split::Train)?;
    /// println!("{} pictures of {:?} pixels, {} classes", train.len(), train.shape(), train.classes());
    /// # Ok::<(), snn_data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// As [`Images::fashion_mnist`]; [`DataError::Contents`] for a test image of another shape or class than the training images.
    pub fn idx(dir: impl AsRef<Path>, split: Split) -> Result<Self, DataError> {
        let (dir, source) = (
            dir.as_ref(),
            Source { set: "idx", from: "whoever wrote them; `cargo xtask data fetch fashion-mnist --data DIR` gets a set of this layout" },
        );
        let name = dir.file_name().map_or("idx".into(), |name| name.to_string_lossy().into_owned());
        let train = Files::read(dir, Split::Train, source)?;
        let shape = train.shape;
        let classes = train.labels.iter().max().map_or(0, |&label| usize::from(label) + 1);
        let files = if split == Split::Train { train } else { Files::read(dir, split, source)? };
        files.images(name, split, shape, classes, source)
    }

    fn open(set: &'static str, from: &'static str, dir: &Path, split: Split) -> Result<Self, DataError> {
        let source = Source { set, from };
        Files::read(&dir.join(set), split, source)?.images(set.into(), split, (SIDE, SIDE), CLASSES, source)
    }

    /// Name and part, for example `fashion-mnist/train`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none: never.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The pixels of image `index`, row by row, 0 (dark) to 255.
    pub fn pixels(&self, index: usize) -> &[u8] {
        let each = self.shape.0 * self.shape.1;
        &self.pixels[index * each..][..each]
    }

    /// The class of image `index`, from 0.
    pub fn label(&self, index: usize) -> usize {
        self.labels[index].into()
    }
}

/// Writes pictures and their classes as the two idx files of a part, in the layout of MNIST, for [`Images::idx`] and for other tools: intensities from 0 to 1
/// become bytes.
///
/// ```
/// use snn_core::Seed;
/// use snn_data::{ImageSet, Images, Split, StrokeParams, write_idx};
/// let dir = tempfile::tempdir()?;
/// let drawn = StrokeParams { side: 8, ..StrokeParams::default() }.images(Seed::new(1), 0..20)?;
/// write_idx(&drawn, dir.path(), Split::Train)?;
/// let read = Images::idx(dir.path(), Split::Train)?;
/// assert_eq!((read.len(), read.shape(), read.label(3)), (20, (8, 8), drawn.label(3)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`DataError::Parameter`] for more than 256 classes; [`DataError::Io`] if a file cannot be written.
pub fn write_idx(images: &dyn ImageSet, dir: impl AsRef<Path>, split: Split) -> Result<(), DataError> {
    crate::error::check(images.classes() <= 256, "write_idx", "classes", images.classes(), "at most 256, as a label is a byte")?;
    let (rows, columns) = images.shape();
    let data = images.numbers(0..images.len()).into_iter().map(|x| (255.0 * x.clamp(0.0, 1.0)).round() as u8).collect();
    idx::write(file(dir.as_ref(), split, PIXELS), &idx::Idx { dims: vec![images.len(), rows, columns], data })?;
    let data = (0..images.len()).map(|i| images.label(i) as u8).collect();
    Ok(idx::write(file(dir.as_ref(), split, LABELS), &idx::Idx { dims: vec![images.len()], data })?)
}

const PIXELS: &str = "images-idx3-ubyte";
const LABELS: &str = "labels-idx1-ubyte";

/// The name of a file, as MNIST has it.
fn file(dir: &Path, split: Split, what: &str) -> PathBuf {
    dir.join(format!("{}-{what}", if split == Split::Train { "train" } else { "t10k" }))
}

/// The two files of a part: bytes, one label for each image.
struct Files {
    paths: [PathBuf; 2],
    shape: (usize, usize),
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

impl Files {
    fn read(dir: &Path, split: Split, source: Source) -> Result<Self, DataError> {
        let Source { set, from } = source;
        let read = |what: &str| match idx::read_either(dir, &file(Path::new(""), split, what).to_string_lossy()) {
            Err(source @ IoError::NotFound { .. }) => Err(DataError::Missing { set, from, source }),
            other => Ok(other?),
        };
        let (images_path, images) = read(PIXELS)?;
        let (labels_path, labels) = read(LABELS)?;
        let &[n, rows, columns] = &images.dims[..] else {
            return source.wrong(&images_path, format!("an array of shape {:?}", images.dims), "images, [n, rows, columns]");
        };
        if n * rows * columns == 0 {
            return source.wrong(&images_path, if n == 0 { "no images".into() } else { "no pixels".into() }, "at least one");
        }
        if labels.dims != [n] {
            let expected = format!("one for each of the {n} images beside it");
            return source.wrong(&labels_path, format!("labels of shape {:?}", labels.dims), expected);
        }
        Ok(Files { paths: [images_path, labels_path], shape: (rows, columns), pixels: images.data, labels: labels.data })
    }

    /// What they hold, if it is images of this shape and these classes.
    fn images(self, set: String, split: Split, shape: (usize, usize), classes: usize, source: Source) -> Result<Images, DataError> {
        let Files { paths: [images_path, labels_path], shape: found, pixels, labels } = self;
        if found != shape {
            let found = format!("an array of shape [{}, {}, {}]", labels.len(), found.0, found.1);
            return source.wrong(&images_path, found, format!("images of {} × {} pixels", shape.0, shape.1));
        }
        if let Some(i) = labels.iter().position(|&label| usize::from(label) >= classes) {
            return source.wrong(&labels_path, format!("label {} at index {i}", labels[i]), format!("labels from 0 to {}", classes - 1));
        }
        Ok(Images { name: format!("{set}/{}", split.name()), shape, classes, pixels, labels })
    }
}

impl ImageSet for Images {
    fn name(&self) -> &str {
        &self.name
    }
    fn len(&self) -> usize {
        self.labels.len()
    }
    fn shape(&self) -> (usize, usize) {
        self.shape
    }
    fn classes(&self) -> usize {
        self.classes
    }
    fn label(&self, index: usize) -> usize {
        self.labels[index].into()
    }
    fn intensities(&self, index: usize, into: &mut [f32]) {
        into.iter_mut().zip(self.pixels(index)).for_each(|(x, &p)| *x = f32::from(p) / 255.0);
    }
    /// Straight from the bytes, for which some encoders have tables.
    fn encode(&self, index: usize, encoder: &dyn Encoder, seed: Seed, into: &mut Raster) {
        encoder.encode_bytes(self.pixels(index), seed, into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Analog, Encoded, Latency, LatencyImages, PixelCrossings};
    use snn_core::{Dataset, Target};
    use std::fs;

    fn idx_bytes(dims: &[u32], data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, dims.len() as u8];
        dims.iter().for_each(|n| bytes.extend(n.to_be_bytes()));
        bytes.extend(data);
        bytes
    }

    /// A folder with a test part of two images: pixel `i` of image `k` is `i + k`.
    fn tiny(labels: &[u8]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("mnist");
        fs::create_dir(&at).unwrap();
        let pixels: Vec<u8> = (0..2u32).flat_map(|k| (0..784).map(move |i| (i + k) as u8)).collect();
        fs::write(at.join("t10k-images-idx3-ubyte"), idx_bytes(&[2, 28, 28], &pixels)).unwrap();
        fs::write(at.join("t10k-labels-idx1-ubyte.gz"), idx_bytes(&[labels.len() as u32], labels)).unwrap();
        dir
    }

    fn refused(dir: &Path) -> String {
        Images::mnist(dir, Split::Test).unwrap_err().to_string()
    }

    #[test]
    fn tiny_files_are_read_and_encoded() {
        let dir = tiny(&[7, 9]);
        let images = Images::mnist(dir.path(), Split::Test).unwrap();
        assert_eq!((images.name(), images.len(), images.label(0), images.label(1)), ("mnist/test", 2, 7, 9));
        assert_eq!((images.pixels(0)[783], images.pixels(1)[783]), (15, 16));

        let data = LatencyImages::new(images, Latency::new(20e-3, 0.2, 1e-3, 100).unwrap(), Seed::new(0));
        assert_eq!((data.inputs(), data.steps(), data.classes(), data.target(1)), (784, 100, 10, Target::Class(9)));
        let mut raster = Raster::default();
        data.load(0, &mut raster);
        // x/(x − 0.2) < e^(5/20) needs x > 0.9042: bytes from 231.
        assert_eq!(raster.at(4), &[255, 511, 767].map(|last| last - 24..=last).into_iter().flatten().collect::<Vec<u32>>()[..]);
        assert_eq!(raster.units(), 784);

        // Pixel 3 + 256·k of image 0 has the value 3/255; pixels 0, 256, 512 and 768 are dark.
        let images = Images::mnist(dir.path(), Split::Test).unwrap();
        let data = Encoded::new(images, Analog::default(), Seed::new(0));
        data.load(0, &mut raster);
        assert_eq!((data.inputs(), data.steps(), raster.units(), raster.steps(), raster.len()), (784, 1, 784, 1, 780));
        assert!([3, 259].iter().all(|&i| raster.value(0, i) == f64::from(3.0f32 / 255.0)));

        // An encoder with channels of its own: sequential MNIST.
        let images = Images::mnist(dir.path(), Split::Test).unwrap();
        let data = Encoded::new(images, PixelCrossings::lsnn(784, 1).unwrap(), Seed::new(0));
        data.load(1, &mut raster);
        assert_eq!((data.inputs(), data.steps(), raster.units(), raster.steps()), (80, 840, 80, 840));
        assert_eq!(raster.at(839), [79]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let empty = tempfile::tempdir().unwrap();
        let message = Images::fashion_mnist(empty.path(), Split::Train).unwrap_err().to_string();
        assert!(message.contains("train-images-idx3-ubyte.gz: not found") && message.contains("github.com/zalandoresearch"), "{message}");

        assert!(refused(tiny(&[7]).path()).contains("labels of shape [1], expected one for each of the 2 images"));
        assert!(refused(tiny(&[7, 10]).path()).contains("label 10 at index 1, expected labels from 0 to 9"));

        let dir = tiny(&[1, 2]);
        let images = dir.path().join("mnist/t10k-images-idx3-ubyte");
        fs::write(&images, idx_bytes(&[2, 3, 1], &[0; 6])).unwrap();
        assert!(refused(dir.path()).contains("shape [2, 3, 1], expected images of 28 × 28"));
        fs::write(&images, idx_bytes(&[0, 28, 28], &[])).unwrap();
        assert!(refused(dir.path()).contains("no images"));
        fs::write(&images, b"<html>").unwrap();
        assert!(refused(dir.path()).contains("a web page"));
    }

    #[test]
    fn other_shapes_and_classes() {
        let dir = tempfile::tempdir().unwrap();
        let part = |split: Split, dims: &[u32], labels: &[u8]| {
            let pixels = vec![7; dims.iter().product::<u32>() as usize];
            fs::write(file(dir.path(), split, PIXELS), idx_bytes(dims, &pixels)).unwrap();
            fs::write(file(dir.path(), split, LABELS), idx_bytes(&[labels.len() as u32], labels)).unwrap();
        };
        part(Split::Train, &[3, 2, 5], &[0, 3, 1]);
        part(Split::Test, &[1, 2, 5], &[3]);
        let (train, test) = (Images::idx(dir.path(), Split::Train).unwrap(), Images::idx(dir.path(), Split::Test).unwrap());
        assert_eq!((train.shape(), train.classes(), train.pixels(2).len()), ((2, 5), 4, 10));
        assert_eq!((test.classes(), test.label(0), test.len()), (4, 3, 1));
        let refused = || Images::idx(dir.path(), Split::Test).unwrap_err().to_string();
        part(Split::Test, &[1, 2, 5], &[4]);
        assert!(refused().contains("label 4 at index 0, expected labels from 0 to 3"), "{}", refused());
        part(Split::Test, &[1, 5, 2], &[3]);
        assert!(refused().contains("shape [1, 5, 2], expected images of 2 × 5"), "{}", refused());
    }

    #[test]
    fn fashion_mnist_is_the_official_one() {
        let Some(dir) = std::env::var_os("SNN_DATA") else {
            println!("skipped: set SNN_DATA to the folder that holds fashion-mnist/");
            return;
        };
        for (split, len, first) in
            [(Split::Train, 60_000, [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]), (Split::Test, 10_000, [9, 2, 1, 1, 6, 1, 4, 6, 5, 7])]
        {
            let images = Images::fashion_mnist(&dir, split).unwrap();
            assert_eq!(images.len(), len);
            assert_eq!(std::array::from_fn(|i| images.label(i)), first);
        }
    }
}
