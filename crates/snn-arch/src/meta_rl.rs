//! Meta-reinforcement learning: an agent in a closed loop, whose weights learn over many episodes and whose activity learns within one.
//!
//! An episode is one task of a family (where the goal is, which arm pays), the network starts it at rest, and nothing but its state goes from one action to
//! the next; what it was rewarded for it sees. The outer loop is policy optimisation, and the gradient goes back through the whole episode.
//!
//! Sources: Wang et al. 2016 (arXiv:1611.05763) and Duan et al. 2016 (arXiv:1611.02779) for the method, Schulman et al. 2017 (arXiv:1707.06347) for the
//! outer loop, Bellec et al. 2018 (arXiv:1803.09574) for spiking networks.

use crate::error::{ArchError, check, shape};
use crate::policy::{self, Acting, Head, Past, Ppo, Terms, advantages};
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use snn_core::{Dataset, Network, Raster, Seed, Target};
use snn_data::{Environment, Feedback};
use snn_learn::{Checkpoint, Loss, Optimiser, Regulariser, Rule, Schedule, Trainer};
use snn_sparse::{Clocked, LANES, Record, Trace, Wants};

/// How the outer loop goes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Episodes of one iteration, at least 1.
    pub episodes: usize,
    /// What the readout means.
    pub head: Head,
    /// The objective.
    pub ppo: Ppo,
    /// Largest norm of a gradient; larger ones are scaled down to it.
    pub clip: Option<f64>,
    /// Penalty on hidden activity.
    pub regulariser: Regulariser,
    /// Learning rate over time; its epochs are updates here, `ppo.epochs · ppo.minibatches` in an iteration.
    pub schedule: Schedule,
    /// Seed of the episodes.
    pub seed: Seed,
}

/// What happened in an episode. Lists are by action.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// What was seen, by step; silent after the end.
    pub spikes: Raster,
    /// The readout at the last step before each action, `[action][unit]`.
    pub readout: Vec<f64>,
    /// What was done, [`policy::width`] numbers each.
    pub actions: Vec<f32>,
    /// `log π` of it.
    pub log_probs: Vec<f64>,
    /// What it led to.
    pub rewards: Vec<f64>,
}

/// How an iteration went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Iteration {
    /// Mean sum of rewards of an episode, before the updates.
    pub reward: f64,
    /// Means of the objective over the actions of the last epoch, each before its update.
    pub terms: Terms,
    /// Spikes per hidden neuron and step, mean over the updates.
    pub spikes: f64,
}

/// The exact state between two iterations: with it the loop goes on to the same bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// Iterations done.
    pub iterations: u64,
    /// Weights and moments.
    pub trainer: Checkpoint,
}

