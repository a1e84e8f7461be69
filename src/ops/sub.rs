//! `sub`: the difference of two tensors, element by element.

use super::common::{elementwise, elementwise_cases, map2};
use super::neg;
use crate::ir::kernel::Scalar;
use crate::ir::{Arity, Attrs, Builder, Grad, Kernel, LevelRule, Lower, NodeId, Op};

/// `x - y`, of one shape.
pub fn sub(b: &mut Builder, x: NodeId, y: NodeId) -> NodeId {
    b.add(&OP, &[x, y], Attrs::none())
}

fn grad(b: &mut Builder, _: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    vec![Some(g), Some(neg(b, g))]
}

/// The record.
pub static OP: Op = Op {
    name: "sub",
    doc: "The difference of two tensors, element by element.\n\n\
          `x: f32[..], y: f32[..] -> f32[..]`\n\n\
          Written `x - y`.\n\n\
          Example: `sub([3, 1], [1, 2]) = [2, -1]`",
    attrs: &[],
    arity: Arity::Exactly(2),
    level: LevelRule::Join,
    shape: elementwise,
    grad: Grad::Rule(grad),
    lower: Lower::Kernel(|_, _| Kernel::Map(Scalar::Sub)),
    reference: |call| map2(call, |x, y| x - y),
    cases: || elementwise_cases(2, -2.0, 2.0),
};
