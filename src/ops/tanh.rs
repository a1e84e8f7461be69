//! `tanh`: the hyperbolic tangent.

use super::common::{elementwise, elementwise_cases, map1};
use super::{mul, one_minus};
use crate::ir::kernel::Scalar;
use crate::ir::{Arity, Attrs, Builder, Grad, Kernel, LevelRule, Lower, NodeId, Op};

/// `tanh(x)`.
pub fn tanh(b: &mut Builder, x: NodeId) -> NodeId {
    b.add(&OP, &[x], Attrs::none())
}

fn grad(b: &mut Builder, y: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    // d tanh(x) / dx = 1 - tanh(x)^2
    let square = mul(b, y, y);
    let slope = one_minus(b, square);
    vec![Some(mul(b, g, slope))]
}

/// The record.
pub static OP: Op = Op {
    name: "tanh",
    doc: "The hyperbolic tangent of each element.\n\n\
          `x: f32[..] -> f32[..]`\n\n\
          Example: `tanh([0, 1]) = [0, 0.761594156]`",
    attrs: &[],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape: elementwise,
    grad: Grad::Rule(grad),
    lower: Lower::Kernel(|_, _| Kernel::Map(Scalar::Tanh)),
    reference: |call| map1(call, f64::tanh),
    cases: || elementwise_cases(1, -4.0, 4.0),
};
