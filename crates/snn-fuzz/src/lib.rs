#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod bout;
pub mod formats;
pub mod mutate;

pub use bout::{Failure, Report, Settings, bout, replay};
pub use formats::Format;

/// The code of the README of the project is compiled and run with the documentation tests: here, because the file belongs to no package that is published.
#[doc = include_str!("../../../README.md")]
#[cfg(doctest)]
pub struct ReadmeCode;
