//! Trials to learn from: data sets that are files, encoders that turn intensities and signals into spikes, and tasks that are generated.
//!
//! | I have | use |
//! |---|---|
//! | pictures | [`Images`] (MNIST, Fashion-MNIST), [`Digits`] (8×8) as [`Encoded`] by an [`Encoder`]: [`Latency`], [`Poisson`], [`Rate`], pixel by pixel [`PixelCrossings`], or as they are [`Analog`] |
//! | signals over time | a [`SignalEncoder`]: [`Delta`] (changes), [`Crossings`] (levels), [`Drive`] (strengths) |
//! | sound | a front end, [`Mel`] or [`Cochlea`], and then a signal encoder |
//! | sound as a picture | [`LogMel`]: for networks that see; [`Tones`] makes tagged clips without files |
//! | recordings | [`Nmnist`] (event camera), [`SpokenDigits`] (WAV files and a front end), [`Shd`] (spiking Heidelberg data) |
//! | no files | [`TemplateParams`] (jittered spike patterns), [`RandmanParams`] (smooth random manifolds), [`XorParams`] (delayed XOR: memory) |
//! | no pictures | [`PrototypeParams`] (noisy blobs), [`StrokeParams`] (digits drawn by hand): an [`ImageSet`] like the others |
//! | no end of trials | [`EvidenceParams`] (count cues), [`StoreRecallParams`] (keep a value), [`TargetNetworkParams`] (learn a function within a trial): each trial [`Drawn`] from its number |
//! | a curve to follow | [`PatternParams`] |
//! | pictures as time | [`SequentialParams`]: pixel by pixel, then a cue |
//! | a closed loop | an [`Environment`]: [`Bandit`], [`DelayedCue`], [`Navigation`] |
//!
//! All that holds trials is a [`snn_core::Dataset`]; [`split()`] makes validation sets. Times are in seconds, rates and frequencies in hertz; every random
//! number comes from a [`snn_core::Seed`]. Loaders check every file and name the one that is wrong.
//!
//! Not for: file formats (the crate `snn-io`), downloads, augmentation, or batching (a trainer's business).
//!
//! ```
//! use snn_core::{Dataset, Raster, Seed, Subset};
//! use snn_data::{Cochlea, CochleaParams, Delta, Encoder, Latency, SignalEncoder, Split, TemplateParams};
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
//!
//! // Sound: 64 cochlea-like channels in frames of 5 ms, spikes where a channel changes.
//! let tone: Vec<f32> = (0..4000).map(|n| (n as f32 * 0.4).sin()).collect();
//! let channels = Cochlea::new(CochleaParams::default())?.frames(&tone);
//! Delta::new(0.1)?.encode_signal(&channels, 64, &mut raster);
//! assert_eq!((raster.units(), raster.steps()), (128, 100));
//! # Ok::<(), snn_data::DataError>(())
//! ```
//!
//! Next: [`encode`] for the two kinds of encoder, [`Images`] and [`Nmnist`] for data sets that are files.
#![forbid(unsafe_code)]

mod cochlea;
mod crossing;
mod delta;
mod digits;
mod drawn;
mod drive;
pub mod encode;
mod environment;
mod error;
mod evidence;
mod files;
mod fire;
mod images;
mod log_mel;
mod mel;
mod nmnist;
mod packed;
mod pattern;
mod prototype;
mod randman;
mod sequential;
mod shd;
mod split;
mod spoken;
mod store_recall;
mod strokes;
mod target_networks;
mod templates;
mod tones;
mod xor;

pub use cochlea::{Cochlea, CochleaParams, erb, erb_frequency, erb_number};
pub use crossing::{Crossings, PixelCrossings};
pub use delta::Delta;
pub use digits::Digits;
pub use drawn::{Answer, Drawn, Task};
pub use drive::Drive;
pub use encode::{Analog, Encoder, Latency, Poisson, Rate, SignalEncoder};
pub use environment::{
    Action, Actions, Bandit, BanditParams, DelayedCue, DelayedCueParams, Environment, Feedback, Navigation, NavigationParams,
};
pub use error::DataError;
pub use evidence::EvidenceParams;
pub use images::{AnalogImages, Encoded, ImageSet, Images, LatencyImages, Pooled};
pub use log_mel::{LogMel, LogMelParams};
pub use mel::{Mel, MelParams, MelScale};
pub use nmnist::{Nmnist, NmnistParams};
pub use packed::Generated;
pub use pattern::{PatternParams, Sine, superposed_sines};
pub use prototype::{PrototypeImages, PrototypeParams};
pub use randman::RandmanParams;
pub use sequential::{Sequential, SequentialParams};
pub use shd::{Shd, ShdParams};
pub use split::{Split, split};
pub use spoken::{FrontEnd, Recording, SoundCode, SpokenDigits, SpokenParams, recordings};
pub use store_recall::{StoreRecallParams, Symbol};
pub use strokes::{StrokeImages, StrokeParams};
pub use target_networks::{Episode, TargetNetwork, TargetNetworkParams};
pub use templates::TemplateParams;
pub use tones::{GLOBAL_TAGS, LOCAL_TAGS, TIMBRE_TAGS, TONE_TAGS, Timbre, ToneParams, Tones, Tune};
pub use xor::XorParams;
