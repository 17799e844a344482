//! A NIR graph as data: primitives with their parameters, and edges between them.

use crate::hdf5::{Array, Tree, Values};
use std::collections::{BTreeMap, BTreeSet};

/// What is wrong, said by those who do not know in which file.
pub(super) struct Fault {
    /// The node, edge or parameter.
    pub place: String,
    /// What is wrong there.
    pub why: String,
}

impl Fault {
    pub(super) fn at(place: impl Into<String>, why: impl Into<String>) -> Self {
        Fault { place: place.into(), why: why.into() }
    }
}

/// Free remarks of a node or graph, by name; they may be nested.
pub type Metadata = BTreeMap<String, Tree>;

macro_rules! kinds {
    ($($(#[$doc:meta])* $Kind:ident { $($field:literal),* $(; $($optional:literal),+)? })+) => {
        /// The primitives of NIR 1.0.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind { $($(#[$doc])* $Kind,)+ }

        impl Kind {
            /// All of them.
            pub const ALL: &[Kind] = &[$(Kind::$Kind),+];

            /// Name in files.
            pub const fn name(self) -> &'static str {
                match self { $(Kind::$Kind => stringify!($Kind),)+ }
            }
            /// Parameters that each has.
            pub const fn required(self) -> &'static [&'static str] {
                match self { $(Kind::$Kind => &[$($field),*],)+ }
            }
            /// Parameters that may be left out.
            pub const fn optional(self) -> &'static [&'static str] {
                match self { $(Kind::$Kind => &[$($($optional),+)?],)+ }
            }
        }
    };
}

kinds! {
    /// Where values enter.
    Input { "shape" }
    /// Where values leave.
    Output { "shape" }
    /// `y = W·x + b`.
    Affine { "weight", "bias" }
    /// `y = W·x`.
    Linear { "weight" }
    /// `y = s ⊙ x`.
    Scale { "scale" }
    /// A convolution over a line.
    Conv1d { "weight", "bias", "stride", "padding", "dilation", "groups"; "input_shape" }
    /// A convolution over an image.
    Conv2d { "weight", "bias", "stride", "padding", "dilation", "groups"; "input_shape" }
    /// Sums over windows of an image.
    SumPool2d { "kernel_size", "stride", "padding" }
    /// Means over windows of an image, zeros outside counted in.
    AvgPool2d { "kernel_size", "stride", "padding" }
    /// Dimensions become one; no number moves.
    Flatten { "start_dim", "end_dim"; "input_type" }
    /// `y(t) = x(t − τ)`.
    Delay { "delay" }
    /// `y = H(x − ϑ)`.
    Threshold { "threshold" }
    /// `v̇ = R·I`.
    I { "r" }
    /// `v̇ = R·I`, with a threshold.
    IF { "r", "v_threshold"; "v_reset" }
    /// `τ·v̇ = v_leak − v + R·I`.
    LI { "tau", "r", "v_leak" }
    /// The same with a threshold.
    LIF { "tau", "r", "v_leak", "v_threshold"; "v_reset" }
    /// `τ_syn·İ = −I + w_in·S`, `τ_mem·v̇ = v_leak − v + R·I`.
    CubaLI { "tau_syn", "tau_mem", "r", "v_leak"; "w_in" }
    /// The same with a threshold.
    CubaLIF { "tau_syn", "tau_mem", "r", "v_leak", "v_threshold"; "v_reset", "w_in" }
}

/// Parameters that are whole numbers; `padding` may also be a word.
const WHOLE: [&str; 10] =
    ["shape", "stride", "padding", "dilation", "groups", "input_shape", "kernel_size", "start_dim", "end_dim", "input_type"];

/// A primitive with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Primitive {
    /// Which one.
    pub kind: Kind,
    /// Its parameters by their names in NIR: see [`Kind::required`].
    pub params: BTreeMap<String, Array>,
    /// Remarks.
    pub metadata: Metadata,
}

/// A node of a graph.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// A primitive.
    Primitive(Primitive),
    /// A graph in the graph: what comes in goes to its input, what leaves its output goes out.
    Graph(Graph),
}

