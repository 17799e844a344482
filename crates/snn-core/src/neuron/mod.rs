//! Neuron models. A model is one equation, written once, generic in its arithmetic; layout, SIMD and derivatives are the engine's business.
//!
//! To add a model: one file beside this one, one entry in the list `models!` below.

pub use crate::Value;
use crate::{Dual, Real, Vars};
use serde::{Deserialize, Serialize};

/// A neuron model.
///
/// One time step takes the state `s[t−1]`, the own output `z[t−1]` and the summed inputs `x[t]`, one for each port, and gives `s[t]` and `u[t]`.
/// What the output is made of `u` says [`OUTPUT`](Neuron::OUTPUT): for a model that spikes `u` is the distance to threshold.
pub trait Neuron: Clone + Send + Sync + 'static {
    /// Name in network files.
    const NAME: &'static str;
    /// What the output is.
    const OUTPUT: Output;
    /// Whether `step` is affine in state and input for a given `z`, so that its derivatives are two sets of constants. Of other models an engine
    /// records the state, and the backward pass takes the derivatives there, which costs time and memory.
    const AFFINE: bool = true;
    /// Whether the inputs of a period act after it only, and only by their sum: then an engine may give them at once. (A graded output
    /// counts at the last step of the period.)
    const GATHERS: bool = false;
    /// The names of its inputs, which are summed apart; a projection says which one it goes to, if there are several. At most [`MAX_PORTS`].
    const PORTS: &'static [&'static str] = &["input"];
    /// Whether the sign of a weight chooses the port, of two: synapses with reversal potentials of their own. The first input is then the sum of what came
    /// over positive weights, the second, 0 or less, of what came over negative ones.
    const APART: bool = false;
    /// How it can keep its state by chance while it learns, if it can: see [`Zoneout`].
    const ZONEOUT: Option<Zoneout> = None;
    /// State variables, at most [`MAX_STATE`].
    type State<R: Real>: Vars<R>;
    /// One number for each of [`PORTS`](Neuron::PORTS).
    type Inputs<R: Real>: Vars<R>;
    /// One number for each parameter, in the order of [`params`](Neuron::params).
    type Params<R: Real>: Vars<R>;
    /// What `step` needs, derived once per neuron from its parameters and the time step.
    type Consts<R: Real>: Vars<R>;

    /// Parameters with their allowed ranges.
    fn params(&self) -> Vec<Param<'_>>;
    /// The constants of a neuron with the parameters `p` for a time step of `dt` seconds. Generic as `step` is, so that a parameter can be learned: its
    /// gradient goes through both.
    fn derive<R: Real>(&self, p: Self::Params<R>, dt: f64) -> Self::Consts<R>;
    /// The constants at the steps `t` with `t mod period = phase`, step 0 being the first of a trial.
    fn derive_at<R: Real>(&self, p: Self::Params<R>, dt: f64, _phase: usize) -> Self::Consts<R> {
        self.derive(p, dt)
    }
    /// Steps after which the constants repeat. 1, the default: they never change.
    fn period(&self) -> usize {
        1
    }
    /// Steps at the end of a period in which it never fires.
    fn silent(&self) -> usize {
        0
    }
    /// The probability with which each neuron keeps its state at a step while it learns: of a model with [`ZONEOUT`](Neuron::ZONEOUT).
    fn zoneout(&self) -> f64 {
        0.0
    }
    /// The parameters of neuron `j`.
    fn values(&self, j: usize) -> Self::Params<f64> {
        let params = self.params();
        Self::Params::from_fn(|k| params[k].value.at(j))
    }
    /// The constants of neuron `j`, whatever the arithmetic derived in f64.
    fn consts<R: Real>(&self, j: usize, dt: f64) -> Self::Consts<R> {
        self.consts_at(j, dt, 0)
    }
    /// The same at a phase of the period.
    fn consts_at<R: Real>(&self, j: usize, dt: f64, phase: usize) -> Self::Consts<R> {
        let c = self.derive_at::<f64>(self.values(j), dt, phase);
        Self::Consts::from_fn(|k| R::of(c.get(k)))
    }
    /// What is impossible about the parameters beyond their ranges, if anything is.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
    /// One time step: the model's equation. Returns the new state and `u`.
    fn step<R: Real>(c: Self::Consts<R>, s: Self::State<R>, z: R, x: Self::Inputs<R>) -> (Self::State<R>, R);

    /// The value of an event that is sent with these constants in the step that ended in this state, if the output is [`Output::Weighted`]: affine in the state,
    /// with factors that no learned parameter moves, so that its derivatives are constants. Of a model with a [`jump`](Neuron::jump) it depends on the
    /// constants only.
    fn worth<R: Real>(_c: Self::Consts<R>, _s: Self::State<R>) -> R {
        R::of(1.0)
    }
    /// Closed form over silence: the state after `n` steps without input or own spike, `step(c, s, 0, 0)` taken `n` times; where constants
    /// change, `c` are those of the first of these steps. `None`, the default: there is none, and the event-driven engine refuses the model.
    fn jump<R: Real>(_c: Self::Consts<R>, _s: Self::State<R>, _n: u32) -> Option<Self::State<R>> {
        None
    }
    /// A bound of `u` over all later silence: where it is not above 0, the neuron will not fire before its next input. The default knows of
    /// no bound, and the event-driven engine then looks at every step. Where constants change, those of any phase give it.
    fn ceiling<R: Real>(_c: Self::Consts<R>, _s: Self::State<R>) -> R {
        R::of(f64::INFINITY)
    }
}

