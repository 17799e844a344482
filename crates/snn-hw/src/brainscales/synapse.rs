//! How a projection's weights are held: levels times a conductance.

use serde::Serialize;

/// Largest number of the converter that sets a conductance.
const V_GMAX: f64 = 1023.0;
/// Smallest and largest divisor of the conductance, per synapse row.
const DIVISORS: std::ops::RangeInclusive<u8> = 2..=30;
/// Conductances that the synapses of a neuron can choose from.
const CHOICES: usize = 4;

/// The weights a projection can have: `|w| = level·unit·V_gmax/divisor` and something that depends on the level alone.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Scale {
    /// Setting of the converter, 1…1023.
    pub v_gmax: u16,
    /// Divisor, 2…30.
    pub divisor: u8,
    /// Largest level; `None`: any weight is held as it is.
    pub levels: Option<u32>,
    /// Weight of one level at `V_gmax/divisor = 1`.
    pub unit: f64,
    /// What the level alone adds at most, as a weight.
    pub added: f64,
}

impl Scale {
    /// Weight of one level.
    pub fn step(&self) -> f64 {
        self.unit * f64::from(self.v_gmax) / f64::from(self.divisor)
    }

    /// The nearest weight that can be held, and whether `w` is beyond the largest.
    pub fn hold(&self, w: f32) -> (f32, bool) {
        let Some(levels) = self.levels else { return (w, false) };
        let level = (f64::from(w) / self.step()).round();
        let top = f64::from(levels);
        ((level.clamp(-top, top) * self.step()) as f32, level.abs() > top)
    }

    /// What a held weight is worth where the conductance is `row` times what it was set to: `w·row + a(level)`, with
    /// `a(x) = added·x·(2 − x)` for `x = level / largest level`.
    pub fn worth(&self, held: f32, row: f64) -> f64 {
        let w = f64::from(held);
        let x = self.levels.map_or(0.0, |levels| (w.abs() / (self.step() * f64::from(levels))).min(1.0));
        w * row + w.signum() * self.added * x * (2.0 - x)
    }
}

/// Chooses the scales of the projections into one neuron: those whose largest weights are `largest`, in order, where a weight of `reference` is the largest of the machine. The first
/// four have a `V_gmax` of their own; the others share one of these, with a divisor that leaves no weight out if there is one.
pub(super) fn scales(largest: &[f64], reference: f64, levels: Option<u32>, added: f64) -> Vec<Scale> {
    let top = f64::from(levels.unwrap_or(1));
    let unit = reference * f64::from(*DIVISORS.start()) / (V_GMAX * top);
    let mut used: Vec<u16> = Vec::new();
    let choose = |&largest: &f64| {
        let wanted = if largest > 0.0 { largest / (top * unit) } else { V_GMAX / f64::from(*DIVISORS.start()) };
        let (v_gmax, divisor) = if used.len() < CHOICES {
            let divisor = (V_GMAX / wanted).floor().clamp(f64::from(*DIVISORS.start()), f64::from(*DIVISORS.end()));
            ((wanted * divisor).ceil().clamp(1.0, V_GMAX) as u16, divisor as u8)
        } else {
            let pairs = used.iter().flat_map(|&v| DIVISORS.map(move |d| (v, d)));
            let of = |&(v, d): &(u16, u8)| f64::from(v) / f64::from(d);
            let misses = |pair: &(u16, u8)| (of(pair) < wanted, (of(pair) - wanted).abs());
            pairs.min_by(|a, b| misses(a).partial_cmp(&misses(b)).unwrap_or(std::cmp::Ordering::Equal)).unwrap_or((1, 2))
        };
        if used.len() < CHOICES {
            used.push(v_gmax);
        }
        Scale { v_gmax, divisor, levels, unit, added }
    };
    largest.iter().map(choose).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// 31 signed levels at most; what can be held is held; the nearest level otherwise, and nothing within the range is cut.
        #[test]
        fn weights_become_levels(largest in 1e-3f64..10.0, ws in prop::collection::vec(-1.0f64..1.0, 1..200)) {
            let scale = scales(&[largest], 10.0, Some(15), 0.0)[0];
            let held: Vec<f32> = ws.iter().map(|w| scale.hold((w * largest) as f32).0).collect();
            let mut distinct = held.clone();
            distinct.sort_by(f32::total_cmp);
            distinct.dedup();
            prop_assert!(distinct.len() <= 31);
            for (w, &h) in ws.iter().zip(&held) {
                prop_assert!((w * largest - f64::from(h)).abs() <= 0.5001 * scale.step());
                prop_assert_eq!(scale.hold(h), (h, false));
            }
            // With one V_gmax less the largest would be cut.
            let (range, less) = (15.0 * scale.step(), 15.0 * Scale { v_gmax: scale.v_gmax - 1, ..scale }.step());
            prop_assert!(range >= largest * 0.9999 && less < largest * 1.0001, "{} and {}", range / largest, less / largest);
        }

        /// Raising V_gmax scales a weight linearly, but for the term that knows the level only.
        #[test]
        fn v_gmax_scales_all_but_the_added_term(level in 1u32..=15, low in 1u16..=500, divisor in DIVISORS, added in 0.0f64..0.1) {
            let at = |v_gmax| Scale { v_gmax, divisor, levels: Some(15), unit: 1e-3, added };
            let worth = |scale: Scale| scale.worth((f64::from(level) * scale.step()) as f32, 1.0);
            let x = f64::from(level) / 15.0;
            let alone = added * x * (2.0 - x);
            let (once, twice) = (worth(at(low)) - alone, worth(at(2 * low)) - alone);
            // A held weight is an f32.
            prop_assert!((twice - 2.0 * once).abs() < 1e-6 * (twice + alone), "{once} {twice}");
            prop_assert_eq!(at(low).worth(0.0, 1.0), 0.0);
        }
    }

    #[test]
    fn the_fifth_projection_shares_a_conductance() {
        let found = scales(&[1.0, 0.5, 0.2, 0.1, 0.3], 1.0, Some(15), 0.0);
        assert!(found[..4].iter().any(|scale| scale.v_gmax == found[4].v_gmax));
        assert!(found[4].step() * 15.0 >= 0.3 && found[4].step() * 15.0 < 0.4);
    }
}
