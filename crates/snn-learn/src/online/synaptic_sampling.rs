//! Reward-based synaptic sampling.

use super::{Moment, Normals, Online, OnlineError, OnlineRule, Wires, normals};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use snn_core::neuron::decay;
use snn_core::{Real, Seed};
use snn_sparse::Simd;
use snn_sparse::lanes::{Isa, Kernel, Scalar};

/// Reward-based synaptic sampling (Kappel, Legenstein, Habenschuss, Hsieh & Maass 2018, eNeuro 5(2); arXiv 1704.04238): parameters wander,
/// pulled by a prior and by reward, and what is sampled is networks, the better the likelier. A synapse is there while its parameter is
/// positive.
///
/// ```text
/// e ← λ_e·e + w·y·(z − p)                                     eligibility; z: did the target fire, p: how likely was it
/// g ← λ_g·g + R·e                                             R: reward of the step
/// θ ← clip(θ + βΔ·(c_p·(μ − θ) + clip(c_g·g, ±limit)) + √(2·T·β·Δ)·N(0, 1))          every Δ
/// w = w₀·exp(θ − θ₀) where θ ≥ 0,  0 where θ < 0: retracted, and then e = g = 0
/// y = τ_f/(τ_f − τ_r)·(f − r), per source: both decay, and rise by 1 at a spike after the step's use; 0 once f < 10⁻⁴
/// ```
/// With a constant reward the law of a parameter is the prior's, normal with mean μ and variance T/c_p, and a constant `c_g·g` shifts its
/// mean by `c_g·g/c_p`.
/// `e` and `g` count steps: they lack a factor `dt`, as in the code released with the paper, so their size depends on the step.
///
/// A link has `copies` synapses with parameters of their own; its weight is the sum of theirs. With `reallocate` a retracted synapse moves
/// at once to a link drawn uniformly, with a parameter just above 0; else it stays, and noise may bring it back.
///
/// | parameter | meaning | default |
/// |---|---|---|
/// | `beta` | learning rate β (per second) | 5e-5 |
/// | `temperature` | T | 0.1 |
/// | `mean`, `precision` | prior: μ and c_p, 1 over its variance at T = 1 | 0, 0.25 |
/// | `gain` | c_g | 1 |
/// | `limit` | largest pull of the reward | 40 |
/// | `tau_e`, `tau_g` | time constants of e and g (s) | 1, 50 |
/// | `tau_rise`, `tau_fall` | of the presynaptic trace (s); as those of the targets' potentials | 0.002, 0.02 |
/// | `offset`, `scale` | θ₀, w₀ | 3, 1 |
/// | `low`, `high` | θ is clipped to these | −2, 5 |
/// | `interval` | Δ (s), rounded to steps | 0.1 |
/// | `copies` | synapses per link | 1 |
/// | `reallocate` | whether retracted synapses move | false |
///
/// Source of the defaults: SPORE, the code released with the paper.
///
/// ```
/// use snn_core::{Seed, net::Links};
/// use snn_learn::online::{Moment, OnlineRule, SynapticSampling, Wires, normals};
/// let wires = Wires { links: &Links::All, sources: 3, targets: 2, dt: 1e-3 };
/// let mut rule = SynapticSampling::default().begin::<f32>(wires, &[0.5; 6], normals(Seed::new(1)), Seed::new(2))?;
/// rule.step(&Moment { pre: &[1], post: &[], chance: &[0.01, 0.02], reward: 1.0 })?;
/// assert_eq!(rule.take().map(|weights| weights[0]), Some((0.5f32 - 3.0).exp()));
/// # Ok::<(), snn_learn::online::OnlineError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SynapticSampling {
    /// Learning rate (per second).
    pub beta: f64,
    /// Temperature.
    pub temperature: f64,
    /// Mean of the prior.
    pub mean: f64,
    /// Its pull per distance.
    pub precision: f64,
    /// Weight of the reward gradient.
    pub gain: f64,
    /// Largest pull of the reward.
    pub limit: f64,
    /// Time constant of the eligibility (s).
    pub tau_e: f64,
    /// Time constant of the gradient (s).
    pub tau_g: f64,
    /// Rise of the presynaptic trace (s).
    pub tau_rise: f64,
    /// Its fall (s).
    pub tau_fall: f64,
    /// θ₀.
    pub offset: f64,
    /// w₀.
    pub scale: f64,
    /// Least parameter.
    pub low: f64,
    /// Largest parameter.
    pub high: f64,
    /// Time between two updates of the parameters (s).
    pub interval: f64,
    /// Synapses per link.
    pub copies: usize,
    /// Whether retracted synapses move to another link.
    pub reallocate: bool,
}