/// How a model keeps its state by chance (Krueger et al. 2017, arXiv:1606.01305): while it learns, each neuron does so with a probability `p` at every step; else all keep the share `p`
/// of it.
///
/// The equation has the share as a constant. An engine that draws puts 0 in its place, and adds [`KEEP`](Self::KEEP) to an input where a neuron is to keep its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zoneout {
    /// Which of the constants is `p`.
    pub constant: usize,
    /// Which input closes a neuron, where it is large.
    pub port: usize,
}

impl Zoneout {
    /// An input that leaves nothing open: `σ(KEEP)` is 1, and its derivative 0, in f32 and f64.
    pub const KEEP: f64 = 1e4;
}

/// What a neuron's output `z` is, given `u`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// `z = H(u)`: an event of value 1 where `u > 0`. A rule puts its surrogate in the place of the derivative.
    Spike,
    /// `z = H(u)`, and the event counts as much as [`Neuron::worth`] says for the step: spikes whose weight depends on when they are sent, or on how long
    /// ago the last one was; a gated unit, which sends its state. What others hear is `y = z·worth`; the model's `step` is handed `z`. A rule puts its
    /// surrogate in the place of `∂z/∂u`, and the derivative of the worth counts at events, exactly.
    Weighted,
    /// `z = max(u, 0)`: an event of value `u` where `u > 0`. The derivative is 1 there and 0 elsewhere, exactly: its active set is its
    /// events, and no surrogate is used. The model's `step` must not look at the own last output (keep in the state what it needs): values
    /// differ from event to event, and the engines hand it 0.
    Rectified,
    /// `z = u`: an event of value `u` at every step at which that is not 0, with derivative 1 always: a dense unit. As with `Rectified` the model's `step` must not
    /// look at the own last output.
    Linear,
    /// `z = u` at every step: read out, but no event that another population could hear.
    Graded,
}

impl Output {
    /// Whether the output comes as events, which other populations can hear.
    pub const fn is_events(self) -> bool {
        !matches!(self, Output::Graded)
    }
    /// Whether it comes as events that carry a value.
    pub const fn has_values(self) -> bool {
        matches!(self, Output::Rectified | Output::Linear | Output::Weighted)
    }
    /// Whether an event is all or nothing: the model's `step` is handed `z` = 0 or 1.
    pub const fn is_binary(self) -> bool {
        matches!(self, Output::Spike | Output::Weighted)
    }
}

