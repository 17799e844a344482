//! Convolutions as a graph that conversion starts from.

use snn_core::Value;
use snn_core::ann::{Activation, Ann, AnnError, Graph, Node, Op};
use snn_core::net::{Conv2d, Links};

use super::net::{Net, NetError};

/// Why there is no graph.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The weights cannot be had.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The graph is refused.
    #[error("the exported graph is refused: {0}")]
    Graph(#[from] AnnError),
}

/// The convolutional part of a network, from the picture `[bands × frames]` to the maps that its tail hears ([`Net::maps`]): what can become spikes while the
/// recurrent layers are replaced by a spiking network.
///
/// Batch norms are folded: that of the bands is a scale (it comes before zeros are added), those of the blocks are in weights and biases. Then per block a
/// convolution, ELU, and a maximum over windows.
///
/// # Errors
/// [`ExportError::Graph`] if a weight is not finite.
pub fn front(net: &Net) -> Result<Ann, ExportError> {
    let plan = net.plan();
    let shapes = plan.shapes().map_err(NetError::from)?;
    let mut nodes = vec![Node::new("picture", plan.bands * plan.frames, [], Op::Input)];
    let (factor, offset) = net.bands().map_err(NetError::from)?;
    let per_pixel = |x: Vec<f32>| Value::Each(x.into_iter().flat_map(|x| std::iter::repeat_n(x, plan.frames)).collect());
    push(&mut nodes, "normalised".into(), plan.bands * plan.frames, Op::Scale { factor: per_pixel(factor), offset: per_pixel(offset) });
    let (mut maps, mut height, mut width) = (1, plan.bands, plan.frames);
    if plan.pad > 0 {
        pad(&mut nodes, "padded".into(), (maps, height, width), [(0, 0), (plan.pad, plan.pad)]);
        width += 2 * plan.pad;
    }
    for (k, (block, &shape)) in plan.blocks.iter().zip(&shapes).enumerate() {
        let [(top, bottom), (left, right)] = block.zeros();
        let padding = if top == bottom && left == right {
            (top, left)
        } else {
            pad(&mut nodes, format!("block{k}_padded"), (maps, height, width), block.zeros());
            (height, width) = (height + top + bottom, width + left + right);
            (0, 0)
        };
        let conv = Conv2d::new(maps, height, width, block.maps, block.kernel).padding(padding);
        let [weight, bias, gain, offset, mean, scale] = net.block(k).map_err(NetError::from)?;
        let factor: Vec<f32> = gain.iter().zip(&scale).map(|(g, s)| g * s).collect();
        let each = weight.len() / block.maps;
        let weights: Vec<f32> = weight.iter().enumerate().map(|(i, w)| w * factor[i / each]).collect();
        let bias: Vec<f32> = (0..block.maps).map(|m| (bias[m] - mean[m]) * factor[m] + offset[m]).collect();
        (height, width) = conv.output();
        let per_place = bias.into_iter().flat_map(|b| std::iter::repeat_n(b, height * width)).collect();
        let op = Op::Linear { links: Links::Conv2d(conv), weights: Value::Each(weights), bias: Value::Each(per_place) };
        push(&mut nodes, format!("block{k}"), conv.targets(), op);
        push(&mut nodes, format!("block{k}_elu"), conv.targets(), Op::Activation(Activation::Elu { alpha: 1.0 }));
        let (size, op) = pool((block.maps, height, width), block.pool);
        push(&mut nodes, format!("block{k}_pool"), size, op);
        (maps, height, width) = shape;
    }
    Ok(Ann::try_from(Graph { nodes })?)
}

/// Adds a node that hears the one before it.
fn push(nodes: &mut Vec<Node>, name: String, size: usize, op: Op) {
    let before = nodes.len() - 1;
    nodes.push(Node::new(&name, size, [before], op));
}

/// Zeros before and after rows and columns.
fn pad(nodes: &mut Vec<Node>, name: String, (maps, height, width): (usize, usize, usize), zeros: [(usize, usize); 2]) {
    let [(top, bottom), (left, right)] = zeros;
    let mut sources = Vec::new();
    for c in 0..maps {
        for y in 0..height + top + bottom {
            for x in 0..width + left + right {
                let inside = (top..top + height).contains(&y) && (left..left + width).contains(&x);
                sources.push(inside.then(|| ((c * height + y - top) * width + x - left) as u32));
            }
        }
    }
    push(nodes, name, sources.len(), Op::Gather { sources });
}

