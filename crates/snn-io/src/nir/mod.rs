//! NIR, the Neuromorphic Intermediate Representation: spiking networks as other tools save them, HDF5 inside.
//!
//! A [`Graph`] is nodes, each a [`Primitive`] with its parameters or a graph again, and edges between them. It is what the file says, number by number and in the
//! file's own precision.
//!
//! Source: J. E. Pedersen et al. 2024, "Neuromorphic intermediate representation: a unified instruction set for interoperable brain-inspired computing",
//! doi:10.1038/s41467-024-52259-9, and the Python package `nir` 1.0.8.

mod cells;
mod convention;
mod export;
mod flat;
mod graph;
mod maps;
mod network;

pub use convention::{AfterSpike, Convention, Current, Decay, Integrate, Spikes};
pub use export::{Export, export};
pub use graph::{Graph, Kind, Metadata, Node, Primitive};
pub use network::network;

use crate::{
    IoError, atomic,
    hdf5::{Array, Tree, encode_tree},
};
use graph::{Fault, type_of};
use snn_core::NetworkError;
use std::path::Path;

/// The version of NIR that is written.
const VERSION: &str = "1.0";

/// Why a graph cannot be run.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NirError {
    /// A node, an edge or a parameter that is not covered.
    #[error("`{place}`: {why}")]
    Node {
        /// Which one, and its primitive.
        place: String,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// Parts that do not fit one another.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

impl From<Fault> for NirError {
    fn from(Fault { place, why }: Fault) -> Self {
        NirError::Node { place, why }
    }
}

/// Reads a graph.
///
/// Memory: as for [`Tree::read`], twice.
///
/// # Errors
/// As [`Tree::read`]; [`IoError::Content`] also for a file that is no NIR graph, and by the node's name for a primitive that NIR 1.0 does not have, a parameter
/// that is missing, unknown or of another type, and an edge to nowhere or given twice.
///
/// ```
/// use snn_io::nir::{self, Graph, Kind, Primitive};
/// let graph = Graph::default()
///     .node("in", Primitive::new(Kind::Input).whole("shape", &[2]))
///     .node("w", Primitive::new(Kind::Linear).floats("weight", [1, 2], vec![0.5, -1.0]))
///     .node("out", Primitive::new(Kind::Output).whole("shape", &[1]))
///     .chain(&["in", "w", "out"]);
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("sum.nir");
/// nir::write(&path, &graph)?;
/// assert_eq!(nir::read(&path)?, graph);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read(path: impl AsRef<Path>) -> Result<Graph, IoError> {
    let path = path.as_ref();
    decode(path, &Tree::read(path)?)
}

fn decode(path: &Path, tree: &Tree) -> Result<Graph, IoError> {
    const PLACE: &str = "node";
    let decode = || {
        let Some(root) = tree.get(PLACE) else {
            return Err(Fault::at("file", "expected a NIR graph, a group `node`; is it another kind of HDF5 file?"));
        };
        match type_of(root, PLACE)? {
            "NIRGraph" => {}
            other => return Err(Fault::at(PLACE, format!("expected a NIRGraph, found `{other}`"))),
        }
        let graph = Graph::from_tree(root, PLACE)?;
        graph.check(PLACE).map(|()| graph)
    };
    decode().map_err(|fault: Fault| in_file(path, fault))
}

fn in_file(path: &Path, fault: Fault) -> IoError {
    IoError::content(path, format!("`{}`", fault.place), fault.why)
}

/// Writes a graph, atomically; folders are created. Memory: three times the graph.
///
/// # Errors
/// [`IoError::Content`] for a graph that [`read`] would refuse, or whose names HDF5 cannot hold; [`IoError::Os`] from the system.
pub fn write(path: impl AsRef<Path>, graph: &Graph) -> Result<(), IoError> {
    let path = path.as_ref();
    graph.check("node").map_err(|fault| in_file(path, fault))?;
    let tree = Tree::Group([("version".into(), Tree::Array(Array::text(VERSION))), ("node".into(), graph.to_tree())].into());
    atomic::write(path, &encode_tree(path, &tree)?)
}