/// Most state variables a model may have.
pub const MAX_STATE: usize = 4;
/// Most inputs a model may have.
pub const MAX_PORTS: usize = 4;

macro_rules! models {
    ($($file:ident :: $Model:ident),+ $(,)?) => {
        $(mod $file; pub use $file::$Model;)+

        /// Any neuron model, as data.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "model", rename_all = "snake_case")]
        pub enum Model { $(#[doc = concat!("See [`", stringify!($Model), "`].")] $Model($Model),)+ }

        impl Model {
            /// Calls `visitor` with the concrete model: the only door from data to types.
            pub fn visit<V: Visit>(&self, visitor: V) -> V::Out {
                match self { $(Model::$Model(m) => visitor.visit(m),)+ }
            }
            /// One model of every kind with its default parameters, for tests over the registry.
            pub fn all() -> Vec<Model> {
                vec![$(Model::$Model($Model::default()),)+]
            }
        }
        $(impl From<$Model> for Model { fn from(m: $Model) -> Self { Model::$Model(m) } })+
    };
}

models! {
    if_::If, if_multi::IfMulti, lif::Lif, lif_refractory::LifRefractory, lif_cond::LifCond, cuba_lif::CubaLif, lif_psc::LifPsc, alif::Alif, lsnn::Lsnn, psp::Psp,
    izhikevich::Izhikevich, threshold::Threshold, few_spikes::FewSpikes, egru::Egru, gru::Gru, gate::Gate, relu::Relu, linear::Linear, li::Li, sum::Sum
}

mod params;

pub use egru::Form;
pub use lif::Reset;
pub use params::with_params;

/// `Σ_{k<n} aᵏ·b^(n−1−k)`, by doubling: an exponential of `n` steps filtered by another, also where both are the same.
pub(crate) fn filtered<R: Real>(a: R, b: R, n: u32) -> R {
    // (sum, aⁿ, bⁿ) of the leading bits of n.
    let (mut sum, mut an, mut bn) = (R::of(0.0), R::of(1.0), R::of(1.0));
    for bit in (0..u32::BITS - n.leading_zeros()).rev() {
        (sum, an, bn) = (sum * (an + bn), an * an, bn * bn);
        if n >> bit & 1 == 1 {
            (sum, an, bn) = (sum * b + an, an * a, bn * b);
        }
    }
    sum
}

/// What is done with a concrete model: see [`Model::visit`].
pub trait Visit {
    /// Result.
    type Out;
    /// Called with the model.
    fn visit<N: Neuron>(self, model: &N) -> Self::Out;
}

impl Model {
    /// Name in network files.
    pub fn name(&self) -> &'static str {
        struct Name;
        impl Visit for Name {
            type Out = &'static str;
            fn visit<N: Neuron>(self, _: &N) -> &'static str {
                N::NAME
            }
        }
        self.visit(Name)
    }

    /// What the model's output is.
    pub fn output(&self) -> Output {
        struct Of;
        impl Visit for Of {
            type Out = Output;
            fn visit<N: Neuron>(self, _: &N) -> Output {
                N::OUTPUT
            }
        }
        self.visit(Of)
    }

    /// Steps at the end of a period in which it never fires: see [`Neuron::silent`].
    pub fn silent(&self) -> usize {
        struct Of;
        impl Visit for Of {
            type Out = usize;
            fn visit<N: Neuron>(self, model: &N) -> usize {
                model.silent()
            }
        }
        self.visit(Of)
    }

    /// Steps after which its constants repeat: see [`Neuron::period`].
    pub fn period(&self) -> usize {
        struct Of;
        impl Visit for Of {
            type Out = usize;
            fn visit<N: Neuron>(self, model: &N) -> usize {
                model.period()
            }
        }
        self.visit(Of)
    }

    /// With which probability its neurons keep their state while they learn, and how: see [`Zoneout`]; `None` if they never do.
    pub fn zoneout(&self) -> Option<(f64, Zoneout)> {
        struct Of;
        impl Visit for Of {
            type Out = Option<(f64, Zoneout)>;
            fn visit<N: Neuron>(self, model: &N) -> Self::Out {
                N::ZONEOUT.map(|how| (model.zoneout(), how)).filter(|(p, _)| *p > 0.0)
            }
        }
        self.visit(Of)
    }

    /// The names of its inputs: see [`Neuron::PORTS`].
    pub fn ports(&self) -> &'static [&'static str] {
        struct Of;
        impl Visit for Of {
            type Out = &'static [&'static str];
            fn visit<N: Neuron>(self, _: &N) -> Self::Out {
                N::PORTS
            }
        }
        self.visit(Of)
    }

    /// Whether the sign of a weight chooses its input: see [`Neuron::APART`].
    pub fn apart(&self) -> bool {
        struct Of;
        impl Visit for Of {
            type Out = bool;
            fn visit<N: Neuron>(self, _: &N) -> bool {
                N::APART
            }
        }
        self.visit(Of)
    }

    /// The parameters with their ranges: name, values, range, and whether it can be learned.
    pub fn params(&self) -> Vec<(&'static str, Value, Range, bool)> {
        struct Of;
        impl Visit for Of {
            type Out = Vec<(&'static str, Value, Range, bool)>;
            fn visit<N: Neuron>(self, m: &N) -> Self::Out {
                m.params().into_iter().map(|p| (p.name, p.value.clone(), p.range, p.learnable)).collect()
            }
        }
        self.visit(Of)
    }

    /// Whether the output is spikes: events of value 1.
    pub fn spikes(&self) -> bool {
        self.output() == Output::Spike
    }

    /// The reason why the parameters are impossible for `size` neurons, if they are.
    pub fn check(&self, size: usize) -> Result<(), String> {
        struct Check(usize);
        impl Visit for Check {
            type Out = Result<(), String>;
            fn visit<N: Neuron>(self, m: &N) -> Self::Out {
                m.params().iter().try_for_each(|p| p.check(self.0))?;
                m.check()
            }
        }
        self.visit(Check(size))
    }
}