/// Nodes and the edges between them. Where several edges end, their values are added.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// Nodes by name.
    pub nodes: BTreeMap<String, Node>,
    /// Edges, from a node to a node.
    pub edges: Vec<[String; 2]>,
    /// Remarks.
    pub metadata: Metadata,
}

impl Primitive {
    /// A primitive without parameters.
    pub fn new(kind: Kind) -> Self {
        Primitive { kind, params: BTreeMap::new(), metadata: Metadata::new() }
    }

    /// The same with a parameter of floats.
    ///
    /// # Panics
    /// If the shape has another number of entries than there are numbers.
    #[track_caller]
    pub fn floats(self, name: &str, shape: impl Into<Vec<usize>>, numbers: Vec<f32>) -> Self {
        self.param(name, Array::new(shape, Values::F32(numbers)))
    }

    /// The same with a list of whole numbers as a parameter.
    pub fn whole(self, name: &str, numbers: &[i64]) -> Self {
        self.param(name, Array::new([numbers.len()], Values::I64(numbers.to_vec())))
    }

    /// The same with a parameter.
    pub fn param(mut self, name: &str, array: Array) -> Self {
        self.params.insert(name.into(), array);
        self
    }

    fn check(&self, place: &str) -> Result<(), Fault> {
        let (kind, required, optional) = (self.kind.name(), self.kind.required(), self.kind.optional());
        if let Some(missing) = required.iter().find(|&&name| !self.params.contains_key(name)) {
            return Err(Fault::at(format!("{place} ({kind})"), format!("the parameter `{missing}` is missing")));
        }
        for (name, array) in &self.params {
            let refuse = |why: &str| Err(Fault::at(format!("{place}/{name} ({kind})"), why));
            if !required.contains(&&**name) && !optional.contains(&&**name) {
                let known = required.iter().chain(optional).copied().collect::<Vec<_>>().join(", ");
                return refuse(&format!("there is no such parameter; {kind} has: {known}"));
            }
            let word = name == "padding" && array.as_text().is_some();
            if WHOLE.contains(&&**name) && array.whole().is_none() && !word {
                return refuse("expected whole numbers");
            }
            if array.numbers().is_none() && !word {
                return refuse("expected numbers");
            }
        }
        Ok(())
    }
}

impl From<Primitive> for Node {
    fn from(primitive: Primitive) -> Self {
        Node::Primitive(primitive)
    }
}

impl From<Graph> for Node {
    fn from(graph: Graph) -> Self {
        Node::Graph(graph)
    }
}

impl Graph {
    /// The same with another node.
    pub fn node(mut self, name: &str, node: impl Into<Node>) -> Self {
        self.nodes.insert(name.into(), node.into());
        self
    }

    /// The same with edges along a chain of nodes.
    pub fn chain(mut self, names: &[&str]) -> Self {
        self.edges.extend(names.windows(2).map(|pair| [pair[0].into(), pair[1].into()]));
        self
    }

    /// What is wrong with its parameters and edges, if anything is.
    pub(super) fn check(&self, place: &str) -> Result<(), Fault> {
        for (name, node) in &self.nodes {
            let place = format!("{place}/nodes/{name}");
            match node {
                Node::Primitive(primitive) => primitive.check(&place)?,
                Node::Graph(graph) => graph.check(&place)?,
            }
        }
        let mut seen = BTreeSet::new();
        for (k, edge) in self.edges.iter().enumerate() {
            let refuse = |why: String| Err(Fault::at(format!("{place}/edges, entry {k}"), why));
            if let Some(unknown) = edge.iter().find(|&name| !self.nodes.contains_key(name)) {
                return refuse(format!("names `{unknown}`, but there is no such node"));
            }
            if !seen.insert(edge) {
                return refuse(format!("a second edge from `{}` to `{}`", edge[0], edge[1]));
            }
        }
        Ok(())
    }

