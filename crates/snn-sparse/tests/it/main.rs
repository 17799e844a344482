//! Engines and synapses against each other.

mod apart;
mod conv2d;
mod engines;
mod reads;
