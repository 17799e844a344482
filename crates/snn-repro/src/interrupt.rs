//! A run that is asked to stop.

use crate::LabError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A wish to stop, shared by whoever has it (a signal handler, a test) and the run, which saves its state and ends with
/// [`LabError::Interrupted`](crate::LabError::Interrupted).
///
/// ```
/// let wish = snn_repro::Interrupt::default();
/// let seen = wish.clone();
/// assert!(!wish.request(), "it was there before");
/// assert!(seen.requested() && wish.request());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Asks the run to stop. Returns whether it was asked before.
    pub fn request(&self) -> bool {
        self.0.swap(true, Relaxed)
    }

    /// Whether somebody asked.
    pub fn requested(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// For long work, between two pieces of it.
    ///
    /// # Errors
    /// [`LabError::Interrupted`] if somebody asked.
    pub fn go_on(&self) -> Result<(), LabError> {
        if self.requested() { Err(LabError::Interrupted) } else { Ok(()) }
    }
}
