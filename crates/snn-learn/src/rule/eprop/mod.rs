//! Eligibility propagation: gradients without the errors that come back through the network.

mod learned;
mod online;
mod synthetic;

use super::backward::{Sparse, Through, Way};
use super::{Rule, RuleError, Worker, check_common, check_plain};
use online::Online;
use rand_distr::{Distribution, Normal};
use serde::{Deserialize, Serialize};
use snn_core::net::{Links, Projection};
use snn_core::{Seed, Surrogate, Value};
use snn_sparse::{Clocked, Scalar, Source, Store};

pub use learned::LearnedSignals;
pub use synthetic::SyntheticGradients;

const NAME: &str = "eprop";

/// E-prop (Bellec, Scherr et al. 2020): the errors of a leaky readout reach every hidden neuron as a learning signal, through feedback
/// weights `B`; what would come back through the hidden neurons' synapses is left out. What remains is local to the synapse.
///
/// With the readout `y_k[t] = κ·y_k[t−1] + (1 − κ)·Σ_j W_jk·z_j[t − d]` (`li`), the loss `E`, and ψ the surrogate derivative:
/// ```text
/// ε_ij[t] = s_s·ε_ij[t−1] + s_z·e_ij[t−1] + s_x·S_i[t − delay]       eligibility vector: the neuron's local derivatives, forwards
/// e_ij[t] = ψ_j[t]·(u_s·ε_ij[t−1] + u_z·e_ij[t−1] + u_x·S_i[t − delay])          eligibility trace
/// ē_ij[t] = κ·ē_ij[t−1] + (1 − κ)·e_ij[t − d]
/// ∇W_ij   = Σ_t L_j[t]·ē_ij[t] + Σ_t R_j·e_ij[t],   L_j[t] = Σ_k B_jk·∂E/∂y_k[t]
/// ```
/// `R` is the regulariser's derivative by a spike. The threshold's adaptation keeps its gradient by the own spike (`s_z`); the reset has
/// none unless the neuron's `reset_grad` says so. Weights into the readout get their exact gradient. Hidden populations may be several,
/// recurrent or not, with any delays and refractory periods, of any model with events. For LIF neurons this is eqs. 4, 13, 22–23 of the paper,
/// for ALIF eqs. 24–25.
///
/// **Two forms give the same gradient** to rounding. [`Form::Reverse`] sums backwards in time, with errors at spikes and near threshold only, as
/// [`SparseBptt`](super::SparseBptt) does but without its loop: the fastest, needs whole trials. [`Form::Online`] carries ε, e and ē forwards,
/// with memory that does not grow with the trial.
///
/// A feedback weight acts with the shortest delay `d` of its population's links to the readout (0 if there are none); symmetric feedback with the
/// delay of each link.
///
/// | option | meaning | default |
/// |---|---|---|
/// | `surrogate` | ψ | triangle, 0.3 high, as wide as a threshold of 1 |
/// | `feedback` | `B` | symmetric |
/// | `form` | reverse or online | reverse |
///
/// Cost: see [`Form`]. Source: Bellec et al. 2020 (Nature Communications 11:3625); arXiv 1901.09049.
///
/// ```
/// use snn_core::{Net, Seed, ms, net::{Connect, Init}, neuron::{Alif, Li}};
/// use snn_learn::{Eprop, Feedback, Form, Loss, Optimiser, Options, Over, Trainer};
/// let net = Net::new(ms(1.0)).input("in", 5).population("a", 10, Alif::default()).population("out", 2, Li::default())
///     .project("in", "a", Connect::All, Init::normal(0.5))
///     .project("a", "a", Connect::Random { p: 0.2 }, Init::normal(0.5)).delay(ms(1.0))
///     .project("a", "out", Connect::All, Init::normal(0.3))
///     .output("out").build(Seed::new(1))?;
/// let rule = Eprop {
///     feedback: Feedback::Random { std: 1.0, seed: Seed::new(2) },
///     form: Form::Online { window: 32 },
///     ..Eprop::default()
/// };
/// let options = Options::new(Loss::CrossEntropy(Over::Mean), Seed::new(1));
/// let trainer = Trainer::new(&net, rule, Optimiser::adam(5e-3), options)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Eprop {
    /// The surrogate derivative ψ.
    pub surrogate: Surrogate,
    /// The feedback weights `B`.
    #[serde(default)]
    pub feedback: Feedback,
    /// How the sum is taken.
    #[serde(default)]
    pub form: Form,
}