/// A named parameter and the range it must lie in.
pub struct Param<'a> {
    /// Name.
    pub name: &'static str,
    /// Value.
    pub value: &'a Value,
    /// Allowed range.
    pub range: Range,
    /// Whether it can be learned: whether derivatives by it mean anything, and its range is all that bounds it.
    pub learnable: bool,
}

/// Where a parameter may lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Range {
    /// `> 0` and finite.
    Positive,
    /// `≥ 0` and finite.
    NonNegative,
    /// `0 … 1`.
    Unit,
    /// Any finite number.
    Finite,
}

impl Range {
    /// The number in the range that is nearest to `x`. What must be positive stays above a thousandth of `start`, what it was described with.
    pub fn clamp(self, x: f64, start: f64) -> f64 {
        match self {
            Range::Positive => x.max(1e-3 * start),
            Range::NonNegative => x.max(0.0),
            Range::Unit => x.clamp(0.0, 1.0),
            Range::Finite => x,
        }
    }
}

impl<'a> Param<'a> {
    /// A parameter that can be learned.
    pub fn new(name: &'static str, value: &'a Value, range: Range) -> Self {
        Param { name, value, range, learnable: true }
    }
    /// The same, not to be learned.
    pub fn fixed(self) -> Self {
        Param { learnable: false, ..self }
    }

    pub(crate) fn check(&self, size: usize) -> Result<(), String> {
        let values = self.value.given();
        if !self.value.fits(size) {
            return Err(format!("`{}` has {} values for {size} neurons; give one number, or one per neuron", self.name, values.len()));
        }
        let (fits, wanted): (fn(f64) -> bool, _) = match self.range {
            Range::Positive => (|x| x > 0.0, "positive"),
            Range::NonNegative => (|x| x >= 0.0, "zero or more"),
            Range::Unit => (|x| (0.0..=1.0).contains(&x), "between 0 and 1"),
            Range::Finite => (|_| true, "a finite number"),
        };
        match values.iter().position(|x| !x.is_finite() || !fits(*x)) {
            Some(j) => Err(format!("`{}` = {} (neuron {j}): must be {wanted}", self.name, values[j])),
            None => Ok(()),
        }
    }
}

