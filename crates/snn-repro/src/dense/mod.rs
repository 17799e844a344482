//! Dense networks that see sound as pictures: the reference that spiking networks are compared with.
//!
//! [`plan`] says what the four networks of Choi et al. 2017 are made of, in numbers alone; [`auc`] judges tags. What trains them stands behind the
//! feature `dense-baselines`, because the library for it is large: `net`, `train`, and `export` of the convolutions as a
//! [`snn_core::ann::Ann`] for conversion.
//!
//! The same seed gives the same bits for any number of threads: images of a batch are worked on in parallel, sums go over fixed parts in order.

pub mod auc;
pub mod plan;

#[cfg(feature = "dense-baselines")]
pub mod export;
#[cfg(feature = "dense-baselines")]
pub mod gru;
#[cfg(feature = "dense-baselines")]
pub mod net;
#[cfg(feature = "dense-baselines")]
pub mod ops;
#[cfg(feature = "dense-baselines")]
pub mod train;
