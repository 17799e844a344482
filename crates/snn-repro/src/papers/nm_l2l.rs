//! Bohnstingl, Scherr, Pehle, Meier & Maass 2019, "Neuromorphic hardware learns to learn", Frontiers in Neuroscience 13:483; arXiv:1903.06493.
//!
//! Reproduced: agents on an emulated HICANN-DLS that learn from rewards, by rules on its plasticity processor; an outer loop without gradients that tunes the numbers of a
//! rule, or learns the rule itself; bandits and Markov decision processes. No data are needed.
//!
//! Marks of figures: `[calc]` our own calculation, before this program; `[recalled]` from memory of the paper, not verified; `[ours]` a criterion of ours. The paper
//! prints no figures that are known to us.
//!
//! Departure: the agent, its rules, the sizes of the learned rule and the families of worlds follow the paper's outline; all their numbers are ours.
//! Departure: the outer loop runs on the fast model of the chip (one comparison for a decision); the result is then run on the emulated chip, step by step.
//!
//! A fitness is a reward between that of acting at random (0) and of knowing the world (1), of the sums over tasks. All candidates of a generation meet the same tasks, every
//! generation meets new ones, and what is reported is measured on tasks that no search has seen. The device, with its irregularities, stays the same.

use anyhow::Result;
use snn_arch::on_chip::{Kind, Life, Player, Setting, World, baseline};
use snn_arch::search::{Annealing, CrossEntropy, Evolution, Face, Method, Random, Search};
use snn_core::Seed;
use snn_core::stats::{mean, variance};
use snn_data::{Arms, Bandit, BanditParams, MdpParams, MdpTables};
use snn_hw::dls::Dls;
use std::time::Instant;

use crate::{Axes, Bound, Claim, Cost, Generation, Lab, Paper, Scale};

const PLAYERS: &str = "bandits: largest difference of five baselines from their figures";
const VALUES: &str = "Markov decision processes: largest difference of mean values of four families from their figures";
const FAST: &str = "wall time of a decision of the fast chip, rule and world included";
const TUNED: &str = "dependent arms: reward per pull, tuned hand-made rule less the same with random numbers";
const LEARNED: &str = "dependent arms: reward per pull, learned rule less the tuned hand-made one";
const META: &str = "dependent arms: reward per pull of the learned rule";
const TRANSFER: &str = "learned rules: reward on the own family less that of the rule from the other one, the smaller of two";
const CHIP: &str = "learned rule: reward per pull on the emulated chip as a share of that on the fast one";
const BEFORE: &str = "Markov decision processes: share of the gap, decisions 151 to 200, random numbers";
const AFTER: &str = "Markov decision processes: share of the gap, decisions 151 to 200, tuned";
const METHODS: &str = "learned rule, equal budgets, five seeds: fitness by cross-entropy less the better of evolution and annealing";

/// The paper.
pub const PAPER: Paper = Paper {
    id: "nm_l2l",
    title: "Neuromorphic hardware learns to learn",
    cite: "Bohnstingl et al. 2019, Frontiers in Neuroscience 13:483",
    about: "agents on an emulated analogue chip whose plasticity is tuned, and learned, by search",
    cost: Cost { smoke: "a few seconds", short: "1 min, 2 cores", paper: "5 min, 2 cores" },
    claims: &[
        Claim::new(PLAYERS, "0.7494, 0.7375, 0.5; 0.667, 0.639 [calc]", Bound::AtMost(0.003), "", 4, "baselines"),
        Claim::new(VALUES, "6.73/4.98 … 6.69/5.02 [calc]", Bound::AtMost(0.05), "", 3, "baselines; the bound is ours"),
        Claim::new(FAST, "below 20 µs [ours]", Bound::AtMost(20.0), "µs", 2, "budget of the outer loop"),
        Claim::new(TUNED, "increasing [ours]", Bound::AtLeast(0.001), "", 3, "learning to learn improves"),
        Claim::new(LEARNED, "increasing [ours]", Bound::AtLeast(0.001), "", 3, "meta-plasticity improves"),
        Claim::new(META, "0.70 [ours]; at best 0.7375 [calc]", Bound::AtLeast(0.7), "", 3, "meta-plasticity").headline(),
        Claim::new(TRANSFER, "above 0 [ours]", Bound::AtLeast(0.001), "", 3, "knowledge of the family"),
        Claim::new(CHIP, "0.95 [ours]", Bound::AtLeast(0.95), "", 3, "the fast model stands for the chip"),
        Claim::new(BEFORE, "below 0.4 [ours]", Bound::AtMost(0.4), "", 3, "before learning to learn"),
        Claim::new(AFTER, "0.7 [ours]", Bound::AtLeast(0.7), "", 3, "learning to learn").headline(),
        Claim::new(METHODS, "best or equal [recalled]; 0.01 is ours", Bound::AtLeast(-0.01), "", 3, "comparison of optimisers"),
    ],
    run,
};