    /// The graph in a tree; its parameters and edges are not yet checked.
    pub(super) fn from_tree(tree: &Tree, place: &str) -> Result<Graph, Fault> {
        let nodes = match tree.get("nodes") {
            Some(Tree::Group(nodes)) => {
                nodes.iter().map(|(name, tree)| node(tree, &format!("{place}/nodes/{name}")).map(|n| (name.clone(), n)))
            }
            _ => return Err(Fault::at(place, "a graph without a group `nodes`")),
        };
        Ok(Graph { nodes: nodes.collect::<Result<_, _>>()?, edges: edges(tree.get("edges"), place)?, metadata: metadata(tree, place)? })
    }

    /// The tree of a graph.
    pub(super) fn to_tree(&self) -> Tree {
        let node = |node: &Node| match node {
            Node::Graph(graph) => graph.to_tree(),
            Node::Primitive(p) => {
                let params = p.params.iter().map(|(name, array)| (name.clone(), Tree::Array(array.clone())));
                group(p.kind.name(), params.collect(), &p.metadata)
            }
        };
        let nodes = Tree::Group(self.nodes.iter().map(|(name, n)| (name.clone(), node(n))).collect());
        let names = self.edges.iter().flatten().cloned().collect();
        let edges = Tree::Array(Array::new([self.edges.len(), 2], Values::Text(names)));
        group("NIRGraph", [("nodes".into(), nodes), ("edges".into(), edges)].into(), &self.metadata)
    }
}

fn group(kind: &str, mut members: BTreeMap<String, Tree>, metadata: &Metadata) -> Tree {
    members.insert("type".into(), Tree::Array(Array::text(kind)));
    if !metadata.is_empty() {
        members.insert("metadata".into(), Tree::Group(metadata.clone()));
    }
    Tree::Group(members)
}

/// What a group says it is.
pub(super) fn type_of<'a>(tree: &'a Tree, place: &str) -> Result<&'a str, Fault> {
    let text = if let Some(Tree::Array(array)) = tree.get("type") { array.as_text() } else { None };
    text.ok_or_else(|| Fault::at(place, "expected a node, a group with a text `type`"))
}

fn node(tree: &Tree, place: &str) -> Result<Node, Fault> {
    let name = type_of(tree, place)?;
    if name == "NIRGraph" {
        return Ok(Node::Graph(Graph::from_tree(tree, place)?));
    }
    let Some(&kind) = Kind::ALL.iter().find(|kind| kind.name() == name) else {
        let known = Kind::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
        return Err(Fault::at(place, format!("the primitive `{name}` is not read; there are: {known}, NIRGraph")));
    };
    let mut params = BTreeMap::new();
    if let Tree::Group(members) = tree {
        for (name, member) in members.iter().filter(|(name, _)| !matches!(&***name, "type" | "metadata")) {
            let Tree::Array(array) = member else {
                return Err(Fault::at(format!("{place}/{name}"), "expected a parameter, found a group"));
            };
            params.insert(name.clone(), array.clone());
        }
    }
    Ok(Node::Primitive(Primitive { kind, params, metadata: metadata(tree, place)? }))
}

fn metadata(tree: &Tree, place: &str) -> Result<Metadata, Fault> {
    match tree.get("metadata") {
        None => Ok(Metadata::new()),
        Some(Tree::Group(members)) => Ok(members.clone()),
        Some(Tree::Array(_)) => Err(Fault::at(format!("{place}/metadata"), "expected a group")),
    }
}

fn edges(tree: Option<&Tree>, place: &str) -> Result<Vec<[String; 2]>, Fault> {
    match tree {
        Some(Tree::Array(array)) if array.values().is_empty() => Ok(Vec::new()),
        Some(Tree::Array(array)) => match (array.shape(), array.values()) {
            (&[_, 2], Values::Text(names)) => Ok(names.chunks_exact(2).map(|pair| [pair[0].clone(), pair[1].clone()]).collect()),
            (shape, _) => Err(Fault::at(format!("{place}/edges"), format!("expected names of the shape [edges, 2], found {shape:?}"))),
        },
        _ => Err(Fault::at(place, "a graph without an array `edges`")),
    }
}
