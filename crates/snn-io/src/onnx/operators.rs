//! What each operator becomes: arithmetic and activations here, shapes in `layout`, windows in `window`.

use super::graph::{Build, Call, Value};
use super::tensor::{Constant, Data, joint, offsets, size, strides};
use super::{Reason, layout, window};
use snn_core::ann::{Activation, Op};
use snn_core::{Value as Numbers, net::Links};

/// The value of a node whose inputs are known.
pub(super) fn apply(build: &mut Build, call: &Call) -> Result<Value, Reason> {
    let a = &call.attributes;
    match call.op {
        "Add" | "Sub" | "Mul" | "Div" => arithmetic(build, call),
        "Gemm" => gemm(build, call),
        "MatMul" => matmul(build, call),
        "BatchNormalization" => normalise(build, call),
        "Conv" => window::convolve(build, call),
        "MaxPool" => window::max_pool(build, call),
        "AveragePool" => window::average_pool(build, call),
        "GlobalAveragePool" => window::global_average(build, call),
        "Relu" => activate(build, call, Activation::Relu),
        "LeakyRelu" => activate(build, call, Activation::LeakyRelu { slope: a.float("alpha", 0.01)?.into() }),
        "Elu" => activate(build, call, Activation::Elu { alpha: a.float("alpha", 1.0)?.into() }),
        "Sigmoid" => activate(build, call, Activation::Sigmoid),
        "Tanh" => activate(build, call, Activation::Tanh),
        "HardSwish" => activate(build, call, Activation::HardSwish),
        "Gelu" => match a.word("approximate", "none")? {
            "none" => activate(build, call, Activation::Gelu),
            "tanh" => activate(build, call, Activation::GeluTanh),
            other => Err(format!("attribute `approximate` is `{other}`; expected none or tanh")),
        },
        "Softmax" => softmax(build, call, false),
        "LogSoftmax" => softmax(build, call, true),
        "Constant" => constant(call),
        "Identity" => call.at_most(1).and(call.input(0).cloned()),
        "Dropout" => dropout(call),
        "Flatten" => layout::flatten(call),
        "Reshape" => layout::reshape(call),
        "Squeeze" => layout::squeeze(call),
        "Unsqueeze" => layout::unsqueeze(call),
        "Transpose" => layout::transpose(build, call),
        "Pad" => layout::pad(build, call),
        "Concat" => layout::concat(build, call),
        _ => Err("this operator is not read".into()),
    }
}

fn activate(build: &mut Build, call: &Call, f: Activation) -> Result<Value, Reason> {
    call.at_most(1)?;
    let (from, dims) = call.node(0)?;
    build.push(call.output, dims.to_vec(), vec![from], Op::Activation(f))
}

/// One number if they are all the same.
pub(super) fn numbers(xs: Vec<f32>) -> Numbers<f32> {
    match xs.first() {
        Some(&first) if xs.iter().all(|x| x.to_bits() == first.to_bits()) => first.into(),
        _ => xs.into(),
    }
}

fn arithmetic(build: &mut Build, call: &Call) -> Result<Value, Reason> {
    call.at_most(2)?;
    match (call.input(0)?, call.input(1)?) {
        (Value::Constant(a), Value::Constant(b)) => constants(build, call.op, a, b),
        (Value::Node { index, dims }, Value::Constant(c)) => {
            let (dims, c) = repeated(build, dims, c)?;
            let (factor, offset) = match call.op {
                "Add" => (vec![1.0], c),
                "Sub" => (vec![1.0], c.iter().map(|c| -c).collect()),
                "Mul" => (c, vec![0.0]),
                _ => (c.iter().map(|c| 1.0 / c).collect(), vec![0.0]),
            };
            build.push(call.output, dims, vec![*index], Op::Scale { factor: numbers(factor), offset: numbers(offset) })
        }
        (Value::Constant(c), Value::Node { index, dims }) => {
            let (dims, c) = repeated(build, dims, c)?;
            let (factor, offset) = match call.op {
                "Add" => (1.0.into(), numbers(c)),
                "Sub" => ((-1.0).into(), numbers(c)),
                "Mul" => (numbers(c), 0.0.into()),
                _ => return Err("a constant divided by a value: no activation here is 1/x".into()),
            };
            build.push(call.output, dims, vec![*index], Op::Scale { factor, offset })
        }
        (Value::Node { index: a, dims: da }, Value::Node { index: b, dims: db }) => {
            let dims = joint(da, db)?;
            let joined = size(&dims)?;
            if size(da)? != joined || size(db)? != joined {
                return Err(format!("values of shapes {da:?} and {db:?}: repeating a value is not read, only constants are"));
            }
            let sigmoid = |x: usize, y: usize| build.nodes[x].op == Op::Activation(Activation::Sigmoid) && build.nodes[x].from == [y];
            match call.op {
                "Add" => build.push(call.output, dims, vec![*a, *b], Op::Add),
                "Mul" if sigmoid(*a, *b) => build.push(call.output, dims, vec![*b], Op::Activation(Activation::Silu)),
                "Mul" if sigmoid(*b, *a) => build.push(call.output, dims, vec![*a], Op::Activation(Activation::Silu)),
                _ => Err("of two values only the sum is read, and the product of a value with its own sigmoid".into()),
            }
        }
    }
}

