//! The operations on pictures, with their gradients, in parallel over images or channels.
//!
//! `candle` has them too, and the tests hold these to its. But there the gradient of a convolution is a transposed convolution, pooling and
//! normalisation are chains of single-threaded passes over all maps, and in version 0.11.1 the gradient of `max_pool2d` is too small by the number of
//! places in a window (a test says so). Here an image is unfolded and multiplied, and every sum has a fixed order: the same bits for any number of threads.

use candle_core::{CpuStorage, CustomOp1, CustomOp3, Layout, Result, Shape, Tensor, bail};
use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};
use rayon::prelude::*;

/// Parts of a batch whose gradients are summed by themselves, then in order.
const PARTS: usize = 8;

/// The numbers of a tensor without gaps.
fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let all = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&all[from..to]),
        None => bail!("the numbers of a tensor must lie one after the other"),
    }
}

/// The numbers of a tensor, copied.
pub(crate) fn floats(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

fn tensor(numbers: Vec<f32>, like: &Tensor) -> Result<Option<Tensor>> {
    Ok(Some(Tensor::from_vec(numbers, like.shape(), like.device())?))
}

/// `c = a·b + beta·c` for matrices given row by row.
fn product(a: ArrayView2<f32>, b: ArrayView2<f32>, beta: f32, c: &mut [f32]) -> Result<()> {
    match ArrayViewMut2::from_shape((a.nrows(), b.ncols()), c) {
        Ok(mut c) => general_mat_mul(1.0, &a, &b, beta, &mut c),
        Err(error) => bail!("a product of other sizes than its result: {error}"),
    }
    Ok(())
}

fn matrix(rows: usize, columns: usize, numbers: &[f32]) -> Result<ArrayView2<'_, f32>> {
    ArrayView2::from_shape((rows, columns), numbers).map_err(|error| candle_core::Error::Msg(error.to_string()))
}

/// `y[b, o] = bias[o] + Σ_{c,i,j} w[o, c, i, j]·x[b, c, · + i − p_h, · + j − p_w]`, stride 1, the kernel not flipped.
///
/// `x` is `[batch, channels, height, width]`, `w` is `[maps, channels, kernel height, kernel width]`, `bias` is `[maps]`; `zeros` are the rows and columns of
/// zeros before and after the picture. Gradients of all three. Cost: maps·channels·kernel multiplications per place, three times that with gradients; memory of an
/// unfolded image per thread.
pub fn convolve(x: &Tensor, w: &Tensor, bias: &Tensor, zeros: [(usize, usize); 2]) -> Result<Tensor> {
    x.contiguous()?.apply_op3(&w.contiguous()?, &bias.contiguous()?, Convolve { zeros })
}

struct Convolve {
    zeros: [(usize, usize); 2],
}

/// Sizes of one convolution.
#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    channels: usize,
    height: usize,
    width: usize,
    maps: usize,
    kernel: (usize, usize),
    before: (usize, usize),
    out: (usize, usize),
}