/// Meta-reinforcement learning of one network in one kind of world, on all threads of the current rayon pool.
///
/// An iteration runs `episodes` episodes with the present weights, each in a world of its own seed, and then takes `ppo.epochs · ppo.minibatches` updates. For
/// an update the recorded input of each episode is replayed, which gives the same spikes as in the loop; the objective's derivative by the readout goes to the
/// rule as [`Loss::Linear`]. Any rule will do: with [`Eprop`](snn_learn::Eprop) and [`Ppo::actor_critic`] this is reward-based e-prop. Cost: one run of each episode in the loop, and per epoch one more run, and a run and a backward pass by the rule (the first
/// update of an iteration needs no run of its own). Memory: the input spikes of the episodes.
///
/// The result does not depend on the number of threads, nor on where the loop was stopped and went on from [`MetaRl::save`].
///
/// ```
/// use snn_arch::{Agent, meta_rl::{MetaRl, Options}, policy::{Acting, Head, Ppo, units}};
/// use snn_core::{Seed, Surrogate};
/// use snn_data::{BanditParams, Environment};
/// use snn_learn::{Optimiser, Regulariser, Schedule, SparseBptt};
/// let world = BanditParams { pulls: 10, window: 5, rate: 500.0, ..Default::default() }.build()?;
/// let agent = Agent {
///     dt: 1e-3, regular: 20, adaptive: 0, tau: 0.005, tau_a: 1.0, v_th: 0.01, beta: 0.0, refractory: 1e-3, tau_out: 0.005,
///     weight_in: 0.1, weight_recurrent: 0.02, weight_out: 1.0,
/// };
/// let net = agent.network(world.inputs(), units(world.actions()), Seed::new(1))?;
/// let options = Options {
///     episodes: 8,
///     head: Head { gain: 4.0, value_gain: 4.0, sigma: 1.0, scale: 1.0 },
///     ppo: Ppo { clip: 0.2, value: 0.5, entropy: 0.01, gamma: 0.5, lambda: 0.9, normalise: true, epochs: 2, minibatches: 1 },
///     clip: None, regulariser: Regulariser::NONE, schedule: Schedule::Constant, seed: Seed::new(2),
/// };
/// let rule = SparseBptt { surrogate: Surrogate::triangle(0.3, 1.0) };
/// let mut outer = MetaRl::new(&net, world, rule, Optimiser::adam(5e-3), options)?;
/// for _ in 0..3 {
///     outer.iteration()?;
/// }
/// let tests = outer.evaluate(4, Seed::new(3), Acting::Sample)?;
/// assert!(tests.iter().all(|episode| episode.rewards.len() == 10));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MetaRl<E> {
    world: E,
    options: Options,
    trainer: Trainer,
    iterations: u64,
}

impl<E: Environment + Clone + Sync> MetaRl<E> {
    /// The outer loop for `network` in worlds like `world`, from its present weights.
    ///
    /// # Errors
    /// If an option is impossible, the network does not fit the world, or the rule cannot take the network.
    pub fn new(
        network: &Network,
        world: E,
        rule: impl Rule<f32> + 'static,
        optimiser: Optimiser,
        options: Options,
    ) -> Result<Self, ArchError> {
        options.head.check()?;
        options.ppo.check()?;
        check(options.episodes > 0, "meta_rl::Options", "episodes", options.episodes, "1 or more")?;
        let most = options.episodes;
        check(options.ppo.minibatches <= most, "Ppo", "minibatches", options.ppo.minibatches, "at most as many as there are episodes")?;
        let Options { clip, regulariser, schedule, seed, .. } = options;
        let inner = snn_learn::Options {
            regulariser,
            clip,
            schedule,
            batch: options.episodes,
            ..snn_learn::Options::new(Loss::Linear, seed.child("trainer"))
        };
        let trainer = Trainer::new(network, rule, optimiser, inner)?;
        let outputs = policy::units(world.actions());
        shape(trainer.engine(), world.name(), world.inputs(), outputs, "the policy's, and the value")?;
        Ok(MetaRl { world, options, trainer, iterations: 0 })
    }

    /// One iteration: episodes, then updates.
    ///
    /// # Errors
    /// If a population is dead, or the network or its gradient is not finite any more.
    pub fn iteration(&mut self) -> Result<Iteration, ArchError> {
        let Options { episodes, head, ppo, seed, .. } = self.options;
        let (n, now) = (episodes as u64, self.iterations);
        let mut batch = self.episodes(now * n..(now + 1) * n, seed.child("episodes"), Acting::Sample)?;
        let mut estimates: Vec<Estimate> = batch.iter().map(|e| Estimate::new(e, &head, &ppo)).collect();
        if ppo.normalise {
            normalise(&mut estimates);
        }
        let reward = batch.iter().map(|e| e.rewards.iter().sum::<f64>()).sum::<f64>() / n as f64;
        let mut result = Iteration { reward, ..Iteration::default() };
        let mut order: Vec<usize> = (0..episodes).collect();
        let (mut fired, mut entries, mut fresh) = (0, 0, true);
        for epoch in 0..ppo.epochs {
            if ppo.minibatches > 1 {
                order.shuffle(&mut seed.child("minibatches").nth(now).nth(epoch as u64).rng());
            }
            for part in (0..ppo.minibatches).map(|k| &order[k * episodes / ppo.minibatches..(k + 1) * episodes / ppo.minibatches]) {
                if !fresh {
                    self.replay(part, &mut batch);
                }
                fresh = false;
                let (errors, terms) = self.errors(part, &batch, &estimates);
                let replay = Replay { world: &self.world, episodes: part.iter().map(|&e| &batch[e]).collect(), errors: &errors };
                let stats = self.trainer.epoch(&replay, &|_| ())?;
                fired += stats.spikes.iter().sum::<u64>();
                let spiking = self.trainer.engine().cells().iter().zip(&stats.entries).filter(|(cells, _)| cells.spikes());
                entries += spiking.map(|(_, n)| n).sum::<u64>();
                if epoch + 1 == ppo.epochs {
                    result.terms.add(&terms, part.len() as f64 / episodes as f64);
                }
            }
        }
        result.spikes = fired as f64 / entries.max(1) as f64;
        self.iterations += 1;
        Ok(result)
    }

