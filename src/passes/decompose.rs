//! Expands ops that are defined by other ops, until every node has a kernel kind.
//!
//! It also writes the sum over the batch of a value that is the same for all examples as a product with
//! their number, so that later a sum over the batch is always one of `Each` values; a batch of it as a repeat.

use super::{Pass, rewrite};
use crate::ir::{Builder, Computation, Kernel, Level, Lower, Node, NodeId};
use crate::ops;

/// The pass.
pub static PASS: Pass = Pass {
    name: "decompose",
    help: "expands operations that are defined by other operations",
    required: true,
    run: expand_all,
};

/// How deep definitions may nest: more would be a circle.
const DEPTH: usize = 32;

fn expand_all(computation: Computation) -> Computation {
    let mut computation = rewrite::drop_unneeded(computation);
    for _ in 0..DEPTH {
        let expandable = computation.graph.iter().any(|(_, node)| matches!(node.op.lower, Lower::Ops(_)));
        let constant_sum = computation.graph.ids().any(|id| sums_once(&computation, id));
        if !expandable && !constant_sum {
            return computation;
        }
        computation = rewrite::drop_unneeded(rewrite::rebuild(computation, expand));
    }
    let left = computation.graph.iter().find(|(_, node)| matches!(node.op.lower, Lower::Ops(_)));
    panic!("the definition of {} leads back to itself", left.map_or("batch_sum", |(_, node)| node.op.name));
}

/// Whether a node sums or collects a `Once` value over the batch.
fn sums_once(computation: &Computation, id: NodeId) -> bool {
    let graph = &computation.graph;
    let once = graph[id].inputs.first().is_some_and(|input| graph[*input].level == Level::Once);
    once && graph[id].level == Level::Once
        && matches!(graph.kernel(id), Some(Kernel::BatchSum | Kernel::Batch))
}

fn expand(b: &mut Builder, node: Node) -> NodeId {
    let (lower, input) = (node.op.lower, node.inputs.first().copied());
    let once = input.filter(|input| b.graph[*input].level == Level::Once);
    if let (Some(input), Some(Kernel::BatchSum)) = (once, b.graph.kernel_of(&node)) {
        let count = ops::batch_size(b);
        let count = ops::broadcast_like(b, count, input);
        return ops::mul(b, input, count);
    }
    if let (Some(input), Some(Kernel::Batch)) = (once, b.graph.kernel_of(&node)) {
        return ops::broadcast(b, input, &node.ty.shape);
    }
    let id = rewrite::copy(b, node);
    match lower {
        Lower::Ops(expand) => expand(b, id),
        Lower::Kernel(_) => id,
    }
}
