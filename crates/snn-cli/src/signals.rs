//! Ctrl-C and SIGTERM, and how to go on after them.

use std::ffi::{OsStr, OsString};

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

/// The command line with --resume, for a shell.
pub fn resuming(args: impl Iterator<Item = OsString>) -> String {
    let mut words: Vec<String> = args.map(|arg| quoted(&arg)).collect();
    if !words.iter().any(|word| word == "--resume") {
        words.push("--resume".into());
    }
    words.join(" ")
}

fn quoted(arg: &OsStr) -> String {
    let text = arg.to_string_lossy();
    let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c));
    if plain { text.into() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_to_go_on_is_ready_for_a_shell() {
        let command = |args: &[&str]| resuming(args.iter().map(OsString::from));
        assert_eq!(command(&["snn", "reproduce", "ssgd", "--seed=2"]), "snn reproduce ssgd --seed=2 --resume");
        assert_eq!(command(&["snn", "--resume", "--out", "my results"]), "snn --resume --out 'my results'");
        assert_eq!(command(&["it's", ""]), r"'it'\''s' '' --resume");
    }
}
