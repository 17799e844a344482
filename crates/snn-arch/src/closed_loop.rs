//! A network that learns while it lives: machine, world and rules in one loop, step by step.

use crate::ArchError;
use snn_core::{Raster, Seed};
use snn_data::World;
use snn_learn::online::{Moment, OnlineRule, Wires};
use snn_sparse::{Device, Source};

/// A device in a loop with a world, and rules that change its weights meanwhile.
///
/// In every step the world shows spikes, the device runs on by the step, the world hears its output and rewards, each rule takes what
/// happened at its projection, and new weights are written. The device never sees the rules, nor they the device. A trial begins with the
/// network at rest; what rules and world remember goes on.
///
/// ```
/// use snn_arch::ClosedLoop;
/// use snn_core::{Net, Seed, ms, net::{Connect, Init}, neuron::Psp};
/// use snn_data::RatePatternsParams;
/// use snn_learn::online::{SynapticSampling, normals};
/// use snn_sparse::Ideal;
/// let net = Net::new(ms(1.0)).input("in", 50).population("out", 20, Psp::default()).escape(1.0, 1.0)
///     .project("in", "out", Connect::All, Init::Constant(0.1)).output("out").build(Seed::new(0))?;
/// let world = RatePatternsParams::default().build(Seed::new(1))?;
/// let mut life = ClosedLoop::new(Box::new(Ideal::new(&net)), world, |wires, _| {
///     SynapticSampling::default().begin::<f32>(wires, &[0.7; 1000], normals(Seed::new(2)), Seed::new(3))
/// })?;
/// life.run(100, Seed::new(4))?;
/// assert_eq!(life.world_mut().take_score().steps, 100);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ClosedLoop<W, R> {
    device: Box<dyn Device>,
    world: W,
    rules: Vec<(Place, R)>,
    output: usize,
    input: Raster,
    chances: Vec<f64>,
}

/// Where a rule learns.
struct Place {
    projection: usize,
    from: Source,
    to: usize,
    delay: usize,
}

impl<W: World, R: OnlineRule> ClosedLoop<W, R> {
    /// The loop of `device` and `world`, with a rule for every projection, made by `rule(wires, projection)`.
    ///
    /// # Errors
    /// [`ArchError`] if the network does not have one input as the world shows and one output as it hears, if a projection has delays of
    /// its own per link, or what the rule says.
    pub fn new<E>(device: Box<dyn Device>, world: W, mut rule: impl FnMut(Wires<'_>, usize) -> Result<R, E>) -> Result<Self, ArchError>
    where
        ArchError: From<E>,
    {
        let (network, draft) = (device.network(), device.network().draft());
        let task = || world.name().to_owned();
        let inputs: Vec<usize> = draft.inputs.iter().map(|i| i.size).collect();
        if inputs != [world.inputs()] {
            return Err(ArchError::Inputs { task: task(), expected: world.inputs(), found: format!("inputs of {inputs:?}") });
        }
        let place = |name: &str| draft.populations.iter().position(|p| p.name == name);
        let output = match &draft.outputs[..] {
            [name] if network.size(name) == world.outputs() => place(name),
            _ => None,
        };
        let Some(output) = output else {
            let (of, name, wanted) = ("ClosedLoop", "outputs of the network", "one population as large as the world listens to");
            return Err(ArchError::Option { of, name, found: format!("{:?}", draft.outputs), wanted });
        };
        let mut rules = Vec::with_capacity(draft.projections.len());
        for (projection, p) in draft.projections.iter().enumerate() {
            let [delay] = p.delay.given() else {
                let (of, name, wanted) = ("ClosedLoop", "delays of a projection", "one delay for all links");
                return Err(ArchError::Option { of, name, found: format!("one each from `{}` to `{}`", p.from, p.to), wanted });
            };
            let delay = (delay / network.dt()).round() as usize;
            let wires = Wires { links: &p.links, sources: network.size(&p.from), targets: network.size(&p.to), dt: network.dt() };
            let (from, to) = (place(&p.from).map_or(Source::Input(0), Source::Population), place(&p.to).unwrap_or(output));
            rules.push((Place { projection, from, to, delay }, rule(wires, projection)?));
        }
        Ok(ClosedLoop { device, world, rules, output, input: Raster::default(), chances: Vec::new() })
    }

    /// A trial of so many steps.
    ///
    /// # Errors
    /// What device and rules say.
    pub fn run(&mut self, steps: usize, trial: Seed) -> Result<(), ArchError> {
        let ClosedLoop { device, world, rules, output, input, chances } = self;
        input.reset(world.inputs(), steps);
        world.begin(trial.child("world"));
        device.begin(steps, trial.child("device"));
        for t in 0..steps {
            for (place, rule) in &mut *rules {
                if let Some(weights) = rule.take() {
                    device.write(place.projection, weights)?;
                }
            }
            input.push_step(t, |units| world.show(units));
            device.advance(t + 1, &[input])?;
            let reward = world.hear(device.spikes(*output).at(t));
            for (place, rule) in &mut *rules {
                if !device.chances(place.to, chances) {
                    chances.clear();
                }
                let pre = match (place.from, t.checked_sub(place.delay)) {
                    (_, None) => &[],
                    (Source::Input(_), Some(then)) => input.at(then),
                    (Source::Population(p), Some(then)) => device.spikes(p).at(then),
                };
                rule.step(&Moment { pre, post: device.spikes(place.to).at(t), chance: chances, reward })?;
            }
        }
        Ok(())
    }

    /// The device, with what it recorded of the trial.
    pub fn device(&self) -> &dyn Device {
        &*self.device
    }
    /// The device, to read or write weights between trials.
    pub fn device_mut(&mut self) -> &mut dyn Device {
        &mut *self.device
    }
    /// What the network heard in the trial.
    pub fn input(&self) -> &Raster {
        &self.input
    }
    /// The world.
    pub fn world_mut(&mut self) -> &mut W {
        &mut self.world
    }
    /// The rules, by projection.
    pub fn rules(&self) -> impl Iterator<Item = &R> {
        self.rules.iter().map(|(_, rule)| rule)
    }
}