    /// New episodes without learning: those of the seeds `seed.nth(0)`, `seed.nth(1)` ….
    ///
    /// # Errors
    /// If the network gives no finite action any more.
    pub fn evaluate(&self, episodes: usize, seed: Seed, acting: Acting) -> Result<Vec<Episode>, ArchError> {
        self.episodes(0..episodes as u64, seed, acting)
    }

    /// One episode, with a look at the world after every action: the path of an agent, for example.
    ///
    /// # Errors
    /// As [`MetaRl::evaluate`].
    pub fn watch(&self, seed: Seed, acting: Acting, look: &mut dyn FnMut(&E, Feedback)) -> Result<Episode, ArchError> {
        let engine = self.trainer.engine();
        run(engine, &mut self.world.clone(), &self.options.head, acting, seed, &mut Record::new(engine), look)
    }

    fn episodes(&self, range: std::ops::Range<u64>, seed: Seed, acting: Acting) -> Result<Vec<Episode>, ArchError> {
        let (engine, head) = (self.trainer.engine(), &self.options.head);
        let one = |(record, world): &mut (Record<f32>, E), k| run(engine, world, head, acting, seed.nth(k), record, &mut |_, _| ());
        range.into_par_iter().map_init(|| (Record::new(engine), self.world.clone()), one).collect()
    }

    /// The readout of the episodes `part` with the weights of now.
    fn replay(&self, part: &[usize], batch: &mut [Episode]) {
        let (engine, window) = (self.trainer.engine(), self.world.window());
        let output = engine.outputs()[0];
        let mut wanted: Vec<Option<&mut Episode>> = batch.iter_mut().map(Some).collect();
        let mut part: Vec<&mut Episode> = part.iter().filter_map(|&e| wanted[e].take()).collect();
        part.par_iter_mut().for_each_init(
            || Record::new(engine),
            |record, episode| {
                engine.run(&[&episode.spikes], Wants::Spikes, record);
                let actions = episode.rewards.len();
                episode.readout.clear();
                (0..actions).for_each(|k| read(&record.traces[output], (k + 1) * window - 1, &mut episode.readout));
            },
        );
    }

