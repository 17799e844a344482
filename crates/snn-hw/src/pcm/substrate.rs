use super::array::{Array, Wires};
use super::physics::T0;
use super::scheme::whole_quanta;
use super::{PcmError, Renewal, Scheme};
use snn_core::net::Projection;
use snn_core::{Network, Seed};
use snn_sparse::{Clocked, Costs, Substrate, SubstrateError, SubstrateState};

/// How fast a projection learns, and in which units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Weight in the network that a unit of weight on the crossbar is.
    pub unit: f64,
    /// Learning rate η, in units of the crossbar.
    pub rate: f64,
}

/// How a network learns on a crossbar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Learning {
    /// The crossbars.
    pub wires: Wires,
    /// How changes become pulses.
    pub scheme: Scheme,
    /// Pulls are cut off here.
    pub clip: f64,
    /// Mean conductance at the start (µS), on both sides.
    pub mean: f64,
    /// Its standard deviation, as a share of it.
    pub std: f64,
    /// Time of the devices between two updates (s).
    pub interval: f64,
    /// What is renewed, and every how many seconds of the devices' time.
    pub renewal: Option<(Renewal, f64)>,
}

impl Learning {
    /// As the paper has it: 38.6 s between updates, pulls cut off at 100, a start at 0.1 µS with a spread of a tenth, no renewal.
    pub fn new(wires: Wires, scheme: Scheme) -> Self {
        Learning { wires, scheme, clip: 100.0, mean: 0.1, std: 0.1, interval: T0, renewal: None }
    }
}

/// The weights of a network on crossbars of phase-change devices, while it learns: noisy where they are written, noisy and drifted wherever a spike reads them.
///
/// ```text
/// pull = clip(step·unit, ±clip),   Δw = rate·pull            per synapse, once an update; then the clock goes on by the interval
/// ```
/// With the optimiser `sgd(1.0)` the step is minus the gradient by the network's weight, and the pull minus that by the crossbar's. Every optimiser and every rule that runs networks by events
/// goes with it.
///
/// The state is that of every device, so a training goes on after a stop to the same bits.
///
/// ```
/// use snn_core::{Net, Seed, ms, net::{Connect, Init}, neuron::{Li, Lif}};
/// use snn_hw::pcm::{Learning, OnPcm, Physics, Rate, Scheme, Wires};
/// use snn_sparse::{Clocked, Substrate};
/// let net = Net::new(ms(1.0)).input("in", 4).population("out", 2, Li::default())
///     .project("in", "out", Connect::All, Init::Constant(0.0)).output("out").build(Seed::new(0))?;
/// let wires = Wires { physics: Physics::ideal(8), pairs: 1, scale: 12.0 };
/// let learning = Learning::new(wires, Scheme::Mixed { quantum: 0.125, ready: false });
/// let mut substrate = OnPcm::new(&net, learning, vec![Rate { unit: 1.0, rate: 0.1 }], Seed::new(1))?;
/// let mut engine = Clocked::compile(&net);
/// substrate.install(&mut engine)?;
/// substrate.update(&mut engine, &[vec![1.0, 2.0, -2.0, 0.0, 0.0, 0.0, 0.0, 0.0]]);
/// let change: Vec<f32> = engine.weights()[0].iter().map(|w| (w * 8.0).round() / 8.0).collect();
/// assert_eq!(change[..4], [0.0, 0.125, -0.125, 0.0]);            // 0.1 stays in the accumulator
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct OnPcm {
    array: Array,
    learning: Learning,
    rates: Vec<f64>,
    memory: Vec<Vec<f32>>,
    updates: u64,
    seed: Seed,
}

impl OnPcm {
    /// The devices of `network`, which is not looked at but for its links: all weights begin near 0. One rate per projection.
    ///
    /// # Errors
    /// If the network has links that share weights, or a number is impossible.
    pub fn new(network: &Network, learning: Learning, rates: Vec<Rate>, seed: Seed) -> Result<Self, PcmError> {
        let mut array = Array::new(network, learning.wires, rates.iter().map(|r| r.unit).collect(), seed)?;
        for (name, value) in [("clip", learning.clip), ("interval", learning.interval), ("mean", learning.mean)] {
            super::positive(name, value)?;
        }
        rates.iter().map(|r| r.rate).chain([learning.std]).try_for_each(|x| super::not_negative("rate or spread", x))?;
        if let Some((renewal, every)) = learning.renewal {
            [every, f64::from(renewal.level), f64::from(renewal.share)].into_iter().try_for_each(|x| super::positive("renewal", x))?;
        }
        array.bars.iter_mut().for_each(|bar| bar.begin(learning.mean, learning.std));
        array.now = learning.interval;
        let memory = array.bars.iter().map(|bar| vec![0.0; bar.synapses()]).collect();
        Ok(OnPcm { array, learning, rates: rates.iter().map(|r| r.rate).collect(), memory, updates: 0, seed: seed.child("updates") })
    }

    fn renew(&mut self, before: f64) {
        let Some((rule, every)) = self.learning.renewal else { return };
        if (self.array.now / every).floor() > (before / every).floor() {
            let now = self.array.now;
            for bar in &mut self.array.bars {
                bar.renew_where(rule, now);
            }
        }
    }
}

const NAME: &str = "pcm";