impl Sizes {
    fn taps(&self) -> usize {
        self.channels * self.kernel.0 * self.kernel.1
    }
    fn places(&self) -> usize {
        self.out.0 * self.out.1
    }
    fn image(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Calls `f(row of the unfolded image, its part, the part of the image)` for every stretch that lies inside the picture.
    fn stretches(&self, mut f: impl FnMut(std::ops::Range<usize>, std::ops::Range<usize>)) {
        let (kh, kw) = self.kernel;
        for tap in 0..self.taps() {
            let (c, i, j) = (tap / (kh * kw), tap / kw % kh, tap % kw);
            // Columns x of the result with 0 ≤ x + j − before < width.
            let from = self.before.1.saturating_sub(j);
            let to = (self.width + self.before.1).saturating_sub(j).min(self.out.1);
            for y in 0..self.out.0 {
                let row = (y + i).wrapping_sub(self.before.0);
                if row < self.height && from < to {
                    let at = tap * self.places() + y * self.out.1;
                    let source = (c * self.height + row) * self.width + from + j - self.before.1;
                    f(at + from..at + to, source..source + to - from);
                }
            }
        }
    }
}

impl Convolve {
    fn sizes(&self, x: &Shape, w: &Shape) -> Result<Sizes> {
        let ((batch, channels, height, width), (maps, inputs, kh, kw)) = (x.dims4()?, w.dims4()?);
        let [(top, bottom), (left, right)] = self.zeros;
        let (rows, columns) = (height + top + bottom, width + left + right);
        if inputs != channels || rows < kh || columns < kw {
            bail!("a kernel {w:?} does not fit a picture {x:?}");
        }
        let out = (rows - kh + 1, columns - kw + 1);
        Ok(Sizes { batch, channels, height, width, maps, kernel: (kh, kw), before: (top, left), out })
    }
}

impl CustomOp3 for Convolve {
    fn name(&self) -> &'static str {
        "convolve"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, w, bias) = (slice(s1, l1)?, slice(s2, l2)?, slice(s3, l3)?);
        let s = self.sizes(l1.shape(), l2.shape())?;
        let mut y = vec![0f32; s.batch * s.maps * s.places()];
        let images = y.par_chunks_mut((s.maps * s.places()).max(1)).zip(x.par_chunks(s.image().max(1)));
        images.try_for_each_init(
            || vec![0f32; s.taps() * s.places()],
            |unfolded, (y, x)| {
                s.stretches(|to, from| unfolded[to].copy_from_slice(&x[from]));
                y.chunks_exact_mut(s.places()).zip(bias).for_each(|(map, b)| map.fill(*b));
                product(matrix(s.maps, s.taps(), w)?, matrix(s.taps(), s.places(), unfolded)?, 1.0, y)
            },
        )?;
        Ok((CpuStorage::F32(y), Shape::from((s.batch, s.maps, s.out.0, s.out.1))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let s = self.sizes(x.shape(), w.shape())?;
        let (xs, ws, g) = (floats(x)?, floats(w)?, floats(grad)?);
        let part = s.batch.div_ceil(PARTS).max(1);
        let mut dx = vec![0f32; xs.len()];
        let parts = dx.par_chunks_mut((part * s.image()).max(1)).zip(xs.par_chunks((part * s.image()).max(1)));
        let parts = parts.zip(g.par_chunks((part * s.maps * s.places()).max(1)));
        let sums: Vec<(Vec<f32>, Vec<f32>)> = parts
            .map(|((dx, x), g)| {
                let (mut dw, mut db) = (vec![0f32; ws.len()], vec![0f32; s.maps]);
                let mut unfolded = vec![0f32; s.taps() * s.places()];
                let mut back = unfolded.clone();
                let images = dx.chunks_mut(s.image()).zip(x.chunks(s.image())).zip(g.chunks(s.maps * s.places()));
                for ((dx, x), g) in images {
                    s.stretches(|to, from| unfolded[to].copy_from_slice(&x[from]));
                    let (g2, w2) = (matrix(s.maps, s.places(), g)?, matrix(s.maps, s.taps(), &ws)?);
                    product(g2, matrix(s.taps(), s.places(), &unfolded)?.reversed_axes(), 1.0, &mut dw)?;
                    product(w2.reversed_axes(), g2, 0.0, &mut back)?;
                    s.stretches(|from, to| dx[to].iter_mut().zip(&back[from]).for_each(|(d, b)| *d += b));
                    db.iter_mut().zip(g.chunks_exact(s.places())).for_each(|(d, map)| *d += map.iter().sum::<f32>());
                }
                Ok((dw, db))
            })
            .collect::<Result<_>>()?;
        let (mut dw, mut db) = (vec![0f32; ws.len()], vec![0f32; s.maps]);
        for (w, b) in sums {
            dw.iter_mut().zip(w).for_each(|(sum, x)| *sum += x);
            db.iter_mut().zip(b).for_each(|(sum, x)| *sum += x);
        }
        Ok((tensor(dx, x)?, tensor(dw, w)?, tensor(db, bias)?))
    }
}

/// Mean and variance of every channel.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Moments {
    /// Means.
    pub mean: Vec<f32>,
    /// Variances.
    pub variance: Vec<f32>,
}

/// Added to a variance before its root is taken.
pub const EPSILON: f64 = 1e-3;

impl Moments {
    /// Mean 0, variance 1.
    pub fn new(channels: usize) -> Self {
        Moments { mean: vec![0.0; channels], variance: vec![1.0; channels] }
    }

