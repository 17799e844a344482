use super::Objective;
use crate::error::ArchError;
use crate::on_chip::{Kind, Setting};
use crate::search::Space;
use snn_core::Seed;
use snn_data::{Arms, BanditParams};
use snn_hw::dls::Dls;

/// Agents on the emulated chip: the reward of a rule with these numbers on bandits with dependent arms, between acting at random (0) and knowing them (1).
#[derive(Clone, Debug, PartialEq)]
pub struct Bandits {
    /// The family.
    pub worlds: BanditParams,
    /// The rule whose numbers are looked for.
    pub kind: Kind,
    /// Bandits of an evaluation.
    pub tasks: u64,
}

impl Default for Bandits {
    fn default() -> Self {
        Bandits { worlds: BanditParams { arms: Arms::Dependent, ..BanditParams::default() }, kind: Kind::HandMade, tasks: 50 }
    }
}

impl Objective for Bandits {
    fn name(&self) -> &'static str {
        "bandit"
    }
    fn about(&self) -> &'static str {
        "numbers of a learning rule that runs on the emulated DLS chip, for bandits with dependent arms (0 at random, 1 the best)"
    }
    fn space(&self) -> Space {
        self.kind.space()
    }
    fn evaluate(&self, values: &[f64], seed: Seed) -> Result<f64, ArchError> {
        let world = self.worlds.clone().build()?;
        let setting = Setting { world, kind: self.kind, machine: Dls::default(), device: Seed::new(1), steps: 200 };
        Ok(setting.fitness(&[values.to_vec()], 0..self.tasks, seed)?[0])
    }
}
