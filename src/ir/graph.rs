//! The graph: nodes in an order in which every node uses only earlier ones.

use std::fmt;
use std::ops::Index;

use super::{Attrs, Kernel, Lower, Op, Signature};
use crate::base::Span;
use crate::ty::Type;

/// A node of a graph; prints as `%7`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

impl NodeId {
    /// As an index into per-node tables.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.0)
    }
}

/// How often a node's value exists in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Once for the whole batch.
    Once,
    /// Once for each example.
    Each,
}

/// One application of an op.
#[derive(Clone, Debug)]
pub struct Node {
    /// What is applied.
    pub op: &'static Op,
    /// To what.
    pub inputs: Vec<NodeId>,
    /// With which static arguments.
    pub attrs: Attrs,
    /// The type of the result, of one example where the level is [`Level::Each`].
    pub ty: Type,
    /// How often the value exists.
    pub level: Level,
    /// The text it comes from.
    pub span: Span,
    /// A name for people: the layer's path (`Cnn.conv2d_2`) or a `let`; may be empty.
    pub scope: String,
}

/// A list of nodes. Append with the [`super::Builder`].
#[derive(Clone, Debug, Default)]
pub struct Graph {
    pub(super) nodes: Vec<Node>,
}

impl Graph {
    /// A graph without nodes.
    pub fn new() -> Graph {
        Graph::default()
    }

    /// A graph of these nodes, unchecked: for passes that drop nodes or break the law on purpose, as tests of
    /// [`super::verify`] do, which checks it.
    pub fn from_nodes(nodes: Vec<Node>) -> Graph {
        Graph { nodes }
    }

    /// The nodes, in order.
    pub fn into_nodes(self) -> Vec<Node> {
        self.nodes
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Keeps the first nodes only.
    pub fn truncate(&mut self, nodes: usize) {
        self.nodes.truncate(nodes);
    }

    /// Whether there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Every node with its id, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate().map(|(i, node)| (NodeId(i as u32), node))
    }

    /// The kernel kind of a node; none where its op lowers to other ops.
    pub fn kernel(&self, id: NodeId) -> Option<Kernel> {
        self.kernel_of(&self[id])
    }

    /// The kernel kind of a node whose inputs stand in this graph.
    pub fn kernel_of(&self, node: &Node) -> Option<Kernel> {
        let types: Vec<&Type> = node.inputs.iter().map(|input| &self[*input].ty).collect();
        match node.op.lower {
            Lower::Ops(_) => None,
            Lower::Kernel(kernel) => {
                Some(kernel(&Signature { inputs: &types, attrs: &node.attrs }, &node.ty))
            }
        }
    }

    /// Every id, in order.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + use<> {
        (0..self.nodes.len() as u32).map(NodeId)
    }
}

impl Index<NodeId> for Graph {
    type Output = Node;
    fn index(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }
}
