//! The dense run: every node's numbers for one input.

use rayon::prelude::*;
use snn_core::ann::{Activation, Ann, Node, Op};
use snn_core::net::{Axis, Conv2d, Links};
use snn_core::{Real, Value};

/// Inputs that are run one after the other by one thread, whatever the number of threads.
const CHUNK: usize = 16;
/// Taps of a convolution that are added in one pass over the output.
const TAPS: usize = 8;

/// An [`Ann`] made ready to run densely, in `f32` or `f64`: for calibration, and as the reference of everything converted from it.
///
/// Every node is computed for every input, in the order of the graph; the bits depend on the input only, not on threads. Weights are copied
/// once, into `F`. A run costs [`Ann::macs`] multiplications or fewer: all-to-all links leave out sources that are 0. A convolution gathers
/// the places that a weight looks at into one row, so that its inner loop runs over contiguous numbers whatever the stride.
///
/// ```
/// use snn_convert::Forward;
/// use snn_core::ann::{Activation, Ann, Graph, Node, Op};
/// use snn_core::net::Links;
/// let weights = Op::Linear { links: Links::All, weights: vec![1.0, -1.0, 0.5, 0.5].into(), bias: 0.25.into() };
/// let ann = Ann::try_from(Graph { nodes: vec![
///     Node::new("x", 2, [], Op::Input),
///     Node::new("h", 2, [0], weights),
///     Node::new("y", 2, [1], Op::Activation(Activation::Relu)),
/// ]})?;
/// let forward = Forward::<f64>::new(&ann);
/// let mut values = forward.values();
/// assert_eq!(forward.run(&[1.0, 2.0], &mut values)?, [2.25, 0.25]);
/// assert_eq!(values.of(1), [2.25, 0.25]);                                 // every node can be read afterwards
///
/// assert_eq!(forward.outputs(&[1.0, 2.0, 2.0, 0.0])?, [2.25, 0.25, 2.25, 0.0]);        // many inputs, on all threads
/// let largest = forward.fold(&[1.0, 2.0, 2.0, 0.0], || 0.0f64, |most, values| *most = values.of(1)[0].max(*most))?;
/// assert_eq!(largest, [2.25]);                                            // one sum for every sixteen inputs
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Forward<F> {
    ann: Ann,
    /// Of linear nodes.
    weights: Vec<Option<Value<F>>>,
}

/// The numbers of all nodes for one input; memory that runs use again.
#[derive(Clone, Debug)]
pub struct Values<F> {
    nodes: Vec<Vec<F>>,
    /// What the weights of a convolution look at.
    taps: Vec<F>,
}

impl<F> Values<F> {
    /// The numbers of node `k` of the network in the last run.
    ///
    /// # Panics
    /// If there is no node `k`.
    #[track_caller]
    pub fn of(&self, k: usize) -> &[F] {
        &self.nodes[k]
    }

    /// The network's output: the numbers of its last node.
    pub fn output(&self) -> &[F] {
        self.nodes.last().map_or(&[], |last| last)
    }
}

/// Numbers that are no inputs of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found} numbers given; the network takes {expected} for each input")]
pub struct InputError {
    /// How many an input has.
    pub expected: usize,
    /// How many were given.
    pub found: usize,
}

impl<F: Real> Forward<F> {
    /// Copies the weights of a network.
    pub fn new(ann: &Ann) -> Self {
        let copy = |value: &Value<f32>| match value {
            Value::Shared(w) => Value::Shared(F::of(f64::from(*w))),
            Value::Each(ws) => Value::Each(ws.iter().map(|&w| F::of(f64::from(w))).collect()),
        };
        let weights = ann.nodes().iter().map(|node| match &node.op {
            Op::Linear { weights, .. } => Some(copy(weights)),
            _ => None,
        });
        Forward { weights: weights.collect(), ann: ann.clone() }
    }

    /// The network.
    pub fn ann(&self) -> &Ann {
        &self.ann
    }

    /// Memory for runs: one number for each of all nodes, and for each place that the largest convolution looks at in one channel.
    pub fn values(&self) -> Values<F> {
        Values { nodes: self.ann.nodes().iter().map(|node| vec![F::of(0.0); node.size]).collect(), taps: Vec::new() }
    }

