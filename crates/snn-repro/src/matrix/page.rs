//! The table of combinations as a page.

use std::collections::BTreeMap;

use super::{Axes, Cell, Matrix, Outcome, SOFTWARE};

impl Outcome {
    /// A word for tables: the share of the loss that is left, in per cent.
    fn word(&self) -> String {
        match self {
            Outcome::Works { before, after } => format!("{:.0} %", 100.0 * after / before),
            Outcome::Refused { .. } => "–".into(),
            Outcome::Broken { .. } => "**broken**".into(),
        }
    }
}

impl Matrix {
    /// How many work, are refused, and are broken.
    pub fn counts(&self) -> [usize; 3] {
        let mut counts = [0; 3];
        for cell in &self.cells {
            counts[match cell.outcome {
                Outcome::Works { .. } => 0,
                Outcome::Refused { .. } => 1,
                Outcome::Broken { .. } => 2,
            }] += 1;
        }
        counts
    }

    /// The combinations that went wrong.
    pub fn broken(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(|cell| matches!(cell.outcome, Outcome::Broken { .. }))
    }
}

type Name = fn(&Cell) -> &'static str;

/// The matrix as Markdown: pairs of axes with everything else plain, then counts over all combinations, then the reasons of refusals.
pub fn markdown(matrix: &Matrix) -> String {
    let Axes { rules, neurons, links, machines, structures } = &matrix.axes;
    let [works, refused, broken] = matrix.counts();
    let axes: [(&str, &[&'static str], Name); 5] = [
        ("rule", rules, |c| c.rule),
        ("neuron", neurons, |c| c.neuron),
        ("links", links, |c| c.links),
        ("machine", machines, |c| c.machine),
        ("structural rule", structures, |c| c.structure),
    ];
    let mut text = format!(
        "# What goes with what\n\nEvery learning rule × neuron × kind of links × machine × structural rule, tried: {} combinations of a network with 16 inputs and 8 hidden neurons, \
         30 updates each, 200 of devices that are pulsed. **{works} work** (the mean loss of the last five is below that of the first five), **{refused} are refused** by a typed error that says why, **{broken} are broken**. Made by `snn matrix --all --out docs/matrix.md`; \
         `snn matrix --all --json` gives every combination.\n\nMachines other than `{SOFTWARE}` run every trial, and the rule learns from what they recorded; with `on pcm devices` the weights live on \
         phase-change memory while they learn.\n",
        matrix.cells.len()
    );
    for (a, one) in axes.iter().enumerate() {
        for other in &axes[a + 1..] {
            text += &pair(matrix, one, other, &axes);
        }
    }
    text += "\n## Why combinations are refused\n\n";
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for cell in &matrix.cells {
        if let Outcome::Refused { why } = &cell.outcome {
            *reasons.entry(why).or_default() += 1;
        }
    }
    let mut reasons: Vec<(&str, usize)> = reasons.into_iter().collect();
    reasons.sort_by_key(|&(why, count)| (std::cmp::Reverse(count), why));
    reasons.iter().for_each(|(why, count)| text += &format!("- {count} ×: {}\n", why.replace('\n', " ")));
    if broken > 0 {
        text += "\n## Broken\n\n";
        for Cell { rule, neuron, links, machine, structure, outcome } in matrix.broken() {
            if let Outcome::Broken { why } = outcome {
                text += &format!("- {rule}, {neuron}, {links}, {machine}, {structure}: {why}\n");
            }
        }
    }
    text
}

/// One pair of axes: the share of the loss that is left where everything else is plain, and how many combinations with both work.
fn pair(
    matrix: &Matrix,
    (one, rows, of_row): &(&str, &[&'static str], Name),
    (other, columns, of_column): &(&str, &[&'static str], Name),
    axes: &[(&str, &[&'static str], Name)],
) -> String {
    let plain = |cell: &Cell, (name, entries, of): &(&str, &[&'static str], Name)| name == one || name == other || of(cell) == entries[0];
    let mut text = format!("\n## {} × {other}\n\n| | {} |\n|---|{}\n", capital(one), columns.join(" | "), "---|".repeat(columns.len()));
    for row in *rows {
        let cells = columns.iter().map(|column| {
            let here: Vec<&Cell> = matrix.cells.iter().filter(|cell| of_row(cell) == *row && of_column(cell) == *column).collect();
            let works = here.iter().filter(|cell| matches!(cell.outcome, Outcome::Works { .. })).count();
            let word = here.iter().find(|cell| axes.iter().all(|axis| plain(cell, axis))).map_or(String::new(), |cell| cell.outcome.word());
            format!("{word} ({works}/{})", here.len())
        });
        text += &format!("| {row} | {} |\n", cells.collect::<Vec<_>>().join(" | "));
    }
    text
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
