//! Language models: characters of Shakespeare, and words of WikiText-2. State is carried from passage to passage, gradients end where a passage begins.

use super::{C_PARITY, C_SILENT, W_PARITY, W_PRODUCTS, W_SILENT};
use super::{CLIP, RATE_PENALTY, SURROGATE, Shape, THRESHOLD, surrogate};
use crate::Lab;
use anyhow::Result;
use snn_core::{Dataset, Seed};
use snn_data::{Passages, Token, Vocabulary};
use snn_learn::{Bptt, Loss, Optimiser, Options, Over, RateOver, Regulariser, Schedule, SparseBptt, Stats, Trainer};

/// What both language models share: thresholds that stay, no output trace.
const TEXT: Shape =
    Shape { inputs: 0, units: 0, outputs: 0, embedded: false, threshold: (THRESHOLD, false), keep: 0.0, gain: (1.0, 1.0), trace: 0.0 };

/// Texts that are read side by side in evaluation. Chosen.
const READ: usize = 8;

/// A text cut in three, each read in lanes.
struct Text {
    train: Passages,
    validation: Passages,
    test: Passages,
    vocabulary: Vocabulary,
}

impl Text {
    fn new(vocabulary: Vocabulary, [learned, held, asked]: [&str; 3], steps: usize, lanes: usize) -> Result<Text> {
        let passages = |name: &str, text: &str, lanes: usize| Passages::new(name, &vocabulary, text, steps)?.in_lanes(lanes);
        let (train, validation) = (passages("training text", learned, lanes)?, passages("validation text", held, READ)?);
        Ok(Text { train, validation, test: passages("test text", asked, READ)?, vocabulary })
    }
}

/// How both networks learn.
struct Plan {
    name: &'static str,
    shape: Shape,
    epochs: usize,
    lr: f64,
    lanes: usize,
    /// Events per unit and step that the penalty asks for. Chosen, so that four in five steps are silent.
    asked: f64,
    /// Share of the recurrent weights that every update leaves out.
    left_out: f64,
}

/// A trained network: perplexity on the validation and on the test text, and what it did on the latter.
struct Model {
    validation: f64,
    test: f64,
    stats: Stats,
}

impl Plan {
    /// The dense network and the event-based one, trained alike but for the penalty on events.
    fn learn(&self, lab: &mut Lab, text: &Text, seed: Seed) -> Result<[Model; 2]> {
        let options = Options {
            batch: self.lanes,
            carry: true,
            clip: Some(CLIP),
            schedule: Schedule::Cosine { epochs: self.epochs as f64 },
            ..Options::new(Loss::CrossEntropy(Over::Last), seed.child("training"))
        };
        let penalty = lab.scale().pick(0.0, RATE_PENALTY, RATE_PENALTY);
        let sparse = Options { regulariser: Regulariser::rate(penalty, self.asked, RateOver::Trial), ..options };
        let (surrogate, optimiser) = (surrogate(SURROGATE), Optimiser::adam(self.lr));
        let dense = Trainer::new(&self.shape.gru(seed)?, Bptt::new(surrogate).events_in(), optimiser, options)?;
        let events = Trainer::new(&self.shape.egru(seed)?, SparseBptt { surrogate }, optimiser, sparse)?;
        let mut learn = |kind: &str, trainer: Trainer| -> Result<Model> {
            let mut trainer = trainer.with_drop_connect("hidden", "hidden", self.left_out)?;
            let name = format!("{}, {kind}", self.name);
            lab.train(&name, &mut trainer, self.epochs, &text.train, Some(&text.validation))?;
            let (validation, stats) = (trainer.evaluate(&text.validation)?, trainer.evaluate(&text.test)?);
            Ok(Model { validation: validation.mean_loss().exp(), test: stats.mean_loss().exp(), stats })
        };
        Ok([learn("dense", dense)?, learn("events", events)?])
    }
}

impl Model {
    /// Products of a step on the test text.
    fn products(&self, text: &Text) -> f64 {
        self.stats.macs_forward as f64 / (self.stats.trials * text.test.steps()) as f64
    }
}

