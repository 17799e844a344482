//! ONNX: trained dense networks as other tools save them, read as a [`snn_core::ann::Ann`].
//!
//! A sample goes through the network as flat vectors; every node has the name of the ONNX value that it computes. Reshapes are nothing, and what
//! depends on no input is computed when the file is read. A symbolic batch is one sample; a batch that the file fixes to more than one is part of
//! the sample, as far as the operators allow it.
//!
//! | operators | become |
//! |---|---|
//! | `Gemm` (without `transA`), `MatMul` with constants on the right | `Linear`, all to all |
//! | `Conv` over images: groups, strides, dilations, any padding | `Linear` over windows; before it a `Gather` for padding that differs between two sides |
//! | `AveragePool`, `GlobalAveragePool` | `Linear`: sums over windows with one weight; listed links where windows at the border divide by less |
//! | `MaxPool` | `Max` |
//! | `BatchNormalization`; `Add`, `Sub`, `Mul`, `Div` with a constant | part of the `Linear` before them, if nothing else hears it; else `Scale` |
//! | `Relu`, `LeakyRelu`, `Elu`, `Sigmoid`, `Tanh`, `HardSwish`, `Gelu`; `Mul` of a value and its `Sigmoid` (SiLU) | `Activation` |
//! | `Add` of two values, `Concat` | `Add`, `Concat` (and a `Gather` where parts interleave) |
//! | `Transpose`, `Pad` with zeros | `Gather`, if numbers move at all |
//! | `Softmax`, `LogSoftmax` over the whole output | `Softmax` |
//! | `Flatten`, `Reshape`, `Squeeze`, `Unsqueeze`, `Identity`, `Dropout`, `Constant` | nothing |
//!
//! Everything else is refused by the node's name: other operators and domains, attributes unknown here, operator sets before 7. A `Linear` that has taken
//! in what follows it has the name of the last value; values in between are gone. A node for which the file has no value (padding, interleaving)
//! is named after the value it serves, with `/padded` or `/joined` behind it.
//!
//! Source: ONNX, "Operators" and `onnx.proto`. The parsing is done by the crate `rten-onnx`, which only this module touches.

mod attributes;
mod fold;
mod graph;
mod layout;
mod operators;
mod tensor;
mod window;
mod wire;

use crate::IoError;
use rten_onnx::onnx::ModelProto;
use snn_core::ann::Ann;
use std::{fs, path::Path};

const EXPECTED: &str = "an ONNX model (protobuf)";

/// What is wrong, said by those who do not know where.
type Reason = String;

/// Reads a trained network.
///
/// Weights of 64 bits are rounded to 32. Memory: some four times the file, and at most 2 GiB for numbers that a network needs and a file does not
/// hold (biases of every unit, windows of max pooling, transpositions, weights that several nodes share); a file that needs more is refused.
///
/// # Errors
/// [`IoError::NotFound`], [`IoError::Format`] (another kind of file), [`IoError::Truncated`], [`IoError::TooLarge`] (more than 2¹⁸ fields),
/// [`IoError::Content`] (damaged fields; weights outside the file, of other types or of another number than their dimensions say; a network with
/// several inputs or outputs, loops, names given twice or to nothing; operators, attributes and shapes that are not read, by the node's name),
/// [`IoError::Os`].
///
/// ```
/// // The bytes of a file with one operator: y = max(x, 0), three numbers.
/// let model = b"\x08\x08:\x28\x0a\x0c\x0a\x01x\x12\x01y\"\x04Relu\
///     Z\x13\x0a\x01x\x12\x0e\x0a\x0c\x08\x01\x12\x08\x0a\x02\x08\x01\x0a\x02\x08\x03b\x03\x0a\x01yB\x02\x10\x0d";
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("relu.onnx");
/// std::fs::write(&path, model)?;
///
/// let ann = snn_io::onnx::read(&path)?;
/// assert_eq!((ann.inputs(), ann.outputs(), &ann.nodes()[1].name[..]), (3, 3, "y"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read(path: impl AsRef<Path>) -> Result<Ann, IoError> {
    let path = path.as_ref();
    let bytes = fs::read(path).map_err(|e| IoError::reading(path, EXPECTED, e))?;
    decode(path, &bytes)
}

fn decode(path: &Path, bytes: &[u8]) -> Result<Ann, IoError> {
    wire::check(path, bytes)?;
    let damaged = |e| IoError::content(path, "model", format!("expected ONNX, but {e}; copy or download it again"));
    let model = ModelProto::parse_buf(bytes).map_err(damaged)?;
    graph::import(path, &model)
}

#[cfg(test)]
#[path = "../../tests/it/onnx_file/mod.rs"]
mod onnx_file;

/// Damage; what files mean is tested in `tests/onnx.rs`.
#[cfg(test)]
mod tests {
    use super::onnx_file::everything;
    use super::*;
    use std::time::{Duration, Instant};

    fn check(bytes: &[u8]) -> Result<Ann, IoError> {
        let start = Instant::now();
        let result = decode(Path::new("dir/a.onnx"), bytes);
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        if let Err(error) = &result {
            assert!(error.to_string().starts_with("dir/a.onnx: "), "{error}");
        }
        result
    }

    #[test]
    fn damaged_real_files_do_no_harm() {
        let Some(data) = std::env::var_os("SNN_DATA") else { return eprintln!("skipped: SNN_DATA not set") };
        let mut files = 0;
        for entry in fs::read_dir(Path::new(&data).join("onnx/layer-zoo")).unwrap() {
            let good = fs::read(entry.unwrap().path()).unwrap();
            check(&good).unwrap();
            files += 1;
            for at in 0..good.len() {
                assert!(check(&good[..at]).is_err(), "{at} bytes");
                for change in 1..=255 {
                    let mut bytes = good.clone();
                    bytes[at] ^= change;
                    let _ = check(&bytes);
                }
            }
        }
        assert_eq!(files, 8);
    }

    #[test]
    fn every_truncation_is_refused() {
        let good = everything();
        assert_eq!(check(&good).unwrap().outputs(), 4);
        for n in 0..good.len() {
            assert!(check(&good[..n]).is_err(), "{n} bytes");
        }
    }
}
