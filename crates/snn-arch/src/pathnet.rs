//! PathNet: one large network of modules, of which each task uses a path. Paths are searched while their modules learn; the modules of a solved task are frozen
//! and stay there for the next ones.
//!
//! A path is a network like any other: its modules are populations, what they send is added up by a layer of rectified units over fixed links, and any rule
//! trains it. So modules of spiking neurons are no other case: their currents are summed.
//!
//! The search is a [`Search`](crate::search::Search) over [`PathNet::space`], by [`Tournament`](crate::search::Tournament) in the publication.
//!
//! Source: Fernando et al. 2017 (arXiv:1701.08734).

use crate::error::{ArchError, check};
use crate::search::Space;
use rand::RngExt;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};
use snn_core::net::{Connect, Init};
use snn_core::neuron::{Li, Model, Relu};
use snn_core::{Dataset, Net, Network, Seed, Subset, Value};
use snn_learn::{Loss, Optimiser, Options, Rule, Stats, Trainer};

/// What the network is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// Time step (s).
    pub dt: f64,
    /// Input channels.
    pub inputs: usize,
    /// Layers of modules, at least 1.
    pub layers: usize,
    /// Modules of a layer, at least 1.
    pub modules: usize,
    /// Modules of a layer that a path takes, from 1 to `modules`.
    pub active: usize,
    /// Units of a module, at least 1.
    pub width: usize,
    /// Their model: [`Relu`] in the publication; any that sends events.
    pub model: Model,
    /// Time constant of the readouts (s); far below `dt` for trials of one step.
    pub tau_out: f64,
    /// Weights begin normal with a standard deviation of `gain/√(sources)`, biases at 0.
    pub gain: f64,
}

/// The modules that a task uses: of each layer, ascending.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Path(pub Vec<Vec<usize>>);

impl Path {
    /// How many modules it has in common with another.
    pub fn overlap(&self, other: &Path) -> usize {
        self.0.iter().zip(&other.0).map(|(a, b)| a.iter().filter(|m| b.contains(m)).count()).sum()
    }
}

/// Weights and biases, and the optimiser's moments of both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Part {
    weights: Vec<f32>,
    bias: Vec<f32>,
    /// First and second moments of the weights, then of the biases, as the trainer keeps them; empty before the first update.
    moments: [Vec<f32>; 4],
    frozen: bool,
}

impl Part {
    fn new(sources: usize, targets: usize, gain: f64, seed: Seed) -> Self {
        let (mut rng, std) = (seed.rng(), gain / (sources as f64).sqrt());
        let weights = (0..sources * targets).map(|_| (std * rng.sample::<f64, _>(StandardNormal)) as f32).collect();
        Part { weights, bias: vec![0.0; targets], moments: Default::default(), frozen: false }
    }
}

/// A module by its layer and place; `None`: the readout of the task.
type Which = Option<(usize, usize)>;

/// How paths learn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Learning {
    /// Loss of a trial.
    pub loss: Loss,
    /// What becomes of a gradient.
    pub optimiser: Optimiser,
    /// Trials of an update, at least 1.
    pub batch: usize,
}

/// The network, and what it has learnt: all of it is saved with serde.
///
/// ```
/// use snn_arch::pathnet::{Learning, PathNet, Shape};
/// use snn_arch::search::{Search, Tournament};
/// use snn_core::{Raster, Seed, Trials, neuron::Relu};
/// use snn_learn::{Loss, Optimiser, Over, SparseBptt};
/// let mut data = Trials::new("which", 2, 1, 2);
/// for k in 0..64 {
///     let mut raster = Raster::new(2, 1);
///     raster.fill([(0, k % 2)]);
///     data.push(raster, k as usize % 2);
/// }
/// let shape = Shape { dt: 1e-3, inputs: 2, layers: 2, modules: 4, active: 2, width: 5, model: Relu {}.into(), tau_out: 1e-9, gain: 1.4 };
/// let mut net = PathNet::new(shape, Seed::new(1))?;
/// let task = net.add_task(2, Seed::new(2));
/// let mut search = Search::new(net.space(), Tournament { population: 8, choices: 4, reach: 2 }, Seed::new(3))?;
/// let learning = Learning { loss: Loss::CrossEntropy(Over::Max), optimiser: Optimiser::sgd(0.1), batch: 16 };
/// let all: Vec<usize> = (0..64).collect();
/// for _ in 0..10 {
///     let mut fitness = Vec::new();
///     for candidate in search.ask() {
///         fitness.push(net.train(&net.path(&candidate), task, SparseBptt::default(), &learning, &data, &all)?);
///     }
///     search.tell(&fitness)?;
/// }
/// let best = net.path(&search.stands());
/// assert_eq!(net.evaluate(&best, task, SparseBptt::default(), &learning, &data)?.accuracy(), 1.0);
/// net.freeze(&best);
/// net.renew(Seed::new(4));                                         // all other modules, for the next task
/// assert_eq!(net.evaluate(&best, task, SparseBptt::default(), &learning, &data)?.accuracy(), 1.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathNet {
    shape: Shape,
    /// `[layer][module]`.
    modules: Vec<Vec<Part>>,
    /// One for each task.
    readouts: Vec<Part>,
    updates: u64,
}