    /// The objective's derivative by the readout at every step of the episodes `part`, and the means of the objective.
    fn errors(&self, part: &[usize], batch: &[Episode], estimates: &[Estimate]) -> (Vec<Vec<f32>>, Terms) {
        let Options { head, ppo, .. } = &self.options;
        let (actions, window, steps) = (self.world.actions(), self.world.window(), self.world.horizon() * self.world.window());
        let (units, width) = (policy::units(actions), policy::width(actions));
        let all = part.iter().map(|&e| batch[e].rewards.len()).sum::<usize>() as f64;
        // The trainer takes the mean over episodes, the objective is one over actions.
        let by = part.len() as f64 / all;
        let mut derivative = vec![0.0; units];
        let mut terms = Terms::default();
        let of = |&e: &usize| {
            let (episode, estimate) = (&batch[e], &estimates[e]);
            let mut errors = vec![0.0; steps * units];
            for k in 0..episode.rewards.len() {
                let past = Past {
                    action: &episode.actions[k * width..(k + 1) * width],
                    log_prob: episode.log_probs[k],
                    advantage: estimate.advantage[k],
                    wanted: estimate.wanted[k],
                };
                let y = &episode.readout[k * units..(k + 1) * units];
                terms.add(&ppo.objective(head, actions, y, &past, by, &mut derivative), 1.0 / all);
                let first = ((k + 1) * window - 1) * units;
                errors[first..first + units].iter_mut().zip(&derivative).for_each(|(e, d)| *e = *d as f32);
            }
            errors
        };
        (part.iter().map(of).collect(), terms)
    }

    /// Iterations done.
    pub fn iterations(&self) -> u64 {
        self.iterations
    }
    /// The inner trainer: its engine, network and working memory.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }
    /// The world that episodes begin as copies of.
    pub fn world(&self) -> &E {
        &self.world
    }

    /// The exact state between iterations.
    pub fn save(&self) -> Saved {
        Saved { iterations: self.iterations, trainer: self.trainer.checkpoint() }
    }

    /// Goes back to a state saved by a loop with the same network, optimiser and options.
    ///
    /// # Errors
    /// If it is of another network; then nothing is changed.
    pub fn restore(&mut self, saved: &Saved) -> Result<(), ArchError> {
        let updates = saved.iterations * (self.options.ppo.epochs * self.options.ppo.minibatches) as u64;
        if saved.trainer.updates != updates {
            let (found, n) = (saved.trainer.updates, saved.iterations);
            return Err(ArchError::Checkpoint(format!(
                "{found} updates in {n} iterations, these options make {updates}: give those it was saved with"
            )));
        }
        self.trainer.restore(&saved.trainer)?;
        self.iterations = saved.iterations;
        Ok(())
    }
}

/// Runs one episode in closed loop.
///
/// # Errors
/// If the world refuses an action: one that is not finite.
pub fn run<E: Environment>(
    engine: &Clocked<f32>,
    world: &mut E,
    head: &Head,
    acting: Acting,
    seed: Seed,
    record: &mut Record<f32>,
    look: &mut dyn FnMut(&E, Feedback),
) -> Result<Episode, ArchError> {
    let (actions, window, steps) = (world.actions(), world.window(), world.horizon() * world.window());
    let output = shape(engine, world.name(), world.inputs(), policy::units(actions), "the policy's, and the value")?;
    let (units, width) = (policy::units(actions), policy::width(actions));
    let mut rng = seed.child("policy").rng();
    let mut episode = Episode {
        spikes: Raster::new(world.inputs(), steps),
        readout: Vec::new(),
        actions: Vec::new(),
        log_probs: Vec::new(),
        rewards: Vec::new(),
    };
    let (mut nothing, mut scaled) = (vec![0.0; units], Vec::new());
    world.reset(seed.child("world"));
    engine.begin(steps, Wants::Spikes, record);
    loop {
        let k = episode.rewards.len();
        world.observe(k * window, &mut episode.spikes)?;
        engine.advance((k + 1) * window, &[&episode.spikes], record);
        read(&record.traces[output], (k + 1) * window - 1, &mut episode.readout);
        let y = &episode.readout[k * units..];
        head.choose(actions, y, acting, &mut rng, &mut episode.actions);
        let action = &episode.actions[k * width..];
        episode.log_probs.push(head.log_prob(actions, y, action, 0.0, &mut nothing));
        let feedback = head.hand(actions, action, &mut scaled, |action| world.act(action))?;
        episode.rewards.push(feedback.reward);
        look(world, feedback);
        if feedback.done {
            break;
        }
    }
    (episode.rewards.len() * window..steps).for_each(|t| episode.spikes.push_step(t, |_| ()));
    Ok(episode)
}

