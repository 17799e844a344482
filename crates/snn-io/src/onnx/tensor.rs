//! Constants of a model, and how indices of flat arrays follow from shapes.

use super::Reason;
use rten_onnx::onnx::{DataLocation, DataType, TensorProto};
use std::rc::Rc;

/// Numbers that do not depend on the input.
#[derive(Clone, Debug)]
pub(super) struct Constant {
    pub dims: Vec<usize>,
    /// Shared by all reshapes.
    pub data: Rc<Data>,
}

/// Weights, or indices and shapes.
#[derive(Debug)]
pub(super) enum Data {
    Floats(Vec<f32>),
    Whole(Vec<i64>),
}

impl Constant {
    /// The tensor of a file. Nothing is reserved before the numbers are known to be there.
    pub fn new(tensor: &TensorProto) -> Result<Self, Reason> {
        if tensor.data_location == Some(DataLocation::EXTERNAL) || !tensor.external_data.is_empty() {
            return Err("its data are in another file, which is not read: save the model with its weights in one file".into());
        }
        let dims: Option<Vec<usize>> = tensor.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
        let dims = dims.ok_or_else(|| format!("dimensions {:?}: must be 0 or more", tensor.dims))?;
        let count = size(&dims)?;
        let raw = tensor.raw_data.as_ref().map(|raw| raw.borrow());
        let raw = raw.as_ref().map(|raw| raw.as_slice());
        let data = match tensor.data_type {
            Some(DataType::FLOAT) => Data::Floats(numbers(&dims, count, raw, f32::from_le_bytes, &tensor.float_data)?),
            // Rounded to the nearest.
            Some(DataType::DOUBLE) => {
                let doubles = numbers(&dims, count, raw, f64::from_le_bytes, &tensor.double_data)?;
                Data::Floats(doubles.into_iter().map(|x| x as f32).collect())
            }
            Some(DataType::INT64) => Data::Whole(numbers(&dims, count, raw, i64::from_le_bytes, &tensor.int64_data)?),
            Some(DataType::BOOL) => {
                let truths = numbers(&dims, count, raw, |[b]: [u8; 1]| i32::from(b), &tensor.int32_data)?;
                Data::Whole(truths.into_iter().map(i64::from).collect())
            }
            other => {
                let name = other.map_or_else(|| "no type".into(), |t| format!("type {t}"));
                return Err(format!("numbers of {name}; expected FLOAT or DOUBLE weights, INT64 shapes: convert the model"));
            }
        };
        Ok(Constant::of(dims, data))
    }

    /// Numbers in a shape.
    pub fn of(dims: Vec<usize>, data: Data) -> Self {
        Constant { dims, data: Rc::new(data) }
    }

    /// The weights in it.
    pub fn floats(&self) -> Result<&[f32], Reason> {
        match &*self.data {
            Data::Floats(xs) => Ok(xs),
            Data::Whole(_) => Err("whole numbers where weights are expected".into()),
        }
    }

    /// The whole numbers in it.
    pub fn whole(&self) -> Result<&[i64], Reason> {
        match &*self.data {
            Data::Whole(xs) => Ok(xs),
            Data::Floats(_) => Err("weights where whole numbers are expected".into()),
        }
    }

    /// Its weights, repeated to the shape `dims`.
    pub fn spread(&self, dims: &[usize]) -> Result<Vec<f32>, Reason> {
        let floats = self.floats()?;
        let strides = stretched(&self.dims, dims)?;
        Ok(offsets(dims, &strides).map(|at| floats[at]).collect())
    }

    /// The numbers at `indices`, in another shape.
    pub fn pick(&self, dims: Vec<usize>, indices: impl Iterator<Item = usize>) -> Self {
        let data = match &*self.data {
            Data::Floats(xs) => Data::Floats(indices.map(|at| xs[at]).collect()),
            Data::Whole(xs) => Data::Whole(indices.map(|at| xs[at]).collect()),
        };
        Constant::of(dims, data)
    }
}

/// `count` numbers, from the bytes or from the list.
fn numbers<T: Copy, const N: usize>(
    dims: &[usize],
    count: usize,
    raw: Option<&[u8]>,
    number: impl Fn([u8; N]) -> T,
    list: &[T],
) -> Result<Vec<T>, Reason> {
    let found = raw.map_or(list.len() * N, <[u8]>::len);
    if Some(found) != count.checked_mul(N) {
        let expected = (count as u128) * (N as u128);
        return Err(format!("dimensions {dims:?} need {expected} bytes of data, {found} are there; copy or download it again"));
    }
    Ok(raw.map_or_else(|| list.to_vec(), |raw| raw.as_chunks().0.iter().map(|&bytes| number(bytes)).collect()))
}

/// Chosen: more axes than any operator has.
const MAX_RANK: usize = 32;

/// How many numbers a tensor of this shape has.
pub(super) fn size(dims: &[usize]) -> Result<usize, Reason> {
    if dims.len() > MAX_RANK {
        return Err(format!("a tensor of {} axes; at most {MAX_RANK} are read", dims.len()));
    }
    let count = dims.iter().try_fold(1usize, |product, &d| product.checked_mul(d)).filter(|&n| n <= u32::MAX as usize);
    count.ok_or_else(|| format!("a tensor of shape {dims:?}: more than {} numbers", u32::MAX))
}

/// How far apart neighbours along each axis are.
pub(super) fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; dims.len()];
    (1..dims.len()).rev().for_each(|k| strides[k - 1] = strides[k].saturating_mul(dims[k]));
    strides
}

/// The offsets of all indices of an array of shape `dims`, last axis fastest.
pub(super) fn offsets<'a>(dims: &'a [usize], strides: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
    let count = if dims.contains(&0) { 0 } else { dims.iter().product() };
    let (mut index, mut next) = (vec![0; dims.len()], 0);
    (0..count).map(move |_| {
        let offset = next;
        for k in (0..dims.len()).rev() {
            (index[k], next) = (index[k] + 1, next + strides[k]);
            if index[k] < dims[k] {
                break;
            }
            (index[k], next) = (0, next - dims[k] * strides[k]);
        }
        offset
    })
}

/// The shape of an operation on two tensors that are repeated along axes of length 1.
pub(super) fn joint(a: &[usize], b: &[usize]) -> Result<Vec<usize>, Reason> {
    let rank = a.len().max(b.len());
    let at = |dims: &[usize], k: usize| (k + dims.len()).checked_sub(rank).map_or(1, |k| dims[k]);
    let dims = (0..rank).map(|k| match (at(a, k), at(b, k)) {
        (x, y) if x == y || y == 1 => Some(x),
        (1, y) => Some(y),
        _ => None,
    });
    dims.collect::<Option<_>>().ok_or_else(|| format!("the shapes {a:?} and {b:?} do not go together"))
}

/// The strides with which a tensor of shape `from` is repeated to the shape `to`.
fn stretched(from: &[usize], to: &[usize]) -> Result<Vec<usize>, Reason> {
    if joint(from, to)? != to {
        return Err(format!("the shape {from:?} cannot be repeated to {to:?}"));
    }
    let mut steps = vec![0; to.len()];
    for (k, stride) in strides(from).into_iter().enumerate().filter(|&(k, _)| from[k] > 1) {
        steps[k + to.len() - from.len()] = stride;
    }
    Ok(steps)
}
