//! A network that learns while it lives: machine, world and rules in one loop, step by step.

use crate::ArchError;
use snn_core::{Raster, Seed};
use snn_data::World;
use snn_learn::online::{Moment, OnlineError, OnlineRule, Wires};
use snn_sparse::{Device, DeviceError, Source, by_delay};

/// A device in a loop with a world, and rules that change its weights meanwhile.
///
/// In every step the world shows spikes, the device runs on by the step, the world hears its output and rewards, each rule takes what
/// happened at its projection, and new weights are written. The device never sees the rules, nor they the device. A trial begins with the
/// network at rest; what rules and world remember goes on.
///
/// Every projection learns that is not [`fixed`](snn_core::net::Projection::fixed). Where its links have delays of their own there is a rule
/// for the links of each delay, so that a rule need not know of delays.
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
    plastic: Vec<Plastic<R>>,
    output: usize,
    interval: usize,
    waited: usize,
    input: Raster,
    chances: Vec<f64>,
}

/// A projection that learns.
struct Plastic<R> {
    projection: usize,
    from: Source,
    to: usize,
    weights: Vec<f32>,
    moved: Vec<u32>, // links whose weights have not been written
    all: bool,       // or all of them
    parts: Vec<Part<R>>,
}

/// Its links of one delay, in steps.
struct Part<R> {
    delay: usize,
    links: Option<Vec<u32>>, // `None`: all
    rule: R,
}

impl<R: OnlineRule> Plastic<R> {
    /// Takes the weights that have changed.
    fn gather(&mut self) {
        let Plastic { weights, moved, all, parts, .. } = self;
        for Part { links, rule, .. } in parts {
            let Some(fresh) = rule.take_some() else { continue };
            let place = |k: u32| links.as_ref().map_or(k, |links| links[k as usize]);
            let mut set = |k: u32| weights[place(k) as usize] = fresh.weights[k as usize];
            match fresh.moved {
                Some(some) => some.iter().for_each(|&k| set(k)),
                None => (0..fresh.weights.len() as u32).for_each(set),
            }
            *all |= fresh.moved.is_none();
            moved.extend(fresh.moved.unwrap_or(&[]).iter().map(|&k| place(k)));
        }
    }

    /// Writes what was gathered.
    fn write(&mut self, device: &mut dyn Device) -> Result<(), DeviceError> {
        if self.all || self.moved.len() >= self.weights.len() {
            device.write(self.projection, &self.weights)?;
        } else if !self.moved.is_empty() {
            device.write_some(self.projection, &self.weights, &self.moved)?;
        }
        self.all = false;
        self.moved.clear();
        Ok(())
    }

    /// Lets every rule take step `t`.
    fn step(&mut self, t: usize, input: &Raster, device: &dyn Device, chance: &[f64], reward: f64) -> Result<(), OnlineError> {
        let post = device.spikes(self.to).at(t);
        for part in &mut self.parts {
            let pre = match (self.from, t.checked_sub(part.delay)) {
                (_, None) => &[],
                (Source::Input(_), Some(then)) => input.at(then),
                (Source::Population(p), Some(then)) => device.spikes(p).at(then),
            };
            part.rule.step(&Moment { pre, post, chance, reward })?;
        }
        Ok(())
    }
}

impl<W: World, R: OnlineRule> ClosedLoop<W, R> {
    /// The loop of `device` and `world`, with a rule for every projection that learns, made by `rule(wires, weights)`; `weights` are those of
    /// the description, one for each of the links.
    ///
    /// # Errors
    /// [`ArchError`] if the network does not have one input as the world shows and one output as it hears, or what the rule says.
    pub fn new<E>(device: Box<dyn Device>, world: W, mut rule: impl FnMut(Wires<'_>, &[f32]) -> Result<R, E>) -> Result<Self, ArchError>
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
        let mut plastic = Vec::new();
        for (projection, p) in draft.projections.iter().enumerate().filter(|(_, p)| !p.fixed) {
            let (sources, targets, dt) = (network.size(&p.from), network.size(&p.to), network.dt());
            let mut parts = Vec::new();
            for (delay, links, group) in by_delay(p, sources, targets, dt) {
                let weights: Vec<f32> = group.weights.iter(group.links.weights(sources, targets)).collect();
                let rule = rule(Wires { links: &group.links, sources, targets, dt }, &weights)?;
                parts.push(Part { delay, links, rule });
            }
            let (from, to) = (place(&p.from).map_or(Source::Input(0), Source::Population), place(&p.to).unwrap_or(output));
            let weights = p.weights.iter(p.links.weights(sources, targets)).collect();
            plastic.push(Plastic { projection, from, to, weights, moved: Vec::new(), all: false, parts });
        }
        let (input, chances) = (Raster::default(), Vec::new());
        Ok(ClosedLoop { device, world, plastic, output, interval: 1, waited: 0, input, chances })
    }

    /// Writes weights after so many steps only, at least 1: for machines on which writing takes long. Rules go on learning meanwhile.
    pub fn writing_every(self, steps: usize) -> Self {
        ClosedLoop { interval: steps.max(1), ..self }
    }

    /// A trial of so many steps.
    ///
    /// # Errors
    /// What device and rules say.
    pub fn run(&mut self, steps: usize, trial: Seed) -> Result<(), ArchError> {
        self.input.reset(self.world.inputs(), steps);
        self.world.begin(trial.child("world"));
        self.device.begin(steps, trial.child("device"));
        for t in 0..steps {
            self.write()?;
            let ClosedLoop { device, world, plastic, output, input, chances, .. } = self;
            input.push_step(t, |units| world.show(units));
            device.advance(t + 1, &[input])?;
            let reward = world.hear(device.spikes(*output).at(t));
            for plastic in plastic {
                let heard = plastic.parts.iter().any(|part| part.rule.hears_chances()) && device.chances(plastic.to, chances);
                if !heard {
                    chances.clear();
                }
                plastic.step(t, input, &**device, chances, reward)?;
            }
        }
        Ok(())
    }

    /// Writes new weights, if it is time.
    fn write(&mut self) -> Result<(), ArchError> {
        let due = self.waited == 0;
        self.waited = (self.waited + 1) % self.interval;
        for plastic in self.plastic.iter_mut().filter(|_| due) {
            plastic.gather();
            plastic.write(&mut *self.device)?;
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
    /// The rules: projection by projection, and within one by delay.
    pub fn rules(&self) -> impl Iterator<Item = &R> {
        self.plastic.iter().flat_map(|plastic| plastic.parts.iter().map(|part| &part.rule))
    }
}
