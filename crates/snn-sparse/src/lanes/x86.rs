//! The kernels in the intrinsics of x86-64: AVX2 and AVX-512.

use super::{Block, Entries, Isa, Kernel, LANES};
use std::arch::x86_64::*;

#[derive(Clone, Copy)]
struct Avx512;
#[derive(Clone, Copy)]
struct Avx2;

/// Detection is cached by the standard library: this is a few loads.
pub(super) fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
pub(super) fn avx512<K: Kernel>(kernel: K) -> K::Out {
    kernel.run::<Avx512>()
}

#[target_feature(enable = "avx2")]
pub(super) fn avx2<K: Kernel>(kernel: K) -> K::Out {
    kernel.run::<Avx2>()
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline(never)]
fn avx512_apart<K: Kernel>(kernel: K) -> K::Out {
    kernel.run::<Avx512>()
}

#[target_feature(enable = "avx2")]
#[inline(never)]
fn avx2_apart<K: Kernel>(kernel: K) -> K::Out {
    kernel.run::<Avx2>()
}

/// Joins `LANES / W` masks of `W` lanes.
#[inline(always)]
fn join<const W: usize>(x: &Block<f32>, lanes: impl Fn(*const f32) -> u64) -> u64 {
    // `lanes` reads W floats from a pointer into the block.
    (0..LANES / W).fold(0, |m, k| m | lanes(x.0[k * W..].as_ptr()) << (k * W))
}

/// The sum of eight lanes, halves first.
///
/// # Safety
/// The processor must have AVX.
#[inline(always)]
unsafe fn sum8(x: __m256) -> f32 {
    // SAFETY: by the caller.
    unsafe {
        let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
        let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
        _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
    }
}

/// The products of 64 lanes, every eighth of them added up.
///
/// # Safety
/// The processor must have AVX-512 F and DQ.
#[inline(always)]
unsafe fn eighths512(a: &Block<f32>, b: &Block<f32>) -> __m256 {
    // SAFETY: by the caller; both blocks have 64 floats and are aligned to a cache line.
    unsafe {
        let product = |k: usize| _mm512_mul_ps(_mm512_load_ps(a.0.as_ptr().add(16 * k)), _mm512_load_ps(b.0.as_ptr().add(16 * k)));
        let x = _mm512_add_ps(_mm512_add_ps(product(0), product(2)), _mm512_add_ps(product(1), product(3)));
        _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps::<1>(x))
    }
}

/// The same.
///
/// # Safety
/// The processor must have AVX.
#[inline(always)]
unsafe fn eighths256(a: &Block<f32>, b: &Block<f32>) -> __m256 {
    // SAFETY: as above.
    unsafe {
        let product = |k: usize| _mm256_mul_ps(_mm256_load_ps(a.0.as_ptr().add(8 * k)), _mm256_load_ps(b.0.as_ptr().add(8 * k)));
        let half = |k: usize| _mm256_add_ps(product(k), product(k + 4));
        _mm256_add_ps(_mm256_add_ps(half(0), half(2)), _mm256_add_ps(half(1), half(3)))
    }
}

/// [`sum8`] of four at once.
///
/// # Safety
/// The processor must have AVX.
#[inline(always)]
unsafe fn sums8(x: [__m256; 4]) -> [f32; 4] {
    // SAFETY: by the caller; four floats are as large as a register of them.
    unsafe {
        // No `map`: a function of the library is compiled for the baseline, and would call every intrinsic.
        let fold = |x: __m256| _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
        let (a, b, c, d) = (fold(x[0]), fold(x[1]), fold(x[2]), fold(x[3]));
        let (low, high) = ([_mm_unpacklo_ps(a, b), _mm_unpacklo_ps(c, d)], [_mm_unpackhi_ps(a, b), _mm_unpackhi_ps(c, d)]);
        let even = _mm_add_ps(_mm_movelh_ps(low[0], low[1]), _mm_movelh_ps(high[0], high[1]));
        let odd = _mm_add_ps(_mm_movehl_ps(low[1], low[0]), _mm_movehl_ps(high[1], high[0]));
        std::mem::transmute::<__m128, [f32; 4]>(_mm_add_ps(even, odd))
    }
}

