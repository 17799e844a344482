//! Worlds at the pace of a network: for rules that learn while it runs.

modules! { bars, rate_patterns }

use snn_core::Seed;

/// A world in a loop with a network, step by step: it shows spikes, hears who fired, and rewards. (An [`Environment`](crate::Environment)
/// waits for an action instead.)
///
/// All chance comes from the seed of the trial; what a world remembers from trial to trial it says itself.
pub trait World: Send {
    /// Name for tables and logs.
    fn name(&self) -> &'static str;
    /// Input channels.
    fn inputs(&self) -> usize;
    /// Output neurons it listens to.
    fn outputs(&self) -> usize;
    /// Begins a trial.
    fn begin(&mut self, trial: Seed);
    /// Goes on to the next step and appends the channels that fire in it, ascending.
    fn show(&mut self, spikes: &mut Vec<u32>);
    /// Hears which of the outputs fired in this step, and gives the reward for it.
    fn hear(&mut self, fired: &[u32]) -> f64;
}
