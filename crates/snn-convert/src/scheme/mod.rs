//! Ways to write gates as spikes.
//!
//! To add one: one file beside this one with `impl Scheme` and `From<Codes>`, and its place in `schemes!`. The tests over all schemes and `snn convert` then know it.

use crate::calibrate::Calibration;
use crate::codes::Codes;
use crate::converted::{ANSWER, ConvertError, Converted, DATA};
use crate::gates::{Gates, Sum};
use crate::map::Map;
use snn_core::net::{Draft, Input, Population, Projection};
use snn_core::neuron::Model;
use snn_core::{Seed, Value, ms};

/// A way to write gates as spikes.
pub trait Scheme: Send + Sync {
    /// Name, for files and tables.
    fn name(&self) -> &'static str;
    /// A shorter name for the command line, if it has one.
    fn short(&self) -> Option<&'static str> {
        None
    }
    /// What becomes of gates and steps, in a line.
    fn about(&self) -> &'static str;
    /// The spiking network of these gates.
    ///
    /// # Errors
    /// [`ConvertError`], naming the layer that has no code.
    fn convert(&self, gates: &Gates, calibration: &Calibration, seed: Seed) -> Result<Converted, ConvertError>;
}

/// Declares the module of each scheme and lists them in the given order.
macro_rules! schemes {
    ($($file:ident :: $Scheme:ident),+ $(,)?) => {
        $(mod $file; pub use $file::$Scheme;)+

        /// Every scheme, with `codes` for those that have codes; the rate-coded one runs for as many steps as they have.
        pub fn all(codes: &Codes) -> Vec<Box<dyn Scheme>> {
            vec![$(Box::new($Scheme::from(codes.clone())),)+]
        }
    };
}

schemes! { few_spikes::FewSpikes, amos::Amos, rate::Rate }

/// The scheme of this name, or short name, with these codes.
pub fn by_name(name: &str, codes: &Codes) -> Option<Box<dyn Scheme>> {
    all(codes).into_iter().find(|scheme| scheme.name() == name || scheme.short() == Some(name))
}

/// A network under construction.
struct Build {
    draft: Draft,
}

impl Build {
    fn new(gates: &Gates) -> Self {
        let inputs = vec![Input { name: DATA.into(), size: gates.inputs }];
        Build { draft: Draft { dt: ms(1.0), inputs, outputs: vec![ANSWER.into()], ..Draft::default() } }
    }

    /// Adds a population, of another name if this one is taken; gives its index.
    fn population(&mut self, name: &str, size: usize, model: impl Into<Model>) -> usize {
        let mut name = name.to_owned();
        while name == DATA || name == ANSWER || self.draft.populations.iter().any(|p| p.name == name) {
            name.push('\'');
        }
        self.add(name, size, model.into())
    }

    fn add(&mut self, name: String, size: usize, model: Model) -> usize {
        self.draft.populations.push(Population {
            name,
            size,
            refractory: 0.0,
            current: 0.0.into(),
            escape: None,
            train: Vec::new(),
            model,
        });
        self.draft.populations.len() - 1
    }

    /// Adds the output; gives its index.
    fn answer(&mut self, size: usize, model: impl Into<Model>) -> usize {
        self.add(ANSWER.into(), size, model.into())
    }

    /// Joins two populations, or the input (`None`) and one, over `steps` steps.
    fn join(&mut self, from: Option<usize>, to: usize, map: Map, steps: usize) {
        let name = |p: usize| self.draft.populations[p].name.clone();
        let (from, to) = (from.map_or(DATA.into(), name), name(to));
        self.draft.projections.push(Projection {
            from,
            to,
            port: None,
            delay: ms(steps as f64).into(),
            fixed: false,
            tied: None,
            links: map.links,
            weights: map.weights,
        });
    }
}

/// The bias of those who hear `sum`, what silent gates are worth being in it.
fn bias(sum: &Sum, bases: &[f64]) -> Vec<f64> {
    let mut bias = sum.bias.clone();
    for (layer, map) in sum.terms.iter().filter(|(layer, _)| bases[*layer] != 0.0) {
        let constant = map.apply(&vec![bases[*layer]; map.from]);
        bias.iter_mut().zip(constant).for_each(|(b, c)| *b += c);
    }
    bias
}

/// One number if all are the same.
fn value(list: Vec<f64>) -> Value {
    if list.iter().all(|x| *x == list[0]) { Value::Shared(list[0]) } else { Value::Each(list) }
}
