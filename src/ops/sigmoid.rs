//! `sigmoid`: the logistic function.

use super::common::{elementwise, elementwise_cases, map1};
use super::{mul, one_minus};
use crate::ir::kernel::Scalar;
use crate::ir::{Arity, Attrs, Builder, Grad, Kernel, LevelRule, Lower, NodeId, Op};

/// `1 / (1 + exp(-x))`.
pub fn sigmoid(b: &mut Builder, x: NodeId) -> NodeId {
    b.add(&OP, &[x], Attrs::none())
}

fn grad(b: &mut Builder, y: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    // the slope is y (1 - y)
    let rest = one_minus(b, y);
    let slope = mul(b, y, rest);
    vec![Some(mul(b, g, slope))]
}

/// Without overflow on either side.
fn logistic(x: f64) -> f64 {
    if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}

/// The record.
pub static OP: Op = Op {
    name: "sigmoid",
    doc: "The logistic function `1 / (1 + exp(-x))` of each element.\n\n\
          `x: f32[..] -> f32[..]`\n\n\
          Example: `sigmoid([0, 1]) = [0.5, 0.731058579]`",
    attrs: &[],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape: elementwise,
    grad: Grad::Rule(grad),
    lower: Lower::Kernel(|_, _| Kernel::Map(Scalar::Sigmoid)),
    reference: |call| map1(call, logistic),
    cases: || elementwise_cases(1, -6.0, 6.0),
};