/// Local derivatives of one step: all a learning rule ever sees of a neuron.
///
/// Of the new state `s'` and of `u`, with respect to the old state `s`, the own last output `z` and the input `x`, the first of several.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Jacobian {
    /// `∂s'ᵢ/∂sⱼ` at `[i][j]`.
    pub s_s: [[f64; MAX_STATE]; MAX_STATE],
    /// `∂s'ᵢ/∂z`.
    pub s_z: [f64; MAX_STATE],
    /// `∂s'ᵢ/∂x`.
    pub s_x: [f64; MAX_STATE],
    /// `∂u/∂sⱼ`.
    pub u_s: [f64; MAX_STATE],
    /// `∂u/∂z`.
    pub u_z: f64,
    /// `∂u/∂x`.
    pub u_x: f64,
}

/// The Jacobian of one step of `N` at `(s, z, x)`, by running [`Neuron::step`] on dual numbers.
///
/// Of an [`AFFINE`](Neuron::AFFINE) model it depends on `z` at most, never on `s` or `x` (a law test holds this): the engine keeps it as two constants.
pub fn jacobian<N: Neuron>(c: N::Consts<f64>, s: &[f64], z: f64, x: N::Inputs<f64>) -> Jacobian {
    const Z: usize = MAX_STATE;
    const X: usize = MAX_STATE + 1;
    type D = Dual<{ MAX_STATE + 2 }>;
    let k = <N::State<f64> as Vars<f64>>::LEN;
    let state = N::State::<D>::from_fn(|i| D::variable(s[i], i));
    let consts = N::Consts::<D>::from_fn(|i| D::of(c.get(i)));
    let inputs = N::Inputs::<D>::from_fn(|i| if i == 0 { D::variable(x.get(0), X) } else { D::of(x.get(i)) });
    let (next, u) = N::step(consts, state, D::variable(z, Z), inputs);
    let mut jac = Jacobian { u_z: u.d[Z], u_x: u.d[X], ..Jacobian::default() };
    for i in 0..k {
        let d = next.get(i).d;
        jac.s_s[i][..k].copy_from_slice(&d[..k]);
        (jac.s_z[i], jac.s_x[i], jac.u_s[i]) = (d[Z], d[X], u.d[i]);
    }
    jac
}

/// The derivatives of the constants of `N` by parameter `q`, at the parameters `p`.
pub fn consts_by<N: Neuron>(model: &N, p: N::Params<f64>, q: usize, dt: f64) -> N::Consts<f64> {
    let at = |k: usize| if k == q { Dual::<1>::variable(p.get(k), 0) } else { Dual::of(p.get(k)) };
    let c = model.derive::<Dual<1>>(N::Params::from_fn(at), dt);
    N::Consts::from_fn(|k| c.get(k).d[0])
}

/// `exp(−dt/τ)`: what is left of an exponential of time constant `tau` seconds after `dt` seconds.
pub fn decay<R: Real>(dt: f64, tau: R) -> R {
    (R::of(-dt) / tau).exp()
}

#[cfg(test)]
mod laws {
    use super::*;
    use proptest::prelude::*;

    /// Every law over every model of the registry, at a random point.
    struct Laws {
        s: [f64; MAX_STATE],
        x: f64,
        dt: f64,
        silence: u32,
    }

    impl Visit for Laws {
        type Out = Result<(), TestCaseError>;
        fn visit<N: Neuron>(self, model: &N) -> Self::Out {
            (0..model.period()).try_for_each(|phase| self.at(model, phase))
        }
    }

