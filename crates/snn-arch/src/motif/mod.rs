//! Recurrent layers of locally joined motifs, whose size and topology are searched by gradient.
//!
//! * [`Motifs`]: the space, relaxed, with the way back; [`Architecture`]: a point in it; [`Discrete`]: a layer that is decided.
//! * [`Search`]: the structural rule that trains weights and architecture of one projection in turns. Any rule that gives the projection's gradient will do.
//! * [`SpikL`]: intrinsic plasticity, which brings the rates of neurons back to a distribution while the architecture changes under them.
//!
//! Source: Zhang, Geng & Li 2024, "Composing recurrent spiking neural networks using locally-recurrent motifs and risk-mitigating architectural optimization"
//! (arXiv:2108.01793). The text was not at hand: equations 1 to 4 and the algorithm are known from public reviews; the relaxation's form is that of Liu, Simonyan &
//! Yang 2019 (DARTS).

mod intrinsic;
mod search;
mod space;

pub use intrinsic::SpikL;
pub use search::{Search, Turns};
pub use space::{Architecture, Discrete, Kind, Motifs};
