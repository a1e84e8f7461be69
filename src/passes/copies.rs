//! Results that are nothing but the old value of a variable get memory of their own, where the variable
//! changes in the same step: else the host would read, or another variable would take, its new value.

use std::collections::HashSet;

use super::{Pass, rewrite};
use crate::ir::computation::VariableId;
use crate::ir::kernel::{Kernel, Source};
use crate::ir::{Builder, Computation, Graph, NodeId};
use crate::ops;

/// The pass.
pub static PASS: Pass = Pass {
    name: "copies",
    help: "copies old values of variables that are results and change in the step",
    required: true,
    run: copy_changing,
};

fn copy_changing(computation: Computation) -> Computation {
    let Computation { graph, mut outputs, mut updates } = computation;
    let changing: HashSet<VariableId> = updates
        .iter()
        .filter(|update| source(&graph, update.value) != Some(Source::Variable(update.variable)))
        .map(|update| update.variable)
        .collect();
    let mut b = Builder::on(graph);
    for (_, node) in &mut outputs {
        *node = if old_value_of(&b.graph, *node, &changing) { copy(&mut b, *node) } else { *node };
    }
    for update in updates.iter_mut().filter(|update| changing.contains(&update.variable)) {
        if old_value_of(&b.graph, update.value, &changing) {
            update.value = copy(&mut b, update.value);
        }
    }
    Computation { graph: b.graph, outputs, updates }
}

fn source(graph: &Graph, id: NodeId) -> Option<Source> {
    match graph.kernel(id) {
        Some(Kernel::Source(source)) => Some(source),
        _ => None,
    }
}

/// Whether a node stands in the memory of one of these variables: it is the variable, or a reshape of it.
fn old_value_of(graph: &Graph, id: NodeId, changing: &HashSet<VariableId>) -> bool {
    let mut id = id;
    while graph.kernel(id) == Some(Kernel::Reshape) {
        id = graph[id].inputs[0];
    }
    matches!(source(graph, id), Some(Source::Variable(variable)) if changing.contains(&variable))
}

/// The same elements in other memory: a slice of all of them.
fn copy(b: &mut Builder, id: NodeId) -> NodeId {
    let extents = b.shape(id).to_vec();
    let (start, stride) = (vec![0; extents.len()], vec![1; extents.len()]);
    rewrite::stand_at(b, id);
    ops::slice(b, id, &start, &extents, &stride)
}
