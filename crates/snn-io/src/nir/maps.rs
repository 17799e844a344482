//! Nodes without memory: which links, weights, delays and biases they are.

use super::graph::{Kind, Primitive};
use snn_core::Value;
use snn_core::net::{Conv2d, Links, SumPool2d};

/// What is wrong, said by those who do not know where.
type Reason = String;

/// Weighted links from the values before a node to its own.
pub(super) struct Map {
    pub links: Links,
    pub weights: Value<f32>,
    /// In seconds.
    pub delay: Value,
    /// What is added to each value, if anything is.
    pub bias: Option<Value>,
}

impl Map {
    fn new(links: Links, weights: impl Into<Value<f32>>) -> Self {
        Map { links, weights: weights.into(), delay: 0.0.into(), bias: None }
    }

    /// What comes in goes out.
    pub fn identity(size: usize) -> Self {
        Map::new(one_to_one(size), 1.0)
    }
}

/// Source `i` to target `i`.
pub(super) fn one_to_one(size: usize) -> Links {
    Links::Csr { ends: (0..=size as u32).collect(), targets: (0..size as u32).collect() }
}

/// The shape of a node's values, where its parameters say it.
pub(super) fn own_shape(p: &Primitive) -> Result<Option<Vec<usize>>, Reason> {
    let like = |name: &str| Ok(Some(p.params[name].shape().to_vec()));
    match p.kind {
        Kind::Input | Kind::Output => wholes(p, "shape").map(Some),
        Kind::Affine | Kind::Linear => Ok(Some(vec![matrix(p)?.0])),
        Kind::Scale => like("scale"),
        Kind::Delay => like("delay"),
        Kind::Threshold => like("threshold"),
        Kind::I | Kind::IF | Kind::LI | Kind::LIF | Kind::CubaLI | Kind::CubaLIF => like("r"),
        Kind::Conv1d | Kind::Conv2d if p.params.contains_key("input_shape") => shape_after(Some(p), &[]).map(Some),
        Kind::Conv1d | Kind::Conv2d | Kind::SumPool2d | Kind::AvgPool2d | Kind::Flatten => Ok(None),
    }
}

/// The shape of a node's values behind values of the shape `input`; nodes that know their own aside.
pub(super) fn shape_after(p: Option<&Primitive>, input: &[usize]) -> Result<Vec<usize>, Reason> {
    let Some(p) = p else { return Ok(input.to_vec()) };
    match p.kind {
        Kind::Conv1d => conv(p, input).map(|conv| vec![conv.channels_out, conv.output().1]),
        Kind::Conv2d => conv(p, input).map(|conv| vec![conv.channels_out, conv.output().0, conv.output().1]),
        Kind::SumPool2d | Kind::AvgPool2d => pool(p, input).map(|pool| vec![pool.channels, pool.output().0, pool.output().1]),
        Kind::Flatten => flatten(p, input),
        _ => Ok(input.to_vec()),
    }
}

/// What a node does to values of the shape `input`.
pub(super) fn map(p: &Primitive, input: &[usize]) -> Result<Map, Reason> {
    match p.kind {
        Kind::Affine | Kind::Linear => {
            let (out, inputs, weight) = matrix(p)?;
            // A file has them target by target.
            let weights: Vec<f32> = (0..inputs).flat_map(|i| (0..out).map(move |j| (i, j))).map(|(i, j)| weight[j * inputs + i]).collect();
            biased(p, Map::new(Links::All, weights), out, 1)
        }
        Kind::Scale => Ok(Map::new(one_to_one(p.params["scale"].values().len()), floats(p, "scale")?)),
        Kind::Delay => {
            let delay = doubles(p, "delay")?;
            Ok(Map { delay: shared(delay.clone()), ..Map::identity(delay.len()) })
        }
        Kind::Conv1d | Kind::Conv2d => {
            let conv = conv(p, input)?;
            let (height, width) = conv.output();
            biased(p, Map::new(Links::Conv2d(conv), floats(p, "weight")?), conv.channels_out, height * width)
        }
        Kind::SumPool2d => Ok(Map::new(Links::SumPool2d(pool(p, input)?), 1.0)),
        Kind::AvgPool2d => {
            let pool = pool(p, input)?;
            Ok(Map::new(Links::SumPool2d(pool), 1.0 / (pool.kernel.0 * pool.kernel.1) as f32))
        }
        _ => Ok(Map::identity(input.iter().product())),
    }
}

/// With the node's bias, `each` times for every one of `channels`.
fn biased(p: &Primitive, map: Map, channels: usize, each: usize) -> Result<Map, Reason> {
    let Some(bias) = p.params.get("bias").and_then(|array| array.numbers()) else { return Ok(map) };
    match bias.len() {
        n if n != channels => Err(format!("{n} biases for {channels} channels")),
        _ if bias.iter().all(|&b| b == 0.0) => Ok(map),
        _ => Ok(Map { bias: Some(shared(bias.iter().flat_map(|&b| std::iter::repeat_n(b, each)).collect())), ..map }),
    }
}

/// One number if they are all the same.
pub(super) fn shared(xs: Vec<f64>) -> Value {
    match xs.first() {
        Some(&first) if xs.iter().all(|x| x.to_bits() == first.to_bits()) => first.into(),
        _ => xs.into(),
    }
}

