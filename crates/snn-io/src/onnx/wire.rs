//! The wire format, checked before anything is parsed.
//!
//! The parser trusts lengths: it would reserve what a field announces and follow nested messages as deep as they go. So every field is
//! walked here first, with a list of open messages instead of recursion. Source: Protocol Buffers, "Encoding".

use super::EXPECTED;
use crate::IoError;
use std::path::Path;

/// Chosen: an ordinary model nests seven messages, those with subgraphs three more for each.
const MAX_DEPTH: usize = 32;
/// Chosen: some twenty times the fields of the largest published image classifiers. Empty messages take far more memory than bytes.
const MAX_FIELDS: usize = 1 << 18;
const AGAIN: &str = "copy or download it again";

/// The messages of a model that the parser reads.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    ValueInfo,
    Type,
    TensorType,
    Sequence,
    Shape,
    Leaf,
}

/// What the bytes of a field are.
enum Bytes {
    Message(Message),
    Varints,
    Numbers(usize),
    Other,
}

impl Message {
    /// By the field numbers of `onnx.proto`.
    fn field(self, number: u64) -> Bytes {
        use Message::{Attribute, Graph, Leaf, Model, Node, Sequence, Shape, Tensor, TensorType, Type, ValueInfo};
        match (self, number) {
            (Model, 7) | (Attribute, 6) => Bytes::Message(Graph),
            (Model, 8 | 14) | (Tensor, 13) | (Shape, 1) => Bytes::Message(Leaf),
            (Graph, 1) => Bytes::Message(Node),
            (Graph, 5) | (Attribute, 5) => Bytes::Message(Tensor),
            (Graph, 11..=13) => Bytes::Message(ValueInfo),
            (Node, 5) => Bytes::Message(Attribute),
            (ValueInfo, 2) | (Sequence, 1) => Bytes::Message(Type),
            (Type, 1) => Bytes::Message(TensorType),
            (Type, 4) => Bytes::Message(Sequence),
            (TensorType, 2) => Bytes::Message(Shape),
            (Tensor, 5 | 7) => Bytes::Varints,
            (Tensor, 4) => Bytes::Numbers(4),
            (Tensor, 10) => Bytes::Numbers(8),
            _ => Bytes::Other,
        }
    }
}

/// Refuses bytes that are no protobuf message, or that would cost more than they are worth.
pub(super) fn check(path: &Path, bytes: &[u8]) -> Result<(), IoError> {
    // A model has no magic number, but few fields to begin with.
    let first = varint(bytes, 0).map(|(tag, _)| (tag >> 3, tag & 7));
    if !matches!(first, Some((1 | 5, 0) | (2..=4 | 6..=8 | 14, 2))) {
        return Err(IoError::format(path, EXPECTED, bytes));
    }
    let damaged = |at: usize, why: &str| IoError::content(path, format!("byte {at}"), format!("{why}; {AGAIN}"));
    let (mut open, mut at, mut fields) = (vec![(bytes.len(), Message::Model)], 0, 0);
    while let Some(&(end, message)) = open.last() {
        if at == end {
            open.pop();
            continue;
        }
        let start = at;
        let mut number = || {
            let (number, next) = varint(&bytes[..end], at).ok_or_else(|| damaged(start, "no whole number where one is expected"))?;
            at = next;
            Ok::<u64, IoError>(number)
        };
        let tag = number()?;
        let length = match tag & 7 {
            0 => number().map(|_| 0)?,
            1 => 8,
            2 => number()?,
            5 => 4,
            _ => return Err(damaged(start, "a field of a kind that ONNX does not use; expected a model")),
        };
        if length > (bytes.len() - at) as u64 {
            let found = (bytes.len() - at) as u64;
            return Err(IoError::Truncated { path: path.into(), what: "a field", expected: length, found });
        }
        if length > (end - at) as u64 {
            return Err(damaged(start, "a field that is longer than the message around it"));
        }
        let inside = &bytes[at..at + length as usize];
        if tag & 7 == 2 {
            fields += 1;
            match message.field(tag >> 3) {
                Bytes::Message(_) if open.len() >= MAX_DEPTH => return Err(damaged(start, "messages nested too deep")),
                Bytes::Message(message) => {
                    open.push((at + inside.len(), message));
                    continue;
                }
                Bytes::Varints if !are_varints(inside) => return Err(damaged(start, "a list of whole numbers that ends inside one")),
                Bytes::Numbers(size) if !inside.len().is_multiple_of(size) => {
                    return Err(damaged(start, "a list of numbers that ends inside one"));
                }
                _ => {}
            }
        }
        if fields > MAX_FIELDS {
            let what = format!("a model of more than {MAX_FIELDS} fields");
            return Err(IoError::TooLarge { path: path.into(), what, limit: MAX_FIELDS as u64 });
        }
        at += inside.len();
    }
    Ok(())
}

/// The number at `at` and where it ends: seven bits a byte, the lowest first, at most 64 bits.
fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0;
    for (k, &byte) in bytes.get(at..)?.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * k);
        if byte < 0x80 {
            return (k < 9 || byte < 2).then_some((value, at + k + 1));
        }
    }
    None
}

fn are_varints(bytes: &[u8]) -> bool {
    let mut at = 0;
    while at < bytes.len() {
        let Some((_, next)) = varint(bytes, at) else { return false };
        at = next;
    }
    true
}
