//! Ways to break a file.

#![allow(clippy::ptr_arg)] // all ways have one type

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Mutated files do not grow beyond this: chosen, twice the largest of the corpus.
const LONGEST: usize = 1 << 17;

/// What a way draws from: chance, other files of the same format, and the format's words.
pub struct Draw<'a> {
    /// All randomness.
    pub rng: &'a mut ChaCha8Rng,
    /// A file to take pieces from.
    pub other: &'a [u8],
    /// Words that the format gives a meaning.
    pub words: &'a [&'a str],
}

impl Draw<'_> {
    /// A number below `n`; 0 if there is none.
    fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { self.rng.random_range(0..n) }
    }

    /// One of several.
    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    /// Where a piece of `n` bytes begins and ends; short ones are as likely as long ones.
    fn piece(&mut self, n: usize) -> std::ops::Range<usize> {
        let from = self.below(n);
        let bits = self.below(usize::BITS as usize - n.leading_zeros() as usize + 1) as u32;
        let length = 1 + self.below(1 << bits);
        from..(from + length).min(n)
    }
}

/// One way to break a file.
pub type Way = fn(&mut Vec<u8>, &mut Draw<'_>);

/// All of them.
pub const WAYS: &[Way] = &[
    flip,
    set,
    cut,
    remove,
    repeat,
    repeat_often,
    paste,
    join,
    swap,
    fill,
    length_field,
    length_field,
    step,
    number,
    number,
    word,
    line,
    insert,
];

/// Breaks `bytes` in one to eight ways, few being likelier.
pub fn mutate(bytes: &mut Vec<u8>, draw: &mut Draw<'_>) {
    loop {
        draw.of(WAYS)(bytes, draw);
        bytes.truncate(LONGEST);
        if draw.rng.random_bool(0.5) {
            return;
        }
    }
}

/// One bit.
fn flip(bytes: &mut Vec<u8>, draw: &mut Draw<'_>) {
    let (at, bit) = (draw.below(bytes.len()), draw.below(8));
    bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << bit);
}

/// One byte.
fn set(bytes: &mut Vec<u8>, draw: &mut Draw<'_>) {
    let (at, value) = (draw.below(bytes.len()), draw.rng.random());
    bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = value);
}

/// A file that ends early.
fn cut(bytes: &mut Vec<u8>, draw: &mut Draw<'_>) {
    bytes.truncate(draw.below(bytes.len()));
}

/// A piece less.
fn remove(bytes: &mut Vec<u8>, draw: &mut Draw<'_>) {
    let piece = draw.piece(bytes.len());
    bytes.drain(piece);
}

/// A piece twice.
fn repeat(bytes: &mut Vec<u8>, draw: &mut Draw<'_>) {
    let piece = bytes[draw.piece(bytes.len())].to_vec();
    let at = draw.below(bytes.len() + 1);
    bytes.splice(at..at, piece);
}

/// A short piece many times: nesting, lists without end.
fn repeat_often(bytes: &mut Vec<u8>, draw: &mut Draw<'_>) {
    let piece = draw.piece(bytes.len());
    let (at, length) = (piece.start, piece.len().min(64));
    let times = 1usize << draw.below(13);
    let many = bytes[at..at + length].repeat(times.min(LONGEST / length.max(1)));
    bytes.splice(at..at, many);
}

/// A piece of another file over what stands there.
fn paste(bytes: &mut Vec<u8>, draw: &mut Draw<'_>) {
    let piece = draw.piece(draw.other.len());
    // As often in its own place as in any.
    let at = if draw.rng.random() { draw.below(bytes.len()) } else { piece.start };
    bytes.iter_mut().skip(at).zip(&draw.other[piece]).for_each(|(byte, new)| *byte = *new);
}

/// The beginning of this file and the end of another.
fn join(bytes: &mut Vec<u8>, draw: &mut Draw<'_>) {
    bytes.truncate(draw.below(bytes.len()));
    bytes.extend(&draw.other[draw.below(draw.other.len())..]);
}

/// Two pieces in each other's place.
fn swap(bytes: &mut Vec<u8>, draw: &mut Draw<'_>) {
    let (a, b) = (draw.piece(bytes.len()), draw.below(bytes.len()));
    let length = a.len().min(bytes.len() - b).min(a.start.abs_diff(b));
    for k in 0..length {
        bytes.swap(a.start + k, b + k);
    }
}

/// A piece of the same byte.
fn fill(bytes: &mut Vec<u8>, draw: &mut Draw<'_>) {
    let (piece, value) = (draw.piece(bytes.len()), draw.of(&[0, 1, 0x7f, 0x80, 0xff, b'(', b'[', b'0', b'\n']));
    bytes[piece].fill(value);
}

/// A whole number of 1, 2, 4 or 8 bytes, in either order, that a length must not be: 0, 1, the largest, the smallest, the file's own length, and their neighbours.
fn length_field(bytes: &mut Vec<u8>, draw: &mut Draw<'_>) {
    let width = draw.of(&[1, 2, 4, 8]);
    let largest = u64::MAX >> (64 - 8 * width);
    let long = bytes.len() as u64;
    let value =
        draw.of(&[0, 1, 2, largest, largest - 1, largest / 2, largest / 2 + 1, long, long + 1, long * 8, 1 << 20, 1 << 31, 1 << 40]);
    put(bytes, draw, width, |_| value);
}

