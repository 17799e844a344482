//! What goes with what: nothing that is taken may go wrong, and everything goes with something.

use snn_core::Seed;
use snn_repro::matrix::{Axes, Cell, Outcome, markdown, matrix};

#[test]
fn nothing_is_broken() {
    let matrix = matrix(2, Seed::new(1), &|| Ok(())).unwrap();
    let broken: Vec<&Cell> = matrix.broken().collect();
    assert!(broken.is_empty(), "{broken:#?}");
    assert_eq!(matrix.cells.len(), Axes::all().combinations(2).len());
    let works = |of: fn(&Cell) -> &'static str, name: &str| {
        matrix.cells.iter().any(|cell| of(cell) == name && matches!(cell.outcome, Outcome::Works { .. }))
    };
    let Axes { rules, neurons, links, machines, structures } = &matrix.axes;
    // These two are for machines and for conversion: no gradient rule takes them.
    let learning = |name: &&&str| !["lif_cond", "few_spikes"].contains(*name);
    rules.iter().for_each(|name| assert!(works(|c| c.rule, name), "{name}"));
    neurons.iter().filter(learning).for_each(|name| assert!(works(|c| c.neuron, name), "{name}"));
    links.iter().for_each(|name| assert!(works(|c| c.links, name), "{name}"));
    machines.iter().for_each(|name| assert!(works(|c| c.machine, name), "{name}"));
    structures.iter().for_each(|name| assert!(works(|c| c.structure, name), "{name}"));
    let page = markdown(&matrix);
    assert!(page.contains("| sparse_bptt |") && page.contains("**0 are broken**") && page.contains("rule `eprop`: projection"), "{page}");
}

#[test]
fn combinations_of_all_axes_and_of_pairs() {
    let axes =
        Axes { rules: vec!["a", "b"], neurons: vec!["c", "d", "e"], links: vec!["f"], machines: vec!["g", "h"], structures: vec!["i"] };
    assert_eq!(axes.combinations(5).len(), 2 * 3 * 2);
    assert_eq!(axes.combinations(0), [[0; 5]]);
    // One for the plain case, 1 + 2 + 1 with one other entry.
    assert_eq!(axes.combinations(1).len(), 5);
    assert_eq!(axes.combinations(1)[1], [0, 0, 0, 1, 0]);
}