impl Default for SynapticSampling {
    fn default() -> Self {
        SynapticSampling {
            beta: 5e-5,
            temperature: 0.1,
            mean: 0.0,
            precision: 0.25,
            gain: 1.0,
            limit: 40.0,
            tau_e: 1.0,
            tau_g: 50.0,
            tau_rise: 0.002,
            tau_fall: 0.02,
            offset: 3.0,
            scale: 1.0,
            low: -2.0,
            high: 5.0,
            interval: 0.1,
            copies: 1,
            reallocate: false,
        }
    }
}

const NAME: &str = "synaptic_sampling";
/// A trace below this is none.
const SILENT: f64 = 1e-4;
/// Gradients are kept in units of this many, so that a number with 7 bits before its point holds them.
const UNIT: f64 = 1000.0;
/// Where a moved synapse begins.
const JUST_THERE: f64 = 1e-3;

impl SynapticSampling {
    /// The rule at work in numbers `R`, from these parameters: `copies` for the first link, then for the second, and so on.
    ///
    /// `f64` judges, `f32` runs, and `Fix<24>` (7 bits before the point) is a chip's. Parameters move by less than a millionth of
    /// themselves; what is lost in rounding such a sum is kept and added the next time (Kahan), which costs one more number per synapse.
    /// In fixed point nothing is lost in the sum, and 24 bits hold the increments.
    ///
    /// Memory: six numbers and 4 bytes per synapse. Cost: four multiplications per synapse and step, vectorised; per update one
    /// exponential and one normal number.
    ///
    /// # Errors
    /// [`OnlineError`]: an impossible parameter, links that share weights, parameters of another number.
    pub fn begin<R: Scalar>(
        &self,
        wires: Wires<'_>,
        parameters: &[f64],
        normals: Box<dyn Normals>,
        seed: Seed,
    ) -> Result<Sampling<R>, OnlineError> {
        self.check()?;
        let Wires { links, sources, targets, dt } = wires;
        let count = wires.count(NAME)?;
        let n = count * self.copies;
        if parameters.len() != n {
            return Err(OnlineError::State { rule: NAME, expected: n, found: parameters.len() });
        }
        let steps = (self.interval / dt).round().max(1.0);
        let (rate, tau_g) = (self.beta * steps * dt, decay(dt, self.tau_g));
        let zero = R::of(0.0);
        let mut ends = vec![0; sources + 1];
        let mut target = Vec::with_capacity(count);
        links.triplets(sources, targets).for_each(|(i, j, _)| {
            target.push(j as u32);
            ends[i + 1] = target.len() as u32;
        });
        (0..sources).for_each(|i| ends[i + 1] = ends[i + 1].max(ends[i]));
        let mut sampling = Sampling {
            rule: self.clone(),
            steps: steps as usize,
            passed: 0,
            fade: [decay(dt, self.tau_rise), decay(dt, self.tau_fall)].map(R::of),
            height: R::of(self.tau_fall / (self.tau_fall - self.tau_rise)),
            decay_e: R::of(decay(dt, self.tau_e)),
            rewards: (0..steps as usize).map(|k| tau_g.powf(steps - 1.0 - k as f64) / UNIT).collect(),
            decay_g: R::of(tau_g.powf(steps)),
            pull: R::of(rate * self.precision),
            gain: R::of(rate * self.gain * UNIT),
            limit: R::of(rate * self.limit),
            noise: (2.0 * self.temperature * rate).sqrt(),
            ends,
            target,
            traces: vec![[zero; 2]; sources],
            surprise: vec![zero; targets],
            meeting: vec![zero; count],
            theta: vec![zero; n],
            lost: vec![zero; n],
            w: vec![zero; n],
            e: vec![zero; n],
            s: vec![zero; n],
            g: vec![zero; n],
            link: Vec::new(),
            normals,
            drawn: vec![0.0; n],
            moves: seed,
            moved: 0,
            weights: vec![0.0; count],
            fresh: true,
            simd: Simd::detect(),
        };
        // Synapses stand copy by copy, so that the synapses of a copy and the links have the same places.
        for (k, &parameter) in parameters.iter().enumerate() {
            sampling.theta[k % self.copies * count + k / self.copies] = R::of(parameter.clamp(self.low, self.high));
        }
        if self.reallocate {
            sampling.link = (0..self.copies).flat_map(|_| 0..count as u32).collect();
        }
        (0..n).for_each(|k| sampling.w[k] = sampling.weight(k));
        sampling.weigh();
        Ok(sampling)
    }