    impl Laws {
        fn at<N: Neuron>(&self, model: &N, phase: usize) -> Result<(), TestCaseError> {
            let k = <N::State<f64> as Vars<f64>>::LEN;
            let consts = |n: u32| model.consts_at::<f64>(0, self.dt, (phase + n as usize) % model.period());
            // The inputs, each another number; where the sign chooses, it is right.
            let ports = <N::Inputs<f64> as Vars<f64>>::LEN;
            prop_assert!(ports == N::PORTS.len() && (1..=MAX_PORTS).contains(&ports) && (!N::APART || ports == 2), "{}: ports", N::NAME);
            let inputs = |x: f64| {
                N::Inputs::<f64>::from_fn(|i| match i {
                    0 if N::APART => x.abs(),
                    0 => x,
                    _ => x.abs() * (0.3 * i as f64 - 0.8),
                })
            };
            let c = consts(0);
            for z in [0.0, 1.0].into_iter().filter(|_| N::AFFINE) {
                let here = jacobian::<N>(c, &self.s, z, inputs(self.x));
                let origin = jacobian::<N>(c, &[0.0; MAX_STATE], z, inputs(0.0));
                prop_assert_eq!(here, origin, "{}: the Jacobian must depend on z only", N::NAME);

                // Central differences; the models are affine for fixed z, so only rounding is left.
                let run = |s: &[f64; MAX_STATE], x: f64| {
                    N::step(c, N::State::from_fn(|i| s[i]), z, N::Inputs::from_fn(|i| if i == 0 { x } else { inputs(self.x).get(i) }))
                };
                let h = 1e-3;
                for j in 0..=k {
                    let (mut up, mut down, mut xu, mut xd) = (self.s, self.s, self.x, self.x);
                    if j < k {
                        up[j] += h;
                        down[j] -= h;
                    } else {
                        xu += h;
                        xd -= h;
                    }
                    let ((su, uu), (sd, ud)) = (run(&up, xu), run(&down, xd));
                    let expected_u = if j < k { here.u_s[j] } else { here.u_x };
                    prop_assert!(((uu - ud) / (2.0 * h) - expected_u).abs() < 1e-9, "{}: ∂u", N::NAME);
                    for i in 0..k {
                        let expected = if j < k { here.s_s[i][j] } else { here.s_x[i] };
                        prop_assert!(((su.get(i) - sd.get(i)) / (2.0 * h) - expected).abs() < 1e-9, "{}: ∂s", N::NAME);
                    }
                }
            }
            self.learns(model)?;
            // A silent neuron without input stays where it is: at rest.
            let (rest, u) = N::step(c, N::State::from_fn(|_| 0.0), 0.0, inputs(0.0));
            prop_assert!((0..k).all(|i| rest.get(i) == 0.0) && u <= 0.0 && (!N::OUTPUT.is_binary() || u < 0.0), "{}: rest", N::NAME);
            // An output with values of its own is not looked at.
            if matches!(N::OUTPUT, Output::Rectified | Output::Linear) {
                let run = |z: f64| N::step(c, N::State::from_fn(|i| self.s[i]), z, inputs(self.x));
                let (here, other) = (run(0.0), run(self.x.abs()));
                prop_assert!(here.1 == other.1 && (0..k).all(|i| here.0.get(i) == other.0.get(i)), "{}: looks at z", N::NAME);
            }
            // Every input is heard, and not as another is.
            let alone = |port: usize| {
                let state = N::State::from_fn(|i| 0.5 + 0.1 * self.s[i]);
                let (s, u) = N::step(c, state, 0.0, N::Inputs::from_fn(|i| if i == port { 0.3 } else { 0.7 }));
                (0..k).map(|i| s.get(i)).chain([u]).map(f64::to_bits).collect::<Vec<_>>()
            };
            prop_assert!((1..ports).all(|p| (0..p).all(|q| alone(p) != alone(q))), "{}: two inputs are one", N::NAME);
            // The worth of an event is affine in the state, and no learned parameter moves its derivative.
            if N::OUTPUT == Output::Weighted {
                let by = |at: f64, i: usize| {
                    let s =
                        N::State::<Dual<1>>::from_fn(|j| if i == j { Dual::variable(at * self.s[j], 0) } else { Dual::of(at * self.s[j]) });
                    N::worth(N::Consts::<Dual<1>>::from_fn(|j| Dual::of(c.get(j))), s).d[0]
                };
                prop_assert!((0..k).all(|i| by(1.0, i) == by(0.0, i)), "{}: worth is not affine", N::NAME);
                for q in (0..model.params().len()).filter(|&q| model.params()[q].learnable) {
                    let slopes = consts_by(model, model.values(0), q, self.dt);
                    let consts = N::Consts::<Dual<1>>::from_fn(|i| Dual { v: c.get(i), d: [slopes.get(i)] });
                    let worth = N::worth(consts, N::State::from_fn(|i| Dual::of(self.s[i])));
                    prop_assert!(worth.d[0] == 0.0 || model.period() > 1, "{}: worth learns `{}`", N::NAME, model.params()[q].name);
                }
            }
            // Who can be carried over silence sends events whose value is known without the state.
            if N::jump(c, N::State::from_fn(|i| self.s[i]), 1).is_some() {
                let worth = |k: f64| N::worth(c, N::State::from_fn(|i| k * self.s[i]));
                prop_assert!(worth(1.0) == worth(0.0), "{}: worth", N::NAME);
            }
            // Whether inputs come at once or one by one, a period ends the same.
            if N::GATHERS && phase == 0 {
                let run = |x: &dyn Fn(u32) -> f64| {
                    let (mut s, mut z, mut spikes, mut u) = (N::State::from_fn(|i| self.s[i]), 0.0, Vec::new(), 0.0);
                    for n in 0..model.period() as u32 {
                        (s, u) = N::step(consts(n), s, z, inputs(x(n)));
                        z = if N::OUTPUT.is_binary() { f64::from(u > 0.0) } else { 0.0 };
                        spikes.push(z);
                    }
                    (s, spikes, u)
                };
                let (a, b) = (run(&|n| if n == 0 { self.x * model.period() as f64 } else { 0.0 }), run(&|_| self.x));
                let same = (0..k).all(|i| (a.0.get(i) - b.0.get(i)).abs() < 1e-12) && a.1 == b.1;
                prop_assert!(same && (N::OUTPUT.is_events() || (a.2 - b.2).abs() < 1e-12), "{}: does not gather", N::NAME);
            }
            // The closed form over silence is as many steps, and nothing in it rises above the ceiling.
            let (mut s, ceiling) = (N::State::from_fn(|i| self.s[i].abs()), N::ceiling(c, N::State::from_fn(|i| self.s[i].abs())));
            let start = s;
            for n in 0..=self.silence {
                let Some(jumped) = N::jump(c, start, n) else { break };
                prop_assert!((0..k).all(|i| (jumped.get(i) - s.get(i)).abs() <= 1e-12), "{}: jump over {n}", N::NAME);
                let u;
                (s, u) = N::step(consts(n), s, 0.0, inputs(0.0));
                prop_assert!(!N::OUTPUT.is_events() || u <= ceiling + 1e-12, "{}: {u} above the ceiling {ceiling}", N::NAME);
            }
            // f32 follows f64.
            let at = |k: usize| self.s[k].abs();
            let single = N::step(
                model.consts_at::<f32>(0, self.dt, phase),
                N::State::from_fn(|k| at(k) as f32),
                0.0,
                N::Inputs::from_fn(|i| inputs(self.x).get(i) as f32),
            )
            .1;
            let double = N::step(c, N::State::from_fn(at), 0.0, inputs(self.x)).1;
            prop_assert!((f64::from(single) - double).abs() < 1e-5 * (1.0 + double.abs()), "{}: f32 {single} f64 {double}", N::NAME);
            Ok(())
        }
    }

