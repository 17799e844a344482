//! Networks in ONNX files that the tests write themselves, operator by operator, against formulas; and every refusal.

use crate::onnx_file::{Attribute, Model, bytes, file, floats, info, tensor, whole, wholes};
use Attribute::{Float, Floats, Int, Ints, Tensor, Text};
use proptest::prelude::*;
use snn_core::ann::{Activation, Ann, Op};
use snn_core::net::Links;
use snn_io::{IoError, onnx};

fn read(bytes: &[u8]) -> Result<Ann, IoError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    std::fs::write(&path, bytes).unwrap();
    let result = onnx::read(&path);
    if let Err(error) = &result {
        assert!(error.to_string().starts_with(path.to_str().unwrap()), "{error}");
    }
    result
}

fn run(ann: &Ann, input: &[f64]) -> Vec<f64> {
    ann.run(input).pop().unwrap()
}

/// Numbers that are exact in f32 and add up exactly.
fn some(count: usize, salt: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 37 + salt * 11) % 17) as f32 / 4.0 - 2.0).collect()
}

fn some_input(ann: &Ann) -> Vec<f64> {
    some(ann.inputs(), 5).into_iter().map(f64::from).collect()
}

/// The names of all nodes but the input.
fn names(ann: &Ann) -> Vec<&str> {
    ann.nodes()[1..].iter().map(|node| &node.name[..]).collect()
}

#[track_caller]
fn gives(model: &Model, output: &str, expected: &[f64]) -> Ann {
    let ann = read(&model.file(output)).unwrap();
    let found = run(&ann, &some_input(&ann));
    let close = found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6 * (1.0 + b.abs()));
    assert!(close, "{found:?} instead of {expected:?}");
    ann
}

/// The input that `gives` uses.
fn x(count: usize) -> Vec<f64> {
    some(count, 5).into_iter().map(f64::from).collect()
}

fn map(xs: &[f64], f: impl Fn(usize, f64) -> f64) -> Vec<f64> {
    xs.iter().enumerate().map(|(j, &x)| f(j, x)).collect()
}

