//! What stations measured, step by step, and faults put into it.

use crate::error::{DataError, check};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use snn_core::Seed;
use std::ops::Range;

const OF: &str = "Fault";

/// Readings of several stations at the same times.
#[derive(Clone, Debug, PartialEq)]
pub struct Readings {
    /// Names of the stations.
    pub names: Vec<String>,
    /// `rows[step][station]`; NaN where nothing was measured.
    pub rows: Vec<Vec<f64>>,
}

impl Readings {
    /// The share of readings that are missing; not a number if there are no steps.
    pub fn missing(&self) -> f64 {
        let all = || self.rows.iter().flatten();
        all().filter(|x| x.is_nan()).count() as f64 / all().count() as f64
    }

    /// The same with every reading changed: a logarithm, another unit.
    pub fn map(self, change: impl Fn(f64) -> f64) -> Self {
        Readings { names: self.names, rows: self.rows.into_iter().map(|row| row.into_iter().map(&change).collect()).collect() }
    }
}

/// What goes wrong with a sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultKind {
    /// It reads the same all the time: what it read when the fault began, or last before.
    Stuck,
    /// It is off by more and more, up to the size of the fault at its end.
    Drift,
    /// Gaussian noise is added, with the size of the fault as standard deviation.
    Noise,
    /// It is off by the size of the fault, up or down by chance.
    Offset,
    /// It reads nothing.
    Outage,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [FaultKind; 5] = [FaultKind::Stuck, FaultKind::Drift, FaultKind::Noise, FaultKind::Offset, FaultKind::Outage];

    /// `"stuck"`, `"drift"` and so on.
    pub const fn name(self) -> &'static str {
        match self {
            FaultKind::Stuck => "stuck",
            FaultKind::Drift => "drift",
            FaultKind::Noise => "noise",
            FaultKind::Offset => "offset",
            FaultKind::Outage => "outage",
        }
    }
}

/// A sensor at fault for some time.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// The station.
    pub station: usize,
    /// The steps.
    pub steps: Range<usize>,
    /// How far off, in units of the readings, at least 0; nothing to those that are stuck or out.
    pub size: f64,
}

impl Fault {
    /// Puts the fault into readings. What is missing stays missing.
    ///
    /// ```
    /// use snn_core::Seed;
    /// use snn_data::{Fault, FaultKind};
    /// let mut rows: Vec<Vec<f64>> = (0..6).map(|t| vec![f64::from(t)]).collect();
    /// Fault { kind: FaultKind::Stuck, station: 0, steps: 2..5, size: 0.0 }.inject(&mut rows, Seed::new(1))?;
    /// assert_eq!(rows.concat(), [0.0, 1.0, 2.0, 2.0, 2.0, 5.0]);
    /// # Ok::<(), snn_data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// [`DataError::Parameter`] if there is no such station or step, or the size is no number from 0 on.
    pub fn inject(&self, rows: &mut [Vec<f64>], seed: Seed) -> Result<(), DataError> {
        let Fault { kind, station, size, .. } = *self;
        check(size >= 0.0 && size.is_finite(), OF, "size", size, "a number from 0 on")?;
        check(
            self.steps.end <= rows.len() && !self.steps.is_empty(),
            OF,
            "steps",
            format!("{:?}", self.steps),
            "some of the steps of the readings",
        )?;
        check(rows.iter().all(|row| station < row.len()), OF, "station", station, "one of the stations of the readings")?;
        let (mut rng, long) = (seed.rng(), self.steps.len() as f64);
        let sign = if rng.random::<bool>() { 1.0 } else { -1.0 };
        let held = rows[..=self.steps.start].iter().rev().map(|row| row[station]).find(|x| x.is_finite());
        for (k, row) in rows[self.steps.clone()].iter_mut().enumerate() {
            let x = row[station];
            let noise: f64 = StandardNormal.sample(&mut rng);
            row[station] = match kind {
                FaultKind::Stuck if x.is_finite() => held.unwrap_or(x),
                FaultKind::Stuck => x,
                FaultKind::Drift => x + sign * size * (k + 1) as f64 / long,
                FaultKind::Noise => x + size * noise,
                FaultKind::Offset => x + sign * size,
                FaultKind::Outage => f64::NAN,
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use snn_core::stats::{mean, variance};

    #[test]
    fn faults_are_what_they_say_and_leave_the_rest_alone() {
        let healthy: Vec<Vec<f64>> = (0..2000).map(|t| vec![f64::from(t), 7.0]).collect();
        let off = |kind| {
            let mut rows = healthy.clone();
            Fault { kind, station: 0, steps: 500..1500, size: 4.0 }.inject(&mut rows, Seed::new(3)).unwrap();
            assert!(rows.iter().zip(&healthy).enumerate().all(|(t, (a, b))| a[1] == b[1] && ((500..1500).contains(&t) || a[0] == b[0])));
            rows[500..1500].iter().zip(&healthy[500..]).map(|(a, b)| a[0] - b[0]).collect::<Vec<_>>()
        };
        let offset = off(FaultKind::Offset);
        assert!(offset[0].abs() == 4.0 && offset.iter().all(|x| *x == offset[0]));
        let drift = off(FaultKind::Drift);
        assert!(drift[999].abs() == 4.0 && (drift[0].abs() - 0.004).abs() < 1e-9);
        let noise = off(FaultKind::Noise);
        // Four standard errors: 4·4/√1000 and 4·16·√(2/1000).
        assert!(mean(&noise).abs() < 0.51 && (variance(&noise) - 16.0).abs() < 2.9);
        assert!(off(FaultKind::Outage).iter().all(|x| x.is_nan()));
        assert_eq!(off(FaultKind::Stuck)[10], -10.0);
    }

    #[test]
    fn what_is_missing_stays_so_and_mistakes_are_named() {
        let mut rows = vec![vec![1.0], vec![f64::NAN], vec![f64::NAN], vec![4.0]];
        Fault { kind: FaultKind::Stuck, station: 0, steps: 1..4, size: 0.0 }.inject(&mut rows, Seed::new(1)).unwrap();
        assert!(rows[1][0].is_nan() && rows[3][0] == 1.0);
        assert_eq!(Readings { names: vec!["a".into()], rows: rows.clone() }.missing(), 0.5);
        let wrong = |station, steps, size| {
            Fault { kind: FaultKind::Offset, station, steps, size }.inject(&mut rows.clone(), Seed::new(1)).unwrap_err().to_string()
        };
        assert!(wrong(1, 0..2, 1.0).contains("station = 1"));
        assert!(wrong(0, 2..5, 1.0).contains("steps = 2..5"));
        assert!(wrong(0, 0..2, f64::NAN).contains("size = NaN"));
    }
}
