//! A network for measuring how errors add up over layers: nothing in it grows or shrinks.

use rand::RngExt;
use snn_core::Seed;
use snn_core::ann::{Activation, Ann, AnnError, Graph, Node, Op};
use snn_core::net::Links;

/// So much is added before a rectifier and taken away after it: of numbers from 0 to 1, 32 of them or so, nothing is below 0 then, and nothing is lost.
const SHIFT: f32 = 4.0;

/// A network of `layers` random rotations of `width` numbers, each followed by rectifiers that change nothing: what it loses when it is converted, every
/// layer has added to in the same way. Independent errors grow with the root of the depth. Layer `d` draws from `seed.nth(d)`.
///
/// # Errors
/// [`AnnError`] if `width` is 0.
pub fn rotations(layers: usize, width: usize, seed: Seed) -> Result<Ann, AnnError> {
    let mut nodes = vec![Node::new("in", width, [], Op::Input)];
    for d in 0..layers {
        let (last, weights) = (nodes.len() - 1, rotation(width, seed.nth(d as u64)).into());
        nodes.push(Node::new(&format!("w{d}"), width, [last], Op::Linear { links: Links::All, weights, bias: SHIFT.into() }));
        nodes.push(Node::new(&format!("f{d}"), width, [last + 1], Op::Activation(Activation::Relu)));
        nodes.push(Node::new(&format!("s{d}"), width, [last + 2], Op::Scale { factor: 1.0.into(), offset: (-SHIFT).into() }));
    }
    Ann::try_from(Graph { nodes })
}

/// A product of as many random reflections as there are numbers, row by row.
fn rotation(width: usize, seed: Seed) -> Vec<f32> {
    let mut rng = seed.rng();
    let mut q: Vec<f64> = (0..width * width).map(|k| f64::from(u8::from(k / width == k % width))).collect();
    for _ in 0..width {
        let v: Vec<f64> = (0..width).map(|_| rng.random_range(-1.0..1.0)).collect();
        let square: f64 = v.iter().map(|x| x * x).sum();
        for row in q.chunks_mut(width) {
            let along: f64 = row.iter().zip(&v).map(|(a, b)| a * b).sum();
            row.iter_mut().zip(&v).for_each(|(a, b)| *a -= 2.0 * along * b / square);
        }
    }
    q.into_iter().map(|x| x as f32).collect()
}

/// The root mean square of the differences, as a share of that of `exact`.
pub fn relative_error(ours: &[f32], exact: &[f32]) -> f64 {
    let square = |list: &mut dyn Iterator<Item = f32>| list.map(|x| f64::from(x).powi(2)).sum::<f64>();
    (square(&mut ours.iter().zip(exact).map(|(a, b)| a - b)) / square(&mut exact.iter().copied())).sqrt()
}