#[test]
fn matrix_products() {
    let w = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let times = |m: &[[f64; 3]; 2]| (0..3).map(|j| (0..2).map(|i| x(2)[i] * m[i][j]).sum::<f64>()).collect::<Vec<_>>();
    let plain = times(&[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    let transposed = times(&[[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]]);
    let base = Model::new(13, &[-1, 2]).weights("w", &[2, 3], &w).weights("v", &[3, 2], &w).weights("b", &[3], &[1.0, -1.0, 0.5]);
    gives(&base.clone().node("MatMul", &["x", "w"], "y", &[]), "y", &plain);
    gives(&base.clone().node("Gemm", &["x", "w"], "y", &[]), "y", &plain);
    gives(&base.clone().node("Gemm", &["x", "v"], "y", &[("transB", Int(1)), ("transA", Int(0))]), "y", &transposed);
    let scaled = map(&plain, |j, y| 0.5 * y + 2.0 * [1.0, -1.0, 0.5][j]);
    let ann = gives(&base.clone().node("Gemm", &["x", "w", "b"], "y", &[("alpha", Float(0.5)), ("beta", Float(2.0))]), "y", &scaled);
    assert!(matches!(ann.nodes()[1].op, Op::Linear { links: Links::All, .. }));
    // A bias that is added afterwards, from either side, is the bias of the product.
    for inputs in [["m", "b"], ["b", "m"]] {
        let ann = gives(
            &base.clone().node("MatMul", &["x", "w"], "m", &[]).node("Add", &inputs, "y", &[]),
            "y",
            &map(&plain, |j, y| y + [1.0, -1.0, 0.5][j]),
        );
        assert_eq!(names(&ann), ["y"]);
    }
    // Several rows hear the same weights.
    let rows = Model::new(13, &[1, 3, 2]).weights("w", &[2, 2], &[1.0, 2.0, 3.0, 4.0]).node("MatMul", &["x", "w"], "y", &[]);
    let expected: Vec<f64> = x(6).chunks(2).flat_map(|r| [r[0] + 3.0 * r[1], 2.0 * r[0] + 4.0 * r[1]]).collect();
    gives(&rows, "y", &expected);
    let vector = Model::new(13, &[1, 3]).weights("w", &[3], &[1.0, 2.0, 3.0]).node("MatMul", &["x", "w"], "y", &[]);
    gives(&vector, "y", &[x(3)[0] + 2.0 * x(3)[1] + 3.0 * x(3)[2]]);
}

#[test]
fn arithmetic_with_constants() {
    let base = Model::new(9, &[1, 2, 3]).weights("s", &[], &[4.0]).weights("c", &[2, 1], &[2.0, -4.0]).weights("r", &[3], &[1.0, 2.0, 4.0]);
    let c = |j: usize| [2.0, -4.0][j / 3];
    let r = |j: usize| [1.0, 2.0, 4.0][j % 3];
    let case = |op: &str, inputs: [&str; 2], f: &dyn Fn(usize, f64) -> f64| {
        gives(&base.clone().node(op, &inputs, "y", &[]), "y", &map(&x(6), f));
    };
    case("Add", ["x", "s"], &|_, x| x + 4.0);
    case("Add", ["c", "x"], &|j, x| x + c(j));
    case("Sub", ["x", "r"], &|j, x| x - r(j));
    case("Sub", ["r", "x"], &|j, x| r(j) - x);
    case("Mul", ["x", "c"], &|j, x| x * c(j));
    case("Mul", ["s", "x"], &|_, x| x * 4.0);
    case("Div", ["x", "r"], &|j, x| x / r(j));
    // Constants among themselves, and from nodes of their own.
    let folded = base
        .node("Constant", &[], "k", &[("value", Tensor(floats("", &[1], &[0.5])))])
        .node("Constant", &[], "l", &[("value_floats", Floats(vec![8.0, 4.0, 2.0]))])
        .node("Constant", &[], "m", &[("value_float", Float(-1.0))])
        .node("Mul", &["c", "k"], "ck", &[])
        .node("Div", &["ck", "l"], "d", &[])
        .node("Sub", &["d", "m"], "e", &[])
        .node("Add", &["x", "e"], "y", &[]);
    gives(&folded, "y", &map(&x(6), |j, x| x + c(j) * 0.5 / [8.0, 4.0, 2.0][j % 3] + 1.0));
}

#[test]
fn normalisation_is_folded_where_nothing_else_hears() {
    let base = Model::new(15, &[1, 2, 2, 2])
        .weights("w", &[3, 2, 2, 2], &some(24, 1))
        .weights("b", &[3], &[1.0, 2.0, 3.0])
        .weights("scale", &[3], &[1.0, 2.0, -0.5])
        .weights("shift", &[3], &[0.5, 0.0, 1.0])
        .weights("mean", &[3], &[1.0, -2.0, 0.25])
        .weights("variance", &[3], &[3.0, 0.0, 8.0])
        .node("Conv", &["x", "w", "b"], "c", &[("pads", Ints(vec![1, 1, 0, 0]))])
        .node(
            "BatchNormalization",
            &["c", "scale", "shift", "mean", "variance"],
            "n",
            &[("epsilon", Float(1.0)), ("momentum", Float(0.9)), ("training_mode", Int(0))],
        )
        .node("Relu", &["c"], "r", &[])
        .node("Add", &["n", "r"], "both", &[]);
    let conv = conv2d(&x(8), [2, 2, 2], &some(24, 1), [3, 2, 2, 2], [1, 1, 0, 0], [1, 1], [1, 1], 1);
    let conv: Vec<f64> = map(&conv, |j, y| y + (j / 4 + 1) as f64);
    let normal = map(&conv, |j, y| {
        let c = j / 4;
        [1.0, 2.0, -0.5][c] * (y - [1.0, -2.0, 0.25][c]) / [2.0, 1.0, 3.0][c] + [0.5, 0.0, 1.0][c]
    });
    let alone = gives(&base, "n", &normal);
    assert_eq!(names(&alone), ["c/padded", "n"]);
    let sum = map(&normal, |j, y| y + conv[j].max(0.0));
    let both = gives(&base, "both", &sum);
    assert_eq!(names(&both), ["c/padded", "c", "n", "r", "both"]);
    assert!(matches!(both.nodes()[3].op, Op::Scale { .. }));
    // A factor that differs within a channel stays outside a convolution; one number may go into a pool.
    let pools = Model::new(15, &[1, 1, 2, 2]).weights("f", &[2, 1], &[1.0, 2.0]).weights("two", &[1], &[2.0]);
    let pools = pools.weights("k", &[1, 1, 1, 1], &[3.0]).node("Conv", &["x", "k"], "c", &[]).node("Mul", &["c", "f"], "y", &[]);
    let pools = pools.node("GlobalAveragePool", &["y"], "g", &[]).node("Div", &["g", "two"], "z", &[]);
    let scaled = map(&x(4), |j, x| 3.0 * x * [1.0, 2.0][j / 2]);
    assert_eq!(names(&gives(&pools, "y", &scaled)), ["c", "y"]);
    assert_eq!(names(&gives(&pools, "z", &[scaled.iter().sum::<f64>() / 8.0])), ["c", "y", "z"]);
}

#[test]
fn activations() {
    let case = |op: &str, attributes: &[(&str, Attribute)], f: Activation| {
        let model = Model::new(20, &[-1, 5]).node(op, &["x"], "y", attributes);
        let ann = gives(&model, "y", &map(&x(5), |_, x| f.at(x)));
        assert_eq!(ann.nodes()[1].op, Op::Activation(f));
    };
    case("Relu", &[], Activation::Relu);
    case("LeakyRelu", &[("alpha", Float(0.25))], Activation::LeakyRelu { slope: 0.25 });
    case("LeakyRelu", &[], Activation::LeakyRelu { slope: 0.01f32.into() });
    case("Elu", &[("alpha", Float(2.0))], Activation::Elu { alpha: 2.0 });
    case("Elu", &[], Activation::Elu { alpha: 1.0 });
    case("Sigmoid", &[], Activation::Sigmoid);
    case("Tanh", &[], Activation::Tanh);
    case("HardSwish", &[], Activation::HardSwish);
    case("Gelu", &[], Activation::Gelu);
    case("Gelu", &[("approximate", Text("tanh"))], Activation::GeluTanh);
    for inputs in [["x", "s"], ["s", "x"]] {
        let model = Model::new(9, &[1, 4]).node("Sigmoid", &["x"], "s", &[]).node("Mul", &inputs, "y", &[]);
        assert_eq!(names(&gives(&model, "y", &map(&x(4), |_, x| Activation::Silu.at(x)))), ["y"]);
    }
    let soft: f64 = x(3).iter().map(|x| x.exp()).sum();
    for (opset, dims, axis) in [(11, &[1, 3, 1][..], None), (13, &[-1, 3], None), (13, &[1, 3, 1], Some(1)), (9, &[1, 3], Some(-1))] {
        let attributes: Vec<_> = axis.map(|k| ("axis", Int(k))).into_iter().collect();
        let model = Model::new(opset, dims).node("Softmax", &["x"], "y", &attributes).node("LogSoftmax", &["x"], "z", &attributes);
        gives(&model, "y", &map(&x(3), |_, x| x.exp() / soft));
        gives(&model, "z", &map(&x(3), |_, x| x - soft.ln()));
    }
}

#[test]
fn shapes_that_change_nothing_make_no_nodes() {
    let model = Model::new(15, &[-1, 4, 4, 1])
        .list("shape", &[0, -1, 4, 1])
        .list("axes", &[3])
        .list("flat", &[-1, 16])
        .node("Transpose", &["x"], "channels", &[("perm", Ints(vec![0, 3, 1, 2]))])
        .node("Identity", &["channels"], "i", &[])
        .node("Transpose", &["i"], "last", &[("perm", Ints(vec![0, 2, 3, 1]))])
        .node("Reshape", &["last", "shape"], "r", &[])
        .node("Squeeze", &["r", "axes"], "s", &[])
        .node("Unsqueeze", &["s", "axes"], "u", &[])
        .node("Dropout", &["u"], "d", &[])
        .node("Flatten", &["d"], "f", &[])
        .node("Reshape", &["f", "flat"], "g", &[])
        .node("Relu", &["g"], "y", &[]);
    assert_eq!(names(&gives(&model, "y", &map(&x(16), |_, x| x.max(0.0)))), ["y"]);
    assert!(names(&gives(&model, "g", &x(16))).is_empty());
    let old = Model::new(7, &[1, 1, 3]).node("Squeeze", &["x"], "s", &[]).node("Unsqueeze", &["s"], "y", &[("axes", Ints(vec![0]))]);
    assert!(names(&gives(&old, "y", &x(3))).is_empty());
}

#[test]
fn numbers_that_move() {
    let model = Model::new(13, &[1, 2, 3]).node("Transpose", &["x"], "y", &[("perm", Ints(vec![0, 2, 1]))]);
    let v = x(6);
    gives(&model, "y", &[v[0], v[3], v[1], v[4], v[2], v[5]]);
    // Channels last: a convolution between two transpositions.
    let model = Model::new(13, &[-1, 2, 2, 3])
        .weights("w", &[2, 3, 1, 1], &some(6, 2))
        .node("Transpose", &["x"], "t", &[("perm", Ints(vec![0, 3, 1, 2]))])
        .node("Conv", &["t", "w"], "c", &[])
        .node("Transpose", &["c"], "y", &[("perm", Ints(vec![0, 2, 3, 1]))]);
    let w = some(6, 2);
    let expected: Vec<f64> =
        x(12).chunks(3).flat_map(|p| [0, 1].map(|o| (0..3).map(|c| p[c] * f64::from(w[o * 3 + c])).sum::<f64>())).collect();
    gives(&model, "y", &expected);
    // Weights that are transposed and reshaped when the file is read.
    let model = Model::new(13, &[-1, 2]).weights("w", &[3, 2, 1], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).list("s", &[3, 2]);
    let model = model.node("Reshape", &["w", "s"], "r", &[]).node("Transpose", &["r"], "t", &[]).node("MatMul", &["x", "t"], "y", &[]);
    let v = x(2);
    gives(&model, "y", &[v[0] + 2.0 * v[1], 3.0 * v[0] + 4.0 * v[1], 5.0 * v[0] + 6.0 * v[1]]);
    // Zeros around, as attribute, as input, along named axes; negative ones cut.
    let v = x(4);
    let padded = [0.0, v[0], v[1], 0.0, v[2], v[3], 0.0, 0.0, 0.0];
    let old = Model::new(10, &[1, 2, 2]).node("Pad", &["x"], "y", &[("pads", Ints(vec![0, 0, 1, 0, 1, 0]))]);
    gives(&old, "y", &padded);
    let new = Model::new(18, &[1, 2, 2]).list("p", &[0, 0, 1, 0, 1, 0]).list("q", &[1, 0, 0, 1]).list("axes", &[-1, 1]);
    gives(&new.clone().node("Pad", &["x", "p"], "y", &[("mode", Text("constant"))]), "y", &padded);
    gives(&new.node("Pad", &["x", "q", "", "axes"], "y", &[]), "y", &padded);
    let cut = Model::new(10, &[1, 2, 2]).node("Pad", &["x"], "y", &[("pads", Ints(vec![0, -1, 0, 0, 0, 0]))]);
    gives(&cut, "y", &v[2..]);
    let far = Model::new(10, &[1, 3]).node("Pad", &["x"], "y", &[("pads", Ints(vec![0, i64::MIN, 0, i64::MAX]))]);
    gives(&far, "y", &[0.0, 0.0]);
}

#[test]
fn values_that_join() {
    let base = Model::new(13, &[1, 2, 2]).node("Relu", &["x"], "r", &[]);
    let (v, r) = (x(4), map(&x(4), |_, x| x.max(0.0)));
    gives(&base.clone().node("Add", &["x", "r"], "y", &[]), "y", &map(&v, |j, x| x + r[j]));
    gives(&base.clone().node("Add", &["x", "x"], "y", &[]), "y", &map(&v, |_, x| 2.0 * x));
    gives(&base.clone().node("Concat", &["x", "r"], "y", &[("axis", Int(1))]), "y", &[&v[..], &r[..]].concat());
    let rows = [v[0], v[1], r[0], r[1], v[2], v[3], r[2], r[3]];
    let ann = gives(&base.node("Concat", &["x", "r"], "y", &[("axis", Int(-1))]), "y", &rows);
    assert_eq!(names(&ann), ["r", "y/joined", "y"]);
    let taken =
        Model::new(13, &[1, 2, 2]).node("Relu", &["x"], "y/joined", &[]).node("Concat", &["x", "y/joined"], "y", &[("axis", Int(2))]);
    assert_eq!(names(&gives(&taken, "y", &rows)), ["y/joined", "y/joined'", "y"]);
}

/// The definition: every output place, every weight.
fn conv2d(
    x: &[f64],
    [c, h, w]: [usize; 3],
    k: &[f32],
    [o, per, kh, kw]: [usize; 4],
    [top, left, bottom, right]: [usize; 4],
    stride: [usize; 2],
    dilation: [usize; 2],
    groups: usize,
) -> Vec<f64> {
    let oh = (h + top + bottom - (kh - 1) * dilation[0] - 1) / stride[0] + 1;
    let ow = (w + left + right - (kw - 1) * dilation[1] - 1) / stride[1] + 1;
    let at = |c: usize, y: i64, x_: i64| match (usize::try_from(y), usize::try_from(x_)) {
        (Ok(y), Ok(x_)) if y < h && x_ < w => x[(c * h + y) * w + x_],
        _ => 0.0,
    };
    assert_eq!(c, per * groups);
    let mut y = vec![0.0; o * oh * ow];
    for (j, y) in y.iter_mut().enumerate() {
        let (f, r, s) = (j / (oh * ow), j / ow % oh, j % ow);
        for (n, weight) in k[f * per * kh * kw..(f + 1) * per * kh * kw].iter().enumerate() {
            let (ch, i, l) = (n / (kh * kw), n / kw % kh, n % kw);
            let (row, column) = (r * stride[0] + i * dilation[0], s * stride[1] + l * dilation[1]);
            *y += f64::from(*weight) * at(f / (o / groups) * per + ch, row as i64 - top as i64, column as i64 - left as i64);
        }
    }
    y
}

fn ints(xs: &[usize]) -> Attribute {
    Ints(xs.iter().map(|&x| x as i64).collect())
}

proptest! {
    #[test]
    fn convolutions_follow_the_definition(
        groups in 1usize..4, per in 1usize..3, fan in 1usize..3, size in prop::array::uniform2(4usize..8), kernel in prop::array::uniform2(1usize..4),
        stride in prop::array::uniform2(1usize..4), dilation in prop::array::uniform2(1usize..3), pads in prop::array::uniform4(0usize..3), bias: bool,
    ) {
        let (c, o) = (groups * per, groups * fan);
        prop_assume!((0..2).all(|k| size[k] + pads[k] + pads[k + 2] > (kernel[k] - 1) * dilation[k]));
        let weights = some(o * per * kernel[0] * kernel[1], 3);
        let dims = [o, per, kernel[0], kernel[1]];
        let model = Model::new(11, &[1, c as i64, size[0] as i64, size[1] as i64])
            .weights("w", &dims.map(|d| d as i64), &weights)
            .weights("b", &[o as i64], &some(o, 4));
        let attributes =
            [("group", Int(groups as i64)), ("strides", ints(&stride)), ("dilations", ints(&dilation)), ("pads", ints(&pads)), ("kernel_shape", ints(&kernel))];
        let model = model.node("Conv", if bias { &["x", "w", "b"] } else { &["x", "w"] }, "y", &attributes);
        let mut expected = conv2d(&x(c * size[0] * size[1]), [c, size[0], size[1]], &weights, dims, pads, stride, dilation, groups);
        let plane = expected.len() / o;
        expected.iter_mut().enumerate().filter(|_| bias).for_each(|(j, y)| *y += f64::from(some(o, 4)[j / plane]));
        let ann = gives(&model, "y", &expected);
        prop_assert_eq!(ann.nodes().len() == 2, pads[0] == pads[2] && pads[1] == pads[3]);
    }

    #[test]
    fn padding_by_itself_keeps_one_window_for_each_stride(size in 2usize..9, kernel in 1usize..5, stride in 1usize..4, lower: bool) {
        let out = size.div_ceil(stride);
        let total = ((out - 1) * stride + kernel).saturating_sub(size);
        let (less, more) = (total / 2, total - total / 2);
        let pads = if lower { [more, more, less, less] } else { [less, less, more, more] };
        let weights = some(kernel * kernel, 3);
        let model = Model::new(11, &[1, 1, size as i64, size as i64]).weights("w", &[1, 1, kernel as i64, kernel as i64], &weights);
        let auto = Text(if lower { "SAME_LOWER" } else { "SAME_UPPER" });
        let model = model.node("Conv", &["x", "w"], "y", &[("auto_pad", auto), ("strides", ints(&[stride, stride]))]);
        let expected = conv2d(&x(size * size), [1, size, size], &weights, [1, 1, kernel, kernel], pads, [stride; 2], [1; 2], 1);
        prop_assert_eq!(expected.len(), out * out);
        gives(&model, "y", &expected);
    }

    #[test]
    fn pools_follow_the_definition(
        size in prop::array::uniform2(3usize..8), kernel in prop::array::uniform2(1usize..4), stride in prop::array::uniform2(1usize..4),
        dilation in prop::array::uniform2(1usize..3), pads in prop::array::uniform4(0usize..2), ceil: bool, counted: bool,
    ) {
        // Padding of a window or more would leave windows that see nothing.
        prop_assume!((0..2).all(|k| pads[k] < kernel[k] && pads[k + 2] < kernel[k] && (kernel[k] > 1 || dilation[k] == 1)));
        prop_assume!((0..2).all(|k| size[k] + pads[k] + pads[k + 2] > (kernel[k] - 1) * dilation[k]));
        let windows = [0, 1].map(|k| {
            let rest = size[k] + pads[k] + pads[k + 2] - (kernel[k] - 1) * dilation[k] - 1;
            (0..).take_while(|o| o * stride[k] <= rest || (ceil && (o - 1) * stride[k] < rest && o * stride[k] < size[k] + pads[k])).count()
        });
        let v = x(2 * size[0] * size[1]);
        let (mut largest, mut mean) = (Vec::new(), Vec::new());
        for (c, r, s) in (0..2 * windows[0] * windows[1]).map(|j| (j / (windows[0] * windows[1]), j / windows[1] % windows[0], j % windows[1])) {
            let places = (0..kernel[0] * kernel[1]).map(|n| (r * stride[0] + n / kernel[1] * dilation[0], s * stride[1] + n % kernel[1] * dilation[1]));
            let inside = |&(y, x): &(usize, usize)| (pads[0]..pads[0] + size[0]).contains(&y) && (pads[1]..pads[1] + size[1]).contains(&x);
            let seen: Vec<f64> = places.clone().filter(inside).map(|(y, x)| v[(c * size[0] + y - pads[0]) * size[1] + x - pads[1]]).collect();
            let padded = places.filter(|&(y, x)| y < size[0] + pads[0] + pads[2] && x < size[1] + pads[1] + pads[3]).count();
            largest.push(seen.iter().copied().fold(f64::NEG_INFINITY, f64::max));
            mean.push(seen.iter().sum::<f64>() / if counted { padded as f64 } else { seen.len() as f64 });
        }
        // Windows that see nothing of the image have no largest number.
        prop_assume!(largest.iter().all(|x| x.is_finite()));
        let attributes = || vec![
            ("kernel_shape", ints(&kernel)), ("strides", ints(&stride)), ("dilations", ints(&dilation)), ("pads", ints(&pads)), ("ceil_mode", Int(ceil.into())),
        ];
        let model = Model::new(19, &[-1, 2, size[0] as i64, size[1] as i64]);
        gives(&model.clone().node("MaxPool", &["x"], "y", &attributes()), "y", &largest);
        let attributes = attributes().into_iter().chain([("count_include_pad", Int(counted.into()))]).collect::<Vec<_>>();
        let ann = gives(&model.node("AveragePool", &["x"], "y", &attributes), "y", &mean);
        if pads == [0; 4] && dilation == [1; 2] && !ceil {
            let summed = matches!(ann.nodes()[1].op, Op::Linear { links: Links::SumPool2d(_), .. });
            prop_assert!(summed, "no plain sum");
        }
    }
}

#[test]
fn weights_of_other_types_and_places() {
    let doubles: Vec<u8> = [1.0f64, 0.1, -3.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let list = [whole(1, 3), whole(2, 1), bytes(4, [1.0f32, 0.1, -3.0].map(f32::to_le_bytes).concat()), bytes(8, "w")].concat();
    for tensor in [tensor("w", &[3], 11, &doubles), list, floats("w", &[3], &[1.0, 0.1, -3.0])] {
        let model = Model::new(9, &[1, 3]).constant(tensor).input("w", &[3]).node("Mul", &["x", "w"], "y", &[]);
        gives(&model, "y", &map(&x(3), |j, x| x * f64::from([1.0f32, 0.1, -3.0][j])));
    }
    // Whole numbers one by one, as version 8 of CNTK writes them.
    let shape = [whole(1, 2), whole(2, 7), bytes(7, [1, 3]), bytes(8, "s")].concat();
    gives(&Model::new(9, &[1, 3]).constant(shape).node("Reshape", &["x", "s"], "y", &[]), "y", &x(3));
}

#[test]
fn nodes_in_any_order_and_nodes_nobody_needs() {
    let model =
        Model::new(9, &[1, 3]).node("Relu", &["s"], "y", &[]).node("Resize", &["x"], "unused", &[]).node("Sigmoid", &["x"], "s", &[]);
    assert_eq!(names(&gives(&model, "y", &map(&x(3), |_, x| Activation::Sigmoid.at(x)))), ["s", "y"]);
}

#[track_caller]
fn refused(bytes: &[u8], words: &[&str]) {
    let error = match read(bytes) {
        Ok(ann) => panic!("read as {ann:?}"),
        Err(error) => error.to_string(),
    };
    assert!(words.iter().all(|w| error.contains(w)), "{error}\nlacks one of {words:?}");
}

/// A model of one node that is refused.
#[track_caller]
fn no(dims: &[i64], op: &str, constants: &[(&str, &[i64])], attributes: &[(&str, Attribute)], words: &[&str]) {
    let mut model = Model::new(13, dims);
    let mut inputs = vec!["x"];
    for (name, dims) in constants {
        model = model.weights(name, dims, &vec![1.0; dims.iter().product::<i64>() as usize]);
        inputs.push(name);
    }
    let words = [&["node `the y`", op, "opset 13"], words].concat();
    refused(&model.node(op, &inputs, "y", attributes).file("y"), &words);
}

#[test]
fn operators_that_are_refused() {
    let image = &[1, 2, 5, 5];
    let w: (&str, &[i64]) = ("w", &[4, 2, 3, 3]);
    no(image, "Resize", &[], &[], &["not read"]);
    no(image, "Relu", &[], &[("slope", Float(1.0))], &["attribute `slope` is not known"]);
    no(image, "Relu", &[("w", &[1])], &[], &["2 inputs; at most 1"]);
    no(image, "LeakyRelu", &[], &[("alpha", Int(1))], &["attribute `alpha` is of type 2, expected 1"]);
    no(image, "LeakyRelu", &[], &[("alpha", Float(1.0)), ("alpha", Float(2.0))], &["given twice"]);
    no(image, "Gelu", &[], &[("approximate", Text("erf"))], &["`erf`"]);
    no(&[1, 3], "Gemm", &[("w", &[2, 2])], &[], &["1 × 3 times one of 2 × 2"]);
    no(&[1, 2], "Gemm", &[("w", &[2, 2])], &[("transA", Int(1))], &["`transA` is 1; only 0"]);
    no(&[1, 2], "Gemm", &[("w", &[2, 2]), ("b", &[3])], &[], &["[3]", "[1, 2]"]);
    no(&[1, 2], "Gemm", &[("w", &[2])], &[], &["two matrices"]);
    no(&[1, 2], "MatMul", &[("w", &[3, 3])], &[], &["[1, 2] times a constant of shape [3, 3]"]);
    no(&[1, 2], "MatMul", &[("w", &[1, 2, 2])], &[], &["expected a matrix"]);
    no(&[1, 2], "MatMul", &[], &[], &["input 1 is missing"]);
    no(&[1, 2], "MatMul", &[("w", &[2, 0])], &[], &["holds nothing"]);
    no(&[1, 3], "Add", &[("w", &[2])], &[], &["[1, 3] and [2] do not go together"]);
    no(&[1, 3, 1], "Add", &[("w", &[3, 2])], &[], &["only constants are repeated"]);
    no(image, "Conv", &[("w", &[4, 3, 3, 3])], &[], &["[4, 3, 3, 3] in 1 groups"]);
    no(image, "Conv", &[w], &[("group", Int(0))], &["0 groups"]);
    no(image, "Conv", &[w], &[("group", Int(i64::MIN))], &["groups"]);
    no(image, "Conv", &[("w", &[4, 2, 3])], &[], &["only convolutions over images"]);
    no(image, "Conv", &[("w", &[0, 2, 3, 3])], &[], &["[0, 2, 3, 3]"]);
    no(image, "Conv", &[w, ("b", &[3])], &[], &["a bias of shape [3], expected [4]"]);
    no(image, "Conv", &[w], &[("kernel_shape", Ints(vec![3, 2]))], &["[3, 2], but the weights are 3 × 3"]);
    no(image, "Conv", &[w], &[("pads", Ints(vec![1, 1]))], &["`pads` is [1, 1]; expected 4 numbers"]);
    no(image, "Conv", &[w], &[("pads", Ints(vec![-1, 0, 0, 0]))], &["from 0 on"]);
    no(image, "Conv", &[w], &[("strides", Ints(vec![0, 1]))], &["`strides`", "from 1 on"]);
    no(image, "Conv", &[w], &[("dilations", Ints(vec![3, 1]))], &["a window of 7 places does not fit into 5"]);
    no(image, "Conv", &[w], &[("auto_pad", Text("SAME"))], &["`auto_pad` is `SAME`"]);
    no(image, "Conv", &[w], &[("auto_pad", Text("VALID")), ("pads", Ints(vec![1; 4]))], &["at once"]);
    no(&[2, 2, 5, 5], "Conv", &[w], &[], &["value of shape [2, 2, 5, 5]"]);
    no(&[1, 2, 5], "MaxPool", &[], &[("kernel_shape", Ints(vec![2]))], &["expected images"]);
    no(image, "MaxPool", &[], &[], &["`kernel_shape`"]);
    no(image, "MaxPool", &[], &[("kernel_shape", Ints(vec![2, 0]))], &["`kernel_shape` is [2, 0]"]);
    no(&[1, 3], "Transpose", &[], &[("perm", Ints(vec![0, 0]))], &["`perm` [0, 0]"]);
    no(&[1, 3], "Transpose", &[], &[("perm", Ints(vec![0, 2]))], &["axis 2 of a value with 2 axes"]);
    no(&[1, 3], "Pad", &[], &[("pads", Ints(vec![0, 1, 0, 1])), ("value", Float(1.0))], &["padding with 1; only zeros"]);
    no(&[1, 3], "Pad", &[], &[("pads", Ints(vec![0, 1, 0, 1])), ("mode", Text("reflect"))], &["`reflect`; only constant"]);
    no(&[1, 3], "Pad", &[], &[("pads", Ints(vec![0, 1]))], &["2 numbers in `pads` for 2 axes"]);
    no(&[1, 3], "Pad", &[], &[("pads", Ints(vec![0, -2, 0, -1]))], &["zeros around"]);
    no(&[1, 3], "Pad", &[], &[("pads", Ints(vec![0, i64::MAX, 0, i64::MAX]))], &["zeros around"]);
    no(&[1, 3], "Pad", &[], &[("pads", Ints(vec![0, i64::MIN, 0, i64::MAX])), ("value", Int(0))], &["`value` is of type 2"]);
    no(&[1, 3], "Softmax", &[], &[("axis", Int(0))], &["over axis 0 of shape [1, 3]"]);
    no(&[1, 3, 1], "Softmax", &[], &[], &["over axis 2 of shape [1, 3, 1]"]);
    no(&[1, 3], "Flatten", &[], &[("axis", Int(3))], &["axis 3"]);
    no(&[1, 3], "Concat", &[], &[("axis", Int(0))], &["the batch"]);
    no(&[1, 3], "Concat", &[("w", &[1, 3])], &[], &["input 1 is a constant"]);
    no(&[1, 3], "Reshape", &[("s", &[2])], &[], &["weights where whole numbers are expected"]);
    no(&[1, 3], "Dropout", &[("r", &[]), ("t", &[1])], &[], &["weights where"]);
    no(
        image,
        "BatchNormalization",
        &[("a", &[2]), ("b", &[2]), ("c", &[2]), ("d", &[3])],
        &[],
        &["input 4 has the shape [3], expected [2]"],
    );
    let stats: &[(&str, &[i64])] = &[("a", &[2]), ("b", &[2]), ("c", &[2]), ("d", &[2])];
    no(image, "BatchNormalization", stats, &[("training_mode", Int(1))], &["`training_mode` is 1"]);
}

#[test]
fn graphs_that_are_refused() {
    let base = Model::new(13, &[1, 3]);
    let relu = |from: &str, to: &str| base.clone().node("Relu", &[from], to, &[]);
    refused(&relu("z", "y").file("y"), &["node `the y` (Relu, opset 13)", "`z`, which nothing makes"]);
    refused(&relu("y", "y").file("y"), &["node `the y`", "loops are not read"]);
    refused(&relu("z", "y").node("Relu", &["y"], "z", &[]).file("y"), &["loops are not read"]);
    refused(&relu("x", "y").node("Relu", &["x"], "y", &[]).file("y"), &["graph", "two values are named `y`"]);
    refused(&relu("x", "x").file("x"), &["`x` is an input and computed too"]);
    refused(&relu("x", "y").weights("w", &[], &[1.0]).weights("w", &[], &[1.0]).file("y"), &["two initialisers are named `w`"]);
    refused(&relu("x", "y").weights("y", &[], &[1.0]).file("y"), &["two values are named `y`"]);
    refused(&relu("x", "y").input("z", &[1]).file("y"), &["graph inputs", "expected one input, found 2: x, z"]);
    refused(&relu("x", "y").with_outputs(&["y", "x"]), &["graph outputs", "expected one output, found 2: y, x"]);
    refused(&relu("x", "y").file("z"), &["`z` does not depend on the input"]);
    refused(&base.clone().weights("w", &[1], &[1.0]).file("w"), &["does not depend on the input"]);
    refused(
        &relu("x", "y").node("Softmax", &["y"], "s", &[]).node("Relu", &["s"], "z", &[]).file("z"),
        &["value `s`", "only be the output"],
    );
    let div = base.clone().weights("w", &[3], &[1.0, 0.0, 1.0]).node("Div", &["x", "w"], "y", &[]);
    refused(&div.file("y"), &["value `y`", "factor inf: must be finite"]);
    let constant_left = base.clone().weights("w", &[3], &[1.0; 3]);
    refused(&constant_left.clone().node("Div", &["w", "x"], "y", &[]).file("y"), &["no activation here is 1/x"]);
    refused(&constant_left.clone().node("Relu", &["w"], "y", &[]).file("y"), &["input 0 is a constant"]);
    refused(&relu("x", "y").node("Mul", &["x", "y"], "z", &[]).file("z"), &["the product of a value with its own sigmoid"]);
    refused(&Model::new(13, &[1, 3]).input("w", &[3]).node("Relu", &["x"], "y", &[]).file("y"), &["expected one input"]);
    for (dims, words) in [
        (&[1, -1][..], &["input `x`", "dimension 1 has no number"][..]),
        (&[1, 1 << 40], &["dimension 1 is 1099511627776"]),
        (&[1, 1 << 20, 1 << 20], &["more than 4294967295 numbers"]),
        (&[1; 40], &["40 axes"]),
    ] {
        refused(&Model::new(13, dims).node("Relu", &["x"], "y", &[]).file("y"), words);
    }
    refused(&Model::new(6, &[1, 3]).node("Relu", &["x"], "y", &[]).file("y"), &["operator set 6; expected 7 or later"]);
    let foreign = [bytes(1, "x"), bytes(2, "y"), bytes(4, "Relu"), bytes(7, "com.example")].concat();
    let graph = [bytes(1, foreign), bytes(11, info("x", &[1])), bytes(12, info("y", &[1]))].concat();
    refused(&file(13, &graph), &["node `y` (Relu", "domain `com.example`"]);
    let second = [bytes(1, "x"), bytes(2, "y"), bytes(2, "mask"), bytes(4, "Dropout")].concat();
    let graph = [bytes(1, second), bytes(11, info("x", &[1])), bytes(12, info("mask", &[1]))].concat();
    refused(&file(13, &graph), &["does not depend"]);
    let whole_input = [bytes(1, "x"), bytes(2, bytes(1, [whole(1, 7), bytes(2, [])].concat()))].concat();
    refused(&file(13, &[bytes(11, whole_input), bytes(12, info("x", &[1]))].concat()), &["numbers of type INT64; expected FLOAT"]);
}

#[test]
fn weights_that_are_refused() {
    let with = |tensor: Vec<u8>| Model::new(13, &[1, 3]).constant(tensor).node("Mul", &["x", "w"], "y", &[]).file("y");
    refused(&with(tensor("w", &[3], 1, &[0; 11])), &["node `the y`", "`w`", "[3] need 12 bytes of data, 11 are there"]);
    refused(&with(tensor("w", &[4], 1, &[0; 12])), &["need 16 bytes"]);
    refused(&with(tensor("w", &[-3], 1, &[0; 12])), &["[-3]: must be 0 or more"]);
    refused(&with(tensor("w", &[1 << 31, 1 << 31, 4], 1, &[0; 12])), &["more than 4294967295 numbers"]);
    refused(&with(tensor("w", &[1 << 31], 1, &[0; 12])), &["need 8589934592 bytes"]);
    refused(&with(tensor("w", &[3], 10, &[0; 6])), &["numbers of type FLOAT16; expected FLOAT or DOUBLE"]);
    refused(&with(tensor("w", &[3], 99, &[0; 6])), &["numbers of type 99"]);
    refused(&with(wholes("w", &[1, 2, 3])), &["whole numbers where weights are expected"]);
    refused(&with(floats("w", &[3], &[1.0, f32::NAN, 1.0])), &["value `y`", "NaN: must be finite"]);
    let outside = [tensor("w", &[3], 1, &[]), bytes(13, [bytes(1, "location"), bytes(2, "w.bin")].concat()), whole(14, 1)].concat();
    refused(&with(outside), &["its data are in another file", "one file"]);
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    for shape in [&[2, 2][..], &[-1, -1], &[-1, 2], &[1, 0, 0, 3], &[-2, 3], &[i64::MIN], &[1 << 62, 1 << 62, 4], &[-1, 0]] {
        let model = Model::new(13, &[1, 3]).list("s", shape).node("Reshape", &["x", "s"], "y", &[("allowzero", Int(1))]);
        refused(&model.file("y"), &["node `the y` (Reshape"]);
    }
    for (op, axes) in [("Squeeze", &[1][..]), ("Squeeze", &[5]), ("Unsqueeze", &[0, 0]), ("Unsqueeze", &[-9]), ("Unsqueeze", &[0; 50])] {
        let model = Model::new(13, &[1, 3]).list("a", axes).node(op, &["x", "a"], "y", &[]);
        refused(&model.file("y"), &["node `the y`"]);
    }
}

/// Files of a few hundred bytes that would take many GiB.
#[test]
fn small_files_cannot_fill_the_memory() {
    let huge = Model::new(13, &[1, 2, 40_000, 40_000]);
    let transposed = huge.clone().node("Transpose", &["x"], "y", &[]);
    refused(&transposed.file("y"), &["too large to be read"]);
    let pool = [("kernel_shape", Ints(vec![2, 2]))];
    refused(&huge.clone().node("MaxPool", &["x"], "y", &pool).file("y"), &["node `the y`"]);
    let conv = huge.clone().weights("w", &[1, 2, 1, 1], &[1.0; 2]).node("Conv", &["x", "w"], "y", &[("pads", Ints(vec![1, 0, 0, 0]))]);
    refused(&conv.file("y"), &["too large to be read"]);
    let add = huge.clone().weights("w", &[2, 1, 1], &[1.0, 2.0]).node("Add", &["x", "w"], "y", &[]);
    refused(&add.file("y"), &["too large to be read"]);
    let strip = Model::new(13, &[1, 1, 4_000_000_000, 1]);
    let stride = || [("kernel_shape", Ints(vec![1, 1])), ("strides", Ints(vec![(1 << 31) - 1, 1])), ("pads", Ints(vec![0, 0, 9, 0]))];
    refused(&strip.clone().node("AveragePool", &["x"], "y", &stride()).file("y"), &["too large to be read"]);
    let rows = Model::new(13, &[1, 1 << 20, 64]).weights("w", &[64, 64], &[1.0; 4096]).node("MatMul", &["x", "w"], "y", &[]);
    refused(&rows.file("y"), &["node `the y`"]);
    let outer = Model::new(13, &[1, 3]).weights("a", &[1 << 15, 1], &[1.0; 1 << 15]).weights("b", &[1 << 15], &[1.0; 1 << 15]);
    let outer = outer.node("Add", &["a", "b"], "c", &[]).node("Add", &["x", "c"], "y", &[]);
    refused(&outer.file("y"), &["too large to be read"]);
    // A thousand names for the same megabyte.
    let mut names: Vec<String> = vec!["w".into()];
    let mut model = Model::new(13, &[1, 4]).weights("w", &[1 << 18], &vec![0.5; 1 << 18]).list("s", &[4, -1]);
    for k in 0..1000 {
        names.push(format!("n{k}"));
        model = model.node("Reshape", &[&names[k], "s"], &names[k + 1], &[]);
    }
    assert_eq!(read(&model.node("MatMul", &["x", &names[1000]], "y", &[]).file("y")).unwrap().outputs(), 1 << 16);
    let mut many = Vec::new();
    (0..300_000).for_each(|_| many.extend(bytes(1, [])));
    refused(&file(13, &many), &["more than 262144 fields"]);
}

#[test]
fn damaged_fields_are_refused() {
    let good = Model::new(13, &[1, 3]).node("Relu", &["x"], "y", &[]).file("y");
    read(&good).unwrap();
    let after = |tail: &[u8]| [&good[..], tail].concat();
    refused(&after(&[0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f]), &["truncated: expected 4294967295 bytes", "found 0"]);
    refused(&after(&[0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]), &["expected 18446744073709551615 bytes"]);
    // A whole number without an end would keep the parser waiting for ever.
    refused(&after(&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), &["no whole number"]);
    refused(&after(&[0x08]), &["no whole number"]);
    refused(&after(&[0x3a, 0x02, 0x0a, 0x05]), &["truncated: expected 5 bytes"]);
    refused(&after(&[0x3a, 0x02, 0x0a, 0x05, 0, 0, 0, 0, 0]), &["longer than the message around it"]);
    refused(&after(&[0x3b]), &["a field of a kind that ONNX does not use"]);
    refused(&after(&[0x3a, 0x00]), &["graph inputs", "expected one input, found 0"]);
    refused(&after(&bytes(7, bytes(5, bytes(7, [0x80])))), &["a list of whole numbers that ends inside one"]);
    refused(&after(&bytes(7, bytes(5, bytes(4, [0; 5])))), &["a list of numbers that ends inside one"]);
    refused(&after(&bytes(7, bytes(1, whole(1, 3)))), &["expected ONNX, but error in message", "copy or download it again"]);
    refused(&[&good[..], &whole(7, 1)].concat(), &["expected ONNX, but error"]);
    let mut deep = Vec::new();
    (0..1000).for_each(|_| deep = bytes(1, bytes(5, bytes(6, &deep))));
    refused(&file(13, &deep), &["messages nested too deep"]);
    refused(&whole(1, 8), &["there is no graph in it"]);
    refused(&[whole(1, 8), bytes(7, [])].concat(), &["which operator set"]);
}

#[test]
fn real_files_are_read() {
    let Some(data) = std::env::var_os("SNN_DATA") else { return eprintln!("skipped: SNN_DATA not set") };
    let folder = std::path::Path::new(&data).join("onnx");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let models = files.filter(|path| path.extension().is_some_and(|e| e == "onnx"));
    assert_eq!(models.filter(|path| onnx::read(path).unwrap().outputs() == 10).count(), 10);
}
