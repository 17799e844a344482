//! Many inputs, one after the other.

use crate::Format;
use crate::formats::expanded;
use crate::mutate::{Draw, mutate};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use snn_core::Seed;
use snn_repro::memory;
use std::cell::Cell;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, Instant};
use std::{fs, io, panic};

/// Longest time for one input (chosen: a busy machine that gives it a tenth of a core).
const SLOW: Duration = Duration::from_secs(60);
/// Longest text of an error: a screen or two.
const LONG: usize = 4096;
/// Inputs that a bout keeps because their answer was new.
const KEPT: usize = 400;

/// Failures that a bout keeps.
const FAILURES: usize = 20;

/// What a bout does.
pub struct Settings {
    /// All randomness of it.
    pub seed: u64,
    /// It ends after this time.
    pub time: Duration,
    /// Or after so many inputs.
    pub inputs: u64,
    /// Where the input at work stands, and those that failed.
    pub out: PathBuf,
}

/// What a bout found.
#[derive(Debug, Default)]
pub struct Report {
    /// Inputs given.
    pub inputs: u64,
    /// Of these, read as a value.
    pub read: u64,
    /// Different answers: errors but for their numbers and names.
    pub answers: usize,
    /// Its time.
    pub time: Duration,
    /// The longest for one input.
    pub slowest: Duration,
    /// The most memory for one input, in bytes; 0 in a program that does not count.
    pub most: usize,
    /// What did not hold.
    pub failures: Vec<Failure>,
}

/// An input that broke a reader.
#[derive(Debug)]
pub struct Failure {
    /// Where it was written.
    pub path: PathBuf,
    /// What did not hold.
    pub why: String,
}

/// A plain file and how it is packed, by index in [`Format::forms`].
#[derive(Clone)]
struct Input {
    bytes: Vec<u8>,
    form: usize,
}

/// How one input ended.
struct Answer {
    /// The error's text without the path; nothing if it was read.
    refused: Option<String>,
    time: Duration,
    bytes: usize,
}

/// Runs a bout of one format. Only the first failure of each kind is kept.
///
/// # Errors
/// From the system, when an input cannot be written.
pub fn bout(format: &Format, settings: &Settings) -> io::Result<Report> {
    fs::create_dir_all(&settings.out)?;
    // Whatever happens to this program, the input that did it stands here.
    let at_work = settings.out.join(format!("{}.at-work", format.name));
    let mut rng = Seed::new(settings.seed).child(format.name).rng();
    let mut corpus: Vec<Input> =
        (0..format.forms.len()).flat_map(|form| (format.seeds)().into_iter().map(move |bytes| Input { bytes, form })).collect();
    let good = corpus.len();
    let (begin, mut report) = (Instant::now(), Report::default());
    let (mut answers, mut reasons) = (HashSet::new(), HashSet::new());
    while report.inputs < settings.inputs && (begin.elapsed() < settings.time || report.inputs < good as u64) {
        // The good files as they are come first.
        let number = report.inputs as usize;
        let input = if number < good { corpus[number].clone() } else { broken(&corpus, format, &mut rng) };
        let mut bytes = format.forms[input.form](&input.bytes);
        if number >= good && rng.random_bool(0.25) {
            mutate(&mut bytes, &mut Draw { rng: &mut rng, other: &corpus[number % good].bytes, words: format.words });
        }
        // To write and read what was read costs more than reading it.
        let again = number < good || number.is_multiple_of(8);
        report.inputs += 1;
        match attempt(format, &at_work, &bytes, again)? {
            Ok(answer) => {
                report.read += u64::from(answer.refused.is_none());
                report.slowest = report.slowest.max(answer.time);
                report.most = report.most.max(answer.bytes);
                let new = answers.insert(kind(answer.refused.as_deref().unwrap_or("read")));
                if new && number >= good && corpus.len() < good + KEPT {
                    corpus.push(input);
                }
            }
            Err(why) if reasons.insert(reason(&why)) && report.failures.len() < FAILURES => {
                let path = settings.out.join(format!("{}-{}-{number}", format.name, settings.seed));
                fs::write(&path, &bytes)?;
                report.failures.push(Failure { path, why });
            }
            Err(_) => {}
        }
    }
    fs::remove_file(&at_work)?;
    (report.answers, report.time) = (answers.len(), begin.elapsed());
    Ok(report)
}

/// Gives a reader one input. What did not hold, if something did not.
///
/// # Errors
/// From the system, when the input cannot be written.
pub fn replay(format: &Format, bytes: &[u8], out: &Path) -> io::Result<Result<Option<String>, String>> {
    fs::create_dir_all(out)?;
    let path = out.join(format!("{}.replay", format.name));
    let answer = attempt(format, &path, bytes, true)?.map(|answer| answer.refused);
    fs::remove_file(&path)?;
    Ok(answer)
}

/// One of the corpus, broken.
fn broken(corpus: &[Input], format: &Format, rng: &mut ChaCha8Rng) -> Input {
    let mut input = corpus[rng.random_range(0..corpus.len())].clone();
    let other = &corpus[rng.random_range(0..corpus.len())].bytes;
    mutate(&mut input.bytes, &mut Draw { rng, other, words: format.words });
    input
}

/// An answer without its numbers, names and lists: what is left is which check it comes from.
fn kind(text: &str) -> String {
    let (mut left, mut close) = (String::new(), None);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match close {
            Some(_) if c == '\\' => drop(chars.next()),
            Some(end) if end == c => close = None,
            Some(_) => {}
            None if c == '`' || c == '"' => close = Some(c),
            None if c == '[' => close = Some(']'),
            None => left.push(c),
        }
    }
    let word = |word: &&str| word.chars().all(|c| c.is_ascii_alphabetic() || ",.:;'()".contains(c));
    left.split_whitespace().filter(word).take(8).collect::<Vec<_>>().join(" ")
}

