//! What the networks are made of, as numbers: layers, shapes, parameters, multiplications.

/// The four structures of Choi et al. 2017. kX: dimensions of the kernels, cX: dimensions in which they move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Four convolutions along time only (1×4); frequencies meet in the dense layers.
    K1c2,
    /// The first convolution spans all bands (bands×4), three more go along time (1×4); dense layers.
    K2c1,
    /// Five convolutions of 3×3, pooled to one point: fully convolutional.
    K2c2,
    /// Four convolutions of 3×3, then two gated recurrent layers over what is left of time.
    Crnn,
}

impl Kind {
    /// All four.
    pub const ALL: [Kind; 4] = [Kind::K1c2, Kind::K2c1, Kind::K2c2, Kind::Crnn];

    /// Its name in the paper.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::K1c2 => "k1c2",
            Kind::K2c1 => "k2c1",
            Kind::K2c2 => "k2c2",
            Kind::Crnn => "CRNN",
        }
    }
}

/// The pictures that go in and how they are pooled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Mel bands.
    pub bands: usize,
    /// Frames.
    pub frames: usize,
    /// Frames of zeros on each side, for the CRNN only.
    pub pad: usize,
    /// Pools of k1c2 and k2c1, along time.
    pub along: [usize; 4],
    /// Pools of k2c2 (bands, frames).
    pub k2c2: [(usize, usize); 5],
    /// Pools of the CRNN.
    pub crnn: [(usize, usize); 4],
}

impl Picture {
    /// The paper's: 96 × 1366, padded to 1440 = 2·3·4·4·15 for the CRNN `[code]`; k1c2 and k2c1 `[recalled]`.
    pub const MUSIC: Picture = Picture {
        bands: 96,
        frames: 1366,
        pad: 37,
        along: [4, 5, 8, 8],
        k2c2: [(2, 4), (2, 4), (2, 4), (3, 5), (4, 4)],
        crnn: [(2, 2), (3, 3), (4, 4), (4, 4)],
    };
    /// Tones of 2.56 s: 40 × 160, ten steps for the CRNN. The last pool of k2c2 takes four steps of the whole, as the paper's does.
    pub const TONES: Picture = Picture {
        bands: 40,
        frames: 160,
        pad: 0,
        along: [4, 5, 4, 2],
        k2c2: [(2, 2), (2, 2), (2, 2), (5, 5), (1, 4)],
        crnn: [(2, 2), (2, 2), (2, 2), (5, 2)],
    };
    /// Spoken words of about a second: 40 × 64, eight steps for the CRNN.
    pub const WORDS: Picture = Picture {
        bands: 40,
        frames: 64,
        pad: 0,
        along: [4, 4, 2, 2],
        k2c2: [(2, 2), (2, 2), (2, 2), (5, 2), (1, 4)],
        crnn: [(2, 2), (2, 2), (2, 2), (5, 1)],
    };
}

/// Maps of k2c2 for 0.1, 0.25, 0.5, 1 and 3 million parameters `[recalled]`; the counts agree.
pub const K2C2_MAPS: [[usize; 5]; 5] =
    [[20, 41, 41, 62, 83], [33, 66, 66, 100, 133], [47, 95, 95, 142, 190], [67, 135, 135, 203, 271], [118, 236, 236, 355, 473]];
/// Maps of the CRNN for the same sizes; its recurrent layers are as wide as its first convolution `[recalled]`; the counts agree.
pub const CRNN_MAPS: [[usize; 4]; 5] = [[30, 60, 60, 60], [48, 96, 96, 96], [68, 137, 137, 137], [96, 195, 195, 195], [169, 339, 339, 339]];

/// A convolution with zeros around (the result has the size of the picture, but for a kernel that spans all bands), batch norm, ELU, max pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Block {
    /// Maps.
    pub maps: usize,
    /// Kernel (bands, frames).
    pub kernel: (usize, usize),
    /// Whether the kernel spans all bands, and one row is left.
    pub spans: bool,
    /// Pool (bands, frames); what does not fill a window is left out.
    pub pool: (usize, usize),
}

/// What follows the convolutions, before the output layer.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Tail {
    /// Dense layers of these widths, on all numbers that are left.
    Dense(Vec<usize>),
    /// Two gated recurrent layers of this width over time; the last state goes on.
    Gru(usize),
}