    fn check(&self) -> Result<(), OnlineError> {
        let refuse = |parameter, value, wanted| Err(OnlineError::Parameter { rule: NAME, parameter, value, wanted });
        for (name, value) in [
            ("beta", self.beta),
            ("tau_e", self.tau_e),
            ("tau_g", self.tau_g),
            ("tau_rise", self.tau_rise),
            ("tau_fall", self.tau_fall),
            ("scale", self.scale),
            ("interval", self.interval),
            ("copies", self.copies as f64),
        ] {
            if !(value.is_finite() && value > 0.0) {
                return refuse(name, value, "positive");
            }
        }
        for (name, value) in [("temperature", self.temperature), ("precision", self.precision), ("gain", self.gain), ("limit", self.limit)]
        {
            if !(value.is_finite() && value >= 0.0) {
                return refuse(name, value, "zero or more");
            }
        }
        for (name, value) in [("mean", self.mean), ("offset", self.offset), ("low", self.low), ("high", self.high)] {
            if !value.is_finite() {
                return refuse(name, value, "a finite number");
            }
        }
        match self {
            _ if self.tau_rise >= self.tau_fall => refuse("tau_rise", self.tau_rise, "below `tau_fall`"),
            _ if self.low >= self.high => refuse("low", self.low, "below `high`"),
            _ => Ok(()),
        }
    }
}

/// In `f32`. The synapses of a link share its weight equally; those of a link without weight begin just retracted.
impl Online for SynapticSampling {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on(&self, wires: Wires<'_>, weights: &[f32], seed: Seed) -> Result<Box<dyn OnlineRule>, OnlineError> {
        let copies = self.copies.max(1);
        let weights = wires.weights(NAME, weights)?;
        let parameter = |w: f32| if w > 0.0 { self.offset + (f64::from(w) / (self.scale * copies as f64)).ln() } else { -JUST_THERE };
        let parameters: Vec<f64> = weights.iter().flat_map(|w| std::iter::repeat_n(parameter(*w), copies)).collect();
        Ok(Box::new(self.begin::<f32>(wires, &parameters, normals(seed.child("noise")), seed.child("moves"))?))
    }
}

/// [`SynapticSampling`] at work, in numbers `R`.
pub struct Sampling<R> {
    rule: SynapticSampling,
    steps: usize,  // of an interval
    passed: usize, // of them
    fade: [R; 2],
    height: R,
    decay_e: R,
    rewards: Vec<f64>, // what is left, at the end of the interval, of a reward at each step of it
    decay_g: R,        // over an interval
    pull: R,
    gain: R,
    limit: R,
    noise: f64,
    ends: Vec<u32>,      // ends[i]..ends[i + 1] are the links of source i
    target: Vec<u32>,    // by link
    traces: Vec<[R; 2]>, // by source: rise and fall
    surprise: Vec<R>,    // by target: spike less its probability
    meeting: Vec<R>,     // by link: trace of the source times surprise of the target
    theta: Vec<R>,       // by synapse from here on
    lost: Vec<R>,        // what the last sum of theta lost in rounding
    w: Vec<R>,
    e: Vec<R>,
    s: Vec<R>, // what the interval has added to g
    g: Vec<R>,
    link: Vec<u32>, // of each synapse; empty while synapse k of every copy is on link k
    normals: Box<dyn Normals>,
    drawn: Vec<f64>,
    moves: Seed,
    moved: u64,
    weights: Vec<f32>, // by link
    fresh: bool,
    simd: Simd,
}

/// The loop over all synapses of a step.
struct Pass<'a, R> {
    meeting: &'a [R],
    link: &'a [u32],
    decay: R,
    reward: R,
    w: &'a [R],
    e: &'a mut [R],
    s: &'a mut [R],
}

impl<R: Scalar> Kernel for Pass<'_, R> {
    type Number = R;
    type Out = ();
    #[inline(always)]
    fn run<I: Isa>(self) {
        let Pass { meeting, link, decay, reward, w, e, s } = self;
        if link.is_empty() {
            let n = meeting.len().max(1);
            for ((w, e), s) in w.chunks_exact(n).zip(e.chunks_exact_mut(n)).zip(s.chunks_exact_mut(n)) {
                for (((w, e), s), meeting) in w.iter().zip(e).zip(s).zip(meeting) {
                    *e = *e * decay + *w * *meeting;
                    *s += reward * *e;
                }
            }
        } else {
            for (((w, e), s), &link) in w.iter().zip(e).zip(s).zip(link) {
                *e = *e * decay + *w * meeting[link as usize];
                *s += reward * *e;
            }
        }
    }
}

