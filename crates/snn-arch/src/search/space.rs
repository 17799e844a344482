use crate::error::{ArchError, check};
use serde::{Deserialize, Serialize};

/// A bounded space of named parameters: methods see coordinates from 0 to 1, the caller sees values.
///
/// ```
/// use snn_arch::search::Space;
/// let space = Space::default().linear("gamma", 0.5, 1.0).log("rate", 1e-4, 1.0);
/// let values = space.values(&[0.5, 0.5]);
/// assert!((space.value("gamma", &values).unwrap() - 0.75).abs() < 1e-12);
/// assert!((space.value("rate", &values).unwrap() - 0.01).abs() < 1e-12);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Space(Vec<Parameter>);

/// A parameter and where it may lie.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Name.
    pub name: String,
    /// Its value at 0.
    pub low: f64,
    /// Its value at 1, above `low`.
    pub high: f64,
    /// How it goes from one to the other.
    pub scale: Scale,
}

/// How a parameter goes from its lowest to its highest value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scale {
    /// By equal differences.
    Linear,
    /// By equal ratios; both ends are above 0.
    Log,
    /// By whole numbers, each with the same share.
    Whole,
}

impl Space {
    /// With one more parameter on a linear scale.
    pub fn linear(self, name: &str, low: f64, high: f64) -> Self {
        self.with(name, low, high, Scale::Linear)
    }
    /// With one more parameter on a logarithmic scale.
    pub fn log(self, name: &str, low: f64, high: f64) -> Self {
        self.with(name, low, high, Scale::Log)
    }
    /// With `count` more parameters `NAME0`, `NAME1` … that are whole numbers from 0 to below `choices`.
    pub fn whole(self, name: &str, count: usize, choices: usize) -> Self {
        (0..count).fold(self, |space, k| space.with(&format!("{name}{k}"), 0.0, choices as f64 - 1.0, Scale::Whole))
    }
    /// With `count` more parameters `NAME0`, `NAME1` … on a linear scale: the weights of a small network.
    pub fn many(self, name: &str, count: usize, low: f64, high: f64) -> Self {
        (0..count).fold(self, |space, k| space.linear(&format!("{name}{k}"), low, high))
    }
    fn with(mut self, name: &str, low: f64, high: f64, scale: Scale) -> Self {
        self.0.push(Parameter { name: name.into(), low, high, scale });
        self
    }

    /// Number of parameters.
    pub fn dims(&self) -> usize {
        self.0.len()
    }
    /// The parameters.
    pub fn parameters(&self) -> &[Parameter] {
        &self.0
    }
    /// The values at a point of the unit cube.
    pub fn values(&self, point: &[f64]) -> Vec<f64> {
        self.0.iter().zip(point).map(|(parameter, x)| parameter.value(*x)).collect()
    }
    /// The one called `name` among these values.
    pub fn value(&self, name: &str, values: &[f64]) -> Option<f64> {
        self.0.iter().zip(values).find(|(parameter, _)| parameter.name == name).map(|(_, value)| *value)
    }

    pub(super) fn check(&self) -> Result<(), ArchError> {
        const OF: &str = "Space";
        check(!self.0.is_empty(), OF, "parameters", 0, "at least one")?;
        for (k, p) in self.0.iter().enumerate() {
            let found = || format!("`{}` from {} to {}", p.name, p.low, p.high);
            check(self.0[..k].iter().all(|other| other.name != p.name), OF, "parameter", found(), "a name of its own")?;
            check((p.high - p.low).is_finite() && p.low < p.high, OF, "parameter", found(), "finite bounds, the lower first")?;
            check(p.scale != Scale::Log || p.low > 0.0, OF, "parameter", found(), "bounds above 0 for a logarithmic scale")?;
        }
        Ok(())
    }
}

impl Parameter {
    /// Its value at `x` from 0 to 1: never outside its bounds.
    fn value(&self, x: f64) -> f64 {
        let value = match self.scale {
            Scale::Linear => self.low + x * (self.high - self.low),
            Scale::Whole => self.low + (x * (self.high - self.low + 1.0)).floor(),
            Scale::Log => (self.low.ln() + x * (self.high.ln() - self.low.ln())).exp(),
        };
        value.clamp(self.low, self.high)
    }
}