/// A language model of characters. The last tenth is the test text, the tenth before it the validation text.
pub(super) fn characters(lab: &mut Lab, text: &str) -> Result<()> {
    let seed = lab.seed().child("characters");
    let (units, epochs, lr) = lab.scale().pick((16, 1, 1e-3), (160, 3, 4e-3), (512, 60, 1e-3));
    let (steps, lanes) = (64, 32);
    let tenth = |k: usize| text.char_indices().nth(text.chars().count() * k / 10).map_or(text.len(), |(place, _)| place);
    let parts = [&text[..tenth(8)], &text[tenth(8)..tenth(9)], &text[tenth(9)..]];
    let text = Text::new(Vocabulary::new(text, Token::Character, 1000)?, parts, steps, lanes)?;
    let symbols = text.vocabulary.tokens().len();
    let shape = Shape { inputs: symbols, units, outputs: symbols, ..TEXT };
    let plan = Plan { name: "characters", shape, epochs, lr, lanes, asked: 0.12, left_out: 0.0 };
    let [dense, events] = plan.learn(lab, &text, seed)?;
    lab.note(format!(
        "characters of Shakespeare, {units} units: perplexity on the test text {:.3} dense, {:.3} with events; validation {:.3} and {:.3}; {:.0} products a step, {:.0} dense",
        dense.test,
        events.test,
        dense.validation,
        events.validation,
        events.products(&text),
        shape.dense_products()
    ));
    lab.report(C_PARITY, 100.0 * (events.test / dense.test - 1.0))?;
    Ok(lab.report(C_SILENT, 100.0 * (1.0 - events.stats.spike_fraction(shape.hidden())))?)
}

/// A language model of words, its output layer tied to its embedding. What WikiText-2 calls its validation text is learned from, but for its last tenth, by which settings were chosen; the
/// vocabulary is of what is learned from.
pub(super) fn words(lab: &mut Lab, valid: &str, test: &str) -> Result<()> {
    let seed = lab.seed().child("words");
    let (units, most, epochs, lr) = lab.scale().pick((16, 100, 1, 1e-3), (384, 2_000, 5, 3e-3), (750, 14_000, 100, 1e-3));
    let (steps, lanes) = (35, 16);
    let lines: Vec<usize> = valid.match_indices('\n').map(|(place, _)| place + 1).collect();
    let twentieths = |k: usize| lines.get(lines.len() * k / 20).copied().unwrap_or(valid.len());
    let (end, begin) = lab.scale().pick((1, 19), (18, 18), (18, 18));
    let (learned, held) = (&valid[..twentieths(end)], &valid[twentieths(begin)..]);
    let vocabulary = Vocabulary::new(learned, Token::Word, most)?;
    let text = Text::new(vocabulary, [learned, held, test], steps, lanes)?;
    let known = text.vocabulary.tokens().len();
    let shape = Shape { inputs: known, units, outputs: known, embedded: true, gain: (1.0, 2.0), ..TEXT };
    let plan = Plan { name: "words", shape, epochs, lr, lanes, asked: 0.2, left_out: LEFT_OUT };
    let [dense, events] = plan.learn(lab, &text, seed)?;
    let products = events.products(&text);
    lab.note(format!(
        "words of WikiText-2, the {known} most frequent and one for all others, {units} units: perplexity on the test text {:.1} dense, {:.1} with events; held out {:.1} and {:.1}; \
         {products:.0} products a step, {:.0} dense (paper, Penn Treebank, three layers of 1350, 1350 and 750 units: 4.7 M and 24 M [sub])",
        dense.test,
        events.test,
        dense.validation,
        events.validation,
        shape.dense_products()
    ));
    lab.report(W_PARITY, 100.0 * (events.test / dense.test - 1.0))?;
    lab.report(W_SILENT, 100.0 * (1.0 - events.stats.spike_fraction(shape.hidden())))?;
    Ok(lab.report(W_PRODUCTS, products / shape.dense_products())?)
}

/// Share of the recurrent weights that an update of the word models leaves out. Chosen; 0.7 in three layers of 1350 units [code].
const LEFT_OUT: f64 = 0.2;
