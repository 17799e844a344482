//! Trials to learn from: image data sets, encoders that turn intensities into spikes, and tasks that are generated.
//!
//! For: [`Images`] (MNIST, Fashion-MNIST) seen through an [`Encoder`] ([`Latency`], [`Poisson`], [`Rate`]) as [`Encoded`]; [`TemplateParams`]
//! (jittered spike patterns) and [`RandmanParams`] (smooth random manifolds), which generate trials and need no files; [`split()`] for validation sets. All of them
//! are [`snn_core::Dataset`]s. Times are in seconds and rates in hertz; every random number comes from a [`snn_core::Seed`].
//!
//! Not for: file formats (the crate `snn-io`), downloads, augmentation, or batching (a trainer's business).
//!
//! ```
//! use snn_core::{Dataset, Raster, Seed, Subset};
//! use snn_data::{Encoder, Latency, Split, TemplateParams};
//!
//! // One spike per bright pixel, the brighter the earlier: 1 ms steps, τ = 20 ms, threshold 0.2.
//! let latency = Latency::new(20e-3, 0.2, 1e-3, 100)?;
//! let mut raster = Raster::default();
//! latency.encode_bytes(&[0, 51, 128, 255], Seed::new(0), &mut raster);
//! assert_eq!(raster.iter().collect::<Vec<_>>(), [(4, 3), (10, 2)]); // 20·ln(1/0.8) = 4.46, 20·ln(0.502/0.302) = 10.16
//!
//! // A task that needs no files, and a validation set.
//! let task = TemplateParams { train: 50, ..Default::default() }.generate(Seed::new(1), Split::Train)?;
//! let (train, validation) = snn_data::split(task.len(), 0.2, Seed::new(2));
//! let (train, validation) = (Subset::new(&task, train), Subset::new(&task, validation));
//! assert_eq!((train.len(), validation.len(), train.inputs()), (40, 10, 200));
//! # Ok::<(), snn_data::DataError>(())
//! ```
//!
//! Next: [`encode`] for the equations, [`Images`] for the data sets that are files.
#![forbid(unsafe_code)]

mod cochlea;
mod crossing;
mod delta;
mod drive;
pub mod encode;
mod error;
mod images;
mod mel;
mod packed;
mod randman;
mod split;
mod templates;
mod xor;

pub use cochlea::{Cochlea, CochleaParams, erb, erb_frequency, erb_number};
pub use crossing::{Crossings, PixelCrossings};
pub use delta::Delta;
pub use drive::Drive;
pub use encode::{Encoder, Latency, Poisson, Rate, SignalEncoder};
pub use error::DataError;
pub use images::{Encoded, Images, LatencyImages};
pub use mel::{Mel, MelParams, MelScale};
pub use packed::Generated;
pub use randman::RandmanParams;
pub use split::{Split, split};
pub use templates::TemplateParams;
pub use xor::XorParams;
