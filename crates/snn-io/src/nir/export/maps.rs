//! Links as NIR nodes, and the shapes that they give to values.

use super::Reason;
use super::cells::all;
use crate::hdf5::{Array, Values};
use crate::nir::graph::{Fault, Kind, Primitive};
use snn_core::net::{Conv2d, Links, Projection, SumPool2d};
use snn_core::{Network, Value};
use std::collections::HashMap;

/// Largest matrix that listed links are written out as.
const MAX_MATRIX: usize = 1 << 26;

/// The shapes of images, by population.
pub(super) type Shapes = HashMap<String, Vec<usize>>;

/// The shapes of images, from the windows over them.
pub(super) fn shapes(net: &Network) -> Result<Shapes, Fault> {
    let mut shapes = Shapes::new();
    let projections = &net.draft().projections;
    for p in projections {
        let conv = match &p.links {
            Links::Conv2d(conv) => *conv,
            Links::SumPool2d(pool) => pool.depthwise(),
            _ => continue,
        };
        let before = vec![conv.channels_in, conv.height, conv.width];
        let after = vec![conv.channels_out, conv.output().0, conv.output().1];
        for (name, shape) in [(&p.from, before), (&p.to, after)] {
            match shapes.insert(name.clone(), shape.clone()) {
                Some(other) if other != shape => return Err(Fault::at(name, format!("an image of the shape {other:?}, and of {shape:?}"))),
                _ => {}
            }
        }
    }
    // One to one, both ends have the same.
    let equal: Vec<_> = projections.iter().filter(|p| one_to_one(net, p)).map(|p| (&p.from, &p.to)).collect();
    loop {
        let known = shapes.len();
        for (a, b) in equal.iter().flat_map(|&(a, b)| [(a, b), (b, a)]) {
            if let Some(shape) = shapes.get(a).cloned() {
                shapes.entry(b.clone()).or_insert(shape);
            }
        }
        if shapes.len() == known {
            return Ok(shapes);
        }
    }
}

pub(super) fn one_to_one(net: &Network, p: &Projection) -> bool {
    let (n, m) = (net.size(&p.from), net.size(&p.to));
    matches!(p.links, Links::Csr { .. }) && n == m && p.links.count(n, m) == n && p.links.triplets(n, m).all(|(i, j, _)| i == j)
}

/// Whether a constant current of the target can be the bias of a projection.
pub(super) fn takes_bias(net: &Network, p: &Projection, current: &Value) -> bool {
    match &p.links {
        Links::All => true,
        Links::Csr { .. } => !one_to_one(net, p),
        Links::Conv2d(conv) => (0..net.size(&p.to)).all(|j| current.at(j) == current.at(j / area(conv) * area(conv))),
        Links::SumPool2d(_) => false,
    }
}

/// Places of a channel behind a convolution.
fn area(conv: &Conv2d) -> usize {
    conv.output().0 * conv.output().1
}

/// The nodes of a projection's links and weights, one behind the other, with a bias if there is one; `from` and `to` are the shapes at its ends.
pub(super) fn nodes(net: &Network, p: &Projection, from: &[usize], to: &[usize], bias: Option<&Value>) -> Result<Vec<Primitive>, Reason> {
    match &p.links {
        Links::Conv2d(conv) => Ok(vec![convolution(conv, &p.weights, bias)]),
        Links::SumPool2d(pool) => pooling(pool, p.weights.at(0)).map(|pool| vec![pool]),
        Links::Csr { .. } if one_to_one(net, p) && all(&p.weights, 1.0) => Ok(Vec::new()),
        Links::Csr { .. } if one_to_one(net, p) => {
            Ok(vec![Primitive::new(Kind::Scale).floats("scale", from, p.weights.iter(net.size(&p.from)).collect())])
        }
        links => matrix(links, &p.weights, from, to, bias),
    }
}

fn pair((a, b): (usize, usize)) -> [i64; 2] {
    [a as i64, b as i64]
}

fn scalar(x: i64) -> Array {
    Array::new([], Values::I64(vec![x]))
}

fn convolution(conv: &Conv2d, weights: &Value<f32>, bias: Option<&Value>) -> Primitive {
    let bias = (0..conv.channels_out).map(|c| bias.map_or(0.0, |bias| bias.at(c * area(conv)))).collect();
    let shape = [conv.channels_out, conv.channels_in / conv.groups, conv.kernel.0, conv.kernel.1];
    Primitive::new(Kind::Conv2d)
        .floats("weight", shape, weights.iter(conv.weights()).collect())
        .param("bias", Array::new([conv.channels_out], Values::F64(bias)))
        .whole("stride", &pair(conv.stride))
        .whole("padding", &pair(conv.padding))
        .whole("dilation", &pair(conv.dilation))
        .param("groups", scalar(conv.groups as i64))
        .whole("input_shape", &pair((conv.height, conv.width)))
}

fn pooling(pool: &SumPool2d, weight: f32) -> Result<Primitive, Reason> {
    let kind = match weight {
        1.0 => Kind::SumPool2d,
        w if w == 1.0 / (pool.kernel.0 * pool.kernel.1) as f32 => Kind::AvgPool2d,
        w => return Err(format!("a pool with the weight {w}; NIR has sums and means")),
    };
    let node = Primitive::new(kind).whole("kernel_size", &pair(pool.kernel));
    Ok(node.whole("stride", &pair(pool.stride)).whole("padding", &pair(pool.padding)))
}

/// Any links as a matrix, behind a `Flatten` if they come from an image.
fn matrix(links: &Links, weights: &Value<f32>, from: &[usize], to: &[usize], bias: Option<&Value>) -> Result<Vec<Primitive>, Reason> {
    let &[m] = to else { return Err(format!("its target has the shape {to:?}, but NIR cannot make an image of a list")) };
    let n = from.iter().product::<usize>();
    if n.saturating_mul(m) > MAX_MATRIX {
        return Err(format!("as a matrix it has more than {MAX_MATRIX} weights"));
    }
    let mut numbers = vec![0.0; n * m];
    links.triplets(n, m).for_each(|(i, j, k)| numbers[j * n + i] = weights.at(k));
    let node = |kind| Primitive::new(kind).floats("weight", [m, n], numbers);
    let node = match bias {
        Some(bias) => node(Kind::Affine).param("bias", super::cells::floats(to, bias)),
        None => node(Kind::Linear),
    };
    if from.len() == 1 {
        return Ok(vec![node]);
    }
    let shape: Vec<i64> = from.iter().map(|&n| n as i64).collect();
    let flatten = Primitive::new(Kind::Flatten).param("start_dim", scalar(0)).param("end_dim", scalar(-1)).whole("input_type", &shape);
    Ok(vec![flatten, node])
}
