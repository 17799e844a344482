//! Store and recall: remember the value that was shown with the last STORE until a RECALL asks for it.

use crate::{
    drawn::{Answer, Drawn, Task, steps},
    error::{DataError, check, count},
    fire::{fire, rate},
};
use rand::{Rng, RngExt};
use snn_core::{Cue, Seed};
use std::ops::Range;

const OF: &str = "StoreRecallParams";

/// One symbol of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Symbol {
    /// A value that is to be passed by.
    Value(usize),
    /// A value that is to be kept.
    Store(usize),
    /// The question, and the value that is the answer: the one of the last store.
    Recall(usize),
}

/// What a trial of store-recall is like. The default is the published program of the LSNN: 2.4 s.
///
/// | field | default | eLife 2021 | meaning |
/// |---|---|---|---|
/// | `group` | 25 | 10 | input channels of each of the four groups: value 0, value 1, STORE, RECALL |
/// | `symbols` | 12 | 20 | symbols of a trial |
/// | `symbol` | 200 | 200 | steps of a symbol |
/// | `probability` | 1/7 | 1/11 | of the next STORE or RECALL at a symbol: the mean delay is `1/probability` symbols |
/// | `rate` | 50 Hz | 50 Hz | rate of a group that is on |
/// | `dt` | 1 ms | 1 ms | length of a step |
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct StoreRecallParams {
    /// Channels per group, at least 1.
    pub group: usize,
    /// Symbols of a trial, at least 3.
    pub symbols: usize,
    /// Steps of a symbol, at least 1.
    pub symbol: usize,
    /// Probability of STORE at a symbol while nothing is kept, and of RECALL while something is; at least 10⁻⁶ and below 1.
    pub probability: f64,
    /// Rate (Hz) of a group that is on, above 0 and at most `1/dt`.
    pub rate: f64,
    /// Length of a step in seconds, above 0.
    pub dt: f64,
}

impl Default for StoreRecallParams {
    fn default() -> Self {
        StoreRecallParams { group: 25, symbols: 12, symbol: 200, probability: 1.0 / 7.0, rate: 50.0, dt: 1e-3 }
    }
}

/// Where a sentence stands: what may come next.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Nothing has been stored yet.
    Empty,
    /// The symbol before was a store: a value must follow.
    Stored,
    /// A value is kept.
    Holding,
    /// All that was stored has been recalled: the only state to end in.
    Recalled,
}
use State::{Empty, Holding, Recalled, Stored};

impl State {
    /// The states after a symbol that is no signal and after one that is; `None` where a sentence with it is not valid.
    fn next(self) -> (Option<State>, Option<State>) {
        match self {
            Empty | Recalled => (Some(self), Some(Stored)),
            Stored => (Some(Holding), None),
            Holding => (Some(Holding), Some(Recalled)),
        }
    }
}

impl StoreRecallParams {
    /// The setting of the 2021 paper (eLife 10:e65459): 40 inputs, 20 symbols, a mean delay of ten.
    pub fn elife() -> Self {
        StoreRecallParams { group: 10, symbols: 20, probability: 1.0 / 11.0, ..Default::default() }
    }

    /// The steps of symbol `k`.
    fn at(&self, k: usize) -> Range<usize> {
        k * self.symbol..(k + 1) * self.symbol
    }

    /// Where the signals of a sentence are. In the sequence without constraint each symbol is a signal with `probability`, STORE and RECALL in turn.
    /// A sequence is valid if it has a RECALL, ends with nothing kept, and a value follows every STORE. This draws from the valid ones with
    /// exactly their relative probabilities, without trying again: `ahead[k][s]` is, up to a factor per `k`, the probability that a sentence
    /// in state `s` before symbol `k` becomes valid.
    fn signals(&self, rng: &mut impl Rng) -> Vec<bool> {
        let weights = [1.0 - self.probability, self.probability];
        let mut ahead = vec![[0.0, 0.0, 0.0, 1.0]; self.symbols + 1];
        for k in (0..self.symbols).rev() {
            let later = ahead[k + 1];
            let of = |state: Option<State>| state.map_or(0.0, |s| later[s as usize]);
            let now = [Empty, Stored, Holding, Recalled].map(|state| weights[0] * of(state.next().0) + weights[1] * of(state.next().1));
            let most = now.iter().copied().fold(0.0, f64::max);
            ahead[k] = now.map(|p| p / most);
        }
        let mut state = Empty;
        (0..self.symbols)
            .map(|k| {
                let (plain, signal) = state.next();
                let weigh = |weight: f64, next: Option<State>| next.map_or(0.0, |s| weight * ahead[k + 1][s as usize]);
                let (stay, go) = (weigh(weights[0], plain), weigh(weights[1], signal));
                let is_signal = go > 0.0 && rng.random::<f64>() * (stay + go) >= stay;
                // What is chosen has weight: the state before could become valid, so one of the two has.
                state = (if is_signal { signal } else { plain }).unwrap_or(state);
                is_signal
            })
            .collect()
    }