/// A network: picture → batch norm per band → blocks → tail → one number for each tag.
///
/// ```
/// use snn_repro::dense::plan::{CRNN_MAPS, Picture, Plan};
/// let crnn = Plan::crnn(&Picture::MUSIC, CRNN_MAPS[0], 30, 50);
/// assert_eq!((crnn.weights(), crnn.steps()), (96_710, 15));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Plan {
    /// Which structure.
    pub kind: Kind,
    /// Bands of the picture.
    pub bands: usize,
    /// Frames of the picture.
    pub frames: usize,
    /// Frames of zeros on each side.
    pub pad: usize,
    /// The convolutions.
    pub blocks: Vec<Block>,
    /// What follows them.
    pub tail: Tail,
    /// Outputs.
    pub tags: usize,
}

/// A network that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A pool or kernel is wider than what is left of the picture.
    #[error("{kind}, block {block}: nothing is left of {height} × {width}; use smaller pools or a larger picture", kind = kind.name())]
    Empty {
        /// The structure.
        kind: Kind,
        /// The block, from 0.
        block: usize,
        /// Rows before it.
        height: usize,
        /// Columns before it.
        width: usize,
    },
    /// A width of zero.
    #[error("{kind}: {what} must be 1 or more", kind = kind.name())]
    Zero {
        /// The structure.
        kind: Kind,
        /// What.
        what: &'static str,
    },
}

impl Plan {
    /// k1c2 of these maps and two dense layers of width `dense`.
    pub fn k1c2(picture: &Picture, maps: [usize; 4], dense: usize, tags: usize) -> Plan {
        let block = |k: usize| Block { maps: maps[k], kernel: (1, 4), spans: false, pool: (1, picture.along[k]) };
        Plan::new(Kind::K1c2, picture, (0..4).map(block).collect(), Tail::Dense(vec![dense; 2]), tags)
    }

    /// k2c1: as k1c2, but the first kernel spans all bands.
    pub fn k2c1(picture: &Picture, maps: [usize; 4], dense: usize, tags: usize) -> Plan {
        let kernel = |k: usize| if k == 0 { (picture.bands, 4) } else { (1, 4) };
        let block = |k: usize| Block { maps: maps[k], kernel: kernel(k), spans: k == 0, pool: (1, picture.along[k]) };
        Plan::new(Kind::K2c1, picture, (0..4).map(block).collect(), Tail::Dense(vec![dense; 2]), tags)
    }

    /// k2c2 of these maps.
    pub fn k2c2(picture: &Picture, maps: [usize; 5], tags: usize) -> Plan {
        let block = |k: usize| Block { maps: maps[k], kernel: (3, 3), spans: false, pool: picture.k2c2[k] };
        Plan::new(Kind::K2c2, picture, (0..5).map(block).collect(), Tail::Dense(Vec::new()), tags)
    }

    /// CRNN of these maps, with recurrent layers of width `gru`.
    pub fn crnn(picture: &Picture, maps: [usize; 4], gru: usize, tags: usize) -> Plan {
        let block = |k: usize| Block { maps: maps[k], kernel: (3, 3), spans: false, pool: picture.crnn[k] };
        Plan { pad: picture.pad, ..Plan::new(Kind::Crnn, picture, (0..4).map(block).collect(), Tail::Gru(gru), tags) }
    }

    fn new(kind: Kind, picture: &Picture, blocks: Vec<Block>, tail: Tail, tags: usize) -> Plan {
        Plan { kind, bands: picture.bands, frames: picture.frames, pad: 0, blocks, tail, tags }
    }

    /// The network of width `s`: the proportions of the tables ([`K2C2_MAPS`], [`CRNN_MAPS`]), rounded down.
    fn of_width(kind: Kind, picture: &Picture, tags: usize, s: f64) -> Plan {
        let n = |part: f64| ((part * s) as usize).max(1);
        match kind {
            Kind::K1c2 => Plan::k1c2(picture, [n(1.0), n(1.0), n(2.0), n(2.0)], n(2.0), tags),
            Kind::K2c1 => Plan::k2c1(picture, [n(1.0), n(1.0), n(2.0), n(2.0)], n(2.0), tags),
            Kind::K2c2 => Plan::k2c2(picture, [n(1.0), n(2.0), n(2.0), n(3.0), n(4.0)], tags),
            Kind::Crnn => Plan::crnn(picture, [n(1.0), n(2.0), n(2.0), n(2.0)], n(1.0), tags),
        }
    }

