//! Operators over windows of images: convolution and pooling.

use super::Reason;
use super::graph::{Build, Call, Value};
use super::layout::padded;
use super::operators::numbers;
use super::tensor::size;
use snn_core::ann::Op;
use snn_core::net::{Conv2d, Links, SumPool2d};

/// Windows along one axis of an image.
#[derive(Clone, Copy, Debug)]
struct Axis {
    size: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    before: usize,
    after: usize,
    windows: usize,
}

impl Axis {
    /// From the first to the last place that a window looks at.
    fn extent(&self) -> usize {
        (self.kernel - 1) * self.dilation + 1
    }

    /// The places inside the image that window `o` looks at.
    fn places(self, o: usize) -> impl Iterator<Item = usize> {
        let start = o * self.stride;
        (0..self.kernel).filter_map(move |k| (start + k * self.dilation).checked_sub(self.before).filter(|&x| x < self.size))
    }

    /// How many places of window `o` lie in the image, or in its padding too.
    fn count(self, o: usize, padding: bool) -> usize {
        let long = self.before + self.size + self.after;
        if padding { (0..self.kernel).filter(|k| o * self.stride + k * self.dilation < long).count() } else { self.places(o).count() }
    }

    /// The windows that look at each place, ascending.
    fn heard_by(self) -> Vec<Vec<usize>> {
        let mut windows = vec![Vec::new(); self.size];
        (0..self.windows).for_each(|o| self.places(o).for_each(|x| windows[x].push(o)));
        windows
    }

    fn is_even(&self) -> bool {
        self.before == self.after
    }
}

/// The windows of a node over an image of this size, given the kernel's.
fn windows(call: &Call, image: [usize; 2], kernel: [usize; 2]) -> Result<[Axis; 2], Reason> {
    let a = &call.attributes;
    let list = |name: &str, length: usize, least: i64, otherwise: usize| match a.ints(name)? {
        None => Ok(vec![otherwise; length]),
        Some(list) if list.len() == length && list.iter().all(|x| (least..1 << 31).contains(x)) => {
            Ok(list.iter().map(|&x| x as usize).collect())
        }
        Some(list) => Err(format!("attribute `{name}` is {list:?}; expected {length} numbers from {least} on, for an image")),
    };
    let (strides, dilations, pads) = (list("strides", 2, 1, 1)?, list("dilations", 2, 1, 1)?, list("pads", 4, 0, 0)?);
    let ceil = a.int("ceil_mode", 0)? != 0;
    let auto = a.word("auto_pad", "NOTSET")?;
    if auto != "NOTSET" && pads.iter().any(|&p| p > 0) {
        return Err(format!("attributes `pads` and `auto_pad` ({auto}) at once; only one of them is read"));
    }
    let axis = |k: usize| {
        let mut axis = Axis {
            size: image[k],
            kernel: kernel[k],
            stride: strides[k],
            dilation: dilations[k],
            before: pads[k],
            after: pads[k + 2],
            windows: 0,
        };
        if matches!(auto, "SAME_UPPER" | "SAME_LOWER") {
            let windows = axis.size.div_ceil(axis.stride);
            let total = (windows.saturating_sub(1) * axis.stride + axis.extent()).saturating_sub(axis.size);
            let half = total / 2;
            (axis.before, axis.after) = if auto == "SAME_UPPER" { (half, total - half) } else { (total - half, half) };
        } else if !matches!(auto, "NOTSET" | "VALID") {
            return Err(format!("attribute `auto_pad` is `{auto}`; expected NOTSET, VALID, SAME_UPPER or SAME_LOWER"));
        }
        let long = axis.before + axis.size + axis.after;
        let Some(rest) = long.checked_sub(axis.extent()).filter(|_| axis.size > 0) else {
            return Err(format!("a window of {} places does not fit into {long}", axis.extent()));
        };
        axis.windows = if ceil { rest.div_ceil(axis.stride) } else { rest / axis.stride } + 1;
        // A last window that would begin in the padding is left out.
        if ceil && (axis.windows - 1) * axis.stride >= axis.before + axis.size {
            axis.windows -= 1;
        }
        Ok(axis)
    };
    Ok([axis(0)?, axis(1)?])
}

