//! Nodes with memory or threshold: which neuron models they are, in steps of a convention.

use super::convention::{AfterSpike, Convention, Current, Decay, Integrate, Spikes};
use super::graph::{Kind, Primitive};
use super::maps::{doubles, shared};
use snn_core::Value;
use snn_core::neuron::{CubaLif, If, IfMulti, Lif, Linear, Model, Reset, Sum, Threshold};
use std::collections::BTreeMap;

/// What is wrong, said by those who do not know where.
type Reason = String;

/// A node as neurons. Potentials are in units of their input: of `v` what NIR calls `v` divided by the gain of a step, which weights then keep out of.
pub(super) struct Cell {
    /// The synapse before the neurons, where it is a population of its own.
    pub synapse: Option<Model>,
    pub model: Model,
    /// Constant current into the model.
    pub current: Value,
    /// Whether an input acts on the membrane a step late.
    pub late: bool,
}

impl Cell {
    fn new(model: impl Into<Model>) -> Self {
        Cell { synapse: None, model: model.into(), current: 0.0.into(), late: false }
    }
}

/// The neurons of a node, `size` of them.
pub(super) fn cell(p: &Primitive, size: usize, c: &Convention) -> Result<Cell, Reason> {
    let n = Neurons::new(p, size, c)?;
    match p.kind {
        Kind::Threshold => Ok(Cell::new(Threshold { v_th: n.params["threshold"].clone() })),
        Kind::I => Ok(Cell::new(Linear { keep: 1.0.into(), gain: n.each(|j| n.integrated(j))? })),
        Kind::IF => n.integrate_and_fire(),
        Kind::LI => Ok(Cell { current: n.leak()?, ..Cell::new(n.leaky("tau", "r")?) }),
        Kind::LIF => Ok(Cell { current: n.leak()?, ..Cell::new(n.lif("tau")?) }),
        Kind::CubaLI => n.behind_synapse(n.leaky("tau_mem", "r")?.into()),
        Kind::CubaLIF if n.leak()? == Value::Shared(0.0) => {
            let gain = n.each(|j| Ok(n.gain("tau_mem", "r", j)? * n.gain("tau_syn", "w_in", j)?))?;
            let (tau, tau_syn) = (n.tau("tau_mem")?, n.tau("tau_syn")?);
            let model = CubaLif { tau, tau_syn, v_th: n.over("v_threshold", &gain)?, reset: n.reset(&gain)?, ..CubaLif::default() };
            Ok(Cell { late: c.current == Current::Old, ..Cell::new(model) })
        }
        Kind::CubaLIF => n.behind_synapse(n.lif("tau_mem")?.into()),
        _ => Ok(Cell::new(Sum::default())),
    }
}

/// The parameters of a node, neuron by neuron.
struct Neurons<'a> {
    params: BTreeMap<&'a str, Value>,
    size: usize,
    c: &'a Convention,
}

impl<'a> Neurons<'a> {
    fn new(p: &'a Primitive, size: usize, c: &'a Convention) -> Result<Self, Reason> {
        let mut params = BTreeMap::from([("w_in", 1.0.into()), ("v_reset", 0.0.into()), ("v_leak", 0.0.into())]);
        for name in p.params.keys().filter(|_| !matches!(p.kind, Kind::Input | Kind::Output)) {
            let list = doubles(p, name)?;
            if list.len() != size && list.len() != 1 {
                return Err(format!("`{name}` has {} values for {size} neurons", list.len()));
            }
            params.insert(name, shared(list));
        }
        Ok(Neurons { params, size, c })
    }

    fn each(&self, value: impl Fn(usize) -> Result<f64, Reason>) -> Result<Value, Reason> {
        Ok(shared((0..self.size).map(value).collect::<Result<_, _>>()?))
    }

    /// A parameter that must be positive.
    fn positive(&self, name: &str, j: usize) -> Result<f64, Reason> {
        match self.params[name].at(j) {
            x if x > 0.0 && x.is_finite() => Ok(x),
            x => Err(format!("`{name}` = {x} (neuron {j}): must be positive")),
        }
    }