    /// The network of this structure with about `target` parameters: only widths scale, never depth or kernels.
    pub fn near(kind: Kind, picture: &Picture, tags: usize, target: usize) -> Plan {
        let widths = (20..).map(|k| Plan::of_width(kind, picture, tags, f64::from(k) / 20.0));
        let mut best = Plan::of_width(kind, picture, tags, 1.0);
        for plan in widths {
            if plan.weights().abs_diff(target) < best.weights().abs_diff(target) {
                best = plan.clone();
            }
            // Wider networks have more parameters.
            if plan.weights() >= target {
                break;
            }
        }
        best
    }

    /// Maps, rows and columns after each block.
    ///
    /// # Errors
    /// [`PlanError`] if a width is 0 or nothing is left of the picture.
    pub fn shapes(&self) -> Result<Vec<(usize, usize, usize)>, PlanError> {
        let zero = |what| Err(PlanError::Zero { kind: self.kind, what });
        let widths: &[usize] = match &self.tail {
            Tail::Dense(widths) => widths,
            Tail::Gru(width) => std::slice::from_ref(width),
        };
        if self.blocks.is_empty() || self.tags == 0 || widths.contains(&0) {
            return zero("each width and number of layers");
        }
        let (mut height, mut width) = (self.bands, self.frames + 2 * self.pad);
        let mut shapes = Vec::new();
        for (block, b) in self.blocks.iter().enumerate() {
            if b.maps.min(b.kernel.0).min(b.kernel.1).min(b.pool.0).min(b.pool.1) == 0 {
                return zero("each width, kernel and pool");
            }
            let (h, w) = ((b.rows(height) / b.pool.0), width / b.pool.1);
            if h * w == 0 {
                return Err(PlanError::Empty { kind: self.kind, block, height, width });
            }
            (height, width) = (h, w);
            shapes.push((b.maps, height, width));
        }
        Ok(shapes)
    }

    /// Time steps left for the tail; 0 for a network that cannot be.
    pub fn steps(&self) -> usize {
        self.last().map_or(0, |(_, _, width)| width)
    }

    fn last(&self) -> Option<(usize, usize, usize)> {
        self.shapes().ok()?.last().copied()
    }

    /// Trained weights and biases, without those of batch norms: what the paper counts. 0 for a network that cannot be.
    pub fn weights(&self) -> usize {
        let Some((maps, height, width)) = self.last() else { return 0 };
        let mut channels = 1;
        let mut sum = 0;
        for b in &self.blocks {
            sum += b.kernel.0 * b.kernel.1 * channels * b.maps + b.maps;
            channels = b.maps;
        }
        let gru = |inputs: usize, n: usize| 3 * (inputs * n + n * n + n);
        let (tail, last) = match &self.tail {
            Tail::Gru(n) => (gru(maps * height, *n) + gru(*n, *n), *n),
            Tail::Dense(widths) => widths.iter().fold((0, maps * height * width), |(sum, from), n| (sum + from * n + n, *n)),
        };
        sum + tail + last * self.tags + self.tags
    }

    /// Multiplications with a weight for one picture, batch norms not counted. 0 for a network that cannot be.
    pub fn macs(&self) -> usize {
        let Ok(shapes) = self.shapes() else { return 0 };
        let (mut channels, mut height, mut width, mut sum) = (1, self.bands, self.frames + 2 * self.pad, 0);
        for (b, &shape) in self.blocks.iter().zip(&shapes) {
            sum += b.kernel.0 * b.kernel.1 * channels * b.maps * b.rows(height) * width;
            (channels, height, width) = shape;
        }
        let gru = |inputs: usize, n: usize| 3 * (inputs * n + n * n);
        let (tail, last) = match &self.tail {
            Tail::Gru(n) => (width * (gru(channels * height, *n) + gru(*n, *n)), *n),
            Tail::Dense(widths) => widths.iter().fold((0, channels * height * width), |(sum, from), n| (sum + from * n, *n)),
        };
        sum + tail + last * self.tags
    }
}

impl Block {
    /// Rows of the convolution over `height` rows.
    pub(crate) fn rows(&self, height: usize) -> usize {
        if self.spans { (height + 1).saturating_sub(self.kernel.0) } else { height }
    }

