//! A graph together with what is wanted of it.

use super::{Graph, NodeId};

/// A variable (a parameter or a state) of the experiment, an index into its list of variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VariableId(pub u32);

/// A new value for a variable, written when the step is complete: every read of the variable in the
/// graph sees the old value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// What is written.
    pub variable: VariableId,
    /// The node that holds the new value; `Once`, of the variable's type.
    pub value: NodeId,
}

/// What one step computes: the unit that passes rewrite, and that is compiled or interpreted.
#[derive(Clone, Debug, Default)]
pub struct Computation {
    /// The nodes.
    pub graph: Graph,
    /// Named results that the host reads after the step. A result at level `Each` is read as `[batch, ..]`.
    pub outputs: Vec<(String, NodeId)>,
    /// New values of variables.
    pub updates: Vec<Update>,
}

impl Computation {
    /// Every node that must be computed, outputs first.
    pub fn roots(&self) -> impl Iterator<Item = NodeId> {
        self.outputs.iter().map(|(_, node)| *node).chain(self.updates.iter().map(|u| u.value))
    }
}