    /// The time step as a share of a time constant.
    fn share(&self, tau: &str, j: usize) -> Result<f64, Reason> {
        let (dt, time) = (self.c.dt, self.positive(tau, j)?);
        match dt / time {
            share if share < 1.0 || self.c.decay == Decay::Exact => Ok(share),
            _ => Err(format!("`{tau}` = {time} s (neuron {j}) is not above the time step of {dt} s; take a shorter one, or exact decay")),
        }
    }

    /// What a leak takes away in a step, and lets in of the input.
    fn rate(&self, tau: &str, j: usize) -> Result<f64, Reason> {
        let share = self.share(tau, j)?;
        Ok(if self.c.decay == Decay::Exact { -(-share).exp_m1() } else { share })
    }

    /// The time constants whose exponential is the decay of a step.
    fn tau(&self, tau: &str) -> Result<Value, Reason> {
        self.each(|j| {
            let share = self.share(tau, j)?;
            Ok(if self.c.decay == Decay::Exact { self.params[tau].at(j) } else { -self.c.dt / (-share).ln_1p() })
        })
    }

    /// What an input of 1 adds to a leaky variable in a step.
    fn gain(&self, tau: &str, factor: &str, j: usize) -> Result<f64, Reason> {
        Ok(self.rate(tau, j)? * self.positive(factor, j)?)
    }

    /// The same without a leak.
    fn integrated(&self, j: usize) -> Result<f64, Reason> {
        Ok(self.positive("r", j)? * if self.c.integrate == Integrate::Seconds { self.c.dt } else { 1.0 })
    }

    /// A potential in units of the input.
    fn over(&self, name: &str, gain: &Value) -> Result<Value, Reason> {
        self.each(|j| Ok(self.params[name].at(j) / gain.at(j)))
    }

    /// The leak as a current into the membrane: `R·I = v_leak`.
    fn leak(&self) -> Result<Value, Reason> {
        self.each(|j| Ok(self.params["v_leak"].at(j) / self.positive("r", j)?))
    }

    fn reset(&self, gain: &Value) -> Result<Reset, Reason> {
        let reset = self.over("v_reset", gain)?;
        match (self.c.reset, reset) {
            (AfterSpike::Subtract, Value::Shared(0.0)) => Ok(Reset::Subtract),
            (AfterSpike::Subtract, _) => Err("`v_reset` is not 0, which a reset by subtraction would pass by; reset to the value".into()),
            (AfterSpike::Value, Value::Shared(value)) => Ok(Reset::To(value)),
            (AfterSpike::Value, Value::Each(_)) => {
                Err("`v_reset` over the gain of a step differs between its neurons, which no model here has".into())
            }
        }
    }

    fn leaky(&self, tau: &str, factor: &str) -> Result<Linear, Reason> {
        Ok(Linear { keep: self.each(|j| Ok(1.0 - self.rate(tau, j)?))?, gain: self.each(|j| self.gain(tau, factor, j))? })
    }

    fn lif(&self, tau: &str) -> Result<Lif, Reason> {
        let gain = self.each(|j| self.gain(tau, "r", j))?;
        Ok(Lif { tau: self.tau(tau)?, v_th: self.over("v_threshold", &gain)?, reset: self.reset(&gain)?, ..Lif::default() })
    }

    fn integrate_and_fire(&self) -> Result<Cell, Reason> {
        let gain = self.each(|j| self.integrated(j))?;
        let (v_th, reset) = (self.over("v_threshold", &gain)?, self.reset(&gain)?);
        Ok(match (reset, self.c.spikes) {
            (Reset::Subtract, Spikes::Several) => Cell::new(IfMulti { v_th }),
            _ => Cell::new(If { v_th, reset, ..If::default() }),
        })
    }

    /// A membrane that hears the current of a synapse, a population of its own.
    fn behind_synapse(&self, membrane: Model) -> Result<Cell, Reason> {
        let synapse = Some(self.leaky("tau_syn", "w_in")?.into());
        Ok(Cell { synapse, model: membrane, current: self.leak()?, late: self.c.current == Current::Old })
    }
}
