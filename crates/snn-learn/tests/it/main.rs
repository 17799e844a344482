//! Gradients, online rules and rewiring against their oracles.

mod carried;
mod common;
mod drop_connect;
mod egru;
mod eprop;
mod eprop_reference;
mod in_the_loop;
mod learned_signals;
mod oracles;
mod parameters;
mod sampling;
mod stdp_em;
#[path = "common/stripes.rs"]
mod stripes;
mod structure;
mod synaptic_sampling;
mod tied;
mod trainer;
mod tssl_bp;
mod zoneout;
