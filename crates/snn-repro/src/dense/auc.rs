//! Area under the ROC curve.

use std::ops::Range;

use snn_core::stats::mean;

/// The probability that a positive has a higher score than a negative, ties counting one half: `(R⁺ − n⁺(n⁺ + 1)/2)/(n⁺·n⁻)` with the sum
/// `R⁺` of the positives' ranks, mid-ranks for equal scores (Hanley and McNeil 1982; Mann and Whitney 1947).
///
/// None if there is no positive, no negative, or a score that is not a number. Cost O(n log n).
///
/// ```
/// use snn_repro::dense::auc::auc;
/// assert_eq!(auc(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true]), Some(0.75));
/// assert_eq!(auc(&[0.1, 0.4], &[true, true]), None);
/// ```
pub fn auc(scores: &[f32], positive: &[bool]) -> Option<f64> {
    let mut order: Vec<(f32, bool)> = scores.iter().copied().zip(positive.iter().copied()).collect();
    if order.iter().any(|(score, _)| score.is_nan()) {
        return None;
    }
    order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut ranks, mut positives, mut before) = (0.0, 0.0, 0.0);
    // −0 and 0 are equal scores: they follow each other in this order.
    for tied in order.chunk_by(|a, b| a.0 == b.0) {
        let n = tied.iter().filter(|(_, positive)| *positive).count() as f64;
        ranks += n * (before + 0.5 * (tied.len() as f64 + 1.0));
        positives += n;
        before += tied.len() as f64;
    }
    let negatives = before - positives;
    (positives * negatives > 0.0).then(|| (ranks - 0.5 * positives * (positives + 1.0)) / (positives * negatives))
}

/// The mean of [`auc`] over the tags in `range` that have both classes; none if no tag has. `scores` and `tags` are `[clips × count]`.
///
/// It is not the area under the curve of all scores together.
pub fn mean_auc(scores: &[f32], tags: &[bool], count: usize, range: Range<usize>) -> Option<f64> {
    let column = |k: usize| {
        let scores: Vec<f32> = scores.iter().skip(k).step_by(count.max(1)).copied().collect();
        let tags: Vec<bool> = tags.iter().skip(k).step_by(count.max(1)).copied().collect();
        auc(&scores, &tags)
    };
    let each: Vec<f64> = range.filter_map(column).collect();
    (!each.is_empty()).then(|| mean(&each))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;
    use snn_core::Seed;

    /// Every pair of a positive and a negative.
    fn brute(scores: &[f32], positive: &[bool]) -> Option<f64> {
        let of = |class| scores.iter().zip(positive).filter(move |(_, p)| **p == class).map(|(s, _)| *s);
        let win = |a: f32, b: f32| if a > b { 1.0 } else { 0.5 * f64::from(u8::from(a == b)) };
        let pairs: Vec<f64> = of(true).flat_map(|a| of(false).map(move |b| win(a, b))).collect();
        (!pairs.is_empty()).then(|| mean(&pairs))
    }

    #[test]
    fn perfect_reversed_and_constant() {
        let positive = [false, false, true, false, true];
        let perfect = [0.0, 0.1, 0.9, 0.3, 0.8];
        assert_eq!(auc(&perfect, &positive), Some(1.0));
        assert_eq!(auc(&perfect.map(|x| -x), &positive), Some(0.0));
        assert_eq!(auc(&[0.7; 5], &positive), Some(0.5));
        assert_eq!(auc(&[0.0, -0.0], &[true, false]), Some(0.5));
        assert_eq!(auc(&[f32::NAN, 0.0], &[true, false]), None);
        assert_eq!(auc(&[], &[]), None);
    }

    #[test]
    fn equals_the_share_of_pairs_and_does_not_see_scale() {
        for n in 0..200 {
            let mut rng = Seed::new(5).nth(n).rng();
            let len = rng.random_range(0..30);
            // Few values: many ties.
            let scores: Vec<f32> = (0..len).map(|_| rng.random_range(-4..4) as f32 * 0.5).collect();
            let positive: Vec<bool> = (0..len).map(|_| rng.random()).collect();
            let (ours, pairs) = (auc(&scores, &positive), brute(&scores, &positive));
            assert_eq!(ours.is_some(), pairs.is_some());
            if let (Some(a), Some(b)) = (ours, pairs) {
                assert!((a - b).abs() < 1e-12, "{scores:?} {positive:?}: {a} {b}");
            }
            let bent: Vec<f32> = scores.iter().map(|x| (0.3 * x).exp() - 7.0).collect();
            assert_eq!(auc(&bent, &positive), ours);
        }
    }

    #[test]
    fn tags_without_both_classes_are_left_out() {
        let (scores, tags) = ([0.1, 0.9, 0.5, 0.2, 0.2, 0.5], [true, true, false, false, true, false]);
        assert_eq!(mean_auc(&scores, &tags, 3, 0..1), Some(0.0));
        assert_eq!(mean_auc(&scores, &tags, 3, 0..3), Some(0.0));
        assert_eq!(mean_auc(&scores, &tags, 3, 1..3), None);
    }
}
