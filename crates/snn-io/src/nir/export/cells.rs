//! Neuron models as NIR nodes.

use super::{Export, Reason};
use crate::hdf5::{Array, Tree, Values};
use crate::nir::convention::{AfterSpike, Decay, Spikes};
use crate::nir::graph::{Kind, Primitive};
use crate::nir::maps::shared;
use snn_core::net::Population;
use snn_core::neuron::{FewSpikes, Form, Model, Neuron, Reset, decay};
use snn_core::{Real, Value};

/// The nodes of a population.
pub(super) struct Neurons {
    pub node: Primitive,
    /// What its spikes are worth, if not 1.
    pub worth: Option<Primitive>,
    /// What its resets need of the convention, if it has any.
    pub reset: Option<AfterSpike>,
    /// And its spikes in a step.
    pub spikes: Option<Spikes>,
}

impl Neurons {
    fn new(node: Primitive) -> Self {
        Neurons { node, worth: None, reset: None, spikes: None }
    }

    /// One or several in a step, which counts if they subtract.
    fn spikes(self, spikes: Spikes) -> Self {
        Neurons { spikes: (self.reset == Some(AfterSpike::Subtract)).then_some(spikes), ..self }
    }

    fn approximate(mut self, what: &str) -> Self {
        self.node.metadata.insert("approximation".into(), Tree::Array(Array::text(what)));
        self
    }
}

/// The nodes of a population whose values have this shape, in steps of `dt` seconds.
pub(super) fn neurons(p: &Population, shape: &[usize], dt: f64, settings: &Export) -> Result<Neurons, Reason> {
    if p.refractory != 0.0 || p.escape.is_some() {
        return Err("refractory periods and escape noise are not in NIR".into());
    }
    let n = Nodes { shape, dt, decay: settings.decay };
    let (zero, one) = (|| Value::Shared(0.0), || Value::Shared(1.0));
    match &p.model {
        Model::If(m) => Ok(n.firing(Kind::IF, vec![("r", one())], &m.v_th, m.reset).spikes(Spikes::One)),
        Model::IfMulti(m) => Ok(n.firing(Kind::IF, vec![("r", one())], &m.v_th, Reset::Subtract).spikes(Spikes::Several)),
        Model::Lif(m) => Ok(n.lif(&m.tau, inverse(&n.rate(&m.tau)), &m.v_th, m.reset)),
        Model::CubaLif(m) => {
            let (syn, mem) = (n.rate(&m.tau_syn), n.rate(&m.tau));
            let params = vec![("tau_syn", n.tau(&syn)), ("tau_mem", n.tau(&mem)), ("r", inverse(&mem)), ("w_in", inverse(&syn))];
            Ok(n.firing(Kind::CubaLIF, [params, vec![("v_leak", zero())]].concat(), &m.v_th, m.reset))
        }
        Model::Li(m) => Ok(n.li(&n.rate(&m.tau), one())),
        Model::Linear(m) if all(&m.keep, 0.0) => Ok(Neurons::new(n.node(Kind::Scale, &[("scale", m.gain.clone())]))),
        Model::Linear(m) if all(&m.keep, 1.0) => Ok(Neurons::new(n.node(Kind::I, &[("r", m.gain.clone())]))),
        Model::Linear(m) => {
            let rate = per(&m.keep, |keep| 1.0 - keep);
            Ok(n.li(&rate, shared((0..p.size).map(|j| m.gain.at(j) / rate.at(j)).collect())))
        }
        Model::Threshold(m) => Ok(Neurons::new(n.node(Kind::Threshold, &[("threshold", m.v_th.clone())]))),
        Model::Sum(m) if m.period == 1 => Ok(Neurons::new(io(Kind::Output, shape))),
        Model::Sum(_) if settings.approximate => {
            Ok(Neurons::new(io(Kind::Output, shape)).approximate("of sum, which ends at the end of its window"))
        }
        Model::Alif(m) if settings.approximate => {
            let lif = n.lif(&m.tau, inverse(&n.rate(&m.tau)), &m.v_th, Reset::Subtract);
            Ok(lif.approximate("of alif, without its adaptation"))
        }
        Model::Lsnn(m) if settings.approximate => {
            let lif = n.lif(&m.tau, one(), &m.v_th, Reset::Subtract);
            Ok(lif.approximate("of lsnn, without its adaptation, a step early"))
        }
        Model::FewSpikes(m) if settings.approximate && !m.signed && least(m) > 0.0 => {
            let fires = n.firing(Kind::IF, vec![("r", one())], &least(m).into(), Reset::Subtract).spikes(Spikes::Several);
            let worth = Some(n.node(Kind::Scale, &[("scale", least(m).into())]));
            let what = "of few_spikes: fires at once, by the smallest step of the code, without an upper bound; its bias comes bit by bit";
            Ok(Neurons { worth, ..fires.approximate(what) })
        }
        Model::Egru(m) if settings.approximate => {
            // The gates as they are without input, the candidate without its tanh, and an event worth what it is worth at threshold.
            let rate = per(&m.bias_z, |bias| sigmoid(if m.form == Form::Released { -bias } else { bias }));
            let reset = if m.form == Form::Released { Reset::Subtract } else { Reset::To(0.0) };
            let params = vec![("tau", n.tau(&rate)), ("r", one()), ("v_leak", zero())];
            let worth = Some(n.node(Kind::Scale, &[("scale", m.threshold.clone())]));
            let what = "of egru: its gates stand still, and its events are worth the threshold";
            Ok(Neurons { worth, ..n.firing(Kind::LIF, params, &m.threshold, reset).approximate(what) })
        }
        Model::Alif(_) | Model::Lsnn(_) | Model::Egru(_) | Model::Sum(_) => {
            Err("NIR has no such neuron; approximations are made on request".into())
        }
        Model::FewSpikes(_) => Err("NIR has no such neuron; approximations are made on request, if it is unsigned".into()),
        _ => Err("NIR has no such neuron, and none that comes near".into()),
    }
}

