//! A parameter of a description: one number for all, or one each.

use serde::de::{Deserializer, Error, IntoDeserializer, SeqAccess, Visitor, value::SeqAccessDeserializer};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One number for a whole population or projection, or one per neuron or link.
///
/// In a file it is a number or a list: `"tau": 0.02`, `"tau": [0.02, 0.01]`.
///
/// ```
/// use snn_core::Value;
/// let tau: Value = serde_json::from_str("[0.02, 0.01]")?;
/// assert_eq!((tau.at(1), Value::from(0.02).at(1)), (0.01, 0.02));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value<T = f64> {
    /// The same for all.
    Shared(T),
    /// One each.
    Each(Vec<T>),
}

impl<T: Copy> Value<T> {
    /// The value of neuron or link `j`.
    #[inline]
    pub fn at(&self, j: usize) -> T {
        match self {
            Value::Shared(x) => *x,
            Value::Each(xs) => xs[j],
        }
    }

    /// The numbers given: one, or one each.
    pub fn given(&self) -> &[T] {
        match self {
            Value::Shared(x) => std::slice::from_ref(x),
            Value::Each(xs) => xs,
        }
    }

    /// Whether this can be the values of `count` neurons or links.
    pub fn fits(&self, count: usize) -> bool {
        matches!(self, Value::Shared(_)) || self.given().len() == count
    }

    /// The values of `count` neurons or links.
    pub fn iter(&self, count: usize) -> impl Iterator<Item = T> + '_ {
        (0..count).map(|j| self.at(j))
    }
}

impl<T> From<T> for Value<T> {
    fn from(x: T) -> Self {
        Value::Shared(x)
    }
}

impl<T> From<Vec<T>> for Value<T> {
    fn from(xs: Vec<T>) -> Self {
        Value::Each(xs)
    }
}

// By hand, not `untagged`: that buffers a list of a billion weights in a tagged form first, and its error says nothing.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Value<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Given<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Given<T> {
            type Value = Value<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a list of numbers")
            }
            fn visit_f64<E: Error>(self, x: f64) -> Result<Value<T>, E> {
                T::deserialize(x.into_deserializer()).map(Value::Shared)
            }
            fn visit_i64<E: Error>(self, x: i64) -> Result<Value<T>, E> {
                T::deserialize(x.into_deserializer()).map(Value::Shared)
            }
            fn visit_u64<E: Error>(self, x: u64) -> Result<Value<T>, E> {
                T::deserialize(x.into_deserializer()).map(Value::Shared)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Value<T>, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Value::Each)
            }
        }
        deserializer.deserialize_any(Given(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_lists_survive_and_others_are_named() {
        for value in [Value::Shared(0.1f32), Value::Each(vec![0.1, -3.0, 1e-30])] {
            let text = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<Value<f32>>(&text).unwrap(), value);
        }
        assert_eq!(serde_json::from_str::<Value>("-2").unwrap(), Value::Shared(-2.0));
        for bad in ["null", "\"x\"", "{}", "[1, null]"] {
            let error = serde_json::from_str::<Value>(bad).unwrap_err().to_string();
            assert!(error.contains("expected a number") || error.contains("expected f64"), "{bad}: {error}");
        }
    }
}
