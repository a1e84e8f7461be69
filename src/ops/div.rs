//! `div`: the quotient of two tensors, element by element.

use super::common::{elementwise, elementwise_cases, map2};
use super::{mul, neg};
use crate::ir::kernel::Scalar;
use crate::ir::{Arity, Attrs, Builder, Grad, Kernel, LevelRule, Lower, NodeId, Op};

/// `x / y`, of one shape.
pub fn div(b: &mut Builder, x: NodeId, y: NodeId) -> NodeId {
    b.add(&OP, &[x, y], Attrs::none())
}

fn grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let y = b.graph[node].inputs[1];
    let dx = div(b, g, y);
    // d (x / y) / dy = -(x / y) / y
    let down = mul(b, dx, node);
    vec![Some(dx), Some(neg(b, down))]
}

/// The record.
pub static OP: Op = Op {
    name: "div",
    doc: "The quotient of two tensors, element by element.\n\n\
          `x: f32[..], y: f32[..] -> f32[..]`\n\n\
          Written `x / y`.\n\n\
          Example: `div([3, 1], [2, 4]) = [1.5, 0.25]`",
    attrs: &[],
    arity: Arity::Exactly(2),
    level: LevelRule::Join,
    shape: elementwise,
    grad: Grad::Rule(grad),
    lower: Lower::Kernel(|_, _| Kernel::Map(Scalar::Div)),
    reference: |call| map2(call, |x, y| x / y),
    cases: || elementwise_cases(2, 0.5, 3.0),
};