/// Where the feedback weights `B_jk`, from readout unit `k` to hidden unit `j`, come from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feedback {
    /// `B = W_out`: every hidden population must have links to the readout.
    #[default]
    Symmetric,
    /// Normal with mean 0, drawn once for all hidden units, from streams named after the populations.
    Random {
        /// Standard deviation.
        std: f64,
        /// Seed.
        seed: Seed,
    },
    /// Drawn likewise at first; then `B` gets the updates of `W_out`, and after each both decay: `W_out ← (1 − c)·W_out`, `B ← (1 − c)·B`
    /// (Kolen & Pollack 1994). So `B − W_out = (1 − c)ⁿ·(B − W_out)₀` after `n` updates, which is all there is to remember: `B` follows from the
    /// weights, those the network began with, and `n`.
    Adaptive {
        /// Standard deviation at the start.
        std: f64,
        /// Decay `c`.
        decay: f64,
        /// Seed.
        seed: Seed,
    },
    /// All `1/√n` for `n` hidden units: every neuron hears the sum of the errors.
    Broadcast,
    /// Given numbers: per hidden population its name and `B`, `[unit][readout unit]`.
    Given(Vec<(String, Vec<f32>)>),
}

/// How the gradient is summed. Both forms are exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Backwards over a whole trial. Cost: `events × fan-out + active entries × readout units`. Memory: events and active set of a trial.
    #[default]
    Reverse,
    /// Forwards, with traces for the links that exist, carried from window to window of so many steps; 1 is the textbook's loop. Within a
    /// window every trace is a linear function of what it was before and of the events, with coefficients that depend on the target neuron only, so
    /// that a window costs `(sources heard so far + events) × fan-out` instead of `window × links`. Memory: one to three numbers per link, and
    /// a window, if the loss is [stepwise](crate::Loss::stepwise), the regulariser [known before the trial](crate::Regulariser::known_before), and no link to
    /// the readout delayed; else the events of a trial as well. Not for links that share their weights; the readout units must have one time constant.
    Online {
        /// Steps per window.
        window: usize,
    },
}

impl Default for Eprop {
    /// The paper's surrogate `γ·max(0, 1 − |u|)` with γ = 0.3, for a base threshold of 1; symmetric feedback; the reverse sweep.
    fn default() -> Self {
        Eprop { surrogate: Surrogate::triangle(0.3, 1.0), feedback: Feedback::Symmetric, form: Form::Reverse }
    }
}

