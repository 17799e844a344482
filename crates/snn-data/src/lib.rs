//! Trials to learn from: data sets that are files, encoders that turn intensities and signals into spikes, and tasks that are generated.
//!
//! | I have | use |
//! |---|---|
//! | pictures | [`Images`] (MNIST, Fashion-MNIST), [`Digits`] (8×8) as [`Encoded`] by an [`Encoder`]: [`Latency`], [`Poisson`], [`Rate`], pixel by pixel [`PixelCrossings`] or [`Scan`], or as they are [`Analog`] |
//! | signals over time | a [`SignalEncoder`]: [`Delta`] (changes), [`Crossings`] (levels), [`Drive`] (strengths), [`Bsa`] (what a filter turns back into the signal) |
//! | sound | a front end, [`Mel`] or [`Cochlea`], and then a signal encoder |
//! | sound as a picture | [`LogMel`]: for networks that see; [`Tones`] makes tagged clips without files |
//! | recordings | [`Nmnist`] (event camera), [`SpokenDigits`] (WAV files and a front end), [`Shd`] (spiking Heidelberg data) |
//! | text | [`Passages`] of tokens, characters or words, with a [`Vocabulary`]; [`tiny_shakespeare`], [`wikitext_2`] |
//! | no files | [`TemplateParams`] (jittered spike patterns), [`RandmanParams`] (smooth random manifolds), [`XorParams`] (delayed XOR: memory) |
//! | no pictures | [`PrototypeParams`] (noisy blobs), [`StrokeParams`] (digits drawn by hand): an [`ImageSet`] like the others |
//! | no end of trials | [`EvidenceParams`] (count cues), [`StoreRecallParams`] (keep a value), [`TargetNetworkParams`] (learn a function within a trial), [`TemporalOrderParams`] (which motifs, in which order), [`VolterraParams`] (learn a filter), [`NarmaParams`] (learn a recursion): each trial [`Drawn`] from its number |
//! | a curve to follow | [`PatternParams`] |
//! | pictures as time | [`SequentialParams`]: pixel by pixel, then a cue |
//! | a closed loop | an [`Environment`]: [`Bandit`], [`DelayedCue`], [`Mdp`], [`Navigation`]; at every step a [`World`]: [`RatePatterns`], [`Bars`] |
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
//! To add a data set, an encoder or a generated task: one file, and its name in `modules!`. An environment has its place in `environment.rs`, a world in `world.rs`.
//!
//! Next: [`encode`] for the two kinds of encoder, [`Images`] and [`Nmnist`] for data sets that are files.
#![forbid(unsafe_code)]

mod fire;
mod source;

/// Declares the module of each file. What is public there is public here.
macro_rules! modules {
    ($($file:ident),+ $(,)?) => { $(mod $file; pub use $file::*;)+ };
}

pub mod encode;
pub use encode::*;

modules! {
    bsa, cochlea, crossing, delta, digits, drawn, drive, environment, error, evidence, images, log_mel, mel, mnist, narma, nmnist, packed, pattern, prototype,
    randman, sequential, shd, split, spoken, store_recall, strokes, target_networks, templates, temporal_order, text, tones, volterra, world, xor
}
