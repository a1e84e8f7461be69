//! What passes share: rebuilding a graph node by node.

use crate::ir::builder::Place;
use crate::ir::{Builder, Computation, Graph, Node, NodeId};

/// Rebuilds a computation in order. `place` gets each node, its inputs already renamed, and appends what
/// stands for it; what it appends belongs to the same place in the source text.
pub fn rebuild(computation: Computation, mut place: impl FnMut(&mut Builder, Node) -> NodeId) -> Computation {
    let mut b = Builder::default();
    let mut renamed: Vec<NodeId> = Vec::with_capacity(computation.graph.len());
    for mut node in computation.graph.into_nodes() {
        node.inputs.iter_mut().for_each(|input| *input = renamed[input.index()]);
        b.span = Place(node.span);
        b.scope.clone_from(&node.scope);
        renamed.push(place(&mut b, node));
    }
    let rename = |id: NodeId| renamed[id.index()];
    let Computation { outputs, mut updates, .. } = computation;
    updates.iter_mut().for_each(|update| update.value = rename(update.value));
    let outputs = outputs.into_iter().map(|(name, node)| (name, rename(node))).collect();
    Computation { graph: b.graph, outputs, updates }
}

/// Appends a node as it is.
pub fn copy(b: &mut Builder, node: Node) -> NodeId {
    b.add(node.op, &node.inputs, node.attrs)
}

/// A computation without the nodes that no output and no update needs.
pub fn drop_unneeded(computation: Computation) -> Computation {
    let mut needed = vec![false; computation.graph.len()];
    computation.roots().for_each(|id| needed[id.index()] = true);
    for (id, node) in computation.graph.iter().rev() {
        if needed[id.index()] {
            node.inputs.iter().for_each(|input| needed[input.index()] = true);
        }
    }
    if needed.iter().all(|needed| *needed) {
        return computation;
    }
    let Computation { graph, mut outputs, mut updates } = computation;
    let mut renamed = vec![NodeId(u32::MAX); graph.len()];
    let mut nodes = Vec::new();
    for (at, mut node) in graph.into_nodes().into_iter().enumerate() {
        if needed[at] {
            node.inputs.iter_mut().for_each(|input| *input = renamed[input.index()]);
            renamed[at] = NodeId(nodes.len() as u32);
            nodes.push(node);
        }
    }
    outputs.iter_mut().for_each(|(_, node)| *node = renamed[node.index()]);
    updates.iter_mut().for_each(|update| update.value = renamed[update.value.index()]);
    Computation { graph: Graph::from_nodes(nodes), outputs, updates }
}

/// What is appended next belongs to the place in the source text that a node belongs to.
pub fn stand_at(b: &mut Builder, id: NodeId) {
    b.span = Place(b.graph[id].span);
    b.scope = b.graph[id].scope.clone();
}