/// What one failure has in common with others: the place of a panic, else the first words.
fn reason(why: &str) -> String {
    if why.starts_with("panicked at ") {
        why.lines().next().unwrap_or_default().into()
    } else {
        why.split_whitespace().take(4).collect::<Vec<_>>().join(" ")
    }
}

/// Writes an input, reads it, and checks what came of it.
fn attempt(format: &Format, path: &Path, bytes: &[u8], again: bool) -> io::Result<Result<Answer, String>> {
    fs::write(path, bytes)?;
    memory::reset_peak();
    let (before, begin) = (memory::current(), Instant::now());
    let read = quietly(|| (format.read)(path));
    let (time, taken) = (begin.elapsed(), memory::peak().saturating_sub(before));
    Ok((|| {
        let limit = (format.memory)(expanded(bytes));
        let refused = match read? {
            Err(error) => {
                let text = error
                    .strip_prefix(&*path.to_string_lossy())
                    .ok_or_else(|| format!("an error that does not begin with the file: {error}"))?;
                if text.len() > LONG {
                    return Err(format!(
                        "an error too long to be read, {} bytes: {}…",
                        text.len(),
                        text.chars().take(200).collect::<String>()
                    ));
                }
                Some(text.to_owned())
            }
            Ok(check) => {
                if again {
                    quietly(check)?;
                }
                None
            }
        };
        if time > SLOW {
            return Err(format!("it took {} s, more than {} s", time.as_secs_f64(), SLOW.as_secs()));
        }
        if taken > limit {
            return Err(format!("it took {taken} bytes of memory for a file of {}, more than {limit}", bytes.len()));
        }
        Ok(Answer { refused, time, bytes: taken })
    })())
}

thread_local! {
    /// Whether this thread's panics are awaited.
    static AWAITED: Cell<bool> = const { Cell::new(false) };
    /// The last of them: where, and what it said.
    static PANIC: Cell<Option<String>> = const { Cell::new(None) };
}

/// What `work` gives, or why it panicked; without a word on the terminal.
fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| match AWAITED.get() {
            true => PANIC.set(Some(info.to_string())),
            false => usual(info),
        }));
    });
    AWAITED.set(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    AWAITED.set(false);
    result.map_err(|cause| {
        let said = || cause.downcast_ref::<String>().cloned().or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).into()));
        // A panic of another thread has been said there.
        PANIC.take().or_else(said).unwrap_or_else(|| "a panic".into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(inputs: u64) -> Settings {
        let out = std::env::temp_dir().join(format!("snn-fuzz-{}-{inputs}", std::process::id()));
        Settings { seed: 1, time: Duration::from_secs(60), inputs, out }
    }

    fn made_up(read: crate::formats::Read) -> Format {
        Format {
            name: "made_up",
            seeds: || vec![b"1234567".to_vec()],
            forms: &[crate::formats::PLAIN],
            words: &[],
            memory: |_| usize::MAX,
            read,
        }
    }

    #[test]
    fn what_does_not_hold_is_found_and_kept() {
        type Case = (crate::formats::Read, &'static str);
        let cases: [Case; 4] = [
            (
                |path| if fs::read(path).unwrap().starts_with(b"9") { panic!("a nine") } else { Err(format!("{}: no", path.display())) },
                "a nine",
            ),
            (
                |path| if fs::read(path).unwrap().len() > 9 { Err("no".into()) } else { Ok(Box::new(|| ())) },
                "does not begin with the file: no",
            ),
            (|path| Err(format!("{}: {}", path.display(), "no ".repeat(2000))), "an error too long to be read, 6002 bytes"),
            (
                |path| {
                    let n = fs::read(path).unwrap().len();
                    Ok(Box::new(move || assert!(n < 10, "too long")))
                },
                "too long",
            ),
        ];
        for (k, (read, why)) in cases.into_iter().enumerate() {
            let settings = settings(1000 + k as u64);
            let report = bout(&made_up(read), &settings).unwrap();
            let [failure] = &report.failures[..] else { panic!("{why}: {:?}", report.failures) };
            assert!(failure.why.contains(why), "{}", failure.why);
            let bytes = fs::read(&failure.path).unwrap();
            assert!(replay(&made_up(read), &bytes, &settings.out).unwrap().unwrap_err().contains(why));
            fs::remove_dir_all(settings.out).unwrap();
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_inputs() {
        let read: crate::formats::Read =
            |path| Err(format!("{}: {}", path.display(), u32::from(fs::read(path).unwrap().iter().fold(0u8, |a, b| a.wrapping_add(*b)))));
        let (a, b) = (settings(999), settings(999));
        let reports = [a, b].map(|settings| bout(&made_up(read), &settings).unwrap());
        assert_eq!((reports[0].inputs, reports[0].answers), (999, reports[1].answers));
        fs::remove_dir_all(settings(999).out).unwrap();
    }

    #[test]
    fn answers_differ_by_their_check() {
        assert_eq!(kind(": `a b`: 12 bytes, expected \"x\""), kind(": `c`: 7 bytes, expected \"yz\""));
        assert_eq!(kind(": found \"a \\\" b\" there"), kind(": found \"c\" there"));
        assert_ne!(kind(": 12 bytes"), kind(": 12 events"));
    }
}
