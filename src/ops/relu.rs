//! `relu`: what is positive.

use super::common::{elementwise, elementwise_cases, map1};
use super::{lt, maximum, select, zeros_like};
use crate::ir::{Arity, Attrs, Builder, Grad, LevelRule, Lower, NodeId, Op};

/// `x` where it is positive, else 0.
pub fn relu(b: &mut Builder, x: NodeId) -> NodeId {
    b.add(&OP, &[x], Attrs::none())
}

fn grad(b: &mut Builder, y: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let zero = zeros_like(b, y);
    let positive = lt(b, zero, y);
    vec![Some(select(b, positive, g, zero))]
}

/// The record. An op of its own because its gradient at 0 is 0, other than that of `maximum(x, 0)`.
pub static OP: Op = Op {
    name: "relu",
    doc: "Each element where it is positive, else 0.\n\n\
          `x: f32[..] -> f32[..]`\n\n\
          The gradient at 0 is 0. What is not a number stays so.\n\n\
          Example: `relu([-1, 0, 2]) = [0, 0, 2]`\n\n\
          Source: Nair and Hinton, Rectified linear units improve restricted Boltzmann machines, 2010.",
    attrs: &[],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape: elementwise,
    grad: Grad::Rule(grad),
    lower: Lower::Ops(|b, node| {
        let x = b.graph[node].inputs[0];
        let zero = zeros_like(b, x);
        maximum(b, x, zero)
    }),
    reference: |call| map1(call, |x| if x < 0.0 { 0.0 } else { x }),
    cases: || elementwise_cases(1, -2.0, 2.0),
};
