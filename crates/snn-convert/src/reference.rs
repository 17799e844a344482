//! The dense run of an ONNX file by another library: what an import is compared with, and the speed to beat.
//!
//! The library is the crate `rten`, which only this module touches.

use rten::{Dimension, Model, ModelOptions, NodeId, RunError, ValueView};
use rten_tensor::{AsView, Tensor};
use snn_io::{IoError, onnx};
use std::path::{Path, PathBuf};

/// Inputs that are run at once where the file allows it: some MiB of values for an image classifier.
const AT_ONCE: usize = 64;

/// An ONNX file, run by `rten` on its own threads (as many as there are cores, or as the variable `RTEN_NUM_THREADS` says).
///
/// Where the first dimension of the input is symbolic it is a batch; where it has a number the inputs are run one by one.
///
/// ```no_run
/// let reference = snn_convert::reference::Reference::open("mnist.onnx")?;
/// let images = vec![0.0; 2 * 784];
/// let logits = reference.run(&images, 2)?;                                // of the first image, then of the second
/// let hidden = reference.values(&images[..784], &["fc1", "relu1"])?;      // by the names of the file
/// # Ok::<(), snn_convert::reference::ReferenceError>(())
/// ```
pub struct Reference {
    path: PathBuf,
    /// Optimised: only its output is known to be there.
    fast: Model,
    /// As it stands in the file.
    plain: Model,
    shape: Vec<usize>,
    /// Whether the first dimension is a batch.
    batched: bool,
}

/// Why there is nothing to compare with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The file cannot be imported, so there is nothing to be compared.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The other library does not read the file.
    #[error("{path}: not read by rten: {reason}; compare with another tool")]
    Load {
        /// The file.
        path: PathBuf,
        /// What the library says.
        reason: String,
    },
    /// The other library does not run it.
    #[error("{path}: not run by rten: {reason}; compare with another tool")]
    Run {
        /// The file.
        path: PathBuf,
        /// What the library says.
        reason: String,
    },
    /// Numbers that are no inputs.
    #[error("{path}: {found} numbers given for {batch} inputs of {size} each; give {size} for every input")]
    Input {
        /// The file.
        path: PathBuf,
        /// How many inputs there should be.
        batch: usize,
        /// How many numbers an input has.
        size: usize,
        /// How many were given.
        found: usize,
    },
    /// A value that the file does not have.
    #[error("{path}: no value is named `{name}`; take a name that stands in the file")]
    Name {
        /// The file.
        path: PathBuf,
        /// The name asked for.
        name: String,
    },
}

impl Reference {
    /// Reads a file: once as it stands and once optimised. Memory: four times the file.
    ///
    /// It is imported first, because the other library trusts what a file claims.
    ///
    /// # Errors
    /// [`ReferenceError::Io`] for a file that [`onnx::read`] refuses, [`ReferenceError::Load`] for one that the library refuses.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ReferenceError> {
        let path = path.as_ref();
        onnx::read(path)?;
        let refuse = |reason: String| ReferenceError::Load { path: path.into(), reason };
        let bytes = std::fs::read(path).map_err(|e| refuse(e.to_string()))?;
        let load = |optimise: bool| {
            let mut options = ModelOptions::with_all_ops();
            options.enable_optimization(optimise).prepack_weights(optimise);
            options.load(bytes.clone()).map_err(|e| refuse(e.to_string()))
        };
        let (fast, plain) = (load(true)?, load(false)?);
        let dims = plain.input_shape(0).ok_or_else(|| refuse("its input has no shape".into()))?;
        let batched = matches!(dims.first(), Some(Dimension::Symbolic(_)));
        let length = |dim: &Dimension| match dim {
            Dimension::Fixed(length) => *length,
            Dimension::Symbolic(_) => 1,
        };
        Ok(Reference { path: path.into(), fast, plain, shape: dims.iter().map(length).collect(), batched })
    }

    /// How many numbers an input has.
    pub fn inputs(&self) -> usize {
        self.shape.iter().product()
    }

    /// The outputs for `batch` inputs, one after the other.
    ///
    /// # Errors
    /// [`ReferenceError::Input`] if `inputs` has another length, [`ReferenceError::Run`] from the library.
    pub fn run(&self, inputs: &[f32], batch: usize) -> Result<Vec<f32>, ReferenceError> {
        self.check(inputs, batch)?;
        let output = self.fast.output_ids().to_vec();
        let mut outputs = Vec::new();
        for inputs in inputs.chunks(self.inputs() * if self.batched { AT_ONCE } else { 1 }) {
            outputs.extend(self.values_of(&self.fast, inputs, &output)?.concat());
        }
        Ok(outputs)
    }

    /// The values of these names for one input: of any node of the file, its input or its output.
    ///
    /// # Errors
    /// [`ReferenceError::Name`] if there is no such value, and those of [`Reference::run`].
    pub fn values(&self, input: &[f32], names: &[&str]) -> Result<Vec<Vec<f32>>, ReferenceError> {
        self.check(input, 1)?;
        let id = |name: &&str| {
            self.plain.find_node(name).ok_or_else(|| ReferenceError::Name { path: self.path.clone(), name: (*name).to_owned() })
        };
        let ids = names.iter().map(id).collect::<Result<Vec<_>, _>>()?;
        self.values_of(&self.plain, input, &ids)
    }

    fn check(&self, inputs: &[f32], batch: usize) -> Result<(), ReferenceError> {
        let (path, size, found) = (self.path.clone(), self.inputs(), inputs.len());
        if Some(found) == size.checked_mul(batch) { Ok(()) } else { Err(ReferenceError::Input { path, batch, size, found }) }
    }

    fn values_of(&self, model: &Model, inputs: &[f32], ids: &[NodeId]) -> Result<Vec<Vec<f32>>, ReferenceError> {
        let refuse = |reason: String| ReferenceError::Run { path: self.path.clone(), reason };
        let mut shape = self.shape.clone();
        if self.batched {
            shape[0] = inputs.len() / self.inputs();
        }
        let view = ValueView::from_shape(&shape, inputs).map_err(|e| refuse(e.to_string()))?;
        let &[input] = model.input_ids() else { return Err(refuse("it has several inputs".into())) };
        let values = model.run(vec![(input, view.into())], ids, None).map_err(|e: RunError| refuse(e.to_string()))?;
        let numbers = |value: rten::Value| Tensor::<f32>::try_from(value).map(|t| t.to_vec()).map_err(|e| refuse(e.to_string()));
        values.into_iter().map(numbers).collect()
    }
}