/// By what factor a population hears a port, if it does.
pub(super) fn heard(p: &Population, port: Option<&str>) -> Result<Option<Value>, Reason> {
    match (&p.model, port) {
        (_, None) | (Model::Egru(_), Some("g")) => Ok(Some(1.0.into())),
        (Model::Egru(m), Some("h")) => Ok(Some(per(&m.bias_r, sigmoid))),
        (Model::Egru(_), Some(_)) => Ok(None),
        (_, Some(port)) => Err(format!("the port `{port}`; NIR has none")),
    }
}

/// What the neurons of a population hear at every step, if anything: their current, and the bias of a window over its steps.
pub(super) fn current(p: &Population) -> Option<Value> {
    let bias = |j: usize| match &p.model {
        Model::FewSpikes(m) => m.bias.at(j) / m.period() as f64,
        Model::Sum(m) => m.bias.at(j) / m.period as f64,
        Model::Egru(m) => m.bias_g.at(j) + sigmoid(m.bias_r.at(j)) * m.bias_h.at(j),
        _ => 0.0,
    };
    let current = shared((0..p.size).map(|j| p.current.at(j) + bias(j)).collect());
    (current != Value::Shared(0.0)).then_some(current)
}

/// An input or output.
pub(super) fn io(kind: Kind, shape: &[usize]) -> Primitive {
    Primitive::new(kind).whole("shape", &shape.iter().map(|&n| n as i64).collect::<Vec<_>>())
}

/// A parameter of every value of a shape.
pub(super) fn floats(shape: &[usize], values: &Value) -> Array {
    Array::new(shape, Values::F64(values.iter(shape.iter().product()).collect()))
}

/// Whether all values are this.
pub(super) fn all<T: Copy + PartialEq>(values: &Value<T>, x: T) -> bool {
    values.given().iter().all(|&value| value == x)
}

struct Nodes<'a> {
    shape: &'a [usize],
    dt: f64,
    decay: Decay,
}

impl Nodes<'_> {
    fn node(&self, kind: Kind, params: &[(&str, Value)]) -> Primitive {
        params.iter().fold(Primitive::new(kind), |node, (name, values)| node.param(name, floats(self.shape, values)))
    }

    /// What a leak takes away in a step.
    fn rate(&self, tau: &Value) -> Value {
        per(tau, |tau| 1.0 - decay(self.dt, tau))
    }

    /// The time constant with which others take as much away.
    fn tau(&self, rate: &Value) -> Value {
        per(rate, |rate| if self.decay == Decay::Exact { -self.dt / (-rate).ln_1p() } else { self.dt / rate })
    }

    fn firing(&self, kind: Kind, mut params: Vec<(&str, Value)>, v_th: &Value, reset: Reset) -> Neurons {
        let (v_reset, reset) = match reset {
            Reset::Subtract => (0.0, AfterSpike::Subtract),
            Reset::To(value) => (value, AfterSpike::Value),
        };
        params.extend([("v_threshold", v_th.clone()), ("v_reset", v_reset.into())]);
        Neurons { reset: Some(reset), ..Neurons::new(self.node(kind, &params)) }
    }

    fn lif(&self, tau: &Value, r: Value, v_th: &Value, reset: Reset) -> Neurons {
        let params = vec![("tau", self.tau(&self.rate(tau))), ("r", r), ("v_leak", 0.0.into())];
        self.firing(Kind::LIF, params, v_th, reset)
    }

    fn li(&self, rate: &Value, r: Value) -> Neurons {
        Neurons::new(self.node(Kind::LI, &[("tau", self.tau(rate)), ("r", r), ("v_leak", 0.0.into())]))
    }
}

fn per(values: &Value, f: impl Fn(f64) -> f64) -> Value {
    match values {
        Value::Shared(x) => f(*x).into(),
        Value::Each(xs) => xs.iter().map(|&x| f(x)).collect::<Vec<_>>().into(),
    }
}

fn sigmoid(x: f64) -> f64 {
    x.sigmoid()
}

fn inverse(rate: &Value) -> Value {
    per(rate, |rate| 1.0 / rate)
}

/// The smallest step of a code.
fn least(model: &FewSpikes) -> f64 {
    model.weight.iter().copied().fold(f64::INFINITY, f64::min)
}
