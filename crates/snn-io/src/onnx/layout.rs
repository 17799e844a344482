//! Operators that move numbers or name their shape anew.

use super::Reason;
use super::graph::{Build, Call, Value};
use super::tensor::{Constant, offsets, size, strides};
use snn_core::ann::Op;

/// The axis a number names; negative ones count from the end.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, Reason> {
    let named = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
    let named = named.and_then(|k| usize::try_from(k).ok()).filter(|&k| k < rank);
    named.ok_or_else(|| format!("axis {axis} of a value with {rank} axes"))
}

fn dims(value: &Value) -> &[usize] {
    match value {
        Value::Constant(constant) => &constant.dims,
        Value::Node { dims, .. } => dims,
    }
}

/// The same numbers in another shape.
fn reshaped(value: &Value, dims: Vec<usize>) -> Result<Value, Reason> {
    let old = self::dims(value);
    if size(old)? != size(&dims)? {
        return Err(format!("a value of shape {old:?} does not fit into {dims:?}"));
    }
    Ok(match value {
        Value::Constant(constant) => Value::Constant(Constant { dims, data: constant.data.clone() }),
        Value::Node { index, .. } => Value::Node { index: *index, dims },
    })
}

pub(super) fn flatten(call: &Call) -> Result<Value, Reason> {
    call.at_most(1)?;
    let value = call.input(0)?;
    let dims = dims(value);
    let cut = match call.attributes.int("axis", 1)? {
        k if k == dims.len() as i64 => dims.len(),
        k => axis(k, dims.len())?,
    };
    reshaped(value, vec![size(&dims[..cut])?, size(&dims[cut..])?])
}

/// In the new shape, 0 is the old length of the axis and −1 is what remains.
pub(super) fn reshape(call: &Call) -> Result<Value, Reason> {
    call.at_most(2)?;
    let (value, shape) = (call.input(0)?, call.constant(1)?.whole()?);
    let zeros = call.attributes.int("allowzero", 0)? != 0;
    let old = dims(value);
    let bad = || format!("the new shape {shape:?} of a value of shape {old:?}");
    let mut new = Vec::with_capacity(shape.len());
    for (k, &d) in shape.iter().enumerate() {
        new.push(match d {
            -1 => 1,
            0 if !zeros => *old.get(k).ok_or_else(bad)?,
            d => usize::try_from(d).map_err(|_| bad())?,
        });
    }
    let mut open = (0..shape.len()).filter(|&k| shape[k] == -1);
    if let Some(k) = open.next() {
        let (all, rest) = (size(old)?, size(&new)?);
        if open.next().is_some() || rest == 0 || all % rest != 0 {
            return Err(bad());
        }
        new[k] = all / rest;
    }
    reshaped(value, new)
}

/// The axes named by an attribute, or from version 13 on by an input.
fn axes<'a>(call: &'a Call) -> Result<Option<&'a [i64]>, Reason> {
    if let Some(axes) = call.attributes.ints("axes")? {
        return Ok(Some(axes));
    }
    call.optional_constant(1)?.map(Constant::whole).transpose()
}

pub(super) fn squeeze(call: &Call) -> Result<Value, Reason> {
    call.at_most(2)?;
    let value = call.input(0)?;
    let old = dims(value);
    let gone = match axes(call)? {
        Some(axes) => axes.iter().map(|&k| axis(k, old.len())).collect::<Result<Vec<_>, _>>()?,
        None => (0..old.len()).filter(|&k| old[k] == 1).collect(),
    };
    let left = (0..old.len()).filter(|k| !gone.contains(k)).map(|k| old[k]).collect();
    reshaped(value, left)
}

pub(super) fn unsqueeze(call: &Call) -> Result<Value, Reason> {
    call.at_most(2)?;
    let value = call.input(0)?;
    let (old, axes) = (dims(value), axes(call)?.ok_or("no axes")?);
    let rank = old.len() + axes.len();
    size(&vec![1; rank])?;
    let new = axes.iter().map(|&k| axis(k, rank)).collect::<Result<Vec<_>, _>>()?;
    if (1..new.len()).any(|k| new[..k].contains(&new[k])) {
        return Err(format!("axes {axes:?}: one is named twice"));
    }
    let mut rest = old.iter().copied();
    let dims = (0..rank).map(|k| if new.contains(&k) { 1 } else { rest.next().unwrap_or(1) }).collect();
    reshaped(value, dims)
}

pub(super) fn transpose(build: &mut Build, call: &Call) -> Result<Value, Reason> {
    call.at_most(1)?;
    let value = call.input(0)?;
    let old = dims(value);
    let perm = match call.attributes.ints("perm")? {
        Some(perm) => perm.iter().map(|&k| axis(k, old.len())).collect::<Result<Vec<_>, _>>()?,
        None => (0..old.len()).rev().collect(),
    };
    if perm.len() != old.len() || (0..old.len()).any(|k| !perm.contains(&k)) {
        return Err(format!("`perm` {perm:?} of a value of shape {old:?}; expected every axis once"));
    }
    let (apart, new): (_, Vec<usize>) = (strides(old), perm.iter().map(|&k| old[k]).collect());
    let steps: Vec<usize> = perm.iter().map(|&k| apart[k]).collect();
    // Axes of length 1 may go anywhere without moving a number.
    let long: Vec<usize> = perm.iter().copied().filter(|&k| old[k] != 1).collect();
    if long.is_sorted() {
        return reshaped(value, new);
    }
    build.reserve(2 * size(&new)?)?;
    match value {
        Value::Constant(constant) => Ok(Value::Constant(constant.pick(new.clone(), offsets(&new, &steps)))),
        Value::Node { index, .. } => {
            let sources = offsets(&new, &steps).map(|at| Some(at as u32)).collect();
            build.push(call.output, new, vec![*index], Op::Gather { sources })
        }
    }
}

