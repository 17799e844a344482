//! Sliding windows over images: convolution with shared weights, and sum pooling.

use serde::{Deserialize, Serialize};

/// A two-dimensional convolution: every target hears a window of the source's image, all windows through the same weights.
///
/// ```text
/// out[o, y, x] = Σ_{c,i,j} w[o, c, i, j] · in[first(o) + c, s_h·y + d_h·i − p_h, s_w·x + d_w·j − p_w]
/// ```
/// with stride `s`, dilation `d`, padding `p` (zeros outside the image) and the first source channel `first(o)` of the group of `o`. The
/// kernel is not flipped, there is no bias: PyTorch's and NIR's `Conv2d`. Units are numbered channel by channel, row by row (C, H, W), as
/// PyTorch's `flatten` does; weights stand as `[channels_out][channels_in / groups][kernel height][kernel width]`.
///
/// All pairs are (height, width).
///
/// ```
/// use snn_core::{Net, Seed, ms, net::{Connect, Conv2d, Init, SumPool2d}, neuron::{Li, Lif}};
/// let conv = Conv2d::new(2, 34, 34, 16, (5, 5)).stride((2, 2));      // 2 × 34 × 34 -> 16 × 15 × 15
/// let pool = SumPool2d::new(16, 15, 15, (3, 3));                     // -> 16 × 5 × 5
/// let net = Net::new(ms(1.0))
///     .input("events", conv.sources())
///     .population("edges", conv.targets(), Lif::default())
///     .population("places", pool.targets(), Lif::default())
///     .population("out", 10, Li::default())
///     .project("events", "edges", Connect::Conv2d(conv), Init::normal(0.2))
///     .project("edges", "places", Connect::SumPool2d(pool), Init::Constant(1.0 / 9.0)) // the mean of nine
///     .project("places", "out", Connect::All, Init::normal(0.1))
///     .output("out")
///     .build(Seed::new(1))?;
/// assert_eq!(net.draft().projections[0].weights.given().len(), 16 * 2 * 5 * 5);
/// # Ok::<(), snn_core::NetworkError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv2d {
    /// Channels of the source.
    pub channels_in: usize,
    /// Height of the source's image.
    pub height: usize,
    /// Width of the source's image.
    pub width: usize,
    /// Channels of the target.
    pub channels_out: usize,
    /// Size of the window.
    pub kernel: (usize, usize),
    /// Steps from window to window.
    #[serde(default = "ones")]
    pub stride: (usize, usize),
    /// Rows and columns of zeros added on each side of the image.
    #[serde(default)]
    pub padding: (usize, usize),
    /// Steps from weight to weight within the window.
    #[serde(default = "ones")]
    pub dilation: (usize, usize),
    /// The channels are cut into this many groups that do not hear each other.
    #[serde(default = "one")]
    pub groups: usize,
}

/// Sum pooling: every target hears the sum over a window of one channel, times one weight. No weight is learned.
///
/// ```text
/// out[c, y, x] = w · Σ_{i,j} in[c, s_h·y + i − p_h, s_w·x + j − p_w]
/// ```
/// NIR's `SumPool2d` with `w = 1`; average pooling with `w = 1 / (kernel height · kernel width)`. Learning leaves `w` as it is. Pairs are
/// (height, width), units are numbered as in [`Conv2d`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SumPool2d {
    /// Channels of source and target.
    pub channels: usize,
    /// Height of the source's image.
    pub height: usize,
    /// Width of the source's image.
    pub width: usize,
    /// Size of the window.
    pub kernel: (usize, usize),
    /// Steps from window to window.
    pub stride: (usize, usize),
    /// Rows and columns of zeros added on each side of the image.
    #[serde(default)]
    pub padding: (usize, usize),
}

fn one() -> usize {
    1
}
fn ones() -> (usize, usize) {
    (1, 1)
}

impl Conv2d {
    /// Windows of `kernel` at every place: stride 1, no padding, no dilation, one group.
    pub const fn new(channels_in: usize, height: usize, width: usize, channels_out: usize, kernel: (usize, usize)) -> Self {
        Conv2d { channels_in, height, width, channels_out, kernel, stride: (1, 1), padding: (0, 0), dilation: (1, 1), groups: 1 }
    }
    /// The same with another stride.
    pub const fn stride(self, stride: (usize, usize)) -> Self {
        Conv2d { stride, ..self }
    }
    /// The same with another padding.
    pub const fn padding(self, padding: (usize, usize)) -> Self {
        Conv2d { padding, ..self }
    }
    /// The same with another dilation.
    pub const fn dilation(self, dilation: (usize, usize)) -> Self {
        Conv2d { dilation, ..self }
    }
    /// The same in several groups; `groups = channels_in` is a depthwise convolution.
    pub const fn groups(self, groups: usize) -> Self {
        Conv2d { groups, ..self }
    }