impl PathNet {
    /// The network with random modules and no task yet.
    ///
    /// # Errors
    /// If a number of the shape is impossible.
    pub fn new(shape: Shape, seed: Seed) -> Result<Self, ArchError> {
        const OF: &str = "pathnet::Shape";
        for (name, n) in [("inputs", shape.inputs), ("layers", shape.layers), ("modules", shape.modules), ("width", shape.width)] {
            check(n > 0, OF, name, n, "1 or more")?;
        }
        check((1..=shape.modules).contains(&shape.active), OF, "active", shape.active, "from 1 to the number of modules")?;
        check(shape.gain >= 0.0 && shape.gain.is_finite(), OF, "gain", shape.gain, "a finite number from 0 on")?;
        check(shape.model.output().is_events(), OF, "model", shape.model.name(), "a model that sends events")?;
        let mut net = PathNet { shape, modules: Vec::new(), readouts: Vec::new(), updates: 0 };
        net.modules = (0..net.shape.layers).map(|l| (0..net.shape.modules).map(|m| net.module(l, m, seed)).collect()).collect();
        Ok(net)
    }

    fn sources(&self, layer: usize) -> usize {
        if layer == 0 { self.shape.inputs } else { self.shape.width }
    }

    fn module(&self, layer: usize, m: usize, seed: Seed) -> Part {
        Part::new(self.sources(layer), self.shape.width, self.shape.gain, seed.child("module").nth(layer as u64).nth(m as u64))
    }

    /// Adds a readout of `classes` units; returns the number of the task.
    pub fn add_task(&mut self, classes: usize, seed: Seed) -> usize {
        self.readouts.push(Part::new(self.shape.width, classes, self.shape.gain, seed.child("readout")));
        self.readouts.len() - 1
    }

    /// Where paths are searched: a module for each place in each layer.
    pub fn space(&self) -> Space {
        Space::default().whole("module", self.shape.layers * self.shape.active, self.shape.modules)
    }

    /// The path of a candidate from this space. Modules of a layer are distinct: one that is taken already is replaced by the next that is free.
    pub fn path(&self, candidate: &[f64]) -> Path {
        let layer = |places: &[f64]| {
            let mut taken: Vec<usize> = Vec::new();
            for place in places {
                let first = (*place as usize).min(self.shape.modules - 1);
                let free = (0..self.shape.modules).map(|k| (first + k) % self.shape.modules).find(|m| !taken.contains(m));
                taken.extend(free);
            }
            taken.sort_unstable();
            taken
        };
        Path(candidate.chunks(self.shape.active).map(layer).collect())
    }

    /// The network of a path:
    ///
    /// ```text
    /// h_0 = input,   h_l = Σ_{m ∈ path_l} f(W_lm·h_{l−1} + b_lm),   readout of the mean over the last layer's modules
    /// ```
    /// Frozen modules are fixed projections and constant biases.
    ///
    /// # Errors
    /// If the path or the task does not exist.
    pub fn network(&self, path: &Path, task: usize) -> Result<Network, ArchError> {
        let fits = path.0.len() == self.shape.layers && path.0.iter().flatten().all(|&m| m < self.shape.modules);
        check(fits, "PathNet", "path", format!("{:?}", path.0), "modules of each layer")?;
        check(task < self.readouts.len(), "PathNet", "task", task, "the number of a task that was added")?;
        let mut net = Net::new(self.shape.dt).input("in", self.shape.inputs);
        let mut weights: Vec<Vec<f32>> = Vec::new();
        let mut below = "in".to_string();
        for (l, layer) in path.0.iter().enumerate() {
            let sum = format!("sum {l}");
            let share = if l + 1 == self.shape.layers { 1.0 / layer.len() as f32 } else { 1.0 };
            for &m in layer {
                let (part, name) = (&self.modules[l][m], format!("{l}.{m}"));
                net = net
                    .population(&name, self.shape.width, self.shape.model.clone())
                    .current(Value::Each(part.bias.clone().into_iter().map(f64::from).collect()));
                net = if part.frozen { net } else { net.train(&["current"]) };
                net = net.project(&below, &name, Connect::All, Init::Constant(0.0));
                net = if part.frozen { net.fixed() } else { net };
                net = net.project(&name, &sum, Connect::OneToOne, Init::Constant(0.0)).fixed();
                weights.extend([part.weights.clone(), vec![share; self.shape.width]]);
            }
            net = net.population(&sum, self.shape.width, Relu {});
            below = sum;
        }
        let out = &self.readouts[task];
        let bias = Value::Each(out.bias.iter().map(|&b| f64::from(b)).collect());
        let net = net.population("out", out.bias.len(), Li { tau: self.shape.tau_out.into() }).current(bias).train(&["current"]);
        let net = net.project(&below, "out", Connect::All, Init::Constant(0.0)).output("out");
        weights.push(out.weights.clone());
        Ok(net.build(Seed::new(0))?.with_weights(weights)?)
    }