/// The maximum over windows side by side, and its size.
fn pool((maps, height, width): (usize, usize, usize), (ph, pw): (usize, usize)) -> (usize, Op) {
    let (mut ends, mut sources) = (vec![0], Vec::new());
    for c in 0..maps {
        for y in 0..height / ph {
            for x in 0..width / pw {
                for row in y * ph..(y + 1) * ph {
                    sources.extend((x * pw..(x + 1) * pw).map(|column| ((c * height + row) * width + column) as u32));
                }
                ends.push(sources.len() as u32);
            }
        }
    }
    (ends.len() - 1, Op::Max { ends, sources })
}

#[cfg(test)]
mod tests {
    use super::super::net::Dropout;
    use super::super::plan::{Kind, Picture, Plan};
    use super::*;
    use rand::RngExt;
    use snn_core::Seed;

    /// The nodes one after the other, every link by itself.
    fn run(ann: &Ann, picture: &[f32]) -> Vec<f64> {
        let mut values: Vec<Vec<f64>> = Vec::new();
        for node in ann.nodes() {
            let x = |k: usize| &values[node.from[k]];
            let at = |value: &Value<f32>, k: usize| f64::from(value.given()[k.min(value.given().len() - 1)]);
            let y = match &node.op {
                Op::Input => picture.iter().map(|x| f64::from(*x)).collect(),
                Op::Scale { factor, offset } => x(0).iter().enumerate().map(|(k, x)| at(factor, k) * x + at(offset, k)).collect(),
                Op::Activation(f) => x(0).iter().map(|x| f.at(*x)).collect(),
                Op::Gather { sources } => sources.iter().map(|s| s.map_or(0.0, |s| x(0)[s as usize])).collect(),
                Op::Max { ends, sources } => {
                    let window =
                        |w: &[u32]| sources[w[0] as usize..w[1] as usize].iter().map(|&s| x(0)[s as usize]).fold(f64::MIN, f64::max);
                    ends.windows(2).map(window).collect()
                }
                Op::Linear { links, weights, bias } => {
                    let mut y: Vec<f64> = (0..node.size).map(|k| at(bias, k)).collect();
                    links.triplets(x(0).len(), node.size).for_each(|(i, j, w)| y[j] += at(weights, w) * x(0)[i]);
                    y
                }
                other => panic!("no {other:?} in these networks"),
            };
            assert_eq!(y.len(), node.size, "{}", node.name);
            values.push(y);
        }
        values.pop().unwrap()
    }

    #[test]
    fn the_graph_gives_the_maps_of_the_network() {
        // The paper's picture is padded for the CRNN; here a small one is.
        let picture = Picture { pad: 3, frames: 58, ..Picture::WORDS };
        for kind in Kind::ALL {
            let plan = Plan::near(kind, if kind == Kind::Crnn { &picture } else { &Picture::WORDS }, 3, 1_500);
            let mut net = Net::new(&plan, Seed::new(4)).unwrap();
            let mut rng = Seed::new(5).rng();
            let pixels = plan.bands * plan.frames;
            let pictures: Vec<f32> = (0..4 * pixels).map(|_| rng.random_range(-60f32..0.0)).collect();
            // Moments and gains other than those at the start.
            let (_, moments) = net.learn(&pictures, Dropout { blocks: 0.0, last: 0.0 }, Seed::new(1)).unwrap();
            net.follow(&moments, 0.9);
            let mut weights = net.weights().unwrap();
            for ((name, _), values) in net.parameters().iter().zip(&mut weights.values) {
                if name.ends_with("_gain") || name.ends_with("_offset") || name.ends_with("_bias") {
                    values.iter_mut().for_each(|x| *x += rng.random_range(-0.5f32..0.5));
                }
            }
            net.set_weights(&weights).unwrap();
            let ann = front(&net).unwrap();
            let maps = net.maps(&pictures).unwrap();
            assert_eq!((ann.inputs(), ann.outputs()), (pixels, maps.len() / 4));
            for (picture, expected) in pictures.chunks(pixels).zip(maps.chunks(ann.outputs())) {
                for (a, b) in run(&ann, picture).iter().zip(expected) {
                    assert!((a - f64::from(*b)).abs() < 1e-4 * (1.0 + a.abs()), "{kind:?}: {a} {b}");
                }
            }
            let text = serde_json::to_string(&ann).unwrap();
            assert_eq!(serde_json::from_str::<Ann>(&text).unwrap(), ann);
        }
    }
}