    /// Those of a tensor `[batch, channels, …]`, over all other axes; the variance is the mean square deviation.
    pub fn of(x: &Tensor) -> Result<Self> {
        let (channels, places, numbers) = (x.dim(1)?, x.elem_count() / (x.dim(0)? * x.dim(1)?).max(1), floats(x)?);
        let count = (numbers.len() / channels.max(1)) as f64;
        let each = (0..channels).into_par_iter().map(|c| {
            let maps = || numbers.chunks_exact(places.max(1)).skip(c).step_by(channels);
            let mean = maps().map(|map| sum(map, f64::from)).sum::<f64>() / count;
            let variance = maps().map(|map| sum(map, |x| (f64::from(x) - mean).powi(2))).sum::<f64>() / count;
            (mean as f32, variance as f32)
        });
        let (mean, variance) = each.unzip();
        Ok(Moments { mean, variance })
    }

    /// Moves these by a share towards others.
    pub fn follow(&mut self, others: &Moments, share: f32) {
        let towards = |a: &mut Vec<f32>, b: &[f32]| a.iter_mut().zip(b).for_each(|(a, b)| *a += share * (b - *a));
        towards(&mut self.mean, &others.mean);
        towards(&mut self.variance, &others.variance);
    }

    /// `1/√(variance + ε)`.
    pub(crate) fn scales(&self) -> Vec<f32> {
        self.variance.iter().map(|v| (1.0 / (f64::from(*v) + EPSILON).sqrt()) as f32).collect()
    }
}

/// `Σ f(x)` in eight lanes, in double precision.
fn sum(numbers: &[f32], f: impl Fn(f32) -> f64) -> f64 {
    let mut lanes = [0f64; 8];
    let chunks = numbers.chunks_exact(8);
    let rest: f64 = chunks.remainder().iter().map(|x| f(*x)).sum();
    chunks.for_each(|chunk| lanes.iter_mut().zip(chunk).for_each(|(sum, x)| *sum += f(*x)));
    lanes.iter().sum::<f64>() + rest
}

/// Batch norm (Ioffe and Szegedy 2015) of `[batch, channels, …]`: `y = gain·(x − mean)/√(variance + 10⁻³) + offset`, one gain and offset per channel.
///
/// With `live` the moments are those of `x` itself, and its gradient goes through them; else they are constants. Two passes over `x` each way.
pub fn normalise(x: &Tensor, gain: &Tensor, offset: &Tensor, moments: &Moments, live: bool) -> Result<Tensor> {
    x.contiguous()?.apply_op3(gain, offset, Normalise { mean: moments.mean.clone(), scale: moments.scales(), live })
}

struct Normalise {
    mean: Vec<f32>,
    scale: Vec<f32>,
    live: bool,
}

impl Normalise {
    /// Channels and places of each.
    fn sizes(&self, x: &Shape) -> Result<(usize, usize)> {
        match x.dims() {
            [_, channels, rest @ ..] if *channels == self.mean.len() => Ok((*channels, rest.iter().product::<usize>().max(1))),
            dims => bail!("moments of {} channels for a tensor {dims:?}", self.mean.len()),
        }
    }
}

impl CustomOp3 for Normalise {
    fn name(&self) -> &'static str {
        "normalise"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, gain, offset) = (slice(s1, l1)?, slice(s2, l2)?, slice(s3, l3)?);
        let (channels, places) = self.sizes(l1.shape())?;
        let mut y = vec![0f32; x.len()];
        y.par_chunks_mut(places).zip(x.par_chunks(places)).enumerate().for_each(|(k, (y, x))| {
            let c = k % channels;
            let a = gain[c] * self.scale[c];
            y.iter_mut().zip(x).for_each(|(y, x)| *y = a * (x - self.mean[c]) + offset[c]);
        });
        Ok((CpuStorage::F32(y), l1.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gain: &Tensor,
        offset: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (channels, places) = self.sizes(x.shape())?;
        let (xs, g, gains) = (floats(x)?, floats(grad)?, floats(gain)?);
        let count = (xs.len() / channels.max(1)) as f64;
        // Σ g and Σ g·x̂ of each channel.
        let sums = (0..channels).into_par_iter().map(|c| {
            let maps = xs.chunks_exact(places).zip(g.chunks_exact(places)).skip(c).step_by(channels);
            let (mut plain, mut weighted) = (0.0, 0.0);
            for (x, g) in maps {
                plain += sum(g, f64::from);
                weighted += x.iter().zip(g).map(|(x, g)| f64::from(g * ((x - self.mean[c]) * self.scale[c]))).sum::<f64>();
            }
            (plain, weighted)
        });
        let (plain, weighted): (Vec<f64>, Vec<f64>) = sums.unzip();
        let mut dx = vec![0f32; xs.len()];
        dx.par_chunks_mut(places).zip(xs.par_chunks(places)).zip(g.par_chunks(places)).enumerate().for_each(|(k, ((dx, x), g))| {
            let c = k % channels;
            let (a, live) = (gains[c] * self.scale[c], f64::from(u8::from(self.live)));
            let (p, w) = ((live * plain[c] / count) as f32, (live * weighted[c] / count) as f32 * self.scale[c]);
            for ((d, x), g) in dx.iter_mut().zip(x).zip(g) {
                *d = a * (g - p - w * (x - self.mean[c]));
            }
        });
        let single = |sums: Vec<f64>| sums.into_iter().map(|x| x as f32).collect();
        Ok((tensor(dx, x)?, tensor(single(weighted), gain)?, tensor(single(plain), offset)?))
    }
}