    /// Runs one input; all nodes can then be read from `values`, which must be those of this network. Gives the output.
    ///
    /// # Errors
    /// [`InputError`] if `input` has another length than the network's input.
    ///
    /// # Panics
    /// If `values` belong to another network.
    #[track_caller]
    pub fn run<'v>(&self, input: &[F], values: &'v mut Values<F>) -> Result<&'v [F], InputError> {
        if input.len() != self.ann.inputs() {
            return Err(InputError { expected: self.ann.inputs(), found: input.len() });
        }
        let own = values.nodes.len() == self.ann.nodes().len() && values.nodes.iter().zip(self.ann.nodes()).all(|(v, n)| v.len() == n.size);
        assert!(own, "these values belong to another network");
        for (k, node) in self.ann.nodes().iter().enumerate() {
            let (before, rest) = values.nodes.split_at_mut(k);
            match (&node.op, &self.weights[k]) {
                (Op::Input, _) => rest[0].copy_from_slice(input),
                (Op::Linear { links, bias, .. }, Some(weights)) => {
                    rest[0].iter_mut().zip(bias.iter(node.size)).for_each(|(y, b)| *y = F::of(f64::from(b)));
                    linear(links, weights, &before[node.from[0]], &mut rest[0], &mut values.taps);
                }
                _ => compute(node, before, &mut rest[0]),
            }
        }
        Ok(values.output())
    }

    /// Runs many inputs, one after the other in `inputs`, on all threads of the current pool; gives their outputs in the same order.
    ///
    /// # Errors
    /// [`InputError`] if `inputs` is no whole number of inputs.
    pub fn outputs(&self, inputs: &[F]) -> Result<Vec<F>, InputError> {
        Ok(self.fold(inputs, Vec::new, |outputs, values| outputs.extend_from_slice(values.output()))?.concat())
    }

    /// Runs many inputs, one after the other in `inputs`, on all threads of the current pool, and gathers something from all nodes: `add` is
    /// called with the values of one input after the other of a chunk of sixteen, beginning with `start()`. Gives what was gathered from each
    /// chunk, in order, so that adding it up depends on no thread.
    ///
    /// # Errors
    /// [`InputError`] if `inputs` is no whole number of inputs.
    pub fn fold<T: Send>(
        &self,
        inputs: &[F],
        start: impl Fn() -> T + Sync,
        add: impl Fn(&mut T, &Values<F>) + Sync,
    ) -> Result<Vec<T>, InputError> {
        let size = self.ann.inputs();
        if !inputs.len().is_multiple_of(size) {
            return Err(InputError { expected: size, found: inputs.len() });
        }
        let chunk = |values: &mut Values<F>, inputs: &[F]| {
            let mut sum = start();
            for input in inputs.chunks_exact(size) {
                self.run(input, values)?;
                add(&mut sum, values);
            }
            Ok(sum)
        };
        inputs.par_chunks(CHUNK * size).map_init(|| self.values(), chunk).collect()
    }
}

/// A node that has no weights.
fn compute<F: Real>(node: &Node, before: &[Vec<F>], y: &mut [F]) {
    let x = node.from.first().map_or(&[][..], |&k| &before[k]);
    let zero = F::of(0.0);
    match &node.op {
        Op::Input | Op::Linear { .. } => {}
        Op::Scale { factor, offset } => {
            let parameters = factor.iter(y.len()).zip(offset.iter(y.len()));
            y.iter_mut().zip(x).zip(parameters).for_each(|((y, &x), (a, b))| *y = F::of(f64::from(a)) * x + F::of(f64::from(b)));
        }
        Op::Activation(Activation::Relu) => y.iter_mut().zip(x).for_each(|(y, &x)| *y = x.max(zero)),
        Op::Activation(f) => y.iter_mut().zip(x).for_each(|(y, x)| *y = F::of(f.at(x.value()))),
        Op::Max { ends, sources } => {
            for (y, w) in y.iter_mut().zip(ends.windows(2)) {
                let list = &sources[w[0] as usize..w[1] as usize];
                *y = list[1..].iter().fold(x[list[0] as usize], |most, &i| most.max(x[i as usize]));
            }
        }
        Op::Gather { sources } => y.iter_mut().zip(sources).for_each(|(y, i)| *y = i.map_or(zero, |i| x[i as usize])),
        Op::Add => {
            y.copy_from_slice(x);
            node.from[1..].iter().for_each(|&k| y.iter_mut().zip(&before[k]).for_each(|(y, &x)| *y = *y + x));
        }
        Op::Concat => {
            let mut rest = y;
            for &k in &node.from {
                let (part, others) = rest.split_at_mut(before[k].len());
                part.copy_from_slice(&before[k]);
                rest = others;
            }
        }
        Op::Softmax { log } => {
            // Relative to the largest, so that nothing overflows.
            let most = x.iter().map(|x| x.value()).fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = x.iter().map(|x| (x.value() - most).exp()).sum();
            let at = |x: f64| if *log { x - most - sum.ln() } else { (x - most).exp() / sum };
            y.iter_mut().zip(x).for_each(|(y, x)| *y = F::of(at(x.value())));
        }
    }
}