impl Substrate for OnPcm {
    fn name(&self) -> &'static str {
        NAME
    }
    fn install(&mut self, engine: &mut Clocked<f32>) -> Result<(), SubstrateError> {
        let expected: Vec<usize> = self.memory.iter().map(Vec::len).collect();
        SubstrateError::check(NAME, &expected, engine)?;
        self.array.publish(engine);
        Ok(())
    }
    fn update(&mut self, engine: &mut Clocked<f32>, steps: &[Vec<f32>]) {
        let (now, clip) = (self.array.now, self.learning.clip);
        for (k, (bar, steps)) in self.array.bars.iter_mut().zip(steps).enumerate() {
            let pulls = pulls(steps, self.array.units[k], clip);
            let draw = self.seed.nth(self.updates).nth(k as u64);
            self.learning.scheme.write(bar, &mut self.memory[k], &pulls, self.rates[k], now, draw);
        }
        self.updates += 1;
        self.array.now += self.learning.interval;
        self.renew(now);
        self.array.publish(engine);
    }
    fn costs(&self) -> Costs {
        self.array.costs()
    }
    fn save(&self) -> SubstrateState {
        let mut state = self.array.save();
        state.counts.push(vec![self.updates]);
        state.reals.extend(self.memory.iter().map(|list| list.iter().map(|&x| f64::from(x)).collect()));
        state
    }
    fn restore(&mut self, engine: &mut Clocked<f32>, state: &SubstrateState) -> bool {
        if !self.save().fits(state) {
            return false;
        }
        self.array.restore(state);
        self.updates = state.counts.last().and_then(|list| list.first()).copied().unwrap_or(0);
        let memory = &state.reals[state.reals.len() - self.memory.len()..];
        for (to, from) in self.memory.iter_mut().flatten().zip(memory.iter().flatten()) {
            *to = *from as f32;
        }
        self.array.publish(engine);
        true
    }
}

/// Steps of the network's weights as pulls on the crossbar's.
fn pulls(steps: &[f32], unit: f64, clip: f64) -> Vec<f32> {
    let (unit, clip) = (unit as f32, clip as f32);
    steps.iter().map(|step| (step * unit).clamp(-clip, clip)).collect()
}

/// What crossbars are compared with: weights as numbers, cut off at a limit, that follow the same pulls, at once or in the quanta of an accumulator.
#[derive(Clone, Debug)]
pub struct Digital {
    rates: Vec<Rate>,
    /// Pulls are cut off here.
    pub clip: f64,
    /// Largest weight, in units.
    pub limit: f64,
    /// What an accumulator gives off at once, in units; `None`: there is none.
    pub quantum: Option<f64>,
    memory: Vec<Vec<f32>>,
}

impl Digital {
    /// For the weights `network` has, one rate per projection. As the paper's baseline: pulls cut off at 100, weights at 1, no accumulator.
    ///
    /// # Errors
    /// If there are not as many rates as projections, or a number is impossible.
    pub fn new(network: &Network, rates: Vec<Rate>) -> Result<Self, PcmError> {
        let projections = &network.draft().projections;
        if rates.len() != projections.len() {
            return Err(PcmError::Units { expected: projections.len(), found: rates.len() });
        }
        rates.iter().try_for_each(|r| super::positive("unit", r.unit).and(super::not_negative("rate", r.rate)))?;
        let weights = |p: &Projection| p.links.weights(network.size(&p.from), network.size(&p.to));
        let memory = projections.iter().map(|p| vec![0.0; weights(p)]).collect();
        Ok(Digital { rates, clip: 100.0, limit: 1.0, quantum: None, memory })
    }
}

impl Substrate for Digital {
    fn name(&self) -> &'static str {
        "digital"
    }
    fn install(&mut self, engine: &mut Clocked<f32>) -> Result<(), SubstrateError> {
        SubstrateError::check("digital", &self.memory.iter().map(Vec::len).collect::<Vec<_>>(), engine)
    }
    fn update(&mut self, engine: &mut Clocked<f32>, steps: &[Vec<f32>]) {
        let mut weights = engine.weights();
        for (k, (&Rate { unit, rate }, weights)) in self.rates.iter().zip(&mut weights).enumerate() {
            let limit = (self.limit * unit) as f32;
            let moves = pulls(&steps[k], unit, self.clip).into_iter().zip(&mut self.memory[k]);
            for (w, (pull, a)) in weights.iter_mut().zip(moves) {
                *a += rate as f32 * pull;
                let change = match self.quantum {
                    Some(quantum) => whole_quanta(a, quantum as f32),
                    None => std::mem::take(a),
                };
                *w = (*w + unit as f32 * change).clamp(-limit, limit);
            }
            engine.set_weights(k, weights);
        }
    }
    fn costs(&self) -> Costs {
        Costs::default()
    }
    fn save(&self) -> SubstrateState {
        let wide = |list: &Vec<f32>| list.iter().map(|&x| f64::from(x)).collect();
        SubstrateState { reals: self.memory.iter().map(wide).collect(), counts: Vec::new() }
    }
    fn restore(&mut self, _: &mut Clocked<f32>, state: &SubstrateState) -> bool {
        let fits = self.save().fits(state);
        if fits {
            let numbers = self.memory.iter_mut().flatten().zip(state.reals.iter().flatten());
            numbers.for_each(|(to, from)| *to = *from as f32);
        }
        fits
    }
}
