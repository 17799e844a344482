//! How a recipe learns: rule, optimiser, schedule, loss, structural rule, machine in the loop.

use anyhow::Result;
use snn_core::{Network, Seed};
use snn_learn::{
    Bptt, DeepR, Eprop, GradR, GradRByRows, LearnedSignals, Loss, Optimiser, Options, Over, Regulariser, Rule, Schedule, SoftDeepR,
    SparseBptt, StRsbp, Structure, SyntheticGradients, Trainer, TsslBp,
};

use super::table::{Table, Wrong};

type Make<T> = Box<dyn Fn() -> Box<T> + Send + Sync>;

/// A registry of kinds with options: the name, and the options that stand where a recipe says nothing.
macro_rules! kinds {
    ($(#[$doc:meta])* $NAMES:ident, $make:ident -> $Kind:ty { $($name:literal = $default:expr),+ $(,)? }) => {
        $(#[$doc])*
        pub(super) const $NAMES: &[&str] = &[$($name),+];

        fn $make(name: &str, table: Table) -> Result<Make<$Kind>, Wrong> {
            match name {
                $($name => {
                    let options = table.over(&$default)?;
                    Ok(Box::new(move || Box::new(options.clone())))
                })+
                _ => Err(table.wrong(format!("`{name}` is not known"))),
            }
        }
    };
}

kinds! {
    /// The names of `[rule]`.
    RULES, rule -> dyn Rule<f32> {
        "sparse_bptt" = SparseBptt::default(),
        "tssl_bp" = TsslBp::default(),
        "st_rsbp" = StRsbp::default(),
        "bptt" = Bptt::new(SparseBptt::default().surrogate),
        "eprop" = Eprop::default(),
        "synthetic_gradients" = SyntheticGradients::new("predictor"),
        "learned_signals" = LearnedSignals::new("learner", "signals"),
    }
}

kinds! {
    /// The names of `[structure]`.
    STRUCTURES, structure -> dyn Structure {
        "deep_r" = DeepR::new(1e-4),
        "soft_deep_r" = SoftDeepR { l1: 1e-4, temperature: 1e-6, connectivity: 0.1.into() },
        "grad_r" = GradR::new(1e-4),
        "grad_r_by_rows" = GradRByRows { prior: GradR::new(1e-4), rows: 4 },
    }
}

/// A machine that runs the trials.
struct OnChip {
    machine: &'static str,
    seed: u64,
    clip: Option<f64>,
}

/// A factor on the learning rate of a parameter of neurons.
struct Factor {
    population: String,
    parameter: String,
    factor: f64,
}

/// All that a trainer needs beside network and data.
pub(super) struct Learning {
    rule: Make<dyn Rule<f32>>,
    optimiser: Optimiser,
    /// The seed is that of the recipe.
    options: Options,
    structure: Option<Make<dyn Structure>>,
    chip: Option<OnChip>,
    factors: Vec<Factor>,
}

impl Learning {
    /// Takes its keys out of the recipe's own table.
    pub(super) fn new(table: &mut Table, epochs: usize, seed: Seed) -> Result<Self, Wrong> {
        let rule = match table.named("rule", RULES)? {
            Some((name, options)) => rule(name, options)?,
            None => Box::new(|| -> Box<dyn Rule<f32>> { Box::new(SparseBptt::default()) }),
        };
        let structure = table.named("structure", STRUCTURES)?.map(|(name, options)| structure(name, options)).transpose()?;
        let loss = table.or("loss", Loss::CrossEntropy(Over::Max))?;
        let plain = Options::new(loss, seed.child("training"));
        let options = Options {
            regulariser: table.table("regulariser")?.map_or(Ok(Regulariser::NONE), |bounds| bounds.over(&Regulariser::NONE))?,
            batch: table.or("batch", plain.batch)?,
            schedule: schedule(table, epochs)?,
            clip: table.get("clip")?,
            dead_after: table.or("dead_after", plain.dead_after)?,
            ..plain
        };
        let optimiser = optimiser(table)?;
        let (chip, factors) = (chip(table)?, table.tables("rates")?.into_iter().map(factor).collect::<Result<_, _>>()?);
        Ok(Learning { rule, optimiser, options, structure, chip, factors })
    }

    pub(super) fn loss(&self) -> Loss {
        self.options.loss
    }

    /// A trainer of `network` from its present weights.
    pub(super) fn trainer(&self, network: &Network) -> Result<Trainer> {
        let mut trainer = Trainer::new(network, (self.rule)(), self.optimiser, self.options)?;
        for Factor { population, parameter, factor } in &self.factors {
            trainer = trainer.with_rate(population, parameter, *factor)?;
        }
        if let Some(structure) = &self.structure {
            trainer = trainer.with_structure(structure())?;
        }
        if let Some(OnChip { machine: name, seed, clip }) = self.chip {
            let seed = Seed::new(seed);
            let chip = move |net: &Network| {
                let machine = snn_hw::by_name(name).ok_or_else(|| format!("no machine is called {name}"))?;
                Ok(machine.build(net, seed)?)
            };
            trainer = trainer.with_chip(chip, clip)?;
        }
        Ok(trainer)
    }
}

fn optimiser(table: &mut Table) -> Result<Optimiser, Wrong> {
    let default = Optimiser::adam(1e-3);
    let Some((name, options)) = table.named("optimiser", &["adam", "sgd"])? else { return Ok(default) };
    options.over_with(&if name == "sgd" { Optimiser::sgd(0.1) } else { default }, &[], &["optimiser"])
}

/// A cosine ends with the training, unless something else is said.
fn schedule(table: &mut Table, epochs: usize) -> Result<Schedule, Wrong> {
    let default = match table.named("schedule", &["constant", "cosine", "steps"])? {
        None => return Ok(Schedule::Constant),
        Some(("cosine", options)) => (Schedule::Cosine { epochs: epochs as f64 }, options),
        Some(("steps", options)) => (Schedule::Steps { every: 1.0, factor: 0.9 }, options),
        Some((_, options)) => (Schedule::Constant, options),
    };
    default.1.over_with(&default.0, &[], &["schedule"])
}

fn chip(table: &mut Table) -> Result<Option<OnChip>, Wrong> {
    let Some(mut device) = table.table("device")? else { return Ok(None) };
    let names: Vec<&'static str> = snn_hw::all().iter().map(|machine| machine.name()).collect();
    let said: String = device.need("on", "on = \"brainscales\"")?;
    let Some(machine) = names.iter().find(|name| **name == said) else {
        let hint = super::table::meant(&said, names.iter().copied());
        return Err(device.wrong(format!("no machine is called `{said}`{hint}; there are: {}", names.join(", "))));
    };
    let chip = OnChip { machine, seed: device.or("seed", 0)?, clip: device.get("clip")? };
    device.done()?;
    Ok(Some(chip))
}

fn factor(mut table: Table) -> Result<Factor, Wrong> {
    let factor = Factor {
        population: table.need("population", "population = \"hidden\"")?,
        parameter: table.need("parameter", "parameter = \"tau\"")?,
        factor: table.need("factor", "factor = 0.02")?,
    };
    table.done()?;
    Ok(factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use snn_learn::{rule, structure};

    /// A rule that is added to the registry is one that a recipe can name.
    #[test]
    fn every_rule_of_the_registries_has_its_line() {
        let plain = |name: &str| name.split(',').next().map(str::to_owned);
        let mut rules: Vec<_> = rule::all::<f32>().into_iter().filter_map(|(name, _)| plain(name)).collect();
        rules.dedup();
        assert_eq!(rules, RULES);
        assert_eq!(structure::all().iter().map(Structure::name).collect::<Vec<_>>(), STRUCTURES);
        for name in RULES {
            let table = Table::parse(&format!("rule = \"{name}\"")).and_then(|mut table| table.named("rule", RULES));
            let (_, options) = table.expect("a recipe").expect("a rule");
            assert_eq!(super::rule(name, options).map_err(|wrong| wrong.why).expect("a rule")().name(), *name);
        }
    }
}
