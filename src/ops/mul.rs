//! `mul`: the product of two tensors, element by element.

use super::common::{elementwise, elementwise_cases, map2};
use crate::ir::kernel::Scalar;
use crate::ir::{Arity, Attrs, Builder, Grad, Kernel, LevelRule, Lower, NodeId, Op};

/// `x * y`, of one shape.
pub fn mul(b: &mut Builder, x: NodeId, y: NodeId) -> NodeId {
    b.add(&OP, &[x, y], Attrs::none())
}

fn grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let [x, y] = b.graph[node].inputs[..] else { return Vec::new() };
    vec![Some(mul(b, g, y)), Some(mul(b, g, x))]
}

/// The record.
pub static OP: Op = Op {
    name: "mul",
    doc: "The product of two tensors, element by element.\n\n\
          `x: f32[..], y: f32[..] -> f32[..]`\n\n\
          Written `x * y`.\n\n\
          Example: `mul([1, 2], [3, 4]) = [3, 8]`",
    attrs: &[],
    arity: Arity::Exactly(2),
    level: LevelRule::Join,
    shape: elementwise,
    grad: Grad::Rule(grad),
    lower: Lower::Kernel(|_, _| Kernel::Map(Scalar::Mul)),
    reference: |call| map2(call, |x, y| x * y),
    cases: || elementwise_cases(2, -2.0, 2.0),
};
