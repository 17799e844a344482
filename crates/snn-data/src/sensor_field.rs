//! A generated field that sensors on a grid measure.

use crate::{
    error::{DataError, check, count},
    readings::Readings,
};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use snn_core::Seed;
use std::f64::consts::TAU;

const OF: &str = "SensorFieldParams";

/// What sensors measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quantity {
    /// `u_i(t) = 20 + 10·g_i·sin(2πt/period) + Σ_m a_m(t)·b_m(p_i) + slope·p_i + noise`.
    Temperature,
    /// `u_i(t) = 10·g_i·max(0, sin(2πt/period))·exp(−c_i(t)²/18) + noise`, with the modes `c_i(t) = Σ_m a_m(t)·b_m(p_i)` as clouds: not linear in anything.
    Light,
}

/// A field over a square grid of sensors. All defaults are `[ours]`.
///
/// A day is `period` steps; the gain `g_i` of a sensor is 1 within ±5 %. `b_m` are Gaussian bumps at random places, as wide as a third of the grid, whose strengths `a_m`
/// are autoregressive: `a(t) = ρ·a(t−1) + √(1 − ρ²)·strength·ξ`.
///
/// | field | default | meaning |
/// |---|---|---|
/// | `quantity` | temperature | what is measured |
/// | `side` | 5 | sensors along a side, one apart |
/// | `period` | 96 | steps of a day |
/// | `modes` | 6 | bumps |
/// | `memory` | 0.98 | ρ |
/// | `strength` | 3 | standard deviation of a bump |
/// | `noise` | 0.2 | standard deviation of a sensor's noise |
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SensorFieldParams {
    /// What is measured.
    pub quantity: Quantity,
    /// Sensors along a side, at least 1.
    pub side: usize,
    /// Steps of a day, at least 1.
    pub period: usize,
    /// Bumps.
    pub modes: usize,
    /// How much of a bump's strength is left after a step, from 0 to below 1.
    pub memory: f64,
    /// Standard deviation of a bump's strength, at least 0.
    pub strength: f64,
    /// Standard deviation of a sensor's noise, at least 0.
    pub noise: f64,
}

impl Default for SensorFieldParams {
    fn default() -> Self {
        SensorFieldParams { quantity: Quantity::Temperature, side: 5, period: 96, modes: 6, memory: 0.98, strength: 3.0, noise: 0.2 }
    }
}

impl SensorFieldParams {
    /// Where the sensors are, row by row.
    pub fn places(&self) -> Vec<(f64, f64)> {
        (0..self.side * self.side).map(|k| ((k % self.side) as f64, (k / self.side) as f64)).collect()
    }

    /// What they measure at so many steps. Cost: steps × sensors × bumps.
    ///
    /// ```
    /// use snn_core::Seed;
    /// let field = snn_data::SensorFieldParams::default();
    /// let readings = field.generate(200, Seed::new(1))?;
    /// assert_eq!((readings.rows.len(), readings.names.len(), field.places()[7]), (200, 25, (2.0, 1.0)));
    /// # Ok::<(), snn_data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// [`DataError::Parameter`].
    pub fn generate(&self, steps: usize, seed: Seed) -> Result<Readings, DataError> {
        let SensorFieldParams { quantity, side, period, modes, memory, strength, noise } = *self;
        count(OF, "steps", steps)?;
        check((1..=1000).contains(&side), OF, "side", side, "from 1 to 1000")?;
        count(OF, "period", period)?;
        check((0.0..1.0).contains(&memory), OF, "memory", memory, "from 0 to below 1")?;
        for (name, value) in [("strength", strength), ("noise", noise)] {
            check(value >= 0.0 && value.is_finite(), OF, name, value, "finite and at least 0")?;
        }
        let (places, mut rng) = (self.places(), seed.child("field").rng());
        let gains: Vec<f64> = places.iter().map(|_| rng.random_range(0.95..1.05)).collect();
        let slope: [f64; 2] = [(); 2].map(|()| rng.random_range(-1.0..1.0));
        let (middle, width) = ((side - 1) as f64, side as f64 / 3.0);
        let bumps: Vec<Vec<f64>> = (0..modes)
            .map(|_| {
                let (x, y) = (middle * rng.random::<f64>(), middle * rng.random::<f64>());
                places.iter().map(|p| (-((p.0 - x).powi(2) + (p.1 - y).powi(2)) / (2.0 * width * width)).exp()).collect()
            })
            .collect();
        let mut normal = move || -> f64 { StandardNormal.sample(&mut rng) };
        let mut strengths: Vec<f64> = (0..modes).map(|_| strength * normal()).collect();
        let fresh = strength * (1.0 - memory * memory).sqrt();
        let mut row = |t: usize| {
            let sun = (TAU * t as f64 / period as f64).sin();
            let read = |(i, place): (usize, &(f64, f64))| {
                let mode: f64 = strengths.iter().zip(&bumps).map(|(a, b)| a * b[i]).sum();
                match quantity {
                    Quantity::Temperature => 20.0 + 10.0 * gains[i] * sun + mode + slope[0] * place.0 + slope[1] * place.1,
                    Quantity::Light => 10.0 * gains[i] * sun.max(0.0) * (-mode * mode / 18.0).exp(),
                }
            };
            let row: Vec<f64> = places.iter().enumerate().map(read).map(|x| x + noise * normal()).collect();
            strengths.iter_mut().for_each(|a| *a = memory * *a + fresh * normal());
            row
        };
        let rows = (0..steps).map(&mut row).collect();
        Ok(Readings { names: places.iter().map(|(x, y)| format!("{x}/{y}")).collect(), rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use snn_core::stats::{mean, variance};

    #[test]
    fn a_day_is_seen_by_all_and_modes_have_their_strength() {
        let quiet = SensorFieldParams { strength: 0.0, noise: 0.0, ..SensorFieldParams::default() };
        let rows = quiet.generate(96, Seed::new(1)).unwrap().rows;
        for i in 0..25 {
            let of: Vec<f64> = rows.iter().map(|row| row[i]).collect();
            // A sine of amplitude 10 within 5 %: variance 50 within 10 %.
            assert!((variance(&of) / 50.0 - 1.0).abs() < 0.11 && (mean(&of) - 20.0).abs() <= 8.0 + 1e-9);
        }
        let one = SensorFieldParams { side: 1, modes: 1, period: 1, noise: 0.0, memory: 0.5, ..SensorFieldParams::default() };
        let of: Vec<f64> = one.generate(40_000, Seed::new(2)).unwrap().rows.concat();
        assert!((variance(&of).sqrt() / 3.0 - 1.0).abs() < 0.05, "{}", variance(&of).sqrt());
    }

    #[test]
    fn light_is_dark_at_night_and_seeds_decide() {
        let field = SensorFieldParams { quantity: Quantity::Light, noise: 0.0, ..SensorFieldParams::default() };
        let rows = field.generate(96, Seed::new(1)).unwrap().rows;
        assert!(rows[49..95].iter().flatten().all(|x| *x == 0.0) && rows[1..47].iter().flatten().all(|x| *x > 0.0));
        assert_eq!(rows, field.generate(96, Seed::new(1)).unwrap().rows);
        assert_ne!(rows, field.generate(96, Seed::new(2)).unwrap().rows);
        assert!(SensorFieldParams { memory: 1.0, ..field }.generate(9, Seed::new(1)).unwrap_err().to_string().contains("memory = 1"));
    }
}
