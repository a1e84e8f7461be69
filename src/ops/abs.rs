//! `abs` and `sign`.

use super::common::{elementwise, elementwise_cases, map1, not_differentiable};
use super::mul;
use crate::ir::kernel::Scalar;
use crate::ir::{Arity, Attrs, Builder, Grad, Kernel, LevelRule, Lower, NodeId, Op};

/// The distance from 0.
pub fn abs(b: &mut Builder, x: NodeId) -> NodeId {
    b.add(&ABS, &[x], Attrs::none())
}

/// -1, 0 or 1.
pub fn sign(b: &mut Builder, x: NodeId) -> NodeId {
    b.add(&SIGN, &[x], Attrs::none())
}

fn abs_grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let x = b.graph[node].inputs[0];
    let slope = sign(b, x);
    vec![Some(mul(b, g, slope))]
}

/// The record of `abs`.
pub static ABS: Op = Op {
    name: "abs",
    doc: "The absolute value of each element.\n\n\
          `x: f32[..] -> f32[..]`\n\n\
          The gradient at 0 is 0.\n\n\
          Example: `abs([-2, 3]) = [2, 3]`",
    attrs: &[],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape: elementwise,
    grad: Grad::Rule(abs_grad),
    lower: Lower::Kernel(|_, _| Kernel::Map(Scalar::Abs)),
    reference: |call| map1(call, f64::abs),
    cases: || elementwise_cases(1, -2.0, 2.0),
};

/// The record of `sign`.
pub static SIGN: Op = Op {
    name: "sign",
    doc: "-1, 0 or 1 as each element is negative, zero or positive.\n\n\
          `x: f32[..] -> f32[..]`\n\n\
          Example: `sign([-2, 0, 3]) = [-1, 0, 1]`",
    attrs: &[],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape: elementwise,
    grad: Grad::Zero,
    lower: Lower::Kernel(|_, _| Kernel::Map(Scalar::Sign)),
    reference: |call| map1(call, |x| if x == 0.0 { 0.0 } else { x.signum() }),
    cases: || not_differentiable(elementwise_cases(1, -2.0, 2.0)),
};