/// The `n`-th sixteen of the numbers `index` and `x[index[k]]` for each that is there, and which are there.
///
/// # Panics
/// If an index lies outside `x`.
///
/// # Safety
/// The processor must have AVX-512 F and BW.
#[inline(always)]
unsafe fn gather16(index: &[u32], n: usize, x: &[f32]) -> (__mmask16, __m512) {
    let left = index.len() - 16 * n;
    let there: __mmask16 = if left >= 16 { u16::MAX } else { (1 << left) - 1 };
    // SAFETY: by the caller. Lanes that are not there are neither read from `index` nor from `x`; the others lie in `x`, which is asserted.
    unsafe {
        let at = _mm512_maskz_loadu_epi32(there, index.as_ptr().add(16 * n).cast());
        let inside = _mm512_mask_cmplt_epu32_mask(there, at, _mm512_set1_epi32(x.len().min(i32::MAX as usize) as i32));
        assert!(inside == there, "an index outside of {} numbers", x.len());
        (there, _mm512_mask_i32gather_ps::<4>(_mm512_setzero_ps(), there, at, x.as_ptr()))
    }
}

/// [`crate::noise::squares`] of sixteen consecutive counters.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
fn squares16(first: u64, key: u64) -> __m512i {
    let upper = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    _mm512_permutex2var_epi32(squares8(first, key), upper, squares8(first + 8, key))
}

/// Eight of them, each in the upper half of 64 bits.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
fn squares8(first: u64, key: u64) -> __m512i {
    let (key, ramp) = (_mm512_set1_epi64(key as i64), _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0));
    let y = _mm512_mullo_epi64(_mm512_add_epi64(_mm512_set1_epi64(first as i64), ramp), key);
    let z = _mm512_add_epi64(y, key);
    let mut x = y;
    for add in [y, z, y] {
        x = _mm512_rol_epi64::<32>(_mm512_add_epi64(_mm512_mullo_epi64(x, x), add));
    }
    _mm512_add_epi64(_mm512_mullo_epi64(x, x), z)
}

/// Asks for every cache line of a block.
#[inline(always)]
fn fetch<F>(block: &Block<F>) {
    let first: *const i8 = std::ptr::from_ref(block).cast();
    // SAFETY: every x86-64 has SSE; all addresses lie in the block, and nothing is read.
    (0..size_of::<Block<F>>()).step_by(64).for_each(|byte| unsafe { _mm_prefetch::<_MM_HINT_T0>(first.add(byte)) });
}