    /// Units of the source.
    pub fn sources(&self) -> usize {
        product([self.channels_in, self.height, self.width])
    }
    /// Units of the target.
    pub fn targets(&self) -> usize {
        let (height, width) = self.output();
        product([self.channels_out, height, width])
    }
    /// Height and width of the target's image; 0 where no window fits.
    pub fn output(&self) -> (usize, usize) {
        (self.rows().windows(), self.columns().windows())
    }
    /// Number of weights.
    pub fn weights(&self) -> usize {
        product([self.channels_out, self.channels_in / self.groups.max(1), self.kernel.0, self.kernel.1])
    }
    /// Number of links: pairs of a source and a target, those to the padding not counted.
    pub fn links(&self) -> usize {
        let along = |axis: Axis| (0..axis.size).map(|x| axis.taps(x).count()).sum::<usize>();
        product([self.channels_out, self.channels_in / self.groups.max(1), along(self.rows()), along(self.columns())])
    }
    /// The windows along the height.
    pub fn rows(&self) -> Axis {
        let (kernel, stride, padding, dilation) = (self.kernel.0, self.stride.0, self.padding.0, self.dilation.0);
        Axis { size: self.height, kernel, stride, padding, dilation }
    }
    /// The windows along the width.
    pub fn columns(&self) -> Axis {
        let (kernel, stride, padding, dilation) = (self.kernel.1, self.stride.1, self.padding.1, self.dilation.1);
        Axis { size: self.width, kernel, stride, padding, dilation }
    }

    /// The links of source `i` as `(target, weight)`, targets ascending.
    pub fn fan_out(&self, i: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let conv = *self;
        let ((height, width), (per_in, per_out)) = (conv.output(), (conv.channels_in / conv.groups, conv.channels_out / conv.groups));
        let (channel, y, x) = (i / (conv.height * conv.width), i / conv.width % conv.height, i % conv.width);
        let (group, c) = (channel / per_in, channel % per_in);
        (group * per_out..(group + 1) * per_out).flat_map(move |o| {
            conv.rows().taps(y).flat_map(move |(oy, ky)| {
                let (target, weight) = ((o * height + oy) * width, ((o * per_in + c) * conv.kernel.0 + ky) * conv.kernel.1);
                conv.columns().taps(x).map(move |(ox, kx)| (target + ox, weight + kx))
            })
        })
    }

    /// What is impossible about this window between groups of these sizes, if anything is.
    pub(super) fn check(&self, sources: usize, targets: usize) -> Result<(), String> {
        let pairs = [("kernel", self.kernel, 1), ("stride", self.stride, 1), ("padding", self.padding, 0), ("dilation", self.dilation, 1)];
        for (name, (h, w), least) in pairs {
            if h.min(w) < least || h.max(w) > i32::MAX as usize {
                return Err(format!("{name} ({h}, {w}): both must be {least} or more (below 2³¹)"));
            }
        }
        let (n, c_in, c_out) = (self.groups, self.channels_in, self.channels_out);
        if n == 0 || !c_in.is_multiple_of(n) || !c_out.is_multiple_of(n) {
            return Err(format!("{n} groups: must be 1 or more and divide the channels, {c_in} in and {c_out} out"));
        }
        if self.sources() != sources {
            let (h, w) = (self.height, self.width);
            return Err(format!(
                "the source must have {c_in} × {h} × {w} (channels × height × width) = {} units, not {sources}",
                self.sources()
            ));
        }
        for (name, axis) in [("height", self.rows()), ("width", self.columns())] {
            if axis.windows() == 0 {
                let (extent, size, padding) = (axis.extent(), axis.size, axis.padding);
                return Err(format!("the window's {name} {extent} does not fit into {size} with a padding of {padding} on each side"));
            }
        }
        if self.targets() != targets {
            let (h, w) = self.output();
            return Err(format!(
                "the target must have {c_out} × {h} × {w} (channels × height × width) = {} units, not {targets}",
                self.targets()
            ));
        }
        match self.weights() {
            count if count > u32::MAX as usize => Err(format!("{count} weights are more than a projection holds ({})", u32::MAX)),
            _ => Ok(()),
        }
    }
}

