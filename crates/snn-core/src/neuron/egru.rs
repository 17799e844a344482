use super::{Neuron, Output, Param, Range, Value, Zoneout};
use crate::Real;
use serde::{Deserialize, Serialize};

/// The event-based gated recurrent unit: a unit of a GRU that keeps silent until its state passes a threshold, and then sends the state.
///
/// ```text
/// keep = σ(x_z + b_z),   r = σ(x_r + b_r),   g = tanh(x_g + b_g + r·(x_h + b_h))
/// c[t] = keep·(c[t−1] − z[t−1]·ϑ) + (1 − keep)·g              released form
/// c[t] = (1 − keep)·c[t−1] + keep·g − z[t−1]·c[t−1]            paper form
/// z[t] = H(c[t] − ϑ),   y[t] = z[t]·c[t]                       what others hear
/// ```
/// Ports: `z` and `r` are the gates, `g` the candidate, `h` the part of the candidate that the reset gate scales after its matrix product: there go the weights
/// of other units, and to `g` those of the input. In the paper's form the reset gate comes before the product: then `r` and `h` stay unused, and a population of
/// [`Gate`](super::Gate)s sends `r·y` to `g` within the step.
///
/// | parameter | meaning | default |
/// |---|---|---|
/// | `form` | what an event takes from the state, and which way the gate turns | released |
/// | `threshold` | ϑ, within 0…1 also while it is learned | 0.3 |
/// | `bias_z`, `bias_r`, `bias_g`, `bias_h` | biases of the four inputs | 0 |
/// | `zoneout` | probability with which a unit keeps its state, reset included, at a step of training: then `keep` is 1, else and without training `p + (1 − p)·keep`; one number, released form only | 0 |
///
/// Source: Subramoney, Khan Nazeer, Schöne, Mayr & Kappel 2023 (arXiv 2206.06178), section 2 (paper form); their released code (released form), which differs in the amount of the
/// reset, the turn of the gate and the place of the reset gate, and made the paper's tables.
///
/// ```
/// use snn_core::neuron::{Egru, Neuron};
/// let c = Egru::default().consts::<f64>(0, 1.0);
/// let ([h], u) = Egru::step(c, [0.0], 0.0, [-4.0, 0.0, 2.0, 0.0]);   // the gate lets the candidate in
/// assert!(u > 0.0 && Egru::worth(c, [h]) > 0.9);                     // an event worth the state
/// let ([h], _) = Egru::step(c, [h], 1.0, [30.0, 0.0, 0.0, 0.0]);     // keeps everything but the threshold
/// assert!(h < 0.7);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Egru {
    /// Which of the two published forms.
    pub form: Form,
    /// Threshold ϑ.
    pub threshold: Value,
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

/// The two forms in which the unit was published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Of the released code: an event takes ϑ from the state, and the gate says what is kept.
    #[default]
    Released,
    /// Of the paper: an event takes what it was worth, and the gate says what is new.
    Paper,
}

impl Default for Egru {
    fn default() -> Self {
        let zero = || Value::Shared(0.0);
        Egru { form: Form::Released, threshold: 0.3.into(), bias_z: zero(), bias_r: zero(), bias_g: zero(), bias_h: zero(), zoneout: 0.0 }
    }
}

/// A state `h` relaxed by the gate towards the candidate: the four inputs, biases in them, `z` the logit of what is kept; and the share that is kept whatever the gate says.
#[inline(always)]
pub(super) fn relax<R: Real>(h: R, [z, r, g, candidate]: [R; 4], zoneout: R) -> R {
    let keep = z.sigmoid();
    let keep = keep + zoneout * (R::of(1.0) - keep);
    let g = (g + r.sigmoid() * candidate).tanh();
    keep * h + (R::of(1.0) - keep) * g
}

/// Whether this can be a probability of zoneout.
pub(super) fn check_zoneout(p: f64) -> Result<(), String> {
    Param::new("zoneout", &p.into(), Range::Unit).check(1)
}

