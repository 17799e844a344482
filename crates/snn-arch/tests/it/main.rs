//! Search, learning to learn and closed loops.

mod closed_loop;
mod l2l;
mod liquid;
mod meta_rl;
mod motif;
mod on_chip;
mod pathnet;
mod reward_eprop;
mod search;
