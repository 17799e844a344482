//! Sensors that watch each other: a recurrent network spread over their nodes predicts each reading from what the neighbours say.
//!
//! * [`Graph`]: who hears whom. [`Reservoir`]: what a node is like. [`SensorNet`]: the nodes at work, one actor each, which share nothing but messages.
//! * [`Rls`]: what a node learns with. [`Detector`] and [`Score`]: when an error is a fault.
//! * [`Watch`]: all of it together, reading by reading: who is silent, stuck, off or erratic, and who is well again.
//!
//! There is no matrix of the whole network. A node knows the messages in its mailbox, sends one of `K + 1` numbers to each neighbour and step, and learns from its own
//! reading; messages may be lost.
//!
//! Source: Obst 2009, "Distributed Fault Detection in Sensor Networks using a Recurrent Neural Network", arXiv:0906.4154; journal version 2013, Neural Processing
//! Letters. Only abstracts were to be had: every equation here is ours, consistent with them and with the practice of echo state networks.
//!
//! Departure: nodes agree on who is not to be heard, and refit when that changes; the messages this takes are not counted.

mod graph;
mod network;
mod node;
mod rls;
mod score;
mod watch;

pub use graph::Graph;
pub use network::{Heard, Reservoir, SensorNet};
pub use rls::Rls;
pub use score::{Detector, Moments, Score};
pub use watch::{Alarm, Memory, Watch, What};

/// Why a sensor network cannot be made or cannot go on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SodesnError {
    /// Too few nodes.
    #[error("a network of {0} nodes: give two or more, one sees nothing of itself")]
    Nodes(usize),
    /// A link that cannot be.
    #[error("a link from node {from} to node {to} of {nodes}: give two different nodes, counted from 0")]
    Link {
        /// One end.
        from: usize,
        /// The other.
        to: usize,
        /// Nodes.
        nodes: usize,
    },
    /// A setting out of its range.
    #[error("{name} = {value}: give {expected}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: f64,
        /// Its range.
        expected: &'static str,
    },
    /// Readings of another number of nodes.
    #[error("{found} readings at step {step} for {nodes} nodes: give one each, NaN where there is none")]
    Readings {
        /// The step.
        step: usize,
        /// Readings.
        found: usize,
        /// Nodes.
        nodes: usize,
    },
    /// Too little to learn from.
    #[error("{steps} steps to learn from: give {least} or more, of a time in which all was well")]
    Past {
        /// Steps.
        steps: usize,
        /// Fewest that will do.
        least: usize,
    },
    /// A node with nothing to learn from.
    #[error("node {node} {why} in the time to learn from: leave it out, or give another time")]
    Node {
        /// The node.
        node: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// What was saved belongs to another network.
    #[error("a memory of {found} nodes for a network of {nodes}: give it the one it was saved from")]
    Memory {
        /// Nodes of the memory.
        found: usize,
        /// Nodes.
        nodes: usize,
    },
}
