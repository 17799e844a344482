//! Spoken digits as spikes of a cochlea, in three parts.

use std::path::Path;

use anyhow::Result;
use snn_core::{Dataset, Subset};
use snn_data::{CochleaParams, FrontEnd, SoundCode, Split, SpokenDigits, SpokenParams};

/// Recordings to train on and to choose by, which are other ones, and the test set.
pub(crate) struct Spoken {
    known: SpokenDigits,
    /// To judge by.
    pub(crate) test: SpokenDigits,
}

/// Gammatone channels, a step of 80 samples, and spikes from which a filter gives the signal back.
pub(crate) fn open(dir: &Path) -> Result<Spoken> {
    let front = FrontEnd::Cochlea(CochleaParams { hop: 80, ..CochleaParams::default() });
    let params = SpokenParams { front, code: SoundCode::Bsa { taps: 6, gain: 1.0, threshold: 0.9 }, steps: 80 };
    let part = |split| SpokenDigits::open(dir.join("fsdd"), split, params.clone());
    Ok(Spoken { known: part(Split::Train)?, test: part(Split::Test)? })
}

impl Spoken {
    /// To train on, and to choose by: the last ones, of other recordings than the first.
    pub(crate) fn parts(&self) -> [Subset<'_>; 2] {
        let (count, kept) = (self.known.len(), self.known.len() - 250.min(self.known.len() / 5));
        [0..kept, kept..count].map(|part| Subset::new(&self.known, part.collect()))
    }
}