impl Isa for Avx512 {
    #[inline(always)]
    fn fetch<F>(block: &Block<F>) {
        fetch(block);
    }
    #[inline(always)]
    fn apart<K: Kernel>(kernel: K) -> K::Out {
        // SAFETY: only reached from `avx512`.
        unsafe { avx512_apart(kernel) }
    }
    /// One byte per target in one register: a masked addition per event, four rows at a time.
    #[inline(always)]
    fn tally(mask: &[u64], width: usize, first: usize, events: &[u32], counts: &mut [[u8; LANES]]) {
        let row = |i: u32, n: usize| &mask[i as usize * width + first..][..n];
        let (fours, rest) = events.as_chunks::<4>();
        // SAFETY: only reached from `avx512`; loads and stores go to 64 bytes of `counts`.
        unsafe {
            let one = _mm512_set1_epi8(1);
            for four in fours {
                let [a, b, c, d] = four.map(|i| row(i, counts.len()));
                for (k, counts) in counts.iter_mut().enumerate() {
                    let mut sum = _mm512_loadu_si512(counts.as_ptr().cast());
                    for word in [a[k], b[k], c[k], d[k]] {
                        sum = _mm512_mask_add_epi8(sum, word, sum, one);
                    }
                    _mm512_storeu_si512(counts.as_mut_ptr().cast(), sum);
                }
            }
            for &i in rest {
                for (word, counts) in row(i, counts.len()).iter().zip(&mut *counts) {
                    let sum = _mm512_loadu_si512(counts.as_ptr().cast());
                    _mm512_storeu_si512(counts.as_mut_ptr().cast(), _mm512_mask_add_epi8(sum, *word, sum, one));
                }
            }
        }
    }
    /// As the portable form, sixteen counters and comparisons at a time.
    #[inline(always)]
    fn poisson(below: &[u32], key: u64, first: u64) -> [u32; LANES] {
        // SAFETY: only reached from `avx512`.
        unsafe {
            let bits = [squares16(first, key), squares16(first + 16, key), squares16(first + 32, key), squares16(first + 48, key)];
            let mut counts = [_mm512_setzero_si512(); 4];
            for &bound in below {
                let (bound, one) = (_mm512_set1_epi32(bound as i32), _mm512_set1_epi32(1));
                for k in 0..4 {
                    counts[k] = _mm512_mask_add_epi32(counts[k], _mm512_cmpge_epu32_mask(bits[k], bound), counts[k], one);
                }
            }
            std::mem::transmute::<[__m512i; 4], [u32; LANES]>(counts)
        }
    }
    /// Sixteen links at a time.
    #[inline(always)]
    fn dot_at(w: &[f32], index: &[u32], x: &[f32]) -> f32 {
        let w = &w[..index.len()];
        // SAFETY: only reached from `avx512`; weights are read where there is an index.
        unsafe {
            let mut sums = _mm512_setzero_ps();
            for n in 0..index.len().div_ceil(16) {
                let (there, x) = gather16(index, n, x);
                let w = _mm512_maskz_loadu_ps(there, w.as_ptr().add(16 * n));
                sums = _mm512_mask_add_ps(sums, there, sums, _mm512_mul_ps(w, x));
            }
            sum8(_mm256_add_ps(_mm512_castps512_ps256(sums), _mm512_extractf32x8_ps::<1>(sums)))
        }
    }
    /// Likewise.
    #[inline(always)]
    fn add_at(y: &mut [f32], a: f32, index: &[u32], x: &[f32]) {
        let index = &index[..index.len().min(y.len())];
        // SAFETY: only reached from `avx512`; `y` is read and written where there is an index.
        unsafe {
            let a = _mm512_set1_ps(a);
            for n in 0..index.len().div_ceil(16) {
                let (there, x) = gather16(index, n, x);
                let place = y.as_mut_ptr().add(16 * n);
                let sum = _mm512_add_ps(_mm512_maskz_loadu_ps(there, place), _mm512_mul_ps(a, x));
                _mm512_mask_storeu_ps(place, there, sum);
            }
        }
    }
    /// Expands sixteen lanes at a time, without a branch that depends on the data.
    #[inline(always)]
    fn add_spread(into: &mut Block<f32>, mask: u64, w: &[f32]) {
        let (mut w, into) = (w[..mask.count_ones() as usize].as_ptr(), into.0.as_mut_ptr());
        // SAFETY: only reached from `avx512`; as many numbers are read as there are bits.
        unsafe {
            for n in 0..4 {
                let (here, place) = ((mask >> (16 * n)) as __mmask16, into.add(16 * n));
                _mm512_storeu_ps(place, _mm512_add_ps(_mm512_loadu_ps(place), _mm512_maskz_expandloadu_ps(here, w)));
                w = w.add(here.count_ones() as usize);
            }
        }
    }
    /// Compresses sixteen lanes at a time, without a branch that depends on the data.
    #[inline(always)]
    fn push(entries: &mut Entries<f32>, mask: u64, step: u32, first: u32, x: &Block<f32>) {
        let mut len = entries.value.len();
        entries.value.reserve(LANES + 16);
        entries.step.reserve(LANES + 16);
        // SAFETY: only reached from `avx512`. Every store writes 16 numbers from `len` on, and `len` grows by at most 64 in all, so all
        // writes lie within what was just reserved; the first `len` numbers of each list have been written when the length is set.
        unsafe {
            let (value, steps) = (entries.value.as_mut_ptr(), entries.step.as_mut_ptr());
            for k in 0..LANES / 16 {
                let few = (mask >> (16 * k)) as u16;
                _mm512_storeu_ps(value.add(len), _mm512_maskz_compress_ps(few, _mm512_load_ps(x.0.as_ptr().add(16 * k))));
                _mm512_storeu_si512(steps.add(len).cast(), _mm512_set1_epi32(step as i32));
                len += few.count_ones() as usize;
            }
            entries.value.set_len(len);
            entries.step.set_len(len);
        }
        Self::push_units(&mut entries.unit, mask, first);
    }
    /// Likewise.
    #[inline(always)]
    fn push_units(units: &mut Vec<u32>, mask: u64, first: u32) {
        let mut len = units.len();
        units.reserve(LANES + 16);
        // SAFETY: as in `push`.
        unsafe {
            for k in 0..LANES / 16 {
                let few = (mask >> (16 * k)) as u16;
                let ramp = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
                let lanes = _mm512_add_epi32(_mm512_set1_epi32((first as usize + 16 * k) as i32), ramp);
                _mm512_storeu_si512(units.as_mut_ptr().add(len).cast(), _mm512_maskz_compress_epi32(few, lanes));
                len += few.count_ones() as usize;
            }
            units.set_len(len);
        }
    }
    #[inline(always)]
    fn dot(a: &Block<f32>, b: &Block<f32>) -> f32 {
        // SAFETY: only reached from `avx512`.
        unsafe { sum8(eighths512(a, b)) }
    }
    #[inline(always)]
    fn dots(a: [&Block<f32>; 4], b: [&Block<f32>; 4]) -> [f32; 4] {
        // SAFETY: only reached from `avx512`.
        unsafe { sums8([eighths512(a[0], b[0]), eighths512(a[1], b[1]), eighths512(a[2], b[2]), eighths512(a[3], b[3])]) }
    }
    #[inline(always)]
    fn positive(x: &Block<f32>) -> u64 {
        // SAFETY: only reached from `avx512`; the pointer has 16 floats, aligned like the block.
        join::<16>(x, |p| unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(_mm512_load_ps(p), _mm512_setzero_ps()).into() })
    }
    #[inline(always)]
    fn within(x: &Block<f32>, reach: f32) -> u64 {
        // SAFETY: as above.
        join::<16>(x, |p| unsafe { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(_mm512_abs_ps(_mm512_load_ps(p)), _mm512_set1_ps(reach)).into() })
    }
}

