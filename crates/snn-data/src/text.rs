//! Text as a sequence of tokens, each to be told from those before it: a language model's task.

use crate::error::{DataError, check, count};
use snn_core::{Cue, Dataset, Raster, Target};
use snn_io::IoError;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// What every other token stands for that a vocabulary does not hold.
pub const UNKNOWN: &str = "<unk>";
/// End of a line in a text of words.
pub const END: &str = "<eos>";

/// The tokens a text is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// Every character is a token.
    Character,
    /// Words between blanks, and [`END`] at the end of every line.
    Word,
}

impl Token {
    fn of(self, text: &str) -> Vec<String> {
        match self {
            Token::Character => text.chars().map(String::from).collect(),
            Token::Word => text.lines().flat_map(|line| line.split_whitespace().chain([END])).map(String::from).collect(),
        }
    }
}

/// The tokens that have a number, from 0.
///
/// ```
/// use snn_data::{Token, Vocabulary};
/// let words = Vocabulary::new("the cat and the dog\n", Token::Word, 3)?;
/// assert_eq!(words.tokens(), ["the", "<eos>", "<unk>"]);        // the most frequent; equals in the order of the alphabet
/// assert_eq!(words.encode("the dog\n"), [0, 2, 1]);
/// # Ok::<(), snn_data::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Vocabulary {
    token: Token,
    tokens: Vec<String>,
    number: HashMap<String, u32>,
}

impl Vocabulary {
    /// The most frequent tokens of `text`, at most `most`, the most frequent first. Where some are left out the last is [`UNKNOWN`].
    ///
    /// # Errors
    /// [`DataError::Parameter`] if `most` is less than 2.
    pub fn new(text: &str, token: Token, most: usize) -> Result<Self, DataError> {
        check(most >= 2, "Vocabulary", "most", most, "at least 2")?;
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        token.of(text).into_iter().for_each(|t| *counts.entry(t).or_default() += 1);
        let mut ranked: Vec<(String, usize)> = counts.into_iter().collect();
        ranked.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        let cut = ranked.len() > most;
        let mut tokens: Vec<String> = ranked.into_iter().map(|(t, _)| t).take(if cut { most } else { usize::MAX }).collect();
        if cut && !tokens.iter().any(|t| t == UNKNOWN) {
            tokens.pop();
            tokens.push(UNKNOWN.into());
        }
        let number = tokens.iter().enumerate().map(|(k, t)| (t.clone(), k as u32)).collect();
        Ok(Vocabulary { token, tokens, number })
    }

    /// The tokens, in the order of their numbers.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// The numbers of the tokens of `text`. Those that it does not know are [`UNKNOWN`], or left out if it does not know that either.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let unknown = self.number.get(UNKNOWN).copied();
        self.token.of(text).iter().filter_map(|t| self.number.get(t).copied().or(unknown)).collect()
    }
}

/// Passages of so many tokens, one after the other: each token is an event of its channel for one step, and each step asks for the next token.
///
/// Perplexity is the exponential of the mean loss over the steps. Memory: 16 bytes per token.
///
/// ```
/// use snn_core::{Dataset, Raster};
/// use snn_data::{Passages, Token, Vocabulary};
/// let letters = Vocabulary::new("abab", Token::Character, 10)?;
/// let data = Passages::new("rhyme", &letters, "ababa", 2)?;
/// let mut raster = Raster::default();
/// data.load(1, &mut raster);
/// assert_eq!((data.len(), data.inputs(), raster.iter().collect::<Vec<_>>()), (2, 2, vec![(0, 0), (1, 1)]));
/// # Ok::<(), snn_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Passages {
    name: String,
    size: usize,
    steps: usize,
    tokens: Vec<u32>,
    /// Passage by passage and step by step: the token after it.
    next: Vec<Cue>,
    lanes: Option<usize>,
}

impl Passages {
    /// The passages of `text`, each of `steps` tokens; what is left at the end is left out.
    ///
    /// # Errors
    /// [`DataError::Parameter`] if `steps` is 0 or the text is too short for one passage.
    pub fn new(name: &str, vocabulary: &Vocabulary, text: &str, steps: usize) -> Result<Self, DataError> {
        count("Passages", "steps", steps)?;
        let tokens = vocabulary.encode(text);
        check(tokens.len() > steps, "Passages", "tokens of the text", tokens.len(), "more than the steps of a passage")?;
        let cue = |(k, class): (usize, &u32)| {
            let start = (k % steps) as u32;
            Cue { start, end: start + 1, class: *class }
        };
        let whole = (tokens.len() - 1) / steps * steps;
        let next = tokens[1..=whole].iter().enumerate().map(cue).collect();
        Ok(Passages { name: name.into(), size: vocabulary.tokens.len(), steps, tokens, next, lanes: None })
    }

