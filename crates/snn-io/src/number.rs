//! Numbers of any stored type, for the formats whose files say what they hold.

use crate::IoError;
use half::f16;
use std::{fmt, path::Path};

/// The numbers arrays are read as: `f32` or `f64`.
///
/// Stored floats are rounded to the nearest; a finite one beyond the range is refused. Stored whole numbers must be kept exactly.
pub trait Real: FromValue {}

impl Real for f32 {}
impl Real for f64 {}

/// A stored number, losslessly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    Int(i128),
    Float(f64),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Value::Int(value) => value.fmt(f),
            Value::Float(value) => value.fmt(f),
        }
    }
}

/// Types that stored numbers are turned into; `None` is "does not fit".
pub trait FromValue: Copy {
    const NAME: &'static str;
    fn from_value(value: Value) -> Option<Self>;
}

impl FromValue for f32 {
    const NAME: &'static str = "f32 (read it as f64)";
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Int(int) => Some(int as f32).filter(|&x| x as i128 == int),
            Value::Float(float) => Some(float as f32).filter(|x| x.is_finite() || !float.is_finite()),
        }
    }
}

impl FromValue for f64 {
    const NAME: &'static str = "f64";
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Int(int) => Some(int as f64).filter(|&x| x as i128 == int),
            Value::Float(float) => Some(float),
        }
    }
}

impl FromValue for i64 {
    const NAME: &'static str = "i64";
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Int(int) => int.try_into().ok(),
            Value::Float(_) => None,
        }
    }
}

impl FromValue for u32 {
    const NAME: &'static str = "u32 (expected whole numbers from 0)";
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Int(int) => int.try_into().ok(),
            Value::Float(_) => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Unsigned,
    Signed,
    Float,
}

/// How numbers are stored: 1, 2, 4 or 8 bytes each (floats: from 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub kind: Kind,
    pub size: usize,
    pub big_endian: bool,
}

impl Stored {
    pub fn new(kind: Kind, size: usize, big_endian: bool) -> Option<Self> {
        let exists = matches!((kind, size), (_, 2 | 4 | 8) | (Kind::Signed | Kind::Unsigned, 1));
        exists.then_some(Stored { kind, size, big_endian })
    }

    /// Appends the numbers in `bytes`; `place` tells where the i-th of them stands.
    pub fn read<T: FromValue>(self, path: &Path, bytes: &[u8], out: &mut Vec<T>, place: impl Fn(usize) -> String) -> Result<(), IoError> {
        out.reserve(bytes.len() / self.size);
        for (i, bytes) in bytes.chunks_exact(self.size).enumerate() {
            let value = self.value(bytes);
            let number =
                T::from_value(value).ok_or_else(|| IoError::content(path, place(i), format!("{value} does not fit into {}", T::NAME)))?;
            out.push(number);
        }
        Ok(())
    }

    fn value(self, bytes: &[u8]) -> Value {
        let mut raw = 0u64;
        for i in 0..self.size {
            raw |= u64::from(bytes[if self.big_endian { self.size - 1 - i } else { i }]) << (8 * i);
        }
        let unused = 64 - 8 * self.size;
        match (self.kind, self.size) {
            (Kind::Unsigned, _) => Value::Int(raw.into()),
            (Kind::Signed, _) => Value::Int(i128::from((raw << unused) as i64 >> unused)),
            (Kind::Float, 2) => Value::Float(f16::from_bits(raw as u16).into()),
            (Kind::Float, 4) => Value::Float(f32::from_bits(raw as u32).into()),
            (Kind::Float, _) => Value::Float(f64::from_bits(raw)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_numbers() {
        // Worked by hand: two's complement; IEEE 754 halves (1.5 = 3e00), singles (c0200000 = −2.5) and doubles (3fe0… = 0.5).
        let value = |kind, big, bytes: &[u8]| Stored::new(kind, bytes.len(), big).unwrap().value(bytes);
        assert_eq!(value(Kind::Signed, false, &[0xfe]), Value::Int(-2));
        assert_eq!(value(Kind::Unsigned, false, &[0xfe]), Value::Int(254));
        assert_eq!(value(Kind::Signed, true, &[0xfe, 0xd4]), Value::Int(-300));
        assert_eq!(value(Kind::Unsigned, false, &[0x2c, 1, 0, 0]), Value::Int(300));
        assert_eq!(value(Kind::Unsigned, false, &[0xff; 8]), Value::Int(u64::MAX.into()));
        assert_eq!(value(Kind::Signed, false, &[0xff; 8]), Value::Int(-1));
        assert_eq!(value(Kind::Float, false, &[0, 0x3e]), Value::Float(1.5));
        assert_eq!(value(Kind::Float, true, &[0xc0, 0x20, 0, 0]), Value::Float(-2.5));
        assert_eq!(value(Kind::Float, false, &[0, 0, 0, 0, 0, 0, 0xe0, 0x3f]), Value::Float(0.5));
        assert!(Stored::new(Kind::Float, 1, false).is_none() && Stored::new(Kind::Signed, 3, false).is_none());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let int = |x: i128| Value::Int(x);
        assert_eq!(f32::from_value(int(1 << 24)), Some(16_777_216.0));
        assert_eq!(f32::from_value(int((1 << 24) + 1)), None);
        assert_eq!(f64::from_value(int((1 << 53) + 1)), None);
        assert_eq!(f32::from_value(Value::Float(0.1)), Some(0.1));
        assert_eq!(f32::from_value(Value::Float(1e39)), None);
        assert_eq!(f32::from_value(Value::Float(f64::INFINITY)), Some(f32::INFINITY));
        assert_eq!((u32::from_value(int(7)), u32::from_value(int(-1)), u32::from_value(Value::Float(1.0))), (Some(7), None, None));
        let mut out = vec![];
        let stored = Stored::new(Kind::Signed, 1, false).unwrap();
        let error = stored.read::<u32>(Path::new("a.h5"), &[1, 0xff], &mut out, |i| format!("labels, entry {i}")).unwrap_err();
        assert_eq!(error.to_string(), "a.h5: labels, entry 1: -1 does not fit into u32 (expected whole numbers from 0)");
    }
}
