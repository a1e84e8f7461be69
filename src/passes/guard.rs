//! Makes every update wait for a finite loss: a step whose loss is not finite leaves all variables as they
//! were, so that the last finite state can be saved and the fault looked for.

use crate::ir::computation::{Computation, Update};
use crate::ir::{Builder, NodeId};
use crate::ops;
use crate::ty::{Shape, Type};

/// Rewrites the updates to keep the old value where `loss`, a `Once` scalar, is not finite.
pub fn guard(computation: Computation, loss: NodeId, types: &[Type]) -> Computation {
    let Computation { graph, outputs, updates } = computation;
    let mut b = Builder::on(graph);
    // x - x is 0 for finite x, and NaN for the others.
    let difference = ops::sub(&mut b, loss, loss);
    let zero = ops::zeros_like(&mut b, difference);
    let finite = ops::eq(&mut b, difference, zero);
    let guarded = updates.iter().map(|update| {
        let shape: &Shape = &types[update.variable.0 as usize].shape;
        let old = ops::variable(&mut b, update.variable, shape);
        let finite = ops::broadcast(&mut b, finite, shape);
        Update { value: ops::select(&mut b, finite, update.value, old), ..*update }
    });
    let updates = guarded.collect();
    Computation { graph: b.graph, outputs, updates }
}