    /// The same passages as `lanes` texts of equal length that are read side by side, from beginning to end: see [`Dataset::lanes`]. Passages that do not
    /// fill all lanes are left out at the end.
    ///
    /// # Errors
    /// [`DataError::Parameter`] if `lanes` is 0 or more than there are passages.
    pub fn in_lanes(mut self, lanes: usize) -> Result<Self, DataError> {
        let all = self.next.len() / self.steps;
        check((1..=all).contains(&lanes), "Passages", "lanes", lanes, "between 1 and the number of passages")?;
        self.next.truncate(all / lanes * lanes * self.steps);
        Ok(Passages { lanes: Some(lanes), ..self })
    }

    /// Where passage `index` begins.
    fn place(&self, index: usize) -> usize {
        self.steps * self.lanes.map_or(index, |lanes| index % lanes * (self.len() / lanes) + index / lanes)
    }
}

impl Dataset for Passages {
    fn name(&self) -> &str {
        &self.name
    }
    fn len(&self) -> usize {
        self.next.len() / self.steps
    }
    fn inputs(&self) -> usize {
        self.size
    }
    fn steps(&self) -> usize {
        self.steps
    }
    fn classes(&self) -> usize {
        self.size
    }
    fn lanes(&self) -> Option<usize> {
        self.lanes
    }
    fn load(&self, index: usize, into: &mut Raster) {
        let tokens = &self.tokens[self.place(index)..][..self.steps];
        into.reset(self.size, self.steps);
        into.write(|t, units| units.push(tokens[t]));
    }
    fn target(&self, index: usize) -> Target<'_> {
        Target::Cues(&self.next[self.place(index)..][..self.steps])
    }
}

/// A file of text: UTF-8, not empty.
fn read(set: &'static str, from: &'static str, path: &Path) -> Result<String, DataError> {
    let bytes = std::fs::read(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => {
            DataError::Missing { set, from, source: IoError::NotFound { path: path.into(), expected: "a file of text" } }
        }
        _ => IoError::Os { path: path.into(), doing: "read it", source }.into(),
    })?;
    let wrong = |found: String| DataError::Contents { path: path.into(), found, expected: "text in UTF-8".into(), from };
    let text = String::from_utf8(bytes).map_err(|e| wrong(format!("a byte that is none at {}", e.utf8_error().valid_up_to())))?;
    if text.trim().is_empty() { Err(wrong("nothing but blanks".into())) } else { Ok(text) }
}

/// `tinyshakespeare/input.txt` in `dir`: a million characters of Shakespeare's plays, without a split.
///
/// # Errors
/// [`DataError::Missing`] with where to get the file, [`DataError::Contents`] if it is no text, [`DataError::Io`].
pub fn tiny_shakespeare(dir: impl AsRef<Path>) -> Result<String, DataError> {
    read(
        "tinyshakespeare",
        "https://github.com/karpathy/char-rnn (data/tinyshakespeare)",
        &dir.as_ref().join("tinyshakespeare").join("input.txt"),
    )
}

