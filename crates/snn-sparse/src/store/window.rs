use crate::lanes::{LANES, blocks};
use snn_core::net::{Axis, Conv2d};

/// The links of a [`Conv2d`], lowered: which lanes of a block a source reaches, through which weights. The matrix is never unrolled:
/// memory is 12 bytes per source, 12 per row and column of the image, 12 per channel and 36 per block of targets.
#[derive(Clone, Debug)]
pub(super) struct Window {
    conv: Conv2d,
    /// Height and width of the target's image.
    output: (usize, usize),
    /// Weights of a channel of the target.
    kernels: usize,
    /// Per source: channel, row, column.
    place: Vec<[u32; 3]>,
    /// Per source channel: the target channels of its group, first and end, and its first weight among those of a target channel.
    channels: Vec<[u32; 3]>,
    rows: Taps,
    columns: Taps,
    /// Place of each kernel column within a row of weights: in the order in which neighbouring targets hear a source.
    order: Vec<usize>,
    blocks: Vec<Part>,
}

/// What a block of targets covers: some rows of its first channel, all of those between, some rows of the last.
#[derive(Clone, Copy, Debug)]
struct Part {
    channels: [u32; 2],
    first_row: u32,
    end_row: u32,
    /// Source channels that may have links into the block: first, number.
    from: [u32; 2],
    /// Source rows likewise, `outside` the stretch or inside it: first, number.
    stretch: [u32; 2],
    outside: bool,
}

/// Per position of an axis: the windows that hear it. They stand at equal distances, and so do the weights, backwards.
#[derive(Clone, Debug)]
struct Taps {
    /// Per position: the first window, its weight, and how many windows.
    first: Vec<[u32; 3]>,
    /// From window to window.
    window: usize,
    /// From weight to weight.
    weight: usize,
}