    /// The symbols of a trial.
    pub fn sentence(&self, seed: Seed) -> Vec<Symbol> {
        let mut rng = seed.child("sentence").rng();
        let mut kept = None;
        self.signals(&mut rng)
            .into_iter()
            .map(|signal| {
                let value = usize::from(rng.random::<bool>());
                match (signal, kept) {
                    (false, _) => Symbol::Value(value),
                    (true, None) => {
                        kept = Some(value);
                        Symbol::Store(value)
                    }
                    (true, Some(value)) => {
                        kept = None;
                        Symbol::Recall(value)
                    }
                }
            })
            .collect()
    }

    /// The trials `range` of a task without end: symbols one after the other, and a class in the window of each RECALL.
    ///
    /// Channels `0..group` stand for value 0, then value 1, STORE and RECALL. A group that is on fires at `rate`, the others are silent. With a
    /// value its group is on; with STORE the value's group and the STORE group; with RECALL the RECALL group alone. Values are fair coins, also
    /// the one after a STORE. Signals come as described at `probability`; a sentence that lacks a RECALL, ends with something kept or has no value
    /// after a STORE does not occur, and all others have the relative probabilities of the unconstrained sequence. Trial `n` draws from
    /// `seed.nth(n)`.
    ///
    /// Source: Bellec, Salaj, Subramoney, Legenstein and Maass 2018 (arXiv:1803.09574), program LSNN-official (`generate_storerecall_data`), which
    /// draws sentences until one is valid: the same distribution.
    ///
    /// ```
    /// use snn_core::{Dataset, Seed, Target};
    /// let task = snn_data::StoreRecallParams::default().trials(Seed::new(1), 0..100)?;
    /// let Target::Cues(recalls) = task.target(0) else { unreachable!() };
    /// assert!(!recalls.is_empty() && recalls[0].end - recalls[0].start == 200);
    /// assert_eq!((task.inputs(), task.steps(), task.classes()), (100, 2400, 2));
    /// # Ok::<(), snn_data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// [`DataError::Parameter`] for a value outside its range.
    pub fn trials(&self, seed: Seed, range: Range<u64>) -> Result<Drawn<Self>, DataError> {
        check((1..1 << 30).contains(&self.group), OF, "group", self.group, "from 1 to 2³⁰ − 1")?;
        count(OF, "symbol", self.symbol)?;
        check(self.symbols >= 3, OF, "symbols", self.symbols, "at least 3: a store, a value, a recall")?;
        steps(OF, "symbols · symbol", [(self.symbols, self.symbol)])?;
        check((1e-6..1.0).contains(&self.probability), OF, "probability", self.probability, "at least 10⁻⁶ and below 1")?;
        rate(OF, "rate", self.rate, self.dt)?;
        Ok(Drawn::new(self.clone(), seed, range))
    }
}