/// `ELU(max over windows)` of `[batch, maps, height, width]`, windows of `pool` side by side; what does not fill a window is left out. `ELU(x) = x` above 0,
/// `eˣ − 1` below (Clevert et al. 2016): it rises, so the maximum may be taken before it. The gradient goes to the first maximum of a window.
pub fn pool_elu(x: &Tensor, pool: (usize, usize)) -> Result<Tensor> {
    x.contiguous()?.apply_op1(PoolElu { pool })
}

struct PoolElu {
    pool: (usize, usize),
}

impl PoolElu {
    /// Rows and columns before and after.
    fn sizes(&self, x: &Shape) -> Result<[usize; 4]> {
        let (_, _, height, width) = x.dims4()?;
        let [h, w] = [height / self.pool.0.max(1), width / self.pool.1.max(1)];
        if h * w == 0 {
            bail!("pools of {:?} on a picture {x:?}", self.pool);
        }
        Ok([height, width, h, w])
    }

    /// The index of the first maximum of a window.
    fn argmax(&self, map: &[f32], width: usize, y: usize, x: usize) -> usize {
        let corner = y * self.pool.0 * width + x * self.pool.1;
        let mut best = corner;
        for row in 0..self.pool.0 {
            for at in corner + row * width..corner + row * width + self.pool.1 {
                if map[at] > map[best] {
                    best = at;
                }
            }
        }
        best
    }
}

impl CustomOp1 for PoolElu {
    fn name(&self) -> &'static str {
        "pool_elu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(storage, layout)?;
        let [height, width, h, w] = self.sizes(layout.shape())?;
        let (batch, maps, _, _) = layout.shape().dims4()?;
        let mut out = vec![0f32; batch * maps * h * w];
        out.par_chunks_mut(h * w).zip(x.par_chunks(height * width)).for_each(|(out, map)| {
            for (k, y) in out.iter_mut().enumerate() {
                let x = map[self.argmax(map, width, k / w, k % w)];
                *y = if x > 0.0 { x } else { x.exp_m1() };
            }
        });
        Ok((CpuStorage::F32(out), Shape::from((batch, maps, h, w))))
    }

    fn bwd(&self, x: &Tensor, res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let [height, width, h, w] = self.sizes(x.shape())?;
        let (xs, ys, g) = (floats(x)?, floats(res)?, floats(grad)?);
        let mut dx = vec![0f32; xs.len()];
        let maps = dx.par_chunks_mut(height * width).zip(xs.par_chunks(height * width));
        maps.zip(ys.par_chunks(h * w)).zip(g.par_chunks(h * w)).for_each(|(((dx, map), y), g)| {
            for (k, (y, g)) in y.iter().zip(g).enumerate() {
                // The slope below 0 is eˣ = y + 1.
                dx[self.argmax(map, width, k / w, k % w)] = if *y > 0.0 { *g } else { g * (y + 1.0) };
            }
        });
        tensor(dx, x)
    }
}

/// Mean binary cross-entropy of logits with targets 0 or 1 of the same count: `mean(max(x, 0) − x·z + ln(1 + e^(−|x|)))`; gradient `(σ(x) − z)/n`.
pub fn cross_entropy(logits: &Tensor, targets: Vec<f32>) -> Result<Tensor> {
    logits.contiguous()?.apply_op1(CrossEntropy { targets })
}

