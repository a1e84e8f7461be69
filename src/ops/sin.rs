//! `sin` and `cos`.

use super::common::{elementwise, elementwise_cases, map1};
use super::{mul, neg};
use crate::ir::kernel::Scalar;
use crate::ir::{Arity, Attrs, Builder, Grad, Kernel, LevelRule, Lower, NodeId, Op};

/// The sine of an angle in radians.
pub fn sin(b: &mut Builder, x: NodeId) -> NodeId {
    b.add(&SIN, &[x], Attrs::none())
}

/// The cosine of an angle in radians.
pub fn cos(b: &mut Builder, x: NodeId) -> NodeId {
    b.add(&COS, &[x], Attrs::none())
}

fn sin_grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let x = b.graph[node].inputs[0];
    let slope = cos(b, x);
    vec![Some(mul(b, g, slope))]
}

fn cos_grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let x = b.graph[node].inputs[0];
    let slope = sin(b, x);
    let against = mul(b, g, slope);
    vec![Some(neg(b, against))]
}

/// The record of `sin`.
pub static SIN: Op = Op {
    name: "sin",
    doc: "The sine of each element, in radians.\n\n\
          `x: f32[..] -> f32[..]`\n\n\
          Example: `sin([0, 1]) = [0, 0.841470985]`",
    attrs: &[],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape: elementwise,
    grad: Grad::Rule(sin_grad),
    lower: Lower::Kernel(|_, _| Kernel::Map(Scalar::Sin)),
    reference: |call| map1(call, f64::sin),
    cases: || elementwise_cases(1, -7.0, 7.0),
};

/// The record of `cos`.
pub static COS: Op = Op {
    name: "cos",
    doc: "The cosine of each element, in radians.\n\n\
          `x: f32[..] -> f32[..]`\n\n\
          Example: `cos([0, 1]) = [1, 0.540302306]`",
    attrs: &[],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape: elementwise,
    grad: Grad::Rule(cos_grad),
    lower: Lower::Kernel(|_, _| Kernel::Map(Scalar::Cos)),
    reference: |call| map1(call, f64::cos),
    cases: || elementwise_cases(1, -7.0, 7.0),
};