fn run(lab: &mut Lab) -> Result<()> {
    baselines(lab)?;
    bandits(lab)?;
    processes(lab)?;
    methods(lab)
}

/// Reports a figure that a smoke run is too short for.
fn report(lab: &mut Lab, what: &str, ours: f64) -> Result<()> {
    match lab.scale() {
        Scale::Smoke => Ok(lab.too_short(&[what], "a few generations find nothing")?),
        _ => Ok(lab.report(what, ours)?),
    }
}

fn bandit(arms: Arms) -> Result<Bandit> {
    Ok(BanditParams { arms, ..BanditParams::default() }.build()?)
}

/// A chip of the usual irregularities, the same in all experiments of a run; slots of 200 ms of the network.
fn setting<W>(lab: &Lab, world: W, kind: Kind) -> Setting<W> {
    Setting { world, kind, machine: Dls::default(), device: lab.seed().child("device"), steps: 200 }
}

/// Mean reward per decision.
fn reward(lives: &[Life]) -> f64 {
    mean(lives.iter().flat_map(|life| &life.rewards))
}

/// Means of a curve over pieces of `by` decisions, against the last decision of each.
fn pieces(curve: &[f64], by: usize) -> Vec<(f64, f64)> {
    (1..).zip(curve.chunks(by)).map(|(k, piece)| ((k * by) as f64, mean(piece))).collect()
}

/// Mean reward of each decision.
fn curve(lives: &[Life]) -> Vec<f64> {
    let decisions = lives.first().map_or(0, |life| life.rewards.len());
    (0..decisions).map(|t| mean(lives.iter().map(|life| life.rewards[t]))).collect()
}

/// What the worlds should be worth, to whom.
fn baselines(lab: &mut Lab) -> Result<()> {
    let seed = lab.seed().child("baselines");
    let episodes = lab.scale().pick(500, 100_000, 100_000);
    let mut apart = 0.0f64;
    for (arms, player, figure) in [
        (Arms::Dependent, Player::Oracle, 0.7494),
        (Arms::Dependent, Player::Dependent, 0.7375),
        (Arms::Dependent, Player::Random, 0.5),
        (Arms::Independent, Player::Oracle, 0.667),
        (Arms::Independent, Player::Thompson, 0.639),
    ] {
        let found = mean(baseline(&bandit(arms)?, player, episodes, seed)?);
        apart = apart.max((found - figure).abs());
        lab.go_on()?;
    }
    report(lab, PLAYERS, apart)?;
    let worlds = lab.scale().pick(20, 10_000, 10_000);
    let mut apart = 0.0f64;
    for (states, actions, best, random) in [(2, 2, 6.73, 4.98), (2, 4, 8.11, 5.02), (4, 4, 8.06, 5.04), (6, 2, 6.69, 5.02)] {
        let tables: Vec<MdpTables> = (0..worlds).map(|k| MdpTables::draw(states, actions, seed.nth(k))).collect();
        let found = mean(tables.iter().flat_map(|t| t.optimal(0.9).0));
        apart = apart.max((found - best).abs());
        let found = mean(tables.iter().flat_map(|t| t.values(&t.at_random(), 0.9)));
        apart = apart.max((found - random).abs());
    }
    report(lab, VALUES, apart)
}