/// Rows, columns and numbers of a weight, row by row.
fn matrix(p: &Primitive) -> Result<(usize, usize, Vec<f32>), Reason> {
    match *p.params["weight"].shape() {
        [out, inputs] => Ok((out, inputs, floats(p, "weight")?)),
        ref shape => Err(format!("a weight of the shape {shape:?}; only matrices [out, in] are read")),
    }
}

/// The images before a pool, its windows.
fn pool(p: &Primitive, input: &[usize]) -> Result<SumPool2d, Reason> {
    let &[channels, height, width] = input else {
        return Err(format!("values of the shape {input:?} before it; expected [channels, height, width]"));
    };
    let (kernel, stride, padding) = (pair(p, "kernel_size")?, pair(p, "stride")?, pair(p, "padding")?);
    let pool = SumPool2d::new(channels, height, width, kernel).stride(stride).padding(padding);
    if pool.targets() == 0 { Err(format!("no window of {kernel:?} fits into values of the shape {input:?}")) } else { Ok(pool) }
}

/// A convolution behind values of the shape `input`, if it does not say itself. One over a line is one over an image of height 1.
fn conv(p: &Primitive, input: &[usize]) -> Result<Conv2d, Reason> {
    let line = p.kind == Kind::Conv1d;
    let &[out, per_group, ref kernel @ ..] = p.params["weight"].shape() else { return Err("a weight without channels".into()) };
    let groups = wholes(p, "groups")?.first().copied().unwrap_or(0);
    let spatial = match p.params.get("input_shape") {
        Some(_) => wholes(p, "input_shape")?,
        None => input.get(1..).unwrap_or_default().to_vec(),
    };
    let (kernel, (height, width)) = match (line, kernel, &spatial[..]) {
        (true, &[k], &[width]) => ((1, k), (1, width)),
        (false, &[h, w], &[height, width]) => ((h, w), (height, width)),
        _ => return Err(format!("a weight of the shape {:?} over an input of the shape {spatial:?}", p.params["weight"].shape())),
    };
    let across = |name: &str, other: usize| if line { pair(p, name).map(|(_, x)| (other, x)) } else { pair(p, name) };
    let (stride, dilation) = (across("stride", 1)?, across("dilation", 1)?);
    let reach = (dilation.0.saturating_mul(kernel.0.saturating_sub(1)), dilation.1.saturating_mul(kernel.1.saturating_sub(1)));
    let padding = match p.params["padding"].as_text() {
        None => across("padding", 0)?,
        Some("valid") => (0, 0),
        Some("same") if stride == (1, 1) && reach.0 % 2 == 0 && reach.1 % 2 == 0 => (reach.0 / 2, reach.1 / 2),
        Some("same") => return Err("padding `same` with a stride, or more on one side than on the other, is not read".into()),
        Some(word) => return Err(format!("padding `{word}`; expected numbers, `same` or `valid`")),
    };
    let conv = Conv2d::new(per_group.saturating_mul(groups), height, width, out, kernel);
    let conv = conv.stride(stride).padding(padding).dilation(dilation).groups(groups);
    if groups == 0 || conv.targets() == 0 {
        return Err(format!("{groups} groups, and no window of {kernel:?} fits into an input of the shape {spatial:?}"));
    }
    Ok(conv)
}

/// As PyTorch does: dimensions from the end count backwards.
fn flatten(p: &Primitive, input: &[usize]) -> Result<Vec<usize>, Reason> {
    let of = |name: &str| {
        let at = p.params[name].whole().and_then(|list| list.first()).copied().unwrap_or(0);
        let at = if at < 0 { at.saturating_add(input.len() as i64) } else { at };
        usize::try_from(at).ok().filter(|&at| at < input.len()).ok_or_else(|| format!("`{name}` is no dimension of the shape {input:?}"))
    };
    // One dimension stays one: `start_dim` then often counts a batch.
    if input.len() < 2 {
        return Ok(input.to_vec());
    }
    let (start, end) = (of("start_dim")?, of("end_dim")?);
    if start > end {
        return Err(format!("flattens from dimension {start} to {end}"));
    }
    Ok([&input[..start], &[input[start..=end].iter().product()], &input[end + 1..]].concat())
}

/// A parameter of counts.
fn wholes(p: &Primitive, name: &str) -> Result<Vec<usize>, Reason> {
    let list = p.params[name].whole().ok_or_else(|| format!("`{name}`: expected whole numbers"))?;
    let count = |&x: &i64| usize::try_from(x).map_err(|_| format!("`{name}` = {x}: must be 0 or more"));
    list.iter().map(count).collect()
}

/// One number for both dimensions, or two.
fn pair(p: &Primitive, name: &str) -> Result<(usize, usize), Reason> {
    match wholes(p, name)?[..] {
        [both] => Ok((both, both)),
        [a, b] => Ok((a, b)),
        _ => Err(format!("`{name}`: expected one or two numbers")),
    }
}

/// A parameter of floats.
pub(super) fn doubles(p: &Primitive, name: &str) -> Result<Vec<f64>, Reason> {
    p.params[name].numbers().ok_or_else(|| format!("`{name}`: expected numbers"))
}

fn floats(p: &Primitive, name: &str) -> Result<Vec<f32>, Reason> {
    Ok(doubles(p, name)?.into_iter().map(|x| x as f32).collect())
}