    /// Trains a path on these trials of `data`, in order, in batches; returns the share of right answers, each given before the update of its batch. Only the modules
    /// on the path that are not frozen change, and the task's readout, each with its own moments.
    ///
    /// # Errors
    /// If path, task, rule, loss or data do not fit, or the loss is not finite any more.
    pub fn train(
        &mut self,
        path: &Path,
        task: usize,
        rule: impl Rule<f32> + 'static,
        learning: &Learning,
        data: &dyn Dataset,
        trials: &[usize],
    ) -> Result<f64, ArchError> {
        let mut trainer = self.trainer(path, task, rule, learning)?;
        // Where each part stands in a checkpoint: projections first, then what is learned of neurons.
        let parts: Vec<(usize, usize)> = path.0.iter().enumerate().flat_map(|(l, layer)| layer.iter().map(move |&m| (l, m))).collect();
        let links = 2 * parts.len() + 1;
        let learned = parts.iter().enumerate().filter(|(_, (l, m))| !self.modules[*l][*m].frozen).map(|(k, &part)| (2 * k, Some(part)));
        let places: Vec<(usize, usize, Which)> =
            learned.chain([(links - 1, None)]).enumerate().map(|(n, (k, part))| (k, links + n, part)).collect();
        let mut state = trainer.checkpoint();
        state.updates = self.updates;
        for &(k, n, part) in &places {
            let moments = &self.part(task, part).moments;
            for (at, [first, second]) in [(k, [0, 1]), (n, [2, 3])] {
                for (into, from) in [(state.first.get_mut(at), first), (state.second.get_mut(at), second)] {
                    if let Some(into) = into.filter(|_| !moments[from].is_empty()) {
                        into.clone_from(&moments[from]);
                    }
                }
            }
        }
        trainer.restore(&state)?;
        let stats = trainer.epoch(&Subset::new(data, trials.to_vec()), &|_| ())?;
        let (state, network) = (trainer.checkpoint(), trainer.network()?);
        self.updates = state.updates;
        let draft = network.draft();
        for (k, n, part) in places {
            let of = |lists: &[Vec<f32>], at: usize| lists.get(at).cloned().unwrap_or_default();
            let p = &draft.projections[k];
            let weights = p.weights.given().to_vec();
            let current = draft.populations.iter().find(|q| q.name == p.to).map_or(&[][..], |q| q.current.given());
            let bias = current.iter().map(|&b| b as f32).collect();
            let moments = [of(&state.first, k), of(&state.second, k), of(&state.first, n), of(&state.second, n)];
            let here = match part {
                Some((l, m)) => &mut self.modules[l][m],
                None => &mut self.readouts[task],
            };
            *here = Part { weights, bias, moments, frozen: false };
        }
        Ok(stats.accuracy())
    }

    fn part(&self, task: usize, part: Which) -> &Part {
        part.map_or(&self.readouts[task], |(l, m)| &self.modules[l][m])
    }

    fn trainer(&self, path: &Path, task: usize, rule: impl Rule<f32> + 'static, learning: &Learning) -> Result<Trainer, ArchError> {
        let options = Options { batch: learning.batch, dead_after: usize::MAX, ..Options::new(learning.loss, Seed::new(0)) };
        Ok(Trainer::new(&self.network(path, task)?, rule, learning.optimiser, options)?)
    }

    /// How a path answers.
    ///
    /// # Errors
    /// As [`PathNet::train`].
    pub fn evaluate(
        &self,
        path: &Path,
        task: usize,
        rule: impl Rule<f32> + 'static,
        learning: &Learning,
        data: &dyn Dataset,
    ) -> Result<Stats, ArchError> {
        Ok(self.trainer(path, task, rule, learning)?.evaluate(data)?)
    }

    /// Freezes the modules of a path: weights, biases and moments, for good.
    pub fn freeze(&mut self, path: &Path) {
        for (layer, active) in self.modules.iter_mut().zip(&path.0) {
            active.iter().for_each(|&m| layer[m].frozen = true);
        }
    }

    /// Draws all modules anew that are not frozen, without moments.
    pub fn renew(&mut self, seed: Seed) {
        for (l, m) in (0..self.shape.layers).flat_map(|l| (0..self.shape.modules).map(move |m| (l, m))) {
            if !self.modules[l][m].frozen {
                self.modules[l][m] = self.module(l, m, seed);
            }
        }
    }

    /// What it is made of.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }
    /// Frozen modules.
    pub fn frozen(&self) -> usize {
        self.modules.iter().flatten().filter(|part| part.frozen).count()
    }
}