/// `y += Wᵀx`.
fn linear<F: Real>(links: &Links, weights: &Value<F>, x: &[F], y: &mut [F], taps: &mut Vec<F>) {
    let zero = F::of(0.0);
    match (links, weights) {
        (Links::All, Value::Shared(w)) => {
            let sum = x.iter().fold(zero, |sum, &x| sum + x) * *w;
            y.iter_mut().for_each(|y| *y = *y + sum);
        }
        (Links::All, Value::Each(ws)) => {
            for (&x, row) in x.iter().zip(ws.chunks_exact(y.len())).filter(|(x, _)| **x != zero) {
                y.iter_mut().zip(row).for_each(|(y, &w)| *y = *y + w * x);
            }
        }
        (Links::Csr { ends, targets }, _) => {
            for (&x, w) in x.iter().zip(ends.windows(2)).filter(|(x, _)| **x != zero) {
                (w[0] as usize..w[1] as usize).for_each(|k| y[targets[k] as usize] = y[targets[k] as usize] + weights.at(k) * x);
            }
        }
        (Links::Conv2d(conv), _) => convolve(conv, |k| weights.at(k), x, y, taps),
        (Links::SumPool2d(pool), _) => convolve(&pool.depthwise(), |_| weights.at(0), x, y, taps),
    }
}

/// `y` plus the convolution of `x`.
fn convolve<F: Real>(conv: &Conv2d, weight: impl Fn(usize) -> F, x: &[F], y: &mut [F], taps: &mut Vec<F>) {
    let (height, width) = conv.output();
    let (image, plane, kernel) = (conv.height * conv.width, height * width, conv.kernel.0 * conv.kernel.1);
    let (per_in, per_out) = (conv.channels_in / conv.groups, conv.channels_out / conv.groups);
    taps.resize(kernel * plane, F::of(0.0));
    for (channel, x) in x.chunks_exact(image).enumerate() {
        for (tap, places) in taps.chunks_exact_mut(plane).enumerate() {
            gather(conv, (tap / conv.kernel.1, tap % conv.kernel.1), x, places);
        }
        let (group, c) = (channel / per_in, channel % per_in);
        let outputs = y[group * per_out * plane..(group + 1) * per_out * plane].chunks_exact_mut(plane);
        for (o, y) in outputs.enumerate() {
            let first = ((group * per_out + o) * per_in + c) * kernel;
            for (block, places) in taps.chunks(TAPS * plane).enumerate() {
                let w = |k: usize| weight(first + block * TAPS + k);
                match places.len() / plane {
                    8 => add::<F, 8>(y, std::array::from_fn(w), places),
                    7 => add::<F, 7>(y, std::array::from_fn(w), places),
                    6 => add::<F, 6>(y, std::array::from_fn(w), places),
                    5 => add::<F, 5>(y, std::array::from_fn(w), places),
                    4 => add::<F, 4>(y, std::array::from_fn(w), places),
                    3 => add::<F, 3>(y, std::array::from_fn(w), places),
                    2 => add::<F, 2>(y, std::array::from_fn(w), places),
                    _ => add::<F, 1>(y, std::array::from_fn(w), places),
                }
            }
        }
    }
}

/// `y += Σₖ w[k]·places[k]`.
#[inline(always)]
fn add<F: Real, const N: usize>(y: &mut [F], w: [F; N], places: &[F]) {
    let n = y.len();
    let places: [&[F]; N] = std::array::from_fn(|k| &places[k * n..(k + 1) * n]);
    for j in 0..n {
        let mut sum = y[j];
        for k in 0..N {
            sum = sum + w[k] * places[k][j];
        }
        y[j] = sum;
    }
}

/// What one weight of the kernel looks at from every window, 0 outside the image.
fn gather<F: Real>(conv: &Conv2d, (row, column): (usize, usize), x: &[F], places: &mut [F]) {
    let (rows, columns) = (conv.rows(), conv.columns());
    let (start, end) = inside(columns, column);
    for (oy, places) in places.chunks_exact_mut(columns.windows()).enumerate() {
        places.fill(F::of(0.0));
        let Some(y) = (oy * rows.stride + row * rows.dilation).checked_sub(rows.padding).filter(|&y| y < rows.size) else { continue };
        if start < end {
            let line = &x[y * columns.size..(y + 1) * columns.size];
            let first = start * columns.stride + column * columns.dilation - columns.padding;
            if columns.stride == 1 {
                places[start..end].copy_from_slice(&line[first..first + end - start]);
            } else {
                places[start..end].iter_mut().zip(line[first..].iter().step_by(columns.stride)).for_each(|(place, &x)| *place = x);
            }
        }
    }
}

/// The windows in which weight `k` lies inside the image.
fn inside(axis: Axis, k: usize) -> (usize, usize) {
    let place = k * axis.dilation;
    let start = axis.padding.saturating_sub(place).div_ceil(axis.stride);
    let end = (axis.size + axis.padding).saturating_sub(place).div_ceil(axis.stride);
    (start, end.min(axis.windows()))
}
