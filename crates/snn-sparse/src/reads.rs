//! Reading weights as an act of its own: where a memory is noisy or drifts, what a spike finds is not the weight.

use snn_core::Seed;
use std::ops::Range;

/// What the sources of a link find in their rows when they fire, in the place of its weights: see [`Clocked::set_reads`](crate::Clocked::set_reads).
///
/// Only rows of sources that fire are read, once for each event. What is found must be a function of the access, so that neither threads nor pieces of a
/// run change it. Nothing but the way forward of a run sees it: weights, gradients and errors on their way back are those of the store.
pub trait Reads<F>: Send + Sync + std::fmt::Debug {
    /// Adds what the rows give to what the targets hear: `into[j − targets.start] += Σ_k values[k]·read(sources[k], j)`, sources in order.
    fn push(&self, access: &Access<'_>, into: &mut [F]);
}

/// Rows that are read at one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Access<'a> {
    /// Of the trial: [`Record::noise`](crate::Record::noise).
    pub trial: Seed,
    /// Step of the trial at which the events arrive.
    pub step: usize,
    /// Sources of the events, ascending.
    pub sources: &'a [u32],
    /// Values of graded events, one each; empty: all are 1.
    pub values: &'a [f64],
    /// Targets that are asked for; may end beyond the last one.
    pub targets: Range<usize>,
}