/// Batch times channels, height and width.
fn image(dims: &[usize]) -> Result<(usize, [usize; 2]), Reason> {
    match *dims {
        [n, c, h, w] => Ok((size(&[n, c])?, [h, w])),
        _ => Err(format!("a value of shape {dims:?}; expected images: batch, channels, height, width")),
    }
}

fn kernel(call: &Call) -> Result<[usize; 2], Reason> {
    match call.attributes.ints("kernel_shape")? {
        Some(&[h, w]) if h.min(w) > 0 && h.max(w) < 1 << 31 => Ok([h as usize, w as usize]),
        other => Err(format!("attribute `kernel_shape` is {:?}; expected height and width", other.unwrap_or_default())),
    }
}

pub(super) fn convolve(build: &mut Build, call: &Call) -> Result<Value, Reason> {
    call.at_most(3)?;
    let (mut from, dims) = call.node(0)?;
    let weights = call.constant(1)?;
    let (channels, size_of) = image(dims)?;
    let &[out, per_group, h, w] = &weights.dims[..] else {
        return Err(format!("weights of shape {:?}; only convolutions over images are read", weights.dims));
    };
    let groups = call.attributes.int("group", 1)?;
    let fits = usize::try_from(groups).is_ok_and(|g| per_group.checked_mul(g) == Some(channels) && g > 0 && out % g == 0);
    if dims[0] != 1 || !fits || weights.dims.contains(&0) {
        return Err(format!("weights of shape {:?} in {groups} groups for a value of shape {dims:?}", weights.dims));
    }
    if call.attributes.has("kernel_shape") && kernel(call)? != [h, w] {
        return Err(format!("attribute `kernel_shape` is {:?}, but the weights are {h} × {w}", kernel(call)?));
    }
    build.reserve(weights.floats()?.len())?;
    let [y, x] = windows(call, size_of, [h, w])?;
    let mut conv = Conv2d::new(channels, y.size, x.size, out, (h, w)).stride((y.stride, x.stride)).dilation((y.dilation, x.dilation));
    conv = conv.groups(groups as usize);
    if y.is_even() && x.is_even() {
        conv = conv.padding((y.before, x.before));
    } else {
        let side = |axis: Axis| (axis.before as i64, axis.after as i64);
        let name = build.name(call.output, "padded");
        let value = padded(build, &name, from, dims, &[(0, 0), (0, 0), side(y), side(x)])?;
        let Value::Node { index, dims } = value else { return Err("no value".into()) };
        (from, conv.height, conv.width) = (index, dims[2], dims[3]);
    }
    let (plane, dims) = (size(&[y.windows, x.windows])?, vec![1, out, y.windows, x.windows]);
    let bias = match call.optional_constant(2)? {
        None => 0.0.into(),
        Some(bias) if bias.dims == [out] => {
            let bias = bias.floats()?;
            if bias.iter().all(|b| b.to_bits() == bias[0].to_bits()) {
                bias[0].into()
            } else {
                build.reserve(size(&dims)?)?;
                let mut each = Vec::with_capacity(bias.len() * plane);
                bias.iter().for_each(|&b| each.extend(std::iter::repeat_n(b, plane)));
                numbers(each)
            }
        }
        Some(bias) => return Err(format!("a bias of shape {:?}, expected [{out}]", bias.dims)),
    };
    let op = Op::Linear { links: Links::Conv2d(conv), weights: weights.floats()?.to_vec().into(), bias };
    build.push(call.output, dims, vec![from], op)
}

