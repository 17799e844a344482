//! What follows a `Linear` and is affine becomes part of it; what nobody hears goes.

use super::operators::numbers;
use snn_core::ann::{Node, Op};
use snn_core::{Value, net::Links};

/// The nodes that the last one needs, scales folded into the linear nodes before them.
pub(super) fn run(nodes: Vec<Node>) -> Vec<Node> {
    let mut nodes = heard(nodes);
    let mut hearers = vec![0; nodes.len()];
    nodes.iter().flat_map(|node| &node.from).for_each(|&k| hearers[k] += 1);
    for k in 0..nodes.len() {
        let (before, rest) = nodes.split_at_mut(k);
        let (Op::Scale { factor, offset }, &[from]) = (&rest[0].op, &rest[0].from[..]) else { continue };
        let linear = &mut before[from];
        let Op::Linear { links, weights, bias } = &mut linear.op else { continue };
        if hearers[from] != 1 || !scale(links, weights, linear.size, factor) {
            continue;
        }
        let affine = |j: usize| (f64::from(factor.at(j)) * f64::from(bias.at(j)) + f64::from(offset.at(j))) as f32;
        let one = [&*bias, factor, offset].iter().all(|value| matches!(value, Value::Shared(_)));
        *bias = numbers((0..if one { 1 } else { linear.size }).map(affine).collect());
        // The linear node stays behind unheard, as a scale that is never used.
        std::mem::swap(&mut linear.op, &mut rest[0].op);
        rest[0].from.clone_from(&linear.from);
    }
    heard(nodes)
}

/// Multiplies the weights to each target by its factor, if weights are not shared by targets of different factors.
fn scale(links: &Links, weights: &mut Value<f32>, targets: usize, factor: &Value<f32>) -> bool {
    match (links, weights, factor) {
        (_, Value::Shared(w), Value::Shared(a)) => *w *= a,
        (_, Value::Each(ws), Value::Shared(a)) => ws.iter_mut().for_each(|w| *w *= a),
        (Links::All, Value::Each(ws), Value::Each(a)) => {
            ws.chunks_exact_mut(targets).for_each(|row| row.iter_mut().zip(a).for_each(|(w, a)| *w *= a));
        }
        (Links::Csr { targets, .. }, Value::Each(ws), Value::Each(a)) => ws.iter_mut().zip(targets).for_each(|(w, &j)| *w *= a[j as usize]),
        (Links::Conv2d(conv), Value::Each(ws), Value::Each(a)) => {
            let (plane, kernel) = (targets / conv.channels_out, conv.weights() / conv.channels_out);
            if !a.chunks_exact(plane).all(|plane| plane.iter().all(|a| a.to_bits() == plane[0].to_bits())) {
                return false;
            }
            ws.chunks_exact_mut(kernel).zip(a.chunks_exact(plane)).for_each(|(ws, a)| ws.iter_mut().for_each(|w| *w *= a[0]));
        }
        _ => return false,
    }
    true
}

/// The nodes that the last one needs, and the input.
fn heard(nodes: Vec<Node>) -> Vec<Node> {
    let mut needed = vec![false; nodes.len()];
    needed[0] = true;
    needed[nodes.len() - 1] = true;
    for k in (0..nodes.len()).rev() {
        if needed[k] {
            nodes[k].from.iter().for_each(|&from| needed[from] = true);
        }
    }
    let mut places = vec![0; nodes.len()];
    (1..nodes.len()).for_each(|k| places[k] = places[k - 1] + usize::from(needed[k - 1]));
    let kept = nodes.into_iter().zip(&needed).filter(|(_, needed)| **needed);
    kept.map(|(node, _)| Node { from: node.from.iter().map(|&k| places[k]).collect(), ..node }).collect()
}