/// Such a number a little larger or smaller than it is.
fn step(bytes: &mut Vec<u8>, draw: &mut Draw<'_>) {
    let (width, by) = (draw.of(&[1, 2, 4, 8]), draw.below(33) as u64);
    put(bytes, draw, width, |old| old.wrapping_add(by).wrapping_sub(16));
}

/// Replaces a whole number of `width` bytes somewhere.
fn put(bytes: &mut [u8], draw: &mut Draw<'_>, width: usize, new: impl Fn(u64) -> u64) {
    let Some(last) = bytes.len().checked_sub(width) else { return };
    let at = draw.below(last + 1);
    let at = if draw.rng.random() { at / width * width } else { at };
    let field = &mut bytes[at..at + width];
    let mut wide = [0; 8];
    if draw.rng.random() {
        wide[..width].copy_from_slice(field);
        field.copy_from_slice(&new(u64::from_le_bytes(wide)).to_le_bytes()[..width]);
    } else {
        wide[8 - width..].copy_from_slice(field);
        field.copy_from_slice(&new(u64::from_be_bytes(wide)).to_be_bytes()[8 - width..]);
    }
}

/// Another number in the place of one that is written in digits.
fn number(bytes: &mut Vec<u8>, draw: &mut Draw<'_>) {
    const STRANGE: &[&str] = &[
        "0",
        "-0",
        "1",
        "-1",
        "2",
        "3",
        "7",
        "255",
        "65536",
        "4294967295",
        "4294967296",
        "9223372036854775807",
        "18446744073709551615",
        "1e-300",
        "1e-9",
        "0.5",
        "1e39",
        "1e308",
        "1e999",
        "-1e999",
        "NaN",
        "inf",
        "1e",
        "1.5.2",
        "",
        "null",
        "\"1\"",
        "[1]",
        "0x10",
        "1_000",
    ];
    let part = |byte: &u8| byte.is_ascii_digit() || b".-+eE".contains(byte);
    let starts: Vec<usize> = (0..bytes.len()).filter(|&k| bytes[k].is_ascii_digit() && (k == 0 || !part(&bytes[k - 1]))).collect();
    if starts.is_empty() {
        return;
    }
    let at = draw.of(&starts);
    let length = bytes[at..].iter().take_while(|byte| part(byte)).count();
    bytes.splice(at..at + length, draw.of(STRANGE).bytes());
}

/// One of the format's words over another, or between.
fn word(bytes: &mut Vec<u8>, draw: &mut Draw<'_>) {
    if draw.words.is_empty() {
        return;
    }
    let (at, word) = (draw.below(bytes.len() + 1), draw.of(draw.words).as_bytes());
    // A place where a word stands already, if there is one: then the new one may make sense.
    let old = draw.of(draw.words).as_bytes();
    let place = bytes[at..].windows(old.len()).position(|piece| piece == old).map(|k| at + k..at + k + old.len());
    bytes.splice(place.unwrap_or(at..at), word.iter().copied());
}

/// A line of text less, or twice.
fn line(bytes: &mut Vec<u8>, draw: &mut Draw<'_>) {
    let at = draw.below(bytes.len());
    let from = bytes[..at].iter().rposition(|&byte| byte == b'\n').map_or(0, |k| k + 1);
    let to = bytes[at..].iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |k| at + k + 1);
    let line = if draw.rng.random() { bytes[from..to].repeat(2) } else { Vec::new() };
    bytes.splice(from..to, line);
}

/// New bytes.
fn insert(bytes: &mut Vec<u8>, draw: &mut Draw<'_>) {
    let (at, count) = (draw.below(bytes.len() + 1), 1 + draw.below(16));
    let new: Vec<u8> = (0..count).map(|_| draw.rng.random()).collect();
    bytes.splice(at..at, new);
}

#[cfg(test)]
mod tests {
    use super::*;
    use snn_core::Seed;

    #[test]
    fn every_way_takes_every_length_and_most_change_something() {
        let mut rng = Seed::new(1).rng();
        for way in WAYS {
            let mut changed = 0;
            for length in [0, 1, 2, 3, 7, 8, 9, 100] {
                for other in [&b""[..], b"x", b"[1.5, 2]\n{\"a\": 3}\n"] {
                    for _ in 0..20 {
                        let old: Vec<u8> = b"12, [3.5e2]\nabc\xff\0\x80 ".iter().cycle().take(length).copied().collect();
                        let mut new = old.clone();
                        way(&mut new, &mut Draw { rng: &mut rng, other, words: &["3", "abc"] });
                        changed += usize::from(new != old);
                    }
                }
            }
            assert!(changed > 60, "a way that changes nothing");
        }
    }

    #[test]
    fn the_same_seed_breaks_the_same_way_and_nothing_grows_for_ever() {
        let run = || {
            let (mut rng, mut bytes) = (Seed::new(3).rng(), b"some bytes, 1 2 3".to_vec());
            for _ in 0..3000 {
                mutate(&mut bytes, &mut Draw { rng: &mut rng, other: b"others, 4 5 6", words: &["5"] });
                assert!(bytes.len() <= LONGEST);
            }
            bytes
        };
        assert_eq!(run(), run());
    }
}