impl Isa for Avx2 {
    #[inline(always)]
    fn fetch<F>(block: &Block<F>) {
        fetch(block);
    }
    #[inline(always)]
    fn apart<K: Kernel>(kernel: K) -> K::Out {
        // SAFETY: only reached from `avx2`.
        unsafe { avx2_apart(kernel) }
    }
    /// Bits are spread to bytes: each byte picks its bit of the 32 broadcast.
    #[inline(always)]
    fn tally(mask: &[u64], width: usize, first: usize, events: &[u32], counts: &mut [[u8; LANES]]) {
        // SAFETY: only reached from `avx2`; loads and stores go to 32 bytes of `counts`.
        unsafe {
            let place = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
            let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
            for &i in events {
                let row = &mask[i as usize * width + first..][..counts.len()];
                for (word, counts) in row.iter().zip(&mut *counts) {
                    for (half, counts) in counts.as_chunks_mut::<32>().0.iter_mut().enumerate() {
                        let bytes = _mm256_shuffle_epi8(_mm256_set1_epi32((word >> (32 * half)) as i32), place);
                        let set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
                        let sum = _mm256_sub_epi8(_mm256_loadu_si256(counts.as_ptr().cast()), set);
                        _mm256_storeu_si256(counts.as_mut_ptr().cast(), sum);
                    }
                }
            }
        }
    }
    #[inline(always)]
    fn push(entries: &mut Entries<f32>, mask: u64, step: u32, first: u32, x: &Block<f32>) {
        entries.push_each(mask, step, first, x);
    }
    #[inline(always)]
    fn dot(a: &Block<f32>, b: &Block<f32>) -> f32 {
        // SAFETY: only reached from `avx2`.
        unsafe { sum8(eighths256(a, b)) }
    }
    #[inline(always)]
    fn dots(a: [&Block<f32>; 4], b: [&Block<f32>; 4]) -> [f32; 4] {
        // SAFETY: only reached from `avx2`.
        unsafe { sums8([eighths256(a[0], b[0]), eighths256(a[1], b[1]), eighths256(a[2], b[2]), eighths256(a[3], b[3])]) }
    }
    #[inline(always)]
    fn positive(x: &Block<f32>) -> u64 {
        // SAFETY: only reached from `avx2`; the pointer has 8 floats, aligned like the block.
        join::<8>(x, |p| unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(_mm256_load_ps(p), _mm256_setzero_ps())) as u64 })
    }
    #[inline(always)]
    fn within(x: &Block<f32>, reach: f32) -> u64 {
        // SAFETY: as above. Clearing the sign bit is the absolute value.
        join::<8>(x, |p| unsafe {
            let magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0), _mm256_load_ps(p));
            _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(magnitude, _mm256_set1_ps(reach))) as u64
        })
    }
}
