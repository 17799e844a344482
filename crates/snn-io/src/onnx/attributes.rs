//! The attributes of a node: read by name and type, none left over.

use super::{Reason, tensor::Constant};
use rten_onnx::onnx::{AttributeProto, AttributeType};
use std::cell::RefCell;

/// The attributes of one node. Those that nobody asked for are found at the end, so that none is passed over in silence.
pub(super) struct Attributes<'a> {
    list: &'a [AttributeProto],
    asked: RefCell<Vec<bool>>,
}

impl<'a> Attributes<'a> {
    pub fn new(list: &'a [AttributeProto]) -> Self {
        Attributes { list, asked: RefCell::new(vec![false; list.len()]) }
    }

    fn get(&self, name: &str, types: &[AttributeType]) -> Result<Option<&'a AttributeProto>, Reason> {
        let Some(k) = self.list.iter().position(|a| a.name.as_deref() == Some(name)) else { return Ok(None) };
        self.asked.borrow_mut()[k] = true;
        match self.list[k].r#type {
            Some(found) if found != AttributeType::UNDEFINED && !types.contains(&found) => {
                Err(format!("attribute `{name}` is of type {}, expected {}", found.0, types[0].0))
            }
            _ => Ok(Some(&self.list[k])),
        }
    }

    /// A whole number. Some writers leave out a zero.
    pub fn int(&self, name: &str, otherwise: i64) -> Result<i64, Reason> {
        Ok(self.get(name, &[AttributeType::INT])?.map_or(otherwise, |a| a.i.unwrap_or(0)))
    }

    /// A number.
    pub fn float(&self, name: &str, otherwise: f32) -> Result<f32, Reason> {
        Ok(self.get(name, &[AttributeType::FLOAT])?.map_or(otherwise, |a| a.f.unwrap_or(0.0)))
    }

    /// A list of whole numbers.
    pub fn ints(&self, name: &str) -> Result<Option<&'a [i64]>, Reason> {
        Ok(self.get(name, &[AttributeType::INTS])?.map(|a| &a.ints[..]))
    }

    /// A list of numbers.
    pub fn floats(&self, name: &str) -> Result<Option<&'a [f32]>, Reason> {
        Ok(self.get(name, &[AttributeType::FLOATS])?.map(|a| &a.floats[..]))
    }

    /// A word.
    pub fn word(&self, name: &str, otherwise: &'a str) -> Result<&'a str, Reason> {
        Ok(self.get(name, &[AttributeType::STRING])?.map_or(otherwise, |a| a.s.as_deref().unwrap_or_default()))
    }

    /// A tensor.
    pub fn tensor(&self, name: &str) -> Result<Option<Constant>, Reason> {
        let Some(attribute) = self.get(name, &[AttributeType::TENSOR])? else { return Ok(None) };
        attribute.t.as_ref().map(Constant::new).transpose()
    }

    /// Whether there is one of this name.
    pub fn has(&self, name: &str) -> bool {
        self.list.iter().any(|a| a.name.as_deref() == Some(name))
    }

    /// Refuses a value other than the one that is understood.
    pub fn only(&self, name: &str, value: i64) -> Result<(), Reason> {
        match self.int(name, value)? {
            found if found == value => Ok(()),
            found => Err(format!("attribute `{name}` is {found}; only {value} is read")),
        }
    }

    /// Passes over what changes nothing here.
    pub fn ignore(&self, names: &[&str]) {
        for (asked, attribute) in self.asked.borrow_mut().iter_mut().zip(self.list) {
            *asked |= attribute.name.as_deref().is_some_and(|name| names.contains(&name));
        }
    }

    /// Refuses what nobody asked for.
    pub fn done(&self) -> Result<(), Reason> {
        match self.asked.borrow().iter().position(|asked| !asked) {
            Some(k) => Err(format!("attribute `{}` is not known here, or given twice", self.list[k].name.as_deref().unwrap_or_default())),
            None => Ok(()),
        }
    }
}
