//! `neg`: the negative of each element.

use super::common::{elementwise, elementwise_cases, map1};
use crate::ir::kernel::Scalar;
use crate::ir::{Arity, Attrs, Builder, Grad, Kernel, LevelRule, Lower, NodeId, Op};

/// `-x`.
pub fn neg(b: &mut Builder, x: NodeId) -> NodeId {
    b.add(&OP, &[x], Attrs::none())
}

fn grad(b: &mut Builder, _: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    vec![Some(neg(b, g))]
}

/// The record.
pub static OP: Op = Op {
    name: "neg",
    doc: "The negative of each element.\n\n\
          `x: f32[..] -> f32[..]`\n\n\
          Written `-x`.\n\n\
          Example: `neg([1, -2]) = [-1, 2]`",
    attrs: &[],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape: elementwise,
    grad: Grad::Rule(grad),
    lower: Lower::Kernel(|_, _| Kernel::Map(Scalar::Neg)),
    reference: |call| map1(call, |x| -x),
    cases: || elementwise_cases(1, -2.0, 2.0),
};