/// Searches the numbers of a rule: as many candidates, each in so many lives.
fn tune<W: World + Clone + Sync>(
    lab: &mut Lab,
    name: &str,
    setting: &Setting<W>,
    method: Method,
    (evaluations, tasks): (u64, u64),
    seed: Seed,
) -> Result<(Search, Vec<Generation>)> {
    let mut search = Search::new(setting.kind.space(), method, seed.child("search"))?;
    let training = seed.child("training");
    let fitness = |candidates: &[Vec<f64>], g: u64| Ok(setting.fitness(candidates, g * tasks..(g + 1) * tasks, training)?);
    // The method's own answer, on tasks of a third kind: for the curve, nothing is chosen by it.
    let validation = seed.child("validation");
    let every = (evaluations / 20).max(1);
    let mut due = 0;
    let measure = |search: &Search| {
        if search.evaluations() < due && search.evaluations() < evaluations {
            return Ok(None);
        }
        due = search.evaluations() / every * every + every;
        Ok(setting.fitness(&[search.stands()], 0..10 * tasks, validation)?.first().copied())
    };
    let history = lab.search(name, &mut search, evaluations, fitness, measure)?;
    Ok((search, history))
}

/// Lives in the first `tests` tasks by a rule with random numbers: `count` rules, each in its share of the tasks.
fn strangers<W: World + Clone + Sync>(setting: &Setting<W>, count: u64, tests: u64, seed: Seed, test: Seed) -> Result<Vec<Life>> {
    let drawn = Search::new(setting.kind.space(), Random { population: count as usize }, seed)?.ask();
    let share = |(k, values): (u64, &Vec<f64>)| setting.lives(values, k * tests / count..(k + 1) * tests / count, test);
    Ok((0..).zip(&drawn).map(share).collect::<Result<Vec<_>, _>>()?.concat())
}

/// What a search stands at, by name.
fn named(search: &Search) -> String {
    let values = search.stands();
    search.space().parameters().iter().zip(values).map(|(p, v)| format!("{} {v:.3}", p.name)).collect::<Vec<_>>().join(", ")
}

/// Cross-entropy for a rule with many numbers.
fn wide(lab: &Lab) -> Method {
    CrossEntropy { population: lab.scale().pick(6, 80, 80), elite: 0.2, smoothing: 0.3, noise: 0.1, decay: 0.96, ..CrossEntropy::default() }
        .into()
}

/// Cross-entropy for a rule with few.
fn narrow(lab: &Lab) -> Method {
    CrossEntropy { population: lab.scale().pick(6, 40, 40), ..CrossEntropy::default() }.into()
}

