//! A training as a file: data, network, rule, schedule, in TOML. What a paper says in Rust, through the same network description, trainer and lab.
//!
//! ```
//! use snn_repro::recipe::Recipe;
//! let recipe = Recipe::parse("first.toml", r#"
//! epochs = 2
//! batch = 20
//! data = { name = "strokes", side = 8, train = 60, test = 20, code = { name = "latency", steps = 25 } }
//! structure = { name = "deep_r", l1 = 1e-4 }
//! [network]
//! populations = [{ name = "hidden", size = 30, model = "lif", tau = 0.01 }, { name = "out", model = "li", tau = 0.01 }]
//! projections = [
//!     { from = "in", to = "hidden", links = { random = 0.1 }, weights = { fan_in = 2.0 } },
//!     { from = "hidden", to = "out", weights = { fan_in = 2.0 } },
//! ]
//! "#)?;
//! let parts = recipe.open()?;
//! let net = recipe.network(&parts)?;
//! assert_eq!((net.size("in"), net.size("out"), net.links()), (64, 10, 192 + 300));
//!
//! let mut trainer = recipe.trainer(&net)?;
//! trainer.epoch(&parts.train(), &|_| ())?;
//! # Ok::<(), anyhow::Error>(())
//! ```
//!
//! Every key stands in `docs/recipes.md` of the repository; `snn train --help` says how to run one.

mod data;
mod learning;
mod network;
mod table;
mod training;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use snn_core::{Dataset, Network, Seed};
use snn_hw::Machine;
use snn_learn::{Loss, Optimiser, Options, SparseBptt, Stats, Trainer};
use snn_sparse::Costs;

use crate::LabError;
use data::{DATA_SETS, DataPlan};
use learning::Learning;
use network::NetworkPlan;
use table::{Table, Wrong};

pub use data::Parts;
pub use network::read_network;
pub use training::{Trained, train};

/// A training that was read from a TOML text and understood.
pub struct Recipe {
    path: PathBuf,
    text: String,
    digest: String,
    seed: Seed,
    epochs: usize,
    out: Option<PathBuf>,
    data: DataPlan,
    data_name: &'static str,
    network: NetworkPlan,
    learning: Learning,
}

impl Recipe {
    /// Reads a recipe.
    ///
    /// # Errors
    /// [`LabError::Io`]; as [`Recipe::parse`].
    pub fn read(path: impl AsRef<Path>) -> Result<Recipe, LabError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(LabError::io("read", path))?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Recipe::parse(path, text),
            Err(error) => {
                let line = bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count() + 1;
                Err(LabError::Recipe { path: path.into(), line, why: "this is no text in UTF-8; save it as such".into() })
            }
        }
    }

    /// Understands the text of a recipe; `path` is what errors call it.
    ///
    /// # Errors
    /// [`LabError::Recipe`] with the line of what is wrong.
    pub fn parse(path: impl AsRef<Path>, text: &str) -> Result<Recipe, LabError> {
        let path = path.as_ref();
        Recipe::of(path, text).map_err(|Wrong { line, why }| LabError::Recipe { path: path.into(), line, why: snn_io::shortened(why) })
    }

    fn of(path: &Path, text: &str) -> Result<Recipe, Wrong> {
        let mut table = Table::parse(text)?;
        let canonical = table.canonical(&["out"]).to_string();
        let digest = Sha256::digest(canonical).iter().map(|byte| format!("{byte:02x}")).collect();
        let seed = seed(&mut table)?;
        let epochs: usize = table.need("epochs", "epochs = 10")?;
        if epochs == 0 {
            return Err(table.wrong("epochs = 0: give at least one"));
        }
        let missing = |what: &str, like: &str| table.wrong(format!("`{what}` is missing; give it, for example {like}"));
        let no_data = missing("data", "data = { name = \"idx\", folder = \"data/mnist\" }");
        let no_network = missing("network", "[network] with populations and projections");
        let (data_name, options) = table.named("data", DATA_SETS)?.ok_or(no_data)?;
        let recipe = Recipe {
            path: path.into(),
            text: text.into(),
            digest,
            seed,
            epochs,
            out: table.get("out")?,
            data: DataPlan::new(data_name, options)?,
            data_name,
            network: NetworkPlan::new(table.table("network")?.ok_or(no_network)?)?,
            learning: Learning::new(&mut table, epochs, seed)?,
        };
        table.done()?;
        Ok(recipe)
    }

    /// The text as it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// SHA-256 of what the recipe says: the same whatever its remarks, its order and `out`.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Where the result should go, if the recipe says so.
    pub fn out(&self) -> Option<&Path> {
        self.out.as_deref()
    }

    /// Passes over the training trials.
    pub fn epochs(&self) -> usize {
        self.epochs
    }

    /// The root of all randomness.
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// Opens or generates the data.
    ///
    /// # Errors
    /// What the data set reports.
    pub fn open(&self) -> Result<Parts> {
        self.data.open(self.seed).with_context(|| format!("{}: [data], {}", self.path.display(), self.data_name))
    }

    /// The network before training.
    ///
    /// # Errors
    /// From the description, with the names of what is wrong, or from its file.
    pub fn network(&self, parts: &Parts) -> Result<Network> {
        self.network.build(parts, self.seed.child("network")).with_context(|| format!("{}: [network]", self.path.display()))
    }

    /// A trainer of `network` from its present weights, with the rules and the machine of the recipe.
    ///
    /// # Errors
    /// If they do not go together, with the reason.
    pub fn trainer(&self, network: &Network) -> Result<Trainer> {
        self.learning.trainer(network).with_context(|| format!("{}: it cannot be trained so", self.path.display()))
    }

    /// How a trial is scored.
    pub fn loss(&self) -> Loss {
        self.learning.loss()
    }

    /// Runs `network` on `data` and scores it as the recipe does, without learning: by the engine, or on the device of that seed of a machine, with what it spent.
    ///
    /// # Errors
    /// If the data do not fit, or the machine does not take the network.
    pub fn evaluate(&self, network: &Network, data: &dyn Dataset, on: Option<(&dyn Machine, Seed)>) -> Result<(Stats, Option<Costs>)> {
        let options = Options::new(self.loss(), self.seed.child("evaluation"));
        let trainer = Trainer::new(network, SparseBptt::default(), Optimiser::sgd(0.0), options)?;
        let trainer = match on {
            Some((machine, seed)) => trainer.with_device(machine.build(network, seed)?, None)?,
            None => trainer,
        };
        Ok((trainer.evaluate(data)?, trainer.device_costs()))
    }
}

/// A number, or a number and names of parts of it: `"1/templates"`.
fn seed(table: &mut Table) -> Result<Seed, Wrong> {
    use serde_json::Value;
    let said: Value = table.or("seed", Value::from(1))?;
    let text = said.as_str().map_or_else(|| said.to_string(), str::to_owned);
    let (number, parts) = text.split_once('/').map_or((&*text, None), |(number, parts)| (number, Some(parts)));
    match number.parse() {
        Ok(number) => Ok(parts.into_iter().flat_map(|parts| parts.split('/')).fold(Seed::new(number), Seed::child)),
        Err(_) => {
            Err(table.wrong(format!("seed = {said}: give a whole number, 0 or more, or one with names of parts, as \"1/templates\"")))
        }
    }
}