struct CrossEntropy {
    targets: Vec<f32>,
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(storage, layout)?;
        if x.len() != self.targets.len() {
            bail!("{} logits and {} targets", x.len(), self.targets.len());
        }
        let each = x.iter().zip(&self.targets).map(|(x, z)| {
            let (x, z) = (f64::from(*x), f64::from(*z));
            x.max(0.0) - x * z + (-x.abs()).exp().ln_1p()
        });
        let mean = each.sum::<f64>() / x.len().max(1) as f64;
        Ok((CpuStorage::F32(vec![mean as f32]), Shape::from(())))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let scale = f64::from(grad.to_scalar::<f32>()?) / self.targets.len().max(1) as f64;
        let one = |(x, z): (f32, &f32)| (scale * (1.0 / (1.0 + (-f64::from(x)).exp()) - f64::from(*z))) as f32;
        tensor(floats(x)?.into_iter().zip(&self.targets).map(one).collect(), x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};
    use candle_nn::BatchNorm;
    use rand::RngExt;
    use snn_core::Seed;

    fn random(seed: u64, shape: &[usize]) -> Var {
        let mut rng = Seed::new(seed).rng();
        let numbers: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1f32..1.0)).collect();
        Var::from_vec(numbers, shape, &Device::Cpu).unwrap()
    }

    /// Compares results and the gradients of `Σ weights·y` with those of another implementation.
    fn same(what: &str, vars: &[&Var], ours: &Tensor, theirs: &Tensor) {
        let close = |a: &Tensor, b: &Tensor| {
            assert_eq!(a.dims(), b.dims(), "{what}");
            let (a, b) = (floats(a).unwrap(), floats(b).unwrap());
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4 * (1.0 + b.abs())), "{what}: {a:?} {b:?}");
        };
        close(ours, theirs);
        let weights = random(99, ours.dims());
        let grads = |y: &Tensor| (y * weights.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
        let (a, b) = (grads(ours), grads(theirs));
        for (k, var) in vars.iter().enumerate() {
            let (a, b) = (a.get(var).unwrap(), b.get(var).unwrap());
            assert!(floats(b).unwrap().iter().any(|x| *x != 0.0), "{what}: no gradient to compare");
            close(a, b);
            assert!(k < 3);
        }
    }

    #[test]
    fn convolutions_are_candles() {
        for (k, (kernel, zeros)) in
            [((3, 3), [(1, 1), (1, 1)]), ((1, 4), [(0, 0), (1, 2)]), ((5, 4), [(0, 0), (1, 2)])].into_iter().enumerate()
        {
            // Eleven images: parts of two, the last of one.
            let (x, w, b) = (random(1, &[11, 3, 5, 7]), random(2, &[4, 3, kernel.0, kernel.1]), random(3, &[4]));
            let ours = convolve(&x, &w, &b, zeros).unwrap();
            let padded = x.pad_with_zeros(2, zeros[0].0, zeros[0].1).unwrap().pad_with_zeros(3, zeros[1].0, zeros[1].1).unwrap();
            let theirs = padded.conv2d(&w, 0, 1, 1, 1).unwrap().broadcast_add(&b.reshape((1, 4, 1, 1)).unwrap()).unwrap();
            same(&format!("kernel {k}"), &[&x, &w, &b], &ours, &theirs);
        }
        let (x, w, b) = (random(1, &[1, 3, 5, 7]), random(2, &[4, 2, 3, 3]), random(3, &[4]));
        assert!(convolve(&x, &w, &b, [(1, 1), (1, 1)]).is_err());
    }

    #[test]
    fn normalisation_is_candles() {
        let (x, gain, offset) = (random(1, &[6, 3, 4, 5]), random(2, &[3]), random(3, &[3]));
        let zeros = Tensor::zeros(3, candle_core::DType::F32, &Device::Cpu).unwrap();
        let theirs =
            BatchNorm::new(3, zeros.clone(), zeros.ones_like().unwrap(), gain.as_tensor().clone(), offset.as_tensor().clone(), EPSILON)
                .unwrap();
        let moments = Moments::of(&x).unwrap();
        let ours = normalise(&x, &gain, &offset, &moments, true).unwrap();
        same("live", &[&x, &gain, &offset], &ours, &theirs.forward_train(&x).unwrap());
        // Every channel has mean 0 and variance 1, nearly.
        let plain = Moments::of(&normalise(&x, &gain.ones_like().unwrap(), &zeros, &moments, true).unwrap()).unwrap();
        assert!(plain.mean.iter().all(|m| m.abs() < 1e-6) && plain.variance.iter().all(|v| (v - 1.0).abs() < 0.01));
        let frozen = normalise(&x, &gain, &offset, &moments, false).unwrap();
        let by_hand = {
            let column = |v: &[f32]| Tensor::from_vec(v.to_vec(), (1, 3, 1, 1), &Device::Cpu).unwrap();
            let y = x.broadcast_sub(&column(&moments.mean)).unwrap().broadcast_mul(&column(&moments.scales())).unwrap();
            let y = y.broadcast_mul(&gain.reshape((1, 3, 1, 1)).unwrap()).unwrap();
            y.broadcast_add(&offset.reshape((1, 3, 1, 1)).unwrap()).unwrap()
        };
        same("frozen", &[&x, &gain, &offset], &frozen, &by_hand);
    }

    #[test]
    fn pools_are_candles() {
        let x = random(4, &[3, 2, 6, 8]);
        let windows = x.reshape((3, 2, 3, 2, 2, 4)).unwrap();
        let theirs = windows.max(5).unwrap().max(3).unwrap().elu(1.0).unwrap();
        same("pool", &[&x], &pool_elu(&x, (2, 4)).unwrap(), &theirs);
        // What does not fill a window is left out.
        let cut = x.narrow(2, 0, 4).unwrap().narrow(3, 0, 6).unwrap().contiguous().unwrap();
        assert_eq!(floats(&pool_elu(&x, (4, 3)).unwrap()).unwrap(), floats(&pool_elu(&cut, (4, 3)).unwrap()).unwrap());
        assert!(pool_elu(&x, (7, 1)).is_err());
    }

    /// Why there is a pool of our own. When this fails the library has been mended.
    #[test]
    fn the_gradient_of_the_librarys_pool_is_divided_by_the_window() {
        let x = random(4, &[3, 2, 6, 8]);
        let total = |y: &Tensor| {
            let grads = y.sum_all().unwrap().backward().unwrap();
            floats(grads.get(&x).unwrap()).unwrap().iter().sum::<f32>()
        };
        let ours = x.reshape((3, 2, 3, 2, 2, 4)).unwrap().max(5).unwrap().max(3).unwrap();
        let theirs = x.max_pool2d_with_stride((2, 4), (2, 4)).unwrap();
        assert_eq!(floats(&ours).unwrap(), floats(&theirs).unwrap());
        assert_eq!((total(&ours), total(&theirs)), (36.0, 36.0 / 8.0));
    }

    #[test]
    fn cross_entropy_of_nothing_known_is_ln_2() {
        let zeros = Var::zeros((2, 3), candle_core::DType::F32, &Device::Cpu).unwrap();
        let loss = cross_entropy(&zeros, vec![0.0, 1.0, 1.0, 0.0, 0.0, 1.0]).unwrap();
        assert!((f64::from(loss.to_scalar::<f32>().unwrap()) - std::f64::consts::LN_2).abs() < 1e-7);
        let grad = floats(loss.backward().unwrap().get(&zeros).unwrap()).unwrap();
        assert!(grad.iter().zip([1.0, -1.0, -1.0, 1.0, 1.0, -1.0]).all(|(a, b)| (a - b / 12.0).abs() < 1e-7), "{grad:?}");
        let x = random(6, &[4, 3]);
        let targets: Vec<f32> = (0..12).map(|k| (k % 2) as f32).collect();
        let z = Tensor::from_vec(targets.clone(), (4, 3), &Device::Cpu).unwrap();
        let theirs = candle_nn::loss::binary_cross_entropy_with_logit(&x, &z).unwrap();
        same("cross-entropy", &[&x], &cross_entropy(&x, targets).unwrap(), &theirs);
        assert!(cross_entropy(&x, vec![0.0; 3]).is_err());
        // Far out it stays finite.
        let far = Tensor::new(&[1000f32, -1000.0], &Device::Cpu).unwrap();
        assert_eq!(cross_entropy(&far, vec![0.0, 1.0]).unwrap().to_scalar::<f32>().unwrap(), 1000.0);
    }
}