impl<R: Scalar> OnlineRule for Sampling<R> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn hears_chances(&self) -> bool {
        true
    }

    fn step(&mut self, moment: &Moment<'_>) -> Result<(), OnlineError> {
        let targets = self.surprise.len();
        if moment.chance.len() != targets {
            return Err(OnlineError::NoChance { rule: NAME, targets, found: moment.chance.len() });
        }
        self.surprise.iter_mut().zip(moment.chance).for_each(|(x, &p)| *x = R::of(-p));
        moment.post.iter().for_each(|&j| self.surprise[j as usize] = R::of(1.0 - moment.chance[j as usize]));
        self.meet();
        let Sampling { meeting, link, w, e, s, .. } = self;
        let reward = R::of(moment.reward * self.rewards[self.passed]);
        self.simd.run(Pass { meeting, link, decay: self.decay_e, reward, w, e, s });
        for &i in moment.pre {
            let [rise, fall] = self.traces[i as usize];
            self.traces[i as usize] = [rise + R::of(1.0), fall + R::of(1.0)];
        }
        self.passed += 1;
        if self.passed == self.steps {
            self.passed = 0;
            self.update();
        }
        Ok(())
    }

    fn take(&mut self) -> Option<&[f32]> {
        std::mem::take(&mut self.fresh).then_some(&self.weights[..])
    }
}

impl<R: Scalar> Sampling<R> {
    /// Lets the traces fade, and multiplies each with the surprise of the targets it goes to.
    fn meet(&mut self) {
        let (zero, silent) = (R::of(0.0), R::of(SILENT));
        for (i, [rise, fall]) in self.traces.iter_mut().enumerate() {
            let links = self.ends[i] as usize..self.ends[i + 1] as usize;
            let meeting = &mut self.meeting[links.clone()];
            if *fall == zero {
                continue;
            }
            (*rise, *fall) = (*rise * self.fade[0], *fall * self.fade[1]);
            if *fall < silent {
                // What is left counts nothing, and the loop over synapses reads zeros from now on.
                (*rise, *fall) = (zero, zero);
                meeting.fill(zero);
                continue;
            }
            let y = self.height * (*fall - *rise);
            meeting.iter_mut().zip(&self.target[links]).for_each(|(m, &j)| *m = y * self.surprise[j as usize]);
        }
    }

    /// One step of the parameters, and the weights after it.
    fn update(&mut self) {
        let (zero, low, high) = (R::of(0.0), R::of(self.rule.low), R::of(self.rule.high));
        let mean = R::of(self.rule.mean);
        self.normals.fill(&mut self.drawn);
        for k in 0..self.theta.len() {
            self.g[k] = self.g[k] * self.decay_g + self.s[k];
            self.s[k] = zero;
            let pull = within(self.gain * self.g[k], -self.limit, self.limit);
            let change = self.pull * (mean - self.theta[k]) + pull + R::of(self.noise * self.drawn[k]);
            // Kahan: what the last sum lost goes into this one.
            let change = change - self.lost[k];
            let theta = self.theta[k] + change;
            self.lost[k] = (theta - self.theta[k]) - change;
            self.theta[k] = within(theta, low, high);
            if self.theta[k] < zero && self.w[k] > zero {
                (self.e[k], self.g[k]) = (zero, zero);
                self.relocate(k);
            }
            self.w[k] = self.weight(k);
        }
        self.weigh();
    }

    fn weight(&self, k: usize) -> R {
        let there = self.theta[k] >= R::of(0.0);
        if there { R::of(self.rule.scale) * (self.theta[k] - R::of(self.rule.offset)).exp() } else { R::of(0.0) }
    }

    /// Moves a retracted synapse to a link drawn uniformly, if synapses move.
    fn relocate(&mut self, k: usize) {
        if let Some(link) = self.link.get_mut(k) {
            let mut rng = self.moves.nth(self.moved).rng();
            *link = rng.random_range(0..self.weights.len() as u32);
            (self.theta[k], self.lost[k]) = (R::of(JUST_THERE), R::of(0.0));
            self.moved += 1;
        }
    }

    /// Adds up the weights of every link.
    fn weigh(&mut self) {
        let links = self.weights.len();
        self.weights.fill(0.0);
        for (k, w) in self.w.iter().enumerate() {
            let link = self.link.get(k).map_or(k % links.max(1), |&link| link as usize);
            self.weights[link] += w.value() as f32;
        }
        self.fresh = true;
    }

    /// The parameters, copy by copy; within a copy link by link.
    pub fn parameters(&self) -> impl Iterator<Item = f64> + '_ {
        self.theta.iter().map(|theta| theta.value())
    }

    /// The gradient estimates g, in the same order.
    pub fn gradients(&self) -> impl Iterator<Item = f64> + '_ {
        self.g.iter().map(|g| g.value() * UNIT)
    }

    /// How many synapses have moved to another link.
    pub fn moved(&self) -> u64 {
        self.moved
    }
}

fn within<R: Real>(x: R, low: R, high: R) -> R {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}