/// A constant repeated to the shape of a value, and the shape of both together, which has no more numbers than the value.
fn repeated(build: &mut Build, dims: &[usize], c: &Constant) -> Result<(Vec<usize>, Vec<f32>), Reason> {
    let all = joint(dims, &c.dims)?;
    let count = size(&all)?;
    if count != size(dims)? {
        return Err(format!("a constant of shape {:?} repeats a value of shape {dims:?}: only constants are repeated", c.dims));
    }
    if c.floats()?.len() == 1 {
        return Ok((all, c.floats()?.to_vec()));
    }
    build.reserve(count)?;
    let spread = c.spread(&all)?;
    Ok((all, spread))
}

fn constants(build: &mut Build, op: &str, a: &Constant, b: &Constant) -> Result<Value, Reason> {
    let dims = joint(&a.dims, &b.dims)?;
    build.reserve(2 * size(&dims)?)?;
    let (mut data, b) = (a.spread(&dims)?, b.spread(&dims)?);
    for (a, b) in data.iter_mut().zip(b) {
        *a = match op {
            "Add" => *a + b,
            "Sub" => *a - b,
            "Mul" => *a * b,
            _ => *a / b,
        };
    }
    Ok(Value::Constant(Constant::of(dims, Data::Floats(data))))
}

fn gemm(build: &mut Build, call: &Call) -> Result<Value, Reason> {
    call.at_most(3)?;
    call.attributes.only("transA", 0)?;
    let (alpha, beta) = (call.attributes.float("alpha", 1.0)?, call.attributes.float("beta", 1.0)?);
    let transposed = call.attributes.int("transB", 0)? != 0;
    let (from, dims) = call.node(0)?;
    let weights = call.constant(1)?;
    let (&[rows, inner], &[height, width]) = (dims, &weights.dims[..]) else {
        return Err(format!("shapes {dims:?} and {:?}; expected two matrices", weights.dims));
    };
    let (k, targets) = if transposed { (width, height) } else { (height, width) };
    if k != inner {
        return Err(format!("a matrix of {rows} × {inner} times one of {k} × {targets}; {inner} and {k} must be equal"));
    }
    let (shape, steps) = ([k, targets], if transposed { [1, k] } else { [targets, 1] });
    let floats = weights.floats()?;
    let weights = offsets(&shape, &steps).map(|at| alpha * floats[at]).collect();
    let bias = match call.optional_constant(2)? {
        Some(c) => {
            build.reserve(size(&[rows, targets])?)?;
            numbers(c.spread(&[rows, targets])?.into_iter().map(|c| beta * c).collect())
        }
        None => 0.0.into(),
    };
    linear(build, call, from, vec![rows, targets], inner, weights, bias)
}

fn matmul(build: &mut Build, call: &Call) -> Result<Value, Reason> {
    call.at_most(2)?;
    let (from, dims) = call.node(0)?;
    let weights = call.constant(1)?;
    let (k, targets) = match weights.dims[..] {
        [k] => (k, None),
        [k, targets] => (k, Some(targets)),
        _ => return Err(format!("a constant of shape {:?}; expected a matrix", weights.dims)),
    };
    let Some((&inner, rows)) = dims.split_last().filter(|&(&inner, _)| inner == k) else {
        return Err(format!(
            "a value of shape {dims:?} times a constant of shape {:?}; the last of the one and the first of the other must be equal",
            weights.dims
        ));
    };
    let dims = rows.iter().copied().chain(targets).collect();
    linear(build, call, from, dims, inner, weights.floats()?.to_vec(), 0.0.into())
}