/// A part of WikiText-2, `valid` or `test` (Merity et al. 2016, arXiv:1609.07843), in its tokenised form: `wikitext-2/PART.txt` in `dir`.
///
/// # Errors
/// As [`tiny_shakespeare`].
pub fn wikitext_2(dir: impl AsRef<Path>, part: &str) -> Result<String, DataError> {
    let path = dir.as_ref().join("wikitext-2").join(format!("{part}.txt"));
    read("wikitext-2", "https://github.com/pytorch/examples (word_language_model/data/wikitext-2)", &path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    proptest! {
        /// Every passage shows its tokens and asks for each next one; a vocabulary that holds all loses nothing.
        #[test]
        fn passages_are_the_text(text in "[a-e \n]{8,60}", steps in 1usize..7, word in any::<bool>()) {
            let token = if word { Token::Word } else { Token::Character };
            let all = token.of(&text);
            prop_assume!(all.len() > steps);
            let vocabulary = Vocabulary::new(&text, token, 1000).unwrap();
            let numbers = vocabulary.encode(&text);
            prop_assert_eq!(numbers.iter().map(|&n| vocabulary.tokens()[n as usize].clone()).collect::<Vec<_>>(), all);
            let data = Passages::new("text", &vocabulary, &text, steps).unwrap();
            prop_assert_eq!(data.len(), (numbers.len() - 1) / steps);
            let mut raster = Raster::default();
            for k in 0..data.len() {
                data.load(k, &mut raster);
                let Target::Cues(cues) = data.target(k) else { panic!("another target") };
                prop_assert_eq!(cues.len(), steps);
                for (t, cue) in cues.iter().enumerate() {
                    prop_assert_eq!(raster.at(t), &numbers[k * steps + t..][..1]);
                    prop_assert_eq!((cue.start as usize, cue.end as usize, cue.class), (t, t + 1, numbers[k * steps + t + 1]));
                }
            }
        }

        /// Lanes are stretches of the text, one after the other; each is read on from passage to passage.
        #[test]
        fn lanes_are_read_on(text in "[a-e]{12,60}", steps in 1usize..4, lanes in 1usize..4) {
            let vocabulary = Vocabulary::new(&text, Token::Character, 1000).unwrap();
            let (numbers, data) = (vocabulary.encode(&text), Passages::new("text", &vocabulary, &text, steps).unwrap().in_lanes(lanes).unwrap());
            prop_assert_eq!((data.lanes(), data.len()), (Some(lanes), (numbers.len() - 1) / steps / lanes * lanes));
            let mut raster = Raster::default();
            let mut read = vec![Vec::new(); lanes];
            for k in 0..data.len() {
                data.load(k, &mut raster);
                read[k % lanes].extend(raster.iter().map(|(_, unit)| unit));
                let Target::Cues(cues) = data.target(k) else { panic!("another target") };
                let at = k % lanes * read[0].len().max(data.len() / lanes * steps) + k / lanes * steps;
                prop_assert!(cues.iter().enumerate().all(|(t, cue)| cue.class == numbers[at + t + 1]));
            }
            let all = read.concat();
            prop_assert_eq!(&all[..], &numbers[..all.len()]);
        }

        #[test]
        fn a_small_vocabulary_keeps_the_frequent(text in "[a-h]{1,80}", most in 2usize..6) {
            let vocabulary = Vocabulary::new(&text, Token::Character, most).unwrap();
            prop_assert!(vocabulary.tokens().len() <= most);
            let count = |t: &str| text.matches(t).count();
            let known: Vec<usize> = vocabulary.tokens().iter().filter(|t| *t != UNKNOWN).map(|t| count(t)).collect();
            prop_assert!(known.windows(2).all(|w| w[0] >= w[1]));
            prop_assert_eq!(vocabulary.encode(&text).len(), text.len());
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = tiny_shakespeare(dir.path()).unwrap_err().to_string();
        assert!(error.contains("input.txt") && error.contains("char-rnn"), "{error}");
        fs::create_dir(dir.path().join("wikitext-2")).unwrap();
        fs::write(dir.path().join("wikitext-2/valid.txt"), [b'a', 0xff]).unwrap();
        let error = wikitext_2(dir.path(), "valid").unwrap_err().to_string();
        assert!(error.contains("valid.txt") && error.contains("none at 1"), "{error}");
        fs::write(dir.path().join("wikitext-2/valid.txt"), " \n").unwrap();
        assert!(wikitext_2(dir.path(), "valid").unwrap_err().to_string().contains("nothing but blanks"));
        let vocabulary = Vocabulary::new("ab", Token::Character, 5).unwrap();
        assert!(Passages::new("x", &vocabulary, "ab", 0).unwrap_err().to_string().contains("steps = 0"));
        assert!(Passages::new("x", &vocabulary, "ab", 2).unwrap_err().to_string().contains("tokens of the text = 2"));
        let two = || Passages::new("x", &vocabulary, "ababa", 2).unwrap();
        assert!(two().in_lanes(3).unwrap_err().to_string().contains("lanes = 3") && two().in_lanes(0).is_err());
        assert!(Vocabulary::new("ab", Token::Character, 1).unwrap_err().to_string().contains("most = 1"));
    }

    #[test]
    fn the_real_texts_have_the_published_sizes() {
        let Some(dir) = std::env::var_os("SNN_DATA") else {
            println!("skipped: set SNN_DATA to the folder that holds tinyshakespeare/ and wikitext-2/");
            return;
        };
        assert_eq!(tiny_shakespeare(&dir).unwrap().len(), 1_115_394);
        for (part, tokens) in [("valid", 217_646), ("test", 245_569)] {
            assert_eq!(Token::Word.of(&wikitext_2(&dir, part).unwrap()).len(), tokens);
        }
    }
}
