//! Axes with round ticks, linear or logarithmic, as one type: a plot chooses between them when it is drawn.

use std::ops::Range;

use plotters::coord::ranged1d::{AsRangedCoord, DefaultFormatting, KeyPointHint, Ranged};

/// An axis from `low` to `high`, which differ; both positive if it is logarithmic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    log: bool,
}

impl Axis {
    /// An axis that shows `values` (those it can show) with a margin, or just `fixed`.
    pub(super) fn around(values: impl Iterator<Item = f64>, fixed: Option<(f64, f64)>, log: bool) -> Axis {
        // Beyond these sizes, differences and powers leave the range of an f64; no figure worth a plot does.
        let shown = |x: &f64| x.abs() < 1e150 && (!log || *x > 1e-150);
        let fixed = fixed.filter(|(low, high)| low < high && shown(low) && shown(high));
        let (low, high) =
            fixed.unwrap_or_else(|| values.filter(shown).fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x))));
        let to = |x: f64| if log { x.log10() } else { x };
        let (low, high) = match (to(low), to(high)) {
            (low, high) if low < high => (low, high),
            (low, high) if low == high => {
                let half = if log { 0.5 } else { 0.5 * low.abs().max(1.0) };
                (low - half, high + half)
            }
            _ => (0.0, 1.0),
        };
        let margin = if fixed.is_some() { 0.0 } else { 0.03 * (high - low) };
        // What touches zero from above begins at zero: a margin would suggest negative rates.
        let low = if !log && low >= 0.0 { (low - margin).max(0.0) } else { low - margin };
        let (low, high) = (low, high + margin);
        if log { Axis { low: 10f64.powf(low), high: 10f64.powf(high), log } } else { Axis { low, high, log } }
    }

    /// Whether the axis can show `x`.
    pub(super) fn shows(&self, x: f64) -> bool {
        x.is_finite() && (self.low..=self.high).contains(&x)
    }

    /// At most about `n` round values between the ends.
    fn ticks(&self, n: usize) -> Vec<f64> {
        if self.log {
            let decades = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
            let all = |digits: &[f64]| -> Vec<f64> {
                let values = decades.clone().flat_map(|k| digits.iter().map(move |d| d * 10f64.powi(k)));
                values.filter(|x| (self.low * 0.9999..=self.high * 1.0001).contains(x)).collect()
            };
            let choices = [all(&[1.0, 2.0, 5.0]), all(&[1.0, 3.0]), all(&[1.0])];
            if let Some(ticks) = choices.into_iter().find(|ticks| ticks.len() <= n && ticks.len() >= 2) {
                return ticks;
            }
            let decades = all(&[1.0]);
            if decades.len() > n {
                let every = decades.len().div_ceil(n.max(1));
                return decades.into_iter().step_by(every).collect();
            }
        }
        let rough = (self.high - self.low) / n.max(1) as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|d| d * power).find(|step| *step >= rough * 0.999).unwrap_or(rough);
        let (first, last) = ((self.low / step - 1e-9).ceil() as i64, (self.high / step + 1e-9).floor() as i64);
        (first..=last).map(|k| k as f64 * step).collect()
    }
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let part = if self.log {
            (value.max(f64::MIN_POSITIVE) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        // Far outside is as good as just outside, and stays within what a pixel count can hold.
        from + (part.clamp(-2.0, 3.0) * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        self.ticks(hint.bold_points())
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

/// What a chart is built with: the drawing library asks for a description apart from the axis itself.
pub(super) struct Describe(pub(super) Axis);

impl From<Describe> for Axis {
    fn from(describe: Describe) -> Axis {
        describe.0
    }
}

impl AsRangedCoord for Describe {
    type CoordDescType = Axis;
    type Value = f64;
}

/// A tick's label: as short as it can be.
pub(super) fn label(x: &f64) -> String {
    if *x == 0.0 {
        return "0".into();
    }
    let size = x.abs();
    if (1e-4..1e5).contains(&size) {
        let text = format!("{x:.6}");
        // The sign as typography has it.
        text.trim_end_matches('0').trim_end_matches('.').replace('-', "−")
    } else {
        format!("{x:.1e}").replace(".0e", "e").replace('-', "−")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(values: &[f64], log: bool) -> Vec<String> {
        Axis::around(values.iter().copied(), None, log).ticks(6).iter().map(label).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(&[0.0, 100.0], false), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(ticks(&[0.001, 0.25], true), ["0.001", "0.003", "0.01", "0.03", "0.1"]);
        assert_eq!(ticks(&[1e-9, 1.0], true).len(), 5);
        assert_eq!(ticks(&[2.0, 4.0], true), ["2", "2.5", "3", "3.5", "4"]);
    }

    #[test]
    fn an_axis_takes_anything() {
        for values in [&[][..], &[f64::NAN], &[3.0], &[0.0], &[f64::INFINITY, -1.0], &[1e300, -1e300]] {
            for log in [false, true] {
                let axis = Axis::around(values.iter().copied(), None, log);
                assert!(axis.low < axis.high, "{values:?}: {axis:?}");
                assert!(axis.ticks(6).len() <= 12, "{values:?}: {:?}", axis.ticks(6));
            }
        }
    }
}
