//! Random numbers as the chip draws them: one KISS generator per core, and two ways to make normal numbers of uniform ones.

use serde::{Deserialize, Serialize};
use snn_core::Seed;

/// KISS: a linear congruential generator, a xorshift and a multiply-with-carry, added up. 32 bits a call, period above 2¹²⁰.
///
/// ```text
/// x ← 69069·x + 12345;   y ← y ⊕ y≪13 ⊕ … ≫17 ⊕ … ≪5;   (c, z) ← 698769069·z + c;   x + y + z
/// ```
/// The stream is a function of the seed words alone: a core draws the same numbers however many others there are.
///
/// Source: Marsaglia 1999, "Random numbers for C: the END?"; the generator units of SpiNNaker 2 are of this family (driver header, read).
///
/// ```
/// use snn_core::Seed;
/// use snn_hw::spinnaker2::Kiss;
/// let (mut a, mut b) = (Kiss::new(Seed::new(1)), Kiss::new(Seed::new(1)));
/// assert!((0..100).all(|_| a.bits() == b.bits()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kiss {
    x: u32,
    y: u32,
    z: u32,
    c: u32,
}

impl Kiss {
    /// The generator with words drawn from `seed`.
    pub fn new(seed: Seed) -> Self {
        let word = |k: u64| (seed.nth(k).value() >> 32) as u32;
        // The xorshift must not be 0, nor the carry as large as the multiplier.
        Kiss { x: word(0), y: word(1).max(1), z: word(2), c: word(3) % 698_769_068 + 1 }
    }

    /// 32 random bits.
    #[inline]
    pub fn bits(&mut self) -> u32 {
        self.x = self.x.wrapping_mul(69_069).wrapping_add(12_345);
        self.y ^= self.y << 13;
        self.y ^= self.y >> 17;
        self.y ^= self.y << 5;
        let t = 698_769_069 * u64::from(self.z) + u64::from(self.c);
        (self.z, self.c) = (t as u32, (t >> 32) as u32);
        self.x.wrapping_add(self.y).wrapping_add(self.z)
    }
}

/// How a normal number is made. Which way the paper's chip took is not known; whoever draws says which was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gaussian {
    /// The sum of twelve uniform numbers of 16 bits, less 6: six calls of the generator. Nothing beyond ±6, kurtosis 2.9.
    #[default]
    Sum,
    /// The inverse of the distribution, from a table of 256 intervals with lines between: one call. Nothing beyond ±3.3.
    Table,
}

impl Gaussian {
    /// A number of mean 0 and variance 1.
    pub fn draw(self, from: &mut Kiss) -> f64 {
        match self {
            Gaussian::Sum => {
                let sum: u32 = (0..6).map(|_| from.bits()).map(|bits| (bits & 0xffff) + (bits >> 16)).sum();
                (f64::from(sum) + 6.0) / 65536.0 - 6.0 // each number stands for the middle of its interval
            }
            Gaussian::Table => {
                let (bits, table) = (from.bits(), table());
                let (place, part) = ((bits >> 24) as usize, f64::from(bits & 0xff_ffff) / f64::from(1u32 << 24));
                table[place] + part * (table[place + 1] - table[place])
            }
        }
    }
}

/// The quantiles at k/256, the outermost as far out as gives the table variance 1.
fn table() -> &'static [f64; 257] {
    use std::sync::LazyLock;
    static TABLE: LazyLock<[f64; 257]> = LazyLock::new(|| {
        let mut table: [f64; 257] = std::array::from_fn(|k| quantile((k as f64 / 256.0).clamp(1e-9, 1.0 - 1e-9)));
        // The variance of a piecewise straight quantile function: the mean of (a² + ab + b²)/3.
        let variance = |table: &[f64; 257]| table.windows(2).map(|w| (w[0] * w[0] + w[0] * w[1] + w[1] * w[1]) / 768.0).sum::<f64>();
        let (mut low, mut high) = (table[255], 6.0);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            (table[0], table[256]) = (-middle, middle);
            if variance(&table) < 1.0 { low = middle } else { high = middle }
        }
        table
    });
    &TABLE
}

/// The quantile of the normal distribution, by bisection of its distribution function (Abramowitz & Stegun 1964, 26.2.17: to 1e-7).
fn quantile(p: f64) -> f64 {
    let below = |x: f64| {
        let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
        let series = [1.330_274_429, -1.821_255_978, 1.781_477_937, -0.356_563_782, 0.319_381_530];
        let tail = series.iter().fold(0.0, |sum, c| (sum + c) * t) * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        if x < 0.0 { tail } else { 1.0 - tail }
    };
    let (mut low, mut high) = (-8.0, 8.0);
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if below(middle) < p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_fair_and_streams_differ() {
        let (mut kiss, n) = (Kiss::new(Seed::new(3)), 200_000);
        let mut ones = [0u32; 32];
        let mut last = 0u32;
        let mut agree = 0u32;
        for _ in 0..n {
            let bits = kiss.bits();
            ones.iter_mut().enumerate().for_each(|(k, count)| *count += bits >> k & 1);
            agree += (bits ^ last).count_zeros();
            last = bits;
        }
        let deviation = |count: u32, of: f64| (f64::from(count) - 0.5 * of) / (0.5 * of.sqrt());
        assert!(ones.iter().all(|&count| deviation(count, f64::from(n)).abs() < 4.5), "{ones:?}");
        assert!(deviation(agree, 32.0 * f64::from(n)).abs() < 4.5, "neighbours agree in {agree} bits");
        assert_ne!(Kiss::new(Seed::new(3)).bits(), Kiss::new(Seed::new(4)).bits());
    }

    #[test]
    fn one_round_by_hand() {
        let mut kiss = Kiss { x: 1, y: 1, z: 1, c: 1 };
        // x = 69069 + 12345; y = 1 ⊕ 2¹³ = 8193, ⊕ 0, ⊕ 8193·32 = 270369; z = 698769070.
        assert_eq!(kiss.bits(), 81_414 + 270_369 + 698_769_070);
    }

    #[test]
    fn normal_numbers_have_mean_0_variance_1_and_the_right_quantiles() {
        for way in [Gaussian::Sum, Gaussian::Table] {
            let (mut kiss, n) = (Kiss::new(Seed::new(5)), 400_000);
            let draws: Vec<f64> = (0..n).map(|_| way.draw(&mut kiss)).collect();
            let moment = |k: i32| draws.iter().map(|x| x.powi(k)).sum::<f64>() / f64::from(n);
            let error = 1.0 / f64::from(n).sqrt();
            assert!(moment(1).abs() < 4.0 * error && moment(3).abs() < 4.0 * 15f64.sqrt() * error, "{way:?}: {} {}", moment(1), moment(3));
            assert!((moment(2) - 1.0).abs() < 6.0 * error, "{way:?}: variance {}", moment(2));
            assert!((moment(4) - 3.0).abs() < 0.15, "{way:?}: kurtosis {}", moment(4));
            for (x, p) in [(-1.644_854, 0.05), (-0.674_490, 0.25), (0.0, 0.5), (1.281_552, 0.9)] {
                let share = draws.iter().filter(|&&d| d < x).count() as f64 / f64::from(n);
                assert!((share - p).abs() < 0.005, "{way:?}: {share} below {x}");
            }
        }
    }
}