impl SumPool2d {
    /// Windows of `kernel` side by side: the stride is the kernel's size, no padding.
    pub const fn new(channels: usize, height: usize, width: usize, kernel: (usize, usize)) -> Self {
        SumPool2d { channels, height, width, kernel, stride: kernel, padding: (0, 0) }
    }
    /// The same with another stride.
    pub const fn stride(self, stride: (usize, usize)) -> Self {
        SumPool2d { stride, ..self }
    }
    /// The same with another padding.
    pub const fn padding(self, padding: (usize, usize)) -> Self {
        SumPool2d { padding, ..self }
    }
    /// The convolution with the same links: channel by channel.
    pub const fn depthwise(&self) -> Conv2d {
        let conv = Conv2d::new(self.channels, self.height, self.width, self.channels, self.kernel);
        conv.stride(self.stride).padding(self.padding).groups(self.channels)
    }
    /// Units of the source.
    pub fn sources(&self) -> usize {
        self.depthwise().sources()
    }
    /// Units of the target.
    pub fn targets(&self) -> usize {
        self.depthwise().targets()
    }
    /// Height and width of the target's image; 0 where no window fits.
    pub fn output(&self) -> (usize, usize) {
        self.depthwise().output()
    }
}

/// Sliding windows along one axis of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// Length of the image.
    pub size: usize,
    /// Weights in the window.
    pub kernel: usize,
    /// Steps from window to window.
    pub stride: usize,
    /// Zeros added on each side.
    pub padding: usize,
    /// Steps from weight to weight.
    pub dilation: usize,
}

impl Axis {
    /// Length of the window, first weight to last.
    fn extent(self) -> usize {
        self.dilation.saturating_mul(self.kernel.saturating_sub(1)).saturating_add(1)
    }

    /// Number of windows; 0 if none fits.
    pub fn windows(self) -> usize {
        let padded = self.padding.saturating_mul(2).saturating_add(self.size);
        padded.checked_sub(self.extent()).map_or(0, |rest| rest / self.stride.max(1) + 1)
    }

    /// The windows that hear position `x`, ascending, and with which weight each: `(window, weight)`.
    pub fn taps(self, x: usize) -> impl Iterator<Item = (usize, usize)> {
        let x = x + self.padding;
        let first = (x + 1).saturating_sub(self.extent()).div_ceil(self.stride);
        let end = (x / self.stride + 1).min(self.windows());
        (first..end)
            .map(move |o| (o, x - o * self.stride))
            .filter(move |(_, k)| k % self.dilation == 0)
            .map(move |(o, k)| (o, k / self.dilation))
    }
}

/// The product, or the largest number.
fn product<const N: usize>(numbers: [usize; N]) -> usize {
    // From 1, so that a zero stays a zero.
    if numbers.contains(&0) { 0 } else { numbers.into_iter().fold(1, usize::saturating_mul) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The taps are all solutions of `window·stride + weight·dilation = x + padding`.
        #[test]
        fn taps_solve_the_window_equation(size in 1usize..12, kernel in 1usize..5, stride in 1usize..4, padding in 0usize..4, dilation in 1usize..4) {
            let axis = Axis { size, kernel, stride, padding, dilation };
            let fits = |o: usize| o * stride + (kernel - 1) * dilation < size + 2 * padding;
            prop_assert_eq!(axis.windows(), (0..40).filter(|&o| fits(o)).count());
            for x in 0..size {
                let all = (0..axis.windows()).flat_map(|o| (0..kernel).map(move |k| (o, k)));
                let expected: Vec<_> = all.filter(|(o, k)| o * stride + k * dilation == x + padding).collect();
                prop_assert_eq!(axis.taps(x).collect::<Vec<_>>(), expected);
            }
        }
    }

    #[test]
    fn sizes_are_those_of_pytorch() {
        // torch.nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 3), groups=2) on 4 × 9 × 8 gives 6 × 5 × 5.
        let conv = Conv2d::new(4, 9, 8, 6, (3, 2)).stride((2, 1)).padding((1, 0)).dilation((1, 3)).groups(2);
        assert_eq!((conv.output(), conv.weights()), ((5, 5), 6 * 2 * 3 * 2));
        assert_eq!(conv.links(), (0..conv.sources()).map(|i| conv.fan_out(i).count()).sum::<usize>());
        assert_eq!(SumPool2d::new(3, 7, 6, (3, 2)).output(), (2, 3));
    }
}
