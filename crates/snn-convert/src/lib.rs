//! Trained dense networks turned into spiking ones.
#![forbid(unsafe_code)]

mod fit;
pub mod gates;
mod map;
mod unit;

pub use fit::{Fit, FitError, Fitted};
pub use gates::{GateError, Gates};
pub use map::Map;
pub use unit::{Quality, Unit};