impl Neuron for Egru {
    const NAME: &'static str = "egru";
    const OUTPUT: Output = Output::Weighted;
    const AFFINE: bool = false;
    const PORTS: &'static [&'static str] = &["z", "r", "g", "h"];
    type State<R: Real> = [R; 1];
    type Inputs<R: Real> = [R; 4];
    const ZONEOUT: Option<Zoneout> = Some(Zoneout { constant: 8, port: 0 });
    type Params<R: Real> = [R; 5];
    type Consts<R: Real> = [R; 9];

    fn params(&self) -> Vec<Param<'_>> {
        vec![
            Param::new("threshold", &self.threshold, Range::Unit),
            Param::new("bias_z", &self.bias_z, Range::Finite),
            Param::new("bias_r", &self.bias_r, Range::Finite),
            Param::new("bias_g", &self.bias_g, Range::Finite),
            Param::new("bias_h", &self.bias_h, Range::Finite),
        ]
    }

    fn derive<R: Real>(&self, [threshold, z, r, g, h]: [R; 5], _: f64) -> [R; 9] {
        // The turn of the gate, and what of ϑ and of the state an event takes.
        let [turn, of_threshold, of_state] = match self.form {
            Form::Released => [1.0, 1.0, 0.0],
            Form::Paper => [-1.0, 0.0, 1.0],
        };
        [threshold, z, r, g, h, R::of(turn), R::of(of_threshold), R::of(of_state), R::of(self.zoneout)]
    }

    fn zoneout(&self) -> f64 {
        self.zoneout
    }

    fn check(&self) -> Result<(), String> {
        check_zoneout(self.zoneout)?;
        match self.form {
            Form::Paper if self.zoneout > 0.0 => Err("`zoneout`: the paper's form has none; take the released form".into()),
            _ => Ok(()),
        }
    }

    #[inline(always)]
    fn step<R: Real>(consts: [R; 9], [c]: [R; 1], event: R, [z, r, g, h]: [R; 4]) -> ([R; 1], R) {
        let [threshold, bias_z, bias_r, bias_g, bias_h, turn, of_threshold, of_state, zoneout] = consts;
        let kept = c - of_threshold * (event * threshold);
        let c = relax(kept, [turn * (z + bias_z), r + bias_r, g + bias_g, h + bias_h], zoneout) - of_state * (event * c);
        ([c], c - threshold)
    }

    #[inline(always)]
    fn worth<R: Real>(_: [R; 9], [c]: [R; 1]) -> R {
        c
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By chance a unit keeps what is left after its event; without chance a share of it; and what would be impossible is refused.
    #[test]
    fn zoneout_keeps_the_state() {
        let (c, x) = (0.8, [-1.0, 0.5, 2.0, 0.3]);
        let step = |zoneout: f64, x: [f64; 4], learning: bool| {
            let mut consts = Egru { zoneout, ..Egru::default() }.consts::<f64>(0, 1.0);
            consts[Egru::ZONEOUT.unwrap().constant] *= f64::from(u8::from(!learning));
            Egru::step(consts, [c], 1.0, x).0[0]
        };
        let (free, kept) = (step(0.0, x, false), c - 0.3);
        assert_eq!((step(0.4, x, true), step(0.4, [x[0] + Zoneout::KEEP, x[1], x[2], x[3]], true)), (free, kept));
        assert!((step(0.4, x, false) - (0.4 * kept + 0.6 * free)).abs() < 1e-15);
        let x32 = (Zoneout::KEEP as f32).sigmoid();
        assert!(x32 == 1.0 && x32 * (1.0 - x32) == 0.0);
        let why = |cell: Egru| super::super::Model::from(cell).check(1).unwrap_err();
        assert!(why(Egru { zoneout: 1.5, ..Egru::default() }).contains("`zoneout` = 1.5"));
        assert!(why(Egru { zoneout: 0.5, form: Form::Paper, ..Egru::default() }).contains("take the released form"));
    }

    /// Both forms for three steps, against the formulas written out with the library's functions.
    #[test]
    fn three_steps_by_hand() {
        let x = [[-1.0, 0.5, 2.0, 0.3], [0.4, -0.7, 1.5, -0.2], [0.1, 0.2, -0.5, 0.9]];
        let sigma = |x: f64| 1.0 / (1.0 + (-x).exp());
        for form in [Form::Released, Form::Paper] {
            let cell = Egru { form, threshold: 0.4.into(), bias_z: 0.1.into(), bias_h: (-0.3).into(), ..Egru::default() };
            let consts = cell.consts::<f64>(0, 1.0);
            let (mut s, mut event, mut c) = ([0.0], 0.0, 0.0f64);
            let mut events = 0;
            for [z, r, g, h] in x {
                let (gate, candidate) = (sigma(z + 0.1), (g + sigma(r) * (h - 0.3)).tanh());
                c = match form {
                    Form::Released => gate * (c - event * 0.4) + (1.0 - gate) * candidate,
                    Form::Paper => gate * candidate + (1.0 - gate) * c - event * c,
                };
                let u;
                (s, u) = Egru::step(consts, s, event, [z, r, g, h]);
                event = f64::from(u > 0.0);
                events += usize::from(u > 0.0);
                assert!((s[0] - c).abs() < 1e-15 && (u - (c - 0.4)).abs() < 1e-15, "{form:?}: {} {c}", s[0]);
            }
            assert!(events > 0, "{form:?}: nothing happened");
        }
    }

    /// Without input and event the gates are constant, and the state goes to the candidate as a power.
    #[test]
    fn silence_is_a_geometric_relaxation() {
        let cell = Egru { threshold: 1.0.into(), bias_z: 0.7.into(), bias_g: 0.5.into(), ..Egru::default() };
        let (c, keep, g) = (cell.consts::<f64>(0, 1.0), 1.0 / (1.0 + (-0.7f64).exp()), 0.5f64.tanh());
        let mut s = [-0.8];
        for n in 1..50 {
            s = Egru::step(c, s, 0.0, [0.0; 4]).0;
            assert!((s[0] - (g + keep.powi(n) * (-0.8 - g))).abs() < 1e-13);
        }
    }
}
