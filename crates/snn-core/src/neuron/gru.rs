use super::egru::{check_zoneout, relax};
use super::{Neuron, Output, Param, Range, Value, Zoneout};
use crate::Real;
use serde::{Deserialize, Serialize};

/// A unit of a gated recurrent network, dense: the control of [`Egru`](super::Egru), with the same ports and gates and without threshold and reset.
///
/// ```text
/// c[t] = keep·c[t−1] + (1 − keep)·g,   y[t] = c[t]       keep and g as in Egru
/// ```
/// | parameter | meaning | default |
/// |---|---|---|
/// | `bias_z`, `bias_r`, `bias_g`, `bias_h` | biases of the four inputs | 0 |
/// | `zoneout` | probability with which a unit keeps its state at a step of training, as in Egru | 0 |
///
/// Source: Cho et al. 2014, with the reset gate after the matrix product.
///
/// ```
/// use snn_core::neuron::{Gru, Neuron};
/// let c = Gru::default().consts::<f64>(0, 1.0);
/// let ([h], y) = Gru::step(c, [0.5], 0.0, [0.0, 0.0, -1.0, 0.0]);
/// assert!(y == h && (h - (0.25 - 0.5 * 1f64.tanh())).abs() < 1e-12);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gru {
    /// Bias of the update gate.
    pub bias_z: Value,
    /// Bias of the reset gate.
    pub bias_r: Value,
    /// Bias of the candidate.
    pub bias_g: Value,
    /// Bias of the part of the candidate that the reset gate scales.
    pub bias_h: Value,
    /// Probability with which a unit keeps its state at a step of training: see [`Zoneout`].
    pub zoneout: f64,
}

impl Default for Gru {
    fn default() -> Self {
        let zero = || Value::Shared(0.0);
        Gru { bias_z: zero(), bias_r: zero(), bias_g: zero(), bias_h: zero(), zoneout: 0.0 }
    }
}

impl Neuron for Gru {
    const NAME: &'static str = "gru";
    const OUTPUT: Output = Output::Linear;
    const AFFINE: bool = false;
    const PORTS: &'static [&'static str] = &["z", "r", "g", "h"];
    type State<R: Real> = [R; 1];
    type Inputs<R: Real> = [R; 4];
    const ZONEOUT: Option<Zoneout> = Some(Zoneout { constant: 4, port: 0 });
    type Params<R: Real> = [R; 4];
    type Consts<R: Real> = [R; 5];

    fn params(&self) -> Vec<Param<'_>> {
        vec![
            Param::new("bias_z", &self.bias_z, Range::Finite),
            Param::new("bias_r", &self.bias_r, Range::Finite),
            Param::new("bias_g", &self.bias_g, Range::Finite),
            Param::new("bias_h", &self.bias_h, Range::Finite),
        ]
    }

    fn derive<R: Real>(&self, [z, r, g, h]: [R; 4], _: f64) -> [R; 5] {
        [z, r, g, h, R::of(self.zoneout)]
    }

    fn zoneout(&self) -> f64 {
        self.zoneout
    }

    fn check(&self) -> Result<(), String> {
        check_zoneout(self.zoneout)
    }

    #[inline(always)]
    fn step<R: Real>(consts: [R; 5], [c]: [R; 1], _: R, x: [R; 4]) -> ([R; 1], R) {
        let c = relax(c, std::array::from_fn(|k| x[k] + consts[k]), consts[4]);
        ([c], c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neuron::Egru;

    /// Without an event before it, a step of the event-based unit is one of this.
    #[test]
    fn it_is_an_event_based_unit_without_events() {
        let gru = Gru { bias_z: 0.3.into(), bias_r: (-0.2).into(), bias_g: 0.1.into(), bias_h: 0.4.into(), zoneout: 0.3 };
        let Gru { bias_z, bias_r, bias_g, bias_h, zoneout } = gru.clone();
        let egru = Egru { bias_z, bias_r, bias_g, bias_h, zoneout, ..Egru::default() };
        let x = [0.4, -1.2, 0.8, 0.7];
        let (a, y) = Gru::step(gru.consts::<f64>(0, 1.0), [0.6], 0.0, x);
        assert_eq!((a, y), (Egru::step(egru.consts::<f64>(0, 1.0), [0.6], 0.0, x).0, a[0]));
    }
}