/// With zeros; negative numbers cut off.
pub(super) fn pad(build: &mut Build, call: &Call) -> Result<Value, Reason> {
    call.at_most(4)?;
    let a = &call.attributes;
    match a.word("mode", "constant")? {
        "constant" => {}
        mode => return Err(format!("attribute `mode` is `{mode}`; only constant is read")),
    }
    let (index, dims) = call.node(0)?;
    let (pads, with) = match a.ints("pads")? {
        Some(pads) => (pads, a.float("value", 0.0)?),
        None => {
            let with = call.optional_constant(2)?.map(Constant::floats).transpose()?;
            (call.constant(1)?.whole()?, with.and_then(|x| x.first().copied()).unwrap_or(0.0))
        }
    };
    if with != 0.0 {
        return Err(format!("padding with {with}; only zeros are read"));
    }
    let along = match call.optional_constant(3)? {
        Some(axes) => axes.whole()?.iter().map(|&k| axis(k, dims.len())).collect::<Result<Vec<_>, _>>()?,
        None => (0..dims.len()).collect(),
    };
    if along.len() > dims.len() || pads.len() != 2 * along.len() || (1..along.len()).any(|k| along[..k].contains(&along[k])) {
        return Err(format!("{} numbers in `pads` for {} axes; expected two for each, and each axis once", pads.len(), along.len()));
    }
    let mut sides = vec![(0, 0); dims.len()];
    (0..along.len()).for_each(|k| sides[along[k]] = (pads[k], pads[along.len() + k]));
    padded(build, call.output, index, dims, &sides)
}

/// A value with zeros before and after it along each axis.
pub(super) fn padded(build: &mut Build, name: &str, from: usize, dims: &[usize], sides: &[(i64, i64)]) -> Result<Value, Reason> {
    let new = dims.iter().zip(sides).map(|(&d, &(before, after))| {
        let long = i128::from(before) + i128::from(after) + d as i128;
        usize::try_from(long).ok().filter(|&d| d >= 1)
    });
    let new: Vec<usize> = new.collect::<Option<_>>().ok_or_else(|| format!("{sides:?} zeros around a value of shape {dims:?}"))?;
    build.reserve(4 * size(&new)?)?;
    let apart = strides(dims);
    let mut sources = vec![Some(0)];
    for k in 0..dims.len() {
        // The step to the value's own number at each place, or none.
        let own = |x: usize| usize::try_from((x as i64).checked_sub(sides[k].0)?).ok().filter(|&x| x < dims[k]);
        let steps: Vec<Option<usize>> = (0..new[k]).map(|x| own(x).map(|x| x * apart[k])).collect();
        // A list that grows by itself would take half as much again as was reserved.
        let mut places = Vec::with_capacity(sources.len() * steps.len());
        sources.iter().for_each(|&at| places.extend(steps.iter().map(|&step| Some(at? + step?))));
        sources = places;
    }
    let sources = sources.into_iter().map(|at| at.map(|at| at as u32)).collect();
    build.push(name, new, vec![from], Op::Gather { sources })
}

pub(super) fn concat(build: &mut Build, call: &Call) -> Result<Value, Reason> {
    let parts = (0..call.inputs.len()).map(|k| call.node(k)).collect::<Result<Vec<_>, _>>()?;
    let &(_, first) = parts.first().ok_or("nothing to join")?;
    let axis = axis(call.attributes.int("axis", 1)?, first.len())?;
    if axis == 0 && first.len() > 1 {
        return Err("along axis 0, the batch".into());
    }
    if parts.iter().any(|(_, dims)| dims.len() != first.len() || (0..dims.len()).any(|k| k != axis && dims[k] != first[k])) {
        return Err(format!(
            "shapes {:?} along axis {axis}; all other lengths must be equal",
            parts.iter().map(|(_, dims)| *dims).collect::<Vec<_>>()
        ));
    }
    let mut dims = first.to_vec();
    dims[axis] = parts.iter().map(|(_, dims)| dims[axis]).fold(0, usize::saturating_add);
    let from = parts.iter().map(|&(index, _)| index).collect();
    let (before, inner) = (size(&dims[..axis])?, size(&dims[axis + 1..])?);
    if before == 1 {
        return build.push(call.output, dims, from, Op::Concat);
    }
    // One after the other, then row by row.
    let count = size(&dims)?;
    build.reserve(2 * count)?;
    let name = build.name(call.output, "joined");
    let joined = build.push(&name, vec![count], from, Op::Concat)?;
    let mut sources = Vec::with_capacity(count);
    for row in 0..before {
        let mut start = 0;
        for (_, dims) in &parts {
            let length = dims[axis] * inner;
            sources.extend((0..length).map(|k| Some((start + row * length + k) as u32)));
            start += before * length;
        }
    }
    let Value::Node { index, .. } = joined else { return Err("no value".into()) };
    build.push(call.output, dims, vec![index], Op::Gather { sources })
}
