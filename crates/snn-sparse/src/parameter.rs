//! Parameters of neurons that are learned: values beside the weights, from which the constants of a population are derived anew.

use crate::lanes::{Block, LANES, Scalar, blocks, flat, flat_mut};
use snn_core::net::Population;
use snn_core::neuron::{Range, with_params};
use snn_core::{NetworkError, Value};

/// A parameter that is learned, one value per neuron: see [`Population::train`].
#[derive(Clone, Debug)]
pub struct Parameter<F> {
    /// The population it belongs to.
    pub population: usize,
    /// Its name; `current` is the constant current.
    pub name: String,
    /// The values, a lane per neuron.
    pub values: Vec<Block<F>>,
    /// Where they may lie.
    range: Range,
    /// What they were described as.
    start: Value,
    size: usize,
}

/// Name of the constant current among the parameters.
const CURRENT: &str = "current";

impl<F: Scalar> Parameter<F> {
    /// Those of a population, in the order in which it names them.
    pub(crate) fn all(index: usize, population: &Population) -> Vec<Self> {
        let learnable = population.learnable();
        let find = |name: &String| learnable.iter().find(|p| p.0 == name).cloned();
        let parameter = |(name, start, range): (&str, Value, Range)| {
            let mut values = vec![Block::zero(); blocks(population.size)];
            let lanes = flat_mut(&mut values).iter_mut().enumerate();
            lanes.for_each(|(j, x)| *x = F::of(start.at(j.min(population.size - 1))));
            Parameter { population: index, name: name.into(), values, range, start, size: population.size }
        };
        population.train.iter().filter_map(find).map(parameter).collect()
    }

    /// Whether it is the constant current, whose gradient is that of the input.
    pub fn is_current(&self) -> bool {
        self.name == CURRENT
    }

    /// The values as a description has them.
    pub fn value(&self) -> Value {
        Value::Each(flat(&self.values)[..self.size].iter().map(|x| x.value()).collect())
    }

    /// Puts every value into its range.
    pub(crate) fn clamp(&mut self) {
        for j in 0..self.size {
            let x = &mut self.values[j / LANES][j % LANES];
            let within = self.range.clamp(x.value(), self.start.at(j));
            if within != x.value() {
                *x = F::of(within);
            }
        }
    }
}

/// The population with these values of its parameters.
pub(crate) fn with_values<F: Scalar>(population: &Population, parameters: &[&Parameter<F>]) -> Result<Population, NetworkError> {
    let mut population = population.clone();
    let of = |name: &str| parameters.iter().find(|p| p.name == name).map(|p| p.value());
    let refuse = |why| NetworkError::Parameter { population: population.name.clone(), model: population.model.name(), why };
    let model = with_params(&population.model, population.size, |name, _, _| of(name)).map_err(refuse)?;
    if let Some(current) = of(CURRENT) {
        if current.given().iter().any(|x| !x.is_finite()) {
            return Err(refuse("`current`: must be a finite number".into()));
        }
        population.current = current;
    }
    population.model = model;
    Ok(population)
}