    /// Zeros before and after the rows and the columns: the larger part after them, as where the paper's program ran.
    pub fn zeros(&self) -> [(usize, usize); 2] {
        let same = |k: usize| (k.saturating_sub(1) / 2, k / 2);
        [if self.spans { (0, 0) } else { same(self.kernel.0) }, same(self.kernel.1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_the_width_table() {
        let k2c2 = K2C2_MAPS.map(|maps| Plan::k2c2(&Picture::MUSIC, maps, 50).weights());
        assert_eq!(k2c2, [96_328, 245_301, 496_182, 1_002_206, 3_043_331]);
        let crnn = CRNN_MAPS.map(|maps| Plan::crnn(&Picture::MUSIC, maps, maps[0], 50).weights());
        assert_eq!(crnn, [96_710, 245_426, 496_199, 999_005, 3_025_340]);
        assert_eq!(Plan::crnn(&Picture::MUSIC, [64, 128, 128, 128], 32, 50).weights(), 393_010); // released
    }

    #[test]
    fn shapes_and_costs_of_the_structures_table() {
        let shapes = |plan: Plan| plan.shapes().unwrap();
        let k2c2 = Plan::k2c2(&Picture::MUSIC, K2C2_MAPS[0], 50);
        assert_eq!(shapes(k2c2), [(20, 48, 341), (41, 24, 85), (41, 12, 21), (62, 4, 4), (83, 1, 1)]);
        let crnn = Plan::crnn(&Picture::MUSIC, CRNN_MAPS[0], 30, 50);
        assert_eq!((crnn.frames + 2 * crnn.pad, crnn.steps()), (1440, 15));
        assert_eq!(shapes(crnn.clone()), [(30, 48, 720), (60, 16, 240), (60, 4, 60), (60, 1, 15)]);
        let along = |plan: Plan| shapes(plan).iter().map(|s| (s.1, s.2)).collect::<Vec<_>>();
        assert_eq!(along(Plan::k1c2(&Picture::MUSIC, [15, 15, 30, 30], 30, 50)), [(96, 341), (96, 68), (96, 8), (96, 1)]);
        assert_eq!(along(Plan::k2c1(&Picture::MUSIC, [43, 43, 87, 87], 87, 50)), [(1, 341), (1, 68), (1, 8), (1, 1)]);
        // 3.2 GMAC for the released one, 2.5 of them in the second convolution; 0.73 for the smallest.
        let released = Plan::crnn(&Picture::MUSIC, [64, 128, 128, 128], 32, 50).macs() as f64;
        assert!((released / 3.2e9 - 1.0).abs() < 0.05 && (crnn.macs() as f64 / 0.73e9 - 1.0).abs() < 0.02, "{released}");
    }

    #[test]
    fn networks_of_a_size() {
        for picture in [Picture::MUSIC, Picture::TONES, Picture::WORDS] {
            for kind in Kind::ALL {
                for target in [10_000, 25_000, 50_000, 250_000] {
                    let plan = Plan::near(kind, &picture, 12, target);
                    assert_eq!(plan.shapes().unwrap().len(), if kind == Kind::K2c2 { 5 } else { 4 });
                    let off = plan.weights() as f64 / target as f64 - 1.0;
                    // A map more of k1c2 has all bands behind it.
                    assert!(off.abs() < if kind == Kind::K1c2 { 0.25 } else { 0.06 }, "{kind:?} {target}: {}", plan.weights());
                }
            }
        }
        let steps = |picture| Plan::near(Kind::Crnn, &picture, 12, 10_000).steps();
        assert_eq!((steps(Picture::TONES), steps(Picture::WORDS)), (10, 8));
    }

    #[test]
    fn networks_that_cannot_be_are_named() {
        let small = Picture { frames: 100, pad: 0, ..Picture::MUSIC };
        let message = Plan::k2c2(&small, K2C2_MAPS[0], 50).shapes().unwrap_err().to_string();
        assert!(message.contains("k2c2, block 3: nothing is left of 12 × 1"), "{message}");
        let none = Plan::crnn(&Picture::TONES, [4, 0, 4, 4], 4, 12);
        assert!(none.shapes().unwrap_err().to_string().contains("CRNN: each width"));
        assert_eq!((none.weights(), none.macs(), none.steps()), (0, 0, 0));
    }
}