fn bandits(lab: &mut Lab) -> Result<()> {
    let seed = lab.seed().child("bandits");
    let (few, many) = (lab.scale().pick((12, 2), (1200, 40), (4000, 40)), lab.scale().pick((12, 2), (8000, 50), (32_000, 50)));
    let tests = lab.scale().pick(5, 5000, 20_000);
    let (test, dependent) = (seed.child("test"), bandit(Arms::Dependent)?);
    let hand_made = setting(lab, dependent.clone(), Kind::HandMade);
    let learned = setting(lab, dependent.clone(), Kind::Meta);
    let elsewhere = setting(lab, bandit(Arms::Independent)?, Kind::Meta);

    let random = strangers(&hand_made, lab.scale().pick(5, 200, 200), tests, seed.child("random"), test)?;
    let (tuned, _) = tune(lab, "hand-made rule", &hand_made, narrow(lab), few, seed.child("hand-made"))?;
    lab.note(format!("tuned hand-made rule: {}", named(&tuned)));
    let tuned = hand_made.lives(&tuned.stands(), 0..tests, test)?;
    let (rule, own) = tune(lab, "learned rule, dependent arms", &learned, wide(lab), many, seed.child("dependent"))?;
    let since = Instant::now();
    let lives = learned.lives(&rule.stands(), 0..tests, test)?;
    let wall = since.elapsed().as_secs_f64() / (tests as f64 * 100.0);
    lab.report(FAST, 1e6 * wall)?;
    report(lab, TUNED, reward(&tuned) - reward(&random))?;
    report(lab, LEARNED, reward(&lives) - reward(&tuned))?;
    report(lab, META, reward(&lives))?;
    let figures = (reward(&random), reward(&tuned), reward(&lives));
    lab.note(format!(
        "dependent arms, reward per pull: {:.4} with random numbers, {:.4} tuned, {:.4} learned",
        figures.0, figures.1, figures.2
    ));

    let (other, other_history) = tune(lab, "learned rule, independent arms", &elsewhere, wide(lab), many, seed.child("independent"))?;
    let on = |setting: &Setting<Bandit>, rule: &Search| -> Result<f64> { Ok(reward(&setting.lives(&rule.stands(), 0..tests, test)?)) };
    let (here, there) = ((on(&learned, &rule)?, on(&learned, &other)?), (on(&elsewhere, &other)?, on(&elsewhere, &rule)?));
    report(lab, TRANSFER, (here.0 - here.1).min(there.0 - there.1))?;
    lab.note(format!("dependent arms: {:.4} by the rule from there, {:.4} by that from independent ones", here.0, here.1));
    lab.note(format!("independent arms: {:.4} by the rule from there, {:.4} by that from dependent ones", there.0, there.1));

    emulated(lab, &learned, &rule.stands(), test, reward(&lives))?;
    let bayes = baseline(&dependent, Player::Dependent, tests, test)?;
    let lines = [
        ("hand-made, random numbers", pieces(&curve(&random), 5)),
        ("hand-made, tuned", pieces(&curve(&tuned), 5)),
        ("learned rule", pieces(&curve(&lives), 5)),
        ("the best possible", pieces(&bayes, 5)),
    ];
    lab.curve("bandit", "two dependent arms: reward on new tasks", "pull", "reward", &lines, Axes::default())?;
    let points = |history: &[Generation]| history.iter().map(|g| (g.evaluations as f64, g.mean)).collect::<Vec<_>>();
    let lines = [("dependent arms", points(&own)), ("independent arms", points(&other_history))];
    lab.curve("outer-loop", "learning the rule: mean fitness of a generation", "candidates", "fitness", &lines, Axes::default())?;
    Ok(())
}

/// The rule found on the fast chip, on the emulated one; and what the chip would take.
fn emulated(lab: &mut Lab, setting: &Setting<Bandit>, values: &[f64], seed: Seed, fast: f64) -> Result<()> {
    let tasks = lab.scale().pick(1, 300, 300);
    let since = Instant::now();
    let (lives, seconds) = setting.lives_on_chip(values, 0..tasks, seed)?;
    let wall = since.elapsed().as_secs_f64();
    let same = reward(&setting.lives(values, 0..tasks, seed)?);
    report(lab, CHIP, reward(&lives) / same)?;
    lab.note(format!(
        "{tasks} lives of 100 pulls: {:.4} on the emulated chip, {same:.4} on the fast one ({fast:.4} over more); the chip would take {seconds:.2} s, of which {:.2} s for \
         the host, the emulator took {wall:.1} s of wall time",
        reward(&lives),
        tasks as f64 * 100.0 * snn_hw::dls::ROUND_TRIP
    ));
    Ok(())
}

/// Reward by decision between random and best, in pieces of ten.
fn gap<W: World + Clone + Sync>(setting: &Setting<W>, lives: &[Life], tasks: u64, seed: Seed) -> Vec<(f64, f64)> {
    let mean = curve(lives);
    let piece = |(k, rewards): (usize, &[f64])| {
        let (random, best) = setting.bounds(10 * k..10 * k + rewards.len(), 0..tasks, seed);
        let had = rewards.iter().sum::<f64>() * tasks as f64;
        ((10 * (k + 1)) as f64, (had - random) / (best - random))
    };
    mean.chunks(10).enumerate().map(piece).collect()
}