    impl Laws {
        /// The derivatives of a step by every parameter that can be learned, through the constants, are finite differences.
        fn learns<N: Neuron>(&self, model: &N) -> Result<(), TestCaseError> {
            let (k, params, here) = (<N::State<f64> as Vars<f64>>::LEN, model.params(), model.values(0));
            prop_assert_eq!(params.len(), <N::Params<f64> as Vars<f64>>::LEN, "{}: parameters", N::NAME);
            let (state, x) = (|i: usize| self.s[i].abs(), |i: usize| self.x.abs() * (1.0 - 1.4 * i as f64));
            for (q, z) in (0..params.len()).filter(|&q| params[q].learnable).flat_map(|q| [(q, 0.0), (q, 1.0)]) {
                let run = |p: f64| {
                    let c = model.derive::<f64>(N::Params::from_fn(|i| if i == q { p } else { here.get(i) }), self.dt);
                    let (s, u) = N::step(c, N::State::from_fn(state), z, N::Inputs::from_fn(x));
                    (0..k).map(|i| s.get(i)).chain([u]).collect::<Vec<f64>>()
                };
                let h = if here.get(q) == 0.0 { 1e-5 } else { 1e-5 * here.get(q).abs() };
                let (c, by) = (model.derive::<f64>(here, self.dt), consts_by(model, here, q, self.dt));
                let c = N::Consts::<Dual<1>>::from_fn(|i| Dual { v: c.get(i), d: [by.get(i)] });
                let (s, u) = N::step(c, N::State::from_fn(|i| Dual::of(state(i))), Dual::of(z), N::Inputs::from_fn(|i| Dual::of(x(i))));
                let found = (0..k).map(|i| s.get(i).d[0]).chain([u.d[0]]);
                for ((found, up), down) in found.zip(run(here.get(q) + h)).zip(run(here.get(q) - h)) {
                    let numeric = (up - down) / (2.0 * h);
                    let rounding = 1e-14 * (1.0 + up.abs()) / h;
                    prop_assert!(
                        (found - numeric).abs() <= 1e-5 * (1.0 + numeric.abs()) + rounding,
                        "{}: {found} by {}, not {numeric}",
                        N::NAME,
                        params[q].name
                    );
                }
            }
            Ok(())
        }
    }