/// Appends the graded output of step `t`.
fn read(trace: &Trace<f32>, t: usize, into: &mut Vec<f64>) {
    let row = &trace.output[t * trace.blocks()..(t + 1) * trace.blocks()];
    into.extend((0..trace.units()).map(|k| f64::from(row[k / LANES][k % LANES])));
}

/// What the actions of an episode were worth.
struct Estimate {
    advantage: Vec<f64>,
    wanted: Vec<f64>,
}

impl Estimate {
    fn new(episode: &Episode, head: &Head, ppo: &Ppo) -> Self {
        let units = episode.readout.len() / episode.rewards.len();
        let values: Vec<f64> = episode.readout.chunks(units).map(|y| head.value(y)).collect();
        let (advantage, wanted) = advantages(&episode.rewards, &values, ppo.gamma, ppo.lambda);
        Estimate { advantage, wanted }
    }
}

/// Shifts and scales all advantages to mean 0 and standard deviation 1.
fn normalise(estimates: &mut [Estimate]) {
    let n = estimates.iter().map(|e| e.advantage.len()).sum::<usize>() as f64;
    let mean = estimates.iter().flat_map(|e| &e.advantage).sum::<f64>() / n;
    let square = estimates.iter().flat_map(|e| &e.advantage).map(|a| (a - mean) * (a - mean)).sum::<f64>() / n;
    let scale = 1.0 / (square.sqrt() + 1e-8);
    estimates.iter_mut().flat_map(|e| &mut e.advantage).for_each(|a| *a = (*a - mean) * scale);
}

/// Recorded episodes, with the derivative of an objective by the readout as their targets.
struct Replay<'a> {
    world: &'a (dyn Environment + Sync),
    episodes: Vec<&'a Episode>,
    errors: &'a [Vec<f32>],
}

impl Dataset for Replay<'_> {
    fn name(&self) -> &str {
        self.world.name()
    }
    fn len(&self) -> usize {
        self.episodes.len()
    }
    fn inputs(&self) -> usize {
        self.world.inputs()
    }
    fn steps(&self) -> usize {
        self.world.horizon() * self.world.window()
    }
    fn classes(&self) -> usize {
        0
    }
    fn load(&self, index: usize, into: &mut Raster) {
        into.clone_from(&self.episodes[index].spikes);
    }
    fn target(&self, index: usize) -> Target<'_> {
        Target::Series(&self.errors[index])
    }
}

/// How long it took to be rewarded: what an agent that remembers does faster the second time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Waits {
    /// Rewards per episode.
    pub rewards: f64,
    /// Mean number of actions to the first reward of an episode.
    pub first: f64,
    /// Mean number of actions from one reward to the next.
    pub later: f64,
}

impl Waits {
    /// Counts the rewards of at least `least` in `episodes`.
    ///
    /// A wait that the end of an episode cut short counts with the actions it has had: the means are all actions waited over all waits that ended, the
    /// estimate for a constant chance per action. A mean without an end is infinite, without any wait not a number.
    ///
    /// ```
    /// use snn_arch::meta_rl::Waits;
    /// let waits = Waits::of([&[0.0, 0.0, 1.0, 1.0, 0.0][..], &[0.0; 5]], 1.0);
    /// assert_eq!(waits, Waits { rewards: 1.0, first: (3.0 + 5.0) / 1.0, later: (1.0 + 1.0) / 1.0 });
    /// ```
    pub fn of<'a>(episodes: impl IntoIterator<Item = &'a [f64]>, least: f64) -> Self {
        let (mut count, mut actions, mut ends) = (0.0, [0.0; 2], [0.0; 2]);
        for rewards in episodes {
            let mut later = 0;
            for &reward in rewards {
                actions[later] += 1.0;
                if reward >= least {
                    ends[later] += 1.0;
                    later = 1;
                }
            }
            count += 1.0;
        }
        Waits { rewards: (ends[0] + ends[1]) / count, first: actions[0] / ends[0], later: actions[1] / ends[1] }
    }
}
