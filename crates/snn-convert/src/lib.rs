//! Trained dense networks turned into spiking ones.
#![forbid(unsafe_code)]