pub(super) fn max_pool(build: &mut Build, call: &Call) -> Result<Value, Reason> {
    call.at_most(1)?;
    call.attributes.ignore(&["storage_order"]);
    let (from, dims) = call.node(0)?;
    let (channels, [h, w]) = image(dims)?;
    let [y, x] = windows(call, [h, w], kernel(call)?)?;
    let (rows, columns) = (places(build, y)?, places(build, x)?);
    let all = |places: &[Vec<usize>]| places.iter().map(Vec::len).sum::<usize>();
    let entries = size(&[channels, all(&rows), all(&columns)])?;
    let targets = size(&[channels, y.windows, x.windows])?;
    build.reserve(entries + targets)?;
    let (mut ends, mut sources) = (Vec::with_capacity(targets + 1), Vec::with_capacity(entries));
    ends.push(0);
    for c in 0..channels {
        for row in &rows {
            for column in &columns {
                row.iter().for_each(|iy| sources.extend(column.iter().map(|ix| ((c * h + iy) * w + ix) as u32)));
                ends.push(sources.len() as u32);
            }
        }
    }
    build.push(call.output, vec![dims[0], dims[1], y.windows, x.windows], vec![from], Op::Max { ends, sources })
}

/// The places of all windows along an axis.
fn places(build: &mut Build, axis: Axis) -> Result<Vec<Vec<usize>>, Reason> {
    build.reserve(looks(axis)?.saturating_add(3 * axis.windows))?;
    Ok((0..axis.windows).map(|o| axis.places(o).collect()).collect())
}

/// How many places all windows of an axis look at, at most.
fn looks(axis: Axis) -> Result<usize, Reason> {
    size(&[axis.windows, axis.kernel])
}

pub(super) fn average_pool(build: &mut Build, call: &Call) -> Result<Value, Reason> {
    call.at_most(1)?;
    let (from, dims) = call.node(0)?;
    let (channels, [h, w]) = image(dims)?;
    let padding = call.attributes.int("count_include_pad", 0)? != 0;
    let [y, x] = windows(call, [h, w], kernel(call)?)?;
    build.reserve(looks(y)? + looks(x)? + 3 * (y.size + x.size))?;
    let counts = |axis: Axis| (0..axis.windows).map(|o| axis.count(o, padding)).collect::<Vec<_>>();
    let (rows, columns) = (counts(y), counts(x));
    let same = |counts: &[usize]| counts.iter().all(|&n| n == counts[0] && n > 0);
    let pool =
        SumPool2d { stride: (y.stride, x.stride), padding: (y.before, x.before), ..SumPool2d::new(channels, h, w, (y.kernel, x.kernel)) };
    let plain = y.is_even() && x.is_even() && y.dilation * x.dilation == 1 && pool.output() == (y.windows, x.windows);
    let (links, weights) = if plain && same(&rows) && same(&columns) {
        (Links::SumPool2d(pool), (1.0 / (rows[0] * columns[0]) as f32).into())
    } else {
        let (to_rows, to_columns) = (y.heard_by(), x.heard_by());
        let all = |lists: &[Vec<usize>]| lists.iter().map(Vec::len).sum::<usize>();
        let entries = size(&[channels, all(&to_rows), all(&to_columns)])?;
        build.reserve(size(dims)?.saturating_add(2 * entries))?;
        let (mut ends, mut targets, mut weights) = (vec![0], Vec::with_capacity(entries), Vec::with_capacity(entries));
        for c in 0..channels {
            for windows_y in &to_rows {
                for windows_x in &to_columns {
                    for &oy in windows_y {
                        targets.extend(windows_x.iter().map(|ox| ((c * y.windows + oy) * x.windows + ox) as u32));
                        weights.extend(windows_x.iter().map(|&ox| 1.0 / (rows[oy] * columns[ox]) as f32));
                    }
                    ends.push(targets.len() as u32);
                }
            }
        }
        (Links::Csr { ends, targets }, weights.into())
    };
    let dims = vec![dims[0], dims[1], y.windows, x.windows];
    build.push(call.output, dims, vec![from], Op::Linear { links, weights, bias: 0.0.into() })
}

pub(super) fn global_average(build: &mut Build, call: &Call) -> Result<Value, Reason> {
    call.at_most(1)?;
    let (from, dims) = call.node(0)?;
    let (channels, [h, w]) = image(dims)?;
    let links = Links::SumPool2d(SumPool2d::new(channels, h, w, (h, w)));
    let weights = (1.0 / (h as f32 * w as f32)).into();
    build.push(call.output, vec![dims[0], dims[1], 1, 1], vec![from], Op::Linear { links, weights, bias: 0.0.into() })
}
