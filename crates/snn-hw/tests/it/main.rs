//! Machines: every one keeps the contract, each its own numbers.

mod brainscales;
mod conformance;
mod dls;
mod pcm;
mod spinnaker2;
