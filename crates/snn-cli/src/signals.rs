//! Ctrl-C and SIGTERM.

use snn_repro::{Interrupt, say};

use crate::INTERRUPTED;

/// A wish to stop that the first signal makes; the second stops the program. `then` is what the first leads to.
pub fn interrupt(then: &'static str) -> Interrupt {
    let interrupt = Interrupt::default();
    let wish = interrupt.clone();
    let handler = move || {
        if wish.request() {
            std::process::exit(INTERRUPTED.into());
        }
        say(format_args!("interrupted: {then}; once more to stop at once"));
    };
    // It is refused where a signal is ignored already (`nohup`, background jobs of scripts). Then signals do what the caller wanted.
    let _ = ctrlc::try_set_handler(handler);
    interrupt
}