impl Task for StoreRecallParams {
    fn name(&self) -> &'static str {
        "store-recall"
    }
    fn inputs(&self) -> usize {
        4 * self.group
    }
    fn steps(&self) -> usize {
        self.symbols * self.symbol
    }
    fn classes(&self) -> usize {
        2
    }
    fn answer(&self, seed: Seed) -> Answer {
        let cue = |(k, symbol): (usize, Symbol)| match symbol {
            Symbol::Recall(value) => Some(Cue { start: self.at(k).start as u32, end: self.at(k).end as u32, class: value as u32 }),
            _ => None,
        };
        Answer::Cues(self.sentence(seed).into_iter().enumerate().filter_map(cue).collect())
    }
    fn draw(&self, seed: Seed, into: &mut Vec<(u32, u32)>) {
        let mut rng = seed.child("spikes").rng();
        for (k, symbol) in self.sentence(seed).into_iter().enumerate() {
            let mut on = |group: usize| {
                fire(&mut rng, self.rate * self.dt, self.at(k), group * self.group..(group + 1) * self.group, into);
            };
            match symbol {
                Symbol::Value(value) => on(value),
                Symbol::Store(value) => {
                    on(value);
                    on(2);
                }
                Symbol::Recall(_) => on(3),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use snn_core::{Dataset, Raster, Target};
    use std::collections::HashMap;

    /// Certain spikes in short symbols.
    fn clear() -> StoreRecallParams {
        StoreRecallParams { group: 2, symbol: 3, rate: 1000.0, ..Default::default() }
    }

    /// The published criterion, read from the spikes: `(signals, wanted answers)` of a sentence, if it is valid.
    fn read(groups: &[Vec<u32>]) -> Option<Vec<(usize, usize)>> {
        let (mut kept, mut answers) = (None, Vec::new());
        for (k, on) in groups.iter().enumerate() {
            match on[..] {
                [0 | 1] => {}
                [value @ (0 | 1), 2] => {
                    let value_follows = groups.get(k + 1).is_some_and(|next| matches!(next[..], [0 | 1]));
                    if kept.is_some() || !value_follows {
                        return None;
                    }
                    kept = Some(value as usize);
                }
                [3] => answers.push((k, kept.take()?)),
                _ => return None,
            }
        }
        (kept.is_none() && !answers.is_empty()).then_some(answers)
    }

    #[test]
    fn each_recall_asks_for_the_value_of_the_one_store_before_it() {
        for params in [clear(), StoreRecallParams { group: 2, symbol: 3, rate: 1000.0, ..StoreRecallParams::elife() }] {
            let task = params.trials(Seed::new(1), 0..500).unwrap();
            let mut raster = Raster::default();
            for i in 0..500 {
                task.load(i, &mut raster);
                let groups: Vec<Vec<u32>> = (0..params.symbols)
                    .map(|k| {
                        let units = raster.at(3 * k);
                        assert!((1..3).all(|t| raster.at(3 * k + t) == units));
                        assert!(units.iter().step_by(2).zip(units.iter().skip(1).step_by(2)).all(|(a, b)| a + 1 == *b && a % 2 == 0));
                        units.iter().step_by(2).map(|u| u / 2).collect()
                    })
                    .collect();
                let answers = read(&groups).unwrap_or_else(|| panic!("trial {i} is not valid: {groups:?}"));
                let cues: Vec<Cue> =
                    answers.iter().map(|&(k, v)| Cue { start: 3 * k as u32, end: 3 * k as u32 + 3, class: v as u32 }).collect();
                assert_eq!(task.target(i), Target::Cues(&cues));
            }
        }
    }

    /// Signals as the published program draws them: again and again until the sentence is valid.
    fn resampled(length: usize, p: f64, rng: &mut impl Rng) -> Vec<bool> {
        loop {
            let mut kept = false;
            let signals: Vec<bool> = (0..length).map(|_| rng.random::<f64>() < p).collect();
            let mut valid = signals.iter().any(|&s| s);
            for k in 0..length {
                if signals[k] {
                    kept = !kept;
                    valid &= !kept || (k + 1 < length && !signals[k + 1]);
                }
            }
            if valid && !kept {
                return signals;
            }
        }
    }

    #[test]
    fn signals_have_the_distribution_of_resampling_until_valid() {
        let (length, p) = (6, 0.3);
        // Exactly: every subset of positions with its weight.
        let mut exact: HashMap<Vec<bool>, f64> = HashMap::new();
        for mask in 0..1u32 << length {
            let signals: Vec<bool> = (0..length).map(|k| mask >> k & 1 == 1).collect();
            let places: Vec<usize> = (0..length).filter(|&k| signals[k]).collect();
            let pairs = !places.is_empty() && places.len().is_multiple_of(2);
            if pairs && places.chunks(2).all(|pair| pair[1] > pair[0] + 1) {
                exact.insert(signals, p_of(&places, length, p));
            }
        }
        let total: f64 = exact.values().sum();
        let params = StoreRecallParams { symbols: length, probability: p, ..clear() };
        let n = 100_000;
        let draw: [&dyn Fn(u64) -> Vec<bool>; 2] =
            [&|i| params.signals(&mut Seed::new(1).nth(i).rng()), &|i| resampled(length, p, &mut Seed::new(2).nth(i).rng())];
        for draw in draw {
            let mut counts: HashMap<Vec<bool>, f64> = HashMap::new();
            (0..n).for_each(|i| *counts.entry(draw(i)).or_default() += 1.0);
            assert!(counts.keys().all(|signals| exact.contains_key(signals)));
            for (signals, weight) in &exact {
                let expected = weight / total;
                let error = (expected * (1.0 - expected) / n as f64).sqrt();
                let got = counts.get(signals).copied().unwrap_or_default() / n as f64;
                assert!((got - expected).abs() < 4.5 * error, "{signals:?}: {got}, not {expected}");
            }
        }
    }

    fn p_of(places: &[usize], length: usize, p: f64) -> f64 {
        p.powi(places.len() as i32) * (1.0 - p).powi((length - places.len()) as i32)
    }

    #[test]
    fn long_and_unlikely_sentences_are_drawn_as_fast() {
        for (symbols, probability) in [(3, 0.999), (1000, 0.9), (5000, 1e-6), (4, 1e-6)] {
            let params = StoreRecallParams { symbols, probability, ..clear() };
            let signals = params.signals(&mut Seed::new(1).rng());
            assert_eq!(signals.len(), symbols);
            assert!(signals.iter().filter(|&&s| s).count() >= 2);
        }
    }

    #[test]
    fn values_are_fair_and_rates_the_given_ones() {
        let task = StoreRecallParams::default().trials(Seed::new(3), 0..400).unwrap();
        let mut raster = Raster::default();
        let (mut ones, mut recalls, mut spikes, mut group_steps, mut after) = (0.0f64, 0.0f64, 0.0f64, 0.0f64, [0.0f64; 2]);
        for i in 0..400 {
            let Target::Cues(cues) = task.target(i) else { panic!() };
            ones += cues.iter().map(|c| f64::from(c.class)).sum::<f64>();
            recalls += cues.len() as f64;
            let sentence = task.task().sentence(task.seed(i));
            group_steps += sentence.iter().map(|s| if matches!(s, Symbol::Store(_)) { 400.0 } else { 200.0 }).sum::<f64>();
            for pair in sentence.windows(2) {
                if let [Symbol::Store(a), Symbol::Value(b)] = pair {
                    after[usize::from(a == b)] += 1.0;
                }
            }
            if i < 40 {
                task.load(i, &mut raster);
                spikes += raster.len() as f64;
            }
        }
        assert!((ones / recalls - 0.5).abs() < 2.0 / recalls.sqrt(), "{ones} of {recalls}");
        // The value after a store is no hint: inverted half of the time.
        assert!((after[0] / (after[0] + after[1]) - 0.5).abs() < 2.0 / recalls.sqrt(), "{after:?}");
        let expected = group_steps / 10.0 * 25.0 * 0.05;
        assert!((spikes / expected - 1.0).abs() < 0.05, "{spikes} spikes, not {expected}");
    }

    #[test]
    fn a_trial_is_its_number() {
        let at = |seed, range: Range<u64>, i| {
            let mut raster = Raster::default();
            StoreRecallParams::default().trials(Seed::new(seed), range).unwrap().load(i, &mut raster);
            raster
        };
        assert_eq!(at(1, 0..9, 5), at(1, 5..6, 0));
        assert_ne!(at(1, 0..9, 5), at(1, 0..9, 6));
        assert_ne!(at(1, 0..9, 5), at(2, 0..9, 5));
    }

    #[test]
    fn parameters_are_checked() {
        let bad = |params: StoreRecallParams| params.trials(Seed::new(0), 0..1).err().unwrap().to_string();
        assert!(bad(StoreRecallParams { symbols: 2, ..clear() }).contains("symbols = 2"));
        assert!(bad(StoreRecallParams { symbols: usize::MAX, ..clear() }).contains("symbols · symbol"));
        assert!(bad(StoreRecallParams { probability: 1.0, ..clear() }).contains("probability = 1"));
        assert!(bad(StoreRecallParams { probability: f64::NAN, ..clear() }).contains("probability = NaN"));
        assert!(bad(StoreRecallParams { group: 0, ..clear() }).contains("group = 0"));
        assert!(bad(StoreRecallParams { rate: 0.0, ..clear() }).contains("rate = 0"));
    }
}