impl<F: Scalar> Rule<F> for Eprop {
    fn name(&self) -> &'static str {
        NAME
    }
    fn check(&self, engine: &Clocked<F>) -> Result<(), RuleError> {
        check_common(NAME, &self.surrogate, engine)?;
        check_plain(NAME, engine)?;
        let populations = &engine.network().draft().populations;
        let refuse =
            |p: usize, why: &str| Err(RuleError::Population { rule: NAME, population: populations[p].name.clone(), why: why.into() });
        for &output in engine.outputs() {
            if engine.cells()[output].output().is_events() {
                return refuse(output, "is the readout and gives events; read out through a leaky integrator such as li");
            }
            self.feedback.check(engine, output)?;
            if let Form::Online { window } = self.form {
                if window == 0 {
                    return Err(RuleError::Options { rule: NAME, why: "online window = 0: give at least one step".into() });
                }
                online::check(engine, output, NAME, ": take the reverse form")?;
            }
        }
        Ok(())
    }
    fn worker(&self, engine: &Clocked<F>) -> Box<dyn Worker<F>> {
        let output = engine.outputs()[0];
        let ways = self.feedback.ways(engine, output);
        if let Form::Online { window } = self.form {
            return Box::new(Online::new(engine, self.surrogate, ways, window, None));
        }
        // Nothing comes back but from the readout: it goes first, then all others, each over the whole trial.
        let count = engine.cells().len();
        let mut by_population: Vec<Vec<Way<F>>> = (0..count).map(|_| Vec::new()).collect();
        by_population[output] = ways;
        let order = std::iter::once(output).chain((0..count).filter(|&p| p != output));
        Box::new(Sparse::new(engine, self.surrogate, by_population, order.map(|p| (vec![p], false)).collect()))
    }
    fn takes_device(&self) -> bool {
        true
    }
    fn decay(&self, engine: &Clocked<F>) -> Vec<(usize, f64)> {
        match (&self.feedback, engine.outputs()) {
            (&Feedback::Adaptive { decay, .. }, &[output]) => {
                let hidden = |&k: &usize| matches!(engine.links()[k].from, Source::Population(_)) && engine.links()[k].learns;
                engine.incoming(output).iter().copied().filter(hidden).map(|k| (k, 1.0 - decay)).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// The populations that get a learning signal.
fn hidden<F: Scalar>(engine: &Clocked<F>, output: usize) -> impl Iterator<Item = usize> {
    (0..engine.cells().len()).filter(move |&p| p != output && engine.cells()[p].output().is_events())
}

impl Feedback {
    fn check<F: Scalar>(&self, engine: &Clocked<F>, output: usize) -> Result<(), RuleError> {
        let options = |why: String| Err(RuleError::Options { rule: NAME, why });
        let std = match *self {
            Feedback::Random { std, .. } | Feedback::Adaptive { std, .. } => std,
            _ => 1.0,
        };
        if !(std.is_finite() && std >= 0.0) {
            return options(format!("feedback std = {std}: must be finite and zero or more"));
        }
        if let Feedback::Adaptive { decay, .. } = *self
            && !(0.0..=1.0).contains(&decay)
        {
            return options(format!("feedback decay = {decay}: must be between 0 and 1"));
        }
        let populations = &engine.network().draft().populations;
        for p in hidden(engine, output) {
            let name = &populations[p].name;
            let linked = engine.incoming(output).iter().any(|&k| engine.links()[k].from == Source::Population(p));
            let why = match self {
                Feedback::Symmetric if !linked => {
                    "has no projection to the readout, so symmetric feedback never reaches it; take random feedback".into()
                }
                Feedback::Given(given) => {
                    let (units, outputs) = (populations[p].size, populations[output].size);
                    match given.iter().find(|(of, _)| of == name) {
                        None => "is given no feedback weights; name it".into(),
                        Some((_, b)) if b.len() != units * outputs => {
                            format!("is given {} feedback weights; it needs {units} units x {outputs} readout units of them", b.len())
                        }
                        Some((_, b)) if b.iter().any(|b| !b.is_finite()) => "is given feedback weights that are not finite".into(),
                        _ => continue,
                    }
                }
                _ => continue,
            };
            return Err(RuleError::Population { rule: NAME, population: name.clone(), why });
        }
        Ok(())
    }

    /// How the readout's errors reach the hidden populations.
    fn ways<F: Scalar>(&self, engine: &Clocked<F>, output: usize) -> Vec<Way<F>> {
        let links: Vec<(usize, usize, usize)> = (engine.incoming(output).iter())
            .filter_map(|&k| match engine.links()[k].from {
                Source::Population(from) => Some((k, from, engine.links()[k].delay)),
                Source::Input(_) => None,
            })
            .collect();
        let mut ways = Vec::new();
        if matches!(self, Feedback::Symmetric | Feedback::Adaptive { .. }) {
            let way = |&(k, from, delay): &_| Way { from, delay, through: Through::Link(k), keep: 1.0, factor: F::of(1.0) };
            ways.extend(links.iter().map(way));
        }
        let total: usize = hidden(engine, output).map(|p| engine.cells()[p].size()).sum();
        for from in hidden(engine, output) {
            let Some(b) = self.draw(engine, output, from, total) else { continue };
            let (units, outputs) = (engine.cells()[from].size(), engine.cells()[output].size());
            let all = Projection {
                from: String::new(),
                to: String::new(),
                port: None,
                delay: Value::Shared(0.0),
                fixed: true,
                tied: None,
                links: Links::All,
                weights: Value::Each(b),
            };
            let delay = links.iter().filter(|link| link.1 == from).map(|link| link.2).min().unwrap_or(0);
            let keep = if let Feedback::Adaptive { decay, .. } = self { 1.0 - decay } else { 1.0 };
            ways.push(Way { from, delay, through: Through::Own(Box::new(Store::new(&all, units, outputs))), keep, factor: F::of(1.0) });
        }
        ways
    }

    /// The weights of its own for population `p`, `[unit][readout unit]`.
    fn draw<F: Scalar>(&self, engine: &Clocked<F>, output: usize, p: usize, total: usize) -> Option<Vec<f32>> {
        let draft = engine.network().draft();
        let (name, count) = (&draft.populations[p].name, draft.populations[p].size * draft.populations[output].size);
        let normal = |std: f64, seed: Seed| {
            let mut rng = seed.child("feedback").child(name).rng();
            // `check` has let finite deviations through only.
            let normal = Normal::new(0.0, std).ok();
            (0..count).map(|_| normal.map_or(0.0, |n| n.sample(&mut rng) as f32)).collect::<Vec<_>>()
        };
        match self {
            Feedback::Symmetric => None,
            &Feedback::Random { std, seed } => Some(normal(std, seed)),
            &Feedback::Adaptive { std, seed, .. } => {
                // What B differs by from the weights the network began with.
                let (mut b, outputs) = (normal(std, seed), draft.populations[output].size);
                let to = &draft.populations[output].name;
                for projection in draft.projections.iter().filter(|q| q.from == *name && q.to == *to) {
                    let links = projection.links.triplets(draft.populations[p].size, outputs);
                    links.for_each(|(j, k, w)| b[j * outputs + k] -= projection.weights.at(w));
                }
                Some(b)
            }
            Feedback::Broadcast => Some(vec![1.0 / (total as f32).sqrt(); count]),
            Feedback::Given(given) => given.iter().find(|(of, _)| of == name).map(|(_, b)| b.clone()),
        }
    }
}