/// A matrix product: all to all, or for every row the same.
fn linear(
    build: &mut Build,
    call: &Call,
    from: usize,
    dims: Vec<usize>,
    inner: usize,
    weights: Vec<f32>,
    bias: Numbers<f32>,
) -> Result<Value, Reason> {
    build.reserve(weights.len())?;
    let targets = weights.len() / inner.max(1);
    let rows = size(&dims)? / targets.max(1);
    let (links, weights) = if rows == 1 {
        (Links::All, weights)
    } else {
        let count = size(&[rows, inner, targets])?;
        build.reserve(2 * count + rows * inner)?;
        let ends = (0..=rows * inner).map(|i| (i * targets) as u32).collect();
        let mut list = Vec::with_capacity(count);
        (0..rows * inner).for_each(|i| list.extend((i / inner * targets) as u32..((i / inner + 1) * targets) as u32));
        (Links::Csr { ends, targets: list }, weights.repeat(rows))
    };
    build.push(call.output, dims, vec![from], Op::Linear { links, weights: weights.into(), bias })
}

fn normalise(build: &mut Build, call: &Call) -> Result<Value, Reason> {
    call.at_most(5)?;
    let a = &call.attributes;
    a.only("training_mode", 0)?;
    a.only("spatial", 1)?;
    a.ignore(&["momentum"]);
    let epsilon = f64::from(a.float("epsilon", 1e-5)?);
    let (from, dims) = call.node(0)?;
    let channels = *dims.get(1).ok_or("a value without channels")?;
    let of = |k: usize| match call.constant(k)? {
        c if c.dims == [channels] => c.floats(),
        c => Err(format!("input {k} has the shape {:?}, expected [{channels}]", c.dims)),
    };
    let (scale, bias, mean, variance) = (of(1)?, of(2)?, of(3)?, of(4)?);
    let factor = |c: usize| f64::from(scale[c]) / (f64::from(variance[c]) + epsilon).sqrt();
    let inner = strides(dims)[1];
    let count = size(dims)?;
    build.reserve(2 * count)?;
    let each = |f: &dyn Fn(usize) -> f64| numbers((0..count).map(|j| f(j / inner % channels) as f32).collect());
    let op = Op::Scale { factor: each(&factor), offset: each(&|c| f64::from(bias[c]) - f64::from(mean[c]) * factor(c)) };
    build.push(call.output, dims.to_vec(), vec![from], op)
}

/// Over one axis, or over all from one on before version 13; here it must be over the whole.
fn softmax(build: &mut Build, call: &Call, log: bool) -> Result<Value, Reason> {
    call.at_most(1)?;
    let (from, dims) = call.node(0)?;
    let axis = call.attributes.int("axis", if call.opset < 13 { 1 } else { -1 })?;
    let axis = layout::axis(axis, dims.len())?;
    let over = if call.opset < 13 { size(&dims[axis..])? } else { dims[axis] };
    if over != size(dims)? {
        return Err(format!("over axis {axis} of shape {dims:?}; only one over the whole value is read"));
    }
    build.push(call.output, dims.to_vec(), vec![from], Op::Softmax { log })
}

fn constant(call: &Call) -> Result<Value, Reason> {
    let a = &call.attributes;
    let constant = if let Some(tensor) = a.tensor("value")? {
        tensor
    } else if a.has("value_float") {
        Constant::of(vec![], Data::Floats(vec![a.float("value_float", 0.0)?]))
    } else if a.has("value_int") {
        Constant::of(vec![], Data::Whole(vec![a.int("value_int", 0)?]))
    } else if let Some(list) = a.floats("value_floats")? {
        Constant::of(vec![list.len()], Data::Floats(list.to_vec()))
    } else if let Some(list) = a.ints("value_ints")? {
        Constant::of(vec![list.len()], Data::Whole(list.to_vec()))
    } else {
        return Err("no attribute `value`, `value_float(s)` or `value_int(s)`".into());
    };
    Ok(Value::Constant(constant))
}

/// Nothing, but in training.
fn dropout(call: &Call) -> Result<Value, Reason> {
    call.at_most(3)?;
    call.attributes.ignore(&["ratio", "seed"]);
    match call.optional_constant(2)?.map(Constant::whole).transpose()? {
        None | Some([0]) => call.input(0).cloned(),
        Some(_) => Err("in training mode: export the model for inference".into()),
    }
}