impl Taps {
    fn new(axis: Axis) -> Self {
        let first = |x| {
            let (o, k) = axis.taps(x).next().unwrap_or((0, 0));
            [o as u32, k as u32, axis.taps(x).count() as u32]
        };
        // o·stride + k·dilation = x + padding: the next solution is these steps further.
        let common = greatest_common_divisor(axis.stride, axis.dilation);
        Taps { first: (0..axis.size).map(first).collect(), window: axis.dilation / common, weight: axis.stride / common }
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

impl Part {
    /// Whether a source at this channel, row and column may have links into the block.
    #[inline(always)]
    fn may_hear(&self, [c, y, _]: [u32; 3]) -> bool {
        (c.wrapping_sub(self.from[0]) < self.from[1]) & ((y.wrapping_sub(self.stretch[0]) < self.stretch[1]) != self.outside)
    }
}

impl Window {
    pub fn new(conv: Conv2d) -> Self {
        let ((height, width), (per_in, per_out)) = (conv.output(), (conv.channels_in / conv.groups, conv.channels_out / conv.groups));
        let (plane, kernel, targets) = (height * width, conv.kernel.0 * conv.kernel.1, conv.targets());
        let extent = conv.dilation.0 * (conv.kernel.0 - 1) + 1;
        let place = |i: usize| [i / (conv.height * conv.width), i / conv.width % conv.height, i % conv.width].map(|x| x as u32);
        let channel = |c: usize| [c / per_in * per_out, (c / per_in + 1) * per_out, c % per_in * kernel].map(|x| x as u32);
        let part = |b: usize| {
            let (first, last) = (b * LANES, ((b + 1) * LANES).min(targets) - 1);
            let channels = [first / plane, last / plane + 1].map(|c| c as u32);
            let (first_row, end_row) = ((first % plane / width) as u32, (last % plane / width + 1) as u32);
            let groups = [channels[0] as usize / per_out, (channels[1] as usize - 1) / per_out];
            let from = [groups[0] * per_in, (groups[1] + 1 - groups[0]) * per_in].map(|c| c as u32);
            // The first and the last source row heard by target row `o`, or beyond.
            let top = |o: u32| (o as usize * conv.stride.0).saturating_sub(conv.padding.0).min(conv.height) as u32;
            let end = |o: u32| (o as usize * conv.stride.0 + extent).saturating_sub(conv.padding.0).min(conv.height) as u32;
            let (stretch, outside) = match channels[1] - channels[0] {
                1 => ([top(first_row), end(end_row - 1) - top(first_row)], false),
                2 => ([end(end_row - 1), top(first_row).saturating_sub(end(end_row - 1))], true),
                _ => ([0, conv.height as u32], false),
            };
            Part { channels, first_row, end_row, from, stretch, outside }
        };
        let (rows, mut columns) = (Taps::new(conv.rows()), Taps::new(conv.columns()));
        // Kernel columns that meet in one source stand together, the last one first.
        let mut columns_by_phase: Vec<usize> = (0..conv.kernel.1).rev().collect();
        columns_by_phase.sort_by_key(|k| k % columns.weight);
        let mut order = vec![0; conv.kernel.1];
        columns_by_phase.into_iter().enumerate().for_each(|(place, k)| order[k] = place);
        columns.first.iter_mut().for_each(|[_, k, _]| *k = order[*k as usize] as u32);
        Window {
            conv,
            output: (height, width),
            kernels: per_in * kernel,
            place: (0..conv.sources()).map(place).collect(),
            channels: (0..conv.channels_in).map(channel).collect(),
            rows,
            columns,
            order,
            blocks: (0..blocks(targets)).map(part).collect(),
        }
    }

    /// Number of links.
    pub fn links(&self) -> usize {
        self.conv.links()
    }

    /// Where each weight of the description stands.
    pub fn slots(&self) -> Vec<usize> {
        let width = self.order.len();
        (0..self.conv.weights()).map(|k| k / width * width + self.order[k % width]).collect()
    }

    /// Number of links of source `i`.
    pub fn fan_out(&self, i: u32) -> usize {
        let [c, y, x] = self.place[i as usize];
        let [first, end, _] = self.channels[c as usize];
        ((end - first) * self.rows.first[y as usize][2] * self.columns.first[x as usize][2]) as usize
    }

    /// Every link as `(source, target, weight)`.
    pub fn triplets(&self) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        (0..self.conv.sources()).flat_map(|i| self.conv.fan_out(i).map(move |(j, k)| (i, j, k)))
    }

    /// Whether the targets of a source in one row are neighbours, at most this many.
    pub fn neighbours(&self, most: usize) -> bool {
        self.columns.window == 1 && self.columns.first.iter().all(|&[.., count]| count as usize <= most)
    }

    /// Calls `hit(i)` for those of the sources that may have links into `block`, in order.
    #[inline(always)]
    pub fn sift(&self, block: usize, sources: &[u32], mut hit: impl FnMut(u32)) {
        let part = &self.blocks[block];
        let mut hits = [0; 32];
        // First a list without a branch that depends on the data, then the work.
        for sources in sources.chunks(hits.len()) {
            let mut count = 0;
            for &i in sources {
                hits[count % hits.len()] = i;
                count += usize::from(part.may_hear(self.place[i as usize]));
            }
            hits[..count].iter().for_each(|&i| hit(i));
        }
    }

    /// Calls `row(lane, slot, count)` for every row of the target's image in which source `i` has links, if the row lies in `block`: to
    /// `count` targets from `lane` on, through the weights from `slot` on. A row may begin before the block (`lane` wraps around) or end
    /// after it.
    #[inline(always)]
    pub fn rows(&self, block: usize, i: u32, mut row: impl FnMut(usize, usize, usize)) {
        let [c, y, x] = self.place[i as usize];
        let ([group, group_end, first], part) = (self.channels[c as usize], &self.blocks[block]);
        let [start, end] = part.channels;
        for o in group.max(start)..group_end.min(end) {
            let [oy, ky, rows] = self.rows.first[y as usize];
            let [ox, kx, count] = self.columns.first[x as usize];
            // Rows of the channel in this block, counted from the first that hears the source.
            let mut here = (if o == start { part.first_row } else { 0 }).saturating_sub(oy);
            let mut end = (if o + 1 == end { part.end_row } else { self.output.0 as u32 }).saturating_sub(oy);
            if self.rows.window != 1 {
                here = here.div_ceil(self.rows.window as u32);
                end = end.div_ceil(self.rows.window as u32);
            }
            let lane = (o as usize * self.output.0 * self.output.1 + ox as usize).wrapping_sub(block * LANES);
            let slot = o as usize * self.kernels + first as usize + kx as usize;
            for n in here as usize..end.min(rows) as usize {
                let (oy, ky) = (oy as usize + n * self.rows.window, ky as usize - n * self.rows.weight);
                row(lane.wrapping_add(oy * self.output.1), slot + ky * self.order.len(), count as usize);
            }
        }
    }

    /// Calls `link(lane, slot)` for every link of source `i` into `block`.
    #[inline(always)]
    pub fn each(&self, block: usize, i: u32, mut link: impl FnMut(usize, usize)) {
        let step = self.columns.window;
        if !self.blocks[block].may_hear(self.place[i as usize]) {
            return;
        }
        self.rows(block, i, |lane, slot, count| {
            for n in 0..count {
                let lane = lane.wrapping_add(n * step);
                if lane < LANES {
                    link(lane, slot + n);
                }
            }
        });
    }
}
