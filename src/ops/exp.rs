//! `exp`: e to the power of each element.

use super::common::{elementwise, elementwise_cases, map1};
use super::mul;
use crate::ir::kernel::Scalar;
use crate::ir::{Arity, Attrs, Builder, Grad, Kernel, LevelRule, Lower, NodeId, Op};

/// `exp(x)`.
pub fn exp(b: &mut Builder, x: NodeId) -> NodeId {
    b.add(&OP, &[x], Attrs::none())
}

fn grad(b: &mut Builder, y: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    vec![Some(mul(b, g, y))]
}

/// The record.
pub static OP: Op = Op {
    name: "exp",
    doc: "e to the power of each element.\n\n\
          `x: f32[..] -> f32[..]`\n\n\
          Example: `exp([0, 1]) = [1, 2.718281828]`",
    attrs: &[],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape: elementwise,
    grad: Grad::Rule(grad),
    lower: Lower::Kernel(|_, _| Kernel::Map(Scalar::Exp)),
    reference: |call| map1(call, f64::exp),
    cases: || elementwise_cases(1, -4.0, 4.0),
};
