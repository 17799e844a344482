//! The runner of papers and what it writes.

mod checkpoints;
#[cfg(feature = "dense-baselines")]
mod dense;
mod lab;
mod made_up;
mod matrix;
mod pcm;
mod recipe;
mod reward;