fn processes(lab: &mut Lab) -> Result<()> {
    let seed = lab.seed().child("processes");
    let world = MdpParams { decisions: lab.scale().pick(20, 200, 200), ..MdpParams::default() }.build()?;
    let agent = setting(lab, world, Kind::Td);
    let test = seed.child("test");
    let tests = lab.scale().pick(4, 2000, 5000);
    let last = |points: &[(f64, f64)]| mean(points[points.len() - points.len().min(5)..].iter().map(|p| p.1));
    let random = strangers(&agent, lab.scale().pick(2, 100, 100), tests, seed.child("random"), test)?;
    let before = gap(&agent, &random, tests, test);
    let budget = lab.scale().pick((12, 2), (3200, 40), (8000, 40));
    let (tuned, history) = tune(lab, "temporal differences", &agent, narrow(lab), budget, seed)?;
    let after = gap(&agent, &agent.lives(&tuned.stands(), 0..tests, test)?, tests, test);
    report(lab, BEFORE, last(&before))?;
    report(lab, AFTER, last(&after))?;
    lab.note(format!("tuned agent of Markov decision processes: {}", named(&tuned)));
    let lines = [("random numbers", before), ("tuned", after)];
    lab.curve("mdp", "worlds of 2 states and 2 actions: share of the gap on new tasks", "decision", "share", &lines, Axes::default())?;
    let points = history.iter().map(|g| (g.evaluations as f64, g.mean)).collect();
    lab.curve(
        "mdp-outer-loop",
        "tuning: mean fitness of a generation",
        "candidates",
        "fitness",
        &[("cross-entropy", points)],
        Axes::default(),
    )?;
    Ok(())
}

/// All methods on the learned rule, with the same number of candidates and lives.
fn methods(lab: &mut Lab) -> Result<()> {
    let (seeds, budget) = (lab.scale().pick(1, 5, 5), lab.scale().pick((12, 1), (1600, 20), (6400, 20)));
    let few = lab.scale() == Scale::Smoke;
    let all: [Method; 5] = if few {
        let small = CrossEntropy { population: 6, ..CrossEntropy::default() };
        [
            small.into(),
            Evolution { pairs: 2, ..Evolution::default() }.into(),
            Annealing { chains: 6, ..Annealing::default() }.into(),
            Face { least: 4, elite: 2, more: 4, most: 8, ..Face::default() }.into(),
            Random { population: 6 }.into(),
        ]
    } else {
        [
            CrossEntropy::default().into(),
            Evolution::default().into(),
            Annealing::default().into(),
            Face::default().into(),
            Random::default().into(),
        ]
    };
    let learned = setting(lab, bandit(Arms::Dependent)?, Kind::Meta);
    let (mut lines, mut ends) = (Vec::new(), Vec::new());
    for method in all {
        let name = method.name();
        let (mut points, mut end) = (Vec::<(f64, f64, f64)>::new(), Vec::new());
        for k in 0..seeds {
            // The same tasks for all methods of a seed.
            let seed = lab.seed().child("methods").nth(k);
            let (search, history) = tune(lab, &format!("{name} {}", k + 1), &learned, method.clone(), budget, seed)?;
            let measured: Vec<(f64, f64)> = history.iter().filter_map(|g| Some((g.evaluations as f64, g.measured?))).collect();
            points.resize(measured.len().max(points.len()), (0.0, 0.0, 0.0));
            points.iter_mut().zip(measured).for_each(|(sum, (x, y))| *sum = (x, sum.1 + y, sum.2 + 1.0));
            end.push(learned.fitness(&[search.stands()], 0..lab.scale().pick(5, 2000, 2000), seed.child("test"))?[0]);
        }
        lines.push((name, points.into_iter().map(|(x, sum, n)| (x, sum / n)).collect::<Vec<_>>()));
        let (middle, spread) = (mean(&end), variance(&end).sqrt());
        lab.note(format!("{name}: fitness {middle:.3} ± {spread:.3} on new tasks after {} candidates, {} seeds", budget.0, seeds));
        ends.push(middle);
    }
    report(lab, METHODS, ends[0] - ends[1].max(ends[2]))?;
    let title = "learned rule, equal budgets: what each method stands at, mean of the seeds";
    lab.curve("methods", title, "candidates", "fitness on new tasks", &lines, Axes::default())?;
    Ok(())
}
