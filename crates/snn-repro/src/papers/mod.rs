//! The papers, one file each. To add one: write `papers/x.rs` with a `pub const PAPER: Paper` and add `x` to the list below.

use crate::Paper;

/// Declares the module of each paper and lists them in the given order.
macro_rules! papers {
    ($($name:ident),+ $(,)?) => {
        $(pub mod $name;)+

        /// Every paper, in the order of the list.
        pub fn all() -> &'static [&'static Paper] {
            &[$(&$name::PAPER),+]
        }
    };
}

papers! {
    ssgd, eprop, lsnn, deep_r, grad_r, fs_conversion, amos, crnn_music_tagging, spinnaker2_sampling, brainscales_patterns,
    brainscales_sampling, pcm_eprop, nm_l2l, egru, st_rsbp, scsr_bip, neuroevolution, pathnet, lsm_l2l,
    stdp_em
}

/// The paper called `id`.
pub fn find(id: &str) -> Option<&'static Paper> {
    all().iter().copied().find(|paper| paper.id == id)
}

/// The name nearest to `word`, if any is near: what a misspelling may have meant.
///
/// ```
/// use snn_repro::papers::nearest;
/// assert_eq!(nearest("Tain-step", ["train-step", "event-step"]), Some("train-step"));
/// assert_eq!(nearest("something else", ["train-step"]), None);
/// ```
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let (name, distance) = names.into_iter().map(|name| (name, edits(&word, name))).min_by_key(|&(_, distance)| distance)?;
    (distance <= 1 + name.chars().count() / 3).then_some(name)
}

/// Insertions, deletions and replacements that turn `a` into `b` (Levenshtein).
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.chars().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[row.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_paper_is_whole() {
        for (k, paper) in all().iter().enumerate() {
            assert!(all()[..k].iter().all(|other| other.id != paper.id), "two papers are called {}", paper.id);
            assert!(
                paper.id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{}: a name of a-z, 0-9, _",
                paper.id
            );
            assert!(!paper.about.contains('\n'), "{}: `about` is one line", paper.id);
            assert!(paper.claims.iter().any(|claim| claim.headline), "{}: no claim for the first page", paper.id);
            for (k, claim) in paper.claims.iter().enumerate() {
                assert!(claim.seeds >= 1, "{}: {}: a claim needs a seed", paper.id, claim.what);
                assert!(paper.claims[..k].iter().all(|c| c.what != claim.what), "{}: two claims are called {}", paper.id, claim.what);
            }
        }
    }

    #[test]
    fn edits_of_known_pairs() {
        for (a, b, n) in [("", "", 0), ("ssgd", "ssgd", 0), ("sgd", "ssgd", 1), ("kitten", "sitting", 3), ("", "abc", 3)] {
            assert_eq!(edits(a, b), n, "{a} → {b}");
        }
    }
}