    proptest! {
        // Steps below 5 ms, the shortest time constant of a default: there its factor has a corner.
        #[test]
        fn hold_for_every_model(s in prop::array::uniform4(-2.0f64..2.0), x in -2.0f64..2.0, dt in 1e-4f64..4.9e-3, silence in 0u32..300) {
            for model in Model::all() {
                model.visit(Laws { s, x, dt, silence })?;
            }
        }
    }

    #[test]
    fn every_model_survives_json_and_checks_its_parameters() {
        for model in Model::all() {
            let text = serde_json::to_string(&model).unwrap();
            assert!(text.contains(&format!("\"model\":\"{}\"", model.name())), "{text}");
            assert_eq!(serde_json::from_str::<Model>(&text).unwrap(), model);
            model.check(3).unwrap();
            // An unknown parameter is named, not ignored.
            let odd = text.replacen('}', ",\"volume\":11}", 1);
            assert!(serde_json::from_str::<Model>(&odd).unwrap_err().to_string().contains("volume"), "{odd}");
        }
    }

    #[test]
    fn impossible_parameters_are_named() {
        let lif = |tau: Value| Model::from(Lif { tau, ..Lif::default() });
        assert_eq!(lif(Value::Shared(-0.01)).check(2).unwrap_err(), "`tau` = -0.01 (neuron 0): must be positive");
        assert_eq!(lif(Value::Each(vec![0.01, f64::NAN])).check(2).unwrap_err(), "`tau` = NaN (neuron 1): must be positive");
        assert!(lif(Value::Each(vec![0.01])).check(2).unwrap_err().contains("1 values for 2 neurons"));
    }
}
