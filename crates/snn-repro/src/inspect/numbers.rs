//! Many numbers in a few: ends, mean, spread, what is no number, and a histogram.

use serde::Serialize;

/// Bars of a histogram.
const BARS: usize = 12;
/// Characters of the longest bar.
const LONGEST: usize = 40;

/// An array, or a column, in a few numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Numbers {
    /// What they are.
    pub name: String,
    /// Type of an element in the file.
    #[serde(rename = "type")]
    pub element: String,
    /// Length of each dimension; none of a single number.
    pub shape: Vec<usize>,
    /// How many there are.
    pub count: usize,
    /// How many of them are not a number.
    pub nan: usize,
    /// How many are infinite.
    pub infinite: usize,
    /// How many are exactly 0.
    pub zero: usize,
    /// The least of the finite ones.
    pub min: Option<f64>,
    /// The largest of the finite ones.
    pub max: Option<f64>,
    /// Mean of the finite ones.
    pub mean: Option<f64>,
    /// Standard deviation of the finite ones.
    pub std: Option<f64>,
    /// Numbers in intervals of equal width from `min` to `max`, or of each whole number where those are few.
    pub histogram: Vec<Bar>,
}

/// A bar of a histogram: what lies from `low` (included) to `high` (not, but in the last bar).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bar {
    /// Lower end.
    pub low: f64,
    /// Upper end; equal to the lower where the bar is of one whole number.
    pub high: f64,
    /// How many.
    pub count: usize,
}

impl Numbers {
    /// Those of a list.
    pub(crate) fn new(name: impl Into<String>, element: impl Into<String>, shape: impl Into<Vec<usize>>, values: &[f64]) -> Self {
        let finite = || values.iter().copied().filter(|x| x.is_finite());
        let count = finite().count();
        let ends = finite().fold(None, |ends: Option<(f64, f64)>, x| Some(ends.map_or((x, x), |(a, b)| (a.min(x), b.max(x)))));
        let mean = (count > 0).then(|| finite().sum::<f64>() / count as f64);
        let std = mean.map(|mean| (finite().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count as f64).sqrt());
        Numbers {
            name: name.into(),
            element: element.into(),
            shape: shape.into(),
            count: values.len(),
            nan: values.iter().filter(|x| x.is_nan()).count(),
            infinite: values.iter().filter(|x| x.is_infinite()).count(),
            zero: values.iter().filter(|x| **x == 0.0).count(),
            min: ends.map(|ends| ends.0),
            max: ends.map(|ends| ends.1),
            mean,
            std,
            histogram: ends.map_or(Vec::new(), |ends| histogram(ends, finite())),
        }
    }

    /// The histogram as lines of text.
    pub fn bars(&self) -> String {
        let most = self.histogram.iter().map(|bar| bar.count).max().unwrap_or(0).max(1);
        let labels: Vec<String> = self
            .histogram
            .iter()
            .map(|bar| if bar.low == bar.high { short(bar.low) } else { format!("{} … {}", short(bar.low), short(bar.high)) })
            .collect();
        let width = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
        let line = |(label, bar): (&String, &Bar)| {
            let length = (bar.count * LONGEST).div_ceil(most);
            format!("  {label:>width$}  {:<LONGEST$}  {}\n", "#".repeat(length), bar.count)
        };
        labels.iter().zip(&self.histogram).map(line).collect()
    }
}

fn histogram((min, max): (f64, f64), values: impl Iterator<Item = f64> + Clone) -> Vec<Bar> {
    let whole = min.fract() == 0.0 && max - min < 2.0 * BARS as f64 && values.clone().all(|x| x.fract() == 0.0);
    let bars = if whole {
        (max - min) as usize + 1
    } else if max > min {
        BARS
    } else {
        1
    };
    let step = if whole { 1.0 } else { (max - min) / bars as f64 };
    let mut counts = vec![0; bars];
    values.for_each(|x| counts[(if step > 0.0 { (x - min) / step } else { 0.0 } as usize).min(bars - 1)] += 1);
    let bar = |(k, count)| {
        let low = min + step * k as f64;
        Bar {
            low,
            high: if whole {
                low
            } else if k + 1 == bars {
                max
            } else {
                low + step
            },
            count,
        }
    };
    counts.into_iter().enumerate().map(bar).collect()
}

/// A number with four digits that count.
pub fn short(x: f64) -> String {
    let size = x.abs();
    if x == 0.0 || (size < 1e6 && x.fract() == 0.0) {
        format!("{x}")
    } else if !(1e-3..1e5).contains(&size) {
        format!("{x:.3e}")
    } else {
        let digits = (3 - size.log10().floor() as i32).max(0) as usize;
        format!("{x:.digits$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_numbers_by_hand() {
        let n = Numbers::new("x", "f4", [5], &[1.0, 2.0, 2.0, f64::NAN, f64::INFINITY]);
        assert_eq!((n.count, n.nan, n.infinite, n.min, n.max), (5, 1, 1, Some(1.0), Some(2.0)));
        assert_eq!((n.mean, n.std.map(|s| (s * 1e6).round())), (Some(5.0 / 3.0), Some(471_405.0)));
        assert_eq!(n.histogram, [Bar { low: 1.0, high: 1.0, count: 1 }, Bar { low: 2.0, high: 2.0, count: 2 }]);
        assert_eq!(n.bars().lines().next(), Some(format!("  1  {:<40}  1", "#".repeat(20)).as_str()));
        let none = Numbers::new("x", "f4", [0], &[]);
        assert_eq!((none.min, none.mean, none.histogram.len()), (None, None, 0));
        let wide = Numbers::new("x", "f4", [3], &[0.0, 0.5, 6.0]);
        assert_eq!(wide.histogram.len(), BARS);
        assert_eq!(wide.histogram.iter().map(|bar| bar.count).collect::<Vec<_>>(), [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(Numbers::new("x", "f4", [2], &[0.3, 0.3]).histogram, [Bar { low: 0.3, high: 0.3, count: 2 }]);
    }

    #[test]
    fn short_numbers() {
        let pairs =
            [(0.0, "0"), (12.0, "12"), (0.123456, "0.1235"), (1234.56, "1235"), (1e-7, "1.000e-7"), (-3.5, "-3.500"), (2e9, "2.000e9")];
        for (x, text) in pairs {
            assert_eq!(short(x), text);
        }
    }
}
