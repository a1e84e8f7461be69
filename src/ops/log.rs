//! `log`: the natural logarithm of each element.

use super::common::{elementwise, elementwise_cases, map1};
use super::div;
use crate::ir::kernel::Scalar;
use crate::ir::{Arity, Attrs, Builder, Grad, Kernel, LevelRule, Lower, NodeId, Op};

/// `log(x)`.
pub fn log(b: &mut Builder, x: NodeId) -> NodeId {
    b.add(&OP, &[x], Attrs::none())
}

fn grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let x = b.graph[node].inputs[0];
    vec![Some(div(b, g, x))]
}

/// The record.
pub static OP: Op = Op {
    name: "log",
    doc: "The natural logarithm of each element.\n\n\
          `x: f32[..] -> f32[..]`\n\n\
          Minus infinity at 0, not a number below.\n\n\
          Example: `log([1, 2]) = [0, 0.693147181]`",
    attrs: &[],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape: elementwise,
    grad: Grad::Rule(grad),
    lower: Lower::Kernel(|_, _| Kernel::Map(Scalar::Log)),
    reference: |call| map1(call, f64::ln),
    cases: || elementwise_cases(1, 0.1, 4.0),
};
